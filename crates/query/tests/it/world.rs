//! A small project as plain values: what happened to whom, who is one person, what is known about them, and the
//! calendar of the project's zone. Everything the naive definitions look at.

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_model::cohort::CohortCondition;
use cofferdam_model::query::{DateRange, Unit};
use cofferdam_model::{Merges, SealedEvent, SubjectNo, Value};
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const HOUR: i64 = 3_600 * SECOND;
pub(crate) const DAY: i64 = 24 * HOUR;

#[derive(Debug, Clone)]
pub(crate) struct World {
    /// In order of arrival.
    pub events: Vec<SealedEvent>,
    /// `(alias, canonical)`, in the order in which they were linked.
    pub links: Vec<(SubjectNo, SubjectNo)>,
    pub zone: TimeZone,
    pub now_us: i64,
    /// Of persons, by their canonical number.
    pub profiles: BTreeMap<SubjectNo, BTreeMap<String, Value>>,
    pub cohorts: BTreeMap<String, Cohort>,
}

#[derive(Debug, Clone)]
pub(crate) enum Cohort {
    Dynamic(CohortCondition),
    Static(BTreeSet<SubjectNo>),
}

/// A person with their events by time, those of one instant by arrival.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub no: SubjectNo,
    pub events: Vec<SealedEvent>,
}

impl World {
    pub(crate) fn merges(&self) -> Merges {
        let mut merges = Merges::default();
        for (alias, canonical) in &self.links {
            merges.link(*alias, *canonical);
        }
        merges
    }

    /// Everybody with an event, and nobody if there is an event without a person; duplicates resolved.
    pub(crate) fn everybody(&self) -> Vec<Person> {
        let merges = self.merges();
        let mut persons: BTreeMap<SubjectNo, Vec<(i64, usize)>> = BTreeMap::new();
        for (at, event) in self.events.iter().enumerate() {
            let same = |newer: &SealedEvent| {
                (newer.subject, newer.time_us, &newer.name, newer.insert_id)
                    == (event.subject, event.time_us, &event.name, event.insert_id)
            };
            if event.insert_id == 0 || !self.events[at + 1..].iter().any(same) {
                persons.entry(merges.canonical(event.subject)).or_default().push((event.time_us, at));
            }
        }
        persons
            .into_iter()
            .map(|(no, mut order)| {
                order.sort_unstable();
                Person { no, events: order.into_iter().map(|(_, at)| self.events[at].clone()).collect() }
            })
            .collect()
    }

    pub(crate) fn zoned(&self, time_us: i64) -> Zoned {
        Timestamp::from_microsecond(time_us).unwrap().to_zoned(self.zone.clone())
    }

    pub(crate) fn date(&self, time_us: i64) -> Date {
        self.zoned(time_us).date()
    }

    /// The first instant of a day.
    pub(crate) fn midnight(&self, date: Date) -> i64 {
        date.to_zoned(self.zone.clone()).unwrap().timestamp().as_microsecond()
    }

    /// The start of the unit that holds an instant.
    pub(crate) fn floor(&self, time_us: i64, unit: Unit) -> i64 {
        let zoned = self.zoned(time_us);
        let within_minute = time_us.rem_euclid(60 * SECOND);
        match unit {
            Unit::Minute => time_us - within_minute,
            Unit::Hour => time_us - within_minute - i64::from(zoned.minute()) * 60 * SECOND,
            Unit::Day | Unit::Week | Unit::Month => self.midnight(first_day(zoned.date(), unit)),
        }
    }

    /// The start of a unit some units after (before, when negative) the one that starts at an instant.
    pub(crate) fn shifted(&self, start_us: i64, unit: Unit, by: i64) -> i64 {
        let date = self.date(start_us);
        match unit {
            Unit::Minute => start_us + by * 60 * SECOND,
            Unit::Hour => start_us + by * HOUR,
            Unit::Day => self.midnight(date + by.days()),
            Unit::Week => self.midnight(date + by.weeks()),
            Unit::Month => self.midnight(date + by.months()),
        }
    }

    /// Start, and end (exclusive), of a range as of an instant.
    pub(crate) fn bounds(&self, range: DateRange, now_us: i64) -> (i64, i64) {
        match range {
            DateRange::Between { from, to } => (self.midnight(from), self.midnight(to.tomorrow().unwrap())),
            DateRange::Last { count, unit } => {
                let current = self.floor(now_us, unit);
                (self.shifted(current, unit, 1 - i64::from(count)), self.shifted(current, unit, 1))
            }
        }
    }

    /// The buckets of a range as `(start, end)`.
    pub(crate) fn buckets(&self, (from, to): (i64, i64), unit: Unit) -> Vec<(i64, i64)> {
        let mut buckets = Vec::new();
        let mut start = from;
        while start < to {
            let end = self.shifted(self.floor(start, unit), unit, 1).min(to);
            buckets.push((start, end));
            start = end;
        }
        buckets
    }

    /// As answers write an instant: RFC 3339 with the project's offset.
    pub(crate) fn local(&self, time_us: i64) -> String {
        let zoned = self.zoned(time_us);
        zoned.timestamp().display_with_offset(zoned.offset()).to_string()
    }
}

pub(crate) fn first_day(date: Date, unit: Unit) -> Date {
    match unit {
        Unit::Week => {
            let mut date = date;
            while date.weekday() != Weekday::Monday {
                date = date.yesterday().unwrap();
            }
            date
        }
        Unit::Month => date.first_of_month(),
        Unit::Minute | Unit::Hour | Unit::Day => date,
    }
}
