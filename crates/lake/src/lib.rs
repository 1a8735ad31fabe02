//! The lake: pseudonymous events, durable and queryable.
//!
//! The life of an event here:
//! 1. [`Lake::append`] encodes and encrypts a batch and hands it to the log's writer ([`wal`]), which answers
//!    after `fdatasync`. From then on every [`Lake::snapshot`] contains it: it is in the *tail*.
//! 2. When the tail is large enough it is *frozen* and written as Parquet segments, one per (project, bucket),
//!    sorted by (subject, time) ([`segment`]); one transaction of the [`catalog`] adds them and moves the log's
//!    floor; then the log is cut.
//! 3. Segments of a like size are merged in the background into fewer, larger ones.
//!
//! Invariants:
//! - **No plaintext identity**: the crate that holds such types is not among the dependencies.
//! - **Acknowledged is durable and queryable**, through crash and restart.
//! - A snapshot is consistent: it never sees half a batch, nor an event twice, nor waits for a flush.
//! - A file under its final name is whole; a file the catalog does not name is garbage and removed at start.
//!
//! It deliberately does not know what a person, a user or a query is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, Weak};

use cofferdam_model::{ProjectId, SealedEvent, limits};
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, mpsc, oneshot};

pub mod buffer;
mod catalog;
pub mod codec;
pub mod columns;
pub mod disk;
mod hot;
mod segment;
mod wal;

pub use buffer::Buffer;
pub use columns::{Codes, Column, Core, Dictionary, PropertyKey, Text, Times};
pub use segment::Segment;
pub use wal::Clock;

