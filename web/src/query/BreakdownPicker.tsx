// Splits an answer by the values of one property, and says how many of them to list.

import { ActionIcon } from '@mantine/core';
import { IconX } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { propertiesQuery } from '../api/queries';
import type { Breakdown } from '../api/types';
import { useTranslation } from '../i18n';
import { Picker } from '../ui/Picker';
import { useProject } from '../ui/project';
import classes from './Builder.module.css';
import { BREAKDOWN_LIMIT } from './codec';
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
  if (!breakdown) {
    return (
      <PropertyPicker
        label={t('query.add_breakdown')}
        properties={properties}
        value={null}
        onChange={(property) => onChange({ property, limit: BREAKDOWN_LIMIT })}
      />
    );
  }
  return (
    <div className={classes.filterHead}>
      <PropertyPicker
        label={t('query.property')}
        properties={properties}
        value={breakdown.property}
        onChange={(property) => onChange({ property, limit })}
      />
      <Picker
        label={t('query.limit')}
        value={String(limit)}
        options={[...new Set([...LIMITS, limit])].map((count) => ({
          value: String(count),
          label: t('query.top', { number: count }),
        }))}
        onChange={(count) => onChange({ ...breakdown, limit: Number(count) })}
      />
      <ActionIcon
        variant="subtle"
        color="gray"
        size={24}
        ml="auto"
        aria-label={t('query.remove_breakdown')}
        onClick={() => onChange(undefined)}
      >
        <IconX size={14} />
      </ActionIcon>
    </div>
  );
}
