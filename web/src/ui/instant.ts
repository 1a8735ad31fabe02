// Instants as people write them: a day and a time on the wall of the project's zone.

const MINUTE_MS = 60_000;

/** `2026-11-09T08:30` on the wall of a zone, for an instant. */
export function wallOf(instant: string, timeZone: string): string {
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
  }).formatToParts(new Date(instant));
  const of = (kind: string) => parts.find(({ type }) => type === kind)?.value ?? '';
  return `${of('year')}-${of('month')}-${of('day')}T${of('hour')}:${of('minute')}`;
}

/** How far a zone's clock is ahead of UTC at an instant, in milliseconds, to the minute. */
export function offsetAt(at: number, timeZone: string): number {
  const minute = Math.floor(at / MINUTE_MS) * MINUTE_MS;
  return Date.parse(`${wallOf(new Date(at).toISOString(), timeZone)}Z`) - minute;
}

/**
 * The instant at which a wall of a zone shows that, as RFC 3339 in UTC; undefined for what is no time. Of two
 * such instants, when clocks are put back, the first one; of none, when they are put forward, the one that
 * the clocks before it would have shown.
 */
export function instantOf(wall: string, timeZone: string): string | undefined {
  const wanted = Date.parse(`${wall}Z`);
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}/.test(wall) || Number.isNaN(wanted)) return undefined;
  // Seen from half a day before and after, one of the two offsets is the one that holds then.
  const before = wanted - offsetAt(wanted - 720 * MINUTE_MS, timeZone);
  const after = wanted - offsetAt(wanted + 720 * MINUTE_MS, timeZone);
  const right = [before, after].find((at) => at + offsetAt(at, timeZone) === wanted) ?? before;
  return new Date(right).toISOString().replace('.000Z', 'Z');
}

export const microsOf = (instant: string): number => Date.parse(instant) * 1_000;
export const instantOfMicros = (micros: number): string => new Date(micros / 1_000).toISOString();
