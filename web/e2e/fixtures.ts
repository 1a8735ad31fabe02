// What every spec stands on: one server per worker, set up and filled once, and pages that fail the test
// on any console error, policy violation or failed request. There are no mocks of the server.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type Browser, type BrowserContext, test as base, expect, type Page } from '@playwright/test';
import type { Answer, Project, Query } from '../src/api/types';
import { seedEvents } from './seed';
import { Authenticator, SETUP_CODE, type Server, startServer } from './server';

const require = createRequire(import.meta.url);
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

export const OWNER = {
  organisation: 'Example',
  name: 'Ana Ruiz',
  email: 'ana@example.org',
  password: 'correct horse battery staple',
};

export interface House {
  server: Server;
  project: Project;
  context: BrowserContext;
  /** The owner's phone. */
  phone: Authenticator;
}

interface TestFixtures {
  house: House;
  /** A page of the seeded project's owner, in English. */
  page: Page;
  language: 'en' | 'es' | 'it';
}

export const test = base.extend<TestFixtures, { ownedHouse: House }>({
  ownedHouse: [
    async ({ browser }, use) => {
      const house = await openHouse(browser);
      await use(house);
      await closeHouse(house);
    },
    { scope: 'worker', timeout: 60_000 },
  ],
  house: async ({ ownedHouse }, use) => use(ownedHouse),
  language: ['en', { option: true }],
  page: async ({ ownedHouse, language }, use) => {
    const page = await ownedHouse.context.newPage();
    await page.addInitScript((chosen) => window.localStorage.setItem('cofferdam-language', chosen), language);
    const problems = watch(page);
    await use(page);
    await page.close();
    expect(problems).toEqual([]);
  },
});

export { expect };

/** A server of one's own, set up and filled: for what changes it for good. */
export async function openHouse(browser: Browser): Promise<House> {
  const server = await startServer();
  // One context for all its tests: signing in again would need another code, and a code serves once.
  const context = await browser.newContext({
    viewport: { width: 1366, height: 860 },
    timezoneId: 'Europe/Madrid',
    locale: 'en-GB',
    // Half-faded layers have half the contrast: nothing moves while it is being judged.
    reducedMotion: 'reduce',
  });
  const house = { server, context, ...(await setUpHouse(context, server)) };
  await importEvents(server, house.project);
  return house;
}

export async function closeHouse({ context, server }: House): Promise<void> {
  await context.close();
  await server.stop();
}

