//! What a question asks about persons rather than events: conditions on profiles, membership of cohorts, profile
//! values to split by. The sets are made where profiles may be read, and reach the operators as subject numbers.

use std::sync::Arc;

use cofferdam_model::cohort::CohortCondition;
use cofferdam_model::query::{
    Breakdown, Condition, EventMatch, Filter, Holder, Measure, PersonMeasure, Query, SessionRule,
};
use cofferdam_model::{SubjectSet, SubjectValues, Value};

use crate::tags::ValueTest;
use crate::{Error, Result, invalid};

/// Sets and values of persons that were made for a question. Subjects are canonical.
#[derive(Clone, Debug, Default)]
pub struct People {
    /// Persons whose profile meets a positive condition.
    profiles: Vec<(String, Condition, Arc<SubjectSet>)>,
    cohorts: Vec<(String, Arc<SubjectSet>)>,
    /// The rules of dynamic cohorts, of which a question asks what they were at another time.
    conditions: Vec<(String, CohortCondition)>,
    values: Vec<(String, Arc<SubjectValues>)>,
    /// Persons with a profile: who never had an event may still not have done something.
    pub everybody: Arc<SubjectSet>,
}

/// What a question asks about persons, which has to be made before it can be answered, and what it is asked by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Needs {
    /// Property and positive condition.
    pub profiles: Vec<(String, Condition)>,
    /// Ids.
    pub cohorts: Vec<String>,
    /// Profile properties of which the value is needed.
    pub values: Vec<String>,
    /// Every property that the answer depends on, of events and of profiles.
    pub properties: Vec<String>,
}

impl People {
    pub fn add_profile(&mut self, property: &str, condition: Condition, set: Arc<SubjectSet>) {
        self.profiles.push((property.to_owned(), condition, set));
    }

    pub fn add_cohort(&mut self, id: &str, set: Arc<SubjectSet>) {
        self.cohorts.push((id.to_owned(), set));
    }

    /// The rule of a dynamic cohort. A cohort without one has always been what it is now.
    pub fn add_condition(&mut self, id: &str, condition: CohortCondition) {
        self.conditions.push((id.to_owned(), condition));
    }

    pub fn add_values(&mut self, property: &str, values: Arc<SubjectValues>) {
        self.values.push((property.to_owned(), values));
    }

    pub(crate) fn cohort(&self, id: &str) -> Result<Arc<SubjectSet>> {
        match self.cohorts.iter().find(|(known, _)| known == id) {
            Some((_, set)) => Ok(set.clone()),
            None => invalid("this cohort does not exist"),
        }
    }

    pub(crate) fn condition(&self, id: &str) -> Option<&CohortCondition> {
        self.conditions.iter().find(|(known, _)| known == id).map(|(_, condition)| condition)
    }

    pub(crate) fn values(&self, property: &str) -> Result<Arc<SubjectValues>> {
        let found = self.values.iter().find(|(known, _)| known == property);
        found.map(|(_, values)| values.clone()).ok_or(Error::Unprepared)
    }

    /// The set of a filter on persons, and whether members pass (or the others).
    pub(crate) fn test(&self, filter: &Filter) -> Result<(Arc<SubjectSet>, bool)> {
        let (condition, negated) = positive(&filter.condition);
        match filter.on {
            Holder::Event => Err(Error::Unprepared),
            Holder::Cohort if condition != Condition::IsSet => {
                invalid("a filter on a cohort is `is_set` (a member) or `is_not_set`")
            }
            Holder::Cohort => Ok((self.cohort(&filter.property)?, !negated)),
            Holder::Profile => self
                .profiles
                .iter()
                .find(|(property, known, _)| *property == filter.property && *known == condition)
                .map(|(_, _, set)| (set.clone(), !negated))
                .ok_or(Error::Unprepared),
        }
    }
}

/// The positive form of a condition, and whether the outcome is turned round.
fn positive(condition: &Condition) -> (Condition, bool) {
    match condition.clone() {
        Condition::DoesNotEqual { values } => (Condition::Equals { values }, true),
        Condition::DoesNotContain { value } => (Condition::Contains { value }, true),
        Condition::IsNotSet => (Condition::IsSet, true),
        other => (other, false),
    }
}

/// Whether a value meets a positive condition: what profiles are tested with, so that filters on events and on
/// profiles mean the same.
pub fn passes(condition: &Condition, value: &Value) -> bool {
    let (test, negated) = ValueTest::new(condition);
    test.value(value) != negated
}

