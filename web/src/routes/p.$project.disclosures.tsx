// Disclosures: who saw what, when and why, and the ledger verified in front of whoever asks.

import { createFileRoute, useNavigate } from '@tanstack/react-router';
import { loadTrustTexts, useTranslation } from '../i18n';
import { Disclosed } from '../trust/Disclosed';
import { readDisclosedSearch } from '../trust/search';
import { Verify } from '../trust/Verify';
import { useMay } from '../ui/may';
import { NotAllowed } from '../ui/NotAllowed';
import classes from '../ui/Page.module.css';
import { usePageTitle, useProject } from '../ui/project';

export const Route = createFileRoute('/p/$project/disclosures')({
  validateSearch: readDisclosedSearch,
  loader: loadTrustTexts,
  component: Disclosures,
});

function Disclosures() {
  const { t } = useTranslation();
  const project = useProject();
  const may = useMay();
  usePageTitle(t('nav.disclosures'), project.name);
  const search = Route.useSearch();
  const navigate = useNavigate({ from: Route.fullPath });
  return (
    <div className={classes.page}>
      <div className={classes.head}>
        <h1 className={classes.title}>{t('nav.disclosures')}</h1>
        <p className={classes.lead}>{t('disclosed.lead')}</p>
      </div>
      {may('view_scope') ? (
        <Disclosed
          search={search}
          onSearch={(change) => navigate({ search: (before) => ({ ...before, ...change }) })}
        />
      ) : (
        <NotAllowed slim control="view_scope" />
      )}
      {may('read_ledger') && <Verify />}
    </div>
  );
}
