//! What members decide about the door: the tracking plan, the quarantine, and what the detectors of today find in the
//! events of yesterday. No value is ever answered, only names, kinds and counts.
//!
//! The ledger has each decision before it takes effect, with properties by a keyed hash of their name. `who` is who
//! decides, as an entry has it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cofferdam_lake::columns::{NOT_SET, TIME_NOT_SET};
use cofferdam_lake::{Column, PropertyKey, Segment};
use cofferdam_ledger::{Entry, Kind, RoaringBitmap};
use cofferdam_model::plan::{Keep, PlanMode};
use cofferdam_model::{Class, Detector, FieldSet, ProjectId, PropertyType, SubjectNo, TrackingPlan, limits};
use cofferdam_query::People;
use cofferdam_query::calendar::utc_text;
use cofferdam_vault::{Quarantine, Vault, field_of};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{Engine, Error, Project, Result, refused};

/// What is in quarantine.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct QuarantineView {
    pub mode: PlanMode,
    pub properties: Vec<QuarantinedProperty>,
    /// Sealed bytes, of `bytes_max`.
    pub bytes: u64,
    pub bytes_max: u64,
    /// Values that found no room since the server started.
    pub lost: u64,
    /// Values are gone after so many days.
    pub days: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct QuarantinedProperty {
    pub name: String,
    pub values: u64,
    /// RFC 3339, UTC.
    pub first_at: String,
    pub last_at: String,
    /// What the detectors found in the values.
    pub shapes: Vec<ShapeCount>,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ShapeCount {
    pub detector: Detector,
    pub values: u64,
}

/// What became of the values of a released property.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Released {
    /// Sealed into the profiles of their persons.
    pub sealed: u64,
    pub destroyed: u64,
}

/// What the detectors of today find in stored events.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Scan {
    /// Events that were looked at.
    pub events: u64,
    /// Most events first.
    pub findings: Vec<Finding>,
    /// Whether there are more findings than are listed.
    pub is_cut: bool,
}

/// Values of one kind in one property.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Finding {
    pub property: String,
    pub class: Class,
    pub detector: Detector,
    pub events: u64,
    /// Persons whose events they are.
    pub subjects: u64,
    /// Disclosures that have carried the property of one of these persons, as recorded: the newest 1,000, newest first.
    pub carried: Vec<Carried>,
}

/// A recorded disclosure.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Carried {
    /// The ledger's number of it.
    pub entry: u64,
    /// Of the finding's persons.
    pub subjects: u64,
}

impl From<cofferdam_vault::Released> for Released {
    fn from(released: cofferdam_vault::Released) -> Released {
        Released { sealed: released.sealed, destroyed: released.destroyed }
    }
}

