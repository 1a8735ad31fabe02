//! Disclosure over the wire: one value with a passkey, an export that somebody else approved, and its proof, verified by
//! the program alone.

use std::collections::BTreeSet;
use std::io::Read;

use serde_json::{Value, json};

use crate::colleague::{Colleague, code_of};
use crate::server::{Server, binary, now_ms};

fn path(server: &Server, rest: &str) -> String {
    format!("/api/v1/projects/{}/{rest}", server.project.id)
}

fn world(server: &Server) {
    let now = now_ms();
    let events: Vec<Value> = (0..60)
        .map(|at| server.event("Visit", now - at * 1_000, &format!("u{}", at % 20), json!({"page": "=1+1", "n": at})))
        .collect();
    server.import(&events);
    for at in 0..20 {
        let set = json!({"$token": server.project.token, "$distinct_id": format!("u{at}"),
            "$set": {"$email": format!("u{at}@canary.example"), "$name": "A Name"}});
        assert_eq!(server.post_json("/engage?verbose=1", &json!([set])).json()["status"], 1);
    }
}

fn person(server: &Server, address: &str) -> String {
    let reply = server.api("POST", &path(server, "persons/find")).json(&json!({"address": address})).send();
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["persons"][0].as_str().expect("a pseudonym").to_owned()
}

#[test]
fn one_value_takes_a_passkey_and_the_ledger_has_it() {
    let server = Server::start();
    world(&server);
    let person = person(&server, "u3@canary.example");
    let target = path(&server, &format!("persons/{person}/reveal"));
    let body = json!({"field": "email", "purpose": "support"});
    let owner = Colleague::owner(&server);
    // The cookie alone.
    let reply = owner.api("POST", &target).json(&body).send();
    assert_eq!((reply.status, code_of(&reply)), (401, "step_up_required".to_owned()));
    assert!(!reply.text().contains("canary"));
    let owner = owner.with_passkey();
    let proof = owner.sign(&owner.challenge("POST", &target, &body));
    let other = json!({"field": "name", "purpose": "support"});
    let reply = owner.with("POST", &target, &other, &proof);
    assert_eq!((reply.status, code_of(&reply)), (403, "step_up_refused".to_owned()), "another request");
    let reply = owner.act("POST", &target, &body);
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("no-store")), "{}", reply.text());
    assert_eq!(reply.json()["values"], json!([{"property": "$email", "value": "u3@canary.example"}]));
    let reply = owner.act("POST", &target, &json!({"field": "other", "purpose": "support"}));
    assert_eq!((reply.status, code_of(&reply)), (403, "approval_needed".to_owned()));
    let missing = path(&server, "persons/per_0000000000000000000000/reveal");
    assert_eq!(owner.act("POST", &missing, &body).status, 404);
}

