// Incidents: the list, and opening one, also from what an exposure found.

import { Button, Group } from '@mantine/core';
import { createFileRoute, useNavigate } from '@tanstack/react-router';
import { loadTrustTexts, useTranslation } from '../i18n';
import { Incidents as List, OpenIncident } from '../incidents/Incidents';
import { memberOf, readIncidentsSearch } from '../trust/search';
import { useMay } from '../ui/may';
import { NotAllowed } from '../ui/NotAllowed';
import classes from '../ui/Page.module.css';
import { usePageTitle, useProject } from '../ui/project';

export const Route = createFileRoute('/p/$project/incidents/')({
  validateSearch: readIncidentsSearch,
  loader: loadTrustTexts,
  component: Incidents,
});

function Incidents() {
  const { t } = useTranslation();
  const project = useProject();
  const may = useMay();
  usePageTitle(t('nav.incidents'), project.name);
  const { open, by, from, to, all } = Route.useSearch();
  const navigate = useNavigate({ from: Route.fullPath });
  return (
    <div className={classes.page}>
      <Group className={classes.head} justify="space-between" align="flex-start">
        <div>
          <h1 className={classes.title}>{t('nav.incidents')}</h1>
          <p className={classes.lead}>{t('incidents.lead')}</p>
        </div>
        {may('declare_incident') && (
          <Button color="red" onClick={() => navigate({ search: (before) => ({ ...before, open: 'yes' }) })}>
            {t('incidents.open')}
          </Button>
        )}
      </Group>
      {may('view_scope') ? <List /> : <NotAllowed control="view_scope" />}
      <OpenIncident
        opened={open !== undefined && may('declare_incident')}
        isDrill={open === 'drill'}
        from={from}
        to={to}
        hasMember={memberOf({ by }) !== undefined}
        onDone={({ id }) =>
          navigate({
            to: '/p/$project/incidents/$incident',
            params: { project: String(project.id), incident: String(id) },
            search: { by, from, to, all },
          })
        }
        onClose={() => navigate({ search: {} })}
      />
    </div>
  );
}
