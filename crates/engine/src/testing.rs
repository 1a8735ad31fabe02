//! What tests of the engine share.

use std::path::Path;
use std::sync::Arc;

use cofferdam_ledger::Entry;
use cofferdam_model::OrgId;
use cofferdam_vault::wire::{Door, IdentityMode, Strictness};

use crate::{Engine, Options, Project, Site};

pub(crate) const NOW_US: i64 = 1_800_000_000_000_000;

/// An engine on SQLite, with its root key in a file.
pub(crate) async fn open(folder: &Path) -> Engine {
    let options = Options {
        site: Site::in_folder(folder),
        root: None,
        flush_events: 1_000,
        setup_code: "not used here".to_owned(),
        geoip: None,
        clock: Arc::new(|| NOW_US),
        witnesses: Vec::new(),
        access: crate::Access::default(),
    };
    Engine::open(options).await.unwrap()
}

/// A project of a new organisation.
pub(crate) async fn shop(engine: &Engine) -> Arc<Project> {
    let first = crate::meta::NewMember {
        email_print: b"print",
        seal: &|_| (Vec::new(), Vec::new()),
        password_hash: "",
        totp_step: 0,
        roles: cofferdam_model::Roles::FIRST_MEMBER,
        now_us: NOW_US,
    };
    assert!(engine.meta.insert_first("Org", &first).await.unwrap());
    let made = engine.new_project(OrgId(1), 1, "Shop", "UTC", IdentityMode::Simplified, false).await.unwrap();
    engine.project(made.id).unwrap()
}

/// Imports events, each of which must be stored.
pub(crate) async fn import(engine: &Engine, project: &Arc<Project>, events: &[serde_json::Value]) {
    let body = serde_json::Value::from(events).to_string();
    let door = Door::Import(Strictness::Strict);
    let report = engine.ingest(body.as_bytes(), door, Some(project.clone()), None).await.unwrap();
    assert_eq!(report.stored, events.len());
}

/// The newest entries of the ledger, the newest last.
pub(crate) fn last_entries(engine: &Engine, count: u64) -> Vec<Entry> {
    engine.ledger.settle().unwrap();
    let size = engine.ledger.size();
    let found = engine.ledger.entries(size.saturating_sub(count), size).unwrap();
    found.into_iter().map(|recorded| recorded.entry).collect()
}
