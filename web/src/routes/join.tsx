// Joining by an invitation: the code of the link, then a second factor, and one is in. The code stands in the
// address's fragment, which is taken out at once, so that no history keeps it.

import { Button, Stack, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { createFileRoute, useNavigate } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { type JoinRequest, join, openInvitation, sessionQuery } from '../api/queries';
import type { TotpSecret } from '../api/types';
import { useTranslation } from '../i18n';
import { DoorPage } from '../ui/DoorPage';
import { ErrorNote } from '../ui/ErrorNote';
import { NewPassword } from '../ui/NewPassword';
import { passwordStrength } from '../ui/password';
import { usePageTitle } from '../ui/project';
import { TotpEnrolment } from '../ui/TotpEnrolment';

export const Route = createFileRoute('/join')({ component: Join });

function Join() {
  const { t } = useTranslation();
  usePageTitle(t('join.title'));
  const navigate = useNavigate();
  const queryClient = useQueryClient();
  const [secret, setSecret] = useState<TotpSecret | null>(null);
  const [form, setForm] = useState<JoinRequest>({
    code: new URLSearchParams(window.location.hash.slice(1)).get('code') ?? '',
    name: '',
    email: '',
    password: '',
    totp_code: '',
  });
  useEffect(() => {
    if (window.location.hash !== '') window.history.replaceState(null, '', window.location.pathname);
  }, []);
  const field = (name: keyof JoinRequest) => ({
    value: form[name],
    onChange: (event: React.ChangeEvent<HTMLInputElement>) => {
      const { value } = event.currentTarget;
      setForm((before) => ({ ...before, [name]: value }));
    },
    required: true,
    maxLength: 100,
  });
  const opening = useMutation({
    mutationFn: () => openInvitation({ code: form.code.trim(), email: form.email.trim() }),
    onSuccess: setSecret,
  });
  const joining = useMutation({
    mutationFn: () =>
      join({
        ...form,
        code: form.code.trim(),
        email: form.email.trim(),
        totp_code: form.totp_code.replaceAll(' ', ''),
      }),
    onSuccess: async (session) => {
      queryClient.clear();
      queryClient.setQueryData(sessionQuery().queryKey, session);
      await navigate({ to: '/', replace: true });
    },
  });
  const strength = passwordStrength(form.password);

  return (
    <DoorPage title={t('join.title')} lead={secret ? t('setup.second_factor_lead') : t('join.lead')}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (secret) joining.mutate();
          else if (strength.enough) opening.mutate();
        }}
      >
        {secret ? (
          <Stack gap="md">
            <TotpEnrolment secret={secret} />
            <TextInput
              label={t('account.code')}
              description={t('account.code_text')}
              inputMode="numeric"
              autoComplete="one-time-code"
              {...field('totp_code')}
              maxLength={7}
            />
            <ErrorNote error={joining.error} />
            <Button type="submit" size="md" loading={joining.isPending}>
              {t('join.join')}
            </Button>
            <Button variant="subtle" color="gray" onClick={() => setSecret(null)}>
              {t('setup.back')}
            </Button>
          </Stack>
        ) : (
          <Stack gap="md">
            <TextInput
              label={t('join.code')}
              description={t('join.code_text')}
              autoComplete="off"
              spellCheck={false}
              {...field('code')}
            />
            <TextInput label={t('account.name')} autoComplete="name" {...field('name')} />
            <TextInput label={t('account.email')} type="email" autoComplete="username" {...field('email')} />
            <NewPassword label={t('account.password')} {...field('password')} />
            <ErrorNote error={opening.error ?? joining.error} />
            <Button type="submit" size="md" loading={opening.isPending}>
              {t('setup.next')}
            </Button>
          </Stack>
        )}
      </form>
    </DoorPage>
  );
}
