//! Hot columns: what queries read of segment files, as mapped arrays derived from the Parquet truth.
//!
//! One file per part of a segment: `<project's folder>/<segment>.<part>.hot`, where the part is `core`, `received`,
//! `insert-ids` or a column's place in the truth. Version 1, in the machine's own byte order:
//! 1. 24 words of 8 bytes: magic with version, form, rows, base and unit of short times, bytes and checksum of
//!    the truth it was made from, number of sections, and for each its offset and length;
//! 2. the sections, each at a multiple of 64 bytes;
//! 3. a word with the CRC32C of all before it, checked when the file is first mapped.
//!
//! Invariants:
//! - Nothing here is needed: a file that is missing, of another version, of another truth or damaged is made
//!   again, and where the disk takes none (full, read-only) the decoded column is kept in memory instead.
//! - A column that is loaded is handed out under its own lock only. A column is made once, however many wait.
//! - What was handed out stays valid when its file is removed.
//!
//! Property columns beyond a budget are removed, the least recently used first. The core of a segment, which
//! every query reads, is not counted.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError, Weak};

use bytes::Bytes;
use cofferdam_model::limits;
use rustc_hash::FxHashMap;

use crate::Result;
use crate::buffer::Buffer;
use crate::columns::{Codes, Column, Core, Dictionary, Text, Times};
use crate::disk::{Disk, InSteps};
use crate::segment::Fingerprint;

/// `CDAMHOT` and the version. Read on a machine of the other byte order it is not this number.
const MAGIC: u64 = u64::from_be_bytes(*b"CDAMHOT\x01");
const HEADER_WORDS: usize = 24;
const SECTIONS_MAX: usize = (HEADER_WORDS - 8) / 2;
const ALIGNMENT: usize = 64;

/// Which part of which segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    /// The folder of the segment's truth: one per project.
    pub(crate) project: Arc<str>,
    pub(crate) segment: u64,
    pub(crate) part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Core,
    Received,
    InsertIds,
    /// A property column, by its place in the truth.
    Column(usize),
}

impl Name {
    fn file(&self) -> String {
        let Name { segment, part, .. } = self;
        match part {
            Part::Core => format!("{segment}.core.hot"),
            Part::Received => format!("{segment}.received.hot"),
            Part::InsertIds => format!("{segment}.insert-ids.hot"),
            Part::Column(index) => format!("{segment}.{index}.hot"),
        }
    }

    fn parse(project: &Arc<str>, file: &str) -> Option<Name> {
        let (segment, part) = file.strip_suffix(".hot")?.split_once('.')?;
        let part = match part {
            "core" => Part::Core,
            "received" => Part::Received,
            "insert-ids" => Part::InsertIds,
            index => Part::Column(index.parse().ok()?),
        };
        Some(Name { project: project.clone(), segment: segment.parse().ok()?, part })
    }
}

/// Where hot columns are kept, shared by all segments.
pub(crate) struct HotStore {
    pub(crate) disk: Arc<dyn Disk>,
    folder: PathBuf,
    budget_bytes: u64,
    /// Grows with each use of a column.
    clock: AtomicU64,
    shelf: Mutex<Shelf>,
}

/// What there is, for the budgets. Taken while a column is made or removed, never to read one.
#[derive(Default)]
struct Shelf {
    parts: FxHashMap<Name, Entry>,
    /// Of property columns on disk, and of columns in memory.
    disk_bytes: u64,
    memory_bytes: u64,
}

struct Entry {
    bytes: u64,
    place: Place,
    used: Arc<AtomicU64>,
    /// Dead when nobody has asked for it since the segment was opened.
    loaded: Weak<dyn Forget>,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Disk,
    Memory,
}

/// One part of a segment that is loaded when it is first asked for.
pub(crate) struct Slot<T> {
    loaded: Arc<Mutex<Option<T>>>,
    used: Arc<AtomicU64>,
}

/// What can let go of a loaded part.
trait Forget: Send + Sync {
    /// False when somebody is at it just now.
    fn forget(&self) -> bool;
}

impl<T: Send> Forget for Mutex<Option<T>> {
    fn forget(&self) -> bool {
        match self.try_lock() {
            Ok(mut loaded) => {
                *loaded = None;
                true
            }
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Poisoned(_)) => true,
        }
    }
}

