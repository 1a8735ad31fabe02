// What was asked for waits for somebody else: where they find it, and what comes then.

import { Button, Group, Stack } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import type { Asked } from '../api/types';
import { useTranslation } from '../i18n';
import classes from '../ui/Page.module.css';
import { useProject, useProjectFormat } from '../ui/project';

export function Waits({ asked, onClose }: { asked: Asked; onClose: () => void }) {
  const { t } = useTranslation();
  const project = useProject();
  const format = useProjectFormat();
  return (
    <Stack gap="md">
      <p className={classes.lead} role="status">
        {asked.due_at
          ? t('waiting.asked_alone', { number: asked.waiting, time: format.dateTime(asked.due_at) })
          : t('waiting.asked', { number: asked.waiting })}
      </p>
      <Group justify="flex-end">
        <Button
          component={Link}
          to="/p/$project/approvals"
          params={{ project: String(project.id) } as never}
          variant="subtle"
          me="auto"
        >
          {t('nav.approvals')}
        </Button>
        <Button variant="default" onClick={onClose}>
          {t('shell.close')}
        </Button>
      </Group>
    </Stack>
  );
}
