//! The incident desk: from "something is wrong" to "everybody who is affected was told, and can check it".
//!
//! An incident is opened, its scope found from the ledger in versions, its notices signed by two people, logged, sent
//! and shown on a public page. Every step is an entry of the ledger before it has an effect. Its moments are kept
//! apart: when it happened, when it was noticed, when somebody knew what it was, and the rest; the law counts from
//! different ones ([`duties`]).
//!
//! Invariants:
//! - A scope only grows: version n+1 has everybody of version n with at least the same fields.
//! - Nobody outside a scope is told, nobody in it is left out, and nobody is told again what they were told.
//! - A notice is logged before it is sent, and what the public page shows is what was logged.

use std::sync::Arc;

use cofferdam_ledger::{Entry, Kind};
use cofferdam_model::{FieldSet, OrgId, PersonalField};
use cofferdam_notice::outbox::{self, Outbox};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Engine, Error, Member, Result, Rule, refused};

mod alarm;
mod contain;
mod duties;
mod notices;
mod package;
mod post;
mod scope;
mod store;

pub use alarm::{Alarm, AlarmKind};
pub use contain::{Contain, Contained, Containment, LeftOut, Reset, Suspect};
pub use duties::Deadline;
pub use notices::{CodeAnswer, Draft, DraftText, Signed};
pub use package::{PackageMade, PackageOffer, package_recipient};
pub(crate) use post::copy_keys;
pub use post::{MailKeys, MailSettings};
pub use scope::ScopeOf;

/// Why an incident was opened. The numbers are in the ledger: none changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IncidentCause {
    /// Somebody says so.
    Member = 1,
    /// A limit tripped.
    Limit = 2,
    /// It is an exercise.
    Drill = 3,
}

/// By which kind of account data left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    Staff,
    Token,
    Vendor,
    Unknown,
}

/// What was done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = IncidentMeasure)]
pub enum Measure {
    Locked,
    Sessions,
    Tokens,
    Vendor,
    Authority,
}

/// The moments of an incident, in microseconds since 1970-01-01 UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = IncidentTimes)]
pub struct Times {
    /// From when to when data left.
    pub occurred_us: Option<(i64, i64)>,
    /// Something was noticed.
    pub detected_us: i64,
    /// Somebody knew that it is a breach: most laws count from here.
    pub aware_us: Option<i64>,
    pub contained_us: Option<i64>,
    /// The first and the newest notice that was accepted for delivery.
    pub notified_first_us: Option<i64>,
    pub notified_last_us: Option<i64>,
    /// The page can be seen by anybody.
    pub public_us: Option<i64>,
    /// A later version of the notices replaced an earlier one.
    pub corrected_us: Option<i64>,
    pub closed_us: Option<i64>,
}

/// How a version of the scope stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScopeVersion {
    pub version: u32,
    /// The ledger's entry of it.
    pub entry: u64,
    pub known_us: i64,
    pub persons: u64,
    /// Names of the fields that left, of anybody.
    pub fields: Vec<String>,
    /// Persons by what exactly left of them.
    pub groups: Vec<ScopeGroup>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScopeGroup {
    pub project: u32,
    pub fields: Vec<String>,
    pub persons: u64,
}

/// Where an incident is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    #[default]
    Open,
    /// It is known whom it concerns.
    Scoped,
    /// Notices are published.
    Notified,
    Closed,
}

/// An incident as the console shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Incident {
    #[serde(default)]
    #[schema(required)]
    pub id: u32,
    pub cause: IncidentCause,
    pub stage: Stage,
    pub account: AccountKind,
    /// What those who are told know the product by.
    pub service: String,
    pub measures: Vec<Measure>,
    pub times: Times,
    /// The newest version whose notices were published; 0 when none was.
    pub published: u32,
    #[serde(default)]
    #[schema(required)]
    pub scopes: Vec<ScopeVersion>,
    /// What was done to stop it, oldest first.
    #[serde(default)]
    #[schema(required)]
    pub containments: Vec<Containment>,
    /// The limit that opened it.
    #[serde(default)]
    pub trip: Option<IncidentTrip>,
}

/// A limit that tripped and opened an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IncidentTrip {
    pub trip: u32,
    pub rule: Rule,
    /// Who made it trip.
    pub by_member: u32,
}

/// What opening an incident asks for.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenIncident {
    pub cause: IncidentCause,
    pub account: AccountKind,
    pub service: String,
    pub occurred_us: Option<(i64, i64)>,
    /// Now, when it is not said.
    pub detected_us: Option<i64>,
}

