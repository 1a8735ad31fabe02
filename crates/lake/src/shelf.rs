//! What a project shows: its files, what is being written to files, and the tail, each with the rows that are hidden.
//!
//! Invariant: of records that are the same, in whichever segments, all but the newest are hidden, and so is every row
//! of an erased subject.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cofferdam_model::{Merges, SubjectNo, limits};
use rustc_hash::FxHashMap;

use crate::Result;
use crate::columns::{Arrived, PropertyKey, Rows, bucket_of};
use crate::compact::{Meta, Pace, Retention};
use crate::duplicates::{superseded, union};
use crate::manifest::Hidden;
use crate::segment::{Plan, Segment, Source, merge_in_memory};

/// Durable events that no snapshot has asked for yet.
#[derive(Default)]
pub(crate) struct Pending {
    /// Written before the log was rotated: one entry per rotation, possibly empty.
    before_rotation: Vec<Arrivals>,
    open: Arrivals,
}

/// Events in order of arrival, in pieces that never move: whoever waits for their events to be acknowledged does not
/// wait for those before them to be copied to a larger place.
#[derive(Default)]
struct Arrivals {
    pieces: Vec<Vec<Arrived>>,
    len: usize,
}

/// Events for which a piece of arrivals has room, at least and at most.
const PIECE_EVENTS: (usize, usize) = (32, 4_096);

impl Arrivals {
    fn push(&mut self, arrived: Arrived) {
        match self.pieces.last_mut() {
            Some(last) if last.len() < last.capacity() => last.push(arrived),
            last => {
                let room = last.map_or(0, |last| 2 * last.capacity()).clamp(PIECE_EVENTS.0, PIECE_EVENTS.1);
                let mut piece = Vec::with_capacity(room);
                piece.push(arrived);
                self.pieces.push(piece);
            }
        }
        self.len += 1;
    }
}

impl Pending {
    pub(crate) fn push(&mut self, arrived: Arrived) {
        self.open.push(arrived);
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len + self.before_rotation.iter().map(|arrivals| arrivals.len).sum::<usize>()
    }

    /// Marks the rotation of the log.
    pub(crate) fn freeze(&mut self) {
        let open = std::mem::take(&mut self.open);
        self.before_rotation.push(open);
    }

    pub(crate) fn take(&mut self) -> Pending {
        std::mem::take(self)
    }
}

#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) files: Vec<File>,
    /// Being written to files; still answered from memory.
    pub(crate) frozen: Vec<Arc<Segment>>,
    /// Sorted pieces. Neighbours of a like size are merged as long as they are short, so that a tail has few pieces and
    /// sorting in a new one takes a bounded time.
    tail: Vec<Piece>,
    /// Sorted and not yet compared with the others, which may fail.
    arriving: VecDeque<Arriving>,
    pub(crate) erased: BTreeSet<SubjectNo>,
}

/// A segment file with what the manifest does not know of it yet.
pub(crate) struct File {
    pub(crate) segment: Arc<Segment>,
    erased_us: Option<i64>,
    unwritten: BTreeSet<u32>,
}

struct Piece {
    rows: usize,
    /// One per bucket that has rows.
    segments: Vec<Arc<Segment>>,
}

enum Arriving {
    /// Of any bucket.
    Rows(Segment),
    /// What came before it is written to files by the flush that waits for it.
    Freeze,
}

/// What sorting needs to know.
pub(crate) struct Context<'a> {
    pub(crate) buckets: u32,
    pub(crate) merges: &'a Merges,
    pub(crate) next_id: &'a AtomicU64,
}

/// An output per bucket, without erased subjects.
pub(crate) struct ByBucket<'a> {
    pub(crate) buckets: u32,
    pub(crate) erased: &'a BTreeSet<SubjectNo>,
}

impl Plan for ByBucket<'_> {
    fn outputs(&self) -> usize {
        self.buckets as usize
    }

    fn place(&self, subject: SubjectNo, _time_us: i64) -> Option<(usize, SubjectNo)> {
        (!self.erased.contains(&subject)).then(|| (bucket_of(subject, self.buckets) as usize, subject))
    }

    fn keeps_column(&self, _key: &PropertyKey) -> bool {
        true
    }
}

impl File {
    pub(crate) fn new(segment: Segment, erased_us: Option<i64>) -> File {
        File { segment: Arc::new(segment), erased_us, unwritten: BTreeSet::new() }
    }

