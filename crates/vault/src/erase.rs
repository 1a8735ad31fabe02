//! Erasing subjects: everything the vault holds of them, for good.
//!
//! An erasure is begun and finished; what is in between can be done again, and is after a crash. Beginning it is one
//! transaction that names its subjects. From then on nothing is written for them any more: what was under way with
//! their numbers when it began finds nobody to write to. Erasing destroys their keys, records, addresses and
//! quarantined values, and overwrites their ids with random bytes, so that the row that keeps a number from being given
//! out again says nothing. Whoever comes back under the same id is somebody new.
//!
//! Values behind join keys stay: they are of organisations, accounts and the like, and shared by many.

use std::collections::{BTreeSet, HashMap};
use std::sync::RwLock;

use cofferdam_model::{ProjectId, SubjectNo, SubjectSet, limits};

use crate::database::{Bind, Database};
use crate::{Error, Result, Vault};

const SCHEMA: &str = "
CREATE TABLE erasures (
    id INTEGER PRIMARY KEY,
    project INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    is_done INTEGER NOT NULL,
    statement BLOB NOT NULL
) STRICT;
CREATE INDEX erasures_by_project ON erasures (project, id);
CREATE TABLE erased (
    project INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    erasure INTEGER NOT NULL,
    PRIMARY KEY (project, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX erased_by_erasure ON erased (erasure);
";

/// What the vault holds of subjects, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Keys that open something.
    pub keys: u64,
    /// Sealed profiles.
    pub profiles: u64,
    /// Entries of the blind index.
    pub addresses: u64,
    /// Quarantined values.
    pub quarantined: u64,
    /// Sealed ids.
    pub ids: u64,
}

/// An erasure: begun, or done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    pub id: u32,
    pub project: ProjectId,
    /// The newest ledger entry about it.
    pub entry: u64,
    pub is_done: bool,
    /// What is said about it, in numbers and pseudonyms.
    pub statement: String,
}

pub(crate) struct Erasures {
    database: Database,
    /// Numbers that nothing is written for any more.
    gone: RwLock<HashMap<ProjectId, SubjectSet>>,
}

impl Erasures {
    pub(crate) async fn open(database: Database) -> Result<Erasures> {
        database.migrate("erasures", &[SCHEMA]).await?;
        let mut gone: HashMap<ProjectId, SubjectSet> = HashMap::new();
        for row in database.rows("SELECT project, subject FROM erased", &[]).await? {
            gone.entry(ProjectId(row.number(0)?)).or_default().insert(SubjectNo(row.number(1)?));
        }
        Ok(Erasures { database, gone: RwLock::new(gone) })
    }

    pub(crate) fn is_gone(&self, project: ProjectId, subject: SubjectNo) -> bool {
        self.gone.read().expect("never left half changed").get(&project).is_some_and(|gone| gone.contains(subject))
    }

    async fn listed(&self, sql: &'static str, binds: &[Bind<'_>]) -> Result<Vec<Erasure>> {
        let rows = self.database.rows(sql, binds).await?;
        rows.iter()
            .map(|row| {
                Ok(Erasure {
                    id: row.number(0)?,
                    project: ProjectId(row.number(1)?),
                    entry: row.int(2)?.cast_unsigned(),
                    is_done: row.int(3)? != 0,
                    statement: String::from_utf8(row.bytes(4)?.to_vec()).map_err(|_| Error::CannotOpen)?,
                })
            })
            .collect()
    }
}