/// What the vault refuses is the member's to mend.
fn refusal(error: cofferdam_vault::Error) -> Error {
    match error {
        cofferdam_vault::Error::ClassLowered { name } => Error::Refused {
            code: "class_lowered",
            message: format!("the class of {name} cannot be lowered"),
            hint: Some("a lower class needs a second person's consent, which this version cannot ask for"),
        },
        cofferdam_vault::Error::Plan(error) => {
            Error::Refused { code: "invalid_plan", message: error.to_string(), hint: None }
        }
        other => Error::Vault(other),
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > limits::NAME_BYTES_MAX {
        return refused("invalid_name", format!("a property's name has 1 to {} bytes", limits::NAME_BYTES_MAX), None);
    }
    Ok(())
}

fn check_class(class: Class) -> Result<()> {
    if class == Class::C0 {
        return refused("invalid_class", "a property's class is C1 to C5", None);
    }
    Ok(())
}

impl Engine {
    pub fn plan(&self, project: &Project) -> TrackingPlan {
        self.vault.plan(project.id)
    }

    /// Exchanges the tracking plan, from the next event on. How long what is kept is set by [`Engine::set_keep`].
    pub async fn set_plan(&self, project: &Project, who: &Entry, plan: TrackingPlan) -> Result<TrackingPlan> {
        let _one = self.deciding.lock().await;
        self.vault.check_plan(project.id, &plan).map_err(refusal)?;
        let keep = self.plan(project).keep;
        if !plan.keep.is_forever() && plan.keep != keep {
            return refused(
                "keep_apart",
                "how long events are kept is not changed together with the plan",
                Some("it takes a factor shown again: PUT …/plan/keep, or the page Data"),
            );
        }
        let plan = TrackingPlan { keep, ..plan };
        self.record_plan(project, who, &plan).await?;
        self.vault.set_plan(project.id, plan).await.map_err(refusal)?;
        Ok(self.plan(project))
    }

    /// Sets how long stored events keep what. What is past that goes with the next compaction.
    pub async fn set_keep(&self, project: &Project, who: &Entry, keep: Keep) -> Result<TrackingPlan> {
        let _one = self.deciding.lock().await;
        let plan = TrackingPlan { keep, ..self.plan(project) };
        self.vault.check_plan(project.id, &plan).map_err(refusal)?;
        self.record_plan(project, who, &plan).await?;
        self.vault.set_keep(project.id, plan.keep).await.map_err(refusal)?;
        Ok(self.plan(project))
    }

    pub async fn set_plan_mode(&self, project: &Project, who: &Entry, mode: PlanMode) -> Result<TrackingPlan> {
        let _one = self.deciding.lock().await;
        self.record_plan(project, who, &TrackingPlan { mode, ..self.plan(project) }).await?;
        self.vault.set_mode(project.id, mode).await.map_err(refusal)?;
        Ok(self.plan(project))
    }

    /// Raises the class of a property, from the next event on.
    pub async fn raise_class(&self, project: &Project, who: &Entry, name: &str, class: Class) -> Result<()> {
        check_name(name)?;
        check_class(class)?;
        let _one = self.deciding.lock().await;
        self.record_plan(project, who, &self.vault.plan_with(project.id, name, class).map_err(refusal)?).await?;
        self.vault.raise_class(project.id, name, class).await.map_err(refusal)
    }

    /// Writes down which plan is about to be in force.
    async fn record_plan(&self, project: &Project, who: &Entry, plan: &TrackingPlan) -> Result<()> {
        let text = serde_json::to_vec(plan).map_err(|_| Error::Interrupted)?;
        let print = self.vault.fingerprint("ledger plan", &text);
        self.decided(project, who, Kind::PlanSet, 0, print.to_vec()).await
    }

    async fn decided(&self, project: &Project, who: &Entry, kind: Kind, count: u64, extra: Vec<u8>) -> Result<()> {
        let entry = Entry { kind, object: u64::from(project.id.0), count, extra, ..who.clone() };
        self.ledger.append_async(entry).await?;
        Ok(())
    }

    /// What a property is called in the ledger.
    fn keyed_name(&self, project: &Project, name: &str) -> Vec<u8> {
        let text = [&project.id.0.to_be_bytes()[..], name.as_bytes()].concat();
        self.vault.fingerprint("ledger property", &text)[..16].to_vec()
    }

    /// Raises the class of a property, and history is without the property when this returns.
    pub async fn remove_from_history(
        &self,
        project: &Arc<Project>,
        who: &Entry,
        name: &str,
        class: Class,
    ) -> Result<()> {
        if class < Class::C3 {
            return refused(
                "invalid_class",
                "a property that leaves history has a class of C3 to C5",
                Some("C3 and C4 seal what comes from now on, C5 drops it"),
            );
        }
        check_name(name)?;
        let _one = self.deciding.lock().await;
        self.vault.plan_with(project.id, name, class).map_err(refusal)?;
        self.record_removal(project, who, name, class).await?;
        if !self.vault.remove_from_history(project.id, name, class).await.map_err(refusal)? {
            return refused(
                "stays_in_history",
                "history has pseudonyms of this property only",
                Some("use C4 or C5 to remove those as well"),
            );
        }
        self.lake.flush().await?;
        Ok(self.lake.compact_now().await?)
    }

    async fn record_removal(&self, project: &Arc<Project>, who: &Entry, name: &str, class: Class) -> Result<()> {
        let wanted = name.to_owned();
        let run = move |input: &cofferdam_query::Input<'_>| {
            let (mut values, mut subjects) = (0_u64, BTreeSet::new());
            for segment in input.snapshot.segments() {
                for key in segment.keys().filter(|key| key.name == wanted) {
                    let Some(column) = segment.column(key)? else { continue };
                    visible_rows(segment, |subject, row| {
                        if is_set(&column, row) {
                            values += 1;
                            subjects.insert(subject);
                        }
                    })?;
                }
            }
            Ok((values, subjects))
        };
        let ((values, subjects), _) = self.on_snapshot(project, None, People::default(), run).await?;
        let carried = self.carriers(project).await?.of(&subjects, name);
        let mut extra = self.keyed_name(project, name);
        extra.push(class as u8);
        extra.extend(values.to_be_bytes());
        extra.extend(u32::try_from(carried.len()).unwrap_or(u32::MAX).to_be_bytes());
        let room = (limits::LEDGER_EXTRA_BYTES_MAX - extra.len()) / 8;
        extra.extend(carried.iter().take(room).flat_map(|carried| carried.entry.to_be_bytes()));
        let persons = subjects.iter().filter(|subject| **subject != SubjectNo::NOBODY).count() as u64;
        self.decided(project, who, Kind::HistoryRemoved, persons, extra).await
    }

    pub async fn quarantine(&self, project: &Project) -> Result<QuarantineView> {
        let Quarantine { names, bytes, lost } = self.vault.quarantine(project.id, self.now_us()).await?;
        let shape = |(detector, values)| ShapeCount { detector, values };
        let properties = names
            .into_iter()
            .map(|name| QuarantinedProperty {
                first_at: utc_text(name.first_us),
                last_at: utc_text(name.last_us),
                shapes: name.shapes.into_iter().map(shape).collect(),
                values: name.values,
                name: name.name,
            })
            .collect();
        Ok(QuarantineView {
            mode: self.plan(project).mode,
            properties,
            bytes: bytes as u64,
            bytes_max: limits::QUARANTINE_BYTES_MAX as u64,
            lost,
            days: limits::QUARANTINE_DAYS,
        })
    }

    /// Takes a property into the plan. Quarantined values go into profiles when the class is personal, and are
    /// destroyed when not: events are never rewritten.
    pub async fn release(&self, project: &Project, who: &Entry, name: &str, class: Class) -> Result<Released> {
        check_class(class)?;
        let _one = self.deciding.lock().await;
        if self.plan(project).property(name).is_some_and(|property| class < property.class) {
            return Err(refusal(cofferdam_vault::Error::ClassLowered { name: name.to_owned() }));
        }
        let count = self.quarantined(project, name).await?;
        let extra = [self.keyed_name(project, name), vec![class as u8]].concat();
        self.decided(project, who, Kind::QuarantineReleased, count, extra).await?;
        let released = self.vault.release(project.id, name, class).await.map_err(refusal)?;
        released.map(Released::from).ok_or(Error::NotFound("property in quarantine"))
    }

    /// Quarantined values of a property.
    async fn quarantined(&self, project: &Project, name: &str) -> Result<u64> {
        let quarantine = self.vault.quarantine(project.id, self.now_us()).await?;
        let found = quarantine.names.into_iter().find(|known| known.name == name);
        found.map(|known| known.values).ok_or(Error::NotFound("property in quarantine"))
    }

    /// Destroys what is quarantined of a property. Answers how many values.
    pub async fn purge(&self, project: &Project, who: &Entry, name: &str) -> Result<u64> {
        let _one = self.deciding.lock().await;
        let count = self.quarantined(project, name).await?;
        self.decided(project, who, Kind::QuarantinePurged, count, self.keyed_name(project, name)).await?;
        match self.vault.purge(project.id, name).await? {
            0 => Err(Error::NotFound("property in quarantine")),
            gone => Ok(gone),
        }
    }

    /// Runs the detectors of today over every stored event.
    pub async fn scan(&self, project: &Arc<Project>, who: &Entry) -> Result<Scan> {
        let (vault, id) = (self.vault.clone(), project.id);
        let run = move |input: &cofferdam_query::Input<'_>| {
            let mut found: BTreeMap<(String, Detector), Hits> = BTreeMap::new();
            for segment in input.snapshot.segments() {
                scan_segment(&vault, id, segment, &mut found)?;
            }
            Ok((input.snapshot.events(), found))
        };
        let ((events, found), _) = self.on_snapshot(project, None, People::default(), run).await?;
        let everybody: BTreeSet<SubjectNo> = found.values().flat_map(|hits| &hits.subjects).copied().collect();
        let kinds = found.keys().fold(0_u64, |kinds, (_, detector)| kinds | 1 << detector.number());
        let extra: Vec<u8> = [events, found.len() as u64, kinds].into_iter().flat_map(u64::to_be_bytes).collect();
        self.decided(project, who, Kind::HistorySearched, everybody.len() as u64, extra).await?;
        let carriers = self.carriers(project).await?;
        let mut findings: Vec<Finding> = found
            .into_iter()
            .map(|((property, detector), hits)| Finding {
                carried: carriers.of(&hits.subjects, &property),
                property,
                class: hits.class,
                detector,
                events: hits.events,
                subjects: hits.subjects.len() as u64,
            })
            .collect();
        findings.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.property.cmp(&b.property)));
        let is_cut = findings.len() > limits::SCAN_FINDINGS_MAX;
        findings.truncate(limits::SCAN_FINDINGS_MAX);
        Ok(Scan { events, findings, is_cut })
    }

    /// What the ledger has of disclosures of a project's persons.
    async fn carriers(&self, project: &Project) -> Result<Carriers> {
        let (ledger, project) = (self.ledger.clone(), u64::from(project.id.0));
        let read = tokio::task::spawn_blocking(move || {
            ledger.settle()?;
            let (mut carriers, mut from) = (Carriers(Vec::new()), 0);
            loop {
                let entries = ledger.entries(from, from + LEDGER_AT_ONCE)?;
                if entries.is_empty() {
                    return Ok(carriers);
                }
                from += entries.len() as u64;
                let intents = entries.into_iter().map(|recorded| (recorded.seq, recorded.entry));
                for (seq, entry) in intents.filter(|(_, entry)| entry.kind == Kind::Intent && entry.object == project) {
                    // Of an erased set nobody can say any more who was in it.
                    if let Some(subjects) = ledger.subjects(seq)? {
                        carriers.0.push((seq, entry.fields, subjects));
                    }
                }
            }
        });
        read.await.map_err(|_| Error::Interrupted)?
    }
}

