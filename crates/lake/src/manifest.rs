//! The manifest: which segments exist, which of their rows are hidden, which subjects are erased, which were written
//! under another of their person, and from which log file on recovery has to read.
//!
//! One file, `manifest`, that grows by transactions: before one the old segments and the log are the truth,
//! after it the new ones; there is no moment in between. Layout: magic and version (8 bytes), then transactions
//! `marker 4 | len u32 | crc u32 | number u64 | body`, little-endian; `len` counts what follows `crc`, which covers both.
//! Each is synced before it counts. When the file has grown to several times its content it is written anew beside
//! the old one and renamed over it.
//!
//! Recovery cuts off a transaction that was torn by a crash: it is the last, and was never answered. A bad one with
//! a good one behind it is damage, and an error.
//!
//! A write that fails is cut back. A sync that fails leaves unknown what the disk holds, so the manifest then refuses
//! everything until it is opened again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cofferdam_model::{ProjectId, SubjectNo};

use crate::codec::{Reader, put_i64, put_text, put_u64};
use crate::disk::{Disk, DiskFile};
use crate::{Error, Result};

const NAME: &str = "manifest";
const BESIDE: &str = "manifest.tmp";
const MAGIC: &[u8; 8] = b"CFMAN\x01\0\0";
const MARKER: &[u8; 4] = b"\xf7Tx\x01";
/// Marker, length, checksum.
const PREFIX: usize = 12;
/// The file is written anew when it has more than this many times the bytes of its content…
const GROWTH_MAX: u64 = 4;
/// …and at least so many.
const REWRITE_BYTES_MIN: u64 = 64 * 1024;

/// A segment as the manifest knows it. The path is relative to the lake's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) project: ProjectId,
    pub(crate) bucket: u32,
    pub(crate) rows: u64,
    pub(crate) time_us: (i64, i64),
    pub(crate) received: (i64, i64),
    pub(crate) bytes: u64,
    pub(crate) crc32c: u32,
    pub(crate) path: String,
}

/// Rows of a segment that must not be read any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hidden {
    pub(crate) segment: u64,
    /// When their subjects were erased, µs UTC; `None` for superseded duplicates.
    pub(crate) erased_us: Option<i64>,
    /// Ascending.
    pub(crate) rows: Vec<u32>,
}

/// A subject some of whose rows are written under another, and that other: they are one person for good.
pub type Tie = (SubjectNo, SubjectNo);

/// What changes in one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) added: Vec<Entry>,
    pub(crate) removed: Vec<u64>,
    pub(crate) hidden: Vec<Hidden>,
    /// The log file to recover from.
    pub(crate) floor: Option<u64>,
    pub(crate) erased: Vec<(ProjectId, Vec<SubjectNo>)>,
    /// Ascending.
    pub(crate) folded: Vec<(ProjectId, Vec<Tie>)>,
    /// No segment gets an id below this.
    pub(crate) next_id: u64,
}

/// A segment and what is hidden of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) entry: Entry,
    pub(crate) hidden: BTreeSet<u32>,
    /// The oldest erasure, µs UTC, whose rows are still in the file.
    pub(crate) erased_us: Option<i64>,
}

/// The sum of all transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) floor: u64,
    pub(crate) segments: BTreeMap<u64, Listed>,
    pub(crate) erased: BTreeMap<ProjectId, BTreeSet<SubjectNo>>,
    pub(crate) folded: BTreeMap<ProjectId, BTreeSet<Tie>>,
    pub(crate) next_id: u64,
}

/// The open manifest.
pub(crate) struct Manifest {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    file: Box<dyn DiskFile>,
    /// End of the last durable transaction.
    position: u64,
    /// Bytes after it was last written anew.
    content_bytes: u64,
    /// Of the next transaction.
    number: u64,
    contents: Contents,
    /// Set once what is on disk is unknown.
    broken: Option<String>,
}

