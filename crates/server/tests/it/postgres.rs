//! The whole product with its vault on PostgreSQL: set up, take in, merge, answer, restart, keep a second server out.

use std::process::Stdio;

use serde_json::json;

use crate::server::{Options, Server, binary, now_ms};

#[path = "../../../../tests/postgres.rs"]
mod cluster;

/// No server asks for it; it stands in the address where a password would.
const PASSWORD: &str = "sesame-k3v9q";

#[test]
fn the_whole_product_runs_with_its_vault_on_postgresql() {
    let Some(address) = cluster::database("the product on PostgreSQL") else { return };
    let address = address.replace("cofferdam@", &format!("cofferdam:{PASSWORD}@"));
    let mut server = Server::with(Options { database: Some(address.clone()), ..Options::FLUSHING });
    let now = now_ms();
    let events: Vec<_> = (0..1_200)
        .map(|at| {
            let who = format!("$device:d{}", at % 40);
            server.event("Step", now - 1_000 + at, &who, json!({"$device_id": format!("d{}", at % 40)}))
        })
        .collect();
    server.import(&events);
    assert_eq!(server.count("unique", json!({"event": "Step"})), 40);
    let link = |server: &Server, device: usize| {
        let more = json!({"$device_id": format!("d{device}"), "$user_id": "u", "email": "ada@canary.example"});
        server.import(&[server.event("Step", now_ms(), "u", more)]);
    };
    link(&server, 1);
    link(&server, 2);
    let update = json!([{"$token": server.project.token, "$distinct_id": "u", "$set": {"plan": "pro", "city\0x": 1}}]);
    assert_eq!(server.post_json("/engage", &update).status, 200);
    let check = |server: &Server| {
        assert_eq!(server.count("unique", json!({"event": "Step"})), 39, "two devices and a user are one person");
        assert_eq!(server.total("Step"), 1_202);
        let (properties, sealed) = server.person(json!({"filters": [crate::server::is("plan_test", "yes")]}));
        assert_eq!((properties["plan"].clone(), sealed), (json!("pro"), vec!["email".to_owned()]));
    };
    server.import(&[server.event("Marked", now_ms(), "u", json!({"plan_test": "yes"}))]);
    check(&server);
    server.stop();
    server.start_again();
    check(&server);
    server.kill();
    server.start_again();
    check(&server);
    server.balanced_outcomes();

    // What the files of the other backend would hold is not in the folder.
    for name in ["vault.db", "keys.db"] {
        assert!(!server.data().join(name).exists(), "{name}");
    }
    let refused = binary()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(server.scratch("another"))
        .env("COFFERDAM_DATABASE", &address)
        .stdin(Stdio::null())
        .output()
        .expect("the cofferdam binary");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("another server uses the database"), "{said}");
    assert!(!said.contains(PASSWORD) && !String::from_utf8_lossy(&server.log()).contains(PASSWORD));
    server.stop();
    let verify = |data: std::path::PathBuf| {
        let mut command = binary();
        command.args(["verify", "--data"]).arg(data).env("COFFERDAM_DATABASE", &address);
        command.output().expect("the cofferdam binary")
    };
    let verified = verify(server.data());
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}
