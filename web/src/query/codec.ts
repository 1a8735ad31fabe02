// What a query is, in the address bar. Query ⇄ flat search params, so that the URL is the state: Back
// undoes, and the address is the link to share. The text is meant to be read and edited by people:
//
//   range=30d                      the last 30 days; min, h, d, w, mo — or 2026-01-01..2026-01-31
//   show=unique~Purchase           one metric: measure, event (`*` is any event), then its filters
//   show=total~Purchase(plan~equals~pro~team)(amount~at_least~10)
//   step=Sign+up                   one step of a funnel; `born` and `returned` read alike
//   where=plan~equals~pro          a filter over everything
//   by=country~25                  a breakdown, with its limit when it is not ten
//
// `!` takes the meaning off the character after it. In values, text that would read as a number, as
// true or as false starts with an apostrophe.
import * as z from 'zod/mini';
import type {
  Breakdown,
  Condition,
  DateRange,
  EventMatch,
  EventsQuery,
  Filter,
  FunnelQuery,
  FunnelWindow,
  InsightsQuery,
  Metric,
  PersonsQuery,
  RetentionQuery,
  Scalar,
  Unit,
  WindowUnit,
} from '../api/types';

export const METRICS_MAX = 10;
export const STEPS_MIN = 2;
export const STEPS_MAX = 20;
export const INTERVALS_MAX = 60;
export const BREAKDOWN_LIMIT = 10;
const BREAKDOWN_LIMIT_MAX = 200;
export const PERSONS_PAGE = 50;

// ---------------------------------------------------------------- the address bar, as flat text

type RawSearch = Record<string, string | string[]>;

/** Reads `?a=1&b=2&b=3`: a repeated key becomes a list. */
export function parseSearch(text: string): RawSearch {
  const search: RawSearch = {};
  for (const [key, value] of new URLSearchParams(text.startsWith('?') ? text.slice(1) : text)) {
    const before = search[key];
    if (before === undefined) search[key] = value;
    else search[key] = Array.isArray(before) ? [...before, value] : [before, value];
  }
  return search;
}

/** Writes what `parseSearch` reads, leaving every character plain that a query may hold. */
export function stringifySearch(search: Record<string, unknown>): string {
  const pairs: string[] = [];
  for (const [key, value] of Object.entries(search)) {
    if (value === undefined || value === null) continue;
    for (const item of Array.isArray(value) ? value : [value]) {
      pairs.push(`${encodeText(key)}=${encodeText(String(item))}`);
    }
  }
  return pairs.length > 0 ? `?${pairs.join('&')}` : '';
}

function encodeText(text: string): string {
  return encodeURIComponent(text)
    .replaceAll('%20', '+')
    .replaceAll('%24', '$')
    .replaceAll('%2C', ',')
    .replaceAll('%2F', '/')
    .replaceAll('%3A', ':');
}

// ---------------------------------------------------------------- what each page reads from it

const text = z.catch(z.optional(z.string()), undefined);
const texts = z.catch(
  z.optional(
    z.union([
      z.pipe(
        z.string(),
        z.transform((one: string) => [one]),
      ),
      z.array(z.string()),
    ]),
  ),
  undefined,
);
const choice = <const T extends string>(choices: readonly T[]) =>
  z.catch(z.optional(z.enum(choices)), undefined);

export const CHARTS = ['line', 'bars', 'stacked', 'number', 'table'] as const;
export type Chart = (typeof CHARTS)[number];

const insightsSearch = z.object({
  range: text,
  unit: text,
  show: texts,
  where: texts,
  by: text,
  chart: choice(CHARTS),
});
const funnelSearch = z.object({
  range: text,
  step: texts,
  window: text,
  where: texts,
  by: text,
  view: choice(['chart', 'table']),
});
const retentionSearch = z.object({
  range: text,
  born: text,
  returned: text,
  unit: text,
  intervals: text,
  mode: text,
  align: text,
  groups: text,
  where: texts,
  view: choice(['table', 'curve']),
});
const personsSearch = z.object({ range: text, did: text, page: text, person: text });

