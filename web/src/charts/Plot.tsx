// Lines and columns over a row of marks: the geometry behind trends and retention curves. The drawing is
// for the eye; the plot is one slider for the keyboard, whose value text reads what the cursor stands on,
// so that a screen reader can walk a chart with two keys.
import { useElementSize } from '@mantine/hooks';
import { max, min, range } from 'd3-array';
import { scaleBand, scaleLinear, scalePoint } from 'd3-scale';
import { area, line } from 'd3-shape';
import { type KeyboardEvent, type PointerEvent, useId, useState } from 'react';
import { colorOf, Glyph } from './Glyph';
import classes from './Plot.module.css';

export interface PlotSeries {
  key: string;
  label: string;
  /** Which colour and marker: an index that stays with the series when others are hidden. */
  look: number;
  values: (number | null)[];
  /** Stands behind another as what it is compared with: dashed and without markers. */
  faint?: boolean;
}

export interface PlotMark {
  short: string;
  long: string;
}

interface PlotProps {
  /** One sentence that says what the figure shows. */
  caption: string;
  /** What the cursor walks along, such as "Day". */
  axis: string;
  marks: PlotMark[];
  series: PlotSeries[];
  mode: 'line' | 'bars' | 'stacked';
  /** Marks from here on are not over yet: drawn dashed. */
  unfinishedFrom?: number;
  unfinishedNote: string;
  formatValue: (value: number) => string;
  formatTick: (value: number) => string;
  /** The scale's top, where it is known, such as 100 %. */
  top?: number;
  /** Names the series beneath, where nothing else on the page does. */
  legend?: boolean;
}

const HEIGHT = 360;
const MARGIN = { top: 14, right: 18, bottom: 30 };
const TICKS = 5;
const LABEL_PX = 76;
const CHAR_PX = 7.2;
const POINTS_MAX = 40;
const AXIS_MIN = 4;
const READINGS_MAX = 10;