impl Needs {
    /// Everything a question asks about persons. Cohorts may need more: see [`Needs::of_condition`].
    pub fn of(query: &Query) -> Needs {
        let mut needs = Needs::default();
        match query {
            Query::Insights(query) => {
                for metric in &query.metrics {
                    needs.matching(&metric.matching);
                    needs.measure(&metric.measure);
                }
                needs.filters(&query.filters);
                needs.breakdown(query.breakdown.as_ref());
                needs.sessions(&query.sessions);
            }
            Query::Funnel(query) => {
                query.steps.iter().for_each(|step| needs.filters(&step.filters));
                query.exclusions.iter().chain(&query.between).for_each(|other| needs.matching(&other.matching));
                needs.filters(&query.filters);
                needs.breakdown(query.breakdown.as_ref());
                needs.sessions(&query.sessions);
                query.hold_constant.iter().for_each(|property| needs.property(property));
            }
            Query::Retention(query) => {
                needs.matching(&query.born);
                needs.matching(&query.returned);
                needs.filters(&query.filters);
                needs.breakdown(query.breakdown.as_ref());
            }
            Query::Flows(query) => {
                needs.matching(&query.anchor);
                query.exclusions.iter().for_each(|matching| needs.matching(matching));
                needs.filters(&query.filters);
                needs.breakdown(query.breakdown.as_ref());
                needs.sessions(&query.sessions);
                query.hold_constant.iter().for_each(|property| needs.property(property));
                query.expand.iter().for_each(|expansion| needs.property(&expansion.property));
            }
            Query::Frequency(query) => {
                needs.matching(&query.matching);
                needs.filters(&query.filters);
            }
            Query::Sessions(query) => {
                needs.matching(&query.matching);
                needs.breakdown(query.breakdown.as_ref());
                needs.sessions(&query.sessions);
            }
            Query::Persons(query) => needs.matching(&query.matching),
            Query::Events(query) => needs.matching(&query.matching),
        }
        needs
    }

    /// Everything a cohort's condition asks about persons.
    pub fn of_condition(condition: &CohortCondition) -> Needs {
        fn visit(needs: &mut Needs, condition: &CohortCondition) {
            use CohortCondition::{All, Any, Did, Is, Not};
            match condition {
                All { of } | Any { of } => of.iter().for_each(|condition| visit(needs, condition)),
                Not { of } => visit(needs, of),
                Did { matching, .. } => needs.matching(matching),
                Is { filter } => needs.filters(std::slice::from_ref(filter)),
            }
        }
        let mut needs = Needs::default();
        visit(&mut needs, condition);
        needs
    }

    fn matching(&mut self, matching: &EventMatch) {
        self.filters(&matching.filters);
    }

    fn filters(&mut self, filters: &[Filter]) {
        for filter in filters {
            if filter.on != Holder::Cohort {
                self.property(&filter.property);
            }
            match filter.on {
                Holder::Event => {}
                Holder::Cohort => self.cohort(&filter.property),
                Holder::Profile => {
                    let need = (filter.property.clone(), positive(&filter.condition).0);
                    if !self.profiles.contains(&need) {
                        self.profiles.push(need);
                    }
                }
            }
        }
    }

    fn cohort(&mut self, id: &str) {
        if !self.cohorts.iter().any(|known| known == id) {
            self.cohorts.push(id.to_owned());
        }
    }

    fn breakdown(&mut self, breakdown: Option<&Breakdown>) {
        for by in breakdown.iter().flat_map(|breakdown| &breakdown.by) {
            if by.on != Holder::Cohort {
                self.property(&by.property);
            }
            match by.on {
                Holder::Event => {}
                Holder::Cohort => self.cohort(&by.property),
                Holder::Profile if self.values.contains(&by.property) => {}
                Holder::Profile => self.values.push(by.property.clone()),
            }
        }
    }

    fn measure(&mut self, measure: &Measure) {
        match measure {
            Measure::CohortSize { cohort } => self.cohort(cohort),
            Measure::Sum { property }
            | Measure::Average { property }
            | Measure::Median { property }
            | Measure::Min { property }
            | Measure::Max { property }
            | Measure::Percentile { property, .. }
            | Measure::Distinct { property } => self.property(property),
            Measure::PerPerson { each, .. } => match each {
                PersonMeasure::Sum { property }
                | PersonMeasure::Average { property }
                | PersonMeasure::Min { property }
                | PersonMeasure::Max { property }
                | PersonMeasure::Distinct { property } => self.property(property),
                PersonMeasure::Total | PersonMeasure::Hours | PersonMeasure::Days => {}
            },
            Measure::Total | Measure::Unique | Measure::Sessions | Measure::Active { .. } => {}
        }
    }

    fn sessions(&mut self, rule: &SessionRule) {
        match rule {
            SessionRule::Timeout { .. } => {}
            SessionRule::Events { start, end } => {
                self.matching(start);
                self.matching(end);
            }
            SessionRule::Property { property } => self.property(property),
        }
    }

    fn property(&mut self, name: &str) {
        if !self.properties.iter().any(|known| known == name) {
            self.properties.push(name.to_owned());
        }
    }

    /// Whether persons have to be known at all.
    pub fn is_about_events_alone(&self) -> bool {
        self.profiles.is_empty() && self.cohorts.is_empty() && self.values.is_empty()
    }
}