export type InsightsSearch = z.output<typeof insightsSearch>;
export type FunnelSearch = z.output<typeof funnelSearch>;
export type RetentionSearch = z.output<typeof retentionSearch>;
export type PersonsSearch = z.output<typeof personsSearch>;

export const readInsightsSearch = (raw: Record<string, unknown>): InsightsSearch => insightsSearch.parse(raw);
export const readFunnelSearch = (raw: Record<string, unknown>): FunnelSearch => funnelSearch.parse(raw);
export const readRetentionSearch = (raw: Record<string, unknown>): RetentionSearch =>
  retentionSearch.parse(raw);
export const readPersonsSearch = (raw: Record<string, unknown>): PersonsSearch => personsSearch.parse(raw);

// ---------------------------------------------------------------- Query ⇄ search

export function encodeInsights(query: InsightsQuery): InsightsSearch {
  return {
    range: encodeRange(query.range),
    unit: query.unit,
    show: query.metrics.map((metric) => `${metric.measure}~${encodeMatch(metric.matching)}`),
    where: encodeFilters(query.filters),
    by: encodeBreakdown(query.breakdown),
  };
}

export function decodeInsights(search: InsightsSearch): InsightsQuery | null {
  return attempt(() => {
    const metrics = (search.show ?? fail()).map(decodeMetric);
    if (metrics.length < 1 || metrics.length > METRICS_MAX) fail();
    return {
      kind: 'insights',
      range: decodeRange(search.range),
      unit: oneOf(UNITS, search.unit),
      metrics,
      ...filtersPart(search.where),
      ...breakdownPart(search.by),
    };
  });
}

export function encodeFunnel(query: FunnelQuery): FunnelSearch {
  return {
    range: encodeRange(query.range),
    step: query.steps.map(encodeMatch),
    window: `${query.window.count}${SHORT_WINDOW_UNITS[query.window.unit]}`,
    where: encodeFilters(query.filters),
    by: encodeBreakdown(query.breakdown),
  };
}

export function decodeFunnel(search: FunnelSearch): FunnelQuery | null {
  return attempt(() => {
    const steps = (search.step ?? fail()).map(decodeMatch);
    if (steps.length < STEPS_MIN || steps.length > STEPS_MAX) fail();
    return {
      kind: 'funnel',
      range: decodeRange(search.range),
      steps,
      window: decodeWindow(search.window),
      ...filtersPart(search.where),
      ...breakdownPart(search.by),
    };
  });
}

export function encodeRetention(query: RetentionQuery): RetentionSearch {
  return {
    range: encodeRange(query.range),
    born: encodeMatch(query.born),
    returned: encodeMatch(query.returned),
    unit: query.unit,
    intervals: String(query.intervals),
    mode: query.mode,
    align: query.alignment,
    // Left out when it is what people mean by retention.
    groups: query.cohorts === 'each_interval' ? query.cohorts : undefined,
    where: encodeFilters(query.filters),
  };
}

export function decodeRetention(search: RetentionSearch): RetentionQuery | null {
  return attempt(() => ({
    kind: 'retention',
    range: decodeRange(search.range),
    born: decodeMatch(search.born ?? fail()),
    returned: decodeMatch(search.returned ?? fail()),
    unit: oneOf(RETENTION_UNITS, search.unit),
    intervals: wholeNumber(search.intervals, 1, INTERVALS_MAX),
    mode: oneOf(['on', 'on_or_after'] as const, search.mode),
    alignment: oneOf(['calendar', 'rolling'] as const, search.align),
    cohorts: oneOf(['first_time', 'each_interval'] as const, search.groups ?? 'first_time'),
    ...filtersPart(search.where),
  }));
}

export function encodePersons(query: PersonsQuery): PersonsSearch {
  const page = Math.floor((query.offset ?? 0) / PERSONS_PAGE) + 1;
  return {
    range: encodeRange(query.range),
    did: encodeMatch(query.matching ?? {}),
    page: page > 1 ? String(page) : undefined,
  };
}

export function decodePersons(search: PersonsSearch): PersonsQuery | null {
  return attempt(() => {
    const page = search.page === undefined ? 1 : wholeNumber(search.page, 1, 1_000_000);
    return {
      kind: 'persons',
      range: decodeRange(search.range),
      matching: decodeMatch(search.did ?? fail()),
      limit: PERSONS_PAGE,
      offset: (page - 1) * PERSONS_PAGE,
    };
  });
}

