//! The operators: insights, funnel, retention, persons, events, over a snapshot of the lake.
//!
//! How an answer is made:
//! 1. [`calendar`] cuts the question's range into instants of the project's time zone.
//! 2. [`mask`] evaluates "which events are meant" by column, once per dictionary entry, into one bit per row.
//! 3. [`scan`] walks the persons: rows of one person across segments and merged subjects, in time order,
//!    duplicates resolved; buckets and ranges of subjects run in parallel.
//! 4. An operator ([`trend`], [`funnel`], [`retention`], [`lists`]) folds each person into a partial result;
//!    partials are merged by addition, since no person is in two of them.
//!
//! Invariants:
//! - Operators are pure: a snapshot, merges, a zone and "now" in, a table out. No I/O but reading columns.
//! - Every number is exact. `tests/oracle.rs` holds the same definitions written naively.
//! - Subjects are numbers here; who they are is nobody's business below the vault.

use std::sync::atomic::AtomicU64;

use cofferdam_lake::Snapshot;
use cofferdam_model::query::{EventMatch, Filter};
use cofferdam_model::{Merges, Query, ResultTable, SubjectNo, limits};
use jiff::tz::TimeZone;

pub mod calendar;
mod funnel;
mod lists;
mod mask;
mod retention;
mod scan;
mod segmentation;
mod trend;

pub use lists::{EventFound, PersonFound};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The question cannot be asked like this; the text says what to change.
    #[error("{0}")]
    Invalid(String),
    #[error("could not read the events")]
    Lake(#[from] cofferdam_lake::Error),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a question is asked of.
pub struct Input<'a> {
    pub snapshot: &'a Snapshot,
    pub merges: &'a Merges,
    pub zone: &'a TimeZone,
    /// Microseconds since 1970-01-01 UTC.
    pub now_us: i64,
    /// The person of an events question, resolved from its pseudonym.
    pub person: Option<SubjectNo>,
    /// Set by the operators: events they looked at.
    pub scanned: AtomicU64,
}

/// An answer before subjects are given their pseudonyms.
#[derive(Debug, PartialEq)]
pub enum Output {
    Table(ResultTable),
    Persons { total: u64, persons: Vec<PersonFound> },
    Events(Vec<EventFound>),
}

/// Answers a question. `Output::Table` holds every kind that names no subject.
pub fn run(input: &Input<'_>, query: &Query) -> Result<Output> {
    match query {
        Query::Insights(query) => trend::run(input, query).map(|table| Output::Table(ResultTable::Insights(table))),
        Query::Funnel(query) => funnel::run(input, query).map(|table| Output::Table(ResultTable::Funnel(table))),
        Query::Retention(query) => {
            retention::run(input, query).map(|table| Output::Table(ResultTable::Retention(table)))
        }
        Query::Persons(query) => lists::persons(input, query),
        Query::Events(query) => lists::events(input, query).map(Output::Events),
    }
}

/// Every event name with its number of events, most frequent first.
pub fn event_names(input: &Input<'_>) -> Result<Vec<(String, u64)>> {
    lists::event_names(input)
}

/// The most frequent values of a property whose text contains `search`, regardless of case.
pub fn property_values(input: &Input<'_>, property: &str, search: &str, limit: usize) -> Result<Vec<(String, u64)>> {
    lists::property_values(input, property, search, limit)
}

/// Events and persons in total, after duplicates and merges.
pub fn totals(input: &Input<'_>) -> Result<(u64, u64)> {
    lists::totals(input)
}

fn invalid<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::Invalid(message.into()))
}

fn check_filters(filters: &[Filter]) -> Result<()> {
    if filters.len() > limits::FILTERS_MAX {
        return invalid(format!("at most {} filters", limits::FILTERS_MAX));
    }
    for filter in filters {
        if filter.property.is_empty() || filter.property.len() > limits::NAME_BYTES_MAX {
            return invalid(format!("a filter's property must have 1 to {} bytes", limits::NAME_BYTES_MAX));
        }
        use cofferdam_model::query::Condition::{DoesNotEqual, Equals};
        if let Equals { values } | DoesNotEqual { values } = &filter.condition
            && values.len() > limits::FILTER_VALUES_MAX
        {
            return invalid(format!("at most {} values in one filter", limits::FILTER_VALUES_MAX));
        }
    }
    Ok(())
}

fn check_match(matching: &EventMatch) -> Result<()> {
    check_filters(&matching.filters)
}
