// A field of a person, shown once to somebody who says why: recorded before it is seen, gone after five
// minutes; the list in which anybody who oversees finds it; and who was exposed, by pseudonym, for two.
import { closeHouse, expect, expectAccessible, openHouse, paint, test, watch } from './fixtures';
import { showPasskey, stepUp } from './passkey';
import { act, agreeTo, emailOf, ownerPage, profiles, pseudonymOf, steward } from './people';

test('a field is revealed, is in the ledger, and hides itself', async ({ browser }) => {
  test.slow();
  const house = await openHouse(browser);
  try {
    await profiles(house, 2);
    const page = await ownerPage(house);
    const problems = watch(page);
    const person = await pseudonymOf(page, house, emailOf(0));
    await page.clock.install();
    await page.goto(`${house.server.origin}/p/${house.project.id}/persons?range=30d&person=${person}`);
    await page.getByRole('button', { name: 'Reveal…' }).click();
    const dialog = page.getByRole('dialog', { name: 'Reveal a field' });
    const reveal = dialog.getByRole('button', { name: 'Reveal', exact: true });
    // Nobody looks without saying why.
    await expect(reveal).toBeDisabled();
    await dialog.getByRole('combobox', { name: 'Purpose' }).click();
    await page.getByRole('option', { name: 'They asked for help' }).click();
    await expectAccessible(page, 'revealing');
    await reveal.click();
    await expect(stepUp(page)).toContainText('A personal value is about to be shown to you.');
    await showPasskey(page);
    const shown = page.getByRole('region', { name: 'Revealed values' });
    await expect(shown).toContainText(emailOf(0));
    await expect(shown).toContainText(/Recorded as entry [\d,]+ of the ledger/);
    for (const scheme of ['light', 'dark'] as const) {
      await paint(page, scheme);
      await expectAccessible(page, `revealed, ${scheme}`);
    }
    await page.clock.fastForward('05:01');
    await expect(shown).toBeHidden();
    expect(await page.content()).not.toContain(emailOf(0));
    expect(page.url()).not.toContain(emailOf(0));

    await page.getByRole('link', { name: 'Who saw what of this person' }).click();
    await expect(page).toHaveURL(new RegExp(`disclosures\\?person=${person}`));
    const row = page.getByRole('region', { name: 'Disclosures' }).first().locator('tbody tr');
    await expect(row).toHaveCount(1);
    await expect(row).toContainText('Ana Ruiz');
    await expect(row).toContainText('They asked for help');
    await expect(row).toContainText('Email');
    await expect(row).toContainText('all sent');

    // Filters are in the address, and the address is enough.
    await row.getByRole('button', { name: 'Ana Ruiz: only this account' }).click();
    await expect(page).toHaveURL(/actor=[0-9a-f]{32}/);
    await expect(row).toHaveCount(1);
    await page.getByRole('combobox', { name: 'Purpose' }).click();
    await page.getByRole('option', { name: 'Fraud, abuse or an attack' }).click();
    await expect(page).toHaveURL(/purpose=security/);
    await expect(page.getByText('No disclosure matches')).toBeVisible();
    await page.goBack();
    await expect(row).toHaveCount(1);

    await page.getByRole('button', { name: 'Verify the ledger' }).click();
    await expect(page.getByText(/entries are as they were written/)).toBeVisible();
    await expect(page.getByRole('region', { name: 'Checkpoint' })).toContainText('— ');
    for (const scheme of ['light', 'dark'] as const) {
      await paint(page, scheme);
      await expectAccessible(page, `disclosures, ${scheme}`);
    }
    expect(problems).toEqual([]);
  } finally {
    await closeHouse(house);
  }
});

test('what is sensitive is asked for, and waits', async ({ browser }) => {
  test.slow();
  const house = await openHouse(browser);
  try {
    await profiles(house, 1);
    const page = await ownerPage(house);
    const person = await pseudonymOf(page, house, emailOf(0));
    await page.goto(`${house.server.origin}/p/${house.project.id}/persons?range=30d&person=${person}`);
    await page.getByRole('button', { name: 'Reveal…' }).click();
    const dialog = page.getByRole('dialog', { name: 'Reveal a field' });
    await dialog.getByRole('combobox', { name: 'Field' }).click();
    await page.getByRole('option', { name: 'Place (C4)' }).click();
    await dialog.getByRole('combobox', { name: 'Purpose' }).click();
    await page.getByRole('option', { name: 'A law or a court asks for it' }).click();
    await dialog.getByRole('button', { name: 'Ask for approval' }).click();
    await showPasskey(page);
    await expect(dialog).toContainText('Your request waits for approval.');

    await page.goto(`${house.server.origin}/p/${house.project.id}/exports`);
    const row = page.getByRole('region', { name: 'Requests' }).first().locator('tbody tr');
    await expect(row).toContainText(person);
    await expect(row).toContainText('0 of 1 approval');
    // Nobody else can approve: time stands in, and the list says so.
    await expect(row).toContainText('not before');
    await row.getByRole('button', { name: 'Take back 1' }).click();
    await expect(row).toContainText('taken back');
  } finally {
    await closeHouse(house);
  }
});

test('who was exposed is listed once somebody else agreed', async ({ browser }) => {
  test.setTimeout(120_000);
  const house = await openHouse(browser);
  try {
    await profiles(house, 2);
    const page = await ownerPage(house);
    const other = await steward(browser, house, page);
    const began = new Date(Date.now() - 60_000).toISOString();
    const person = await pseudonymOf(page, house, emailOf(0));
    await act(page, 'POST', `/api/v1/projects/${house.project.id}/persons/${person}/reveal`, {
      field: 'email',
      purpose: 'support',
    });
    const problems = watch(page);
    await page.goto(
      `${house.server.origin}/p/${house.project.id}/exposure?by=member~1&from=${encodeURIComponent(began)}`,
    );
    await expect(page.getByText('Personal data of 1 person was exposed.')).toBeVisible();
    await page.getByRole('button', { name: 'Show who' }).click();
    await expect(stepUp(page)).toContainText('You are about to see by pseudonym who was exposed.');
    await showPasskey(page);
    const persons = page.getByRole('region', { name: 'Persons, by pseudonym' });
    await expect(persons).toContainText('This takes a second person');
    await expect(persons).not.toContainText(person);
    await expectAccessible(page, 'listing waits');

    const theirs = watch(other.page);
    await agreeTo(other.page, house, 'see by pseudonym who was exposed in project 1', '1 cause');
    expect(theirs).toEqual([]);
    await other.context.close();

    await persons.getByRole('button', { name: 'Look again' }).click();
    await showPasskey(page);
    await expect(persons.getByRole('listitem')).toHaveText([person]);
    await expectAccessible(page, 'listed');
    await persons.getByRole('link', { name: person }).click();
    await expect(page.getByRole('dialog').getByText(person)).toBeVisible();
    expect(problems).toEqual([]);
  } finally {
    await closeHouse(house);
  }
});
