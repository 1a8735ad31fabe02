//! `cargo xtask bench`: one run of everything that `docs/benchmarks.md` says about speed and size.
//!
//! 1. The generated world as Parquet; ClickHouse (two layouts) and DuckDB are filled from it and asked, one process
//!    each (`tests/bench/peers.py`).
//! 2. The same world into a lake of ours, which is asked the same (`crates/bench`); and smaller worlds, for the growth
//!    of cost.
//! 3. Answers are compared; then the tables are printed and written between the markers of `docs/benchmarks.md`.
//!
//! Every step leaves a JSON file in the folder, and `--report FOLDER` makes the tables from these alone.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{root, run};

const PEERS: [&str; 3] = ["ch-event", "ch-subject", "duckdb"];
const QUESTIONS: [(&str, &str); 8] = [
    ("Q1", "one event per day"),
    ("Q2", "daily uniques, top 10 countries"),
    ("Q3", "funnel, 3 steps, 7 days"),
    ("Q3b", "the same, best of all entries"),
    ("Q4", "funnel by plan, filtered step"),
    ("Q5", "retention, days 0 to 14"),
    ("Q6", "flows, next 3 events"),
    ("Q7", "uniques with a path prefix"),
];

struct Args {
    events: u64,
    scale: Vec<u64>,
    only: Option<String>,
    report: Option<PathBuf>,
}

fn parse(args: &[String]) -> Result<Args> {
    let mut parsed = Args { events: 50_000_000, scale: vec![1, 2, 4, 8], only: None, report: None };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let value = args.next().with_context(|| format!("{arg} needs a value"))?;
        match arg.as_str() {
            "--events" => {
                let (digits, unit) = value.strip_suffix('M').map_or((value.as_str(), 1), |digits| (digits, 1_000_000));
                parsed.events = digits.parse::<u64>().context("--events is a number, like 50M")? * unit;
            }
            "--scale" => {
                parsed.scale = value.split(',').map(str::parse).collect::<Result<_, _>>().context("--scale 1,2,4,8")?;
                parsed.scale.sort_unstable();
            }
            "--only" if ["queries", "ingest"].contains(&value.as_str()) => parsed.only = Some(value.clone()),
            "--report" => parsed.report = Some(value.into()),
            _ => bail!(
                "usage: cargo xtask bench [--events 50M] [--scale 1,2,4,8] [--only queries|ingest] [--report FOLDER]"
            ),
        }
    }
    Ok(parsed)
}

pub(crate) fn main(args: &[String]) -> Result<()> {
    let args = parse(args)?;
    if let Some(folder) = &args.report {
        println!("{}", queries_report(folder)?);
        return Ok(());
    }
    let folder = root().join("target/bench");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let tools = Tools::prepare(&args)?;
    if args.only.as_deref() != Some("ingest") {
        queries(&tools, &folder, &args)?;
        publish("queries", &queries_report(&folder)?)?;
    }
    if args.only.as_deref() != Some("queries") {
        publish("ingest", &ingest(&tools, &folder)?)?;
    }
    Ok(())
}

/// What the run needs: our binaries, and a Python with the peers.
struct Tools {
    binary: String,
    server: String,
    python: String,
}

impl Tools {
    fn prepare(args: &Args) -> Result<Tools> {
        let build = ["build", "--release", "--quiet", "--package"];
        run("", "cargo", &[&build[..], &["cofferdam-bench"]].concat(), &[])?;
        if args.only.as_deref() != Some("queries") {
            crate::console()?;
            run("", "cargo", &[&build[..], &["cofferdam"]].concat(), &[])?;
        }
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
        // Beside the results, so that a fresh folder for these does not install the peers again.
        let venv = root().join("target/bench-venv");
        let python = venv.join("bin/python").display().to_string();
        if !venv.join("bin/python").exists() {
            run("", "python3", &["-m", "venv", &venv.display().to_string()], &[])?;
        }
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        run("", &python, &[&install[..], &["tests/bench/requirements.txt"]].concat(), &[])?;
        let built = |name: &str| target.join("release").join(name).display().to_string();
        Ok(Tools { binary: built("cofferdam-bench"), server: built("cofferdam"), python })
    }
}

