// The caller's own account: what they sign in with, and where they are signed in.

import { createFileRoute } from '@tanstack/react-router';
import { Authenticator } from '../access/Authenticator';
import { Passkeys } from '../access/Passkeys';
import { Password } from '../access/Password';
import { Recovery } from '../access/Recovery';
import { Sessions } from '../access/Sessions';
import { useTranslation } from '../i18n';
import classes from '../ui/Page.module.css';
import { usePageTitle } from '../ui/project';

export const Route = createFileRoute('/p/$project/account')({ component: Account });

function Account() {
  const { t } = useTranslation();
  usePageTitle(t('nav.account'));
  return (
    <div className={classes.page} data-narrow>
      <div className={classes.head}>
        <h1 className={classes.title}>{t('nav.account')}</h1>
        <p className={classes.lead}>{t('account.lead')}</p>
      </div>
      <Passkeys />
      <Password />
      <Authenticator />
      <Recovery />
      <Sessions />
    </div>
  );
}
