//! Walking the rows and the persons of a snapshot.
//!
//! Work is cut into units that threads take in turn: a range of subjects of one bucket with about
//! [`ROWS_PER_UNIT`] rows, a few hundred merged persons, or a stretch of rows of nobody. A unit first gives every
//! one of its rows a tag ([`Tags::fill`]) in a buffer that stays in the processor's cache, then walks its subjects:
//! the rows of a person lie next to each other in each segment, so nothing is hashed and nothing is looked up.
//! Persons of several subjects are collected from the segments of each; everything else never leaves its place.
//!
//! No lock is taken and nothing is allocated per person. Between units a thread looks whether the question was
//! cancelled and whether the answer still fits the memory it may take.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use cofferdam_lake::columns::Times;
use cofferdam_lake::{Buffer, Codes, Core, Segment};
use cofferdam_model::merges::Group;
use cofferdam_model::{SubjectNo, limits};

use crate::tags::Tags;
use crate::{Error, Input, Result};

pub(crate) const ROWS_PER_UNIT: usize = 32_768;
const GROUPS_PER_UNIT: usize = 512;

/// One row of a person that some matcher of the question means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    /// µs UTC.
    pub(crate) time: i64,
    /// Bit i: matcher i.
    pub(crate) tags: u32,
    /// Index into the files of the scan.
    pub(crate) file: u32,
    pub(crate) row: u32,
}

/// A thread's share of an answer. The scan ends with an error when all shares together take more than a question may.
pub(crate) trait Partial: Send {
    /// Bytes held, approximately.
    fn bytes(&self) -> usize;
}

/// A segment that may hold rows of the range.
pub(crate) struct File {
    pub(crate) segment: Arc<Segment>,
    pub(crate) core: Arc<Core>,
    /// No row of it is outside the range.
    pub(crate) inside: bool,
    received: OnceLock<Buffer<i64>>,
}

/// The core columns of a file as plain slices, for walks that jump about in them.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) times: TimesView<'a>,
    pub(crate) events: CodesView<'a>,
}

#[derive(Clone, Copy)]
pub(crate) enum TimesView<'a> {
    Short { base: i64, unit: i64, steps: &'a [u32] },
    Long(&'a [i64]),
}

#[derive(Clone, Copy)]
pub(crate) enum CodesView<'a> {
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
}

impl View<'_> {
    /// The time of a row, µs UTC.
    #[inline]
    pub(crate) fn time(&self, row: usize) -> i64 {
        match self.times {
            TimesView::Short { base, unit, steps } => base + unit * i64::from(steps[row]),
            TimesView::Long(times) => times[row],
        }
    }

    /// The code of a row's event; every row has one.
    #[inline]
    pub(crate) fn event(&self, row: usize) -> usize {
        match self.events {
            CodesView::U8(codes) => codes[row] as usize,
            CodesView::U16(codes) => codes[row] as usize,
            CodesView::U32(codes) => codes[row] as usize,
        }
    }
}

impl File {
    fn view(&self) -> View<'_> {
        View {
            times: match &self.core.time {
                Times::Short { base, unit, steps } => TimesView::Short { base: *base, unit: *unit, steps },
                Times::Long(times) => TimesView::Long(times),
            },
            events: match &self.core.event.codes {
                Codes::U8(codes) => CodesView::U8(codes),
                Codes::U16(codes) => CodesView::U16(codes),
                Codes::U32(codes) => CodesView::U32(codes),
            },
        }
    }
}

/// The segments of a range of time, by bucket.
pub(crate) struct Scan<'a> {
    pub(crate) input: &'a Input<'a>,
    pub(crate) files: Vec<File>,
    /// Indices of the files of each bucket, earliest first.
    by_bucket: Vec<Vec<u32>>,
    /// Only rows in here are tagged, µs UTC, the end not included.
    pub(crate) from_us: i64,
    pub(crate) to_us: i64,
}

/// Consecutive rows of one file.
#[derive(Clone, Copy)]
pub(crate) struct Span<'a> {
    pub(crate) file: u32,
    /// The first row.
    pub(crate) row: u32,
    pub(crate) tags: Tagged<'a>,
}

