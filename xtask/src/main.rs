//! `cargo xtask`: everything that is done to this repository by a machine. The Makefile and CI call it and hold no
//! logic of their own.
//!
//! - `ci`      every check, in the order in which failures are cheapest
//! - `demo`    builds the console and a release binary and starts the demo
//! - `attack`  attacks on our own processes, each with its control in place and taken out
//! - `bench`   speed and size beside ClickHouse and DuckDB, into docs/benchmarks.md
//! - `tidy`    the promises that a machine can judge
//! - `codegen` the OpenAPI document and the console's client, from the Rust types
//! - `setup`   installs what the tests need: npm packages, Python packages, a browser

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, bail};

mod attack;
mod bench;
mod setup;
mod tidy;

/// Attacks of every run of the checks: those that were seen to hold, and to get through without their control. The
/// others of `attack --list` are run by number.
const ATTACKS: [u16; 44] = [
    1, 2, 3, 4, 5, 7, 8, 9, 10, 14, 16, 18, 19, 25, 26, 29, 30, 33, 35, 36, 37, 39, 41, 43, 44, 46, 47, 49, 51, 52, 53,
    54, 68, 69, 70, 76, 78, 86, 87, 89, 90, 92, 101, 102,
];

/// Those of them that take a browser.
const ATTACKS_IN_BROWSER: [u16; 6] = [1, 2, 3, 4, 5, 9];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.first().map(String::as_str) {
        Some("ci") => ci(),
        Some("demo") => demo(&args[1..]),
        Some("attack") => attack::main(&args[1..]),
        Some("bench") => bench::main(&args[1..]),
        Some("tidy") => tidy::run(&root()),
        Some("codegen") => codegen(),
        Some("setup") => setup::tests(&root()).map(drop),
        _ => Err(anyhow::anyhow!(
            "usage: cargo xtask ci | demo [ARGS] | attack [ARGS] | bench [ARGS] | tidy | codegen | setup"
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository").to_owned()
}

/// Runs a command in a folder of the repository; its output is the caller's.
fn run(folder: &str, program: &str, args: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let started = Instant::now();
    println!("\n==> {program} {}", args.join(" "));
    let status = Command::new(program)
        .args(args)
        .current_dir(root().join(folder))
        .envs(environment.iter().copied())
        .status()
        .with_context(|| format!("could not start {program}"))?;
    if !status.success() {
        bail!("`{program} {}` failed", args.join(" "));
    }
    println!("    {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn console() -> Result<()> {
    setup::npm(&root(), "web")?;
    // Building it again would also build the binary again, which embeds it.
    if newest(&root().join("web/dist/index.html")) > console_changed()? {
        return Ok(());
    }
    run("web", "npm", &["run", "build", "--silent"], &[])
}

/// When the console's sources last changed.
fn console_changed() -> Result<Option<SystemTime>> {
    let mut last = None;
    let mut folders = vec![root().join("web/src"), root().join("web/public")];
    let files = ["index.html", "package-lock.json", "vite.config.ts", "tsconfig.json", "scripts/policy.ts"];
    for file in files {
        last = last.max(newest(&root().join("web").join(file)));
    }
    // What the console says about who may do what is made from this.
    last = last.max(newest(&root().join("crates/model/policy_controls.csv")));
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                last = last.max(newest(&path));
            }
        }
    }
    Ok(last)
}

fn newest(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|file| file.modified()).ok()
}

