//! Profiles: what is known about a person or a group, sealed under the subject's own key.
//!
//! A record is two sealed parts: *open* properties (C1, C2), which lists may show, and *personal* ones (C3, C4),
//! which need a disclosure. Each change is read, applied and written back whole, in one transaction a batch.
//!
//! Beside a record stands which fields its personal part has, as disclosures tell them apart: numbers, no name and no
//! value. So it is known of a million persons at once what of them was there to leave, and nothing is opened for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cofferdam_ledger::RoaringBitmap;
use cofferdam_model::{Action, Class, FieldSet, Merges, PersonalField, ProjectId, Reason, SubjectNo, limits};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::blind::{Address, BlindIndex, Source};
use crate::database::Database;
use crate::disclose::field_of_value;
use crate::firewall::judge;
use crate::keys::{Keys, SealKey, aad};
use crate::people::{GROUP_MARK, PeopleFound, PersonTest, Table, Tables};
use crate::plan::Plan;
use crate::wire::Operation;
use crate::{Error, Handled, Result, Trail};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS records (
    project INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    open BLOB NOT NULL,
    personal BLOB NOT NULL,
    PRIMARY KEY (project, subject)
) STRICT, WITHOUT ROWID;
";

/// Which fields are personal in a record; none where that has to be looked at anew.
const SCHEMA_FIELDS: &str = "
ALTER TABLE records ADD COLUMN fields INTEGER;
CREATE INDEX records_fields ON records (project, subject, fields);
CREATE INDEX records_unknown ON records (project, subject) WHERE fields IS NULL;
";

/// The plan by which the fields of a project's records were told apart: what it gives each property for a class.
const SCHEMA_TOLD: &str = "
CREATE TABLE records_told (
    project INTEGER PRIMARY KEY,
    plan BLOB NOT NULL
) STRICT;
";

/// Field numbers in the associated data of a record's parts, and the version of their encoding (JSON).
const OPEN: u32 = 1;
const PERSONAL: u32 = 2;
const VERSION: u32 = 1;

/// A record, open. No `Debug`: it holds plaintext. Cloned only to take back an update that fails half way.
#[derive(Clone, Default)]
pub(crate) struct Profile {
    open: Map<String, Value>,
    personal: Map<String, Value>,
}

/// What anybody who may see rows may see of a profile.
pub struct ProfileView {
    pub properties: Vec<(String, Value)>,
    /// Names only.
    pub sealed: Vec<(String, Class)>,
}

impl Profile {
    pub(crate) fn view(&self) -> ProfileView {
        ProfileView {
            properties: self.open.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            sealed: self
                .personal
                .iter()
                .map(|(name, value)| (name.clone(), judge(name, value).class.max(Class::C3)))
                .collect(),
        }
    }

    /// The fields that a disclosure finds something under.
    fn fields(&self, plan: &Plan) -> FieldSet {
        self.personal.iter().map(|(name, value)| field_of_value(name, value, plan)).collect()
    }

    /// What only a disclosure shows.
    pub(crate) fn personal(&self) -> &Map<String, Value> {
        &self.personal
    }

