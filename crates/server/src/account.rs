//! A member's own account over the API: passkeys, recovery codes, sessions; signing in with a passkey; joining by an
//! invitation.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use cofferdam_engine::{Attestation, Engine, Join, PasskeyView, SessionView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::api::{Body, EnrolmentBody, ErrorBody, Result, SessionBody, with_cookies};
use crate::guard::{
    AssertionBody, MaybeStepped, Need, OnlyStepUp, Routes, Seen, SignedIn, Stepped, WithStepUp, decoded,
};

pub(crate) fn router() -> Routes {
    Routes::new()
        .at(Need::Anyone, routes!(begin_passkey_sign_in))
        .at(Need::Anyone, routes!(finish_passkey_sign_in))
        .at(Need::Anyone, routes!(open_invitation))
        .at(Need::Anyone, routes!(accept_invitation))
        .at(Need::Account, routes!(list_sessions, end_other_sessions))
        .at(Need::Account, routes!(end_session))
        .at(Need::Account, routes!(list_passkeys, finish_passkey))
        .at(Need::AccountShownAgain, routes!(begin_passkey))
        .at(Need::Account, routes!(rename_passkey))
        .at(Need::AccountShownAgain, routes!(remove_passkey))
        .at(Need::AccountShownAgain, routes!(change_password))
        .at(Need::Account, routes!(begin_authenticator))
        .at(Need::AccountShownAgain, routes!(change_authenticator))
        .at(Need::Account, routes!(count_recovery_codes))
        .at(Need::AccountShownAgain, routes!(make_recovery_codes))
}

// Coming in.

#[derive(Serialize, ToSchema)]
pub(crate) struct PasskeySignInBody {
    /// base64url without padding.
    challenge: String,
    rp_id: String,
}

/// What a passkey must sign to come in, whoever it is.
#[utoipa::path(post, path = "/api/v1/session/passkey/begin", responses((status = OK, body = PasskeySignInBody)))]
async fn begin_passkey_sign_in(State(engine): State<Arc<Engine>>) -> Json<PasskeySignInBody> {
    let asked = engine.begin_passkey_sign_in();
    Json(PasskeySignInBody { challenge: BASE64URL.encode(asked.challenge), rp_id: asked.rp_id })
}

/// Sign in with a passkey.
#[utoipa::path(post, path = "/api/v1/session/passkey", request_body = AssertionBody,
    responses((status = OK, body = SessionBody), (status = UNAUTHORIZED, body = ErrorBody)))]
