// What the signed-in member may do, read from the table that the server decides by, as `scripts/policy.ts`
// turns it over. It only says what to show and whom to ask: the server decides again.
import { useQuery } from '@tanstack/react-query';
import allowed from '../../../crates/model/policy_controls.csv';
import { sessionQuery } from '../api/queries';
import type { Role } from '../api/types';

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

/** The members' roles that may do it. */
export const whoMay = (control: Control): MemberRole[] =>
  MEMBER_ROLES.filter((role) => allowed[control]?.includes(role));

export function useMay(): (control: Control) => boolean {
  const { data: session } = useQuery(sessionQuery());
  const roles: string[] = session?.user?.roles ?? [];
  return (control) => roles.some((role) => allowed[control]?.includes(role));
}