    /// Applies one operation. An error leaves the profile as it was.
    pub(crate) fn apply(&mut self, operation: Operation, plan: &Plan, trail: &mut Trail) -> Result<(), Reason> {
        let changed: Vec<(String, Option<Value>)> = match operation {
            Operation::Set(values) => values.into_iter().map(|(name, value)| (name, Some(value))).collect(),
            Operation::SetOnce(values) => values
                .into_iter()
                .filter(|(name, _)| self.get(name).is_none())
                .map(|(name, value)| (name, Some(value)))
                .collect(),
            Operation::Add(values) => values
                .into_iter()
                .filter_map(|(name, add)| {
                    let base = match self.get(&name) {
                        None => 0.0,
                        Some(value) => value.as_f64()?,
                    };
                    let sum = serde_json::Number::from_f64(base + add.as_f64()?)?;
                    Some((name, Some(whole_if_whole(sum))))
                })
                .collect(),
            Operation::Append(values) => self.change_lists(values, |list, value| list.push(value)),
            Operation::Union(values) => self.change_lists(values, |list, value| {
                if let Value::Array(items) = value {
                    for item in items {
                        if !list.contains(&item) {
                            list.push(item);
                        }
                    }
                }
            }),
            Operation::Remove(values) => values
                .into_iter()
                .filter_map(|(name, gone)| match self.get(&name) {
                    Some(Value::Array(items)) => {
                        let kept = items.iter().filter(|item| **item != gone).cloned().collect();
                        Some((name, Some(Value::Array(kept))))
                    }
                    _ => None,
                })
                .collect(),
            Operation::Unset(names) => names.into_iter().map(|name| (name, None)).collect(),
            Operation::Delete => {
                *self = Profile::default();
                return Ok(());
            }
        };
        for (name, value) in &changed {
            if let Some(Value::Array(items)) = value
                && items.len() > limits::LIST_ITEMS_MAX.max(self.list_len(name))
            {
                return Err(Reason::ListTooLong);
            }
        }
        let before = self.clone();
        for (name, value) in changed {
            self.put(name, value, plan, trail);
        }
        if !self.within_limits() {
            *self = before;
            return Err(Reason::ProfileTooLarge);
        }
        Ok(())
    }

    /// Puts a personal value that came with an event, if it and the profile stay within their limits.
    /// Answers whether it did.
    pub(crate) fn put_personal(&mut self, name: String, value: Value) -> bool {
        if value.to_string().len() > limits::PERSONAL_VALUE_BYTES_MAX {
            return false;
        }
        let before = self.clone();
        // The door decided that it is personal: the tracking plan may know better than its name and value say.
        self.open.remove(&name);
        self.personal.insert(name, value);
        let fits = self.within_limits();
        if !fits {
            *self = before;
        }
        fits
    }

    fn within_limits(&self) -> bool {
        self.open.len() + self.personal.len() <= limits::PROFILE_PROPERTIES_MAX
            && json(&self.open).len() + json(&self.personal).len() <= limits::PROFILE_BYTES_MAX
    }

    /// Adds what another record of the same person knows and this one does not.
    pub(crate) fn fold(&mut self, other: Profile) {
        for (name, value) in other.open {
            if !self.personal.contains_key(&name) {
                self.open.entry(name).or_insert(value);
            }
        }
        for (name, value) in other.personal {
            if !self.open.contains_key(&name) {
                self.personal.entry(name).or_insert(value);
            }
        }
    }

    /// Puts a property where its class belongs, and nowhere else.
    pub(crate) fn put(&mut self, name: String, value: Option<Value>, plan: &Plan, trail: &mut Trail) {
        let name = crate::firewall::mask_name(&name).into_owned();
        self.open.remove(&name);
        self.personal.remove(&name);
        let Some(value) = value.filter(|value| !value.is_null()) else { return };
        let verdict = judge(&name, &value);
        let verdict = match plan.class(&name) {
            Some(class) => verdict.at_least(class),
            None => verdict,
        };
        // In a profile a join key is sealed: there is nothing to count by it that events do not have.
        let action = if verdict.action == Action::Pseudonymised { Action::Sealed } else { verdict.action };
        trail.push(Handled { name: name.clone(), class: verdict.class, action, by: verdict.by });
        match action {
            Action::Kept => {
                self.open.insert(name, cut(value));
            }
            Action::Reduced => {
                if let Some(reduced) = verdict.reduced {
                    self.open.insert(name, cut(reduced));
                }
            }
            Action::Sealed | Action::Pseudonymised => {
                self.personal.insert(name, value);
            }
            Action::Dropped | Action::Quarantined => {}
        }
    }

    /// The addresses among what is sealed.
    fn addresses(&self) -> BTreeSet<Address> {
        let mut found = BTreeSet::new();
        self.personal.values().for_each(|value| Address::all_in(value, &mut found));
        found
    }

    /// Marks the record as that of a group, which is no person.
    pub(crate) fn mark_group(&mut self, key: &str) {
        self.open.insert(GROUP_MARK.to_owned(), key.into());
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.open.get(name).or_else(|| self.personal.get(name))
    }

