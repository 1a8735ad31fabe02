// Whether a formula over metrics can be read: numbers, letters of metrics, + - * / and brackets. The server
// computes it; this only keeps half-typed ones from being asked.

/** `names` are the letters that mean something. */
export function isFormula(text: string, names: readonly string[]): boolean {
  const tokens = text.match(/\d+(?:\.\d+)?|[A-Za-z]+|[-+*/()]|\S/g) ?? [];
  let at = 0;
  const take = (token: string) => tokens[at] === token && at++ >= 0;
  const operand = (): boolean => {
    if (take('-')) return operand();
    if (take('(')) return sum() && take(')');
    const token = tokens[at] ?? '';
    at += 1;
    return /^\d/.test(token) || names.includes(token);
  };
  const chain = (part: () => boolean, signs: string[]): boolean => {
    if (!part()) return false;
    while (signs.some(take)) if (!part()) return false;
    return true;
  };
  const product = () => chain(operand, ['*', '/']);
  const sum = (): boolean => chain(product, ['+', '-']);
  return sum() && at === tokens.length;
}
