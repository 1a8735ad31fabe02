// A report in a project that has received nothing: the way to its first event.

import { Button } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useTranslation } from '../i18n';
import { EmptyState } from './EmptyState';
import { useProject } from './project';

export function NoEvents() {
  const { t } = useTranslation();
  const project = useProject();
  return (
    <EmptyState
      title={t('report.no_events')}
      action={
        <Button component={Link} to="/p/$project/start" params={{ project: String(project.id) } as never}>
          {t('report.send_first')}
        </Button>
      }
    >
      {t('report.no_events_text')}
    </EmptyState>
  );
}
