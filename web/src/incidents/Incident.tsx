// One incident: the clock that stays in sight, then what there is to do in its order. Each section says
// whether it has what it is there for.

import { IconCheck, IconCircleDashed } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { deadlinesQuery, incidentQuery } from '../api/oversight';
import type { ExposureQuestion, Incident as One } from '../api/types';
import { useTranslation } from '../i18n';
import { ErrorNote } from '../ui/ErrorNote';
import { useMemberName } from '../ui/members';
import page from '../ui/Page.module.css';
import { PagePending } from '../ui/PageStates';
import { usePageTitle, useProject, useProjectFormat } from '../ui/project';
import { useNow } from '../ui/time';
import { Assess } from './Assess';
import { Contain } from './Contain';
import { type Due, dayThree, duesOf, isDone, STEPS, type Step } from './clock';
import { Export } from './Export';
import classes from './Incidents.module.css';
import { Notify } from './Notify';
import { Scope } from './Scope';

const EVERY_MS = 15_000;

/** Of an exposure from which an incident was opened. */
export interface Asked {
  /** The account that it was about alone. */
  member?: string;
  from?: string;
  to?: string;
  question?: ExposureQuestion;
}

interface IncidentProps {
  id: number;
  /** What an exposure was asked with when the incident was opened from it. */
  asked: Asked;
}

export function Incident({ id, asked }: IncidentProps) {
  const { t } = useTranslation();
  const project = useProject();
  const nameOf = useMemberName();
  const { data: incident, error } = useQuery({ ...incidentQuery(id), refetchInterval: EVERY_MS });
  usePageTitle(t('incidents.one', { number: id }), project.name);
  return (
    <div className={page.page}>
      <div className={page.head}>
        <h1 className={page.title}>{t('incidents.one', { number: id })}</h1>
        {incident && (
          <p className={page.lead}>
            {incident.service} · {t(`incident_causes.${incident.cause}`)}
          </p>
        )}
        {incident?.trip && (
          <p className={page.refusal}>
            {t('incidents.by_limit', {
              name: nameOf(incident.trip.by_member),
              what: t(`limit_rules.${incident.trip.rule}`),
            })}
          </p>
        )}
      </div>
      <ErrorNote error={error} />
      {!incident && !error && <PagePending />}
      {incident && (
        <>
          <ClockBar incident={incident} />
          <div className={classes.sections}>
            <Section incident={incident} step="scope">
              <Scope incident={incident} asked={asked} />
            </Section>
            <Section incident={incident} step="contain">
              <Contain incident={incident} asked={asked} />
            </Section>
            <Section incident={incident} step="assess">
              <Assess key={incident.id} incident={incident} />
            </Section>
            <Section incident={incident} step="notify">
              <Notify incident={incident} />
            </Section>
            <Section incident={incident} step="export">
              <Export incident={incident} />
            </Section>
          </div>
        </>
      )}
    </div>
  );
}

/** Which deadline comes next, how many persons it is about, and where to go. */
function ClockBar({ incident }: { incident: One }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const now = useNow();
  const { data: deadlines = [] } = useQuery(deadlinesQuery(incident.id));
  const dues = duesOf(deadlines, now * 1_000);
  const first = dayThree(dues);
  const next = dues.find((due) => due !== first && due.nearness !== 'past');
  const persons = incident.scopes.at(-1)?.persons;
  return (
    <section className={classes.clock} aria-label={t('incidents.clock')}>
      {first ? <Left due={first} /> : <span>{t('incidents.not_aware')}</span>}
      {next && <Left due={next} />}
      <div className={classes.due}>
        <strong>{format.figure(persons)}</strong>
        <span>{t('incidents.persons')}</span>
      </div>
      <nav aria-label={t('incidents.steps')} className={classes.end}>
        <ol className={classes.steps}>
          {STEPS.map((step) => (
            <li key={step}>
              <a href={`#${step}`}>
                {isDone(incident, step) ? (
                  <IconCheck size={14} aria-hidden="true" />
                ) : (
                  <IconCircleDashed size={14} aria-hidden="true" />
                )}
                {t(`incident_steps.${step}`)}
                <span className={classes.hidden}>
                  {t(isDone(incident, step) ? 'incidents.done' : 'incidents.to_do')}
                </span>
              </a>
            </li>
          ))}
        </ol>
      </nav>
    </section>
  );
}

function Left({ due: { deadline, due_us, left_us, nearness } }: { due: Due }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const time = format.duration(Math.abs(left_us) / 1_000);
  return (
    <div
      className={classes.due}
      data-past={nearness === 'past' || undefined}
      data-soon={nearness === 'soon' || undefined}
    >
      <strong>{t(nearness === 'past' ? 'incidents.over' : 'incidents.left', { time })}</strong>
      <span>
        <span lang="en">{`${deadline.regime}, ${deadline.within}`}</span>
        {' · '}
        {format.dateTime(new Date(due_us / 1_000).toISOString())}
      </span>
    </div>
  );
}

function Section({ incident, step, children }: { incident: One; step: Step; children: ReactNode }) {
  const { t } = useTranslation();
  const done = isDone(incident, step);
  return (
    <section
      id={step}
      className={`${page.panel} ${classes.section}`}
      aria-label={t(`incident_steps.${step}`)}
    >
      <h2 className={classes.step}>
        {t(`incident_steps.${step}`)}
        <span className={classes.state} data-done={done || undefined}>
          {done ? (
            <IconCheck size={12} aria-hidden="true" />
          ) : (
            <IconCircleDashed size={12} aria-hidden="true" />
          )}
          {t(done ? 'incidents.done' : 'incidents.to_do')}
        </span>
      </h2>
      {children}
    </section>
  );
}
