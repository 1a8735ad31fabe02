// Colour and shape of a series. The two always go together, so that colour is never the only difference.
import {
  symbol,
  symbolCircle,
  symbolCross,
  symbolDiamond,
  symbolSquare,
  symbolStar,
  symbolTriangle,
  symbolWye,
} from 'd3-shape';

export const LOOKS = 10;
const SHAPES = [
  symbolCircle,
  symbolSquare,
  symbolTriangle,
  symbolDiamond,
  symbolCross,
  symbolStar,
  symbolWye,
];

export const colorOf = (look: number) => `var(--chart-${(look % LOOKS) + 1})`;

function Shape({ look, size, hollow }: { look: number; size: number; hollow?: boolean }) {
  const path = symbol(SHAPES[look % SHAPES.length], size)();
  return (
    <path
      d={path ?? ''}
      fill={hollow ? 'var(--surface)' : colorOf(look)}
      stroke={hollow ? colorOf(look) : 'var(--surface)'}
      strokeWidth={hollow ? 1.5 : 1}
    />
  );
}

/** The sign of a series beside its name. */
export function Glyph({ look }: { look: number }) {
  return (
    <svg width="12" height="12" viewBox="-6 -6 12 12" aria-hidden="true" style={{ flex: 'none' }}>
      <path d={symbol(SHAPES[look % SHAPES.length], 62)() ?? ''} fill={colorOf(look)} />
    </svg>
  );
}
Glyph.Shape = Shape;
