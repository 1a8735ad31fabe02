// Fields that a disclosure is about, as chips: what they are called and how sensitive they can be.

import { classOf, isField, useWords } from './fields';
import classes from './Personal.module.css';

/** Fields that a disclosure is about, each with the highest class that it can open. */
export function FieldChips({ fields }: { fields: string[] }) {
  const words = useWords();
  return (
    <span className={classes.fields}>
      {fields.map((field) => (
        <span key={field} className={classes.field}>
          {words.field(field)}
          {isField(field) && <span className={classes.class}>{classOf(field)}</span>}
        </span>
      ))}
    </span>
  );
}