export function Plot(props: PlotProps) {
  const { caption, axis, marks, series, mode, formatValue, formatTick, unfinishedNote } = props;
  const { ref, width } = useElementSize();
  const hatch = useId();
  const [cursor, setCursor] = useState<number | null>(null);
  const unfinishedFrom = props.unfinishedFrom ?? marks.length;

  const highest =
    props.top ??
    (mode === 'stacked'
      ? max(range(marks.length), (at) => series.reduce((sum, one) => sum + (one.values[at] ?? 0), 0))
      : max(series, (one) => max(one.values, (value) => value ?? 0)));
  const lowest = Math.min(0, min(series, (one) => min(one.values, (value) => value ?? 0)) ?? 0);
  const y = scaleLinear()
    .domain([lowest, Math.max(highest ?? 0, props.top ?? AXIS_MIN)])
    .nice(TICKS)
    .range([HEIGHT - MARGIN.bottom, MARGIN.top]);
  const ticks = y.ticks(TICKS);
  const left = Math.max(...ticks.map((tick) => formatTick(tick).length)) * CHAR_PX + 14;
  const right = Math.max(left + 1, width - MARGIN.right);
  const positions = range(marks.length);
  const band = scaleBand(positions, [left, right]).paddingInner(0.25).paddingOuter(0.1);
  const point = scalePoint(positions, [left + 6, right]).padding(marks.length === 1 ? 0.5 : 0);
  const centre = (at: number) =>
    mode === 'line' ? (point(at) ?? 0) : (band(at) ?? 0) + band.bandwidth() / 2;

  const every = Math.max(1, Math.ceil(marks.length / Math.max(1, Math.floor((right - left) / LABEL_PX))));
  const active = cursor === null ? null : Math.min(cursor, marks.length - 1);

  const follow = (event: PointerEvent<SVGRectElement>) => {
    const x = event.clientX - event.currentTarget.getBoundingClientRect().left + left;
    let nearest = 0;
    for (const at of positions) {
      if (Math.abs(centre(at) - x) < Math.abs(centre(nearest) - x)) nearest = at;
    }
    setCursor(nearest);
  };

  const walk = (event: KeyboardEvent) => {
    const from = active ?? marks.length - 1;
    const target = {
      ArrowLeft: from - 1,
      ArrowDown: from - 1,
      ArrowRight: from + 1,
      ArrowUp: from + 1,
      Home: 0,
      End: marks.length - 1,
    }[event.key];
    if (event.key === 'Escape') setCursor(null);
    if (target === undefined) return;
    event.preventDefault();
    setCursor(Math.max(0, Math.min(marks.length - 1, target)));
  };

  const readings = (at: number) =>
    series
      .map((one) => ({ ...one, value: one.values[at] ?? null }))
      .filter((one) => one.value !== null)
      .sort((a, b) => (b.value ?? 0) - (a.value ?? 0));
  const spoken = (at: number) => {
    const unfinished = at >= unfinishedFrom ? ` (${unfinishedNote})` : '';
    const values = readings(at).map((one) => `${one.label} ${formatValue(one.value ?? 0)}`);
    return `${marks[at]?.long ?? ''}${unfinished}: ${values.join('; ')}`;
  };

  return (
    <figure className={classes.figure}>
      <figcaption className={classes.caption}>{caption}</figcaption>
      <div
        ref={ref}
        className={classes.plot}
        role="slider"
        tabIndex={0}
        aria-label={axis}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, marks.length - 1)}
        aria-valuenow={active ?? Math.max(0, marks.length - 1)}
        aria-valuetext={spoken(active ?? marks.length - 1)}
        onKeyDown={walk}
        onFocus={(event) => event.currentTarget.matches(':focus-visible') && setCursor(marks.length - 1)}
        onBlur={() => setCursor(null)}
      >
        {width > 0 && (
          <svg width={width} height={HEIGHT} aria-hidden="true" className={classes.svg}>
            <defs>
              {series
                .filter(({ faint }) => !faint)
                .map((one) => (
                  <pattern
                    key={one.key}
                    id={`${hatch}${one.look}`}
                    width="6"
                    height="6"
                    patternUnits="userSpaceOnUse"
                    patternTransform="rotate(45)"
                  >
                    <rect width="6" height="6" fill={colorOf(one.look)} opacity="0.18" />
                    <rect width="2" height="6" fill={colorOf(one.look)} opacity="0.7" />
                  </pattern>
                ))}
            </defs>
            {ticks.map((tick) => (
              <g key={tick} transform={`translate(0 ${y(tick)})`}>
                <line x1={left} x2={right} className={tick === 0 ? classes.base : classes.grid} />
                <text x={left - 8} dy="0.32em" textAnchor="end" className={classes.tick}>
                  {formatTick(tick)}
                </text>
              </g>
            ))}
            {positions
              .filter((at) => (marks.length - 1 - at) % every === 0)
              .map((at) => (
                <text
                  key={at}
                  x={Math.min(centre(at), width - 22)}
                  y={HEIGHT - 9}
                  textAnchor="middle"
                  className={classes.tick}
                >
                  {marks[at]?.short}
                </text>
              ))}
            {active !== null && mode === 'line' && (
              <line
                x1={centre(active)}
                x2={centre(active)}
                y1={MARGIN.top}
                y2={HEIGHT - MARGIN.bottom}
                className={classes.cursor}
              />
            )}
            {active !== null && mode !== 'line' && (
              <rect
                x={(band(active) ?? 0) - 2}
                width={band.bandwidth() + 4}
                y={MARGIN.top}
                height={HEIGHT - MARGIN.bottom - MARGIN.top}
                className={classes.column}
              />
            )}
            {mode === 'line' ? (
              <Lines {...{ series, centre, y, unfinishedFrom, active, count: marks.length }} />
            ) : (
              <Columns
                {...{ series, band, y, unfinishedFrom, stacked: mode === 'stacked', hatch, positions }}
              />
            )}
            <rect
              x={left}
              y={0}
              width={right - left + MARGIN.right}
              height={HEIGHT}
              fill="transparent"
              onPointerMove={follow}
              onPointerDown={follow}
              onPointerLeave={() => setCursor(null)}
            />
          </svg>
        )}
        {active !== null && (
          <div
            className={classes.tooltip}
            style={
              centre(active) > width / 2
                ? { right: width - centre(active) + 14 }
                : { left: centre(active) + 14 }
            }
          >
            <div className={classes.tooltipTitle}>{marks[active]?.long}</div>
            {active >= unfinishedFrom && <div className={classes.tooltipNote}>{unfinishedNote}</div>}
            {readings(active)
              .slice(0, READINGS_MAX)
              .map((one) => (
                <div key={one.key} className={classes.reading}>
                  <Glyph look={one.look} />
                  <span className={classes.readingName}>{one.label}</span>
                  <span className={classes.readingValue}>{formatValue(one.value ?? 0)}</span>
                </div>
              ))}
            {readings(active).length > READINGS_MAX && <div className={classes.tooltipNote}>…</div>}
          </div>
        )}
      </div>
      {props.legend && (
        <ul className={classes.legend}>
          {series.map((one) => (
            <li key={one.key}>
              <Glyph look={one.look} />
              {one.label}
            </li>
          ))}
        </ul>
      )}
    </figure>
  );
}

