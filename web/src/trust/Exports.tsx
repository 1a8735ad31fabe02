// What was asked for: where each request stands, how far it is while it leaves, its file and its proof.

import { Button, Code, Group, Skeleton, Stack } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Fragment, useState } from 'react';
import { type Download, denyDisclosure, runDisclosure, withdrawDisclosure } from '../api/oversight';
import { disclosuresQuery, projectsQuery } from '../api/queries';
import type { Disclosure } from '../api/types';
import { useTranslation } from '../i18n';
import { Bar } from '../ui/Bar';
import { Confirm } from '../ui/Confirm';
import { DataTable } from '../ui/DataTable';
import { Dialog } from '../ui/Dialog';
import { saveBytes } from '../ui/download';
import { EmptyState } from '../ui/EmptyState';
import { ErrorNote } from '../ui/ErrorNote';
import { useMemberName } from '../ui/members';
import page from '../ui/Page.module.css';
import { useProjectFormat } from '../ui/project';
import { ProofButton } from './Proof';
import { RequestText } from './request';
import classes from './Trust.module.css';

const WAITING_EVERY_MS = 15_000;
const RUNNING_EVERY_MS = 1_000;

export function Exports() {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const memberName = useMemberName();
  const { data: projects = [] } = useQuery(projectsQuery());
  const projectName = (id: number) => projects.find((one) => one.id === id)?.name ?? String(id);
  const [running, setRunning] = useState<Disclosure | null>(null);
  const {
    data: all,
    error,
    isPending,
  } = useQuery({
    ...disclosuresQuery(),
    refetchInterval: ({ state }) =>
      state.data?.some((one) => one.state === 'running') ? RUNNING_EVERY_MS : WAITING_EVERY_MS,
  });

  return (
    <section className={page.panel} aria-label={t('exports.list')} aria-busy={isPending}>
      <h2 className={page.subtitle}>{t('exports.list')}</h2>
      <ErrorNote error={error} />
      {isPending && <Skeleton height={160} />}
      {all?.length === 0 && (
        <EmptyState compact title={t('exports.none')}>
          <p>{t('exports.none_text')}</p>
          <Code block>age-keygen -o key.txt</Code>
        </EmptyState>
      )}
      {all && all.length > 0 && (
        <DataTable
          texts
          caption={t('exports.list')}
          head={[
            t('exports.number'),
            t('exports.asked'),
            t('exports.what'),
            t('exports.state'),
            t('data.acts'),
          ]}
          rows={all.map((one) => ({
            key: String(one.id),
            name: format.count(one.id),
            cells: [
              <Fragment key="asked">
                {one.is_mine ? t('exports.you') : (one.member_name ?? memberName(one.member))}
                <div className={classes.soft}>{format.dateTime(one.created_at)}</div>
              </Fragment>,
              <Fragment key="what">
                <RequestText project={one.project} request={one.request} />
                <div className={classes.soft}>
                  {projectName(one.project)} · {t(`purposes.${one.request.purpose}`)}
                </div>
              </Fragment>,
              <State key="state" disclosure={one} />,
              <Acts key="acts" disclosure={one} onRun={() => setRunning(one)} />,
            ],
          }))}
        />
      )}
      <Dialog
        opened={running !== null}
        onClose={() => setRunning(null)}
        title={t('exports.run_of', { number: running?.id })}
      >
        {running && <Run disclosure={running} onClose={() => setRunning(null)} />}
      </Dialog>
    </section>
  );
}

function State({ disclosure }: { disclosure: Disclosure }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const { state, approvals, approvals_needed, held_until, self_approved_at, progress } = disclosure;
  const size = t('exports.rows', { count: progress.rows, number: format.count(progress.rows) });
  if (state === 'waiting') {
    const until = [held_until, approvals.length < approvals_needed ? self_approved_at : null]
      .filter((time) => typeof time === 'string')
      .sort()
      .at(-1);
    return (
      <>
        {t('exports.approved', { count: approvals_needed, done: approvals.length })}
        {until && (
          <div className={classes.soft}>{t('exports.not_before', { time: format.dateTime(until) })}</div>
        )}
      </>
    );
  }
  if (state === 'running') {
    return (
      <>
        {size}
        <Bar label={t('exports.run_of', { number: disclosure.id })} done={progress.done} of={progress.of} />
      </>
    );
  }
  return (
    <>
      {t(`export_states.${state}`)}
      {(state === 'done' || state === 'aborted') && <div className={classes.soft}>{size}</div>}
      {state === 'ready' && (
        <div className={classes.soft}>
          {t('exports.until', { time: format.dateTime(disclosure.expires_at) })}
        </div>
      )}
    </>
  );
}

