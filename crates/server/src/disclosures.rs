//! Disclosure over the API: asked for, approved, run as a download, proved; one field of one person; limits that
//! tripped. And `cofferdam export`: verifying a download and its proof without us.
//!
//! What leaves is never kept by a cache, and is never a file here.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use aws_lc_rs::digest::{Context as Hash, SHA256};
use axum::Json;
use axum::body::Body as Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use clap::{Args, Subcommand};
use cofferdam_engine::{Disclosure, DisclosurePlan, DisclosureRequest, Engine, Error, Pieces, Purpose, Revealed, Trip};
use cofferdam_ledger::export::ExportProof;
use cofferdam_ledger::note::VerifierKey;
use cofferdam_model::{Class, Control, Deed, PersonalField, limits};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::api::{Body, ErrorBody, Result};
use crate::guard::{Need, Of, OnlyStepUp, Routes, SignedIn, Stepped, WithStepUp};
use crate::say;

pub(crate) fn router() -> Routes {
    // What a request opens is in its body: the engine asks the policy then.
    Routes::new()
        .at(Need::Account, routes!(plan_disclosure))
        .at(Need::AccountShownAgain, routes!(request_disclosure))
        .at(Need::Account, routes!(list_disclosures))
        .at(Need::Account, routes!(get_disclosure, withdraw_disclosure))
        .at(Need::AccountShownAgain, routes!(approve_disclosure))
        .at(Need::Account, routes!(deny_disclosure))
        .at(Need::AccountShownAgain, routes!(run_disclosure))
        .at(Need::Account, routes!(get_export_proof))
        .at(Need::Data(Deed::RevealOne, Class::C3), routes!(reveal_field))
        .at(Need::Account, routes!(list_limits))
        .at(Need::Do(Control::Unlock), routes!(close_limit))
}

/// What a request would take: a hash, others who must approve, a wait. Nothing is kept of it.
#[utoipa::path(post, path = "/api/v1/projects/{project}/disclosures/plan", params(("project" = u32, Path)),
    request_body = DisclosureRequest,
    responses((status = OK, body = DisclosurePlan), (status = BAD_REQUEST, body = ErrorBody), (status = FORBIDDEN, body = ErrorBody)))]
async fn plan_disclosure(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Of(project): Of,
    Body(request): Body<DisclosureRequest>,
) -> Result<Json<DisclosurePlan>> {
    Ok(Json(engine.plan_disclosure(&caller, &project, request).await?))
}

/// Ask for a disclosure: a field of one person, events under pseudonyms, or personal values of many.
#[utoipa::path(post, path = "/api/v1/projects/{project}/disclosures", params(("project" = u32, Path)),
    request_body = WithStepUp<DisclosureRequest>,
    responses((status = CREATED, body = Disclosure), (status = BAD_REQUEST, body = ErrorBody), (status = FORBIDDEN, body = ErrorBody)))]
async fn request_disclosure(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Of(project): Of,
    Stepped(stepped_up): Stepped,
    Body(request): Body<DisclosureRequest>,
) -> Result<(StatusCode, Json<Disclosure>)> {
    let made = engine.request_disclosure(&caller, &project, request, stepped_up).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DisclosuresBody {
    disclosures: Vec<Disclosure>,
}

/// The caller's disclosures, those that wait for them, and all for whoever approves or oversees; newest first.
#[utoipa::path(get, path = "/api/v1/disclosures", responses((status = OK, body = DisclosuresBody)))]
async fn list_disclosures(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<DisclosuresBody>> {
    Ok(Json(DisclosuresBody { disclosures: engine.disclosures(&caller).await? }))
}

#[derive(Deserialize)]
struct DisclosurePath {
    disclosure: u32,
}

/// One disclosure, with how far it is while it runs.
#[utoipa::path(get, path = "/api/v1/disclosures/{disclosure}", params(("disclosure" = u32, Path)),
    responses((status = OK, body = Disclosure), (status = NOT_FOUND, body = ErrorBody)))]
async fn get_disclosure(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Path(DisclosurePath { disclosure }): Path<DisclosurePath>,
) -> Result<Json<Disclosure>> {
    Ok(Json(engine.disclosure(&caller, disclosure).await?))
}

