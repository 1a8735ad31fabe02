// How a metric counts: a word for the kind, and after it what that kind needs, a property, a number of
// days, a percentile.

import { useQuery } from '@tanstack/react-query';
import { cohortsQuery, propertiesQuery } from '../api/queries';
import type { Aggregate, Measure, PersonMeasure } from '../api/types';
import { useTranslation } from '../i18n';
import { Picker } from '../ui/Picker';
import { useProject } from '../ui/project';
import classes from './Builder.module.css';
import { CountInput } from './CountInput';
import { PropertyPicker } from './Filters';

interface MeasurePickerProps {
  measure: Measure;
  onChange: (measure: Measure) => void;
}

const PLAIN = ['unique', 'total', 'sessions'] as const;
const ACTIVE_DAYS = [1, 7, 30];
const NUMERIC = ['sum', 'average', 'median', 'min', 'max'] as const;
const AGGREGATES = ['average', 'median', 'min', 'max', 'sum'] as const;
const EACH_PLAIN = ['total', 'hours', 'days'] as const;
const EACH_NUMERIC = ['sum', 'average', 'min', 'max'] as const;
const PERCENT = 90;

/** The name of a measure that is a word or an object with one key. */
const nameOf = (measure: Measure | PersonMeasure): string =>
  typeof measure === 'string' ? measure : (Object.keys(measure)[0] ?? '');

function propertyOf(measure: Measure | PersonMeasure): string | undefined {
  if (typeof measure === 'string') return undefined;
  const [inner] = Object.values(measure) as { property?: string }[];
  return inner?.property;
}

const withProperty = <T,>(name: string, property: string): T => ({ [name]: { property } }) as T;

export function MeasurePicker({ measure, onChange }: MeasurePickerProps) {
  const { t } = useTranslation();
  const project = useProject();
  const { data: properties = [] } = useQuery(propertiesQuery(project.id));
  const { data: cohorts = [] } = useQuery(cohortsQuery(project.id));
  const [cohort] = cohorts;
  const numeric = properties.filter(({ types }) => types.includes('number'));
  const readable = properties.filter(({ types }) => types.length > 0);
  const property = propertyOf(measure);
  const firstNumeric = property ?? numeric[0]?.name;
  const firstReadable = property ?? readable[0]?.name;

  const kind =
    typeof measure === 'object' && 'active' in measure ? `active ${measure.active.days}` : nameOf(measure);
  const days = typeof measure === 'object' && 'active' in measure ? measure.active.days : 1;

  const choose = (next: string) => {
    const plain = PLAIN.find((one) => one === next);
    if (plain) onChange(plain);
    else if (next.startsWith('active ')) onChange({ active: { days: Number(next.slice('active '.length)) } });
    else if (next === 'per_person') onChange({ per_person: { each: 'total', then: 'average' } });
    else if (next === 'distinct') firstReadable && onChange({ distinct: { property: firstReadable } });
    else if (next === 'cohort_size') cohort && onChange({ cohort_size: { cohort: cohort.id } });
    else if (!firstNumeric) return;
    else if (next === 'percentile') onChange({ percentile: { percent: PERCENT, property: firstNumeric } });
    else onChange(withProperty(next, firstNumeric));
  };

  return (
    <>
      <Picker
        label={t('query.measure')}
        value={kind}
        options={[
          ...PLAIN.map((value) => ({ value, label: t(`measures.${value}`) })),
          ...[...new Set([...ACTIVE_DAYS, days])].map((count) => ({
            value: `active ${count}`,
            label: t('measures.active', { count }),
          })),
          ...[...NUMERIC, 'percentile' as const].map((value) => ({
            value,
            label: t(`measures.${value}`),
            disabled: firstNumeric === undefined,
          })),
          { value: 'distinct', label: t('measures.distinct'), disabled: firstReadable === undefined },
          { value: 'per_person', label: t('measures.per_person') },
          { value: 'cohort_size', label: t('measures.cohort_size'), disabled: cohort === undefined },
        ]}
        onChange={choose}
      />
      {typeof measure === 'object' && 'percentile' in measure && (
        <CountInput
          label={t('measures.percentile')}
          value={measure.percentile.percent}
          max={100}
          onChange={(percent) => onChange({ percentile: { ...measure.percentile, percent } })}
        />
      )}
      {property !== undefined && (
        <>
          <span className={classes.word}>{t('query.of')}</span>
          <PropertyPicker
            label={t('query.property')}
            properties={kind === 'distinct' ? readable : numeric}
            value={property}
            onChange={(chosen) =>
              onChange(
                typeof measure === 'object' && 'percentile' in measure
                  ? { percentile: { ...measure.percentile, property: chosen } }
                  : withProperty(kind, chosen),
              )
            }
          />
        </>
      )}
      {typeof measure === 'object' && 'cohort_size' in measure && (
        <Picker
          label={t('query.which_cohort')}
          value={measure.cohort_size.cohort}
          options={cohorts.map(({ id, name }) => ({ value: id, label: name }))}
          onChange={(id) => onChange({ cohort_size: { cohort: id } })}
        />
      )}
      {typeof measure === 'object' && 'per_person' in measure && (
        <PerPerson {...measure.per_person} onChange={(per_person) => onChange({ per_person })} />
      )}
    </>
  );
}

