// The server's table of who may do what, as the console needs it: for each control the roles of members that
// have it. Made when the console is built, from the same file that the server's tests compare with its code.
import type { Plugin } from 'vite';

const DENIED = '-';
/** Roles of the server's owner, of programs and of persons are no roles of members. */
const OTHERS = /^(platform_|key_|svc_|data_subject)/;

export function policyTable(): Plugin {
  return {
    name: 'policy-table',
    enforce: 'pre',
    transform(csv, id) {
      if (!id.endsWith('policy_controls.csv')) return null;
      const allowed: Record<string, string[]> = {};
      for (const line of csv.trim().split('\n').slice(1)) {
        const [role = '', control = '', decision = DENIED] = line.trim().split(',');
        if (decision === DENIED || OTHERS.test(role)) continue;
        allowed[control] = [...(allowed[control] ?? []), role];
      }
      return { code: `export default ${JSON.stringify(allowed)}`, map: null };
    },
  };
}
