//! The synchronous core of the lake: everything it does, on the caller's thread, over a [`Disk`], by a clock that is
//! passed in. Given the same calls, clock and disk it does the same: no threads, no randomness but the nonces of the
//! log, no order that depends on a hash.
//!
//! - [`Store::append`] writes a group of batches to the log and puts their events to the *pending* ones.
//! - [`Store::snapshot`] sorts what is pending into the *tail* and answers a view of everything.
//! - [`Store::flush`] *freezes* the tail at a rotation of the log, writes it as segments, one per bucket, and
//!   commits; [`Store::compact`] rewrites segments as the policy in [`compact`](crate::compact) says.
//! - [`Store::erase`] hides subjects in everything there is and will be.
//!
//! # What is visible
//!
//! Whenever a segment enters the view, the older ones of records that are the same are hidden, in it or in
//! those that are there ([`duplicates`](crate::duplicates)). For files the hidden rows are in the manifest with the
//! next transaction; until then the log has what hid them. A snapshot holds its segments with what is hidden of
//! them: it never changes, and a file that a compaction replaced is removed once the last snapshot lets go.
//!
//! # Locks
//!
//! `flushing` and `compacting` first, then `log`, then a project's `shelf` (projects in the order of their ids), then
//! `manifest`; `pending` last. Appends take `log` and `pending` only. Writing and merging happen under `flushing` or
//! `compacting` alone; a snapshot waits at most for a piece to be sorted or for a transaction to be synced.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use cofferdam_model::{Merges, ProjectId, SealedEvent, SubjectNo, limits};
use rustc_hash::FxHashMap;

use crate::columns::{Arrived, PropertyKey, bucket_of};
use crate::compact::{self, Job, Layout, Meta, Pace, Period, Retention};
use crate::disk::Disk;
use crate::duplicates::erased_rows;
use crate::hot::HotStore;
use crate::manifest::{Entry, Hidden, Manifest, Tie, Transaction};
use crate::segment::{Plan, Segment, Source, Written, merge};
use crate::shelf::{ByBucket, Context, File, Pending, Shelf};
use crate::snapshot::Snapshot;
use crate::wal::{self, Batch, FrameKey, Log};
use crate::{Error, Options, Result};

/// The store of all projects.
pub struct Store {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    flush_events: usize,
    buckets: u32,
    merges: crate::MergesOf,
    retention: crate::RetentionOf,
    rows_weight: u64,
    clock: wal::Clock,
    hot: Arc<HotStore>,
    projects: RwLock<BTreeMap<ProjectId, Arc<Project>>>,
    log: Mutex<Log>,
    /// Taken before `log`, so that whoever waits for it comes next.
    turnstile: Mutex<()>,
    manifest: Mutex<Manifest>,
    /// One flush at a time, and one compaction; they may run side by side.
    flushing: Mutex<()>,
    compacting: Mutex<()>,
    next_file_id: AtomicU64,
    next_memory_id: AtomicU64,
    /// In the log and not yet in segments.
    tail_events: AtomicUsize,
    /// Since the log was rotated.
    open_events: AtomicUsize,
    /// Bytes of the tail in the log: after the last rotation, and before it but not yet in segments.
    open_bytes: AtomicUsize,
    frozen_bytes: AtomicUsize,
    stopping: AtomicBool,
}

/// A store's files at one moment, by their names in its folder.
pub struct Held {
    pub small: Vec<(String, Vec<u8>)>,
    /// Name, path and bytes.
    pub segments: Vec<(String, PathBuf, u64)>,
    /// Keeps the files.
    _files: Vec<Arc<Segment>>,
}

struct Project {
    id: ProjectId,
    key: FrameKey,
    /// What the log hands over.
    pending: Mutex<Pending>,
    shelf: Mutex<Shelf>,
}

/// Segment ids of the tail are far above those of files: both are ids of segments.
const MEMORY_IDS: u64 = 1 << 62;
/// Empty log files that may gather before a flush cuts them.
const LOG_FILES_MAX: u64 = 8;

