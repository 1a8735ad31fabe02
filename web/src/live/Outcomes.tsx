// The health of ingest: every record received ends in one of four ways, and the sums must agree. Under
// the refused ones stands why, so that "where is my event?" has an answer.
import { useQuery } from '@tanstack/react-query';
import { statusQuery } from '../api/queries';
import { translateCode, useTranslation } from '../i18n';
import { useProject, useProjectFormat } from '../ui/project';
import classes from './Live.module.css';

const EVERY_MS = 3_000;

export function Outcomes() {
  const { t } = useTranslation();
  const project = useProject();
  const format = useProjectFormat();
  const { data: status } = useQuery({ ...statusQuery(project.id), refetchInterval: EVERY_MS });
  if (!status) return null;
  const { received, accepted, duplicate, ignored, rejected, since } = status.outcomes;
  const refused = rejected.reduce((sum, { count }) => sum + count, 0);
  const parts = [
    { outcome: 'accepted', count: accepted },
    { outcome: 'duplicate', count: duplicate },
    { outcome: 'ignored', count: ignored },
    { outcome: 'rejected', count: refused },
  ] as const;
  const listed = rejected.filter(({ count }) => count > 0).sort((a, b) => b.count - a.count);

  return (
    <section className={classes.outcomes} aria-labelledby="outcomes-title">
      <div>
        <h2 id="outcomes-title" className={classes.heading}>
          {t('outcomes.title')}
        </h2>
        <p className={classes.since}>{t('outcomes.since', { time: format.dateTime(since) })}</p>
      </div>
      <div className={classes.received}>
        <span className={classes.figure}>{format.count(received)}</span>
        <span>{t('outcomes.received', { count: received })}</span>
      </div>
      {received > 0 && (
        <div className={classes.stack} aria-hidden="true">
          {parts.map(({ outcome, count }) =>
            count > 0 ? <span key={outcome} data-outcome={outcome} style={{ flexGrow: count }} /> : null,
          )}
        </div>
      )}
      <dl className={classes.parts}>
        {parts.map(({ outcome, count }) => (
          <div key={outcome}>
            <dt>
              <span className={classes.swatch} data-outcome={outcome} aria-hidden="true" />
              {t(`outcomes.${outcome}`)}
            </dt>
            <dd>{format.count(count)}</dd>
          </div>
        ))}
      </dl>
      {listed.length > 0 && (
        <>
          <h3 className={classes.subheading}>{t('outcomes.reasons')}</h3>
          <dl className={classes.parts}>
            {listed.map(({ reason, count }) => (
              <div key={reason}>
                <dt>{translateCode('reasons', reason)}</dt>
                <dd>{format.count(count)}</dd>
              </div>
            ))}
          </dl>
        </>
      )}
      <h3 className={classes.subheading}>{t('outcomes.at_the_door')}</h3>
      <dl className={classes.parts}>
        <div>
          <dt>{t('outcomes.sealed_values')}</dt>
          <dd>{format.count(status.sealed_values)}</dd>
        </div>
        <div>
          <dt>{t('outcomes.dropped_secrets')}</dt>
          <dd>{format.count(status.dropped_secrets)}</dd>
        </div>
        <div>
          <dt>{t('outcomes.events')}</dt>
          <dd>{format.count(status.events)}</dd>
        </div>
        <div>
          <dt>{t('outcomes.persons')}</dt>
          <dd>{format.count(status.persons)}</dd>
        </div>
      </dl>
    </section>
  );
}
