// What is seen of device and place: lists name it and do not show it; a purpose and a passkey show it, and are
// written down first; and whoever may have no exact numbers by it has them without small groups.
import type { Page } from '@playwright/test';
import { closeHouse, expect, expectAccessible, openHouse, paint, settled, test, watch } from './fixtures';
import { showPasskey, stepUp } from './passkey';
import { emailOf, join, ownerPage, profiles, pseudonymOf } from './people';
import { PERSONS } from './seed';

const HIDDEN = 'Device and place: hidden in lists';
const A_CITY = /Madrid|Milano|Dublin|Valencia/;

/** Says why in the dialog that is open, and shows the passkey. */
async function showFor(page: Page, purpose: string): Promise<void> {
  const dialog = page.getByRole('dialog', { name: 'Device and place in clear' });
  const show = dialog.getByRole('button', { name: 'Show', exact: true });
  // Nobody looks without saying why.
  await expect(show).toBeDisabled();
  await dialog.getByRole('combobox', { name: 'Purpose' }).click();
  await page.getByRole('option', { name: purpose }).click();
  await expectAccessible(page, 'asking for device and place');
  await show.click();
  await expect(stepUp(page)).toContainText('You are about to see rows of single persons');
  await showPasskey(page);
  await expect(dialog).toBeHidden();
}

test('a timeline masks device and place, shows it for a purpose, and hides it again', async ({ browser }) => {
  test.slow();
  const house = await openHouse(browser);
  try {
    await profiles(house, 1);
    const page = await ownerPage(house);
    const problems = watch(page);
    const person = await pseudonymOf(page, house, emailOf(0));
    await page.goto(`${house.server.origin}/p/${house.project.id}/persons?range=30d&person=${person}`);
    const drawer = page.getByRole('dialog', { name: person });
    const city = drawer.locator('details').first().locator('dl > div').filter({ hasText: '$city' });
    const begin = drawer.getByRole('button', { name: 'Show device and place…' });
    const hide = drawer.getByRole('button', { name: 'Hide now' });
    const recorded = drawer.getByText(/Recorded as entry [\d,]+ of the ledger/);
    await drawer.locator('summary').first().click();
    await expect(city).toContainText(HIDDEN);
    await expect(drawer).not.toContainText(A_CITY);
    await expectAccessible(page, 'masked');

    await begin.click();
    // Escape closes what stands on top, and nothing beneath.
    await page.keyboard.press('Escape');
    await expect(page.getByRole('dialog', { name: 'Device and place in clear' })).toBeHidden();
    await begin.click();
    await showFor(page, 'They asked for help');
    await expect(city).toContainText('Madrid');
    await expect(drawer).not.toContainText(HIDDEN);
    await expect(recorded).toBeVisible();
    // Whoever uses no mouse stands where they were.
    await expect(hide).toBeFocused();
    for (const scheme of ['light', 'dark'] as const) {
      await paint(page, scheme);
      await expectAccessible(page, `in clear, ${scheme}`);
    }
    await hide.click();
    await expect(city).toContainText(HIDDEN);
    await expect(drawer).not.toContainText(A_CITY);
    await expect(recorded).toBeHidden();

    await drawer.getByRole('link', { name: 'Who saw what of this person' }).click();
    const row = page.getByRole('region', { name: 'Disclosures' }).first().locator('tbody tr');
    await expect(row).toHaveCount(1);
    await expect(row).toContainText('Ana Ruiz');
    await expect(row).toContainText('They asked for help');
    await expect(row).toContainText('Events');
    expect(problems).toEqual([]);
  } finally {
    await closeHouse(house);
  }
});

