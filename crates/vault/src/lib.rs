//! The vault: everything that may hold plaintext identity, and the only place that does.
//!
//! On the way in: bytes → records → [`wire::ValidEvent`] (limits and types) → [`Vault::seal`] (firewall, identity,
//! subject number) → [`SealedEvent`]. What the event loses here is sealed under the subject's key, or gone.
//!
//! Invariants:
//! - Types that hold plaintext have no `Debug` or `Serialize`, and none is read outside the crate.
//! - A subject number, a sealed value and a merge are durable before the event that uses them is.
//! - What is sealed stays sealed: this build has no way to open a personal value. Lists show open properties and
//!   the names of sealed ones.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};

use cofferdam_model::{
    Action, Class, Merges, OrgId, ProjectId, Reason, SealedEvent, SubjectNo, SubjectSet, Value, limits, sabotage,
};
use rustc_hash::FxHashMap;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use zeroize::Zeroizing;

mod backup;
mod firewall;
mod identity;
mod keys;
mod people;
mod profile;
mod root;
mod seal;
mod shamir;
mod shreds;
pub mod wire;

pub use backup::{BackupHead, BackupReader, BackupWriter, KEYS_FILE, expire_backup_keys};
pub use people::{PeopleFound, PersonTest};
pub use profile::ProfileView;
pub use root::{Cover, CustodianShare, RootKey, Share, Wanted, Way};

use firewall::NameSays;
use identity::{IdentityMap, Kind, Pid, printed};
use keys::{Keys, Places, ProjectKeys};
use profile::{Profile, Profiles};
use wire::{Operation, ProfileUpdate, Sent, Target, ValidEvent};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the vault's database failed")]
    Database(#[from] sqlx::Error),
    #[error("could not use the root key file {}", path.display())]
    RootKeyFile { path: PathBuf, source: std::io::Error },
    #[error("the root key does not open this vault: is it the one that was made with it")]
    WrongRootKey,
    #[error("the vault is sealed: it needs {}", .0.cover.needs())]
    RootNeeded(Wanted),
    #[error("the root key of this vault is kept another way: it needs {needs}")]
    OtherCover { needs: String },
    #[error("how the root key is kept was written by another version, or damaged")]
    UnknownCover,
    #[error("this is not the passphrase")]
    WrongPassphrase,
    #[error("a passphrase has {} characters or more", limits::PASSPHRASE_CHARS_MIN)]
    WeakPassphrase,
    #[error("this is not a share: expected one line that begins with `cofferdam-share-1-`")]
    NotAShare,
    #[error("the share belongs to set {found}, and the key is now in the shares of set {wanted}")]
    ShareOfOtherSet { found: String, wanted: String },
    #[error("share {number} is not as it was given out")]
    WrongShare { number: u8 },
    #[error("{given} different shares are here, and {threshold} are needed")]
    TooFewShares { given: usize, threshold: u8 },
    #[error("{threshold} of {count} is no sharing: 2 or more are needed, of {} at most", limits::CUSTODIANS_MAX)]
    ImpossibleShares { threshold: u8, count: usize },
    #[error("{recipient:?} is not an age recipient: expected `age1…`")]
    NotARecipient { recipient: String },
    #[error("there is no age identity here: expected a line that begins with `AGE-SECRET-KEY-1`")]
    NotAnIdentity,
    #[error("this identity does not decrypt the share")]
    CannotDecryptShare,
    #[error("there are keys in this folder already")]
    KeysExist,
    #[error("there are no keys in this folder")]
    NoKeys,
    #[error("the keys have format {found}, and this version reads format {known}")]
    OtherKeysFormat { found: i64, known: i64 },
    #[error("a sealed value has format {found}, and this version reads format {known}")]
    UnknownFormat { found: u8, known: u8 },
    #[error("a sealed value cannot be opened")]
    CannotOpen,
    #[error("a sealed value belongs to another key")]
    OtherKey,
    #[error("organisation {0} is sealed")]
    OrganisationSealed(OrgId),
    #[error("there is no organisation {0}")]
    UnknownOrganisation(OrgId),
    #[error("could not use the list of destroyed keys {}", path.display())]
    Shreds { path: PathBuf, source: std::io::Error },
    #[error(
        "the list of destroyed keys {} has {found} records and the keys have followed {followed}: put the newest list \
         there, without it keys of deleted persons would come back",
        path.display()
    )]
    ShredsMissing { path: PathBuf, found: u64, followed: u64 },
    #[error("could not {what} {}", path.display())]
    Backup { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the backup is damaged: {}: {what}", path.display())]
    BackupDamaged { path: PathBuf, what: &'static str },
    #[error("the backup has format {found}, and this version reads format {known}")]
    OtherBackupFormat { found: u32, known: u32 },
    #[error("the backup's key {} is not there: it was destroyed after seven days, as backups of erased persons must be", path.display())]
    BackupExpired { path: PathBuf },
    #[error("record {place} of the list of destroyed keys {} is damaged", path.display())]
    ShredsDamaged { path: PathBuf, place: u64 },
    #[error("project {0} has no keys")]
    UnknownProject(ProjectId),
    #[error("a project cannot have more than four billion subjects")]
    TooManySubjects,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The folder of what has to be kept apart from backups: see [`backup`] and [`shreds`].
pub(crate) fn apart(folder: &Path) -> PathBuf {
    folder.join("apart")
}

/// Values in one SQL statement; SQLite allows 32,766.
pub(crate) const SQL_VALUES: usize = 2_000;

/// Places for `count` values. Without numbers: SQLite looks numbered ones up by their text, each among all.
pub(crate) fn marks(count: usize) -> String {
    vec!["?"; count].join(", ")
}

/// One of the vault's databases. Readers go on while somebody writes; writers wait for each other here rather than in
/// SQLite, which would give up after a while.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) pool: SqlitePool,
    writer: Arc<tokio::sync::Mutex<()>>,
}

/// A transaction, and the right to write.
pub(crate) struct Write<'a> {
    pub(crate) transaction: sqlx::Transaction<'static, sqlx::Sqlite>,
    _one: tokio::sync::MutexGuard<'a, ()>,
}

