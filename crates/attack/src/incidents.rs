//! A whole incident over HTTP, to the mailbox: who is told, and what somebody learns who got a forged notice.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::digest;
use regex::Regex;
use serde_json::{Value, json};

use crate::access::Somebody;
use crate::disclosure::{listed, persons, reveal};
use crate::running::{EMAIL, Reply, Running, command, done, now_ms};
use crate::sink::{self, NO_FAULTS, Taken};
use crate::{Case, Outcome, Stage};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case { number: 87, title: "A forged notice with a code that is genuine", run: forged },
        Case { number: 90, title: "Whoever is told, against whom it concerns", run: told },
    ]
}

const OFFICER: &str = "officer@attacked.example";
/// Notices leave within moments: a relay that takes everything is on this machine.
const WAITS_MAX: usize = 600;

/// Address and mail, as the relay took them.
type Mails = Arc<Mutex<Vec<(String, String)>>>;

/// A relay of this process that takes everything. Answers its port.
fn relay(mails: &Mails) -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let kept = mails.clone();
    let keep = move |one: Taken| {
        let mail = String::from_utf8_lossy(&one.mail).into_owned();
        kept.lock().expect("never left half changed").push((one.to, mail));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                sink::serve(listener, NO_FAULTS, Arc::new(keep)).await;
            }
        });
    });
    Ok(port)
}

/// A server that sends mail, set up.
fn mailing(stage: &Stage, mails: &Mails) -> Result<Running> {
    // Its keys are made while it does not run, and after it was there.
    let mut first = Running::open(&stage.binary, &stage.folder, &[])?;
    first.stop()?;
    done(command(&stage.binary, &["notices", "keys", "--domain", "attacked.example"], &first.data)?)?;
    let relay = format!("smtp://127.0.0.1:{}", relay(mails)?);
    Running::start(
        &stage.binary,
        &stage.folder,
        &["--smtp", &relay, "--mail-from", "privacy@attacked.example", "--public-host", "analytics.attacked.example"],
    )
}

fn good(reply: Reply, what: &str) -> Result<Value> {
    ensure!((200..300).contains(&reply.status), "{what}: {} {}", reply.status, String::from_utf8_lossy(&reply.body));
    Ok(reply.json())
}

