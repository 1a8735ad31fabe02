// How personal values look: never as text, always as a chip that names the class and what the door did.

import { Tooltip } from '@mantine/core';
import {
  IconArrowDownRight,
  IconCheck,
  IconHourglass,
  IconLock,
  IconSpy,
  IconTrash,
} from '@tabler/icons-react';
import type { Action, Class, Detector } from '../api/types';
import { useTranslation } from '../i18n';
import classes from './Personal.module.css';

const ICONS = {
  kept: IconCheck,
  reduced: IconArrowDownRight,
  pseudonymised: IconSpy,
  sealed: IconLock,
  dropped: IconTrash,
  quarantined: IconHourglass,
};

/** What happened to a property at the door, with its class. */
export function ClassChip({
  class: dataClass,
  action,
  detector = 'nothing',
}: {
  class: Class;
  action: Action;
  detector?: Detector;
}) {
  const { t } = useTranslation();
  const Icon = ICONS[action];
  const decided =
    detector === 'nothing' ? '' : t('data.decided_by', { detector: t(`detectors.${detector}`) });
  return (
    <Tooltip
      label={`${t(`actions.${action}_text`)} ${t(`classes.${dataClass}`)} ${decided}`.trim()}
      multiline
      maw={300}
    >
      <span className={classes.chip} data-action={action}>
        <Icon size={12} stroke={2} aria-hidden="true" />
        {t(`actions.${action}`)}
        <span className={classes.class}>{dataClass}</span>
        {detector !== 'nothing' && <span className={classes.hidden}>{decided}</span>}
      </span>
    </Tooltip>
  );
}

interface SealedValueProps {
  class: Class;
  /** `masked`: it is stored as it came, and lists do not show it. */
  action?: Action | 'masked';
}

/** Stands where a value would be. There is nothing behind it: the page never received the value. */
export function SealedValue({ class: dataClass, action = 'sealed' }: SealedValueProps) {
  const { t } = useTranslation();
  return (
    <Tooltip label={`${t(`actions.${action}_text`)} ${t(`classes.${dataClass}`)}`} multiline maw={300}>
      <span className={classes.sealed} data-action={action}>
        <span aria-hidden="true">•••</span>
        <span className={classes.class}>{dataClass}</span>
        <span className={classes.hidden}>{t(`actions.${action}`)}</span>
      </span>
    </Tooltip>
  );
}

/** A plain property value of any JSON type. */
export function PlainValue({ value }: { value: unknown }) {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return <span className={classes.plain}>{text}</span>;
}
