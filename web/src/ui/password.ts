// A hint about a password while it is being chosen. The server decides; this only spares a round trip and
// says in which direction better lies: length, and not being one thing over and over.
export const PASSWORD_CHARS_MIN = 12;
const STRONG_BITS = 70;
const FAIR_BITS = 45;

export interface PasswordStrength {
  score: 'short' | 'weak' | 'fair' | 'strong';
  enough: boolean;
}

export function passwordStrength(password: string): PasswordStrength {
  const letters = [...password];
  if (letters.length < PASSWORD_CHARS_MIN) return { score: 'short', enough: false };
  const alphabet =
    (/[a-z]/.test(password) ? 26 : 0) +
    (/[A-Z]/.test(password) ? 26 : 0) +
    (/\d/.test(password) ? 10 : 0) +
    (/[^a-zA-Z\d]/.test(password) ? 30 : 0);
  // Repeats and runs such as `aaaa` or `1234` add next to nothing.
  const telling = letters.filter((letter, at) => {
    const step = at === 0 ? 9 : letter.codePointAt(0)! - letters[at - 1]!.codePointAt(0)!;
    return Math.abs(step) > 1;
  });
  const distinct = new Set(telling).size;
  const bits = Math.min(telling.length, distinct * 2) * Math.log2(alphabet);
  if (bits >= STRONG_BITS) return { score: 'strong', enough: true };
  return bits >= FAIR_BITS ? { score: 'fair', enough: true } : { score: 'weak', enough: true };
}
