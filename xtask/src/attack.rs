//! `cargo xtask attack`: every attack twice, with its control in place and with that one control taken out.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{root, run, setup};

/// As the tests build them: another choice of packages would build their dependencies once more.
const PACKAGES: [&str; 2] = ["--workspace", "--bins"];

pub(crate) fn main(args: &[String]) -> Result<()> {
    let (mut is_full, mut json, mut numbers) = (false, None, Vec::new());
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--list" => {
                run("", "cargo", &["build", "--quiet", "--package", "cofferdam-attack"], &[])?;
                print!("{}", list(&programs().1)?);
                return Ok(());
            }
            "--full" => is_full = true,
            "--json" => json = Some(PathBuf::from(rest.next().context("--json needs a file")?)),
            number => numbers.push(
                number
                    .parse::<u16>()
                    .context("usage: cargo xtask attack [--list] [--full] [--json FILE] [NUMBER …]")?,
            ),
        }
    }
    setup::npm(&root(), "web")?;
    all(&numbers, is_full, json.as_deref(), &setup::chromium())
}

/// Runs these cases, or all when none is named. Those that take a browser fail when none is given.
pub(crate) fn all(numbers: &[u16], is_full: bool, json: Option<&Path>, chromium: &str) -> Result<()> {
    let weakened = weakened()?;
    run("", "cargo", &[&["build", "--quiet"][..], &PACKAGES].concat(), &[])?;
    let whole = programs();
    let known: Vec<u16> = list(&whole.1)?
        .lines()
        .filter_map(|line| line.split('\t').next()?.parse().ok())
        .filter(|number| numbers.is_empty() || numbers.contains(number))
        .collect();
    if let Some(number) = numbers.iter().find(|number| !known.contains(number)) {
        bail!("there is no case {number}: see `cargo xtask attack --list`");
    }
    let (mut wrong, mut reports) = (Vec::new(), Vec::new());
    for number in known {
        let held = attack(&whole, number, is_full, None, chromium)?;
        let control = attack(&weakened, number, is_full, Some(number), chromium)?;
        let title = held["title"].as_str().unwrap_or_default().to_owned();
        let (is_held, is_shown) = (held["is_through"] == false, control["is_through"] == true);
        println!(
            "{:>4}  {}  {title}\n      {}  {:.1} s\n      without the control: {}  {:.1} s",
            number,
            if is_held && is_shown { "PASS" } else { "FAIL" },
            held["figure"].as_str().unwrap_or_default(),
            held["seconds"].as_f64().unwrap_or_default(),
            control["figure"].as_str().unwrap_or_default(),
            control["seconds"].as_f64().unwrap_or_default(),
        );
        if !is_held {
            wrong.push(format!("{number} gets through"));
        }
        if !is_shown {
            wrong.push(format!("{number} does not get through without the control, and so shows nothing"));
        }
        reports.push(serde_json::json!({ "held": held, "without_control": control }));
    }
    if let Some(path) = json {
        std::fs::write(path, serde_json::to_vec_pretty(&reports)?)?;
    }
    if !wrong.is_empty() {
        bail!("attacks:\n  {}", wrong.join("\n  "));
    }
    Ok(())
}

/// The server's program and the attacker's.
fn programs() -> (PathBuf, PathBuf) {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
    (target.join("debug/cofferdam"), target.join("debug/cofferdam-attack"))
}

/// Builds the programs in which a control can be taken out, and puts them aside: the next build writes over them.
fn weakened() -> Result<(PathBuf, PathBuf)> {
    let features = ["build", "--quiet", "--features", "cofferdam-model/sabotage"];
    run("", "cargo", &[&features[..], &PACKAGES].concat(), &[])?;
    let (server, attack) = programs();
    let folder = server.parent().context("a program lies in a folder")?.join("sabotage");
    std::fs::create_dir_all(&folder)?;
    let aside = |program: &Path| -> Result<PathBuf> {
        let to = folder.join(program.file_name().context("a program has a name")?);
        // One that runs cannot be written over.
        let _ = std::fs::remove_file(&to);
        std::fs::copy(program, &to).with_context(|| format!("could not copy {}", program.display()))?;
        Ok(to)
    };
    Ok((aside(&server)?, aside(&attack)?))
}

fn list(attack: &Path) -> Result<String> {
    let output = Command::new(attack).arg("list").output()?;
    Ok(String::from_utf8(output.stdout)?)
}

fn attack(
    programs: &(PathBuf, PathBuf),
    number: u16,
    is_full: bool,
    without: Option<u16>,
    chromium: &str,
) -> Result<Value> {
    let mut command = Command::new(&programs.1);
    command.arg("run").arg(number.to_string()).arg("--binary").arg(&programs.0).current_dir(root());
    command.env_remove("COFFERDAM_SABOTAGE");
    if !chromium.is_empty() {
        command.env("CHROMIUM_BIN", chromium);
    }
    if is_full {
        command.arg("--full");
    }
    if let Some(case) = without {
        command.env("COFFERDAM_SABOTAGE", case.to_string());
    }
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("attack {number} could not be carried out");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.trim()).with_context(|| format!("attack {number} printed no outcome"))
}
