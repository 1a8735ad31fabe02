//! Who may do what, over real HTTP: every route, role and organisation; passkeys, step-ups, sessions, recovery,
//! second persons, locks and tokens.

use std::collections::BTreeMap;
use std::io::Read;

use serde_json::{Value, json};

use crate::colleague::{Colleague, code_of, cookies, origin, other_organisation};
use crate::http::Reply;
use crate::server::{PASSWORD, Server, now_ms};

const MATRIX: &str = include_str!("../../../model/policy_matrix.csv");
const CONTROLS: &str = include_str!("../../../model/policy_controls.csv");

const ROLES_OF_MEMBERS: [&str; 13] = [
    "org_owner",
    "org_admin",
    "project_admin",
    "viewer",
    "analyst",
    "support_agent",
    "privacy_officer",
    "data_steward",
    "incident_commander",
    "responder",
    "auditor",
    "vendor_manager",
    "developer",
];

/// The golden tables, by everything before the cell.
fn cells() -> BTreeMap<String, String> {
    let lines = MATRIX.lines().skip(1).chain(CONTROLS.lines().skip(1));
    lines.filter_map(|line| line.rsplit_once(',')).map(|(at, cell)| (at.to_owned(), cell.to_owned())).collect()
}

/// The cell for what a route says it needs.
fn cell(cells: &BTreeMap<String, String>, role: &str, needs: &str) -> String {
    let found = match needs.split(' ').collect::<Vec<&str>>()[..] {
        ["account"] => return "A".to_owned(),
        ["account,", "shown", "again"] => return "S".to_owned(),
        // The body of the walk lists rows of nothing in particular.
        // Members do it by asking, not by a token.
        ["bound", _] => return "-".to_owned(),
        // Rows that take a factor have a route of their own.
        ["ask"] => match cells.get(&format!("{role},C1,read_row")).map(String::as_str) {
            Some("S" | "SQ") => return "-".to_owned(),
            _ => format!("{role},C1,read_row"),
        },
        ["control", control] => format!("{role},{control}"),
        ["deed", deed, class] => format!("{role},{class},{deed}"),
        // A coarser form will not do.
        ["clear", deed, class] => match cells.get(&format!("{role},{class},{deed}")).map(String::as_str) {
            Some("A:masked") => return "-".to_owned(),
            _ => format!("{role},{class},{deed}"),
        },
        _ => panic!("a need that is not known: {needs}"),
    };
    cells.get(&found).unwrap_or_else(|| panic!("no cell for {found}")).clone()
}

/// Every route of the document: method, path, what it needs.
fn routes(server: &Server) -> Vec<(String, String, String)> {
    let document = server.get("/openapi.json");
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let needs =
                operation["x-needs"].as_str().unwrap_or_else(|| panic!("{method} {path} says not what it needs"));
            routes.push((method.to_uppercase(), path.clone(), needs.to_owned()));
        }
    }
    routes
}

/// A path with a project in it, and other numbers that nothing has.
fn filled(path: &str, project: u64) -> String {
    let path = path.replace("{project}", &project.to_string());
    let parts: Vec<&str> = path.split('/').map(|part| if part.starts_with('{') { "4000000" } else { part }).collect();
    let path = parts.join("/");
    if path.ends_with("/properties/values") { format!("{path}?property=plan") } else { path }
}

/// Status and code of the answer to a request; of a stream, once it has begun.
fn answer(colleague: &Colleague<'_>, method: &str, target: &str) -> (u16, String) {
    let request = colleague.api(method, target);
    let request = if method == "GET" { request } else { request.json(&json!({})) };
    if target.ends_with("/live") {
        let mut head = [0; 12];
        request.open().expect("a connection").read_exact(&mut head).expect("a status line");
        let status = std::str::from_utf8(&head[9..]).expect("digits").parse().expect("a status");
        // The rest of a stream is not waited for.
        let code = [(403, "not_allowed"), (404, "not_found")].into_iter().find(|(of, _)| *of == status);
        return (status, code.map(|(_, code)| code.to_owned()).unwrap_or_default());
    }
    let reply = request.send();
    let code = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default()["error"]["code"].clone();
    (reply.status, code.as_str().unwrap_or_default().to_owned())
}

