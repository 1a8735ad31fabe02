//! What was exposed, over the API and as a command: in numbers, person by person, disclosure by disclosure; and the
//! whole ledger verified while somebody looks on.
//!
//! Numbers and names are different doors: who may see how far something went need not be who may list the persons.
//! E-mail addresses travel in bodies and never in a URL.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use axum::Json;
use axum::body::Body as Bytes;
use axum::extract::{Path, Query as UrlQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use cofferdam_engine::{
    Agreed, Cause, Disclosed, DisclosedPage, DisclosedQuestion, DisclosedState, Engine, Error, Exposees, Exposure,
    ExposureQuestion, PersonsExposed, PersonsQuestion, Verification,
};
use cofferdam_model::{Control, OrgId};
use futures_util::StreamExt;
use serde::Deserialize;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::IntoParams;
use utoipa_axum::routes;

use crate::api::{Body, ErrorBody, Result};
use crate::control::{self, Ask};
use crate::guard::{Need, Of, Routes, SignedIn, Stepped, WithStepUp};
use crate::members::AskedBody;
use crate::say;
use crate::serve::Stopped;

pub(crate) fn router() -> Routes {
    Routes::new()
        .at(Need::Do(Control::ViewScope), routes!(ask_exposure))
        .at(Need::Do(Control::ListScope), routes!(list_exposed_persons))
        .at(Need::Do(Control::ViewScope), routes!(list_disclosed))
        .at(Need::Do(Control::ViewScope), routes!(list_person_disclosures))
        .at(Need::Do(Control::ReadLedger), routes!(verify_ledger))
}

/// What was exposed, in numbers: persons and fields, authorised and confirmed, by project and organisation.
#[utoipa::path(post, path = "/api/v1/exposure", request_body = ExposureQuestion,
    responses((status = OK, body = Exposure), (status = BAD_REQUEST, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody)))]
async fn ask_exposure(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Body(question): Body<ExposureQuestion>,
) -> Result<Json<Exposure>> {
    Ok(Json(engine.exposed(Some(caller.member.org), &question).await?))
}

/// Who they are: pseudonyms, page by page. It takes a second person: the answer is 202 until somebody agreed to the
/// question (`POST /api/v1/waiting/{waiting}/agree`), and within an hour of that all its pages are answered.
#[utoipa::path(post, path = "/api/v1/exposure/persons", request_body = WithStepUp<PersonsQuestion>,
    responses((status = OK, body = PersonsExposed), (status = ACCEPTED, body = AskedBody), (status = BAD_REQUEST, body = ErrorBody),
        (status = UNAUTHORIZED, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody)))]
async fn list_exposed_persons(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Stepped(stepped_up): Stepped,
    Body(question): Body<PersonsQuestion>,
) -> Result<Response> {
    Ok(match engine.exposed_persons(&caller, stepped_up, &question).await? {
        Agreed::Given(persons) => Json(persons).into_response(),
        Agreed::Waits(asked) => AskedBody::from(asked).into_response(),
    })
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct DisclosedParams {
    /// Pseudonym of an account, as in an earlier answer.
    actor: Option<String>,
    /// Pseudonym of a session, as in an earlier answer.
    session: Option<String>,
    /// Number of a purpose.
    purpose: Option<u64>,
    /// Number of a project.
    project: Option<u32>,
    /// Pseudonym of a person; needs the project.
    person: Option<String>,
    /// RFC 3339.
    from: Option<String>,
    /// RFC 3339.
    to: Option<String>,
    /// Only those before this entry of the ledger: the next page.
    before: Option<u64>,
    /// At most 500.
    limit: Option<u32>,
}

impl DisclosedParams {
    fn question(self) -> Result<DisclosedQuestion> {
        let person = match (self.person, self.project) {
            (Some(_), None) => Err(Error::Refused {
                code: "invalid_question",
                message: "a person belongs to a project".to_owned(),
                hint: Some("name the project too"),
            })?,
            (Some(person), Some(project)) => Some((project, person)),
            (None, _) => None,
        };
        let causes = [
            self.actor.map(Cause::Actor),
            self.session.map(Cause::Session),
            self.purpose.map(Cause::Purpose),
            self.project.map(Cause::Project),
        ];
        let all_of = causes.into_iter().flatten().collect();
        let question = ExposureQuestion { any_of: Vec::new(), all_of, from: self.from, to: self.to };
        Ok(DisclosedQuestion { question, person, before: self.before, limit: self.limit })
    }
}

/// DisclosedBy saw what, when, and why: disclosures, newest first.
#[utoipa::path(get, path = "/api/v1/disclosed", params(DisclosedParams),
    responses((status = OK, body = DisclosedPage), (status = BAD_REQUEST, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody)))]
