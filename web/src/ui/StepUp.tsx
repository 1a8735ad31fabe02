// Showing a factor again before something that cannot be undone, opens personal values or decides for
// others. The form says what is about to happen and that it is recorded; a refusal stays where it was
// pressed.
//
// The act is tried first. Where it takes a factor the server answers with a challenge for exactly that
// request: a passkey signs it, or, for whoever has none yet, password and code are asked for here.

import { Anchor, Button, Group, PasswordInput, Stack, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { ApiError } from '../api/client';
import { PasskeyNotShown, signChallenge } from '../api/passkey';
import type { StepUpProof } from '../api/types';
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
  /** Called without a proof first. */
  act: (proof?: StepUpProof) => Promise<T>;
  onDone: (made: T) => void;
  /** Without it there is nothing to cancel: the form stands on a page. */
  onCancel?: () => void;
}

/** What the form asks for. */
type Asks = 'nothing' | 'password' | 'recovery';

export function StepUp<T>({ children, label, color, ready = true, act, onDone, onCancel }: StepUpProps<T>) {
  const { t } = useTranslation();
  const [asks, setAsks] = useState<Asks>('nothing');
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');

  const acting = useMutation({
    mutationFn: async (): Promise<{ made: T } | null> => {
      if (asks !== 'nothing')
        return { made: await act({ kind: 'password_and_code', password, code: code.replaceAll(' ', '') }) };
      try {
        return { made: await act() };
      } catch (error) {
        const challenge = error instanceof ApiError ? error.stepUp : undefined;
        if (!challenge) throw error;
        if (challenge.credentials.length > 0) return { made: await act(await signChallenge(challenge)) };
        setAsks('password');
        return null;
      }
    },
    onSuccess: (done) => {
      if (!done) return;
      setAsks('nothing');
      setPassword('');
      setCode('');
      onDone(done.made);
    },
    // A code serves once, also a wrong one.
    onError: () => setCode(''),
  });
  const notShown = acting.error instanceof PasskeyNotShown;

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
        {asks !== 'nothing' && (
          <>
            <p className={classes.lead} role="status">
              {t(asks === 'password' ? 'step_up.no_passkey' : 'step_up.recovery_text')}
            </p>
            <PasswordInput
              label={t('account.password')}
              autoComplete="current-password"
              data-autofocus
              required
              value={password}
              onChange={(event) => setPassword(event.currentTarget.value)}
              visibilityToggleButtonProps={{ 'aria-label': t('account.show_password') }}
            />
            <TextInput
              label={t(asks === 'password' ? 'account.code' : 'step_up.recovery_code')}
              inputMode={asks === 'password' ? 'numeric' : 'text'}
              autoComplete={asks === 'password' ? 'one-time-code' : 'off'}
              maxLength={asks === 'password' ? 7 : 64}
              required
              value={code}
              onChange={(event) => setCode(event.currentTarget.value)}
            />
          </>
        )}
        {notShown ? (
          <p role="alert" className={classes.refusal}>
            {t('step_up.not_shown')}{' '}
            <Anchor component="button" type="button" inherit onClick={() => setAsks('recovery')}>
              {t('step_up.lost')}
            </Anchor>
          </p>
        ) : (
          <ErrorNote error={acting.error} />
        )}
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