/// Entries of the ledger that are read at a time.
const LEDGER_AT_ONCE: u64 = 10_000;

/// Intents by their number: which fields of whom.
struct Carriers(Vec<(u64, FieldSet, RoaringBitmap)>);

impl Carriers {
    /// Those that let a property of these persons out, newest first. Who gets their own data gets their events too.
    fn of(&self, subjects: &BTreeSet<SubjectNo>, property: &str) -> Vec<Carried> {
        let field = field_of(property);
        let mut carried = Vec::new();
        for (entry, fields, disclosed) in self.0.iter().rev() {
            let count = disclosed.iter().filter(|subject| subjects.contains(&SubjectNo(*subject))).count() as u64;
            if fields.contains(field) && count > 0 && carried.len() < limits::SCAN_CARRIED_MAX {
                carried.push(Carried { entry: *entry, subjects: count });
            }
        }
        carried
    }
}

/// Hits of one kind in one property.
struct Hits {
    class: Class,
    events: u64,
    subjects: BTreeSet<SubjectNo>,
}

fn scan_segment(
    vault: &Vault,
    project: ProjectId,
    segment: &Segment,
    found: &mut BTreeMap<(String, Detector), Hits>,
) -> cofferdam_query::Result<()> {
    for key in segment.keys() {
        let Some(column) = segment.column(key)? else { continue };
        let judged = judge_column(vault, project, key, &column);
        if judged.is_empty() {
            continue;
        }
        visible_rows(segment, |subject, row| {
            let Some((class, detector)) = judged.at(&column, row) else { return };
            let hits = found.entry((key.name.clone(), detector)).or_insert_with(|| Hits {
                class,
                events: 0,
                subjects: BTreeSet::new(),
            });
            hits.class = hits.class.max(class);
            hits.events += 1;
            if subject != SubjectNo::NOBODY {
                hits.subjects.insert(subject);
            }
        })?;
    }
    Ok(())
}

