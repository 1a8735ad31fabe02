//! The console's API: thin handlers, one per route, each stated to OpenAPI where it is registered, with what it needs.
//!
//! Who may call is found out before a handler runs, by the guard ([`crate::guard`]): a session cookie (`__Host-`,
//! `HttpOnly`, `Secure`, `SameSite=Strict`) or a token says who, and what changes state must come from this origin.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Path, Query as UrlQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use cofferdam_engine::{
    Cohort, CohortMade, Credentials, Engine, Error, LiveEvent, Member, ProjectRecord, PropertyKnown, Purpose,
    RowsInClear, SetUp, Status, StepUpChallenge,
};
use cofferdam_model::cohort::CohortRule;
use cofferdam_model::policy::may;
use cofferdam_model::{Answer, Class, Control, Decision, Deed, ProjectId, Query, Role, limits};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio_stream::wrappers::BroadcastStream;
use utoipa::{IntoParams, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::guard::{DEVICE_COOKIE, Lockable, Need, Of, Routes, Seeing, Seen, SignedIn, Stepped, WithStepUp};

const COOKIE: &str = "__Host-cofferdam_session";

#[derive(OpenApi)]
#[openapi(
    info(title = "Cofferdam", description = "Product analytics that keeps a leak from spreading."),
    components(schemas(LiveEvent))
)]
struct Document;

pub(crate) fn router() -> Routes {
    let aggregates = Need::Data(Deed::QueryAgg, Class::C0);
    Routes::of(OpenApiRouter::with_openapi(Document::openapi()))
        .at(Need::Anyone, routes!(get_session, sign_in, sign_out))
        .at(Need::Anyone, routes!(begin_setup))
        .at(Need::Anyone, routes!(set_up))
        .at(Need::Account, routes!(list_projects))
        .at(Need::Do(Control::ManageProjects), routes!(create_project))
        .at(Need::Do(Control::ReadReports), routes!(get_status))
        .at(Need::Do(Control::ReadReports), routes!(list_events))
        .at(Need::Do(Control::ReadReports), routes!(list_properties))
        .at(aggregates, routes!(list_property_values))
        .at(Need::Ask, routes!(query))
        .at(Need::InClear(Deed::ReadRow, Class::C2), routes!(rows))
        .at(Need::Do(Control::ReadReports), routes!(list_cohorts))
        .at(Need::Do(Control::EditCohorts), routes!(delete_cohort))
        .at(Need::Data(Deed::ReadRow, Class::C1), routes!(live))
        // An uploaded list is larger than any question.
        .merge(Routes::of_lists().at(Need::Do(Control::EditCohorts), routes!(create_cohort)))
        .merge(crate::account::router())
        .merge(crate::members::router())
        .merge(crate::privacy::router())
        .merge(crate::persons::router())
        .merge(crate::disclosures::router())
        .merge(crate::exposure::router())
        .merge(crate::incidents::router())
}

/// The OpenAPI document, as committed.
pub(crate) fn document() -> String {
    let mut text = router().document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

// Errors.

/// What went wrong, for a program and for a person.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// Stable, for programs: `wrong_credentials`.
    code: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// With `step_up_required`: what must be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    step_up: Option<Box<ChallengeBody>>,
}

/// What a passkey must sign, for `navigator.credentials.get` with user verification. The same request is sent again
/// then, with the proof in its field `step_up`.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChallengeBody {
    /// base64url without padding.
    challenge: String,
    rp_id: String,
    /// The member's passkeys, by their ids, base64url.
    credentials: Vec<String>,
    /// How long it is good for.
    seconds: i64,
    /// Password and code are taken as well: there is no passkey yet.
    takes_password_and_code: bool,
}

pub(crate) struct Failure(StatusCode, ErrorDetail, Option<u64>);

impl Failure {
    fn new(status: StatusCode, code: &str, message: impl Into<String>, hint: Option<&str>) -> Failure {
        let detail = ErrorDetail {
            code: code.to_owned(),
            message: message.into(),
            hint: hint.map(str::to_owned),
            step_up: None,
        };
        Failure(status, detail, None)
    }

    pub(crate) fn not_allowed() -> Failure {
        let hint = Some("somebody who manages members can say which role it takes");
        Failure::new(StatusCode::FORBIDDEN, "not_allowed", "your roles do not allow this", hint)
    }

