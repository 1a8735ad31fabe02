// Frequency: on how many different hours or days of a period people did something.

import { useQuery } from '@tanstack/react-query';
import { createFileRoute } from '@tanstack/react-router';
import { useMemo } from 'react';
import { eventNamesQuery } from '../api/queries';
import { FrequencyColumns, FrequencyHeat } from '../charts/Frequency';
import { useTranslation } from '../i18n';
import { decodeFrequency, encodeFrequency, readFrequencySearch } from '../query/codec';
import { DateRangePicker } from '../query/DateRangePicker';
import { firstFrequency } from '../query/defaults';
import { FrequencyRail } from '../query/FrequencyRail';
import { useAnswer } from '../query/useAnswer';
import { useQuestion } from '../query/useQuestion';
import { EmptyState } from '../ui/EmptyState';
import { NoEvents } from '../ui/NoEvents';
import { usePageTitle, useProject } from '../ui/project';
import { Report } from '../ui/Report';
import { ShapeSwitch } from '../ui/ShapeSwitch';

export const Route = createFileRoute('/p/$project/frequency')({
  validateSearch: readFrequencySearch,
  component: Frequency,
});

function Frequency() {
  const { t } = useTranslation();
  const project = useProject();
  usePageTitle(t('nav.frequency'), project.name);
  const search = Route.useSearch();
  const { data: names } = useQuery(eventNamesQuery(project.id));
  const first = useMemo(firstFrequency, []);
  const { query, setQuery, setView } = useQuestion({
    search,
    decode: decodeFrequency,
    encode: encodeFrequency,
    first,
  });
  const { table, outdated, ...asked } = useAnswer('frequency', names?.length === 0 ? null : query);
  if (names?.length === 0) return <NoEvents />;
  if (!query) return null;

  const view = search.view ?? 'bars';
  const nobody = table?.periods.every(({ persons }) => persons === 0) ?? false;

  return (
    <Report
      title={t('nav.frequency')}
      rail={<FrequencyRail query={query} onChange={setQuery} />}
      tools={
        <>
          <DateRangePicker range={query.range} onChange={(range) => setQuery({ ...query, range })} />
          <ShapeSwitch
            value={view}
            shapes={(['bars', 'table'] as const).map((one) => ({ value: one, label: t(`charts.${one}`) }))}
            onChange={(one) => setView({ view: one as 'bars' | 'table' })}
          />
        </>
      }
      outdated={outdated}
      {...asked}
      onRefresh={asked.refresh}
    >
      {table &&
        (nobody ? (
          <EmptyState compact title={t('frequency.nobody')}>
            {t('frequency.nobody_text')}
          </EmptyState>
        ) : view === 'bars' ? (
          <FrequencyColumns query={query} table={table} />
        ) : (
          <FrequencyHeat query={query} table={table} />
        ))}
    </Report>
  );
}
