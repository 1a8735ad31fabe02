//! The door as members see it: tracking plan, quarantine, scan of stored events; over the API and as commands on the
//! data of a server that is not running.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use cofferdam_engine::{Engine, QuarantineView, Released, Scan};
use cofferdam_ledger::Kind;
use cofferdam_model::plan::{Keep, PlanMode};
use cofferdam_model::{Class, Control, ProjectId, TrackingPlan};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::api::{Body, ErrorBody, Result};
use crate::guard::{Need, Of, Routes, SignedIn, Stepped, WithStepUp};
use crate::say;
use crate::serve::Stopped;

pub(crate) fn router() -> Routes {
    let (change, handle) = (Need::Do(Control::ChangePlan), Need::Do(Control::HandleQuarantine));
    Routes::new()
        .at(Need::Do(Control::ReadReports), routes!(get_plan))
        .at(change, routes!(set_plan))
        .at(change, routes!(set_plan_mode))
        .at(Need::Do(Control::SetRetention), routes!(set_keep))
        .at(change, routes!(raise_class))
        .at(handle, routes!(get_quarantine))
        .at(handle, routes!(release))
        .at(handle, routes!(purge))
        .at(handle, routes!(get_scan))
        .at(handle, routes!(remove_from_history))
}

/// The tracking plan: what the project expects of its events.
#[utoipa::path(get, path = "/api/v1/projects/{project}/plan", params(("project" = u32, Path)),
    responses((status = OK, body = TrackingPlan)))]
async fn get_plan(State(engine): State<Arc<Engine>>, Of(project): Of) -> Json<TrackingPlan> {
    Json(engine.plan(&project))
}

/// Exchange the tracking plan. No class may be lowered.
#[utoipa::path(put, path = "/api/v1/projects/{project}/plan", params(("project" = u32, Path)),
    request_body = TrackingPlan, responses((status = OK, body = TrackingPlan), (status = BAD_REQUEST, body = ErrorBody)))]
async fn set_plan(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Of(project): Of,
    Body(plan): Body<TrackingPlan>,
) -> Result<Json<TrackingPlan>> {
    Ok(Json(engine.set_plan(&project, &caller.entry(&engine, Kind::PlanSet), plan).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanModeBody {
    mode: PlanMode,
}

/// How long stored events keep what. What is past that goes for good; it takes a factor once more.
#[utoipa::path(put, path = "/api/v1/projects/{project}/plan/keep", params(("project" = u32, Path)),
    request_body = WithStepUp<Keep>,
    responses((status = OK, body = TrackingPlan), (status = BAD_REQUEST, body = ErrorBody), (status = UNAUTHORIZED, body = ErrorBody)))]
async fn set_keep(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Stepped(stepped_up): Stepped,
    Of(project): Of,
    Body(keep): Body<Keep>,
) -> Result<Json<TrackingPlan>> {
    let request = stepped_up.request();
    stepped_up.spend(&caller, request, Class::C0)?;
    Ok(Json(engine.set_keep(&project, &caller.entry(&engine, Kind::PlanSet), keep).await?))
}

/// Open or strict: whether properties that the plan does not know are quarantined.
#[utoipa::path(put, path = "/api/v1/projects/{project}/plan/mode", params(("project" = u32, Path)),
    request_body = PlanModeBody, responses((status = OK, body = TrackingPlan)))]
async fn set_plan_mode(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Of(project): Of,
    Body(body): Body<PlanModeBody>,
) -> Result<Json<TrackingPlan>> {
    Ok(Json(engine.set_plan_mode(&project, &caller.entry(&engine, Kind::PlanSet), body.mode).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClassBody {
    property: String,
    class: Class,
}

/// Raise the class of a property, from the next event on.
#[utoipa::path(put, path = "/api/v1/projects/{project}/properties/class", params(("project" = u32, Path)),
    request_body = ClassBody, responses((status = NO_CONTENT), (status = BAD_REQUEST, body = ErrorBody)))]
async fn raise_class(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Of(project): Of,
    Body(body): Body<ClassBody>,
) -> Result<StatusCode> {
    engine.raise_class(&project, &caller.entry(&engine, Kind::PlanSet), &body.property, body.class).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is in quarantine: names, counts and the kinds of values, never a value.
#[utoipa::path(get, path = "/api/v1/projects/{project}/quarantine", params(("project" = u32, Path)),
    responses((status = OK, body = QuarantineView)))]
async fn get_quarantine(State(engine): State<Arc<Engine>>, Of(project): Of) -> Result<Json<QuarantineView>> {
    Ok(Json(engine.quarantine(&project).await?))
}

/// Take a property into the plan. Its quarantined values are sealed into profiles (C3, C4) or destroyed.
#[utoipa::path(post, path = "/api/v1/projects/{project}/quarantine/release", params(("project" = u32, Path)),
    request_body = ClassBody,
    responses((status = OK, body = Released), (status = BAD_REQUEST, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody)))]
