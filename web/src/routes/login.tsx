// Sign in: with a passkey, which asks for nothing to be typed; or with mail, password and a code, of which the
// last may be a recovery code. Whoever has to leave the old password behind after an incident chooses another here.

import { Alert, Button, Divider, PasswordInput, Stack, TextInput } from '@mantine/core';
import { IconFingerprint } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { createFileRoute, redirect, useRouter } from '@tanstack/react-router';
import { useEffect, useRef, useState } from 'react';
import * as z from 'zod/mini';
import { ApiError } from '../api/client';
import { beginPasskeySignIn, finishPasskeySignIn, sessionQuery, signIn } from '../api/queries';
import type { Session } from '../api/types';
import { hasPasskeys, sign } from '../api/webauthn';
import { useTranslation } from '../i18n';
import { DoorPage } from '../ui/DoorPage';
import { ErrorNote } from '../ui/ErrorNote';
import { NewPassword } from '../ui/NewPassword';
import { usePageTitle } from '../ui/project';

const loginSearch = z.object({
  // Only our own pages: an address elsewhere must not ride on a sign-in.
  next: z.catch(z.optional(z.string().check(z.regex(/^\/(?![/\\])/))), undefined),
});

export const Route = createFileRoute('/login')({
  validateSearch: (raw: Record<string, unknown>): z.output<typeof loginSearch> => loginSearch.parse(raw),
  beforeLoad: async ({ context: { queryClient } }) => {
    const session = await queryClient.fetchQuery({ ...sessionQuery(), staleTime: 0 });
    if (session.state === 'setup_needed') throw redirect({ to: '/setup', replace: true });
    if (session.state === 'signed_in') throw redirect({ to: '/', replace: true });
  },
  component: Login,
});

const isForNewPassword = (error: unknown) =>
  error instanceof ApiError && error.code === 'new_password_needed';

/** With what people type between its groups. */
const RECOVERY_CHARS_MAX = 40;

function Login() {
  const { t } = useTranslation();
  usePageTitle(t('login.title'));
  const { next } = Route.useSearch();
  const router = useRouter();
  const queryClient = useQueryClient();
  const [typing, setTyping] = useState(!hasPasskeys());
  const [recovering, setRecovering] = useState(false);
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  // Nothing as long as none is asked for.
  const [newPassword, setNewPassword] = useState<string | null>(null);
  const choosing = newPassword !== null;
  const newPasswordInput = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (choosing) newPasswordInput.current?.focus();
  }, [choosing]);
  const goOn = (session: Session) => {
    queryClient.setQueryData(sessionQuery().queryKey, session);
    router.history.replace(next ?? '/');
  };
  const withPasskey = useMutation({
    mutationFn: async () => finishPasskeySignIn(await sign(await beginPasskeySignIn())),
    onSuccess: goOn,
  });
  const enter = useMutation({
    mutationFn: () =>
      signIn({
        email: email.trim(),
        password,
        code: code.replaceAll(' ', ''),
        new_password: newPassword,
      }),
    onSuccess: goOn,
    onError: (error) => {
      // A code is spent or wrong; either way the next try needs a new one.
      setCode('');
      if (isForNewPassword(error)) setNewPassword('');
    },
  });

  return (
    <DoorPage title={t('login.title')} lead={typing ? t('login.lead') : t('login.passkey_lead')}>
      <Stack gap="md">
        {hasPasskeys() && (
          <>
            <Button
              size="md"
              variant={typing ? 'default' : 'filled'}
              leftSection={<IconFingerprint size={20} aria-hidden="true" />}
              loading={withPasskey.isPending}
              onClick={() => withPasskey.mutate()}
            >
              {t('login.passkey')}
            </Button>
            <ErrorNote error={withPasskey.error} />
            <Divider label={t('login.or')} />
          </>
        )}
        {!typing && (
          <Button variant="subtle" onClick={() => setTyping(true)}>
            {t('login.with_password')}
          </Button>
        )}
      </Stack>
      {typing && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            enter.mutate();
          }}
        >
          <Stack gap="md">
            <TextInput
              label={t('account.email')}
              type="email"
              autoComplete="username"
              required
              value={email}
              onChange={(event) => {
                setEmail(event.currentTarget.value);
                // It was asked of another account.
                setNewPassword(null);
              }}
            />
            <PasswordInput
              label={t('account.password')}
              autoComplete="current-password"
              required
              value={password}
              onChange={(event) => setPassword(event.currentTarget.value)}
              visibilityToggleButtonProps={{ 'aria-label': t('account.show_password') }}
            />
            {newPassword !== null && (
              <>
                <Alert variant="light">{t('login.new_password_text')}</Alert>
                <NewPassword
                  ref={newPasswordInput}
                  label={t('account.new_password')}
                  value={newPassword}
                  onChange={(event) => setNewPassword(event.currentTarget.value)}
                />
              </>
            )}
            {recovering ? (
              <TextInput
                key="recovery"
                label={t('login.recovery_code')}
                description={t('login.recovery_text')}
                autoComplete="off"
                spellCheck={false}
                maxLength={RECOVERY_CHARS_MAX}
                required
                value={code}
                onChange={(event) => setCode(event.currentTarget.value)}
              />
            ) : (
              <TextInput
                key="code"
                label={t('account.code')}
                description={t('account.code_text')}
                inputMode="numeric"
                autoComplete="one-time-code"
                maxLength={7}
                required
                value={code}
                onChange={(event) => setCode(event.currentTarget.value)}
              />
            )}
            <ErrorNote error={isForNewPassword(enter.error) ? null : enter.error} />
            <Button type="submit" size="md" loading={enter.isPending}>
              {t('login.enter')}
            </Button>
            <Button
              variant="subtle"
              size="compact-sm"
              onClick={() => {
                setRecovering(!recovering);
                setCode('');
              }}
            >
              {recovering ? t('login.use_code') : t('login.use_recovery')}
            </Button>
          </Stack>
        </form>
      )}
    </DoorPage>
  );
}
