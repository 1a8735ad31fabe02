// "From Sign up to Purchase, within 7 days": the steps of a funnel in order, with buttons as well as
// numbers, since order is what a funnel is about.

import { ActionIcon } from '@mantine/core';
import { IconArrowDown, IconArrowUp, IconPlus, IconX } from '@tabler/icons-react';
import type { FunnelMatch, FunnelQuery } from '../api/types';
import { useTranslation } from '../i18n';
import { Picker } from '../ui/Picker';
import classes from './Builder.module.css';
import { STEPS_MAX, STEPS_MIN } from './codec';
import { EventPicker } from './EventPicker';
import { Filters } from './Filters';
import { FunnelAttribution, FunnelCounting, FunnelExclusions, FunnelHeld } from './FunnelOptions';
import { ByClause, Clause, orNone, Rail, WhereClause } from './Rail';
import { countsSessions, SessionClause } from './SessionClause';
import { WindowPicker } from './WindowPicker';

interface FunnelRailProps {
  query: FunnelQuery;
  onChange: (query: FunnelQuery) => void;
}

export function FunnelRail({ query, onChange }: FunnelRailProps) {
  const { t } = useTranslation();
  const setSteps = (steps: FunnelMatch[]) => onChange(withSteps(query, steps));
  const setStep = (at: number, step: FunnelMatch) =>
    setSteps(query.steps.map((one, i) => (i === at ? step : one)));
  const move = (at: number, to: number) => {
    const steps = [...query.steps];
    steps.splice(to, 0, ...steps.splice(at, 1));
    setSteps(steps);
  };

  return (
    <Rail>
      <Clause name={t('query.steps')}>
        {query.steps.map((step, at) => (
          <div key={at} className={classes.card}>
            <div className={classes.cardHead}>
              <span className={classes.badge}>{at + 1}</span>
              <EventPicker
                label={t('query.step', { number: at + 1 })}
                event={step.event}
                onChange={(event) => setStep(at, { ...step, event })}
              />
            </div>
            <div className={classes.cardLine}>
              <Picker
                label={t('query.order', { number: at + 1 })}
                value={step.any_order ? 'any' : 'then'}
                options={(['then', 'any'] as const).map((value) => ({ value, label: t(`orders.${value}`) }))}
                onChange={(order) => setStep(at, { ...step, any_order: order === 'any' })}
              />
            </div>
            <div className={classes.cardLine}>
              <Filters
                filters={step.filters}
                onChange={(filters) => setStep(at, { ...step, filters: orNone(filters) })}
              />
              <div className={classes.moves}>
                <ActionIcon
                  variant="subtle"
                  color="gray"
                  size={24}
                  disabled={at === 0}
                  aria-label={t('query.step_up', { number: at + 1 })}
                  onClick={() => move(at, at - 1)}
                >
                  <IconArrowUp size={14} />
                </ActionIcon>
                <ActionIcon
                  variant="subtle"
                  color="gray"
                  size={24}
                  disabled={at === query.steps.length - 1}
                  aria-label={t('query.step_down', { number: at + 1 })}
                  onClick={() => move(at, at + 1)}
                >
                  <IconArrowDown size={14} />
                </ActionIcon>
                {query.steps.length > STEPS_MIN && (
                  <ActionIcon
                    variant="subtle"
                    color="gray"
                    size={24}
                    aria-label={t('query.remove_step', { number: at + 1 })}
                    onClick={() => setSteps(query.steps.filter((_, i) => i !== at))}
                  >
                    <IconX size={14} />
                  </ActionIcon>
                )}
              </div>
            </div>
          </div>
        ))}
        {query.steps.length < STEPS_MAX && (
          <button type="button" className={classes.add} onClick={() => setSteps([...query.steps, {}])}>
            <IconPlus size={15} aria-hidden="true" />
            {t('query.add_step')}
          </button>
        )}
      </Clause>
      <Clause name={t('query.within')}>
        <WindowPicker
          label={t('query.window')}
          window={query.window}
          words={t('query.of_first_step')}
          onChange={(window) => onChange({ ...query, window })}
        />
      </Clause>
      <FunnelCounting query={query} onChange={onChange} />
      {countsSessions(query) && (
        <SessionClause rule={query.sessions} onChange={(sessions) => onChange({ ...query, sessions })} />
      )}
      <FunnelExclusions query={query} onChange={onChange} />
      <FunnelHeld query={query} onChange={onChange} />
      <WhereClause
        filters={query.filters}
        onChange={(filters) => onChange({ ...query, filters: orNone(filters) })}
      />
      <ByClause breakdown={query.breakdown} onChange={(breakdown) => onChange({ ...query, breakdown })} />
      <FunnelAttribution query={query} onChange={onChange} />
    </Rail>
  );
}

/** What names a step by its number may not name one that is gone. */
function withSteps(query: FunnelQuery, steps: FunnelMatch[]): FunnelQuery {
  const { attribution } = query;
  const gone = typeof attribution === 'object' && attribution.step.step > steps.length;
  return {
    ...query,
    steps,
    ...(gone ? { attribution: 'last' } : {}),
    exclusions: query.exclusions?.map((one) => {
      const before_step = Math.min(one.before_step, steps.length);
      return { ...one, before_step, after_step: Math.min(one.after_step, before_step - 1) };
    }),
  };
}
