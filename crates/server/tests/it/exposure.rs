//! What was exposed, through the door: by an account, about a person, from the command line, and the ledger verified
//! while it runs.

use serde_json::{Value, json};

use crate::colleague::Colleague;
use crate::http::Reply;
use crate::person::{access, find, path, world};
use crate::server::{EMAIL, Server};

fn ask(server: &Server, target: &str, body: &Value) -> Reply {
    server.api("POST", target).json(body).send()
}

fn exposed(server: &Server, question: &Value) -> Value {
    let reply = ask(server, "/api/v1/exposure", question);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn told(server: &Server, words: &[&str]) -> String {
    let output = server.command(words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn field<'a>(answer: &'a Value, list: &str, name: &str) -> &'a Value {
    let found = answer[list].as_array().expect("a list").iter().find(|field| field["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {answer}"))
}

#[test]
fn what_an_account_saw_is_told_exactly_by_person_and_by_field_running_and_stopped() {
    let mut server = Server::start();
    world(&server);
    let by_owner = json!({"any_of": [{"actor": EMAIL}]});
    let nothing = exposed(&server, &by_owner);
    assert_eq!((&nothing["sum"]["disclosures"], &nothing["authorised"]["persons"]), (&json!(0), &json!(0)));

    let ada = find(&server, "ada@canary.example").remove(0);
    let grace = find(&server, "grace@canary.example").remove(0);
    let owner = Colleague::owner(&server).with_passkey();
    assert_eq!(access(&server, (&owner, &owner.steward()), &ada, "ndjson").status, 200);

    // Ada is one person with three ids: two devices and the one she signed in with.
    let answer = exposed(&server, &by_owner);
    let all = json!({"persons": 1, "ids": 3, "values": 27});
    assert_eq!((&answer["authorised"], &answer["confirmed"]), (&all, &all), "{answer}");
    assert_eq!((&answer["sum"]["disclosures"], &answer["sum"]["live"]), (&json!(1), &json!(0)));
    assert_eq!(field(&answer, "fields", "email"), &json!({"name": "email", "authorised": 1, "confirmed": 1}));
    assert_eq!(field(&answer, "groups", "contact")["confirmed"], 1);
    assert_eq!(
        (&answer["projects"][0]["project"], &answer["organisations"][0]["organisation"]),
        (&json!(1), &json!(1))
    );

    // As if the time were over, or had not begun.
    for (from, to, disclosures) in
        [("2020-01-01T00:00:00Z", "2020-02-01T00:00:00Z", 0), ("2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z", 1)]
    {
        let answer = exposed(&server, &json!({"any_of": [{"member": 1}], "from": from, "to": to}));
        assert_eq!(answer["sum"]["disclosures"], disclosures);
    }
    assert_eq!(exposed(&server, &json!({"any_of": [{"purpose": 2}]}))["sum"]["disclosures"], 0);

    let of_email = json!({"question": by_owner, "project": 1, "field": "email"});
    let target = "/api/v1/exposure/persons";
    let commander = owner.invites(&["incident_commander"], "ida@coffer.example").with_passkey();
    let asked = owner.act("POST", target, &of_email);
    assert_eq!(asked.json()["due_at"], Value::Null);
    let waiting = server.get("/api/v1/waiting").to_string();
    assert!(waiting.contains("list_persons") && !waiting.contains(EMAIL), "{waiting}");
    commander.agrees(&asked);
    let persons = owner.act("POST", target, &of_email);
    drop((owner, commander));
    assert_eq!(persons.json(), json!({"count": 1, "persons": [ada], "next": null}), "{}", persons.text());

    let listed = server.get("/api/v1/disclosed?purpose=1");
    let disclosed = &listed["disclosures"][0];
    assert_eq!((&disclosed["actor"]["name"], &disclosed["actor"]["member"]), (&json!("Olivia Owner"), &json!(1)));
    assert_eq!((&disclosed["purpose_name"], &disclosed["state"]), (&json!("subject_access"), &json!("done")));
    let pseudonym = disclosed["actor"]["pseudonym"].as_str().expect("a pseudonym");
    assert_eq!(server.get(&format!("/api/v1/disclosed?actor={pseudonym}"))["disclosures"][0], *disclosed);
    assert_eq!(server.get("/api/v1/disclosed?purpose=2")["disclosures"], json!([]));
    let about = |person: &str| server.get(&path(&server, &format!("persons/{person}/disclosures")));
    assert_eq!(about(&ada)["disclosures"], json!([disclosed]));
    assert_eq!(about(&grace)["disclosures"], json!([]));
    assert!(!listed.to_string().to_lowercase().contains("canary"));

    // The command asks the server that runs, and reads the folder of one that does not; the index may be gone.
    let words = ["exposed", "--actor", EMAIL, "--from", "2020-01-01T00:00:00Z"];
    let text = told(&server, &words);
    assert!(text.contains("confirmed sent: 1 persons, 27 values of 3 ids"), "{text}");
    assert!(text.contains("email: 1 persons, 1 confirmed"), "{text}");
    let of_ada = told(&server, &["exposed", "--person", &ada, "--project", "1"]);
    assert!(of_ada.contains("Olivia Owner, subject_access, project 1, 3 ids:"), "{of_ada}");
    assert_eq!(told(&server, &["exposed", "--person", &grace, "--project", "1"]).trim(), "nothing");
    server.stop();
    let offline = told(&server, &[&words[..], &["--json"]].concat());
    let offline: Value = serde_json::from_str(&offline).expect("JSON");
    assert_eq!((&offline["authorised"], &offline["fields"]), (&answer["authorised"], &answer["fields"]));
    std::fs::remove_dir_all(server.data().join("exposure")).expect("the index");
    server.start_again();
    let again = exposed(&server, &by_owner);
    assert_eq!((&again["authorised"], &again["sum"]), (&answer["authorised"], &answer["sum"]));
}

#[test]
fn a_question_about_something_that_is_not_there_says_so() {
    let server = Server::start();
    let status = |target: &str, body: Value| ask(&server, target, &body).status;
    let by = |cause: Value| json!({"any_of": [cause]});
    assert_eq!(status("/api/v1/exposure", by(json!({"actor": "nobody@coffer.example"}))), 404);
    assert_eq!(status("/api/v1/exposure", by(json!({"member": 2}))), 404);
    assert_eq!(status("/api/v1/exposure", by(json!({"project": 2}))), 404);
    assert_eq!(status("/api/v1/exposure", by(json!({"session": "not-one"}))), 400);
    assert_eq!(status("/api/v1/exposure", json!({"from": "yesterday"})), 400);
    let many: Vec<Value> = (0..101).map(|_| json!({"purpose": 1})).collect();
    assert_eq!(status("/api/v1/exposure", json!({"any_of": many})), 400);
    let owner = Colleague::owner(&server).with_passkey();
    let listed = |body: Value| owner.act("POST", "/api/v1/exposure/persons", &body).status;
    assert_eq!(listed(json!({"question": {}, "project": 2})), 404);
    assert_eq!(listed(json!({"question": {}, "project": 1, "field": "shoe size"})), 404);
    let get = |target: &str| server.api("GET", target).send().status;
    assert_eq!(get("/api/v1/disclosed?person=per_00000000000000000000000000000000"), 400);
    assert_eq!(get(&path(&server, "persons/per_00000000000000000000000000000000/disclosures")), 404);
    for (method, target) in
        [("POST", "/api/v1/exposure"), ("GET", "/api/v1/disclosed"), ("POST", "/api/v1/ledger/verify")]
    {
        let request = server.request(method, target).header("origin", &server.origin());
        assert_eq!(request.json(&json!({})).send().status, 401, "{target}");
    }
    let output = server.command(&["exposed"]);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("--actor EMAIL"));
}

