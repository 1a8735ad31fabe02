// Showing a factor again before something that cannot be undone or that shows personal values. The form says
// what is about to happen and that it is recorded; a refusal stays where it was pressed.

import { Button, Group, PasswordInput, Stack, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import type { StepUpProof } from '../api/queries';
import { useTranslation } from '../i18n';
import { ErrorNote } from './ErrorNote';
import classes from './Page.module.css';

interface StepUpProps<T> {
  /** What is about to happen, and what else it needs to know. */
  children: ReactNode;
  /** What the button says. */
  label: string;
  color?: string;
  /** Whether everything else is filled in. */
  ready?: boolean;
  act: (proof: StepUpProof) => Promise<T>;
  onDone: (made: T) => void;
  onCancel: () => void;
}

export function StepUp<T>({ children, label, color, ready = true, act, onDone, onCancel }: StepUpProps<T>) {
  const { t } = useTranslation();
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const acting = useMutation({
    mutationFn: () => act({ password, code: code.replaceAll(' ', '') }),
    onSuccess: onDone,
    // A code serves once, also a wrong one.
    onError: () => setCode(''),
  });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (ready) acting.mutate();
      }}
    >
      <Stack gap="md">
        {children}
        <p className={classes.lead}>{t('step_up.text')}</p>
        <PasswordInput
          label={t('account.password')}
          autoComplete="current-password"
          required
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
          visibilityToggleButtonProps={{ 'aria-label': t('account.show_password') }}
        />
        <TextInput
          label={t('account.code')}
          inputMode="numeric"
          autoComplete="one-time-code"
          maxLength={7}
          required
          value={code}
          onChange={(event) => setCode(event.currentTarget.value)}
        />
        <ErrorNote error={acting.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onCancel}>
            {t('shell.cancel')}
          </Button>
          <Button type="submit" color={color} disabled={!ready} loading={acting.isPending}>
            {label}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
