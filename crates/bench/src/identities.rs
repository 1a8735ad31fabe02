//! The identity map at size, through the vault's door: what a subject takes on disk, how many are made and found a
//! second, how long a look-up by address takes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cofferdam_model::{OrgId, ProjectId};
use cofferdam_vault::wire::{self, Door, IdentityMode, Record, ValidEvent};
use cofferdam_vault::{Arrival, Databases, Site, Vault};

#[derive(clap::Args)]
pub(crate) struct IdentitiesArgs {
    /// `10M`, `250k` or a plain number
    #[arg(long, default_value = "10M", value_parser = crate::events)]
    subjects: u64,
    /// Every so many has an e-mail address for an id, all others a UUID
    #[arg(long, default_value_t = 10)]
    mails_one_in: u64,
    #[arg(long)]
    folder: PathBuf,
    /// A PostgreSQL database instead of files in the folder
    #[arg(long, env = "COFFERDAM_DATABASE", hide_env_values = true)]
    database: Option<String>,
}

const PROJECT: ProjectId = ProjectId(1);
const BATCH: u64 = 2_000;
/// As many as the cache is sure to know.
const CACHED: u64 = 1_000_000;
const LOOKUPS: u64 = 200_000;

pub(crate) async fn run(args: &IdentitiesArgs) -> Result<()> {
    std::fs::create_dir_all(&args.folder)?;
    ensure!(std::fs::read_dir(&args.folder)?.next().is_none(), "{} is not empty", args.folder.display());
    let vault = open(args).await?;
    vault.create_project(OrgId(1), PROJECT).await?;

    let (mut rates, started) = (Vec::new(), Instant::now());
    let mut sealing = Duration::ZERO;
    for from in (0..args.subjects).step_by(BATCH as usize) {
        sealing += seal(&vault, args, from..(from + BATCH).min(args.subjects)).await?;
        if (from + BATCH) % (args.subjects / 10).max(BATCH) < BATCH {
            rates.push(format!("{:.0}", (from + BATCH) as f64 / sealing.as_secs_f64()));
        }
    }
    say(&format!(
        "made: {} subjects in {:.0} s; a second so far: {}",
        args.subjects,
        started.elapsed().as_secs_f64(),
        rates.join(" ")
    ));

    let cached = args.subjects.saturating_sub(CACHED)..args.subjects;
    let mut sealing = Duration::ZERO;
    for from in cached.clone().step_by(BATCH as usize) {
        sealing += seal(&vault, args, from..(from + BATCH).min(cached.end)).await?;
    }
    say(&format!(
        "from the cache, a whole event each: {:.0}/s",
        (cached.end - cached.start) as f64 / sealing.as_secs_f64()
    ));
    drop(vault);

    // Another process's cache would be as empty.
    let opening = Instant::now();
    let vault = open(args).await?;
    say(&format!("opened in {:.2} s", opening.elapsed().as_secs_f64()));
    let mut random = 1_u64;
    let mut any = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % args.subjects
    };
    let lookups = LOOKUPS.min(args.subjects);
    let started = Instant::now();
    for _ in 0..lookups / BATCH {
        let ids: Vec<String> = (0..BATCH).map(|_| args.id(any())).collect();
        let (_, known) = vault.known_persons(PROJECT, &ids).await?;
        ensure!(known == BATCH, "{known} of {BATCH} ids are known");
    }
    say(&format!("not from the cache, in lists of {BATCH}: {:.0}/s", lookups as f64 / started.elapsed().as_secs_f64()));

    let mut times = Vec::new();
    for _ in 0..20_000 {
        let person = any() / args.mails_one_in * args.mails_one_in;
        let mail = args.id(person).to_uppercase();
        let started = Instant::now();
        let found = vault.find_by_mail(OrgId(1), &mail).await?;
        times.push(started.elapsed());
        ensure!(found.len() == 1, "{} persons have one address", found.len());
    }
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e3;
    say(&format!("by address: p50 {:.3} ms, p99 {:.3} ms, most {:.3} ms", at(0.5), at(0.99), at(0.9999)));
    drop(vault);
    let bytes = files(&args.folder)?;
    say(&format!("files: {:.2} GB, {:.1} bytes a subject", bytes as f64 / 1e9, bytes as f64 / args.subjects as f64));
    Ok(())
}

async fn open(args: &IdentitiesArgs) -> Result<Vault> {
    let databases = match &args.database {
        Some(address) => Databases::on_servers(address, address)?,
        None => Databases::in_folder(&args.folder),
    };
    Vault::open(&Site::new(&args.folder, databases)).await.context("could not open a vault")
}

impl IdentitiesArgs {
    fn id(&self, person: u64) -> String {
        if person.is_multiple_of(self.mails_one_in) {
            return format!("person.{person}@canary.example");
        }
        let bits = u128::from(mix(person)) << 64 | u128::from(mix(person ^ u64::MAX));
        let text = format!("{bits:032x}");
        [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
    }
}

fn mix(seed: u64) -> u64 {
    let seed = (seed ^ seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let seed = (seed ^ seed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    seed ^ seed >> 31
}

/// Seals one event each. Answers how long that took, without what comes before it.
async fn seal(vault: &Vault, args: &IdentitiesArgs, persons: std::ops::Range<u64>) -> Result<Duration> {
    let records: Vec<String> = persons
        .map(|person| {
            format!(r#"{{"event":"e","properties":{{"distinct_id":"{}","time":1790000000}}}}"#, args.id(person))
        })
        .collect();
    let body = format!("[{}]", records.join(","));
    let read = wire::read_events(body.as_bytes()).map_err(|_| anyhow::anyhow!("the body is not read"))?;
    let events: Vec<ValidEvent<'_>> = read
        .into_iter()
        .filter_map(|record| {
            wire::validate(
                record.read.ok()?,
                Door::Import(wire::Strictness::Lenient),
                IdentityMode::Original,
                1_800_000_000_000_000,
            )
            .ok()
        })
        .filter_map(|record| match record {
            Record::Event(event) => Some(event),
            _ => None,
        })
        .collect();
    ensure!(events.len() == records.len(), "{} of {} events are valid", events.len(), records.len());
    let started = Instant::now();
    vault.seal(PROJECT, events, Arrival::default(), 0).await?;
    Ok(started.elapsed())
}

fn files(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

/// Prints for people.
#[expect(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}
