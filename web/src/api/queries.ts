// One query-options function or one act per endpoint. Components name these and never a path, so the
// contract with the server is read in this file alone.
import { queryOptions, skipToken } from '@tanstack/react-query';
import { bodyOf, client } from './client';
import type { components } from './schema.gen';
import { shownAgain } from './stepUp';
import type {
  Assertion,
  Class,
  DisclosureRequest,
  ErasureReason,
  Keep,
  NewCohort,
  Query,
  Role,
} from './types';
import type { Attestation } from './webauthn';

const SECOND_MS = 1_000;

export const sessionQuery = () =>
  queryOptions({
    queryKey: ['session'],
    queryFn: async ({ signal }) => bodyOf(await client.GET('/api/v1/session', { signal })),
    staleTime: 60 * SECOND_MS,
  });

export const projectsQuery = () =>
  queryOptions({
    queryKey: ['projects'],
    queryFn: async ({ signal }) => bodyOf(await client.GET('/api/v1/projects', { signal })).projects,
    staleTime: 60 * SECOND_MS,
  });

export const statusQuery = (project: number) =>
  queryOptions({
    queryKey: ['project', project, 'status'],
    queryFn: async ({ signal }) =>
      bodyOf(
        await client.GET('/api/v1/projects/{project}/status', { params: { path: { project } }, signal }),
      ),
    staleTime: 5 * SECOND_MS,
  });

export const eventNamesQuery = (project: number) =>
  queryOptions({
    queryKey: ['project', project, 'events'],
    queryFn: async ({ signal }) =>
      bodyOf(await client.GET('/api/v1/projects/{project}/events', { params: { path: { project } }, signal }))
        .events,
    // Whoever has no events yet waits for the first one.
    staleTime: ({ state }) => (state.data?.length === 0 ? 0 : 30 * SECOND_MS),
    refetchInterval: ({ state }) => (state.data?.length === 0 ? 3 * SECOND_MS : false),
  });

export const propertiesQuery = (project: number) =>
  queryOptions({
    queryKey: ['project', project, 'properties'],
    queryFn: async ({ signal }) =>
      bodyOf(
        await client.GET('/api/v1/projects/{project}/properties', { params: { path: { project } }, signal }),
      ).properties,
    staleTime: 30 * SECOND_MS,
  });

export const quarantineQuery = (project: number) =>
  queryOptions({
    queryKey: ['project', project, 'quarantine'],
    queryFn: async ({ signal }) =>
      bodyOf(
        await client.GET('/api/v1/projects/{project}/quarantine', { params: { path: { project } }, signal }),
      ),
    staleTime: 5 * SECOND_MS,
  });

export const planQuery = (project: number) =>
  queryOptions({
    queryKey: ['project', project, 'plan'],
    queryFn: async ({ signal }) =>
      bodyOf(await client.GET('/api/v1/projects/{project}/plan', { params: { path: { project } }, signal })),
    staleTime: 5 * SECOND_MS,
  });

export function setKeep(project: number, keep: Keep) {
  return shownAgain('keep', async (step_up) =>
    bodyOf(
      await client.PUT('/api/v1/projects/{project}/plan/keep', {
        params: { path: { project } },
        body: { ...keep, step_up },
      }),
    ),
  );
}

export async function setPlanMode(project: number, mode: 'open' | 'strict') {
  return bodyOf(
    await client.PUT('/api/v1/projects/{project}/plan/mode', {
      params: { path: { project } },
      body: { mode },
    }),
  );
}

export async function raiseClass(project: number, property: string, to: Class) {
  await client.PUT('/api/v1/projects/{project}/properties/class', {
    params: { path: { project } },
    body: { property, class: to },
  });
}

export async function releaseQuarantined(project: number, property: string, as: Class) {
  return bodyOf(
    await client.POST('/api/v1/projects/{project}/quarantine/release', {
      params: { path: { project } },
      body: { property, class: as },
    }),
  );
}

export async function purgeQuarantined(project: number, property: string) {
  return bodyOf(
    await client.POST('/api/v1/projects/{project}/quarantine/purge', {
      params: { path: { project } },
      body: { property },
    }),
  );
}

/** Reads every stored event anew: asked for by a person, never by a page. */
export const scanQuery = (project: number) =>
  queryOptions({
    queryKey: ['project', project, 'scan'],
    queryFn: async ({ signal }) =>
      bodyOf(await client.GET('/api/v1/projects/{project}/scan', { params: { path: { project } }, signal })),
    enabled: false,
    retry: false,
    staleTime: Number.POSITIVE_INFINITY,
  });

