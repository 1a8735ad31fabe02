//! What left, of whom: exact sets of fields, and for each the persons of whom exactly these left.
//!
//! A scope is a partition: every person is in one group of their project. Widening it adds; nothing that was told is
//! taken back. It comes from the ledger, which had every disclosure before it happened, or from a list where the loss
//! was outside (a company that had the data). What was authorised and not there to be read is taken out: a person of
//! whom no telephone number was stored is not told that one left.

use std::collections::BTreeMap;

use cofferdam_ledger::{Kind, Log, Pseudonym, RoaringBitmap};
use cofferdam_model::{FieldSet, PersonalField, ProjectId, SubjectNo, limits};
use cofferdam_vault::{Vault, field_of};
use serde::Deserialize;
use utoipa::ToSchema;

use super::PURPOSE_NOTICE;
use crate::{Engine, Error, Member, Result, refused};

/// Where a scope comes from.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum ScopeOf {
    /// Everything that was opened in this time, by one member or by all. Microseconds since 1970-01-01 UTC; the end
    /// is not part of it.
    Ledger { member: Option<u32>, from_us: i64, to_us: i64 },
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

/// Entries that are read at once.
const ENTRIES_AT_ONCE: u64 = 4_096;

/// Everything that the ledger says was opened, by anybody or by one actor, of some projects.
fn opened(
    ledger: &Log,
    actor: Option<Pseudonym>,
    (from_us, to_us): (i64, i64),
    projects: &[ProjectId],
    merged: impl Fn(ProjectId, RoaringBitmap) -> RoaringBitmap,
) -> Result<Scope> {
    ledger.settle()?;
    let (size, mut scope) = (ledger.size(), Scope::default());
    for from in (0..size).step_by(ENTRIES_AT_ONCE as usize) {
        for found in ledger.entries(from, (from + ENTRIES_AT_ONCE).min(size))? {
            let entry = &found.entry;
            let project = ProjectId(u32::try_from(entry.object).unwrap_or(u32::MAX));
            let is_meant = entry.kind == Kind::Intent
                && entry.purpose != PURPOSE_NOTICE
                && (from_us..to_us).contains(&found.time_us.cast_signed())
                && actor.is_none_or(|actor| entry.actor == Some(actor))
                && projects.contains(&project);
            if !is_meant {
                continue;
            }
            // A set that was erased is of persons who were: nobody is left to be told.
            if let Some(subjects) = ledger.subjects(found.seq)? {
                scope.add(project, entry.fields, merged(project, subjects));
            }
        }
    }
    Ok(scope)
}

/// Persons by their canonical subject.
fn persons_of(vault: &Vault, project: ProjectId, subjects: &RoaringBitmap) -> RoaringBitmap {
    let merges = vault.merges(project);
    subjects.iter().map(|subject| merges.canonical(SubjectNo(subject)).0).collect()
}

impl Engine {
    /// Finds a scope, and what of it was there to be read.
    pub(super) async fn find_scope(&self, member: &Member, of: &ScopeOf) -> Result<Scope> {
        let projects: Vec<ProjectId> =
            self.meta.projects(Some(member.org)).await?.into_iter().map(|project| project.id).collect();
        let scope = match of {
            ScopeOf::Ledger { member, from_us, to_us } => {
                if from_us >= to_us {
                    return refused("empty_time", "this time has no length", Some("the end comes after the beginning"));
                }
                let actor = member.map(|member| self.actor(member));
                let (ledger, vault, times) = (self.ledger.clone(), self.vault.clone(), (*from_us, *to_us));
                let reading = tokio::task::spawn_blocking(move || {
                    opened(&ledger, actor, times, &projects, |project, subjects| persons_of(&vault, project, &subjects))
                });
                reading.await.map_err(|_| Error::Interrupted)??
            }
            ScopeOf::List { project, ids, fields } => {
                if !projects.contains(project) {
                    return Err(Error::NotFound("project"));
                }
                let (persons, _) = self.vault.known_persons(*project, ids).await?;
                let persons = persons.iter().map(|person| person.0).collect();
                let mut scope = Scope::default();
                scope.add(*project, fields.iter().copied().collect(), persons);
                scope
            }
        };
        self.held_of(&scope).await
    }

    /// Of a scope, what is stored of each person. Names of properties are read, and no value.
    async fn held_of(&self, scope: &Scope) -> Result<Scope> {
        let mut held = Scope::default();
        for group in &scope.groups {
            let persons: Vec<SubjectNo> = group.persons.iter().map(SubjectNo).collect();
            let mut by_fields: BTreeMap<u64, RoaringBitmap> = BTreeMap::new();
            for chunk in persons.chunks(limits::NOTICE_CHUNK) {
                let views = self.vault.profiles(group.project, chunk).await?;
                for person in chunk {
                    let names = views.get(person).into_iter().flat_map(|view| &view.sealed);
                    let stored = names
                        .map(|(name, _)| field_of(name))
                        .fold(FieldSet::EMPTY.with(PersonalField::DistinctId), FieldSet::with);
                    by_fields.entry(stored.0 & group.fields.0).or_default().insert(person.0);
                }
            }
            for (fields, persons) in by_fields {
                held.add(group.project, FieldSet(fields), persons);
            }
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
