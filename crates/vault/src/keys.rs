//! Keys: who can open what, and how a person's key is destroyed.
//!
//! ```text
//! root (file, 0600; in memory only while running)
//!  └ organisation key, random, wrapped by root
//!     ├ project secrets, random, wrapped: pseudonyms (HMAC), log frames, sealed ids
//!     └ subject key, random, wrapped: seals one person's record
//! ```
//! All wrapped keys live in `keys.db`, a file of its own, so that its backups can be destroyed apart.
//! Every key is random: a derived key could not be destroyed alone. The associated data of every ciphertext names
//! what it belongs to, so that one moved elsewhere does not open.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use cofferdam_model::{OrgId, ProjectId, SubjectNo};
use siphasher::sip::SipHasher24;
use zeroize::{Zeroize, Zeroizing};

use crate::database::{Database, Place};
use crate::{Error, Result};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS organisations (
    org INTEGER PRIMARY KEY,
    wrapped BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS projects (
    project INTEGER PRIMARY KEY,
    org INTEGER NOT NULL REFERENCES organisations (org),
    wrapped BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS subjects (
    project INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    wrapped BLOB NOT NULL,
    PRIMARY KEY (project, subject)
) STRICT, WITHOUT ROWID;
";

/// A key for sealing; random nonce, tag appended, nonce in front.
pub(crate) struct SealKey(RandomizedNonceKey);

impl SealKey {
    pub(crate) fn new(bytes: &[u8; 32]) -> SealKey {
        SealKey(RandomizedNonceKey::new(&AES_256_GCM, bytes).expect("an AES-256 key has 32 bytes"))
    }

    pub(crate) fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut body = plaintext.to_vec();
        let nonce =
            self.0.seal_in_place_append_tag(Aad::from(aad), &mut body).expect("sealing in memory does not fail");
        let mut out = Vec::with_capacity(12 + body.len());
        out.extend_from_slice(nonce.as_ref());
        out.extend_from_slice(&body);
        out
    }

    pub(crate) fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let (nonce, body) = sealed.split_first_chunk::<12>().ok_or(Error::CannotOpen)?;
        let mut body = Zeroizing::new(body.to_vec());
        let len = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut body)
            .map_err(|_| Error::CannotOpen)?
            .len();
        body.truncate(len);
        Ok(body)
    }
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    bytes
}

/// Associated data: a domain word and numbers, each of fixed length.
pub(crate) fn aad(domain: &str, numbers: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(domain.len() + 1 + numbers.len() * 4);
    out.extend_from_slice(domain.as_bytes());
    out.push(0);
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out
}

/// The open secrets of a project.
pub(crate) struct ProjectKeys {
    pub(crate) org: OrgId,
    /// Pseudonyms of ids and join keys.
    pub(crate) pseudonyms: hmac::Key,
    /// Numbers that stand for insert ids: they only tell records apart, so a short keyed hash does.
    pub(crate) insert_ids: SipHasher24,
    /// Sealed distinct ids and join values.
    pub(crate) ids: SealKey,
    /// Wraps subject keys: the organisation's key.
    pub(crate) wrapping: Arc<SealKey>,
    log: Zeroizing<[u8; 32]>,
}

impl ProjectKeys {
    /// Encrypts the frames of the write-ahead log.
    pub(crate) fn log_key(&self) -> [u8; 32] {
        *self.log
    }
}

pub(crate) struct Keys {
    pub(crate) database: Database,
    root: SealKey,
    derivation: hmac::Key,
    projects: RwLock<HashMap<ProjectId, Arc<ProjectKeys>>>,
}

impl Keys {
    pub(crate) async fn open(place: &Place, root_file: &Path) -> Result<Keys> {
        let database = Database::open(place).await?;
        database.migrate("keys", &[SCHEMA]).await?;
        let existing = database.row("SELECT org FROM organisations LIMIT 1", &[]).await?.is_some();
        let root = read_or_create_root(root_file, existing)?;
        let derivation = hmac::Key::new(hmac::HMAC_SHA256, &*root);
        let keys = Keys { database, root: SealKey::new(&root), derivation, projects: RwLock::default() };
        keys.load_projects().await?;
        Ok(keys)
    }

