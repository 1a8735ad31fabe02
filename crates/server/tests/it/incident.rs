//! Incidents from outside: the API, the page that anybody sees, and the commands.

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
