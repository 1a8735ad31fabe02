//! A person's own data, to hand to them: everything that is known of them, as lines of JSON or as a page to read.
//!
//! It leaves as every disclosure does (`crates/engine/src/disclosure/stream.rs`): written down first, stopped by locks, limits
//! and seals.
//! The page is one file, without scripts and without anything to fetch; everything in it is escaped.

use std::sync::Arc;

use cofferdam_ledger::{Entry, Kind};
use cofferdam_model::{Class, PersonalField, SubjectNo};
use cofferdam_query::calendar::utc_text;
use cofferdam_query::{EventFound, Input, People};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::approval::{Agreed, Wish};
use crate::disclosure::request::bitmap;
use crate::disclosure::spent;
use crate::disclosure::store::RowKind;
use crate::disclosure::stream::{Outlet, Pieces, Run};
use crate::member::{Caller, SteppedUp};
use crate::{Engine, Error, Project, Result};

/// Why a person's data is opened. The numbers are in the ledger: none changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessPurpose {
    /// They asked what is known of them.
    SubjectAccess = 1,
    /// They take it elsewhere.
    Portability = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessFormat {
    /// A line of JSON for each thing.
    Ndjson,
    /// One page.
    Html,
}

impl Engine {
    /// Everything that is known of a person, piece by piece, once a second person agreed.
    ///
    /// # Errors
    /// When there is no such person, less than a passkey was shown, or the ledger does not take the intent: nothing is opened then.
    pub async fn access(
        self: &Arc<Engine>,
        caller: &Caller,
        stepped_up: SteppedUp,
        project: &Arc<Project>,
        pseudonym: &str,
        purpose: AccessPurpose,
        format: AccessFormat,
    ) -> Result<Agreed<Pieces>> {
        let request = stepped_up.request();
        let newest_us = spent(caller, stepped_up, Class::C4)?;
        self.check_held(caller, newest_us).await?;
        self.check_limits(caller.member.org, Some(caller.member.id))?;
        let subject = self.vault.subject_of(project.id, pseudonym).await?.ok_or(Error::NotFound("person"))?;
        let wish = Wish::Access { project: project.id.0, person: pseudonym.to_owned(), purpose };
        if let Some(asked) = self.agreed(caller, wish).await? {
            return Ok(Agreed::Waits(asked));
        }
        let person = self.vault.merges(project.id).canonical(subject);
        let slot = self.disclosures.slot()?;
        let by = self.member_runs(caller);
        let row = self.single(&by, project, request, RowKind::Access, b"").await?;
        self.reserve(&by, &row, &bitmap([person]), false).await?;
        let context = Entry { purpose: purpose as u64, ..caller.entry(self, Kind::Intent) };
        let run = Run::new(row.id, project, caller.who(), true, context).once();
        let pieces = self.stream(Arc::new(run), slot, None, move |out| write_person(out, person, format)).await?;
        Ok(Agreed::Given(pieces))
    }
}

