// The bar names the deadline that comes next, and a section is done when its facts are there.
import { describe, expect, it } from 'vitest';
import type { Deadline, Incident } from '../api/types';
import { dayThree, duesOf, isDone, STEPS } from './clock';

const HOUR_US = 3_600_000_000;
const NOW_US = 1_800_000_000_000_000;

const deadline = (within: string, hours: number | null): Deadline => ({
  regime: 'GDPR',
  duty: 'tell the authority',
  source: 'Art. 33',
  within,
  due_us: hours === null ? null : NOW_US + hours * HOUR_US,
  is_past: hours !== null && hours < 0,
  asks: [],
});

describe('deadlines', () => {
  it('come with the next one first and what is over last, and those without a time are left out', () => {
    const dues = duesOf(
      [
        deadline('1 months', 700),
        deadline('24 h', -2),
        deadline('72 h', 20),
        deadline('promptly', null),
        deadline('4 h', -30),
      ],
      NOW_US,
    );
    expect(dues.map(({ deadline: { within }, nearness }) => [within, nearness])).toEqual([
      ['72 h', 'ahead'],
      ['1 months', 'ahead'],
      ['24 h', 'past'],
      ['4 h', 'past'],
    ]);
    expect(dayThree(dues)?.left_us).toBe(20 * HOUR_US);
  });

  it('are soon within half a day', () => {
    expect(duesOf([deadline('72 h', 11)], NOW_US)[0]?.nearness).toBe('soon');
    expect(duesOf([deadline('72 h', 13)], NOW_US)[0]?.nearness).toBe('ahead');
  });
});

describe('sections', () => {
  const opened: Incident = {
    id: 1,
    cause: 'member',
    stage: 'open',
    account: 'unknown',
    service: 'Shop',
    measures: [],
    times: { detected_us: NOW_US, aware_us: NOW_US },
    published: 0,
    scopes: [],
    containments: [],
  };
  const scope = (version: number) => ({
    version,
    entry: 9,
    known_us: NOW_US,
    persons: 3,
    fields: ['email'],
    groups: [],
  });
  const done = (incident: Incident) => STEPS.filter((step) => isDone(incident, step));

  it('are done one by one', () => {
    expect(done(opened)).toEqual([]);
    expect(done({ ...opened, scopes: [scope(1)] })).toEqual(['scope']);
    expect(done({ ...opened, times: { ...opened.times, contained_us: NOW_US } })).toEqual(['contain']);
    expect(done({ ...opened, account: 'staff', times: { ...opened.times, occurred_us: [1, 2] } })).toEqual([
      'assess',
    ]);
    expect(done({ ...opened, stage: 'closed' })).toEqual(['export']);
  });

  it('are open again when a scope grew since the notices', () => {
    expect(done({ ...opened, scopes: [scope(1)], published: 1 })).toEqual(['scope', 'notify']);
    expect(done({ ...opened, scopes: [scope(1), scope(2)], published: 1 })).toEqual(['scope']);
  });
});
