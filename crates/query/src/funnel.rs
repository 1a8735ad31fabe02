//! Funnels: how far persons get through steps.
//!
//! *Rows and steps.*
//! 1. A person's rows are looked at in order of (time, arrival). A row takes a step when it matches it. A row takes
//!    at most one step of an attempt, so A → A needs two.
//! 2. Neighbouring steps marked "any order" are a block; every other step is a block of its own. Blocks are gone
//!    through in order. The k-th step of an answer is the k-th that was taken: within a block that need not be the
//!    one that is k-th in the question. A row that matches several open steps of its block takes the first of them.
//! 3. *Grace.* Rows at most 2 seconds apart may be taken in any order: a step of a block may be taken by a row that
//!    is up to 2 seconds earlier than the last row of the block before.
//!
//! *An attempt.*
//! 4. It begins at an entry: a row within the range that matches step 1 (any step of the first block). In the first
//!    block, the entry comes first.
//! 5. Each further step is taken by the earliest row that can take an open one: not yet taken, within the window,
//!    not earlier than (3) allows, and not before the end of the last finished attempt (7).
//! 6. The window runs from the entry, its end included: a length of time, also beyond the range's end; or a number
//!    of sessions, that of the entry first, and at most 366 days. With a window in sessions, only rows of these
//!    sessions take steps. With it, or when sessions are counted, a row in no session is no entry.
//! 7. An exclusion after step i and before step j ends the attempt when, for the next step m with i < m ≤ j, an
//!    excluded row lies more than 2 seconds after the row of step i and more than 2 seconds before that of step m;
//!    or, when no row takes step m, anywhere later in the window. Steps taken before stay. The attempt ends with the
//!    earliest such row; without one, with its last row when it converts, and with its window when it does not.
//! 8. Properties held constant: a row without one of them, or with an empty list, takes no step. Each combination of
//!    values is a funnel of its own among the rows that have it; excluded rows may have any value. Lists with the
//!    same items are the same value, in whatever order.
//!
//! *Which attempts.*
//! 9. Re-entry `first`: the next attempt begins at the first entry after the end of the one before.
//! 10. Re-entry `optimized`: when an attempt takes step 2, it is followed anew from the latest entry after its own and
//!     before that row from which step 2 is taken by the same row and the attempt gets at least as far. When it still
//!     does not convert, and from some later entry before its end (an excluded row included) an attempt gets further,
//!     the next one begins at the first such entry; else as in (9).
//! 11. `total` counts every attempt. `unique` counts one for each person, `sessions` one for each session that has
//!     an entry in it: the first (`first`), or the first of those that get furthest (`optimized`). With a breakdown
//!     that is one for each segment, chosen among the attempts of that segment.
//! 12. Attempts of several values held constant are taken together in order of entry.
//! 13. A funnel per bucket of time is the same question with the bucket as its range.
//!
//! *What is told of them.*
//! 14. Attribution picks, for each property of the breakdown and each filter by itself: `first` the first row of the
//!     attempt that has the property, `last` the last one, `step n` the n-th row, if reached. Nothing picked means
//!     not set. The items of a list are values of their own: the attempt is in the segment of each, and of each
//!     combination with those of the other properties.
//! 15. Filters on events decide about the attempts chosen by (11), so that an attempt they refuse has no substitute.
//!     Filters on profiles and cohorts decide about persons.
//! 16. Durations are never negative: a step taken out of order within the grace took no time. Medians are the lower
//!     ones; median and mean are rounded down to milliseconds.
//! 17. Between two steps an event is counted by its rows between the two rows, those that took a step left out.
//! 18. Significance of a segment: of drawing as many of the entries as it has from those of all segments, the
//!     probability of fewer conversions than it has, or that of more, whichever is larger.

use std::cmp::Reverse;
use std::ops::ControlFlow;
use std::sync::Arc;

use cofferdam_lake::PropertyKey;
use cofferdam_model::query::{
    Attribution, Condition, Count, EventMatch, Exclusion, Filter, FunnelQuery, Holder, Reentry, WindowUnit,
};
use cofferdam_model::result::{
    BetweenCount, FunnelBucket, FunnelResult, FunnelSegment, FunnelStep, FunnelTable, TimeToConvert,
};
use cofferdam_model::{PropertyType, SubjectNo, limits};
use rustc_hash::FxHashMap;

use crate::calendar::{self, Buckets};
use crate::durations::Durations;
use crate::scan::{Hit, Partial, Scan};
use crate::sessions::{self, Cutter, Session};
use crate::split::{self, Counts, Split};
use crate::tags::{ColumnTest, Tags, ValueTest};
use crate::values::Values;
use crate::{Input, Result, check_filters, check_match, invalid};

