//! The quarantine: what a strict plan took out of events, sealed, for a few days, for somebody to decide about.
//!
//! Nobody sees a value: only names, how many values there are, and which shapes they have. A name is *released* with a
//! class: from then on its values are treated by it. Those in the quarantine are sealed into their persons' profiles
//! when the class is personal (C3, C4); events are never rewritten, so with any other class they are destroyed. Or a
//! name is *purged*: its values are destroyed, and it is held back again when it comes again.
//!
//! Values are sealed with the project's key, and named in the associated data with project, subject and name. They go
//! with their person when that is deleted, and in any case after [`limits::QUARANTINE_DAYS`]. A full quarantine takes
//! no more: what finds no room is gone, and counted. A request that is sent again after a failure may be here twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use cofferdam_model::{Class, Detector, ProjectId, SubjectNo, limits};
use rustc_hash::{FxHashMap, FxHashSet};
use zeroize::Zeroizing;

use crate::database::{Bind, Database};
use crate::keys::{ProjectKeys, aad};
use crate::seal::OVERHEAD;
use crate::{Error, Result, Vault};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS quarantine (
    id INTEGER PRIMARY KEY,
    project INTEGER NOT NULL,
    name BLOB NOT NULL,
    subject INTEGER NOT NULL,
    shape INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    sealed BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS quarantine_names ON quarantine (project, name);
CREATE INDEX IF NOT EXISTS quarantine_times ON quarantine (at_us);
";

/// Between two looks for what is too old, µs.
const SWEEP_US: i64 = 600_000_000;

/// A value on its way into the quarantine.
pub(crate) struct Value {
    pub(crate) name: String,
    pub(crate) subject: SubjectNo,
    pub(crate) shape: Detector,
    pub(crate) value: serde_json::Value,
}

/// What is in quarantine: names and counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quarantine {
    pub names: Vec<QuarantinedName>,
    pub bytes: usize,
    /// Values that found no room since the server started.
    pub lost: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedName {
    pub name: String,
    pub values: u64,
    pub first_us: i64,
    pub last_us: i64,
    /// What the detectors found in the values, with how many of them.
    pub shapes: Vec<(Detector, u64)>,
}

/// What became of the values of a released name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// Sealed into profiles.
    pub sealed: u64,
    /// Destroyed.
    pub destroyed: u64,
}

/// How full a project's quarantine is.
#[derive(Default)]
struct Fill {
    values: usize,
    bytes: usize,
    names: FxHashSet<String>,
    lost: u64,
}

pub(crate) struct Store {
    database: Database,
    fills: Mutex<FxHashMap<ProjectId, Fill>>,
    swept_us: AtomicI64,
}

fn name_of(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Error::CannotOpen)
}

fn value_aad(project: ProjectId, subject: SubjectNo, name: &str) -> Vec<u8> {
    let mut out = aad("quarantine", &[project.0, subject.0]);
    out.extend_from_slice(name.as_bytes());
    out
}

impl Store {
    pub(crate) async fn open(database: Database) -> Result<Store> {
        database.migrate("quarantine", &[SCHEMA]).await?;
        let store = Store { database, fills: Mutex::default(), swept_us: AtomicI64::new(i64::MIN) };
        store.count().await?;
        Ok(store)
    }

    /// Counts what there is. What was lost is not in the database, and stays counted.
    async fn count(&self) -> Result<()> {
        let sql = "SELECT project, name, count(*), sum(length(sealed)) FROM quarantine GROUP BY project, name";
        let mut counted: FxHashMap<ProjectId, Fill> = FxHashMap::default();
        for row in self.database.rows(sql, &[]).await? {
            let fill = counted.entry(ProjectId(row.number(0)?)).or_default();
            fill.names.insert(name_of(row.bytes(1)?)?);
            fill.values += row.int(2)? as usize;
            fill.bytes += row.int(3)? as usize;
        }
        let mut fills = self.fills.lock().expect("never left half changed");
        for (project, fill) in fills.iter() {
            counted.entry(*project).or_default().lost = fill.lost;
        }
        *fills = counted;
        Ok(())
    }

