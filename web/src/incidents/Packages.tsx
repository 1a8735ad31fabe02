// The list of persons of a scope, by project: it leaves only encrypted to the key that is named, and only after
// a second person agreed.

import { Button, Code, Stack, TextInput } from '@mantine/core';
import { IconDownload } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { downloadPackage, packagesQuery } from '../api/oversight';
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

export function Packages({ incident }: { incident: number }) {
  const { t } = useTranslation();
  const may = useMay();
  const { data: offers, error } = useQuery({
    ...packagesQuery(incident),
    refetchInterval: ({ state }) =>
      state.data?.some(({ waiting }) => typeof waiting === 'number') ? EVERY_MS : false,
  });
  return (
    <Stack gap="md">
      <p className={page.lead}>{t('package.text')}</p>
      <ErrorNote error={error} />
      {offers?.length === 0 && <p className={page.lead}>{t('package.no_scope')}</p>}
      {offers && offers.length > 0 && (
        <>
          {may('list_scope') ? (
            <Offers incident={incident} offers={offers} />
          ) : (
            <NotAllowed slim control="list_scope" />
          )}
          <details className={classes.more}>
            <summary>{t('package.by_command')}</summary>
            <div className={classes.packages}>
              {offers.map(({ project }) => (
                <Code block key={project}>
                  {`cofferdam incident package --incident ${incident} --project ${project} --to age1… --out FOLDER`}
                </Code>
              ))}
            </div>
          </details>
        </>
      )}
    </Stack>
  );
}

function Offers({ incident, offers }: { incident: number; offers: PackageOffer[] }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const queryClient = useQueryClient();
  const [typed, setTyped] = useState('');
  const recipient = typed.trim();
  const isKey = isRecipient(recipient);
  const asking = useMutation({
    mutationFn: ({ project }: PackageOffer) => downloadPackage(incident, project, recipient),
    onSuccess: (file) => {
      if (file) saveBytes(file.name, file.bytes);
    },
    onSettled: () => {
      for (const { queryKey } of [packagesQuery(incident), waitingQuery()])
        queryClient.invalidateQueries({ queryKey });
    },
  });
  return (
    <>
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
      <DataTable
        texts
        sentences
        caption={t('package.list')}
        head={[
          t('disclosed.project'),
          t('scope.version'),
          t('incidents.persons'),
          t('exports.state'),
          t('data.acts'),
        ]}
        rows={offers.map((offer) => {
          const { waiting } = offer;
          const isWaiting = typeof waiting === 'number';
          return {
            key: String(offer.project),
            name: offer.name,
            cells: [
              format.count(offer.version),
              format.count(offer.persons),
              isWaiting ? t('package.waits', { number: waiting }) : t('package.second'),
              <Button
                key="ask"
                size="compact-xs"
                variant="default"
                leftSection={<IconDownload size={14} aria-hidden="true" />}
                disabled={!isKey || isWaiting}
                loading={asking.isPending && asking.variables.project === offer.project}
                aria-label={t('package.download_of', { name: offer.name })}
                onClick={() => asking.mutate(offer)}
              >
                {t('package.download')}
              </Button>,
            ],
          };
        })}
      />
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
