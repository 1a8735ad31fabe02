//! The identity map: keyed pseudonym of an id → dense subject number; and which subjects are one person.
//!
//! The id itself is kept sealed beside its number. Numbers are given out in order and never again, durable before any
//! event that uses them: one transaction for everybody who waits. A bounded cache answers for ids seen lately; it
//! knows them by a hash keyed at random for each process.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, RwLock};

use aws_lc_rs::hmac;
use cofferdam_model::{Merges, ProjectId, SubjectNo, limits};
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use crate::database::{Bind, Database, Row, Write};
use crate::keys::{ProjectKeys, aad};
use crate::wire::LinkRule;
use crate::{Error, Result};

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

/// Keyed pseudonym of an id.
pub(crate) type Pid = [u8; 16];

/// Ids remembered per process; at 40 bytes each this is about 80 MB.
const CACHE_IDS_MAX: usize = 2_000_000;

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
    /// What waits for the next transaction.
    waiting: Mutex<Vec<Wanted>>,
    /// One allocation or merge at a time: numbers are dense.
    writer: tokio::sync::Mutex<()>,
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
    Subjects(Vec<(Pid, String)>),
    JoinKeys(Vec<(Pid, String)>),
}

/// The pseudonym of a join key; the value behind it has to be kept when it is not yet.
pub(crate) struct JoinKey {
    pub(crate) pid: Pid,
    pub(crate) is_kept: bool,
}

