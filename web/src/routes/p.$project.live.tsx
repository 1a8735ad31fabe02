// Live: what arrives right now, how each record ended, and why some were refused.

import { createFileRoute } from '@tanstack/react-router';
import { useTranslation } from '../i18n';
import { LiveFeed } from '../live/LiveFeed';
import { Outcomes } from '../live/Outcomes';
import { useLiveStream } from '../live/stream';
import classes from '../ui/Page.module.css';
import { usePageTitle, useProject } from '../ui/project';

export const Route = createFileRoute('/p/$project/live')({ component: Live });

function Live() {
  const { t } = useTranslation();
  const project = useProject();
  usePageTitle(t('nav.live'), project.name);
  const stream = useLiveStream(project.id);
  return (
    <div className={classes.page}>
      <div className={classes.head}>
        <h1 className={classes.title}>{t('nav.live')}</h1>
        <p className={classes.lead}>{t('live.lead')}</p>
      </div>
      <div className={classes.columns}>
        <Outcomes />
        <LiveFeed stream={stream} />
      </div>
    </div>
  );
}
