//! Keys: who can open what, and how a person's key is destroyed.
//!
//! ```text
//! root (a key file, a passphrase or shares; in memory only while running)
//!  ├ installation secrets, random, wrapped by root: fingerprints, members, log frames, the ledger's signing key
//!  └ organisation key, random, wrapped by root
//!     ├ project secrets, random, wrapped: pseudonyms (HMAC), sealed ids
//!     └ subject key, random, wrapped: seals one person's record
//! ```
//! All wrapped keys live in `keys.db`, a file of its own, so that its backups can be destroyed apart.
//! Every key is random: a derived key could not be destroyed alone.
//!
//! Invariants:
//! - What is wrapped anew is wrapped in one transaction: a change of a key happens wholly or not at all.
//! - The key of a sealed organisation is in memory only while it wraps; its project and subject keys are not at all.
//!   Log frames stay readable: they hold what segments hold in clear, pseudonymous events, and losing them would
//!   lose what was acknowledged.
//! - A subject's key is in the list of destroyed keys ([`apart`](crate::apart)) before it is destroyed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use aws_lc_rs::hmac;
use cofferdam_model::{OrgId, ProjectId, SubjectNo, sabotage};
use siphasher::sip::SipHasher24;
use zeroize::{Zeroize, Zeroizing};

pub(crate) use crate::seal::{SealKey, aad};

use crate::apart::{ApartList, Destroyed};
use crate::blind::BlindIndex;
use crate::database::{Database, Row, Write};
use crate::root::{self, Cover, Made, RootId, RootKey, Wanted};
use crate::seal::random;
use crate::{Error, Result, Site};

const SCHEMA: &str = "
CREATE TABLE installation (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    root_id BLOB NOT NULL,
    cover BLOB NOT NULL,
    wrapped BLOB NOT NULL,
    shreds_followed INTEGER NOT NULL
) STRICT;
CREATE TABLE organisations (
    org INTEGER PRIMARY KEY,
    wrapped BLOB NOT NULL,
    sealed INTEGER NOT NULL
) STRICT;
CREATE TABLE projects (
    project INTEGER PRIMARY KEY,
    org INTEGER NOT NULL REFERENCES organisations (org),
    wrapped BLOB NOT NULL,
    log BLOB NOT NULL
) STRICT;
CREATE TABLE subjects (
    project INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    key_id BLOB NOT NULL,
    wrapped BLOB NOT NULL,
    PRIMARY KEY (project, subject)
) STRICT, WITHOUT ROWID;
";

/// Subject keys wrapped anew in one go.
const REWRAP_AT_ONCE: i64 = 5_000;

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
    /// The organisation's key for the blind index, once it was needed: it leaves the memory with the others.
    pub(crate) blind: OnceLock<hmac::Key>,
}

/// What is in memory of a project.
struct Slot {
    org: OrgId,
    /// Encrypts the frames of the write-ahead log.
    log: Zeroizing<[u8; 32]>,
    /// `None` while the organisation is sealed.
    open: Option<Arc<ProjectKeys>>,
}

pub(crate) struct Keys {
    pub(crate) database: Database,
    root: SealKey,
    root_id: RootId,
    cover: Cover,
    /// Seals what belongs to the installation itself.
    secrets: SealKey,
    derivation: hmac::Key,
    projects: RwLock<HashMap<ProjectId, Slot>>,
    /// Every organisation, and whether it is sealed.
    organisations: RwLock<BTreeMap<OrgId, bool>>,
    shreds: Mutex<ApartList>,
    /// Persons who were erased.
    pub(crate) erased: Mutex<ApartList>,
    /// Taken to write while the wrapping of subject keys changes, to read while one is unwrapped.
    wrapping: tokio::sync::RwLock<()>,
}

/// The installation's row.
struct Installation {
    wanted: Wanted,
    wrapped: Vec<u8>,
    shreds_followed: u64,
}

/// The lists that are kept apart.
const SHREDS: &str = "shreds.log";
const ERASED: &str = "erased.log";

const INSTALLATION: &str = "SELECT root_id, cover, wrapped, shreds_followed FROM installation";

