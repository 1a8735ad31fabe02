//! The write-ahead log: what is acknowledged is here before the answer leaves.
//!
//! [`Log`] is synchronous: [`Log::commit`] writes a group of batches as frames in one go and syncs once, so that
//! many senders share one sync. Who calls it, and on which thread, is not its business.
//!
//! A file is `wal-<number>.log`: a header `magic 8 | previous end u64 | crc u32 | 0 u32`, then frames
//! `marker 4 | len u32 | crc u32 | synced u64 | project u32 | received i64 | count u32 | nonce 24 | ciphertext and tag`,
//! little-endian; `len` counts what follows `crc`, which covers both. The payload is encrypted with a key made from the
//! project's (XAES-256-GCM, project and count as associated data): the log may lie on any disk, and however many frames
//! a project writes, random nonces do not meet. Event `i` of a frame has arrival stamp `received + i`.
//!
//! Frames of version 2 (AES-256-GCM with the project's key itself, a nonce of 12) are read and not written.
//!
//! Each frame says up to where its file was durable when the frame was written, and each header up to where the
//! file before was. So recovery can tell two things apart that look alike:
//! - a bad frame that nothing declares durable is a torn group, never acknowledged: it is cut off, and kept in a
//!   file of its own (`.cut`);
//! - a bad frame that was durable once is damage, and an error, since acknowledged events are in it. Only when a
//!   file with the same name and the extension `skip` lies beside does recovery go on with the next good frame.
//!
//! What recovery reads may be in the page cache alone: it is written anew before the next file declares it durable.
//!
//! A write that fails (a full disk) is cut back, and the log goes on. A sync that fails leaves unknown what the disk
//! holds, so the log then refuses everything until it is opened again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use bytes::Bytes;
use cofferdam_model::xaes::{NONCE, XaesKey};
use cofferdam_model::{ProjectId, SealedEvent, limits};

use crate::disk::{Disk, DiskFile};
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"CFWAL\x03\0\0";
const MAGIC_2: &[u8; 8] = b"CFWAL\x02\0\0";
const HEADER: usize = 24;
/// Three bytes differ from the one before: one that is damaged does not make the one of the other.
const MARKER: &[u8; 4] = b"\xf7fR\x03";
const MARKER_2: &[u8; 4] = b"\xf7Fr\x02";
/// Marker, length, checksum.
const PREFIX: usize = 12;
const FIXED: usize = 8 + 4 + 8 + 4 + NONCE;
const FIXED_2: usize = 8 + 4 + 8 + 4 + 12;

/// Encrypts one project's frames.
pub(crate) struct FrameKey {
    project: ProjectId,
    key: XaesKey,
    /// Of frames of version 2.
    key_2: LessSafeKey,
}

/// Events of one project with their encrypted form, ready for the log.
pub struct Batch {
    pub(crate) project: ProjectId,
    pub(crate) events: Vec<SealedEvent>,
    nonce: [u8; NONCE],
    ciphertext: Vec<u8>,
}

impl Batch {
    /// Bytes that it takes in the log.
    pub fn bytes(&self) -> usize {
        PREFIX + FIXED + self.ciphertext.len()
    }
}

impl FrameKey {
    pub(crate) fn new(project: ProjectId, key: &[u8; 32]) -> Self {
        let key_2 = UnboundKey::new(&AES_256_GCM, key).expect("an AES-256 key has 32 bytes");
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"frames of the log, version 3");
        let key = XaesKey::new(derived.as_ref().first_chunk().expect("SHA-256 has 32 bytes"));
        Self { project, key, key_2: LessSafeKey::new(key_2) }
    }

    fn aad(&self, count: u32) -> [u8; 8] {
        let mut aad = [0; 8];
        aad[..4].copy_from_slice(&self.project.0.to_le_bytes());
        aad[4..].copy_from_slice(&count.to_le_bytes());
        aad
    }

    pub(crate) fn seal(&self, events: Vec<SealedEvent>) -> Batch {
        let count = u32::try_from(events.len()).expect("a request is bounded");
        let mut ciphertext = crate::codec::encode(&events);
        let mut nonce = [0; NONCE];
        aws_lc_rs::rand::fill(&mut nonce).expect("the system has randomness");
        self.key.seal(&nonce, &self.aad(count), &mut ciphertext);
        Batch { project: self.project, events, nonce, ciphertext }
    }

    fn open(&self, frame: &Frame<'_>) -> Option<Vec<u8>> {
        let (aad, mut bytes) = (self.aad(frame.count), frame.ciphertext.to_vec());
        let len = match frame.nonce {
            FrameNonce::Long(nonce) => self.key.open(&nonce, &aad, &mut bytes)?,
            FrameNonce::Short(nonce) => {
                let nonce = Nonce::assume_unique_for_key(nonce);
                self.key_2.open_in_place(nonce, Aad::from(aad), &mut bytes).ok()?.len()
            }
        };
        bytes.truncate(len);
        Some(bytes)
    }
}

