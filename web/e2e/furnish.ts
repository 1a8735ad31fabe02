// A house in which something of everything has happened, so that every page has rows to show: values were
// revealed, an export waits, a limit tripped, an incident is open, somebody was erased.
import type { Browser } from '@playwright/test';
import type { Incident } from '../src/api/types';
import { call, type House } from './fixtures';
import {
  act,
  type Colleague,
  emailOf,
  guess,
  join,
  ownerPage,
  profiles,
  pseudonymOf,
  steward,
} from './people';
import { PERSONS } from './seed';
import { command } from './server';

const RECIPIENT = 'age1mx3jd0trta23du92hq5qmjfwt7t0skakurg0z66mqqg64vq3qqys4rdear';

export interface Furniture {
  /** Whose turn it is to decide about the export. */
  steward: Colleague;
  incident: number;
  person: string;
}

export async function furnish(browser: Browser, house: House): Promise<Furniture> {
  const of = `/api/v1/projects/${house.project.id}`;
  // Notices can be drafted; nobody is there to take them.
  await house.server.restart(
    () => command(house.server, 'notices', 'keys', '--domain', 'shop.example'),
    ['--smtp', 'smtp://127.0.0.1:9', '--mail-from', 'privacy@shop.example'],
  );
  await profiles(house, 4);
  const owner = await ownerPage(house);
  const officer = await join(browser, house, owner, ['privacy_officer'], 'Carla Neri');
  const decides = await steward(browser, house, owner);
  const began = Date.now() - 60_000;

  const person = await pseudonymOf(owner, house, emailOf(0));
  await reveal(person, 'email', 'support');
  await reveal(person, 'name', 'support');
  await reveal(await pseudonymOf(owner, house, emailOf(1)), 'email', 'security');
  await act(owner, 'POST', `${of}/disclosures`, {
    what: { kind: 'persons', fields: ['email'] },
    purpose: 'migration',
    format: 'csv',
    recipient: RECIPIENT,
  });
  await act(owner, 'POST', `${of}/disclosures`, {
    what: { kind: 'events', range: { kind: 'last', count: 7, unit: 'day' } },
    purpose: 'analysis',
    format: 'ndjson',
  });

  await call(owner, 'POST', `${of}/cohorts`, {
    name: 'Buyers',
    rule: {
      kind: 'dynamic',
      condition: { kind: 'did', matching: { event: 'Purchase' }, times: { op: 'at_least', count: 1 } },
    },
  });
  await act(owner, 'POST', `${of}/tokens/query`, { name: 'Wall display', days: 30 });
  await act(owner, 'POST', '/api/v1/invitations', { roles: ['viewer'] });
  await act(owner, 'POST', '/api/v1/locks', {
    targets: [{ kind: 'address', address: '203.0.113.9' }],
    reason: 'suspicion',
  });
  const erasure = { ids: [`person-${PERSONS - 1}`], reason: 'request' };
  const asked = await act<{ waiting: number }>(owner, 'POST', `${of}/erasures`, erasure);
  await act(decides.page, 'POST', `/api/v1/waiting/${asked.waiting}/agree`, {});
  await act(owner, 'POST', `${of}/erasures`, erasure);

  await guess(officer.page, house);
  await officer.context.close();
  const { id: incident } = await act<Incident>(owner, 'POST', '/api/v1/incidents', {
    cause: 'drill',
    account: 'staff',
    service: 'Shop',
    occurred_us: [began * 1_000, Date.now() * 1_000],
  });
  await act(owner, 'POST', `/api/v1/incidents/${incident}/scopes`, {
    from: 'ledger',
    from_us: began * 1_000,
    to_us: Date.now() * 1_000,
  });
  await act(owner, 'POST', `/api/v1/incidents/${incident}`, { aware_us: Date.now() * 1_000 });
  await owner.close();
  return { steward: decides, incident, person };

  function reveal(whom: string, field: string, purpose: string): Promise<unknown> {
    return act(owner, 'POST', `${of}/persons/${whom}/reveal`, { field, purpose });
  }
}
