//! The incident of a November, three times: a stolen session alone, two colleagues who collude, three who do.
//!
//! Everybody acts by requests that anybody could send; nothing is asked of the server's insides. The attackers keep what
//! they get, and whoever looks for the scope does not know of it until both are compared.
//!
//! What is measured is the machine. People in it act at once: in life the time until somebody looks, decides and signs
//! comes on top.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::colleague::{Colleague, Seat, now_us};
use crate::loot::{Download, Pairs, Score, in_tar, opened};
use crate::passkey::Authenticator;
use crate::persons;
use crate::place::Place;
use crate::report::{Notices, Report, Stolen, Three, Two};
use crate::staff::Staff;

/// How often somebody on duty looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// An alarm that is not there by then does not come.
const ALARM_WAIT: Duration = Duration::from_secs(20);
/// How often the progress of notices is looked at.
const NOTICES_EVERY: Duration = Duration::from_secs(1);
/// The longest that notices may take.
const NOTICES_WAIT: Duration = Duration::from_secs(4 * 3_600);
/// Persons whom the holder of the stolen session tries to open.
const REVEALS: usize = 10;
/// Addresses that they have from elsewhere, and try.
const GUESSES: u32 = 12;

/// How it is played.
pub(crate) struct Played<'a> {
    pub(crate) persons: u32,
    /// Whoever is on duty acts on the first alarm, and not when all is over.
    pub(crate) is_watched: bool,
    /// At the end the shadow organisation of a server that goes on is sealed.
    pub(crate) is_sealed_after: bool,
    /// A folder for what the attackers got and what the scope says.
    pub(crate) keep: Option<&'a Path>,
}

/// Plays it through.
pub(crate) fn play(place: &Place, played: &Played<'_>) -> Result<Report> {
    let persons = played.persons;
    let tell = |text: &str| crate::progress(text);
    tell("a shadow organisation, and those who work there");
    let mut staff = Staff::gather(place)?;
    tell(&format!("{persons} persons, by the public door"));
    let begun = Instant::now();
    persons::make(&place.site, &staff.token, persons)?;
    let made_s = begun.elapsed().as_secs_f64();
    tell("a stolen session");
    let stolen = stolen_session(&mut staff)?;
    tell("two who collude");
    let key = age::x25519::Identity::generate();
    let (two, grant) = two_collude(&mut staff, &key)?;
    tell("three who collude");
    let three = three_collude(place, &mut staff, &key, &grant, played)?;
    if played.is_sealed_after && !place.is_own {
        place.seal(staff.organisation)?;
    }
    Ok(Report { persons, made_s, staff: staff.count(), stolen, two, three })
}

/// Asks until there is an answer, or too much time has passed.
fn until<T>(every: Duration, wait: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    let from = Instant::now();
    loop {
        if let Some(found) = ask()? {
            return Ok(Some(found));
        }
        if from.elapsed() > wait {
            return Ok(None);
        }
        std::thread::sleep(every);
    }
}

fn ms_since(from_us: i64) -> f64 {
    (now_us() - from_us) as f64 / 1e3
}

fn utc(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).map_or_else(|_| String::new(), |time| time.to_string())
}

/// Something that opened an incident by itself.
struct Alarm {
    incident: u64,
    rule: String,
}

/// The alarm that this member set off and that is not contained.
fn alarm(on_duty: &Seat, by: u64) -> Result<Option<Alarm>> {
    let alarms = on_duty.get("/api/v1/alarms")?;
    let found = alarms["alarms"].as_array().into_iter().flatten().find(|one| {
        one["kind"] == "tripped" && one["member"] == by && one["is_contained"] == false && !one["incident"].is_null()
    });
    Ok(found.map(|one| Alarm {
        incident: one["incident"].as_u64().unwrap_or_default(),
        rule: one["rule"].as_str().unwrap_or_default().to_owned(),
    }))
}

/// Contains members, who have to sign in anew. Answers how long that took for whoever did it, and since when it holds.
fn contain(responder: &mut Colleague, incident: u64, members: &[u64]) -> Result<(f64, i64)> {
    let targets: Vec<Value> = members.iter().map(|member| json!({"kind": "member", "member": member})).collect();
    let body = json!({"targets": targets, "reset": {"who": "members", "members": members}});
    let from_us = now_us();
    let contained = responder.done("POST", &format!("/api/v1/incidents/{incident}/contain"), &body)?;
    let took_ms = ms_since(from_us);
    let last = contained["incident"]["containments"].as_array().and_then(|all| all.last());
    let since_us = last.and_then(|one| one["contained_us"].as_i64()).context("it is not said since when it holds")?;
    Ok((took_ms, since_us))
}

