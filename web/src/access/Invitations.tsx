// Inviting: a link that is shown once, for the inviter to hand over in whatever way they trust. No mail is sent.

import { Button, Group, Stack } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { invitationsQuery, invite, withdrawInvitation } from '../api/queries';
import { useTranslation } from '../i18n';
import { useFormat } from '../i18n/format';
import { Confirm } from '../ui/Confirm';
import { CopyButton } from '../ui/CopyButton';
import { DataTable } from '../ui/DataTable';
import { Dialog } from '../ui/Dialog';
import { EmptyState } from '../ui/EmptyState';
import { ErrorNote } from '../ui/ErrorNote';
import type { MemberRole } from '../ui/may';
import classes from '../ui/Page.module.css';
import own from './Access.module.css';
import { RolesChoice } from './Roles';

export function Invitations() {
  const { t } = useTranslation();
  const format = useFormat();
  const queryClient = useQueryClient();
  const { data, error } = useQuery(invitationsQuery());
  const [inviting, setInviting] = useState(false);
  const again = () => queryClient.invalidateQueries({ queryKey: invitationsQuery().queryKey });
  const withdrawing = useMutation({ mutationFn: withdrawInvitation, onSuccess: again });
  return (
    <section className={classes.panel} aria-label={t('invitation.list')}>
      <Group justify="space-between" align="flex-start" wrap="nowrap">
        <h2 className={classes.subtitle}>{t('invitation.list')}</h2>
        <Button size="xs" onClick={() => setInviting(true)}>
          {t('invitation.invite')}
        </Button>
      </Group>
      <ErrorNote error={error ?? withdrawing.error} />
      {data?.length === 0 && (
        <EmptyState slim title={t('invitation.none')}>
          {t('invitation.none_text')}
        </EmptyState>
      )}
      {data && data.length > 0 && (
        <DataTable
          texts
          caption={t('invitation.list')}
          head={[t('people.roles'), t('invitation.made'), t('invitation.ends'), t('data.acts')]}
          rows={data.map((invitation) => ({
            key: String(invitation.id),
            name: invitation.roles.map((role) => t(`roles.${role as MemberRole}`)).join(', '),
            cells: [
              format.dateTime(invitation.created_at),
              format.dateTime(invitation.expires_at),
              <Button
                key="withdraw"
                size="compact-xs"
                variant="default"
                aria-label={t('invitation.withdraw_of', { number: invitation.id })}
                onClick={() => withdrawing.mutate(invitation.id)}
              >
                {t('invitation.withdraw')}
              </Button>,
            ],
          }))}
        />
      )}
      <Dialog opened={inviting} onClose={() => setInviting(false)} title={t('invitation.invite')}>
        {inviting && (
          <Invite
            onDone={() => {
              setInviting(false);
              again();
            }}
          />
        )}
      </Dialog>
    </section>
  );
}

function Invite({ onDone }: { onDone: () => void }) {
  const { t } = useTranslation();
  const [roles, setRoles] = useState<MemberRole[]>(['viewer']);
  const [code, setCode] = useState<string | null>(null);
  if (code === null) {
    return (
      <Confirm
        label={t('invitation.invite')}
        ready={roles.length > 0}
        act={() => invite(roles)}
        onDone={(made) => setCode(made.code)}
        onCancel={onDone}
      >
        <RolesChoice label={t('people.roles')} chosen={roles} onChange={setRoles} />
      </Confirm>
    );
  }
  // In the fragment, which no server and no log of a proxy ever sees.
  const link = `${window.location.origin}/join#code=${code}`;
  return (
    <Stack gap="md">
      <p className={classes.lead}>{t('invitation.once')}</p>
      <code className={own.secret} data-testid="invitation">
        {link}
      </code>
      <Group justify="flex-end">
        <CopyButton value={link} label={t('invitation.copy')} />
        <Button size="xs" onClick={onDone}>
          {t('recovery.kept')}
        </Button>
      </Group>
    </Stack>
  );
}
