//! Which rows a reader must not see: those that a newer record with the same identity supersedes, and those of
//! erased subjects.
//!
//! Records are one when subject, time, event and insert id (not 0) are equal; the one that arrived last counts. Within
//! a segment that is settled when it is made. Here two segments are joined, when one of them enters the view: on
//! subjects and times first, which are in memory or mapped; names and insert ids are read for collisions only.
//!
//! A row that compaction moved to another subject of its person keeps who it was sent for in its insert id
//! ([`folded_insert_id`]), so a later copy, which still comes under the old subject, finds it.

use std::collections::BTreeSet;
use std::ops::Range;

use cofferdam_model::{Merges, SubjectNo};
use rustc_hash::FxHashMap;

use crate::Result;
use crate::columns::{Core, bucket_of};
use crate::compact::folded_insert_id;
use crate::segment::Segment;

/// Rows to hide, ascending.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Superseded {
    pub(crate) of_entering: Vec<u32>,
    pub(crate) of_present: Vec<u32>,
}

/// Joins a segment that enters the view with one that is there.
pub(crate) fn superseded(entering: &Segment, present: &Segment, merges: &Merges, buckets: u32) -> Result<Superseded> {
    let mut result = Superseded::default();
    let low = entering.time_us.0.max(present.time_us.0);
    let high = entering.time_us.1.min(present.time_us.1);
    if low > high {
        return Ok(result);
    }
    let (ours, theirs) = (entering.core()?, present.core()?);
    let mut runs = Vec::new();
    if entering.bucket == present.bucket {
        common(&ours.subjects, &theirs.subjects, |our, their| {
            equal_times(&ours, rows(&ours, our), &theirs, rows(&theirs, their), None, &mut runs);
        });
    }
    for (index, &subject) in ours.subjects.iter().enumerate() {
        let subject = SubjectNo(subject);
        let Some(group) = merges.group(subject).filter(|group| group.canonical != subject) else { continue };
        for &other in group.members.iter().filter(|other| **other != subject) {
            if bucket_of(other, buckets) == present.bucket {
                let theirs_rows = theirs.rows_of(other);
                equal_times(&ours, rows(&ours, index), &theirs, theirs_rows, Some(subject), &mut runs);
            }
        }
    }
    if runs.is_empty() {
        return Ok(result);
    }
    let (our_ids, their_ids) = (entering.insert_ids()?, present.insert_ids()?);
    let (our_stamps, their_stamps) = (entering.received()?, present.received()?);
    let mut by_identity: FxHashMap<(u64, &str), usize> = FxHashMap::default();
    for Run { ours: our_rows, theirs: their_rows, moved } in runs {
        by_identity.clear();
        for row in our_rows.filter(|row| our_ids[*row] != 0) {
            let id = moved.map_or(our_ids[row], |subject| folded_insert_id(our_ids[row], subject));
            by_identity.insert((id, ours.event_name(row)), row);
        }
        for row in their_rows.filter(|row| their_ids[*row] != 0) {
            if let Some(&our_row) = by_identity.get(&(their_ids[row], theirs.event_name(row))) {
                if our_stamps[our_row] > their_stamps[row] {
                    result.of_present.push(row as u32);
                } else {
                    result.of_entering.push(our_row as u32);
                }
            }
        }
    }
    for rows in [&mut result.of_entering, &mut result.of_present] {
        rows.sort_unstable();
        rows.dedup();
    }
    Ok(result)
}

/// Rows of erased subjects, ascending.
pub(crate) fn erased_rows(segment: &Segment, erased: &BTreeSet<SubjectNo>) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    if erased.is_empty() {
        return Ok(found);
    }
    let core = segment.core()?;
    if erased.len() < core.subjects.len() {
        for subject in erased {
            found.extend(core.rows_of(*subject).map(|row| row as u32));
        }
    } else {
        for (index, _) in core.subjects.iter().enumerate().filter(|(_, subject)| erased.contains(&SubjectNo(**subject)))
        {
            found.extend(rows(&core, index).map(|row| row as u32));
        }
    }
    Ok(found)
}

/// The union of two ascending lists.
pub(crate) fn union(one: &[u32], other: &[u32]) -> Vec<u32> {
    let mut all = [one, other].concat();
    all.sort_unstable();
    all.dedup();
    all
}

/// Rows of equal subject and time in two segments.
struct Run {
    ours: Range<usize>,
    theirs: Range<usize>,
    /// The subject that their rows may have been moved from.
    moved: Option<SubjectNo>,
}

fn rows(core: &Core, index: usize) -> Range<usize> {
    core.offsets[index] as usize..core.offsets[index + 1] as usize
}

/// Calls with the indexes of values that are in both ascending lists.
fn common(ours: &[u32], theirs: &[u32], mut found: impl FnMut(usize, usize)) {
    let (mut our, mut their) = (0, 0);
    while our < ours.len() && their < theirs.len() {
        match ours[our].cmp(&theirs[their]) {
            std::cmp::Ordering::Less => our = skip_to(ours, our, theirs[their]),
            std::cmp::Ordering::Greater => their = skip_to(theirs, their, ours[our]),
            std::cmp::Ordering::Equal => {
                found(our, their);
                our += 1;
                their += 1;
            }
        }
    }
}