use catalog::{Catalog, Entry};
use columns::{Arrived, Rows};
use hot::HotStore;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not {what} at {}", path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("could not read or write the segment {}", path.display())]
    Parquet { path: PathBuf, source: parquet::errors::ParquetError },
    #[error("the catalog of segments failed")]
    Catalog(#[source] sqlx::Error),
    #[error("{} is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("the write-ahead log is not available: {message}")]
    LogUnavailable { message: String },
    #[error("too many events wait to be written to segments")]
    Busy,
    #[error("project {0} is not open")]
    UnknownProject(ProjectId),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How a lake is opened.
pub struct Options {
    pub folder: PathBuf,
    /// Events in the tail that start a flush.
    pub flush_events: usize,
    /// Subject buckets of a project; a power of two.
    pub buckets: u32,
    /// Bytes of hot property columns kept on disk.
    pub hot_bytes_max: u64,
    /// Microseconds since 1970-01-01 UTC.
    pub clock: Clock,
}

/// The store of all projects. Cheap to clone.
#[derive(Clone)]
pub struct Lake {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    flush_events: usize,
    buckets: u32,
    catalog: Catalog,
    hot: Arc<HotStore>,
    next_id: AtomicU64,
    log: mpsc::Sender<wal::Command>,
    shared: Arc<Shared>,
    /// One flush or compaction at a time.
    maintenance: tokio::sync::Mutex<()>,
}

/// What the log's writer needs; it must not keep the lake itself alive.
struct Shared {
    buckets: u32,
    flush_events: usize,
    projects: RwLock<FxHashMap<ProjectId, Arc<Project>>>,
    next_memory_id: AtomicU64,
    tail_events: AtomicUsize,
    /// Bytes of the tail in the log: after the last rotation, and before it but not yet in segments.
    open_bytes: AtomicUsize,
    frozen_bytes: AtomicUsize,
    flush_wanted: Notify,
}

struct Project {
    key: wal::FrameKey,
    /// What the log's writer hands over. Taken last and held briefly: the writer must never wait for sorting.
    pending: Mutex<Pending>,
    shelf: Mutex<Shelf>,
}

/// Durable events that no snapshot has asked for yet.
#[derive(Default)]
struct Pending {
    /// Written before the log was rotated: one entry per rotation, possibly empty.
    before_rotation: Vec<Vec<Arrived>>,
    open: Vec<Arrived>,
}

#[derive(Default)]
struct Shelf {
    files: Vec<Arc<Segment>>,
    /// Being written to files; still answered from memory.
    frozen: Vec<Arc<Segment>>,
    /// The tail in sorted pieces, each at least twice as long as the next.
    tail: Vec<Piece>,
}

struct Piece {
    rows: usize,
    /// One per bucket that has rows.
    segments: Vec<Arc<Segment>>,
}

/// A consistent view of one project: everything acknowledged before it was taken.
#[derive(Clone)]
pub struct Snapshot {
    segments: Vec<Arc<Segment>>,
    buckets: u32,
}

impl Snapshot {
    pub fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    pub fn buckets(&self) -> u32 {
        self.buckets
    }

    /// Stored events. Records sent twice across segments count twice here until they are merged.
    pub fn events(&self) -> u64 {
        self.segments.iter().map(|segment| segment.rows).sum()
    }

    /// Earliest and latest event time, µs UTC.
    pub fn time_us(&self) -> Option<(i64, i64)> {
        let low = self.segments.iter().map(|segment| segment.time_us.0).min()?;
        let high = self.segments.iter().map(|segment| segment.time_us.1).max()?;
        Some((low, high))
    }

    /// Every (property, type) that some event has.
    pub fn keys(&self) -> BTreeSet<PropertyKey> {
        self.segments.iter().flat_map(|segment| segment.keys().cloned()).collect()
    }

    /// A view of events that are in no lake: for tests and tools.
    pub fn of_events(events: Vec<SealedEvent>, buckets: u32, pieces: usize) -> Snapshot {
        let mut arrived: Vec<Vec<Arrived>> = (0..pieces.max(1)).map(|_| Vec::new()).collect();
        for (at, event) in events.into_iter().enumerate() {
            arrived[at % pieces.max(1)].push(Arrived { received: i64::try_from(at).unwrap_or(i64::MAX), event });
        }
        let mut segments = Vec::new();
        for (piece, events) in arrived.iter().enumerate() {
            for (bucket, rows) in Rows::build(events).split(buckets).into_iter().enumerate() {
                if !rows.is_empty() {
                    segments.push(Arc::new(Segment::in_memory((piece * 64 + bucket) as u64, bucket as u32, &rows)));
                }
            }
        }
        Snapshot { segments, buckets }
    }
}

impl Lake {
    /// Opens the lake in a folder, recovers what the log holds, and starts its background work.
    /// `keys` has the frame key of every project.
    pub async fn open(options: Options, keys: Vec<(ProjectId, [u8; 32])>) -> Result<Lake> {
        let Options { folder, flush_events, buckets, hot_bytes_max, clock } = options;
        assert!(buckets.is_power_of_two(), "buckets are a power of two");
        let log_folder = folder.join("wal");
        for path in [folder.clone(), log_folder.clone(), folder.join("segments")] {
            std::fs::create_dir_all(&path).map_err(|source| Error::Io { what: "create a folder", path, source })?;
        }
        let catalog = Catalog::open(&folder.join("catalog.db")).await?;
        let (floor, entries) = catalog.load().await?;
        let hot = HotStore::open(Arc::new(disk::LocalDisk), folder.join("hot"), hot_bytes_max)?;

        let mut projects: FxHashMap<ProjectId, Project> =
            keys.iter().map(|(project, key)| (*project, Project::new(*project, key))).collect();
        let mut received_last = 0;
        let mut known = BTreeSet::new();
        for entry in &entries {
            known.insert(folder.join(&entry.path));
            received_last = received_last.max(entry.received_max);
            if let Some(project) = projects.get_mut(&entry.project) {
                let segment = open_entry(&folder, entry, &hot)?;
                project.shelf.get_mut().expect("nobody shares it yet").files.push(Arc::new(segment));
            }
        }
        remove_unknown(&folder.join("segments"), &known)?;

        let mut replayed: FxHashMap<ProjectId, Vec<Arrived>> = FxHashMap::default();
        let mut replayed_bytes = 0;
        let number = wal::replay(
            &log_folder,
            floor,
            |project| projects.get(&project).map(|project| &project.key),
            |frame| {
                replayed_bytes += frame.bytes;
                let events = replayed.entry(frame.project).or_default();
                for (at, event) in frame.events.into_iter().enumerate() {
                    events.push(Arrived { received: frame.received + at as i64, event });
                }
            },
        )?;
        let mut tail_events = 0;
        for (project, events) in replayed {
            tail_events += events.len();
            received_last = received_last.max(events.last().map_or(0, |arrived| arrived.received));
            if let Some(project) = projects.get_mut(&project) {
                project.pending.get_mut().expect("nobody shares it yet").open = events;
            }
        }
        if tail_events > 0 {
            tracing::info!(events = tail_events, "recovered events from the write-ahead log");
        }
        let next_id = entries.iter().map(|entry| entry.id).max().unwrap_or(0) + 1;
        let shared = Arc::new(Shared {
            buckets,
            flush_events,
            projects: RwLock::new(projects.into_iter().map(|(id, project)| (id, Arc::new(project))).collect()),
            // Far above the catalog's ids: both share the cache's key space.
            next_memory_id: AtomicU64::new(1 << 62),
            tail_events: AtomicUsize::new(tail_events),
            open_bytes: AtomicUsize::new(replayed_bytes),
            frozen_bytes: AtomicUsize::new(0),
            flush_wanted: Notify::new(),
        });
        let log = wal::start(&log_folder, number, received_last, clock, SharedTail(shared.clone()))?;
        let inner = Arc::new(Inner {
            folder,
            flush_events,
            buckets,
            catalog,
            hot,
            next_id: AtomicU64::new(next_id),
            log,
            shared: shared.clone(),
            maintenance: tokio::sync::Mutex::new(()),
        });
        tokio::spawn(maintain(Arc::downgrade(&inner), shared));
        Ok(Lake { inner })
    }

    /// Makes room for a new project.
    pub fn add_project(&self, project: ProjectId, key: &[u8; 32]) {
        let mut projects = self.inner.shared.projects.write().expect("never left half changed");
        projects.entry(project).or_insert_with(|| Arc::new(Project::new(project, key)));
    }

    /// Stores a batch. Once this returns `Ok`, the events are on disk and in every later snapshot;
    /// after an error none of them is, and the sender may try again.
    pub async fn append(&self, project: ProjectId, events: Vec<SealedEvent>) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let shared = &self.inner.shared;
        let bytes = shared.open_bytes.load(Ordering::Relaxed) + shared.frozen_bytes.load(Ordering::Relaxed);
        let tail_events = shared.tail_events.load(Ordering::Relaxed);
        if bytes > limits::TAIL_BYTES_MAX || tail_events > limits::TAIL_EVENTS_MAX.max(self.inner.flush_events) {
            return Err(Error::Busy);
        }
        let handle = self.inner.shared.project(project)?;
        let count = u32::try_from(events.len()).expect("a request is bounded");
        let sealed = handle.key.seal(codec::encode(&events), count);
        let (done, answer) = oneshot::channel();
        let stopped = || Error::LogUnavailable { message: "the log's writer has stopped".to_owned() };
        self.inner
            .log
            .send(wal::Command::Append(wal::Append { project, sealed, events, done }))
            .await
            .map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Everything acknowledged so far.
    pub fn snapshot(&self, project: ProjectId) -> Result<Snapshot> {
        let shared = &self.inner.shared;
        let project = shared.project(project)?;
        let mut shelf = project.shelf();
        project.settle(&mut shelf, shared);
        let mut segments = Vec::with_capacity(shelf.files.len() + shelf.frozen.len() + shelf.tail.len());
        segments.extend(shelf.files.iter().cloned());
        segments.extend(shelf.frozen.iter().cloned());
        segments.extend(shelf.tail.iter().flat_map(|piece| piece.segments.iter().cloned()));
        Ok(Snapshot { segments, buckets: self.inner.buckets })
    }

    /// Events that are durable in the log and not yet in segment files.
    pub fn tail_events(&self) -> usize {
        self.inner.shared.tail_events.load(Ordering::Relaxed)
    }

    /// Writes the tail of every project to segment files now.
    pub async fn flush(&self) -> Result<()> {
        self.inner.flush().await
    }
}

/// Checks every segment file against the catalog. Answers the number of files and what is wrong, by file.
pub async fn verify(folder: &Path) -> Result<(usize, Vec<String>)> {
    let catalog = Catalog::open(&folder.join("catalog.db")).await?;
    let (_, entries) = catalog.load().await?;
    let mut wrong = Vec::new();
    for entry in &entries {
        let path = folder.join(&entry.path);
        match segment::checksum(&path) {
            Ok(crc) if crc == entry.crc32c => {}
            Ok(_) => wrong.push(format!("{}: checksum differs from the catalog's", entry.path)),
            Err(error) => wrong.push(format!("{}: {error}", entry.path)),
        }
    }
    Ok((entries.len(), wrong))
}

fn open_entry(folder: &Path, entry: &Entry, hot: &Arc<HotStore>) -> Result<Segment> {
    let path = folder.join(&entry.path);
    let bytes = std::fs::metadata(&path)
        .map_err(|source| Error::Io { what: "open a segment of the catalog", path: path.clone(), source })?
        .len();
    if bytes != entry.bytes {
        return Err(Error::Damaged { path, what: format!("{bytes} bytes where the catalog says {}", entry.bytes) });
    }
    Segment::open(entry.id, entry.bucket, entry.rows, entry.time_us, path, hot.clone())
}

/// Removes what a crash left between writing a file and the catalog's transaction.
fn remove_unknown(folder: &Path, known: &BTreeSet<PathBuf>) -> Result<()> {
    let io = |source| Error::Io { what: "clear the segments' folder", path: folder.to_owned(), source };
    for project in std::fs::read_dir(folder).map_err(io)? {
        let project = project.map_err(io)?.path();
        if !project.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&project).map_err(io)? {
            let path = file.map_err(io)?.path();
            if !known.contains(&path) {
                std::fs::remove_file(&path).map_err(io)?;
            }
        }
    }
    Ok(())
}

