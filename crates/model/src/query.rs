//! The query contract: what a question *is*, on the wire, in the URL of the console and in a saved report.
//!
//! Every date is a civil date in the project's time zone; a range includes both its ends.
//! `docs/reports.md` says what each number means.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A question about one project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Query {
    Insights(InsightsQuery),
    Funnel(FunnelQuery),
    Retention(RetentionQuery),
    Flows(FlowsQuery),
    Frequency(FrequencyQuery),
    Sessions(SessionsQuery),
    Persons(PersonsQuery),
    Events(EventsQuery),
}

/// Which days are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum DateRange {
    /// From the start of `from` to the end of `to`.
    Between { from: Date, to: Date },
    /// The last `count` units up to now, the current one included and incomplete.
    Last { count: u32, unit: Unit },
}

/// The length of one time bucket, cut in the project's time zone. Weeks start on Monday.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Minute,
    Hour,
    Day,
    Week,
    Month,
}

/// Which events are meant: one name or, when `event` is absent, any; and only those that pass every filter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventMatch {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
}

/// A condition on one property. All conditions of a list must hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Whose property; the event's unless told otherwise.
    #[serde(default, skip_serializing_if = "Holder::is_event")]
    pub on: Holder,
    /// The property's name. On a cohort: its id, and the condition is `is_set` (a member) or `is_not_set`.
    pub property: String,
    pub condition: Condition,
}

/// What a filter or a breakdown looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// The event, as it was when it happened.
    #[default]
    Event,
    /// The person's profile, as it is now. Sealed properties cannot be asked for.
    Profile,
    /// The person's membership of a cohort, as it is now.
    Cohort,
}

impl Holder {
    fn is_event(&self) -> bool {
        *self == Holder::Event
    }
}

/// A test of one property value. A property that is not set passes only `does_not_equal`,
/// `does_not_contain` and `is_not_set`. On a list, a positive test passes when any item does.
/// Strings compare exactly for `equals`, and without regard to case for the other string tests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// Any of `values`.
    Equals {
        values: Vec<Scalar>,
    },
    /// None of `values`.
    DoesNotEqual {
        values: Vec<Scalar>,
    },
    Contains {
        value: String,
    },
    DoesNotContain {
        value: String,
    },
    StartsWith {
        value: String,
    },
    EndsWith {
        value: String,
    },
    IsSet,
    IsNotSet,
    GreaterThan {
        value: f64,
    },
    AtLeast {
        value: f64,
    },
    LessThan {
        value: f64,
    },
    AtMost {
        value: f64,
    },
    /// `low` and `high` included.
    Between {
        low: f64,
        high: f64,
    },
}

/// A value as a person types it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Scalar {
    Bool(bool),
    Number(f64),
    String(String),
}

/// Split the answer by the values of one property or several: a segment is a combination of values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Breakdown {
    /// 1 to 4.
    pub by: Vec<BreakdownBy>,
    /// How many segments to list, largest first, 1 to 200; the rest is summed up as `other`.
    #[serde(default = "breakdown_limit")]
    pub limit: u32,
    /// For persons who had several segments in one bucket of time (Insights, unique): which of them count.
    #[serde(default, skip_serializing_if = "Touch::is_every")]
    pub touch: Touch,
}

/// One property of a breakdown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakdownBy {
    /// Whose property; the event's unless told otherwise.
    #[serde(default, skip_serializing_if = "Holder::is_event")]
    pub on: Holder,
    /// The property's name; on a cohort its id, and the segments are `in` and `not in`.
    pub property: String,
    /// Group values into buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buckets: Option<ValueBuckets>,
}

/// How values of a breakdown are grouped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ValueBuckets {
    /// Numbers by equal widths: `[k·size, (k + 1)·size)`. A value that is no number is a segment as it is.
    Width { size: f64 },
    /// Numbers by 1 to 100 ascending bounds: below the first, between each two, from the last on.
    Bounds { bounds: Vec<f64> },
    /// Times by a unit of the project's time zone.
    Time { unit: Unit },
}

