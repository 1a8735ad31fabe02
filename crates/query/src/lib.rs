//! The operators: insights, funnel, retention, persons, events, over a snapshot of the lake.
//!
//! How an answer is made:
//! 1. [`calendar`] cuts the question's range into instants of the project's time zone.
//! 2. [`tags`] prepares "which events are meant" per file: a bit per matcher, found by dictionary code.
//! 3. [`scan`] walks rows, or persons with their rows in time order, in units that fit the processor's cache, on
//!    all cores. [`values`] and [`split`] turn values into small ids; [`people`] is what was found out about persons
//!    where that is allowed.
//! 4. An operator ([`trend`], [`funnel`], [`retention`], [`flows`], [`frequency`], [`sessions`], [`cohort`],
//!    [`lists`]) folds rows or persons into a partial result; partials are merged by addition, since no person is in
//!    two of them.
//!
//! Invariants:
//! - Operators are pure: a snapshot, merges, a zone and "now" in, a table out. No I/O but reading columns.
//! - Every number is exact, whatever the number of threads, segments and buckets. `tests/` holds the same
//!   definitions written naively.
//! - A question stops within a unit of work when it is cancelled, or when its answer outgrows
//!   `limits::QUERY_BYTES_MAX`.
//! - Subjects are numbers here; who they are is nobody's business below the vault.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cofferdam_lake::Snapshot;
use cofferdam_model::query::{DateRange, EventMatch, Filter, InsightsQuery};
use cofferdam_model::result::InsightsTable;
use cofferdam_model::{Merges, Query, ResultTable, SubjectNo, SubjectSet, limits};
use jiff::tz::TimeZone;

pub mod calendar;

mod cohort;
mod durations;
mod flows;
mod formula;
mod frequency;
mod funnel;
mod lists;
mod measure;
mod people;
mod retention;
mod scan;
mod sessions;
mod split;
mod tags;
#[cfg(test)]
mod testing;
mod trend;
mod values;

pub use cohort::{check as check_cohort, members};
pub use lists::{EventFound, Export, PersonFound};
pub use people::{Needs, People, passes};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The question cannot be asked like this; the text says what to change.
    #[error("{0}")]
    Invalid(String),
    #[error("could not read the events")]
    Lake(#[from] cofferdam_lake::Error),
    #[error("the question was cancelled")]
    Cancelled,
    #[error(
        "the answer takes more than {} MB of memory: ask for a shorter range, a longer unit or fewer segments",
        limits::QUERY_BYTES_MAX / 1_000_000
    )]
    TooLarge,
    /// Whoever asked did not make what [`Needs`] lists.
    #[error("a condition on persons was not prepared")]
    Unprepared,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a question is asked of.
pub struct Input<'a> {
    pub snapshot: &'a Snapshot,
    pub merges: &'a Merges,
    pub zone: &'a TimeZone,
    /// Microseconds since 1970-01-01 UTC.
    pub now_us: i64,
    /// What the question [`Needs`].
    pub people: &'a People,
    /// The person of an events question, resolved from its pseudonym.
    pub person: Option<SubjectNo>,
    /// Set by whoever asked to end the question early.
    pub cancel: Option<&'a AtomicBool>,
    /// Threads to use, at least 1.
    pub threads: usize,
    /// Set by the operators: events they looked at.
    pub scanned: AtomicU64,
    /// The first thing that went wrong where no result could say so.
    failed: Mutex<Option<Error>>,
}

impl<'a> Input<'a> {
    /// On all cores, about events alone.
    pub fn new(
        snapshot: &'a Snapshot,
        merges: &'a Merges,
        zone: &'a TimeZone,
        now_us: i64,
        people: &'a People,
    ) -> Input<'a> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Input {
            snapshot,
            merges,
            zone,
            now_us,
            people,
            person: None,
            cancel: None,
            threads,
            scanned: AtomicU64::new(0),
            failed: Mutex::new(None),
        }
    }

    fn cancelled(&self) -> bool {
        self.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed))
    }

    fn fail(&self, error: Error) {
        self.failed.lock().expect("never left half changed").get_or_insert(error);
    }

    fn failure(&self) -> Result<()> {
        self.failed.lock().expect("never left half changed").take().map_or(Ok(()), Err)
    }
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
        Query::Retention(query) => {
            retention::run(input, query).map(|table| Output::Table(ResultTable::Retention(table)))
        }
        Query::Funnel(query) => funnel::run(input, query).map(|table| Output::Table(ResultTable::Funnel(table))),
        Query::Flows(query) => flows::run(input, query).map(|table| Output::Table(ResultTable::Flows(table))),
        Query::Frequency(query) => {
            frequency::run(input, query).map(|table| Output::Table(ResultTable::Frequency(table)))
        }
        Query::Sessions(query) => sessions::run(input, query).map(|table| Output::Table(ResultTable::Sessions(table))),
        Query::Persons(query) => lists::persons(input, query),
        Query::Events(query) => lists::events(input, query).map(Output::Events),
    }
}

/// Insights for whoever may have no number of fewer persons than `few`: such numbers, and those from which they could be
/// computed, are left out, and segments of fewer persons are in `other`. `is_confined` says of a filter whether what it
/// tells apart is what they may not have.
///
/// # Errors
/// Those of [`run`]; and where it cannot be known which numbers those are: see [`can_leave_few_out`].
pub fn insights_without_few(
    input: &Input<'_>,
    query: &InsightsQuery,
    few: u64,
    is_confined: &dyn Fn(&Filter) -> bool,
) -> Result<InsightsTable> {
    trend::run_without_few(input, query, few, is_confined)
}

/// Whether [`insights_without_few`] answers this question.
pub fn can_leave_few_out(query: &InsightsQuery, is_confined: &dyn Fn(&Filter) -> bool) -> bool {
    trend::can_leave_few_out(query, is_confined)
}

/// Every event name with its number of events, most frequent first.
pub fn event_names(input: &Input<'_>) -> Result<Vec<(String, u64)>> {
    lists::event_names(input)
}

/// The most frequent values of a property whose text contains `search`, regardless of case: those that at least `few`
/// persons had.
pub fn property_values(
    input: &Input<'_>,
    property: &str,
    search: &str,
    limit: usize,
    few: u64,
) -> Result<Vec<(String, u64)>> {
    lists::property_values(input, property, search, limit, few)
}

/// Hands over every event of [`Input::person`], some at a time: by the files they are stored in, in order of time within
/// each.
pub fn history(input: &Input<'_>, each: impl FnMut(Vec<EventFound>) -> Result<()>) -> Result<()> {
    lists::history(input, each)
}

/// Hands over every event of a range that is meant, of at most as many subjects at a time as there is room for.
///
/// # Errors
/// When the question is wrong, the events cannot be read, or whoever takes them ends it.
pub fn export(input: &Input<'_>, range: DateRange, matching: &EventMatch, out: &mut dyn Export) -> Result<()> {
    lists::export(input, range, matching, out)
}

/// How many events the snapshot has of subjects, each as it stands, and rows that later ones superseded aside.
pub fn rows_of(input: &Input<'_>, subjects: &SubjectSet) -> Result<u64> {
    lists::rows_of(input, subjects)
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
