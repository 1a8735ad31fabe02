// Splits an answer by the values of one property or several, and says how many combinations to list.

import { ActionIcon } from '@mantine/core';
import { IconX } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { cohortsQuery, propertiesQuery } from '../api/queries';
import type { Breakdown, BreakdownBy, Holder } from '../api/types';
import { useTranslation } from '../i18n';
import { Picker } from '../ui/Picker';
import { useProject } from '../ui/project';
import classes from './Builder.module.css';
import { BREAKDOWN_LIMIT, BREAKDOWNS_MAX } from './codec';
import { PropertyPicker } from './Filters';

const LIMITS = [5, 10, 25, 50];

interface BreakdownPickerProps {
  breakdown: Breakdown | null | undefined;
  onChange: (breakdown: Breakdown | undefined) => void;
}

const byOf = (property: string, on: Holder | undefined): BreakdownBy =>
  on ? { on, property } : { property };

export function BreakdownPicker({ breakdown, onChange }: BreakdownPickerProps) {
  const { t } = useTranslation();
  const project = useProject();
  const { data: properties = [] } = useQuery(propertiesQuery(project.id));
  const { data: cohorts = [] } = useQuery(cohortsQuery(project.id));
  const limit = breakdown?.limit ?? BREAKDOWN_LIMIT;
  const by = breakdown?.by ?? [];
  const setBy = (next: BreakdownBy[]) =>
    onChange(next.length > 0 ? { ...breakdown, by: next, limit } : undefined);
  return (
    <>
      {by.map((one, at) => (
        <div key={at} className={classes.filterHead}>
          <PropertyPicker
            label={t('query.property')}
            properties={properties}
            cohorts={cohorts}
            value={one.property}
            on={one.on}
            onChange={(property, on) => setBy(by.map((other, i) => (i === at ? byOf(property, on) : other)))}
          />
          <ActionIcon
            variant="subtle"
            color="gray"
            size={24}
            ml="auto"
            aria-label={t('query.remove_breakdown', { property: one.property })}
            onClick={() => setBy(by.filter((_, i) => i !== at))}
          >
            <IconX size={14} />
          </ActionIcon>
        </div>
      ))}
      {by.length < BREAKDOWNS_MAX && (
        <PropertyPicker
          label={t('query.add_breakdown')}
          properties={properties}
          cohorts={cohorts}
          value={null}
          onChange={(property, on) => setBy([...by, byOf(property, on)])}
        />
      )}
      {breakdown && (
        <div className={classes.cardLine}>
          <Picker
            label={t('query.limit')}
            value={String(limit)}
            options={[...new Set([...LIMITS, limit])].map((count) => ({
              value: String(count),
              label: t('query.top', { number: count }),
            }))}
            onChange={(count) => onChange({ ...breakdown, limit: Number(count) })}
          />
        </div>
      )}
    </>
  );
}
