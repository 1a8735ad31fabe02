//! What a lake has to hold, written naively: every batch that was ever handed to it, in order, and what became of it.
//!
//! A batch is *acknowledged* (it must be there), *unknown* (its answer was an error, or the machine stopped before
//! there was one: it is there whole, or not at all) or *gone* (found absent after a restart: it must not come back).
//! Erasures are certain or unknown in the same way.
//!
//! Records are the same when project, subject, time, event and insert id are; the one handed over last counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cofferdam_lake::columns::list_text;
use cofferdam_lake::{Column, PropertyKey, Segment, Snapshot};
use cofferdam_model::{Merges, PropertyType, SealedEvent, SubjectNo, Value};

/// One event as a report would see it, comparable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub subject: u32,
    pub time_us: i64,
    pub name: String,
    /// `type name = value`, ordered.
    pub properties: Vec<String>,
}

/// The property that numbers every event ever made, so that no two are equal.
pub const SERIAL: &str = "serial";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Acknowledged,
    Unknown,
    Gone,
}

pub struct Batch {
    pub events: Vec<SealedEvent>,
    pub fate: Fate,
}

/// Subjects whose events up to a point were erased.
pub struct Erasure {
    pub subjects: BTreeSet<SubjectNo>,
    /// Batches handed over before it.
    pub batches: usize,
    pub fate: Fate,
}

/// One project.
#[derive(Default)]
pub struct Project {
    pub batches: Vec<Batch>,
    pub erasures: Vec<Erasure>,
    pub merges: Merges,
}

/// Where a snapshot differs from what it has to hold.
#[derive(Debug)]
pub struct Difference(pub String);

/// Which unknown batches and erasures are taken to have happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    pub batches: BTreeSet<usize>,
    pub erasures: BTreeSet<usize>,
}

impl Project {
    pub fn acknowledged(&self) -> usize {
        self.batches.iter().filter(|batch| batch.fate == Fate::Acknowledged).map(|batch| batch.events.len()).sum()
    }

    /// The events that count, in the order in which they were handed over.
    pub fn events(&self, resolution: &Resolution) -> Vec<&SealedEvent> {
        let there = |fate: Fate, at: usize, resolved: &BTreeSet<usize>| match fate {
            Fate::Acknowledged => true,
            Fate::Unknown => resolved.contains(&at),
            Fate::Gone => false,
        };
        let mut erased_until: BTreeMap<SubjectNo, usize> = BTreeMap::new();
        for (at, erasure) in self.erasures.iter().enumerate() {
            if there(erasure.fate, at, &resolution.erasures) {
                for subject in &erasure.subjects {
                    erased_until.insert(*subject, erasure.batches);
                }
            }
        }
        let mut events: Vec<Option<&SealedEvent>> = Vec::new();
        let mut newest: BTreeMap<(SubjectNo, i64, &str, u64), usize> = BTreeMap::new();
        for (at, batch) in self.batches.iter().enumerate() {
            if !there(batch.fate, at, &resolution.batches) {
                continue;
            }
            for event in &batch.events {
                if erased_until.get(&event.subject).is_some_and(|until| at < *until) {
                    continue;
                }
                if event.insert_id != 0 {
                    let identity = (event.subject, event.time_us, event.name.as_str(), event.insert_id);
                    if let Some(older) = newest.insert(identity, events.len()) {
                        events[older] = None;
                    }
                }
                events.push(Some(event));
            }
        }
        events.into_iter().flatten().collect()
    }

