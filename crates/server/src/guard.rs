//! The guard before the console's API: what each route needs, and that it is there.
//!
//! A route is registered with what it needs ([`Routes::at`]), and there is no other way to register one. Before its
//! handler runs, the guard finds out who calls (a session's cookie, or a token), whether they are locked, whether the
//! project of the path is their organisation's, and what the policy's table says; where it wants a factor shown again
//! it asks for one that is bound to this very request. Handlers take what was found from here and decide nothing.
//!
//! A request that takes a step-up is answered 401 `step_up_required` with a challenge. It is sent again, the same in
//! every byte that matters, with the proof in the field `step_up` of its body.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use cofferdam_engine::{
    Assertion, Caller, Engine, Error, Project, RequestHash, Sight, StepUpProof, SteppedUp, TokenCaller, Visitor, Who,
};
use cofferdam_model::policy::{decide, decide_in_clear, may};
use cofferdam_model::{Class, Control, Decision, Deed, OrgId, ProjectId, Roles, limits, sabotage};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa::openapi::extensions::Extensions;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::api::{Failure, Result, session_token};
use crate::capture::Proxies;

pub(crate) const DEVICE_COOKIE: &str = "__Host-cofferdam_device";

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nobody need be signed in.
    Anyone,
    /// A member, about their own account.
    Account,
    /// The same, with a factor shown again.
    AccountShownAgain,
    Do(Control),
    Data(Deed, Class),
    /// The same where a coarser form will not do.
    InClear(Deed, Class),
    /// A token that is bound to one definition of this deed; no member.
    Bound(Deed),
    /// By the question: rows are read, everything else is aggregates.
    Ask,
}

impl Need {
    /// As it stands in the OpenAPI document, under `x-needs`.
    fn word(self) -> String {
        match self {
            Need::Anyone => "anyone".to_owned(),
            Need::Account => "account".to_owned(),
            Need::AccountShownAgain => "account, shown again".to_owned(),
            Need::Do(control) => format!("control {}", control.word()),
            Need::Data(deed, class) => format!("deed {} {class:?}", deed.word()),
            Need::InClear(deed, class) => format!("clear {} {class:?}", deed.word()),
            Need::Bound(deed) => format!("bound {}", deed.word()),
            Need::Ask => "ask".to_owned(),
        }
    }
}

#[derive(Clone, Copy)]
struct Required {
    need: Need,
    body_bytes_max: usize,
}

/// Routes with what they need.
pub(crate) struct Routes {
    router: OpenApiRouter<Arc<Engine>>,
    required: HashMap<(Method, String), Required>,
    body_bytes_max: usize,
}

impl Routes {
    pub(crate) fn new() -> Routes {
        Routes::of(OpenApiRouter::new())
    }

    pub(crate) fn of(router: OpenApiRouter<Arc<Engine>>) -> Routes {
        Routes { router, required: HashMap::new(), body_bytes_max: limits::API_BODY_BYTES_MAX }
    }

    /// Routes with bodies larger than any question.
    pub(crate) fn of_lists() -> Routes {
        Routes { body_bytes_max: limits::BODY_BYTES_MAX, ..Routes::new() }
    }

    /// Registers routes of one path: what `routes!` names, each with the same need.
    pub(crate) fn at(mut self, need: Need, (schemas, mut paths, methods): UtoipaMethodRouter<Arc<Engine>>) -> Routes {
        for (path, item) in &mut paths.paths {
            let operations = [
                (Method::GET, &mut item.get),
                (Method::POST, &mut item.post),
                (Method::PUT, &mut item.put),
                (Method::DELETE, &mut item.delete),
            ];
            for (method, operation) in operations {
                let Some(operation) = operation else { continue };
                let words: Extensions = [("x-needs", serde_json::Value::from(need.word()))].into_iter().collect();
                operation.extensions.get_or_insert_default().merge(words);
                let required = Required { need, body_bytes_max: self.body_bytes_max };
                self.required.insert((method, path.clone()), required);
            }
        }
        let methods = methods.layer(DefaultBodyLimit::max(self.body_bytes_max));
        self.router = self.router.routes((schemas, paths, methods));
        self
    }

