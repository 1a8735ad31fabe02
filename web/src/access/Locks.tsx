// What is locked: who, which sessions, which addresses; and the way to have it opened, which takes two people.
// While everybody is locked, those who had signed in before come in anew, by passkey if they have one.

import { Alert, Button } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { askToOpen, locksQuery, membersQuery, waitingQuery } from '../api/queries';
import type { Lock } from '../api/types';
import { useTranslation } from '../i18n';
import { useFormat } from '../i18n/format';
import { Confirm } from '../ui/Confirm';
import { DataTable } from '../ui/DataTable';
import { Dialog } from '../ui/Dialog';
import { ErrorNote } from '../ui/ErrorNote';
import { useMay } from '../ui/may';
import classes from '../ui/Page.module.css';

export function Locks() {
  const { t } = useTranslation();
  const format = useFormat();
  const may = useMay();
  const queryClient = useQueryClient();
  const { data, error } = useQuery(locksQuery());
  const { data: members } = useQuery(membersQuery());
  const [opening, setOpening] = useState<Lock | null>(null);
  if (!error && (data?.length ?? 0) === 0) return null;

  const nameOf = (id: number) => members?.find((member) => member.id === id)?.name ?? `#${id}`;
  const whatOf = ({ target }: Lock): string => {
    switch (target.kind) {
      case 'member':
        return nameOf(target.member);
      case 'reset':
        return t('lock.reset', { name: nameOf(target.member) });
      case 'everybody':
        return t('lock.everybody');
      case 'seen_address':
        return t('lock.seen_address', { ip: target.ip });
      case 'address':
        return target.address;
      case 'network':
        return target.network;
      case 'session':
        return t('lock.session', { number: target.session });
      case 'token':
        return t('lock.token', { number: target.token });
      case 'grant':
        return t('lock.grant', { number: target.grant });
    }
  };
  const isEverybody = data?.some(({ target }) => target.kind === 'everybody');
  const mayOpen = may('unlock');

  return (
    <section className={classes.panel} aria-label={t('lock.list')}>
      <h2 className={classes.subtitle}>{t('lock.list')}</h2>
      <ErrorNote error={error} />
      {isEverybody && (
        <Alert color="yellow" variant="light" mb="md">
          {t('lock.everybody_text')}
        </Alert>
      )}
      {data && (
        <DataTable
          texts
          caption={t('lock.list')}
          head={[
            t('lock.what'),
            t('lock.why'),
            t('lock.who'),
            t('lock.since'),
            ...(mayOpen ? [t('data.acts')] : []),
          ]}
          rows={data.map((lock) => ({
            key: String(lock.id),
            name: whatOf(lock),
            cells: [
              t(`lock_reasons.${lock.reason}`),
              lock.locked_by === null || lock.locked_by === undefined
                ? t('lock.by_rule')
                : nameOf(lock.locked_by),
              format.dateTime(lock.locked_at),
              ...(mayOpen
                ? [
                    <Button
                      key="open"
                      size="compact-xs"
                      variant="default"
                      aria-label={t('lock.open_of', { what: whatOf(lock) })}
                      onClick={() => setOpening(lock)}
                    >
                      {t('lock.open')}
                    </Button>,
                  ]
                : []),
            ],
          }))}
        />
      )}
      <Dialog
        opened={opening !== null}
        onClose={() => setOpening(null)}
        title={opening && t('lock.open_of', { what: whatOf(opening) })}
      >
        {opening && (
          <Confirm
            label={t('lock.open')}
            act={() => askToOpen(opening.id)}
            onDone={async () => {
              await Promise.all(
                [locksQuery(), waitingQuery()].map(({ queryKey }) =>
                  queryClient.invalidateQueries({ queryKey }),
                ),
              );
              setOpening(null);
            }}
            onCancel={() => setOpening(null)}
          >
            <p className={classes.lead}>{t('lock.open_text')}</p>
          </Confirm>
        )}
      </Dialog>
    </section>
  );
}
