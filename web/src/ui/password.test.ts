// The hint must not call a keyboard run strong, nor a passphrase weak.
import { expect, it } from 'vitest';
import { passwordStrength } from './password';

const check = (password: string, score: string) => expect(passwordStrength(password).score).toBe(score);

it('rates by length and variety', () => {
  check('short', 'short');
  check('aaaaaaaaaaaaaaaa', 'weak');
  check('123456789012', 'weak');
  check('correct horse battery staple', 'strong');
  check('Tr0ub4dor&3xyQ', 'strong');
});

it('lets the server decide about everything that is long enough', () => {
  expect(passwordStrength('aaaaaaaaaaaa').enough).toBe(true);
  expect(passwordStrength('a'.repeat(11)).enough).toBe(false);
});