function Acts({ disclosure, onRun }: { disclosure: Disclosure; onRun: () => void }) {
  const { t } = useTranslation();
  const queryClient = useQueryClient();
  const withdrawing = useMutation({
    mutationFn: () => withdrawDisclosure(disclosure.id),
    onSettled: () => queryClient.invalidateQueries({ queryKey: disclosuresQuery().queryKey }),
  });
  const denying = useMutation({
    mutationFn: () => denyDisclosure(disclosure.id),
    onSettled: () => queryClient.invalidateQueries({ queryKey: disclosuresQuery().queryKey }),
  });
  const { id, state, is_mine, is_for_me } = disclosure;
  const isOpen = state === 'waiting' || state === 'ready' || state === 'running';
  return (
    <Group gap="xs" justify="flex-end" wrap="nowrap">
      {is_mine && state === 'ready' && (
        <Button size="compact-xs" aria-label={t('exports.run_of', { number: id })} onClick={onRun}>
          {t('exports.run')}
        </Button>
      )}
      {is_mine && isOpen && (
        <Button
          size="compact-xs"
          variant="default"
          loading={withdrawing.isPending}
          aria-label={t('exports.withdraw_of', { number: id })}
          onClick={() => withdrawing.mutate()}
        >
          {t('exports.withdraw')}
        </Button>
      )}
      {/* Whoever may decide may also stop what was approved. */}
      {is_for_me && (
        <Button
          size="compact-xs"
          variant="default"
          loading={denying.isPending}
          aria-label={t('approvals.deny_of', { number: id })}
          onClick={() => denying.mutate()}
        >
          {t('approvals.deny')}
        </Button>
      )}
      {state === 'done' && <ProofButton disclosure={id} />}
      <ErrorNote error={withdrawing.error ?? denying.error} />
    </Group>
  );
}

/** The file comes as the answer to a factor that is shown again; meanwhile the ledger says how far it is. */
function Run({ disclosure, onClose }: { disclosure: Disclosure; onClose: () => void }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const queryClient = useQueryClient();
  const [saved, setSaved] = useState<Download | null>(null);
  if (saved) {
    return (
      <Stack gap="md">
        <p role="status" className={page.lead}>
          {t('exports.saved', { name: saved.name, bytes: format.count(saved.bytes.size) })}
        </p>
        <p className={page.lead}>{t('exports.verify')}</p>
        <Group justify="space-between">
          <ProofButton disclosure={disclosure.id} />
          <Button variant="default" onClick={onClose}>
            {t('shell.close')}
          </Button>
        </Group>
      </Stack>
    );
  }
  return (
    <Confirm
      label={t('exports.run')}
      act={() => {
        // The list says how far it is, from now on each second.
        setTimeout(refresh, RUNNING_EVERY_MS);
        return runDisclosure(disclosure.id, disclosure.hash);
      }}
      onDone={(made) => {
        saveBytes(made.name, made.bytes);
        setSaved(made);
        refresh();
      }}
      onCancel={onClose}
    >
      <p className={page.lead}>
        <RequestText project={disclosure.project} request={disclosure.request} />
      </p>
      <p className={page.lead}>
        {t(disclosure.request.recipient ? 'exports.run_text' : 'exports.run_clear')}
      </p>
      <Progress disclosure={disclosure.id} />
    </Confirm>
  );

  function refresh() {
    queryClient.invalidateQueries({ queryKey: disclosuresQuery().queryKey });
  }
}

function Progress({ disclosure }: { disclosure: number }) {
  const { t } = useTranslation();
  const { data: all = [] } = useQuery(disclosuresQuery());
  const one = all.find(({ id }) => id === disclosure);
  if (one?.state !== 'running') return null;
  return (
    <Bar label={t('exports.run_of', { number: disclosure })} done={one.progress.done} of={one.progress.of} />
  );
}