    /// Keeps values, as far as there is room. Answers how many there was none for.
    pub(crate) async fn keep(
        &self,
        project: ProjectId,
        keys: &ProjectKeys,
        values: Vec<Value>,
        now_us: i64,
    ) -> Result<usize> {
        self.sweep(now_us).await?;
        if values.is_empty() {
            return Ok(0);
        }
        let mut lost = 0;
        let mut kept = Vec::with_capacity(values.len());
        {
            let mut fills = self.fills.lock().expect("never left half changed");
            let fill = fills.entry(project).or_default();
            for value in values {
                let text = Zeroizing::new(value.value.to_string());
                // A nonce and a tag are sealed with it.
                let bytes = text.len() + OVERHEAD;
                let new_name = !fill.names.contains(&value.name);
                let fits = fill.values < limits::QUARANTINE_VALUES_MAX
                    && fill.bytes + bytes <= limits::QUARANTINE_BYTES_MAX
                    && text.len() <= limits::PERSONAL_VALUE_BYTES_MAX
                    && (!new_name || fill.names.len() < limits::QUARANTINE_NAMES_MAX);
                if !fits {
                    lost += 1;
                    continue;
                }
                fill.values += 1;
                fill.bytes += bytes;
                if new_name {
                    fill.names.insert(value.name.clone());
                }
                let sealed = keys.ids.seal(&value_aad(project, value.subject, &value.name), text.as_bytes());
                kept.push((value.name, value.subject, value.shape, sealed));
            }
            fill.lost += lost as u64;
        }
        if !kept.is_empty()
            && let Err(error) = self.insert(project, kept, now_us).await
        {
            // None of them is there: what was counted is what there was before.
            self.count().await?;
            return Err(error);
        }
        Ok(lost)
    }

    async fn insert(
        &self,
        project: ProjectId,
        values: Vec<(String, SubjectNo, Detector, Vec<u8>)>,
        now_us: i64,
    ) -> Result<()> {
        let mut write = self.database.write().await?;
        let last = write.row("SELECT max(id) FROM quarantine", &[]).await?.map_or(Ok(None), |row| row.maybe_int(0))?;
        let rows: Vec<Bind<'_>> = (last.unwrap_or(0) + 1..)
            .zip(&values)
            .flat_map(|(id, (name, subject, shape, sealed))| {
                let shape = i64::from(shape.number());
                let name = name.as_bytes();
                [id.into(), project.into(), name.into(), (*subject).into(), shape.into(), now_us.into(), sealed.into()]
            })
            .collect();
        write.insert("INSERT INTO quarantine (id, project, name, subject, shape, at_us, sealed)", 7, &rows, "").await?;
        write.commit().await
    }

    /// Destroys what is too old, now and then.
    async fn sweep(&self, now_us: i64) -> Result<()> {
        let swept_us = self.swept_us.load(Ordering::Relaxed);
        if swept_us != i64::MIN && (swept_us..swept_us.saturating_add(SWEEP_US)).contains(&now_us) {
            return Ok(());
        }
        self.swept_us.store(now_us, Ordering::Relaxed);
        let oldest_us = now_us - limits::QUARANTINE_DAYS * 86_400_000_000;
        let mut write = self.database.write().await?;
        let gone = write.execute("DELETE FROM quarantine WHERE at_us < $1", &[oldest_us.into()]).await?;
        write.commit().await?;
        if gone > 0 {
            self.count().await?;
        }
        Ok(())
    }

    /// Destroys what belongs to deleted persons.
    pub(crate) async fn forget(&self, project: ProjectId, subjects: &BTreeSet<SubjectNo>) -> Result<()> {
        let any = self.fills.lock().expect("never left half changed").get(&project).is_some_and(|fill| fill.values > 0);
        if subjects.is_empty() || !any {
            return Ok(());
        }
        let mut write = self.database.write().await?;
        let list = subjects.iter().map(|subject| (*subject).into());
        write.execute_in("DELETE FROM quarantine WHERE project = $1 AND subject IN", &[project.into()], list).await?;
        write.commit().await?;
        self.count().await
    }

    async fn list(&self, project: ProjectId) -> Result<Quarantine> {
        let sql = "SELECT name, shape, count(*), min(at_us), max(at_us) FROM quarantine WHERE project = $1
                   GROUP BY name, shape ORDER BY name, count(*) DESC";
        let mut names: Vec<QuarantinedName> = Vec::new();
        for row in self.database.rows(sql, &[project.into()]).await? {
            let name = name_of(row.bytes(0)?)?;
            let (values, first_us, last_us) = (row.int(2)? as u64, row.int(3)?, row.int(4)?);
            if names.last().is_none_or(|last| last.name != name) {
                names.push(QuarantinedName { name, values: 0, first_us, last_us, shapes: Vec::new() });
            }
            let entry = names.last_mut().expect("pushed above");
            entry.values += values;
            entry.first_us = entry.first_us.min(first_us);
            entry.last_us = entry.last_us.max(last_us);
            entry.shapes.push((Detector::of_number(row.int(1)?), values));
        }
        let fills = self.fills.lock().expect("never left half changed");
        let (bytes, lost) = fills.get(&project).map_or((0, 0), |fill| (fill.bytes, fill.lost));
        Ok(Quarantine { names, bytes, lost })
    }