    pub(crate) fn merge(mut self, other: Routes) -> Routes {
        self.required.extend(other.required);
        self.router = self.router.merge(other.router);
        self
    }

    pub(crate) fn document(self) -> utoipa::openapi::OpenApi {
        self.router.split_for_parts().1
    }

    /// The routes behind their guard.
    pub(crate) fn guarded(self, engine: Arc<Engine>, proxies: Proxies) -> axum::Router<Arc<Engine>> {
        let (router, _) = self.router.split_for_parts();
        let guard = Guard { engine, required: self.required, proxies };
        router.layer(axum::middleware::from_fn_with_state(Arc::new(guard), check))
    }
}

struct Guard {
    engine: Arc<Engine>,
    required: HashMap<(Method, String), Required>,
    proxies: Proxies,
}

/// Who calls.
enum Calling {
    Member(Caller),
    Token(TokenCaller),
}

impl Calling {
    fn org(&self) -> OrgId {
        match self {
            Calling::Member(caller) => caller.member.org,
            Calling::Token(token) => token.org,
        }
    }

    fn who(&self) -> Who {
        match self {
            Calling::Member(caller) => caller.who(),
            Calling::Token(token) => token.who(),
        }
    }

    fn roles(&self) -> Roles {
        match self {
            Calling::Member(caller) => caller.member.roles,
            Calling::Token(token) => token.roles,
        }
    }
}

/// A factor that was shown again for this request, for its handler to take.
#[derive(Clone)]
struct Shown(Arc<Mutex<Option<SteppedUp>>>);

