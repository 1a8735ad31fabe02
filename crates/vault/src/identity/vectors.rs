//! The cases of `tests/vectors/identity.txt`, through the vault's own door; the file says how they are written.

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_model::{OrgId, ProjectId, SubjectNo};
use serde_json::{Map, Value};

use super::Kind;
use crate::testing::{Home, on_each};
use crate::wire::{self, Door, IdentityMode, Record};
use crate::{Arrival, Vault};

on_each!(the_vectors_of_both_modes_hold,);

struct Case<'a> {
    title: &'a str,
    mode: IdentityMode,
    /// First word and the rest, by the line's number.
    lines: Vec<(usize, &'a str, &'a str)>,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        if let Some(head) = line.strip_prefix("== ") {
            let (mode, title) = head.split_once(": ").unwrap();
            let mode = match mode {
                "simplified" => IdentityMode::Simplified,
                "original" => IdentityMode::Original,
                other => panic!("line {}: there is no mode {other}", at + 1),
            };
            cases.push(Case { title, mode, lines: Vec::new() });
        } else {
            let (word, rest) = line.split_once("  ").unwrap_or_else(|| panic!("line {}: two blanks", at + 1));
            cases.last_mut().expect("a case comes first").lines.push((at + 1, word, rest));
        }
    }
    cases
}

/// `name=value …` as the properties of a record.
fn record(name: &str, text: &str) -> String {
    let property = |pair: &str| {
        let (name, value) = pair.split_once('=').expect("name=value");
        let list = value.strip_prefix('[').and_then(|value| value.strip_suffix(']'));
        (name.to_owned(), list.map_or_else(|| value.into(), |list| list.split(',').collect()))
    };
    let properties: Map<String, Value> = text.split(' ').map(property).collect();
    serde_json::json!({"event": name, "properties": properties}).to_string()
}

/// The number that a record is stored under; `None` when it is not taken.
async fn send(vault: &Vault, project: ProjectId, mode: IdentityMode, body: &str) -> Option<SubjectNo> {
    let Ok(sent) = wire::read_events(body.as_bytes()).unwrap().remove(0).read else { panic!("{body}: no record") };
    let Ok(Record::Event(event)) = wire::validate(sent, Door::Track, mode, 1_800_000_000_000_000) else { return None };
    Some(vault.seal(project, vec![event], Arrival::default(), 0).await.unwrap().events.remove(0).subject)
}

/// Which tags are one person, as the file would say it.
fn persons(vault: &Vault, project: ProjectId, tags: &BTreeMap<&str, SubjectNo>) -> BTreeSet<BTreeSet<String>> {
    let merges = vault.merges(project);
    let mut persons: BTreeMap<SubjectNo, BTreeSet<String>> = BTreeMap::new();
    for (tag, subject) in tags {
        persons.entry(merges.canonical(*subject)).or_default().insert((*tag).to_owned());
    }
    persons.into_values().collect()
}

async fn check(vault: &Vault, project: ProjectId, tags: &BTreeMap<&str, SubjectNo>, word: &str, rest: &str) -> bool {
    match word {
        "persons" => {
            let person = |text: &str| text.split_whitespace().map(str::to_owned).collect();
            persons(vault, project, tags) == rest.split('|').map(person).collect()
        }
        "canonical" => {
            let keys = vault.keys.project(project).unwrap();
            let pids: Vec<_> = rest.split('|').map(|id| keys.pid(Kind::Person, id.trim())).collect();
            let found = vault.identities.known(project, &pids).await.unwrap();
            let merges = vault.merges(project);
            found.len() == pids.len() && found.values().all(|subject| merges.canonical(*subject) == *subject)
        }
        _ => true,
    }
}

async fn the_vectors_of_both_modes_hold(home: Home) {
    let cases = cases(include_str!("../../tests/vectors/identity.txt"));
    assert!(cases.len() >= 20, "the file is read to its end");
    let vault = Vault::open(&home.site).await.unwrap();
    let mut ends = Vec::new();
    for (case, project) in cases.iter().zip((1..).map(ProjectId)) {
        vault.create_project(OrgId(1), project).await.unwrap();
        let mut tags = BTreeMap::new();
        for (line, word, rest) in &case.lines {
            let place = format!("line {line}, {:?}", case.title);
            match *word {
                "persons" | "canonical" => {
                    let told = persons(&vault, project, &tags);
                    assert!(check(&vault, project, &tags, word, rest).await, "{place}: {word} {rest}, but {told:?}");
                }
                "refused" => {
                    let taken = send(&vault, project, case.mode, &record("Step", rest)).await;
                    assert_eq!(taken, None, "{place}: it was taken");
                }
                name if name.starts_with('$') => {
                    send(&vault, project, case.mode, &record(name, rest)).await;
                }
                tag => {
                    let taken = send(&vault, project, case.mode, &record("Step", rest)).await;
                    assert_eq!(tags.insert(tag, taken.unwrap_or_else(|| panic!("{place}: refused"))), None, "{place}");
                }
            }
        }
        ends.push((project, tags, case));
    }
    // What is in memory is what the rows say.
    drop(vault);
    let vault = Vault::open(&home.site).await.unwrap();
    for (project, tags, case) in ends {
        let (line, word, rest) = case.lines.iter().rfind(|(_, word, _)| *word == "persons").expect("an expectation");
        assert!(check(&vault, project, &tags, word, rest).await, "line {line}, {:?}, after a restart", case.title);
    }
}
