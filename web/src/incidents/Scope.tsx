// Whom an incident concerns, in versions: from the ledger, by account and time, or from a list where the loss
// was elsewhere. A version has everybody of the one before.

import { Group, MultiSelect, SegmentedControl, Select, Stack, Textarea } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { incidentsQuery, scopeIncident } from '../api/oversight';
import { projectsQuery } from '../api/queries';
import type { Incident, ScopeOf, ScopeVersion } from '../api/types';
import { useTranslation } from '../i18n';
import { Confirm } from '../ui/Confirm';
import { DataTable } from '../ui/DataTable';
import { EmptyState } from '../ui/EmptyState';
import { FieldChips } from '../ui/FieldChips';
import { FIELDS, type SealedField, useWords } from '../ui/fields';
import { InstantInput } from '../ui/InstantInput';
import { instantOfMicros, microsOf } from '../ui/instant';
import { useMay } from '../ui/may';
import { useMembers } from '../ui/members';
import page from '../ui/Page.module.css';
import { useProject, useProjectFormat } from '../ui/project';
import type { Asked } from './Incident';
import classes from './Incidents.module.css';

const EVERYBODY = 'everybody';
const IDS_MAX = 200_000;

interface ScopeProps {
  incident: Incident;
  asked: Asked;
}

export function Scope({ incident, asked }: ScopeProps) {
  const { t } = useTranslation();
  const may = useMay();
  const format = useProjectFormat();
  return (
    <Stack gap="md">
      {incident.scopes.length === 0 ? (
        <EmptyState compact title={t('scope.none')}>
          {t('scope.none_text')}
        </EmptyState>
      ) : (
        <>
          <p className={page.lead} role="status">
            {t('scope.persons', {
              count: incident.scopes.at(-1)?.persons ?? 0,
              number: format.count(incident.scopes.at(-1)?.persons ?? 0),
            })}
          </p>
          <Versions scopes={incident.scopes} />
        </>
      )}
      {incident.stage !== 'closed' && may('declare_incident') && <Find incident={incident} asked={asked} />}
    </Stack>
  );
}

function Versions({ scopes }: { scopes: ScopeVersion[] }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const { data: projects = [] } = useQuery(projectsQuery());
  const newest = scopes.at(-1);
  return (
    <>
      <DataTable
        texts
        caption={t('scope.versions')}
        head={[
          t('scope.version'),
          t('scope.known'),
          t('incidents.persons'),
          t('disclosed.fields'),
          t('disclosed.entry'),
        ]}
        rows={[...scopes].reverse().map((scope) => ({
          key: String(scope.version),
          name: format.count(scope.version),
          cells: [
            format.dateTime(instantOfMicros(scope.known_us)),
            format.count(scope.persons),
            <FieldChips key="fields" fields={scope.fields} />,
            format.count(scope.entry),
          ],
        }))}
      />
      {newest && (
        <DataTable
          texts
          caption={t('scope.groups')}
          head={[t('scope.groups'), t('disclosed.project'), t('incidents.persons')]}
          rows={newest.groups.map((group, at) => ({
            key: String(at),
            name: <FieldChips fields={group.fields} />,
            cells: [
              projects.find(({ id }) => id === group.project)?.name ?? String(group.project),
              format.count(group.persons),
            ],
          }))}
        />
      )}
    </>
  );
}

function Find({ incident, asked }: ScopeProps) {
  const { t } = useTranslation();
  const project = useProject();
  const words = useWords();
  const queryClient = useQueryClient();
  const members = useMembers();
  const [began, ended] = incident.times.occurred_us ?? [];
  const [kind, setKind] = useState<ScopeOf['from']>(asked.question ? 'exposure' : 'ledger');
  const [member, setMember] = useState(asked.member ?? EVERYBODY);
  const [from, setFrom] = useState(asked.from ?? (began === undefined ? undefined : instantOfMicros(began)));
  const [to, setTo] = useState(asked.to ?? (ended === undefined ? undefined : instantOfMicros(ended)));
  const [list, setList] = useState('');
  const [fields, setFields] = useState<SealedField[]>([]);
  const ids = [...new Set(list.split(/\s*\n\s*/).filter(Boolean))];
  const isReady =
    kind === 'exposure' ||
    (kind === 'ledger'
      ? from !== undefined && to !== undefined && microsOf(from) < microsOf(to)
      : ids.length > 0 && ids.length <= IDS_MAX && fields.length > 0);
  const what = (): ScopeOf => {
    if (kind === 'exposure' && asked.question) return { from: 'exposure', question: asked.question };
    return kind === 'list'
      ? { from: 'list', project: project.id, ids, fields }
      : {
          from: 'ledger',
          ...(member === EVERYBODY ? {} : { member: Number(member) }),
          from_us: microsOf(from ?? ''),
          to_us: microsOf(to ?? ''),
        };
  };
  return (
    <Confirm
      label={t(incident.scopes.length === 0 ? 'scope.find' : 'scope.widen')}
      ready={isReady}
      act={() => scopeIncident(incident.id, what())}
      onDone={() => {
        setList('');
        queryClient.invalidateQueries({ queryKey: incidentsQuery().queryKey });
      }}
    >
      <Group>
        <SegmentedControl
          aria-label={t('scope.from')}
          data={[
            ...(asked.question ? [{ value: 'exposure', label: t('scope.from_exposure') }] : []),
            { value: 'ledger', label: t('scope.from_ledger') },
            { value: 'list', label: t('scope.from_list') },
          ]}
          value={kind}
          onChange={(next) => setKind(next as typeof kind)}
        />
      </Group>
      {kind === 'exposure' && <p className={page.lead}>{t('scope.exposure_text')}</p>}
      {kind === 'ledger' && (
        <div className={classes.grid}>
          <Select
            label={t('scope.by')}
            data={[
              { value: EVERYBODY, label: t('scope.everybody') },
              ...members.map(({ id, name }) => ({ value: String(id), label: name })),
            ]}
            value={member}
            allowDeselect={false}
            onChange={(next) => setMember(next ?? EVERYBODY)}
          />
          <InstantInput label={t('exposure.from')} required value={from} onChange={setFrom} />
          <InstantInput label={t('exposure.to')} required value={to} onChange={setTo} />
        </div>
      )}
      {kind === 'list' && (
        <>
          <p className={page.lead}>{t('scope.list_text', { project: project.name })}</p>
          <Textarea
            label={t('cohort.ids')}
            description={t('cohort.ids_text')}
            autosize
            minRows={3}
            maxRows={10}
            value={list}
            onChange={(event) => setList(event.currentTarget.value)}
          />
          <MultiSelect
            label={t('scope.lost')}
            data={FIELDS.map((field) => ({ value: field, label: words.field(field) }))}
            value={fields}
            onChange={(next) => setFields(FIELDS.filter((field) => next.includes(field)))}
          />
        </>
      )}
    </Confirm>
  );
}
