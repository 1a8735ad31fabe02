// "On how many days of a week people did Purchase": the question of a Frequency report.

import type { EventMatch, FrequencyQuery, Unit } from '../api/types';
import { useTranslation } from '../i18n';
import { Picker } from '../ui/Picker';
import classes from './Builder.module.css';
import { FREQUENCY_PERIODS } from './codec';
import { EventPicker } from './EventPicker';
import { Filters } from './Filters';
import { Clause, orNone, Rail, WhereClause } from './Rail';

interface FrequencyRailProps {
  query: FrequencyQuery;
  onChange: (query: FrequencyQuery) => void;
}

export function FrequencyRail({ query, onChange }: FrequencyRailProps) {
  const { t } = useTranslation();
  const matching: EventMatch = query.matching ?? {};
  return (
    <Rail>
      <Clause name={t('query.who_did')}>
        <div className={classes.card}>
          <EventPicker
            label={t('query.who_did')}
            event={matching.event}
            onChange={(event) => onChange({ ...query, matching: { ...matching, event } })}
          />
          <Filters
            filters={matching.filters}
            onChange={(filters) =>
              onChange({ ...query, matching: { ...matching, filters: orNone(filters) } })
            }
          />
        </div>
      </Clause>
      <Clause name={t('query.on_different')}>
        <div className={classes.cardLine}>
          <Picker
            label={t('query.on_different')}
            value={query.period}
            options={FREQUENCY_PERIODS.map((period) => ({ value: period, label: t(`periods.${period}`) }))}
            onChange={(period) => onChange({ ...query, period: period as Unit })}
          />
        </div>
        <div className={classes.cardLine}>
          <Picker
            label={t('query.how_counted')}
            value={query.cumulative ? 'at_least' : 'exactly'}
            options={(['exactly', 'at_least'] as const).map((value) => ({
              value,
              label: t(`frequency.${value}`),
            }))}
            onChange={(value) => onChange({ ...query, cumulative: value === 'at_least' })}
          />
        </div>
      </Clause>
      <WhereClause
        filters={query.filters}
        onChange={(filters) => onChange({ ...query, filters: orNone(filters) })}
      />
    </Rail>
  );
}
