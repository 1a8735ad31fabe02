//! The breach package of a project: whom an incident concerns, for whoever has to tell them or a supervisor.
//!
//! `scope.csv.age` lists the persons by the ids that the customer gave them, with exactly which fields left of each,
//! encrypted to the key that was brought; in clear it is nowhere. `summary.json` has the numbers, `scope.proof` proves
//! that the ledger had the scope when it did, and `letters/` has drafts in all languages, one for the organisation and
//! one for each set of fields. Chunk by chunk: the ledger has who is about to be listed before their ids are opened.
//!
//! Over the API it takes two people, and leaves as one tar file, made in a folder of its own that is removed behind it.
//!
//! Sealed organisation ids of the customer's own world are not kept by person, so a package is of a project, as answers
//! about exposure are.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cofferdam_ledger::{Entry, Intent, Kind, RoaringBitmap};
use cofferdam_model::{Class, FieldSet, OrgId, PersonalField, ProjectId, SubjectNo, limits};
use cofferdam_notice::text::{Audience, CODE_BLANK, CODE_MARK, Language, Wording};
use cofferdam_query::calendar::utc_text;
use serde::Serialize;
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::scope::Group;
use super::{Incident, ScopeGroup, ScopeVersion, field_words};
use crate::approval::{Agreed, Wish};
use crate::member::{Caller, SteppedUp};
use crate::{Engine, Error, Pieces, Project, Purpose, Result, random_hex, refused};

/// What a package has.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PackageMade {
    pub incident: u32,
    pub version: u32,
    pub project: u32,
    pub persons: u64,
    /// Of them, those whose id could not be opened: they are listed by pseudonym alone.
    pub without_id: u64,
    /// Persons by exactly which fields left of them.
    pub groups: Vec<ScopeGroup>,
    /// From when to when, in microseconds since 1970-01-01 UTC.
    pub occurred_us: Option<(i64, i64)>,
    /// When the scope was known.
    pub known_us: i64,
    /// The ledger's entry of the scope; `scope.proof` proves it.
    pub scope_entry: u64,
    /// First and last entry that opened ids for this package.
    pub opened: Option<(u64, u64)>,
    /// Drafts of letters.
    pub letters: u32,
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

/// Where packages are while they are made for a download. What is there at a start was left by a crash.
pub(crate) const PACKAGES_FOLDER: &str = "packages";

/// A folder that goes when it is dropped.
struct Made(PathBuf);

impl Drop for Made {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(error = &error as &dyn std::error::Error, "a package that was fetched could not be removed");
        }
    }
}

/// Pieces of a download, and how large each is.
const PIECES_WAITING: usize = 4;
const PIECE_BYTES: usize = 256 * 1024;

impl Engine {
    /// The packages that can be had of an incident's newest scope: one for each project.
    pub async fn packages(&self, caller: &Caller, id: u32) -> Result<Vec<PackageOffer>> {
        let incident = self.incident(&caller.member, id).await?;
        let Some(scope) = incident.scopes.last() else { return Ok(Vec::new()) };
        let mut waiting: Vec<(u64, u32)> = Vec::new();
        for row in self.waiting(caller).await? {
            match row.wish {
                Wish::Package { incident, version, project, .. }
                    if (incident, version) == (id, scope.version) && row.asked_by == caller.member.id =>
                {
                    waiting.push((row.id, project));
                }
                _ => {}
            }
        }
        let mut offers = Vec::new();
        for project in self.meta.projects(Some(caller.member.org)).await? {
            let persons: u64 =
                scope.groups.iter().filter(|group| group.project == project.id.0).map(|group| group.persons).sum();
            if persons > 0 {
                let waiting = waiting.iter().find(|(_, of)| *of == project.id.0).map(|(id, _)| *id);
                let (project, name, version) = (project.id.0, project.name, scope.version);
                offers.push(PackageOffer { project, name, version, persons, waiting });
            }
        }
        Ok(offers)
    }

