//! The identity map: keyed pseudonym of an id → dense subject number; and which subjects are one person.
//!
//! The id itself is kept sealed beside its number. Numbers are given out in order and never again, durable before any
//! event that uses them: one transaction for everybody who waits. A bounded cache answers for ids seen lately; it
//! knows them by a hash keyed at random for each process.
//!
//! On disk a subject's row stands at its number: rows are only ever added at a project's end, whose pages are full.
//! The index by pseudonym is random by nature. It follows in sorted batches, so that a commit writes few pages; until
//! then a bounded map in memory knows what it lacks, read again from the rows after its mark at the next start.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use aws_lc_rs::hmac;
use cofferdam_model::{Merges, ProjectId, SubjectNo, limits};
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use crate::blind::{Address, BlindIndex, Hash, Source};
use crate::database::{Bind, Database};
use crate::keys::{ProjectKeys, aad};
use crate::seal::random;
use crate::{Error, Result};

pub(crate) mod merges;
#[cfg(test)]
mod vectors;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS identities (
    project INTEGER NOT NULL,
    pid BLOB NOT NULL,
    subject INTEGER NOT NULL,
    sealed_id BLOB NOT NULL,
    PRIMARY KEY (project, pid)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS identities_by_subject ON identities (project, subject);
CREATE TABLE IF NOT EXISTS merges (
    project INTEGER NOT NULL,
    serial INTEGER NOT NULL,
    alias INTEGER NOT NULL,
    canonical INTEGER NOT NULL,
    PRIMARY KEY (project, serial)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS join_keys (
    project INTEGER NOT NULL,
    pid BLOB NOT NULL,
    sealed_value BLOB NOT NULL,
    PRIMARY KEY (project, pid)
) STRICT, WITHOUT ROWID;
";

/// One row a subject, at `project << 32 | subject`: what is added is added at the end. The index by pid is apart, and
/// small; it has every row up to the mark.
const BY_NUMBER: &str = "
ALTER TABLE identities RENAME TO identities_by_pid;
DROP INDEX identities_by_subject;
CREATE TABLE identities (
    place INTEGER PRIMARY KEY,
    pid BLOB NOT NULL,
    sealed_id BLOB NOT NULL
) STRICT;
CREATE TABLE pids (
    project INTEGER NOT NULL,
    pid BLOB NOT NULL,
    subject INTEGER NOT NULL,
    PRIMARY KEY (project, pid)
) STRICT, WITHOUT ROWID;
CREATE TABLE indexed (
    project INTEGER PRIMARY KEY,
    subject INTEGER NOT NULL
) STRICT;
INSERT INTO identities (place, pid, sealed_id)
    SELECT project * 4294967296 + subject, pid, sealed_id FROM identities_by_pid ORDER BY project, subject;
INSERT INTO pids (project, pid, subject)
    SELECT project, pid, subject FROM identities_by_pid ORDER BY project, pid;
INSERT INTO indexed (project, subject)
    SELECT project, max(subject) FROM identities_by_pid GROUP BY project;
DROP TABLE identities_by_pid;
";

/// When a merge was made, µs UTC; 0 for those that are older than this column.
const MERGES_WITH_TIME: &str = "ALTER TABLE merges ADD COLUMN time_us INTEGER NOT NULL DEFAULT 0;";

/// Keyed pseudonym of an id.
pub(crate) type Pid = [u8; 16];

/// Ids remembered per process; at 40 bytes each this is about 80 MB.
const CACHE_IDS_MAX: usize = 2_000_000;

/// Transactions that a move is spread over, if they bring little: somebody waits for each of them. They take rows in
/// the order of the index, so that more of them touch no more pages.
const MOVES: usize = 400;

/// What an id is the id of: equal texts of different kinds have different pseudonyms.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Person,
    Group,
    JoinKey,
}

impl ProjectKeys {
    pub(crate) fn pid(&self, kind: Kind, id: &str) -> Pid {
        let domain: &[u8] = match kind {
            Kind::Person => b"pid\0",
            Kind::Group => b"grp\0",
            Kind::JoinKey => b"join\0",
        };
        let mut context = hmac::Context::with_key(&self.pseudonyms);
        context.update(domain);
        context.update(id.as_bytes());
        let tag = context.sign();
        *tag.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
    }

    /// An insert id as the number that stands for it; never 0.
    pub(crate) fn insert_number(&self, id: &str) -> u64 {
        self.insert_ids.hash(id.as_bytes()).max(1)
    }
}

/// A pseudonym as people see it: a prefix and 13 characters of Crockford's base 32 (64 bits).
pub(crate) fn printed(prefix: &str, pid: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let number = pid.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let mut out = String::with_capacity(prefix.len() + 13);
    out.push_str(prefix);
    for index in (0..13).rev() {
        out.push(char::from(ALPHABET[(number >> (index * 5) & 31) as usize]));
    }
    out
}

fn parse_printed(prefix: &str, text: &str) -> Option<[u8; 8]> {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let digits = text.strip_prefix(prefix)?;
    if digits.len() != 13 {
        return None;
    }
    let mut number = 0_u128;
    for byte in digits.bytes() {
        number = number << 5 | ALPHABET.iter().position(|letter| *letter == byte.to_ascii_lowercase())? as u128;
    }
    u64::try_from(number).ok().map(u64::to_be_bytes)
}

/// What an id is known by in this process.
type Print = u128;

pub(crate) struct IdentityMap {
    database: Database,
    hashers: (RandomState, RandomState),
    subjects: Mutex<FxHashMap<Print, SubjectNo>>,
    /// Join keys whose values are kept.
    join_keys: Mutex<FxHashMap<Print, Pid>>,
    merges: RwLock<HashMap<ProjectId, Arc<Merges>>>,
    unindexed: Mutex<Unindexed>,
    /// What waits for the next transaction.
    waiting: Mutex<Vec<Wanted>>,
    /// Erasures so far: what was looked up before one is not remembered after it.
    erasures: AtomicU64,
    /// One allocation or merge at a time: numbers are dense.
    writer: tokio::sync::Mutex<()>,
}

/// What the index by pid lacks, and the next numbers.
struct Unindexed {
    /// Rows that start a move; every transaction then takes a small part of them along, or twice what it brings.
    many: usize,
    /// The next number of each project whose rows after the mark were read.
    next: HashMap<ProjectId, u32>,
    /// Projects with a commit under way, or one that failed or was given up: what is on disk is read again before
    /// the next number is given out.
    in_doubt: BTreeSet<ProjectId>,
    recent: BTreeMap<(ProjectId, Pid), SubjectNo>,
    /// Older than everything in `recent`, and on their way into the index in this order.
    moving: BTreeMap<(ProjectId, Pid), SubjectNo>,
}

impl Unindexed {
    fn new(many: usize) -> Unindexed {
        Unindexed {
            many,
            next: HashMap::new(),
            in_doubt: BTreeSet::new(),
            recent: BTreeMap::new(),
            moving: BTreeMap::new(),
        }
    }

    fn get(&self, project: ProjectId, pid: &Pid) -> Option<SubjectNo> {
        self.recent.get(&(project, *pid)).or_else(|| self.moving.get(&(project, *pid))).copied()
    }

    /// What to move along with the next transaction: more than it brings, so that what waits is bounded.
    fn next_to_move(&mut self, new: usize) -> Vec<(ProjectId, Pid, SubjectNo)> {
        if self.moving.is_empty() && self.recent.len() >= self.many {
            self.moving = std::mem::take(&mut self.recent);
        }
        let at_once = self.many.div_ceil(MOVES).max(2 * new);
        self.moving.iter().take(at_once).map(|((project, pid), subject)| (*project, *pid, *subject)).collect()
    }

    fn is_known(&self, project: ProjectId) -> bool {
        self.next.contains_key(&project) && !self.in_doubt.contains(&project)
    }
}

/// Where a subject's row stands.
fn place(project: ProjectId, subject: u32) -> i64 {
    i64::from(project.0) << 32 | i64::from(subject)
}

/// Rows that a request needs.
struct Wanted {
    project: ProjectId,
    keys: Arc<ProjectKeys>,
    rows: Arc<WantedRows>,
    done: oneshot::Sender<HashMap<Pid, SubjectNo>>,
}

/// Each id once.
enum WantedRows {
    /// And the hashes of those that are e-mail addresses.
    Subjects(Vec<(Pid, String)>, Vec<(Pid, Hash)>),
    JoinKeys(Vec<(Pid, String)>),
}

/// The pseudonym of a join key; the value behind it has to be kept when it is not yet.
pub(crate) struct JoinKey {
    pub(crate) pid: Pid,
    pub(crate) is_kept: bool,
}

impl IdentityMap {
    pub(crate) async fn open(database: Database) -> Result<IdentityMap> {
        database.migrate("identities", &[SCHEMA, BY_NUMBER, MERGES_WITH_TIME]).await?;
        let merges = merges::read(&database, None).await?;
        Ok(IdentityMap {
            database,
            hashers: (RandomState::new(), RandomState::new()),
            subjects: Mutex::default(),
            join_keys: Mutex::default(),
            merges: RwLock::new(merges.into_iter().map(|(project, merges)| (project, Arc::new(merges))).collect()),
            unindexed: Mutex::new(Unindexed::new(limits::UNINDEXED_IDS)),
            waiting: Mutex::default(),
            erasures: AtomicU64::new(0),
            writer: tokio::sync::Mutex::new(()),
        })
    }

    pub(crate) fn merges(&self, project: ProjectId) -> Arc<Merges> {
        self.merges.read().expect("never left half changed").get(&project).cloned().unwrap_or_default()
    }

    fn print(&self, project: ProjectId, kind: Kind, id: &str) -> Print {
        let key = (project, kind as u8, id);
        u128::from(self.hashers.0.hash_one(key)) << 64 | u128::from(self.hashers.1.hash_one(key))
    }

    /// The numbers of ids, given out where they are new. Durable when this returns.
    pub(crate) async fn resolve(
        &self,
        project: ProjectId,
        keys: &Arc<ProjectKeys>,
        blind: &BlindIndex,
        ids: &[(Kind, &str)],
    ) -> Result<Vec<SubjectNo>> {
        let prints: Vec<Print> = ids.iter().map(|(kind, id)| self.print(project, *kind, id)).collect();
        let erasures = self.erasures.load(Ordering::SeqCst);
        let mut numbers: Vec<Option<SubjectNo>> = {
            let subjects = self.subjects.lock().expect("never left half changed");
            prints.iter().map(|print| subjects.get(print).copied()).collect()
        };
        if numbers.iter().any(Option::is_none) {
            let mut pids: FxHashMap<Print, Pid> = FxHashMap::default();
            let mut wanted = Vec::new();
            let mut mails = Vec::new();
            for ((print, (kind, id)), number) in prints.iter().zip(ids).zip(&numbers) {
                if number.is_none() && !pids.contains_key(print) {
                    let pid = keys.pid(*kind, id);
                    pids.insert(*print, pid);
                    wanted.push((pid, (*id).to_owned()));
                    if let (Kind::Person, Some(mail)) = (kind, Address::mail(id)) {
                        let hash = blind.hashes(keys, &BTreeSet::from([mail])).await?;
                        mails.extend(hash.into_iter().map(|hash| (pid, hash)));
                    }
                }
            }
            let found = self.write_together(project, keys, WantedRows::Subjects(wanted, mails)).await?;
            let mut subjects = self.subjects.lock().expect("never left half changed");
            if subjects.len() + pids.len() > CACHE_IDS_MAX {
                subjects.clear();
            }
            let is_current = self.erasures.load(Ordering::SeqCst) == erasures;
            for (print, number) in prints.iter().zip(&mut numbers).filter(|(_, number)| number.is_none()) {
                *number = pids.get(print).and_then(|pid| found.get(pid)).copied();
                if let Some(number) = number.filter(|_| is_current) {
                    subjects.insert(*print, number);
                }
            }
        }
        numbers.into_iter().map(|number| number.ok_or(Error::CannotOpen)).collect()
    }

    /// Hands rows to the next transaction, together with those of everybody else who waits. Durable when this
    /// returns, with the numbers of the subjects.
    async fn write_together(
        &self,
        project: ProjectId,
        keys: &Arc<ProjectKeys>,
        rows: WantedRows,
    ) -> Result<HashMap<Pid, SubjectNo>> {
        let rows = Arc::new(rows);
        loop {
            let (done, mut answer) = oneshot::channel();
            let wanted = Wanted { project, keys: keys.clone(), rows: rows.clone(), done };
            self.waiting.lock().expect("never left half changed").push(wanted);
            let writing = tokio::select! {
                biased;
                answer = &mut answer => match answer {
                    Ok(found) => return Ok(found),
                    // Whoever wrote for all failed, and says so to its own sender; this one tries for itself.
                    Err(_) => continue,
                },
                writing = self.writer.lock() => writing,
            };
            match answer.try_recv() {
                Ok(found) => return Ok(found),
                Err(oneshot::error::TryRecvError::Closed) => continue,
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let group = std::mem::take(&mut *self.waiting.lock().expect("never left half changed"));
            let mut found = self.write_group(&group).await?;
            #[cfg(test)]
            tests::others_run().await;
            let mut own = HashMap::new();
            for wanted in group {
                let numbers = match &*wanted.rows {
                    WantedRows::JoinKeys(_) => HashMap::new(),
                    WantedRows::Subjects(ids, _) => {
                        let numbers = found.entry(wanted.project).or_default();
                        ids.iter().filter_map(|(pid, _)| Some((*pid, *numbers.get(pid)?))).collect()
                    }
                };
                if Arc::ptr_eq(&wanted.rows, &rows) {
                    own = numbers;
                } else {
                    // A request that was given up needs no answer.
                    let _ = wanted.done.send(numbers);
                }
            }
            // Not before everybody has an answer: who gets the right to write and has none looks for their own rows
            // among those that wait.
            drop(writing);
            return Ok(own);
        }
    }

    /// One transaction for all of these.
    async fn write_group(&self, group: &[Wanted]) -> Result<HashMap<ProjectId, HashMap<Pid, SubjectNo>>> {
        type Rows<'a> = HashMap<Pid, &'a str>;
        let mut projects: BTreeMap<ProjectId, (&ProjectKeys, Rows<'_>, Rows<'_>)> = BTreeMap::new();
        let mut hashes: HashMap<(ProjectId, Pid), Hash> = HashMap::new();
        for wanted in group {
            let (_, subjects, join_keys) =
                projects.entry(wanted.project).or_insert_with(|| (&wanted.keys, HashMap::new(), HashMap::new()));
            match &*wanted.rows {
                WantedRows::Subjects(ids, mails) => {
                    subjects.extend(ids.iter().map(|(pid, id)| (*pid, id.as_str())));
                    hashes.extend(mails.iter().map(|(pid, hash)| ((wanted.project, *pid), *hash)));
                }
                WantedRows::JoinKeys(ids) => join_keys.extend(ids.iter().map(|(pid, id)| (*pid, id.as_str()))),
            }
        }
        let mut numbers: HashMap<ProjectId, HashMap<Pid, SubjectNo>> = HashMap::new();
        let mut rows = Vec::new();
        let mut values = Vec::new();
        let mut mails: BTreeMap<ProjectId, Vec<(SubjectNo, Hash)>> = BTreeMap::new();
        for (project, (keys, subjects, join_keys)) in projects {
            let (found, new) = self.allocate(project, keys, &subjects).await?;
            for (pid, subject, sealed) in new {
                if let Some(hash) = hashes.get(&(project, pid)) {
                    mails.entry(project).or_default().push((subject, *hash));
                }
                rows.push((project, pid, subject, sealed));
            }
            numbers.insert(project, found);
            for (pid, value) in join_keys {
                let sealed = keys.ids.seal(&aad("join", &[keys.org.0, project.0]), value.as_bytes());
                values.push((project, pid, sealed));
            }
        }
        let moving = {
            let mut unindexed = self.unindexed.lock().expect("never left half changed");
            let moving = unindexed.next_to_move(rows.len());
            unindexed.in_doubt.extend(numbers.keys().copied().chain(moving.iter().map(|(project, ..)| *project)));
            moving
        };
        self.write_rows(&rows, &values, &moving, &mails).await?;
        let mut unindexed = self.unindexed.lock().expect("never left half changed");
        for (project, pid, _) in &moving {
            unindexed.moving.remove(&(*project, *pid));
            unindexed.in_doubt.remove(project);
        }
        for (project, pid, subject, _) in rows {
            unindexed.recent.insert((project, pid), subject);
            unindexed.next.insert(project, subject.0 + 1);
            numbers.entry(project).or_default().insert(pid, subject);
        }
        for project in numbers.keys() {
            unindexed.in_doubt.remove(project);
        }
        Ok(numbers)
    }

    /// One transaction. Mostly it is one statement, and then needs no other.
    async fn write_rows(
        &self,
        rows: &[(ProjectId, Pid, SubjectNo, Vec<u8>)],
        join_keys: &[(ProjectId, Pid, Vec<u8>)],
        moving: &[(ProjectId, Pid, SubjectNo)],
        mails: &BTreeMap<ProjectId, Vec<(SubjectNo, Hash)>>,
    ) -> Result<()> {
        const IDENTITIES: &str = "INSERT INTO identities (place, pid, sealed_id)";
        const JOIN_KEYS: &str = "INSERT INTO join_keys (project, pid, sealed_value)";
        let identities: Vec<Bind<'_>> = rows
            .iter()
            .flat_map(|(project, pid, subject, sealed)| [place(*project, subject.0).into(), pid.into(), sealed.into()])
            .collect();
        let join_keys: Vec<Bind<'_>> = join_keys
            .iter()
            .flat_map(|(project, pid, sealed)| [(*project).into(), pid.into(), sealed.into()])
            .collect();
        match (identities.is_empty(), join_keys.is_empty(), moving.is_empty() && mails.is_empty()) {
            (true, true, true) => return Ok(()),
            (false, true, true) => return self.database.insert(IDENTITIES, 3, &identities, "").await,
            (true, false, true) => {
                return self.database.insert(JOIN_KEYS, 3, &join_keys, "ON CONFLICT DO NOTHING").await;
            }
            _ => {}
        }
        let mut write = self.database.write().await?;
        write.insert(IDENTITIES, 3, &identities, "").await?;
        write.insert(JOIN_KEYS, 3, &join_keys, "ON CONFLICT DO NOTHING").await?;
        for (project, mails) in mails {
            BlindIndex::add(&mut write, *project, Source::Id, mails).await?;
        }
        let entries: Vec<Bind<'_>> = moving
            .iter()
            .flat_map(|(project, pid, subject)| [(*project).into(), pid.into(), (*subject).into()])
            .collect();
        // Some are there already when a batch was interrupted.
        write.insert("INSERT INTO pids (project, pid, subject)", 3, &entries, "ON CONFLICT DO NOTHING").await?;
        for (project, subject) in self.indexed_after(moving) {
            write
                .execute(
                    "INSERT INTO indexed (project, subject) VALUES ($1, $2)
                     ON CONFLICT (project) DO UPDATE SET subject = excluded.subject",
                    &[project.into(), subject.into()],
                )
                .await?;
        }
        write.commit().await
    }

    /// The marks, when these are the last of what is moving: the next number less what came since.
    fn indexed_after(&self, moving: &[(ProjectId, Pid, SubjectNo)]) -> BTreeMap<ProjectId, SubjectNo> {
        let unindexed = self.unindexed.lock().expect("never left half changed");
        let mut marks = BTreeMap::new();
        if moving.is_empty() || unindexed.moving.len() > moving.len() {
            return marks;
        }
        let mut first: BTreeMap<ProjectId, SubjectNo> = BTreeMap::new();
        for ((project, _), subject) in &unindexed.recent {
            let lowest = first.entry(*project).or_insert(*subject);
            *lowest = (*lowest).min(*subject);
        }
        for (project, next) in &unindexed.next {
            let first = first.get(project).map_or(*next, |first| first.0);
            if let Some(last) = first.checked_sub(1) {
                marks.insert(*project, SubjectNo(last));
            }
        }
        marks
    }

    /// Reads a project's rows that the index lacks, once. The caller has the right to write.
    async fn load(&self, project: ProjectId) -> Result<()> {
        if self.unindexed.lock().expect("never left half changed").is_known(project) {
            return Ok(());
        }
        // A transaction that was given up may still be on its way: one that writes comes after it.
        let mut write = self.database.write().await?;
        let mark = write.row("SELECT subject FROM indexed WHERE project = $1", &[project.into()]).await?;
        let mut next = mark.map_or(Ok(0), |row| row.number(0).map(|mark| mark + 1))?;
        let mut recent = Vec::new();
        let sql = "SELECT place, pid FROM identities WHERE place >= $1 AND place <= $2 ORDER BY place LIMIT 10000";
        loop {
            let from_to = [place(project, next).into(), place(project, u32::MAX).into()];
            let rows = write.rows(sql, &from_to).await?;
            for row in &rows {
                let subject = SubjectNo(row.int(0)? as u32);
                recent.push(((project, row.bytes(1)?.try_into().map_err(|_| Error::CannotOpen)?), subject));
                next = subject.0 + 1;
            }
            if rows.is_empty() {
                break;
            }
        }
        write.commit().await?;
        let mut unindexed = self.unindexed.lock().expect("never left half changed");
        unindexed.recent.retain(|(other, _), _| *other != project);
        unindexed.moving.retain(|(other, _), _| *other != project);
        unindexed.recent.extend(recent);
        unindexed.next.insert(project, next);
        unindexed.in_doubt.remove(&project);
        Ok(())
    }

    /// The numbers of ids that have one, and rows for those that are new. The caller has the right to write.
    async fn allocate(
        &self,
        project: ProjectId,
        keys: &ProjectKeys,
        wanted: &HashMap<Pid, &str>,
    ) -> Result<(HashMap<Pid, SubjectNo>, Vec<NewRow>)> {
        if wanted.is_empty() {
            return Ok(Default::default());
        }
        self.load(project).await?;
        let mut pids: Vec<Pid> = wanted.keys().copied().collect();
        // In the order of the index, and the same for the same ids on every run.
        pids.sort_unstable();
        let found = self.find(project, &pids).await?;
        let next = self.unindexed.lock().expect("never left half changed").next.get(&project).copied().unwrap_or(0);
        let mut new = Vec::new();
        for (next, pid) in (u64::from(next)..).zip(pids.into_iter().filter(|pid| !found.contains_key(pid))) {
            // The last number is kept free, so that "one past the highest" always fits.
            let subject =
                u32::try_from(next).ok().filter(|subject| *subject < u32::MAX).ok_or(Error::TooManySubjects)?;
            let sealed = keys.ids.seal(&aad("id", &[keys.org.0, project.0, subject]), wanted[&pid].as_bytes());
            new.push((pid, SubjectNo(subject), sealed));
        }
        Ok((found, new))
    }

    /// The numbers of those that have one, of a project that is loaded. What is not in the index when it is asked
    /// was in memory before that: it leaves there only after it is in the index.
    async fn find(&self, project: ProjectId, pids: &[Pid]) -> Result<HashMap<Pid, SubjectNo>> {
        let mut found = HashMap::with_capacity(pids.len());
        let mut others = Vec::with_capacity(pids.len());
        {
            let unindexed = self.unindexed.lock().expect("never left half changed");
            for pid in pids {
                match unindexed.get(project, pid) {
                    Some(subject) => drop(found.insert(*pid, subject)),
                    None => others.push(pid),
                }
            }
        }
        let sql = "SELECT pid, subject FROM pids WHERE project = $1 AND pid IN";
        for row in self.database.rows_in(sql, &[project.into()], others.into_iter().map(Bind::from)).await? {
            found.insert(row.bytes(0)?.try_into().map_err(|_| Error::CannotOpen)?, SubjectNo(row.number(1)?));
        }
        Ok(found)
    }

    /// The pseudonym of a join key.
    pub(crate) fn join_key(&self, project: ProjectId, keys: &ProjectKeys, text: &str) -> JoinKey {
        let print = self.print(project, Kind::JoinKey, text);
        let kept = self.join_keys.lock().expect("never left half changed").get(&print).copied();
        JoinKey { pid: kept.unwrap_or_else(|| keys.pid(Kind::JoinKey, text)), is_kept: kept.is_some() }
    }

    /// Remembers the values behind pseudonymised join keys, sealed. Durable when this returns.
    pub(crate) async fn keep_join_keys(
        &self,
        project: ProjectId,
        keys: &Arc<ProjectKeys>,
        mut values: Vec<(Pid, String)>,
    ) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        values.sort_unstable();
        values.dedup_by(|a, b| a.0 == b.0);
        let prints: Vec<(Print, Pid)> =
            values.iter().map(|(pid, value)| (self.print(project, Kind::JoinKey, value), *pid)).collect();
        self.write_together(project, keys, WantedRows::JoinKeys(values)).await?;
        let mut kept = self.join_keys.lock().expect("never left half changed");
        if kept.len() + prints.len() > CACHE_IDS_MAX / 4 {
            kept.clear();
        }
        kept.extend(prints);
        Ok(())
    }

    /// The numbers of those that have one.
    pub(crate) async fn known(&self, project: ProjectId, pids: &[Pid]) -> Result<HashMap<Pid, SubjectNo>> {
        self.loaded(project).await?;
        self.find(project, pids).await
    }

    /// As [`Self::load`], for those who do not write.
    async fn loaded(&self, project: ProjectId) -> Result<()> {
        // Doubts are about what is being written, not about what was there.
        if self.unindexed.lock().expect("never left half changed").next.contains_key(&project) {
            return Ok(());
        }
        let _one = self.writer.lock().await;
        self.load(project).await
    }

    /// What subjects are called: `per_…`.
    pub(crate) async fn pseudonyms(
        &self,
        project: ProjectId,
        subjects: &[SubjectNo],
    ) -> Result<HashMap<SubjectNo, String>> {
        let mut found = HashMap::with_capacity(subjects.len());
        let list = subjects.iter().map(|subject| place(project, subject.0).into());
        for row in self.database.rows_in("SELECT place, pid FROM identities WHERE place IN", &[], list).await? {
            found.insert(SubjectNo(row.int(0)? as u32), printed("per_", row.bytes(1)?));
        }
        Ok(found)
    }

    /// Overwrites the ids of subjects, and forgets that they led to them: the numbers stay taken, and the ids are new
    /// to whoever sends them again. Durable when this returns.
    pub(crate) async fn erase(&self, project: ProjectId, subjects: &BTreeSet<SubjectNo>) -> Result<()> {
        // Numbers are not given out meanwhile, nor is anything moved into the index.
        let _one = self.writer.lock().await;
        let sql = "SELECT place, pid FROM identities WHERE length(sealed_id) > 0 AND place IN";
        let list = subjects.iter().map(|subject| place(project, subject.0).into());
        let mut pids: Vec<(i64, Pid)> = Vec::with_capacity(subjects.len());
        for row in self.database.rows_in(sql, &[], list).await? {
            pids.push((row.int(0)?, row.bytes(1)?.try_into().map_err(|_| Error::CannotOpen)?));
        }
        let mut write = self.database.write().await?;
        for (place, pid) in &pids {
            let sql = "UPDATE identities SET pid = $1, sealed_id = $2 WHERE place = $3";
            write.execute(sql, &[(&random::<16>()).into(), Bind::Bytes(&[]), (*place).into()]).await?;
            let sql = "DELETE FROM pids WHERE project = $1 AND pid = $2";
            write.execute(sql, &[project.into(), pid.into()]).await?;
        }
        write.commit().await?;
        let mut unindexed = self.unindexed.lock().expect("never left half changed");
        for (_, pid) in &pids {
            unindexed.recent.remove(&(project, *pid));
            unindexed.moving.remove(&(project, *pid));
        }
        drop(unindexed);
        // It does not say which project a number is of: what is forgotten too much is found again.
        let mut known = self.subjects.lock().expect("never left half changed");
        self.erasures.fetch_add(1, Ordering::SeqCst);
        known.retain(|_, subject| !subjects.contains(subject));
        Ok(())
    }

    /// Sealed ids of those subjects that have one.
    pub(crate) async fn sealed_ids(
        &self,
        project: ProjectId,
        subjects: &[SubjectNo],
    ) -> Result<Vec<(SubjectNo, Vec<u8>)>> {
        let list = subjects.iter().map(|subject| place(project, subject.0).into());
        let rows = self
            .database
            .rows_in("SELECT place, sealed_id FROM identities WHERE length(sealed_id) > 0 AND place IN", &[], list)
            .await?;
        rows.iter().map(|row| Ok((SubjectNo(row.int(0)? as u32), row.bytes(1)?.to_vec()))).collect()
    }

    /// The subject a pseudonym names.
    pub(crate) async fn subject_of(&self, project: ProjectId, pseudonym: &str) -> Result<Option<SubjectNo>> {
        let Some(prefix) = parse_printed("per_", pseudonym) else { return Ok(None) };
        self.loaded(project).await?;
        let (mut low, mut high) = ([0; 16], [0xff; 16]);
        low[..8].copy_from_slice(&prefix);
        high[..8].copy_from_slice(&prefix);
        {
            let unindexed = self.unindexed.lock().expect("never left half changed");
            let mut range = unindexed.recent.range((project, low)..=(project, high));
            let mut moving = unindexed.moving.range((project, low)..=(project, high));
            if let Some((_, subject)) = range.next().or_else(|| moving.next()) {
                return Ok(Some(*subject));
            }
        }
        let sql = "SELECT subject FROM pids WHERE project = $1 AND pid BETWEEN $2 AND $3";
        let row = self.database.row(sql, &[project.into(), (&low).into(), (&high).into()]).await?;
        row.map(|row| Ok(SubjectNo(row.number(0)?))).transpose()
    }
}

/// A row of a subject that is new: pid, number, sealed id.
type NewRow = (Pid, SubjectNo, Vec<u8>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, on_each};
    use crate::{OrgId, Vault};

    on_each!(
        ids_move_to_the_index_in_batches_and_keep_their_numbers_through_restarts,
        a_write_that_is_given_up_gives_no_number_twice,
    );

    const PROJECTS: [ProjectId; 2] = [ProjectId(1), ProjectId(2)];

    async fn open(home: &Home) -> Vault {
        let vault = Vault::open(&home.site).await.unwrap();
        if vault.log_keys().is_empty() {
            for project in PROJECTS {
                vault.create_project(OrgId(1), project).await.unwrap();
            }
        }
        vault.identities.unindexed.lock().unwrap().many = 100;
        vault
    }

    /// Between a group's commit and its answers: whoever may run, runs.
    pub(super) async fn others_run() {
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
    }

    /// On one thread, where it is known who runs when: everybody who waits has been polled between commit and answers.
    #[tokio::test]
    async fn whoever_gets_the_right_to_write_has_the_last_groups_answer_or_is_in_no_group() {
        let home = crate::testing::on_sqlite().unwrap();
        let vault = Arc::new(open(&home).await);
        for round in 0..3 {
            let mut asking = Vec::new();
            for at in 0..12 {
                let vault = vault.clone();
                asking.push(tokio::spawn(async move {
                    let ids = [format!("{round} {}", at % 7), format!("{round} both")];
                    resolve(&vault, PROJECTS[0], &ids).await
                }));
            }
            let mut found = Vec::new();
            for one in asking {
                found.push(one.await.expect("a number for everybody"));
            }
            assert!(found.iter().all(|numbers| numbers[1] == found[0][1]));
            let different: BTreeSet<u32> = found.into_iter().flatten().collect();
            assert_eq!(different.len(), 8);
        }
    }

    async fn resolve(vault: &Vault, project: ProjectId, ids: &[String]) -> Vec<u32> {
        let keys = vault.keys.project(project).unwrap();
        let ids: Vec<(Kind, &str)> = ids.iter().map(|id| (Kind::Person, id.as_str())).collect();
        let numbers = vault.identities.resolve(project, &keys, &vault.blind, &ids).await.unwrap();
        numbers.into_iter().map(|subject| subject.0).collect()
    }

    async fn ids_move_to_the_index_in_batches_and_keep_their_numbers_through_restarts(home: Home) {
        let mut numbers: HashMap<(ProjectId, String), u32> = HashMap::new();
        for start in 0..3 {
            let vault = open(&home).await;
            for round in 0..60 {
                for (project, count) in PROJECTS.into_iter().zip([7, 2]) {
                    let name = |at: u32| format!("id {} {at}", start * 60 + round);
                    let ids: Vec<String> = (0..count).map(name).collect();
                    for (id, number) in ids.iter().zip(resolve(&vault, project, &ids).await) {
                        assert_eq!(numbers.insert((project, id.clone()), number), None);
                    }
                }
            }
            let indexed = vault.identities.database.row("SELECT count(*) FROM pids", &[]).await.unwrap().unwrap();
            let unindexed = {
                let unindexed = vault.identities.unindexed.lock().unwrap();
                unindexed.recent.len() + unindexed.moving.len()
            };
            let indexed = indexed.int(0).unwrap() as usize;
            assert_eq!((indexed + unindexed, indexed > 0, unindexed < 220), (numbers.len(), true, true));
            // Nothing of this comes from the cache.
            drop(vault);
            let vault = open(&home).await;
            for project in PROJECTS {
                let (ids, expected): (Vec<String>, Vec<u32>) = numbers
                    .iter()
                    .filter(|((other, _), _)| *other == project)
                    .map(|((_, id), number)| (id.clone(), *number))
                    .unzip();
                let (persons, known) = vault.known_persons(project, &ids).await.unwrap();
                assert_eq!((persons.len() as usize, known as usize), (ids.len(), ids.len()));
                assert_eq!(resolve(&vault, project, &ids).await, expected);
                let subjects: Vec<SubjectNo> = expected.iter().copied().map(SubjectNo).collect();
                for (subject, pseudonym) in vault.pseudonyms(project, &subjects).await.unwrap() {
                    assert_eq!(vault.subject_of(project, &pseudonym).await.unwrap(), Some(subject));
                }
                let mut dense = expected;
                dense.sort_unstable();
                assert_eq!(dense, (0..ids.len() as u32).collect::<Vec<_>>());
            }
        }
    }

    async fn a_write_that_is_given_up_gives_no_number_twice(home: Home) {
        let vault = Arc::new(open(&home).await);
        for round in 0..60_u64 {
            let writing = {
                let vault = vault.clone();
                tokio::spawn(async move { resolve(&vault, PROJECTS[0], &[format!("given up {round}")]).await })
            };
            // At another point each time.
            tokio::time::sleep(std::time::Duration::from_micros(round * 40)).await;
            writing.abort();
            let _ = writing.await;
            resolve(&vault, PROJECTS[0], &[format!("kept {round}")]).await;
        }
        let ids: Vec<String> =
            (0..60).flat_map(|round| [format!("given up {round}"), format!("kept {round}")]).collect();
        let before = resolve(&vault, PROJECTS[0], &ids).await;
        drop(vault);
        let again = open(&home).await;
        assert_eq!(resolve(&again, PROJECTS[0], &ids).await, before);
        let mut dense = before;
        dense.sort_unstable();
        assert_eq!(dense, (0..120).collect::<Vec<_>>());
    }

    #[test]
    fn printed_pseudonyms_read_back() {
        for pid in [[0_u8; 16], [0xff; 16], [7; 16]] {
            let text = printed("per_", &pid);
            assert_eq!(text.len(), 17);
            assert_eq!(parse_printed("per_", &text).unwrap(), pid[..8]);
        }
        assert_eq!(parse_printed("per_", "per_short"), None);
        assert_eq!(parse_printed("per_", "per_zzzzzzzzzzzzz"), None);
    }
}
