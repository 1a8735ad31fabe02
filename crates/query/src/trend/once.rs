//! Different persons by a text, ranked and counted in one walk.
//!
//! The usual way weighs the segments first and counts afterwards, because only then it is known who is in `Other`,
//! where somebody of two small segments is one person. Here every segment is counted at once, and persons who were in
//! several segments of one bucket are kept by the set of these segments: `Other` is the sum of what is folded into it,
//! less what such persons count too often. It is worth it where the segments are few and persons rarely change
//! theirs; where not, the usual way is taken.

use cofferdam_lake::Codes;
use cofferdam_model::query::Measure;
use rustc_hash::FxHashMap;

use super::{ByCode, Line, Plan, Walk};
use crate::Result;
use crate::scan::{Partial, Person};
use crate::split::Split;

/// Counters that stay in a processor's cache.
const CELLS_MAX: usize = 1 << 16;
/// Sets of segments that persons were in.
const SETS_MAX: usize = 1 << 16;

/// What was counted: by segment (as a raw id), a cell per bucket and one for the whole range.
pub(super) struct Once {
    stride: usize,
    counts: Vec<u32>,
    /// By cell: the last person counted.
    last: Vec<u32>,
    /// By bucket: the last person there, and the first segment they were in.
    first: Vec<(u32, u32)>,
    /// Buckets and further segments of the person at hand.
    more: Vec<(u32, u32)>,
    /// How many persons were in several segments of a bucket: the bucket, then the segments, ascending.
    several: FxHashMap<Box<[u32]>, u64>,
    /// The person at hand, by the order of this thread, from 1.
    person: u32,
}

impl Partial for Once {
    fn bytes(&self) -> usize {
        (self.counts.len() + self.last.len() + self.first.len() * 2) * 4 + self.several.capacity() * 80
    }
}

/// The segments of a file's rows.
struct FileSegments<'a> {
    by_code: &'a ByCode,
    /// By code, where codes are bytes.
    table: Option<(&'a [u8], Box<[u32; 256]>)>,
}

impl FileSegments<'_> {
    fn new(by_code: &ByCode) -> FileSegments<'_> {
        let table = match &by_code.codes {
            Some(Codes::U8(codes)) => {
                let mut table = Box::new([by_code.not_set.unwrap_or(0) as u32; 256]);
                table.iter_mut().zip(&by_code.lines).for_each(|(to, line)| *to = line.unwrap_or(0) as u32);
                Some((&codes[..], table))
            }
            _ => None,
        };
        FileSegments { by_code, table }
    }

    #[inline]
    fn of(&self, row: usize) -> u32 {
        match &self.table {
            Some((codes, table)) => table[codes[row] as usize],
            None => self.by_code.line(row).unwrap_or(0) as u32,
        }
    }
}

impl Once {
    fn new(segments: usize, stride: usize) -> Once {
        Once {
            stride,
            counts: vec![0; segments * stride],
            last: vec![0; segments * stride],
            first: vec![(0, 0); stride],
            more: Vec::new(),
            several: FxHashMap::default(),
            person: 0,
        }
    }

    /// Walks the snapshot, when the question is of the kind that this is for.
    pub(super) fn count(plan: &Plan<'_>) -> Result<Option<Once>> {
        let (Some(breakdown), [pass]) = (&plan.breakdown, &plan.passes[..]) else { return Ok(None) };
        let is_plain = pass.walk == Walk::Persons && matches!(&pass.jobs[..], [job] if *job.measure == Measure::Unique);
        let (segments, stride) = (breakdown.split.combinations(), plan.stride());
        let fits = segments.checked_mul(stride as u64).is_some_and(|cells| cells <= CELLS_MAX as u64);
        let files: Option<Vec<FileSegments<'_>>> =
            breakdown.by_code.iter().map(|by_code| Some(FileSegments::new(by_code.as_ref()?))).collect();
        let Some(files) = files.filter(|_| is_plain && fits) else { return Ok(None) };
        let make = || Once::new(segments as usize, stride);
        let parts = plan.scan.persons(&pass.tags, make, |once, person| once.person(plan, &files, person))?;
        let sum = parts.into_iter().fold(make(), Once::merge);
        Ok((sum.several.len() < SETS_MAX).then_some(sum))
    }

