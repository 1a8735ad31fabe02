//! The identity map: keyed pseudonym of an id → dense subject number; and which subjects are one person.
//!
//! The id itself is kept sealed beside its number. Numbers are given out in order and never again, in batches, one
//! transaction each, durable before any event that uses them. A bounded cache answers for ids seen lately.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};

use aws_lc_rs::hmac;
use cofferdam_model::{Merges, ProjectId, SubjectNo, limits};
use rustc_hash::{FxHashMap, FxHashSet};
use sqlx::Row;

use crate::keys::{ProjectKeys, aad};
use crate::wire::LinkRule;
use crate::{Database, Error, Result};

pub(crate) const SCHEMA: &str = "
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

/// Ids remembered per process; at 60 bytes each this is about 120 MB.
const CACHE_IDS_MAX: usize = 2_000_000;

/// What an id is the id of: equal texts of different kinds have different pseudonyms.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Person,
    Group,
    JoinKey,
    InsertId,
}

impl ProjectKeys {
    pub(crate) fn pid(&self, kind: Kind, id: &str) -> Pid {
        let domain: &[u8] = match kind {
            Kind::Person => b"pid\0",
            Kind::Group => b"grp\0",
            Kind::JoinKey => b"join\0",
            Kind::InsertId => b"ins\0",
        };
        let mut context = hmac::Context::with_key(&self.pseudonyms);
        context.update(domain);
        context.update(id.as_bytes());
        let tag = context.sign();
        *tag.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
    }

