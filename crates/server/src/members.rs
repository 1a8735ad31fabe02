//! An organisation over the API: members and their roles, invitations, what waits for a second person, locks, tokens.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use cofferdam_engine::{
    Asked, DisclosureRequest, Engine, Invitation, Lock, LockReason, LockTarget, MemberView, Network, NewToken,
    RolesSet, TokenMade, TokenUse, TokenView, Waiting,
};
use cofferdam_model::{Control, Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::api::{Body, ErrorBody, Failure, Result};
use crate::guard::{Need, Of, OnlyStepUp, Routes, SignedIn, Stepped, WithStepUp};

pub(crate) fn router() -> Routes {
    Routes::new()
        .at(Need::Do(Control::ReadMembers), routes!(list_members))
        .at(Need::Do(Control::ManageRoles), routes!(set_roles))
        .at(Need::Do(Control::ManageMembers), routes!(remove_member))
        .at(Need::Do(Control::ReadMembers), routes!(list_invitations))
        .at(Need::Do(Control::ManageMembers), routes!(invite))
        .at(Need::Do(Control::ManageMembers), routes!(withdraw_invitation))
        .at(Need::Account, routes!(list_waiting))
        .at(Need::AccountShownAgain, routes!(agree))
        .at(Need::AccountShownAgain, routes!(go_alone))
        .at(Need::Account, routes!(withdraw))
        .at(Need::Do(Control::ReadLocks), routes!(list_locks))
        .at(Need::Do(Control::Lock), routes!(lock))
        .at(Need::Do(Control::Unlock), routes!(unlock))
        .at(Need::Do(Control::ReadTokens), routes!(list_tokens))
        .at(Need::Do(Control::ManageQueryTokens), routes!(make_query_token))
        .at(Need::Do(Control::ManageExportTokens), routes!(make_export_token))
        .at(Need::Do(Control::ReadTokens), routes!(get_token_export))
        .at(Need::AccountShownAgain, routes!(rotate_token))
        .at(Need::Do(Control::RevokeTokens), routes!(revoke_token))
}

fn time(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).map(|at| at.to_string()).unwrap_or_default()
}

/// What waits for a second person.
#[derive(Serialize, ToSchema)]
pub(crate) struct AskedBody {
    /// Its number among what waits.
    waiting: u64,
    /// When it may be carried out alone, RFC 3339: there is nobody else. Absent when somebody can agree.
    due_at: Option<String>,
}

impl IntoResponse for AskedBody {
    fn into_response(self) -> Response {
        (StatusCode::ACCEPTED, Json(self)).into_response()
    }
}

impl From<Asked> for AskedBody {
    fn from(asked: Asked) -> AskedBody {
        AskedBody { waiting: asked.id, due_at: asked.due_us.map(time) }
    }
}

// Members.

#[derive(Serialize, ToSchema)]
pub(crate) struct MembersBody {
    members: Vec<MemberView>,
}

/// The members of the organisation, oldest first.
#[utoipa::path(get, path = "/api/v1/members", responses((status = OK, body = MembersBody)))]
async fn list_members(State(engine): State<Arc<Engine>>, SignedIn(caller): SignedIn) -> Result<Json<MembersBody>> {
    Ok(Json(MembersBody { members: engine.members(&caller).await? }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RolesBody {
    /// All that the member shall have.
    roles: Vec<Role>,
}

/// Change a member's roles. What lets them do more than you waits for a second person.
#[utoipa::path(put, path = "/api/v1/members/{member}/roles", params(("member" = u32, Path)),
    request_body = WithStepUp<RolesBody>,
    responses((status = NO_CONTENT), (status = ACCEPTED, body = AskedBody), (status = UNAUTHORIZED, body = ErrorBody),
        (status = FORBIDDEN, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody)))]
async fn set_roles(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Stepped(stepped_up): Stepped,
    Path(member): Path<u32>,
    Body(body): Body<RolesBody>,
) -> Result<Response> {
    match engine.set_roles(&caller, stepped_up, member, body.roles.into_iter().collect()).await? {
        RolesSet::Done => Ok(StatusCode::NO_CONTENT.into_response()),
        RolesSet::Asked(asked) => Ok(AskedBody::from(asked).into_response()),
    }
}

/// End a membership: its sessions and tokens end at once.
#[utoipa::path(post, path = "/api/v1/members/{member}/remove", params(("member" = u32, Path)),
    request_body = OnlyStepUp,
    responses((status = NO_CONTENT), (status = UNAUTHORIZED, body = ErrorBody), (status = FORBIDDEN, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody), (status = CONFLICT, body = ErrorBody)))]
