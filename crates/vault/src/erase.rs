//! Erasing subjects: everything the vault holds of them, for good.
//!
//! An erasure is begun and finished; what is in between can be done again, and is after a crash. Beginning it is one
//! transaction that names its subjects. From then on nothing is written for them any more: what was under way with
//! their numbers when it began finds nobody to write to. Erasing destroys their keys, records, addresses and
//! quarantined values, and overwrites their ids with random bytes, so that the row that keeps a number from being given
//! out again says nothing. Whoever comes back under the same id is somebody new.
//!
//! Whom it is about is also in a list that is kept apart ([`apart`](crate::apart)), before it begins: a copy of the
//! databases that is put back finds there who was erased since, and erases them again.
//!
//! Values behind join keys stay: they are of organisations, accounts and the like, and shared by many.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::RwLock;

use cofferdam_model::{ProjectId, SubjectNo, SubjectSet, limits};

use crate::apart::{Destroyed, Mark};
use crate::database::{Bind, Database};
use crate::seal::nonce_start;
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
        now_us: i64,
    ) -> Result<Erasure> {
        let record = |(subject, mark)| Destroyed { project, subject, mark, time_us: now_us };
        let records: Vec<Destroyed> = self.marks(project, subjects).await?.into_iter().map(record).collect();
        self.keys.erased.lock().expect("never left half changed").append(&records)?;
        self.begin_erasure_again(project, subjects, entry, statement).await
    }

    /// As [`Vault::begin_erasure`], of persons who are in the list of erased ones.
    pub async fn begin_erasure_again(
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

    /// Persons who were erased and are here all the same, by project: an older copy of the databases was put back.
    pub async fn erasures_missed(&self) -> Result<BTreeMap<ProjectId, Vec<SubjectNo>>> {
        let listed = self.keys.erased.lock().expect("never left half changed").since(0)?;
        let mut wanted: BTreeMap<ProjectId, BTreeSet<(SubjectNo, Mark)>> = BTreeMap::new();
        for one in listed.into_iter().filter(|one| !self.is_gone(one.project, one.subject)) {
            wanted.entry(one.project).or_default().insert((one.subject, one.mark));
        }
        let mut missed = BTreeMap::new();
        for (project, wanted) in wanted {
            let subjects: BTreeSet<SubjectNo> = wanted.iter().map(|(subject, _)| *subject).collect();
            let here = self.marks(project, &subjects.into_iter().collect::<Vec<_>>()).await?;
            let found: Vec<SubjectNo> =
                here.into_iter().filter(|one| wanted.contains(one)).map(|(subject, _)| subject).collect();
            if !found.is_empty() {
                missed.insert(project, found);
            }
        }
        Ok(missed)
    }

    /// What tells subjects apart from others that had their numbers in another copy.
    async fn marks(&self, project: ProjectId, subjects: &[SubjectNo]) -> Result<Vec<(SubjectNo, Mark)>> {
        let sealed = self.identities.sealed_ids(project, subjects).await?;
        sealed.iter().map(|(subject, id)| Ok((*subject, nonce_start(id).ok_or(Error::CannotOpen)?))).collect()
    }

    /// Destroys everything that is held of subjects whose erasure was begun.
    pub async fn erase(&self, project: ProjectId, subjects: &[SubjectNo]) -> Result<()> {
        for some in subjects.chunks(limits::ERASE_AT_ONCE) {
            let some: BTreeSet<SubjectNo> = some.iter().copied().collect();
            {
                let writing = self.profiles.writing().await;
                let plan = self.plans.of(project);
                self.profiles.write(&writing, &self.keys, project, &plan, &HashMap::new(), (&some, &some)).await?;
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

#[cfg(test)]
mod tests {
    use cofferdam_model::OrgId;
    use serde_json::json;

    use super::*;
    use crate::Arrival;
    use crate::testing::{Home, on_each};
    use crate::wire::{self, Door, IdentityMode, ProfileKind, Record};

    on_each!(
        everything_of_the_erased_is_gone_and_what_others_have_stays,
        nothing_is_written_for_somebody_whose_erasure_began,
        an_erasure_is_begun_until_it_is_finished,
        who_was_erased_is_known_to_an_older_copy_and_nobody_else_is_taken_for_them,
    );

    const PROJECT: ProjectId = ProjectId(1);
    const NOW_US: i64 = 1_800_000_000_000_000;

    async fn open(home: &Home) -> Vault {
        let vault = Vault::open(&home.site).await.unwrap();
        if vault.log_keys().is_empty() {
            vault.create_project(OrgId(1), PROJECT).await.unwrap();
        }
        vault
    }

    /// An event of somebody, with an address and a note, which a strict plan holds back.
    async fn seal(vault: &Vault, id: &str) -> SubjectNo {
        let email = format!("{}@b.io", id.replace('@', "."));
        let properties = json!({"distinct_id": id, "email": email, "note": "x"});
        let body = json!({"event": "e", "properties": properties}).to_string();
        let Ok(sent) = wire::read_events(body.as_bytes()).unwrap().remove(0).read else { panic!("an event") };
        let valid = wire::validate(sent, Door::Track, IdentityMode::Simplified, NOW_US);
        let Ok(Record::Event(event)) = valid else { panic!("a valid event") };
        let arrival = Arrival { now_us: NOW_US, address: None };
        vault.seal(PROJECT, vec![event], arrival, 0).await.unwrap().events.remove(0).subject
    }

    async fn set(vault: &Vault, id: &str) {
        let update = json!({"$distinct_id": id, "$set": {"$phone": "+34 612 345 678", "plan": "gold"}});
        let serde_json::Value::Object(update) = update else { panic!("an object") };
        let update = wire::validate_update(update, ProfileKind::Person, IdentityMode::Simplified, 0);
        let Ok(Some(update)) = update else { panic!("an update") };
        vault.update_profiles(PROJECT, vec![update]).await.unwrap();
    }

    async fn erase(vault: &Vault, subjects: &[SubjectNo]) -> Erasure {
        let begun = vault.begin_erasure(PROJECT, subjects, 7, "said", NOW_US).await.unwrap();
        vault.erase(PROJECT, subjects).await.unwrap();
        begun
    }

    async fn everything_of_the_erased_is_gone_and_what_others_have_stays(home: Home) {
        let vault = open(&home).await;
        let (ada, bea) = (seal(&vault, "ada@c.io").await, seal(&vault, "bea").await);
        set(&vault, "ada@c.io").await;
        vault.set_mode(PROJECT, cofferdam_model::plan::PlanMode::Strict).await.unwrap();
        assert_eq!(seal(&vault, "ada@c.io").await, ada);
        // Addresses: the id, the mail, the telephone number. In quarantine: mail and note.
        let all = Held { keys: 1, profiles: 1, addresses: 3, quarantined: 2, ids: 1 };
        assert_eq!(vault.held(PROJECT, &[ada]).await.unwrap(), all);
        let others = vault.held(PROJECT, &[bea]).await.unwrap();
        let pseudonym = vault.pseudonyms(PROJECT, &[ada]).await.unwrap().remove(&ada).unwrap();
        assert_eq!(vault.subject_of(PROJECT, &pseudonym).await.unwrap(), Some(ada));

        erase(&vault, &[ada]).await;
        let mut vault = vault;
        for _ in ["as it is", "after a restart"] {
            assert_eq!(vault.held(PROJECT, &[ada]).await.unwrap(), Held::default());
            assert_eq!(vault.held(PROJECT, &[bea]).await.unwrap(), others);
            assert_eq!(vault.subject_of(PROJECT, &pseudonym).await.unwrap(), None);
            for mail in ["ada@c.io", "ada.c.io@b.io"] {
                assert!(vault.find_by_mail(OrgId(1), mail).await.unwrap().is_empty());
            }
            assert!(vault.find_by_phone(OrgId(1), "+34612345678").await.unwrap().is_empty());
            let (known, _) = vault.known_persons(PROJECT, &["ada@c.io".to_owned()]).await.unwrap();
            assert!(known.is_empty());
            drop(vault);
            vault = open(&home).await;
        }
        let again = seal(&vault, "ada@c.io").await;
        assert!(again > bea, "whoever comes back has a number that nobody had");
    }

    async fn nothing_is_written_for_somebody_whose_erasure_began(home: Home) {
        let vault = open(&home).await;
        let ada = seal(&vault, "ada").await;
        vault.begin_erasure(PROJECT, &[ada], 7, "said", NOW_US).await.unwrap();
        vault.erase(PROJECT, &[ada]).await.unwrap();
        // A request that had the number before the erasure began, and goes on with it.
        let personal = BTreeMap::from([(ada, vec![("email".to_owned(), json!("late@b.io"))])]);
        vault.keep_personal(PROJECT, personal).await.unwrap();
        assert_eq!(vault.held(PROJECT, &[ada]).await.unwrap(), Held::default());
    }

    async fn an_erasure_is_begun_until_it_is_finished(home: Home) {
        let vault = open(&home).await;
        let (ada, bea) = (seal(&vault, "ada").await, seal(&vault, "bea").await);
        let begun = erase(&vault, &[ada, bea]).await;
        drop(vault);
        let vault = open(&home).await;
        assert_eq!(vault.erasures_begun().await.unwrap(), std::slice::from_ref(&begun));
        assert_eq!(vault.erasure_subjects(begun.id).await.unwrap(), [ada, bea]);
        vault.finish_erasure(begun.id, 9, "said and done").await.unwrap();
        drop(vault);
        let vault = open(&home).await;
        assert!(vault.erasures_begun().await.unwrap().is_empty());
        let done = Erasure { entry: 9, is_done: true, statement: "said and done".to_owned(), ..begun };
        assert_eq!(vault.erasures(PROJECT).await.unwrap(), [done]);
    }

    async fn who_was_erased_is_known_to_an_older_copy_and_nobody_else_is_taken_for_them(home: Home) {
        let vault = open(&home).await;
        let (ada, bea) = (seal(&vault, "ada").await, seal(&vault, "bea").await);
        let database = &vault.erasures.database;
        let sql = "SELECT pid, sealed_id FROM identities WHERE place = $1";
        let place = i64::from(PROJECT.0) << 32 | i64::from(ada.0);
        let before = database.row(sql, &[place.into()]).await.unwrap().unwrap();
        erase(&vault, &[ada]).await;
        assert!(vault.erasures_missed().await.unwrap().is_empty());

        // As an older copy has it: the row is back, and nothing says that it was erased.
        let put_back = async |sealed_id: &[u8]| {
            let mut write = database.write().await.unwrap();
            let sql = "UPDATE identities SET pid = $1, sealed_id = $2 WHERE place = $3";
            let binds = [before.bytes(0).unwrap().into(), sealed_id.into(), place.into()];
            write.execute(sql, &binds).await.unwrap();
            write.execute("DELETE FROM erased", &[]).await.unwrap();
            write.commit().await.unwrap();
        };
        let sealed_id = before.bytes(1).unwrap().to_vec();
        put_back(&sealed_id).await;
        drop(vault);
        let vault = open(&home).await;
        assert_eq!(vault.erasures_missed().await.unwrap(), BTreeMap::from([(PROJECT, vec![ada])]));
        // The same number, given to somebody else after the copy was put back.
        let database = &vault.erasures.database;
        let mut other = sealed_id;
        other[5] ^= 1;
        let mut write = database.write().await.unwrap();
        let sql = "UPDATE identities SET sealed_id = $1 WHERE place = $2";
        write.execute(sql, &[(&other).into(), place.into()]).await.unwrap();
        write.commit().await.unwrap();
        assert!(vault.erasures_missed().await.unwrap().is_empty());
        assert!(!vault.is_gone(PROJECT, bea));
    }
}
