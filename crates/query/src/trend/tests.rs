//! Insights on small worlds of known numbers.

use std::sync::Arc;

use cofferdam_lake::Snapshot;
use cofferdam_model::cohort::{CohortCondition, Times};
use cofferdam_model::query::{BreakdownBy, Condition, Metric, Scalar, SessionRule, ValueBuckets};
use cofferdam_model::{Merges, SealedEvent, SubjectSet, SubjectValues};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::*;
use crate::People;

struct World {
    zone: TimeZone,
    now: &'static str,
    events: Vec<SealedEvent>,
    merges: Merges,
    people: People,
}

impl World {
    fn new(zone: &str, now: &'static str) -> World {
        let zone = TimeZone::get(zone).unwrap();
        World { zone, now, events: Vec::new(), merges: Merges::default(), people: People::default() }
    }

    fn us(&self, civil: &str) -> i64 {
        let civil: DateTime = civil.parse().unwrap();
        self.zone.to_timestamp(civil).unwrap().as_microsecond()
    }

    /// Somebody does something, `day` being of November 2026: `2T10:00`.
    fn add(&mut self, subject: u32, name: &str, day: &str, properties: &[(&str, Value)]) -> &mut World {
        let (day, time) = day.split_once('T').unwrap();
        let time_us = self.us(&format!("2026-11-{day:0>2}T{time}"));
        self.add_at(subject, name, time_us, properties)
    }

    fn add_at(&mut self, subject: u32, name: &str, time_us: i64, properties: &[(&str, Value)]) -> &mut World {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let event =
            SealedEvent { name: name.to_owned(), subject: SubjectNo(subject), time_us, insert_id: 0, properties };
        self.events.push(event);
        self
    }

    /// The answer, which must be the same however the events lie and however many threads there are.
    fn ask(&self, query: &InsightsQuery) -> Result<InsightsTable> {
        let mut answers = [(1, 1, 1), (4, 3, 3), (2, 7, 2)].map(|(buckets, pieces, threads)| {
            let snapshot = Snapshot::of_events(self.events.clone(), buckets, pieces);
            let mut input = Input::new(&snapshot, &self.merges, &self.zone, self.us(self.now), &self.people);
            input.threads = threads;
            run(&input, query)
        });
        for answer in &answers[1..] {
            match (&answers[0], answer) {
                (Ok(one), Ok(other)) => assert_eq!(one, other),
                (one, other) => assert_eq!(one.is_err(), other.is_err()),
            }
        }
        std::mem::replace(&mut answers[0], invalid("taken"))
    }

    fn lines(&self, query: &InsightsQuery) -> Vec<String> {
        self.ask(query).unwrap().series.iter().map(text).collect()
    }
}

/// `0 x: 1 2 - = 3`: metric, segment, values, total.
fn text(series: &Series) -> String {
    let number = |number: &Option<Number>| number.map_or("-".to_owned(), |number| number.0.to_string());
    let segment = |segment: &Segment| match segment {
        Segment::Value(value) => format!(" {value}"),
        Segment::NotSet => " (none)".to_owned(),
        Segment::Other => " (other)".to_owned(),
    };
    let segments: String = series.segment.iter().map(segment).collect();
    let values: Vec<String> = series.values.iter().map(number).collect();
    format!("{}{segments}: {} = {}", series.metric, values.join(" "), number(&series.total))
}

fn day(day: i8) -> Date {
    Date::constant(2026, 11, day)
}

fn matching(event: &str) -> EventMatch {
    EventMatch { event: Some(event.to_owned()), filters: Vec::new() }
}

fn metric(event: &str, measure: Measure) -> Metric {
    Metric { matching: matching(event), measure }
}

/// Days of November 2026, from and to included.
fn question(from: i8, to: i8, metrics: Vec<Metric>) -> InsightsQuery {
    InsightsQuery {
        range: DateRange::Between { from: day(from), to: day(to) },
        unit: Unit::Day,
        metrics,
        formulas: Vec::new(),
        filters: Vec::new(),
        breakdown: None,
        transform: None,
        compare: None,
        sessions: SessionRule::default(),
    }
}