fn read_installation(row: Option<Row>) -> Result<Option<Installation>> {
    let Some(row) = row else { return Ok(None) };
    let id = row.bytes(0)?.try_into().map_err(|_| Error::UnknownCover)?;
    let cover = std::str::from_utf8(row.bytes(1)?).map_err(|_| Error::UnknownCover)?;
    Ok(Some(Installation {
        wanted: Wanted { id, cover: Cover::parse(cover)? },
        wrapped: row.bytes(2)?.to_vec(),
        shreds_followed: row.int(3)?.cast_unsigned(),
    }))
}

async fn database(site: &Site) -> Result<Database> {
    let database = Database::open(&site.databases.keys).await?;
    database.migrate("keys", &[SCHEMA]).await?;
    Ok(database)
}

/// What has to be known to have the root key, or `None` where there are no keys yet. Takes no right to write.
pub(crate) async fn wanted(site: &Site) -> Result<Option<Wanted>> {
    let row = Database::peek(&site.databases.keys, "installation", INSTALLATION).await?;
    Ok(read_installation(row)?.map(|row| row.wanted))
}

/// Makes the first keys of an installation.
pub(crate) async fn init(site: &Site, made: &Made) -> Result<()> {
    let database = database(site).await?;
    init_in(&database, site, made).await?;
    database.close().await
}

async fn init_in(database: &Database, site: &Site, made: &Made) -> Result<()> {
    let mut write = database.write().await?;
    if write.row(INSTALLATION, &[]).await?.is_some() {
        return Err(Error::KeysExist);
    }
    let root_file = site.root_file();
    if made.cover == Cover::KeyFile {
        root::write_key_file(&root_file, &made.root)?;
        root::put_next_in_place(&root_file)?;
        tracing::warn!(path = %root_file.display(), "made a root key file: keep a copy of it apart from the data, without it nothing sealed can be opened; `cofferdam keys rotate root` moves to a passphrase or to shares");
    }
    let secrets = Zeroizing::new(random::<64>());
    let wrapped = made.root.seal_key().seal(&aad("installation", &[]), &*secrets);
    write
        .execute(
            "INSERT INTO installation (one, root_id, cover, wrapped, shreds_followed) VALUES (1, $1, $2, $3, 0)",
            &[(&made.root.id()).into(), made.cover.text().as_bytes().into(), (&wrapped).into()],
        )
        .await?;
    write.commit().await
}