    async fn purge(&self, project: ProjectId, name: &str) -> Result<u64> {
        let mut write = self.database.write().await?;
        let sql = "DELETE FROM quarantine WHERE project = $1 AND name = $2";
        let gone = write.execute(sql, &[project.into(), name.as_bytes().into()]).await?;
        write.commit().await?;
        self.count().await?;
        Ok(gone)
    }
}

impl Vault {
    /// What is in quarantine, by name.
    pub async fn quarantine(&self, project: ProjectId, now_us: i64) -> Result<Quarantine> {
        self.quarantine.sweep(now_us).await?;
        self.quarantine.list(project).await
    }

    /// Lets a name through from now on, with a class, and decides about the values that are there. `None` when there
    /// is no such name. Doing it again after a crash goes on where it was.
    pub async fn release(&self, project: ProjectId, name: &str, class: Class) -> Result<Option<Released>> {
        let keys = self.keys.project(project)?;
        let sql = "SELECT id, subject, sealed FROM quarantine WHERE project = $1 AND name = $2 ORDER BY id";
        let rows = self.quarantine.database.rows(sql, &[project.into(), name.as_bytes().into()]).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        self.admit(project, name, class).await?;
        let mut sealed = 0;
        if matches!(class, Class::C3 | Class::C4) {
            let merges = self.identities.merges(project);
            // The last value of each person, as if it had been sent now.
            let mut personal: BTreeMap<SubjectNo, Vec<(String, serde_json::Value)>> = BTreeMap::new();
            for row in &rows {
                let subject = SubjectNo(row.number(1)?);
                if subject == SubjectNo::NOBODY {
                    continue;
                }
                let open = keys.ids.open(&value_aad(project, subject, name), row.bytes(2)?)?;
                let value = serde_json::from_slice(&open).map_err(|_| Error::CannotOpen)?;
                personal.insert(merges.canonical(subject), vec![(name.to_owned(), value)]);
            }
            sealed = personal.len() as u64;
            self.keep_personal(project, personal).await?;
        }
        let gone = self.quarantine.purge(project, name).await?;
        Ok(Some(Released { sealed, destroyed: gone.saturating_sub(sealed) }))
    }

