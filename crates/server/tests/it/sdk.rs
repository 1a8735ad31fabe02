//! The official Node and Python clients, unmodified but for the host: what they send is taken, they are
//! content with the answers, and the reports show what they sent.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::server::{Project, Server, helpers, is, plain, setting, skip};

#[test]
fn the_node_client_works_with_only_its_host_changed() {
    let scripts = helpers().join("sdk");
    if !scripts.join("node_modules/mixpanel").is_dir() {
        return skip("the Node client is not installed: run `npm ci` in tests/sdk");
    }
    let server = Server::start();
    let original = server.create_project("Original", "original");
    let script = scripts.join("node.mjs");
    let report = run(Command::new("node").arg(&script), &server, &original);
    assert_eq!(report["errors"], json!([]), "the client was not content");

    assert_eq!(server.total("Node tracked"), 1);
    assert_eq!(server.by("Node tracked", "plan"), [("pro".to_owned(), 1)].into());
    assert_eq!(server.total("Node batched"), 120, "three requests of 50, 50 and 20");
    assert_eq!(server.total("Node imported"), 1);
    assert_eq!(server.total("Node history"), 60);
    assert_eq!(server.count("unique", json!({"event": "Node history"})), 6);
    assert_eq!(server.total("Node verbose"), 1);
    check_profile(
        &server,
        "Node tracked",
        json!({
            "plan": "team", "first": "kept", "visits": 3.0, "credit": -2.0,
            "pages": ["home", "prices", "home"], "tags": ["a", "b", "c"], "colours": ["red"],
            "gone": null, "$transactions": [],
        }),
        &["$email", "$first_name"],
    );
    check_profile(&server, "Node deleted", json!({"plan": null}), &[]);
    check_alias(&server, &original, "Node aliased");
    server.balanced_outcomes();
}

#[test]
fn the_python_client_works_with_only_its_host_changed() {
    let Some(python) = python() else {
        return skip("the Python client is not installed: COFFERDAM_VENV names no virtual environment");
    };
    let server = Server::start();
    let original = server.create_project("Original", "original");
    let script = helpers().join("sdk/python_sdk.py");
    let report = run(Command::new(python).arg(&script), &server, &original);
    assert_eq!(report["errors"], json!([]), "the client was not content");

    assert_eq!(server.total("Python tracked"), 1);
    assert_eq!(server.by("Python tracked", "plan"), [("pro".to_owned(), 1)].into());
    assert_eq!(server.total("Python buffered"), 120, "three requests of 50, 50 and 20");
    assert_eq!(server.total("Python imported"), 1);
    assert_eq!(server.total("Python history"), 60);
    assert_eq!(server.count("unique", json!({"event": "Python history"})), 6);
    check_profile(
        &server,
        "Python tracked",
        json!({
            "plan": "team", "first": "kept", "visits": 3.0, "credit": -2.0,
            "pages": ["home", "prices", "home"], "tags": ["a", "b", "c"], "colours": ["red"],
            "gone": null, "$transactions": [{"$amount": 29.99, "$time": "2026-09-01T10:00:00"}],
        }),
        &["$email", "$first_name"],
    );
    check_profile(&server, "Python deleted", json!({"plan": null}), &[]);
    check_alias(&server, &original, "Python aliased");
    let merged = json!({"event": "Python merged"});
    assert_eq!(server.count_in(&original, "total", merged.clone()), 2);
    assert_eq!(server.count_in(&original, "unique", merged), 1, "merge");
    server.balanced_outcomes();
}

/// The interpreter of the environment with the pinned packages, if there is one.
pub(crate) fn python() -> Option<PathBuf> {
    let venv = setting("COFFERDAM_VENV").map(PathBuf::from)?;
    let python = venv.join("bin/python");
    python.is_file().then_some(python)
}

fn run(command: &mut Command, server: &Server, original: &Project) -> Value {
    let output = command
        .env("COFFERDAM_HOST", format!("127.0.0.1:{}", server.port()))
        .env("COFFERDAM_TOKEN", &server.project.token)
        .env("COFFERDAM_ORIGINAL_TOKEN", &original.token)
        // A proxy of the machine must not come between.
        .env_remove("HTTP_PROXY")
        .env_remove("HTTPS_PROXY")
        .env_remove("http_proxy")
        .env_remove("https_proxy")
        .output()
        .unwrap_or_else(|error| panic!("cannot run {:?}: {error}", Path::new(command.get_program())));
    let (told, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{told}\n{complained}", output.status);
    serde_json::from_str(&told).unwrap_or_else(|_| panic!("not a report: {told}\n{complained}"))
}

fn check_profile(server: &Server, event: &str, expected: Value, expected_sealed: &[&str]) {
    let (properties, sealed) = server.person(json!({"event": event}));
    for (name, value) in expected.as_object().expect("an object") {
        let found = properties.get(name).cloned().unwrap_or(Value::Null);
        assert_eq!(found, plain(value), "{event}: {name} in {properties:?}");
    }
    for name in expected_sealed {
        assert!(sealed.iter().any(|found| found == name), "{event}: {name} is not in {sealed:?}");
    }
}

/// Two events of two ids that an alias made one person.
fn check_alias(server: &Server, project: &Project, event: &str) {
    let matching = json!({"event": event, "filters": [is("side", "lead")]});
    assert_eq!(server.count_in(project, "total", matching), 1);
    let matching = json!({"event": event});
    assert_eq!(server.count_in(project, "total", matching.clone()), 2);
    assert_eq!(server.count_in(project, "unique", matching), 1, "alias");
}
