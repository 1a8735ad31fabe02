//! Incidents over the API, and the commands that go with them: keys of notices, preflight, opening one, containing it,
//! packages.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use clap::Subcommand;
use cofferdam_engine::{
    AccountKind, Agreed, Alarm, Contain, Contained, Deadline, Draft, Engine, Incident, IncidentCause, LeftOut,
    LockTarget, MailKeys, Network, NoticeProgress, OpenIncident, PackageOffer, Reset, ScopeOf, ScopeVersion, Signed,
    Suspect, UpdateIncident,
};
use cofferdam_model::{Control, OrgId, limits};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::api::{Body, ErrorBody, Failure, Result};
use crate::control::{self, Ask};
use crate::guard::{Need, Routes, SignedIn, Stepped, WithStepUp};
use crate::members::{AskedBody, TargetBody};
use crate::say;
use crate::serve::Stopped;

pub(crate) fn router() -> Routes {
    let (view, declare) = (Need::Do(Control::ViewScope), Need::Do(Control::DeclareIncident));
    let publish = Need::Do(Control::PublishNotice);
    Routes::new()
        .at(view, routes!(list_incidents))
        .at(declare, routes!(open_incident))
        .at(view, routes!(get_incident))
        .at(declare, routes!(update_incident))
        .at(view, routes!(get_deadlines))
        .at(view, routes!(draft_notices))
        .at(publish, routes!(sign_notices))
        .at(view, routes!(get_progress))
        .at(publish, routes!(pause_notices))
        .at(view, routes!(list_unreached))
        .at(view, routes!(get_containment))
        // Stopping takes no more than locking does.
        .at(Need::Do(Control::Lock), routes!(contain_incident))
        .at(view, routes!(get_package))
        .at(Need::Do(Control::ListScope), routes!(download_package))
        .at(Need::Account, routes!(list_alarms))
        // A list of ids is larger than any question.
        .merge(Routes::of_lists().at(declare, routes!(scope_incident)))
}

#[derive(Deserialize)]
struct IncidentPath {
    incident: u32,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct IncidentsBody {
    incidents: Vec<Incident>,
}

/// Incidents, newest first.
#[utoipa::path(get, path = "/api/v1/incidents", responses((status = OK, body = IncidentsBody)))]
async fn list_incidents(State(engine): State<Arc<Engine>>, SignedIn(caller): SignedIn) -> Result<Json<IncidentsBody>> {
    Ok(Json(IncidentsBody { incidents: engine.incidents(&caller.member).await? }))
}

/// Open an incident.
#[utoipa::path(post, path = "/api/v1/incidents", request_body = WithStepUp<OpenIncident>,
    responses((status = CREATED, body = Incident), (status = BAD_REQUEST, body = ErrorBody)))]
async fn open_incident(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Body(body): Body<OpenIncident>,
) -> Result<(StatusCode, Json<Incident>)> {
    Ok((StatusCode::CREATED, Json(engine.open_incident(caller.member.org, Some(caller.member.id), body).await?)))
}

/// One incident.
#[utoipa::path(get, path = "/api/v1/incidents/{incident}", params(("incident" = u32, Path)),
    responses((status = OK, body = Incident), (status = NOT_FOUND, body = ErrorBody)))]
async fn get_incident(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Path(IncidentPath { incident }): Path<IncidentPath>,
) -> Result<Json<Incident>> {
    Ok(Json(engine.incident(&caller.member, incident).await?))
}

/// Say more about an incident, show its public page, or close it.
#[utoipa::path(post, path = "/api/v1/incidents/{incident}", params(("incident" = u32, Path)),
    request_body = WithStepUp<UpdateIncident>,
    responses((status = OK, body = Incident), (status = BAD_REQUEST, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody)))]
async fn update_incident(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Path(IncidentPath { incident }): Path<IncidentPath>,
    Body(body): Body<UpdateIncident>,
) -> Result<Json<Incident>> {
    Ok(Json(engine.update_incident(&caller.member, incident, body).await?))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DeadlinesBody {
    deadlines: Vec<Deadline>,
}

/// What some laws ask for, and by when. Dates, not advice.
#[utoipa::path(get, path = "/api/v1/incidents/{incident}/deadlines", params(("incident" = u32, Path)),
    responses((status = OK, body = DeadlinesBody), (status = NOT_FOUND, body = ErrorBody)))]
