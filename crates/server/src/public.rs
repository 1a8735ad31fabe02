//! The public page of an incident: what happened, to how many, what was told and how to verify it, and a form for the
//! code of a notice. One page per language, without scripts, cookies or anything to fetch; the same for everybody, so
//! that it can be cached.
//!
//! It has no name of a person and no number of one. What a code answers is the text that was logged, whatever the mail
//! said that it came with.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, DefaultBodyLimit, Form, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use cofferdam_engine::{CodeAnswer, Engine, PublicIncident, Stage, Told};
use cofferdam_model::sabotage;
use serde::Deserialize;

use crate::capture::Proxies;

/// How long a page is the same.
const FRESH: Duration = Duration::from_secs(5);
/// Pages in memory: beyond, all are made anew.
const PAGES_MAX: usize = 300;
/// A form has a code and nothing else.
const FORM_BYTES_MAX: usize = 1_024;

/// Pages as they were made; `None` where there is nothing to see.
#[derive(Default)]
struct Pages(Mutex<HashMap<(u32, &'static str), Page>>);

/// Since when it is known, and what it is; `None` where there is no such incident.
type Page = (Instant, Option<Arc<str>>);

pub(crate) fn router(proxies: Proxies) -> Router<Arc<Engine>> {
    Router::new()
        .route("/incidents", get(list))
        .route("/incidents/{incident}", get(show).post(check))
        .route("/incidents/{incident}/proofs/{entry}", get(proof))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(Extension(Arc::new(Pages::default())))
        .layer(Extension(proxies))
}

#[derive(Deserialize)]
struct Language {
    lang: Option<String>,
}

#[derive(Deserialize)]
struct Typed {
    code: String,
}

async fn list(State(engine): State<Arc<Engine>>, Query(query): Query<Language>, headers: HeaderMap) -> Response {
    let words = Words::of(query.lang.as_deref(), &headers);
    let Ok(public) = engine.public_incidents().await else { return unavailable() };
    let items: String = public
        .iter()
        .map(|id| format!("<li><a href=\"/incidents/{id}?lang={}\">{} {id}</a></li>\n", words.tag, words.incident))
        .collect();
    let body = match items.is_empty() {
        true => format!("<h1>{}</h1>\n<p>{}</p>\n", words.incidents, words.none),
        false => format!("<h1>{}</h1>\n<ul>\n{items}</ul>\n", words.incidents),
    };
    page(words, words.incidents, &body, "public, max-age=60")
}

async fn show(
    State(engine): State<Arc<Engine>>,
    Extension(pages): Extension<Arc<Pages>>,
    Path(incident): Path<u32>,
    Query(query): Query<Language>,
    headers: HeaderMap,
) -> Response {
    let words = Words::of(query.lang.as_deref(), &headers);
    let key = (incident, words.tag);
    let known = pages.0.lock().expect("never left half changed").get(&key).cloned();
    let body = match known.filter(|(made, _)| made.elapsed() < FRESH) {
        Some((_, body)) => body,
        None => {
            let Ok(found) = engine.public_incident(incident).await else { return unavailable() };
            let body = found.map(|found| Arc::<str>::from(body_of(&found, words)));
            let mut pages = pages.0.lock().expect("never left half changed");
            if pages.len() >= PAGES_MAX {
                pages.clear();
            }
            pages.insert(key, (Instant::now(), body.clone()));
            body
        }
    };
    match body {
        Some(body) => page(words, &format!("{} {incident}", words.incident), &body, "public, max-age=60"),
        None => nothing(words),
    }
}

async fn check(
    State(engine): State<Arc<Engine>>,
    Extension(proxies): Extension<Proxies>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(incident): Path<u32>,
    Query(query): Query<Language>,
    headers: HeaderMap,
    Form(Typed { code }): Form<Typed>,
) -> Response {
    let words = Words::of(query.lang.as_deref(), &headers);
    let address = proxies.sender(Some(peer.ip()), &headers).unwrap_or(peer.ip());
    match engine.public_incident(incident).await {
        Ok(Some(_)) => {}
        Ok(None) => return nothing(words),
        Err(_) => return unavailable(),
    }
    let Ok(answer) = engine.check_code(incident, &code, address).await else { return unavailable() };
    let title = format!("{} {incident}", words.incident);
    let back = format!("<p><a href=\"/incidents/{incident}?lang={}\">{}</a></p>\n", words.tag, words.back);
    let shown = |told: &Told| match sabotage::is_out(87) {
        true => String::new(),
        false => format!("<p>{}</p>\n{}", escaped(words.compare), text_of(incident, told, words)),
    };
    let body = match &answer {
        CodeAnswer::Genuine(told) => format!("<h1>{}</h1>\n{}{back}", words.genuine, shown(told)),
        CodeAnswer::Superseded(told, by) => {
            format!("<h1>{}</h1>\n<p>{} {by}</p>\n{}{back}", words.superseded, words.replaced_by, shown(told))
        }
        CodeAnswer::NotOurs => format!("<h1>{}</h1>\n<p>{}</p>\n{back}", words.not_ours, escaped(words.not_ours_do)),
        CodeAnswer::TooMany => format!("<h1>{}</h1>\n{back}", words.too_many),
    };
    let mut response = page(words, &title, &body, "no-store");
    if answer == CodeAnswer::TooMany {
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        response.headers_mut().insert(header::RETRY_AFTER, axum::http::HeaderValue::from_static("60"));
    }
    response
}

async fn proof(State(engine): State<Arc<Engine>>, Path((incident, entry)): Path<(u32, u64)>) -> Response {
    match engine.notice_proof(incident, entry).await {
        Ok(Some(text)) => {
            let headers = [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::CACHE_CONTROL, "public, max-age=60"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (headers, text).into_response()
        }
        Ok(None) => (StatusCode::NOT_FOUND, "there is no such text\n").into_response(),
        Err(_) => unavailable(),
    }
}

/// What stands on the page of an incident.
fn body_of(public: &PublicIncident, words: &Words) -> String {
    let id = public.id;
    let mut out = format!("<h1>{} {id}: {}</h1>\n", words.incident, escaped(&public.service));
    if public.is_drill {
        out.push_str(&format!("<p><strong>{}</strong></p>\n", words.drill));
    }
    out.push_str(&format!("<p>{}</p>\n", escaped(&public.sender)));
    if public.stage == Stage::Closed {
        out.push_str(&format!("<p>{}</p>\n", words.closed));
    }
    let times = &public.times;
    let mut moments: Vec<(i64, String)> = Vec::new();
    if let Some((from_us, to_us)) = times.occurred_us {
        moments.push((from_us, words.began.to_owned()));
        moments.push((to_us, words.ended.to_owned()));
    }
    moments.push((times.detected_us, words.detected.to_owned()));
    let named = [
        (times.contained_us, words.contained),
        (times.notified_first_us, words.notified_first),
        (times.notified_last_us, words.notified_last),
        (times.public_us, words.public),
        (times.corrected_us, words.corrected),
        (times.closed_us, words.closed),
    ];
    moments.extend(named.into_iter().filter_map(|(time_us, name)| Some((time_us?, name.to_owned()))));
    for (version, known_us, persons) in &public.scopes {
        moments.push((*known_us, format!("{} {version}: {} {persons}", words.scope, words.persons)));
    }
    moments.sort();
    out.push_str(&format!("<h2>{}</h2>\n<table>\n", words.timeline));
    for (time_us, what) in moments {
        out.push_str(&format!("<tr><td>{}</td><td>{}</td></tr>\n", utc(time_us), escaped(&what)));
    }
    out.push_str(&format!(
        "</table>\n<h2>{}</h2>\n<form method=\"post\" action=\"/incidents/{id}?lang={}\">\n<label>{} <input name=\"code\" \
         autocomplete=\"off\" maxlength=\"20\" required></label>\n<button>{}</button>\n</form>\n<p>{}</p>\n",
        words.check, words.tag, words.code, words.check_now, escaped(words.never)
    ));
    if !public.texts.is_empty() {
        out.push_str(&format!("<h2>{}</h2>\n<p>{}</p>\n", words.texts, escaped(words.texts_why)));
        public.texts.iter().for_each(|told| out.push_str(&text_of(id, told, words)));
    }
    out
}

fn text_of(incident: u32, told: &Told, words: &Words) -> String {
    let whole = format!("{}\n\n{}", told.subject, told.text);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, whole.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "<article lang=\"{}\">\n<h3>{} {}</h3>\n<pre>{}</pre>\n<p>SHA-256 {hash}, <a \
         href=\"/incidents/{incident}/proofs/{}\">{} {}</a></p>\n</article>\n",
        escaped(&told.language),
        words.version,
        told.version,
        escaped(&whole),
        told.entry,
        words.entry,
        told.entry
    )
}

fn utc(time_us: i64) -> String {
    let time = jiff::Timestamp::from_microsecond(time_us).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

const STYLE: &str = "body{font:16px/1.5 sans-serif;margin:2em auto;max-width:44em;padding:0 1em;color:#111;background:#fff}\
pre{white-space:pre-wrap;background:#f4f4f4;padding:1em}td{padding:.2em 1em .2em 0;vertical-align:top}\
input,button{font:inherit;padding:.3em .5em}p{overflow-wrap:anywhere}";

fn page(words: &Words, title: &str, body: &str, cache: &'static str) -> Response {
    static POLICY: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        use base64::Engine as _;
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
        let hash = base64::engine::general_purpose::STANDARD.encode(hash.as_ref());
        format!(
            "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
    });
    let languages: String = WORDS
        .iter()
        .map(|other| format!("<a href=\"?lang={0}\" hreflang=\"{0}\" lang=\"{0}\">{1}</a> ", other.tag, other.name))
        .collect();
    let html = format!(
        "<!doctype html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{}</title><style>{STYLE}</style></head><body>\n<nav>{languages}</nav>\n<main>\n{body}</main>\n</body></html>\n",
        words.tag,
        escaped(title)
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, cache),
        (header::VARY, "accept-language"),
        (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    (headers, html).into_response()
}

fn nothing(words: &Words) -> Response {
    let mut response = page(words, words.incidents, &format!("<h1>{}</h1>\n", words.none), "public, max-age=5");
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn unavailable() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "30")], "this is not available at the moment\n")
        .into_response()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// The page's own words.
struct Words {
    tag: &'static str,
    name: &'static str,
    incident: &'static str,
    incidents: &'static str,
    none: &'static str,
    drill: &'static str,
    timeline: &'static str,
    began: &'static str,
    ended: &'static str,
    detected: &'static str,
    contained: &'static str,
    notified_first: &'static str,
    notified_last: &'static str,
    public: &'static str,
    corrected: &'static str,
    closed: &'static str,
    scope: &'static str,
    persons: &'static str,
    check: &'static str,
    code: &'static str,
    check_now: &'static str,
    never: &'static str,
    texts: &'static str,
    texts_why: &'static str,
    version: &'static str,
    entry: &'static str,
    genuine: &'static str,
    superseded: &'static str,
    replaced_by: &'static str,
    compare: &'static str,
    not_ours: &'static str,
    not_ours_do: &'static str,
    too_many: &'static str,
    back: &'static str,
}

static WORDS: [Words; 3] = [
    Words {
        tag: "en",
        name: "English",
        incident: "Incident",
        incidents: "Incidents",
        none: "There is nothing to see here.",
        drill: "This is an exercise.",
        timeline: "What happened when",
        began: "Data began to leave",
        ended: "Data last left",
        detected: "It was noticed",
        contained: "It was stopped",
        notified_first: "The first notice was sent",
        notified_last: "The newest notice was sent",
        public: "This page was opened",
        corrected: "Notices were corrected",
        closed: "The incident was closed",
        scope: "The scope became known, version",
        persons: "persons:",
        check: "Check a notice",
        code: "Code of the notice",
        check_now: "Check",
        never: "We never ask for a password. A code is all that is typed here.",
        texts: "What we told",
        texts_why: "These are the texts of our notices as they were logged before they were sent, without the code. The ledger has the hash of each: subject, an empty line, text.",
        version: "Version",
        entry: "proof that it was logged: entry",
        genuine: "This code is genuine",
        superseded: "This code is genuine, and its notice was replaced",
        replaced_by: "There is a newer notice for you: version",
        compare: "Compare what you got with this text, which is what we logged. If yours says anything else, it is a forgery that uses a genuine code.",
        not_ours: "This is none of our codes",
        not_ours_do: "Look whether you typed it as it stands. If you did, the notice is not from us: do nothing that it asks for.",
        too_many: "There were too many tries: wait a minute",
        back: "Back to the incident",
    },
    Words {
        tag: "es",
        name: "Español",
        incident: "Incidente",
        incidents: "Incidentes",
        none: "Aquí no hay nada que ver.",
        drill: "Esto es un simulacro.",
        timeline: "Qué pasó y cuándo",
        began: "Empezaron a salir datos",
        ended: "Salieron datos por última vez",
        detected: "Se detectó",
        contained: "Se detuvo",
        notified_first: "Se envió el primer aviso",
        notified_last: "Se envió el aviso más reciente",
        public: "Se abrió esta página",
        corrected: "Se corrigieron los avisos",
        closed: "El incidente se cerró",
        scope: "Se conoció el alcance, versión",
        persons: "personas:",
        check: "Comprobar un aviso",
        code: "Código del aviso",
        check_now: "Comprobar",
        never: "Nunca pedimos una contraseña. Aquí solo se escribe un código.",
        texts: "Lo que hemos comunicado",
        texts_why: "Estos son los textos de nuestros avisos tal como se registraron antes de enviarse, sin el código. El registro tiene el hash de cada uno: asunto, una línea vacía, texto.",
        version: "Versión",
        entry: "prueba de que se registró: entrada",
        genuine: "Este código es auténtico",
        superseded: "Este código es auténtico y su aviso ha sido sustituido",
        replaced_by: "Hay un aviso más reciente para usted: versión",
        compare: "Compare lo que recibió con este texto, que es el que registramos. Si el suyo dice otra cosa, es una falsificación que usa un código auténtico.",
        not_ours: "Este código no es nuestro",
        not_ours_do: "Compruebe que lo ha escrito tal como está. Si es así, el aviso no es nuestro: no haga nada de lo que pide.",
        too_many: "Ha habido demasiados intentos: espere un minuto",
        back: "Volver al incidente",
    },
    Words {
        tag: "it",
        name: "Italiano",
        incident: "Incidente",
        incidents: "Incidenti",
        none: "Qui non c’è nulla da vedere.",
        drill: "Questa è un’esercitazione.",
        timeline: "Che cosa è successo e quando",
        began: "I dati hanno iniziato a uscire",
        ended: "I dati sono usciti per l’ultima volta",
        detected: "È stato notato",
        contained: "È stato fermato",
        notified_first: "È stato inviato il primo avviso",
        notified_last: "È stato inviato l’avviso più recente",
        public: "Questa pagina è stata aperta",
        corrected: "Gli avvisi sono stati corretti",
        closed: "L’incidente è stato chiuso",
        scope: "È nota la portata, versione",
        persons: "persone:",
        check: "Verificare un avviso",
        code: "Codice dell’avviso",
        check_now: "Verifica",
        never: "Non chiediamo mai una password. Qui si scrive soltanto un codice.",
        texts: "Che cosa abbiamo comunicato",
        texts_why: "Questi sono i testi dei nostri avvisi come sono stati registrati prima dell’invio, senza il codice. Il registro ha l’hash di ognuno: oggetto, una riga vuota, testo.",
        version: "Versione",
        entry: "prova che è stato registrato: voce",
        genuine: "Questo codice è autentico",
        superseded: "Questo codice è autentico e il suo avviso è stato sostituito",
        replaced_by: "C’è un avviso più recente per Lei: versione",
        compare: "Confronti ciò che ha ricevuto con questo testo, che è quello registrato. Se il Suo dice altro, è un falso che usa un codice autentico.",
        not_ours: "Questo codice non è nostro",
        not_ours_do: "Controlli di averlo scritto com’è. Se è così, l’avviso non è nostro: non faccia nulla di ciò che chiede.",
        too_many: "Troppi tentativi: attenda un minuto",
        back: "Torna all’incidente",
    },
];

impl Words {
    /// In the language that is asked for; else the first that the browser names and there is.
    fn of(asked: Option<&str>, headers: &HeaderMap) -> &'static Words {
        let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let tags = asked
            .into_iter()
            .chain(accepted.split(',').map(|part| part.split([';', '-']).next().unwrap_or_default().trim()));
        tags.filter_map(|tag| WORDS.iter().find(|words| words.tag == tag)).next().unwrap_or(&WORDS[0])
    }
}