test('a privacy officer opens the list and a timeline, each for a purpose', async ({ browser }) => {
  test.setTimeout(120_000);
  const house = await openHouse(browser);
  try {
    const owner = await ownerPage(house);
    const { page, context } = await join(browser, house, owner, ['privacy_officer'], 'Carla Neri');
    const problems = watch(page);
    await page.clock.install();
    await page.goto(`${house.server.origin}/p/${house.project.id}/persons?range=30d`);
    const rows = page.locator('tbody tr');
    const begin = page.getByRole('button', { name: 'Open the list…' });
    await expect(page.getByText('This opens for a purpose')).toBeVisible();
    await expect(rows).toHaveCount(0);
    await expectAccessible(page, 'a closed list');
    await begin.click();
    await showFor(page, 'They asked what is known of them');
    await expect(page.getByText(`${PERSONS} persons`)).toBeVisible();
    await expect(rows).toHaveCount(PERSONS);
    await expectAccessible(page, 'an opened list');

    await page.getByRole('button', { name: /^per_/ }).first().click();
    const drawer = page.getByRole('dialog', { name: /^per_/ });
    await expect(drawer.getByRole('button', { name: 'Erase a person' })).toBeVisible();
    await expect(drawer.locator('details')).toHaveCount(0);
    await drawer.getByRole('button', { name: 'Open the timeline…' }).click();
    await showFor(page, 'They asked what is known of them');
    await drawer.locator('summary').first().click();
    await expect(drawer.locator('details').first()).toContainText(A_CITY);

    // Both are gone after five minutes.
    await page.clock.fastForward('05:01');
    await expect(drawer.locator('details')).toHaveCount(0);
    await expect(drawer).not.toContainText(A_CITY);
    await page.keyboard.press('Escape');
    await expect(begin).toBeVisible();
    await expect(rows).toHaveCount(0);
    expect(problems).toEqual([]);
    await context.close();
  } finally {
    await closeHouse(house);
  }
});

test('a viewer sees no rows, and numbers by place without small groups', async ({ browser }) => {
  test.setTimeout(120_000);
  const house = await openHouse(browser);
  try {
    await profiles(house, 1);
    const owner = await ownerPage(house);
    const person = await pseudonymOf(owner, house, emailOf(0));
    const { page, context } = await join(browser, house, owner, ['viewer'], 'Luca Bianchi');
    const problems = watch(page);
    const pages = `${house.server.origin}/p/${house.project.id}`;
    await page.goto(`${pages}/persons?range=30d`);
    await expect(page.getByText('Your roles do not open this')).toBeVisible();
    await expect(page.getByText(/It is open to: Analyst, Support/)).toBeVisible();
    await page.goto(`${pages}/persons?range=30d&person=${person}`);
    const drawer = page.getByRole('dialog', { name: person });
    await expect(drawer.getByText('Your roles do not open this')).toBeVisible();
    await expect(drawer.getByRole('button', { name: 'Copy pseudonym' })).toBeVisible();
    for (const name of ['Their own data', 'Erase a person', 'Reveal…', 'Open the timeline…'])
      await expect(drawer.getByRole('button', { name })).toHaveCount(0);
    await expectAccessible(page, 'a person whom no role opens');

    const note = page.getByText('Numbers of fewer than 5 persons are left out.');
    const signUps = 'range=30d&unit=day&show=unique~Sign+up&by=$city';
    for (const chart of ['line', 'number', 'table']) {
      await page.goto(`${pages}/insights?${signUps}&chart=${chart}`);
      await settled(page);
      await expect(note, chart).toBeVisible();
    }
    await expect(page.getByRole('cell', { name: 'left out' }).first()).toBeVisible();
    await expectAccessible(page, 'small groups left out');
    expect(problems).toEqual([]);

    await page.goto(`${pages}/sessions?by=$city&chart=table&range=30d&unit=day`);
    await expect(page.getByRole('alert')).toContainText('This takes exact numbers by device or place.');
    expect(problems.filter((one) => !one.startsWith('response: 403 '))).toEqual([]);
    await context.close();
  } finally {
    await closeHouse(house);
  }
});
