// The frame around every page of a project: where one is, where one can go, and whether events arrive.
import { ActionIcon, Drawer, Menu, useMantineColorScheme } from '@mantine/core';
import { useDisclosure, useHotkeys } from '@mantine/hooks';
import {
  IconKeyboard,
  IconLanguage,
  IconLogout,
  IconMenu2,
  IconPlus,
  IconSearch,
  IconSelector,
  IconSunMoon,
  IconUser,
  IconUserShield,
} from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { Fragment, lazy, type ReactNode, Suspense, useCallback, useEffect, useState } from 'react';
import { projectsQuery, sessionQuery, signOut, statusQuery, waitingQuery } from '../api/queries';
import { changeLanguage, LANGUAGES, type Language, useTranslation } from '../i18n';
import { Alarms, useAlarms } from './Alarms';
import { useSingleKeys } from './keys';
import { Mark } from './Mark';
import { useMay } from './may';
import { type Page, type PagePath, usePages } from './pages';
import { useProject, useProjectFormat } from './project';
import classes from './Shell.module.css';
import { useNow } from './time';
import { useWaiting } from './waiting';

// Layers that most visits never open wait until the page stands; the palette must open at once when asked,
// so it is fetched before anybody asks.
const CommandPalette = lazy(() => import('./CommandPalette'));
const KeysDialog = lazy(() => import('./KeysDialog'));
const NewProjectDialog = lazy(() => import('./NewProjectDialog'));
const PALETTE_AFTER_MS = 2_000;

interface ShellProps {
  children: ReactNode;
  /** Somebody picked an event in the palette. */
  onEvent: (name: string) => void;
}

export function Shell({ children, onEvent }: ShellProps) {
  const { t } = useTranslation();
  const project = useProject();
  const navigate = useNavigate();
  const [navOpened, nav] = useDisclosure(false);
  const [keysOpened, keys] = useDisclosure(false);
  const [newProjectOpened, newProject] = useDisclosure(false);
  const [paletteCalls, setPaletteCalls] = useState(0);
  const callPalette = () => setPaletteCalls((before) => before + 1);
  const settled = useSettled();
  useHotkeys([['mod+K', callPalette]], []);

  const goTo = useCallback(
    (path: PagePath) => navigate({ to: path, params: { project: String(project.id) } }),
    [navigate, project.id],
  );
  useSingleKeys({ goTo, showKeys: keys.open });

  return (
    <div className={classes.frame}>
      <a href="#main" className={classes.skip}>
        {t('shell.skip')}
      </a>
      <aside className={classes.side}>
        <Brand />
        <Navigation />
      </aside>
      <div className={classes.column}>
        <header className={classes.top}>
          <ActionIcon
            className={classes.burger}
            variant="subtle"
            color="gray"
            size="lg"
            aria-label={t('shell.menu')}
            onClick={nav.open}
          >
            <IconMenu2 size={20} />
          </ActionIcon>
          <ProjectMenu onCreate={newProject.open} />
          <button
            type="button"
            className={classes.search}
            aria-label={t('shell.search')}
            onClick={callPalette}
          >
            <IconSearch size={15} aria-hidden="true" />
            <span className={classes.searchText}>{t('shell.search')}</span>
            <kbd className={classes.kbd}>{navigator.platform.startsWith('Mac') ? '⌘' : 'Ctrl '}K</kbd>
          </button>
          <div className={classes.right}>
            <Health />
            <UserMenu onKeys={keys.open} />
          </div>
        </header>
        <Alarms />
        <main id="main" className={classes.main} tabIndex={-1}>
          {children}
        </main>
      </div>
      <Drawer.Root opened={navOpened} onClose={nav.close} size={248}>
        <Drawer.Overlay backgroundOpacity={0.45} />
        <Drawer.Content className={classes.drawer} aria-label={t('shell.menu')}>
          <Drawer.Body className={classes.drawerBody}>
            <Brand />
            <Navigation onGo={nav.close} />
          </Drawer.Body>
        </Drawer.Content>
      </Drawer.Root>
      <Suspense>
        {(settled || paletteCalls > 0) && (
          <CommandPalette
            calls={paletteCalls}
            onKeys={keys.open}
            onNewProject={newProject.open}
            onEvent={onEvent}
          />
        )}
        {keysOpened && <KeysDialog onClose={keys.close} />}
        {newProjectOpened && <NewProjectDialog onClose={newProject.close} />}
      </Suspense>
    </div>
  );
}

