//! The tracking plan: which properties a project expects, and how they are to be treated.
//!
//! A plan only ever makes the door stricter. A class in it is a floor: what the detectors find in a value counts all
//! the same, so that a plan cannot let a card number through.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Class, limits};

/// What a project expects of its events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackingPlan {
    #[serde(default)]
    pub mode: PlanMode,
    #[serde(default)]
    pub properties: Vec<PlannedProperty>,
    #[serde(default, skip_serializing_if = "Keep::is_forever")]
    pub keep: Keep,
}

/// How long stored events keep what. Compaction enforces it, a day late at most while the server runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// Events older than so many days go; none do when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_days: Option<u32>,
    /// Values of properties of a class (C1 to C3) go from events older than so many days, and the events stay.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub class_days: BTreeMap<Class, u32>,
}

impl Keep {
    pub fn is_forever(&self) -> bool {
        *self == Keep::default()
    }

    fn check(&self) -> Result<(), PlanError> {
        let mut days = self.events_days.iter().chain(self.class_days.values());
        if !days.all(|days| (1..=limits::KEEP_DAYS_MAX).contains(days)) {
            return Err(PlanError::Days);
        }
        // What is sealed or dropped is in no event.
        let is_stored = |class: &Class| (Class::C1..=Class::C3).contains(class);
        if self.class_days.keys().all(is_stored) { Ok(()) } else { Err(PlanError::KeptClass) }
    }
}

/// What happens to a property that the plan does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanMode {
    /// It is judged by its name and value.
    #[default]
    Open,
    /// It is quarantined, unless it is one that SDKs send by themselves.
    Strict,
}

/// One property of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannedProperty {
    pub name: String,
    /// The least that its values are treated as: C3 and C4 are sealed, C5 is dropped.
    pub class: Class,
    /// In strict mode a value of another type is quarantined.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub value_type: Option<PlannedType>,
    /// Events it may come with; any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// With a class of C3 to C5: what history has of it goes as well.
    #[serde(default)]
    pub remove_history: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlannedType {
    String,
    Number,
    Boolean,
    List,
    Object,
}

/// Why a plan cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("a tracking plan has at most {} properties", limits::PLAN_PROPERTIES_MAX)]
    TooManyProperties,
    #[error("a property of a plan is limited to at most {} events", limits::PLAN_EVENTS_MAX)]
    TooManyEvents,
    #[error("a name in the plan is empty or longer than {} bytes", limits::NAME_BYTES_MAX)]
    Name,
    #[error("the plan names a property twice")]
    Twice,
    #[error("a property's class is C1 to C5")]
    Class,
    #[error("events and values are kept for 1 to {} days", limits::KEEP_DAYS_MAX)]
    Days,
    #[error("events have values of the classes C1 to C3: only those can go from them")]
    KeptClass,
}

impl TrackingPlan {
    pub fn check(&self) -> Result<(), PlanError> {
        self.keep.check()?;
        if self.properties.len() > limits::PLAN_PROPERTIES_MAX {
            return Err(PlanError::TooManyProperties);
        }
        let mut names = std::collections::BTreeSet::new();
        for property in &self.properties {
            if property.events.len() > limits::PLAN_EVENTS_MAX {
                return Err(PlanError::TooManyEvents);
            }
            let all = std::iter::once(&property.name).chain(&property.events);
            if all.into_iter().any(|name| name.is_empty() || name.len() > limits::NAME_BYTES_MAX) {
                return Err(PlanError::Name);
            }
            if !names.insert(property.name.as_str()) {
                return Err(PlanError::Twice);
            }
            if property.class == Class::C0 {
                return Err(PlanError::Class);
            }
        }
        Ok(())
    }

    pub fn property(&self, name: &str) -> Option<&PlannedProperty> {
        self.properties.iter().find(|property| property.name == name)
    }

    /// A property that this plan treats less strictly than `before` did.
    pub fn lowered<'a>(&self, before: &'a TrackingPlan) -> Option<&'a str> {
        let lower = |property: &&PlannedProperty| match self.property(&property.name) {
            Some(now) => now.class < property.class,
            // Without an entry its values are judged again by name and shape.
            None => property.class >= Class::C3,
        };
        before.properties.iter().find(lower).map(|property| property.name.as_str())
    }

    /// Sets the class of one property, which may be new.
    pub fn set_class(&mut self, name: &str, class: Class) {
        match self.properties.iter_mut().find(|property| property.name == name) {
            Some(property) => property.class = class,
            None => self.properties.push(PlannedProperty {
                name: name.to_owned(),
                class,
                value_type: None,
                events: Vec::new(),
                remove_history: false,
            }),
        }
    }
}
