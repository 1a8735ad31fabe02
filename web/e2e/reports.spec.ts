// Reports show the numbers the server computes, the address carries the question, and Back undoes.
import { ask, expect, expectAccessible, settled, test } from './fixtures';
import { PERSONS } from './seed';

const LAST_30_DAYS = { kind: 'last', count: 30, unit: 'day' } as const;

for (const language of ['en', 'es', 'it'] as const) {
  test.describe(`in ${language}`, () => {
    test.use({ language });
    // As the page does: the reader's own region where it speaks the language.
    const number = (value: number) =>
      new Intl.NumberFormat(language === 'en' ? 'en-GB' : language).format(value);
    const percent = (share: number, digits = 0) =>
      new Intl.NumberFormat(language === 'en' ? 'en-GB' : language, {
        style: 'percent',
        minimumFractionDigits: digits,
        maximumFractionDigits: 1,
      }).format(share);

    test('insights', async ({ page, house }) => {
      await page.goto(`${house.server.origin}/p/${house.project.id}/insights`);
      await expect(page).toHaveURL(/range=30d&unit=day&show=unique~Page\+view/);
      await settled(page);
      const table = await ask(page, house.project.id, {
        kind: 'insights',
        range: LAST_30_DAYS,
        unit: 'day',
        metrics: [{ measure: 'unique', matching: { event: 'Page view' } }],
      });
      expect(table.series[0]?.total).toBe(PERSONS);
      const legend = page.getByRole('row', { name: /Page view/ });
      await expect(legend).toContainText(number(PERSONS));

      await page.keyboard.press('t');
      await expect(page).toHaveURL(/chart=table/);
      const shown = await page.locator('tbody td').allTextContents();
      expect(shown).toEqual(table.series[0]?.values.map((value) => number(value ?? 0)));
    });

    test('a funnel', async ({ page, house }) => {
      const steps = ['Sign up', 'Purchase'];
      await page.goto(
        `${house.server.origin}/p/${house.project.id}/funnels?range=30d&step=Sign+up&step=Purchase&window=7d`,
      );
      await settled(page);
      const table = await ask(page, house.project.id, {
        kind: 'funnel',
        range: LAST_30_DAYS,
        steps: steps.map((event) => ({ event })),
        window: { count: 7, unit: 'day' },
      });
      expect(table.overall.steps.map(({ count }) => count)).toEqual([PERSONS, PERSONS / 2]);
      const items = page.locator('section[aria-busy] ol > li');
      await expect(items).toHaveCount(2);
      await expect(items.nth(0)).toContainText(number(PERSONS));
      await expect(items.nth(1)).toContainText(number(PERSONS / 2));
      await expect(items.nth(1)).toContainText(percent(0.5, 1));
    });

    test('retention', async ({ page, house }) => {
      await page.goto(`${house.server.origin}/p/${house.project.id}/retention`);
      await expect(page).toHaveURL(/born=\*&returned=\*&unit=week/);
      await settled(page);
      const table = await ask(page, house.project.id, {
        kind: 'retention',
        range: { kind: 'last', count: 8, unit: 'week' },
        born: {},
        returned: {},
        unit: 'week',
        intervals: 8,
        mode: 'on',
        alignment: 'calendar',
      });
      expect(table.cohorts.reduce((sum, { size }) => sum + size, 0)).toBe(PERSONS);
      const rows = page.locator('section[aria-busy] tbody tr');
      await expect(rows).toHaveCount(table.cohorts.length + 1);
      for (const [at, cohort] of table.cohorts.entries()) {
        const cells = rows.nth(at + 1).locator('td');
        await expect(cells.nth(0)).toHaveText(number(cohort.size));
        for (const [k, retained] of cohort.retained.entries()) {
          await expect(cells.nth(k + 1)).toContainText(percent(retained / cohort.size, 1));
        }
      }
    });

    test('frequency', async ({ page, house }) => {
      await page.goto(`${house.server.origin}/p/${house.project.id}/frequency`);
      await expect(page).toHaveURL(/range=8w&did=\*&period=week/);
      await settled(page);
      await page.keyboard.press('t');
      await expect(page).toHaveURL(/view=table/);
      const table = await ask(page, house.project.id, {
        kind: 'frequency',
        range: { kind: 'last', count: 8, unit: 'week' },
        period: 'week',
      });
      const all = table.periods.reduce((sum, { persons }) => sum + persons, 0);
      // Everybody comes on one day of a week; every fourth comes again a week later, on one day as well.
      expect(table.overall[0]).toBe(all);
      expect(all).toBe(PERSONS + PERSONS / 4);
      const rows = page.locator('section[aria-busy] tbody tr');
      await expect(rows).toHaveCount(table.periods.length + 1);
      await expect(rows.nth(0).locator('td').nth(0)).toHaveText(number(all));
      for (const [at, period] of table.periods.entries()) {
        const cells = rows.nth(at + 1).locator('td');
        await expect(cells.nth(0)).toHaveText(number(period.persons));
        const share = period.persons === 0 ? '–' : percent((period.counts[0] ?? 0) / period.persons, 1);
        await expect(cells.nth(1)).toContainText(share);
      }
    });

    test('sessions', async ({ page, house }) => {
      await page.goto(
        `${house.server.origin}/p/${house.project.id}/sessions?range=30d&unit=day&session=90min`,
      );
      await settled(page);
      const table = await ask(page, house.project.id, {
        kind: 'sessions',
        range: LAST_30_DAYS,
        unit: 'day',
        sessions: { kind: 'timeout', minutes: 90 },
      });
      const total = table.series[0]?.total;
      // With pauses of an hour in one session: two hours for who signs up, three for who buys as well, and a
      // visit of a single event a week later.
      expect(total).toMatchObject({
        sessions: PERSONS + PERSONS / 4,
        persons: PERSONS,
        bounced: PERSONS / 4,
      });
      const figures = page.locator('section[aria-busy] ul button');
      await expect(figures.nth(0)).toContainText(number(PERSONS + PERSONS / 4));
      await expect(figures.nth(1)).toContainText(number(PERSONS));
      await expect(figures.nth(5)).toContainText(percent(0.2));
      await figures.nth(5).click();
      await expect(page).toHaveURL(/figure=bounced/);
      await page.keyboard.press('t');
      await expect(page).toHaveURL(/chart=table/);
      const shown = await page.locator('tbody tr').first().locator('td').allTextContents();
      expect(shown.slice(0, 2)).toEqual([
        number(table.series[0]?.values[0]?.sessions ?? -1),
        number(table.series[0]?.values[0]?.persons ?? -1),
      ]);
    });
  });
}

