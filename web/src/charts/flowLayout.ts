// Where the bars and links of a flow lie: a column per step, the anchor's in its place among them, each bar
// as high as its count. What a path lacks, because it ends or had not begun, is a bar and links of its own.
import type { Flow, FlowName } from '../api/types';

export interface FlowBar {
  key: string;
  /** Null for other events and for paths with nothing here. */
  name: FlowName | null;
  role: 'anchor' | 'event' | 'other' | 'none';
  at: number;
  count: number;
  column: number;
  y: number;
  height: number;
}

export interface FlowRibbon {
  from: FlowBar;
  to: FlowBar;
  count: number;
  /** Top of the ribbon at either end. */
  fromY: number;
  toY: number;
  height: number;
}

export interface FlowLayout {
  columns: { at: number; bars: FlowBar[] }[];
  ribbons: FlowRibbon[];
  height: number;
}

/** Every bar has room for the line that names it. */
const SLOT_MIN = 20;
const GAP = 8;

const keyOf = (name: FlowName | null | undefined) =>
  name ? JSON.stringify([name.event, name.value ?? null]) : 'other';

/** `reach` is the height, in pixels, of a bar that holds every anchor. */
export function layFlow(flow: Flow, reach: number): FlowLayout {
  const scale = flow.anchors > 0 ? reach / flow.anchors : 0;
  const ats = [...flow.steps.map(({ at }) => at), 0].sort((a, b) => a - b);
  let height = 0;
  const columns = ats.map((at, column) => {
    const step = flow.steps.find((one) => one.at === at);
    const contents: Pick<FlowBar, 'key' | 'name' | 'role' | 'count'>[] = step
      ? [
          ...step.nodes.map(({ name, count }) => ({ key: keyOf(name), name, role: 'event' as const, count })),
          { key: 'other', name: null, role: 'other' as const, count: step.other },
          { key: 'none', name: null, role: 'none' as const, count: step.drop_off },
        ]
      : [{ key: 'anchor', name: null, role: 'anchor' as const, count: flow.anchors }];
    let y = 0;
    const bars = contents
      .filter(({ count }) => count > 0)
      .map((content) => {
        const bar: FlowBar = { ...content, at, column, y, height: Math.max(1, content.count * scale) };
        y += Math.max(SLOT_MIN, bar.height) + GAP;
        return bar;
      });
    height = Math.max(height, y - GAP);
    return { at, bars };
  });
  return {
    columns,
    ribbons: columns.slice(1).flatMap((_, i) => ribbonsBetween(flow, columns, i, scale)),
    height,
  };
}

/** Between column `left` and the next one. */
function ribbonsBetween(
  flow: Flow,
  columns: FlowLayout['columns'],
  left: number,
  scale: number,
): FlowRibbon[] {
  const [before, after] = [columns[left], columns[left + 1]];
  if (!before || !after) return [];
  const counts = new Map<string, number>();
  const pair = (from: string, to: string) => `${from}\n${to}`;
  for (const link of flow.links) {
    if (link.at !== before.at) continue;
    const from = before.at === 0 ? 'anchor' : keyOf(link.from);
    const to = after.at === 0 ? 'anchor' : keyOf(link.to);
    counts.set(pair(from, to), (counts.get(pair(from, to)) ?? 0) + link.count);
  }
  // On the anchor's side stand all paths; those that no link takes further have nothing on the other side.
  const forward = before.at >= 0;
  for (const bar of (forward ? before : after).bars) {
    if (bar.role === 'none') continue;
    const others = (forward ? after : before).bars;
    const linked = others.reduce(
      (sum, other) => sum + (counts.get(forward ? pair(bar.key, other.key) : pair(other.key, bar.key)) ?? 0),
      0,
    );
    if (linked < bar.count) {
      counts.set(forward ? pair(bar.key, 'none') : pair('none', bar.key), bar.count - linked);
    }
  }
  const entered = new Map<FlowBar, number>();
  return before.bars.flatMap((from) => {
    let left = 0;
    return after.bars.flatMap((to) => {
      const count = counts.get(pair(from.key, to.key));
      if (!count) return [];
      const height = count * scale;
      const right = entered.get(to) ?? 0;
      const ribbon = { from, to, count, fromY: from.y + left, toY: to.y + right, height };
      left += height;
      entered.set(to, right + height);
      return [ribbon];
    });
  });
}