interface PerPersonProps {
  each: PersonMeasure;
  then: Aggregate;
  onChange: (per: { each: PersonMeasure; then: Aggregate }) => void;
}

function PerPerson({ each, then, onChange }: PerPersonProps) {
  const { t } = useTranslation();
  const project = useProject();
  const { data: properties = [] } = useQuery(propertiesQuery(project.id));
  const numeric = properties.filter(({ types }) => types.includes('number'));
  const readable = properties.filter(({ types }) => types.length > 0);
  const property = propertyOf(each);
  const kind = nameOf(each);

  const chooseEach = (next: string) => {
    const plain = EACH_PLAIN.find((one) => one === next);
    const usual = property ?? (next === 'distinct' ? readable : numeric)[0]?.name;
    if (plain) onChange({ each: plain, then });
    else if (usual !== undefined) onChange({ each: withProperty(next, usual), then });
  };

  return (
    <>
      <Picker
        label={t('query.aggregate')}
        value={typeof then === 'string' ? then : 'percentile'}
        options={[...AGGREGATES, 'percentile' as const].map((value) => ({
          value,
          label: t(`measures.${value}`),
        }))}
        onChange={(next) => {
          const plain = AGGREGATES.find((one) => one === next);
          onChange({ each, then: plain ?? { percentile: { percent: PERCENT } } });
        }}
      />
      {typeof then === 'object' && (
        <CountInput
          label={t('measures.percentile')}
          value={then.percentile.percent}
          max={100}
          onChange={(percent) => onChange({ each, then: { percentile: { percent } } })}
        />
      )}
      <span className={classes.word}>{t('query.of')}</span>
      <Picker
        label={t('query.each_person')}
        value={kind}
        options={[
          ...EACH_PLAIN.map((value) => ({ value, label: t(`measures.${value}`) })),
          ...EACH_NUMERIC.map((value) => ({
            value,
            label: t(`measures.${value}`),
            disabled: numeric.length === 0,
          })),
          { value: 'distinct', label: t('measures.distinct'), disabled: readable.length === 0 },
        ]}
        onChange={chooseEach}
      />
      {property !== undefined && (
        <>
          <span className={classes.word}>{t('query.of')}</span>
          <PropertyPicker
            label={t('query.property')}
            properties={kind === 'distinct' ? readable : numeric}
            value={property}
            onChange={(chosen) => onChange({ each: withProperty(kind, chosen), then })}
          />
        </>
      )}
    </>
  );
}
