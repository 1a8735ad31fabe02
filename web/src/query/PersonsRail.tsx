// "Those who did …": the question behind the list of persons.

import type { PersonsQuery } from '../api/types';
import { useTranslation } from '../i18n';
import { EventPicker } from './EventPicker';
import { Clause, orNone, Rail, WhereClause } from './Rail';

interface PersonsRailProps {
  query: PersonsQuery;
  onChange: (query: PersonsQuery) => void;
}

export function PersonsRail({ query, onChange }: PersonsRailProps) {
  const { t } = useTranslation();
  const matching = query.matching ?? {};
  return (
    <Rail>
      <Clause name={t('query.who_did')}>
        <EventPicker
          label={t('query.event')}
          event={matching.event}
          onChange={(event) => onChange({ ...query, matching: { ...matching, event } })}
        />
      </Clause>
      <WhereClause
        filters={matching.filters}
        onChange={(filters) => onChange({ ...query, matching: { ...matching, filters: orNone(filters) } })}
      />
    </Rail>
  );
}
