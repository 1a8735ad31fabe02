//! Incidents from outside: the API, the page that anybody sees, and the commands.

use std::io::Read;

use serde_json::{Value, json};

use crate::colleague::Colleague;
use crate::http::Reply;
use crate::server::{Server, now_ms};

/// Nobody listens there: what is queued stays.
const MAIL: &[&str] = &["--smtp", "smtp://127.0.0.1:9", "--mail-from", "privacy@coffer.example"];

fn ok(reply: &Reply) -> Value {
    assert!((200..300).contains(&reply.status), "{} {}", reply.status, reply.text());
    reply.json()
}

fn lines(server: &Server, words: &[&str]) -> Vec<String> {
    let output = server.command(words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// A server that has keys to sign mail with, and two persons.
fn server() -> Server {
    let mut server = Server::start();
    let profiles = ["ada", "ben"].map(
        |id| json!({"$token": server.project.token, "$distinct_id": id, "$set": {"$email": format!("{id}@b.example")}}),
    );
    assert_eq!(server.post_json("/engage?verbose=1", &Value::from(profiles.to_vec())).status, 200);
    server.stop();
    let first = lines(&server, &["notices", "keys", "--domain", "coffer.example"]);
    assert!(first[1].starts_with("cofferdam-rsa._domainkey.coffer.example. IN TXT \"v=DKIM1; k=rsa; p="), "{first:?}");
    let again = lines(&server, &["notices", "keys", "--domain", "coffer.example"]);
    assert_eq!(first[1..], again[1..], "keys stay");
    let records = server.scratch("records");
    std::fs::write(&records, first[1..].join("\n")).unwrap();
    let words = ["notices", "preflight", "--domain", "coffer.example", "--records", &records.display().to_string()];
    let output = server.command(&words);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        !output.status.success() && text.contains("SPF: ") && text.contains("DMARC: ") && !text.contains("DKIM: "),
        "{text}"
    );
    server.with_more(MAIL);
    server.start_again();
    server
}

#[test]
fn an_incident_goes_from_its_opening_to_a_first_signature_and_no_further_by_one_person() {
    let server = server();
    let now_us = now_ms() * 1_000;
    let open =
        json!({"cause": "member", "account": "vendor", "service": "Shop", "occurred_us": [now_us - 10, now_us - 5]});
    let owner = Colleague::owner(&server).with_passkey();
    assert_eq!(server.api("POST", "/api/v1/incidents").json(&open).send().status, 401, "a session is not enough");
    let incident = ok(&owner.act("POST", "/api/v1/incidents", &open));
    let id = incident["id"].as_u64().unwrap();
    let base = format!("/api/v1/incidents/{id}");
    assert_eq!(server.get("/api/v1/incidents")["incidents"][0], server.get(&base));
    let deadlines = server.get(&format!("{base}/deadlines"));
    assert!(
        deadlines["deadlines"].as_array().unwrap().iter().any(|one| one["within"] == "72 h" && one["due_us"].is_i64())
    );
    let list = json!({"from": "list", "project": server.project.id, "ids": ["ada", "ben", "eve"], "fields": ["email"]});
    let scope = ok(&owner.act("POST", &format!("{base}/scopes"), &list));
    assert_eq!((&scope["persons"], &scope["fields"]), (&json!(2), &json!(["email"])));
    let draft = ok(&server.api("POST", &format!("{base}/notices/draft")).json(&json!({"language": "es"})).send());
    let texts = draft["texts"].as_array().unwrap();
    assert_eq!(texts.iter().map(|text| text["recipients"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    assert!(texts[1]["text"].as_str().unwrap().contains("- dirección de correo electrónico"), "{draft}");
    let (sign, spanish) = (format!("{base}/notices/sign"), json!({"language": "es"}));
    assert_eq!(server.api("POST", &sign).json(&spanish).send().status, 401);
    assert_eq!(ok(&owner.act("POST", &sign, &spanish))["signed"], "first");
    let again = owner.act("POST", &sign, &spanish);
    assert_eq!(again.status, 400, "the same member once more: {}", again.text());
    assert!(server.get(&format!("{base}/notices"))["versions"].as_array().unwrap().is_empty());
    let anybody = server.request("GET", &base).send();
    assert_eq!(anybody.status, 401);
}

#[test]
fn a_limit_opens_an_incident_that_is_contained_scoped_packed_and_told_by_two() {
    let server = server();
    let owner = Colleague::owner(&server).with_passkey();
    let ida = owner.invites(&["incident_commander"], "ida@coffer.example").with_passkey();
    let bob = owner.invites(&["support_agent"], "bob@coffer.example").with_passkey();
    let (bob_id, project) = (bob.id(), server.project.id);
    let find = |address: &str| {
        bob.api("POST", &format!("/api/v1/projects/{project}/persons/find")).json(&json!({"address": address})).send()
    };
    let person = ok(&find("ada@b.example"))["persons"][0].as_str().expect("a pseudonym").to_owned();
    let reveal = format!("/api/v1/projects/{project}/persons/{person}/reveal");
    assert!(
        bob.act("POST", &reveal, &json!({"field": "email", "purpose": "support"})).text().contains("ada@b.example")
    );
    assert!(ida.get("/api/v1/alarms")["alarms"].as_array().unwrap().is_empty());
    let statuses: Vec<u16> = (0..6).map(|at| find(&format!("nobody{at}@b.example")).status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 403]);

    // It is open by itself, and whoever is in charge is told.
    let alarms = ida.get("/api/v1/alarms");
    let alarm = &alarms["alarms"][0];
    assert_eq!((&alarm["kind"], &alarm["rule"]), (&json!("tripped"), &json!("guessing")), "{alarms}");
    assert_eq!((&alarm["member"], &alarm["is_contained"]), (&json!(bob_id), &json!(false)));
    assert_eq!(bob.get("/api/v1/alarms"), json!({"alarms": []}));
    let base = format!("/api/v1/incidents/{}", alarm["incident"]);
    let incident = ida.get(&base);
    assert_eq!((&incident["cause"], &incident["times"]["detected_us"]), (&json!("limit"), &alarm["at_us"]));
    assert_eq!((&incident["trip"]["by_member"], &incident["times"]["aware_us"]), (&json!(bob_id), &Value::Null));

    // Contained, by one.
    let contain = format!("{base}/contain");
    let plan = ida.get(&contain);
    let suspects = plan["suspects"].as_array().unwrap();
    assert_eq!((&suspects[0]["target"], &plan["staff"]), (&json!({"kind": "member", "member": bob_id}), &json!(3)));
    let office = suspects.iter().find(|one| one["target"]["kind"] == "seen_address").expect("where bob came from");
    assert_eq!(office["left_out"], "own_address", "all come from this machine");
    assert_eq!(ida.api("POST", &contain).json(&json!({})).send().status, 401, "a session is not enough");
    let contained = ok(&ida.act("POST", &contain, &json!({})));
    assert_eq!(contained["locks"][0]["target"], json!({"kind": "member", "member": bob_id}), "{contained}");
    assert_eq!(contained["incident"]["containments"][0]["sessions"], 1);
    assert_eq!(contained["incident"]["measures"], json!(["locked", "sessions"]));
    assert_eq!(bob.api("GET", "/api/v1/limits").send().status, 401);
    assert_eq!(bob.signs_in_with_passkey().status, 403);
    assert_eq!(ida.get("/api/v1/alarms")["alarms"][0]["is_contained"], true);
    let told = lines(&server, &["incident", "contain", "--incident", "1", "--network", "203.0.113.0/24"]);
    assert!(told[0].starts_with("incident 1 is contained: 1 locks, 0 streams broken off"), "{told:?}");

    // Scoped, exactly.
    let question = json!({"from": "exposure", "question": {"any_of": [{"member": bob_id}]}});
    let scope = ok(&ida.act("POST", &format!("{base}/scopes"), &question));
    assert_eq!((&scope["persons"], &scope["fields"]), (&json!(1), &json!(["email"])));
    let now_us = now_ms() * 1_000;
    ok(&ida.act("POST", &base, &json!({"occurred_us": [now_us - 600_000_000, now_us - 1_000_000]})));

    // Packed, by two, for one key.
    let identity = age::x25519::Identity::generate();
    let asked = json!({"recipient": identity.to_public().to_string()});
    let packages = format!("{base}/package");
    assert_eq!(ida.api("POST", &packages).json(&asked).send().status, 403, "who agrees asks for none");
    let waits = owner.act("POST", &packages, &asked);
    assert_eq!(waits.status, 202, "{}", waits.text());
    let waiting = waits.json()["waiting"].clone();
    assert_eq!(server.get(&packages)["package"]["waiting"], waiting);
    assert_eq!(ida.act("POST", &format!("/api/v1/waiting/{waiting}/agree"), &json!({})).status, 204);
    let package = owner.act("POST", &packages, &asked);
    assert_eq!((package.status, package.header("cache-control")), (200, Some("no-store")), "{}", package.text());
    assert!(!package.text().contains("ada@"), "in clear it is nowhere");
    let out = server.scratch("package");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("package.tar"), &package.body).unwrap();
    let untar = std::process::Command::new("tar").args(["-xf", "package.tar"]).current_dir(&out).output().unwrap();
    assert!(untar.status.success(), "{}", String::from_utf8_lossy(&untar.stderr));
    let sealed = std::fs::read(out.join("incident-1-version-1/scope.csv.age")).unwrap();
    let mut list = String::new();
    let decryptor = age::Decryptor::new(&sealed[..]).unwrap();
    let mut reader = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).unwrap();
    reader.read_to_string(&mut list).unwrap();
    assert!(list.lines().count() == 2 && list.contains(&format!("\"ada\",{person},email,")), "{list}");

    // Told, by two.
    let (sign, english) = (format!("{base}/notices/sign"), json!({"language": "en"}));
    assert_eq!(ok(&owner.act("POST", &sign, &english))["signed"], "first");
    assert_eq!(ok(&ida.act("POST", &sign, &english))["signed"], "published");
    let versions = ida.get(&format!("{base}/notices"));
    assert_eq!(versions["versions"][0]["total"], 4, "one person, and three members: {versions}");

    // Opened again, by two.
    let open = format!("/api/v1/locks/{}/open", contained["locks"][0]["lock"]);
    let asked = ida.act("POST", &open, &json!({}));
    assert_eq!(asked.status, 202, "{}", asked.text());
    let agree = format!("/api/v1/waiting/{}/agree", asked.json()["waiting"]);
    assert_eq!(ida.act("POST", &agree, &json!({})).status, 403, "not by the same");
    assert_eq!(owner.act("POST", &agree, &json!({})).status, 204);
    assert_eq!(bob.signs_in_with_passkey().status, 200);
}

#[test]
fn the_page_is_for_everybody_once_it_is_public_and_has_nothing_that_runs_or_is_fetched() {
    let server = server();
    let opened = server.command(&["incident", "open", "--service", "<b>Shop</b>", "--drill"]);
    assert!(String::from_utf8_lossy(&opened.stdout).contains("incident 1 is open"));
    assert_eq!(server.request("GET", "/incidents/1").send().status, 404);
    let owner = Colleague::owner(&server).with_passkey();
    ok(&owner.act("POST", "/api/v1/incidents/1", &json!({"make_public": true})));
    let page = loop {
        // That there was nothing is remembered for some seconds.
        let page = server.request("GET", "/incidents/1").header("accept-language", "it-IT,en;q=0.5").send();
        if page.status == 200 {
            break page;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    let text = page.text();
    assert!(text.contains("Questa è un’esercitazione") && text.contains("&lt;b&gt;Shop&lt; b&gt;"), "{text}");
    for never in ["<script", "<img", "<b>", "http://", "https://", "@import", "url("] {
        assert!(!text.contains(never), "{never}");
    }
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'; style-src 'sha256-"));
    assert!(page.header("cache-control").unwrap().starts_with("public"));
    assert_eq!(page.header("set-cookie"), None);
    assert!(server.request("GET", "/incidents").send().text().contains("/incidents/1?lang=en"));
    assert_eq!(server.request("GET", "/incidents/1/proofs/0").send().status, 404);
    let typed = |code: &str| {
        let form = format!("code={code}");
        server.request("POST", "/incidents/1?lang=en").body("application/x-www-form-urlencoded", form).send()
    };
    let answer = typed("0000-0000-0000");
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    assert!(answer.text().contains("This is none of our codes"));
    let statuses: Vec<u16> = (0..30).map(|_| typed("0000-0000-0000").status).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(typed(&"0".repeat(5_000)).status, 413);
}
