//! The questions of `docs/benchmarks.md`, asked of a lake as a client asks them: JSON in, table out, table to JSON.
//!
//! Each answer is also cut down to rows of plain values, in the form in which the peers give theirs.

use std::path::Path;

use anyhow::{Context, Result, bail};
use cofferdam_lake::Lake;
use cofferdam_model::{Merges, Query};
use cofferdam_query::{Input, Output, People};
use jiff::tz::TimeZone;
use serde_json::{Value as Json, json};

use crate::feed;
use crate::measure;
use crate::world;

/// The questions of docs/benchmarks.md, by name.
fn questions() -> Vec<(&'static str, Json)> {
    let range = json!({"kind": "between", "from": "2026-06-01", "to": "2026-07-30"});
    let named = |event: &str| json!({ "event": event });
    let funnel = |second: Json, rest: Json| {
        let mut query = json!({
            "kind": "funnel", "range": range, "window": {"count": 7, "unit": "day"},
            "steps": [named("product_view"), second, named("purchase")],
        });
        query.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
        query
    };
    let above_50 = json!({"property": "amount", "condition": {"op": "greater_than", "value": 50.0}});
    let products = json!({"property": "url_path", "condition": {"op": "starts_with", "value": "/product/"}});
    vec![
        (
            "Q1",
            json!({
                "kind": "insights", "range": range, "unit": "day",
                "metrics": [{"matching": named("search"), "measure": "total"}],
            }),
        ),
        (
            "Q2",
            json!({
                "kind": "insights", "range": range, "unit": "day",
                "metrics": [{"matching": named("search"), "measure": "unique"}],
                "breakdown": {"by": [{"property": "country"}], "limit": 10},
            }),
        ),
        ("Q3", funnel(named("add_to_cart"), json!({}))),
        ("Q3b", funnel(named("add_to_cart"), json!({"reentry": "optimized"}))),
        (
            "Q4",
            funnel(
                json!({"event": "add_to_cart", "filters": [above_50]}),
                json!({"breakdown": {"by": [{"property": "plan"}], "limit": 10}}),
            ),
        ),
        (
            "Q5",
            json!({
                "kind": "retention", "range": range, "unit": "day", "born": named("signup"), "returned": {},
                "intervals": 14, "mode": "on", "alignment": "calendar",
            }),
        ),
        (
            "Q6",
            json!({
                "kind": "flows", "range": range, "anchor": named("product_view"), "after": 3, "count": "total",
                "window": {"count": 60, "unit": "day"}, "paths": 10,
            }),
        ),
        (
            "Q7",
            json!({
                "kind": "insights", "range": range, "unit": "month",
                "metrics": [{"matching": {"filters": [products]}, "measure": "unique"}],
            }),
        ),
    ]
}

/// Runs each question once under observation of its memory, then `runs` times. Answers what they cost and said.
pub(crate) async fn run(folder: &Path, only: &[String], runs: usize) -> Result<Json> {
    let lake = feed::open(folder).await?;
    let only = only.to_vec();
    tokio::task::spawn_blocking(move || {
        measure::settle();
        let mut results = serde_json::Map::new();
        for (name, question) in questions() {
            if only.is_empty() || only.iter().any(|wanted| wanted == name) {
                let result = one(&lake, name, &question, runs).unwrap_or_else(|error| {
                    eprintln!("{name}  {error:#}");
                    json!({ "error": format!("{error:#}") })
                });
                results.insert(name.to_owned(), result);
            }
        }
        Ok(Json::Object(results))
    })
    .await?
}

fn one(lake: &Lake, name: &str, question: &Json, runs: usize) -> Result<Json> {
    let question = serde_json::to_vec(question)?;
    let ((answer, first), memory) = measure::memory(|| measure::cost(|| ask(lake, &question)));
    let answer = answer.with_context(|| format!("{name} was not answered"))?;
    let mut walls = Vec::new();
    let mut cpu_s = 0.0;
    for _ in 0..runs {
        let (again, cost) = measure::cost(|| ask(lake, &question));
        again?;
        walls.push(cost.wall_s);
        cpu_s += cost.cpu_s / runs as f64;
    }
    let wall_s = measure::median(walls.clone());
    let line = format!(
        "{name}  first {:7.3} s  warm {wall_s:7.4} s  cpu {cpu_s:7.4} s  peak {:5.0} MB  beyond mapped files {:5.0} MB",
        first.wall_s, memory.peak_mb, memory.anonymous_mb
    );
    eprintln!("{line}");
    Ok(json!({
        "first_s": first.wall_s, "wall_s": wall_s, "all_s": walls, "cpu_s": cpu_s,
        "peak_mb": memory.peak_mb, "anonymous_mb": memory.anonymous_mb,
        "rows": rows(name, &serde_json::from_slice(&answer)?)?,
    }))
}

