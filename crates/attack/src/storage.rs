//! Theft of storage: what somebody has who copies disks, databases, backups or memory.

use std::collections::{BTreeSet, HashSet};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use cofferdam_model::{OrgId, ProjectId, Value as Kept, sabotage};
use cofferdam_vault::wire::{self, Door, IdentityMode, Record};
use cofferdam_vault::{Arrival, BackupHead, Share, Site, Vault, Way};
use serde_json::{Value, json};

use crate::running::{Running, command, done, program};
use crate::{Case, Outcome, Stage};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case { number: 35, title: "The whole data folder is copied and searched for persons", run: search_disk },
        Case { number: 36, title: "The vault's databases are copied without the root key", run: without_root },
        Case { number: 37, title: "A dictionary of addresses is tried against stored pseudonyms", run: dictionary },
        Case { number: 39, title: "Nonces repeat over restarts and copies of the disk", run: nonces },
        Case { number: 41, title: "Another process of the account reads the server's memory", run: memory },
        Case { number: 43, title: "Wrong shares, and a stream of an organisation that is sealed", run: sealed },
        Case { number: 44, title: "A backup is read without its keys, or put back as an older format", run: backup },
    ]
}

/// A value that may be stored as sent: what a search must find to show that it sees.
const CONTROL: &str = "control-plan-violet";

/// So that what is sent is written to segments soon.
const FLUSHING: &[&str] = &["--flush-events", "500"];

pub(crate) fn wait<T>(task: impl Future<Output = T>) -> Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(task))
}

/// Every file below a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

/// A file's bytes; none when it is gone since it was listed, as the logs of databases go when these are closed.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        read => Ok(read?),
    }
}

pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    for path in files(from)? {
        let target = to.join(path.strip_prefix(from)?);
        std::fs::create_dir_all(target.parent().context("a file lies in a folder")?)?;
        match std::fs::copy(&path, target) {
            // Gone since it was listed: it was temporary.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            copied => drop(copied?),
        }
    }
    Ok(())
}

/// The ways in which a text may lie on a disk. Of base64, what does not change with its neighbours.
fn written(text: &str) -> Vec<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut forms = vec![
        bytes.to_vec(),
        text.to_lowercase().into_bytes(),
        text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes(),
    ];
    for before in 0..3 {
        let whole = STANDARD_NO_PAD.encode([&vec![0; before][..], bytes].concat());
        let end = (before + bytes.len()) / 3 * 4;
        forms.push(whole.as_bytes()[[0, 2, 3][before]..end].to_vec());
    }
    forms
}

/// How many of the texts are found in a folder, in any form, also inside gzip and zlib streams.
fn found(folder: &Path, texts: &[String]) -> Result<BTreeSet<String>> {
    // By the first eight bytes, which one look at each place finds.
    let mut forms: std::collections::HashMap<[u8; 8], Vec<(Vec<u8>, &str)>> = Default::default();
    for text in texts {
        for form in written(text) {
            if let Some(first) = form.first_chunk::<8>() {
                forms.entry(*first).or_default().push((form, text));
            }
        }
    }
    let mut hits = BTreeSet::new();
    let mut look = |bytes: &[u8]| {
        for (at, window) in bytes.windows(8).enumerate() {
            let first: &[u8; 8] = window.try_into().expect("windows of eight");
            for (form, text) in forms.get(first).into_iter().flatten() {
                if bytes[at..].starts_with(form) {
                    hits.insert((*text).to_owned());
                }
            }
        }
    };
    for path in files(folder)? {
        let bytes = read(&path)?;
        look(&bytes);
        for at in 0..bytes.len().saturating_sub(4) {
            let mut inner = Vec::new();
            let read = match &bytes[at..at + 3] {
                [0x1f, 0x8b, 8] => flate2::read::GzDecoder::new(&bytes[at..]).take(1 << 24).read_to_end(&mut inner),
                [0x78, 0x01 | 0x5e | 0x9c | 0xda, _] => {
                    flate2::read::ZlibDecoder::new(&bytes[at..]).take(1 << 24).read_to_end(&mut inner)
                }
                _ => continue,
            };
            // A stream that breaks off still gives what came before.
            let _ = read;
            look(&inner);
        }
    }
    Ok(hits)
}