    fn list_len(&self, name: &str) -> usize {
        self.get(name).and_then(Value::as_array).map_or(0, Vec::len)
    }

    /// Lists are made where there is nothing; a property that is no list is left alone.
    fn change_lists(
        &self,
        values: Map<String, Value>,
        change: impl Fn(&mut Vec<Value>, Value),
    ) -> Vec<(String, Option<Value>)> {
        values
            .into_iter()
            .filter_map(|(name, value)| {
                let mut list = match self.get(&name) {
                    None => Vec::new(),
                    Some(Value::Array(items)) => items.clone(),
                    Some(_) => return None,
                };
                change(&mut list, value);
                Some((name, Some(Value::Array(list))))
            })
            .collect()
    }
}

/// Strings are cut like those of events.
fn cut(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(crate::cut_text(text)),
        other => other,
    }
}

fn whole_if_whole(number: serde_json::Number) -> Value {
    match number.as_f64() {
        Some(value) if value.fract() == 0.0 && value.abs() < 9e15 => Value::from(value as i64),
        _ => Value::Number(number),
    }
}

fn json(map: &Map<String, Value>) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(serde_json::to_vec(map).expect("a map of JSON values is JSON"))
}

/// The sealed records.
pub(crate) struct Profiles {
    database: Database,
    /// Follows what the records seal.
    blind: Arc<BlindIndex>,
    tables: Tables,
    /// Read, change and write are one step.
    writer: tokio::sync::Mutex<()>,
    /// One reader of a whole table at a time.
    reading: tokio::sync::Mutex<()>,
    /// One at a time tells the fields of all records apart.
    telling: tokio::sync::Mutex<()>,
}

/// Holds the right to write records.
pub(crate) struct Writing<'a> {
    _one: tokio::sync::MutexGuard<'a, ()>,
}

impl Profiles {
    pub(crate) async fn open(database: Database, blind: Arc<BlindIndex>) -> Result<Profiles> {
        database.migrate("profiles", &[SCHEMA, SCHEMA_FIELDS, SCHEMA_TOLD]).await?;
        Ok(Profiles {
            database,
            blind,
            tables: Tables::default(),
            writer: tokio::sync::Mutex::new(()),
            reading: tokio::sync::Mutex::new(()),
            telling: tokio::sync::Mutex::new(()),
        })
    }

    /// Drops what is in memory of a project's records.
    pub(crate) fn forget(&self, project: ProjectId) {
        self.tables.forget(project);
    }

