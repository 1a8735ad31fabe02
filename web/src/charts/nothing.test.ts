import { describe, expect, it } from 'vitest';
import type { InsightsTable } from '../api/types';
import { hasNothing } from './nothing';

const table = (totals: (number | null)[], hidden_below?: number): InsightsTable => ({
  buckets: [],
  last_incomplete: false,
  segments_omitted: 0,
  series: totals.map((total, metric) => ({ metric, values: [], total })),
  hidden_below,
});

describe('an answer has nothing', () => {
  it('without lines, and where none of them is of anything', () => {
    expect(hasNothing(table([]))).toBe(true);
    expect(hasNothing(table([0, null]))).toBe(true);
    expect(hasNothing(table([0, 3]))).toBe(false);
  });

  it('but has something where few persons are left out', () => {
    expect(hasNothing(table([null, 0], 5))).toBe(false);
    expect(hasNothing(table([0, 0], 5))).toBe(true);
    expect(hasNothing(table([], 5))).toBe(true);
  });
});
