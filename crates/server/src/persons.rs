//! One person over the API: found by an address, their own data as a download, erased with a certificate; and the
//! commands that compact and that part who was merged.
//!
//! What shows personal values takes a passkey's signature over that very request, and so does what cannot be undone,
//! from whoever has a passkey. Addresses travel in bodies, never in a URL, and what comes back is never kept by a cache.

use std::process::ExitCode;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use cofferdam_engine::{
    AccessFormat, AccessPurpose, Agreed, Compacted, Engine, Erasure, ErasureMade, ErasureReason, Error, PersonMerge,
    Whom,
};
use cofferdam_model::{Class, Control, Deed, ProjectId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::api::{Body, ErrorBody, Result};
use crate::control::{self, Ask};
use crate::guard::{Need, Of, Routes, SignedIn, Stepped, WithStepUp};
use crate::members::AskedBody;
use crate::say;
use crate::serve::Stopped;

pub(crate) fn router() -> Routes {
    // A list of ids is larger than any question.
    let lists = Routes::of_lists().at(Need::Data(Deed::Erase, Class::C4), routes!(erase_persons));
    Routes::new()
        .at(Need::Do(Control::SeekPersons), routes!(find_persons))
        .at(Need::Data(Deed::RevealOne, Class::C4), routes!(access_person))
        .at(Need::Do(Control::ReadErasures), routes!(list_erasures))
        .at(Need::Do(Control::ReadErasures), routes!(get_certificate))
        .at(Need::Do(Control::Compact), routes!(compact))
        .merge(lists)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FindPersonsBody {
    /// An e-mail address, or a telephone number with its country code.
    address: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct PersonsFoundBody {
    /// Pseudonyms.
    persons: Vec<String>,
}

/// Who has an address. The ledger has that somebody asked, and how many were found.
#[utoipa::path(post, path = "/api/v1/projects/{project}/persons/find", params(("project" = u32, Path)),
    request_body = FindPersonsBody, responses((status = OK, body = PersonsFoundBody)))]
async fn find_persons(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Of(project): Of,
    Body(body): Body<FindPersonsBody>,
) -> Result<Json<PersonsFoundBody>> {
    Ok(Json(PersonsFoundBody { persons: engine.find_persons(&caller, &project, &body.address).await? }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessBody {
    /// A pseudonym.
    person: String,
    purpose: AccessPurpose,
    format: AccessFormat,
}

/// Everything that is stored about a person, in clear, to hand to them. The last line says that it is whole. It takes a
/// second person: the answer is 202 until somebody agreed (`POST /api/v1/waiting/{waiting}/agree`), and the same request
/// within an hour of that, in any format, answers the data.
#[utoipa::path(post, path = "/api/v1/projects/{project}/persons/access", params(("project" = u32, Path)),
    request_body = WithStepUp<AccessBody>,
    responses((status = OK, content_type = "application/x-ndjson", body = String), (status = ACCEPTED, body = AskedBody),
        (status = FORBIDDEN, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody),
        (status = TOO_MANY_REQUESTS, body = ErrorBody)))]
async fn access_person(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Of(project): Of,
    Stepped(stepped_up): Stepped,
    Body(body): Body<AccessBody>,
) -> Result<Response> {
    let AccessBody { person, purpose, format } = body;
    // On a task of its own: whoever hangs up does not leave it reserved and without an end.
    let begun =
        tokio::spawn(async move { engine.access(&caller, stepped_up, &project, &person, purpose, format).await });
    let pieces = match begun.await.map_err(|_| Error::Interrupted)?? {
        Agreed::Waits(asked) => return Ok(AskedBody::from(asked).into_response()),
        Agreed::Given(pieces) => pieces,
    };
    let (kind, name) = match format {
        AccessFormat::Ndjson => ("application/x-ndjson; charset=utf-8", "attachment; filename=\"person.ndjson\""),
        AccessFormat::Html => ("text/html; charset=utf-8", "attachment; filename=\"person.html\""),
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    Ok((headers, crate::disclosures::streamed(pieces)).into_response())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErasePersonsBody {
    /// Pseudonyms.
    #[serde(default)]
    persons: Vec<String>,
    /// Distinct ids.
    #[serde(default)]
    ids: Vec<String>,
    reason: ErasureReason,
}

/// Erase persons everywhere: profiles, keys, addresses, ids, events. It cannot be undone. At most 200,000 at once. It
/// takes a second person: the answer is 202 until somebody agreed (`POST /api/v1/waiting/{waiting}/agree`), and the same
/// request within an hour of that erases.
#[utoipa::path(post, path = "/api/v1/projects/{project}/erasures", params(("project" = u32, Path)),
    request_body = WithStepUp<ErasePersonsBody>,
    responses((status = OK, body = ErasureMade), (status = ACCEPTED, body = AskedBody), (status = BAD_REQUEST, body = ErrorBody), (status = FORBIDDEN, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody), (status = TOO_MANY_REQUESTS, body = ErrorBody)))]
async fn erase_persons(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Of(project): Of,
    Stepped(stepped_up): Stepped,
    Body(body): Body<ErasePersonsBody>,
) -> Result<Response> {
    let ErasePersonsBody { persons, ids, reason } = body;
    // On a task of its own: whoever hangs up does not leave it half done.
    let erasing =
        tokio::spawn(async move { engine.erase(&caller, stepped_up, &project, &Whom { persons, ids }, reason).await });
    Ok(match erasing.await.map_err(|_| Error::Interrupted)?? {
        Agreed::Waits(asked) => AskedBody::from(asked).into_response(),
        Agreed::Given(made) => Json(made).into_response(),
    })
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ErasuresBody {
    erasures: Vec<Erasure>,
}

/// The newest erasures, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/erasures", params(("project" = u32, Path)),
    responses((status = OK, body = ErasuresBody)))]
async fn list_erasures(State(engine): State<Arc<Engine>>, Of(project): Of) -> Result<Json<ErasuresBody>> {
    Ok(Json(ErasuresBody { erasures: engine.erasures(&project).await? }))
}

#[derive(Deserialize)]
struct ErasurePath {
    erasure: u32,
}

/// The certificate of an erasure: a text that `cofferdam ledger verify --proof` verifies with the ledger's key alone.
#[utoipa::path(get, path = "/api/v1/projects/{project}/erasures/{erasure}/certificate",
    params(("project" = u32, Path), ("erasure" = u32, Path)),
    responses((status = OK, content_type = "text/plain", body = String), (status = NOT_FOUND, body = ErrorBody)))]
