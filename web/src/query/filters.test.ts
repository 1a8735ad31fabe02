// A filter means what was typed, by the type of its property.
import { describe, expect, it } from 'vitest';
import type { Property } from '../api/types';
import { complete, draftOf, type FilterDraft, operatorsFor } from './filters';

const property = (name: string, types: Property['types']): Property => ({
  name,
  types,
  class: 'C1',
  action: 'kept',
  detector: 'nothing',
});
const properties = [
  property('plan', ['string']),
  property('amount', ['number']),
  property('trial', ['boolean']),
  property('mixed', ['string', 'number']),
];

const check = (draft: FilterDraft, expected: unknown) =>
  expect(complete(draft, properties)?.condition ?? null).toEqual(expected);

describe('a typed filter', () => {
  it('keeps text as text, even when it looks like a number', () => {
    check({ property: 'plan', op: 'equals', values: ['12'] }, { op: 'equals', values: ['12'] });
    check({ property: 'mixed', op: 'equals', values: ['12'] }, { op: 'equals', values: ['12'] });
  });

  it('reads numbers and truth values by the property’s type', () => {
    check({ property: 'amount', op: 'equals', values: ['12', '3.5'] }, { op: 'equals', values: [12, 3.5] });
    check({ property: 'trial', op: 'equals', values: ['true'] }, { op: 'equals', values: [true] });
    check({ property: 'amount', op: 'between', values: ['1', '2'] }, { op: 'between', low: 1, high: 2 });
  });

  it('waits until something can be asked', () => {
    check({ property: 'plan', op: 'equals', values: [] }, null);
    check({ property: 'plan', op: 'contains', values: [''] }, null);
    check({ property: 'amount', op: 'at_least', values: ['x'] }, null);
    check({ property: 'amount', op: 'between', values: ['1', ''] }, null);
    check({ property: 'plan', op: 'is_set', values: [] }, { op: 'is_set' });
  });

  it('survives being opened again', () => {
    const filter = { property: 'amount', condition: { op: 'between' as const, low: 1, high: 2 } };
    expect(complete(draftOf(filter), properties)).toEqual(filter);
  });

  it('offers comparisons only where they mean something', () => {
    expect(operatorsFor(['string'])).not.toContain('greater_than');
    expect(operatorsFor(['number'])).not.toContain('contains');
    expect(operatorsFor(['object'])).toEqual(['is_set', 'is_not_set']);
  });
});
