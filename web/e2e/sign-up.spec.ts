// The first two minutes, filmed: an empty server, an account with a passkey, a project, the code to paste, the
// first event of Mixpanel's own SDK, the first report. Somebody types it who has to find the keys.
import { readFileSync } from 'node:fs';
import { type Locator, test as plain } from '@playwright/test';
import { film } from './film';
import { expect, expectAccessible, OWNER, settled, watch } from './fixtures';
import { stepUp, verifies, withPasskeys } from './passkey';
import { Authenticator, SETUP_CODE, startServer } from './server';
import { startShop } from './shop';

/** Forty words a minute. */
const KEY_MS = 300;
/** To find what to press. */
const MOMENT_MS = 1_000;
/** To type a code and send it: one that is about to change is not begun with. */
const CODE_MS = 8_000;

plain('from sign-up with a passkey to the first report', async ({ browser }, info) => {
  plain.setTimeout(240_000);
  const server = await startServer();
  const shop = await startShop();
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    locale: 'en-GB',
    timezoneId: 'Europe/Madrid',
    reducedMotion: 'reduce',
    permissions: ['clipboard-write'],
  });
  try {
    const page = await context.newPage();
    const problems = watch(page);
    const passkeys = await withPasskeys(page);
    const button = (name: string) => page.getByRole('button', { name });
    const press = async (what: Locator) => {
      await what.hover();
      await page.waitForTimeout(MOMENT_MS);
      await what.click();
    };
    const type = (where: Locator, text: string) => where.pressSequentially(text, { delay: KEY_MS });

    const shot = await film(browser, page);
    const began = Date.now();
    // As the terminal prints it: the code is in the link.
    await page.goto(`${server.origin}/#code=${SETUP_CODE}`);
    await expect(page.getByLabel('Setup code')).toHaveValue(SETUP_CODE);
    await type(page.getByLabel('Organisation'), OWNER.organisation);
    await type(page.getByLabel('Your name'), OWNER.name);
    await type(page.getByLabel('Email'), OWNER.email);
    await type(page.getByRole('textbox', { name: /^Password/ }), OWNER.password);
    await press(button('Continue'));
    const phone = new Authenticator((await page.getByTestId('totp-secret').textContent()) ?? '');
    await type(page.getByLabel('Code from your authenticator'), await phone.code(CODE_MS));
    await press(button('Continue'));
    await type(page.getByLabel('Project name'), 'Shop');
    await press(button('Finish'));
    await press(button('Add a passkey'));
    await press(button('Continue'));
    await type(stepUp(page).getByRole('textbox', { name: 'Password' }), OWNER.password);
    await type(stepUp(page).getByLabel('Code from your authenticator'), await phone.code(CODE_MS));
    await press(stepUp(page).getByRole('button', { name: 'Confirm' }));
    await type(page.getByRole('textbox', { name: 'Name' }), 'Laptop');
    // A finger that does not fit makes nothing.
    await verifies(passkeys, false);
    await press(button('Make it'));
    await expect(page.getByRole('alert')).toContainText('No passkey was used.');
    await verifies(passkeys, true);
    await press(button('Make it'));

    await expect(page).toHaveURL(/\/p\/\d+\/start/);
    await expect(page.getByRole('heading', { name: 'Waiting for the first event…' })).toBeVisible();
    await press(button('Copy code'));
    const snippet = (await page.getByRole('tabpanel').textContent()) ?? '';
    const token = /init\('([^']+)'/.exec(snippet)?.[1] ?? '';
    expect(snippet).toContain(`api_host: '${server.origin}'`);

    const visitor = await browser.newContext();
    const shopPage = await visitor.newPage();
    await shopPage.goto(shop.addressOf(token, server.origin));
    const arrived = page.getByRole('region', { name: /Sign up/ });
    await expect(arrived.getByText('Accepted')).toBeVisible({ timeout: 20_000 });
    await visitor.close();
    await press(page.getByRole('link', { name: 'Open a report' }));
    await settled(page);
    const row = page.getByRole('row', { name: /^(Landing|Sign up)/ }).first();
    await expect(row).toContainText('1', { timeout: 20_000 });
    const seconds = (Date.now() - began) / 1_000;
    await page.waitForTimeout(MOMENT_MS);
    const path = info.outputPath('from-sign-up-to-the-first-report.webm');
    await shot.save(path);
    await info.attach('film', { path, contentType: 'video/webm' });
    console.log(
      `    from sign-up with a passkey to the first report: ${seconds.toFixed(0)} s, filmed in ${path}`,
    );
    // WebM's first bytes, and more than a picture.
    const bytes = readFileSync(path);
    expect(bytes.subarray(0, 4).toString('hex')).toBe('1a45dfa3');
    expect(bytes.length).toBeGreaterThan(200_000);

    // The passkey is enough to come back.
    const project = /\/p\/(\d+)\//.exec(page.url())?.[1];
    await button('Account').click();
    await page.getByRole('menuitem', { name: 'Sign out' }).click();
    await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible();
    await expectAccessible(page, 'sign in with a passkey');
    await button('Sign in with a passkey').click();
    await expect(page).toHaveURL(new RegExp(`/p/${project}/`));
    expect(problems).toEqual([]);
  } finally {
    await context.close();
    shop.close();
    await server.stop();
  }
});
