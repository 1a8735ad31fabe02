// Passkeys, between the browser's calls and the server's JSON: bytes travel as base64url without padding.
// What a person does at the prompt is theirs: turning it away is no error of anybody.

import type { Assertion, PasskeyAsked } from './types';

const PROMPT_MS = 120_000;

export interface Attestation {
  client_data_json: string;
  attestation_object: string;
}

/** What a passkey must sign. Without credentials, whoever's passkey the person chooses. */
export interface SignatureAsked {
  challenge: string;
  rp_id: string;
  credentials?: string[];
}

/** The prompt was closed, ran out of time, or knows no passkey. */
export class PasskeyDeclined extends Error {
  constructor() {
    super('no passkey was used');
    this.name = 'PasskeyDeclined';
  }
}

export const hasPasskeys = (): boolean =>
  typeof window.PublicKeyCredential === 'function' && window.isSecureContext;

export async function makePasskey(asked: PasskeyAsked): Promise<Attestation> {
  const made = await prompted(() =>
    navigator.credentials.create({
      publicKey: {
        challenge: bytesOf(asked.challenge),
        rp: { id: asked.rp_id, name: 'Cofferdam' },
        user: {
          id: bytesOf(asked.user_id),
          name: asked.user_name,
          displayName: asked.user_display_name,
        },
        pubKeyCredParams: asked.algorithms.map((alg) => ({ type: 'public-key', alg })),
        excludeCredentials: asked.exclude.map(descriptor),
        authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
        attestation: 'none',
        timeout: PROMPT_MS,
      },
    }),
  );
  const response = made.response as AuthenticatorAttestationResponse;
  return {
    client_data_json: textOf(response.clientDataJSON),
    attestation_object: textOf(response.attestationObject),
  };
}

export async function sign(asked: SignatureAsked): Promise<Assertion> {
  const signed = await prompted(() =>
    navigator.credentials.get({
      publicKey: {
        challenge: bytesOf(asked.challenge),
        rpId: asked.rp_id,
        allowCredentials: asked.credentials?.map(descriptor),
        userVerification: 'required',
        timeout: PROMPT_MS,
      },
    }),
  );
  const response = signed.response as AuthenticatorAssertionResponse;
  return {
    id: textOf(signed.rawId),
    client_data_json: textOf(response.clientDataJSON),
    authenticator_data: textOf(response.authenticatorData),
    signature: textOf(response.signature),
    ...(response.userHandle ? { user_handle: textOf(response.userHandle) } : {}),
  };
}

async function prompted(prompt: () => Promise<Credential | null>): Promise<PublicKeyCredential> {
  try {
    const credential = await prompt();
    if (credential instanceof PublicKeyCredential) return credential;
  } catch (error) {
    // What the browser says here is meant to say nothing: it must not tell pages which passkeys there are.
    if (!(error instanceof DOMException)) throw error;
  }
  throw new PasskeyDeclined();
}

const descriptor = (id: string): PublicKeyCredentialDescriptor => ({ type: 'public-key', id: bytesOf(id) });

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const plain = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

function textOf(bytes: ArrayBuffer): string {
  const plain = String.fromCharCode(...new Uint8Array(bytes));
  return btoa(plain).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}
