//! Ids as types, so that a project cannot be passed where a subject is meant.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A project: one time zone, one identity mode, one set of events. Small and dense, assigned by `meta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct ProjectId(pub u32);

/// An organisation: the tenant. Keys are wrapped per organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct OrgId(pub u32);

/// A person's (or group's) number within a project: dense from 0, never reused.
/// Dense so that a set of persons is a bitmap and per-person state an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SubjectNo(pub u32);

impl SubjectNo {
    /// Whoever an event without any id happened to: its events count, but it is no person.
    pub const NOBODY: SubjectNo = SubjectNo(u32::MAX);
}

impl std::fmt::Display for OrgId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Display for ProjectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