/// What is known of each person; each text is unique.
struct Person {
    id: String,
    email: String,
    name: String,
    ip: String,
}

fn persons(count: usize) -> Vec<Person> {
    let person = |n: usize| Person {
        id: format!("Zweigstelle{n:05}"),
        email: format!("birgit.vogel{n:05}@seeded.example"),
        name: format!("Birgit{n:05} Vogelsang"),
        ip: format!("198.51.{}.{}", 100 + n / 250 % 100, 1 + n % 250),
    };
    (0..count).map(person).collect()
}

fn texts(persons: &[Person]) -> Vec<String> {
    let all = persons.iter().flat_map(|person| [&person.id, &person.email, &person.name, &person.ip]);
    all.cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

/// A server that was sent persons through every door, and asked about them.
fn seeded(stage: &Stage, count: usize) -> Result<(Running, Vec<Person>)> {
    let server = Running::start(&stage.binary, &stage.folder, FLUSHING)?;
    let persons = persons(count);
    for chunk in persons.chunks(200) {
        let events: Vec<Value> = chunk
            .iter()
            .flat_map(|person| {
                let personal = json!({"plan": CONTROL, "email": person.email, "$name": person.name, "$ip": person.ip,
                    "note": format!("write to {}", person.email), "org_id": person.id});
                // Some twice, so that what is kept is also flushed.
                [server.event(&person.id, personal.clone()), server.event(&person.id, personal)]
            })
            .collect();
        ensure!(server.send("/track", &events)? == 200, "the events were not taken");
        let updates: Vec<Value> = chunk
            .iter()
            .map(|person| {
                json!({"$token": server.token, "$distinct_id": person.id,
                    "$set": {"$email": person.email, "$name": person.name, "manager": person.email}})
            })
            .collect();
        ensure!(server.send("/engage", &updates)? == 200, "the profiles were not taken");
    }
    let question = json!({"kind": "insights", "range": {"kind": "last", "count": 2, "unit": "day"}, "unit": "day",
        "metrics": [{"matching": {}, "measure": "total"}], "breakdown": {"by": [{"property": "plan"}], "limit": 10}});
    let reply = server.ask("POST", "/api/v1/projects/1/query", &question)?;
    ensure!(reply.status == 200, "the question was refused: {}", String::from_utf8_lossy(&reply.body));
    Ok((server, persons))
}

fn search_disk(stage: &Stage) -> Result<Outcome> {
    let count = if stage.is_full { 10_000 } else { 400 };
    let (mut server, persons) = seeded(stage, count)?;
    let data = server.data.clone();
    // While it runs, and after it ended: temporary files too.
    let stolen = stage.folder.join("stolen");
    copy_folder(&data, &stolen.join("running"))?;
    server.stop()?;
    copy_folder(&data, &stolen.join("stopped"))?;
    let texts = texts(&persons);
    let hits = found(&stolen, &texts)?;
    let control = found(&stolen, &[CONTROL.to_owned()])?;
    ensure!(!control.is_empty(), "the search does not see into the files");
    let bytes: u64 = files(&stolen)?.iter().filter_map(|path| Some(path.metadata().ok()?.len())).sum();
    Ok(Outcome {
        is_through: !hits.is_empty(),
        figure: format!(
            "{} of {} addresses, names, ids and IP addresses found in {:.1} MB, plain, UTF-16, hex, base64 or gzip; the control was found",
            hits.len(),
            texts.len(),
            bytes as f64 / 1e6
        ),
    })
}

/// Keys that somebody without the root key can think of: constants, and everything that lies in the stolen files.
fn guesses(stolen: &Path) -> Result<HashSet<[u8; 32]>> {
    let mut keys: HashSet<[u8; 32]> = (0..=255).map(|byte| [byte; 32]).collect();
    for name in ["apart/shreds.log", "ledger/checkpoint", "lock"] {
        let bytes = std::fs::read(stolen.join(name)).unwrap_or_default();
        keys.extend(bytes.windows(32).take(200).filter_map(|window| <[u8; 32]>::try_from(window).ok()));
    }
    let keys_db = std::fs::read(stolen.join("keys.db"))?;
    keys.extend(keys_db.chunks_exact(32).filter_map(|chunk| <[u8; 32]>::try_from(chunk).ok()));
    Ok(keys)
}

fn without_root(stage: &Stage) -> Result<Outcome> {
    let (mut server, _) = seeded(stage, 40)?;
    let data = server.data.clone();
    server.stop()?;
    let stolen = stage.folder.join("stolen");
    copy_folder(&data, &stolen)?;
    std::fs::remove_file(stolen.join("root.key"))?;
    let site = Site::in_folder(&stolen);
    let mut tried = 0;
    let mut opened = usize::from(wait(Vault::open(&site))?.is_ok());
    let wanted = wait(Vault::wanted(&site))??.context("there are keys in the folder")?;
    for guess in guesses(&stolen)? {
        let digits: String = guess.iter().map(|byte| format!("{byte:02x}")).collect();
        let file = stage.folder.join("guess.key");
        std::fs::write(&file, digits)?;
        tried += 1;
        if let Ok(root) = wanted.with_key_file(&file) {
            opened += usize::from(wait(Vault::unseal(&site, root))?.is_ok());
        }
    }
    Ok(Outcome {
        is_through: opened > 0,
        figure: format!("{opened} decrypts without the root key, with {tried} keys tried"),
    })
}

/// Events as they come in at the door.
pub(crate) fn events_of(body: &[u8]) -> Result<Vec<wire::ValidEvent<'_>>> {
    let records = wire::read_events(body).map_err(|_| anyhow::anyhow!("the body has events"))?;
    let valid = records.into_iter().map(|record| {
        let sent = record.read.map_err(|_| anyhow::anyhow!("the record is an event"))?;
        match wire::validate(sent, Door::Track, IdentityMode::Simplified, 1_800_000_000_000_000) {
            Ok(Record::Event(event)) => Ok(event),
            _ => anyhow::bail!("the event is valid"),
        }
    });
    valid.collect()
}

