// A funnel as a list: each step a bar, and between two steps what went on and what was lost. Plain HTML,
// so that it reads top to bottom with or without a screen.

import { IconArrowDown } from '@tabler/icons-react';
import type { FunnelQuery, FunnelResult, FunnelTable } from '../api/types';
import { useTranslation } from '../i18n';
import { DataTable } from '../ui/DataTable';
import { useProjectFormat } from '../ui/project';
import { breakdownName, segmentKey, useSegmentName } from '../ui/segments';
import classes from './Funnel.module.css';
import { Plot } from './Plot';

interface FunnelProps {
  query: FunnelQuery;
  table: FunnelTable;
}

const share = (part: number, whole: number) => (whole === 0 ? 0 : part / whole);

function useStepNames(query: FunnelQuery): string[] {
  const { t } = useTranslation();
  return query.steps.map((step) => step.event ?? t('query.any_event'));
}

export function FunnelChart({ query, table }: FunnelProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const names = useStepNames(query);
  const { steps } = table.overall;
  const first = steps[0]?.count ?? 0;
  const last = steps.at(-1)?.count ?? 0;

  return (
    <>
      <div className={classes.summary} role="status">
        <span className={classes.conversion}>{format.percent(share(last, first))}</span>
        <span className={classes.sentence}>
          {t(query.count && query.count !== 'unique' ? `funnel.summary_${query.count}` : 'funnel.summary', {
            count: first,
            last: format.count(last),
            first: format.count(first),
          })}
        </span>
      </div>
      <ol className={classes.steps}>
        {steps.map((step, at) => {
          const before = steps[at - 1]?.count;
          const ofFirst = share(step.count, first);
          return (
            <li key={at} className={classes.item}>
              {before !== undefined && (
                <div className={classes.between}>
                  <IconArrowDown size={14} aria-hidden="true" />
                  <span className={classes.went}>
                    {t('funnel.continued', { share: format.percent(share(step.count, before)) })}
                  </span>
                  <span>
                    {query.count && query.count !== 'unique'
                      ? t('funnel.lost', {
                          number: format.count(before - step.count),
                          share: format.percent(share(before - step.count, before)),
                        })
                      : t('funnel.dropped', {
                          count: before - step.count,
                          number: format.count(before - step.count),
                          share: format.percent(share(before - step.count, before)),
                        })}
                  </span>
                  {step.median_ms_from_previous !== null && step.median_ms_from_previous !== undefined && (
                    <span>{t('funnel.median', { time: format.duration(step.median_ms_from_previous) })}</span>
                  )}
                </div>
              )}
              <div className={classes.step}>
                <div className={classes.name}>
                  <span className={classes.number}>{at + 1}</span>
                  <span className={classes.event}>{names[at]}</span>
                </div>
                <div className={classes.track}>
                  <div className={classes.bar} style={{ width: `${100 * ofFirst}%` }} />
                </div>
                <div className={classes.figures}>
                  <strong>{format.count(step.count)}</strong>
                  <span>{format.alignedPercent(ofFirst)}</span>
                </div>
              </div>
            </li>
          );
        })}
      </ol>
      {table.segments.length > 0 && (
        <div className={classes.segments}>
          <FunnelTableView query={query} table={table} />
        </div>
      )}
      <FunnelTrend query={query} table={table} />
      <ConversionTimes query={query} table={table} />
    </>
  );
}

function FunnelTrend({ query, table }: FunnelProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const { trend } = query;
  // While a new question is on its way, the answer on screen may be that of another.
  if (!trend || !table.trend || table.trend.length === 0) return null;
  return (
    <section className={classes.segments}>
      <h2 className={classes.heading}>{t('funnel.trend')}</h2>
      <Plot
        caption={t('funnel.trend')}
        axis={t(`units.${trend}`)}
        marks={table.trend.map(({ start }) => ({
          short: format.bucket(start, trend, 'short'),
          long: format.bucket(start, trend, 'long'),
        }))}
        series={[
          {
            key: 'conversion',
            label: t('funnel.conversion'),
            look: 0,
            values: table.trend.map(({ result }) => conversionOf(result)),
          },
        ]}
        mode="line"
        unfinishedNote={t('chart.unfinished')}
        formatValue={format.percent}
        formatTick={format.wholePercent}
        top={1}
      />
    </section>
  );
}

