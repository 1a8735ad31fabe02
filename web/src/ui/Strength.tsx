// How good a password that is being chosen is, said while it is typed.

import { useTranslation } from '../i18n';
import { passwordStrength } from './password';
import classes from './Setup.module.css';

export function Strength({ password }: { password: string }) {
  const { t } = useTranslation();
  if (password === '') return null;
  const { score } = passwordStrength(password);
  return (
    <div className={classes.strength} data-score={score} role="status">
      <span className={classes.meter} aria-hidden="true">
        <span />
        <span />
        <span />
      </span>
      {t(`strength.${score}`)}
    </div>
  );
}
