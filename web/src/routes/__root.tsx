// What every page has: the query cache in reach of its loaders, and the one dialog in which a factor is shown
// again.
import type { QueryClient } from '@tanstack/react-query';
import { createRootRouteWithContext, Outlet } from '@tanstack/react-router';
import { lazy, Suspense } from 'react';

// Nobody can be asked for a factor before a page has loaded and something was pressed.
const StepUp = lazy(() => import('../ui/StepUp'));

export const Route = createRootRouteWithContext<{ queryClient: QueryClient }>()({ component: Root });

function Root() {
  return (
    <>
      <Outlet />
      <Suspense>
        <StepUp />
      </Suspense>
    </>
  );
}
