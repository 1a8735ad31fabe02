//! Device and place over the wire: masked in lists, in clear for a purpose and written down, and in aggregates without
//! small groups for whoever may have no exact numbers.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::{Value, json};

use crate::colleague::{Colleague, code_of};
use crate::http::Reply;
use crate::server::{Server, now_ms, range};

fn path(server: &Server, rest: &str) -> String {
    format!("/api/v1/projects/{}/{rest}", server.project.id)
}

/// Forty persons: thirty on Linux, seven on Windows, two on an unusual system, one with none said.
fn world(server: &Server) {
    let now = now_ms();
    let system = |at: i64| match at {
        0..30 => json!({"$os": "Linux", "plan": "gold"}),
        30..37 => json!({"$os": "Windows", "plan": "gold"}),
        37..39 => json!({"$os": "Haiku", "plan": "gold"}),
        _ => json!({"plan": "gold"}),
    };
    let events: Vec<Value> =
        (0..40).map(|at| server.event("Visit", now - at * 1_000, &format!("u{at}"), system(at))).collect();
    server.import(&events);
    let set = json!({"$token": server.project.token, "$distinct_id": "u37", "$set": {"$city": "Ravenna", "seats": 3}});
    assert_eq!(server.post_json("/engage?verbose=1", &json!([set])).json()["status"], 1);
}

fn events(limit: u32) -> Value {
    json!({"kind": "events", "range": range(), "matching": {"event": "Visit"}, "limit": limit})
}

fn haiku() -> Value {
    json!([{"property": "$os", "condition": {"op": "equals", "values": ["Haiku"]}}])
}

fn asked(colleague: &Colleague<'_>, server: &Server, query: &Value) -> Reply {
    colleague.api("POST", &path(server, "query")).json(query).send()
}

fn by_system(matching: Value) -> Value {
    json!({"kind": "insights", "range": range(), "unit": "month",
        "metrics": [{"matching": matching, "measure": "total"}], "breakdown": {"by": [{"property": "$os"}], "limit": 10}})
}

/// Segments with their totals: `-` where there is none.
fn lines(reply: &Reply) -> BTreeMap<String, String> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let table = reply.json()["table"].clone();
    let series = table["series"].as_array().expect("series").iter();
    series
        .map(|line| {
            let segment = &line["segment"][0];
            let name = segment["value"].as_str().or(segment["kind"].as_str()).unwrap_or("all");
            (name.to_owned(), line["total"].as_u64().map_or("-".to_owned(), |total| total.to_string()))
        })
        .collect()
}

fn expected(lines: &[(&str, &str)]) -> BTreeMap<String, String> {
    lines.iter().map(|(name, total)| ((*name).to_owned(), (*total).to_owned())).collect()
}

#[test]
fn rows_name_device_and_place_and_do_not_show_them() {
    let server = Server::start();
    world(&server);
    let table = server.ask(&events(500));
    let rows = table["events"].as_array().expect("events");
    assert_eq!(rows.iter().filter(|row| row["masked"] == json!(["$os"])).count(), 39, "{table}");
    assert!(rows.iter().all(|row| row["properties"] == json!([{"name": "plan", "value": "gold"}])), "{table}");
    let table =
        server.ask(&json!({"kind": "persons", "range": range(), "matching": {"filters": haiku()}, "limit": 10}));
    let found = table["persons"].as_array().expect("persons").iter().find(|row| row.get("masked").is_some());
    let found = found.unwrap_or_else(|| panic!("{table}"));
    assert_eq!(found["masked"], json!(["$city"]));
    assert!(!found.to_string().contains("Ravenna") && found.to_string().contains("seats"), "{found}");

    // The feed is a list too.
    let mut stream = server.api("GET", &path(&server, "live")).open().expect("the live feed");
    let mut said = String::new();
    while !said.contains("Haiku") && said.matches("data:").count() < 40 {
        let mut some = [0; 4_096];
        let read = stream.read(&mut some).expect("more of the feed");
        said.push_str(&String::from_utf8_lossy(&some[..read]));
    }
    assert!(said.contains("\"masked\":true") && said.contains("gold"), "{said}");
    assert!(!said.contains("Haiku") && !said.contains("Linux") && !said.contains("Ravenna"), "{said}");

    // The tracking plan says what else is of device or place.
    let plan = path(&server, "plan");
    let mut changed = server.get(&plan);
    changed["properties"] = json!([{"name": "plan", "class": "C2"}]);
    let reply = server.api("PUT", &plan).json(&changed).send();
    assert!(reply.status < 300, "{}", reply.text());
    let table = server.ask(&events(1));
    assert_eq!(table["events"][0]["properties"], json!([]), "{table}");
}

