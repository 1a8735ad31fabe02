//! Attacks on the ledger: its files, its key, its disk, its clock, and its room.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cofferdam_ledger::tree::{Hash, consistency_proof, leaf, root};
use cofferdam_ledger::verify::{consistency, verify};
use cofferdam_ledger::witness::{Witness, request};
use cofferdam_ledger::{Deadline, Entry, Intent, Kind, Log, Options, Pseudonym, SeenFile, note, signing_key};
use cofferdam_model::{FieldSet, OrgId, PersonalField, ProjectId, limits};
use serde_json::json;

use crate::access::Somebody;
use crate::bad_disk::{BadDisk, Mode};
use crate::disclosure::{listed, persons};
use crate::running::{Reply, Running};
use crate::{Case, Outcome, Stage};

pub(crate) fn cases() -> Vec<Case> {
    let case = |number, title, run| Case { number, title, run };
    vec![
        case(46, "change, delete, insert and reorder entries and subject sets", changed_entries),
        case(47, "rewrite the end of the ledger and sign it with the stolen key", rewritten),
        case(49, "put yesterday's copy of the ledger back", rolled_back),
        case(51, "fill and break the ledger's disk, and ask for personal values", bad_disk),
        case(52, "set the clock to gain a day of a deadline", set_clock),
        case(53, "put what is too large into an entry, and what is no entry into the files", bombs),
        case(54, "flood the ledger with refusals", flood),
    ]
}

const SEED: [u8; 32] = [5; 32];

fn options(folder: &Path) -> Options {
    let seen = Arc::new(SeenFile(folder.join("seen")));
    Options::new(&folder.join("ledger"), &SEED, Arc::new(|| 1_800_000_000_000_000), seen)
}

fn intent(subjects: impl IntoIterator<Item = u32>) -> Intent {
    Intent {
        org: OrgId(1),
        project: ProjectId(1),
        fields: FieldSet::EMPTY.with(PersonalField::Email),
        subjects: subjects.into_iter().collect(),
        context: Entry::of(Kind::Intent),
    }
}

/// The entries of a bundle, and back.
fn unframed(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut entries) = (bytes, Vec::new());
    while let [a, b, after @ ..] = rest {
        let (entry, after) = after.split_at(usize::from(u16::from_be_bytes([*a, *b])));
        entries.push(entry.to_vec());
        rest = after;
    }
    entries
}

fn framed(entries: &[Vec<u8>]) -> Vec<u8> {
    entries.iter().flat_map(|entry| [&(entry.len() as u16).to_be_bytes()[..], entry].concat()).collect()
}

fn changed_entries(stage: &Stage) -> Result<Outcome> {
    let log = Log::open(options(&stage.folder))?;
    for number in 0..255 {
        log.append(Entry { object: number, ..Entry::of(Kind::SignedIn) })?;
    }
    let _ = log.authorise(intent(0..2_000))?;
    log.settle()?;
    drop(log);
    let ledger = stage.folder.join("ledger");
    let key = signing_key(&SEED)?.key().clone();
    ensure!(verify(&ledger, &key)?.wrong.is_empty(), "the ledger is sound to begin with");
    let bundle = ledger.join("tile/entries/000");
    let whole = std::fs::read(&bundle)?;
    let blob = blobs(&ledger.join("blobs"))?.pop().context("a subject set")?;
    let set = std::fs::read(&blob)?;
    let rounds = if stage.is_full { 10_000 } else { 400 };
    let (mut named, mut random) = (0, 88_172_645_463_325_252_u64);
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for round in 0..rounds {
        let expected = if round % 10 == 9 {
            let mut changed = set.clone();
            let at = next(changed.len() as u64) as usize;
            changed[at] ^= 1 << next(8);
            std::fs::write(&blob, changed)?;
            255
        } else {
            let mut entries = unframed(&whole);
            let at = next(255) as usize;
            match round % 4 {
                0 => {
                    let byte = next(entries[at].len() as u64) as usize;
                    entries[at][byte] ^= 1 << next(8);
                }
                1 => drop(entries.remove(at)),
                2 => entries.insert(at, entries[255].clone()),
                _ => entries.swap(at, 255),
            }
            std::fs::write(&bundle, framed(&entries))?;
            at as u64
        };
        named += u64::from(verify(&ledger, &key)?.wrong.first().is_some_and(|wrong| wrong.seq == Some(expected)));
        std::fs::write(&bundle, &whole)?;
        std::fs::write(&blob, &set)?;
    }
    Ok(Outcome { is_through: named < rounds, figure: format!("{named} of {rounds} changes named by their number") })
}

