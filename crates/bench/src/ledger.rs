//! The ledger's own measurements: how many entries become durable a second, how long an appender waits, and how many
//! entries are verified a second from the files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cofferdam_ledger::verify::verify;
use cofferdam_ledger::{Entry, Kind, Log, Options, Pseudonym, SeenFile};
use serde_json::json;

use crate::measure;

#[derive(clap::Args)]
pub(crate) struct LedgerArgs {
    /// An empty folder on the disk to measure
    #[arg(long)]
    folder: PathBuf,
    /// Appenders at once, each waiting for its entry before the next
    #[arg(long, default_value_t = 64)]
    appenders: usize,
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

pub(crate) fn run(args: &LedgerArgs) -> Result<()> {
    std::fs::create_dir_all(&args.folder)?;
    ensure!(std::fs::read_dir(&args.folder)?.next().is_none(), "{} is not empty", args.folder.display());
    let ledger = args.folder.join("ledger");
    let clock = || jiff::Timestamp::now().as_microsecond();
    let seen = Arc::new(SeenFile(args.folder.join("seen")));
    let log = Log::open(Options::new(&ledger, &[7; 32], Arc::new(clock), seen))?;
    let until = Instant::now() + Duration::from_secs(args.seconds);
    let mut latencies: Vec<Duration> = std::thread::scope(|scope| {
        let appenders: Vec<_> = (0..args.appenders)
            .map(|number| {
                let log = &log;
                scope.spawn(move || {
                    let actor = Some(Pseudonym([number as u8; 16]));
                    let mut waited = Vec::new();
                    while Instant::now() < until {
                        let started = Instant::now();
                        log.append(Entry { actor, session: actor, ip: actor, ..Entry::of(Kind::SteppedUp) })?;
                        waited.push(started.elapsed());
                    }
                    Ok(waited)
                })
            })
            .collect();
        let joined = appenders.into_iter().map(|appender| appender.join().expect("an appender does not panic"));
        joined.collect::<cofferdam_ledger::Result<Vec<Vec<Duration>>>>()
    })?
    .concat();
    latencies.sort_unstable();
    let at = |share: f64| latencies.get((latencies.len() as f64 * share) as usize).map(|wait| wait.as_secs_f64() * 1e3);
    let key = log.key().clone();
    let entries = log.size();
    drop(log);
    let (found, cost) = measure::cost(|| verify(&ledger, &key));
    let found = found?;
    ensure!(found.entries == entries && found.wrong.is_empty(), "{entries} entries were written: {found:?}");
    let report = json!({
        "appenders": args.appenders,
        "entries": entries,
        "durable_entries_per_s": entries as f64 / args.seconds as f64,
        "p50_ms": at(0.5).context("entries were written")?,
        "p99_ms": at(0.99).context("entries were written")?,
        "verified_entries_per_s": entries as f64 / cost.wall_s,
    });
    println!("{report:#}");
    Ok(())
}