#[test]
fn rows_in_clear_take_a_passkey_and_a_purpose_and_are_a_disclosure_of_whom_they_are_of() {
    let server = Server::start();
    world(&server);
    let owner = Colleague::owner(&server).with_passkey();
    let target = path(&server, "rows");
    let list = json!({"kind": "events", "range": range(), "matching": {"filters": haiku()}, "limit": 100});
    let body = json!({"query": list, "purpose": "security"});
    let reply = owner.act("POST", &target, &body);
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("no-store")), "{}", reply.text());
    let answer = reply.json();
    let rows = answer["answer"]["table"]["events"].as_array().expect("events");
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["properties"].to_string().contains("Haiku") && row.get("masked").is_none()));
    let disclosed = server.get("/api/v1/disclosed?purpose=4");
    assert_eq!(disclosed["disclosures"].as_array().map(Vec::len), Some(1), "{disclosed}");
    let disclosed = &disclosed["disclosures"][0];
    assert_eq!((&disclosed["entry"], &disclosed["fields"]), (&answer["entry"], &json!(["events"])), "{disclosed}");
    let question =
        json!({"any_of": [{"member": owner.id()}], "all_of": [], "from": "2026-01-01T00:00:00Z", "to": null});
    let exposed = owner.api("POST", "/api/v1/exposure").json(&question).send().json();
    assert_eq!(exposed["authorised"]["persons"], 2, "{exposed}");
    assert_eq!(exposed["confirmed"]["persons"], 2, "{exposed}");

    let refused = |body: Value, code: &str| {
        let reply = owner.act("POST", &target, &body);
        assert_eq!(code_of(&reply), code, "{}", reply.text());
        assert!(!reply.text().contains("Haiku"));
    };
    refused(json!({"query": by_system(json!({})), "purpose": "security"}), "invalid_query");
    refused(json!({"query": list, "purpose": "package"}), "invalid_disclosure");
    refused(json!({"query": list}), "invalid_body");

    // A list of nobody is answered, is written down, and exposes nobody.
    let nobody = json!({"kind": "events", "range": range(), "matching": {"event": "Never"}, "limit": 10});
    let reply = owner.act("POST", &target, &json!({"query": nobody, "purpose": "security"}));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.json()["entry"].as_u64() > answer["entry"].as_u64(), "{}", reply.text());
    assert_eq!(server.get("/api/v1/disclosed?purpose=4")["disclosures"].as_array().map(Vec::len), Some(1));

    // Who has the coarser form alone has no way to the other.
    let analyst = owner.invites(&["analyst"], "analyst@coffer.example").with_passkey();
    let reply = analyst.api("POST", &target).json(&body).send();
    assert_eq!((reply.status, code_of(&reply)), (403, "not_allowed".to_owned()));
}

#[test]
fn a_support_agent_reads_one_person_at_a_time() {
    let server = Server::start();
    world(&server);
    let owner = Colleague::owner(&server).with_passkey();
    let agent = owner.invites(&["support_agent"], "agent@coffer.example").with_passkey();
    let reply = asked(&agent, &server, &events(10));
    assert_eq!((reply.status, code_of(&reply)), (403, "not_allowed".to_owned()), "not without a purpose");
    let target = path(&server, "rows");
    let all = json!({"query": events(500), "purpose": "support"});
    let reply = agent.act("POST", &target, &all);
    assert_eq!((reply.status, code_of(&reply)), (429, "limit_reached".to_owned()), "forty at once");
    assert!(!reply.text().contains("Linux"));
    let person = server.ask(&events(1))["events"][0]["pseudonym"].clone();
    let mut one = events(500);
    one["person"] = person.clone();
    let reply = agent.act("POST", &target, &json!({"query": one, "purpose": "support"}));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.text().contains("Linux"));
    // A privacy officer reads lists, each with a factor.
    let officer = owner.invites(&["privacy_officer"], "officer@coffer.example").with_passkey();
    assert_eq!(officer.act("POST", &target, &all).status, 200);
}

