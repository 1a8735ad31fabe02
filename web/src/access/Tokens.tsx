// Tokens of programs: for one kind of deed in this project, for a limited time, shown once.

import { Button, Group, Select, Skeleton, Stack, Textarea, TextInput } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { makeExportToken, makeQueryToken, revokeToken, rotateToken, tokensQuery } from '../api/queries';
import type { DisclosureRequest, Token, TokenKind, TokenMade } from '../api/types';
import { useTranslation } from '../i18n';
import { useFormat } from '../i18n/format';
import { Confirm } from '../ui/Confirm';
import { CopyButton } from '../ui/CopyButton';
import { DataTable } from '../ui/DataTable';
import { Dialog } from '../ui/Dialog';
import { EmptyState } from '../ui/EmptyState';
import { ErrorNote } from '../ui/ErrorNote';
import { useMay } from '../ui/may';
import classes from '../ui/Page.module.css';
import { useProject } from '../ui/project';
import own from './Access.module.css';

const KINDS = ['query', 'export'] as const satisfies TokenKind[];
const DAYS = 30;
const DAYS_MAX = { query: 365, export: 30 };

type Deed = { act: 'make' } | { act: 'rotate' | 'revoke'; token: Token };

export function Tokens() {
  const { t } = useTranslation();
  const project = useProject();
  const format = useFormat();
  const may = useMay();
  const queryClient = useQueryClient();
  const { data, error, isPending } = useQuery(tokensQuery(project.id));
  const [deed, setDeed] = useState<Deed | null>(null);
  const again = () => queryClient.invalidateQueries({ queryKey: tokensQuery(project.id).queryKey });
  const done = () => {
    setDeed(null);
    again();
  };
  const mayMake = may('manage_query_tokens') || may('manage_export_tokens');
  return (
    <section className={classes.panel} aria-label={t('token.list')} aria-busy={isPending}>
      <Group justify="space-between" align="flex-start" wrap="nowrap">
        <h2 className={classes.subtitle}>{t('token.list')}</h2>
        {mayMake && (
          <Button size="xs" onClick={() => setDeed({ act: 'make' })}>
            {t('token.make')}
          </Button>
        )}
      </Group>
      <ErrorNote error={error} />
      {isPending && <Skeleton height={80} />}
      {data?.length === 0 && (
        <EmptyState slim title={t('token.none')}>
          {t('token.none_text')}
        </EmptyState>
      )}
      {data && data.length > 0 && (
        <DataTable
          texts
          caption={t('token.list')}
          head={[
            t('token.name'),
            t('token.kind'),
            t('token.network'),
            t('token.used'),
            t('token.ends'),
            t('data.acts'),
          ]}
          rows={data.map((token) => ({
            key: String(token.number),
            name: token.name,
            note: token.revoked_at ? t('token.revoked') : token.is_approved ? undefined : t('token.waits'),
            cells: [
              t(`token_kinds.${token.kind}`),
              token.network ?? t('token.anywhere'),
              token.used_at ? format.dateTime(token.used_at) : t('passkey.never'),
              format.date(token.expires_at),
              token.revoked_at ? (
                '–'
              ) : (
                <Group key="acts" gap="xs" justify="flex-end" wrap="nowrap">
                  {(['rotate', 'revoke'] as const).map((act) => (
                    <Button
                      key={act}
                      size="compact-xs"
                      variant="default"
                      aria-label={t(`token.${act}_of`, { name: token.name })}
                      onClick={() => setDeed({ act, token })}
                    >
                      {t(`token.${act}`)}
                    </Button>
                  ))}
                </Group>
              ),
            ],
          }))}
        />
      )}
      <Dialog
        opened={deed !== null}
        onClose={done}
        title={deed && (deed.act === 'make' ? t('token.make') : t(`token.${deed.act}_of`, deed.token))}
      >
        {deed?.act === 'make' && <Make onDone={done} />}
        {deed?.act === 'rotate' && <Rotate token={deed.token} onDone={done} />}
        {deed?.act === 'revoke' && <Revoke token={deed.token} onDone={done} />}
      </Dialog>
    </section>
  );
}

/** The only time that it is seen. */
function Once({ made, onDone }: { made: TokenMade; onDone: () => void }) {
  const { t } = useTranslation();
  return (
    <Stack gap="md">
      {!made.token ? (
        <p className={classes.lead} role="status">
          {t('token.asked')}
        </p>
      ) : (
        <>
          <p className={classes.lead}>{t('token.once')}</p>
          <code className={own.secret} data-testid="token">
            {made.token}
          </code>
        </>
      )}
      <Group justify="flex-end">
        {made.token && <CopyButton value={made.token} label={t('token.copy')} />}
        <Button size="xs" onClick={onDone}>
          {!made.token ? t('shell.close') : t('recovery.kept')}
        </Button>
      </Group>
    </Stack>
  );
}