struct NeverLoaded;

impl Forget for NeverLoaded {
    fn forget(&self) -> bool {
        true
    }
}

impl<T: Clone> Slot<T> {
    pub(crate) fn empty() -> Slot<T> {
        Slot { loaded: Arc::default(), used: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.loaded.lock().expect("never left half changed")
    }

    /// What is loaded already.
    pub(crate) fn peek(&self) -> Option<T> {
        self.lock().clone()
    }
}

impl HotStore {
    /// Takes over a folder. `budget_bytes` is for property columns on disk.
    pub(crate) fn open(disk: Arc<dyn Disk>, folder: PathBuf, budget_bytes: u64) -> Arc<HotStore> {
        let store = HotStore { disk, folder, budget_bytes, clock: AtomicU64::new(1), shelf: Mutex::default() };
        if let Err(error) = store.take_stock() {
            tracing::warn!(folder = %store.folder.display(), %error, "could not look through the hot columns");
        }
        Arc::new(store)
    }

    fn take_stock(&self) -> io::Result<()> {
        self.disk.create_folders(&self.folder)?;
        let mut shelf = self.shelf();
        for project in self.disk.list(&self.folder)? {
            let project: Arc<str> = project.into();
            let folder = self.folder.join(&*project);
            // Whatever is no folder is not ours.
            let Ok(files) = self.disk.list(&folder) else { continue };
            for file in files {
                let path = folder.join(&file);
                match Name::parse(&project, &file) {
                    Some(name) => {
                        let entry = Entry {
                            bytes: self.disk.len(&path)?,
                            place: Place::Disk,
                            used: Arc::default(),
                            loaded: Weak::<NeverLoaded>::new(),
                        };
                        shelf.add(name, entry);
                    }
                    None => self.disk.remove(&path)?,
                }
            }
        }
        Ok(())
    }

    /// Removes what belongs to segments that are not known, by their project's folder and number.
    pub(crate) fn keep_only(&self, known: impl Fn(&str, u64) -> bool) {
        self.remove_all(|name| !known(&name.project, name.segment));
    }

    /// Removes all that belongs to a segment.
    pub(crate) fn remove_segment(&self, project: &str, segment: u64) {
        self.remove_all(|name| name.segment == segment && &*name.project == project);
    }

    fn remove_all(&self, which: impl Fn(&Name) -> bool) {
        let mut shelf = self.shelf();
        let gone: Vec<Name> = shelf.parts.keys().filter(|name| which(name)).cloned().collect();
        for name in gone {
            self.remove(&mut shelf, &name);
        }
    }

    /// Bytes of property columns on disk.
    #[cfg(test)]
    fn disk_bytes(&self) -> u64 {
        self.shelf().disk_bytes
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().expect("never left half changed")
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.folder.join(&*name.project).join(name.file())
    }