impl Manifest {
    /// Opens the manifest of a lake's folder, or starts one where there is nothing yet.
    pub(crate) fn open(disk: Arc<dyn Disk>, folder: &Path) -> Result<Manifest> {
        let path = folder.join(NAME);
        let io = |source| Error::Io { what: "open the manifest", path: path.clone(), source };
        let names = disk.list(folder).map_err(io)?;
        if names.iter().any(|name| name == "catalog.db") {
            return Err(Error::Damaged {
                path: folder.join("catalog.db"),
                what:
                    "it belongs to a build from before the manifest, whose data this build does not read: start with \
                       an empty data folder and import the events again"
                        .to_owned(),
            });
        }
        if !names.iter().any(|name| name == NAME) {
            if segments_exist(&*disk, folder).map_err(io)? {
                let what = "the manifest is missing though there are segments: restore it from a backup".to_owned();
                return Err(Error::Damaged { path, what });
            }
            let contents = Contents::nothing();
            let position = write_beside(&*disk, folder, &contents, 0).map_err(io)?;
            let file = put_in_place(&*disk, folder).map_err(io)?;
            return Ok(Manifest {
                disk,
                folder: folder.to_owned(),
                file,
                position,
                content_bytes: position,
                number: 1,
                contents,
                broken: None,
            });
        }
        let bytes = disk.read(&path).map_err(io)?;
        let Read { contents, number, end } = read(&path, &bytes)?;
        if end < bytes.len() {
            tracing::warn!(path = %path.display(), bytes = bytes.len() - end, "the manifest ends in an unfinished transaction, which is dropped");
        }
        drop(bytes);
        // What was just read may be in the page cache alone, and a sync that failed once is not made up for by another.
        let position = write_beside(&*disk, folder, &contents, number).map_err(io)?;
        let file = put_in_place(&*disk, folder).map_err(io)?;
        Ok(Manifest {
            disk,
            folder: folder.to_owned(),
            file,
            position,
            content_bytes: position,
            number: number + 1,
            contents,
            broken: None,
        })
    }

    /// What a folder's manifest says, without changing it.
    pub(crate) fn load(disk: &dyn Disk, folder: &Path) -> Result<Contents> {
        let path = folder.join(NAME);
        let bytes =
            disk.read(&path).map_err(|source| Error::Io { what: "read the manifest", path: path.clone(), source })?;
        Ok(read(&path, &bytes)?.contents)
    }

    pub(crate) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Whether it takes transactions: so that nothing is prepared for one in vain.
    pub(crate) fn ready(&self) -> Result<()> {
        self.broken.clone().map_or(Ok(()), |message| Err(Error::ManifestUnavailable { message }))
    }

    /// Makes a transaction durable.
    ///
    /// # Errors
    /// [`Error::ManifestUnavailable`]: whether it took place is known after the next start only. Anything else: it
    /// did not.
    pub(crate) fn commit(&mut self, transaction: &Transaction) -> Result<()> {
        self.ready()?;
        let path = self.folder.join(NAME);
        let framed = frame(self.number, transaction);
        if let Err(source) = self.file.write_all(&framed).and_then(|()| self.file.flush()) {
            let cut = self.disk.truncate(&path, self.position).and_then(|()| self.disk.append(&path));
            return Err(match cut {
                Ok(file) => {
                    self.file = file;
                    Error::Io { what: "write the manifest", path, source }
                }
                Err(_) => self.break_off(format!("a failed write could not be taken back: {source}")),
            });
        }
        if let Err(source) = self.file.sync() {
            return Err(self.break_off(format!("a transaction could not be synced: {source}")));
        }
        self.position += framed.len() as u64;
        self.number += 1;
        self.contents.apply(transaction);
        if self.position > REWRITE_BYTES_MIN.max(GROWTH_MAX * self.content_bytes) {
            self.rewrite();
        }
        Ok(())
    }

    fn break_off(&mut self, message: String) -> Error {
        let message = format!("{message}; restart to recover");
        self.broken = Some(message.clone());
        Error::ManifestUnavailable { message }
    }

