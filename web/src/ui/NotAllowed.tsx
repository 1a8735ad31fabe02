// A page or part of it that the reader's roles do not open: says which roles do, so that they know whom to ask.

import { useTranslation } from '../i18n';
import { useFormat } from '../i18n/format';
import { EmptyState } from './EmptyState';
import { type Control, whoMay } from './may';

export function NotAllowed({ control, slim }: { control: Control; slim?: boolean }) {
  const { t } = useTranslation();
  const format = useFormat();
  const roles = format.list(whoMay(control).map((role) => t(`roles.${role}`)));
  return (
    <EmptyState slim={slim} title={t('allowed.not')}>
      {t('allowed.who', { roles })}
    </EmptyState>
  );
}
