// When a session ends: after a rest, at an event, or where a property changes. Every session also ends at
// midnight of the project, which the words say.

import { useQuery } from '@tanstack/react-query';
import { eventNamesQuery, propertiesQuery } from '../api/queries';
import type { EventMatch, FlowsQuery, FunnelQuery, SessionRule } from '../api/types';
import { useTranslation } from '../i18n';
import { Picker } from '../ui/Picker';
import { useProject } from '../ui/project';
import classes from './Builder.module.css';
import { CountInput } from './CountInput';
import { SESSION_MINUTES, SESSION_MINUTES_MAX } from './codec';
import { EventPicker } from './EventPicker';
import { Filters, PropertyPicker } from './Filters';
import { Clause, orNone } from './Rail';

interface SessionClauseProps {
  rule: SessionRule | undefined;
  onChange: (rule: SessionRule | undefined) => void;
}

/** Whether a funnel or flow asks what a session is. */
export const countsSessions = (query: FunnelQuery | FlowsQuery): boolean =>
  query.count === 'sessions' || query.window?.unit === 'session';

const KINDS = ['timeout', 'events', 'property'] as const satisfies SessionRule['kind'][];
const USUAL = { kind: 'timeout', minutes: SESSION_MINUTES } as const satisfies SessionRule;

export function SessionClause({ rule = USUAL, onChange }: SessionClauseProps) {
  const { t } = useTranslation();
  const project = useProject();
  const { data: properties = [] } = useQuery(propertiesQuery(project.id));
  const { data: names = [] } = useQuery(eventNamesQuery(project.id));
  const readable = properties.filter(({ types }) => types.length > 0);

  const choose = (kind: string) => {
    if (kind === 'events')
      onChange({ kind, start: { event: names[0]?.name }, end: { event: names[1]?.name } });
    else if (kind === 'property' && readable[0]) onChange({ kind, property: readable[0].name });
    else if (kind === 'timeout') onChange(undefined);
  };
  const match = (matching: EventMatch, label: string, change: (matching: EventMatch) => void) => (
    <>
      <span className={classes.word}>{label}</span>
      <div className={classes.card}>
        <EventPicker
          label={label}
          event={matching.event}
          onChange={(event) => change({ ...matching, event })}
        />
        <Filters
          filters={matching.filters}
          onChange={(filters) => change({ ...matching, filters: orNone(filters) })}
        />
      </div>
    </>
  );

  return (
    <Clause name={t('query.session')}>
      <div className={classes.cardLine}>
        <Picker
          label={t('query.session_kind')}
          value={rule.kind}
          options={KINDS.map((kind) => ({
            value: kind,
            label: t(`session_rules.${kind}`),
            disabled: kind === 'property' && readable.length === 0,
          }))}
          onChange={choose}
        />
        {rule.kind === 'timeout' && (
          <>
            <CountInput
              label={t('query.session_minutes')}
              value={rule.minutes}
              max={SESSION_MINUTES_MAX}
              onChange={(minutes) => onChange({ kind: 'timeout', minutes })}
            />
            <span className={classes.word}>{t('query.minutes')}</span>
          </>
        )}
        {rule.kind === 'property' && (
          <PropertyPicker
            label={t('query.property')}
            properties={readable}
            value={rule.property}
            onChange={(property) => onChange({ kind: 'property', property })}
          />
        )}
      </div>
      {rule.kind === 'events' && (
        <>
          {match(rule.start, t('query.session_start'), (start) => onChange({ ...rule, start }))}
          {match(rule.end, t('query.session_end'), (end) => onChange({ ...rule, end }))}
        </>
      )}
      <span className={classes.word}>{t('query.session_midnight')}</span>
    </Clause>
  );
}
