//! Walking the persons of a snapshot.
//!
//! For each person the rows of all their subjects, from all segments, come as one slice ordered by
//! (time, arrival), with superseded duplicates left out. Subjects that were never merged are walked bucket by
//! bucket, in ranges; merged persons in a second pass over the groups, since their members may lie in
//! different buckets. Ranges and groups are units of work that threads take in turn.
//!
//! Two records are the same when subject, time, event and insert id are: the one that arrived last counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cofferdam_lake::columns::bucket_of;
use cofferdam_lake::{Core, Segment};
use cofferdam_model::SubjectNo;
use cofferdam_model::merges::Group;
use rustc_hash::FxHashMap;

use crate::{Input, Result};

/// Where one row of a person is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) time: i64,
    pub(crate) received: i64,
    pub(crate) subject: SubjectNo,
    /// Index into the segments given to the scan.
    pub(crate) segment: u32,
    pub(crate) row: u32,
}

/// Segments that may hold rows of a time range, with their core columns.
pub(crate) struct Prepared {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) cores: Vec<Arc<Core>>,
    buckets: u32,
    /// Indices of the segments of each bucket.
    by_bucket: Vec<Vec<usize>>,
    /// Only rows in here are handed out, µs UTC, the end not included.
    from_us: i64,
    to_us: i64,
}

impl Prepared {
    pub(crate) fn new(input: &Input<'_>, from_us: i64, to_us: i64) -> Result<Prepared> {
        let buckets = input.snapshot.buckets();
        let mut prepared = Prepared {
            segments: Vec::new(),
            cores: Vec::new(),
            buckets,
            by_bucket: vec![Vec::new(); buckets as usize],
            from_us,
            to_us,
        };
        for segment in input.snapshot.segments() {
            if segment.time_us.0 < to_us && segment.time_us.1 >= from_us {
                prepared.by_bucket[segment.bucket as usize].push(prepared.segments.len());
                prepared.cores.push(segment.core()?);
                prepared.segments.push(segment.clone());
            }
        }
        let rows: u64 = prepared.segments.iter().map(|segment| segment.rows).sum();
        input.scanned.fetch_max(rows, Ordering::Relaxed);
        Ok(prepared)
    }

    fn gather(&self, subject: SubjectNo, segment: usize, index: usize, rows: &mut Vec<Row>) {
        let core = &self.cores[segment];
        let (mut low, mut high) = (core.offsets[index] as usize, core.offsets[index + 1] as usize);
        // Rows of a subject are in time order; most ranges hold all of them.
        if core.time[low] < self.from_us {
            low += core.time[low..high].partition_point(|time| *time < self.from_us);
        }
        if low < high && core.time[high - 1] >= self.to_us {
            high = low + core.time[low..high].partition_point(|time| *time < self.to_us);
        }
        rows.extend((low..high).map(|row| Row {
            time: core.time[row],
            received: core.received[row],
            subject,
            segment: segment as u32,
            row: row as u32,
        }));
    }

    fn identity(&self, row: &Row) -> (u64, &str) {
        let core = &self.cores[row.segment as usize];
        (core.insert_id[row.row as usize], core.event_name(row.row as usize))
    }

    /// Orders rows that came from several places and leaves out superseded records.
    fn settle(&self, rows: &mut Vec<Row>) {
        rows.sort_unstable_by_key(|row| (row.time, row.received));
        let equal_times = rows.windows(2).any(|pair| pair[0].time == pair[1].time);
        if !equal_times {
            return;
        }
        let mut keep = vec![true; rows.len()];
        let mut newest: FxHashMap<(SubjectNo, u64, &str), usize> = FxHashMap::default();
        let mut time = None;
        for (at, row) in rows.iter().enumerate() {
            if time != Some(row.time) {
                time = Some(row.time);
                newest.clear();
            }
            let (insert_id, name) = self.identity(row);
            if insert_id != 0
                && let Some(older) = newest.insert((row.subject, insert_id, name), at)
            {
                keep[older] = false;
            }
        }
        let mut at = 0;
        rows.retain(|_| {
            at += 1;
            keep[at - 1]
        });
    }

    /// The rows of one person.
    pub(crate) fn person(&self, input: &Input<'_>, subject: SubjectNo) -> Vec<Row> {
        let alone = Group { canonical: subject, members: vec![subject] };
        let mut rows = Vec::new();
        self.gather_group(input.merges.group(subject).unwrap_or(&alone), &mut rows);
        rows
    }

    fn gather_group(&self, group: &Group, rows: &mut Vec<Row>) {
        rows.clear();
        let mut sources = 0;
        for &member in &group.members {
            for &segment in &self.by_bucket[bucket_of(member, self.buckets) as usize] {
                if let Ok(index) = self.cores[segment].subjects.binary_search(&member) {
                    self.gather(member, segment, index, rows);
                    sources += 1;
                }
            }
        }
        if sources > 1 {
            self.settle(rows);
        }
    }
}

