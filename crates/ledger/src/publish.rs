//! What follows from the journal: tiles, bundles, the signed checkpoint, what was last seen, and the signatures of
//! witnesses. Each step can be repeated, and a failing one holds nobody up who appends.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::disk::{Disk, Keep, replace};
use crate::journal::{self, Spare};
use crate::log::{LastSeen, Shared, WitnessLink, spawn};
use crate::note::{Checkpoint, Note, Signer, VerifierKey, parse_size};
use crate::tiles::{Edge, Tiles, WIDTH};
use crate::tree::consistency_proof;
use crate::witness::request;
use crate::{Error, Result};

/// Between two checkpoints, however much is written. A quiet log publishes at once.
const PUBLISH_EVERY: Duration = Duration::from_millis(50);
/// Until a step that failed is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// Without anything to publish: counts of refusals are looked at.
const IDLE: Duration = Duration::from_secs(1);
/// Between two questions to a witness; entries of containment do not wait.
const WITNESS_EVERY: Duration = Duration::from_secs(1);

/// The newest checkpoint.
pub(crate) struct Published {
    pub(crate) size: u64,
    pub(crate) text: String,
    signature: String,
    cosignatures: Vec<String>,
    /// With an entry of containment in it that no smaller one has.
    control: u64,
    pub(crate) witnessed: Vec<(String, Option<u64>)>,
}

impl Published {
    pub(crate) fn note(&self) -> String {
        format!("{}\n{}{}", self.text, self.signature, self.cosignatures.concat())
    }
}

pub(crate) struct Publisher {
    edge: Edge,
    signer: Signer,
    last_seen: Arc<dyn LastSeen>,
    witnesses: Vec<WitnessLink>,
    next_index: u64,
    /// Full files that are not durable yet.
    full: Vec<PathBuf>,
    /// Journal files that may go once what they have is in full and durable bundles.
    retired: Vec<(PathBuf, u64)>,
}

impl Publisher {
    pub(crate) fn new(
        edge: Edge,
        signer: Signer,
        last_seen: Arc<dyn LastSeen>,
        witnesses: Vec<WitnessLink>,
        next_index: u64,
    ) -> Publisher {
        Publisher { edge, signer, last_seen, witnesses, next_index, full: Vec::new(), retired: Vec::new() }
    }

    pub(crate) fn key(&self) -> &VerifierKey {
        self.signer.key()
    }

    /// Signs what the edge has: the checkpoint first, then what was last seen. Nothing that was seen is signed anew
    /// with another root, since the journal that it is from is durable.
    pub(crate) fn publish(&self, disk: &dyn Disk, folder: &Path) -> io::Result<Published> {
        let published = signed(&self.signer, &self.edge);
        replace(disk, &folder.join("checkpoint"), published.note().as_bytes(), Keep::Durable)?;
        self.last_seen.store(self.edge.size(), &self.edge.root())?;
        let witnessed = self.witnesses.iter().map(|link| (link.key.name().to_owned(), None)).collect();
        Ok(Published { witnessed, ..published })
    }

    /// Starts the threads of the witnesses, and last its own.
    pub(crate) fn start(mut self, shared: &Arc<Shared>) -> Vec<std::thread::JoinHandle<()>> {
        let mut threads: Vec<_> = std::mem::take(&mut self.witnesses)
            .into_iter()
            .map(|link| {
                let shared = shared.clone();
                spawn("ledger-witness", move || ask_on(&shared, &link))
            })
            .collect();
        let shared = shared.clone();
        threads.push(spawn("ledger-publisher", move || self.run(&shared)));
        threads
    }

    fn run(mut self, shared: &Shared) {
        let mut last = Instant::now();
        let (mut failed, mut is_warned) = (false, false);
        loop {
            if shared.wants_spare() {
                let made = Spare::make(&*shared.disk, &shared.folder.join(journal::FOLDER), self.next_index);
                failed |= made.is_err();
                self.next_index += u64::from(made.is_ok());
                shared.give_spare(made);
            }
            self.count_refusals(shared);
            let (has_control, is_stopping) = self.take(shared, last, failed);
            let is_new = self.edge.size() > shared.published_size.load(Ordering::Acquire);
            failed = false;
            if is_new {
                last = Instant::now();
                match self.publish_on(shared, has_control).and_then(|()| self.trim(shared)) {
                    Ok(()) => is_warned = false,
                    Err(error) => {
                        failed = true;
                        if !std::mem::replace(&mut is_warned, true) {
                            tracing::error!(error = %error, "the ledger's tiles or checkpoint could not be written; it is tried again");
                        }
                    }
                }
            }
            if is_stopping {
                return;
            }
        }
    }

