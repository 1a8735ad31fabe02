//! What is seen of device and place (class C2).
//!
//! - Lists of rows name it and do not show it, but for whoever opens them for a purpose ([`crate::disclosure`]).
//! - Aggregates by it are exact for whoever may have them so. For everybody else, and for programs, Insights leaves out
//!   numbers of few persons; other reports are refused, since every step of theirs would have to be left out.
//! - Who asks many such questions that are nearly alike could compute what each leaves out: few are more then.
//!
//! What is of device or place is said by the tracking plan and by names ([`cofferdam_vault::Vault::is_masked`]).

use std::collections::VecDeque;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Mutex;

use cofferdam_model::policy::{Decision, Deed, Roles, decide};
use cofferdam_model::query::{Filter, Holder, InsightsQuery};
use cofferdam_model::{Class, limits};
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};

use crate::{Engine, LiveEvent, Project, Result, Who, refused};

/// What whoever asks may see of device and place (class C2).
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// Lists name what rows have of it, and do not show it.
    pub(crate) has_masks: bool,
    /// Aggregates by it are exact; else without numbers of few persons.
    pub(crate) is_exact: bool,
    /// Member or token.
    pub(crate) asker: u64,
}

impl Sight {
    /// Of somebody with these roles.
    pub fn of(roles: Roles, who: &Who) -> Sight {
        let is_open = |deed| matches!(decide(roles, Class::C2, deed), Decision::Allow { masked: false, .. });
        let token = who.token.map(|token| token | 1 << 63);
        let asker = token.or(who.member.map(u64::from)).unwrap_or_default();
        Sight { has_masks: !is_open(Deed::ReadRow), is_exact: is_open(Deed::QueryAgg), asker }
    }
}

impl Engine {
    /// A record of the live feed, as far as whoever follows it may see device and place.
    pub fn masked(&self, project: &Project, event: &LiveEvent, sight: Sight) -> LiveEvent {
        let mut event = event.clone();
        if sight.has_masks {
            event.mask(|name| self.vault.is_masked(project.id, name));
        }
        event
    }
}

/// How an answer is made.
pub(crate) struct Shown {
    pub(crate) has_masks: bool,
    /// Numbers of fewer persons are left out, and what tells them apart.
    pub(crate) few: Option<(u64, Confined)>,
}

/// What of a question is of device or place.
#[derive(Default)]
pub(crate) struct Confined {
    pub(crate) properties: FxHashSet<String>,
    /// Cohorts whose rule is, by their ids.
    pub(crate) cohorts: FxHashSet<String>,
}

impl Confined {
    pub(crate) fn is_empty(&self) -> bool {
        self.properties.is_empty() && self.cohorts.is_empty()
    }

    pub(crate) fn has(&self, filter: &Filter) -> bool {
        match filter.on {
            Holder::Event | Holder::Profile => self.properties.contains(&filter.property),
            Holder::Cohort => self.cohorts.contains(&filter.property),
        }
    }
}

pub(crate) fn device_or_place<T>() -> Result<T> {
    refused(
        "device_or_place",
        "your roles have no exact numbers by device or place",
        Some("Insights answers without small groups; an analyst sees this report"),
    )
}

/// Questions by device or place that differ in little, by whoever asks: with enough of them the numbers that each leaves
/// out can be computed.
#[derive(Default)]
pub(crate) struct Alike {
    asked: Mutex<FxHashMap<u64, VecDeque<AlikeAsked>>>,
}

struct AlikeAsked {
    at_us: i64,
    /// Without its conditions and range.
    shape: u64,
    whole: u64,
}

impl Alike {
    /// Numbers of how many persons are few for this question.
    pub(crate) fn few(&self, asker: u64, query: &InsightsQuery, now_us: i64) -> u64 {
        let mut json = serde_json::to_value(query).unwrap_or_default();
        let whole = hash(&json);
        blank(&mut json);
        let shape = hash(&json);
        let mut asked = self.asked.lock().expect("never left half changed");
        let mine = asked.entry(asker).or_default();
        while mine.front().is_some_and(|one| one.at_us <= now_us - 3_600_000_000) {
            mine.pop_front();
        }
        if !mine.iter().any(|one| one.whole == whole) {
            mine.push_back(AlikeAsked { at_us: now_us, shape, whole });
        }
        if mine.len() > limits::ALIKE_REMEMBERED {
            mine.pop_front();
        }
        let alike = mine.iter().filter(|one| one.shape == shape).count();
        if alike > limits::ALIKE_HOUR_MAX { limits::FEW_PERSONS_ALIKE } else { limits::FEW_PERSONS }
    }
}

fn hash(value: &serde_json::Value) -> u64 {
    let mut hasher = FxHasher::default();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

/// Takes out what questions that are alike differ in: what filters compare with, and which days are meant.
fn blank(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.retain(|name, _| !matches!(name.as_str(), "condition" | "range" | "window" | "limit"));
            fields.values_mut().for_each(blank);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(blank),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_model::OrgId;
    use cofferdam_model::policy::Role;
    use serde_json::json;

    use super::*;

    fn question(city: &str, days: u32) -> InsightsQuery {
        serde_json::from_value(json!({
            "range": {"kind": "last", "count": days, "unit": "day"}, "unit": "day",
            "metrics": [{"matching": {"event": "Buy"}, "measure": "total"}],
            "filters": [{"property": "$city", "condition": {"op": "equals", "values": [city]}}],
        }))
        .unwrap()
    }

    #[test]
    fn an_analyst_has_exact_numbers_and_masked_rows_and_a_viewer_neither() {
        let who = Who {
            org: OrgId(1),
            member: Some(7),
            maker: None,
            session: None,
            token: None,
            grant: None,
            ip: None,
            since_us: 0,
        };
        let sight = |role| Sight::of(Roles::NONE.with(role), &who);
        assert!(sight(Role::Analyst).is_exact && sight(Role::Analyst).has_masks);
        for role in [Role::Viewer, Role::OrgOwner, Role::ProjectAdmin, Role::SvcQuery, Role::Developer] {
            assert!(!sight(role).is_exact && sight(role).has_masks, "{role:?}");
        }
    }

    #[test]
    fn many_questions_that_are_nearly_alike_make_few_more_for_an_hour_and_for_their_asker() {
        let alike = Alike::default();
        let hour_us = 3_600_000_000;
        for at in 0..50 {
            assert_eq!(alike.few(1, &question(&format!("city {at}"), 1 + at), hour_us), limits::FEW_PERSONS);
        }
        assert_eq!(alike.few(1, &question("city 7", 8), hour_us), limits::FEW_PERSONS, "one that was asked before");
        assert_eq!(alike.few(1, &question("another", 1), hour_us), limits::FEW_PERSONS_ALIKE);
        assert_eq!(alike.few(2, &question("another", 1), hour_us), limits::FEW_PERSONS, "somebody else");
        let other = InsightsQuery { unit: cofferdam_model::query::Unit::Week, ..question("another", 1) };
        assert_eq!(alike.few(1, &other, hour_us), limits::FEW_PERSONS, "another question");
        assert_eq!(alike.few(1, &question("another", 1), 2 * hour_us), limits::FEW_PERSONS, "an hour later");
    }
}
