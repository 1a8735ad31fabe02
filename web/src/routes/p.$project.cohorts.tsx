// Cohorts: sets of persons, by what they did or as a list, to filter and split reports with.

import { Button, Group, Skeleton, Stack } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { createFileRoute, Link } from '@tanstack/react-router';
import { useState } from 'react';
import { cohortsQuery, deleteCohort } from '../api/queries';
import type { Cohort } from '../api/types';
import { useTranslation } from '../i18n';
import { CohortForm } from '../query/CohortForm';
import { useRuleText } from '../ui/cohorts';
import { DataTable } from '../ui/DataTable';
import { Dialog } from '../ui/Dialog';
import { EmptyState } from '../ui/EmptyState';
import { ErrorNote } from '../ui/ErrorNote';
import { useMay } from '../ui/may';
import { NotAllowed } from '../ui/NotAllowed';
import classes from '../ui/Page.module.css';
import { usePageTitle, useProject, useProjectFormat } from '../ui/project';

export const Route = createFileRoute('/p/$project/cohorts')({ component: Cohorts });

function Cohorts() {
  const { t } = useTranslation();
  const project = useProject();
  const format = useProjectFormat();
  const ruleText = useRuleText();
  const mayEdit = useMay()('edit_cohorts');
  usePageTitle(t('nav.cohorts'), project.name);
  const { data: cohorts, error, isPending } = useQuery(cohortsQuery(project.id));
  const [leaving, setLeaving] = useState<Cohort | null>(null);

  return (
    <div className={classes.page} data-narrow>
      <div className={classes.head}>
        <h1 className={classes.title}>{t('nav.cohorts')}</h1>
        <p className={classes.lead}>{t('cohort.lead')}</p>
      </div>
      <section className={classes.panel} aria-label={t('cohort.list')} aria-busy={isPending}>
        <ErrorNote error={error} />
        {isPending && <Skeleton height={120} />}
        {cohorts?.length === 0 && (
          <EmptyState slim title={t('cohort.none')}>
            {t('cohort.none_text')}
          </EmptyState>
        )}
        {cohorts && cohorts.length > 0 && (
          <DataTable
            caption={t('cohort.list')}
            head={[t('cohort.name'), t('cohort.listed'), t('cohort.made'), t('cohort.acts')]}
            rows={cohorts.map((cohort) => ({
              key: cohort.id,
              name: cohort.name,
              note: ruleText(cohort.rule),
              cells: [
                format.figure(cohort.listed),
                format.date(cohort.created_at),
                <Group key="acts" gap="xs" justify="flex-end" wrap="nowrap">
                  <Button
                    size="compact-xs"
                    variant="default"
                    component={Link}
                    to="/p/$project/insights"
                    params={{ project: String(project.id) } as never}
                    search={{ range: '30d', unit: 'day', show: [`cohort_size~${cohort.id}~*`] } as never}
                  >
                    {t('cohort.size')}
                  </Button>
                  {mayEdit && (
                    <Button
                      size="compact-xs"
                      variant="default"
                      aria-label={t('cohort.delete_of', { name: cohort.name })}
                      onClick={() => setLeaving(cohort)}
                    >
                      {t('cohort.delete')}
                    </Button>
                  )}
                </Group>,
              ],
            }))}
          />
        )}
      </section>
      <section className={classes.panel} aria-label={t('cohort.new')}>
        <h2 className={classes.subtitle}>{t('cohort.new')}</h2>
        {mayEdit ? <CohortForm /> : <NotAllowed slim control="edit_cohorts" />}
      </section>
      <Dialog
        opened={leaving !== null}
        onClose={() => setLeaving(null)}
        title={t('cohort.delete_of', { name: leaving?.name })}
      >
        {leaving && <DeleteCohort cohort={leaving} onDone={() => setLeaving(null)} />}
      </Dialog>
    </div>
  );
}

function DeleteCohort({ cohort, onDone }: { cohort: Cohort; onDone: () => void }) {
  const { t } = useTranslation();
  const project = useProject();
  const queryClient = useQueryClient();
  const remove = useMutation({
    mutationFn: () => deleteCohort(project.id, cohort.id),
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: cohortsQuery(project.id).queryKey });
      onDone();
    },
  });
  return (
    <Stack gap="md">
      <p className={classes.lead}>{t('cohort.delete_text')}</p>
      <ErrorNote error={remove.error} />
      <Group justify="flex-end">
        <Button variant="default" onClick={onDone}>
          {t('shell.cancel')}
        </Button>
        <Button color="red" loading={remove.isPending} onClick={() => remove.mutate()}>
          {t('cohort.delete')}
        </Button>
      </Group>
    </Stack>
  );
}
