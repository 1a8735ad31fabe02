// One incident.

import { createFileRoute, notFound } from '@tanstack/react-router';
import { loadTrustTexts } from '../i18n';
import { Incident } from '../incidents/Incident';
import { readIncidentsSearch } from '../trust/search';
import { PageMissing } from '../ui/PageStates';

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
  return <Incident key={incident} id={Number(incident)} asked={search} />;
}
