// A tab per language, each with code to paste and a button that copies it.

import { Tabs } from '@mantine/core';
import { useTranslation } from '../i18n';
import { CopyButton } from '../ui/CopyButton';
import classes from './Start.module.css';
import { snippetsFor } from './snippetCode';

export function Snippets({ token, origin }: { token: string; origin: string }) {
  const { t } = useTranslation();
  return (
    <Tabs defaultValue="browser" className={classes.tabs}>
      <Tabs.List className={classes.tabList} aria-label={t('start.languages')}>
        {snippetsFor(token, origin).map(({ name, label }) => (
          <Tabs.Tab key={name} value={name}>
            {label}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      {snippetsFor(token, origin).map(({ name, install, code }) => (
        <Tabs.Panel key={name} value={name}>
          <div className={classes.codeHead}>
            {install ? <code className={classes.install}>{install}</code> : <span />}
            <CopyButton value={code} label={t('start.copy')} />
          </div>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard. */}
          <pre className={classes.code} tabIndex={0}>
            <code>{code}</code>
          </pre>
        </Tabs.Panel>
      ))}
    </Tabs>
  );
}