fn queries(tools: &Tools, folder: &Path, args: &Args) -> Result<()> {
    let path = |name: &str| folder.join(name).display().to_string();
    let events = args.events.to_string();
    run("", &tools.binary, &["raw", "--events", &events, "--folder", &path("raw")], &[])?;
    for peer in PEERS {
        let out = path(&format!("{peer}.json"));
        let peers = ["tests/bench/peers.py", peer, "--data", &path(""), "--out", &out];
        run("", &tools.python, &[&peers[..], &["--load"]].concat(), &[])?;
        // In a process that has none of the memory that loading took.
        run("", &tools.python, &peers, &[])?;
        remove(&folder.join(peer))?;
    }
    remove(&folder.join("duck.db"))?;
    remove(&folder.join("raw"))?;
    let largest = args.scale.iter().max().copied().unwrap_or(1);
    for scale in &args.scale {
        let events = (args.events * scale / largest).to_string();
        let (lake, out) = (path("lake"), path(&format!("ours-{events}.json")));
        run("", &tools.binary, &["load-lake", "--events", &events, "--folder", &lake], &[])?;
        run("", &tools.binary, &["query", "--folder", &lake, "--json", &out], &[])?;
        remove(&folder.join("lake"))?;
    }
    Ok(())
}

/// The collecting routes under load, and ClickHouse with the same records.
fn ingest(tools: &Tools, folder: &Path) -> Result<String> {
    let path = |name: &str| folder.join(name).display().to_string();
    let (server, records) = (path("server"), path("records.ndjson"));
    let load = |args: &[&str]| -> Result<String> {
        let common = ["load", "--server", &tools.server, "--data", &server];
        capture(&tools.binary, &[&common[..], args].concat())
    };
    let batches = load(&["--events", "2000000", "--size", "2000"])?;
    let rate = rates(&batches).next().context("the load generator named no rate")?;
    let half = format!("{:.0}", rate / 2.0);
    let at_half = |more: &[&str]| load(&[&["--events", "2000000", "--size", "2000", "--rate", &half], more].concat());
    let (known, steady) = (at_half(&["--known"])?, at_half(&["--known", "--new-share", "0.05"])?);
    let strangers_first = at_half(&[])?;
    let fresh = load(&["--events", "1000000", "--size", "2000", "--rate", &half, "--fresh"])?;
    let single = |persons| load(&["--events", "300000", "--size", "1", "--connections", "32", "--persons", persons]);
    // Fifty events a person, as in the world that the questions are asked of; and every third of a new person.
    let (single, strangers) = (single("6000")?, single("100000")?);
    load(&["--events", "1000000", "--write", &records])?;
    let peer = capture(&tools.python, &["tests/bench/ingest_peer.py", &records, &path("ch-ingest")])?;
    let best = rates(&peer).fold(f64::NAN, f64::max);
    let same: String = peer
        .lines()
        .filter(|line| line.starts_with("blocks of    2000,") && line.contains("once, synced"))
        .map(|line| format!("{line}\n"))
        .collect();
    let same = rates(&same).fold(f64::NAN, f64::max);
    for name in ["server", "records.ndjson", "ch-ingest"] {
        remove(&folder.join(name))?;
    }
    let head = machine(&[]);
    Ok(format!(
        "{head}\n\nBatches of 2,000 acknowledged: {rate:.0} events/s, {:.2}× ClickHouse with blocks of as many rows, synced too ({same:.0}), \
         {:.2}× ClickHouse at its best block size ({best:.0}).\n\n\
         Batches of 2,000, at first of nobody known:\n```\n{batches}```\nAt half that rate, of known persons:\n```\n{known}```\n\
         The same, one event in twenty of a new person:\n```\n{steady}```\n\
         The same, at first of nobody known:\n```\n{strangers_first}```\n\
         With somebody who asks for a report every 5 ms:\n```\n{fresh}```\n\
         Single events, one in fifty of a new person:\n```\n{single}```\nOne in three:\n```\n{strangers}```\n\
         ClickHouse:\n```\n{peer}```\n",
        rate / same,
        rate / best
    ))
}

/// Every number before the words "events/s".
fn rates(text: &str) -> impl Iterator<Item = f64> + '_ {
    text.lines().filter_map(|line| {
        let word =
            line.split(" events/s").next().filter(|before| before.len() < line.len())?.split_whitespace().last()?;
        word.replace(',', "").parse().ok()
    })
}

/// Runs a command and answers what it printed.
fn capture(program: &str, args: &[&str]) -> Result<String> {
    println!("\n==> {program} {}", args.join(" "));
    let output =
        Command::new(program).args(args).current_dir(root()).stderr(std::process::Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    print!("{text}");
    if !output.status.success() {
        bail!("`{program} {}` failed", args.join(" "));
    }
    Ok(text)
}

fn remove(path: &Path) -> Result<()> {
    match path {
        path if path.is_dir() => std::fs::remove_dir_all(path)?,
        path if path.exists() => std::fs::remove_file(path)?,
        _ => {}
    }
    Ok(())
}

/// One engine's cost of one question.
struct Cost<'a> {
    engine: &'a str,
    native: bool,
    wall_s: f64,
    cpu_s: f64,
    peak_mb: f64,
    rows: &'a Value,
}

