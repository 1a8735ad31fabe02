// Router and query cache, and the one rule that ties them: whoever turns out to be signed out goes to
// the sign-in page and comes back afterwards.
import { QueryCache, QueryClient } from '@tanstack/react-query';
import { createRouter } from '@tanstack/react-router';
import { ApiError } from './api/client';
import { sessionQuery } from './api/queries';
import { parseSearch, stringifySearch } from './query/codec';
import { routeTree } from './routeTree.gen';
import { PageError, PageMissing, PagePending } from './ui/PageStates';

const RETRIES_MAX = 2;

export function makeQueryClient(router: () => Router): QueryClient {
  const queryClient = new QueryClient({
    queryCache: new QueryCache({
      onError: (error) => {
        if (!(error instanceof ApiError) || error.status !== 401) return;
        queryClient.removeQueries({ queryKey: sessionQuery().queryKey });
        const { pathname, searchStr } = router().state.location;
        if (pathname === '/login') return;
        router().navigate({ to: '/login', search: { next: pathname + searchStr } });
      },
    }),
    defaultOptions: {
      queries: {
        // A refusal stays a refusal; only a server that could not be reached is asked again.
        retry: (failures, error) =>
          failures < RETRIES_MAX && !(error instanceof ApiError && error.status < 500),
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
