// A shop on another origin whose page carries Mixpanel's own browser SDK, as its owner would paste it: nothing
// but the host is changed.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';

const require = createRequire(import.meta.url);
const SDK = readFileSync(require.resolve('mixpanel-browser/dist/mixpanel.umd.js'), 'utf8');

/** What the shop knows of its visitor, and nobody is to see in the console. */
export const SECRET_MAIL = 'maria@personal.example';

export interface Shop {
  origin: string;
  /** The page that sends to a project's token at a server. Its title becomes `sent`. */
  addressOf: (token: string, host: string) => string;
  close: () => void;
}

export async function startShop(): Promise<Shop> {
  const html = `<!doctype html><title>shop</title><link rel="icon" href="data:,">
<script src="/mixpanel.js"></script><script>
  const asked = new URLSearchParams(location.search);
  mixpanel.init(asked.get('token'), { api_host: asked.get('host') });
  mixpanel.register({ plan: 'pro' });
  mixpanel.track('Landing');
  mixpanel.identify('user-42');
  mixpanel.people.set({ $email: '${SECRET_MAIL}', $name: 'Maria', plan: 'pro' });
  mixpanel.set_group('company', 'acme');
  mixpanel.track('Sign up', { email: '${SECRET_MAIL}' });
  document.title = 'sent';
</script>`;
  const server = createServer((request, response) => {
    const script = request.url?.startsWith('/mixpanel.js');
    response.setHeader('content-type', script ? 'text/javascript' : 'text/html');
    response.end(script ? SDK : html);
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  // Another site, not only another port; a name, since the door takes addresses out of URLs.
  const origin = `http://shop.localhost:${(server.address() as AddressInfo).port}`;
  return {
    origin,
    addressOf: (token, host) => `${origin}/?token=${token}&host=${encodeURIComponent(host)}`,
    close: () => server.close(),
  };
}