fn close(commander: &mut Colleague, incident: u64) -> Result<()> {
    commander.done("POST", &format!("/api/v1/incidents/{incident}"), &json!({"close": true})).map(drop)
}

/// Whoever holds a stolen session, and what they were answered.
struct Thief {
    seat: Seat,
    requests: u64,
    refused: u64,
    values: u64,
}

impl Thief {
    fn tries(&mut self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let reply = self.seat.send(method, path, body)?;
        self.requests += 1;
        self.refused += u64::from(reply.status >= 400);
        self.values += persons::values_in(&reply.body);
        Ok(reply.json())
    }
}

/// What is tried with the session of somebody who reads reports, sees persons under their pseudonyms and helps them one
/// by one: with the cookie, with password and code, with a passkey of one's own.
fn plunder(thief: &mut Thief, phished: &Colleague, project: u64) -> Result<()> {
    let base = format!("/api/v1/projects/{project}");
    let range = json!({"kind": "last", "count": 2, "unit": "day"});
    for path in ["/api/v1/projects", "/api/v1/members", "/api/v1/disclosures"] {
        thief.tries("GET", path, &Value::Null)?;
    }
    for path in ["status", "events", "properties", "erasures", "quarantine", "plan"] {
        thief.tries("GET", &format!("{base}/{path}"), &Value::Null)?;
    }
    let query = format!("{base}/query");
    let dashboard = json!({"kind": "insights", "range": range, "unit": "day",
        "metrics": [{"matching": {}, "measure": "total"}]});
    thief.tries("POST", &query, &dashboard)?;
    thief.tries("POST", &query, &json!({"kind": "events", "range": range, "matching": {}, "limit": 500}))?;
    let listed = json!({"kind": "persons", "range": range, "limit": 500});
    let listed = thief.tries("POST", &query, &listed)?;
    let rows = listed["table"]["persons"].as_array().context("no persons are listed")?;
    let names: Vec<&str> = rows.iter().filter_map(|row| row["pseudonym"].as_str()).take(REVEALS).collect();
    ensure!(!names.is_empty(), "there is nobody to look at");

    // Password and code were typed into a page that looked right; the passkey is the thief's own.
    let code = json!({"kind": "password_and_code", "password": phished.password, "code": phished.phished_code()});
    let origin = phished.seat.site.browser_origin().to_owned();
    let mut own = Authenticator::new();
    let made = own.create(&json!({"challenge": "AAAA", "rp_id": "localhost", "user_id": "AAAA"}), &origin);
    let mut insist = |thief: &mut Thief, path: &str, body: &Value| -> Result<()> {
        let asked = thief.tries("POST", path, body)?["error"]["step_up"].clone();
        for proof in [code.clone(), own.sign(&asked, &origin)] {
            let mut body = body.clone();
            body["step_up"] = proof;
            thief.tries("POST", path, &body)?;
        }
        Ok(())
    };
    for name in &names {
        let path = format!("{base}/persons/{name}/reveal");
        insist(thief, &path, &json!({"field": "email", "purpose": "support"}))?;
    }
    let access = json!({"person": names[0], "purpose": "subject_access", "format": "ndjson"});
    insist(thief, &format!("{base}/persons/access"), &access)?;
    let exports = [
        json!({"kind": "events", "range": range}),
        json!({"kind": "persons", "fields": ["email", "name", "distinct_id"]}),
    ];
    for what in exports {
        let recipient = age::x25519::Identity::generate().to_public().to_string();
        let body = json!({"what": what, "purpose": "analysis", "format": "csv", "recipient": recipient});
        insist(thief, &format!("{base}/disclosures"), &body)?;
    }
    insist(thief, "/api/v1/account/passkeys/begin", &json!({}))?;
    thief.tries("POST", "/api/v1/account/passkeys", &made)?;
    insist(thief, "/api/v1/account/recovery-codes", &json!({}))?;
    for guess in 0..GUESSES {
        let address = json!({"address": format!("guess.{guess}@elsewhere.example")});
        thief.tries("POST", &format!("{base}/persons/find"), &address)?;
    }
    Ok(())
}

