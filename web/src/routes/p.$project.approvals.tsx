// Approvals: what others ask for and a second person decides about, and limits that tripped.

import { createFileRoute } from '@tanstack/react-router';
import { Waiting } from '../access/Waiting';
import { loadTrustTexts, useTranslation } from '../i18n';
import { Approvals as List, Trips } from '../trust/Approvals';
import classes from '../ui/Page.module.css';
import { usePageTitle, useProject } from '../ui/project';

export const Route = createFileRoute('/p/$project/approvals')({
  loader: loadTrustTexts,
  component: Approvals,
});

function Approvals() {
  const { t } = useTranslation();
  const project = useProject();
  usePageTitle(t('nav.approvals'), project.name);
  return (
    <div className={classes.page}>
      <div className={classes.head}>
        <h1 className={classes.title}>{t('nav.approvals')}</h1>
        <p className={classes.lead}>{t('approvals.lead')}</p>
      </div>
      <List />
      <Waiting />
      <Trips />
    </div>
  );
}
