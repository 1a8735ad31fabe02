// The parts of a time miss nothing of it, overlap nowhere, and are few.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { offsetAt } from '../ui/instant';
import { SLICES_MAX, slicesOf } from './slices';

const HOUR = 3_600_000;
const instant = fc.integer({ min: Date.UTC(2020, 0, 1), max: Date.UTC(2040, 0, 1) });

describe('a time in parts', () => {
  it('is covered, once, by a dozen parts at most', () => {
    fc.assert(
      fc.property(
        instant,
        fc.integer({ min: 0, max: 20 * 365 * 24 * HOUR }),
        fc.integer({ min: -12, max: 14 }),
        (first, length, offset) => {
          const last = first + length;
          const { slices, step } = slicesOf(first, last, offset * HOUR);
          expect(slices.length).toBeGreaterThan(0);
          expect(slices.length).toBeLessThanOrEqual(SLICES_MAX);
          expect(slices[0]!.from).toBeLessThanOrEqual(first);
          expect(slices[0]!.to).toBeGreaterThan(first);
          expect(slices.at(-1)!.from).toBeLessThanOrEqual(last);
          expect(slices.at(-1)!.to).toBeGreaterThan(last);
          for (const [at, slice] of slices.entries()) {
            expect(slice.to - slice.from).toBe(step);
            if (at > 0) expect(slice.from).toBe(slices[at - 1]!.to);
          }
        },
      ),
    );
  });

  it('is cut where the clock on the wall is round', () => {
    const first = Date.parse('2026-07-01T10:40:00+05:30');
    const { slices, step } = slicesOf(first, first + 9 * HOUR, offsetAt(first, 'Asia/Kolkata'));
    expect(step).toBe(HOUR);
    expect(slices[0]!.from).toBe(Date.parse('2026-07-01T10:00:00+05:30'));
  });

  it('is one minute when it is an instant', () => {
    const { slices } = slicesOf(90_000, 90_000, 0);
    expect(slices).toEqual([{ from: 60_000, to: 120_000 }]);
  });
});
