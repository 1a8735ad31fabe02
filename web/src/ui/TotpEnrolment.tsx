// The secret of an authenticator app, to scan or to type.

import type { TotpSecret } from '../api/types';
import { useTranslation } from '../i18n';
import { CopyButton } from './CopyButton';
import classes from './Setup.module.css';

export function TotpEnrolment({ secret }: { secret: TotpSecret }) {
  const { t } = useTranslation();
  return (
    <div className={classes.factor}>
      <img
        className={classes.qr}
        alt={t('setup.qr')}
        width={164}
        height={164}
        src={`data:image/svg+xml;utf8,${encodeURIComponent(secret.qr_svg)}`}
      />
      <div>
        <p className={classes.hint}>{t('setup.secret_text')}</p>
        <code className={classes.secret} data-testid="totp-secret">
          {secret.secret}
        </code>
        <CopyButton value={secret.secret} label={t('setup.copy_secret')} />
      </div>
    </div>
  );
}
