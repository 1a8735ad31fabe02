// Every page and every layer that opens over it, in both colour schemes and every language, without a
// violation of WCAG 2.2 AA and without anything that the page's own policy refuses; and without scrolling
// sideways on a narrow phone.
import { readFileSync } from 'node:fs';
import type { Browser, BrowserContext, Page } from '@playwright/test';
import type { FileRoutesByFullPath } from '../src/routeTree.gen';
import {
  closeHouse,
  countRefusals,
  expect,
  expectAccessible,
  type House,
  OWNER,
  openHouse,
  paint,
  refusals,
  settled,
  test,
  violations,
  watch,
} from './fixtures';
import { type Furniture, furnish } from './furnish';
import { SETUP_CODE, type Server, startServer, totpCode } from './server';

type Route = keyof FileRoutesByFullPath;
type Language = 'en' | 'es' | 'it';
const LANGUAGES = ['en', 'es', 'it'] as const satisfies readonly Language[];
const SCHEMES = ['light', 'dark'] as const;
const ROWS = 'tbody tr';

interface Visit {
  /** What follows `/p/{project}/`, or the whole address. */
  at: string;
  /** The owner, unless it is somebody else. */
  as?: 'steward' | 'stranger';
  /** What is on the page only when it has something to show. */
  has?: string;
}

const SIGN_UPS = 'range=30d&unit=day&show=unique~Sign+up&by=$city';

/** Pages that say something else while there is nothing to show. */
const EMPTY = [
  'insights',
  'cohorts',
  'live',
  'data',
  'tokens',
  'disclosures',
  'exposure',
  'exports',
  'approvals',
  'incidents',
];

/** Where to go for each page of the router, and what is to be seen there. */
const visits = ({ incident, person }: Furniture): Record<Route, Visit[]> => ({
  // They lead to a page and are none.
  '/': [],
  '/p/$project': [],
  '/p/$project/': [],
  // Walked through on servers that nobody has set up.
  '/setup': [],
  '/login': [{ at: '/login', as: 'stranger', has: 'form, button' }],
  '/join': [{ at: '/join#code=0123456789abcdef', as: 'stranger', has: 'form' }],
  '/p/$project/insights': [
    { at: 'insights', has: 'svg' },
    ...['bars', 'stacked', 'number', 'table'].map((shape) => ({ at: `insights?${SIGN_UPS}&chart=${shape}` })),
  ],
  '/p/$project/funnels': [{ at: 'funnels' }],
  '/p/$project/retention': [{ at: 'retention', has: ROWS }],
  '/p/$project/flows': [{ at: 'flows' }],
  '/p/$project/frequency': [{ at: 'frequency' }, { at: 'frequency?view=table', has: ROWS }],
  '/p/$project/sessions': [
    { at: 'sessions' },
    { at: 'sessions?by=plan&chart=table&range=30d&unit=day', has: ROWS },
  ],
  '/p/$project/persons': [
    { at: 'persons?range=30d', has: ROWS },
    { at: `persons?range=30d&person=${person}`, has: '[role=dialog] h2' },
  ],
  '/p/$project/cohorts': [{ at: 'cohorts', has: ROWS }],
  '/p/$project/live': [{ at: 'live' }],
  '/p/$project/data': [{ at: 'data', has: ROWS }],
  '/p/$project/start': [{ at: 'start', has: '[role=tabpanel]' }],
  '/p/$project/tokens': [{ at: 'tokens', has: ROWS }],
  '/p/$project/members': [{ at: 'members', has: ROWS }],
  '/p/$project/account': [{ at: 'account', has: ROWS }],
  '/p/$project/disclosures': [{ at: 'disclosures', has: ROWS }],
  '/p/$project/exposure': [
    { at: 'exposure', has: 'figure' },
    { at: 'exposure?by=member~1&view=table', has: ROWS },
  ],
  '/p/$project/exports': [{ at: 'exports', has: ROWS }],
  '/p/$project/approvals': [{ at: 'approvals', as: 'steward', has: `article` }],
  '/p/$project/incidents/': [
    { at: 'incidents', has: ROWS },
    { at: 'incidents?open=yes', has: '[role=dialog] form' },
  ],
  '/p/$project/incidents/$incident': [{ at: `incidents/${incident}`, has: `#scope ${ROWS}` }],
});

interface Walk {
  house: House;
  furniture: Furniture;
}

const walk = test.extend<object, { walk: Walk }>({
  walk: [
    async ({ browser }, use) => {
      const house = await openHouse(browser);
      await use({ house, furniture: await furnish(browser, house) });
      await closeHouse(house);
    },
    { scope: 'worker', timeout: 120_000 },
  ],
});

