//! The door: what a tracking plan holds back and how that is decided about, what is found in stored events, and what
//! becomes of addresses.

use std::process::Command;

use serde_json::{Value, json};

use crate::colleague::Colleague;
use crate::server::{Options, Server, now_ms};

/// Properties of the one event of a name, as reports have them.
fn stored(server: &Server, event: &str) -> Value {
    let table = server.ask(&json!({
        "kind": "events", "range": {"kind": "last", "count": 2, "unit": "day"}, "matching": {"event": event}, "limit": 10,
    }));
    let rows = table["events"].as_array().expect("a list of events");
    assert_eq!(rows.len(), 1, "{table}");
    let properties = rows[0]["properties"].as_array().expect("properties").iter();
    properties.map(|entry| (entry["name"].as_str().expect("a name").to_owned(), entry["value"].clone())).collect()
}

fn track(server: &Server, target: &str, event: &str, more: Value) {
    let reply = server.post_json(target, &server.event(event, now_ms(), "u", more));
    assert_eq!(reply.json()["status"], 1, "{}", reply.text());
}

fn path(server: &Server, rest: &str) -> String {
    format!("/api/v1/projects/{}/{rest}", server.project.id)
}

#[test]
fn a_strict_plan_holds_back_what_it_does_not_know_until_somebody_decides() {
    let server = Server::start();
    let plan = json!({"mode": "strict", "properties": [{"name": "plan", "class": "C1", "type": "string"}]});
    let reply = server.api("PUT", &path(&server, "plan")).json(&plan).send();
    assert_eq!((reply.status, &reply.json()["mode"]), (200, &json!("strict")));
    track(&server, "/track?verbose=1", "One", json!({"plan": "gold", "shade": "red", "nick": "ada@example.com"}));
    assert_eq!(stored(&server, "One"), json!({"plan": "gold"}));

    let held = server.get(&path(&server, "quarantine"));
    let names: Vec<(&str, u64, &str)> = held["properties"]
        .as_array()
        .expect("properties")
        .iter()
        .map(|entry| {
            let text = |value: &Value| value.as_str().expect("a text").to_owned().leak() as &str;
            (text(&entry["name"]), entry["values"].as_u64().expect("a count"), text(&entry["shapes"][0]["detector"]))
        })
        .collect();
    assert_eq!(names, [("nick", 1, "email"), ("shade", 1, "nothing")]);
    assert!(!held.to_string().contains("red") && !held.to_string().contains("ada@"), "a value is shown");

    let decide =
        |act: &str, body: Value| server.api("POST", &path(&server, &format!("quarantine/{act}"))).json(&body).send();
    let released = decide("release", json!({"property": "nick", "class": "C3"}));
    assert_eq!(released.json(), json!({"sealed": 1, "destroyed": 0}), "{}", released.text());
    assert_eq!(decide("purge", json!({"property": "shade"})).json(), json!({"destroyed": 1}));
    assert_eq!(decide("purge", json!({"property": "shade"})).status, 404);
    assert_eq!(server.get(&path(&server, "quarantine"))["properties"], json!([]));

    let open = server.api("PUT", &path(&server, "plan/mode")).json(&json!({"mode": "open"})).send();
    assert_eq!(open.status, 200, "{}", open.text());
    track(&server, "/track?verbose=1", "Two", json!({"plan": "gold", "shade": "red", "nick": "ada"}));
    assert_eq!(stored(&server, "Two"), json!({"plan": "gold", "shade": "red"}));
}

#[test]
fn a_class_goes_up_at_once_and_never_down() {
    let server = Server::start();
    track(&server, "/track?verbose=1", "One", json!({"mood": "fine"}));
    let set = |class: &str| {
        server.api("PUT", &path(&server, "properties/class")).json(&json!({"property": "mood", "class": class})).send()
    };
    assert_eq!(set("C4").status, 204);
    track(&server, "/track?verbose=1", "Two", json!({"mood": "fine"}));
    assert_eq!(stored(&server, "Two"), json!({}));
    let lower = set("C1");
    assert_eq!((lower.status, &lower.json()["error"]["code"]), (400, &json!("class_lowered")));
    let empty = server.api("PUT", &path(&server, "plan")).json(&json!({"properties": []})).send();
    assert_eq!((empty.status, &empty.json()["error"]["code"]), (400, &json!("class_lowered")));
    let known = server.get(&path(&server, "properties"));
    let mood = known["properties"].as_array().expect("a list").iter().find(|entry| entry["name"] == "mood");
    let mood = mood.expect("it was seen");
    assert_eq!((&mood["class"], &mood["action"], &mood["detector"]), (&json!("C4"), &json!("sealed"), &json!("plan")));
}