struct SharedTail(Arc<Shared>);

impl wal::Tail for SharedTail {
    fn take(&self, project: ProjectId, received: i64, events: Vec<SealedEvent>, bytes: usize) {
        let Ok(project) = self.0.project(project) else { return };
        let count = events.len();
        project.pending().open.extend(
            events.into_iter().enumerate().map(|(at, event)| Arrived { received: received + at as i64, event }),
        );
        let before = self.0.tail_events.fetch_add(count, Ordering::Relaxed);
        let open_bytes = self.0.open_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if before + count >= self.0.flush_events || open_bytes >= limits::FLUSH_BYTES {
            self.0.flush_wanted.notify_one();
        }
    }

    fn freeze(&self) {
        let projects: Vec<Arc<Project>> =
            self.0.projects.read().expect("never left half changed").values().cloned().collect();
        for project in projects {
            let mut pending = project.pending();
            let open = std::mem::take(&mut pending.open);
            pending.before_rotation.push(open);
        }
        self.0.frozen_bytes.fetch_add(self.0.open_bytes.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Shared {
    fn project(&self, project: ProjectId) -> Result<Arc<Project>> {
        self.projects
            .read()
            .expect("never left half changed")
            .get(&project)
            .cloned()
            .ok_or(Error::UnknownProject(project))
    }

    fn piece(&self, rows: Rows) -> Piece {
        let count = rows.len();
        let segments = rows
            .split(self.buckets)
            .into_iter()
            .enumerate()
            .filter(|(_, rows)| !rows.is_empty())
            .map(|(bucket, rows)| {
                let id = self.next_memory_id.fetch_add(1, Ordering::Relaxed);
                Arc::new(Segment::in_memory(id, bucket as u32, &rows))
            })
            .collect();
        Piece { rows: count, segments }
    }
}

impl Project {
    fn new(project: ProjectId, key: &[u8; 32]) -> Self {
        Self { key: wal::FrameKey::new(project, key), pending: Mutex::default(), shelf: Mutex::default() }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().expect("never left half changed")
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().expect("never left half changed")
    }

    /// Sorts pending events into the tail. Pieces of a like size are merged, so a tail of n events is at most
    /// log2(n) pieces and an event is moved log2(n) times at most. After a rotation of the log, all that came
    /// before it is frozen.
    fn settle(&self, shelf: &mut Shelf, shared: &Shared) {
        let Pending { before_rotation, open } = std::mem::take(&mut *self.pending());
        if !before_rotation.is_empty() {
            let tail = std::mem::take(&mut shelf.tail);
            shelf.frozen.extend(tail.into_iter().flat_map(|piece| piece.segments));
            for events in before_rotation.iter().filter(|events| !events.is_empty()) {
                shelf.frozen.extend(shared.piece(Rows::build(events)).segments);
            }
        }
        if open.is_empty() {
            return;
        }
        let mut piece = shared.piece(Rows::build(&open));
        while shelf.tail.last().is_some_and(|last| last.rows <= 2 * piece.rows) {
            let last = shelf.tail.pop().expect("it was just there");
            piece = shared.piece(merged(last.segments.iter().chain(&piece.segments)));
        }
        shelf.tail.push(piece);
    }
}

fn merged<'a>(segments: impl Iterator<Item = &'a Arc<Segment>>) -> Rows {
    let parts: Vec<Rows> = segments.map(|segment| segment.read_all().expect("in memory")).collect();
    Rows::merge(&parts.iter().collect::<Vec<_>>())
}

/// Flushes when asked to, and now and then when there is anything; ends with the lake.
async fn maintain(lake: Weak<Inner>, shared: Arc<Shared>) {
    let idle = std::time::Duration::from_secs(600);
    loop {
        // A time-out here is the idle flush, which keeps recovery short.
        let _ = tokio::time::timeout(idle, shared.flush_wanted.notified()).await;
        let Some(inner) = lake.upgrade() else { return };
        let result = async {
            inner.flush().await?;
            inner.compact().await
        };
        if let Err(error) = result.await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "could not write segments; events stay in the log"
            );
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        }
    }
}