#[test]
fn every_route_answers_every_role_as_the_table_says() {
    let server = Server::start();
    let owner = Colleague::owner(&server).with_passkey();
    let project = server.project.id;
    let (cells, routes) = (cells(), routes(&server));
    assert!(routes.len() > 50, "{} routes", routes.len());
    // Somebody who can be a second person.
    let admin = owner.invites(&["org_admin"], "admin@coffer.example").with_passkey();
    let mut walked = 0;
    for role in ROLES_OF_MEMBERS {
        let email = format!("{role}@coffer.example");
        let colleague = if matches!(role, "data_steward" | "vendor_manager") {
            let colleague = owner.invites(&["viewer"], &email);
            let target = format!("/api/v1/members/{}/roles", colleague.id());
            let asked = owner.act("PUT", &target, &json!({"roles": [role]}));
            assert_eq!(asked.status, 202, "more than the owner has: {}", asked.text());
            let target = format!("/api/v1/waiting/{}/agree", asked.json()["waiting"]);
            assert_eq!(admin.act("POST", &target, &json!({})).status, 204);
            colleague
        } else {
            owner.invites(&[role], &email)
        };
        assert_eq!(colleague.get("/api/v1/session")["user"]["roles"], json!([role]));
        for (method, path, needs) in &routes {
            // Signing out would end the walk; whoever is signed in needs no other way in.
            if needs == "anyone" {
                continue;
            }
            let (status, code) = answer(&colleague, method, &filled(path, project));
            let cell = cell(&cells, role, needs);
            let refused = (403, "not_allowed".to_owned());
            let got = (status, code);
            match &*cell {
                "A" | "A:masked" => {
                    assert!(got != refused && status != 401 && status < 500, "{role} {method} {path}: {got:?}");
                }
                "S" | "SQ" | "S1" | "S2" if method != "GET" => {
                    assert_eq!(got, (401, "step_up_required".to_owned()), "{role} {method} {path}, {cell}");
                }
                _ => assert_eq!(got, refused, "{role} {method} {path}, {cell}"),
            }
            walked += 1;
        }
    }
    assert!(walked > 600, "{walked} cells");
}

#[test]
fn a_developer_looks_into_test_projects_only() {
    let server = Server::start();
    let owner = Colleague::owner(&server).with_passkey();
    let body = json!({"name": "Try-out", "time_zone": "UTC", "identity_mode": "simplified", "is_test": true});
    let made = owner.api("POST", "/api/v1/projects").json(&body).send().json();
    let developer = owner.invites(&["developer"], "dev@coffer.example");
    let projects = developer.get("/api/v1/projects");
    assert_eq!(projects["projects"].as_array().map(Vec::len), Some(1), "{projects}");
    assert_eq!(projects["projects"][0]["id"], made["id"]);
    developer.get(&format!("/api/v1/projects/{}/status", made["id"]));
    let reply = developer.api("GET", &format!("/api/v1/projects/{}/status", server.project.id)).send();
    assert_eq!((reply.status, code_of(&reply)), (403, "not_allowed".to_owned()));
}

#[test]
fn another_organisations_objects_are_missing_like_those_that_never_were() {
    let server = Server::start();
    let owner = Colleague::owner(&server).with_passkey();
    let stranger =
        Colleague::join(&server, &other_organisation(&server, "Elsewhere"), "chief@elsewhere.example").with_passkey();
    assert_eq!(stranger.get("/api/v1/projects"), json!({"projects": []}));
    let project = server.project.id;
    for (method, path, _) in routes(&server).iter().filter(|(_, path, _)| path.contains("{project}")) {
        let theirs = answer(&stranger, method, &filled(path, project));
        assert_eq!(theirs, (404, "not_found".to_owned()), "{method} {path}");
        assert_eq!(theirs, answer(&stranger, method, &filled(path, 3_999_999)), "{method} {path}");
    }
    // Everything else that has a number, made by the first organisation.
    let colleague = owner.invites(&["viewer"], "viewer@coffer.example");
    let member = colleague.id();
    let invitation = owner.act("POST", "/api/v1/invitations", &json!({"roles": ["viewer"]})).json()["id"].clone();
    let passkey = owner.get("/api/v1/account/passkeys")["passkeys"][0]["id"].clone();
    let session = owner.get("/api/v1/account/sessions")["sessions"][0]["number"].clone();
    let target = json!({"targets": [{"kind": "address", "address": "192.0.2.9"}], "reason": "suspicion"});
    let lock = owner.act("POST", "/api/v1/locks", &target).json()["locks"][0].clone();
    let asked = owner.act("POST", &format!("/api/v1/locks/{lock}/open"), &json!({}));
    let waiting = asked.json()["waiting"].clone();
    assert!(waiting.is_u64(), "{}", asked.text());
    let acts = [
        ("PUT", format!("/api/v1/members/{member}/roles"), json!({"roles": ["viewer"]})),
        ("POST", format!("/api/v1/members/{member}/remove"), json!({})),
        ("POST", format!("/api/v1/invitations/{invitation}/withdraw"), json!({})),
        ("POST", format!("/api/v1/account/passkeys/{passkey}/remove"), json!({})),
        ("POST", format!("/api/v1/locks/{lock}/open"), json!({})),
        ("POST", format!("/api/v1/waiting/{waiting}/agree"), json!({})),
        ("POST", format!("/api/v1/waiting/{waiting}/alone"), json!({})),
        (
            "POST",
            "/api/v1/locks".to_owned(),
            json!({"targets": [{"kind": "member", "member": member}], "reason": "left"}),
        ),
        (
            "POST",
            "/api/v1/locks".to_owned(),
            json!({"targets": [{"kind": "session", "session": session}], "reason": "left"}),
        ),
    ];
    for (method, target, body) in acts {
        let reply = stranger.act(method, &target, &body);
        assert_eq!((reply.status, code_of(&reply)), (404, "not_found".to_owned()), "{method} {target}");
    }
    let reply = stranger.api("DELETE", &format!("/api/v1/account/sessions/{session}")).send();
    assert_eq!(reply.status, 404);
    let reply =
        stranger.api("PUT", &format!("/api/v1/account/passkeys/{passkey}")).json(&json!({"name": "Mine"})).send();
    assert_eq!(reply.status, 404);
    assert_eq!(stranger.api("POST", &format!("/api/v1/waiting/{waiting}/withdraw")).send().status, 404);
    assert_eq!(stranger.get("/api/v1/locks"), json!({"locks": []}));
    assert_eq!(stranger.get("/api/v1/members")["members"].as_array().map(Vec::len), Some(1));
    assert_eq!(colleague.id(), member, "and nothing happened");
}

