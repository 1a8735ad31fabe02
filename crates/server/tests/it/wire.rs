//! What unmodified Mixpanel clients send and what they insist on getting back: every form of body, the
//! exact answers, cross-origin headers, and who may send at all.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::http::{Reply, Request, percent};
use crate::server::{Options, Server, insert_id, is, now_ms};

const FORM: &str = "application/x-www-form-urlencoded";
const SHOP: &str = "https://shop.example";

/// A value whose base64 holds `+` and `/`, which clients send without escaping them.
const AWKWARD: &str = "~~~>>>???~~>>??~>? ñandú 日本";

#[test]
fn every_body_form_of_track_stores_its_event() {
    let server = Server::start();
    let form = |name: &str| server.event("Formed", now_ms(), "f-person", json!({"form": name, "awkward": AWKWARD}));
    let raw = |name: &str| form(name).to_string();
    let encoded = |name: &str| STANDARD.encode(raw(name));
    let post = |target: &str| server.request("POST", target);
    let get = |target: String| server.request("GET", &target);
    assert!(encoded("any").contains('+'), "the awkward value tests nothing");

    let requests: Vec<(&str, Request)> = vec![
        (
            "urlencoded raw JSON, as Python sends it",
            post("/track").body(
                FORM,
                format!("data={}&verbose=1&ip=0", percent(raw("urlencoded raw JSON, as Python sends it").as_bytes())),
            ),
        ),
        (
            "urlencoded base64, as the browser sends it",
            post("/track/?ip=1&verbose=1&_=1763789757000").body(
                FORM,
                format!("data={}", percent(encoded("urlencoded base64, as the browser sends it").as_bytes())),
            ),
        ),
        (
            "base64 whose plus became a space",
            post("/track").body(FORM, format!("data={}", encoded("base64 whose plus became a space"))),
        ),
        (
            "urlencoded batch in base64, as Node sends it",
            post("/track?ip=0&verbose=0").body(
                FORM,
                format!(
                    "data={}",
                    STANDARD.encode(json!([form("urlencoded batch in base64, as Node sends it")]).to_string())
                ),
            ),
        ),
        (
            "GET with base64, as Node sends it",
            get(format!(
                "/track?ip=0&verbose=0&data={}",
                percent(encoded("GET with base64, as Node sends it").as_bytes())
            )),
        ),
        (
            "GET with base64 that nobody escaped",
            get(format!("/track?data={}", encoded("GET with base64 that nobody escaped"))),
        ),
        ("GET with raw JSON", get(format!("/track/?data={}", percent(raw("GET with raw JSON").as_bytes())))),
        ("a JSON object", post("/track").json(&form("a JSON object"))),
        ("a JSON array", post("/track/?verbose=1").json(&json!([form("a JSON array")]))),
        ("JSON with a charset", post("/track").body("application/json; charset=utf-8", raw("JSON with a charset"))),
        (
            "a beacon with JSON",
            post("/track/?verbose=1").body("text/plain;charset=UTF-8", json!([form("a beacon with JSON")]).to_string()),
        ),
        (
            "a beacon with a form",
            post("/track/?ip=1").body(
                "text/plain;charset=UTF-8",
                format!("data={}", percent(encoded("a beacon with a form").as_bytes())),
            ),
        ),
        ("gzipped JSON", post("/track").json(&json!([form("gzipped JSON")])).gzip()),
        (
            "a gzipped form",
            post("/track").body(FORM, format!("data={}", percent(encoded("a gzipped form").as_bytes()))).gzip(),
        ),
    ];
    let mut names = Vec::new();
    for (name, request) in requests {
        let reply = request.send();
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        assert!(taken(&reply), "{name}: {}", reply.text());
        names.push(name.to_owned());
    }
    names.sort();
    let counted = server.by("Formed", "form");
    assert_eq!(counted.keys().cloned().collect::<Vec<_>>(), names);
    assert!(counted.values().all(|&count| count == 1), "{counted:?}");
    let exact = json!({"event": "Formed", "filters": [is("awkward", AWKWARD)]});
    assert_eq!(server.count("total", exact), names.len() as u64, "a value changed on the way");
}

