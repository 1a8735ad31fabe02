//! Cohorts of a project: kept rules and lists, and what a question needs to know about persons before it is asked.
//!
//! A dynamic cohort is computed at every question, as of that moment, by the operators over pseudonymous events;
//! conditions on profiles are answered by the vault as sets of subject numbers. A list is uploaded as ids, of which
//! only the numbers are kept.

use std::sync::Arc;

use cofferdam_model::cohort::{CohortCondition, CohortRule};
use cofferdam_model::{SubjectNo, SubjectSet, limits};
use cofferdam_query::calendar::utc_text;
use cofferdam_query::{Input, Needs, People};
use serde::Serialize;
use utoipa::ToSchema;

use crate::meta::CohortRow;
use crate::{Engine, Error, Project, Result, refused};

/// A cohort as the console shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Cohort {
    /// What filters and breakdowns call it: `c12`.
    pub id: String,
    pub name: String,
    pub rule: CohortRule,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// Persons in the uploaded list; absent for a dynamic cohort, of which the size is a question.
    pub listed: Option<u64>,
}

/// What became of an upload.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CohortMade {
    pub cohort: Cohort,
    /// Ids of the upload that no event and no profile ever had: they are not in the cohort.
    pub unknown: u64,
}

impl CohortRow {
    pub(crate) fn members(&self) -> SubjectSet {
        self.members
            .chunks_exact(4)
            .map(|bytes| SubjectNo(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])))
            .collect()
    }

    pub(crate) fn id(&self) -> String {
        format!("c{}", self.id)
    }

    pub(crate) fn rule(&self) -> Result<CohortRule> {
        serde_json::from_str(&self.rule).map_err(|_| Error::Interrupted)
    }

    fn shown(&self) -> Result<Cohort> {
        let rule = self.rule()?;
        let listed = matches!(rule, CohortRule::Static).then_some(self.members.len() as u64 / 4);
        Ok(Cohort { id: self.id(), name: self.name.clone(), created_at: utc_text(self.created_us), listed, rule })
    }
}

impl Engine {
    /// Oldest first.
    pub async fn cohorts(&self, project: &Project) -> Result<Vec<Cohort>> {
        self.meta.cohorts(project.id).await?.iter().map(CohortRow::shown).collect()
    }