fn blobs(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(blobs(&path)?) } else { found.push(path) }
    }
    Ok(found)
}

fn rewritten(stage: &Stage) -> Result<Outcome> {
    let key = signing_key(&SEED)?;
    let witness = Witness::open(&stage.folder.join("witness"), "w.example/1", &[8; 32], vec![key.key().clone()])?;
    let checkpoint = |leaves: &Vec<Hash>| {
        let Ok(head) = root(leaves, leaves.len() as u64);
        let origin = key.key().name().to_owned();
        let text = note::Checkpoint { origin, size: leaves.len() as u64, root: head }.text();
        format!("{text}\n{}", key.sign(&text, 0))
    };
    let honest: Vec<Hash> = (0..500_u32).map(|number| leaf(&number.to_be_bytes())).collect();
    let first = witness.add_checkpoint(&request(0, &[], &checkpoint(&honest)), 1_800_000_000);
    ensure!(first.status == 200, "the honest checkpoint is signed: {first:?}");
    let (mut signed, mut tries) = (0, 0);
    for from in [0, 100, 499] {
        let mut forged = honest.clone();
        forged[from..].iter_mut().for_each(|leaf| leaf[0] ^= 1);
        forged.extend((0..20).map(|number: u32| leaf(&number.to_le_bytes())));
        // The best proof there is: of the history that was made up.
        let Ok(path) = consistency_proof(&forged, 500, 520);
        let answer = witness.add_checkpoint(&request(500, &path, &checkpoint(&forged)), 1_800_000_001);
        tries += 1;
        if answer.status == 200 {
            signed += 1;
            break;
        }
        ensure!(answer.status == 422, "a fork is answered 422: {answer:?}");
    }
    // Without a witness: whoever kept an old checkpoint proves the fork.
    let log = Log::open(options(&stage.folder.join("a")))?;
    (0..10).try_for_each(|number| log.append(Entry { object: number, ..Entry::of(Kind::SignedIn) }).map(drop))?;
    log.settle()?;
    let kept = log.checkpoint();
    drop(log);
    let other = stage.folder.join("b");
    let log = Log::open(options(&other))?;
    (0..12).try_for_each(|number| log.append(Entry { object: 99 - number, ..Entry::of(Kind::SignedIn) }).map(drop))?;
    log.settle()?;
    let is_unseen = consistency(&other.join("ledger"), key.key(), &kept, &log.checkpoint()).is_ok();
    Ok(Outcome {
        is_through: signed > 0 || is_unseen,
        figure: format!(
            "{signed} of {tries} forged histories signed by the witness; the fork {} by an old checkpoint",
            if is_unseen { "is not shown" } else { "is shown" }
        ),
    })
}