#[test]
fn a_step_up_is_for_one_request_once_and_a_changed_byte_is_another_request() {
    let server = Server::start();
    let owner = Colleague::owner(&server).with_passkey();
    let (method, target) = ("POST", "/api/v1/invitations");
    let body = json!({"roles": ["viewer"]});
    let proof = owner.sign(&owner.challenge(method, target, &body));
    let refused = |reply: Reply, what: &str| {
        assert_eq!((reply.status, code_of(&reply)), (403, "step_up_refused".to_owned()), "{what}");
    };
    refused(owner.with(method, target, &json!({"roles": ["auditor"]}), &proof), "other roles");
    refused(owner.with(method, target, &body, &proof), "it was tried elsewhere");
    let proof = owner.sign(&owner.challenge(method, target, &body));
    assert_eq!(owner.with(method, target, &body, &proof).status, 201);
    refused(owner.with(method, target, &body, &proof), "the same again");
    let proof = owner.sign(&owner.challenge(method, target, &body));
    refused(owner.with("POST", "/api/v1/account/recovery-codes", &json!({}), &proof), "another act");

    // Signed in this session's name by somebody else's key, and in another session.
    let other = owner.invites(&["org_admin"], "admin@coffer.example").with_passkey();
    let asked = owner.challenge(method, target, &body);
    refused(owner.with(method, target, &body, &other.sign(&asked)), "another member's key");
    let proof = other.sign(&owner.challenge(method, target, &body));
    refused(other.with(method, target, &body, &proof), "another session's challenge");
}

