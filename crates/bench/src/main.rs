//! Measurements of a release build. Never part of what is shipped.

use clap::{Parser, Subcommand};

mod load;

/// Measures Cofferdam.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send events to a server over HTTP and measure rate, processor time, latency and freshness
    Load(load::LoadArgs),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Load(args) => load::run(&args),
    }
}
