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
    Persons(PersonsTable),
    Events(EventsTable),
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
}

/// One line: a metric, and one segment of it when there is a breakdown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Series {
    /// Index into the query's metrics.
    pub metric: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<Segment>,
    /// One value per bucket.
    pub values: Vec<u64>,
    /// Over the whole range. For `unique` the number of distinct persons, which is not the sum of the values.
    pub total: u64,
}

/// A value of the breakdown property.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum Segment {
    /// The property's value, as text.
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
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FunnelSegment {
    pub segment: Segment,
    pub result: FunnelResult,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FunnelResult {
    pub steps: Vec<FunnelStep>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FunnelStep {
    /// Persons who reached this step.
    pub persons: u64,
    /// Median time from the previous step, in milliseconds; absent for step 1 or when nobody got here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_ms_from_previous: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RetentionTable {
    /// One row per interval of the range in which somebody was born, oldest first.
    pub cohorts: Vec<RetentionCohort>,
    /// Share retained in interval k over cohorts for which it is complete, each weighted by its size:
    /// Σ(retained·size) / Σ(size·size); absent when none is complete.
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
}
