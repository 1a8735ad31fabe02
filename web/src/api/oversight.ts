// Who saw what, what left, what waits for somebody, and what is done when something went wrong: one
// query-options function or one act per endpoint, as in queries.ts.
//
// Acts that take a factor shown again name their deed: the dialog asks for it where the server does.

import { queryOptions } from '@tanstack/react-query';
import { ApiError, bodyOf, client } from './client';
import { type StepUpProof, shownAgain } from './stepUp';
import type {
  AccessFormat,
  AccessPurpose,
  Asked,
  Containing,
  DisclosureRequest,
  ExposureQuestion,
  Language,
  OpenIncident,
  PersonalField,
  PersonsQuestion,
  Purpose,
  RowsQuery,
  ScopeOf,
  UpdateIncident,
  Verification,
} from './types';

const SECOND_MS = 1_000;

const shown = (proof: StepUpProof | undefined) => (proof ? { step_up: proof } : {});

// Disclosures: asked for, approved, run, proved.

export const disclosurePlanQuery = (project: number, request: DisclosureRequest) =>
  queryOptions({
    queryKey: ['disclosure plan', project, request],
    queryFn: async ({ signal }) =>
      bodyOf(
        await client.POST('/api/v1/projects/{project}/disclosures/plan', {
          params: { path: { project } },
          body: request,
          signal,
        }),
      ),
    staleTime: 30 * SECOND_MS,
    retry: false,
  });

export function requestDisclosure(project: number, request: DisclosureRequest) {
  return shownAgain('request', async (proof) => {
    return bodyOf(
      await client.POST('/api/v1/projects/{project}/disclosures', {
        params: { path: { project } },
        body: { ...request, ...shown(proof) },
      }),
    );
  });
}

export async function withdrawDisclosure(disclosure: number) {
  return bodyOf(
    await client.DELETE('/api/v1/disclosures/{disclosure}', { params: { path: { disclosure } } }),
  );
}

export function approveDisclosure(disclosure: number, hash: string) {
  return shownAgain('approve', async (proof) => {
    return bodyOf(
      await client.POST('/api/v1/disclosures/{disclosure}/approval', {
        params: { path: { disclosure } },
        body: { hash, ...shown(proof) },
      }),
    );
  });
}

export async function denyDisclosure(disclosure: number) {
  return bodyOf(
    await client.POST('/api/v1/disclosures/{disclosure}/denial', { params: { path: { disclosure } } }),
  );
}

/** The bytes that left, and what the server calls the file. */
export interface Download {
  name: string;
  bytes: Blob;
}

function downloadOf(answer: { data?: Blob; response: Response }, otherwise: string): Download {
  const named = answer.response.headers.get('content-disposition') ?? '';
  return { name: /filename="([^"]+)"/.exec(named)?.[1] ?? otherwise, bytes: bodyOf<Blob>(answer) };
}

export function runDisclosure(disclosure: number, hash: string): Promise<Download> {
  return shownAgain('run', async (proof) => {
    const answer = await client.POST('/api/v1/disclosures/{disclosure}/run', {
      params: { path: { disclosure } },
      body: { hash, ...shown(proof) },
      parseAs: 'blob',
    });
    return downloadOf(answer, `export-${disclosure}`);
  });
}

export async function proofOf(disclosure: number): Promise<string> {
  return bodyOf(
    await client.GET('/api/v1/disclosures/{disclosure}/proof', {
      params: { path: { disclosure } },
      parseAs: 'text',
    }),
  );
}

/** What comes back is in clear. It is never put into the query cache. */
export function revealField(project: number, pseudonym: string, field: PersonalField, purpose: Purpose) {
  return shownAgain('reveal', async (proof) => {
    return bodyOf(
      await client.POST('/api/v1/projects/{project}/persons/{pseudonym}/reveal', {
        params: { path: { project, pseudonym } },
        body: { field, purpose, ...shown(proof) },
      }),
    );
  });
}

/** A list with device and place. What comes back is in clear, and never put into the query cache either. */
export function rowsInClear(project: number, query: RowsQuery, purpose: Purpose) {
  return shownAgain('rows', async (proof) => {
    return bodyOf(
      await client.POST('/api/v1/projects/{project}/rows', {
        params: { path: { project } },
        body: { query, purpose, ...shown(proof) },
      }),
    );
  });
}

