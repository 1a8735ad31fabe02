// Retention as a table whose cells are shaded by their share, and as curves of the same numbers.

import type { RetentionQuery, RetentionTable } from '../api/types';
import { useTranslation } from '../i18n';
import { DataTable } from '../ui/DataTable';
import { useProjectFormat } from '../ui/project';
import { breakdownName, segmentKey, useSegmentName } from '../ui/segments';
import { Plot } from './Plot';
import classes from './Retention.module.css';

interface RetentionProps {
  query: RetentionQuery;
  table: RetentionTable;
}

const CURVES_MAX = 6;

/** Interval 0 is that of the birth; those that lie in the future for every group get no column. */
const intervalsOf = (table: RetentionTable) =>
  Math.max(0, ...table.cohorts.map((cohort) => cohort.retained.length));

/** What an interval is called: "Week 3", or "Weeks 3–5" where lengths were asked for. */
function useIntervalName(query: RetentionQuery): (k: number) => string {
  const { t } = useTranslation();
  const unit = query.unit as 'day' | 'week' | 'month';
  return (k: number) => {
    const lengths = query.brackets ?? [];
    const length = k === 0 ? 1 : (lengths[k - 1] ?? 1);
    const from = k === 0 ? 0 : 1 + lengths.slice(0, k - 1).reduce((sum, one) => sum + one, 0);
    if (lengths.length === 0) return t(`retention.interval_${unit}`, { number: k });
    if (length === 1) return t(`retention.interval_${unit}`, { number: from });
    return t(`retention.range_${unit}`, { from, to: from + length - 1 });
  };
}

export function RetentionHeat({ query, table }: RetentionProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const intervalName = useIntervalName(query);
  const intervals = Array.from({ length: intervalsOf(table) }, (_, k) => k);
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard. */}
      <section className={classes.scroll} tabIndex={0} aria-label={t('retention.caption')}>
        <table className={classes.table}>
          <caption className={classes.hidden}>{t('retention.caption')}</caption>
          <thead>
            <tr>
              <th scope="col">{t('retention.cohort')}</th>
              <th scope="col">{t('retention.size')}</th>
              {intervals.map((k) => (
                <th key={k} scope="col">
                  {intervalName(k)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            <tr className={classes.average}>
              <th scope="row">{t('retention.average')}</th>
              <td>{format.count(table.cohorts.reduce((sum, cohort) => sum + cohort.size, 0))}</td>
              {intervals.map((k) => {
                const mean = table.average[k];
                return (
                  <td key={k}>{mean === null || mean === undefined ? '' : format.alignedPercent(mean)}</td>
                );
              })}
            </tr>
            {table.cohorts.map((cohort) => (
              <tr key={cohort.start}>
                <th scope="row">{format.bucket(cohort.start, query.unit, 'long')}</th>
                <td>{format.count(cohort.size)}</td>
                {intervals.map((k) => {
                  const retained = cohort.retained[k];
                  if (retained === undefined) return <td key={k} />;
                  const share = cohort.size === 0 ? 0 : retained / cohort.size;
                  const growing = k >= cohort.complete;
                  const words = t('retention.cell', {
                    count: cohort.size,
                    retained: format.count(retained),
                    size: format.count(cohort.size),
                  });
                  return (
                    <td
                      key={k}
                      className={classes.cell}
                      data-growing={growing || undefined}
                      title={growing ? `${words} ${t('retention.growing')}` : words}
                      // A root scale: most shares are small, and the eye should still tell 4 % from 8 %.
                      style={{ '--share': Math.sqrt(share).toFixed(3) } as React.CSSProperties}
                    >
                      {format.alignedPercent(share)}
                      <span className={classes.hidden}>
                        {words}
                        {growing && ` ${t('retention.growing')}`}
                      </span>
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      <RetentionSegments query={query} table={table} />
    </>
  );
}

function RetentionSegments({ query, table }: RetentionProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const segmentName = useSegmentName();
  const intervalName = useIntervalName(query);
  const segments = table.segments ?? [];
  if (segments.length === 0) return null;
  const intervals = Array.from({ length: intervalsOf(table) }, (_, k) => k);
  return (
    <section className={classes.segments}>
      <h2 className={classes.heading}>{t('retention.segments')}</h2>
      <DataTable
        caption={t('retention.segments')}
        head={[
          breakdownName(query.breakdown) || t('retention.segment'),
          t('retention.size'),
          ...intervals.map(intervalName),
        ]}
        rows={segments.map(({ segment, cohorts, average }) => ({
          key: segmentKey(segment),
          name: segmentName(segment),
          cells: [
            format.count(cohorts.reduce((sum, { size }) => sum + size, 0)),
            ...intervals.map((k) => {
              const mean = average[k];
              return mean === null || mean === undefined ? '–' : format.alignedPercent(mean);
            }),
          ],
        }))}
      />
      {table.segments_omitted > 0 && (
        <p className={classes.omitted}>
          {t('insights.omitted', {
            count: table.segments_omitted,
            number: format.count(table.segments_omitted),
          })}
        </p>
      )}
    </section>
  );
}

export function RetentionCurve({ query, table }: RetentionProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const intervalName = useIntervalName(query);
  const intervals = Array.from({ length: intervalsOf(table) }, (_, k) => k);
  const segmentName = useSegmentName();
  const recent = table.cohorts.slice(-CURVES_MAX);
  return (
    <Plot
      caption={t('retention.curve_caption')}
      axis={t(`units.${query.unit}`)}
      marks={intervals.map((k) => {
        const name = intervalName(k);
        return { short: name, long: name };
      })}
      series={[
        // A curve holds only what is over, so that no line seems to fall merely because time has not passed.
        ...(table.segments && table.segments.length > 0
          ? table.segments.slice(0, CURVES_MAX).map(({ segment, average }, at) => ({
              key: segmentKey(segment),
              label: segmentName(segment),
              look: at + 1,
              values: intervals.map((k) => average[k] ?? null),
            }))
          : recent.map((cohort, at) => ({
              key: cohort.start,
              label: format.bucket(cohort.start, query.unit, 'long'),
              look: at + 1,
              values: intervals.map((k) =>
                k < cohort.complete && cohort.size > 0 ? (cohort.retained[k] ?? 0) / cohort.size : null,
              ),
            }))),
        // Last, so that it lies over the others.
        {
          key: 'average',
          label: t('retention.average'),
          look: 0,
          values: intervals.map((k) => table.average[k] ?? null),
        },
      ].filter((one) => one.values.some((value) => value !== null))}
      mode="line"
      unfinishedNote={t('chart.unfinished')}
      formatValue={format.percent}
      formatTick={format.wholePercent}
      top={1}
      legend
    />
  );
}