async fn finish_passkey_sign_in(
    State(engine): State<Arc<Engine>>,
    Seen(visitor): Seen,
    Body(body): Body<AssertionBody>,
) -> Result<Response> {
    Ok(with_cookies(StatusCode::OK, engine.finish_passkey_sign_in(&body.read()?, &visitor).await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenInvitationBody {
    code: String,
    email: String,
}

/// Look at an invitation: a TOTP secret for whoever joins by it.
#[utoipa::path(post, path = "/api/v1/invitations/open", request_body = OpenInvitationBody,
    responses((status = OK, body = EnrolmentBody), (status = FORBIDDEN, body = ErrorBody)))]
async fn open_invitation(
    State(engine): State<Arc<Engine>>,
    Body(body): Body<OpenInvitationBody>,
) -> Result<Json<EnrolmentBody>> {
    Ok(Json(engine.begin_join(&body.code, &body.email).await?.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JoinBody {
    code: String,
    name: String,
    email: String,
    password: String,
    totp_code: String,
}

/// Join by an invitation, which is used up, and sign in.
#[utoipa::path(post, path = "/api/v1/invitations/accept", request_body = JoinBody,
    responses((status = CREATED, body = SessionBody), (status = BAD_REQUEST, body = ErrorBody), (status = FORBIDDEN, body = ErrorBody)))]
async fn accept_invitation(
    State(engine): State<Arc<Engine>>,
    Seen(visitor): Seen,
    Body(body): Body<JoinBody>,
) -> Result<Response> {
    let JoinBody { code, name, email, password, totp_code } = body;
    let join = Join { code, name, email, password: password.into(), totp_code };
    Ok(with_cookies(StatusCode::CREATED, engine.join(join, &visitor).await?))
}

// Sessions.

#[derive(Serialize, ToSchema)]
pub(crate) struct SessionsBody {
    sessions: Vec<SessionView>,
}

/// Your sessions, newest first.
#[utoipa::path(get, path = "/api/v1/account/sessions", responses((status = OK, body = SessionsBody)))]
async fn list_sessions(State(engine): State<Arc<Engine>>, SignedIn(caller): SignedIn) -> Result<Json<SessionsBody>> {
    Ok(Json(SessionsBody { sessions: engine.sessions(&caller).await? }))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct EndedBody {
    ended: u64,
}

/// End all your sessions but this one.
#[utoipa::path(delete, path = "/api/v1/account/sessions", responses((status = OK, body = EndedBody)))]
async fn end_other_sessions(State(engine): State<Arc<Engine>>, SignedIn(caller): SignedIn) -> Result<Json<EndedBody>> {
    Ok(Json(EndedBody { ended: engine.end_other_sessions(&caller).await? }))
}

/// End one of your sessions, at once.
#[utoipa::path(delete, path = "/api/v1/account/sessions/{session}", params(("session" = u64, Path)),
    responses((status = NO_CONTENT), (status = NOT_FOUND, body = ErrorBody)))]
async fn end_session(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Path(session): Path<u64>,
) -> Result<StatusCode> {
    engine.end_session(&caller, session).await?;
    Ok(StatusCode::NO_CONTENT)
}

// Passkeys.

#[derive(Serialize, ToSchema)]
pub(crate) struct PasskeysBody {
    passkeys: Vec<PasskeyView>,
}

/// Your passkeys and security keys, oldest first.
#[utoipa::path(get, path = "/api/v1/account/passkeys", responses((status = OK, body = PasskeysBody)))]
async fn list_passkeys(State(engine): State<Arc<Engine>>, SignedIn(caller): SignedIn) -> Result<Json<PasskeysBody>> {
    Ok(Json(PasskeysBody { passkeys: engine.passkeys(&caller).await? }))
}

/// What a new passkey is made of, for `navigator.credentials.create`: a resident key, with user verification required,
/// without attestation.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewPasskeyBody {
    /// All bytes are base64url without padding.
    challenge: String,
    rp_id: String,
    user_id: String,
    user_name: String,
    user_display_name: String,
    /// COSE numbers, best first.
    algorithms: Vec<i64>,
    /// Ids of those there are.
    exclude: Vec<String>,
}

/// Start a new passkey. It takes an old factor once more.
#[utoipa::path(post, path = "/api/v1/account/passkeys/begin", request_body = OnlyStepUp,
    responses((status = OK, body = NewPasskeyBody), (status = UNAUTHORIZED, body = ErrorBody), (status = FORBIDDEN, body = ErrorBody)))]
