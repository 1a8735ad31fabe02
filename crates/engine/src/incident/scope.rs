//! What left, of whom: exact sets of fields, and for each the persons of whom exactly these left.
//!
//! A scope is a partition: every person is in one group of their project. Widening it adds; nothing that was told is
//! taken back. It comes from the ledger, which had every disclosure before it happened, or from a list where the loss
//! was outside (a company that had the data). What was authorised and not there to be read is taken out: a person of
//! whom no telephone number was stored is not told that one left.

use std::collections::BTreeMap;

use cofferdam_exposure::{By, Question};
use cofferdam_ledger::RoaringBitmap;
use cofferdam_model::{FieldSet, Merges, OrgId, PersonalField, ProjectId, SubjectNo};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Incident;
use crate::exposure::{cause_of, hex};
use crate::{Cause, Engine, Error, ExposureQuestion, Purpose, Result, refused};

/// An id everybody has; and events are written down as leaving of those alone who have some.
const ALWAYS_HELD: FieldSet = FieldSet::EMPTY.with(PersonalField::DistinctId).with(PersonalField::Events);

const DAY_US: i64 = 86_400_000_000;

/// Where a scope comes from.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum ScopeOf {
    /// Everything that was opened in this time, by one member or by all. Microseconds since 1970-01-01 UTC; the end
    /// is not part of it.
    Ledger { member: Option<u32>, from_us: i64, to_us: i64 },
    /// Everything that was exposed by any of these accounts, sessions, tokens, addresses …: the question that the page
    /// of exposure asks.
    Exposure { question: ExposureQuestion },
    /// These persons and fields of theirs, which were lost elsewhere.
    List { project: ProjectId, ids: Vec<String>, fields: Vec<PersonalField> },
}

/// Persons of whom exactly these fields left, by their canonical subject.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) project: ProjectId,
    pub(crate) fields: FieldSet,
    pub(crate) persons: RoaringBitmap,
}

/// A partition of persons by what left of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scope {
    pub(crate) groups: Vec<Group>,
}

impl Scope {
    /// Of these persons these fields left, too.
    pub(crate) fn add(&mut self, project: ProjectId, fields: FieldSet, mut persons: RoaringBitmap) {
        let mut found: BTreeMap<u64, RoaringBitmap> = BTreeMap::new();
        if persons.is_empty() || fields.is_empty() {
            return;
        }
        for group in self.groups.iter_mut().filter(|group| group.project == project) {
            let both = &group.persons & &persons;
            group.persons -= &both;
            persons -= &both;
            *found.entry(group.fields.0 | fields.0).or_default() |= both;
        }
        *found.entry(fields.0).or_default() |= persons;
        for (fields, persons) in found {
            let fields = FieldSet(fields);
            match self.groups.iter_mut().find(|group| group.project == project && group.fields == fields) {
                Some(group) => group.persons |= persons,
                None => self.groups.push(Group { project, fields, persons }),
            }
        }
        self.groups.retain(|group| !group.persons.is_empty() && !group.fields.is_empty());
        self.groups.sort_by_key(|group| (group.project, group.fields.0));
    }

    pub(crate) fn unite(&mut self, other: Scope) {
        for Group { project, fields, persons } in other.groups {
            self.add(project, fields, persons);
        }
    }

    pub(crate) fn persons(&self) -> u64 {
        self.groups.iter().map(|group| group.persons.len()).sum()
    }

    pub(crate) fn fields(&self) -> FieldSet {
        FieldSet(self.groups.iter().fold(0, |all, group| all | group.fields.0))
    }

    /// Whom to tell again: those of whom more left than an earlier scope said, with everything that left, and whether
    /// they were told before.
    pub(crate) fn since(&self, before: &Scope) -> Vec<(Group, bool)> {
        let mut delta = Vec::new();
        for group in &self.groups {
            let (mut new, mut more) = (group.persons.clone(), RoaringBitmap::new());
            for old in before.groups.iter().filter(|old| old.project == group.project) {
                let both = &group.persons & &old.persons;
                new -= &both;
                if group.fields.0 & !old.fields.0 != 0 {
                    more |= both;
                }
            }
            for (persons, was_told) in [(new, false), (more, true)] {
                if !persons.is_empty() {
                    delta.push((Group { persons, ..*group }, was_told));
                }
            }
        }
        delta
    }