async fn get_deadlines(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Path(IncidentPath { incident }): Path<IncidentPath>,
) -> Result<Json<DeadlinesBody>> {
    Ok(Json(DeadlinesBody { deadlines: engine.deadlines(&caller.member, incident).await? }))
}

/// Find whom an incident concerns: the next version of its scope, which has everybody of the one before.
#[utoipa::path(post, path = "/api/v1/incidents/{incident}/scopes", params(("incident" = u32, Path)),
    request_body = WithStepUp<ScopeOf>,
    responses((status = CREATED, body = ScopeVersion), (status = BAD_REQUEST, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody)))]
async fn scope_incident(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Path(IncidentPath { incident }): Path<IncidentPath>,
    Body(body): Body<ScopeOf>,
) -> Result<(StatusCode, Json<ScopeVersion>)> {
    Ok((StatusCode::CREATED, Json(engine.scope_incident(&caller.member, incident, &body).await?)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DraftBody {
    /// `en`, `es` or `it`.
    language: String,
}

/// The notices of the newest scope, as they would be sent now.
#[utoipa::path(post, path = "/api/v1/incidents/{incident}/notices/draft", params(("incident" = u32, Path)),
    request_body = DraftBody,
    responses((status = OK, body = Draft), (status = BAD_REQUEST, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody)))]
async fn draft_notices(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Path(IncidentPath { incident }): Path<IncidentPath>,
    Body(body): Body<DraftBody>,
) -> Result<Json<Draft>> {
    Ok(Json(engine.draft_notices(&caller.member, incident, &body.language).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignBody {
    /// `en`, `es` or `it`.
    language: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct SignedBody {
    signed: Signed,
}

/// Sign the notices of the newest scope. The second member who signs the same texts publishes and sends them.
#[utoipa::path(post, path = "/api/v1/incidents/{incident}/notices/sign", params(("incident" = u32, Path)),
    request_body = WithStepUp<SignBody>,
    responses((status = OK, body = SignedBody), (status = BAD_REQUEST, body = ErrorBody), (status = FORBIDDEN, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody), (status = TOO_MANY_REQUESTS, body = ErrorBody)))]
async fn sign_notices(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Path(IncidentPath { incident }): Path<IncidentPath>,
    Stepped(stepped_up): Stepped,
    Body(SignBody { language }): Body<SignBody>,
) -> Result<Json<SignedBody>> {
    // On a task of its own: whoever hangs up does not leave it half done.
    let signing = tokio::spawn(async move { engine.sign_notices(&caller, stepped_up, incident, &language).await });
    let signed = signing.await.map_err(|_| cofferdam_engine::Error::Interrupted)??;
    Ok(Json(SignedBody { signed }))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ProgressBody {
    versions: Vec<NoticeProgress>,
}

/// How the notices stand, by version.
#[utoipa::path(get, path = "/api/v1/incidents/{incident}/notices", params(("incident" = u32, Path)),
    responses((status = OK, body = ProgressBody), (status = NOT_FOUND, body = ErrorBody)))]
async fn get_progress(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Path(IncidentPath { incident }): Path<IncidentPath>,
) -> Result<Json<ProgressBody>> {
    Ok(Json(ProgressBody { versions: engine.notice_progress(&caller.member, incident).await? }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PauseBody {
    is_paused: bool,
}

/// Hold the notices back, or let them go on.
#[utoipa::path(put, path = "/api/v1/incidents/{incident}/notices/pause", params(("incident" = u32, Path)),
    request_body = WithStepUp<PauseBody>, responses((status = NO_CONTENT), (status = NOT_FOUND, body = ErrorBody)))]
async fn pause_notices(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Path(IncidentPath { incident }): Path<IncidentPath>,
    Body(body): Body<PauseBody>,
) -> Result<StatusCode> {
    engine.pause_notices(&caller.member, incident, body.is_paused).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize, ToSchema)]
pub(crate) struct UnreachedBody {
    /// Pseudonyms, and why.
    unreached: Vec<(String, String)>,
}

/// Persons whom no notice reached: somebody has to tell them otherwise.
#[utoipa::path(get, path = "/api/v1/incidents/{incident}/notices/unreached", params(("incident" = u32, Path)),
    responses((status = OK, body = UnreachedBody), (status = NOT_FOUND, body = ErrorBody)))]