interface LinesProps {
  series: PlotSeries[];
  centre: (at: number) => number;
  y: (value: number) => number;
  unfinishedFrom: number;
  active: number | null;
  count: number;
}

function Lines({ series, centre, y, unfinishedFrom, active, count }: LinesProps) {
  const defined = (value: number | null) => value !== null;
  const draw = line<number | null>()
    .defined(defined)
    .x((_, at) => centre(at))
    .y((value) => y(value ?? 0));
  const fill = area<number | null>()
    .defined(defined)
    .x((_, at) => centre(at))
    .y0(y(0))
    .y1((value) => y(value ?? 0));
  return series.map((one) => {
    const finished = one.values.slice(0, unfinishedFrom);
    // The dashed piece starts at the last finished mark, or there would be a gap.
    const rest = one.values.map((value, at) => (at >= unfinishedFrom - 1 ? value : null));
    const color = colorOf(one.look);
    if (one.faint) {
      return (
        <path
          key={one.key}
          d={draw(one.values) ?? ''}
          stroke={color}
          className={classes.line}
          data-faint
          strokeDasharray="6 4"
        />
      );
    }
    return (
      <g key={one.key}>
        {series.length === 1 && <path d={fill(finished) ?? ''} fill={color} opacity="0.09" />}
        <path d={draw(finished) ?? ''} stroke={color} className={classes.line} />
        {unfinishedFrom < count && (
          <path d={draw(rest) ?? ''} stroke={color} className={classes.line} strokeDasharray="3 5" />
        )}
        {one.values.map((value, at) => {
          const ends = at === count - 1 || one.values[at + 1] === null || one.values[at + 1] === undefined;
          if (value === null || !(count <= POINTS_MAX || ends || at === active)) return null;
          return (
            <g key={at} transform={`translate(${centre(at)} ${y(value)})`}>
              <Glyph.Shape
                look={one.look}
                size={at === active ? 70 : count <= POINTS_MAX ? 22 : 34}
                hollow={at >= unfinishedFrom}
              />
            </g>
          );
        })}
      </g>
    );
  });
}

interface ColumnsProps {
  series: PlotSeries[];
  band: ReturnType<typeof scaleBand<number>>;
  y: (value: number) => number;
  unfinishedFrom: number;
  stacked: boolean;
  hatch: string;
  positions: number[];
}

function Columns({ series, band, y, unfinishedFrom, stacked, hatch, positions }: ColumnsProps) {
  const slot = band.bandwidth() / series.length;
  return positions.map((at) => {
    let below = 0;
    return series.map((one, i) => {
      const value = one.values[at] ?? 0;
      if (value === 0) return null;
      const base = stacked ? below : 0;
      below += value;
      const top = Math.min(y(base + value), y(base));
      const unfinished = at >= unfinishedFrom;
      return (
        <rect
          key={one.key}
          x={(band(at) ?? 0) + (stacked ? 0 : slot * i)}
          width={Math.max(1, stacked ? band.bandwidth() : slot - (slot > 4 ? 1 : 0))}
          y={top}
          height={Math.max(1, Math.abs(y(base + value) - y(base)) - (stacked ? 1 : 0))}
          rx={band.bandwidth() > 8 ? 2 : 0}
          fillOpacity={one.faint ? 0.35 : undefined}
          fill={unfinished && !one.faint ? `url(#${hatch}${one.look})` : colorOf(one.look)}
          stroke={unfinished ? colorOf(one.look) : undefined}
          strokeDasharray={unfinished ? '3 3' : undefined}
        />
      );
    });
  });
}