/// What may be said later. What is not named stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateIncident {
    pub account: Option<AccountKind>,
    pub measures: Option<Vec<Measure>>,
    pub occurred_us: Option<(i64, i64)>,
    pub detected_us: Option<i64>,
    pub aware_us: Option<i64>,
    pub contained_us: Option<i64>,
    /// Shows the public page from now on.
    #[serde(default)]
    pub make_public: bool,
    /// Ends it.
    #[serde(default)]
    pub close: bool,
}

/// A notice's text as it was logged, without a recipient.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Told {
    pub version: u32,
    /// The ledger's entry that has the text's hash.
    pub entry: u64,
    pub audience: String,
    pub language: String,
    pub subject: String,
    pub text: String,
}

/// What anybody may see of an incident: no name of a member, no number of a person.
#[derive(Clone, Debug, PartialEq)]
pub struct PublicIncident {
    pub id: u32,
    pub is_drill: bool,
    pub service: String,
    pub sender: String,
    pub stage: Stage,
    pub times: Times,
    /// When each version of the scope was known, and how many persons it has.
    pub scopes: Vec<(u32, i64, u64)>,
    pub texts: Vec<Told>,
}

pub(crate) struct Desk {
    store: store::Store,
    outbox: Arc<Outbox>,
    tries: cofferdam_notice::code::Tries,
    post: post::Post,
    alarms: alarm::Alarms,
    /// One change of incidents at a time.
    changing: tokio::sync::Mutex<()>,
}

/// Files in the data folder.
pub(crate) const INCIDENTS_FILE: &str = "incidents.db";
pub(crate) const OUTBOX_FILE: &str = "outbox.db";

impl Desk {
    pub(crate) async fn open(folder: &std::path::Path) -> Result<Desk> {
        Ok(Desk {
            store: store::Store::open(&folder.join(INCIDENTS_FILE)).await?,
            outbox: Arc::new(Outbox::open(&folder.join(OUTBOX_FILE)).await?),
            tries: cofferdam_notice::code::Tries::default(),
            post: post::Post::default(),
            alarms: alarm::Alarms::default(),
            changing: tokio::sync::Mutex::default(),
        })
    }

    /// Writes consistent copies into a folder.
    pub(crate) async fn copy_to(&self, folder: &std::path::Path) -> Result<()> {
        self.store.copy_to(&folder.join(INCIDENTS_FILE)).await?;
        Ok(self.outbox.copy_to(&folder.join(OUTBOX_FILE)).await?)
    }
}

impl From<cofferdam_notice::Error> for Error {
    fn from(error: cofferdam_notice::Error) -> Error {
        match error {
            cofferdam_notice::Error::Outbox(error) => Error::Meta(error),
            error => Error::Refused { code: "notice", message: error.to_string(), hint: None },
        }
    }
}

/// Removes packages that were being fetched when a server ended.
pub(crate) fn remove_leftovers(folder: &std::path::Path) -> Result<()> {
    let path = folder.join(package::PACKAGES_FOLDER);
    match std::fs::remove_dir_all(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Store(cofferdam_lake::Error::Io { what: "remove what was left of a package", path, source }))
        }
        _ => Ok(()),
    }
}

fn field_words(fields: FieldSet) -> Vec<String> {
    PersonalField::ALL
        .into_iter()
        .filter(|field| fields.contains(*field))
        .map(|field| field.name().to_owned())
        .collect()
}

impl ScopeVersion {
    fn of(version: u32, entry: u64, known_us: i64, scope: &scope::Scope) -> ScopeVersion {
        let groups = scope.groups.iter().map(|group| ScopeGroup {
            project: group.project.0,
            fields: field_words(group.fields),
            persons: group.persons.len(),
        });
        ScopeVersion {
            version,
            entry,
            known_us,
            persons: scope.persons(),
            fields: field_words(scope.fields()),
            groups: groups.collect(),
        }
    }
}

impl Engine {
    /// Opens an incident. `member` is who says so; `None` for whoever runs the server.
    /// The ledger has it first: an incident that cannot be written down is not open.
    pub async fn open_incident(&self, org: OrgId, member: Option<u32>, open: OpenIncident) -> Result<Incident> {
        self.open_incident_of(org, member, open, None).await
    }

    async fn open_incident_of(
        &self,
        org: OrgId,
        member: Option<u32>,
        open: OpenIncident,
        trip: Option<IncidentTrip>,
    ) -> Result<Incident> {
        let _one = self.desk.changing.lock().await;
        let now_us = self.now_us();
        let service = open.service.trim();
        if service.is_empty() || service.chars().count() > 100 {
            return refused("invalid_name", "a service's name has 1 to 100 characters", None);
        }
        check_times(open.occurred_us, open.detected_us, now_us)?;
        let mut incident = Incident {
            id: 0,
            cause: open.cause,
            stage: Stage::Open,
            account: open.account,
            service: service.to_owned(),
            measures: Vec::new(),
            times: Times {
                occurred_us: open.occurred_us,
                detected_us: open.detected_us.unwrap_or(now_us),
                // Who opens one by hand knows.
                aware_us: (open.cause == IncidentCause::Member).then_some(now_us),
                ..Times::default()
            },
            published: 0,
            scopes: Vec::new(),
            containments: Vec::new(),
            trip,
        };
        incident.id = self.desk.store.insert(org, &incident).await?;
        self.incident_entry(Kind::IncidentOpened, &incident, member, Entry::of(Kind::IncidentOpened)).await?;
        Ok(incident)
    }