export async function removeFromHistory(project: number, property: string, to: Class) {
  await client.POST('/api/v1/projects/{project}/scan/remove', {
    params: { path: { project } },
    body: { property, class: to },
  });
}

export const erasuresQuery = (project: number) =>
  queryOptions({
    queryKey: ['project', project, 'erasures'],
    queryFn: async ({ signal }) =>
      bodyOf(
        await client.GET('/api/v1/projects/{project}/erasures', { params: { path: { project } }, signal }),
      ).erasures,
    staleTime: 30 * SECOND_MS,
  });

/** The erasure; or what waits, when a second person has to agree first. */
export const erasePerson = (project: number, pseudonym: string, reason: ErasureReason) =>
  shownAgain('erase', async (step_up) => {
    const answer = bodyOf(
      await client.POST('/api/v1/projects/{project}/erasures', {
        params: { path: { project } },
        body: { persons: [pseudonym], reason, step_up },
      }),
    );
    return 'erasure' in answer ? { erasure: answer.erasure } : { waits: answer };
  });

export async function certificateOf(project: number, erasure: number): Promise<string> {
  return bodyOf(
    await client.GET('/api/v1/projects/{project}/erasures/{erasure}/certificate', {
      params: { path: { project, erasure } },
      parseAs: 'text',
    }),
  );
}

/** Whether keys are out of reach. Nobody fetches it: refusals set it, and the first answer after them clears it. */
export type Sealed = 'organisation' | 'server';
export const sealedQuery = () =>
  queryOptions<Sealed | null>({
    queryKey: ['sealed'],
    queryFn: skipToken,
    initialData: null,
    staleTime: Number.POSITIVE_INFINITY,
  });

const SUGGESTIONS_MAX = 50;

export const propertyValuesQuery = (project: number, property: string, search: string) =>
  queryOptions({
    queryKey: ['project', project, 'values', property, search],
    queryFn: async ({ signal }) =>
      bodyOf(
        await client.GET('/api/v1/projects/{project}/properties/values', {
          params: {
            path: { project },
            query: { property, limit: SUGGESTIONS_MAX, ...(search ? { search } : {}) },
          },
          signal,
        }),
      ).values,
    staleTime: 30 * SECOND_MS,
  });

export const answerQuery = (project: number, query: Query) =>
  queryOptions({
    queryKey: ['project', project, 'answer', query],
    queryFn: async ({ signal }) =>
      bodyOf(
        await client.POST('/api/v1/projects/{project}/query', {
          params: { path: { project } },
          body: query as components['schemas']['Query'],
          // The signal closes the request when the question changes, which stops the work on the server too.
          signal,
        }),
      ),
    staleTime: 15 * SECOND_MS,
  });

export const cohortsQuery = (project: number) =>
  queryOptions({
    queryKey: ['project', project, 'cohorts'],
    queryFn: async ({ signal }) =>
      bodyOf(
        await client.GET('/api/v1/projects/{project}/cohorts', { params: { path: { project } }, signal }),
      ).cohorts,
    staleTime: 30 * SECOND_MS,
  });

export async function createCohort(project: number, body: NewCohort) {
  return bodyOf(
    await client.POST('/api/v1/projects/{project}/cohorts', {
      params: { path: { project } },
      body: body as components['schemas']['CreateCohortBody'],
    }),
  );
}

export async function deleteCohort(project: number, cohort: string) {
  await client.DELETE('/api/v1/projects/{project}/cohorts/{cohort}', {
    params: { path: { project, cohort } },
  });
}

export interface SignInRequest {
  email: string;
  password: string;
  code: string;
  /** Only where it is asked for: `new_password_needed`. */
  new_password?: string | null;
}

export async function signIn(body: SignInRequest) {
  return bodyOf(await client.POST('/api/v1/session', { body }));
}

export async function signOut() {
  await client.DELETE('/api/v1/session');
}

export async function startTotp(body: { setup_code: string; email: string }) {
  return bodyOf(await client.POST('/api/v1/setup/totp', { body }));
}

export interface SetupRequest {
  setup_code: string;
  organisation: string;
  name: string;
  email: string;
  password: string;
  totp_code: string;
  project: string;
  time_zone: string;
}

