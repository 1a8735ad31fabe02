//! Plants a different, recognisable value in every place where a client can put something that identifies
//! somebody or opens something, lets the server work with it, and then searches everything it wrote or
//! said: data directory, logs, metrics, every answer. Not one may be found, however it is encoded.
//!
//! The search is proved to work by a value that may be stored, and by samples made in the test.

use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::colleague::Colleague;
use crate::http::percent;
use crate::search::{Search, files_below, parquet_values};
use crate::server::{Options, Server, insert_id, now_ms, range};

/// An ordinary property that is stored as sent: the search must find it.
const CONTROL: &str = "control-plan-violet";

/// Everything that must not be found, with where it was put.
#[derive(Default)]
struct Canaries(Vec<(String, String)>);

impl Canaries {
    /// An unguessable word that no other text contains, for one place.
    fn word(&mut self, place: &str) -> String {
        let n = self.0.len() + 1;
        let word = format!("Kanarie{n:03}Zq{:06x}", (n * 7_919 + 104_729) * 31 % 0xff_ffff);
        self.plant(place, &word)
    }

    fn email(&mut self, place: &str) -> String {
        let n = self.0.len() + 1;
        let local = format!("Birgit.Vogel{n:03}");
        self.plant(&format!("{place} (before the @)"), &local);
        self.plant(place, &format!("{local}@kanarie{n:03}.example"))
    }

    fn phone(&mut self, place: &str) -> String {
        let n = self.0.len() + 1;
        let digits = format!("34698{:06}", 417_000 + n * 37);
        self.plant(&format!("{place} (digits)"), &digits);
        self.plant(place, &format!("+{digits}"))
    }

    fn ip(&mut self, place: &str) -> String {
        let n = self.0.len() + 1;
        self.plant(place, &format!("198.51.{}.{}", 100 + n / 250, 1 + n % 250))
    }

    fn plant(&mut self, place: &str, value: &str) -> String {
        self.0.push((place.to_owned(), value.to_owned()));
        value.to_owned()
    }
}

/// What the test collects of the server's words.
#[derive(Default)]
struct Said(Vec<u8>);

impl Said {
    fn hear(&mut self, request: crate::http::Request) -> crate::http::Reply {
        let reply = request.send();
        self.0.extend(reply.transcript());
        self.0.push(b'\n');
        reply
    }
}

#[test]
fn nothing_that_identifies_anybody_is_readable_anywhere() {
    let mut canaries = Canaries::default();
    let mut said = Said::default();
    let mut server = Server::with(Options::FLUSHING);
    let live = listen(&server);

    let probes = identity_probes(&mut canaries);
    send_events(&server, &mut said, &mut canaries, &probes);
    send_profiles(&server, &mut said, &mut canaries);
    send_nonsense(&server, &mut said, &mut canaries);
    // Enough harmless events for the tail to become Parquet, with the control among them.
    let padding: Vec<Value> = (0..1_100)
        .map(|n| server.event("Padding", now_ms() - 3_600_000, &format!("pad-{n}"), json!({"plan": CONTROL})))
        .collect();
    for batch in padding.chunks(220) {
        let request = server.request("POST", "/import?strict=1").basic(&server.project.token, "");
        assert_eq!(said.hear(request.json(&Value::from(batch))).status, 200);
    }
    ask_everything(&server, &mut said);
    wait_for_control_in_parquet(&server);

    // A second life: what was in memory only is written, what was logged is read again.
    server.kill();
    server.start_again();
    // What a strict plan does not know is held back.
    let project = format!("/api/v1/projects/{}", server.project.id);
    let plan = json!({"mode": "strict", "properties": [{"name": "plan", "class": "C1", "type": "string"}]});
    assert_eq!(said.hear(server.api("PUT", &format!("{project}/plan")).json(&plan)).status, 200);
    let later = identity_probes(&mut canaries);
    send_events(&server, &mut said, &mut canaries, &later);
    ask_everything(&server, &mut said);
    let held = said.hear(server.api("GET", &format!("{project}/quarantine"))).json();
    assert!(held["properties"].as_array().is_some_and(|names| !names.is_empty()), "nothing was held back: {held}");
    hand_out(&server);
    server.stop();
    server.start_again();
    ask_everything(&server, &mut said);
    let backed_up = server.command(&["backup", &server.scratch("backup").display().to_string()]);
    said.0.extend([backed_up.stdout, backed_up.stderr].concat());
    assert!(backed_up.status.success());
    assert!(server.scratch("backup/header").exists());
    // What it had in memory when it died goes nowhere.
    server.abort();

    let live = live.lock().expect("the listener does not panic").clone();
    assert!(crate::http::find(&live, b"data:").is_some(), "the live feed said nothing");

    let search = Search::new(canaries.0.iter().map(|(_, value)| value.as_str()));
    let mut hits: Vec<String> = Vec::new();
    // The data, the backup beside it, and whatever else was left there.
    let files = files_below(&server.scratch("."));
    assert!(!files.iter().any(|(name, _)| name.contains("backup.tmp") || name.contains("/core")), "left behind");
    assert!(files.iter().any(|(name, _)| name.ends_with(".parquet")), "nothing was flushed");
    for (name, bytes) in &files {
        hits.extend(search.hits(name.as_bytes()).into_iter().map(|hit| format!("{hit}, in a file's name")));
        hits.extend(search.hits_within(name, bytes));
    }
    for (name, bytes) in [("the log", server.log()), ("an answer or metrics", said.0), ("the live feed", live)] {
        hits.extend(search.hits_within(name, &bytes));
    }
    for hit in &mut hits {
        if let Some((place, _)) = canaries.0.iter().find(|(_, value)| hit.starts_with(&format!("{value} as "))) {
            hit.insert_str(0, &format!("{place}: "));
        }
    }
    assert!(hits.is_empty(), "{} canaries in {} files:\n{}", hits.len(), files.len(), hits.join("\n"));

    // The same search over the same files finds what may be there.
    let control = Search::new([CONTROL]);
    let found: usize = files.iter().map(|(name, bytes)| control.hits_within(name, bytes).len()).sum();
    assert!(found > 0, "the search does not see into the files");
}

