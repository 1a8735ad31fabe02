// Showing a factor again: acts that need it are refused once with a challenge that is bound to this very
// request, and sent again with the proof. Whoever sends names the deed, so that the one dialog of the
// console can say what is about to happen.
import { ApiError } from './client';
import type { components } from './schema.gen';

export type StepUpAsked = components['schemas']['ChallengeBody'];
export type StepUpProof = components['schemas']['ProofBody'];

/** What the dialog can be about; each has its sentence in the catalogues, under `deeds`. */
export type Deed =
  | 'erase'
  | 'rows'
  | 'add_passkey'
  | 'remove_passkey'
  | 'recovery_codes'
  | 'password'
  | 'authenticator'
  | 'keep'
  | 'roles'
  | 'remove_member'
  | 'invite'
  | 'withdraw_invitation'
  | 'agree'
  | 'alone'
  | 'unlock'
  | 'make_token'
  | 'rotate_token'
  | 'request'
  | 'approve'
  | 'run'
  | 'reveal'
  | 'access'
  | 'close_limit'
  | 'contain'
  | 'package'
  | 'open_incident'
  | 'update_incident'
  | 'scope'
  | 'list_scope'
  | 'sign_notices'
  | 'pause_notices';

export interface StepUpQuestion {
  deed: Deed;
  asked: StepUpAsked;
  /** Why the last proof was not taken. */
  refusal: ApiError | null;
}

/** It was turned away: nothing was done. */
export class Declined extends Error {
  constructor() {
    super('it was not confirmed');
    this.name = 'Declined';
  }
}

type Asker = (question: StepUpQuestion) => Promise<StepUpProof>;
let asker: Asker | null = null;
let early: ((asker: Asker) => void)[] = [];

/** The dialog takes questions while it is on the page, and those that came before it. */
export function answerStepUps(next: Asker): () => void {
  asker = next;
  for (const ask of early) ask(next);
  early = [];
  return () => {
    asker = null;
  };
}

let asking = false;
const watchers = new Set<() => void>();

/** Whether somebody is being asked for a factor right now. */
export const isAsking = (): boolean => asking;

export function onAsking(watcher: () => void): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

function setAsking(now: boolean): void {
  asking = now;
  for (const watcher of watchers) watcher();
}

const dialog = (): Promise<Asker> => (asker ? Promise.resolve(asker) : new Promise((ask) => early.push(ask)));

/** Sends; where a factor is wanted, has it shown and sends again until it is taken or turned away. */
export async function shownAgain<T>(deed: Deed, send: (proof?: StepUpProof) => Promise<T>): Promise<T> {
  let proof: StepUpProof | undefined;
  let refusal: ApiError | null = null;
  for (;;) {
    try {
      return await send(proof);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.stepUp) {
        const ask = await dialog();
        setAsking(true);
        proof = await ask({ deed, asked: error.stepUp, refusal }).finally(() => setAsking(false));
      } else if (error.code === 'step_up_refused' && proof) {
        // The challenge is spent: ask for another one.
        [refusal, proof] = [error, undefined];
      } else throw error;
    }
  }
}
