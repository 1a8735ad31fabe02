// The real binary on a folder of its own, and the two computations a person's phone would do.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export const SETUP_CODE = 'test-setup-code';
const START_MS_MAX = 20_000;

export interface Server {
  /** As the browser sees it. `localhost`, since secure cookies work there without TLS. */
  origin: string;
  /** Where its data lies. */
  folder: string;
  stop: () => Promise<void>;
  /**
   * Stops it and starts it again at the same address, having done something to the folder in between; from then
   * on with more options.
   */
  restart: (between: () => void, more?: string[]) => Promise<void>;
}

export const binary = () => resolve(process.env.COFFERDAM_BIN ?? '../target/debug/cofferdam');

export async function startServer(): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'cofferdam-e2e-'));
  let options: string[] = [];
  const start = (at: string) =>
    spawn(binary(), ['serve', '--data', folder, '--listen', `127.0.0.1:${at}`, ...options], {
      env: { ...process.env, COFFERDAM_SETUP_CODE: SETUP_CODE },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  let child = start('0');
  const port = await portOf(child);
  const end = async () => {
    const ended = new Promise((done) => child.once('exit', done));
    child.kill('SIGTERM');
    await ended;
  };
  return {
    origin: `http://localhost:${port}`,
    folder,
    stop: async () => {
      await end();
      rmSync(folder, { recursive: true, force: true });
    },
    restart: async (between, more = []) => {
      await end();
      between();
      options = [...options, ...more];
      child = start(port);
      await portOf(child);
    },
  };
}

/** A command of whoever runs the server, on the data of the one that runs. */
export function command(server: Server, ...words: string[]): void {
  output(server, ...words);
}

/** The same, and what it says. */
export function output(server: Server, ...words: string[]): string {
  return execFileSync(binary(), [...words, '--data', server.folder], { stdio: 'pipe' }).toString();
}

function portOf(child: ChildProcess): Promise<string> {
  return new Promise((found, failed) => {
    let said = '';
    const timer = setTimeout(
      () => failed(new Error(`the server did not start in time; it said:\n${said}`)),
      START_MS_MAX,
    );
    const read = (chunk: Buffer) => {
      said += chunk.toString();
      const port = /cofferdam listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(said)?.[1];
      if (!port) return;
      clearTimeout(timer);
      found(port);
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.once('error', failed);
    child.once('exit', (code) => failed(new Error(`the server ended with ${code}; it said:\n${said}`)));
  });
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const STEP_SECONDS = 30;
const STEP_MS = STEP_SECONDS * 1_000;
/** The server takes the code before and after the current one, too. */
const SKEW_STEPS = 1;

/** The codes of one authenticator, each given out once, as the server takes each once. */
export class Authenticator {
  private used = 0;

  constructor(private readonly secret: string) {}

  /** A code that was not used yet, and that the server takes for so long still. */
  async code(forMs = 2_000): Promise<string> {
    const now = () => Math.floor(Date.now() / STEP_MS);
    const left = STEP_MS - (Date.now() % STEP_MS);
    // Timers end a moment early now and then, in the step that is just over.
    if (left < forMs) await new Promise((over) => setTimeout(over, left + 50));
    this.used = Math.max(this.used + 1, now() - SKEW_STEPS);
    while (this.used > now() + SKEW_STEPS) await new Promise((over) => setTimeout(over, 500));
    return totpCode(this.secret, this.used * STEP_MS);
  }
}

/** The code an authenticator shows now (RFC 6238: SHA-1, six digits, thirty seconds). */
export function totpCode(secret: string, at = Date.now()): string {
  const bits = [...secret.replace(/[=\s]/g, '')]
    .map((letter) => BASE32.indexOf(letter).toString(2).padStart(5, '0'))
    .join('');
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(at / 1_000 / STEP_SECONDS)));
  const digest = createHmac('sha1', key).update(counter).digest();
  const offset = (digest.at(-1) ?? 0) & 15;
  return String((digest.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}
