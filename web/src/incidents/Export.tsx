// What others get: the incident's facts as a file, and the list of persons, encrypted; and its end.

import { Button, Group, Stack, TextInput } from '@mantine/core';
import { IconDownload } from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import {
  deadlinesQuery,
  incidentQuery,
  incidentsQuery,
  noticeProgressQuery,
  updateIncident,
} from '../api/oversight';
import type { Incident } from '../api/types';
import { useTranslation } from '../i18n';
import { Confirm } from '../ui/Confirm';
import { saveText } from '../ui/download';
import { instantOfMicros } from '../ui/instant';
import { useMay } from '../ui/may';
import page from '../ui/Page.module.css';
import { useProjectFormat } from '../ui/project';
import { Package } from './Package';

export function Export({ incident }: { incident: Incident }) {
  const { t } = useTranslation();
  const may = useMay();
  const format = useProjectFormat();
  const { data: deadlines = [] } = useQuery(deadlinesQuery(incident.id));
  const { data: notices = [] } = useQuery(noticeProgressQuery(incident.id));
  return (
    <Stack gap="md">
      <p className={page.lead}>{t('package.facts_text')}</p>
      <Group>
        <Button
          variant="default"
          leftSection={<IconDownload size={16} />}
          onClick={() =>
            saveText(
              `incident-${incident.id}.json`,
              `${JSON.stringify({ incident, deadlines, notices }, null, 2)}\n`,
              'application/json',
            )
          }
        >
          {t('package.facts')}
        </Button>
      </Group>
      <Package key={incident.scopes.length} incident={incident.id} />
      {incident.times.closed_us ? (
        <p className={page.lead}>
          {t('package.closed', { time: format.dateTime(instantOfMicros(incident.times.closed_us)) })}
        </p>
      ) : (
        may('declare_incident') && <Close incident={incident} />
      )}
    </Stack>
  );
}

function Close({ incident }: { incident: Incident }) {
  const { t } = useTranslation();
  const queryClient = useQueryClient();
  const [typed, setTyped] = useState('');
  return (
    <Confirm
      label={t('package.close')}
      ready={typed.trim() === incident.service}
      act={() => updateIncident(incident.id, { close: true })}
      onDone={() => {
        // What a closed incident has no more is not asked for again.
        for (const { queryKey } of [incidentsQuery(), incidentQuery(incident.id)])
          queryClient.invalidateQueries({ queryKey, exact: true });
      }}
    >
      <p className={page.lead}>{t('package.close_text')}</p>
      <TextInput
        label={t('package.type_name', { name: incident.service })}
        autoComplete="off"
        spellCheck={false}
        value={typed}
        onChange={(event) => setTyped(event.currentTarget.value)}
      />
    </Confirm>
  );
}
