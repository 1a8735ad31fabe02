//! Profiles in columns: what questions about persons are answered from.
//!
//! A project's open properties (C1, C2) are read once, on the first question, and follow every later change. Values
//! that identify are not in here, so no condition can probe them. What leaves are numbers of subjects.

use std::collections::HashMap;
use std::sync::Mutex;

use cofferdam_model::{Merges, ProjectId, SubjectNo, SubjectSet, SubjectValues, Value};
use rustc_hash::FxHashMap;
use serde_json::{Map, Value as Json};

/// Marks the record of a group, which is no person.
pub(crate) const GROUP_MARK: &str = "$group_key";

/// The open properties of the persons of every project that was asked about.
#[derive(Default)]
pub(crate) struct Tables {
    by_project: Mutex<HashMap<ProjectId, State>>,
}

enum State {
    /// Being read; what changes meanwhile is applied afterwards.
    Loading(Vec<(SubjectNo, Option<Map<String, Json>>)>),
    Ready(Table),
}

/// One project's.
#[derive(Default)]
pub(crate) struct Table {
    columns: HashMap<String, Column>,
    persons: SubjectSet,
}

#[derive(Default)]
struct Column {
    values: Vec<Value>,
    /// By the JSON text of a value.
    index: FxHashMap<String, u32>,
    /// By subject.
    codes: Vec<u32>,
}

/// Answers to questions about persons; subjects are canonical.
pub struct PeopleFound {
    /// One per condition.
    pub sets: Vec<SubjectSet>,
    /// One per property.
    pub values: Vec<SubjectValues>,
    /// Everybody with a profile.
    pub everybody: SubjectSet,
}

/// A property and what its value must pass.
pub type PersonTest<'a> = (&'a str, &'a (dyn Fn(&Value) -> bool + Sync));

impl Tables {
    /// Whether a project's table has to be read. If so, changes are collected from now on.
    pub(crate) fn begin(&self, project: ProjectId) -> bool {
        let mut tables = self.by_project.lock().expect("never left half changed");
        match tables.get(&project) {
            Some(State::Ready(_)) => false,
            // A reader that was interrupted left this; what it collected is part of what is read now.
            Some(State::Loading(_)) => true,
            None => {
                tables.insert(project, State::Loading(Vec::new()));
                true
            }
        }
    }

    pub(crate) fn finish(&self, project: ProjectId, mut table: Table) {
        let mut tables = self.by_project.lock().expect("never left half changed");
        // Forgotten while it was read: it stays forgotten.
        let Some(State::Loading(changes)) = tables.remove(&project) else { return };
        for (subject, open) in changes {
            table.set(subject, open.as_ref());
        }
        tables.insert(project, State::Ready(table));
    }

    /// Drops a project's table; whoever asks next reads it anew.
    pub(crate) fn forget(&self, project: ProjectId) {
        self.by_project.lock().expect("never left half changed").remove(&project);
    }

    /// Follows a change of a record; `None` when it is gone.
    pub(crate) fn changed(&self, project: ProjectId, subject: SubjectNo, open: Option<&Map<String, Json>>) {
        let mut tables = self.by_project.lock().expect("never left half changed");
        match tables.get_mut(&project) {
            Some(State::Ready(table)) => table.set(subject, open),
            Some(State::Loading(changes)) => changes.push((subject, open.cloned())),
            None => {}
        }
    }

    /// `None` when the table is not there.
    pub(crate) fn find(
        &self,
        project: ProjectId,
        merges: &Merges,
        tests: &[PersonTest<'_>],
        properties: &[&str],
    ) -> Option<PeopleFound> {
        let tables = self.by_project.lock().expect("never left half changed");
        let Some(State::Ready(table)) = tables.get(&project) else { return None };
        Some(PeopleFound {
            sets: tests.iter().map(|(property, test)| table.passing(merges, property, test)).collect(),
            values: properties.iter().map(|property| table.values(merges, property)).collect(),
            everybody: table.persons.iter().map(|subject| merges.canonical(subject)).collect(),
        })
    }
}

impl Table {
    pub(crate) fn set(&mut self, subject: SubjectNo, open: Option<&Map<String, Json>>) {
        let index = subject.0 as usize;
        for column in self.columns.values_mut() {
            if let Some(code) = column.codes.get_mut(index) {
                *code = SubjectValues::NOT_SET;
            }
        }
        self.persons.remove(subject);
        let Some(open) = open.filter(|open| !open.contains_key(GROUP_MARK)) else { return };
        self.persons.insert(subject);
        for (name, json) in open {
            let Some(value) = crate::typed_json(json.clone()) else { continue };
            let column = self.columns.entry(name.clone()).or_default();
            let code = *column.index.entry(json.to_string()).or_insert_with(|| {
                column.values.push(value);
                column.values.len() as u32 - 1
            });
            if column.codes.len() <= index {
                column.codes.resize(index + 1, SubjectValues::NOT_SET);
            }
            column.codes[index] = code;
        }
    }

