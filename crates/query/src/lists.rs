//! Lists: persons who did something, single events, names and values to choose from.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use cofferdam_lake::columns::PropertyKey;
use cofferdam_lake::{Column, Core};
use cofferdam_model::limits;
use cofferdam_model::query::{DateRange, EventMatch, EventsQuery, PersonsQuery};
use cofferdam_model::result::Segment;
use cofferdam_model::{SubjectNo, SubjectSet, Value};
use rustc_hash::FxHashMap;

use crate::scan::{Buffers, Hit, Partial, ROWS_PER_UNIT, Scan, Span};
use crate::tags::Tags;
use crate::values::Values;
use crate::{Input, Output, Result, calendar, check_match, invalid};

/// A person of a list, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonFound {
    pub subject: SubjectNo,
    /// First and last matching event, µs UTC.
    pub first_us: i64,
    pub last_us: i64,
    pub events: u64,
}

/// Takes the events of an export, some at a time.
pub trait Export {
    /// Of how many subjects the next events may be, at most; of one at least.
    fn room(&self) -> usize;

    /// The subjects, as they stand in the lake and ascending, of whom the next events are; none for those of nobody.
    ///
    /// # Errors
    /// When the export is to end here: none of their events is handed over then.
    fn begin(&mut self, subjects: &[SubjectNo]) -> Result<()>;

    /// Events of the subjects of the last `begin`.
    ///
    /// # Errors
    /// When the export is to end here.
    fn rows(&mut self, events: Vec<EventFound>) -> Result<()>;

    /// How many stored events were looked at, of how many.
    fn looked_at(&mut self, events: u64, of: u64);
}

/// An event of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct EventFound {
    pub event: String,
    pub time_us: i64,
    /// The canonical subject.
    pub subject: SubjectNo,
    pub properties: Vec<(String, Value)>,
}

impl Partial for Vec<PersonFound> {
    fn bytes(&self) -> usize {
        self.capacity() * size_of::<PersonFound>()
    }
}

fn check_limit(limit: u32) -> Result<()> {
    if limit == 0 || limit > limits::ROWS_MAX {
        return invalid(format!("a list has 1 to {} rows", limits::ROWS_MAX));
    }
    Ok(())
}

pub(crate) fn persons(input: &Input<'_>, query: &PersonsQuery) -> Result<Output> {
    check_limit(query.limit)?;
    check_match(&query.matching)?;
    let (from, to) = calendar::bounds(query.range, input.zone, input.now_us)?;
    let scan = Scan::new(input, from, to)?;
    let tags = Tags::new(&scan, &[(&query.matching, &[])])?;
    // The whole list is what "last seen first" needs.
    let partials = scan.persons(&tags, Vec::new, |found: &mut Vec<PersonFound>, person| {
        let mut row = PersonFound { subject: person.subject, first_us: i64::MAX, last_us: i64::MIN, events: 0 };
        for span in person.spans {
            span.tagged(&scan.file(span.file).core.time, person.allowed, |hit| {
                row.events += 1;
                row.first_us = row.first_us.min(hit.time);
                row.last_us = row.last_us.max(hit.time);
            });
        }
        if row.events > 0 {
            found.push(row);
        }
    })?;
    let mut found: Vec<PersonFound> = partials.into_iter().flatten().collect();
    found.sort_unstable_by_key(|person| (Reverse(person.last_us), person.subject));
    let total = found.len() as u64;
    let persons = found.into_iter().skip(query.offset as usize).take(query.limit as usize).collect();
    Ok(Output::Persons { total, persons })
}

