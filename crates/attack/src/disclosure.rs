//! Insiders: what somebody carries away who may open persons one by one, and takes their time.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use cofferdam_model::limits;
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::access::Somebody;
use crate::running::{Running, now_ms};
use crate::{Case, Outcome, Stage};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case { number: 18, title: "A member opens person after person, over three projects", run: slow_drip },
        Case {
            number: 30,
            title: "The token of an export, from elsewhere, later, or for something else",
            run: borrowed_token,
        },
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

/// As if the time of every token were over.
fn age_tokens(server: &Running) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(server.data.join("meta.db"));
        let mut connection = options.connect().await?;
        sqlx::query("UPDATE tokens SET expires_at = made_at").execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    })
}

fn borrowed_token(stage: &Stage) -> Result<Outcome> {
    const HOME: &str = "192.0.2.9";
    let server = Running::start(&stage.binary, &stage.folder, &["--proxies", "1"])?;
    let owner = Somebody::owner(&server)?;
    persons(&server, &server.token, "u", 20)?;
    let admin = owner.invite(&["org_admin"], "admin@attacked.example")?;
    let one = owner.steward(&admin, "one@attacked.example")?;
    let two = owner.steward(&admin, "two@attacked.example")?;
    let recipient = age::x25519::Identity::generate().to_public().to_string();
    let mails = json!({"what": {"kind": "persons", "fields": ["email"]}, "purpose": "migration", "format": "csv",
        "recipient": recipient});
    let events = json!({"what": {"kind": "events", "range": {"kind": "last", "count": 3, "unit": "day"}},
        "purpose": "analysis", "format": "csv"});
    let base = format!("/api/v1/projects/{}", server.project);
    let token = |export: &serde_json::Value| -> Result<String> {
        let body = json!({"name": "Nightly", "days": 30, "network": "192.0.2.0/24", "export": export});
        let asked = one.act("POST", &format!("{base}/tokens/export"), &body)?;
        ensure!(asked.status == 201, "no token was asked for: {}", asked.status);
        two.agree(&asked)?;
        let made = one.act("POST", &format!("{base}/tokens/{}/rotate", asked.json()["number"]), &json!({}))?;
        Ok(made.json()["token"].as_str().context("no token")?.to_owned())
    };
    let run = |token: &str, from: &str, export: &serde_json::Value| -> Result<bool> {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", &*bearer), ("x-forwarded-for", from)];
        let headers = if token.is_empty() { &headers[1..] } else { &headers[..] };
        let reply = server.call_with("POST", &format!("{base}/export"), headers, export)?;
        ensure!(reply.status < 500, "an export by a token: {}", reply.status);
        Ok(reply.status == 200)
    };
    let (of_mails, of_events, late) = (token(&mails)?, token(&events)?, token(&mails)?);
    for (token, export) in [(&of_mails, &mails), (&of_events, &events)] {
        ensure!(run(token, HOME, export)?, "the export itself was refused");
    }
    let mut column = mails.clone();
    column["what"]["fields"] = json!(["email", "name"]);
    let mut accepted = vec![
        ("without its secret", run("", HOME, &mails)?),
        ("with another token's", run(&of_events, HOME, &mails)?),
        ("for another export", run(&of_mails, HOME, &events)?),
        ("for one more column", run(&of_mails, HOME, &column)?),
        // The next was refused; and it has been in two networks now.
        ("from another network", run(&of_mails, "198.51.100.9", &mails)?),
        ("at home after that", run(&of_mails, HOME, &mails)?),
    ];
    ensure!(run(&of_events, HOME, &events)?, "another token is in order");
    age_tokens(&server)?;
    accepted.push(("after its time", run(&late, HOME, &mails)?));
    let through: Vec<&str> = accepted.iter().filter(|(_, is_in)| *is_in).map(|(what, _)| *what).collect();
    Ok(Outcome {
        is_through: !through.is_empty(),
        figure: format!(
            "{} of {} accepted{}{}",
            through.len(),
            accepted.len(),
            if through.is_empty() { "" } else { ": " },
            through.join(", ")
        ),
    })
}