impl Keys {
    /// Opens the keys with a root key, or with the key file when that is how it is kept; on a first run makes one.
    pub(crate) async fn open(site: &Site, root: Option<RootKey>) -> Result<Keys> {
        let database = database(site).await?;
        let read = async || read_installation(database.row(INSTALLATION, &[]).await?);
        let mut row = read().await?;
        if root.is_none() && row.is_none() {
            init_in(&database, site, &root::Way::KeyFile.make()?).await?;
            row = read().await?;
        }
        let row = row.ok_or(Error::NoKeys)?;
        let root_file = site.root_file();
        let root = match root {
            Some(root) if root.id() == row.wanted.id => root,
            Some(_) => return Err(Error::WrongRootKey),
            None if row.wanted.cover == Cover::KeyFile && root_file.exists() => row.wanted.with_key_file(&root_file)?,
            // The right to write is given up at once: whoever brings the key comes with a connection of their own.
            None => {
                database.close().await?;
                return Err(Error::RootNeeded(row.wanted));
            }
        };
        let (root, root_id) = (root.seal_key(), root.id());
        let secrets = root.open(&aad("installation", &[]), &row.wrapped).map_err(|_| Error::WrongRootKey)?;
        let [derivation, secrets] = split(&secrets)?;
        let derivation = hmac::Key::new(hmac::HMAC_SHA256, &*derivation);
        let list = |name: &str, domain: &[u8], followed| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&derivation, domain).as_ref());
            ApartList::open(&crate::apart_folder(&site.folder).join(name), key, followed)
        };
        let shreds = list(SHREDS, b"shreds\0", row.shreds_followed)?;
        let erased = list(ERASED, b"erased persons\0", 0)?;
        let keys = Keys {
            database,
            root,
            root_id,
            cover: row.wanted.cover,
            secrets: SealKey::new(&secrets),
            derivation,
            projects: RwLock::default(),
            organisations: RwLock::default(),
            shreds: Mutex::new(shreds),
            erased: Mutex::new(erased),
            wrapping: tokio::sync::RwLock::new(()),
        };
        keys.follow_shreds(row.shreds_followed).await?;
        keys.load().await?;
        Ok(keys)
    }

    pub(crate) fn cover(&self) -> &Cover {
        &self.cover
    }

    async fn load(&self) -> Result<()> {
        let mut wrapping: HashMap<OrgId, Arc<SealKey>> = HashMap::new();
        for row in self.database.rows("SELECT org, wrapped, sealed FROM organisations", &[]).await? {
            let org = OrgId(row.number(0)?);
            let sealed = row.int(2)? != 0;
            if !sealed {
                wrapping.insert(org, Arc::new(self.open_org(org, row.bytes(1)?)?.0));
            }
            self.organisations.write().expect("never left half changed").insert(org, sealed);
        }
        for row in self.database.rows("SELECT project, org, wrapped, log FROM projects", &[]).await? {
            let (project, org) = (ProjectId(row.number(0)?), OrgId(row.number(1)?));
            let log = self.secrets.open(&aad("log", &[org.0, project.0]), row.bytes(3)?)?;
            let log = Zeroizing::new(log.as_slice().try_into().map_err(|_| Error::CannotOpen)?);
            let open = match wrapping.get(&org) {
                Some(wrapping) => Some(open_project(project, org, wrapping.clone(), row.bytes(2)?)?),
                None => None,
            };
            self.projects.write().expect("never left half changed").insert(project, Slot { org, log, open });
        }
        Ok(())
    }

    /// An organisation's key, and its bytes for wrapping them anew.
    fn open_org(&self, org: OrgId, wrapped: &[u8]) -> Result<(SealKey, Zeroizing<[u8; 32]>)> {
        let bytes = self.root.open(&aad("org", &[org.0]), wrapped)?;
        let bytes = Zeroizing::new(bytes.as_slice().try_into().map_err(|_| Error::CannotOpen)?);
        Ok((SealKey::new(&bytes), bytes))
    }

    /// Makes the keys of a new project, and of its organisation when that is new too. Answers the key of its log.
    pub(crate) async fn create_project(&self, org: OrgId, project: ProjectId) -> Result<[u8; 32]> {
        if self.is_sealed(org) {
            return Err(Error::OrganisationSealed(org));
        }
        let mut write = self.database.write().await?;
        let found = write.row("SELECT wrapped FROM organisations WHERE org = $1", &[org.0.into()]).await?;
        let wrapping = match found {
            Some(row) => self.open_org(org, row.bytes(0)?)?.0,
            None => {
                let bytes = Zeroizing::new(random::<32>());
                let wrapped = self.root.seal(&aad("org", &[org.0]), &*bytes);
                let sql = "INSERT INTO organisations (org, wrapped, sealed) VALUES ($1, $2, 0)";
                write.execute(sql, &[org.0.into(), (&wrapped).into()]).await?;
                SealKey::new(&bytes)
            }
        };
        let secrets = Zeroizing::new(random::<64>());
        let log = Zeroizing::new(random::<32>());
        let wrapped = wrapping.seal(&aad("project", &[org.0, project.0]), &*secrets);
        let sealed_log = self.secrets.seal(&aad("log", &[org.0, project.0]), &*log);
        let sql = "INSERT INTO projects (project, org, wrapped, log) VALUES ($1, $2, $3, $4)";
        write.execute(sql, &[project.into(), org.0.into(), (&wrapped).into(), (&sealed_log).into()]).await?;
        write.commit().await?;
        let open = Some(open_project(project, org, Arc::new(wrapping), &wrapped)?);
        self.organisations.write().expect("never left half changed").entry(org).or_insert(false);
        let log_key = *log;
        self.projects.write().expect("never left half changed").insert(project, Slot { org, log, open });
        Ok(log_key)
    }

    pub(crate) fn project(&self, project: ProjectId) -> Result<Arc<ProjectKeys>> {
        let projects = self.projects.read().expect("never left half changed");
        let slot = projects.get(&project).ok_or(Error::UnknownProject(project))?;
        slot.open.clone().ok_or(Error::OrganisationSealed(slot.org))
    }

    pub(crate) fn log_keys(&self) -> Vec<(ProjectId, [u8; 32])> {
        let projects = self.projects.read().expect("never left half changed");
        projects.iter().map(|(project, slot)| (*project, *slot.log)).collect()
    }

    /// Whether an organisation's keys are out of reach.
    pub(crate) fn is_sealed(&self, org: OrgId) -> bool {
        self.organisations.read().expect("never left half changed").get(&org).copied().unwrap_or(false)
    }

    /// The keys of one of an organisation's projects, for what all of them share; `None` where it has none.
    pub(crate) fn of_organisation(&self, org: OrgId) -> Result<Option<Arc<ProjectKeys>>> {
        if self.is_sealed(org) {
            return Err(Error::OrganisationSealed(org));
        }
        let projects = self.projects.read().expect("never left half changed");
        Ok(projects.values().filter(|slot| slot.org == org).find_map(|slot| slot.open.clone()))
    }

    pub(crate) fn organisations(&self) -> Vec<(OrgId, bool)> {
        let organisations = self.organisations.read().expect("never left half changed");
        organisations.iter().map(|(org, sealed)| (*org, *sealed)).collect()
    }

    /// Drops an organisation's keys from memory, and has them stay shut over restarts. Memory first: what
    /// contains must not wait for a disk. Answers its projects.
    pub(crate) async fn seal_organisation(&self, org: OrgId) -> Result<Vec<ProjectId>> {
        let mut sealed = Vec::new();
        {
            let mut organisations = self.organisations.write().expect("never left half changed");
            let state = organisations.get_mut(&org).ok_or(Error::UnknownOrganisation(org))?;
            let mut projects = self.projects.write().expect("never left half changed");
            if !sabotage::is_out(43) {
                *state = true;
                for (project, slot) in projects.iter_mut().filter(|(_, slot)| slot.org == org) {
                    slot.open = None;
                    sealed.push(*project);
                }
            }
        }
        self.keep_sealed(org, true).await?;
        Ok(sealed)
    }

    pub(crate) async fn unseal_organisation(&self, org: OrgId) -> Result<()> {
        if !self.organisations.read().expect("never left half changed").contains_key(&org) {
            return Err(Error::UnknownOrganisation(org));
        }
        self.keep_sealed(org, false).await?;
        self.load().await
    }

    async fn keep_sealed(&self, org: OrgId, sealed: bool) -> Result<()> {
        let mut write = self.database.write().await?;
        let sql = "UPDATE organisations SET sealed = $1 WHERE org = $2";
        write.execute(sql, &[i64::from(sealed).into(), org.0.into()]).await?;
        write.commit().await
    }

    /// A new organisation key: its projects' and subjects' keys are wrapped anew, their ciphertexts stay. Answers how
    /// many were.
    pub(crate) async fn rotate_organisation(&self, org: OrgId) -> Result<u64> {
        if self.is_sealed(org) {
            return Err(Error::OrganisationSealed(org));
        }
        let _nobody_unwraps = self.wrapping.write().await;
        let mut write = self.database.write().await?;
        let row = write.row("SELECT wrapped FROM organisations WHERE org = $1", &[org.0.into()]).await?;
        let row = row.ok_or(Error::UnknownOrganisation(org))?;
        let old = self.open_org(org, row.bytes(0)?)?.0;
        let bytes = Zeroizing::new(random::<32>());
        let new = SealKey::new(&bytes);
        let wrapped = self.root.seal(&aad("org", &[org.0]), &*bytes);
        let sql = "UPDATE organisations SET wrapped = $1 WHERE org = $2";
        write.execute(sql, &[(&wrapped).into(), org.0.into()]).await?;
        BlindIndex::rewrap(&mut write, org, &old, &new).await?;
        let mut count = 0;
        for row in write.rows("SELECT project, wrapped FROM projects WHERE org = $1", &[org.0.into()]).await? {
            let project = ProjectId(row.number(0)?);
            let own = aad("project", &[org.0, project.0]);
            let wrapped = new.seal(&own, &old.open(&own, row.bytes(1)?)?);
            let sql = "UPDATE projects SET wrapped = $1 WHERE project = $2";
            write.execute(sql, &[(&wrapped).into(), project.into()]).await?;
            count += rewrap_subjects(&mut write, org, project, &old, &new).await?;
        }
        write.commit().await?;
        for table in ["organisations", "projects", "subjects", "blind_keys"] {
            self.database.scrub(table).await?;
        }
        self.load().await?;
        Ok(count)
    }

    /// A new root key: everything that the old one wraps is wrapped anew. These keys are closed with it.
    pub(crate) async fn rekey(self, site: &Site, made: &Made) -> Result<()> {
        let root_file = site.root_file();
        if made.cover == Cover::KeyFile {
            root::write_key_file(&root_file, &made.root)?;
        }
        let new = made.root.seal_key();
        let mut write = self.database.write().await?;
        for row in write.rows("SELECT org, wrapped FROM organisations", &[]).await? {
            let org = OrgId(row.number(0)?);
            let (_, bytes) = self.open_org(org, row.bytes(1)?)?;
            let wrapped = new.seal(&aad("org", &[org.0]), &*bytes);
            let sql = "UPDATE organisations SET wrapped = $1 WHERE org = $2";
            write.execute(sql, &[(&wrapped).into(), org.0.into()]).await?;
        }
        let row = write.row("SELECT wrapped FROM installation", &[]).await?.ok_or(Error::NoKeys)?;
        let secrets = self.root.open(&aad("installation", &[]), row.bytes(0)?)?;
        let wrapped = new.seal(&aad("installation", &[]), &secrets);
        let sql = "UPDATE installation SET root_id = $1, cover = $2, wrapped = $3";
        let (id, cover) = (made.root.id(), made.cover.text());
        write.execute(sql, &[(&id).into(), cover.as_bytes().into(), (&wrapped).into()]).await?;
        write.commit().await?;
        for table in ["organisations", "installation"] {
            self.database.scrub(table).await?;
        }
        self.database.close().await?;
        if made.cover == Cover::KeyFile {
            return root::put_next_in_place(&root_file);
        }
        root::destroy(&root_file).map_err(|source| Error::RootKeyFile { path: root_file, source })
    }

    /// Wraps what a backup needs with the root key.
    pub(crate) fn root(&self) -> &SealKey {
        &self.root
    }

    pub(crate) fn root_id(&self) -> RootId {
        self.root_id
    }

    /// Seals a secret of the installation itself, such as a member's TOTP seed.
    pub(crate) fn seal_secret(&self, domain: &str, id: u32, plaintext: &[u8]) -> Vec<u8> {
        self.secrets.seal(&aad(domain, &[id]), plaintext)
    }

    pub(crate) fn open_secret(&self, domain: &str, id: u32, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        self.secrets.open(&aad(domain, &[id]), sealed)
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
        let _as_wrapped = self.wrapping.read().await;
        let keys = self.project(project)?;
        let mut found = self.unwrap_subjects(&keys, project, subjects).await?;
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
            let key = SealKey::new(&bytes);
            bytes.zeroize();
            let sql = "INSERT INTO subjects (project, subject, key_id, wrapped) VALUES ($1, $2, $3, $4)";
            write.execute(sql, &[project.into(), subject.into(), (&key.id()).into(), (&wrapped).into()]).await?;
            found.insert(subject, key);
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
        let _as_wrapped = self.wrapping.read().await;
        let keys = self.project(project)?;
        self.unwrap_subjects(&keys, project, subjects).await
    }

    /// Called under `wrapping`.
    async fn unwrap_subjects(
        &self,
        keys: &ProjectKeys,
        project: ProjectId,
        subjects: &[SubjectNo],
    ) -> Result<HashMap<SubjectNo, SealKey>> {
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

    /// Destroys subjects' keys: what they sealed can never be opened again, here or from a backup that is put back.
    /// Answers how many there were.
    pub(crate) async fn shred(&self, project: ProjectId, subjects: &BTreeSet<SubjectNo>) -> Result<u64> {
        let time_us = jiff::Timestamp::now().as_microsecond();
        // One writer at a time: the list grows in the order in which it is followed.
        let mut write = self.database.write().await?;
        let mut shreds = Vec::new();
        for subject in subjects {
            let sql = "SELECT key_id FROM subjects WHERE project = $1 AND subject = $2";
            let row = write.row(sql, &[project.into(), (*subject).into()]).await?;
            if let Some(row) = row {
                let key = row.bytes(0)?.try_into().map_err(|_| Error::CannotOpen)?;
                shreds.push(Destroyed { project, subject: *subject, mark: key, time_us });
            }
        }
        if shreds.is_empty() {
            return Ok(0);
        }
        let followed = self.shreds.lock().expect("never left half changed").append(&shreds)?;
        destroy(&mut write, &shreds, followed).await?;
        write.commit().await?;
        self.database.scrub("subjects").await?;
        Ok(shreds.len() as u64)
    }

    /// Destroys what the list of destroyed keys names and these keys have not followed.
    async fn follow_shreds(&self, followed: u64) -> Result<()> {
        let (missed, len) = {
            let mut list = self.shreds.lock().expect("never left half changed");
            (list.since(followed)?, list.len())
        };
        if missed.is_empty() {
            return Ok(());
        }
        let mut write = self.database.write().await?;
        destroy(&mut write, &missed, len).await?;
        write.commit().await?;
        tracing::info!(keys = missed.len(), "destroyed keys that were destroyed after these were stored");
        self.database.scrub("subjects").await
    }
}