async fn begin_passkey(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    MaybeStepped(stepped_up): MaybeStepped,
) -> Result<Json<NewPasskeyBody>> {
    let asked = engine.begin_passkey(&caller, stepped_up).await?;
    Ok(Json(NewPasskeyBody {
        challenge: BASE64URL.encode(asked.challenge),
        rp_id: asked.rp_id,
        user_id: BASE64URL.encode(asked.user),
        user_name: asked.name,
        user_display_name: asked.display_name,
        algorithms: asked.algorithms,
        exclude: asked.exclude.iter().map(|id| BASE64URL.encode(id)).collect(),
    }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FinishPasskeyBody {
    name: String,
    /// base64url without padding, as the next.
    client_data_json: String,
    attestation_object: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct PasskeyMadeBody {
    id: u64,
}

/// Keep the passkey that the browser made.
#[utoipa::path(post, path = "/api/v1/account/passkeys", request_body = FinishPasskeyBody,
    responses((status = CREATED, body = PasskeyMadeBody), (status = BAD_REQUEST, body = ErrorBody)))]
async fn finish_passkey(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Body(body): Body<FinishPasskeyBody>,
) -> Result<(StatusCode, Json<PasskeyMadeBody>)> {
    let attestation = Attestation {
        client_data: decoded(&body.client_data_json)?,
        attestation_object: decoded(&body.attestation_object)?,
    };
    let id = engine.finish_passkey(&caller, &attestation, &body.name).await?;
    Ok((StatusCode::CREATED, Json(PasskeyMadeBody { id })))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasskeyNameBody {
    name: String,
}

/// Call a passkey something else.
#[utoipa::path(put, path = "/api/v1/account/passkeys/{passkey}", params(("passkey" = u64, Path)),
    request_body = PasskeyNameBody, responses((status = NO_CONTENT), (status = NOT_FOUND, body = ErrorBody)))]
async fn rename_passkey(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Path(passkey): Path<u64>,
    Body(body): Body<PasskeyNameBody>,
) -> Result<StatusCode> {
    engine.rename_passkey(&caller, passkey, &body.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a passkey. It takes a factor once more.
#[utoipa::path(post, path = "/api/v1/account/passkeys/{passkey}/remove", params(("passkey" = u64, Path)),
    request_body = OnlyStepUp,
    responses((status = NO_CONTENT), (status = UNAUTHORIZED, body = ErrorBody), (status = NOT_FOUND, body = ErrorBody)))]
async fn remove_passkey(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Stepped(stepped_up): Stepped,
    Path(passkey): Path<u64>,
) -> Result<StatusCode> {
    engine.remove_passkey(&caller, stepped_up, passkey).await?;
    Ok(StatusCode::NO_CONTENT)
}

// Password and authenticator app.

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordBody {
    password: String,
}

/// Change your password. It takes a factor once more, and ends your other sessions.
#[utoipa::path(post, path = "/api/v1/account/password", request_body = WithStepUp<PasswordBody>,
    responses((status = NO_CONTENT), (status = BAD_REQUEST, body = ErrorBody), (status = UNAUTHORIZED, body = ErrorBody)))]
async fn change_password(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Stepped(stepped_up): Stepped,
    Body(body): Body<PasswordBody>,
) -> Result<StatusCode> {
    engine.change_password(&caller, stepped_up, body.password.into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A TOTP secret for another authenticator app. The old app stays until the new one has shown a code.
#[utoipa::path(post, path = "/api/v1/account/authenticator/begin", responses((status = OK, body = EnrolmentBody)))]
async fn begin_authenticator(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<EnrolmentBody>> {
    Ok(Json(engine.begin_authenticator(&caller).await?.into()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthenticatorBody {
    totp_code: String,
}

/// Use the other app from now on. It takes a factor once more, and ends your other sessions.
#[utoipa::path(post, path = "/api/v1/account/authenticator", request_body = WithStepUp<AuthenticatorBody>,
    responses((status = NO_CONTENT), (status = BAD_REQUEST, body = ErrorBody), (status = UNAUTHORIZED, body = ErrorBody)))]
async fn change_authenticator(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Stepped(stepped_up): Stepped,
    Body(body): Body<AuthenticatorBody>,
) -> Result<StatusCode> {
    engine.change_authenticator(&caller, stepped_up, &body.totp_code).await?;
    Ok(StatusCode::NO_CONTENT)
}

// Recovery codes.

#[derive(Serialize, ToSchema)]
pub(crate) struct RecoveryBody {
    left: u64,
}

/// How many recovery codes are left.
#[utoipa::path(get, path = "/api/v1/account/recovery-codes", responses((status = OK, body = RecoveryBody)))]
async fn count_recovery_codes(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
) -> Result<Json<RecoveryBody>> {
    Ok(Json(RecoveryBody { left: engine.recovery_codes_left(&caller).await? }))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct RecoveryCodesBody {
    codes: Vec<String>,
}

/// Make new recovery codes, shown this once; older ones are void.
#[utoipa::path(post, path = "/api/v1/account/recovery-codes", request_body = OnlyStepUp,
    responses((status = CREATED, body = RecoveryCodesBody), (status = UNAUTHORIZED, body = ErrorBody)))]
async fn make_recovery_codes(
    State(engine): State<Arc<Engine>>,
    SignedIn(caller): SignedIn,
    Stepped(stepped_up): Stepped,
) -> Result<(StatusCode, Json<RecoveryCodesBody>)> {
    let codes = engine.make_recovery_codes(&caller, stepped_up).await?;
    Ok((StatusCode::CREATED, Json(RecoveryCodesBody { codes })))
}
