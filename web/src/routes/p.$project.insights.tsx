// Insights: how often, and by how many persons, events happened over time.

import { useQuery } from '@tanstack/react-query';
import { createFileRoute } from '@tanstack/react-router';
import { useMemo } from 'react';
import { eventNamesQuery } from '../api/queries';
import type { DateRange, Unit } from '../api/types';
import { InsightsChart } from '../charts/Insights';
import { hasNothing } from '../charts/nothing';
import { useTranslation } from '../i18n';
import {
  CHARTS,
  type Chart,
  decodeInsights,
  encodeInsights,
  readInsightsSearch,
  UNITS,
} from '../query/codec';
import { DateRangePicker } from '../query/DateRangePicker';
import { firstInsights, unitSuits, usualUnit } from '../query/defaults';
import { InsightsRail, letterOf } from '../query/InsightsRail';
import { useAnswer } from '../query/useAnswer';
import { useQuestion } from '../query/useQuestion';
import { EmptyState } from '../ui/EmptyState';
import { NoEvents } from '../ui/NoEvents';
import { Picker } from '../ui/Picker';
import { usePageTitle, useProject } from '../ui/project';
import { Report } from '../ui/Report';
import { ShapeSwitch } from '../ui/ShapeSwitch';

export const Route = createFileRoute('/p/$project/insights')({
  validateSearch: readInsightsSearch,
  component: Insights,
});

function Insights() {
  const { t } = useTranslation();
  const project = useProject();
  usePageTitle(t('nav.insights'), project.name);
  const search = Route.useSearch();
  const { data: names } = useQuery(eventNamesQuery(project.id));
  const first = useMemo(() => (names ? firstInsights(names) : null), [names]);
  const { query, setQuery, setView } = useQuestion({
    search,
    decode: decodeInsights,
    encode: encodeInsights,
    first,
  });
  const { table, outdated, ...asked } = useAnswer('insights', names?.length === 0 ? null : query);
  if (names?.length === 0) return <NoEvents />;
  if (!query) return null;

  const shape = search.chart ?? 'line';
  const setRange = (range: DateRange) =>
    setQuery({ ...query, range, unit: unitSuits(query.unit, range) ? query.unit : usualUnit(range) });

  return (
    <Report
      title={t('nav.insights')}
      rail={<InsightsRail query={query} onChange={setQuery} />}
      tools={
        <>
          <DateRangePicker range={query.range} onChange={setRange} />
          <Picker
            label={t('report.unit')}
            value={query.unit}
            options={UNITS.map((unit) => ({
              value: unit,
              label: t(`by_units.${unit}`),
              disabled: !unitSuits(unit, query.range),
            }))}
            onChange={(unit) => setQuery({ ...query, unit: unit as Unit })}
          />
          <ShapeSwitch
            value={shape}
            shapes={CHARTS.map((chart) => ({ value: chart, label: t(`charts.${chart}`) }))}
            onChange={(chart) => setView({ chart: chart as Chart })}
          />
        </>
      }
      outdated={outdated}
      {...asked}
      onRefresh={asked.refresh}
    >
      {table &&
        (hasNothing(table) ? (
          <EmptyState compact title={t('report.nothing')}>
            {t('report.nothing_text')}
          </EmptyState>
        ) : (
          <InsightsChart query={query} table={table} shape={shape} letterOf={letterOf} />
        ))}
    </Report>
  );
}