    /// Destroys the values of a name. Answers how many there were.
    pub async fn purge(&self, project: ProjectId, name: &str) -> Result<u64> {
        self.quarantine.purge(project, name).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{self, Door, IdentityMode, Record};
    use crate::{Arrival, Places, Sealed};
    use cofferdam_model::plan::PlanMode;
    use cofferdam_model::{Action, OrgId, TrackingPlan};
    use serde_json::json;

    const PROJECT: ProjectId = ProjectId(1);
    const NOW: i64 = 1_800_000_000_000_000;
    const DAY: i64 = 86_400_000_000;

    async fn strict(folder: &std::path::Path) -> Vault {
        let vault = Vault::open(&crate::Site::in_folder(folder)).await.unwrap();
        vault.create_project(OrgId(1), PROJECT).await.unwrap();
        let plan = json!({"mode": "strict", "properties": [
            {"name": "plan", "class": "C1", "type": "string"},
            {"name": "seats", "class": "C1", "type": "number", "events": ["Upgraded"]},
            {"name": "diagnosis", "class": "C4"},
        ]});
        vault.set_plan(PROJECT, serde_json::from_value(plan).unwrap()).await.unwrap();
        vault
    }

    async fn send(vault: &Vault, event: &str, properties: serde_json::Value, now_us: i64) -> Sealed {
        let body = json!({"event": event, "properties": properties}).to_string();
        let Ok(sent) = wire::read_events(body.as_bytes()).unwrap().remove(0).read else { panic!("an event") };
        let valid = wire::validate(sent, Door::Track, IdentityMode::Simplified, now_us);
        let Ok(Record::Event(event)) = valid else { panic!("a valid event") };
        vault.seal(PROJECT, vec![event], Arrival { now_us, address: None }, 1).await.unwrap()
    }

    async fn names(vault: &Vault, now_us: i64) -> Vec<(String, u64)> {
        let found = vault.quarantine(PROJECT, now_us).await.unwrap();
        found.names.into_iter().map(|name| (name.name, name.values)).collect()
    }

    #[tokio::test]
    async fn a_strict_plan_holds_back_what_it_does_not_know() {
        let folder = tempfile::tempdir().unwrap();
        let vault = strict(folder.path()).await;
        let sealed = send(
            &vault,
            "Opened",
            json!({"$user_id": "u", "plan": "gold", "seats": 3, "diagnosis": "flu", "remark": "a@b.io", "$os": "Linux",
                   "password": "hunter2"}),
            NOW,
        )
        .await;
        let what: BTreeMap<&str, Action> =
            sealed.trails[0].iter().map(|handled| (handled.name.as_str(), handled.action)).collect();
        let expected = [
            ("$os", Action::Kept),
            ("diagnosis", Action::Sealed),
            ("remark", Action::Quarantined),
            ("password", Action::Dropped),
            ("plan", Action::Kept),
            ("seats", Action::Quarantined),
        ];
        assert_eq!(what, BTreeMap::from(expected));
        let names_stored: Vec<&str> = sealed.events[0].properties.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names_stored, ["$os", "plan"]);
        let found = vault.quarantine(PROJECT, NOW).await.unwrap();
        assert_eq!(found.names[0].shapes, [(Detector::Email, 1)]);
        assert_eq!(found.names[1].shapes, [(Detector::Nothing, 1)]);
        // Of another type or with another event it is held back, and goes on with its own.
        send(&vault, "Upgraded", json!({"$user_id": "u", "seats": "three"}), NOW).await;
        let sealed = send(&vault, "Upgraded", json!({"$user_id": "u", "seats": 3}), NOW).await;
        assert_eq!((sealed.events[0].properties.len(), sealed.quarantined), (1, 0));
        assert_eq!(names(&vault, NOW).await, [("remark".to_owned(), 1), ("seats".to_owned(), 2)]);
        for (name, bytes) in std::fs::read_dir(folder.path())
            .unwrap()
            .flatten()
            .map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap_or_default()))
        {
            assert!(!bytes.windows(6).any(|window| window == b"a@b.io"), "{name:?}");
        }
    }

    #[tokio::test]
    async fn a_released_personal_name_is_sealed_into_profiles_and_any_other_is_destroyed() {
        let folder = tempfile::tempdir().unwrap();
        let vault = strict(folder.path()).await;
        for at in 0..3 {
            let both = json!({"$user_id": format!("u{}", at % 2), "nickname": format!("ada{at}"), "shade": "red"});
            send(&vault, "Opened", both, NOW).await;
        }
        let released = vault.release(PROJECT, "nickname", Class::C3).await.unwrap();
        assert_eq!(released, Some(Released { sealed: 2, destroyed: 1 }));
        let views = vault.profiles(PROJECT, &[SubjectNo(0), SubjectNo(1)]).await.unwrap();
        for view in views.values() {
            assert_eq!(view.sealed, [("nickname".to_owned(), Class::C3)]);
        }
        assert_eq!(views.len(), 2);
        let released = vault.release(PROJECT, "shade", Class::C1).await.unwrap();
        assert_eq!(released, Some(Released { sealed: 0, destroyed: 3 }));
        assert_eq!(vault.release(PROJECT, "shade", Class::C1).await.unwrap(), None);
        assert_eq!(names(&vault, NOW).await, []);
        let sealed = send(&vault, "Opened", json!({"$user_id": "u0", "nickname": "x", "shade": "red"}), NOW).await;
        assert_eq!((sealed.events[0].properties.len(), sealed.quarantined), (1, 0));
        let shade = vault.dictionary(PROJECT).into_iter().find(|known| known.name == "shade").unwrap();
        assert_eq!((shade.class, shade.action), (Class::C1, Action::Kept));
    }

    #[tokio::test]
    async fn what_is_in_quarantine_goes_after_a_week_or_with_its_person() {
        let folder = tempfile::tempdir().unwrap();
        let vault = strict(folder.path()).await;
        send(&vault, "Opened", json!({"$user_id": "u", "shade": "red"}), NOW).await;
        send(&vault, "Opened", json!({"$user_id": "v", "shade": "blue"}), NOW + 3 * DAY).await;
        assert_eq!(names(&vault, NOW + 6 * DAY).await, [("shade".to_owned(), 2)]);
        assert_eq!(names(&vault, NOW + 8 * DAY).await, [("shade".to_owned(), 1)]);
        let serde_json::Value::Object(delete) = json!({"$distinct_id": "v", "$delete": ""}) else {
            panic!("an object")
        };
        let update = wire::validate_update(delete, wire::ProfileKind::Person, IdentityMode::Simplified, NOW);
        let Ok(Some(update)) = update else { panic!("a deletion") };
        assert!(vault.update_profiles(PROJECT, vec![update]).await.unwrap().0[0].is_ok());
        assert_eq!(names(&vault, NOW + 8 * DAY).await, []);
    }

    #[tokio::test]
    async fn a_full_quarantine_drops_what_comes_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let vault = strict(folder.path()).await;
        let mut lost = 0;
        for round in 0..11 {
            let many: serde_json::Map<String, serde_json::Value> =
                (0..200).map(|at| (format!("made_up_{round}_{at}"), json!(at))).collect();
            lost += send(&vault, "Opened", many.into(), NOW).await.quarantine_lost;
        }
        let found = vault.quarantine(PROJECT, NOW).await.unwrap();
        assert_eq!((found.names.len(), lost, found.lost), (limits::QUARANTINE_NAMES_MAX, 200, 200));
        drop(vault);
        let again = Vault::open(&crate::Site::in_folder(folder.path())).await.unwrap();
        assert_eq!(send(&again, "Opened", json!({"one_more": 1}), NOW).await.quarantine_lost, 1);
        assert_eq!(again.purge(PROJECT, "made_up_0_0").await.unwrap(), 1);
        assert_eq!(send(&again, "Opened", json!({"one_more": 1}), NOW).await.quarantine_lost, 0);
    }

    #[tokio::test]
    async fn classes_go_up_and_never_down() {
        let folder = tempfile::tempdir().unwrap();
        let vault = strict(folder.path()).await;
        vault.set_mode(PROJECT, PlanMode::Open).await.unwrap();
        vault.raise_class(PROJECT, "plan", Class::C3).await.unwrap();
        let sealed = send(&vault, "Opened", json!({"$user_id": "u", "plan": "gold"}), NOW).await;
        assert_eq!((sealed.events[0].properties.len(), sealed.trails[0][0].by), (0, Detector::Plan));
        let lowered = |result: Result<()>| matches!(result, Err(Error::ClassLowered { name }) if name == "plan");
        assert!(lowered(vault.raise_class(PROJECT, "plan", Class::C2).await));
        assert!(lowered(vault.set_plan(PROJECT, TrackingPlan::default()).await));
        send(&vault, "Opened", json!({"$user_id": "u", "email": "a@b.io"}), NOW).await;
        assert!(vault.raise_class(PROJECT, "email", Class::C1).await.is_err(), "what was seen counts as well");
        drop(vault);
        let again = Vault::open(&crate::Site::in_folder(folder.path())).await.unwrap();
        assert_eq!(again.plan(PROJECT).property("plan").unwrap().class, Class::C3);
    }

    #[tokio::test]
    async fn a_place_is_made_of_an_address_and_the_address_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut vault = Vault::open(&crate::Site::in_folder(folder.path())).await.unwrap();
        vault.use_places(Places::default());
        vault.create_project(OrgId(1), PROJECT).await.unwrap();
        let stored = async |properties: serde_json::Value, address: Option<&str>| {
            let body = json!({"event": "e", "properties": properties}).to_string();
            let Ok(sent) = wire::read_events(body.as_bytes()).unwrap().remove(0).read else { panic!("an event") };
            let valid = wire::validate(sent, Door::Track, IdentityMode::Simplified, NOW);
            let Ok(Record::Event(event)) = valid else { panic!("a valid event") };
            let arrival = Arrival { now_us: NOW, address: address.map(|address| address.parse().unwrap()) };
            let sealed = vault.seal(PROJECT, vec![event], arrival, 1).await.unwrap();
            let properties = sealed.events[0].properties.iter();
            properties.map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>().join(" ")
        };
        let there = "mp_country_code=String(\"NL\")";
        assert_eq!(stored(json!({}), Some("193.0.6.139")).await, there);
        assert_eq!(stored(json!({"ip": "193.0.6.139"}), None).await, there);
        assert_eq!(stored(json!({"ip": "10.0.0.7"}), Some("193.0.6.139")).await, "", "the sender's word counts");
        assert_eq!(stored(json!({"ip": 0}), None).await, "");
        let own = stored(json!({"mp_country_code": "ES", "ip": "193.0.6.139"}), None).await;
        assert_eq!(own, "mp_country_code=String(\"ES\")");
    }
}