    /// What the policy is told of: looking into it takes reading, for which nobody waits.
    pub(crate) fn known(&self) -> (Arc<Segment>, Option<i64>) {
        (self.segment.clone(), self.erased_us)
    }

    /// Rows that the next transaction should hide.
    pub(crate) fn unwritten_hidden(&self) -> Option<Hidden> {
        let rows = self.unwritten.iter().copied().collect();
        (!self.unwritten.is_empty()).then_some(Hidden { segment: self.segment.id, erased_us: None, rows })
    }

    pub(crate) fn hidden_is_written(&mut self) {
        self.unwritten.clear();
    }
}

/// What the policy looks at. `erased_us` is of the oldest erasure whose rows are still in the file.
pub(crate) fn meta(segment: &Segment, erased_us: Option<i64>, retention: &Retention, now_us: i64, pace: Pace) -> Meta {
    let is_expired = |key: &PropertyKey| {
        let overdue_us = retention.overdue_us(&key.name, now_us, pace);
        // Most segments are too young to be looked into.
        if segment.time_us.0 >= overdue_us {
            return false;
        }
        match segment.first_value_us(key) {
            Ok(first_us) => first_us.is_some_and(|first_us| first_us < overdue_us),
            // What cannot be read keeps nothing else from being rewritten.
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "it is not known how old a property's values are"
                );
                false
            }
        }
    };
    Meta {
        id: segment.id,
        bucket: segment.bucket,
        rows: segment.rows,
        hidden: segment.hidden().len() as u64,
        time_us: segment.time_us,
        erased_us,
        expired_values: !retention.columns.is_empty() && segment.keys().any(is_expired),
    }
}