    /// Drops what later transactions made void. The one that led here is durable, whatever happens.
    fn rewrite(&mut self) {
        let bytes = match write_beside(&*self.disk, &self.folder, &self.contents, self.number) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(%error, "the manifest could not be written anew and goes on growing");
                return;
            }
        };
        match put_in_place(&*self.disk, &self.folder) {
            Ok(file) => {
                self.file = file;
                self.position = bytes;
                self.content_bytes = bytes;
                self.number += 1;
            }
            Err(error) => {
                // The name may mean the old file or the new one after a crash: both say the same now, but not if
                // only one of them grew.
                tracing::error!(%error, "the manifest could not be replaced: nothing is flushed until a restart");
                self.broken = Some("it could not be replaced by a new one; restart to recover".to_owned());
            }
        }
    }
}

fn segments_exist(disk: &dyn Disk, folder: &Path) -> std::io::Result<bool> {
    if !disk.list(folder)?.iter().any(|name| name == "segments") {
        return Ok(false);
    }
    let segments = folder.join("segments");
    for project in disk.list(&segments)? {
        if !disk.list(&segments.join(project))?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Answers its bytes.
fn write_beside(disk: &dyn Disk, folder: &Path, contents: &Contents, number: u64) -> std::io::Result<u64> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(frame(number, &contents.whole()));
    let mut file = disk.create(&folder.join(BESIDE))?;
    file.write_all(&bytes)?;
    file.flush()?;
    file.sync()?;
    Ok(bytes.len() as u64)
}

fn put_in_place(disk: &dyn Disk, folder: &Path) -> std::io::Result<Box<dyn DiskFile>> {
    let path = folder.join(NAME);
    disk.rename(&folder.join(BESIDE), &path)?;
    disk.sync_folder(folder)?;
    disk.append(&path)
}

impl Contents {
    fn nothing() -> Contents {
        Contents { floor: 1, segments: BTreeMap::new(), erased: BTreeMap::new(), folded: BTreeMap::new(), next_id: 1 }
    }

    fn apply(&mut self, transaction: &Transaction) {
        let Transaction { added, removed, hidden, floor, erased, folded, next_id } = transaction;
        for id in removed {
            self.segments.remove(id);
        }
        for entry in added {
            self.next_id = self.next_id.max(entry.id + 1);
            let listed = Listed { entry: entry.clone(), hidden: BTreeSet::new(), erased_us: None };
            self.segments.insert(entry.id, listed);
        }
        for Hidden { segment, erased_us, rows } in hidden {
            if let Some(listed) = self.segments.get_mut(segment) {
                listed.hidden.extend(rows);
                listed.erased_us = match (listed.erased_us, *erased_us) {
                    (Some(old), Some(new)) => Some(old.min(new)),
                    (old, new) => old.or(new),
                };
            }
        }
        self.floor = floor.unwrap_or(self.floor);
        for (project, subjects) in erased {
            self.erased.entry(*project).or_default().extend(subjects);
        }
        for (project, ties) in folded {
            self.folded.entry(*project).or_default().extend(ties);
        }
        self.next_id = self.next_id.max(*next_id);
    }

    /// One transaction that leads here from nothing.
    fn whole(&self) -> Transaction {
        Transaction {
            added: self.segments.values().map(|listed| listed.entry.clone()).collect(),
            removed: Vec::new(),
            hidden: self
                .segments
                .values()
                .filter(|listed| !listed.hidden.is_empty())
                .map(|listed| Hidden {
                    segment: listed.entry.id,
                    erased_us: listed.erased_us,
                    rows: listed.hidden.iter().copied().collect(),
                })
                .collect(),
            floor: Some(self.floor),
            erased: self
                .erased
                .iter()
                .map(|(project, subjects)| (*project, subjects.iter().copied().collect()))
                .collect(),
            folded: self.folded.iter().map(|(project, ties)| (*project, ties.iter().copied().collect())).collect(),
            next_id: self.next_id,
        }
    }
}

struct Read {
    contents: Contents,
    /// Of the next transaction.
    number: u64,
    /// Where the last good transaction ends.
    end: usize,
}

fn read(path: &Path, bytes: &Bytes) -> Result<Read> {
    let damaged = |what: String| Error::Damaged { path: path.to_owned(), what };
    if bytes.get(..MAGIC.len()) != Some(MAGIC) {
        return Err(damaged("not a manifest of a version this build reads".to_owned()));
    }
    let mut contents = Contents::nothing();
    let (mut end, mut next) = (MAGIC.len(), None);
    while end < bytes.len() {
        let Some((number, transaction, len)) = parse(&bytes[end..]) else {
            let rest = &bytes[end..];
            let later =
                rest.windows(4).enumerate().skip(1).any(|(at, four)| four == MARKER && parse(&rest[at..]).is_some());
            if later || next.is_none() {
                return Err(damaged(format!(
                    "the transaction at byte {end} fails its checksum: restore the file from a backup"
                )));
            }
            break;
        };
        if next.is_some_and(|next| next != number) {
            return Err(damaged(format!("a transaction is missing before byte {end}: restore the file from a backup")));
        }
        contents.apply(&transaction);
        end += len;
        next = Some(number + 1);
    }
    // It is renamed into place with its first transaction.
    let number = next.ok_or_else(|| damaged("it is empty: restore it from a backup".to_owned()))?;
    Ok(Read { contents, number, end })
}

fn frame(number: u64, transaction: &Transaction) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(MARKER);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&number.to_le_bytes());
    encode(&mut out, transaction);
    let len = u32::try_from(out.len() - PREFIX).expect("a transaction is far below 4 GiB");
    out[4..8].copy_from_slice(&len.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&len.to_le_bytes()), &out[PREFIX..]);
    out[8..12].copy_from_slice(&crc.to_le_bytes());
    out
}

