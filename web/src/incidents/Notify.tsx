// Telling those it concerns: the very texts, by audience, before anybody signs them; two people who sign; how
// the notices go out; and those whom none reached.

import { Button, Group, SegmentedControl, Skeleton, Stack } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import {
  incidentQuery,
  incidentsQuery,
  noticeDraftQuery,
  noticeProgressQuery,
  pauseNotices,
  signNotices,
  unreachedQuery,
  updateIncident,
} from '../api/oversight';
import type { Incident, Language, NoticeProgress } from '../api/types';
import { LANGUAGES, translateCode, useTranslation } from '../i18n';
import { Bar } from '../ui/Bar';
import { Confirm } from '../ui/Confirm';
import { DataTable } from '../ui/DataTable';
import { ErrorNote } from '../ui/ErrorNote';
import { useMay } from '../ui/may';
import { useMemberName } from '../ui/members';
import { NotAllowed } from '../ui/NotAllowed';
import page from '../ui/Page.module.css';
import { useProjectFormat } from '../ui/project';
import classes from './Incidents.module.css';

const EVERY_MS = 2_000;

export function Notify({ incident }: { incident: Incident }) {
  const { t } = useTranslation();
  const newest = incident.scopes.at(-1)?.version ?? 0;
  return (
    <Stack gap="md">
      {newest === 0 && <p className={page.lead}>{t('notify.no_scope')}</p>}
      {newest > incident.published && <Draft incident={incident} version={newest} />}
      {incident.published > 0 && <Sending incident={incident.id} />}
      <PublicPage incident={incident} />
    </Stack>
  );
}

function Draft({ incident, version }: { incident: Incident; version: number }) {
  const { t, language: reading } = useTranslation();
  const format = useProjectFormat();
  const queryClient = useQueryClient();
  const may = useMay();
  const memberName = useMemberName();
  const [language, setLanguage] = useState<Language>(reading);
  const [isSigned, setSigned] = useState(false);
  const draftQuery = noticeDraftQuery(incident.id, language);
  const { data: draft, error, isPending } = useQuery(draftQuery);
  const by = draft?.signed_by;
  return (
    <Stack gap="md">
      <p className={page.lead}>{t('notify.lead', { version })}</p>
      <Group>
        <SegmentedControl
          aria-label={t('notify.language')}
          data={Object.entries(LANGUAGES).map(([value, label]) => ({ value, label }))}
          value={language}
          onChange={(next) => setLanguage(next as Language)}
        />
      </Group>
      <ErrorNote error={error} />
      {isPending && <Skeleton height={160} />}
      {draft?.texts.map((one, at) => (
        <article key={at} className={classes.notice} lang={language}>
          <h4 lang={reading}>
            {t('notify.audience', {
              audience: translateCode('audiences', one.audience),
              count: one.recipients,
              number: format.count(one.recipients),
            })}
          </h4>
          <p className={classes.subject}>{one.subject}</p>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard. */}
          <section className={classes.text} tabIndex={0} aria-label={one.subject}>
            {one.text}
          </section>
        </article>
      ))}
      {draft && !may('publish_notice') && <NotAllowed slim control="publish_notice" />}
      {draft && may('publish_notice') && (
        <Confirm
          label={t(by ? 'notify.sign_second' : 'notify.sign')}
          color={by ? 'red' : undefined}
          act={() => signNotices(incident.id, language)}
          onDone={({ signed }) => {
            setSigned(true);
            // Once they are published there is nothing left to draft, and something to count.
            const next =
              signed === 'published'
                ? [incidentQuery(incident.id).queryKey, noticeProgressQuery(incident.id).queryKey]
                : [draftQuery.queryKey];
            for (const queryKey of next) queryClient.invalidateQueries({ queryKey, exact: true });
          }}
        >
          <p className={page.lead}>
            {by ? t('notify.signed_by', { name: memberName(by) }) : t('notify.two')}
          </p>
          {isSigned && (
            <p className={page.lead} role="status">
              {t('notify.signed')}
            </p>
          )}
        </Confirm>
      )}
    </Stack>
  );
}