pub(crate) fn events(input: &Input<'_>, query: &EventsQuery) -> Result<Vec<EventFound>> {
    check_limit(query.limit)?;
    check_match(&query.matching)?;
    let (from, to) = calendar::bounds(query.range, input.zone, input.now_us)?;
    let scan = Scan::new(input, from, to)?;
    let tags = Tags::new(&scan, &[(&query.matching, &[])])?;
    let mut newest = Newest::new(query.limit as usize);
    match input.person {
        Some(person) => {
            let mut hits = Vec::new();
            scan.history(&tags, person, &mut hits);
            hits.into_iter().for_each(|hit| newest.push(&scan, hit));
            input.failure()?;
        }
        None => {
            let limit = newest.limit;
            let make = || Newest::new(limit);
            let partials = scan.rows(&tags, make, |newest, span| newest.push_span(&scan, span))?;
            partials.into_iter().flat_map(|partial| partial.found).for_each(|hit| newest.push(&scan, hit));
        }
    }
    newest.settle(&scan);
    input.failure()?;

    let mut columns: FxHashMap<u32, Vec<(PropertyKey, Arc<Column>)>> = FxHashMap::default();
    let mut events = Vec::with_capacity(newest.found.len());
    for hit in newest.found {
        if let std::collections::hash_map::Entry::Vacant(entry) = columns.entry(hit.file) {
            entry.insert(columns_of(&scan, hit.file)?);
        }
        events.push(event_of(input, &scan, &columns[&hit.file], &hit));
    }
    Ok(events)
}

/// Hands over every event of `input.person`, some at a time: by the files they are stored in, in order of time within
/// each. Only one file's columns are in memory at a time.
pub(crate) fn history(input: &Input<'_>, mut each: impl FnMut(Vec<EventFound>) -> Result<()>) -> Result<()> {
    let Some(person) = input.person else { return Err(crate::Error::Unprepared) };
    let scan = Scan::new(input, i64::MIN, i64::MAX)?;
    let tags = Tags::new(&scan, &[(&EventMatch::default(), &[])])?;
    let mut hits = Vec::new();
    scan.history(&tags, person, &mut hits);
    input.failure()?;
    // Stable: within a file the order of time stays.
    let mut firsts: FxHashMap<u32, usize> = FxHashMap::default();
    for (at, hit) in hits.iter().enumerate() {
        firsts.entry(hit.file).or_insert(at);
    }
    hits.sort_by_key(|hit| firsts[&hit.file]);
    for of_file in hits.chunk_by(|a, b| a.file == b.file) {
        let columns = columns_of(&scan, of_file[0].file)?;
        for some in of_file.chunks(limits::ROWS_MAX as usize) {
            each(some.iter().map(|hit| event_of(input, &scan, &columns, hit)).collect())?;
        }
    }
    Ok(())
}

/// Hands over every event of a range that is meant: by the files they are stored in, by subject and time within each, of
/// at most as many subjects at a time as there is room for. Only one file's columns are in memory at a time.
pub(crate) fn export(input: &Input<'_>, range: DateRange, matching: &EventMatch, out: &mut dyn Export) -> Result<()> {
    check_match(matching)?;
    let (from, to) = calendar::bounds(range, input.zone, input.now_us)?;
    let scan = Scan::new(input, from, to)?;
    let tags = Tags::new(&scan, &[(matching, &[])])?;
    let all = scan.files.iter().map(|file| file.segment.rows).sum();
    let (mut buffers, mut hits, mut seen) = (Buffers::default(), Vec::new(), 0);
    for (index, file) in scan.files.iter().enumerate() {
        let index = index as u32;
        let rows = if tags.may_match(index) { file.core.time.len() } else { 0 };
        let mut columns = None;
        for from in (0..rows).step_by(ROWS_PER_UNIT) {
            let to = (from + ROWS_PER_UNIT).min(rows);
            scan.stretch(&tags, index, from..to, &mut buffers, &mut hits);
            let mut rest = &hits[..];
            while !rest.is_empty() {
                let (subjects, some) = stretch_of(&file.core, rest, out.room().max(1));
                out.begin(&subjects)?;
                let columns = match &mut columns {
                    Some(columns) => columns,
                    none => none.insert(columns_of(&scan, index)?),
                };
                for some in rest[..some].chunks(limits::ROWS_MAX as usize) {
                    out.rows(some.iter().map(|hit| event_of(input, &scan, columns, hit)).collect())?;
                }
                rest = &rest[some..];
            }
            out.looked_at(seen + to as u64, all);
            if input.cancelled() {
                return Err(crate::Error::Cancelled);
            }
        }
        seen += file.segment.rows;
        out.looked_at(seen, all);
    }
    input.failure()
}

