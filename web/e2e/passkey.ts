// A passkey without hands: the browser's own virtual authenticator, which makes and signs as a real one does.
import type { CDPSession, Page } from '@playwright/test';

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