#[test]
fn what_history_has_of_a_property_is_found_and_taken_out() {
    let mut server = Server::with(Options::FLUSHING);
    let many: Vec<Value> = (0..600)
        .map(|at| {
            server.event("Old", now_ms() - 7_200_000, &format!("p{}", at % 30), json!({"mood": "fine", "plan": "gold"}))
        })
        .collect();
    server.import(&many);
    assert_eq!(server.get(&path(&server, "scan"))["findings"], json!([]));
    let raised =
        server.api("PUT", &path(&server, "properties/class")).json(&json!({"property": "mood", "class": "C4"}));
    assert_eq!(raised.send().status, 204);
    let scan = server.get(&path(&server, "scan"));
    let expected = json!({"events": 600, "findings": [{
        "property": "mood", "class": "C4", "detector": "plan", "events": 600, "subjects": 30, "carried": [],
    }], "is_cut": false});
    assert_eq!(scan, expected);
    let remove = |class: &str| {
        server.api("POST", &path(&server, "scan/remove")).json(&json!({"property": "mood", "class": class})).send()
    };
    assert_eq!(remove("C1").status, 400);
    let removed = remove("C4");
    assert_eq!(removed.status, 204, "{}", removed.text());
    assert_eq!(server.get(&path(&server, "scan"))["findings"], json!([]));
    assert_eq!(server.by("Old", "mood").values().sum::<u64>(), 0);
    assert_eq!(server.by("Old", "plan")["gold"], 600);

    // The same as a command, on the data of a server that is not running.
    server.stop();
    let id = server.project.id.to_string();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_cofferdam"))
            .args(arguments)
            .args(["--project", &id, "--data", &server.data().to_string_lossy()])
            .output()
            .expect("the command runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(run(&["scan"]), "600 events looked at, 0 findings\n");
    let printed: Value = serde_json::from_str(&run(&["plan"])).expect("a plan");
    assert_eq!(printed["properties"][0]["name"], "mood");
    assert!(run(&["scan", "--apply", "plan=C3"]).starts_with("plan: out of stored events"));
    server.start_again();
    assert_eq!(server.by("Old", "plan").values().sum::<u64>(), 0);
}

#[test]
fn events_and_values_of_a_class_are_kept_as_long_as_the_plan_says() {
    const DAY_MS: i64 = 86_400_000;
    let server = Server::with(Options::FLUSHING);
    let days = [100, 40, 20, 1];
    let event = |at: i64, day: i64| {
        server.event("Old", now_ms() - day * DAY_MS, &format!("p{}", at % 7), json!({"$os": "Linux", "plan": "gold"}))
    };
    let many: Vec<Value> = days.iter().flat_map(|day| (0..150).map(move |at| event(at, *day))).collect();
    server.import(&many);
    // What single values are found to be decides about them, and not about how long the others are kept.
    let odd = json!({"plan": "https://shop.example/x?y=z", "$os": "ada@shop.example"});
    server.import(&[server.event("Odd", now_ms() - DAY_MS, "p1", odd)]);
    let apart = server.api("PUT", &path(&server, "plan")).json(&json!({"keep": {"events_days": 60}})).send();
    assert_eq!((apart.status, &apart.json()["error"]["code"]), (400, &json!("keep_apart")));
    let owner = Colleague::owner(&server).with_passkey();
    let keep = |keep: Value| owner.act("PUT", &path(&server, "plan/keep"), &keep);
    for wrong in [json!({"events_days": 0}), json!({"class_days": {"C4": 3}}), json!({"class_days": {"C2": 40_000}})] {
        let refused = keep(wrong);
        assert_eq!((refused.status, &refused.json()["error"]["code"]), (400, &json!("invalid_plan")));
    }
    let kept = keep(json!({"events_days": 60, "class_days": {"C2": 30}}));
    assert_eq!(kept.status, 200, "{}", kept.text());
    assert_eq!(server.get(&path(&server, "plan"))["keep"], json!({"events_days": 60, "class_days": {"C2": 30}}));
    assert_eq!(server.api("POST", "/api/v1/compact").send().status, 200);
    assert_eq!(server.by("Old", "plan")["gold"], 450, "those of a hundred days ago are gone");
    assert_eq!(server.by("Old", "$os")["Linux"], 300, "where it came from is gone of the oldest left");
    // A change of the rest leaves it.
    assert_eq!(server.api("PUT", &path(&server, "plan")).json(&json!({"properties": []})).send().status, 200);
    assert_eq!(server.api("PUT", &path(&server, "plan/mode")).json(&json!({"mode": "strict"})).send().status, 200);
    assert_eq!(server.get(&path(&server, "plan"))["keep"]["events_days"], 60);
}

#[test]
fn an_address_becomes_a_country_only_when_the_sender_asks() {
    let server = Server::with(Options { arguments: &["--proxies", "1"], ..Options::PLAIN });
    // RIPE NCC's own network, in the Netherlands.
    let from = |event: &str, target: &str, header: &str| {
        let event = server.event(event, now_ms(), "u", json!({}));
        let reply = server.request("POST", target).header("x-forwarded-for", header).json(&event).send();
        assert_eq!(reply.json()["status"], 1, "{}", reply.text());
    };
    from("Asked", "/track?verbose=1&ip=1", "193.0.6.139");
    let country = |event: &str| server.by(event, "mp_country_code").into_keys().collect::<Vec<_>>();
    assert_eq!(country("Asked"), ["NL"]);
    from("Claimed", "/track?verbose=1&ip=1", "193.0.6.139, 127.0.0.1");
    assert_eq!(country("Claimed"), [""; 0], "what a sender claims in the header counts");
    from("Not asked", "/track?verbose=1&ip=0", "193.0.6.139");
    assert_eq!(country("Not asked"), [""; 0]);
    track(&server, "/track?verbose=1", "Own", json!({"ip": "193.0.6.139"}));
    assert_eq!(country("Own"), ["NL"]);
    track(&server, "/track?verbose=1", "Said", json!({"ip": "193.0.6.139", "mp_country_code": "ES"}));
    assert_eq!(country("Said"), ["ES"]);
}
