// A stream that reconnects replays what it sent; nobody should see an event twice or out of order.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { LiveEvent } from '../api/types';
import { withEvent } from './stream';

const event = (id: number): LiveEvent => ({
  id,
  received_at: '2026-01-01T00:00:00Z',
  time: '2026-01-01T00:00:00Z',
  event: 'Sign up',
  pseudonym: null,
  source: 'track',
  outcome: 'accepted',
  reason: null,
  properties: [],
});

it('keeps each event once, newest first', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 150 })), (ids) => {
      const kept = ids.map(event).reduce(withEvent, [] as LiveEvent[]);
      expect(kept.map(({ id }) => id)).toEqual([...new Set(ids)].sort((a, b) => b - a));
    }),
  );
});

it('keeps a bounded number, and those are the newest', () => {
  const kept = Array.from({ length: 300 }, (_, i) => event(i + 1)).reduce(withEvent, [] as LiveEvent[]);
  expect(kept).toHaveLength(200);
  expect(kept[0]?.id).toBe(300);
});
