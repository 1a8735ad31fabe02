// Who is a member, with which roles, and what changes that: roles, leaving.

import { Button, Group, Skeleton } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { membersQuery, removeMember, sessionQuery, setRoles, waitingQuery } from '../api/queries';
import type { Member } from '../api/types';
import { useTranslation } from '../i18n';
import { useFormat } from '../i18n/format';
import { Confirm } from '../ui/Confirm';
import { DataTable } from '../ui/DataTable';
import { Dialog } from '../ui/Dialog';
import { ErrorNote } from '../ui/ErrorNote';
import { type MemberRole, useMay } from '../ui/may';
import classes from '../ui/Page.module.css';
import own from './Access.module.css';
import { RolesChoice } from './Roles';

type Deed = { act: 'roles' | 'remove'; member: Member };

export function Members() {
  const { t } = useTranslation();
  const format = useFormat();
  const may = useMay();
  const { data: session } = useQuery(sessionQuery());
  const { data, error, isPending } = useQuery(membersQuery());
  const [deed, setDeed] = useState<Deed | null>(null);
  const mayChange = may('manage_roles');
  const mayRemove = may('manage_members');
  const acts = mayChange || mayRemove;
  const done = () => setDeed(null);
  const notesOf = ({ id, email, is_locked }: Member) =>
    [email, id === session?.user?.id && t('people.you'), is_locked && t('people.locked')]
      .filter(Boolean)
      .join(', ');
  return (
    <section className={classes.panel} aria-label={t('people.list')} aria-busy={isPending}>
      <h2 className={classes.subtitle}>{t('people.list')}</h2>
      <ErrorNote error={error} />
      {isPending && <Skeleton height={120} />}
      {data && (
        <DataTable
          texts
          sentences
          caption={t('people.list')}
          head={[
            t('people.name'),
            t('people.roles'),
            t('people.passkeys'),
            t('people.joined'),
            ...(acts ? [t('data.acts')] : []),
          ]}
          rows={data.map((member) => ({
            key: String(member.id),
            name: member.name,
            note: notesOf(member),
            cells: [
              <span key="roles" className={own.wraps}>
                {member.roles.map((role) => t(`roles.${role as MemberRole}`)).join(', ')}
              </span>,
              member.passkeys === 0 ? (
                <span key="none" className={own.warn}>
                  {t('people.no_passkey')}
                </span>
              ) : (
                format.count(member.passkeys)
              ),
              format.date(member.joined_at),
              ...(acts
                ? [
                    <Group key="acts" gap="xs" justify="flex-end" wrap="nowrap">
                      {mayChange && (
                        <Button
                          size="compact-xs"
                          variant="default"
                          aria-label={t('people.roles_of', { name: member.name })}
                          onClick={() => setDeed({ act: 'roles', member })}
                        >
                          {t('people.change_roles')}
                        </Button>
                      )}
                      {mayRemove && (
                        <Button
                          size="compact-xs"
                          variant="default"
                          aria-label={t('people.remove_of', { name: member.name })}
                          onClick={() => setDeed({ act: 'remove', member })}
                        >
                          {t('people.remove')}
                        </Button>
                      )}
                    </Group>,
                  ]
                : []),
            ],
          }))}
        />
      )}
      <Dialog
        opened={deed !== null}
        onClose={done}
        title={deed && t(`people.${deed.act}_of`, { name: deed.member.name })}
      >
        {deed?.act === 'roles' && <ChangeRoles member={deed.member} onDone={done} />}
        {deed?.act === 'remove' && <Remove member={deed.member} onDone={done} />}
      </Dialog>
    </section>
  );
}

function useAgain() {
  const queryClient = useQueryClient();
  return () =>
    Promise.all(
      [membersQuery(), waitingQuery(), sessionQuery()].map(({ queryKey }) =>
        queryClient.invalidateQueries({ queryKey }),
      ),
    );
}

function ChangeRoles({ member, onDone }: { member: Member; onDone: () => void }) {
  const { t } = useTranslation();
  const again = useAgain();
  const [roles, setRolesTo] = useState(member.roles as MemberRole[]);
  const [waits, setWaits] = useState(false);
  if (waits) {
    return (
      <>
        <p className={classes.lead} role="status">
          {t('people.waits')}
        </p>
        <Group justify="flex-end" mt="md">
          <Button variant="default" onClick={onDone}>
            {t('shell.close')}
          </Button>
        </Group>
      </>
    );
  }
  return (
    <Confirm
      label={t('people.change_roles')}
      ready={roles.length > 0}
      act={() => setRoles(member.id, roles)}
      onDone={async (waiting) => {
        await again();
        if (waiting) setWaits(true);
        else onDone();
      }}
      onCancel={onDone}
    >
      <RolesChoice label={t('people.roles')} chosen={roles} onChange={setRolesTo} />
    </Confirm>
  );
}

function Remove({ member, onDone }: { member: Member; onDone: () => void }) {
  const { t } = useTranslation();
  const again = useAgain();
  return (
    <Confirm
      label={t('people.remove')}
      color="red"
      act={() => removeMember(member.id)}
      onDone={async () => {
        await again();
        onDone();
      }}
      onCancel={onDone}
    >
      <p className={classes.lead}>{t('people.remove_text')}</p>
    </Confirm>
  );
}