/** A person's own data, in clear, to hand to them; or what waits, when a second person has to agree first. */
export function accessPerson(
  project: number,
  person: string,
  purpose: AccessPurpose,
  format: AccessFormat,
): Promise<{ file: Download } | { waits: Asked }> {
  return shownAgain('access', async (proof) => {
    const answer = await client.POST('/api/v1/projects/{project}/persons/access', {
      params: { path: { project } },
      body: { person, purpose, format, ...shown(proof) },
      parseAs: 'blob',
    });
    if (answer.response.status !== 202) return { file: downloadOf(answer, `person.${format}`) };
    return { waits: JSON.parse(await bodyOf<Blob>(answer).text()) as Asked };
  });
}

export const tripsQuery = () =>
  queryOptions({
    queryKey: ['limits'],
    queryFn: async ({ signal }) => bodyOf(await client.GET('/api/v1/limits', { signal })).trips,
    staleTime: 5 * SECOND_MS,
  });

export function closeTrip(trip: number) {
  return shownAgain('close_limit', async (proof) => {
    return bodyOf(
      await client.POST('/api/v1/limits/{trip}/closing', { params: { path: { trip } }, body: shown(proof) }),
    );
  });
}

// What was exposed.

export const exposureQuery = (question: ExposureQuestion) =>
  queryOptions({
    queryKey: ['exposure', question],
    queryFn: async ({ signal }) => bodyOf(await client.POST('/api/v1/exposure', { body: question, signal })),
    staleTime: 5 * SECOND_MS,
  });

/** Who they are; or what waits, when a second person has to agree to the question first. */
export const exposedPersonsQuery = (asked: PersonsQuestion) =>
  queryOptions({
    queryKey: ['exposure', 'persons', asked],
    queryFn: ({ signal }) =>
      shownAgain('list_scope', async (proof) => {
        const answer = bodyOf(
          await client.POST('/api/v1/exposure/persons', { body: { ...asked, ...shown(proof) }, signal }),
        );
        return 'persons' in answer ? { persons: answer } : { waits: answer };
      }),
    // It is asked for once, and not at every look.
    staleTime: 5 * 60 * SECOND_MS,
  });

export interface DisclosedFilter {
  actor?: string;
  purpose?: number;
  project?: number;
  person?: string;
  from?: string;
  to?: string;
  before?: number;
}

export const disclosedQuery = (filter: DisclosedFilter) =>
  queryOptions({
    queryKey: ['disclosed', filter],
    queryFn: async ({ signal }) =>
      bodyOf(await client.GET('/api/v1/disclosed', { params: { query: filter }, signal })),
    staleTime: 5 * SECOND_MS,
  });

/** Has the whole ledger read, and tells each step as the server says it. */
export async function verifyLedger(signal: AbortSignal, onStep: (step: Verification) => void): Promise<void> {
  const response = await fetch('/api/v1/ledger/verify', { method: 'POST', signal });
  if (!response.ok || !response.body)
    throw new ApiError(response.status, response.status === 429 ? 'busy' : `http_${response.status}`, '');
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    const lines = (rest + (value ?? '')).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line) onStep(JSON.parse(line) as Verification);
    if (done) return;
  }
}

// Incidents.

export const incidentsQuery = () =>
  queryOptions({
    queryKey: ['incidents'],
    queryFn: async ({ signal }) => bodyOf(await client.GET('/api/v1/incidents', { signal })).incidents,
    staleTime: 5 * SECOND_MS,
  });

export const incidentQuery = (incident: number) =>
  queryOptions({
    queryKey: ['incidents', incident],
    queryFn: async ({ signal }) =>
      bodyOf(await client.GET('/api/v1/incidents/{incident}', { params: { path: { incident } }, signal })),
    staleTime: 5 * SECOND_MS,
  });

export const deadlinesQuery = (incident: number) =>
  queryOptions({
    queryKey: ['incidents', incident, 'deadlines'],
    queryFn: async ({ signal }) =>
      bodyOf(
        await client.GET('/api/v1/incidents/{incident}/deadlines', {
          params: { path: { incident } },
          signal,
        }),
      ).deadlines,
    staleTime: 30 * SECOND_MS,
  });

