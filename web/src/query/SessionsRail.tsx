// "Sessions in which Purchase happened, by plan": the question of a Sessions report.

import type { EventMatch, SessionsQuery } from '../api/types';
import { useTranslation } from '../i18n';
import classes from './Builder.module.css';
import { EventPicker } from './EventPicker';
import { Filters } from './Filters';
import { ByClause, Clause, orNone, Rail } from './Rail';
import { SessionClause } from './SessionClause';

interface SessionsRailProps {
  query: SessionsQuery;
  onChange: (query: SessionsQuery) => void;
}

export function SessionsRail({ query, onChange }: SessionsRailProps) {
  const { t } = useTranslation();
  const matching: EventMatch = query.matching ?? {};
  return (
    <Rail>
      <SessionClause rule={query.sessions} onChange={(sessions) => onChange({ ...query, sessions })} />
      <Clause name={t('query.session_with')}>
        <div className={classes.card}>
          <EventPicker
            label={t('query.session_with')}
            event={matching.event}
            onChange={(event) => onChange({ ...query, matching: { ...matching, event } })}
          />
          <Filters
            main
            filters={matching.filters}
            onChange={(filters) =>
              onChange({ ...query, matching: { ...matching, filters: orNone(filters) } })
            }
          />
        </div>
      </Clause>
      <ByClause breakdown={query.breakdown} onChange={(breakdown) => onChange({ ...query, breakdown })} />
    </Rail>
  );
}
