//! Keys from the outside: a start without the root key, organisations that are sealed, backups that come back.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use age::secrecy::ExposeSecret;
use serde_json::json;

use crate::server::{Server, binary, now_ms};

const PASSPHRASE: &str = "seven gulls over the harbour wall";

/// Runs a command of the binary on a server's folder, with a text on standard input.
fn command(data: &Path, words: &[&str], input: &str) -> Output {
    let mut child = binary()
        .args(words)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

fn done(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refused(output: Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn send(server: &Server, id: &str) -> u16 {
    let event = server.event("Sent", now_ms(), id, json!({"email": format!("{id}@coffer.example")}));
    server.request("POST", "/import?strict=1").basic(&server.project.token, "").json(&json!([event])).send().status
}

#[test]
fn a_server_without_its_key_takes_and_tells_nothing_until_it_is_brought() {
    let mut server = Server::start();
    assert_eq!(send(&server, "before"), 200);
    server.stop();
    let data = server.data();
    done(command(&data, &["keys", "rotate", "root", "--passphrase"], PASSPHRASE));
    assert!(!data.join("root.key").exists());
    server.start_again();
    for (method, path) in [("POST", "/track"), ("GET", "/api/v1/session"), ("GET", "/"), ("GET", "/healthz")] {
        let reply = server.request(method, path).send();
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("30")), "{path}");
        assert!(reply.text().to_lowercase().contains("sealed"), "{path}: {}", reply.text());
    }
    assert_eq!(send(&server, "meanwhile"), 503);
    assert!(done(command(&data, &["keys", "status"], "")).contains("sealed: needs the passphrase"));
    let wrong = refused(command(&data, &["keys", "unseal"], "seven gulls over the harbour mole"));
    assert!(wrong.contains("this is not the passphrase"), "{wrong}");
    assert_eq!(server.request("GET", "/healthz").send().status, 503);
    done(command(&data, &["keys", "unseal"], PASSPHRASE));
    assert_eq!(server.total("Sent"), 1, "what was acknowledged is there");
    assert_eq!(send(&server, "after"), 200);
    assert_eq!(server.total("Sent"), 2);
    let log = String::from_utf8_lossy(&server.log()).into_owned();
    assert!(!log.contains("gulls"), "{log}");
}

#[test]
fn custodians_open_a_server_one_share_at_a_time() {
    let mut server = Server::start();
    assert_eq!(send(&server, "before"), 200);
    server.stop();
    let data = server.data();
    let out = server.scratch("custodians");
    let custodians: Vec<age::x25519::Identity> = (0..3).map(|_| age::x25519::Identity::generate()).collect();
    let identities: Vec<PathBuf> = custodians
        .iter()
        .enumerate()
        .map(|(at, custodian)| {
            let path = server.scratch(&format!("identity-{at}"));
            std::fs::write(&path, custodian.to_string().expose_secret()).expect("a file");
            path
        })
        .collect();
    let recipients: Vec<String> = custodians.iter().map(|custodian| custodian.to_public().to_string()).collect();
    let give_out = |words: &[&str], out: &Path| {
        let mut words: Vec<&str> = words.to_vec();
        let out = out.display().to_string();
        words.extend(["--shares", "2/3", "--out", &out, "--to"]);
        words.extend(recipients.iter().map(String::as_str));
        done(command(&data, &words, ""))
    };
    let share = |out: &Path, at: usize| out.join(format!("share-{}.age", at + 1)).display().to_string();
    let identity = |at: usize| identities[at].display().to_string();
    give_out(&["keys", "rotate", "root"], &out);
    // Two of them make new ones, and the first set opens nothing any more.
    let newer = server.scratch("newer");
    let old = [
        "--share",
        &share(&out, 0),
        "--identity",
        &identity(0),
        "--share",
        &share(&out, 2),
        "--identity",
        &identity(2),
    ]
    .map(str::to_owned);
    let mut words = vec!["keys", "reshare"];
    words.extend(old.iter().map(String::as_str));
    give_out(&words, &newer);

    server.start_again();
    assert_eq!(send(&server, "meanwhile"), 503);
    let unseal =
        |out: &Path, at: usize| command(&data, &["keys", "unseal", &share(out, at), "--identity", &identity(at)], "");
    assert!(refused(unseal(&out, 0)).contains("the share belongs to set"));
    assert!(done(unseal(&newer, 1)).contains("1 of 2 shares are here"));
    assert!(done(unseal(&newer, 1)).contains("1 of 2 shares are here"), "a share given twice counts once");
    assert_eq!(send(&server, "meanwhile"), 503);
    assert!(done(unseal(&newer, 2)).contains("the server is open"));
    assert_eq!(send(&server, "after"), 200);
    assert_eq!(server.total("Sent"), 2);
}

#[test]
fn a_sealed_organisation_gets_and_gives_nothing_and_its_streams_end() {
    let mut server = Server::start();
    assert_eq!(send(&server, "before"), 200);
    let target = format!("/api/v1/projects/{}/live", server.project.id);
    let mut stream = server.api("GET", &target).header("accept", "text/event-stream").open().expect("a stream");
    let data = server.data();
    done(command(&data, &["keys", "seal", "--organisation", "1"], ""));
    let mut rest = Vec::new();
    // It ends by itself, without waiting for the end of a connection's life.
    stream.read_to_end(&mut rest).expect("the stream ends");
    let query = json!({"kind": "insights", "range": crate::server::range(), "unit": "month",
        "metrics": [{"matching": {}, "measure": "total"}]});
    for round in 0..2 {
        // SDKs keep what is answered 503; what they are told 423 they drop.
        for target in ["/track", "/import?strict=1", "/engage"] {
            let record = match target {
                "/engage" => json!({"$token": server.project.token, "$distinct_id": "u", "$set": {"plan": "gold"}}),
                _ => server.event("Sent", now_ms(), "u", json!({})),
            };
            let request = server.request("POST", target).basic(&server.project.token, "").json(&json!([record]));
            let reply = request.send();
            let wait = reply.header("retry-after").map(str::to_owned);
            assert_eq!((reply.status, wait.as_deref()), (503, Some("60")), "{target}, round {round}");
        }
        let project = server.project.id;
        for path in ["status", "events", "properties", "live"] {
            let reply = server.api("GET", &format!("/api/v1/projects/{project}/{path}")).send();
            assert_eq!(reply.status, 423, "{path}: {}", reply.text());
            assert_eq!(reply.json()["error"]["code"], "organisation_sealed");
        }
        let reply = server.api("POST", &format!("/api/v1/projects/{project}/query")).json(&query).send();
        assert_eq!(reply.status, 423);
        // And over a restart.
        server.stop();
        server.start_again();
    }
    done(command(&data, &["keys", "unseal", "--organisation", "1"], ""));
    assert_eq!(send(&server, "after"), 200);
    assert_eq!(server.total("Sent"), 2);
    assert!(done(command(&data, &["keys", "rotate", "organisation", "1"], "")).contains("2 persons' keys"));
    assert_eq!(send(&server, "after that"), 200);
    server.stop();
    done(command(&data, &["verify"], ""));
}

#[test]
fn a_backup_of_a_running_server_comes_back_without_who_was_deleted_since() {
    let mut server = Server::with(crate::server::Options::FLUSHING);
    let events: Vec<serde_json::Value> = (0..1_200)
        .map(|at| {
            let id = format!("p{}", at % 40);
            server.event("Sent", now_ms(), &id, json!({"email": format!("{id}@coffer.example"), "who": id}))
        })
        .collect();
    server.import(&events);
    let (data, backup) = (server.data(), server.scratch("backup"));
    done(command(&data, &["backup", &backup.display().to_string()], ""));
    let again = refused(command(&data, &["backup", &backup.display().to_string()], ""));
    assert!(again.contains("there is something at this place already"), "{again}");
    assert!(!data.join("backup.tmp").exists(), "copies of databases are not left behind");
    // After the backup: one person more, one less.
    assert_eq!(send(&server, "later"), 200);
    let sealed_of = |server: &Server, id: &str| server.person(json!({"filters": [crate::server::is("who", id)]})).1;
    assert_eq!(sealed_of(&server, "p7"), ["email"]);
    let gone = json!([{"$token": server.project.token, "$distinct_id": "p7", "$delete": "", "$ignore_alias": false}]);
    assert_eq!(server.post_json("/engage", &gone).status, 200);
    assert!(sealed_of(&server, "p7").is_empty());
    server.stop();

    // The disk is gone; what was kept apart is there.
    let (apart, key) = (server.scratch("apart"), server.scratch("copy-of-root.key"));
    std::fs::rename(data.join("apart"), &apart).expect("on one disk");
    std::fs::rename(data.join("root.key"), &key).expect("on one disk");
    std::fs::remove_dir_all(&data).expect("a folder");
    let (from, apart, key) = (backup.display().to_string(), apart.display().to_string(), key.display().to_string());
    let restore = |more: &[&str]| command(&data, &[&["restore", &from][..], more].concat(), "");
    assert!(refused(restore(&["--apart", &apart])).contains("--root-key"));
    let elsewhere = server.scratch("nothing").display().to_string();
    refused(restore(&["--apart", &elsewhere, "--root-key", &key]));
    assert!(!data.exists(), "a restore that fails leaves nothing");
    done(restore(&["--apart", &apart, "--root-key", &key]));
    done(command(&data, &["verify"], ""));
    server.start_again();
    let reply = server.api("GET", "/api/v1/projects").send();
    assert_eq!(reply.status, 401, "a restore ends every session");
    server.sign_in();
    assert_eq!(server.total("Sent"), 1_200);
    assert_eq!(sealed_of(&server, "p8"), ["email"]);
    assert!(sealed_of(&server, "p7").is_empty(), "the backup brought a deleted person back");
    assert_eq!(send(&server, "and on"), 200);
    assert_eq!(server.total("Sent"), 1_201);
}
