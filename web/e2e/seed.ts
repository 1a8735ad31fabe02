// A small world whose answers can be worked out by hand: forty persons who sign up one after the other,
// of whom every second buys and every fourth comes back a week later.
export const PERSONS = 40;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const PLANS = ['free', 'pro', 'team'];
const CITIES = ['Madrid', 'Milano', 'Dublin', 'Valencia'];

export interface SeedEvent {
  event: string;
  properties: Record<string, unknown>;
}

export function seedEvents(now: number): SeedEvent[] {
  const events: SeedEvent[] = [];
  // Noon, so that no event falls on another day in any zone the tests run in.
  const noon = Math.floor(now / DAY_MS) * DAY_MS - 12 * HOUR_MS;
  for (let person = 0; person < PERSONS; person += 1) {
    const start = noon - (8 + (person % 18)) * DAY_MS;
    const add = (event: string, at: number, more: Record<string, unknown> = {}) =>
      events.push({
        event,
        properties: {
          time: at,
          distinct_id: `person-${person}`,
          $insert_id: `seed-${events.length}`,
          plan: PLANS[person % PLANS.length],
          $city: CITIES[person % CITIES.length],
          ...more,
        },
      });
    add('Page view', start, { page: '/' });
    add('Page view', start + HOUR_MS, { page: '/pricing' });
    add('Sign up', start + 2 * HOUR_MS);
    if (person % 2 === 0) add('Purchase', start + 3 * HOUR_MS, { amount: 10 + person });
    if (person % 4 === 0) add('Page view', start + 7 * DAY_MS, { page: '/' });
  }
  return events;
}