fn dictionary(stage: &Stage) -> Result<Outcome> {
    let (stored, words) = if stage.is_full { (20_000, 10_000_000) } else { (1_000, 100_000) };
    let data = stage.folder.join("data");
    std::fs::create_dir(&data)?;
    let emails: Vec<String> = persons(words).into_iter().map(|person| person.email).collect();
    let (mut linked, mut compared) = (0, 0);
    wait(async {
        let vault = Vault::open(&Site::in_folder(&data)).await?;
        for number in [1, 2] {
            vault.create_project(OrgId(number), ProjectId(number)).await?;
        }
        for chunk in emails[..stored].chunks(500) {
            let mut pseudonyms = Vec::new();
            let events =
                chunk.iter().map(|email| json!({"event": "e", "properties": {"distinct_id": email, "org_id": email}}));
            let body = events.collect::<Value>().to_string();
            for project in [ProjectId(1), ProjectId(2)] {
                let sealed = vault.seal(project, events_of(body.as_bytes())?, Arrival::default(), 0).await?;
                let keyed = sealed.events.iter().map(|event| match event.properties.first() {
                    Some((_, Kept::String(text))) => text.clone(),
                    _ => String::new(),
                });
                pseudonyms.push(keyed.collect::<Vec<String>>());
            }
            compared += chunk.len();
            linked += pseudonyms[0].iter().zip(&pseudonyms[1]).filter(|(one, other)| one == other).count();
        }
        anyhow::Ok(())
    })??;
    // Whatever lies anywhere in the files in eight bytes: half of a stored pseudonym tells enough.
    let mut windows: HashSet<[u8; 8]> = HashSet::new();
    for path in files(&data)?.into_iter().filter(|path| path.to_string_lossy().contains("vault.db")) {
        let bytes = read(&path)?;
        windows.extend(bytes.windows(8).filter_map(|window| <[u8; 8]>::try_from(window).ok()));
    }
    // Low words are met by chance and by numbers of pages.
    windows.retain(|window| window.iter().filter(|byte| **byte == 0).count() < 4);
    let matched = emails.iter().filter(|email| digests(email).iter().any(|digest| windows.contains(digest))).count();
    Ok(Outcome {
        is_through: matched > 0 || linked > 0,
        figure: format!(
            "{matched} of {words} addresses matched {stored} stored pseudonyms, in 18 ways to hash each; {linked} of {compared} linked between two organisations"
        ),
    })
}

