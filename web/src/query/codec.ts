// What a query is, in the address bar. Query ⇄ flat search params, so that the URL is the state: Back
// undoes, and the address is the link to share. The text is meant to be read and edited by people:
//
//   range=30d                      the last 30 days; min, h, d, w, mo — or 2026-01-01..2026-01-31
//   show=unique~Purchase           one metric: measure, event (`*` is any event), then its filters
//   show=total~Purchase(plan~equals~pro~team)(amount~at_least~10)
//   show=sum~amount~Purchase       what a measure needs stands between it and the event
//   step=Sign+up                   one step of a funnel; `born`, `returned` and `anchor` read alike
//   not=1~2~Refund                 what must not happen between two steps
//   where=plan~equals~pro          a filter over everything; `@profile~plan~…` looks at the person's profile
//   by=country&by=amount~width~10  a breakdown, with `top=25` when the limit is not ten
//   session=45min                  when a session ends; `by~tab` cuts by a property, `opens=…&closes=…` by events
//
// What is left out has its usual value.
//
// `!` takes the meaning off the character after it. In values, text that would read as a number, as
// true or as false starts with an apostrophe.
import * as z from 'zod/mini';
import type {
  Aggregate,
  Attribution,
  Breakdown,
  BreakdownBy,
  Compare,
  Condition,
  DateRange,
  EventMatch,
  EventsQuery,
  Exclusion,
  Filter,
  FlowsQuery,
  FrequencyQuery,
  FunnelMatch,
  FunnelQuery,
  FunnelWindow,
  Holder,
  InsightsQuery,
  Measure,
  Metric,
  PersonMeasure,
  PersonsQuery,
  RetentionQuery,
  Scalar,
  SessionRule,
  SessionsQuery,
  Transform,
  Unit,
  ValueBuckets,
  WindowUnit,
} from '../api/types';
import { SESSION_FIGURES } from '../ui/figures';

export const METRICS_MAX = 40;
export const FORMULAS_MAX = 10;
export const STEPS_MIN = 2;
export const STEPS_MAX = 20;
export const INTERVALS_MAX = 60;
export const EXCLUSIONS_MAX = 5;
export const HELD_MAX = 3;
export const BREAKDOWNS_MAX = 4;
export const ACTIVE_DAYS_MAX = 90;
export const ROLLING_MAX = 90;
export const FLOW_BEFORE_MAX = 5;
export const FLOW_AFTER_MAX = 10;
export const FLOW_NODES = 3;
export const FLOW_NODES_MAX = 50;
export const BREAKDOWN_LIMIT = 10;
const BREAKDOWN_LIMIT_MAX = 200;
export const PERSONS_PAGE = 50;
export const SESSION_MINUTES = 30;
export const SESSION_MINUTES_MAX = 1_440;

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
    .replaceAll('%3A', ':')
    .replaceAll('%40', '@');
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

/** The shapes of a report that counts one thing at a time. */
export const PLAIN_CHARTS = ['line', 'bars', 'table'] as const;
export type PlainChart = (typeof PLAIN_CHARTS)[number];

const splits = { by: texts, top: text, touch: text };
const cuts = { session: text, opens: text, closes: text };

const insightsSearch = z.object({
  range: text,
  unit: text,
  show: texts,
  formula: texts,
  where: texts,
  ...splits,
  line: text,
  compare: text,
  ...cuts,
  chart: choice(CHARTS),
});
const funnelSearch = z.object({
  range: text,
  step: texts,
  window: text,
  count: text,
  reentry: text,
  not: texts,
  same: texts,
  where: texts,
  ...splits,
  credit: text,
  trend: text,
  ...cuts,
  view: choice(['chart', 'table']),
});
const retentionSearch = z.object({
  range: text,
  born: text,
  returned: text,
  unit: text,
  intervals: text,
  brackets: text,
  mode: text,
  align: text,
  groups: text,
  where: texts,
  ...splits,
  view: choice(['table', 'curve']),
});
const flowsSearch = z.object({
  range: text,
  anchor: text,
  before: text,
  after: text,
  nodes: text,
  window: text,
  count: text,
  hide: texts,
  repeats: text,
  where: texts,
  ...cuts,
});
const sessionsSearch = z.object({
  range: text,
  unit: text,
  did: text,
  ...cuts,
  ...splits,
  figure: choice(SESSION_FIGURES),
  chart: choice(PLAIN_CHARTS),
});
const frequencySearch = z.object({
  range: text,
  did: text,
  period: text,
  days: text,
  where: texts,
  view: choice(['bars', 'table']),
});
const personsSearch = z.object({ range: text, did: text, page: text, person: text });

