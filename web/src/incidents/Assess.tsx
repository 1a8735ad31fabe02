// What happened and when somebody knew, told apart because laws count from different moments; and what those
// laws ask for. Dates, not advice.

import { Select, Stack, Switch } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { deadlinesQuery, incidentsQuery, updateIncident } from '../api/oversight';
import type { AccountKind, Incident, IncidentMeasure } from '../api/types';
import { useTranslation } from '../i18n';
import { Confirm } from '../ui/Confirm';
import { DataTable } from '../ui/DataTable';
import { ErrorNote } from '../ui/ErrorNote';
import { InstantInput } from '../ui/InstantInput';
import { instantOfMicros, microsOf } from '../ui/instant';
import { useMay } from '../ui/may';
import page from '../ui/Page.module.css';
import { useProjectFormat } from '../ui/project';
import { ACCOUNTS } from './Incidents';
import classes from './Incidents.module.css';

const MEASURES = [
  'locked',
  'sessions',
  'tokens',
  'vendor',
  'authority',
] as const satisfies readonly IncidentMeasure[];

const instant = (micros: number | null | undefined) => (micros ? instantOfMicros(micros) : undefined);

export function Assess({ incident }: { incident: Incident }) {
  const { t } = useTranslation();
  const may = useMay();
  return (
    <Stack gap="md">
      {incident.stage !== 'closed' && may('declare_incident') && <Facts incident={incident} />}
      <h3 className={page.subtitle}>{t('assess.deadlines')}</h3>
      <Deadlines incident={incident.id} />
    </Stack>
  );
}

function Facts({ incident }: { incident: Incident }) {
  const { t } = useTranslation();
  const queryClient = useQueryClient();
  const { times } = incident;
  const [account, setAccount] = useState(incident.account);
  const [since, setSince] = useState(instant(times.occurred_us?.[0]));
  const [until, setUntil] = useState(instant(times.occurred_us?.[1]));
  const [detected, setDetected] = useState(instant(times.detected_us));
  const [aware, setAware] = useState(instant(times.aware_us));
  const [contained, setContained] = useState(instant(times.contained_us));
  // Untouched, they follow what is said elsewhere, as containing does.
  const [chosen, setChosen] = useState<IncidentMeasure[] | null>(null);
  const measures = chosen ?? incident.measures;
  const [isSaved, setSaved] = useState(false);
  const containedNow = contained ?? instant(times.contained_us);
  return (
    <Confirm
      label={t('assess.save')}
      act={() =>
        updateIncident(incident.id, {
          account,
          measures,
          ...(since && until ? { occurred_us: [microsOf(since), microsOf(until)] } : {}),
          ...(detected ? { detected_us: microsOf(detected) } : {}),
          ...(aware ? { aware_us: microsOf(aware) } : {}),
          ...(containedNow ? { contained_us: microsOf(containedNow) } : {}),
        })
      }
      onDone={() => {
        setSaved(true);
        queryClient.invalidateQueries({ queryKey: incidentsQuery().queryKey });
      }}
    >
      <p className={page.lead}>{t('assess.lead')}</p>
      <div className={classes.grid}>
        <InstantInput label={t('incidents.occurred_from')} value={since} onChange={setSince} />
        <InstantInput label={t('incidents.occurred_to')} value={until} onChange={setUntil} />
        <InstantInput label={t('incidents.detected_when')} value={detected} onChange={setDetected} />
        <InstantInput label={t('incidents.aware_when')} value={aware} onChange={setAware} />
        <InstantInput label={t('incidents.contained_when')} value={containedNow} onChange={setContained} />
        <Select
          label={t('incidents.account')}
          data={ACCOUNTS.map((value) => ({ value, label: t(`account_kinds.${value}`) }))}
          value={account}
          allowDeselect={false}
          onChange={(next) => setAccount((next as AccountKind | null) ?? account)}
        />
      </div>
      <fieldset className={classes.measures}>
        <legend>{t('assess.measures')}</legend>
        {MEASURES.map((measure) => (
          <Switch
            key={measure}
            label={t(`incident_measures.${measure}`)}
            checked={measures.includes(measure)}
            onChange={(event) => {
              const isOn = event.currentTarget.checked;
              setChosen(MEASURES.filter((one) => (one === measure ? isOn : measures.includes(one))));
            }}
          />
        ))}
      </fieldset>
      {isSaved && (
        <p className={page.lead} role="status">
          {t('assess.saved')}
        </p>
      )}
    </Confirm>
  );
}

function Deadlines({ incident }: { incident: number }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const { data: deadlines, error } = useQuery(deadlinesQuery(incident));
  return (
    <>
      <ErrorNote error={error} />
      {deadlines && (
        <DataTable
          texts
          sentences
          caption={t('assess.deadlines')}
          head={[
            t('assess.law'),
            t('assess.duty'),
            t('assess.within'),
            t('assess.due'),
            t('exports.state'),
            t('assess.asks'),
          ]}
          rows={deadlines.map((one, at) => ({
            key: String(at),
            name: <span lang="en">{one.regime}</span>,
            note: one.source,
            cells: [
              <span key="duty" lang="en">
                {one.duty}
              </span>,
              <span key="within" lang="en">
                {one.within}
              </span>,
              one.due_us ? format.dateTime(instantOfMicros(one.due_us)) : '–',
              one.due_us ? t(one.is_past ? 'assess.past' : 'assess.ahead') : t('assess.no_time'),
              <details key="asks">
                <summary>{t('assess.points', { count: one.asks.length })}</summary>
                <ul lang="en">
                  {one.asks.map((ask) => (
                    <li key={ask}>{ask}</li>
                  ))}
                </ul>
              </details>,
            ],
          }))}
        />
      )}
    </>
  );
}