/// What somebody without the key can make of an address: hashes, and keyed hashes with the keys one would try.
fn digests(email: &str) -> Vec<[u8; 8]> {
    let first = |digest: &[u8]| *digest.first_chunk().expect("SHA-256 has 32 bytes");
    let mut found = Vec::with_capacity(18);
    for domain in ["", "pid\0", "join\0"] {
        let text = [domain.as_bytes(), email.as_bytes()].concat();
        found.push(first(digest::digest(&digest::SHA256, &text).as_ref()));
        for key in [&[0; 32][..], &[1; 32], &[0xff; 32], b"cofferdam", b"secret"] {
            found.push(first(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &text).as_ref()));
        }
    }
    found
}

fn nonces(stage: &Stage) -> Result<Outcome> {
    let count: usize = if stage.is_full { 100_000_000 } else { 1_000_000 };
    let data = stage.folder.join("data");
    std::fs::create_dir(&data)?;
    let open = |folder: PathBuf| wait(async move { Vault::open(&Site::in_folder(&folder)).await });
    drop(open(data.clone())??);
    let mut seen: Vec<u64> = Vec::with_capacity(count);
    // A life, a restart, and a copy of the disk that goes on beside the first: all with the same keys.
    let copy = stage.folder.join("copy");
    let mut sealed = |vault: &Vault, many: usize| {
        for field in 0..many {
            let ciphertext = vault.seal_secret("field", field as u32, b"a value");
            // Behind format and key id; eight of the 24 bytes tell.
            seen.push(u64::from_le_bytes(*ciphertext[5..].first_chunk().expect("a ciphertext has a nonce")));
        }
    };
    sealed(&open(data.clone())??, count / 4);
    copy_folder(&data, &copy)?;
    let (restarted, copied) = (open(data)??, open(copy)??);
    sealed(&restarted, count / 4);
    sealed(&copied, count / 4);
    sealed(&restarted, count - count / 4 * 3);
    let all = seen.len();
    seen.sort_unstable();
    seen.dedup();
    let repeats = all - seen.len();
    Ok(Outcome {
        is_through: repeats > 0,
        figure: format!(
            "{repeats} repeats of (key, nonce) in {all} sealed fields over a restart and a copy of the disk"
        ),
    })
}

/// An account without rights, when the attack runs as root: it can be another process of the server's own account.
const NOBODY: u32 = 65_534;

