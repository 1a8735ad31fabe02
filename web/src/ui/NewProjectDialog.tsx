// Makes a project: a name, the zone its days are cut in, and how identities are joined.

import { Button, Group, Radio, Stack, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { createProject, type NewProject, projectsQuery } from '../api/queries';
import { useTranslation } from '../i18n';
import { Dialog } from './Dialog';
import { ErrorNote } from './ErrorNote';
import { browserTimeZone, TimeZoneSelect } from './TimeZoneSelect';

export default function NewProjectDialog({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  return (
    <Dialog opened onClose={onClose} title={t('project.new')}>
      <NewProjectForm onClose={onClose} />
    </Dialog>
  );
}

function NewProjectForm({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const queryClient = useQueryClient();
  const [name, setName] = useState('');
  const [timeZone, setTimeZone] = useState(browserTimeZone);
  const [mode, setMode] = useState<NewProject['identity_mode']>('simplified');
  const create = useMutation({
    mutationFn: () => createProject({ name: name.trim(), time_zone: timeZone, identity_mode: mode }),
    onSuccess: async (project) => {
      await queryClient.invalidateQueries({ queryKey: projectsQuery().queryKey });
      onClose();
      await navigate({ to: '/p/$project/start', params: { project: String(project.id) } });
    },
  });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        create.mutate();
      }}
    >
      <Stack gap="md">
        <TextInput
          label={t('project.name')}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          required
          data-autofocus
          maxLength={100}
        />
        <TimeZoneSelect value={timeZone} onChange={setTimeZone} />
        <Radio.Group
          label={t('project.identity')}
          description={t('project.identity_text')}
          value={mode}
          onChange={(next) => setMode(next as NewProject['identity_mode'])}
        >
          <Stack gap="xs" mt="xs">
            <Radio
              value="simplified"
              label={t('project.simplified')}
              description={t('project.simplified_text')}
            />
            <Radio value="original" label={t('project.original')} description={t('project.original_text')} />
          </Stack>
        </Radio.Group>
        <ErrorNote error={create.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            {t('shell.cancel')}
          </Button>
          <Button type="submit" loading={create.isPending}>
            {t('project.create')}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
