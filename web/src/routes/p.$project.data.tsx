// Data: what the door does with each property and what it holds back, what lies in stored events, and who
// was erased.

import { createFileRoute } from '@tanstack/react-router';
import { Dictionary } from '../data/Dictionary';
import { Keep } from '../data/Keep';
import { Quarantine } from '../data/Quarantine';
import { Scan } from '../data/Scan';
import { useTranslation } from '../i18n';
import { Erasures } from '../persons/Erasures';
import { useMay } from '../ui/may';
import classes from '../ui/Page.module.css';
import { usePageTitle, useProject } from '../ui/project';

export const Route = createFileRoute('/p/$project/data')({ component: Data });

function Data() {
  const { t } = useTranslation();
  const project = useProject();
  const may = useMay();
  usePageTitle(t('nav.data'), project.name);
  return (
    <div className={classes.page} data-narrow>
      <div className={classes.head}>
        <h1 className={classes.title}>{t('nav.data')}</h1>
        <p className={classes.lead}>{t('data.lead')}</p>
      </div>
      <Quarantine />
      <Dictionary />
      <Keep />
      {may('handle_quarantine') && <Scan />}
      {may('read_erasures') && <Erasures />}
    </div>
  );
}
