// Waits for the first event and then becomes it: the newest event as received, each property beside what
// happened to it.

import { Button } from '@mantine/core';
import { IconArrowRight } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { translateCode, useTranslation } from '../i18n';
import { useProject, useProjectFormat } from '../ui/project';
import { EventProperties } from './EventProperties';
import liveClasses from './Live.module.css';
import classes from './Start.module.css';
import { useLiveStream } from './stream';

// Records that SDKs send about who somebody is: acted upon, and in no report.
const IDENTITY_RECORDS = new Set(['$identify', '$create_alias', '$merge']);

export function FirstEvent() {
  const { t } = useTranslation();
  const project = useProject();
  const format = useProjectFormat();
  const { events, connected } = useLiveStream(project.id);
  // An SDK sends profile updates and identity records right behind an event; the event is what somebody is
  // waiting to see.
  const newest = events.find(({ event }) => event && !IDENTITY_RECORDS.has(event)) ?? events[0];
  const params = { project: String(project.id) };

  if (!newest) {
    return (
      <section className={classes.waiting} role="status" data-connected={connected || undefined}>
        <span className={classes.beacon} aria-hidden="true" />
        <div>
          <h2 className={classes.waitingTitle}>{t('start.waiting')}</h2>
          <p className={classes.waitingText}>{t('start.waiting_text')}</p>
        </div>
      </section>
    );
  }

  const sealed = newest.properties.filter(({ action }) => action === 'sealed').length;
  return (
    <section className={classes.arrived} aria-labelledby="arrived-title">
      <div className={classes.arrivedHead}>
        <div role="status">
          <h2 id="arrived-title" className={classes.waitingTitle}>
            {newest.event ?? t(`sources.${newest.source}`)}{' '}
            <span className={liveClasses.outcome} data-outcome={newest.outcome}>
              {translateCode('outcomes', newest.outcome)}
            </span>
          </h2>
          <p className={classes.waitingText}>
            {newest.reason
              ? translateCode('reasons', newest.reason)
              : t('start.arrived', { time: format.time(newest.received_at), count: sealed })}
          </p>
        </div>
        <div className={classes.arrivedActs}>
          <Button component={Link} to="/p/$project/live" params={params as never} size="xs" variant="default">
            {t('start.all')}
          </Button>
          <Button
            component={Link}
            to="/p/$project/insights"
            params={params as never}
            size="xs"
            rightSection={<IconArrowRight size={14} />}
          >
            {t('start.report')}
          </Button>
        </div>
      </div>
      {newest.pseudonym && (
        <p className={classes.person}>
          {t('start.person')} <code>{newest.pseudonym}</code>
        </p>
      )}
      <EventProperties event={newest} />
    </section>
  );
}
