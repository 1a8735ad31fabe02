//! Segments: an immutable set of events of one project and bucket, in memory (the tail) or as Parquet (truth).
//!
//! What a reader gets of either is the same: the core at once, property columns by name, rows in the order of
//! (subject, time, received). Files hand out mapped columns derived from their truth ([`crate::hot`]); the truth
//! itself is in [`truth`], joining segments in [`merge`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::buffer::Buffer;
use crate::columns::{Column, Core, PropertyKey, Rows};
use crate::hot::{HotStore, Name, Part, Slot};
use crate::{Error, Result};

pub(crate) mod merge;
mod truth;

pub(crate) use merge::{Plan, Source, Written, merge, merge_in_memory};
pub(crate) use truth::Fingerprint;
use truth::Truth;

/// An immutable set of events of one project and bucket. Cheap to clone.
#[derive(Clone)]
pub struct Segment {
    /// Unique within the process; for files, the manifest's id.
    pub id: u64,
    pub bucket: u32,
    /// Hidden ones included.
    pub rows: u64,
    /// Earliest and latest event time, µs UTC.
    pub time_us: (i64, i64),
    hidden: Arc<[u32]>,
    data: Arc<Data>,
}

enum Data {
    Memory(Memory),
    File(SegmentFile),
}

/// A segment that is in no file yet.
struct Memory {
    core: Arc<Core>,
    received: Buffer<i64>,
    insert_ids: Buffer<u64>,
    columns: BTreeMap<PropertyKey, Arc<Column>>,
}

struct SegmentFile {
    path: PathBuf,
    id: u64,
    fingerprint: Fingerprint,
    /// Of the whole file, as it was written.
    crc32c: u32,
    /// Whether that was looked at: once, before the truth is first decoded.
    checked: AtomicBool,
    hot: Arc<HotStore>,
    core: Slot<Arc<Core>>,
    received: Slot<Buffer<i64>>,
    insert_ids: Slot<Buffer<u64>>,
    columns: BTreeMap<PropertyKey, FileColumn>,
    /// Of properties that were asked for: the time of the first value.
    first_values: Mutex<BTreeMap<PropertyKey, Option<i64>>>,
    /// Set when a compaction replaced it: the file goes when the last snapshot lets go.
    obsolete: AtomicBool,
}

struct FileColumn {
    /// Place in the file.
    index: usize,
    slot: Slot<Arc<Column>>,
}

impl Drop for SegmentFile {
    fn drop(&mut self) {
        if !self.obsolete.load(Ordering::Relaxed) {
            return;
        }
        self.hot.remove_segment(&project_folder(&self.path), self.id);
        if let Err(error) = self.hot.disk.remove(&self.path) {
            // Not in the manifest any more: the next start removes it.
            tracing::warn!(path = %self.path.display(), %error, "could not remove a replaced segment");
        }
    }
}

/// The name of the folder a segment's file lies in, one per project.
fn project_folder(path: &Path) -> Arc<str> {
    let folder = path.parent().and_then(Path::file_name).expect("a segment lies in its project's folder");
    folder.to_string_lossy().into()
}

fn hot_name(path: &Path, segment: u64, part: Part) -> Name {
    Name { project: project_folder(path), segment, part }
}

impl SegmentFile {
    fn truth(&self) -> Result<Truth<'_>> {
        let (truth, fingerprint) = Truth::open(&*self.hot.disk, &self.path)?;
        if fingerprint != self.fingerprint {
            let what = "it is not the file it was when it was opened".to_owned();
            return Err(Error::Damaged { path: self.path.clone(), what });
        }
        if !self.checked.load(Ordering::Relaxed) {
            if self.crc32c != truth.checksum() {
                let what = "its checksum is not the manifest's".to_owned();
                return Err(Error::Damaged { path: self.path.clone(), what });
            }
            self.checked.store(true, Ordering::Relaxed);
        }
        Ok(truth)
    }

    fn load<T: crate::hot::Hot>(
        &self,
        slot: &Slot<T>,
        part: Part,
        make: impl FnOnce(&Truth<'_>) -> Result<T>,
    ) -> Result<T> {
        self.hot.load(slot, || hot_name(&self.path, self.id, part), self.fingerprint, || make(&self.truth()?))
    }
}