/// Each row that is not hidden, with its subject.
fn visible_rows(segment: &Segment, mut each: impl FnMut(SubjectNo, usize)) -> cofferdam_query::Result<()> {
    let core = segment.core()?;
    let mut hidden = segment.hidden().iter().copied().peekable();
    for (subject, rows) in core.subjects.iter().zip(core.offsets.windows(2)) {
        for row in rows[0]..rows[1] {
            if hidden.next_if_eq(&row).is_none() {
                each(SubjectNo(*subject), row as usize);
            }
        }
    }
    Ok(())
}

fn is_set(column: &Column, row: usize) -> bool {
    match column {
        Column::Text(text) => text.codes.get(row) != NOT_SET,
        Column::Number(values) => !values[row].is_nan(),
        Column::Bool(values) => values[row] != 0,
        Column::Time(values) => values[row] != TIME_NOT_SET,
    }
}

/// What the detectors say of the values of a column, each different value asked about once.
enum Judged {
    /// By code.
    Texts(Vec<Option<(Class, Detector)>>),
    /// By the bits of the number.
    Numbers(BTreeMap<u64, (Class, Detector)>),
}

impl Judged {
    fn is_empty(&self) -> bool {
        match self {
            Judged::Texts(texts) => texts.iter().all(Option::is_none),
            Judged::Numbers(numbers) => numbers.is_empty(),
        }
    }

