// What arrives at a project, as it arrives. The server replays the last events when a stream opens, so a
// reconnect brings some twice; they are told apart by id.
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { eventNamesQuery, liveUrl, propertiesQuery, statusQuery } from '../api/queries';
import type { LiveEvent } from '../api/types';

const KEPT_MAX = 200;
const TELL_AFTER_MS = 1_500;

export interface LiveStream {
  /** Newest first. */
  events: LiveEvent[];
  connected: boolean;
}

export function useLiveStream(project: number): LiveStream {
  const [stream, setStream] = useState<LiveStream>({ events: [], connected: false });
  const queryClient = useQueryClient();

  useEffect(() => {
    setStream({ events: [], connected: false });
    let telling: number | undefined;
    // What arrives changes the counts and may bring new names; the rest of the page hears of it soon.
    const tell = () => {
      telling ??= window.setTimeout(() => {
        telling = undefined;
        for (const { queryKey } of [statusQuery(project), eventNamesQuery(project), propertiesQuery(project)])
          queryClient.invalidateQueries({ queryKey, exact: true });
      }, TELL_AFTER_MS);
    };
    const source = new EventSource(liveUrl(project));
    source.addEventListener('open', () => setStream((before) => ({ ...before, connected: true })));
    source.addEventListener('error', () => setStream((before) => ({ ...before, connected: false })));
    source.addEventListener('event', (message) => {
      const arrived = JSON.parse(message.data) as LiveEvent;
      setStream((before) => ({ ...before, events: withEvent(before.events, arrived) }));
      tell();
    });
    return () => {
      source.close();
      window.clearTimeout(telling);
    };
  }, [project, queryClient]);

  return stream;
}

export function withEvent(events: LiveEvent[], arrived: LiveEvent): LiveEvent[] {
  if (events.some(({ id }) => id === arrived.id)) return events;
  const at = events.findIndex(({ id }) => id < arrived.id);
  const place = at < 0 ? events.length : at;
  return [...events.slice(0, place), arrived, ...events.slice(place)].slice(0, KEPT_MAX);
}