/** Looks at a page as it stands: both schemes, then as narrow as a phone. */
async function look(page: Page, what: string): Promise<void> {
  for (const scheme of SCHEMES) {
    await paint(page, scheme);
    expect.soft(await violations(page), `${what}, ${scheme}`).toEqual([]);
  }
  expect.soft(await refusals(page), what).toEqual([]);
  const wide = page.viewportSize();
  await page.setViewportSize({ width: 320, height: 720 });
  // Charts are drawn anew for their width a moment after it changed.
  await expect
    .configure({ soft: true })
    .poll(
      () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
      { message: `${what} scrolls sideways at 320 pixels`, timeout: 3_000 },
    )
    .toBe(0);
  if (wide) await page.setViewportSize(wide);
}

async function open(
  context: BrowserContext,
  language: Language,
): Promise<{ page: Page; problems: string[] }> {
  const page = await context.newPage();
  await page.addInitScript((chosen) => window.localStorage.setItem('cofferdam-language', chosen), language);
  await countRefusals(page);
  return { page, problems: watch(page) };
}

/** The words of a catalogue, for what has to be pressed on the way. */
function words(language: Language): (key: string) => string {
  const texts = JSON.parse(readFileSync(new URL(`../src/i18n/${language}.json`, import.meta.url), 'utf8'));
  return (key) => {
    // biome-ignore lint/suspicious/noExplicitAny: a catalogue is a tree of unknown depth.
    const found = key.split('.').reduce((within: any, part) => within?.[part], texts);
    if (typeof found !== 'string') throw new Error(`${language} has no ${key}`);
    return found;
  };
}

walk('every route of the router is on the list', ({ walk: { furniture } }) => {
  const tree = readFileSync(new URL('../src/routeTree.gen.ts', import.meta.url), 'utf8');
  const routes = /fullPaths:([^;]+);/.exec(tree)?.[1]?.match(/'[^']+'/g) ?? [];
  expect(routes.length).toBeGreaterThan(20);
  expect(Object.keys(visits(furniture)).sort()).toEqual(routes.map((route) => route.slice(1, -1)).sort());
});

for (const language of LANGUAGES) {
  walk(`pages, ${language}`, async ({ browser, walk: { house, furniture } }) => {
    walk.setTimeout(90_000);
    const outside = await newcomer(browser);
    const base = `${house.server.origin}/p/${house.project.id}/`;
    const all = Object.values(visits(furniture)).flat();
    const of = (reader: Visit['as'] | 'owner') => all.filter(({ as = 'owner' }) => as === reader);
    const read = async (context: BrowserContext, todo: Visit[]) => {
      const { page, problems } = await open(context, language);
      for (let visit = todo.shift(); visit; visit = todo.shift()) {
        const { at, has } = visit;
        await page.goto(at.startsWith('/') ? house.server.origin + at : base + at);
        await expect(page.locator('h1').first(), at).toBeVisible();
        if (has) await expect(page.locator(has).first(), at).toBeVisible();
        await expect(page.locator('[aria-busy="true"]'), at).toHaveCount(0);
        await look(page, `${at}, ${language}`);
      }
      await page.close();
      expect(problems).toEqual([]);
    };
    // Two tabs share what the owner reads: while one is being judged the other loads.
    const owners = of('owner');
    await Promise.all([
      read(house.context, owners),
      read(house.context, owners),
      read(furniture.steward.context, of('steward')),
      read(outside, of('stranger')),
    ]);
    await outside.close();
    const found = walk.info().errors.length;
    console.log(`    ${all.length} pages in ${language}, light and dark: ${found} with something wrong`);
  });

  walk(`set-up, ${language}`, async ({ browser }) => {
    const server = await startServer();
    const context = await newcomer(browser);
    try {
      const { page, problems } = await open(context, language);
      await walkThroughSetup(page, server, language);
      expect(problems).toEqual([]);
    } finally {
      await context.close();
      await server.stop();
    }
  });
}

function newcomer(browser: Browser): Promise<BrowserContext> {
  return browser.newContext({
    viewport: { width: 1366, height: 860 },
    locale: 'en-GB',
    timezoneId: 'Europe/Madrid',
    reducedMotion: 'reduce',
  });
}

async function walkThroughSetup(page: Page, server: Server, language: Language): Promise<void> {
  const t = words(language);
  const next = () => page.getByRole('button', { name: t('setup.next') }).click();
  await page.goto(`${server.origin}/setup?code=${SETUP_CODE}`);
  await expect(page.getByLabel(t('setup.organisation'))).toBeVisible();
  await look(page, `set-up, account, ${language}`);
  await page.getByLabel(t('setup.organisation')).fill(OWNER.organisation);
  await page.getByLabel(t('account.name')).fill(OWNER.name);
  await page.getByLabel(t('account.email')).fill(OWNER.email);
  await page.getByRole('textbox', { name: t('account.password') }).fill(OWNER.password);
  await next();
  const secret = (await page.getByTestId('totp-secret').textContent()) ?? '';
  await look(page, `set-up, second factor, ${language}`);
  await page.getByLabel(t('account.code')).fill(totpCode(secret));
  await next();
  await page.getByLabel(t('project.name')).fill('Shop');
  await look(page, `set-up, project, ${language}`);
  await page.getByRole('button', { name: t('setup.finish') }).click();
  await expect(page.getByRole('button', { name: t('setup.passkey_add') })).toBeVisible();
  await look(page, `set-up, passkey, ${language}`);
  await page.getByRole('button', { name: t('setup.passkey_later') }).click();
  // Nothing has happened yet: what pages say then is read too.
  for (const name of EMPTY) {
    await page.goto(`${server.origin}/p/1/${name}`);
    await expect(page.locator('h1, h2').first(), name).toBeVisible();
    await expect(page.locator('[aria-busy="true"]'), name).toHaveCount(0);
    await look(page, `${name} of an empty project, ${language}`);
  }
}

