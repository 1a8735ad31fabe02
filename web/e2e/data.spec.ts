// The Data page: stored events looked at again, a person erased for good, and what is said while keys are
// sealed. Each on a server of its own, since none of it can be taken back.
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

test('a person is erased with a factor shown again, and the certificate is a file', async ({ browser }) => {
  test.slow();
  const house = await openHouse(browser);
  try {
    const page = await house.context.newPage();
    const problems = watch(page);
    await page.goto(`${house.server.origin}/p/${house.project.id}/persons`);
    await settled(page);
    const row = page.getByRole('button', { name: /^per_/ }).first();
    const pseudonym = (await row.textContent()) ?? '';
    await row.click();
    await page.getByRole('dialog').getByRole('button', { name: 'Erase a person' }).click();
    const dialog = page.getByRole('dialog', { name: 'Erase a person' });
    const erase = dialog.getByRole('button', { name: 'Erase for good' });
    const confirm = dialog.getByLabel(`Type ${pseudonym} to confirm`);
    // Escape closes what stands on top, and nothing beneath.
    await page.keyboard.press('Escape');
    await expect(dialog).toBeHidden();
    await page.getByRole('dialog').getByRole('button', { name: 'Erase a person' }).click();
    await confirm.fill('per_somebody_else');
    await expect(erase).toBeDisabled();
    await confirm.fill(pseudonym);
    await expectAccessible(page, 'erasing');
    await erase.click();
    const again = page.getByRole('dialog', { name: 'Show again that it is you' });
    await expect(again).toContainText('A person is about to be erased for good.');
    await expectAccessible(page, 'showing a factor again');
    const show = async (code: string) => {
      await again.getByRole('textbox', { name: 'Password' }).fill(OWNER.password);
      await again.getByLabel('Code from your authenticator').fill(code);
      await again.getByRole('button', { name: 'Confirm' }).click();
    };
    await show('000000');
    await expect(again.getByRole('alert')).toContainText('This could not be confirmed.');
    await expect(again.getByLabel('Code from your authenticator')).toHaveValue('');
    await show(await house.phone.code());
    await expect(dialog.getByText('This person is erased.')).toBeVisible();
    // The wrong code was refused, as it should be, and nothing else was.
    expect(problems.splice(0)).toEqual([expect.stringMatching(/^response: 403 /)]);
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
