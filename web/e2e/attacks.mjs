// Attacks on sessions and passkeys in a real browser, with its virtual authenticator. `cofferdam-attack` starts this
// on a new server, with what to do as JSON in the only argument; what was found is a line of JSON.
import { createHmac } from 'node:crypto';
import { createServer, request as relay } from 'node:http';
import { chromium } from '@playwright/test';

const { attack, port, setupCode, recipient, isFull } = JSON.parse(process.argv[2]);
const ORIGIN = `http://localhost:${port}`;
const PASSWORD = 'correct horse battery staple';
const OWNER = { name: 'Olga Owner', email: 'owner@attacked.example', password: PASSWORD };
const AT_HOME = { 'x-forwarded-for': '198.51.100.7' };
/** Personal values of the persons there are. */
const mailOf = (person) => `person${person}@attacked.example`;
const nameOf = (person) => `Personina${person} Rossi`;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM_BIN ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-sync',
  ],
});

// What a page can do.

/** Runs in every page: requests of its origin, and what its authenticator makes and signs. */
function ways() {
  const bytes = (words) =>
    Uint8Array.from(atob(words.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
  const words = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer)))
      .replaceAll('+', '-')
      .replaceAll('/', '_')
      .replaceAll('=', '');
  window.ways = {
    async send({ method, path, body }) {
      const response = await fetch(path, {
        method,
        headers: body ? { 'content-type': 'application/json' } : {},
        body: body && JSON.stringify(body),
      });
      const text = await response.text();
      let json = {};
      try {
        json = JSON.parse(text);
      } catch {
        // A page, or nothing.
      }
      return { status: response.status, text, json };
    },
    async create(asked) {
      const made = await navigator.credentials.create({
        publicKey: {
          challenge: bytes(asked.challenge),
          rp: { id: asked.rp_id, name: 'Cofferdam' },
          user: { id: bytes(asked.user_id), name: 'somebody', displayName: 'Somebody' },
          pubKeyCredParams: [{ type: 'public-key', alg: -7 }],
          authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
        },
      });
      return {
        id: words(made.rawId),
        name: 'A key of the browser',
        client_data_json: words(made.response.clientDataJSON),
        attestation_object: words(made.response.attestationObject),
      };
    },
    /** What was signed, or how the browser refused. */
    async sign({ asked, verification }) {
      try {
        const { rawId, response } = await navigator.credentials.get({
          publicKey: {
            challenge: bytes(asked.challenge),
            rpId: asked.rp_id,
            allowCredentials: (asked.credentials ?? []).map((id) => ({ type: 'public-key', id: bytes(id) })),
            userVerification: verification,
          },
          // Where it has no key the browser would wait for one.
          signal: AbortSignal.timeout(2_000),
        });
        return {
          proof: {
            kind: 'passkey',
            id: words(rawId),
            client_data_json: words(response.clientDataJSON),
            authenticator_data: words(response.authenticatorData),
            signature: words(response.signature),
            user_handle: response.userHandle ? words(response.userHandle) : null,
          },
        };
      } catch (error) {
        return { refused: error.name };
      }
    },
  };
}

const send = (page, method, path, body) =>
  page.evaluate((request) => window.ways.send(request), { method, path, body });
const create = (page, asked) => page.evaluate((wanted) => window.ways.create(wanted), asked);
const sign = (page, asked, verification = 'required') =>
  page.evaluate((wanted) => window.ways.sign(wanted), { asked, verification });

function mustBe(status, reply, what) {
  if (reply.status !== status) throw new Error(`${what}: ${reply.status} ${reply.text}`);
  return reply.json;
}

async function challenge(page, method, path, body) {
  const reply = await send(page, method, path, body);
  const asked = reply.json.error?.step_up;
  if (!asked) throw new Error(`${method} ${path} asks for no factor: ${reply.status} ${reply.text}`);
  return asked;
}

async function signed(page, method, path, body) {
  const { proof, refused } = await sign(page, await challenge(page, method, path, body));
  if (!proof) throw new Error(`${method} ${path}: the browser signs nothing: ${refused}`);
  return proof;
}

async function act(page, method, path, body) {
  return send(page, method, path, { ...body, step_up: await signed(page, method, path, body) });
}

/** A page with an authenticator of its own. */
async function openPage(options = {}) {
  const context = await browser.newContext({ locale: 'en-GB', extraHTTPHeaders: AT_HOME, ...options });
  await context.addInitScript(ways);
  const page = await context.newPage();
  const cdp = await context.newCDPSession(page);
  await cdp.send('WebAuthn.enable');
  const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      ctap2Version: 'ctap2_1',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  return { context, page, cdp, authenticatorId };
}

