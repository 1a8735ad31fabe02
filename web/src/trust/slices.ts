// A time cut into a dozen parts at most, for looking at how something went on in it. Cuts lie on round times of
// a clock that is ahead of UTC by an offset, so that a part has a name.

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

const STEPS_MS = [
  MINUTE_MS,
  5 * MINUTE_MS,
  15 * MINUTE_MS,
  HOUR_MS,
  3 * HOUR_MS,
  6 * HOUR_MS,
  12 * HOUR_MS,
  DAY_MS,
  2 * DAY_MS,
  7 * DAY_MS,
  14 * DAY_MS,
  28 * DAY_MS,
  56 * DAY_MS,
  112 * DAY_MS,
  224 * DAY_MS,
  448 * DAY_MS,
];

export const SLICES_MAX = 12;

export interface Slice {
  /** Milliseconds since 1970; the end is not part of it. */
  from: number;
  to: number;
}

/** The parts that cover a time, its last instant included, with the finest step that leaves few enough. */
export function slicesOf(first: number, last: number, offsetMs: number): { slices: Slice[]; step: number } {
  const longest = STEPS_MS[STEPS_MS.length - 1] ?? DAY_MS;
  for (const step of [...STEPS_MS, longest * Math.ceil((last - first) / longest / SLICES_MAX + 1)]) {
    const begin = Math.floor((first + offsetMs) / step) * step - offsetMs;
    const count = Math.floor((last - begin) / step) + 1;
    if (count > SLICES_MAX) continue;
    return {
      step,
      slices: Array.from({ length: count }, (_, at) => ({
        from: begin + at * step,
        to: begin + (at + 1) * step,
      })),
    };
  }
  throw new Error('a step that is long enough is always found');
}
