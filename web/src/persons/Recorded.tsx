// What was opened is shown for five minutes: where that is written down, and how long it is shown still.

import { useEffect } from 'react';
import { useTranslation } from '../i18n';
import { useProjectFormat } from '../ui/project';
import { useNow } from '../ui/time';
import classes from './Persons.module.css';

export const SHOWN_MS = 5 * 60_000;

interface RecordedProps {
  /** Of the ledger. */
  entry: number;
  /** Milliseconds since 1970. */
  until: number;
  onOver: () => void;
}

export function Recorded({ entry, until, onOver }: RecordedProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const left = until - useNow();
  useEffect(() => {
    if (left <= 0) onOver();
  }, [left, onOver]);
  return (
    <p className={classes.soft}>
      {t('reveal.recorded', { entry: format.count(entry) })}{' '}
      {t('reveal.left', { time: format.duration(Math.max(0, left)) })}
    </p>
  );
}