async fn list_disclosed(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    UrlQuery(params): UrlQuery<DisclosedParams>,
) -> Result<Json<DisclosedPage>> {
    Ok(Json(engine.disclosed(Some(caller.member.org), &params.question()?).await?))
}

#[derive(Deserialize)]
struct PersonPath {
    pseudonym: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct PageParams {
    /// Only those before this entry of the ledger: the next page.
    before: Option<u64>,
    /// At most 500.
    limit: Option<u32>,
}

/// What left about one person, newest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/persons/{pseudonym}/disclosures",
    params(("project" = u32, Path), ("pseudonym" = String, Path), PageParams),
    responses((status = OK, body = DisclosedPage), (status = NOT_FOUND, body = ErrorBody)))]
async fn list_person_disclosures(
    State(engine): State<Arc<Engine>>,
    Of(project): Of,
    Path(PersonPath { pseudonym }): Path<PersonPath>,
    UrlQuery(params): UrlQuery<PageParams>,
) -> Result<Json<DisclosedPage>> {
    Ok(Json(engine.disclosed_about(&project, &pseudonym, params.before, params.limit).await?))
}

/// Verify the whole ledger now: a line of JSON for each step, and a last one that says what was found.
#[utoipa::path(post, path = "/api/v1/ledger/verify",
    responses((status = OK, content_type = "application/x-ndjson", body = Verification), (status = TOO_MANY_REQUESTS, body = ErrorBody)))]
async fn verify_ledger(State(engine): State<Arc<Engine>>) -> Result<Response> {
    let steps = ReceiverStream::new(engine.verify_ledger()?).map(|step| {
        let mut line = serde_json::to_vec(&step)?;
        line.push(b'\n');
        Ok::<_, serde_json::Error>(line)
    });
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Bytes::from_stream(steps)).into_response())
}

// The command.

#[derive(clap::Args)]
pub(crate) struct ExposedArgs {
    #[command(flatten)]
    place: Stopped,
    /// By this account: a member's e-mail address, or a pseudonym of the ledger. This and the following can be
    /// repeated; each adds to what is asked for
    #[arg(long)]
    actor: Vec<String>,
    /// By this session, by its pseudonym in the ledger
    #[arg(long)]
    session: Vec<String>,
    /// By this token, by its pseudonym in the ledger
    #[arg(long)]
    token: Vec<String>,
    /// From this address, by its pseudonym in the ledger
    #[arg(long)]
    ip: Vec<String>,
    /// From this device, by its pseudonym in the ledger
    #[arg(long)]
    device: Vec<String>,
    /// Under this grant
    #[arg(long)]
    grant: Vec<u64>,
    /// For this purpose, by its number
    #[arg(long)]
    purpose: Vec<u64>,
    /// Only of this organisation
    #[arg(long)]
    organisation: Option<u32>,
    /// Only of this project
    #[arg(long)]
    project: Option<u32>,
    /// What was disclosed about this person instead, by pseudonym; needs --project
    #[arg(long, requires = "project")]
    person: Option<String>,
    /// With --person: only before this entry of the ledger, for the next page
    #[arg(long, requires = "person")]
    before: Option<u64>,
    /// From this time on, as 2026-11-09T08:00:00Z
    #[arg(long)]
    from: Option<String>,
    /// Before this time
    #[arg(long)]
    to: Option<String>,
    /// Print the whole answer as JSON
    #[arg(long)]
    json: bool,
}

impl ExposedArgs {
    fn question(&self) -> ExposureQuestion {
        let mut any_of: Vec<Cause> = Vec::new();
        any_of.extend(self.actor.iter().cloned().map(Cause::Actor));
        any_of.extend(self.session.iter().cloned().map(Cause::Session));
        any_of.extend(self.token.iter().cloned().map(Cause::Token));
        any_of.extend(self.ip.iter().cloned().map(Cause::Ip));
        any_of.extend(self.device.iter().cloned().map(Cause::Device));
        any_of.extend(self.grant.iter().copied().map(Cause::Grant));
        any_of.extend(self.purpose.iter().copied().map(Cause::Purpose));
        let all_of = self.project.map(Cause::Project).into_iter().collect();
        ExposureQuestion { any_of, all_of, from: self.from.clone(), to: self.to.clone() }
    }
}

