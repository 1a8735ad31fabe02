// Router and query cache, and the two rules that tie them: whoever turns out to be signed out goes to the
// sign-in page and comes back afterwards; and while keys are sealed, every page says so.
import { QueryCache, QueryClient } from '@tanstack/react-query';
import { createRouter } from '@tanstack/react-router';
import { ApiError } from './api/client';
import { type Sealed, sealedQuery, sessionQuery } from './api/queries';
import { Declined } from './api/stepUp';
import { parseSearch, stringifySearch } from './query/codec';
import { routeTree } from './routeTree.gen';
import { PageError, PageMissing, PagePending } from './ui/PageStates';

const RETRIES_MAX = 2;
const SEALED_BY: Record<string, Sealed> = { organisation_sealed: 'organisation', sealed: 'server' };

export function makeQueryClient(router: () => Router): QueryClient {
  const queryClient = new QueryClient({
    queryCache: new QueryCache({
      onError: (error) => {
        if (!(error instanceof ApiError)) return;
        const sealed = SEALED_BY[error.code];
        if (sealed) queryClient.setQueryData(sealedQuery().queryKey, sealed);
        if (error.code !== 'not_signed_in') return;
        queryClient.removeQueries({ queryKey: sessionQuery().queryKey });
        const { pathname, searchStr } = router().state.location;
        if (pathname === '/login') return;
        router().navigate({ to: '/login', search: { next: pathname + searchStr } });
      },
      onSuccess: (_, { queryKey }) => {
        const isOfProject = queryKey[0] === 'project';
        if (!isOfProject || !queryClient.getQueryData(sealedQuery().queryKey)) return;
        queryClient.setQueryData(sealedQuery().queryKey, null);
        queryClient.invalidateQueries();
      },
    }),
    defaultOptions: {
      queries: {
        // A refusal stays a refusal; only a server that could not be reached is asked again.
        retry: (failures, error) =>
          failures < RETRIES_MAX &&
          !(error instanceof Declined) &&
          !(error instanceof ApiError && (error.status < 500 || error.code in SEALED_BY)),
        refetchOnWindowFocus: false,
      },
    },
  });
  return queryClient;
}

export function makeRouter(queryClient: QueryClient) {
  return createRouter({
    routeTree,
    context: { queryClient },
    parseSearch,
    stringifySearch,
    defaultPreload: 'intent',
    defaultPreloadStaleTime: 0,
    defaultPendingMs: 200,
    defaultPendingComponent: PagePending,
    defaultErrorComponent: PageError,
    defaultNotFoundComponent: PageMissing,
    scrollRestoration: true,
  });
}

export type Router = ReturnType<typeof makeRouter>;

declare module '@tanstack/react-router' {
  interface Register {
    router: Router;
  }
}
