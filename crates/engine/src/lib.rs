//! The product without a network. Start reading here.
//!
//! # The life of an event
//!
//! 1. `server::capture` has checked size, decompressed, and found body and credentials in one of the protocol's
//!    many forms. It hands the bytes to [`Engine::ingest`].
//! 2. [`ingest`] reads the body's records (`vault::wire::read_events`) and checks each against the limits
//!    (`vault::wire::validate`); what fails gets its one outcome here, with a reason.
//! 3. `Vault::seal` takes identity out: the firewall judges every property, ids become subject numbers, what is
//!    personal is sealed under the person's key, and a [`SealedEvent`](cofferdam_model::SealedEvent) comes back.
//! 4. `Lake::append` writes the batch to the encrypted log, syncs, and puts it into the tail. Now it is
//!    acknowledged: counted as accepted, shown in the live feed, in every report.
//! 5. Later the lake writes the tail as Parquet segments and merges small ones.
//! 6. [`Engine::ask`] takes a snapshot of the lake and the merges of the vault, runs the operator of the
//!    question on a pool of threads, and gives subjects their pseudonyms.
//!
//! # The life of a secret
//!
//! 1. A personal value reaches `vault::firewall::judge` inside a `ValidEvent` or an update of a profile.
//! 2. `Vault::seal` puts it into the record of its subject, under the subject's own random key, which is wrapped by
//!    the organisation's, which is wrapped by the root key. The event goes on without it.
//! 3. Reports, lists and the live feed know its name and class. Only `Vault::disclose` opens it, by a ticket that the
//!    ledger gives out after it wrote down who is about to see what.
//!
//! # Order of durability
//!
//! Identity and sealed values are on disk before the event that uses them; the event before its answer. Each step
//! can be repeated: a crash between two leaves at worst a number that no event uses.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use cofferdam_lake::{Clock, Lake, Retention};
use cofferdam_model::{OrgId, ProjectId};
use cofferdam_vault::Vault;
pub use cofferdam_vault::{Databases, Site};

use jiff::tz::TimeZone;
use rustc_hash::FxHashMap;

mod access;
mod account;
mod approval;
mod ask;
mod backup;
mod cohort;
mod disclosure;
mod exposure;
mod incident;
pub mod ingest;
mod ledger;
mod live;
mod lock;
mod member;
mod merging;
mod meta;
mod outcomes;
mod person;
mod privacy;
mod sealing;
mod sight;
#[cfg(test)]
mod testing;
mod token;