mod attempts;
#[cfg(test)]
mod tests;

use attempts::{Attempt, Course, Excluded, GRACE_US, Limit, Places, Shape, Wanted};

/// Entries on either side below which a comparison says nothing (Mixpanel's).
const SIGNIFICANCE_ENTRIES_MIN: u64 = 30;

pub(crate) fn run(input: &Input<'_>, query: &FunnelQuery) -> Result<FunnelTable> {
    check(query)?;
    let (from, to) = calendar::bounds(query.range, input.zone, input.now_us)?;
    let with_sessions = query.count == Count::Sessions || query.window.unit == WindowUnit::Session;
    let scan = scan(input, query, (from, to), with_sessions)?;

    let (of_persons, of_events): (Vec<Filter>, Vec<Filter>) =
        query.filters.iter().cloned().partition(|filter| filter.on != Holder::Event);
    let mut matchers: Vec<EventMatch> = query.steps.iter().map(|step| step.matching()).collect();
    let exclusions = query.exclusions.iter().enumerate().map(|(index, exclusion)| Excluded {
        bit: 1 << (query.steps.len() + index),
        after: exclusion.after_step as usize,
        before: exclusion.before_step as usize,
    });
    let exclusions: Vec<Excluded> = exclusions.collect();
    matchers.extend(query.exclusions.iter().map(|exclusion| exclusion.matching.clone()));
    let between = query.between.as_ref().map(|between| Between {
        bit: 1 << matchers.len(),
        after: between.after_step as usize,
        before: between.before_step as usize,
    });
    matchers.extend(query.between.iter().map(|between| between.matching.clone()));
    let mut cutter = None;
    if with_sessions {
        cutter = Some(Cutter::new(&scan, &query.sessions, matchers.len())?);
        matchers.extend(sessions::matchers(&query.sessions)?);
    }
    let all: Vec<(&EventMatch, &[Filter])> = matchers.iter().map(|matching| (matching, &of_persons[..])).collect();
    let tags = Tags::new(&scan, &all)?;

    let shape = shape(query, exclusions);
    let plain_us = match shape.window {
        Limit::Time(us)
            if shape.exclusions.is_empty()
                && shape.blocks.len() == shape.steps
                && cutter.is_none()
                && query.hold_constant.is_empty()
                && query.reentry == Reentry::First =>
        {
            Some(us)
        }
        _ => None,
    };
    let funnel = Funnel {
        query,
        range: (from, to),
        trend: query.trend.map(|unit| calendar::cut(from, to, unit, input.zone)).transpose()?,
        plain_us,
        first_block: attempts::mask(shape.blocks[0].clone()),
        shape,
        cutter,
        held: query.hold_constant.iter().map(|property| Values::new(&scan, property)).collect::<Result<_>>()?,
        filters: of_events.iter().map(|filter| RowFilter::new(&scan, filter)).collect::<Result<_>>()?,
        between,
    };
    if let Some(window_us) = funnel.plain_us
        && query.count == Count::Unique
        && query.breakdown.is_none()
        && funnel.trend.is_none()
        && funnel.between.is_none()
        && funnel.filters.is_empty()
    {
        return funnel.plain(&scan, &tags, window_us);
    }
    funnel.full(input, &scan, &tags)
}

fn check(query: &FunnelQuery) -> Result<()> {
    let steps = query.steps.len();
    if !(2..=limits::FUNNEL_STEPS_MAX).contains(&steps) {
        return invalid(format!("a funnel has 2 to {} steps", limits::FUNNEL_STEPS_MAX));
    }
    match query.window.us() {
        Some(us) if us <= 0 || us > limits::FUNNEL_WINDOW_DAYS_MAX * 86_400_000_000 => {
            return invalid(format!("a conversion window is 1 second to {} days", limits::FUNNEL_WINDOW_DAYS_MAX));
        }
        None if query.window.count == 0 || query.window.count > limits::FUNNEL_WINDOW_SESSIONS_MAX => {
            return invalid(format!("a conversion window is 1 to {} sessions", limits::FUNNEL_WINDOW_SESSIONS_MAX));
        }
        _ => {}
    }
    if query.exclusions.len() > limits::EXCLUSIONS_MAX {
        return invalid(format!("a funnel has at most {} exclusions", limits::EXCLUSIONS_MAX));
    }
    let in_order = |between: &Exclusion| {
        let (after, before) = (between.after_step as usize, between.before_step as usize);
        after >= 1 && after < before && before <= steps
    };
    let between = format!("after step 1 to {} and before a later one", steps - 1);
    if !query.exclusions.iter().all(in_order) {
        return invalid(format!("an exclusion is between two steps: {between}"));
    }
    if !query.between.iter().all(in_order) {
        return invalid(format!("an event is counted between two steps: {between}"));
    }
    if query.hold_constant.len() > limits::HOLD_CONSTANT_MAX {
        return invalid(format!("a funnel holds at most {} properties constant", limits::HOLD_CONSTANT_MAX));
    }
    if query.hold_constant.iter().any(|property| property.is_empty() || property.len() > limits::NAME_BYTES_MAX) {
        return invalid(format!("a property held constant must have 1 to {} bytes", limits::NAME_BYTES_MAX));
    }
    if let Attribution::Step { step } = query.attribution
        && !(1..=steps).contains(&(step as usize))
    {
        return invalid(format!("the step to attribute by is 1 to {steps}"));
    }
    check_filters(&query.filters)?;
    query.steps.iter().try_for_each(|step| check_filters(&step.filters))?;
    query.exclusions.iter().chain(&query.between).try_for_each(|other| check_match(&other.matching))?;
    split::check(query.breakdown.as_ref())
}