/** True once the page has had time to load what it shows. */
function useSettled(): boolean {
  const [settled, setSettled] = useState(false);
  useEffect(() => {
    const timer = window.setTimeout(() => setSettled(true), PALETTE_AFTER_MS);
    return () => window.clearTimeout(timer);
  }, []);
  return settled;
}

function Brand() {
  return (
    <div className={classes.brand}>
      <Mark size={26} />
      <span>Cofferdam</span>
    </div>
  );
}

function Navigation({ onGo }: { onGo?: () => void }) {
  const { t } = useTranslation();
  const pages = usePages();
  const project = useProject();
  return (
    <nav aria-label={t('shell.pages')} className={classes.nav}>
      {pages.map((page, at) => {
        const { path, name, icon: Icon } = page;
        const section = sectionOf(page);
        return (
          <Fragment key={path}>
            {section && section !== sectionOf(pages[at - 1]) && (
              <span className={classes.section} aria-hidden="true">
                {t(`nav.${section}`)}
              </span>
            )}
            <Link
              to={path}
              params={{ project: String(project.id) }}
              className={classes.link}
              activeProps={{ 'data-active': true, 'aria-current': 'page' }}
              activeOptions={{ includeSearch: false }}
              onClick={onGo}
            >
              <Icon size={18} stroke={1.75} aria-hidden="true" />
              {t(name)}
              {path === '/p/$project/approvals' && <Waiting />}
              {path === '/p/$project/incidents' && <Alarmed />}
            </Link>
          </Fragment>
        );
      })}
    </nav>
  );
}

const sectionOf = (page: Page | undefined) => (page && 'section' in page ? page.section : undefined);

const WAITING_EVERY_MS = 60_000;

/** How many requests wait for the reader to decide. */
function Waiting() {
  const { t } = useTranslation();
  const { data: disclosures = [] } = useWaiting(WAITING_EVERY_MS);
  const { data: wishes = [] } = useQuery({
    ...waitingQuery(),
    refetchInterval: WAITING_EVERY_MS,
    select: (all) => all.filter(({ can_agree }) => can_agree),
  });
  const count = disclosures.length + wishes.length;
  return <Badge count={count} text={t('nav.waiting', { count })} />;
}

/** How many incidents a limit opened that nobody has contained. */
function Alarmed() {
  const { t } = useTranslation();
  const count = useAlarms().filter(({ incident }) => typeof incident === 'number').length;
  return <Badge count={count} text={t('nav.alarmed', { count })} isBad />;
}

function Badge({ count, text, isBad }: { count: number; text: string; isBad?: boolean }) {
  if (count === 0) return null;
  return (
    <span className={classes.badge} data-bad={isBad} title={text}>
      {count}
      <span className={classes.hidden}>{text}</span>
    </span>
  );
}

function ProjectMenu({ onCreate }: { onCreate: () => void }) {
  const { t } = useTranslation();
  const project = useProject();
  const navigate = useNavigate();
  const may = useMay();
  const { data: projects = [project] } = useQuery(projectsQuery());
  return (
    <Menu position="bottom-start" width={260}>
      <Menu.Target>
        <button
          type="button"
          className={classes.project}
          aria-label={t('shell.project', { name: project.name })}
        >
          <span className={classes.projectName}>{project.name}</span>
          <IconSelector size={15} aria-hidden="true" />
        </button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{t('shell.projects')}</Menu.Label>
        <Menu.RadioGroup
          value={String(project.id)}
          onChange={(id) => navigate({ to: '/p/$project', params: { project: String(id) } })}
        >
          {projects.map((one) => (
            <Menu.RadioItem key={one.id} value={String(one.id)}>
              {one.name}
            </Menu.RadioItem>
          ))}
        </Menu.RadioGroup>
        {may('manage_projects') && (
          <>
            <Menu.Divider />
            <Menu.Item leftSection={<IconPlus size={16} />} onClick={onCreate}>
              {t('project.new')}
            </Menu.Item>
          </>
        )}
      </Menu.Dropdown>
    </Menu>
  );
}