fn by(property: &str, limit: u32) -> Option<Breakdown> {
    let by = vec![BreakdownBy { on: Holder::Event, property: property.to_owned(), buckets: None }];
    Some(Breakdown { by, limit, touch: Touch::Every })
}

fn p() -> String {
    "p".to_owned()
}

fn number(number: f64) -> Value {
    Value::Number(number)
}

fn word(text: &str) -> Value {
    Value::String(text.to_owned())
}

#[test]
fn events_and_persons_are_counted_per_bucket_and_in_all() {
    let mut world = World::new("Europe/Madrid", "2026-11-30T12:00");
    world.merges.link(SubjectNo(2), SubjectNo(1));
    world
        .add(1, "a", "1T23:59", &[])
        .add(1, "a", "2T00:00", &[])
        .add(2, "a", "2T10:00", &[])
        .add(3, "a", "2T10:00", &[])
        .add(SubjectNo::NOBODY.0, "a", "2T11:00", &[])
        .add(3, "b", "2T10:00", &[])
        .add(3, "a", "4T23:59:59.999999", &[])
        .add(3, "a", "5T00:00", &[]);
    let metrics = vec![
        metric("a", Measure::Total),
        metric("a", Measure::Unique),
        metric("b", Measure::Total),
        metric("nothing", Measure::Unique),
        Metric { matching: EventMatch::default(), measure: Measure::Total },
    ];
    let table = world.ask(&question(1, 4, metrics)).unwrap();
    let lines: Vec<String> = table.series.iter().map(text).collect();
    assert_eq!(lines, ["0: 1 4 0 1 = 6", "1: 1 2 0 1 = 2", "2: 0 1 0 0 = 1", "3: 0 0 0 0 = 0", "4: 1 5 0 1 = 7"]);
    assert_eq!(table.buckets[0], "2026-11-01T00:00:00+01:00");
    assert!(!table.last_incomplete);
    assert_eq!(world.lines(&question(2, 2, vec![metric("a", Measure::Total)])), ["0: 4 = 4"]);
    let mut hours = question(25, 25, vec![metric("a", Measure::Total)]);
    hours.range = DateRange::Between { from: Date::constant(2026, 10, 25), to: Date::constant(2026, 10, 25) };
    hours.unit = Unit::Hour;
    assert_eq!(world.ask(&hours).unwrap().buckets.len(), 25);
}

#[test]
fn numbers_of_events() {
    let mut world = World::new("UTC", "2026-11-30T12:00");
    for (subject, value) in [(1, 0.1), (2, 0.2), (1, 0.7), (3, 1e16), (4, -1e16)] {
        world.add(subject, "a", "1T10:00", &[("p", number(value))]);
    }
    world
        .add(1, "a", "2T10:00", &[("p", number(4.0))])
        .add(1, "a", "2T10:00", &[("p", word("4"))])
        .add(1, "a", "2T10:00", &[("p", Value::List(vec!["4".into(), "x".into(), "y".into()]))])
        .add(SubjectNo::NOBODY.0, "a", "2T11:00", &[("p", number(5.0))])
        .add(1, "a", "3T10:00", &[]);
    let measures = [
        Measure::Sum { property: p() },
        Measure::Average { property: p() },
        Measure::Median { property: p() },
        Measure::Min { property: p() },
        Measure::Max { property: p() },
        Measure::Percentile { property: p(), percent: 25.0 },
        Measure::Distinct { property: p() },
    ];
    let metrics = measures.map(|measure| metric("a", measure)).to_vec();
    assert_eq!(
        world.lines(&question(1, 3, metrics)),
        [
            "0: 1 9 0 = 10",
            "1: 0.2 4.5 - = 1.4285714285714286",
            "2: 0.2 4.5 - = 0.7",
            "3: -10000000000000000 4 - = -10000000000000000",
            "4: 10000000000000000 5 - = 10000000000000000",
            "5: 0.1 4.25 - = 0.15000000000000002",
            "6: 5 4 0 = 9",
        ]
    );
}

