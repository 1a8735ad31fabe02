//! Profiles: what each operator does to a person, what stays in the clear, and what is sealed.
//!
//! A person is listed only with events in the range asked for, so each gets one event that says who it is.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::http::percent;
use crate::server::{Server, is, now_ms, plain};

/// Updates sent one after the other, and the properties afterwards; `null` means that there is none.
struct Case {
    name: &'static str,
    updates: Vec<Value>,
    expected: Value,
}

fn cases() -> Vec<Case> {
    let case = |name, updates: Value, expected| Case {
        name,
        updates: updates.as_array().expect("a list of updates").clone(),
        expected,
    };
    vec![
        case(
            "set overwrites",
            json!([{"$set": {"plan": "free", "seats": 1, "beta": true}}, {"$set": {"plan": "pro"}}]),
            json!({"plan": "pro", "seats": 1, "beta": true}),
        ),
        case(
            "set takes every type",
            json!([{"$set": {"text": "a", "number": 1.5, "flag": false, "list": ["x", "y"], "object": {"k": 1}}}]),
            json!({"text": "a", "number": 1.5, "flag": false, "list": ["x", "y"], "object": {"k": 1}}),
        ),
        case(
            "set once keeps the first",
            json!([{"$set_once": {"first": "a"}}, {"$set_once": {"first": "b", "second": "c"}}]),
            json!({"first": "a", "second": "c"}),
        ),
        case(
            "set once keeps what was set",
            json!([{"$set": {"plan": "pro"}}, {"$set_once": {"plan": "free"}}]),
            json!({"plan": "pro"}),
        ),
        case(
            "add starts at zero and takes negative numbers",
            json!([{"$add": {"visits": 1}}, {"$add": {"visits": 2.5, "credit": -3}}]),
            json!({"visits": 3.5, "credit": -3}),
        ),
        case("add goes on from set", json!([{"$set": {"n": 40}}, {"$add": {"n": 2}}]), json!({"n": 42})),
        case(
            "append keeps repetitions and order",
            json!([{"$append": {"pages": "a"}}, {"$append": {"pages": "b"}}, {"$append": {"pages": "a"}}]),
            json!({"pages": ["a", "b", "a"]}),
        ),
        case(
            "union keeps one of each",
            json!([{"$union": {"tags": ["x", "y"]}}, {"$union": {"tags": ["y", "z"]}}]),
            json!({"tags": ["x", "y", "z"]}),
        ),
        case(
            "remove takes a value out of a list",
            json!([{"$union": {"tags": ["x", "y", "z"]}}, {"$remove": {"tags": "y"}}, {"$remove": {"tags": "q"}}]),
            json!({"tags": ["x", "z"]}),
        ),
        case(
            "unset forgets the names given",
            json!([{"$set": {"a": 1, "b": 2, "c": 3}}, {"$unset": ["a", "c", "never"]}]),
            json!({"a": null, "b": 2, "c": null}),
        ),
        case(
            "a charge is a transaction",
            json!([
                {"$append": {"$transactions": {"$amount": 29.99, "$time": "2026-02-01T10:00:00"}}},
                {"$append": {"$transactions": {"$amount": 19}}},
            ]),
            json!({"$transactions": [{"$amount": 29.99, "$time": "2026-02-01T10:00:00"}, {"$amount": 19}]}),
        ),
        case(
            "clearing charges leaves an empty list",
            json!([{"$append": {"$transactions": {"$amount": 5}}}, {"$set": {"$transactions": []}}]),
            json!({"$transactions": []}),
        ),
        case(
            "delete forgets everything",
            json!([{"$set": {"plan": "pro", "n": 1}}, {"$delete": ""}]),
            json!({"plan": null, "n": null}),
        ),
        case(
            "delete with its alias left alone, then a new start",
            json!([{"$set": {"plan": "pro"}}, {"$delete": null, "$ignore_alias": true}, {"$set": {"n": 2}}]),
            json!({"plan": null, "n": 2}),
        ),
    ]
}

#[test]
fn each_operator_does_what_it_says() {
    let mut server = Server::start();
    for case in cases() {
        see(&server, case.name);
        for update in &case.updates {
            assert_eq!(engage(&server, case.name, update), "1", "{}: {update}", case.name);
        }
    }
    let check = |server: &Server, when: &str| {
        for case in cases() {
            let (properties, _) = server.person(whose(case.name));
            expect(&properties, &case.expected, &format!("{}, {when}", case.name));
        }
    };
    check(&server, "at once");
    server.stop();
    server.start_again();
    check(&server, "after a restart");
    server.balanced_outcomes();
}

