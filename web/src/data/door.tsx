// What the sections of the Data page share: a change of the door, and the choice of a class.

import { Select } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { propertiesQuery, quarantineQuery } from '../api/queries';
import type { Class } from '../api/types';
import { useTranslation } from '../i18n';
import { useProject } from '../ui/project';

export const CLASSES: Class[] = ['C1', 'C2', 'C3', 'C4', 'C5'];

export interface DecisionProps {
  name: string;
  onDone: () => void;
}

/** Everything about the door is read again after a change of it. */
export function useChange<Input>(change: (input: Input) => Promise<unknown>, onDone?: () => void) {
  const project = useProject();
  const queryClient = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSuccess: async () => {
      await Promise.all([
        queryClient.invalidateQueries({ queryKey: quarantineQuery(project.id).queryKey }),
        queryClient.invalidateQueries({ queryKey: propertiesQuery(project.id).queryKey }),
      ]);
      onDone?.();
    },
  });
}

interface ClassSelectProps {
  classes?: Class[];
  value: Class;
  onChange: (value: Class) => void;
}

export function ClassSelect({ classes = CLASSES, value, onChange }: ClassSelectProps) {
  const { t } = useTranslation();
  return (
    <Select
      label={t('data.class')}
      data={classes.map((entry) => ({ value: entry, label: t(`classes.${entry}`) }))}
      value={value}
      allowDeselect={false}
      onChange={(chosen) => onChange((chosen as Class | null) ?? value)}
    />
  );
}