#[test]
fn active_persons_are_those_of_the_days_before() {
    let mut world = World::new("Europe/Madrid", "2026-11-10T12:00");
    world
        .add_at(9, "a", world.us("2026-10-25T02:30"), &[])
        .add(1, "a", "1T00:00", &[])
        .add(1, "a", "1T23:00", &[])
        .add(2, "a", "3T12:00", &[])
        .add(1, "a", "8T12:00", &[])
        .add(3, "a", "10T12:30", &[]);
    let active = |days| metric("a", Measure::Active { days });
    assert_eq!(
        world.lines(&question(7, 11, vec![active(1), active(7), active(16), metric("a", Measure::Total)])),
        ["0: 0 1 0 1 0 = 0", "1: 2 2 2 2 2 = 2", "2: 3 3 3 3 3 = 3", "3: 0 1 0 1 0 = 2"]
    );
    // The week is not over: its last day is today.
    let mut weeks = question(2, 15, vec![active(1), active(7), active(10)]);
    weeks.unit = Unit::Week;
    assert_eq!(world.lines(&weeks), ["0: 1 1 = 1", "1: 2 2 = 2", "2: 2 3 = 3"]);
    let mut split = question(7, 10, vec![active(7)]);
    world.add(1, "a", "9T12:00", &[("p", word("x"))]);
    split.breakdown = by("p", 5);
    assert_eq!(world.lines(&split), ["0 (none): 2 2 2 2 = 2", "0 x: 0 0 1 1 = 1"]);
}

#[test]
fn a_number_per_person_and_then_one_of_those() {
    let mut world = World::new("UTC", "2026-11-30T12:00");
    world
        .add(1, "a", "1T10:00", &[("p", number(1.0))])
        .add(1, "a", "1T10:59", &[("p", number(2.0))])
        .add(1, "a", "2T10:59", &[("p", number(9.0))])
        .add(2, "a", "1T10:00", &[("p", number(7.0))])
        .add(2, "a", "1T11:00", &[("p", number(7.0))])
        .add(2, "a", "1T12:00", &[])
        .add(3, "a", "2T12:00", &[]);
    let each = |each, then| metric("a", Measure::PerPerson { each, then });
    use Aggregate::{Average, Max, Median, Min, Percentile, Sum};
    let metrics = vec![
        each(PersonMeasure::Total, Average),
        each(PersonMeasure::Hours, Sum),
        each(PersonMeasure::Days, Max),
        each(PersonMeasure::Sum { property: p() }, Median),
        each(PersonMeasure::Average { property: p() }, Min),
        each(PersonMeasure::Min { property: p() }, Max),
        each(PersonMeasure::Max { property: p() }, Sum),
        each(PersonMeasure::Distinct { property: p() }, Sum),
        each(PersonMeasure::Total, Percentile { percent: 75.0 }),
    ];
    assert_eq!(
        world.lines(&question(1, 3, metrics)),
        [
            "0: 2.5 1 - = 2.3333333333333335",
            "1: 4 2 0 = 6",
            "2: 1 1 - = 2",
            "3: 8.5 9 - = 13",
            "4: 1.5 9 - = 4",
            "5: 7 9 - = 7",
            "6: 9 9 0 = 16",
            "7: 3 1 0 = 4",
            "8: 2.75 1 - = 3",
        ]
    );
}

