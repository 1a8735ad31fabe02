// One incident.

import { createFileRoute, notFound } from '@tanstack/react-router';
import { loadTrustTexts } from '../i18n';
import { Incident } from '../incidents/Incident';
import { memberOf, questionOf, readIncidentsSearch } from '../trust/search';
import { PageMissing } from '../ui/PageStates';
import { useProject } from '../ui/project';

export const Route = createFileRoute('/p/$project/incidents/$incident')({
  validateSearch: readIncidentsSearch,
  beforeLoad: ({ params }) => {
    if (!/^\d{1,9}$/.test(params.incident)) throw notFound();
  },
  notFoundComponent: PageMissing,
  loader: loadTrustTexts,
  component: OneIncident,
});

function OneIncident() {
  const { incident } = Route.useParams();
  const search = Route.useSearch();
  const project = useProject();
  const { by, from, to, all } = search;
  const isAsked = [by, from, to, all].some((part) => part !== undefined);
  return (
    <Incident
      key={incident}
      id={Number(incident)}
      asked={{
        member: memberOf(search),
        from,
        to,
        question: isAsked ? questionOf(search, project.id) : undefined,
      }}
    />
  );
}