    /// Compares what a snapshot shows with what has to be there, and says which unknown batches and erasures it
    /// took part in. An unknown batch is taken to be there when any of its rows is, and then all of it has to be.
    pub fn check(&self, rows: &[Row]) -> Result<Resolution, Difference> {
        let found: BTreeSet<u64> = rows.iter().filter_map(serial_of).collect();
        let mut resolution = Resolution::default();
        for (at, batch) in self.batches.iter().enumerate().filter(|(_, batch)| batch.fate == Fate::Unknown) {
            if batch.events.iter().any(|event| found.contains(&serial(event))) {
                resolution.batches.insert(at);
            }
        }
        for (at, erasure) in self.erasures.iter().enumerate().filter(|(_, erasure)| erasure.fate == Fate::Unknown) {
            // It did not happen when an event of before is still there. Does none show, both come to the same.
            let still = self.batches[..erasure.batches].iter().any(|batch| {
                batch
                    .events
                    .iter()
                    .any(|event| erasure.subjects.contains(&event.subject) && found.contains(&serial(event)))
            });
            if !still {
                resolution.erasures.insert(at);
            }
        }
        // A compaction moves rows of merged subjects to their person.
        let person = |row: Row| Row { subject: self.merges.canonical(SubjectNo(row.subject)).0, ..row };
        let mut expected: Vec<Row> = self.events(&resolution).into_iter().map(|event| person(row(event))).collect();
        expected.sort();
        let mut rows: Vec<Row> = rows.iter().cloned().map(person).collect();
        rows.sort();
        if rows == expected {
            return Ok(resolution);
        }
        let mut text = format!("{} rows where {} belong", rows.len(), expected.len());
        let (mut left, mut right) = (expected.iter().peekable(), rows.iter().peekable());
        let mut told = 0;
        while told < 8 {
            match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(a), Some(b)) if a == b => {
                    left.next();
                    right.next();
                    continue;
                }
                (Some(a), b) if b.is_none_or(|b| a < b) => {
                    text += &format!("\n      missing: {}", self.place(a));
                    left.next();
                }
                (_, Some(b)) => {
                    text += &format!("\n      too much: {}", self.place(b));
                    right.next();
                }
                (Some(_), None) => unreachable!("a missing row is told before"),
            }
            told += 1;
        }
        Err(Difference(text))
    }

    fn place(&self, row: &Row) -> String {
        let of = serial_of(row);
        let batch = self
            .batches
            .iter()
            .position(|batch| batch.events.iter().any(|event| Some(serial(event)) == of))
            .map_or("no batch".to_owned(), |at| format!("batch {at}, {:?}", self.batches[at].fate));
        format!("{batch}: {} of subject {} at {} {:?}", row.name, row.subject, row.time_us, row.properties)
    }

    /// What a restart showed is what there is: unknown batches that were found stay unknown (they may not be durable
    /// yet), those that were not are gone.
    pub fn settle_absent(&mut self, resolution: &Resolution) {
        for (at, batch) in self.batches.iter_mut().enumerate() {
            if batch.fate == Fate::Unknown && !resolution.batches.contains(&at) {
                batch.fate = Fate::Gone;
            }
        }
        for (at, erasure) in self.erasures.iter_mut().enumerate() {
            if erasure.fate == Fate::Unknown && !resolution.erasures.contains(&at) {
                erasure.fate = Fate::Gone;
            }
        }
    }

    /// What is there was made durable: it must never be lost again.
    pub fn settle_present(&mut self, resolution: &Resolution) {
        for at in &resolution.batches {
            self.batches[*at].fate = Fate::Acknowledged;
        }
        for at in &resolution.erasures {
            self.erasures[*at].fate = Fate::Acknowledged;
        }
    }
}

/// The number of an event.
pub fn serial(event: &SealedEvent) -> u64 {
    let value = event.properties.iter().find(|(name, _)| name == SERIAL).map(|(_, value)| value);
    match value {
        Some(Value::Number(number)) => *number as u64,
        _ => panic!("every event is numbered"),
    }
}

fn serial_of(row: &Row) -> Option<u64> {
    let prefix = format!("num {SERIAL} = ");
    row.properties.iter().find_map(|property| property.strip_prefix(&prefix)?.parse().ok())
}

