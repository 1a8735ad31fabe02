// Exposure: what an account, a session, a token, an export or an address saw, since when, and whose it was.

import { Button, Skeleton } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { createFileRoute, Link, useNavigate } from '@tanstack/react-router';
import { useMemo } from 'react';
import { exposureQuery } from '../api/oversight';
import type { ExposureQuestion as Question } from '../api/types';
import { loadTrustTexts, useTranslation } from '../i18n';
import { ExposureAnswer } from '../trust/ExposureAnswer';
import { ExposureQuestion } from '../trust/ExposureQuestion';
import { causeOf, decodeCauses, type IncidentsSearch, readExposureSearch } from '../trust/search';
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
  const causes = decodeCauses(search.by);
  const question = useMemo<Question>(
    () => ({
      any_of: decodeCauses(search.by).map(causeOf),
      all_of: search.all === 'yes' ? [] : [{ project: project.id }],
      ...(search.from ? { from: search.from } : {}),
      ...(search.to ? { to: search.to } : {}),
    }),
    [search.by, search.all, search.from, search.to, project.id],
  );
  const { data, error, isPending } = useQuery({ ...exposureQuery(question), enabled: may('view_scope') });
  const change = (next: Partial<typeof search>) => navigate({ search: (before) => ({ ...before, ...next }) });

  // A scope is found by one account, or by all of them, in a time that has a beginning.
  const only = causes.length === 1 && causes[0]?.kind === 'member' ? causes[0].value : undefined;
  const canOpen = Boolean(search.from) && (causes.length === 0 || only !== undefined);
  const scope: IncidentsSearch = {
    open: 'yes',
    ...(only ? { member: only } : {}),
    ...(search.from ? { from: search.from } : {}),
    ...(search.to ? { to: search.to } : {}),
  };

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
              {data.sum.disclosures > 0 &&
                may('declare_incident') &&
                (canOpen ? (
                  <Button
                    mt="lg"
                    component={Link}
                    to="/p/$project/incidents"
                    params={{ project: String(project.id) } as never}
                    search={scope as never}
                  >
                    {t('exposure.open_incident')}
                  </Button>
                ) : (
                  <p className={classes.lead}>{t('exposure.open_needs')}</p>
                ))}
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
