//! `cofferdam-bench`: makes the generated world and measures Cofferdam on it. `cargo xtask bench` calls it and the
//! peers; `docs/benchmarks.md` has the results. Never shipped.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use serde_json::json;
use world::World;

mod erase;
mod exposure;
mod feed;
mod firewall;
mod identities;
mod ledger;
mod load;
mod measure;
mod queries;
mod raw;
mod world;

#[derive(Parser)]
#[command(about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the world as Parquet, for the peers
    Raw(WorldArgs),
    /// Fill a new lake with the world
    LoadLake(WorldArgs),
    /// Ask the questions of a lake
    Query {
        #[arg(long)]
        folder: PathBuf,
        /// Names of questions, by comma; all without it
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// Warm runs of each
        #[arg(long, default_value_t = 5)]
        runs: usize,
        /// Write costs and answers here
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Measure what the detectors cost for each property of a realistic mix
    Firewall,
    /// Send events to a server over HTTP and measure rate, processor time, latency and freshness
    Load(load::LoadArgs),
    /// Append to a ledger from many threads, and verify it: durable entries a second, latency, entries verified a second
    Ledger(ledger::LedgerArgs),
    /// Fill a ledger with disclosures, index them, and ask what was exposed
    Exposure(exposure::ExposureArgs),
    /// Erase persons through the engine: one, and very many at once
    Erase(erase::EraseArgs),
    /// Give numbers to many persons, and measure the identity map: disk, rates, look-ups by address
    Identities(identities::IdentitiesArgs),
}

#[derive(clap::Args)]
struct WorldArgs {
    /// `50M`, `250k` or a plain number
    #[arg(long, default_value = "50M", value_parser = events)]
    events: u64,
    #[arg(long)]
    folder: PathBuf,
}

pub(crate) fn events(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.chars().last() {
        Some('M') => (&text[..text.len() - 1], 1e6),
        Some('k') => (&text[..text.len() - 1], 1e3),
        _ => (text, 1.0),
    };
    let count = digits.parse::<f64>().map_err(|error| error.to_string())? * unit;
    if (1e3..=1e10).contains(&count) { Ok(count as u64) } else { Err("from 1,000 to 10 billion".to_owned()) }
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Raw(args) => {
            let (written, cost) = measure::cost(|| raw::write(&World::new(args.events), &args.folder));
            eprintln!("{} events in {:.1} s", written?, cost.wall_s);
        }
        Command::LoadLake(args) => {
            let report = runtime()?.block_on(feed::load(World::new(args.events), &args.folder))?;
            eprintln!("{report:#}");
        }
        Command::Firewall => firewall::run(),
        Command::Load(args) => load::run(&args)?,
        Command::Ledger(args) => ledger::run(&args)?,
        Command::Exposure(args) => exposure::run(&args)?,
        Command::Erase(args) => runtime()?.block_on(erase::run(&args))?,
        Command::Identities(args) => runtime()?.block_on(identities::run(&args))?,
        Command::Query { folder, only, runs, json } => {
            let results = runtime()?.block_on(queries::run(&folder, &only, runs))?;
            if let Some(path) = json {
                let load = std::fs::read(folder.join("load.json")).context("the lake was not filled to its end")?;
                let load: serde_json::Value = serde_json::from_slice(&load)?;
                std::fs::write(path, serde_json::to_vec_pretty(&json!({"load": load, "queries": results}))?)?;
            }
        }
    }
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