impl Write<'_> {
    pub(crate) async fn commit(self) -> Result<()> {
        Ok(self.transaction.commit().await?)
    }
}

impl Database {
    pub(crate) async fn write(&self) -> Result<Write<'_>> {
        let _one = self.writer.lock().await;
        Ok(Write { transaction: self.pool.begin_with("BEGIN IMMEDIATE").await?, _one })
    }
}

/// Opens one of the vault's databases: durable commits, deleted content overwritten.
pub(crate) async fn database(path: &Path) -> Result<Database> {
    let options = SqliteConnectOptions::from_str(&format!("sqlite://{}", path.display()))?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("secure_delete", "on");
    let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await?;
    Ok(Database { pool, writer: Arc::default() })
}

/// What happened to properties at the door, by name.
pub type Trail = Vec<(String, Class, Action)>;

/// Events that passed the door, and what happened to their properties on the way.
#[derive(Default)]
pub struct Sealed {
    pub events: Vec<SealedEvent>,
    /// Of the last events only, in their order: as many as were asked for.
    pub trails: Vec<Trail>,
    /// Values that were sealed or pseudonymised.
    pub values: usize,
    /// Secrets that were dropped.
    pub secrets: usize,
}

/// What the door does with a property name, as far as seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub name: String,
    pub class: Class,
    pub action: Action,
}

pub struct Vault {
    keys: Keys,
    identities: IdentityMap,
    profiles: Profiles,
    dictionary: Dictionary,
    /// Values sealed lately, by keyed hash, so that an e-mail sent with every event is written once.
    sealed_lately: Mutex<FxHashMap<(ProjectId, SubjectNo), FxHashMap<u64, u64>>>,
    hasher: RandomState,
}

/// Persons in the above.
const SEALED_LATELY_MAX: usize = 500_000;

impl Vault {
    /// Opens the vault in a folder, with the root key's file, which is made on the first run.
    ///
    /// # Errors
    /// [`Error::RootNeeded`] says what else it takes: then [`Vault::unseal`].
    pub async fn open(folder: &Path, root_file: &Path) -> Result<Vault> {
        Vault::with_root(folder, root_file, None).await
    }

    /// Opens the vault in a folder with a root key.
    pub async fn unseal(folder: &Path, root_file: &Path, root: RootKey) -> Result<Vault> {
        Vault::with_root(folder, root_file, Some(root)).await
    }

    /// Makes the first keys of a folder, with the root key kept in one of the ways. Answers the custodians' shares.
    pub async fn init(folder: &Path, root_file: &Path, way: Way) -> Result<Vec<CustodianShare>> {
        let made = way.make()?;
        keys::init(&Places::in_folder(folder, root_file), &made).await?;
        Ok(made.shares)
    }

    /// What it takes to have the root key of a folder; `None` where there are no keys yet.
    pub async fn wanted(folder: &Path) -> Result<Option<Wanted>> {
        keys::wanted(&folder.join("keys.db")).await
    }

    /// Changes the root key and the way in which it is kept. What the old one wraps is wrapped anew in one step; no
    /// ciphertext changes. Closes the vault. Answers the custodians' shares.
    pub async fn rekey(self, folder: &Path, root_file: &Path, way: Way) -> Result<Vec<CustodianShare>> {
        let made = way.make()?;
        self.keys.rekey(&Places::in_folder(folder, root_file), &made).await?;
        Ok(made.shares)
    }

    async fn with_root(folder: &Path, root_file: &Path, root: Option<RootKey>) -> Result<Vault> {
        let keys = Keys::open(&Places::in_folder(folder, root_file), root).await?;
        let pool = database(&folder.join("vault.db")).await?;
        Ok(Vault {
            keys,
            identities: IdentityMap::open(pool.clone()).await?,
            profiles: Profiles::open(pool.clone()).await?,
            dictionary: Dictionary::open(pool).await?,
            sealed_lately: Mutex::default(),
            hasher: RandomState::new(),
        })
    }

    /// Makes the keys of a new project. Answers the key of its log frames.
    pub async fn create_project(&self, org: OrgId, project: ProjectId) -> Result<[u8; 32]> {
        self.keys.create_project(org, project).await
    }

    /// The keys that the lake needs to read and write its log; also those of sealed organisations, whose frames hold
    /// pseudonymous events like the segments.
    pub fn log_keys(&self) -> Vec<(ProjectId, [u8; 32])> {
        self.keys.log_keys()
    }

    /// How the root key is kept.
    pub fn cover(&self) -> &Cover {
        self.keys.cover()
    }

    /// Every organisation with keys, and whether it is sealed.
    pub fn organisations(&self) -> Vec<(OrgId, bool)> {
        self.keys.organisations()
    }

    /// Whether an organisation is sealed: nothing of its persons can be opened, linked or added.
    pub fn is_sealed(&self, org: OrgId) -> bool {
        self.keys.is_sealed(org)
    }

    /// Seals one organisation while others go on: its keys and its persons' open properties leave the memory, and it
    /// stays sealed over restarts. Answers its projects. What remains: the root key, the frame keys of its logs, and
    /// keyed hashes of ids.
    pub async fn seal_organisation(&self, org: OrgId) -> Result<Vec<ProjectId>> {
        let projects = self.keys.seal_organisation(org).await?;
        for project in &projects {
            self.profiles.forget(*project);
        }
        let mut lately = self.sealed_lately.lock().expect("never left half changed");
        lately.retain(|(project, _), _| !projects.contains(project));
        Ok(projects)
    }