fn scan<'a>(
    input: &'a Input<'a>,
    query: &FunnelQuery,
    (from, to): (i64, i64),
    with_sessions: bool,
) -> Result<Scan<'a>> {
    let longest = limits::FUNNEL_WINDOW_DAYS_MAX * 86_400_000_000;
    let window = match query.window.us() {
        Some(us) => us,
        // A session lies within a day, which the last entry has begun.
        None if query.window.count == 1 => 0,
        None => longest,
    };
    // Each step may reach back by the grace.
    let from = from - GRACE_US * (query.steps.len() as i64 - 1);
    let to = to.saturating_add(window).saturating_add(1);
    if with_sessions {
        let (from, to) = sessions::whole_days(input, from, to)?;
        return Scan::new(input, from, to);
    }
    Scan::new(input, from, to)
}

fn shape(query: &FunnelQuery, exclusions: Vec<Excluded>) -> Shape {
    let mut blocks: Vec<std::ops::Range<usize>> = Vec::new();
    for (index, step) in query.steps.iter().enumerate() {
        match blocks.last_mut() {
            Some(block) if step.any_order && query.steps[block.start].any_order => block.end = index + 1,
            _ => blocks.push(index..index + 1),
        }
    }
    let window = query.window.us().map_or(Limit::Sessions(query.window.count), Limit::Time);
    Shape { steps: query.steps.len(), blocks, exclusions, window }
}

struct Funnel<'a> {
    query: &'a FunnelQuery,
    /// Of entries, µs UTC.
    range: (i64, i64),
    trend: Option<Buckets>,
    shape: Shape,
    /// The bits of the steps an attempt can begin with.
    first_block: u32,
    /// The window, when nothing but steps in order is asked.
    plain_us: Option<i64>,
    cutter: Option<Cutter>,
    held: Vec<Values>,
    filters: Vec<RowFilter>,
    between: Option<Between>,
}

/// Ids of whole lists: above those of single values, given anew for each person.
#[derive(Default)]
struct Lists {
    ids: FxHashMap<Vec<u32>, u32>,
    items: Vec<u32>,
}

impl Lists {
    fn clear(&mut self) {
        self.ids.clear();
    }

    /// One id per value, of a list too; 0 when it is not set or empty.
    fn id(&mut self, values: &Values, hit: &Hit) -> u32 {
        if !values.has_lists(hit.file) {
            return values.id(hit);
        }
        values.ids(hit, &mut self.items);
        match self.items[..] {
            [] => return 0,
            [id] => return id,
            _ => {}
        }
        let next = u32::MAX - self.ids.len() as u32;
        if let Some(id) = self.ids.get(&self.items) {
            return *id;
        }
        self.ids.insert(self.items.clone(), next);
        next
    }
}

struct Between {
    bit: u32,
    after: usize,
    before: usize,
}

/// What a thread uses again for every person.
#[derive(Default)]
struct Work {
    places: Places,
    sessions: Vec<Session>,
    session_of: Vec<u32>,
    /// Values held constant, and the row that has them.
    keys: Vec<([u32; limits::HOLD_CONSTANT_MAX], u32)>,
    lists: Lists,
    /// Of the range.
    attempts: Vec<Attempt>,
    /// Of each bucket of the trend.
    by_bucket: Vec<(u32, Attempt)>,
    /// What is counted once, a segment, and the attempt.
    candidates: Vec<(u32, u64, u32)>,
    ids: Vec<u64>,
}

