//! One person through the door: found by an address, given their own data, erased everywhere, and what proves it.

use std::path::Path;
use std::process::Command;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use serde_json::{Value, json};

use crate::colleague::{Colleague, code_of};
use crate::http::Reply;
use crate::server::{Server, binary, now_ms};

pub(crate) fn path(server: &Server, rest: &str) -> String {
    format!("/api/v1/projects/{}/{rest}", server.project.id)
}

/// Ada on two devices before and after she signed in, and Grace.
pub(crate) fn world(server: &Server) {
    let now = now_ms();
    let device = |at: i64, device: &str, user: Option<&str>, more: Value| {
        let mut event = server.event("Visit", now - at * 1_000, "", more);
        let properties = event["properties"].as_object_mut().expect("properties");
        properties.remove("distinct_id");
        properties.insert("$device_id".to_owned(), device.into());
        if let Some(user) = user {
            properties.insert("$user_id".to_owned(), user.into());
        }
        event
    };
    let mut events: Vec<Value> = (0..5).map(|at| device(at, "phone", None, json!({"page": "/a"}))).collect();
    events.extend((5..8).map(|at| device(at, "tablet", None, json!({"page": "<script>alert(1)</script>"}))));
    events.push(device(9, "phone", Some("ada-7"), json!({"page": "/signed-in"})));
    events.push(device(10, "tablet", Some("ada-7"), json!({"page": "/signed-in"})));
    events.extend((0..7).map(|at| server.event("Visit", now - at * 1_000, "grace-1", json!({"page": "/g"}))));
    server.import(&events);
    for (user, mail) in [("ada-7", "Ada@Canary.example"), ("grace-1", "grace@canary.example")] {
        let set = json!({"$token": server.project.token, "$distinct_id": user,
            "$set": {"$email": mail, "$name": "A <b>Name</b>", "plan": "gold"}});
        assert_eq!(server.post_json("/engage?verbose=1", &json!([set])).json()["status"], 1);
    }
}

pub(crate) fn find(server: &Server, address: &str) -> Vec<String> {
    let reply = server.api("POST", &path(server, "persons/find")).json(&json!({"address": address})).send();
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_value(reply.json()["persons"].clone()).expect("pseudonyms")
}

fn access_body(person: &str, format: &str) -> Value {
    json!({"person": person, "purpose": "subject_access", "format": format})
}

/// Asked for by one, agreed to by the other, and fetched.
pub(crate) fn access(
    server: &Server,
    (owner, steward): (&Colleague<'_>, &Colleague<'_>),
    person: &str,
    format: &str,
) -> Reply {
    let (target, body) = (path(server, "persons/access"), access_body(person, format));
    steward.agrees(&owner.act("POST", &target, &body));
    owner.act("POST", &target, &body)
}

fn erasure(whom: Value) -> Value {
    let mut body = json!({"reason": "request"});
    body.as_object_mut().expect("an object").extend(whom.as_object().expect("an object").clone());
    body
}

/// Rows in all segment files.
fn rows_in_files(folder: &Path) -> i64 {
    let mut rows = 0;
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rows += rows_in_files(&path);
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            let reader = SerializedFileReader::new(std::fs::File::open(&path).expect("a file")).expect("a segment");
            rows += reader.metadata().file_metadata().num_rows();
        }
    }
    rows
}

