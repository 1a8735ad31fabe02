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

/// A condition on one property of an event. All conditions of a list must hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    pub property: String,
    pub condition: Condition,
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

/// Split the answer by the values of one property.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Breakdown {
    pub property: String,
    /// How many segments to list, largest first, 1 to 200; the rest is summed up as `other`.
    #[serde(default = "breakdown_limit")]
    pub limit: u32,
}

fn breakdown_limit() -> u32 {
    10
}

/// How a matching event counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Every event.
    Total,
    /// Every person once per bucket.
    Unique,
}

/// One line of an Insights report.
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
    /// 1 to 10.
    pub metrics: Vec<Metric>,
    /// Apply to every metric.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breakdown: Option<Breakdown>,
}

/// How long a person has, counted from their first step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    pub count: u32,
    pub unit: WindowUnit,
}

/// Units of a conversion window; each is a fixed length (a day is 24 hours, a month 30 days).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WindowUnit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
}

impl Window {
    /// The window's length in microseconds.
    pub fn us(self) -> i64 {
        let second = 1_000_000_i64;
        let unit = match self.unit {
            WindowUnit::Second => second,
            WindowUnit::Minute => 60 * second,
            WindowUnit::Hour => 3_600 * second,
            WindowUnit::Day => 86_400 * second,
            WindowUnit::Week => 7 * 86_400 * second,
            WindowUnit::Month => 30 * 86_400 * second,
        };
        i64::from(self.count).saturating_mul(unit)
    }
}

/// How many persons went through steps in order, and where they stopped.
/// A person enters at their first matching step 1 within the range; other events between steps are allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FunnelQuery {
    pub range: DateRange,
    /// 2 to 20.
    pub steps: Vec<EventMatch>,
    /// At most 366 days.
    pub window: Window,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// By the property's value at step 1: each segment counts a person's first entry with that value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breakdown: Option<Breakdown>,
}

/// When somebody counts as retained in interval k.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetentionMode {
    /// They returned in that interval (n-day).
    On,
    /// They returned in that interval or a later one (unbounded).
    OnOrAfter,
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
    pub mode: RetentionMode,
    pub alignment: Alignment,
    #[serde(default)]
    pub cohorts: CohortRule,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
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