#[test]
fn aggregates_by_device_or_place_leave_small_groups_out_for_whoever_may_have_no_exact_numbers() {
    let server = Server::start();
    world(&server);
    let owner = Colleague::owner(&server).with_passkey();
    let viewer = owner.invites(&["viewer"], "viewer@coffer.example");
    let analyst = owner.invites(&["analyst"], "analyst@coffer.example");
    let question = by_system(json!({"event": "Visit"}));
    let exact = asked(&analyst, &server, &question);
    assert_eq!(lines(&exact), expected(&[("Linux", "30"), ("Windows", "7"), ("Haiku", "2"), ("not_set", "1")]));
    assert_eq!(exact.json()["table"].get("hidden_below"), None);
    // Two and one are few, and so are the three of them: the smallest left stands with them.
    let coarse = asked(&viewer, &server, &question);
    assert_eq!(lines(&coarse), expected(&[("Linux", "30"), ("other", "10")]));
    assert_eq!(coarse.json()["table"]["hidden_below"], 5);
    // A filter is a group too, and a cohort that is made of it.
    let filtered = json!({"kind": "insights", "range": range(), "unit": "month",
        "metrics": [{"matching": {"event": "Visit", "filters": haiku()}, "measure": "total"}]});
    assert_eq!(lines(&asked(&viewer, &server, &filtered)), expected(&[("all", "-")]));
    assert_eq!(lines(&asked(&analyst, &server, &filtered)), expected(&[("all", "2")]));
    let rule = json!({"kind": "dynamic", "condition": {"kind": "did", "matching": {"event": "Visit", "filters": haiku()},
        "times": {"op": "at_least", "count": 1}}});
    let made = analyst.api("POST", &path(&server, "cohorts")).json(&json!({"name": "Unusual", "rule": rule})).send();
    assert_eq!(made.status, 201, "{}", made.text());
    let cohort = made.json()["cohort"]["id"].clone();
    let of_cohort = json!({"kind": "insights", "range": {"kind": "last", "count": 2, "unit": "day"}, "unit": "day",
        "metrics": [{"matching": {"event": "Visit"}, "measure": {"cohort_size": {"cohort": cohort}}}]});
    let reply = asked(&viewer, &server, &of_cohort);
    assert_eq!((reply.status, code_of(&reply)), (403, "device_or_place".to_owned()), "{}", reply.text());
    let of_members = json!({"kind": "insights", "range": range(), "unit": "month",
        "metrics": [{"matching": {"event": "Visit", "filters": [{"on": "cohort", "property": cohort, "condition": {"op": "is_set"}}]},
        "measure": "total"}]});
    assert_eq!(lines(&asked(&viewer, &server, &of_members)), expected(&[("all", "-")]));
    // All but two: everybody's number would tell the two.
    let others = json!([{"property": "$os", "condition": {"op": "does_not_equal", "values": ["Haiku"]}}]);
    let others = json!({"kind": "insights", "range": range(), "unit": "month",
        "metrics": [{"matching": {"event": "Visit", "filters": others}, "measure": "total"}]});
    assert_eq!(lines(&asked(&viewer, &server, &others)), expected(&[("all", "-")]));
    assert_eq!(lines(&asked(&analyst, &server, &others)), expected(&[("all", "38")]));
    assert_eq!(lines(&asked(&analyst, &server, &of_cohort)), expected(&[("all", "2")]));

    // What is not about them is as it was, and what cannot be left out step by step is refused.
    let plain = json!({"kind": "insights", "range": range(), "unit": "month",
        "metrics": [{"matching": {"event": "Visit"}, "measure": "unique"}], "breakdown": {"by": [{"property": "plan"}]}});
    assert_eq!(lines(&asked(&viewer, &server, &plain)), expected(&[("gold", "40")]));
    let step = |filters: Value| json!({"event": "Visit", "filters": filters});
    let window = json!({"count": 1, "unit": "hour"});
    let funnel = |filters| json!({"kind": "funnel", "range": range(), "steps": [step(json!([])), step(filters)], "window": window});
    let reply = asked(&viewer, &server, &funnel(haiku()));
    assert_eq!((reply.status, code_of(&reply)), (403, "device_or_place".to_owned()));
    assert_eq!(asked(&viewer, &server, &funnel(json!([]))).status, 200);
    assert_eq!(asked(&analyst, &server, &funnel(haiku())).status, 200);

    // Values to choose from are a breakdown as well.
    let values = |colleague: &Colleague<'_>| {
        let values = colleague.get(&path(&server, "properties/values?property=%24os"))["values"].clone();
        values
            .as_array()
            .expect("values")
            .iter()
            .map(|one| one["value"].as_str().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&viewer), [Some("Linux".to_owned()), Some("Windows".to_owned())]);
    assert_eq!(values(&analyst).len(), 3);

    // A program has what a viewer has.
    let made = owner.act("POST", &path(&server, "tokens/query"), &json!({"name": "Wall", "days": 1}));
    let token = made.json()["token"].as_str().expect("a token").to_owned();
    let request = server.request("POST", &path(&server, "query")).header("authorization", &format!("Bearer {token}"));
    assert_eq!(lines(&request.json(&question).send()), expected(&[("Linux", "30"), ("other", "10")]));
}