    /// Appends an entry about an incident. Answers its number.
    async fn incident_entry(&self, kind: Kind, incident: &Incident, member: Option<u32>, entry: Entry) -> Result<u64> {
        let actor = member.map(|member| self.actor(member));
        let purpose = if entry.purpose == 0 { incident.cause as u64 } else { entry.purpose };
        let entry = Entry { kind, actor, grant: u64::from(incident.id), purpose, ..entry };
        self.ledger.append_async(entry).await?.seq.ok_or(Error::Interrupted)
    }

    /// An incident of the member's organisation: another's does not exist for them.
    pub async fn incident(&self, member: &Member, id: u32) -> Result<Incident> {
        let found = self.desk.store.incident(id).await?.filter(|(org, _)| *org == member.org);
        Ok(found.ok_or(Error::NotFound("incident"))?.1)
    }

    /// Newest first.
    pub async fn incidents(&self, member: &Member) -> Result<Vec<Incident>> {
        let mut incidents = Vec::new();
        for id in self.desk.store.incidents(Some(member.org)).await? {
            incidents.extend(self.desk.store.incident(id).await?.map(|(_, incident)| incident));
        }
        Ok(incidents)
    }

    /// What some laws ask for, and by when.
    pub async fn deadlines(&self, member: &Member, id: u32) -> Result<Vec<Deadline>> {
        let incident = self.incident(member, id).await?;
        Ok(duties::deadlines(&incident.times, self.now_us()))
    }

    /// Says more about an incident, shows its page, or ends it.
    pub async fn update_incident(&self, member: &Member, id: u32, update: UpdateIncident) -> Result<Incident> {
        let _one = self.desk.changing.lock().await;
        let mut incident = self.incident(member, id).await?;
        let now_us = self.now_us();
        if incident.stage == Stage::Closed {
            return refused("incident_closed", "this incident is closed", Some("open another one"));
        }
        let detected_us = update.detected_us.unwrap_or(incident.times.detected_us);
        check_times(update.occurred_us.or(incident.times.occurred_us), Some(detected_us), now_us)?;
        let is_future = [update.aware_us, update.contained_us].into_iter().flatten().any(|time_us| time_us > now_us);
        if is_future {
            return refused("invalid_time", "this has not happened yet", None);
        }
        incident.account = update.account.unwrap_or(incident.account);
        incident.measures = update.measures.unwrap_or(incident.measures);
        let times = &mut incident.times;
        times.occurred_us = update.occurred_us.or(times.occurred_us);
        times.detected_us = detected_us;
        times.aware_us = update.aware_us.or(times.aware_us);
        times.contained_us = update.contained_us.or(times.contained_us);
        if update.make_public {
            times.public_us = times.public_us.or(Some(now_us));
        }
        if update.close {
            times.closed_us = Some(now_us);
            incident.stage = Stage::Closed;
            self.incident_entry(Kind::IncidentClosed, &incident, Some(member.id), Entry::of(Kind::IncidentClosed))
                .await?;
        }
        self.desk.store.save(&incident).await?;
        Ok(incident)
    }

    /// Finds whom an incident concerns, and keeps that as the next version of its scope: the one before and what was
    /// found now.
    pub async fn scope_incident(&self, member: &Member, id: u32, of: &ScopeOf) -> Result<ScopeVersion> {
        let _one = self.desk.changing.lock().await;
        let mut incident = self.incident(member, id).await?;
        if incident.stage == Stage::Closed {
            return refused("incident_closed", "this incident is closed", Some("open another one"));
        }
        let everybody;
        let of = match of {
            ScopeOf::Ledger { from_us, to_us, .. } if cofferdam_model::sabotage::is_out(90) => {
                everybody = ScopeOf::Ledger { member: None, from_us: *from_us, to_us: *to_us };
                &everybody
            }
            of => of,
        };
        let before = incident.scopes.last().map_or(0, |scope| scope.version);
        let mut scope = self.desk.store.scope(id, before).await?;
        let (found, asked) = self.find_scope(member.org, of).await?;
        let is_wider = !found.since(&scope).is_empty();
        scope.unite(found);
        if !is_wider {
            return refused(
                "nothing_found",
                "this finds nobody, and no field, that the scope does not have",
                Some("look at the time and the account; what nobody opened did not leave this way"),
            );
        }
        let (version, known_us) = (before + 1, self.now_us());
        let entry = Entry {
            purpose: u64::from(version),
            fields: scope.fields(),
            count: scope.persons(),
            extra: sha256(&scope.bytes()).to_vec(),
            ..Entry::of(Kind::IncidentScoped)
        };
        let entry = self.incident_entry(Kind::IncidentScoped, &incident, Some(member.id), entry).await?;
        self.desk.store.insert_scope(id, version, (entry, known_us), &scope, asked.as_ref()).await?;
        if incident.stage == Stage::Open {
            incident.stage = Stage::Scoped;
            self.desk.store.save(&incident).await?;
        }
        Ok(ScopeVersion::of(version, entry, known_us, &scope))
    }