export async function setUp(body: SetupRequest) {
  return bodyOf(await client.POST('/api/v1/setup', { body }));
}

export interface NewProject {
  name: string;
  time_zone: string;
  identity_mode: 'simplified' | 'original';
}

export async function createProject(body: NewProject) {
  return bodyOf(await client.POST('/api/v1/projects', { body }));
}

/** The stream of what arrives, as server-sent events. */
export const liveUrl = (project: number) => `/api/v1/projects/${project}/live`;

// ---------------------------------------------------------------- the caller's own account

export const beginPasskeySignIn = async () => bodyOf(await client.POST('/api/v1/session/passkey/begin'));

export const finishPasskeySignIn = async (body: Assertion) =>
  bodyOf(await client.POST('/api/v1/session/passkey', { body }));

export const passkeysQuery = () =>
  queryOptions({
    queryKey: ['passkeys'],
    queryFn: async ({ signal }) => bodyOf(await client.GET('/api/v1/account/passkeys', { signal })).passkeys,
  });

export const beginPasskey = () =>
  shownAgain('add_passkey', async (step_up) =>
    bodyOf(await client.POST('/api/v1/account/passkeys/begin', { body: { step_up } })),
  );

export async function finishPasskey(attestation: Attestation, name: string) {
  await client.POST('/api/v1/account/passkeys', { body: { ...attestation, name } });
}

export async function renamePasskey(passkey: number, name: string) {
  await client.PUT('/api/v1/account/passkeys/{passkey}', { params: { path: { passkey } }, body: { name } });
}

export const removePasskey = (passkey: number) =>
  shownAgain('remove_passkey', (step_up) =>
    client.POST('/api/v1/account/passkeys/{passkey}/remove', {
      params: { path: { passkey } },
      body: { step_up },
    }),
  );

export const changePassword = (password: string) =>
  shownAgain('password', (step_up) =>
    client.POST('/api/v1/account/password', { body: { password, step_up } }),
  );

export const beginAuthenticator = async () =>
  bodyOf(await client.POST('/api/v1/account/authenticator/begin'));

export const changeAuthenticator = (totp_code: string) =>
  shownAgain('authenticator', (step_up) =>
    client.POST('/api/v1/account/authenticator', { body: { totp_code, step_up } }),
  );

export const recoveryQuery = () =>
  queryOptions({
    queryKey: ['recovery-codes'],
    queryFn: async ({ signal }) =>
      bodyOf(await client.GET('/api/v1/account/recovery-codes', { signal })).left,
  });

export const makeRecoveryCodes = () =>
  shownAgain('recovery_codes', async (step_up) =>
    bodyOf(await client.POST('/api/v1/account/recovery-codes', { body: { step_up } })),
  );

export const sessionsQuery = () =>
  queryOptions({
    queryKey: ['sessions'],
    queryFn: async ({ signal }) => bodyOf(await client.GET('/api/v1/account/sessions', { signal })).sessions,
  });

export async function endSession(session: number) {
  await client.DELETE('/api/v1/account/sessions/{session}', { params: { path: { session } } });
}

export async function endOtherSessions() {
  await client.DELETE('/api/v1/account/sessions');
}

// ---------------------------------------------------------------- the organisation

export const membersQuery = () =>
  queryOptions({
    queryKey: ['members'],
    queryFn: async ({ signal }) => bodyOf(await client.GET('/api/v1/members', { signal })).members,
  });

/** Answers what waits for a second person; nothing, where it is done. */
export const setRoles = (member: number, roles: Role[]) =>
  shownAgain('roles', async (step_up) => {
    const { data } = await client.PUT('/api/v1/members/{member}/roles', {
      params: { path: { member } },
      body: { roles, step_up },
    });
    return data ?? null;
  });

export const removeMember = (member: number) =>
  shownAgain('remove_member', (step_up) =>
    client.POST('/api/v1/members/{member}/remove', { params: { path: { member } }, body: { step_up } }),
  );

export const invitationsQuery = () =>
  queryOptions({
    queryKey: ['invitations'],
    queryFn: async ({ signal }) => bodyOf(await client.GET('/api/v1/invitations', { signal })).invitations,
  });

export const invite = (roles: Role[]) =>
  shownAgain('invite', async (step_up) =>
    bodyOf(await client.POST('/api/v1/invitations', { body: { roles, step_up } })),
  );

