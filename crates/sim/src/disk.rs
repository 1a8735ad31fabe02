//! A disk in memory that loses what a real one may lose, from one seed.
//!
//! What it promises is what `cofferdam_lake::disk` asks for and no more:
//! - Bytes are durable once their file was synced. Until then a power failure keeps any prefix of the writes, the
//!   last one possibly torn at any byte, with sectors of zeros or garbage in it.
//! - A name (made, moved or removed) is durable once its folder was synced. Until then a power failure keeps a
//!   prefix of the folder's changes, or any of them; a rename is kept whole or not at all.
//! - Bytes that were durable stay as they are; torn sectors do not reach into them.
//! - A sync that fails has written nobody knows what, and a later one does not try it again: the page cache still
//!   shows the bytes, as on Linux.
//! - A crash of the process alone loses nothing that was handed to the disk.
//!
//! Whether an operation fails is determined by the seed, the operation, the path and how often it was done there:
//! threads that read different files in another order meet the same faults.
//!
//! It does not lie: a sync that succeeds was done ([`SimDisk::ignore_syncs`] is the test's way to break that).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use cofferdam_lake::disk::{Disk, DiskFile};

use crate::rng::Rng;

/// What a power failure may tear: disks write this much at once.
const SECTOR_BYTES: usize = 512;

/// Chances of failure, in a thousand operations of a kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub write_permille: u32,
    pub sync_permille: u32,
    pub read_permille: u32,
    /// Making, moving, removing and listing names, and syncing folders.
    pub name_permille: u32,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// `kill -9`: what the disk was given, it has.
    Process,
    /// What was not synced is lost, kept or torn.
    Power,
}

/// One boot's view of the disk. Clones share it; views of earlier boots fail.
#[derive(Clone)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
    boot: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Folder,
    File(usize),
}

type Names = BTreeMap<PathBuf, Node>;

/// A change of a folder that is not durable yet.
#[derive(Clone, Debug)]
enum NameChange {
    Make(PathBuf, Node),
    Move { from: PathBuf, to: PathBuf, node: Node },
    Remove(PathBuf),
}

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Cut(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { at, bytes } => put(content, *at, bytes),
            Change::Cut(len) => content.resize(*len, 0),
        }
    }
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

#[derive(Clone, Default)]
struct Content {
    /// What readers see.
    now: Vec<u8>,
    /// What is left for sure after a power failure.
    durable: Vec<u8>,
    /// From `durable` on, in the order of writes.
    pending: Vec<Change>,
}

struct World {
    seed: u64,
    boot: u64,
    files: Vec<Content>,
    now: Names,
    durable: Names,
    pending: BTreeMap<PathBuf, Vec<NameChange>>,
    faults: Faults,
    /// How often each operation was done on each path.
    turns: BTreeMap<(&'static str, PathBuf), u64>,
    bytes_free: Option<u64>,
    operations: u64,
    crash_at: Option<u64>,
    crashed: bool,
    quiet: bool,
    ignored_syncs: Option<String>,
    trace: u64,
    /// The operations in words, when somebody reads them.
    words: Option<String>,
    failures: u64,
}

/// What an operation may do.
enum Go {
    On,
    /// The crash comes now: do it, or not, and answer an error either way.
    LastWords {
        done: bool,
    },
}

fn eio() -> io::Error {
    io::Error::other("input/output error (simulated)")
}

fn gone() -> io::Error {
    io::Error::other("the machine has crashed (simulated)")
}

fn full() -> io::Error {
    io::Error::new(ErrorKind::StorageFull, "no space left on device (simulated)")
}

fn not_found() -> io::Error {
    io::Error::new(ErrorKind::NotFound, "no such file or folder (simulated)")
}

impl SimDisk {
    pub fn new(seed: u64) -> SimDisk {
        SimDisk { world: Arc::new(Mutex::new(World::empty(seed))), boot: 0 }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no operation of the disk panics")
    }