    pub(crate) async fn writing(&self) -> Writing<'_> {
        Writing { _one: self.writer.lock().await }
    }

    /// The records of those subjects that have one.
    pub(crate) async fn read(
        &self,
        keys: &Keys,
        project: ProjectId,
        subjects: &[SubjectNo],
    ) -> Result<HashMap<SubjectNo, Profile>> {
        let open = keys.existing_subjects(project, subjects).await?;
        let org = keys.project(project)?.org;
        let mut profiles = HashMap::with_capacity(subjects.len());
        let sql = "SELECT subject, open, personal FROM records WHERE project = $1 AND subject IN";
        let list = subjects.iter().map(|subject| (*subject).into());
        for row in self.database.rows_in(sql, &[project.into()], list).await? {
            let subject = SubjectNo(row.number(0)?);
            let Some(key) = open.get(&subject) else { continue };
            let part = |field, sealed| -> Result<Map<String, Value>> {
                let bytes = key.open(&aad("record", &[org.0, project.0, subject.0, field, VERSION]), sealed)?;
                serde_json::from_slice(&bytes).map_err(|_| Error::CannotOpen)
            };
            let profile = Profile { open: part(OPEN, row.bytes(1)?)?, personal: part(PERSONAL, row.bytes(2)?)? };
            profiles.insert(subject, profile);
        }
        Ok(profiles)
    }

    /// Writes records and removes others, in one transaction. The keys of `shredded` subjects are destroyed first:
    /// a record without its key reads as none, so that a crash in between leaves nothing that could be opened.
    /// Answers how many keys were.
    pub(crate) async fn write(
        &self,
        _writing: &Writing<'_>,
        keys: &Keys,
        project: ProjectId,
        plan: &Plan,
        changed: &HashMap<SubjectNo, Profile>,
        (removed, shredded): (&BTreeSet<SubjectNo>, &BTreeSet<SubjectNo>),
    ) -> Result<u64> {
        let destroyed = keys.shred(project, shredded).await?;
        let project_keys = keys.project(project)?;
        let org = project_keys.org;
        let mut order: Vec<SubjectNo> = changed.keys().copied().filter(|subject| !removed.contains(subject)).collect();
        order.sort_unstable();
        let sealing: HashMap<SubjectNo, SealKey> = keys.subjects(project, &order).await?;
        let mut addresses = Vec::new();
        for subject in &order {
            // A group is no person.
            let own = match changed[subject].open.contains_key(GROUP_MARK) {
                true => BTreeSet::new(),
                false => changed[subject].addresses(),
            };
            let hashes = self.blind.hashes(&project_keys, &own).await?;
            addresses.extend(hashes.into_iter().map(|hash| (*subject, hash)));
        }
        let mut write = self.database.write().await?;
        BlindIndex::clear_profiles(&mut write, project, &order).await?;
        let gone = removed.union(shredded).copied().collect();
        BlindIndex::remove(&mut write, project, &gone).await?;
        BlindIndex::add(&mut write, project, Source::Profile, &addresses).await?;
        for subject in order {
            let profile = &changed[&subject];
            let key = sealing.get(&subject).ok_or(Error::CannotOpen)?;
            let part = |field, map: &Map<String, Value>| {
                key.seal(&aad("record", &[org.0, project.0, subject.0, field, VERSION]), &json(map))
            };
            let (open, personal) = (part(OPEN, &profile.open), part(PERSONAL, &profile.personal));
            let fields = profile.fields(plan).0.cast_signed();
            write
                .execute(
                    "INSERT INTO records (project, subject, open, personal, fields) VALUES ($1, $2, $3, $4, $5)
                     ON CONFLICT (project, subject) DO UPDATE
                     SET open = excluded.open, personal = excluded.personal, fields = excluded.fields",
                    &[project.into(), subject.into(), (&open).into(), (&personal).into(), fields.into()],
                )
                .await?;
        }
        for subject in removed {
            let sql = "DELETE FROM records WHERE project = $1 AND subject = $2";
            write.execute(sql, &[project.into(), (*subject).into()]).await?;
        }
        write.commit().await?;
        for (subject, profile) in changed {
            let open = (!removed.contains(subject)).then_some(&profile.open);
            self.tables.changed(project, *subject, open);
        }
        for subject in removed {
            self.tables.changed(project, *subject, None);
        }
        Ok(destroyed)
    }

    /// Subjects of a project by exactly which fields are personal in their records.
    pub(crate) async fn stored_fields(
        &self,
        keys: &Keys,
        project: ProjectId,
        plan: &Plan,
    ) -> Result<BTreeMap<u64, RoaringBitmap>> {
        self.tell(keys, project, plan).await?;
        let mut stored: BTreeMap<u64, RoaringBitmap> = BTreeMap::new();
        let sql = "SELECT MAX(subject) FROM records WHERE project = $1";
        let last = self.database.row(sql, &[project.into()]).await?.map(|row| row.maybe_int(0)).transpose()?.flatten();
        for from in (0..=last.unwrap_or(-1)).step_by(SUBJECTS_AT_ONCE as usize) {
            // A row for each subject would take longer to hand over than to find.
            let sql = "SELECT fields, string_agg(CAST(subject AS TEXT), ',') FROM records
                       WHERE project = $1 AND subject >= $2 AND subject < $3 AND fields IS NOT NULL GROUP BY fields";
            let to = from + SUBJECTS_AT_ONCE;
            for row in self.database.rows(sql, &[project.into(), from.into(), to.into()]).await? {
                let subjects = stored.entry(row.int(0)?.cast_unsigned()).or_default();
                for subject in row.text(1)?.split(',') {
                    subjects.insert(subject.parse().map_err(|_| Error::CannotOpen)?);
                }
            }
        }
        Ok(stored)
    }

    /// Whether records between the first and the last of some subjects have ids among their properties, as far as is
    /// known without opening them.
    pub(crate) async fn have_ids(&self, project: ProjectId, plan: &Plan, subjects: &[SubjectNo]) -> Result<bool> {
        let (Some(first), Some(last)) = (subjects.iter().min(), subjects.iter().max()) else { return Ok(false) };
        if self.told(project).await? != plan.print() {
            return Ok(true);
        }
        let sql = "SELECT 1 FROM records WHERE project = $1 AND subject >= $2 AND subject <= $3
                   AND (fields IS NULL OR fields & $4 <> 0) LIMIT 1";
        let ids = FieldSet::EMPTY.with(PersonalField::DistinctId).0.cast_signed();
        let found = self.database.row(sql, &[project.into(), (*first).into(), (*last).into(), ids.into()]).await?;
        Ok(found.is_some())
    }

    /// The plan by which the fields of records were told apart, those of which it is not known left aside.
    async fn told(&self, project: ProjectId) -> Result<Vec<u8>> {
        let sql = "SELECT plan FROM records_told WHERE project = $1";
        let row = self.database.row(sql, &[project.into()]).await?;
        row.map_or(Ok(Vec::new()), |row| Ok(row.bytes(0)?.to_vec()))
    }

    /// Has it known of every record which fields it has, as a plan tells them apart. After a change of classes all are
    /// looked at again; given up half way, the next one starts over.
    async fn tell(&self, keys: &Keys, project: ProjectId, plan: &Plan) -> Result<()> {
        let _one = self.telling.lock().await;
        let print = plan.print();
        if self.told(project).await? != print {
            self.forget_fields(project).await?;
            let mut write = self.database.write().await?;
            let sql = "INSERT INTO records_told (project, plan) VALUES ($1, $2)
                       ON CONFLICT (project) DO UPDATE SET plan = excluded.plan";
            write.execute(sql, &[project.into(), (&print).into()]).await?;
            write.commit().await?;
        }
        self.look_at_unknown(keys, project, plan).await
    }

    /// Opens the records of which it is not known what they have, and keeps what they do.
    async fn look_at_unknown(&self, keys: &Keys, project: ProjectId, plan: &Plan) -> Result<()> {
        loop {
            let _writing = self.writing().await;
            let sql = "SELECT subject FROM records WHERE project = $1 AND fields IS NULL ORDER BY subject LIMIT $2";
            let rows = self.database.rows(sql, &[project.into(), RECORDS_AT_ONCE.into()]).await?;
            let subjects: Vec<SubjectNo> =
                rows.iter().map(|row| Ok(SubjectNo(row.number(0)?))).collect::<Result<_>>()?;
            if subjects.is_empty() {
                return Ok(());
            }
            let profiles = self.read(keys, project, &subjects).await?;
            let mut write = self.database.write().await?;
            for subject in subjects {
                // One whose key was destroyed has nothing that could leave.
                let fields = profiles.get(&subject).map_or(FieldSet::EMPTY, |profile| profile.fields(plan));
                let sql = "UPDATE records SET fields = $1 WHERE project = $2 AND subject = $3";
                write.execute(sql, &[fields.0.cast_signed().into(), project.into(), subject.into()]).await?;
            }
            write.commit().await?;
        }
    }

    /// Has every record of a project looked at anew. Some at a time: whoever seals profiles meanwhile waits for no more.
    pub(crate) async fn forget_fields(&self, project: ProjectId) -> Result<()> {
        let sql = "SELECT MAX(subject) FROM records WHERE project = $1";
        let last = self.database.row(sql, &[project.into()]).await?.map(|row| row.maybe_int(0)).transpose()?.flatten();
        for from in (0..=last.unwrap_or(-1)).step_by(SUBJECTS_AT_ONCE as usize) {
            let _writing = self.writing().await;
            let mut write = self.database.write().await?;
            let sql = "UPDATE records SET fields = NULL WHERE project = $1 AND subject >= $2 AND subject < $3";
            let to = from + SUBJECTS_AT_ONCE;
            write.execute(sql, &[project.into(), from.into(), to.into()]).await?;
            write.commit().await?;
        }
        Ok(())
    }

    /// Answers questions about persons by their open properties. The first one about a project reads all its records.
    pub(crate) async fn people(
        &self,
        keys: &Keys,
        project: ProjectId,
        merges: &Merges,
        tests: &[PersonTest<'_>],
        properties: &[&str],
    ) -> Result<PeopleFound> {
        if let Some(found) = self.tables.find(project, merges, tests, properties) {
            return Ok(found);
        }
        let _one = self.reading.lock().await;
        if self.tables.begin(project) {
            let mut table = Table::default();
            let mut after = -1_i64;
            loop {
                let sql = "SELECT subject FROM records WHERE project = $1 AND subject > $2 ORDER BY subject LIMIT $3";
                let rows = self.database.rows(sql, &[project.into(), after.into(), RECORDS_AT_ONCE.into()]).await?;
                let subjects: Vec<SubjectNo> =
                    rows.iter().map(|row| Ok(SubjectNo(row.number(0)?))).collect::<Result<_>>()?;
                let Some(last) = subjects.last() else { break };
                after = i64::from(last.0);
                for (subject, profile) in self.read(keys, project, &subjects).await? {
                    table.set(subject, Some(&profile.open));
                }
            }
            self.tables.finish(project, table);
        }
        self.tables.find(project, merges, tests, properties).ok_or(Error::CannotOpen)
    }
}

