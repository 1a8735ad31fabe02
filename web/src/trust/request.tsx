// What somebody asked for, in words, and who they are.

import { useQuery } from '@tanstack/react-query';
import { cohortsQuery } from '../api/queries';
import type { CohortCondition, DateRange, DisclosureRequest } from '../api/types';
import { useTranslation } from '../i18n';
import { useRuleText } from '../ui/cohorts';
import { FieldChips } from '../ui/FieldChips';
import { useProjectFormat } from '../ui/project';
import classes from './Trust.module.css';

function useRangeText(): (range: DateRange) => string {
  const { t } = useTranslation();
  const format = useProjectFormat();
  return (range) => {
    if (range.kind === 'between') return `${format.civilDate(range.from)} – ${format.civilDate(range.to)}`;
    if (range.unit === 'day' && range.count === 1) return t('range.today');
    return t(`range.${range.unit}`, { count: range.count });
  };
}

/** What is opened or let out, of whom. */
export function RequestText({ project, request: { what } }: { project: number; request: DisclosureRequest }) {
  const { t } = useTranslation();
  const rangeText = useRangeText();
  switch (what.kind) {
    case 'reveal':
      return (
        <>
          <FieldChips fields={[what.field]} /> <span className={classes.mono}>{what.person}</span>
        </>
      );
    case 'events':
      return (
        <>
          <FieldChips fields={['events']} /> {what.matching?.event ?? t('query.any_event')},{' '}
          {rangeText(what.range)}
          {(what.matching?.filters?.length ?? 0) > 0 &&
            ` (${t('exports.filters', { count: what.matching?.filters?.length ?? 0 })})`}
        </>
      );
    case 'persons':
      return (
        <>
          <FieldChips fields={what.fields} />{' '}
          {what.who ? <Whom project={project} condition={what.who} /> : t('exports.everybody')}
        </>
      );
  }
}

/** Whom a condition means: a list by its name, everything else as its rule says. */
function Whom({ project, condition }: { project: number; condition: CohortCondition }) {
  const { t } = useTranslation();
  const ruleText = useRuleText();
  const list = condition.kind === 'is' && condition.filter.on === 'cohort' ? condition.filter.property : null;
  const { data: cohorts } = useQuery({ ...cohortsQuery(project), enabled: list !== null, retry: false });
  if (list) {
    const name = cohorts?.find(({ id }) => id === list)?.name ?? list;
    return <>{t('exports.cohort', { name })}</>;
  }
  return <>{ruleText({ kind: 'dynamic', condition })}</>;
}
