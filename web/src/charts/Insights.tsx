// An Insights answer in its five shapes: line, bars, stacked, number, table; and the legend that doubles
// as a summary.
import { max, mean } from 'd3-array';
import { useMemo, useState } from 'react';
import type { InsightsQuery, InsightsTable, Series } from '../api/types';
import { useTranslation } from '../i18n';
import { DataTable } from '../ui/DataTable';
import { useMeasureName } from '../ui/measures';
import { useProjectFormat } from '../ui/project';
import { segmentKey, useSegmentName } from '../ui/segments';
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
  total: number | null;
  /** How it counts, in words. */
  measure: string;
  /** What the total stands for, where that goes without further words. */
  counts: 'total' | 'unique' | null;
  before: Series | undefined;
}

export function InsightsChart(props: InsightsChartProps) {
  const { t } = useTranslation();
  const { hidden_below } = props.table;
  return (
    <>
      <Shaped {...props} />
      {hidden_below && <p className={classes.omitted}>{t('insights.few', { count: hidden_below })}</p>}
    </>
  );
}

function Shaped({ query, table, shape, letterOf }: InsightsChartProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const segmentName = useSegmentName();
  const measureName = useMeasureName();
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());

  const series = useMemo<NamedSeries[]>(() => {
    const several = query.metrics.length + (query.formulas?.length ?? 0) > 1;
    return table.series.map((one, look) => {
      const metric = query.metrics[one.metric];
      const formula = query.formulas?.[one.metric - query.metrics.length];
      const what = metric ? (metric.matching.event ?? t('query.any_event')) : (formula ?? '');
      const named = several ? `${letterOf(one.metric)} · ${what}` : what;
      const segment = one.segment && one.segment.length > 0 ? segmentName(one.segment) : null;
      const { measure } = metric ?? {};
      return {
        key: `${one.metric} ${segmentKey(one.segment)}`,
        label: segment === null ? named : several ? `${named} · ${segment}` : segment,
        look,
        values: one.values,
        total: one.total ?? null,
        measure: measure === undefined ? t('measures.formula') : measureName(measure),
        counts: measure === 'total' || measure === 'unique' ? measure : null,
        before: table.compared?.series[look],
      };
    });
  }, [query, table, t, segmentName, measureName, letterOf]);

  const shown = series.filter((one) => !hidden.has(one.key));
  const marks = table.buckets.map((start) => ({
    short: format.bucket(start, query.unit, 'short'),
    long: format.bucket(start, query.unit, 'long'),
  }));
  const unfinishedFrom = table.last_incomplete ? table.buckets.length - 1 : undefined;

  // Counts of persons and events are always there, but where they are left out.
  const figure = (of: NamedSeries, value: number | null | undefined) =>
    table.hidden_below && of.counts && value === null ? t('insights.left_out') : format.figure(value);

  if (shape === 'number') return <Numbers series={series} query={query} />;
  if (shape === 'table') {
    return (
      <DataTable
        caption={t('insights.caption', { count: series.length })}
        head={[
          t(`units.${query.unit}`),
          ...series.flatMap((one) =>
            one.before ? [one.label, t('insights.before_series', { name: one.label })] : [one.label],
          ),
        ]}
        rows={marks.map((mark, at) => ({
          key: table.buckets[at] ?? String(at),
          name: mark.long,
          note: at === unfinishedFrom ? t('chart.unfinished') : undefined,
          cells: series.flatMap((one) => [
            figure(one, one.values[at]),
            ...(one.before ? [figure(one, one.before.values[at])] : []),
          ]),
        }))}
        foot={{
          name: t('insights.total'),
          cells: series.flatMap((one) => [
            figure(one, one.total),
            ...(one.before ? [figure(one, one.before.total)] : []),
          ]),
        }}
      />
    );
  }

  const withBefore = (one: NamedSeries): PlotSeries[] => {
    if (!one.before) return [one];
    const label = t('insights.before_series', { name: one.label });
    return [one, { key: `${one.key} before`, label, look: one.look, values: one.before.values, faint: true }];
  };

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
        series={shape === 'stacked' ? shown : shown.flatMap(withBefore)}
        mode={shape}
        unfinishedFrom={unfinishedFrom}
        unfinishedNote={t('chart.unfinished')}
        formatValue={format.figure}
        formatTick={format.compact}
      />
      <Legend series={series} hidden={hidden} hasGaps={Boolean(table.hidden_below)} onToggle={toggle} />
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
  /** Some values are left out. */
  hasGaps: boolean;
  onToggle: (key: string) => void;
}

function Legend({ series, hidden, hasGaps, onToggle }: LegendProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const compared = series.some((one) => one.before);
  return (
    <div className={classes.legendScroll}>
      <table className={classes.legend}>
        <thead>
          <tr>
            <th scope="col">{t('insights.series')}</th>
            <th scope="col">{t('insights.total')}</th>
            {compared && <th scope="col">{t('insights.before')}</th>}
            {compared && <th scope="col">{t('insights.change')}</th>}
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
                  <span className={classes.measure}>{one.measure}</span>
                </span>
              </th>
              <td data-total>{format.figure(one.total)}</td>
              {compared && <td>{format.figure(one.before?.total)}</td>}
              {compared && <td>{changeOf(one, format.percent)}</td>}
              <td>
                {format.figure(hasGaps && one.values.includes(null) ? null : mean(present(one.values)))}
              </td>
              <td>{format.figure(max(present(one.values)))}</td>
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
            <div className={classes.numberValue}>{format.figure(one.total)}</div>
            <div className={classes.numberNote}>
              {one.counts ? t(`insights.note_${one.counts}`, { count: one.total ?? 0 }) : one.measure}
            </div>
          </div>
        ))}
      </div>
    );
  }
  const ranked = query.breakdown ? series : [...series].sort((a, b) => (b.total ?? 0) - (a.total ?? 0));
  const highest = Math.max(1, ...ranked.map((one) => one.total ?? 0));
  return (
    <ol className={classes.ranking}>
      {ranked.map((one) => (
        <li key={one.key}>
          <span className={classes.rankName}>{one.label}</span>
          <span className={classes.rankTrack}>
            <span
              className={classes.rankBar}
              style={{ width: `${(100 * Math.max(0, one.total ?? 0)) / highest}%`, background: colorOf(0) }}
            />
          </span>
          <span className={classes.rankValue}>{format.figure(one.total)}</span>
        </li>
      ))}
    </ol>
  );
}

const present = (values: (number | null)[]) => values.filter((value) => value !== null);

/** How much more or less than before; nothing, where there was nothing before. */
function changeOf({ total, before }: NamedSeries, percent: (share: number) => string): string {
  if (total === null || !before?.total) return '–';
  const change = total / before.total - 1;
  return change > 0 ? `+${percent(change)}` : percent(change);
}