async fn get_certificate(
    State(engine): State<Arc<Engine>>,
    Of(project): Of,
    Path(ErasurePath { erasure }): Path<ErasurePath>,
) -> Result<Response> {
    let text = engine.certificate(&project, erasure).await?;
    let name = "attachment; filename=\"certificate.txt\"";
    Ok(([(header::CONTENT_DISPOSITION, name), (header::CACHE_CONTROL, "no-store")], text).into_response())
}

/// Write everything to files now, and take the rows of erased persons out of them.
#[utoipa::path(post, path = "/api/v1/compact", responses((status = OK, body = Compacted)))]
async fn compact(State(engine): State<Arc<Engine>>) -> Result<Json<Compacted>> {
    Ok(Json(engine.compact().await?))
}

// The command.

#[derive(clap::Args)]
pub(crate) struct CompactArgs {
    #[command(flatten)]
    place: Stopped,
    /// Do not wait for anything to become due
    #[arg(long, required = true)]
    now: bool,
}

pub(crate) async fn compact_stopped(args: CompactArgs) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(args.now, "compaction that is due runs in the server by itself: say --now");
    let engine = args.place.open().await?;
    let done = engine.compact().await?;
    say(&format!("segments: {} before, {} after", done.segments_before, done.segments_after));
    say(&format!("hidden rows in them: {} before, {} after", done.hidden_before, done.hidden_after));
    Ok(ExitCode::SUCCESS)
}

#[derive(clap::Args)]
pub(crate) struct UnmergeArgs {
    #[command(flatten)]
    place: Stopped,
    /// The project's number
    #[arg(long)]
    project: u32,
    /// Pseudonym of the person: per_…
    person: String,
    /// Number of the merge that is undone; without it they are listed
    merge: Option<u32>,
}

/// Asks the server that runs on the folder, or works on the folder itself.
pub(crate) async fn unmerge(args: UnmergeArgs) -> anyhow::Result<ExitCode> {
    let UnmergeArgs { place, project, person, merge } = args;
    let ask = match merge {
        None => Ask::Merges { project, person: person.clone() },
        Some(merge) => Ask::Unmerge { project, person: person.clone(), merge },
    };
    let text = match (control::ask(&place.home.data, &ask)?, merge) {
        (Some(text), _) => text,
        (None, None) => merges(&place.open().await?, project, &person).await?,
        (None, Some(merge)) => undo_merge(&place.open().await?, project, &person, merge).await?,
    };
    say(&text);
    Ok(ExitCode::SUCCESS)
}

/// A line for each merge that made a person.
pub(crate) async fn merges(engine: &Engine, project: u32, person: &str) -> anyhow::Result<String> {
    let project = engine.project(ProjectId(project))?;
    let made = engine.merges_of(&project, person).await?;
    if made.is_empty() {
        return Ok("this person was never merged with another".to_owned());
    }
    let line = |merge: &PersonMerge| {
        let time = merge.time_us.and_then(|time_us| jiff::Timestamp::from_microsecond(time_us).ok());
        let time = time.map_or_else(|| "at an unknown time".to_owned(), |time| format!("{time:.0}"));
        let state = if merge.is_final { "for good: their events are stored as one" } else { "can be undone" };
        format!("{}\t{} became part of {}\t{time}\t{state}", merge.number, merge.alias, merge.canonical)
    };
    Ok(made.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// Parts two that became one person.
pub(crate) async fn undo_merge(engine: &Engine, project: u32, person: &str, merge: u32) -> anyhow::Result<String> {
    let project = engine.project(ProjectId(project))?;
    engine.unmerge(&project, person, merge, engine.acting(None)).await?;
    Ok(format!("merge {merge} is undone: they are two persons again"))
}
