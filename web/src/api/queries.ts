// One query-options function or one act per endpoint. Components name these and never a path, so the
// contract with the server is read in this file alone.
import { queryOptions, skipToken } from '@tanstack/react-query';
import { bodyOf, client } from './client';
import type { components } from './schema.gen';
import type { Class, ErasureReason, NewCohort, Query, StepUpProof } from './types';

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
    staleTime: 30 * SECOND_MS,
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

export async function erasePerson(
  project: number,
  pseudonym: string,
  reason: ErasureReason,
  proof?: StepUpProof,
) {
  return bodyOf(
    await client.POST('/api/v1/projects/{project}/erasures', {
      params: { path: { project } },
      body: { persons: [pseudonym], reason, ...(proof ? { step_up: proof } : {}) },
    }),
  );
}

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
    // The signal closes the request when the question changes, which stops the work on the server too.
    queryFn: async ({ signal }) =>
      bodyOf(
        await client.POST('/api/v1/projects/{project}/query', {
          params: { path: { project } },
          body: query as components['schemas']['Query'],
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

export async function signIn(body: { email: string; password: string; code: string }) {
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
