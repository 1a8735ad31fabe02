// Only what the server would read is asked.
import { describe, expect, it } from 'vitest';
import { isFormula } from './formula';

describe('a formula', () => {
  it.each(['A', 'A / B * 100', '(A + B) / 2', '-A + 1.5', '((A))', 'A*-B'])('reads %s', (text) => {
    expect(isFormula(text, ['A', 'B'])).toBe(true);
  });
  it.each(['', 'A +', 'C', 'A B', '(A', 'A)', '1..2', 'A % B', 'a'])('waits at %j', (text) => {
    expect(isFormula(text, ['A', 'B'])).toBe(false);
  });
});
