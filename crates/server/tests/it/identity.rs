//! Who is one person, told by unique counts, at once and for what happened before the link: what the doors, files and
//! restarts add to the vectors of both modes (`crates/vault/tests/vectors/identity.txt`).

use serde_json::{Value, json};

use crate::server::{Options, Project, Server, event_of, insert_id, now_ms};

const ANON_A: &str = "3f8a1c52-9d1e-4b7a-8c21-5e0d6f7a9b10";
const ANON_B: &str = "b2c94e77-1f35-4d06-9a8b-7c3e2d1f0a45";

/// One event of a vector: its tag, and the ids it carries.
fn send(server: &Server, project: &Project, tag: &str, ids: Value) {
    let mut event = event_of(project, "Step", now_ms(), "", json!({"tag": tag}));
    let properties = event["properties"].as_object_mut().expect("properties");
    properties.remove("distinct_id");
    for (key, value) in ids.as_object().expect("ids") {
        properties.insert(key.clone(), value.clone());
    }
    // As SDKs do: the distinct id is the user, or the device with its prefix.
    if !properties.contains_key("distinct_id") {
        let user = properties.get("$user_id").and_then(Value::as_str).map(str::to_owned);
        let device = properties.get("$device_id").and_then(Value::as_str).map(|id| format!("$device:{id}"));
        properties.insert("distinct_id".into(), user.or(device).expect("some id").into());
    }
    let reply = server.post_json("/track?verbose=1", &event);
    assert_eq!(reply.json()["status"], 1, "{event}: {}", reply.text());
}

/// Distinct persons behind the events with these tags; all events when there are none.
fn persons(server: &Server, project: &Project, tags: &[&str]) -> u64 {
    let filters = match tags {
        [] => json!([]),
        tags => json!([{"property": "tag", "condition": {"op": "equals", "values": tags}}]),
    };
    server.count_in(project, "unique", json!({"event": "Step", "filters": filters}))
}

fn device(id: &str) -> Value {
    json!({"$device_id": id})
}

fn user(id: &str) -> Value {
    json!({"$user_id": id})
}

fn both(device: &str, user: &str) -> Value {
    json!({"$device_id": device, "$user_id": user})
}

#[test]
fn simplified_links_a_device_to_its_user_for_the_past_too() {
    let mut server = Server::with(Options::FLUSHING);
    let project = server.project.clone();
    send(&server, &project, "d1 first", device("D1"));
    send(&server, &project, "d1 second", device("D1"));
    send(&server, &project, "d2 first", device("D2"));
    send(&server, &project, "d2 second", device("D2"));
    assert_eq!(persons(&server, &project, &[]), 2);
    // History that already left the tail must be linked as well.
    let old = now_ms() - 86_400_000;
    let noise: Vec<Value> = (0..600).map(|n| server.event("Noise", old, &format!("n{n}"), json!({}))).collect();
    server.import(&noise);

    send(&server, &project, "d1 login", both("D1", "U1"));
    assert_eq!(persons(&server, &project, &["d1 first", "d1 second", "d1 login"]), 1);
    assert_eq!(persons(&server, &project, &[]), 2);
    send(&server, &project, "d2 login", both("D2", "U1"));
    assert_eq!(persons(&server, &project, &[]), 1, "both devices are U1's");
    // From a server that knows only the user, and from a device that has forgotten it.
    send(&server, &project, "server", json!({"distinct_id": "U1"}));
    send(&server, &project, "d1 later", device("D1"));
    assert_eq!(persons(&server, &project, &[]), 1);
    server.stop();
    server.start_again();
    assert_eq!(persons(&server, &project, &[]), 1, "after a restart");
    send(&server, &project, "d2 later", device("D2"));
    assert_eq!(persons(&server, &project, &[]), 1);
}

#[test]
fn simplified_never_merges_two_users() {
    let server = Server::start();
    let project = server.project.clone();
    send(&server, &project, "one", user("U1"));
    send(&server, &project, "two", user("U2"));
    let merge = json!({"event": "$merge", "properties": {
        "token": project.token, "$distinct_ids": ["U1", "U2"], "time": now_ms(), "$insert_id": insert_id(),
        "distinct_id": "U1",
    }});
    let reply = server.request("POST", "/import?strict=0").basic(&project.token, "").json(&json!([merge])).send();
    assert!(reply.status < 500, "{}", reply.text());
    assert_eq!(persons(&server, &project, &[]), 2);
    server.balanced_outcomes();
}