/// The server's program, as long as it is held.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// None when it does not start; then with what it said.
    fn start(stage: &Stage, data: &Path) -> Result<std::result::Result<Server, String>> {
        let mut child = Command::new(&stage.binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--setup-code", "attack-setup-code", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("the server's program does not run")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its output")?).read_line(&mut line)?;
        if let Some((_, address)) = line.trim().split_once("listening on http://") {
            return Ok(Ok(Server { child, address: address.to_owned() }));
        }
        let output = child.wait_with_output()?;
        Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

impl Server {
    /// Posts JSON as the console would, and answers the body of what must be a success.
    fn post(&self, target: &str, body: &serde_json::Value) -> Result<serde_json::Value> {
        let (mut stream, body) = (TcpStream::connect(&self.address)?, body.to_string());
        let (address, len) = (&self.address, body.len());
        write!(
            stream,
            "POST {target} HTTP/1.1\r\nhost: {address}\r\norigin: http://{address}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {len}\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 20"), "{target}: {}", answer.lines().next().unwrap_or_default());
        let (_, body) = answer.split_once("\r\n\r\n").context("an answer has a body")?;
        Ok(serde_json::from_str(body)?)
    }

    /// Makes the first member and project, which the ledger knows of.
    fn set_up(&self) -> Result<()> {
        let (code, email) = ("attack-setup-code", "owner@coffer.example");
        let enrolment = self.post("/api/v1/setup/totp", &json!({"setup_code": code, "email": email}))?;
        let totp = totp_rs::Totp::from_url(enrolment["uri"].as_str().context("an otpauth uri")?)?;
        let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        let set_up = json!({
            "setup_code": code, "organisation": "Coffer Works", "name": "Olivia Owner", "email": email,
            "password": "correct horse battery staple", "totp_code": totp.generate(now_s).to_string(),
            "project": "Shop", "time_zone": "UTC",
        });
        self.post("/api/v1/setup", &set_up).map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    let copied = Command::new("cp").arg("-a").arg(format!("{}/.", from.display())).arg(to).status()?;
    if copied.success() { Ok(()) } else { bail!("could not copy {}", from.display()) }
}

/// Yesterday's copy of the ledger in today's installation, of which everything else is as it was left.
fn rolled_back(stage: &Stage) -> Result<Outcome> {
    let data = stage.folder.join("data");
    drop(Server::start(stage, &data)?.map_err(anyhow::Error::msg)?);
    let yesterday = stage.folder.join("yesterday");
    copy(&data.join("ledger"), &yesterday)?;
    let server = Server::start(stage, &data)?.map_err(anyhow::Error::msg)?;
    server.set_up()?;
    drop(server);
    std::fs::remove_dir_all(data.join("ledger"))?;
    copy(&yesterday, &data.join("ledger"))?;
    Ok(match Server::start(stage, &data)? {
        Ok(_) => Outcome { is_through: true, figure: "starts, and does not know what it did today".to_owned() },
        Err(said) => {
            ensure!(said.contains("rolled back"), "it does not start for another reason: {said}");
            Outcome { is_through: false, figure: "does not start: the ledger was rolled back".to_owned() }
        }
    })
}

fn bad_disk(stage: &Stage) -> Result<Outcome> {
    let disk = Arc::new(BadDisk::default());
    let log = Log::open(Options { disk: disk.clone(), ..options(&stage.folder) })?;
    let _ = log.authorise(intent([1]))?;
    let (mut tickets, mut slowest, mut recovered) = (0, Duration::ZERO, Duration::ZERO);
    for mode in [Mode::Fails, Mode::Hangs] {
        disk.set(mode);
        let is_long = stage.is_full && mode == Mode::Hangs;
        let until = Instant::now() + Duration::from_millis(if is_long { 30_000 } else { 1_000 });
        while Instant::now() < until {
            let started = Instant::now();
            tickets += u64::from(log.authorise(intent([1])).is_ok());
            tickets += u64::from(log.authorise(intent(0..50)).is_ok());
            slowest = slowest.max(started.elapsed());
            std::thread::sleep(Duration::from_millis(5));
        }
        disk.set(Mode::Works);
        let started = Instant::now();
        while log.append(Entry::of(Kind::SignedIn)).is_err() {
            ensure!(started.elapsed() < Duration::from_secs(60), "it does not recover");
            std::thread::sleep(Duration::from_millis(5));
        }
        recovered = recovered.max(started.elapsed());
    }
    drop(log);
    let beside = ingest_beside_a_broken_ledger(stage)?;
    let is_slowed = beside.as_ref().is_some_and(|beside| stage.is_full && beside.ratio < INGEST_RATIO_MIN);
    let answered = beside.as_ref().map_or(0, |beside| beside.answered);
    Ok(Outcome {
        is_through: tickets > 0 || answered > 0 || is_slowed,
        figure: format!(
            "{tickets} tickets without an entry; refused within {} ms, working again after {} ms; {}",
            slowest.as_millis(),
            recovered.as_millis(),
            match beside {
                None => "a server with such a disk was not tried: mounting one needs root".to_owned(),
                Some(Beside { ratio, answered, asked }) => format!(
                    "a server whose ledger's disk fails, and that is asked for personal values all the time, takes in \
                     {:.0} % of the events it takes otherwise beside as many that it answers, and answers {answered} of \
                     {asked}",
                    ratio * 100.0
                ),
            }
        ),
    })
}

/// What a server must still take in while its ledger's disk fails, of what it takes otherwise.
const INGEST_RATIO_MIN: f64 = 0.95;

struct Beside {
    ratio: f64,
    /// Reveals, own data and look-ups of a person while nothing could be written down.
    answered: u64,
    asked: u64,
}

/// A file system of its own for a server's ledger, as long as it is held.
struct Small(PathBuf);

impl Small {
    /// None where that is not allowed.
    fn mount(image: &Path, at: PathBuf) -> Result<Option<Small>> {
        std::fs::create_dir_all(&at)?;
        std::fs::File::create(image)?.set_len(64 << 20)?;
        let ran = |command: &mut Command| command.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        let is_made = ran(Command::new("mkfs.ext4").arg("-qF").arg(image));
        let is_there = is_made && ran(Command::new("mount").args(["-o", "loop"]).arg(image).arg(&at));
        Ok(is_there.then_some(Small(at)))
    }

    /// From now on every write and sync fails.
    fn fail(&self) -> Result<()> {
        let failed = Command::new("mount").args(["-o", "remount,abort"]).arg(&self.0).status()?;
        ensure!(failed.success(), "the file system does not fail");
        Ok(())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Servers whose ledger's disk fails after a while: what they take in before and after, and whether they tell anything.
fn ingest_beside_a_broken_ledger(stage: &Stage) -> Result<Option<Beside>> {
    let (turns, span) = if stage.is_full { (6, Duration::from_secs(5)) } else { (1, Duration::from_millis(500)) };
    let (mut before, mut after, mut answered, mut asked) = (0, 0, 0, 0);
    for turn in 0..turns {
        let folder = stage.folder.join(format!("beside {turn}"));
        std::fs::create_dir(&folder)?;
        let Some(small) = Small::mount(&folder.join("ledger.img"), folder.join("data/ledger"))? else {
            return Ok(None);
        };
        let server = Running::start(&stage.binary, &folder, &[])?;
        let owner = Somebody::owner(&server)?;
        let admin = owner.invite(&["org_admin"], "admin@shop.example")?;
        let steward = owner.steward(&admin, "steward@shop.example")?;
        persons(&server, &server.token, "u", 3)?;
        let person = listed(&owner, server.project)?.pop().context("a person")?;
        let base = format!("/api/v1/projects/{}/persons", server.project);
        // By its number; a passkey is shown for the first two.
        let open = |at: u64| -> Result<Reply> {
            match at {
                0 => {
                    let body = json!({"field": "email", "purpose": "support"});
                    owner.try_act("POST", &format!("{base}/{person}/reveal"), &body)
                }
                1 => {
                    let body = json!({"person": person, "purpose": "subject_access", "format": "ndjson"});
                    owner.try_act("POST", &format!("{base}/access"), &body)
                }
                _ => owner.send("POST", &format!("{base}/find"), &json!({"address": "u1@attacked.example"})),
            }
        };
        // Somebody's own data takes two, once an hour.
        steward.agree(&open(1)?)?;
        for at in 0..3 {
            let reply = open(at)?;
            ensure!(reply.status == 200, "it is answered when it is written down: {}", reply.status);
        }
        requests(&server, span, || Ok(()))?;
        let mut at = 0;
        let mut beside = || -> Result<bool> {
            at += 1;
            // Look-ups have a limit of their own.
            let reply = open(at % 2)?;
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            Ok(reply.status == 200 || text.contains("@attacked.example"))
        };
        before += requests(&server, span, || beside().map(drop))?;
        small.fail()?;
        after += requests(&server, span, || {
            asked += 1;
            answered += u64::from(beside()?);
            Ok(())
        })?;
        asked += 1;
        answered += u64::from(open(2)?.status == 200);
    }
    Ok(Some(Beside { ratio: after as f64 / before.max(1) as f64, answered, asked }))
}

/// Requests with a hundred events that four senders send within a span, while something else goes on as often as it can.
fn requests(server: &Running, span: Duration, mut beside: impl FnMut() -> Result<()>) -> Result<u64> {
    let batch: Vec<serde_json::Value> =
        (0..100).map(|at| server.event(&format!("p{at}"), json!({"plan": "gold"}))).collect();
    let body = serde_json::Value::from(batch).to_string();
    let until = Instant::now() + span;
    let send = || {
        let mut sent = 0;
        while Instant::now() < until {
            ensure!(server.track(body.as_bytes())? == 200, "events were refused");
            sent += 1;
        }
        Ok(sent)
    };
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..4).map(|_| scope.spawn(send)).collect();
        while Instant::now() < until {
            beside()?;
            // As often in both: what is refused at once is no load.
            std::thread::sleep(Duration::from_millis(20));
        }
        senders.into_iter().map(|sender| sender.join().map_err(|_| anyhow::anyhow!("a sender ended"))?).sum()
    })
}

fn set_clock(stage: &Stage) -> Result<Outcome> {
    const DAY_US: i64 = 86_400_000_000;
    let wall = Arc::new(AtomicI64::new(1_800_000_000_000_000));
    let told = wall.clone();
    let log = Log::open(Options { clock: Arc::new(move || told.load(Ordering::SeqCst)), ..options(&stage.folder) })?;
    let (mut gained_us, mut unflagged) = (0_u64, 0);
    log.append(Entry::of(Kind::IncidentOpened))?;
    for jump in [-DAY_US, DAY_US, DAY_US, -DAY_US] {
        log.settle()?;
        let before = log.size();
        let opened = &log.entries(0, before)?[before as usize - 1];
        wall.fetch_add(jump, Ordering::SeqCst);
        let now = log.now();
        let deadline = Deadline::after(opened, 3 * DAY_US as u64, [], now);
        let left_us = deadline.left_us.unwrap_or(0);
        gained_us = gained_us.max(left_us.abs_diff(3 * DAY_US as u64));
        unflagged += u64::from(!deadline.is_clock_in_doubt);
        log.append(Entry::of(Kind::IncidentScoped))?;
    }
    log.settle()?;
    let entries = log.entries(0, 10)?;
    let is_ordered = entries.is_sorted_by_key(|entry| entry.mono_us);
    let moved_s = gained_us / 1_000_000;
    Ok(Outcome {
        is_through: moved_s > 3_600 || unflagged > 0 || !is_ordered,
        figure: format!("deadlines moved by {moved_s} s, {unflagged} of 4 jumps not flagged, in order: {is_ordered}"),
    })
}

fn bombs(stage: &Stage) -> Result<Outcome> {
    let log = Log::open(options(&stage.folder))?;
    let mut taken = 0;
    let sizes = [limits::LEDGER_EXTRA_BYTES_MAX + 1, 2_000];
    for bytes in sizes {
        let extra = b"\r\n\x1b[31m\xe2\x80\xae"[..].iter().copied().cycle().take(bytes).collect();
        taken += u64::from(log.append(Entry { extra, ..Entry::of(Kind::Done) }).is_ok());
    }
    log.settle()?;
    drop(log);
    // What is no entry: claims of 2^64 items, depth without end, text.
    let mut understood = 0;
    for bomb in [
        [&[0xbb][..], &[0xff; 8]].concat(),
        [&[0x5b][..], &[0xff; 8]].concat(),
        vec![0x81; 60_000],
        vec![0xa1; 1_000],
        vec![0xbf; 1_000],
        [&[0xa1, 0x01, 0x7f][..], &[0x61; 500]].concat(),
    ] {
        understood += u64::from(cofferdam_ledger::Recorded::decode(&bomb).is_some());
    }
    Ok(Outcome {
        is_through: taken > 0 || understood > 0,
        figure: format!("{taken} of {} oversized entries taken, {understood} of 6 bombs read as entries", sizes.len()),
    })
}

fn flood(stage: &Stage) -> Result<Outcome> {
    let log = Log::open(options(&stage.folder))?;
    let rounds: u64 = if stage.is_full { 1_000_000 } else { 20_000 };
    let refusal = || Entry { actor: Some(Pseudonym([3; 16])), ..Entry::of(Kind::DisclosureRefused) };
    let is_over = AtomicBool::new(false);
    let mut latencies = Vec::new();
    std::thread::scope(|scope| {
        let flooding = scope.spawn(|| {
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| (0..rounds / 8).for_each(|_| drop(log.append(refusal()))));
                }
            });
            is_over.store(true, Ordering::SeqCst);
        });
        while !is_over.load(Ordering::SeqCst) || latencies.len() < 200 {
            let started = Instant::now();
            if log.append(Entry::of(Kind::Locked)).is_ok() {
                latencies.push(started.elapsed());
            }
        }
        drop(flooding.join());
    });
    let locks = latencies.len() as u64;
    latencies.sort_unstable();
    let p99 = latencies[latencies.len() * 99 / 100];
    drop(log);
    let log = Log::open(options(&stage.folder))?;
    let (mut listed, mut counted, mut from) = (0_u64, 0, 0);
    while from < log.size() {
        for found in log.entries(from, from + 10_000)? {
            match found.entry.kind {
                Kind::DisclosureRefused => listed += 1,
                Kind::RefusalsCounted => counted += found.entry.count,
                _ => {}
            }
        }
        from += 10_000;
    }
    Ok(Outcome {
        is_through: listed > 1_000 || listed + counted != rounds,
        figure: format!(
            "{rounds} refusals: {listed} entries and a count of {counted}; {locks} locks, p99 {:.1} ms",
            p99.as_secs_f64() * 1e3
        ),
    })
}