#[test]
fn of_many_requests_at_once_with_one_signature_one_gets_through() {
    let server = Server::start();
    let owner = Colleague::owner(&server).with_passkey();
    // One whose counter says nothing.
    let mut body = json!({"roles": ["viewer"]});
    owner.key.borrow_mut().as_mut().expect("a passkey").is_counting = false;
    body["step_up"] = owner.sign(&owner.challenge("POST", "/api/v1/invitations", &body));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let requests: Vec<_> = (0..40)
            .map(|_| owner.api("POST", "/api/v1/invitations").json(&body))
            .map(|request| scope.spawn(move || request.send().status))
            .collect();
        requests.into_iter().map(|request| request.join().expect("an answer")).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(owner.get("/api/v1/invitations")["invitations"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_passkey_that_lies_about_anything_is_refused_and_a_copied_one_is_written_down() {
    let mut server = Server::start();
    let owner = Colleague::owner(&server).with_passkey();
    let signs_in = |twist: &dyn Fn(&mut crate::authenticator::Authenticator)| {
        let asked = owner.api("POST", "/api/v1/session/passkey/begin").send().json();
        let mut key = owner.key.borrow_mut();
        let key = key.as_mut().expect("a passkey");
        twist(key);
        let proof = key.sign(&asked, &origin(&server));
        (key.flags, key.host, key.is_bogus) = (crate::authenticator::PRESENT_AND_VERIFIED, None, false);
        owner.api("POST", "/api/v1/session/passkey").json(&proof).send().status
    };
    assert_eq!(signs_in(&|_| {}), 200);
    assert_eq!(signs_in(&|key| key.flags = 0b001), 401, "not verified");
    assert_eq!(signs_in(&|key| key.flags = 0b100), 401, "not present");
    assert_eq!(signs_in(&|key| key.is_bogus = true), 401, "signed by nobody");
    assert_eq!(signs_in(&|key| key.host = Some("evil.example".to_owned())), 401, "for another place");
    assert_eq!(signs_in(&|key| key.count = 0), 401, "a counter that went back");
    assert_eq!(signs_in(&|key| key.count = 100), 200);
    let asked = owner.api("POST", "/api/v1/session/passkey/begin").send().json();
    let proof = owner.key.borrow_mut().as_mut().expect("a passkey").sign(&asked, "http://localhost:1");
    assert_eq!(owner.api("POST", "/api/v1/session/passkey").json(&proof).send().status, 401, "another origin");
    let proof = owner.sign(&asked);
    assert_eq!(owner.api("POST", "/api/v1/session/passkey").json(&proof).send().status, 401, "its challenge was shown");
    let made_up = json!({"challenge": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "rp_id": "localhost"});
    assert_eq!(owner.api("POST", "/api/v1/session/passkey").json(&owner.sign(&made_up)).send().status, 401, "made up");
    let kinds = ledger_kinds(&mut server);
    assert_eq!(kinds.iter().filter(|kind| *kind == "PasskeyCopied").count(), 1, "{kinds:?}");
}

/// Kinds of all entries of the ledger, as `ledger verify --entry` prints them. Stops the server.
fn ledger_kinds(server: &mut Server) -> Vec<String> {
    let size = metric(server, "cofferdam_ledger_entries");
    server.stop();
    let folder = server.data();
    let key = {
        let output = server.command(&["ledger", "key"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    (0..size).map(|entry| kind_of_entry(&folder.join("ledger"), &key, entry)).collect()
}

fn kind_of_entry(ledger: &std::path::Path, key: &str, entry: u64) -> String {
    let output = crate::server::binary()
        .args(["ledger", "verify", "--entry", &entry.to_string(), "--key", key, "--folder"])
        .arg(ledger)
        .output()
        .expect("a run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.split(": ").nth(1).and_then(|rest| rest.split(',').next()).expect("a kind").to_owned()
}

fn metric(server: &Server, name: &str) -> u64 {
    let text = server.request("GET", "/metrics").send().text();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
}

#[test]
fn a_new_passkey_takes_an_old_factor_and_everybody_sees_it_in_the_ledger() {
    let mut server = Server::start();
    let owner = Colleague::owner(&server);
    let begin = "/api/v1/account/passkeys/begin";
    let mut key = crate::authenticator::Authenticator::new();
    let made_up = json!({"challenge": "AAAA", "rp_id": "localhost", "user_id": "AAAA"});
    let reply = owner.api("POST", "/api/v1/account/passkeys").json(&key.create(&made_up, &origin(&server))).send();
    assert_eq!((reply.status, code_of(&reply)), (400, "passkey_refused".to_owned()), "nothing was begun");
    let asked = owner.challenge("POST", begin, &json!({}));
    assert_eq!(asked["takes_password_and_code"], true);
    assert_eq!(owner.with("POST", begin, &json!({}), &owner.password_and_code("000000")).status, 403);

    let owner = owner.with_passkey();
    let asked = owner.challenge("POST", begin, &json!({}));
    assert_eq!(asked["takes_password_and_code"], false, "the passkey is the old factor now");
    let reply = owner.with("POST", begin, &json!({}), &owner.password_and_code("000000"));
    assert_eq!((reply.status, code_of(&reply)), (403, "passkey_needed".to_owned()));
    let shown = owner.get("/api/v1/account/passkeys")["passkeys"][0].clone();
    assert_eq!(shown["name"], "A key in software");
    let target = format!("/api/v1/account/passkeys/{}", shown["id"]);
    assert_eq!(owner.api("PUT", &target).json(&json!({"name": "Laptop"})).send().status, 204);
    assert_eq!(owner.get("/api/v1/account/passkeys")["passkeys"][0]["name"], "Laptop");
    let reply = owner.signs_in_with_passkey();
    assert_eq!(reply.status, 200, "{}", reply.text());
    *owner.cookies.borrow_mut() = cookies(&reply);
    assert_eq!(owner.act("POST", &format!("{target}/remove"), &json!({})).status, 204);
    assert_eq!(owner.signs_in_with_passkey().status, 401);
    let kinds = ledger_kinds(&mut server);
    for kind in ["PasskeyAdded", "PasskeyRemoved"] {
        assert!(kinds.iter().any(|entry| entry == kind), "no {kind} in {kinds:?}");
    }
}

#[test]
fn nobody_raises_themselves_and_nobody_alone_gives_away_what_they_lack() {
    let server = Server::start();
    let owner = Colleague::owner(&server).with_passkey();
    let admin = owner.invites(&["org_admin"], "admin@coffer.example").with_passkey();
    let other = owner.invites(&["org_admin"], "other@coffer.example").with_passkey();
    let viewer = owner.invites(&["viewer"], "viewer@coffer.example");
    let roles = |colleague: &Colleague<'_>| format!("/api/v1/members/{}/roles", colleague.id());
    let code = |reply: Reply| (reply.status, code_of(&reply));
    let own = admin.act("PUT", &roles(&admin), &json!({"roles": ["org_admin", "privacy_officer"]}));
    assert_eq!(code(own), (403, "own_roles".to_owned()));
    for role in ["privacy_officer", "analyst", "org_owner"] {
        let reply = admin.act("POST", "/api/v1/invitations", &json!({"roles": [role]}));
        assert_eq!(code(reply), (403, "roles_beyond_own".to_owned()), "{role}");
    }
    for roles in [json!([]), json!(["svc_ingest"]), json!(["data_subject"])] {
        let reply = owner.act("POST", "/api/v1/invitations", &json!({"roles": roles}));
        assert_eq!(code(reply), (400, "invalid_roles".to_owned()));
    }
    assert_eq!(code(admin.act("PUT", &roles(&owner), &json!({"roles": ["viewer"]}))), (403, "owner_only".to_owned()));
    assert_eq!(code(owner.act("PUT", &roles(&owner), &json!({"roles": ["viewer"]}))), (403, "own_roles".to_owned()));
    assert_eq!(
        code(owner.act("POST", &format!("/api/v1/members/{}/remove", owner.id()), &json!({}))),
        (409, "last_owner".to_owned())
    );

    // What the administrator lacks takes somebody else, who is not whom it is about.
    let asked = admin.act("PUT", &roles(&viewer), &json!({"roles": ["analyst"]}));
    assert_eq!(asked.status, 202, "{}", asked.text());
    assert!(asked.json()["due_at"].is_null(), "somebody else is there");
    let agree = format!("/api/v1/waiting/{}/agree", asked.json()["waiting"]);
    assert_eq!(code(admin.act("POST", &agree, &json!({}))), (403, "not_a_second_person".to_owned()));
    let alone = agree.replace("agree", "alone");
    assert_eq!(code(admin.act("POST", &alone, &json!({}))), (409, "not_due".to_owned()));
    assert_eq!(viewer.get("/api/v1/session")["user"]["roles"], json!(["viewer"]));
    assert_eq!(other.act("POST", &agree, &json!({})).status, 204);
    assert_eq!(viewer.get("/api/v1/session")["user"]["roles"], json!(["analyst"]), "in the session it has");
    assert_eq!(other.act("POST", &agree, &json!({})).status, 404, "once");

    // A second account of the same mailbox is no second person.
    let alias = owner.invites(&["org_admin"], "admin+two@coffer.example").with_passkey();
    let asked = admin.act("PUT", &roles(&viewer), &json!({"roles": ["support_agent"]}));
    let agree = format!("/api/v1/waiting/{}/agree", asked.json()["waiting"]);
    assert_eq!(code(alias.act("POST", &agree, &json!({}))), (403, "not_a_second_person".to_owned()));
}

#[test]
fn whoever_is_removed_is_out_at_once_and_an_invitation_works_once() {
    let server = Server::start();
    let owner = Colleague::owner(&server).with_passkey();
    let invited = owner.act("POST", "/api/v1/invitations", &json!({"roles": ["analyst"]})).json();
    let code = invited["code"].as_str().expect("a code");
    let colleague = Colleague::join(&server, code, "leaver@coffer.example").with_passkey();
    let reply = server
        .request("POST", "/api/v1/invitations/open")
        .header("origin", &server.origin())
        .json(&json!({"code": code, "email": "second@coffer.example"}))
        .send();
    assert_eq!((reply.status, code_of(&reply)), (403, "wrong_invitation".to_owned()));
    let target = format!("/api/v1/projects/{}/tokens/query", server.project.id);
    let made = colleague.act("POST", &target, &json!({"name": "Theirs", "days": 9})).json();
    let token = made["token"].as_str().expect("a token").to_owned();
    let status = format!("/api/v1/projects/{}/status", server.project.id);
    let by_token = || server.request("GET", &status).header("authorization", &format!("Bearer {token}")).send().status;
    assert_eq!(by_token(), 200);

    let members = owner.get("/api/v1/members");
    assert_eq!(members["members"][1]["email"], "leaver@coffer.example", "{members}");
    let target = format!("/api/v1/members/{}/remove", members["members"][1]["id"]);
    assert_eq!(owner.act("POST", &target, &json!({})).status, 204);
    assert_eq!(colleague.api("GET", "/api/v1/projects").send().status, 401);
    assert_eq!(colleague.signs_in_with_passkey().status, 401);
    assert_eq!(by_token(), 401, "what they made for themselves");
    assert_eq!(owner.get("/api/v1/members")["members"].as_array().map(Vec::len), Some(1));
    // Their number is nobody's again.
    let next = owner.invites(&["viewer"], "leaver@coffer.example");
    assert_eq!(next.id(), 3);
}

#[test]
fn sessions_are_listed_and_end_when_they_are_told_to_and_a_new_sign_in_ends_the_browsers_old_one() {
    let server = Server::start();
    let owner = Colleague::owner(&server).with_passkey();
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let elsewhere = || {
        let request = |target: &str| server.request("POST", target).header("origin", &server.origin());
        let asked = request("/api/v1/session/passkey/begin").send().json();
        let reply = request("/api/v1/session/passkey").header("user-agent", agent).json(&owner.sign(&asked)).send();
        assert_eq!(reply.status, 200, "{}", reply.text());
        cookies(&reply)
    };
    let (first, second) = (elsewhere(), elsewhere());
    let is_in = |cookie: &str| server.request("GET", "/api/v1/projects").header("cookie", cookie).send().status;
    assert_eq!((is_in(&first), is_in(&second)), (200, 200));
    let list = owner.get("/api/v1/account/sessions");
    let sessions = list["sessions"].as_array().expect("sessions");
    assert_eq!(sessions.len(), 3, "{list}");
    assert_eq!((&sessions[0]["browser"], &sessions[0]["factor"]), (&json!("Firefox 140 on Linux"), &json!("passkey")));
    assert_eq!((&sessions[2]["is_this"], &sessions[2]["factor"]), (&json!(true), &json!("totp")));
    let target = format!("/api/v1/account/sessions/{}", sessions[1]["number"]);
    assert_eq!(owner.api("DELETE", &target).send().status, 204);
    assert_eq!((is_in(&first), is_in(&second)), (401, 200));
    assert_eq!(owner.api("DELETE", "/api/v1/account/sessions").send().json(), json!({"ended": 1}));
    assert_eq!(is_in(&second), 401);

    let old = owner.cookies.borrow().clone();
    let reply = owner.signs_in_with_passkey();
    assert_eq!(reply.status, 200);
    assert_eq!((is_in(&old), is_in(&cookies(&reply))), (401, 200), "the number is a new one");
    let many: Vec<String> = (0..11).map(|_| elsewhere()).collect();
    assert_eq!((is_in(&many[0]), is_in(&many[1])), (401, 200), "the eleventh ends the first");
}

#[test]
fn a_lost_phone_and_key_take_the_password_and_a_recovery_code_which_works_once_and_opens_nothing() {
    let server = Server::start();
    let owner = Colleague::owner(&server).with_passkey();
    let codes = owner.act("POST", "/api/v1/account/recovery-codes", &json!({})).json();
    let codes: Vec<String> = serde_json::from_value(codes["codes"].clone()).expect("codes");
    assert_eq!(codes.len(), 10);
    let email = owner.email.clone();
    let sign_in = |password: &str, code: &str| {
        let body = json!({"email": email, "password": password, "code": code});
        server.request("POST", "/api/v1/session").header("origin", &server.origin()).json(&body).send()
    };
    assert_eq!(sign_in("not the password at all", &codes[0]).status, 401);
    let reply = sign_in(PASSWORD, &codes[0].to_uppercase());
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(sign_in(PASSWORD, &codes[0]).status, 401, "once");
    *owner.cookies.borrow_mut() = cookies(&reply);
    assert_eq!(owner.get("/api/v1/account/sessions")["sessions"][0]["factor"], "recovery_code");
    assert_eq!(owner.get("/api/v1/account/recovery-codes"), json!({"left": 9}));
    // A new passkey, by the password and another code; the next list is shown once more.
    let proof = owner.password_and_code(&codes[1]);
    let owner = owner.adds_passkey(&proof);
    assert_eq!(owner.act("POST", "/api/v1/account/recovery-codes", &json!({})).status, 201);
    assert_eq!(sign_in(PASSWORD, &codes[2]).status, 401, "the old list is void");
}

#[test]
fn a_lock_holds_at_once_over_a_restart_and_takes_two_to_open() {
    let mut server = Server::start();
    let lock;
    {
        let owner = Colleague::owner(&server).with_passkey();
        let responder = owner.invites(&["responder"], "resp@coffer.example").with_passkey();
        let suspect = owner.invites(&["analyst"], "suspect@coffer.example").with_passkey();
        let live = format!("/api/v1/projects/{}/live", server.project.id);
        let mut stream = suspect.api("GET", &live).open().expect("a stream");
        let mut head = [0; 12];
        stream.read_exact(&mut head).expect("a status line");
        let body = json!({"targets": [{"kind": "member", "member": suspect.id()}], "reason": "suspicion"});
        let reply = responder.act("POST", "/api/v1/locks", &body);
        assert_eq!(reply.status, 201, "{}", reply.text());
        lock = reply.json()["locks"][0].as_u64().expect("a number");
        assert_eq!(suspect.api("GET", "/api/v1/projects").send().status, 401, "its session is over");
        let reply = suspect.signs_in_with_passkey();
        assert_eq!((reply.status, code_of(&reply)), (403, "locked".to_owned()));
        // The feed ends with the first record it would have carried.
        server.import(&[server.event("Late", now_ms(), "u1", json!({}))]);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the end of the stream");
        assert!(!String::from_utf8_lossy(&rest).contains("Late"));
        // Nobody locks the last one who could unlock.
        let own = json!([{"kind": "network", "network": "0.0.0.0/0"}]);
        let reply = responder.act("POST", "/api/v1/locks", &json!({"targets": own, "reason": "drill"}));
        assert_eq!((reply.status, code_of(&reply)), (400, "own_address".to_owned()));
        let both = json!([{"kind": "member", "member": owner.id()}, {"kind": "member", "member": responder.id()}]);
        let reply = responder.act("POST", "/api/v1/locks", &json!({"targets": both, "reason": "drill"}));
        assert_eq!((reply.status, code_of(&reply)), (409, "nobody_could_unlock".to_owned()));
    }
    server.kill();
    server.start_again();
    let owner = Colleague::owner(&server);
    let locks = owner.get("/api/v1/locks");
    assert_eq!((&locks["locks"][0]["id"], locks["locks"].as_array().map(Vec::len)), (&json!(lock), Some(1)));
    assert_eq!(owner.get("/api/v1/members")["members"][2]["is_locked"], true);
}

#[test]
fn two_who_may_open_a_lock_and_what_locks_everybody_ends_everything() {
    let server = Server::start();
    let owner = Colleague::owner(&server).with_passkey();
    let commander = owner.invites(&["incident_commander"], "ic@coffer.example").with_passkey();
    let suspect = owner.invites(&["viewer"], "suspect@coffer.example").with_passkey();
    let body = json!({"targets": [{"kind": "member", "member": suspect.id()}], "reason": "incident"});
    let lock = commander.act("POST", "/api/v1/locks", &body).json()["locks"][0].clone();
    let asked = commander.act("POST", &format!("/api/v1/locks/{lock}/open"), &json!({}));
    assert_eq!(asked.status, 202, "{}", asked.text());
    assert_eq!(suspect.signs_in_with_passkey().status, 403);
    let agree = format!("/api/v1/waiting/{}/agree", asked.json()["waiting"]);
    assert_eq!(commander.act("POST", &agree, &json!({})).status, 403);
    assert_eq!(owner.act("POST", &agree, &json!({})).status, 204);
    assert_eq!(suspect.signs_in_with_passkey().status, 200);

    let target = format!("/api/v1/projects/{}/tokens/query", server.project.id);
    let token = owner.act("POST", &target, &json!({"name": "Nightly", "days": 30})).json()["token"].clone();
    let everybody = json!({"targets": [{"kind": "everybody"}], "reason": "incident"});
    assert_eq!(commander.act("POST", "/api/v1/locks", &everybody).status, 201);
    for colleague in [&owner, &commander, &suspect] {
        assert_eq!(colleague.api("GET", "/api/v1/projects").send().status, 401);
    }
    let bearer = format!("Bearer {}", token.as_str().expect("a token"));
    let status = format!("/api/v1/projects/{}/status", server.project.id);
    assert_eq!(server.request("GET", &status).header("authorization", &bearer).send().status, 401);
    let reply = owner.signs_in_with_passkey();
    assert_eq!(reply.status, 200, "a passkey brings back: {}", reply.text());
    let back = server.request("GET", "/api/v1/projects").header("cookie", &cookies(&reply)).send();
    assert_eq!(back.status, 200, "{}", back.text());
}

#[test]
fn a_token_does_what_it_is_for_from_where_it_may_until_it_is_exchanged_or_revoked() {
    let server = Server::start();
    let owner = Colleague::owner(&server).with_passkey();
    let other = server.create_project("Other", "simplified");
    let base = format!("/api/v1/projects/{}", server.project.id);
    let make = |body: Value| {
        let reply = owner.act("POST", &format!("{base}/tokens/query"), &body);
        assert_eq!(reply.status, 201, "{}", reply.text());
        let made = reply.json();
        (made["number"].clone(), made["token"].as_str().expect("a token").to_owned())
    };
    let (number, token) = make(json!({"name": "Nightly", "days": 30}));
    let with = |token: &str, method: &str, target: &str, body: &Value| {
        let request = server.request(method, target).header("authorization", &format!("Bearer {token}"));
        if method == "GET" { request.send() } else { request.json(body).send() }
    };
    let range = crate::server::range();
    let insights =
        json!({"kind": "insights", "range": range, "unit": "month", "metrics": [{"matching": {}, "measure": "total"}]});
    let events = json!({"kind": "events", "range": range, "matching": {}, "limit": 10});
    let query = format!("{base}/query");
    assert_eq!(with(&token, "POST", &query, &insights).status, 200, "what it is for");
    assert_eq!(with(&token, "GET", &format!("{base}/status"), &Value::Null).status, 200);
    for (method, target, body) in [
        ("POST", query.clone(), events),
        ("GET", format!("{base}/live"), Value::Null),
        ("GET", format!("{base}/tokens"), Value::Null),
        ("GET", "/api/v1/members".to_owned(), Value::Null),
        ("GET", "/api/v1/projects".to_owned(), Value::Null),
        ("POST", format!("{base}/persons/find"), json!({"address": "a@b.io"})),
        ("POST", format!("{base}/erasures"), json!({"ids": ["a"], "reason": "request"})),
        ("POST", "/api/v1/account/passkeys/begin".to_owned(), json!({})),
    ] {
        let reply = with(&token, method, &target, &body);
        assert_eq!((reply.status, code_of(&reply)), (403, "not_allowed".to_owned()), "{method} {target}");
    }
    let reply = with(&token, "GET", &format!("/api/v1/projects/{}/status", other.id), &Value::Null);
    assert_eq!(reply.status, 404, "another project of the same organisation");
    assert_eq!(
        with(&server.project.token, "GET", &format!("{base}/status"), &Value::Null).status,
        401,
        "the public one"
    );

    let (_, elsewhere) = make(json!({"name": "Office", "days": 30, "network": "192.0.2.0/24"}));
    assert_eq!(with(&elsewhere, "GET", &format!("{base}/status"), &Value::Null).status, 401);
    let (_, here) = make(json!({"name": "Here", "days": 30, "network": "127.0.0.0/8"}));
    assert_eq!(with(&here, "GET", &format!("{base}/status"), &Value::Null).status, 200);

    let rotated = owner.act("POST", &format!("{base}/tokens/{number}/rotate"), &json!({})).json();
    let new = rotated["token"].as_str().expect("a token");
    for good in [new, &token] {
        assert_eq!(with(good, "GET", &format!("{base}/status"), &Value::Null).status, 200, "for a minute both");
    }
    let reply = owner.api("POST", &format!("{base}/tokens/{number}/revoke")).send();
    assert_eq!(reply.status, 204, "{}", reply.text());
    for bad in [new, &token] {
        assert_eq!(with(bad, "GET", &format!("{base}/status"), &Value::Null).status, 401);
    }
    let shown = owner.get(&format!("{base}/tokens"));
    assert_eq!(shown["tokens"].as_array().map(Vec::len), Some(3));
    assert!(!shown.to_string().contains(new) && !server.log().windows(64).any(|text| text == &new.as_bytes()[10..]));
}

#[test]
fn strangers_who_guess_lock_out_neither_a_known_browser_nor_a_passkey() {
    let server = Server::start();
    let owner = Colleague::owner(&server).with_passkey();
    // A browser that signed in before.
    let known = cookies(&owner.signs_in_with_passkey());
    let attempt = |cookie: &str, password: &str, code: &str| {
        let body = json!({"email": owner.email, "password": password, "code": code});
        let request = server.request("POST", "/api/v1/session").header("origin", &server.origin());
        request.header("cookie", cookie).json(&body).send().status
    };
    let mut statuses: Vec<u16> = (0..7).map(|_| attempt("", "wrong wrong wrong", "123456")).collect();
    assert_eq!(statuses.split_off(5), [429, 429]);
    assert_eq!(statuses, [401; 5]);
    assert_eq!(
        attempt(&known, "a typo in it, by a person", "123456"),
        401,
        "the known browser is asked, not sent away"
    );
    assert_eq!(owner.signs_in_with_passkey().status, 200);
}
