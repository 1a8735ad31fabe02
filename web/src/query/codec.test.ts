// Every query survives the trip through the address bar, whatever names and values it holds.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type {
  Condition,
  DateRange,
  EventMatch,
  Filter,
  FunnelQuery,
  InsightsQuery,
  RetentionQuery,
} from '../api/types';
import {
  decodeFunnel,
  decodeInsights,
  decodePersons,
  decodeRetention,
  encodeFunnel,
  encodeInsights,
  encodePersons,
  encodeRetention,
  PERSONS_PAGE,
  parseSearch,
  readFunnelSearch,
  readInsightsSearch,
  readPersonsSearch,
  readRetentionSearch,
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
const filter: fc.Arbitrary<Filter> = fc.record({ property: anyText, condition });
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
const breakdown = fc.record({ property: anyText, limit: fc.integer({ min: 1, max: 200 }) });

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
        metrics: fc.array(
          fc.record({ matching, measure: fc.constantFrom('total' as const, 'unique' as const) }),
          { minLength: 1, maxLength: 10 },
        ),
        filters,
        breakdown,
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
        steps: fc.array(matching, { minLength: 2, maxLength: 20 }),
        window: fc.record({
          count: fc.integer({ min: 1, max: 1000 }),
          unit: fc.constantFrom('second' as const, 'minute' as const, 'day' as const, 'month' as const),
        }),
        filters,
        breakdown,
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
        mode: fc.constantFrom('on' as const, 'on_or_after' as const),
        alignment: fc.constantFrom('calendar' as const, 'rolling' as const),
        cohorts: fc.constantFrom('first_time' as const, 'each_interval' as const),
        filters,
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
      fc.property(retention, (query) => {
        const search = readRetentionSearch(throughAddress(encodeRetention(query)));
        expect(decodeRetention(search)).toEqual(query);
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
        breakdown: { property: '$city', limit: 10 },
      }),
    );
    expect(address).toBe('?range=30d&unit=day&show=unique~Sign+up(plan~equals~pro~team)&by=$city');
  });

  it('never throws on what somebody typed', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), (a, b, c) => {
        const search = readInsightsSearch({ range: a, unit: 'day', show: b, where: c, by: a });
        decodeInsights(search);
        decodeFunnel(readFunnelSearch({ range: '7d', step: [a, b], window: c }));
        decodeRetention(readRetentionSearch({ range: '7d', born: a, returned: b, unit: 'day', mode: c }));
      }),
    );
  });
});