fn stolen_session(staff: &mut Staff) -> Result<Stolen> {
    let (phished, on_duty, project) = (&staff.phished, staff.responder.seat.clone(), staff.project);
    let site = phished.seat.site.seen_by("python-requests/2.32");
    let seat = Seat { site, address: "203.0.113.66".to_owned(), ..phished.seat.clone() };
    let from_us = now_us();
    let responder = &mut staff.responder;
    let (thief, contained) = std::thread::scope(|scope| {
        let thief = scope.spawn(|| {
            let mut thief = Thief { seat, requests: 0, refused: 0, values: 0 };
            plunder(&mut thief, phished, project).map(|()| thief)
        });
        let contained = (|| {
            let found = until(LOOK_EVERY, ALARM_WAIT, || alarm(&on_duty, phished.id))?;
            let (found, noticed_ms) = (found.context("nothing noticed the stolen session")?, ms_since(from_us));
            let (contained_ms, _) = contain(responder, found.incident, &[phished.id])?;
            Ok::<_, anyhow::Error>((found, noticed_ms, contained_ms))
        })();
        (thief.join(), contained)
    });
    let mut thief = thief.map_err(|_| anyhow::anyhow!("the thief ended"))??;
    let (alarm, noticed_ms, contained_ms) = contained?;
    let (requests, refused) = (thief.requests, thief.refused);
    thief.tries("GET", "/api/v1/projects", &Value::Null)?;
    thief.tries("GET", &format!("/api/v1/projects/{project}/status"), &Value::Null)?;
    let works_after = 2 - (thief.refused - refused);
    close(&mut staff.commander, alarm.incident)?;
    Ok(Stolen { requests, refused, values: thief.values, rule: alarm.rule, noticed_ms, contained_ms, works_after })
}

/// A request that was made, and may be approved and run.
struct Grant {
    id: u64,
    hash: Value,
}

impl Grant {
    fn path(&self, rest: &str) -> String {
        format!("/api/v1/disclosures/{}/{rest}", self.id)
    }

    fn approve(&self, by: &mut Colleague) -> Result<()> {
        by.done("POST", &self.path("approval"), &json!({"hash": self.hash})).map(drop)
    }
}

/// A privacy officer asks for addresses and names of half of all persons, a steward approves, and it is run.
fn two_collude(staff: &mut Staff, key: &age::x25519::Identity) -> Result<(Two, Grant)> {
    let half = json!({"kind": "did", "matching": {"event": persons::EVENT_OF_HALF},
        "times": {"op": "at_least", "count": 1}});
    let body = json!({"what": {"kind": "persons", "who": half, "fields": ["email", "name"]}, "purpose": "migration",
        "format": "csv", "recipient": key.to_public().to_string()});
    let path = format!("/api/v1/projects/{}/disclosures", staff.project);
    let made = staff.officer.done("POST", &path, &body)?;
    let grant = Grant { id: made["id"].as_u64().context("no disclosure")?, hash: made["hash"].clone() };
    grant.approve(&mut staff.steward)?;

    let run = staff.officer.signed("POST", &grant.path("run"), &json!({"hash": grant.hash}))?;
    let (seat, on_duty, first_us) = (staff.officer.seat.clone(), staff.responder.seat.clone(), AtomicI64::new(0));
    let from_us = now_us();
    let (sent, found, noticed_ms) = std::thread::scope(|scope| {
        let sent = scope.spawn(|| -> Result<(u16, Download)> {
            let (status, body) = run.open(&seat)?;
            Ok((status, Download::read(body, &first_us)))
        });
        let found = until(LOOK_EVERY, ALARM_WAIT, || alarm(&on_duty, staff.officer.id));
        let noticed_ms = ms_since(from_us);
        (sent.join(), found, noticed_ms)
    });
    let (status, download) = sent.map_err(|_| anyhow::anyhow!("the reader ended"))??;
    let found = found?.context("nothing noticed that half of all persons were asked for")?;
    let loot = match status {
        200 => Pairs::of_export(&opened(&download.bytes, key)?)?.0,
        _ => Pairs::default(),
    };
    // They say that it was a mistake, and are believed.
    let trips = staff.responder.seat.get("/api/v1/limits")?;
    let open = trips["trips"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|trip| trip["closed_at"].is_null() && trip["by_member"] == staff.officer.id);
    for trip in open {
        let path = format!("/api/v1/limits/{}/closing", trip["id"]);
        staff.responder.done("POST", &path, &json!({}))?;
        staff.commander.done("POST", &path, &json!({}))?;
    }
    close(&mut staff.commander, found.incident)?;
    Ok((Two { persons: loot.persons() as u64, rule: found.rule, noticed_ms }, grant))
}