    fn at(&self, column: &Column, row: usize) -> Option<(Class, Detector)> {
        match (self, column) {
            (Judged::Texts(texts), Column::Text(text)) => match text.codes.get(row) {
                NOT_SET => None,
                code => texts[code as usize],
            },
            (Judged::Numbers(numbers), Column::Number(values)) => numbers.get(&values[row].to_bits()).copied(),
            _ => None,
        }
    }
}

fn judge_column(vault: &Vault, project: ProjectId, key: &PropertyKey, column: &Column) -> Judged {
    let judge = |value: &Value| vault.finds(project, &key.name, value);
    match column {
        Column::Text(text) => Judged::Texts(
            text.dictionary
                .iter()
                .map(|entry| match key.property_type {
                    PropertyType::List | PropertyType::Object => judge(&serde_json::from_str(entry).ok()?),
                    _ => judge(&Value::String(entry.to_owned())),
                })
                .collect(),
        ),
        Column::Number(values) => {
            let different: BTreeSet<u64> =
                values.iter().filter(|value| !value.is_nan()).map(|value| value.to_bits()).collect();
            let whole = |value: f64| {
                if value.fract() == 0.0 && value.abs() < 9e15 { Value::from(value as i64) } else { value.into() }
            };
            let hits = different.into_iter().filter_map(|bits| Some((bits, judge(&whole(f64::from_bits(bits)))?)));
            Judged::Numbers(hits.collect())
        }
        Column::Bool(_) | Column::Time(_) => Judged::Numbers(BTreeMap::new()),
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_ledger::Intent;
    use cofferdam_model::PersonalField;
    use serde_json::json;

    use super::*;
    use crate::testing::{NOW_US, import, last_entries, open, shop};

    fn number<const N: usize>(extra: &[u8], at: usize) -> u64 {
        extra[at..at + N].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    async fn world(engine: &Engine) -> Arc<Project> {
        let project = shop(engine).await;
        let event = |at: i64| {
            let (id, insert_id) = (format!("u{}", at % 3), format!("i{at}"));
            // Of a day that is over: a column leaves no file that may still grow.
            let time = NOW_US / 1_000_000 - 3 * 86_400 - at;
            json!({"event": "Visit", "properties": {"time": time, "$insert_id": insert_id,
                "distinct_id": id, "mood": "fine", "shade": "red"}})
        };
        import(engine, &project, &(0..12).map(event).collect::<Vec<_>>()).await;
        project
    }

    #[tokio::test]
    async fn the_ledger_has_what_was_looked_for_in_history_what_left_it_and_who_had_been_given_it() {
        let home = tempfile::tempdir().unwrap();
        let engine = open(home.path()).await;
        let (project, officer) = (world(&engine).await, engine.acting(Some(7)));
        let (persons, _) = engine.vault.known_persons(project.id, &["u1".to_owned()]).await.unwrap();
        let disclose = |fields: FieldSet| Intent {
            org: project.org,
            project: project.id,
            fields,
            subjects: persons.iter().map(|subject| subject.0).collect(),
            context: Entry::of(Kind::Intent),
        };
        let other = engine.ledger.authorise(disclose(FieldSet::EMPTY.with(PersonalField::Email))).unwrap();
        let given = engine.ledger.authorise(disclose(PersonalField::ALL.into_iter().collect())).unwrap();
        assert!(other.seq() < given.seq());

        engine.raise_class(&project, &officer, "mood", Class::C4).await.unwrap();
        let entry = last_entries(&engine, 1).remove(0);
        assert_eq!((entry.kind, entry.actor, entry.extra.len()), (Kind::PlanSet, Some(engine.actor(7)), 32));
        let size = engine.ledger.size();
        assert!(engine.raise_class(&project, &officer, "mood", Class::C1).await.is_err());
        assert_eq!(engine.ledger.size(), size, "what is refused changes nothing");

        let scan = engine.scan(&project, &officer).await.unwrap();
        assert_eq!((scan.events, scan.findings.len(), scan.findings[0].events), (12, 1, 12));
        assert_eq!(scan.findings[0].carried, [Carried { entry: given.seq(), subjects: 1 }]);
        let entry = last_entries(&engine, 1).remove(0);
        assert_eq!((entry.kind, entry.count, number::<8>(&entry.extra, 0)), (Kind::HistorySearched, 3, 12));
        assert_eq!(number::<8>(&entry.extra, 8), 1);
        assert_eq!(number::<8>(&entry.extra, 16), 1 << Detector::Plan.number());

        engine.remove_from_history(&project, &officer, "mood", Class::C4).await.unwrap();
        let entry = last_entries(&engine, 1).remove(0);
        assert_eq!((entry.kind, entry.object, entry.count), (Kind::HistoryRemoved, u64::from(project.id.0), 3));
        assert_eq!(entry.extra[..16], engine.keyed_name(&project, "mood"));
        assert_ne!(engine.keyed_name(&project, "mood"), engine.keyed_name(&project, "shade"));
        assert_eq!((entry.extra[16], number::<8>(&entry.extra, 17), number::<4>(&entry.extra, 25)), (4, 12, 1));
        assert_eq!(entry.extra[29..], given.seq().to_be_bytes());
        assert!(engine.scan(&project, &officer).await.unwrap().findings.is_empty());
    }

    #[tokio::test]
    async fn what_becomes_of_quarantined_values_is_in_the_ledger() {
        let home = tempfile::tempdir().unwrap();
        let engine = open(home.path()).await;
        let (project, officer) = (shop(&engine).await, engine.acting(Some(7)));
        engine.set_plan_mode(&project, &officer, PlanMode::Strict).await.unwrap();
        assert_eq!(last_entries(&engine, 1)[0].kind, Kind::PlanSet);
        let event = json!({"event": "Visit", "properties": {"time": NOW_US / 1_000_000, "$insert_id": "i",
            "distinct_id": "u", "mood": "fine", "shade": "red"}});
        import(&engine, &project, &[event]).await;
        let size = engine.ledger.size();
        assert!(engine.purge(&project, &officer, "nothing").await.is_err());
        assert_eq!(engine.ledger.size(), size);
        engine.release(&project, &officer, "mood", Class::C4).await.unwrap();
        engine.purge(&project, &engine.acting(None), "shade").await.unwrap();
        let [released, purged] = last_entries(&engine, 2).try_into().unwrap();
        assert_eq!((released.kind, released.count, released.extra[16]), (Kind::QuarantineReleased, 1, 4));
        assert_eq!((purged.kind, purged.count, purged.actor), (Kind::QuarantinePurged, 1, None));
        assert_eq!(purged.extra, engine.keyed_name(&project, "shade"));
    }
}