/// Microseconds since 1970-01-01 UTC.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The open end of the log.
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    file: Box<dyn DiskFile>,
    number: u64,
    /// End of the last durable frame.
    position: u64,
    received_last: i64,
    clock: Clock,
    /// Set once what is on disk is unknown: nothing more is acknowledged.
    broken: Option<String>,
    buffer: Vec<u8>,
}

impl Log {
    /// Starts the new file that [`replay`] found to be the next.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        next: Next,
        received_last: i64,
        clock: Clock,
    ) -> Result<Log> {
        let file = create(&*disk, &folder, next.number, next.previous_end)?;
        Ok(Log {
            disk,
            folder,
            file,
            number: next.number,
            position: HEADER as u64,
            received_last,
            clock,
            broken: None,
            buffer: Vec::new(),
        })
    }

    /// Writes batches and makes them durable together. Answers the arrival stamp of the first event; the others
    /// follow, one by one.
    ///
    /// # Errors
    /// None of the batches is acknowledged; after [`Error::LogUnavailable`] none can be until the next start.
    pub(crate) fn commit(&mut self, group: &[Batch]) -> Result<i64> {
        if let Some(message) = &self.broken {
            return Err(Error::LogUnavailable { message: message.clone() });
        }
        self.buffer.clear();
        let first = (self.clock)().max(self.received_last + 1);
        let mut received = first;
        for batch in group {
            put_frame(&mut self.buffer, self.position, received, batch);
            received += batch.events.len() as i64;
        }
        let path = file_path(&self.folder, self.number);
        if let Err(source) = self.file.write_all(&self.buffer).and_then(|()| self.file.flush()) {
            // A full disk: take back what was written, so that the next frame follows the last whole one.
            let cut = self.disk.truncate(&path, self.position).and_then(|()| self.disk.append(&path));
            match cut {
                Ok(file) => self.file = file,
                Err(_) => self.broken = Some("a failed write could not be taken back; restart to recover".to_owned()),
            }
            return Err(Error::Io { what: "write the log", path, source });
        }
        if let Err(source) = self.file.sync() {
            // After a failed sync the page cache may claim what the disk does not hold.
            self.broken = Some(format!("the log could not be synced: {source}; restart to recover"));
            return Err(Error::Io { what: "sync the log", path, source });
        }
        self.position += self.buffer.len() as u64;
        self.received_last = received - 1;
        Ok(first)
    }

    /// Goes on in a new file and answers its number: everything so far is in files below it.
    pub(crate) fn rotate(&mut self) -> Result<u64> {
        if let Some(message) = &self.broken {
            return Err(Error::LogUnavailable { message: message.clone() });
        }
        self.file = create(&*self.disk, &self.folder, self.number + 1, self.position)?;
        self.number += 1;
        self.position = HEADER as u64;
        Ok(self.number)
    }

    /// The number of the file that is written now.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Removes the files below `floor`: everything in them is in segments.
    pub(crate) fn cut(disk: &dyn Disk, folder: &Path, floor: u64) -> Result<()> {
        for number in numbers(&names(disk, folder)?).into_iter().filter(|number| *number < floor) {
            let path = file_path(folder, number);
            disk.remove(&path).map_err(|source| Error::Io { what: "remove a log file", path, source })?;
        }
        Ok(())
    }
}

pub(crate) fn file_name(number: u64) -> String {
    format!("wal-{number:010}.log")
}

fn file_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(file_name(number))
}

