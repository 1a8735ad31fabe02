//! The write-ahead log: what is acknowledged is here before the answer leaves.
//!
//! One writer thread takes whatever appends are waiting, writes them as frames in one go, calls `fdatasync`
//! once, moves the events to the tail, and answers all of them (group commit). So an acknowledged event is
//! both durable and queryable.
//!
//! A file is `wal-<number>.log`: a magic of eight bytes, then frames
//! `len u32 | crc32c u32 | project u32 | received i64 | count u32 | nonce 12 | ciphertext and tag`,
//! little-endian; `len` counts what follows `crc32c`, which covers it. The payload is encrypted with the
//! project's key (AES-256-GCM, project and count as associated data): the log may lie on any disk.
//! Event `i` of a frame has arrival stamp `received + i`.
//!
//! Recovery reads files from the catalog's floor on, in order. The first frame of the newest file that is
//! cut short or fails its checksum ends the log: it was never acknowledged, and is cut off into a file of its own
//! (`.cut`). In an older file it is damage.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use cofferdam_model::{ProjectId, SealedEvent, limits};
use tokio::sync::{mpsc, oneshot};

use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"CFWAL\x01\0\0";
const HEADER: usize = 8;
const FIXED: usize = 4 + 8 + 4 + 12;
/// Bytes that one group commit writes at most.
const GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Encrypts one project's frames.
pub(crate) struct FrameKey {
    project: ProjectId,
    key: RandomizedNonceKey,
}

/// An encrypted payload, ready to be framed.
pub(crate) struct Sealed {
    nonce: [u8; 12],
    ciphertext: Vec<u8>,
}

impl FrameKey {
    pub(crate) fn new(project: ProjectId, key: &[u8; 32]) -> Self {
        let key = RandomizedNonceKey::new(&AES_256_GCM, key).expect("an AES-256 key has 32 bytes");
        Self { project, key }
    }

    fn aad(&self, count: u32) -> [u8; 8] {
        let mut aad = [0; 8];
        aad[..4].copy_from_slice(&self.project.0.to_le_bytes());
        aad[4..].copy_from_slice(&count.to_le_bytes());
        aad
    }

    pub(crate) fn seal(&self, mut payload: Vec<u8>, count: u32) -> Sealed {
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(self.aad(count)), &mut payload)
            .expect("sealing in memory does not fail");
        Sealed { nonce: *nonce.as_ref(), ciphertext: payload }
    }

    fn open(&self, nonce: [u8; 12], count: u32, mut ciphertext: Vec<u8>) -> Option<Vec<u8>> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let len = self.key.open_in_place(nonce, Aad::from(self.aad(count)), &mut ciphertext).ok()?.len();
        ciphertext.truncate(len);
        Some(ciphertext)
    }
}

pub(crate) enum Command {
    Append(Append),
    /// Start a new file; answers its number. Everything before it is out of the tail's way.
    Rotate(oneshot::Sender<Result<u64>>),
}

pub(crate) struct Append {
    pub(crate) project: ProjectId,
    pub(crate) sealed: Sealed,
    pub(crate) events: Vec<SealedEvent>,
    pub(crate) done: oneshot::Sender<Result<()>>,
}

/// Where the writer puts what is durable.
pub(crate) trait Tail: Send + 'static {
    /// Makes durable events queryable. Event `i` arrived at `received + i`; together they have `bytes` in the log.
    fn take(&self, project: ProjectId, received: i64, events: Vec<SealedEvent>, bytes: usize);
    /// Sets aside everything taken so far, to be flushed.
    fn freeze(&self);
}

/// Microseconds since 1970-01-01 UTC.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Starts the writer thread on a new file `number`.
pub(crate) fn start(
    folder: &Path,
    number: u64,
    received_last: i64,
    clock: Clock,
    tail: impl Tail,
) -> Result<mpsc::Sender<Command>> {
    let (sender, receiver) = mpsc::channel(4_096);
    let file = create(folder, number)?;
    let mut writer = Writer {
        folder: folder.to_owned(),
        file,
        number,
        position: HEADER as u64,
        received_last,
        clock,
        tail,
        broken: None,
    };
    std::thread::Builder::new()
        .name("wal".to_owned())
        .spawn(move || writer.run(receiver))
        .map_err(|source| Error::Io { what: "start the log's writer", path: folder.to_owned(), source })?;
    Ok(sender)
}