#[test]
fn every_body_form_of_import_stores_its_events() {
    let server = Server::start();
    let token = server.project.token.clone();
    let old = now_ms() - 40 * 86_400_000;
    let form = |name: &str| server.event("Formed", old, "f-person", json!({"form": name}));
    let post = |target: &str| server.request("POST", target).basic(&token, "");
    let lines = |name: &str| format!("{}\n{}\n", form(name), form(name));

    let plain: Vec<(&str, u64, Request)> = vec![
        ("an array", 2, post("/import").json(&json!([form("an array"), form("an array")]))),
        ("strict", 1, post("/import?strict=1").json(&json!([form("strict")]))),
        ("not strict", 1, post("/import/?strict=0").json(&json!([form("not strict")]))),
        ("an object", 1, post("/import/").json(&form("an object"))),
        ("verbose", 1, post("/import?verbose=1").json(&json!([form("verbose")]))),
        ("lines", 2, post("/import").body("application/x-ndjson", lines("lines"))),
        (
            "lines with blanks and carriage returns",
            2,
            post("/import").body(
                "application/x-ndjson",
                lines("lines with blanks and carriage returns").replace('\n', "\r\n\r\n"),
            ),
        ),
        (
            "lines without the last end",
            2,
            post("/import").body("application/x-ndjson", lines("lines without the last end").trim_end()),
        ),
        ("gzipped lines", 2, post("/import").body("application/x-ndjson", lines("gzipped lines")).gzip()),
        ("a gzipped array", 1, post("/import").json(&json!([form("a gzipped array")])).gzip()),
        ("an empty array", 0, post("/import").json(&json!([]))),
    ];
    for (name, count, request) in plain {
        let reply = request.send();
        let expected = json!({"code": 200, "num_records_imported": count, "status": "OK"});
        assert_eq!((reply.status, reply.json()), (200, expected), "{name}");
        assert!(reply.header("content-type").is_some_and(|kind| kind.starts_with("application/json")));
        assert_eq!(server.by("Formed", "form").get(name).copied().unwrap_or(0), count, "{name}");
    }

    // The old clients send `data=` here too, and want the answers of `/track`.
    let encoded = |name: &str| percent(STANDARD.encode(form(name).to_string()).as_bytes());
    let legacy: Vec<(&str, Request)> = vec![
        ("a legacy form", post("/import").body(FORM, format!("data={}", encoded("a legacy form")))),
        (
            "a legacy verbose form",
            post("/import").body(
                FORM,
                format!("data={}&verbose=1&ip=0", percent(form("a legacy verbose form").to_string().as_bytes())),
            ),
        ),
        (
            "a legacy form with its key",
            server
                .request("POST", "/import/")
                .body(FORM, format!("api_key={token}&data={}", encoded("a legacy form with its key"))),
        ),
        (
            "a legacy GET",
            server.request("GET", &format!("/import?ip=0&verbose=0&api_key={token}&data={}", encoded("a legacy GET"))),
        ),
    ];
    for (name, request) in legacy {
        let reply = request.send();
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        match name {
            "a legacy verbose form" => assert_verbose(&reply, 1),
            _ => assert_eq!(reply.text(), "1", "{name}"),
        }
        assert_eq!(server.by("Formed", "form").get(name), Some(&1), "{name}");
    }
    server.balanced_outcomes();
}