impl Inner {
    /// 1. Rotate the log and freeze the tail at the same point. 2. Write the frozen part as segments.
    /// 3. One catalog transaction. 4. Exchange memory for files in the snapshots. 5. Cut the log.
    async fn flush(self: &Arc<Self>) -> Result<()> {
        let _one = self.maintenance.lock().await;
        if self.shared.tail_events.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        let stopped = || Error::LogUnavailable { message: "the log's writer has stopped".to_owned() };
        self.log.send(wal::Command::Rotate(done)).await.map_err(|_| stopped())?;
        let floor = answer.await.map_err(|_| stopped())??;

        let projects: Vec<(ProjectId, Arc<Project>)> = {
            let projects = self.shared.projects.read().expect("never left half changed");
            projects.iter().map(|(id, project)| (*id, project.clone())).collect()
        };
        let mut entries = Vec::new();
        let mut exchanges = Vec::new();
        for (id, project) in projects {
            let frozen = {
                let (project, shared) = (project.clone(), self.shared.clone());
                let task = tokio::task::spawn_blocking(move || {
                    let mut shelf = project.shelf();
                    project.settle(&mut shelf, &shared);
                    shelf.frozen.clone()
                });
                task.await.expect("sorting does not panic")
            };
            if frozen.is_empty() {
                continue;
            }
            let mut written = Vec::new();
            for bucket in 0..self.buckets {
                let parts: Vec<Arc<Segment>> =
                    frozen.iter().filter(|segment| segment.bucket == bucket).cloned().collect();
                if !parts.is_empty() {
                    let result = self.write_merged(id, bucket, parts).await.and_then(|entry| {
                        written.push(Arc::new(open_entry(&self.folder, &entry, &self.hot)?));
                        entries.push(entry);
                        Ok(())
                    });
                    if let Err(error) = result {
                        // A disk that is nearly full must not fill up with attempts.
                        for entry in &entries {
                            let _ = std::fs::remove_file(self.folder.join(&entry.path));
                        }
                        return Err(error);
                    }
                }
            }
            exchanges.push((project, frozen, written));
        }
        self.catalog.flushed(&entries, floor).await?;
        for (project, frozen, written) in exchanges {
            let mut shelf = project.shelf();
            shelf.frozen.retain(|segment| !frozen.iter().any(|gone| gone.id == segment.id));
            shelf.files.extend(written);
        }
        self.recount();
        self.shared.frozen_bytes.store(0, Ordering::Relaxed);
        wal::cut(&self.folder.join("wal"), floor)
    }