async fn remove_member(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Stepped(stepped_up): Stepped,
    Path(member): Path<u32>,
) -> Result<StatusCode> {
    engine.remove_member(&caller, stepped_up, member).await?;
    Ok(StatusCode::NO_CONTENT)
}

// Invitations.

#[derive(Serialize, ToSchema)]
pub(crate) struct InvitationsBody {
    invitations: Vec<Invitation>,
}

/// Invitations that wait.
#[utoipa::path(get, path = "/api/v1/invitations", responses((status = OK, body = InvitationsBody)))]
async fn list_invitations(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<InvitationsBody>> {
    Ok(Json(InvitationsBody { invitations: engine.invitations(&caller).await? }))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct InvitedBody {
    id: u64,
    /// Shown this once: hand it over. It works once.
    code: String,
}

/// Invite somebody, with roles that may do no more than you.
#[utoipa::path(post, path = "/api/v1/invitations", request_body = WithStepUp<RolesBody>,
    responses((status = CREATED, body = InvitedBody), (status = UNAUTHORIZED, body = ErrorBody), (status = FORBIDDEN, body = ErrorBody)))]
async fn invite(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Stepped(stepped_up): Stepped,
    Body(body): Body<RolesBody>,
) -> Result<(StatusCode, Json<InvitedBody>)> {
    let invited = engine.invite(&caller, stepped_up, body.roles.into_iter().collect()).await?;
    Ok((StatusCode::CREATED, Json(InvitedBody { id: invited.id, code: invited.code })))
}

/// Take an invitation back.
#[utoipa::path(post, path = "/api/v1/invitations/{invitation}/withdraw", params(("invitation" = u64, Path)),
    request_body = OnlyStepUp,
    responses((status = NO_CONTENT), (status = UNAUTHORIZED, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody)))]
async fn withdraw_invitation(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    _: Stepped,
    Path(invitation): Path<u64>,
) -> Result<StatusCode> {
    engine.withdraw_invitation(&caller, invitation).await?;
    Ok(StatusCode::NO_CONTENT)
}

// What waits for a second person.

#[derive(Serialize, ToSchema)]
pub(crate) struct WaitingBody {
    waiting: Vec<Waiting>,
}

/// What waits for a second person, oldest first.
#[utoipa::path(get, path = "/api/v1/waiting", responses((status = OK, body = WaitingBody)))]
async fn list_waiting(State(engine): State<Arc<Engine>>, SignedIn(caller): SignedIn) -> Result<Json<WaitingBody>> {
    Ok(Json(WaitingBody { waiting: engine.waiting(&caller).await? }))
}

/// Agree to what somebody else asked for: it happens.
#[utoipa::path(post, path = "/api/v1/waiting/{waiting}/agree", params(("waiting" = u64, Path)),
    request_body = OnlyStepUp,
    responses((status = NO_CONTENT), (status = UNAUTHORIZED, body = ErrorBody), (status = FORBIDDEN, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody)))]
async fn agree(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Stepped(stepped_up): Stepped,
    Path(waiting): Path<u64>,
) -> Result<StatusCode> {
    engine.agree(&caller, stepped_up, waiting).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Carry out what you asked for, that nobody else is there to agree to, once its time has come.
#[utoipa::path(post, path = "/api/v1/waiting/{waiting}/alone", params(("waiting" = u64, Path)),
    request_body = OnlyStepUp,
    responses((status = NO_CONTENT), (status = UNAUTHORIZED, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody),
        (status = CONFLICT, body = ErrorBody)))]
async fn go_alone(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Stepped(stepped_up): Stepped,
    Path(waiting): Path<u64>,
) -> Result<StatusCode> {
    engine.go_alone(&caller, stepped_up, waiting).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take back what you asked for, or decline what you could agree to.
#[utoipa::path(post, path = "/api/v1/waiting/{waiting}/withdraw", params(("waiting" = u64, Path)),
    responses((status = NO_CONTENT), (status = NOT_FOUND, body = ErrorBody)))]
async fn withdraw(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Path(waiting): Path<u64>,
) -> Result<StatusCode> {
    engine.withdraw(&caller, waiting).await?;
    Ok(StatusCode::NO_CONTENT)
}

// Locks.

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum TargetBody {
    Member {
        member: u32,
    },
    /// One, by the sessions and tokens they have.
    Reset {
        member: u32,
    },
    /// Everybody, by the sessions and tokens they have.
    Everybody,
    Session {
        session: u64,
    },
    Token {
        token: u64,
    },
    Grant {
        grant: u64,
    },
    Address {
        address: String,
    },
    /// An address by the pseudonym that a list of disclosures has for it.
    SeenAddress {
        ip: String,
    },
    /// `192.0.2.0/24`
    Network {
        network: String,
    },
}