/** A request as it is sent to the server, which judges it; none for what is no object. */
function requestOf(text: string): DisclosureRequest | null {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null ? (parsed as DisclosureRequest) : null;
  } catch {
    return null;
  }
}

function Make({ onDone }: { onDone: () => void }) {
  const { t } = useTranslation();
  const project = useProject();
  const may = useMay();
  const kinds = KINDS.filter((kind) => may(`manage_${kind}_tokens`));
  const [name, setName] = useState('');
  const [kind, setKind] = useState<TokenKind>(kinds[0] ?? 'query');
  const [days, setDays] = useState<number>(DAYS);
  const [network, setNetwork] = useState('');
  const [text, setText] = useState('');
  const [made, setMade] = useState<TokenMade | null>(null);
  const exported = requestOf(text);
  const asked = { name: name.trim(), days };
  const from = network.trim();
  if (made) return <Once made={made} onDone={onDone} />;
  return (
    <Confirm
      label={t('token.make')}
      ready={
        asked.name !== '' &&
        days >= 1 &&
        days <= DAYS_MAX[kind] &&
        (kind === 'query' || (from !== '' && exported !== null))
      }
      act={() =>
        kind === 'export' && exported
          ? makeExportToken(project.id, { ...asked, network: from, export: exported })
          : makeQueryToken(project.id, { ...asked, ...(from ? { network: from } : {}) })
      }
      onDone={setMade}
      onCancel={onDone}
    >
      <TextInput
        label={t('token.name')}
        description={t('token.name_text')}
        required
        data-autofocus
        maxLength={100}
        value={name}
        onChange={(event) => setName(event.currentTarget.value)}
      />
      <Select
        label={t('token.kind')}
        description={t(`token_kinds_text.${kind}`)}
        data={kinds.map((value) => ({ value, label: t(`token_kinds.${value}`) }))}
        value={kind}
        allowDeselect={false}
        onChange={(chosen) => setKind((chosen as TokenKind | null) ?? kind)}
      />
      <TextInput
        type="number"
        label={t('token.days')}
        required
        min={1}
        max={DAYS_MAX[kind]}
        step={1}
        value={String(days)}
        onChange={(event) => setDays(Math.trunc(Number(event.currentTarget.value)))}
      />
      <TextInput
        label={t('token.network')}
        description={t(kind === 'query' ? 'token.network_text' : 'token.network_needed')}
        placeholder="192.0.2.0/24"
        autoComplete="off"
        required={kind === 'export'}
        value={network}
        onChange={(event) => setNetwork(event.currentTarget.value)}
      />
      {kind === 'export' && (
        <Textarea
          label={t('token.export')}
          description={t('token.export_text')}
          placeholder='{"what": {"kind": "persons", "fields": ["email"]}, …}'
          required
          autosize
          minRows={4}
          spellCheck={false}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
        />
      )}
    </Confirm>
  );
}

function Rotate({ token, onDone }: { token: Token; onDone: () => void }) {
  const { t } = useTranslation();
  const project = useProject();
  const [made, setMade] = useState<TokenMade | null>(null);
  if (made) return <Once made={made} onDone={onDone} />;
  return (
    <Confirm
      label={t('token.rotate')}
      act={() => rotateToken(project.id, token.number)}
      onDone={setMade}
      onCancel={onDone}
    >
      <p className={classes.lead}>{t('token.rotate_text')}</p>
    </Confirm>
  );
}

function Revoke({ token, onDone }: { token: Token; onDone: () => void }) {
  const { t } = useTranslation();
  const project = useProject();
  const revoking = useMutation({
    mutationFn: () => revokeToken(project.id, token.number),
    onSuccess: onDone,
  });
  return (
    <Stack gap="md">
      <p className={classes.lead}>{t('token.revoke_text')}</p>
      <ErrorNote error={revoking.error} />
      <Group justify="flex-end">
        <Button variant="default" onClick={onDone}>
          {t('shell.cancel')}
        </Button>
        <Button color="red" loading={revoking.isPending} onClick={() => revoking.mutate()}>
          {t('token.revoke')}
        </Button>
      </Group>
    </Stack>
  );
}