    /// A part of a segment: as loaded before, else mapped, else made from the truth.
    pub(crate) fn load<T: Hot>(
        &self,
        slot: &Slot<T>,
        name: impl FnOnce() -> Name,
        truth: Fingerprint,
        make: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        slot.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let mut loaded = slot.lock();
        if let Some(loaded) = &*loaded {
            return Ok(loaded.clone());
        }
        let name = name();
        let path = self.path(&name);
        let mapped = match self.map::<T>(&path, truth) {
            Ok(mapped) => Some(mapped),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "a hot column is of no use and is made again");
                }
                None
            }
        };
        let (value, bytes, place) = match mapped {
            Some((value, bytes)) => (value, bytes, Place::Disk),
            None => {
                let made = make()?;
                match self.write(&path, truth, &made).and_then(|()| self.map(&path, truth)) {
                    Ok((value, bytes)) => (value, bytes, Place::Disk),
                    Err(error) => {
                        tracing::warn!(path = %path.display(), %error, "a hot column stays in memory");
                        let bytes = made.parts().sections.iter().map(|section| section.len() as u64).sum();
                        (made, bytes, Place::Memory)
                    }
                }
            }
        };
        *loaded = Some(value.clone());
        // This slot's lock is still held: making room cannot remove what was just made.
        let loaded: Arc<dyn Forget> = slot.loaded.clone();
        let entry = Entry { bytes, place, used: slot.used.clone(), loaded: Arc::downgrade(&loaded) };
        let mut shelf = self.shelf();
        shelf.add(name, entry);
        self.make_room(&mut shelf);
        Ok(value)
    }

    /// Stores a part that was just written as truth. Failing is no harm.
    pub(crate) fn store<T: Hot>(&self, name: Name, truth: Fingerprint, value: &T) {
        let path = self.path(&name);
        match self.write(&path, truth, value).and_then(|()| self.disk.len(&path)) {
            Ok(bytes) => {
                let (used, loaded) = (Arc::default(), Weak::<NeverLoaded>::new());
                self.shelf().add(name, Entry { bytes, place: Place::Disk, used, loaded });
            }
            Err(error) => tracing::warn!(path = %path.display(), %error, "could not write a hot column"),
        }
    }

    fn make_room(&self, shelf: &mut Shelf) {
        for (place, bytes_max) in [(Place::Disk, self.budget_bytes), (Place::Memory, limits::HOT_MEMORY_BYTES_MAX)] {
            if shelf.bytes(place) <= bytes_max {
                continue;
            }
            let mut by_use: Vec<(u64, Name)> = shelf
                .parts
                .iter()
                .filter(|(name, entry)| entry.place == place && name.part != Part::Core)
                .map(|(name, entry)| (entry.used.load(Ordering::Relaxed), name.clone()))
                .collect();
            by_use.sort_unstable_by_key(|(used, _)| *used);
            for (_, name) in by_use {
                if shelf.bytes(place) <= bytes_max {
                    break;
                }
                let forgotten = shelf.parts[&name].loaded.upgrade().is_none_or(|loaded| loaded.forget());
                if forgotten {
                    self.remove(shelf, &name);
                }
            }
        }
    }

    fn remove(&self, shelf: &mut Shelf, name: &Name) {
        if shelf.take(name).is_some_and(|entry| entry.place == Place::Disk) {
            let path = self.path(name);
            if let Err(error) = self.disk.remove(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "could not remove a hot column");
            }
        }
    }

    fn write<T: Hot>(&self, path: &Path, truth: Fingerprint, value: &T) -> io::Result<()> {
        self.disk.create_folders(path.parent().expect("a project's folder"))?;
        let temporary = path.with_extension(format!("{}.tmp", self.clock.fetch_add(1, Ordering::Relaxed)));
        let written = || {
            let mut file = io::BufWriter::with_capacity(1 << 20, InSteps::new(self.disk.create(&temporary)?));
            write_file(&mut file, truth, &value.parts())?;
            file.flush()?;
            drop(file);
            self.disk.rename(&temporary, path)
        };
        written().inspect_err(|_| {
            // What is reported is the first failure; a full disk should not stay full of this.
            let _ = self.disk.remove(&temporary);
        })
    }

    fn map<T: Hot>(&self, path: &Path, truth: Fingerprint) -> io::Result<(T, u64)> {
        let file = self.disk.read(path)?;
        let bytes = file.len() as u64;
        let value = read_file(&file, truth)
            .and_then(|stored| T::from_stored(&stored).ok_or("its sections do not fit together"))
            .map_err(|what| io::Error::new(io::ErrorKind::InvalidData, what))?;
        Ok((value, bytes))
    }
}

impl Shelf {
    fn bytes(&self, place: Place) -> u64 {
        match place {
            Place::Disk => self.disk_bytes,
            Place::Memory => self.memory_bytes,
        }
    }

    fn count(&mut self, place: Place) -> &mut u64 {
        match place {
            Place::Disk => &mut self.disk_bytes,
            Place::Memory => &mut self.memory_bytes,
        }
    }

    fn add(&mut self, name: Name, entry: Entry) {
        self.take(&name);
        if name.part != Part::Core {
            *self.count(entry.place) += entry.bytes;
        }
        self.parts.insert(name, entry);
    }

    fn take(&mut self, name: &Name) -> Option<Entry> {
        let entry = self.parts.remove(name)?;
        if name.part != Part::Core {
            *self.count(entry.place) -= entry.bytes;
        }
        Some(entry)
    }
}

