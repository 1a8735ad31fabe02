//! The breach package of an organisation: whom an incident concerns, for whoever has to tell them or a supervisor.
//!
//! `scope.csv.age` lists the persons of all its projects by the ids that the customer gave them, with exactly which
//! fields left of each, when the first and the last of it was let out and by which entries of the ledger, encrypted to
//! the key that was brought; in clear it is nowhere. `disclosures.csv` has the disclosures themselves, without persons.
//! `summary.json` has the numbers, `scope.proof` proves that the ledger had the scope when it did, and `letters/` has
//! drafts in all languages, one for the organisation and one for each set of fields. Chunk by chunk: the ledger has who
//! is about to be listed before their ids are opened.
//!
//! Over the API it takes two people, and leaves as one tar file, made in a folder of its own that is removed behind it.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cofferdam_exposure::{Disclosure, Moments, Question};
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
use crate::exposure::hex;
use crate::member::{Caller, SteppedUp};
use crate::{Engine, Error, Pieces, Purpose, Result, random_hex, refused};

/// What a package has.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PackageMade {
    pub incident: u32,
    pub version: u32,
    pub organisation: String,
    pub persons: u64,
    /// Of them, those whose id could not be opened: they are listed by pseudonym alone.
    pub without_id: u64,
    pub projects: Vec<PackageProject>,
    /// Rows of `disclosures.csv`.
    pub disclosures: u64,
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

/// A project in a package.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PackageProject {
    pub project: u32,
    pub name: String,
    pub persons: u64,
    /// Persons by exactly which fields left of them.
    pub groups: Vec<ScopeGroup>,
}

