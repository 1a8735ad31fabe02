//! What is merged with what: the policy of compaction, as pure functions of what there is and what time it is.
//!
//! A flush writes one segment per bucket with whatever days it holds. Compaction sorts such *mixed* segments into
//! *periods* (UTC): days in the current week of the month, weeks of the month (1–7, 8–14, 15–21, 22–end) in the
//! current month and the one before, months before that. Days fold into their week, and weeks into their month, as
//! they age: nothing remembers a level, a segment belongs to the period that holds all of its times now.
//!
//! - Within a period segments of a like size are merged four at a time. Once a period is over, the small ones join
//!   the large one when together they reach a quarter of it, or one another when there are several: a late event
//!   does not rewrite its month.
//! - Few rows stay mixed, and a period gets a segment of its own only for enough rows: small data must not become
//!   many tiny files.
//! - Segments are rewritten alone where they hold rows that must go (erased subjects, events or columns past
//!   their retention), or many that nobody reads.

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_model::{SubjectNo, limits};

/// Rows of a written segment at most.
pub(crate) const ROWS_MAX: u64 = 8_000_000;
/// Rows of one bucket that may lie in mixed segments.
const MIXED_ROWS_MAX: u64 = 200_000;
/// Rows of a period that get a segment of their own when mixed segments are split.
const OWN_ROWS_MIN: u64 = 8_192;
/// Segments of a like size that are merged.
const LIKE_SIZED: usize = 4;

const DAY_US: i64 = 86_400_000_000;

/// How long a project keeps what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Events older than so many days go.
    pub events_days: Option<u32>,
    /// Values of these properties go from events older than so many days; none of a day later at the latest, but for
    /// 0 days, which go at once.
    pub columns: BTreeMap<String, u32>,
}

impl Retention {
    /// Events before this go, µs UTC.
    pub(crate) fn events_from_us(&self, now_us: i64) -> Option<i64> {
        self.events_days.map(|days| now_us - i64::from(days) * DAY_US)
    }

    /// Values of a property before this go, µs UTC. Of one that is not kept at all, those of the future too.
    pub(crate) fn values_from_us(&self, name: &str, now_us: i64) -> i64 {
        match self.columns.get(name) {
            None => i64::MIN,
            Some(0) => i64::MAX,
            Some(days) => now_us - i64::from(*days) * DAY_US,
        }
    }

    /// Before this a value of a property is reason enough to rewrite its segment: a day of them goes at a time.
    pub(crate) fn overdue_us(&self, name: &str, now_us: i64, pace: Pace) -> i64 {
        let is_patient = pace == Pace::Due && self.columns.get(name) != Some(&0);
        self.values_from_us(name, now_us).saturating_sub(if is_patient { DAY_US } else { 0 })
    }
}

/// When rewrites are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// What has waited long enough.
    Due,
    /// Everything that has to go goes now.
    Now,
}

/// What the policy looks at.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub(crate) id: u64,
    pub(crate) bucket: u32,
    pub(crate) rows: u64,
    pub(crate) hidden: u64,
    pub(crate) time_us: (i64, i64),
    /// The oldest erasure whose rows are still in the file, µs UTC.
    pub(crate) erased_us: Option<i64>,
    /// Has values past their retention.
    pub(crate) expired_values: bool,
}

impl Meta {
    /// The same, as if each row were `weight` rows.
    pub(crate) fn weighed(self, weight: u64) -> Meta {
        Meta { rows: self.rows * weight, hidden: self.hidden * weight, ..self }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Everything in them is past its retention.
    Drop(Vec<u64>),
    /// Exchange them for what is left of them.
    Rewrite { bucket: u32, sources: Vec<u64>, layout: Layout },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One segment.
    Together,
    /// One per period that has enough rows, and one for the rest.
    Split,
}

/// A stretch of time, µs UTC, its end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Period {
    pub(crate) start_us: i64,
    pub(crate) end_us: i64,
}

impl Period {
    /// The period that an event's time belongs to when it is `now_us`.
    pub(crate) fn of(time_us: i64, now_us: i64) -> Period {
        let day = time_us.div_euclid(DAY_US);
        let (year, month, day_of_month) = civil(day);
        let (now_year, now_month, now_day) = civil(now_us.div_euclid(DAY_US));
        let age = (now_year * 12 + now_month) - (year * 12 + month);
        let week = |day_of_month: i64| ((day_of_month - 1) / 7).min(3);
        let first = day - (day_of_month - 1);
        let next_month = days(year + month / 12, month % 12 + 1);
        let (start, end) = if age < 0 || (age == 0 && week(day_of_month) >= week(now_day)) {
            (day, day + 1)
        } else if age <= 1 {
            let week = week(day_of_month);
            (first + 7 * week, if week == 3 { next_month } else { first + 7 * week + 7 })
        } else {
            (first, next_month)
        };
        Period { start_us: start * DAY_US, end_us: end * DAY_US }
    }
}

