// Data: what the door does with each property, what it holds back, and whether unknown properties are let in.

import { Button, Group, Modal, Select, Skeleton, Stack, Switch } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { createFileRoute } from '@tanstack/react-router';
import { useState } from 'react';
import {
  propertiesQuery,
  purgeQuarantined,
  quarantineQuery,
  raiseClass,
  releaseQuarantined,
  setPlanMode,
} from '../api/queries';
import type { Class } from '../api/types';
import { DataTable } from '../charts/DataTable';
import { useTranslation } from '../i18n';
import { EmptyState } from '../ui/EmptyState';
import { ErrorNote } from '../ui/ErrorNote';
import { ClassChip } from '../ui/Personal';
import { usePageTitle, useProject, useProjectFormat } from '../ui/project';
import classes from './Page.module.css';

export const Route = createFileRoute('/p/$project/data')({ component: Data });

const CLASSES: Class[] = ['C1', 'C2', 'C3', 'C4', 'C5'];

function Data() {
  const { t } = useTranslation();
  const project = useProject();
  usePageTitle(t('nav.data'), project.name);
  return (
    <div className={classes.page} data-narrow>
      <div className={classes.head}>
        <h1 className={classes.title}>{t('nav.data')}</h1>
        <p className={classes.lead}>{t('data.lead')}</p>
      </div>
      <Quarantine />
      <Dictionary />
    </div>
  );
}

/** Everything about the door is read again after a change of it. */
function useChange<Input>(change: (input: Input) => Promise<unknown>, onDone?: () => void) {
  const project = useProject();
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSuccess: async () => {
      await Promise.all([
        queryClient.invalidateQueries({ queryKey: quarantineQuery(project.id).queryKey }),
        queryClient.invalidateQueries({ queryKey: propertiesQuery(project.id).queryKey }),
      ]);
      onDone?.();
    },
  });
}

function Quarantine() {
  const { t } = useTranslation();
  const project = useProject();
  const format = useProjectFormat();
  const { data, error, isPending } = useQuery(quarantineQuery(project.id));
  const [deciding, setDeciding] = useState<{ act: 'release' | 'purge'; name: string } | null>(null);
  const switching = useChange((mode: 'open' | 'strict') => setPlanMode(project.id, mode));
  return (
    <section className={classes.panel} aria-label={t('data.quarantine')} aria-busy={isPending}>
      <h2 className={classes.subtitle}>{t('data.quarantine')}</h2>
      <ErrorNote error={error ?? switching.error} />
      {isPending && <Skeleton height={80} />}
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
            <EmptyState compact title={t('data.empty')}>
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
      <Modal
        opened={deciding !== null}
        onClose={() => setDeciding(null)}
        title={deciding && t(`data.${deciding.act}_of`, { name: deciding.name })}
        closeButtonProps={{ 'aria-label': t('shell.close') }}
      >
        {deciding?.act === 'release' && <Release name={deciding.name} onDone={() => setDeciding(null)} />}
        {deciding?.act === 'purge' && <Purge name={deciding.name} onDone={() => setDeciding(null)} />}
      </Modal>
    </section>
  );
}

interface DecisionProps {
  name: string;
  onDone: () => void;
}

function ClassSelect({ value, onChange }: { value: Class; onChange: (value: Class) => void }) {
  const { t } = useTranslation();
  return (
    <Select
      label={t('data.class')}
      data={CLASSES.map((entry) => ({ value: entry, label: t(`classes.${entry}`) }))}
      value={value}
      allowDeselect={false}
      onChange={(chosen) => onChange((chosen as Class | null) ?? value)}
    />
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

function Dictionary() {
  const { t } = useTranslation();
  const project = useProject();
  const { data, error, isPending } = useQuery(propertiesQuery(project.id));
  const [raising, setRaising] = useState<{ name: string; class: Class } | null>(null);
  return (
    <section className={classes.panel} aria-label={t('data.dictionary')} aria-busy={isPending}>
      <h2 className={classes.subtitle}>{t('data.dictionary')}</h2>
      <ErrorNote error={error} />
      {isPending && <Skeleton height={120} />}
      {data?.length === 0 && (
        <EmptyState compact title={t('data.no_properties')}>
          {t('data.no_properties_text')}
        </EmptyState>
      )}
      {data && data.length > 0 && (
        <DataTable
          caption={t('data.dictionary')}
          head={[
            t('query.property'),
            t('live.what_happened'),
            t('data.decided'),
            t('data.types'),
            t('data.acts'),
          ]}
          rows={data.map((property) => ({
            key: property.name,
            name: property.name,
            cells: [
              <ClassChip key="chip" class={property.class} action={property.action} />,
              t(`detectors.${property.detector}`),
              property.types.map((type) => t(`types.${type}` as 'types.string')).join(', '),
              <Button
                key="raise"
                size="compact-xs"
                variant="default"
                disabled={property.class === 'C5'}
                aria-label={t('data.raise_of', { name: property.name })}
                onClick={() => setRaising(property)}
              >
                {t('data.raise')}
              </Button>,
            ],
          }))}
        />
      )}
      <Modal
        opened={raising !== null}
        onClose={() => setRaising(null)}
        title={raising && t('data.raise_of', { name: raising.name })}
        closeButtonProps={{ 'aria-label': t('shell.close') }}
      >
        {raising && <Raise name={raising.name} from={raising.class} onDone={() => setRaising(null)} />}
      </Modal>
    </section>
  );
}

function Raise({ name, from, onDone }: DecisionProps & { from: Class }) {
  const { t } = useTranslation();
  const project = useProject();
  const [chosen, setChosen] = useState<Class>(from < 'C3' ? 'C3' : 'C5');
  const raising = useChange(() => raiseClass(project.id, name, chosen), onDone);
  return (
    <Stack gap="md">
      <ClassSelect value={chosen} onChange={setChosen} />
      <p className={classes.lead}>{t('data.raise_text')}</p>
      <ErrorNote error={raising.error} />
      <Group justify="flex-end">
        <Button variant="default" onClick={onDone}>
          {t('shell.cancel')}
        </Button>
        <Button loading={raising.isPending} onClick={() => raising.mutate(undefined)}>
          {t('data.raise')}
        </Button>
      </Group>
    </Stack>
  );
}
