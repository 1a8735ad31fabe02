//! The vault: everything that may hold plaintext identity, and the only place that does.
//!
//! On the way in: bytes → records → [`wire::ValidEvent`] (limits and types) → [`Vault::seal`] (firewall, identity,
//! subject number) → [`SealedEvent`]. What the event loses here is sealed under the subject's key, or gone.
//!
//! Invariants:
//! - Types that hold plaintext have no `Debug` or `Serialize`, and none is read outside the crate.
//! - A subject number, a sealed value and a merge are durable before the event that uses them is.
//! - What is sealed is opened by a ticket of the ledger alone ([`Vault::disclose`]), which is there only after the
//!   ledger says so. Lists show open properties and the names of sealed ones.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};

use cofferdam_ledger::RoaringBitmap;
use cofferdam_model::{
    Action, Class, Detector, FieldSet, Merges, OrgId, ProjectId, Reason, SealedEvent, SubjectNo, SubjectSet, Value,
    limits, sabotage,
};
use rustc_hash::FxHashMap;
use zeroize::Zeroizing;

mod apart;
mod backup;
mod blind;
mod database;
mod disclose;
mod erase;
mod firewall;
mod identity;
mod keys;
mod people;
mod place;
mod plan;
mod profile;
mod quarantine;
mod root;
mod seal;
mod shamir;
#[cfg(test)]
mod testing;
pub mod wire;

pub use backup::{BackupHead, BackupReader, BackupWriter, KEYS_FILE, expire_backup_keys};
pub use database::Databases;
pub use disclose::{Disclosed, DisclosedSubject, field_of};
pub use erase::{Erasure, Held};
pub use identity::merges::{Folded, Merge};
pub use people::{PeopleFound, PersonTest};
pub use place::Places;
pub use profile::ProfileView;
pub use quarantine::{Quarantine, QuarantinedName, Released};
pub use root::{Cover, CustodianShare, RootKey, Share, Wanted, Way};

use blind::{Address, BlindIndex};
use database::Database;
use firewall::{NameSays, Verdict};
use identity::{IdentityMap, Kind, Pid, printed};
use keys::{Keys, ProjectKeys};
use profile::{Profile, Profiles};
use wire::{Operation, ProfileUpdate, Sent, Target, ValidEvent};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the vault's database failed")]
    Database(#[from] sqlx::Error),
    #[error("the address of the database cannot be used: {0}")]
    DatabaseAddress(&'static str),
    #[error("another server uses the database: stop it first, one server has one database")]
    DatabaseInUse,
    #[error("a newer version of the program changed the tables of {component}: use that version")]
    NewerSchema { component: &'static str },
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
    #[error("could not use the list of what was destroyed {}", path.display())]
    Apart { path: PathBuf, source: std::io::Error },
    #[error(
        "the list of what was destroyed {} has {found} records and {followed} were followed: put the newest copy of the \
         folder there, without it keys of deleted persons would come back",
        path.display()
    )]
    ApartMissing { path: PathBuf, found: u64, followed: u64 },
    #[error(
        "the vault is on a PostgreSQL server, which makes its own backups\nhint: use pg_dump for the vault's database and \
         for that of the keys, and copy the data folder; docs/postgresql.md says in which order, and what it means for \
         deleted persons"
    )]
    CopyOfServer,
    #[error("could not {what} {}", path.display())]
    Backup { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the backup is damaged: {}: {what}", path.display())]
    BackupDamaged { path: PathBuf, what: &'static str },
    #[error("the backup has format {found}, and this version reads format {known}")]
    OtherBackupFormat { found: u32, known: u32 },
    #[error("the backup's key {} is not there: it was destroyed after seven days, as backups of erased persons must be", path.display())]
    BackupExpired { path: PathBuf },
    #[error("record {place} of the list of what was destroyed {} is damaged", path.display())]
    ApartDamaged { path: PathBuf, place: u64 },
    #[error("project {0} has no keys")]
    UnknownProject(ProjectId),
    #[error("the GeoIP database {} cannot be used: {what}", path.display())]
    GeoIp { path: PathBuf, what: String },
    #[error("the person has no such merge")]
    UnknownMerge,
    #[error("the merge cannot be undone any more: events of the one are stored as events of the other")]
    MergeFolded,
    #[error("the class of {name} cannot be lowered")]
    ClassLowered { name: String },
    #[error(transparent)]
    Plan(#[from] cofferdam_model::plan::PlanError),
    #[error("a project cannot have more than four billion subjects")]
    TooManySubjects,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where an installation's vault is.
#[derive(Clone)]
pub struct Site {
    /// Holds the root key's file, where there is one, and what is kept apart from backups.
    pub folder: PathBuf,
    pub databases: Databases,
}

impl Site {
    pub fn new(folder: &Path, databases: Databases) -> Site {
        Site { folder: folder.to_owned(), databases }
    }

    /// Everything in one folder, the databases as files.
    pub fn in_folder(folder: &Path) -> Site {
        Site::new(folder, Databases::in_folder(folder))
    }

    /// Where the root key lies when it is kept in a file.
    pub fn root_file(&self) -> PathBuf {
        self.folder.join("root.key")
    }
}

/// The folder of what has to be kept apart from backups: see [`backup`] and [`apart`].
pub(crate) fn apart_folder(folder: &Path) -> PathBuf {
    folder.join("apart")
}

/// What happened to one property at the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handled {
    pub name: String,
    pub class: Class,
    pub action: Action,
    /// What decided.
    pub by: Detector,
}

/// What happened to the properties of a record.
pub type Trail = Vec<Handled>;

/// What is known of a request beside its events.
#[derive(Clone, Copy, Default)]
pub struct Arrival {
    pub now_us: i64,
    /// Where it came from, if a place is to be made of that. It goes no further.
    pub address: Option<IpAddr>,
}

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
    /// Values that were quarantined, and those that found no room there and are gone.
    pub quarantined: usize,
    pub quarantine_lost: usize,
}

/// What the door does with a property name, as far as seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub name: String,
    pub class: Class,
    pub action: Action,
    /// What decided, when the name first got this class and action.
    pub by: Detector,
}