/// Jobs for one project's segments; no segment is in two. Nothing to do: empty. Done repeatedly, it ends.
pub(crate) fn plan(segments: &[Meta], retention: &Retention, now_us: i64, pace: Pace) -> Vec<Job> {
    let events_from_us = retention.events_from_us(now_us);
    let (gone, kept): (Vec<&Meta>, Vec<&Meta>) =
        segments.iter().partition(|meta| events_from_us.is_some_and(|from| meta.time_us.1 < from));
    let mut jobs = Vec::new();
    if !gone.is_empty() {
        jobs.push(Job::Drop(gone.iter().map(|meta| meta.id).collect()));
    }
    let mut buckets: BTreeMap<u32, Vec<&Meta>> = BTreeMap::new();
    for meta in kept {
        buckets.entry(meta.bucket).or_default().push(meta);
    }
    for (bucket, segments) in buckets {
        let mut busy = BTreeSet::new();
        let mut push = |sources: Vec<u64>, layout| {
            busy.extend(sources.iter().copied());
            jobs.push(Job::Rewrite { bucket, sources, layout });
        };
        let mut mixed = Vec::new();
        let mut periods: BTreeMap<Period, Vec<&Meta>> = BTreeMap::new();
        for &meta in &segments {
            let period = Period::of(meta.time_us.0, now_us);
            if meta.time_us.1 < period.end_us {
                periods.entry(period).or_default().push(meta);
            } else {
                mixed.push(meta);
            }
        }
        if mixed.iter().map(|meta| live(meta)).sum::<u64>() >= MIXED_ROWS_MAX {
            mixed.sort_unstable_by_key(|meta| meta.id);
            let count = fitting(&mixed).len().max(1);
            push(mixed[..count].iter().map(|meta| meta.id).collect(), Layout::Split);
        } else if let Some(sources) = like_sized(&mixed) {
            push(sources, Layout::Together);
        }
        for (period, segments) in &periods {
            let over = period.end_us <= now_us;
            if let Some(sources) = like_sized(segments).or_else(|| over.then(|| leftovers(segments)).flatten()) {
                push(sources, Layout::Together);
            }
        }
        for meta in segments {
            let erased_wait_us = limits::ERASE_WITHIN_SECONDS * 1_000_000 / 2;
            let erased = meta.erased_us.is_some_and(|at| pace == Pace::Now || now_us - at >= erased_wait_us);
            let patience_us = if pace == Pace::Now { 0 } else { DAY_US };
            let old = events_from_us.is_some_and(|from| meta.time_us.0 < from - patience_us);
            let unread = meta.hidden > 0 && meta.hidden * 4 >= meta.rows;
            if (erased || old || unread || meta.expired_values) && !busy.contains(&meta.id) {
                jobs.push(Job::Rewrite { bucket, sources: vec![meta.id], layout: Layout::Together });
            }
        }
    }
    jobs
}

/// Which periods get a segment of their own when rows are split; the others share one.
pub(crate) fn own_segments(rows: &BTreeMap<Period, u64>) -> BTreeSet<Period> {
    let (mut own, mut rest): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, rows)| **rows >= OWN_ROWS_MIN);
    rest.sort_unstable_by_key(|(period, rows)| (**rows, **period));
    // So that what stays mixed is not split again at once.
    while rest.iter().map(|(_, rows)| **rows).sum::<u64>() > MIXED_ROWS_MAX / 2 {
        own.extend(rest.pop());
    }
    own.into_iter().map(|(period, _)| *period).collect()
}

/// The insert id of a row that moves to another subject of its person. Rows sent under different ids stay different,
/// and a later copy of such a row is recognised: see [`is_folded`]. 0 stays nobody's duplicate.
pub(crate) fn folded_insert_id(insert_id: u64, subject: SubjectNo) -> u64 {
    if insert_id == 0 || is_folded(insert_id) {
        return insert_id;
    }
    // Murmur3's finaliser: within equal (subject, time, event) any spread will do.
    let mut mixed = insert_id ^ (u64::from(subject.0) << 32 | u64::from(subject.0));
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (mixed ^ (mixed >> 33)) | FOLDED
}

