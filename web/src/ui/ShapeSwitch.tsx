// The same answer in another shape. The table is always among them, one key away.

import { SegmentedControl } from '@mantine/core';
import {
  IconChartAreaLine,
  IconChartBar,
  IconChartLine,
  IconFilter2,
  IconNumber123,
  IconTable,
} from '@tabler/icons-react';
import { useRef } from 'react';
import { useTranslation } from '../i18n';
import classes from './ShapeSwitch.module.css';

const ICONS: Record<string, typeof IconTable> = {
  line: IconChartLine,
  curve: IconChartLine,
  bars: IconChartBar,
  stacked: IconChartAreaLine,
  number: IconNumber123,
  chart: IconFilter2,
  table: IconTable,
};

interface ShapeSwitchProps {
  value: string;
  shapes: { value: string; label: string }[];
  onChange: (value: string) => void;
}

export function ShapeSwitch({ value, shapes, onChange }: ShapeSwitchProps) {
  const { t } = useTranslation();
  const before = useRef(shapes.find((shape) => shape.value !== 'table')?.value ?? 'table');
  if (value !== 'table') before.current = value;
  return (
    <>
      <SegmentedControl
        size="xs"
        className={classes.control}
        aria-label={t('report.shape')}
        value={value}
        onChange={onChange}
        data={shapes.map((shape) => {
          const Icon = ICONS[shape.value] ?? IconTable;
          return {
            value: shape.value,
            label: (
              <span className={classes.shape}>
                <Icon size={16} stroke={1.75} aria-hidden="true" />
                <span>{shape.label}</span>
              </span>
            ),
          };
        })}
      />
      <button
        type="button"
        hidden
        data-key="t"
        onClick={() => onChange(value === 'table' ? before.current : 'table')}
      />
    </>
  );
}
