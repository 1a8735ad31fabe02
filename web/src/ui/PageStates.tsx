// A page that is loading, failed, sealed or not there. Each says what to do next.

import { Button, Code, Skeleton } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type ErrorComponentProps, Link, useRouter } from '@tanstack/react-router';
import { ApiError } from '../api/client';
import { type Sealed, statusQuery } from '../api/queries';
import { useTranslation } from '../i18n';
import { EmptyState } from './EmptyState';
import { messageOf } from './ErrorNote';
import { useProject } from './project';

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
  if (error instanceof ApiError && error.code === 'sealed') return <ServerSealed />;
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

const AGAIN_MS = 5_000;

/** Keys are out of reach. Asks again by itself, and the pages come back with the first answer. */
export function PageSealed({ by }: { by: Sealed }) {
  const project = useProject();
  useQuery({ ...statusQuery(project.id), refetchInterval: AGAIN_MS, retry: false });
  return by === 'server' ? <ServerSealed /> : <OrganisationSealed />;
}

function OrganisationSealed() {
  const { t } = useTranslation();
  return (
    <EmptyState title={t('sealed.organisation')}>
      <p>{t('sealed.organisation_text')}</p>
      <p>{t('sealed.organisation_open')}</p>
      <Code block>{'cofferdam keys status\ncofferdam keys unseal --organisation …'}</Code>
      <p role="status">{t('sealed.waiting')}</p>
    </EmptyState>
  );
}

function ServerSealed() {
  const { t } = useTranslation();
  return (
    <EmptyState
      title={t('sealed.server')}
      // Reloads: what this page began with may be older than the server it comes back to.
      action={<Button onClick={() => window.location.reload()}>{t('page.retry')}</Button>}
    >
      <p>{t('sealed.server_text')}</p>
      <p>{t('sealed.server_open')}</p>
      <Code block>cofferdam keys unseal</Code>
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
