// The stream as a list: one line per event, opened in place. Holding it lets one read while events go on
// arriving; they are counted, and shown when the hold ends.
import { Button } from '@mantine/core';
import { IconChevronRight, IconPlayerPause, IconPlayerPlay } from '@tabler/icons-react';
import { useState } from 'react';
import { translateCode, useTranslation } from '../i18n';
import { useProjectFormat } from '../ui/project';
import { EventProperties } from './EventProperties';
import classes from './Live.module.css';
import type { LiveStream } from './stream';

export function LiveFeed({ stream }: { stream: LiveStream }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const [held, setHeld] = useState<LiveStream['events'] | null>(null);
  const [opened, setOpened] = useState<number | null>(null);
  const shown = held ?? stream.events;
  const waiting = held ? stream.events.filter(({ id }) => id > (held[0]?.id ?? 0)).length : 0;

  return (
    <section className={classes.feed} aria-label={t('live.title')}>
      <div className={classes.feedHead}>
        <span className={classes.connection} data-connected={stream.connected || undefined} role="status">
          <span className={classes.pulse} aria-hidden="true" />
          {stream.connected ? t('live.connected') : t('live.connecting')}
        </span>
        <Button
          size="xs"
          variant="default"
          leftSection={held ? <IconPlayerPlay size={14} /> : <IconPlayerPause size={14} />}
          onClick={() => setHeld(held ? null : stream.events)}
        >
          {held ? t('live.resume', { count: waiting }) : t('live.hold')}
        </Button>
      </div>
      {shown.length === 0 ? (
        <p className={classes.none}>{t('live.nothing')}</p>
      ) : (
        <ul className={classes.list}>
          {shown.map((event) => {
            const open = opened === event.id;
            const sealed = event.properties.filter(({ action }) => action === 'sealed').length;
            const dropped = event.properties.filter(({ action }) => action === 'dropped').length;
            return (
              <li key={event.id} className={classes.entry} data-open={open || undefined}>
                <button
                  type="button"
                  className={classes.line}
                  aria-expanded={open}
                  onClick={() => setOpened(open ? null : event.id)}
                >
                  <IconChevronRight size={14} className={classes.chevron} aria-hidden="true" />
                  <time className={classes.time} dateTime={event.received_at}>
                    {format.time(event.received_at)}
                  </time>
                  <span className={classes.name}>{event.event ?? t(`sources.${event.source}`)}</span>
                  <span className={classes.outcome} data-outcome={event.outcome}>
                    {translateCode('outcomes', event.outcome)}
                  </span>
                  <span className={classes.detail}>
                    {event.reason
                      ? translateCode('reasons', event.reason)
                      : [
                          sealed > 0 && t('live.sealed', { count: sealed }),
                          dropped > 0 && t('live.dropped', { count: dropped }),
                        ]
                          .filter(Boolean)
                          .join(' · ')}
                  </span>
                  <span className={classes.pseudonym}>{event.pseudonym}</span>
                </button>
                {open && (
                  <div className={classes.opened}>
                    <EventProperties event={event} />
                  </div>
                )}
              </li>
            );
          })}
        </ul>
      )}
    </section>
  );
}
