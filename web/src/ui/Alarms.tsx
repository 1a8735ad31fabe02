// What somebody in charge must know now, on every page: a limit that stopped somebody and opened an incident,
// one that refused, and personal values of many that leave. The first stays until the incident is contained, the
// others for an hour.

import { IconAlertOctagon, IconAlertTriangle } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { alarmsQuery } from '../api/queries';
import type { Alarm } from '../api/types';
import { useTranslation } from '../i18n';
import classes from './Alarms.module.css';
import { useMemberName } from './members';
import { useProject, useProjectFormat } from './project';

const EVERY_MS = 10_000;
const SHOWN_MAX = 3;

/** Those that still want somebody: what is contained is told on its page. */
export function useAlarms(): Alarm[] {
  const { data = [] } = useQuery({ ...alarmsQuery(), refetchInterval: EVERY_MS });
  return data.filter(({ is_contained }) => !is_contained);
}

export function Alarms() {
  const { t } = useTranslation();
  const project = useProject();
  const alarms = useAlarms();
  if (alarms.length === 0) return null;
  const more = alarms.length - SHOWN_MAX;
  return (
    <section className={classes.alarms} aria-label={t('alarm.title')}>
      {alarms.slice(0, SHOWN_MAX).map((alarm) => (
        <div
          key={`${alarm.kind} ${alarm.at_us} ${alarm.member}`}
          role="alert"
          className={classes.alarm}
          data-kind={alarm.kind}
        >
          <OneAlarm alarm={alarm} />
        </div>
      ))}
      {more > 0 && (
        <Link to="/p/$project/incidents" params={{ project: String(project.id) }} className={classes.more}>
          {t('alarm.more', { count: more })}
        </Link>
      )}
    </section>
  );
}

function OneAlarm({ alarm }: { alarm: Alarm }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const project = useProject();
  const nameOf = useMemberName();
  const { kind, rule, text, member, member_name, incident, at_us } = alarm;
  const name = member_name ?? nameOf(member);
  const Icon = kind === 'tripped' ? IconAlertOctagon : IconAlertTriangle;
  return (
    <>
      <Icon size={18} aria-hidden="true" className={classes.icon} />
      <span className={classes.text}>
        <strong>{t(`alarm.${kind}`, { name })}</strong>{' '}
        {rule ? t(`limit_rules.${rule}`) : <span lang="en">{text}</span>}.{' '}
        {typeof incident === 'number' && t('alarm.opened', { number: incident })}{' '}
        <time dateTime={new Date(at_us / 1_000).toISOString()}>
          {format.dateTime(new Date(at_us / 1_000).toISOString())}
        </time>
      </span>
      {typeof incident === 'number' ? (
        <Link
          to="/p/$project/incidents/$incident"
          params={{ project: String(project.id), incident: String(incident) }}
          hash="contain"
          className={classes.go}
        >
          {t('alarm.contain')}
        </Link>
      ) : (
        <Link
          to={kind === 'leaving' ? '/p/$project/disclosures' : '/p/$project/approvals'}
          params={{ project: String(project.id) }}
          className={classes.go}
        >
          {t(kind === 'leaving' ? 'alarm.disclosures' : 'alarm.limits')}
        </Link>
      )}
    </>
  );
}