    /// Opens a sealed organisation again.
    pub async fn unseal_organisation(&self, org: OrgId) -> Result<()> {
        self.keys.unseal_organisation(org).await
    }

    /// Gives an organisation a new key and wraps its persons' keys anew; no ciphertext changes. Answers how many.
    pub async fn rotate_organisation(&self, org: OrgId) -> Result<u64> {
        self.keys.rotate_organisation(org).await
    }

    /// Who is one person with whom.
    pub fn merges(&self, project: ProjectId) -> Arc<Merges> {
        self.identities.merges(project)
    }

    /// Takes identity out of events. In order, all durable before this returns: numbers for ids, merges, sealed
    /// values, names for the data dictionary. Doing it again after a crash changes nothing. Of the last `trails`
    /// events it is told what happened to each property.
    pub async fn seal(&self, project: ProjectId, events: Vec<ValidEvent<'_>>, trails: usize) -> Result<Sealed> {
        let keys = self.keys.project(project)?;
        let mut ids: Vec<(Kind, &str)> = Vec::with_capacity(events.len());
        for event in &events {
            if !event.who.id.is_empty() {
                ids.push((Kind::Person, &event.who.id));
            }
            for id in event.who.links.iter().flat_map(|link| [&link.alias, &link.canonical]) {
                ids.push((Kind::Person, id));
            }
        }
        let numbers = self.identities.resolve(project, &keys, &ids).await?;
        let mut numbers = numbers.into_iter();
        let mut next = || numbers.next().ok_or(Error::CannotOpen);
        let mut subjects = Vec::with_capacity(events.len());
        let mut links = Vec::new();
        for event in &events {
            subjects.push(if event.who.id.is_empty() { SubjectNo::NOBODY } else { next()? });
            for link in &event.who.links {
                links.push((next()?, next()?, link.rule));
            }
        }
        self.identities.link(project, &links).await?;

        // Known of a person, not of one of their devices.
        let merges = self.identities.merges(project);
        let mut sealing = Sealing {
            vault: self,
            project,
            keys: &keys,
            sealed: Sealed { events: Vec::with_capacity(events.len()), ..Sealed::default() },
            personal: Vec::new(),
            join_keys: Vec::new(),
        };
        let mut personal: BTreeMap<SubjectNo, Vec<(String, serde_json::Value)>> = BTreeMap::new();
        let quiet = events.len().saturating_sub(trails);
        for (at, (event, subject)) in events.into_iter().zip(subjects).enumerate() {
            sealing.seal(event, subject, at >= quiet);
            if !sealing.personal.is_empty() {
                let own = std::mem::take(&mut sealing.personal);
                if subject != SubjectNo::NOBODY {
                    personal.entry(merges.canonical(subject)).or_default().extend(own);
                }
            }
        }
        let Sealing { sealed, join_keys, .. } = sealing;
        self.identities.keep_join_keys(project, &keys, join_keys).await?;
        self.keep_personal(project, personal).await?;
        self.dictionary.flush(project).await?;
        Ok(sealed)
    }

    /// Seals personal values that came with events into the persons' records. A value that would break the limits
    /// of a profile is not kept: it has left the event all the same.
    async fn keep_personal(
        &self,
        project: ProjectId,
        personal: BTreeMap<SubjectNo, Vec<(String, serde_json::Value)>>,
    ) -> Result<()> {
        if personal.is_empty() {
            return Ok(());
        }
        let is_fresh = |subject: SubjectNo, name: &str, value: &serde_json::Value| {
            let name_hash = self.hasher.hash_one(name);
            let text = Zeroizing::new(value.to_string());
            let value_hash = self.hasher.hash_one(text.as_str());
            let lately = self.sealed_lately.lock().expect("never left half changed");
            let known = lately.get(&(project, subject)).and_then(|names| names.get(&name_hash)) == Some(&value_hash);
            (!known).then_some((name_hash, value_hash))
        };
        let stale = personal
            .iter()
            .all(|(subject, values)| values.iter().all(|(name, value)| is_fresh(*subject, name, value).is_none()));
        if stale {
            return Ok(());
        }
        let writing = self.profiles.writing().await;
        let subjects: Vec<SubjectNo> = personal.keys().copied().collect();
        let mut profiles = self.profiles.read(&self.keys, project, &subjects).await?;
        let mut changed = HashMap::new();
        let mut noted = Vec::new();
        for (subject, values) in personal {
            let mut profile = profiles.remove(&subject).unwrap_or_default();
            let mut any = false;
            for (name, value) in values {
                if let Some((name_hash, value_hash)) = is_fresh(subject, &name, &value) {
                    any |= profile.put_personal(name, value);
                    noted.push(((project, subject), name_hash, value_hash));
                }
            }
            if any {
                changed.insert(subject, profile);
            }
        }
        let none = BTreeSet::new();
        self.profiles.write(&writing, &self.keys, project, &changed, &none, &none).await?;
        let mut lately = self.sealed_lately.lock().expect("never left half changed");
        if lately.len() + noted.len() > SEALED_LATELY_MAX {
            lately.clear();
        }
        for (who, name_hash, value_hash) in noted {
            let names = lately.entry(who).or_default();
            // Somebody with very many personal properties is written more often, that is all.
            if names.len() > 100 {
                names.clear();
            }
            names.insert(name_hash, value_hash);
        }
        Ok(())
    }