    /// What anybody may see; `None` while it is not public.
    pub async fn public_incident(&self, id: u32) -> Result<Option<PublicIncident>> {
        let Some((org, incident)) = self.desk.store.incident(id).await? else { return Ok(None) };
        if incident.times.public_us.is_none() {
            return Ok(None);
        }
        let texts = self.desk.store.texts(id).await?.into_iter().map(|text| text.told).collect();
        Ok(Some(PublicIncident {
            id,
            is_drill: incident.cause == IncidentCause::Drill,
            service: cofferdam_notice::names::Name::of(&incident.service).text,
            sender: cofferdam_notice::names::Name::of(&self.meta.organisation_name(org).await?).text,
            stage: incident.stage,
            scopes: incident.scopes.iter().map(|scope| (scope.version, scope.known_us, scope.persons)).collect(),
            times: incident.times,
            texts,
        }))
    }

    /// The numbers of incidents whose page anybody may see, newest first.
    pub async fn public_incidents(&self) -> Result<Vec<u32>> {
        let mut public = Vec::new();
        for id in self.desk.store.incidents(None).await? {
            let found = self.desk.store.incident(id).await?;
            if found.is_some_and(|(_, incident)| incident.times.public_us.is_some()) {
                public.push(id);
            }
        }
        Ok(public)
    }

    /// The proof that a text was logged, for whoever wants to verify it; `None` where the page shows no such text.
    pub async fn notice_proof(&self, id: u32, entry: u64) -> Result<Option<String>> {
        let Some(public) = self.public_incident(id).await? else { return Ok(None) };
        if !public.texts.iter().any(|text| text.entry == entry) {
            return Ok(None);
        }
        let ledger = self.ledger.clone();
        let proof = tokio::task::spawn_blocking(move || ledger.prove(entry)).await;
        Ok(Some(proof.map_err(|_| Error::Interrupted)??.print()))
    }
}

fn check_times(occurred_us: Option<(i64, i64)>, detected_us: Option<i64>, now_us: i64) -> Result<()> {
    let (from_us, to_us) = occurred_us.unwrap_or((i64::MIN, i64::MIN));
    if from_us > to_us || to_us > now_us || detected_us.is_some_and(|detected_us| detected_us > now_us) {
        return refused("invalid_time", "these moments are in the wrong order, or to come", None);
    }
    Ok(())
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    *digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

/// What the ledger has of a text: its SHA-256, subject first.
pub(crate) fn text_hash(subject: &str, text: &str) -> [u8; 32] {
    sha256(format!("{subject}\n\n{text}").as_bytes())
}

/// Rows of the outbox for the console.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct NoticeProgress {
    pub version: u32,
    pub is_paused: bool,
    pub total: u64,
    pub queued: u64,
    pub in_flight: u64,
    pub accepted: u64,
    pub bounced: u64,
    pub suppressed: u64,
    /// Of the queued, those that were tried before.
    pub retrying: u64,
    /// Why notices bounced or were not sent, and how many.
    pub reasons: Vec<(String, u64)>,
    /// Accepted a second, lately.
    pub rate: f64,
    /// Seconds until all were tried at this rate; none while nothing goes out.
    pub eta_s: Option<u64>,
    /// Why nothing goes out.
    pub trouble: Option<String>,
}

impl NoticeProgress {
    fn of(campaign: &outbox::Campaign, found: &outbox::Progress, rate: f64, trouble: Option<String>) -> NoticeProgress {
        NoticeProgress {
            version: campaign.version,
            is_paused: campaign.is_paused,
            total: found.total(),
            queued: found.queued,
            in_flight: found.leased,
            accepted: found.accepted,
            bounced: found.bounced,
            suppressed: found.suppressed,
            retrying: found.retrying,
            reasons: found.classes.iter().map(|(class, count)| (class.word().to_owned(), *count)).collect(),
            rate,
            eta_s: (rate > 0.0).then(|| (found.queued as f64 / rate).ceil() as u64),
            trouble,
        }
    }
}

#[cfg(test)]
mod tests;