async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.admit(request).await {
        Ok(request) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

impl Guard {
    async fn admit(&self, mut request: Request) -> Result<Request> {
        let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned()).unwrap_or_default();
        let method = if request.method() == Method::HEAD { Method::GET } else { request.method().clone() };
        let Some(required) = self.required.get(&(method, path.clone())).copied() else {
            return Err(Failure::method_not_allowed());
        };
        let visitor = visitor(request.headers(), self.ip(&request));
        let bearer = bearer(request.headers()).map(str::to_owned);
        // A token is sent on purpose; a cookie comes along with whatever a browser is made to send.
        if bearer.is_none() {
            same_origin(request.method(), request.headers())?;
        }
        request.extensions_mut().insert(Seen(visitor.clone()));
        if required.need == Need::Anyone {
            return Ok(request);
        }

        let calling = match (&bearer, &visitor.session) {
            (Some(token), _) => Calling::Token(self.engine.authenticate_token(token, visitor.ip).await?),
            (None, Some(token)) => {
                Calling::Member(as_asked(self.engine.authenticate(token, &visitor).await?, request.headers()))
            }
            (None, None) => return Err(Error::NotSignedIn.into()),
        };
        let project = match in_path(&path, request.uri().path(), "{project}") {
            Some(project) => Some(self.project(&calling, project)?),
            None => None,
        };
        let decision = self.decision(&calling, required, project.as_deref(), &mut request).await?;
        match decision {
            Decision::Allow { .. } => {}
            Decision::StepUp { .. } => request = self.shown_again(&calling, required, request).await?,
            _ => return Err(self.denied(&calling, required.need).await?),
        }
        let extensions = request.extensions_mut();
        if let Some(project) = project {
            extensions.insert(project);
        }
        let (who, roles) = (calling.who(), calling.roles());
        extensions.insert(Sight::of(roles, &who));
        extensions.insert(who);
        match calling {
            Calling::Member(caller) => extensions.insert(caller).map(drop),
            Calling::Token(token) => extensions.insert(token).map(drop),
        };
        Ok(request)
    }

    fn ip(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.extensions().get().map(|ConnectInfo::<SocketAddr>(peer)| peer.ip());
        self.proxies.sender(peer, request.headers())
    }

    fn project(&self, calling: &Calling, text: &str) -> Result<Arc<Project>> {
        let not_found = || Failure::from(Error::NotFound("project"));
        let id = ProjectId(text.parse().map_err(|_| not_found())?);
        match calling {
            Calling::Token(token) if token.project != id => Err(not_found()),
            _ => Ok(self.engine.project_of(calling.org(), id)?),
        }
    }

    async fn decision(
        &self,
        calling: &Calling,
        required: Required,
        project: Option<&Project>,
        request: &mut Request,
    ) -> Result<Decision> {
        let roles = calling.roles();
        let decision = match required.need {
            Need::Anyone => Decision::Deny,
            Need::Account | Need::AccountShownAgain if matches!(calling, Calling::Token(_)) => Decision::Deny,
            Need::Account => Decision::Allow { masked: false, test_only: false, write_only: false },
            Need::AccountShownAgain => Decision::StepUp { with_quota: false, approvals: 0 },
            Need::Do(control) => may(roles, control),
            Need::Data(deed, class) => decide(roles, class, deed),
            Need::InClear(deed, class) => decide_in_clear(roles, class, deed),
            // Which classes the definition opens is asked of the table when it is known.
            Need::Bound(deed) => match calling {
                Calling::Token(_) if decide(roles, Class::C1, deed) == Decision::Bound => {
                    Decision::Allow { masked: false, test_only: false, write_only: false }
                }
                _ => Decision::Deny,
            },
            Need::Ask => {
                let bytes = take_body(request, required.body_bytes_max).await?;
                let is_rows = reads_rows(&bytes);
                *request.body_mut() = Body::from(bytes);
                match is_rows {
                    false => decide(roles, Class::C0, Deed::QueryAgg),
                    // Rows that take a factor are written down: they have a route of their own.
                    true => Some(decide(roles, Class::C1, Deed::ReadRow))
                        .filter(|decision| matches!(decision, Decision::Allow { .. }))
                        .unwrap_or(Decision::Deny),
                }
            }
        };
        let is_test = project.is_some_and(|project| self.engine.is_test(project));
        Ok(match decision {
            Decision::Allow { test_only: true, .. } if !is_test => Decision::Deny,
            Decision::Deny if sabotage::is_out(29) && matches!(calling, Calling::Token(_)) => {
                Decision::Allow { masked: false, test_only: false, write_only: false }
            }
            // What comes from a URL alone carries no proof, and a program has nothing to show.
            Decision::StepUp { .. } if request.method() == Method::GET || matches!(calling, Calling::Token(_)) => {
                Decision::Deny
            }
            decision => decision,
        })
    }

    /// Has the request's factor shown again, and takes the proof out of its body.
    async fn shown_again(&self, calling: &Calling, required: Required, mut request: Request) -> Result<Request> {
        let Calling::Member(caller) = calling else { return Err(Failure::not_allowed()) };
        let bytes = take_body(&mut request, required.body_bytes_max).await?;
        let mut body: serde_json::Value = match bytes.is_empty() {
            true => serde_json::Value::Object(serde_json::Map::new()),
            false => serde_json::from_slice(&bytes).map_err(|_| Failure::invalid_body())?,
        };
        let proof = body.as_object_mut().and_then(|body| body.remove("step_up")).filter(|proof| !proof.is_null());
        let canonical = serde_json::to_vec(&body).map_err(|_| Error::Interrupted)?;
        let target = request.uri().path_and_query().map(|target| target.as_str()).unwrap_or_default();
        let hash = RequestHash::of(&[request.method().as_str().as_bytes(), target.as_bytes(), &canonical]);
        let stepped_up = match proof {
            Some(proof) => {
                let proof: ProofBody = serde_json::from_value(proof).map_err(|_| Failure::invalid_body())?;
                self.engine.finish_step_up(caller, hash, proof.read()?).await?
            }
            None if sabotage::is_out(9) && required.need == Need::AccountShownAgain => {
                *request.body_mut() = Body::from(canonical);
                return Ok(request);
            }
            None => return Err(Failure::step_up(self.engine.begin_step_up(caller, hash).await?)),
        };
        *request.body_mut() = Body::from(canonical);
        request.headers_mut().remove(header::CONTENT_LENGTH);
        request.extensions_mut().insert(Shown(Arc::new(Mutex::new(Some(stepped_up)))));
        Ok(request)
    }

    /// What is refused; the ledger has it where it was about personal values.
    async fn denied(&self, calling: &Calling, need: Need) -> Result<Failure> {
        let is_personal = match need {
            Need::Data(_, class) | Need::InClear(_, class) => class >= Class::C3,
            Need::Bound(_) => true,
            _ => false,
        };
        match calling {
            _ if !is_personal => {}
            Calling::Member(caller) => {
                self.engine.refused_disclosure_of(caller, caller.entry(&self.engine, REFUSED)).await?
            }
            Calling::Token(token) => self.engine.refused_disclosure(token.entry(&self.engine, REFUSED)).await?,
        }
        Ok(if need == Need::Ask { Failure::no_rows() } else { Failure::not_allowed() })
    }
}