fn file_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("wal-{number:010}.log"))
}

fn create(folder: &Path, number: u64) -> Result<File> {
    let path = file_path(folder, number);
    let io = |source| Error::Io { what: "create a log file", path: path.clone(), source };
    // The number is this writer's alone: what an earlier attempt on a full disk left under it is nothing.
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&path).map_err(io)?;
    file.write_all(MAGIC).map_err(io)?;
    file.sync_all().map_err(io)?;
    crate::segment::sync_folder(folder).map_err(io)?;
    Ok(file)
}

struct Writer<T> {
    folder: PathBuf,
    file: File,
    number: u64,
    /// End of the last durable frame.
    position: u64,
    received_last: i64,
    clock: Clock,
    tail: T,
    /// Set after a failed `fdatasync`: what is on disk is unknown, so nothing more is acknowledged.
    broken: Option<String>,
}

impl<T: Tail> Writer<T> {
    fn run(&mut self, mut receiver: mpsc::Receiver<Command>) {
        let mut buffer = Vec::new();
        while let Some(command) = receiver.blocking_recv() {
            let mut group = Vec::new();
            let mut bytes = 0;
            let mut next = Some(command);
            let mut rotate = None;
            while let Some(command) = next.take() {
                match command {
                    Command::Append(append) => {
                        bytes += append.sealed.ciphertext.len();
                        group.push(append);
                    }
                    Command::Rotate(done) => {
                        rotate = Some(done);
                        break;
                    }
                }
                if bytes < GROUP_BYTES_MAX {
                    next = receiver.try_recv().ok();
                }
            }
            self.commit(group, &mut buffer);
            if let Some(done) = rotate {
                // The receiver may have given up waiting; the rotation stands all the same.
                let _ = done.send(self.rotate());
            }
        }
    }

    fn commit(&mut self, group: Vec<Append>, buffer: &mut Vec<u8>) {
        if group.is_empty() {
            return;
        }
        buffer.clear();
        let mut received = (self.clock)().max(self.received_last + 1);
        let mut stamped = Vec::with_capacity(group.len());
        for append in group {
            let count = u32::try_from(append.events.len()).expect("a request is bounded");
            put_frame(buffer, append.project, received, count, &append.sealed);
            stamped.push((received, append));
            received += i64::from(count);
        }
        match self.write_durably(buffer) {
            Ok(()) => {
                self.received_last = received - 1;
                for (received, append) in stamped {
                    self.tail.take(append.project, received, append.events, append.sealed.ciphertext.len());
                    let _ = append.done.send(Ok(()));
                }
            }
            Err(error) => {
                tracing::error!(error = %error, "could not write the log: events are refused until this is mended");
                let message = error.to_string();
                for (_, append) in stamped {
                    let _ = append.done.send(Err(Error::LogUnavailable { message: message.clone() }));
                }
            }
        }
    }