/// Gives a person their own data, in clear as it has to be: what that leaves on the disk is searched like the rest.
fn hand_out(server: &Server) {
    let found = server.ask(&json!({"kind": "persons", "range": range(), "limit": 1}));
    let person = found["persons"][0]["pseudonym"].as_str().expect("a person").to_owned();
    let owner = Colleague::owner(server).with_passkey();
    let reply = crate::person::access(server, (&owner, &owner.steward()), &person, "html");
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// One event of each kind in which identity hides, as the properties to add and the ids to use.
fn identity_probes(canaries: &mut Canaries) -> Vec<Value> {
    let c = canaries;
    let jwt = {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let subject = c.word("inside a JWT");
        let token = format!(
            "{}.{}.{}",
            part(json!({"alg": "HS256", "typ": "JWT"})),
            part(json!({"sub": subject, "iat": 1_763_789_757})),
            URL_SAFE_NO_PAD.encode([0x5a; 32]),
        );
        c.plant("JWT", &token)
    };
    let n = c.0.len();
    let key = |prefix: &str, length: usize| {
        let alphabet = b"aZ3bY7cX9dW1eV5fU8gT2hS6iR4jQ0kPlOmNn";
        let body: String =
            (0..length).map(|i| char::from(alphabet[(i * 11 + n * 5 + i * i) % alphabet.len()])).collect();
        format!("{prefix}{body}")
    };
    let sk = c.plant("sk- key", &key("sk-", 48));
    let ghp = c.plant("GitHub token", &key("ghp_", 36));
    let akia = c.plant("AWS key", &key("AKIA", 16).to_uppercase());
    let pem_body = c.word("PEM");
    let path_mail = c.email("e-mail in a URL's path");
    vec![
        json!({"distinct_id": c.word("distinct id")}),
        json!({"distinct_id": c.email("distinct id that is an e-mail")}),
        json!({"$user_id": c.word("$user_id"), "$device_id": c.word("$device_id")}),
        json!({"$device_id": c.word("$device_id alone")}),
        json!({"distinct_id": "p-1", "email": c.email("email"), "$email": c.email("$email"),
            "name": c.word("name"), "$name": c.word("$name"), "$first_name": c.word("$first_name"),
            "$last_name": c.word("$last_name"), "phone": c.phone("phone"), "$phone": c.phone("$phone")}),
        json!({"distinct_id": "p-2", "ip": c.ip("ip"), "$ip": c.ip("$ip"), "remote": c.ip("an address anywhere")}),
        json!({"distinct_id": "p-3", "organization_id": c.word("organization_id"), "org_id": c.word("org_id"),
            "account_id": c.word("account_id"), "company_id": c.word("company_id"), "user_id": c.word("user_id")}),
        json!({"distinct_id": "p-4", "contact": c.email("an e-mail in any property"),
            "text": format!("write to {} or call {}", c.email("an e-mail in a text"), c.phone("a phone in a text"))}),
        json!({"distinct_id": "p-5", "nested": {"deep": {"mail": c.email("nested object")},
            "list": ["fine", c.email("list in an object")]}, "list": [c.email("list"), "fine"],
            "objects": [{"mail": c.email("object in a list")}]}),
        json!({"distinct_id": "p-6", "$current_url": format!(
            "https://{}:{}@shop.example/path/{}?email={}&utm_source={}#{}",
            c.word("URL user"), c.word("URL password"), path_mail, c.email("URL query"), c.email("URL utm"),
            c.word("URL fragment")), "$referrer": format!("https://ref.example/{}?q={}",
            c.word("referrer path"), c.word("referrer query")),
            "$initial_referrer": format!("https://ref.example/{}", c.word("initial referrer path")),
            "pages": [format!("https://shop.example/b?session={}", c.word("a URL in a list"))],
            "page": format!("https://shop.example/a?session={}", c.word("a URL anywhere")),
            "link": format!("see https://shop.example/a?invite={} now", c.email("a URL in a text"))}),
        json!({"distinct_id": "p-7", c.email("property name"): 1, "ok": "yes"}),
        json!({"distinct_id": "p-8", "api": sk, "cloud": akia, "git": ghp, "auth": format!("Bearer {jwt}"),
            "jwt": jwt, "password": c.word("password"), "access_token": c.word("access_token"),
            "secret": c.word("secret"), "client_secret": c.word("client_secret"), "nested": {"password": c.word("nested password")},
            "pem": format!("-----BEGIN PRIVATE KEY-----\n{pem_body}\n-----END PRIVATE KEY-----")}),
        json!({"distinct_id": "p-9", "alias": c.word("alias property"), "$group_id": c.word("$group_id"),
            "$insert_id": "plain-insert-id", "company": ["fine"]}),
        json!({"distinct_id": "p-10", "mail": c.plant("e-mail with a plus", "Zoë.Plus+canary@kanarie.example"),
            "wide": c.plant("e-mail of another script", "ПтичкаКанарейка@kanarie.example")}),
    ]
}

fn send_events(server: &Server, said: &mut Said, canaries: &mut Canaries, probes: &[Value]) {
    let token = &server.project.token;
    for probe in probes {
        for path in ["/track", "/import"] {
            let mut event = server.event("Probe", now_ms(), "", json!({"plan": CONTROL}));
            let properties = event["properties"].as_object_mut().expect("properties");
            properties.remove("distinct_id");
            for (key, value) in probe.as_object().expect("an object") {
                properties.insert(key.clone(), value.clone());
            }
            if !properties.contains_key("distinct_id") {
                let id = properties.get("$user_id").or(properties.get("$device_id")).cloned();
                properties.insert("distinct_id".into(), id.expect("some id"));
            }
            properties.insert("$insert_id".into(), insert_id().into());
            let request = server.request("POST", path).header("x-forwarded-for", &canaries.ip("X-Forwarded-For"));
            let reply = match path {
                "/track" => said.hear(request.json(&event)),
                _ => said.hear(request.basic(token, "").json(&json!([event]))),
            };
            assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        }
    }
    // Names, aliases and links of ids.
    let name = format!("Clicked by {}", canaries.email("event name"));
    let mut alias = server.event("$create_alias", now_ms(), &canaries.word("aliased id"), json!({}));
    alias["properties"]["alias"] = canaries.word("alias").into();
    let identify = server.event(
        "$identify",
        now_ms(),
        &canaries.word("identified id"),
        json!({"$anon_distinct_id": canaries.word("anonymous id"), "$identified_id": canaries.word("$identified_id")}),
    );
    let merge = server.event(
        "$merge",
        now_ms(),
        "m",
        json!({"$distinct_ids": [canaries.word("merged id"), canaries.email("merged e-mail")]}),
    );
    for event in [server.event(&name, now_ms(), "p-11", json!({})), alias, identify] {
        said.hear(server.request("POST", "/track").json(&event));
        // The clients that put everything into the address.
        let data = percent(STANDARD.encode(event.to_string()).as_bytes());
        said.hear(server.request("GET", &format!("/track?data={data}&ip=1")));
    }
    said.hear(server.request("POST", "/import").basic(token, "").json(&json!([merge])));
}

fn send_profiles(server: &Server, said: &mut Said, canaries: &mut Canaries) {
    let c = canaries;
    let who = c.word("profile's distinct id");
    let updates = vec![
        json!({"$set": {"$email": c.email("set $email"), "$name": c.word("set $name"), "$phone": c.phone("set $phone"),
            "$avatar": format!("https://img.example/a.png?user={}", c.word("set $avatar")), "plan": CONTROL,
            "manager": c.email("set any"), "org_id": c.word("set org_id"), "password": c.word("set password")}}),
        json!({"$set_once": {"first_mail": c.email("set once"), "first_ip": c.ip("set once ip")}}),
        json!({"$append": {"mails": c.email("append")}}),
        json!({"$append": {"$transactions": {"$amount": 5, "buyer": c.email("transaction")}}}),
        json!({"$union": {"mails": [c.email("union"), "fine"]}}),
        json!({"$remove": {"mails": c.email("remove")}}),
        json!({"$unset": [c.email("unset")]}),
        json!({"$add": {c.email("add"): 1}}),
        json!({"$set": {"nested": {"a": [{"mail": c.email("set nested")}]}}}),
    ];
    let event = server.event("Probe", now_ms(), &who, json!({}));
    said.hear(server.request("POST", "/track").json(&event));
    for update in updates {
        let mut body = json!({"$token": server.project.token, "$distinct_id": who, "$ip": c.ip("profile's $ip")});
        for (key, value) in update.as_object().expect("an object") {
            body[key] = value.clone();
        }
        said.hear(server.request("POST", "/engage").header("x-real-ip", &c.ip("X-Real-IP")).json(&body));
        let data = percent(STANDARD.encode(body.to_string()).as_bytes());
        said.hear(server.request("GET", &format!("/engage?data={data}")));
    }
    for update in [
        json!({"$set": {"$name": c.word("group's $name"), "$email": c.email("group's $email"), "owner": c.email("group's owner")}}),
        json!({"$set_once": {"mail": c.email("group's set once")}}),
        json!({"$union": {"mails": [c.email("group's union")]}}),
        json!({"$remove": {"mails": c.email("group's remove")}}),
        json!({"$unset": [c.email("group's unset")]}),
    ] {
        let mut body =
            json!({"$token": server.project.token, "$group_key": "company", "$group_id": c.word("group id")});
        for (key, value) in update.as_object().expect("an object") {
            body[key] = value.clone();
        }
        said.hear(server.request("POST", "/groups").json(&body));
    }
    let mut gone = json!({"$token": server.project.token, "$distinct_id": c.word("deleted profile")});
    gone["$set"] = json!({"$email": c.email("deleted profile's e-mail")});
    said.hear(server.request("POST", "/engage").json(&gone));
    gone.as_object_mut().expect("an object").remove("$set");
    gone["$delete"] = "".into();
    said.hear(server.request("POST", "/engage").json(&gone));
}

/// Requests that are refused must not be remembered either.
fn send_nonsense(server: &Server, said: &mut Said, canaries: &mut Canaries) {
    let c = canaries;
    let token = server.project.token.clone();
    let post = |target: &str| server.request("POST", target);
    for path in ["/track", "/import?strict=1", "/engage", "/groups"] {
        let broken = format!(
            "[{{\"event\":\"{}\",\"properties\":{{\"email\":\"{}\"",
            c.word("broken body"),
            c.email("broken body")
        );
        said.hear(post(path).basic(&token, "").body("application/json", broken));
        let not_utf8 = [c.word("bytes that are not UTF-8").as_bytes(), b"\xff\xfe"].concat();
        said.hear(post(path).basic(&token, "").body("application/json", not_utf8));
        let wrong = json!([{"event": c.word("wrong token's event"), "$token": c.word("a wrong $token"),
            "$distinct_id": c.word("wrong token's id"), "$set": {"a": c.email("wrong token's property")},
            "properties": {"token": c.word("a wrong token"), "distinct_id": c.email("wrong token's distinct id"),
                "time": now_ms()}}]);
        said.hear(post(path).json(&wrong));
    }
    // Refused in validation: the answer names the field and must not repeat what was in it.
    for (key, value) in [
        ("time", json!(c.word("a time"))),
        ("time", json!(-5)),
        ("$insert_id", json!(format!("{}_{}", c.word("a bad insert id"), "x".repeat(30)))),
        ("deep", json!({"a": {"b": {"c": {"d": {"e": c.email("too deep")}}}}})),
    ] {
        let mut event =
            server.event("Refused", now_ms(), &c.word("a refused id"), json!({"email": c.email("refused")}));
        event["properties"][key] = value;
        said.hear(post("/import?strict=1").basic(&token, "").json(&json!([event])));
    }
    said.hear(post("/import").basic(&c.word("basic user"), &c.word("basic password")).json(&json!([])));
    said.hear(post("/import").header("authorization", &format!("Bearer {}", c.word("bearer"))).json(&json!([])));
    said.hear(server.request("GET", &format!("/{}?email={}", c.word("unknown path"), c.email("unknown path's query"))));
    said.hear(
        post("/track")
            .header("user-agent", &format!("Mozilla/5.0 {}", c.word("user agent")))
            .header("referer", &format!("https://shop.example/?mail={}", c.email("Referer")))
            .header("cookie", &format!("id={}", c.word("cookie")))
            .header("x-forwarded-for", &c.ip("forwarded"))
            .header("forwarded", &format!("for={}", c.ip("Forwarded")))
            .json(&server.event("Headed", now_ms(), "p-20", json!({}))),
    );
    said.hear(
        server
            .api("POST", "/api/v1/session")
            .json(&json!({"email": c.email("sign-in"), "password": c.word("sign-in password"), "code": "000000"})),
    );
}

/// Every report that could show a value, over every property there is.
fn ask_everything(server: &Server, said: &mut Said) {
    let base = format!("/api/v1/projects/{}", server.project.id);
    let properties = said.hear(server.api("GET", &format!("{base}/properties"))).json();
    said.hear(server.api("GET", &format!("{base}/status")));
    said.hear(server.api("GET", "/api/v1/projects"));
    said.hear(server.request("GET", "/metrics"));
    said.hear(server.request("GET", "/healthz"));
    said.hear(server.request("GET", "/openapi.json"));
    let mut questions = vec![
        json!({"kind": "events", "range": range(), "limit": 500}),
        json!({"kind": "events", "range": range(), "limit": 500, "matching": {"event": "Probe"}}),
        json!({"kind": "persons", "range": range(), "limit": 500}),
        json!({"kind": "persons", "range": range(), "limit": 500, "matching": {"event": "Probe"}}),
    ];
    let names = properties["properties"].as_array().expect("properties").clone();
    assert!(names.iter().any(|entry| entry["name"] == "plan"), "{properties}");
    for entry in &names {
        questions.push(json!({
            "kind": "insights", "range": range(), "unit": "month",
            "metrics": [{"matching": {}, "measure": "total"}],
            "breakdown": {"by": [{"property": entry["name"]}], "limit": 200},
        }));
    }
    for question in questions {
        let reply = said.hear(server.api("POST", &format!("{base}/query")).json(&question));
        assert_eq!(reply.status, 200, "{question}: {}", reply.text());
    }
}

/// Collects what the live feed says until the server ends.
fn listen(server: &Server) -> Arc<Mutex<Vec<u8>>> {
    let target = format!("/api/v1/projects/{}/live", server.project.id);
    let mut stream = server.api("GET", &target).header("accept", "text/event-stream").open().expect("the live feed");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let copy = Arc::clone(&heard);
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            copy.lock().expect("nobody panics here").extend_from_slice(&buffer[..length]);
        }
    });
    heard
}

/// Flushing happens in the background: waits until the control value has reached a Parquet file.
fn wait_for_control_in_parquet(server: &Server) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let search = Search::new([CONTROL]);
    loop {
        let parquet =
            files_below(&server.data()).into_iter().map(|(name, _)| name).filter(|name| name.ends_with(".parquet"));
        for name in parquet {
            if !search.hits(&parquet_values(std::path::Path::new(&name))).is_empty() {
                return;
            }
        }
        assert!(Instant::now() < deadline, "the control value never reached a Parquet file");
        std::thread::sleep(Duration::from_millis(50));
    }
}