    /// A property's code per canonical subject: their own record's, else that of the first member who has one.
    fn folded(&self, merges: &Merges, property: &str) -> Option<(&Column, Vec<u32>)> {
        let column = self.columns.get(property)?;
        let mut codes = column.codes.clone();
        for group in merges.groups() {
            let code = |subject: SubjectNo| {
                column.codes.get(subject.0 as usize).copied().filter(|code| *code != SubjectValues::NOT_SET)
            };
            let found = code(group.canonical).or_else(|| group.members.iter().find_map(|member| code(*member)));
            for member in &group.members {
                if let Some(code) = codes.get_mut(member.0 as usize) {
                    *code = SubjectValues::NOT_SET;
                }
            }
            if let Some(found) = found {
                let index = group.canonical.0 as usize;
                if codes.len() <= index {
                    codes.resize(index + 1, SubjectValues::NOT_SET);
                }
                codes[index] = found;
            }
        }
        Some((column, codes))
    }

    fn passing(&self, merges: &Merges, property: &str, test: &dyn Fn(&Value) -> bool) -> SubjectSet {
        let Some((column, codes)) = self.folded(merges, property) else { return SubjectSet::default() };
        let passes: Vec<bool> = column.values.iter().map(test).collect();
        codes
            .iter()
            .enumerate()
            .filter(|(_, code)| passes.get(**code as usize) == Some(&true))
            .map(|(subject, _)| SubjectNo(subject as u32))
            .collect()
    }

    fn values(&self, merges: &Merges, property: &str) -> SubjectValues {
        match self.folded(merges, property) {
            Some((column, codes)) => SubjectValues { values: column.values.clone(), codes },
            None => SubjectValues::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Json) -> Map<String, Json> {
        let Json::Object(map) = value else { panic!("an object") };
        map
    }

    #[test]
    fn changes_are_followed_and_merged_persons_are_one() {
        let (tables, project, s) = (Tables::default(), ProjectId(1), SubjectNo);
        assert!(tables.begin(project));
        // While the table is read.
        tables.changed(project, s(5), Some(&map(json!({"plan": "pro"}))));
        let mut table = Table::default();
        table.set(s(5), Some(&map(json!({"plan": "free"}))));
        table.set(s(2), Some(&map(json!({"plan": "free", "n": 3}))));
        table.set(s(9), Some(&map(json!({"plan": "pro", GROUP_MARK: "company"}))));
        tables.finish(project, table);
        let mut merges = Merges::default();
        merges.link(s(2), s(7));
        let pro = |value: &Value| *value == Value::String("pro".into());
        let any = |_: &Value| true;
        let find = || tables.find(project, &merges, &[("plan", &pro), ("n", &any)], &["plan"]).unwrap();
        let list = |set: &SubjectSet| set.iter().map(|subject| subject.0).collect::<Vec<_>>();
        let found = find();
        assert_eq!(
            (list(&found.sets[0]), list(&found.sets[1]), list(&found.everybody)),
            (vec![5], vec![7], vec![5, 7])
        );
        let value = |found: &PeopleFound, subject| {
            found.values[0].code(s(subject)).map(|code| found.values[0].values[code as usize].clone())
        };
        assert_eq!(value(&found, 7), Some(Value::String("free".into())));
        assert_eq!(value(&found, 2), None);
        tables.changed(project, s(5), None);
        tables.changed(project, s(7), Some(&map(json!({"plan": "pro"}))));
        let found = find();
        assert_eq!((list(&found.sets[0]), list(&found.everybody)), (vec![7], vec![7]));
    }
}
