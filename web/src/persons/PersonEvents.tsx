// What one person did, newest first, day by day.

import { Skeleton } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { answerQuery } from '../api/queries';
import type { DateRange, EventRow, EventsQuery } from '../api/types';
import { useTranslation } from '../i18n';
import { ErrorNote } from '../ui/ErrorNote';
import { useRows, whoReadsRows } from '../ui/may';
import { NotAllowed } from '../ui/NotAllowed';
import { PlainValue, SealedValue } from '../ui/Personal';
import { useProject, useProjectFormat } from '../ui/project';
import { Fact } from './Fact';
import { InClear, useInClear } from './InClear';
import classes from './Persons.module.css';

const EVENTS_MAX = 200;

interface PersonEventsProps {
  pseudonym: string;
  range: DateRange;
  /** Whether device and place are being asked for. */
  asking: boolean;
  onAsking: (asking: boolean) => void;
}

export function PersonEvents({ pseudonym, range, asking, onAsking }: PersonEventsProps) {
  const { t } = useTranslation();
  const project = useProject();
  const format = useProjectFormat();
  const { freely, inClear } = useRows();
  const query: EventsQuery = { kind: 'events', range, matching: {}, person: pseudonym, limit: EVENTS_MAX };
  const answer = useQuery({ ...answerQuery(project.id, query), enabled: freely });
  const list = useInClear(query);
  const { table } = list.shown?.answer ?? answer.data ?? {};
  const events = table?.kind === 'events' ? table.events : undefined;
  const hasMasks = events?.some(({ masked }) => masked?.length) ?? false;

  if (!freely && !inClear) return <NotAllowed slim roles={whoReadsRows(project.is_test)} />;
  return (
    <>
      {inClear && (!freely || list.shown || hasMasks) && (
        <InClear
          list={list}
          isClosed={!freely}
          label={t(freely ? 'in_clear.begin' : 'in_clear.begin_timeline')}
          asking={asking}
          onAsking={onAsking}
        />
      )}
      <ErrorNote error={answer.error} />
      {freely && answer.isPending && <Skeleton height={160} />}
      {events?.length === 0 && <p className={classes.soft}>{t('persons.no_events')}</p>}
      {events && byDay(events, format.day).map(({ day, rows }) => <Day key={day} day={day} rows={rows} />)}
      {events?.length === EVENTS_MAX && (
        <p className={classes.soft}>{t('persons.newest', { count: EVENTS_MAX })}</p>
      )}
    </>
  );
}

function Day({ day, rows }: { day: string; rows: EventRow[] }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  return (
    <section>
      <h4 className={classes.day}>{day}</h4>
      <ol className={classes.timeline}>
        {rows.map(({ time, event, properties, masked = [] }, at) => (
          <li key={at}>
            <details>
              <summary>
                <span className={classes.soft}>{format.time(time)}</span>
                <span className={classes.event}>{event}</span>
                <span className={classes.soft}>
                  {t('persons.properties', { count: properties.length + masked.length })}
                </span>
              </summary>
              <dl className={classes.facts}>
                {properties.map(({ name, value }) => (
                  <Fact key={name} name={name}>
                    <PlainValue value={value} />
                  </Fact>
                ))}
                {masked.map((name) => (
                  <Fact key={name} name={name}>
                    <SealedValue class="C2" action="masked" />
                  </Fact>
                ))}
              </dl>
            </details>
          </li>
        ))}
      </ol>
    </section>
  );
}

function byDay(events: EventRow[], dayOf: (time: string) => string): { day: string; rows: EventRow[] }[] {
  const days: { day: string; rows: EventRow[] }[] = [];
  for (const event of events) {
    const day = dayOf(event.time);
    const last = days.at(-1);
    if (last?.day === day) last.rows.push(event);
    else days.push({ day, rows: [event] });
  }
  return days;
}