impl<'a> Cost<'a> {
    fn new(engine: &'a str, form: &'a str, cost: &'a Value) -> Option<Cost<'a>> {
        let number = |name: &str| cost[name].as_f64();
        Some(Cost {
            engine,
            native: form.contains("native"),
            wall_s: number("wall_s")?,
            cpu_s: number("cpu_s")?,
            peak_mb: number("peak_mb")?,
            rows: &cost["rows"],
        })
    }
}

/// Our results by number of events, fewest first.
fn ours(folder: &Path) -> Result<Vec<Value>> {
    let mut ours = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("ours-") && name.ends_with(".json") {
            ours.push(read(&path)?);
        }
    }
    ours.sort_by_key(|result| result["load"]["events"].as_u64());
    if ours.is_empty() {
        bail!("{} has no ours-*.json", folder.display());
    }
    Ok(ours)
}

fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

/// Rows in one order, numbers and texts alike.
fn sorted(rows: &Value) -> Vec<String> {
    let cell = |cell: &Value| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned);
    let row = |row: &Value| row.as_array().into_iter().flatten().map(cell).collect::<Vec<_>>().join("\t");
    let mut rows: Vec<String> = rows.as_array().into_iter().flatten().map(row).collect();
    rows.sort_unstable();
    rows
}