/// Whether a row was moved from another subject; ids that come in never look so: see [`unfolded`].
pub(crate) fn is_folded(insert_id: u64) -> bool {
    insert_id & FOLDED != 0
}

/// An insert id as it enters the lake.
pub(crate) fn unfolded(insert_id: u64) -> u64 {
    match insert_id & !FOLDED {
        0 if insert_id != 0 => 1,
        id => id,
    }
}

const FOLDED: u64 = 1 << 63;

fn live(meta: &Meta) -> u64 {
    meta.rows.saturating_sub(meta.hidden)
}

/// The first ones that fit into one segment together.
fn fitting<'a, 'b>(segments: &'a [&'b Meta]) -> &'a [&'b Meta] {
    let mut rows = 0;
    let count = segments
        .iter()
        .take_while(|meta| {
            rows += live(meta);
            rows <= ROWS_MAX
        })
        .count();
    &segments[..count]
}

/// Four or more whose sizes are within a factor of four, the smallest such.
fn like_sized(segments: &[&Meta]) -> Option<Vec<u64>> {
    let mut classes: BTreeMap<u32, Vec<&Meta>> = BTreeMap::new();
    for &meta in segments.iter().filter(|meta| live(meta) < ROWS_MAX) {
        classes.entry(live(meta).max(1).ilog(4)).or_default().push(meta);
    }
    classes.into_values().filter(|class| class.len() >= LIKE_SIZED).find_map(|mut class| {
        class.sort_unstable_by_key(|meta| meta.id);
        let sources = fitting(&class);
        (sources.len() >= 2).then(|| sources.iter().map(|meta| meta.id).collect())
    })
}

/// Of a period that is over: all that fit when the small ones are worth it, or several small ones.
fn leftovers(segments: &[&Meta]) -> Option<Vec<u64>> {
    let mut ascending: Vec<&Meta> = segments.iter().copied().filter(|meta| live(meta) < ROWS_MAX).collect();
    ascending.sort_unstable_by_key(|meta| (live(meta), meta.id));
    let fitting = fitting(&ascending);
    let (largest, small) = fitting.split_last()?;
    let small_rows: u64 = small.iter().map(|meta| live(meta)).sum();
    let chosen = if !small.is_empty() && small_rows * 4 >= live(largest) {
        fitting
    } else if small.len() >= LIKE_SIZED {
        small
    } else {
        return None;
    };
    Some(chosen.iter().map(|meta| meta.id).collect())
}

/// Year, month and day of a day counted from 1970-01-01 (proleptic Gregorian).
fn civil(day: i64) -> (i64, i64, i64) {
    // Years that begin in March have their leap day at the end; 400 of them have 146,097 days.
    let shifted = day + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_month)
}