#[test]
fn track_answers_in_the_form_that_was_asked_for() {
    let server = Server::start();
    let good = || server.event("Answered", now_ms(), "a-person", json!({}));
    let bad = || json!({"event": 5, "properties": {"token": server.project.token, "time": now_ms()}});
    let send = |target: &str, body: Value| server.post_json(target, &body);

    for path in ["/track", "/track/"] {
        assert_eq!(send(path, good()).text(), "1");
        assert_eq!(send(path, bad()).text(), "0");
        assert_eq!(send(&format!("{path}?verbose=0&ip=1"), good()).text(), "1");
        assert_verbose(&send(&format!("{path}?verbose=1"), good()), 1);
        assert_verbose(&send(&format!("{path}?verbose=1&ip=0"), bad()), 0);
    }
    let profile = json!({"$token": server.project.token, "$distinct_id": "a-person", "$set": {"x": 1}});
    let no_operator = json!({"$token": server.project.token, "$distinct_id": "a-person"});
    for path in ["/engage", "/engage/"] {
        assert_eq!(send(path, profile.clone()).text(), "1");
        assert_eq!(send(path, no_operator.clone()).text(), "0");
        assert_verbose(&send(&format!("{path}?verbose=1"), profile.clone()), 1);
        assert_verbose(&send(&format!("{path}?verbose=1"), no_operator.clone()), 0);
    }

    let pixel = send("/track?img=1", good());
    assert_eq!(pixel.status, 200);
    assert_eq!(pixel.header("content-type"), Some("image/gif"));
    assert!(pixel.body.starts_with(b"GIF8"), "{:?}", pixel.body);
    assert_eq!(pixel.body[6..10], [1, 0, 1, 0], "one pixel by one");
    let data = percent(STANDARD.encode(good().to_string()).as_bytes());
    let pixel = server.request("GET", &format!("/track/?img=1&ip=1&data={data}")).send();
    assert_eq!(pixel.header("content-type"), Some("image/gif"));

    let script = send("/track?callback=mp_done", good());
    let kind = script.header("content-type").unwrap_or_default().to_owned();
    assert!(kind.contains("javascript"), "{kind}");
    assert_eq!(script.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(script.text().trim_end_matches([';', '\n']), "mp_done(1)");
    let script = send("/track?callback=mp_done&verbose=1", good());
    let text = script.text();
    let inner = text.trim().trim_end_matches(';').strip_prefix("mp_done(");
    let inner = inner.and_then(|rest| rest.strip_suffix(')')).expect("a call of mp_done");
    assert_eq!(serde_json::from_str::<Value>(inner).expect("JSON")["status"], 1);

    assert_eq!(server.total("Answered"), 10);
    server.balanced_outcomes();
}

#[test]
fn a_callback_is_never_code_and_a_redirect_never_leads_away() {
    let server = Server::start();
    let good = || server.event("Steered", now_ms(), "s-person", json!({}));
    for callback in ["alert(1)//", "<script>x</script>", "a;b", "a.b(", "%0d%0aset-cookie:x=1", "x\u{2028}y"] {
        let target = format!("/track?callback={}", percent(callback.as_bytes()));
        let reply = server.post_json(&target, &good());
        assert!(!reply.text().contains(callback), "{callback:?}: {}", reply.text());
        assert!(reply.header("set-cookie").is_none());
        assert!(reply.status < 500);
    }
    for redirect in ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"] {
        let target = format!("/track?redirect={}", percent(redirect.as_bytes()));
        let reply = server.post_json(&target, &good());
        assert!(!(300..400).contains(&reply.status), "{redirect}: {}", reply.status);
        assert_eq!(reply.header("location"), None, "{redirect}");
        assert!(!reply.text().contains(redirect), "{redirect}");
    }
}