fn create(disk: &dyn Disk, folder: &Path, number: u64, previous_end: u64) -> Result<Box<dyn DiskFile>> {
    let path = file_path(folder, number);
    let write = || {
        // The number is this writer's alone: what an earlier attempt on a full disk left under it is nothing.
        let mut file = disk.create(&path)?;
        file.write_all(&header(previous_end))?;
        file.flush()?;
        file.sync()?;
        disk.sync_folder(folder)?;
        Ok(file)
    };
    write().map_err(|source| Error::Io { what: "create a log file", path: path.clone(), source })
}

fn header(previous_end: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..16].copy_from_slice(&previous_end.to_le_bytes());
    let crc = crc32c::crc32c(&header[..16]);
    header[16..20].copy_from_slice(&crc.to_le_bytes());
    header
}

fn put_frame(out: &mut Vec<u8>, synced: u64, received: i64, batch: &Batch) {
    let len = u32::try_from(FIXED + batch.ciphertext.len()).expect("a frame is bounded");
    let count = u32::try_from(batch.events.len()).expect("a request is bounded");
    let start = out.len();
    out.extend_from_slice(MARKER);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&synced.to_le_bytes());
    out.extend_from_slice(&batch.project.0.to_le_bytes());
    out.extend_from_slice(&received.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&batch.nonce);
    out.extend_from_slice(&batch.ciphertext);
    let crc = checksum(&out[start + 4..start + 8], &out[start + PREFIX..]);
    out[start + 8..start + PREFIX].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(len: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(len), body)
}

/// A batch that recovery found.
pub(crate) struct Replayed {
    pub(crate) project: ProjectId,
    pub(crate) received: i64,
    pub(crate) events: Vec<SealedEvent>,
    /// Bytes in the log.
    pub(crate) bytes: usize,
}

/// Where the log goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) number: u64,
    pub(crate) previous_end: u64,
}

/// Reads what the log holds from file `floor` on, in order, and cuts off what was never acknowledged.
/// Frames of projects without a key are passed over.
pub(crate) fn replay<'k>(
    disk: &dyn Disk,
    folder: &Path,
    floor: u64,
    key: impl Fn(ProjectId) -> Option<&'k FrameKey>,
    mut each: impl FnMut(Replayed),
) -> Result<Next> {
    let names = names(disk, folder)?;
    let mut numbers: Vec<u64> = numbers(&names).into_iter().filter(|number| *number >= floor).collect();
    let mut files: Vec<(u64, Bytes, u64)> = Vec::new();
    for (at, &number) in numbers.iter().enumerate() {
        let path = file_path(folder, number);
        let bytes =
            disk.read(&path).map_err(|source| Error::Io { what: "read a log file", path: path.clone(), source })?;
        match read_header(&bytes) {
            Some(previous_end) => files.push((number, bytes, previous_end)),
            // Made a moment before a crash: nothing was ever in it.
            None if at + 1 == numbers.len() && bytes.len() <= HEADER => {
                disk.remove(&path).map_err(|source| Error::Io { what: "remove an empty log file", path, source })?;
            }
            None if bytes.get(..5) == Some(&MAGIC[..5]) && !bytes.get(..8).is_some_and(is_magic) => {
                let what = "not a log of a version this build reads: start the build that wrote it".to_owned();
                return Err(Error::Damaged { path, what });
            }
            None => {
                let what = "its first bytes are not a log's: restore the file from a backup".to_owned();
                return Err(Error::Damaged { path, what });
            }
        }
    }
    numbers = files.iter().map(|(number, ..)| *number).collect();
    let missing = (floor..).zip(&numbers).find(|(expected, number)| expected != *number).map(|(expected, _)| expected);
    // The file at the floor was made before the manifest named it.
    if let Some(missing) = missing.or((numbers.is_empty() && floor > 1).then_some(floor)) {
        let what = "the log file is missing, and with it acknowledged events: restore it from a backup".to_owned();
        return Err(Error::Damaged { path: file_path(folder, missing), what });
    }

    let mut next = Next { number: floor, previous_end: 0 };
    // Where the file before ends, when its successor's header says less: a rotation failed after it had made that
    // header, and the log went on in the old file.
    let mut redeclared: Option<u64> = None;
    for (at, (number, bytes, _)) in files.iter().enumerate() {
        let path = file_path(folder, *number);
        let skip = names.contains(&format!("wal-{number:010}.skip"));
        let durable = files.get(at + 1).map(|(_, _, previous_end)| *previous_end);
        let end = walk(&path, bytes, durable, skip, |frame| {
            let Some(key) = key(frame.project) else { return Ok(()) };
            let events =
                key.open(&frame).and_then(|payload| crate::codec::decode(&payload)).ok_or_else(|| Error::Damaged {
                    path: path.clone(),
                    what: "a frame cannot be decrypted with its project's key: is this the right root key?".to_owned(),
                })?;
            let bytes = frame.len;
            each(Replayed { project: frame.project, received: frame.received, events, bytes });
            Ok(())
        })?;
        if durable.is_none() && end < bytes.len() {
            let rest = &bytes[end..];
            tracing::warn!(path = %path.display(), bytes = rest.len(), "the log ends in an unfinished write, which was never acknowledged");
            // Kept apart: should it be damage after all, what lies behind it is not lost.
            put_durably(disk, folder, &path.with_extension("cut"), rest)?;
        }
        let goes_on = durable.is_some_and(|durable| end as u64 > durable);
        if durable.is_none() || goes_on || redeclared.is_some() {
            // What was just read may be in the page cache alone, and a sync that failed once is not made up for by
            // another. The next file will declare it durable.
            let mut whole = bytes[..end].to_vec();
            if let Some(previous_end) = redeclared {
                whole[..HEADER].copy_from_slice(&header(previous_end));
            }
            put_durably(disk, folder, &path, &whole)?;
        }
        redeclared = goes_on.then_some(end as u64);
        next = Next { number: number + 1, previous_end: end as u64 };
    }
    Ok(next)
}

