// The one dialog in which a factor is shown again: says what is about to happen and that it is recorded, then
// asks the passkey, or where the server allows it the password and a code.

import { Alert, Button, Group, Modal, PasswordInput, Stack, TextInput } from '@mantine/core';
import { IconFingerprint } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { answerStepUps, Declined, type StepUpProof, type StepUpQuestion } from '../api/stepUp';
import { hasPasskeys, sign } from '../api/webauthn';
import { useTranslation } from '../i18n';
import { ErrorNote } from './ErrorNote';
import classes from './Page.module.css';

interface Open extends StepUpQuestion {
  take: (proof: StepUpProof) => void;
  decline: () => void;
}

/** Above whatever asked. */
const Z_INDEX = 400;
/** As long as a recovery code with what people type between its groups. */
const CODE_CHARS_MAX = 40;

export default function StepUp() {
  const { t } = useTranslation();
  const [open, setOpen] = useState<Open | null>(null);
  useEffect(
    () =>
      answerStepUps(
        (question) =>
          new Promise((resolve, reject) => {
            const end = (finish: () => void) => {
              setOpen(null);
              finish();
            };
            setOpen({
              ...question,
              take: (proof) => end(() => resolve(proof)),
              decline: () => end(() => reject(new Declined())),
            });
          }),
      ),
    [],
  );
  return (
    <Modal
      opened={open !== null}
      onClose={() => open?.decline()}
      title={t('step_up.title')}
      zIndex={Z_INDEX}
      closeButtonProps={{ 'aria-label': t('shell.close') }}
    >
      {/* Another challenge is another form: nothing typed for the last one is sent for this one. */}
      {open && <Question key={open.asked.challenge} open={open} />}
    </Modal>
  );
}

function Question({ open: { deed, asked, refusal, take, decline } }: { open: Open }) {
  const { t } = useTranslation();
  const withPasskey = asked.credentials.length > 0 && hasPasskeys();
  // Whoever has a passkey and lost it has the recovery codes, and nothing less is taken.
  const onlyRecovery = !asked.takes_password_and_code;
  const [typing, setTyping] = useState(!withPasskey && !onlyRecovery);
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const signing = useMutation({
    mutationFn: async () => ({ kind: 'passkey' as const, ...(await sign(asked)) }),
    onSuccess: take,
  });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (typing) take({ kind: 'password_and_code', password, code: code.replaceAll(' ', '') });
        else signing.mutate();
      }}
    >
      <Stack gap="md">
        <p className={classes.lead}>{t(`deeds.${deed}`)}</p>
        <p className={classes.lead}>{t('step_up.text')}</p>
        {!withPasskey && !typing && <Alert variant="light">{t('step_up.passkey_elsewhere')}</Alert>}
        {typing && (
          <>
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
              label={onlyRecovery ? t('login.recovery_code') : t('account.code')}
              description={onlyRecovery ? t('step_up.recovery_text') : t('step_up.code_text')}
              autoComplete={onlyRecovery ? 'off' : 'one-time-code'}
              spellCheck={false}
              maxLength={CODE_CHARS_MAX}
              required
              value={code}
              onChange={(event) => setCode(event.currentTarget.value)}
            />
          </>
        )}
        <ErrorNote error={signing.error ?? refusal} />
        <Group justify="flex-end">
          {(withPasskey || onlyRecovery) && (
            <Button variant="subtle" me="auto" onClick={() => setTyping(!typing)}>
              {typing
                ? t('step_up.with_passkey')
                : t(onlyRecovery ? 'step_up.lost_passkey' : 'step_up.with_password')}
            </Button>
          )}
          <Button variant="default" onClick={decline}>
            {t('shell.cancel')}
          </Button>
          <Button
            type="submit"
            data-autofocus={!typing || undefined}
            disabled={!typing && !withPasskey}
            loading={signing.isPending}
            leftSection={typing ? undefined : <IconFingerprint size={16} aria-hidden="true" />}
          >
            {typing ? t('step_up.confirm') : t('step_up.use_passkey')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