export type InsightsSearch = z.output<typeof insightsSearch>;
export type FunnelSearch = z.output<typeof funnelSearch>;
export type RetentionSearch = z.output<typeof retentionSearch>;
export type FlowsSearch = z.output<typeof flowsSearch>;
export type SessionsSearch = z.output<typeof sessionsSearch>;
export type FrequencySearch = z.output<typeof frequencySearch>;
export type PersonsSearch = z.output<typeof personsSearch>;

export const readInsightsSearch = (raw: Record<string, unknown>): InsightsSearch => insightsSearch.parse(raw);
export const readFunnelSearch = (raw: Record<string, unknown>): FunnelSearch => funnelSearch.parse(raw);
export const readRetentionSearch = (raw: Record<string, unknown>): RetentionSearch =>
  retentionSearch.parse(raw);
export const readFlowsSearch = (raw: Record<string, unknown>): FlowsSearch => flowsSearch.parse(raw);
export const readSessionsSearch = (raw: Record<string, unknown>): SessionsSearch => sessionsSearch.parse(raw);
export const readFrequencySearch = (raw: Record<string, unknown>): FrequencySearch =>
  frequencySearch.parse(raw);
export const readPersonsSearch = (raw: Record<string, unknown>): PersonsSearch => personsSearch.parse(raw);

// ---------------------------------------------------------------- Query ⇄ search

export function encodeInsights(query: InsightsQuery): InsightsSearch {
  return {
    range: encodeRange(query.range),
    unit: query.unit,
    show: query.metrics.map(encodeMetric),
    formula: orNone(query.formulas),
    where: encodeFilters(query.filters),
    ...encodeBreakdown(query.breakdown),
    line: encodeTransform(query.transform),
    compare: encodeCompare(query.compare),
    ...encodeSessionRule(query.sessions),
  };
}

export function decodeInsights(search: InsightsSearch): InsightsQuery | null {
  return attempt(() => {
    const metrics = (search.show ?? fail()).map(decodeMetric);
    if (metrics.length < 1 || metrics.length > METRICS_MAX) fail();
    const transform = decodeTransform(search.line);
    const compare = decodeCompare(search.compare);
    return {
      kind: 'insights',
      range: decodeRange(search.range),
      unit: oneOf(UNITS, search.unit),
      metrics,
      ...(search.formula ? { formulas: search.formula } : {}),
      ...filtersPart(search.where),
      ...breakdownPart(search),
      ...(transform ? { transform } : {}),
      ...(compare ? { compare } : {}),
      ...sessionsPart(search),
    };
  });
}

export function encodeFunnel(query: FunnelQuery): FunnelSearch {
  return {
    range: encodeRange(query.range),
    step: query.steps.map(encodeStep),
    window: encodeWindow(query.window),
    count: unlessUsual(query.count, 'unique'),
    reentry: unlessUsual(query.reentry, 'first'),
    not: orNone(query.exclusions?.map(encodeExclusion)),
    same: orNone(query.hold_constant),
    where: encodeFilters(query.filters),
    ...encodeBreakdown(query.breakdown),
    credit: encodeAttribution(query.attribution),
    trend: query.trend ?? undefined,
    ...encodeSessionRule(query.sessions),
  };
}