    /// Makes a cohort; `ids` are the members of a static one.
    pub async fn create_cohort(
        &self,
        project: &Arc<Project>,
        name: &str,
        rule: CohortRule,
        ids: &[String],
    ) -> Result<CohortMade> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 100 {
            return refused("invalid_name", "a cohort's name has 1 to 100 characters", None);
        }
        let existing = self.meta.cohorts(project.id).await?;
        if existing.len() >= limits::COHORTS_MAX {
            return refused("too_many_cohorts", format!("a project has at most {} cohorts", limits::COHORTS_MAX), None);
        }
        let (mut members, mut unknown) = (SubjectSet::default(), 0);
        match &rule {
            CohortRule::Dynamic { condition } => {
                if !ids.is_empty() {
                    return refused("invalid_cohort", "a dynamic cohort has a rule, and no list of ids", None);
                }
                cofferdam_query::check_cohort(condition).map_err(crate::ask::refusal)?;
                for other in Needs::of_condition(condition).cohorts {
                    if !existing.iter().any(|row| row.id() == other) {
                        return refused("invalid_cohort", "the rule names a cohort that does not exist", None);
                    }
                }
            }
            CohortRule::Static => {
                if ids.len() > limits::COHORT_MEMBERS_MAX {
                    return refused(
                        "too_many_ids",
                        format!("a list has at most {} ids", limits::COHORT_MEMBERS_MAX),
                        Some("split it into several cohorts"),
                    );
                }
                let known;
                (members, known) = self.vault.known_persons(project.id, ids).await?;
                unknown = ids.len() as u64 - known;
            }
        }
        let text = serde_json::to_string(&rule).map_err(|_| Error::Interrupted)?;
        let bytes: Vec<u8> = members.iter().flat_map(|subject| subject.0.to_le_bytes()).collect();
        let created_us = self.now_us();
        let id = self.meta.insert_cohort(project.id, name, &text, &bytes, created_us).await?;
        let row = CohortRow { id, name: name.to_owned(), rule: text, members: bytes, created_us };
        Ok(CohortMade { cohort: row.shown()?, unknown })
    }

    /// Removes a cohort that no other names.
    pub async fn delete_cohort(&self, project: &Project, id: &str) -> Result<()> {
        let rows = self.meta.cohorts(project.id).await?;
        let row = rows.iter().find(|row| row.id() == id).ok_or(Error::NotFound("cohort"))?;
        for other in &rows {
            if let CohortRule::Dynamic { condition } = other.rule()?
                && Needs::of_condition(&condition).cohorts.contains(&row.id())
            {
                return refused(
                    "cohort_in_use",
                    format!("the cohort “{}” is made from this one", other.name),
                    Some("delete that one first"),
                );
            }
        }
        self.meta.delete_cohort(project.id, row.id).await?;
        Ok(())
    }

    /// Everything about persons that a question asks.
    pub(crate) async fn people(&self, project: &Arc<Project>, needs: Needs, now_us: i64) -> Result<People> {
        if needs.is_about_events_alone() {
            return Ok(People::default());
        }
        let rows = if needs.cohorts.is_empty() { Vec::new() } else { self.meta.cohorts(project.id).await? };
        // A cohort may be made of others, which were there before it: no circle, and the oldest come first.
        let mut wanted: Vec<(&CohortRow, CohortRule)> = Vec::new();
        let mut all = needs.clone();
        let mut open = needs.cohorts.clone();
        while let Some(id) = open.pop() {
            if wanted.iter().any(|(row, _)| row.id() == id) {
                continue;
            }
            let Some(row) = rows.iter().find(|row| row.id() == id) else {
                return refused("no_such_cohort", "the question names a cohort that does not exist", None);
            };
            let rule = row.rule()?;
            if let CohortRule::Dynamic { condition } = &rule {
                let more = Needs::of_condition(condition);
                open.extend(more.cohorts);
                all.profiles.extend(more.profiles);
            }
            wanted.push((row, rule));
        }
        wanted.sort_by_key(|(row, _)| row.id);

        let tests: Vec<_> = all
            .profiles
            .iter()
            .map(|(property, condition)| {
                let test = move |value: &cofferdam_model::Value| cofferdam_query::passes(condition, value);
                (property.as_str(), test)
            })
            .collect();
        let tests: Vec<cofferdam_vault::PersonTest<'_>> =
            tests.iter().map(|(property, test)| (*property, test as &(dyn Fn(&_) -> bool + Sync))).collect();
        let properties: Vec<&str> = all.values.iter().map(String::as_str).collect();
        let found = self.vault.people(project.id, &tests, &properties).await?;
        let mut people = People::default();
        people.everybody = Arc::new(found.everybody);
        for ((property, condition), set) in all.profiles.iter().zip(found.sets) {
            people.add_profile(property, condition.clone(), Arc::new(set));
        }
        for (property, values) in all.values.iter().zip(found.values) {
            people.add_values(property, Arc::new(values));
        }
        for (row, rule) in wanted {
            let set = match rule {
                CohortRule::Static => {
                    // Persons may have been merged since the list was made.
                    let merges = self.vault.merges(project.id);
                    row.members().iter().map(|subject| merges.canonical(subject)).collect()
                }
                CohortRule::Dynamic { condition } => {
                    people.add_condition(&row.id(), condition.clone());
                    self.cohort_members(project, &people, condition, now_us).await?
                }
            };
            people.add_cohort(&row.id(), Arc::new(set));
        }
        Ok(people)
    }

    async fn cohort_members(
        &self,
        project: &Arc<Project>,
        people: &People,
        condition: CohortCondition,
        now_us: i64,
    ) -> Result<SubjectSet> {
        let run = move |input: &Input<'_>| cofferdam_query::members(input, &condition, now_us);
        Ok(self.on_snapshot(project, None, people.clone(), run).await?.0)
    }
}
