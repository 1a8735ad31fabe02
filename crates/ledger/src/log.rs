//! The log while it runs: one thread writes the journal, many entries under one sync; another derives the rest from it
//! (`publish.rs`). No caller waits for a disk that does not answer.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use cofferdam_model::{limits, sabotage};
use roaring::RoaringBitmap;

use crate::cap::Caps;
use crate::disk::{Disk, Keep, LocalDisk, replace};
use crate::entry::{BlobCommit, Entry, Kind, Recorded, check};
use crate::journal::{self, Spare};
use crate::note::{KeyKind, Signer, VerifierKey};
use crate::pending::{Pending, Reply, pending};
use crate::publish::{self, Published, Publisher};
use crate::ticket::{Blob, DisclosureTicket, Intent, SALT_BYTES, blob_path, entry_of, set_of, subjects_of};
use crate::tiles::{Tiles, WIDTH};
use crate::time::{Clock, Moment, Timekeeper};
use crate::tree::{Hash, inclusion_proof, sha256};
use crate::verify::{Proof, Verified, verify_while};
use crate::{Error, Result, Unavailable};

mod recover;
mod writer;

use recover::{Recovered, recover};
use writer::Writer;

/// What was last seen of the log, kept where a copy of the ledger's folder is not: a log that does not continue it was
/// rolled back.
pub trait LastSeen: Send + Sync {
    /// Size and root; none before the first time.
    ///
    /// # Errors
    /// When it is there and cannot be read, or was not written by us.
    fn load(&self) -> io::Result<Option<(u64, Hash)>>;

    /// Durable when this returns.
    ///
    /// # Errors
    /// When it could not be written.
    fn store(&self, size: u64, root: &Hash) -> io::Result<()>;
}

/// [`LastSeen`] in a plain file.
pub struct SeenFile(pub PathBuf);

