// Sessions in six figures, of which one is drawn over time. With a breakdown the figures stand in a table,
// one line a segment.
import { max } from 'd3-array';
import type { SessionsCell, SessionsQuery, SessionsTable } from '../api/types';
import { useTranslation } from '../i18n';
import { DataTable } from '../ui/DataTable';
import { SESSION_FIGURES as FIGURES, type SessionFigure as Figure } from '../ui/figures';
import { useProjectFormat } from '../ui/project';
import { breakdownName, segmentKey, useSegmentName } from '../ui/segments';
import { Plot } from './Plot';
import classes from './Sessions.module.css';

interface SessionsChartProps {
  query: SessionsQuery;
  table: SessionsTable;
  shape: 'line' | 'bars' | 'table';
  /** The one that is drawn. */
  figure: Figure;
  onFigure: (figure: Figure) => void;
}

const MINUTE_MS = 60_000;
const DRAWN_MAX = 10;

/** The number that is drawn, lengths in minutes: so the axis is cut at whole ones. */
function drawn(cell: SessionsCell, figure: Figure): number | null {
  switch (figure) {
    case 'sessions':
    case 'persons':
      return cell[figure];
    case 'median':
    case 'average':
      return minutesOf(figure === 'median' ? cell.median_ms : cell.average_ms);
    case 'events':
    case 'bounced':
      return cell.sessions === 0 ? null : cell[figure] / cell.sessions;
  }
}

const minutesOf = (ms: number | null | undefined) =>
  ms === null || ms === undefined ? null : ms / MINUTE_MS;

function useFigureText(): (figure: Figure, value: number | null) => string {
  const format = useProjectFormat();
  return (figure, value) => {
    if (value === null) return '–';
    if (figure === 'median' || figure === 'average') return format.duration(value * MINUTE_MS);
    if (figure === 'bounced') return format.percent(value);
    return figure === 'events' ? format.decimal(value) : format.count(value);
  };
}

export function SessionsChart({ query, table, shape, figure, onFigure }: SessionsChartProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const segmentName = useSegmentName();
  const figureText = useFigureText();
  const isSplit = query.breakdown !== undefined && query.breakdown !== null;
  const unfinishedFrom = table.last_incomplete ? table.buckets.length - 1 : undefined;
  const marks = table.buckets.map((start) => ({
    short: format.bucket(start, query.unit, 'short'),
    long: format.bucket(start, query.unit, 'long'),
  }));
  const series = table.series.map((one, look) => ({
    key: segmentKey(one.segment),
    label: one.segment && one.segment.length > 0 ? segmentName(one.segment) : t(`session_figures.${figure}`),
    look,
    cells: one.values,
    total: one.total,
    values: one.values.map((cell) => drawn(cell, figure)),
  }));
  const total = table.series[0]?.total;
  const isShare = figure === 'bounced';
  const isLength = figure === 'median' || figure === 'average';

  return (
    <>
      <ul className={classes.figures} aria-label={t('sessions.figures')}>
        {FIGURES.map((one) => (
          <li key={one}>
            <button
              type="button"
              className={classes.figure}
              aria-pressed={one === figure}
              onClick={() => onFigure(one)}
            >
              <span className={classes.name}>{t(`session_figures.${one}`)}</span>
              {!isSplit && total && (
                <span className={classes.value}>{figureText(one, drawn(total, one))}</span>
              )}
            </button>
          </li>
        ))}
      </ul>
      {shape === 'table' ? (
        <DataTable
          caption={t('sessions.over_time')}
          head={[
            t(`units.${query.unit}`),
            ...(isSplit ? series.map((one) => one.label) : FIGURES.map((one) => t(`session_figures.${one}`))),
          ]}
          rows={marks.map((mark, at) => ({
            key: table.buckets[at] ?? String(at),
            name: mark.long,
            note: at === unfinishedFrom ? t('chart.unfinished') : undefined,
            cells: isSplit
              ? series.map((one) => figureText(figure, one.values[at] ?? null))
              : FIGURES.map((one) => figureText(one, drawn(series[0]!.cells[at]!, one))),
          }))}
        />
      ) : (
        <Plot
          caption={t('sessions.caption', { figure: t(`session_figures.${figure}`) })}
          axis={t(`units.${query.unit}`)}
          marks={marks}
          series={series.slice(0, DRAWN_MAX)}
          mode={shape}
          unfinishedFrom={unfinishedFrom}
          unfinishedNote={t('chart.unfinished')}
          formatValue={(value) => figureText(figure, value)}
          formatTick={(value) => {
            if (isShare) return format.wholePercent(value);
            return isLength && value > 0 ? format.duration(value * MINUTE_MS) : format.compact(value);
          }}
          top={
            isShare ? 1 : isLength ? max(series, ({ values }) => max(values, (v) => v ?? 0)) || 1 : undefined
          }
          legend={isSplit}
        />
      )}
      {isSplit && (
        <section className={classes.segments}>
          <h2 className={classes.heading}>{t('sessions.by_segment')}</h2>
          <DataTable
            caption={t('sessions.by_segment')}
            head={[breakdownName(query.breakdown), ...FIGURES.map((one) => t(`session_figures.${one}`))]}
            rows={series.map((one) => ({
              key: one.key,
              name: one.label,
              cells: FIGURES.map((name) => figureText(name, drawn(one.total, name))),
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
      )}
    </>
  );
}