impl Store {
    /// Opens the store in a folder and recovers what the log holds. `keys` has the frame key of every project.
    ///
    /// # Errors
    /// [`Error::Damaged`] names the file that does not hold what it once did.
    pub fn open(options: Options, keys: Vec<(ProjectId, [u8; 32])>) -> Result<Store> {
        let Options { folder, disk, flush_events, buckets, hot_bytes_max, clock, merges, retention, rows_weight } =
            options;
        assert!(buckets.is_power_of_two(), "buckets are a power of two");
        let log_folder = folder.join("wal");
        for path in [folder.clone(), log_folder.clone(), folder.join("segments")] {
            disk.create_folders(&path).map_err(|source| Error::Io { what: "create a folder", path, source })?;
        }
        if let Some(above) = folder.parent() {
            // Not the lake's: whoever made it may have no right to sync it, or no disk that has it.
            let _ = disk.sync_folder(above);
        }
        // Syncs the folder, and with it the names of those just made, before anything depends on them.
        let manifest = Manifest::open(disk.clone(), &folder)?;
        let contents = manifest.contents();

        let keys: BTreeMap<ProjectId, FrameKey> =
            keys.iter().map(|(project, key)| (*project, FrameKey::new(*project, key))).collect();
        let mut replayed: BTreeMap<ProjectId, Pending> = BTreeMap::new();
        let mut received_last = 0;
        let mut open_bytes = 0;
        let next = wal::replay(
            &*disk,
            &log_folder,
            contents.floor,
            |project| keys.get(&project),
            |frame| {
                open_bytes += frame.bytes;
                let pending = replayed.entry(frame.project).or_default();
                for (at, event) in frame.events.into_iter().enumerate() {
                    let received = frame.received + at as i64;
                    received_last = received_last.max(received);
                    pending.push(Arrived { received, event });
                }
            },
        )?;

        // Only now: were the manifest behind the log, its segments would not be garbage.
        let known: BTreeSet<PathBuf> =
            contents.segments.values().map(|listed| folder.join(&listed.entry.path)).collect();
        remove_unknown(&*disk, &folder.join("segments"), &known)?;
        let hot = HotStore::open(disk.clone(), folder.join("hot"), hot_bytes_max);
        hot.keep_only(|project, segment| {
            let listed = contents.segments.get(&segment);
            listed.is_some_and(|listed| format!("p{}", listed.entry.project) == project)
        });
        let mut shelves: BTreeMap<ProjectId, Shelf> = BTreeMap::new();
        for listed in contents.segments.values() {
            let entry = &listed.entry;
            received_last = received_last.max(entry.received.1);
            if keys.contains_key(&entry.project) {
                let segment = open_entry(&folder, entry, &hot)?;
                let hidden: Vec<u32> = listed.hidden.iter().copied().collect();
                let file = File::new(segment.with_hidden(hidden), listed.erased_us);
                shelves.entry(entry.project).or_default().files.push(file);
            }
        }
        let mut projects = BTreeMap::new();
        let mut tail_events = 0;
        for (id, key) in keys {
            let mut shelf = shelves.remove(&id).unwrap_or_default();
            shelf.erased = contents.erased.get(&id).cloned().unwrap_or_default();
            let pending = replayed.remove(&id).unwrap_or_default();
            tail_events += pending.len();
            let pending = Mutex::new(pending);
            projects.insert(id, Arc::new(Project { id, key, pending, shelf: Mutex::new(shelf) }));
        }
        if tail_events > 0 {
            tracing::info!(events = tail_events, "recovered events from the write-ahead log");
        }
        let next_id = contents.next_id;
        let log = Log::open(disk.clone(), log_folder, next, received_last, clock.clone())?;
        Ok(Store {
            folder,
            disk,
            flush_events,
            buckets,
            merges,
            retention,
            rows_weight,
            clock,
            hot,
            projects: RwLock::new(projects),
            log: Mutex::new(log),
            turnstile: Mutex::default(),
            manifest: Mutex::new(manifest),
            flushing: Mutex::default(),
            compacting: Mutex::default(),
            next_file_id: AtomicU64::new(next_id),
            next_memory_id: AtomicU64::new(MEMORY_IDS),
            tail_events: AtomicUsize::new(tail_events),
            open_events: AtomicUsize::new(tail_events),
            open_bytes: AtomicUsize::new(open_bytes),
            frozen_bytes: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        })
    }

    /// Makes room for a new project.
    pub fn add_project(&self, project: ProjectId, key: &[u8; 32]) {
        let mut projects = self.projects.write().expect("never left half changed");
        projects.entry(project).or_insert_with(|| {
            let key = FrameKey::new(project, key);
            Arc::new(Project { id: project, key, pending: Mutex::default(), shelf: Mutex::default() })
        });
    }