/// Answers how many subjects' keys were wrapped anew.
async fn rewrap_subjects(
    write: &mut Write,
    org: OrgId,
    project: ProjectId,
    old: &SealKey,
    new: &SealKey,
) -> Result<u64> {
    let (mut count, mut after) = (0, -1);
    loop {
        let sql = "SELECT subject, wrapped FROM subjects WHERE project = $1 AND subject > $2 ORDER BY subject LIMIT $3";
        let rows = write.rows(sql, &[project.into(), after.into(), REWRAP_AT_ONCE.into()]).await?;
        if rows.is_empty() {
            return Ok(count);
        }
        for row in rows {
            let subject = SubjectNo(row.number(0)?);
            after = i64::from(subject.0);
            let own = aad("subject", &[org.0, project.0, subject.0]);
            let wrapped = new.seal(&own, &old.open(&own, row.bytes(1)?)?);
            let sql = "UPDATE subjects SET wrapped = $1 WHERE project = $2 AND subject = $3";
            write.execute(sql, &[(&wrapped).into(), project.into(), subject.into()]).await?;
            count += 1;
        }
    }
}

async fn destroy(write: &mut Write, shreds: &[Destroyed], followed: u64) -> Result<()> {
    for shred in shreds {
        let sql = "DELETE FROM subjects WHERE project = $1 AND subject = $2 AND key_id = $3";
        write.execute(sql, &[shred.project.into(), shred.subject.into(), (&shred.mark).into()]).await?;
    }
    let sql = "UPDATE installation SET shreds_followed = $1";
    write.execute(sql, &[followed.cast_signed().into()]).await?;
    Ok(())
}

