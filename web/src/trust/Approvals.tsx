// What waits for a second person: requests of others, with everything that is asked for; and limits that
// tripped, which two people close.

import { Button, Group, Skeleton } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Fragment, useState } from 'react';
import { approveDisclosure, closeTrip, denyDisclosure, tripsQuery } from '../api/oversight';
import { disclosuresQuery, projectsQuery } from '../api/queries';
import type { Disclosure, Trip } from '../api/types';
import { useTranslation } from '../i18n';
import { Confirm } from '../ui/Confirm';
import { DataTable } from '../ui/DataTable';
import { Dialog } from '../ui/Dialog';
import { EmptyState } from '../ui/EmptyState';
import { ErrorNote } from '../ui/ErrorNote';
import { useMay } from '../ui/may';
import { useMemberName } from '../ui/members';
import page from '../ui/Page.module.css';
import { useProject, useProjectFormat } from '../ui/project';
import { useWaiting } from '../ui/waiting';
import { RequestText } from './request';
import classes from './Trust.module.css';

const EVERY_MS = 15_000;

export function Approvals() {
  const { t } = useTranslation();
  const project = useProject();
  const may = useMay();
  const { data: waiting, error, isPending } = useWaiting(EVERY_MS);
  const [approving, setApproving] = useState<Disclosure | null>(null);
  return (
    <section className={page.panel} aria-label={t('approvals.list')} aria-busy={isPending}>
      <h2 className={page.subtitle}>{t('approvals.list')}</h2>
      <ErrorNote error={error} />
      {isPending && <Skeleton height={160} />}
      {waiting?.length === 0 && (
        <EmptyState
          compact
          title={t('approvals.none')}
          action={
            may('read_members') && (
              <Button
                component={Link}
                to="/p/$project/members"
                params={{ project: String(project.id) } as never}
                variant="default"
              >
                {t('approvals.members')}
              </Button>
            )
          }
        >
          {t('approvals.none_text')}
        </EmptyState>
      )}
      <div className={classes.cards}>
        {waiting?.map((one) => (
          <Request key={one.id} disclosure={one} onApprove={() => setApproving(one)} />
        ))}
      </div>
      <Dialog
        opened={approving !== null}
        onClose={() => setApproving(null)}
        title={t('approvals.approve_of', { number: approving?.id })}
      >
        {approving && <Approve disclosure={approving} onClose={() => setApproving(null)} />}
      </Dialog>
    </section>
  );
}