#[test]
fn pages_of_other_origins_may_send_and_read_the_answer() {
    let server = Server::start();
    for path in ["/track", "/track/", "/engage", "/engage/", "/groups", "/groups/", "/import"] {
        let reply = server
            .request("OPTIONS", path)
            .header("origin", SHOP)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization, content-type, traceparent")
            .send();
        assert!(matches!(reply.status, 200 | 204), "OPTIONS {path}: {}", reply.status);
        assert_shared_with_shop(&reply, path);
        let headers = reply.header("access-control-allow-headers").unwrap_or_default().to_lowercase();
        for name in ["authorization", "content-type", "traceparent"] {
            assert!(headers.contains(name), "{path}: {headers}");
        }
        let methods = reply.header("access-control-allow-methods").unwrap_or_default().to_uppercase();
        assert!(methods.contains("POST"), "{path}: {methods}");
    }

    // The client must also be able to read a refusal, or it cannot halve a batch that was too large.
    let from_shop = |request: Request| request.header("origin", SHOP).send();
    let good = server.event("Crossed", now_ms(), "c-person", json!({}));
    let stranger = json!([{"event": "Crossed", "properties": {"token": "0".repeat(32)}}]);
    let post = |target: &str| server.request("POST", target);
    for (name, status, reply) in [
        ("taken", 200, from_shop(post("/track/?verbose=1&ip=1").json(&json!([good])))),
        ("no project", 401, from_shop(post("/track/?verbose=1").json(&stranger))),
        ("too large", 413, from_shop(post("/track/").body("application/json", vec![b' '; 10_485_761]))),
    ] {
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
        assert_shared_with_shop(&reply, name);
    }
}

#[test]
fn the_console_is_changed_only_from_its_own_origin() {
    let server = Server::start();
    let body = json!({"name": "Second", "time_zone": "UTC", "identity_mode": "simplified"});
    let signed_in = server.api("GET", "/api/v1/projects").send();
    assert_eq!(signed_in.status, 200);
    let own = server.origin();
    for (name, origin) in [
        ("another site", Some("https://evil.example")),
        ("a sandboxed page", Some("null")),
        ("another port", Some("http://127.0.0.1:1")),
        ("the same port by another name", Some("http://localhost.evil.example")),
        ("no origin at all", None),
    ] {
        let mut request = server.request("POST", "/api/v1/projects").header("cookie", server.cookie()).json(&body);
        if let Some(origin) = origin {
            assert_ne!(origin, own);
            request = request.header("origin", origin);
        }
        let reply = request.send();
        assert_eq!(reply.status, 403, "{name}: {}", reply.text());
        assert_eq!(reply.header("access-control-allow-origin"), None, "{name}");
    }
    let form = server.api("POST", "/api/v1/projects").body("text/plain", body.to_string()).send();
    assert!((400..500).contains(&form.status), "a form can send text/plain: {}", form.status);
    let preflight = server
        .request("OPTIONS", "/api/v1/projects")
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "POST")
        .send();
    assert_eq!(preflight.header("access-control-allow-origin"), None);
    let foreign_read = server
        .request("GET", "/api/v1/projects")
        .header("cookie", server.cookie())
        .header("origin", "https://evil.example")
        .send();
    assert_eq!(foreign_read.header("access-control-allow-origin"), None);
    assert_eq!(server.projects().len(), 1);
    let nobody = server.request("GET", "/api/v1/projects").send();
    assert_eq!(nobody.status, 401, "{}", nobody.text());
}

#[test]
fn import_takes_every_form_of_the_token() {
    let server = Server::start();
    let token = server.project.token.clone();
    let old = now_ms() - 10 * 86_400_000;
    let event = |name: &str, with_token: bool| {
        let mut event = server.event("Authorised", old, "t-person", json!({"by": name}));
        if !with_token {
            event["properties"].as_object_mut().expect("properties").remove("token");
        }
        event
    };
    let post = |target: &str| server.request("POST", target);
    let bare = |name: &str| json!([event(name, false)]);
    let requests: Vec<(&str, Request)> = vec![
        ("basic", post("/import").basic(&token, "").json(&bare("basic"))),
        (
            "basic without a colon",
            post("/import")
                .header("authorization", &format!("Basic {}", URL_SAFE_NO_PAD.encode(&token)))
                .json(&bare("basic without a colon")),
        ),
        (
            "basic in lower case",
            post("/import")
                .header("authorization", &format!("basic {}", STANDARD.encode(format!("{token}:"))))
                .json(&bare("basic in lower case")),
        ),
        (
            "basic and property",
            post("/import?project_id=1").basic(&token, "").json(&json!([event("basic and property", true)])),
        ),
        ("key", post(&format!("/import?api_key={token}")).json(&bare("key"))),
    ];
    for (name, request) in requests {
        let reply = request.send();
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        assert_eq!(server.by("Authorised", "by").get(name), Some(&1), "{name}");
    }
}