impl TargetBody {
    pub(crate) fn read(&self) -> Result<LockTarget> {
        Ok(match self {
            TargetBody::Member { member } => LockTarget::Member(*member),
            TargetBody::Reset { member } => LockTarget::Reset(*member),
            TargetBody::Everybody => LockTarget::AllMembers,
            TargetBody::Session { session } => LockTarget::Session(*session),
            TargetBody::Token { token } => LockTarget::Token(*token),
            TargetBody::Grant { grant } => LockTarget::Grant(*grant),
            TargetBody::Address { address } => {
                LockTarget::Address(address.trim().parse::<IpAddr>().map_err(|_| Failure::invalid_body())?)
            }
            TargetBody::SeenAddress { ip } => LockTarget::seen(ip)?,
            TargetBody::Network { network } => {
                LockTarget::Network(Network::parse(network).ok_or_else(Failure::invalid_body)?)
            }
        })
    }
}

impl From<LockTarget> for TargetBody {
    fn from(target: LockTarget) -> TargetBody {
        match target {
            LockTarget::Member(member) => TargetBody::Member { member },
            LockTarget::Reset(member) => TargetBody::Reset { member },
            LockTarget::AllMembers => TargetBody::Everybody,
            LockTarget::Session(session) => TargetBody::Session { session },
            LockTarget::Token(token) => TargetBody::Token { token },
            LockTarget::Grant(grant) => TargetBody::Grant { grant },
            LockTarget::Address(address) => TargetBody::Address { address: address.to_string() },
            LockTarget::Seen(_) => TargetBody::SeenAddress { ip: target.pseudonym().unwrap_or_default() },
            LockTarget::Network(network) => TargetBody::Network { network: network.to_string() },
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct LocksBody {
    locks: Vec<LockBody>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct LockBody {
    id: u64,
    target: TargetBody,
    reason: LockReason,
    /// Who locked; absent when a rule did.
    locked_by: Option<u32>,
    /// RFC 3339, UTC.
    locked_at: String,
}

impl From<Lock> for LockBody {
    fn from(lock: Lock) -> LockBody {
        let Lock { id, target, reason, by, locked_us, .. } = lock;
        LockBody { id, target: target.into(), reason, locked_by: by, locked_at: time(locked_us) }
    }
}

/// What is locked, oldest first.
#[utoipa::path(get, path = "/api/v1/locks", responses((status = OK, body = LocksBody)))]
async fn list_locks(State(engine): State<Arc<Engine>>, SignedIn(caller): SignedIn) -> Result<Json<LocksBody>> {
    Ok(Json(LocksBody { locks: engine.locks(&caller).await?.into_iter().map(LockBody::from).collect() }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLockBody {
    targets: Vec<TargetBody>,
    reason: LockReason,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct LockedBody {
    locks: Vec<u64>,
}

/// Lock, at once: requests are refused, streams end.
#[utoipa::path(post, path = "/api/v1/locks", request_body = WithStepUp<NewLockBody>,
    responses((status = CREATED, body = LockedBody), (status = UNAUTHORIZED, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody),
        (status = CONFLICT, body = ErrorBody)))]
async fn lock(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Stepped(stepped_up): Stepped,
    Body(body): Body<NewLockBody>,
) -> Result<(StatusCode, Json<LockedBody>)> {
    let targets = body.targets.iter().map(TargetBody::read).collect::<Result<Vec<LockTarget>>>()?;
    let locks = engine.lock(&caller, stepped_up, &targets, body.reason).await?;
    Ok((StatusCode::CREATED, Json(LockedBody { locks })))
}

/// Ask for a lock to be opened. A second person agrees.
#[utoipa::path(post, path = "/api/v1/locks/{lock}/open", params(("lock" = u64, Path)), request_body = OnlyStepUp,
    responses((status = ACCEPTED, body = AskedBody), (status = UNAUTHORIZED, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody)))]
async fn unlock(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Stepped(stepped_up): Stepped,
    Path(lock): Path<u64>,
) -> Result<AskedBody> {
    Ok(engine.unlock(&caller, stepped_up, lock).await?.into())
}

// Tokens.

#[derive(Serialize, ToSchema)]
pub(crate) struct TokensBody {
    tokens: Vec<TokenView>,
}

/// The tokens of a project, oldest first; never a token itself.
#[utoipa::path(get, path = "/api/v1/projects/{project}/tokens", params(("project" = u32, Path)),
    responses((status = OK, body = TokensBody)))]
async fn list_tokens(State(engine): State<Arc<Engine>>, Of(project): Of) -> Result<Json<TokensBody>> {
    Ok(Json(TokensBody { tokens: engine.tokens(&project).await? }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTokenBody {
    name: String,
    /// How long it is good for, at most 365.
    days: u32,
    /// Addresses it may come from, such as `192.0.2.0/24`; any when absent.
    #[serde(default)]
    network: Option<String>,
}

/// A token that is shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenBody {
    number: u64,
    /// For `Authorization: Bearer …`; absent while a second person must agree, and got by exchanging it then.
    token: Option<String>,
    asked: Option<AskedBody>,
}

impl From<TokenMade> for TokenBody {
    fn from(made: TokenMade) -> TokenBody {
        match made {
            TokenMade::Ready { number, token } => TokenBody { number, token: Some(token), asked: None },
            TokenMade::Asked { number, asked } => TokenBody { number, token: None, asked: Some(asked.into()) },
        }
    }
}

/// Make a token that asks questions of a project: aggregates, and nothing else.
#[utoipa::path(post, path = "/api/v1/projects/{project}/tokens/query", params(("project" = u32, Path)),
    request_body = WithStepUp<NewTokenBody>,
    responses((status = CREATED, body = TokenBody), (status = BAD_REQUEST, body = ErrorBody), (status = UNAUTHORIZED, body = ErrorBody)))]
async fn make_query_token(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Of(project): Of,
    Stepped(stepped_up): Stepped,
    Body(body): Body<NewTokenBody>,
) -> Result<(StatusCode, Json<TokenBody>)> {
    let NewTokenBody { name, days, network } = body;
    let new = NewToken { name, is_for: TokenUse::Query, days, network };
    Ok((StatusCode::CREATED, Json(engine.make_token(&caller, stepped_up, &project, new).await?.into())))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewExportTokenBody {
    name: String,
    /// How long it is good for, at most 30.
    days: u32,
    /// Addresses it may come from, such as `192.0.2.0/24`.
    network: String,
    /// What it exports, and nothing else.
    export: DisclosureRequest,
}

/// Make a token that runs one export of a project. A second person agrees first.
#[utoipa::path(post, path = "/api/v1/projects/{project}/tokens/export", params(("project" = u32, Path)),
    request_body = WithStepUp<NewExportTokenBody>,
    responses((status = CREATED, body = TokenBody), (status = BAD_REQUEST, body = ErrorBody), (status = UNAUTHORIZED, body = ErrorBody)))]
async fn make_export_token(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Of(project): Of,
    Stepped(stepped_up): Stepped,
    Body(body): Body<NewExportTokenBody>,
) -> Result<(StatusCode, Json<TokenBody>)> {
    let NewExportTokenBody { name, days, network, export } = body;
    let new = NewToken { name, is_for: TokenUse::Export(export), days, network: Some(network) };
    Ok((StatusCode::CREATED, Json(engine.make_token(&caller, stepped_up, &project, new).await?.into())))
}

/// What a token exports: for whoever makes such tokens, agrees to them or oversees.
#[utoipa::path(get, path = "/api/v1/tokens/{token}/export", params(("token" = u64, Path)),
    responses((status = OK, body = DisclosureRequest), (status = NOT_FOUND, body = ErrorBody)))]
