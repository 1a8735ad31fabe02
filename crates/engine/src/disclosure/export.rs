//! What rows look like, and how exports make them: persons by chunks of subjects, events by the files they are in.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

use cofferdam_lake::Snapshot;
use cofferdam_model::cohort::{CohortCondition, Times};
use cofferdam_model::query::{DateRange, EventMatch};
use cofferdam_model::{FieldSet, Merges, PersonalField, SubjectNo, SubjectSet};
use cofferdam_query::calendar::utc_text;
use cofferdam_query::{EventFound, Export, Input, Needs, People};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::request::{DisclosureFormat, bitmap};
use super::stream::Outlet;
use crate::{Engine, Error, Project, Result};

/// A cell of a CSV file. What a spreadsheet would take for a formula begins with an apostrophe instead.
fn cell(out: &mut String, text: &str) {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if !is_formula && !text.contains([',', '"', '\n', '\r']) {
        out.push_str(text);
        return;
    }
    out.push('"');
    if is_formula {
        out.push('\'');
    }
    for letter in text.chars() {
        if letter == '"' {
            out.push('"');
        }
        out.push(letter);
    }
    out.push('"');
}

/// A value as a cell: numbers as they are, what is not text as JSON.
fn value_cell(out: &mut String, value: &Value) {
    match value {
        Value::Null => {}
        Value::Number(number) => {
            let _ = write!(out, "{number}");
        }
        Value::String(text) => cell(out, text),
        other => cell(out, &other.to_string()),
    }
}

fn bytes(text: String) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(text.into_bytes())
}

/// A person's value as a row.
fn value_row(
    format: DisclosureFormat,
    person: &str,
    field: PersonalField,
    property: &str,
    value: &str,
) -> Result<String> {
    let parsed: Value = serde_json::from_str(value).map_err(|_| Error::Interrupted)?;
    let word = serde_json::to_value(field).map_err(|_| Error::Interrupted)?;
    Ok(match format {
        DisclosureFormat::Ndjson => {
            format!("{}\n", json!({"person": person, "field": word, "property": property, "value": parsed}))
        }
        DisclosureFormat::Csv => {
            let mut line = String::new();
            cell(&mut line, person);
            line.push(',');
            cell(&mut line, word.as_str().unwrap_or_default());
            line.push(',');
            cell(&mut line, property);
            line.push(',');
            value_cell(&mut line, &parsed);
            line.push('\n');
            line
        }
    })
}

/// Opens these fields of these persons, chunk by chunk.
pub(crate) fn write_persons(
    out: &mut Outlet,
    persons: &SubjectSet,
    fields: FieldSet,
    format: DisclosureFormat,
) -> Result<()> {
    let (engine, project) = (out.engine.clone(), out.run.project.clone());
    if format == DisclosureFormat::Csv {
        out.begin_with("person,field,property,value\n".to_owned());
    }
    let merges = engine.vault.merges(project.id);
    let (mut chunk, mut done, of, mut room) = (Vec::new(), 0, persons.len(), out.room());
    out.run.is_at(done, of);
    let mut rest = persons.iter().peekable();
    while let Some(person) = rest.next() {
        match merges.group(person) {
            Some(group) => chunk.extend(&group.members),
            None => chunk.push(person),
        }
        done += 1;
        let next = rest.peek().map_or(0, |next| merges.group(*next).map_or(1, |group| group.members.len()));
        if next == 0 || chunk.len() + next > room {
            write_chunk(out, &engine, &project, &merges, &chunk, fields, format)?;
            chunk.clear();
            room = out.room();
            out.run.is_at(done, of);
        }
    }
    Ok(())
}

fn write_chunk(
    out: &mut Outlet,
    engine: &Engine,
    project: &Project,
    merges: &Merges,
    chunk: &[SubjectNo],
    fields: FieldSet,
    format: DisclosureFormat,
) -> Result<()> {
    let canonical: BTreeSet<SubjectNo> = chunk.iter().map(|subject| merges.canonical(*subject)).collect();
    let canonical: Vec<SubjectNo> = canonical.into_iter().collect();
    let ticket = out.open(fields, bitmap(chunk.iter().copied()))?;
    let names = out.wait(engine.vault.pseudonyms(project.id, &canonical))?;
    let disclosed = out.wait(engine.vault.disclose(ticket))?;
    for subject in disclosed.subjects() {
        let name = names.get(&merges.canonical(subject.subject)).map_or("", String::as_str);
        let (mut text, mut rows) = (String::new(), 0);
        for (field, property, value) in subject.values() {
            text.push_str(&value_row(format, name, field, property, value)?);
            rows += 1;
        }
        out.write(bytes(text), rows, 1)?;
    }
    Ok(())
}

impl Engine {
    /// The persons that an export is of: canonical subjects.
    pub(crate) async fn persons_meant(
        &self,
        project: &Arc<Project>,
        who: Option<&CohortCondition>,
    ) -> Result<SubjectSet> {
        let everybody = CohortCondition::Did {
            matching: EventMatch::default(),
            times: Times::AtMost { count: u64::MAX },
            distinct: None,
            window: None,
        };
        let condition = who.unwrap_or(&everybody).clone();
        let now_us = self.now_us();
        let mut people = self.people(project, Needs::of_condition(&condition), now_us).await?;
        if who.is_none() {
            people.everybody = Arc::new(self.vault.people(project.id, &[], &[]).await?.everybody);
        }
        let run = move |input: &Input<'_>| cofferdam_query::members(input, &condition, now_us);
        Ok(self.on_snapshot(project, None, people, run).await?.0)
    }
}

