// A refusal of the server, in the reader's language where the code is known, with the server's hint.
import { Alert } from '@mantine/core';
import { IconAlertTriangle } from '@tabler/icons-react';
import i18n from 'i18next';
import { ApiError } from '../api/client';
import { Declined } from '../api/stepUp';
import { PasskeyDeclined } from '../api/webauthn';
import { translateCode } from '../i18n';

export function messageOf(error: unknown): string {
  if (error instanceof Declined) return i18n.t('errors.declined');
  if (error instanceof PasskeyDeclined) return i18n.t('errors.passkey_declined');
  if (!(error instanceof ApiError)) return i18n.t('errors.unreachable');
  const message = translateCode('errors', error.code, error.message);
  if (error.retryAfterSeconds === undefined) return message;
  return `${message} ${i18n.t('errors.retry_after', { count: error.retryAfterSeconds })}`;
}

export function ErrorNote({ error }: { error: unknown }) {
  if (!error) return null;
  // Our own words for a code say what to do; the server's hint, which is English, stands in for unknown ones.
  const known = error instanceof ApiError && i18n.exists(`errors.${error.code}`);
  const hint = error instanceof ApiError && !known ? error.hint : undefined;
  return (
    <Alert role="alert" color="red" variant="light" icon={<IconAlertTriangle size={18} />} p="sm">
      {messageOf(error)}
      {hint && <div>{hint}</div>}
    </Alert>
  );
}
