// How a metric counts, in words: the builder, the legend and the tables say it alike.

import { useMemo } from 'react';
import type { Measure, PersonMeasure } from '../api/types';
import { useTranslation } from '../i18n';

type PropertyMeasure = 'sum' | 'average' | 'median' | 'min' | 'max' | 'distinct';

export function useMeasureName(): (measure: Measure) => string {
  const { t } = useTranslation();
  return useMemo(() => {
    const ofProperty = (measure: Partial<Record<PropertyMeasure, { property: string }>>) =>
      Object.entries(measure)
        .map(([name, { property }]) =>
          t('measures.of', { what: t(`measures.${name as PropertyMeasure}`), property }),
        )
        .join();
    const each = (measure: PersonMeasure) =>
      typeof measure === 'string' ? t(`measures.${measure}`) : ofProperty(measure);
    return (measure: Measure) => {
      if (typeof measure === 'string') return t(`measures.${measure}`);
      if ('active' in measure) return t('measures.active', { count: measure.active.days });
      if ('percentile' in measure) {
        const { percent, property } = measure.percentile;
        return t('measures.of', { what: t('measures.percentile_number', { percent }), property });
      }
      if ('cohort_size' in measure) return t('measures.cohort_size');
      if ('per_person' in measure) {
        const { then } = measure.per_person;
        const what =
          typeof then === 'string'
            ? t(`measures.${then}`)
            : t('measures.percentile_number', { percent: then.percentile.percent });
        return t('measures.each_person', { what, each: each(measure.per_person.each) });
      }
      return ofProperty(measure);
    };
  }, [t]);
}
