// "Show Purchase, count persons; where …; by …": the question of an Insights report.

import { ActionIcon } from '@mantine/core';
import { IconPlus, IconX } from '@tabler/icons-react';
import type { InsightsQuery, Metric } from '../api/types';
import { useTranslation } from '../i18n';
import { Picker } from '../ui/Picker';
import classes from './Builder.module.css';
import { METRICS_MAX } from './codec';
import { EventPicker } from './EventPicker';
import { Filters } from './Filters';
import { ByClause, Clause, orNone, Rail, WhereClause } from './Rail';

interface InsightsRailProps {
  query: InsightsQuery;
  onChange: (query: InsightsQuery) => void;
}

export const letterOf = (metric: number) => String.fromCharCode(65 + metric);

export function InsightsRail({ query, onChange }: InsightsRailProps) {
  const { t } = useTranslation();
  const setMetrics = (metrics: Metric[]) => onChange({ ...query, metrics });
  const setMetric = (at: number, metric: Metric) =>
    setMetrics(query.metrics.map((one, i) => (i === at ? metric : one)));

  return (
    <Rail>
      <Clause name={t('query.show')}>
        {query.metrics.map((metric, at) => (
          <div key={at} className={classes.card}>
            <div className={classes.cardHead}>
              <span className={classes.badge}>{letterOf(at)}</span>
              <EventPicker
                label={t('query.event')}
                event={metric.matching.event}
                onChange={(event) => setMetric(at, { ...metric, matching: { ...metric.matching, event } })}
              />
              {query.metrics.length > 1 && (
                <ActionIcon
                  variant="subtle"
                  color="gray"
                  size={24}
                  aria-label={t('query.remove_metric', { letter: letterOf(at) })}
                  onClick={() => setMetrics(query.metrics.filter((_, i) => i !== at))}
                >
                  <IconX size={14} />
                </ActionIcon>
              )}
            </div>
            <div className={classes.cardLine}>
              <span className={classes.word}>{t('query.count')}</span>
              <Picker
                label={t('query.measure')}
                value={metric.measure}
                options={[
                  { value: 'unique', label: t('measures.unique') },
                  { value: 'total', label: t('measures.total') },
                ]}
                onChange={(measure) => setMetric(at, { ...metric, measure: measure as Metric['measure'] })}
              />
            </div>
            <Filters
              filters={metric.matching.filters}
              onChange={(filters) =>
                setMetric(at, { ...metric, matching: { ...metric.matching, filters: orNone(filters) } })
              }
            />
          </div>
        ))}
        {query.metrics.length < METRICS_MAX && (
          <button
            type="button"
            className={classes.add}
            onClick={() => setMetrics([...query.metrics, query.metrics.at(-1)!])}
          >
            <IconPlus size={15} aria-hidden="true" />
            {t('query.add_metric')}
          </button>
        )}
      </Clause>
      <WhereClause
        filters={query.filters}
        onChange={(filters) => onChange({ ...query, filters: orNone(filters) })}
      />
      <ByClause breakdown={query.breakdown} onChange={(breakdown) => onChange({ ...query, breakdown })} />
    </Rail>
  );
}