    /// Applies profile updates in order. The outer error is the vault's, and then nothing was applied; the inner
    /// ones are the records' own. What each update touched comes back for the live feed, and how many persons' keys
    /// were destroyed.
    pub async fn update_profiles(
        &self,
        project: ProjectId,
        updates: Vec<ProfileUpdate>,
    ) -> Result<(Vec<Result<(SubjectNo, Trail), Reason>>, u64)> {
        let keys = self.keys.project(project)?;
        let names: Vec<(Kind, String)> = updates
            .iter()
            .map(|update| match &update.target {
                Target::Person { id, .. } => (Kind::Person, id.clone()),
                Target::Group { key, id } => (Kind::Group, format!("{key}\0{id}")),
            })
            .collect();
        let ids: Vec<(Kind, &str)> = names.iter().map(|(kind, id)| (*kind, id.as_str())).collect();
        let numbers = self.identities.resolve(project, &keys, &ids).await?;
        let merges = self.identities.merges(project);
        let subjects: Vec<SubjectNo> = updates
            .iter()
            .zip(numbers)
            .map(|(update, number)| match &update.target {
                Target::Person { follow_aliases: true, .. } => merges.canonical(number),
                _ => number,
            })
            .collect();

        let writing = self.profiles.writing().await;
        let mut profiles = self.profiles.read(&self.keys, project, &subjects).await?;
        let mut changes = Changes::default();
        let mut results = Vec::with_capacity(updates.len());
        for (update, subject) in updates.into_iter().zip(&subjects) {
            // A deletion takes everything that was ever known about the person, under whichever id.
            let members = match &update.target {
                Target::Person { follow_aliases: true, .. } => {
                    merges.group(*subject).map_or(vec![*subject], |group| group.members.clone())
                }
                _ => vec![*subject],
            };
            let result = changes.apply(profiles.entry(*subject).or_default(), *subject, &members, update);
            results.push(result.map(|trail| (*subject, trail)));
        }
        profiles.retain(|subject, _| changes.changed.contains(subject));
        let Changes { removed, shredded, changed } = changes;
        let destroyed = self.profiles.write(&writing, &self.keys, project, &profiles, &removed, &shredded).await?;
        let mut lately = self.sealed_lately.lock().expect("never left half changed");
        for subject in changed.iter().chain(&shredded) {
            lately.remove(&(project, *subject));
        }
        Ok((results, destroyed))
    }

    /// What subjects are called: `per_…`. Subjects without an entry have none.
    pub async fn pseudonyms(&self, project: ProjectId, subjects: &[SubjectNo]) -> Result<HashMap<SubjectNo, String>> {
        self.identities.pseudonyms(project, subjects).await
    }

    /// The subject a pseudonym names.
    pub async fn subject_of(&self, project: ProjectId, pseudonym: &str) -> Result<Option<SubjectNo>> {
        self.identities.subject_of(project, pseudonym).await
    }

    /// Open properties and the names of sealed ones, of persons by their canonical subject. What was kept under an id
    /// before it was merged is part of the person.
    pub async fn profiles(&self, project: ProjectId, persons: &[SubjectNo]) -> Result<HashMap<SubjectNo, ProfileView>> {
        let merges = self.identities.merges(project);
        let members = |person: SubjectNo| merges.group(person).map_or(vec![person], |group| group.members.clone());
        let subjects: Vec<SubjectNo> = persons.iter().flat_map(|person| members(*person)).collect();
        let mut records = self.profiles.read(&self.keys, project, &subjects).await?;
        let mut views = HashMap::with_capacity(persons.len());
        for &person in persons {
            let mut profile = records.remove(&person);
            for member in members(person) {
                if let Some(record) = records.remove(&member) {
                    profile.get_or_insert_default().fold(record);
                }
            }
            if let Some(profile) = profile {
                views.insert(person, profile.view());
            }
        }
        Ok(views)
    }

    /// Persons by their open properties, as subject numbers: sets for conditions, values for breakdowns.
    pub async fn people(
        &self,
        project: ProjectId,
        tests: &[PersonTest<'_>],
        properties: &[&str],
    ) -> Result<PeopleFound> {
        let merges = self.identities.merges(project);
        self.profiles.people(&self.keys, project, &merges, tests, properties).await
    }

    /// The canonical subjects of ids, and how many of the ids are known. Unknown ones get no number.
    pub async fn known_persons(&self, project: ProjectId, ids: &[String]) -> Result<(SubjectSet, u64)> {
        let keys = self.keys.project(project)?;
        let pids: Vec<Pid> = ids.iter().map(|id| keys.pid(Kind::Person, id)).collect();
        let merges = self.identities.merges(project);
        let found = self.identities.known(project, &pids).await?;
        let known = pids.iter().filter(|pid| found.contains_key(*pid)).count() as u64;
        Ok((found.into_values().map(|subject| merges.canonical(subject)).collect(), known))
    }

    /// What the door did with each property name seen so far, by name.
    pub fn dictionary(&self, project: ProjectId) -> Vec<Known> {
        self.dictionary.list(project)
    }

    /// Seals a secret of the installation itself. `domain` and `id` say what it belongs to.
    pub fn seal_secret(&self, domain: &str, id: u32, plaintext: &[u8]) -> Vec<u8> {
        self.keys.seal_secret(domain, id, plaintext)
    }

    /// A keyed fingerprint: the same for the same domain and text, and of no use without the root key.
    pub fn fingerprint(&self, domain: &str, text: &[u8]) -> [u8; 32] {
        self.keys.fingerprint(domain, text)
    }

    pub fn open_secret(&self, domain: &str, id: u32, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        self.keys.open_secret(domain, id, sealed)
    }
}

/// A batch of events on its way through the door.
struct Sealing<'a> {
    vault: &'a Vault,
    project: ProjectId,
    keys: &'a ProjectKeys,
    sealed: Sealed,
    /// Personal values of the last event.
    personal: Vec<(String, serde_json::Value)>,
    /// Values behind pseudonyms that are not kept yet.
    join_keys: Vec<(Pid, String)>,
}