export function decodeFunnel(search: FunnelSearch): FunnelQuery | null {
  return attempt(() => {
    const steps = (search.step ?? fail()).map(decodeStep);
    if (steps.length < STEPS_MIN || steps.length > STEPS_MAX) fail();
    const attribution = decodeAttribution(search.credit);
    return {
      kind: 'funnel',
      range: decodeRange(search.range),
      steps,
      window: decodeWindow(search.window),
      ...(search.count === undefined ? {} : { count: oneOf(COUNTS, search.count) }),
      ...(search.reentry === undefined ? {} : { reentry: oneOf(REENTRIES, search.reentry) }),
      ...(search.not ? { exclusions: search.not.map(decodeExclusion) } : {}),
      ...(search.same ? { hold_constant: search.same } : {}),
      ...filtersPart(search.where),
      ...breakdownPart(search),
      ...(attribution ? { attribution } : {}),
      ...(search.trend === undefined ? {} : { trend: oneOf(UNITS, search.trend) }),
      ...sessionsPart(search),
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
    brackets: query.brackets && query.brackets.length > 0 ? query.brackets.join(',') : undefined,
    mode: query.mode,
    align: query.alignment,
    groups: unlessUsual(query.cohorts, 'first_time'),
    where: encodeFilters(query.filters),
    ...encodeBreakdown(query.breakdown),
  };
}

export function decodeRetention(search: RetentionSearch): RetentionQuery | null {
  return attempt(() => {
    const intervals = wholeNumber(search.intervals, 1, INTERVALS_MAX);
    const brackets = search.brackets?.split(',').map((length) => wholeNumber(length, 1, 1_000));
    if (brackets && brackets.length !== intervals) fail();
    return {
      kind: 'retention',
      range: decodeRange(search.range),
      born: decodeMatch(search.born ?? fail()),
      returned: decodeMatch(search.returned ?? fail()),
      unit: oneOf(RETENTION_UNITS, search.unit),
      intervals,
      ...(brackets ? { brackets } : {}),
      mode: oneOf(RETENTION_MODES, search.mode),
      alignment: oneOf(['calendar', 'rolling'] as const, search.align),
      cohorts: oneOf(['first_time', 'each_interval'] as const, search.groups ?? 'first_time'),
      ...filtersPart(search.where),
      ...breakdownPart(search),
    };
  });
}

export function encodeFlows(query: FlowsQuery): FlowsSearch {
  return {
    range: encodeRange(query.range),
    anchor: encodeMatch(query.anchor),
    before: query.before ? String(query.before) : undefined,
    after: String(query.after),
    nodes: query.nodes === undefined || query.nodes === FLOW_NODES ? undefined : String(query.nodes),
    window: query.window && encodeWindow(query.window),
    count: unlessUsual(query.count, 'unique'),
    hide: orNone(query.hidden),
    repeats: query.collapse_repeats ? 'once' : undefined,
    where: encodeFilters(query.filters),
    ...encodeSessionRule(query.sessions),
  };
}

export function decodeFlows(search: FlowsSearch): FlowsQuery | null {
  return attempt(() => {
    const before = search.before === undefined ? 0 : wholeNumber(search.before, 0, FLOW_BEFORE_MAX);
    const after = wholeNumber(search.after, 0, FLOW_AFTER_MAX);
    if (before + after < 1) fail();
    return {
      kind: 'flows',
      range: decodeRange(search.range),
      anchor: decodeMatch(search.anchor ?? fail()),
      ...(before > 0 ? { before } : {}),
      after,
      ...(search.nodes === undefined ? {} : { nodes: wholeNumber(search.nodes, 1, FLOW_NODES_MAX) }),
      ...(search.window === undefined ? {} : { window: decodeWindow(search.window) }),
      ...(search.count === undefined ? {} : { count: oneOf(COUNTS, search.count) }),
      ...(search.hide ? { hidden: search.hide } : {}),
      ...(search.repeats === undefined
        ? {}
        : { collapse_repeats: oneOf(['once'] as const, search.repeats) === 'once' }),
      ...filtersPart(search.where),
      ...sessionsPart(search),
    };
  });
}

export function encodeSessions(query: SessionsQuery): SessionsSearch {
  const did = encodeMatch(query.matching ?? {});
  return {
    range: encodeRange(query.range),
    unit: query.unit,
    did: did === '*' ? undefined : did,
    ...encodeSessionRule(query.sessions),
    ...encodeBreakdown(query.breakdown),
  };
}

export function decodeSessions(search: SessionsSearch): SessionsQuery | null {
  return attempt(() => ({
    kind: 'sessions',
    range: decodeRange(search.range),
    unit: oneOf(UNITS, search.unit),
    ...(search.did === undefined ? {} : { matching: decodeMatch(search.did) }),
    ...sessionsPart(search),
    ...breakdownPart(search),
  }));
}

export function encodeFrequency(query: FrequencyQuery): FrequencySearch {
  return {
    range: encodeRange(query.range),
    did: encodeMatch(query.matching ?? {}),
    period: query.period,
    days: query.cumulative ? 'at_least' : undefined,
    where: encodeFilters(query.filters),
  };
}

export function decodeFrequency(search: FrequencySearch): FrequencyQuery | null {
  return attempt(() => ({
    kind: 'frequency',
    range: decodeRange(search.range),
    matching: decodeMatch(search.did ?? fail()),
    period: oneOf(FREQUENCY_PERIODS, search.period),
    ...(search.days === undefined
      ? {}
      : { cumulative: oneOf(['at_least'] as const, search.days) === 'at_least' }),
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
export const FREQUENCY_PERIODS = ['day', 'week', 'month'] as const satisfies Unit[];
export const RETENTION_UNITS = ['day', 'week', 'month'] as const satisfies Unit[];
export const RETENTION_MODES = ['on', 'on_or_after', 'on_or_before', 'streak'] as const;
export const COUNTS = ['unique', 'total', 'sessions'] as const;
export const REENTRIES = ['first', 'optimized'] as const;
const SHORT_UNITS: Record<Unit, string> = { minute: 'min', hour: 'h', day: 'd', week: 'w', month: 'mo' };
const SHORT_WINDOW_UNITS: Record<WindowUnit, string> = { second: 's', ...SHORT_UNITS, session: 'ses' };

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

function encodeWindow(window: FunnelWindow): string {
  return `${window.count}${SHORT_WINDOW_UNITS[window.unit]}`;
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

interface CutSearch {
  session?: string | undefined;
  opens?: string | undefined;
  closes?: string | undefined;
}

function encodeSessionRule(rule: SessionRule | undefined): CutSearch {
  const none = { session: undefined, opens: undefined, closes: undefined };
  switch (rule?.kind) {
    case 'timeout':
      return rule.minutes === SESSION_MINUTES ? none : { ...none, session: `${rule.minutes}min` };
    case 'property':
      return { ...none, session: `by~${escaped(rule.property)}` };
    case 'events':
      return { ...none, opens: encodeMatch(rule.start), closes: encodeMatch(rule.end) };
    default:
      return none;
  }
}

function sessionsPart({ session, opens, closes }: CutSearch): { sessions?: SessionRule } {
  if (opens !== undefined || closes !== undefined) {
    if (session !== undefined) fail();
    const [start, end] = [decodeMatch(opens ?? fail()), decodeMatch(closes ?? fail())];
    return { sessions: { kind: 'events', start, end } };
  }
  if (session === undefined) return {};
  const [word, property, more] = splitParts(session);
  if (word === 'by' && property !== undefined && more === undefined) {
    return { sessions: { kind: 'property', property: plainText(property) } };
  }
  const minutes = wholeNumber(/^(\d+)min$/.exec(session)?.[1], 1, SESSION_MINUTES_MAX);
  return { sessions: { kind: 'timeout', minutes } };
}

export function encodeMatch(matching: EventMatch): string {
  return encodeEvent(matching.event) + encodeGroups(matching.filters);
}

export function decodeMatch(encoded: string): EventMatch {
  const { parts, filters } = splitMatch(encoded, 0);
  return matchOf(parts[0], filters);
}

function encodeEvent(event: string | null | undefined): string {
  if (event === undefined || event === null) return '*';
  return event.startsWith('*') ? `!${escaped(event)}` : escaped(event);
}

function encodeGroups(filters: Filter[] | undefined): string {
  return (filters ?? []).map((filter) => `(${encodeFilter(filter)})`).join('');
}

/** The parts before an event's filters; the event is the last of them. */
function splitMatch(encoded: string, before: number | null): { parts: string[]; filters: Filter[] } {
  const { head, groups } = splitGroups(encoded);
  const parts = splitParts(head);
  if (before !== null && parts.length !== before + 1) fail();
  return { parts, filters: groups.map(decodeFilter) };
}

function matchOf(event: string | undefined, filters: Filter[]): EventMatch {
  return {
    ...(event === '*' ? {} : { event: plainText(event ?? fail()) }),
    ...(filters.length > 0 ? { filters } : {}),
  };
}

function encodeStep(step: FunnelMatch): string {
  return (step.any_order ? 'any~' : '') + encodeMatch(step);
}

function decodeStep(encoded: string): FunnelMatch {
  const { parts, filters } = splitMatch(encoded, null);
  const step = matchOf(parts.at(-1), filters);
  if (parts.length === 1) return step;
  return parts.length === 2 && parts[0] === 'any' ? { ...step, any_order: true } : fail();
}

function encodeExclusion({ after_step, before_step, matching }: Exclusion): string {
  return `${after_step}~${before_step}~${encodeMatch(matching)}`;
}

function decodeExclusion(encoded: string): Exclusion {
  const { parts, filters } = splitMatch(encoded, 2);
  const after_step = wholeNumber(parts[0], 1, STEPS_MAX - 1);
  const before_step = wholeNumber(parts[1], after_step + 1, STEPS_MAX);
  return { matching: matchOf(parts[2], filters), after_step, before_step };
}

function encodeAttribution(attribution: Attribution | undefined): string | undefined {
  if (attribution === undefined || attribution === 'first') return undefined;
  return attribution === 'last' ? 'last' : String(attribution.step.step);
}

function decodeAttribution(encoded: string | undefined): Attribution | undefined {
  if (encoded === undefined || encoded === 'last') return encoded;
  return { step: { step: wholeNumber(encoded, 1, STEPS_MAX) } };
}

// ---------------------------------------------------------------- measures

function encodeMetric({ measure, matching }: Metric): string {
  return [...measureParts(measure), encodeEvent(matching.event)].join('~') + encodeGroups(matching.filters);
}

function decodeMetric(encoded: string): Metric {
  const { parts, filters } = splitMatch(encoded, null);
  const event = parts.pop();
  return { measure: decodeMeasure(parts.map(plainText)), matching: matchOf(event, filters) };
}

const PLAIN_MEASURES = ['total', 'unique', 'sessions'] as const;
const PROPERTY_MEASURES = ['sum', 'average', 'median', 'min', 'max', 'distinct'] as const;
const PLAIN_EACH = ['total', 'hours', 'days'] as const;
const PROPERTY_EACH = ['sum', 'average', 'min', 'max', 'distinct'] as const;
const PLAIN_AGGREGATES = ['sum', 'average', 'median', 'min', 'max'] as const;

/** A measure as `name~argument~…`: `sum~amount`, `percentile~90~amount`, `person~average~sum~amount`. */
export function measureParts(measure: Measure): string[] {
  if (typeof measure === 'string') return [measure];
  if ('active' in measure) return ['active', String(measure.active.days)];
  if ('percentile' in measure)
    return ['percentile', String(measure.percentile.percent), escaped(measure.percentile.property)];
  if ('cohort_size' in measure) return ['cohort_size', escaped(measure.cohort_size.cohort)];
  if ('per_person' in measure) {
    const { each, then } = measure.per_person;
    const aggregate = typeof then === 'string' ? then : `p${then.percentile.percent}`;
    return ['person', aggregate, ...namedParts(each)];
  }
  return namedParts(measure);
}

function namedParts(measure: string | Record<string, { property: string }>): string[] {
  if (typeof measure === 'string') return [measure];
  return Object.entries(measure).flatMap(([name, { property }]) => [name, escaped(property)]);
}

function decodeMeasure(parts: string[]): Measure {
  const [name, first, second, third] = parts;
  const exactly = (count: number) => parts.length === count || fail();
  if (name === 'active') {
    exactly(2);
    return { active: { days: wholeNumber(first, 1, ACTIVE_DAYS_MAX) } };
  }
  if (name === 'percentile') {
    exactly(3);
    return { percentile: { percent: percentOf(first), property: second ?? fail() } };
  }
  if (name === 'cohort_size') {
    exactly(2);
    return { cohort_size: { cohort: first ?? fail() } };
  }
  if (name === 'person') {
    const plain = PLAIN_EACH.find((one) => one === second);
    exactly(plain ? 3 : 4);
    const each: PersonMeasure = plain ?? withProperty(oneOf(PROPERTY_EACH, second), third ?? fail());
    return { per_person: { each, then: decodeAggregate(first ?? fail()) } };
  }
  const plain = PLAIN_MEASURES.find((one) => one === name);
  exactly(plain ? 1 : 2);
  return plain ?? withProperty(oneOf(PROPERTY_MEASURES, name), first ?? fail());
}

/** `{ sum: { property } }` and its like; the name decides which of them. */
function withProperty<T>(name: string, property: string): T {
  return { [name]: { property } } as T;
}

function decodeAggregate(encoded: string): Aggregate {
  if (encoded.startsWith('p')) return { percentile: { percent: percentOf(encoded.slice(1)) } };
  return oneOf(PLAIN_AGGREGATES, encoded);
}

function percentOf(encoded: string | undefined): number {
  const percent = numberOf(decodeScalar(encoded ?? fail()));
  return percent >= 0 && percent <= 100 ? percent : fail();
}

function encodeTransform(transform: Transform | null | undefined): string | undefined {
  if (!transform) return undefined;
  return transform.kind === 'rolling' ? `rolling~${transform.buckets}` : transform.kind;
}

function decodeTransform(encoded: string | undefined): Transform | undefined {
  if (encoded === undefined) return undefined;
  if (encoded === 'cumulative') return { kind: 'cumulative' };
  const [kind, buckets] = encoded.split('~');
  return kind === 'rolling' ? { kind, buckets: wholeNumber(buckets, 2, ROLLING_MAX) } : fail();
}

function encodeCompare(compare: Compare | null | undefined): string | undefined {
  if (!compare) return undefined;
  return compare.kind === 'ago' ? `${compare.count}${SHORT_UNITS[compare.unit]}` : 'previous';
}

function decodeCompare(encoded: string | undefined): Compare | undefined {
  if (encoded === undefined) return undefined;
  if (encoded === 'previous') return { kind: 'previous_period' };
  return { kind: 'ago', ...decodeCount(SHORT_UNITS, encoded) };
}

// ---------------------------------------------------------------- filters

function encodeFilters(filters: Filter[] | undefined): string[] | undefined {
  return orNone(filters?.map(encodeFilter));
}

function filtersPart(encoded: string[] | undefined): { filters?: Filter[] } {
  return encoded && encoded.length > 0 ? { filters: encoded.map(decodeFilter) } : {};
}

export function encodeFilter({ on, property, condition }: Filter): string {
  const parts = [condition.op, ...operands(condition).map(encodeScalar)].map(escaped);
  return [...heldParts(on, property), ...parts].join('~');
}

function operands(condition: Condition): Scalar[] {
  if ('values' in condition) return condition.values;
  if ('value' in condition) return [condition.value];
  if ('low' in condition) return [condition.low, condition.high];
  return [];
}

export function decodeFilter(encoded: string): Filter {
  const { on, property, rest } = splitHeld(encoded);
  const [op, ...values] = rest.map(plainText);
  return { ...on, property, condition: decodeCondition(op ?? fail(), values.map(decodeScalar)) };
}

/** A property, with whose it is before it unless it is the event's. */
function heldParts(on: Holder | undefined, property: string): string[] {
  const name = property.startsWith('@') ? `!${escaped(property)}` : escaped(property);
  return on === undefined || on === 'event' ? [name] : [`@${on}`, name];
}

function splitHeld(encoded: string): { on: { on?: Holder }; property: string; rest: string[] } {
  const parts = splitParts(encoded);
  const held = parts[0]?.startsWith('@')
    ? oneOf(['profile', 'cohort'] as const, parts.shift()?.slice(1))
    : undefined;
  const [property, ...rest] = parts;
  return { on: held ? { on: held } : {}, property: plainText(property ?? fail()), rest };
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

interface SplitSearch {
  by?: string[] | undefined;
  top?: string | undefined;
  touch?: string | undefined;
}

function encodeBreakdown(breakdown: Breakdown | null | undefined): SplitSearch {
  if (!breakdown) return { by: undefined, top: undefined, touch: undefined };
  const limit = breakdown.limit ?? BREAKDOWN_LIMIT;
  return {
    by: breakdown.by.map(encodeBy),
    top: limit === BREAKDOWN_LIMIT ? undefined : String(limit),
    touch: unlessUsual(breakdown.touch, 'every'),
  };
}

function breakdownPart({ by, top, touch }: SplitSearch): { breakdown?: Breakdown } {
  if (!by) return {};
  if (by.length > BREAKDOWNS_MAX) fail();
  return {
    breakdown: {
      by: by.map(decodeBy),
      limit: top === undefined ? BREAKDOWN_LIMIT : wholeNumber(top, 1, BREAKDOWN_LIMIT_MAX),
      ...(touch === undefined ? {} : { touch: oneOf(['first', 'last'] as const, touch) }),
    },
  };
}

function encodeBy({ on, property, buckets }: BreakdownBy): string {
  return [...heldParts(on, property), ...(buckets ? bucketParts(buckets) : [])].join('~');
}

function bucketParts(buckets: ValueBuckets): string[] {
  if (buckets.kind === 'width') return ['width', String(buckets.size)];
  return buckets.kind === 'bounds' ? ['bounds', ...buckets.bounds.map(String)] : ['time', buckets.unit];
}

function decodeBy(encoded: string): BreakdownBy {
  const { on, property, rest } = splitHeld(encoded);
  return { ...on, property, ...(rest.length > 0 ? { buckets: decodeBuckets(rest) } : {}) };
}

function decodeBuckets([kind, ...values]: string[]): ValueBuckets {
  if (kind === 'width' && values.length === 1) return { kind, size: numberOf(decodeScalar(values[0] ?? '')) };
  if (kind === 'bounds' && values.length > 0)
    return { kind, bounds: values.map((value) => numberOf(decodeScalar(value))) };
  if (kind === 'time' && values.length === 1) return { kind, unit: oneOf(UNITS, values[0]) };
  return fail();
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

/** What is written only when it is not what everybody means. */
function unlessUsual<T extends string>(value: T | undefined, usual: T): T | undefined {
  return value === usual ? undefined : value;
}

function orNone<T>(list: T[] | undefined): T[] | undefined {
  return list && list.length > 0 ? list : undefined;
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
