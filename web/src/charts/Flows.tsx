// Paths around an event: a picture of columns and ribbons for the eye, and two tables that hold the same
// numbers for everybody.

import { useElementSize } from '@mantine/hooks';
import { type PointerEvent, useId, useMemo, useState } from 'react';
import type { Count, Flow, FlowName, FlowsQuery } from '../api/types';
import { useTranslation } from '../i18n';
import { DataTable } from '../ui/DataTable';
import { useProjectFormat } from '../ui/project';
import { useSegmentName } from '../ui/segments';
import classes from './Flows.module.css';
import { type FlowBar, type FlowRibbon, layFlow } from './flowLayout';
import { colorOf } from './Glyph';

interface FlowsProps {
  query: FlowsQuery;
  flow: Flow;
}

const REACH = 300;
const HEAD = 26;
const BAR_WIDTH = 12;
const COLUMN_MIN = 144;
const CHAR_PX = 7;

const share = (part: number, whole: number) => (whole === 0 ? 0 : part / whole);

function useFlowWords(query: FlowsQuery) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const segmentName = useSegmentName();
  const nameOf = (name: FlowName) =>
    name.value ? `${name.event} (${segmentName([name.value])})` : name.event;
  const count: Count = query.count ?? 'unique';
  return {
    nameOf,
    barName: (bar: Pick<FlowBar, 'name' | 'role' | 'at'>) => {
      if (bar.role === 'anchor') return query.anchor.event ?? t('query.any_event');
      if (bar.name) return nameOf(bar.name);
      if (bar.role === 'other') return t('flows.other');
      return bar.at > 0 ? t('flows.ended') : t('flows.began');
    },
    stepName: (at: number) => {
      if (at === 0) return t('flows.anchor');
      return at > 0 ? t('flows.after', { count: at }) : t('flows.before', { count: -at });
    },
    counted: (number: number) => t(`flows.counted_${count}`, { count: number, number: format.count(number) }),
  };
}

export function FlowsChart({ query, flow }: FlowsProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const { counted, nameOf, barName, stepName } = useFlowWords(query);
  return (
    <>
      <p className={classes.summary} role="status">
        {t('flows.summary', {
          counted: counted(flow.anchors),
          event: barName({ role: 'anchor', name: null, at: 0 }),
        })}
      </p>
      <FlowPicture query={query} flow={flow} />
      <div className={classes.tables}>
        <section>
          <h2 className={classes.heading}>{t('flows.paths')}</h2>
          <DataTable
            caption={t('flows.paths')}
            head={[t('flows.path'), t(`flows.head_${query.count ?? 'unique'}`), t('flows.share')]}
            rows={flow.paths.map((path, at) => ({
              key: String(at),
              name: (
                <span className={classes.path}>
                  {path.events.map((event, i) => (
                    <span key={i} data-anchor={i === path.anchor || undefined}>
                      {i > 0 && <span className={classes.arrow}> → </span>}
                      {nameOf(event)}
                    </span>
                  ))}
                </span>
              ),
              cells: [format.count(path.count), format.alignedPercent(share(path.count, flow.anchors))],
            }))}
          />
        </section>
        <section>
          <h2 className={classes.heading}>{t('flows.steps')}</h2>
          <DataTable
            caption={t('flows.steps')}
            head={[t('flows.step'), t(`flows.head_${query.count ?? 'unique'}`), t('flows.share')]}
            rows={layFlow(flow, REACH)
              .columns.filter(({ at }) => at !== 0)
              .flatMap(({ at, bars }) =>
                bars.map((bar) => ({
                  key: `${at} ${bar.key}`,
                  name: barName(bar),
                  note: stepName(at),
                  cells: [format.count(bar.count), format.alignedPercent(share(bar.count, flow.anchors))],
                })),
              )}
          />
        </section>
      </div>
    </>
  );
}

interface Hint {
  x: number;
  y: number;
  title: string;
  lines: string[];
}

