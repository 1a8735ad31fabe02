//! Segments: an immutable set of events of one project and bucket, in memory (the tail) or as Parquet (truth).
//!
//! What a reader gets of either is the same: the core at once, property columns by name, rows in the order of
//! (subject, time, received). Files hand out mapped columns derived from their truth ([`crate::hot`]); the truth
//! itself is in [`truth`], joining segments in [`merge`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    hot: Arc<HotStore>,
    core: Slot<Arc<Core>>,
    received: Slot<Buffer<i64>>,
    insert_ids: Slot<Buffer<u64>>,
    columns: BTreeMap<PropertyKey, FileColumn>,
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

    /// Opens a file that the manifest names; reads its footer only.
    pub(crate) fn open(
        id: u64,
        bucket: u32,
        rows: u64,
        time_us: (i64, i64),
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
            hot,
            core: Slot::empty(),
            received: Slot::empty(),
            insert_ids: Slot::empty(),
            columns,
            obsolete: AtomicBool::new(false),
        };
        Ok(Segment { id, bucket, rows, time_us, hidden: Arc::new([]), data: Arc::new(Data::File(file)) })
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
mod tests {
    use super::*;
    use crate::Together;
    use crate::columns::Arrived;
    use cofferdam_model::{SealedEvent, SubjectNo, Value};

    #[test]
    fn a_segment_file_reads_back_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let events: Vec<Arrived> = (0..500_i64)
            .map(|i| Arrived {
                received: i,
                event: SealedEvent {
                    name: format!("event {}", i % 7),
                    subject: SubjectNo((i * 7919 % 101) as u32),
                    time_us: i * 1_000_003 % 777_777,
                    insert_id: i as u64,
                    properties: match i % 5 {
                        0 => vec![("a".into(), Value::String(format!("ñ{}", i % 11)))],
                        1 => vec![("a".into(), Value::Number(i as f64 / 3.0)), ("t".into(), Value::Time(i))],
                        2 => vec![("b".into(), Value::Bool(i % 2 == 0))],
                        3 => vec![("l".into(), Value::List(vec!["x".into(), format!("{i}")]))],
                        _ => vec![("o".into(), Value::Object(format!("{{\"k\":{i}}}")))],
                    },
                },
            })
            .collect();
        let rows = Rows::build(&events);
        let tail = Segment::in_memory(0, 0, &rows);
        let hot = HotStore::open(Arc::new(crate::disk::LocalDisk), folder.path().join("hot"), 1 << 20);
        let path = folder.path().join("p1/s.parquet");
        let source = Source { segment: &tail, hidden: &[] };
        let (_, written) = merge(&hot, &[source], &Together, &|_| (path.clone(), 1)).unwrap().pop().unwrap();
        assert_eq!((written.rows, written.received), (500, (0, 499)));
        assert_eq!(crc32c::crc32c(&std::fs::read(&path).unwrap()), written.crc32c);
        let segment = Segment::open(1, 0, 500, written.time_us, path, hot).unwrap();
        assert_eq!(*segment.core().unwrap(), *tail.core().unwrap());
        assert_eq!(segment.received().unwrap(), tail.received().unwrap());
        assert_eq!(segment.insert_ids().unwrap(), tail.insert_ids().unwrap());
        assert!(segment.keys().eq(tail.keys()));
        for key in tail.keys() {
            let (one, other) = (tail.column(key).unwrap().unwrap(), segment.column(key).unwrap().unwrap());
            for row in 0..500 {
                assert_eq!(one.value(key.property_type, row), other.value(key.property_type, row), "{key:?} {row}");
            }
        }
    }
}
