// Exposure: what an account, a session, a token, an export or an address saw, since when, and whose it was.

import { Button, Skeleton } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { createFileRoute, Link, useNavigate } from '@tanstack/react-router';
import { useMemo } from 'react';
import { exposureQuery } from '../api/oversight';
import { loadTrustTexts, useTranslation } from '../i18n';
import { ExposureAnswer } from '../trust/ExposureAnswer';
import { ExposureQuestion } from '../trust/ExposureQuestion';
import { type IncidentsSearch, questionOf, readExposureSearch } from '../trust/search';
import { ErrorNote } from '../ui/ErrorNote';
import { useMay } from '../ui/may';
import { NotAllowed } from '../ui/NotAllowed';
import classes from '../ui/Page.module.css';
import { usePageTitle, useProject, useProjectFormat } from '../ui/project';

export const Route = createFileRoute('/p/$project/exposure')({
  validateSearch: readExposureSearch,
  loader: loadTrustTexts,
  component: Exposure,
});

function Exposure() {
  const { t } = useTranslation();
  const project = useProject();
  const may = useMay();
  const format = useProjectFormat();
  usePageTitle(t('nav.exposure'), project.name);
  const search = Route.useSearch();
  const navigate = useNavigate({ from: Route.fullPath });
  const question = useMemo(
    () => questionOf({ by: search.by, from: search.from, to: search.to, all: search.all }, project.id),
    [search.by, search.all, search.from, search.to, project.id],
  );
  const { data, error, isPending } = useQuery({ ...exposureQuery(question), enabled: may('view_scope') });
  const change = (next: Partial<typeof search>) => navigate({ search: (before) => ({ ...before, ...next }) });
  const { by, from, to, all } = search;
  const scope: IncidentsSearch = { open: 'yes', by, from, to, all };

  return (
    <div className={classes.page}>
      <div className={classes.head}>
        <h1 className={classes.title}>{t('nav.exposure')}</h1>
        <p className={classes.lead}>{t('exposure.lead')}</p>
      </div>
      {may('view_scope') ? (
        <section className={classes.panel} aria-label={t('report.answer')} aria-busy={isPending}>
          <ExposureQuestion search={search} onSearch={change} />
          <ErrorNote error={error} />
          {isPending && <Skeleton height={240} />}
          {data && (
            <>
              <ExposureAnswer
                exposure={data}
                question={question}
                isTable={search.view === 'table'}
                onTry={change}
                onTable={(isTable) => change({ view: isTable ? 'table' : undefined })}
              />
              {data.sum.disclosures > 0 && may('declare_incident') && (
                <Button
                  mt="lg"
                  // It breaks on a narrow phone rather than leave it.
                  maw="100%"
                  h="auto"
                  py={8}
                  styles={{ label: { whiteSpace: 'normal', lineHeight: 1.25 } }}
                  component={Link}
                  to="/p/$project/incidents"
                  params={{ project: String(project.id) } as never}
                  search={scope as never}
                >
                  {t('exposure.open_incident')}
                </Button>
              )}
              <p className={classes.lead}>
                {t('exposure.true_for', {
                  count: data.ledger_entries,
                  number: format.count(data.ledger_entries),
                })}
              </p>
            </>
          )}
        </section>
      ) : (
        <NotAllowed control="view_scope" />
      )}
    </div>
  );
}