/// How many of the first rows are of at most so many subjects, and those; the rows of nobody stand alone.
fn stretch_of(core: &Core, hits: &[Hit], subjects_max: usize) -> (Vec<SubjectNo>, usize) {
    let mut subjects = Vec::new();
    let (mut index, mut end) = (0, 0);
    for (at, hit) in hits.iter().enumerate() {
        if at == 0 || hit.row >= end {
            index += core.offsets[index..].partition_point(|offset| *offset <= hit.row) - 1;
            end = core.offsets[index + 1];
            let subject = SubjectNo(core.subjects[index]);
            if subject == SubjectNo::NOBODY {
                return if at == 0 { (subjects, hits.len()) } else { (subjects, at) };
            }
            if subjects.len() == subjects_max {
                return (subjects, at);
            }
            subjects.push(subject);
        }
    }
    (subjects, hits.len())
}

pub(crate) fn rows_of(input: &Input<'_>, subjects: &SubjectSet) -> Result<u64> {
    let mut rows = 0;
    for segment in input.snapshot.segments() {
        let core = segment.core()?;
        let hidden = segment.hidden();
        for (at, _) in core.subjects.iter().enumerate().filter(|(_, one)| subjects.contains(SubjectNo(**one))) {
            let (from, to) = (core.offsets[at], core.offsets[at + 1]);
            let hidden = hidden.partition_point(|row| *row < to) - hidden.partition_point(|row| *row < from);
            rows += u64::from(to - from) - hidden as u64;
        }
    }
    Ok(rows)
}

fn columns_of(scan: &Scan<'_>, file: u32) -> Result<Vec<(PropertyKey, Arc<Column>)>> {
    let segment = &scan.file(file).segment;
    let mut loaded = Vec::new();
    for key in segment.keys() {
        if let Some(column) = segment.column(key)? {
            loaded.push((key.clone(), column));
        }
    }
    Ok(loaded)
}

fn event_of(input: &Input<'_>, scan: &Scan<'_>, columns: &[(PropertyKey, Arc<Column>)], hit: &Hit) -> EventFound {
    let (file, row) = (scan.file(hit.file), hit.row as usize);
    let properties = columns
        .iter()
        .filter_map(|(key, column)| Some((key.name.clone(), column.value(key.property_type, row)?)))
        .collect();
    let index = file.core.offsets.partition_point(|offset| *offset <= hit.row) - 1;
    let subject = input.merges.canonical(SubjectNo(file.core.subjects[index]));
    EventFound { event: file.core.event_name(row).to_owned(), time_us: hit.time, subject, properties }
}

/// The latest rows so far, and some that may turn out not to be.
struct Newest {
    limit: usize,
    found: Vec<Hit>,
    /// Older rows are not among the latest, µs UTC.
    from_us: i64,
}

impl Newest {
    fn new(limit: usize) -> Newest {
        Newest { limit, found: Vec::new(), from_us: i64::MIN }
    }
}

impl Partial for Newest {
    fn bytes(&self) -> usize {
        self.found.capacity() * size_of::<Hit>()
    }
}

impl Newest {
    fn push_span(&mut self, scan: &Scan<'_>, span: &Span<'_>) {
        span.tagged(&scan.file(span.file).core.time, u32::MAX, |hit| self.push(scan, hit));
    }

    fn push(&mut self, scan: &Scan<'_>, hit: Hit) {
        if hit.time < self.from_us {
            return;
        }
        self.found.push(hit);
        if self.found.len() >= self.limit * 4 {
            self.settle(scan);
        }
    }

    /// Keeps the latest, latest first. Only events of the same instant need the order of arrival.
    fn settle(&mut self, scan: &Scan<'_>) {
        self.found.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| scan.received(b).cmp(&scan.received(a))));
        self.found.truncate(self.limit);
        if let Some(oldest) = self.found.get(self.limit - 1) {
            self.from_us = oldest.time;
        }
    }
}