    /// Lists are not for everybody, and for some in one way only.
    pub(crate) fn no_rows() -> Failure {
        let hint = Some("whoever opens rows for a purpose, with a passkey, asks POST …/rows");
        Failure::new(StatusCode::FORBIDDEN, "not_allowed", "your roles do not list events and persons", hint)
    }

    pub(crate) fn invalid_body() -> Failure {
        let hint = Some("GET /openapi.json says what is expected");
        Failure::new(StatusCode::BAD_REQUEST, "invalid_body", "the body is not of the expected form", hint)
    }

    pub(crate) fn too_large() -> Failure {
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_body", "the body is too large", None)
    }

    pub(crate) fn method_not_allowed() -> Failure {
        Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this address has no such method", None)
    }

    pub(crate) fn cross_origin() -> Failure {
        Failure::new(
            StatusCode::FORBIDDEN,
            "cross_origin",
            "this request did not come from the console",
            Some("send an Origin header equal to the server's address"),
        )
    }

    pub(crate) fn step_up(asked: StepUpChallenge) -> Failure {
        let mut failure = Failure::new(
            StatusCode::UNAUTHORIZED,
            "step_up_required",
            "this takes your passkey once more, for this very request",
            Some("send the request again with the proof in `step_up`"),
        );
        failure.1.step_up = Some(Box::new(ChallengeBody {
            challenge: BASE64URL.encode(asked.challenge),
            rp_id: asked.rp_id,
            credentials: asked.credentials.iter().map(|id| BASE64URL.encode(id)).collect(),
            seconds: asked.seconds,
            takes_password_and_code: asked.takes_password_and_code,
        }));
        failure
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Refused { code, message, hint } => {
                let status = match code {
                    "wrong_setup_code"
                    | "step_up_refused"
                    | "passkey_needed"
                    | "new_password_needed"
                    | "passkey_sign_in"
                    | "wrong_invitation"
                    | "own_roles"
                    | "roles_beyond_own"
                    | "owner_only"
                    | "not_a_second_person"
                    | "not_your_token"
                    | "not_allowed"
                    | "device_or_place"
                    | "approval_needed"
                    | "held"
                    | "stopped_by_limit"
                    | "own_request"
                    | "own_trip" => StatusCode::FORBIDDEN,
                    "limit_reached" => StatusCode::TOO_MANY_REQUESTS,
                    "wrong_credentials" => StatusCode::UNAUTHORIZED,
                    "already_set_up"
                    | "not_due"
                    | "last_owner"
                    | "nobody_could_unlock"
                    | "not_ready"
                    | "wrong_state"
                    | "another_request"
                    | "approved_before"
                    | "not_done"
                    | "not_yet" => StatusCode::CONFLICT,
                    _ => StatusCode::BAD_REQUEST,
                };
                Failure::new(status, code, message, hint)
            }
            Error::TooManyAttempts { retry_after_s } => {
                let mut failure = Failure::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too_many_attempts",
                    format!("too many attempts: wait {retry_after_s} seconds"),
                    None,
                );
                failure.2 = Some(retry_after_s);
                failure
            }
            Error::NotSignedIn => Failure::new(StatusCode::UNAUTHORIZED, "not_signed_in", "sign in first", None),
            Error::Locked => Failure::new(
                StatusCode::FORBIDDEN,
                "locked",
                error.to_string(),
                Some("somebody of your organisation locked it; two of them can open it again"),
            ),
            Error::NotFound(what) => {
                Failure::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"), None)
            }
            Error::OrganisationSealed => Failure::new(
                StatusCode::LOCKED,
                "organisation_sealed",
                error.to_string(),
                Some("whoever runs the server opens it with `cofferdam keys unseal --organisation`"),
            ),
            Error::Busy => {
                Failure::new(StatusCode::TOO_MANY_REQUESTS, "busy", error.to_string(), Some("try again in a moment"))
            }
            Error::Sealed(_)
            | Error::Store(_)
            | Error::Vault(_)
            | Error::Ledger(_)
            | Error::Exposure(_)
            | Error::Meta(_)
            | Error::Interrupted => {
                tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
                let hint = Some("the server's log says why");
                Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string(), hint)
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.0, Json(ErrorBody { error: self.1 })).into_response();
        if let Some(seconds) = self.2 {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

// What requests carry.

pub(crate) fn cookie<'a>(headers: &'a HeaderMap, wanted: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == wanted)
        .map(|(_, value)| value)
}

pub(crate) fn session_token(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, COOKIE)
}

