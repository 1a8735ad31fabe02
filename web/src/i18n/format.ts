// Numbers, dates and lengths of time as the reader's language and region write them. Dates are cut and
// shown in the project's time zone, never the browser's, so that two people see one report.

import { useMemo } from 'react';
import type { Unit } from '../api/types';
import { useTranslation } from '.';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

type Style = Intl.DateTimeFormatOptions;

const BUCKET_STYLES: Record<Unit, { short: Style; long: Style }> = {
  minute: {
    short: { hour: 'numeric', minute: '2-digit' },
    long: { weekday: 'short', day: 'numeric', month: 'short', hour: 'numeric', minute: '2-digit' },
  },
  hour: {
    short: { hour: 'numeric', minute: '2-digit' },
    long: { weekday: 'short', day: 'numeric', month: 'short', hour: 'numeric', minute: '2-digit' },
  },
  day: {
    short: { day: 'numeric', month: 'short' },
    long: { weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' },
  },
  week: {
    short: { day: 'numeric', month: 'short' },
    long: { day: 'numeric', month: 'short', year: 'numeric' },
  },
  month: { short: { month: 'short', year: '2-digit' }, long: { month: 'long', year: 'numeric' } },
};

export type Format = ReturnType<typeof makeFormat>;

export function makeFormat(locale: string, timeZone?: string) {
  const styles = new Map<string, Intl.DateTimeFormat>();
  const dateAs = (style: Style, zone = timeZone) => {
    const key = JSON.stringify([style, zone]);
    let made = styles.get(key);
    if (!made) {
      made = new Intl.DateTimeFormat(locale, { ...style, timeZone: zone });
      styles.set(key, made);
    }
    return made;
  };
  const count = new Intl.NumberFormat(locale);
  const compact = new Intl.NumberFormat(locale, { notation: 'compact', maximumFractionDigits: 1 });
  const percent = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 1 });
  const alignedPercent = new Intl.NumberFormat(locale, {
    style: 'percent',
    minimumFractionDigits: 1,
    maximumFractionDigits: 1,
  });
  const wholePercent = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 0 });
  const decimal = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
  const figure = new Intl.NumberFormat(locale, { maximumFractionDigits: 2 });
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto', style: 'short' });
  const lists = new Intl.ListFormat(locale, { type: 'conjunction' });
  const inUnit = (value: number, unit: string) =>
    new Intl.NumberFormat(locale, {
      style: 'unit',
      unit,
      unitDisplay: unit === 'millisecond' ? 'short' : 'narrow',
    }).format(value);

  return {
    locale,
    count: (value: number) => count.format(value),
    compact: (value: number) => compact.format(value),
    /** A number that may have a fraction, or none at all: "–" says that there is nothing to show. */
    figure: (value: number | null | undefined) =>
      value === null || value === undefined ? '–' : figure.format(value),
    decimal: (value: number) => decimal.format(value),
    percent: (share: number) => percent.format(share),
    /** With one digit always, for columns. */
    alignedPercent: (share: number) => alignedPercent.format(share),
    wholePercent: (share: number) => wholePercent.format(share),
    list: (items: string[]) => lists.format(items),
    /** A bucket's start; `short` for axes, `long` where it stands alone. */
    bucket: (start: string, unit: Unit, length: 'short' | 'long') =>
      dateAs(BUCKET_STYLES[unit][length]).format(new Date(start)),
    /** A civil date (`2026-01-31`), which belongs to no zone. */
    civilDate: (date: string) =>
      dateAs({ day: 'numeric', month: 'short', year: 'numeric' }, 'UTC').format(
        new Date(`${date}T00:00:00Z`),
      ),
    dateTime: (instant: string) =>
      dateAs({ day: 'numeric', month: 'short', year: 'numeric', hour: 'numeric', minute: '2-digit' }).format(
        new Date(instant),
      ),
    day: (instant: string) =>
      dateAs({ weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' }).format(new Date(instant)),
    date: (instant: string) =>
      dateAs({ day: 'numeric', month: 'short', year: 'numeric' }).format(new Date(instant)),
    time: (instant: string) =>
      dateAs({ hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(new Date(instant)),
    /** How long ago, in the largest unit that fits. */
    ago: (instant: string, now: number) => {
      const past = Math.max(0, now - Date.parse(instant));
      if (past < MINUTE_MS) return relative.format(-Math.floor(past / SECOND_MS), 'second');
      if (past < HOUR_MS) return relative.format(-Math.floor(past / MINUTE_MS), 'minute');
      if (past < DAY_MS) return relative.format(-Math.floor(past / HOUR_MS), 'hour');
      return relative.format(-Math.floor(past / DAY_MS), 'day');
    },
    /** A length of time in its two largest units. */
    duration: (ms: number) => {
      if (ms < SECOND_MS) return inUnit(Math.round(ms), 'millisecond');
      const units: [string, number][] = [
        ['day', DAY_MS],
        ['hour', HOUR_MS],
        ['minute', MINUTE_MS],
        ['second', SECOND_MS],
      ];
      const first = units.findIndex(([, length]) => ms >= length);
      const [unit, length] = units[first]!;
      const whole = Math.floor(ms / length);
      const finer = units[first + 1];
      const rest = finer ? Math.floor((ms - whole * length) / finer[1]) : 0;
      return finer && rest > 0 ? `${inUnit(whole, unit)} ${inUnit(rest, finer[0])}` : inUnit(whole, unit);
    },
  };
}

/** The reader's own region where it speaks the chosen language, so that an Irish reader gets Irish dates. */
function regionalLocale(language: string): string {
  return navigator.languages.find((tag) => tag.split('-')[0] === language) ?? language;
}

export function useFormat(timeZone?: string): Format {
  const { language } = useTranslation();
  return useMemo(() => makeFormat(regionalLocale(language), timeZone), [language, timeZone]);
}
