// What a funnel counts and how strictly: clauses below its steps, each with its usual answer already given.

import { ActionIcon } from '@mantine/core';
import { IconPlus, IconX } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { propertiesQuery } from '../api/queries';
import type { Attribution, Count, Exclusion, FunnelQuery, Unit } from '../api/types';
import { useTranslation } from '../i18n';
import { Picker } from '../ui/Picker';
import { useProject } from '../ui/project';
import classes from './Builder.module.css';
import { COUNTS, EXCLUSIONS_MAX, HELD_MAX, REENTRIES, RETENTION_UNITS } from './codec';
import { EventPicker } from './EventPicker';
import { PropertyPicker } from './Filters';
import { Clause, orNone } from './Rail';

interface FunnelOptionsProps {
  query: FunnelQuery;
  onChange: (query: FunnelQuery) => void;
}

export function FunnelCounting({ query, onChange }: FunnelOptionsProps) {
  const { t } = useTranslation();
  return (
    <Clause name={t('query.counting')}>
      <div className={classes.cardLine}>
        <Picker
          label={t('query.counting')}
          value={query.count ?? 'unique'}
          options={COUNTS.map((value) => ({ value, label: t(`counts.${value}`) }))}
          onChange={(count) => onChange({ ...query, count: count as Count })}
        />
      </div>
      <div className={classes.cardLine}>
        <Picker
          label={t('query.reentry')}
          value={query.reentry ?? 'first'}
          options={REENTRIES.map((value) => ({ value, label: t(`reentries.${value}`) }))}
          onChange={(reentry) => onChange({ ...query, reentry: reentry as 'first' | 'optimized' })}
        />
      </div>
      <div className={classes.cardLine}>
        <Picker
          label={t('query.trend')}
          value={query.trend ?? 'none'}
          options={[
            { value: 'none', label: t('trends.none') },
            ...RETENTION_UNITS.map((value) => ({ value, label: t(`trends.${value}`) })),
          ]}
          onChange={(unit) => onChange({ ...query, trend: unit === 'none' ? undefined : (unit as Unit) })}
        />
      </div>
    </Clause>
  );
}

export function FunnelExclusions({ query, onChange }: FunnelOptionsProps) {
  const { t } = useTranslation();
  const exclusions = query.exclusions ?? [];
  const last = query.steps.length;
  const set = (next: Exclusion[]) => onChange({ ...query, exclusions: orNone(next) });
  const change = (at: number, changed: Partial<Exclusion>) =>
    set(exclusions.map((one, i) => (i === at ? { ...one, ...changed } : one)));
  const steps = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, i) => ({
      value: String(from + i),
      label: t('query.step', { number: from + i }),
    }));
  return (
    <Clause name={t('query.not_between')}>
      {exclusions.map((exclusion, at) => (
        <div key={at} className={classes.card}>
          <div className={classes.cardHead}>
            <EventPicker
              label={t('query.excluded')}
              event={exclusion.matching.event}
              onChange={(event) => change(at, { matching: { ...exclusion.matching, event } })}
            />
            <ActionIcon
              variant="subtle"
              color="gray"
              size={24}
              aria-label={t('query.remove_exclusion')}
              onClick={() => set(exclusions.filter((_, i) => i !== at))}
            >
              <IconX size={14} />
            </ActionIcon>
          </div>
          <div className={classes.cardLine}>
            <Picker
              label={t('query.after_step')}
              value={String(exclusion.after_step)}
              options={steps(1, last - 1)}
              onChange={(value) => {
                const after_step = Number(value);
                change(at, { after_step, before_step: Math.max(after_step + 1, exclusion.before_step) });
              }}
            />
            <span className={classes.word}>{t('query.and')}</span>
            <Picker
              label={t('query.before_step')}
              value={String(exclusion.before_step)}
              options={steps(exclusion.after_step + 1, last)}
              onChange={(value) => change(at, { before_step: Number(value) })}
            />
          </div>
        </div>
      ))}
      {exclusions.length < EXCLUSIONS_MAX && (
        <button
          type="button"
          className={classes.add}
          onClick={() => set([...exclusions, { matching: {}, after_step: 1, before_step: last }])}
        >
          <IconPlus size={15} aria-hidden="true" />
          {t('query.add_exclusion')}
        </button>
      )}
    </Clause>
  );
}

export function FunnelHeld({ query, onChange }: FunnelOptionsProps) {
  const { t } = useTranslation();
  const project = useProject();
  const { data: properties = [] } = useQuery(propertiesQuery(project.id));
  const held = query.hold_constant ?? [];
  const set = (next: string[]) => onChange({ ...query, hold_constant: orNone([...new Set(next)]) });
  return (
    <Clause name={t('query.same_value')}>
      {held.map((property) => (
        <div key={property} className={classes.filterHead}>
          <PropertyPicker
            label={t('query.property')}
            properties={properties}
            value={property}
            onChange={(chosen) => set(held.map((one) => (one === property ? chosen : one)))}
          />
          <ActionIcon
            variant="subtle"
            color="gray"
            size={24}
            ml="auto"
            aria-label={t('query.remove_held', { property })}
            onClick={() => set(held.filter((one) => one !== property))}
          >
            <IconX size={14} />
          </ActionIcon>
        </div>
      ))}
      {held.length < HELD_MAX && (
        <PropertyPicker
          label={t('query.add_held')}
          properties={properties}
          value={null}
          onChange={(property) => set([...held, property])}
        />
      )}
    </Clause>
  );
}

/** Matters once something looks at properties of the whole conversion. */
export function FunnelAttribution({ query, onChange }: FunnelOptionsProps) {
  const { t } = useTranslation();
  if (!query.breakdown && !query.filters?.length) return null;
  const value =
    typeof query.attribution === 'object'
      ? String(query.attribution.step.step)
      : (query.attribution ?? 'first');
  const attributionOf = (chosen: string): Attribution =>
    chosen === 'first' || chosen === 'last' ? chosen : { step: { step: Number(chosen) } };
  return (
    <Clause name={t('query.attribution')}>
      <div className={classes.cardLine}>
        <Picker
          label={t('query.attribution')}
          value={value}
          options={[
            { value: 'first', label: t('attributions.first') },
            { value: 'last', label: t('attributions.last') },
            ...query.steps.map((_, at) => ({
              value: String(at + 1),
              label: t('query.step', { number: at + 1 }),
            })),
          ]}
          onChange={(chosen) => onChange({ ...query, attribution: attributionOf(chosen) })}
        />
      </div>
    </Clause>
  );
}
