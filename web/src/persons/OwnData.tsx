// A person's own data, to hand to them: what for, as what, a factor shown again; then somebody else's agreement,
// and a file. What comes is in clear, and is kept nowhere here.

import { Button, Group, Select, Stack } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { accessPerson } from '../api/oversight';
import { waitingQuery } from '../api/queries';
import type { AccessFormat, AccessPurpose, Asked } from '../api/types';
import { useTranslation } from '../i18n';
import { Confirm } from '../ui/Confirm';
import { Dialog } from '../ui/Dialog';
import { saveBytes } from '../ui/download';
import page from '../ui/Page.module.css';
import { useProject, useProjectFormat } from '../ui/project';
import { Waits } from './Waits';

const PURPOSES = ['subject_access', 'portability'] as const satisfies readonly AccessPurpose[];
const FORMATS = ['html', 'ndjson'] as const satisfies readonly AccessFormat[];

interface OwnDataProps {
  opened: boolean;
  pseudonym: string;
  onClose: () => void;
}

export function OwnData({ opened, pseudonym, onClose }: OwnDataProps) {
  const { t } = useTranslation();
  return (
    <Dialog opened={opened} onClose={onClose} title={t('own_data.title')}>
      {opened && <OwnDataForm pseudonym={pseudonym} onClose={onClose} />}
    </Dialog>
  );
}

/** What is left of the file once it was handed over. */
interface Saved {
  name: string;
  bytes: number;
}

function OwnDataForm({ pseudonym, onClose }: Omit<OwnDataProps, 'opened'>) {
  const { t } = useTranslation();
  const project = useProject();
  const format = useProjectFormat();
  const queryClient = useQueryClient();
  const [purpose, setPurpose] = useState<AccessPurpose | null>(null);
  const [as, setAs] = useState<AccessFormat>('html');
  const [waits, setWaits] = useState<Asked | null>(null);
  const [saved, setSaved] = useState<Saved | null>(null);

  if (waits) return <Waits asked={waits} onClose={onClose} />;
  if (saved) {
    return (
      <Stack gap="md">
        <p className={page.lead} role="status">
          {t('exports.saved', { name: saved.name, bytes: format.count(saved.bytes) })}
        </p>
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            {t('shell.close')}
          </Button>
        </Group>
      </Stack>
    );
  }
  return (
    <Confirm
      label={t('own_data.get')}
      ready={purpose !== null}
      act={() => accessPerson(project.id, pseudonym, purpose ?? 'subject_access', as)}
      onDone={(answer) => {
        queryClient.invalidateQueries({ queryKey: waitingQuery().queryKey });
        if ('waits' in answer) return setWaits(answer.waits);
        const { name, bytes } = answer.file;
        saveBytes(name, bytes);
        setSaved({ name, bytes: bytes.size });
      }}
      onCancel={onClose}
    >
      <p className={page.lead}>{t('own_data.text', { pseudonym })}</p>
      <Select
        label={t('disclosed.purpose')}
        required
        data={PURPOSES.map((value) => ({ value, label: t(`purposes.${value}`) }))}
        value={purpose}
        onChange={(chosen) => setPurpose(chosen as AccessPurpose | null)}
      />
      <Select
        label={t('exports.format')}
        data={FORMATS.map((value) => ({ value, label: t(`own_data.${value}`) }))}
        value={as}
        allowDeselect={false}
        onChange={(chosen) => setAs((chosen as AccessFormat | null) ?? as)}
      />
    </Confirm>
  );
}