impl Segment {
    pub(crate) fn in_memory(id: u64, bucket: u32, rows: &Rows) -> Segment {
        let memory = Memory {
            core: Arc::new((&*rows.core).into()),
            received: rows.core.received.clone().into(),
            insert_ids: rows.core.insert_id.clone().into(),
            columns: rows.columns.iter().map(|(key, column)| (key.clone(), Arc::new((&**column).into()))).collect(),
        };
        Segment::of_memory(id, bucket, memory)
    }

    fn of_memory(id: u64, bucket: u32, memory: Memory) -> Segment {
        let time = &memory.core.time;
        let time_us = time.iter().fold((i64::MAX, i64::MIN), |(low, high), time| (low.min(time), high.max(time)));
        let rows = memory.core.len() as u64;
        Segment { id, bucket, rows, time_us, hidden: Arc::new([]), data: Arc::new(Data::Memory(memory)) }
    }

    /// Opens a file that the manifest names; reads its footer only. `crc32c` is that of the whole file, and is
    /// compared before anything else is read from it.
    pub(crate) fn open(
        id: u64,
        bucket: u32,
        rows: u64,
        time_us: (i64, i64),
        crc32c: u32,
        path: PathBuf,
        hot: Arc<HotStore>,
    ) -> Result<Segment> {
        let (truth, fingerprint) = Truth::open(&*hot.disk, &path)?;
        let stored = truth.rows();
        let columns = truth.keys().map(|(key, index)| (key, FileColumn { index, slot: Slot::empty() })).collect();
        drop(truth);
        if stored != rows {
            return Err(Error::Damaged { path, what: format!("{stored} rows where the manifest says {rows}") });
        }
        let file = SegmentFile {
            path,
            id,
            fingerprint,
            crc32c,
            checked: AtomicBool::new(false),
            hot,
            core: Slot::empty(),
            received: Slot::empty(),
            insert_ids: Slot::empty(),
            columns,
            first_values: Mutex::default(),
            obsolete: AtomicBool::new(false),
        };
        Ok(Segment { id, bucket, rows, time_us, hidden: Arc::new([]), data: Arc::new(Data::File(file)) })
    }

    /// Opens a file on its own, without a lake and with hot columns in the folder `hot` beside it: for tools and tests
    /// that look at files. `crc32c` is that of the whole file as it was written.
    pub fn of_file(disk: Arc<dyn crate::disk::Disk>, path: &Path, crc32c: u32) -> Result<Segment> {
        let rows = Truth::open(&*disk, path)?.0.rows();
        let hot = HotStore::open(disk, path.with_file_name("hot"), u64::MAX);
        Segment::open(0, 0, rows, (i64::MIN, i64::MAX), crc32c, path.to_owned(), hot)
    }

    /// The same segment with other rows hidden, ascending: superseded duplicates, erased subjects.
    pub fn with_hidden(&self, hidden: Vec<u32>) -> Segment {
        debug_assert!(hidden.is_sorted(), "readers walk hidden rows beside the others");
        Segment { hidden: hidden.into(), ..self.clone() }
    }

    /// Rows that must not be read, ascending.
    pub fn hidden(&self) -> &[u32] {
        &self.hidden
    }

    /// Subjects, times, names: what every query reads.
    pub fn core(&self) -> Result<Arc<Core>> {
        match &*self.data {
            Data::Memory(memory) => Ok(memory.core.clone()),
            Data::File(file) => file.load(&file.core, Part::Core, |truth| truth.core().map(Arc::new)),
        }
    }

    /// The column of a property, if the segment has one.
    pub fn column(&self, key: &PropertyKey) -> Result<Option<Arc<Column>>> {
        match &*self.data {
            Data::Memory(memory) => Ok(memory.columns.get(key).cloned()),
            Data::File(file) => {
                let Some(FileColumn { index, slot }) = file.columns.get(key) else { return Ok(None) };
                let make = |truth: &Truth<'_>| truth.column(key.property_type, *index).map(Arc::new);
                file.load(slot, Part::Column(*index), make).map(Some)
            }
        }
    }

