//! What unit tests of operators share: events as lines of text, asked through the door.

use cofferdam_lake::Snapshot;
use cofferdam_model::query::{DateRange, EventMatch};
use cofferdam_model::{Merges, Query, ResultTable, SealedEvent, SubjectNo, Value};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::{Input, Output, People, Result};

/// Lines `subject day time name property=value …`, of October 2026 in UTC: `1 5 10:00 Buy item=shirt n=2 tags=a|b`.
pub(crate) fn events(text: &str) -> Vec<SealedEvent> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let day: u32 = words[1].parse().unwrap();
            let seconds = if words[2].len() > 5 { "" } else { ":00" };
            let time: Timestamp = format!("2026-10-{day:02}T{}{seconds}Z", words[2]).parse().unwrap();
            let property = |word: &&str| {
                let (name, value) = word.split_once('=').unwrap();
                let value = match (value.parse(), value.contains('|')) {
                    (Ok(number), _) => Value::Number(number),
                    (_, true) => {
                        Value::List(value.split('|').filter(|item| !item.is_empty()).map(str::to_owned).collect())
                    }
                    _ => Value::String(value.to_owned()),
                };
                (name.to_owned(), value)
            };
            SealedEvent {
                name: words[3].to_owned(),
                subject: SubjectNo(words[0].parse().unwrap()),
                time_us: time.as_microsecond(),
                insert_id: 0,
                properties: words[4..].iter().map(property).collect(),
            }
        })
        .collect()
}

/// The answer, asked on the 20th of October at noon: the same whatever the number of pieces and buckets.
pub(crate) fn ask_in(zone: &str, text: &str, query: &Query, people: &People) -> Result<ResultTable> {
    let zone = TimeZone::get(zone).unwrap();
    let now_us = "2026-10-20T12:00:00Z".parse::<Timestamp>().unwrap().as_microsecond();
    let merges = Merges::default();
    let mut answers = Vec::new();
    for (buckets, pieces) in [(1, 1), (4, 1), (2, 3)] {
        let snapshot = Snapshot::of_events(events(text), buckets, pieces);
        let Output::Table(table) = crate::run(&Input::new(&snapshot, &merges, &zone, now_us, people), query)? else {
            panic!("a question about persons or events");
        };
        answers.push(table);
    }
    let first = answers.swap_remove(0);
    assert!(answers.iter().all(|answer| *answer == first), "{first:?} {answers:?}");
    Ok(first)
}

pub(crate) fn days(from: i8, to: i8) -> DateRange {
    DateRange::Between { from: Date::constant(2026, 10, from), to: Date::constant(2026, 10, to) }
}

pub(crate) fn named(event: &str) -> EventMatch {
    EventMatch { event: Some(event.to_owned()), filters: Vec::new() }
}