/// Which of a person's segments within one bucket of time count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Touch {
    /// Each once: uniques of segments may add up to more than the uniques of all.
    #[default]
    Every,
    /// That of the first matching event.
    First,
    /// That of the last one.
    Last,
}

impl Touch {
    fn is_every(&self) -> bool {
        *self == Touch::Every
    }
}

fn breakdown_limit() -> u32 {
    10
}

/// How a matching event counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Measure {
    /// Every event.
    Total,
    /// Every person once per bucket.
    Unique,
    /// Every session with a matching event once; it counts in the bucket of its first matching event.
    Sessions,
    /// Persons with a matching event in the `days` days that end with the bucket's last day: 1 (DAU), 7 (WAU),
    /// 30 (MAU), at most 90. Days before the range count.
    Active {
        days: u16,
    },
    /// Of a numeric property. Events without it do not count.
    Sum {
        property: String,
    },
    Average {
        property: String,
    },
    Median {
        property: String,
    },
    Min {
        property: String,
    },
    Max {
        property: String,
    },
    /// `percent` from 0 to 100, by linear interpolation between the two nearest ranks.
    Percentile {
        property: String,
        percent: f64,
    },
    /// Different values of a property, of any type; each item of a list is a value.
    Distinct {
        property: String,
    },
    /// First a number per person and bucket, then one number of those. Persons without a matching event do not count.
    PerPerson {
        each: PersonMeasure,
        then: Aggregate,
    },
    /// Members of a cohort as of the end of each bucket (now, for the last one). `matching` is not looked at.
    CohortSize {
        cohort: String,
    },
}

/// A number per person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PersonMeasure {
    /// Their matching events.
    Total,
    /// Different hours, or days, with a matching event.
    Hours,
    Days,
    Sum {
        property: String,
    },
    Average {
        property: String,
    },
    Min {
        property: String,
    },
    Max {
        property: String,
    },
    Distinct {
        property: String,
    },
}

/// One number of many.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Aggregate {
    Sum,
    Average,
    Median,
    Min,
    Max,
    Percentile { percent: f64 },
}

/// One line of an Insights report. The events `$session_start` and `$session_end` happen at the first and last event
/// of every session, with the numbers `$duration_s` and `$event_count`, and `$origin_start` and `$origin_end`, the
/// names of the first and last event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    pub matching: EventMatch,
    pub measure: Measure,
}

/// How often, and by how many persons, events happened over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InsightsQuery {
    pub range: DateRange,
    pub unit: Unit,
    /// 1 to 40.
    pub metrics: Vec<Metric>,
    /// Arithmetic over metrics, named A, B, …, Z, AA, …: `A / B * 100`, with + − * / ( ), numbers. At most 10.
    /// A bucket in which a formula divides by zero has no value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub formulas: Vec<String>,
    /// Apply to every metric.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breakdown: Option<Breakdown>,
    /// What to do with each line, after formulas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<Transform>,
    /// The same over an earlier period, beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<Compare>,
    #[serde(default, skip_serializing_if = "SessionRule::is_default")]
    pub sessions: SessionRule,
}

/// A change of each line of an Insights report; totals stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Transform {
    /// The mean of a bucket and the `buckets - 1` before it, those before the range included; 2 to 90.
    Rolling { buckets: u32 },
    /// The sum of a bucket and those before it within the range.
    Cumulative,
}

/// Which earlier period to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Compare {
    /// As long as the range, right before it.
    PreviousPeriod,
    /// The range moved back by `count` units.
    Ago { count: u32, unit: Unit },
}

/// How a person's events are cut into sessions. Every session also ends at midnight of the project's time zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SessionRule {
    /// A session ends when nothing happens for more than `minutes`, 1 to 1,440.
    Timeout { minutes: u32 },
    /// From an event that matches `start` to the first one after it that matches `end`; without one, to the last event
    /// of the day. Events outside are in no session.
    Events { start: Box<EventMatch>, end: Box<EventMatch> },
    /// Runs of events with the same value of a property; events without it are in no session and end none.
    Property { property: String },
}

impl Default for SessionRule {
    fn default() -> Self {
        SessionRule::Timeout { minutes: 30 }
    }
}

