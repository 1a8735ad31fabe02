// Who was erased, as the certificates say it, and the way to the next erasure.

import { Button, Group, Skeleton } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { erasuresQuery } from '../api/queries';
import { useTranslation } from '../i18n';
import { DataTable } from '../ui/DataTable';
import { EmptyState } from '../ui/EmptyState';
import { ErrorNote } from '../ui/ErrorNote';
import classes from '../ui/Page.module.css';
import { useProject, useProjectFormat } from '../ui/project';
import { CertificateButton } from './Certificate';
import { ErasePerson } from './ErasePerson';
import { factsOf } from './statement';

export function Erasures() {
  const { t } = useTranslation();
  const project = useProject();
  const format = useProjectFormat();
  const { data, error, isPending } = useQuery(erasuresQuery(project.id));
  const [erasing, setErasing] = useState(false);
  return (
    <section className={classes.panel} aria-label={t('erasure.list')} aria-busy={isPending}>
      <Group justify="space-between" align="flex-start" wrap="nowrap">
        <h2 className={classes.subtitle}>{t('erasure.list')}</h2>
        <Button size="xs" variant="default" onClick={() => setErasing(true)}>
          {t('erasure.begin')}
        </Button>
      </Group>
      <ErrorNote error={error} />
      {isPending && <Skeleton height={80} />}
      {data?.length === 0 && (
        <EmptyState slim title={t('erasure.none')}>
          {t('erasure.none_text')}
        </EmptyState>
      )}
      {data && data.length > 0 && (
        <DataTable
          caption={t('erasure.list')}
          head={[
            t('erasure.number'),
            t('erasure.when'),
            t('erasure.persons'),
            t('erasure.events'),
            t('erasure.state'),
            t('erasure.proof'),
          ]}
          rows={data.map((erasure) => {
            const facts = factsOf(erasure.statement);
            return {
              key: String(erasure.id),
              name: String(erasure.id),
              cells: [
                facts.begun ? format.dateTime(facts.begun) : '–',
                format.figure(facts.persons),
                format.figure(facts.events),
                erasure.is_done ? t('erasure.is_done') : t('erasure.is_going'),
                erasure.is_done ? (
                  <CertificateButton
                    key="certificate"
                    erasure={erasure.id}
                    label={t('erasure.certificate')}
                  />
                ) : (
                  '–'
                ),
              ],
            };
          })}
        />
      )}
      <ErasePerson opened={erasing} onClose={() => setErasing(false)} />
    </section>
  );
}