impl Vault {
    /// What there is of subjects.
    pub async fn held(&self, project: ProjectId, subjects: &[SubjectNo]) -> Result<Held> {
        let list = || subjects.iter().map(|subject| Bind::from(*subject));
        let fixed = [project.into()];
        let vault = &self.erasures.database;
        let count = async |database: &Database, sql: &'static str| -> Result<u64> {
            Ok(database.rows_in(sql, &fixed, list()).await?.len() as u64)
        };
        Ok(Held {
            keys: count(&self.keys.database, "SELECT subject FROM subjects WHERE project = $1 AND subject IN").await?,
            profiles: count(vault, "SELECT subject FROM records WHERE project = $1 AND subject IN").await?,
            addresses: count(vault, "SELECT subject FROM blind WHERE project = $1 AND subject IN").await?,
            quarantined: count(vault, "SELECT subject FROM quarantine WHERE project = $1 AND subject IN").await?,
            ids: self.identities.sealed_ids(project, subjects).await?.len() as u64,
        })
    }

    /// Begins an erasure that the ledger has in `entry`: from now on nothing is written for these subjects, and the
    /// next start knows what is to be erased. Answers its number. Durable when this returns.
    pub async fn begin_erasure(
        &self,
        project: ProjectId,
        subjects: &[SubjectNo],
        entry: u64,
        statement: &str,
    ) -> Result<Erasure> {
        let mut write = self.erasures.database.write().await?;
        let last = write.row("SELECT max(id) FROM erasures", &[]).await?.map_or(Ok(None), |row| row.maybe_int(0))?;
        let id = u32::try_from(last.unwrap_or(0) + 1).map_err(|_| Error::TooManySubjects)?;
        let sql = "INSERT INTO erasures (id, project, entry, is_done, statement) VALUES ($1, $2, $3, 0, $4)";
        let binds = [id.into(), project.into(), entry.cast_signed().into(), statement.as_bytes().into()];
        write.execute(sql, &binds).await?;
        let values: Vec<Bind<'_>> =
            subjects.iter().flat_map(|subject| [project.into(), (*subject).into(), id.into()]).collect();
        // Of two erasures of one person the first is enough.
        let into = "INSERT INTO erased (project, subject, erasure)";
        write.insert(into, 3, &values, "ON CONFLICT DO NOTHING").await?;
        write.commit().await?;
        let mut gone = self.erasures.gone.write().expect("never left half changed");
        let gone = gone.entry(project).or_default();
        for subject in subjects {
            gone.insert(*subject);
        }
        Ok(Erasure { id, project, entry, is_done: false, statement: statement.to_owned() })
    }

    /// Destroys everything that is held of subjects whose erasure was begun.
    pub async fn erase(&self, project: ProjectId, subjects: &[SubjectNo]) -> Result<()> {
        for some in subjects.chunks(limits::ERASE_AT_ONCE) {
            let some: BTreeSet<SubjectNo> = some.iter().copied().collect();
            {
                let writing = self.profiles.writing().await;
                self.profiles.write(&writing, &self.keys, project, &HashMap::new(), &some, &some).await?;
            }
            self.quarantine.forget(project, &some).await?;
            self.identities.erase(project, &some).await?;
            let mut lately = self.sealed_lately.lock().expect("never left half changed");
            some.iter().for_each(|subject| drop(lately.remove(&(project, *subject))));
        }
        for table in ["identities", "pids", "records", "blind", "quarantine"] {
            self.erasures.database.scrub(table).await?;
        }
        Ok(())
    }

    /// Ends an erasure, with what the ledger has a hash of in `entry`.
    pub async fn finish_erasure(&self, id: u32, entry: u64, statement: &str) -> Result<()> {
        let mut write = self.erasures.database.write().await?;
        let sql = "UPDATE erasures SET entry = $1, is_done = 1, statement = $2 WHERE id = $3";
        write.execute(sql, &[entry.cast_signed().into(), statement.as_bytes().into(), id.into()]).await?;
        write.commit().await
    }

    /// Erasures that were begun and not finished, oldest first.
    pub async fn erasures_begun(&self) -> Result<Vec<Erasure>> {
        let sql = "SELECT id, project, entry, is_done, statement FROM erasures WHERE is_done = 0 ORDER BY id";
        self.erasures.listed(sql, &[]).await
    }

    /// The subjects of an erasure.
    pub async fn erasure_subjects(&self, id: u32) -> Result<Vec<SubjectNo>> {
        let sql = "SELECT subject FROM erased WHERE erasure = $1 ORDER BY subject";
        let rows = self.erasures.database.rows(sql, &[id.into()]).await?;
        rows.iter().map(|row| row.number(0).map(SubjectNo)).collect()
    }

    /// The newest erasures of a project, newest first.
    pub async fn erasures(&self, project: ProjectId) -> Result<Vec<Erasure>> {
        let sql = "SELECT id, project, entry, is_done, statement FROM erasures WHERE project = $1
                   ORDER BY id DESC LIMIT $2";
        self.erasures.listed(sql, &[project.into(), i64::from(limits::ROWS_MAX).into()]).await
    }

    pub async fn erasure(&self, project: ProjectId, id: u32) -> Result<Option<Erasure>> {
        let sql = "SELECT id, project, entry, is_done, statement FROM erasures WHERE project = $1 AND id = $2";
        Ok(self.erasures.listed(sql, &[project.into(), id.into()]).await?.pop())
    }
}
