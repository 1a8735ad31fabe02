// A day and a time in the project's zone, which the field names.

import { TextInput } from '@mantine/core';
import { useState } from 'react';
import { useTranslation } from '../i18n';
import { instantOf, wallOf } from './instant';
import { useProject } from './project';

interface InstantInputProps {
  label: string;
  /** RFC 3339. */
  value: string | undefined;
  onChange: (value: string | undefined) => void;
  required?: boolean;
}

export function InstantInput({ label, value, onChange, required }: InstantInputProps) {
  const { t } = useTranslation();
  const zone = useProject().time_zone;
  // What is being typed may be no time yet: the field keeps it all the same.
  const [typed, setTyped] = useState<string | null>(null);
  return (
    <TextInput
      type="datetime-local"
      label={label}
      description={t('instant.zone', { zone })}
      inputWrapperOrder={['label', 'input', 'description']}
      required={required}
      value={typed ?? (value ? wallOf(value, zone) : '')}
      onChange={(event) => {
        const wall = event.currentTarget.value;
        setTyped(wall);
        onChange(wall ? instantOf(wall, zone) : undefined);
      }}
      onBlur={() => setTyped(null)}
    />
  );
}