#[test]
fn sessions_and_the_events_they_make() {
    let mut world = World::new("Europe/Madrid", "2026-11-30T12:00");
    for (name, at) in [("a", "01:00"), ("b", "01:10"), ("b", "01:50"), ("a", "02:10"), ("c", "02:25")] {
        world.add(1, name, &format!("1T{at}"), &[("p", word(at))]);
    }
    for at in ["1T23:30", "1T23:50", "2T00:05", "2T00:10"] {
        world.add(2, "a", at, &[]);
    }
    let duration = || "$duration_s".to_owned();
    let mut long = metric("$session_end", Measure::Total);
    let at_least = |value| Condition::AtLeast { value };
    let on_event = |property: &str, condition| Filter { on: Holder::Event, property: property.into(), condition };
    long.matching.filters = vec![on_event("$duration_s", at_least(1_200.0))];
    let mut from_b = metric("$session_start", Measure::Unique);
    from_b.matching.filters =
        vec![on_event("$origin_start", Condition::Equals { values: vec![Scalar::String("b".into())] })];
    let mut of_three = metric("$session_start", Measure::Total);
    of_three.matching.filters = vec![on_event("$event_count", at_least(3.0)), on_event("p", Condition::IsSet)];
    let metrics = vec![
        metric("a", Measure::Sessions),
        metric("$session_start", Measure::Total),
        metric("$session_start", Measure::Sum { property: duration() }),
        metric("$session_end", Measure::Median { property: duration() }),
        metric("$session_start", Measure::Max { property: "$event_count".into() }),
        metric("$session_start", Measure::Distinct { property: "$origin_end".into() }),
        metric("$session_start", Measure::Distinct { property: p() }),
        long,
        from_b,
        of_three,
        metric("$session_start", Measure::PerPerson { each: PersonMeasure::Total, then: Aggregate::Max }),
        metric("$session_start", Measure::Active { days: 7 }),
    ];
    let query = question(1, 2, metrics);
    assert_eq!(
        world.lines(&query),
        [
            "0: 3 1 = 4",
            "1: 3 1 = 4",
            "2: 3900 300 = 4200",
            "3: 1200 300 = 900",
            "4: 3 2 = 3",
            "5: 3 1 = 3",
            "6: 2 0 = 2",
            "7: 2 0 = 2",
            "8: 1 0 = 1",
            "9: 1 0 = 1",
            "10: 2 1 = 2",
            "11: 2 2 = 2",
        ]
    );
    // Sessions that began before the range are not cut by it.
    let mut late = question(1, 1, vec![metric("$session_end", Measure::Sum { property: duration() })]);
    late.range = DateRange::Last { count: 11, unit: Unit::Hour };
    world.now = "2026-11-01T12:05";
    late.unit = Unit::Hour;
    assert_eq!(world.lines(&late), ["0: 2100 0 0 0 0 0 0 0 0 0 0 = 2100"]);
    // A session counts in each segment at its first event there.
    let mut split = question(1, 2, vec![metric("b", Measure::Sessions), metric("$session_start", Measure::Total)]);
    split.breakdown = by("p", 1);
    world.add(1, "b", "1T02:30", &[("p", word("01:10"))]);
    assert_eq!(
        world.lines(&split),
        ["0 01:10: 2 0 = 2", "0 (other): 1 0 = 1", "1 01:10: 0 0 = 0", "1 (other): 3 1 = 4"]
    );
    split.breakdown = by("$duration_s", 1);
    assert!(world.ask(&split).is_err());
}

#[test]
fn segments_are_the_largest_and_the_others_are_exact() {
    let mut world = World::new("UTC", "2026-11-30T12:00");
    for (subject, at, value) in [
        (1, "1T10:00", "x"),
        (1, "1T11:00", "y"),
        (1, "1T12:00", "z"),
        (2, "1T10:00", "x"),
        (3, "2T10:00", "x"),
        (3, "2T11:00", "y"),
        (4, "2T12:00", "w"),
        (4, "2T13:00", "z"),
    ] {
        world.add(subject, "a", at, &[("p", word(value))]);
    }
    world.add(4, "a", "2T14:00", &[("p", Value::List(vec!["x".into(), "v".into()]))]);
    world.add(5, "a", "2T14:00", &[]);
    let mut query = question(1, 2, vec![metric("a", Measure::Unique), metric("a", Measure::Total)]);
    query.breakdown = by("p", 2);
    let table = world.ask(&query).unwrap();
    assert_eq!(table.segments_omitted, 4);
    assert_eq!(
        table.series.iter().map(text).collect::<Vec<_>>(),
        ["0 x: 2 2 = 4", "0 y: 1 1 = 2", "0 (other): 1 2 = 3", "1 x: 2 2 = 4", "1 y: 1 1 = 2", "1 (other): 1 4 = 5",]
    );
    query.metrics.truncate(1);
    query.breakdown = by("p", 10);
    assert_eq!(
        world.lines(&query),
        ["0 x: 2 2 = 4", "0 y: 1 1 = 2", "0 z: 1 1 = 2", "0 v: 0 1 = 1", "0 w: 0 1 = 1", "0 (none): 0 1 = 1"]
    );
    query.breakdown.as_mut().unwrap().touch = Touch::First;
    assert_eq!(
        world.lines(&query),
        ["0 x: 2 1 = 3", "0 y: 0 0 = 0", "0 z: 0 0 = 0", "0 v: 0 0 = 0", "0 w: 0 1 = 1", "0 (none): 0 1 = 1"]
    );
    query.breakdown.as_mut().unwrap().touch = Touch::Last;
    assert_eq!(
        world.lines(&query),
        ["0 x: 1 1 = 2", "0 y: 0 1 = 1", "0 z: 1 0 = 1", "0 v: 0 1 = 1", "0 w: 0 0 = 0", "0 (none): 0 1 = 1"]
    );
}