fn open_project(project: ProjectId, org: OrgId, wrapping: Arc<SealKey>, wrapped: &[u8]) -> Result<Arc<ProjectKeys>> {
    let bytes = wrapping.open(&aad("project", &[org.0, project.0]), wrapped)?;
    let [mut pseudonyms, ids] = split(&bytes)?;
    if sabotage::is_out(37) {
        *pseudonyms = [0; 32];
    }
    let pseudonyms = hmac::Key::new(hmac::HMAC_SHA256, &*pseudonyms);
    let insert_ids = hmac::sign(&pseudonyms, b"insert ids\0");
    let insert_ids = insert_ids.as_ref().first_chunk::<16>().expect("SHA-256 has 32 bytes");
    Ok(Arc::new(ProjectKeys {
        org,
        insert_ids: SipHasher24::new_with_key(insert_ids),
        pseudonyms,
        ids: SealKey::new(&ids),
        wrapping,
        blind: OnceLock::new(),
    }))
}

fn split(bytes: &[u8]) -> Result<[Zeroizing<[u8; 32]>; 2]> {
    match bytes.as_chunks::<32>() {
        ([a, b], []) => Ok([Zeroizing::new(*a), Zeroizing::new(*b)]),
        _ => Err(Error::CannotOpen),
    }
}

#[cfg(test)]
mod tests;
