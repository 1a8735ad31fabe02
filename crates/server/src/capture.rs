//! The collecting routes, as unmodified Mixpanel SDKs call them: `/track /import /engage /groups`, with and without
//! a trailing slash, in every body form. Finds body, options and credentials, decides nothing about events, and
//! gives the protocol's answers.
//!
//! These routes use no cookie and answer any origin: a project token can only send.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Router};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use cofferdam_engine::ingest::Report;
use cofferdam_engine::{Door, Engine, Error, ProfileKind, Project, Strictness};
use cofferdam_model::{Reason, limits};
use futures_util::StreamExt;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many proxies stand before the server, each of which adds to `X-Forwarded-For` whom it speaks for. What is
/// further left in that header is anybody's claim.
#[derive(Clone, Copy)]
pub(crate) struct Proxies(pub(crate) usize);

impl Proxies {
    /// Where a request came from.
    pub(crate) fn sender(self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        if self.0 == 0 {
            return peer;
        }
        let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let all: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
        all.len().checked_sub(self.0).and_then(|at| all[at].parse().ok())
    }
}

pub(crate) fn router(proxies: Proxies) -> Router<Arc<Engine>> {
    let mut router = Router::new();
    for (path, slashed) in
        [("/track", "/track/"), ("/import", "/import/"), ("/engage", "/engage/"), ("/groups", "/groups/")]
    {
        router = router.route(path, any(collect)).route(slashed, any(collect));
    }
    router.layer(Extension(Room::new(limits::BODY_BYTES_IN_FLIGHT_MAX))).layer(Extension(proxies))
}

/// Room for bodies in memory. Bytes take their part of it as they arrive, so that a sender who announces much and
/// sends little keeps nobody out.
#[derive(Clone)]
struct Room(Arc<Semaphore>);

/// A body, and the part of the room it takes until its request is answered.
struct Held {
    bytes: Bytes,
    room: Option<OwnedSemaphorePermit>,
}

impl Room {
    fn new(bytes: usize) -> Room {
        Room(Arc::new(Semaphore::new(bytes)))
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Unfit> {
        let bytes = u32::try_from(bytes).map_err(|_| Unfit::TooLarge)?;
        self.0.clone().try_acquire_many_owned(bytes).map_err(|_| Unfit::Busy)
    }

    /// Reads a body whole. One that arrives in one piece is not copied.
    async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Held, Unfit> {
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: usize| length > limits::BODY_BYTES_MAX) {
            return Err(Unfit::TooLarge);
        }
        let mut held = Held { bytes: Bytes::new(), room: None };
        let mut whole = Vec::new();
        let mut pieces = body.into_data_stream();
        while let Some(piece) = pieces.next().await {
            // A sender who hung up: whatever is answered reaches nobody.
            let piece = piece.map_err(|_| Unfit::TooLarge)?;
            held.hold(self.take(piece.len())?);
            if announced == Some(piece.len()) {
                held.bytes = piece;
                return Ok(held);
            }
            if whole.len() + piece.len() > limits::BODY_BYTES_MAX {
                return Err(Unfit::TooLarge);
            }
            if whole.is_empty() {
                whole.reserve_exact(announced.unwrap_or(0));
            }
            whole.extend_from_slice(&piece);
        }
        held.bytes = whole.into();
        Ok(held)
    }
}

