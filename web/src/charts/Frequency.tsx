// How many different hours or days people came back on: all periods together as columns, and every period
// as a row whose cells are shaded by their share.

import type { FrequencyQuery, FrequencyTable } from '../api/types';
import { useTranslation } from '../i18n';
import { useProjectFormat } from '../ui/project';
import { Plot } from './Plot';
import classes from './Retention.module.css';

interface FrequencyProps {
  query: FrequencyQuery;
  table: FrequencyTable;
}

/** "3 days" or "at least 3 days", in the words of the period. */
function useStepName(query: FrequencyQuery): (count: number) => string {
  const { t } = useTranslation();
  const unit = query.period === 'day' ? 'hours' : 'days';
  const how = query.cumulative ? 'at_least' : 'exactly';
  return (count) => t(`frequency.${how}_${unit}`, { count });
}

const stepsOf = (table: FrequencyTable) => table.overall.map((_, at) => at + 1);
const personsOf = (table: FrequencyTable) => table.periods.reduce((sum, { persons }) => sum + persons, 0);

export function FrequencyColumns({ query, table }: FrequencyProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const stepName = useStepName(query);
  const all = personsOf(table);
  return (
    <Plot
      caption={t(`frequency.caption_${query.period as 'day'}`)}
      axis={t(query.period === 'day' ? 'frequency.axis_hours' : 'frequency.axis_days')}
      marks={stepsOf(table).map((count) => ({ short: String(count), long: stepName(count) }))}
      series={[{ key: 'all', label: t('frequency.persons'), look: 0, values: table.overall }]}
      mode="bars"
      unfinishedNote={t('chart.unfinished')}
      formatValue={(value) =>
        t('frequency.reading', {
          number: format.count(value),
          share: format.percent(all === 0 ? 0 : value / all),
        })
      }
      formatTick={format.compact}
    />
  );
}

export function FrequencyHeat({ query, table }: FrequencyProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const stepName = useStepName(query);
  const steps = stepsOf(table);
  const unfinishedFrom = table.last_incomplete ? table.periods.length - 1 : table.periods.length;
  const all = personsOf(table);
  const caption = t(`frequency.caption_${query.period as 'day'}`);
  const cell = (key: number, count: number, persons: number, growing: boolean) => {
    const share = persons === 0 ? 0 : count / persons;
    const words = t('retention.cell', {
      count: persons,
      retained: format.count(count),
      size: format.count(persons),
    });
    const text = growing ? `${words} ${t('retention.growing')}` : words;
    return (
      <td
        key={key}
        className={classes.cell}
        data-growing={growing || undefined}
        title={text}
        // A root scale, as in retention: small shares stay apart.
        style={{ '--share': Math.sqrt(share).toFixed(3) } as React.CSSProperties}
      >
        {persons === 0 ? '–' : format.alignedPercent(share)}
        <span className={classes.hidden}>{text}</span>
      </td>
    );
  };
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard.
    <section className={classes.scroll} tabIndex={0} aria-label={caption}>
      <table className={classes.table}>
        <caption className={classes.hidden}>{caption}</caption>
        <thead>
          <tr>
            <th scope="col">{t(`units.${query.period}`)}</th>
            <th scope="col">{t('retention.size')}</th>
            {steps.map((count) => (
              <th key={count} scope="col">
                {stepName(count)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          <tr className={classes.average}>
            <th scope="row">{t('frequency.all')}</th>
            <td>{format.count(all)}</td>
            {table.overall.map((count, at) => (
              <td key={at}>{all === 0 ? '–' : format.alignedPercent(count / all)}</td>
            ))}
          </tr>
          {table.periods.map((period, row) => (
            <tr key={period.start}>
              <th scope="row">{format.bucket(period.start, query.period, 'long')}</th>
              <td>{format.count(period.persons)}</td>
              {steps.map((_, at) => cell(at, period.counts[at] ?? 0, period.persons, row >= unfinishedFrom))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
