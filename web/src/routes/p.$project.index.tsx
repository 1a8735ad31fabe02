// A project's own address leads to its reports or, while nothing has arrived, to how to send something.
import { createFileRoute, redirect } from '@tanstack/react-router';
import { statusQuery } from '../api/queries';

export const Route = createFileRoute('/p/$project/')({
  beforeLoad: async ({ context: { queryClient }, params }) => {
    const { events } = await queryClient.fetchQuery(statusQuery(Number(params.project)));
    throw redirect({ to: events > 0 ? '/p/$project/insights' : '/p/$project/start', params, replace: true });
  },
});
