// The snippets people paste carry the right address in each SDK's own way of writing it.
import { expect, it } from 'vitest';
import { snippetsFor } from './snippetCode';

const codeOf = (name: string, origin: string) =>
  snippetsFor('t0ken', origin).find((snippet) => snippet.name === name)?.code ?? '';

it('gives Node its host with the port, and the protocol apart', () => {
  const code = codeOf('node', 'http://localhost:8000');
  expect(code).toContain("host: 'localhost:8000'");
  expect(code).toContain("protocol: 'http'");
});

it('gives Python full addresses without TLS, and the host alone with it', () => {
  expect(codeOf('python', 'http://localhost:8000')).toContain('events_url="http://localhost:8000/track"');
  expect(codeOf('python', 'https://a.example')).toContain('Consumer(api_host="a.example")');
});

it('names the token everywhere', () => {
  for (const { code } of snippetsFor('t0ken', 'https://a.example')) expect(code).toContain('t0ken');
});