    /// Makes a package for a download, once a second person agreed: its file's name, and the file.
    ///
    /// # Errors
    /// When there is no scope, or no such project in it; and as [`Engine::package`].
    pub async fn download_package(
        self: &Arc<Engine>,
        caller: &Caller,
        stepped_up: SteppedUp,
        id: u32,
        project: ProjectId,
        recipient: age::x25519::Recipient,
    ) -> Result<Agreed<(String, Pieces)>> {
        let request = stepped_up.request();
        stepped_up.spend(caller, request, Class::C3)?;
        self.check_unlocked(&caller.who())?;
        let incident = self.incident(&caller.member, id).await?;
        let project = self.project_of(caller.member.org, project)?;
        let version = newest(&incident)?;
        if !version.groups.iter().any(|group| group.project == project.id.0) {
            return refused("nobody_concerned", "nobody of this project is in the scope", None);
        }
        let (number, recipient_text) = (version.version, recipient.to_string());
        let wish = Wish::Package { incident: id, version: number, project: project.id.0, recipient: recipient_text };
        if let Some(asked) = self.agreed(caller, wish).await? {
            return Ok(Agreed::Waits(asked));
        }
        let slot = self.disclosures.slot()?;
        let folder = self.folder.join(PACKAGES_FOLDER).join(random_hex::<8>());
        let made = Made(folder.clone());
        self.write_package(Some(caller), &incident, version, &project, recipient, &folder).await?;
        let name = format!("incident-{id}-project-{}-version-{number}", project.id.0);
        let (sender, pieces) = mpsc::channel(PIECES_WAITING);
        let (engine, who, root, seconds) = (self.clone(), caller.who(), name.clone(), self.now_us() / 1_000_000);
        tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let sent = tar(&made.0, &root, seconds, |bytes| {
                let is_let = engine.refused_by_lock(&who).is_none();
                is_let && sender.blocking_send(Ok(Bytes::from(bytes))).is_ok()
            });
            if !sent.is_ok_and(|is_whole| is_whole) {
                // Whoever reads sees that it is not whole; whoever has gone sees nothing.
                let _ = sender.blocking_send(Err(io::Error::other("broken off")));
            }
            // Before whoever reads sees the end.
            drop(made);
        });
        Ok(Agreed::Given((format!("{name}.tar"), pieces)))
    }

    /// Writes the package of an incident's newest scope into a new folder, for whoever runs the server.
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
        let (org, incident) = self.desk.store.incident(id).await?.ok_or(Error::NotFound("incident"))?;
        let project = self.project(project)?;
        if project.org != org {
            return Err(Error::NotFound("project"));
        }
        self.write_package(None, &incident, newest(&incident)?, &project, recipient, to).await
    }

    async fn write_package(
        &self,
        by: Option<&Caller>,
        incident: &Incident,
        version: &ScopeVersion,
        project: &Project,
        recipient: age::x25519::Recipient,
        to: &Path,
    ) -> Result<PackageMade> {
        self.check_unsealed(project)?;
        if to.exists() {
            return refused("package_exists", "there is something at this place already", Some("name a new folder"));
        }
        crate::create_private(to).map_err(failed("make the package's folder", to))?;
        let scope = self.desk.store.scope(incident.id, version.version).await?;
        let groups: Vec<Group> = scope.groups.into_iter().filter(|group| group.project == project.id).collect();
        let mut made = PackageMade {
            incident: incident.id,
            version: version.version,
            project: project.id.0,
            persons: 0,
            without_id: 0,
            groups: version.groups.iter().filter(|group| group.project == project.id.0).cloned().collect(),
            occurred_us: incident.times.occurred_us,
            known_us: version.known_us,
            scope_entry: version.entry,
            opened: None,
            letters: 0,
        };
        self.write_list(by, incident, project, &groups, recipient, to, &mut made).await?;
        let (ledger, entry) = (self.ledger.clone(), version.entry);
        let proof = tokio::task::spawn_blocking(move || ledger.prove(entry)).await;
        write(&to.join("scope.proof"), proof.map_err(|_| Error::Interrupted)??.print().as_bytes())?;
        for (name, text) in self.letters(project.org, incident, version.version, &groups).await? {
            let folder = to.join("letters");
            crate::create_private(&folder).map_err(failed("make the package's folder", &folder))?;
            write(&folder.join(name), text.as_bytes())?;
            made.letters += 1;
        }
        // Last: what has no summary is not whole.
        let summary = serde_json::to_vec_pretty(&made).map_err(|_| Error::Interrupted)?;
        write(&to.join("summary.json"), &summary)?;
        Ok(made)
    }

    /// The list of persons, encrypted.
    #[expect(clippy::too_many_arguments, reason = "what, of whom, for whom, where to")]
    async fn write_list(
        &self,
        by: Option<&Caller>,
        incident: &Incident,
        project: &Project,
        groups: &[Group],
        recipient: age::x25519::Recipient,
        to: &Path,
        made: &mut PackageMade,
    ) -> Result<()> {
        let path = to.join("scope.csv.age");
        let wrong = || failed("write the package", &path);
        let file = std::fs::File::create(&path).map_err(wrong())?;
        let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
            .map_err(|_| Error::Interrupted)?;
        let mut out = encryptor.wrap_output(io::BufWriter::with_capacity(1 << 20, file)).map_err(wrong())?;
        let (from, last) = match incident.times.occurred_us {
            Some((from_us, to_us)) => (utc_text(from_us), utc_text(to_us)),
            None => (String::new(), String::new()),
        };
        out.write_all(b"id,pseudonym,fields,first,last,opened_by_entry\r\n").map_err(wrong())?;
        let context = |kind| {
            let entry = by.map_or_else(|| Entry::of(kind), |caller| caller.entry(self, kind));
            let (purpose, grant) = (Purpose::Package as u64, u64::from(incident.id));
            Entry { purpose, grant, object: u64::from(project.id.0), ..entry }
        };
        for group in groups {
            let fields = field_words(group.fields).join(" ");
            let numbers: Vec<u32> = group.persons.iter().collect();
            for chunk in numbers.chunks(limits::PACKAGE_CHUNK) {
                self.check_unsealed(project)?;
                if let Some(caller) = by {
                    self.check_unlocked(&caller.who())?;
                }
                let subjects: RoaringBitmap = chunk.iter().copied().collect();
                let ids = FieldSet::EMPTY.with(PersonalField::DistinctId);
                let intent = Intent {
                    org: project.org,
                    project: project.id,
                    fields: ids,
                    subjects,
                    context: context(Kind::Intent),
                };
                let ticket = self.ledger.authorise_async(intent).await?;
                let entry = ticket.seq();
                made.opened = Some((made.opened.map_or(entry, |(first, _)| first), entry));
                let persons: Vec<SubjectNo> = ticket.subjects().collect();
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
                out.write_all(lines.as_bytes()).map_err(wrong())?;
                made.persons += chunk.len() as u64;
                let done = Entry { count: chunk.len() as u64, refers_to: Some(entry), ..context(Kind::Done) };
                self.ledger.append_async(done).await?;
            }
        }
        let file = out.finish().and_then(|buffer| buffer.into_inner().map_err(io::Error::from));
        file.and_then(|file| file.sync_all()).map_err(wrong())
    }

    /// Drafts of letters, by file name: to the organisation, and to persons by what left of them, in every language.
    /// Without a time, and without somebody to ask, there is nothing to write.
    async fn letters(
        &self,
        org: OrgId,
        incident: &Incident,
        version: u32,
        groups: &[Group],
    ) -> Result<Vec<(String, String)>> {
        if incident.times.occurred_us.is_none() || self.desk.post.names().is_err() {
            return Ok(Vec::new());
        }
        let sender = self.meta.organisation_name(org).await?;
        let persons: u64 = groups.iter().map(|group| group.persons.len()).sum();
        let all = FieldSet(groups.iter().fold(0, |all, group| all | group.fields.0));
        let mut letters = Vec::new();
        for language in Language::ALL {
            let word = |fields: FieldSet, audience: Audience| -> Result<String> {
                let facts = self.facts(&sender, incident, version, persons, fields, false)?;
                let wording = Wording::new(&facts, audience, language)?;
                Ok(format!("{}\n\n{}", wording.subject, wording.text().replace(CODE_MARK, CODE_BLANK)))
            };
            letters.push((format!("organisation.{}.txt", language.tag()), word(all, Audience::Organisation)?));
            for (at, group) in groups.iter().enumerate() {
                letters
                    .push((format!("person-{}.{}.txt", at + 1, language.tag()), word(group.fields, Audience::Person)?));
            }
        }
        Ok(letters)
    }
}