/// A JSON body, with an error that says where it is wrong.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Body(body)),
            Err(rejection) => {
                let status = rejection.status();
                // The parser's own words may quote a value; where it stopped is enough.
                let message = match &rejection {
                    JsonRejection::JsonDataError(_) => "the body is JSON, but not of the expected form",
                    JsonRejection::JsonSyntaxError(_) => "the body is not valid JSON",
                    JsonRejection::MissingJsonContentType(_) => "the body must be sent as application/json",
                    _ => "the body could not be read",
                };
                Err(Failure::new(status, "invalid_body", message, Some("GET /openapi.json says what is expected")))
            }
        }
    }
}

// Sessions and set-up.

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SessionState {
    SetupNeeded,
    SignedOut,
    SignedIn,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct SessionBody {
    state: SessionState,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation: Option<OrganisationBody>,
    version: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct UserBody {
    id: u32,
    name: String,
    email: String,
    roles: Vec<Role>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct OrganisationBody {
    name: String,
}

impl SessionBody {
    fn nobody(state: SessionState) -> SessionBody {
        SessionBody { state, user: None, organisation: None, version: env!("CARGO_PKG_VERSION").to_owned() }
    }

    fn of(member: Member) -> SessionBody {
        SessionBody {
            user: Some(UserBody {
                id: member.id,
                name: member.name,
                email: member.email,
                roles: member.roles.iter().collect(),
            }),
            organisation: Some(OrganisationBody { name: member.organisation }),
            ..SessionBody::nobody(SessionState::SignedIn)
        }
    }
}

/// How long a browser is known for, in seconds: as long as browsers keep a cookie.
const DEVICE_SECONDS: i64 = 400 * 86_400;

pub(crate) fn with_cookies(status: StatusCode, signed_in: cofferdam_engine::SignedIn) -> Response {
    let cofferdam_engine::SignedIn { caller, token, device } = signed_in;
    let mut response = (status, Json(SessionBody::of(caller.member))).into_response();
    let cookies = [(COOKIE, token, limits::SESSION_SECONDS_MAX), (DEVICE_COOKIE, device, DEVICE_SECONDS)];
    for (name, value, seconds) in cookies {
        let cookie = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={seconds}");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response
}

/// Whether the installation is set up, and who is signed in.
#[utoipa::path(get, path = "/api/v1/session", responses((status = OK, body = SessionBody)))]
async fn get_session(State(engine): State<Arc<Engine>>, Seen(visitor): Seen) -> Result<Json<SessionBody>> {
    if engine.setup_needed().await? {
        return Ok(Json(SessionBody::nobody(SessionState::SetupNeeded)));
    }
    let Some(token) = visitor.session.clone() else {
        return Ok(Json(SessionBody::nobody(SessionState::SignedOut)));
    };
    match engine.authenticate(&token, &visitor).await {
        Ok(caller) => Ok(Json(SessionBody::of(caller.member))),
        Err(Error::NotSignedIn | Error::Locked) => Ok(Json(SessionBody::nobody(SessionState::SignedOut))),
        Err(error) => Err(error.into()),
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignInBody {
    email: String,
    password: String,
    /// Six digits of the authenticator app, or a recovery code.
    code: String,
    /// Another password, for whoever is asked for one (`new_password_needed`).
    #[serde(default)]
    new_password: Option<String>,
}

/// Sign in with address, password and code.
#[utoipa::path(post, path = "/api/v1/session", request_body = SignInBody,
    responses((status = OK, body = SessionBody), (status = UNAUTHORIZED, body = ErrorBody), (status = FORBIDDEN, body = ErrorBody),
        (status = TOO_MANY_REQUESTS, body = ErrorBody)))]
async fn sign_in(
    State(engine): State<Arc<Engine>>,
    Seen(visitor): Seen,
    Body(body): Body<SignInBody>,
) -> Result<Response> {
    let SignInBody { email, password, code, new_password } = body;
    let credentials =
        Credentials { email, password: password.into(), code, new_password: new_password.map(Into::into) };
    Ok(with_cookies(StatusCode::OK, engine.sign_in(credentials, &visitor).await?))
}

/// Sign out: the session ends at once.
#[utoipa::path(delete, path = "/api/v1/session", responses((status = NO_CONTENT)))]
async fn sign_out(State(engine): State<Arc<Engine>>, Seen(visitor): Seen) -> Result<Response> {
    if let Some(token) = visitor.session {
        engine.sign_out(&token).await?;
    }
    let gone = format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, gone)]).into_response())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BeginSetupBody {
    /// Printed by the server in its terminal.
    setup_code: String,
    email: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct EnrolmentBody {
    /// Base 32, for typing.
    secret: String,
    uri: String,
    qr_svg: String,
}

impl From<cofferdam_engine::TotpEnrolment> for EnrolmentBody {
    fn from(enrolment: cofferdam_engine::TotpEnrolment) -> EnrolmentBody {
        EnrolmentBody { secret: enrolment.secret, uri: enrolment.uri, qr_svg: enrolment.qr_svg }
    }
}

/// First run: ask for a TOTP secret.
#[utoipa::path(post, path = "/api/v1/setup/totp", request_body = BeginSetupBody,
    responses((status = OK, body = EnrolmentBody), (status = FORBIDDEN, body = ErrorBody)))]
