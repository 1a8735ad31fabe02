//! What members decide about the door: the tracking plan, the quarantine, and what the detectors of today find in the
//! events of yesterday. No value is ever answered, only names, kinds and counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cofferdam_lake::columns::NOT_SET;
use cofferdam_lake::{Column, PropertyKey, Segment};
use cofferdam_model::plan::PlanMode;
use cofferdam_model::{Class, Detector, ProjectId, PropertyType, SubjectNo, TrackingPlan, limits};
use cofferdam_query::People;
use cofferdam_query::calendar::utc_text;
use cofferdam_vault::{Quarantine, Vault};
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
    /// Exports and transfers that have carried the property of one of these persons, as recorded. Empty when none is.
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

    /// Exchanges the tracking plan, from the next event on.
    pub async fn set_plan(&self, project: &Project, plan: TrackingPlan) -> Result<TrackingPlan> {
        self.vault.set_plan(project.id, plan).await.map_err(refusal)?;
        Ok(self.plan(project))
    }

    pub async fn set_plan_mode(&self, project: &Project, mode: PlanMode) -> Result<TrackingPlan> {
        self.vault.set_mode(project.id, mode).await.map_err(refusal)?;
        Ok(self.plan(project))
    }

    /// Raises the class of a property, from the next event on.
    pub async fn raise_class(&self, project: &Project, name: &str, class: Class) -> Result<()> {
        check_name(name)?;
        check_class(class)?;
        self.vault.raise_class(project.id, name, class).await.map_err(refusal)
    }

    /// The same, and history is without the property when this returns.
    pub async fn remove_from_history(&self, project: &Project, name: &str, class: Class) -> Result<()> {
        if class < Class::C3 {
            return refused(
                "invalid_class",
                "a property that leaves history has a class of C3 to C5",
                Some("C3 and C4 seal what comes from now on, C5 drops it"),
            );
        }
        check_name(name)?;
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
    pub async fn release(&self, project: &Project, name: &str, class: Class) -> Result<Released> {
        check_class(class)?;
        let released = self.vault.release(project.id, name, class).await.map_err(refusal)?;
        released.map(Released::from).ok_or(Error::NotFound("property in quarantine"))
    }

    /// Destroys what is quarantined of a property. Answers how many values.
    pub async fn purge(&self, project: &Project, name: &str) -> Result<u64> {
        match self.vault.purge(project.id, name).await? {
            0 => Err(Error::NotFound("property in quarantine")),
            gone => Ok(gone),
        }
    }

    /// Runs the detectors of today over every stored event.
    pub async fn scan(&self, project: &Arc<Project>) -> Result<Scan> {
        let (vault, id) = (self.vault.clone(), project.id);
        let run = move |input: &cofferdam_query::Input<'_>| {
            let mut found: BTreeMap<(String, Detector), Hits> = BTreeMap::new();
            for segment in input.snapshot.segments() {
                scan_segment(&vault, id, segment, &mut found)?;
            }
            Ok((input.snapshot.events(), found))
        };
        let ((events, found), _) = self.on_snapshot(project, None, People::default(), run).await?;
        let mut findings: Vec<Finding> = found
            .into_iter()
            .map(|((property, detector), hits)| Finding {
                carried: self.carried(project, &hits.subjects, &property),
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

    /// Which recorded disclosures have carried a property of these persons. The ledger of this version has no entries
    /// of disclosures, and nothing discloses: the exact answer is none.
    fn carried(&self, _project: &Project, _subjects: &BTreeSet<SubjectNo>, _property: &str) -> Vec<Carried> {
        Vec::new()
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
    let core = segment.core()?;
    for key in segment.keys() {
        let Some(column) = segment.column(key)? else { continue };
        let judged = judge_column(vault, project, key, &column);
        if judged.is_empty() {
            continue;
        }
        let mut hidden = segment.hidden().iter().copied().peekable();
        for (at, subject) in core.subjects.iter().enumerate() {
            for row in core.offsets[at]..core.offsets[at + 1] {
                if hidden.next_if_eq(&row).is_some() {
                    continue;
                }
                let Some((class, detector)) = judged.at(&column, row as usize) else { continue };
                let hits = found.entry((key.name.clone(), detector)).or_insert_with(|| Hits {
                    class,
                    events: 0,
                    subjects: BTreeSet::new(),
                });
                hits.class = hits.class.max(class);
                hits.events += 1;
                if SubjectNo(*subject) != SubjectNo::NOBODY {
                    hits.subjects.insert(SubjectNo(*subject));
                }
            }
        }
    }
    Ok(())
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