    pub fn set_faults(&self, faults: Faults) {
        self.world().faults = faults;
    }

    /// The disk has room for so many bytes more; `None` is a large disk.
    pub fn set_bytes_free(&self, bytes: Option<u64>) {
        self.world().bytes_free = bytes;
    }

    /// The machine stops at the `operations`-th operation from now, 1 being the next.
    pub fn crash_after(&self, operations: Option<u64>) {
        let mut world = self.world();
        world.crash_at = operations.map(|operations| world.operations + operations);
    }

    pub fn has_crashed(&self) -> bool {
        self.world().crashed
    }

    /// Operations until now, and how many of them were made to fail.
    pub fn operations(&self) -> (u64, u64) {
        let world = self.world();
        (world.operations, world.failures)
    }

    /// While quiet, nothing fails, crashes or counts: for those who check.
    pub fn set_quiet(&self, quiet: bool) {
        self.world().quiet = quiet;
    }

    /// Breaks the disk's promise for files whose path contains `part`: a sync answers and does nothing.
    pub fn ignore_syncs(&self, part: &str) {
        self.world().ignored_syncs = Some(part.to_owned());
    }

    /// A number that two runs share exactly when they did the same operations with the same outcomes.
    pub fn trace(&self) -> u64 {
        self.world().trace
    }

    /// Keeps the operations in words from now on.
    pub fn keep_words(&self) {
        self.world().words.get_or_insert_default();
    }

    /// The operations in words since they were last taken.
    pub fn take_words(&self) -> String {
        self.world().words.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The disk after a crash and a restart. Views of before fail from now on.
    pub fn restart(&self, crash: Crash) -> SimDisk {
        let mut world = self.world();
        world.boot += 1;
        world.crashed = false;
        world.crash_at = None;
        let boot = world.boot;
        world.note("restart", Path::new(""), boot, &format!("{crash:?}"));
        if crash == Crash::Power {
            world.lose_power();
        }
        drop(world);
        SimDisk { world: self.world.clone(), boot }
    }

    /// Every file, with its bytes.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let world = self.world();
        world
            .now
            .iter()
            .filter_map(|(path, node)| match node {
                Node::File(file) => Some((path.clone(), world.files[*file].now.len() as u64)),
                Node::Folder => None,
            })
            .collect()
    }

    /// Changes bits of one byte of a file, durably. The same again takes it back.
    pub fn flip(&self, path: &Path, at: u64, mask: u8) {
        let mut world = self.world();
        let Some(Node::File(file)) = world.now.get(path).copied() else { return };
        let content = &mut world.files[file];
        for bytes in [&mut content.now, &mut content.durable] {
            if let Some(byte) = usize::try_from(at).ok().and_then(|at| bytes.get_mut(at)) {
                *byte ^= mask;
            }
        }
    }

    /// Removes every file with this extension, durably.
    pub fn remove_all(&self, extension: &str) {
        let mut world = self.world();
        let stays = |path: &PathBuf| path.extension().is_none_or(|other| other != extension);
        world.now.retain(|path, _| stays(path));
        world.durable.retain(|path, _| stays(path));
    }

    /// Puts a durable file there, as if it had always been: for those who bring bytes of their own.
    pub fn plant(&self, path: &Path, bytes: &[u8]) {
        let mut world = self.world();
        for folder in path.ancestors().skip(1) {
            world.now.insert(folder.to_owned(), Node::Folder);
            world.durable.insert(folder.to_owned(), Node::Folder);
        }
        let file = world.files.len();
        world.files.push(Content { now: bytes.to_vec(), durable: bytes.to_vec(), pending: Vec::new() });
        world.now.insert(path.to_owned(), Node::File(file));
        world.durable.insert(path.to_owned(), Node::File(file));
    }