fn memory(stage: &Stage) -> Result<Outcome> {
    use std::os::unix::fs::{PermissionsExt, chown};
    let account = rustix::process::geteuid().is_root().then_some(NOBODY);
    let (home, binary) = (stage.folder.join("home"), stage.folder.join("cofferdam"));
    std::fs::create_dir(&home)?;
    std::fs::copy(&stage.binary, &binary)?;
    if let Some(account) = account {
        std::fs::set_permissions(&stage.folder, std::fs::Permissions::from_mode(0o711))?;
        chown(&home, Some(account), Some(account))?;
    }
    let server = Running::start_as(account, &binary, &home, FLUSHING)?;
    ensure!(server.send("/track", &[server.event("p", json!({"email": "a@seeded.example"}))])? == 200);
    let proc = PathBuf::from(format!("/proc/{}", server.pid()));
    let readable = ["mem", "environ", "maps"]
        .into_iter()
        .filter(|name| {
            let read = program(Path::new("/usr/bin/head"), account).args(["-c", "1"]).arg(proc.join(name)).output();
            // Memory has nothing at its beginning: opening it is what counts.
            read.is_ok_and(|output| !String::from_utf8_lossy(&output.stderr).contains("denied"))
        })
        .count();
    let limits = std::fs::read_to_string(proc.join("limits"))?;
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap_or_default().to_owned();
    let dumps = core.split_whitespace().rev().nth(1) != Some("0");
    // The key lies in its file and nowhere else, also after a crash.
    let root = std::fs::read_to_string(server.data.join("root.key"))?;
    let root: Vec<u8> = (0..32).filter_map(|at| u8::from_str_radix(root.get(at * 2..at * 2 + 2)?, 16).ok()).collect();
    ensure!(root.len() == 32, "the root key has 32 bytes");
    let pid = server.pid().to_string();
    ensure!(Command::new("kill").args(["-ABRT", &pid]).status()?.success());
    let data = server.data.clone();
    drop(server);
    let mut copies = 0;
    for path in files(&home)?.iter().filter(|path| !path.ends_with("root.key")) {
        let bytes = read(path)?;
        copies += usize::from(bytes.windows(32).any(|window| window == root));
        copies += usize::from(path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("core")));
    }
    ensure!(data.join("root.key").exists());
    Ok(Outcome {
        is_through: readable > 0 || dumps || copies > 0,
        figure: format!(
            "{readable} of 3 files of its memory readable by its own account, core dumps {}, {copies} copies of the root key on disk after a crash",
            if dumps { "on" } else { "off" }
        ),
    })
}

fn custodians(count: usize) -> (Vec<age::x25519::Identity>, Vec<String>) {
    let identities: Vec<_> = (0..count).map(|_| age::x25519::Identity::generate()).collect();
    let recipients = identities.iter().map(|identity| identity.to_public().to_string()).collect();
    (identities, recipients)
}

