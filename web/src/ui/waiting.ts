// Requests of others about which the reader has not decided yet: for the list, and for the number beside it.
import { type UseQueryResult, useQuery } from '@tanstack/react-query';
import { disclosuresQuery, sessionQuery } from '../api/queries';
import type { Disclosure } from '../api/types';

export function useWaiting(everyMs: number): UseQueryResult<Disclosure[]> {
  const { data: session } = useQuery(sessionQuery());
  const me = session?.user?.id;
  return useQuery({
    ...disclosuresQuery(),
    refetchInterval: everyMs,
    select: (all) =>
      all.filter(
        ({ is_for_me, state, approvals }) =>
          is_for_me && state === 'waiting' && !approvals.some(({ member }) => member === me),
      ),
  });
}