#[test]
fn a_wrong_or_missing_token_is_refused_and_stores_nothing() {
    let server = Server::start();
    let stranger = "0123456789abcdef0123456789abcdef";
    let event = |token: Option<&str>| {
        let mut event = server.event("Stranger", now_ms(), "w-person", json!({}));
        let properties = event["properties"].as_object_mut().expect("properties");
        match token {
            Some(token) => properties.insert("token".into(), token.into()),
            None => properties.remove("token"),
        };
        json!([event])
    };
    let post = |target: &str| server.request("POST", target);
    let unauthorised = json!({"error": "Invalid credentials", "status": "Unauthorized", "code": 401});
    for (name, request) in [
        ("wrong in basic", post("/import").basic(stranger, "").json(&event(None))),
        ("wrong in a record", post("/import").json(&event(Some(stranger)))),
        // It stands in every page that sends events: enough to add to the present, not to the past.
        ("right in a record only", post("/import").json(&event(Some(&server.project.token)))),
        ("none", post("/import").json(&event(None))),
        ("unreadable", post("/import").header("authorization", "Basic %%%").json(&event(None))),
        ("empty", post("/import").basic("", "").json(&event(None))),
    ] {
        let reply = request.send();
        assert_eq!((reply.status, reply.json()), (401, unauthorised.clone()), "/import, {name}");
    }
    let profile = |token: &str| json!([{"$token": token, "$distinct_id": "w", "$set": {"a": 1}}]);
    for (path, body) in [
        ("/track", event(Some(stranger))),
        ("/track?verbose=1", event(None)),
        ("/engage", profile(stranger)),
        ("/engage/?verbose=1", profile("")),
        ("/groups", json!([{"$token": stranger, "$group_key": "k", "$group_id": "g", "$set": {"a": 1}}])),
    ] {
        let reply = server.post_json(path, &body);
        let answer = reply.json();
        assert_eq!((reply.status, answer["status"].as_str()), (401, Some("error")), "{path}: {answer}");
        assert!(answer["error"].as_str().is_some_and(|text| !text.is_empty()), "{path}: {answer}");
        assert!(!reply.text().contains(stranger), "{path} repeats the token");
    }
    assert_eq!(server.total("Stranger"), 0);
    assert_eq!(server.status()["events"], 0);
}

#[test]
fn a_record_sent_again_counts_once() {
    let mut server = Server::start();
    let event = server.event("Once", now_ms() - 5_000, "o-person", json!({"n": 1}));
    for _ in 0..3 {
        assert_eq!(server.post_json("/track", &event).text(), "1");
    }
    server.import(std::slice::from_ref(&event));
    // Not a retry: each differs from the first in one part of what makes a record the same.
    let mut others = Vec::new();
    for (key, value) in [("distinct_id", json!("o-other")), ("$insert_id", json!("another")), ("time", json!(now_ms()))]
    {
        let mut other = event.clone();
        other["properties"][key] = value;
        others.push(other);
    }
    let mut renamed = event.clone();
    renamed["event"] = "Once more".into();
    others.push(renamed);
    server.import(&others);
    let check = |server: &Server| {
        assert_eq!(server.total("Once"), 4);
        assert_eq!(server.total("Once more"), 1);
    };
    check(&server);
    let outcomes = server.balanced_outcomes();
    assert_eq!((outcomes["accepted"].as_u64(), outcomes["duplicate"].as_u64()), (Some(5), Some(3)));

    // The retry may come to a process that has never seen the first try.
    server.stop();
    server.start_again();
    assert_eq!(server.post_json("/track", &event).text(), "1");
    check(&server);
}