/// Like [`everybody`], without the events of nobody: what operators that count persons walk.
pub(crate) fn persons<P: Send>(
    input: &Input<'_>,
    prepared: &Prepared,
    make: impl Fn() -> P + Sync,
    each: impl Fn(&mut P, SubjectNo, &[Row]) + Sync,
) -> Vec<P> {
    everybody(input, prepared, make, |partial, person, rows| {
        if person != SubjectNo::NOBODY {
            each(partial, person, rows);
        }
    })
}

/// A share of the work.
enum Unit<'a> {
    /// Subjects `from..to` of a bucket that were never merged.
    Alone {
        bucket: usize,
        from: u64,
        to: u64,
    },
    Merged(Vec<&'a Group>),
}

/// Hands every person with rows in range to `each`, and the events of [`SubjectNo::NOBODY`] as if they were one's, on as many threads as there are cores.
/// Answers one partial per thread; no person is in two.
pub(crate) fn everybody<P: Send>(
    input: &Input<'_>,
    prepared: &Prepared,
    make: impl Fn() -> P + Sync,
    each: impl Fn(&mut P, SubjectNo, &[Row]) + Sync,
) -> Vec<P> {
    let units = units(input, prepared);
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(units.len()).max(1);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut partial = make();
        let mut rows = Vec::new();
        loop {
            let Some(unit) = units.get(next.fetch_add(1, Ordering::Relaxed)) else { return partial };
            match unit {
                Unit::Alone { bucket, from, to } => {
                    walk_alone(input, prepared, (*bucket, *from, *to), &mut rows, |subject, rows| {
                        each(&mut partial, subject, rows);
                    });
                }
                Unit::Merged(groups) => {
                    for group in groups {
                        prepared.gather_group(group, &mut rows);
                        if !rows.is_empty() {
                            each(&mut partial, group.canonical, &rows);
                        }
                    }
                }
            }
        }
    };
    if threads == 1 {
        return vec![work()];
    }
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

fn units<'a>(input: &'a Input<'_>, prepared: &Prepared) -> Vec<Unit<'a>> {
    const ROWS_PER_UNIT: u64 = 50_000;
    let mut units = Vec::new();
    for (bucket, segments) in prepared.by_bucket.iter().enumerate() {
        let rows: u64 = segments.iter().map(|segment| prepared.segments[*segment].rows).sum();
        let low = segments.iter().filter_map(|segment| prepared.cores[*segment].subjects.first()).min();
        let is_somebody = |subject: &&SubjectNo| **subject != SubjectNo::NOBODY;
        let last = |segment: &usize| prepared.cores[*segment].subjects.iter().rev().find(is_somebody);
        let high = segments.iter().filter_map(last).max();
        // Events of nobody are far above everybody's: a share of their own.
        let nobody = u64::from(SubjectNo::NOBODY.0);
        units.push(Unit::Alone { bucket, from: nobody, to: nobody + 1 });
        let (Some(low), Some(high)) = (low, high) else { continue };
        let (low, high) = (u64::from(low.0), u64::from(high.0));
        let span = high - low + 1;
        let parts = (rows / ROWS_PER_UNIT).clamp(1, span);
        for part in 0..parts {
            let (from, to) = (low + span * part / parts, low + span * (part + 1) / parts);
            units.push(Unit::Alone { bucket, from, to });
        }
    }
    let groups: Vec<&Group> = input.merges.groups().collect();
    units.extend(groups.chunks(2_000).map(|chunk| Unit::Merged(chunk.to_vec())));
    units
}

fn walk_alone(
    input: &Input<'_>,
    prepared: &Prepared,
    (bucket, from, to): (usize, u64, u64),
    rows: &mut Vec<Row>,
    mut each: impl FnMut(SubjectNo, &[Row]),
) {
    // One cursor per segment over its ascending subjects.
    let mut cursors: Vec<(usize, usize, usize)> = prepared.by_bucket[bucket]
        .iter()
        .map(|&segment| {
            let subjects = &prepared.cores[segment].subjects;
            let at = subjects.partition_point(|subject| u64::from(subject.0) < from);
            let end = subjects.partition_point(|subject| u64::from(subject.0) < to);
            (segment, at, end)
        })
        .filter(|(_, at, end)| at < end)
        .collect();
    while let Some(subject) = cursors.iter().map(|(segment, at, _)| prepared.cores[*segment].subjects[*at]).min() {
        let merged = input.merges.group(subject).is_some();
        rows.clear();
        let mut sources = 0;
        cursors.retain_mut(|(segment, at, end)| {
            if prepared.cores[*segment].subjects[*at] == subject {
                if !merged {
                    prepared.gather(subject, *segment, *at, rows);
                    sources += 1;
                }
                *at += 1;
            }
            at < end
        });
        if sources > 1 {
            prepared.settle(rows);
        }
        if !rows.is_empty() {
            each(subject, rows);
        }
    }
}
