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
//! - A subject's key is in the list of destroyed keys ([`shreds`](crate::shreds)) before it is destroyed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use aws_lc_rs::hmac;
use cofferdam_model::{OrgId, ProjectId, SubjectNo, sabotage};
use siphasher::sip::SipHasher24;
use sqlx::Row;
use zeroize::{Zeroize, Zeroizing};

pub(crate) use crate::seal::{SealKey, aad};

use crate::root::{self, Cover, Made, RootId, RootKey, Wanted};
use crate::seal::random;
use crate::shreds::{Shred, ShredLog};
use crate::{Database, Error, Result};

/// Of `keys.db`. Another one is refused.
const FORMAT: i64 = 2;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS installation (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    format INTEGER NOT NULL,
    root_id BLOB NOT NULL,
    cover TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    shreds_followed INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS organisations (
    org INTEGER PRIMARY KEY,
    wrapped BLOB NOT NULL,
    sealed INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS projects (
    project INTEGER PRIMARY KEY,
    org INTEGER NOT NULL REFERENCES organisations (org),
    wrapped BLOB NOT NULL,
    log BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS subjects (
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
    wrapping: Arc<SealKey>,
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
    shreds: Mutex<ShredLog>,
    /// Taken to write while the wrapping of subject keys changes, to read while one is unwrapped.
    wrapping: tokio::sync::RwLock<()>,
}

/// Where the keys of an installation lie.
pub(crate) struct Places {
    pub(crate) database: std::path::PathBuf,
    pub(crate) root_file: std::path::PathBuf,
    pub(crate) shreds: std::path::PathBuf,
}

impl Places {
    pub(crate) fn in_folder(folder: &Path, root_file: &Path) -> Places {
        Places {
            database: folder.join("keys.db"),
            root_file: root_file.to_owned(),
            shreds: crate::apart(folder).join("shreds.log"),
        }
    }
}

/// The installation's row.
struct Installation {
    wanted: Wanted,
    wrapped: Vec<u8>,
    shreds_followed: u64,
}

async fn read_installation(database: &Database) -> Result<Option<Installation>> {
    let sql = "SELECT format, root_id, cover, wrapped, shreds_followed FROM installation";
    let Some(row) = sqlx::query(sql).fetch_optional(&database.pool).await? else {
        let older = sqlx::query("SELECT 1 FROM organisations LIMIT 1").fetch_optional(&database.pool).await?;
        return if older.is_some() { Err(Error::OtherKeysFormat { found: 1, known: FORMAT }) } else { Ok(None) };
    };
    let found: i64 = row.try_get(0)?;
    if found != FORMAT {
        return Err(Error::OtherKeysFormat { found, known: FORMAT });
    }
    let id: &[u8] = row.try_get(1)?;
    let id = id.try_into().map_err(|_| Error::UnknownCover)?;
    let wanted = Wanted { id, cover: Cover::parse(row.try_get(2)?)? };
    Ok(Some(Installation {
        wanted,
        wrapped: row.try_get(3)?,
        shreds_followed: row.try_get::<i64, _>(4)?.cast_unsigned(),
    }))
}

async fn database(path: &Path) -> Result<Database> {
    let database = crate::database(path).await?;
    sqlx::raw_sql(SCHEMA).execute(&database.pool).await?;
    Ok(database)
}

/// What has to be known to have the root key, or `None` where there are no keys yet.
pub(crate) async fn wanted(path: &Path) -> Result<Option<Wanted>> {
    if !path.exists() {
        return Ok(None);
    }
    Ok(read_installation(&database(path).await?).await?.map(|row| row.wanted))
}

/// Makes the first keys of an installation.
pub(crate) async fn init(places: &Places, made: &Made) -> Result<()> {
    let database = database(&places.database).await?;
    if read_installation(&database).await?.is_some() {
        return Err(Error::KeysExist);
    }
    if made.cover == Cover::KeyFile {
        root::write_key_file(&places.root_file, &made.root)?;
        root::put_next_in_place(&places.root_file)?;
        tracing::warn!(path = %places.root_file.display(), "made a root key file: keep a copy of it apart from the data, without it nothing sealed can be opened; `cofferdam keys rotate root` moves to a passphrase or to shares");
    }
    let secrets = Zeroizing::new(random::<64>());
    let mut write = database.write().await?;
    sqlx::query(
        "INSERT INTO installation (one, format, root_id, cover, wrapped, shreds_followed) VALUES (1, $1, $2, $3, $4, 0)",
    )
    .bind(FORMAT)
    .bind(&made.root.id()[..])
    .bind(made.cover.text())
    .bind(made.root.seal_key().seal(&aad("installation", &[]), &*secrets))
    .execute(&mut *write.transaction)
    .await?;
    write.commit().await
}

impl Keys {
    /// Opens the keys with a root key, or with the key file when that is how it is kept; on a first run makes one.
    pub(crate) async fn open(places: &Places, root: Option<RootKey>) -> Result<Keys> {
        let database = database(&places.database).await?;
        if root.is_none() && read_installation(&database).await?.is_none() {
            init(places, &root::Way::KeyFile.make()?).await?;
        }
        let row = read_installation(&database).await?.ok_or(Error::NoKeys)?;
        let root = match root {
            Some(root) if root.id() == row.wanted.id => root,
            Some(_) => return Err(Error::WrongRootKey),
            None if row.wanted.cover == Cover::KeyFile && places.root_file.exists() => {
                row.wanted.with_key_file(&places.root_file)?
            }
            None => return Err(Error::RootNeeded(row.wanted)),
        };
        let (root, root_id) = (root.seal_key(), root.id());
        let secrets = root.open(&aad("installation", &[]), &row.wrapped).map_err(|_| Error::WrongRootKey)?;
        let [derivation, secrets] = split(&secrets)?;
        let derivation = hmac::Key::new(hmac::HMAC_SHA256, &*derivation);
        let list_key = hmac::sign(&derivation, b"shreds\0");
        let list_key = hmac::Key::new(hmac::HMAC_SHA256, list_key.as_ref());
        let shreds = ShredLog::open(&places.shreds, list_key, row.shreds_followed)?;
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
        for row in sqlx::query("SELECT org, wrapped, sealed FROM organisations").fetch_all(&self.database.pool).await? {
            let org = OrgId(row.try_get::<i64, _>(0)? as u32);
            let sealed = row.try_get::<i64, _>(2)? != 0;
            if !sealed {
                wrapping.insert(org, Arc::new(self.open_org(org, row.try_get(1)?)?.0));
            }
            self.organisations.write().expect("never left half changed").insert(org, sealed);
        }
        let sql = "SELECT project, org, wrapped, log FROM projects";
        for row in sqlx::query(sql).fetch_all(&self.database.pool).await? {
            let (project, org) = (row.try_get::<i64, _>(0)? as u32, row.try_get::<i64, _>(1)? as u32);
            let (project, org) = (ProjectId(project), OrgId(org));
            let log = self.secrets.open(&aad("log", &[org.0, project.0]), row.try_get(3)?)?;
            let log = Zeroizing::new(log.as_slice().try_into().map_err(|_| Error::CannotOpen)?);
            let open = match wrapping.get(&org) {
                Some(wrapping) => Some(open_project(project, org, wrapping.clone(), row.try_get(2)?)?),
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
        let found = sqlx::query("SELECT wrapped FROM organisations WHERE org = $1")
            .bind(i64::from(org.0))
            .fetch_optional(&mut *write.transaction)
            .await?;
        let wrapping = match found {
            Some(row) => self.open_org(org, row.try_get(0)?)?.0,
            None => {
                let bytes = Zeroizing::new(random::<32>());
                sqlx::query("INSERT INTO organisations (org, wrapped, sealed) VALUES ($1, $2, 0)")
                    .bind(i64::from(org.0))
                    .bind(self.root.seal(&aad("org", &[org.0]), &*bytes))
                    .execute(&mut *write.transaction)
                    .await?;
                SealKey::new(&bytes)
            }
        };
        let secrets = Zeroizing::new(random::<64>());
        let log = Zeroizing::new(random::<32>());
        let wrapped = wrapping.seal(&aad("project", &[org.0, project.0]), &*secrets);
        sqlx::query("INSERT INTO projects (project, org, wrapped, log) VALUES ($1, $2, $3, $4)")
            .bind(i64::from(project.0))
            .bind(i64::from(org.0))
            .bind(&wrapped)
            .bind(self.secrets.seal(&aad("log", &[org.0, project.0]), &*log))
            .execute(&mut *write.transaction)
            .await?;
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
        sqlx::query("UPDATE organisations SET sealed = $1 WHERE org = $2")
            .bind(i64::from(sealed))
            .bind(i64::from(org.0))
            .execute(&mut *write.transaction)
            .await?;
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
        let row = sqlx::query("SELECT wrapped FROM organisations WHERE org = $1")
            .bind(i64::from(org.0))
            .fetch_optional(&mut *write.transaction)
            .await?
            .ok_or(Error::UnknownOrganisation(org))?;
        let old = self.open_org(org, row.try_get(0)?)?.0;
        let bytes = Zeroizing::new(random::<32>());
        let new = SealKey::new(&bytes);
        sqlx::query("UPDATE organisations SET wrapped = $1 WHERE org = $2")
            .bind(self.root.seal(&aad("org", &[org.0]), &*bytes))
            .bind(i64::from(org.0))
            .execute(&mut *write.transaction)
            .await?;
        let mut count = 0;
        let projects = sqlx::query("SELECT project, wrapped FROM projects WHERE org = $1")
            .bind(i64::from(org.0))
            .fetch_all(&mut *write.transaction)
            .await?;
        for row in projects {
            let project = row.try_get::<i64, _>(0)?;
            let own = aad("project", &[org.0, project as u32]);
            let secrets = old.open(&own, row.try_get(1)?)?;
            sqlx::query("UPDATE projects SET wrapped = $1 WHERE project = $2")
                .bind(new.seal(&own, &secrets))
                .bind(project)
                .execute(&mut *write.transaction)
                .await?;
            let mut after = -1;
            loop {
                let rows = sqlx::query(
                    "SELECT subject, wrapped FROM subjects WHERE project = $1 AND subject > $2 ORDER BY subject LIMIT $3",
                )
                .bind(project)
                .bind(after)
                .bind(REWRAP_AT_ONCE)
                .fetch_all(&mut *write.transaction)
                .await?;
                if rows.is_empty() {
                    break;
                }
                for row in rows {
                    after = row.try_get::<i64, _>(0)?;
                    let own = aad("subject", &[org.0, project as u32, after as u32]);
                    let key = old.open(&own, row.try_get(1)?)?;
                    sqlx::query("UPDATE subjects SET wrapped = $1 WHERE project = $2 AND subject = $3")
                        .bind(new.seal(&own, &key))
                        .bind(project)
                        .bind(after)
                        .execute(&mut *write.transaction)
                        .await?;
                    count += 1;
                }
            }
        }
        write.commit().await?;
        self.forget_old_pages().await?;
        self.load().await?;
        Ok(count)
    }

    /// A new root key: everything that the old one wraps is wrapped anew. These keys are closed with it.
    pub(crate) async fn rekey(self, places: &Places, made: &Made) -> Result<()> {
        if made.cover == Cover::KeyFile {
            root::write_key_file(&places.root_file, &made.root)?;
        }
        let new = made.root.seal_key();
        let mut write = self.database.write().await?;
        let rows = sqlx::query("SELECT org, wrapped FROM organisations").fetch_all(&mut *write.transaction).await?;
        for row in rows {
            let org = OrgId(row.try_get::<i64, _>(0)? as u32);
            let (_, bytes) = self.open_org(org, row.try_get(1)?)?;
            sqlx::query("UPDATE organisations SET wrapped = $1 WHERE org = $2")
                .bind(new.seal(&aad("org", &[org.0]), &*bytes))
                .bind(i64::from(org.0))
                .execute(&mut *write.transaction)
                .await?;
        }
        let row = sqlx::query("SELECT wrapped FROM installation").fetch_one(&mut *write.transaction).await?;
        let secrets = self.root.open(&aad("installation", &[]), row.try_get(0)?)?;
        sqlx::query("UPDATE installation SET root_id = $1, cover = $2, wrapped = $3")
            .bind(&made.root.id()[..])
            .bind(made.cover.text())
            .bind(new.seal(&aad("installation", &[]), &secrets))
            .execute(&mut *write.transaction)
            .await?;
        write.commit().await?;
        self.forget_old_pages().await?;
        self.database.pool.close().await;
        if made.cover == Cover::KeyFile {
            return root::put_next_in_place(&places.root_file);
        }
        root::destroy(&places.root_file).map_err(|source| Error::RootKeyFile { path: places.root_file.clone(), source })
    }

    /// The log of the database still holds what was written over; a busy reader only delays this to the next time.
    async fn forget_old_pages(&self) -> Result<()> {
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&self.database.pool).await?;
        Ok(())
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
            sqlx::query("INSERT INTO subjects (project, subject, key_id, wrapped) VALUES ($1, $2, $3, $4)")
                .bind(i64::from(project.0))
                .bind(i64::from(subject.0))
                .bind(&key.id()[..])
                .bind(wrapped)
                .execute(&mut *write.transaction)
                .await?;
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
        for chunk in subjects.chunks(crate::SQL_VALUES) {
            let sql = format!(
                "SELECT subject, wrapped FROM subjects WHERE project = ? AND subject IN ({})",
                crate::marks(chunk.len())
            );
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(i64::from(project.0));
            for subject in chunk {
                query = query.bind(i64::from(subject.0));
            }
            for row in query.fetch_all(&self.database.pool).await? {
                let subject = SubjectNo(row.try_get::<i64, _>(0)? as u32);
                let bytes =
                    keys.wrapping.open(&aad("subject", &[keys.org.0, project.0, subject.0]), row.try_get(1)?)?;
                found.insert(subject, SealKey::new(bytes.as_slice().try_into().map_err(|_| Error::CannotOpen)?));
            }
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
            let row = sqlx::query("SELECT key_id FROM subjects WHERE project = $1 AND subject = $2")
                .bind(i64::from(project.0))
                .bind(i64::from(subject.0))
                .fetch_optional(&mut *write.transaction)
                .await?;
            if let Some(row) = row {
                let key: &[u8] = row.try_get(0)?;
                let key = key.try_into().map_err(|_| Error::CannotOpen)?;
                shreds.push(Shred { project, subject: *subject, key, time_us });
            }
        }
        if shreds.is_empty() {
            return Ok(0);
        }
        let followed = self.shreds.lock().expect("never left half changed").append(&shreds)?;
        destroy(&mut write, &shreds, followed).await?;
        write.commit().await?;
        self.forget_old_pages().await?;
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
        self.forget_old_pages().await
    }
}

async fn destroy(write: &mut crate::Write<'_>, shreds: &[Shred], followed: u64) -> Result<()> {
    for shred in shreds {
        sqlx::query("DELETE FROM subjects WHERE project = $1 AND subject = $2 AND key_id = $3")
            .bind(i64::from(shred.project.0))
            .bind(i64::from(shred.subject.0))
            .bind(&shred.key[..])
            .execute(&mut *write.transaction)
            .await?;
    }
    sqlx::query("UPDATE installation SET shreds_followed = $1")
        .bind(followed.cast_signed())
        .execute(&mut *write.transaction)
        .await?;
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