/// The first day of a month, counted from 1970-01-01.
fn days(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(year: i64, month: i64, day: i64) -> i64 {
        (days(year, month) + day - 1) * DAY_US
    }

    fn meta(id: u64, rows: u64, from_us: i64, to_us: i64) -> Meta {
        Meta { id, bucket: 0, rows, hidden: 0, time_us: (from_us, to_us), erased_us: None, expired_values: false }
    }

    fn due(segments: &[Meta], now_us: i64) -> Vec<Job> {
        plan(segments, &Retention::default(), now_us, Pace::Due)
    }

    fn together(sources: &[u64]) -> Vec<Job> {
        vec![Job::Rewrite { bucket: 0, sources: sources.to_vec(), layout: Layout::Together }]
    }

    #[test]
    fn periods_age_from_days_to_weeks_to_months() {
        let now = at(2024, 3, 16) + 5;
        let period = |year, month, day| Period::of(at(year, month, day) + 77, now);
        let span = |from, to| Period { start_us: from, end_us: to };
        assert_eq!(period(2024, 3, 16), span(at(2024, 3, 16), at(2024, 3, 17)));
        assert_eq!(period(2024, 3, 15), span(at(2024, 3, 15), at(2024, 3, 16)));
        assert_eq!(period(2024, 3, 14), span(at(2024, 3, 8), at(2024, 3, 15)));
        assert_eq!(period(2024, 2, 29), span(at(2024, 2, 22), at(2024, 3, 1)));
        assert_eq!(period(2024, 2, 1), span(at(2024, 2, 1), at(2024, 2, 8)));
        assert_eq!(period(2024, 1, 31), span(at(2024, 1, 1), at(2024, 2, 1)));
        assert_eq!(period(2023, 12, 25), span(at(2023, 12, 1), at(2024, 1, 1)));
        assert_eq!(period(2024, 4, 2), span(at(2024, 4, 2), at(2024, 4, 3)), "clocks differ");
        assert_eq!(Period::of(at(2023, 12, 31), at(2024, 1, 1)), span(at(2023, 12, 22), at(2024, 1, 1)));
        assert_eq!(civil(-1), (1969, 12, 31));
    }

    #[test]
    fn few_rows_stay_mixed_and_many_are_split() {
        let now = at(2024, 3, 16);
        let old = at(2023, 1, 1);
        assert_eq!(due(&[meta(1, 1_000, old, now), meta(2, 90_000, old, now)], now), []);
        let four: Vec<Meta> = (1..=4).map(|id| meta(id, 20_000, old, now)).collect();
        assert_eq!(due(&four, now), together(&[1, 2, 3, 4]));
        let many: Vec<Meta> = (1..=2).map(|id| meta(id, 100_000, old, now)).collect();
        assert_eq!(due(&many, now), [Job::Rewrite { bucket: 0, sources: vec![1, 2], layout: Layout::Split }]);
        let too_many = [meta(1, 5_000_000, old, now), meta(2, 5_000_000, old, now)];
        assert_eq!(due(&too_many, now), [Job::Rewrite { bucket: 0, sources: vec![1], layout: Layout::Split }]);
    }

    #[test]
    fn a_late_event_does_not_rewrite_its_month() {
        let now = at(2024, 3, 16);
        let (from, to) = (at(2023, 5, 1), at(2023, 5, 30));
        let large = meta(1, 1_000_000, from, to);
        assert_eq!(due(&[large.clone(), meta(2, 9_000, from, to)], now), []);
        assert_eq!(due(&[large.clone(), meta(2, 250_000, from, to)], now), together(&[2, 1]));
        let several = [
            large,
            meta(2, 200, from, to),
            meta(3, 1_000, from, to),
            meta(4, 5_000, from, to),
            meta(5, 20_000, from, to),
        ];
        assert_eq!(due(&several, now), together(&[2, 3, 4, 5]));
    }

    #[test]
    fn days_fold_into_their_week_once_it_is_over() {
        let day = |id, day| meta(id, 1_000_000, at(2024, 3, day), at(2024, 3, day) + 9);
        let week = [day(1, 8), day(2, 9), day(3, 10), day(4, 11), day(5, 12)];
        assert_eq!(due(&week, at(2024, 3, 14)), []);
        assert_eq!(due(&week, at(2024, 3, 15)), together(&[1, 2, 3, 4, 5]));
        let heavy: Vec<Meta> = week.iter().map(|meta| Meta { rows: 3_000_000, ..meta.clone() }).collect();
        assert_eq!(due(&heavy, at(2024, 3, 15)), together(&[1, 2]), "no output beyond the bound");
    }

    #[test]
    fn what_must_go_is_rewritten() {
        let now = at(2024, 3, 16);
        let plain = meta(1, 1_000, at(2024, 3, 1), at(2024, 3, 2));
        let plan_with = |meta: Meta, events_days, pace| {
            plan(&[meta], &Retention { events_days, columns: BTreeMap::new() }, now, pace)
        };
        assert_eq!(plan_with(plain.clone(), None, Pace::Now), []);
        assert_eq!(plan_with(plain.clone(), Some(13), Pace::Due), [Job::Drop(vec![1])]);
        assert_eq!(plan_with(plain.clone(), Some(14), Pace::Due), [], "less than a day's worth");
        assert_eq!(plan_with(plain.clone(), Some(14), Pace::Now), together(&[1]));
        let wide = Meta { time_us: (at(2024, 3, 1), at(2024, 3, 6)), ..plain.clone() };
        assert_eq!(plan_with(wide, Some(13), Pace::Due), together(&[1]));
        let erased = Meta { hidden: 1, erased_us: Some(now - 1_000_000), ..plain.clone() };
        assert_eq!(plan_with(erased.clone(), None, Pace::Due), []);
        assert_eq!(plan_with(erased.clone(), None, Pace::Now), together(&[1]));
        let waited = Meta { erased_us: Some(now - DAY_US), ..erased };
        assert_eq!(plan_with(waited, None, Pace::Due), together(&[1]));
        assert_eq!(plan_with(Meta { hidden: 249, ..plain.clone() }, None, Pace::Due), []);
        assert_eq!(plan_with(Meta { hidden: 250, ..plain.clone() }, None, Pace::Due), together(&[1]));
        assert_eq!(plan_with(Meta { expired_values: true, ..plain }, None, Pace::Due), together(&[1]));
    }

    #[test]
    fn a_split_leaves_little_mixed() {
        let day = |n: i64| Period { start_us: n * DAY_US, end_us: (n + 1) * DAY_US };
        let rows: BTreeMap<Period, u64> = (0..300).map(|n| (day(n), if n < 3 { 50_000 } else { 1_000 })).collect();
        let own = own_segments(&rows);
        assert!((0..3).all(|n| own.contains(&day(n))));
        let mixed: u64 = rows.iter().filter(|(period, _)| !own.contains(period)).map(|(_, rows)| rows).sum();
        assert!(mixed <= MIXED_ROWS_MAX / 2 && mixed > 90_000);
        let late: BTreeMap<Period, u64> = (0..30).map(|n| (day(n), if n == 29 { 250_000 } else { 10 })).collect();
        assert_eq!(own_segments(&late), BTreeSet::from([day(29)]));
    }

    #[test]
    fn folded_insert_ids_are_marked_and_kept() {
        let (a, b) = (SubjectNo(1), SubjectNo(2));
        let once = folded_insert_id(77, a);
        assert!(is_folded(once) && once != folded_insert_id(77, b) && once != folded_insert_id(78, a));
        assert_eq!(folded_insert_id(once, b), once);
        assert_eq!(folded_insert_id(0, a), 0);
        assert_eq!((unfolded(0), unfolded(FOLDED), unfolded(FOLDED | 6), unfolded(5)), (0, 1, 6, 5));
    }

    proptest! {
        #[test]
        fn planning_ends_and_keeps_to_the_bound(
            segments in proptest::collection::vec((1..3_000_000_u64, 0..400_i64, 0..40_i64, 0..3_u32), 0..60),
            now_day in 0..500_i64,
        ) {
            let now_us = now_day * DAY_US;
            let mut segments: Vec<Meta> = segments
                .into_iter()
                .enumerate()
                .map(|(id, (rows, day, span, bucket))| {
                    Meta { bucket, ..meta(id as u64, rows, day * DAY_US, (day + span) * DAY_US) }
                })
                .collect();
            let total: u64 = segments.iter().map(|meta| meta.rows).sum();
            let mut next = segments.len() as u64;
            for round in 0.. {
                prop_assert!(round < 200, "planning goes on for ever");
                let jobs = due(&segments, now_us);
                if jobs.is_empty() {
                    break;
                }
                let mut seen = BTreeSet::new();
                for job in jobs {
                    let Job::Rewrite { bucket, sources, layout } = job else { panic!("nothing is past its retention") };
                    prop_assert!(sources.iter().all(|id| seen.insert(*id)), "a segment in two jobs");
                    let (parts, rest): (Vec<Meta>, Vec<Meta>) =
                        segments.into_iter().partition(|meta| sources.contains(&meta.id));
                    segments = rest;
                    prop_assert!(parts.iter().all(|meta| meta.bucket == bucket));
                    let rows: u64 = parts.iter().map(|meta| meta.rows).sum();
                    prop_assert!(rows <= ROWS_MAX);
                    let low = parts.iter().map(|meta| meta.time_us.0).min().unwrap();
                    let high = parts.iter().map(|meta| meta.time_us.1).max().unwrap();
                    if layout == Layout::Together {
                        prop_assert!(parts.len() > 1);
                        segments.push(Meta { bucket, ..meta(next, rows, low, high) });
                        next += 1;
                        continue;
                    }
                    // As if the rows were spread evenly over the days.
                    let mut histogram: BTreeMap<Period, u64> = BTreeMap::new();
                    let days = (high - low) / DAY_US + 1;
                    for day in 0..days {
                        let share = rows / days as u64 + u64::from((day as u64) < rows % days as u64);
                        *histogram.entry(Period::of(low + day * DAY_US, now_us)).or_default() += share;
                    }
                    let own = own_segments(&histogram);
                    for period in &own {
                        segments.push(Meta { bucket, ..meta(next, histogram[period], period.start_us, period.end_us - 1) });
                        next += 1;
                    }
                    let mixed: u64 = histogram.iter().filter(|(period, _)| !own.contains(period)).map(|(_, rows)| rows).sum();
                    if mixed > 0 {
                        segments.push(Meta { bucket, ..meta(next, mixed, low, high) });
                        next += 1;
                    }
                }
                prop_assert_eq!(segments.iter().map(|meta| meta.rows).sum::<u64>(), total);
            }
        }
    }
}