    async fn load_projects(&self) -> Result<()> {
        let mut wrapping: HashMap<u32, Arc<SealKey>> = HashMap::new();
        for row in self.database.rows("SELECT org, wrapped FROM organisations", &[]).await? {
            let org = row.number(0)?;
            let key = self.open_org(org, row.bytes(1)?)?;
            wrapping.insert(org, Arc::new(key));
        }
        for row in self.database.rows("SELECT project, org, wrapped FROM projects", &[]).await? {
            let (project, org) = (row.number(0)?, row.number(1)?);
            let wrapping = wrapping.get(&org).ok_or(Error::CannotOpen)?.clone();
            self.keep(ProjectId(project), OrgId(org), wrapping, row.bytes(2)?)?;
        }
        Ok(())
    }

    fn open_org(&self, org: u32, wrapped: &[u8]) -> Result<SealKey> {
        let bytes = self.root.open(&aad("org", &[org]), wrapped).map_err(|_| Error::WrongRootKey)?;
        Ok(SealKey::new(bytes.as_slice().try_into().map_err(|_| Error::CannotOpen)?))
    }

    fn keep(&self, project: ProjectId, org: OrgId, wrapping: Arc<SealKey>, wrapped: &[u8]) -> Result<Arc<ProjectKeys>> {
        let bytes = wrapping.open(&aad("project", &[org.0, project.0]), wrapped)?;
        let [pseudonyms, log, ids] = three(&bytes)?;
        let pseudonyms = hmac::Key::new(hmac::HMAC_SHA256, &*pseudonyms);
        let insert_ids = hmac::sign(&pseudonyms, b"insert ids\0");
        let insert_ids = insert_ids.as_ref().first_chunk::<16>().expect("SHA-256 has 32 bytes");
        let keys = Arc::new(ProjectKeys {
            org,
            insert_ids: SipHasher24::new_with_key(insert_ids),
            pseudonyms,
            ids: SealKey::new(&ids),
            wrapping,
            log,
        });
        self.projects.write().expect("never left half changed").insert(project, keys.clone());
        Ok(keys)
    }

    /// Makes the keys of a new project, and of its organisation when that is new too.
    pub(crate) async fn create_project(&self, org: OrgId, project: ProjectId) -> Result<Arc<ProjectKeys>> {
        let mut write = self.database.write().await?;
        let found = write.row("SELECT wrapped FROM organisations WHERE org = $1", &[org.0.into()]).await?;
        let wrapping = match found {
            Some(row) => self.open_org(org.0, row.bytes(0)?)?,
            None => {
                let bytes = Zeroizing::new(random::<32>());
                let wrapped = self.root.seal(&aad("org", &[org.0]), &*bytes);
                let sql = "INSERT INTO organisations (org, wrapped) VALUES ($1, $2)";
                write.execute(sql, &[org.0.into(), (&wrapped).into()]).await?;
                SealKey::new(&bytes)
            }
        };
        let secrets = Zeroizing::new(random::<96>());
        let wrapped = wrapping.seal(&aad("project", &[org.0, project.0]), &*secrets);
        let sql = "INSERT INTO projects (project, org, wrapped) VALUES ($1, $2, $3)";
        write.execute(sql, &[project.into(), org.0.into(), (&wrapped).into()]).await?;
        write.commit().await?;
        self.keep(project, org, Arc::new(wrapping), &wrapped)
    }

    pub(crate) fn project(&self, project: ProjectId) -> Result<Arc<ProjectKeys>> {
        self.projects
            .read()
            .expect("never left half changed")
            .get(&project)
            .cloned()
            .ok_or(Error::UnknownProject(project))
    }

    pub(crate) fn projects(&self) -> Vec<(ProjectId, Arc<ProjectKeys>)> {
        self.projects.read().expect("never left half changed").iter().map(|(id, keys)| (*id, keys.clone())).collect()
    }

    /// Seals a secret of the installation itself, such as a member's TOTP seed.
    pub(crate) fn seal_secret(&self, domain: &str, id: u32, plaintext: &[u8]) -> Vec<u8> {
        self.root.seal(&aad(domain, &[id]), plaintext)
    }

    pub(crate) fn open_secret(&self, domain: &str, id: u32, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        self.root.open(&aad(domain, &[id]), sealed)
    }

