// The list of incidents, and opening one.

import { Button, SegmentedControl, Select, Skeleton, TextInput } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { incidentsQuery, openIncident } from '../api/oversight';
import type { AccountKind, Incident, IncidentCause } from '../api/types';
import { useTranslation } from '../i18n';
import { Confirm } from '../ui/Confirm';
import { DataTable } from '../ui/DataTable';
import { Dialog } from '../ui/Dialog';
import { EmptyState } from '../ui/EmptyState';
import { ErrorNote } from '../ui/ErrorNote';
import { InstantInput } from '../ui/InstantInput';
import { instantOfMicros, microsOf } from '../ui/instant';
import { useMay } from '../ui/may';
import page from '../ui/Page.module.css';
import { useProject, useProjectFormat } from '../ui/project';
import classes from './Incidents.module.css';

export const ACCOUNTS = ['staff', 'token', 'vendor', 'unknown'] as const satisfies readonly AccountKind[];
const CAUSES = ['member', 'drill'] as const satisfies readonly IncidentCause[];

export function Incidents() {
  const { t } = useTranslation();
  const project = useProject();
  const format = useProjectFormat();
  const may = useMay();
  const { data: incidents, error, isPending } = useQuery(incidentsQuery());
  return (
    <section className={page.panel} aria-label={t('incidents.list')} aria-busy={isPending}>
      <h2 className={page.subtitle}>{t('incidents.list')}</h2>
      <ErrorNote error={error} />
      {isPending && <Skeleton height={120} />}
      {incidents?.length === 0 && (
        <EmptyState
          compact
          title={t('incidents.none')}
          action={
            may('declare_incident') && (
              <Button
                component={Link}
                to="/p/$project/incidents"
                params={{ project: String(project.id) } as never}
                search={{ open: 'drill' } as never}
                variant="default"
              >
                {t('incidents.drill')}
              </Button>
            )
          }
        >
          {t('incidents.none_text')}
        </EmptyState>
      )}
      {incidents && incidents.length > 0 && (
        <DataTable
          texts
          caption={t('incidents.list')}
          head={[
            t('exports.number'),
            t('incidents.service'),
            t('incidents.cause'),
            t('incidents.detected'),
            t('incidents.stage'),
            t('incidents.persons'),
          ]}
          rows={incidents.map((one) => ({
            key: String(one.id),
            name: (
              <Link
                to="/p/$project/incidents/$incident"
                params={{ project: String(project.id), incident: String(one.id) }}
              >
                {t('incidents.one', { number: one.id })}
              </Link>
            ),
            cells: [
              one.service,
              t(`incident_causes.${one.cause}`),
              format.dateTime(instantOfMicros(one.times.detected_us)),
              t(`incident_stages.${one.stage}`),
              format.figure(one.scopes.at(-1)?.persons),
            ],
          }))}
        />
      )}
    </section>
  );
}

interface OpenIncidentProps {
  opened: boolean;
  isDrill: boolean;
  /** What an exposure was asked with: taken over, so that nobody types it again. */
  from?: string;
  to?: string;
  hasMember: boolean;
  onDone: (incident: Incident) => void;
  onClose: () => void;
}

export function OpenIncident(props: OpenIncidentProps) {
  const { t } = useTranslation();
  return (
    <Dialog opened={props.opened} onClose={props.onClose} title={t('incidents.open')}>
      {props.opened && <OpenForm {...props} />}
    </Dialog>
  );
}

function OpenForm({ isDrill, from, to, hasMember, onDone, onClose }: OpenIncidentProps) {
  const { t } = useTranslation();
  const project = useProject();
  const queryClient = useQueryClient();
  const [service, setService] = useState(project.name);
  const [cause, setCause] = useState<(typeof CAUSES)[number]>(isDrill ? 'drill' : 'member');
  const [account, setAccount] = useState<AccountKind>(hasMember ? 'staff' : 'unknown');
  const [since, setSince] = useState(from);
  const [until, setUntil] = useState(to);
  const [detected, setDetected] = useState<string>();
  return (
    <Confirm
      label={t('incidents.open')}
      color="red"
      ready={service.trim() !== ''}
      act={() =>
        openIncident({
          cause,
          account,
          service: service.trim(),
          // A loss that goes on has happened until now.
          ...(since
            ? {
                occurred_us: [microsOf(since), microsOf(until ?? new Date(Date.now() - 1_000).toISOString())],
              }
            : {}),
          ...(detected ? { detected_us: microsOf(detected) } : {}),
        })
      }
      onDone={(made) => {
        queryClient.invalidateQueries({ queryKey: incidentsQuery().queryKey });
        onDone(made);
      }}
      onCancel={onClose}
    >
      <p className={page.lead}>{t('incidents.open_text')}</p>
      <SegmentedControl
        aria-label={t('incidents.cause')}
        fullWidth
        data={CAUSES.map((value) => ({ value, label: t(`incident_causes.${value}`) }))}
        value={cause}
        onChange={(next) => setCause(next as typeof cause)}
      />
      <TextInput
        label={t('incidents.service')}
        description={t('incidents.service_text')}
        maxLength={100}
        required
        value={service}
        onChange={(event) => setService(event.currentTarget.value)}
      />
      <Select
        label={t('incidents.account')}
        data={ACCOUNTS.map((value) => ({ value, label: t(`account_kinds.${value}`) }))}
        value={account}
        allowDeselect={false}
        onChange={(next) => setAccount((next as AccountKind | null) ?? account)}
      />
      <div className={classes.grid}>
        <InstantInput label={t('incidents.occurred_from')} value={since} onChange={setSince} />
        <InstantInput label={t('incidents.occurred_to')} value={until} onChange={setUntil} />
      </div>
      <InstantInput label={t('incidents.detected_when')} value={detected} onChange={setDetected} />
    </Confirm>
  );
}
