// Funnels: how many persons went through steps in order, and where they stopped.

import { useQuery } from '@tanstack/react-query';
import { createFileRoute } from '@tanstack/react-router';
import { useMemo } from 'react';
import { eventNamesQuery } from '../api/queries';
import { FunnelChart, FunnelTableView } from '../charts/Funnel';
import { useTranslation } from '../i18n';
import { decodeFunnel, encodeFunnel, readFunnelSearch } from '../query/codec';
import { DateRangePicker } from '../query/DateRangePicker';
import { firstFunnel } from '../query/defaults';
import { FunnelRail } from '../query/FunnelRail';
import { useAnswer } from '../query/useAnswer';
import { useQuestion } from '../query/useQuestion';
import { EmptyState } from '../ui/EmptyState';
import { NoEvents } from '../ui/NoEvents';
import { usePageTitle, useProject } from '../ui/project';
import { Report } from '../ui/Report';
import { ShapeSwitch } from '../ui/ShapeSwitch';

export const Route = createFileRoute('/p/$project/funnels')({
  validateSearch: readFunnelSearch,
  component: Funnels,
});

function Funnels() {
  const { t } = useTranslation();
  const project = useProject();
  usePageTitle(t('nav.funnels'), project.name);
  const search = Route.useSearch();
  const { data: names } = useQuery(eventNamesQuery(project.id));
  const first = useMemo(() => (names ? firstFunnel(names) : null), [names]);
  const { query, setQuery, setView } = useQuestion({
    search,
    decode: decodeFunnel,
    encode: encodeFunnel,
    first,
  });
  const { table, outdated, ...asked } = useAnswer('funnel', names?.length === 0 ? null : query);
  if (names?.length === 0) return <NoEvents />;
  if (!query) return null;

  const view = search.view ?? 'chart';
  const nobody = table?.overall.steps[0]?.count === 0;

  return (
    <Report
      title={t('nav.funnels')}
      rail={<FunnelRail query={query} onChange={setQuery} />}
      tools={
        <>
          <DateRangePicker range={query.range} onChange={(range) => setQuery({ ...query, range })} />
          <ShapeSwitch
            value={view}
            shapes={(['chart', 'table'] as const).map((one) => ({ value: one, label: t(`charts.${one}`) }))}
            onChange={(one) => setView({ view: one as 'chart' | 'table' })}
          />
        </>
      }
      outdated={outdated}
      {...asked}
      onRefresh={asked.refresh}
    >
      {table &&
        (nobody ? (
          <EmptyState compact title={t('funnel.nobody')}>
            {t('funnel.nobody_text')}
          </EmptyState>
        ) : view === 'chart' ? (
          <FunnelChart query={query} table={table} />
        ) : (
          <FunnelTableView query={query} table={table} />
        ))}
    </Report>
  );
}