#[test]
fn updates_come_in_every_body_form_and_in_order() {
    let server = Server::start();
    see(&server, "formed");
    let update = |body: Value| person_update(&server, "formed", &body);
    let data = |body: Value| percent(STANDARD.encode(update(body).to_string()).as_bytes());
    let form = "application/x-www-form-urlencoded";
    let requests = [
        server.request("GET", &format!("/engage?ip=0&verbose=0&data={}", data(json!({"$set": {"get": 1}})))),
        server.request("POST", "/engage/?verbose=0").body(form, format!("data={}", data(json!({"$set": {"form": 1}})))),
        server
            .request("POST", "/engage")
            .body(form, format!("data={}&ip=0", percent(update(json!({"$set": {"raw": 1}})).to_string().as_bytes()))),
        server
            .request("POST", "/engage/")
            .body("text/plain", json!([update(json!({"$set": {"beacon": 1}}))]).to_string()),
        server.request("POST", "/engage").json(&Value::Array(
            (1..=9)
                .map(|n| update(json!({"$set": {"last": n}})))
                .chain([update(json!({"$add": {"last": 10}}))])
                .collect(),
        )),
        // What the browser adds.
        server.request("POST", "/engage/?verbose=0&ip=1&_=1763789757000").json(&json!([{
            "$token": server.project.token, "$distinct_id": "formed", "$device_id": "dev-1",
            "$user_id": "formed", "$had_persisted_distinct_id": true, "$ip": "203.0.113.9",
            "$time": now_ms(), "$ignore_time": true, "$set": {"script": 1},
        }])),
    ];
    for request in requests {
        let reply = request.send();
        assert_eq!((reply.status, reply.text().as_str()), (200, "1"));
    }
    let (properties, sealed) = server.person(whose("formed"));
    let expected = json!({"get": 1, "form": 1, "raw": 1, "beacon": 1, "last": 19, "script": 1});
    expect(&properties, &expected, "all forms");
    assert!(!json!(properties).to_string().contains("203.0.113"), "{properties:?} {sealed:?}");
}

#[test]
fn what_identifies_somebody_is_sealed_by_name_and_by_shape() {
    let server = Server::start();
    see(&server, "sealed");
    let secret = [
        ("$email", json!("ana@coffer.example")),
        ("$name", json!("Ana Ejemplo")),
        ("$first_name", json!("Ana")),
        ("$last_name", json!("Ejemplo")),
        ("$phone", json!("+34 612 345 678")),
        ("email", json!("ana2@coffer.example")),
        ("phone", json!("+34612345679")),
        ("contact", json!("ana3@coffer.example")),
        ("reachable", json!(["nothing", "ana4@coffer.example"])),
        ("support", json!({"desk": {"mail": "ana5@coffer.example"}})),
        ("last seen from", json!("198.51.100.23")),
    ];
    let mut set = json!({"plan": "pro"});
    for (name, value) in &secret {
        set[*name] = value.clone();
    }
    assert_eq!(engage(&server, "sealed", &json!({"$set": set})), "1");
    let (properties, sealed) = server.person(whose("sealed"));
    expect(&properties, &json!({"plan": "pro"}), "beside sealed ones");
    for (name, value) in &secret {
        assert!(sealed.iter().any(|found| found == name), "{name} is not in {sealed:?}");
        assert_eq!(properties.get(*name), None, "{name} = {value}");
    }
    let told = json!([properties, sealed]).to_string();
    for trace in ["coffer.example", "Ejemplo", "612 345", "34612345", "198.51"] {
        assert!(!told.contains(trace), "{trace} in {told}");
    }

    assert_eq!(engage(&server, "sealed", &json!({"$unset": ["$email", "plan"]})), "1");
    let (properties, sealed) = server.person(whose("sealed"));
    assert!(!sealed.contains(&"$email".to_owned()) && sealed.contains(&"$name".to_owned()), "{sealed:?}");
    assert_eq!(properties.get("plan"), None);
    assert_eq!(engage(&server, "sealed", &json!({"$delete": ""})), "1");
    assert_eq!(server.person(whose("sealed")).1, Vec::<String>::new());
}

#[test]
fn external_ids_and_secrets_never_show_in_a_profile() {
    let server = Server::start();
    see(&server, "linked");
    let set = json!({
        "organization_id": "org-4711", "account_id": "acc-4712", "company_id": "com-4713", "user_id": "usr-4714",
        "password": "hunter2-hunter2", "api_token": "sk-4715abcdefghijklmnopqrstuvwxyz0123456789ABCD",
        "note": "AKIAIOSFODNN7EXAMPLE",
    });
    assert_eq!(engage(&server, "linked", &json!({"$set": set})), "1");
    let (properties, sealed) = server.person(whose("linked"));
    let told = json!([properties, sealed]).to_string();
    for trace in ["4711", "4712", "4713", "4714", "hunter2", "4715", "AKIA"] {
        assert!(!told.contains(trace), "{trace} in {told}");
    }
    assert!(server.status()["dropped_secrets"].as_u64() >= Some(3), "{}", server.status());
}

