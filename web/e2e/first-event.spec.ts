// The first five minutes: set up in the browser, paste a snippet, see the first event arrive with its
// personal values sealed. The sender is Mixpanel's own SDK on a page of another origin, with nothing but its
// host changed.
import type { Filter } from '../src/api/types';
import { ask, call, expect, expectAccessible, OWNER, test, watch } from './fixtures';
import { SETUP_CODE, startServer, totpCode } from './server';
import { SECRET_MAIL, startShop } from './shop';

const TODAY = { kind: 'last', count: 1, unit: 'day' } as const;
const PRO = { property: 'plan', condition: { op: 'equals', values: ['pro'] } } satisfies Filter;

test('from an empty server to the first event', async ({ browser }) => {
  test.slow();
  const server = await startServer();
  const shop = await startShop();
  const context = await browser.newContext({ locale: 'en-GB', timezoneId: 'Europe/Madrid' });
  try {
    const page = await context.newPage();
    const problems = watch(page);

    await test.step('set up', async () => {
      await page.goto(`${server.origin}/#code=${SETUP_CODE}`);
      await expect(page).toHaveURL(/\/setup/);
      await expectAccessible(page, 'set-up, account');
      await page.getByLabel('Setup code').fill(SETUP_CODE);
      await page.getByLabel('Organisation').fill(OWNER.organisation);
      await page.getByLabel('Your name').fill(OWNER.name);
      await page.getByLabel('Email').fill(OWNER.email);
      await page.getByRole('textbox', { name: /^Password/ }).fill(OWNER.password);
      await expect(page.getByText('Strong')).toBeVisible();
      await page.getByRole('button', { name: 'Continue' }).click();

      const secret = await page.getByTestId('totp-secret').textContent();
      await expect(page.getByRole('img', { name: /QR code/ })).toBeVisible();
      await expectAccessible(page, 'set-up, second factor');
      await page.getByLabel('Code from your authenticator').fill(totpCode(secret ?? ''));
      await page.getByRole('button', { name: 'Continue' }).click();

      await page.getByLabel('Project name').fill('Shop');
      await expect(page.getByRole('combobox', { name: 'Time zone' })).toHaveValue('Europe/Madrid');
      await expectAccessible(page, 'set-up, project');
      await page.getByRole('button', { name: 'Finish' }).click();
      await page.getByRole('button', { name: 'Later' }).click();
    });

    await expect(page).toHaveURL(/\/p\/\d+\/start/);
    await expect(page.getByRole('heading', { name: 'Waiting for the first event…' })).toBeVisible();
    await expectAccessible(page, 'waiting');
    const snippet = (await page.getByRole('tabpanel').textContent()) ?? '';
    const token = /init\('([^']+)'/.exec(snippet)?.[1] ?? '';
    expect(snippet).toContain(`api_host: '${server.origin}'`);
    const project = Number(/\/p\/(\d+)\//.exec(page.url())?.[1]);

    await test.step('a page of another origin sends', async () => {
      const visitor = await browser.newContext();
      const shopPage = await visitor.newPage();
      const shopProblems = watch(shopPage);
      await shopPage.goto(`${shop.addressOf(token, server.origin)}&card=4111`);
      await shopPage.waitForFunction(() => document.title === 'sent', undefined, { timeout: 20_000 });
      // The SDK sends in batches; leaving the page must not be what saves them.
      // `$identify`, the SDK's own record of who the visitor turned out to be, is acted upon and counts in no report.
      await expect
        .poll(
          async () =>
            (
              await call<{ events: { name: string }[] }>(page, 'GET', `/api/v1/projects/${project}/events`)
            ).events
              .map(({ name }) => name)
              .sort(),
          { timeout: 20_000 },
        )
        .toEqual(['Landing', 'Sign up']);
      expect(shopProblems).toEqual([]);
      await visitor.close();
    });

    await test.step('it shows at once, sealed', async () => {
      const arrived = page.getByRole('region', { name: /Sign up/ });
      await expect(arrived).toBeVisible();
      await expect(arrived.getByText('Accepted')).toBeVisible();
      const mail = arrived.getByRole('row', { name: /email/ });
      await expect(mail).toContainText('Sealed');
      await expect(mail).toContainText('•••');
      await expect(arrived.getByRole('row', { name: /^plan/ })).toContainText('pro');
      await expectAccessible(page, 'arrived');
      expect(await page.content()).not.toContain(SECRET_MAIL);
    });

    await test.step('and answers', async () => {
      const total = await ask(page, project, {
        kind: 'insights',
        range: TODAY,
        unit: 'day',
        metrics: [
          { measure: 'total', matching: { event: 'Landing' } },
          { measure: 'total', matching: { event: 'Sign up' } },
          { measure: 'unique', matching: {} },
          { measure: 'total', matching: { event: 'Landing', filters: [PRO] } },
          { measure: 'total', matching: { event: 'Sign up', filters: [PRO] } },
        ],
      });
      // The anonymous visitor and the identified one are one person; the super property went along.
      expect(total.series.map((series) => series.total)).toEqual([1, 1, 1, 1, 1]);
      const { events } = await ask(page, project, { kind: 'events', range: TODAY, limit: 10 });
      expect(events.map(({ event }) => event).sort()).toEqual(['Landing', 'Sign up']);
      for (const event of events) {
        const address = event.properties.find(({ name }) => name === '$current_url')?.value;
        expect(String(address)).toContain(shop.origin);
        expect(String(address)).not.toContain('?');
        expect(JSON.stringify(event)).not.toContain(SECRET_MAIL);
        expect(JSON.stringify(event)).not.toContain('4111');
      }
      const persons = await ask(page, project, { kind: 'persons', range: TODAY, limit: 10 });
      expect(persons.total).toBe(1);
      expect(persons.persons[0]?.sealed.map(({ name }) => name)).toContain('$email');
    });

    expect(problems).toEqual([]);
  } finally {
    await context.close();
    shop.close();
    await server.stop();
  }
});

test('a wrong setup code is refused, and the field is shown again', async ({ browser }) => {
  const server = await startServer();
  const context = await browser.newContext({ locale: 'en-GB' });
  try {
    const page = await context.newPage();
    await page.goto(`${server.origin}/setup?code=guess`);
    await expect(page.getByLabel('Setup code')).toHaveValue('guess');
    await page.getByLabel('Organisation').fill('Stranger');
    await page.getByLabel('Your name').fill('Stranger');
    await page.getByLabel('Email').fill('stranger@example.org');
    await page.getByRole('textbox', { name: /^Password/ }).fill(OWNER.password);
    await page.getByRole('button', { name: 'Continue' }).click();
    await expect(page.getByRole('alert')).toContainText('This is not the setup code');
  } finally {
    await context.close();
    await server.stop();
  }
});