// The format.

/// What can be kept as a hot file.
pub(crate) trait Hot: Clone + Send + 'static {
    fn parts(&self) -> Parts<'_>;
    /// `None` when the sections do not make such a value.
    fn from_stored(stored: &Stored) -> Option<Self>;
}

/// A value as it is stored.
pub(crate) struct Parts<'a> {
    /// One byte each: what it is, bytes of a code, bytes of a time.
    form: [u8; 3],
    rows: usize,
    /// Base and unit of short times.
    scale: (i64, i64),
    sections: Vec<&'a [u8]>,
}

/// A file as it was read.
pub(crate) struct Stored {
    form: [u8; 3],
    rows: usize,
    scale: (i64, i64),
    sections: Vec<Bytes>,
}

const CORE: u8 = 1;
const TEXT: u8 = 2;
const NUMBER: u8 = 3;
const BOOL: u8 = 4;
const TIME: u8 = 5;
const RECEIVED: u8 = 6;
const INSERT_IDS: u8 = 7;

fn write_file(file: &mut impl Write, truth: Fingerprint, parts: &Parts<'_>) -> io::Result<()> {
    assert!(parts.sections.len() <= SECTIONS_MAX, "the header has room for all sections");
    let [what, code_bytes, time_bytes] = parts.form;
    let mut words = vec![
        MAGIC,
        u64::from_le_bytes([what, code_bytes, time_bytes, 0, 0, 0, 0, 0]),
        parts.rows as u64,
        parts.scale.0.cast_unsigned(),
        parts.scale.1.cast_unsigned(),
        truth.bytes,
        u64::from(truth.end_crc32c),
        parts.sections.len() as u64,
    ];
    let mut at = HEADER_WORDS * 8;
    for section in &parts.sections {
        words.extend([at as u64, section.len() as u64]);
        at = (at + section.len()).next_multiple_of(ALIGNMENT);
    }
    words.resize(HEADER_WORDS, 0);
    let mut crc = 0;
    let mut put = |bytes: &[u8]| {
        crc = crc32c::crc32c_append(crc, bytes);
        file.write_all(bytes)
    };
    put(bytemuck::cast_slice(&words))?;
    for section in &parts.sections {
        put(section)?;
        put(&[0; ALIGNMENT][..section.len().next_multiple_of(ALIGNMENT) - section.len()])?;
    }
    file.write_all(&u64::from(crc).to_ne_bytes())
}

fn read_file(file: &Bytes, truth: Fingerprint) -> Result<Stored, &'static str> {
    let body_bytes = file.len().checked_sub(8).ok_or("it is too short")?;
    let word = |at: usize| u64::from_ne_bytes(file[at..at + 8].try_into().expect("eight bytes"));
    if body_bytes < HEADER_WORDS * 8 {
        return Err("it is too short");
    }
    if word(0) != MAGIC {
        return Err("it is of another version");
    }
    if u64::from(crc32c::crc32c(&file[..body_bytes])) != word(body_bytes) {
        return Err("its checksum is wrong");
    }
    if (word(5 * 8), word(6 * 8)) != (truth.bytes, u64::from(truth.end_crc32c)) {
        return Err("it belongs to another segment file");
    }
    let [what, code_bytes, time_bytes, ..] = word(8).to_le_bytes();
    let count = usize::try_from(word(7 * 8)).ok().filter(|count| *count <= SECTIONS_MAX).ok_or("it has no sections")?;
    let sections = (0..count).map(|section| {
        let start = usize::try_from(word((8 + 2 * section) * 8)).ok()?;
        let end = start.checked_add(usize::try_from(word((9 + 2 * section) * 8)).ok()?)?;
        (end <= body_bytes).then(|| file.slice(start..end))
    });
    Ok(Stored {
        form: [what, code_bytes, time_bytes],
        rows: usize::try_from(word(2 * 8)).map_err(|_| "it has too many rows")?,
        scale: (word(3 * 8).cast_signed(), word(4 * 8).cast_signed()),
        sections: sections.collect::<Option<_>>().ok_or("a section is cut off")?,
    })
}