fn sealed(stage: &Stage) -> Result<Outcome> {
    use age::secrecy::ExposeSecret;
    // First the shares.
    let site = Site::in_folder(&stage.folder.join("shared"));
    std::fs::create_dir(&site.folder)?;
    let (identities, recipients) = custodians(5);
    let way = |recipients: &[String]| Way::Shares { threshold: 3, recipients: recipients.to_vec() };
    let read = |shares: &[cofferdam_vault::CustodianShare], at: usize| {
        Share::decrypt(shares[at].armored.as_bytes(), identities[at].to_string().expose_secret())
    };
    let old = wait(Vault::init(&site, way(&recipients)))??;
    let wanted = || -> Result<_> { wait(Vault::wanted(&site))??.context("there are keys in the folder") };
    let all = |shares: &[cofferdam_vault::CustodianShare], numbers: &[usize]| {
        numbers.iter().map(|at| read(shares, *at)).collect::<Result<Vec<Share>, _>>()
    };
    let root = wanted()?.with_shares(&all(&old, &[0, 2, 4])?)?;
    let vault = wait(Vault::unseal(&site, root))??;
    let new = wait(vault.rekey(&site, way(&recipients)))??;
    let wanted = wanted()?;
    let mut opened = 0;
    for numbers in [[0, 1].as_slice(), &[3, 4], &[2, 2, 2]] {
        opened += usize::from(wanted.with_shares(&all(&new, numbers)?).is_ok());
    }
    opened += usize::from(wanted.with_shares(&all(&old, &[0, 1, 2])?).is_ok());
    let mut mixed = all(&new, &[0, 1])?;
    mixed.push(read(&old, 2)?);
    opened += usize::from(wanted.with_shares(&mixed).is_ok());
    ensure!(wanted.with_shares(&all(&new, &[1, 2, 3])?).is_ok(), "three shares of this set make the key");

    // Then the stream.
    let server = Running::start(&stage.binary, &stage.folder, FLUSHING)?;
    let mut stream = server.follow()?;
    let (shown, sealing) = (std::sync::Arc::new(std::sync::Mutex::new(Vec::new())), std::time::Duration::from_secs(1));
    let heard = shown.clone();
    let listener = std::thread::spawn(move || {
        stream.set_read_timeout(Some(sealing * 3))?;
        let mut buffer = [0; 64 * 1024];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok::<bool, std::io::Error>(true),
                Ok(bytes) => heard.lock().expect("nobody panics").extend_from_slice(&buffer[..bytes]),
                Err(_) => return Ok(false),
            }
        }
    });
    let chunks = || {
        let shown = shown.lock().expect("nobody panics");
        shown.windows(6).filter(|window| window == b"\ndata:").count()
    };
    let event = |at: usize| server.event(&format!("p{at}"), json!({"plan": CONTROL}));
    for at in 0..20 {
        ensure!(server.send("/track", &[event(at)])? == 200);
    }
    while chunks() < 20 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    done(command(&stage.binary, &["keys", "seal", "--organisation", "1"], &server.data)?)?;
    let before = chunks();
    let mut answered = 0;
    for at in 0..20 {
        answered += usize::from(server.send("/track", &[event(100 + at)])? != 503);
        answered += usize::from(server.ask("GET", "/api/v1/projects/1/status", &Value::Null)?.status != 423);
    }
    let ended = listener.join().map_err(|_| anyhow::anyhow!("the listener ended"))??;
    let late = chunks() - before;
    let (beside, without) = others_while_sealing(stage)?;
    Ok(Outcome {
        is_through: opened > 0 || answered > 0 || !ended || late > 1,
        figure: format!(
            "{opened} of 5 sets of too few, old or mixed shares opened; after sealing, {answered} of 40 requests answered, stream {}, {late} chunks late; p99 of another organisation's requests {beside:.2} ms while one is sealed and refused, {without:.2} ms while it is not",
            if ended { "ended" } else { "went on" }
        ),
    })
}

/// What one organisation's requests take at the vault, in milliseconds at the 99th of a hundred, while another is
/// sealed, refused and opened again, and while it sends as usual; in turns.
fn others_while_sealing(stage: &Stage) -> Result<(f64, f64)> {
    let data = stage.folder.join("two organisations");
    std::fs::create_dir(&data)?;
    let (turns, requests) = if stage.is_full { (20, 500) } else { (4, 60) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let vault = std::sync::Arc::new(Vault::open(&Site::in_folder(&data)).await?);
        for number in [1, 2] {
            vault.create_project(OrgId(number), ProjectId(number)).await?;
        }
        let body = |name: &str, at: usize| {
            let event = |one: usize| {
                json!({"event": "e", "properties": {"distinct_id": format!("{name} {at} {one}"),
                "email": format!("{name}{at}.{one}@seeded.example")}})
            };
            (0..5).map(event).collect::<Value>().to_string()
        };
        let (mut beside, mut without) = (Vec::new(), Vec::new());
        for turn in 0..turns * 2 {
            let is_sealing = turn % 2 == 0;
            if is_sealing {
                vault.seal_organisation(OrgId(1)).await?;
            }
            let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
            let (other, over) = (vault.clone(), is_over.clone());
            // The same stream of the first organisation in both: taken in one, refused in the other.
            let stream = tokio::spawn(async move {
                let mut refused = 0;
                for at in 0.. {
                    if over.load(std::sync::atomic::Ordering::SeqCst) {
                        break;
                    }
                    let text = body("first", turn * 1_000_000 + at);
                    let events = events_of(text.as_bytes())?;
                    refused += usize::from(other.seal(ProjectId(1), events, Arrival::default(), 0).await.is_err());
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                anyhow::Ok(refused)
            });
            for at in 0..requests {
                let text = body("second", turn * 1_000_000 + at);
                let events = events_of(text.as_bytes())?;
                let started = std::time::Instant::now();
                vault.seal(ProjectId(2), events, Arrival::default(), 0).await?;
                let times = if is_sealing { &mut beside } else { &mut without };
                times.push(started.elapsed());
            }
            is_over.store(true, std::sync::atomic::Ordering::SeqCst);
            let refused = stream.await??;
            ensure!(sabotage::is_out(43) || (refused > 0) == is_sealing, "the first organisation is sealed, or is not");
            if is_sealing {
                vault.unseal_organisation(OrgId(1)).await?;
            }
        }
        let p99 = |mut times: Vec<std::time::Duration>| {
            times.sort_unstable();
            times[times.len() * 99 / 100].as_secs_f64() * 1e3
        };
        Ok((p99(beside), p99(without)))
    })
}

