//! `cofferdam`: the command line.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use clap::{Parser, Subcommand};

mod account;
mod api;
mod capture;
mod console;
mod control;
mod demo;
mod disclosures;
mod exposure;
mod first_run;
mod guard;
mod import;
mod incidents;
mod keys;
mod ledger;
mod members;
mod organisation;
mod persons;
mod privacy;
mod public;
mod serve;
mod witness;

use serve::{ServeArgs, Server, Stopped};

/// Events are many small texts that one thread makes and another drops.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Memory that became free stays with the program for so long, in milliseconds: what one batch gives back the next one
/// takes, and the kernel need not hand out cleared pages in between, a sixth of what taking in an event costs. `MIMALLOC_PURGE_DELAY`
/// in the environment has the last word.
const PURGE_DELAY_MS: std::ffi::c_long = 2_000;

/// `mi_option_purge_delay` in `mimalloc.h`, the same in versions 2 and 3.
const PURGE_DELAY: std::ffi::c_int = 15;

#[expect(unsafe_code, reason = "mimalloc takes its options through C alone")]
fn keep_free_memory() {
    // SAFETY: sets a number, and must not meet another thread: there is none yet.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS) };
}

/// Product analytics that keeps a leak from spreading.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(ServeArgs),
    /// Run a server with a believable world of 20,000 developers, and keep it alive
    Demo(Box<DemoCommand>),
    /// Send the events of files to a server
    Import(Box<import::ImportArgs>),
    /// Check every checksum of the data of a server that is not running
    Verify(Stopped),
    /// Verify the ledger, or prove to others what is in it
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Say what was exposed: by an account, a session, an address, since when; or what was disclosed about one person
    Exposed(exposure::ExposedArgs),
    /// Sign what the ledgers of others have, and refuse one that was changed or rolled back
    Witness(witness::WitnessArgs),
    /// Run the detectors of today over the stored events of a server that is not running
    Scan(privacy::ScanArgs),
    /// Print or set the tracking plan of a server that is not running
    Plan(privacy::PlanArgs),
    /// The keys: how the root key is kept, sealing and unsealing, changing keys
    Keys(keys::KeysArgs),
    /// Write a backup, of a server that runs or of a folder
    Backup(keys::BackupArgs),
    /// Put a backup back into a new folder
    Restore(keys::RestoreArgs),
    /// Make another organisation on a server
    #[command(subcommand)]
    Organisation(organisation::OrganisationCommand),
    /// Show the ids that became one person, or part two of them again
    Unmerge(persons::UnmergeArgs),
    /// Take the rows of erased persons out of the files of a server that is not running
    Compact(persons::CompactArgs),
    /// Verify what was exported, without the server
    #[command(subcommand)]
    Export(disclosures::ExportCommand),
    /// The keys that sign notices, and whether a domain lets notices through
    #[command(subcommand)]
    Notices(incidents::NoticesCommand),
    /// Incidents: open one, or write the list of persons whom it concerns
    #[command(subcommand)]
    Incident(incidents::IncidentCommand),
    /// Play an incident through, with made-up persons, and measure
    #[command(subcommand)]
    Drill(cofferdam_drill::DrillCommand),
    /// Print the OpenAPI document of the console's API
    Openapi,
}

#[derive(clap::Args)]
struct DemoCommand {
    #[command(flatten)]
    serve: ServeArgs,
    #[command(flatten)]
    demo: demo::DemoArgs,
    /// Stop when the world is in, instead of serving it
    #[arg(long)]
    exit: bool,
}

