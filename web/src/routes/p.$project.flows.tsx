// Flows: which events come before and after another, as paths.

import { useQuery } from '@tanstack/react-query';
import { createFileRoute } from '@tanstack/react-router';
import { useMemo } from 'react';
import { eventNamesQuery } from '../api/queries';
import { FlowsChart } from '../charts/Flows';
import { useTranslation } from '../i18n';
import { decodeFlows, encodeFlows, readFlowsSearch } from '../query/codec';
import { DateRangePicker } from '../query/DateRangePicker';
import { firstFlows } from '../query/defaults';
import { FlowsRail } from '../query/FlowsRail';
import { useAnswer } from '../query/useAnswer';
import { useQuestion } from '../query/useQuestion';
import { EmptyState } from '../ui/EmptyState';
import { NoEvents } from '../ui/NoEvents';
import { usePageTitle, useProject } from '../ui/project';
import { Report } from '../ui/Report';

export const Route = createFileRoute('/p/$project/flows')({
  validateSearch: readFlowsSearch,
  component: Flows,
});

function Flows() {
  const { t } = useTranslation();
  const project = useProject();
  usePageTitle(t('nav.flows'), project.name);
  const search = Route.useSearch();
  const { data: names } = useQuery(eventNamesQuery(project.id));
  const first = useMemo(() => (names ? firstFlows(names) : null), [names]);
  const { query, setQuery } = useQuestion({ search, decode: decodeFlows, encode: encodeFlows, first });
  const { table, outdated, ...asked } = useAnswer('flows', names?.length === 0 ? null : query);
  if (names?.length === 0) return <NoEvents />;
  if (!query) return null;

  return (
    <Report
      title={t('nav.flows')}
      rail={<FlowsRail query={query} onChange={setQuery} />}
      tools={<DateRangePicker range={query.range} onChange={(range) => setQuery({ ...query, range })} />}
      outdated={outdated}
      {...asked}
      onRefresh={asked.refresh}
    >
      {table &&
        (table.overall.anchors === 0 ? (
          <EmptyState compact title={t('flows.nobody')}>
            {t('flows.nobody_text')}
          </EmptyState>
        ) : (
          <FlowsChart query={query} flow={table.overall} />
        ))}
    </Report>
  );
}
