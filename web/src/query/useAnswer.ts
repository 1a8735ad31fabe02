// Asks a question as it is being edited: after a short rest, with the last answer staying on screen
// until the next one is there, and the request in flight cancelled when the question changes.
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { answerQuery } from '../api/queries';
import type { Answer, Query, ResultTable } from '../api/types';
import { useProject } from '../ui/project';

const REST_MS = 250;

export interface Asked<T> {
  /** The table, of the kind that was asked for. */
  table: T | undefined;
  answer: Answer | undefined;
  /** What is shown answers an older question. */
  outdated: boolean;
  loading: boolean;
  error: Error | null;
  refresh: () => void;
}

export function useAnswer<Kind extends ResultTable['kind']>(
  kind: Kind,
  query: Query | null,
): Asked<Extract<ResultTable, { kind: Kind }>> {
  const project = useProject();
  // Compared as text: an equal question is the same question, however it was put together.
  const asked = query === null ? '' : JSON.stringify(query);
  const [rested] = useDebouncedValue(asked, REST_MS, { leading: true });
  const settled = useMemo(() => (rested === '' ? null : (JSON.parse(rested) as Query)), [rested]);
  const result = useQuery({
    ...answerQuery(project.id, settled ?? ({} as Query)),
    enabled: settled !== null,
    placeholderData: keepPreviousData,
  });
  const table = result.data?.table;
  return {
    table: table?.kind === kind ? (table as Extract<ResultTable, { kind: Kind }>) : undefined,
    answer: result.data,
    outdated: rested !== asked || result.isPlaceholderData || (result.isFetching && !!result.data),
    // Without a question there is nothing to wait for.
    loading: settled !== null && result.isPending,
    error: result.error,
    refresh: () => result.refetch(),
  };
}