const REFUSED: cofferdam_ledger::Kind = cofferdam_ledger::Kind::DisclosureRefused;

/// The part of a path that stands where the pattern names it.
fn in_path<'a>(pattern: &str, path: &'a str, name: &str) -> Option<&'a str> {
    pattern.split('/').zip(path.split('/')).find(|(part, _)| *part == name).map(|(_, value)| value)
}

/// Whether a question lists rows: of events, or of persons.
fn reads_rows(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Asked {
        kind: String,
    }
    // What cannot be read is refused by its handler: until then it is the stricter of the two.
    !serde_json::from_slice::<Asked>(body).is_ok_and(|asked| {
        ["insights", "funnel", "retention", "flows", "frequency", "sessions"].contains(&asked.kind.as_str())
    })
}

async fn take_body(request: &mut Request, bytes_max: usize) -> Result<Bytes> {
    let body = std::mem::take(request.body_mut());
    to_bytes(body, bytes_max).await.map_err(|_| Failure::too_large())
}

/// A request that comes from this origin, or changes nothing.
fn same_origin(method: &Method, headers: &HeaderMap) -> Result<()> {
    if matches!(*method, Method::GET | Method::HEAD) || sabotage::is_out(14) {
        return Ok(());
    }
    let text = |name: header::HeaderName| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let from_here = match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, origin)| origin == host),
        // No browser sends such a request without naming its origin.
        _ => false,
    };
    let fetch_site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    match from_here && fetch_site.is_none_or(|site| site == "same-origin") {
        true => Ok(()),
        false => Err(Failure::cross_origin()),
    }
}

/// Nobody acts as somebody else: who calls is whom the session is of, whatever a header says.
fn as_asked(mut caller: Caller, headers: &HeaderMap) -> Caller {
    if sabotage::is_out(26)
        && let Some(member) = headers.get("x-impersonate-member").and_then(|value| value.to_str().ok()?.parse().ok())
    {
        caller.member.id = member;
    }
    caller
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn visitor(headers: &HeaderMap, ip: Option<IpAddr>) -> Visitor {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    Visitor {
        ip,
        device: crate::api::cookie(headers, DEVICE_COOKIE).map(str::to_owned),
        user_agent: text(header::USER_AGENT).to_owned(),
        session: session_token(headers).map(str::to_owned),
    }
}

/// A factor shown again, as it stands in a body.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum ProofBody {
    Passkey(AssertionBody),
    PasswordAndCode {
        password: String,
        /// Six digits of the authenticator app, one that was not used before; or a recovery code.
        code: String,
    },
}

/// What `navigator.credentials.get` answers; every part as base64url without padding.
#[derive(Deserialize, ToSchema)]
pub(crate) struct AssertionBody {
    /// `rawId`
    id: String,
    client_data_json: String,
    authenticator_data: String,
    signature: String,
    #[serde(default)]
    user_handle: Option<String>,
}

pub(crate) fn decoded(text: &str) -> Result<Vec<u8>> {
    if text.len() > 2 * limits::WEBAUTHN_BYTES_MAX {
        return Err(Failure::invalid_body());
    }
    BASE64URL.decode(text.trim_end_matches('=')).map_err(|_| Failure::invalid_body())
}

impl AssertionBody {
    pub(crate) fn read(&self) -> Result<Assertion> {
        Ok(Assertion {
            credential: decoded(&self.id)?,
            client_data: decoded(&self.client_data_json)?,
            authenticator_data: decoded(&self.authenticator_data)?,
            signature: decoded(&self.signature)?,
            user_handle: self.user_handle.as_deref().filter(|handle| !handle.is_empty()).map(decoded).transpose()?,
        })
    }
}

