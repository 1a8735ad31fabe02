// The pages of a project, in the order of the navigation: their addresses, names and keys stand here alone.
import {
  IconActivity,
  IconAlertTriangle,
  IconCalendarStats,
  IconChartLine,
  IconEye,
  IconFileExport,
  IconFilter2,
  IconHourglassHigh,
  IconKey,
  IconPlug,
  IconRadar2,
  IconRepeat,
  IconRoute,
  IconShieldLock,
  IconUserCheck,
  IconUserCog,
  IconUserShield,
  IconUsers,
  IconUsersGroup,
} from '@tabler/icons-react';
import { useMay } from './may';

/**
 * `key` follows a `g`. Whoever's roles open a page with `control` by none of them is not offered it. Pages with a
 * `section` stand together under its name.
 */
export const PAGES = [
  { path: '/p/$project/insights', name: 'nav.insights', icon: IconChartLine, key: 'i' },
  { path: '/p/$project/funnels', name: 'nav.funnels', icon: IconFilter2, key: 'f' },
  { path: '/p/$project/retention', name: 'nav.retention', icon: IconRepeat, key: 'r' },
  { path: '/p/$project/flows', name: 'nav.flows', icon: IconRoute, key: 'w' },
  { path: '/p/$project/frequency', name: 'nav.frequency', icon: IconCalendarStats, key: 'q' },
  { path: '/p/$project/sessions', name: 'nav.sessions', icon: IconHourglassHigh, key: 'e' },
  { path: '/p/$project/persons', name: 'nav.persons', icon: IconUsers, key: 'p' },
  { path: '/p/$project/cohorts', name: 'nav.cohorts', icon: IconUsersGroup, key: 'c' },
  { path: '/p/$project/live', name: 'nav.live', icon: IconActivity, key: 'l' },
  { path: '/p/$project/data', name: 'nav.data', icon: IconShieldLock, key: 'd' },
  {
    path: '/p/$project/disclosures',
    name: 'nav.disclosures',
    icon: IconEye,
    key: 'v',
    section: 'trust',
    control: ['view_scope', 'read_ledger'],
  },
  {
    path: '/p/$project/exposure',
    name: 'nav.exposure',
    icon: IconRadar2,
    key: 'x',
    section: 'trust',
    control: 'view_scope',
  },
  { path: '/p/$project/exports', name: 'nav.exports', icon: IconFileExport, key: 'o', section: 'trust' },
  { path: '/p/$project/approvals', name: 'nav.approvals', icon: IconUserCheck, key: 'y', section: 'trust' },
  {
    path: '/p/$project/incidents',
    name: 'nav.incidents',
    icon: IconAlertTriangle,
    key: 'n',
    section: 'trust',
    control: 'view_scope',
  },
  { path: '/p/$project/start', name: 'nav.start', icon: IconPlug, key: 's' },
  { path: '/p/$project/tokens', name: 'nav.tokens', icon: IconKey, key: 'k', control: 'read_tokens' },
  { path: '/p/$project/members', name: 'nav.members', icon: IconUserCog, key: 'm', control: 'read_members' },
  { path: '/p/$project/account', name: 'nav.account', icon: IconUserShield, key: 'a' },
] as const;

export type Page = (typeof PAGES)[number];

/** The pages that the reader's roles open. */
export function usePages(): Page[] {
  const may = useMay();
  return PAGES.filter((page) => !('control' in page) || [page.control].flat().some(may));
}

export type PagePath = (typeof PAGES)[number]['path'];
