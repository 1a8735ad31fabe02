// Tokens of programs that read from this project.

import { createFileRoute } from '@tanstack/react-router';
import { Tokens as TokenList } from '../access/Tokens';
import { useTranslation } from '../i18n';
import { useMay } from '../ui/may';
import { NotAllowed } from '../ui/NotAllowed';
import classes from '../ui/Page.module.css';
import { usePageTitle, useProject } from '../ui/project';

export const Route = createFileRoute('/p/$project/tokens')({ component: Tokens });

function Tokens() {
  const { t } = useTranslation();
  const project = useProject();
  const may = useMay();
  usePageTitle(t('nav.tokens'), project.name);
  return (
    <div className={classes.page} data-narrow>
      <div className={classes.head}>
        <h1 className={classes.title}>{t('nav.tokens')}</h1>
        <p className={classes.lead}>{t('token.lead')}</p>
      </div>
      {may('read_tokens') ? <TokenList /> : <NotAllowed control="read_tokens" />}
    </div>
  );
}