impl Sealing<'_> {
    fn seal(&mut self, event: ValidEvent<'_>, subject: SubjectNo, with_trail: bool) {
        let mut properties = Vec::with_capacity(event.properties.len());
        let mut trail = Vec::new();
        let mut overflow = serde_json::Map::new();
        let mut names = self.vault.dictionary.reading();
        for (name, value) in event.properties {
            if matches!(value, Sent::Null) {
                continue;
            }
            let entry = names.as_ref().and_then(|names| names.get(self.project, &name));
            let says = entry.map_or_else(|| firewall::name_says(&name), |entry| entry.says);
            let verdict = firewall::judge_sent(&name, says, &value);
            let (name, has_column) = match entry {
                Some(entry) if entry.covers(verdict.class, verdict.action) => (name, true),
                _ => {
                    // Noting takes the right to write.
                    drop(names.take());
                    let masked = Cow::Owned(firewall::mask_name(&name).into_owned());
                    let known = self.vault.dictionary.note(self.project, &masked, verdict.class, verdict.action);
                    names = self.vault.dictionary.reading();
                    (masked, known)
                }
            };
            if with_trail {
                trail.push((name.clone().into_owned(), verdict.class, verdict.action));
            }
            self.sealed.secrets += usize::from(verdict.class == Class::C5);
            let action = if sabotage::is_out(35) { Action::Kept } else { verdict.action };
            let kept = match action {
                Action::Kept => typed(value),
                Action::Reduced => verdict.reduced.and_then(typed_json),
                Action::Pseudonymised => {
                    self.sealed.values += 1;
                    Some(Value::String(self.pseudonym(value)))
                }
                Action::Sealed => {
                    self.sealed.values += 1;
                    self.personal.push((name.into_owned(), value.into_json()));
                    continue;
                }
                Action::Dropped => None,
            };
            match kept {
                Some(kept) if has_column => properties.push((name.into_owned(), kept)),
                // Beyond the cap on columns: kept together, readable, not queryable one by one.
                Some(kept) => {
                    overflow.insert(name.into_owned(), as_json(kept));
                }
                None => {}
            }
        }
        drop(names);
        if !overflow.is_empty() {
            properties.push(("$overflow".to_owned(), Value::Object(serde_json::Value::Object(overflow).to_string())));
        }
        let insert_id = event.insert_id.map_or(0, |id| self.keys.insert_number(&id));
        let name = cut_text(firewall::mask_name(&event.name).into_owned());
        self.sealed.events.push(SealedEvent { name, subject, time_us: event.time_us, insert_id, properties });
        if with_trail {
            self.sealed.trails.push(trail);
        }
    }

    fn pseudonym(&mut self, value: Sent<'_>) -> String {
        let text = match value {
            Sent::Text(text) => text,
            other => Cow::Owned(other.into_json().to_string()),
        };
        let key = self.vault.identities.join_key(self.project, self.keys, &text);
        if !key.is_kept {
            self.join_keys.push((key.pid, text.into_owned()));
        }
        printed("key_", &key.pid)
    }
}

/// What a batch of updates does to records.
#[derive(Default)]
struct Changes {
    changed: BTreeSet<SubjectNo>,
    /// Records that are gone when the batch is over.
    removed: BTreeSet<SubjectNo>,
    /// Subjects deleted at any time in the batch: a record made anew afterwards gets a new key.
    shredded: BTreeSet<SubjectNo>,
}

impl Changes {
    /// Applies one update, wholly or not at all.
    fn apply(
        &mut self,
        profile: &mut Profile,
        subject: SubjectNo,
        members: &[SubjectNo],
        update: ProfileUpdate,
    ) -> Result<Trail, Reason> {
        let mut trail = Vec::new();
        let mut edited = profile.clone();
        let (mut deleted, mut present) = (false, !self.removed.contains(&subject));
        for operation in update.operations {
            present = !matches!(operation, Operation::Delete);
            deleted |= !present;
            edited.apply(operation, &mut trail)?;
        }
        if let Some(seen_us) = update.seen_us.filter(|_| present) {
            let seen = jiff::Timestamp::from_microsecond(seen_us).map(|seen| seen.to_string()).unwrap_or_default();
            edited.put("$last_seen".to_owned(), Some(serde_json::Value::String(seen)), &mut Vec::new());
        }
        if let Target::Group { key, .. } = &update.target
            && present
        {
            edited.mark_group(key);
        }
        *profile = edited;
        self.changed.insert(subject);
        if deleted {
            self.removed.extend(members);
            self.shredded.extend(members);
        }
        if present {
            self.removed.remove(&subject);
        }
        Ok(trail)
    }
}

/// Cut at the limit, on a character's boundary.
pub(crate) fn cut_text(mut text: String) -> String {
    if text.len() > limits::STRING_CHARS_MAX
        && let Some((end, _)) = text.char_indices().nth(limits::STRING_CHARS_MAX)
    {
        text.truncate(end);
    }
    text
}

/// A value as sent, in the types of the lake.
fn typed(value: Sent<'_>) -> Option<Value> {
    Some(match value {
        Sent::Null => return None,
        Sent::Bool(value) => Value::Bool(value),
        Sent::Number(number) => Value::Number(number.as_f64().filter(|number| number.is_finite())?),
        Sent::Text(text) => Value::String(cut_text(text.into_owned())),
        Sent::Nested(value) => return typed_json(*value),
    })
}

