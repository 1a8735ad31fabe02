// A page or part of it that the reader's roles do not open: says which roles do, so that they know whom to ask.

import { useTranslation } from '../i18n';
import { useFormat } from '../i18n/format';
import { EmptyState } from './EmptyState';
import { type Control, type MemberRole, whoMay } from './may';

/** `roles` says whom it opens to where no single control does. */
type NotAllowedProps = { slim?: boolean } & ({ control: Control } | { roles: MemberRole[] });

export function NotAllowed(props: NotAllowedProps) {
  const { t } = useTranslation();
  const format = useFormat();
  const roles = 'roles' in props ? props.roles : whoMay(props.control);
  return (
    <EmptyState slim={props.slim} title={t('allowed.not')}>
      {t('allowed.who', { roles: format.list(roles.map((role) => t(`roles.${role}`))) })}
    </EmptyState>
  );
}
