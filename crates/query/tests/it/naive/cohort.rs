//! Cohorts: who meets a condition as of an instant.

use std::collections::BTreeSet;

use cofferdam_model::SubjectNo;
use cofferdam_model::cohort::CohortCondition;
use cofferdam_model::query::Condition;

use super::Naive;
use crate::world::Cohort;

impl Naive<'_> {
    pub(crate) fn is_member(&self, person: SubjectNo, cohort: &str, as_of_us: i64) -> bool {
        person != SubjectNo::NOBODY
            && match self.world.cohorts.get(cohort).unwrap_or_else(|| panic!("there is no cohort {cohort}")) {
                Cohort::Static(members) => {
                    let merges = self.world.merges();
                    members.iter().any(|member| merges.canonical(*member) == person)
                }
                Cohort::Dynamic(condition) => self.meets(person, condition, as_of_us),
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

    /// `as_of_us` itself is not included.
    fn meets(&self, person: SubjectNo, condition: &CohortCondition, as_of_us: i64) -> bool {
        let of_person = || self.persons.iter().filter(|other| other.no == person).flat_map(|person| &person.events);
        // Whoever is known by then: what somebody is not, or did not do, can only be said of them.
        let is_known =
            || self.world.profiles.contains_key(&person) || of_person().any(|event| event.time_us < as_of_us);
        match condition {
            CohortCondition::All { of } => of.iter().all(|condition| self.meets(person, condition, as_of_us)),
            CohortCondition::Any { of } => of.iter().any(|condition| self.meets(person, condition, as_of_us)),
            CohortCondition::Not { of } => is_known() && !self.meets(person, of, as_of_us),
            // As it is now.
            CohortCondition::Is { filter } => {
                let negative = matches!(
                    filter.condition,
                    Condition::IsNotSet | Condition::DoesNotEqual { .. } | Condition::DoesNotContain { .. }
                );
                self.person_passes(person, filter) && (!negative || is_known())
            }
            CohortCondition::Did { matching, times, distinct, window } => {
                let (from, to) = window.map_or((i64::MIN, as_of_us), |range| self.world.bounds(range, as_of_us - 1));
                let found: Vec<i64> = of_person()
                    .filter(|event| (from..to.min(as_of_us)).contains(&event.time_us))
                    .filter(|event| self.matches(person, event, matching))
                    .map(|event| event.time_us)
                    .collect();
                let count = match distinct {
                    None => found.len(),
                    Some(unit) => {
                        found.iter().map(|time| self.world.floor(*time, *unit)).collect::<BTreeSet<_>>().len()
                    }
                };
                times.holds(count as u64) && (count > 0 || is_known())
            }
        }
    }
}