fn parse(bytes: &[u8]) -> Option<(u64, Transaction, usize)> {
    let rest = bytes.strip_prefix(MARKER)?;
    let (len_bytes, rest) = rest.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len_bytes) as usize;
    let body = rest.get(..len)?;
    if crc32c::crc32c_append(crc32c::crc32c(len_bytes), body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (number, body) = body.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), decode(body)?, PREFIX + len))
}

fn encode(out: &mut Vec<u8>, transaction: &Transaction) {
    put_u64(out, transaction.added.len() as u64);
    for entry in &transaction.added {
        put_u64(out, entry.id);
        put_u64(out, u64::from(entry.project.0));
        put_u64(out, u64::from(entry.bucket));
        put_u64(out, entry.rows);
        for time in [entry.time_us.0, entry.time_us.1, entry.received.0, entry.received.1] {
            put_i64(out, time);
        }
        put_u64(out, entry.bytes);
        put_u64(out, u64::from(entry.crc32c));
        put_text(out, &entry.path);
    }
    put_u64(out, transaction.removed.len() as u64);
    transaction.removed.iter().for_each(|id| put_u64(out, *id));
    put_u64(out, transaction.hidden.len() as u64);
    for hidden in &transaction.hidden {
        put_u64(out, hidden.segment);
        out.push(u8::from(hidden.erased_us.is_some()));
        put_i64(out, hidden.erased_us.unwrap_or(0));
        put_ascending(out, hidden.rows.iter().copied());
    }
    // A floor is at least 1.
    put_u64(out, transaction.floor.unwrap_or(0));
    put_u64(out, transaction.erased.len() as u64);
    for (project, subjects) in &transaction.erased {
        put_u64(out, u64::from(project.0));
        put_ascending(out, subjects.iter().map(|subject| subject.0));
    }
    put_u64(out, transaction.next_id);
    // Builds before this one wrote none, and ended here.
    if !transaction.folded.is_empty() {
        put_u64(out, transaction.folded.len() as u64);
        for (project, ties) in &transaction.folded {
            put_u64(out, u64::from(project.0));
            put_ascending(out, ties.iter().map(|(subject, _)| subject.0));
            ties.iter().for_each(|(_, under)| put_u64(out, u64::from(under.0)));
        }
    }
}