impl SessionRule {
    fn is_default(&self) -> bool {
        *self == SessionRule::default()
    }
}

/// How long a person has, counted from their first step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    pub count: u32,
    pub unit: WindowUnit,
}

/// Units of a conversion window; each is a fixed length (a day is 24 hours, a month 30 days), but for sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WindowUnit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    /// The session of the first step and the `count - 1` after it.
    Session,
}

impl Window {
    /// The window's length in microseconds; `None` for sessions.
    pub fn us(self) -> Option<i64> {
        let second = 1_000_000_i64;
        let unit = match self.unit {
            WindowUnit::Second => second,
            WindowUnit::Minute => 60 * second,
            WindowUnit::Hour => 3_600 * second,
            WindowUnit::Day => 86_400 * second,
            WindowUnit::Week => 7 * 86_400 * second,
            WindowUnit::Month => 30 * 86_400 * second,
            WindowUnit::Session => return None,
        };
        Some(i64::from(self.count).saturating_mul(unit))
    }
}

/// How many persons went through steps, and where they stopped.
///
/// Somebody enters at a matching step 1 within the range; other events between steps are allowed; the window runs
/// from the entry. Steps that happen within 2 seconds of each other may come in any order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FunnelQuery {
    pub range: DateRange,
    /// 2 to 20.
    pub steps: Vec<FunnelMatch>,
    /// At most 366 days.
    pub window: Window,
    /// What is counted.
    #[serde(default)]
    pub count: Count,
    /// Which of several entries counts (`count` unique), or begins the next attempt (totals, sessions).
    #[serde(default)]
    pub reentry: Reentry,
    /// Events that must not happen between two steps. At most 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclusions: Vec<Exclusion>,
    /// Properties that must keep the value they have at step 1 through all steps. At most 3.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hold_constant: Vec<String>,
    /// Decide about whole conversions, by the values that `attribution` picks: they do not change which events are
    /// steps. (A step's own filters do.)
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breakdown: Option<Breakdown>,
    /// Which step's value of a property a conversion has, for filters and the breakdown.
    #[serde(default)]
    pub attribution: Attribution,
    /// Also a funnel per bucket of time, by entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trend: Option<Unit>,
    /// Also how often this event happened between two steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between: Option<Exclusion>,
    #[serde(default, skip_serializing_if = "SessionRule::is_default")]
    pub sessions: SessionRule,
}

/// A step of a funnel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FunnelMatch {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// Neighbouring steps with this mark may come in any order; the next step without it comes after them all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any_order: bool,
}

impl FunnelMatch {
    pub fn matching(&self) -> EventMatch {
        EventMatch { event: self.event.clone(), filters: self.filters.clone() }
    }
}

/// What a funnel or a flow counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Count {
    /// Every person once (with a breakdown: once per segment).
    #[default]
    Unique,
    /// Every attempt; the next one can begin when the last has converted, run out of time, or met an exclusion.
    Total,
    /// Every session once.
    Sessions,
}

/// Which entry an attempt counts from when step 1 happens again before the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reentry {
    /// The first.
    #[default]
    First,
    /// The latest one from which the attempt gets furthest.
    Optimized,
}

/// An event between two steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Exclusion {
    pub matching: EventMatch,
    /// After this step, counted from 1.
    pub after_step: u32,
    /// Before this step, later than `after_step`.
    pub before_step: u32,
}

/// The step whose value of a property stands for the whole conversion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Attribution {
    /// The first step that has the property.
    #[default]
    First,
    /// The last step reached that has it.
    Last,
    /// This step, counted from 1; not set for those who do not reach it.
    Step { step: u32 },
}

/// When somebody counts as retained in interval k.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetentionMode {
    /// They returned in that interval (n-day).
    On,
    /// They returned in that interval or a later one (unbounded).
    OnOrAfter,
    /// They returned in that interval or an earlier one, after birth.
    OnOrBefore,
    /// They returned in that interval and in every one from interval 1 on before it.
    Streak,
}

/// Where interval k begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Alignment {
    /// Calendar days, weeks, months of the project's time zone.
    Calendar,
    /// Counted from the birth event: k × 24 hours, 7 days or 30 days.
    Rolling,
}

