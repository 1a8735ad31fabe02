// What is locked, and the way to have it opened, which takes two people.

import { Button } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { askToOpen, locksQuery, waitingQuery } from '../api/queries';
import type { Lock, LockTarget } from '../api/types';
import { useTranslation } from '../i18n';
import { useFormat } from '../i18n/format';
import { Confirm } from './Confirm';
import { DataTable } from './DataTable';
import { Dialog } from './Dialog';
import { useMay } from './may';
import { useMemberName } from './members';
import classes from './Page.module.css';

/** What can be locked, in words. */
export function useTargetText(): (target: LockTarget) => string {
  const { t } = useTranslation();
  const nameOf = useMemberName();
  return (target) => {
    switch (target.kind) {
      case 'member':
        return nameOf(target.member);
      case 'reset':
        return t('lock.reset', { name: nameOf(target.member) });
      case 'everybody':
        return t('lock.everybody');
      case 'address':
        return target.address;
      case 'seen_address':
        return t('lock.seen', { value: `${target.ip.slice(0, 8)}…` });
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
}

export function LockTable({ locks }: { locks: Lock[] }) {
  const { t } = useTranslation();
  const format = useFormat();
  const may = useMay();
  const nameOf = useMemberName();
  const textOf = useTargetText();
  const queryClient = useQueryClient();
  const [opening, setOpening] = useState<Lock | null>(null);
  const mayOpen = may('unlock');
  return (
    <>
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
        rows={locks.map((lock) => {
          const what = textOf(lock.target);
          return {
            key: String(lock.id),
            name: what,
            cells: [
              t(`lock_reasons.${lock.reason}`),
              typeof lock.locked_by === 'number' ? nameOf(lock.locked_by) : t('lock.by_rule'),
              format.dateTime(lock.locked_at),
              ...(mayOpen
                ? [
                    <Button
                      key="open"
                      size="compact-xs"
                      variant="default"
                      aria-label={t('lock.open_of', { what })}
                      onClick={() => setOpening(lock)}
                    >
                      {t('lock.open')}
                    </Button>,
                  ]
                : []),
            ],
          };
        })}
      />
      <Dialog
        opened={opening !== null}
        onClose={() => setOpening(null)}
        title={opening && t('lock.open_of', { what: textOf(opening.target) })}
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
    </>
  );
}
