//! The breach package of a project: whom an incident concerns, for whoever has to tell them or a supervisor, encrypted
//! to the key that they brought.
//!
//! Sealed organisation ids of the customer's own world are not kept by person, so the package is of a project. A file of
//! lines is written chunk by chunk: each chunk's ids are opened by a ticket of its own.

use std::io::{self, Write};
use std::path::Path;

use cofferdam_ledger::{Entry, Intent, Kind, RoaringBitmap};
use cofferdam_model::{PersonalField, ProjectId, limits};
use serde::Serialize;
use utoipa::ToSchema;

use super::{PURPOSE_PACKAGE, field_words};
use crate::{Engine, Error, Result, refused};

/// What a package has.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PackageMade {
    pub incident: u32,
    pub version: u32,
    pub project: u32,
    pub persons: u64,
    /// Of them, those whose id could not be opened: they are listed by pseudonym alone.
    pub without_id: u64,
    /// From when to when, in microseconds since 1970-01-01 UTC.
    pub occurred_us: Option<(i64, i64)>,
    /// The ledger's entry of the scope; `scope.proof` proves it.
    pub scope_entry: u64,
    /// First and last entry that opened ids for this package.
    pub opened: Option<(u64, u64)>,
}

/// A package that can be had of the newest scope.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PackageOffer {
    pub project: u32,
    pub name: String,
    pub version: u32,
    pub persons: u64,
    /// The caller asked for it, and this waits for a second person.
    pub waiting: Option<u64>,
    /// A second person agreed: the caller can download it until then. RFC 3339, UTC.
    pub agreed_until: Option<String>,
}

/// Reads the key that a package is encrypted to.
///
/// # Errors
/// When it is no age recipient.
pub fn package_recipient(text: &str) -> Result<age::x25519::Recipient> {
    match text.trim().parse() {
        Ok(recipient) => Ok(recipient),
        Err(_) => refused("invalid_key", "this is no age recipient", Some("it begins with age1")),
    }
}

impl Engine {
    /// Writes the package of an incident's newest scope into a new folder: `scope.csv.age`, `summary.json`,
    /// `scope.proof`.
    ///
    /// # Errors
    /// When there is no scope, something is at the place, or the ledger does not take an entry: what is written then has
    /// no summary, and is none.
    pub async fn package(
        &self,
        id: u32,
        project: ProjectId,
        recipient: age::x25519::Recipient,
        to: &Path,
    ) -> Result<PackageMade> {
        let found = self.desk.store.incident(id).await?.ok_or(Error::NotFound("incident"))?;
        let project = self.project(project)?;
        if project.org != found.0 {
            return Err(Error::NotFound("project"));
        }
        self.check_unsealed(&project)?;
        let incident = found.1;
        let Some(version) = incident.scopes.last().cloned() else {
            return refused("no_scope", "it is not known yet whom this concerns", Some("find the scope first"));
        };
        if to.exists() {
            return refused("package_exists", "there is something at this place already", Some("name a new folder"));
        }
        crate::create_private(to).map_err(failed("make the package's folder", to))?;
        let scope = self.desk.store.scope(id, version.version).await?;
        let mut made = PackageMade {
            incident: id,
            version: version.version,
            project: project.id.0,
            persons: 0,
            without_id: 0,
            occurred_us: incident.times.occurred_us,
            scope_entry: version.entry,
            opened: None,
        };
        let path = to.join("scope.csv.age");
        let file = std::fs::File::create(&path).map_err(failed("write the package", &path))?;
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
            .map_err(|_| Error::Interrupted)?;
        let mut out = encryptor
            .wrap_output(io::BufWriter::with_capacity(1 << 20, file))
            .map_err(failed("write the package", &path))?;
        let (from, last) = incident.times.occurred_us.map_or((String::new(), String::new()), |(from_us, to_us)| {
            (cofferdam_query::calendar::utc_text(from_us), cofferdam_query::calendar::utc_text(to_us))
        });
        out.write_all(b"id,pseudonym,fields,first,last,opened_by_entry\r\n")
            .map_err(failed("write the package", &path))?;
        for group in scope.groups.iter().filter(|group| group.project == project.id) {
            let fields = field_words(group.fields).join(" ");
            let numbers: Vec<u32> = group.persons.iter().collect();
            for chunk in numbers.chunks(limits::PACKAGE_CHUNK) {
                let subjects: RoaringBitmap = chunk.iter().copied().collect();
                let context = Entry { purpose: PURPOSE_PACKAGE, grant: u64::from(id), ..Entry::of(Kind::Intent) };
                let ids = [PersonalField::DistinctId].into_iter().collect();
                let intent = Intent { org: project.org, project: project.id, fields: ids, subjects, context };
                let ticket = self.ledger.authorise_async(intent).await?;
                let entry = ticket.seq();
                made.opened = Some((made.opened.map_or(entry, |(first, _)| first), entry));
                let persons: Vec<cofferdam_model::SubjectNo> = ticket.subjects().collect();
                let names = self.vault.pseudonyms(project.id, &persons).await?;
                let disclosed = self.vault.disclose(ticket).await?;
                let mut opened = disclosed.subjects().iter().peekable();
                let mut lines = zeroize::Zeroizing::new(String::with_capacity(chunk.len() * 96));
                for person in persons {
                    let subject = opened.next_if(|subject| subject.subject == person);
                    let json = subject.and_then(|subject| subject.values().next().map(|(_, _, json)| json));
                    let value = json.and_then(|json| serde_json::from_str::<String>(json).ok());
                    made.without_id += u64::from(value.is_none());
                    let value = zeroize::Zeroizing::new(value.unwrap_or_default());
                    quoted(&value, &mut lines);
                    let pseudonym = names.get(&person).map_or("", String::as_str);
                    lines.push_str(&format!(",{pseudonym},{fields},{from},{last},{entry}\r\n"));
                }
                out.write_all(lines.as_bytes()).map_err(failed("write the package", &path))?;
                made.persons += chunk.len() as u64;
                let done = Entry {
                    object: u64::from(project.id.0),
                    purpose: PURPOSE_PACKAGE,
                    grant: u64::from(id),
                    count: chunk.len() as u64,
                    refers_to: Some(entry),
                    ..Entry::of(Kind::Done)
                };
                self.ledger.append_async(done).await?;
            }
        }
        let file = out.finish().and_then(|buffer| buffer.into_inner().map_err(io::Error::from));
        file.and_then(|file| file.sync_all()).map_err(failed("write the package", &path))?;
        let ledger = self.ledger.clone();
        let proof = tokio::task::spawn_blocking(move || ledger.prove(version.entry)).await;
        let proof = proof.map_err(|_| Error::Interrupted)??.print();
        let path = to.join("scope.proof");
        std::fs::write(&path, proof).map_err(failed("write the package", &path))?;
        let path = to.join("summary.json");
        let summary = serde_json::to_vec_pretty(&made).map_err(|_| Error::Interrupted)?;
        std::fs::write(&path, summary).map_err(failed("write the package", &path))?;
        Ok(made)
    }
}

/// A field of a CSV file (RFC 4180), which no spreadsheet takes for a formula.
fn quoted(value: &str, out: &mut String) {
    out.push('"');
    if value.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        out.push('\'');
    }
    out.push_str(&value.replace('"', "\"\""));
    out.push('"');
}

fn failed(what: &'static str, path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Store(cofferdam_lake::Error::Io { what, path: path.clone(), source })
}