    /// What a ledger entry commits to.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for group in &self.groups {
            out.extend_from_slice(&group.project.0.to_be_bytes());
            out.extend_from_slice(&group.fields.0.to_be_bytes());
            group.persons.serialize_into(&mut out).expect("writing to memory does not fail");
        }
        out
    }
}

/// What a scope was asked by, as it is kept with it: accounts, sessions and addresses go by the ledger's pseudonyms, so
/// that nobody's address is stored. Empty for a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Asked {
    any_of: Vec<Cause>,
    all_of: Vec<Cause>,
    from_us: u64,
    to_us: Option<u64>,
}

/// Persons by their canonical subject.
fn persons_of(merges: &Merges, subjects: &RoaringBitmap) -> RoaringBitmap {
    match merges.groups().next() {
        None => subjects.clone(),
        Some(_) => subjects.iter().map(|subject| merges.canonical(SubjectNo(subject)).0).collect(),
    }
}

impl Engine {
    /// Finds a scope, and what of it was there to be read; and what it was asked by, unless it is a list.
    pub(super) async fn find_scope(&self, org: OrgId, of: &ScopeOf) -> Result<(Scope, Option<Asked>)> {
        let (scope, asked) = match of {
            ScopeOf::Ledger { member, from_us, to_us } => {
                if from_us >= to_us {
                    return refused("empty_time", "this time has no length", Some("the end comes after the beginning"));
                }
                let asked = Asked {
                    any_of: member.iter().map(|member| Cause::Actor(hex(self.actor(*member)))).collect(),
                    all_of: Vec::new(),
                    from_us: u64::try_from(*from_us).unwrap_or(0),
                    to_us: Some(u64::try_from(*to_us).unwrap_or(0)),
                };
                (self.opened(org, &asked).await?, Some(asked))
            }
            ScopeOf::Exposure { question } => {
                let question = self.question(Some(org), question).await?;
                let asked = Asked {
                    any_of: question.any_of.iter().map(cause_of).collect(),
                    all_of: question.all_of.iter().map(cause_of).collect(),
                    from_us: question.from_us,
                    to_us: question.to_us,
                };
                (self.opened(org, &asked).await?, Some(asked))
            }
            ScopeOf::List { project, ids, fields } => {
                if self.project(*project)?.org != org {
                    return Err(Error::NotFound("project"));
                }
                let (persons, _) = self.vault.known_persons(*project, ids).await?;
                let persons = persons.iter().map(|person| person.0).collect();
                let mut scope = Scope::default();
                scope.add(*project, fields.iter().copied().collect(), persons);
                (scope, None)
            }
        };
        Ok((self.held_of(scope).await?, asked))
    }

    /// Everything that the ledger says was opened, of which the index of disclosures has the union: which fields of
    /// whom, exactly. A set that was erased is of persons who were: nobody is left to be told.
    async fn opened(&self, org: OrgId, asked: &Asked) -> Result<Scope> {
        let question = self.read_asked(org, asked).await?;
        let exposed = self.on_disclosures(move |index| index.exposed(&question)).await?;
        let vault = self.vault.clone();
        let partition = move || {
            let mut scope = Scope::default();
            for project in &exposed.projects {
                let Ok(id) = u32::try_from(project.project).map(ProjectId) else { continue };
                let merges = vault.merges(id);
                for (fields, subjects) in project.authorised() {
                    scope.add(id, fields, persons_of(&merges, subjects));
                }
            }
            scope
        };
        tokio::task::spawn_blocking(partition).await.map_err(|_| Error::Interrupted)
    }

    /// What a scope was asked by, about the projects that the organisation has now. What the desk itself opened, to tell
    /// people and to pack lists, is left out where nobody in particular is meant: it is no loss. Of an account, a
    /// session, an address everything counts.
    async fn read_asked(&self, org: OrgId, asked: &Asked) -> Result<Question> {
        let causes =
            ExposureQuestion { any_of: asked.any_of.clone(), all_of: asked.all_of.clone(), from: None, to: None };
        let question = self.question(Some(org), &causes).await?;
        let is_of_nobody = question.any_of.iter().chain(&question.all_of).all(|by| matches!(by, By::Project(_)));
        let own = [Purpose::Notice, Purpose::Package].map(|purpose| By::Purpose(purpose as u64));
        let none_of = if is_of_nobody { own.to_vec() } else { Vec::new() };
        Ok(Question { none_of, from_us: asked.from_us, to_us: asked.to_us, ..question })
    }

