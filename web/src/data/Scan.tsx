// Looking back: what the detectors of today find in events that are stored already, which disclosures have
// carried it, and taking it out. Names and counts only; the page never receives a value.

import { Button, Group, Loader, Stack, TextInput } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { propertiesQuery, removeFromHistory, scanQuery, statusQuery } from '../api/queries';
import type { Class, Finding } from '../api/types';
import { useTranslation } from '../i18n';
import { DataTable } from '../ui/DataTable';
import { Dialog } from '../ui/Dialog';
import { EmptyState } from '../ui/EmptyState';
import { ErrorNote } from '../ui/ErrorNote';
import classes from '../ui/Page.module.css';
import { useProject, useProjectFormat } from '../ui/project';
import { ClassSelect, type DecisionProps } from './door';

const CARRIED_MAX = 3;
const REMOVABLE: Class[] = ['C3', 'C4', 'C5'];

export function Scan() {
  const { t } = useTranslation();
  const project = useProject();
  const format = useProjectFormat();
  const queryClient = useQueryClient();
  const { data: status } = useQuery(statusQuery(project.id));
  const { data: scan, error, isFetching, refetch } = useQuery(scanQuery(project.id));
  const [removing, setRemoving] = useState<Finding | null>(null);
  return (
    <section className={classes.panel} aria-label={t('scan.title')} aria-busy={isFetching}>
      <h2 className={classes.subtitle}>{t('scan.title')}</h2>
      <Stack gap="md">
        <p className={classes.lead}>{t('scan.lead')}</p>
        <ErrorNote error={error} />
        {isFetching ? (
          <Group gap="sm" role="status">
            <Loader size="xs" />
            <span>
              {t('scan.running', { count: status?.events ?? 0, number: format.count(status?.events ?? 0) })}
            </span>
            <Button
              size="compact-xs"
              variant="default"
              onClick={() => queryClient.cancelQueries({ queryKey: scanQuery(project.id).queryKey })}
            >
              {t('scan.stop')}
            </Button>
          </Group>
        ) : (
          <Group gap="sm">
            <Button variant={scan ? 'default' : 'filled'} onClick={() => refetch()}>
              {scan ? t('scan.again') : t('scan.start')}
            </Button>
            {scan && (
              <span role="status">
                {t('scan.looked_at', { count: scan.events, number: format.count(scan.events) })}
              </span>
            )}
          </Group>
        )}
        {scan?.findings.length === 0 && (
          <EmptyState slim title={t('scan.nothing')}>
            {t('scan.nothing_text')}
          </EmptyState>
        )}
        {scan && scan.findings.length > 0 && (
          <DataTable
            caption={t('scan.title')}
            head={[
              t('query.property'),
              t('scan.found'),
              t('scan.events'),
              t('scan.persons'),
              t('scan.carried'),
              t('data.acts'),
            ]}
            rows={scan.findings.map((finding) => ({
              key: `${finding.property} ${finding.detector}`,
              name: finding.property,
              cells: [
                `${t(`detectors.${finding.detector}`)} (${finding.class})`,
                format.count(finding.events),
                format.count(finding.subjects),
                <Carried key="carried" finding={finding} />,
                <Button
                  key="remove"
                  size="compact-xs"
                  variant="default"
                  aria-label={t('scan.remove_of', { name: finding.property })}
                  onClick={() => setRemoving(finding)}
                >
                  {t('scan.remove')}
                </Button>,
              ],
            }))}
          />
        )}
        {scan?.is_cut && <p className={classes.lead}>{t('scan.cut')}</p>}
      </Stack>
      <Dialog
        opened={removing !== null}
        onClose={() => setRemoving(null)}
        title={removing && t('scan.remove_of', { name: removing.property })}
      >
        {removing && (
          <Remove name={removing.property} least={removing.class} onDone={() => setRemoving(null)} />
        )}
      </Dialog>
    </section>
  );
}

/** Recorded disclosures by their number in the ledger, the first of them. */
function Carried({ finding: { carried } }: { finding: Finding }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  if (carried.length === 0) return <>{t('scan.carried_none')}</>;
  const more = carried.length - CARRIED_MAX;
  return (
    <>
      {carried
        .slice(0, CARRIED_MAX)
        .map(({ entry, subjects }) =>
          t('scan.carried_by', { entry, count: subjects, number: format.count(subjects) }),
        )
        .join(', ')}
      {more > 0 && ` ${t('scan.carried_more', { count: more })}`}
    </>
  );
}

function Remove({ name, least, onDone }: DecisionProps & { least: Class }) {
  const { t } = useTranslation();
  const project = useProject();
  const queryClient = useQueryClient();
  const [chosen, setChosen] = useState<Class>(least > 'C3' ? least : 'C3');
  const [typed, setTyped] = useState('');
  const removing = useMutation({
    mutationFn: () => removeFromHistory(project.id, name, chosen),
    onSuccess: async () => {
      onDone();
      await Promise.all([
        queryClient.invalidateQueries({ queryKey: propertiesQuery(project.id).queryKey }),
        queryClient.invalidateQueries({ queryKey: ['project', project.id, 'answer'] }),
        // The list that was just acted upon is out of date; a scan that nobody asked for would be a surprise.
        queryClient.fetchQuery({ ...scanQuery(project.id), staleTime: 0 }),
      ]);
    },
  });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        removing.mutate();
      }}
    >
      <Stack gap="md">
        <p className={classes.lead}>{t('scan.remove_text')}</p>
        <ClassSelect classes={REMOVABLE} value={chosen} onChange={setChosen} />
        <TextInput
          label={t('scan.type_name', { name })}
          autoComplete="off"
          spellCheck={false}
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
        />
        <ErrorNote error={removing.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onDone}>
            {t('shell.cancel')}
          </Button>
          <Button type="submit" color="red" disabled={typed !== name} loading={removing.isPending}>
            {t('scan.remove')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
