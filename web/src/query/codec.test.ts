// Every query survives the trip through the address bar, whatever names and values it holds.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type {
  Aggregate,
  Breakdown,
  Condition,
  DateRange,
  EventMatch,
  Filter,
  FlowsQuery,
  FrequencyQuery,
  FunnelQuery,
  InsightsQuery,
  Measure,
  RetentionQuery,
  SessionRule,
  SessionsQuery,
  ValueBuckets,
} from '../api/types';
import {
  decodeFlows,
  decodeFrequency,
  decodeFunnel,
  decodeInsights,
  decodePersons,
  decodeRetention,
  decodeSessions,
  encodeFlows,
  encodeFrequency,
  encodeFunnel,
  encodeInsights,
  encodePersons,
  encodeRetention,
  encodeSessions,
  PERSONS_PAGE,
  parseSearch,
  readFlowsSearch,
  readFrequencySearch,
  readFunnelSearch,
  readInsightsSearch,
  readPersonsSearch,
  readRetentionSearch,
  readSessionsSearch,
  stringifySearch,
} from './codec';

const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('*', '*x', '!', '(', ')', '~', 'a~b', 'true', '12', "'", '%20', '+', '&', '=', '$city', ''),
);
const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (n === 0 ? 0 : n));
const scalar = fc.oneof(anyText, number, fc.boolean());
const condition: fc.Arbitrary<Condition> = fc.oneof(
  fc.record({
    op: fc.constantFrom('equals' as const, 'does_not_equal' as const),
    values: fc.array(scalar, { minLength: 1, maxLength: 4 }),
  }),
  fc.record({
    op: fc.constantFrom('contains' as const, 'does_not_contain' as const, 'starts_with' as const),
    value: anyText,
  }),
  fc.record({ op: fc.constantFrom('is_set' as const, 'is_not_set' as const) }),
  fc.record({ op: fc.constantFrom('greater_than' as const, 'at_most' as const), value: number }),
  fc.record({ op: fc.constant('between' as const), low: number, high: number }),
);
const holder = fc.constantFrom('profile' as const, 'cohort' as const);
const filter: fc.Arbitrary<Filter> = fc.record(
  { on: holder, property: anyText, condition },
  { requiredKeys: ['property', 'condition'] },
);
const filters = fc.array(filter, { minLength: 1, maxLength: 3 });
const matching: fc.Arbitrary<EventMatch> = fc.record({ event: anyText, filters }, { requiredKeys: [] });
const civilDate = fc
  .date({ min: new Date('2001-01-01'), max: new Date('2099-12-31'), noInvalidDate: true })
  .map((date) => date.toISOString().slice(0, 10));
const range: fc.Arbitrary<DateRange> = fc.oneof(
  fc.record({
    kind: fc.constant('last' as const),
    count: fc.integer({ min: 1, max: 100_000 }),
    unit: fc.constantFrom('minute' as const, 'hour' as const, 'day' as const, 'month' as const),
  }),
  fc.tuple(civilDate, civilDate).map(([a, b]) => {
    const [from, to] = a < b ? [a, b] : [b, a];
    return { kind: 'between' as const, from, to };
  }),
);
const buckets: fc.Arbitrary<ValueBuckets> = fc.oneof(
  fc.record({ kind: fc.constant('width' as const), size: number }),
  fc.record({
    kind: fc.constant('bounds' as const),
    bounds: fc.array(number, { minLength: 1, maxLength: 4 }),
  }),
  fc.record({ kind: fc.constant('time' as const), unit: fc.constantFrom('day' as const, 'month' as const) }),
);
const breakdown: fc.Arbitrary<Breakdown> = fc.record(
  {
    by: fc.array(fc.record({ on: holder, property: anyText, buckets }, { requiredKeys: ['property'] }), {
      minLength: 1,
      maxLength: 4,
    }),
    limit: fc.integer({ min: 1, max: 200 }),
    touch: fc.constantFrom('first' as const, 'last' as const),
  },
  { requiredKeys: ['by', 'limit'] },
);
// Half an hour is usual, and what is usual is not written.
const sessions: fc.Arbitrary<SessionRule> = fc.oneof(
  fc.record({ kind: fc.constant('timeout' as const), minutes: fc.integer({ min: 31, max: 1_440 }) }),
  fc.record({ kind: fc.constant('property' as const), property: anyText }),
  fc.record({ kind: fc.constant('events' as const), start: matching, end: matching }),
);
const percent = fc.double({ min: 0, max: 100, noNaN: true }).map((n) => (n === 0 ? 0 : n));
const ofProperty = fc
  .tuple(fc.constantFrom('sum', 'average', 'min', 'max', 'distinct'), anyText)
  .map(([name, property]) => ({ [name]: { property } }) as { sum: { property: string } });
