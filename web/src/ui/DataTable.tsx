// Numbers as a table: the accessible twin of every chart. First column names the row, the others align
// their figures; head and first column stay while it scrolls.
import type { ReactNode } from 'react';
import classes from './DataTable.module.css';

interface DataTableProps {
  caption: string;
  head: ReactNode[];
  rows: { key: string; name: ReactNode; note?: string; cells: ReactNode[] }[];
  foot?: { name: ReactNode; cells: ReactNode[] };
  /** Cells are words: they begin at the left. The last column, which acts, ends at the right. */
  texts?: boolean;
  /** Cells are sentences, which take more than a line. */
  sentences?: boolean;
}

export function DataTable({ caption, head, rows, foot, texts, sentences }: DataTableProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard.
    <section className={classes.scroll} tabIndex={0} aria-label={caption}>
      <table
        className={classes.table}
        data-texts={texts || undefined}
        data-sentences={sentences || undefined}
      >
        <caption className={classes.caption}>{caption}</caption>
        <thead>
          <tr>
            {head.map((cell, at) => (
              <th key={at} scope="col">
                {cell}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.key}>
              <th scope="row">
                {row.name}
                {row.note && <span className={classes.note}> {row.note}</span>}
              </th>
              {row.cells.map((cell, at) => (
                <td key={at}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
        {foot && (
          <tfoot>
            <tr>
              <th scope="row">{foot.name}</th>
              {foot.cells.map((cell, at) => (
                <td key={at}>{cell}</td>
              ))}
            </tr>
          </tfoot>
        )}
      </table>
    </section>
  );
}