#[test]
fn the_newest_of_two_records_with_one_key_wins() {
    let mut server = Server::with(Options::FLUSHING);
    let version = |server: &Server, n: u32| {
        let mut event = server.event("Corrected", now_ms(), "k-person", json!({"version": n}));
        event["properties"]["$insert_id"] = "one-key".into();
        event["properties"]["time"] = (now_ms() / 86_400_000 * 86_400_000 - 86_400_000).into();
        event
    };
    let check = |server: &Server, expected: u32, when: &str| {
        assert_eq!(server.total("Corrected"), 1, "{when}");
        assert_eq!(server.by("Corrected", "version"), [(expected.to_string(), 1)].into(), "{when}");
        let listed = server.events(json!({"event": "Corrected"}));
        assert_eq!(listed.len(), 1, "{when}");
        assert_eq!(listed[0].1["version"], f64::from(expected), "{when}");
    };
    server.import(&[version(&server, 1)]);
    server.import(&[version(&server, 2)]);
    check(&server, 2, "both in memory");
    // The first two leave memory; the third comes when they are in files.
    let padding = |server: &Server| -> Vec<Value> {
        (0..600).map(|n| server.event("Padding", now_ms() - 60_000, &format!("p{n}"), json!({}))).collect()
    };
    server.import(&padding(&server));
    server.import(&[version(&server, 3)]);
    check(&server, 3, "one in memory");
    server.import(&padding(&server));
    check(&server, 3, "all written");
    server.stop();
    server.start_again();
    check(&server, 3, "after a restart");
    assert_eq!(server.status()["events"], 1_201);
}

#[test]
fn events_without_an_insert_id_all_count() {
    let server = Server::start();
    let mut event = server.event("Anonymous record", now_ms(), "n-person", json!({"n": 1}));
    event["properties"].as_object_mut().expect("properties").remove("$insert_id");
    assert_eq!(server.post_json("/track", &event).text(), "1");
    event["properties"]["n"] = 2.into();
    assert_eq!(server.post_json("/track", &event).text(), "1");
    assert_eq!(server.total("Anonymous record"), 2);
}

#[test]
fn an_event_marked_to_be_ignored_is_not_stored() {
    let server = Server::start();
    let ignored = server.event("Shown", now_ms(), "i-person", json!({"$ignore": true}));
    let kept = server.event("Shown", now_ms(), "i-person", json!({}));
    assert_eq!(server.post_json("/track", &json!([ignored, kept])).text(), "1");
    assert_eq!(server.total("Shown"), 1);
    let outcomes = server.balanced_outcomes();
    assert_eq!(outcomes["ignored"], 1);
    assert_eq!(outcomes["accepted"], 1);
}

#[test]
fn times_are_seconds_or_milliseconds_and_history_goes_to_import() {
    let server = Server::start();
    let now = now_ms();
    let track = |name: &str, time: Value| {
        let mut event = server.event(name, now, "t-person", json!({}));
        event["properties"]["time"] = time;
        server.post_json("/track", &event).text()
    };
    assert_eq!(track("Seconds", json!(now / 1000)), "1");
    assert_eq!(track("Fractions", json!(now as f64 / 1000.0)), "1");
    assert_eq!(track("Milliseconds", json!(now)), "1");
    assert_eq!(track("Nearly old", json!(now / 1000 - 5 * 86_400 + 600)), "1");
    assert_eq!(track("Nearly ahead", json!(now / 1000 + 3_000)), "1");
    assert_eq!(track("Too old", json!(now / 1000 - 5 * 86_400 - 600)), "0");
    assert_eq!(track("Too far ahead", json!(now / 1000 + 4_200)), "0");
    let mut none = server.event("Untimed", now, "t-person", json!({}));
    none["properties"].as_object_mut().expect("properties").remove("time");
    assert_eq!(server.post_json("/track", &none).text(), "1");
    for (name, count) in [
        ("Seconds", 1),
        ("Fractions", 1),
        ("Milliseconds", 1),
        ("Nearly old", 1),
        ("Nearly ahead", 1),
        ("Too old", 0),
        ("Too far ahead", 0),
        ("Untimed", 1),
    ] {
        assert_eq!(server.total(name), count, "{name}");
    }
    server.import(&[server.event("Too old", now - 300 * 86_400_000, "t-person", json!({}))]);
    assert_eq!(server.total("Too old"), 1);

    // The start of time, in a range of its own; small numbers are seconds.
    server.import(&[server.event("First", 31_536_000, "t-person", json!({}))]);
    let table = server.ask(&json!({
        "kind": "insights", "range": {"kind": "between", "from": "1970-12-31", "to": "1971-01-02"},
        "unit": "day", "metrics": [{"matching": {"event": "First"}, "measure": "total"}],
    }));
    assert_eq!(table["series"][0]["values"], json!([0, 1, 0]));
    server.balanced_outcomes();
}