    /// An insert id as the number that stands for it; never 0.
    pub(crate) fn insert_number(&self, id: &str) -> u64 {
        let pid = self.pid(Kind::InsertId, id);
        u64::from_le_bytes(*pid.first_chunk().expect("a pid has 16 bytes")).max(1)
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

pub(crate) struct IdentityMap {
    database: Database,
    cache: Mutex<FxHashMap<(ProjectId, Pid), SubjectNo>>,
    join_keys_seen: Mutex<FxHashSet<(ProjectId, Pid)>>,
    merges: RwLock<HashMap<ProjectId, Arc<Merges>>>,
    /// One allocation or merge at a time: numbers are dense.
    writer: tokio::sync::Mutex<()>,
}

impl IdentityMap {
    pub(crate) async fn open(database: Database) -> Result<IdentityMap> {
        sqlx::raw_sql(SCHEMA).execute(&database.pool).await?;
        let merges = read_merges(&database, None).await?;
        Ok(IdentityMap {
            database,
            cache: Mutex::default(),
            join_keys_seen: Mutex::default(),
            merges: RwLock::new(merges.into_iter().map(|(project, merges)| (project, Arc::new(merges))).collect()),
            writer: tokio::sync::Mutex::new(()),
        })
    }

    pub(crate) fn merges(&self, project: ProjectId) -> Arc<Merges> {
        self.merges.read().expect("never left half changed").get(&project).cloned().unwrap_or_default()
    }

    /// The numbers of ids, given out where they are new. Durable when this returns.
    pub(crate) async fn resolve(
        &self,
        project: ProjectId,
        keys: &ProjectKeys,
        ids: &[(Pid, &str)],
    ) -> Result<Vec<SubjectNo>> {
        let mut numbers: Vec<Option<SubjectNo>> = {
            let cache = self.cache.lock().expect("never left half changed");
            ids.iter().map(|(pid, _)| cache.get(&(project, *pid)).copied()).collect()
        };
        if numbers.iter().any(Option::is_none) {
            let mut missing: HashMap<Pid, &str> = HashMap::new();
            for ((pid, id), number) in ids.iter().zip(&numbers) {
                if number.is_none() {
                    missing.insert(*pid, id);
                }
            }
            let _one = self.writer.lock().await;
            let found = self.read_or_allocate(project, keys, &missing).await?;
            let mut cache = self.cache.lock().expect("never left half changed");
            if cache.len() + found.len() > CACHE_IDS_MAX {
                cache.clear();
            }
            cache.extend(found.iter().map(|(pid, number)| ((project, *pid), *number)));
            for ((pid, _), number) in ids.iter().zip(&mut numbers) {
                if number.is_none() {
                    *number = found.get(pid).copied();
                }
            }
        }
        numbers.into_iter().map(|number| number.ok_or(Error::CannotOpen)).collect()
    }

    async fn read_or_allocate(
        &self,
        project: ProjectId,
        keys: &ProjectKeys,
        missing: &HashMap<Pid, &str>,
    ) -> Result<HashMap<Pid, SubjectNo>> {
        let mut pids: Vec<Pid> = missing.keys().copied().collect();
        // In the order of the index, and the same for the same ids on every run.
        pids.sort_unstable();
        let mut found = self.find(project, &pids).await?;
        if found.len() == pids.len() {
            return Ok(found);
        }
        let mut write = self.database.write().await?;
        let highest: Option<i64> = sqlx::query("SELECT max(subject) FROM identities WHERE project = $1")
            .bind(i64::from(project.0))
            .fetch_one(&mut *write.transaction)
            .await?
            .try_get(0)?;
        let mut next = highest.map_or(0, |highest| highest + 1);
        let new: Vec<Pid> = pids.into_iter().filter(|pid| !found.contains_key(pid)).collect();
        for chunk in new.chunks(crate::SQL_VALUES / 4) {
            let rows: Vec<String> = (0..chunk.len()).map(|row| format!("({})", crate::marks(row * 4 + 1, 4))).collect();
            let sql = format!("INSERT INTO identities (project, pid, subject, sealed_id) VALUES {}", rows.join(", "));
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
            for pid in chunk {
                // The last number is kept free, so that "one past the highest" always fits.
                let subject =
                    u32::try_from(next).ok().filter(|subject| *subject < u32::MAX).ok_or(Error::TooManySubjects)?;
                let sealed = keys.ids.seal(&aad("id", &[keys.org.0, project.0, subject]), missing[pid].as_bytes());
                query = query.bind(i64::from(project.0)).bind(pid.to_vec()).bind(next).bind(sealed);
                found.insert(*pid, SubjectNo(subject));
                next += 1;
            }
            query.execute(&mut *write.transaction).await?;
        }
        write.commit().await?;
        Ok(found)
    }

    /// The numbers of those that have one.
    pub(crate) async fn find(&self, project: ProjectId, pids: &[Pid]) -> Result<HashMap<Pid, SubjectNo>> {
        let mut found = HashMap::with_capacity(pids.len());
        for chunk in pids.chunks(crate::SQL_VALUES) {
            let sql = format!(
                "SELECT pid, subject FROM identities WHERE project = $1 AND pid IN ({})",
                crate::marks(2, chunk.len())
            );
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(i64::from(project.0));
            for pid in chunk {
                query = query.bind(pid.to_vec());
            }
            for row in query.fetch_all(&self.database.pool).await? {
                let pid: &[u8] = row.try_get(0)?;
                found.insert(
                    pid.try_into().map_err(|_| Error::CannotOpen)?,
                    SubjectNo(row.try_get::<i64, _>(1)? as u32),
                );
            }
        }
        Ok(found)
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
        let last: Option<i64> = sqlx::query("SELECT max(serial) FROM merges WHERE project = $1")
            .bind(i64::from(project.0))
            .fetch_one(&mut *write.transaction)
            .await?
            .try_get(0)?;
        for (serial, (alias, canonical)) in (last.unwrap_or(0) + 1..).zip(new) {
            sqlx::query("INSERT INTO merges (project, serial, alias, canonical) VALUES ($1, $2, $3, $4)")
                .bind(i64::from(project.0))
                .bind(serial)
                .bind(i64::from(alias.0))
                .bind(i64::from(canonical.0))
                .execute(&mut *write.transaction)
                .await?;
        }
        write.commit().await
    }

    fn are_one(&self, project: ProjectId, alias: SubjectNo, canonical: SubjectNo) -> bool {
        let merges = self.merges.read().expect("never left half changed");
        merges.get(&project).is_some_and(|merges| merges.canonical(alias) == merges.canonical(canonical))
    }

    /// Remembers the values behind pseudonymised join keys, sealed.
    pub(crate) async fn keep_join_keys(
        &self,
        project: ProjectId,
        keys: &ProjectKeys,
        values: &[(Pid, String)],
    ) -> Result<()> {
        let new: HashMap<Pid, &String> = {
            let seen = self.join_keys_seen.lock().expect("never left half changed");
            values
                .iter()
                .filter(|(pid, _)| !seen.contains(&(project, *pid)))
                .map(|(pid, value)| (*pid, value))
                .collect()
        };
        if new.is_empty() {
            return Ok(());
        }
        let mut write = self.database.write().await?;
        for (pid, value) in &new {
            sqlx::query(
                "INSERT INTO join_keys (project, pid, sealed_value) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            )
            .bind(i64::from(project.0))
            .bind(pid.to_vec())
            .bind(keys.ids.seal(&aad("join", &[keys.org.0, project.0]), value.as_bytes()))
            .execute(&mut *write.transaction)
            .await?;
        }
        write.commit().await?;
        let mut seen = self.join_keys_seen.lock().expect("never left half changed");
        if seen.len() > CACHE_IDS_MAX / 4 {
            seen.clear();
        }
        seen.extend(new.keys().map(|pid| (project, *pid)));
        Ok(())
    }

    /// What subjects are called: `per_…`.
    pub(crate) async fn pseudonyms(
        &self,
        project: ProjectId,
        subjects: &[SubjectNo],
    ) -> Result<HashMap<SubjectNo, String>> {
        let mut found = HashMap::with_capacity(subjects.len());
        for chunk in subjects.chunks(crate::SQL_VALUES) {
            let sql = format!(
                "SELECT subject, pid FROM identities WHERE project = $1 AND subject IN ({})",
                crate::marks(2, chunk.len())
            );
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(i64::from(project.0));
            for subject in chunk {
                query = query.bind(i64::from(subject.0));
            }
            for row in query.fetch_all(&self.database.pool).await? {
                found.insert(SubjectNo(row.try_get::<i64, _>(0)? as u32), printed("per_", row.try_get(1)?));
            }
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
        let row = sqlx::query("SELECT subject FROM identities WHERE project = $1 AND pid BETWEEN $2 AND $3")
            .bind(i64::from(project.0))
            .bind(low)
            .bind(high)
            .fetch_optional(&self.database.pool)
            .await?;
        row.map(|row| Ok(SubjectNo(row.try_get::<i64, _>(0)? as u32))).transpose()
    }
}

/// The merges of one project, or of all, from their rows in order.
async fn read_merges(database: &Database, project: Option<ProjectId>) -> Result<HashMap<ProjectId, Merges>> {
    let mut merges: HashMap<ProjectId, Merges> = HashMap::new();
    let rows = sqlx::query(
        "SELECT project, alias, canonical FROM merges WHERE $1 IS NULL OR project = $1 ORDER BY project, serial",
    )
    .bind(project.map(|project| i64::from(project.0)))
    .fetch_all(&database.pool)
    .await?;
    for row in rows {
        let project = ProjectId(row.try_get::<i64, _>(0)? as u32);
        let (alias, canonical) = (row.try_get::<i64, _>(1)? as u32, row.try_get::<i64, _>(2)? as u32);
        merges.entry(project).or_default().link(SubjectNo(alias), SubjectNo(canonical));
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
