// Erasing one person: what goes, why, their pseudonym typed out, a factor shown again; then somebody else's
// agreement, and afterwards the certificate.

import { Button, Group, Select, Stack, TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { erasePerson, waitingQuery } from '../api/queries';
import type { Asked, Erasure, ErasureReason, EventsQuery } from '../api/types';
import { useTranslation } from '../i18n';
import { Confirm } from '../ui/Confirm';
import { Dialog } from '../ui/Dialog';
import classes from '../ui/Page.module.css';
import { useProject } from '../ui/project';
import { Certificate } from './Certificate';
import { Waits } from './Waits';

const REASONS = [
  'request',
  'consent_withdrawn',
  'no_longer_needed',
] as const satisfies readonly ErasureReason[];

interface ErasePersonProps {
  opened: boolean;
  /** Whom, where that is known: their pseudonym is typed all the same. */
  pseudonym?: string;
  onClose: (isErased: boolean) => void;
}

export function ErasePerson({ opened, pseudonym, onClose }: ErasePersonProps) {
  const { t } = useTranslation();
  const [isErased, setErased] = useState(false);
  const close = () => {
    setErased(false);
    onClose(isErased);
  };
  return (
    <Dialog opened={opened} onClose={close} title={t('erasure.title')}>
      {opened && <EraseForm pseudonym={pseudonym} onErased={() => setErased(true)} onClose={close} />}
    </Dialog>
  );
}

interface EraseFormProps {
  pseudonym: string | undefined;
  onErased: () => void;
  onClose: () => void;
}

function EraseForm({ pseudonym, onErased, onClose }: EraseFormProps) {
  const { t } = useTranslation();
  const project = useProject();
  const queryClient = useQueryClient();
  const [typed, setTyped] = useState('');
  const [reason, setReason] = useState<ErasureReason>('request');
  const [done, setDone] = useState<Erasure | null>(null);
  const [waits, setWaits] = useState<Asked | null>(null);
  const whom = typed.trim();

  if (waits) return <Waits asked={waits} onClose={onClose} />;
  if (done) {
    return (
      <Stack gap="md">
        <p className={classes.lead} role="status">
          {t('erasure.done_text')}
        </p>
        <Certificate erasure={done} />
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
      label={t('erasure.erase')}
      color="red"
      ready={whom !== '' && (pseudonym === undefined || whom === pseudonym)}
      act={() => erasePerson(project.id, whom, reason)}
      onDone={({ erasure, waits: asked }) => {
        queryClient.invalidateQueries({ queryKey: waitingQuery().queryKey });
        if (asked) return setWaits(asked);
        setDone(erasure);
        onErased();
        // Every report counts one person less; whoever is gone is not asked about again.
        queryClient.invalidateQueries({
          queryKey: ['project', project.id],
          predicate: ({ queryKey }) => (queryKey[3] as Partial<EventsQuery> | undefined)?.person !== whom,
        });
      }}
      onCancel={onClose}
    >
      <p className={classes.lead}>{t('erasure.text')}</p>
      <TextInput
        label={pseudonym ? t('erasure.type_pseudonym', { pseudonym }) : t('erasure.pseudonym')}
        description={pseudonym ? undefined : t('erasure.pseudonym_text')}
        placeholder="per_…"
        autoComplete="off"
        spellCheck={false}
        required
        value={typed}
        onChange={(event) => setTyped(event.currentTarget.value)}
      />
      <Select
        label={t('erasure.reason')}
        data={REASONS.map((value) => ({ value, label: t(`erasure_reasons.${value}`) }))}
        value={reason}
        allowDeselect={false}
        onChange={(chosen) => setReason((chosen as ErasureReason | null) ?? reason)}
      />
    </Confirm>
  );
}