async fn get_token_export(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Path(TokenPath { token }): Path<TokenPath>,
) -> Result<Json<DisclosureRequest>> {
    Ok(Json(engine.token_export(&caller, token).await?))
}

#[derive(Deserialize)]
struct TokenPath {
    token: u64,
}

/// Exchange a token that you made. The old one is good for a minute more.
#[utoipa::path(post, path = "/api/v1/projects/{project}/tokens/{token}/rotate",
    params(("project" = u32, Path), ("token" = u64, Path)), request_body = OnlyStepUp,
    responses((status = OK, body = TokenBody), (status = UNAUTHORIZED, body = ErrorBody), (status = FORBIDDEN, body = ErrorBody),
        (status = NOT_FOUND, body = ErrorBody)))]
async fn rotate_token(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Of(project): Of,
    Stepped(stepped_up): Stepped,
    Path(TokenPath { token: number }): Path<TokenPath>,
) -> Result<Json<TokenBody>> {
    let token = engine.rotate_token(&caller, stepped_up, &project, number).await?;
    Ok(Json(TokenBody { number, token: Some(token), asked: None }))
}

/// Revoke a token, at once.
#[utoipa::path(post, path = "/api/v1/projects/{project}/tokens/{token}/revoke",
    params(("project" = u32, Path), ("token" = u64, Path)),
    responses((status = NO_CONTENT), (status = NOT_FOUND, body = ErrorBody)))]
async fn revoke_token(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Of(project): Of,
    Path(TokenPath { token }): Path<TokenPath>,
) -> Result<StatusCode> {
    engine.revoke_token(&caller, &project, token).await?;
    Ok(StatusCode::NO_CONTENT)
}