function FlowPicture({ query, flow }: FlowsProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const { barName, stepName, counted } = useFlowWords(query);
  const { ref, width } = useElementSize();
  const hatch = useId();
  const [hint, setHint] = useState<Hint | null>(null);
  const [lit, setLit] = useState<FlowBar | FlowRibbon | null>(null);
  const { columns, ribbons, height } = useMemo(() => layFlow(flow, REACH), [flow]);

  // A colour per event, the same in every column.
  const looks = useMemo(() => {
    const names = columns.flatMap(({ bars }) => bars.filter(({ name }) => name).map(({ key }) => key));
    return new Map([...new Set(names)].map((key, at) => [key, at + 1]));
  }, [columns]);
  const fillOf = (bar: FlowBar) => {
    if (bar.role === 'anchor') return colorOf(0);
    if (bar.role === 'event') return colorOf(looks.get(bar.key) ?? 1);
    return bar.role === 'other' ? 'var(--border-strong)' : `url(#${hatch})`;
  };

  const room = Math.max(COLUMN_MIN, Math.floor(width / columns.length));
  const left = (column: number) => column * room + 1;
  const letters = Math.floor((room - BAR_WIDTH - 20) / CHAR_PX);
  const cut = (text: string, to: number) =>
    text.length > to ? `${text.slice(0, Math.max(1, to - 1))}…` : text;

  const point = (event: PointerEvent, title: string, lines: string[], what: FlowBar | FlowRibbon) => {
    const frame = event.currentTarget.closest('figure')?.getBoundingClientRect();
    if (!frame) return;
    setHint({ x: event.clientX - frame.left, y: event.clientY - frame.top, title, lines });
    setLit(what);
  };
  const leave = () => {
    setHint(null);
    setLit(null);
  };
  const isLit = ({ from, to }: FlowRibbon) => lit !== null && (lit === from || lit === to);

  return (
    <figure className={classes.figure}>
      <figcaption className={classes.hidden}>{t('flows.caption')}</figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard. */}
      <section ref={ref} className={classes.scroll} tabIndex={0} aria-label={t('flows.caption')}>
        {width > 0 && (
          <svg
            width={room * columns.length}
            height={height + HEAD}
            aria-hidden="true"
            className={classes.svg}
          >
            <defs>
              <pattern
                id={hatch}
                width="6"
                height="6"
                patternUnits="userSpaceOnUse"
                patternTransform="rotate(45)"
              >
                <rect width="6" height="6" fill="var(--surface-hover)" />
                <rect width="2" height="6" fill="var(--border-strong)" />
              </pattern>
            </defs>
            {ribbons.map((ribbon) => {
              const { from, to, count } = ribbon;
              const [side, other] = from.at >= 0 ? [from, to] : [to, from];
              return (
                <path
                  key={`${from.column} ${from.key} ${to.key}`}
                  d={ribbonPath(ribbon, left(from.column) + BAR_WIDTH, left(to.column), HEAD)}
                  fill={fillOf(other.role === 'none' ? other : from.role === 'anchor' ? to : from)}
                  className={classes.ribbon}
                  data-none={from.role === 'none' || to.role === 'none' || undefined}
                  data-lit={lit === ribbon || isLit(ribbon) || undefined}
                  onPointerMove={(event) =>
                    point(
                      event,
                      `${barName(from)} → ${barName(to)}`,
                      [
                        counted(count),
                        t('flows.of', {
                          share: format.percent(share(count, side.count)),
                          name: barName(side),
                        }),
                        t('flows.of_all', { share: format.percent(share(count, flow.anchors)) }),
                      ],
                      ribbon,
                    )
                  }
                  onPointerLeave={leave}
                />
              );
            })}
            {columns.map(({ at, bars }, column) => (
              <g key={at}>
                <text x={left(column)} y={14} className={classes.step}>
                  {stepName(at)}
                </text>
                {bars.map((bar) => {
                  const number = format.compact(bar.count);
                  return (
                    <g
                      key={bar.key}
                      transform={`translate(${left(column)} ${bar.y + HEAD})`}
                      onPointerMove={(event) =>
                        point(
                          event,
                          barName(bar),
                          [
                            counted(bar.count),
                            t('flows.of_all', { share: format.percent(share(bar.count, flow.anchors)) }),
                          ],
                          bar,
                        )
                      }
                      onPointerLeave={leave}
                    >
                      <rect
                        width={BAR_WIDTH}
                        height={bar.height}
                        rx={2}
                        fill={fillOf(bar)}
                        stroke={bar.role === 'none' ? 'var(--border-strong)' : undefined}
                      />
                      <text
                        x={BAR_WIDTH + 6}
                        y={Math.max(10, bar.height / 2)}
                        dy="0.32em"
                        className={classes.label}
                      >
                        <tspan>{cut(barName(bar), letters - number.length - 1)}</tspan>
                        <tspan dx="5" className={classes.number}>
                          {number}
                        </tspan>
                      </text>
                    </g>
                  );
                })}
              </g>
            ))}
          </svg>
        )}
      </section>
      {hint && (
        <div
          className={classes.tooltip}
          style={{
            top: hint.y + 14,
            ...(hint.x > width / 2 ? { right: width - hint.x + 12 } : { left: hint.x + 12 }),
          }}
        >
          <div className={classes.tooltipTitle}>{hint.title}</div>
          {hint.lines.map((line) => (
            <div key={line}>{line}</div>
          ))}
        </div>
      )}
    </figure>
  );
}

function ribbonPath(ribbon: FlowRibbon, fromX: number, toX: number, down: number): string {
  const middle = (fromX + toX) / 2;
  const [a, b] = [ribbon.fromY + down, ribbon.toY + down];
  const thick = Math.max(1, ribbon.height);
  return (
    `M${fromX} ${a}C${middle} ${a} ${middle} ${b} ${toX} ${b}` +
    `V${b + thick}C${middle} ${b + thick} ${middle} ${a + thick} ${fromX} ${a + thick}Z`
  );
}
