// Retention as a table whose cells are shaded by their share, and as curves of the same numbers.

import type { RetentionQuery, RetentionTable } from '../api/types';
import { useTranslation } from '../i18n';
import { useProjectFormat } from '../ui/project';
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

export function RetentionHeat({ query, table }: RetentionProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const intervals = Array.from({ length: intervalsOf(table) }, (_, k) => k);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard.
    <section className={classes.scroll} tabIndex={0} aria-label={t('retention.caption')}>
      <table className={classes.table}>
        <caption className={classes.hidden}>{t('retention.caption')}</caption>
        <thead>
          <tr>
            <th scope="col">{t('retention.cohort')}</th>
            <th scope="col">{t('retention.size')}</th>
            {intervals.map((k) => (
              <th key={k} scope="col">
                {t(`retention.interval_${query.unit as 'day' | 'week' | 'month'}`, { number: k })}
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
  );
}

export function RetentionCurve({ query, table }: RetentionProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const intervals = Array.from({ length: intervalsOf(table) }, (_, k) => k);
  const recent = table.cohorts.slice(-CURVES_MAX);
  return (
    <Plot
      caption={t('retention.curve_caption')}
      axis={t(`units.${query.unit}`)}
      marks={intervals.map((k) => {
        const name = t(`retention.interval_${query.unit as 'day' | 'week' | 'month'}`, { number: k });
        return { short: name, long: name };
      })}
      series={[
        // A curve holds only what is over, so that no line seems to fall merely because time has not passed.
        ...recent.map((cohort, at) => ({
          key: cohort.start,
          label: format.bucket(cohort.start, query.unit, 'long'),
          look: at + 1,
          values: intervals.map((k) =>
            k < cohort.complete && cohort.size > 0 ? (cohort.retained[k] ?? 0) / cohort.size : null,
          ),
        })),
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