#[test]
fn a_sum_is_broken_down_by_its_size() {
    let mut world = World::new("UTC", "2026-11-30T12:00");
    for (value, price) in [("many", 1.0), ("many", 1.0), ("many", 1.0), ("dear", 2.5), ("dear", 2.5), ("back", -9.0)] {
        world.add(1, "a", "1T10:00", &[("p", word(value)), ("price", number(price))]);
    }
    let sum = metric("a", Measure::Sum { property: "price".into() });
    let mut query = question(1, 1, vec![sum]);
    query.breakdown = by("p", 2);
    assert_eq!(world.lines(&query), ["0 dear: 5 = 5", "0 many: 3 = 3", "0 (other): -9 = -9"]);
    query.breakdown.as_mut().unwrap().by.push(BreakdownBy {
        on: Holder::Event,
        property: "price".into(),
        buckets: Some(ValueBuckets::Bounds { bounds: vec![0.0, 2.0] }),
    });
    query.breakdown.as_mut().unwrap().limit = 10;
    assert_eq!(world.lines(&query), ["0 dear ≥ 2: 5 = 5", "0 many 0 – 2: 3 = 3", "0 back < 0: -9 = -9"]);
}

#[test]
fn persons_are_segments_of_what_they_are() {
    let mut world = World::new("UTC", "2026-11-30T12:00");
    world.merges.link(SubjectNo(7), SubjectNo(2));
    for subject in [1, 2, 3, 7, SubjectNo::NOBODY.0] {
        world.add(subject, "a", "1T10:00", &[]);
    }
    world.people.add_cohort("c", Arc::new([SubjectNo(2)].into_iter().collect::<SubjectSet>()));
    let plans = SubjectValues { values: vec![word("free"), word("pro")], codes: vec![u32::MAX, 0, 1] };
    world.people.add_values("plan", Arc::new(plans));
    let mut query = question(1, 1, vec![metric("a", Measure::Total), metric("a", Measure::Unique)]);
    let holder = |on, property: &str| BreakdownBy { on, property: property.into(), buckets: None };
    query.breakdown = by("p", 5);
    query.breakdown.as_mut().unwrap().by = vec![holder(Holder::Profile, "plan")];
    assert_eq!(
        world.lines(&query),
        ["0 pro: 2 = 2", "0 (none): 2 = 2", "0 free: 1 = 1", "1 pro: 1 = 1", "1 (none): 1 = 1", "1 free: 1 = 1",]
    );
    query.breakdown.as_mut().unwrap().by = vec![holder(Holder::Cohort, "c")];
    let lines = world.lines(&query);
    assert_eq!(lines, ["0 not in: 3 = 3", "0 in: 2 = 2", "1 not in: 2 = 2", "1 in: 1 = 1"]);
    query.breakdown = None;
    query.filters = vec![Filter { on: Holder::Cohort, property: "c".into(), condition: Condition::IsNotSet }];
    assert_eq!(world.lines(&query), ["0: 3 = 3", "1: 2 = 2"]);
}

