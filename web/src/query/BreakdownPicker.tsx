// Splits an answer by the values of one property or several, and says how many combinations to list.

import { ActionIcon } from '@mantine/core';
import { IconX } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { propertiesQuery } from '../api/queries';
import type { Breakdown, BreakdownBy } from '../api/types';
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

export function BreakdownPicker({ breakdown, onChange }: BreakdownPickerProps) {
  const { t } = useTranslation();
  const project = useProject();
  const { data: properties = [] } = useQuery(propertiesQuery(project.id));
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
            value={one.property}
            onChange={(property) => setBy(by.map((other, i) => (i === at ? { property } : other)))}
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
          value={null}
          onChange={(property) => setBy([...by, { property }])}
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
