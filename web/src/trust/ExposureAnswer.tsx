// What was exposed, in numbers: whose, which fields, in which projects, since when, and what goes on. The
// table holds the same numbers as the bars.

import { Button, Group, Select } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { exposedPersonsQuery } from '../api/oversight';
import { projectsQuery } from '../api/queries';
import type { Exposure, ExposureQuestion, FieldExposure } from '../api/types';
import { useTranslation } from '../i18n';
import { DataTable } from '../ui/DataTable';
import { EmptyState } from '../ui/EmptyState';
import { ErrorNote } from '../ui/ErrorNote';
import { useWords } from '../ui/fields';
import { useMay } from '../ui/may';
import page from '../ui/Page.module.css';
import { useProject, useProjectFormat } from '../ui/project';
import { DisclosedTable } from './Disclosed';
import classes from './Trust.module.css';

interface ExposureAnswerProps {
  exposure: Exposure;
  question: ExposureQuestion;
  isTable: boolean;
  onTable: (isTable: boolean) => void;
}

export function ExposureAnswer({ exposure, question, isTable, onTable }: ExposureAnswerProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const words = useWords();
  const may = useMay();
  const { data: projects = [] } = useQuery(projectsQuery());
  const projectName = (id: number) => projects.find((one) => one.id === id)?.name ?? String(id);
  const { sum, authorised, confirmed } = exposure;
  if (sum.disclosures === 0) {
    return (
      <EmptyState compact title={t('exposure.nothing')}>
        {t('exposure.nothing_text', {
          count: exposure.ledger_entries,
          number: format.count(exposure.ledger_entries),
        })}
      </EmptyState>
    );
  }
  return (
    <>
      <p className={classes.caption} role="status">
        {t('exposure.summary', { count: authorised.persons, number: format.count(authorised.persons) })}
      </p>
      <dl className={classes.figures}>
        <Figure name={t('exposure.authorised')} note={t('exposure.authorised_text')}>
          {format.count(authorised.persons)}
        </Figure>
        <Figure name={t('exposure.confirmed')} note={t('exposure.confirmed_text')}>
          {format.count(confirmed.persons)}
        </Figure>
        <Figure
          name={t('exposure.values')}
          note={t('exposure.values_confirmed', {
            count: confirmed.values,
            number: format.count(confirmed.values),
          })}
        >
          {format.count(authorised.values)}
        </Figure>
        <Figure
          name={t('exposure.disclosures')}
          note={
            sum.first && sum.last ? `${format.dateTime(sum.first)} – ${format.dateTime(sum.last)}` : undefined
          }
        >
          {format.count(sum.disclosures)}
        </Figure>
        <Figure name={t('exposure.live')} note={t('exposure.live_text')}>
          {format.count(sum.live)}
        </Figure>
      </dl>
      {sum.unnamed_disclosures > 0 && (
        <p className={page.lead}>
          {t('exposure.unnamed', {
            count: sum.unnamed_disclosures,
            number: format.count(sum.unnamed_disclosures),
            ids: format.count(sum.unnamed_ids),
          })}
        </p>
      )}
      <Group justify="space-between" align="flex-start" wrap="nowrap" mt="md">
        <h2 className={page.subtitle}>{t('exposure.fields')}</h2>
        <Button size="compact-xs" variant="default" data-key="t" onClick={() => onTable(!isTable)}>
          {t(isTable ? 'exposure.as_bars' : 'exposure.as_table')}
        </Button>
      </Group>
      {isTable ? (
        <FieldsTable rows={exposure.fields} name={words.field} caption={t('exposure.fields')} />
      ) : (
        <GroupBars groups={exposure.groups} of={authorised.persons} />
      )}
      <h2 className={page.subtitle} style={{ marginTop: '1.5rem' }}>
        {t('exposure.projects')}
      </h2>
      <DataTable
        caption={t('exposure.projects')}
        head={[
          t('disclosed.project'),
          t('exposure.authorised'),
          t('exposure.confirmed'),
          t('exposure.disclosures'),
          t('exposure.first'),
          t('exposure.last'),
        ]}
        rows={exposure.projects.map((one) => ({
          key: String(one.project),
          name: projectName(one.project),
          cells: [
            format.count(one.authorised.persons),
            format.count(one.confirmed.persons),
            format.count(one.sum.disclosures),
            one.sum.first ? format.dateTime(one.sum.first) : '–',
            one.sum.last ? format.dateTime(one.sum.last) : '–',
          ],
        }))}
      />
      {exposure.grants_count > 0 && (
        <p className={page.lead}>
          {t('exposure.grants', {
            count: exposure.grants_count,
            numbers: format.list(exposure.grants.map(({ grant }) => format.count(grant))),
          })}
        </p>
      )}
      {exposure.live.length > 0 && (
        <>
          <h2 className={page.subtitle} style={{ marginTop: '1.5rem' }}>
            {t('exposure.live')}
          </h2>
          <DisclosedTable rows={exposure.live} projectName={projectName} />
        </>
      )}
      {may('list_scope') && <Persons exposure={exposure} question={question} projectName={projectName} />}
    </>
  );
}

function Figure({ name, note, children }: { name: string; note?: string; children: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {children}
        {note && <small>{note}</small>}
      </dd>
    </div>
  );
}

