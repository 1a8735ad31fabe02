// From "what did this account see" to "everybody whom it concerns was told": on a server that sends mail, by
// two people.
import { readFileSync } from 'node:fs';
import { closeHouse, expect, expectAccessible, openHouse, paint, test, watch } from './fixtures';
import { Relay } from './mail';
import { showPasskey, stepUp } from './passkey';
import { act, emailOf, guess, join, ownerPage, profiles, pseudonymOf } from './people';
import { output } from './server';

const RECIPIENT = 'age1mx3jd0trta23du92hq5qmjfwt7t0skakurg0z66mqqg64vq3qqys4rdear';

test('an incident is opened from what was exposed, contained, told by two, and closed', async ({
  browser,
}) => {
  test.setTimeout(180_000);
  const house = await openHouse(browser);
  const relay = await Relay.open();
  try {
    await profiles(house, 2);
    await house.server.restart(
      () => output(house.server, 'notices', 'keys', '--domain', 'shop.example'),
      ['--smtp', relay.address, '--mail-from', 'privacy@shop.example'],
    );
    const page = await ownerPage(house);
    const officer = await join(browser, house, page, ['privacy_officer'], 'Carla Neri');
    const suspect = await join(browser, house, page, ['viewer'], 'Luca Bianchi');
    const base = `${house.server.origin}/p/${house.project.id}`;
    const began = new Date(Date.now() - 60_000).toISOString();
    for (const one of [0, 1]) {
      const person = await pseudonymOf(page, house, emailOf(one));
      await act(page, 'POST', `/api/v1/projects/${house.project.id}/persons/${person}/reveal`, {
        field: 'email',
        purpose: 'support',
      });
    }
    const problems = watch(page);

    // What the owner's account saw, since a minute ago. The address is the question.
    await page.goto(`${base}/exposure?from=${encodeURIComponent(began)}`);
    await page.getByRole('combobox', { name: 'Which one' }).click();
    await page.getByRole('option', { name: 'Ana Ruiz' }).click();
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    await expect(page).toHaveURL(/by=member~1/);
    await expect(page.getByText('Personal data of 2 persons was exposed.')).toBeVisible();
    await expect(page.getByRole('listitem').filter({ hasText: 'Contact' })).toContainText(
      '2 persons, 2 confirmed',
    );
    await page.getByRole('button', { name: 'As a table' }).click();
    await expect(page.getByRole('row', { name: /Email/ })).toContainText('2');
    for (const scheme of ['light', 'dark'] as const) {
      await paint(page, scheme);
      await expectAccessible(page, `exposure, ${scheme}`);
    }
    await page.getByRole('button', { name: 'As bars' }).click();
    await expectAccessible(page, 'exposure as bars');

    await page.getByRole('link', { name: 'Open an incident with this scope' }).click();
    const opening = page.getByRole('dialog', { name: 'Open an incident' });
    await expect(opening.getByLabel('Data left from')).not.toHaveValue('');
    await expectAccessible(page, 'opening an incident');
    await opening.getByRole('button', { name: 'Open an incident' }).click();
    await showPasskey(page);
    await expect(page).toHaveURL(/\/incidents\/1/);
    const clock = page.getByRole('region', { name: 'Clock' });
    await expect(clock).toContainText(/2 ?days?|71h|2d/);
    await expect(clock).toContainText('72 h');

    const scope = page.getByRole('region', { name: 'Scope', exact: true });
    await expect(scope).toContainText('It is not known yet whom this concerns');
    await scope.getByRole('button', { name: 'Find the scope' }).click();
    await showPasskey(page);
    await expect(scope).toContainText('It concerns 2 persons.');
    await expect(clock).toContainText('2');

    // What it will lock is said before anything is: of the owner's own account, that it stays open.
    const contain = page.getByRole('region', { name: 'Contain', exact: true });
    const named = contain.getByRole('region', { name: 'What the scope names' });
    await expect(named.getByRole('row', { name: /Ana Ruiz/ })).toContainText('stays open: it is you');
    await contain.getByText('Lock something else, too').click();
    await contain.getByRole('combobox', { name: 'Accounts' }).click();
    // Whoever opened from an exposure has its account chosen: here it is somebody else who is shut out.
    await page.getByRole('option', { name: 'Ana Ruiz' }).click();
    await page.getByRole('option', { name: 'Luca Bianchi' }).click();
    await page.keyboard.press('Escape');
    await expectAccessible(page, 'about to contain');
    await contain.getByRole('button', { name: 'Contain', exact: true }).click();
    await expect(stepUp(page)).toContainText('Whatever an incident names is about to be shut out.');
    await showPasskey(page);
    await expect(contain.getByText(/locks?, in force after [\d,]+ ms\./)).toBeVisible();
    await expect(contain.getByText(/by Ana Ruiz\. Entry [\d,]+ of the ledger/)).toBeVisible();
    const held = contain.getByRole('region', { name: 'Locked' }).getByRole('row', { name: /Luca Bianchi/ });
    await expect(held).toContainText('incident');
    await expectAccessible(page, 'contained');
    await suspect.page.goto(`${base}/insights`);
    await expect(suspect.page).toHaveURL(/\/login/);
    // Opening it again takes somebody else.
    await held.getByRole('button', { name: 'Ask to open: Luca Bianchi' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Ask to open' }).click();
    await showPasskey(page);
    await expect(held).toBeVisible();
    const admin = await join(browser, house, page, ['org_admin'], 'Bea Conti');
    await admin.page.goto(`${base}/members`);
    const wish = admin.page.getByRole('region', { name: 'Waiting for a second person' }).first();
    await wish.getByRole('button', { name: 'Agree' }).click();
    await admin.page.getByRole('dialog').getByRole('button', { name: 'Agree' }).click();
    await showPasskey(admin.page);
    await expect(admin.page.getByRole('row', { name: /Luca Bianchi.*incident/ })).toHaveCount(0);
    await admin.context.close();
    await page.goto(`${base}/incidents/1`);

    const assess = page.getByRole('region', { name: 'Assess', exact: true });
    await assess.getByRole('combobox', { name: 'By which account' }).click();
    await page.getByRole('option', { name: 'a colleague’s account' }).click();
    await expect(assess.getByRole('switch', { name: 'accounts were locked' })).toBeChecked();
    await assess.getByRole('button', { name: 'Save' }).click();
    await showPasskey(page);
    await expect(assess.getByText('Saved.')).toBeVisible();
    await expect(assess.getByRole('row', { name: /GDPR/ }).first()).toContainText('72 h');

    const notify = page.getByRole('region', { name: 'Notify', exact: true });
    await notify.getByText('Español', { exact: true }).click();
    await expect(notify.getByRole('article')).toHaveCount(3);
    await expect(notify.getByRole('article').last()).toContainText('dirección de correo electrónico');
    await expect(notify.getByRole('article').last()).toContainText('2 recipients');
    for (const scheme of ['light', 'dark'] as const) {
      await paint(page, scheme);
      await expectAccessible(page, `an incident, ${scheme}`);
    }
    await notify.getByRole('button', { name: 'Sign these texts' }).click();
    await showPasskey(page);
    await expect(notify.getByText('Your signature is kept.')).toBeVisible();
    expect(relay.recipients).toEqual([]);

    // The second person signs the same texts; nothing was sent before.
    const theirs = watch(officer.page);
    await officer.page.goto(`${base}/incidents/1`);
    const second = officer.page.getByRole('region', { name: 'Notify', exact: true });
    await second.getByText('Español', { exact: true }).click();
    await expect(second.getByText(/Ana Ruiz signed these texts/)).toBeVisible();
    await second.getByRole('button', { name: 'Sign and send' }).click();
    await showPasskey(officer.page);
    await expect(second.getByText(/Version 1: \d+ of \d+/)).toBeVisible();
    await expect.poll(() => relay.recipients).toEqual(expect.arrayContaining([emailOf(0), emailOf(1)]));
    expect(theirs).toEqual([]);

    const end = page.getByRole('region', { name: 'Export and close', exact: true });
    await end.getByLabel('Recipient').fill(RECIPIENT);
    const download = end.getByRole('button', { name: 'Download the package' });
    await download.click();
    await showPasskey(page);
    await expect(end.getByText(/Asked for\. Somebody else agrees/)).toBeVisible();
    await expect(download).toBeDisabled();
    await officer.page.goto(`${base}/members`);
    const asked = officer.page.getByRole('region', { name: 'Waiting for a second person' }).first();
    await expect(asked).toContainText(RECIPIENT);
    await asked.getByRole('button', { name: 'Agree' }).click();
    await officer.page.getByRole('dialog').getByRole('button', { name: 'Agree' }).click();
    await showPasskey(officer.page);
    await expect(download).toBeEnabled({ timeout: 15_000 });
    await expectAccessible(page, 'a package');
    const coming = page.waitForEvent('download');
    await download.click();
    await showPasskey(page);
    const bytes = readFileSync(await (await coming).path());
    expect(bytes.includes('age-encryption.org/v1')).toBe(true);
    expect(bytes.includes(emailOf(0))).toBe(false);
    expect(bytes.includes('person-0')).toBe(false);

    await end.getByLabel('To close, type Shop').fill('Shop');
    await end.getByRole('button', { name: 'Close the incident' }).click();
    await showPasskey(page);
    await expect(end.getByText(/^Closed on/)).toBeVisible();
    await page.goto(`${base}/incidents`);
    const row = page.getByRole('row', { name: /Incident 1/ });
    await expect(row).toContainText('closed');
    await expect(row).toContainText('2');
    await expectAccessible(page, 'incidents');
    expect(problems).toEqual([]);
    await Promise.all([officer.context.close(), suspect.context.close()]);
  } finally {
    await closeHouse(house);
    await relay.close();
  }
});

test('a limit that trips opens an incident, which every page says until it is contained', async ({
  browser,
}) => {
  test.setTimeout(120_000);
  const house = await openHouse(browser);
  try {
    const page = await ownerPage(house);
    const officer = await join(browser, house, page, ['privacy_officer'], 'Carla Neri');
    const problems = watch(page);
    const base = `${house.server.origin}/p/${house.project.id}`;
    await page.goto(`${base}/insights`);
    const alarm = page.getByRole('alert').filter({ hasText: 'A limit stopped Carla Neri' });
    await expect(page.getByRole('heading', { name: 'Insights' })).toBeVisible();
    await expect(alarm).toHaveCount(0);
    await guess(officer.page, house);
    // Nobody asks for it: the page that is open says so.
    await expect(alarm).toContainText('addresses that nobody has were looked up', { timeout: 20_000 });
    await expect(alarm).toContainText('Incident 1 was opened.');
    await expect(
      page.getByRole('link', { name: /Incidents.*1 incident that a limit opened is not contained/ }),
    ).toBeVisible();
    for (const place of ['live', 'members', 'incidents']) {
      await page.goto(`${base}/${place}`);
      await expect(alarm).toBeVisible();
    }
    await alarm.getByRole('link', { name: 'Contain' }).click();
    await expect(page).toHaveURL(/\/incidents\/1#contain/);
    await expect(page.getByText('A limit stopped Carla Neri: addresses').last()).toBeVisible();
    const contain = page.getByRole('region', { name: 'Contain', exact: true });
    const named = contain.getByRole('region', { name: 'What the scope names' });
    await expect(named.getByRole('row', { name: /Carla Neri/ })).toContainText('is locked');
    await contain.getByRole('button', { name: 'Contain', exact: true }).click();
    await showPasskey(page);
    await expect(contain.getByText(/locks?, in force after [\d,]+ ms\./)).toBeVisible();
    await expect(alarm).toHaveCount(0);
    await officer.page.goto(`${base}/insights`);
    await expect(officer.page).toHaveURL(/\/login/);
    expect(problems).toEqual([]);
    await officer.context.close();
  } finally {
    await closeHouse(house);
  }
});