fn decode(bytes: &[u8]) -> Option<Transaction> {
    let mut reader = Reader::new(bytes);
    let mut transaction = Transaction::default();
    for _ in 0..reader.count(11)? {
        transaction.added.push(Entry {
            id: reader.u64()?,
            project: ProjectId(reader.u32()?),
            bucket: reader.u32()?,
            rows: reader.u64()?,
            time_us: (reader.i64()?, reader.i64()?),
            received: (reader.i64()?, reader.i64()?),
            bytes: reader.u64()?,
            crc32c: reader.u32()?,
            path: reader.text()?,
        });
    }
    for _ in 0..reader.count(1)? {
        transaction.removed.push(reader.u64()?);
    }
    for _ in 0..reader.count(4)? {
        let segment = reader.u64()?;
        let erased = reader.byte()? != 0;
        let at = reader.i64()?;
        transaction.hidden.push(Hidden { segment, erased_us: erased.then_some(at), rows: ascending(&mut reader)? });
    }
    transaction.floor = Some(reader.u64()?).filter(|floor| *floor > 0);
    for _ in 0..reader.count(2)? {
        let project = ProjectId(reader.u32()?);
        let subjects = ascending(&mut reader)?.into_iter().map(SubjectNo).collect();
        transaction.erased.push((project, subjects));
    }
    transaction.next_id = reader.u64()?;
    if !reader.is_at_end() {
        for _ in 0..reader.count(2)? {
            let project = ProjectId(reader.u32()?);
            let subjects = ascending(&mut reader)?;
            let tie = |subject| Some((SubjectNo(subject), SubjectNo(reader.u32()?)));
            transaction.folded.push((project, subjects.into_iter().map(tie).collect::<Option<_>>()?));
        }
    }
    reader.is_at_end().then_some(transaction)
}

/// Numbers as the steps between them.
fn put_ascending(out: &mut Vec<u8>, numbers: impl ExactSizeIterator<Item = u32>) {
    put_u64(out, numbers.len() as u64);
    let mut last = 0;
    for number in numbers {
        put_u64(out, u64::from(number.checked_sub(last).expect("numbers are ascending")));
        last = number;
    }
}

