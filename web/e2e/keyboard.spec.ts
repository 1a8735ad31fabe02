// The console without a mouse: going places, asking, reading a chart, and switching single keys off.
import { expect, settled, test } from './fixtures';

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