/// Puts a file there, whole and durable, in the place of another or not.
fn put_durably(disk: &dyn Disk, folder: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let put = || {
        let mut file = disk.create(&temporary)?;
        file.write_all(bytes)?;
        file.flush()?;
        file.sync()?;
        drop(file);
        disk.rename(&temporary, path)?;
        disk.sync_folder(folder)
    };
    put().map_err(|source| Error::Io { what: "make a recovered log file durable", path: path.to_owned(), source })
}

/// Checks the frames of every file from `floor` on without decrypting or changing anything.
pub(crate) fn verify(disk: &dyn Disk, folder: &Path, floor: u64) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let mut files = Vec::new();
    for number in numbers(&names(disk, folder)?).into_iter().filter(|number| *number >= floor) {
        let path = file_path(folder, number);
        let bytes =
            disk.read(&path).map_err(|source| Error::Io { what: "read a log file", path: path.clone(), source })?;
        files.push((path, bytes));
    }
    for (at, (path, bytes)) in files.iter().enumerate() {
        if read_header(bytes).is_none() && bytes.len() > HEADER {
            wrong.push(format!("{}: its first bytes are not a log's", path.display()));
            continue;
        }
        let durable = files.get(at + 1).and_then(|(_, next)| read_header(next));
        if let Err(error) = walk(path, bytes, durable, false, |_| Ok(())) {
            wrong.push(error.to_string());
        }
    }
    Ok(wrong)
}

