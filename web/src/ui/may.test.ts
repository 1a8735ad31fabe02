// The console reads the server's own table; these are the cells that its pages stand on.
import { describe, expect, it } from 'vitest';
import { type Control, MEMBER_ROLES, whoMay } from './may';

describe('who may', () => {
  it('is read from the table of the server', () => {
    expect(whoMay('read_members')).toContain('org_owner');
    expect(whoMay('manage_members')).not.toContain('analyst');
    expect(whoMay('read_erasures')).toContain('auditor');
  });

  it('names somebody for every control that pages ask about', () => {
    const controls: Control[] = [
      'read_members',
      'manage_members',
      'manage_roles',
      'manage_projects',
      'read_locks',
      'unlock',
      'read_tokens',
      'manage_query_tokens',
      'manage_export_tokens',
      'revoke_tokens',
      'edit_cohorts',
      'read_erasures',
      'change_plan',
      'handle_quarantine',
      'set_retention',
    ];
    for (const control of controls) expect(whoMay(control), control).not.toEqual([]);
  });

  it('speaks of roles that members can have, and of nobody else', () => {
    expect(whoMay('read_reports' as Control)).not.toContain('svc_query');
    expect(new Set(MEMBER_ROLES).size).toBe(13);
  });
});