impl Stored {
    fn section<T: bytemuck::Pod>(&self, index: usize) -> Option<Buffer<T>> {
        Buffer::from_bytes(self.sections.get(index)?.clone())
    }

    /// A text of three sections.
    fn text(&self, first: usize) -> Option<Text> {
        let codes = match self.form[1] {
            1 => Codes::U8(self.section(first)?),
            2 => Codes::U16(self.section(first)?),
            4 => Codes::U32(self.section(first)?),
            _ => return None,
        };
        let dictionary = Dictionary::from_parts(self.section(first + 1)?, self.section(first + 2)?)?;
        (codes.len() == self.rows).then_some(Text { codes, dictionary })
    }
}

fn text_sections(text: &Text) -> (u8, [&[u8]; 3]) {
    let (ends, bytes) = text.dictionary.parts();
    let (code_bytes, codes) = match &text.codes {
        Codes::U8(codes) => (1, codes.as_bytes()),
        Codes::U16(codes) => (2, codes.as_bytes()),
        Codes::U32(codes) => (4, codes.as_bytes()),
    };
    (code_bytes, [codes, ends.as_bytes(), bytes.as_bytes()])
}

impl Hot for Arc<Core> {
    fn parts(&self) -> Parts<'_> {
        let (code_bytes, [codes, ends, bytes]) = text_sections(&self.event);
        let (time_bytes, scale, time) = match &self.time {
            Times::Short { base, unit, steps } => (4, (*base, *unit), steps.as_bytes()),
            Times::Long(times) => (8, (0, 1), times.as_bytes()),
        };
        let sections = vec![self.subjects.as_bytes(), self.offsets.as_bytes(), time, codes, ends, bytes];
        Parts { form: [CORE, code_bytes, time_bytes], rows: self.len(), scale, sections }
    }

    fn from_stored(stored: &Stored) -> Option<Self> {
        let (base, unit) = stored.scale;
        let time = match (stored.form[0], stored.form[2]) {
            (CORE, 4) => Times::Short { base, unit, steps: stored.section(2)? },
            (CORE, 8) => Times::Long(stored.section(2)?),
            _ => return None,
        };
        let core = Core { subjects: stored.section(0)?, offsets: stored.section(1)?, time, event: stored.text(3)? };
        let whole = core.offsets.len() == core.subjects.len() + 1
            && core.offsets.last().is_some_and(|last| *last as usize == stored.rows)
            && core.time.len() == stored.rows;
        whole.then(|| Arc::new(core))
    }
}

impl Hot for Arc<Column> {
    fn parts(&self) -> Parts<'_> {
        let (form, sections) = match &**self {
            Column::Text(text) => {
                let (code_bytes, sections) = text_sections(text);
                ([TEXT, code_bytes, 0], sections.to_vec())
            }
            Column::Number(values) => ([NUMBER, 0, 0], vec![values.as_bytes()]),
            Column::Bool(values) => ([BOOL, 0, 0], vec![values.as_bytes()]),
            Column::Time(values) => ([TIME, 0, 0], vec![values.as_bytes()]),
        };
        Parts { form, rows: self.len(), scale: (0, 1), sections }
    }

    fn from_stored(stored: &Stored) -> Option<Self> {
        let column = match stored.form[0] {
            TEXT => Column::Text(stored.text(0)?),
            NUMBER => Column::Number(stored.section(0)?),
            BOOL => Column::Bool(stored.section(0)?),
            TIME => Column::Time(stored.section(0)?),
            _ => return None,
        };
        (column.len() == stored.rows).then(|| Arc::new(column))
    }
}

impl Hot for Buffer<i64> {
    fn parts(&self) -> Parts<'_> {
        Parts { form: [RECEIVED, 0, 0], rows: self.len(), scale: (0, 1), sections: vec![self.as_bytes()] }
    }

    fn from_stored(stored: &Stored) -> Option<Self> {
        (stored.form[0] == RECEIVED).then(|| stored.section(0)).flatten().filter(|values| values.len() == stored.rows)
    }
}

