// What the door holds back: properties that the tracking plan does not know, as names and counts.

import { Button, Group, Skeleton, Stack, Switch } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { purgeQuarantined, quarantineQuery, releaseQuarantined, setPlanMode } from '../api/queries';
import type { Class } from '../api/types';
import { useTranslation } from '../i18n';
import { DataTable } from '../ui/DataTable';
import { Dialog } from '../ui/Dialog';
import { EmptyState } from '../ui/EmptyState';
import { ErrorNote } from '../ui/ErrorNote';
import { useMay } from '../ui/may';
import { NotAllowed } from '../ui/NotAllowed';
import classes from '../ui/Page.module.css';
import { useProject, useProjectFormat } from '../ui/project';
import { ClassSelect, type DecisionProps, useChange } from './door';

export function Quarantine() {
  const { t } = useTranslation();
  const project = useProject();
  const format = useProjectFormat();
  const may = useMay();
  const { data, error, isPending } = useQuery({
    ...quarantineQuery(project.id),
    enabled: may('handle_quarantine'),
  });
  const [deciding, setDeciding] = useState<{ act: 'release' | 'purge'; name: string } | null>(null);
  const switching = useChange((mode: 'open' | 'strict') => setPlanMode(project.id, mode));
  return (
    <section
      className={classes.panel}
      aria-label={t('data.quarantine')}
      aria-busy={isPending && may('handle_quarantine')}
    >
      <h2 className={classes.subtitle}>{t('data.quarantine')}</h2>
      <ErrorNote error={error ?? switching.error} />
      {!may('handle_quarantine') && <NotAllowed slim control="handle_quarantine" />}
      {isPending && may('handle_quarantine') && <Skeleton height={80} />}
      {data && (
        <Stack gap="md">
          <Switch
            label={t('data.strict')}
            description={t('data.strict_text', { days: data.days })}
            checked={data.mode === 'strict'}
            disabled={switching.isPending}
            onChange={(event) => switching.mutate(event.currentTarget.checked ? 'strict' : 'open')}
          />
          {data.lost > 0 && <p className={classes.lead}>{t('data.lost', { count: data.lost })}</p>}
          {data.properties.length === 0 && (
            <EmptyState slim title={t('data.empty')}>
              {t('data.empty_text')}
            </EmptyState>
          )}
          {data.properties.length > 0 && (
            <DataTable
              caption={t('data.quarantine')}
              head={[t('query.property'), t('data.values'), t('data.found'), t('data.last'), t('data.acts')]}
              rows={data.properties.map((property) => ({
                key: property.name,
                name: property.name,
                cells: [
                  format.figure(property.values),
                  property.shapes
                    .map((shape) => `${t(`detectors.${shape.detector}`)}: ${format.figure(shape.values)}`)
                    .join(', '),
                  format.date(property.last_at),
                  <Group key="acts" gap="xs" justify="flex-end" wrap="nowrap">
                    {(['release', 'purge'] as const).map((act) => (
                      <Button
                        key={act}
                        size="compact-xs"
                        variant="default"
                        aria-label={t(`data.${act}_of`, { name: property.name })}
                        onClick={() => setDeciding({ act, name: property.name })}
                      >
                        {t(`data.${act}`)}
                      </Button>
                    ))}
                  </Group>,
                ],
              }))}
            />
          )}
        </Stack>
      )}
      <Dialog
        opened={deciding !== null}
        onClose={() => setDeciding(null)}
        title={deciding && t(`data.${deciding.act}_of`, { name: deciding.name })}
      >
        {deciding?.act === 'release' && <Release name={deciding.name} onDone={() => setDeciding(null)} />}
        {deciding?.act === 'purge' && <Purge name={deciding.name} onDone={() => setDeciding(null)} />}
      </Dialog>
    </section>
  );
}

function Release({ name, onDone }: DecisionProps) {
  const { t } = useTranslation();
  const project = useProject();
  const [chosen, setChosen] = useState<Class>('C3');
  const releasing = useChange(() => releaseQuarantined(project.id, name, chosen), onDone);
  return (
    <Stack gap="md">
      <ClassSelect value={chosen} onChange={setChosen} />
      <p className={classes.lead}>
        {chosen === 'C3' || chosen === 'C4' ? t('data.release_personal') : t('data.release_plain')}
      </p>
      <ErrorNote error={releasing.error} />
      <Group justify="flex-end">
        <Button variant="default" onClick={onDone}>
          {t('shell.cancel')}
        </Button>
        <Button loading={releasing.isPending} onClick={() => releasing.mutate(undefined)}>
          {t('data.release')}
        </Button>
      </Group>
    </Stack>
  );
}

function Purge({ name, onDone }: DecisionProps) {
  const { t } = useTranslation();
  const project = useProject();
  const purging = useChange(() => purgeQuarantined(project.id, name), onDone);
  return (
    <Stack gap="md">
      <p className={classes.lead}>{t('data.purge_text')}</p>
      <ErrorNote error={purging.error} />
      <Group justify="flex-end">
        <Button variant="default" onClick={onDone}>
          {t('shell.cancel')}
        </Button>
        <Button color="red" loading={purging.isPending} onClick={() => purging.mutate(undefined)}>
          {t('data.purge')}
        </Button>
      </Group>
    </Stack>
  );
}
