//! Questions, and their answers computed naively from a list of events.
//!
//! The definitions are those of `docs/reports.md`, for the shapes asked here. Worlds are made so that the order of
//! events within two seconds never matters: what operators make of such ties is tested with them.

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_lake::Snapshot;
use cofferdam_model::{Merges, Query, ResultTable, SealedEvent, SubjectNo, Value};
use cofferdam_query::{Input, Output, People};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value as Json, json};

use crate::rng::Rng;

const HOUR_US: i64 = 3_600_000_000;

/// What all questions of a world are asked with.
pub struct Asker {
    pub zone: TimeZone,
    pub now_us: i64,
}

/// A question as a shape that the oracle knows.
#[derive(Clone, Debug)]
pub enum Question {
    /// Per day: events called `name`, the persons who have one, and events of any name by plan.
    Insights {
        name: &'static str,
        from: Date,
        to: Date,
    },
    Funnel {
        steps: Vec<&'static str>,
        hours: i64,
        from: Date,
        to: Date,
    },
    /// By calendar day, `on`.
    Retention {
        born: &'static str,
        returned: &'static str,
        days: usize,
        from: Date,
        to: Date,
    },
}

/// Comparable numbers: a label, and what was counted under it.
pub type Numbers = BTreeMap<String, Vec<u64>>;

pub const PLAN: &str = "plan";
const NOT_SET: &str = "(not set)";

impl Question {
    /// One of each shape, with ranges and names that the seed chooses.
    pub fn some(rng: &mut Rng, asker: &Asker) -> Vec<Question> {
        let today = asker.date(asker.now_us);
        let mut range = || {
            let to = today - (rng.below(20) as i64).days();
            (to - (rng.below(40) as i64).days(), to)
        };
        let ((a, b), (c, d), (e, f)) = (range(), range(), range());
        let mut names = ["a", "b", "c"];
        let turn = rng.index(3);
        names.rotate_left(turn);
        vec![
            Question::Insights { name: names[0], from: a, to: b },
            Question::Funnel { steps: names.to_vec(), hours: rng.within(1, 300) as i64, from: c, to: d },
            Question::Retention {
                born: names[0],
                returned: names[1],
                days: rng.within(1, 10) as usize,
                from: e,
                to: f,
            },
        ]
    }

    fn json(&self) -> Json {
        let range = |from: &Date, to: &Date| json!({"kind": "between", "from": from, "to": to});
        match self {
            Question::Insights { name, from, to } => json!({
                "kind": "insights", "range": range(from, to), "unit": "day",
                "metrics": [
                    {"matching": {"event": name}, "measure": "total"},
                    {"matching": {"event": name}, "measure": "unique"},
                ],
                "breakdown": {"by": [{"property": PLAN}], "limit": 200},
            }),
            Question::Funnel { steps, hours, from, to } => json!({
                "kind": "funnel", "range": range(from, to),
                "steps": steps.iter().map(|name| json!({"event": name})).collect::<Vec<_>>(),
                "window": {"count": hours, "unit": "hour"},
            }),
            Question::Retention { born, returned, days, from, to } => json!({
                "kind": "retention", "range": range(from, to), "born": {"event": born}, "returned": {"event": returned},
                "unit": "day", "intervals": days, "mode": "on", "alignment": "calendar",
            }),
        }
    }
}

impl Asker {
    fn date(&self, time_us: i64) -> Date {
        Timestamp::from_microsecond(time_us).expect("worlds are in this century").to_zoned(self.zone.clone()).date()
    }

    /// The product's answer.
    pub fn ask(
        &self,
        snapshot: &Snapshot,
        merges: &Merges,
        question: &Question,
    ) -> Result<Numbers, cofferdam_query::Error> {
        let query: Query = serde_json::from_value(question.json()).expect("the shapes are valid questions");
        let people = People::default();
        let mut input = Input::new(snapshot, merges, &self.zone, self.now_us, &people);
        input.threads = 1;
        match cofferdam_query::run(&input, &query)? {
            Output::Table(table) => Ok(numbers(&table)),
            other => panic!("a list was not asked for: {other:?}"),
        }
    }

