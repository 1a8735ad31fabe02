//! What a query answers: one table per kind of question, with what a reader needs to trust it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The answer to a [`crate::Query`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Answer {
    pub table: ResultTable,
    /// RFC 3339, UTC.
    pub computed_at: String,
    /// Wall time of the computation.
    pub duration_ms: f64,
    /// Events the operators looked at.
    pub events_scanned: u64,
    /// Whether every number is exact. Always true today; a sampled answer would say false.
    pub exact: bool,
    /// IANA name of the zone in which days were cut.
    pub time_zone: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ResultTable {
    Insights(InsightsTable),
    Funnel(FunnelTable),
    Retention(RetentionTable),
    Flows(FlowsTable),
    Frequency(FrequencyTable),
    Sessions(SessionsTable),
    Persons(PersonsTable),
    Events(EventsTable),
}

/// A number of an answer: whole numbers are written without a fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, ToSchema)]
#[schema(value_type = f64)]
pub struct Number(pub f64);

impl From<u64> for Number {
    fn from(count: u64) -> Number {
        // Exact below 2^53, far above any count of events.
        Number(count as f64)
    }
}

impl Serialize for Number {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if self.0.fract() == 0.0 && self.0.abs() < EXACT {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        f64::deserialize(deserializer).map(Number)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InsightsTable {
    /// Start of each bucket: RFC 3339 with the project's offset.
    pub buckets: Vec<String>,
    /// The last bucket reaches beyond now: draw it as unfinished.
    pub last_incomplete: bool,
    pub series: Vec<Series>,
    /// Segments beyond the breakdown's limit, summed up in the series whose segment is `other`.
    pub segments_omitted: u32,
    /// The period compared with, bucket by bucket beside this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
    /// Numbers of fewer persons are left out, as are those from which they could be computed; segments of fewer are in
    /// `other`. Present where the question is about device or place and whoever asks may not have that exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_below: Option<u32>,
}

/// The earlier period of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Compared {
    pub buckets: Vec<String>,
    /// The same lines, in the same order, as the series of the present period; a segment without events then is 0.
    pub series: Vec<Series>,
}

/// One line: a metric or formula, and one segment of it when there is a breakdown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Series {
    /// Index into the query's metrics; formulas follow them.
    pub metric: u32,
    /// One value per property of the breakdown, or `other` alone; empty without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segment: Vec<Segment>,
    /// One value per bucket; `null` where there is none: the average of nothing, a division by zero.
    pub values: Vec<Option<Number>>,
    /// Over the whole range. For `unique` the number of distinct persons, which is not the sum of the values;
    /// for `active` and `cohort_size` that of the last bucket.
    pub total: Option<Number>,
}