async fn release(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Of(project): Of,
    Body(body): Body<ClassBody>,
) -> Result<Json<Released>> {
    Ok(Json(
        engine.release(&project, &caller.entry(&engine, Kind::QuarantineReleased), &body.property, body.class).await?,
    ))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PurgeBody {
    property: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Purged {
    /// Values.
    destroyed: u64,
}

/// Destroy what is quarantined of a property.
#[utoipa::path(post, path = "/api/v1/projects/{project}/quarantine/purge", params(("project" = u32, Path)),
    request_body = PurgeBody, responses((status = OK, body = Purged), (status = NOT_FOUND, body = ErrorBody)))]
async fn purge(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Of(project): Of,
    Body(body): Body<PurgeBody>,
) -> Result<Json<Purged>> {
    Ok(Json(Purged {
        destroyed: engine.purge(&project, &caller.entry(&engine, Kind::QuarantinePurged), &body.property).await?,
    }))
}

/// Run the detectors of today over every stored event: properties, kinds and counts, never a value.
#[utoipa::path(get, path = "/api/v1/projects/{project}/scan", params(("project" = u32, Path)),
    responses((status = OK, body = Scan)))]
async fn get_scan(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Of(project): Of,
) -> Result<Json<Scan>> {
    Ok(Json(engine.scan(&project, &caller.entry(&engine, Kind::HistorySearched)).await?))
}

/// Raise a property to C3 or above, and take all its values out of stored events.
#[utoipa::path(post, path = "/api/v1/projects/{project}/scan/remove", params(("project" = u32, Path)),
    request_body = ClassBody, responses((status = NO_CONTENT), (status = BAD_REQUEST, body = ErrorBody)))]
async fn remove_from_history(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Of(project): Of,
    Body(body): Body<ClassBody>,
) -> Result<StatusCode> {
    engine
        .remove_from_history(&project, &caller.entry(&engine, Kind::HistoryRemoved), &body.property, body.class)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

// Commands.

#[derive(clap::Args)]
pub(crate) struct ScanArgs {
    #[command(flatten)]
    place: Stopped,
    /// The project's number
    #[arg(long)]
    project: u32,
    /// Take all values of a property out of stored events, and treat it by this class from now on: `note=C4`
    #[arg(long, value_name = "PROPERTY=CLASS", value_parser = property_class)]
    apply: Vec<(String, Class)>,
}

fn property_class(text: &str) -> Result<(String, Class), String> {
    let (name, class) = text.rsplit_once('=').ok_or("write PROPERTY=CLASS, such as note=C4")?;
    let class = serde_json::from_value(class.to_uppercase().into()).map_err(|_| "a class is one of C3, C4, C5")?;
    Ok((name.to_owned(), class))
}

pub(crate) async fn scan(args: ScanArgs) -> anyhow::Result<ExitCode> {
    let engine = args.place.open().await?;
    let project = engine.project(ProjectId(args.project))?;
    for (name, class) in &args.apply {
        engine
            .remove_from_history(&project, &engine.acting(None), name, *class)
            .await
            .with_context(|| format!("could not take {name} out of stored events"))?;
        say(&format!("{name}: out of stored events, {class:?} from now on"));
    }
    let scan = engine.scan(&project, &engine.acting(None)).await?;
    for finding in &scan.findings {
        let kind = serde_json::to_value(finding.detector)?;
        say(&format!(
            "{}\t{:?}\t{}\t{} events\t{} persons\t{}",
            finding.property,
            finding.class,
            kind.as_str().unwrap_or_default(),
            finding.events,
            finding.subjects,
            match finding.carried.len() {
                0 => "no recorded disclosure carried it".to_owned(),
                some => format!("{some} recorded disclosures carried it"),
            }
        ));
    }
    say(&format!("{} events looked at, {} findings", scan.events, scan.findings.len()));
    Ok(ExitCode::SUCCESS)
}

#[derive(clap::Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    place: Stopped,
    /// The project's number
    #[arg(long)]
    project: u32,
    /// The new plan as JSON; without it the plan is printed
    file: Option<PathBuf>,
}

pub(crate) async fn plan(args: PlanArgs) -> anyhow::Result<ExitCode> {
    let engine = args.place.open().await?;
    let project = engine.project(ProjectId(args.project))?;
    if let Some(path) = &args.file {
        let text = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
        let wrong = || format!("{} is no tracking plan", path.display());
        let sent: serde_json::Value = serde_json::from_slice(&text).with_context(wrong)?;
        let says_keep = sent.get("keep").is_some();
        let plan: TrackingPlan = serde_json::from_value(sent).with_context(wrong)?;
        plan.check().with_context(wrong)?;
        let (keep, who) = (plan.keep.clone(), engine.acting(None));
        engine.set_plan(&project, &who, TrackingPlan { keep: Keep::default(), ..plan }).await?;
        // A file that says nothing of it leaves it as it is.
        if says_keep {
            engine.set_keep(&project, &who, keep).await?;
        }
    }
    say(&serde_json::to_string_pretty(&engine.plan(&project))?);
    Ok(ExitCode::SUCCESS)
}