    /// Encodes and encrypts events of one project for the log. Takes no lock that an append holds.
    ///
    /// # Errors
    /// [`Error::Busy`] when too much waits to be written to segments.
    pub fn seal(&self, project: ProjectId, mut events: Vec<SealedEvent>) -> Result<Batch> {
        let bytes = self.open_bytes.load(Ordering::Relaxed) + self.frozen_bytes.load(Ordering::Relaxed);
        let tail_events = self.tail_events.load(Ordering::Relaxed);
        if bytes > limits::TAIL_BYTES_MAX || tail_events > limits::TAIL_EVENTS_MAX.max(self.flush_events) {
            return Err(Error::Busy);
        }
        for event in &mut events {
            event.insert_id = compact::unfolded(event.insert_id);
        }
        let batch = self.project(project)?.key.seal(events);
        if batch.bytes() > limits::WAL_FRAME_BYTES_MAX {
            return Err(Error::TooLarge);
        }
        Ok(batch)
    }

    /// Stores a group of batches with one sync. Once this returns `Ok` all their events are on disk and in every
    /// later snapshot.
    ///
    /// # Errors
    /// No batch is acknowledged. After a failed sync some may be found in the log at the next start, whole.
    pub fn append(&self, group: Vec<Batch>) -> Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        let mut log = self.log();
        let mut received = log.commit(&group)?;
        for batch in group {
            let (count, bytes) = (batch.events.len(), batch.bytes());
            if let Ok(project) = self.project(batch.project) {
                let mut pending = project.pending();
                for (at, event) in batch.events.into_iter().enumerate() {
                    pending.push(Arrived { received: received + at as i64, event });
                }
            }
            received += count as i64;
            self.tail_events.fetch_add(count, Ordering::Relaxed);
            self.open_events.fetch_add(count, Ordering::Relaxed);
            self.open_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Everything acknowledged so far.
    pub fn snapshot(&self, project: ProjectId) -> Result<Snapshot> {
        let project = self.project(project)?;
        let mut shelf = project.shelf();
        self.settle(&project, &mut shelf)?;
        Ok(Snapshot::new(shelf.segments().cloned().collect(), self.buckets))
    }

    /// Sorts events that no snapshot has asked for yet, so that the next one need not, where that is worth it.
    pub fn settle_pending(&self) -> Result<()> {
        for project in self.all() {
            if project.pending().len() >= limits::TAIL_PIECE_EVENTS {
                self.settle(&project, &mut project.shelf())?;
            }
        }
        Ok(())
    }

    /// Whether some project has as many unsorted events as make a piece of the tail.
    pub fn wants_settling(&self) -> bool {
        self.all().iter().any(|project| project.pending().len() >= limits::TAIL_PIECE_EVENTS)
    }

    /// Whether the tail is large enough to be flushed.
    pub fn wants_flush(&self) -> bool {
        self.open_events.load(Ordering::Relaxed) >= self.flush_events
            || self.open_bytes.load(Ordering::Relaxed) >= limits::FLUSH_BYTES
    }

    /// Events that are durable in the log and not yet in segment files.
    pub fn tail_events(&self) -> usize {
        self.tail_events.load(Ordering::Relaxed)
    }

    /// Makes a running compaction return before its next job.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Writes the tail of every project to segment files.
    ///
    /// 1. Rotate the log and freeze what came before. 2. Write the frozen part. 3. One transaction. 4. Exchange memory
    ///    for files in the view. 5. Cut the log.
    ///
    /// # Errors
    /// The events stay where they are, in the log and in every snapshot; a later flush takes them along.
    pub fn flush(&self) -> Result<()> {
        let _one = self.flushing.lock().expect("never left half changed");
        let log_files = self.log().number().saturating_sub(self.manifest().contents().floor);
        if self.tail_events() == 0 && log_files < LOG_FILES_MAX {
            return Ok(());
        }
        self.manifest().ready()?;
        let floor = {
            let mut log = self.log();
            let floor = log.rotate()?;
            for project in self.all() {
                project.pending().freeze();
            }
            self.open_events.store(0, Ordering::Relaxed);
            self.frozen_bytes.fetch_add(self.open_bytes.swap(0, Ordering::Relaxed), Ordering::Relaxed);
            floor
        };
        let mut written = Vec::new();
        let result = self.flush_frozen(floor, &mut written);
        self.remove_unless_unknown(&result, &written);
        result?;
        self.recount();
        self.frozen_bytes.store(0, Ordering::Relaxed);
        Log::cut(&*self.disk, &self.folder.join("wal"), floor)
    }

    fn flush_frozen(&self, floor: u64, written: &mut Vec<PathBuf>) -> Result<()> {
        let projects = self.all();
        let mut flushed: Vec<(BTreeSet<u64>, Outputs)> = Vec::new();
        for project in &projects {
            let (frozen, erased, mut joined) = {
                let mut shelf = project.shelf();
                self.settle(project, &mut shelf)?;
                (shelf.frozen.clone(), shelf.erased.clone(), shelf.file_ids())
            };
            let frozen_ids: BTreeSet<u64> = frozen.iter().map(|segment| segment.id).collect();
            joined.extend(&frozen_ids);
            let mut outputs = Outputs::default();
            if !frozen.is_empty() {
                let plan = ByBucket { buckets: self.buckets, erased: &erased };
                outputs = self.write(project, &frozen, &plan, &|output| output as u32, written)?;
                outputs.joined = joined;
                self.join(project, &mut outputs)?;
            }
            flushed.push((frozen_ids, outputs));
        }
        let mut shelves: Vec<MutexGuard<'_, Shelf>> = projects.iter().map(|project| project.shelf()).collect();
        let next_id = self.next_file_id.load(Ordering::Relaxed);
        let mut transaction = Transaction { floor: Some(floor), next_id, ..Transaction::default() };
        for ((project, (_, outputs)), shelf) in projects.iter().zip(&mut flushed).zip(&shelves) {
            self.join_last(project, shelf, outputs)?;
            outputs.describe(&mut transaction, self.now_us());
            transaction.hidden.extend(shelf.files.iter().filter_map(File::unwritten_hidden));
        }
        self.manifest().commit(&transaction)?;
        for ((frozen, outputs), shelf) in flushed.into_iter().zip(&mut shelves) {
            shelf.files.iter_mut().for_each(File::hidden_is_written);
            shelf.frozen.retain(|segment| !frozen.contains(&segment.id));
            shelf.files.extend(outputs.into_files(self.now_us()));
        }
        Ok(())
    }

    /// Rewrites segments as the policy says until there is nothing to do. Queries do not wait for it, and see the
    /// same before and after.
    pub fn compact(&self, now_us: i64, pace: Pace) -> Result<()> {
        for project in self.all() {
            // The policy ends by itself; this is for the one that does not.
            for _ in 0..1_000 {
                let _one = self.compacting.lock().expect("never left half changed");
                let retention = (self.retention)(project.id);
                let files: Vec<_> = project.shelf().files.iter().map(File::known).collect();
                let look = |(segment, erased_us): &(Arc<Segment>, Option<i64>)| {
                    crate::shelf::meta(segment, *erased_us, &retention, now_us, pace).weighed(self.rows_weight)
                };
                let segments: Vec<Meta> = files.iter().map(look).collect();
                drop(files);
                let jobs = compact::plan(&segments, &retention, now_us, pace);
                if jobs.is_empty() {
                    break;
                }
                self.manifest().ready()?;
                for job in jobs {
                    if self.stopping.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    let mut written = Vec::new();
                    let result = self.run(&project, job, &retention, now_us, &mut written);
                    self.remove_unless_unknown(&result, &written);
                    result?;
                }
            }
        }
        Ok(())
    }

    fn run(
        &self,
        project: &Project,
        job: Job,
        retention: &Retention,
        now_us: i64,
        written: &mut Vec<PathBuf>,
    ) -> Result<()> {
        let (ids, mut outputs) = match job {
            Job::Drop(ids) => (ids, Outputs::default()),
            Job::Rewrite { bucket, sources, layout } => {
                let (parts, erased, joined) = {
                    let shelf = project.shelf();
                    let parts: Vec<Arc<Segment>> = shelf
                        .files
                        .iter()
                        .filter(|file| sources.contains(&file.segment.id))
                        .map(|file| file.segment.clone())
                        .collect();
                    (parts, shelf.erased.clone(), shelf.file_ids())
                };
                let periods = match layout {
                    Layout::Together => Vec::new(),
                    Layout::Split => own_periods(&parts, now_us, self.rows_weight)?,
                };
                let plan = Rewriting {
                    bucket,
                    buckets: self.buckets,
                    periods,
                    merges: (self.merges)(project.id),
                    erased,
                    from_us: retention.events_from_us(now_us).unwrap_or(i64::MIN),
                    latest_us: parts.iter().map(|part| part.time_us.1).max().unwrap_or(i64::MAX),
                    retention,
                    now_us,
                };
                let bucket_of_output = |output: usize| plan.bucket_of_output(output);
                let mut outputs = self.write(project, &parts, &plan, &bucket_of_output, written)?;
                outputs.joined = joined;
                self.join(project, &mut outputs)?;
                (sources, outputs)
            }
        };
        let mut shelf = project.shelf();
        self.join_last(project, &shelf, &mut outputs)?;
        let mut transaction = Transaction {
            removed: ids.clone(),
            next_id: self.next_file_id.load(Ordering::Relaxed),
            ..Transaction::default()
        };
        outputs.describe(&mut transaction, now_us);
        let mut manifest = self.manifest();
        let known = manifest.contents().folded.get(&project.id);
        outputs.folded.retain(|tie| !known.is_some_and(|known| known.contains(tie)));
        if !outputs.folded.is_empty() {
            transaction.folded.push((project.id, outputs.folded.iter().copied().collect()));
        }
        manifest.commit(&transaction)?;
        drop(manifest);
        let (gone, kept) =
            std::mem::take(&mut shelf.files).into_iter().partition(|file| ids.contains(&file.segment.id));
        shelf.files = kept;
        shelf.files.extend(outputs.into_files(now_us));
        drop(shelf);
        let gone: Vec<File> = gone;
        gone.iter().for_each(|file| file.segment.mark_obsolete());
        Ok(())
    }

    /// Erases subjects: once this returns, no later snapshot has a row of theirs, whenever it arrives. Their rows
    /// are physically gone after the next flush and compaction, [`limits::ERASE_WITHIN_SECONDS`] at most.
    ///
    /// A person is all subjects that were merged: pass all of them.
    pub fn erase(&self, project: ProjectId, subjects: &[SubjectNo]) -> Result<()> {
        let project = self.project(project)?;
        let new: BTreeSet<SubjectNo> = subjects.iter().copied().collect();
        // What takes long, first without the lock.
        let present: Vec<Arc<Segment>> = project.shelf().segments().cloned().collect();
        let mut found: FxHashMap<u64, Vec<u32>> = FxHashMap::default();
        for segment in present {
            found.insert(segment.id, erased_rows(&segment, &new)?);
        }
        let mut shelf = project.shelf();
        let mut transaction = Transaction::default();
        for segment in shelf.segments() {
            if let std::collections::hash_map::Entry::Vacant(missing) = found.entry(segment.id) {
                missing.insert(erased_rows(segment, &new)?);
            }
        }
        let now_us = self.now_us();
        for file in &shelf.files {
            let rows = &found[&file.segment.id];
            if !rows.is_empty() {
                let hidden = Hidden { segment: file.segment.id, erased_us: Some(now_us), rows: rows.clone() };
                transaction.hidden.push(hidden);
            }
        }
        transaction.erased.push((project.id, new.iter().copied().collect()));
        self.manifest().commit(&transaction)?;
        shelf.erased.extend(new);
        shelf.hide_erased(&found, now_us);
        Ok(())
    }

    /// Runs something while no row moves from one subject to another, and tells it which have: subjects some of whose
    /// rows are stored under another subject of their person, with that other. Those cannot be told apart any more.
    ///
    /// Waits for a compaction that is under way.
    pub fn while_nothing_folds<T>(&self, project: ProjectId, act: impl FnOnce(&BTreeSet<Tie>) -> T) -> Result<T> {
        let _no_compaction = self.compacting.lock().expect("never left half changed");
        let folded = {
            let manifest = self.manifest();
            manifest.ready()?;
            manifest.contents().folded.get(&project).cloned().unwrap_or_default()
        };
        Ok(act(&folded))
    }

    /// Everything a backup has to copy, as it is at one moment. Segments stay where they are while this is held; the
    /// rest, small after a flush, is in memory.
    pub fn hold(&self) -> Result<Held> {
        self.flush()?;
        let _no_flush = self.flushing.lock().expect("never left half changed");
        let _no_compaction = self.compacting.lock().expect("never left half changed");
        let log = self.log();
        let projects = self.all();
        let shelves: Vec<MutexGuard<'_, Shelf>> = projects.iter().map(|project| project.shelf()).collect();
        let manifest = self.manifest();
        manifest.ready()?;
        let read = |name: String| {
            let path = self.folder.join(&name);
            match self.disk.read(&path) {
                Ok(bytes) => Ok((name, bytes.to_vec())),
                Err(source) => Err(Error::Io { what: "read a file for a backup", path, source }),
            }
        };
        let contents = manifest.contents();
        let mut small = vec![read("manifest".to_owned())?];
        for number in contents.floor..=log.number() {
            small.push(read(format!("wal/{}", wal::file_name(number)))?);
        }
        let segments = contents
            .segments
            .values()
            .map(|listed| (listed.entry.path.clone(), self.folder.join(&listed.entry.path), listed.entry.bytes))
            .collect();
        let _files = shelves.iter().flat_map(|shelf| shelf.files.iter().map(|file| file.segment.clone())).collect();
        Ok(Held { small, segments, _files })
    }

    /// Checks every file of a store that is not open: answers the number of segments and what is wrong, by file.
    pub fn verify(disk: &dyn Disk, folder: &Path) -> Result<(usize, Vec<String>)> {
        let contents = Manifest::load(disk, folder)?;
        let mut wrong = wal::verify(disk, &folder.join("wal"), contents.floor)?;
        for listed in contents.segments.values() {
            let path = &listed.entry.path;
            match disk.read(&folder.join(path)) {
                Ok(bytes) if crc32c::crc32c(&bytes) == listed.entry.crc32c => {}
                Ok(_) => wrong.push(format!("{path}: checksum differs from the manifest's")),
                Err(error) => wrong.push(format!("{path}: {error}")),
            }
        }
        Ok((contents.segments.len(), wrong))
    }

    /// Segment files of a project.
    pub fn files(&self, project: ProjectId) -> Result<usize> {
        Ok(self.project(project)?.shelf().files.len())
    }

    fn settle(&self, project: &Project, shelf: &mut Shelf) -> Result<()> {
        let pending = project.pending().take();
        let merges = (self.merges)(project.id);
        shelf.settle(pending, &Context { buckets: self.buckets, merges: &merges, next_id: &self.next_memory_id })
    }

    /// Merges segments into files, which no transaction names yet.
    fn write(
        &self,
        project: &Project,
        parts: &[Arc<Segment>],
        plan: &dyn Plan,
        bucket: &dyn Fn(usize) -> u32,
        written: &mut Vec<PathBuf>,
    ) -> Result<Outputs> {
        let folder = format!("segments/p{}", project.id);
        let path = self.folder.join(&folder);
        self.disk
            .create_folders(&path)
            .and_then(|()| self.disk.sync_folder(&self.folder.join("segments")))
            .map_err(|source| Error::Io { what: "create a folder", path, source })?;
        let first = self.next_file_id.fetch_add(plan.outputs() as u64, Ordering::Relaxed);
        let name = |output: usize| format!("{folder}/b{}-{:010}.parquet", bucket(output), first + output as u64);
        written.extend((0..plan.outputs()).map(|output| self.folder.join(name(output))));
        let sources: Vec<Source<'_>> =
            parts.iter().map(|segment| Source { segment, hidden: segment.hidden() }).collect();
        let outputs =
            merge(&self.hot, &sources, plan, &|output| (self.folder.join(name(output)), first + output as u64))?;
        let mut made = Outputs::default();
        for (output, one) in outputs {
            let Written { bytes, crc32c, rows, time_us, received, folded } = one;
            made.folded.extend(folded);
            let id = first + output as u64;
            let (bucket, path) = (bucket(output), name(output));
            let entry = Entry { id, project: project.id, bucket, rows, time_us, received, bytes, crc32c, path };
            made.files.push(Output {
                segment: open_entry(&self.folder, &entry, &self.hot)?,
                entry,
                superseded: BTreeSet::new(),
                erased: Vec::new(),
            });
        }
        Ok(made)
    }

    /// Finds what newer segments supersede in new files, as far as that can be done before the lock is taken for good.
    fn join(&self, project: &Project, outputs: &mut Outputs) -> Result<()> {
        let present: Vec<Arc<Segment>> = project.shelf().segments().cloned().collect();
        self.join_segments(project, present.iter(), outputs)
    }

    /// The rest of it, under the lock: what came since, and erased subjects.
    fn join_last(&self, project: &Project, shelf: &Shelf, outputs: &mut Outputs) -> Result<()> {
        self.join_segments(project, shelf.segments(), outputs)?;
        for output in &mut outputs.files {
            output.erased = erased_rows(&output.segment, &shelf.erased)?;
        }
        Ok(())
    }

    fn join_segments<'a>(
        &self,
        project: &Project,
        present: impl Iterator<Item = &'a Arc<Segment>>,
        outputs: &mut Outputs,
    ) -> Result<()> {
        let merges = (self.merges)(project.id);
        for segment in present {
            if !outputs.files.is_empty() && outputs.joined.insert(segment.id) {
                for output in &mut outputs.files {
                    let found = crate::duplicates::superseded(segment, &output.segment, &merges, self.buckets)?;
                    output.superseded.extend(found.of_present);
                }
            }
        }
        Ok(())
    }

