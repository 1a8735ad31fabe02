//! Retention: of those born in an interval, how many returned k intervals later.

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_model::query::{Alignment, CohortRule, RetentionMode, RetentionQuery, Unit};
use cofferdam_model::result::{RetentionCohort, RetentionSegment, RetentionTable, Segment};

use super::{Naive, Segments, folded, largest};
use crate::world::{DAY, Person};

/// A birth: whose, in which interval of the range, which of their events.
struct Birth<'a> {
    person: &'a Person,
    interval: usize,
    at: usize,
}

impl Naive<'_> {
    pub(crate) fn retention(&self, query: &RetentionQuery) -> RetentionTable {
        let world = self.world;
        let bounds = world.bounds(query.range, world.now_us);
        let intervals = world.buckets(bounds, query.unit);
        let births = self.births(query, &intervals);
        let everybody: Vec<&Birth> = births.iter().collect();
        let cohorts = self.cohorts(query, &intervals, &everybody);
        let mut segments = Vec::new();
        let mut omitted = 0;
        if let Some(breakdown) = &query.breakdown {
            let names = |birth: &Birth| self.segments(birth.person.no, &birth.person.events[birth.at], &breakdown.by);
            let mut counts: BTreeMap<Segments, u64> = BTreeMap::new();
            births.iter().flat_map(names).for_each(|name| *counts.entry(name).or_default() += 1);
            let kept = largest(&counts, breakdown.limit);
            omitted = counts.len() - kept.len();
            let rest = (omitted > 0).then(|| vec![Segment::Other]);
            for segment in kept.iter().cloned().chain(rest) {
                let within: Vec<&Birth> =
                    births.iter().filter(|birth| folded(names(birth), &kept).contains(&segment)).collect();
                let cohorts = self.cohorts(query, &intervals, &within);
                segments.push(RetentionSegment { segment, average: averages(query, &cohorts), cohorts });
            }
        }
        RetentionTable { average: averages(query, &cohorts), cohorts, segments, segments_omitted: omitted as u32 }
    }

    fn births(&self, query: &RetentionQuery, intervals: &[(i64, i64)]) -> Vec<Birth<'_>> {
        let mut births = Vec::new();
        for person in self.somebody() {
            let mut found = 0;
            for (interval, (start, end)) in intervals.iter().enumerate() {
                let at = person.events.iter().position(|event| {
                    (*start..*end).contains(&event.time_us)
                        && self.matches(person.no, event, &query.born)
                        && self.passes_all(person.no, event, &query.filters)
                });
                if let Some(at) = at
                    && (found == 0 || query.cohorts == CohortRule::EachInterval)
                {
                    found += 1;
                    births.push(Birth { person, interval, at });
                }
            }
        }
        births
    }

    fn cohorts(&self, query: &RetentionQuery, intervals: &[(i64, i64)], births: &[&Birth]) -> Vec<RetentionCohort> {
        let mut cohorts = Vec::new();
        for (interval, (start, end)) in intervals.iter().enumerate() {
            let members: Vec<&&Birth> = births.iter().filter(|birth| birth.interval == interval).collect();
            if members.is_empty() {
                continue;
            }
            let width = query.intervals as usize + 1;
            let mut retained = vec![0; width];
            for member in &members {
                for k in self.retained_in(query, member) {
                    retained[k] += 1;
                }
            }
            // The range may begin within the unit of its first interval.
            let begins = |k: &usize| self.interval(query, *start, *k).0.max(*start);
            let begun = (0..width).filter(|k| begins(k) <= self.world.now_us).count();
            let complete = (0..width)
                .filter(|k| {
                    let over = match query.alignment {
                        Alignment::Calendar => self.interval(query, *start, *k).1,
                        // For whoever was born last.
                        Alignment::Rolling => self.interval(query, *end, *k).1,
                    };
                    over <= self.world.now_us
                })
                .count();
            retained.truncate(begun);
            cohorts.push(RetentionCohort {
                start: self.world.local(*start),
                size: members.len() as u64,
                retained,
                complete: complete as u32,
            });
        }
        cohorts
    }

    /// Interval k of somebody born at an instant. Rolling: from the instant; calendar: from the start of its unit.
    fn interval(&self, query: &RetentionQuery, born_us: i64, k: usize) -> (i64, i64) {
        let length = |at: usize| if at == 0 { 1 } else { i64::from(*query.brackets.get(at - 1).unwrap_or(&1)) };
        let first: i64 = (0..k).map(length).sum();
        let last = first + length(k);
        match query.alignment {
            Alignment::Calendar => {
                let unit_start = self.world.floor(born_us, query.unit);
                (self.world.shifted(unit_start, query.unit, first), self.world.shifted(unit_start, query.unit, last))
            }
            Alignment::Rolling => {
                let days = match query.unit {
                    Unit::Week => 7,
                    Unit::Month => 30,
                    _ => 1,
                };
                (born_us + first * days * DAY, born_us + last * days * DAY)
            }
        }
    }

    fn retained_in(&self, query: &RetentionQuery, birth: &Birth) -> BTreeSet<usize> {
        let events = &birth.person.events;
        let born_us = events[birth.at].time_us;
        let returns: Vec<i64> = events[birth.at + 1..]
            .iter()
            .filter(|event| {
                self.matches(birth.person.no, event, &query.returned)
                    && self.passes_all(birth.person.no, event, &query.filters)
            })
            .map(|event| event.time_us)
            .collect();
        let bounds = |k: usize| self.interval(query, born_us, k);
        let on = |k: usize| returns.iter().any(|time| (bounds(k).0..bounds(k).1).contains(time));
        (0..=query.intervals as usize)
            .filter(|k| match query.mode {
                RetentionMode::On => on(*k),
                RetentionMode::OnOrAfter => returns.iter().any(|time| *time >= bounds(*k).0),
                RetentionMode::OnOrBefore => returns.iter().any(|time| *time < bounds(*k).1),
                RetentionMode::Streak => on(*k) && (1..=*k).all(on),
            })
            .collect()
    }
}

/// Σ(retained·size) / Σ(size·size) over cohorts for which interval k is over.
fn averages(query: &RetentionQuery, cohorts: &[RetentionCohort]) -> Vec<Option<f64>> {
    (0..=query.intervals as usize)
        .map(|k| {
            let complete: Vec<_> = cohorts.iter().filter(|cohort| k < cohort.complete as usize).collect();
            let retained: u64 = complete.iter().map(|cohort| cohort.retained[k] * cohort.size).sum();
            let sizes: u64 = complete.iter().map(|cohort| cohort.size * cohort.size).sum();
            (sizes > 0).then(|| retained as f64 / sizes as f64)
        })
        .collect()
}