impl LastSeen for SeenFile {
    fn load(&self) -> io::Result<Option<(u64, Hash)>> {
        let bytes = match std::fs::read(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let parse = |bytes: &[u8]| {
            let (size, root) = bytes.split_first_chunk::<8>()?;
            Some((u64::from_be_bytes(*size), root.try_into().ok()?))
        };
        parse(&bytes).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn store(&self, size: u64, root: &Hash) -> io::Result<()> {
        replace(&LocalDisk, &self.0, &[&size.to_be_bytes()[..], root].concat(), Keep::Durable)
    }
}

/// Carries a request to a witness.
pub trait Transport: Send + Sync {
    /// Posts a body to `add-checkpoint` and answers status and body, within a few seconds.
    ///
    /// # Errors
    /// When there is no answer.
    fn post(&self, body: &str) -> io::Result<(u16, String)>;
}

/// A witness that is asked to sign every checkpoint.
pub struct WitnessLink {
    pub key: VerifierKey,
    pub transport: Box<dyn Transport>,
}

/// How a log is opened.
pub struct Options {
    pub folder: PathBuf,
    /// The signing key's seed.
    pub seed: [u8; 32],
    pub clock: Clock,
    pub last_seen: Arc<dyn LastSeen>,
    pub disk: Arc<dyn Disk>,
    pub witnesses: Vec<WitnessLink>,
}

impl Options {
    /// On this machine's disk, without witnesses.
    pub fn new(folder: &Path, seed: &[u8; 32], clock: Clock, last_seen: Arc<dyn LastSeen>) -> Options {
        Options {
            folder: folder.to_owned(),
            seed: *seed,
            clock,
            last_seen,
            disk: Arc::new(LocalDisk),
            witnesses: Vec::new(),
        }
    }
}

/// The answer to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its number; none for a refusal beyond its actor's allowance, which is in a count that is written later.
    pub seq: Option<u64>,
}

/// The signer of a log, named after its key: two logs have never the same name at a witness.
///
/// # Errors
/// When the seed is no key.
pub fn signing_key(seed: &[u8; 32]) -> Result<Signer> {
    let unnamed = Signer::new("cofferdam", KeyKind::Log, seed)?;
    let print = sha256(unnamed.key().to_string().as_bytes());
    let name: String = print[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    Signer::new(&format!("cofferdam.local/{name}"), KeyKind::Log, seed)
}

/// The log of one installation.
pub struct Log {
    pub(crate) shared: Arc<Shared>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

/// What the threads share.
pub(crate) struct Shared {
    pub(crate) folder: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) key: VerifierKey,
    queue: Mutex<Queue>,
    /// Something to write, or to write it to.
    arrived: Condvar,
    pub(crate) written: Mutex<Written>,
    /// Something to publish, or a journal file to make.
    pub(crate) to_do: Condvar,
    pub(crate) published: Mutex<Published>,
    pub(crate) was_published: Condvar,
    /// Its size, for those who cannot wait.
    pub(crate) published_size: AtomicU64,
    /// One writer of the checkpoint's file at a time; whoever has it keeps tiles from being written and journal files
    /// from being removed.
    pub(crate) checkpoint_file: Mutex<()>,
    /// Subject sets are not erased while they are copied.
    pub(crate) erasing: Mutex<()>,
    /// Entries that are on disk.
    pub(crate) durable: AtomicU64,
    time: Mutex<Timekeeper>,
    /// When the writer went to the disk, in microseconds after `started`; 0 while it is not there.
    at_disk_since: AtomicU64,
    started: Instant,
    pub(crate) caps: Caps,
    blobs_under_way: AtomicUsize,
    pub(crate) is_stopping: AtomicBool,
}

/// What waits for the writer.
#[derive(Default)]
struct Queue {
    control: VecDeque<Waiting>,
    others: VecDeque<Waiting>,
    spare: Option<Spare>,
    /// Why there is no spare.
    no_spare: Option<io::ErrorKind>,
    is_stopping: bool,
}

struct Waiting {
    entry: Entry,
    reply: Reply<Result<u64, Unavailable>>,
}

/// What the writer wrote, for the publisher.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) has_control: bool,
    /// Journal files that are written to no more, and the number after their last entry.
    pub(crate) retired: Vec<(PathBuf, u64)>,
    pub(crate) is_stopping: bool,
}

/// Subject sets that are written beside the log at a time: each takes a thread for as long as the disk takes.
const BLOBS_UNDER_WAY_MAX: usize = 16;

fn stall() -> Duration {
    Duration::from_millis(limits::LEDGER_STALL_MS)
}

impl Log {
    /// Opens a log, or starts one.
    ///
    /// # Errors
    /// When it does not continue what was last seen of it, or what it has does not lead to its own checkpoint.
    pub fn open(options: Options) -> Result<Log> {
        let Options { folder, seed, clock, last_seen, disk, witnesses } = options;
        let signer = signing_key(&seed)?;
        let journal_folder = folder.join(journal::FOLDER);
        disk.create_folders(&journal_folder).map_err(Error::io("create the ledger's folder", &journal_folder))?;
        let Recovered { mut edge, last, tail, found } = recover(&*disk, &folder, signer.key(), &*last_seen)?;
        let size = edge.size();
        publish::ask_witnesses(&witnesses, &signer, &edge)?;

        // Everything that the journal has is made durable anew: what a sync failed for may be in memory only.
        let mut full = Vec::new();
        edge.write(&*disk, &folder, &mut full).map_err(Error::io("write the ledger's tiles", &folder))?;
        publish::sync_files(&*disk, &full).map_err(Error::io("write the ledger's tiles", &folder))?;
        let mut frames = Vec::new();
        tail.iter().enumerate().for_each(|(at, entry)| {
            journal::frame(&mut frames, size - tail.len() as u64 + at as u64, entry);
        });
        let mut next_index = found.next_index;
        let spare = match found.spare {
            Some(path) => journal::reuse(&*disk, path),
            None => {
                next_index += 1;
                Spare::make(&*disk, &journal_folder, next_index - 1)
            }
        };
        let segment = spare.and_then(|spare| spare.begin(size - tail.len() as u64, &frames));
        let segment = segment.map_err(Error::io("write the ledger's journal", &journal_folder))?;
        for path in found.useless.iter().chain(found.used.iter().map(|(path, _)| path)) {
            disk.remove(path).map_err(Error::io("remove what was copied from the ledger's journal", path))?;
        }
        let publisher = Publisher::new(edge, signer, last_seen, witnesses, next_index);
        let key = publisher.key().clone();
        let published =
            publisher.publish(&*disk, &folder).map_err(Error::io("write the ledger's checkpoint", &folder))?;
        let shared = Arc::new(Shared {
            folder,
            disk,
            key,
            queue: Mutex::default(),
            arrived: Condvar::new(),
            written: Mutex::default(),
            to_do: Condvar::new(),
            published_size: AtomicU64::new(size),
            published: Mutex::new(published),
            was_published: Condvar::new(),
            checkpoint_file: Mutex::default(),
            erasing: Mutex::default(),
            durable: AtomicU64::new(size),
            time: Mutex::new(Timekeeper::new(clock, last)),
            at_disk_since: AtomicU64::new(0),
            started: Instant::now(),
            caps: Caps::default(),
            blobs_under_way: AtomicUsize::new(0),
            is_stopping: AtomicBool::new(false),
        });
        let writer = Writer { shared: shared.clone(), segment: Some(segment), next: size };
        let mut threads = publisher.start(&shared);
        threads.push(spawn("ledger-writer", move || writer.run()));
        Ok(Log { shared, threads })
    }