async fn begin_setup(
    State(engine): State<Arc<Engine>>,
    Body(body): Body<BeginSetupBody>,
) -> Result<Json<EnrolmentBody>> {
    Ok(Json(engine.begin_setup(&body.setup_code, &body.email).await?.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetUpBody {
    setup_code: String,
    organisation: String,
    name: String,
    email: String,
    password: String,
    totp_code: String,
    project: String,
    /// IANA name.
    time_zone: String,
}

/// First run: make the first organisation, member and project, and sign in.
#[utoipa::path(post, path = "/api/v1/setup", request_body = SetUpBody,
    responses((status = CREATED, body = SessionBody), (status = BAD_REQUEST, body = ErrorBody), (status = FORBIDDEN, body = ErrorBody), (status = CONFLICT, body = ErrorBody)))]
async fn set_up(
    State(engine): State<Arc<Engine>>,
    Seen(visitor): Seen,
    Body(body): Body<SetUpBody>,
) -> Result<Response> {
    let request = SetUp {
        setup_code: body.setup_code,
        organisation: body.organisation,
        name: body.name,
        email: body.email,
        password: body.password.into(),
        totp_code: body.totp_code,
        project: body.project,
        time_zone: body.time_zone,
    };
    Ok(with_cookies(StatusCode::CREATED, engine.set_up(request, &visitor).await?))
}

// Projects.

#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum IdentityMode {
    Simplified,
    Original,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ProjectBody {
    id: ProjectId,
    name: String,
    time_zone: String,
    /// Public: it can only send events.
    token: String,
    identity_mode: IdentityMode,
    /// Of nobody real.
    is_test: bool,
    /// RFC 3339, UTC.
    created_at: String,
}

impl From<ProjectRecord> for ProjectBody {
    fn from(record: ProjectRecord) -> ProjectBody {
        use cofferdam_engine::IdentityMode as Mode;
        ProjectBody {
            id: record.id,
            name: record.name,
            time_zone: record.time_zone,
            token: record.token,
            identity_mode: match record.mode {
                Mode::Simplified => IdentityMode::Simplified,
                Mode::Original => IdentityMode::Original,
            },
            is_test: record.is_test,
            created_at: jiff::Timestamp::from_microsecond(record.created_us)
                .map(|at| at.to_string())
                .unwrap_or_default(),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ProjectsBody {
    projects: Vec<ProjectBody>,
}

/// The organisation's projects that the caller may look into, oldest first.
#[utoipa::path(get, path = "/api/v1/projects", responses((status = OK, body = ProjectsBody)))]
async fn list_projects(State(engine): State<Arc<Engine>>, SignedIn(caller): SignedIn) -> Result<Json<ProjectsBody>> {
    let is_open = |record: &ProjectRecord| match may(caller.member.roles, Control::ReadReports) {
        Decision::Allow { test_only, .. } => !test_only || record.is_test,
        _ => false,
    };
    let projects = engine.projects(&caller.member).await?.into_iter().filter(is_open).map(ProjectBody::from).collect();
    Ok(Json(ProjectsBody { projects }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateProjectBody {
    name: String,
    /// IANA name; days are cut in it.
    time_zone: String,
    identity_mode: IdentityMode,
    /// Of nobody real: developers may look into it.
    #[serde(default)]
    is_test: bool,
}

/// Make a project.
#[utoipa::path(post, path = "/api/v1/projects", request_body = CreateProjectBody,
    responses((status = CREATED, body = ProjectBody), (status = BAD_REQUEST, body = ErrorBody)))]
async fn create_project(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Body(body): Body<CreateProjectBody>,
) -> Result<(StatusCode, Json<ProjectBody>)> {
    use cofferdam_engine::IdentityMode as Mode;
    let mode = match body.identity_mode {
        IdentityMode::Simplified => Mode::Simplified,
        IdentityMode::Original => Mode::Original,
    };
    let record = engine.create_project(&caller.member, &body.name, &body.time_zone, mode, body.is_test).await?;
    Ok((StatusCode::CREATED, Json(record.into())))
}

/// What is stored, and how received records ended.
#[utoipa::path(get, path = "/api/v1/projects/{project}/status", params(("project" = u32, Path)),
    responses((status = OK, body = Status)))]
async fn get_status(State(engine): State<Arc<Engine>>, Of(project): Of) -> Result<Json<Status>> {
    Ok(Json(engine.status(&project).await?))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct EventsBody {
    events: Vec<EventName>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct EventName {
    name: String,
    count: u64,
}

/// Event names, most frequent first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/events", params(("project" = u32, Path)),
    responses((status = OK, body = EventsBody)))]
async fn list_events(State(engine): State<Arc<Engine>>, Of(project): Of) -> Result<Json<EventsBody>> {
    let names = engine.event_names(&project).await?;
    Ok(Json(EventsBody { events: names.into_iter().map(|(name, count)| EventName { name, count }).collect() }))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct PropertiesBody {
    properties: Vec<PropertyKnown>,
}

/// The data dictionary: every property seen, its types, its class, and what the door does with it.
#[utoipa::path(get, path = "/api/v1/projects/{project}/properties", params(("project" = u32, Path)),
    responses((status = OK, body = PropertiesBody)))]
async fn list_properties(State(engine): State<Arc<Engine>>, Of(project): Of) -> Result<Json<PropertiesBody>> {
    Ok(Json(PropertiesBody { properties: engine.properties(&project).await? }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ValuesParams {
    property: String,
    /// Part of the value, in any case.
    #[serde(default)]
    search: String,
    /// At most 500.
    #[serde(default = "values_limit")]
    limit: u32,
}

fn values_limit() -> u32 {
    50
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ValuesBody {
    values: Vec<PropertyValue>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct PropertyValue {
    value: String,
    count: u64,
}

/// The most frequent values of a property. Of device and place, whoever has no exact numbers by them sees those of at
/// least five persons.
#[utoipa::path(get, path = "/api/v1/projects/{project}/properties/values",
    params(("project" = u32, Path), ValuesParams), responses((status = OK, body = ValuesBody)))]
async fn list_property_values(
    State(engine): State<Arc<Engine>>,
    Of(project): Of,
    Seeing(sight): Seeing,
    UrlQuery(params): UrlQuery<ValuesParams>,
) -> Result<Json<ValuesBody>> {
    let ValuesParams { property, search, limit } = params;
    let values = engine.property_values(&project, property, search, limit as usize, sight).await?;
    let values = values.into_iter().map(|(value, count)| PropertyValue { value, count }).collect();
    Ok(Json(ValuesBody { values }))
}

/// Ask a question. Aggregates are for everybody, by device or place without numbers of few persons for some; lists of
/// events and persons are for those who may read rows, and do not show device and place.
#[utoipa::path(post, path = "/api/v1/projects/{project}/query", params(("project" = u32, Path)),
    request_body = Query,
    responses((status = OK, body = Answer), (status = BAD_REQUEST, body = ErrorBody), (status = FORBIDDEN, body = ErrorBody)))]
async fn query(
    State(engine): State<Arc<Engine>>,
    Of(project): Of,
    Seeing(sight): Seeing,
    Body(query): Body<Query>,
) -> Result<Json<Answer>> {
    Ok(Json(engine.ask(&project, query, sight).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RowsBody {
    /// A list of events or of persons.
    query: Query,
    purpose: Purpose,
}

/// A list of events or persons with device and place in clear. It is written down who looked at whom, and why, before it
/// is answered; a support agent's persons count against the limits of what is opened one by one.
#[utoipa::path(post, path = "/api/v1/projects/{project}/rows", params(("project" = u32, Path)),
    request_body = WithStepUp<RowsBody>,
    responses((status = OK, body = RowsInClear), (status = BAD_REQUEST, body = ErrorBody),
        (status = FORBIDDEN, body = ErrorBody), (status = TOO_MANY_REQUESTS, body = ErrorBody)))]
async fn rows(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Of(project): Of,
    Stepped(stepped_up): Stepped,
    Body(body): Body<RowsBody>,
) -> Result<Response> {
    let RowsBody { query, purpose } = body;
    // On a task of its own: whoever hangs up does not leave it without an end.
    let answered =
        tokio::spawn(async move { engine.rows_in_clear(&caller, &project, query, purpose, stepped_up).await });
    let rows = answered.await.map_err(|_| Error::Interrupted)??;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(rows)).into_response())
}

#[derive(Serialize, ToSchema)]
pub(crate) struct CohortsBody {
    cohorts: Vec<Cohort>,
}

/// The cohorts of a project, oldest first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/cohorts", params(("project" = u32, Path)),
    responses((status = OK, body = CohortsBody)))]