#[test]
fn the_ledger_of_a_running_server_is_verified_while_somebody_looks_on() {
    let server = Server::start();
    for at in 0..5 {
        server.create_project(&format!("Further {at}"), "simplified");
    }
    let verify = || {
        let reply = server.api("POST", "/api/v1/ledger/verify").send();
        assert_eq!(reply.status, 200, "{}", reply.text());
        let lines = reply.text();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines[0]["kind"], "progress");
        lines.last().expect("an end").clone()
    };
    let end = verify();
    assert_eq!((&end["kind"], &end["is_sound"], &end["wrong"]), (&json!("end"), &json!(true), &json!([])), "{end}");
    assert!(end["entries"].as_u64().expect("a number") >= 7, "{end}");
    // Origin, size and root are the first lines of what was signed.
    let checkpoint = end["checkpoint"].as_str().expect("a checkpoint");
    assert_eq!(checkpoint.lines().nth(2), end["root"].as_str());

    let bundle = std::fs::read_dir(server.data().join("ledger/tile/entries/000.p")).expect("a partial bundle");
    for file in bundle {
        let path = file.expect("an entry").path();
        let mut bytes = std::fs::read(&path).expect("a bundle");
        bytes[5] ^= 1;
        std::fs::write(path, bytes).expect("written");
    }
    let end = verify();
    assert_eq!(end["is_sound"], false);
    assert!(end["wrong"][0].as_str().is_some_and(|what| what.starts_with("entry 0 ")), "{end}");
}