async fn list_unreached(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Path(IncidentPath { incident }): Path<IncidentPath>,
) -> Result<Json<UnreachedBody>> {
    Ok(Json(UnreachedBody { unreached: engine.unreached(&caller.member, incident).await? }))
}

// Containment.

#[derive(Serialize, ToSchema)]
pub(crate) struct SuspectBody {
    target: TargetBody,
    /// Of a member or a token.
    name: Option<String>,
    /// How many disclosures of the scope name it.
    disclosures: u64,
    /// Why it would not be locked.
    left_out: Option<LeftOut>,
}

impl From<Suspect> for SuspectBody {
    fn from(suspect: Suspect) -> SuspectBody {
        let Suspect { target, name, disclosures, left_out } = suspect;
        SuspectBody { target: target.into(), name, disclosures, left_out }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct SuspectsBody {
    /// What the newest scope names: members, sessions, tokens, grants, addresses.
    suspects: Vec<SuspectBody>,
    /// Members of the organisation: how many would have to sign in anew.
    staff: u64,
}

/// What containing would lock: everything that the disclosures of the newest scope name.
#[utoipa::path(get, path = "/api/v1/incidents/{incident}/contain", params(("incident" = u32, Path)),
    responses((status = OK, body = SuspectsBody), (status = NOT_FOUND, body = ErrorBody)))]