    /// Appends an entry. When this returns `Ok`, it is on disk; within a moment it is under a signed checkpoint.
    ///
    /// # Errors
    /// When the disk does not take it, within half a second; what it should have recorded must not happen then.
    pub fn append(&self, entry: Entry) -> Result<Receipt> {
        match self.submit(entry)? {
            None => Ok(Receipt { seq: None }),
            Some(pending) => Ok(Receipt { seq: Some(answered(pending.wait(stall()))?) }),
        }
    }

    /// As [`Log::append`], for tasks.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub async fn append_async(&self, entry: Entry) -> Result<Receipt> {
        match self.submit(entry)? {
            None => Ok(Receipt { seq: None }),
            Some(pending) => Ok(Receipt { seq: Some(answered(pending.wait_async(stall()).await)?) }),
        }
    }

    /// Appends entries in their order, with as few syncs as the disk's batches allow. When this returns `Ok`, all of
    /// them are on disk.
    ///
    /// # Errors
    /// As [`Log::append`], for any of them: some may be on disk then.
    pub async fn append_all_async(&self, entries: Vec<Entry>) -> Result<Vec<Receipt>> {
        let waiting: Vec<_> = entries.into_iter().map(|entry| self.submit(entry)).collect::<Result<_>>()?;
        let mut receipts = Vec::with_capacity(waiting.len());
        for pending in waiting {
            let seq = match pending {
                None => None,
                Some(pending) => Some(answered(pending.wait_async(stall()).await)?),
            };
            receipts.push(Receipt { seq });
        }
        Ok(receipts)
    }

    /// Writes down that somebody is about to see personal values, and only then answers with the right to open them.
    ///
    /// # Errors
    /// When the intent is not on disk.
    pub fn authorise(&self, intent: Intent) -> Result<DisclosureTicket> {
        let (entry, blob) = entry_of(&intent)?;
        let recorded = (|| {
            if let Some(blob) = blob {
                answered(self.write_blob(blob)?.wait(stall()))?;
            }
            self.append(entry)
        })();
        issue(intent, recorded)
    }

    /// As [`Log::authorise`], for tasks.
    ///
    /// # Errors
    /// As [`Log::authorise`].
    pub async fn authorise_async(&self, intent: Intent) -> Result<DisclosureTicket> {
        let (entry, blob) = entry_of(&intent)?;
        if let Some(blob) = blob {
            answered(self.write_blob(blob)?.wait_async(stall()).await)?;
        }
        let recorded = self.append_async(entry).await;
        issue(intent, recorded)
    }

    /// Entries that are on disk.
    pub fn size(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// The key that its checkpoints are signed with.
    pub fn key(&self) -> &VerifierKey {
        &self.shared.key
    }

    /// The newest signed checkpoint, with the signatures of witnesses that it has.
    pub fn checkpoint(&self) -> String {
        self.shared.published.lock().expect("never left half changed").note()
    }

    /// Seconds since 1970-01-01 UTC at which each witness, by name, last signed a checkpoint; none when it never did.
    pub fn witnessed(&self) -> Vec<(String, Option<u64>)> {
        self.shared.published.lock().expect("never left half changed").witnessed.clone()
    }

    /// Reads the whole log from its files, as [`crate::verify::verify`] does, while entries are taken. `told` is told
    /// how many entries were read, and of how many, as it goes; answering false ends it. Subject sets are erased
    /// afterwards only.
    ///
    /// # Errors
    /// When it was ended, or its checkpoint cannot be read.
    pub fn verify(&self, told: &mut dyn FnMut(u64, u64) -> bool) -> Result<Verified> {
        // What is not signed by then is counted as that.
        let _ = self.settle();
        let _erased = self.shared.erasing.lock().expect("never left half changed");
        verify_while(&self.shared.folder, &self.shared.key, Some(&self.shared.checkpoint_file), told)
    }

    /// Waits until everything that is on disk now is under a signed checkpoint too.
    ///
    /// # Errors
    /// When that takes longer than five seconds.
    pub fn settle(&self) -> Result<()> {
        let size = self.size();
        let published = self.shared.published.lock().expect("never left half changed");
        let waited =
            self.shared.was_published.wait_timeout_while(published, Duration::from_secs(5), |now| now.size < size);
        match waited.expect("never left half changed").1.timed_out() {
            true => Err(Error::Unavailable(Unavailable::Behind)),
            false => Ok(()),
        }
    }

    /// The present, to measure deadlines against.
    pub fn now(&self) -> Moment {
        self.shared.time.lock().expect("never left half changed").now()
    }

    /// Entries by number, `from` to before `to`, as far as they are under a checkpoint.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn entries(&self, from: u64, to: u64) -> Result<Vec<Recorded>> {
        let size = self.shared.published.lock().expect("never left half changed").size;
        let tiles = Tiles::new(&*self.shared.disk, &self.shared.folder, size);
        let (to, mut found) = (to.min(size), Vec::new());
        for bundle in from / WIDTH..to.div_ceil(WIDTH) {
            for (at, bytes) in tiles.bundle(bundle)?.iter().enumerate() {
                let seq = bundle * WIDTH + at as u64;
                if (from..to).contains(&seq) {
                    let entry = Recorded::decode(bytes).filter(|entry| entry.seq == seq);
                    found.push(entry.ok_or_else(|| Error::Damaged { what: format!("entry {seq} cannot be read") })?);
                }
            }
        }
        Ok(found)
    }

