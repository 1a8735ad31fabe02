//! The lake: pseudonymous events, durable and queryable.
//!
//! The life of an event here:
//! 1. [`Lake::append`] encodes and encrypts a batch and hands it to the log's writer ([`wal`]), which answers after
//!    `fdatasync`. From then on every [`Lake::snapshot`] contains it: it is in the *tail*.
//! 2. When the tail is large enough it is written as Parquet segments, one per (project, bucket), sorted by (subject,
//!    time) ([`segment`]); one transaction of the [`manifest`] adds them and moves the log's floor; then the log is cut.
//! 3. [`compact`] says which segments are merged: days into weeks into months, without what is erased, superseded or
//!    past its retention, and with the rows of merged persons under one subject.
//!
//! All of this is [`Store`], which is synchronous and deterministic over a [`disk::Disk`] and a clock, so that a
//! simulation can run it. [`Lake`] is the store with threads: one writes the log, one sorts the tail, one flushes, one
//! compacts.
//!
//! Invariants:
//! - **No plaintext identity**: the crate that holds such types is not among the dependencies.
//! - **Acknowledged is durable and queryable**, through crash and restart.
//! - A snapshot is consistent: it never sees half a batch, nor an event twice, nor waits for a flush or a compaction.
//! - A file under its final name is whole; a file the manifest does not name is garbage and removed at start.
//! - What was durable once and cannot be read any more is an error that names the file, never a quieter answer.
//!
//! It deliberately does not know what a person, a user or a query is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use cofferdam_model::{Merges, ProjectId, SealedEvent, SubjectNo, limits};
use tokio::sync::{mpsc, oneshot};

pub mod buffer;
pub mod codec;
pub mod columns;
mod compact;
pub mod disk;
mod duplicates;
mod hot;
mod manifest;
mod segment;
mod shelf;
mod snapshot;
mod store;
pub mod wal;

pub use buffer::Buffer;
pub use columns::{Codes, Column, Core, Dictionary, PropertyKey, Text, Times};
pub use compact::{Pace, Retention};
pub use manifest::Tie;
pub use segment::Segment;
pub use snapshot::Snapshot;
pub use store::{Held, Store};
pub use wal::{Batch, Clock};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not {what} at {}", path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("could not read or write the segment {}", path.display())]
    Parquet { path: PathBuf, source: parquet::errors::ParquetError },
    #[error("{} is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("the write-ahead log is not available: {message}")]
    LogUnavailable { message: String },
    #[error("the manifest is not available: {message}")]
    ManifestUnavailable { message: String },
    #[error("too many events wait to be written to segments")]
    Busy,
    #[error("a batch is larger than a frame of the log may be: send fewer events at once")]
    TooLarge,
    #[error("project {0} is not open")]
    UnknownProject(ProjectId),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Answers which subjects of a project are one person. A merge is undone under [`Lake::while_nothing_folds`] alone, and
/// only when no row was moved by it.
pub type MergesOf = Arc<dyn Fn(ProjectId) -> Arc<Merges> + Send + Sync>;
/// Answers how long a project keeps what.
pub type RetentionOf = Arc<dyn Fn(ProjectId) -> Retention + Send + Sync>;

/// How a lake is opened.
pub struct Options {
    /// Everything the lake stores. It belongs to one process.
    pub folder: PathBuf,
    pub disk: Arc<dyn disk::Disk>,
    /// Events in the tail that start a flush.
    pub flush_events: usize,
    /// Subject buckets of a project; a power of two, and always the same for a folder.
    pub buckets: u32,
    /// Bytes of hot property columns kept on disk.
    pub hot_bytes_max: u64,
    /// Microseconds since 1970-01-01 UTC.
    pub clock: Clock,
    pub merges: MergesOf,
    pub retention: RetentionOf,
    /// As how many rows each counts when compaction decides what is large; 1, but where a small world has to go
    /// through what otherwise takes millions.
    pub rows_weight: u64,
}

impl Options {
    /// The usual ones, on the machine's own disk: nobody is merged, and everything is kept.
    pub fn new(folder: PathBuf, clock: Clock) -> Options {
        let nobody = Arc::new(Merges::default());
        Options {
            folder,
            disk: Arc::new(disk::LocalDisk),
            flush_events: limits::FLUSH_EVENTS,
            buckets: limits::BUCKETS,
            hot_bytes_max: limits::HOT_BYTES_MAX,
            clock,
            merges: Arc::new(move |_| nobody.clone()),
            retention: Arc::new(|_| Retention::default()),
            rows_weight: 1,
        }
    }
}

/// The store of all projects. Cheap to clone. When the last clone goes, its threads end first.
#[derive(Clone)]
pub struct Lake {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<Store>,
    /// `None` once it is closing.
    log: Option<mpsc::Sender<Command>>,
    bells: Arc<Bells>,
    threads: Vec<JoinHandle<()>>,
}

