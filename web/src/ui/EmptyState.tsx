// Nothing to show yet: says why, and offers the next step rather than a drawing.
import type { ReactNode } from 'react';
import classes from './EmptyState.module.css';

interface EmptyStateProps {
  title: string;
  children?: ReactNode;
  action?: ReactNode;
  /** Within a report rather than as a whole page. */
  compact?: boolean;
  /** Within a section that has more to say. */
  slim?: boolean;
}

export function EmptyState({ title, children, action, compact, slim }: EmptyStateProps) {
  return (
    <div className={classes.root} data-compact={compact || undefined} data-slim={slim || undefined}>
      <h2 className={classes.title}>{title}</h2>
      {children && <div className={classes.text}>{children}</div>}
      {action && <div className={classes.action}>{action}</div>}
    </div>
  );
}