#[test]
fn simplified_takes_any_number_of_devices_of_one_user() {
    let server = Server::start();
    let project = server.project.clone();
    let step = |n: u32, ids: Value| {
        let mut event =
            event_of(&project, "Step", now_ms(), &format!("$device:M{n}"), json!({"$device_id": format!("M{n}")}));
        for (key, value) in ids.as_object().expect("ids") {
            event["properties"][key] = value.clone();
        }
        event
    };
    server.import(&(0..620).map(|n| step(n, json!({}))).collect::<Vec<_>>());
    assert_eq!(persons(&server, &project, &[]), 620);
    server.import(&(0..620).map(|n| step(n, user("U1"))).collect::<Vec<_>>());
    assert_eq!(persons(&server, &project, &[]), 1);
    send(&server, &project, "other", user("U2"));
    assert_eq!(persons(&server, &project, &[]), 2);
}

#[test]
fn identities_of_two_projects_are_apart() {
    let server = Server::start();
    let first = server.project.clone();
    let second = server.create_project("Second", "simplified");
    assert_ne!((first.id, &first.token), (second.id, &second.token));
    send(&server, &first, "first", both("D1", "U1"));
    send(&server, &second, "second", device("D1"));
    send(&server, &second, "second", user("U1"));
    assert_eq!(persons(&server, &first, &[]), 1);
    assert_eq!(persons(&server, &second, &[]), 2, "a link in one project says nothing in another");
    let pseudonym = |project: &Project| {
        let table =
            server.ask_project(project, &json!({"kind": "persons", "range": crate::server::range(), "limit": 10}));
        table["persons"][0]["pseudonym"].as_str().expect("a pseudonym").to_owned()
    };
    assert!(pseudonym(&first).starts_with("per_"), "{}", pseudonym(&first));
    assert_ne!(pseudonym(&first), pseudonym(&second));
}

#[test]
fn original_identify_links_the_anonymous_past() {
    let mut server = Server::start();
    let project = server.create_project("Original", "original");
    for (anonymous, known, properties) in [
        (ANON_A, "known-1", json!({"distinct_id": "known-1", "$anon_distinct_id": ANON_A})),
        (ANON_B, "known-2", json!({"$identified_id": "known-2", "$anon_id": ANON_B})),
    ] {
        send(&server, &project, anonymous, json!({"distinct_id": anonymous}));
        send(&server, &project, known, json!({"distinct_id": known}));
        assert_eq!(persons(&server, &project, &[anonymous, known]), 2);
        bookkeeping(&server, &project, "$identify", properties);
        assert_eq!(persons(&server, &project, &[anonymous, known]), 1, "{known}");
    }
    assert_eq!(persons(&server, &project, &[]), 2, "two clusters");
    server.stop();
    server.start_again();
    send(&server, &project, "later", json!({"distinct_id": ANON_A}));
    assert_eq!(persons(&server, &project, &["later", "known-1"]), 1);
    assert_eq!(persons(&server, &project, &[]), 2, "after a restart");
}

#[test]
fn original_merge_joins_two_ids_through_import() {
    let server = Server::start();
    let project = server.create_project("Original", "original");
    for id in ["m-1", "m-2", "m-3"] {
        send(&server, &project, id, json!({"distinct_id": id}));
    }
    merge(&server, &project, &[("m-1", "m-2")]);
    assert_eq!(persons(&server, &project, &["m-1", "m-2"]), 1);
    assert_eq!(persons(&server, &project, &[]), 2);
    merge(&server, &project, &[("m-2", "m-3")]);
    assert_eq!(persons(&server, &project, &[]), 1, "merges add up");
    server.balanced_outcomes();
}

#[test]
fn original_stops_merging_at_five_hundred_ids() {
    let server = Server::start();
    let project = server.create_project("Original", "original");
    let events: Vec<Value> =
        (0..502).map(|n| event_of(&project, "Step", now_ms(), &format!("c-{n}"), json!({"tag": "cluster"}))).collect();
    server.import_into(&project, &events);
    let pairs: Vec<(String, String)> = (1..502).map(|n| ("c-0".to_owned(), format!("c-{n}"))).collect();
    let events: Vec<Value> = pairs.iter().map(|(one, other)| merge_event(&project, one, other)).collect();
    let reply = server.request("POST", "/import?strict=1").basic(&project.token, "").json(&Value::from(events)).send();
    assert!(matches!(reply.status, 200 | 400), "{}", reply.text());
    assert_eq!(persons(&server, &project, &[]), 3, "500 in one cluster, two left out");
}

