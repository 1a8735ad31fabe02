//! `cofferdam demo`, small: the world comes in through the public door, the printed sign-in opens the console, the
//! reports show the world, and a later start finds it again.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use totp_rs::{Builder, Secret};

use crate::http::Request;
use crate::server::binary;

const DEVELOPERS: &str = "600";
const EVENTS: &str = "20000";

fn demo(data: &Path) -> String {
    let output = binary()
        .args(["demo", "--exit", "--quiet", "--listen", "127.0.0.1:0", "--organisations", "30"])
        .args(["--developers", DEVELOPERS, "--events", EVENTS, "--data"])
        .arg(data)
        .output()
        .expect("the demo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn printed<'a>(output: &'a str, label: &str) -> &'a str {
    let line = output.lines().find(|line| line.trim_start().starts_with(label)).expect(label);
    line.trim_start().trim_start_matches(label).trim()
}

#[test]
fn the_demo_prints_a_sign_in_that_shows_its_world() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("demo");
    let first = demo(&data);
    let (email, password, key) = (printed(&first, "E-mail"), printed(&first, "Password"), printed(&first, "Key"));
    let again = demo(&data);
    assert_eq!(printed(&again, "Password"), password, "a later start keeps the world");
    assert!(!again.contains("events, "), "nothing was made again: {again}");

    let checked = binary().args(["verify", "--data"]).arg(&data).output().expect("verify runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));

    let mut server = binary()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the server starts");
    let port = listening(&mut server);
    let result = std::panic::catch_unwind(|| look_around(port, email, password, key));
    server.kill().expect("it was running");
    server.wait().expect("it ends");
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn listening(server: &mut std::process::Child) -> u16 {
    use std::io::BufRead;
    let stdout = server.stdout.take().expect("a pipe");
    let line = std::io::BufReader::new(stdout).lines().next().expect("a line").expect("text");
    line.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
}

fn look_around(port: u16, email: &str, password: &str, key: &str) {
    let secret = Secret::try_from_base32(key).expect("a TOTP key");
    let totp = Builder::new().with_secret(secret).build_noncompliant();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    // The set-up used up a code moments ago; the next one is accepted ahead of its time.
    let code = totp.generate(now + 30).to_string();
    let origin = format!("http://127.0.0.1:{port}");
    let reply = Request::new(port, "POST", "/api/v1/session")
        .header("Origin", &origin)
        .json(&json!({"email": email, "password": password, "code": code}))
        .send();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let cookie = reply.header("set-cookie").expect("a session").split(';').next().expect("a pair").to_owned();
    let get = |path: &str| Request::new(port, "GET", path).header("Cookie", &cookie).send().json();
    let project = get("/api/v1/projects")["projects"][0]["id"].clone();
    let status = get(&format!("/api/v1/projects/{project}/status"));
    let events: f64 = EVENTS.parse().expect("a number");
    let stored = status["events"].as_f64().expect("a count");
    assert!((stored / events - 1.0).abs() < 0.2, "{stored} events for about {events}");
    let ask = |query: Value| {
        let path = format!("/api/v1/projects/{project}/query");
        let reply =
            Request::new(port, "POST", &path).header("Origin", &origin).header("Cookie", &cookie).json(&query).send();
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["table"].clone()
    };
    let range = json!({"kind": "last", "count": 90, "unit": "day"});
    let signed_up = ask(json!({"kind": "insights", "range": range, "unit": "week",
    "metrics": [
        {"matching": {"event": "Signed Up"}, "measure": "unique"},
        {"matching": {"event": "Signed Up"}, "measure": "total"},
    ]}));
    let (persons, events) = (&signed_up["series"][0]["total"], &signed_up["series"][1]["total"]);
    assert_eq!(persons, events, "each developer signs up once");
    // Some signed up before the world's first day.
    let all: u64 = DEVELOPERS.parse().expect("a number");
    assert!((all / 2..=all).contains(&persons.as_u64().expect("a count")), "{persons}");
    let funnel = ask(json!({"kind": "funnel", "range": range, "window": {"count": 30, "unit": "day"},
        "steps": [{"event": "Page Viewed"}, {"event": "Signed Up"}, {"event": "First API Call"}]}));
    let persons: Vec<u64> = funnel["overall"]["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|step| step["count"].as_u64().expect("a count"))
        .collect();
    assert!(persons[0] > persons[1] && persons[1] > persons[2] && persons[2] > 0, "visits became users: {persons:?}");
    let retention = ask(json!({"kind": "retention", "range": range, "born": {"event": "Signed Up"}, "returned": {},
        "unit": "week", "intervals": 6, "mode": "on", "alignment": "calendar"}));
    assert!(retention["average"][1].as_f64().expect("a share") > 0.1, "{}", retention["average"]);
}
