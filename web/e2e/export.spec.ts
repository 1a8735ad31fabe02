// Personal data in bulk: asked for, approved by somebody else who sees all of it, downloaded encrypted, and
// proved without the server.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { closeHouse, expect, expectAccessible, openHouse, paint, test, watch } from './fixtures';
import { showPasskey } from './passkey';
import { emailOf, ownerPage, profiles, steward } from './people';
import { binary, output } from './server';

const RECIPIENT = 'age1mx3jd0trta23du92hq5qmjfwt7t0skakurg0z66mqqg64vq3qqys4rdear';
const PERSONS_WITH_EMAIL = 3;

test('an export is asked for, approved, downloaded encrypted, and proved', async ({ browser }) => {
  test.slow();
  const house = await openHouse(browser);
  try {
    await profiles(house, PERSONS_WITH_EMAIL);
    const page = await ownerPage(house);
    const other = await steward(browser, house, page);
    const problems = watch(page);
    const base = `${house.server.origin}/p/${house.project.id}`;

    await page.goto(`${base}/exports`);
    await expect(page.getByText('Nothing was asked for')).toBeVisible();
    await page.getByRole('button', { name: 'Export…' }).click();
    const form = page.getByRole('dialog', { name: 'Export…' });
    const ask = form.getByRole('button', { name: 'Ask for it' });
    await form.getByRole('combobox', { name: 'Purpose' }).click();
    await page.getByRole('option', { name: 'It moves to another system of ours' }).click();
    await form.getByLabel('Recipient').fill('age1nobody');
    await expect(form.getByText('An age key begins with age1')).toBeVisible();
    await expect(ask).toBeDisabled();
    await form.getByLabel('Recipient').fill(RECIPIENT);
    // What the policy says, before anybody asks.
    await expect(form.getByText('Opens C3. 1 other person has to approve.')).toBeVisible();
    await expect(form.getByText('1 person of your organisation can.')).toBeVisible();
    for (const scheme of ['light', 'dark'] as const) {
      await paint(page, scheme);
      await expectAccessible(page, `asking for an export, ${scheme}`);
    }
    await ask.click();
    await showPasskey(page);
    const row = page.getByRole('region', { name: 'Requests' }).first().locator('tbody tr');
    await expect(row).toContainText('0 of 1 approval');
    await expect(row.getByRole('button', { name: 'Download 1' })).toHaveCount(0);

    // The steward sees everything that is asked for, and a badge from wherever they are.
    const theirs = watch(other.page);
    await other.page.goto(`${base}/approvals`);
    await expect(other.page.getByRole('link', { name: /Approvals.*1 request waits for you/ })).toBeVisible();
    const request = other.page.getByRole('article');
    await expect(request).toContainText('Email');
    await expect(request).toContainText('everybody');
    await expect(request).toContainText('It moves to another system of ours');
    await expect(request).toContainText(RECIPIENT);
    await expectAccessible(other.page, 'approvals');
    await request.getByRole('button', { name: 'Approve request 1' }).click();
    const dialog = other.page.getByRole('dialog', { name: 'Approve request 1' });
    await expect(dialog).toContainText(RECIPIENT);
    await dialog.getByRole('button', { name: 'Approve…' }).click();
    await showPasskey(other.page);
    await expect(other.page.getByText('Nothing waits for you')).toBeVisible();
    expect(theirs).toEqual([]);

    await page.reload();
    await expect(row).toContainText('ready');
    await row.getByRole('button', { name: 'Download 1' }).click();
    const coming = page.waitForEvent('download');
    await page.getByRole('dialog', { name: 'Download 1' }).getByRole('button', { name: 'Download…' }).click();
    await showPasskey(page);
    const file = await coming;
    expect(file.suggestedFilename()).toMatch(/\.csv\.age$/);
    const bytes = readFileSync(await file.path());
    expect(bytes.subarray(0, 21).toString()).toBe('age-encryption.org/v1');
    expect(bytes.includes(emailOf(0))).toBe(false);
    const done = page.getByRole('dialog', { name: 'Download 1' });
    await expect(done).toContainText('was handed to your browser');
    await expectAccessible(page, 'downloaded');
    const proving = page.waitForEvent('download');
    await done.getByRole('button', { name: 'Download the proof of 1' }).click();
    const proof = await proving;
    const [filePath, proofPath] = [await file.path(), await proof.path()];
    await page.keyboard.press('Escape');
    await expect(row).toContainText(`${PERSONS_WITH_EMAIL} rows`);
    await expect(row).toContainText('done');

    await page.goto(`${base}/disclosures`);
    const disclosed = page.getByRole('region', { name: 'Disclosures' }).first().locator('tbody tr');
    await expect(disclosed.first()).toContainText('It moves to another system of ours');
    expect(problems).toEqual([]);
    await other.context.close();

    // Anybody who has the ledger's key, without this server.
    await house.server.restart(() => {
      const key = output(house.server, 'ledger', 'key').trim();
      const said = execFileSync(binary(), ['export', 'verify', proofPath, filePath, '--key', key]).toString();
      expect(said).toContain('is the file that left');
    });
  } finally {
    await closeHouse(house);
  }
});
