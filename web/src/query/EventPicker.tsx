// Chooses one event by name, or any; the most frequent come first.

import { IconBolt } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { eventNamesQuery } from '../api/queries';
import { useTranslation } from '../i18n';
import { Picker } from '../ui/Picker';
import { useProject, useProjectFormat } from '../ui/project';

interface EventPickerProps {
  label: string;
  event: string | null | undefined;
  onChange: (event: string | undefined) => void;
}

// Event names share the list with "any event"; the prefix keeps an event called `any` apart from it.
const ANY = 'any';
const NAMED = 'event ';

export function EventPicker({ label, event, onChange }: EventPickerProps) {
  const { t } = useTranslation();
  const project = useProject();
  const format = useProjectFormat();
  const { data: events = [] } = useQuery(eventNamesQuery(project.id));
  const listed = events.map(({ name, count }) => ({
    value: NAMED + name,
    label: name,
    note: format.compact(count),
  }));
  // A saved question may name an event that no longer arrives; it must still read right.
  const known = event === undefined || event === null || events.some(({ name }) => name === event);
  const missing = known ? [] : [{ value: NAMED + event, label: String(event) }];
  return (
    <Picker
      variant="wide"
      label={label}
      icon={<IconBolt size={15} aria-hidden="true" style={{ flex: 'none', color: 'var(--accent)' }} />}
      value={event === undefined || event === null ? ANY : NAMED + event}
      options={[{ value: ANY, label: t('query.any_event') }, ...missing, ...listed]}
      onChange={(value) => onChange(value === ANY ? undefined : value.slice(NAMED.length))}
    />
  );
}