test('an edit goes into the address and Back undoes it', async ({ page, house }) => {
  await page.goto(`${house.server.origin}/p/${house.project.id}/insights`);
  await settled(page);
  await page.getByRole('button', { name: 'What is counted: persons' }).click();
  await page.getByRole('option', { name: 'events' }).click();
  await expect(page).toHaveURL(/show=total~Page\+view/);
  const table = await ask(page, house.project.id, {
    kind: 'insights',
    range: LAST_30_DAYS,
    unit: 'day',
    metrics: [{ measure: 'total', matching: { event: 'Page view' } }],
  });
  const legend = page.getByRole('row', { name: /Page view/ });
  await expect(legend).toContainText(String(table.series[0]?.total));
  await page.goBack();
  await expect(page).toHaveURL(/show=unique~Page\+view/);
  await expect(legend).toContainText(String(PERSONS));
});

test('a filter narrows and a breakdown splits', async ({ page, house }) => {
  await page.goto(
    `${house.server.origin}/p/${house.project.id}/insights?range=30d&unit=day&show=unique~Sign+up&where=plan~equals~pro&by=$city`,
  );
  await settled(page);
  const table = await ask(page, house.project.id, {
    kind: 'insights',
    range: LAST_30_DAYS,
    unit: 'day',
    metrics: [{ measure: 'unique', matching: { event: 'Sign up' } }],
    filters: [{ property: 'plan', condition: { op: 'equals', values: ['pro'] } }],
    breakdown: { by: [{ property: '$city' }], limit: 10 },
  });
  expect(table.series.reduce((sum, { total }) => sum + (total ?? 0), 0)).toBe(13);
  for (const series of table.series) {
    const [first] = series.segment ?? [];
    const city = first?.kind === 'value' ? first.value : 'not set';
    await expect(page.getByRole('row', { name: new RegExp(city) })).toContainText(String(series.total));
  }
});

