// `/` has no page of its own: it sends everybody to where they can go on.
import { createFileRoute, redirect } from '@tanstack/react-router';
import { projectsQuery, sessionQuery, statusQuery } from '../api/queries';

export const Route = createFileRoute('/')({
  beforeLoad: async ({ context: { queryClient }, location }) => {
    const session = await queryClient.fetchQuery(sessionQuery());
    if (session.state === 'setup_needed') {
      // The terminal may print an address that carries the setup code.
      throw redirect({ to: '/setup', search: location.search, hash: location.hash, replace: true });
    }
    if (session.state === 'signed_out') throw redirect({ to: '/login', replace: true });
    const [project] = await queryClient.fetchQuery(projectsQuery());
    // Set-up makes the first project, so this is a server whose projects were all removed.
    if (!project) throw redirect({ to: '/login', replace: true });
    const { events } = await queryClient.fetchQuery(statusQuery(project.id));
    const params = { project: String(project.id) };
    throw redirect({ to: events > 0 ? '/p/$project/insights' : '/p/$project/start', params, replace: true });
  },
});
