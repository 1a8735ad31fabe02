// What disclosures, exposure, locks and incidents answer, as the server's document will have it.
import type { components } from './schema.gen';

type Schemas = components['schemas'];

type Nothing = undefined;
type Params<Path, Query> = Path extends undefined
  ? { query?: Query; header?: never; path?: never; cookie?: never }
  : { query?: Query; header?: never; path: Path; cookie?: never };
interface Ask<Path, Out, Query = never> {
  parameters: Params<Path, Query>;
  requestBody?: never;
  responses: { 200: { headers: { [name: string]: unknown }; content: { 'application/json': Out } } };
}
interface Act<Path, In, Out> {
  parameters: Params<Path, never>;
  requestBody: { content: { 'application/json': In } };
  responses: { 200: { headers: { [name: string]: unknown }; content: { 'application/json': Out } } };
}
type Again = { step_up?: Schemas['ProofBody'] | null };

export type PersonalField =
  | 'distinct_id'
  | 'email'
  | 'phone'
  | 'name'
  | 'place'
  | 'network_address'
  | 'birth'
  | 'events'
  | 'other';
export type Purpose =
  | 'subject_access'
  | 'portability'
  | 'support'
  | 'security'
  | 'legal_duty'
  | 'analysis'
  | 'migration';
export type What =
  | { kind: 'reveal'; person: string; field: PersonalField }
  | { kind: 'events'; range: Schemas['DateRange']; matching?: Schemas['EventMatch'] }
  | { kind: 'persons'; who?: Schemas['CohortCondition'] | null; fields: PersonalField[] };
export interface DisclosureRequest {
  what: What;
  purpose: Purpose;
  format: 'csv' | 'ndjson';
  recipient?: string | null;
}
export interface DisclosurePlan {
  hash: string;
  opens: Schemas['Class'];
  approvals_needed: number;
  approvers: number;
  waits_until?: string | null;
}
export type DisclosureState =
  | 'waiting'
  | 'ready'
  | 'running'
  | 'done'
  | 'denied'
  | 'withdrawn'
  | 'expired'
  | 'aborted';
export interface Disclosure {
  id: number;
  project: number;
  member: number;
  member_name?: string | null;
  is_mine: boolean;
  is_for_me: boolean;
  request: DisclosureRequest;
  hash: string;
  state: DisclosureState;
  approvals_needed: number;
  approvals: { member: number; approved_at: string; entry: number }[];
  self_approved_at?: string | null;
  held_until?: string | null;
  created_at: string;
  expires_at: string;
  progress: { rows: number; bytes: number; chunks: number; done: number; of: number };
  sent_hash?: string | null;
  ended_at?: string | null;
}
export interface Revealed {
  entry: number;
  values: { property: string; value: unknown }[];
}
export interface Trip {
  id: number;
  rule: 'share' | 'enumeration' | 'guessing';
  text: string;
  member?: number | null;
  by_member: number;
  tripped_at: string;
  closed_at?: string | null;
  entry: number;
  closings: number;
  closings_needed: number;
}

export type ExposureCause =
  | { actor: string }
  | { member: number }
  | { session: string }
  | { token: string }
  | { ip: string }
  | { device: string }
  | { grant: number }
  | { purpose: number }
  | { project: number };
export interface ExposureQuestion {
  any_of?: ExposureCause[];
  all_of?: ExposureCause[];
  from?: string | null;
  to?: string | null;
}
export interface PersonsQuestion {
  question: ExposureQuestion;
  project: number;
  field?: string | null;
  is_confirmed?: boolean;
  offset?: number;
  limit?: number | null;
}
export interface PersonsExposed {
  count: number;
  persons: string[];
  next?: number | null;
}
export interface Exposees {
  persons: number;
  ids: number;
  values: number;
}
export interface FieldExposure {
  name: string;
  authorised: number;
  confirmed: number;
}
export interface ExposureSum {
  disclosures: number;
  live: number;
  unsent: number;
  rows: number;
  first?: string | null;
  last?: string | null;
  unnamed_disclosures: number;
  unnamed_ids: number;
}
export interface Exposure {
  ledger_entries: number;
  sum: ExposureSum;
  authorised: Exposees;
  confirmed: Exposees;
  fields: FieldExposure[];
  groups: FieldExposure[];
  organisations: { organisation: number; authorised: Exposees; confirmed: Exposees }[];
  projects: {
    project: number;
    organisation?: number | null;
    sum: ExposureSum;
    authorised: Exposees;
    confirmed: Exposees;
    fields: FieldExposure[];
    groups: FieldExposure[];
  }[];
  grants: { grant: number; disclosures: number }[];
  grants_count: number;
  live: Disclosed[];
}
export interface Disclosed {
  entry: number;
  time: string;
  project: number;
  actor?: { pseudonym: string; member?: number | null; name?: string | null } | null;
  session?: string | null;
  token?: string | null;
  ip?: string | null;
  device?: string | null;
  grant?: number | null;
  purpose?: number | null;
  purpose_name?: string | null;
  fields: string[];
  ids: number;
  state: 'live' | 'done' | 'aborted';
  rows?: number | null;
  ended?: string | null;
  is_unnamed: boolean;
}
export interface DisclosedPage {
  disclosures: Disclosed[];
  before?: number | null;
}
export type Verification =
  | { kind: 'progress'; entries: number; of: number }
  | {
      kind: 'end';
      is_sound: boolean;
      entries: number;
      unpublished: number;
      root: string;
      checkpoint: string;
      key: string;
      erased: number;
      wrong: string[];
    }
  | { kind: 'failed'; message: string };

