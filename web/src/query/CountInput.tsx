// A small whole number within a sentence. It speaks once the typist pauses or leaves the field.
import { TextInput } from '@mantine/core';
import { useEffect, useState } from 'react';

const REST_MS = 400;

interface CountInputProps {
  label: string;
  value: number;
  min?: number;
  max: number;
  onChange: (value: number) => void;
}

export function CountInput({ label, value, min = 1, max, onChange }: CountInputProps) {
  const [typed, setTyped] = useState(String(value));
  const [seen, setSeen] = useState(value);
  if (value !== seen) {
    setSeen(value);
    setTyped(String(value));
  }
  const number = Number(typed);
  const valid = typed.trim() !== '' && Number.isInteger(number) && number >= min && number <= max;
  useEffect(() => {
    if (!valid || number === value) return;
    const timer = window.setTimeout(() => onChange(number), REST_MS);
    return () => window.clearTimeout(timer);
  }, [valid, number, value, onChange]);
  return (
    <TextInput
      type="number"
      size="xs"
      w="4.5rem"
      aria-label={label}
      value={typed}
      onChange={(event) => setTyped(event.currentTarget.value)}
      onBlur={() => (valid ? number !== value && onChange(number) : setTyped(String(value)))}
      min={min}
      max={max}
      step={1}
      error={!valid}
    />
  );
}
