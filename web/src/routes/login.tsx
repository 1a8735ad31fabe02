// Sign in: mail, password and the code of the authenticator, in one form.

import { Button, PasswordInput, Stack, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { createFileRoute, redirect, useRouter } from '@tanstack/react-router';
import { useState } from 'react';
import * as z from 'zod/mini';
import { sessionQuery, signIn } from '../api/queries';
import { useTranslation } from '../i18n';
import { DoorPage } from '../ui/DoorPage';
import { ErrorNote } from '../ui/ErrorNote';
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

function Login() {
  const { t } = useTranslation();
  usePageTitle(t('login.title'));
  const { next } = Route.useSearch();
  const router = useRouter();
  const queryClient = useQueryClient();
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const enter = useMutation({
    mutationFn: () => signIn({ email: email.trim(), password, code: code.replaceAll(' ', '') }),
    onSuccess: (session) => {
      queryClient.setQueryData(sessionQuery().queryKey, session);
      router.history.replace(next ?? '/');
    },
    // A code is spent or wrong; either way the next try needs a new one.
    onError: () => setCode(''),
  });

  return (
    <DoorPage title={t('login.title')} lead={t('login.lead')}>
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
            onChange={(event) => setEmail(event.currentTarget.value)}
          />
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
            description={t('account.code_text')}
            inputMode="numeric"
            autoComplete="one-time-code"
            maxLength={7}
            required
            value={code}
            onChange={(event) => setCode(event.currentTarget.value)}
          />
          <ErrorNote error={enter.error} />
          <Button type="submit" size="md" loading={enter.isPending}>
            {t('login.enter')}
          </Button>
        </Stack>
      </form>
    </DoorPage>
  );
}