    /// A number that only this installation can compute from a domain and a text.
    pub(crate) fn fingerprint(&self, domain: &str, text: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.derivation);
        context.update(domain.as_bytes());
        context.update(&[0]);
        context.update(text);
        *context.sign().as_ref().first_chunk().expect("SHA-256 has 32 bytes")
    }

    /// The keys of subjects, made where they are missing; durable when this returns.
    pub(crate) async fn subjects(
        &self,
        project: ProjectId,
        subjects: &[SubjectNo],
    ) -> Result<HashMap<SubjectNo, SealKey>> {
        let keys = self.project(project)?;
        let mut found = self.existing_subjects(project, subjects).await?;
        let missing: Vec<SubjectNo> = subjects.iter().copied().filter(|subject| !found.contains_key(subject)).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let mut write = self.database.write().await?;
        for subject in missing {
            if found.contains_key(&subject) {
                continue;
            }
            let mut bytes = random::<32>();
            let wrapped = keys.wrapping.seal(&aad("subject", &[keys.org.0, project.0, subject.0]), &bytes);
            let sql = "INSERT INTO subjects (project, subject, wrapped) VALUES ($1, $2, $3)";
            write.execute(sql, &[project.into(), subject.into(), (&wrapped).into()]).await?;
            found.insert(subject, SealKey::new(&bytes));
            bytes.zeroize();
        }
        write.commit().await?;
        Ok(found)
    }

    /// The keys of those subjects that have one.
    pub(crate) async fn existing_subjects(
        &self,
        project: ProjectId,
        subjects: &[SubjectNo],
    ) -> Result<HashMap<SubjectNo, SealKey>> {
        let keys = self.project(project)?;
        let mut found = HashMap::with_capacity(subjects.len());
        let sql = "SELECT subject, wrapped FROM subjects WHERE project = $1 AND subject IN";
        let list = subjects.iter().map(|subject| (*subject).into());
        for row in self.database.rows_in(sql, &[project.into()], list).await? {
            let subject = SubjectNo(row.number(0)?);
            let bytes = keys.wrapping.open(&aad("subject", &[keys.org.0, project.0, subject.0]), row.bytes(1)?)?;
            found.insert(subject, SealKey::new(bytes.as_slice().try_into().map_err(|_| Error::CannotOpen)?));
        }
        Ok(found)
    }

    /// Destroys subjects' keys: what they sealed can never be opened again.
    pub(crate) async fn shred(&self, project: ProjectId, subjects: &BTreeSet<SubjectNo>) -> Result<()> {
        if subjects.is_empty() {
            return Ok(());
        }
        let mut write = self.database.write().await?;
        for subject in subjects {
            let sql = "DELETE FROM subjects WHERE project = $1 AND subject = $2";
            write.execute(sql, &[project.into(), (*subject).into()]).await?;
        }
        write.commit().await?;
        self.database.scrub("subjects").await
    }
}

fn three(bytes: &[u8]) -> Result<[Zeroizing<[u8; 32]>; 3]> {
    let (chunks, rest) = bytes.as_chunks::<32>();
    match (chunks, rest.is_empty()) {
        ([a, b, c], true) => Ok([Zeroizing::new(*a), Zeroizing::new(*b), Zeroizing::new(*c)]),
        _ => Err(Error::CannotOpen),
    }
}

/// The root key's file: 64 hex digits, readable by its owner only. Made on the first run; never made anew when
/// keys wrapped by an older one exist, since that would look like a start and be a loss.
fn read_or_create_root(path: &Path, keys_exist: bool) -> Result<Zeroizing<[u8; 32]>> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let io = |source| Error::RootKeyFile { path: path.to_owned(), source };
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let text = Zeroizing::new(text);
            parse_hex(text.trim()).ok_or_else(|| io(std::io::Error::other("not 64 hex digits")))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !keys_exist => {
            let root = Zeroizing::new(random::<32>());
            let text = Zeroizing::new(root.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
            let mut file =
                std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
            if let Some(folder) = path.parent() {
                std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
            }
            tracing::warn!(path = %path.display(), "made a root key: keep a copy of this file apart from the data, without it nothing sealed can be opened");
            Ok(root)
        }
        Err(error) => Err(io(error)),
    }
}

fn parse_hex(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = Zeroizing::new([0; 32]);
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}