/// Everything that an export of events reads, of one instant.
pub(crate) struct EventsMeant {
    pub(crate) snapshot: Snapshot,
    pub(crate) people: People,
    pub(crate) range: DateRange,
    pub(crate) matching: EventMatch,
    pub(crate) now_us: i64,
}

/// Lets the events out, under their pseudonyms.
pub(crate) fn write_events(out: &mut Outlet, meant: &EventsMeant, format: DisclosureFormat) -> Result<()> {
    let project = out.run.project.clone();
    // After the snapshot: merges are durable before the events that need them.
    let merges = out.engine.vault.merges(project.id);
    let columns: BTreeSet<String> = meant.snapshot.keys().into_iter().map(|key| key.name).collect();
    let mut events = Events {
        names: HashMap::new(),
        columns: columns.into_iter().collect(),
        merges: &merges,
        failed: None,
        format,
        out,
    };
    if format == DisclosureFormat::Csv {
        let mut head = "person,time,event".to_owned();
        for column in &events.columns {
            head.push(',');
            cell(&mut head, &format!("properties.{column}"));
        }
        head.push('\n');
        events.out.begin_with(head);
    }
    let input = Input::new(&meant.snapshot, &merges, &project.zone, meant.now_us, &meant.people);
    let written = cofferdam_query::export(&input, meant.range, &meant.matching, &mut events);
    match (events.failed, written) {
        (Some(error), _) => Err(error),
        (None, written) => written.map_err(crate::ask::refusal),
    }
}

struct Events<'a> {
    out: &'a mut Outlet,
    merges: &'a Merges,
    /// Of the subjects of this chunk.
    names: HashMap<SubjectNo, String>,
    columns: Vec<String>,
    format: DisclosureFormat,
    failed: Option<Error>,
}

impl Events<'_> {
    /// Ends the walk with an error of ours.
    fn end(&mut self, result: Result<()>) -> cofferdam_query::Result<()> {
        result.map_err(|error| {
            self.failed = Some(error);
            cofferdam_query::Error::Cancelled
        })
    }

    fn open(&mut self, subjects: &[SubjectNo]) -> Result<()> {
        self.names.clear();
        if subjects.is_empty() {
            return self.out.check();
        }
        // The rows say what the person is called, who may be another subject.
        let all = subjects.iter().flat_map(|subject| [*subject, self.merges.canonical(*subject)]);
        let ticket = self.out.open(FieldSet::EMPTY.with(PersonalField::Events), bitmap(all))?;
        self.names = self.out.wait(self.out.engine.vault.name_rows(ticket))?;
        Ok(())
    }

    fn row(&self, event: &EventFound, out: &mut String) {
        let name = self.names.get(&event.subject).map_or("", String::as_str);
        let time = utc_text(event.time_us);
        match self.format {
            DisclosureFormat::Ndjson => {
                let properties: serde_json::Map<String, Value> =
                    event.properties.iter().map(|(name, value)| (name.clone(), crate::ingest::json(value))).collect();
                let line = json!({"person": name, "time": time, "event": event.event, "properties": properties});
                let _ = writeln!(out, "{line}");
            }
            DisclosureFormat::Csv => {
                cell(out, name);
                out.push(',');
                cell(out, &time);
                out.push(',');
                cell(out, &event.event);
                let values: HashMap<&str, Value> =
                    event.properties.iter().map(|(name, value)| (name.as_str(), crate::ingest::json(value))).collect();
                for column in &self.columns {
                    out.push(',');
                    if let Some(value) = values.get(column.as_str()) {
                        value_cell(out, value);
                    }
                }
                out.push('\n');
            }
        }
    }
}

impl Export for Events<'_> {
    fn room(&self) -> usize {
        // Each can be named twice: as it is stored, and as the person that it became part of.
        self.out.room() / 2
    }

    fn begin(&mut self, subjects: &[SubjectNo]) -> cofferdam_query::Result<()> {
        let opened = self.open(subjects);
        self.end(opened)
    }

    fn rows(&mut self, events: Vec<EventFound>) -> cofferdam_query::Result<()> {
        let mut text = String::new();
        events.iter().for_each(|event| self.row(event, &mut text));
        let subjects = 2 * events.chunk_by(|one, next| one.subject == next.subject).count();
        let written = self.out.write(bytes(text), events.len() as u64, subjects);
        self.end(written)
    }

    fn looked_at(&mut self, events: u64, of: u64) {
        self.out.run.is_at(events, of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_none_breaks_out_of_its_place() {
        let of = |text: &str| {
            let mut out = String::new();
            cell(&mut out, text);
            out
        };
        assert_eq!(of("plain"), "plain");
        assert_eq!(of("a,b"), "\"a,b\"");
        assert_eq!(of("say \"hi\"\n"), "\"say \"\"hi\"\"\n\"");
        for begin in ["=", "+", "-", "@", "\t", "\r"] {
            assert_eq!(of(&format!("{begin}cmd|x")), format!("\"'{begin}cmd|x\""));
        }
        let mut out = String::new();
        value_cell(&mut out, &json!(-5));
        assert_eq!(out, "-5", "a number is no formula");
        let row = value_row(DisclosureFormat::Csv, "per_1", PersonalField::Name, "$name", "\"=HYPERLINK(1)\"").unwrap();
        assert_eq!(row, "per_1,name,$name,\"'=HYPERLINK(1)\"\n");
    }
}
