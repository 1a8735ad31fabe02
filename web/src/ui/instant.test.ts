// A time on the wall and the instant it means, on both sides of every change of clocks.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { instantOf, wallOf } from './instant';

describe('an instant on the wall of a zone', () => {
  it('is read back to the minute, in every zone', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 4_000_000_000 }),
        fc.constantFrom('Europe/Madrid', 'America/St_Johns', 'Asia/Kathmandu', 'Australia/Lord_Howe', 'UTC'),
        (seconds, zone) => {
          const instant = new Date(seconds * 1_000).toISOString();
          const wall = wallOf(instant, zone);
          const back = instantOf(wall, zone);
          expect(back && wallOf(back, zone)).toBe(wall);
        },
      ),
    );
  });

  it('is the first of two when clocks are put back, and the older reckoning when they are put forward', () => {
    expect(instantOf('2026-10-25T02:30', 'Europe/Madrid')).toBe('2026-10-25T00:30:00Z');
    expect(instantOf('2026-03-29T02:30', 'Europe/Madrid')).toBe('2026-03-29T01:30:00Z');
  });

  it('is none for what is no time', () => {
    expect(instantOf('', 'UTC')).toBeUndefined();
    expect(instantOf('2026-13-40T99:99', 'UTC')).toBeUndefined();
  });
});
