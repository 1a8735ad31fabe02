// How far something is, for eyes and for those who hear it.
import classes from './Bar.module.css';

export function Bar({ label, done, of }: { label: string; done: number; of: number }) {
  const share = of > 0 ? Math.min(1, done / of) : 0;
  return (
    <div
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={of}
      aria-valuenow={Math.min(done, of)}
      className={classes.track}
    >
      <div className={classes.fill} style={{ width: `${share * 100}%` }} />
    </div>
  );
}