pub use access::{AccessFormat, AccessPurpose};
pub use account::{Member, SetUp, TotpEnrolment};
pub use approval::{Agreed, Asked, Waiting, Wish, is_same_person};
pub use ask::{PropertyKnown, Status};
pub use backup::{BackupMade, restore};
pub use cofferdam_ledger::{Transport, WitnessLink};
pub use cofferdam_vault::wire::{Door, IdentityMode, ProfileKind, Strictness};
pub use cofferdam_vault::{BackupHead, Cover, CustodianShare, RootKey, Share, Wanted, Way};
pub use cohort::{Cohort, CohortMade};
pub use disclosure::{
    ApprovalView, Disclosure, DisclosureFormat, DisclosurePlan, DisclosureRequest, DisclosureState, Piece, Pieces,
    Progress, Purpose, Revealed, RevealedValue, RowsInClear, Rule, Trip, What,
};
pub use exposure::{
    Cause, Disclosed, DisclosedBy, DisclosedPage, DisclosedQuestion, DisclosedState, Exposees, Exposure,
    ExposureQuestion, ExposureSum, FieldExposure, GrantExposure, OrganisationExposure, PersonsExposed, PersonsQuestion,
    ProjectExposure,
};
pub use incident::{
    AccountKind, Alarm, AlarmKind, CodeAnswer, Contain, Contained, Containment, Deadline, Draft, DraftText, Incident,
    IncidentCause, IncidentTrip, LeftOut, MailKeys, MailSettings, Measure, NoticeProgress, OpenIncident, PackageMade,
    PackageOffer, PublicIncident, Reset, ScopeGroup, ScopeOf, ScopeVersion, Signed, Stage, Suspect, Times, Told,
    UpdateIncident, package_recipient,
};
pub use ledger::{LedgerVerified, Verification, ledger_of};
pub use live::{LiveEvent, LiveProperty, Source};
pub use lock::{Lock, LockReason, LockTarget, Network};
pub use member::{
    Assertion, Attestation, Caller, Credentials, Factor, Invitation, Invited, Join, MemberView, PasskeyAsked,
    PasskeySignIn, PasskeyView, RequestHash, RolesSet, Session, SessionView, SignedIn, StepUpChallenge, StepUpProof,
    SteppedUp, Visitor, Who,
};
pub use merging::PersonMerge;
pub use meta::ProjectRecord;
pub use outcomes::{OutcomeCounts, ReasonCount};
pub use person::{Compacted, Erasure, ErasureMade, ErasureReason, Whom};
pub use privacy::{Carried, Finding, QuarantineView, QuarantinedProperty, Released, Scan, ShapeCount};
pub use sealing::{SealState, init_keys, rekey, root_wanted};
pub use sight::Sight;
pub use token::{NewToken, TokenCaller, TokenKind, TokenMade, TokenUse, TokenView};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller can mend it; `code` is for programs, `message` and `hint` for people.
    #[error("{message}")]
    Refused { code: &'static str, message: String, hint: Option<&'static str> },
    /// Too many attempts; how many seconds to wait.
    #[error("too many attempts")]
    TooManyAttempts { retry_after_s: u64 },
    #[error("nobody is signed in")]
    NotSignedIn,
    /// Whoever calls, or where they call from, is locked.
    #[error("this access is locked")]
    Locked,
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Nothing was stored; sending again later helps.
    #[error("the store cannot take more at the moment")]
    Busy,
    #[error("the store is not available")]
    Store(#[from] cofferdam_lake::Error),
    /// The root key is not here; what it takes to have it.
    #[error("the vault is sealed: it needs {}", .0.cover.needs())]
    Sealed(Wanted),
    #[error("the organisation is sealed")]
    OrganisationSealed,
    #[error("the vault is not available")]
    Vault(#[source] cofferdam_vault::Error),
    #[error("the ledger is not available")]
    Ledger(#[from] cofferdam_ledger::Error),
    #[error("the index of disclosures is not available")]
    Exposure(#[from] cofferdam_exposure::Error),
    #[error("the database of members and projects failed")]
    Meta(#[from] sqlx::Error),
    #[error("a background task ended before its answer")]
    Interrupted,
}

impl From<cofferdam_vault::Error> for Error {
    fn from(error: cofferdam_vault::Error) -> Error {
        match error {
            cofferdam_vault::Error::RootNeeded(wanted) => Error::Sealed(wanted),
            cofferdam_vault::Error::OrganisationSealed(_) => Error::OrganisationSealed,
            error => Error::Vault(error),
        }
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

fn refused<T>(code: &'static str, message: impl Into<String>, hint: Option<&'static str>) -> Result<T> {
    Err(Error::Refused { code, message: message.into(), hint })
}

/// How an engine is opened.
pub struct Options {
    /// The folder of everything the installation stores, and where the identity map, sealed profiles and wrapped keys
    /// are.
    pub site: Site,
    /// Events in the tail that start a flush.
    pub flush_events: usize,
    /// Whoever sets up the installation must know this; printed by the server on the first start.
    pub setup_code: String,
    /// A GeoIP database of countries or cities; a country by the registries' statistics without one.
    pub geoip: Option<PathBuf>,
    /// Microseconds since 1970-01-01 UTC.
    pub clock: Clock,
    /// Who is asked to sign what the ledger has.
    pub witnesses: Vec<WitnessLink>,
    /// `None` for a root key in its file, which a first run makes.
    pub root: Option<RootKey>,
    pub access: Access,
}

/// How members reach an installation.
#[derive(Clone, Debug)]
pub struct Access {
    pub(crate) party: member::webauthn::RelyingParty,
    /// Its persons are fiction: password and code open what takes a passkey elsewhere.
    pub(crate) is_demo: bool,
}

impl Access {
    /// At an origin as browsers write it, `https://analytics.example`: passkeys are made for it, and are of no use at
    /// another.
    ///
    /// # Errors
    /// When it is no origin, or one where browsers make no passkeys.
    pub fn at(origin: &str) -> Result<Access> {
        let party = member::webauthn::RelyingParty { origin: origin.trim_end_matches('/').to_owned() };
        let id = party.id();
        let is_safe =
            party.origin.starts_with("https://") || (party.origin.starts_with("http://") && id == "localhost");
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
        if !is_safe || id.is_empty() || !id.chars().all(letters) || id.parse::<std::net::Ipv4Addr>().is_ok() {
            return refused(
                "invalid_origin",
                "this is no origin at which browsers make passkeys",
                Some("write https://NAME, or http://localhost:PORT on this machine; not an IP address, and no path"),
            );
        }
        Ok(Access { party, is_demo: false })
    }

    /// The same, for an installation whose persons are fiction.
    pub fn of_demo(self) -> Access {
        Access { is_demo: true, ..self }
    }

    pub(crate) fn rp_id(&self) -> &str {
        self.party.id()
    }
}

impl Default for Access {
    fn default() -> Access {
        let party = member::webauthn::RelyingParty { origin: "http://localhost:7077".to_owned() };
        Access { party, is_demo: false }
    }
}

/// One installation.
pub struct Engine {
    folder: PathBuf,
    clock: Clock,
    vault: Arc<Vault>,
    lake: Lake,
    ledger: Arc<cofferdam_ledger::Log>,
    exposures: Arc<cofferdam_exposure::Index>,
    /// One reader of the whole ledger at a time.
    verifying: Arc<tokio::sync::Semaphore>,
    meta: meta::Meta,
    desk: incident::Desk,
    accounts: account::Accounts,
    access: Access,
    step_ups: member::StepUps,
    ceremonies: member::Ceremonies,
    joining: member::Joining,
    offered: member::Offered,
    locks: lock::Locks,
    next_lock: std::sync::atomic::AtomicU64,
    disclosures: disclosure::Disclosures,
    projects: RwLock<Projects>,
    outcomes: outcomes::Outcomes,
    live: live::Live,
    alike: sight::Alike,
    recent: ingest::Recent,
    asking: Arc<tokio::sync::Semaphore>,
    backing_up: tokio::sync::Mutex<()>,
    /// One decision about the door at a time: what is written down of it is what happens.
    deciding: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Projects {
    by_id: FxHashMap<ProjectId, Arc<Project>>,
    by_token: FxHashMap<String, Arc<Project>>,
}

/// A project as the hot paths need it.
pub struct Project {
    pub id: ProjectId,
    pub org: OrgId,
    pub zone: TimeZone,
    pub mode: IdentityMode,
    /// Of nobody real: what is allowed in tests only is allowed here.
    pub is_test: bool,
}

impl Engine {
    /// Opens an installation, or starts one in an empty folder, and recovers what a crash left in the log.
    ///
    /// # Errors
    /// [`Error::Sealed`] says what it takes to have the root key.
    pub async fn open(options: Options) -> Result<Engine> {
        let Options { site, flush_events, setup_code, geoip, clock, witnesses, root, access } = options;
        let folder = site.folder.clone();
        let io = |source| {
            Error::Store(cofferdam_lake::Error::Io { what: "create the data folder", path: folder.clone(), source })
        };
        create_private(&folder).map_err(io)?;
        backup::remove_leftovers(&folder)?;
        incident::remove_leftovers(&folder)?;
        let is_unsealing = root.is_some();
        let mut vault = Vault::with_root(&site, root).await?;
        if let Some(path) = geoip {
            let places = tokio::task::spawn_blocking(move || cofferdam_vault::Places::open(&path)).await;
            vault.use_places(places.map_err(|_| Error::Interrupted)??);
        }
        let vault = Arc::new(vault);
        let ledger = ledger::open(&folder, &vault, clock.clone(), witnesses).await?;
        let exposures = exposure::open(&folder, &ledger).await?;
        let (merges, plans) = (vault.clone(), vault.clone());
        let options = cofferdam_lake::Options {
            flush_events,
            merges: Arc::new(move |project| merges.merges(project)),
            retention: Arc::new(move |project| {
                let (events_days, columns) = plans.kept_days(project);
                Retention { events_days, columns }
            }),
            ..cofferdam_lake::Options::new(folder.join("lake"), clock.clone())
        };
        let lake = Lake::open(options, vault.log_keys()).await?;
        let meta = meta::Meta::open(&folder.join("meta.db")).await?;
        let desk = incident::Desk::open(&folder).await?;
        let mut projects = Projects::default();
        for record in meta.projects(None).await? {
            projects.insert(&record);
        }
        let disclosures = disclosure::Disclosures::open(meta.pool()).await?;
        let locks = lock::read_locks(&meta, &vault, None).await?;
        let next_lock = meta.next_lock().await?;
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let engine = Engine {
            folder,
            vault,
            lake,
            ledger,
            exposures,
            verifying: Arc::new(tokio::sync::Semaphore::new(1)),
            meta,
            desk,
            accounts: account::Accounts::new(setup_code),
            access,
            step_ups: member::StepUps::default(),
            ceremonies: member::Ceremonies::default(),
            joining: member::Joining::default(),
            offered: member::Offered::default(),
            locks: lock::Locks::of(&locks),
            next_lock: std::sync::atomic::AtomicU64::new(next_lock),
            disclosures,
            projects: RwLock::new(projects),
            outcomes: outcomes::Outcomes::new((clock)()),
            live: live::Live::default(),
            alike: sight::Alike::default(),
            recent: ingest::Recent::default(),
            asking: Arc::new(tokio::sync::Semaphore::new(cores)),
            backing_up: tokio::sync::Mutex::default(),
            deciding: tokio::sync::Mutex::default(),
            clock,
        };
        engine.expire_backup_keys()?;
        if is_unsealing {
            engine.record(cofferdam_ledger::Kind::Unsealed, None, 0).await?;
        }
        engine.end_abandoned().await?;
        engine.erase_again().await?;
        engine.finish_erasures().await?;
        engine.finish_publishing().await?;
        engine.open_missed().await?;
        Ok(engine)
    }

    /// Microseconds since 1970-01-01 UTC.
    pub fn now_us(&self) -> i64 {
        (self.clock)()
    }

    pub fn project_by_token(&self, token: &str) -> Option<Arc<Project>> {
        self.projects.read().expect("never left half changed").by_token.get(token).cloned()
    }

    /// The project, if the organisation has it: another's does not exist for its members and tokens.
    pub fn project_of(&self, org: OrgId, project: ProjectId) -> Result<Arc<Project>> {
        let found = {
            let projects = self.projects.read().expect("never left half changed");
            let is_theirs = |project: &&Arc<Project>| project.org == org || cofferdam_model::sabotage::is_out(76);
            projects.by_id.get(&project).filter(is_theirs).cloned()
        };
        let project = found.ok_or(Error::NotFound("project"))?;
        self.check_unsealed(&project)?;
        Ok(project)
    }

    /// A project for whoever has the data folder itself.
    pub fn project(&self, project: ProjectId) -> Result<Arc<Project>> {
        let projects = self.projects.read().expect("never left half changed");
        projects.by_id.get(&project).cloned().ok_or(Error::NotFound("project"))
    }

    pub async fn projects(&self, member: &Member) -> Result<Vec<ProjectRecord>> {
        Ok(self.meta.projects(Some(member.org)).await?)
    }

    /// Makes a project: its keys first, then its row, so that a project that exists can always store events.
    pub async fn create_project(
        &self,
        member: &Member,
        name: &str,
        time_zone: &str,
        mode: IdentityMode,
        is_test: bool,
    ) -> Result<ProjectRecord> {
        self.new_project(member.org, member.id, name, time_zone, mode, is_test).await
    }

    async fn new_project(
        &self,
        org: OrgId,
        member: u32,
        name: &str,
        time_zone: &str,
        mode: IdentityMode,
        is_test: bool,
    ) -> Result<ProjectRecord> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 100 {
            return refused("invalid_name", "a project's name has 1 to 100 characters", None);
        }
        check_zone(time_zone)?;
        let id = self.meta.next_project().await?;
        let log_key = self.vault.create_project(org, id).await?;
        self.lake.add_project(id, &log_key);
        let token = random_hex::<16>();
        let record = self.meta.insert_project(id, org, name, time_zone, &token, mode, is_test, self.now_us()).await?;
        self.projects.write().expect("never left half changed").insert(&record);
        self.record(cofferdam_ledger::Kind::ProjectCreated, Some(member), id.0).await?;
        Ok(record)
    }

    /// All counters and gauges in the text format of Prometheus.
    pub fn metrics(&self) -> String {
        self.outcomes.text(&[
            ("tail_events", "Events in the log and not yet in segments", self.lake.tail_events() as u64),
            ("ledger_entries", "Entries of the ledger", self.ledger.size()),
        ])
    }

    /// Writes the tail to segments, so that the next start has nothing to replay.
    pub async fn flush(&self) -> Result<()> {
        Ok(self.lake.flush().await?)
    }
}

#[cfg(test)]
impl Project {
    /// One that is in no database.
    pub(crate) fn of_test(id: u32) -> Project {
        let (zone, mode) = (TimeZone::UTC, IdentityMode::Simplified);
        Project { id: ProjectId(id), org: OrgId(1), zone, mode, is_test: false }
    }
}

impl Projects {
    fn insert(&mut self, record: &ProjectRecord) {
        // A zone that a newer time-zone database dropped reads as UTC rather than keep the server from starting.
        let zone = TimeZone::get(&record.time_zone).unwrap_or(TimeZone::UTC);
        let (id, org, mode, is_test) = (record.id, record.org, record.mode, record.is_test);
        let project = Arc::new(Project { id, org, zone, mode, is_test });
        self.by_id.insert(record.id, project.clone());
        self.by_token.insert(record.token.clone(), project);
    }
}

/// A folder that only its owner may look into.
pub fn create_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn check_zone(name: &str) -> Result<()> {
    if TimeZone::get(name).is_err() {
        return refused(
            "invalid_time_zone",
            "no time zone has this name",
            Some("use an IANA name such as Europe/Madrid"),
        );
    }
    Ok(())
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    bytes
}

fn random_hex<const N: usize>() -> String {
    random::<N>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What `cofferdam verify` found.
pub struct Verified {
    pub segments: usize,
    pub ledger_entries: u64,
    /// What is damaged, by file.
    pub wrong: Vec<String>,
}

/// Checks every checksum of an installation that is not running.
pub async fn verify(site: &Site, root: Option<RootKey>) -> Result<Verified> {
    let vault = Arc::new(Vault::with_root(site, root).await?);
    let folder = &site.folder;
    let (segments, mut wrong) = cofferdam_lake::verify(&folder.join("lake")).await?;
    let ledger_entries = match ledger::verify(folder, &vault) {
        Ok(verified) => {
            wrong.extend(verified.wrong.into_iter().map(|wrong| format!("ledger: {}", wrong.what)));
            verified.entries + verified.unpublished
        }
        Err(error) => {
            wrong.push(error.to_string());
            0
        }
    };
    Ok(Verified { segments, ledger_entries, wrong })
}