fn ci() -> Result<()> {
    let started = Instant::now();
    run("", "cargo", &["fmt", "--all", "--check"], &[])?;
    tidy::run(&root())?;
    let ready = setup::tests(&root())?;
    console()?;
    run("web", "npm", &["run", "check", "--silent"], &[])?;
    run("web", "npm", &["test", "--silent"], &[])?;
    run("", "cargo", &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"], &[])?;

    let skips = root().join("target/skipped.txt");
    // Not there when nothing was skipped last time.
    let _ = std::fs::remove_file(&skips);
    let (skips_text, venv) = (skips.display().to_string(), ready.venv.display().to_string());
    let mut environment = vec![("COFFERDAM_SKIPS", skips_text.as_str())];
    if ready.python {
        environment.push(("COFFERDAM_VENV", venv.as_str()));
    }
    let nextest =
        Command::new("cargo").args(["nextest", "--version"]).output().is_ok_and(|output| output.status.success());
    // The integration tests run the binary and other programs: both runners build it first.
    let runner: &[&str] = if nextest {
        &["nextest", "run", "--workspace", "--no-fail-fast"]
    } else {
        &["test", "--workspace", "--no-fail-fast"]
    };
    run("", "cargo", runner, &environment)?;
    let mut attacks = ATTACKS.to_vec();
    if ready.chromium.is_empty() {
        attacks.retain(|number| !ATTACKS_IN_BROWSER.contains(number));
        skipped(&skips, &format!("attacks {ATTACKS_IN_BROWSER:?}: no chromium"))?;
    }
    attack::all(&attacks, false, None, &ready.chromium)?;
    fresh_client()?;
    if ready.chromium.is_empty() {
        skipped(&skips, "browser tests: no chromium")?;
    } else {
        let binary = root().join("target/debug/cofferdam").display().to_string();
        run(
            "web",
            "npm",
            &["run", "e2e", "--silent"],
            &[("COFFERDAM_BIN", &binary), ("CHROMIUM_BIN", &ready.chromium)],
        )?;
    }
    for missing in &ready.missing {
        skipped(&skips, missing)?;
    }
    let skipped = std::fs::read_to_string(&skips).unwrap_or_default();
    for line in skipped.lines() {
        println!("{line}");
    }
    let size = std::fs::metadata(root().join("target/debug/cofferdam")).map_or(0, |file| file.len());
    println!(
        "\nall checks passed in {:.0} s; {} skipped; test binary {} MB",
        started.elapsed().as_secs_f64(),
        skipped.lines().count(),
        size / 1_000_000
    );
    Ok(())
}

fn skipped(file: &Path, what: &str) -> Result<()> {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
    writeln!(file, "SKIPPED: {what}")?;
    Ok(())
}

/// The console's client must be what the committed document generates; the document itself is compared by a test.
fn fresh_client() -> Result<()> {
    let out = root().join("target/schema.gen.ts");
    let text = out.display().to_string();
    run("web", "npx", &["--no-install", "openapi-typescript", "../crates/server/openapi.json", "-o", &text], &[])?;
    if std::fs::read(&out)? != std::fs::read(root().join("web/src/api/schema.gen.ts"))? {
        bail!("web/src/api/schema.gen.ts is stale\nhint: run `cargo xtask codegen` and commit the result");
    }
    Ok(())
}

fn codegen() -> Result<()> {
    setup::npm(&root(), "web")?;
    println!("==> cofferdam openapi");
    let output = Command::new("cargo")
        .args(["run", "--quiet", "--package", "cofferdam", "--", "openapi"])
        .current_dir(root())
        .output()?;
    if !output.status.success() {
        bail!("could not print the document: {}", String::from_utf8_lossy(&output.stderr));
    }
    std::fs::write(root().join("crates/server/openapi.json"), output.stdout)?;
    run("web", "npm", &["run", "codegen", "--silent"], &[])
}

fn demo(args: &[String]) -> Result<()> {
    let started = Instant::now();
    console()?;
    run("", "cargo", &["build", "--release", "--timings", "--package", "cofferdam"], &[])?;
    let binary = root().join("target/release/cofferdam");
    let size = std::fs::metadata(&binary)?.len();
    println!("\nbuilt in {:.0} s; the binary has {:.1} MB", started.elapsed().as_secs_f64(), size as f64 / 1e6);
    let status = Command::new(binary).arg("demo").args(args).current_dir(root()).status()?;
    if !status.success() {
        bail!("the demo ended with {status}");
    }
    Ok(())
}
