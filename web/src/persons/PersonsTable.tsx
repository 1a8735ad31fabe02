// Who did something, by pseudonym. A row opens the person's timeline; what is sealed shows as such.

import type { PersonRow } from '../api/types';
import { useTranslation } from '../i18n';
import { PlainValue, SealedValue } from '../ui/Personal';
import { useProjectFormat } from '../ui/project';
import { useNow } from '../ui/time';
import classes from './Persons.module.css';

interface PersonsTableProps {
  persons: PersonRow[];
  /** Device and place are in it: every property is shown, over as many lines as it takes. */
  isInClear: boolean;
  opened: string | undefined;
  onOpen: (pseudonym: string) => void;
}

const SHOWN_PROPERTIES = 2;

export function PersonsTable({ persons, isInClear, opened, onOpen }: PersonsTableProps) {
  const { t } = useTranslation();
  const format = useProjectFormat();
  const now = useNow();
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard.
    <section className={classes.scroll} tabIndex={0} aria-label={t('persons.title')}>
      <table className={classes.table}>
        <caption className={classes.hidden}>{t('persons.title')}</caption>
        <thead>
          <tr>
            <th scope="col">{t('persons.pseudonym')}</th>
            <th scope="col" className={classes.number}>
              {t('persons.events')}
            </th>
            <th scope="col">{t('persons.last_seen')}</th>
            <th scope="col">{t('persons.first_seen')}</th>
            <th scope="col">{t('persons.known')}</th>
            <th scope="col">{t('persons.sealed')}</th>
          </tr>
        </thead>
        <tbody>
          {persons.map((person) => (
            // The whole row answers to the mouse; the keyboard has the button in it.
            <tr
              key={person.pseudonym}
              data-open={opened === person.pseudonym || undefined}
              onClick={() => onOpen(person.pseudonym)}
            >
              <th scope="row">
                <button type="button" className={classes.open} onClick={() => onOpen(person.pseudonym)}>
                  {person.pseudonym}
                </button>
              </th>
              <td className={classes.number}>{format.count(person.events)}</td>
              <td title={format.dateTime(person.last_seen)}>{format.ago(person.last_seen, now)}</td>
              <td title={format.dateTime(person.first_seen)}>{format.date(person.first_seen)}</td>
              <td className={classes.known} data-all={isInClear || undefined}>
                <Known person={person} max={isInClear ? Number.POSITIVE_INFINITY : SHOWN_PROPERTIES} />
              </td>
              <td className={classes.known}>
                <Sealed person={person} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Known({ person, max }: { person: PersonRow; max: number }) {
  // When somebody was last seen has a column of its own.
  const plain = person.properties.filter(({ name }) => name !== '$last_seen');
  const masked = person.masked ?? [];
  const known = [
    ...plain.map(({ name, value }) => ({ name, value: <PlainValue value={value} /> })),
    ...masked.map((name) => ({ name, value: <SealedValue class="C2" action="masked" /> })),
  ];
  return (
    <>
      {known.slice(0, max).map(({ name, value }) => (
        <span key={name} className={classes.pair}>
          <span className={classes.soft}>{name}</span> {value}
        </span>
      ))}
      {known.length > max && <span className={classes.more}>+{known.length - max}</span>}
    </>
  );
}

function Sealed({ person }: { person: PersonRow }) {
  const strictest = person.sealed
    .map((sealed) => sealed.class)
    .sort()
    .at(-1);
  if (!strictest) return null;
  return (
    <>
      <SealedValue class={strictest} />{' '}
      <span className={classes.soft} title={person.sealed.map(({ name }) => name).join(', ')}>
        {person.sealed[0]?.name}
      </span>
      {person.sealed.length > 1 && <span className={classes.more}>+{person.sealed.length - 1}</span>}
    </>
  );
}
