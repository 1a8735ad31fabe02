//! Alarms: what somebody must know now, and what became of it.
//!
//! A limit that trips opens an incident by itself, once, with the time of the trip as the time of its detection. One that
//! only refuses (a quota that is used up) is told here for an hour and opens nothing.

use serde::Serialize;
use utoipa::ToSchema;

use crate::Rule;

/// What kind of alarm it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// A limit stopped somebody, and opened an incident.
    Tripped,
    /// A limit refused somebody.
    Refused,
}

/// Something that whoever is in charge must know now.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Alarm {
    pub kind: AlarmKind,
    /// Microseconds since 1970-01-01 UTC.
    pub at_us: i64,
    /// The limit that tripped; absent for one that only refused.
    pub rule: Option<Rule>,
    /// What was too much.
    pub text: String,
    /// Who made it, and their name, while they are a member.
    pub member: u32,
    pub member_name: Option<String>,
    /// The incident that it opened, and whether that is contained.
    pub incident: Option<u32>,
    pub is_contained: bool,
}
