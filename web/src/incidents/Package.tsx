// The package of a scope, with the list of persons: it leaves only encrypted to the key that is named, and only
// after a second person agreed.

import { Button, Code, Group, Stack, TextInput } from '@mantine/core';
import { IconDownload } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { downloadPackage, packageQuery } from '../api/oversight';
import { waitingQuery } from '../api/queries';
import type { PackageOffer } from '../api/types';
import { useTranslation } from '../i18n';
import { DataTable } from '../ui/DataTable';
import { saveBytes } from '../ui/download';
import { ErrorNote } from '../ui/ErrorNote';
import { useMay } from '../ui/may';
import { NotAllowed } from '../ui/NotAllowed';
import page from '../ui/Page.module.css';
import { useProjectFormat } from '../ui/project';
import { isRecipient } from '../ui/recipient';
import classes from './Incidents.module.css';

/** Somebody else agrees meanwhile. */
const EVERY_MS = 5_000;

export function Package({ incident }: { incident: number }) {
  const { t } = useTranslation();
  const may = useMay();
  const { data: offer, error } = useQuery({
    ...packageQuery(incident),
    refetchInterval: ({ state }) => (typeof state.data?.waiting === 'number' ? EVERY_MS : false),
  });
  return (
    <Stack gap="md">
      <p className={page.lead}>{t('package.text')}</p>
      <ErrorNote error={error} />
      {offer === null && <p className={page.lead}>{t('package.no_scope')}</p>}
      {offer && (
        <>
          {may('list_scope') ? (
            <Offer incident={incident} offer={offer} />
          ) : (
            <NotAllowed slim control="list_scope" />
          )}
          <details className={classes.more}>
            <summary>{t('package.by_command')}</summary>
            <Code block>{`cofferdam incident package --incident ${incident} --to age1… --out FOLDER`}</Code>
          </details>
        </>
      )}
    </Stack>
  );
}

function Offer({ incident, offer }: { incident: number; offer: PackageOffer }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const queryClient = useQueryClient();
  const [typed, setTyped] = useState('');
  const recipient = typed.trim();
  const isKey = isRecipient(recipient);
  const { waiting } = offer;
  const isWaiting = typeof waiting === 'number';
  const asking = useMutation({
    mutationFn: () => downloadPackage(incident, recipient),
    onSuccess: (file) => {
      if (file) saveBytes(file.name, file.bytes);
    },
    onSettled: () => {
      for (const { queryKey } of [packageQuery(incident), waitingQuery()])
        queryClient.invalidateQueries({ queryKey });
    },
  });
  return (
    <>
      <DataTable
        caption={t('package.list', { version: format.count(offer.version) })}
        head={[t('disclosed.project'), t('incidents.persons')]}
        rows={offer.projects.map(({ project, name, persons }) => ({
          key: String(project),
          name: name || `#${project}`,
          cells: [format.count(persons)],
        }))}
      />
      <TextInput
        label={t('exports.recipient')}
        description={t('exports.recipient_text')}
        placeholder="age1…"
        autoComplete="off"
        spellCheck={false}
        error={recipient !== '' && !isKey && t('exports.recipient_form')}
        value={typed}
        onChange={(event) => setTyped(event.currentTarget.value)}
      />
      <p className={page.lead}>{isWaiting ? t('package.waits', { number: waiting }) : t('package.second')}</p>
      <Group>
        <Button
          variant="default"
          leftSection={<IconDownload size={16} aria-hidden="true" />}
          disabled={!isKey || isWaiting}
          loading={asking.isPending}
          onClick={() => asking.mutate()}
        >
          {t('package.download')}
        </Button>
      </Group>
      <ErrorNote error={asking.error} />
      {asking.isSuccess && (
        <p className={page.lead} role="status">
          {asking.data
            ? t('exports.saved', { name: asking.data.name, bytes: format.count(asking.data.bytes.size) })
            : t('package.asked')}
        </p>
      )}
    </>
  );
}
