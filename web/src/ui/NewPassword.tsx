// A password that is being chosen: what is asked of it, and how good it is so far.

import { PasswordInput } from '@mantine/core';
import type { ComponentProps } from 'react';
import { useTranslation } from '../i18n';
import { PASSWORD_CHARS_MIN } from './password';
import { Strength } from './Strength';

export function NewPassword(props: ComponentProps<typeof PasswordInput> & { value: string }) {
  const { t } = useTranslation();
  return (
    <>
      <PasswordInput
        description={t('account.password_text')}
        autoComplete="new-password"
        minLength={PASSWORD_CHARS_MIN}
        required
        visibilityToggleButtonProps={{ 'aria-label': t('account.show_password') }}
        {...props}
      />
      <Strength password={props.value} />
    </>
  );
}