    /// A disk of its own with the same content, pending and durable, and no faults.
    pub fn copy(&self) -> SimDisk {
        let world = self.world();
        let copy = World {
            files: world.files.clone(),
            now: world.now.clone(),
            durable: world.durable.clone(),
            pending: world.pending.clone(),
            ..World::empty(world.seed)
        };
        SimDisk { world: Arc::new(Mutex::new(copy)), boot: 0 }
    }

    fn entered(&self, what: &'static str, path: &Path, detail: u64) -> io::Result<(MutexGuard<'_, World>, Go)> {
        let mut world = self.world();
        let go = world.enter(self.boot, what, path, detail)?;
        Ok((world, go))
    }
}

impl World {
    fn empty(seed: u64) -> World {
        World {
            seed,
            boot: 0,
            files: Vec::new(),
            now: Names::new(),
            durable: Names::new(),
            pending: BTreeMap::new(),
            faults: Faults::default(),
            turns: BTreeMap::new(),
            bytes_free: None,
            operations: 0,
            crash_at: None,
            crashed: false,
            quiet: false,
            ignored_syncs: None,
            trace: 0xcbf2_9ce4_8422_2325,
            words: None,
            failures: 0,
        }
    }

    fn note(&mut self, what: &str, path: &Path, detail: u64, outcome: &str) {
        if self.quiet {
            return;
        }
        let path = path.to_string_lossy();
        let mut hash = self.trace;
        for byte in what.bytes().chain(path.bytes()).chain(detail.to_le_bytes()).chain(outcome.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        self.trace = hash;
        let operations = self.operations;
        if let Some(words) = &mut self.words {
            writeln!(words, "    {operations:>6} {what} {path} {detail} {outcome}").expect("a string takes anything");
        }
    }

    /// Counts an operation, and decides whether it happens.
    fn enter(&mut self, boot: u64, what: &'static str, path: &Path, detail: u64) -> io::Result<Go> {
        if self.crashed || boot != self.boot {
            return Err(gone());
        }
        if self.quiet {
            return Ok(Go::On);
        }
        self.operations += 1;
        let turn = self.turns.entry((what, path.to_owned())).or_default();
        *turn += 1;
        let name = [what.as_bytes(), path.as_os_str().as_encoded_bytes()].concat();
        let mut rng = Rng::of(self.seed, &name, *turn);
        if self.crash_at.is_some_and(|at| at <= self.operations) {
            self.crashed = true;
            let done = rng.chance(500);
            self.note(what, path, detail, if done { "crashed after" } else { "crashed before" });
            return Ok(Go::LastWords { done });
        }
        let permille = match what {
            "write" => self.faults.write_permille,
            "sync" | "truncate" => self.faults.sync_permille,
            "read" => self.faults.read_permille,
            _ => self.faults.name_permille,
        };
        let fails = rng.chance(permille);
        self.failures += u64::from(fails);
        self.note(what, path, detail, if fails { "failed" } else { "done" });
        if !fails {
            return Ok(Go::On);
        }
        if matches!(what, "sync" | "truncate")
            && let Some(Node::File(file)) = self.now.get(path).copied()
        {
            // Nobody knows what was written, and nobody will try again.
            let content = &mut self.files[file];
            content.durable = survives(content, &mut rng);
            content.pending.clear();
        }
        Err(eio())
    }

    fn folder_exists(&self, path: &Path) -> bool {
        path.as_os_str().is_empty() || path == Path::new("/") || self.now.get(path) == Some(&Node::Folder)
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.now.get(path) {
            Some(Node::File(file)) => Ok(*file),
            Some(Node::Folder) => Err(io::Error::new(ErrorKind::IsADirectory, "is a folder (simulated)")),
            None => Err(not_found()),
        }
    }

    fn change_name(&mut self, folder: &Path, change: NameChange) {
        change.apply(&mut self.now);
        self.pending.entry(folder.to_owned()).or_default().push(change);
    }

    fn change(&mut self, file: usize, change: Change) {
        let content = &mut self.files[file];
        change.apply(&mut content.now);
        content.pending.push(change);
    }

    fn sync(&mut self, file: usize) {
        let content = &mut self.files[file];
        for change in std::mem::take(&mut content.pending) {
            change.apply(&mut content.durable);
        }
    }

    fn sync_names(&mut self, folder: &Path) {
        for change in self.pending.remove(folder).unwrap_or_default() {
            change.apply(&mut self.durable);
        }
    }

    fn lose_power(&mut self) {
        let (seed, boot) = (self.seed, self.boot);
        for (folder, changes) in std::mem::take(&mut self.pending) {
            let mut rng = Rng::of(seed, folder.as_os_str().as_encoded_bytes(), boot);
            // A journal keeps a prefix; what POSIX allows is any of them.
            let in_order = rng.chance(700);
            let kept = rng.index(changes.len() + 1);
            for (at, change) in changes.into_iter().enumerate() {
                if if in_order { at < kept } else { rng.chance(500) } {
                    change.apply(&mut self.durable);
                }
            }
        }
        let mut lost: BTreeSet<PathBuf> = BTreeSet::new();
        // Ancestors sort before what is in them.
        for path in self.durable.keys() {
            let parent = path.parent().unwrap_or(Path::new(""));
            let there = parent.as_os_str().is_empty()
                || parent == Path::new("/")
                || self.durable.get(parent) == Some(&Node::Folder) && !lost.contains(parent);
            if !there {
                lost.insert(path.clone());
            }
        }
        self.durable.retain(|path, _| !lost.contains(path));
        self.now = self.durable.clone();
        for (path, node) in &self.now {
            if let Node::File(file) = node {
                let content = &mut self.files[*file];
                let mut rng = Rng::of(seed ^ 0x5eed, path.as_os_str().as_encoded_bytes(), boot);
                content.now = survives(content, &mut rng);
                content.durable = content.now.clone();
                content.pending.clear();
            }
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            NameChange::Make(path, node) => {
                names.insert(path.clone(), *node);
            }
            NameChange::Move { from, to, node } => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
                names.insert(to.clone(), *node);
            }
            NameChange::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

/// What is left of a file when what is pending was under way.
fn survives(content: &Content, rng: &mut Rng) -> Vec<u8> {
    let mut left = content.durable.clone();
    if content.pending.is_empty() {
        return left;
    }
    let whole = match rng.below(4) {
        0 => 0,
        1 => content.pending.len(),
        _ => rng.index(content.pending.len() + 1),
    };
    let mut touched: Vec<(usize, usize)> = Vec::new();
    for change in &content.pending[..whole] {
        change.apply(&mut left);
        match change {
            Change::Write { at, bytes } => touched.push((*at, at + bytes.len())),
            Change::Cut(len) => touched.retain(|(_, end)| end <= len),
        }
    }
    if let Some(Change::Write { at, bytes }) = content.pending.get(whole)
        && rng.chance(600)
    {
        let torn = rng.index(bytes.len() + 1);
        put(&mut left, *at, &bytes[..torn]);
        touched.push((*at, at + torn));
    }
    // The length may be written before the bytes are.
    if left.len() < content.now.len() && rng.chance(150) {
        let (from, to) = (left.len(), rng.within(left.len() as u64, content.now.len() as u64) as usize);
        left.resize(to, 0);
        touched.push((from, to));
    }
    if rng.chance(350) {
        for _ in 0..rng.within(1, 3) {
            let Some(&(from, to)) = touched.get(rng.index(touched.len().max(1))) else { break };
            if from >= to {
                continue;
            }
            let sector = (from + rng.index(to - from)) / SECTOR_BYTES * SECTOR_BYTES;
            let zeros = rng.chance(500);
            for byte in &mut left[sector.max(from)..(sector + SECTOR_BYTES).min(to)] {
                *byte = if zeros { 0 } else { rng.bits() as u8 };
            }
        }
    }
    left
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

impl Disk for SimDisk {
    fn create_folders(&self, path: &Path) -> io::Result<()> {
        let (mut world, go) = self.entered("create_folders", path, 0)?;
        if !matches!(go, Go::LastWords { done: false }) {
            let mut missing: Vec<&Path> = path.ancestors().take_while(|folder| !world.folder_exists(folder)).collect();
            missing.reverse();
            for folder in missing {
                if world.now.contains_key(folder) {
                    return Err(io::Error::new(ErrorKind::NotADirectory, "is a file (simulated)"));
                }
                let above = parent(folder);
                world.change_name(&above, NameChange::Make(folder.to_owned(), Node::Folder));
                if matches!(go, Go::On) {
                    world.sync_names(&above);
                }
            }
        }
        go.end()
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let (world, go) = self.entered("list", folder, 0)?;
        go.end()?;
        if !world.folder_exists(folder) {
            return Err(not_found());
        }
        let names = world.now.keys().filter(|path| path.parent() == Some(folder));
        Ok(names.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let (mut world, go) = self.entered("create", path, 0)?;
        if !world.folder_exists(&parent(path)) {
            return Err(not_found());
        }
        if world.bytes_free == Some(0) && !world.quiet {
            world.note("create", path, 0, "disk full");
            world.failures += 1;
            return Err(full());
        }
        let file = match world.now.get(path) {
            Some(Node::Folder) => return Err(io::Error::new(ErrorKind::IsADirectory, "is a folder (simulated)")),
            Some(Node::File(file)) => *file,
            None => world.files.len(),
        };
        if !matches!(go, Go::LastWords { done: false }) {
            if file == world.files.len() {
                world.files.push(Content::default());
                world.change_name(&parent(path), NameChange::Make(path.to_owned(), Node::File(file)));
            } else {
                world.change(file, Change::Cut(0));
            }
        }
        go.end()?;
        Ok(Box::new(SimFile { disk: self.clone(), path: path.to_owned(), file, at: Some(0) }))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let (world, go) = self.entered("append", path, 0)?;
        go.end()?;
        let file = world.file(path)?;
        Ok(Box::new(SimFile { disk: self.clone(), path: path.to_owned(), file, at: None }))
    }

    fn read(&self, path: &Path) -> io::Result<Bytes> {
        let (world, go) = self.entered("read", path, 0)?;
        go.end()?;
        Ok(aligned(&world.files[world.file(path)?].now))
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        let (world, go) = self.entered("len", path, 0)?;
        go.end()?;
        Ok(world.files[world.file(path)?].now.len() as u64)
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let (mut world, go) = self.entered("truncate", path, len)?;
        let file = world.file(path)?;
        let len = usize::try_from(len).map_err(|_| eio())?;
        match go {
            Go::On => {
                world.change(file, Change::Cut(len));
                world.sync(file);
            }
            Go::LastWords { done: true } => world.change(file, Change::Cut(len)),
            Go::LastWords { done: false } => {}
        }
        go.end()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (mut world, go) = self.entered("rename", from, 0)?;
        world.note("  to", to, 0, "");
        let node = Node::File(world.file(from)?);
        assert_eq!(from.parent(), to.parent(), "the lake renames within a folder only");
        if world.now.get(to) == Some(&Node::Folder) {
            return Err(io::Error::new(ErrorKind::IsADirectory, "is a folder (simulated)"));
        }
        if !matches!(go, Go::LastWords { done: false }) {
            let change = NameChange::Move { from: from.to_owned(), to: to.to_owned(), node };
            world.change_name(&parent(to), change);
        }
        go.end()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (mut world, go) = self.entered("remove", path, 0)?;
        let file = world.file(path)?;
        if !matches!(go, Go::LastWords { done: false }) {
            let freed = world.files[file].now.len() as u64;
            world.bytes_free = world.bytes_free.map(|bytes| bytes + freed);
            world.change_name(&parent(path), NameChange::Remove(path.to_owned()));
        }
        go.end()
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let (mut world, go) = self.entered("sync_folder", path, 0)?;
        go.end()?;
        if !world.folder_exists(path) {
            return Err(not_found());
        }
        world.sync_names(path);
        Ok(())
    }
}

impl Go {
    fn end(&self) -> io::Result<()> {
        match self {
            Go::On => Ok(()),
            Go::LastWords { .. } => Err(gone()),
        }
    }
}

/// A copy whose first byte lies at a multiple of 8.
fn aligned(bytes: &[u8]) -> Bytes {
    let mut room: Vec<u8> = Vec::with_capacity(bytes.len() + 8);
    let before = room.as_ptr().align_offset(8);
    room.resize(before, 0);
    room.extend_from_slice(bytes);
    Bytes::from(room).slice(before..)
}

struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    file: usize,
    /// Where the next write goes; at the end when absent.
    at: Option<usize>,
}

impl io::Write for SimFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let (mut world, go) = self.disk.entered("write", &self.path, buffer.len() as u64)?;
        let quiet = world.quiet;
        let mut len = buffer.len();
        if let Some(free) = world.bytes_free.filter(|_| !quiet) {
            len = len.min(usize::try_from(free).unwrap_or(usize::MAX));
            if len == 0 {
                world.note("write", &self.path, 0, "disk full");
                world.failures += 1;
                return Err(full());
            }
            world.bytes_free = Some(free - len as u64);
        }
        if !matches!(go, Go::LastWords { done: false }) {
            let at = self.at.unwrap_or(world.files[self.file].now.len());
            world.change(self.file, Change::Write { at, bytes: buffer[..len].to_vec() });
            self.at = self.at.map(|at| at + len);
        }
        go.end()?;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn sync(&mut self) -> io::Result<()> {
        let (mut world, go) = self.disk.entered("sync", &self.path, 0)?;
        go.end()?;
        let path = self.path.to_string_lossy();
        if world.ignored_syncs.as_ref().is_some_and(|part| path.contains(part)) {
            return Ok(());
        }
        world.sync(self.file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn disk(seed: u64) -> SimDisk {
        let disk = SimDisk::new(seed);
        disk.create_folders(Path::new("/d")).unwrap();
        disk
    }

    /// What is left under `/d/a` over many seeds, after `act` and a power failure.
    fn outcomes(act: impl Fn(&SimDisk)) -> BTreeSet<Option<Vec<u8>>> {
        (0..300)
            .map(|seed| {
                let disk = disk(seed);
                act(&disk);
                let disk = disk.restart(Crash::Power);
                disk.read(Path::new("/d/a")).ok().map(|bytes| bytes.to_vec())
            })
            .collect()
    }

    fn write(disk: &SimDisk, bytes: &[u8]) -> Box<dyn DiskFile> {
        let mut file = disk.create(Path::new("/d/a")).unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn what_is_synced_with_its_name_is_all_that_is_certain() {
        let whole = outcomes(|disk| {
            write(disk, b"abc").sync().unwrap();
            disk.sync_folder(Path::new("/d")).unwrap();
        });
        assert_eq!(whole, BTreeSet::from([Some(b"abc".to_vec())]));
        let nameless = outcomes(|disk| write(disk, b"abc").sync().unwrap());
        assert_eq!(nameless, BTreeSet::from([None, Some(b"abc".to_vec())]));
        let torn = outcomes(|disk| {
            write(disk, b"abc");
            disk.sync_folder(Path::new("/d")).unwrap();
        });
        for bytes in [&b""[..], b"a", b"ab", b"abc", b"\0\0\0"] {
            assert!(torn.contains(&Some(bytes.to_vec())), "{} is missing", bytes.escape_ascii());
        }
        assert!(!torn.contains(&None));
    }

    #[test]
    fn durable_bytes_stay_under_torn_appends() {
        let outcomes = outcomes(|disk| {
            let mut file = write(disk, &[7; 700]);
            file.sync().unwrap();
            disk.sync_folder(Path::new("/d")).unwrap();
            file.write_all(&[8; 700]).unwrap();
        });
        assert!(outcomes.len() > 20);
        for left in outcomes {
            assert_eq!(left.unwrap()[..700], [7; 700]);
        }
    }

    #[test]
    fn a_rename_is_whole_or_not_there() {
        let outcomes = outcomes(|disk| {
            write(disk, b"old").sync().unwrap();
            disk.sync_folder(Path::new("/d")).unwrap();
            let mut file = disk.create(Path::new("/d/b")).unwrap();
            file.write_all(b"new").unwrap();
            file.sync().unwrap();
            disk.rename(Path::new("/d/b"), Path::new("/d/a")).unwrap();
        });
        assert_eq!(outcomes, BTreeSet::from([Some(b"old".to_vec()), Some(b"new".to_vec())]));
    }

    #[test]
    fn a_failed_sync_is_not_made_up_for_by_the_next() {
        let mut lost = 0;
        for seed in 0..200 {
            let disk = disk(seed);
            let mut file = write(&disk, b"abc");
            disk.sync_folder(Path::new("/d")).unwrap();
            disk.set_faults(Faults { sync_permille: 1_000, ..Faults::default() });
            file.sync().unwrap_err();
            disk.set_faults(Faults::default());
            file.sync().unwrap();
            assert_eq!(&disk.read(Path::new("/d/a")).unwrap()[..], b"abc", "the cache shows it");
            let disk = disk.restart(Crash::Power);
            lost += u32::from(&disk.read(Path::new("/d/a")).unwrap()[..] != b"abc");
        }
        assert!((1..200).contains(&lost), "{lost} of 200");
    }

    #[test]
    fn a_process_takes_nothing_with_it_and_its_files_are_closed() {
        let disk = disk(1);
        let mut file = write(&disk, b"abc");
        let later = disk.restart(Crash::Process);
        assert_eq!(&later.read(Path::new("/d/a")).unwrap()[..], b"abc");
        file.write_all(b"late").unwrap_err();
        disk.read(Path::new("/d/a")).unwrap_err();
    }

    #[test]
    fn a_full_disk_takes_what_fits() {
        let disk = disk(1);
        let mut file = disk.create(Path::new("/d/a")).unwrap();
        disk.set_bytes_free(Some(5));
        assert_eq!(file.write(b"12345678").unwrap(), 5);
        assert_eq!(file.write(b"678").unwrap_err().kind(), ErrorKind::StorageFull);
        disk.create(Path::new("/d/b")).err().unwrap();
        disk.set_bytes_free(None);
        file.write_all(b"678").unwrap();
        assert_eq!(&disk.read(Path::new("/d/a")).unwrap()[..], b"12345678");
    }

    #[test]
    fn a_file_cut_under_a_writer_gets_a_hole_unless_it_appends() {
        let disk = disk(1);
        let mut file = write(&disk, b"abcd");
        disk.truncate(Path::new("/d/a"), 1).unwrap();
        file.write_all(b"e").unwrap();
        assert_eq!(&disk.read(Path::new("/d/a")).unwrap()[..], b"a\0\0\0e");
        disk.truncate(Path::new("/d/a"), 1).unwrap();
        disk.append(Path::new("/d/a")).unwrap().write_all(b"e").unwrap();
        assert_eq!(&disk.read(Path::new("/d/a")).unwrap()[..], b"ae");
    }

    #[test]
    fn a_crash_comes_at_its_operation_and_stays() {
        let disk = disk(3);
        disk.crash_after(Some(2));
        let mut file = disk.create(Path::new("/d/a")).unwrap();
        file.write_all(b"abc").unwrap_err();
        assert!(disk.has_crashed());
        disk.list(Path::new("/d")).unwrap_err();
        let disk = disk.restart(Crash::Process);
        assert_eq!(disk.list(Path::new("/d")).unwrap(), ["a"]);
    }
}
