// Names for what travels between console and server. All of them come from the generated schema, so a
// change of the Rust types reaches every call site at compile time.
import type { components, paths } from './schema.gen';

type Schemas = components['schemas'];
type Body<
  Path extends keyof paths,
  Method extends keyof paths[Path],
  Status extends number,
> = paths[Path][Method] extends { responses: { [S in Status]: { content: { 'application/json': infer B } } } }
  ? B
  : never;

export type Session = Body<'/api/v1/session', 'get', 200>;
export type Project = Body<'/api/v1/projects', 'get', 200>['projects'][number];
export type ProjectStatus = Body<'/api/v1/projects/{project}/status', 'get', 200>;
export type EventName = Body<'/api/v1/projects/{project}/events', 'get', 200>['events'][number];
export type Property = Body<'/api/v1/projects/{project}/properties', 'get', 200>['properties'][number];
export type PropertyType = Property['types'][number];
export type TotpSecret = Body<'/api/v1/setup/totp', 'post', 200>;

// The document has one name for two rules, that of retention's groups and that of a stored cohort.
export type RetentionGroups = 'first_time' | 'each_interval';
export type RetentionQuery = Omit<Extract<Schemas['Query'], { kind: 'retention' }>, 'cohorts'> & {
  cohorts?: RetentionGroups;
};
export type Query = Exclude<Schemas['Query'], { kind: 'retention' }> | RetentionQuery;
export type InsightsQuery = Extract<Query, { kind: 'insights' }>;
export type FunnelQuery = Extract<Query, { kind: 'funnel' }>;
export type FlowsQuery = Extract<Query, { kind: 'flows' }>;
export type SessionsQuery = Extract<Query, { kind: 'sessions' }>;
export type FrequencyQuery = Extract<Query, { kind: 'frequency' }>;
export type PersonsQuery = Extract<Query, { kind: 'persons' }>;
export type EventsQuery = Extract<Query, { kind: 'events' }>;
/** What lists rows of persons. */
export type RowsQuery = PersonsQuery | EventsQuery;

export type DateRange = Schemas['DateRange'];
export type Unit = Schemas['Unit'];
export type EventMatch = Schemas['EventMatch'];
export type Filter = Schemas['Filter'];
export type Condition = Schemas['Condition'];
export type Scalar = Schemas['Scalar'];
export type Breakdown = Schemas['Breakdown'];
export type BreakdownBy = Schemas['BreakdownBy'];
export type ValueBuckets = Schemas['ValueBuckets'];
export type Holder = Schemas['Holder'];
export type SessionRule = Schemas['SessionRule'];
export type Measure = Schemas['Measure'];
export type PersonMeasure = Schemas['PersonMeasure'];
export type Aggregate = Schemas['Aggregate'];
export type Transform = Schemas['Transform'];
export type Compare = Schemas['Compare'];
export type FunnelMatch = Schemas['FunnelMatch'];
export type Exclusion = Schemas['Exclusion'];
export type Count = Schemas['Count'];
export type Attribution = Schemas['Attribution'];
export type Metric = Schemas['Metric'];
export type FunnelWindow = Schemas['Window'];
export type WindowUnit = Schemas['WindowUnit'];
export type RetentionMode = Schemas['RetentionMode'];
export type Alignment = Schemas['Alignment'];
export type Cohort = Omit<Schemas['Cohort'], 'rule'> & { rule: CohortRule };
export type CohortCondition = Schemas['CohortCondition'];
export type CohortRule = { kind: 'dynamic'; condition: CohortCondition } | { kind: 'static' };
export type NewCohort = Omit<Schemas['CreateCohortBody'], 'rule'> & { rule: CohortRule };
export type CohortTimes = Schemas['Times'];