fn backup(stage: &Stage) -> Result<Outcome> {
    let (mut server, persons) = seeded(stage, if stage.is_full { 10_000 } else { 200 })?;
    let (data, to) = (server.data.clone(), stage.folder.join("backup"));
    done(command(&stage.binary, &["backup", &to.display().to_string()], &data)?)?;
    server.stop()?;
    // Not even what may be stored in clear on the server's own disk is readable, nor what the files are.
    let mut wanted = texts(&persons);
    wanted.extend([CONTROL, "SQLite format 3", "parquet-rs", "Attacked"].map(str::to_owned));
    let hits = found(&to, &wanted)?;
    ensure!(!found(&data, &["SQLite format 3".to_owned()])?.is_empty(), "the search does not see databases");
    let (key, apart) = (data.join("root.key").display().to_string(), data.join("apart").display().to_string());
    let from = to.display().to_string();
    let mut restored = 0;
    let try_to = |name: &str, key: &str, apart: &str| -> Result<bool> {
        let target = stage.folder.join(name);
        let words = ["restore", &from, "--apart", apart, "--root-key", key];
        let is_there = command(&stage.binary, &words, &target)?.status.success();
        Ok(is_there)
    };
    let guess = stage.folder.join("guess.key");
    std::fs::File::create(&guess)?.write_all("5a".repeat(32).as_bytes())?;
    restored += usize::from(try_to("guessed", &guess.display().to_string(), &apart)?);
    // The root key alone does not open the keys of a backup whose own key was destroyed.
    let empty = stage.folder.join("without-backup-keys");
    copy_folder(&data.join("apart"), &empty)?;
    std::fs::remove_dir_all(empty.join("backup-keys"))?;
    restored += usize::from(try_to("expired", &key, &empty.display().to_string())?);
    let header = to.join("header");
    let whole = std::fs::read_to_string(&header)?;
    for (old, new) in [("cofferdam backup 1", "cofferdam backup 0"), ("cofferdam backup 1", "cofferdam backup 9")] {
        std::fs::write(&header, whole.replace(old, new))?;
        restored += usize::from(try_to("downgraded", &key, &apart)?);
    }
    std::fs::write(&header, whole)?;
    ensure!(BackupHead::read(&to).is_ok(), "the header is as it was");
    // The same command with everything it takes goes through, so that those above failed for what they lacked.
    ensure!(sabotage::is_out(44) || try_to("rightful", &key, &apart)?, "a rightful restore goes through");
    Ok(Outcome {
        is_through: !hits.is_empty() || restored > 0,
        figure: format!(
            "{} of {} texts readable in the backup; {restored} of 4 restores without the keys or as another format went through",
            hits.len(),
            wanted.len()
        ),
    })
}
