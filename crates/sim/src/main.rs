//! `cofferdam-sim run`: runs of the simulation, by seed.
//!
//! - `run --seeds A..B` runs the seeds from A up to B
//! - `run --fresh N` runs N seeds from the system's randomness
//! - `run --seed N [--trace]` runs one, and tells each step and each operation of the disk
//!
//! `--steps N` makes each run longer or shorter. Seeds that fail are printed with what did not hold.

use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::process::ExitCode;

use cofferdam_sim::driver::{Report, Scenario, Words, run};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut out = std::io::stdout().lock();
    match runs(&arguments, &mut out) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            let usage = "usage: cofferdam-sim run (--seeds A..B | --fresh N | --seed N [--trace]) [--steps N]";
            // Nothing is left to do when there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "error: {message}\n{usage}");
            ExitCode::FAILURE
        }
    }
}

/// Answers whether every run was right.
fn runs(arguments: &[String], out: &mut impl Write) -> Result<bool, String> {
    let value = |name: &str| arguments.iter().position(|argument| argument == name).map(|at| arguments.get(at + 1));
    let number = |name: &str| match value(name) {
        None => Ok(None),
        Some(text) => {
            let number = text.and_then(|text| text.parse::<u64>().ok());
            number.map(Some).ok_or(format!("{name} takes a number"))
        }
    };
    if arguments.first().map(String::as_str) != Some("run") {
        return Err("say what to do".to_owned());
    }
    let steps = number("--steps")?.and_then(|steps| u32::try_from(steps).ok());
    let words = if arguments.iter().any(|argument| argument == "--trace") { Words::All } else { Words::None };
    let seeds: Box<dyn Iterator<Item = u64>> = if let Some(seed) = number("--seed")? {
        Box::new(std::iter::once(seed))
    } else if let Some(count) = number("--fresh")? {
        let random = RandomState::new();
        Box::new((0..count).map(move |at| random.hash_one(at)))
    } else if let Some(range) = value("--seeds") {
        let bounds = range.and_then(|range| range.split_once(".."));
        let bounds = bounds.and_then(|(from, to)| Some((from.parse::<u64>().ok()?, to.parse::<u64>().ok()?)));
        let (from, to) = bounds.ok_or("--seeds takes a range such as 0..200")?;
        Box::new(from..to)
    } else {
        return Err("say which seeds".to_owned());
    };
    let mut say = |text: String| writeln!(out, "{text}").map_err(|error| format!("could not print: {error}"));
    let (mut sum, mut done, mut failed) = (Report::default(), 0_u64, 0_u64);
    for seed in seeds {
        let mut scenario = Scenario { words, ..Scenario::new(seed) };
        scenario.steps = steps.unwrap_or(scenario.steps);
        done += 1;
        match run(scenario) {
            Ok((report, told)) => {
                if !told.is_empty() {
                    say(told)?;
                }
                sum.add(&report);
            }
            Err((violation, told)) => {
                failed += 1;
                say(format!("{told}{violation}"))?;
            }
        }
        if done.is_multiple_of(1_000) {
            say(format!("{done} runs, {failed} failed"))?;
        }
    }
    let Report { operations, faults, crashes, events, checks, flips, flips_found, trace } = sum;
    say(format!(
        "{done} runs, {failed} failed: {events} events, {operations} operations of the disk of which {faults} failed, \
         {crashes} restarts, {checks} comparisons with the model, {flips_found} of {flips} changed bits found and the \
         others harmless; trace {trace:016x}"
    ))?;
    Ok(failed == 0)
}