    /// Waits for entries, and no longer than needed for what else there is to do. Answers whether one was containment,
    /// and whether this is the end.
    fn take(&mut self, shared: &Shared, last: Instant, failed: bool) -> (bool, bool) {
        let mut written = shared.written.lock().expect("never left half changed");
        loop {
            let waited = last.elapsed();
            let is_due = failed && waited >= RETRY || !failed && waited >= PUBLISH_EVERY;
            if written.is_stopping || written.has_control || is_due && !written.entries.is_empty() {
                break;
            }
            let wait = match (failed, written.entries.is_empty()) {
                (true, _) => RETRY.saturating_sub(waited).max(Duration::from_millis(1)),
                (false, false) => PUBLISH_EVERY.saturating_sub(waited),
                (false, true) => IDLE,
            };
            let waited = shared.to_do.wait_timeout(written, wait).expect("never left half changed");
            written = waited.0;
            if waited.1.timed_out() || shared.wants_spare() {
                break;
            }
        }
        written.entries.drain(..).for_each(|entry| self.edge.push(&entry));
        self.retired.append(&mut written.retired);
        (std::mem::take(&mut written.has_control), written.is_stopping)
    }

    fn publish_on(&mut self, shared: &Shared, has_control: bool) -> io::Result<()> {
        let _one = shared.checkpoint_file.lock().expect("never left half changed");
        self.edge.write(&*shared.disk, &shared.folder, &mut self.full)?;
        let new = self.publish(&*shared.disk, &shared.folder)?;
        shared.published_size.store(new.size, Ordering::Release);
        let mut published = shared.published.lock().expect("never left half changed");
        let control = if has_control { new.size } else { published.control };
        let witnessed = std::mem::take(&mut published.witnessed);
        *published = Published { control, witnessed, ..new };
        drop(published);
        shared.was_published.notify_all();
        Ok(())
    }

    /// Removes journal files of which every entry is in a full bundle, once the bundles are durable.
    fn trim(&mut self, shared: &Shared) -> io::Result<()> {
        let disk = &*shared.disk;
        let size = self.edge.size();
        let full = size - size % WIDTH;
        let is_gone = |retired: &[(PathBuf, u64)]| retired.first().is_some_and(|(_, end)| *end <= full);
        if !is_gone(&self.retired) {
            return Ok(());
        }
        sync_files(disk, &self.full)?;
        self.full.clear();
        // Not while they are copied.
        let _one = shared.checkpoint_file.lock().expect("never left half changed");
        // Oldest first: those that are left always begin where the bundles end, or before.
        while is_gone(&self.retired) {
            match disk.remove(&self.retired[0].0) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => drop(self.retired.remove(0)),
            }
        }
        Ok(())
    }

    fn count_refusals(&self, shared: &Shared) {
        let now = Instant::now();
        for summary in shared.caps.summaries(now, false) {
            if shared.submit(summary.clone()).is_err() {
                shared.caps.put_back(&summary, now);
            }
        }
    }
}

fn signed(signer: &Signer, edge: &Edge) -> Published {
    let checkpoint = Checkpoint { origin: signer.key().name().to_owned(), size: edge.size(), root: edge.root() };
    let text = checkpoint.text();
    let signature = signer.sign(&text, 0);
    Published { size: edge.size(), text, signature, cosignatures: Vec::new(), control: 0, witnessed: Vec::new() }
}

/// Makes files durable, and their names.
pub(crate) fn sync_files(disk: &dyn Disk, files: &[PathBuf]) -> io::Result<()> {
    let mut folders = BTreeSet::new();
    for path in files {
        disk.open(path)?.sync()?;
        folders.extend(path.parent());
    }
    folders.into_iter().try_for_each(|folder| disk.sync_folder(folder))
}

