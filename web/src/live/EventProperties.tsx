// Each property of a received event beside what happened to it at the door.

import type { Action, LiveEvent, LiveProperty } from '../api/types';
import { useTranslation } from '../i18n';
import { ClassChip, PlainValue, SealedValue } from '../ui/Personal';
import classes from './Live.module.css';

// What was taken out stands first: that is what somebody wants to check.
const ORDER: Action[] = ['dropped', 'quarantined', 'sealed', 'pseudonymised', 'reduced', 'kept'];
const byAction = (a: LiveProperty, b: LiveProperty) => ORDER.indexOf(a.action) - ORDER.indexOf(b.action);

export function EventProperties({ event }: { event: LiveEvent }) {
  const { t } = useTranslation();
  if (event.properties.length === 0) return <p className={classes.none}>{t('live.no_properties')}</p>;
  return (
    <table className={classes.properties}>
      <caption className={classes.hidden}>{t('live.properties')}</caption>
      <thead className={classes.hidden}>
        <tr>
          <th scope="col">{t('query.property')}</th>
          <th scope="col">{t('query.value')}</th>
          <th scope="col">{t('live.what_happened')}</th>
        </tr>
      </thead>
      <tbody>
        {[...event.properties].sort(byAction).map((property) => (
          <tr key={property.name}>
            <th scope="row">{property.name}</th>
            <td>
              {property.masked ? (
                <SealedValue class="C2" action="masked" />
              ) : property.value === undefined || property.value === null ? (
                <SealedValue class={property.class} action={property.action} />
              ) : (
                <PlainValue value={property.value} />
              )}
            </td>
            <td>
              <ClassChip class={property.class} action={property.action} detector={property.detector} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
