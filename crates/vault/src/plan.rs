//! Tracking plans as the door uses them, and what changes them.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use aws_lc_rs::digest;
use cofferdam_model::plan::{Keep, PlanMode, PlannedProperty, PlannedType};
use cofferdam_model::{Action, Class, ProjectId, TrackingPlan};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::database::Database;
use crate::firewall::{NameSays, Verdict, name_says};
use crate::wire::Sent;
use crate::{Error, Known, Result, Vault};

/// What SDKs send by themselves beside names that begin with `$` or `mp_`: no plan lists them.
const BY_THEMSELVES: [&str; 8] =
    ["utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term", "gclid", "ip", "mp_lib"];

/// A plan, ready for many questions.
#[derive(Default)]
pub(crate) struct Plan {
    is_strict: bool,
    properties: FxHashMap<String, Entry>,
}

struct Entry {
    class: Class,
    value_type: Option<PlannedType>,
    /// Any when empty.
    events: FxHashSet<String>,
}

impl Plan {
    fn new(plan: &TrackingPlan) -> Plan {
        let entry = |property: &PlannedProperty| {
            let events = property.events.iter().cloned().collect();
            (property.name.clone(), Entry { class: property.class, value_type: property.value_type, events })
        };
        Plan { is_strict: plan.mode == PlanMode::Strict, properties: plan.properties.iter().map(entry).collect() }
    }

    /// The class that a plan gives a property.
    pub(crate) fn class(&self, name: &str) -> Option<Class> {
        self.properties.get(name).map(|entry| entry.class)
    }

    /// The same for plans that give every property the same class, and for no others; empty for one that gives none.
    pub(crate) fn print(&self) -> Vec<u8> {
        let mut classes: Vec<(&str, u8)> =
            self.properties.iter().map(|(name, entry)| (name.as_str(), entry.class as u8)).collect();
        if classes.is_empty() {
            return Vec::new();
        }
        classes.sort_unstable();
        let mut digest = digest::Context::new(&digest::SHA256);
        for (name, class) in classes {
            digest.update(&(name.len() as u64).to_be_bytes());
            digest.update(name.as_bytes());
            digest.update(&[class]);
        }
        digest.finish().as_ref().to_vec()
    }

    /// What becomes of a property of which the detectors have judged.
    pub(crate) fn judge(&self, event: &str, name: &str, value: &Sent<'_>, verdict: Verdict) -> Verdict {
        if self.properties.is_empty() && !self.is_strict {
            return verdict;
        }
        let entry = self.properties.get(name);
        let verdict = match entry {
            Some(entry) => verdict.at_least(entry.class),
            None => verdict,
        };
        // What is dropped needs no quarantine.
        if !self.is_strict || verdict.action == Action::Dropped {
            return verdict;
        }
        let known = match entry {
            Some(entry) => {
                (entry.events.is_empty() || entry.events.contains(event))
                    && entry.value_type.is_none_or(|planned| is_of(planned, value))
            }
            None => name.starts_with('$') || name.starts_with("mp_") || BY_THEMSELVES.contains(&name),
        };
        if known { verdict } else { Verdict { action: Action::Quarantined, reduced: None, ..verdict } }
    }
}

/// Whether no event has values of it any more.
fn is_closed(property: &PlannedProperty) -> bool {
    match property.class {
        Class::C4 | Class::C5 => true,
        // A pseudonym goes on in place of what joins to other systems.
        Class::C3 => name_says(&property.name) != NameSays::Join,
        Class::C0 | Class::C1 | Class::C2 => false,
    }
}

/// The class of what is stored of a property that no plan names.
fn class_of_name(name: &str) -> Class {
    match name_says(name) {
        NameSays::DeviceOrPlace | NameSays::AddressPart | NameSays::Referrer => Class::C2,
        NameSays::Join => Class::C3,
        _ => Class::C1,
    }
}

