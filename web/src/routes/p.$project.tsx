// Everything under one project: who is not signed in is turned away here, once, for all its pages.
import { useQuery } from '@tanstack/react-query';
import { createFileRoute, notFound, Outlet, redirect, useNavigate } from '@tanstack/react-router';
import { projectsQuery, sealedQuery, sessionQuery } from '../api/queries';
import { encodeInsights } from '../query/codec';
import { insightsOf } from '../query/defaults';
import { PageMissing, PageSealed } from '../ui/PageStates';
import { ProjectProvider } from '../ui/project';
import { Shell } from '../ui/Shell';

export const Route = createFileRoute('/p/$project')({
  beforeLoad: async ({ context: { queryClient }, location }) => {
    const session = await queryClient.ensureQueryData(sessionQuery());
    if (session.state === 'setup_needed') throw redirect({ to: '/setup' });
    if (session.state === 'signed_out') throw redirect({ to: '/login', search: { next: location.href } });
  },
  loader: async ({ context: { queryClient }, params }) => {
    const projects = await queryClient.ensureQueryData(projectsQuery());
    const project = projects.find(({ id }) => String(id) === params.project);
    if (!project) throw notFound();
    return project;
  },
  notFoundComponent: PageMissing,
  component: ProjectFrame,
});

function ProjectFrame() {
  const project = Route.useLoaderData();
  const navigate = useNavigate();
  const { data: sealed } = useQuery(sealedQuery());
  return (
    // Keyed, so that no page carries its state from one project into another.
    <ProjectProvider value={project} key={project.id}>
      <Shell
        onEvent={(name) =>
          navigate({
            to: '/p/$project/insights',
            params: { project: String(project.id) },
            search: encodeInsights(insightsOf(name)),
          })
        }
      >
        {sealed ? <PageSealed by={sealed} /> : <Outlet />}
      </Shell>
    </ProjectProvider>
  );
}
