//! Attacks on Cofferdam: real programs, real folders, real sockets on this machine, and synthetic persons.
//!
//! A case says whether the attack got through, and with which figure. `cargo xtask attack` runs each twice: against
//! the build that ships, where it must not get through, and against one in which that one control can be taken out
//! ([`cofferdam_model::sabotage`]), where it must: an attack that fails there as well shows nothing.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

mod access;
#[path = "../../drill/src/passkey.rs"]
mod authenticator;
#[path = "../../../tests/bad_disk.rs"]
mod bad_disk;
mod browser;
mod corpus;
mod disclosure;
mod drill;
mod exposure;
mod firewall;
mod incidents;
mod ledger;
mod lifetimes;
mod moved;
mod notices;
mod running;
#[allow(dead_code, reason = "tests use what this does not")]
#[path = "../../drill/src/sink.rs"]
mod sink;
mod storage;

/// One attack.
pub(crate) struct Case {
    /// Numbers are stable; gaps are cases that are not here.
    pub(crate) number: u16,
    pub(crate) title: &'static str,
    pub(crate) run: fn(&Stage) -> Result<Outcome>,
}

/// What an attack has to work with.
pub(crate) struct Stage {
    /// The server's program: the build that ships, or the one without a control.
    pub(crate) binary: PathBuf,
    /// An empty folder of this run.
    pub(crate) folder: PathBuf,
    /// At the size of the measurement rather than at one that fits into `make test`.
    pub(crate) is_full: bool,
}

/// How an attack ended.
pub(crate) struct Outcome {
    /// The attacker has what they came for.
    pub(crate) is_through: bool,
    /// What was measured, in a line.
    pub(crate) figure: String,
}

/// Every case, by number.
fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = ledger::cases();
    cases.extend(browser::cases());
    cases.extend(drill::cases());
    cases.extend(access::cases());
    cases.extend(lifetimes::cases());
    cases.extend(disclosure::cases());
    cases.extend(firewall::cases());
    cases.extend(storage::cases());
    cases.extend(moved::cases());
    cases.extend(notices::cases());
    cases.extend(incidents::cases());
    cases.sort_by_key(|case| case.number);
    cases
}

#[derive(Parser)]
#[command(about = "Attacks Cofferdam on this machine")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints the numbers and titles of the cases there are
    List,
    /// Runs one case, and prints how it ended as a line of JSON
    Run {
        number: u16,
        /// The server's program
        #[arg(long)]
        binary: PathBuf,
        /// At full size, which can take minutes
        #[arg(long)]
        full: bool,
    },
    /// A mail relay, and a sender of notices that is there to be killed
    #[command(subcommand, hide = true)]
    Notices(notices::Part),
}

fn main() -> ExitCode {
    match act(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints for people and for `cargo xtask attack`.
#[expect(clippy::print_stdout)]
fn act(command: Command) -> Result<()> {
    match command {
        Command::List => {
            for case in cases() {
                println!("{}\t{}", case.number, case.title);
            }
        }
        Command::Run { number, binary, full } => {
            let case = cases()
                .into_iter()
                .find(|case| case.number == number)
                .with_context(|| format!("there is no case {number}: see `cargo xtask attack --list`"))?;
            let folder = tempfile::tempdir().context("no folder to work in")?;
            let stage = Stage { binary, folder: folder.path().to_owned(), is_full: full };
            let started = Instant::now();
            let outcome = (case.run)(&stage)?;
            let line = serde_json::json!({
                "case": number,
                "title": case.title,
                "is_through": outcome.is_through,
                "figure": outcome.figure,
                "seconds": started.elapsed().as_secs_f64(),
            });
            println!("{line}");
        }
        Command::Notices(part) => notices::play(part)?,
    }
    Ok(())
}
