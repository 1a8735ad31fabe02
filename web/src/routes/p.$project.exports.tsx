// Exports: asking for one, and where each stands.

import { Button, Group } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { createFileRoute } from '@tanstack/react-router';
import { useState } from 'react';
import type { DateRange } from '../api/types';
import { loadTrustTexts, useTranslation } from '../i18n';
import { DateRangePicker } from '../query/DateRangePicker';
import { ExportForm } from '../trust/ExportForm';
import { Exports as List } from '../trust/Exports';
import { Dialog } from '../ui/Dialog';
import classes from '../ui/Page.module.css';
import { usePageTitle, useProject } from '../ui/project';

export const Route = createFileRoute('/p/$project/exports')({ loader: loadTrustTexts, component: Exports });

const LAST_MONTH: DateRange = { kind: 'last', count: 30, unit: 'day' };

function Exports() {
  const { t } = useTranslation();
  const project = useProject();
  usePageTitle(t('nav.exports'), project.name);
  const [asking, ask] = useDisclosure(false);
  const [range, setRange] = useState(LAST_MONTH);
  return (
    <div className={classes.page}>
      <Group className={classes.head} justify="space-between" align="flex-start">
        <div>
          <h1 className={classes.title}>{t('nav.exports')}</h1>
          <p className={classes.lead}>{t('exports.lead')}</p>
        </div>
        <Button onClick={ask.open}>{t('exports.new')}</Button>
      </Group>
      <List />
      <Dialog opened={asking} onClose={ask.close} title={t('exports.new')} size="lg">
        {asking && (
          <ExportForm
            range={range}
            dates={<DateRangePicker range={range} onChange={setRange} />}
            onDone={ask.close}
            onCancel={ask.close}
          />
        )}
      </Dialog>
    </div>
  );
}
