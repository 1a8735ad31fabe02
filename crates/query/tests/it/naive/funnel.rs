//! Funnels: attempts of a person to get through steps.

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_model::SubjectNo;
use cofferdam_model::query::{Attribution, Breakdown, Count, FunnelQuery, Holder, Reentry, WindowUnit};
use cofferdam_model::result::{
    BetweenCount, FunnelBucket, FunnelResult, FunnelSegment, FunnelStep, FunnelTable, Segment, TimeToConvert,
};

use super::sessions::Session;
use super::{Naive, Segments, folded, largest, passes, property, texts};
use crate::world::{DAY, SECOND};

/// Steps within this time of each other may come in any order.
const GRACE_US: i64 = 2 * SECOND;

/// One way of a person through the steps.
#[derive(Clone, Debug)]
struct Attempt {
    person: usize,
    /// The session of its entry.
    session: Option<usize>,
    /// The events that took steps, in the order in which steps were taken.
    rows: Vec<usize>,
    /// The first event after it.
    end: usize,
}

impl Naive<'_> {
    pub(crate) fn funnel(&self, query: &FunnelQuery) -> FunnelTable {
        let world = self.world;
        let bounds = world.bounds(query.range, world.now_us);
        let attempts = self.all_attempts(query, bounds);
        let overall = self.counted(query, &attempts, |_| true);
        let mut segments = Vec::new();
        let mut segments_omitted = 0;
        if let Some(breakdown) = &query.breakdown {
            let names = |attempt: &Attempt| self.attributed(query, attempt, breakdown);
            let all: BTreeSet<Segments> = attempts.iter().flat_map(names).collect();
            let size = |name: &Segments| self.counted(query, &attempts, |attempt| names(attempt).contains(name)).len();
            let mut sizes: BTreeMap<Segments, u64> =
                all.into_iter().map(|name| (name.clone(), size(&name) as u64)).collect();
            sizes.retain(|_, entries| *entries > 0);
            let kept = largest(&sizes, breakdown.limit);
            segments_omitted = (sizes.len() - kept.len()) as u32;
            let rest = (segments_omitted > 0).then(|| vec![Segment::Other]);
            let shown: Vec<(Segments, Vec<Attempt>)> = kept
                .iter()
                .cloned()
                .chain(rest)
                .map(|segment| {
                    let inside = |attempt: &Attempt| folded(names(attempt), &kept).contains(&segment);
                    (segment.clone(), self.counted(query, &attempts, inside))
                })
                // The first attempt of the rest may be one that the filters refuse: then it counts nothing.
                .filter(|(_, inside)| !inside.is_empty())
                .collect();
            let converted = |attempts: &[Attempt]| {
                attempts.iter().filter(|attempt| attempt.rows.len() == query.steps.len()).count()
            };
            let all_entries: usize = shown.iter().map(|(_, inside)| inside.len()).sum();
            let all_converted: usize = shown.iter().map(|(_, inside)| converted(inside)).sum();
            for (segment, inside) in shown {
                let (entries, conversions) = (inside.len(), converted(&inside));
                let compared = entries >= 30 && all_entries - entries >= 30;
                segments.push(FunnelSegment {
                    segment,
                    significance: compared.then(|| significance(all_entries, all_converted, entries, conversions)),
                    result: self.result(query, &inside),
                });
            }
        }
        let mut trend = Vec::new();
        if let Some(unit) = query.trend {
            for (start, end) in world.buckets(bounds, unit) {
                let attempts = self.all_attempts(query, (start, end));
                let counted = self.counted(query, &attempts, |_| true);
                trend.push(FunnelBucket { start: world.local(start), result: self.result(query, &counted) });
            }
        }
        let mut between: BTreeMap<u64, u64> = BTreeMap::new();
        if let Some(asked) = &query.between {
            for attempt in &overall {
                let step = |number: u32| attempt.rows.get(number as usize - 1).copied();
                if let (Some(after), Some(before)) = (step(asked.after_step), step(asked.before_step)) {
                    let person = &self.persons[attempt.person];
                    let times = (after + 1..before)
                        .filter(|row| !attempt.rows.contains(row))
                        .filter(|row| self.matches(person.no, &person.events[*row], &asked.matching))
                        .count();
                    *between.entry(times as u64).or_default() += 1;
                }
            }
        }
        FunnelTable {
            overall: self.result(query, &overall),
            segments,
            segments_omitted,
            trend,
            between: between.into_iter().map(|(times, count)| BetweenCount { times, count }).collect(),
        }
    }

    fn all_attempts(&self, query: &FunnelQuery, range: (i64, i64)) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        for (at, person) in self.persons.iter().enumerate() {
            let mut about_person = query.filters.iter().filter(|filter| filter.on != Holder::Event);
            if person.no != SubjectNo::NOBODY && about_person.all(|filter| self.person_passes(person.no, filter)) {
                attempts.extend(self.attempts(query, at, range));
            }
        }
        attempts
    }

    /// Of the attempts asked for, what counts: all, or one of each person or session; then the filters decide.
    fn counted(&self, query: &FunnelQuery, attempts: &[Attempt], asked: impl Fn(&Attempt) -> bool) -> Vec<Attempt> {
        let mut counted: Vec<Attempt> = Vec::new();
        for attempt in attempts.iter().filter(|attempt| asked(attempt)) {
            let same = |other: &&mut Attempt| {
                other.person == attempt.person
                    && match query.count {
                        Count::Unique => true,
                        Count::Total => false,
                        Count::Sessions => other.session == attempt.session,
                    }
            };
            match counted.iter_mut().find(same) {
                Some(other) => {
                    if query.reentry == Reentry::Optimized && attempt.rows.len() > other.rows.len() {
                        *other = attempt.clone();
                    }
                }
                None => counted.push(attempt.clone()),
            }
        }
        counted.retain(|attempt| self.passes_attributed(query, attempt));
        counted
    }

    /// A person's attempts by entry; each combination of values held constant is a funnel of its own.
    fn attempts(&self, query: &FunnelQuery, at: usize, range: (i64, i64)) -> Vec<Attempt> {
        let person = &self.persons[at];
        let asks_sessions = query.count == Count::Sessions || query.window.unit == WindowUnit::Session;
        let sessions = if asks_sessions { self.sessions(person, &query.sessions) } else { Vec::new() };
        let session_of: Vec<Option<usize>> =
            (0..person.events.len()).map(|row| sessions.iter().position(|session| session.contains(&row))).collect();
        let steps_of: Vec<Vec<usize>> = person
            .events
            .iter()
            .map(|event| {
                let matches = |step: &usize| self.matches(person.no, event, &query.steps[*step].matching());
                (0..query.steps.len()).filter(matches).collect()
            })
            .collect();
        let key = |row: usize| -> Option<Vec<BTreeSet<String>>> {
            let items = |name: &String| {
                let items: BTreeSet<String> = texts(property(&person.events[row], name)?).into_iter().collect();
                (!items.is_empty()).then_some(items)
            };
            query.hold_constant.iter().map(items).collect()
        };
        let keys: BTreeSet<Vec<BTreeSet<String>>> = (0..person.events.len()).filter_map(key).collect();
        let mut attempts = Vec::new();
        for value in keys {
            let course = Course {
                naive: self,
                query,
                person: at,
                range,
                asks_sessions,
                sessions: &sessions,
                session_of: &session_of,
                steps_of: (0..person.events.len())
                    .map(|row| if key(row).as_ref() == Some(&value) { steps_of[row].clone() } else { Vec::new() })
                    .collect(),
            };
            attempts.extend(course.attempts());
        }
        attempts.sort_by_key(|attempt| attempt.rows[0]);
        attempts
    }

    /// The event whose value of a property stands for the whole attempt.
    fn attributed_event(&self, query: &FunnelQuery, attempt: &Attempt, name: &str) -> Option<usize> {
        let person = &self.persons[attempt.person];
        let has = |row: &usize| property(&person.events[*row], name).is_some();
        match query.attribution {
            Attribution::First => attempt.rows.iter().copied().find(has),
            Attribution::Last => attempt.rows.iter().copied().rfind(has),
            Attribution::Step { step } => attempt.rows.get(step as usize - 1).copied(),
        }
    }

    fn passes_attributed(&self, query: &FunnelQuery, attempt: &Attempt) -> bool {
        let person = &self.persons[attempt.person];
        query.filters.iter().filter(|filter| filter.on == Holder::Event).all(|filter| {
            let event = self.attributed_event(query, attempt, &filter.property);
            passes(event.and_then(|event| property(&person.events[event], &filter.property)), &filter.condition)
        })
    }

    fn attributed(&self, query: &FunnelQuery, attempt: &Attempt, breakdown: &Breakdown) -> BTreeSet<Segments> {
        let person = &self.persons[attempt.person];
        let mut combinations: BTreeSet<Segments> = [Vec::new()].into();
        for by in &breakdown.by {
            let event = match by.on {
                Holder::Event => self.attributed_event(query, attempt, &by.property),
                Holder::Profile | Holder::Cohort => Some(attempt.rows[0]),
            };
            let values = match event {
                Some(event) => self.values(person.no, &person.events[event], by),
                None => [Segment::NotSet].into(),
            };
            combinations = combinations
                .iter()
                .flat_map(|left| values.iter().map(|value| [left.as_slice(), std::slice::from_ref(value)].concat()))
                .collect();
        }
        combinations
    }

    fn result(&self, query: &FunnelQuery, attempts: &[Attempt]) -> FunnelResult {
        let time = |attempt: &Attempt, step: usize| self.persons[attempt.person].events[attempt.rows[step]].time_us;
        let steps = (0..query.steps.len())
            .map(|step| {
                let reached: Vec<&Attempt> = attempts.iter().filter(|attempt| attempt.rows.len() > step).collect();
                let waited = reached
                    .iter()
                    .filter(|_| step > 0)
                    .map(|attempt| (time(attempt, step) - time(attempt, step - 1)).max(0))
                    .collect();
                let (average_ms_from_previous, median_ms_from_previous) = average_and_median_ms(waited).unzip();
                FunnelStep { count: reached.len() as u64, median_ms_from_previous, average_ms_from_previous }
            })
            .collect();
        let last = query.steps.len() - 1;
        let durations: Vec<i64> = attempts
            .iter()
            .filter(|attempt| attempt.rows.len() > last)
            .map(|attempt| (time(attempt, last) - time(attempt, 0)).max(0))
            .collect();
        // How it is cut into buckets is not defined; all of them are in some bucket.
        let counts = vec![durations.len() as u64];
        FunnelResult {
            steps,
            time_to_convert: average_and_median_ms(durations).map(|(average_ms, median_ms)| TimeToConvert {
                median_ms,
                average_ms,
                counts,
                ..TimeToConvert::default()
            }),
        }
    }
}

