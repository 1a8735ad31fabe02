// Whether an Insights answer has nothing to draw.
import type { InsightsTable } from '../api/types';

/** A total that is left out is not nothing: it is of few persons. */
export function hasNothing({ series, hidden_below }: InsightsTable): boolean {
  return series.every(({ total }) => total === 0 || (total === null && !hidden_below));
}
