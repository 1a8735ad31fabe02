// Where the caller is signed in: since when, roughly where, in which browser; each ended with one press.

import { Button, Group, Skeleton } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { endOtherSessions, endSession, sessionsQuery } from '../api/queries';
import { useTranslation } from '../i18n';
import { useFormat } from '../i18n/format';
import { DataTable } from '../ui/DataTable';
import { ErrorNote } from '../ui/ErrorNote';
import classes from '../ui/Page.module.css';
import { useNow } from '../ui/time';

export function Sessions() {
  const { t } = useTranslation();
  const format = useFormat();
  const now = useNow();
  const queryClient = useQueryClient();
  const { data, error, isPending } = useQuery(sessionsQuery());
  const again = () => queryClient.invalidateQueries({ queryKey: sessionsQuery().queryKey });
  const ending = useMutation({ mutationFn: endSession, onSuccess: again });
  const endingAll = useMutation({ mutationFn: endOtherSessions, onSuccess: again });
  const others = data?.filter((session) => !session.is_this).length ?? 0;
  return (
    <section className={classes.panel} aria-label={t('signed_in.title')} aria-busy={isPending}>
      <Group justify="space-between" align="flex-start" wrap="nowrap">
        <h2 className={classes.subtitle}>{t('signed_in.title')}</h2>
        {others > 0 && (
          <Button
            size="xs"
            variant="default"
            loading={endingAll.isPending}
            onClick={() => endingAll.mutate()}
          >
            {t('signed_in.end_others')}
          </Button>
        )}
      </Group>
      <ErrorNote error={error ?? ending.error ?? endingAll.error} />
      {isPending && <Skeleton height={80} />}
      {data && (
        <DataTable
          texts
          caption={t('signed_in.title')}
          head={[
            t('signed_in.browser'),
            t('signed_in.place'),
            t('signed_in.with'),
            t('signed_in.seen'),
            t('signed_in.ends'),
            t('data.acts'),
          ]}
          rows={data.map((session) => ({
            key: String(session.number),
            name: session.browser || t('signed_in.unknown'),
            note: session.is_this ? t('signed_in.this') : undefined,
            cells: [
              session.place || t('signed_in.unknown'),
              t(`factors.${session.factor}`),
              format.ago(session.seen_at, now),
              format.dateTime(session.ends_at),
              session.is_this ? (
                '–'
              ) : (
                <Button
                  key="end"
                  size="compact-xs"
                  variant="default"
                  aria-label={t('signed_in.end_of', { browser: session.browser || t('signed_in.unknown') })}
                  onClick={() => ending.mutate(session.number)}
                >
                  {t('signed_in.end')}
                </Button>
              ),
            ],
          }))}
        />
      )}
    </section>
  );
}
