// The frame of every report: the question at the left, the answer at the right, and beneath it where the
// numbers come from.

import { ActionIcon, Loader, Skeleton, Tooltip } from '@mantine/core';
import { IconRefresh } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useEffect, useState } from 'react';
import { planQuery } from '../api/queries';
import type { Answer } from '../api/types';
import { useTranslation } from '../i18n';
import { ErrorNote } from './ErrorNote';
import { useProject, useProjectFormat } from './project';
import classes from './Report.module.css';
import { useNow } from './time';

interface ReportProps {
  title: string;
  rail: ReactNode;
  /** Date, unit, shape of the chart. */
  tools: ReactNode;
  answer: Answer | undefined;
  error: Error | null;
  loading: boolean;
  outdated: boolean;
  /** Without it the answer is not one to ask for again. */
  onRefresh: (() => void) | undefined;
  children: ReactNode;
}

const SKELETON_AFTER_MS = 200;

export function Report(props: ReportProps) {
  const { title, rail, tools, answer, error, loading, outdated, onRefresh, children } = props;
  const { t } = useTranslation();
  const late = useLate(loading || outdated);
  return (
    <div className={classes.page}>
      <div className={classes.rail}>{rail}</div>
      <div className={classes.main}>
        <div className={classes.head}>
          <h1 className={classes.title}>{title}</h1>
          <div className={classes.tools}>{tools}</div>
        </div>
        <section className={classes.panel} aria-label={t('report.answer')} aria-busy={loading || outdated}>
          {late && outdated && <Loader size="xs" className={classes.working} />}
          {error && !loading ? <ErrorNote error={error} /> : null}
          {loading ? (
            <div className={classes.skeleton}>{late && <Skeleton height={340} />}</div>
          ) : (
            <div className={classes.answer} data-outdated={(outdated && late) || undefined}>
              {children}
            </div>
          )}
          {answer && <Provenance answer={answer} onRefresh={onRefresh} />}
        </section>
      </div>
    </div>
  );
}

/** What a reader needs to trust a number: how fresh, over how much, in which zone, and whether exact. */
function Provenance({ answer, onRefresh }: Pick<ReportProps, 'onRefresh'> & { answer: Answer }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const now = useNow();
  const { data: plan } = useQuery(planQuery(useProject().id));
  const days = plan?.keep?.events_days;
  const facts = [
    t('report.computed', { ago: format.ago(answer.computed_at, now) }),
    t('report.events', { count: answer.events_scanned, number: format.count(answer.events_scanned) }),
    format.duration(answer.duration_ms),
    answer.time_zone,
    answer.exact ? t('report.exact') : t('report.sampled'),
    // What is older is not in the answer, whatever its dates say.
    ...(days ? [t('report.kept', { count: days })] : []),
  ];
  return (
    <footer className={classes.footer}>
      <span>{facts.join(' · ')}</span>
      {onRefresh && (
        <Tooltip label={t('report.refresh')}>
          <ActionIcon
            variant="subtle"
            color="gray"
            size={24}
            aria-label={t('report.refresh')}
            onClick={onRefresh}
          >
            <IconRefresh size={14} />
          </ActionIcon>
        </Tooltip>
      )}
    </footer>
  );
}

/** True once something has been going on for longer than the eye forgives. */
function useLate(going: boolean): boolean {
  const [late, setLate] = useState(false);
  useEffect(() => {
    if (!going) {
      setLate(false);
      return;
    }
    const timer = window.setTimeout(() => setLate(true), SKELETON_AFTER_MS);
    return () => window.clearTimeout(timer);
  }, [going]);
  return late;
}
