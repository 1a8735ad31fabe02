//! A person's own data, to hand to them: everything that is known of them, as lines of JSON or as a page to read.
//!
//! The ledger has who is about to see what before a value is opened, and afterwards that it ended or was broken off.
//! The page is one file, without scripts and without anything to fetch; everything in it is escaped.

use std::sync::Arc;

use cofferdam_ledger::{Entry, Intent, Kind, RoaringBitmap};
use cofferdam_model::{Class, PersonalField, SubjectNo};
use cofferdam_query::calendar::utc_text;
use cofferdam_query::{EventFound, People};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::member::{Caller, SteppedUp, Who};
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

/// A piece of an export; an error ends it before its end.
pub(crate) type Piece = std::io::Result<Vec<u8>>;

/// Pieces that wait for a slow reader.
const PIECES_WAITING: usize = 8;

impl Engine {
    /// Everything that is known of a person, piece by piece.
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
    ) -> Result<mpsc::Receiver<Piece>> {
        let request = stepped_up.request();
        stepped_up.spend(caller, request, Class::C4)?;
        let subject = self.vault.subject_of(project.id, pseudonym).await?.ok_or(Error::NotFound("person"))?;
        let merges = self.vault.merges(project.id);
        let person = merges.canonical(subject);
        let subjects: RoaringBitmap =
            merges.group(person).map_or(vec![person], |group| group.members.clone()).iter().map(|one| one.0).collect();
        let purpose = purpose as u64;
        let intent = Intent {
            org: project.org,
            project: project.id,
            fields: PersonalField::ALL.into_iter().collect(),
            subjects,
            context: Entry { purpose, ..caller.entry(self, Kind::Intent) },
        };
        let ticket = self.ledger.authorise_async(intent).await?;
        let end = Entry {
            purpose,
            object: u64::from(project.id.0),
            refers_to: Some(ticket.seq()),
            ..caller.entry(self, Kind::Done)
        };
        let (sender, receiver) = mpsc::channel(PIECES_WAITING);
        let (engine, project, who) = (self.clone(), project.clone(), caller.who());
        tokio::spawn(async move {
            let mut out = Out { sender, format, rows: 0 };
            let result = engine.write_person(who, &project, person, ticket, &mut out).await;
            let kind = if result.is_ok() { Kind::Done } else { Kind::Aborted };
            if let Err(error) = engine.ledger.append_async(Entry { kind, count: out.rows, ..end }).await {
                tracing::error!(error = &error as &dyn std::error::Error, "the end of a disclosure is not recorded");
            }
            if let Err(error) = result {
                tracing::warn!(error = &error as &dyn std::error::Error, "a disclosure was broken off");
                // Whoever reads sees that it is not whole; whoever has gone sees nothing.
                let _ = out.sender.send(Err(std::io::Error::other("broken off"))).await;
            }
        });
        Ok(receiver)
    }

    async fn write_person(
        self: &Arc<Engine>,
        who: Who,
        project: &Arc<Project>,
        person: SubjectNo,
        ticket: cofferdam_ledger::DisclosureTicket,
        out: &mut Out,
    ) -> Result<()> {
        let seq = ticket.seq();
        let subjects: Vec<SubjectNo> = ticket.subjects().collect();
        let names = self.vault.pseudonyms(project.id, &subjects).await?;
        let name = |subject: SubjectNo| names.get(&subject).cloned().unwrap_or_default();
        self.check_unlocked(&who)?;
        let disclosed = self.vault.disclose(ticket).await?;
        out.send(out.format.head(&name(person), project, &utc_text(self.now_us()), seq)).await?;
        for subject in disclosed.subjects() {
            for (_, property, json) in subject.values() {
                let value = Zeroizing::new(json.to_owned());
                let value: Value = serde_json::from_str(&value).map_err(|_| Error::Interrupted)?;
                out.rows += 1;
                out.send(out.format.property(&name(subject.subject), property, &value, true)).await?;
            }
        }
        if let Some(view) = self.vault.profiles(project.id, &[person]).await?.remove(&person) {
            for (property, value) in view.properties {
                out.rows += 1;
                out.send(out.format.property(&name(person), &property, &value, false)).await?;
            }
        }
        out.send(out.format.between()).await?;
        let (sender, format, engine) = (out.sender.clone(), out.format, self.clone());
        let run = move |input: &cofferdam_query::Input<'_>| {
            let mut rows = 0;
            cofferdam_query::history(input, |events| {
                // Locked while it runs: it ends here.
                if engine.refused_by_lock(&who).is_some() {
                    return Err(cofferdam_query::Error::Cancelled);
                }
                rows += events.len() as u64;
                let text: String = events.iter().map(|event| format.event(event)).collect();
                sender.blocking_send(Ok(text.into_bytes())).map_err(|_| cofferdam_query::Error::Cancelled)
            })?;
            Ok(rows)
        };
        let (rows, _) = self.on_snapshot(project, Some(person), People::default(), run).await?;
        out.rows += rows;
        out.send(out.format.tail(out.rows)).await
    }
}

struct Out {
    sender: mpsc::Sender<Piece>,
    format: AccessFormat,
    rows: u64,
}

impl Out {
    async fn send(&self, text: String) -> Result<()> {
        self.sender.send(Ok(text.into_bytes())).await.map_err(|_| Error::Interrupted)
    }
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