/// One tag per row; 0 for a row that nothing means. Questions of few matchers get along with a byte.
#[derive(Clone, Copy)]
pub(crate) enum Tagged<'a> {
    Narrow(&'a [u8]),
    Wide(&'a [u32]),
}

impl<'a> Tagged<'a> {
    pub(crate) fn len(self) -> usize {
        match self {
            Tagged::Narrow(tags) => tags.len(),
            Tagged::Wide(tags) => tags.len(),
        }
    }

    #[inline]
    pub(crate) fn get(self, at: usize) -> u32 {
        match self {
            Tagged::Narrow(tags) => u32::from(tags[at]),
            Tagged::Wide(tags) => tags[at],
        }
    }

    fn range(self, range: Range<usize>) -> Tagged<'a> {
        match self {
            Tagged::Narrow(tags) => Tagged::Narrow(&tags[range]),
            Tagged::Wide(tags) => Tagged::Wide(&tags[range]),
        }
    }

    /// Whether any row has one of the bits.
    #[inline]
    pub(crate) fn any(self, bits: u32) -> bool {
        match self {
            Tagged::Narrow(tags) => tags.iter().fold(0, |all, tags| all | tags) & bits as u8 != 0,
            Tagged::Wide(tags) => tags.iter().fold(0, |all, tags| all | tags) & bits != 0,
        }
    }

    /// The first row from `from` on that has one of the bits.
    #[inline]
    pub(crate) fn first(self, from: usize, bits: u32) -> Option<usize> {
        let found = match self {
            Tagged::Narrow(tags) => tags[from..].iter().position(|tags| tags & bits as u8 != 0),
            Tagged::Wide(tags) => tags[from..].iter().position(|tags| tags & bits != 0),
        };
        found.map(|at| from + at)
    }

    /// Calls `each` with the place of every row from `from` on that has one of the bits, in order, until it says no.
    #[inline]
    pub(crate) fn each_while(self, from: usize, bits: u32, mut each: impl FnMut(usize) -> bool) {
        match self {
            Tagged::Narrow(tags) => {
                for (at, tags) in tags[from..].iter().enumerate() {
                    if tags & bits as u8 != 0 && !each(from + at) {
                        return;
                    }
                }
            }
            Tagged::Wide(tags) => {
                for (at, tags) in tags[from..].iter().enumerate() {
                    if tags & bits != 0 && !each(from + at) {
                        return;
                    }
                }
            }
        }
    }

    /// Calls `each` with the place and the bits of every row that has one of them, in order.
    #[inline]
    pub(crate) fn each(self, bits: u32, mut each: impl FnMut(usize, u32)) {
        match self {
            Tagged::Narrow(tags) => {
                let (words, rest) = tags.as_chunks::<8>();
                let wanted = u64::from_le_bytes([bits as u8; 8]);
                for (index, word) in words.iter().enumerate() {
                    // Eight rows at a time: most words of a rare event are 0.
                    let mut left = u64::from_le_bytes(*word) & wanted;
                    while left != 0 {
                        let at = left.trailing_zeros() / 8;
                        each(index * 8 + at as usize, (left >> (at * 8)) as u32 & 0xff);
                        left &= !(0xff << (at * 8));
                    }
                }
                for (at, tags) in rest.iter().enumerate() {
                    if tags & bits as u8 != 0 {
                        each(words.len() * 8 + at, u32::from(*tags) & bits);
                    }
                }
            }
            Tagged::Wide(tags) => {
                for (at, tags) in tags.iter().enumerate() {
                    if tags & bits != 0 {
                        each(at, tags & bits);
                    }
                }
            }
        }
    }
}

impl Span<'_> {
    /// Hands the rows with a tag within `allowed` to `each`, in order. `times` are those of the span's file.
    #[inline]
    pub(crate) fn tagged(&self, times: &Times, allowed: u32, mut each: impl FnMut(Hit)) {
        let file = self.file;
        match times {
            Times::Short { base, unit, steps } => {
                let steps = &steps[self.row as usize..];
                self.tags.each(allowed, |at, tags| {
                    let time = base + unit * i64::from(steps[at]);
                    each(Hit { time, tags, file, row: self.row + at as u32 });
                });
            }
            Times::Long(times) => {
                let times = &times[self.row as usize..];
                self.tags.each(allowed, |at, tags| {
                    each(Hit { time: times[at], tags, file, row: self.row + at as u32 });
                });
            }
        }
    }
}

