// The server's tables of who may do what, as the console needs them: for each control, and for each class and deed,
// how it is decided for roles of members. Made when the console is built, from the same files that the server's tests
// compare with its code.
import type { Plugin } from 'vite';

const DENIED = '-';
/** Roles of the server's owner, of programs and of persons are no roles of members. */
const OTHERS = /^(platform_|key_|svc_|data_subject)/;

export function policyTable(): Plugin {
  return {
    name: 'policy-table',
    enforce: 'pre',
    transform(csv, id) {
      if (!/policy_(controls|matrix)\.csv$/.test(id)) return null;
      const decided: Record<string, Record<string, string>> = {};
      for (const line of csv.trim().split('\n').slice(1)) {
        // In between stands a control, or a class and a deed.
        const [role = '', ...cells] = line.trim().split(',');
        const decision = cells.pop() ?? DENIED;
        if (decision === DENIED || OTHERS.test(role)) continue;
        const what = cells.join(' ');
        decided[what] = { ...decided[what], [role]: decision };
      }
      return { code: `export default ${JSON.stringify(decided)}`, map: null };
    },
  };
}
