// How long stored events keep what: events as a whole, and what they say of device and place.

import { Group, Select } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { planQuery, setKeep } from '../api/queries';
import { useTranslation } from '../i18n';
import { Confirm } from '../ui/Confirm';
import { ErrorNote } from '../ui/ErrorNote';
import { useMay } from '../ui/may';
import { NotAllowed } from '../ui/NotAllowed';
import classes from '../ui/Page.module.css';
import { useProject } from '../ui/project';

/** What is usual; what was set otherwise is there too. */
const USUAL_DAYS = [30, 90, 180, 365, 730, 1825];

interface Kept {
  events: number | null;
  device: number | null;
}

export function Keep() {
  const { t } = useTranslation();
  const project = useProject();
  const may = useMay();
  const queryClient = useQueryClient();
  const query = planQuery(project.id);
  const { data: plan, error } = useQuery(query);
  const [chosen, setChosen] = useState<Partial<Kept>>({});
  const [isSet, setDone] = useState(false);
  const now: Kept = {
    events: plan?.keep?.events_days ?? null,
    device: plan?.keep?.class_days?.C2 ?? null,
  };
  const wanted = { ...now, ...chosen };
  const isChanged = wanted.events !== now.events || wanted.device !== now.device;
  return (
    <section className={classes.panel} aria-label={t('data.keep')}>
      <h2 className={classes.subtitle}>{t('data.keep')}</h2>
      <p className={classes.lead}>{t('data.keep_text')}</p>
      <ErrorNote error={error} />
      {!may('set_retention') && <NotAllowed slim control="set_retention" />}
      {plan && may('set_retention') && (
        <Confirm
          label={t('data.keep_set')}
          ready={isChanged}
          act={() => {
            const { C2: _, ...others } = plan.keep?.class_days ?? {};
            const device: Record<string, number> = wanted.device === null ? {} : { C2: wanted.device };
            return setKeep(project.id, { events_days: wanted.events, class_days: { ...others, ...device } });
          }}
          onDone={(made) => {
            queryClient.setQueryData(query.queryKey, made);
            setChosen({});
            setDone(true);
          }}
        >
          <Group align="end">
            <Days
              label={t('data.keep_events')}
              value={wanted.events}
              onChange={(events) => setChosen({ ...chosen, events })}
            />
            <Days
              label={t('data.keep_device')}
              value={wanted.device}
              onChange={(device) => setChosen({ ...chosen, device })}
            />
          </Group>
          {isSet && !isChanged && (
            <p className={classes.lead} role="status">
              {t('data.keep_done')}
            </p>
          )}
        </Confirm>
      )}
    </section>
  );
}

interface DaysProps {
  label: string;
  value: number | null;
  onChange: (days: number | null) => void;
}

function Days({ label, value, onChange }: DaysProps) {
  const { t } = useTranslation();
  const days = [...new Set([...USUAL_DAYS, ...(value === null ? [] : [value])])].sort((a, b) => a - b);
  return (
    <Select
      label={label}
      allowDeselect={false}
      data={[
        ...days.map((count) => ({ value: String(count), label: t('data.keep_days', { count }) })),
        { value: '', label: t('data.keep_forever') },
      ]}
      value={value === null ? '' : String(value)}
      onChange={(picked) => onChange(picked ? Number(picked) : null)}
    />
  );
}