    /// A disk that is nearly full must not fill up with attempts. Files that a transaction may name stay.
    fn remove_unless_unknown(&self, result: &Result<()>, written: &[PathBuf]) {
        if let Err(error) = result
            && !matches!(error, Error::ManifestUnavailable { .. })
        {
            for path in written {
                // Most were never made; the next start removes what stays.
                let _ = self.disk.remove(path);
            }
        }
    }

    /// The tail's size, from what is really there: records superseded within the tail left it uncounted.
    /// It only steers flushes, so an append that comes between may be missed until the next one.
    fn recount(&self) {
        let events = self.all().iter().map(|project| project.shelf().memory_rows() + project.pending().len()).sum();
        self.tail_events.store(events, Ordering::Relaxed);
    }

    fn project(&self, project: ProjectId) -> Result<Arc<Project>> {
        let projects = self.projects.read().expect("never left half changed");
        projects.get(&project).cloned().ok_or(Error::UnknownProject(project))
    }

    fn all(&self) -> Vec<Arc<Project>> {
        self.projects.read().expect("never left half changed").values().cloned().collect()
    }

    /// What the clock says, µs UTC.
    pub fn now_us(&self) -> i64 {
        (self.clock)()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        let _next = self.turnstile.lock().expect("nothing happens under it");
        self.log.lock().expect("never left half changed")
    }