/// A second steward approves the same request: no limit stops what two others approved. Then everything that follows.
fn three_collude(
    place: &Place,
    staff: &mut Staff,
    key: &age::x25519::Identity,
    grant: &Grant,
    &Played { persons, is_watched, keep, .. }: &Played<'_>,
) -> Result<Three> {
    grant.approve(&mut staff.second_steward)?;
    let run = staff.officer.signed("POST", &grant.path("run"), &json!({"hash": grant.hash}))?;
    let (seat, first_us, from_us) = (staff.officer.seat.clone(), AtomicI64::new(0), now_us());
    let members: Vec<u64> = staff.colluding().map(|one| one.id).to_vec();
    let responder = &mut staff.responder;
    let (sent, acted) = std::thread::scope(|scope| {
        let sent = scope.spawn(|| -> Result<(u16, Download)> {
            let (status, body) = run.open(&seat)?;
            Ok((status, Download::read(body, &first_us)))
        });
        if is_watched {
            let acted = on_duty(responder, from_us, &members);
            (sent.join(), acted)
        } else {
            (sent.join(), on_duty(responder, from_us, &members))
        }
    });
    let (status, download) = sent.map_err(|_| anyhow::anyhow!("the reader ended"))??;
    ensure!(status == 200, "what two others approved was not run: {status}");
    let Acted { incident, noticed_us, contained_ms, contained_us, answered_us } = acted?;
    let first_us = first_us.load(Ordering::Acquire);
    let last_us = download.last_us().context("nothing was taken")?;
    let path = |rest: &str| format!("/api/v1/incidents/{incident}/{rest}");

    let opened_after = staff.responder.seat.get(&format!("/api/v1/disclosed?limit=500&from={}", utc(contained_us)))?;
    let is_of_grant = |one: &&Value| one["grant"] == grant.id;
    let chunks_after = opened_after["disclosures"].as_array().into_iter().flatten().filter(is_of_grant).count();
    let mut works_after = 0;
    for one in staff.colluding() {
        works_after += u64::from(one.seat.send("GET", "/api/v1/projects", &Value::Null)?.status < 400);
    }

    // The loot, which only the attackers know.
    let (loot, addresses) = Pairs::of_export(&opened(&download.bytes, key)?)?;
    let folder = keep.unwrap_or(place.scratch());
    let file = folder.join("loot.csv");
    loot.write(&file)?;

    crate::progress("whom it concerns");
    let said = json!({"occurred_us": [first_us, last_us.max(first_us + 1)], "aware_us": noticed_us});
    staff.commander.done("POST", &format!("/api/v1/incidents/{incident}"), &said)?;
    let any_of: Vec<Value> = members.iter().map(|member| json!({"member": member})).collect();
    let question = json!({"from": "exposure", "question": {"any_of": any_of, "from": utc(from_us)}});
    let (scoped, scope_ms) = timed(|| staff.commander.done("POST", &path("scopes"), &question))?;

    crate::progress(&format!("{} persons in {scope_ms:.0} ms; the package of them", scoped["persons"]));
    let wanted = json!({"recipient": key.to_public().to_string()});
    let begun = Instant::now();
    let waits = staff.owner.done("POST", &path("package"), &wanted)?;
    let waiting = waits["waiting"].as_u64().context("a package for which nobody else is asked")?;
    staff.deputy.done("POST", &format!("/api/v1/waiting/{waiting}/agree"), &json!({}))?;
    let package = staff.owner.act("POST", &path("package"), &wanted)?;
    let package_ms = begun.elapsed().as_secs_f64() * 1e3;
    ensure!(package.status == 200, "no package: {} {}", package.status, package.code());
    let list = opened(&in_tar(&package.body, "scope.csv.age")?, key)?;
    let scope = Pairs::of_package(&list)?;
    if let Some(folder) = keep {
        scope.write(&folder.join("scope.csv"))?;
    }
    let known = Pairs::read(&file)?;
    let score = Score::of(&scope, &known);

    crate::progress(&format!("{} bytes in {package_ms:.0} ms; notices", package.body.len()));
    let english = json!({"language": "en"});
    staff.owner.done("POST", &path("notices/sign"), &english)?;
    staff.commander.done("POST", &path("notices/sign"), &english)?;
    let signed_us = now_us();
    staff.commander.done("POST", &format!("/api/v1/incidents/{incident}"), &json!({"make_public": true}))?;
    let shown = until(LOOK_EVERY, ALARM_WAIT, || {
        let reply = staff.responder.seat.site.call("GET", &format!("/incidents/{incident}"), &[], &Value::Null)?;
        Ok((reply.status == 200).then(now_us))
    })?;
    let public_us = shown.context("the incident's page is not public")?;
    let notices = notices(place, staff, incident, (first_us, signed_us), &addresses)?;
    close(&mut staff.commander, incident)?;
    Ok(Three {
        asked: u64::from(persons::of_half(persons)),
        persons: known.persons() as u64,
        values: known.values(),
        is_whole: download.is_whole,
        bytes: download.bytes.len() as u64,
        noticed_ms: (noticed_us - first_us) as f64 / 1e3,
        contained_ms,
        stopped_ms: (last_us - first_us) as f64 / 1e3,
        chunks_after: chunks_after as u64,
        bytes_after: download.after(answered_us) as u64,
        works_after,
        acted_ms: (answered_us - noticed_us) as f64 / 1e3,
        scope_ms,
        scope_persons: scoped["persons"].as_u64().unwrap_or_default(),
        package_ms,
        package_bytes: package.body.len() as u64,
        precision: score.precision,
        recall: score.recall,
        persons_beyond: scope.persons_beyond(&known) as u64,
        persons_missed: known.persons_beyond(&scope) as u64,
        public_ms: (public_us - first_us) as f64 / 1e3,
        notices,
    })
}

