// The console without a mouse: going places, asking, reading a chart, and switching single keys off.
import type { Incident } from '../src/api/types';
import { closeHouse, expect, openHouse, settled, test } from './fixtures';
import { stepUp } from './passkey';
import { act, emailOf, ownerPage, profiles, pseudonymOf } from './people';

/** More stops than any page has: whoever needs so many is trapped. */
const STOPS_MAX = 200;

test('goes places', async ({ page, house }) => {
  await page.goto(`${house.server.origin}/p/${house.project.id}/insights`);
  await settled(page);
  for (const [key, place] of [
    ['f', 'funnels'],
    ['r', 'retention'],
    ['q', 'frequency'],
    ['e', 'sessions'],
    ['p', 'persons'],
    ['l', 'live'],
    ['i', 'insights'],
  ] as const) {
    await page.keyboard.press('g');
    await page.keyboard.press(key);
    await expect(page).toHaveURL(new RegExp(`/p/${house.project.id}/${place}`));
  }
});

test('finds an event through the palette', async ({ page, house }) => {
  await page.goto(`${house.server.origin}/p/${house.project.id}/funnels`);
  await settled(page);
  await page.keyboard.press('Control+k');
  const palette = page.getByRole('dialog');
  await expect(palette.getByPlaceholder('Go to a page, or find an event')).toBeFocused();
  await page.keyboard.type('Purch');
  await expect(palette.getByText('Insights')).toBeHidden();
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/insights\?range=30d&unit=day&show=unique~Purchase/);
});

test('adds a filter', async ({ page, house }) => {
  await page.goto(`${house.server.origin}/p/${house.project.id}/insights`);
  await settled(page);
  await page.keyboard.press('/');
  await page.getByRole('option', { name: /plan/ }).waitFor();
  const position = await page
    .getByRole('option')
    .allTextContents()
    .then((names) => names.findIndex((name) => name.startsWith('plan')));
  for (let at = 0; at <= position; at += 1) await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('combobox', { name: 'Value' })).toBeFocused();
  await page.keyboard.type('pro');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/where=plan~equals~pro/);
});

test('walks along a chart and turns it into a table', async ({ page, house }) => {
  await page.goto(`${house.server.origin}/p/${house.project.id}/insights`);
  await settled(page);
  const chart = page.getByRole('slider', { name: 'Day' });
  await chart.focus();
  const last = await chart.getAttribute('aria-valuetext');
  expect(last).toContain('Page view');
  expect(last).toContain('not over yet');
  await page.keyboard.press('ArrowLeft');
  await expect(chart).not.toHaveAttribute('aria-valuetext', last ?? '');
  await page.keyboard.press('Home');
  await expect(chart).toHaveAttribute('aria-valuenow', '0');
  await page.keyboard.press('t');
  await expect(page.getByRole('columnheader', { name: 'Day' })).toBeVisible();
  await page.keyboard.press('t');
  await expect(chart).toBeVisible();
});

test('skips to the page, and switches single keys off', async ({ page, house }) => {
  await page.goto(`${house.server.origin}/p/${house.project.id}/insights`);
  await settled(page);
  await page.keyboard.press('Tab');
  await expect(page.getByRole('link', { name: 'Skip to the page' })).toBeFocused();

  await page.keyboard.press('?');
  const single = page.getByRole('switch', { name: 'Use single-key shortcuts' });
  await single.press('Space');
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog')).toBeHidden();
  await page.keyboard.press('g');
  await page.keyboard.press('f');
  await expect(page).toHaveURL(/insights/);
  await page.evaluate(() => window.localStorage.removeItem('cofferdam-single-keys'));
});

test('walks through an incident, and contains it', async ({ browser }) => {
  test.setTimeout(120_000);
  const house = await openHouse(browser);
  try {
    await profiles(house, 1);
    const page = await ownerPage(house);
    const of = `/api/v1/projects/${house.project.id}`;
    const began = (Date.now() - 60_000) * 1_000;
    const person = await pseudonymOf(page, house, emailOf(0));
    await act(page, 'POST', `${of}/persons/${person}/reveal`, { field: 'email', purpose: 'support' });
    const { id } = await act<Incident>(page, 'POST', '/api/v1/incidents', {
      cause: 'drill',
      account: 'staff',
      service: 'Shop',
    });
    await act(page, 'POST', `/api/v1/incidents/${id}/scopes`, {
      from: 'ledger',
      from_us: began,
      to_us: Date.now() * 1_000,
    });
    await page.goto(`${house.server.origin}/p/${house.project.id}/incidents/${id}`);
    await expect(page.getByRole('region', { name: 'What the scope names' })).toBeVisible();
    await page.locator('#main').focus();

    const sections: string[] = [];
    const hidden: string[] = [];
    let stops = 0;
    for (; stops < STOPS_MAX; stops += 1) {
      await page.keyboard.press('Tab');
      const stop = await page.evaluate(() => {
        const at = document.activeElement;
        if (!at?.closest('main')) return null;
        const { left, top, bottom, width, height } = at.getBoundingClientRect();
        const clock = document.querySelector('section[aria-label="Clock"]');
        const over = document.elementFromPoint(left + width / 2, top + Math.min(height, 20) / 2);
        return {
          name: at.getAttribute('aria-label') ?? at.textContent ?? at.tagName,
          section: at.closest('main section[id]')?.id ?? '',
          isCovered: bottom <= 0 || top >= innerHeight || (!clock?.contains(at) && clock?.contains(over)),
        };
      });
      if (!stop) break;
      if (stop.section && sections.at(-1) !== stop.section) sections.push(stop.section);
      if (stop.isCovered) hidden.push(stop.name);
    }
    expect(stops).toBeLessThan(STOPS_MAX);
    expect(sections).toEqual(['scope', 'contain', 'assess', 'notify', 'export']);
    expect(hidden, 'what has the focus is in sight').toEqual([]);

    // The clock's links lead into a section, and the next stop is in it.
    await page
      .getByRole('navigation', { name: 'Sections' })
      .getByRole('link', { name: /^Contain/ })
      .focus();
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    expect(await page.evaluate(() => document.activeElement?.closest('section[id]')?.id)).toBe('contain');
    // The scope names nobody but whoever reads this: something else is named.
    await page.getByText('Lock something else, too').focus();
    await page.keyboard.press('Enter');
    await page.getByLabel('Addresses or networks').focus();
    await page.keyboard.type('203.0.113.9');
    await page.getByRole('switch', { name: /^Everybody signs in anew/ }).focus();
    await page.keyboard.press('Tab');
    await expect(page.getByRole('button', { name: 'Contain', exact: true })).toBeFocused();
    await page.keyboard.press('Enter');
    await expect(stepUp(page)).toBeVisible();
    await expect(stepUp(page).getByRole('button', { name: 'Use passkey' })).toBeFocused();
    await page.keyboard.press('Enter');
    await expect(page.getByText(/in force after [\d,]+ ms/)).toBeVisible();
  } finally {
    await closeHouse(house);
  }
});