/// Take one's own request back; what runs of it stops.
#[utoipa::path(delete, path = "/api/v1/disclosures/{disclosure}", params(("disclosure" = u32, Path)),
    responses((status = OK, body = Disclosure), (status = NOT_FOUND, body = ErrorBody), (status = CONFLICT, body = ErrorBody)))]
async fn withdraw_disclosure(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Path(DisclosurePath { disclosure }): Path<DisclosurePath>,
) -> Result<Json<Disclosure>> {
    Ok(Json(engine.withdraw_disclosure(&caller, disclosure).await?))
}

/// Which request is meant: the one that was seen.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeenBody {
    /// The disclosure's hash.
    hash: String,
}

/// Approve what somebody else asked for.
#[utoipa::path(post, path = "/api/v1/disclosures/{disclosure}/approval", params(("disclosure" = u32, Path)),
    request_body = WithStepUp<SeenBody>,
    responses((status = OK, body = Disclosure), (status = FORBIDDEN, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody),
        (status = CONFLICT, body = ErrorBody)))]
async fn approve_disclosure(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Stepped(stepped_up): Stepped,
    Path(DisclosurePath { disclosure }): Path<DisclosurePath>,
    Body(SeenBody { hash }): Body<SeenBody>,
) -> Result<Json<Disclosure>> {
    Ok(Json(engine.approve_disclosure(&caller, disclosure, &hash, stepped_up).await?))
}

/// Deny what somebody else asked for; what runs of it stops. Stopping takes nothing but the role.
#[utoipa::path(post, path = "/api/v1/disclosures/{disclosure}/denial", params(("disclosure" = u32, Path)),
    responses((status = OK, body = Disclosure), (status = FORBIDDEN, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody),
        (status = CONFLICT, body = ErrorBody)))]
async fn deny_disclosure(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Path(DisclosurePath { disclosure }): Path<DisclosurePath>,
) -> Result<Json<Disclosure>> {
    Ok(Json(engine.deny_disclosure(&caller, disclosure).await?))
}

/// Run what was approved: a download. Encrypted to the recipient of the request, where it has one.
#[utoipa::path(post, path = "/api/v1/disclosures/{disclosure}/run", params(("disclosure" = u32, Path)),
    request_body = WithStepUp<SeenBody>,
    responses((status = OK, content_type = "application/octet-stream", body = String), (status = FORBIDDEN, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody), (status = CONFLICT, body = ErrorBody), (status = TOO_MANY_REQUESTS, body = ErrorBody)))]
async fn run_disclosure(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Stepped(stepped_up): Stepped,
    Path(DisclosurePath { disclosure }): Path<DisclosurePath>,
    Body(SeenBody { hash }): Body<SeenBody>,
) -> Result<Response> {
    // On a task of its own: whoever hangs up does not leave it reserved and without an end.
    let begun = tokio::spawn(async move { engine.run_disclosure(&caller, disclosure, &hash, stepped_up).await });
    let (pieces, name) = begun.await.map_err(|_| Error::Interrupted)??;
    Ok(download(&name, streamed(pieces)))
}

/// The proof of an export that left whole: `cofferdam export verify` verifies it with the ledger's key alone.
#[utoipa::path(get, path = "/api/v1/disclosures/{disclosure}/proof", params(("disclosure" = u32, Path)),
    responses((status = OK, content_type = "text/plain", body = String), (status = NOT_FOUND, body = ErrorBody),
        (status = CONFLICT, body = ErrorBody)))]
async fn get_export_proof(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Path(DisclosurePath { disclosure }): Path<DisclosurePath>,
) -> Result<Response> {
    let text = engine.disclosure_proof(&caller, disclosure).await?;
    Ok(download(&format!("export-{disclosure}.proof"), Bytes::from(text)))
}

/// A body of what leaves, piece by piece.
pub(crate) fn streamed(mut pieces: Pieces) -> Bytes {
    Bytes::from_stream(futures_util::stream::poll_fn(move |context| pieces.poll_recv(context)))
}

/// A file that nobody keeps on the way, and no browser opens.
pub(crate) fn download(name: &str, body: Bytes) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    (headers, body).into_response()
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevealBody {
    field: PersonalField,
    purpose: Purpose,
}

#[derive(Deserialize)]
struct PersonPath {
    pseudonym: String,
}