    /// What the versions of an incident's scope were asked by. Where there is none, and a limit opened it: the day before
    /// of the member who made it trip.
    pub(super) async fn questions_of(&self, org: OrgId, incident: &Incident) -> Result<Vec<Question>> {
        let mut questions = self.asked_of(org, incident).await?;
        if let (true, Some(trip)) = (questions.is_empty(), &incident.trip) {
            let actor = Cause::Actor(hex(self.actor(trip.by_member)));
            let from_us = u64::try_from(incident.times.detected_us - DAY_US).unwrap_or(0);
            let of_trip = Asked { any_of: vec![actor], all_of: Vec::new(), from_us, to_us: None };
            questions.push(self.read_asked(org, &of_trip).await?);
        }
        Ok(questions)
    }

    /// What the versions of an incident's scope were asked by; nothing for those that are lists.
    pub(super) async fn asked_of(&self, org: OrgId, incident: &Incident) -> Result<Vec<Question>> {
        let asked = self.desk.store.asked(incident.id).await?;
        let mut questions = Vec::with_capacity(asked.len());
        for one in &asked {
            questions.push(self.read_asked(org, one).await?);
        }
        Ok(questions)
    }

    /// Of a scope, what is stored of each person: the vault keeps which fields that is, and no value is opened.
    async fn held_of(&self, scope: Scope) -> Result<Scope> {
        let mut by_project: BTreeMap<ProjectId, Vec<Group>> = BTreeMap::new();
        for group in scope.groups {
            by_project.entry(group.project).or_default().push(group);
        }
        let mut held = Scope::default();
        for (project, groups) in by_project {
            let stored = self.vault.stored_fields(project).await?;
            let merges = self.vault.merges(project);
            let stored: Vec<(FieldSet, RoaringBitmap)> =
                stored.into_iter().map(|(fields, subjects)| (fields, persons_of(&merges, &subjects))).collect();
            let partition = move || {
                let mut held = Scope::default();
                for group in groups {
                    held.add(project, FieldSet(ALWAYS_HELD.0 & group.fields.0), group.persons.clone());
                    for (fields, persons) in &stored {
                        held.add(project, FieldSet(fields.0 & group.fields.0), persons & &group.persons);
                    }
                }
                held
            };
            held.unite(tokio::task::spawn_blocking(partition).await.map_err(|_| Error::Interrupted)?);
        }
        Ok(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: ProjectId = ProjectId(1);

    fn set(fields: &[PersonalField]) -> FieldSet {
        fields.iter().copied().collect()
    }

    fn of(scope: &Scope, person: u32) -> FieldSet {
        let groups: Vec<&Group> = scope.groups.iter().filter(|group| group.persons.contains(person)).collect();
        assert!(groups.len() <= 1, "a person is in one group");
        groups.first().map_or(FieldSet::EMPTY, |group| group.fields)
    }

    #[test]
    fn a_person_is_in_one_group_with_all_that_left_of_them() {
        use PersonalField::{Email, Name, Phone};
        let mut scope = Scope::default();
        // Against a naive map, in an order of its own.
        let mut naive: BTreeMap<u32, u64> = BTreeMap::new();
        let mut seed = 7_u64;
        for _ in 0..300 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let fields = set(&[[Email, Name, Phone][(seed >> 33) as usize % 3]]);
            let persons: RoaringBitmap = (0..8).map(|at| (seed >> (8 * at)) as u32 % 50).collect();
            persons.iter().for_each(|person| *naive.entry(person).or_default() |= fields.0);
            scope.add(P, fields, persons);
        }
        assert_eq!(scope.persons(), naive.len() as u64);
        for (person, fields) in naive {
            assert_eq!(of(&scope, person).0, fields, "{person}");
        }
        assert!(scope.groups.len() <= 7);
    }

    #[test]
    fn whoever_was_told_all_is_not_told_again() {
        use PersonalField::{Email, Name};
        let (mut one, mut two) = (Scope::default(), Scope::default());
        one.add(P, set(&[Email]), [1, 2, 3].into_iter().collect());
        two.unite(one.clone());
        two.add(P, set(&[Name]), [3, 4].into_iter().collect());
        two.add(P, set(&[Email]), [2].into_iter().collect());
        let mut told: Vec<(u32, u64, bool)> = Vec::new();
        for (group, was_told) in two.since(&one) {
            told.extend(group.persons.iter().map(|person| (person, group.fields.0, was_told)));
        }
        told.sort_unstable();
        assert_eq!(told, [(3, set(&[Email, Name]).0, true), (4, set(&[Name]).0, false)]);
        assert!(two.since(&two).is_empty());
    }
}
