// The left rail: a question as a sentence, one clause per section. On narrow screens it folds into a line
// that says what is asked, so that the answer stays on the first screen.

import { useDisclosure, useMediaQuery } from '@mantine/hooks';
import { IconAdjustments, IconX } from '@tabler/icons-react';
import { type ReactNode, useId } from 'react';
import type { Breakdown, Filter } from '../api/types';
import { useTranslation } from '../i18n';
import { BreakdownPicker } from './BreakdownPicker';
import classes from './Builder.module.css';
import { Filters } from './Filters';

export function Rail({ children }: { children: ReactNode }) {
  const { t } = useTranslation();
  const narrow = useMediaQuery('(max-width: 62em)', false, { getInitialValueInEffect: false });
  const [opened, { toggle }] = useDisclosure(false);
  const id = useId();
  return (
    <section className={classes.rail} aria-label={t('query.question')}>
      {narrow && (
        <button
          type="button"
          className={classes.fold}
          aria-expanded={opened}
          aria-controls={id}
          onClick={toggle}
        >
          {opened ? <IconX size={16} aria-hidden="true" /> : <IconAdjustments size={16} aria-hidden="true" />}
          {opened ? t('query.done') : t('query.edit')}
        </button>
      )}
      <div id={id} className={classes.clauses} hidden={narrow && !opened}>
        {children}
      </div>
    </section>
  );
}

export function Clause({ name, children }: { name: string; children: ReactNode }) {
  const id = useId();
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset's legend cannot stand beside its fields.
    <div className={classes.clause} role="group" aria-labelledby={id}>
      <h2 className={classes.clauseName} id={id}>
        {name}
      </h2>
      <div className={classes.clauseBody}>{children}</div>
    </div>
  );
}

/** The two clauses that insights and funnels share. */
export function WhereClause(props: { filters: Filter[] | undefined; onChange: (filters: Filter[]) => void }) {
  const { t } = useTranslation();
  return (
    <Clause name={t('query.where')}>
      <Filters main {...props} />
    </Clause>
  );
}

export function ByClause(props: {
  breakdown: Breakdown | null | undefined;
  onChange: (breakdown: Breakdown | undefined) => void;
}) {
  const { t } = useTranslation();
  return (
    <Clause name={t('query.by')}>
      <BreakdownPicker {...props} />
    </Clause>
  );
}

/** A list without its emptiness, as queries are written. */
export const orNone = <T,>(list: T[]): T[] | undefined => (list.length > 0 ? list : undefined);
