// What goes into a bar comes out of it, on both sides of the anchor.
import { describe, expect, it } from 'vitest';
import type { Flow } from '../api/types';
import { layFlow } from './flowLayout';

const named = (event: string) => ({ event });
// Ten anchors: before them, six had done A and four nothing; after them five do B, two something else and
// three nothing, and of the five at B four go on to C.
const flow: Flow = {
  anchors: 10,
  steps: [
    { at: -1, nodes: [{ name: named('A'), count: 6 }], other: 0, drop_off: 4 },
    { at: 1, nodes: [{ name: named('B'), count: 5 }], other: 2, drop_off: 3 },
    { at: 2, nodes: [{ name: named('C'), count: 4 }], other: 0, drop_off: 3 },
  ],
  links: [
    { at: -1, from: named('A'), to: named('X'), count: 6 },
    { at: 0, from: named('X'), to: named('B'), count: 5 },
    { at: 0, from: named('X'), count: 2 },
    { at: 1, from: named('B'), to: named('C'), count: 4 },
  ],
  paths: [],
};

describe('the picture of a flow', () => {
  const { columns, ribbons, height } = layFlow(flow, 100);

  it('has the anchor between what came before and after', () => {
    expect(columns.map(({ at }) => at)).toEqual([-1, 0, 1, 2]);
    expect(columns[1]?.bars).toMatchObject([{ role: 'anchor', count: 10, height: 100 }]);
  });

  it('leads every path somewhere', () => {
    const told = ribbons.map(({ from, to, count }) => `${from.at} ${from.role} > ${to.role} ${count}`);
    expect(told).toEqual([
      '-1 event > anchor 6',
      '-1 none > anchor 4',
      '0 anchor > event 5',
      '0 anchor > other 2',
      '0 anchor > none 3',
      '1 event > event 4',
      '1 event > none 1',
      '1 other > none 2',
    ]);
  });

  it('keeps ribbons within their bars and bars apart', () => {
    for (const { from, to, fromY, toY, height: thick } of ribbons) {
      expect(fromY + thick).toBeLessThanOrEqual(from.y + from.height + 1e-9);
      expect(toY + thick).toBeLessThanOrEqual(to.y + to.height + 1e-9);
    }
    for (const { bars } of columns) {
      bars.slice(1).forEach((bar, at) => {
        const above = bars[at];
        expect(bar.y).toBeGreaterThan((above?.y ?? 0) + (above?.height ?? 0));
      });
    }
    expect(height).toBeGreaterThanOrEqual(100);
  });

  it('of nothing is nothing', () => {
    expect(layFlow({ anchors: 0, steps: [], links: [], paths: [] }, 100).ribbons).toEqual([]);
  });
});