pub struct Vault {
    keys: Keys,
    identities: IdentityMap,
    profiles: Profiles,
    dictionary: Dictionary,
    plans: plan::Plans,
    quarantine: quarantine::Store,
    places: Places,
    blind: Arc<BlindIndex>,
    erasures: erase::Erasures,
    /// Values sealed lately, by keyed hash, so that an e-mail sent with every event is written once.
    sealed_lately: Mutex<FxHashMap<(ProjectId, SubjectNo), FxHashMap<u64, u64>>>,
    hasher: RandomState,
}

/// Persons in the above.
const SEALED_LATELY_MAX: usize = 500_000;

impl Vault {
    /// Opens the vault, with the root key's file, which is made on the first run.
    ///
    /// # Errors
    /// [`Error::RootNeeded`] says what else it takes: then [`Vault::unseal`].
    pub async fn open(site: &Site) -> Result<Vault> {
        Vault::with_root(site, None).await
    }

    /// Opens the vault with a root key.
    pub async fn unseal(site: &Site, root: RootKey) -> Result<Vault> {
        Vault::with_root(site, Some(root)).await
    }

    /// Makes the first keys, with the root key kept in one of the ways. Answers the custodians' shares.
    pub async fn init(site: &Site, way: Way) -> Result<Vec<CustodianShare>> {
        let made = way.make()?;
        keys::init(site, &made).await?;
        Ok(made.shares)
    }

    /// What it takes to have the root key; `None` where there are no keys yet.
    pub async fn wanted(site: &Site) -> Result<Option<Wanted>> {
        keys::wanted(site).await
    }

    /// Changes the root key and the way in which it is kept. What the old one wraps is wrapped anew in one step; no
    /// ciphertext changes. Closes the vault. Answers the custodians' shares.
    pub async fn rekey(self, site: &Site, way: Way) -> Result<Vec<CustodianShare>> {
        let made = way.make()?;
        self.keys.rekey(site, &made).await?;
        Ok(made.shares)
    }