/// A batch for the log's writer, and who waits for it.
struct Command {
    batch: Batch,
    done: oneshot::Sender<Result<()>>,
}

/// What wakes the threads.
#[derive(Default)]
struct Bells {
    closing: AtomicBool,
    sort: Bell,
    flush: Bell,
    compact: Bell,
}

/// What a thread does until the lake closes.
type Work = Box<dyn FnOnce(&Store, &Bells) + Send>;

/// Bytes that one group commit writes at most.
const GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A tail that waited so long is flushed, which keeps recovery short, and compaction looks whether something is due.
const IDLE: Duration = Duration::from_secs(600);
/// Between attempts at something that fails.
const RETRY: Duration = Duration::from_secs(5);

impl Lake {
    /// Opens the lake in a folder, recovers what the log holds, and starts its threads.
    /// `keys` has the frame key of every project.
    pub async fn open(options: Options, keys: Vec<(ProjectId, [u8; 32])>) -> Result<Lake> {
        let folder = options.folder.clone();
        let opened = tokio::task::spawn_blocking(move || Store::open(options, keys)).await;
        let store = Arc::new(opened.expect("opening does not panic")?);
        let bells = Arc::new(Bells::default());
        let (log, receiver) = mpsc::channel(4_096);
        let mut inner = Inner { store: store.clone(), log: Some(log), bells: bells.clone(), threads: Vec::new() };
        let mut start = |name: &'static str, work: Work| {
            let (store, bells) = (store.clone(), bells.clone());
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&store, &bells));
            let thread = thread.map_err(|source| Error::Io { what: "start a thread", path: folder.clone(), source })?;
            inner.threads.push(thread);
            Ok(())
        };
        start("lake-log", Box::new(move |store, bells| write_log(store, bells, receiver)))?;
        start("lake-sort", Box::new(|store, bells| bells.serve(&bells.sort, || store.settle_pending(), || Ok(()))))?;
        start(
            "lake-flush",
            Box::new(|store, bells| {
                bells.serve(
                    &bells.flush,
                    || {
                        store.flush()?;
                        bells.compact.ring();
                        Ok(())
                    },
                    || store.flush(),
                );
            }),
        )?;
        start(
            "lake-compact",
            Box::new(|store, bells| {
                bells.serve(
                    &bells.compact,
                    || store.compact(store.now_us(), Pace::Due),
                    || store.compact(store.now_us(), Pace::Now),
                );
            }),
        )?;
        Ok(Lake { inner: Arc::new(inner) })
    }

    /// Makes room for a new project.
    pub fn add_project(&self, project: ProjectId, key: &[u8; 32]) {
        self.inner.store.add_project(project, key);
    }

    /// Stores a batch. Once this returns `Ok`, the events are on disk and in every later snapshot;
    /// after an error none of them is, and the sender may try again.
    pub async fn append(&self, project: ProjectId, events: Vec<SealedEvent>) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let batch = self.inner.store.seal(project, events)?;
        let (done, answer) = oneshot::channel();
        let stopped = || Error::LogUnavailable { message: "the log's writer has stopped".to_owned() };
        let log = self.inner.log.as_ref().expect("open until the last clone goes");
        log.send(Command { batch, done }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Everything acknowledged so far.
    pub fn snapshot(&self, project: ProjectId) -> Result<Snapshot> {
        self.inner.store.snapshot(project)
    }

    /// Events that are durable in the log and not yet in segment files.
    pub fn tail_events(&self) -> usize {
        self.inner.store.tail_events()
    }

    /// Writes the tail of every project to segment files now.
    pub async fn flush(&self) -> Result<()> {
        self.inner.bells.flush.wait_for().await
    }

    /// Compacts now what is due, and rewrites without waiting what holds erased subjects or old events.
    pub async fn compact_now(&self) -> Result<()> {
        self.inner.bells.compact.wait_for().await
    }

    /// Everything a backup has to copy, as it is at one moment.
    pub async fn hold(&self) -> Result<Held> {
        let store = self.inner.store.clone();
        let held = tokio::task::spawn_blocking(move || store.hold()).await;
        held.expect("holding does not panic")
    }

    /// Runs something, on a thread that may block, while no row moves from one subject to another. It is told which
    /// have: pairs of a subject and the one of the same person that some of its rows are stored under now. Waits for a
    /// compaction that is under way.
    pub async fn while_nothing_folds<T: Send + 'static>(
        &self,
        project: ProjectId,
        act: impl FnOnce(&BTreeSet<Tie>) -> T + Send + 'static,
    ) -> Result<T> {
        let store = self.inner.store.clone();
        let acted = tokio::task::spawn_blocking(move || store.while_nothing_folds(project, act)).await;
        acted.expect("what is run does not panic")
    }

    /// Erases subjects: once this returns, no later snapshot has a row of theirs, whenever it arrives. Their rows are
    /// physically gone within [`limits::ERASE_WITHIN_SECONDS`].
    ///
    /// A person is all subjects that were merged: pass all of them.
    pub async fn erase(&self, project: ProjectId, subjects: &[SubjectNo]) -> Result<()> {
        let (store, subjects) = (self.inner.store.clone(), subjects.to_vec());
        let erased = tokio::task::spawn_blocking(move || store.erase(project, &subjects)).await;
        erased.expect("erasing does not panic")
    }
}