fn timed<T>(act: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let from = Instant::now();
    let done = act()?;
    Ok((done, from.elapsed().as_secs_f64() * 1e3))
}

/// What whoever was on duty did.
struct Acted {
    incident: u64,
    noticed_us: i64,
    contained_ms: f64,
    contained_us: i64,
    answered_us: i64,
}

/// Is told that personal values of many leave, knows of no reason, opens an incident and contains it.
fn on_duty(responder: &mut Colleague, from_us: i64, members: &[u64]) -> Result<Acted> {
    let noticed = until(LOOK_EVERY, ALARM_WAIT, || {
        let alarms = responder.seat.get("/api/v1/alarms")?;
        let is_new = |one: &Value| one["kind"] == "leaving" && one["at_us"].as_i64().is_some_and(|at| at >= from_us);
        Ok(alarms["alarms"].as_array().into_iter().flatten().any(is_new).then(now_us))
    })?;
    let noticed_us = noticed.context("nobody was told that persons are leaving")?;
    let open = json!({"cause": "drill", "account": "staff", "service": "Shop", "detected_us": noticed_us});
    let opened = responder.done("POST", "/api/v1/incidents", &open)?;
    let incident = opened["id"].as_u64().context("no incident")?;
    let (contained_ms, contained_us) = contain(responder, incident, members)?;
    Ok(Acted { incident, noticed_us, contained_ms, contained_us, answered_us: now_us() })
}

/// Waits until every notice went out, and compares who got one with the loot.
fn notices(
    place: &Place,
    staff: &Staff,
    incident: u64,
    (first_us, signed_us): (i64, i64),
    loot: &BTreeSet<String>,
) -> Result<Notices> {
    let path = format!("/api/v1/incidents/{incident}/notices");
    let ended = until(NOTICES_EVERY, NOTICES_WAIT, || {
        let progress = staff.commander.seat.get(&path)?;
        let version = progress["versions"].as_array().and_then(|versions| versions.last()).cloned();
        let version = version.context("no notices were queued")?;
        let waiting = ["queued", "in_flight"].iter().filter_map(|name| version[*name].as_u64()).sum::<u64>();
        Ok((waiting == 0).then_some(version))
    })?;
    let version = ended.context("the notices did not come to an end")?;
    let mails = place.mails()?;
    let persons: Vec<&(i64, String)> = mails.iter().filter(|(_, to)| !Staff::is_of_staff(to)).collect();
    let told: BTreeSet<&str> = persons.iter().map(|(_, to)| to.as_str()).collect();
    let since = |at: Option<i64>, from_us: i64| at.map(|at_us| (at_us - from_us) as f64 / 1e3);
    let (first, last) = (mails.iter().map(|(at, _)| *at).min(), mails.iter().map(|(at, _)| *at).max());
    Ok(Notices {
        sent: mails.len() as u64,
        bounced: version["bounced"].as_u64().unwrap_or_default(),
        suppressed: version["suppressed"].as_u64().unwrap_or_default(),
        twice: (persons.len() - told.len()) as u64,
        missed: loot.iter().filter(|one| !told.contains(one.as_str())).count() as u64,
        beyond: told.iter().filter(|one| !loot.contains(**one)).count() as u64,
        first_ms: since(first, first_us).context("no notice arrived")?,
        last_ms: since(last, first_us).context("no notice arrived")?,
        first_after_signing_ms: since(first, signed_us).context("no notice arrived")?,
    })
}
