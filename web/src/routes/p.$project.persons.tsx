// Persons: who did something, by pseudonym, and what each of them did.

import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { createFileRoute } from '@tanstack/react-router';
import { useMemo, useState } from 'react';
import { eventNamesQuery } from '../api/queries';
import { loadTrustTexts, useTranslation } from '../i18n';
import { InClear, useInClear } from '../persons/InClear';
import { PersonDrawer } from '../persons/PersonDrawer';
import { PersonsTable } from '../persons/PersonsTable';
import { decodePersons, encodePersons, PERSONS_PAGE, readPersonsSearch } from '../query/codec';
import { DateRangePicker } from '../query/DateRangePicker';
import { firstPersons } from '../query/defaults';
import { PersonsRail } from '../query/PersonsRail';
import { useAnswer } from '../query/useAnswer';
import { useQuestion } from '../query/useQuestion';
import { EmptyState } from '../ui/EmptyState';
import { useRows, whoReadsRows } from '../ui/may';
import { NoEvents } from '../ui/NoEvents';
import { NotAllowed } from '../ui/NotAllowed';
import classes from '../ui/Page.module.css';
import { usePageTitle, useProject, useProjectFormat } from '../ui/project';
import { Report } from '../ui/Report';

export const Route = createFileRoute('/p/$project/persons')({
  validateSearch: readPersonsSearch,
  loader: loadTrustTexts,
  component: Persons,
});

function Persons() {
  const { t } = useTranslation();
  const project = useProject();
  const format = useProjectFormat();
  usePageTitle(t('nav.persons'), project.name);
  const search = Route.useSearch();
  const { data: names } = useQuery(eventNamesQuery(project.id));
  const first = useMemo(firstPersons, []);
  const { query, setQuery, setView } = useQuestion({
    search,
    decode: decodePersons,
    encode: encodePersons,
    first,
  });
  const { freely, inClear } = useRows();
  const answered = useAnswer('persons', names?.length === 0 || !freely ? null : query);
  const [asking, setAsking] = useState(false);
  const list = useInClear(query);
  if (names?.length === 0) return <NoEvents />;
  if (!query) return null;

  const offset = query.offset ?? 0;
  const shown = list.shown?.answer;
  const table = shown?.table.kind === 'persons' ? shown.table : answered.table;
  const hasMasks = answered.table?.persons.some(({ masked }) => masked?.length) ?? false;
  const open = (person: string | undefined) => setView({ person });

  return (
    <Report
      title={t('nav.persons')}
      rail={<PersonsRail query={query} onChange={(next) => setQuery({ ...next, offset: 0 })} />}
      tools={
        <DateRangePicker range={query.range} onChange={(range) => setQuery({ ...query, range, offset: 0 })} />
      }
      {...answered}
      answer={shown ?? answered.answer}
      onRefresh={shown ? undefined : answered.refresh}
    >
      {!freely && !inClear && <NotAllowed roles={whoReadsRows(project.is_test)} />}
      {inClear && (!freely || shown || hasMasks) && (
        <InClear
          list={list}
          isClosed={!freely}
          label={t(freely ? 'in_clear.begin' : 'in_clear.begin_list')}
          asking={asking}
          onAsking={setAsking}
        />
      )}
      {table &&
        (table.total === 0 ? (
          <EmptyState compact title={t('persons.nobody')}>
            {t('report.nothing_text')}
          </EmptyState>
        ) : (
          <>
            <p className={classes.count} role="status">
              {t('persons.total', { count: table.total, number: format.count(table.total) })}
            </p>
            <PersonsTable
              persons={table.persons}
              isInClear={shown !== undefined}
              opened={search.person}
              onOpen={open}
            />
            {table.total > PERSONS_PAGE && (
              <nav className={classes.pages} aria-label={t('persons.pages')}>
                <Button
                  size="xs"
                  variant="default"
                  disabled={offset === 0}
                  onClick={() => setQuery({ ...query, offset: Math.max(0, offset - PERSONS_PAGE) })}
                >
                  {t('persons.previous')}
                </Button>
                <span>
                  {t('persons.range', {
                    from: format.count(offset + 1),
                    to: format.count(Math.min(table.total, offset + PERSONS_PAGE)),
                    total: format.count(table.total),
                  })}
                </span>
                <Button
                  size="xs"
                  variant="default"
                  disabled={offset + PERSONS_PAGE >= table.total}
                  onClick={() => setQuery({ ...query, offset: offset + PERSONS_PAGE })}
                >
                  {t('persons.next')}
                </Button>
              </nav>
            )}
          </>
        ))}
      <PersonDrawer
        pseudonym={search.person}
        row={table?.persons.find(({ pseudonym }) => pseudonym === search.person)}
        range={query.range}
        onClose={() => open(undefined)}
      />
    </Report>
  );
}
