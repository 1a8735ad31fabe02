// What waits for a second person: who asked for what, and whoever may agrees or declines.

import { Button, Group } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import {
  agree,
  goAlone,
  locksQuery,
  membersQuery,
  tokenExportQuery,
  waitingQuery,
  withdrawWish,
} from '../api/queries';
import type { Waiting as Wish } from '../api/types';
import { useTranslation } from '../i18n';
import { useFormat } from '../i18n/format';
import { Confirm } from '../ui/Confirm';
import { DataTable } from '../ui/DataTable';
import { Dialog } from '../ui/Dialog';
import { ErrorNote } from '../ui/ErrorNote';
import { type MemberRole, useMay } from '../ui/may';
import classes from '../ui/Page.module.css';
import { useNow } from '../ui/time';
import own from './Access.module.css';

export function Waiting() {
  const { t } = useTranslation();
  const format = useFormat();
  const now = useNow();
  const queryClient = useQueryClient();
  const { data, error } = useQuery(waitingQuery());
  const may = useMay();
  const { data: members } = useQuery({ ...membersQuery(), enabled: may('read_members') });
  const [deciding, setDeciding] = useState<Wish | null>(null);
  const again = () =>
    Promise.all(
      // What was agreed to opens locks and changes roles.
      [waitingQuery(), membersQuery(), locksQuery()].map(({ queryKey }) =>
        queryClient.invalidateQueries({ queryKey }),
      ),
    );
  const withdrawing = useMutation({ mutationFn: withdrawWish, onSuccess: again });
  if (!error && (data?.length ?? 0) === 0) return null;

  const nameOf = (id: number) => members?.find((member) => member.id === id)?.name ?? `#${id}`;
  const what = ({ wish }: Wish) => {
    switch (wish.act) {
      case 'roles':
        return t('waiting.roles', {
          name: nameOf(wish.member),
          roles: wish.roles.map((role) => t(`roles.${role as MemberRole}`)).join(', '),
        });
      case 'unlock':
        return t('waiting.unlock', { number: wish.lock });
      case 'export_token':
        return t('waiting.export_token', { number: wish.token });
      case 'package':
        return t('waiting.package', wish);
      case 'erase':
        return t('waiting.erase', {
          count: wish.count,
          number: format.count(wish.count),
          project: wish.project,
          reason: t(`erasure_reasons.${wish.reason}`),
        });
      case 'access':
        return t('waiting.access', {
          person: wish.person,
          project: wish.project,
          purpose: t(`purposes.${wish.purpose}`),
        });
      case 'list_persons': {
        const { any_of = [], from, to } = wish.question;
        const parts = [
          wish.field ?? t('waiting.any_field'),
          t('waiting.causes', { count: any_of.length }),
          [from, to].map((time) => (time ? format.dateTime(time) : '…')).join(' – '),
        ];
        return t('waiting.list_persons', { project: wish.project, what: format.list(parts) });
      }
    }
  };
  /** Who would be erased: nobody agrees to a number. */
  const whom = ({ wish }: Wish) => {
    if (wish.act !== 'erase') return undefined;
    const more = wish.count - wish.persons.length;
    return format.list([
      ...wish.persons,
      ...(more > 0 ? [t('waiting.more', { number: format.count(more) })] : []),
    ]);
  };
  const notes = (one: Wish) =>
    [whom(one), one.due_at && t('waiting.due', { time: format.dateTime(one.due_at) })]
      .filter(Boolean)
      .join(' · ');
  /** Nobody else could agree, and the hour in which everybody could see it is over. */
  const isDue = ({ due_at }: Wish) => due_at !== null && due_at !== undefined && Date.parse(due_at) <= now;

  return (
    <section className={classes.panel} aria-label={t('waiting.title')}>
      <h2 className={classes.subtitle}>{t('waiting.title')}</h2>
      <ErrorNote error={error ?? withdrawing.error} />
      {data && (
        <DataTable
          texts
          sentences
          caption={t('waiting.title')}
          head={[t('waiting.what'), t('waiting.who'), t('waiting.since'), t('data.acts')]}
          rows={data.map((one) => ({
            key: String(one.id),
            name: what(one),
            note: notes(one),
            cells: [
              nameOf(one.asked_by),
              format.dateTime(one.asked_at),
              <Group key="acts" gap="xs" justify="flex-end" wrap="nowrap">
                {(one.can_agree || isDue(one)) && (
                  <Button size="compact-xs" variant="default" onClick={() => setDeciding(one)}>
                    {t(one.can_agree ? 'waiting.agree' : 'waiting.alone')}
                  </Button>
                )}
                <Button size="compact-xs" variant="default" onClick={() => withdrawing.mutate(one.id)}>
                  {t('waiting.decline')}
                </Button>
              </Group>,
            ],
          }))}
        />
      )}
      <Dialog
        opened={deciding !== null}
        onClose={() => setDeciding(null)}
        title={deciding && t('waiting.agree_to', { what: what(deciding) })}
      >
        {deciding && (
          <Confirm
            label={t(deciding.can_agree ? 'waiting.agree' : 'waiting.alone')}
            act={() => (deciding.can_agree ? agree(deciding.id) : goAlone(deciding.id))}
            onDone={async () => {
              await again();
              setDeciding(null);
            }}
            onCancel={() => setDeciding(null)}
          >
            <p className={classes.lead}>{what(deciding)}</p>
            {deciding.wish.act === 'erase' && <code className={own.secret}>{whom(deciding)}</code>}
            {deciding.wish.act === 'export_token' && <Exported token={deciding.wish.token} />}
          </Confirm>
        )}
      </Dialog>
    </section>
  );
}

/** What a token would export: nobody agrees to a number. */
function Exported({ token }: { token: number }) {
  const { data, error } = useQuery(tokenExportQuery(token));
  return (
    <>
      <ErrorNote error={error} />
      {data && <code className={own.secret}>{JSON.stringify(data, null, 1)}</code>}
    </>
  );
}
