// The page outside: set-up and sign-in share one quiet frame, with the language in reach.
import type { ReactNode } from 'react';
import { changeLanguage, LANGUAGES, type Language, useTranslation } from '../i18n';
import classes from './DoorPage.module.css';
import { Mark } from './Mark';

export function DoorPage({ title, lead, children }: { title: string; lead?: string; children: ReactNode }) {
  const { t, language } = useTranslation();
  return (
    <div className={classes.page}>
      <aside className={classes.side}>
        <div className={classes.brand}>
          <Mark size={30} /> Cofferdam
        </div>
        <p className={classes.claim}>{t('door.claim')}</p>
        <Water />
      </aside>
      <main className={classes.main}>
        <div className={classes.box}>
          <h1 className={classes.title}>{title}</h1>
          {lead && <p className={classes.lead}>{lead}</p>}
          {children}
        </div>
        <nav className={classes.languages} aria-label={t('shell.language')}>
          {Object.entries(LANGUAGES).map(([code, name]) => (
            <button
              key={code}
              type="button"
              lang={code}
              aria-pressed={language === code}
              onClick={() => changeLanguage(code as Language)}
            >
              {name}
            </button>
          ))}
        </nav>
      </main>
    </div>
  );
}

/** Two bulkheads holding the water off. */
function Water() {
  return (
    <svg
      className={classes.water}
      viewBox="0 0 400 220"
      preserveAspectRatio="xMidYMax slice"
      aria-hidden="true"
    >
      <path d="M0 92q25-14 50 0t50 0 38 0V220H0z" fill="#2a93a9" opacity=".35" />
      <path d="M0 116q25-12 50 0t50 0 38 0V220H0z" fill="#2a93a9" opacity=".45" />
      <path d="M138 30h22v190h-22z" fill="#6fd0dc" />
      <path d="M240 30h22v190h-22z" fill="#3aa5ba" />
      <path d="M262 92q17 14 38 0t50 0 50 0V220H262z" fill="#6fd0dc" opacity=".22" />
      <path d="M262 116q17 12 38 0t50 0 50 0V220H262z" fill="#6fd0dc" opacity=".3" />
    </svg>
  );
}
