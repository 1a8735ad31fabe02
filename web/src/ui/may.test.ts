// The console reads the server's own tables; these are the cells that its pages stand on.
import { describe, expect, it } from 'vitest';
import { type Control, MEMBER_ROLES, rowsOf, whoMay, whoReadsRows } from './may';

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

describe('of one person', () => {
  it('begins only who may open or erase them, and not who agrees to it', () => {
    expect(whoMay('reveal')).toEqual(['support_agent', 'privacy_officer']);
    expect(whoMay('own_data')).toEqual(['privacy_officer']);
    expect(whoMay('erase')).toEqual(['privacy_officer']);
  });
});

describe('rows', () => {
  const CLOSED = { freely: false, inClear: false };

  it('open freely, for a purpose, or not at all', () => {
    expect(rowsOf(['analyst'], false)).toEqual({ freely: true, inClear: false });
    expect(rowsOf(['privacy_officer'], false)).toEqual({ freely: false, inClear: true });
    expect(rowsOf(['support_agent'], false)).toEqual({ freely: false, inClear: true });
    expect(rowsOf(['org_owner', 'viewer', 'data_steward', 'auditor'], false)).toEqual(CLOSED);
    expect(rowsOf([], true)).toEqual(CLOSED);
  });

  it('open as the sum of all roles', () => {
    expect(rowsOf(['analyst', 'privacy_officer'], false)).toEqual({ freely: true, inClear: true });
  });

  it('open to developers in test projects', () => {
    expect(rowsOf(['developer'], false)).toEqual(CLOSED);
    expect(rowsOf(['developer'], true)).toEqual({ freely: true, inClear: false });
  });

  it('are asked of these roles', () => {
    expect(whoReadsRows(false)).toEqual(['analyst', 'support_agent', 'privacy_officer']);
    expect(whoReadsRows(true)).toEqual(['analyst', 'support_agent', 'privacy_officer', 'developer']);
  });
});
