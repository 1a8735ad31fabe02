// Sessions: how many there were, how long and how full, and when one ends.

import { useQuery } from '@tanstack/react-query';
import { createFileRoute } from '@tanstack/react-router';
import { useMemo } from 'react';
import { eventNamesQuery } from '../api/queries';
import type { DateRange, Unit } from '../api/types';
import { SessionsChart } from '../charts/Sessions';
import { useTranslation } from '../i18n';
import {
  decodeSessions,
  encodeSessions,
  PLAIN_CHARTS,
  type PlainChart,
  readSessionsSearch,
  UNITS,
} from '../query/codec';
import { DateRangePicker } from '../query/DateRangePicker';
import { firstSessions, unitSuits, usualUnit } from '../query/defaults';
import { SessionsRail } from '../query/SessionsRail';
import { useAnswer } from '../query/useAnswer';
import { useQuestion } from '../query/useQuestion';
import { EmptyState } from '../ui/EmptyState';
import { NoEvents } from '../ui/NoEvents';
import { Picker } from '../ui/Picker';
import { usePageTitle, useProject } from '../ui/project';
import { Report } from '../ui/Report';
import { ShapeSwitch } from '../ui/ShapeSwitch';

export const Route = createFileRoute('/p/$project/sessions')({
  validateSearch: readSessionsSearch,
  component: Sessions,
});

function Sessions() {
  const { t } = useTranslation();
  const project = useProject();
  usePageTitle(t('nav.sessions'), project.name);
  const search = Route.useSearch();
  const { data: names } = useQuery(eventNamesQuery(project.id));
  const first = useMemo(firstSessions, []);
  const { query, setQuery, setView } = useQuestion({
    search,
    decode: decodeSessions,
    encode: encodeSessions,
    first,
  });
  const { table, outdated, ...asked } = useAnswer('sessions', names?.length === 0 ? null : query);
  if (names?.length === 0) return <NoEvents />;
  if (!query) return null;

  const shape = search.chart ?? 'line';
  const setRange = (range: DateRange) =>
    setQuery({ ...query, range, unit: unitSuits(query.unit, range) ? query.unit : usualUnit(range) });
  const nothing = table?.series.every(({ total }) => total.sessions === 0) ?? false;

  return (
    <Report
      title={t('nav.sessions')}
      rail={<SessionsRail query={query} onChange={setQuery} />}
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
            shapes={PLAIN_CHARTS.map((chart) => ({ value: chart, label: t(`charts.${chart}`) }))}
            onChange={(chart) => setView({ chart: chart as PlainChart })}
          />
        </>
      }
      outdated={outdated}
      {...asked}
      onRefresh={asked.refresh}
    >
      {table &&
        (nothing ? (
          <EmptyState compact title={t('sessions.nothing')}>
            {t('sessions.nothing_text')}
          </EmptyState>
        ) : (
          <SessionsChart
            query={query}
            table={table}
            shape={shape}
            figure={search.figure ?? 'sessions'}
            onFigure={(figure) => setView({ figure })}
          />
        ))}
    </Report>
  );
}
