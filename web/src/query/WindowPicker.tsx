// "7 days": a length of time or a number of sessions, within what the server allows.

import type { FunnelWindow, WindowUnit } from '../api/types';
import { useTranslation } from '../i18n';
import { Picker } from '../ui/Picker';
import classes from './Builder.module.css';
import { CountInput } from './CountInput';

const WINDOW_UNITS: WindowUnit[] = ['second', 'minute', 'hour', 'day', 'week', 'month', 'session'];
const WINDOW_DAYS_MAX = 366;
const WINDOW_SESSIONS_MAX = 12;
const UNITS_PER_DAY: Record<Exclude<WindowUnit, 'session'>, number> = {
  second: 86_400,
  minute: 1_440,
  hour: 24,
  day: 1,
  week: 1 / 7,
  month: 1 / 30,
};
const longest = (unit: WindowUnit) =>
  unit === 'session' ? WINDOW_SESSIONS_MAX : Math.floor(WINDOW_DAYS_MAX * UNITS_PER_DAY[unit]);

interface WindowPickerProps {
  label: string;
  window: FunnelWindow;
  /** What it is counted from. */
  words: string;
  onChange: (window: FunnelWindow) => void;
}

export function WindowPicker({ label, window, words, onChange }: WindowPickerProps) {
  const { t } = useTranslation();
  return (
    <div className={classes.cardLine}>
      <CountInput
        label={label}
        value={window.count}
        max={longest(window.unit)}
        onChange={(count) => onChange({ ...window, count })}
      />
      <Picker
        label={t('query.window_unit')}
        value={window.unit}
        options={WINDOW_UNITS.map((unit) => ({
          value: unit,
          label: t(`window_units.${unit}`, { count: window.count }),
        }))}
        onChange={(chosen) => {
          const unit = chosen as WindowUnit;
          onChange({ count: Math.min(window.count, longest(unit)), unit });
        }}
      />
      <span className={classes.word}>{words}</span>
    </div>
  );
}
