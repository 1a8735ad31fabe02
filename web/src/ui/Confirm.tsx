// What is about to happen, and the button that does it. A refusal stays where it was pressed.

import { Button, Group, Stack } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useTranslation } from '../i18n';
import { ErrorNote } from './ErrorNote';

interface ConfirmProps<T> {
  /** What is about to happen, and what else it needs to know. */
  children?: ReactNode;
  /** What the button says. */
  label: string;
  color?: string;
  /** Whether everything else is filled in. */
  ready?: boolean;
  act: () => Promise<T>;
  onDone: (made: T) => void;
  /** Without it there is nothing to cancel: the form stands on a page. */
  onCancel?: () => void;
}

export function Confirm<T>({ children, label, color, ready = true, act, onDone, onCancel }: ConfirmProps<T>) {
  const { t } = useTranslation();
  // What comes may be in clear: nothing keeps it once this is gone.
  const acting = useMutation({ mutationFn: act, onSuccess: onDone, gcTime: 0 });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (ready) acting.mutate();
      }}
    >
      <Stack gap="md">
        {children}
        <ErrorNote error={acting.error} />
        <Group justify="flex-end">
          {onCancel && (
            <Button variant="default" onClick={onCancel}>
              {t('shell.cancel')}
            </Button>
          )}
          <Button type="submit" color={color} disabled={!ready} loading={acting.isPending}>
            {label}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
