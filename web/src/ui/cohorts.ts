// What a cohort's rule says, in words.

import { useMemo } from 'react';
import type { CohortCondition, CohortRule, CohortTimes } from '../api/types';
import { useTranslation } from '../i18n';

export function useRuleText(): (rule: CohortRule) => string {
  const { t } = useTranslation();
  return useMemo(() => {
    const times = (one: CohortTimes) =>
      one.op === 'between'
        ? t('cohort.text_between', { low: one.low, count: one.high })
        : t(`cohort.text_${one.op}`, { count: one.count });
    const text = (condition: CohortCondition): string => {
      switch (condition.kind) {
        case 'all':
        case 'any':
          return condition.of.map(text).join(t(`cohort.${condition.kind === 'all' ? 'and' : 'or'}`));
        case 'not':
          return t('cohort.text_not', { rule: text(condition.of) });
        case 'is':
          return t('cohort.text_is', { property: condition.filter.property });
        case 'did': {
          const event = condition.matching.event ?? t('query.any_event');
          const never = condition.times.op === 'at_most' && condition.times.count === 0;
          const did = never
            ? t('cohort.text_did_not', { event })
            : t('cohort.text_did', { event, times: times(condition.times) });
          const { window } = condition;
          if (!window) return did;
          const range =
            window.kind === 'last'
              ? t(`range.${window.unit}`, { count: window.count })
              : `${window.from} – ${window.to}`;
          return `${did} (${range})`;
        }
      }
    };
    return (rule: CohortRule) => (rule.kind === 'static' ? t('cohort.static') : text(rule.condition));
  }, [t]);
}
