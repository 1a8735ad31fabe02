//! Insiders: what somebody carries away who may open persons one by one, and takes their time.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use cofferdam_model::limits;
use serde_json::json;

use crate::access::Somebody;
use crate::running::{Running, now_ms};
use crate::{Case, Outcome, Stage};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case { number: 18, title: "A member opens person after person, over three projects", run: slow_drip },
        Case { number: 19, title: "Persons in the order of their numbers, and guessed addresses", run: enumeration },
    ]
}

/// Persons `u0`, `u1`, … of a project, each with an address and an event a second after the one before.
pub(crate) fn persons(server: &Running, token: &str, prefix: &str, count: u64) -> Result<()> {
    let (mut events, mut profiles) = (Vec::new(), Vec::new());
    for at in 0..count {
        let id = format!("{prefix}{at}");
        let properties = json!({"token": token, "distinct_id": id, "time": now_ms() - (count - at) * 1_000,
            "$insert_id": format!("i{prefix}{at}")});
        events.push(json!({"event": "Seeded", "properties": properties}));
        profiles
            .push(json!({"$token": token, "$distinct_id": id, "$set": {"$email": format!("{id}@attacked.example")}}));
    }
    ensure!(server.send("/track", &events)? == 200 && server.send("/engage", &profiles)? == 200, "no persons");
    Ok(())
}

/// What persons are called, by when they were last seen.
pub(crate) fn listed(somebody: &Somebody<'_>, project: u64) -> Result<Vec<String>> {
    let question = json!({"kind": "persons", "range": {"kind": "last", "count": 2, "unit": "day"}, "limit": 500});
    let reply = somebody.send("POST", &format!("/api/v1/projects/{project}/query"), &question)?;
    ensure!(reply.status == 200, "the persons are not listed: {}", reply.status);
    let table = reply.json()["table"].clone();
    let names = table["persons"].as_array().context("persons")?.iter();
    names.map(|row| Ok(row["pseudonym"].as_str().context("a name")?.to_owned())).collect()
}

/// The value, or the code of the refusal.
pub(crate) fn reveal(
    somebody: &Somebody<'_>,
    project: u64,
    person: &str,
) -> Result<std::result::Result<String, String>> {
    let path = format!("/api/v1/projects/{project}/persons/{person}/reveal");
    let reply = somebody.act("POST", &path, &json!({"field": "email", "purpose": "support"}))?;
    let body = reply.json();
    Ok(match reply.status {
        200 => Ok(body["values"][0]["value"].as_str().context("a value")?.to_owned()),
        _ => Err(body["error"]["code"].as_str().unwrap_or_default().to_owned()),
    })
}

fn slow_drip(stage: &Stage) -> Result<Outcome> {
    let server = Running::start(&stage.binary, &stage.folder, &[])?;
    let owner = Somebody::owner(&server)?;
    let mut all = Vec::new();
    for number in 0..3_u64 {
        let (project, token) = match number {
            0 => (server.project, server.token.clone()),
            _ => {
                let body = json!({"name": format!("P{number}"), "time_zone": "UTC", "identity_mode": "simplified"});
                let made = owner.send("POST", "/api/v1/projects", &body)?.json();
                let token = made["token"].as_str().context("a project")?.to_owned();
                (made["id"].as_u64().context("a project")?, token)
            }
        };
        persons(&server, &token, &format!("p{number}x"), 17)?;
        all.extend(listed(&owner, project)?.into_iter().map(|person| (project, person)));
    }
    // In no order of anything.
    let mut loot = BTreeSet::new();
    let mut ended = String::new();
    for at in 0..all.len() {
        let (project, person) = &all[at * 20 % all.len()];
        match reveal(&owner, *project, person)? {
            Ok(mail) => drop(loot.insert(mail)),
            Err(code) => {
                ended = code;
                break;
            }
        }
    }
    let most = limits::REVEALS_HOUR_MAX;
    Ok(Outcome {
        is_through: loot.len() > most,
        figure: format!(
            "{} of {} persons opened over 3 projects within the hour (at most {most}); {ended}",
            loot.len(),
            all.len()
        ),
    })
}

fn enumeration(stage: &Stage) -> Result<Outcome> {
    let server = Running::start(&stage.binary, &stage.folder, &[])?;
    let owner = Somebody::owner(&server)?;
    // One by one: persons of one request have their numbers in no order.
    for at in 0..28 {
        persons(&server, &server.token, &format!("u{at}-"), 1)?;
    }
    let mut opened = 0;
    for person in listed(&owner, server.project)? {
        match reveal(&owner, server.project, &person)? {
            Ok(_) => opened += 1,
            Err(_) => break,
        }
    }
    // Somebody else guesses addresses: of nobody, and of somebody in another project.
    let other = owner.invite(&["privacy_officer"], "guessing@attacked.example")?;
    let made = owner.send(
        "POST",
        "/api/v1/projects",
        &json!({"name": "Other", "time_zone": "UTC", "identity_mode": "simplified"}),
    )?;
    let project = made.json()["id"].as_u64().context("a project")?;
    let find = |address: String| {
        other.send("POST", &format!("/api/v1/projects/{project}/persons/find"), &json!({"address": address}))
    };
    let (elsewhere, miss) = (find("u1-0@attacked.example".to_owned())?, find("nobody@attacked.example".to_owned())?);
    let is_told = (elsewhere.status, &elsewhere.body) != (miss.status, &miss.body);
    let guesses = if stage.is_full { 5_000 } else { 100 };
    let mut answered = 2;
    for at in 0..guesses {
        if find(format!("guess{at}@attacked.example"))?.status != 200 {
            break;
        }
        answered += 1;
    }
    let (in_order, misses) = (limits::MONOTONE_REVEALS_MAX, limits::LOOKUP_MISSES_MINUTE_MAX);
    Ok(Outcome {
        is_through: opened > in_order || answered > misses || is_told,
        figure: format!(
            "{opened} of 28 persons opened in order (at most {in_order}), {answered} of {} guesses answered (at most {misses}), somebody of another project {} nobody",
            guesses + 2,
            if is_told { "told from" } else { "looks like" }
        ),
    })
}