impl Work {
    fn bytes(&self) -> usize {
        self.places.bytes()
            + (self.attempts.capacity() + self.by_bucket.capacity()) * size_of::<Attempt>()
            + (self.candidates.capacity() + self.keys.capacity()) * 16
    }
}

/// A share of the first pass.
struct Share {
    overall: Tally,
    trend: Vec<Tally>,
    between: FxHashMap<u64, u64>,
    /// Entries by raw id.
    counts: Option<Counts>,
    /// By raw id, as long as there are few.
    few: Option<Few>,
    held: usize,
    work: Work,
}

impl Partial for Share {
    fn bytes(&self) -> usize {
        let (few, held) = self.few.as_ref().map_or((0, 0), |few| (few.tallies.len(), few.held));
        (self.trend.len() + few) * self.overall.width()
            + (self.held + held) * HELD_BYTES
            + self.between.capacity() * 16
            + self.counts.as_ref().map_or(0, Partial::bytes)
            + self.work.bytes()
    }
}

#[derive(Default)]
struct Few {
    tallies: FxHashMap<u64, Tally>,
    held: usize,
}

/// A share of the second pass.
struct Segments {
    tallies: Vec<Tally>,
    held: usize,
    work: Work,
}

impl Partial for Segments {
    fn bytes(&self) -> usize {
        self.tallies.len() * self.tallies.first().map_or(0, Tally::width) + self.held * HELD_BYTES + self.work.bytes()
    }
}

/// A duration in a list that grows: up to twice its size.
const HELD_BYTES: usize = 2 * size_of::<u32>();