walk('what is wrong is counted', async ({ walk: { house } }) => {
  const { page } = await open(house.context, 'en');
  await page.goto(`${house.server.origin}/p/${house.project.id}/account`);
  await expect(page.locator('h1')).toBeVisible();
  await page.evaluate(() => {
    const picture = document.createElement('img');
    picture.src = '/mark.svg';
    picture.setAttribute('style', 'width: 400px');
    document.querySelector('main')?.append(picture);
  });
  await expect(expectAccessible(page, 'a picture without words')).rejects.toThrow(/image-alt/);
  expect(await refusals(page)).toEqual([expect.stringContaining('style-src')]);
  await page.close();
});

for (const scheme of SCHEMES) {
  test(`layers, ${scheme}`, async ({ page, house }) => {
    await page.emulateMedia({ colorScheme: scheme });
    await page.goto(`${house.server.origin}/p/${house.project.id}/insights`);
    await settled(page);

    await page.getByRole('button', { name: /^Dates/ }).click();
    await expect(page.getByText('Days in Europe/Madrid')).toBeVisible();
    await expect(page.getByRole('button', { name: 'Next month' })).toBeVisible();
    await expectAccessible(page, `dates, ${scheme}`);
    await page.keyboard.press('Escape');

    await page.getByRole('button', { name: /^Event: / }).click();
    // Only the list: what lies half behind it is not offered while it is open.
    await expectAccessible(page, `event picker, ${scheme}`, '.mantine-Combobox-dropdown');
    await page.keyboard.press('Escape');

    await page.getByRole('button', { name: 'Account' }).click();
    await expect(page.getByRole('menuitem', { name: 'Sign out' })).toBeVisible();
    await expectAccessible(page, `account, ${scheme}`);
    await page.keyboard.press('Escape');

    await page.keyboard.press('Control+k');
    await expect(page.getByPlaceholder('Go to a page, or find an event')).toBeVisible();
    await expectAccessible(page, `palette, ${scheme}`);
    await page.keyboard.press('Escape');
    await expect(page.getByPlaceholder('Go to a page, or find an event')).toBeHidden();

    await page.keyboard.press('?');
    await expect(page.getByRole('dialog')).toBeVisible();
    await expectAccessible(page, `keys, ${scheme}`);
    await page.keyboard.press('Escape');

    await page.getByRole('button', { name: /^Project: / }).click();
    await page.getByRole('menuitem', { name: 'New project' }).click();
    await expect(page.getByLabel('Project name')).toBeVisible();
    await expectAccessible(page, `new project, ${scheme}`);
  });

  test(`layers of access, ${scheme}`, async ({ page, house }) => {
    await page.emulateMedia({ colorScheme: scheme });
    const again = page.getByRole('dialog', { name: 'Show again that it is you' });
    for (const [name, open] of [
      ['account', 'Add a passkey'],
      ['account', 'Make new codes'],
      ['members', 'Invite'],
      ['members', 'Change the roles of Ana Ruiz'],
      ['tokens', 'Make a token'],
      ['data', 'Erase a person'],
    ] as const) {
      await page.goto(`${house.server.origin}/p/${house.project.id}/${name}`);
      await page.getByRole('button', { name: open }).click();
      await expect(page.getByRole('dialog')).toBeVisible();
      await expectAccessible(page, `${open}, ${scheme}`);
    }
    await page.goto(`${house.server.origin}/p/${house.project.id}/account`);
    await page.getByRole('button', { name: 'Make new codes' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Make new codes' }).click();
    await expect(again.getByLabel('Code from your authenticator')).toBeVisible();
    await expectAccessible(page, `showing a factor again, ${scheme}`);
    await page.keyboard.press('Escape');
    await expect(again).toBeHidden();
    await expect(page.getByRole('dialog').getByRole('alert')).toContainText('Nothing was done');
  });

  test(`signed out, ${scheme}`, async ({ browser, house }) => {
    const context = await browser.newContext({ colorScheme: scheme, locale: 'en-GB' });
    const page = await context.newPage();
    const problems = watch(page);
    await page.goto(`${house.server.origin}/p/${house.project.id}/insights`);
    await expect(page).toHaveURL(/\/login\?next=/);
    await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible();
    await page.getByRole('button', { name: 'Use password and code instead' }).click();
    await page.getByRole('button', { name: 'I lost my authenticator' }).click();
    await expectAccessible(page, `sign in with a recovery code, ${scheme}`);
    expect(problems).toEqual([]);
    await context.close();
  });
}
