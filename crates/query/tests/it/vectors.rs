//! The test vectors: every case against the naive definitions and against the operators.

use std::path::{Path, PathBuf};

use cofferdam_model::Query;
use cofferdam_query::{Error, Output};

use crate::door::{LAYOUTS, Layout, ask};
use crate::naive::{self, Naive};
use crate::notation::{Case, Expected, compare, parse, parse_text};
use crate::print::{Line, lines};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    files
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut errors = Vec::new();
    for file in files() {
        match parse(&file) {
            Ok(found) => cases.extend(found),
            Err(error) => errors.push(error),
        }
    }
    assert!(errors.is_empty(), "\n{}", errors.join("\n"));
    cases
}

/// Runs every case and reports all that fail.
fn hold(who: &str, check: impl Fn(&Case, &[String]) -> Result<(), String>) {
    let mut failed = Vec::new();
    let cases = cases();
    for case in &cases {
        if let Expected::Lines(expected) = &case.expected
            && let Err(error) = check(case, expected)
        {
            failed.push(format!("{} {:?}, {who}:\n{error}", case.place, case.title));
        }
    }
    assert!(failed.is_empty(), "{} of {} cases:\n\n{}", failed.len(), cases.len(), failed.join("\n\n"));
}

#[test]
fn naive_definitions_hold() {
    hold("naive", |case, expected| compare(expected, &naive_lines(case)));
}

#[test]
fn operators_hold() {
    for layout in LAYOUTS {
        hold(&format!("operators over {layout:?}"), |case, expected| compare(expected, &operator_lines(case, layout)?));
    }
}

#[test]
fn questions_that_cannot_be_asked_are_refused() {
    for case in cases() {
        let Expected::Refused(words) = &case.expected else { continue };
        match ask(&case.world, &case.query, LAYOUTS[1]) {
            Err(Error::Invalid(message)) => {
                assert!(message.contains(words), "{} {:?} is refused with {message:?}", case.place, case.title);
            }
            other => panic!("{} {:?} is answered: {other:?}", case.place, case.title),
        }
    }
}

fn operator_lines(case: &Case, layout: Layout) -> Result<Vec<Line>, String> {
    Ok(match ask(&case.world, &case.query, layout).map_err(|error| format!("  refused: {error}"))? {
        Output::Table(table) => lines(&table, &case.world.zone),
        Output::Persons { total, persons } => {
            let rows = persons.iter().map(|row| (row.subject, row.first_us, row.last_us, row.events));
            person_lines(case, total, rows)
        }
        Output::Events(events) => {
            event_lines(case, events.into_iter().map(|event| (event.time_us, event.subject, event.event)))
        }
    })
}

fn naive_lines(case: &Case) -> Vec<Line> {
    if let Some(table) = naive::answer(&case.world, &case.query) {
        return lines(&table, &case.world.zone);
    }
    let naive = Naive { world: &case.world, persons: case.world.everybody() };
    match &case.query {
        Query::Persons(query) => {
            let (total, listed) = naive.persons_list(query);
            let rows = listed.iter().map(|row| (row.person, row.first_us, row.last_us, row.events));
            person_lines(case, total, rows)
        }
        Query::Events(query) => {
            let mut listed = naive.events_list(query, None);
            listed.truncate(query.limit as usize);
            event_lines(case, listed.into_iter())
        }
        _ => unreachable!("every other question is answered by a table"),
    }
}

fn name(case: &Case, subject: cofferdam_model::SubjectNo) -> &str {
    case.names.get(subject.0 as usize).map_or("-", String::as_str)
}

fn person_lines(
    case: &Case,
    total: u64,
    rows: impl Iterator<Item = (cofferdam_model::SubjectNo, i64, i64, u64)>,
) -> Vec<Line> {
    let time = |time_us: i64| case.world.zoned(time_us).strftime("%Y-%m-%dT%H:%M").to_string();
    let row = |(person, first, last, events): (_, i64, i64, u64)| Line {
        part: "rows",
        text: format!("{} first {} last {} events {events}", name(case, person), time(first), time(last)),
    };
    std::iter::once(Line { part: "overall", text: format!("overall: {total}") }).chain(rows.map(row)).collect()
}

fn event_lines(case: &Case, rows: impl Iterator<Item = (i64, cofferdam_model::SubjectNo, String)>) -> Vec<Line> {
    rows.map(|(time_us, person, event)| Line {
        part: "rows",
        text: format!("{} {} {event}", case.world.zoned(time_us).strftime("%Y-%m-%dT%H:%M"), name(case, person)),
    })
    .collect()
}

#[test]
fn no_file_is_empty() {
    let files = files();
    assert!(files.len() >= 8, "{files:?}");
    for file in files {
        assert!(!parse(&file).unwrap().is_empty(), "{} has no case", file.display());
    }
}

#[test]
fn a_case_without_expectation_is_an_error() {
    let case = "== nothing expected\nrange 2026-10-01\nquery\n {\"kind\": \"frequency\", \"period\": \"day\"}\n";
    let error = parse_text("a.txt", case).unwrap_err();
    assert!(error.starts_with("a.txt:1: ") && error.contains("expects nothing"), "{error}");
    let error = parse_text("a.txt", &format!("{case}expect\n")).unwrap_err();
    assert!(error.starts_with("a.txt:5: "), "{error}");
    assert!(parse_text("a.txt", &format!("{case}expect\n overall: 1\n")).is_ok());
    for (text, place) in [
        ("\nevents\n", "a.txt:2: a case begins"),
        ("# nothing\n", "a.txt: there is no case"),
        ("== x\nevents\n alice A x\n", "a.txt:3: "),
        ("== x\nzone Nowhere/City\n", "a.txt:2: "),
        ("== x\nquery\n {\"kind\": \"insight\"}\n", "a.txt:2: "),
    ] {
        let error = parse_text("a.txt", text).unwrap_err();
        assert!(error.starts_with(place), "{error}");
    }
}

#[test]
fn a_wrong_expectation_fails() {
    let line = |text: &str| Line { part: "rows", text: text.to_owned() };
    let found = [line("A: 1 2 = 3"), Line { part: "omitted", text: "omitted: 0".to_owned() }];
    assert!(compare(&["A: 1 2 = 3".to_owned()], &found).is_ok());
    assert!(compare(&["A: 1 2 = 4".to_owned()], &found).is_err());
    assert!(compare(&["A: 1 2 = 3".to_owned(), "B: 1 2 = 3".to_owned()], &found).is_err());
    assert!(compare(&["omitted: 1".to_owned()], &found).is_err());
}