export const withdrawInvitation = (invitation: number) =>
  shownAgain('withdraw_invitation', (step_up) =>
    client.POST('/api/v1/invitations/{invitation}/withdraw', {
      params: { path: { invitation } },
      body: { step_up },
    }),
  );

export async function openInvitation(body: { code: string; email: string }) {
  return bodyOf(await client.POST('/api/v1/invitations/open', { body }));
}

export interface JoinRequest {
  code: string;
  name: string;
  email: string;
  password: string;
  totp_code: string;
}

export async function join(body: JoinRequest) {
  return bodyOf(await client.POST('/api/v1/invitations/accept', { body }));
}

export const waitingQuery = () =>
  queryOptions({
    queryKey: ['waiting'],
    queryFn: async ({ signal }) => bodyOf(await client.GET('/api/v1/waiting', { signal })).waiting,
  });

export const agree = (waiting: number) =>
  shownAgain('agree', (step_up) =>
    client.POST('/api/v1/waiting/{waiting}/agree', { params: { path: { waiting } }, body: { step_up } }),
  );

export const goAlone = (waiting: number) =>
  shownAgain('alone', (step_up) =>
    client.POST('/api/v1/waiting/{waiting}/alone', { params: { path: { waiting } }, body: { step_up } }),
  );

export async function withdrawWish(waiting: number) {
  await client.POST('/api/v1/waiting/{waiting}/withdraw', { params: { path: { waiting } } });
}

export const locksQuery = () =>
  queryOptions({
    queryKey: ['locks'],
    queryFn: async ({ signal }) => bodyOf(await client.GET('/api/v1/locks', { signal })).locks,
  });

/** What whoever is in charge must know now: asked for as long as a page is open. */
export const alarmsQuery = () =>
  queryOptions({
    queryKey: ['alarms'],
    queryFn: async ({ signal }) => bodyOf(await client.GET('/api/v1/alarms', { signal })).alarms,
    staleTime: 5 * SECOND_MS,
  });

export const askToOpen = (lock: number) =>
  shownAgain('unlock', async (step_up) =>
    bodyOf(await client.POST('/api/v1/locks/{lock}/open', { params: { path: { lock } }, body: { step_up } })),
  );

export const tokensQuery = (project: number) =>
  queryOptions({
    queryKey: ['project', project, 'tokens'],
    queryFn: async ({ signal }) =>
      bodyOf(await client.GET('/api/v1/projects/{project}/tokens', { params: { path: { project } }, signal }))
        .tokens,
  });

export const makeQueryToken = (project: number, asked: { name: string; days: number; network?: string }) =>
  shownAgain('make_token', async (step_up) =>
    bodyOf(
      await client.POST('/api/v1/projects/{project}/tokens/query', {
        params: { path: { project } },
        body: { ...asked, step_up },
      }),
    ),
  );

export const makeExportToken = (
  project: number,
  asked: { name: string; days: number; network: string; export: DisclosureRequest },
) =>
  shownAgain('make_token', async (step_up) =>
    bodyOf(
      await client.POST('/api/v1/projects/{project}/tokens/export', {
        params: { path: { project } },
        body: { ...asked, step_up },
      }),
    ),
  );

/** What a token exports, for whoever agrees to it. */
export const tokenExportQuery = (token: number) =>
  queryOptions({
    queryKey: ['token', token, 'export'],
    queryFn: async ({ signal }) =>
      bodyOf(await client.GET('/api/v1/tokens/{token}/export', { params: { path: { token } }, signal })),
  });

export const rotateToken = (project: number, token: number) =>
  shownAgain('rotate_token', async (step_up) =>
    bodyOf(
      await client.POST('/api/v1/projects/{project}/tokens/{token}/rotate', {
        params: { path: { project, token } },
        body: { step_up },
      }),
    ),
  );

export async function revokeToken(project: number, token: number) {
  await client.POST('/api/v1/projects/{project}/tokens/{token}/revoke', {
    params: { path: { project, token } },
  });
}

/** Requests for personal data: one's own, and those that one decides about or oversees. */
export const disclosuresQuery = () =>
  queryOptions({
    queryKey: ['disclosures'],
    queryFn: async ({ signal }) => bodyOf(await client.GET('/api/v1/disclosures', { signal })).disclosures,
    staleTime: 5 * SECOND_MS,
  });
