// Members of the organisation: who they are, what they may do, and who is on the way in.

import { createFileRoute } from '@tanstack/react-router';
import { Invitations } from '../access/Invitations';
import { Locks } from '../access/Locks';
import { Members as MemberList } from '../access/Members';
import { Waiting } from '../access/Waiting';
import { loadTrustTexts, useTranslation } from '../i18n';
import { useMay } from '../ui/may';
import { NotAllowed } from '../ui/NotAllowed';
import classes from '../ui/Page.module.css';
import { usePageTitle } from '../ui/project';

export const Route = createFileRoute('/p/$project/members')({
  loader: loadTrustTexts,
  component: Members,
});

function Members() {
  const { t } = useTranslation();
  const may = useMay();
  usePageTitle(t('nav.members'));
  return (
    <div className={classes.page} data-narrow>
      <div className={classes.head}>
        <h1 className={classes.title}>{t('nav.members')}</h1>
        <p className={classes.lead}>{t('people.lead')}</p>
      </div>
      {may('read_members') ? (
        <>
          <Waiting />
          {may('read_locks') && <Locks />}
          <MemberList />
          <Invitations />
        </>
      ) : (
        <NotAllowed control="read_members" />
      )}
    </div>
  );
}