impl Funnel<'_> {
    /// The plain question: every person's first attempt, steps in order.
    fn plain(&self, scan: &Scan<'_>, tags: &Tags, window_us: i64) -> Result<FunnelTable> {
        struct Plain {
            tally: Tally,
            held: usize,
        }
        impl Partial for Plain {
            fn bytes(&self) -> usize {
                self.held * HELD_BYTES
            }
        }
        let make = || Plain { tally: Tally::new(self.shape.steps), held: 0 };
        let partials = scan.histories(tags, self.first_block, make, |share, _, hits| {
            attempts::plain_attempts(&self.shape, window_us, hits, self.range, |attempt| {
                share.tally.record(hits, attempt);
                share.held += attempt.reached;
                ControlFlow::Break(())
            });
        })?;
        let mut sum = Tally::new(self.shape.steps);
        partials.into_iter().for_each(|share| sum.add(share.tally));
        Ok(FunnelTable {
            overall: sum.finish(),
            segments: Vec::new(),
            segments_omitted: 0,
            trend: Vec::new(),
            between: Vec::new(),
        })
    }

    fn full(&self, input: &Input<'_>, scan: &Scan<'_>, tags: &Tags) -> Result<FunnelTable> {
        let steps = self.shape.steps;
        let breakdown = self.query.breakdown.as_ref();
        let split = breakdown.map(|breakdown| Split::new(scan, breakdown)).transpose()?;
        let limit = breakdown.map_or(0, |breakdown| breakdown.limit as usize);
        let buckets = self.trend.as_ref().map_or(0, Buckets::len);
        let make = || Share {
            overall: Tally::new(steps),
            trend: (0..buckets).map(|_| Tally::new(steps)).collect(),
            between: FxHashMap::default(),
            counts: split.as_ref().map(Split::counts),
            few: split.is_some().then(Few::default),
            held: 0,
            work: Work::default(),
        };
        // Who has no row of the first block cannot enter.
        let partials = scan.histories(tags, self.first_block, make, |share, person, hits| {
            self.share(split.as_ref(), limit, share, person, hits);
        })?;
        let mut sum = make();
        for share in partials {
            sum.overall.add(share.overall);
            sum.trend.iter_mut().zip(share.trend).for_each(|(sum, share)| sum.add(share));
            share.between.into_iter().for_each(|(times, count)| *sum.between.entry(times).or_default() += count);
            sum.counts = sum.counts.zip(share.counts).map(|(sum, share)| sum.merge(share));
            sum.few = sum.few.zip(share.few).map(|(mut sum, share)| {
                for (raw, tally) in share.tallies {
                    sum.tallies.entry(raw).or_insert_with(|| Tally::new(steps)).add(tally);
                }
                sum
            });
        }
        let mut table = FunnelTable {
            overall: sum.overall.finish(),
            segments: Vec::new(),
            segments_omitted: 0,
            trend: Vec::new(),
            between: sum.between.into_iter().map(|(times, count)| BetweenCount { times, count }).collect(),
        };
        table.between.sort_unstable_by_key(|count| count.times);
        if let Some(buckets) = &self.trend {
            let funnels = buckets.starts.iter().zip(sum.trend);
            table.trend = funnels
                .map(|(start, tally)| FunnelBucket {
                    start: calendar::local_text(*start, input.zone),
                    result: tally.finish(),
                })
                .collect();
        }
        if let (Some(split), Some(counts)) = (split, sum.counts) {
            let (split, omitted) = split.keep_largest(&counts, limit as u32);
            let tallies = match sum.few {
                Some(few) if omitted == 0 => {
                    let mut tallies: Vec<Tally> = (0..split.len()).map(|_| Tally::new(steps)).collect();
                    few.tallies.into_iter().for_each(|(raw, tally)| tallies[split.slot(raw) as usize].add(tally));
                    tallies
                }
                _ => self.segments(scan, tags, &split)?,
            };
            table.segments = compare(&split, tallies);
            table.segments_omitted = omitted;
        }
        Ok(table)
    }

    fn share(&self, split: Option<&Split>, limit: usize, share: &mut Share, person: SubjectNo, hits: &[Hit]) {
        let Share { overall, trend, between, counts, few, held, work } = share;
        self.gather(hits, work);
        let Work { attempts, by_bucket, session_of, candidates, ids, .. } = work;
        self.chosen(attempts.iter(), session_of, |attempt| {
            if self.passes(hits, attempt) {
                overall.record(hits, attempt);
                *held += attempt.reached;
                if let Some(times) = self.between(hits, attempt) {
                    *between.entry(times).or_default() += 1;
                }
            }
        });
        let mut at = 0;
        while at < by_bucket.len() {
            let bucket = by_bucket[at].0;
            let end = at + by_bucket[at..].partition_point(|(other, _)| *other == bucket);
            self.chosen(by_bucket[at..end].iter().map(|(_, attempt)| attempt), session_of, |attempt| {
                if self.passes(hits, attempt) {
                    trend[bucket as usize].record(hits, attempt);
                    *held += attempt.reached;
                }
            });
            at = end;
        }
        let (Some(split), Some(counts)) = (split, counts) else { return };
        let segmented = Segmented { split, person, hits };
        self.chosen_by_segment(&segmented, attempts, session_of, (candidates, ids), |raw, attempt| {
            counts.add(raw, 1);
            match few {
                Some(Few { tallies, .. }) if tallies.len() > limit => *few = None,
                Some(Few { tallies, held }) => {
                    tallies.entry(raw).or_insert_with(|| Tally::new(self.shape.steps)).record(hits, attempt);
                    *held += attempt.reached;
                }
                None => {}
            }
        });
    }

    fn segments(&self, scan: &Scan<'_>, tags: &Tags, split: &Split) -> Result<Vec<Tally>> {
        let new = || (0..split.len()).map(|_| Tally::new(self.shape.steps)).collect::<Vec<_>>();
        let make = || Segments { tallies: new(), held: 0, work: Work::default() };
        let partials = scan.histories(tags, self.first_block, make, |share, person, hits| {
            let Segments { tallies, held, work } = share;
            self.gather(hits, work);
            let Work { attempts, session_of, candidates, ids, .. } = work;
            let segmented = Segmented { split, person, hits };
            self.chosen_by_segment(&segmented, attempts, session_of, (candidates, ids), |slot, attempt| {
                tallies[slot as usize].record(hits, attempt);
                *held += attempt.reached;
            });
        })?;
        let mut sum = new();
        for share in partials {
            sum.iter_mut().zip(share.tallies).for_each(|(sum, tally)| sum.add(tally));
        }
        Ok(sum)
    }

    /// Finds the person's attempts, in order of entry; those of each bucket of the trend too.
    fn gather(&self, hits: &[Hit], work: &mut Work) {
        work.attempts.clear();
        work.by_bucket.clear();
        let one = self.query.count == Count::Unique;
        let wanted = if one && self.query.breakdown.is_none() { Wanted::One } else { Wanted::All };
        let in_bucket = if one { Wanted::One } else { Wanted::All };
        if let Some(window_us) = self.plain_us {
            let attempts = &mut work.attempts;
            attempts::plain_attempts(&self.shape, window_us, hits, self.range, |attempt| {
                attempts.push(*attempt);
                if wanted == Wanted::One { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            if let Some(trend) = &self.trend {
                let entries = (0..hits.len()).filter(|row| hits[*row].tags & self.first_block != 0);
                each_bucket(trend, entries.map(|row| hits[row].time), |bucket, range| {
                    attempts::plain_attempts(&self.shape, window_us, hits, range, |attempt| {
                        work.by_bucket.push((bucket, *attempt));
                        if one { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                    });
                });
            }
            return;
        }
        if let Some(cutter) = &self.cutter {
            cutter.cut(hits, &mut work.sessions);
            cutter.assign(hits, &work.sessions, &mut work.session_of);
        }
        work.places.find_exclusions(&self.shape, hits);
        if self.held.is_empty() {
            work.places.clear_steps(&self.shape);
            for (row, hit) in hits.iter().enumerate() {
                work.places.add(&self.shape, row, hit.tags);
            }
            self.gather_course(hits, work, wanted, in_bucket);
            return;
        }
        let steps = attempts::mask(0..self.shape.steps);
        let mut keys = std::mem::take(&mut work.keys);
        keys.clear();
        work.lists.clear();
        for (row, hit) in hits.iter().enumerate().filter(|(_, hit)| hit.tags & steps != 0) {
            let mut key = [0; limits::HOLD_CONSTANT_MAX];
            key.iter_mut().zip(&self.held).for_each(|(id, values)| *id = work.lists.id(values, hit));
            if key[..self.held.len()].iter().all(|id| *id != 0) {
                keys.push((key, row as u32));
            }
        }
        keys.sort_unstable();
        for rows in keys.chunk_by(|a, b| a.0 == b.0) {
            work.places.clear_steps(&self.shape);
            rows.iter().for_each(|(_, row)| work.places.add(&self.shape, *row as usize, hits[*row as usize].tags));
            self.gather_course(hits, work, wanted, in_bucket);
        }
        work.keys = keys;
        work.attempts.sort_unstable_by_key(Attempt::entry);
        work.by_bucket.sort_unstable_by_key(|(bucket, attempt)| (*bucket, attempt.entry()));
    }

    fn gather_course(&self, hits: &[Hit], work: &mut Work, wanted: Wanted, in_bucket: Wanted) {
        let Work { places, sessions, session_of, attempts, by_bucket, .. } = work;
        let course = Course { shape: &self.shape, hits, places, session_of, sessions };
        let reentry = self.query.reentry;
        course.attempts(self.range, reentry, wanted, |attempt| attempts.push(attempt));
        if let Some(trend) = &self.trend {
            let entries = places.entries().iter().map(|row| hits[*row as usize].time);
            each_bucket(trend, entries, |bucket, range| {
                course.attempts(range, reentry, in_bucket, |attempt| by_bucket.push((bucket, attempt)));
            });
        }
    }

    /// Hands the attempts that count to `each`.
    fn chosen<'t>(
        &self,
        attempts: impl Iterator<Item = &'t Attempt>,
        session_of: &[u32],
        mut each: impl FnMut(&Attempt),
    ) {
        let mut best: Option<&Attempt> = None;
        for attempt in attempts {
            let same = |best: &Attempt| match self.query.count {
                Count::Unique => true,
                Count::Total => false,
                Count::Sessions => session_of[best.entry() as usize] == session_of[attempt.entry() as usize],
            };
            match best {
                Some(known) if same(known) => {
                    if self.query.reentry == Reentry::Optimized && attempt.reached > known.reached {
                        best = Some(attempt);
                    }
                }
                _ => {
                    if let Some(best) = best.replace(attempt) {
                        each(best);
                    }
                }
            }
        }
        if let Some(best) = best {
            each(best);
        }
    }

    /// Hands the attempts that count in each segment, and pass the filters, to `each`.
    fn chosen_by_segment(
        &self,
        segmented: &Segmented<'_>,
        attempts: &[Attempt],
        session_of: &[u32],
        (candidates, ids): (&mut Vec<(u32, u64, u32)>, &mut Vec<u64>),
        mut each: impl FnMut(u64, &Attempt),
    ) {
        candidates.clear();
        for (index, attempt) in attempts.iter().enumerate() {
            let once = match self.query.count {
                Count::Unique => 0,
                Count::Total => index as u32,
                Count::Sessions => session_of[attempt.entry() as usize],
            };
            self.attribute(segmented, attempt, ids);
            candidates.extend(ids.iter().map(|id| (once, *id, index as u32)));
        }
        if candidates.len() > 1 {
            let optimized = self.query.reentry == Reentry::Optimized;
            let reached = |index: u32| if optimized { attempts[index as usize].reached } else { 0 };
            candidates.sort_unstable_by_key(|(once, id, index)| (*once, *id, Reverse(reached(*index)), *index));
            candidates.dedup_by_key(|(once, id, _)| (*once, *id));
        }
        for (_, id, index) in candidates {
            let attempt = &attempts[*index as usize];
            if self.passes(segmented.hits, attempt) {
                each(*id, attempt);
            }
        }
    }

    /// The segments of an attempt: raw ids or slots, as the breakdown gives them.
    fn attribute(&self, segmented: &Segmented<'_>, attempt: &Attempt, ids: &mut Vec<u64>) {
        let Segmented { split, person, hits } = *segmented;
        let properties = self.query.breakdown.as_ref().map_or(0, |breakdown| breakdown.by.len());
        let rows = attempt.rows().iter().map(|row| &hits[*row as usize]);
        let picked = |index: usize| {
            let mut rows = rows.clone();
            match self.query.attribution {
                Attribution::First => rows.find(|hit| split.has(index, hit)),
                Attribution::Last => rows.rfind(|hit| split.has(index, hit)),
                Attribution::Step { step } => rows.nth(step as usize - 1),
            }
        };
        let whole = match self.query.attribution {
            Attribution::First | Attribution::Last if properties == 1 => picked(0),
            Attribution::First | Attribution::Last => None,
            Attribution::Step { step } => rows.clone().nth(step as usize - 1),
        };
        match whole {
            Some(hit) => split.ids(person, hit, ids),
            None => split.combine(person, picked, ids),
        }
    }

    /// Whether the values that attribution picks pass every filter on events.
    fn passes(&self, hits: &[Hit], attempt: &Attempt) -> bool {
        self.filters.iter().all(|filter| {
            let mut rows = attempt.rows().iter().map(|row| &hits[*row as usize]);
            let picked = match self.query.attribution {
                Attribution::First => rows.find(|hit| filter.set(hit)),
                Attribution::Last => rows.rfind(|hit| filter.set(hit)),
                Attribution::Step { step } => rows.nth(step as usize - 1),
            };
            filter.passes(picked)
        })
    }

    /// How often the event asked for happened between its steps; `None` for an attempt that did not get there.
    fn between(&self, hits: &[Hit], attempt: &Attempt) -> Option<u64> {
        let between = self.between.as_ref()?;
        let rows = attempt.rows();
        let (from, to) = (*rows.get(between.after - 1)? as usize, *rows.get(between.before - 1)? as usize);
        let inside = hits.get(from + 1..to).unwrap_or_default();
        let times = inside.iter().filter(|hit| hit.tags & between.bit != 0).count();
        let taken = rows.iter().map(|row| *row as usize).filter(|row| *row > from && *row < to);
        let taken = taken.filter(|row| hits[*row].tags & between.bit != 0).count();
        Some((times - taken) as u64)
    }
}

#[derive(Clone, Copy)]
struct Segmented<'a> {
    split: &'a Split,
    person: SubjectNo,
    hits: &'a [Hit],
}

/// Hands every bucket that has an entry, and its range, to `each`. Entries come in order of time.
fn each_bucket(trend: &Buckets, entries: impl Iterator<Item = i64>, mut each: impl FnMut(u32, (i64, i64))) {
    let mut last = None;
    for time in entries.filter(|time| (trend.from_us()..trend.to_us()).contains(time)) {
        let bucket = trend.find(time, last.unwrap_or(0));
        if last != Some(bucket) {
            each(bucket as u32, (trend.starts[bucket], trend.starts[bucket + 1]));
            last = Some(bucket);
        }
    }
}

/// A condition on the value of a property in single rows.
struct RowFilter {
    /// By file: the tests of the condition, and those of "is set".
    files: Vec<(Vec<ColumnTest>, Vec<ColumnTest>)>,
    negated: bool,
}

impl RowFilter {
    fn new(scan: &Scan<'_>, filter: &Filter) -> Result<RowFilter> {
        let (condition, negated) = ValueTest::new(&filter.condition);
        let (set, _) = ValueTest::new(&Condition::IsSet);
        let mut files = Vec::with_capacity(scan.files.len());
        for file in &scan.files {
            let (mut passing, mut setting) = (Vec::new(), Vec::new());
            for property_type in PropertyType::ALL {
                let key = PropertyKey { name: filter.property.clone(), property_type };
                if let Some(column) = file.segment.column(&key)? {
                    setting.push(set.over(Arc::clone(&column), property_type));
                    passing.push(condition.over(column, property_type));
                }
            }
            files.push((passing, setting));
        }
        Ok(RowFilter { files, negated })
    }

    fn set(&self, hit: &Hit) -> bool {
        self.files[hit.file as usize].1.iter().any(|test| test.passes(hit.row as usize))
    }

    /// Of no row: whether "not set" passes.
    fn passes(&self, hit: Option<&Hit>) -> bool {
        let any =
            hit.is_some_and(|hit| self.files[hit.file as usize].0.iter().any(|test| test.passes(hit.row as usize)));
        any != self.negated
    }
}

/// A funnel while it is counted.
#[derive(Debug, Default)]
struct Tally {
    counts: Vec<u64>,
    /// From the step before; nothing for the first.
    waits: Vec<Durations>,
    whole: Durations,
}

impl Tally {
    fn new(steps: usize) -> Tally {
        let mut waits = Vec::with_capacity(steps);
        waits.resize_with(steps, Durations::default);
        Tally { counts: vec![0; steps], waits, whole: Durations::default() }
    }

    /// Bytes of one without durations.
    fn width(&self) -> usize {
        (self.counts.len() + 1) * (size_of::<u64>() + size_of::<Durations>())
    }

    #[inline]
    fn record(&mut self, hits: &[Hit], attempt: &Attempt) {
        let rows = attempt.rows();
        let time = |step: usize| hits[rows[step] as usize].time;
        self.counts[0] += 1;
        for step in 1..rows.len() {
            self.counts[step] += 1;
            self.waits[step].push(time(step) - time(step - 1));
        }
        // With two steps the only wait is the whole.
        let steps = self.counts.len();
        if rows.len() == steps && steps > 2 {
            self.whole.push(time(steps - 1) - time(0));
        }
    }

    fn add(&mut self, other: Tally) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
        self.waits.iter_mut().zip(other.waits).for_each(|(sum, waits)| sum.add(waits));
        self.whole.add(other.whole);
    }

    fn finish(mut self) -> FunnelResult {
        let two = self.counts.len() == 2;
        let whole = if two { &mut self.waits[1] } else { &mut self.whole };
        let time_to_convert = whole.median_ms().zip(whole.average_ms()).map(|(median_ms, average_ms)| {
            let (edges_ms, counts) = whole.distribution();
            TimeToConvert { median_ms, average_ms, edges_ms, counts }
        });
        let steps = self.counts.into_iter().zip(&mut self.waits).map(|(count, waits)| FunnelStep {
            count,
            median_ms_from_previous: waits.median_ms(),
            average_ms_from_previous: waits.average_ms(),
        });
        FunnelResult { steps: steps.collect(), time_to_convert }
    }
}