/// Asks the server that runs on the folder, or reads the folder when none does.
pub(crate) async fn run(args: ExposedArgs) -> anyhow::Result<ExitCode> {
    let (organisation, question) = (args.organisation, args.question());
    if let Some(person) = &args.person {
        let person = args.project.map(|project| (project, person.clone()));
        let question = DisclosedQuestion { question, person, before: args.before, limit: Some(500) };
        let text =
            match control::ask(&args.place.home.data, &Ask::Disclosed { organisation, question: question.clone() })? {
                Some(text) => text,
                None => {
                    let engine = args.place.open().await?;
                    serde_json::to_string(&engine.disclosed(organisation.map(OrgId), &question).await?)?
                }
            };
        if args.json {
            say(&text);
        } else {
            print_disclosed(&serde_json::from_str(&text).context("the server answered something else")?);
        }
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(
        !question.any_of.is_empty() || question.from.is_some() || args.project.is_some() || organisation.is_some(),
        "say what to look for\nhint: --actor EMAIL --from TIME, or --from alone for everything since"
    );
    let text = match control::ask(&args.place.home.data, &Ask::Exposed { organisation, question: question.clone() })? {
        Some(text) => text,
        None => {
            let engine = args.place.open().await?;
            serde_json::to_string(&engine.exposed(organisation.map(OrgId), &question).await?)?
        }
    };
    if args.json {
        say(&text);
    } else {
        print_exposure(&serde_json::from_str(&text).context("the server answered something else")?);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_exposure(exposure: &Exposure) {
    let line = |name: &str, exposees: &Exposees| {
        say(&format!("{name}: {} persons, {} values of {} ids", exposees.persons, exposees.values, exposees.ids));
    };
    let sum = &exposure.sum;
    let times = match (&sum.first, &sum.last) {
        (Some(first), Some(last)) => format!(", {first} to {last}"),
        _ => String::new(),
    };
    say(&format!("{} disclosures{times}; true for {} entries of the ledger", sum.disclosures, exposure.ledger_entries));
    line("authorised", &exposure.authorised);
    line("confirmed sent", &exposure.confirmed);
    if sum.unnamed_disclosures > 0 {
        say(&format!(
            "and of {} disclosures the list of persons was erased: at most {} ids more",
            sum.unnamed_disclosures, sum.unnamed_ids
        ));
    }
    for project in &exposure.projects {
        line(&format!("project {}", project.project), &project.authorised);
        for field in &project.fields {
            say(&format!("  {}: {} persons, {} confirmed", field.name, field.authorised, field.confirmed));
        }
    }
    if exposure.grants_count > 0 {
        let grants: Vec<String> = exposure.grants.iter().map(|grant| grant.grant.to_string()).collect();
        say(&format!("{} grants: {}", exposure.grants_count, grants.join(", ")));
    }
    if sum.live > 0 {
        say(&format!("{} go on, or have no recorded end:", sum.live));
        exposure.live.iter().for_each(|disclosed| say(&format!("  {}", line_of(disclosed))));
    }
}

fn print_disclosed(page: &DisclosedPage) {
    if page.disclosures.is_empty() {
        say("nothing");
    }
    page.disclosures.iter().for_each(|disclosed| say(&line_of(disclosed)));
    if let Some(before) = page.before {
        say(&format!("there is more: --before {before}"));
    }
}

fn line_of(disclosed: &Disclosed) -> String {
    let Disclosed { time, entry, project, actor, fields, ids, .. } = disclosed;
    let who = match actor {
        Some(who) => who.name.as_ref().unwrap_or(&who.pseudonym).as_str(),
        None => "unknown",
    };
    let why = match (&disclosed.purpose_name, disclosed.purpose) {
        (Some(name), _) => name.clone(),
        (None, Some(purpose)) => format!("purpose {purpose}"),
        (None, None) => "no purpose".to_owned(),
    };
    let state = match disclosed.state {
        DisclosedState::Live => "no end",
        DisclosedState::Done => "done",
        DisclosedState::Aborted => "broken off",
    };
    let rows = disclosed.rows.map(|rows| format!(", {rows} rows")).unwrap_or_default();
    format!("{time} entry {entry}: {who}, {why}, project {project}, {ids} ids: {} ({state}{rows})", fields.join(" "))
}