fn write_person(out: &mut Outlet, person: SubjectNo, format: AccessFormat) -> Result<()> {
    let (engine, project) = (out.engine.clone(), out.run.project.clone());
    let merges = engine.vault.merges(project.id);
    let subjects = merges.group(person).map_or(vec![person], |group| group.members.clone());
    let ticket = out.open(PersonalField::ALL.into_iter().collect(), bitmap(subjects.iter().copied()))?;
    let seq = ticket.seq();
    let names = out.wait(engine.vault.pseudonyms(project.id, &subjects))?;
    let name = |subject: SubjectNo| names.get(&subject).cloned().unwrap_or_default();
    let disclosed = out.wait(engine.vault.disclose(ticket))?;
    let mut rows = 0;
    let mut write = |out: &mut Outlet, text: String, more: u64| {
        rows += more;
        out.write(Zeroizing::new(text.into_bytes()), more, 1)
    };
    write(out, format.head(&name(person), &project, &utc_text(engine.now_us()), seq), 0)?;
    for subject in disclosed.subjects() {
        for (_, property, json) in subject.values() {
            let value: Value = serde_json::from_str(json).map_err(|_| Error::Interrupted)?;
            write(out, format.property(&name(subject.subject), property, &value, true), 1)?;
        }
    }
    if let Some(view) = out.wait(engine.vault.profiles(project.id, &[person]))?.remove(&person) {
        for (property, value) in view.properties {
            write(out, format.property(&name(person), &property, &value, false), 1)?;
        }
    }
    write(out, format.between(), 0)?;
    let (snapshot, _) =
        out.wait(engine.on_snapshot(&project, None, People::default(), |input| Ok(input.snapshot.clone())))?;
    let people = People::default();
    let mut input = Input::new(&snapshot, &merges, &project.zone, engine.now_us(), &people);
    input.person = Some(person);
    let mut failed = None;
    let walked = cofferdam_query::history(&input, |events| {
        let text: String = events.iter().map(|event| format.event(event)).collect();
        let written = out.check().and_then(|()| write(out, text, events.len() as u64));
        written.map_err(|error| {
            failed = Some(error);
            cofferdam_query::Error::Cancelled
        })
    });
    match failed {
        Some(error) => return Err(error),
        None => walked.map_err(crate::ask::refusal)?,
    }
    out.write(Zeroizing::new(format.tail(rows).into_bytes()), 0, 0)
}

impl AccessFormat {
    fn head(self, person: &str, project: &Project, made_at: &str, entry: u64) -> String {
        match self {
            AccessFormat::Ndjson => line(
                &json!({"kind": "person", "person": person, "project": project.id, "made_at": made_at, "ledger_entry": entry}),
            ),
            AccessFormat::Html => format!(
                "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Data of {person}</title>\n\
                 <style>body{{font:15px/1.5 sans-serif;margin:2em auto;max-width:60em;padding:0 1em}}\
                 table{{border-collapse:collapse;width:100%}}td,th{{border-bottom:1px solid #ccc;padding:.3em .6em;\
                 text-align:left;vertical-align:top;overflow-wrap:anywhere}}</style></head><body>\n\
                 <h1>What is stored about you</h1>\n<p>Made {made_at} for {person}; recorded as entry {entry} of the \
                 ledger.</p>\n<h2>About you</h2>\n<table><tr><th>What</th><th>Value</th><th>Kept</th></tr>\n"
            ),
        }
    }

    fn property(self, person: &str, name: &str, value: &Value, is_sealed: bool) -> String {
        match self {
            AccessFormat::Ndjson => line(
                &json!({"kind": "property", "person": person, "name": name, "value": value, "is_sealed": is_sealed}),
            ),
            AccessFormat::Html => format!(
                "<tr><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                escaped(name),
                escaped(&plain(value)),
                if is_sealed { "sealed" } else { "open" }
            ),
        }
    }

    fn between(self) -> String {
        match self {
            AccessFormat::Ndjson => String::new(),
            AccessFormat::Html => {
                "</table>\n<h2>What you did</h2>\n<table><tr><th>When (UTC)</th><th>What</th><th>Details</th></tr>\n"
                    .to_owned()
            }
        }
    }

    fn event(self, event: &EventFound) -> String {
        let time = utc_text(event.time_us);
        let properties = event.properties.iter().map(|(name, value)| (name, crate::ingest::json(value)));
        match self {
            AccessFormat::Ndjson => {
                let properties: serde_json::Map<String, Value> =
                    properties.map(|(name, value)| (name.clone(), value)).collect();
                line(&json!({"kind": "event", "time": time, "event": event.event, "properties": properties}))
            }
            AccessFormat::Html => {
                let details: String = properties
                    .map(|(name, value)| format!("{}: {}<br>", escaped(name), escaped(&plain(&value))))
                    .collect();
                format!("<tr><td>{time}</td><td>{}</td><td>{details}</td></tr>\n", escaped(&event.event))
            }
        }
    }

    /// Without it the export is not whole.
    fn tail(self, rows: u64) -> String {
        match self {
            AccessFormat::Ndjson => line(&json!({"kind": "end", "rows": rows})),
            AccessFormat::Html => format!("</table>\n<p>That is all: {rows} rows.</p>\n</body></html>\n"),
        }
    }
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