    /// The subjects of an intent; none when their set was erased.
    ///
    /// # Errors
    /// When there is no such intent, or its set was changed.
    pub fn subjects(&self, seq: u64) -> Result<Option<RoaringBitmap>> {
        let entry = self.entries(seq, seq + 1)?.pop().filter(|found| found.entry.kind == Kind::Intent);
        let entry = entry.ok_or(Error::NoEntry { seq })?.entry;
        subjects_of(&*self.shared.disk, &self.shared.folder, &entry)
            .map_err(|what| Error::Damaged { what: format!("entry {seq}: {what}") })
    }

    /// A subject set that an intent names, verified; none when it was erased.
    ///
    /// # Errors
    /// When it cannot be read, or was changed.
    pub fn subject_set(&self, commit: &BlobCommit) -> Result<Option<RoaringBitmap>> {
        set_of(&*self.shared.disk, &self.shared.folder, commit)
    }

    /// Where a subject set lies, for whoever looks for one subject without reading all of it: the file, and the byte
    /// of it that the bitmap begins at (the portable Roaring format). What is read there is not verified.
    pub fn subject_set_at(&self, commit: &BlobCommit) -> (PathBuf, u64) {
        (blob_path(&self.shared.folder, &commit.hash), SALT_BYTES as u64)
    }

    /// Erases the subject set of an intent, and writes down that it did. The size of the set stays in the log.
    ///
    /// # Errors
    /// When the intent has no set of its own, or the disk fails.
    pub fn erase_subjects(&self, seq: u64, context: Entry) -> Result<Receipt> {
        let entry = self.entries(seq, seq + 1)?.pop().ok_or(Error::NoEntry { seq })?;
        let blob = entry.entry.blob.ok_or(Error::NoEntry { seq })?;
        let _one = self.shared.erasing.lock().expect("never left half changed");
        let receipt = self.append(Entry { kind: Kind::SubjectsErased, refers_to: Some(seq), ..context })?;
        let path = blob_path(&self.shared.folder, &blob.hash);
        self.shared.disk.remove(&path).map_err(Error::io("erase a subject set", &path))?;
        Ok(receipt)
    }

    /// The proof that an entry is in the log, to be verified without it.
    ///
    /// # Errors
    /// When no checkpoint covers the entry.
    pub fn prove(&self, seq: u64) -> Result<Proof> {
        self.settle()?;
        let (size, note) = {
            let published = self.shared.published.lock().expect("never left half changed");
            (published.size, published.note())
        };
        if seq >= size {
            return Err(Error::NoEntry { seq });
        }
        let tiles = Tiles::new(&*self.shared.disk, &self.shared.folder, size);
        let entry = tiles.bundle(seq / WIDTH)?.into_iter().nth((seq % WIDTH) as usize);
        let entry = entry.ok_or(Error::NoEntry { seq })?;
        Ok(Proof { entry, index: seq, path: inclusion_proof(&tiles, seq, size)?, checkpoint: note })
    }

    /// Hands an entry to the writer. None for a refusal that was counted instead.
    fn submit(&self, entry: Entry) -> Result<Option<Pending<Result<u64, Unavailable>>>> {
        check(&entry)?;
        if !self.shared.caps.admit(&entry, Instant::now()) {
            return Ok(None);
        }
        self.shared.submit(entry).map(Some).map_err(Error::Unavailable)
    }