/// Counts by an id that each row has.
struct Tally(Vec<u64>);

impl Partial for Tally {
    fn bytes(&self) -> usize {
        self.0.len() * 8
    }
}

pub(crate) fn event_names(input: &Input<'_>) -> Result<Vec<(String, u64)>> {
    let scan = Scan::new(input, i64::MIN, i64::MAX)?;
    let tags = Tags::new(&scan, &[(&EventMatch::default(), &[])])?;
    // Each file's names after those of the files before it.
    let mut firsts = vec![0];
    for file in &scan.files {
        firsts.push(firsts[firsts.len() - 1] + file.core.event.dictionary.len());
    }
    let all = firsts[firsts.len() - 1];
    let partials = scan.rows(
        &tags,
        || Tally(vec![0; all]),
        |tally, span| {
            let codes = &scan.file(span.file).core.event.codes;
            span.tags.each(u32::MAX, |at, _| {
                tally.0[firsts[span.file as usize] + codes.get(span.row as usize + at) as usize] += 1;
            });
        },
    )?;
    let mut names: BTreeMap<&str, u64> = BTreeMap::new();
    for (file, first) in scan.files.iter().zip(&firsts) {
        for (code, name) in file.core.event.dictionary.iter().enumerate() {
            *names.entry(name).or_default() += partials.iter().map(|tally| tally.0[first + code]).sum::<u64>();
        }
    }
    let mut names: Vec<(String, u64)> =
        names.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count)).collect();
    names.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(names)
}

/// Of values of fewer persons than `few` there is nothing.
pub(crate) fn property_values(
    input: &Input<'_>,
    property: &str,
    search: &str,
    limit: usize,
    few: u64,
) -> Result<Vec<(String, u64)>> {
    let scan = Scan::new(input, i64::MIN, i64::MAX)?;
    let tags = Tags::new(&scan, &[(&EventMatch::default(), &[])])?;
    let values = Values::new(&scan, property)?;
    let partials = scan.rows(
        &tags,
        || Tally(vec![0; values.len()]),
        |tally, span| {
            let mut ids = Vec::new();
            span.tags.each(u32::MAX, |at, tags| {
                let hit = Hit { time: 0, tags, file: span.file, row: span.row + at as u32 };
                values.ids(&hit, &mut ids);
                ids.iter().for_each(|id| tally.0[*id as usize] += 1);
            });
        },
    )?;
    let sum = |partials: &[Tally], id: usize| partials.iter().map(|tally| tally.0[id]).sum::<u64>();
    let of_persons = match few {
        0 => Vec::new(),
        _ => scan.persons(
            &tags,
            || Tally(vec![0; values.len()]),
            |tally, person| {
                let (mut ids, mut had) = (Vec::new(), Vec::new());
                for span in person.spans {
                    span.tagged(&scan.file(span.file).core.time, person.allowed, |hit| {
                        values.ids(&hit, &mut ids);
                        had.append(&mut ids);
                    });
                }
                had.sort_unstable();
                had.dedup();
                had.iter().for_each(|id| tally.0[*id as usize] += 1);
            },
        )?,
    };
    let search = search.to_lowercase();
    let mut found = Vec::new();
    for id in 1..values.len() {
        let count = sum(&partials, id);
        if let Segment::Value(text) = values.segment(id as u32)
            && count > 0
            && sum(&of_persons, id) >= few
            && text.to_lowercase().contains(&search)
        {
            found.push((text, count));
        }
    }
    found.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    found.truncate(limit);
    Ok(found)
}

pub(crate) fn totals(input: &Input<'_>) -> Result<(u64, u64)> {
    let scan = Scan::new(input, i64::MIN, i64::MAX)?;
    let tags = Tags::new(&scan, &[(&EventMatch::default(), &[])])?;
    let events = scan.rows(
        &tags,
        || Tally(vec![0]),
        |tally, span| {
            span.tags.each(u32::MAX, |_, _| tally.0[0] += 1);
        },
    )?;
    let persons = scan.persons(
        &tags,
        || Tally(vec![0]),
        |tally, person| {
            tally.0[0] += u64::from(person.spans.iter().any(|span| span.tags.any(u32::MAX)));
        },
    )?;
    let sum = |partials: Vec<Tally>| partials.iter().map(|tally| tally.0[0]).sum();
    Ok((sum(events), sum(persons)))
}