/// Hands out the good frames of a file and answers where the part ends that counts. `durable` is the end that the
/// next file's header declares for this one.
fn walk(
    path: &Path,
    bytes: &[u8],
    durable: Option<u64>,
    skip: bool,
    mut each: impl FnMut(Frame<'_>) -> Result<()>,
) -> Result<usize> {
    let durable = durable.map_or(HEADER, |end| usize::try_from(end).unwrap_or(usize::MAX));
    let mut at = HEADER;
    // Beyond what is declared durable there may be more: a rotation that failed half way declares too little.
    while at < bytes.len().max(durable) {
        if let Some((frame, len)) = bytes.get(at..).and_then(parse_frame) {
            each(frame)?;
            at += len;
            continue;
        }
        let rest = bytes.get(at..).unwrap_or_default();
        let later = good_frames(rest).map(|(offset, frame)| (at + offset, frame.synced));
        // Frames of one group say the same: only what a later group declares durable was acknowledged.
        let once_durable = at < durable || later.clone().any(|(_, synced)| synced > at as u64);
        if !once_durable {
            return Ok(at);
        }
        if !skip {
            let what = format!(
                "the frame at byte {at} was durable and fails its checksum now: restore the file from a backup, or, to \
                 go on without what cannot be read, put an empty file with the extension skip beside it"
            );
            return Err(Error::Damaged { path: path.to_owned(), what });
        }
        let resume = later.map(|(offset, _)| offset).next().unwrap_or(bytes.len().max(durable));
        tracing::error!(path = %path.display(), from = at, to = resume, "passed over damaged frames, as asked");
        at = resume;
    }
    Ok(at.min(bytes.len()))
}

fn names(disk: &dyn Disk, folder: &Path) -> Result<Vec<String>> {
    disk.list(folder).map_err(|source| Error::Io { what: "list the log's folder", path: folder.to_owned(), source })
}

fn numbers(names: &[String]) -> Vec<u64> {
    let mut numbers: Vec<u64> =
        names.iter().filter_map(|name| name.strip_prefix("wal-")?.strip_suffix(".log")?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

fn read_header(bytes: &[u8]) -> Option<u64> {
    let header = bytes.first_chunk::<HEADER>()?;
    let sum = u32::from_le_bytes(*header[16..].first_chunk()?);
    let is_whole = is_magic(&header[..8]) && crc32c::crc32c(&header[..16]) == sum && header[20..] == [0; 4];
    is_whole.then(|| u64::from_le_bytes(*header[8..].first_chunk().expect("a header has 24 bytes")))
}

fn is_magic(bytes: &[u8]) -> bool {
    bytes == MAGIC || bytes == MAGIC_2
}

struct Frame<'a> {
    synced: u64,
    project: ProjectId,
    received: i64,
    count: u32,
    nonce: FrameNonce,
    ciphertext: &'a [u8],
    /// Bytes in the log.
    len: usize,
}

enum FrameNonce {
    Long([u8; NONCE]),
    /// Of version 2.
    Short([u8; 12]),
}

/// The frame at the start of the bytes, and its length.
fn parse_frame(bytes: &[u8]) -> Option<(Frame<'_>, usize)> {
    let (is_long, fixed) = match bytes.first_chunk::<4>()? {
        MARKER => (true, FIXED),
        MARKER_2 => (false, FIXED_2),
        _ => return None,
    };
    let rest = &bytes[MARKER.len()..];
    let (len_bytes, rest) = rest.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len_bytes) as usize;
    if !(fixed..=limits::WAL_FRAME_BYTES_MAX).contains(&len) {
        return None;
    }
    let body = rest.get(..len)?;
    if checksum(len_bytes, body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (synced, body) = body.split_first_chunk::<8>()?;
    let (project, body) = body.split_first_chunk::<4>()?;
    let (received, body) = body.split_first_chunk::<8>()?;
    let (count, body) = body.split_first_chunk::<4>()?;
    let (nonce, ciphertext) = match is_long {
        true => body.split_first_chunk().map(|(nonce, rest)| (FrameNonce::Long(*nonce), rest))?,
        false => body.split_first_chunk().map(|(nonce, rest)| (FrameNonce::Short(*nonce), rest))?,
    };
    let frame = Frame {
        synced: u64::from_le_bytes(*synced),
        project: ProjectId(u32::from_le_bytes(*project)),
        received: i64::from_le_bytes(*received),
        count: u32::from_le_bytes(*count),
        nonce,
        ciphertext,
        len: PREFIX + len,
    };
    Some((frame, PREFIX + len))
}

/// Good frames anywhere in the bytes, with their offsets.
fn good_frames(bytes: &[u8]) -> impl Iterator<Item = (usize, Frame<'_>)> + Clone {
    bytes
        .windows(MARKER.len())
        .enumerate()
        .filter(|(_, window)| window == MARKER || window == MARKER_2)
        .filter_map(|(offset, _)| parse_frame(&bytes[offset..]).map(|(frame, _)| (offset, frame)))
}

/// For the fuzz target: reads foreign bytes as a log file; must not panic.
#[doc(hidden)]
pub fn walk_foreign(bytes: &[u8]) -> usize {
    let mut frames = 0;
    if read_header(bytes).is_some() {
        let _ = walk(Path::new("foreign"), bytes, None, true, |_| {
            frames += 1;
            Ok(())
        });
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::LocalDisk;
    use cofferdam_model::SubjectNo;

    const PROJECT: ProjectId = ProjectId(1);

    fn events(n: usize) -> Vec<SealedEvent> {
        (0..n)
            .map(|i| SealedEvent {
                name: "needle-in-the-log".into(),
                subject: SubjectNo(i as u32),
                time_us: i as i64,
                insert_id: 0,
                properties: vec![],
            })
            .collect()
    }

    fn log(folder: &Path, next: Next) -> Log {
        Log::open(Arc::new(LocalDisk), folder.to_owned(), next, 0, Arc::new(|| 1_000)).unwrap()
    }

    const FIRST: Next = Next { number: 1, previous_end: 0 };

    /// Writes groups of batches, then reads the log back after `spoil` changed the file's bytes. `later` starts
    /// another file behind it first.
    fn frames_after(groups: &[&[usize]], later: bool, spoil: impl Fn(&mut Vec<u8>, &[usize])) -> Result<Vec<usize>> {
        let folder = tempfile::tempdir().unwrap();
        let key = FrameKey::new(PROJECT, &[7; 32]);
        let mut log = log(folder.path(), FIRST);
        let mut starts = vec![];
        let mut expected = 1_000;
        for group in groups {
            let batches: Vec<Batch> = group.iter().map(|n| key.seal(events(*n))).collect();
            let mut at = log.position as usize;
            for batch in &batches {
                starts.push(at);
                at += batch.bytes();
            }
            assert_eq!(log.commit(&batches).unwrap(), expected);
            expected += group.iter().sum::<usize>() as i64;
            assert_eq!(log.position as usize, at);
        }
        if later {
            assert_eq!(log.rotate().unwrap(), 2);
        }
        let path = file_path(folder.path(), 1);
        let mut bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"needle"));
        spoil(&mut bytes, &starts);
        std::fs::write(&path, bytes).unwrap();
        let read = || {
            let mut counts = Vec::new();
            let next = replay(&LocalDisk, folder.path(), 1, |_| Some(&key), |frame| counts.push(frame.events.len()))?;
            Ok::<_, Error>((counts, next))
        };
        let wrong = verify(&LocalDisk, folder.path(), 1).unwrap();
        let (counts, next) = read().inspect_err(|_| assert_eq!(wrong.len(), 1))?;
        // The next start finds the same, though this file is no longer the newest.
        self::log(folder.path(), next);
        assert_eq!(read()?.0, counts);
        Ok(counts)
    }

    #[test]
    fn a_torn_group_is_cut() {
        let groups: &[&[usize]] = &[&[1], &[2], &[3, 4]];
        assert_eq!(frames_after(groups, false, |_, _| {}).unwrap(), [1, 2, 3, 4]);
        assert_eq!(frames_after(groups, false, |bytes, _| bytes.truncate(bytes.len() - 1)).unwrap(), [1, 2, 3]);
        assert_eq!(frames_after(groups, false, |bytes, _| bytes.extend([9; 5])).unwrap(), [1, 2, 3, 4]);
        let last = frames_after(groups, false, |bytes, starts| bytes[starts[3] + 30] ^= 1);
        assert_eq!(last.unwrap(), [1, 2, 3]);
        let pages_out_of_order = frames_after(groups, false, |bytes, starts| bytes[starts[2]..starts[3]].fill(0));
        assert_eq!(pages_out_of_order.unwrap(), [1, 2], "the rest of the group was not acknowledged either");
        assert_eq!(frames_after(groups, false, |bytes, _| bytes.truncate(3)).unwrap(), Vec::<usize>::new());
    }

    #[test]
    fn what_was_durable_once_is_damage() {
        let groups: &[&[usize]] = &[&[1], &[2], &[3]];
        for spoilt in [0, 1] {
            let error = frames_after(groups, false, |bytes, starts| bytes[starts[spoilt] + 20] ^= 4).unwrap_err();
            assert!(error.to_string().contains("wal-0000000001.log"), "{error}");
        }
        frames_after(groups, false, |bytes, starts| bytes[starts[1] + 5] ^= 1).expect_err("a length");
        frames_after(groups, true, |bytes, starts| bytes[starts[2] + 30] ^= 1).expect_err("the last of an older file");
        frames_after(groups, true, |bytes, _| bytes.truncate(bytes.len() - 1)).expect_err("an older file cut short");
        assert_eq!(frames_after(groups, true, |bytes, _| bytes.extend([7; 9])).unwrap(), [1, 2, 3]);
        frames_after(groups, false, |bytes, _| bytes[0] = b'X').expect_err("no log");
        frames_after(groups, false, |bytes, _| bytes[5] = 1).expect_err("an old log");
    }

    #[test]
    fn damage_is_passed_over_only_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        let key = FrameKey::new(PROJECT, &[7; 32]);
        let mut log = log(folder.path(), FIRST);
        for n in [1, 2, 3] {
            log.commit(&[key.seal(events(n))]).unwrap();
        }
        let path = file_path(folder.path(), 1);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[HEADER + 20] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        std::fs::write(path.with_extension("skip"), b"").unwrap();
        let mut counts = Vec::new();
        replay(&LocalDisk, folder.path(), 1, |_| Some(&key), |frame| counts.push(frame.events.len())).unwrap();
        assert_eq!(counts, [2, 3]);
    }

    #[test]
    fn a_log_of_the_version_before_is_read_and_goes_on_in_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let key = FrameKey::new(PROJECT, &[7; 32]);
        // As version 2 wrote it.
        let mut payload = crate::codec::encode(&events(5));
        let nonce = [9; 12];
        let aad = Aad::from(key.aad(5));
        key.key_2.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut payload).unwrap();
        let mut file = header(0).to_vec();
        file[..8].copy_from_slice(MAGIC_2);
        let crc = crc32c::crc32c(&file[..16]);
        file[16..20].copy_from_slice(&crc.to_le_bytes());
        let body =
            [&24_u64.to_le_bytes()[..], &1_u32.to_le_bytes(), &77_i64.to_le_bytes(), &5_u32.to_le_bytes(), &nonce];
        let body = [&body.concat()[..], &payload].concat();
        let len = (body.len() as u32).to_le_bytes();
        file.extend([&MARKER_2[..], &len, &checksum(&len, &body).to_le_bytes(), &body].concat());
        std::fs::write(file_path(folder.path(), 1), &file).unwrap();

        let read = || {
            let mut counts = Vec::new();
            let next = replay(&LocalDisk, folder.path(), 1, |_| Some(&key), |frame| counts.push(frame.events.len()));
            (counts, next.unwrap())
        };
        let (counts, next) = read();
        assert_eq!((counts, next.number, next.previous_end), (vec![5], 2, file.len() as u64));
        let mut log = log(folder.path(), next);
        log.commit(&[key.seal(events(3))]).unwrap();
        assert_eq!(read().0, [5, 3]);
        assert!(verify(&LocalDisk, folder.path(), 1).unwrap().is_empty());
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = log(folder.path(), FIRST);
        log.rotate().unwrap();
        log.rotate().unwrap();
        let read = |floor| replay(&LocalDisk, folder.path(), floor, |_| None, |_| {});
        assert_eq!(read(2).unwrap().number, 4);
        std::fs::remove_file(file_path(folder.path(), 2)).unwrap();
        assert!(read(1).is_err());
        assert!(read(2).is_err());
        assert_eq!(read(3).unwrap().number, 4);
        Log::cut(&LocalDisk, folder.path(), 4).unwrap();
        assert!(read(4).is_err());
    }

    #[test]
    fn a_rotation_that_failed_half_way_takes_nothing_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let key = FrameKey::new(PROJECT, &[7; 32]);
        let mut log = log(folder.path(), FIRST);
        log.commit(&[key.seal(events(1))]).unwrap();
        // The next file is there, but the log has not moved on to it.
        create(&LocalDisk, folder.path(), 2, log.position).unwrap();
        log.commit(&[key.seal(events(2))]).unwrap();
        let mut counts = Vec::new();
        replay(&LocalDisk, folder.path(), 1, |_| Some(&key), |frame| counts.push(frame.events.len())).unwrap();
        assert_eq!(counts, [1, 2]);
    }
}