    fn write_durably(&mut self, buffer: &[u8]) -> std::io::Result<()> {
        if let Some(message) = &self.broken {
            return Err(std::io::Error::other(message.clone()));
        }
        if let Err(error) = self.file.write_all(buffer) {
            // A full disk: take back what was written, so that the next frame follows the last whole one.
            if self.file.set_len(self.position).and_then(|()| self.file.seek(SeekFrom::Start(self.position))).is_err() {
                self.broken = Some("the log file could not be cut back after a failed write".to_owned());
            }
            return Err(error);
        }
        if let Err(error) = self.file.sync_data() {
            // After a failed sync the page cache may claim what the disk does not hold.
            self.broken = Some(format!("the log could not be synced: {error}; restart to recover"));
            return Err(error);
        }
        self.position += buffer.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> Result<u64> {
        if self.broken.is_some() {
            // What a failed write left must not stand in the middle of the log.
            self.file.set_len(self.position).and_then(|()| self.file.sync_all()).map_err(|source| Error::Io {
                what: "cut back a log file",
                path: file_path(&self.folder, self.number),
                source,
            })?;
        }
        self.file = create(&self.folder, self.number + 1)?;
        self.number += 1;
        self.position = HEADER as u64;
        self.broken = None;
        self.tail.freeze();
        Ok(self.number)
    }
}

fn put_frame(out: &mut Vec<u8>, project: ProjectId, received: i64, count: u32, sealed: &Sealed) {
    let len = u32::try_from(FIXED + sealed.ciphertext.len()).expect("a frame is bounded");
    out.extend_from_slice(&len.to_le_bytes());
    let crc_at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&project.0.to_le_bytes());
    out.extend_from_slice(&received.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&sealed.nonce);
    out.extend_from_slice(&sealed.ciphertext);
    let crc = crc32c::crc32c(&out[crc_at + 4..]);
    out[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
}

/// One frame, decrypted.
pub(crate) struct Replayed {
    pub(crate) project: ProjectId,
    pub(crate) received: i64,
    pub(crate) events: Vec<SealedEvent>,
    /// In the log.
    pub(crate) bytes: usize,
}

/// Reads the log from file `floor` on. Answers the frames in order and the number for the next file.
/// Frames of a project without a key belong to nobody any more and are left out.
pub(crate) fn replay<'a>(
    folder: &Path,
    floor: u64,
    key: impl Fn(ProjectId) -> Option<&'a FrameKey>,
    mut each: impl FnMut(Replayed),
) -> Result<u64> {
    let mut numbers: Vec<u64> = numbers(folder)?.into_iter().filter(|number| *number >= floor).collect();
    while let Some(&last) = numbers.last() {
        let path = file_path(folder, last);
        let io = |source| Error::Io { what: "read a log file", path: path.clone(), source };
        if std::fs::metadata(&path).map_err(io)?.len() >= HEADER as u64 {
            break;
        }
        // Made a moment before a crash: nothing was ever in it.
        std::fs::remove_file(&path).map_err(io)?;
        numbers.pop();
    }
    for (at, &number) in numbers.iter().enumerate() {
        let newest = at + 1 == numbers.len();
        let path = file_path(folder, number);
        let io = |source| Error::Io { what: "read a log file", path: path.clone(), source };
        let mut bytes = Vec::new();
        let mut file = OpenOptions::new().read(true).write(true).open(&path).map_err(io)?;
        file.read_to_end(&mut bytes).map_err(io)?;
        if bytes.get(..HEADER) != Some(MAGIC) {
            return Err(Error::Damaged { path, what: "not a log of a version this build reads".to_owned() });
        }
        let mut rest = &bytes[HEADER..];
        while !rest.is_empty() {
            let Some((frame, after)) = parse_frame(rest) else {
                if !newest {
                    return Err(Error::Damaged { path, what: "a frame fails its checksum".to_owned() });
                }
                tracing::warn!(path = %path.display(), bytes = rest.len(), "the log ends in an unfinished write, which was never acknowledged");
                let whole = (bytes.len() - rest.len()) as u64;
                // Kept apart: should it be damage after all, what lies behind it is not lost.
                std::fs::write(path.with_extension("cut"), rest).map_err(io)?;
                file.set_len(whole).and_then(|()| file.sync_all()).map_err(io)?;
                break;
            };
            rest = after;
            if let Some(key) = key(frame.project) {
                let events = key
                    .open(frame.nonce, frame.count, frame.ciphertext.to_vec())
                    .and_then(|payload| crate::codec::decode(&payload))
                    .ok_or_else(|| Error::Damaged {
                        path: path.clone(),
                        what: "a frame cannot be decrypted with its project's key".to_owned(),
                    })?;
                let bytes = frame.ciphertext.len();
                each(Replayed { project: frame.project, received: frame.received, events, bytes });
            }
        }
    }
    Ok(numbers.last().map_or(floor, |last| last + 1).max(floor))
}

/// Removes the files below `floor`: everything in them is in segments.
pub(crate) fn cut(folder: &Path, floor: u64) -> Result<()> {
    for number in numbers(folder)?.into_iter().filter(|number| *number < floor) {
        let path = file_path(folder, number);
        std::fs::remove_file(&path).map_err(|source| Error::Io { what: "remove a log file", path, source })?;
    }
    Ok(())
}