fn is_of(planned: PlannedType, value: &Sent<'_>) -> bool {
    match value {
        Sent::Null => true,
        Sent::Bool(_) => planned == PlannedType::Boolean,
        Sent::Number(_) => planned == PlannedType::Number,
        Sent::Text(_) => planned == PlannedType::String,
        Sent::Nested(value) => (planned == PlannedType::List) == value.is_array() && is_nested(planned),
    }
}

fn is_nested(planned: PlannedType) -> bool {
    matches!(planned, PlannedType::List | PlannedType::Object)
}

/// As JSON; a name may hold a NUL, which PostgreSQL's texts may not.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS tracking_plans (
    project INTEGER PRIMARY KEY,
    plan BLOB NOT NULL
) STRICT;
";

/// The plans of all projects.
pub(crate) struct Plans {
    database: Database,
    plans: RwLock<FxHashMap<ProjectId, (TrackingPlan, Arc<Plan>)>>,
    open: Arc<Plan>,
    /// A change reads what it changes.
    changing: tokio::sync::Mutex<()>,
}

impl Plans {
    pub(crate) async fn open(database: Database) -> Result<Plans> {
        database.migrate("plans", &[SCHEMA]).await?;
        let mut plans = FxHashMap::default();
        for row in database.rows("SELECT project, plan FROM tracking_plans", &[]).await? {
            // A plan that cannot be read must not open what it had shut.
            let plan: TrackingPlan = serde_json::from_slice(row.bytes(1)?).map_err(|_| Error::CannotOpen)?;
            let ready = Arc::new(Plan::new(&plan));
            plans.insert(ProjectId(row.number(0)?), (plan, ready));
        }
        Ok(Plans { database, plans: RwLock::new(plans), open: Arc::default(), changing: tokio::sync::Mutex::default() })
    }

    pub(crate) fn of(&self, project: ProjectId) -> Arc<Plan> {
        let plans = self.plans.read().expect("never left half changed");
        plans.get(&project).map_or_else(|| self.open.clone(), |(_, plan)| plan.clone())
    }

    fn sent(&self, project: ProjectId) -> TrackingPlan {
        let plans = self.plans.read().expect("never left half changed");
        plans.get(&project).map(|(plan, _)| plan.clone()).unwrap_or_default()
    }

    async fn store(&self, project: ProjectId, plan: TrackingPlan) -> Result<()> {
        plan.check()?;
        let text = serde_json::to_vec(&plan).map_err(|_| Error::CannotOpen)?;
        let mut write = self.database.write().await?;
        let sql = "INSERT INTO tracking_plans (project, plan) VALUES ($1, $2)
                   ON CONFLICT (project) DO UPDATE SET plan = excluded.plan";
        write.execute(sql, &[project.into(), (&text).into()]).await?;
        write.commit().await?;
        let ready = Arc::new(Plan::new(&plan));
        self.plans.write().expect("never left half changed").insert(project, (plan, ready));
        Ok(())
    }
}

impl Vault {
    pub fn plan(&self, project: ProjectId) -> TrackingPlan {
        self.plans.sent(project)
    }

    /// Of how many days events are kept, if not of all; and the properties whose values go from older ones than so many
    /// days: at once where they are to leave history, being in no new event, else by the class that the plan or their
    /// name gives them. What single values were found to be does not count: anybody who sends events could have a whole
    /// property destroyed, or kept.
    pub fn kept_days(&self, project: ProjectId) -> (Option<u32>, BTreeMap<String, u32>) {
        let plan = self.plans.sent(project);
        let mut days = BTreeMap::new();
        if !plan.keep.class_days.is_empty() {
            for Known { name, .. } in self.dictionary.list(project) {
                let class = plan.property(&name).map_or_else(|| class_of_name(&name), |property| property.class);
                if let Some(kept) = plan.keep.class_days.get(&class) {
                    days.insert(name, *kept);
                }
            }
        }
        let is_leaving = |property: &PlannedProperty| property.remove_history && is_closed(property);
        days.extend(plan.properties.into_iter().filter(is_leaving).map(|property| (property.name, 0)));
        (plan.keep.events_days, days)
    }

