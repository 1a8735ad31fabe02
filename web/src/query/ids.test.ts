// An upload means the ids in it, however the table was written.
import { describe, expect, it } from 'vitest';
import { parseIds } from './ids';

describe('ids', () => {
  it.each([
    ['one a line', 'a\nb\r\nc\n', ['a', 'b', 'c']],
    ['a table with a head', '\uFEFFdistinct_id,plan\nu-1,pro\nu-2,free', ['u-1', 'u-2']],
    ['quotes and semicolons', '"a,b";1\n"say ""hi""";2', ['a,b', 'say "hi"']],
    ['each once', 'a\n\n a \nb', ['a', 'b']],
    ['an id that looks like a head, later', 'x\nid', ['x', 'id']],
    ['nothing', '\n \n', []],
  ])('%s', (_, text, expected) => {
    expect(parseIds(text)).toEqual(expected);
  });
});