fn main() -> ExitCode {
    keep_free_memory();
    if let Err(error) = harden() {
        let _ = writeln!(std::io::stderr(), "error: could not turn core dumps off: {error}");
        return ExitCode::FAILURE;
    }
    let cli = Cli::parse();
    // Logs name no person: no body, token, address or header is ever a field.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_max_level(tracing::Level::INFO)
        .with_target(false)
        .init();
    let result = match cli.command {
        Command::Serve(args) => in_runtime(serve(args)),
        Command::Demo(command) => in_runtime(run_demo(*command)),
        Command::Import(args) => import::run(*args),
        Command::Verify(place) => in_runtime(verify(place)),
        Command::Ledger(command) => in_runtime(ledger::run(command)),
        Command::Exposed(args) => in_runtime(exposure::run(args)),
        Command::Witness(args) => in_runtime(witness::run(args)),
        Command::Scan(args) => in_runtime(privacy::scan(args)),
        Command::Plan(args) => in_runtime(privacy::plan(args)),
        Command::Keys(args) => in_runtime(keys::run(args)),
        Command::Backup(args) => in_runtime(keys::backup(args)),
        Command::Restore(args) => in_runtime(keys::restore(args)),
        Command::Organisation(command) => in_runtime(organisation::run(command)),
        Command::Unmerge(args) => in_runtime(persons::unmerge(args)),
        Command::Compact(args) => in_runtime(persons::compact_stopped(args)),
        Command::Export(command) => disclosures::run(command),
        Command::Notices(command) => in_runtime(incidents::notices(command)),
        Command::Incident(command) => incidents::incident(command),
        Command::Drill(command) => cofferdam_drill::run(command),
        Command::Openapi => {
            say(api::document().trim_end());
            Ok(ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Keys are in memory: it is written to no core file, and no other process of the account reads it or attaches to it.
fn harden() -> std::io::Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    if cofferdam_model::sabotage::is_out(41) {
        return Ok(());
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}

/// A line for whoever started the command. A closed pipe is their choice.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
    let _ = std::io::stdout().flush();
}

fn in_runtime(task: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(task)
}

async fn serve(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let server = Server::open(&args).await?;
    let stop = serve::told_to_stop();
    say(&format!("cofferdam listening on {}", server.url));
    match server.engine() {
        None => say(&format!(
            "{}\nopen it with `cofferdam keys unseal --data {}`",
            server.gate.status(),
            args.data.display()
        )),
        Some(engine) if engine.setup_needed().await? => say(&format!(
            "first run: open {}/setup and enter the set-up code {}",
            server.browser_url(),
            server.setup_code
        )),
        Some(_) => {}
    }
    server.run(stop).await?;
    Ok(ExitCode::SUCCESS)
}

async fn verify(place: Stopped) -> anyhow::Result<ExitCode> {
    let site = place.home.site()?;
    let root = place.root.of_site(&site).await?;
    let found = cofferdam_engine::verify(&site, root).await?;
    say(&format!("{} segments, {} ledger entries", found.segments, found.ledger_entries));
    for wrong in &found.wrong {
        say(&format!("damaged: {wrong}"));
    }
    Ok(if found.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Serves, makes the world through the server's own door on the first start, prints the sign-in, and keeps
/// sending a trickle of events.
async fn run_demo(command: DemoCommand) -> anyhow::Result<ExitCode> {
    let DemoCommand { serve: mut args, mut demo, exit } = command;
    demo.no_trickle |= exit;
    args.is_demo = true;
    if args.data == std::path::Path::new("cofferdam-data") {
        args.data = PathBuf::from("demo-data");
    }
    first_run::discard_unfinished(&args.data)?;
    let relay = args.mail.bring_to_drill(args.listen)?;
    let server = Server::open(&args).await?;
    cofferdam_drill::announce(&args.data, &server.url, relay)?;
    let (url, setup_code) = (server.url.clone(), server.setup_code.clone());
    let engine = server.engine().context("the demo's data is sealed: run it with `cofferdam serve` instead")?;
    let fresh = engine.setup_needed().await?;
    drop(engine);
    let (stop_serving, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async move {
        let _ = stopped.await;
    }));
    let stop = Arc::new(AtomicBool::new(false));
    let worker = {
        let (stop, data) = (stop.clone(), args.data.clone());
        tokio::task::spawn_blocking(move || first_run::demo(&url, &setup_code, fresh, &data, &demo, &stop))
    };
    tokio::pin!(worker);
    let result = tokio::select! {
        result = async {
            let result = (&mut worker).await;
            if !exit && matches!(result, Ok(Ok(()))) {
                serve::told_to_stop().await;
            }
            result
        } => result?,
        () = serve::told_to_stop() => {
            stop.store(true, Ordering::Relaxed);
            // The trickle stops within a moment; a world half made is thrown away by the next start.
            match tokio::time::timeout(std::time::Duration::from_secs(5), worker).await {
                Ok(result) => result?,
                Err(_) => Ok(()),
            }
        }
    };
    let _ = stop_serving.send(());
    serving.await??;
    result.map(|()| ExitCode::SUCCESS)
}
