// Which days are asked about: the usual spans, or two dates from a calendar. Dates are civil dates of the
// project's zone, which is named beneath, since "today" depends on it.

import { Loader, Popover } from '@mantine/core';
import { IconCalendar, IconChevronDown } from '@tabler/icons-react';
import { lazy, Suspense, useState } from 'react';
import type { DateRange } from '../api/types';
import { useTranslation } from '../i18n';
import { useProject, useProjectFormat } from '../ui/project';
import { encodeRange } from './codec';
import classes from './DateRangePicker.module.css';

const Calendar = lazy(() => import('./Calendar'));

const PRESETS: Extract<DateRange, { kind: 'last' }>[] = [
  { kind: 'last', count: 60, unit: 'minute' },
  { kind: 'last', count: 24, unit: 'hour' },
  { kind: 'last', count: 1, unit: 'day' },
  { kind: 'last', count: 7, unit: 'day' },
  { kind: 'last', count: 30, unit: 'day' },
  { kind: 'last', count: 90, unit: 'day' },
  { kind: 'last', count: 8, unit: 'week' },
  { kind: 'last', count: 12, unit: 'week' },
  { kind: 'last', count: 6, unit: 'month' },
  { kind: 'last', count: 12, unit: 'month' },
];

interface DateRangePickerProps {
  range: DateRange;
  onChange: (range: DateRange) => void;
}

export function DateRangePicker({ range, onChange }: DateRangePickerProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const project = useProject();
  const [opened, setOpened] = useState(false);
  const [dates, setDates] = useState<[string | null, string | null]>([null, null]);

  const nameOf = (one: DateRange) => {
    if (one.kind === 'between')
      return one.from === one.to
        ? format.civilDate(one.from)
        : `${format.civilDate(one.from)} – ${format.civilDate(one.to)}`;
    if (one.unit === 'day' && one.count === 1) return t('range.today');
    return t(`range.${one.unit}`, { count: one.count });
  };

  const choose = (next: DateRange) => {
    onChange(next);
    setOpened(false);
  };

  const open = (next: boolean) => {
    setOpened(next);
    if (next) setDates(range.kind === 'between' ? [range.from, range.to] : [null, null]);
  };

  return (
    <Popover opened={opened} onChange={open} position="bottom-start" trapFocus returnFocus>
      <Popover.Target>
        <button
          type="button"
          className={classes.target}
          aria-label={`${t('range.label')}: ${nameOf(range)}`}
          onClick={() => open(!opened)}
        >
          <IconCalendar size={15} aria-hidden="true" />
          {nameOf(range)}
          <IconChevronDown size={14} aria-hidden="true" />
        </button>
      </Popover.Target>
      <Popover.Dropdown className={classes.dropdown} aria-label={t('range.label')}>
        <div className={classes.presets}>
          {PRESETS.map((preset) => (
            <button
              key={encodeRange(preset)}
              type="button"
              className={classes.preset}
              aria-pressed={encodeRange(preset) === encodeRange(range)}
              onClick={() => choose(preset)}
            >
              {nameOf(preset)}
            </button>
          ))}
        </div>
        <div className={classes.calendar}>
          <Suspense fallback={<Loader size="sm" m="xl" />}>
            <Calendar
              dates={dates}
              onChange={(next) => {
                setDates(next);
                const [from, to] = next;
                if (from && to) choose({ kind: 'between', from, to });
              }}
            />
          </Suspense>
          <div className={classes.zone}>{t('range.zone', { zone: project.time_zone })}</div>
        </div>
      </Popover.Dropdown>
    </Popover>
  );
}