/// A person's rows: one span per subject and file, in no particular order.
pub(crate) struct Person<'a> {
    /// The canonical subject.
    pub(crate) subject: SubjectNo,
    /// Matchers whose conditions on persons this one meets: tags count only within it.
    pub(crate) allowed: u32,
    pub(crate) spans: &'a [Span<'a>],
}

impl<'a> Scan<'a> {
    pub(crate) fn new(input: &'a Input<'a>, from_us: i64, to_us: i64) -> Result<Scan<'a>> {
        let buckets = input.snapshot.buckets();
        let mut files = Vec::new();
        let mut by_bucket = vec![Vec::new(); buckets as usize];
        let mut segments: Vec<&Arc<Segment>> = input.snapshot.segments().iter().collect();
        segments.sort_by_key(|segment| (segment.time_us, segment.id));
        for segment in segments {
            let (first, last) = segment.time_us;
            if segment.rows > 0 && first < to_us && last >= from_us {
                by_bucket[segment.bucket as usize].push(files.len() as u32);
                files.push(File {
                    segment: segment.clone(),
                    core: segment.core()?,
                    inside: first >= from_us && last < to_us,
                    received: OnceLock::new(),
                });
            }
        }
        let rows: u64 = files.iter().map(|file| file.segment.rows).sum();
        input.scanned.fetch_max(rows, Ordering::Relaxed);
        Ok(Scan { input, files, by_bucket, from_us, to_us })
    }

    pub(crate) fn file(&self, file: u32) -> &File {
        &self.files[file as usize]
    }

    /// By file.
    pub(crate) fn views(&self) -> Vec<View<'_>> {
        self.files.iter().map(File::view).collect()
    }

    /// Hands rows in stretches to `each`, with their tags, in no particular order: for what needs no persons.
    /// Conditions on persons are applied to the tags, and the rows of nobody are among them.
    pub(crate) fn rows<P: Partial>(
        &self,
        tags: &Tags,
        make: impl Fn() -> P + Sync,
        each: impl Fn(&mut P, &Span<'_>) + Sync,
    ) -> Result<Vec<P>> {
        let mut units = Vec::new();
        for (index, file) in self.files.iter().enumerate() {
            if tags.may_match(index as u32) {
                let rows = file.core.time.len();
                let mut from = 0;
                while from < rows {
                    let to = (from + ROWS_PER_UNIT).min(rows);
                    units.push((index as u32, from..to));
                    from = to;
                }
            }
        }
        self.work(&units, make, |partial, buffers, (file, rows)| {
            buffers.clear();
            tags.fill(self, *file, rows.clone(), buffers);
            if tags.asks_persons() {
                self.apply_person_tests(tags, *file, rows.clone(), buffers);
            }
            each(partial, &Span { file: *file, row: rows.start as u32, tags: buffers.tagged(tags) });
        })
    }

    /// The tagged rows of one stretch of a file, in the order they are stored in. Conditions on persons are applied.
    pub(crate) fn stretch(
        &self,
        tags: &Tags,
        file: u32,
        rows: Range<usize>,
        buffers: &mut Buffers,
        hits: &mut Vec<Hit>,
    ) {
        buffers.clear();
        hits.clear();
        tags.fill(self, file, rows.clone(), buffers);
        if tags.asks_persons() {
            self.apply_person_tests(tags, file, rows.clone(), buffers);
        }
        let span = Span { file, row: rows.start as u32, tags: buffers.tagged(tags) };
        span.tagged(&self.file(file).core.time, u32::MAX, |hit| hits.push(hit));
    }

    /// Hands every person with rows in the range to `each`, on all cores; no person is in two partials.
    /// Nobody is left out. A person without a tagged row may be handed over too.
    pub(crate) fn persons<P: Partial>(
        &self,
        tags: &Tags,
        make: impl Fn() -> P + Sync,
        each: impl Fn(&mut P, &Person<'_>) + Sync,
    ) -> Result<Vec<P>> {
        let mut units = self.alone_units(tags);
        let groups: Vec<&Group> = self.input.merges.groups().collect();
        units.extend(groups.chunks(GROUPS_PER_UNIT).map(|chunk| Unit::Merged(chunk.to_vec())));
        self.work(&units, make, |partial, buffers, unit| match unit {
            Unit::Alone { bucket, from, to } => {
                self.walk_alone(tags, (*bucket, *from, *to), buffers, |person| each(partial, person));
            }
            Unit::Merged(groups) => {
                for group in groups {
                    self.walk_group(tags, group, buffers, |person| each(partial, person));
                }
            }
        })
    }

    /// Like [`Scan::persons`], with a person's tagged rows as one slice ordered by (time, arrival). Persons without a
    /// row that has one of the bits in `needed` are left out.
    pub(crate) fn histories<P: Partial>(
        &self,
        tags: &Tags,
        needed: u32,
        make: impl Fn() -> P + Sync,
        each: impl Fn(&mut P, SubjectNo, &[Hit]) + Sync,
    ) -> Result<Vec<P>> {
        struct WithHits<P> {
            partial: P,
            hits: Vec<Hit>,
        }
        impl<P: Partial> Partial for WithHits<P> {
            fn bytes(&self) -> usize {
                self.partial.bytes() + self.hits.capacity() * size_of::<Hit>()
            }
        }
        let partials = self.persons(
            tags,
            || WithHits { partial: make(), hits: Vec::new() },
            |state, person| {
                if person.spans.iter().any(|span| span.tags.any(needed & person.allowed)) {
                    self.hits(person, &mut state.hits);
                    each(&mut state.partial, person.subject, &state.hits);
                }
            },
        )?;
        Ok(partials.into_iter().map(|state| state.partial).collect())
    }

    /// The tagged rows of one person, whoever it is; of nobody, those of nobody.
    pub(crate) fn history(&self, tags: &Tags, subject: SubjectNo, hits: &mut Vec<Hit>) {
        let alone = [subject];
        let group = self.input.merges.group(subject);
        let (subject, members) = group.map_or((subject, &alone[..]), |group| (group.canonical, &group.members[..]));
        let mut buffers = Buffers::default();
        self.walk_members(tags, subject, members, &mut buffers, |person| self.hits(person, hits));
    }

    /// Collects a person's tagged rows in order.
    pub(crate) fn hits(&self, person: &Person<'_>, hits: &mut Vec<Hit>) {
        hits.clear();
        let mut ordered = true;
        for span in person.spans {
            let from = hits.len();
            span.tagged(&self.file(span.file).core.time, person.allowed, |hit| hits.push(hit));
            // Rows of one span are in order; an equal time in two spans needs the order of arrival.
            ordered &= from == 0 || from == hits.len() || hits[from - 1].time < hits[from].time;
        }
        if !ordered {
            self.sort(hits);
        }
    }

    fn sort(&self, hits: &mut [Hit]) {
        hits.sort_by_key(|hit| hit.time);
        let mut start = 0;
        while start < hits.len() {
            let mut end = start + 1;
            while end < hits.len() && hits[end].time == hits[start].time {
                end += 1;
            }
            if end - start > 1 {
                hits[start..end].sort_by_key(|hit| self.received(hit));
            }
            start = end;
        }
    }

    /// When a row arrived, as a number that grows with arrival. Only equal times ask for it.
    pub(crate) fn received(&self, hit: &Hit) -> i64 {
        let file = self.file(hit.file);
        let received = file.received.get_or_init(|| match file.segment.received() {
            Ok(received) => received,
            Err(error) => {
                self.input.fail(error.into());
                Buffer::from(vec![0; file.core.time.len()])
            }
        });
        received[hit.row as usize]
    }

    fn apply_person_tests(&self, tags: &Tags, file: u32, rows: Range<usize>, buffers: &mut Buffers) {
        let core = &self.file(file).core;
        let first = core.offsets.partition_point(|offset| (*offset as usize) <= rows.start) - 1;
        for index in first..core.subjects.len() {
            let (low, high) = (core.offsets[index] as usize, core.offsets[index + 1] as usize);
            if low >= rows.end {
                break;
            }
            let allowed = tags.allowed(self.input.merges.canonical(SubjectNo(core.subjects[index])));
            if allowed != u32::MAX {
                let range = low.max(rows.start) - rows.start..high.min(rows.end) - rows.start;
                if tags.narrow() {
                    buffers.narrow[range].iter_mut().for_each(|tags| *tags &= allowed as u8);
                } else {
                    buffers.wide[range].iter_mut().for_each(|tags| *tags &= allowed);
                }
            }
        }
    }

    /// Runs `each` over the units on all cores.
    fn work<U: Sync, P: Partial>(
        &self,
        units: &[U],
        make: impl Fn() -> P + Sync,
        each: impl Fn(&mut P, &mut Buffers, &U) + Sync,
    ) -> Result<Vec<P>> {
        let threads = self.input.threads.min(units.len()).max(1);
        let next = AtomicUsize::new(0);
        let stopped = AtomicBool::new(false);
        let held: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
        let work = |thread: usize| -> Result<P> {
            let mut partial = make();
            let mut buffers = Buffers::default();
            loop {
                if self.input.cancelled() {
                    return Err(Error::Cancelled);
                }
                let unit = units.get(next.fetch_add(1, Ordering::Relaxed));
                let Some(unit) = unit.filter(|_| !stopped.load(Ordering::Relaxed)) else { return Ok(partial) };
                each(&mut partial, &mut buffers, unit);
                held[thread].store(partial.bytes() + buffers.bytes(), Ordering::Relaxed);
                let all: usize = held.iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum();
                if all > limits::QUERY_BYTES_MAX {
                    stopped.store(true, Ordering::Relaxed);
                    return Err(Error::TooLarge);
                }
            }
        };
        let partials = if threads == 1 {
            vec![work(0)?]
        } else {
            std::thread::scope(|scope| {
                let work = &work;
                let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
                handles
                    .into_iter()
                    .map(|handle| handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                    .collect::<Result<Vec<P>>>()
            })?
        };
        self.input.failure()?;
        Ok(partials)
    }

    fn alone_units(&self, tags: &Tags) -> Vec<Unit<'a>> {
        let mut units = Vec::new();
        for (bucket, files) in self.by_bucket.iter().enumerate() {
            let may_match = |file: &&u32| tags.may_match(**file);
            let Some(largest) = files.iter().filter(may_match).max_by_key(|file| self.file(**file).core.time.len())
            else {
                continue;
            };
            // The largest file says where to cut; the others follow.
            let core = &self.file(*largest).core;
            let all: usize = files.iter().filter(may_match).map(|file| self.file(*file).core.time.len()).sum();
            let step = (ROWS_PER_UNIT * core.time.len()).div_ceil(all.max(1)).max(1) as u32;
            let mut from = 0;
            let mut target = step;
            while (target as usize) < core.time.len() {
                let index = core.offsets.partition_point(|offset| *offset < target);
                let Some(&subject) = core.subjects.get(index) else { break };
                if subject != SubjectNo::NOBODY.0 && subject > from {
                    units.push(Unit::Alone { bucket, from, to: subject });
                    from = subject;
                }
                target = core.offsets[index].saturating_add(step);
            }
            units.push(Unit::Alone { bucket, from, to: SubjectNo::NOBODY.0 });
        }
        units
    }

    fn walk_alone(
        &self,
        tags: &Tags,
        (bucket, from, to): (usize, u32, u32),
        buffers: &mut Buffers,
        mut each: impl FnMut(&Person<'_>),
    ) {
        buffers.clear();
        let mut walking: Vec<Cursor<'_>> = Vec::new();
        for &file in self.by_bucket[bucket].iter().filter(|file| tags.may_match(**file)) {
            let Core { subjects, offsets, .. } = &*self.file(file).core;
            let at = subjects.partition_point(|subject| *subject < from);
            let end = at + subjects[at..].partition_point(|subject| *subject < to);
            if at < end {
                let rows = offsets[at] as usize..offsets[end] as usize;
                let shift = buffers.len().wrapping_sub(rows.start);
                tags.fill(self, file, rows, buffers);
                walking.push(Cursor { file, at, end, shift, subjects, offsets });
            }
        }
        let tagged = buffers.tagged(tags);
        let mut spans: Vec<Span<'_>> = Vec::with_capacity(walking.len());
        let merges = self.input.merges;
        let any_merged = merges.groups().next().is_some();
        let mut person = |subject: u32, spans: &[Span<'_>]| {
            let subject = SubjectNo(subject);
            if any_merged && merges.group(subject).is_some() {
                return;
            }
            let allowed = tags.allowed(subject);
            if allowed != 0 {
                each(&Person { subject, allowed, spans });
            }
        };
        if let [only] = &walking[..] {
            for index in only.at..only.end {
                person(only.subjects[index], &[only.span(index, tagged)]);
            }
            return;
        }
        while let Some(subject) = walking.iter().map(|cursor| cursor.subjects[cursor.at]).min() {
            spans.clear();
            let mut ended = false;
            for cursor in &mut walking {
                if cursor.subjects[cursor.at] == subject {
                    spans.push(cursor.span(cursor.at, tagged));
                    cursor.at += 1;
                    ended |= cursor.at == cursor.end;
                }
            }
            if ended {
                walking.retain(|cursor| cursor.at < cursor.end);
            }
            person(subject, &spans);
        }
    }

    fn walk_group(&self, tags: &Tags, group: &Group, buffers: &mut Buffers, each: impl FnMut(&Person<'_>)) {
        self.walk_members(tags, group.canonical, &group.members, buffers, each);
    }

    fn walk_members(
        &self,
        tags: &Tags,
        subject: SubjectNo,
        members: &[SubjectNo],
        buffers: &mut Buffers,
        mut each: impl FnMut(&Person<'_>),
    ) {
        let allowed = tags.allowed(subject);
        if allowed == 0 {
            return;
        }
        buffers.clear();
        let buckets = self.by_bucket.len() as u32;
        // (file, first row, where its tags begin, where they end)
        let mut found: Vec<(u32, u32, usize, usize)> = Vec::new();
        for &member in members {
            for &file in &self.by_bucket[cofferdam_lake::columns::bucket_of(member, buckets) as usize] {
                if !tags.may_match(file) {
                    continue;
                }
                let rows = self.file(file).core.rows_of(member);
                if !rows.is_empty() {
                    let from = buffers.len();
                    tags.fill(self, file, rows.clone(), buffers);
                    found.push((file, rows.start as u32, from, buffers.len()));
                }
            }
        }
        if found.is_empty() {
            return;
        }
        // Earlier files first, so that the rows mostly come in order.
        found.sort_unstable_by_key(|(file, row, ..)| (*file, *row));
        let tagged = buffers.tagged(tags);
        let spans: Vec<Span<'_>> =
            found.iter().map(|&(file, row, from, to)| Span { file, row, tags: tagged.range(from..to) }).collect();
        each(&Person { subject, allowed, spans: &spans });
    }
}

/// A share of the work.
enum Unit<'a> {
    /// Subjects `from..to` of a bucket that were never merged.
    Alone {
        bucket: usize,
        from: u32,
        to: u32,
    },
    Merged(Vec<&'a Group>),
}

/// A place in the ascending subjects of a file, and where the tags of its rows are.
struct Cursor<'a> {
    file: u32,
    at: usize,
    end: usize,
    /// Added to a row (wrapping) gives its place among the tags.
    shift: usize,
    subjects: &'a [u32],
    offsets: &'a [u32],
}

impl Cursor<'_> {
    #[inline]
    fn span<'t>(&self, index: usize, tags: Tagged<'t>) -> Span<'t> {
        let (low, high) = (self.offsets[index], self.offsets[index + 1]);
        let from = (low as usize).wrapping_add(self.shift);
        Span { file: self.file, row: low, tags: tags.range(from..from + (high - low) as usize) }
    }
}

/// What a thread uses again for every unit: the tags of its rows, in one of the two widths.
#[derive(Default)]
pub(crate) struct Buffers {
    pub(crate) narrow: Vec<u8>,
    pub(crate) wide: Vec<u32>,
}

impl Buffers {
    fn clear(&mut self) {
        self.narrow.clear();
        self.wide.clear();
    }

    /// Rows tagged; the other width is empty.
    fn len(&self) -> usize {
        self.narrow.len() + self.wide.len()
    }

    fn tagged(&self, tags: &Tags) -> Tagged<'_> {
        if tags.narrow() { Tagged::Narrow(&self.narrow) } else { Tagged::Wide(&self.wide) }
    }

    fn bytes(&self) -> usize {
        self.narrow.capacity() + self.wide.capacity() * 4
    }
}
