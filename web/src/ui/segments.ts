// What the segments of a breakdown are called, in reports and their tables.

import { useMemo } from 'react';
import type { Breakdown, Segment } from '../api/types';
import { useTranslation } from '../i18n';

const JOINT = ' · ';

/** One value per property, joined; only "not set" and "everything else" are words of ours. */
export function useSegmentName(): (segment: Segment[]) => string {
  const { t } = useTranslation();
  return useMemo(() => {
    const nameOf = (one: Segment) => {
      if (one.kind === 'value') return one.value === '' ? t('segments.empty') : one.value;
      return t(`segments.${one.kind}`);
    };
    return (segment: Segment[]) => segment.map(nameOf).join(JOINT);
  }, [t]);
}

/** Different for different segments, even where their names are alike. */
export const segmentKey = (segment: Segment[] | undefined): string => JSON.stringify(segment ?? []);

export const breakdownName = (breakdown: Breakdown | null | undefined): string =>
  (breakdown?.by ?? []).map(({ property }) => property).join(JOINT);