    /// Opens the vault with the root key, or with its file where there is none.
    pub async fn with_root(site: &Site, root: Option<RootKey>) -> Result<Vault> {
        let keys = Keys::open(site, root).await?;
        let database = Database::open(&site.databases.vault).await?;
        let blind = Arc::new(BlindIndex::open(database.clone(), keys.database.clone()).await?);
        Ok(Vault {
            keys,
            identities: IdentityMap::open(database.clone()).await?,
            profiles: Profiles::open(database.clone(), blind.clone()).await?,
            plans: plan::Plans::open(database.clone()).await?,
            quarantine: quarantine::Store::open(database.clone()).await?,
            erasures: erase::Erasures::open(database.clone()).await?,
            places: Places::default(),
            dictionary: Dictionary::open(database).await?,
            blind,
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
    /// values, quarantined ones, names for the data dictionary. Doing it again after a crash changes nothing but the
    /// count of quarantined values. Of the last `trails`
    /// events it is told what happened to each property.
    pub async fn seal(
        &self,
        project: ProjectId,
        events: Vec<ValidEvent<'_>>,
        arrival: Arrival,
        trails: usize,
    ) -> Result<Sealed> {
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
        let numbers = self.identities.resolve(project, &keys, &self.blind, &ids).await?;
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
        // Nobody becomes one person with somebody who was erased meanwhile.
        links.retain(|(alias, canonical, _)| ![*alias, *canonical].iter().any(|one| self.is_gone(project, *one)));
        self.identities.link(project, &links, arrival.now_us).await?;

        // Known of a person, not of one of their devices.
        let merges = self.identities.merges(project);
        let mut sealing = Sealing {
            vault: self,
            project,
            keys: &keys,
            plan: self.plans.of(project),
            judge: firewall::Judge::of_events(events.len()),
            place: arrival.address.and_then(|address| self.places.find(address)),
            quarantined: Vec::new(),
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
        let Sealing { mut sealed, join_keys, quarantined, .. } = sealing;
        let quarantined: Vec<_> =
            quarantined.into_iter().filter(|value| !self.is_gone(project, value.subject)).collect();
        sealed.quarantined = quarantined.len();
        sealed.quarantine_lost = self.quarantine.keep(project, &keys, quarantined, arrival.now_us).await?;
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
        let personal: BTreeMap<SubjectNo, _> =
            personal.into_iter().filter(|(subject, _)| !self.is_gone(project, *subject)).collect();
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
        let (none, plan) = (BTreeSet::new(), self.plans.of(project));
        self.profiles.write(&writing, &self.keys, project, &plan, &changed, (&none, &none)).await?;
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
        let numbers = self.identities.resolve(project, &keys, &self.blind, &ids).await?;
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
        let plan = self.plans.of(project);
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
            let result = changes.apply(profiles.entry(*subject).or_default(), *subject, &members, &plan, update);
            results.push(result.map(|trail| (*subject, trail)));
        }
        profiles.retain(|subject, _| changes.changed.contains(subject) && !self.is_gone(project, *subject));
        self.quarantine.forget(project, &changes.shredded).await?;
        let Changes { removed, shredded, changed } = changes;
        let destroyed =
            self.profiles.write(&writing, &self.keys, project, &plan, &profiles, (&removed, &shredded)).await?;
        let mut lately = self.sealed_lately.lock().expect("never left half changed");
        for subject in changed.iter().chain(&shredded) {
            lately.remove(&(project, *subject));
        }
        Ok((results, destroyed))
    }

    /// Whether a subject was erased: nothing is written for it any more.
    fn is_gone(&self, project: ProjectId, subject: SubjectNo) -> bool {
        self.erasures.is_gone(project, subject)
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

    /// Subjects of a project by exactly which fields of theirs are stored beside their ids: what of them could leave. No
    /// value is opened for it, but of records whose fields are not known yet.
    pub async fn stored_fields(&self, project: ProjectId) -> Result<Vec<(FieldSet, RoaringBitmap)>> {
        let plan = self.plans.of(project);
        let stored = self.profiles.stored_fields(&self.keys, project, &plan).await?;
        Ok(stored.into_iter().map(|(fields, subjects)| (FieldSet(fields), subjects)).collect())
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

    /// Persons of an organisation who have this e-mail address, however it is spelled: sealed in their profile, or as
    /// an id of theirs. By project, at most [`limits::ADDRESS_SUBJECTS_MAX`] subjects; nobody when it is no address.
    pub async fn find_by_mail(&self, org: OrgId, mail: &str) -> Result<Vec<(ProjectId, SubjectNo)>> {
        self.find_by_address(org, Address::mail(mail)).await
    }

    /// As [`Self::find_by_mail`], by a telephone number with its country code.
    pub async fn find_by_phone(&self, org: OrgId, phone: &str) -> Result<Vec<(ProjectId, SubjectNo)>> {
        self.find_by_address(org, Address::phone(phone)).await
    }

    async fn find_by_address(&self, org: OrgId, address: Option<Address>) -> Result<Vec<(ProjectId, SubjectNo)>> {
        let (Some(address), Some(keys)) = (address, self.keys.of_organisation(org)?) else { return Ok(Vec::new()) };
        let found = self.blind.find(&keys, address).await?;
        let persons: BTreeSet<(ProjectId, SubjectNo)> = found
            .into_iter()
            .map(|(project, subject)| (project, self.identities.merges(project).canonical(subject)))
            .collect();
        Ok(persons.into_iter().collect())
    }

    /// What the door did with each property name seen so far, by name.
    pub fn dictionary(&self, project: ProjectId) -> Vec<Known> {
        self.dictionary.list(project)
    }

    /// What the detectors of today, and the plan, find in a value that was stored under a name: `None` when it may
    /// stay as it is.
    pub fn finds(&self, project: ProjectId, name: &str, value: &serde_json::Value) -> Option<(Class, Detector)> {
        let planned = self.plans.of(project).class(name).filter(|class| *class >= Class::C3);
        firewall::finds(name, value).or(planned.map(|class| (class, Detector::Plan)))
    }

    /// Where addresses are looked up.
    pub fn use_places(&mut self, places: Places) {
        self.places = places;
    }

    /// Seals a secret of the installation itself. `domain` and `id` say what it belongs to.
    pub fn seal_secret(&self, domain: &str, id: u32, plaintext: &[u8]) -> Vec<u8> {
        self.keys.seal_secret(domain, id, plaintext)
    }

    /// A keyed fingerprint: the same for the same domain and text, and of no use without the root key.
    pub fn fingerprint(&self, domain: &str, text: &[u8]) -> [u8; 32] {
        self.keys.fingerprint(domain, text)
    }

    /// Where an address is, coarsely and in words: `ES, Madrid`.
    pub fn place_of(&self, address: std::net::IpAddr) -> Option<String> {
        let place = self.places.find(address)?;
        Some(place.properties().map(|(_, text)| text).collect::<Vec<String>>().join(", "))
    }

    pub fn open_secret(&self, domain: &str, id: u32, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        self.keys.open_secret(domain, id, sealed)
    }
}

/// What a browser calls itself, as family, major version and system; none for what is no browser.
pub fn browser_family(user_agent: &str) -> Option<String> {
    firewall::browser_family(user_agent)
}

/// What the detectors of today find in a value under a name: `None` when it may stay as it is.
pub fn finds(name: &str, value: &serde_json::Value) -> Option<(Class, Detector)> {
    firewall::finds(name, value)
}

/// What [`Vault::seal`] asks the detectors about a batch of events, and nothing else of it: how many properties they do
/// not leave as they came. For whoever measures what that costs.
pub fn judge(events: &[ValidEvent<'_>]) -> usize {
    let mut judge = firewall::Judge::of_events(events.len());
    // The dictionary has it of names that were seen before.
    let mut says: FxHashMap<&str, NameSays> = FxHashMap::default();
    let mut touched = 0;
    for (name, value) in events.iter().flat_map(|event| &event.properties) {
        let says = *says.entry(name).or_insert_with(|| firewall::name_says(name));
        touched += usize::from(judge.judge(name, says, value).action != Action::Kept);
    }
    touched
}

/// A batch of events on its way through the door; they borrow from the request's body.
struct Sealing<'a, 'body> {
    vault: &'a Vault,
    project: ProjectId,
    keys: &'a ProjectKeys,
    plan: Arc<plan::Plan>,
    judge: firewall::Judge<'body>,
    /// Where the request came from.
    place: Option<place::Place>,
    quarantined: Vec<quarantine::Value>,
    sealed: Sealed,
    /// Personal values of the last event.
    personal: Vec<(String, serde_json::Value)>,
    /// Values behind pseudonyms that are not kept yet.
    join_keys: Vec<(Pid, String)>,
}

impl<'body> Sealing<'_, 'body> {
    fn seal(&mut self, event: ValidEvent<'body>, subject: SubjectNo, with_trail: bool) {
        let mut properties = Vec::with_capacity(event.properties.len());
        let mut trail = Vec::new();
        let mut overflow = serde_json::Map::new();
        let place = self.place_of(&event);
        let mut names = self.vault.dictionary.reading();
        for (name, value) in event.properties.into_iter().chain(place) {
            if matches!(value, Sent::Null) {
                continue;
            }
            let entry = names.as_ref().and_then(|names| names.get(self.project, &name));
            let says = entry.map_or_else(|| firewall::name_says(&name), |entry| entry.says);
            let verdict = self.plan.judge(&event.name, &name, &value, self.judge.judge(&name, says, &value));
            let (name, has_column) = match entry {
                Some(entry) if entry.covers(&verdict) => (name, true),
                _ => {
                    // Noting takes the right to write.
                    drop(names.take());
                    let masked = Cow::Owned(firewall::mask_name(&name).into_owned());
                    let known = self.vault.dictionary.note(self.project, &masked, &verdict);
                    names = self.vault.dictionary.reading();
                    (masked, known)
                }
            };
            if with_trail {
                let (name, Verdict { class, action, by, .. }) = (name.clone().into_owned(), &verdict);
                trail.push(Handled { name, class: *class, action: *action, by: *by });
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
                Action::Quarantined => {
                    let (name, value) = (name.into_owned(), value.into_json());
                    self.quarantined.push(quarantine::Value { name, subject, shape: verdict.by, value });
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

    /// What the address of an event says about where it came from, unless the sender said so. An address among the
    /// properties is of whoever did something; that of the request may be of a server.
    fn place_of(&self, event: &ValidEvent<'_>) -> Vec<(Cow<'static, str>, Sent<'static>)> {
        let own = event.properties.iter().find(|(name, _)| matches!(&**name, "ip" | "$ip"));
        let place = match own.and_then(|(_, value)| value.as_text()) {
            Some(address) => address.trim().parse().ok().and_then(|address| self.vault.places.find(address)),
            None => self.place.clone(),
        };
        let Some(place) = place else { return Vec::new() };
        let sent = |name: &str| event.properties.iter().any(|(other, _)| other == name);
        // Whoever says one of them knows the place: two sources must not be mixed.
        if ["mp_country_code", "$country_code", "$region", "$city"].into_iter().any(sent) {
            return Vec::new();
        }
        place.properties().map(|(name, text)| (Cow::Borrowed(name), Sent::Text(Cow::Owned(text)))).collect()
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
        plan: &plan::Plan,
        update: ProfileUpdate,
    ) -> Result<Trail, Reason> {
        let mut trail = Vec::new();
        let mut edited = profile.clone();
        let (mut deleted, mut present) = (false, !self.removed.contains(&subject));
        for operation in update.operations {
            present = !matches!(operation, Operation::Delete);
            deleted |= !present;
            edited.apply(operation, plan, &mut trail)?;
        }
        if let Some(seen_us) = update.seen_us.filter(|_| present) {
            let seen = jiff::Timestamp::from_microsecond(seen_us).map(|seen| seen.to_string()).unwrap_or_default();
            edited.put("$last_seen".to_owned(), Some(serde_json::Value::String(seen)), plan, &mut Vec::new());
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
    by: Detector,
    says: NameSays,
    /// It is what a sender may use: nothing in it is masked.
    is_plain: bool,
}

impl NameKnown {
    fn new(name: &str, class: Class, action: Action, by: Detector) -> NameKnown {
        let is_plain = matches!(firewall::mask_name(name), Cow::Borrowed(_));
        NameKnown { class, action, by, says: firewall::name_says(name), is_plain }
    }

    fn named(self, name: String) -> Known {
        Known { name, class: self.class, action: self.action, by: self.by }
    }

    /// Whether there is nothing new in this having happened to the name: it keeps the strictest that ever did.
    /// That a plan does not let it come with one event takes nothing from its going on with others.
    fn covers(&self, verdict: &Verdict) -> bool {
        let held_back = verdict.action == Action::Quarantined;
        self.class > verdict.class || held_back || (self.class == verdict.class && self.action == verdict.action)
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

const NAMES_AS_TEXT: &str = "
CREATE TABLE IF NOT EXISTS property_names (
    project INTEGER NOT NULL,
    name TEXT NOT NULL,
    class INTEGER NOT NULL,
    action INTEGER NOT NULL,
    PRIMARY KEY (project, name)
) STRICT, WITHOUT ROWID;
";

/// A name may hold a NUL, which PostgreSQL's texts may not.
const NAMES_AS_BYTES: &str = "
ALTER TABLE property_names RENAME TO property_names_as_text;
CREATE TABLE property_names (
    project INTEGER NOT NULL,
    name BLOB NOT NULL,
    class INTEGER NOT NULL,
    action INTEGER NOT NULL,
    PRIMARY KEY (project, name)
) STRICT, WITHOUT ROWID;
INSERT INTO property_names (project, name, class, action)
    SELECT project, CAST(name AS BLOB), class, action FROM property_names_as_text;
DROP TABLE property_names_as_text;
";

const NAMES_WITH_DETECTOR: &str = "ALTER TABLE property_names ADD COLUMN detector INTEGER NOT NULL DEFAULT 0;";

impl Dictionary {
    async fn open(database: Database) -> Result<Dictionary> {
        database.migrate("dictionary", &[NAMES_AS_TEXT, NAMES_AS_BYTES, NAMES_WITH_DETECTOR]).await?;
        let mut projects: FxHashMap<ProjectId, Names> = FxHashMap::default();
        for row in database.rows("SELECT project, name, class, action, detector FROM property_names", &[]).await? {
            let names = projects.entry(ProjectId(row.number(0)?)).or_default();
            let name = String::from_utf8(row.bytes(1)?.to_vec()).map_err(|_| Error::CannotOpen)?;
            let class = CLASSES[row.int(2)? as usize % CLASSES.len()];
            let action = ACTIONS[row.int(3)? as usize % ACTIONS.len()];
            names.columns += usize::from(is_column(action));
            let known = NameKnown::new(&name, class, action, Detector::of_number(row.int(4)?));
            names.known.insert(name, known);
        }
        Ok(Dictionary { database, projects: RwLock::new(projects) })
    }

    fn reading(&self) -> Option<Reading<'_>> {
        Some(Reading(self.projects.read().expect("never left half changed")))
    }

    /// Notes what happened to a name. Answers whether it may have a column of its own.
    fn note(&self, project: ProjectId, name: &str, verdict: &Verdict) -> bool {
        let Verdict { class, action, by, .. } = *verdict;
        {
            let projects = self.projects.read().expect("never left half changed");
            if projects.get(&project).and_then(|names| names.known.get(name)).is_some_and(|known| known.covers(verdict))
            {
                return true;
            }
        }
        let mut projects = self.projects.write().expect("never left half changed");
        let names = projects.entry(project).or_default();
        match names.known.get_mut(name) {
            Some(known) => {
                names.columns += usize::from(is_column(action) && !is_column(known.action));
                (known.class, known.action, known.by) = (class, action, by);
            }
            None => {
                let full = names.columns >= limits::SEGMENT_COLUMNS_MAX
                    || names.known.len() >= limits::SEGMENT_COLUMNS_MAX * 2;
                if full && !cofferdam_model::sabotage::is_out(70) {
                    return false;
                }
                names.columns += usize::from(is_column(action));
                names.known.insert(name.to_owned(), NameKnown::new(name, class, action, by));
            }
        }
        names.unsaved.push(name.to_owned());
        true
    }

    async fn flush(&self, project: ProjectId) -> Result<()> {
        let unsaved: Vec<Known> = {
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
                .filter_map(|name| names.known.get(&name).copied().map(|known| known.named(name)))
                .collect()
        };
        let result = self.save(project, &unsaved).await;
        if result.is_err() {
            let mut projects = self.projects.write().expect("never left half changed");
            projects.entry(project).or_default().unsaved.extend(unsaved.into_iter().map(|known| known.name));
        }
        result
    }

    async fn save(&self, project: ProjectId, names: &[Known]) -> Result<()> {
        let mut write = self.database.write().await?;
        for Known { name, class, action, by } in names {
            let class = CLASSES.iter().position(|other| other == class).unwrap_or(0) as i64;
            let action = ACTIONS.iter().position(|other| other == action).unwrap_or(0) as i64;
            write
                .execute(
                    "INSERT INTO property_names (project, name, class, action, detector) VALUES ($1, $2, $3, $4, $5)
                     ON CONFLICT (project, name)
                     DO UPDATE SET class = excluded.class, action = excluded.action, detector = excluded.detector",
                    &[
                        project.into(),
                        name.as_bytes().into(),
                        class.into(),
                        action.into(),
                        i64::from(by.number()).into(),
                    ],
                )
                .await?;
        }
        write.commit().await
    }

    /// Forgets what was noted of a name: it is noted anew when it comes again.
    async fn forget(&self, project: ProjectId, name: &str) -> Result<()> {
        let mut write = self.database.write().await?;
        let sql = "DELETE FROM property_names WHERE project = $1 AND name = $2";
        write.execute(sql, &[project.into(), name.as_bytes().into()]).await?;
        write.commit().await?;
        let mut projects = self.projects.write().expect("never left half changed");
        let names = projects.entry(project).or_default();
        if let Some(known) = names.known.remove(name) {
            names.columns -= usize::from(is_column(known.action));
        }
        Ok(())
    }

    fn class_of(&self, project: ProjectId, name: &str) -> Option<Class> {
        let projects = self.projects.read().expect("never left half changed");
        projects.get(&project).and_then(|names| names.known.get(name)).map(|known| known.class)
    }

    fn list(&self, project: ProjectId) -> Vec<Known> {
        let projects = self.projects.read().expect("never left half changed");
        let mut list: Vec<Known> = projects
            .get(&project)
            .map(|names| names.known.iter().map(|(name, known)| known.named(name.clone())).collect())
            .unwrap_or_default();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }
}

const CLASSES: [Class; 6] = [Class::C0, Class::C1, Class::C2, Class::C3, Class::C4, Class::C5];
const ACTIONS: [Action; 6] =
    [Action::Kept, Action::Reduced, Action::Pseudonymised, Action::Sealed, Action::Dropped, Action::Quarantined];

fn is_column(action: Action) -> bool {
    matches!(action, Action::Kept | Action::Reduced | Action::Pseudonymised)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, on_each};
    use serde_json::json;
    use wire::{Door, IdentityMode, ProfileKind, Record};

    on_each!(
        what_a_device_told_is_part_of_the_person_and_goes_with_them,
        a_ticket_opens_the_fields_and_subjects_it_names_and_no_others,
        a_profile_made_anew_in_the_same_request_has_a_new_key,
        an_update_is_applied_wholly_or_not_at_all,
        a_person_cannot_be_made_to_grow_without_bound,
        ids_that_are_new_to_many_requests_at_once_have_one_number_each,
        of_the_last_events_it_is_told_what_happened,
        merges_and_numbers_survive_a_restart,
        who_has_an_address_is_found_however_it_is_spelled,
        an_address_of_two_organisations_has_nothing_in_common,
        which_fields_are_stored_is_known_of_everybody_and_follows_what_changes,
    );

    const PROJECT: ProjectId = ProjectId(1);

    async fn vault(home: &Home) -> Vault {
        let vault = Vault::open(&home.site).await.unwrap();
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
        vault.seal(PROJECT, vec![event], Arrival::default(), 0).await.unwrap().events.remove(0)
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

    async fn what_a_device_told_is_part_of_the_person_and_goes_with_them(home: Home) {
        let vault = vault(&home).await;
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

    async fn a_ticket_opens_the_fields_and_subjects_it_names_and_no_others(home: Home) {
        use cofferdam_ledger::{Entry, Intent, Kind, Log, Options, SeenFile};
        use cofferdam_model::{FieldSet, PersonalField};
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(&home).await;
        let seen = Arc::new(SeenFile(folder.path().join("seen")));
        let log = Log::open(Options::new(&folder.path().join("ledger"), &[1; 32], Arc::new(|| 1), seen)).unwrap();
        let ada = json!({"distinct_id": "ada", "email": "ada@b.io", "phone": "+34 612 345 678"});
        let ada = seal(&vault, ada).await.subject;
        let eve = seal(&vault, json!({"distinct_id": "eve", "email": "eve@b.io"})).await.subject;
        let open = async |org, fields: &[PersonalField], subjects: &[SubjectNo]| {
            let intent = Intent {
                org: OrgId(org),
                project: PROJECT,
                fields: fields.iter().copied().collect::<FieldSet>(),
                subjects: subjects.iter().map(|subject| subject.0).collect(),
                context: Entry::of(Kind::Intent),
            };
            let disclosed = vault.disclose(log.authorise_async(intent).await.unwrap()).await?;
            let subjects = disclosed.subjects().iter();
            let values = subjects.flat_map(|found| found.values().map(|(_, name, json)| format!("{name}={json}")));
            Ok::<_, Error>(values.collect::<Vec<String>>())
        };
        let email = PersonalField::Email;
        assert_eq!(open(1, &[email], &[ada]).await.unwrap(), ["email=\"ada@b.io\""]);
        assert_eq!(open(1, &[email], &[ada, eve]).await.unwrap(), ["email=\"ada@b.io\"", "email=\"eve@b.io\""]);
        assert_eq!(open(1, &[PersonalField::Name], &[ada]).await.unwrap(), [""; 0]);
        let with_id = open(1, &[PersonalField::DistinctId, PersonalField::Phone], &[ada]).await.unwrap();
        assert_eq!(with_id, ["distinct_id=\"ada\"", "phone=\"+34 612 345 678\""]);
        assert!(open(2, &[email], &[ada]).await.is_err(), "another organisation's ticket");
        assert_eq!(log.size(), 5, "each was written down first");
    }

    /// What is stored of each, as the first letters of the fields, sorted: who comes first in a request has any number.
    async fn stored(vault: &Vault) -> Vec<String> {
        let mut found = Vec::new();
        for (fields, subjects) in vault.stored_fields(PROJECT).await.unwrap() {
            let words: String = fields.iter().map(|field| &field.name()[..1]).collect();
            found.extend(subjects.iter().map(|_| words.clone()));
        }
        found.sort();
        found
    }

    async fn which_fields_are_stored_is_known_of_everybody_and_follows_what_changes(home: Home) {
        let vault = vault(&home).await;
        assert_eq!(stored(&vault).await, [""; 0]);
        let set = |id: &str, set: serde_json::Value| json!({"$distinct_id": id, "$ignore_time": true, "$set": set});
        // A bank account is found under no harmless name.
        let ada = set("ada", json!({"$email": "ada@b.io", "$name": "ES9121000418450200051332", "plan": "a"}));
        update(
            &vault,
            &[ada, set("eve", json!({"$phone": "+34 612 345 678", "plan": "b"})), set("ben", json!({"plan": "c"}))],
        )
        .await;
        assert_eq!(stored(&vault).await, ["", "eo", "p"]);
        update(&vault, &[json!({"$distinct_id": "ada", "$ignore_time": true, "$unset": ["$email"]})]).await;
        update(&vault, &[json!({"$distinct_id": "eve", "$delete": ""})]).await;
        seal(&vault, json!({"distinct_id": "ben", "email": "ben@b.io"})).await;
        assert_eq!(stored(&vault).await, ["e", "o"]);
        // As records of an earlier version are.
        vault.profiles.forget_fields(PROJECT).await.unwrap();
        assert_eq!(stored(&vault).await, ["e", "o"]);
        // A plan that knows better moves what it is about.
        vault.raise_class(PROJECT, "email", Class::C4).await.unwrap();
        assert_eq!(stored(&vault).await, ["o", "o"]);
    }

    async fn a_profile_made_anew_in_the_same_request_has_a_new_key(home: Home) {
        let vault = vault(&home).await;
        let set = json!({"$distinct_id": "u", "$ignore_time": true, "$set": {"plan": "a"}});
        update(&vault, std::slice::from_ref(&set)).await;
        let wrapped = || async {
            let sql = "SELECT wrapped FROM subjects";
            let row = vault.keys.database.row(sql, &[]).await.unwrap().unwrap();
            row.bytes(0).unwrap().to_vec()
        };
        let first = wrapped().await;
        update(&vault, &[json!({"$distinct_id": "u", "$delete": ""}), set]).await;
        assert_ne!(wrapped().await, first);
        let subject =
            vault.subject_of(PROJECT, &vault.pseudonyms(PROJECT, &[SubjectNo(0)]).await.unwrap()[&SubjectNo(0)]).await;
        assert_eq!(view(&vault, subject.unwrap().unwrap()).await.0, ["plan=\"a\""]);
    }

    async fn an_update_is_applied_wholly_or_not_at_all(home: Home) {
        let vault = vault(&home).await;
        let full: Vec<u32> = (0..255).collect();
        update(&vault, &[json!({"$distinct_id": "u", "$ignore_time": true, "$set": {"n": 1, "list": full}})]).await;
        let failing = json!({"$distinct_id": "u", "$ignore_time": true, "$add": {"n": 1}, "$append": {"list": 1}});
        assert_eq!(update(&vault, &[failing]).await, [Some(Reason::ListTooLong)]);
        let (open, _) = view(&vault, SubjectNo(0)).await;
        assert!(open.contains(&"n=1".to_owned()), "{open:?}");
    }

    async fn a_person_cannot_be_made_to_grow_without_bound(home: Home) {
        let vault = vault(&home).await;
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
        let bytes = vault.dictionary.database.row(sql, &[]).await.unwrap().unwrap().int(0).unwrap();
        assert!(bytes as usize <= limits::PROFILE_BYTES_MAX + 100, "{bytes}");
    }

    async fn ids_that_are_new_to_many_requests_at_once_have_one_number_each(home: Home) {
        let first = Arc::new(vault(&home).await);
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
        let row = first.dictionary.database.row(kept, &[]).await.unwrap().unwrap();
        assert_eq!(row.int(0).unwrap(), 40);
        drop(first);
        let again = Arc::new(vault(&home).await);
        for at in 0..40 {
            for (id, subject) in seal_both(again.clone(), at).await {
                assert_eq!(numbers[&id], subject, "{id}");
            }
        }
    }

    async fn of_the_last_events_it_is_told_what_happened(home: Home) {
        let vault = vault(&home).await;
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
        let sealed = vault.seal(PROJECT, events.collect(), Arrival::default(), 2).await.unwrap();
        let lengths: Vec<usize> = sealed.trails.iter().map(Vec::len).collect();
        assert_eq!((sealed.events.len(), lengths, sealed.values, sealed.secrets), (3, vec![4, 4], 6, 3));
        let names: Vec<&str> = sealed.events[2].properties.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["n", "org_id"]);
    }

    async fn found(vault: &Vault, org: u32, mail: &str) -> Vec<SubjectNo> {
        let found = vault.find_by_mail(OrgId(org), mail).await.unwrap();
        found.into_iter().map(|(_, subject)| subject).collect()
    }

    async fn who_has_an_address_is_found_however_it_is_spelled(home: Home) {
        let first = vault(&home).await;
        let set = |name: &str, value: serde_json::Value| json!({"$distinct_id": "u", "$ignore_time": true, "$set": {name: value}});
        update(&first, &[set("$email", json!("Ada@Bücher.example")), set("$phone", json!("+34 612 345 678"))]).await;
        let user = SubjectNo(0);
        // With an event, before and as a sign-in; and as an id.
        let device = seal(&first, json!({"$device_id": "d", "note": "ask grace@navy.example, please"})).await.subject;
        let other = seal(&first, json!({"$user_id": "Eve@Canary.example"})).await.subject;
        drop(first);
        let vault = vault(&home).await;
        assert_eq!(found(&vault, 1, " ADA@xn--bcher-kva.EXAMPLE ").await, [user]);
        assert_eq!(vault.find_by_phone(OrgId(1), "0034612345678").await.unwrap(), [(PROJECT, user)]);
        assert_eq!(found(&vault, 1, "grace@navy.example").await, [device]);
        assert_eq!(found(&vault, 1, "eve@canary.example").await, [other]);
        for nobody in ["ada@example.org", "ada+x@bücher.example", "no address"] {
            assert_eq!(found(&vault, 1, nobody).await, [], "{nobody}");
        }
        seal(&vault, json!({"$device_id": "d", "$user_id": "u"})).await;
        assert_eq!(found(&vault, 1, "grace@navy.example").await, [user], "a device is its user");
        // What a profile loses is found no more; an id stays what it is.
        update(
            &vault,
            &[
                set("$email", json!("lovelace@example.org")),
                json!({"$distinct_id": "Eve@Canary.example", "$ignore_time": true, "$set": {"x": 1}}),
            ],
        )
        .await;
        assert_eq!(found(&vault, 1, "ada@bücher.example").await, []);
        assert_eq!(found(&vault, 1, "lovelace@example.org").await, [user]);
        assert_eq!(found(&vault, 1, "eve@canary.example").await, [other]);
        update(
            &vault,
            &[
                json!({"$distinct_id": "u", "$delete": ""}),
                json!({"$distinct_id": "Eve@Canary.example", "$delete": ""}),
            ],
        )
        .await;
        for mail in ["lovelace@example.org", "grace@navy.example", "eve@canary.example"] {
            assert_eq!(found(&vault, 1, mail).await, [], "{mail}");
        }
        assert_eq!(vault.find_by_phone(OrgId(1), "+34612345678").await.unwrap(), []);
        let left = vault.dictionary.database.row("SELECT count(*) FROM blind", &[]).await.unwrap().unwrap();
        assert_eq!(left.int(0).unwrap(), 0);
    }

    async fn an_address_of_two_organisations_has_nothing_in_common(home: Home) {
        let vault = vault(&home).await;
        let projects = [(1, PROJECT), (2, ProjectId(2)), (2, ProjectId(3))];
        for (org, project) in &projects[1..] {
            vault.create_project(OrgId(*org), *project).await.unwrap();
        }
        for (_, project) in projects {
            let set = json!({"$distinct_id": "u", "$set": {"$email": "ada@b.io"}});
            let set = wire::validate_update(object(set), ProfileKind::Person, IdentityMode::Simplified, 0);
            let Ok(Some(set)) = set else { panic!("an update") };
            assert!(vault.update_profiles(project, vec![set]).await.unwrap().0[0].is_ok());
        }
        assert_eq!(vault.find_by_mail(OrgId(1), "ada@b.io").await.unwrap(), [(PROJECT, SubjectNo(0))]);
        let second = vault.find_by_mail(OrgId(2), "ada@b.io").await.unwrap();
        assert_eq!(second, [(ProjectId(2), SubjectNo(0)), (ProjectId(3), SubjectNo(0))]);
        let rows =
            vault.dictionary.database.rows("SELECT hash, project FROM blind ORDER BY project", &[]).await.unwrap();
        let hashes: Vec<&[u8]> = rows.iter().map(|row| row.bytes(0).unwrap()).collect();
        assert!(hashes[0] != hashes[1] && hashes[1] == hashes[2], "one hash for each organisation");
    }

    async fn merges_and_numbers_survive_a_restart(home: Home) {
        let first = vault(&home).await;
        let device = seal(&first, json!({"$device_id": "d"})).await.subject;
        let user = seal(&first, json!({"$device_id": "d", "$user_id": "u"})).await.subject;
        // Another user on the same device stays another person.
        let other = seal(&first, json!({"$device_id": "d", "$user_id": "v"})).await.subject;
        drop(first);
        let again = vault(&home).await;
        let merges = again.merges(PROJECT);
        assert_eq!(merges.canonical(device), user);
        assert_eq!(merges.canonical(other), other);
        assert_eq!(seal(&again, json!({"$user_id": "v"})).await.subject, other);
        std::fs::write(home.site.root_file(), "00".repeat(32)).unwrap();
        drop(again);
        assert!(matches!(Vault::open(&home.site).await, Err(Error::WrongRootKey)));
    }
}