fn run(arguments: &[&str]) -> (bool, String) {
    let mut command: Command = binary();
    let output = command.args(arguments).output().expect("the binary");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_person_gets_their_own_data_after_the_ledger_has_it_and_only_with_a_passkey() {
    let server = Server::start();
    world(&server);
    let ada = find(&server, " ADA@canary.EXAMPLE ");
    assert_eq!(ada.len(), 1);
    assert!(ada[0].starts_with("per_"));
    assert_eq!(find(&server, "nobody@canary.example"), Vec::<String>::new());

    let owner = Colleague::owner(&server);
    let (target, body) = (path(&server, "persons/access"), access_body(&ada[0], "html"));
    let asked = owner.challenge("POST", &target, &body);
    assert_eq!((&asked["credentials"], &asked["takes_password_and_code"]), (&json!([]), &json!(true)));
    let refused = owner.with("POST", &target, &body, &owner.password_and_code("000000"));
    assert_eq!((refused.status, code_of(&refused)), (403, "step_up_refused".to_owned()));
    assert!(!refused.text().to_lowercase().contains("canary"));

    let owner = owner.with_passkey();
    let codes = owner.act("POST", "/api/v1/account/recovery-codes", &json!({})).json();
    let recovery = codes["codes"][0].as_str().expect("a recovery code");
    let refused = owner.with("POST", &target, &body, &owner.password_and_code(recovery));
    assert_eq!((refused.status, code_of(&refused)), (403, "passkey_needed".to_owned()), "both right, and too little");
    let waits = owner.act("POST", &target, &body);
    assert!(!waits.text().to_lowercase().contains("canary"));
    let own = owner.act("POST", &format!("/api/v1/waiting/{}/agree", waits.json()["waiting"]), &json!({}));
    assert_eq!((own.status, code_of(&own)), (403, "not_a_second_person".to_owned()));
    owner.steward().agrees(&waits);
    let proof = owner.sign(&owner.challenge("POST", &target, &body));
    let reply = owner.with("POST", &target, &body, &proof);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let page = reply.text();
    for part in
        ["Ada@Canary.example", "ada-7", "phone", "tablet", "A &lt;b&gt;Name", "gold", "/signed-in", "That is all"]
    {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)") && !page.contains("<script"), "it is not escaped: {page}");
    assert!(!page.contains("grace") && !page.contains("src=") && !page.contains("href="), "{page}");
    assert_eq!(page.matches("<td>Visit</td>").count(), 10, "{page}");

    assert_eq!(owner.with("POST", &target, &body, &proof).status, 403, "a signature works once");
}

#[test]
fn an_export_for_programs_has_a_line_for_each_thing_and_says_when_it_is_whole() {
    let server = Server::start();
    world(&server);
    let ada = find(&server, "ada@canary.example");
    let owner = Colleague::owner(&server).with_passkey();
    let reply = access(&server, (&owner, &owner.steward()), &ada[0], "ndjson");
    let text = reply.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).cloned().collect::<Vec<Value>>();
    assert_eq!(of("event").len(), 10, "{text}");
    let mail = of("property").into_iter().find(|line| line["name"] == "$email").expect("the address");
    assert_eq!((&mail["value"], &mail["is_sealed"]), (&json!("Ada@Canary.example"), &json!(true)));
    let mut ids: Vec<Value> = of("property")
        .into_iter()
        .filter(|line| line["name"] == "distinct_id")
        .map(|line| line["value"].clone())
        .collect();
    ids.sort_by_key(Value::to_string);
    assert_eq!(ids, ["$device:phone", "$device:tablet", "ada-7"]);
    let end = lines.last().expect("a last line");
    assert_eq!(end, &json!({"kind": "end", "rows": lines.len() - 2}));
}