    /// The tail's size, from what is really there: records superseded within the tail left it uncounted.
    /// It only steers flushes, so an append that comes between may be missed until the next one.
    fn recount(&self) {
        let projects: Vec<Arc<Project>> =
            self.shared.projects.read().expect("never left half changed").values().cloned().collect();
        let mut events = 0;
        for project in projects {
            let shelf = project.shelf();
            events += shelf.tail.iter().map(|piece| piece.rows).sum::<usize>();
            events += shelf.frozen.iter().map(|segment| usize::try_from(segment.rows).unwrap_or(0)).sum::<usize>();
            let pending = project.pending();
            events += pending.open.len() + pending.before_rotation.iter().map(Vec::len).sum::<usize>();
        }
        self.shared.tail_events.store(events, Ordering::Relaxed);
    }

    /// Merges four or more segments of one project and bucket whose sizes are within a factor of four.
    async fn compact(self: &Arc<Self>) -> Result<()> {
        const LIKE_SIZED: usize = 4;
        const ROWS_MAX: u64 = 8_000_000;
        let _one = self.maintenance.lock().await;
        let projects: Vec<(ProjectId, Arc<Project>)> = {
            let projects = self.shared.projects.read().expect("never left half changed");
            projects.iter().map(|(id, project)| (*id, project.clone())).collect()
        };
        for (id, project) in projects {
            loop {
                let mut sizes: FxHashMap<(u32, u32), Vec<Arc<Segment>>> = FxHashMap::default();
                for segment in project.shelf().files.iter().filter(|segment| segment.rows < ROWS_MAX) {
                    sizes.entry((segment.bucket, segment.rows.max(1).ilog(4))).or_default().push(segment.clone());
                }
                for parts in sizes.values_mut() {
                    // The result must fit in memory like its parts did.
                    let mut rows = 0;
                    parts.retain(|part| {
                        rows += part.rows;
                        rows <= ROWS_MAX
                    });
                }
                let Some(((bucket, _), parts)) = sizes.into_iter().find(|(_, parts)| parts.len() >= LIKE_SIZED) else {
                    break;
                };
                let entry = self.write_merged(id, bucket, parts.clone()).await?;
                let segment = Arc::new(open_entry(&self.folder, &entry, &self.hot)?);
                let gone: Vec<u64> = parts.iter().map(|part| part.id).collect();
                self.catalog.replaced(&entry, &gone).await?;
                let mut shelf = project.shelf();
                shelf.files.retain(|file| !gone.contains(&file.id));
                shelf.files.push(segment);
                drop(shelf);
                parts.iter().for_each(|part| part.mark_obsolete());
            }
        }
        Ok(())
    }