export type IncidentCause = 'member' | 'limit' | 'drill';
export type AccountKind = 'staff' | 'token' | 'vendor' | 'unknown';
export type IncidentMeasure = 'locked' | 'sessions' | 'tokens' | 'vendor' | 'authority';
export interface IncidentTimes {
  occurred_us?: number[] | null;
  detected_us: number;
  aware_us?: number | null;
  contained_us?: number | null;
  notified_first_us?: number | null;
  notified_last_us?: number | null;
  public_us?: number | null;
  corrected_us?: number | null;
  closed_us?: number | null;
}
export interface ScopeVersion {
  version: number;
  entry: number;
  known_us: number;
  persons: number;
  fields: string[];
  groups: { project: number; fields: string[]; persons: number }[];
}
export interface Incident {
  id: number;
  cause: IncidentCause;
  stage: 'open' | 'scoped' | 'notified' | 'closed';
  account: AccountKind;
  service: string;
  measures: IncidentMeasure[];
  times: IncidentTimes;
  published: number;
  scopes: ScopeVersion[];
}
export interface OpenIncident {
  cause: IncidentCause;
  account: AccountKind;
  service: string;
  occurred_us?: number[] | null;
  detected_us?: number | null;
}
export interface UpdateIncident {
  account?: AccountKind | null;
  measures?: IncidentMeasure[] | null;
  occurred_us?: number[] | null;
  detected_us?: number | null;
  aware_us?: number | null;
  contained_us?: number | null;
  make_public?: boolean;
  close?: boolean;
}
export type ScopeOf =
  | { from: 'ledger'; member?: number | null; from_us: number; to_us: number }
  | { from: 'list'; project: number; ids: string[]; fields: Exclude<PersonalField, 'events'>[] };
export interface Deadline {
  regime: string;
  duty: string;
  source: string;
  within: string;
  due_us?: number | null;
  is_past: boolean;
  asks: string[];
}
export interface NoticeDraft {
  version: number;
  texts: { audience: string; recipients: number; subject: string; text: string }[];
  signed_by?: number | null;
}
export interface NoticeProgress {
  version: number;
  is_paused: boolean;
  total: number;
  queued: number;
  in_flight: number;
  accepted: number;
  bounced: number;
  suppressed: number;
  retrying: number;
  reasons: (string | number)[][];
  rate: number;
  eta_s?: number | null;
  trouble?: string | null;
}

interface OfProject {
  project: number;
}
interface OfDisclosure {
  disclosure: number;
}
interface OfIncident {
  incident: number;
}
export interface TrustPaths {
  '/api/v1/projects/{project}/disclosures/plan': { post: Act<OfProject, DisclosureRequest, DisclosurePlan> };
  '/api/v1/projects/{project}/disclosures': { post: Act<OfProject, DisclosureRequest & Again, Disclosure> };
  '/api/v1/disclosures': { get: Ask<Nothing, { disclosures: Disclosure[] }> };
  '/api/v1/disclosures/{disclosure}': {
    get: Ask<OfDisclosure, Disclosure>;
    delete: Ask<OfDisclosure, Disclosure>;
  };
  '/api/v1/disclosures/{disclosure}/approval': {
    post: Act<OfDisclosure, { hash: string } & Again, Disclosure>;
  };
  '/api/v1/disclosures/{disclosure}/denial': { post: Ask<OfDisclosure, Disclosure> };
  '/api/v1/disclosures/{disclosure}/run': { post: Act<OfDisclosure, { hash: string } & Again, string> };
  '/api/v1/disclosures/{disclosure}/proof': { get: Ask<OfDisclosure, string> };
  '/api/v1/projects/{project}/persons/{pseudonym}/reveal': {
    post: Act<
      OfProject & { pseudonym: string },
      { field: PersonalField; purpose: Purpose } & Again,
      Revealed
    >;
  };
  '/api/v1/limits': { get: Ask<Nothing, { trips: Trip[] }> };
  '/api/v1/limits/{trip}/closing': { post: Act<{ trip: number }, Again, { is_closed: boolean }> };
  '/api/v1/exposure': { post: Act<Nothing, ExposureQuestion, Exposure> };
  '/api/v1/exposure/persons': { post: Act<Nothing, PersonsQuestion, PersonsExposed> };
  '/api/v1/disclosed': {
    get: Ask<
      Nothing,
      DisclosedPage,
      {
        actor?: string;
        session?: string;
        purpose?: number;
        project?: number;
        person?: string;
        from?: string;
        to?: string;
        before?: number;
        limit?: number;
      }
    >;
  };
  '/api/v1/incidents': {
    get: Ask<Nothing, { incidents: Incident[] }>;
    post: Act<Nothing, OpenIncident & Again, Incident>;
  };
  '/api/v1/incidents/{incident}': {
    get: Ask<OfIncident, Incident>;
    post: Act<OfIncident, UpdateIncident & Again, Incident>;
  };
  '/api/v1/incidents/{incident}/deadlines': { get: Ask<OfIncident, { deadlines: Deadline[] }> };
  '/api/v1/incidents/{incident}/scopes': { post: Act<OfIncident, ScopeOf & Again, ScopeVersion> };
  '/api/v1/incidents/{incident}/notices/draft': { post: Act<OfIncident, { language: string }, NoticeDraft> };
  '/api/v1/incidents/{incident}/notices/sign': {
    post: Act<OfIncident, { language: string } & Again, { signed: 'first' | 'published' }>;
  };
  '/api/v1/incidents/{incident}/notices': { get: Ask<OfIncident, { versions: NoticeProgress[] }> };
  '/api/v1/incidents/{incident}/notices/pause': {
    put: Act<OfIncident, { is_paused: boolean } & Again, undefined>;
  };
  '/api/v1/incidents/{incident}/notices/unreached': { get: Ask<OfIncident, { unreached: string[][] }> };
}