export type Answer = Schemas['Answer'];
export type ResultTable = Answer['table'];
export type InsightsTable = Schemas['InsightsTable'];
export type Series = Schemas['Series'];
export type Segment = Schemas['Segment'];
export type FunnelTable = Schemas['FunnelTable'];
export type FunnelResult = Schemas['FunnelResult'];
export type FunnelStep = FunnelResult['steps'][number];
export type TimeToConvert = Schemas['TimeToConvert'];
export type Flow = Schemas['Flow'];
export type FlowName = Schemas['FlowName'];
export type FlowsTable = Schemas['FlowsTable'];
export type SessionsTable = Schemas['SessionsTable'];
export type SessionsCell = Schemas['SessionsCell'];
export type FrequencyTable = Schemas['FrequencyTable'];
export type RetentionTable = Schemas['RetentionTable'];
export type PersonRow = Schemas['PersonRow'];
export type EventRow = Schemas['EventRow'];
export type SealedProperty = Schemas['SealedProperty'];
export type RowsInClear = Schemas['RowsInClear'];

export type Erasure = Schemas['Erasure'];
export type ErasureReason = Schemas['ErasureReason'];
export type Finding = Schemas['Finding'];
export type Role = Schemas['Role'];
export type Member = Schemas['MemberView'];
export type Invitation = Schemas['Invitation'];
export type Lock = Schemas['LockBody'];
export type Waiting = Schemas['Waiting'];
/** That something waits for a second person. */
export type Asked = Schemas['AskedBody'];
export type Passkey = Schemas['PasskeyView'];
export type PasskeyAsked = Schemas['NewPasskeyBody'];
export type Assertion = Schemas['AssertionBody'];
export type Token = Schemas['TokenView'];
export type TokenKind = Schemas['TokenKind'];
export type TokenMade = Schemas['TokenBody'];

export type Class = Schemas['Class'];
export type Keep = Schemas['Keep'];
export type Action = Schemas['Action'];
export type Detector = Schemas['Detector'];
export type LiveEvent = Schemas['LiveEvent'];
export type LiveProperty = LiveEvent['properties'][number];

// What personal values are about, and for what they are opened.
export type PersonalField = Schemas['PersonalField'];
export type Purpose = Schemas['Purpose'];
export type DisclosureRequest = Schemas['DisclosureRequest'];
export type Disclosure = Schemas['Disclosure'];
export type Revealed = Schemas['Revealed'];
export type AccessPurpose = Schemas['AccessPurpose'];
export type AccessFormat = Schemas['AccessFormat'];
export type Trip = Schemas['Trip'];
export type Disclosed = Schemas['Disclosed'];
export type Exposure = Schemas['Exposure'];
export type ExposureCause = Schemas['Cause'];
export type ExposureQuestion = Schemas['ExposureQuestion'];
export type FieldExposure = Schemas['FieldExposure'];
export type PersonsQuestion = Schemas['PersonsQuestion'];
export type Verification = Schemas['Verification'];
export type LockTarget = Schemas['TargetBody'];

/** The client takes a pair for a list. */
export type Incident = Omit<Schemas['Incident'], 'times'> & {
  times: Omit<Schemas['IncidentTimes'], 'occurred_us'> & { occurred_us?: number[] | null };
};
export type IncidentCause = Schemas['IncidentCause'];
export type IncidentMeasure = Schemas['IncidentMeasure'];
export type AccountKind = Schemas['AccountKind'];
export type OpenIncident = Schemas['OpenIncident'];
export type UpdateIncident = Schemas['UpdateIncident'];
export type Containment = Schemas['IncidentContainment'];
export type Containing = Schemas['ContainBody'];
export type LeftOut = Schemas['LeftOut'];
export type PackageOffer = Schemas['PackageOffer'];
export type Alarm = Schemas['Alarm'];
export type ScopeOf = Schemas['ScopeOf'];
export type ScopeVersion = Schemas['ScopeVersion'];
export type Deadline = Schemas['Deadline'];
export type NoticeProgress = Omit<Schemas['NoticeProgress'], 'reasons'> & { reasons: (string | number)[][] };
/** What notices are written in. */
export type Language = 'en' | 'es' | 'it';