    fn manifest(&self) -> MutexGuard<'_, Manifest> {
        self.manifest.lock().expect("never left half changed")
    }
}

impl Project {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().expect("never left half changed")
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().expect("never left half changed")
    }
}

/// Files that are written and not yet in the view.
#[derive(Default)]
struct Outputs {
    files: Vec<Output>,
    /// Segments that need not be compared with them: older ones, what they were made from, what was compared.
    joined: BTreeSet<u64>,
    /// Subjects whose rows are in them under another.
    folded: BTreeSet<Tie>,
}

struct Output {
    entry: Entry,
    segment: Segment,
    superseded: BTreeSet<u32>,
    erased: Vec<u32>,
}

impl Outputs {
    fn describe(&self, transaction: &mut Transaction, now_us: i64) {
        for output in &self.files {
            let segment = output.entry.id;
            transaction.added.push(output.entry.clone());
            for (erased_us, rows) in
                [(None, output.superseded.iter().copied().collect()), (Some(now_us), output.erased.clone())]
            {
                if !Vec::is_empty(&rows) {
                    transaction.hidden.push(Hidden { segment, erased_us, rows });
                }
            }
        }
    }

    fn into_files(self, now_us: i64) -> impl Iterator<Item = File> {
        self.files.into_iter().map(move |output| {
            let mut hidden = output.superseded;
            hidden.extend(&output.erased);
            let erased_us = (!output.erased.is_empty()).then_some(now_us);
            File::new(output.segment.with_hidden(hidden.into_iter().collect()), erased_us)
        })
    }
}