    /// The naive answer.
    pub fn answer(&self, events: &[&SealedEvent], merges: &Merges, question: &Question) -> Numbers {
        let mut persons: BTreeMap<SubjectNo, Vec<&SealedEvent>> = BTreeMap::new();
        for event in events {
            persons.entry(merges.canonical(event.subject)).or_default().push(event);
        }
        for events in persons.values_mut() {
            events.sort_by_key(|event| event.time_us);
        }
        let mut numbers = Numbers::new();
        match question {
            Question::Insights { name, from, to } => {
                let days = days_between(*from, *to) + 1;
                let mut uniques: BTreeMap<(String, usize), BTreeSet<SubjectNo>> = BTreeMap::new();
                for (person, events) in &persons {
                    for event in events.iter().filter(|event| event.name == *name) {
                        let date = self.date(event.time_us);
                        if date < *from || date > *to {
                            continue;
                        }
                        let (day, plan) = (days_between(*from, date), plan(event));
                        let total = numbers.entry(format!("0 {plan}")).or_insert_with(|| vec![0; days + 1]);
                        total[day] += 1;
                        total[days] += 1;
                        if *person != SubjectNo::NOBODY {
                            uniques.entry((plan.to_owned(), day)).or_default().insert(*person);
                            uniques.entry((plan.to_owned(), days)).or_default().insert(*person);
                        }
                    }
                }
                for ((plan, day), who) in uniques {
                    numbers.entry(format!("1 {plan}")).or_insert_with(|| vec![0; days + 1])[day] = who.len() as u64;
                }
            }
            Question::Funnel { steps, hours, from, to } => {
                let mut reached = vec![0; steps.len()];
                for (_, events) in persons.iter().filter(|(person, _)| **person != SubjectNo::NOBODY) {
                    let is_entry = |event: &&SealedEvent| {
                        let date = self.date(event.time_us);
                        event.name == steps[0] && date >= *from && date <= *to
                    };
                    let Some(entry) = events.iter().position(is_entry) else { continue };
                    let deadline = events[entry].time_us + hours * HOUR_US;
                    let mut step = 1;
                    for event in &events[entry + 1..] {
                        if step < steps.len() && event.time_us <= deadline && event.name == steps[step] {
                            step += 1;
                        }
                    }
                    reached[..step].iter_mut().for_each(|count| *count += 1);
                }
                numbers.insert("overall".to_owned(), reached);
            }
            Question::Retention { born, returned, days, from, to } => {
                let today = self.date(self.now_us);
                for (_, events) in persons.iter().filter(|(person, _)| **person != SubjectNo::NOBODY) {
                    let is_birth = |event: &&SealedEvent| {
                        let date = self.date(event.time_us);
                        event.name == *born && date >= *from && date <= *to
                    };
                    let Some(birth) = events.iter().position(is_birth) else { continue };
                    let day = self.date(events[birth].time_us);
                    // A cohort's row ends where the future begins.
                    let begun = (0..=*days).filter(|k| day + (*k as i64).days() <= today).count();
                    let cohort = numbers.entry(day.to_string()).or_insert_with(|| vec![0; 1 + begun]);
                    cohort[0] += 1;
                    let later: BTreeSet<usize> = events[birth + 1..]
                        .iter()
                        .filter(|event| event.name == *returned)
                        .map(|event| days_between(day, self.date(event.time_us)))
                        .collect();
                    for k in later.into_iter().filter(|k| *k < begun) {
                        cohort[1 + k] += 1;
                    }
                }
            }
        }
        numbers
    }
}

fn days_between(from: Date, to: Date) -> usize {
    usize::try_from((to - from).get_days()).expect("in order")
}

fn plan(event: &SealedEvent) -> &str {
    match event.properties.iter().find(|(name, _)| name == PLAN) {
        Some((_, Value::String(text))) => text,
        Some(other) => panic!("a plan is a text, not {other:?}"),
        None => NOT_SET,
    }
}

/// The numbers of a table, read as anybody reads them: from its JSON.
fn numbers(table: &ResultTable) -> Numbers {
    let table = serde_json::to_value(table).expect("a table can be written down");
    let counts = |list: &Json| -> Vec<u64> {
        list.as_array().into_iter().flatten().map(|count| count.as_f64().unwrap_or_default() as u64).collect()
    };
    let mut numbers = Numbers::new();
    match table["kind"].as_str() {
        Some("insights") => {
            for series in table["series"].as_array().into_iter().flatten() {
                let segment = match series["segment"][0]["kind"].as_str() {
                    Some("value") => series["segment"][0]["value"].as_str().unwrap_or_default(),
                    Some("not_set") => NOT_SET,
                    other => panic!("a segment that was not asked for: {other:?}"),
                };
                let mut values = counts(&series["values"]);
                values.push(series["total"].as_f64().unwrap_or_default() as u64);
                if values.iter().any(|value| *value > 0) {
                    numbers.insert(format!("{} {segment}", series["metric"]), values);
                }
            }
        }
        Some("funnel") => {
            let steps = table["overall"]["steps"].as_array().into_iter().flatten();
            let counts = steps.map(|step| step["count"].as_u64().unwrap_or_default()).collect();
            numbers.insert("overall".to_owned(), counts);
        }
        Some("retention") => {
            for cohort in table["cohorts"].as_array().into_iter().flatten() {
                let mut row = vec![cohort["size"].as_u64().unwrap_or_default()];
                row.extend(counts(&cohort["retained"]));
                let day = cohort["start"].as_str().and_then(|start| start.get(..10)).unwrap_or_default();
                numbers.insert(day.to_owned(), row);
            }
        }
        other => panic!("a table that was not asked for: {other:?}"),
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_equal_the_oracle_over_events_in_memory() {
        for seed in 0..40 {
            let mut rng = Rng::new(seed);
            let asker = Asker { zone: TimeZone::get("Europe/Madrid").unwrap(), now_us: 1_792_065_600_000_000 };
            let events: Vec<SealedEvent> = (0..rng.below(150))
                .map(|at| SealedEvent {
                    name: rng.pick(&["a", "b", "c"]).to_string(),
                    subject: if rng.chance(50) { SubjectNo::NOBODY } else { SubjectNo(rng.below(12) as u32) },
                    time_us: asker.now_us - (rng.below(500) * 200 + at) as i64 * 60_000_000,
                    insert_id: 0,
                    properties: if rng.chance(700) {
                        vec![(PLAN.into(), Value::String(rng.pick(&["x", "y"]).to_string()))]
                    } else {
                        vec![]
                    },
                })
                .collect();
            let mut merges = Merges::default();
            merges.link(SubjectNo(1), SubjectNo(2));
            merges.link(SubjectNo(3), SubjectNo(2));
            let snapshot = Snapshot::of_events(events.clone(), 4, 3);
            let all: Vec<&SealedEvent> = events.iter().collect();
            for question in Question::some(&mut rng, &asker) {
                let found = asker.ask(&snapshot, &merges, &question).unwrap();
                assert_eq!(found, asker.answer(&all, &merges, &question), "seed {seed}: {question:?}");
            }
        }
    }
}