    /// Arrival stamps, one per row, unique within a project: only ties of (subject, time) across segments need them.
    pub fn received(&self) -> Result<Buffer<i64>> {
        match &*self.data {
            Data::Memory(memory) => Ok(memory.received.clone()),
            Data::File(file) => file.load(&file.received, Part::Received, |truth| truth.received()),
        }
    }

    /// Insert ids, one per row; 0 is nobody's duplicate.
    pub(crate) fn insert_ids(&self) -> Result<Buffer<u64>> {
        match &*self.data {
            Data::Memory(memory) => Ok(memory.insert_ids.clone()),
            Data::File(file) => file.load(&file.insert_ids, Part::InsertIds, |truth| truth.insert_ids()),
        }
    }

    /// Every (property, type) with a value here.
    pub fn keys(&self) -> impl Iterator<Item = &PropertyKey> {
        let (memory, file) = match &*self.data {
            Data::Memory(memory) => (Some(memory.columns.keys()), None),
            Data::File(file) => (None, Some(file.columns.keys())),
        };
        memory.into_iter().flatten().chain(file.into_iter().flatten())
    }

    // For merges, which read everything once: what is loaded is used, and nothing is loaded for it.

    /// The time of the earliest row with a value of a property, µs UTC, hidden ones included. It is looked for once.
    pub(crate) fn first_value_us(&self, key: &PropertyKey) -> Result<Option<i64>> {
        let Data::File(file) = &*self.data else { return self.find_first_value(key) };
        let known = || file.first_values.lock().expect("never left half changed");
        if let Some(first) = known().get(key) {
            return Ok(*first);
        }
        let first = self.find_first_value(key)?;
        known().insert(key.clone(), first);
        Ok(first)
    }

    fn find_first_value(&self, key: &PropertyKey) -> Result<Option<i64>> {
        let Some(column) = self.column_once(key)? else { return Ok(None) };
        let core = self.core()?;
        Ok((0..core.len()).filter(|row| column.is_set(*row)).map(|row| core.time.get(row)).min())
    }

    fn column_once(&self, key: &PropertyKey) -> Result<Option<Arc<Column>>> {
        match &*self.data {
            Data::Memory(memory) => Ok(memory.columns.get(key).cloned()),
            Data::File(file) => {
                let Some(FileColumn { index, slot }) = file.columns.get(key) else { return Ok(None) };
                match slot.peek() {
                    Some(loaded) => Ok(Some(loaded)),
                    None => Ok(Some(Arc::new(file.truth()?.column(key.property_type, *index)?))),
                }
            }
        }
    }

    fn received_once(&self) -> Result<Buffer<i64>> {
        match &*self.data {
            Data::Memory(memory) => Ok(memory.received.clone()),
            Data::File(file) => file.received.peek().map_or_else(|| file.truth()?.received(), Ok),
        }
    }

    fn insert_ids_once(&self) -> Result<Buffer<u64>> {
        match &*self.data {
            Data::Memory(memory) => Ok(memory.insert_ids.clone()),
            Data::File(file) => file.insert_ids.peek().map_or_else(|| file.truth()?.insert_ids(), Ok),
        }
    }