/// A person's events as far as one funnel is concerned.
struct Course<'a> {
    naive: &'a Naive<'a>,
    query: &'a FunnelQuery,
    person: usize,
    range: (i64, i64),
    asks_sessions: bool,
    sessions: &'a [Session],
    session_of: &'a [Option<usize>],
    /// By event: the steps it can take.
    steps_of: Vec<Vec<usize>>,
}

impl Course<'_> {
    fn time(&self, row: usize) -> i64 {
        self.naive.persons[self.person].events[row].time_us
    }

    fn is_entry(&self, row: usize) -> bool {
        let first_block = self.block(0);
        (self.range.0..self.range.1).contains(&self.time(row))
            && self.steps_of[row].iter().any(|step| first_block.contains(step))
            && (!self.asks_sessions || self.session_of[row].is_some())
    }

    /// The steps that may be taken in any order together with one.
    fn block(&self, step: usize) -> std::ops::Range<usize> {
        let steps = &self.query.steps;
        if !steps[step].any_order {
            return step..step + 1;
        }
        let first = (0..=step).rev().take_while(|other| steps[*other].any_order).last().unwrap();
        let last = (step..steps.len()).take_while(|other| steps[*other].any_order).last().unwrap();
        first..last + 1
    }

    fn attempts(&self) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        // Where the next entry is looked for, and what is no longer to be had.
        let (mut next, mut floor) = (0, 0);
        while let Some(entry) = (next..self.steps_of.len()).find(|row| self.is_entry(*row)) {
            let mut attempt = self.follow(floor, entry);
            let mut further = None;
            if self.query.reentry == Reentry::Optimized {
                if let Some(second) = attempt.rows.get(1).copied() {
                    let later = (entry + 1..second).rev().filter(|row| self.is_entry(*row));
                    let mut later = later.map(|row| self.follow(floor, row));
                    let as_far = |later: &Attempt| later.rows.len() >= attempt.rows.len();
                    if let Some(later) = later.find(|later| later.rows.get(1) == Some(&second) && as_far(later)) {
                        attempt = later;
                    }
                }
                if attempt.rows.len() < self.query.steps.len() {
                    further = (attempt.rows[0] + 1..attempt.end)
                        .filter(|row| self.is_entry(*row))
                        .find(|row| self.follow(floor, *row).rows.len() > attempt.rows.len());
                }
            }
            match further {
                Some(row) => next = row,
                None => (next, floor) = (attempt.end, attempt.end),
            }
            attempts.push(attempt);
        }
        attempts
    }

    /// From an entry as far as it goes; events before `floor` belong to an earlier attempt.
    fn follow(&self, floor: usize, entry: usize) -> Attempt {
        let query = self.query;
        let events = self.steps_of.len();
        let within = |row: usize| match query.window.us() {
            Some(window) => self.time(row) <= self.time(entry) + window,
            None => {
                let near = self.time(row) <= self.time(entry) + 366 * DAY;
                let first = self.session_of[entry].unwrap();
                near && self.session_of[row]
                    .is_some_and(|at| (first..first + query.window.count as usize).contains(&at))
            }
        };
        let window_end = match query.window.us() {
            Some(_) => (entry..events).take_while(|row| within(*row)).last().unwrap() + 1,
            None => {
                let last = (self.session_of[entry].unwrap() + query.window.count as usize).min(self.sessions.len()) - 1;
                let last = *self.sessions[last].last().unwrap();
                (entry..=last).take_while(|row| self.time(*row) <= self.time(entry) + 366 * DAY).last().unwrap() + 1
            }
        };
        let mut rows = vec![entry];
        let mut open: Vec<usize> = self.block(0).collect();
        let take = |open: &mut Vec<usize>, row: usize| {
            let at = open.iter().position(|step| self.steps_of[row].contains(step)).unwrap();
            open.remove(at);
        };
        take(&mut open, entry);
        let mut low = entry + 1;
        let mut blocks_end = self.block(0).end;
        while rows.len() < query.steps.len() {
            if open.is_empty() {
                let block = self.block(blocks_end);
                blocks_end = block.end;
                open = block.collect();
                let last = self.time(*rows.last().unwrap());
                low = (0..events).find(|row| self.time(*row) >= last - GRACE_US).unwrap().max(floor);
            }
            let next = (low..window_end).find(|row| {
                !rows.contains(row) && within(*row) && open.iter().any(|step| self.steps_of[*row].contains(step))
            });
            let person = &self.naive.persons[self.person];
            let excluded = (0..window_end).find(|row| {
                query.exclusions.iter().any(|exclusion| {
                    let (after, before) = (exclusion.after_step as usize, exclusion.before_step as usize);
                    let active = after <= rows.len() && rows.len() < before;
                    active
                        && self.time(*row) > self.time(rows[after - 1]) + GRACE_US
                        && next.is_none_or(|next| self.time(*row) < self.time(next) - GRACE_US)
                        && self.naive.matches(person.no, &person.events[*row], &exclusion.matching)
                })
            });
            if let Some(excluded) = excluded {
                return self.attempt(rows, excluded + 1);
            }
            let Some(next) = next else { return self.attempt(rows, window_end) };
            take(&mut open, next);
            rows.push(next);
        }
        let end = rows.iter().max().unwrap() + 1;
        self.attempt(rows, end)
    }

    fn attempt(&self, rows: Vec<usize>, end: usize) -> Attempt {
        let session = self.session_of.get(rows[0]).copied().flatten();
        Attempt { person: self.person, session, end: end.max(rows[0] + 1), rows }
    }
}