/// Show one field of one person, in clear. What is sensitive takes an approval: ask for it as a disclosure.
#[utoipa::path(post, path = "/api/v1/projects/{project}/persons/{pseudonym}/reveal",
    params(("project" = u32, Path), ("pseudonym" = String, Path)), request_body = WithStepUp<RevealBody>,
    responses((status = OK, body = Revealed), (status = FORBIDDEN, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody),
        (status = TOO_MANY_REQUESTS, body = ErrorBody)))]
async fn reveal_field(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Of(project): Of,
    Stepped(stepped_up): Stepped,
    Path(PersonPath { pseudonym }): Path<PersonPath>,
    Body(RevealBody { field, purpose }): Body<RevealBody>,
) -> Result<Response> {
    let shown =
        tokio::spawn(async move { engine.reveal(&caller, &project, &pseudonym, field, purpose, stepped_up).await });
    let shown = shown.await.map_err(|_| Error::Interrupted)??;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(shown)).into_response())
}

#[derive(Serialize, ToSchema)]
pub(crate) struct LimitsBody {
    /// Newest first.
    trips: Vec<Trip>,
}

/// Limits that tripped: the caller's, and all for whoever reads locks.
#[utoipa::path(get, path = "/api/v1/limits", responses((status = OK, body = LimitsBody)))]
async fn list_limits(State(engine): State<Arc<Engine>>, SignedIn(caller): SignedIn) -> Result<Json<LimitsBody>> {
    Ok(Json(LimitsBody { trips: engine.trips(&caller).await? }))
}

#[derive(Deserialize)]
struct TripPath {
    trip: u32,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ClosingBody {
    /// False while another person has to agree.
    is_closed: bool,
}

/// Agree to close a limit that tripped. It takes two people, neither of whom made it trip.
#[utoipa::path(post, path = "/api/v1/limits/{trip}/closing", params(("trip" = u32, Path)), request_body = OnlyStepUp,
    responses((status = OK, body = ClosingBody), (status = FORBIDDEN, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody),
        (status = CONFLICT, body = ErrorBody)))]
async fn close_limit(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Stepped(stepped_up): Stepped,
    Path(TripPath { trip }): Path<TripPath>,
) -> Result<Json<ClosingBody>> {
    Ok(Json(ClosingBody { is_closed: engine.close_trip(&caller, trip, stepped_up).await? }))
}

// The command.

#[derive(Subcommand)]
pub(crate) enum ExportCommand {
    /// Verify the proof of an export, and that a file is what left
    Verify(ExportVerifyArgs),
}

#[derive(Args)]
pub(crate) struct ExportVerifyArgs {
    /// The proof
    proof: PathBuf,
    /// The file as it was downloaded, still encrypted
    file: Option<PathBuf>,
    /// The ledger's key, as `cofferdam ledger key` prints it
    #[arg(long)]
    key: String,
}

pub(crate) fn run(command: ExportCommand) -> anyhow::Result<ExitCode> {
    let ExportCommand::Verify(args) = command;
    let key = VerifierKey::parse(&args.key)?;
    let mut text = String::new();
    let proof = std::fs::File::open(&args.proof)
        .and_then(|file| file.take(limits::EXPORT_PROOF_BYTES_MAX as u64 + 1).read_to_string(&mut text));
    proof.with_context(|| format!("could not read {}", args.proof.display()))?;
    let (sent, entries) = ExportProof::parse(&text)?.verify(&key)?;
    for (recorded, checkpoint) in &entries {
        let time = jiff::Timestamp::from_microsecond(recorded.time_us.cast_signed())?;
        say(&format!("entry {} of {}: {:?}, {time}", recorded.seq, checkpoint.size, recorded.entry.kind));
    }
    say(&format!("export {}: {} rows, {} bytes left, and the ledger says so", sent.export, sent.rows, sent.bytes));
    if let Some(path) = &args.file {
        let mut file = std::fs::File::open(path).with_context(|| format!("could not read {}", path.display()))?;
        let (mut hash, mut some) = (Hash::new(&SHA256), vec![0; 64 * 1024]);
        loop {
            let read = file.read(&mut some).with_context(|| format!("could not read {}", path.display()))?;
            if read == 0 {
                break;
            }
            hash.update(&some[..read]);
        }
        ensure!(hash.finish().as_ref() == sent.hash, "{} is not the file that left", path.display());
        say(&format!("{} is the file that left", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}
