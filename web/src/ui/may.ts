// What the signed-in member may do, read from the tables that the server decides by, as `scripts/policy.ts`
// turns them over. It only says what to show and whom to ask: the server decides again.
import { useQuery } from '@tanstack/react-query';
import controls from '../../../crates/model/policy_controls.csv';
import matrix from '../../../crates/model/policy_matrix.csv';
import { sessionQuery } from '../api/queries';
import type { Role } from '../api/types';
import { useProject } from './project';

/** Roles that a member can have, in the order of the table. */
export const MEMBER_ROLES = [
  'org_owner',
  'org_admin',
  'project_admin',
  'viewer',
  'analyst',
  'support_agent',
  'privacy_officer',
  'data_steward',
  'incident_commander',
  'responder',
  'auditor',
  'vendor_manager',
  'developer',
] as const satisfies Role[];
export type MemberRole = (typeof MEMBER_ROLES)[number];

/** What pages and buttons depend on. */
export type Control =
  | 'read_members'
  | 'manage_members'
  | 'manage_roles'
  | 'manage_projects'
  | 'read_locks'
  | 'unlock'
  | 'read_tokens'
  | 'manage_query_tokens'
  | 'manage_export_tokens'
  | 'revoke_tokens'
  | 'edit_cohorts'
  | 'read_erasures'
  | 'change_plan'
  | 'handle_quarantine'
  | 'set_retention'
  | 'read_ledger'
  | 'view_scope'
  | 'list_scope'
  | 'declare_incident'
  | 'publish_notice'
  | 'lock'
  | 'unlock'
  | 'read_locks';

/** What somebody begins of one person, by its cell among classes and deeds: for the highest class that it can touch. */
const CELLS = { reveal: 'C3 reveal_one', own_data: 'C4 reveal_one', erase: 'C4 erase' } as const;
export type PersonDeed = keyof typeof CELLS;

const isDeed = (what: Control | PersonDeed): what is PersonDeed => what in CELLS;

/** Takes a factor shown again. Whoever only agrees to it does not begin it. */
const isBegun = (decision: string | undefined) => decision?.startsWith('S') ?? false;

function isAllowed(role: string, what: Control | PersonDeed): boolean {
  return isDeed(what) ? isBegun(matrix[CELLS[what]]?.[role]) : controls[what]?.[role] !== undefined;
}

/** The members' roles that may do it. */
export const whoMay = (what: Control | PersonDeed): MemberRole[] =>
  MEMBER_ROLES.filter((role) => isAllowed(role, what));

function useRoles(): readonly string[] {
  const { data: session } = useQuery(sessionQuery());
  return session?.user?.roles ?? [];
}

export function useMay(): (what: Control | PersonDeed) => boolean {
  const roles = useRoles();
  return (what) => roles.some((role) => isAllowed(role, what));
}

/** How lists of events and persons open to somebody. */
export interface Rows {
  /** Whenever they ask, without device and place. */
  freely: boolean;
  /** With device and place, for a purpose, a factor shown again. */
  inClear: boolean;
}

export function rowsOf(roles: readonly string[], isTest: boolean): Rows {
  return {
    freely: roles.some((role) => {
      const decision = matrix['C1 read_row']?.[role];
      return decision === 'A' || (isTest && decision === 'A:testenv');
    }),
    inClear: roles.some((role) => isBegun(matrix['C2 read_row']?.[role])),
  };
}

/** The members' roles to which rows open at all. */
export const whoReadsRows = (isTest: boolean): MemberRole[] =>
  MEMBER_ROLES.filter((role) => Object.values(rowsOf([role], isTest)).some(Boolean));

export function useRows(): Rows {
  const roles = useRoles();
  return rowsOf(roles, useProject().is_test);
}
