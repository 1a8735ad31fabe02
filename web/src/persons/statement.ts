// Reads the figures out of an erasure's statement, whose lines are `name: value`. What it does not say is
// null: the statement itself stays the truth.

export interface ErasureFacts {
  /** When it began, as an instant. */
  begun: string | null;
  persons: number | null;
  /** Events that were hidden. */
  events: number | null;
}

export function factsOf(statement: string): ErasureFacts {
  const lines = new Map(
    statement.split('\n').map((line): [string, string] => {
      const colon = line.indexOf(': ');
      return [line.slice(0, Math.max(0, colon)), line.slice(colon + 2)];
    }),
  );
  const begun = lines.get('begun')?.split(' (')[0] ?? '';
  return {
    begun: Number.isNaN(Date.parse(begun)) ? null : begun,
    persons: numberIn(lines.get('persons')),
    events: numberIn(lines.get('hidden')),
  };
}

function numberIn(text: string | undefined): number | null {
  const digits = /^\d+/.exec(text ?? '')?.[0];
  return digits === undefined ? null : Number(digits);
}