test('flows say where people go', async ({ page, house }) => {
  await page.goto(`${house.server.origin}/p/${house.project.id}/flows`);
  await expect(page).toHaveURL(/anchor=Page\+view&after=3/);
  await page.goto(
    `${house.server.origin}/p/${house.project.id}/flows?range=30d&anchor=Sign+up&before=1&after=2`,
  );
  await settled(page);
  const { overall } = await ask(page, house.project.id, {
    kind: 'flows',
    range: LAST_30_DAYS,
    anchor: { event: 'Sign up' },
    before: 1,
    after: 2,
  });
  expect(overall.anchors).toBe(PERSONS);
  const paths = page.getByRole('region', { name: 'Most frequent paths' }).getByRole('row');
  await expect(paths).toHaveCount(overall.paths.length + 1);
  const [first] = overall.paths;
  await expect(paths.nth(1)).toContainText(first?.events.map(({ event }) => event).join(' → ') ?? '');
  await expect(paths.nth(1)).toContainText(String(first?.count));
  const purchase = page.getByRole('row', { name: /^Purchase\s*1 step after/ });
  await expect(purchase).toContainText(String(PERSONS / 2));
  // The picture says the same to whoever points at it.
  await page.locator('figure svg g', { hasText: 'Purchase' }).last().hover();
  await expect(page.locator('figure')).toContainText(`${PERSONS / 2} persons`);

  await page.getByRole('button', { name: 'Hide an event' }).click();
  await page.getByRole('option', { name: 'Purchase' }).click();
  await expect(page).toHaveURL(/hide=Purchase/);
  await expect(purchase).toHaveCount(0);
});

test('a measure of a property, a formula and the period before', async ({ page, house }) => {
  await page.goto(
    `${house.server.origin}/p/${house.project.id}/insights?range=30d&unit=day&show=total~Purchase`,
  );
  await settled(page);
  await page.getByRole('button', { name: 'What is counted: events' }).click();
  await page.getByRole('option', { name: 'sum' }).click();
  await expect(page).toHaveURL(/show=sum~amount~Purchase/);
  const legend = page.getByRole('row', { name: /Purchase/ });
  // Every second of forty persons spends ten and their number: 10 + 0, 10 + 2, …, 10 + 38.
  await expect(legend).toContainText('580');
  await page.getByRole('button', { name: 'Add a formula' }).click();
  await page.getByRole('textbox', { name: 'Formula' }).fill('A / 10');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/formula=A\+\/\+10/);
  await expect(page.getByRole('row', { name: /B · A \/ 10/ })).toContainText('58');
  await page.getByRole('button', { name: 'Compare with: not compared' }).click();
  await page.getByRole('option', { name: 'compared with the period before' }).click();
  await expect(page).toHaveURL(/compare=previous/);
  await expect(page.getByRole('columnheader', { name: 'Before' })).toBeVisible();
});

test('when a session ends is part of the question', async ({ page, house }) => {
  await page.goto(`${house.server.origin}/p/${house.project.id}/insights?range=30d&unit=day&show=sessions~*`);
  await settled(page);
  const ask30 = (minutes: number) =>
    ask(page, house.project.id, {
      kind: 'insights',
      range: LAST_30_DAYS,
      unit: 'day',
      metrics: [{ measure: 'sessions', matching: {} }],
      sessions: { kind: 'timeout', minutes },
    });
  const legend = page.getByRole('row', { name: /Any event/ });
  const [short, long] = [await ask30(30), await ask30(120)];
  // Every event is an hour after the one before it.
  expect(short.series[0]?.total).toBe(3 * PERSONS + PERSONS / 2 + PERSONS / 4);
  expect(long.series[0]?.total).toBe(PERSONS + PERSONS / 4);
  await expect(legend).toContainText(String(short.series[0]?.total));
  await page.getByRole('spinbutton', { name: 'Minutes without an event' }).fill('120');
  await expect(page).toHaveURL(/session=120min/);
  await expect(legend).toContainText(String(long.series[0]?.total));

  await page.getByRole('button', { name: 'When a session ends: after a pause of' }).click();
  await page.getByRole('option', { name: 'at an event' }).click();
  await expect(page).toHaveURL(/opens=.*&closes=/);
  await expect(page).not.toHaveURL(/session=/);
  await page.getByRole('button', { name: 'When a session ends: at an event' }).click();
  await page.getByRole('option', { name: 'when this changes' }).click();
  await expect(page).toHaveURL(/session=by~/);
  await expect(page.getByRole('region', { name: 'Answer' })).toHaveAttribute('aria-busy', 'false');
});

