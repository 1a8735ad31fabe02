//! `cofferdam drill`: an incident played through in a system that runs, and measured.
//!
//! Everybody in it is an outsider: attackers, colleagues and those on duty act by the HTTP interface alone, and this
//! crate can name no other of ours. The persons are made up, in an organisation of their own that knows nothing of the
//! others and that they know nothing of. What was measured is printed, and nothing else.
//!
//! Deliberately not here: a judgement. Whoever runs a drill compares its numbers with what they promised.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};

mod colleague;
mod loot;
mod nine_november;
mod passkey;
mod persons;
mod place;
mod report;
#[allow(dead_code, reason = "tests have it fail, and read its mails")]
mod sink;
mod site;
mod staff;

pub use place::announce;

/// Fewer persons than this set off no limit.
const PERSONS_MIN: u32 = 2_000;
const PERSONS_MAX: u32 = 10_000_000;

#[derive(Subcommand)]
pub enum DrillCommand {
    /// A stolen session, and colleagues who collude: noticed, contained, scoped, told
    NineNovember(NineNovemberArgs),
    /// A mail relay that takes everything, and writes down when and for whom
    #[command(hide = true)]
    Relay {
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        #[arg(long)]
        taken: PathBuf,
    },
}

#[derive(Args)]
pub struct NineNovemberArgs {
    /// How many made-up persons there are; half of them are asked for
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u32).range(i64::from(PERSONS_MIN)..=i64::from(PERSONS_MAX)))]
    persons: u32,
    /// The folder of a server that runs and is ready for a drill, such as the demo's; one of its own without it
    #[arg(long)]
    data: Option<PathBuf>,
    /// Where browsers reach that server, where it is not http://localhost
    #[arg(long, requires = "data")]
    origin: Option<String>,
    /// Leave the shadow organisation open at the end, instead of sealing it
    #[arg(long, requires = "data")]
    keep: bool,
    /// Nobody acts before everything that was asked for has left: for the scope, the package and the notices of many
    #[arg(long)]
    unwatched: bool,
    /// A folder for the attackers' loot and the scope that was found: persons and fields, no values
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print the table for a document
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print every figure, for programs
    #[arg(long)]
    json: bool,
}

/// Plays a drill, or a part in one.
///
/// # Errors
/// When it cannot be played through to its end.
pub fn run(command: DrillCommand) -> Result<ExitCode> {
    match command {
        DrillCommand::Relay { listen, taken } => place::take_mail(listen, &taken)?,
        DrillCommand::NineNovember(args) => nine_november(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn nine_november(args: &NineNovemberArgs) -> Result<()> {
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).with_context(|| format!("could not make {}", out.display()))?;
        ensure!(!out.join("loot.csv").exists(), "{} has the loot of another drill", out.display());
    }
    let binary = std::env::current_exe().context("this program does not know where it is")?;
    let place = match &args.data {
        Some(data) => place::Place::running(binary, data, args.origin.as_deref())?,
        None => place::Place::own(binary)?,
    };
    let played = nine_november::Played {
        persons: args.persons,
        is_watched: !args.unwatched,
        is_sealed_after: !args.keep,
        keep: args.out.as_deref(),
    };
    let report = nine_november::play(&place, &played)?;
    say(&match () {
        () if args.json => serde_json::to_string_pretty(&report.json())?,
        () if args.markdown => report.markdown(),
        () => format!("\n{}", report.table()),
    });
    Ok(())
}

/// A line for whoever started it. A closed pipe is their choice.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{}", line.trim_end());
    let _ = std::io::stdout().flush();
}

/// What it is at, beside what it prints.
fn progress(line: &str) {
    let _ = writeln!(std::io::stderr(), "drill: {line}");
}