/// The whole of a question but its way through HTTP.
fn ask(lake: &Lake, question: &[u8]) -> Result<Vec<u8>> {
    let query: Query = serde_json::from_slice(question)?;
    let snapshot = lake.snapshot(feed::PROJECT)?;
    let (merges, people, zone) = (Merges::default(), People::default(), TimeZone::UTC);
    // The last microsecond of the world.
    let now_us = (world::START_MS + i64::from(world::DAYS) * world::DAY_MS) * 1_000 - 1;
    let input = Input::new(&snapshot, &merges, &zone, now_us, &people);
    match cofferdam_query::run(&input, &query)? {
        Output::Table(table) => Ok(serde_json::to_vec(&table)?),
        Output::Persons { .. } | Output::Events(_) => bail!("a question about tables got a list"),
    }
}

/// An answer as rows, in no order.
fn rows(name: &str, table: &Json) -> Result<Vec<Json>> {
    let list = |value: &Json| value.as_array().cloned().unwrap_or_default();
    let count = |value: &Json| value.as_u64().unwrap_or(0);
    let day = |value: &Json| value.as_str().unwrap_or_default().chars().take(10).collect::<String>();
    let segment = |of: &Json| of["segment"][0]["value"].as_str().map(str::to_owned);
    // Steps count those who got at least there; the peers say how far each got.
    let levels = |result: &Json| -> Vec<(usize, u64)> {
        let reached: Vec<u64> = list(&result["steps"]).iter().map(|step| count(&step["count"])).collect();
        (0..reached.len()).map(|i| (i + 1, reached[i] - reached.get(i + 1).unwrap_or(&0))).collect()
    };
    let mut rows = Vec::new();
    match name {
        "Q1" | "Q2" => {
            let days = list(&table["buckets"]);
            for series in list(&table["series"]) {
                let country = segment(&series);
                if name == "Q2" && country.is_none() {
                    continue;
                }
                for (at, value) in list(&series["values"]).iter().enumerate().filter(|(_, value)| count(value) > 0) {
                    rows.push(match &country {
                        Some(country) => json!([day(&days[at]), country, count(value)]),
                        None => json!([day(&days[at]), count(value)]),
                    });
                }
            }
        }
        "Q3" | "Q3b" => rows.extend(levels(&table["overall"]).iter().map(|(level, persons)| json!([level, persons]))),
        "Q4" => {
            for funnel in list(&table["segments"]) {
                let plan = segment(&funnel);
                rows.extend(levels(&funnel["result"]).iter().map(|(level, persons)| json!([plan, level, persons])));
            }
        }
        "Q5" => {
            for cohort in list(&table["cohorts"]) {
                let day = day(&cohort["start"]);
                // Whoever signed up was there that day; our interval 0 counts who came back within it.
                for (k, persons) in list(&cohort["retained"]).iter().enumerate() {
                    rows.push(json!([day, k, if k == 0 { count(&cohort["size"]) } else { count(persons) }]));
                }
            }
        }
        "Q6" => {
            for path in list(&table["overall"]["paths"]) {
                let mut row: Vec<Json> =
                    list(&path["events"]).iter().skip(1).map(|name| name["event"].clone()).collect();
                // Where a path ends early, the peers say "nothing".
                row.resize(3, json!(""));
                row.push(path["count"].clone());
                rows.push(Json::Array(row));
            }
        }
        "Q7" => rows.push(json!([count(&table["series"][0]["total"])])),
        _ => bail!("{name} has no rows"),
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_question_is_one_that_a_client_may_ask() {
        for (name, question) in super::questions() {
            serde_json::from_value::<cofferdam_model::Query>(question)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