fn ascending(reader: &mut Reader<'_>) -> Option<Vec<u32>> {
    let count = reader.count(1)?;
    let mut numbers = Vec::with_capacity(count);
    let mut last = 0_u32;
    for _ in 0..count {
        last = last.checked_add(reader.u32()?)?;
        numbers.push(last);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::LocalDisk;

    fn entry(id: u64) -> Entry {
        Entry {
            id,
            project: ProjectId(3),
            bucket: 1,
            rows: 10 * id,
            time_us: (-5, 1 << 60),
            received: (1, 2),
            bytes: 77,
            crc32c: u32::MAX,
            path: format!("segments/p3/{id}.parquet"),
        }
    }

    /// One subject under two others, one after the other.
    const TIES: [Tie; 3] =
        [(SubjectNo(4), SubjectNo(9)), (SubjectNo(4), SubjectNo(u32::MAX)), (SubjectNo(9), SubjectNo(0))];

    fn transactions() -> Vec<Transaction> {
        let hide = |segment, erased_us, rows: &[u32]| Hidden { segment, erased_us, rows: rows.to_vec() };
        vec![
            Transaction { added: vec![entry(1), entry(2)], floor: Some(4), ..Transaction::default() },
            Transaction {
                hidden: vec![hide(1, None, &[0, 3, 9]), hide(2, Some(8), &[1])],
                erased: vec![(ProjectId(3), vec![SubjectNo(0), SubjectNo(u32::MAX)])],
                folded: vec![(ProjectId(3), vec![TIES[0], TIES[1]]), (ProjectId(4), vec![TIES[2]])],
                ..Transaction::default()
            },
            Transaction {
                added: vec![entry(7)],
                removed: vec![1],
                hidden: vec![hide(2, Some(5), &[4])],
                folded: vec![(ProjectId(3), vec![TIES[2]])],
                ..Transaction::default()
            },
        ]
    }

    fn open(folder: &Path) -> Result<Manifest> {
        Manifest::open(Arc::new(LocalDisk), folder)
    }

    #[test]
    fn contents_survive_reopening_and_being_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut manifest = open(folder.path()).unwrap();
        for transaction in transactions() {
            manifest.commit(&transaction).unwrap();
        }
        let contents = manifest.contents().clone();
        assert_eq!(contents.segments.keys().copied().collect::<Vec<_>>(), [2, 7]);
        assert_eq!(contents.segments[&2].hidden, BTreeSet::from([1, 4]));
        assert_eq!(contents.segments[&2].erased_us, Some(5));
        assert_eq!((contents.floor, contents.next_id), (4, 8));
        assert_eq!(contents.folded[&ProjectId(3)], BTreeSet::from(TIES));
        assert_eq!(contents.folded[&ProjectId(4)], BTreeSet::from([TIES[2]]));
        drop(manifest);
        let mut manifest = open(folder.path()).unwrap();
        assert_eq!(*manifest.contents(), contents);
        manifest.rewrite();
        manifest.commit(&Transaction { floor: Some(9), ..Transaction::default() }).unwrap();
        drop(manifest);
        let manifest = open(folder.path()).unwrap();
        assert_eq!(*manifest.contents(), Contents { floor: 9, ..contents });
        assert_eq!(*manifest.contents(), Manifest::load(&LocalDisk, folder.path()).unwrap());
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let mut manifest = open(folder.path()).unwrap();
        for id in 1..3_000 {
            let removed = if id > 1 { vec![id - 1] } else { vec![] };
            manifest.commit(&Transaction { added: vec![entry(id)], removed, ..Transaction::default() }).unwrap();
        }
        let bytes = std::fs::metadata(folder.path().join(NAME)).unwrap().len();
        assert!(bytes <= REWRITE_BYTES_MIN + 200, "{bytes}");
        let contents = manifest.contents().clone();
        drop(manifest);
        assert_eq!(*open(folder.path()).unwrap().contents(), contents);
    }

    #[test]
    fn a_torn_end_is_dropped_and_damage_before_it_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let mut manifest = open(folder.path()).unwrap();
        let mut ends = vec![];
        for transaction in transactions() {
            manifest.commit(&transaction).unwrap();
            ends.push(manifest.position as usize);
        }
        drop(manifest);
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole.len(), ends[2]);
        for len in ends[1]..ends[2] {
            std::fs::write(&path, &whole[..len]).unwrap();
            let contents = open(folder.path()).unwrap().contents().clone();
            assert!(contents.segments.contains_key(&1) && !contents.segments.contains_key(&7));
            assert_eq!(*open(folder.path()).unwrap().contents(), contents);
        }
        for at in MAGIC.len()..ends[1] {
            let mut spoilt = whole.clone();
            spoilt[at] ^= 0x10;
            std::fs::write(&path, &spoilt).unwrap();
            let error = open(folder.path()).err().expect("damage is not passed over");
            assert!(error.to_string().contains("manifest"), "{error}");
        }
        std::fs::write(&path, &whole[..ends[0]]).unwrap();
        let mut beyond = std::fs::read(&path).unwrap();
        beyond.extend(&whole[ends[1]..]);
        std::fs::write(&path, &beyond).unwrap();
        assert!(open(folder.path()).is_err(), "a transaction in the middle is missing");
    }

    #[test]
    fn what_an_older_build_left_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("catalog.db"), b"").unwrap();
        assert!(open(folder.path()).err().unwrap().to_string().contains("import the events again"));
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("segments/p3")).unwrap();
        open(folder.path()).unwrap();
        std::fs::remove_file(folder.path().join(NAME)).unwrap();
        std::fs::write(folder.path().join("segments/p3/x.parquet"), b"").unwrap();
        assert!(open(folder.path()).err().unwrap().to_string().contains("missing"));
    }
}