    /// Whether what events and profiles have of a property is of device or place (class C2) by its name or the tracking
    /// plan; or stricter, and from before the plan said so. Pseudonyms of ids are neither. What single values were found to
    /// be does not count, for the reason that [`Vault::kept_days`] has.
    pub fn is_masked(&self, project: ProjectId, name: &str) -> bool {
        let planned = self.plans.of(project).class(name);
        match class_of_name(name).max(planned.unwrap_or(Class::C0)) {
            Class::C0 | Class::C1 => false,
            Class::C2 => true,
            Class::C3 | Class::C4 | Class::C5 => name_says(name) != NameSays::Join,
        }
    }

    /// Raises the class of a property, and takes its values out of history. `false` when that cannot be: events go on
    /// with pseudonyms of it.
    pub async fn remove_from_history(&self, project: ProjectId, name: &str, class: Class) -> Result<bool> {
        self.raise_class(project, name, class).await?;
        let _one = self.plans.changing.lock().await;
        let mut plan = self.plans.sent(project);
        let Some(property) = plan.properties.iter_mut().find(|property| property.name == name) else {
            return Ok(false);
        };
        property.remove_history = is_closed(property);
        let leaves = property.remove_history;
        self.plans.store(project, plan).await?;
        Ok(leaves)
    }

    /// Exchanges the plan of a project. No class of the one before may be lowered; how long what is kept stays.
    pub async fn set_plan(&self, project: ProjectId, plan: TrackingPlan) -> Result<()> {
        let _one = self.plans.changing.lock().await;
        self.check_plan(project, &plan)?;
        self.plans.store(project, TrackingPlan { keep: self.plans.sent(project).keep, ..plan }).await
    }

    /// Sets how long stored events keep what.
    pub async fn set_keep(&self, project: ProjectId, keep: Keep) -> Result<()> {
        let _one = self.plans.changing.lock().await;
        self.plans.store(project, TrackingPlan { keep, ..self.plans.sent(project) }).await
    }

    /// Whether a plan may follow the one that is in force.
    pub fn check_plan(&self, project: ProjectId, plan: &TrackingPlan) -> Result<()> {
        plan.check()?;
        match plan.lowered(&self.plans.sent(project)) {
            Some(name) => Err(Error::ClassLowered { name: name.to_owned() }),
            None => Ok(()),
        }
    }

    /// Switches between open and strict; the properties of the plan stay.
    pub async fn set_mode(&self, project: ProjectId, mode: PlanMode) -> Result<()> {
        let _one = self.plans.changing.lock().await;
        self.plans.store(project, TrackingPlan { mode, ..self.plans.sent(project) }).await
    }

    /// Raises the class of a property, from the next event on.
    pub async fn raise_class(&self, project: ProjectId, name: &str, class: Class) -> Result<()> {
        let _one = self.plans.changing.lock().await;
        self.plans.store(project, self.plan_with(project, name, class)?).await
    }

    /// The plan with a property raised to a class.
    pub fn plan_with(&self, project: ProjectId, name: &str, class: Class) -> Result<TrackingPlan> {
        let mut plan = self.plans.sent(project);
        let planned = plan.property(name).map(|property| property.class);
        if planned.max(self.dictionary.class_of(project, name)).is_some_and(|before| class < before) {
            return Err(Error::ClassLowered { name: name.to_owned() });
        }
        plan.set_class(name, class);
        plan.check()?;
        Ok(plan)
    }

    /// Gives a quarantined property its place in the plan: a value that is stricter stays what it is.
    pub(crate) async fn admit(&self, project: ProjectId, name: &str, class: Class) -> Result<()> {
        let _one = self.plans.changing.lock().await;
        let mut plan = self.plans.sent(project);
        if plan.property(name).is_some_and(|property| class < property.class) {
            return Err(Error::ClassLowered { name: name.to_owned() });
        }
        plan.set_class(name, class);
        // It was held back for its event or type: whoever releases it has seen that.
        if let Some(property) = plan.properties.iter_mut().find(|property| property.name == name) {
            property.events.clear();
            property.value_type = None;
        }
        self.plans.store(project, plan).await?;
        self.dictionary.forget(project, name).await
    }
}