/// Opens an incident about what a member opened, has two members sign its notices, and waits until all were tried.
/// Answers its number, and the texts by audience.
fn notified(owner: &Somebody<'_>, officer: &Somebody<'_>, member: u64) -> Result<(u64, Value)> {
    let now_us = now_ms() * 1_000;
    let occurred = [now_us - 60_000_000, now_us];
    let open = json!({"cause": "member", "account": "staff", "service": "Shop", "occurred_us": occurred});
    let incident = good(owner.act("POST", "/api/v1/incidents", &open)?, "an incident is opened")?;
    let incident = incident["id"].as_u64().context("no incident")?;
    let base = format!("/api/v1/incidents/{incident}");
    let of =
        json!({"from": "ledger", "member": member, "from_us": now_us - 3_600_000_000, "to_us": now_us + 3_600_000_000});
    good(owner.act("POST", &format!("{base}/scopes"), &of)?, "its scope is found")?;
    let language = json!({"language": "en"});
    let draft = good(owner.send("POST", &format!("{base}/notices/draft"), &language)?, "a draft")?;
    for who in [owner, officer] {
        good(who.act("POST", &format!("{base}/notices/sign"), &language)?, "a signature")?;
    }
    for _ in 0..WAITS_MAX {
        let progress = good(owner.send("GET", &format!("{base}/notices"), &Value::Null)?, "the progress")?;
        let versions = progress["versions"].as_array().context("no versions")?;
        if !versions.is_empty() && versions.iter().all(|one| one["queued"] == 0 && one["in_flight"] == 0) {
            return Ok((incident, draft["texts"].clone()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("the notices do not leave")
}

fn told(stage: &Stage) -> Result<Outcome> {
    let mails = Mails::default();
    let server = mailing(stage, &mails)?;
    let owner = Somebody::owner(&server)?;
    let officer = owner.invite(&["privacy_officer"], OFFICER)?;
    let count = if stage.is_full { 60 } else { 24 };
    persons(&server, &server.token, "c", count)?;
    let all = listed(&owner, server.project)?;
    ensure!(all.len() as u64 == count, "{} persons are listed", all.len());
    // In no order of their numbers, which a limit would stop.
    let shuffled = |from: usize, many: usize| (from..from + many).map(|at| &all[at * 11 % all.len()]);
    let mut loot = BTreeSet::new();
    for person in shuffled(0, 12) {
        loot.insert(reveal(&officer, server.project, person)?.map_err(|code| anyhow::anyhow!("not opened: {code}"))?);
    }
    // Of the same organisation, at the same time, and by somebody whom nobody suspects.
    let mut unaffected = BTreeSet::new();
    for person in shuffled(12, 3) {
        unaffected
            .insert(reveal(&owner, server.project, person)?.map_err(|code| anyhow::anyhow!("not opened: {code}"))?);
    }
    ensure!((loot.len(), unaffected.len()) == (12, 3), "{} and {} addresses were opened", loot.len(), unaffected.len());
    notified(&owner, &officer, officer.id()?)?;
    let mails = mails.lock().expect("never left half changed");
    let staff = [EMAIL, OFFICER];
    let to: Vec<&str> = mails.iter().map(|(to, _)| &**to).filter(|to| !staff.contains(to)).collect();
    let once: BTreeSet<String> = to.iter().map(|to| (*to).to_owned()).collect();
    let missed = loot.difference(&once).count();
    let wrong = once.difference(&loot).count();
    let planted = once.intersection(&unaffected).count();
    let twice = to.len() - once.len();
    Ok(Outcome {
        is_through: missed + wrong + twice > 0,
        figure: format!(
            "{} persons of {count} concerned: {} told, {missed} missed, {wrong} others told ({planted} of {} whom a colleague \
             opened), {twice} told twice",
            loot.len(),
            once.len() - wrong,
            unaffected.len()
        ),
    })
}

fn sha256(text: &str) -> String {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn forged(stage: &Stage) -> Result<Outcome> {
    const BAIT: &str = "Call +1 555 0100 and read out your password to be paid";
    let mails = Mails::default();
    let server = mailing(stage, &mails)?;
    let owner = Somebody::owner(&server)?;
    let officer = owner.invite(&["privacy_officer"], OFFICER)?;
    persons(&server, &server.token, "c", 3)?;
    let all = listed(&owner, server.project)?;
    for person in &all {
        reveal(&officer, server.project, person)?.map_err(|code| anyhow::anyhow!("not opened: {code}"))?;
    }
    let (incident, texts) = notified(&owner, &officer, officer.id()?)?;
    let public = owner.act("POST", &format!("/api/v1/incidents/{incident}"), &json!({"make_public": true}))?;
    good(public, "the page is public")?;
    let of_persons = texts.as_array().into_iter().flatten().find(|one| one["audience"] == "person");
    let text = of_persons.context("no text for persons")?;
    let whole = |text: &str, subject: &Value| format!("{}\n\n{text}", subject.as_str().unwrap_or_default());
    let logged = whole(text["text"].as_str().context("no text")?, &text["subject"]);
    // Somebody shows a notice that they got, with its code; the forger writes another text around it.
    let mails = mails.lock().expect("never left half changed").clone();
    let (_, seen) = mails.iter().find(|(to, _)| to.starts_with('c')).context("no person was told")?;
    let codes = Regex::new("[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}")?;
    let code = codes.find(seen).context("a notice without a code")?.as_str();
    let forgery = logged.replacen("\n\n", &format!("\n\n{BAIT}.\n\n"), 2);
    let origin = format!("http://{}", server.address());
    let mut pages = Vec::new();
    for form in [format!("code={code}"), format!("code={code}&text={}", BAIT.replace(' ', "+").replace("+1", "%2B1"))] {
        let path = format!("/incidents/{incident}?lang=en&text={}", BAIT.replace(' ', "%20"));
        let headers = "application/x-www-form-urlencoded";
        let reply = server.call("POST", &path, headers, form.as_bytes())?;
        let page = String::from_utf8_lossy(&reply.body).into_owned();
        ensure!(reply.status == 200 && page.contains("genuine</h1>"), "the code is not genuine at {origin}: {page}");
        pages.push(page);
    }
    let shows = |page: &String| {
        page.contains("Compare what you got") && page.contains(&sha256(&logged)) && page.contains("<pre>")
    };
    let compared = pages.iter().filter(|page| shows(page)).count();
    let echoed = pages.iter().filter(|page| page.contains(&BAIT[..20]) || page.contains(&sha256(&forgery))).count();
    Ok(Outcome {
        is_through: compared < pages.len() || echoed > 0,
        figure: format!(
            "a genuine code around a forged text: {compared} of {} pages show the logged text, its hash {}… and \"compare\"; \
             the forgery has {}…, and {echoed} pages anything of it",
            pages.len(),
            &sha256(&logged)[..8],
            &sha256(&forgery)[..8]
        ),
    })
}
