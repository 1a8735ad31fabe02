// The code that sends a first event, with this project's token and this server's address in it. These are
// Mixpanel's own SDKs, unchanged: only the host differs.
interface Snippet {
  name: string;
  label: string;
  install?: string;
  code: string;
}

export function snippetsFor(token: string, origin: string): Snippet[] {
  const { host, protocol } = new URL(origin);
  const scheme = protocol.slice(0, -1);
  // Python's `api_host` always speaks https; plain http needs the addresses in full.
  const consumer =
    scheme === 'https'
      ? `Consumer(api_host="${host}")`
      : `Consumer(
    events_url="${origin}/track",
    people_url="${origin}/engage",
    groups_url="${origin}/groups",
    import_url="${origin}/import",
)`;
  return [
    {
      name: 'browser',
      label: 'Browser',
      install: 'npm install mixpanel-browser',
      code: `import mixpanel from 'mixpanel-browser';

mixpanel.init('${token}', {
  api_host: '${origin}',
  track_pageview: true,
});

mixpanel.track('Sign up', { plan: 'pro' });`,
    },
    {
      name: 'node',
      label: 'Node',
      install: 'npm install mixpanel',
      code: `const Mixpanel = require('mixpanel');

const mixpanel = Mixpanel.init('${token}', {
  host: '${host}',
  protocol: '${scheme}',
});

mixpanel.track('Sign up', { distinct_id: 'user-1', plan: 'pro' });`,
    },
    {
      name: 'python',
      label: 'Python',
      install: 'pip install mixpanel',
      code: `from mixpanel import Mixpanel, Consumer

mp = Mixpanel("${token}", consumer=${consumer})

mp.track("user-1", "Sign up", {"plan": "pro"})`,
    },
    {
      name: 'curl',
      label: 'curl',
      code: `curl '${origin}/track?verbose=1' \\
  -H 'Content-Type: application/json' \\
  -d '[{"event": "Sign up",
        "properties": {"token": "${token}", "distinct_id": "user-1", "plan": "pro"}}]'`,
    },
  ];
}
