// How far an exposure went, and when: persons by kind of data in each part of its time. Each cell is an exact
// answer of its own: a person of two parts is in both.

import { Skeleton } from '@mantine/core';
import { useQueries } from '@tanstack/react-query';
import { useMemo } from 'react';
import { exposureQuery } from '../api/oversight';
import type { Exposure, ExposureQuestion } from '../api/types';
import { useTranslation } from '../i18n';
import type { Format } from '../i18n/format';
import { ErrorNote } from '../ui/ErrorNote';
import { useWords } from '../ui/fields';
import { offsetAt } from '../ui/instant';
import { useProject, useProjectFormat } from '../ui/project';
import { type Slice, slicesOf } from './slices';
import classes from './Timeline.module.css';

const DAY_MS = 24 * 3_600_000;

interface TimelineProps {
  exposure: Exposure;
  question: ExposureQuestion;
}

export function Timeline({ exposure, question }: TimelineProps) {
  const { t } = useTranslation();
  const { time_zone } = useProject();
  const format = useProjectFormat();
  const words = useWords();
  const { first, last } = exposure.sum;
  const { slices, step } = useMemo(() => {
    if (!first || !last) return { slices: [], step: DAY_MS };
    const [began, ended] = [Date.parse(first), Date.parse(last)];
    return slicesOf(began, ended, offsetAt(began, time_zone));
  }, [first, last, time_zone]);
  const answers = useQueries({
    queries: slices.map((slice) => exposureQuery(within(question, slice))),
  });
  const error = answers.find((answer) => answer.error)?.error;
  if (error) return <ErrorNote error={error} />;
  if (answers.some(({ isPending }) => isPending)) return <Skeleton height={160} />;
  const columns = answers.map(({ data }) => data);
  const most = Math.max(
    1,
    ...columns.flatMap((one) => one?.groups.map(({ authorised }) => authorised) ?? []),
  );
  const groups = exposure.groups.filter(({ authorised }) => authorised > 0);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard.
    <section className={classes.scroll} tabIndex={0} aria-label={t('exposure.over_time')}>
      <table className={classes.table}>
        <caption className={classes.hidden}>{t('exposure.over_time_text')}</caption>
        <thead>
          <tr>
            <td />
            {slices.map((slice) => (
              <th key={slice.from} scope="col">
                {nameOf(slice, step, format)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {groups.map(({ name }) => (
            <tr key={name}>
              <th scope="row">{words.group(name)}</th>
              {columns.map((one, at) => {
                const persons = one?.groups.find((group) => group.name === name)?.authorised ?? 0;
                return (
                  <td
                    key={slices[at]?.from}
                    className={classes.cell}
                    data-none={persons === 0 || undefined}
                    // A root scale: one person beside a thousand is still to be seen.
                    style={{ '--share': Math.sqrt(persons / most).toFixed(3) } as React.CSSProperties}
                  >
                    {format.count(persons)}
                  </td>
                );
              })}
            </tr>
          ))}
          <tr className={classes.all}>
            <th scope="row">{t('exposure.disclosures')}</th>
            {columns.map((one, at) => (
              <td key={slices[at]?.from}>{format.count(one?.sum.disclosures ?? 0)}</td>
            ))}
          </tr>
        </tbody>
      </table>
    </section>
  );
}

/** The same question of one part alone, and of no more than was asked. */
function within(question: ExposureQuestion, { from, to }: Slice): ExposureQuestion {
  const later = Math.max(from, question.from ? Date.parse(question.from) : from);
  const earlier = Math.min(to, question.to ? Date.parse(question.to) : to);
  return { ...question, from: new Date(later).toISOString(), to: new Date(earlier).toISOString() };
}

const nameOf = ({ from }: Slice, step: number, format: Format): string =>
  step < DAY_MS
    ? format.bucket(new Date(from).toISOString(), 'hour', 'short')
    : format.bucket(new Date(from).toISOString(), 'day', 'short');
