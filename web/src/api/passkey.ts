// Signing with a passkey: the bytes between the server's JSON and the browser's credentials.
import type { StepUpChallenge, StepUpProof } from './types';

export function fromBase64Url(text: string): Uint8Array<ArrayBuffer> {
  const plain = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

export function toBase64Url(bytes: ArrayBuffer): string {
  const plain = String.fromCharCode(...new Uint8Array(bytes));
  return btoa(plain).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** Nothing was signed: it was dismissed, took too long, or there is no such passkey here. */
export class PasskeyNotShown extends Error {}

/** Has one of the member's passkeys sign a challenge, with the member verified. */
export async function signChallenge(challenge: StepUpChallenge): Promise<StepUpProof> {
  const asked = navigator.credentials?.get({
    publicKey: {
      challenge: fromBase64Url(challenge.challenge),
      rpId: challenge.rp_id,
      allowCredentials: challenge.credentials.map((id) => ({ type: 'public-key', id: fromBase64Url(id) })),
      userVerification: 'required',
      timeout: challenge.seconds * 1_000,
    },
  });
  const credential = await Promise.resolve(asked).catch(() => null);
  if (!(credential instanceof PublicKeyCredential)) throw new PasskeyNotShown();
  const response = credential.response as AuthenticatorAssertionResponse;
  return {
    kind: 'passkey',
    id: toBase64Url(credential.rawId),
    client_data_json: toBase64Url(response.clientDataJSON),
    authenticator_data: toBase64Url(response.authenticatorData),
    signature: toBase64Url(response.signature),
    ...(response.userHandle ? { user_handle: toBase64Url(response.userHandle) } : {}),
  };
}