/// Checks every file of a lake that is not open. Answers the number of segments and what is wrong, by file.
pub async fn verify(folder: &Path) -> Result<(usize, Vec<String>)> {
    let folder = folder.to_owned();
    let verified = tokio::task::spawn_blocking(move || Store::verify(&disk::LocalDisk, &folder)).await;
    verified.expect("verifying does not panic")
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.bells.closing.store(true, Ordering::SeqCst);
        self.store.stop();
        self.log = None;
        for bell in [&self.bells.sort, &self.bells.flush, &self.bells.compact] {
            bell.ring();
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the lake panicked");
            }
        }
    }
}

/// Takes whatever batches wait, stores them with one sync, and answers all of them.
fn write_log(store: &Store, bells: &Bells, mut receiver: mpsc::Receiver<Command>) {
    while let Some(first) = receiver.blocking_recv() {
        let mut bytes = first.batch.bytes();
        let (mut group, mut waiting) = (vec![first.batch], vec![first.done]);
        while bytes < GROUP_BYTES_MAX
            && let Ok(Command { batch, done }) = receiver.try_recv()
        {
            bytes += batch.bytes();
            group.push(batch);
            waiting.push(done);
        }
        let result = store.append(group);
        if let Err(error) = &result {
            tracing::error!(error = error as &dyn std::error::Error, "could not write the log: events are refused");
        }
        for done in waiting {
            let answer = result.as_ref().copied().map_err(|error| Error::LogUnavailable { message: error.to_string() });
            // Whoever sent it may have given up waiting; the events stand all the same.
            let _ = done.send(answer);
        }
        if store.wants_settling() {
            bells.sort.ring();
        }
        if store.wants_flush() {
            bells.flush.ring();
        }
    }
}

/// Wakes one thread.
#[derive(Default)]
struct Bell {
    state: Mutex<Rung>,
    changed: Condvar,
}

#[derive(Default)]
struct Rung {
    rung: bool,
    /// Who waits for it to be done now.
    waiting: Vec<oneshot::Sender<Result<()>>>,
}

impl Bell {
    fn ring(&self) {
        self.state.lock().expect("never left half changed").rung = true;
        self.changed.notify_one();
    }

    async fn wait_for(&self) -> Result<()> {
        let (done, answer) = oneshot::channel();
        self.state.lock().expect("never left half changed").waiting.push(done);
        self.changed.notify_one();
        answer.await.map_err(|_| Error::LogUnavailable { message: "the lake is closing".to_owned() })?
    }

    /// Waits until it is rung, somebody waits, or the time is over.
    fn next(&self, timeout: Duration) -> Rung {
        let state = self.state.lock().expect("never left half changed");
        let waited = self.changed.wait_timeout_while(state, timeout, |state| !state.rung && state.waiting.is_empty());
        std::mem::take(&mut *waited.expect("never left half changed").0)
    }
}

impl Bells {
    /// Works each time the bell rings or nothing happened for long, and `on_request` when somebody waits for the answer.
    fn serve(&self, bell: &Bell, due: impl Fn() -> Result<()>, on_request: impl Fn() -> Result<()>) {
        loop {
            let Rung { waiting, .. } = bell.next(IDLE);
            if self.closing.load(Ordering::SeqCst) {
                return;
            }
            if !waiting.is_empty() {
                let result = on_request();
                let message = result.as_ref().err().map(ToString::to_string);
                let mut result = Some(result);
                for done in waiting {
                    let answer = result.take().unwrap_or_else(|| {
                        message.clone().map_or(Ok(()), |message| Err(Error::ManifestUnavailable { message }))
                    });
                    let _ = done.send(answer);
                }
                continue;
            }
            if let Err(error) = due() {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "maintenance of the lake failed and is tried again; events stay in the log"
                );
                let deadline = std::time::Instant::now() + RETRY;
                while !self.closing.load(Ordering::SeqCst) && std::time::Instant::now() < deadline {
                    std::thread::sleep(Duration::from_millis(100));
                }
                bell.ring();
            }
        }
    }
}

#[cfg(test)]
mod tests;
