// Which deadline of an incident is looked at first, and how close it is. The server works the deadlines out;
// this only sorts them.
import type { Deadline, Incident } from '../api/types';

const HOUR_US = 3_600_000_000;
const SOON_US = 12 * HOUR_US;

export type Nearness = 'ahead' | 'soon' | 'past';

export interface Due {
  deadline: Deadline;
  due_us: number;
  /** Until then; below zero when it is over. */
  left_us: number;
  nearness: Nearness;
}

/** Deadlines that have a time, the next first; then those that are over, the newest first. */
export function duesOf(deadlines: Deadline[], now_us: number): Due[] {
  const dues = deadlines.flatMap((deadline): Due[] => {
    const { due_us } = deadline;
    if (due_us === null || due_us === undefined) return [];
    const left_us = due_us - now_us;
    return [
      { deadline, due_us, left_us, nearness: left_us < 0 ? 'past' : left_us < SOON_US ? 'soon' : 'ahead' },
    ];
  });
  const ahead = dues.filter(({ left_us }) => left_us >= 0).sort((one, other) => one.due_us - other.due_us);
  const past = dues.filter(({ left_us }) => left_us < 0).sort((one, other) => other.due_us - one.due_us);
  return [...ahead, ...past];
}

/** Seventy-two hours from when somebody knew: the one that everybody asks about. */
export function dayThree(dues: Due[]): Due | undefined {
  return dues.find(({ deadline }) => deadline.within === '72 h');
}

export type Step = 'scope' | 'contain' | 'assess' | 'notify' | 'export';
export const STEPS: readonly Step[] = ['scope', 'contain', 'assess', 'notify', 'export'];

/** Whether a section has what it is there for. */
export function isDone(incident: Incident, step: Step): boolean {
  const { times, scopes, published, account } = incident;
  const newest = scopes.at(-1)?.version ?? 0;
  switch (step) {
    case 'scope':
      return newest > 0;
    case 'contain':
      return typeof times.contained_us === 'number';
    case 'assess':
      return typeof times.aware_us === 'number' && Array.isArray(times.occurred_us) && account !== 'unknown';
    case 'notify':
      return newest > 0 && published >= newest;
    case 'export':
      return incident.stage === 'closed';
  }
}