fn newest(incident: &Incident) -> Result<&ScopeVersion> {
    match incident.scopes.last() {
        Some(version) => Ok(version),
        None => refused("no_scope", "it is not known yet whom this concerns", Some("find the scope first")),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(failed("write the package", path))
}

/// Hands over a folder as a tar file (ustar), piece by piece, for as long as the answer is true; answers whether that was
/// all of it.
fn tar(folder: &Path, root: &str, seconds: i64, mut hand: impl FnMut(Vec<u8>) -> bool) -> io::Result<bool> {
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        let mut entries = std::fs::read_dir(folder.join(&inner))?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let path = inner.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
                continue;
            }
            let mut file = std::fs::File::open(entry.path())?;
            let bytes = file.metadata()?.len();
            if !hand(tar_head(&format!("{root}/{}", path.display()), bytes, seconds)) {
                return Ok(false);
            }
            let mut left = bytes;
            while left > 0 {
                let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES))];
                file.read_exact(&mut piece)?;
                left -= piece.len() as u64;
                if left == 0 {
                    piece.resize(piece.len().next_multiple_of(512), 0);
                }
                if !hand(piece) {
                    return Ok(false);
                }
            }
        }
    }
    Ok(hand(vec![0; 1_024]))
}

/// The head of a file in a tar file.
fn tar_head(name: &str, bytes: u64, seconds: i64) -> Vec<u8> {
    let mut head = vec![0; 512];
    let mut put = |at: usize, text: &str| head[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{bytes:011o}\0"));
    put(136, &format!("{seconds:011o}\0"));
    put(148, "        ");
    put(156, "0ustar\0");
    put(263, "00");
    // Over the head with blanks in its own place.
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    head
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
