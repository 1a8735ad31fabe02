// What one may do: one's own account, members and their roles, locks, tokens. Each on a server of its own.
import type { Page } from '@playwright/test';
import { call, closeHouse, expect, expectAccessible, OWNER, openHouse, paint, test, watch } from './fixtures';
import { addPasskey, showPasskey, showPasswordAndCode, stepUp, withPasskeys } from './passkey';
import { agreeTo, emailOf, join, ownerPage, profiles, stewardBy } from './people';
import { Authenticator } from './server';

const RECIPIENT = 'age1mx3jd0trta23du92hq5qmjfwt7t0skakurg0z66mqqg64vq3qqys4rdear';
/** To send a code with something else, twice. */
const CODE_MS = 8_000;
const LAST_30_DAYS = { kind: 'last', count: 30, unit: 'day' } as const;

test('an account: passkeys, recovery codes, where one is signed in', async ({ browser }) => {
  test.slow();
  const house = await openHouse(browser);
  try {
    const page = await house.context.newPage();
    const problems = watch(page);
    await withPasskeys(page);
    await page.goto(`${house.server.origin}/p/${house.project.id}/account`);
    await expect(page.getByText('No passkey yet')).toBeVisible();
    await expectAccessible(page, 'account');

    await page.getByRole('button', { name: 'Add a passkey' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Continue' }).click();
    const dialog = stepUp(page);
    await expect(dialog).toContainText('A passkey is about to be added to your account.');
    await expect(dialog).toContainText('It is recorded in the ledger');
    await expectAccessible(page, 'showing a factor again');
    // A wrong code is said where it was typed, and the next one is taken.
    await dialog.getByRole('textbox', { name: 'Password' }).fill(OWNER.password);
    await dialog.getByLabel('Code from your authenticator').fill('000000');
    await dialog.getByRole('button', { name: 'Confirm' }).click();
    await expect(stepUp(page).getByRole('alert')).toContainText('This could not be confirmed.');
    await showPasswordAndCode(page, house.phone);
    await page.getByRole('textbox', { name: 'Name' }).fill('Laptop');
    await page.getByRole('button', { name: 'Make it' }).click();
    const row = page.getByRole('row', { name: /Laptop/ });
    await expect(row).toContainText('never');

    await row.getByRole('button', { name: 'Rename Laptop' }).click();
    await page.getByRole('textbox', { name: 'Name' }).fill('Old laptop');
    await page.getByRole('dialog').getByRole('button', { name: 'Rename', exact: true }).click();
    await expect(page.getByRole('row', { name: /Old laptop/ })).toBeVisible();

    // Whoever has a passkey is asked for it, and for nothing less.
    await page.getByRole('button', { name: 'Make new codes' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Make new codes' }).click();
    await expect(stepUp(page).getByRole('textbox')).toHaveCount(0);
    await stepUp(page).getByRole('button', { name: 'Cancel' }).click();
    await expect(page.getByRole('dialog').getByRole('alert')).toContainText('Nothing was done');
    await page.getByRole('dialog').getByRole('button', { name: 'Make new codes' }).click();
    await stepUp(page).getByRole('button', { name: 'Use passkey' }).click();
    const codes = page.getByRole('list', { name: 'Recovery codes' }).getByRole('listitem');
    await expect(codes.first()).toBeVisible();
    const [code = '', another = ''] = await codes.allTextContents();
    const made = await codes.count();
    await expectAccessible(page, 'recovery codes');
    await page.getByRole('button', { name: 'I have kept it' }).click();
    await expect(page.getByText(`${made} codes are left.`)).toBeVisible();
    expect(await page.content()).not.toContain(code);

    // Another browser comes in with one of them, is seen here, and is sent away.
    const elsewhere = await browser.newContext({ locale: 'en-GB' });
    const other = await elsewhere.newPage();
    await other.goto(`${house.server.origin}/login`);
    await other.getByRole('button', { name: 'Use password and code instead' }).click();
    await other.getByRole('button', { name: 'I lost my authenticator' }).click();
    await other.getByLabel('Email').fill(OWNER.email);
    await other.getByRole('textbox', { name: 'Password' }).fill(OWNER.password);
    await other.getByLabel('Recovery code').fill(code);
    await other.getByRole('button', { name: 'Sign in', exact: true }).click();
    await expect(other).toHaveURL(/\/p\/1\//);
    await page.reload();
    await expect(page.getByText(`${made - 1} codes are left.`)).toBeVisible();
    const theirs = page.getByRole('row', { name: /recovery code/ });
    await expect(theirs).toBeVisible();
    await expectAccessible(page, 'sessions');
    await theirs.getByRole('button', { name: /^Sign out/ }).click();
    await expect(theirs).toBeHidden();
    await other.reload();
    await expect(other).toHaveURL(/\/login/);
    await elsewhere.close();

    await page.getByRole('button', { name: 'Remove Old laptop' }).click();
    await expect(page.getByText('It is your only one')).toBeVisible();
    await page.getByRole('dialog').getByRole('button', { name: 'Remove', exact: true }).click();
    // As somebody would whose laptop is gone.
    await stepUp(page).getByRole('button', { name: 'I lost my passkey' }).click();
    await expectAccessible(page, 'a recovery code in place of the passkey');
    await stepUp(page).getByRole('textbox', { name: 'Password' }).fill(OWNER.password);
    await stepUp(page).getByLabel('Recovery code').fill(another);
    await stepUp(page).getByRole('button', { name: 'Confirm' }).click();
    await expect(page.getByText('No passkey yet')).toBeVisible();
    expect(problems.filter((one) => !isRefusedCode(one))).toEqual([]);
  } finally {
    await closeHouse(house);
  }
});

test('another password and another authenticator app: the old ones sign nobody in', async ({ browser }) => {
  test.slow();
  const house = await openHouse(browser);
  const elsewhere = await browser.newContext({ locale: 'en-GB', reducedMotion: 'reduce' });
  try {
    const changed = 'another correct horse battery';
    const page = await house.context.newPage();
    const problems = watch(page);
    await page.goto(`${house.server.origin}/p/${house.project.id}/account`);
    const section = page.getByRole('region', { name: 'Password', exact: true });
    await section.getByRole('textbox', { name: 'New password' }).fill(changed);
    await section.getByRole('button', { name: 'Change password' }).click();
    await expect(stepUp(page)).toContainText('Your password is about to change.');
    await showPasswordAndCode(page, house.phone);
    await expect(section.getByRole('status')).toContainText('Your password is changed');
    await expect(section.getByRole('textbox', { name: 'New password' })).toHaveValue('');

    // In another browser; a code of which the password was wrong is not spent, and typed again.
    const other = await elsewhere.newPage();
    const enter = async (at: Page, password: string, code: string) => {
      await at.getByLabel('Email').fill(OWNER.email);
      await at.getByRole('textbox', { name: 'Password' }).fill(password);
      await at.getByLabel('Code from your authenticator').fill(code);
      await at.getByRole('button', { name: 'Sign in', exact: true }).click();
    };
    await other.goto(`${house.server.origin}/login`);
    await other.getByRole('button', { name: 'Use password and code instead' }).click();
    const code = await house.phone.code(CODE_MS);
    await enter(other, OWNER.password, code);
    await expect(other.getByRole('alert')).toContainText('Email, password or code is wrong.');
    await enter(other, changed, code);
    await expect(other).toHaveURL(/\/p\/1\//);
    await page.reload();
    const others = page.getByRole('button', { name: 'Sign out everywhere else' });
    await expect(others).toBeVisible();

    await page.getByRole('button', { name: 'Set up another app' }).click();
    const dialog = page.getByRole('dialog', { name: 'Set up another app' });
    await expect(dialog.getByRole('img', { name: 'QR code for your authenticator app' })).toBeVisible();
    for (const scheme of ['light', 'dark'] as const) {
      await paint(page, scheme);
      await expectAccessible(page, `another authenticator app, ${scheme}`);
    }
    const phone = new Authenticator((await dialog.getByTestId('totp-secret').textContent()) ?? '');
    // The old app's code is waited for, if it has to be, before the new one's is read.
    const old = await house.phone.code(2 * CODE_MS);
    await dialog.getByLabel('Code from your authenticator').fill(await phone.code(CODE_MS));
    await dialog.getByRole('button', { name: 'Use this app' }).click();
    await expect(stepUp(page)).toContainText(
      'Another authenticator app is about to take the place of yours.',
    );
    await stepUp(page).getByRole('textbox', { name: 'Password' }).fill(changed);
    await stepUp(page).getByLabel('Code from your authenticator').fill(old);
    await stepUp(page).getByRole('button', { name: 'Confirm' }).click();
    await expect(dialog).toBeHidden();
    await expect(page.getByRole('region', { name: 'Authenticator app' }).getByRole('status')).toContainText(
      'Codes of the old app no longer work',
    );
    await expect(others).toBeHidden();
    await other.reload();
    await expect(other).toHaveURL(/\/login/);

    await page.getByRole('button', { name: 'Account' }).click();
    await page.getByRole('menuitem', { name: 'Sign out' }).click();
    await page.getByRole('button', { name: 'Use password and code instead' }).click();
    await enter(page, changed, await phone.code());
    await expect(page).toHaveURL(/\/p\/1\//);
    expect(problems).toEqual([]);
  } finally {
    await elsewhere.close();
    await closeHouse(house);
  }
});

test('somebody is invited, joins, sees what their roles open, and leaves', async ({ browser }) => {
  test.slow();
  const house = await openHouse(browser);
  const elsewhere = await browser.newContext({ locale: 'en-GB', reducedMotion: 'reduce' });
  try {
    const page = await house.context.newPage();
    const problems = watch(page);
    await withPasskeys(page);
    await addPasskey(page, house);
    await page.goto(`${house.server.origin}/p/${house.project.id}/members`);
    await expect(page.getByRole('row', { name: new RegExp(OWNER.name) })).toContainText('Owner');
    await expectAccessible(page, 'members');

    await page.getByRole('button', { name: 'Invite' }).click();
    await expectAccessible(page, 'inviting');
    await page.getByRole('dialog').getByRole('button', { name: 'Invite' }).click();
    await stepUp(page).getByRole('button', { name: 'Use passkey' }).click();
    const link = (await page.getByTestId('invitation').textContent()) ?? '';
    await page.getByRole('button', { name: 'I have kept it' }).click();
    await expect(
      page.getByRole('region', { name: 'Invitations' }).getByRole('row', { name: /Viewer/ }),
    ).toBeVisible();

    const guest = await elsewhere.newPage();
    const guestProblems = watch(guest);
    await guest.goto(link);
    await expect(guest.getByLabel('Invitation code')).not.toHaveValue('');
    await expect(guest).toHaveURL(/\/join$/);
    await expectAccessible(guest, 'joining');
    await guest.getByLabel('Your name').fill('Luca Bianchi');
    await guest.getByLabel('Email').fill('luca@example.org');
    await guest.getByRole('textbox', { name: /^Password/ }).fill('another correct horse battery');
    await guest.getByRole('button', { name: 'Continue' }).click();
    const phone = new Authenticator((await guest.getByTestId('totp-secret').textContent()) ?? '');
    await guest.getByLabel('Code from your authenticator').fill(await phone.code());
    await guest.getByRole('button', { name: 'Join' }).click();
    await expect(guest).toHaveURL(/\/p\/1\//);
    await expect(guest.getByRole('link', { name: 'Insights' })).toBeVisible();
    await expect(guest.getByRole('link', { name: 'Members' })).toHaveCount(0);
    await guest.goto(`${house.server.origin}/p/${house.project.id}/members`);
    await expect(guest.getByText('Your roles do not open this')).toBeVisible();
    await expect(guest.getByText(/It is open to: Owner, Administrator/)).toBeVisible();
    await guest.goto(`${house.server.origin}/p/${house.project.id}/cohorts`);
    await expect(guest.getByRole('button', { name: 'Make cohort' })).toHaveCount(0);
    await expectAccessible(guest, 'what roles do not open');
    expect(guestProblems).toEqual([]);

    // What the owner holds they give alone; what they do not hold waits for a second person.
    await page.reload();
    const luca = page.getByRole('row', { name: /Luca Bianchi/ });
    await luca.getByRole('button', { name: 'Change the roles of Luca Bianchi' }).click();
    await page.getByRole('checkbox', { name: /^Analyst/ }).check();
    await page.getByRole('dialog').getByRole('button', { name: 'Change roles' }).click();
    await stepUp(page).getByRole('button', { name: 'Use passkey' }).click();
    await expect(luca).toContainText('Analyst');
    await guest.reload();
    await expect(guest.getByRole('button', { name: 'Make cohort' })).toBeVisible();

    await luca.getByRole('button', { name: 'Change the roles of Luca Bianchi' }).click();
    await page.getByRole('checkbox', { name: /^Data steward/ }).check();
    await page.getByRole('dialog').getByRole('button', { name: 'Change roles' }).click();
    await stepUp(page).getByRole('button', { name: 'Use passkey' }).click();
    const changing = page.getByRole('dialog', { name: 'Change the roles of Luca Bianchi' });
    await expect(changing).toContainText('waits until a second person agrees');
    await changing.getByRole('button', { name: 'Close' }).last().click();
    const waiting = page.getByRole('region', { name: 'Waiting for a second person' }).first();
    await expect(waiting).toContainText('Luca Bianchi');
    await expect(waiting).toContainText('Data steward');
    await expectAccessible(page, 'waiting');
    await waiting.getByRole('button', { name: 'Decline' }).click();
    await expect(waiting).toHaveCount(0);

    await luca.getByRole('button', { name: 'Remove Luca Bianchi' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Remove', exact: true }).click();
    await stepUp(page).getByRole('button', { name: 'Use passkey' }).click();
    await expect(luca).toHaveCount(0);
    await guest.reload();
    await expect(guest).toHaveURL(/\/login/);
    expect(problems).toEqual([]);
  } finally {
    await elsewhere.close();
    await closeHouse(house);
  }
});

test('what is locked is shown, and opened by two', async ({ browser }) => {
  test.slow();
  const house = await openHouse(browser);
  try {
    const page = await house.context.newPage();
    const problems = watch(page);
    await page.goto(`${house.server.origin}/p/${house.project.id}/members`);
    await expect(page.getByRole('region', { name: 'Members of the organisation' }).first()).toBeVisible();
    await expect(page.getByRole('region', { name: 'Locked' })).toHaveCount(0);
    await call(page, 'POST', '/api/v1/locks', {
      targets: [{ kind: 'address', address: '203.0.113.9' }],
      reason: 'suspicion',
      step_up: { kind: 'password_and_code', password: OWNER.password, code: await house.phone.code() },
    });
    await page.reload();
    const row = page
      .getByRole('region', { name: 'Locked' })
      .first()
      .getByRole('row', { name: /203\.0\.113\.9/ });
    await expect(row).toContainText('suspicion');
    await expect(row).toContainText(OWNER.name);
    await row.getByRole('button', { name: 'Ask to open: 203.0.113.9' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Ask to open' }).click();
    await expect(stepUp(page)).toContainText('You are about to ask for a lock to be opened.');
    await showPasswordAndCode(page, house.phone);
    const waiting = page.getByRole('region', { name: 'Waiting for a second person' }).first();
    await expect(waiting).toContainText('open lock 1');
    // There is nobody else: it says from when it can be done alone, and not before.
    await expect(waiting).toContainText('alone from');
    await expect(waiting.getByRole('button', { name: 'Carry out alone' })).toHaveCount(0);
    await expectAccessible(page, 'locked');
    expect(problems).toEqual([]);
  } finally {
    await closeHouse(house);
  }
});

test('a token is shown once, asks questions, and is revoked', async ({ browser }) => {
  test.slow();
  const house = await openHouse(browser);
  try {
    const page = await house.context.newPage();
    const problems = watch(page);
    await withPasskeys(page);
    await addPasskey(page, house);
    await page.goto(`${house.server.origin}/p/${house.project.id}/tokens`);
    await expect(page.getByText('No tokens')).toBeVisible();
    await page.getByRole('button', { name: 'Make a token' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name').fill('Wall display');
    await dialog.getByLabel('Good for how many days').fill('7');
    await expectAccessible(page, 'making a token');
    await dialog.getByRole('button', { name: 'Make a token' }).click();
    await stepUp(page).getByRole('button', { name: 'Use passkey' }).click();
    const token = (await page.getByTestId('token').textContent()) ?? '';
    await page.getByRole('button', { name: 'I have kept it' }).click();
    const row = page.getByRole('row', { name: /Wall display/ });
    await expect(row).toContainText('questions');
    expect(await page.content()).not.toContain(token);

    const asks = async (secret: string) =>
      (
        await fetch(`${house.server.origin}/api/v1/projects/${house.project.id}/query`, {
          method: 'POST',
          headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
          body: JSON.stringify({
            kind: 'insights',
            range: LAST_30_DAYS,
            unit: 'day',
            metrics: [{ measure: 'total', matching: {} }],
          }),
        })
      ).status;
    expect(await asks(token)).toBe(200);

    await row.getByRole('button', { name: 'Exchange Wall display' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Exchange' }).click();
    await stepUp(page).getByRole('button', { name: 'Use passkey' }).click();
    const next = (await page.getByTestId('token').textContent()) ?? '';
    expect(next).not.toBe(token);
    await page.getByRole('button', { name: 'I have kept it' }).click();
    expect(await asks(next)).toBe(200);
    await expectAccessible(page, 'tokens');

    await row.getByRole('button', { name: 'Revoke Wall display' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
    await expect(row).toContainText('revoked');
    expect(await asks(next)).toBe(401);
    expect(problems).toEqual([]);
  } finally {
    await closeHouse(house);
  }
});

test('a token that exports takes two stewards, runs what they agreed to, and is revoked', async ({
  browser,
}) => {
  test.setTimeout(120_000);
  const house = await openHouse(browser);
  try {
    await profiles(house, 3);
    const owner = await ownerPage(house);
    const admin = await join(browser, house, owner, ['org_admin'], 'Bea Conti');
    const asks = await stewardBy(admin, browser, house, owner, 'Stefan Weiss');
    const agrees = await stewardBy(admin, browser, house, owner, 'Sofia Moreno');
    const { page } = asks;
    const problems = watch(page);
    const definition = {
      what: { kind: 'persons', fields: ['email'] },
      purpose: 'migration',
      format: 'csv',
      recipient: RECIPIENT,
    };
    await page.goto(`${house.server.origin}/p/${house.project.id}/tokens`);
    await page.getByRole('button', { name: 'Make a token' }).click();
    const dialog = page.getByRole('dialog');
    const make = dialog.getByRole('button', { name: 'Make a token' });
    await dialog.getByLabel('Name').fill('Nightly');
    await dialog.getByLabel('Good for how many days').fill('7');
    await dialog.getByLabel('From which addresses').fill('127.0.0.1/32');
    await dialog.getByLabel('What it exports').fill('{"what": ');
    await expect(make).toBeDisabled();
    await dialog.getByLabel('What it exports').fill(JSON.stringify(definition));
    await expectAccessible(page, 'making a token that exports');
    await make.click();
    await showPasskey(page);
    await expect(dialog.getByRole('status')).toContainText('It waits until a second person agrees.');
    await dialog.getByRole('button', { name: 'Close' }).last().click();
    const row = page.getByRole('row', { name: /Nightly/ });
    await expect(row).toContainText('waits for a second person');

    const theirs = watch(agrees.page);
    await agreeTo(agrees.page, house, 'export token 1', RECIPIENT, '"email"');
    expect(theirs).toEqual([]);

    await page.reload();
    await expect(row).not.toContainText('waits');
    await row.getByRole('button', { name: 'Exchange Nightly' }).click();
    await dialog.getByRole('button', { name: 'Exchange' }).click();
    await showPasskey(page);
    const token = (await page.getByTestId('token').textContent()) ?? '';
    await page.getByRole('button', { name: 'I have kept it' }).click();
    const run = (request: object) =>
      fetch(`${house.server.origin}/api/v1/projects/${house.project.id}/export`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(request),
      });
    const left = await run(definition);
    expect(left.status).toBe(200);
    const bytes = Buffer.from(await left.arrayBuffer());
    expect(bytes.subarray(0, 21).toString()).toBe('age-encryption.org/v1');
    expect(bytes.includes(emailOf(0))).toBe(false);
    // What nobody agreed to is another export.
    const changed = await run({ ...definition, what: { kind: 'persons', fields: ['name'] } });
    expect([changed.status, (await changed.json()).error.code]).toEqual([400, 'another_definition']);

    await row.getByRole('button', { name: 'Revoke Nightly' }).click();
    await dialog.getByRole('button', { name: 'Revoke' }).click();
    await expect(row).toContainText('revoked');
    expect((await run(definition)).status).toBe(401);
    expect(problems).toEqual([]);
    await Promise.all([admin, asks, agrees].map(({ context }) => context.close()));
  } finally {
    await closeHouse(house);
  }
});

/** A code that was not taken, on purpose. */
const isRefusedCode = (problem: string) => /^response: 403 /.test(problem);
