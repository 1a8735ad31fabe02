//! Sessions and passkeys in a real browser: Chromium with its virtual authenticator, driven by `web/e2e/attacks.mjs`.
//! What the browser itself refuses is told apart from what the server does, wherever a figure depends on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use cofferdam_ledger::note::VerifierKey;
use cofferdam_ledger::verify::{prove, verify};
use cofferdam_ledger::{Kind, Recorded};
use serde_json::{Value, json};

use crate::running::{Running, SETUP_CODE, command, done};
use crate::{Case, Outcome, Stage};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case { number: 1, title: "A stolen cookie in another browser, elsewhere", run: stolen_cookie },
        Case { number: 2, title: "A place in the middle has its victim sign in and sign", run: in_the_middle },
    ]
}

/// Microseconds until somebody could know.
const ALARM_US_MAX: u64 = 5_000_000;

fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web")
}

/// Carries an attack out in Chromium, on a server of its own. Answers what it found, and the server.
fn carry_out(stage: &Stage, attack: u16) -> Result<(Value, Running)> {
    let chromium = std::env::var("CHROMIUM_BIN").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    ensure!(
        Path::new(&chromium).exists(),
        "there is no Chromium at {chromium}: install it with `apt-get install chromium`, or say in CHROMIUM_BIN where it is"
    );
    ensure!(
        web().join("node_modules/@playwright/test").exists(),
        "web/node_modules has no Playwright: run `npm ci` in web"
    );
    let folder = stage.folder.join("chromium");
    std::fs::create_dir(&folder)?;
    let server = Running::open(&stage.binary, &folder, &["--proxies", "1"])?;
    let wanted = json!({
        "attack": attack, "port": server.address().port(), "setupCode": SETUP_CODE, "isFull": stage.is_full,
        "recipient": age::x25519::Identity::generate().to_public().to_string(),
    });
    let output = Command::new("node")
        .arg("e2e/attacks.mjs")
        .arg(wanted.to_string())
        .current_dir(web())
        .env("CHROMIUM_BIN", chromium)
        .stdin(Stdio::null())
        .output()
        .context("could not start node: install Node 20 or newer")?;
    if !output.status.success() {
        bail!("the browser could not carry it out:\n{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok((serde_json::from_slice(&output.stdout).context("the browser's part printed no outcome")?, server))
}

fn number(found: &Value, name: &str) -> Result<u64> {
    found[name].as_u64().with_context(|| format!("the browser's part says nothing of {name}"))
}

/// How much of an attack was accepted in Chromium, of how many tries.
pub(crate) fn accepted(stage: &Stage, attack: u16) -> Result<(u64, u64)> {
    let (found, _) = carry_out(stage, attack)?;
    Ok((number(&found, "accepted")?, number(&found, "tries")?))
}

/// What the ledger of a server has, which is stopped for it.
fn recorded(stage: &Stage, mut server: Running) -> Result<Vec<Recorded>> {
    server.stop()?;
    let output = command(&stage.binary, &["ledger", "key"], &server.data)?;
    let key = VerifierKey::parse(String::from_utf8_lossy(&output.stdout).trim())?;
    done(output)?;
    let folder = server.data.join("ledger");
    let size = verify(&folder, &key)?.entries;
    (0..size).map(|seq| Ok(prove(&folder, &key, seq)?.verify(&key)?.0)).collect()
}

fn stolen_cookie(stage: &Stage) -> Result<Outcome> {
    let (found, server) = carry_out(stage, 1)?;
    let (opened, accepted) = (number(&found, "opened")?, number(&found, "accepted")?);
    let (tries, asks, asked_for) = (number(&found, "tries")?, number(&found, "asks")?, number(&found, "askedFor")?);
    ensure!(found["dashboards"] == json!([200, 200]), "the cookie is of no use at all: {}", found["dashboards"]);
    let started_us = number(&found, "startedMs")? * 1_000;
    let entries = recorded(stage, server)?;
    let after_us = |kind: Kind| {
        let first = entries.iter().find(|found| found.entry.kind == kind && found.time_us >= started_us);
        first.map(|found| found.time_us - started_us)
    };
    let (seen, refused) = (after_us(Kind::SessionElsewhere), after_us(Kind::StepUpRefused));
    let said = |after_us: Option<u64>| after_us.map_or("never".to_owned(), |us| format!("after {} ms", us / 1_000));
    Ok(Outcome {
        is_through: opened + accepted > 0 || asked_for < asks || seen.is_none_or(|us| us > ALARM_US_MAX),
        figure: format!(
            "dashboards as the role says; {asked_for} of {asks} requests for more answered step_up_required, {accepted} of \
             {tries} tries accepted, {opened} personal values; in the ledger that another browser has the session: {}, \
             that a factor was refused: {}",
            said(seen),
            said(refused)
        ),
    })
}

fn in_the_middle(stage: &Stage) -> Result<Outcome> {
    let (found, _server) = carry_out(stage, 2)?;
    let (opened, accepted) = (number(&found, "opened")?, number(&found, "accepted")?);
    let signed = |at: usize| found["signed"][at].as_u64().context("nothing is said of what was signed");
    let (elsewhere, beside) = (signed(0)?, signed(1)?);
    // Else the server would have had nothing to refuse.
    ensure!(beside > 0, "the browser signs for no other port of the host: {}", found["refusedBy"]);
    ensure!(found["dashboard"] == 200, "the relayed password and code gave no session: {}", found["dashboard"]);
    Ok(Outcome {
        is_through: opened + accepted + elsewhere > 0,
        figure: format!(
            "password and code relayed, session kept; of {} ceremonies the browser signed {elsewhere} at another host ({}) \
             and {beside} at another port of this one, of which the server accepted {accepted}; {opened} personal values",
            number(&found, "ceremonies")?,
            found["refusedBy"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        ),
    })
}
