//! What the numbers mean, on small worlds whose expected tables are written out here.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::server::{Options, Server, is, ms, plain, range};

const MADRID: Options = Options { time_zone: "Europe/Madrid", ..Options::PLAIN };

/// Sends `(person, event, time, properties)` as history.
fn world(server: &Server, events: &[(&str, &str, &str, Value)]) {
    let events: Vec<Value> = events
        .iter()
        .map(|(person, name, time, properties)| server.event(name, ms(time), person, properties.clone()))
        .collect();
    server.import(&events);
}

/// The values of the only series.
fn values(table: &Value) -> Value {
    assert_eq!(table["series"].as_array().map(Vec::len), Some(1), "{table}");
    table["series"][0]["values"].clone()
}

fn between(from: &str, to: &str) -> Value {
    json!({"kind": "between", "from": from, "to": to})
}

fn insights(range: Value, unit: &str, event: &str, measure: &str) -> Value {
    json!({"kind": "insights", "range": range, "unit": unit,
        "metrics": [{"matching": {"event": event}, "measure": measure}]})
}

#[test]
fn days_hours_and_months_are_cut_in_the_zone_of_the_project() {
    let server = Server::with(MADRID);
    // Clocks go back at 03:00 on 25 October 2026: the day has 25 hours, from 22:00Z to 23:00Z.
    world(
        &server,
        &[
            ("a", "Open", "2026-10-24T21:59:59Z", json!({})),
            ("a", "Open", "2026-10-24T22:00:00Z", json!({})),
            ("a", "Open", "2026-10-25T00:30:00Z", json!({})),
            ("b", "Open", "2026-10-25T01:30:00Z", json!({})),
            ("b", "Open", "2026-10-25T22:59:59Z", json!({})),
            ("b", "Open", "2026-10-25T23:00:00Z", json!({})),
            ("b", "Open", "2026-09-30T22:00:00Z", json!({})),
        ],
    );
    let days = server.ask(&insights(between("2026-10-24", "2026-10-26"), "day", "Open", "total"));
    assert_eq!(
        days["buckets"],
        json!(["2026-10-24T00:00:00+02:00", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"])
    );
    assert_eq!(values(&days), json!([1, 4, 1]));
    assert_eq!(days["last_incomplete"], false);

    let hours = server.ask(&insights(between("2026-10-25", "2026-10-25"), "hour", "Open", "total"));
    let starts: Vec<&str> =
        hours["buckets"].as_array().expect("buckets").iter().map(|start| start.as_str().expect("text")).collect();
    assert_eq!(starts.len(), 25, "{starts:?}");
    assert_eq!(
        starts[..5],
        [
            "2026-10-25T00:00:00+02:00",
            "2026-10-25T01:00:00+02:00",
            "2026-10-25T02:00:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T03:00:00+01:00",
        ]
    );
    assert_eq!(starts[24], "2026-10-25T23:00:00+01:00");
    let mut expected = vec![0; 25];
    expected[0] = 1;
    expected[2] = 1; // 02:30 for the first time
    expected[3] = 1; // 02:30 for the second
    expected[24] = 1;
    assert_eq!(values(&hours), json!(expected));

    let months = server.ask(&insights(between("2026-10-01", "2026-10-31"), "month", "Open", "unique"));
    assert_eq!(months["buckets"], json!(["2026-10-01T00:00:00+02:00"]));
    assert_eq!(values(&months), json!([2]), "23:00Z on 30 September is October in Madrid");

    // Monday 19 October to Sunday 25, 25 hours long at its end.
    let weeks = server.ask(&insights(between("2026-10-19", "2026-11-01"), "week", "Open", "total"));
    assert_eq!(weeks["buckets"], json!(["2026-10-19T00:00:00+02:00", "2026-10-26T00:00:00+01:00"]));
    assert_eq!(values(&weeks), json!([5, 1]));

    let target = format!("/api/v1/projects/{}/query", server.project.id);
    let answer = server
        .api("POST", &target)
        .json(&insights(between("2026-10-24", "2026-10-26"), "day", "Open", "total"))
        .send()
        .json();
    assert_eq!((&answer["time_zone"], &answer["exact"]), (&json!("Europe/Madrid"), &json!(true)));
    assert!(answer["computed_at"].as_str().is_some_and(|at| at.parse::<jiff::Timestamp>().is_ok()), "{answer}");
}

#[test]
fn a_day_that_loses_an_hour_has_twenty_three() {
    let server = Server::with(MADRID);
    world(
        &server,
        &[
            ("a", "Open", "2026-03-28T23:00:00Z", json!({})),
            ("a", "Open", "2026-03-29T01:00:00Z", json!({})),
            ("a", "Open", "2026-03-29T21:59:59Z", json!({})),
            ("a", "Open", "2026-03-29T22:00:00Z", json!({})),
        ],
    );
    let hours = server.ask(&insights(between("2026-03-29", "2026-03-29"), "hour", "Open", "total"));
    let starts = hours["buckets"].as_array().expect("buckets").clone();
    assert_eq!(starts.len(), 23);
    assert_eq!(starts[1..3], [json!("2026-03-29T01:00:00+01:00"), json!("2026-03-29T03:00:00+02:00")]);
    assert_eq!(hours["series"][0]["total"], 3);
}

#[test]
fn uniques_count_a_person_once_in_each_bucket_and_once_in_total() {
    let server = Server::start();
    world(
        &server,
        &[
            ("a", "Buy", "2026-09-01T10:00:00Z", json!({"plan": "pro", "n": 1})),
            ("a", "Buy", "2026-09-01T11:00:00Z", json!({"plan": "free"})),
            ("a", "Buy", "2026-09-03T10:00:00Z", json!({"plan": "pro"})),
            ("b", "Buy", "2026-09-01T10:00:00Z", json!({"plan": "pro"})),
            ("c", "Buy", "2026-09-03T10:00:00Z", json!({})),
            ("c", "Look", "2026-09-02T10:00:00Z", json!({})),
        ],
    );
    let september = || between("2026-09-01", "2026-09-03");
    let mut query = json!({"kind": "insights", "range": september(), "unit": "day", "metrics": [
        {"matching": {"event": "Buy"}, "measure": "total"},
        {"matching": {"event": "Buy"}, "measure": "unique"},
        {"matching": {}, "measure": "unique"},
        {"matching": {"event": "Buy", "filters": [is("plan", "pro")]}, "measure": "total"},
        {"matching": {"event": "Never"}, "measure": "total"},
    ]});
    let lines = |table: &Value| -> Vec<(u64, Value, u64)> {
        let series = table["series"].as_array().expect("series");
        series
            .iter()
            .map(|line| {
                let metric = line["metric"].as_u64().expect("an index");
                (metric, line["values"].clone(), line["total"].as_u64().expect("a total"))
            })
            .collect()
    };
    assert_eq!(
        lines(&server.ask(&query)),
        [
            (0, json!([3, 0, 2]), 5),
            (1, json!([2, 0, 2]), 3),
            (2, json!([2, 1, 2]), 3),
            (3, json!([2, 0, 1]), 3),
            (4, json!([0, 0, 0]), 0),
        ]
    );
    // Filters of the question hold for every line.
    query["filters"] = json!([is("plan", "free")]);
    let totals: Vec<u64> = lines(&server.ask(&query)).into_iter().map(|(_, _, total)| total).collect();
    assert_eq!(totals, [1, 1, 1, 0, 0]);

    // Segments: largest first; who has two plans counts in both.
    let broken_down = |limit: u32, measure: &str| {
        let mut query = insights(september(), "day", "Buy", measure);
        query["breakdown"] = json!({"by": [{"property": "plan"}], "limit": limit});
        let table = server.ask(&query);
        let segments: BTreeMap<String, u64> = table["series"]
            .as_array()
            .expect("series")
            .iter()
            .map(|line| (line["segment"][0].to_string(), line["total"].as_u64().expect("a total")))
            .collect();
        (segments, table["segments_omitted"].as_u64().expect("a number"))
    };
    let value = |text: &str| json!({"kind": "value", "value": text}).to_string();
    let not_set = json!({"kind": "not_set"}).to_string();
    let other = json!({"kind": "other"}).to_string();
    let expected = [(value("pro"), 3), (value("free"), 1), (not_set.clone(), 1)];
    assert_eq!(broken_down(10, "total"), (expected.into(), 0));
    let expected = [(value("pro"), 2), (value("free"), 1), (not_set, 1)];
    assert_eq!(broken_down(10, "unique"), (expected.into(), 0));
    assert_eq!(broken_down(1, "total"), ([(value("pro"), 3), (other, 2)].into(), 2));
}

#[test]
fn every_condition_means_what_it_says() {
    let server = Server::start();
    let time = "2026-09-01T10:00:00Z";
    world(
        &server,
        &[
            ("a", "E", time, json!({"word": "Alpha beta", "n": 1, "flag": true, "list": ["red", "Green"]})),
            ("b", "E", time, json!({"word": "alpha", "n": 2.5, "flag": false, "list": ["blue"]})),
            ("c", "E", time, json!({"word": "GAMMA", "n": -3, "list": []})),
            ("d", "E", time, json!({"n": "many", "word": ""})),
        ],
    );
    for (property, condition, expected) in [
        ("word", json!({"op": "equals", "values": ["alpha"]}), 1),
        ("word", json!({"op": "equals", "values": ["alpha", "GAMMA"]}), 2),
        ("word", json!({"op": "does_not_equal", "values": ["alpha"]}), 3),
        ("word", json!({"op": "contains", "value": "ALPHA"}), 2),
        ("word", json!({"op": "does_not_contain", "value": "alpha"}), 2),
        ("word", json!({"op": "starts_with", "value": "alp"}), 2),
        ("word", json!({"op": "ends_with", "value": "BETA"}), 1),
        ("word", json!({"op": "is_set"}), 4),
        ("missing", json!({"op": "is_set"}), 0),
        ("missing", json!({"op": "is_not_set"}), 4),
        ("missing", json!({"op": "equals", "values": ["x"]}), 0),
        ("missing", json!({"op": "does_not_equal", "values": ["x"]}), 4),
        ("missing", json!({"op": "does_not_contain", "value": "x"}), 4),
        ("missing", json!({"op": "greater_than", "value": -1e9}), 0),
        ("flag", json!({"op": "equals", "values": [true]}), 1),
        ("flag", json!({"op": "does_not_equal", "values": [true]}), 3),
        ("flag", json!({"op": "is_not_set"}), 2),
        ("n", json!({"op": "equals", "values": [2.5]}), 1),
        ("n", json!({"op": "greater_than", "value": 1}), 1),
        ("n", json!({"op": "at_least", "value": 1}), 2),
        ("n", json!({"op": "less_than", "value": 1}), 1),
        ("n", json!({"op": "at_most", "value": 1}), 2),
        ("n", json!({"op": "between", "low": -3, "high": 1}), 2),
        ("list", json!({"op": "equals", "values": ["red"]}), 1),
        ("list", json!({"op": "equals", "values": ["Green", "blue"]}), 2),
        ("list", json!({"op": "contains", "value": "RE"}), 1),
    ] {
        let matching = json!({"event": "E", "filters": [{"property": property, "condition": condition}]});
        assert_eq!(server.count("total", matching.clone()), expected, "{matching}");
    }
    // All conditions of a list must hold.
    let both = json!({"event": "E", "filters": [
        {"property": "word", "condition": {"op": "contains", "value": "alpha"}},
        {"property": "n", "condition": {"op": "at_least", "value": 2}},
    ]});
    assert_eq!(server.count("total", both), 1);
}

/// Persons at each step, with an hour to convert, when each letter is an event at that minute.
fn funnel(server: &Server, world_of: &str, steps: &str, window: Value) -> Vec<u64> {
    let steps: Vec<Value> =
        steps.chars().map(|name| json!({"event": name.to_string(), "filters": [is("world", world_of)]})).collect();
    let table = server.ask(&json!({"kind": "funnel", "range": range(), "steps": steps, "window": window}));
    reached(&table["overall"])
}

fn reached(result: &Value) -> Vec<u64> {
    let steps = result["steps"].as_array().expect("steps");
    steps.iter().map(|step| step["count"].as_u64().expect("a number")).collect()
}

/// One person of one world: letters are events, numbers the minutes at which they happen.
fn walk(server: &Server, world_of: &str, person: &str, events: &[(char, f64)]) {
    let start = ms("2026-09-01T00:00:00Z");
    let events: Vec<Value> = events
        .iter()
        .map(|(name, minute)| {
            let time = start + (minute * 60_000.0) as i64;
            server.event(&name.to_string(), time, &format!("{world_of}-{person}"), json!({"world": world_of}))
        })
        .collect();
    server.import(&events);
}

#[test]
fn funnels_count_as_the_published_examples_do() {
    let server = Server::start();
    let hour = || json!({"count": 1, "unit": "hour"});
    let day = || json!({"count": 1, "unit": "day"});
    struct Example {
        name: &'static str,
        events: &'static [(char, f64)],
        steps: &'static str,
        hours: u32,
        expected: &'static [u64],
    }
    let examples = [
        Example {
            name: "later first steps do not reset the window",
            events: &[('A', 60.0), ('A', 90.0), ('B', 105.0), ('C', 135.0)],
            steps: "ABC",
            hours: 1,
            expected: &[1, 1, 0],
        },
        Example {
            name: "the same with time enough",
            events: &[('A', 60.0), ('A', 90.0), ('B', 105.0), ('C', 135.0)],
            steps: "ABC",
            hours: 2,
            expected: &[1, 1, 1],
        },
        Example {
            name: "other events between steps are allowed",
            events: &[('A', 1.0), ('B', 2.0), ('D', 3.0), ('C', 4.0), ('D', 5.0), ('E', 6.0)],
            steps: "ABCDE",
            hours: 1,
            expected: &[1, 1, 1, 1, 1],
        },
        Example {
            name: "a step left out stops the person there",
            events: &[('A', 1.0), ('B', 2.0), ('C', 3.0), ('E', 4.0)],
            steps: "ABCDE",
            hours: 1,
            expected: &[1, 1, 1, 0, 0],
        },
        Example {
            name: "the wrong order does not convert",
            events: &[('B', 1.0), ('A', 10.0)],
            steps: "AB",
            hours: 1,
            expected: &[1, 0],
        },
        Example {
            name: "without the first step nobody enters",
            events: &[('B', 1.0), ('C', 2.0)],
            steps: "ABC",
            hours: 1,
            expected: &[0, 0, 0],
        },
        Example {
            name: "a step asked for twice needs two events",
            events: &[('A', 1.0), ('B', 5.0)],
            steps: "AA",
            hours: 1,
            expected: &[1, 0],
        },
        Example {
            name: "a step asked for twice and done twice",
            events: &[('A', 1.0), ('A', 5.0)],
            steps: "AA",
            hours: 1,
            expected: &[1, 1],
        },
        Example {
            name: "just inside the window",
            events: &[('A', 0.0), ('B', 59.99)],
            steps: "AB",
            hours: 1,
            expected: &[1, 1],
        },
        Example {
            name: "just outside the window",
            events: &[('A', 0.0), ('B', 60.01)],
            steps: "AB",
            hours: 1,
            expected: &[1, 0],
        },
    ];
    for example in &examples {
        walk(&server, example.name, "p", example.events);
        let window = json!({"count": example.hours, "unit": "hour"});
        assert_eq!(funnel(&server, example.name, example.steps, window), example.expected, "{}", example.name);
    }

    // Several persons, and the median time of those who got there.
    for (person, minutes) in [("p1", 10.0), ("p2", 20.0), ("p3", 60.0), ("p4", 600.0)] {
        walk(&server, "times", person, &[('A', 0.0), ('B', minutes)]);
    }
    walk(&server, "times", "p5", &[('A', 0.0)]);
    assert_eq!(funnel(&server, "times", "AB", day()), [5, 4]);
    assert_eq!(funnel(&server, "times", "AB", json!({"count": 30, "unit": "minute"})), [5, 2]);
    walk(&server, "odd", "p1", &[('A', 0.0), ('B', 10.0)]);
    walk(&server, "odd", "p2", &[('A', 0.0), ('B', 20.0)]);
    walk(&server, "odd", "p3", &[('A', 0.0), ('B', 50.0)]);
    let table = server.ask(&json!({"kind": "funnel", "range": range(), "window": hour(), "steps": [
        {"event": "A", "filters": [is("world", "odd")]}, {"event": "B", "filters": [is("world", "odd")]},
        {"event": "C", "filters": [is("world", "odd")]},
    ]}));
    let steps = &table["overall"]["steps"];
    assert_eq!(steps[0].get("median_ms_from_previous").unwrap_or(&Value::Null), &Value::Null);
    assert_eq!(steps[1]["median_ms_from_previous"], 20 * 60_000);
    assert_eq!(steps[2].get("median_ms_from_previous").unwrap_or(&Value::Null), &Value::Null);
}

#[test]
fn a_funnel_enters_within_the_range_and_may_end_after_it() {
    let server = Server::start();
    world(
        &server,
        &[
            ("a", "A", "2026-08-31T23:00:00Z", json!({})),
            ("a", "A", "2026-09-01T10:00:00Z", json!({})),
            ("a", "B", "2026-09-01T11:00:00Z", json!({})),
            ("b", "A", "2026-08-31T23:00:00Z", json!({})),
            ("b", "B", "2026-09-01T01:00:00Z", json!({})),
        ],
    );
    let table = server.ask(&json!({
        "kind": "funnel", "range": between("2026-09-01", "2026-09-01"),
        "steps": [{"event": "A"}, {"event": "B"}], "window": {"count": 1, "unit": "day"},
    }));
    assert_eq!(reached(&table["overall"]), [1, 1], "b entered the day before");
}

#[test]
fn a_funnel_by_segment_counts_the_first_entry_with_each_value() {
    let server = Server::start();
    let day = "2026-09-01T";
    let at = |time: &str| format!("{day}{time}Z");
    let (one, two, three, four) = (at("10:00:00"), at("10:10:00"), at("10:20:00"), at("10:30:00"));
    world(
        &server,
        &[
            ("p", "Browse", &one, json!({"item": "shirt"})),
            ("p", "Browse", &two, json!({"item": "jeans"})),
            ("p", "Add", &three, json!({})),
            ("p", "Browse", &four, json!({"item": "shoes"})),
            ("q", "Browse", &one, json!({"item": "shirt"})),
        ],
    );
    let table = server.ask(&json!({
        "kind": "funnel", "range": range(), "steps": [{"event": "Browse"}, {"event": "Add"}],
        "window": {"count": 1, "unit": "day"}, "breakdown": {"by": [{"property": "item"}]},
    }));
    assert_eq!(reached(&table["overall"]), [2, 1]);
    let segments: BTreeMap<String, Vec<u64>> = table["segments"]
        .as_array()
        .expect("segments")
        .iter()
        .map(|line| (line["segment"][0]["value"].as_str().expect("a value").to_owned(), reached(&line["result"])))
        .collect();
    // The jeans come while the attempt that began with the shirt is under way.
    let expected: BTreeMap<String, Vec<u64>> = [("shirt".into(), vec![2, 1]), ("shoes".into(), vec![1, 0])].into();
    assert_eq!(segments, expected);
    assert_eq!(table["segments"][0]["segment"][0]["value"], "shirt", "the largest first");
}

fn retention(server: &Server, range: Value, unit: &str, intervals: u32, mode: &str, alignment: &str) -> Value {
    server.ask(&json!({
        "kind": "retention", "range": range, "born": {"event": "Sign up"}, "returned": {"event": "Open"},
        "unit": unit, "intervals": intervals, "mode": mode, "alignment": alignment,
    }))
}

/// `(start, size, retained)` of each cohort.
fn cohorts(table: &Value) -> Vec<(String, u64, Vec<u64>)> {
    let rows = table["cohorts"].as_array().expect("cohorts");
    rows.iter()
        .map(|row| {
            let numbers = row["retained"].as_array().expect("numbers").iter();
            (
                row["start"].as_str().expect("a start").to_owned(),
                row["size"].as_u64().expect("a size"),
                numbers.map(|number| number.as_u64().expect("a number")).collect(),
            )
        })
        .collect()
}

#[test]
fn retention_averages_by_the_size_of_the_cohort() {
    let server = Server::start();
    // The published example (1,000 → 500, 500 → 400), scaled down by a hundred.
    let mut events = Vec::new();
    for (day, people, back) in [("2026-09-01", 10, 5), ("2026-09-02", 5, 4)] {
        for n in 0..people {
            let person = format!("{day}-{n}");
            let start = ms(&format!("{day}T09:00:00Z"));
            events.push(server.event("Sign up", start, &person, json!({})));
            // A second sign-up does not make anybody younger.
            events.push(server.event("Sign up", start + 3 * 86_400_000, &person, json!({})));
            if n < back {
                events.push(server.event("Open", start + 86_400_000, &person, json!({})));
                events.push(server.event("Open", start + 86_400_000 + 60_000, &person, json!({})));
            }
        }
    }
    server.import(&events);
    let september = || between("2026-09-01", "2026-09-30");
    let table = retention(&server, september(), "day", 4, "on", "calendar");
    assert_eq!(
        cohorts(&table).into_iter().map(|(start, size, row)| (start, size, row[..3].to_vec())).collect::<Vec<_>>(),
        [
            ("2026-09-01T00:00:00+00:00".to_owned(), 10, vec![0, 5, 0]),
            ("2026-09-02T00:00:00+00:00".to_owned(), 5, vec![0, 4, 0]),
        ]
        .map(|(start, size, row)| (utc(&table, start), size, row))
    );
    let average = table["average"].as_array().expect("averages");
    assert!(average[1].as_f64().is_some_and(|share| (share - 0.56).abs() < 1e-9), "{average:?}");
    assert_eq!(plain(&average[0]), json!(0.0));
    assert_eq!(plain(&average[2]), json!(0.0));

    let or_after = retention(&server, september(), "day", 4, "on_or_after", "calendar");
    let rows: Vec<Vec<u64>> = cohorts(&or_after).into_iter().map(|(_, _, row)| row[..3].to_vec()).collect();
    assert_eq!(rows, [[5, 5, 0], [4, 4, 0]]);
}

/// RFC 3339 allows `Z` and `+00:00` for the same offset: expects whichever the answer uses.
fn utc(table: &Value, start: String) -> String {
    let zulu = table["cohorts"][0]["start"].as_str().is_some_and(|text| text.ends_with('Z'));
    if zulu { start.replace("+00:00", "Z") } else { start }
}

#[test]
fn retention_counts_calendar_days_of_the_zone_or_spans_from_birth() {
    let server = Server::with(MADRID);
    world(
        &server,
        &[
            // Born 23:30 in Madrid; back two hours later, which is another day there and the same in UTC.
            ("a", "Sign up", "2026-09-01T21:30:00Z", json!({})),
            ("a", "Open", "2026-09-01T23:30:00Z", json!({})),
            // Back 25 hours after birth: the next day both ways.
            ("b", "Sign up", "2026-09-01T08:00:00Z", json!({})),
            ("b", "Open", "2026-09-02T09:00:00Z", json!({})),
            // Back before birth does not count.
            ("c", "Open", "2026-09-01T07:00:00Z", json!({})),
            ("c", "Sign up", "2026-09-01T08:00:00Z", json!({})),
        ],
    );
    let rows = |alignment: &str| {
        let table = retention(&server, between("2026-09-01", "2026-09-10"), "day", 3, "on", alignment);
        let rows = cohorts(&table);
        assert_eq!(rows.len(), 1, "{table}");
        assert_eq!((rows[0].0.as_str(), rows[0].1), ("2026-09-01T00:00:00+02:00", 3));
        rows[0].2[..3].to_vec()
    };
    assert_eq!(rows("calendar"), [0, 2, 0]);
    assert_eq!(rows("rolling"), [1, 1, 0]);
}

#[test]
fn retention_by_week_and_month_and_an_unfinished_end() {
    let server = Server::start();
    world(
        &server,
        &[
            ("a", "Sign up", "2026-08-31T12:00:00Z", json!({})), // a Monday
            ("a", "Open", "2026-09-06T12:00:00Z", json!({})),    // the Sunday of that week
            ("a", "Open", "2026-09-07T12:00:00Z", json!({})),
            ("b", "Sign up", "2026-09-06T12:00:00Z", json!({})),
            ("b", "Open", "2026-09-14T12:00:00Z", json!({})),
        ],
    );
    let table = retention(&server, between("2026-08-31", "2026-09-20"), "week", 3, "on", "calendar");
    let rows: Vec<(u64, Vec<u64>)> =
        cohorts(&table).into_iter().map(|(_, size, row)| (size, row[..3].to_vec())).collect();
    assert_eq!(rows, [(2, vec![1, 1, 1])]);
    let table = retention(&server, between("2026-08-01", "2026-09-30"), "month", 2, "on", "calendar");
    let rows: Vec<(u64, Vec<u64>)> =
        cohorts(&table).into_iter().map(|(_, size, row)| (size, row[..2].to_vec())).collect();
    assert_eq!(rows, [(1, vec![0, 1]), (1, vec![1, 0])]);

    // Somebody born now: later intervals do not exist yet, and the present one is not over.
    let now = crate::server::now_ms();
    server.import(&[server.event("Sign up", now, "c", json!({}))]);
    let table = retention(&server, range(), "day", 7, "on", "calendar");
    let last = table["cohorts"].as_array().expect("cohorts").last().expect("the newest").clone();
    assert_eq!((&last["size"], &last["complete"]), (&json!(1), &json!(0)), "{last}");
    assert!(last["retained"].as_array().is_some_and(|row| row.len() <= 2), "{last}");
}

#[test]
fn retention_counts_a_person_in_each_interval_when_asked() {
    let server = Server::start();
    world(
        &server,
        &[
            ("a", "Open", "2026-09-01T08:00:00Z", json!({})),
            ("a", "Open", "2026-09-01T09:00:00Z", json!({})),
            ("a", "Open", "2026-09-02T08:00:00Z", json!({})),
            ("b", "Open", "2026-09-02T08:00:00Z", json!({})),
            ("b", "Open", "2026-09-04T08:00:00Z", json!({})),
        ],
    );
    let rows = |rule: &str| -> Vec<(u64, Vec<u64>)> {
        let table = server.ask(&json!({
            "kind": "retention", "range": between("2026-09-01", "2026-09-03"), "born": {"event": "Open"},
            "returned": {"event": "Open"}, "unit": "day", "intervals": 3, "mode": "on",
            "alignment": "calendar", "cohorts": rule,
        }));
        cohorts(&table).into_iter().map(|(_, size, row)| (size, row[..3].to_vec())).collect()
    };
    // The event of birth is no return; a later one of the same day is, and one after the range is.
    assert_eq!(rows("first_time"), [(1, vec![1, 1, 0]), (1, vec![0, 0, 1])]);
    assert_eq!(rows("each_interval"), [(1, vec![1, 1, 0]), (2, vec![0, 0, 1])]);
}

#[test]
fn the_last_days_end_with_an_unfinished_one() {
    let server = Server::start();
    let now = crate::server::now_ms();
    server.import(&[
        server.event("Open", now - 60_000, "a", json!({})),
        server.event("Open", now - 3 * 86_400_000, "b", json!({})),
        server.event("Open", now - 9 * 86_400_000, "c", json!({})),
    ]);
    let table = server.ask(&insights(json!({"kind": "last", "count": 7, "unit": "day"}), "day", "Open", "total"));
    assert_eq!(table["buckets"].as_array().map(Vec::len), Some(7), "{table}");
    assert_eq!(table["last_incomplete"], true);
    assert_eq!(table["series"][0]["total"], 2, "{table}");
}

#[test]
fn persons_and_events_are_listed_newest_first_without_names() {
    let server = Server::start();
    world(
        &server,
        &[
            ("ana@coffer.example", "Open", "2026-09-01T10:00:00Z", json!({"n": 1, "plan": "pro"})),
            ("ana@coffer.example", "Open", "2026-09-03T10:00:00Z", json!({"n": 2})),
            ("+34612345678", "Open", "2026-09-02T10:00:00Z", json!({"n": 3})),
            ("user-3", "Close", "2026-09-04T10:00:00Z", json!({"n": 4})),
        ],
    );
    let list = |matching: Value, limit: u32, offset: u32| {
        server.ask(&json!({"kind": "persons", "range": between("2026-09-01", "2026-09-30"),
            "matching": matching, "limit": limit, "offset": offset}))
    };
    let all = list(json!({}), 10, 0);
    let row = |person: &Value| json!([person["first_seen"], person["last_seen"], person["events"]]);
    let rows: Vec<Value> = all["persons"].as_array().expect("persons").iter().map(row).collect();
    assert_eq!(all["total"], 3);
    assert_eq!(rows.iter().map(|row| row[2].clone()).collect::<Vec<_>>(), [json!(1), json!(2), json!(1)], "{all}");
    let instant = |value: &Value| ms(value.as_str().expect("a time"));
    assert_eq!(instant(&rows[1][0]), ms("2026-09-01T10:00:00Z"));
    assert_eq!(instant(&rows[1][1]), ms("2026-09-03T10:00:00Z"));
    assert!(!all.to_string().contains("coffer.example") && !all.to_string().contains("612345678"));
    assert_eq!(list(json!({}), 1, 1)["persons"][0], all["persons"][1]);
    let openers = list(json!({"event": "Open"}), 10, 0);
    assert_eq!((openers["total"].clone(), openers["persons"][0]["events"].clone()), (json!(2), json!(2)));

    let ana = all["persons"][1]["pseudonym"].clone();
    let events = |more: Value| {
        let mut query = json!({"kind": "events", "range": between("2026-09-01", "2026-09-30"), "limit": 10});
        for (key, value) in more.as_object().expect("an object") {
            query[key] = value.clone();
        }
        let table = server.ask(&query);
        let rows = table["events"].as_array().expect("events").clone();
        rows.into_iter()
            .map(|row| {
                let properties = row["properties"].as_array().expect("properties");
                let n = properties.iter().find(|entry| entry["name"] == "n").expect("n")["value"].as_f64();
                assert!(row["pseudonym"].as_str().is_some_and(|text| text.starts_with("per_")), "{row}");
                n.expect("a number")
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(events(json!({})), [4.0, 2.0, 3.0, 1.0]);
    assert_eq!(events(json!({"person": ana})), [2.0, 1.0]);
    assert_eq!(events(json!({"matching": {"event": "Open"}, "limit": 2})), [2.0, 3.0]);
    assert_eq!(server.status()["persons"], 3);
    assert_eq!(server.status()["events"], 4);
}

#[test]
fn answers_are_the_same_from_the_tail_from_segments_and_after_a_restart() {
    let mut server = Server::with(Options::FLUSHING);
    let plans = ["free", "pro", "team"];
    let start = ms("2026-08-01T00:00:00Z");
    // 40 persons over 30 days with fixed habits, more events than one flush takes.
    let events: Vec<Value> = (0..1_300_i64)
        .map(|n| {
            let person = n * 7 % 40;
            let time = start + (n * 2_000_003) % (30 * 86_400_000);
            let name = ["View", "Add", "Buy"][(n % 3) as usize];
            server.event(name, time, &format!("p{person}"), json!({"plan": plans[(person % 3) as usize], "n": n}))
        })
        .collect();
    let questions = [
        json!({"kind": "insights", "range": between("2026-08-01", "2026-08-31"), "unit": "day",
            "metrics": [{"matching": {"event": "View"}, "measure": "unique"}, {"matching": {}, "measure": "total"}],
            "breakdown": {"by": [{"property": "plan"}]}}),
        json!({"kind": "funnel", "range": between("2026-08-01", "2026-08-31"), "window": {"count": 2, "unit": "day"},
            "steps": [{"event": "View"}, {"event": "Add"}, {"event": "Buy"}], "breakdown": {"by": [{"property": "plan"}]}}),
        json!({"kind": "retention", "range": between("2026-08-01", "2026-08-31"), "born": {"event": "View"},
            "returned": {"event": "Buy"}, "unit": "week", "intervals": 4, "mode": "on", "alignment": "calendar"}),
        json!({"kind": "events", "range": between("2026-08-01", "2026-08-31"), "limit": 50}),
    ];
    let ask = |server: &Server| -> Vec<Value> { questions.iter().map(|question| server.ask(question)).collect() };

    let whole = Server::start();
    let moved: Vec<Value> = events
        .iter()
        .map(|event| {
            let mut event = event.clone();
            event["properties"]["token"] = whole.project.token.clone().into();
            event
        })
        .collect();
    whole.import(&moved);
    let mut expected: Vec<Value> = questions.iter().map(|question| whole.ask(question)).collect();
    for batch in events.chunks(130) {
        server.import(batch);
    }
    let mut found = ask(&server);
    // Pseudonyms are of their own project.
    for table in expected.iter_mut().chain(&mut found) {
        forget_pseudonyms(table);
    }
    assert_eq!(found, expected, "in small pieces, partly flushed");
    server.kill();
    server.start_again();
    let mut found = ask(&server);
    found.iter_mut().for_each(forget_pseudonyms);
    assert_eq!(found, expected, "after a crash");
    server.stop();
    server.start_again();
    let mut found = ask(&server);
    found.iter_mut().for_each(forget_pseudonyms);
    assert_eq!(found, expected, "after a stop");
}

fn forget_pseudonyms(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            entries.remove("pseudonym");
            entries.values_mut().for_each(forget_pseudonyms);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_pseudonyms),
        _ => {}
    }
}