fn numbers(folder: &Path) -> Result<Vec<u64>> {
    let io = |source| Error::Io { what: "list the log's folder", path: folder.to_owned(), source };
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        if let Some(number) =
            name.to_str().and_then(|name| name.strip_prefix("wal-")?.strip_suffix(".log")?.parse::<u64>().ok())
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

struct Frame<'a> {
    project: ProjectId,
    received: i64,
    count: u32,
    nonce: [u8; 12],
    ciphertext: &'a [u8],
}

fn parse_frame(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len) as usize;
    if !(FIXED..=limits::WAL_FRAME_BYTES_MAX).contains(&len) || len > rest.len() {
        return None;
    }
    let (body, after) = rest.split_at(len);
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (project, body) = body.split_first_chunk::<4>()?;
    let (received, body) = body.split_first_chunk::<8>()?;
    let (count, body) = body.split_first_chunk::<4>()?;
    let (nonce, ciphertext) = body.split_first_chunk::<12>()?;
    let frame = Frame {
        project: ProjectId(u32::from_le_bytes(*project)),
        received: i64::from_le_bytes(*received),
        count: u32::from_le_bytes(*count),
        nonce: *nonce,
        ciphertext,
    };
    Some((frame, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_model::SubjectNo;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Collected(Arc<Mutex<Vec<Batch>>>);

    type Batch = (i64, Vec<SealedEvent>);

    impl Tail for Collected {
        fn take(&self, _: ProjectId, received: i64, events: Vec<SealedEvent>, _: usize) {
            self.0.lock().unwrap().push((received, events));
        }

        fn freeze(&self) {}
    }

    fn events(n: u32) -> Vec<SealedEvent> {
        (0..n)
            .map(|i| SealedEvent {
                name: "needle-in-the-log".into(),
                subject: SubjectNo(i),
                time_us: i64::from(i),
                insert_id: 0,
                properties: vec![],
            })
            .collect()
    }

    /// Writes three frames, then reads the log back after `spoil` changed its bytes.
    fn frames_after(spoil: impl Fn(&mut Vec<u8>)) -> Result<Vec<usize>> {
        let folder = tempfile::tempdir().unwrap();
        let project = ProjectId(1);
        let key = FrameKey::new(project, &[7; 32]);
        let tail = Collected::default();
        let sender = start(folder.path(), 1, 0, Arc::new(|| 1_000), tail.clone()).unwrap();
        for n in [1_u32, 2, 3] {
            let (done, answer) = oneshot::channel();
            let events = events(n);
            let sealed = key.seal(crate::codec::encode(&events), n);
            sender.blocking_send(Command::Append(Append { project, sealed, events, done })).ok().unwrap();
            answer.blocking_recv().unwrap().unwrap();
        }
        let stamps: Vec<i64> = tail.0.lock().unwrap().iter().map(|(received, _)| *received).collect();
        assert_eq!(stamps, [1_000, 1_001, 1_003]);
        let path = file_path(folder.path(), 1);
        let mut bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"needle"));
        spoil(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let mut counts = Vec::new();
        let next = replay(folder.path(), 0, |_| Some(&key), |frame| counts.push(frame.events.len()))?;
        // The next start finds the same, though this file is no longer the newest.
        create(folder.path(), next)?;
        let mut again = Vec::new();
        replay(folder.path(), 0, |_| Some(&key), |frame| again.push(frame.events.len()))?;
        assert_eq!(again, counts);
        Ok(counts)
    }

    #[test]
    fn replays_whole_frames_and_stops_at_a_torn_one() {
        assert_eq!(frames_after(|_| {}).unwrap(), [1, 2, 3]);
        assert_eq!(frames_after(|bytes| bytes.truncate(bytes.len() - 1)).unwrap(), [1, 2]);
        assert_eq!(frames_after(|bytes| bytes.extend([9; 5])).unwrap(), [1, 2, 3]);
        assert_eq!(
            frames_after(|bytes| {
                let last = bytes.len() - 4;
                bytes[last] ^= 1;
            })
            .unwrap(),
            [1, 2]
        );
        assert_eq!(frames_after(|bytes| bytes.truncate(3)).unwrap(), Vec::<usize>::new());
        assert!(frames_after(|bytes| bytes[0] = b'X').is_err());
    }
}
