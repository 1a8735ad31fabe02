// Who saw what, when and why, newest first, as the ledger has it. Every filter is in the address.

import { ActionIcon, Button, Select, Skeleton, Switch, TextInput } from '@mantine/core';
import { IconX } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { disclosedQuery } from '../api/oversight';
import { projectsQuery } from '../api/queries';
import type { Disclosed as Row } from '../api/types';
import { useTranslation } from '../i18n';
import { DataTable } from '../ui/DataTable';
import { EmptyState } from '../ui/EmptyState';
import { ErrorNote } from '../ui/ErrorNote';
import { FieldChips } from '../ui/FieldChips';
import { LEDGER_PURPOSES, purposeNumber, useWords } from '../ui/fields';
import { InstantInput } from '../ui/InstantInput';
import page from '../ui/Page.module.css';
import { useProject, useProjectFormat } from '../ui/project';
import { ProofButton } from './Proof';
import type { DisclosedSearch } from './search';
import classes from './Trust.module.css';

interface DisclosedProps {
  search: DisclosedSearch;
  onSearch: (change: Partial<DisclosedSearch>) => void;
}

export function Disclosed({ search, onSearch }: DisclosedProps) {
  const { t } = useTranslation();
  const project = useProject();
  const { data: projects = [] } = useQuery(projectsQuery());
  const purpose = purposeNumber(search.purpose);
  // A person belongs to one project.
  const isAll = search.all === 'yes' && search.person === undefined;
  const { data, error, isPending } = useQuery(
    disclosedQuery({
      ...(search.actor ? { actor: search.actor } : {}),
      ...(purpose ? { purpose } : {}),
      ...(search.person ? { person: search.person } : {}),
      ...(isAll ? {} : { project: project.id }),
      ...(search.from ? { from: search.from } : {}),
      ...(search.to ? { to: search.to } : {}),
      ...(search.before ? { before: Number(search.before) } : {}),
    }),
  );
  const change = (next: Partial<DisclosedSearch>) => onSearch({ before: undefined, ...next });
  const rows = data?.disclosures;
  const isFiltered = Boolean(search.actor || purpose || search.person || search.from || search.to);
  const older = data?.before;

  return (
    <section className={page.panel} aria-label={t('disclosed.list')} aria-busy={isPending}>
      <Filters search={search} isAll={isAll} rows={rows} onChange={change} />
      <ErrorNote error={error} />
      {isPending && <Skeleton height={160} />}
      {rows?.length === 0 && (
        <EmptyState
          compact
          title={t(isFiltered ? 'disclosed.none_match' : 'disclosed.none')}
          action={
            !isFiltered && (
              <Button
                component={Link}
                to="/p/$project/persons"
                params={{ project: String(project.id) } as never}
                variant="default"
              >
                {t('disclosed.try')}
              </Button>
            )
          }
        >
          {t(isFiltered ? 'disclosed.none_match_text' : 'disclosed.none_text')}
        </EmptyState>
      )}
      {rows && rows.length > 0 && (
        <DisclosedTable
          rows={rows}
          projectName={isAll ? (id) => projects.find((one) => one.id === id)?.name ?? String(id) : undefined}
          onActor={(actor) => change({ actor })}
        />
      )}
      {(search.before || older) && (
        <nav className={page.pages} aria-label={t('disclosed.pages')}>
          <Button
            size="xs"
            variant="default"
            disabled={!search.before}
            onClick={() => onSearch({ before: undefined })}
          >
            {t('disclosed.newest')}
          </Button>
          <Button
            size="xs"
            variant="default"
            disabled={!older}
            onClick={() => onSearch({ before: String(older) })}
          >
            {t('disclosed.older')}
          </Button>
        </nav>
      )}
    </section>
  );
}

interface FiltersProps {
  search: DisclosedSearch;
  isAll: boolean;
  rows: Row[] | undefined;
  onChange: (change: Partial<DisclosedSearch>) => void;
}