impl Shelf {
    /// Everything there is, each segment once.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.files.iter().map(|file| &file.segment).chain(self.memory())
    }

    /// What is not in files.
    pub(crate) fn memory(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.frozen.iter().chain(self.tail.iter().flat_map(|piece| &piece.segments))
    }

    pub(crate) fn file_ids(&self) -> BTreeSet<u64> {
        self.files.iter().map(|file| file.segment.id).collect()
    }

    pub(crate) fn memory_rows(&self) -> usize {
        let arriving = self.arriving.iter().map(|arriving| match arriving {
            Arriving::Rows(rows) => usize::try_from(rows.rows).unwrap_or(0),
            Arriving::Freeze => 0,
        });
        self.memory().map(|segment| usize::try_from(segment.rows).unwrap_or(0)).chain(arriving).sum()
    }

    /// Sorts pending events into the tail, and freezes what came before a rotation of the log.
    ///
    /// # Errors
    /// A file could not be read. No event is lost: the next call goes on from there.
    pub(crate) fn settle(&mut self, pending: Pending, context: &Context<'_>) -> Result<()> {
        let Pending { before_rotation, open } = pending;
        for arrivals in before_rotation {
            self.sort(&arrivals);
            self.arriving.push_back(Arriving::Freeze);
        }
        self.sort(&open);
        while let Some(next) = self.arriving.front() {
            match next {
                Arriving::Rows(rows) => {
                    let mut piece = self.merge_with_tail(rows, context)?;
                    self.enter(&mut piece, context)?;
                    self.tail.truncate(self.tail.len() - piece.1);
                    self.tail.push(piece.0);
                }
                Arriving::Freeze => {
                    self.frozen.extend(std::mem::take(&mut self.tail).into_iter().flat_map(|piece| piece.segments));
                }
            }
            self.arriving.pop_front();
        }
        Ok(())
    }

    fn sort(&mut self, arrivals: &Arrivals) {
        let mut events = arrivals.pieces.iter().flatten().peekable();
        while events.peek().is_some() {
            let rows = Rows::build(events.by_ref().take(limits::TAIL_PIECE_EVENTS));
            self.arriving.push_back(Arriving::Rows(Segment::in_memory(0, 0, &rows)));
        }
    }

    /// The piece that rows make with those at the end of the tail, and how many of these it takes the place of.
    fn merge_with_tail(&self, rows: &Segment, context: &Context<'_>) -> Result<(Piece, usize)> {
        let mut count = usize::try_from(rows.rows).unwrap_or(usize::MAX);
        let mut merged = 0;
        for last in self.tail.iter().rev() {
            if last.rows > 2 * count || last.rows + count > limits::TAIL_PIECE_EVENTS {
                break;
            }
            count += last.rows;
            merged += 1;
        }
        let taken = self.tail[self.tail.len() - merged..].iter().flat_map(|piece| &piece.segments);
        let sources: Vec<Source<'_>> = taken
            .map(|segment| &**segment)
            .chain([rows])
            .map(|segment| Source { segment, hidden: segment.hidden() })
            .collect();
        let plan = ByBucket { buckets: context.buckets, erased: &self.erased };
        let identify = |bucket: usize| (context.next_id.fetch_add(1, Ordering::Relaxed), bucket as u32);
        let segments: Vec<Arc<Segment>> =
            merge_in_memory(&sources, &plan, &identify)?.into_iter().map(|(_, segment)| Arc::new(segment)).collect();
        let rows = segments.iter().map(|segment| usize::try_from(segment.rows).unwrap_or(0)).sum();
        Ok((Piece { rows, segments }, merged))
    }

    /// Compares a piece with everything it does not take the place of, and hides what must not be seen.
    fn enter(&mut self, (piece, merged): &mut (Piece, usize), context: &Context<'_>) -> Result<()> {
        let stay = self.tail.len() - *merged;
        let present: Vec<Arc<Segment>> = self
            .files
            .iter()
            .map(|file| &file.segment)
            .chain(&self.frozen)
            .chain(self.tail[..stay].iter().flat_map(|piece| &piece.segments))
            .cloned()
            .collect();
        let mut hide: FxHashMap<u64, Vec<u32>> = FxHashMap::default();
        for segment in &mut piece.segments {
            let mut hidden = Vec::new();
            for other in &present {
                let found = superseded(segment, other, context.merges, context.buckets)?;
                hidden = union(&hidden, &found.of_entering);
                let new: Vec<u32> =
                    found.of_present.into_iter().filter(|row| other.hidden().binary_search(row).is_err()).collect();
                if !new.is_empty() {
                    hide.entry(other.id).or_default().extend(new);
                }
            }
            if !hidden.is_empty() {
                *segment = Arc::new(segment.with_hidden(hidden));
            }
        }
        for file in &mut self.files {
            if let Some(rows) = hide.get(&file.segment.id) {
                file.unwritten.extend(rows);
            }
        }
        self.hide(&hide);
        Ok(())
    }

    /// Hides rows of erased subjects, by segment; the manifest knows them.
    pub(crate) fn hide_erased(&mut self, rows: &FxHashMap<u64, Vec<u32>>, now_us: i64) {
        for file in &mut self.files {
            if rows.get(&file.segment.id).is_some_and(|rows| !rows.is_empty()) {
                file.erased_us = file.erased_us.or(Some(now_us));
            }
        }
        self.hide(rows);
    }

    fn hide(&mut self, rows: &FxHashMap<u64, Vec<u32>>) {
        let files = self.files.iter_mut().map(|file| &mut file.segment);
        let tail = self.tail.iter_mut().flat_map(|piece| &mut piece.segments);
        for segment in files.chain(&mut self.frozen).chain(tail) {
            if let Some(rows) = rows.get(&segment.id).filter(|rows| !rows.is_empty()) {
                *segment = Arc::new(segment.with_hidden(union(segment.hidden(), rows)));
            }
        }
    }
}

/// A view of events that are in no store: one piece after another, in memory.
pub(crate) fn view_of(pieces: &[Vec<Arrived>], buckets: u32) -> Vec<Arc<Segment>> {
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    let erased = BTreeSet::new();
    for (piece, events) in pieces.iter().enumerate() {
        let built = Segment::in_memory(0, 0, &Rows::build(events));
        let sources = [Source { segment: &built, hidden: &[] }];
        let identify = |bucket: usize| ((piece * 64 + bucket) as u64, bucket as u32);
        let plan = ByBucket { buckets, erased: &erased };
        for (_, segment) in merge_in_memory(&sources, &plan, &identify).expect("in memory") {
            let mut hidden = Vec::new();
            for other in &mut segments {
                let found = superseded(&segment, other, &Merges::default(), buckets).expect("in memory");
                hidden = union(&hidden, &found.of_entering);
                if !found.of_present.is_empty() {
                    *other = Arc::new(other.with_hidden(union(other.hidden(), &found.of_present)));
                }
            }
            segments.push(Arc::new(segment.with_hidden(hidden)));
        }
    }
    segments
}
