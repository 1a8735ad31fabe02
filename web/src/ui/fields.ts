// What personal values are about and for what they are opened, in words. The classes are the server's
// (`PersonalField::class`): the highest that a value under that name can have.

import { useMemo } from 'react';
import type { Class, PersonalField, Purpose } from '../api/types';
import { translateCode, useTranslation } from '../i18n';

/** Those that are sealed values; events are apart. */
export const FIELDS = [
  'email',
  'phone',
  'name',
  'birth',
  'distinct_id',
  'network_address',
  'place',
  'other',
] as const satisfies readonly PersonalField[];
export type SealedField = (typeof FIELDS)[number];

const FIELD_CLASSES: Record<PersonalField, Class> = {
  email: 'C3',
  phone: 'C3',
  name: 'C3',
  birth: 'C3',
  distinct_id: 'C3',
  network_address: 'C3',
  place: 'C4',
  other: 'C4',
  events: 'C2',
};

export function isField(name: string): name is PersonalField {
  return name in FIELD_CLASSES;
}

export function classOf(field: PersonalField): Class {
  return FIELD_CLASSES[field];
}

export const PURPOSES = [
  'subject_access',
  'portability',
  'support',
  'security',
  'legal_duty',
  'analysis',
  'migration',
] as const satisfies readonly Purpose[];

/** Purposes by their number in the ledger: those that somebody chooses, and those that incidents have. */
const PURPOSE_OF: Record<number, Purpose | 'notice' | 'package'> = {
  1: 'subject_access',
  2: 'portability',
  3: 'support',
  4: 'security',
  5: 'legal_duty',
  6: 'analysis',
  7: 'migration',
  20: 'notice',
  21: 'package',
};

export type LedgerPurpose = (typeof PURPOSE_OF)[number];
export const LEDGER_PURPOSES = Object.values(PURPOSE_OF);

export function purposeNumber(purpose: string | undefined): number | undefined {
  const found = Object.entries(PURPOSE_OF).find(([, name]) => name === purpose);
  return found && Number(found[0]);
}

/** Words for fields, groups of fields and purposes; what this version does not know comes back as given. */
export function useWords() {
  const { t } = useTranslation();
  return useMemo(
    () => ({
      field: (name: string) => translateCode('fields', name),
      group: (name: string) => translateCode('field_groups', name),
      purpose: (number: number | null | undefined) => {
        if (number === null || number === undefined) return t('purposes.none');
        const purpose = PURPOSE_OF[number];
        return purpose ? t(`purposes.${purpose}`) : t('purposes.number', { number });
      },
    }),
    [t],
  );
}