    /// Says that something else holds these events: the file goes when the last snapshot lets go of it.
    pub(crate) fn mark_obsolete(&self) {
        if let Data::File(file) = &*self.data {
            file.obsolete.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::columns::{Arrived, Codes, Text};
    use cofferdam_model::{SealedEvent, SubjectNo, Value};

    /// A row as it went in: subject, time, received, insert id, name, properties.
    pub(crate) type Row = (u32, i64, i64, u64, String, Vec<(PropertyKey, Value)>);

    /// All rows of a segment, in their order.
    pub(crate) fn rows_of(segment: &Segment) -> Vec<Row> {
        let core = segment.core().unwrap();
        let (received, insert_ids) = (segment.received().unwrap(), segment.insert_ids().unwrap());
        let columns: Vec<_> = segment.keys().map(|key| (key, segment.column(key).unwrap().unwrap())).collect();
        let mut rows = Vec::new();
        for (subject, range) in core.subjects.iter().zip(core.offsets.windows(2)) {
            for row in range[0] as usize..range[1] as usize {
                let properties = columns
                    .iter()
                    .filter_map(|(key, column)| Some(((*key).clone(), column.value(key.property_type, row)?)))
                    .collect();
                let name = core.event_name(row).to_owned();
                rows.push((*subject, core.time.get(row), received[row], insert_ids[row], name, properties));
            }
        }
        rows
    }

    /// Everything in one output.
    pub(crate) struct Whole;

    impl Plan for Whole {
        fn outputs(&self) -> usize {
            1
        }

        fn place(&self, subject: SubjectNo, _time_us: i64) -> Option<(usize, SubjectNo)> {
            Some((0, subject))
        }

        fn keeps_column(&self, _key: &PropertyKey) -> bool {
            true
        }
    }

    /// Writes events as the segment file of that number, not yet opened.
    pub(crate) fn write(folder: &Path, hot: &HotStore, id: u64, events: &[Arrived]) -> (Segment, merge::Written) {
        let tail = Segment::in_memory(0, 0, &Rows::build(events));
        let source = Source { segment: &tail, hidden: &[] };
        let path = folder.join(format!("p1/{id}.parquet"));
        let (_, written) = merge(hot, &[source], &Whole, &|_| (path.clone(), id)).unwrap().pop().unwrap();
        (tail, written)
    }

    pub(crate) fn open(folder: &Path, hot: &Arc<HotStore>, id: u64, written: &merge::Written) -> Segment {
        let path = folder.join(format!("p1/{id}.parquet"));
        Segment::open(id, 0, written.rows, written.time_us, written.crc32c, path, hot.clone()).unwrap()
    }

    pub(crate) fn hot(folder: &Path, budget_bytes: u64) -> Arc<HotStore> {
        HotStore::open(Arc::new(crate::disk::LocalDisk), folder.join("hot"), budget_bytes)
    }

    /// Events of every type, `spread` of them with texts of their own.
    pub(crate) fn events(count: i64, spread: i64) -> Vec<Arrived> {
        (0..count)
            .map(|i| Arrived {
                received: i,
                event: SealedEvent {
                    name: format!("event {}", i % 7),
                    subject: SubjectNo((i * 7919 % 101) as u32),
                    time_us: i * 1_000_003 % 777_777,
                    insert_id: i as u64,
                    properties: match i % 5 {
                        0 => vec![("a".into(), Value::String(format!("ñ{}", i % spread)))],
                        1 => vec![("a".into(), Value::Number(i as f64 / 3.0)), ("t".into(), Value::Time(i))],
                        2 => vec![("b".into(), Value::Bool(i % 2 == 0))],
                        3 => vec![("l".into(), Value::List(vec!["x".into(), format!("{i}")]))],
                        _ => vec![("o".into(), Value::Object(format!("{{\"k\":{}}}", i % 11)))],
                    },
                },
            })
            .collect()
    }

    #[test]
    fn a_segment_file_reads_back_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let hot = hot(folder.path(), 1 << 20);
        let (tail, written) = write(folder.path(), &hot, 1, &events(500, 11));
        assert_eq!((written.rows, written.received), (500, (0, 499)));
        let path = folder.path().join("p1/1.parquet");
        let file = std::fs::read(&path).unwrap();
        assert_eq!((file.len() as u64, crc32c::crc32c(&file)), (written.bytes, written.crc32c));
        let segment = open(folder.path(), &hot, 1, &written);
        assert_eq!(*segment.core().unwrap(), *tail.core().unwrap());
        assert!(segment.keys().eq(tail.keys()));
        assert_eq!(rows_of(&segment), rows_of(&tail));

        let files = |folder: &str| std::fs::read_dir(folder).unwrap().count();
        let hot_folder = folder.path().join("hot/p1");
        assert_eq!(files(hot_folder.to_str().unwrap()), 1 + 2 + segment.keys().count());
        segment.mark_obsolete();
        assert!(path.exists(), "somebody still reads it");
        drop(segment);
        assert!(!path.exists());
        assert_eq!(files(hot_folder.to_str().unwrap()), 0, "its hot columns went with it");
    }

    #[test]
    fn codes_are_as_wide_as_their_dictionary_needs() {
        let folder = tempfile::tempdir().unwrap();
        let hot = hot(folder.path(), 1 << 30);
        for (id, distinct) in [(1, 255), (2, 256), (3, 65_535), (4, 65_536), (5, 100_000)] {
            // Each text twice, a third of the rows without one, and one property whose texts never repeat.
            let arrived: Vec<Arrived> = (0..distinct * 3)
                .map(|i| Arrived {
                    received: i,
                    event: SealedEvent {
                        name: "e".into(),
                        subject: SubjectNo((i % 1_000) as u32),
                        time_us: i,
                        insert_id: 0,
                        properties: match i % 3 {
                            0 => vec![("own".into(), Value::String(format!("only {i}")))],
                            _ => vec![("url".into(), Value::String(format!("/page/{}", i / 3)))],
                        },
                    },
                })
                .collect();
            let (tail, written) = write(folder.path(), &hot, id, &arrived);
            let segment = open(folder.path(), &hot, id, &written);
            for key in tail.keys() {
                let (one, other) = (tail.column(key).unwrap().unwrap(), segment.column(key).unwrap().unwrap());
                let (Column::Text(one), Column::Text(other)) = (&*one, &*other) else { panic!("a text") };
                assert_eq!(one.dictionary.len() as i64, distinct);
                assert!((0..one.codes.len()).all(|row| one.get(row) == other.get(row)), "{key:?}");
                let width = |text: &Text| match text.codes {
                    Codes::U8(_) => 1,
                    Codes::U16(_) => 2,
                    Codes::U32(_) => 4,
                };
                let expected = match distinct {
                    ..=255 => 1,
                    256..=65_535 => 2,
                    _ => 4,
                };
                assert_eq!((width(one), width(other)), (expected, expected));
            }
        }
    }

    /// A load like a shop's: eight texts of which a page changes with each event, a trial with some and the others
    /// belong to the subject, a price on every tenth event, batches of 2,000 that arrive within ten minutes, and events
    /// of a month in milliseconds.
    fn load(count: u32) -> Vec<Arrived> {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        (0..count)
            .map(|at| {
                let subject = random() % u64::from(count / 50);
                let mut own = subject.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
                let mut steady = |spread: u64| {
                    own = own.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (own >> 40) % spread
                };
                let steady_texts =
                    [("country", 80), ("city", 4_000), ("browser", 12), ("os", 8), ("org", 100_000), ("plan", 5)];
                let mut properties: Vec<(String, Value)> = steady_texts
                    .into_iter()
                    .map(|(name, spread)| (name.to_owned(), Value::String(format!("{name} {}", steady(spread)))))
                    .collect();
                for (name, spread) in [("url", 5_000), ("variant", 3)] {
                    let value = (random() % spread).min(random() % spread);
                    properties.push((name.to_owned(), Value::String(format!("https://example.com/{name}/{value}"))));
                }
                if at % 10 == 0 {
                    properties.push(("price".to_owned(), Value::Number((random() % 20_000) as f64 / 100.0)));
                }
                Arrived {
                    // Batches of 2,000 over ten minutes.
                    received: 1_700_000_000_000_000
                        + i64::from(at / 2_000) * 600_000_000 / i64::from(count / 2_000)
                        + i64::from(at % 2_000),
                    event: SealedEvent {
                        name: format!("event {}", (random() % 40).min(random() % 40)),
                        subject: SubjectNo(subject as u32),
                        time_us: 1_690_000_000_000_000 + (random() % 2_678_400_000) as i64 * 1_000,
                        insert_id: random(),
                        properties,
                    },
                }
            })
            .collect()
    }

    #[test]
    fn an_event_takes_few_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let hot = hot(folder.path(), 1 << 30);
        let count = 100_000;
        let (_, written) = write(folder.path(), &hot, 1, &load(count));
        let core = std::fs::metadata(folder.path().join("hot/p1/1.core.hot")).unwrap().len();
        let truth = written.bytes as f64 / f64::from(count);
        let core = core as f64 / f64::from(count);
        assert!(truth + core < 25.0, "{truth:.2} B of truth and {core:.2} B of hot core");
    }
}
