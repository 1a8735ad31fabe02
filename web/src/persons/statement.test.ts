// The statement is the server's; the page reads it and says nothing it does not say.
import { describe, expect, it } from 'vitest';
import { factsOf } from './statement';

describe('the figures of a statement', () => {
  it('are read line by line', () => {
    const statement = [
      'cofferdam erasure certificate v1',
      'project: 1',
      'persons: 2',
      'ids of them: 3',
      'begun: 2026-11-22T10:00:00Z (entry 5)',
      'destroyed: 2 keys, 2 profiles, 1 addresses, 0 quarantined values, 4 ids',
      'hidden: 17 events',
      'person: per_abc',
      '',
    ].join('\n');
    expect(factsOf(statement)).toEqual({ begun: '2026-11-22T10:00:00Z', persons: 2, events: 17 });
  });

  it('are none where the statement has none', () => {
    expect(factsOf('something else: entirely')).toEqual({ begun: null, persons: null, events: null });
  });
});
