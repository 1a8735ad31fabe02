// The first five minutes of a project: a snippet to paste, and beneath it the wait for what it sends.

import { createFileRoute } from '@tanstack/react-router';
import { useTranslation } from '../i18n';
import { FirstEvent } from '../live/FirstEvent';
import { Snippets } from '../live/Snippets';
import classes from '../ui/Page.module.css';
import { usePageTitle, useProject } from '../ui/project';

export const Route = createFileRoute('/p/$project/start')({ component: Start });

function Start() {
  const { t } = useTranslation();
  const project = useProject();
  usePageTitle(t('nav.start'), project.name);
  return (
    <div className={classes.page} data-narrow>
      <div className={classes.head}>
        <h1 className={classes.title}>{t('start.title')}</h1>
        <p className={classes.lead}>{t('start.lead')}</p>
      </div>
      <Snippets token={project.token} origin={window.location.origin} />
      <FirstEvent />
    </div>
  );
}