async fn list_cohorts(State(engine): State<Arc<Engine>>, Of(project): Of) -> Result<Json<CohortsBody>> {
    Ok(Json(CohortsBody { cohorts: engine.cohorts(&project).await? }))
}

/// A rule, or a list of distinct ids. The ids are turned into numbers and forgotten.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateCohortBody {
    name: String,
    rule: CohortRule,
    /// Distinct ids of a static cohort's members, at most 500,000.
    #[serde(default)]
    ids: Vec<String>,
}

/// Make a cohort.
#[utoipa::path(post, path = "/api/v1/projects/{project}/cohorts", params(("project" = u32, Path)),
    request_body = CreateCohortBody,
    responses((status = CREATED, body = CohortMade), (status = BAD_REQUEST, body = ErrorBody)))]
async fn create_cohort(
    State(engine): State<Arc<Engine>>,
    Of(project): Of,
    Body(body): Body<CreateCohortBody>,
) -> Result<(StatusCode, Json<CohortMade>)> {
    let made = engine.create_cohort(&project, &body.name, body.rule, &body.ids).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

#[derive(Deserialize)]
struct CohortPath {
    cohort: String,
}

/// Remove a cohort. Persons and events stay.
#[utoipa::path(delete, path = "/api/v1/projects/{project}/cohorts/{cohort}",
    params(("project" = u32, Path), ("cohort" = String, Path)),
    responses((status = NO_CONTENT), (status = BAD_REQUEST, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody)))]