impl IdentityMap {
    pub(crate) async fn open(database: Database) -> Result<IdentityMap> {
        database.migrate("identities", &[SCHEMA]).await?;
        let merges = read_merges(&database, None).await?;
        Ok(IdentityMap {
            database,
            hashers: (RandomState::new(), RandomState::new()),
            subjects: Mutex::default(),
            join_keys: Mutex::default(),
            merges: RwLock::new(merges.into_iter().map(|(project, merges)| (project, Arc::new(merges))).collect()),
            waiting: Mutex::default(),
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
        ids: &[(Kind, &str)],
    ) -> Result<Vec<SubjectNo>> {
        let prints: Vec<Print> = ids.iter().map(|(kind, id)| self.print(project, *kind, id)).collect();
        let mut numbers: Vec<Option<SubjectNo>> = {
            let subjects = self.subjects.lock().expect("never left half changed");
            prints.iter().map(|print| subjects.get(print).copied()).collect()
        };
        if numbers.iter().any(Option::is_none) {
            let mut pids: FxHashMap<Print, Pid> = FxHashMap::default();
            let mut wanted = Vec::new();
            for ((print, (kind, id)), number) in prints.iter().zip(ids).zip(&numbers) {
                if number.is_none() && !pids.contains_key(print) {
                    let pid = keys.pid(*kind, id);
                    pids.insert(*print, pid);
                    wanted.push((pid, (*id).to_owned()));
                }
            }
            let found = self.write_together(project, keys, WantedRows::Subjects(wanted)).await?;
            let mut subjects = self.subjects.lock().expect("never left half changed");
            if subjects.len() + pids.len() > CACHE_IDS_MAX {
                subjects.clear();
            }
            for (print, number) in prints.iter().zip(&mut numbers).filter(|(_, number)| number.is_none()) {
                *number = pids.get(print).and_then(|pid| found.get(pid)).copied();
                if let Some(number) = number {
                    subjects.insert(*print, *number);
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
            let mut own = HashMap::new();
            for wanted in group {
                let numbers = match &*wanted.rows {
                    WantedRows::JoinKeys(_) => HashMap::new(),
                    WantedRows::Subjects(ids) => {
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
        for wanted in group {
            let (_, subjects, join_keys) =
                projects.entry(wanted.project).or_insert_with(|| (&wanted.keys, HashMap::new(), HashMap::new()));
            match &*wanted.rows {
                WantedRows::Subjects(ids) => subjects.extend(ids.iter().map(|(pid, id)| (*pid, id.as_str()))),
                WantedRows::JoinKeys(ids) => join_keys.extend(ids.iter().map(|(pid, id)| (*pid, id.as_str()))),
            }
        }
        let mut numbers = HashMap::new();
        let mut write = self.database.write().await?;
        for (project, (keys, subjects, join_keys)) in projects {
            let found = read_or_allocate(&mut write, project, keys, &subjects).await?;
            numbers.insert(project, found);
            insert_join_keys(&mut write, project, keys, &join_keys).await?;
        }
        write.commit().await?;
        Ok(numbers)
    }

    /// Makes pairs (alias, canonical) one person each, where the rules allow it. Durable when this returns.
    pub(crate) async fn link(&self, project: ProjectId, links: &[(SubjectNo, SubjectNo, LinkRule)]) -> Result<()> {
        if links.iter().all(|(alias, canonical, _)| self.are_one(project, *alias, *canonical)) {
            return Ok(());
        }
        let _one = self.writer.lock().await;
        let new = self.link_in_memory(project, links);
        if new.is_empty() {
            return Ok(());
        }
        let result = self.write_links(project, &new).await;
        if result.is_err() {
            // Whether the rows are there is unknown; what they say is what counts, as it will at the next start.
            let read = read_merges(&self.database, Some(project)).await?;
            let merges = read.into_values().next().unwrap_or_default();
            self.merges.write().expect("never left half changed").insert(project, Arc::new(merges));
        }
        result
    }

    /// Makes the links that the rules allow. They are in use a moment before they are durable; an event that
    /// needs them is written after.
    fn link_in_memory(
        &self,
        project: ProjectId,
        links: &[(SubjectNo, SubjectNo, LinkRule)],
    ) -> Vec<(SubjectNo, SubjectNo)> {
        let mut projects = self.merges.write().expect("never left half changed");
        // Copied only while a query holds on to the old state.
        let merges = Arc::make_mut(projects.entry(project).or_default());
        let mut new = Vec::new();
        for (alias, canonical, rule) in links {
            let size = |subject: &SubjectNo| merges.group(*subject).map_or(1, |group| group.members.len());
            let refused = match rule {
                LinkRule::FreeAlias => merges.group(*alias).is_some() || size(canonical) >= limits::PERSON_DEVICES_MAX,
                LinkRule::Any => size(alias) + size(canonical) > limits::MERGE_MEMBERS_MAX,
            };
            if !refused && merges.link(*alias, *canonical) {
                new.push((*alias, *canonical));
            }
        }
        new
    }

    async fn write_links(&self, project: ProjectId, new: &[(SubjectNo, SubjectNo)]) -> Result<()> {
        let mut write = self.database.write().await?;
        let sql = "SELECT max(serial) FROM merges WHERE project = $1";
        let last = write.row(sql, &[project.into()]).await?.map_or(Ok(None), |row| row.maybe_int(0))?;
        let values: Vec<Bind<'_>> = (last.unwrap_or(0) + 1..)
            .zip(new)
            .flat_map(|(serial, (alias, canonical))| {
                [project.into(), serial.into(), (*alias).into(), (*canonical).into()]
            })
            .collect();
        write.insert("INSERT INTO merges (project, serial, alias, canonical)", 4, &values, "").await?;
        write.commit().await
    }

    fn are_one(&self, project: ProjectId, alias: SubjectNo, canonical: SubjectNo) -> bool {
        let merges = self.merges.read().expect("never left half changed");
        merges.get(&project).is_some_and(|merges| merges.canonical(alias) == merges.canonical(canonical))
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
        let list = pids.iter().map(Bind::from);
        numbers(&self.database.rows_in(FIND, &[project.into()], list).await?)
    }

    /// What subjects are called: `per_…`.
    pub(crate) async fn pseudonyms(
        &self,
        project: ProjectId,
        subjects: &[SubjectNo],
    ) -> Result<HashMap<SubjectNo, String>> {
        let mut found = HashMap::with_capacity(subjects.len());
        let sql = "SELECT subject, pid FROM identities WHERE project = $1 AND subject IN";
        let list = subjects.iter().map(|subject| (*subject).into());
        for row in self.database.rows_in(sql, &[project.into()], list).await? {
            found.insert(SubjectNo(row.number(0)?), printed("per_", row.bytes(1)?));
        }
        Ok(found)
    }

    /// The subject a pseudonym names.
    pub(crate) async fn subject_of(&self, project: ProjectId, pseudonym: &str) -> Result<Option<SubjectNo>> {
        let Some(prefix) = parse_printed("per_", pseudonym) else { return Ok(None) };
        let mut low = prefix.to_vec();
        let mut high = prefix.to_vec();
        low.extend([0; 8]);
        high.extend([0xff; 8]);
        let sql = "SELECT subject FROM identities WHERE project = $1 AND pid BETWEEN $2 AND $3";
        let row = self.database.row(sql, &[project.into(), (&low).into(), (&high).into()]).await?;
        row.map(|row| Ok(SubjectNo(row.number(0)?))).transpose()
    }
}

const FIND: &str = "SELECT pid, subject FROM identities WHERE project = $1 AND pid IN";

fn numbers(rows: &[Row]) -> Result<HashMap<Pid, SubjectNo>> {
    rows.iter()
        .map(|row| Ok((row.bytes(0)?.try_into().map_err(|_| Error::CannotOpen)?, SubjectNo(row.number(1)?))))
        .collect()
}

/// The numbers of ids, given out where they are new, in this transaction.
async fn read_or_allocate(
    write: &mut Write,
    project: ProjectId,
    keys: &ProjectKeys,
    wanted: &HashMap<Pid, &str>,
) -> Result<HashMap<Pid, SubjectNo>> {
    let mut pids: Vec<Pid> = wanted.keys().copied().collect();
    // In the order of the index, and the same for the same ids on every run.
    pids.sort_unstable();
    let mut found = numbers(&write.rows_in(FIND, &[project.into()], pids.iter().map(Bind::from)).await?)?;
    if found.len() == pids.len() {
        return Ok(found);
    }
    let sql = "SELECT max(subject) FROM identities WHERE project = $1";
    let highest = write.row(sql, &[project.into()]).await?.map_or(Ok(None), |row| row.maybe_int(0))?;
    let mut new = Vec::new();
    let unknown = pids.into_iter().filter(|pid| !found.contains_key(pid));
    for (next, pid) in (highest.map_or(0, |highest| highest + 1)..).zip(unknown) {
        // The last number is kept free, so that "one past the highest" always fits.
        let subject = u32::try_from(next).ok().filter(|subject| *subject < u32::MAX).ok_or(Error::TooManySubjects)?;
        let sealed = keys.ids.seal(&aad("id", &[keys.org.0, project.0, subject]), wanted[&pid].as_bytes());
        new.push((pid, SubjectNo(subject), sealed));
    }
    let values: Vec<Bind<'_>> = new
        .iter()
        .flat_map(|(pid, subject, sealed)| [project.into(), pid.into(), (*subject).into(), sealed.into()])
        .collect();
    write.insert("INSERT INTO identities (project, pid, subject, sealed_id)", 4, &values, "").await?;
    found.extend(new.into_iter().map(|(pid, subject, _)| (pid, subject)));
    Ok(found)
}

async fn insert_join_keys(
    write: &mut Write,
    project: ProjectId,
    keys: &ProjectKeys,
    values: &HashMap<Pid, &str>,
) -> Result<()> {
    let sealed: Vec<(&Pid, Vec<u8>)> = values
        .iter()
        .map(|(pid, value)| (pid, keys.ids.seal(&aad("join", &[keys.org.0, project.0]), value.as_bytes())))
        .collect();
    let values: Vec<Bind<'_>> =
        sealed.iter().flat_map(|(pid, sealed)| [project.into(), (*pid).into(), sealed.into()]).collect();
    write.insert("INSERT INTO join_keys (project, pid, sealed_value)", 3, &values, "ON CONFLICT DO NOTHING").await
}

/// The merges of one project, or of all, from their rows in order.
async fn read_merges(database: &Database, project: Option<ProjectId>) -> Result<HashMap<ProjectId, Merges>> {
    let mut merges: HashMap<ProjectId, Merges> = HashMap::new();
    let rows = match project {
        Some(project) => {
            let sql = "SELECT project, alias, canonical FROM merges WHERE project = $1 ORDER BY serial";
            database.rows(sql, &[project.into()]).await?
        }
        None => database.rows("SELECT project, alias, canonical FROM merges ORDER BY project, serial", &[]).await?,
    };
    for row in rows {
        let (alias, canonical) = (SubjectNo(row.number(1)?), SubjectNo(row.number(2)?));
        merges.entry(ProjectId(row.number(0)?)).or_default().link(alias, canonical);
    }
    Ok(merges)
}

#[cfg(test)]
mod tests {
    use super::*;

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
