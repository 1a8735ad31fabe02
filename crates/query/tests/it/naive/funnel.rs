//! Funnels: attempts of a person to get through steps.

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_model::SubjectNo;
use cofferdam_model::query::{Attribution, Breakdown, Count, Filter, FunnelQuery, Holder, Reentry};
use cofferdam_model::result::{
    BetweenCount, FunnelBucket, FunnelResult, FunnelSegment, FunnelStep, FunnelTable, Segment, TimeToConvert,
};

use super::{Naive, Segments, folded, largest, passes, property, texts};
use crate::world::{Person, SECOND};

/// Steps within this time of each other may come in any order.
const GRACE_US: i64 = 2 * SECOND;

/// One attempt: which event of the person stands for each step that was reached.
#[derive(Clone, Debug)]
struct Attempt {
    person: usize,
    /// By step; `None` where it was not reached.
    steps: Vec<Option<usize>>,
    /// The last event of it: what comes later may begin another attempt.
    end: usize,
}

impl Attempt {
    fn depth(&self) -> usize {
        self.steps.iter().flatten().count()
    }

    fn entry(&self) -> usize {
        self.steps.iter().flatten().copied().min().unwrap()
    }
}

impl Naive<'_> {
    pub(crate) fn funnel(&self, query: &FunnelQuery) -> FunnelTable {
        let world = self.world;
        let bounds = world.bounds(query.range, world.now_us);
        let mut attempts: Vec<Attempt> = Vec::new();
        for (at, person) in self.persons.iter().enumerate() {
            if person.no != SubjectNo::NOBODY {
                attempts.extend(self.attempts(query, at, person, bounds));
            }
        }
        attempts.retain(|attempt| self.passes_attributed(query, attempt));

        let overall = self.counted(query, &attempts, |_| true);
        let mut segments = Vec::new();
        let mut segments_omitted = 0;
        if let Some(breakdown) = &query.breakdown {
            let names = |attempt: &Attempt| self.attributed(query, attempt, breakdown);
            let all: BTreeSet<Segments> = attempts.iter().flat_map(names).collect();
            let sizes: BTreeMap<Segments, u64> = all
                .into_iter()
                .map(|name| {
                    let entries = self.counted(query, &attempts, |attempt| names(attempt).contains(&name));
                    (name, entries.len() as u64)
                })
                .collect();
            let kept = largest(&sizes, breakdown.limit);
            segments_omitted = (sizes.len() - kept.len()) as u32;
            let rest = (segments_omitted > 0).then(|| vec![Segment::Other]);
            for segment in kept.iter().cloned().chain(rest) {
                let inside = self.counted(query, &attempts, |attempt| folded(names(attempt), &kept).contains(&segment));
                segments.push(FunnelSegment {
                    segment,
                    significance: significance(&overall, &inside, query.steps.len()),
                    result: self.result(query, &inside),
                });
            }
        }
        let mut trend = Vec::new();
        if let Some(unit) = query.trend {
            for (start, end) in world.buckets(bounds, unit) {
                let within: Vec<Attempt> = attempts
                    .iter()
                    .filter(|attempt| (start..end).contains(&self.time(attempt, attempt.entry())))
                    .cloned()
                    .collect();
                let counted = self.counted(query, &within, |_| true);
                trend.push(FunnelBucket { start: world.local(start), result: self.result(query, &counted) });
            }
        }
        let mut between: BTreeMap<u64, u64> = BTreeMap::new();
        if let Some(asked) = &query.between {
            for attempt in &overall {
                let step = |number: u32| attempt.steps[number as usize - 1];
                if let (Some(after), Some(before)) = (step(asked.after_step), step(asked.before_step)) {
                    let person = &self.persons[attempt.person];
                    let times = (after + 1..before)
                        .filter(|at| self.matches(person.no, &person.events[*at], &asked.matching))
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

    /// What counts of some attempts: all of them, or each person's one.
    fn counted(&self, query: &FunnelQuery, attempts: &[Attempt], asked: impl Fn(&Attempt) -> bool) -> Vec<Attempt> {
        let mut counted: Vec<Attempt> = Vec::new();
        for attempt in attempts.iter().filter(|attempt| asked(attempt)) {
            match counted.iter_mut().find(|other| other.person == attempt.person) {
                Some(other) if query.count == Count::Unique => {
                    let furthest = query.reentry == Reentry::Optimized && attempt.depth() > other.depth();
                    if furthest {
                        *other = attempt.clone();
                    }
                }
                _ => counted.push(attempt.clone()),
            }
        }
        counted
    }

    fn time(&self, attempt: &Attempt, event: usize) -> i64 {
        self.persons[attempt.person].events[event].time_us
    }

    /// All attempts of a person, one after another.
    fn attempts(&self, query: &FunnelQuery, at: usize, person: &Person, (from, to): (i64, i64)) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        let mut next = 0;
        while next < person.events.len() {
            let event = &person.events[next];
            if !(from..to).contains(&event.time_us) || !self.is_step(query, person, 0, next) {
                next += 1;
                continue;
            }
            let mut attempt = self.follow(query, at, person, next, None);
            let converted = attempt.depth() == query.steps.len();
            next = attempt.end + 1;
            if query.reentry == Reentry::Optimized {
                let deadline = self.deadline(query, person, attempt.entry());
                let mut best = attempt.clone();
                for later in attempt.entry() + 1..=attempt.end {
                    if self.is_step(query, person, 0, later) && person.events[later].time_us < to {
                        let other = self.follow(query, at, person, later, deadline);
                        if other.depth() >= best.depth() {
                            best = other;
                        }
                    }
                }
                let better = best.depth() == query.steps.len();
                if !converted && !better {
                    next = attempt.entry() + 1;
                } else {
                    next = best.end + 1;
                }
                attempt = best;
            }
            attempts.push(attempt);
        }
        attempts
    }

    fn is_step(&self, query: &FunnelQuery, person: &Person, step: usize, at: usize) -> bool {
        self.matches(person.no, &person.events[at], &query.steps[step].matching())
    }

    fn deadline(&self, query: &FunnelQuery, person: &Person, entry: usize) -> Option<i64> {
        query.window.us().map(|window| person.events[entry].time_us + window)
    }

    /// From an entry as far as it goes.
    fn follow(
        &self, query: &FunnelQuery, at: usize, person: &Person, entry: usize, deadline: Option<i64>,
    ) -> Attempt {
        let events = &person.events;
        let sessions = self.sessions(person, &query.sessions);
        let session_of = |event: usize| sessions.iter().position(|session| session.contains(&event));
        let deadline = deadline.or_else(|| self.deadline(query, person, entry)).unwrap_or(i64::MAX);
        let in_window = |event: usize| {
            events[event].time_us <= deadline
                && (query.window.us().is_some()
                    || session_of(event).zip(session_of(entry)).is_some_and(|(event, entry)| {
                        (entry..entry + query.window.count as usize).contains(&event)
                    }))
                && (query.count != Count::Sessions || session_of(event) == session_of(entry))
        };
        let held = |event: usize| {
            query.hold_constant.iter().all(|name| {
                property(&events[event], name).map(texts) == property(&events[entry], name).map(texts)
            })
        };
        let mut steps: Vec<Option<usize>> = vec![None; query.steps.len()];
        steps[0] = Some(entry);
        let mut previous = entry;
        let mut end = entry;
        while let Some(first) = steps.iter().position(Option::is_none) {
            // The step itself, or all those of its group that are still missing.
            let open: Vec<usize> = (first..query.steps.len())
                .take_while(|step| *step == first || (query.steps[first].any_order && query.steps[*step].any_order))
                .filter(|step| steps[*step].is_none())
                .collect();
            let mut found = None;
            for event in 0..events.len() {
                let near = events[previous].time_us - events[event].time_us <= GRACE_US;
                if (event < previous && !near) || steps.contains(&Some(event)) || !in_window(event) {
                    continue;
                }
                if let Some(step) = open.iter().find(|step| self.is_step(query, person, **step, event))
                    && held(event)
                {
                    found = Some((event, *step));
                    break;
                }
            }
            // An exclusion that comes before it ends the attempt.
            let until = found.map_or(events.len(), |(event, _)| event);
            let excluded = (previous + 1..until).find(|event| {
                in_window(*event)
                    && query.exclusions.iter().any(|exclusion| {
                        let between = exclusion.after_step as usize <= first && first < exclusion.before_step as usize;
                        between && self.matches(person.no, &events[*event], &exclusion.matching)
                    })
            });
            if let Some(excluded) = excluded {
                end = excluded;
                break;
            }
            match found {
                Some((event, step)) => {
                    steps[step] = Some(event);
                    previous = event.max(previous);
                    end = previous;
                }
                None => {
                    // Out of time: nothing that still was in time begins another attempt.
                    end = (entry..events.len()).filter(|event| in_window(*event)).last().unwrap_or(entry);
                    break;
                }
            }
        }
        Attempt { person: at, steps, end }
    }

    /// The event whose value of a property stands for the whole attempt.
    fn attributed_event(&self, query: &FunnelQuery, attempt: &Attempt, name: &str) -> Option<usize> {
        let person = &self.persons[attempt.person];
        let has = |event: &usize| property(&person.events[*event], name).is_some();
        let mut reached = attempt.steps.iter().flatten().copied();
        match query.attribution {
            Attribution::First => reached.find(has),
            Attribution::Last => reached.filter(has).last(),
            Attribution::Step { step } => attempt.steps[step as usize - 1],
        }
    }

    fn passes_attributed(&self, query: &FunnelQuery, attempt: &Attempt) -> bool {
        let person = &self.persons[attempt.person];
        query.filters.iter().all(|filter: &Filter| match filter.on {
            Holder::Event => {
                let event = self.attributed_event(query, attempt, &filter.property);
                passes(event.and_then(|event| property(&person.events[event], &filter.property)), &filter.condition)
            }
            Holder::Profile | Holder::Cohort => self.person_passes(person.no, filter),
        })
    }

    fn attributed(&self, query: &FunnelQuery, attempt: &Attempt, breakdown: &Breakdown) -> BTreeSet<Segments> {
        let person = &self.persons[attempt.person];
        let mut combinations: BTreeSet<Segments> = [Vec::new()].into();
        for by in &breakdown.by {
            let event = match by.on {
                Holder::Event => self.attributed_event(query, attempt, &by.property),
                Holder::Profile | Holder::Cohort => Some(attempt.entry()),
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
        let steps = (0..query.steps.len())
            .map(|step| {
                let reached: Vec<&Attempt> = attempts.iter().filter(|attempt| attempt.depth() > step).collect();
                let waited = reached
                    .iter()
                    .filter_map(|attempt| {
                        let mut order: Vec<i64> =
                            attempt.steps.iter().flatten().map(|event| self.time(attempt, *event)).collect();
                        order.sort_unstable();
                        (step > 0).then(|| order[step] - order[step - 1])
                    })
                    .collect();
                let (average_ms_from_previous, median_ms_from_previous) = average_and_median_ms(waited).unzip();
                FunnelStep { count: reached.len() as u64, median_ms_from_previous, average_ms_from_previous }
            })
            .collect();
        let durations = attempts
            .iter()
            .filter(|attempt| attempt.depth() == query.steps.len())
            .map(|attempt| {
                let last = attempt.steps.iter().flatten().max().unwrap();
                self.time(attempt, *last) - self.time(attempt, attempt.entry())
            })
            .collect();
        FunnelResult {
            steps,
            time_to_convert: average_and_median_ms(durations).map(|(average_ms, median_ms)| TimeToConvert {
                median_ms,
                average_ms,
                ..TimeToConvert::default()
            }),
        }
    }
}

/// Mean and lower median, in whole milliseconds.
pub(crate) fn average_and_median_ms(mut times_us: Vec<i64>) -> Option<(u64, u64)> {
    times_us.sort_unstable();
    let median = times_us.get(times_us.len().checked_sub(1)? / 2)?;
    let average = times_us.iter().sum::<i64>() / times_us.len() as i64;
    Some(((average / 1_000) as u64, (median / 1_000) as u64))
}

/// How sure it is that a segment converts differently from the rest.
fn significance(_overall: &[Attempt], _inside: &[Attempt], _steps: usize) -> Option<f64> {
    None
}