function ConversionTimes({ query, table }: FunnelProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const times = table.overall.time_to_convert;
  if (!times || times.counts.length === 0) return null;
  return (
    <section className={classes.segments}>
      <h2 className={classes.heading}>{t('funnel.time_to_convert')}</h2>
      <p className={classes.note}>
        {t('funnel.times', {
          median: format.duration(times.median_ms),
          average: format.duration(times.average_ms),
        })}
      </p>
      <Plot
        caption={t('funnel.time_to_convert')}
        axis={t('funnel.took')}
        marks={times.counts.map((_, at) => {
          const from = format.duration(times.edges_ms[at] ?? 0);
          const to = format.duration(times.edges_ms[at + 1] ?? 0);
          return { short: from, long: t('funnel.took_range', { from, to }) };
        })}
        series={[
          {
            key: 'times',
            label: t(`flows.head_${query.count ?? 'unique'}`),
            look: 0,
            values: times.counts,
          },
        ]}
        mode="bars"
        unfinishedNote={t('chart.unfinished')}
        formatValue={format.count}
        formatTick={format.compact}
      />
    </section>
  );
}

/** Of nobody there is no share. */
function conversionOf({ steps }: FunnelResult): number | null {
  const first = steps[0]?.count ?? 0;
  return first === 0 ? null : (steps.at(-1)?.count ?? 0) / first;
}

export function FunnelTableView({ query, table }: FunnelProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const segmentName = useSegmentName();
  const names = useStepNames(query);

  if (table.segments.length === 0) {
    const { steps } = table.overall;
    const first = steps[0]?.count ?? 0;
    return (
      <DataTable
        caption={t('funnel.caption')}
        head={[
          t('funnel.step'),
          t(`flows.head_${query.count ?? 'unique'}`),
          t('funnel.of_first'),
          t('funnel.of_previous'),
          t('funnel.time'),
        ]}
        rows={steps.map((step, at) => {
          const median = step.median_ms_from_previous;
          const before = steps[at - 1]?.count;
          return {
            key: String(at),
            name: `${at + 1}. ${names[at]}`,
            cells: [
              format.count(step.count),
              format.alignedPercent(share(step.count, first)),
              before === undefined ? '–' : format.alignedPercent(share(step.count, before)),
              median === null || median === undefined ? '–' : format.duration(median),
            ],
          };
        })}
      />
    );
  }

  // That a segment differs from all others; worked out only where there are enough on both sides.
  const certain = table.segments.some(({ significance }) => typeof significance === 'number');
  const certainty = (value: number | null | undefined) =>
    typeof value === 'number' ? format.alignedPercent(value) : '–';
  const cellsOf = ({ steps }: FunnelResult) => {
    const first = steps[0]?.count ?? 0;
    return [
      ...steps.map((step, at) =>
        at === 0 ? (
          format.count(step.count)
        ) : (
          <>
            {format.count(step.count)}{' '}
            <span className={classes.cellShare}>{format.alignedPercent(share(step.count, first))}</span>
          </>
        ),
      ),
      format.alignedPercent(share(steps.at(-1)?.count ?? 0, first)),
    ];
  };
  return (
    <>
      <DataTable
        caption={t('funnel.caption_segments')}
        head={[
          breakdownName(query.breakdown),
          ...names.map((name, at) => `${at + 1}. ${name}`),
          t('funnel.conversion'),
          ...(certain ? [t('funnel.significance')] : []),
        ]}
        rows={table.segments.map(({ segment, result, significance }) => ({
          key: segmentKey(segment),
          name: segmentName(segment),
          cells: [...cellsOf(result), ...(certain ? [certainty(significance)] : [])],
        }))}
        foot={{
          name: t('funnel.everybody'),
          cells: [...cellsOf(table.overall), ...(certain ? [certainty(null)] : [])],
        }}
      />
      {table.segments_omitted > 0 && (
        <p className={classes.omitted}>
          {t('insights.omitted', {
            count: table.segments_omitted,
            number: format.count(table.segments_omitted),
          })}
        </p>
      )}
    </>
  );
}