/** Somebody else's browser, with the cookies of the owner's. */
async function openThief(owner) {
  const thief = await openPage({
    userAgent: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0',
    extraHTTPHeaders: { 'x-forwarded-for': '203.0.113.66' },
  });
  const cookies = (await owner.context.cookies()).filter(({ name }) => !name.includes('device'));
  await thief.context.addCookies(
    cookies.map(({ name, value, sameSite }) => ({
      name,
      value,
      sameSite,
      url: `https://localhost:${port}`,
      httpOnly: true,
      secure: true,
    })),
  );
  await thief.page.goto(`${ORIGIN}/healthz`);
  return thief;
}

// The owner.

const STEP_MS = 30_000;

/** The code of the half minute that is so many from this one (RFC 6238: SHA-1, six digits). */
function codeAt(secret, steps) {
  const bits = [...secret]
    .map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0'))
    .join('');
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / STEP_MS) + steps));
  const digest = createHmac('sha1', key).update(counter).digest();
  const offset = digest[19] & 15;
  return String((digest.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

/** Sets the server up: an owner with a passkey, and three persons. */
async function openOwner() {
  // The three codes of this half minute are for set-up, passkey and one sign-in: none is used at its very end.
  const left = STEP_MS - (Date.now() % STEP_MS);
  if (left < 6_000) await new Promise((over) => setTimeout(over, left + 50));
  const owner = await openPage();
  const { page } = owner;
  await page.goto(`${ORIGIN}/healthz`);
  const start = { setup_code: setupCode, email: OWNER.email };
  const { secret } = mustBe(200, await send(page, 'POST', '/api/v1/setup/totp', start), 'set-up begins');
  const [first, second, third] = [-1, 0, 1].map((steps) => codeAt(secret, steps));
  const setUp = {
    ...OWNER,
    ...start,
    organisation: 'Attacked',
    project: 'Shop',
    time_zone: 'UTC',
    totp_code: first,
  };
  const made = await send(page, 'POST', '/api/v1/setup', setUp);
  if (made.status >= 300) throw new Error(`set-up: ${made.status} ${made.text}`);
  const begin = { step_up: { kind: 'password_and_code', password: PASSWORD, code: second } };
  const asked = mustBe(
    200,
    await send(page, 'POST', '/api/v1/account/passkeys/begin', begin),
    'a passkey begins',
  );
  const { id, ...passkey } = await create(page, asked);
  mustBe(201, await send(page, 'POST', '/api/v1/account/passkeys', passkey), 'the passkey is kept');
  const [project] = mustBe(200, await send(page, 'GET', '/api/v1/projects'), 'projects').projects;
  const profiles = [0, 1, 2].map((person) => ({
    $token: project.token,
    $distinct_id: `p${person}`,
    $set: { $email: mailOf(person), $name: nameOf(person) },
  }));
  mustBe(200, await send(page, 'POST', '/engage?verbose=1', profiles), 'persons');
  const base = `/api/v1/projects/${project.id}`;
  const persons = [];
  for (const person of [0, 1, 2]) {
    const found = await send(page, 'POST', `${base}/persons/find`, { address: mailOf(person) });
    persons.push(mustBe(200, found, 'a person is found').persons[0]);
  }
  return { ...owner, base, persons, passkey: id, userId: asked.user_id, codes: [second, third] };
}

const reveal = ({ base, persons }, person, field = 'email') => [
  'POST',
  `${base}/persons/${persons[person]}/reveal`,
  { field, purpose: 'support' },
];
const values = (text) =>
  [0, 1, 2].flatMap((person) => [mailOf(person), nameOf(person)]).filter((one) => text.includes(one)).length;
const COUNT = {
  kind: 'insights',
  range: { kind: 'last', count: 2, unit: 'day' },
  unit: 'day',
  metrics: [{ matching: {}, measure: 'total' }],
};

// The attacks.

/** The owner's cookie in another browser, elsewhere. */
async function stolenCookie() {
  const owner = await openOwner();
  const own = await act(owner.page, ...reveal(owner, 0));
  if (values(own.text) === 0) throw new Error(`its owner opens a value: ${own.status} ${own.text}`);
  const startedMs = Date.now();
  const { page } = await openThief(owner);
  const dashboards = [
    (await send(page, 'GET', '/api/v1/projects')).status,
    (await send(page, 'POST', `${owner.base}/query`, COUNT)).status,
  ];
  // A passkey of the thief's own, made for this place.
  const made = { challenge: 'AAAAAAAAAAAAAAAAAAAAAA', rp_id: 'localhost', user_id: 'AAAA' };
  const { id } = await create(page, made);
  const asks = [
    reveal(owner, 1),
    reveal(owner, 1, 'name'),
    [
      'POST',
      `${owner.base}/persons/access`,
      { person: owner.persons[1], format: 'ndjson', purpose: 'portability' },
    ],
    [
      'POST',
      `${owner.base}/disclosures`,
      { what: { kind: 'persons', fields: ['email'] }, purpose: 'migration', format: 'csv', recipient },
    ],
    ['POST', '/api/v1/account/passkeys/begin', {}],
    ['POST', '/api/v1/account/recovery-codes', {}],
    ['POST', '/api/v1/invitations', { roles: ['privacy_officer'] }],
  ];
  let [opened, accepted, tries, askedFor] = [0, 0, 0, 0];
  for (const [method, path, body] of asks) {
    const bare = await send(page, method, path, body);
    const asked = bare.json.error?.step_up;
    askedFor += bare.status === 401 && bare.json.error.code === 'step_up_required' ? 1 : 0;
    const { proof } = asked ? await sign(page, { ...asked, credentials: [id] }) : {};
    const guess = { kind: 'password_and_code', password: PASSWORD, code: '000000' };
    const replies = [bare];
    for (const step_up of [proof, guess].filter(Boolean)) {
      replies.push(await send(page, method, path, { ...body, step_up }));
    }
    tries += replies.length;
    accepted += replies.filter(({ status }) => status < 300).length;
    opened += replies.reduce((sum, { text }) => sum + values(text), 0);
  }
  return { dashboards, opened, accepted, tries, asks: asks.length, askedFor, startedMs };
}

/** A place that relays everything to the server, and keeps the cookies. */
async function openMiddle() {
  const stolen = new Map();
  const server = createServer((request, response) => {
    const headers = { ...request.headers, ...AT_HOME, host: `localhost:${port}` };
    if (headers.origin) headers.origin = ORIGIN;
    if (headers['sec-fetch-site']) headers['sec-fetch-site'] = 'same-origin';
    if (stolen.size > 0) headers.cookie = [...stolen].map((pair) => pair.join('=')).join('; ');
    const { method, url: path } = request;
    const onward = relay({ host: '127.0.0.1', port, method, path, headers }, (answer) => {
      for (const line of answer.headers['set-cookie'] ?? []) {
        const [name, value] = line.split(';')[0].split('=');
        stolen.set(name, value);
      }
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onward.once('error', () => response.destroy());
    request.pipe(onward);
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return { stolen, server, port: server.address().port };
}

/** The owner signs in at a place that only looks like the server, and shows there whatever it asks for. */
async function inTheMiddle() {
  const owner = await openOwner();
  const { page } = owner;
  const own = await act(page, ...reveal(owner, 0));
  if (values(own.text) === 0) throw new Error(`its owner opens a value: ${own.status} ${own.text}`);
  const middle = await openMiddle();
  // Another host; and the nearest there is: the very host, of which browsers sign for every port.
  const places = [`http://login.localhost:${middle.port}`, `http://localhost:${middle.port}`];
  const found = { opened: 0, accepted: 0, ceremonies: 0, signed: [0, 0], refusedBy: new Set() };
  await page.goto(`${places[0]}/healthz`);
  const credentials = { email: OWNER.email, password: PASSWORD, code: owner.codes[1] };
  mustBe(200, await send(page, 'POST', '/api/v1/session', credentials), 'the relay signs in');
  for (const [at, place] of places.entries()) {
    await page.goto(`${place}/healthz`);
    for (const request of [
      reveal(owner, 1),
      reveal(owner, 2, 'name'),
      ['POST', '/api/v1/account/passkeys/begin', {}],
    ]) {
      for (const rp_id of new Set(['localhost', new URL(place).hostname])) {
        const [method, path, body] = request;
        const { proof, refused } = await sign(page, {
          ...(await challenge(page, method, path, body)),
          rp_id,
        });
        found.ceremonies += 1;
        if (refused) found.refusedBy.add(refused);
        if (!proof) continue;
        found.signed[at] += 1;
        const reply = await send(page, method, path, { ...body, step_up: proof });
        found.accepted += reply.status < 300 ? 1 : 0;
        found.opened += values(reply.text);
      }
    }
    const asked = mustBe(
      200,
      await send(page, 'POST', '/api/v1/session/passkey/begin', {}),
      'a sign-in begins',
    );
    const { proof, refused } = await sign(page, { ...asked, credentials: [owner.passkey] });
    found.ceremonies += 1;
    if (refused) found.refusedBy.add(refused);
    if (proof) {
      found.signed[at] += 1;
      found.accepted += (await send(page, 'POST', '/api/v1/session/passkey', proof)).status === 200 ? 1 : 0;
    }
  }
  // With what was kept, and without the owner: as they are, and with the password and the code that they typed.
  const [count, body] = [await send(page, 'POST', `${owner.base}/query`, COUNT), reveal(owner, 1)[2]];
  const typed = { kind: 'password_and_code', password: PASSWORD, code: owner.codes[1] };
  for (const step_up of [undefined, typed]) {
    const reply = await send(page, 'POST', reveal(owner, 1)[1], { ...body, step_up });
    found.accepted += reply.status < 300 ? 1 : 0;
    found.opened += values(reply.text);
  }
  middle.server.close();
  return { ...found, refusedBy: [...found.refusedBy], dashboard: count.status, cookies: middle.stolen.size };
}

const INVITATIONS = '/api/v1/invitations';
const VIEWER = { roles: ['viewer'] };

/** One signature for a second request. */
async function usedAgain() {
  const { page } = await openOwner();
  const step_up = await signed(page, 'POST', INVITATIONS, VIEWER);
  mustBe(201, await send(page, 'POST', INVITATIONS, { ...VIEWER, step_up }), 'the request itself');
  const [auditor, codes] = [{ roles: ['auditor'] }, '/api/v1/account/recovery-codes'];
  const replies = [
    await send(page, 'POST', INVITATIONS, { ...VIEWER, step_up }),
    await send(page, 'POST', INVITATIONS, {
      ...auditor,
      step_up: await signed(page, 'POST', INVITATIONS, VIEWER),
    }),
    await send(page, 'POST', codes, { step_up: await signed(page, 'POST', INVITATIONS, VIEWER) }),
  ];
  return { accepted: replies.filter(({ status }) => status < 300).length, tries: replies.length };
}

/** One signature for many requests at once. */
async function raced() {
  const { page } = await openOwner();
  const step_up = await signed(page, 'POST', INVITATIONS, VIEWER);
  const tries = isFull ? 200 : 40;
  const replies = await Promise.all(
    Array.from({ length: tries }, () => send(page, 'POST', INVITATIONS, { ...VIEWER, step_up })),
  );
  return { accepted: replies.filter(({ status }) => status < 300).length, tries };
}

/** An authenticator that did not verify, was not touched, signs nonsense, or is an older copy. */
async function lying() {
  const { page, cdp, authenticatorId, passkey } = await openOwner();
  const signIn = async (verification) => {
    const asked = mustBe(
      200,
      await send(page, 'POST', '/api/v1/session/passkey/begin', {}),
      'a sign-in begins',
    );
    const { proof } = await sign(page, { ...asked, credentials: [passkey] }, verification);
    // What the browser itself refuses was not accepted either.
    return proof ? (await send(page, 'POST', '/api/v1/session/passkey', proof)).status : 0;
  };
  for (const time of ['first', 'second']) {
    if ((await signIn('required')) !== 200) throw new Error(`the true one is refused the ${time} time`);
  }
  const statuses = [];
  await cdp.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false });
  statuses.push(await signIn('discouraged'));
  await cdp.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: true });
  for (const lie of ['isBadUV', 'isBadUP', 'isBogusSignature']) {
    await cdp.send('WebAuthn.setResponseOverrideBits', { authenticatorId, [lie]: true });
    statuses.push(await signIn('discouraged'));
  }
  await cdp.send('WebAuthn.setResponseOverrideBits', { authenticatorId });
  const { credentials } = await cdp.send('WebAuthn.getCredentials', { authenticatorId });
  await cdp.send('WebAuthn.removeCredential', { authenticatorId, credentialId: credentials[0].credentialId });
  await cdp.send('WebAuthn.addCredential', {
    authenticatorId,
    credential: { ...credentials[0], signCount: 0 },
  });
  statuses.push(await signIn('required'));
  return { accepted: statuses.filter((status) => status === 200).length, tries: statuses.length, statuses };
}

/** A passkey of the thief's own for the owner's account. */
async function ownPasskey() {
  const owner = await openOwner();
  const { page } = await openThief(owner);
  const begun = await send(page, 'POST', '/api/v1/account/passkeys/begin', {});
  const asked = begun.json.challenge
    ? begun.json
    : { challenge: 'AAAAAAAAAAAAAAAAAAAAAA', rp_id: 'localhost', user_id: owner.userId };
  const { id, ...passkey } = await create(page, asked);
  const kept = await send(page, 'POST', '/api/v1/account/passkeys', passkey);
  const asks = mustBe(200, await send(page, 'POST', '/api/v1/session/passkey/begin', {}), 'a sign-in begins');
  const { proof } = await sign(page, { ...asks, credentials: [id] });
  const isIn = proof ? (await send(page, 'POST', '/api/v1/session/passkey', proof)).status === 200 : false;
  return { accepted: [kept.status === 201, isIn].filter(Boolean).length, tries: 2 };
}

try {
  const found = await { 1: stolenCookie, 2: inTheMiddle, 3: usedAgain, 4: raced, 5: lying, 9: ownPasskey }[
    attack
  ]();
  process.stdout.write(`${JSON.stringify(found)}\n`);
} finally {
  await browser.close();
}
