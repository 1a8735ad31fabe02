// The first question of every page, so that nobody starts at an empty form: it is drawn from what the
// project actually sends.
import type {
  DateRange,
  EventMatch,
  EventName,
  FlowsQuery,
  FrequencyQuery,
  FunnelQuery,
  InsightsQuery,
  PersonsQuery,
  RetentionQuery,
  SessionsQuery,
  Unit,
} from '../api/types';
import { PERSONS_PAGE } from './codec';

const LAST_30_DAYS: DateRange = { kind: 'last', count: 30, unit: 'day' };
const DEFAULT_STEPS = 3;

export function firstInsights(events: EventName[]): InsightsQuery {
  return insightsOf(askable(events)[0]);
}

export function insightsOf(event: string | undefined): InsightsQuery {
  return {
    kind: 'insights',
    range: LAST_30_DAYS,
    unit: 'day',
    metrics: [{ measure: 'unique', matching: matchingOf(event) }],
  };
}

/** Most frequent first: in most products a funnel narrows in just that order. */
export function firstFunnel(events: EventName[]): FunnelQuery {
  const names = askable(events).slice(0, DEFAULT_STEPS);
  const steps = names.length >= 2 ? names.map(matchingOf) : [matchingOf(names[0]), matchingOf(names[0])];
  return { kind: 'funnel', range: LAST_30_DAYS, steps, window: { count: 7, unit: 'day' } };
}

/** What people do after the most frequent event. */
export function firstFlows(events: EventName[]): FlowsQuery {
  return { kind: 'flows', range: LAST_30_DAYS, anchor: matchingOf(askable(events)[0]), after: 3 };
}

export function firstRetention(): RetentionQuery {
  return {
    kind: 'retention',
    range: { kind: 'last', count: 8, unit: 'week' },
    born: {},
    returned: {},
    unit: 'week',
    intervals: 8,
    mode: 'on',
    alignment: 'calendar',
    cohorts: 'first_time',
  };
}

export function firstSessions(): SessionsQuery {
  return { kind: 'sessions', range: LAST_30_DAYS, unit: 'day' };
}

export function firstFrequency(): FrequencyQuery {
  return {
    kind: 'frequency',
    range: { kind: 'last', count: 8, unit: 'week' },
    matching: {},
    period: 'week',
  };
}

export function firstPersons(): PersonsQuery {
  return { kind: 'persons', range: LAST_30_DAYS, matching: {}, limit: PERSONS_PAGE, offset: 0 };
}

function askable(events: EventName[]): string[] {
  return events.map(({ name }) => name);
}

function matchingOf(event: string | undefined): EventMatch {
  return event === undefined ? {} : { event };
}

// ---------------------------------------------------------------- which units suit a range

const DAY_MS = 86_400_000;
const UNIT_DAYS: Record<Unit, number> = { minute: 1 / 1440, hour: 1 / 24, day: 1, week: 7, month: 30 };
const BUCKETS_MAX = 800;

export function daysOf(range: DateRange): number {
  if (range.kind === 'last') return range.count * UNIT_DAYS[range.unit];
  return (Date.parse(range.to) - Date.parse(range.from)) / DAY_MS + 1;
}

/** Finer units than this would draw more marks than a screen has room for. */
export function unitSuits(unit: Unit, range: DateRange): boolean {
  const days = daysOf(range);
  return days / UNIT_DAYS[unit] <= BUCKETS_MAX && (days >= UNIT_DAYS[unit] || unit === 'day');
}

export function usualUnit(range: DateRange): Unit {
  const days = daysOf(range);
  if (days <= 1 / 12) return 'minute';
  if (days <= 2) return 'hour';
  if (days <= 100) return 'day';
  return days <= 400 ? 'week' : 'month';
}