export const noticeDraftQuery = (incident: number, language: Language) =>
  queryOptions({
    queryKey: ['incidents', incident, 'draft', language],
    queryFn: async ({ signal }) =>
      bodyOf(
        await client.POST('/api/v1/incidents/{incident}/notices/draft', {
          params: { path: { incident } },
          body: { language },
          signal,
        }),
      ),
    staleTime: 5 * SECOND_MS,
    retry: false,
  });

export const noticeProgressQuery = (incident: number) =>
  queryOptions({
    queryKey: ['incidents', incident, 'notices'],
    queryFn: async ({ signal }) =>
      bodyOf(
        await client.GET('/api/v1/incidents/{incident}/notices', { params: { path: { incident } }, signal }),
      ).versions,
    staleTime: SECOND_MS,
  });

export const unreachedQuery = (incident: number) =>
  queryOptions({
    queryKey: ['incidents', incident, 'unreached'],
    queryFn: async ({ signal }) =>
      bodyOf(
        await client.GET('/api/v1/incidents/{incident}/notices/unreached', {
          params: { path: { incident } },
          signal,
        }),
      ).unreached,
    staleTime: 5 * SECOND_MS,
  });

export function openIncident(body: OpenIncident) {
  return shownAgain('open_incident', async (proof) => {
    return bodyOf(await client.POST('/api/v1/incidents', { body: { ...body, ...shown(proof) } }));
  });
}

export function updateIncident(incident: number, body: UpdateIncident) {
  return shownAgain('update_incident', async (proof) => {
    return bodyOf(
      await client.POST('/api/v1/incidents/{incident}', {
        params: { path: { incident } },
        body: { ...body, ...shown(proof) },
      }),
    );
  });
}

export function scopeIncident(incident: number, of: ScopeOf) {
  return shownAgain('scope', async (proof) => {
    return bodyOf(
      await client.POST('/api/v1/incidents/{incident}/scopes', {
        params: { path: { incident } },
        body: { ...of, ...shown(proof) },
      }),
    );
  });
}

export function signNotices(incident: number, language: Language) {
  return shownAgain('sign_notices', async (proof) => {
    return bodyOf(
      await client.POST('/api/v1/incidents/{incident}/notices/sign', {
        params: { path: { incident } },
        body: { language, ...shown(proof) },
      }),
    );
  });
}

export function pauseNotices(incident: number, isPaused: boolean) {
  return shownAgain('pause_notices', async (proof) => {
    await client.PUT('/api/v1/incidents/{incident}/notices/pause', {
      params: { path: { incident } },
      body: { is_paused: isPaused, ...shown(proof) },
    });
  });
}

/** What containing would lock. */
export const suspectsQuery = (incident: number) =>
  queryOptions({
    queryKey: ['incidents', incident, 'contain'],
    queryFn: async ({ signal }) =>
      bodyOf(
        await client.GET('/api/v1/incidents/{incident}/contain', { params: { path: { incident } }, signal }),
      ),
    staleTime: 5 * SECOND_MS,
  });

export function contain(incident: number, what: Containing) {
  return shownAgain('contain', async (proof) => {
    return bodyOf(
      await client.POST('/api/v1/incidents/{incident}/contain', {
        params: { path: { incident } },
        body: { ...what, ...shown(proof) },
      }),
    );
  });
}

export const packageQuery = (incident: number) =>
  queryOptions({
    queryKey: ['incidents', incident, 'package'],
    queryFn: async ({ signal }) =>
      bodyOf(
        await client.GET('/api/v1/incidents/{incident}/package', { params: { path: { incident } }, signal }),
      ).package ?? null,
    staleTime: 5 * SECOND_MS,
  });

/** The package, once a second person agreed; before that it is asked for, and nothing comes. */
export function downloadPackage(incident: number, recipient: string): Promise<Download | null> {
  return shownAgain('package', async (proof) => {
    const answer = await client.POST('/api/v1/incidents/{incident}/package', {
      params: { path: { incident } },
      body: { recipient, ...shown(proof) },
      parseAs: 'blob',
    });
    // 202: it waits for somebody else.
    return answer.response.status === 202 ? null : downloadOf(answer, `incident-${incident}.tar`);
  });
}