    /// Writes a subject set on a thread of its own: a disk that does not answer keeps that thread and not the caller.
    fn write_blob(&self, blob: Blob) -> Result<Pending<Result<(), Unavailable>>> {
        let shared = self.shared.clone();
        if shared.is_stalled() {
            return Err(Error::Unavailable(Unavailable::Stalled));
        }
        if shared.blobs_under_way.fetch_add(1, Ordering::Relaxed) >= BLOBS_UNDER_WAY_MAX {
            shared.blobs_under_way.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::Unavailable(Unavailable::Busy));
        }
        let (reply, pending) = pending();
        spawn("ledger-blob", move || {
            let written = blob.write(&*shared.disk, &shared.folder);
            shared.blobs_under_way.fetch_sub(1, Ordering::Relaxed);
            reply.answer(written.map_err(|error| why(error.kind())));
        });
        Ok(pending)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        for summary in self.shared.caps.summaries(Instant::now(), true) {
            if let Ok(pending) = self.shared.submit(summary) {
                let _ = pending.wait(stall());
            }
        }
        self.shared.is_stopping.store(true, Ordering::Release);
        self.shared.queue().is_stopping = true;
        self.shared.arrived.notify_all();
        self.shared.was_published.notify_all();
        // A thread that is kept by its disk ends with the process.
        if self.shared.is_stalled() {
            return;
        }
        // The writer is last: what it wrote is published before the publisher ends.
        for thread in self.threads.drain(..).rev() {
            let _ = thread.join();
            self.shared.written.lock().expect("never left half changed").is_stopping = true;
            self.shared.to_do.notify_all();
        }
    }
}

fn issue(intent: Intent, recorded: Result<Receipt>) -> Result<DisclosureTicket> {
    match recorded {
        Ok(Receipt { seq: Some(seq) }) => Ok(DisclosureTicket::issue(seq, intent)),
        _ if sabotage::is_out(51) => Ok(DisclosureTicket::issue(u64::MAX, intent)),
        Ok(Receipt { seq: None }) => Err(Error::Unavailable(Unavailable::Busy)),
        Err(error) => Err(error),
    }
}

fn answered<T>(answer: Option<Result<T, Unavailable>>) -> Result<T> {
    answer.unwrap_or(Err(Unavailable::Stalled)).map_err(Error::Unavailable)
}

pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::thread::JoinHandle<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).expect("the system has room for a thread")
}

fn why(kind: io::ErrorKind) -> Unavailable {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Unavailable::NoRoom,
        kind => Unavailable::Failed(kind),
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("never left half changed")
    }

    fn is_stalled(&self) -> bool {
        match self.at_disk_since.load(Ordering::Acquire) {
            0 => false,
            since => self.started.elapsed() > Duration::from_micros(since) + stall(),
        }
    }

    pub(crate) fn submit(&self, entry: Entry) -> Result<Pending<Result<u64, Unavailable>>, Unavailable> {
        if self.is_stalled() {
            return Err(Unavailable::Stalled);
        }
        let is_control = entry.kind.is_control();
        let unpublished =
            self.durable.load(Ordering::Acquire).saturating_sub(self.published_size.load(Ordering::Acquire));
        if !is_control && unpublished > limits::LEDGER_UNPUBLISHED_MAX {
            return Err(Unavailable::Behind);
        }
        let (reply, pending) = pending();
        let mut queue = self.queue();
        if queue.is_stopping {
            return Err(Unavailable::Stopped);
        }
        let waiting = if is_control { &mut queue.control } else { &mut queue.others };
        if waiting.len() >= limits::LEDGER_WAITING_MAX {
            return Err(Unavailable::Busy);
        }
        waiting.push_back(Waiting { entry, reply });
        drop(queue);
        self.arrived.notify_all();
        Ok(pending)
    }

    /// Whether the writer has no journal file to go on with.
    pub(crate) fn wants_spare(&self) -> bool {
        let queue = self.queue();
        queue.spare.is_none() && !queue.is_stopping
    }

    pub(crate) fn give_spare(&self, made: io::Result<Spare>) {
        let mut queue = self.queue();
        match made {
            Ok(spare) => (queue.spare, queue.no_spare) = (Some(spare), None),
            Err(error) => queue.no_spare = Some(error.kind()),
        }
        drop(queue);
        self.arrived.notify_all();
    }

    /// Runs what may wait for the disk, so that callers can see since when.
    fn at_disk<T>(&self, run: impl FnOnce() -> T) -> T {
        let since = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.at_disk_since.store(since.max(1), Ordering::Release);
        let done = run();
        self.at_disk_since.store(0, Ordering::Release);
        done
    }
}