async fn delete_cohort(
    State(engine): State<Arc<Engine>>,
    Of(project): Of,
    Path(CohortPath { cohort }): Path<CohortPath>,
) -> Result<StatusCode> {
    engine.delete_cohort(&project, &cohort).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How long one connection of the live feed lasts.
const FEED_LIFE: Duration = Duration::from_secs(120);

/// What arrives, as it arrives: server-sent events named `event`, each a `LiveEvent`. The last ones come first.
#[utoipa::path(get, path = "/api/v1/projects/{project}/live", params(("project" = u32, Path)),
    responses((status = OK, content_type = "text/event-stream", body = LiveEvent)))]
async fn live(
    State(engine): State<Arc<Engine>>,
    Of(project): Of,
    Lockable(who): Lockable,
    Seeing(sight): Seeing,
) -> Response {
    let (recent, coming) = engine.follow(&project).await;
    // A reader too slow for the stream misses records; the counts on the page do not.
    let coming = BroadcastStream::new(coming).filter_map(|event| std::future::ready(event.ok()));
    // The feed ends now and then and the browser asks again: a session that was ended sees no more.
    let coming = coming.take_until(tokio::time::sleep(FEED_LIFE));
    // What waits to be sent when the organisation is sealed, or whoever follows is locked, stays here.
    let (gate, of) = (engine.clone(), project.clone());
    let coming =
        coming.take_while(move |_| std::future::ready(!gate.is_sealed(&of) && gate.refused_by_lock(&who).is_none()));
    let recent = futures_util::stream::iter(recent.into_iter().map(Arc::new));
    let stream = recent.chain(coming).map(move |event| {
        let data = serde_json::to_string(&engine.masked(&project, &event, sight)).unwrap_or_default();
        Ok::<_, Infallible>(Event::default().event("event").data(data))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The committed document is what the console's client is generated from.
    #[test]
    fn openapi_document_is_fresh() {
        let committed = include_str!("../openapi.json");
        assert!(committed == document(), "openapi.json is stale: run `cargo xtask codegen`");
    }

    #[test]
    fn finds_the_session_among_cookies() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; __Host-cofferdam_session=tok; c=d"));
        assert_eq!(session_token(&headers), Some("tok"));
        assert_eq!(session_token(&HeaderMap::new()), None);
    }
}