    async fn write_merged(
        self: &Arc<Self>,
        project: ProjectId,
        bucket: u32,
        parts: Vec<Arc<Segment>>,
    ) -> Result<Entry> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let relative = format!("segments/p{project}/b{bucket}-{id:010}.parquet");
        let path = self.folder.join(&relative);
        let task = tokio::task::spawn_blocking(move || {
            let folder = path.parent().expect("a segment lies in a folder");
            std::fs::create_dir_all(folder).map_err(|source| Error::Io {
                what: "create a folder",
                path: folder.to_owned(),
                source,
            })?;
            let parts: Vec<Rows> = parts.iter().map(|part| part.read_all()).collect::<Result<_>>()?;
            let rows = Rows::merge(&parts.iter().collect::<Vec<_>>());
            let received_max = rows.core.received.iter().copied().max().unwrap_or(0);
            segment::write(&path, &rows).map(|written| (written, received_max))
        });
        let (written, received_max) = task.await.expect("writing a segment does not panic")?;
        Ok(Entry {
            id,
            project,
            bucket,
            rows: written.rows,
            time_us: written.time_us,
            received_max,
            bytes: written.bytes,
            crc32c: written.crc32c,
            path: relative,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cofferdam_model::{SubjectNo, Value};

    const PROJECT: ProjectId = ProjectId(3);

    async fn open(folder: &Path, flush_events: usize) -> Lake {
        let options = Options {
            folder: folder.to_owned(),
            flush_events,
            buckets: 2,
            hot_bytes_max: 1 << 20,
            clock: Arc::new(|| 1_000_000),
        };
        Lake::open(options, vec![(PROJECT, [9; 32])]).await.unwrap()
    }

    fn batch(from: i64, count: i64) -> Vec<SealedEvent> {
        (from..from + count)
            .map(|i| SealedEvent {
                name: "e".into(),
                subject: SubjectNo((i % 5) as u32),
                time_us: i,
                insert_id: i as u64 + 1,
                properties: vec![("i".into(), Value::Number(i as f64))],
            })
            .collect()
    }

    fn times(lake: &Lake) -> Vec<i64> {
        let mut times: Vec<i64> = lake
            .snapshot(PROJECT)
            .unwrap()
            .segments()
            .iter()
            .flat_map(|segment| segment.core().unwrap().time.iter().collect::<Vec<_>>())
            .collect();
        times.sort_unstable();
        times
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn events_survive_restart_flush_and_compaction() {
        let folder = tempfile::tempdir().unwrap();
        let lake = open(folder.path(), 1_000_000).await;
        lake.append(PROJECT, batch(0, 10)).await.unwrap();
        assert_eq!(times(&lake), (0..10).collect::<Vec<_>>());
        drop(lake);

        let lake = open(folder.path(), 1_000_000).await;
        assert_eq!(times(&lake), (0..10).collect::<Vec<_>>());
        for round in 1..9 {
            lake.append(PROJECT, batch(round * 10, 10)).await.unwrap();
            lake.flush().await.unwrap();
            assert_eq!(lake.tail_events(), 0);
            assert_eq!(times(&lake), (0..round * 10 + 10).collect::<Vec<_>>());
        }
        lake.inner.compact().await.unwrap();
        assert_eq!(times(&lake), (0..90).collect::<Vec<_>>());
        assert!(lake.snapshot(PROJECT).unwrap().segments().len() < 10);
        lake.append(PROJECT, batch(85, 10)).await.unwrap();
        drop(lake);

        let lake = open(folder.path(), 1_000_000).await;
        lake.flush().await.unwrap();
        let (files, wrong) = verify(folder.path()).await.unwrap();
        assert_eq!(wrong, Vec::<String>::new());
        let on_disk = std::fs::read_dir(folder.path().join("segments/p3")).unwrap().count();
        assert_eq!(files, on_disk, "replaced files are gone");
        assert_eq!(times(&lake).last(), Some(&94));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn flushes_by_itself_when_the_tail_is_large() {
        let folder = tempfile::tempdir().unwrap();
        let lake = open(folder.path(), 50).await;
        for round in 0..20 {
            lake.append(PROJECT, batch(round * 10, 10)).await.unwrap();
        }
        while lake.tail_events() >= 50 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(times(&lake), (0..200).collect::<Vec<_>>());
    }
}