#[test]
fn an_update_that_makes_no_sense_is_refused_and_changes_nothing() {
    let server = Server::start();
    see(&server, "steady");
    assert_eq!(engage(&server, "steady", &json!({"$set": {"n": 1, "list": ["a"]}})), "1");
    for update in [
        json!({}),
        json!({"$set": "text"}),
        json!({"$set": ["a"]}),
        json!({"$add": {"n": "many"}}),
        json!({"$union": {"list": 5, "other": {}}}),
        json!({"$unset": "n"}),
    ] {
        assert_eq!(engage(&server, "steady", &update), "0", "{update}");
    }
    let nobody = json!([{"$token": server.project.token, "$set": {"n": 2}}]);
    assert_eq!(server.post_json("/engage", &nobody).text(), "0");
    // One bad update does not stop the others of its request.
    let batch = json!([
        person_update(&server, "steady", &json!({"$set": "text"})),
        person_update(&server, "steady", &json!({"$set": {"late": true}})),
    ]);
    assert_eq!(server.post_json("/engage", &batch).status, 200);
    let (properties, _) = server.person(whose("steady"));
    expect(&properties, &json!({"n": 1, "list": ["a"], "late": true}), "after refusals");
    server.balanced_outcomes();
}

#[test]
fn a_profile_may_come_before_its_first_event_and_a_device_has_none() {
    let server = Server::start();
    assert_eq!(engage(&server, "early", &json!({"$set": {"plan": "pro"}})), "1");
    assert_eq!(engage(&server, "$device:d-1", &json!({"$set": {"plan": "ghost"}})), "1");
    see(&server, "early");
    let event = json!({"who": "device", "$device_id": "d-1"});
    server.import(&[server.event("Seen", now_ms(), "$device:d-1", event)]);
    expect(&server.person(whose("early")).0, &json!({"plan": "pro"}), "early");
    expect(&server.person(whose("device")).0, &json!({"plan": null}), "a device's properties are not kept");
}

#[test]
fn group_operators_are_taken_and_others_refused() {
    let server = Server::start();
    see(&server, "member");
    let persons_before = server.status()["persons"].clone();
    let group = |update: Value| {
        let mut body = json!({"$token": server.project.token, "$group_key": "company", "$group_id": "Acme-1"});
        for (key, value) in update.as_object().expect("an object") {
            body[key] = value.clone();
        }
        body
    };
    for update in [
        json!({"$set": {"industry": "widgets", "$name": "Acme Inc.", "$email": "office@coffer.example"}}),
        json!({"$set_once": {"industry": "gadgets", "founded": 1999}}),
        json!({"$union": {"products": ["anvil", "rocket"]}}),
        json!({"$remove": {"products": "anvil"}}),
        json!({"$unset": ["founded"]}),
        json!({"$delete": ""}),
    ] {
        let reply = server.post_json("/groups", &group(update.clone()));
        assert_eq!((reply.status, reply.text().as_str()), (200, "1"), "{update}");
        let data = percent(STANDARD.encode(group(update.clone()).to_string()).as_bytes());
        let reply = server.request("GET", &format!("/groups?ip=0&verbose=0&data={data}")).send();
        assert_eq!(reply.text(), "1", "GET {update}");
        let body = format!("data={}&verbose=1&ip=0", percent(group(update.clone()).to_string().as_bytes()));
        let reply = server.request("POST", "/groups/").body("application/x-www-form-urlencoded", body).send();
        assert_eq!(reply.json()["status"], 1, "form {update}");
    }
    for update in [json!({"$add": {"n": 1}}), json!({"$append": {"list": "a"}}), json!({}), json!({"$set": 5})] {
        assert_eq!(server.post_json("/groups", &group(update.clone())).text(), "0", "{update}");
    }
    for missing in ["$group_key", "$group_id"] {
        let mut body = group(json!({"$set": {"a": 1}}));
        body.as_object_mut().expect("an object").remove(missing);
        assert_eq!(server.post_json("/groups", &body).text(), "0", "without {missing}");
    }
    assert_eq!(server.status()["persons"], persons_before, "a group is not a person");
    assert_eq!(server.count("unique", json!({})), 1);
    server.balanced_outcomes();
}

fn see(server: &Server, who: &str) {
    server.import(&[server.event("Seen", now_ms(), who, json!({"who": who}))]);
}

fn whose(who: &str) -> Value {
    json!({"event": "Seen", "filters": [is("who", who)]})
}

fn person_update(server: &Server, who: &str, update: &Value) -> Value {
    let mut body = json!({"$token": server.project.token, "$distinct_id": who});
    for (key, value) in update.as_object().expect("an object") {
        body[key] = value.clone();
    }
    body
}

fn engage(server: &Server, who: &str, update: &Value) -> String {
    let reply = server.post_json("/engage", &person_update(server, who, update));
    assert_eq!(reply.status, 200, "{update}: {}", reply.text());
    reply.text()
}

fn expect(properties: &BTreeMap<String, Value>, expected: &Value, when: &str) {
    for (name, value) in expected.as_object().expect("an object") {
        let found = properties.get(name).cloned().unwrap_or(Value::Null);
        assert_eq!(found, plain(value), "{name}, {when}: {properties:?}");
    }
}
