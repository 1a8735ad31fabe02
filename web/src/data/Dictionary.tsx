// Every property seen: its types, its class, and what the door does with it.

import { Button, Group, Skeleton, Stack } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { propertiesQuery, raiseClass } from '../api/queries';
import type { Class } from '../api/types';
import { useTranslation } from '../i18n';
import { DataTable } from '../ui/DataTable';
import { Dialog } from '../ui/Dialog';
import { EmptyState } from '../ui/EmptyState';
import { ErrorNote } from '../ui/ErrorNote';
import { useMay } from '../ui/may';
import classes from '../ui/Page.module.css';
import { ClassChip } from '../ui/Personal';
import { useProject } from '../ui/project';
import { CLASSES, ClassSelect, type DecisionProps, useChange } from './door';

export function Dictionary() {
  const { t } = useTranslation();
  const project = useProject();
  const { data, error, isPending } = useQuery(propertiesQuery(project.id));
  const mayRaise = useMay()('change_plan');
  const [raising, setRaising] = useState<{ name: string; class: Class } | null>(null);
  return (
    <section className={classes.panel} aria-label={t('data.dictionary')} aria-busy={isPending}>
      <h2 className={classes.subtitle}>{t('data.dictionary')}</h2>
      <ErrorNote error={error} />
      {isPending && <Skeleton height={120} />}
      {data?.length === 0 && (
        <EmptyState slim title={t('data.no_properties')}>
          {t('data.no_properties_text')}
        </EmptyState>
      )}
      {data && data.length > 0 && (
        <DataTable
          texts
          caption={t('data.dictionary')}
          head={[
            t('query.property'),
            t('live.what_happened'),
            t('data.decided'),
            t('data.types'),
            ...(mayRaise ? [t('data.acts')] : []),
          ]}
          rows={data.map((property) => ({
            key: property.name,
            name: property.name,
            cells: [
              <ClassChip key="chip" class={property.class} action={property.action} />,
              property.detector === 'nothing' ? '–' : t(`detectors.${property.detector}`),
              property.types.map((type) => t(`types.${type}` as 'types.string')).join(', '),
              ...(mayRaise
                ? [
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
                  ]
                : []),
            ],
          }))}
        />
      )}
      <Dialog
        opened={raising !== null}
        onClose={() => setRaising(null)}
        title={raising && t('data.raise_of', { name: raising.name })}
      >
        {raising && <Raise name={raising.name} from={raising.class} onDone={() => setRaising(null)} />}
      </Dialog>
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
      <ClassSelect classes={CLASSES.filter((one) => one > from)} value={chosen} onChange={setChosen} />
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