/// Asks each witness, when a log is opened, whether it has seen more of it.
pub(crate) fn ask_witnesses(links: &[WitnessLink], signer: &Signer, edge: &Edge) -> Result<()> {
    let published = signed(signer, edge);
    for link in links {
        match link.transport.post(&request(published.size, &[], &published.note())) {
            Ok((409, body)) => match parse_size(body.trim_end()) {
                Some(seen) if seen > published.size => {
                    return Err(Error::RolledBack { seen, found: published.size });
                }
                Some(seen) if seen == published.size => {
                    let what = format!("{} has seen other entries than these {seen}", link.key.name());
                    return Err(Error::Damaged { what });
                }
                _ => {}
            },
            Ok((200, _)) => {}
            Ok((status, _)) => tracing::warn!(witness = link.key.name(), status, "a witness refused the checkpoint"),
            Err(error) => tracing::warn!(witness = link.key.name(), error = %error, "a witness does not answer"),
        }
    }
    Ok(())
}

/// Asks one witness about every checkpoint, or the newest of each second.
fn ask_on(shared: &Shared, link: &WitnessLink) {
    let (mut old, mut asked) = (0, 0);
    let (mut last, mut is_warned) = (None::<Instant>, false);
    while !shared.is_stopping.load(Ordering::Acquire) {
        {
            let published = shared.published.lock().expect("never left half changed");
            let wait = last.map_or(Duration::ZERO, |last| WITNESS_EVERY.saturating_sub(last.elapsed()));
            let is_due = published.size > asked && (wait.is_zero() || published.control > asked);
            if !is_due {
                let wait = if published.size > asked { wait } else { IDLE };
                drop(shared.was_published.wait_timeout(published, wait.max(Duration::from_millis(1))));
                continue;
            }
        }
        last = Some(Instant::now());
        match cosign(shared, link, &mut old) {
            Ok(size) => (asked, is_warned) = (size, false),
            Err(what) if !is_warned => {
                tracing::error!(witness = link.key.name(), "the checkpoint has no signature of a witness: {what}");
                is_warned = true;
            }
            Err(_) => {}
        }
        if asked < old {
            // Not taken: later, whatever comes.
            std::thread::park_timeout(WITNESS_EVERY);
        }
    }
}

/// Has the newest checkpoint signed, and answers its size. `old` is what the witness has seen.
fn cosign(shared: &Shared, link: &WitnessLink, old: &mut u64) -> Result<u64, String> {
    let (size, text, note) = {
        let published = shared.published.lock().expect("never left half changed");
        (published.size, published.text.clone(), published.note())
    };
    for _ in 0..2 {
        let tiles = Tiles::new(&*shared.disk, &shared.folder, size);
        let path = consistency_proof(&tiles, *old, size).map_err(|error| error.to_string())?;
        let (status, body) = link.transport.post(&request(*old, &path, &note)).map_err(|error| error.to_string())?;
        match status {
            200 => {
                *old = size;
                let lines = kept_lines(&text, &body, &link.key);
                let Some((line, time_s)) = lines else { return Err("it answered with another signature".to_owned()) };
                return keep(shared, link, size, &line, time_s).map(|()| size).map_err(|error| error.to_string());
            }
            409 => match parse_size(body.trim_end()) {
                Some(seen) if seen > size => return Err(format!("it has seen {seen} entries, and there are {size}")),
                Some(seen) if seen == *old => return Err(format!("it has seen other entries than these {size}")),
                Some(seen) => *old = seen,
                None => return Err("it answered 409 without a size".to_owned()),
            },
            status => return Err(format!("it answered {status}")),
        }
    }
    Err("it saw another checkpoint meanwhile".to_owned())
}

/// The signature lines that are this witness's, and the time they were made at.
fn kept_lines(text: &str, body: &str, key: &VerifierKey) -> Option<(String, u64)> {
    body.lines().find_map(|line| {
        let note = format!("{text}\n{line}\n");
        let time_s = Note::parse(&note)?.signed_by(key)??;
        Some((format!("{line}\n"), time_s))
    })
}

/// Puts a witness's signature under the checkpoint, if it is still the newest, and keeps the witnessed one in any case.
fn keep(shared: &Shared, link: &WitnessLink, size: u64, line: &str, time_s: u64) -> io::Result<()> {
    let _one = shared.checkpoint_file.lock().expect("never left half changed");
    let note = {
        let mut published = shared.published.lock().expect("never left half changed");
        if let Some(entry) = published.witnessed.iter_mut().find(|(name, _)| name == link.key.name()) {
            entry.1 = Some(time_s);
        }
        if published.size != size {
            return Ok(());
        }
        published.cosignatures.push(line.to_owned());
        published.note()
    };
    replace(&*shared.disk, &shared.folder.join("checkpoint"), note.as_bytes(), Keep::Durable)
}
