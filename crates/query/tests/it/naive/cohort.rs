//! Cohorts: who meets a condition as of an instant.

use std::collections::BTreeSet;

use cofferdam_model::SubjectNo;
use cofferdam_model::cohort::CohortCondition;
use cofferdam_model::query::Holder;

use super::Naive;
use crate::world::Cohort;

impl Naive<'_> {
    pub(crate) fn is_member(&self, person: SubjectNo, cohort: &str, now_us: i64) -> bool {
        person != SubjectNo::NOBODY
            && match self.world.cohorts.get(cohort).unwrap_or_else(|| panic!("there is no cohort {cohort}")) {
                Cohort::Static(members) => {
                    let merges = self.world.merges();
                    members.iter().any(|member| merges.canonical(*member) == person)
                }
                Cohort::Dynamic(condition) => self.meets(person, condition, now_us),
            }
    }

    /// Everybody who can be in a cohort: those with an event or a profile, and those listed.
    pub(crate) fn population(&self) -> BTreeSet<SubjectNo> {
        let merges = self.world.merges();
        let listed = self.world.cohorts.values().flat_map(|cohort| match cohort {
            Cohort::Static(members) => members.iter().map(|member| merges.canonical(*member)).collect(),
            Cohort::Dynamic(_) => Vec::new(),
        });
        self.somebody()
            .map(|person| person.no)
            .chain(self.world.profiles.keys().copied())
            .chain(listed.collect::<Vec<_>>())
            .collect()
    }

    fn meets(&self, person: SubjectNo, condition: &CohortCondition, now_us: i64) -> bool {
        match condition {
            CohortCondition::All { of } => of.iter().all(|condition| self.meets(person, condition, now_us)),
            CohortCondition::Any { of } => of.iter().any(|condition| self.meets(person, condition, now_us)),
            CohortCondition::Not { of } => !self.meets(person, of, now_us),
            CohortCondition::Is { filter } => match filter.on {
                Holder::Cohort => {
                    let member = self.is_member(person, &filter.property, now_us);
                    member == (filter.condition == cofferdam_model::query::Condition::IsSet)
                }
                Holder::Profile | Holder::Event => self.person_passes(person, filter),
            },
            CohortCondition::Did { matching, times, distinct, window } => {
                let (from, to) = window.map_or((i64::MIN, i64::MAX), |range| self.world.bounds(range, now_us));
                let found: Vec<i64> = self
                    .persons
                    .iter()
                    .filter(|other| other.no == person)
                    .flat_map(|person| &person.events)
                    .filter(|event| (from..to).contains(&event.time_us) && event.time_us < now_us)
                    .filter(|event| self.matches(person, event, matching))
                    .map(|event| event.time_us)
                    .collect();
                let count = match distinct {
                    None => found.len(),
                    Some(unit) => {
                        found.iter().map(|time| self.world.floor(*time, *unit)).collect::<BTreeSet<_>>().len()
                    }
                };
                times.holds(count as u64)
            }
        }
    }
}