/// The first index after `from` whose value is at least `value`: in steps that double, so that a short list costs
/// little against a long one.
fn skip_to(values: &[u32], from: usize, value: u32) -> usize {
    let mut step = 1;
    while from + step < values.len() && values[from + step] < value {
        step *= 2;
    }
    let (low, high) = (from + step / 2, (from + step).min(values.len()));
    low + values[low..high].partition_point(|candidate| *candidate < value)
}

fn equal_times(
    ours: &Core,
    mut our: Range<usize>,
    theirs: &Core,
    mut their: Range<usize>,
    moved: Option<SubjectNo>,
    runs: &mut Vec<Run>,
) {
    while !our.is_empty() && !their.is_empty() {
        let (our_time, their_time) = (ours.time.get(our.start), theirs.time.get(their.start));
        match our_time.cmp(&their_time) {
            std::cmp::Ordering::Less => our.start = first_from(ours, &our, their_time),
            std::cmp::Ordering::Greater => their.start = first_from(theirs, &their, our_time),
            std::cmp::Ordering::Equal => {
                let our_end = our.clone().find(|row| ours.time.get(*row) != our_time).unwrap_or(our.end);
                let their_end = their.clone().find(|row| theirs.time.get(*row) != our_time).unwrap_or(their.end);
                runs.push(Run { ours: our.start..our_end, theirs: their.start..their_end, moved });
                our.start = our_end;
                their.start = their_end;
            }
        }
    }
}

/// The first of rows in time order that is at `time_us` or later.
fn first_from(core: &Core, rows: &Range<usize>, time_us: i64) -> usize {
    let (mut low, mut high) = (rows.start, rows.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if core.time.get(middle) < time_us {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::{Arrived, Rows};
    use cofferdam_model::SealedEvent;
    use proptest::prelude::*;

    type Record = (u32, i64, u8, u64);

    fn segment(records: &[(i64, Record)]) -> Segment {
        let arrived: Vec<Arrived> = records
            .iter()
            .map(|&(received, (subject, time_us, event, insert_id))| Arrived {
                received,
                event: SealedEvent {
                    name: format!("e{event}"),
                    subject: SubjectNo(subject),
                    time_us,
                    insert_id,
                    properties: vec![],
                },
            })
            .collect();
        Segment::in_memory(1, 0, &Rows::build(&arrived))
    }

    /// Row by row what a segment holds, hidden or not.
    fn identities(segment: &Segment) -> Vec<(i64, u32, i64, String, u64)> {
        let core = segment.core().unwrap();
        let (ids, stamps) = (segment.insert_ids().unwrap(), segment.received().unwrap());
        let mut all = vec![];
        for (index, subject) in core.subjects.iter().enumerate() {
            for row in rows(&core, index) {
                all.push((stamps[row], *subject, core.time.get(row), core.event_name(row).to_owned(), ids[row]));
            }
        }
        all
    }

    fn record() -> impl Strategy<Value = Record> {
        (0..12_u32, 0..6_i64, 0..2_u8, 0..4_u64)
    }

    proptest! {
        #[test]
        fn the_join_finds_exactly_the_older_of_equal_records(
            records in proptest::collection::vec((record(), any::<bool>()), 0..120),
        ) {
            let (one, other): (Vec<_>, Vec<_>) =
                records.into_iter().enumerate().partition(|(_, (_, entering))| *entering);
            let list = |records: Vec<(usize, (Record, bool))>| {
                segment(&records.into_iter().map(|(stamp, (record, _))| (stamp as i64, record)).collect::<Vec<_>>())
            };
            let (entering, present) = (list(one), list(other));
            let found = superseded(&entering, &present, &Merges::default(), 1).unwrap();
            let (ours, theirs) = (identities(&entering), identities(&present));
            let older = |mine: &[(i64, u32, i64, String, u64)], others: &[(i64, u32, i64, String, u64)]| -> Vec<u32> {
                (0..mine.len() as u32)
                    .filter(|row| {
                        let (stamp, subject, time, name, id) = &mine[*row as usize];
                        *id != 0
                            && others.iter().any(|other| {
                                (&other.1, &other.2, &other.3, &other.4) == (subject, time, name, id) && other.0 > *stamp
                            })
                    })
                    .collect()
            };
            prop_assert_eq!(found.of_entering, older(&ours, &theirs));
            prop_assert_eq!(found.of_present, older(&theirs, &ours));
        }
    }

    #[test]
    fn a_copy_under_the_old_subject_finds_the_moved_row() {
        let mut merges = Merges::default();
        merges.link(SubjectNo(5), SubjectNo(8));
        let moved = folded_insert_id(3, SubjectNo(5));
        let present = segment(&[(1, (8, 10, 0, moved)), (2, (8, 10, 0, 3))]);
        let entering = segment(&[(9, (5, 10, 0, 3))]);
        let found = superseded(&entering, &present, &merges, 1).unwrap();
        assert_eq!((found.of_entering, found.of_present), (vec![], vec![0]));
        let alone = superseded(&entering, &present, &Merges::default(), 1).unwrap();
        assert_eq!(alone, Superseded::default());
    }

    #[test]
    fn erased_subjects_lose_all_their_rows() {
        let segment = segment(&[(1, (2, 1, 0, 0)), (2, (3, 1, 0, 0)), (3, (3, 2, 0, 0)), (4, (9, 1, 0, 0))]);
        let erased = BTreeSet::from([SubjectNo(3), SubjectNo(4), SubjectNo(9)]);
        assert_eq!(erased_rows(&segment, &erased).unwrap(), [1, 2, 3]);
    }
}
