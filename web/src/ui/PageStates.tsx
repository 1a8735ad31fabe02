// A page that is loading, failed or not there. Each says what to do next.

import { Button, Skeleton } from '@mantine/core';
import { type ErrorComponentProps, Link, useRouter } from '@tanstack/react-router';
import { useTranslation } from '../i18n';
import { EmptyState } from './EmptyState';
import { messageOf } from './ErrorNote';

export function PagePending() {
  return (
    <div style={{ padding: '1.5rem', display: 'grid', gap: '0.75rem' }} aria-busy="true">
      <Skeleton height={28} width={180} />
      <Skeleton height={320} />
    </div>
  );
}

export function PageError({ error, reset }: ErrorComponentProps) {
  const { t } = useTranslation();
  const router = useRouter();
  return (
    <EmptyState
      title={t('page.failed')}
      action={
        <Button
          onClick={() => {
            reset();
            router.invalidate();
          }}
        >
          {t('page.retry')}
        </Button>
      }
    >
      {messageOf(error)}
    </EmptyState>
  );
}

export function PageMissing() {
  const { t } = useTranslation();
  return (
    <EmptyState
      title={t('page.missing')}
      action={
        <Button component={Link} to="/">
          {t('page.home')}
        </Button>
      }
    >
      {t('page.missing_text')}
    </EmptyState>
  );
}