#[test]
fn a_merged_person_is_erased_whole_and_the_certificate_verifies_without_us() {
    let mut server = Server::start();
    world(&server);
    let ada = find(&server, "ada@canary.example").remove(0);
    let cohort = json!({"name": "Both", "rule": {"kind": "static"}, "ids": ["ada-7", "grace-1"]});
    let reply = server.api("POST", &path(&server, "cohorts")).json(&cohort).send();
    assert_eq!((reply.status, &reply.json()["cohort"]["listed"]), (201, &json!(2)), "{}", reply.text());
    let owner = Colleague::owner(&server);
    let (target, body) = (path(&server, "erasures"), erasure(json!({"persons": [ada]})));
    assert_eq!(owner.with("POST", &target, &body, &owner.password_and_code("000000")).status, 403);
    assert_eq!(server.total("Visit"), 17, "nothing happened");

    // Nothing is opened: who has no passkey yet can show password and code.
    assert_eq!(owner.challenge("POST", &target, &body)["takes_password_and_code"], true);
    let owner = owner.with_passkey();
    let steward = owner.steward();
    let waits = owner.act("POST", &target, &body);
    let waiting = steward.get("/api/v1/waiting").to_string();
    assert!(waiting.contains(&ada) && waiting.contains("\"count\":1"), "{waiting}");
    assert_eq!(server.total("Visit"), 17, "nothing happened");
    steward.agrees(&waits);
    let grace = find(&server, "grace@canary.example").remove(0);
    let reply = owner.act("POST", &target, &erasure(json!({"persons": [ada, grace]})));
    assert_eq!(reply.status, 202, "it was not about her: {}", reply.text());
    assert_eq!(server.total("Visit"), 17, "nothing happened");
    let reply = owner.act("POST", &target, &body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    drop((owner, steward));
    let made = reply.json();
    assert_eq!(made["erasure"]["is_done"], true);
    // At once, in everything.
    assert_eq!(server.total("Visit"), 7);
    assert_eq!(server.count("unique", json!({"event": "Visit"})), 1);
    assert_eq!(server.status()["events"], 7);
    assert_eq!(find(&server, "ada@canary.example"), Vec::<String>::new());
    assert_eq!(find(&server, "grace@canary.example").len(), 1);
    let (properties, sealed) = server.person(json!({"event": "Visit"}));
    assert_eq!((properties["plan"].clone(), sealed), (json!("gold"), vec!["$email".to_owned(), "$name".to_owned()]));
    assert_eq!(server.get(&path(&server, "cohorts"))["cohorts"][0]["listed"], 1);
    let question = json!({"kind": "events", "range": crate::server::range(), "matching": {"event": "Visit"}, "person": ada, "limit": 10});
    assert_eq!(server.api("POST", &path(&server, "query")).json(&question).send().status, 404);
    let id = made["erasure"]["id"].as_u64().expect("a number");
    let reply = server.api("GET", &path(&server, &format!("erasures/{id}/certificate"))).send();
    let certificate = reply.text();
    assert_eq!(reply.status, 200, "{certificate}");
    for part in [ada.as_str(), "persons: 1\n", "ids of them: 3\n", "hidden: 10 events", "3 ids\n"] {
        assert!(certificate.contains(part), "{part} is not in {certificate}");
    }
    assert!(!certificate.to_lowercase().contains("canary") && !certificate.contains("ada-7"));

    // Killed and started again it stays so; out of the files once they are compacted.
    server.kill();
    server.start_again();
    assert_eq!((server.total("Visit"), find(&server, "ada@canary.example").len()), (7, 0));
    let done = server.api("POST", "/api/v1/compact").send();
    assert_eq!((done.status, &done.json()["hidden_after"]), (200, &json!(0)), "{}", done.text());
    assert_eq!(rows_in_files(&server.data().join("lake/segments")), 7);
    assert_eq!(server.total("Visit"), 7);

    server.stop();
    let data = server.data();
    let (is_fine, key) = run(&["ledger", "key", "--data", data.to_str().expect("a path")]);
    assert!(is_fine);
    let file = server.scratch("certificate.txt");
    let verify = |text: &str| {
        std::fs::write(&file, text).expect("a file");
        run(&["ledger", "verify", "--proof", file.to_str().expect("a path"), "--key", key.trim()])
    };
    let (is_fine, said) = verify(&certificate);
    assert!(is_fine && said.contains(&ada) && said.contains("Erased"), "{said}");
    assert!(!verify(&certificate.replace("hidden: 10 events", "hidden: 11 events")).0);
    assert!(!verify(&certificate.replace(&ada, "per_0000000000000")).0);
    let (is_fine, said) = run(&["compact", "--now", "--data", data.to_str().expect("a path")]);
    assert!(is_fine && said.contains("hidden rows in them: 0 before, 0 after"), "{said}");
}