#[test]
fn formulas_and_transforms() {
    let mut world = World::new("UTC", "2026-11-30T12:00");
    for (at, events) in [(1, 4), (2, 2), (3, 6), (5, 1)] {
        for subject in 0..events {
            world.add(subject, "a", &format!("{at}T10:00"), &[]);
        }
    }
    world.add(1, "b", "3T10:00", &[]).add(1, "b", "4T10:00", &[]);
    let mut query = question(3, 6, vec![metric("a", Measure::Total), metric("b", Measure::Total)]);
    query.formulas = vec!["A / B * 100".into(), "B - A".into()];
    let lines = ["0: 6 0 1 0 = 7", "1: 1 1 0 0 = 2", "2: 600 0 - - = 350", "3: -5 1 -1 0 = -5"];
    assert_eq!(world.lines(&query), lines);
    query.transform = Some(Transform::Cumulative);
    let lines = ["0: 6 6 7 7 = 7", "1: 1 2 2 2 = 2", "2: 600 600 600 600 = 350", "3: -5 -4 -5 -5 = -5"];
    assert_eq!(world.lines(&query), lines);
    query.transform = Some(Transform::Rolling { buckets: 3 });
    query.metrics[0].measure = Measure::Unique;
    query.formulas.truncate(1);
    let lines = [
        "0: 4 2.6666666666666665 2.3333333333333335 0.3333333333333333 = 6",
        "1: 0.3333333333333333 0.6666666666666666 0.6666666666666666 0.3333333333333333 = 2",
        "2: 600 300 300 0 = 300",
    ];
    assert_eq!(world.lines(&query), lines);
    for formula in ["A / C", "A +", ""] {
        query.formulas = vec![formula.into()];
        let error = world.ask(&query).unwrap_err().to_string();
        assert!(error.starts_with("formula, character "), "{error}");
    }
}

#[test]
fn an_earlier_period_has_the_same_lines() {
    let mut world = World::new("Europe/Madrid", "2026-11-30T12:00");
    let at = |day: &str, hour: &str| format!("2026-{day}T{hour}");
    for (day, hour, value) in [
        // The day of 25 hours is in the period before, and both of its hours at two.
        ("10-24", "00:00", "y"),
        ("10-25", "02:30", "y"),
        ("10-25", "23:59", "w"),
        ("10-26", "00:00", "x"),
        ("10-26", "00:00", "x"),
        ("10-27", "12:00", "x"),
        ("10-27", "13:00", "y"),
        ("10-23", "23:59", "x"),
    ] {
        let time = world.us(&at(day, hour));
        world.add_at(1, "a", time, &[("p", word(value))]);
    }
    let mut query = question(1, 1, vec![metric("a", Measure::Total)]);
    query.range = DateRange::Between { from: Date::constant(2026, 10, 26), to: Date::constant(2026, 10, 27) };
    query.breakdown = by("p", 1);
    query.compare = Some(Compare::PreviousPeriod);
    let compared = |query: &InsightsQuery| {
        let table = world.ask(query).unwrap();
        let compared = table.compared.unwrap();
        let lines: Vec<String> = table.series.iter().chain(&compared.series).map(text).collect();
        (compared.buckets, lines)
    };
    let (buckets, lines) = compared(&query);
    assert_eq!(buckets, ["2026-10-24T00:00:00+02:00", "2026-10-25T00:00:00+02:00"]);
    assert_eq!(lines, ["0 x: 2 1 = 3", "0 (other): 0 1 = 1", "0 x: 0 0 = 0", "0 (other): 1 2 = 3"]);
    // Without others now, there are none then; the mean looks back on days before the earlier period.
    query.breakdown = by("p", 2);
    query.transform = Some(Transform::Rolling { buckets: 2 });
    let lines = compared(&query).1;
    assert_eq!(lines, ["0 x: 1 1.5 = 3", "0 y: 0.5 0.5 = 1", "0 x: 0.5 0 = 0", "0 y: 0.5 1 = 2"]);
    query.transform = None;
    query.breakdown = None;
    query.compare = Some(Compare::Ago { count: 1, unit: Unit::Month });
    assert_eq!(compared(&query).0, ["2026-09-26T00:00:00+02:00", "2026-09-27T00:00:00+02:00"]);
    query.range = DateRange::Last { count: 2, unit: Unit::Month };
    query.unit = Unit::Month;
    query.compare = Some(Compare::PreviousPeriod);
    assert_eq!(compared(&query).0, ["2026-08-01T00:00:00+02:00", "2026-09-01T00:00:00+02:00"]);
    query.range = DateRange::Between { from: Date::constant(2026, 3, 29), to: Date::constant(2026, 3, 29) };
    query.compare = Some(Compare::Ago { count: 1, unit: Unit::Month });
    assert_eq!(compared(&query).0, ["2026-02-28T00:00:00+01:00"]);
}