impl Hot for Buffer<u64> {
    fn parts(&self) -> Parts<'_> {
        Parts { form: [INSERT_IDS, 0, 0], rows: self.len(), scale: (0, 1), sections: vec![self.as_bytes()] }
    }

    fn from_stored(stored: &Stored) -> Option<Self> {
        (stored.form[0] == INSERT_IDS).then(|| stored.section(0)).flatten().filter(|values| values.len() == stored.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PropertyKey;
    use crate::segment::tests::{events, hot, open, rows_of, write};
    use proptest::prelude::*;

    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder.join("hot/p1")).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    }

    #[test]
    fn damaged_files_are_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = hot(folder.path(), 1 << 20);
        let (tail, written) = write(folder.path(), &store, 1, &events(300, 11));
        let expected = rows_of(&tail);
        assert_eq!(rows_of(&open(folder.path(), &store, 1, &written)), expected);
        let whole: Vec<(PathBuf, Vec<u8>)> =
            files(folder.path()).into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
        assert!(whole.len() > 8, "core, stamps, ids and every column");
        for damage in 0..6 {
            for (path, bytes) in &whole {
                let mut bytes = bytes.clone();
                match damage {
                    0 => bytes[0] ^= 1,
                    1 => bytes[70] ^= 0x40,
                    2 => *bytes.last_mut().unwrap() ^= 0x80,
                    3 => bytes[200] ^= 2,
                    4 => bytes.truncate(bytes.len() / 2),
                    _ => bytes.clear(),
                }
                // Replaced and not written to: the old file may still be mapped.
                std::fs::remove_file(path).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
            let store = hot(folder.path(), 1 << 20);
            assert_eq!(rows_of(&open(folder.path(), &store, 1, &written)), expected, "damage {damage}");
            for (path, bytes) in &whole {
                assert!(std::fs::read(path).unwrap() == *bytes, "{} after damage {damage}", path.display());
            }
        }
    }

    #[test]
    fn files_of_another_truth_under_the_same_number_are_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let store = hot(folder.path(), 1 << 20);
        let (_, written) = write(folder.path(), &store, 1, &events(300, 11));
        rows_of(&open(folder.path(), &store, 1, &written));
        let old: Vec<(PathBuf, Vec<u8>)> =
            files(folder.path()).into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
        let (tail, written) = write(folder.path(), &store, 1, &events(400, 13));
        for (path, bytes) in old {
            let _ = std::fs::remove_file(&path);
            std::fs::write(path, bytes).unwrap();
        }
        assert_eq!(rows_of(&open(folder.path(), &hot(folder.path(), 1 << 20), 1, &written)), rows_of(&tail));
    }

    #[test]
    fn the_least_recently_used_column_goes_and_answers_stay() {
        let folder = tempfile::tempdir().unwrap();
        let store = hot(folder.path(), 9_000);
        let (tail, written) = write(folder.path(), &store, 1, &events(1_000, 11));
        let segment = open(folder.path(), &store, 1, &written);
        let keys: Vec<PropertyKey> = tail.keys().cloned().collect();
        let mut held = Vec::new();
        for round in 0..3 {
            for key in &keys {
                let (one, other) = (tail.column(key).unwrap().unwrap(), segment.column(key).unwrap().unwrap());
                held.push((key, other.clone()));
                for row in 0..1_000 {
                    assert_eq!(
                        one.value(key.property_type, row),
                        other.value(key.property_type, row),
                        "{key:?} {round}"
                    );
                }
                assert!(store.disk_bytes() <= 9_000);
            }
        }
        assert!(files(folder.path()).len() < keys.len());
        for (key, column) in held {
            let expected = tail.column(key).unwrap().unwrap();
            assert!(
                (0..1_000).all(|row| column.value(key.property_type, row) == expected.value(key.property_type, row))
            );
        }
        let left: u64 = files(folder.path())
            .iter()
            .filter(|path| !path.ends_with("1.core.hot"))
            .map(|path| std::fs::metadata(path).unwrap().len())
            .sum();
        assert_eq!(store.disk_bytes(), left);
        assert_eq!(hot(folder.path(), 9_000).disk_bytes(), left, "counted again at the next start");
    }

    #[test]
    fn what_is_not_known_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = hot(folder.path(), 1 << 20);
        for id in [1, 2] {
            let (_, written) = write(folder.path(), &store, id, &events(50, 3));
            rows_of(&open(folder.path(), &store, id, &written));
        }
        std::fs::write(folder.path().join("hot/p1/2.core.7.tmp"), "half").unwrap();
        let before = files(folder.path()).len();
        let store = hot(folder.path(), 1 << 20);
        store.keep_only(|project, segment| (project, segment) == ("p1", 2));
        let left = files(folder.path());
        assert_eq!(left.len(), (before - 1) / 2);
        assert!(left.iter().all(|path| path.file_name().unwrap().to_str().unwrap().starts_with("2.")));
    }

    #[test]
    fn columns_stay_in_memory_where_the_disk_takes_none() {
        let folder = tempfile::tempdir().unwrap();
        // A file where the folder should be.
        std::fs::write(folder.path().join("hot"), "").unwrap();
        let store = hot(folder.path(), 1 << 20);
        let (tail, written) = write(folder.path(), &store, 1, &events(300, 11));
        let segment = open(folder.path(), &store, 1, &written);
        assert_eq!(rows_of(&segment), rows_of(&tail));
        let key = tail.keys().next().unwrap();
        let (one, other) = (segment.column(key).unwrap().unwrap(), segment.column(key).unwrap().unwrap());
        assert!(Arc::ptr_eq(&one, &other), "it is not decoded again");
        assert_eq!(store.disk_bytes(), 0);
        assert!(store.shelf().memory_bytes > 0);
    }

    #[test]
    fn a_column_is_made_once_however_many_ask() {
        let folder = tempfile::tempdir().unwrap();
        let store = hot(folder.path(), 1 << 20);
        let (tail, written) = write(folder.path(), &store, 1, &events(5_000, 11));
        let segment = open(folder.path(), &store, 1, &written);
        let keys: Vec<PropertyKey> = tail.keys().cloned().collect();
        let gate = std::sync::Barrier::new(8);
        let got: Vec<Vec<Arc<Column>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        gate.wait();
                        keys.iter().map(|key| segment.column(key).unwrap().unwrap()).collect()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for columns in &got {
            assert!(columns.iter().zip(&got[0]).all(|(one, first)| Arc::ptr_eq(one, first)));
        }
        assert_eq!(rows_of(&segment), rows_of(&tail));
    }

    proptest! {
        #[test]
        fn every_form_of_a_value_is_stored(
            times in proptest::collection::vec(any::<i32>(), 1..50),
            unit in prop_oneof![Just(1_i64), Just(1_000), Just(1_000_000), Just(i64::from(u32::MAX))],
            codes in proptest::collection::vec(0..300_u32, 1..50),
        ) {
            let truth = Fingerprint { bytes: 7, end_crc32c: 9 };
            let times: Vec<i64> = times.iter().map(|time| i64::from(*time) * unit).collect();
            let rows = times.len();
            let codes: Vec<u32> =
                (0..rows).map(|row| codes[row % codes.len()]).collect();
            let core = Arc::new(Core {
                subjects: vec![3].into(),
                offsets: vec![0, rows as u32].into(),
                time: Times::shortest(&times),
                event: Text {
                    codes: Codes::narrowest(&codes, 300),
                    dictionary: (0..300).map(|entry| format!("ü{entry}")).collect(),
                },
            });
            prop_assert!(core.time.iter().eq(times.iter().copied()));
            let mut file = Vec::new();
            write_file(&mut file, truth, &core.parts()).unwrap();
            // As a mapped file: aligned.
            let file = Bytes::from_owner(Aligned(file.chunks(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap())).collect()));
            let stored = read_file(&file, truth).unwrap();
            prop_assert_eq!(Arc::<Core>::from_stored(&stored).unwrap(), core);
            prop_assert!(Arc::<Column>::from_stored(&stored).is_none());
            let other = Fingerprint { bytes: 7, end_crc32c: 8 };
            prop_assert!(read_file(&file, other).is_err());
        }
    }

    struct Aligned(Vec<u64>);

    impl AsRef<[u8]> for Aligned {
        fn as_ref(&self) -> &[u8] {
            bytemuck::cast_slice(&self.0)
        }
    }
}