/** The timeline behind one row of the persons table. */
export function eventsOfPerson(range: DateRange, person: string, limit: number): EventsQuery {
  return { kind: 'events', range, matching: {}, person, limit };
}

// ---------------------------------------------------------------- pieces

export const UNITS = ['minute', 'hour', 'day', 'week', 'month'] as const satisfies Unit[];
export const RETENTION_UNITS = ['day', 'week', 'month'] as const satisfies Unit[];
const SHORT_UNITS: Record<Unit, string> = { minute: 'min', hour: 'h', day: 'd', week: 'w', month: 'mo' };
const SHORT_WINDOW_UNITS: Record<WindowUnit, string> = { second: 's', ...SHORT_UNITS };

export function encodeRange(range: DateRange): string {
  if (range.kind === 'between') return `${range.from}..${range.to}`;
  return `${range.count}${SHORT_UNITS[range.unit]}`;
}

export function decodeRange(encoded: string | undefined): DateRange {
  const [from, to, more] = (encoded ?? fail()).split('..');
  if (from !== undefined && to !== undefined && more === undefined) {
    if (!isCivilDate(from) || !isCivilDate(to) || from > to) fail();
    return { kind: 'between', from, to };
  }
  const { count, unit } = decodeCount(SHORT_UNITS, encoded);
  return { kind: 'last', count, unit };
}

function decodeWindow(encoded: string | undefined): FunnelWindow {
  return decodeCount(SHORT_WINDOW_UNITS, encoded);
}

function decodeCount<U extends string>(short: Record<U, string>, encoded: string | undefined) {
  const match = /^(\d+)([a-z]+)$/.exec(encoded ?? '') ?? fail();
  const unit = (Object.keys(short) as U[]).find((candidate) => short[candidate] === match[2]) ?? fail();
  return { count: wholeNumber(match[1], 1, 100_000), unit };
}

function isCivilDate(candidate: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(candidate)) return false;
  const time = Date.parse(`${candidate}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(candidate);
}

export function encodeMatch(matching: EventMatch): string {
  const event = matching.event;
  const name =
    event === undefined || event === null
      ? '*'
      : event.startsWith('*')
        ? `!${escaped(event)}`
        : escaped(event);
  return name + (matching.filters ?? []).map((filter) => `(${encodeFilter(filter)})`).join('');
}

export function decodeMatch(encoded: string): EventMatch {
  const { head, groups } = splitGroups(encoded);
  const event = head === '*' ? undefined : plainText(head);
  const filters = groups.map(decodeFilter);
  return {
    ...(event === undefined ? {} : { event }),
    ...(filters.length > 0 ? { filters } : {}),
  };
}

function decodeMetric(encoded: string): Metric {
  const split = encoded.indexOf('~');
  if (split < 0) fail();
  return {
    measure: oneOf(['total', 'unique'] as const, encoded.slice(0, split)),
    matching: decodeMatch(encoded.slice(split + 1)),
  };
}

function encodeFilters(filters: Filter[] | undefined): string[] | undefined {
  return filters && filters.length > 0 ? filters.map(encodeFilter) : undefined;
}

function filtersPart(encoded: string[] | undefined): { filters?: Filter[] } {
  return encoded && encoded.length > 0 ? { filters: encoded.map(decodeFilter) } : {};
}

export function encodeFilter({ property, condition }: Filter): string {
  return [property, condition.op, ...operands(condition).map(encodeScalar)].map(escaped).join('~');
}

function operands(condition: Condition): Scalar[] {
  if ('values' in condition) return condition.values;
  if ('value' in condition) return [condition.value];
  if ('low' in condition) return [condition.low, condition.high];
  return [];
}

export function decodeFilter(encoded: string): Filter {
  const [property, op, ...rest] = splitParts(encoded).map(plainText);
  if (property === undefined || op === undefined) fail();
  return { property, condition: decodeCondition(op, rest.map(decodeScalar)) };
}

function decodeCondition(op: string, values: Scalar[]): Condition {
  switch (op) {
    case 'equals':
    case 'does_not_equal':
      return values.length > 0 ? { op, values } : fail();
    case 'contains':
    case 'does_not_contain':
    case 'starts_with':
    case 'ends_with':
      return values.length === 1 ? { op, value: String(values[0]) } : fail();
    case 'greater_than':
    case 'at_least':
    case 'less_than':
    case 'at_most':
      return values.length === 1 ? { op, value: numberOf(values[0]) } : fail();
    case 'between':
      return values.length === 2 ? { op, low: numberOf(values[0]), high: numberOf(values[1]) } : fail();
    case 'is_set':
    case 'is_not_set':
      return values.length === 0 ? { op } : fail();
    default:
      return fail();
  }
}

const NUMBER = /^-?\d+(\.\d+)?(e[+-]?\d+)?$/;

function encodeScalar(value: Scalar): string {
  if (typeof value !== 'string') return String(value);
  const readsAsOther = value === 'true' || value === 'false' || NUMBER.test(value) || value.startsWith("'");
  return readsAsOther ? `'${value}` : value;
}