/// A JSON value in the types of the lake.
fn typed_json(value: serde_json::Value) -> Option<Value> {
    use serde_json::Value as Json;
    Some(match value {
        Json::Null => return None,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(number) => Value::Number(number.as_f64().filter(|number| number.is_finite())?),
        Json::String(text) => Value::String(cut_text(text)),
        Json::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => Value::List(
            items
                .into_iter()
                .filter(|item| !item.is_null())
                .map(|item| match item {
                    Json::String(text) => cut_text(text),
                    other => other.to_string(),
                })
                .collect(),
        ),
        nested @ (Json::Array(_) | Json::Object(_)) => Value::Object(nested.to_string()),
    })
}

fn as_json(value: Value) -> serde_json::Value {
    match value {
        Value::String(text) => text.into(),
        Value::Number(number) => number.into(),
        Value::Bool(value) => value.into(),
        Value::Time(time) => time.into(),
        Value::List(items) => items.into(),
        Value::Object(text) => serde_json::from_str(&text).unwrap_or(serde_json::Value::Null),
    }
}

/// The data dictionary: which property names were seen, of which class, and what the door does with them.
struct Dictionary {
    database: Database,
    projects: RwLock<FxHashMap<ProjectId, Names>>,
}

#[derive(Default)]
struct Names {
    known: FxHashMap<String, NameKnown>,
    /// Names that go on with events: each is a column.
    columns: usize,
    unsaved: Vec<String>,
}

/// What is known of a name.
#[derive(Clone, Copy)]
struct NameKnown {
    class: Class,
    action: Action,
    says: NameSays,
    /// It is what a sender may use: nothing in it is masked.
    is_plain: bool,
}

impl NameKnown {
    fn new(name: &str, class: Class, action: Action) -> NameKnown {
        let is_plain = matches!(firewall::mask_name(name), Cow::Borrowed(_));
        NameKnown { class, action, says: firewall::name_says(name), is_plain }
    }

    /// Whether there is nothing new in this having happened to the name: it keeps the strictest that ever did.
    fn covers(&self, class: Class, action: Action) -> bool {
        self.class > class || (self.class == class && self.action == action)
    }
}

/// The right to look at names.
struct Reading<'a>(RwLockReadGuard<'a, FxHashMap<ProjectId, Names>>);

impl Reading<'_> {
    /// What is known of a name as it was sent.
    fn get(&self, project: ProjectId, name: &str) -> Option<NameKnown> {
        self.0.get(&project)?.known.get(name).filter(|known| known.is_plain).copied()
    }
}

impl Dictionary {
    async fn open(database: Database) -> Result<Dictionary> {
        sqlx::raw_sql(
            "CREATE TABLE IF NOT EXISTS property_names (
                project INTEGER NOT NULL,
                name TEXT NOT NULL,
                class INTEGER NOT NULL,
                action INTEGER NOT NULL,
                PRIMARY KEY (project, name)
            ) STRICT, WITHOUT ROWID;",
        )
        .execute(&database.pool)
        .await?;
        let mut projects: FxHashMap<ProjectId, Names> = FxHashMap::default();
        for row in
            sqlx::query("SELECT project, name, class, action FROM property_names").fetch_all(&database.pool).await?
        {
            let names = projects.entry(ProjectId(row.try_get::<i64, _>(0)? as u32)).or_default();
            let name: String = row.try_get(1)?;
            let class = CLASSES[row.try_get::<i64, _>(2)? as usize % CLASSES.len()];
            let action = ACTIONS[row.try_get::<i64, _>(3)? as usize % ACTIONS.len()];
            names.columns += usize::from(is_column(action));
            let known = NameKnown::new(&name, class, action);
            names.known.insert(name, known);
        }
        Ok(Dictionary { database, projects: RwLock::new(projects) })
    }

    fn reading(&self) -> Option<Reading<'_>> {
        Some(Reading(self.projects.read().expect("never left half changed")))
    }

    /// Notes what happened to a name. Answers whether it may have a column of its own.
    fn note(&self, project: ProjectId, name: &str, class: Class, action: Action) -> bool {
        {
            let projects = self.projects.read().expect("never left half changed");
            if projects
                .get(&project)
                .and_then(|names| names.known.get(name))
                .is_some_and(|known| known.covers(class, action))
            {
                return true;
            }
        }
        let mut projects = self.projects.write().expect("never left half changed");
        let names = projects.entry(project).or_default();
        match names.known.get_mut(name) {
            Some(known) => (known.class, known.action) = (class, action),
            None => {
                if names.columns >= limits::SEGMENT_COLUMNS_MAX || names.known.len() >= limits::SEGMENT_COLUMNS_MAX * 2
                {
                    return false;
                }
                names.columns += usize::from(is_column(action));
                names.known.insert(name.to_owned(), NameKnown::new(name, class, action));
            }
        }
        names.unsaved.push(name.to_owned());
        true
    }

    async fn flush(&self, project: ProjectId) -> Result<()> {
        let unsaved: Vec<(String, Class, Action)> = {
            let quiet = self
                .projects
                .read()
                .expect("never left half changed")
                .get(&project)
                .is_none_or(|names| names.unsaved.is_empty());
            if quiet {
                return Ok(());
            }
            let mut projects = self.projects.write().expect("never left half changed");
            let names = projects.entry(project).or_default();
            let unsaved = std::mem::take(&mut names.unsaved);
            unsaved
                .into_iter()
                .filter_map(|name| names.known.get(&name).map(|known| (name.clone(), known.class, known.action)))
                .collect()
        };
        let result = self.save(project, &unsaved).await;
        if result.is_err() {
            let mut projects = self.projects.write().expect("never left half changed");
            projects.entry(project).or_default().unsaved.extend(unsaved.into_iter().map(|(name, ..)| name));
        }
        result
    }

    async fn save(&self, project: ProjectId, names: &[(String, Class, Action)]) -> Result<()> {
        let mut write = self.database.write().await?;
        for (name, class, action) in names {
            sqlx::query(
                "INSERT INTO property_names (project, name, class, action) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (project, name) DO UPDATE SET class = excluded.class, action = excluded.action",
            )
            .bind(i64::from(project.0))
            .bind(name)
            .bind(CLASSES.iter().position(|other| other == class).unwrap_or(0) as i64)
            .bind(ACTIONS.iter().position(|other| other == action).unwrap_or(0) as i64)
            .execute(&mut *write.transaction)
            .await?;
        }
        write.commit().await
    }

    fn list(&self, project: ProjectId) -> Vec<Known> {
        let projects = self.projects.read().expect("never left half changed");
        let mut list: Vec<Known> = projects
            .get(&project)
            .map(|names| {
                names
                    .known
                    .iter()
                    .map(|(name, known)| Known { name: name.clone(), class: known.class, action: known.action })
                    .collect()
            })
            .unwrap_or_default();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }
}

