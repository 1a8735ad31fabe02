// The caller's password: another one, for which an old factor is shown again. It ends their other sessions.

import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { changePassword, sessionsQuery } from '../api/queries';
import { useTranslation } from '../i18n';
import { Confirm } from '../ui/Confirm';
import { NewPassword } from '../ui/NewPassword';
import classes from '../ui/Page.module.css';

export function Password() {
  const { t } = useTranslation();
  const queryClient = useQueryClient();
  const [password, setPassword] = useState('');
  const [isChanged, setChanged] = useState(false);
  return (
    <section className={classes.panel} aria-label={t('account.password')}>
      <h2 className={classes.subtitle}>{t('account.password')}</h2>
      <Confirm
        label={t('account.change_password')}
        act={() => changePassword(password)}
        onDone={() => {
          setPassword('');
          setChanged(true);
          queryClient.invalidateQueries({ queryKey: sessionsQuery().queryKey });
        }}
      >
        <NewPassword
          label={t('account.new_password')}
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
        />
        {isChanged && password === '' && (
          <p className={classes.lead} role="status">
            {t('account.password_changed')}
          </p>
        )}
      </Confirm>
    </section>
  );
}