const HEALTH_EVERY_MS = 15_000;
const FRESH_MS = 10 * 60_000;

/** One glance at ingest: does anything arrive, and is anything refused. Leads to the page with the reasons. */
function Health() {
  const { t } = useTranslation();
  const project = useProject();
  const format = useProjectFormat();
  const now = useNow();
  const { data: status } = useQuery({ ...statusQuery(project.id), refetchInterval: HEALTH_EVERY_MS });
  if (!status) return null;
  const refused = status.outcomes.rejected.reduce((sum, { count }) => sum + count, 0);
  const last = status.last_event_at;
  const fresh = last ? now - Date.parse(last) < FRESH_MS : false;
  const state = refused > 0 ? 'refused' : fresh ? 'receiving' : last ? 'quiet' : 'empty';
  const text = {
    refused: t('health.refused', { count: refused, number: format.count(refused) }),
    receiving: t('health.receiving'),
    quiet: t('health.quiet', { ago: last ? format.ago(last, now) : '' }),
    empty: t('health.empty'),
  }[state];
  return (
    <Link
      to="/p/$project/live"
      params={{ project: String(project.id) }}
      className={classes.health}
      data-state={state}
      aria-label={text}
    >
      <span className={classes.dot} aria-hidden="true" />
      <span className={classes.healthText}>{text}</span>
    </Link>
  );
}

function UserMenu({ onKeys }: { onKeys: () => void }) {
  const { t, language } = useTranslation();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const project = useProject();
  const navigate = useNavigate();
  const queryClient = useQueryClient();
  const { data: session } = useQuery(sessionQuery());

  const leave = async () => {
    await signOut();
    await navigate({ to: '/login' });
    queryClient.clear();
  };

  return (
    <Menu position="bottom-end" width={240} closeOnItemClick={false}>
      <Menu.Target>
        <ActionIcon variant="default" radius="xl" size={32} aria-label={t('shell.account')}>
          <IconUser size={17} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {session?.user && (
          <div className={classes.who}>
            <div className={classes.whoName}>{session.user.name}</div>
            <div className={classes.whoMail}>{session.user.email}</div>
            {session.organisation && <div className={classes.whoMail}>{session.organisation.name}</div>}
          </div>
        )}
        <Menu.Divider />
        <Menu.Label>
          <IconLanguage size={14} aria-hidden="true" /> {t('shell.language')}
        </Menu.Label>
        <Menu.RadioGroup value={language} onChange={(next) => changeLanguage(next as Language)}>
          {Object.entries(LANGUAGES).map(([code, name]) => (
            <Menu.RadioItem key={code} value={code} lang={code}>
              {name}
            </Menu.RadioItem>
          ))}
        </Menu.RadioGroup>
        <Menu.Divider />
        <Menu.Label>
          <IconSunMoon size={14} aria-hidden="true" /> {t('shell.appearance')}
        </Menu.Label>
        <Menu.RadioGroup
          value={colorScheme}
          onChange={(next) => setColorScheme(next as 'light' | 'dark' | 'auto')}
        >
          <Menu.RadioItem value="auto">{t('shell.scheme_auto')}</Menu.RadioItem>
          <Menu.RadioItem value="light">{t('shell.scheme_light')}</Menu.RadioItem>
          <Menu.RadioItem value="dark">{t('shell.scheme_dark')}</Menu.RadioItem>
        </Menu.RadioGroup>
        <Menu.Divider />
        <Menu.Item
          leftSection={<IconUserShield size={16} />}
          closeMenuOnClick
          onClick={() => navigate({ to: '/p/$project/account', params: { project: String(project.id) } })}
        >
          {t('nav.account')}
        </Menu.Item>
        <Menu.Item
          leftSection={<IconKeyboard size={16} />}
          rightSection={<kbd className={classes.kbd}>?</kbd>}
          closeMenuOnClick
          onClick={onKeys}
        >
          {t('keys.title')}
        </Menu.Item>
        <Menu.Item leftSection={<IconLogout size={16} />} closeMenuOnClick onClick={leave}>
          {t('shell.sign_out')}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
