// Colleagues, each at a browser of their own with a phone and a passkey, and persons of whom something is
// known.
import type { Browser, BrowserContext, Page } from '@playwright/test';
import { call, expect, expectAccessible, type House, OWNER } from './fixtures';
import { addPasskey, showPasskey, withPasskeys } from './passkey';
import { Authenticator } from './server';

export interface Colleague {
  page: Page;
  context: BrowserContext;
  id: number;
}

/** A page of the owner, who has a passkey. */
export async function ownerPage(house: House): Promise<Page> {
  const page = await house.context.newPage();
  await withPasskeys(page);
  await addPasskey(page, house);
  return page;
}

/** Somebody whom the owner invites with roles that the owner may give. */
export async function join(
  browser: Browser,
  house: House,
  owner: Page,
  roles: string[],
  name: string,
): Promise<Colleague> {
  const { code } = await act<{ code: string }>(owner, 'POST', '/api/v1/invitations', { roles });
  const email = `${name.split(' ')[0]?.toLowerCase()}@example.org`;
  const context = await browser.newContext({
    viewport: { width: 1366, height: 860 },
    locale: 'en-GB',
    timezoneId: 'Europe/Madrid',
    reducedMotion: 'reduce',
  });
  const page = await context.newPage();
  await page.goto(`${house.server.origin}/join`);
  const opened = await call<{ secret: string }>(page, 'POST', '/api/v1/invitations/open', { code, email });
  const phone = new Authenticator(opened.secret);
  const totp_code = await phone.code();
  await call(page, 'POST', '/api/v1/invitations/accept', {
    code,
    name,
    email,
    password: OWNER.password,
    totp_code,
  });
  const session = await call<{ user: { id: number } }>(page, 'GET', '/api/v1/session');
  await withPasskeys(page);
  await addPasskey(page, { ...house, phone });
  return { page, context, id: session.user.id };
}

/** Whoever approves: more than the owner holds, so an administrator agrees to the role. */
export async function steward(browser: Browser, house: House, owner: Page): Promise<Colleague> {
  const admin = await join(browser, house, owner, ['org_admin'], 'Bea Conti');
  const one = await stewardBy(admin, browser, house, owner, 'Stefan Weiss');
  await admin.context.close();
  return one;
}

/** The same, where there is an administrator already. */
export async function stewardBy(
  admin: Colleague,
  browser: Browser,
  house: House,
  owner: Page,
  name: string,
): Promise<Colleague> {
  const one = await join(browser, house, owner, ['viewer'], name);
  const asked = await act<{ waiting: number }>(owner, 'PUT', `/api/v1/members/${one.id}/roles`, {
    roles: ['data_steward'],
  });
  await act(admin.page, 'POST', `/api/v1/waiting/${asked.waiting}/agree`, {});
  await one.page.reload();
  return one;
}

/** Agrees in the console to the one thing that waits for a second person, and is shown what it is first. */
export async function agreeTo(page: Page, { server, project }: House, ...what: string[]): Promise<void> {
  await page.goto(`${server.origin}/p/${project.id}/approvals`);
  const waiting = page.getByRole('region', { name: 'Waiting for a second person' }).first();
  await waiting.getByRole('button', { name: 'Agree' }).click();
  const dialog = page.getByRole('dialog', { name: /^Agree to: / });
  for (const words of what) await expect(dialog).toContainText(words);
  await expectAccessible(page, `agreeing to ${what[0]}`);
  await dialog.getByRole('button', { name: 'Agree' }).click();
  await showPasskey(page);
  await expect(waiting).toHaveCount(0);
}

/** A request for which the passkey of the page is shown again. */
export async function act<T>(page: Page, method: string, path: string, body: object): Promise<T> {
  const { status, text } = await page.evaluate(
    async (request) => {
      const bytes = (words: string) =>
        Uint8Array.from(atob(words.replaceAll('-', '+').replaceAll('_', '/')), (letter) =>
          letter.charCodeAt(0),
        );
      const words = (buffer: ArrayBuffer) =>
        btoa(String.fromCharCode(...new Uint8Array(buffer)))
          .replaceAll('+', '-')
          .replaceAll('/', '_')
          .replaceAll('=', '');
      const send = (step_up?: object) =>
        fetch(request.path, {
          method: request.method,
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ ...request.body, ...(step_up ? { step_up } : {}) }),
        });
      let response = await send();
      if (response.status === 401) {
        const { challenge, rp_id, credentials } = (await response.json()).error.step_up;
        const credential = (await navigator.credentials.get({
          publicKey: {
            challenge: bytes(challenge),
            rpId: rp_id,
            allowCredentials: credentials.map((id: string) => ({ type: 'public-key', id: bytes(id) })),
            userVerification: 'required',
          },
        })) as PublicKeyCredential;
        const signed = credential.response as AuthenticatorAssertionResponse;
        response = await send({
          kind: 'passkey',
          id: words(credential.rawId),
          client_data_json: words(signed.clientDataJSON),
          authenticator_data: words(signed.authenticatorData),
          signature: words(signed.signature),
        });
      }
      return { status: response.status, text: await response.text() };
    },
    { method, path, body },
  );
  if (status >= 400) throw new Error(`${method} ${path}: ${status} ${text}`);
  return (text ? JSON.parse(text) : undefined) as T;
}

export const emailOf = (person: number) => `person-${person}@mail.example`;

/** Gives the first persons of the seed an e-mail address and a place. */
export async function profiles({ server, project }: House, count: number): Promise<void> {
  const updates = Array.from({ length: count }, (_, person) => ({
    $token: project.token,
    $distinct_id: `person-${person}`,
    $set: { $email: emailOf(person), $name: `Person ${person}` },
  }));
  const response = await fetch(`${server.origin}/engage?verbose=1`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(updates),
  });
  expect(response.status, await response.text()).toBe(200);
}

/** The pseudonym of whoever has an address. */
export async function pseudonymOf(page: Page, { project }: House, address: string): Promise<string> {
  const { persons } = await call<{ persons: string[] }>(
    page,
    'POST',
    `/api/v1/projects/${project.id}/persons/find`,
    { address },
  );
  expect(persons).toHaveLength(1);
  return persons[0] ?? '';
}

/** One more look-up that finds nobody than is let pass in a minute. */
const GUESSES = 6;

/** Looks for addresses that nobody has until a limit trips. */
export async function guess(page: Page, { project }: House): Promise<void> {
  const last = await page.evaluate(
    async ({ path, tries }) => {
      let status = 0;
      for (let at = 0; at < tries; at += 1) {
        const answer = await fetch(path, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ address: `nobody-${at}@mail.example` }),
        });
        status = answer.status;
      }
      return status;
    },
    { path: `/api/v1/projects/${project.id}/persons/find`, tries: GUESSES },
  );
  expect(last, 'the limit did not trip').toBeGreaterThanOrEqual(400);
}
