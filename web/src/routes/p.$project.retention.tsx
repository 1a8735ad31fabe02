// Retention: of those who began in an interval, how many came back later.

import { useQuery } from '@tanstack/react-query';
import { createFileRoute } from '@tanstack/react-router';
import { useMemo } from 'react';
import { eventNamesQuery } from '../api/queries';
import { RetentionCurve, RetentionHeat } from '../charts/Retention';
import { useTranslation } from '../i18n';
import { decodeRetention, encodeRetention, readRetentionSearch } from '../query/codec';
import { DateRangePicker } from '../query/DateRangePicker';
import { firstRetention } from '../query/defaults';
import { RetentionRail } from '../query/RetentionRail';
import { useAnswer } from '../query/useAnswer';
import { useQuestion } from '../query/useQuestion';
import { EmptyState } from '../ui/EmptyState';
import { NoEvents } from '../ui/NoEvents';
import { usePageTitle, useProject } from '../ui/project';
import { Report } from '../ui/Report';
import { ShapeSwitch } from '../ui/ShapeSwitch';

export const Route = createFileRoute('/p/$project/retention')({
  validateSearch: readRetentionSearch,
  component: Retention,
});

function Retention() {
  const { t } = useTranslation();
  const project = useProject();
  usePageTitle(t('nav.retention'), project.name);
  const search = Route.useSearch();
  const { data: names } = useQuery(eventNamesQuery(project.id));
  const first = useMemo(firstRetention, []);
  const { query, setQuery, setView } = useQuestion({
    search,
    decode: decodeRetention,
    encode: encodeRetention,
    first,
  });
  const { table, outdated, ...asked } = useAnswer('retention', names?.length === 0 ? null : query);
  if (names?.length === 0) return <NoEvents />;
  if (!query) return null;

  const view = search.view ?? 'table';

  return (
    <Report
      title={t('nav.retention')}
      rail={<RetentionRail query={query} onChange={setQuery} />}
      tools={
        <>
          <DateRangePicker range={query.range} onChange={(range) => setQuery({ ...query, range })} />
          <ShapeSwitch
            value={view}
            shapes={(['table', 'curve'] as const).map((one) => ({ value: one, label: t(`charts.${one}`) }))}
            onChange={(one) => setView({ view: one as 'table' | 'curve' })}
          />
        </>
      }
      outdated={outdated}
      {...asked}
      onRefresh={asked.refresh}
    >
      {table &&
        (table.cohorts.length === 0 ? (
          <EmptyState compact title={t('retention.nobody')}>
            {t('retention.nobody_text')}
          </EmptyState>
        ) : view === 'table' ? (
          <RetentionHeat query={query} table={table} />
        ) : (
          <RetentionCurve query={query} table={table} />
        ))}
    </Report>
  );
}