/// The package that can be had of the newest scope.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PackageOffer {
    pub version: u32,
    pub persons: u64,
    pub projects: Vec<PackageProject>,
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
    /// The package that can be had of an incident's newest scope, when it concerns anybody.
    pub async fn package_offer(&self, caller: &Caller, id: u32) -> Result<Option<PackageOffer>> {
        let incident = self.incident(&caller.member, id).await?;
        let Some(scope) = incident.scopes.last().filter(|scope| scope.persons > 0) else { return Ok(None) };
        let version = scope.version;
        let waiting = self.waiting(caller).await?.into_iter().find(|row| match row.wish {
            Wish::Package { incident, version: of, .. } => {
                (incident, of) == (id, version) && row.asked_by == caller.member.id
            }
            _ => false,
        });
        Ok(Some(PackageOffer {
            version,
            persons: scope.persons,
            projects: self.projects_of(caller.member.org, scope).await?,
            waiting: waiting.map(|row| row.id),
        }))
    }

    /// The projects of a scope, with their names: of one that is no more there is only the number.
    async fn projects_of(&self, org: OrgId, scope: &ScopeVersion) -> Result<Vec<PackageProject>> {
        let known = self.meta.projects(Some(org)).await?;
        let numbers: BTreeSet<u32> = scope.groups.iter().map(|group| group.project).collect();
        let of = |project: u32| {
            let groups = scope.groups.iter().filter(|group| group.project == project);
            let groups: Vec<ScopeGroup> = groups.cloned().collect();
            let name = known.iter().find(|one| one.id.0 == project).map_or_else(String::new, |one| one.name.clone());
            PackageProject { project, name, persons: groups.iter().map(|group| group.persons).sum(), groups }
        };
        Ok(numbers.into_iter().map(of).collect())
    }

    /// Makes a package for a download, once a second person agreed: its file's name, and the file.
    ///
    /// # Errors
    /// When there is no scope, or nobody in it; and as [`Engine::package`].
    pub async fn download_package(
        self: &Arc<Engine>,
        caller: &Caller,
        stepped_up: SteppedUp,
        id: u32,
        recipient: age::x25519::Recipient,
    ) -> Result<Agreed<(String, Pieces)>> {
        let request = stepped_up.request();
        stepped_up.spend(caller, request, Class::C3)?;
        self.check_unlocked(&caller.who())?;
        let incident = self.incident(&caller.member, id).await?;
        let version = newest(&incident)?;
        if version.persons == 0 {
            return refused("nobody_concerned", "nobody is in the scope", None);
        }
        let (number, recipient_text) = (version.version, recipient.to_string());
        let wish = Wish::Package { incident: id, version: number, recipient: recipient_text };
        if let Some(asked) = self.agreed(caller, wish).await? {
            return Ok(Agreed::Waits(asked));
        }
        let slot = self.disclosures.slot()?;
        let folder = self.folder.join(PACKAGES_FOLDER).join(random_hex::<8>());
        let made = Made(folder.clone());
        self.write_package(Some(caller), caller.member.org, &incident, version, recipient, &folder).await?;
        let name = format!("incident-{id}-version-{number}");
        let (sender, pieces) = mpsc::channel(PIECES_WAITING);
        let (engine, who, root) = (self.clone(), caller.who(), name.clone());
        let seconds = u64::try_from(self.now_us() / 1_000_000).unwrap_or(0);
        tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let hand = Hand { sender: &sender, is_let: || engine.refused_by_lock(&who).is_none() };
            let out = io::BufWriter::with_capacity(PIECE_BYTES, hand);
            if tar_of(&made.0, Path::new(&root), seconds, out).is_err() {
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
    pub async fn package(&self, id: u32, recipient: age::x25519::Recipient, to: &Path) -> Result<PackageMade> {
        let (org, incident) = self.desk.store.incident(id).await?.ok_or(Error::NotFound("incident"))?;
        self.write_package(None, org, &incident, newest(&incident)?, recipient, to).await
    }

    async fn write_package(
        &self,
        by: Option<&Caller>,
        org: OrgId,
        incident: &Incident,
        version: &ScopeVersion,
        recipient: age::x25519::Recipient,
        to: &Path,
    ) -> Result<PackageMade> {
        self.check_open(org)?;
        if to.exists() {
            return refused("package_exists", "there is something at this place already", Some("name a new folder"));
        }
        crate::create_private(to).map_err(failed("make the package's folder", to))?;
        let groups = self.desk.store.scope(incident.id, version.version).await?.groups;
        let mut made = PackageMade {
            incident: incident.id,
            version: version.version,
            organisation: self.meta.organisation_name(org).await?,
            persons: 0,
            without_id: 0,
            projects: self.projects_of(org, version).await?,
            disclosures: 0,
            occurred_us: incident.times.occurred_us,
            known_us: version.known_us,
            scope_entry: version.entry,
            opened: None,
            letters: 0,
        };
        let questions = self.asked_of(org, incident).await?;
        made.disclosures = self.write_disclosures(questions.clone(), version.entry, &groups, to).await?;
        self.write_list(by, org, incident, version, &questions, &groups, recipient, to, &mut made).await?;
        let (ledger, entry) = (self.ledger.clone(), version.entry);
        let proof = tokio::task::spawn_blocking(move || ledger.prove(entry)).await;
        write(&to.join("scope.proof"), proof.map_err(|_| Error::Interrupted)??.print().as_bytes())?;
        for (name, text) in self.letters(&made.organisation, incident, version.version, &groups)? {
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

    /// The disclosures that the scope comes from, oldest first: when, by whom (the ledger's pseudonyms), why, what.
    async fn write_disclosures(
        &self,
        questions: Vec<Question>,
        before: u64,
        groups: &[Group],
        to: &Path,
    ) -> Result<u64> {
        let projects: BTreeSet<u64> = groups.iter().map(|group| u64::from(group.project.0)).collect();
        let path = to.join("disclosures.csv");
        self.on_disclosures(move |index| {
            let io_error =
                |source| cofferdam_exposure::Error::Io { what: "write the package", path: path.clone(), source };
            let mut out = io::BufWriter::new(std::fs::File::create(&path).map_err(io_error)?);
            let head = "entry,time,project,purpose,grant,actor,session,token,address,fields,ids,sent\r\n";
            out.write_all(head.as_bytes()).map_err(io_error)?;
            let mut rows = 0;
            let mut from = 0;
            loop {
                let page = index.disclosures_from(&questions, from, before, limits::PACKAGE_CHUNK)?;
                let Some(last) = page.last() else { break };
                from = last.seq + 1;
                for disclosure in page.iter().filter(|one| projects.contains(&one.project)) {
                    out.write_all(row_of(disclosure).as_bytes()).map_err(io_error)?;
                    rows += 1;
                }
            }
            out.into_inner().map_err(io::Error::from).and_then(|file| file.sync_all()).map_err(io_error)?;
            Ok(rows)
        })
        .await
    }

    /// The list of persons, encrypted.
    #[expect(clippy::too_many_arguments, reason = "what, of whom, for whom, where to")]
    async fn write_list(
        &self,
        by: Option<&Caller>,
        org: OrgId,
        incident: &Incident,
        version: &ScopeVersion,
        questions: &[Question],
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
        let head = b"project,id,pseudonym,fields,first,first_entry,last,last_entry,opened_by_entry\r\n";
        out.write_all(head).map_err(wrong())?;
        // What was lost elsewhere is in no ledger: of it is known what the incident says.
        let said = match incident.times.occurred_us {
            Some((from_us, to_us)) => format!("{},,{},", utc_text(from_us), utc_text(to_us)),
            None => ",,,".to_owned(),
        };
        for of_project in groups.chunk_by(|one, two| one.project == two.project) {
            let project = of_project[0].project;
            let context = |kind| {
                let entry = by.map_or_else(|| Entry::of(kind), |caller| caller.entry(self, kind));
                let (purpose, grant) = (Purpose::Package as u64, u64::from(incident.id));
                Entry { purpose, grant, object: u64::from(project.0), ..entry }
            };
            let merges = self.vault.merges(project);
            let ids_of = |person: u32| match merges.group(SubjectNo(person)) {
                Some(group) => group.members.iter().map(|subject| subject.0).collect(),
                None => vec![person],
            };
            let listed: Vec<(FieldSet, RoaringBitmap)> = of_project
                .iter()
                .map(|group| match merges.groups().next() {
                    None => (group.fields, group.persons.clone()),
                    Some(_) => (group.fields, group.persons.iter().flat_map(ids_of).collect()),
                })
                .collect();
            let moments = self.moments(questions.to_vec(), version.entry, project, listed).await?;
            for group in of_project {
                let fields = field_words(group.fields).join(" ");
                let numbers: Vec<u32> = group.persons.iter().collect();
                for chunk in numbers.chunks(limits::PACKAGE_CHUNK) {
                    self.check_open(org)?;
                    if let Some(caller) = by {
                        self.check_unlocked(&caller.who())?;
                    }
                    let subjects: RoaringBitmap = chunk.iter().copied().collect();
                    let ids = FieldSet::EMPTY.with(PersonalField::DistinctId);
                    let intent = Intent { org, project, fields: ids, subjects, context: context(Kind::Intent) };
                    let ticket = self.ledger.authorise_async(intent).await?;
                    let entry = ticket.seq();
                    made.opened = Some((made.opened.map_or(entry, |(first, _)| first), entry));
                    let persons: Vec<SubjectNo> = ticket.subjects().collect();
                    let names = self.vault.pseudonyms(project, &persons).await?;
                    let disclosed = self.vault.disclose(ticket).await?;
                    let mut opened = disclosed.subjects().iter().peekable();
                    let mut lines = zeroize::Zeroizing::new(String::with_capacity(chunk.len() * 160));
                    for person in persons {
                        let subject = opened.next_if(|subject| subject.subject == person);
                        let json = subject.and_then(|subject| subject.values().next().map(|(_, _, json)| json));
                        let value = json.and_then(|json| serde_json::from_str::<String>(json).ok());
                        made.without_id += u64::from(value.is_none());
                        let value = zeroize::Zeroizing::new(value.unwrap_or_default());
                        lines.push_str(&format!("{},", project.0));
                        quoted(&value, &mut lines);
                        let pseudonym = names.get(&person).map_or("", String::as_str);
                        lines.push_str(&format!(",{pseudonym},{fields},"));
                        match moments.of(ids_of(person.0)) {
                            None => lines.push_str(&said),
                            Some((first, last)) => {
                                let (from, to) = (time(first.time_us), time(last.time_us));
                                lines.push_str(&format!("{from},{},{to},{}", first.seq, last.seq));
                            }
                        }
                        lines.push_str(&format!(",{entry}\r\n"));
                    }
                    out.write_all(lines.as_bytes()).map_err(wrong())?;
                    made.persons += chunk.len() as u64;
                    let done = Entry { count: chunk.len() as u64, refers_to: Some(entry), ..context(Kind::Done) };
                    self.ledger.append_async(done).await?;
                }
            }
        }
        let file = out.finish().and_then(|buffer| buffer.into_inner().map_err(io::Error::from));
        file.and_then(|file| file.sync_all()).map_err(wrong())
    }

    /// When something first and last left of each of these.
    async fn moments(
        &self,
        questions: Vec<Question>,
        before: u64,
        project: ProjectId,
        listed: Vec<(FieldSet, RoaringBitmap)>,
    ) -> Result<Moments> {
        let project = u64::from(project.0);
        self.on_disclosures(move |index| index.first_and_last(&questions, before, project, &listed)).await
    }

    /// Drafts of letters, by file name: to the organisation, and to persons by what left of them, in every language.
    /// Without a time, and without somebody to ask, there is nothing to write.
    fn letters(
        &self,
        sender: &str,
        incident: &Incident,
        version: u32,
        groups: &[Group],
    ) -> Result<Vec<(String, String)>> {
        if incident.times.occurred_us.is_none() || self.desk.post.names().is_err() {
            return Ok(Vec::new());
        }
        let persons: u64 = groups.iter().map(|group| group.persons.len()).sum();
        let all = FieldSet(groups.iter().fold(0, |all, group| all | group.fields.0));
        let sets: BTreeSet<u64> = groups.iter().map(|group| group.fields.0).collect();
        let mut letters = Vec::new();
        for language in Language::ALL {
            let word = |fields: FieldSet, audience: Audience| -> Result<String> {
                let facts = self.facts(sender, incident, version, persons, fields, false)?;
                let wording = Wording::new(&facts, audience, language)?;
                Ok(format!("{}\n\n{}", wording.subject, wording.text().replace(CODE_MARK, CODE_BLANK)))
            };
            letters.push((format!("organisation.{}.txt", language.tag()), word(all, Audience::Organisation)?));
            for (at, fields) in sets.iter().enumerate() {
                let name = format!("person-{}.{}.txt", at + 1, language.tag());
                letters.push((name, word(FieldSet(*fields), Audience::Person)?));
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

/// A disclosure as a line of CSV. Nothing in it needs quoting.
fn row_of(disclosure: &Disclosure) -> String {
    let pseudonym = |of: Option<cofferdam_exposure::Pseudonym>| of.map_or_else(String::new, hex);
    let grant = if disclosure.grant == 0 { String::new() } else { disclosure.grant.to_string() };
    let sent = match disclosure.end {
        None => "no end",
        Some(end) if end.is_whole => "whole",
        Some(end) if end.rows > 0 => "in part",
        Some(_) => "nothing",
    };
    format!(
        "{},{},{},{},{grant},{},{},{},{},{},{},{sent}\r\n",
        disclosure.seq,
        time(disclosure.time_us),
        disclosure.project,
        Purpose::of_number(disclosure.purpose).map_or("", Purpose::name),
        pseudonym(disclosure.actor),
        pseudonym(disclosure.session),
        pseudonym(disclosure.token),
        pseudonym(disclosure.ip),
        field_words(disclosure.fields).join(" "),
        disclosure.count,
    )
}

fn time(us: u64) -> String {
    utc_text(i64::try_from(us).unwrap_or(i64::MAX))
}

/// Hands pieces of a download to whoever reads it, for as long as they may have it.
struct Hand<'a, F> {
    sender: &'a mpsc::Sender<io::Result<Bytes>>,
    is_let: F,
}

impl<F: Fn() -> bool> Write for Hand<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_had = (self.is_let)() && self.sender.blocking_send(Ok(Bytes::copy_from_slice(bytes))).is_ok();
        if is_had { Ok(bytes.len()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A folder and the folders in it as a tar file (ustar).
fn tar_of(folder: &Path, root: &Path, seconds: u64, out: impl Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(out);
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
            let file = std::fs::File::open(entry.path())?;
            let mut head = tar::Header::new_ustar();
            head.set_size(file.metadata()?.len());
            head.set_mode(0o600);
            head.set_mtime(seconds);
            archive.append_data(&mut head, root.join(path), file)?;
        }
    }
    archive.into_inner()?.flush()
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
