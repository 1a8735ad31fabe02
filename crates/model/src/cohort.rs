//! Cohorts: sets of persons, by what they did or as a list. A dynamic cohort is computed when it is asked for,
//! as of that moment; nothing is stored but the rule.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::query::{DateRange, EventMatch, Filter, Unit};

/// How a cohort is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = CohortDefinition)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CohortRule {
    /// Whoever meets the condition now.
    Dynamic { condition: CohortCondition },
    /// Whoever was listed when it was uploaded.
    Static,
}

/// A condition on a person. At most 4 levels deep, at most 50 conditions in all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CohortCondition {
    All {
        #[schema(no_recursion)]
        of: Vec<CohortCondition>,
    },
    Any {
        #[schema(no_recursion)]
        of: Vec<CohortCondition>,
    },
    Not {
        #[schema(no_recursion)]
        of: Box<CohortCondition>,
    },
    /// Did something so many times within a window of time. Not doing it is `at_most` 0, and is met by those
    /// with at least one event of any kind or a profile.
    Did {
        matching: EventMatch,
        times: Times,
        /// Count different days (or hours, weeks, months) with the event instead of events.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        distinct: Option<Unit>,
        /// Ever, when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        window: Option<DateRange>,
    },
    /// A condition on the profile as it is now, or on another, static or dynamic, cohort.
    Is { filter: Filter },
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Times {
    AtLeast {
        count: u64,
    },
    AtMost {
        count: u64,
    },
    Exactly {
        count: u64,
    },
    /// Both included.
    Between {
        low: u64,
        high: u64,
    },
}

impl Times {
    pub fn holds(self, times: u64) -> bool {
        match self {
            Times::AtLeast { count } => times >= count,
            Times::AtMost { count } => times <= count,
            Times::Exactly { count } => times == count,
            Times::Between { low, high } => (low..=high).contains(&times),
        }
    }
}