const aggregate: fc.Arbitrary<Aggregate> = fc.oneof(
  fc.constantFrom('sum' as const, 'average' as const, 'median' as const),
  percent.map((value) => ({ percentile: { percent: value } })),
);
const measure: fc.Arbitrary<Measure> = fc.oneof(
  fc.constantFrom('total' as const, 'unique' as const, 'sessions' as const),
  fc.integer({ min: 1, max: 90 }).map((days) => ({ active: { days } })),
  ofProperty,
  fc.tuple(percent, anyText).map(([value, property]) => ({ percentile: { percent: value, property } })),
  fc
    .tuple(fc.oneof(fc.constantFrom('total' as const, 'hours' as const), ofProperty), aggregate)
    .map(([each, then]) => ({ per_person: { each, then } })),
  anyText.map((cohort) => ({ cohort_size: { cohort } })),
);

/** Through the text of a real address and back. */
function throughAddress(search: Record<string, unknown>): Record<string, unknown> {
  const address = new URL(`http://host/path${stringifySearch(search)}`);
  return parseSearch(address.search);
}

describe('a query in the address bar', () => {
  it('carries insights', () => {
    const insights: fc.Arbitrary<InsightsQuery> = fc.record(
      {
        kind: fc.constant('insights' as const),
        range,
        unit: fc.constantFrom('minute' as const, 'hour' as const, 'day' as const, 'week' as const),
        metrics: fc.array(fc.record({ matching, measure }), { minLength: 1, maxLength: 10 }),
        formulas: fc.array(anyText, { minLength: 1, maxLength: 3 }),
        transform: fc.oneof(
          fc.record({ kind: fc.constant('rolling' as const), buckets: fc.integer({ min: 2, max: 90 }) }),
          fc.constant({ kind: 'cumulative' as const }),
        ),
        compare: fc.oneof(
          fc.constant({ kind: 'previous_period' as const }),
          fc.record({
            kind: fc.constant('ago' as const),
            count: fc.integer({ min: 1, max: 100 }),
            unit: fc.constantFrom('day' as const, 'month' as const),
          }),
        ),
        filters,
        breakdown,
        sessions,
      },
      { requiredKeys: ['kind', 'range', 'unit', 'metrics'] },
    );
    fc.assert(
      fc.property(insights, (query) => {
        const search = readInsightsSearch(throughAddress(encodeInsights(query)));
        expect(decodeInsights(search)).toEqual(query);
      }),
    );
  });

  it('carries funnels', () => {
    const funnel: fc.Arbitrary<FunnelQuery> = fc.record(
      {
        kind: fc.constant('funnel' as const),
        range,
        steps: fc.array(
          fc.tuple(matching, fc.boolean()).map(([step, any]) => (any ? { ...step, any_order: true } : step)),
          { minLength: 2, maxLength: 20 },
        ),
        count: fc.constantFrom('total' as const, 'sessions' as const),
        reentry: fc.constant('optimized' as const),
        exclusions: fc.array(
          fc.record({
            matching,
            after_step: fc.integer({ min: 1, max: 9 }),
            before_step: fc.integer({ min: 10, max: 20 }),
          }),
          { minLength: 1, maxLength: 5 },
        ),
        hold_constant: fc.array(anyText, { minLength: 1, maxLength: 3 }),
        attribution: fc.oneof(
          fc.constant('last' as const),
          fc.integer({ min: 1, max: 20 }).map((step) => ({ step: { step } })),
        ),
        trend: fc.constantFrom('day' as const, 'week' as const),
        window: fc.record({
          count: fc.integer({ min: 1, max: 1000 }),
          unit: fc.constantFrom('second' as const, 'minute' as const, 'day' as const, 'session' as const),
        }),
        filters,
        breakdown,
        sessions,
      },
      { requiredKeys: ['kind', 'range', 'steps', 'window'] },
    );
    fc.assert(
      fc.property(funnel, (query) => {
        const search = readFunnelSearch(throughAddress(encodeFunnel(query)));
        expect(decodeFunnel(search)).toEqual(query);
      }),
    );
  });

  it('carries retention', () => {
    const retention: fc.Arbitrary<RetentionQuery> = fc.record(
      {
        kind: fc.constant('retention' as const),
        range,
        born: matching,
        returned: matching,
        unit: fc.constantFrom('day' as const, 'week' as const, 'month' as const),
        intervals: fc.integer({ min: 1, max: 60 }),
        mode: fc.constantFrom('on' as const, 'on_or_before' as const, 'streak' as const),
        alignment: fc.constantFrom('calendar' as const, 'rolling' as const),
        cohorts: fc.constantFrom('first_time' as const, 'each_interval' as const),
        filters,
        breakdown,
      },
      {
        requiredKeys: [
          'kind',
          'range',
          'born',
          'returned',
          'unit',
          'intervals',
          'mode',
          'alignment',
          'cohorts',
        ],
      },
    );
    fc.assert(
      fc.property(retention, fc.boolean(), (plain, bracketed) => {
        const brackets = Array.from({ length: plain.intervals }, (_, k) => k + 1);
        const query = bracketed ? { ...plain, brackets } : plain;
        const search = readRetentionSearch(throughAddress(encodeRetention(query)));
        expect(decodeRetention(search)).toEqual(query);
      }),
    );
  });

  it('carries flows', () => {
    const flows: fc.Arbitrary<FlowsQuery> = fc.record(
      {
        kind: fc.constant('flows' as const),
        range,
        anchor: matching,
        before: fc.integer({ min: 1, max: 5 }),
        after: fc.integer({ min: 1, max: 10 }),
        nodes: fc.integer({ min: 4, max: 50 }),
        window: fc.record({
          count: fc.integer({ min: 1, max: 12 }),
          unit: fc.constantFrom('hour', 'session'),
        }),
        count: fc.constantFrom('total' as const, 'sessions' as const),
        hidden: fc.array(anyText, { minLength: 1, maxLength: 3 }),
        collapse_repeats: fc.constant(true),
        filters,
        sessions,
      },
      { requiredKeys: ['kind', 'range', 'anchor', 'after'] },
    );
    fc.assert(
      fc.property(flows, (query) => {
        const search = readFlowsSearch(throughAddress(encodeFlows(query)));
        expect(decodeFlows(search)).toEqual(query);
      }),
    );
  });

  it('carries sessions', () => {
    const asked: fc.Arbitrary<SessionsQuery> = fc.record(
      {
        kind: fc.constant('sessions' as const),
        range,
        unit: fc.constantFrom('minute' as const, 'hour' as const, 'day' as const, 'week' as const),
        matching: fc.oneof(
          fc.record({ event: anyText, filters }, { requiredKeys: ['event'] }),
          fc.record({ filters }),
        ),
        sessions,
        breakdown,
      },
      { requiredKeys: ['kind', 'range', 'unit'] },
    );
    fc.assert(
      fc.property(asked, (query) => {
        const search = readSessionsSearch(throughAddress(encodeSessions(query)));
        expect(decodeSessions(search)).toEqual(query);
      }),
    );
  });

  it('carries frequency', () => {
    const asked: fc.Arbitrary<FrequencyQuery> = fc.record(
      {
        kind: fc.constant('frequency' as const),
        range,
        matching,
        period: fc.constantFrom('day' as const, 'week' as const, 'month' as const),
        cumulative: fc.constant(true),
        filters,
      },
      { requiredKeys: ['kind', 'range', 'matching', 'period'] },
    );
    fc.assert(
      fc.property(asked, (query) => {
        const search = readFrequencySearch(throughAddress(encodeFrequency(query)));
        expect(decodeFrequency(search)).toEqual(query);
      }),
    );
  });

  it('carries persons', () => {
    fc.assert(
      fc.property(range, matching, fc.integer({ min: 0, max: 500 }), (asked, did, page) => {
        const query = {
          kind: 'persons' as const,
          range: asked,
          matching: did,
          limit: PERSONS_PAGE,
          offset: page * PERSONS_PAGE,
        };
        const search = readPersonsSearch(throughAddress(encodePersons(query)));
        expect(decodePersons(search)).toEqual(query);
      }),
    );
  });

  it('reads as a person would write it', () => {
    const address = stringifySearch(
      encodeInsights({
        kind: 'insights',
        range: { kind: 'last', count: 30, unit: 'day' },
        unit: 'day',
        metrics: [
          {
            measure: 'unique',
            matching: {
              event: 'Sign up',
              filters: [{ property: 'plan', condition: { op: 'equals', values: ['pro', 'team'] } }],
            },
          },
        ],
        breakdown: { by: [{ property: '$city' }], limit: 10 },
      }),
    );
    expect(address).toBe('?range=30d&unit=day&show=unique~Sign+up(plan~equals~pro~team)&by=$city');
  });

  it('leaves out what is usual', () => {
    const address = stringifySearch(
      encodeFunnel({
        kind: 'funnel',
        range: { kind: 'last', count: 30, unit: 'day' },
        steps: [{ event: 'Sign up' }, { event: 'Purchase', any_order: false }],
        window: { count: 7, unit: 'day' },
        count: 'unique',
        reentry: 'first',
        attribution: 'first',
        exclusions: [],
      }),
    );
    expect(address).toBe('?range=30d&step=Sign+up&step=Purchase&window=7d');
  });

  it('never throws on what somebody typed', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), (a, b, c) => {
        const search = readInsightsSearch({ range: a, unit: 'day', show: b, where: c, by: a });
        decodeInsights(search);
        decodeFunnel(
          readFunnelSearch({ range: '7d', step: [a, b], window: c, not: [a, b], by: b, credit: c }),
        );
        decodeFlows(readFlowsSearch({ range: '7d', anchor: a, after: b, hide: c }));
        decodeRetention(readRetentionSearch({ range: '7d', born: a, returned: b, unit: 'day', mode: c }));
        decodeSessions(readSessionsSearch({ range: '7d', unit: 'day', did: a, session: b, by: c }));
        decodeSessions(readSessionsSearch({ range: '7d', unit: 'day', opens: a, closes: b }));
        decodeFrequency(readFrequencySearch({ range: '7d', period: 'week', did: a, days: b, where: c }));
      }),
    );
  });
});