/** Collects whatever a user would not see but should not happen. */
export function watch(page: Page): string[] {
  const problems: string[] = [];
  page.on('console', (message) => {
    // The browser notes every refusal; those are counted as responses.
    const isRefusal = /^Failed to load resource: the server responded/.test(message.text());
    if (message.type() === 'error' && !isRefusal) problems.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => problems.push(`page: ${error.message}`));
  page.on('requestfailed', (request) => {
    // A question that changed, or a page that was left, aborts its request: that is meant.
    const reason = request.failure()?.errorText ?? '';
    if (reason !== 'net::ERR_ABORTED') problems.push(`request: ${request.url()} ${reason}`);
  });
  page.on('response', (response) => {
    // An act that wants a factor shown again is refused once: that is how it asks.
    const asks = response.status() === 401 && response.request().method() !== 'GET';
    if (response.status() >= 400 && !asks) problems.push(`response: ${response.status()} ${response.url()}`);
  });
  return problems;
}

/** Calls the server from within the page, with its cookie. */
export async function call<T>(page: Page, method: string, path: string, body?: unknown): Promise<T> {
  const { status, text } = await page.evaluate(
    async (request) => {
      const response = await fetch(request.path, {
        method: request.method,
        headers: request.body === undefined ? {} : { 'content-type': 'application/json' },
        body: request.body === undefined ? undefined : JSON.stringify(request.body),
      });
      return { status: response.status, text: await response.text() };
    },
    { method, path, body },
  );
  if (status >= 400) throw new Error(`${method} ${path}: ${status} ${text}`);
  return JSON.parse(text) as T;
}

export async function ask<Kind extends Query['kind']>(
  page: Page,
  project: number,
  query: Extract<Query, { kind: Kind }>,
): Promise<Extract<Answer['table'], { kind: Kind }>> {
  const answer = await call<Answer>(page, 'POST', `/api/v1/projects/${project}/query`, query);
  return answer.table as Extract<Answer['table'], { kind: Kind }>;
}

async function setUpHouse(
  context: BrowserContext,
  server: Server,
): Promise<Pick<House, 'project' | 'phone'>> {
  const page = await context.newPage();
  await page.goto(`${server.origin}/setup`);
  const { secret } = await call<{ secret: string }>(page, 'POST', '/api/v1/setup/totp', {
    setup_code: SETUP_CODE,
    email: OWNER.email,
  });
  const phone = new Authenticator(secret);
  await call(page, 'POST', '/api/v1/setup', {
    ...OWNER,
    setup_code: SETUP_CODE,
    totp_code: await phone.code(),
    project: 'Shop',
    time_zone: 'Europe/Madrid',
  });
  const { projects } = await call<{ projects: Project[] }>(page, 'GET', '/api/v1/projects');
  await page.close();
  const [project] = projects;
  if (!project) throw new Error('set-up made no project');
  return { project, phone };
}

async function importEvents(server: Server, project: Project): Promise<void> {
  const events = seedEvents(Date.now());
  const response = await fetch(`${server.origin}/import?strict=1`, {
    method: 'POST',
    headers: {
      authorization: `Basic ${Buffer.from(`${project.token}:`).toString('base64')}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify(events),
  });
  const answer = await response.json();
  expect(answer).toMatchObject({ code: 200, num_records_imported: events.length });
}

/** No violation of WCAG 2.2 A and AA in what is on the page now, or within one part of it. */
export async function expectAccessible(page: Page, what: string, within?: string): Promise<void> {
  expect(await violations(page, within), what).toEqual([]);
}

export async function violations(page: Page, within?: string): Promise<string[]> {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(AXE);
  return page.evaluate(async (scope) => {
    // biome-ignore lint/suspicious/noExplicitAny: axe is put into the page as text, without types.
    const { axe } = window as any;
    // Colours that change are judged when they have changed; what goes on for ever is not waited for.
    const settled = Promise.allSettled(document.getAnimations().map(({ finished }) => finished));
    await Promise.race([settled, new Promise((over) => setTimeout(over, 1_000))]);
    const result = await axe.run(scope ?? document, {
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa'],
    });
    return result.violations.flatMap(
      (violation: { id: string; nodes: { target: string[]; failureSummary: string }[] }) =>
        violation.nodes.map((node) => `${violation.id}: ${node.target.join(' ')}: ${node.failureSummary}`),
    );
  }, within);
}

/** Has a page count what its policy refuses, from its first byte on: read with `refusals`. */
export async function countRefusals(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const seen: string[] = [];
    Object.defineProperty(window, 'refusals', { value: seen });
    document.addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI, sample }) => {
      seen.push([effectiveDirective, blockedURI, sample].filter(Boolean).join(' '));
    });
  });
}

export function refusals(page: Page): Promise<string[]> {
  return page.evaluate(() => (window as unknown as { refusals: string[] }).refusals);
}

/** Waits until a report has an answer that is not being replaced. */
export async function settled(page: Page): Promise<void> {
  await expect(page.locator('section[aria-busy="false"]').first()).toBeVisible();
}

/** Shows the page that is open in a colour scheme, and waits until it is painted so. */
export async function paint(page: Page, scheme: 'light' | 'dark'): Promise<void> {
  await page.emulateMedia({ colorScheme: scheme });
  await expect(page.locator('html')).toHaveAttribute('data-mantine-color-scheme', scheme);
  // Colours change over a moment, and half-changed ones have half the contrast. One that ends lets others begin.
  await page.evaluate(async () => {
    const running = () => document.getAnimations().filter(({ playState }) => playState === 'running');
    for (let some = running(); some.length > 0; some = running()) {
      for (const one of some) {
        if (one.effect?.getComputedTiming().endTime === Number.POSITIVE_INFINITY) one.cancel();
        else one.finish();
      }
      await new Promise((later) => setTimeout(later, 0));
    }
  });
}