#[test]
fn an_export_takes_two_people_and_its_proof_verifies_without_the_server() {
    let mut server = Server::start();
    world(&server);
    let (file, proof) = (server.scratch("export"), server.scratch("export.proof"));
    {
        let owner = Colleague::owner(&server).with_passkey();
        let steward = owner.steward();
        let request = json!({"what": {"kind": "events", "range": crate::server::range(), "matching": {"event": "Visit"}},
            "purpose": "analysis", "format": "csv"});
        let reply = owner.api("POST", &path(&server, "disclosures/plan")).json(&request).send();
        let plan = reply.json();
        assert_eq!(
            (reply.status, &plan["approvals_needed"], &plan["approvers"]),
            (200, &json!(1), &json!(1)),
            "{plan}"
        );
        let reply = owner.act("POST", &path(&server, "disclosures"), &request);
        assert_eq!(reply.status, 201, "{}", reply.text());
        let asked = reply.json();
        assert_eq!((&asked["hash"], &asked["state"]), (&plan["hash"], &json!("waiting")));
        let of = |rest: &str| format!("/api/v1/disclosures/{}{rest}", asked["id"]);
        let seen = json!({"hash": asked["hash"]});
        let reply = owner.act("POST", &of("/run"), &seen);
        assert_eq!((reply.status, code_of(&reply)), (409, "not_ready".to_owned()));
        assert_eq!(owner.act("POST", &of("/approval"), &seen).status, 404, "it is not for them to decide");
        let inbox = steward.get("/api/v1/disclosures");
        assert_eq!(inbox["disclosures"][0]["is_for_me"], true, "{inbox}");
        let reply = steward.act("POST", &of("/approval"), &seen);
        assert_eq!((reply.status, &reply.json()["state"]), (200, &json!("ready")), "{}", reply.text());

        let reply = owner.act("POST", &of("/run"), &seen);
        assert_eq!((reply.status, reply.header("cache-control")), (200, Some("no-store")), "{}", reply.text());
        let text = reply.text();
        let persons: BTreeSet<&str> = text.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
        assert_eq!((text.lines().count(), persons.len()), (61, 20), "{text}");
        assert!(text.contains("\"'=1+1\"") && !text.contains("canary"), "{text}");
        std::fs::write(&file, &text).expect("a file");
        let done = owner.get(&of(""));
        assert_eq!((&done["state"], &done["progress"]["rows"]), (&json!("done"), &json!(60)), "{done}");
        let reply = owner.api("GET", &of("/proof")).send();
        assert_eq!(reply.status, 200, "{}", reply.text());
        std::fs::write(&proof, reply.text()).expect("a file");
        assert_eq!(code_of(&owner.act("POST", &of("/run"), &seen)), "wrong_state");
    }
    server.stop();
    let key = String::from_utf8(server.command(&["ledger", "key"]).stdout).expect("text");
    let verify = |proof: &std::path::Path, file: &std::path::Path| {
        let output = binary().args(["export", "verify"]).arg(proof).arg(file).args(["--key", key.trim()]).output();
        let output = output.expect("a run");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (is_fine, said) = verify(&proof, &file);
    assert!(is_fine && said.contains("60 rows") && said.contains("GrantApproved"), "{said}");
    let changed = server.scratch("changed");
    std::fs::write(&changed, std::fs::read_to_string(&file).expect("a file").replace("Visit", "Visot"))
        .expect("a file");
    assert!(!verify(&proof, &changed).0, "a changed file");
    std::fs::write(&changed, std::fs::read_to_string(&proof).expect("a proof").replace("rows: 60", "rows: 6"))
        .expect("a file");
    assert!(!verify(&changed, &file).0, "a changed proof");
}

#[test]
fn an_export_that_is_locked_on_the_wire_has_named_at_most_a_chunk_more_than_left() {
    let server = Server::start();
    // More than the sockets of both ends hold.
    let (persons, name) = (8_000, "\u{1f600}".repeat(250));
    for some in (0..persons).collect::<Vec<u32>>().chunks(1_000) {
        let set = |id: &u32| json!({"$token": server.project.token, "$distinct_id": format!("u{id}"), "$set": {"$name": name}});
        let sets: Vec<Value> = some.iter().map(set).collect();
        assert_eq!(server.post_json("/engage?verbose=1", &Value::from(sets)).json()["status"], 1);
    }
    let owner = Colleague::owner(&server).with_passkey();
    let admin = owner.invites(&["org_admin"], "admin@coffer.example").with_passkey();
    let identity = age::x25519::Identity::generate();
    let request = json!({"what": {"kind": "persons", "fields": ["name"]}, "purpose": "migration", "format": "ndjson",
        "recipient": identity.to_public().to_string()});
    let asked = owner.act("POST", &path(&server, "disclosures"), &request).json();
    let of = |rest: &str| format!("/api/v1/disclosures/{}{rest}", asked["id"]);
    let seen = json!({"hash": asked["hash"]});
    for email in ["stefan@coffer.example", "sven@coffer.example"] {
        let reply = owner.steward_by(&admin, email).act("POST", &of("/approval"), &seen);
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let mut body = seen.clone();
    body["step_up"] = owner.sign(&owner.challenge("POST", &of("/run"), &seen));
    let mut stream = owner.api("POST", &of("/run")).json(&body).open().expect("a connection");
    let mut answer = vec![0; 100_000];
    stream.read_exact(&mut answer).expect("the first pieces");
    let lock = json!({"targets": [{"kind": "grant", "grant": asked["id"]}], "reason": "suspicion"});
    assert_eq!(owner.act("POST", "/api/v1/locks", &lock).status, 201);
    // What the system had taken by then comes still.
    let _ = stream.read_to_end(&mut answer);
    let left = persons_that_left(&answer, &identity);

    let reply = owner.api("POST", "/api/v1/exposure").json(&json!({"any_of": [{"grant": asked["id"]}]})).send();
    let exposed = reply.json();
    let named = exposed["authorised"]["persons"].as_u64().unwrap_or_else(|| panic!("{exposed}"));
    assert!(0 < left && left < u64::from(persons), "{left} of {persons} left");
    assert!(left <= named && named - left <= 1_000, "{left} left, {named} named");
}

/// Persons whose rows are whole in an answer that was cut off.
fn persons_that_left(answer: &[u8], identity: &age::x25519::Identity) -> u64 {
    let mut rest = &answer[crate::http::find(answer, b"\r\n\r\n").expect("a head") + 4..];
    let mut sealed = Vec::new();
    while let Some(line) = crate::http::find(rest, b"\r\n") {
        let length =
            usize::from_str_radix(std::str::from_utf8(&rest[..line]).expect("a length"), 16).expect("a length");
        let piece = &rest[line + 2..];
        sealed.extend_from_slice(&piece[..length.min(piece.len())]);
        rest = piece.get(length + 2..).unwrap_or_default();
    }
    let decryptor = age::Decryptor::new(&sealed[..]).expect("an encrypted file");
    let mut reader = decryptor.decrypt([identity as &dyn age::Identity].into_iter()).expect("for this reader");
    let (mut text, mut some) = (Vec::new(), [0; 4_096]);
    while let Ok(read @ 1..) = reader.read(&mut some) {
        text.extend_from_slice(&some[..read]);
    }
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[test]
fn guesses_of_addresses_end_for_whoever_makes_them_and_are_listed() {
    let server = Server::start();
    world(&server);
    let find =
        |address: String| server.api("POST", &path(&server, "persons/find")).json(&json!({"address": address})).send();
    for at in 0..5 {
        let reply = find(format!("nobody{at}@canary.example"));
        assert_eq!((reply.status, reply.json()), (200, json!({"persons": []})));
    }
    let reply = find("nobody5@canary.example".to_owned());
    assert_eq!((reply.status, code_of(&reply)), (403, "stopped_by_limit".to_owned()));
    assert_eq!(find("u1@canary.example".to_owned()).status, 403, "one that is there as well");
    let limits = server.get("/api/v1/limits");
    assert_eq!(
        (&limits["trips"][0]["rule"], &limits["trips"][0]["by_member"]),
        (&json!("guessing"), &json!(1)),
        "{limits}"
    );
}