fn property(name: &str, value: &Value) -> String {
    let text = match value {
        Value::String(text) | Value::Object(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Time(time) => time.to_string(),
        Value::List(items) => list_text(items),
    };
    format!("{} {name} = {text}", value.property_type().prefix())
}

/// An event as the row it has to become.
pub fn row(event: &SealedEvent) -> Row {
    // Of a property that is named twice with one type, the last counts.
    let properties: BTreeMap<(&str, PropertyType), &Value> =
        event.properties.iter().map(|(name, value)| ((name.as_str(), value.property_type()), value)).collect();
    let mut properties: Vec<String> = properties.into_iter().map(|((name, _), value)| property(name, value)).collect();
    properties.sort();
    Row { subject: event.subject.0, time_us: event.time_us, name: event.name.clone(), properties }
}

/// Every row of a snapshot that may be read, through the columns that queries read.
pub fn rows_of(snapshot: &Snapshot) -> Result<Vec<Row>, cofferdam_lake::Error> {
    let mut rows = Vec::new();
    for segment in snapshot.segments() {
        rows.extend(rows_of_segment(segment)?);
    }
    Ok(rows)
}

/// Every row of a segment that may be read.
pub fn rows_of_segment(segment: &Segment) -> Result<Vec<Row>, cofferdam_lake::Error> {
    let core = segment.core()?;
    let mut columns: Vec<(PropertyKey, Arc<Column>)> = Vec::new();
    for key in segment.keys() {
        if let Some(column) = segment.column(key)? {
            columns.push((key.clone(), column));
        }
    }
    let mut rows = Vec::new();
    let mut hidden = segment.hidden().iter().peekable();
    for (index, &subject) in core.subjects.iter().enumerate() {
        for row in core.offsets[index]..core.offsets[index + 1] {
            if hidden.next_if_eq(&&row).is_some() {
                continue;
            }
            let row = row as usize;
            let mut properties: Vec<String> = columns
                .iter()
                .filter_map(|(key, column)| Some(property(&key.name, &column.value(key.property_type, row)?)))
                .collect();
            properties.sort();
            let name = core.event_name(row).to_owned();
            rows.push(Row { subject, time_us: core.time.get(row), name, properties });
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u64, subject: u32, insert_id: u64) -> SealedEvent {
        SealedEvent {
            name: "a".into(),
            subject: SubjectNo(subject),
            time_us: 10,
            insert_id,
            properties: vec![(SERIAL.into(), Value::Number(number as f64))],
        }
    }

    fn project(batches: Vec<(Vec<SealedEvent>, Fate)>) -> Project {
        let batches = batches.into_iter().map(|(events, fate)| Batch { events, fate }).collect();
        Project { batches, ..Project::default() }
    }

    fn rows(events: &[SealedEvent]) -> Vec<Row> {
        events.iter().map(row).collect()
    }

    #[test]
    fn an_unknown_batch_is_whole_or_absent_and_an_acknowledged_one_is_there() {
        let project = project(vec![
            (vec![event(1, 1, 0)], Fate::Acknowledged),
            (vec![event(2, 1, 0), event(3, 2, 0)], Fate::Unknown),
        ]);
        assert!(project.check(&rows(&[event(1, 1, 0)])).unwrap().batches.is_empty());
        let whole = project.check(&rows(&[event(1, 1, 0), event(2, 1, 0), event(3, 2, 0)])).unwrap();
        assert_eq!(whole.batches, BTreeSet::from([1]));
        project.check(&rows(&[event(1, 1, 0), event(3, 2, 0)])).unwrap_err();
        project.check(&rows(&[event(2, 1, 0), event(3, 2, 0)])).unwrap_err();
        project.check(&rows(&[event(1, 1, 0), event(1, 1, 0)])).unwrap_err();
    }

    #[test]
    fn the_newest_of_equal_records_counts_and_erased_ones_do_not() {
        let mut project = project(vec![
            (vec![event(1, 1, 5), event(2, 2, 0)], Fate::Acknowledged),
            (vec![event(3, 1, 5)], Fate::Acknowledged),
        ]);
        project.check(&rows(&[event(2, 2, 0), event(3, 1, 5)])).unwrap();
        project.check(&rows(&[event(2, 2, 0), event(1, 1, 5)])).unwrap_err();
        let subjects = BTreeSet::from([SubjectNo(2)]);
        project.erasures.push(Erasure { subjects, batches: 2, fate: Fate::Acknowledged });
        project.check(&rows(&[event(3, 1, 5)])).unwrap();
        project.check(&rows(&[event(2, 2, 0), event(3, 1, 5)])).unwrap_err();
    }

    #[test]
    fn rows_read_from_columns_equal_the_events_they_were_made_of() {
        let events: Vec<SealedEvent> = (0..40)
            .map(|number| {
                let mut event = event(number, number as u32 % 7, 0);
                event.time_us = number as i64 * 1_000;
                event.properties.push(match number % 5 {
                    0 => ("p".into(), Value::String("x".into())),
                    1 => ("p".into(), Value::Bool(true)),
                    2 => ("p".into(), Value::Time(7)),
                    3 => ("q".into(), Value::List(vec!["a".into(), "b".into()])),
                    _ => ("q".into(), Value::Object("{}".into())),
                });
                event
            })
            .collect();
        let project = project(vec![(events.clone(), Fate::Acknowledged)]);
        for (buckets, pieces) in [(1, 1), (4, 3)] {
            project.check(&rows_of(&Snapshot::of_events(events.clone(), buckets, pieces)).unwrap()).unwrap();
        }
    }
}
