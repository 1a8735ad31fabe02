// What is locked in the organisation. While everybody is locked, those who had signed in before come in anew,
// by passkey if they have one.

import { Alert } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { locksQuery } from '../api/queries';
import { useTranslation } from '../i18n';
import { ErrorNote } from '../ui/ErrorNote';
import { LockTable } from '../ui/Locks';
import classes from '../ui/Page.module.css';

export function Locks() {
  const { t } = useTranslation();
  const { data, error } = useQuery(locksQuery());
  if (!error && (data?.length ?? 0) === 0) return null;
  return (
    <section className={classes.panel} aria-label={t('lock.list')}>
      <h2 className={classes.subtitle}>{t('lock.list')}</h2>
      <ErrorNote error={error} />
      {data?.some(({ target }) => target.kind === 'everybody') && (
        <Alert color="yellow" variant="light" mb="md">
          {t('lock.everybody_text')}
        </Alert>
      )}
      {data && <LockTable locks={data} />}
    </section>
  );
}