/// A value of the breakdown property.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum Segment {
    /// The property's value, as text. Of a bucket of values, its name: `10 – 20`, `< 10`, `≥ 20`, a date.
    Value(String),
    /// The property was not set.
    NotSet,
    /// Everything beyond the limit.
    Other,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FunnelTable {
    /// The funnel over everybody.
    pub overall: FunnelResult,
    /// One funnel per segment, largest entry first; empty without a breakdown.
    pub segments: Vec<FunnelSegment>,
    pub segments_omitted: u32,
    /// One funnel per bucket of entry; empty unless asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trend: Vec<FunnelBucket>,
    /// How often the event asked for happened between its two steps, among those who reached the later one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub between: Vec<BetweenCount>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FunnelSegment {
    pub segment: Vec<Segment>,
    pub result: FunnelResult,
    /// How sure it is that this segment's conversion differs from that of all others, 0 to 1, by the hypergeometric
    /// distribution: above 0.95 it is significant. Absent with fewer than 30 entries on either side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub significance: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FunnelBucket {
    /// Start of the bucket: RFC 3339 with the project's offset.
    pub start: String,
    pub result: FunnelResult,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BetweenCount {
    /// How often the event happened.
    pub times: u64,
    /// For how many persons (attempts, sessions).
    pub count: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FunnelResult {
    pub steps: Vec<FunnelStep>,
    /// From the entry to the last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_convert: Option<TimeToConvert>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FunnelStep {
    /// Persons (attempts, sessions) that reached this step.
    pub count: u64,
    /// Median time from the previous step, in milliseconds; absent for step 1 or when nobody got here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_ms_from_previous: Option<u64>,
    /// Mean of the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_ms_from_previous: Option<u64>,
}

/// How long whole conversions took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TimeToConvert {
    pub median_ms: u64,
    pub average_ms: u64,
    /// Conversions by duration: bucket i is `[edges_ms[i], edges_ms[i + 1])`, the last one closed.
    pub edges_ms: Vec<u64>,
    pub counts: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetentionTable {
    /// One row per interval of the range in which somebody was born, oldest first.
    pub cohorts: Vec<RetentionCohort>,
    /// Share retained in interval k over cohorts for which it is complete, each weighted by its size:
    /// Σ(retained·size) / Σ(size·size); absent when none is complete.
    pub average: Vec<Option<f64>>,
    /// One table per segment, largest first; empty without a breakdown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<RetentionSegment>,
    pub segments_omitted: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetentionSegment {
    pub segment: Vec<Segment>,
    pub cohorts: Vec<RetentionCohort>,
    pub average: Vec<Option<f64>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetentionCohort {
    /// Start of the interval: RFC 3339 with the project's offset.
    pub start: String,
    /// Persons born in it.
    pub size: u64,
    /// Persons retained in interval 0, 1, …; ends where the future begins.
    pub retained: Vec<u64>,
    /// How many of `retained`, from the left, are over for every member: the rest may still grow.
    pub complete: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FlowsTable {
    /// Everybody's paths.
    pub overall: Flow,
    /// One flow per segment, most anchors first; empty without a breakdown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<FlowSegment>,
    pub segments_omitted: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FlowSegment {
    pub segment: Vec<Segment>,
    pub flow: Flow,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Flow {
    /// Anchors: persons, occurrences or sessions.
    pub anchors: u64,
    /// Every step, from the furthest before the anchor (negative `at`) to the furthest after it; not the anchor.
    pub steps: Vec<FlowStep>,
    /// Between neighbouring steps, the anchor (`at` 0) included.
    pub links: Vec<FlowLink>,
    /// The most frequent whole paths, equal counts by name.
    pub paths: Vec<FlowPath>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FlowStep {
    /// Distance from the anchor: −1 is the event right before it.
    pub at: i32,
    /// Most frequent first.
    pub nodes: Vec<FlowNode>,
    /// Paths whose event here is none of `nodes`.
    pub other: u64,
    /// Paths that reach the step on the anchor's side and have nothing here.
    pub drop_off: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlowNode {
    pub name: FlowName,
    pub count: u64,
}

/// What a path shows at a step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct FlowName {
    pub event: String,
    /// The value it was expanded by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlowLink {
    /// From the event at `at` to the one at `at + 1`. Absent: one of the other events.
    pub at: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<FlowName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<FlowName>,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlowPath {
    /// In order of time, the anchor included; shorter where a path begins late or ends early.
    pub events: Vec<FlowName>,
    /// Index of the anchor in `events`.
    pub anchor: u32,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FrequencyTable {
    /// One row per period of the range.
    pub periods: Vec<FrequencyPeriod>,
    /// Over all periods: how many (person, period) pairs there are per number of hours or days.
    pub overall: Vec<u64>,
    /// The last period reaches beyond now.
    pub last_incomplete: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FrequencyPeriod {
    /// Start of the period: RFC 3339 with the project's offset.
    pub start: String,
    /// Persons with a matching event in it.
    pub persons: u64,
    /// Element i: persons with exactly (or at least) i + 1 different hours or days; as many as the longest period has.
    pub counts: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionsTable {
    /// Start of each bucket: RFC 3339 with the project's offset.
    pub buckets: Vec<String>,
    pub last_incomplete: bool,
    /// One line; with a breakdown one per segment, most sessions first.
    pub series: Vec<SessionsSeries>,
    pub segments_omitted: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionsSeries {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segment: Vec<Segment>,
    /// One per bucket.
    pub values: Vec<SessionsCell>,
    /// Over the whole range.
    pub total: SessionsCell,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionsCell {
    pub sessions: u64,
    /// Persons with a session.
    pub persons: u64,
    /// Sessions of a single event.
    pub bounced: u64,
    /// Events in sessions.
    pub events: u64,
    /// From first to last event; absent without a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PersonsTable {
    /// How many persons match.
    pub total: u64,
    pub persons: Vec<PersonRow>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PersonRow {
    /// Stable within the project: `per_…`. Not derived from a name by anybody without the key.
    pub pseudonym: String,
    /// RFC 3339, UTC; within the range and filter asked for.
    pub first_seen: String,
    pub last_seen: String,
    /// Matching events.
    pub events: u64,
    /// Profile properties that identify nobody, as JSON values.
    pub properties: Vec<ProfileProperty>,
    /// Names of profile properties that are sealed; their values need a disclosure.
    pub sealed: Vec<SealedProperty>,
    /// Names of profile properties of device and place (class C2): lists do not show their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProfileProperty {
    pub name: String,
    #[schema(value_type = Object)]
    pub value: serde_json::Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SealedProperty {
    pub name: String,
    pub class: crate::Class,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventsTable {
    pub events: Vec<EventRow>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventRow {
    pub event: String,
    /// RFC 3339, UTC.
    pub time: String,
    pub pseudonym: String,
    pub properties: Vec<ProfileProperty>,
    /// Names of properties of device and place (class C2): lists do not show their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<String>,
}