async fn get_containment(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Path(IncidentPath { incident }): Path<IncidentPath>,
) -> Result<Json<SuspectsBody>> {
    let (suspects, staff) = engine.suspects(&caller, incident).await?;
    Ok(Json(SuspectsBody { suspects: suspects.into_iter().map(SuspectBody::from).collect(), staff }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContainBody {
    /// Whatever the newest scope names; when nothing else is named it is meant.
    #[serde(default)]
    from_scope: bool,
    /// These, too.
    #[serde(default)]
    targets: Vec<TargetBody>,
    /// Who has to sign in anew.
    #[serde(default)]
    reset: Reset,
    /// Members whose passkeys are removed, since they may be in other hands.
    #[serde(default)]
    suspect_passkeys: Vec<u32>,
}

impl ContainBody {
    fn read(self) -> Result<Contain> {
        let ContainBody { from_scope, targets, reset, suspect_passkeys } = self;
        let is_too_many = |count: usize| count > limits::LOCK_TARGETS_MAX;
        let members = if let Reset::Members { members } = &reset { members.len() } else { 0 };
        if is_too_many(targets.len()) || is_too_many(members) || is_too_many(suspect_passkeys.len()) {
            return Err(Failure::invalid_body());
        }
        let targets = targets.iter().map(TargetBody::read).collect::<Result<Vec<LockTarget>>>()?;
        Ok(Contain { from_scope, targets, reset, suspect_passkeys })
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ContainedBody {
    /// With what was done among its containments.
    incident: Incident,
    locks: Vec<ContainedLockBody>,
    left_out: Vec<LeftOutBody>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ContainedLockBody {
    /// Opened by two people: `POST /api/v1/locks/{lock}/open`.
    lock: u64,
    target: TargetBody,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct LeftOutBody {
    target: TargetBody,
    why: LeftOut,
}

impl From<Contained> for ContainedBody {
    fn from(contained: Contained) -> ContainedBody {
        let Contained { incident, locks, left_out } = contained;
        let locks = locks.into_iter().map(|(lock, target)| ContainedLockBody { lock, target: target.into() });
        let left_out = left_out.into_iter().map(|(target, why)| LeftOutBody { target: target.into(), why });
        ContainedBody { incident, locks: locks.collect(), left_out: left_out.collect() }
    }
}

/// Stop it: lock, end streams, have staff sign in anew. One act, without anybody's approval, within a second.
#[utoipa::path(post, path = "/api/v1/incidents/{incident}/contain", params(("incident" = u32, Path)),
    request_body = WithStepUp<ContainBody>,
    responses((status = OK, body = ContainedBody), (status = BAD_REQUEST, body = ErrorBody), (status = UNAUTHORIZED, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody)))]
async fn contain_incident(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Stepped(stepped_up): Stepped,
    Path(IncidentPath { incident }): Path<IncidentPath>,
    Body(body): Body<ContainBody>,
) -> Result<Json<ContainedBody>> {
    let contain = body.read()?;
    // On a task of its own: whoever hangs up does not leave it half done.
    let act = tokio::spawn(async move { engine.contain(&caller, stepped_up, incident, contain).await });
    let contained = act.await.map_err(|_| cofferdam_engine::Error::Interrupted)??;
    Ok(Json(contained.into()))
}

// The package.

#[derive(Serialize, ToSchema)]
pub(crate) struct PackageOfBody {
    /// Of the newest scope; none while nobody is known to be concerned.
    package: Option<PackageOffer>,
}

/// What can be downloaded of the newest scope, and whether the caller's request for it waits for a second person.
#[utoipa::path(get, path = "/api/v1/incidents/{incident}/package", params(("incident" = u32, Path)),
    responses((status = OK, body = PackageOfBody), (status = NOT_FOUND, body = ErrorBody)))]
async fn get_package(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Path(IncidentPath { incident }): Path<IncidentPath>,
) -> Result<Json<PackageOfBody>> {
    Ok(Json(PackageOfBody { package: engine.package_offer(&caller, incident).await? }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PackageBody {
    /// The age recipient (`age1…`) who alone can open the list of persons.
    recipient: String,
}

/// The package: `scope.csv.age`, `disclosures.csv`, `summary.json`, `scope.proof` and drafts of letters, as a tar file. It
/// takes a second person: the answer is 202 until somebody agreed (`POST /api/v1/waiting/{waiting}/agree`), and the same request within
/// an hour of that downloads it.
#[utoipa::path(post, path = "/api/v1/incidents/{incident}/package", params(("incident" = u32, Path)),
    request_body = WithStepUp<PackageBody>,
    responses((status = OK, content_type = "application/octet-stream", body = String), (status = ACCEPTED, body = AskedBody),
        (status = BAD_REQUEST, body = ErrorBody), (status = UNAUTHORIZED, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody)))]
async fn download_package(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Stepped(stepped_up): Stepped,
    Path(IncidentPath { incident }): Path<IncidentPath>,
    Body(body): Body<PackageBody>,
) -> Result<Response> {
    let recipient = cofferdam_engine::package_recipient(&body.recipient)?;
    let begun = tokio::spawn(async move { engine.download_package(&caller, stepped_up, incident, recipient).await });
    match begun.await.map_err(|_| cofferdam_engine::Error::Interrupted)?? {
        Agreed::Waits(asked) => Ok(AskedBody::from(asked).into_response()),
        Agreed::Given((name, pieces)) => Ok(crate::disclosures::download(&name, crate::disclosures::streamed(pieces))),
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AlarmsBody {
    /// Newest first; none for whom they are no business.
    alarms: Vec<Alarm>,
}

/// What whoever is in charge must know now: limits that tripped and opened an incident which is not closed, and limits
/// that refused somebody within the hour. Made to be asked for every few seconds.
#[utoipa::path(get, path = "/api/v1/alarms", responses((status = OK, body = AlarmsBody)))]
async fn list_alarms(State(engine): State<Arc<Engine>>, SignedIn(caller): SignedIn) -> Result<Json<AlarmsBody>> {
    Ok(Json(AlarmsBody { alarms: engine.alarms(&caller).await? }))
}

// The commands.

#[derive(Subcommand)]
pub(crate) enum NoticesCommand {
    /// Make the keys that sign notices, where there are none, and print the DNS records that publish them
    Keys {
        #[command(flatten)]
        place: Box<Stopped>,
        /// The domain that notices are from
        #[arg(long)]
        domain: String,
        /// New keys, in place of those there are: publish them before the server starts with them
        #[arg(long)]
        new: bool,
    },
    /// Check that what a domain publishes in the DNS lets notices through
    Preflight {
        #[command(flatten)]
        place: Box<Stopped>,
        #[arg(long)]
        domain: String,
        /// What `dig +noall +answer` prints for the TXT records of the domain, of both keys and of _dmarc
        #[arg(long)]
        records: PathBuf,
    },
}

pub(crate) async fn notices(command: NoticesCommand) -> anyhow::Result<ExitCode> {
    match command {
        NoticesCommand::Keys { place, domain, new } => {
            let keys = mail_keys(&place, new).await?;
            say(if keys.is_new {
                "new keys; publish them as TXT records:"
            } else {
                "the keys there are, as TXT records:"
            });
            for (name, value) in keys.records(&domain)? {
                say(&format!("{name}. IN TXT \"{value}\""));
            }
            Ok(ExitCode::SUCCESS)
        }
        NoticesCommand::Preflight { place, domain, records } => {
            let text =
                std::fs::read_to_string(&records).with_context(|| format!("could not read {}", records.display()))?;
            let wrong = mail_keys(&place, false).await?.preflight(&domain, &text)?;
            wrong.iter().for_each(|line| say(line));
            if wrong.is_empty() {
                say(&format!("SPF, DKIM and DMARC of {domain} let notices through"));
            }
            Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

async fn mail_keys(place: &Stopped, renew: bool) -> anyhow::Result<MailKeys> {
    let site = place.home.site()?;
    let there = place.home.data.is_dir() && cofferdam_engine::root_wanted(&site).await?.is_some();
    anyhow::ensure!(there, "{} holds no data of a server", place.home.data.display());
    let lock = crate::serve::lock_folder(&place.home.data)?;
    let keys = MailKeys::of_site(&site, place.root.of_site(&site).await?, renew).await?;
    drop(lock);
    Ok(keys)
}

#[derive(Subcommand)]
pub(crate) enum IncidentCommand {
    /// Open an incident at the server that runs on a folder
    Open {
        /// The server's folder
        #[arg(long, env = "COFFERDAM_DATA", default_value = "cofferdam-data")]
        data: PathBuf,
        #[arg(long, default_value_t = 1)]
        organisation: u32,
        /// What those who are told know the product by
        #[arg(long)]
        service: String,
        /// It is an exercise
        #[arg(long)]
        drill: bool,
    },
    /// Stop what an incident is about, at once: lock, end streams, have staff sign in anew. Without anything named, what
    /// the newest scope names
    Contain {
        /// The server's folder
        #[arg(long, env = "COFFERDAM_DATA", default_value = "cofferdam-data")]
        data: PathBuf,
        #[arg(long)]
        incident: u32,
        /// What the newest scope names, besides what is named here
        #[arg(long)]
        scope: bool,
        /// Lock a member, by their e-mail address
        #[arg(long, value_name = "EMAIL")]
        member: Vec<String>,
        #[arg(long, value_name = "NUMBER")]
        token: Vec<u64>,
        /// Lock a disclosure, by its number
        #[arg(long, value_name = "NUMBER")]
        grant: Vec<u64>,
        /// Block an address, or a network such as 192.0.2.0/24
        #[arg(long, value_name = "ADDRESS")]
        network: Vec<String>,
        /// Have a member sign in anew, by their e-mail address
        #[arg(long, value_name = "EMAIL")]
        reset: Vec<String>,
        /// Have all staff sign in anew
        #[arg(long, conflicts_with = "reset")]
        reset_all: bool,
        /// Remove a member's passkeys, which may be in other hands
        #[arg(long, value_name = "EMAIL")]
        passkeys_of: Vec<String>,
    },
    /// Write the list of persons whom an incident concerns, encrypted to a key
    Package {
        /// The server's folder
        #[arg(long, env = "COFFERDAM_DATA", default_value = "cofferdam-data")]
        data: PathBuf,
        #[arg(long)]
        incident: u32,
        /// The age recipient (age1…) that can open it
        #[arg(long)]
        to: String,
        /// A new folder
        #[arg(long)]
        out: PathBuf,
    },
}

pub(crate) fn incident(command: IncidentCommand) -> anyhow::Result<ExitCode> {
    let (data, ask) = match command {
        IncidentCommand::Open { data, organisation, service, drill } => {
            (data, Ask::OpenIncident { organisation, service, drill })
        }
        IncidentCommand::Contain {
            data,
            incident,
            scope,
            member,
            token,
            grant,
            network,
            reset,
            reset_all,
            passkeys_of,
        } => {
            let asked = ContainAsked { scope, member, token, grant, network, reset, reset_all, passkeys_of };
            (data, Ask::Contain { incident, asked })
        }
        IncidentCommand::Package { data, incident, to, out } => {
            let out = std::path::absolute(&out).with_context(|| format!("{} is no place", out.display()))?;
            (data, Ask::Package { incident, recipient: to, out })
        }
    };
    let told = control::ask(&data, &ask)?;
    say(&told.with_context(|| format!("no server runs on {}", data.display()))?);
    Ok(ExitCode::SUCCESS)
}

/// What the control socket does for the commands above.
pub(crate) async fn open_from_here(
    engine: &Engine,
    organisation: u32,
    service: &str,
    is_drill: bool,
) -> anyhow::Result<String> {
    let open = OpenIncident {
        cause: if is_drill { IncidentCause::Drill } else { IncidentCause::Member },
        account: AccountKind::Unknown,
        service: service.to_owned(),
        occurred_us: None,
        detected_us: None,
    };
    let incident = engine.open_incident(OrgId(organisation), None, open).await?;
    Ok(format!("incident {} is open", incident.id))
}

/// What the command names.
#[derive(Serialize, Deserialize)]
pub(crate) struct ContainAsked {
    scope: bool,
    member: Vec<String>,
    token: Vec<u64>,
    grant: Vec<u64>,
    network: Vec<String>,
    reset: Vec<String>,
    reset_all: bool,
    passkeys_of: Vec<String>,
}

pub(crate) async fn contain_from_here(engine: &Engine, incident: u32, asked: &ContainAsked) -> anyhow::Result<String> {
    let members = async |emails: &[String]| {
        let mut numbers = Vec::with_capacity(emails.len());
        for email in emails {
            let found = engine.member_of_incident(incident, email).await;
            numbers.push(found.with_context(|| format!("{email} is no member of the incident's organisation"))?);
        }
        anyhow::Ok(numbers)
    };
    let mut targets: Vec<LockTarget> = members(&asked.member).await?.into_iter().map(LockTarget::Member).collect();
    targets.extend(asked.token.iter().map(|token| LockTarget::Token(*token)));
    targets.extend(asked.grant.iter().map(|grant| LockTarget::Grant(*grant)));
    for text in &asked.network {
        let network = Network::parse(text).with_context(|| format!("{text} is no address and no network"))?;
        targets.push(LockTarget::Network(network));
    }
    let reset = match (asked.reset_all, members(&asked.reset).await?) {
        (true, _) => Reset::Everybody,
        (false, members) if members.is_empty() => Reset::Nobody,
        (false, members) => Reset::Members { members },
    };
    let suspect_passkeys = members(&asked.passkeys_of).await?;
    let contain = Contain { from_scope: asked.scope, targets, reset, suspect_passkeys };
    let Contained { incident, locks, left_out } = engine.contain_from_here(incident, contain).await?;
    let done = incident.containments.last().context("it was contained a moment ago")?;
    let mut told = format!(
        "incident {} is contained: {} locks, {} streams broken off, {} sessions and {} tokens ended, in {:.1} ms",
        incident.id,
        locks.len(),
        done.streams,
        done.sessions,
        done.tokens,
        done.took_us as f64 / 1_000.0
    );
    if !left_out.is_empty() {
        told.push_str(&format!("; {} were left out, being locked or gone already", left_out.len()));
    }
    Ok(told)
}

pub(crate) async fn package_from_here(
    engine: &Engine,
    incident: u32,
    recipient: &str,
    out: &std::path::Path,
) -> anyhow::Result<String> {
    let recipient = cofferdam_engine::package_recipient(recipient)?;
    let made = engine.package(incident, recipient, out).await?;
    Ok(format!(
        "{} persons of version {} are in {}; {} without an id",
        made.persons,
        made.version,
        out.display(),
        made.without_id
    ))
}
