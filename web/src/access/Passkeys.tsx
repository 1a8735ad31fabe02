// The caller's passkeys and security keys: what signs in without a password, and the only thing that opens
// personal values.

import { Alert, Button, Group, Skeleton, Stack, TextInput } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { beginPasskey, finishPasskey, passkeysQuery, removePasskey, renamePasskey } from '../api/queries';
import type { Passkey, PasskeyAsked } from '../api/types';
import { hasPasskeys, makePasskey } from '../api/webauthn';
import { useTranslation } from '../i18n';
import { useFormat } from '../i18n/format';
import { Confirm } from '../ui/Confirm';
import { DataTable } from '../ui/DataTable';
import { Dialog } from '../ui/Dialog';
import { EmptyState } from '../ui/EmptyState';
import { ErrorNote } from '../ui/ErrorNote';
import classes from '../ui/Page.module.css';

type Deed = { act: 'add' } | { act: 'rename' | 'remove'; passkey: Passkey };

const NAME_CHARS_MAX = 100;

export function Passkeys() {
  const { t } = useTranslation();
  const format = useFormat();
  const { data, error, isPending } = useQuery(passkeysQuery());
  const [deed, setDeed] = useState<Deed | null>(null);
  const done = () => setDeed(null);
  return (
    <section className={classes.panel} aria-label={t('passkey.list')} aria-busy={isPending}>
      <Group justify="space-between" align="flex-start" wrap="nowrap">
        <h2 className={classes.subtitle}>{t('passkey.list')}</h2>
        {hasPasskeys() && (
          <Button size="xs" onClick={() => setDeed({ act: 'add' })}>
            {t('passkey.add')}
          </Button>
        )}
      </Group>
      <ErrorNote error={error} />
      {!hasPasskeys() && <Alert variant="light">{t('passkey.unsupported')}</Alert>}
      {isPending && <Skeleton height={80} />}
      {data?.length === 0 && (
        <EmptyState slim title={t('passkey.none')}>
          {t('passkey.none_text')}
        </EmptyState>
      )}
      {data && data.length > 0 && (
        <DataTable
          texts
          caption={t('passkey.list')}
          head={[t('passkey.name'), t('passkey.made'), t('passkey.used'), t('data.acts')]}
          rows={data.map((passkey) => ({
            key: String(passkey.id),
            name: passkey.name,
            cells: [
              format.date(passkey.created_at),
              passkey.used_at ? format.dateTime(passkey.used_at) : t('passkey.never'),
              <Group key="acts" gap="xs" justify="flex-end" wrap="nowrap">
                {(['rename', 'remove'] as const).map((act) => (
                  <Button
                    key={act}
                    size="compact-xs"
                    variant="default"
                    aria-label={t(`passkey.${act}_of`, { name: passkey.name })}
                    onClick={() => setDeed({ act, passkey })}
                  >
                    {t(`passkey.${act}`)}
                  </Button>
                ))}
              </Group>,
            ],
          }))}
        />
      )}
      <Dialog
        opened={deed !== null}
        onClose={done}
        title={deed && (deed.act === 'add' ? t('passkey.add') : t(`passkey.${deed.act}_of`, deed.passkey))}
      >
        {deed?.act === 'add' && <AddPasskey onDone={done} onCancel={done} />}
        {deed?.act === 'rename' && <Rename passkey={deed.passkey} onDone={done} />}
        {deed?.act === 'remove' && (
          <Remove passkey={deed.passkey} isLast={data?.length === 1} onDone={done} />
        )}
      </Dialog>
    </section>
  );
}

function useAgain() {
  const queryClient = useQueryClient();
  return () => queryClient.invalidateQueries({ queryKey: passkeysQuery().queryKey });
}

/** An old factor first, then the new one: each its own press, since the browser asks twice. */
export function AddPasskey({ onDone, onCancel }: { onDone: () => void; onCancel: () => void }) {
  const { t } = useTranslation();
  const [asked, setAsked] = useState<PasskeyAsked | null>(null);
  if (asked) return <Make asked={asked} onDone={onDone} onCancel={onCancel} />;
  return (
    <Confirm label={t('setup.next')} act={beginPasskey} onDone={setAsked} onCancel={onCancel}>
      <p className={classes.lead}>{t('passkey.add_text')}</p>
    </Confirm>
  );
}

function Make(props: { asked: PasskeyAsked; onDone: () => void; onCancel: () => void }) {
  const { asked, onDone, onCancel } = props;
  const { t } = useTranslation();
  const again = useAgain();
  const [name, setName] = useState('');
  const making = useMutation({
    mutationFn: async () => finishPasskey(await makePasskey(asked), name.trim()),
    onSuccess: async () => {
      await again();
      onDone();
    },
  });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        making.mutate();
      }}
    >
      <Stack gap="md">
        <TextInput
          label={t('passkey.name')}
          description={t('passkey.name_text')}
          required
          data-autofocus
          maxLength={NAME_CHARS_MAX}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        <ErrorNote error={making.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onCancel}>
            {t('shell.cancel')}
          </Button>
          <Button type="submit" loading={making.isPending}>
            {t('passkey.make')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function Rename({ passkey, onDone }: { passkey: Passkey; onDone: () => void }) {
  const { t } = useTranslation();
  const again = useAgain();
  const [name, setName] = useState(passkey.name);
  const renaming = useMutation({
    mutationFn: () => renamePasskey(passkey.id, name.trim()),
    onSuccess: async () => {
      await again();
      onDone();
    },
  });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        renaming.mutate();
      }}
    >
      <Stack gap="md">
        <TextInput
          label={t('passkey.name')}
          required
          data-autofocus
          maxLength={NAME_CHARS_MAX}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        <ErrorNote error={renaming.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onDone}>
            {t('shell.cancel')}
          </Button>
          <Button type="submit" loading={renaming.isPending}>
            {t('passkey.rename')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function Remove({ passkey, isLast, onDone }: { passkey: Passkey; isLast: boolean; onDone: () => void }) {
  const { t } = useTranslation();
  const again = useAgain();
  return (
    <Confirm
      label={t('passkey.remove')}
      color="red"
      act={() => removePasskey(passkey.id)}
      onDone={async () => {
        await again();
        onDone();
      }}
      onCancel={onDone}
    >
      <p className={classes.lead}>{isLast ? t('passkey.remove_last') : t('passkey.remove_text')}</p>
    </Confirm>
  );
}