#[cfg(test)]
mod tests {
    use cofferdam_lake::Snapshot;
    use cofferdam_model::Merges;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::People;
    use crate::testing::{days, events, named};

    /// Keeps what it is given, and ends after so many chunks.
    struct Kept {
        chunks: Vec<(Vec<u32>, Vec<EventFound>)>,
        subjects_max: usize,
        chunks_max: usize,
        of: u64,
    }

    impl Export for Kept {
        fn room(&self) -> usize {
            self.subjects_max
        }

        fn begin(&mut self, subjects: &[SubjectNo]) -> Result<()> {
            if self.chunks.len() == self.chunks_max {
                return Err(crate::Error::Cancelled);
            }
            self.chunks.push((subjects.iter().map(|subject| subject.0).collect(), Vec::new()));
            Ok(())
        }

        fn rows(&mut self, events: Vec<EventFound>) -> Result<()> {
            self.chunks.last_mut().expect("a chunk was begun").1.extend(events);
            Ok(())
        }

        fn looked_at(&mut self, events: u64, of: u64) {
            assert!(events <= of);
            self.of = of;
        }
    }

    #[test]
    fn an_export_hands_over_every_event_once_and_only_after_its_subjects_were_named() {
        let mut text = String::new();
        for subject in 1..=40 {
            for day in 1..=5 {
                text.push_str(&format!("{subject} {day} 10:00 {} n={day}\n", if day == 3 { "Skip" } else { "Buy" }));
            }
        }
        // Of nobody.
        text.push_str(&format!("{} 2 11:00 Buy n=9\n", u32::MAX));
        let mut merges = Merges::default();
        merges.link(SubjectNo(1), SubjectNo(2));
        let (zone, people) = (TimeZone::UTC, People::default());
        let run = |buckets, pieces, subjects_max, chunks_max| {
            let snapshot = Snapshot::of_events(events(&text), buckets, pieces);
            let input = Input::new(&snapshot, &merges, &zone, 0, &people);
            let mut kept = Kept { chunks: Vec::new(), subjects_max, chunks_max, of: 0 };
            let ended = export(&input, days(2, 4), &named("Buy"), &mut kept);
            (kept, ended.is_ok())
        };
        for (buckets, pieces, subjects_max) in [(1, 1, 1_000), (4, 1, 3), (2, 3, 1)] {
            let (kept, is_whole) = run(buckets, pieces, subjects_max, usize::MAX);
            assert!(is_whole && kept.of == 201, "{}", kept.of);
            let mut rows = Vec::new();
            for (subjects, events) in &kept.chunks {
                assert!(subjects.len() <= subjects_max && subjects.is_sorted_by(|a, b| a < b), "{subjects:?}");
                assert!(!events.is_empty());
                for event in events {
                    let is_named = subjects.iter().any(|one| merges.canonical(SubjectNo(*one)) == event.subject);
                    assert!(is_named || (subjects.is_empty() && event.subject == SubjectNo::NOBODY), "{event:?}");
                    rows.push((event.subject.0, event.time_us));
                }
            }
            assert_eq!(rows.len(), 40 * 2 + 1, "the second and the fourth day, and nobody's");
            assert_eq!(rows.iter().filter(|(subject, _)| *subject == merges.canonical(SubjectNo(1)).0).count(), 4);
        }
        let (kept, is_whole) = run(4, 1, 3, 2);
        assert!(!is_whole);
        assert_eq!(kept.chunks.len(), 2, "nothing after the chunk that was refused");
    }

    #[test]
    fn a_list_of_no_rows_is_refused() {
        assert!(check_limit(0).is_err());
        assert!(check_limit(limits::ROWS_MAX + 1).is_err());
        assert!(check_limit(1).is_ok());
    }
}
