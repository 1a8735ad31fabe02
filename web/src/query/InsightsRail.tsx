// "Show Purchase, count persons; where …; by …": the question of an Insights report.

import { ActionIcon, TextInput } from '@mantine/core';
import { IconMathFunction, IconPlus, IconX } from '@tabler/icons-react';
import { useState } from 'react';
import type { Compare, InsightsQuery, Metric } from '../api/types';
import { useTranslation } from '../i18n';
import { Picker } from '../ui/Picker';
import classes from './Builder.module.css';
import { CountInput } from './CountInput';
import { FORMULAS_MAX, METRICS_MAX, ROLLING_MAX } from './codec';
import { EventPicker } from './EventPicker';
import { Filters } from './Filters';
import { isFormula } from './formula';
import { MeasurePicker } from './MeasurePicker';
import { ByClause, Clause, orNone, Rail, WhereClause } from './Rail';
import { SessionClause } from './SessionClause';

interface InsightsRailProps {
  query: InsightsQuery;
  onChange: (query: InsightsQuery) => void;
}

const LETTERS = 26;

/** A, B, …, Z, AA, …: metrics first, then formulas. */
export const letterOf = (metric: number): string =>
  (metric >= LETTERS ? letterOf(Math.floor(metric / LETTERS) - 1) : '') +
  String.fromCharCode(65 + (metric % LETTERS));

export function InsightsRail({ query, onChange }: InsightsRailProps) {
  const { t } = useTranslation();
  const setMetrics = (metrics: Metric[]) => onChange({ ...query, metrics });
  const setMetric = (at: number, metric: Metric) =>
    setMetrics(query.metrics.map((one, i) => (i === at ? metric : one)));

  return (
    <Rail>
      <Clause name={t('query.show')}>
        {query.metrics.map((metric, at) => (
          <div key={at} className={classes.card}>
            <div className={classes.cardHead}>
              <span className={classes.badge}>{letterOf(at)}</span>
              <EventPicker
                label={t('query.event')}
                event={metric.matching.event}
                onChange={(event) => setMetric(at, { ...metric, matching: { ...metric.matching, event } })}
              />
              {query.metrics.length > 1 && (
                <ActionIcon
                  variant="subtle"
                  color="gray"
                  size={24}
                  aria-label={t('query.remove_metric', { letter: letterOf(at) })}
                  onClick={() => setMetrics(query.metrics.filter((_, i) => i !== at))}
                >
                  <IconX size={14} />
                </ActionIcon>
              )}
            </div>
            <div className={classes.cardLine}>
              <span className={classes.word}>{t('query.count')}</span>
              <MeasurePicker
                measure={metric.measure}
                onChange={(measure) => setMetric(at, { ...metric, measure })}
              />
            </div>
            <Filters
              filters={metric.matching.filters}
              onChange={(filters) =>
                setMetric(at, { ...metric, matching: { ...metric.matching, filters: orNone(filters) } })
              }
            />
          </div>
        ))}
        {query.metrics.length < METRICS_MAX && (
          <button
            type="button"
            className={classes.add}
            onClick={() => setMetrics([...query.metrics, query.metrics.at(-1)!])}
          >
            <IconPlus size={15} aria-hidden="true" />
            {t('query.add_metric')}
          </button>
        )}
        <Formulas query={query} onChange={onChange} />
      </Clause>
      <WhereClause
        filters={query.filters}
        onChange={(filters) => onChange({ ...query, filters: orNone(filters) })}
      />
      <ByClause breakdown={query.breakdown} onChange={(breakdown) => onChange({ ...query, breakdown })} />
      {query.metrics.some(({ measure }) => measure === 'sessions') && (
        <SessionClause rule={query.sessions} onChange={(sessions) => onChange({ ...query, sessions })} />
      )}
      <OverTime query={query} onChange={onChange} />
    </Rail>
  );
}

