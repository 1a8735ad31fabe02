// Ids out of what somebody pastes or exports: one a line, or the first column of a table.

const HEADERS = new Set(['distinct_id', '$distinct_id', 'id', 'user_id', 'userid', '$user_id']);
const FIRST_CELL = /^\s*(?:"((?:[^"]|"")*)"|([^,;\t]*))/;

/** Each id once, in order; empty lines and a head line are no ids. */
export function parseIds(text: string): string[] {
  const ids = new Set<string>();
  for (const [at, line] of text
    .replace(/^\uFEFF/, '')
    .split(/\r\n|\r|\n/)
    .entries()) {
    const [, quoted, plain] = FIRST_CELL.exec(line) ?? [];
    const id = (quoted?.replaceAll('""', '"') ?? plain ?? '').trim();
    if (id === '' || (at === 0 && HEADERS.has(id.toLowerCase()))) continue;
    ids.add(id);
  }
  return [...ids];
}