/// How a compaction lays out what is left of its sources: first a segment per period, then one for other times, then
/// one per bucket for rows whose person lives there.
struct Rewriting<'a> {
    bucket: u32,
    buckets: u32,
    /// Ascending.
    periods: Vec<Period>,
    merges: Arc<Merges>,
    erased: BTreeSet<SubjectNo>,
    from_us: i64,
    /// The last event time of the sources.
    latest_us: i64,
    retention: &'a Retention,
    now_us: i64,
}

impl Rewriting<'_> {
    fn bucket_of_output(&self, output: usize) -> u32 {
        output.checked_sub(self.periods.len() + 1).map_or(self.bucket, |bucket| bucket as u32)
    }
}

impl Plan for Rewriting<'_> {
    fn outputs(&self) -> usize {
        let anybody_moves = self.merges.groups().next().is_some();
        self.periods.len() + 1 + if anybody_moves { self.buckets as usize } else { 0 }
    }

    fn place(&self, subject: SubjectNo, time_us: i64) -> Option<(usize, SubjectNo)> {
        if time_us < self.from_us || self.erased.contains(&subject) {
            return None;
        }
        let mut person = self.merges.canonical(subject);
        if self.erased.contains(&person) {
            // Somebody else's erasure does not take this row along.
            person = subject;
        }
        let bucket = bucket_of(person, self.buckets);
        if bucket != self.bucket {
            return Some((self.periods.len() + 1 + bucket as usize, person));
        }
        let after = self.periods.partition_point(|period| period.start_us <= time_us);
        let own = after.checked_sub(1).filter(|index| time_us < self.periods[*index].end_us);
        Some((own.unwrap_or(self.periods.len()), person))
    }

    fn folded_insert_id(&self, from: SubjectNo, insert_id: u64) -> u64 {
        compact::folded_insert_id(insert_id, from)
    }

    fn keeps_column(&self, key: &PropertyKey) -> bool {
        self.latest_us >= self.values_from_us(key)
    }

    fn values_from_us(&self, key: &PropertyKey) -> i64 {
        self.retention.values_from_us(&key.name, self.now_us)
    }
}

