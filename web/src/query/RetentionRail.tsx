// "Those who first did … and came back to do …, week by week": the question of a Retention report.

import { TextInput } from '@mantine/core';
import { useState } from 'react';
import type {
  Alignment,
  EventMatch,
  RetentionGroups,
  RetentionMode,
  RetentionQuery,
  Unit,
} from '../api/types';
import { useTranslation } from '../i18n';
import { Picker } from '../ui/Picker';
import classes from './Builder.module.css';
import { CountInput } from './CountInput';
import { INTERVALS_MAX, RETENTION_MODES, RETENTION_UNITS } from './codec';
import { EventPicker } from './EventPicker';
import { Filters } from './Filters';
import { ByClause, Clause, orNone, Rail, WhereClause } from './Rail';

interface RetentionRailProps {
  query: RetentionQuery;
  onChange: (query: RetentionQuery) => void;
}

const GROUPS: RetentionGroups[] = ['first_time', 'each_interval'];
const ALIGNMENTS: Alignment[] = ['calendar', 'rolling'];

export function RetentionRail({ query, onChange }: RetentionRailProps) {
  const { t } = useTranslation();
  const match = (key: 'born' | 'returned', label: string) => {
    const matching: EventMatch = query[key];
    return (
      <div className={classes.card}>
        <EventPicker
          label={label}
          event={matching.event}
          onChange={(event) => onChange({ ...query, [key]: { ...matching, event } })}
        />
        <Filters
          filters={matching.filters}
          onChange={(filters) => onChange({ ...query, [key]: { ...matching, filters: orNone(filters) } })}
        />
      </div>
    );
  };
  return (
    <Rail>
      <Clause name={t('query.born')}>
        {match('born', t('query.born'))}
        <div className={classes.cardLine}>
          <Picker
            label={t('query.cohorts')}
            value={query.cohorts ?? 'first_time'}
            options={GROUPS.map((rule) => ({ value: rule, label: t(`cohorts.${rule}`) }))}
            onChange={(cohorts) => onChange({ ...query, cohorts: cohorts as RetentionGroups })}
          />
        </div>
      </Clause>
      <Clause name={t('query.returned')}>{match('returned', t('query.returned'))}</Clause>
      <Clause name={t('query.each')}>
        <div className={classes.cardLine}>
          <Picker
            label={t('query.interval')}
            value={query.unit}
            options={RETENTION_UNITS.map((unit) => ({ value: unit, label: t(`units.${unit}`) }))}
            onChange={(unit) => onChange({ ...query, unit: unit as Unit })}
          />
          <span className={classes.word}>{t('query.for')}</span>
          <CountInput
            label={t('query.intervals')}
            value={query.intervals}
            max={INTERVALS_MAX}
            onChange={(intervals) => onChange({ ...query, intervals, brackets: undefined })}
          />
        </div>
        <BracketsInput query={query} onChange={onChange} />
        <div className={classes.cardLine}>
          <span className={classes.word}>{t('query.counted')}</span>
          <Picker
            label={t('query.mode')}
            value={query.mode}
            options={RETENTION_MODES.map((mode) => ({ value: mode, label: t(`modes.${mode}`) }))}
            onChange={(mode) => onChange({ ...query, mode: mode as RetentionMode })}
          />
        </div>
        <div className={classes.cardLine}>
          <span className={classes.word}>{t('query.cut_by')}</span>
          <Picker
            label={t('query.alignment')}
            value={query.alignment}
            options={ALIGNMENTS.map((one) => ({ value: one, label: t(`alignments.${one}`) }))}
            onChange={(alignment) => onChange({ ...query, alignment: alignment as Alignment })}
          />
        </div>
      </Clause>
      <WhereClause
        filters={query.filters}
        onChange={(filters) => onChange({ ...query, filters: orNone(filters) })}
      />
      <ByClause breakdown={query.breakdown} onChange={(breakdown) => onChange({ ...query, breakdown })} />
    </Rail>
  );
}

const LENGTHS = /^\s*[1-9]\d{0,2}(\s*,\s*[1-9]\d{0,2})*\s*$/;

/** Speaks when it is left or Enter is pressed; empty means that all intervals are one unit long. */
function BracketsInput({ query, onChange }: RetentionRailProps) {
  const { t } = useTranslation();
  const given = query.brackets?.join(', ') ?? '';
  const [typed, setTyped] = useState(given);
  const [seen, setSeen] = useState(given);
  if (given !== seen) {
    setSeen(given);
    setTyped(given);
  }
  const lengths = typed.split(',').map(Number);
  const readable = typed.trim() === '' || (LENGTHS.test(typed) && lengths.length <= INTERVALS_MAX);
  const commit = () => {
    if (!readable || typed === given) return;
    if (typed.trim() === '') onChange({ ...query, brackets: undefined });
    else onChange({ ...query, brackets: lengths, intervals: lengths.length });
  };
  return (
    <TextInput
      size="xs"
      aria-label={t('query.brackets')}
      placeholder={t('query.brackets_hint')}
      value={typed}
      onChange={(event) => setTyped(event.currentTarget.value)}
      onBlur={commit}
      onKeyDown={(event) => event.key === 'Enter' && commit()}
      error={!readable && t('query.brackets_unknown')}
    />
  );
}