function Sending({ incident }: { incident: number }) {
  const { t } = useTranslation();
  const may = useMay();
  const { data: versions, error } = useQuery({
    ...noticeProgressQuery(incident),
    refetchInterval: ({ state }) =>
      // Published and not counted yet, or not all sent.
      state.data?.every(({ queued, in_flight }) => queued + in_flight === 0) && state.data.length > 0
        ? false
        : EVERY_MS,
  });
  return (
    <>
      <h3 className={page.subtitle}>{t('notify.sending')}</h3>
      <ErrorNote error={error} />
      {versions?.map((one) => (
        <Version key={one.version} progress={one} />
      ))}
      {versions && versions.length > 0 && may('publish_notice') && (
        <Pause incident={incident} isPaused={versions.some(({ is_paused }) => is_paused)} />
      )}
      <Unreached incident={incident} />
    </>
  );
}

function Version({ progress }: { progress: NoticeProgress }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const { version, total, accepted, bounced, suppressed, queued, in_flight, retrying, rate, eta_s } =
    progress;
  const ended = accepted + bounced + suppressed;
  const facts: [string, string][] = [
    [t('notify.accepted'), format.count(accepted)],
    [t('notify.waiting'), format.count(queued + in_flight)],
    [t('notify.retrying'), format.count(retrying)],
    [t('notify.bounced'), format.count(bounced)],
    [t('notify.suppressed'), format.count(suppressed)],
    [t('notify.rate'), t('notify.per_second', { number: format.decimal(rate) })],
    [t('notify.eta'), eta_s === null || eta_s === undefined ? '–' : format.duration(eta_s * 1_000)],
  ];
  return (
    <div>
      <p className={page.count}>
        {t('notify.version', { version, done: format.count(ended), total: format.count(total) })}
        {progress.is_paused && ` · ${t('notify.paused')}`}
      </p>
      <Bar label={t('notify.version', { version, done: ended, total })} done={ended} of={total} />
      <dl className={classes.counts}>
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {progress.trouble && (
        <p className={page.refusal} role="alert" lang="en">
          {progress.trouble}
        </p>
      )}
      {progress.reasons.length > 0 && (
        <p className={page.lead}>
          {format.list(
            progress.reasons.map(
              ([reason, count]) =>
                `${translateCode('notice_reasons', String(reason))}: ${format.count(Number(count))}`,
            ),
          )}
        </p>
      )}
    </div>
  );
}

function Pause({ incident, isPaused }: { incident: number; isPaused: boolean }) {
  const { t } = useTranslation();
  const queryClient = useQueryClient();
  return (
    <Confirm
      label={t(isPaused ? 'notify.resume' : 'notify.pause')}
      act={() => pauseNotices(incident, !isPaused)}
      onDone={() => queryClient.invalidateQueries({ queryKey: noticeProgressQuery(incident).queryKey })}
    >
      <p className={page.lead}>{t(isPaused ? 'notify.resume_text' : 'notify.pause_text')}</p>
    </Confirm>
  );
}

function Unreached({ incident }: { incident: number }) {
  const { t } = useTranslation();
  const { data: unreached = [], error } = useQuery(unreachedQuery(incident));
  if (error) return <ErrorNote error={error} />;
  if (unreached.length === 0) return null;
  return (
    <>
      <p className={page.lead}>{t('notify.unreached_text', { count: unreached.length })}</p>
      <DataTable
        texts
        caption={t('notify.unreached')}
        head={[t('notify.unreached'), t('notify.why')]}
        rows={unreached.map(([who, why = ''], at) => ({
          key: String(at),
          name: who,
          cells: [translateCode('notice_reasons', why)],
        }))}
      />
    </>
  );
}

/** What anybody may see: said when it is there, and shown by somebody who decides to. */
function PublicPage({ incident }: { incident: Incident }) {
  const { t } = useTranslation();
  const may = useMay();
  const queryClient = useQueryClient();
  const [asking, setAsking] = useState(false);
  const address = `/incidents/${incident.id}`;
  if (incident.times.public_us) {
    return (
      <p className={page.lead}>
        {t('notify.is_public')}{' '}
        <a href={address} target="_blank" rel="noreferrer">
          {address}
        </a>
      </p>
    );
  }
  if (incident.stage === 'closed' || !may('declare_incident')) return null;
  if (!asking) {
    return (
      <Group>
        <Button variant="default" onClick={() => setAsking(true)}>
          {t('notify.make_public')}
        </Button>
      </Group>
    );
  }
  return (
    <Confirm
      label={t('notify.make_public')}
      color="red"
      act={() => updateIncident(incident.id, { make_public: true })}
      onDone={() => {
        setAsking(false);
        queryClient.invalidateQueries({ queryKey: incidentsQuery().queryKey });
      }}
      onCancel={() => setAsking(false)}
    >
      <p className={page.lead}>{t('notify.public_text')}</p>
    </Confirm>
  );
}
