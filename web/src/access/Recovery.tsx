// Recovery codes: the only way back in when phone and passkeys are lost. A new list is shown once.

import { Button, Group, Stack } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { makeRecoveryCodes, recoveryQuery } from '../api/queries';
import { useTranslation } from '../i18n';
import { Confirm } from '../ui/Confirm';
import { CopyButton } from '../ui/CopyButton';
import { Dialog } from '../ui/Dialog';
import { saveText } from '../ui/download';
import { ErrorNote } from '../ui/ErrorNote';
import classes from '../ui/Page.module.css';
import own from './Access.module.css';

export function Recovery() {
  const { t } = useTranslation();
  const { data: left, error } = useQuery(recoveryQuery());
  const [making, setMaking] = useState(false);
  return (
    <section className={classes.panel} aria-label={t('recovery.title')}>
      <Group justify="space-between" align="flex-start" wrap="nowrap">
        <h2 className={classes.subtitle}>{t('recovery.title')}</h2>
        <Button size="xs" variant="default" onClick={() => setMaking(true)}>
          {t('recovery.make')}
        </Button>
      </Group>
      <ErrorNote error={error} />
      <p className={classes.lead}>{t('recovery.text')}</p>
      {left !== undefined && (
        <p className={classes.lead} role="status">
          {left === 0 ? t('recovery.none') : t('recovery.left', { count: left })}
        </p>
      )}
      <Dialog opened={making} onClose={() => setMaking(false)} title={t('recovery.make')}>
        {making && <Make onDone={() => setMaking(false)} />}
      </Dialog>
    </section>
  );
}

function Make({ onDone }: { onDone: () => void }) {
  const { t } = useTranslation();
  const queryClient = useQueryClient();
  const [codes, setCodes] = useState<string[] | null>(null);
  if (!codes) {
    return (
      <Confirm
        label={t('recovery.make')}
        act={makeRecoveryCodes}
        onDone={(made) => {
          setCodes(made.codes);
          queryClient.invalidateQueries({ queryKey: recoveryQuery().queryKey });
        }}
        onCancel={onDone}
      >
        <p className={classes.lead}>{t('recovery.make_text')}</p>
      </Confirm>
    );
  }
  const text = codes.join('\n');
  return (
    <Stack gap="md">
      <p className={classes.lead}>{t('recovery.once')}</p>
      <ol className={own.codes} aria-label={t('recovery.title')}>
        {codes.map((code) => (
          <li key={code}>
            <code>{code}</code>
          </li>
        ))}
      </ol>
      <Group justify="flex-end">
        <CopyButton value={text} label={t('recovery.copy')} />
        <Button
          size="xs"
          variant="default"
          onClick={() => saveText('cofferdam-recovery-codes.txt', `${text}\n`)}
        >
          {t('recovery.save')}
        </Button>
        <Button size="xs" onClick={onDone}>
          {t('recovery.kept')}
        </Button>
      </Group>
    </Stack>
  );
}
