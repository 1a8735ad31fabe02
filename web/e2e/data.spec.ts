// The Data page: stored events looked at again, a person erased for good and another's own data handed over,
// each by two, and what is said while keys are sealed. Each on a server of its own, since none of it can be taken back.
import { readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import {
  ask,
  closeHouse,
  expect,
  expectAccessible,
  OWNER,
  openHouse,
  settled,
  test,
  watch,
} from './fixtures';
import { showPasskey, showPasswordAndCode, stepUp } from './passkey';
import { agreeTo, emailOf, ownerPage, profiles, pseudonymOf, steward } from './people';
import { PERSONS } from './seed';
import { command } from './server';

const LAST_30_DAYS = { kind: 'last', count: 30, unit: 'day' } as const;

test('what was stored before a class was raised is found, and taken out', async ({ browser }) => {
  const house = await openHouse(browser);
  try {
    const page = await house.context.newPage();
    const problems = watch(page);
    await page.goto(`${house.server.origin}/p/${house.project.id}/data`);
    const look = page.getByRole('region', { name: 'Looking back' });
    await look.getByRole('button', { name: 'Scan stored events' }).click();
    await expect(look.getByText('Nothing personal was found')).toBeVisible();
    const stored = 3 * PERSONS + PERSONS / 2 + PERSONS / 4;
    await expect(look.getByRole('status')).toHaveText(`${stored} events were looked at.`);

    await page.getByRole('button', { name: 'Raise the class of plan' }).click();
    // Nothing can be lowered, so nothing lower is offered.
    await page.getByRole('combobox', { name: 'Class' }).click();
    await expect(page.getByRole('option')).toHaveText([/^C2/, /^C3/, /^C4/, /^C5/]);
    await page.getByRole('option', { name: /^C4/ }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Raise class' }).click();
    await expect(page.getByRole('dialog')).toBeHidden();

    await look.getByRole('button', { name: 'Scan again' }).click();
    const found = look.getByRole('row', { name: /plan/ });
    await expect(found).toContainText('tracking plan (C4)');
    await expect(found).toContainText(String(stored));
    await expect(found).toContainText(String(PERSONS));
    await expect(found).toContainText('no disclosure');
    await expectAccessible(page, 'findings');

    await found.getByRole('button', { name: 'Remove plan from stored events' }).click();
    const dialog = page.getByRole('dialog');
    const remove = dialog.getByRole('button', { name: 'Remove', exact: true });
    await expect(remove).toBeDisabled();
    await dialog.getByLabel('Type plan to confirm').fill('plan');
    await expect(remove).toBeEnabled();
    await expectAccessible(page, 'removing');
    await remove.click();
    await expect(dialog).toBeHidden();
    await expect(look.getByText('Nothing personal was found')).toBeVisible();

    const keep = page.getByRole('region', { name: 'Keeping' });
    const set = keep.getByRole('button', { name: 'Set', exact: true });
    await expect(set).toBeDisabled();
    await keep.getByRole('combobox', { name: 'Events' }).click();
    await page.getByRole('option', { name: '365 days' }).click();
    await keep.getByRole('combobox', { name: 'Device and place (C2)' }).click();
    await page.getByRole('option', { name: '90 days' }).click();
    await set.click();
    await showPasswordAndCode(page, house.phone);
    await expect(keep.getByRole('status')).toContainText('Set. It takes effect');
    await expect(set).toBeDisabled();
    await page.reload();
    await expect(keep.getByRole('combobox', { name: 'Events' })).toHaveValue('365 days');
    await expectAccessible(page, 'keeping');
    await page.goto(`${house.server.origin}/p/${house.project.id}/insights`);
    await expect(page.getByText('events are kept for 365 days')).toBeVisible();
    const { series } = await ask(page, house.project.id, {
      kind: 'insights',
      range: LAST_30_DAYS,
      unit: 'day',
      metrics: [
        { measure: 'total', matching: { filters: [{ property: 'plan', condition: { op: 'is_set' } }] } },
      ],
    });
    expect(series[0]?.total).toBe(0);
    expect(problems).toEqual([]);
  } finally {
    await closeHouse(house);
  }
});

test('a person is erased once somebody else agreed, and the certificate is a file', async ({ browser }) => {
  test.setTimeout(120_000);
  const house = await openHouse(browser);
  try {
    const page = await ownerPage(house);
    const other = await steward(browser, house, page);
    const problems = watch(page);
    await page.goto(`${house.server.origin}/p/${house.project.id}/persons`);
    await settled(page);
    const row = page.getByRole('button', { name: /^per_/ }).first();
    const pseudonym = (await row.textContent()) ?? '';
    await row.click();
    const begin = page.getByRole('dialog').getByRole('button', { name: 'Erase a person' });
    await begin.click();
    const dialog = page.getByRole('dialog', { name: 'Erase a person' });
    const erase = dialog.getByRole('button', { name: 'Erase for good' });
    const confirm = dialog.getByLabel(`Type ${pseudonym} to confirm`);
    // Escape closes what stands on top, and nothing beneath.
    await page.keyboard.press('Escape');
    await expect(dialog).toBeHidden();
    await begin.click();
    await confirm.fill('per_somebody_else');
    await expect(erase).toBeDisabled();
    await confirm.fill(pseudonym);
    await expectAccessible(page, 'erasing');
    await erase.click();
    await expect(stepUp(page)).toContainText('A person is about to be erased for good.');
    await expectAccessible(page, 'showing a factor again');
    await showPasskey(page);
    await expect(dialog.getByRole('status')).toContainText(/Request \d+ waits under Approvals/);
    await expectAccessible(page, 'erasing waits');
    await dialog.getByRole('button', { name: 'Close' }).last().click();
    await expect(page.getByText(`${PERSONS} persons`)).toBeVisible();

    const theirs = watch(other.page);
    await agreeTo(other.page, house, 'erase 1 person', 'they asked for it', pseudonym);
    expect(theirs).toEqual([]);
    await other.context.close();
    await expect(page.getByText(`${PERSONS} persons`)).toBeVisible();

    await begin.click();
    await confirm.fill(pseudonym);
    await erase.click();
    await showPasskey(page);
    await expect(dialog.getByText('This person is erased.')).toBeVisible();
    await expect(dialog.getByText(`person: ${pseudonym}`)).toBeVisible();
    await expectAccessible(page, 'erased');
    await dialog.getByRole('button', { name: 'Close' }).last().click();
    await expect(page.getByRole('dialog')).toHaveCount(0);
    await expect(page.getByText(`${PERSONS - 1} persons`)).toBeVisible();

    await page.goto(`${house.server.origin}/p/${house.project.id}/data`);
    const erasures = page.getByRole('region', { name: 'Erasures' }).first();
    const line = erasures.getByRole('row', { name: /^1/ });
    await expect(line).toContainText('done');
    const coming = page.waitForEvent('download');
    await line.getByRole('button', { name: 'Download certificate 1' }).click();
    const file = await coming;
    expect(file.suggestedFilename()).toBe(`erasure-${house.project.id}-1.txt`);
    const text = readFileSync(await file.path(), 'utf8');
    expect(text).toContain('Cofferdam certificate of erasure');
    expect(text).toContain(`person: ${pseudonym}`);

    const { total } = await ask(page, house.project.id, { kind: 'persons', range: LAST_30_DAYS, limit: 1 });
    expect(total).toBe(PERSONS - 1);
    expect(problems).toEqual([]);
  } finally {
    await closeHouse(house);
  }
});

test('where nobody else could agree, erasing waits for its hour and says so', async ({ browser }) => {
  test.slow();
  const house = await openHouse(browser);
  try {
    const page = await house.context.newPage();
    const problems = watch(page);
    await page.goto(`${house.server.origin}/p/${house.project.id}/persons`);
    await settled(page);
    const pseudonym = (await page.getByRole('button', { name: /^per_/ }).first().textContent()) ?? '';
    await page.goto(`${house.server.origin}/p/${house.project.id}/data`);
    await page.getByRole('button', { name: 'Erase a person' }).click();
    const dialog = page.getByRole('dialog', { name: 'Erase a person' });
    await dialog.getByLabel('Pseudonym').fill(pseudonym);
    await dialog.getByRole('button', { name: 'Erase for good' }).click();
    // A wrong code is refused, and said where it was typed.
    await stepUp(page).getByRole('textbox', { name: 'Password' }).fill(OWNER.password);
    await stepUp(page).getByLabel('Code from your authenticator').fill('000000');
    await stepUp(page).getByRole('button', { name: 'Confirm' }).click();
    await expect(stepUp(page).getByRole('alert')).toContainText('This could not be confirmed.');
    await expect(stepUp(page).getByLabel('Code from your authenticator')).toHaveValue('');
    await showPasswordAndCode(page, house.phone);
    await expect(dialog.getByRole('status')).toContainText('there is nobody else who could agree');
    expect(problems.splice(0)).toEqual([expect.stringMatching(/^response: 403 /)]);
    await dialog.getByRole('link', { name: 'Approvals' }).click();
    const waiting = page.getByRole('region', { name: 'Waiting for a second person' }).first();
    await expect(waiting).toContainText('erase 1 person');
    await expect(waiting).toContainText(pseudonym);
    await expect(waiting).toContainText('alone from');
    await expect(waiting.getByRole('button', { name: /^(Agree|Carry out alone)$/ })).toHaveCount(0);
    const { total } = await ask(page, house.project.id, { kind: 'persons', range: LAST_30_DAYS, limit: 1 });
    expect(total).toBe(PERSONS);
    expect(problems).toEqual([]);
  } finally {
    await closeHouse(house);
  }
});

test('their own data is handed over once somebody else agreed, as a page and as lines', async ({
  browser,
}) => {
  test.setTimeout(120_000);
  const house = await openHouse(browser);
  try {
    await profiles(house, 1);
    const page = await ownerPage(house);
    const other = await steward(browser, house, page);
    const problems = watch(page);
    const person = await pseudonymOf(page, house, emailOf(0));
    const dialog = page.getByRole('dialog', { name: 'Their own data' });
    const ask = async (as: string) => {
      await page.goto(`${house.server.origin}/p/${house.project.id}/persons?range=30d&person=${person}`);
      await page.getByRole('button', { name: 'Their own data' }).click();
      const get = dialog.getByRole('button', { name: 'Ask for their data' });
      await expect(get).toBeDisabled();
      await dialog.getByRole('combobox', { name: 'Purpose' }).click();
      await page.getByRole('option', { name: 'They asked what is known of them' }).click();
      await dialog.getByRole('combobox', { name: 'Format' }).click();
      await page.getByRole('option', { name: as }).click();
      await expectAccessible(page, `asking for ${as}`);
      await get.click();
      await expect(stepUp(page)).toContainText('Everything stored about a person');
      await showPasskey(page);
    };
    const fetched = async (as: string) => {
      const coming = page.waitForEvent('download');
      await ask(as);
      const file = await coming;
      await expect(dialog.getByRole('status')).toContainText('was handed to your browser');
      return { name: file.suggestedFilename(), text: readFileSync(await file.path(), 'utf8') };
    };

    await ask('A page to read');
    await expect(dialog.getByRole('status')).toContainText(/Request \d+ waits under Approvals/);
    await dialog.getByRole('link', { name: 'Approvals' }).click();
    const waiting = page.getByRole('region', { name: 'Waiting for a second person' }).first();
    await expect(waiting).toContainText(`own data of ${person}`);
    // Nobody agrees to their own.
    await expect(waiting.getByRole('button', { name: 'Agree' })).toHaveCount(0);
    await agreeTo(other.page, house, `own data of ${person}`, 'They asked what is known of them');

    const html = await fetched('A page to read');
    expect(html.name).toBe('person.html');
    expect(html.text).toContain(emailOf(0));
    expect(html.text).toContain('/pricing');
    expect(html.text).toMatch(/That is all: \d+ rows\./);
    await expectAccessible(page, 'handed over');
    expect(await page.content()).not.toContain(emailOf(0));

    const lines = await fetched('Lines for programs');
    expect(lines.name).toBe('person.ndjson');
    const rows = lines.text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(rows[0]).toMatchObject({ kind: 'person', person });
    expect(rows).toContainEqual(
      expect.objectContaining({ kind: 'property', value: emailOf(0), is_sealed: true }),
    );
    expect(rows.filter(({ kind }) => kind === 'event').map(({ event }) => event)).toContain('Purchase');
    expect(rows.at(-1)).toEqual({ kind: 'end', rows: rows.length - 2 });
    expect(problems).toEqual([]);
    await other.context.close();
  } finally {
    await closeHouse(house);
  }
});

test('a sealed organisation says so on every page, and goes on by itself', async ({ browser }) => {
  test.slow();
  const house = await openHouse(browser);
  try {
    const page = await house.context.newPage();
    await page.goto(`${house.server.origin}/p/${house.project.id}/insights`);
    await settled(page);
    command(house.server, 'keys', 'seal', '--organisation', '1');
    await page.goto(`${house.server.origin}/p/${house.project.id}/data`);
    const sealed = page.getByRole('heading', { name: 'This organisation is sealed' });
    await expect(sealed).toBeVisible();
    await expect(page.getByText('cofferdam keys unseal --organisation')).toBeVisible();
    await expectAccessible(page, 'a sealed organisation');
    command(house.server, 'keys', 'unseal', '--organisation', '1');
    await expect(page.getByRole('heading', { name: 'Data', exact: true })).toBeVisible({ timeout: 20_000 });
    await expect(sealed).toBeHidden();
    await expect(page.getByRole('row', { name: /plan/ })).toBeVisible();
  } finally {
    await closeHouse(house);
  }
});

test('a server without its key says so where one was reading', async ({ browser }) => {
  test.slow();
  const house = await openHouse(browser);
  const key = join(house.server.folder, 'root.key');
  const elsewhere = join(house.server.folder, '..', `${house.server.folder.split('/').at(-1)}.key`);
  try {
    const page = await house.context.newPage();
    await page.goto(`${house.server.origin}/p/${house.project.id}/insights`);
    await settled(page);
    await house.server.restart(() => renameSync(key, elsewhere));
    await page.getByRole('button', { name: 'Ask again' }).click();
    await expect(page.getByRole('heading', { name: 'This server is sealed' })).toBeVisible();
    await expectAccessible(page, 'a sealed server');
    renameSync(elsewhere, key);
    command(house.server, 'keys', 'unseal');
    await expect(page.getByRole('heading', { name: 'Insights' })).toBeVisible({ timeout: 20_000 });
  } finally {
    await closeHouse(house);
  }
});