/// Subjects whose fields are asked for at once.
const SUBJECTS_AT_ONCE: i64 = 65_536;
/// Records opened at once while a table is read.
const RECORDS_AT_ONCE: i64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else { panic!("an object") };
        map
    }

    #[test]
    fn operators_follow_the_protocol() {
        let mut profile = Profile::default();
        let mut trail = Trail::new();
        let operations = [
            Operation::Set(map(json!({"plan": "free", "$email": "a@b.io", "n": 1, "list": ["x"]}))),
            Operation::SetOnce(map(json!({"plan": "never", "first": true}))),
            Operation::Add(map(json!({"n": 2, "fresh": -1, "plan": 3}))),
            Operation::Append(map(json!({"list": "x", "new": 1, "plan": "no"}))),
            Operation::Union(map(json!({"list": ["x", "y"], "set": ["a", "a"]}))),
            Operation::Remove(map(json!({"list": "x", "absent": 1}))),
            Operation::Unset(vec!["first".into()]),
        ];
        for operation in operations {
            profile.apply(operation, &Plan::default(), &mut trail).unwrap();
        }
        assert_eq!(
            Value::Object(profile.open.clone()),
            json!({"plan": "free", "n": 3, "fresh": -1, "list": ["y"], "new": [1], "set": ["a"]})
        );
        assert_eq!(Value::Object(profile.personal.clone()), json!({"$email": "a@b.io"}));
        // A value that turns out personal moves, and does not stay behind.
        profile.apply(Operation::Set(map(json!({"plan": "ask c@d.io"}))), &Plan::default(), &mut trail).unwrap();
        assert!(!profile.open.contains_key("plan"));
        let view = profile.view();
        assert!(view.sealed.contains(&("plan".to_owned(), Class::C3)));
        profile.apply(Operation::Delete, &Plan::default(), &mut trail).unwrap();
        assert!(profile.open.is_empty() && profile.personal.is_empty());
    }

    #[test]
    fn a_profile_too_large_stays_as_it_was() {
        let mut profile = Profile::default();
        let big = "x".repeat(250);
        let mut refused = false;
        for index in 0..limits::PROFILE_PROPERTIES_MAX + 1 {
            let before = profile.open.len();
            match profile.apply(
                Operation::Set(map(json!({format!("p{index}"): big}))),
                &Plan::default(),
                &mut Trail::new(),
            ) {
                Ok(()) => {}
                Err(reason) => {
                    assert_eq!(reason, Reason::ProfileTooLarge);
                    assert_eq!(profile.open.len(), before);
                    refused = true;
                    break;
                }
            }
        }
        assert!(refused);
    }
}