impl Held {
    fn hold(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    Track,
    Import,
    Engage,
    Groups,
}

/// What a request asks for besides storing its records.
#[derive(Default)]
struct Params {
    verbose: bool,
    image: bool,
    strict: Option<bool>,
    /// Whether a place is to be made of where the request came from.
    ip: bool,
    callback: Option<String>,
    api_key: Option<String>,
    data: Option<String>,
}

impl Params {
    fn read(&mut self, form: &[u8]) {
        for (key, value) in form_pairs(form) {
            let on = value == "1" || value == "true";
            match key.as_str() {
                "verbose" => self.verbose = on,
                "img" => self.image = on,
                "strict" => self.strict = Some(value != "0" && value != "false"),
                "callback" => self.callback = Some(value),
                "api_key" => self.api_key = Some(value),
                "data" => self.data = Some(value),
                "ip" => self.ip = on,
                // `redirect` would send browsers anywhere.
                _ => {}
            }
        }
    }
}

/// Why a request as a whole is refused.
enum Unfit {
    TooLarge,
    Encoding,
    Method,
    Busy,
}

async fn collect(
    State(engine): State<Arc<Engine>>,
    Extension(room): Extension<Room>,
    Extension(proxies): Extension<Proxies>,
    request: Request,
) -> Response {
    let peer = request.extensions().get().map(|ConnectInfo::<SocketAddr>(peer)| peer.ip());
    let (head, body) = request.into_parts();
    let origin = head.headers.get(header::ORIGIN).cloned();
    let mut response = if head.method == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let route = match head.uri.path().trim_end_matches('/') {
            "/import" => Route::Import,
            "/engage" => Route::Engage,
            "/groups" => Route::Groups,
            _ => Route::Track,
        };
        let body = room.read(&head.headers, body).await;
        // A task of its own: a sender who hangs up half way must not leave a record without its outcome.
        let task = tokio::spawn(async move {
            let query = head.uri.query().unwrap_or("");
            let sender = proxies.sender(peer, &head.headers);
            answer(&engine, &room, route, &head.method, query, &head.headers, sender, body).await
        });
        match task.await {
            Ok(response) => response,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    };
    allow_origin(origin, response.headers_mut());
    response
}

#[expect(clippy::too_many_arguments, reason = "the parts of one request")]
async fn answer(
    engine: &Engine,
    room: &Room,
    route: Route,
    method: &Method,
    query: &str,
    headers: &HeaderMap,
    sender: Option<IpAddr>,
    body: Result<Held, Unfit>,
) -> Response {
    let mut params = Params::default();
    params.read(query.as_bytes());
    let Held { bytes: records, room: _held } = match records(&mut params, room, method, headers, body) {
        Ok(held) => held,
        Err(unfit) => return unfit_answer(route, &unfit),
    };
    // Old clients send forms, know nothing of strictness, and want to be answered like `/track`.
    let form = params.data.is_some();
    let strict = params.strict.unwrap_or(!form);
    let project = match credentials(engine, headers, &params) {
        Credentials::Project(project) => Some(project),
        // SDKs send whatever key they were given with every request; the record's own token decides.
        Credentials::None | Credentials::Wrong if route != Route::Import => None,
        // The public token inside a record is no credential for history.
        Credentials::None | Credentials::Wrong => return unauthorized(route),
    };
    let result = match route {
        Route::Track => engine.ingest(&records, Door::Track, project, sender.filter(|_| params.ip)).await,
        Route::Import => {
            let strictness = if strict { Strictness::Strict } else { Strictness::Lenient };
            // History comes from servers: where they are says nothing about persons.
            engine.ingest(&records, Door::Import(strictness), project, None).await
        }
        Route::Engage => engine.update_profiles(&records, ProfileKind::Person, project).await,
        Route::Groups => engine.update_profiles(&records, ProfileKind::Group, project).await,
    };
    match result {
        Ok(report) if route == Route::Import && !form => import_answer(&report, strict),
        Ok(report) => sdk_answer(route, &report, &params),
        Err(error) => unavailable(route, &error),
    }
}

// The body.

/// The bytes that hold the records.
fn records(
    params: &mut Params,
    room: &Room,
    method: &Method,
    headers: &HeaderMap,
    body: Result<Held, Unfit>,
) -> Result<Held, Unfit> {
    if method == Method::GET || method == Method::HEAD {
        let bytes = params.data.as_deref().map(decode_data).unwrap_or_default().into();
        return Ok(Held { bytes, room: None });
    }
    if method != Method::POST {
        return Err(Unfit::Method);
    }
    let Held { bytes: body, room: held } = body?;
    let encoded =
        headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"gzip"));
    let (body, held) = if encoded || body.starts_with(&[0x1f, 0x8b]) {
        let inflated = inflate(&body)?;
        let room = room.take(inflated.len())?;
        (Bytes::from(inflated), Some(room))
    } else {
        (body, held)
    };
    let declared_form = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    let looks_json = matches!(body.trim_ascii_start().first(), Some(b'[' | b'{'));
    if !looks_json && (declared_form || body.starts_with(b"data=") || contains(&body, b"&data=")) {
        params.read(&body);
        let bytes = params.data.as_deref().map(decode_data).unwrap_or_default().into();
        return Ok(Held { bytes, room: held });
    }
    // A form's options may be in the query while the records are the body.
    params.data = None;
    Ok(Held { bytes: body, room: held })
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Gzip, as long as what comes out is within the limit: a small body can hold a very large one.
fn inflate(body: &[u8]) -> Result<Vec<u8>, Unfit> {
    let mut out = Vec::new();
    let mut limited = flate2::read::MultiGzDecoder::new(body).take(limits::BODY_BYTES_MAX as u64 + 1);
    limited.read_to_end(&mut out).map_err(|_| Unfit::Encoding)?;
    if out.len() > limits::BODY_BYTES_MAX { Err(Unfit::TooLarge) } else { Ok(out) }
}

