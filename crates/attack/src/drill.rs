//! The drill as an attack: a whole incident against a whole server, small, and judged.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::running::{done, program};
use crate::{Case, Outcome, Stage};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            number: 101,
            title: "A stolen session, password and code: dashboards, profiles, exports, reveals, a key of one's own",
            run: stolen_session,
        },
        Case { number: 102, title: "Colleagues who collude take persons, and are asked after at once", run: collusion },
    ]
}

/// What an attacker may have of a chunk that was opened before anybody could act.
const CHUNK: u64 = 1_000;

/// Plays the drill through. Answers its figures.
fn drilled(stage: &Stage) -> Result<Value> {
    let persons = if stage.is_full { "1000000" } else { "2000" };
    let output =
        program(&stage.binary, None).args(["drill", "nine-november", "--json", "--persons", persons]).output()?;
    let figures = serde_json::from_slice(&output.stdout);
    done(output)?;
    figures.context("the drill printed no figures")
}

fn number(figures: &Value, path: &str) -> Result<u64> {
    figures.pointer(path).and_then(Value::as_u64).with_context(|| format!("the drill has no {path}"))
}

fn ratio(figures: &Value, path: &str) -> Result<f64> {
    figures.pointer(path).and_then(Value::as_f64).with_context(|| format!("the drill has no {path}"))
}

fn stolen_session(stage: &Stage) -> Result<Outcome> {
    let figures = drilled(stage)?;
    let of = |name: &str| number(&figures, &format!("/stolen_session/{name}"));
    let (values, requests, refused, after) = (of("values")?, of("requests")?, of("refused")?, of("works_after")?);
    ensure!(requests > 50, "only {requests} requests were tried");
    let noticed = ratio(&figures, "/stolen_session/noticed_ms")?;
    Ok(Outcome {
        is_through: values > 0 || after > 0 || noticed > 5_000.0,
        figure: format!(
            "{values} values in {requests} answers, {refused} of them refusals; noticed after {noticed:.0} ms; {after} of 2 requests answered after containment"
        ),
    })
}

/// The whole drill, and the index alone at a size that a server takes long to have.
fn collusion(stage: &Stage) -> Result<Outcome> {
    let index = crate::exposure::collusion(stage)?;
    if index.is_through {
        // An index that misses somebody finds no scope: the drill could not go on.
        return Ok(index);
    }
    let figures = drilled(stage)?;
    let of = |name: &str| number(&figures, &format!("/three_collude/{name}"));
    let exact = |name: &str| ratio(&figures, &format!("/three_collude/{name}"));
    let two = number(&figures, "/two_collude/persons")?;
    let (taken, missed, beyond) = (of("persons")?, of("persons_missed")?, of("persons_beyond")?);
    let (chunks, sessions, untold) = (of("chunks_after")?, of("works_after")?, of("notices/missed")?);
    let (precision, recall) = (exact("precision")?, exact("recall")?);
    let is_whole = figures.pointer("/three_collude/is_whole").and_then(Value::as_bool).context("is it whole?")?;
    let beyond_max = if is_whole { 0 } else { CHUNK };
    ensure!(taken > 0, "nothing was taken: there is nothing to compare");
    let is_through =
        two > 0 || chunks > 1 || sessions > 0 || untold > 0 || missed > 0 || beyond > beyond_max || recall < 1.0;
    Ok(Outcome {
        is_through,
        figure: format!(
            "two: {two} persons; three: {taken} persons, {chunks} chunks after containment, precision {precision:.4}, recall {recall:.4}, {untold} not told; the index alone: {}",
            index.figure
        ),
    })
}