function Formulas({ query, onChange }: InsightsRailProps) {
  const { t } = useTranslation();
  const formulas = query.formulas ?? [];
  const [adding, setAdding] = useState(false);
  const setFormulas = (next: string[]) => onChange({ ...query, formulas: orNone(next) });
  const letter = (at: number) => letterOf(query.metrics.length + at);
  // A new formula joins the question once it can be read; until then it is a field of its own.
  const rows = adding ? [...formulas, ''] : formulas;
  const remove = (at: number) => {
    if (at < formulas.length) setFormulas(formulas.filter((_, i) => i !== at));
    else setAdding(false);
  };
  return (
    <>
      {rows.map((formula, at) => (
        <div key={at} className={classes.card}>
          <div className={classes.cardHead}>
            <span className={classes.badge}>{letter(at)}</span>
            <FormulaInput
              formula={formula}
              metrics={query.metrics.length}
              onChange={(typed) => {
                if (at === formulas.length) setAdding(false);
                setFormulas([...formulas.slice(0, at), typed, ...formulas.slice(at + 1)]);
              }}
            />
            <ActionIcon
              variant="subtle"
              color="gray"
              size={24}
              aria-label={t('query.remove_formula', { letter: letter(at) })}
              onClick={() => remove(at)}
            >
              <IconX size={14} />
            </ActionIcon>
          </div>
        </div>
      ))}
      {rows.length < FORMULAS_MAX && !adding && (
        <button type="button" className={classes.add} onClick={() => setAdding(true)}>
          <IconMathFunction size={15} aria-hidden="true" />
          {t('query.add_formula')}
        </button>
      )}
    </>
  );
}

interface FormulaInputProps {
  formula: string;
  metrics: number;
  onChange: (formula: string) => void;
}

/** Speaks when it is left or Enter is pressed, and only what can be read. */
function FormulaInput({ formula, metrics, onChange }: FormulaInputProps) {
  const { t } = useTranslation();
  const [typed, setTyped] = useState(formula);
  const [seen, setSeen] = useState(formula);
  if (formula !== seen) {
    setSeen(formula);
    setTyped(formula);
  }
  const names = Array.from({ length: metrics }, (_, at) => letterOf(at));
  const readable = isFormula(typed, names);
  const commit = () => readable && typed !== formula && onChange(typed.trim());
  return (
    <TextInput
      size="xs"
      flex={1}
      aria-label={t('query.formula')}
      placeholder={t('query.formula_hint')}
      value={typed}
      onChange={(event) => setTyped(event.currentTarget.value)}
      onBlur={commit}
      onKeyDown={(event) => event.key === 'Enter' && commit()}
      error={typed.trim() !== '' && !readable && t('query.formula_unknown')}
    />
  );
}

const ROLLING = 7;
const COMPARISONS = {
  none: undefined,
  previous: { kind: 'previous_period' },
  week: { kind: 'ago', count: 1, unit: 'week' },
  month: { kind: 'ago', count: 1, unit: 'month' },
} as const satisfies Record<string, Compare | undefined>;
type Comparison = keyof typeof COMPARISONS;

function comparisonOf(compare: Compare | null | undefined): Comparison | null {
  if (!compare) return 'none';
  if (compare.kind === 'previous_period') return 'previous';
  return compare.count === 1 && (compare.unit === 'week' || compare.unit === 'month') ? compare.unit : null;
}

function OverTime({ query, onChange }: InsightsRailProps) {
  const { t } = useTranslation();
  const { transform } = query;
  return (
    <Clause name={t('query.over_time')}>
      <div className={classes.cardLine}>
        <Picker
          label={t('query.transform')}
          value={transform?.kind ?? 'none'}
          options={(['none', 'rolling', 'cumulative'] as const).map((value) => ({
            value,
            label: t(`transforms.${value}`),
          }))}
          onChange={(kind) =>
            onChange({
              ...query,
              transform:
                kind === 'rolling'
                  ? { kind, buckets: ROLLING }
                  : kind === 'cumulative'
                    ? { kind }
                    : undefined,
            })
          }
        />
        {transform?.kind === 'rolling' && (
          <CountInput
            label={t('query.rolling')}
            value={transform.buckets}
            min={2}
            max={ROLLING_MAX}
            onChange={(buckets) => onChange({ ...query, transform: { kind: 'rolling', buckets } })}
          />
        )}
      </div>
      <div className={classes.cardLine}>
        <Picker
          label={t('query.compare')}
          value={comparisonOf(query.compare)}
          placeholder={t('query.compare')}
          options={(Object.keys(COMPARISONS) as Comparison[]).map((value) => ({
            value,
            label: t(`compares.${value}`),
          }))}
          onChange={(chosen) => onChange({ ...query, compare: COMPARISONS[chosen as Comparison] })}
        />
      </div>
    </Clause>
  );
}