#[test]
fn the_paths_beside_collection_answer() {
    let server = Server::start();
    let health = server.request("GET", "/healthz").send();
    assert_eq!(health.status, 200);
    let openapi = server.request("GET", "/openapi.json").send().json();
    assert!(openapi["openapi"].is_string() && openapi["paths"].is_object());
    server.import(&[server.event("Measured", now_ms(), &insert_id(), json!({}))]);
    let metrics = server.request("GET", "/metrics").send();
    assert_eq!(metrics.status, 200);
    let text = metrics.text();
    let accepted = text
        .lines()
        .find(|line| line.starts_with("cofferdam_events_outcome_total") && line.contains("outcome=\"accepted\""))
        .unwrap_or_else(|| panic!("no accepted events in\n{text}"));
    assert!(accepted.ends_with(" 1") || accepted.ends_with(" 1.0"), "{accepted}");
    for path in ["/track", "/engage", "/groups", "/import"] {
        for method in ["PUT", "DELETE", "PATCH"] {
            let status = server.request(method, path).send().status;
            assert!((400..500).contains(&status), "{method} {path}: {status}");
        }
    }
}

#[test]
fn the_live_feed_tells_what_was_just_accepted() {
    let server = Server::start();
    let target = format!("/api/v1/projects/{}/live", server.project.id);
    let mut stream = server.api("GET", &target).header("accept", "text/event-stream").open().expect("the live feed");
    server.import(&[server.event("Seen live", now_ms(), "somebody@coffer.example", json!({"plan": "pro"}))]);
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    while crate::http::find(&heard, b"Seen live").is_none() {
        let length = stream.read(&mut buffer).expect("the feed goes on");
        assert!(length > 0, "the feed ended: {}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&buffer[..length]);
    }
    let head = String::from_utf8_lossy(&heard).to_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("text/event-stream"), "{head}");
    assert!(!head.contains("somebody@"), "{head}");
    assert_eq!(server.request("GET", &target).send().status, 401, "only for members");
}

fn taken(reply: &Reply) -> bool {
    reply.text() == "1" || serde_json::from_slice::<Value>(&reply.body).is_ok_and(|answer| answer["status"] == 1)
}

/// `{"status":1,"error":""|null}` or `{"status":0,"error":"…"}`.
fn assert_verbose(reply: &Reply, status: u64) {
    let answer = reply.json();
    assert_eq!((reply.status, &answer["status"]), (200, &json!(status)), "{answer}");
    let error = &answer["error"];
    match status {
        1 => assert!(error.is_null() || error == "", "{answer}"),
        _ => assert!(error.as_str().is_some_and(|text| !text.is_empty()), "{answer}"),
    }
}

fn assert_shared_with_shop(reply: &Reply, name: &str) {
    assert_eq!(reply.header("access-control-allow-origin"), Some(SHOP), "{name}");
    assert_eq!(reply.header("access-control-allow-credentials"), Some("true"), "{name}");
    let vary = reply.header("vary").unwrap_or_default().to_lowercase();
    assert!(vary.contains("origin"), "{name}: a cache would mix up origins: {vary:?}");
}
