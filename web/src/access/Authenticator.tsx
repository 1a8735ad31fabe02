// The caller's authenticator app, exchanged for that of a new phone. The old one works until the new one has
// shown a code; then the caller's other sessions end.

import { Button, Group, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { beginAuthenticator, changeAuthenticator, sessionsQuery } from '../api/queries';
import type { TotpSecret } from '../api/types';
import { useTranslation } from '../i18n';
import { Confirm } from '../ui/Confirm';
import { Dialog } from '../ui/Dialog';
import { ErrorNote } from '../ui/ErrorNote';
import classes from '../ui/Page.module.css';
import { TotpEnrolment } from '../ui/TotpEnrolment';

export function Authenticator() {
  const { t } = useTranslation();
  const queryClient = useQueryClient();
  const [secret, setSecret] = useState<TotpSecret | null>(null);
  const [isChanged, setChanged] = useState(false);
  const close = () => setSecret(null);
  const beginning = useMutation({
    mutationFn: beginAuthenticator,
    onSuccess: (made) => {
      setSecret(made);
      setChanged(false);
    },
  });
  return (
    <section className={classes.panel} aria-label={t('authenticator.title')}>
      <Group justify="space-between" align="flex-start" wrap="nowrap">
        <h2 className={classes.subtitle}>{t('authenticator.title')}</h2>
        <Button size="xs" variant="default" onClick={() => beginning.mutate()}>
          {t('authenticator.set_up')}
        </Button>
      </Group>
      <ErrorNote error={beginning.error} />
      <p className={classes.lead}>{t('authenticator.text')}</p>
      {isChanged && (
        <p className={classes.lead} role="status">
          {t('authenticator.changed')}
        </p>
      )}
      <Dialog opened={secret !== null} onClose={close} title={t('authenticator.set_up')}>
        {secret && (
          <Enrol
            secret={secret}
            onDone={() => {
              close();
              setChanged(true);
              queryClient.invalidateQueries({ queryKey: sessionsQuery().queryKey });
            }}
            onCancel={close}
          />
        )}
      </Dialog>
    </section>
  );
}

function Enrol(props: { secret: TotpSecret; onDone: () => void; onCancel: () => void }) {
  const { secret, onDone, onCancel } = props;
  const { t } = useTranslation();
  const [code, setCode] = useState('');
  return (
    <Confirm
      label={t('authenticator.use')}
      act={() => changeAuthenticator(code.replaceAll(' ', ''))}
      onDone={onDone}
      onCancel={onCancel}
    >
      <p className={classes.lead}>{t('authenticator.scan')}</p>
      <TotpEnrolment secret={secret} />
      <TextInput
        label={t('account.code')}
        description={t('account.code_text')}
        inputMode="numeric"
        autoComplete="one-time-code"
        maxLength={7}
        required
        data-autofocus
        value={code}
        onChange={(event) => setCode(event.currentTarget.value)}
      />
    </Confirm>
  );
}