test('sessions are split by their first event', async ({ page, house }) => {
  await page.goto(
    `${house.server.origin}/p/${house.project.id}/sessions?range=30d&unit=day&session=90min&by=plan&figure=median`,
  );
  await settled(page);
  const { series } = await ask(page, house.project.id, {
    kind: 'sessions',
    range: LAST_30_DAYS,
    unit: 'day',
    sessions: { kind: 'timeout', minutes: 90 },
    breakdown: { by: [{ property: 'plan' }], limit: 10 },
  });
  expect(series.reduce((sum, { total }) => sum + total.sessions, 0)).toBe(PERSONS + PERSONS / 4);
  const rows = page.getByRole('region', { name: 'Sessions by segment' }).locator('tbody tr');
  await expect(rows).toHaveCount(series.length);
  for (const [at, one] of series.entries()) {
    await expect(rows.nth(at).locator('td').first()).toHaveText(String(one.total.sessions));
  }
});

test('a cohort is made, narrows a report, and goes', async ({ page, house }) => {
  await page.goto(`${house.server.origin}/p/${house.project.id}/cohorts`);
  await expect(page.getByText('No cohorts yet')).toBeVisible();
  await page.getByRole('textbox', { name: 'Name' }).fill('Buyers');
  await page.getByRole('button', { name: /^Event: / }).click();
  await page.getByRole('option', { name: 'Purchase' }).click();
  await page.getByRole('button', { name: 'Make cohort' }).click();
  const row = page.getByRole('row', { name: /Buyers/ });
  await expect(row).toContainText('did Purchase at least 1 time (Last 30 days)');
  await expectAccessible(page, 'a list of cohorts');

  await page.goto(
    `${house.server.origin}/p/${house.project.id}/insights?range=30d&unit=day&show=unique~Sign+up`,
  );
  await settled(page);
  await page.keyboard.press('/');
  await page.getByRole('option', { name: 'Buyers' }).click();
  await expect(page).toHaveURL(/where=@cohort~c\d+~is_set/);
  await expect(page.getByRole('row', { name: /Sign up/ })).toContainText(String(PERSONS / 2));

  await page.goto(`${house.server.origin}/p/${house.project.id}/cohorts`);
  await page.getByText('A list of ids').click();
  await page.getByRole('textbox', { name: 'Name' }).fill('Listed');
  await page.getByRole('textbox', { name: 'Ids' }).fill('distinct_id\nperson-1\nperson-2\nperson-1');
  await expect(page.getByText('2 ids')).toBeVisible();
  await page.getByRole('button', { name: 'Make cohort' }).click();
  await expect(page.getByRole('row', { name: /Listed/ })).toContainText('2');
  for (const name of ['Buyers', 'Listed']) {
    await page.getByRole('button', { name: `Delete ${name}` }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete', exact: true }).click();
    await expect(page.getByRole('row', { name: new RegExp(name) })).toHaveCount(0);
  }
});

test('a person opens with a timeline, and the address names them', async ({ page, house }) => {
  await page.goto(`${house.server.origin}/p/${house.project.id}/persons`);
  await settled(page);
  await expect(page.getByText(`${PERSONS} persons`)).toBeVisible();
  const row = page.getByRole('button', { name: /^per_/ }).first();
  const pseudonym = await row.textContent();
  await row.click();
  const drawer = page.getByRole('dialog');
  await expect(drawer).toContainText(pseudonym ?? '');
  await expect(drawer.getByText('Page view').first()).toBeVisible();
  await expect(page).toHaveURL(new RegExp(`person=${pseudonym}`));
  await page.keyboard.press('Escape');
  await expect(drawer).toBeHidden();
});

test('ingest health adds up', async ({ page, house }) => {
  await page.goto(`${house.server.origin}/p/${house.project.id}/live`);
  const outcomes = page.getByRole('region', { name: 'Outcomes' });
  const figure = async (name: string) =>
    Number(
      (
        await outcomes
          .locator('div', { has: page.getByText(name, { exact: true }) })
          .locator('dd')
          .first()
          .textContent()
      )?.replaceAll(',', ''),
    );
  await expect(outcomes.getByText('Accepted')).toBeVisible();
  const received = Number((await outcomes.locator('span').first().textContent())?.replaceAll(',', ''));
  const ended = [
    await figure('Accepted'),
    await figure('Duplicate'),
    await figure('Ignored'),
    await figure('Rejected'),
  ];
  expect(ended.reduce((sum, count) => sum + count, 0)).toBe(received);
  await expect(page.getByText('Connected')).toBeVisible();
});
