// An address says exactly what is asked, and nothing else gets through it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CAUSE_KINDS,
  causeOf,
  decodeCauses,
  encodeCause,
  isNumbered,
  readDisclosedSearch,
  readExposureSearch,
} from './search';

const cause = fc
  .constantFrom(...CAUSE_KINDS)
  .chain((kind) =>
    (isNumbered(kind)
      ? fc.integer({ min: 0, max: 999_999_999 }).map(String)
      : fc
          .array(fc.constantFrom(...'0123456789abcdef'), { minLength: 32, maxLength: 32 })
          .map((of) => of.join(''))
    ).map((value) => ({ kind, value })),
  );

describe('causes in an address', () => {
  it('come back as they were written', () => {
    fc.assert(
      fc.property(fc.array(cause, { maxLength: 16 }), (causes) => {
        expect(decodeCauses(causes.map(encodeCause))).toEqual(causes);
      }),
    );
  });

  it('are left out when they are none, and never hold an address of somebody', () => {
    const by = ['member~x', 'grant~-1', 'session~9f', 'actor~ada@example.org', 'ip~10.0.0.1', '', 'member~7'];
    expect(decodeCauses(by)).toEqual([{ kind: 'member', value: '7' }]);
  });

  it('are numbers or pseudonyms to the server', () => {
    expect(causeOf({ kind: 'member', value: '7' })).toEqual({ member: 7 });
    expect(causeOf({ kind: 'ip', value: 'a'.repeat(32) })).toEqual({ ip: 'a'.repeat(32) });
  });
});

describe('filters in an address', () => {
  it('are dropped when they are not of their form', () => {
    expect(
      readDisclosedSearch({ actor: 'ada@example.org', person: 'ada', from: 'yesterday', all: '1' }),
    ).toEqual({});
    expect(
      readDisclosedSearch({ person: 'per_ab12', purpose: 'support', from: '2026-11-09T08:00:00Z' }),
    ).toEqual({
      person: 'per_ab12',
      purpose: 'support',
      from: '2026-11-09T08:00:00Z',
    });
  });

  it('take one cause or many', () => {
    expect(readExposureSearch({ by: 'member~7' }).by).toEqual(['member~7']);
    expect(readExposureSearch({ by: ['member~7', 'grant~2'] }).by).toEqual(['member~7', 'grant~2']);
  });
});