    fn person(&mut self, plan: &Plan<'_>, files: &[FileSegments<'_>], person: &Person<'_>) {
        self.person += 1;
        let (axis, lead) = (&plan.period.axis, plan.period.lead);
        // The bucket and the segment of the last row: most rows of a person are where the one before was.
        let (mut low, mut high, mut known) = (0, 0, u32::MAX);
        for span in person.spans {
            let file = &files[span.file as usize];
            span.tagged(&plan.scan.file(span.file).core.time, person.allowed, |hit| {
                let segment = file.of(hit.row as usize);
                if segment == known && hit.time >= low && hit.time < high {
                    return;
                }
                let Some(bucket) = axis.find(hit.time) else { return };
                (low, high, known) = (axis.starts()[bucket], axis.starts()[bucket + 1], segment);
                self.mark(segment, bucket);
                if bucket >= lead {
                    self.mark(segment, self.stride - 1);
                }
            });
        }
        if !self.more.is_empty() {
            self.settle();
        }
    }

    #[inline]
    fn mark(&mut self, segment: u32, bucket: usize) {
        let cell = segment as usize * self.stride + bucket;
        if std::mem::replace(&mut self.last[cell], self.person) == self.person {
            return;
        }
        self.counts[cell] += 1;
        let first = &mut self.first[bucket];
        if first.0 == self.person {
            self.more.push((bucket as u32, segment));
        } else {
            *first = (self.person, segment);
        }
    }

    /// Ends a person who was in several segments of a bucket.
    fn settle(&mut self) {
        let mut more = std::mem::take(&mut self.more);
        more.sort_unstable();
        for of_bucket in more.chunk_by(|one, next| one.0 == next.0) {
            let bucket = of_bucket[0].0;
            let mut set = vec![bucket, self.first[bucket as usize].1];
            set.extend(of_bucket.iter().map(|(_, segment)| segment));
            set[1..].sort_unstable();
            // Full: the sum of all parts says so too, and nothing of it is used.
            if self.several.len() < SETS_MAX {
                *self.several.entry(set.into()).or_default() += 1;
            }
        }
        more.clear();
        self.more = more;
    }

    fn merge(mut self, part: Once) -> Once {
        self.counts.iter_mut().zip(&part.counts).for_each(|(sum, count)| *sum += count);
        for (set, persons) in part.several {
            *self.several.entry(set).or_default() += persons;
        }
        self
    }

    /// The weight of every segment: its persons in the whole range.
    pub(super) fn weights(&self) -> FxHashMap<u64, f64> {
        let wholes = self.counts.chunks_exact(self.stride).map(|cells| cells[self.stride - 1]);
        (0..).zip(wholes).filter(|(_, persons)| *persons > 0).map(|(raw, persons)| (raw, f64::from(persons))).collect()
    }

    /// The lines of the segments that a split kept, and of `Other` when there are so many lines.
    pub(super) fn lines(&self, split: &Split, lines: usize) -> Vec<Line> {
        let line_of = |raw: u64| split.slot(raw) as usize;
        let mut sums = vec![0_u64; split.len() * self.stride];
        for (raw, cells) in (0..).zip(self.counts.chunks_exact(self.stride)) {
            let line = line_of(raw) * self.stride;
            sums[line..line + self.stride].iter_mut().zip(cells).for_each(|(sum, count)| *sum += u64::from(*count));
        }
        let other = split.len() - 1;
        for (set, persons) in &self.several {
            let folded = set[1..].iter().filter(|raw| line_of(u64::from(**raw)) == other).count() as u64;
            sums[other * self.stride + set[0] as usize] -= folded.saturating_sub(1) * persons;
        }
        sums.chunks_exact(self.stride)
            .take(lines)
            .map(|cells| Line {
                values: cells[..self.stride - 1].iter().map(|count| Some(*count as f64)).collect(),
                total: Some(cells[self.stride - 1] as f64),
            })
            .collect()
    }
}