/// `data=` is JSON as it is, or in base 64, where form decoding has turned `+` into space.
fn decode_data(data: &str) -> Vec<u8> {
    let trimmed = data.trim();
    if trimmed.is_empty() || trimmed.starts_with(['[', '{']) {
        return trimmed.as_bytes().to_vec();
    }
    let text: String = trimmed.chars().map(|character| if character == ' ' { '+' } else { character }).collect();
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let url_safe = GeneralPurpose::new(&URL_SAFE, lenient);
    let plain = GeneralPurpose::new(&base64::alphabet::STANDARD, lenient);
    // What is neither is no JSON either, and is refused as such.
    plain.decode(&text).or_else(|_| url_safe.decode(&text)).unwrap_or_else(|_| b"!".to_vec())
}

/// `a=b&c=d`, percent-decoded.
fn form_pairs(form: &[u8]) -> impl Iterator<Item = (String, String)> {
    form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=');
        let (key, value) = at.map_or((pair, &[][..]), |at| (&pair[..at], &pair[at + 1..]));
        (percent_decode(key), percent_decode(value))
    })
}

fn percent_decode(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let hex = |byte: u8| char::from(byte).to_digit(16);
        match text[at] {
            b'+' => out.push(b' '),
            b'%' => match (text.get(at + 1).and_then(|b| hex(*b)), text.get(at + 2).and_then(|b| hex(*b))) {
                (Some(high), Some(low)) => {
                    out.push((high * 16 + low) as u8);
                    at += 2;
                }
                _ => out.push(b'%'),
            },
            byte => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

// Credentials.

enum Credentials {
    Project(Arc<Project>),
    Wrong,
    None,
}

/// Basic authentication with the project's token as user or password, with or without a colon, or `api_key`.
fn credentials(engine: &Engine, headers: &HeaderMap, params: &Params) -> Credentials {
    let mut candidates: Vec<String> = params.api_key.iter().cloned().collect();
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some(encoded) = authorization
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
        .map(|(_, encoded)| encoded)
    {
        let decoded = STANDARD.decode(encoded.trim()).ok().unwrap_or_else(|| decode_data(encoded));
        let decoded = String::from_utf8_lossy(&decoded).into_owned();
        candidates.extend(decoded.splitn(2, ':').map(str::to_owned));
    }
    candidates.retain(|candidate| !candidate.is_empty());
    if candidates.is_empty() && authorization.is_none() {
        return Credentials::None;
    }
    match candidates.iter().find_map(|candidate| engine.project_by_token(candidate)) {
        Some(project) => Credentials::Project(project),
        None => Credentials::Wrong,
    }
}

// Answers.

fn json_answer(status: StatusCode, body: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn error_answer(route: Route, status: StatusCode, message: &str) -> Response {
    let body = if route == Route::Import {
        let words = status.canonical_reason().unwrap_or("Error");
        // The protocol's own word for 413, older than today's.
        let words = if status == StatusCode::PAYLOAD_TOO_LARGE { "Request Entity Too Large" } else { words };
        json!({ "code": status.as_u16(), "error": message, "status": words })
    } else {
        json!({ "error": message, "status": "error" })
    };
    json_answer(status, &body)
}

fn unauthorized(route: Route) -> Response {
    error_answer(route, StatusCode::UNAUTHORIZED, "Invalid credentials")
}

fn unfit_answer(route: Route, unfit: &Unfit) -> Response {
    match unfit {
        Unfit::TooLarge => error_answer(
            route,
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("request exceeds max limit of {} bytes", limits::BODY_BYTES_MAX),
        ),
        Unfit::Encoding => error_answer(route, StatusCode::BAD_REQUEST, "the body is not valid gzip"),
        Unfit::Busy => unavailable(route, &Error::Busy),
        Unfit::Method => error_answer(route, StatusCode::METHOD_NOT_ALLOWED, "send with POST or GET"),
    }
}

fn unavailable(route: Route, error: &Error) -> Response {
    let (status, message, wait) = match error {
        Error::Busy => (
            StatusCode::TOO_MANY_REQUESTS,
            "Project exceeded rate limits. Please retry the request with exponential backoff.",
            "1",
        ),
        // To a member it is 423. SDKs keep what is answered 429 or 5xx, and drop what is refused otherwise.
        Error::OrganisationSealed => {
            (StatusCode::SERVICE_UNAVAILABLE, "the organisation is sealed: nothing was stored, send it again", "60")
        }
        _ => {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "could not store a request; its sender was told to retry"
            );
            (StatusCode::SERVICE_UNAVAILABLE, "the records could not be stored: send them again", "1")
        }
    };
    let mut response = error_answer(route, status, message);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(wait));
    response
}

fn too_many(report: &Report) -> bool {
    report.refused.iter().any(|refused| refused.reason == Reason::TooManyEvents)
}

fn import_answer(report: &Report, strict: bool) -> Response {
    if too_many(report) {
        let message = format!("request exceeds max limit of {} events", limits::REQUEST_EVENTS_MAX);
        return error_answer(Route::Import, StatusCode::PAYLOAD_TOO_LARGE, &message);
    }
    let cannot_be_cut = report.refused.len() == report.received
        && report.received == 1
        && report.refused[0].reason == Reason::MalformedJson;
    if cannot_be_cut {
        return error_answer(Route::Import, StatusCode::BAD_REQUEST, "the body is not valid JSON or NDJSON");
    }
    if report.refused.is_empty() || !strict {
        let body = json!({ "code": 200, "num_records_imported": report.stored, "status": "OK" });
        return json_answer(StatusCode::OK, &body);
    }
    let failed: Vec<serde_json::Value> = report
        .refused
        .iter()
        .map(|refused| {
            let (field, message) = refused.reason.explain();
            json!({ "index": refused.index, "insert_id": refused.insert_id, "field": field, "message": message })
        })
        .collect();
    let body = json!({
        "code": 400,
        "error": "some data points in the request failed validation",
        "status": "Bad Request",
        "num_records_imported": report.stored,
        "failed_records": failed,
    });
    json_answer(StatusCode::BAD_REQUEST, &body)
}

fn sdk_answer(route: Route, report: &Report, params: &Params) -> Response {
    if too_many(report) {
        let message = format!("request exceeds max limit of {} events", limits::REQUEST_EVENTS_MAX);
        return error_answer(route, StatusCode::PAYLOAD_TOO_LARGE, &message);
    }
    let about_token = |reason| matches!(reason, Reason::TokenMissing | Reason::TokenUnknown);
    let nothing_ours = !report.refused.is_empty()
        && report.refused.len() == report.received
        && report.refused.iter().all(|refused| about_token(refused.reason));
    if nothing_ours {
        return unauthorized(route);
    }
    let error = match report.refused.first() {
        _ if report.received == 0 => Some("the request holds no records".to_owned()),
        None => None,
        // A client that is told "0" keeps the whole batch and sends it for ever; the counts say what was refused.
        Some(_) if report.stored > 0 => None,
        Some(first) if report.received == 1 => Some(first.reason.explain().1.to_owned()),
        Some(first) => Some(format!("record {}: {}", first.index, first.reason.explain().1)),
    };
    let status = u8::from(error.is_none());
    if params.image {
        const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";
        return ([(header::CONTENT_TYPE, "image/gif"), (header::CACHE_CONTROL, "no-store")], PIXEL).into_response();
    }
    let body =
        if params.verbose { json!({ "status": status, "error": error }).to_string() } else { status.to_string() };
    if let Some(callback) = params.callback.as_deref().filter(|callback| is_identifier(callback)) {
        let script = format!("{callback}({body});");
        return ([(header::CONTENT_TYPE, "text/javascript")], script).into_response();
    }
    let kind = if params.verbose { "application/json" } else { "text/plain; charset=utf-8" };
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

/// A name that is safe to call in a script: letters, digits, `_ $ .`, and not too long.
fn is_identifier(callback: &str) -> bool {
    callback.len() <= 128
        && callback.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_' || first == '$')
        && callback.chars().all(|character| character.is_ascii_alphanumeric() || "_$.".contains(character))
}

/// Browsers send with credentials, so that the origin has to be named.
fn allow_origin(origin: Option<HeaderValue>, response: &mut HeaderMap) {
    if let Some(origin) = origin {
        response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    } else {
        response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    response.insert(header::VARY, HeaderValue::from_static("Origin"));
    response.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    response.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("authorization, content-type, content-encoding, traceparent, x-requested-with"),
    );
    response.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin"));
    response.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_decodes_in_every_form() {
        let json = r#"{"event":"ñ>?","properties":{"token":"t"}}"#;
        let plain = STANDARD.encode(json);
        for form in [
            json.to_owned(),
            plain.clone(),
            plain.replace('+', " "),
            plain.trim_end_matches('=').to_owned(),
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json),
        ] {
            assert_eq!(String::from_utf8(decode_data(&form)).unwrap(), json, "{form}");
        }
        assert_eq!(decode_data("%%%"), b"!");
    }

    #[test]
    fn forms_are_percent_decoded() {
        let pairs: Vec<_> = form_pairs(b"data=%7B%22a%22%3A+1%7D&verbose=1&&x&y=%zz%4").collect();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(pairs, [pair("data", "{\"a\": 1}"), pair("verbose", "1"), pair("x", ""), pair("y", "%zz%4")]);
    }

    #[test]
    fn a_bomb_is_refused_and_a_full_body_is_not() {
        let gzip = |len: usize| {
            use std::io::Write;
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&vec![b' '; len]).unwrap();
            encoder.finish().unwrap()
        };
        assert!(inflate(&gzip(limits::BODY_BYTES_MAX)).is_ok());
        assert!(matches!(inflate(&gzip(limits::BODY_BYTES_MAX + 1)), Err(Unfit::TooLarge)));
        assert!(matches!(inflate(b"\x1f\x8bnonsense"), Err(Unfit::Encoding)));
    }

    fn pieces(count: usize, bytes: usize) -> Body {
        let piece = Bytes::from(vec![b' '; bytes]);
        Body::from_stream(futures_util::stream::iter((0..count).map(move |_| Ok::<_, std::io::Error>(piece.clone()))))
    }

    #[tokio::test]
    async fn bodies_in_memory_are_bounded_over_all_requests() {
        let room = Room::new(1_000);
        let (none, mut announced) = (HeaderMap::new(), HeaderMap::new());
        announced.insert(header::CONTENT_LENGTH, HeaderValue::from_static("600"));
        let first = room.read(&announced, pieces(1, 600)).await.ok().expect("there is room");
        assert_eq!((first.bytes.len(), room.0.available_permits()), (600, 400));
        // Announcing takes nothing; what came before there was no more room is given back.
        assert!(matches!(room.read(&announced, pieces(6, 100)).await, Err(Unfit::Busy)));
        assert!(matches!(room.read(&none, pieces(5, 100)).await, Err(Unfit::Busy)));
        assert_eq!(room.0.available_permits(), 400);
        let second = room.read(&none, pieces(4, 100)).await.ok().expect("it just fits");
        assert_eq!((second.bytes.len(), room.0.available_permits()), (400, 0));
        drop(first);
        drop(second);
        assert_eq!(room.0.available_permits(), 1_000);
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_whole_and_bounded() {
        let room = Room::new(3 * limits::BODY_BYTES_MAX);
        let none = HeaderMap::new();
        let fits = room.read(&none, pieces(10, limits::BODY_BYTES_MAX / 10)).await.ok().expect("it fits");
        assert_eq!(fits.bytes.len(), limits::BODY_BYTES_MAX);
        assert!(matches!(room.read(&none, pieces(11, limits::BODY_BYTES_MAX / 10)).await, Err(Unfit::TooLarge)));
        let mut announced = HeaderMap::new();
        announced.insert(header::CONTENT_LENGTH, HeaderValue::from(limits::BODY_BYTES_MAX + 1));
        assert!(matches!(room.read(&announced, Body::empty()).await, Err(Unfit::TooLarge)));
    }

    #[tokio::test]
    async fn whoever_finds_no_room_is_told_to_come_back() {
        let answer = unfit_answer(Route::Track, &Unfit::Busy);
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(answer.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn only_names_may_be_called() {
        assert!(is_identifier("jQuery.cb_1$"));
        for bad in ["", "1a", "alert(1)//", "a;b", "a b"] {
            assert!(!is_identifier(bad), "{bad}");
        }
    }
}