/** All that whoever decides has to know: who, what, of whom, why, for whose eyes. */
function Facts({ disclosure }: { disclosure: Disclosure }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const { data: projects = [] } = useQuery(projectsQuery());
  const { request, approvals, approvals_needed } = disclosure;
  const rows: [string, React.ReactNode][] = [
    [t('exports.what'), <RequestText key="what" project={disclosure.project} request={request} />],
    [t('disclosed.purpose'), t(`purposes.${request.purpose}`)],
    [
      t('disclosed.project'),
      projects.find(({ id }) => id === disclosure.project)?.name ?? String(disclosure.project),
    ],
    [
      t('approvals.recipient'),
      request.recipient ? (
        <span key="recipient" className={classes.mono}>
          {request.recipient}
        </span>
      ) : (
        t('approvals.in_clear')
      ),
    ],
    [t('exports.asked'), format.dateTime(disclosure.created_at)],
    [t('approvals.title'), t('exports.approved', { count: approvals_needed, done: approvals.length })],
  ];
  return (
    <dl className={classes.facts}>
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Request({ disclosure, onApprove }: { disclosure: Disclosure; onApprove: () => void }) {
  const { t } = useTranslation();
  const memberName = useMemberName();
  const queryClient = useQueryClient();
  const denying = useMutation({
    mutationFn: () => denyDisclosure(disclosure.id),
    onSettled: () => queryClient.invalidateQueries({ queryKey: disclosuresQuery().queryKey }),
  });
  const name = disclosure.member_name ?? memberName(disclosure.member);
  return (
    <article className={page.panel} aria-label={t('approvals.asks', { name })} style={{ margin: 0 }}>
      <h3 className={classes.who}>{t('approvals.asks', { name })}</h3>
      <Facts disclosure={disclosure} />
      <ErrorNote error={denying.error} />
      <Group mt="md" justify="flex-end">
        <Button
          variant="default"
          loading={denying.isPending}
          aria-label={t('approvals.deny_of', { number: disclosure.id })}
          onClick={() => denying.mutate()}
        >
          {t('approvals.deny')}
        </Button>
        <Button aria-label={t('approvals.approve_of', { number: disclosure.id })} onClick={onApprove}>
          {t('approvals.approve')}
        </Button>
      </Group>
    </article>
  );
}

function Approve({ disclosure, onClose }: { disclosure: Disclosure; onClose: () => void }) {
  const { t } = useTranslation();
  const queryClient = useQueryClient();
  return (
    <Confirm
      label={t('approvals.approve')}
      act={() => approveDisclosure(disclosure.id, disclosure.hash)}
      onDone={() => {
        queryClient.invalidateQueries({ queryKey: disclosuresQuery().queryKey });
        onClose();
      }}
      onCancel={onClose}
    >
      <Facts disclosure={disclosure} />
      <p className={page.lead}>{t('approvals.text')}</p>
    </Confirm>
  );
}

export function Trips() {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const memberName = useMemberName();
  const may = useMay();
  const { data: trips, error, isPending } = useQuery(tripsQuery());
  const [closing, setClosing] = useState<Trip | null>(null);
  return (
    <section className={page.panel} aria-label={t('limits.list')} aria-busy={isPending}>
      <h2 className={page.subtitle}>{t('limits.list')}</h2>
      <ErrorNote error={error} />
      {isPending && <Skeleton height={80} />}
      {trips?.length === 0 && (
        <EmptyState compact title={t('limits.none')}>
          {t('limits.none_text')}
        </EmptyState>
      )}
      {trips && trips.length > 0 && (
        <DataTable
          texts
          sentences
          caption={t('limits.list')}
          head={[
            t('disclosed.entry'),
            t('limits.when'),
            t('limits.rule'),
            t('limits.bars'),
            t('exports.state'),
            t('data.acts'),
          ]}
          rows={trips.map((trip) => ({
            key: String(trip.id),
            name: format.count(trip.entry),
            cells: [
              format.dateTime(trip.tripped_at),
              <Fragment key="rule">
                {t(`limit_rules.${trip.rule}`)}
                <div className={classes.soft}>{t('limits.by', { name: memberName(trip.by_member) })}</div>
              </Fragment>,
              trip.member ? memberName(trip.member) : t('limits.everybody'),
              trip.closed_at
                ? t('limits.closed', { time: format.dateTime(trip.closed_at) })
                : t('limits.closings', { count: trip.closings_needed, done: trip.closings }),
              trip.closed_at || !may('unlock') ? (
                '–'
              ) : (
                <Button
                  key="close"
                  size="compact-xs"
                  variant="default"
                  aria-label={t('limits.close_of', { number: trip.id })}
                  onClick={() => setClosing(trip)}
                >
                  {t('limits.close')}
                </Button>
              ),
            ],
          }))}
        />
      )}
      <Dialog
        opened={closing !== null}
        onClose={() => setClosing(null)}
        title={t('limits.close_of', { number: closing?.id })}
      >
        {closing && <CloseTrip trip={closing} onClose={() => setClosing(null)} />}
      </Dialog>
    </section>
  );
}

function CloseTrip({ trip, onClose }: { trip: Trip; onClose: () => void }) {
  const { t } = useTranslation();
  const queryClient = useQueryClient();
  return (
    <Confirm
      label={t('limits.close')}
      act={() => closeTrip(trip.id)}
      onDone={() => {
        queryClient.invalidateQueries({ queryKey: tripsQuery().queryKey });
        onClose();
      }}
      onCancel={onClose}
    >
      <p className={page.lead}>{t(`limit_rules.${trip.rule}`)}</p>
      <p className={page.lead}>{t('limits.close_text')}</p>
    </Confirm>
  );
}
