// One person: what is known without opening the vault, and what they did, newest first, day by day.

import { Button, Drawer, Group, Skeleton } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { answerQuery } from '../api/queries';
import type { DateRange, EventRow, PersonRow } from '../api/types';
import { useTranslation } from '../i18n';
import { CopyButton } from '../ui/CopyButton';
import { ErrorNote } from '../ui/ErrorNote';
import { PlainValue, SealedValue } from '../ui/Personal';
import { useProject, useProjectFormat } from '../ui/project';
import { ErasePerson } from './ErasePerson';
import { OwnData } from './OwnData';
import classes from './Persons.module.css';
import { Reveal } from './Reveal';

const EVENTS_MAX = 200;

/** What is done about the person, in a dialog above the drawer. */
type Deed = 'own_data' | 'erase';

interface PersonDrawerProps {
  pseudonym: string | undefined;
  /** The row it was opened from; a link may open somebody who is not on this page. */
  row: PersonRow | undefined;
  range: DateRange;
  onClose: () => void;
}

export function PersonDrawer({ pseudonym, row, range, onClose }: PersonDrawerProps) {
  const { t } = useTranslation();
  const [deed, setDeed] = useState<Deed | null>(null);
  return (
    <Drawer
      opened={pseudonym !== undefined}
      onClose={onClose}
      // What stands above it is closed first.
      closeOnEscape={deed === null}
      position="right"
      size="lg"
      title={<span className={classes.drawerTitle}>{pseudonym}</span>}
      classNames={{ content: classes.drawer, header: classes.drawer }}
      closeButtonProps={{ 'aria-label': t('shell.close') }}
    >
      {pseudonym && (
        <>
          <PersonDetails pseudonym={pseudonym} row={row} range={range} onDeed={setDeed} />
          <OwnData opened={deed === 'own_data'} pseudonym={pseudonym} onClose={() => setDeed(null)} />
        </>
      )}
      <ErasePerson
        opened={deed === 'erase'}
        pseudonym={pseudonym}
        onClose={(isErased) => {
          setDeed(null);
          if (isErased) onClose();
        }}
      />
    </Drawer>
  );
}

interface PersonDetailsProps {
  pseudonym: string;
  row: PersonRow | undefined;
  range: DateRange;
  onDeed: (deed: Deed) => void;
}

function PersonDetails({ pseudonym, row, range, onDeed }: PersonDetailsProps) {
  const { t } = useTranslation();
  const project = useProject();
  const format = useProjectFormat();
  const answer = useQuery(
    answerQuery(project.id, { kind: 'events', range, matching: {}, person: pseudonym, limit: EVENTS_MAX }),
  );
  const events = answer.data?.table.kind === 'events' ? answer.data.table.events : undefined;

  return (
    <div className={classes.details}>
      <Group gap="xs">
        <CopyButton value={pseudonym} label={t('persons.copy')} />
        <Button size="xs" variant="default" onClick={() => onDeed('own_data')}>
          {t('own_data.begin')}
        </Button>
        <Button size="xs" variant="default" onClick={() => onDeed('erase')}>
          {t('erasure.begin')}
        </Button>
        <Reveal pseudonym={pseudonym} />
      </Group>
      {row && (
        <>
          <dl className={classes.facts}>
            <Fact name={t('persons.first_seen')}>{format.dateTime(row.first_seen)}</Fact>
            <Fact name={t('persons.last_seen')}>{format.dateTime(row.last_seen)}</Fact>
            <Fact name={t('persons.events')}>{format.count(row.events)}</Fact>
          </dl>
          <h3 className={classes.heading}>{t('persons.profile')}</h3>
          {row.properties.length + row.sealed.length === 0 && (
            <p className={classes.soft}>{t('persons.no_profile')}</p>
          )}
          <dl className={classes.facts}>
            {row.properties.map(({ name, value }) => (
              <Fact key={name} name={name}>
                <PlainValue value={value} />
              </Fact>
            ))}
            {row.sealed.map((sealed) => (
              <Fact key={sealed.name} name={sealed.name}>
                <SealedValue class={sealed.class} />
              </Fact>
            ))}
          </dl>
          {row.sealed.length > 0 && <p className={classes.soft}>{t('persons.sealed_note')}</p>}
        </>
      )}
      <p className={classes.soft}>
        <Link
          to="/p/$project/disclosures"
          params={{ project: String(project.id) }}
          search={{ person: pseudonym }}
          className={classes.open}
        >
          {t('reveal.history')}
        </Link>
      </p>
      <h3 className={classes.heading}>{t('persons.timeline')}</h3>
      <ErrorNote error={answer.error} />
      {answer.isPending && <Skeleton height={160} />}
      {events?.length === 0 && <p className={classes.soft}>{t('persons.no_events')}</p>}
      {events && byDay(events, format.day).map(({ day, rows }) => <Day key={day} day={day} rows={rows} />)}
      {events?.length === EVENTS_MAX && (
        <p className={classes.soft}>{t('persons.newest', { count: EVENTS_MAX })}</p>
      )}
    </div>
  );
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Day({ day, rows }: { day: string; rows: EventRow[] }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  return (
    <section>
      <h4 className={classes.day}>{day}</h4>
      <ol className={classes.timeline}>
        {rows.map((event, at) => (
          <li key={at}>
            <details>
              <summary>
                <span className={classes.soft}>{format.time(event.time)}</span>
                <span className={classes.event}>{event.event}</span>
                <span className={classes.soft}>
                  {t('persons.properties', { count: event.properties.length })}
                </span>
              </summary>
              <dl className={classes.facts}>
                {event.properties.map(({ name, value }) => (
                  <Fact key={name} name={name}>
                    <PlainValue value={value} />
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
