// First run: prove that one may read the server's terminal, make the owner's account with a second factor,
// and the first project; then offer a passkey. Until the account is made, each step can be gone back to
// without typing again.

import { Button, Group, Stack, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { createFileRoute, redirect, useNavigate } from '@tanstack/react-router';
import { type ReactNode, useState } from 'react';
import * as z from 'zod/mini';
import { AddPasskey } from '../access/Passkeys';
import { ApiError } from '../api/client';
import { type SetupRequest, sessionQuery, setUp, startTotp } from '../api/queries';
import type { TotpSecret } from '../api/types';
import { hasPasskeys } from '../api/webauthn';
import { useTranslation } from '../i18n';
import { DoorPage } from '../ui/DoorPage';
import { ErrorNote } from '../ui/ErrorNote';
import { NewPassword } from '../ui/NewPassword';
import { passwordStrength } from '../ui/password';
import { usePageTitle } from '../ui/project';
import classes from '../ui/Setup.module.css';
import { browserTimeZone, TimeZoneSelect } from '../ui/TimeZoneSelect';
import { TotpEnrolment } from '../ui/TotpEnrolment';

const setupSearch = z.object({ code: z.catch(z.optional(z.string()), undefined) });

export const Route = createFileRoute('/setup')({
  validateSearch: (raw: Record<string, unknown>): z.output<typeof setupSearch> => setupSearch.parse(raw),
  beforeLoad: async ({ context: { queryClient } }) => {
    const session = await queryClient.fetchQuery({ ...sessionQuery(), staleTime: 0 });
    if (session.state !== 'setup_needed') throw redirect({ to: '/', replace: true });
  },
  component: Setup,
});

const STEPS = ['account', 'second_factor', 'project', 'passkey'] as const;
type Step = (typeof STEPS)[number];

/** Which step holds the field that a refusal is about. */
const STEP_OF_ERROR: Record<string, Step> = {
  wrong_setup_code: 'account',
  weak_password: 'account',
  wrong_totp: 'second_factor',
  totp_not_started: 'account',
  invalid_time_zone: 'project',
};

function Setup() {
  const { t } = useTranslation();
  usePageTitle(t('setup.title'));
  const { code: codeInSearch } = Route.useSearch();
  const codeInHash = new URLSearchParams(window.location.hash.slice(1)).get('code');
  const navigate = useNavigate();
  const queryClient = useQueryClient();
  const [step, setStep] = useState<Step>('account');
  const [secret, setSecret] = useState<TotpSecret | null>(null);
  const [secretFor, setSecretFor] = useState('');
  const [form, setForm] = useState<SetupRequest>({
    setup_code: codeInSearch ?? codeInHash ?? '',
    organisation: '',
    name: '',
    email: '',
    password: '',
    totp_code: '',
    project: '',
    time_zone: browserTimeZone(),
  });
  const field = (name: keyof SetupRequest) => ({
    value: form[name],
    onChange: (event: React.ChangeEvent<HTMLInputElement>) => {
      const { value } = event.currentTarget;
      setForm((before) => ({ ...before, [name]: value }));
    },
    required: true,
    maxLength: 100,
  });

  const totp = useMutation({
    mutationFn: () => startTotp({ setup_code: form.setup_code.trim(), email: form.email.trim() }),
    onSuccess: (made) => {
      setSecret(made);
      setSecretFor(form.email.trim());
      setStep('second_factor');
    },
  });
  const finish = useMutation({
    mutationFn: () =>
      setUp({
        ...form,
        setup_code: form.setup_code.trim(),
        email: form.email.trim(),
        totp_code: form.totp_code.replaceAll(' ', ''),
      }),
    onSuccess: async (session) => {
      queryClient.clear();
      queryClient.setQueryData(sessionQuery().queryKey, session);
      setForm((before) => ({ ...before, password: '', totp_code: '' }));
      if (hasPasskeys()) setStep('passkey');
      else await navigate({ to: '/', replace: true });
    },
    onError: (error) => {
      const back = error instanceof ApiError ? STEP_OF_ERROR[error.code] : undefined;
      if (back) setStep(back);
      if (error instanceof ApiError && error.code === 'totp_not_started') setSecret(null);
    },
  });

  // A secret that was scanned already stays good; a new one would ask for a second scan.
  const toSecondFactor = () =>
    secret && secretFor === form.email.trim() ? setStep('second_factor') : totp.mutate();
  const strength = passwordStrength(form.password);
  const next = {
    account: toSecondFactor,
    second_factor: () => setStep('project'),
    project: finish.mutate,
    passkey: () => undefined,
  };

  return (
    <DoorPage title={t('setup.title')} lead={t(`setup.${step}_lead`)}>
      <ol className={classes.steps} aria-label={t('setup.steps')}>
        {STEPS.map((one, at) => (
          <li key={one} aria-current={one === step ? 'step' : undefined}>
            <span className={classes.number}>{at + 1}</span>
            {t(`setup.${one}`)}
          </li>
        ))}
      </ol>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (step === 'account' && !strength.enough) return;
          next[step]();
        }}
      >
        {step === 'account' && (
          <Stack gap="md">
            <TextInput
              label={t('setup.code')}
              description={t('setup.code_text')}
              autoComplete="off"
              spellCheck={false}
              {...field('setup_code')}
            />
            <TextInput
              label={t('setup.organisation')}
              autoComplete="organization"
              {...field('organisation')}
            />
            <TextInput label={t('account.name')} autoComplete="name" {...field('name')} />
            <TextInput label={t('account.email')} type="email" autoComplete="username" {...field('email')} />
            <NewPassword label={t('account.password')} {...field('password')} />
            <ErrorNote error={totp.error ?? finish.error} />
            <Button type="submit" size="md" loading={totp.isPending}>
              {t('setup.next')}
            </Button>
          </Stack>
        )}
        {step === 'second_factor' && secret && (
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
            <ErrorNote error={finish.error} />
            <Ways onBack={() => setStep('account')}>{t('setup.next')}</Ways>
          </Stack>
        )}
        {step === 'project' && (
          <Stack gap="md">
            <TextInput
              label={t('project.name')}
              description={t('setup.project_text')}
              {...field('project')}
            />
            <TimeZoneSelect
              value={form.time_zone}
              onChange={(time_zone) => setForm((before) => ({ ...before, time_zone }))}
            />
            <ErrorNote error={finish.error} />
            <Ways onBack={() => setStep('second_factor')} loading={finish.isPending}>
              {t('setup.finish')}
            </Ways>
          </Stack>
        )}
      </form>
      {step === 'passkey' && <OfferPasskey onDone={() => navigate({ to: '/', replace: true })} />}
    </DoorPage>
  );
}

/** The account is made; whoever wants adds a passkey at once, with the factors that were just set up. */
function OfferPasskey({ onDone }: { onDone: () => void }) {
  const { t } = useTranslation();
  const [adding, setAdding] = useState(false);
  if (adding) return <AddPasskey onDone={onDone} onCancel={() => setAdding(false)} />;
  return (
    <Group justify="space-between">
      <Button variant="subtle" color="gray" size="md" onClick={onDone}>
        {t('setup.passkey_later')}
      </Button>
      <Button size="md" onClick={() => setAdding(true)}>
        {t('setup.passkey_add')}
      </Button>
    </Group>
  );
}

function Ways(props: { onBack: () => void; loading?: boolean; children: ReactNode }) {
  const { t } = useTranslation();
  return (
    <Group justify="space-between">
      <Button variant="subtle" color="gray" size="md" onClick={props.onBack}>
        {t('setup.back')}
      </Button>
      <Button type="submit" size="md" loading={props.loading}>
        {props.children}
      </Button>
    </Group>
  );
}
