// Signing out and in again: one message for whatever is wrong, then back to where one wanted to go; and a
// second project, which starts empty.
import { call, expect, OWNER, test } from './fixtures';
import { SETUP_CODE, startServer, totpCode } from './server';

test('sign out, and in again', async ({ browser }) => {
  const server = await startServer();
  const context = await browser.newContext({ locale: 'en-GB' });
  try {
    const page = await context.newPage();
    await page.goto(`${server.origin}/setup`);
    const { secret } = await call<{ secret: string }>(page, 'POST', '/api/v1/setup/totp', {
      setup_code: SETUP_CODE,
      email: OWNER.email,
    });
    await call(page, 'POST', '/api/v1/setup', {
      ...OWNER,
      setup_code: SETUP_CODE,
      totp_code: totpCode(secret),
      project: 'Shop',
      time_zone: 'UTC',
    });

    await page.goto(`${server.origin}/p/1/live`);
    await page.getByRole('button', { name: 'Account' }).click();
    await expect(page.getByText(OWNER.email)).toBeVisible();
    await page.getByRole('menuitem', { name: 'Sign out' }).click();
    await expect(page.getByRole('heading', { name: 'Sign in' })).toBeVisible();

    await page.goto(`${server.origin}/p/1/live`);
    await expect(page).toHaveURL(/\/login\?next=/);
    await page.getByRole('button', { name: 'Use password and code instead' }).click();
    const enter = async (password: string, code: string) => {
      await page.getByLabel('Email').fill(OWNER.email);
      await page.getByRole('textbox', { name: 'Password' }).fill(password);
      await page.getByLabel('Code from your authenticator').fill(code);
      await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    };
    // The code of this half minute went into the set-up, and a code serves once.
    const nextCode = () => totpCode(secret, Date.now() + 30_000);
    await enter('not the password at all', nextCode());
    await expect(page.getByRole('alert')).toContainText('Email, password or code is wrong.');
    await expect(page.getByLabel('Code from your authenticator')).toHaveValue('');
    await enter(OWNER.password, nextCode());
    await expect(page).toHaveURL(/\/p\/1\/live/);
    await expect(page.getByRole('heading', { name: 'Live' })).toBeVisible();

    await page.getByRole('button', { name: 'Project: Shop' }).click();
    await page.getByRole('menuitem', { name: 'New project' }).click();
    await page.getByLabel('Project name').fill('Docs');
    await page.getByRole('button', { name: 'Create project' }).click();
    await expect(page).toHaveURL(/\/p\/2\/start/);
    await expect(page.getByRole('heading', { name: 'Waiting for the first event…' })).toBeVisible();
    await page.getByRole('button', { name: 'Project: Docs' }).click();
    await page.getByRole('menuitemradio', { name: 'Shop' }).click();
    await expect(page).toHaveURL(/\/p\/1\//);
    await expect(page.getByRole('button', { name: 'Project: Shop' })).toBeVisible();
  } finally {
    await context.close();
    await server.stop();
  }
});
