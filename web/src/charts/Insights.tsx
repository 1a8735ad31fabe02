// An Insights answer in its five shapes: line, bars, stacked, number, table; and the legend that doubles
// as a summary.

import { useMemo, useState } from 'react';
import type { InsightsQuery, InsightsTable, Segment } from '../api/types';
import { useTranslation } from '../i18n';
import { useProjectFormat } from '../ui/project';
import { DataTable } from './DataTable';
import { colorOf, Glyph } from './Glyph';
import classes from './Insights.module.css';
import { Plot, type PlotSeries } from './Plot';

export type InsightsShape = 'line' | 'bars' | 'stacked' | 'number' | 'table';

interface InsightsChartProps {
  query: InsightsQuery;
  table: InsightsTable;
  shape: InsightsShape;
  /** The letter the builder gives a metric. */
  letterOf: (metric: number) => string;
}

interface NamedSeries extends PlotSeries {
  values: number[];
  total: number;
  measure: 'total' | 'unique';
}

export function InsightsChart({ query, table, shape, letterOf }: InsightsChartProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const segmentName = useSegmentName();
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());

  const series = useMemo<NamedSeries[]>(() => {
    const several = query.metrics.length > 1;
    return table.series.map((one, look) => {
      const metric = query.metrics[one.metric];
      const event = metric?.matching.event ?? t('query.any_event');
      const named = several ? `${letterOf(one.metric)} · ${event}` : event;
      const segment = one.segment ? segmentName(one.segment) : null;
      return {
        key: `${one.metric} ${segment ?? ''} ${one.segment?.kind ?? ''}`,
        label: segment === null ? named : several ? `${named} · ${segment}` : segment,
        look,
        values: one.values,
        total: one.total,
        measure: metric?.measure ?? 'total',
      };
    });
  }, [query, table, t, segmentName, letterOf]);

  const shown = series.filter((one) => !hidden.has(one.key));
  const marks = table.buckets.map((start) => ({
    short: format.bucket(start, query.unit, 'short'),
    long: format.bucket(start, query.unit, 'long'),
  }));
  const unfinishedFrom = table.last_incomplete ? table.buckets.length - 1 : undefined;

  if (shape === 'number') return <Numbers series={series} query={query} />;
  if (shape === 'table') {
    return (
      <DataTable
        caption={t('insights.caption', { count: series.length })}
        head={[t(`units.${query.unit}`), ...series.map((one) => one.label)]}
        rows={marks.map((mark, at) => ({
          key: table.buckets[at] ?? String(at),
          name: mark.long,
          note: at === unfinishedFrom ? t('chart.unfinished') : undefined,
          cells: series.map((one) => format.count(one.values[at] ?? 0)),
        }))}
        foot={{ name: t('insights.total'), cells: series.map((one) => format.count(one.total)) }}
      />
    );
  }

  const toggle = (key: string) => {
    const next = new Set(hidden);
    if (!next.delete(key)) next.add(key);
    // With everything hidden there is nothing to hide: show all again.
    setHidden(next.size === series.length ? new Set() : next);
  };

  return (
    <>
      <Plot
        caption={t('insights.caption', { count: series.length })}
        axis={t(`units.${query.unit}`)}
        marks={marks}
        series={shown}
        mode={shape}
        unfinishedFrom={unfinishedFrom}
        unfinishedNote={t('chart.unfinished')}
        formatValue={format.count}
        formatTick={format.compact}
      />
      <Legend series={series} hidden={hidden} onToggle={toggle} />
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

interface LegendProps {
  series: NamedSeries[];
  hidden: ReadonlySet<string>;
  onToggle: (key: string) => void;
}

function Legend({ series, hidden, onToggle }: LegendProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  return (
    <div className={classes.legendScroll}>
      <table className={classes.legend}>
        <thead>
          <tr>
            <th scope="col">{t('insights.series')}</th>
            <th scope="col">{t('insights.total')}</th>
            <th scope="col">{t('insights.average')}</th>
            <th scope="col">{t('insights.highest')}</th>
          </tr>
        </thead>
        <tbody>
          {series.map((one) => (
            <tr key={one.key} data-hidden={hidden.has(one.key) || undefined}>
              <th scope="row">
                <span className={classes.legendLabel}>
                  <button
                    type="button"
                    className={classes.legendName}
                    aria-pressed={!hidden.has(one.key)}
                    title={hidden.has(one.key) ? t('insights.show_series') : t('insights.hide_series')}
                    onClick={() => onToggle(one.key)}
                  >
                    <Glyph look={one.look} />
                    <span>{one.label}</span>
                  </button>
                  <span className={classes.measure}>{t(`measures.${one.measure}`)}</span>
                </span>
              </th>
              <td data-total>{format.count(one.total)}</td>
              <td>{format.decimal(average(one.values))}</td>
              <td>{format.count(Math.max(0, ...one.values))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const RANKED_FROM = 4;

/** Totals writ large; many of them are ranked as bars instead. */
function Numbers({ series, query }: { series: NamedSeries[]; query: InsightsQuery }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  if (series.length < RANKED_FROM) {
    return (
      <div className={classes.numbers}>
        {series.map((one) => (
          <div key={one.key} className={classes.number}>
            <div className={classes.numberName}>
              {series.length > 1 && <Glyph look={one.look} />}
              {one.label}
            </div>
            <div className={classes.numberValue}>{format.count(one.total)}</div>
            <div className={classes.numberNote}>
              {t(`insights.note_${one.measure}`, { count: one.total })}
            </div>
          </div>
        ))}
      </div>
    );
  }
  const ranked = query.breakdown ? series : [...series].sort((a, b) => b.total - a.total);
  const highest = Math.max(1, ...ranked.map((one) => one.total));
  return (
    <ol className={classes.ranking}>
      {ranked.map((one) => (
        <li key={one.key}>
          <span className={classes.rankName}>{one.label}</span>
          <span className={classes.rankTrack}>
            <span
              className={classes.rankBar}
              style={{ width: `${(100 * one.total) / highest}%`, background: colorOf(0) }}
            />
          </span>
          <span className={classes.rankValue}>{format.count(one.total)}</span>
        </li>
      ))}
    </ol>
  );
}

/** What a breakdown's segment is called; only "not set" and "everything else" are words of ours. */
export function useSegmentName(): (segment: Segment) => string {
  const { t } = useTranslation();
  return useMemo(
    () => (segment: Segment) => {
      if (segment.kind === 'value') return segment.value === '' ? t('segments.empty') : segment.value;
      return t(`segments.${segment.kind}`);
    },
    [t],
  );
}

function average(values: number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}