function Filters({ search, isAll, rows, onChange }: FiltersProps) {
  const { t } = useTranslation();
  const [person, setPerson] = useState(search.person ?? '');
  const name = rows?.find(({ actor }) => actor?.pseudonym === search.actor)?.actor?.name ?? search.actor;
  const wanted = person.trim();
  const isPerson = wanted === '' || /^per_\w{1,64}$/.test(wanted);
  return (
    <search className={classes.sentence}>
      {search.actor && (
        <span className={`${classes.chosen} ${classes.unlabelled}`}>
          <span>{t('disclosed.by', { name })}</span>
          <ActionIcon
            variant="subtle"
            size={28}
            aria-label={t('disclosed.not_by', { name })}
            onClick={() => onChange({ actor: undefined })}
          >
            <IconX size={14} />
          </ActionIcon>
        </span>
      )}
      <Select
        label={t('disclosed.purpose')}
        placeholder={t('disclosed.any_purpose')}
        clearable
        clearButtonProps={{ 'aria-label': t('disclosed.any_purpose') }}
        data={LEDGER_PURPOSES.map((value) => ({ value, label: t(`purposes.${value}`) }))}
        value={search.purpose ?? null}
        onChange={(chosen) => onChange({ purpose: chosen ?? undefined })}
      />
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (isPerson) onChange({ person: wanted || undefined });
        }}
      >
        <TextInput
          label={t('disclosed.person')}
          placeholder="per_…"
          autoComplete="off"
          spellCheck={false}
          error={!isPerson && t('disclosed.person_form')}
          value={person}
          onChange={(event) => setPerson(event.currentTarget.value)}
          onBlur={() => isPerson && onChange({ person: wanted || undefined })}
        />
      </form>
      <InstantInput label={t('disclosed.from')} value={search.from} onChange={(from) => onChange({ from })} />
      <InstantInput label={t('disclosed.to')} value={search.to} onChange={(to) => onChange({ to })} />
      <Switch
        className={classes.unlabelled}
        label={t('disclosed.all')}
        checked={isAll}
        disabled={search.person !== undefined}
        onChange={(event) => onChange({ all: event.currentTarget.checked ? 'yes' : undefined })}
      />
    </search>
  );
}

interface DisclosedTableProps {
  rows: Row[];
  /** Only where rows can be of several. */
  projectName?: (project: number) => string;
  onActor?: (pseudonym: string) => void;
}

export function DisclosedTable({ rows, projectName, onActor }: DisclosedTableProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const words = useWords();
  return (
    <DataTable
      texts
      caption={t('disclosed.list')}
      head={[
        t('disclosed.entry'),
        t('disclosed.when'),
        t('disclosed.who'),
        t('disclosed.purpose'),
        ...(projectName ? [t('disclosed.project')] : []),
        t('disclosed.fields'),
        t('disclosed.authorised'),
        t('disclosed.confirmed'),
        t('disclosed.proof'),
      ]}
      rows={rows.map((row) => ({
        key: String(row.entry),
        name: format.count(row.entry),
        cells: [
          format.dateTime(row.time),
          <Who key="who" row={row} onActor={onActor} />,
          words.purpose(row.purpose),
          ...(projectName ? [projectName(row.project)] : []),
          <FieldChips key="fields" fields={row.fields} />,
          row.is_unnamed
            ? t('disclosed.unnamed', { count: row.ids, number: format.count(row.ids) })
            : format.count(row.ids),
          confirmedText(row),
          row.grant && row.state === 'done' ? <ProofButton key="proof" disclosure={row.grant} /> : '–',
        ],
      }))}
    />
  );

  function confirmedText(row: Row): string {
    if (row.state === 'live') return t('disclosed.live');
    if (row.state === 'aborted') {
      return row.rows
        ? t('disclosed.broken_off', { number: format.count(row.rows) })
        : t('disclosed.nothing_sent');
    }
    return t('disclosed.done');
  }
}

function Who({ row: { actor }, onActor }: { row: Row; onActor?: (pseudonym: string) => void }) {
  const { t } = useTranslation();
  if (!actor) return <>{t('disclosed.nobody_named')}</>;
  const name = actor.name ?? `${actor.pseudonym.slice(0, 8)}…`;
  if (!onActor) return <span title={actor.pseudonym}>{name}</span>;
  return (
    <button
      type="button"
      className={classes.link}
      title={actor.pseudonym}
      aria-label={t('disclosed.only_by', { name })}
      onClick={() => onActor(actor.pseudonym)}
    >
      {name}
    </button>
  );
}
