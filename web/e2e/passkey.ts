// A passkey without hands: the browser's own virtual authenticator, which makes and signs as a real one does.
import type { CDPSession, Locator, Page } from '@playwright/test';
import { expect, type House, OWNER } from './fixtures';
import type { Authenticator } from './server';

export interface Passkeys {
  cdp: CDPSession;
  id: string;
}

export async function withPasskeys(page: Page): Promise<Passkeys> {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('WebAuthn.enable');
  const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      ctap2Version: 'ctap2_1',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  return { cdp, id: authenticatorId };
}

/** Whether the finger fits. */
export async function verifies({ cdp, id }: Passkeys, isUserVerified: boolean): Promise<void> {
  await cdp.send('WebAuthn.setUserVerified', { authenticatorId: id, isUserVerified });
}

export const stepUp = (page: Page): Locator =>
  page.getByRole('dialog', { name: 'Show again that it is you' });

export async function showPasskey(page: Page): Promise<void> {
  await stepUp(page).getByRole('button', { name: 'Use passkey' }).click();
  await expect(stepUp(page)).toBeHidden();
}

export async function showPasswordAndCode(page: Page, phone: Authenticator): Promise<void> {
  const dialog = stepUp(page);
  await dialog.getByRole('textbox', { name: 'Password' }).fill(OWNER.password);
  await dialog.getByLabel('Code from your authenticator').fill(await phone.code());
  await dialog.getByRole('button', { name: 'Confirm' }).click();
}

/** Everybody in these tests has the same password. */
export async function addPasskey(
  page: Page,
  { server, project, phone }: Pick<House, 'server' | 'project' | 'phone'>,
): Promise<void> {
  await page.goto(`${server.origin}/p/${project.id}/account`);
  await page.getByRole('button', { name: 'Add a passkey' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Continue' }).click();
  await showPasswordAndCode(page, phone);
  await page.getByRole('textbox', { name: 'Name' }).fill('Laptop');
  await page.getByRole('button', { name: 'Make it' }).click();
  await expect(page.getByRole('row', { name: /Laptop/ })).toBeVisible();
}