/// Segments with entries, each beside all of them.
fn compare(split: &Split, tallies: Vec<Tally>) -> Vec<FunnelSegment> {
    let ends = |tally: &Tally| (tally.counts[0], tally.counts[tally.counts.len() - 1]);
    let (all, converted) = tallies.iter().map(ends).fold((0, 0), |sum, ends| (sum.0 + ends.0, sum.1 + ends.1));
    let segments = tallies.into_iter().enumerate().filter(|(_, tally)| tally.counts[0] > 0);
    segments
        .map(|(slot, tally)| {
            let (entries, conversions) = ends(&tally);
            let enough = entries >= SIGNIFICANCE_ENTRIES_MIN && all - entries >= SIGNIFICANCE_ENTRIES_MIN;
            FunnelSegment {
                segment: split.name(slot),
                significance: enough.then(|| significance(all, converted, entries, conversions)),
                result: tally.finish(),
            }
        })
        .collect()
}

/// Of `drawn` entries out of `all`, of which `converted` did: the probability of fewer than `conversions`, or of
/// more, whichever is larger. Terms of the hypergeometric distribution are taken relative to its largest, outwards
/// from there, so that nothing overflows and nothing is lost but what is too small to count.
fn significance(all: u64, converted: u64, drawn: u64, conversions: u64) -> f64 {
    let (low, high) = ((drawn + converted).saturating_sub(all), drawn.min(converted));
    let mode = (u128::from(drawn + 1) * u128::from(converted + 1) / u128::from(all + 2)) as u64;
    let mode = mode.clamp(low, high);
    // Of k + 1, relative to that of k.
    let ratio = |k: u64| {
        let up = (converted - k) as f64 * (drawn - k) as f64;
        up / ((k + 1) as f64 * (all + k + 1 - converted - drawn) as f64)
    };
    const NEGLIGIBLE: f64 = 1e-20;
    let (mut fewer, mut equal, mut more) = (0.0, 0.0, 0.0);
    let mut count = |k: u64, term: f64| match k.cmp(&conversions) {
        std::cmp::Ordering::Less => fewer += term,
        std::cmp::Ordering::Equal => equal += term,
        std::cmp::Ordering::Greater => more += term,
    };
    let mut term = 1.0;
    for k in mode..=high {
        count(k, term);
        if k == high || term < NEGLIGIBLE {
            break;
        }
        term *= ratio(k);
    }
    let mut term = 1.0;
    for k in (low..mode).rev() {
        term /= ratio(k);
        count(k, term);
        if term < NEGLIGIBLE {
            break;
        }
    }
    fewer.max(more) / (fewer + equal + more)
}