/// Which cohorts a person belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CohortRule {
    /// The interval of their first `born` event in the range, and no other.
    #[default]
    FirstTime,
    /// Every interval of the range in which they did `born`.
    EachInterval,
}

/// Of those who did `born` in an interval, how many did `returned`, after it, k intervals later.
/// Interval 0 is the interval of birth. Returns after the range's end count; births do not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionQuery {
    pub range: DateRange,
    pub born: EventMatch,
    pub returned: EventMatch,
    /// `day`, `week` or `month`.
    pub unit: Unit,
    /// How many intervals after birth, 1 to 60.
    pub intervals: u32,
    /// Lengths of the intervals after birth in units, instead of 1 each; as many as `intervals`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub brackets: Vec<u32>,
    pub mode: RetentionMode,
    pub alignment: Alignment,
    #[serde(default)]
    pub cohorts: CohortRule,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// By the value at birth: a table per segment beside that of everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breakdown: Option<Breakdown>,
}

/// Which events came before or after an anchor, as paths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowsQuery {
    pub range: DateRange,
    /// Every event within the range that matches is an anchor (`unique`: a person's first; `sessions`: a session's).
    pub anchor: EventMatch,
    /// Steps to look back, 0 to 5, and ahead, 0 to 10; together at least 1.
    #[serde(default)]
    pub before: u32,
    pub after: u32,
    /// Nodes listed per step, 1 to 50; the rest is summed up as other events.
    #[serde(default = "flow_nodes")]
    pub nodes: u32,
    /// How far from the anchor a step may be.
    #[serde(default = "flow_window")]
    pub window: Window,
    #[serde(default)]
    pub count: Count,
    /// Names of events that are looked through as if they had not happened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<String>,
    /// Repetitions of an event in a row are one step.
    #[serde(default)]
    pub collapse_repeats: bool,
    /// A path ends (before, after the anchor) where one of these happens, and does not show it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclusions: Vec<EventMatch>,
    /// Steps must have the anchor's value of these properties. At most 3.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hold_constant: Vec<String>,
    /// Show this event as one node per value of a property. At most 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expand: Vec<FlowExpansion>,
    /// How many of the most frequent whole paths to list, 0 to 50.
    #[serde(default = "flow_paths")]
    pub paths: u32,
    /// Apply to anchors and steps: other events are looked through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// By the value at the anchor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breakdown: Option<Breakdown>,
    #[serde(default, skip_serializing_if = "SessionRule::is_default")]
    pub sessions: SessionRule,
}

fn flow_nodes() -> u32 {
    3
}

fn flow_paths() -> u32 {
    50
}

fn flow_window() -> Window {
    Window { count: 30, unit: WindowUnit::Day }
}

/// An event of a flow that is told apart by a property.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowExpansion {
    pub event: String,
    pub property: String,
}

/// On how many different hours or days of a period persons did something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FrequencyQuery {
    pub range: DateRange,
    #[serde(default)]
    pub matching: EventMatch,
    /// The period: `day` (hours of a day), `week` or `month` (days of it).
    pub period: Unit,
    /// Count persons with at least k hours or days, instead of exactly k.
    #[serde(default)]
    pub cumulative: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
}

/// How many sessions there were, how long and how full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionsQuery {
    pub range: DateRange,
    /// Sessions count in the bucket of their first event.
    pub unit: Unit,
    #[serde(default)]
    pub sessions: SessionRule,
    /// Only sessions with a matching event.
    #[serde(default)]
    pub matching: EventMatch,
    /// By the value at the session's first event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breakdown: Option<Breakdown>,
}

/// Who did something, by pseudonym, last seen first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonsQuery {
    pub range: DateRange,
    #[serde(default)]
    pub matching: EventMatch,
    /// 1 to 500.
    pub limit: u32,
    #[serde(default)]
    pub offset: u32,
}

/// Single events, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    pub range: DateRange,
    #[serde(default)]
    pub matching: EventMatch,
    /// Only this person's events: a pseudonym, `per_…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// 1 to 500.
    pub limit: u32,
}