/** Persons by what kind of data was exposed of them, as shares of all who were. */
function GroupBars({ groups, of }: { groups: FieldExposure[]; of: number }) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const words = useWords();
  const width = (persons: number) => ({ width: `${of > 0 ? (100 * persons) / of : 0}%` });
  return (
    <figure className={classes.figure}>
      <figcaption className={classes.legend}>
        <span>
          <i>
            <span className={classes.fill} style={{ width: '100%' }} />
          </i>
          {t('exposure.authorised')}
        </span>
        <span>
          <i>
            <span className={classes.sure} style={{ width: '100%' }} />
          </i>
          {t('exposure.confirmed')}
        </span>
      </figcaption>
      <ul className={classes.bars}>
        {groups.map(({ name, authorised, confirmed }) => (
          <li key={name} className={classes.bar}>
            <span>{words.group(name)}</span>
            <span className={classes.track} aria-hidden="true">
              {authorised > 0 && <span className={classes.fill} style={width(authorised)} />}
              {confirmed > 0 && <span className={classes.sure} style={width(confirmed)} />}
            </span>
            <span className={classes.number}>
              {t('exposure.bar', {
                count: authorised,
                number: format.count(authorised),
                confirmed: format.count(confirmed),
              })}
            </span>
          </li>
        ))}
      </ul>
    </figure>
  );
}

interface FieldsTableProps {
  rows: FieldExposure[];
  name: (field: string) => string;
  caption: string;
}

function FieldsTable({ rows, name, caption }: FieldsTableProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  return (
    <DataTable
      caption={caption}
      head={[t('disclosed.fields'), t('exposure.authorised'), t('exposure.confirmed')]}
      rows={rows.map((row) => ({
        key: row.name,
        name: name(row.name),
        cells: [format.count(row.authorised), format.count(row.confirmed)],
      }))}
    />
  );
}

interface PersonsProps {
  exposure: Exposure;
  question: ExposureQuestion;
  projectName: (project: number) => string;
}

/** Who they are, by pseudonym: asked for only when somebody wants to see it. */
function Persons({ exposure, question, projectName }: PersonsProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const words = useWords();
  const here = useProject();
  const [isShown, setShown] = useState(false);
  const [chosen, setChosen] = useState<number | null>(null);
  const [field, setField] = useState<string | null>(null);
  const [offset, setOffset] = useState(0);
  const project = chosen ?? exposure.projects[0]?.project ?? here.id;
  const asked = { question, project, ...(field ? { field } : {}), offset, limit: 100 };
  const {
    data: answer,
    error,
    isFetching,
    refetch,
  } = useQuery({ ...exposedPersonsQuery(asked), enabled: isShown });
  const data = answer && 'persons' in answer ? answer : undefined;
  const fields = exposure.projects.find((one) => one.project === project)?.fields ?? [];
  if (!isShown) {
    return (
      <Group mt="lg">
        <Button variant="default" onClick={() => setShown(true)}>
          {t('exposure.who')}
        </Button>
      </Group>
    );
  }
  return (
    <section aria-label={t('exposure.persons')} aria-busy={isFetching}>
      <h2 className={page.subtitle} style={{ marginTop: '1.5rem' }}>
        {t('exposure.persons')}
      </h2>
      <div className={classes.sentence}>
        <Select
          label={t('disclosed.project')}
          data={exposure.projects.map((one) => ({
            value: String(one.project),
            label: projectName(one.project),
          }))}
          value={String(project)}
          allowDeselect={false}
          onChange={(next) => {
            setChosen(Number(next));
            setField(null);
            setOffset(0);
          }}
        />
        <Select
          label={t('exposure.field')}
          placeholder={t('exposure.any_field')}
          clearable
          clearButtonProps={{ 'aria-label': t('exposure.any_field') }}
          data={fields.map(({ name }) => ({ value: name, label: words.field(name) }))}
          value={field}
          onChange={(next) => {
            setField(next);
            setOffset(0);
          }}
        />
      </div>
      <ErrorNote error={error} />
      {answer && 'waiting' in answer && (
        <Group mt="sm">
          <p role="status" className={classes.caption}>
            {t('exposure.waits')}
          </p>
          <Button size="xs" variant="default" loading={isFetching} onClick={() => refetch()}>
            {t('exposure.ask_again')}
          </Button>
        </Group>
      )}
      {data && (
        <>
          <p role="status" className={classes.caption}>
            {t('persons.total', { count: data.count, number: format.count(data.count) })}
          </p>
          <ul className={classes.pseudonyms}>
            {data.persons.map((pseudonym) => (
              <li key={pseudonym}>
                {project === here.id ? (
                  <Link
                    to="/p/$project/persons"
                    params={{ project: String(project) }}
                    search={{ person: pseudonym }}
                    className={classes.mono}
                  >
                    {pseudonym}
                  </Link>
                ) : (
                  <span className={classes.mono}>{pseudonym}</span>
                )}
              </li>
            ))}
          </ul>
          {(offset > 0 || data.next) && (
            <nav className={page.pages} aria-label={t('persons.pages')}>
              <Button
                size="xs"
                variant="default"
                disabled={offset === 0}
                onClick={() => setOffset(Math.max(0, offset - 100))}
              >
                {t('persons.previous')}
              </Button>
              <Button
                size="xs"
                variant="default"
                disabled={!data.next}
                onClick={() => setOffset(data.next ?? 0)}
              >
                {t('persons.next')}
              </Button>
            </nav>
          )}
        </>
      )}
    </section>
  );
}