/// Mean and lower median, in whole milliseconds.
pub(crate) fn average_and_median_ms(mut times_us: Vec<i64>) -> Option<(u64, u64)> {
    times_us.sort_unstable();
    let median = times_us.get(times_us.len().checked_sub(1)? / 2)?;
    let average = times_us.iter().sum::<i64>() / times_us.len() as i64;
    Some(((average / 1_000) as u64, (median / 1_000) as u64))
}

/// Of drawing as many entries as a segment has from all of them: the probability of fewer conversions than it has, or
/// of more, whichever is larger.
fn significance(all: usize, converted: usize, drawn: usize, conversions: usize) -> f64 {
    let factorial = |n: usize| (1..=n).map(|k| (k as f64).ln()).sum::<f64>();
    let choose = |n: usize, k: usize| factorial(n) - factorial(k) - factorial(n - k);
    let probability = |k: usize| {
        let possible = k <= converted && k <= drawn && drawn - k <= all - converted;
        if possible {
            (choose(converted, k) + choose(all - converted, drawn - k) - choose(all, drawn)).exp()
        } else {
            0.0
        }
    };
    let fewer: f64 = (0..conversions).map(probability).sum();
    let more: f64 = (conversions + 1..=drawn).map(probability).sum();
    fewer.max(more)
}
