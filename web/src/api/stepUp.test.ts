// An act that wants a factor is sent again with it, until it is taken or turned away.
import { afterEach, describe, expect, it } from 'vitest';
import { ApiError } from './client';
import {
  answerStepUps,
  Declined,
  isAsking,
  type StepUpProof,
  type StepUpQuestion,
  shownAgain,
} from './stepUp';

const PROOF: StepUpProof = { kind: 'password_and_code', password: 'p', code: '123456' };
const wanted = (challenge: string) =>
  new ApiError(401, 'step_up_required', 'once more', undefined, undefined, {
    challenge,
    rp_id: 'localhost',
    credentials: [],
    seconds: 300,
    takes_password_and_code: true,
  });
const refused = new ApiError(403, 'step_up_refused', 'no');

let stop = () => {};
afterEach(() => stop());

/** A server that says these in turn, then yes; and what it was sent. */
function serverOf(...answers: ApiError[]) {
  const sent: (StepUpProof | undefined)[] = [];
  const send = async (proof?: StepUpProof) => {
    sent.push(proof);
    const next = answers.shift();
    if (next) throw next;
    return 'done';
  };
  return { sent, send };
}

describe('showing a factor again', () => {
  it('asks nothing where nothing is wanted', async () => {
    const { sent, send } = serverOf();
    expect(await shownAgain('erase', send)).toBe('done');
    expect(sent).toEqual([undefined]);
  });

  it('sends again with what was shown, for the challenge of this request', async () => {
    const asked: StepUpQuestion[] = [];
    stop = answerStepUps(async (question) => {
      expect(isAsking()).toBe(true);
      asked.push(question);
      return PROOF;
    });
    const { sent, send } = serverOf(wanted('a'));
    expect(await shownAgain('erase', send)).toBe('done');
    expect(isAsking()).toBe(false);
    expect(sent).toEqual([undefined, PROOF]);
    expect(asked).toMatchObject([{ deed: 'erase', asked: { challenge: 'a' }, refusal: null }]);
  });

  it('asks for a new challenge after a refusal, and says why', async () => {
    const asked: StepUpQuestion[] = [];
    stop = answerStepUps(async (question) => {
      asked.push(question);
      return PROOF;
    });
    const { sent, send } = serverOf(wanted('a'), refused, wanted('b'));
    expect(await shownAgain('erase', send)).toBe('done');
    expect(sent).toEqual([undefined, PROOF, undefined, PROOF]);
    expect(asked.map(({ asked, refusal }) => [asked.challenge, refusal])).toEqual([
      ['a', null],
      ['b', refused],
    ]);
  });

  it('waits for the dialog where it is not on the page yet', async () => {
    const { sent, send } = serverOf(wanted('a'));
    const acting = shownAgain('erase', send);
    await Promise.resolve();
    stop = answerStepUps(async () => PROOF);
    expect(await acting).toBe('done');
    expect(sent).toEqual([undefined, PROOF]);
  });

  it('does nothing when it is turned away', async () => {
    stop = answerStepUps(() => Promise.reject(new Declined()));
    const declined = serverOf(wanted('a'));
    await expect(shownAgain('erase', declined.send)).rejects.toBeInstanceOf(Declined);
    expect(declined.sent).toEqual([undefined]);
  });

  it('passes on every other refusal', async () => {
    const other = new ApiError(403, 'not_allowed', 'no');
    await expect(shownAgain('erase', serverOf(other).send)).rejects.toBe(other);
    stop = answerStepUps(async () => PROOF);
    await expect(shownAgain('erase', serverOf(wanted('a'), other).send)).rejects.toBe(other);
  });
});