function decodeScalar(encoded: string): Scalar {
  if (encoded.startsWith("'")) return encoded.slice(1);
  if (encoded === 'true' || encoded === 'false') return encoded === 'true';
  return NUMBER.test(encoded) ? Number(encoded) : encoded;
}

function encodeBreakdown(breakdown: Breakdown | null | undefined): string | undefined {
  if (!breakdown) return undefined;
  const limit = breakdown.limit ?? BREAKDOWN_LIMIT;
  return escaped(breakdown.property) + (limit === BREAKDOWN_LIMIT ? '' : `~${limit}`);
}

function breakdownPart(encoded: string | undefined): { breakdown?: Breakdown } {
  if (encoded === undefined) return {};
  const [property, limit] = splitParts(encoded);
  return {
    breakdown: {
      property: plainText(property ?? fail()),
      limit: limit === undefined ? BREAKDOWN_LIMIT : wholeNumber(limit, 1, BREAKDOWN_LIMIT_MAX),
    },
  };
}

// ---------------------------------------------------------------- escapes and refusals

function escaped(plain: string): string {
  return plain.replace(/[!~()]/g, '!$&');
}

function plainText(text: string): string {
  return text.replace(/!([\s\S])/g, '$1');
}

/** Splits at every `~` that is not escaped. */
function splitParts(encoded: string): string[] {
  const parts = [''];
  scan(encoded, (token) => {
    if (token === '~') parts.push('');
    else parts[parts.length - 1] += token;
  });
  return parts;
}

/** Splits `head(group)(group)`; parentheses nest no deeper. */
function splitGroups(encoded: string): { head: string; groups: string[] } {
  let head = '';
  let open: string | null = null;
  const groups: string[] = [];
  scan(encoded, (token) => {
    if (token === '(') {
      if (open !== null) fail();
      open = '';
    } else if (token === ')') {
      if (open === null) fail();
      else groups.push(open);
      open = null;
    } else if (open !== null) open += token;
    else if (groups.length > 0) fail();
    else head += token;
  });
  if (open !== null) fail();
  return { head, groups };
}

function scan(encoded: string, take: (token: string) => void): void {
  for (let at = 0; at < encoded.length; at += 1) {
    const token = encoded[at] === '!' ? encoded.slice(at, at + 2) : encoded.charAt(at);
    at += token.length - 1;
    take(token);
  }
}

class Unreadable extends Error {}

function fail(): never {
  throw new Unreadable();
}

/** A URL that cannot be read is no error: the page then shows its first question. */
function attempt<T>(decode: () => T): T | null {
  try {
    return decode();
  } catch (error) {
    if (error instanceof Unreadable) return null;
    throw error;
  }
}

function oneOf<const T extends string>(allowed: readonly T[], candidate: string | undefined): T {
  return allowed.find((one) => one === candidate) ?? fail();
}

function wholeNumber(encoded: string | undefined, min: number, max: number): number {
  if (!/^\d+$/.test(encoded ?? '')) fail();
  const number = Number(encoded);
  return number >= min && number <= max ? number : fail();
}

function numberOf(value: Scalar | undefined): number {
  return typeof value === 'number' ? value : fail();
}