/// An event that says something about ids rather than about behaviour.
fn bookkeeping(server: &Server, project: &Project, name: &str, properties: Value) {
    let mut event = json!({"event": name, "properties": properties});
    event["properties"]["token"] = project.token.clone().into();
    event["properties"]["$insert_id"] = insert_id().into();
    event["properties"]["time"] = now_ms().into();
    let reply = server.post_json("/track?verbose=1", &event);
    assert_eq!(reply.status, 200, "{event}: {}", reply.text());
}

fn merge_event(project: &Project, one: &str, other: &str) -> Value {
    // As the Python client sends it: neither a time nor a distinct id.
    json!({"event": "$merge", "properties": {"$distinct_ids": [one, other], "token": project.token}})
}

fn merge(server: &Server, project: &Project, pairs: &[(&str, &str)]) {
    let events: Vec<Value> = pairs.iter().map(|(one, other)| merge_event(project, one, other)).collect();
    let reply = server.request("POST", "/import?strict=1").basic(&project.token, "").json(&Value::from(events)).send();
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn events_without_an_id_count_and_belong_to_nobody() {
    let mut server = Server::with(crate::server::Options::FLUSHING);
    let bare = |server: &Server| json!({"event": "Bare", "properties": {"token": server.project.token, "email": "nobody@example.org", "tag": "x"}});
    for _ in 0..3 {
        let record = bare(&server);
        assert_eq!(server.post_json("/track", &record).text(), "1");
    }
    server.import(&[server.event("Bare", now_ms(), "", json!({"tag": "x"}))]);
    server.import(&[server.event("Bare", now_ms(), "somebody", json!({"tag": "x"}))]);
    let check = |server: &Server| {
        assert_eq!(server.total("Bare"), 5);
        assert_eq!(server.count("unique", json!({"event": "Bare"})), 1);
        assert_eq!(server.status()["persons"], 1);
        assert_eq!(server.events(json!({"event": "Bare"})).len(), 5);
    };
    check(&server);
    server.kill();
    server.start_again();
    check(&server);
}

#[test]
fn a_device_that_became_part_of_the_wrong_user_is_parted_again_over_the_command_line() {
    let mut server = Server::start();
    let project = server.project.clone();
    send(&server, &project, "before", device("D1"));
    send(&server, &project, "login", both("D1", "U1"));
    send(&server, &project, "tablet", device("D2"));
    send(&server, &project, "other", both("D2", "U1"));
    assert_eq!(persons(&server, &project, &[]), 1);
    let table = server.ask_project(&project, &json!({"kind": "persons", "range": crate::server::range(), "limit": 10}));
    let person = table["persons"][0]["pseudonym"].as_str().expect("a pseudonym").to_owned();
    let run = |server: &Server, more: &[&str]| {
        let mut command = crate::server::binary();
        command.args(["unmerge", "--data"]).arg(server.data()).args(["--project", &project.id.to_string(), &person]);
        let output = command.args(more).output().expect("the cofferdam binary");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    };
    let listed = run(&server, &[]).expect("a list");
    let first = listed.lines().next().expect("two merges").to_owned();
    assert!(first.contains(&format!("became part of {person}")) && first.ends_with("can be undone"), "{listed}");
    let number = first.split('\t').next().expect("a number");
    assert!(run(&server, &[number]).expect("it is undone").contains("two persons again"));
    assert_eq!(persons(&server, &project, &["login", "other", "tablet"]), 1);
    assert_eq!(persons(&server, &project, &[]), 2, "what the device did before is somebody else's");
    assert!(run(&server, &[number]).expect_err("it is gone").contains("no such merge"));
    // Of a server that is stopped the same, on its folder.
    server.stop();
    let listed = run(&server, &[]).expect("a list");
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert!(run(&server, &[listed.split('\t').next().expect("a number")]).is_ok());
    server.start_again();
    assert_eq!(persons(&server, &project, &[]), 3);
}