/// The periods that get segments of their own when these are split.
fn own_periods(parts: &[Arc<Segment>], now_us: i64, rows_weight: u64) -> Result<Vec<Period>> {
    let mut rows: BTreeMap<Period, u64> = BTreeMap::new();
    for part in parts {
        let core = part.core()?;
        // Neighbours are mostly of one period.
        let mut last: Option<(Period, u64)> = None;
        for time_us in core.time.iter() {
            match &mut last {
                Some((period, count)) if (period.start_us..period.end_us).contains(&time_us) => *count += 1,
                _ => {
                    if let Some((period, count)) = last.replace((Period::of(time_us, now_us), 1)) {
                        *rows.entry(period).or_default() += count;
                    }
                }
            }
        }
        if let Some((period, count)) = last {
            *rows.entry(period).or_default() += count;
        }
    }
    rows.values_mut().for_each(|rows| *rows *= rows_weight);
    Ok(compact::own_segments(&rows).into_iter().collect())
}

fn open_entry(folder: &Path, entry: &Entry, hot: &Arc<HotStore>) -> Result<Segment> {
    let path = folder.join(&entry.path);
    let bytes = hot.disk.len(&path).map_err(|source| Error::Io {
        what: "open a segment of the manifest",
        path: path.clone(),
        source,
    })?;
    if bytes != entry.bytes {
        return Err(Error::Damaged { path, what: format!("{bytes} bytes where the manifest says {}", entry.bytes) });
    }
    Segment::open(entry.id, entry.bucket, entry.rows, entry.time_us, entry.crc32c, path, hot.clone())
}

/// Removes what a crash left between writing a file and its transaction.
fn remove_unknown(disk: &dyn Disk, folder: &Path, known: &BTreeSet<PathBuf>) -> Result<()> {
    let io = |source| Error::Io { what: "clear the segments' folder", path: folder.to_owned(), source };
    let mut projects = disk.list(folder).map_err(io)?;
    projects.sort_unstable();
    for project in projects {
        let project = folder.join(project);
        let mut names = disk.list(&project).map_err(io)?;
        names.sort_unstable();
        for path in names.into_iter().map(|name| project.join(name)).filter(|path| !known.contains(path)) {
            disk.remove(&path).map_err(io)?;
        }
    }
    Ok(())
}