#[test]
fn more_metrics_than_a_walk_tells_apart() {
    let mut world = World::new("UTC", "2026-11-30T12:00");
    let name = |at: usize| format!("event {at}");
    for at in 0..40 {
        for subject in 0..=at {
            world.add(subject as u32, &name(at), "1T10:00", &[]);
        }
    }
    for measure in [Measure::Total, Measure::Unique, Measure::Sessions] {
        let metrics = (0..40).map(|at| metric(&name(at), measure.clone())).collect();
        let lines = world.lines(&question(1, 1, metrics));
        let expected: Vec<String> = (0..40).map(|at| format!("{at}: {0} = {0}", at + 1)).collect();
        assert_eq!(lines, expected, "{measure:?}");
    }
}

#[test]
fn too_large_an_answer_is_an_error() {
    let mut world = World::new("UTC", "2026-11-30T12:00");
    for value in 0..300 {
        world.add(1, "a", "1T10:00", &[("p", number(f64::from(value)))]);
    }
    let mut query = question(1, 13, (0..10).map(|_| metric("a", Measure::Unique)).collect());
    query.unit = Unit::Minute;
    query.breakdown = by("p", 200);
    let error = world.ask(&query).unwrap_err().to_string();
    assert!(error.contains("more than 1000000 values"), "{error}");
    for wrong in [
        Measure::Active { days: 0 },
        Measure::Active { days: 91 },
        Measure::Percentile { property: p(), percent: 100.5 },
        Measure::Percentile { property: p(), percent: f64::NAN },
        Measure::Sum { property: String::new() },
        Measure::CohortSize { cohort: "unknown".into() },
    ] {
        let wrong = question(1, 2, vec![metric("a", wrong)]);
        assert!(matches!(world.ask(&wrong), Err(Error::Invalid(_))));
    }
}

#[test]
fn the_size_of_a_cohort_is_that_at_the_end_of_each_bucket() {
    let mut world = World::new("UTC", "2026-11-04T12:00");
    for (subject, at) in [(1, "1T10:00"), (2, "2T00:00"), (1, "3T10:00"), (2, "4T12:00"), (3, "4T12:01")] {
        world.add(subject, "a", at, &[]);
    }
    let condition = CohortCondition::Did {
        matching: matching("a"),
        times: Times::AtLeast { count: 1 },
        distinct: None,
        window: Some(DateRange::Last { count: 2, unit: Unit::Day }),
    };
    world.people.add_cohort("dynamic", Arc::default());
    world.people.add_condition("dynamic", condition);
    world.people.add_cohort("static", Arc::new((1..8).map(SubjectNo).collect()));
    let size = |cohort: &str| metric("ignored", Measure::CohortSize { cohort: cohort.to_owned() });
    let mut query = question(1, 5, vec![size("dynamic"), size("static"), metric("a", Measure::Total)]);
    query.formulas = vec!["C / A".into()];
    assert_eq!(
        world.lines(&query),
        ["0: 1 2 2 2 2 = 2", "1: 7 7 7 7 7 = 7", "2: 1 1 1 2 0 = 5", "3: 1 0.5 0.5 1 0 = 2.5"]
    );
    query.range = DateRange::Last { count: 94, unit: Unit::Day };
    assert!(world.ask(&query).is_err());
}