fn queries_report(folder: &Path) -> Result<String> {
    let all = ours(folder)?;
    let ours = all.last().expect("at least one");
    let peers: Vec<Value> =
        PEERS.iter().map(|peer| read(&folder.join(format!("{peer}.json")))).collect::<Result<_>>()?;
    let events = ours["load"]["events"].as_u64().unwrap_or(0);
    for peer in &peers {
        if peer["load"]["events"].as_u64() != Some(events) {
            bail!("{} holds another number of events than ours, {events}", peer["version"]);
        }
    }
    let mut table = String::from(
        "| | Cofferdam CPU s | wall s | peak MB | beyond mapped files MB | ClickHouse CPU s | wall s | peak MB \
         | DuckDB CPU s | wall s | peak MB | CPU, better peer ÷ ours |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let mut forms =
        String::from("| | engine | form | CPU s | wall s | peak MB | answer |\n|---|---|---|--:|--:|--:|---|\n");
    let mut growth = String::from("| |");
    for result in &all {
        write!(growth, " {:.2} M |", result["load"]["events"].as_f64().unwrap_or(0.0) / 1e6)?;
    }
    write!(growth, " CPU per event, last ÷ first |\n|---|{}--:|\n", "--:|".repeat(all.len()))?;
    let mut ratios = Vec::new();
    let mut different = Vec::new();
    let mut unanswered = Vec::new();
    for (name, words) in QUESTIONS {
        let Some(own) = Cost::new("Cofferdam", "", &ours["queries"][name]) else {
            unanswered.push(format!("{name}: {}", ours["queries"][name]["error"]));
            continue;
        };
        let expected = sorted(own.rows);
        let mut best: [Option<Cost<'_>>; 2] = [None, None];
        let mut compared = false;
        for (peer, result) in PEERS.iter().zip(&peers) {
            for (form, cost) in result["queries"][name].as_object().into_iter().flatten() {
                let Some(cost) = Cost::new(peer, form, cost) else {
                    writeln!(forms, "| {name} | {peer} | {form} | – | – | – | gave up |")?;
                    continue;
                };
                let equal = sorted(cost.rows) == expected;
                if !equal && !cost.native {
                    different.push(format!("{name}: {peer} {form}"));
                }
                compared |= equal;
                let answer = if equal { "equal" } else { "its own definition" };
                let Cost { cpu_s, wall_s, peak_mb, .. } = cost;
                writeln!(forms, "| {name} | {peer} | {form} | {cpu_s:.3} | {wall_s:.3} | {peak_mb:.0} | {answer} |")?;
                let slot = &mut best[usize::from(*peer == "duckdb")];
                if slot.as_ref().is_none_or(|known| cost.cpu_s < known.cpu_s) {
                    *slot = Some(cost);
                }
            }
        }
        if !compared {
            different.push(format!("{name}: no peer computed the same"));
        }
        let anonymous = ours["queries"][name]["anonymous_mb"].as_f64().unwrap_or(f64::NAN);
        let Cost { cpu_s, wall_s, peak_mb, .. } = own;
        write!(table, "| {name} {words} | {cpu_s:.4} | {wall_s:.4} | {peak_mb:.0} | {anonymous:.0} |")?;
        for cost in best.iter() {
            match cost {
                Some(cost) => {
                    let mark = if cost.native { "\\*" } else { "" };
                    let layout = cost.engine.strip_prefix("ch-").map_or(String::new(), |by| format!(" ({by})"));
                    let Cost { cpu_s, wall_s, peak_mb, .. } = cost;
                    write!(table, " {cpu_s:.3}{mark}{layout} | {wall_s:.3} | {peak_mb:.0} |")?;
                }
                None => table.push_str(" – | – | – |"),
            }
        }
        let better = best.iter().flatten().map(|cost| cost.cpu_s).fold(f64::INFINITY, f64::min);
        ratios.push(better / own.cpu_s);
        writeln!(table, " **{:.1}×** |", better / own.cpu_s)?;
        let costs: Vec<f64> =
            all.iter().map(|result| result["queries"][name]["cpu_s"].as_f64().unwrap_or(0.0)).collect();
        let cells: String = costs.iter().map(|cost| format!(" {cost:.4} |")).collect();
        let per_event = |at: usize| costs[at] / all[at]["load"]["events"].as_f64().unwrap_or(1.0);
        writeln!(growth, "| {name} |{cells} {:.2} |", per_event(costs.len() - 1) / per_event(0))?;
    }
    if !different.is_empty() {
        bail!("answers differ, so nothing is compared:\n  {}", different.join("\n  "));
    }
    if !unanswered.is_empty() {
        writeln!(table, "\nNot answered by ours: {}", unanswered.join("; "))?;
    }
    let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
    let worst = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let mut text =
        format!("{}\n\n{events} events. All answers that follow the same definition are equal.\n\n", machine(&peers));
    writeln!(
        text,
        "{table}\nGeometric mean of the ratios {mean:.1}×, worst {worst:.1}×. \\* the engine's own definition.\n"
    )?;
    text.push_str("| | load, wall s | CPU s | events/s | bytes per event on disk |\n|---|--:|--:|--:|--:|\n");
    let loads =
        std::iter::once(("Cofferdam", &ours["load"])).chain(PEERS.into_iter().zip(peers.iter().map(|p| &p["load"])));
    for (engine, load) in loads {
        let number = |name: &str| load[name].as_f64().unwrap_or(f64::NAN);
        let (wall, cpu) = (number("wall_s"), number("cpu_s"));
        let (rate, bytes) = (events as f64 / wall, number("bytes_per_event"));
        writeln!(text, "| {engine} | {wall:.0} | {cpu:.0} | {rate:.0} | {bytes:.1} |")?;
    }
    let kinds = ours["load"]["bytes_per_event_by_kind"].as_object().into_iter().flatten();
    let kinds: Vec<String> = kinds
        .filter_map(|(kind, bytes)| {
            bytes.as_f64().filter(|bytes| *bytes >= 0.05).map(|bytes| format!("{kind} {bytes:.1}"))
        })
        .collect();
    writeln!(text, "\nOurs by kind of file: {}.\n", kinds.join(", "))?;
    writeln!(
        text,
        "Growth of our CPU seconds with the number of events:\n\n{growth}\nEvery form that was timed:\n\n{forms}"
    )?;
    Ok(text)
}

fn machine(peers: &[Value]) -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("?", |(_, m)| m);
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = meminfo.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(f64::NAN);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let date = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    let date = date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let mut versions: Vec<&str> = peers.iter().filter_map(|peer| peer["version"].as_str()).collect();
    versions.dedup();
    let versions: String = versions.iter().map(|version| format!("; {version}")).collect();
    format!("{date}, {cores} cores of {model}, {:.0} GB memory{versions}.", kib / 1_048_576.0)
}

/// Prints a report and writes it between its markers in `docs/benchmarks.md`; the prose around it stays.
fn publish(section: &str, text: &str) -> Result<()> {
    println!("\n{text}");
    let path = root().join("docs/benchmarks.md");
    let page = std::fs::read_to_string(&path).context("docs/benchmarks.md is missing")?;
    let (open, close) = (format!("<!-- {section} -->\n"), format!("<!-- /{section} -->"));
    let from = page.find(&open).with_context(|| format!("docs/benchmarks.md has no {open}"))? + open.len();
    let to = page.find(&close).with_context(|| format!("docs/benchmarks.md has no {close}"))?;
    std::fs::write(&path, format!("{}{text}{}", &page[..from], &page[to..]))?;
    Ok(())
}