impl ProofBody {
    fn read(self) -> Result<StepUpProof> {
        Ok(match self {
            ProofBody::Passkey(assertion) => StepUpProof::Passkey(assertion.read()?),
            ProofBody::PasswordAndCode { password, code } => {
                StepUpProof::PasswordAndCode { password: password.into(), code }
            }
        })
    }
}

/// A body of a request for which a factor is shown again.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "the guard reads it; this is its form in the document")]
pub(crate) struct WithStepUp<T> {
    #[serde(flatten)]
    act: T,
    /// Absent the first time: the answer is 401 `step_up_required` with what must be signed.
    step_up: Option<ProofBody>,
}

/// A body that has nothing else to say.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "the guard reads it; this is its form in the document")]
pub(crate) struct OnlyStepUp {
    /// Absent the first time: the answer is 401 `step_up_required` with what must be signed.
    step_up: Option<ProofBody>,
}

// What handlers take of what the guard found.

/// What the request brings along before anybody is known.
#[derive(Clone)]
pub(crate) struct Seen(pub(crate) Visitor);

/// The member who calls.
pub(crate) struct SignedIn(pub(crate) Caller);

/// The token of the program that calls.
pub(crate) struct ByToken(pub(crate) TokenCaller);

/// The project of the path, which the caller's organisation has.
pub(crate) struct Of(pub(crate) Arc<Project>);

/// What whoever calls may see of device and place.
pub(crate) struct Seeing(pub(crate) Sight);

/// Whom a lock can be about, for what goes on after the request was admitted.
pub(crate) struct Lockable(pub(crate) Who);

/// The factor that was shown again. The handler has it, once.
pub(crate) struct Stepped(pub(crate) SteppedUp);

/// The same, for what the policy may have let in without.
pub(crate) struct MaybeStepped(pub(crate) Option<SteppedUp>);

macro_rules! from_guard {
    ($name:ident, $parts:ident => $found:expr) => {
        impl<S: Sync> FromRequestParts<S> for $name {
            type Rejection = Failure;

            async fn from_request_parts($parts: &mut Parts, _: &S) -> Result<$name> {
                // A token where only a member can be meant; the guard found everything else.
                $found.map($name).ok_or_else(Failure::not_allowed)
            }
        }
    };
}

from_guard!(SignedIn, parts => parts.extensions.get::<Caller>().cloned());
from_guard!(ByToken, parts => parts.extensions.get::<TokenCaller>().copied());
from_guard!(Of, parts => parts.extensions.get::<Arc<Project>>().cloned());
from_guard!(Seeing, parts => parts.extensions.get::<Sight>().copied());
from_guard!(Lockable, parts => parts.extensions.get::<Who>().copied());
from_guard!(MaybeStepped, parts => Some(take(parts)));
from_guard!(Stepped, parts => take(parts));

impl<S: Sync> FromRequestParts<S> for Seen {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Seen> {
        parts.extensions.get::<Seen>().cloned().ok_or_else(Failure::not_allowed)
    }
}

fn take(parts: &mut Parts) -> Option<SteppedUp> {
    parts.extensions.get::<Shown>()?.0.lock().expect("never left half changed").take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_found_where_the_pattern_has_it() {
        let pattern = "/api/v1/projects/{project}/cohorts/{cohort}";
        assert_eq!(in_path(pattern, "/api/v1/projects/7/cohorts/9", "{project}"), Some("7"));
        assert_eq!(in_path("/api/v1/projects", "/api/v1/projects", "{project}"), None);
    }

    #[test]
    fn whatever_is_not_known_to_be_an_aggregate_reads_rows() {
        assert!(!reads_rows(br#"{"kind":"insights","x":1}"#));
        for body in [&br#"{"kind":"persons"}"#[..], br#"{"kind":"events"}"#, br#"{"kind":"new"}"#, b"{}", b"x"] {
            assert!(reads_rows(body));
        }
    }

    #[test]
    fn a_token_is_read_from_its_header_and_from_no_other() {
        let mut headers = HeaderMap::new();
        assert_eq!(bearer(&headers), None);
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic abc"));
        assert_eq!(bearer(&headers), None);
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("bearer abc"));
        assert_eq!(bearer(&headers), Some("abc"));
    }
}