const CLASSES: [Class; 6] = [Class::C0, Class::C1, Class::C2, Class::C3, Class::C4, Class::C5];
const ACTIONS: [Action; 5] = [Action::Kept, Action::Reduced, Action::Pseudonymised, Action::Sealed, Action::Dropped];

fn is_column(action: Action) -> bool {
    matches!(action, Action::Kept | Action::Reduced | Action::Pseudonymised)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use wire::{Door, IdentityMode, ProfileKind, Record};

    const PROJECT: ProjectId = ProjectId(1);

    async fn vault(folder: &Path) -> Vault {
        let vault = Vault::open(folder, &folder.join("root.key")).await.unwrap();
        if vault.log_keys().is_empty() {
            vault.create_project(OrgId(1), PROJECT).await.unwrap();
        }
        vault
    }

    fn object(value: serde_json::Value) -> serde_json::Map<String, serde_json::Value> {
        let serde_json::Value::Object(object) = value else { panic!("an object") };
        object
    }

    async fn seal(vault: &Vault, properties: serde_json::Value) -> SealedEvent {
        let body = json!({"event": "e", "properties": properties}).to_string();
        let Ok(sent) = wire::read_events(body.as_bytes()).unwrap().remove(0).read else { panic!("an event") };
        let valid = wire::validate(sent, Door::Track, IdentityMode::Simplified, 1_800_000_000_000_000);
        let Ok(Record::Event(event)) = valid else { panic!("a valid event") };
        vault.seal(PROJECT, vec![event], 0).await.unwrap().events.remove(0)
    }

    async fn update(vault: &Vault, updates: &[serde_json::Value]) -> Vec<Option<Reason>> {
        let updates = updates
            .iter()
            .map(|value| {
                let parsed =
                    wire::validate_update(object(value.clone()), ProfileKind::Person, IdentityMode::Simplified, 0);
                parsed.unwrap_or_else(|reason| panic!("{reason:?}")).expect("it changes something")
            })
            .collect();
        vault.update_profiles(PROJECT, updates).await.unwrap().0.into_iter().map(Result::err).collect()
    }

    async fn view(vault: &Vault, subject: SubjectNo) -> (Vec<String>, Vec<String>) {
        let person = vault.merges(PROJECT).canonical(subject);
        let view = vault.profiles(PROJECT, &[person]).await.unwrap().remove(&person);
        let Some(view) = view else { return Default::default() };
        let open = view.properties.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        (open, view.sealed.into_iter().map(|(name, _)| name).collect())
    }

    #[tokio::test]
    async fn what_a_device_told_is_part_of_the_person_and_goes_with_them() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path()).await;
        let before = seal(&vault, json!({"$device_id": "d", "email": "a@b.io"})).await.subject;
        let after = seal(&vault, json!({"$device_id": "d", "$user_id": "u", "phone": "+34 612 345 678"})).await.subject;
        assert_ne!(before, after);
        let (_, sealed) = view(&vault, before).await;
        assert_eq!(sealed, ["email", "phone"]);
        assert_eq!(vault.keys.existing_subjects(PROJECT, &[before, after]).await.unwrap().len(), 2);
        assert_eq!(update(&vault, &[json!({"$distinct_id": "u", "$delete": ""})]).await, [None]);
        assert_eq!(view(&vault, before).await, Default::default());
        assert!(
            vault.keys.existing_subjects(PROJECT, &[before, after]).await.unwrap().is_empty(),
            "both keys are gone"
        );
        // The same value sent again is sealed again.
        seal(&vault, json!({"$user_id": "u", "phone": "+34 612 345 678"})).await;
        assert_eq!(view(&vault, after).await.1, ["phone"]);
    }

    #[tokio::test]
    async fn a_profile_made_anew_in_the_same_request_has_a_new_key() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path()).await;
        let set = json!({"$distinct_id": "u", "$ignore_time": true, "$set": {"plan": "a"}});
        update(&vault, std::slice::from_ref(&set)).await;
        let wrapped = || async {
            let sql = "SELECT wrapped FROM subjects";
            let row = sqlx::query(sql).fetch_one(&vault.keys.database.pool).await.unwrap();
            row.try_get::<Vec<u8>, _>(0).unwrap()
        };
        let first = wrapped().await;
        update(&vault, &[json!({"$distinct_id": "u", "$delete": ""}), set]).await;
        assert_ne!(wrapped().await, first);
        let subject =
            vault.subject_of(PROJECT, &vault.pseudonyms(PROJECT, &[SubjectNo(0)]).await.unwrap()[&SubjectNo(0)]).await;
        assert_eq!(view(&vault, subject.unwrap().unwrap()).await.0, ["plan=\"a\""]);
    }

    #[tokio::test]
    async fn an_update_is_applied_wholly_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path()).await;
        let full: Vec<u32> = (0..255).collect();
        update(&vault, &[json!({"$distinct_id": "u", "$ignore_time": true, "$set": {"n": 1, "list": full}})]).await;
        let failing = json!({"$distinct_id": "u", "$ignore_time": true, "$add": {"n": 1}, "$append": {"list": 1}});
        assert_eq!(update(&vault, &[failing]).await, [Some(Reason::ListTooLong)]);
        let (open, _) = view(&vault, SubjectNo(0)).await;
        assert!(open.contains(&"n=1".to_owned()), "{open:?}");
    }

    #[tokio::test]
    async fn a_person_cannot_be_made_to_grow_without_bound() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path()).await;
        let large = format!("a@b.io {}", "x".repeat(limits::PERSONAL_VALUE_BYTES_MAX));
        seal(&vault, json!({"$user_id": "u", "note": large, "email": "a@b.io"})).await;
        assert_eq!(view(&vault, SubjectNo(0)).await.1, ["email"]);
        for round in 0..5 {
            let many: serde_json::Map<String, serde_json::Value> = (0..200)
                .map(|index| (format!("m{round}_{index}"), json!(format!("a@b.io {}", "y".repeat(2_000)))))
                .collect();
            let mut properties = json!({"$user_id": "u"});
            properties.as_object_mut().unwrap().extend(many);
            seal(&vault, properties).await;
        }
        let keys = vault.keys.existing_subjects(PROJECT, &[SubjectNo(0)]).await.unwrap();
        assert_eq!(keys.len(), 1);
        let sql = "SELECT length(open) + length(personal) FROM records";
        let bytes: i64 = sqlx::query(sql).fetch_one(&vault.dictionary.database.pool).await.unwrap().try_get(0).unwrap();
        assert!(bytes as usize <= limits::PROFILE_BYTES_MAX + 100, "{bytes}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn ids_that_are_new_to_many_requests_at_once_have_one_number_each() {
        let folder = tempfile::tempdir().unwrap();
        let first = Arc::new(vault(folder.path()).await);
        let seal_both = |vault: Arc<Vault>, at: usize| async move {
            let own = seal(&vault, json!({"$user_id": format!("u{at}"), "org_id": format!("o{at}")})).await;
            // Each of these is new to four requests.
            let shared = seal(&vault, json!({"$user_id": format!("s{}", at % 10), "org_id": format!("o{at}")})).await;
            assert_eq!(own.properties, shared.properties, "one pseudonym for one organisation");
            [(format!("u{at}"), own.subject), (format!("s{}", at % 10), shared.subject)]
        };
        let tasks: Vec<_> = (0..40).map(|at| tokio::spawn(seal_both(first.clone(), at))).collect();
        let mut numbers: BTreeMap<String, SubjectNo> = BTreeMap::new();
        for task in tasks {
            for (id, subject) in task.await.unwrap() {
                assert_eq!(*numbers.entry(id.clone()).or_insert(subject), subject, "{id}");
            }
        }
        let given: BTreeSet<SubjectNo> = numbers.values().copied().collect();
        assert_eq!(given, (0..50).map(SubjectNo).collect(), "dense, and no two ids share one");
        let kept = "SELECT count(*) FROM join_keys";
        let row = sqlx::query(kept).fetch_one(&first.dictionary.database.pool).await.unwrap();
        assert_eq!(row.try_get::<i64, _>(0).unwrap(), 40);
        drop(first);
        let again = Arc::new(vault(folder.path()).await);
        for at in 0..40 {
            for (id, subject) in seal_both(again.clone(), at).await {
                assert_eq!(numbers[&id], subject, "{id}");
            }
        }
    }

    #[tokio::test]
    async fn of_the_last_events_it_is_told_what_happened() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path()).await;
        let body: Vec<serde_json::Value> = (0..3)
            .map(|at| json!({"event": "e", "properties": {"n": at, "email": "a@b.io", "password": "x", "org_id": 7}}))
            .collect();
        let body = serde_json::Value::from(body).to_string();
        let events = wire::read_events(body.as_bytes()).unwrap().into_iter().map(|record| {
            let Ok(sent) = record.read else { panic!("an event") };
            let valid = wire::validate(sent, Door::Track, IdentityMode::Simplified, 0);
            let Ok(Record::Event(event)) = valid else { panic!("a valid event") };
            event
        });
        let sealed = vault.seal(PROJECT, events.collect(), 2).await.unwrap();
        let lengths: Vec<usize> = sealed.trails.iter().map(Vec::len).collect();
        assert_eq!((sealed.events.len(), lengths, sealed.values, sealed.secrets), (3, vec![4, 4], 6, 3));
        let names: Vec<&str> = sealed.events[2].properties.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["n", "org_id"]);
    }

    #[tokio::test]
    async fn merges_and_numbers_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let first = vault(folder.path()).await;
        let device = seal(&first, json!({"$device_id": "d"})).await.subject;
        let user = seal(&first, json!({"$device_id": "d", "$user_id": "u"})).await.subject;
        // Another user on the same device stays another person.
        let other = seal(&first, json!({"$device_id": "d", "$user_id": "v"})).await.subject;
        drop(first);
        let again = vault(folder.path()).await;
        let merges = again.merges(PROJECT);
        assert_eq!(merges.canonical(device), user);
        assert_eq!(merges.canonical(other), other);
        assert_eq!(seal(&again, json!({"$user_id": "v"})).await.subject, other);
        std::fs::write(folder.path().join("root.key"), "00".repeat(32)).unwrap();
        drop(again);
        assert!(matches!(Vault::open(folder.path(), &folder.path().join("root.key")).await, Err(Error::WrongRootKey)));
    }
}
