//! The operators against the same definitions written naively, on random worlds: few persons, coarse times, so
//! that ties, duplicates, merges and boundaries are common. Random pieces and buckets stand for segments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;

use cofferdam_lake::Snapshot;
use cofferdam_model::query::*;
use cofferdam_model::result::{ResultTable, Segment};
use cofferdam_model::{Merges, Query, SealedEvent, SubjectNo, Value};
use cofferdam_query::{Input, Output, run};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

#[derive(Debug, Clone)]
struct World {
    events: Vec<SealedEvent>,
    links: Vec<(u32, u32)>,
    buckets: u32,
    pieces: usize,
    madrid: bool,
    now_hours: i64,
}

/// 2026-10-01T00:00:00Z: the range holds the autumn day of 25 hours.
fn origin() -> i64 {
    "2026-10-01T00:00:00Z".parse::<Timestamp>().unwrap().as_microsecond()
}

fn value() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        2 => Just(None),
        4 => "[xyz]".prop_map(|text| Some(Value::String(text))),
        2 => (0..4_i32).prop_map(|number| Some(Value::Number(f64::from(number) / 2.0))),
        1 => any::<bool>().prop_map(|value| Some(Value::Bool(value))),
        1 => proptest::collection::vec("[xyz]".prop_map(String::from), 0..3).prop_map(|items| Some(Value::List(items))),
    ]
}

fn event() -> impl Strategy<Value = SealedEvent> {
    // Subject 12 stands for nobody.
    ("[abc]", 0..13_u32, 0..400_i64, 0..3_u64, value()).prop_map(|(name, subject, step, insert_id, value)| {
        SealedEvent {
            name,
            subject: if subject == 12 { SubjectNo::NOBODY } else { SubjectNo(subject) },
            time_us: origin() + step * 2 * HOUR,
            insert_id,
            properties: value.map(|value| ("p".to_owned(), value)).into_iter().collect(),
        }
    })
}

fn world() -> impl Strategy<Value = World> {
    (
        proptest::collection::vec(event(), 0..120),
        proptest::collection::vec((0..12_u32, 0..12_u32), 0..5),
        prop_oneof![Just(1_u32), Just(2), Just(4)],
        1..5_usize,
        any::<bool>(),
        100..1200_i64,
    )
        .prop_map(|(events, links, buckets, pieces, madrid, now_hours)| World {
            events,
            links,
            buckets,
            pieces,
            madrid,
            now_hours,
        })
}

impl World {
    fn zone(&self) -> TimeZone {
        if self.madrid { TimeZone::get("Europe/Madrid").unwrap() } else { TimeZone::UTC }
    }

    fn now(&self) -> i64 {
        origin() + self.now_hours * HOUR
    }

    fn merges(&self) -> Merges {
        let mut merges = Merges::default();
        for (alias, canonical) in &self.links {
            merges.link(SubjectNo(*alias), SubjectNo(*canonical));
        }
        merges
    }

    /// The answer of the operators.
    fn ask(&self, query: &Query) -> Output {
        let snapshot = Snapshot::of_events(self.events.clone(), self.buckets, self.pieces);
        let merges = self.merges();
        let zone = self.zone();
        let input = Input {
            snapshot: &snapshot,
            merges: &merges,
            zone: &zone,
            now_us: self.now(),
            person: None,
            scanned: AtomicU64::new(0),
        };
        run(&input, query).unwrap()
    }

    /// The events of each person in order, duplicates resolved.
    fn persons(&self) -> BTreeMap<SubjectNo, Vec<SealedEvent>> {
        let merges = self.merges();
        let mut persons: BTreeMap<SubjectNo, Vec<(i64, usize)>> = BTreeMap::new();
        for (at, event) in self.events.iter().enumerate() {
            let superseded = event.insert_id != 0
                && self.events[at + 1..].iter().any(|newer| {
                    (newer.subject, newer.time_us, &newer.name, newer.insert_id)
                        == (event.subject, event.time_us, &event.name, event.insert_id)
                });
            if !superseded {
                persons.entry(merges.canonical(event.subject)).or_default().push((event.time_us, at));
            }
        }
        persons
            .into_iter()
            .map(|(person, mut order)| {
                order.sort();
                (person, order.into_iter().map(|(_, at)| self.events[at].clone()).collect())
            })
            .collect()
    }

    /// The same without the events of nobody.
    fn somebody(&self) -> BTreeMap<SubjectNo, Vec<SealedEvent>> {
        let mut persons = self.persons();
        persons.remove(&SubjectNo::NOBODY);
        persons
    }

    fn date(&self, time_us: i64) -> Date {
        Timestamp::from_microsecond(time_us).unwrap().to_zoned(self.zone()).date()
    }

    /// The first day of the unit that holds an instant, not before the range.
    fn bucket(&self, time_us: i64, unit: Unit, from: Date) -> Date {
        floor(self.date(time_us), unit).max(from)
    }
}

fn floor(date: Date, unit: Unit) -> Date {
    match unit {
        Unit::Week => {
            let mut date = date;
            while date.weekday() != jiff::civil::Weekday::Monday {
                date = date.yesterday().unwrap();
            }
            date
        }
        Unit::Month => date.first_of_month(),
        _ => date,
    }
}

fn matches(event: &SealedEvent, matching: &EventMatch) -> bool {
    matching.event.as_ref().is_none_or(|name| *name == event.name)
        && matching.filters.iter().all(|filter| passes(event, filter))
}

fn passes(event: &SealedEvent, filter: &Filter) -> bool {
    let value = event.properties.iter().find(|(name, _)| *name == filter.property).map(|(_, value)| value);
    let texts: Vec<String> = match value {
        None => vec![],
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::List(items)) => items.clone(),
        Some(Value::Number(number)) => vec![number.to_string()],
        Some(Value::Bool(value)) => vec![value.to_string()],
        Some(other) => panic!("{other:?} is not made here"),
    };
    let number = if let Some(Value::Number(number)) = value { Some(*number) } else { None };
    let wanted = |values: &[Scalar]| {
        values.iter().any(|scalar| match scalar {
            Scalar::String(text) => texts.contains(text),
            Scalar::Number(wanted) => texts.contains(&wanted.to_string()),
            Scalar::Bool(wanted) => texts.contains(&wanted.to_string()),
        })
    };
    match &filter.condition {
        Condition::Equals { values } => wanted(values),
        Condition::DoesNotEqual { values } => !wanted(values),
        Condition::IsSet => value.is_some(),
        Condition::IsNotSet => value.is_none(),
        Condition::AtLeast { value } => number.is_some_and(|number| number >= *value),
        Condition::LessThan { value } => number.is_some_and(|number| number < *value),
        other => panic!("{other:?} is not asked here"),
    }
}

fn segments(event: &SealedEvent) -> BTreeSet<Segment> {
    match event.properties.first().map(|(_, value)| value) {
        None => [Segment::NotSet].into(),
        Some(Value::String(text)) => [Segment::Value(text.clone())].into(),
        Some(Value::Number(number)) => [Segment::Value(number.to_string())].into(),
        Some(Value::Bool(value)) => [Segment::Value(value.to_string())].into(),
        Some(Value::List(items)) => items.iter().map(|item| Segment::Value(item.clone())).collect(),
        Some(other) => panic!("{other:?} is not made here"),
    }
}

/// The largest `limit` of the counted segments; the others become `Other`.
fn kept(counts: &BTreeMap<Segment, u64>, limit: u32) -> Vec<Segment> {
    let mut order: Vec<_> = counts.iter().filter(|(_, count)| **count > 0).collect();
    order.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    order.into_iter().take(limit as usize).map(|(segment, _)| segment.clone()).collect()
}

fn fold(segments: BTreeSet<Segment>, kept: &[Segment]) -> BTreeSet<Segment> {
    segments.into_iter().map(|segment| if kept.contains(&segment) { segment } else { Segment::Other }).collect()
}

fn condition() -> impl Strategy<Value = Condition> {
    let scalar = || {
        prop_oneof![
            "[xyz]".prop_map(Scalar::String),
            (0..4_i32).prop_map(|number| Scalar::Number(f64::from(number) / 2.0)),
            any::<bool>().prop_map(Scalar::Bool)
        ]
    };
    prop_oneof![
        proptest::collection::vec(scalar(), 1..3).prop_map(|values| Condition::Equals { values }),
        proptest::collection::vec(scalar(), 1..3).prop_map(|values| Condition::DoesNotEqual { values }),
        Just(Condition::IsSet),
        Just(Condition::IsNotSet),
        Just(Condition::AtLeast { value: 0.5 }),
        Just(Condition::LessThan { value: 1.0 }),
    ]
}

fn matching() -> impl Strategy<Value = EventMatch> {
    (proptest::option::of("[abcd]"), proptest::collection::vec(condition(), 0..2)).prop_map(|(event, conditions)| {
        EventMatch {
            event,
            filters: conditions.into_iter().map(|condition| Filter { property: "p".into(), condition }).collect(),
        }
    })
}

fn range() -> impl Strategy<Value = (Date, Date)> {
    (0..45_i64, 0..30_i64).prop_map(|(from, days)| {
        let from = Date::constant(2026, 9, 28) + from.days();
        (from, from + days.days())
    })
}

fn breakdown() -> impl Strategy<Value = Option<Breakdown>> {
    proptest::option::of((1..5_u32).prop_map(|limit| Breakdown { property: "p".into(), limit }))
}

fn unit() -> impl Strategy<Value = Unit> {
    prop_oneof![Just(Unit::Day), Just(Unit::Week), Just(Unit::Month)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn insights_equal_the_oracle(
        world in world(), (from, to) in range(), unit in unit(),
        metrics in proptest::collection::vec((matching(), any::<bool>()), 1..3), breakdown in breakdown(),
    ) {
        let metrics: Vec<Metric> = metrics.into_iter().map(|(matching, unique)| Metric {
            matching, measure: if unique { Measure::Unique } else { Measure::Total },
        }).collect();
        let query = Query::Insights(InsightsQuery {
            range: DateRange::Between { from, to }, unit, metrics: metrics.clone(), filters: vec![], breakdown: breakdown.clone(),
        });
        let Output::Table(ResultTable::Insights(table)) = world.ask(&query) else { panic!() };

        let in_range = |event: &SealedEvent| (from..=to).contains(&world.date(event.time_us));
        // (metric, segment) → what is counted: events, or persons, by bucket and in all.
        type Cell = (BTreeMap<Date, BTreeSet<usize>>, BTreeSet<usize>);
        let count = |kept: Option<&[Segment]>| {
            let mut cells: BTreeMap<(usize, Option<Segment>), Cell> = BTreeMap::new();
            let mut serial = 0;
            for (person, events) in world.persons() {
                for event in events.iter().filter(|event| in_range(event)) {
                    serial += 1;
                    for (index, metric) in metrics.iter().enumerate().filter(|(_, metric)| matches(event, &metric.matching)) {
                        if metric.measure == Measure::Unique && person == SubjectNo::NOBODY { continue; }
                        let who = match metric.measure { Measure::Total => serial, Measure::Unique => person.0 as usize };
                        let names: Vec<Option<Segment>> = match (&breakdown, kept) {
                            (None, _) => vec![None],
                            (Some(_), None) => segments(event).into_iter().map(Some).collect(),
                            (Some(_), Some(kept)) => fold(segments(event), kept).into_iter().map(Some).collect(),
                        };
                        for name in names {
                            let cell = cells.entry((index, name)).or_default();
                            cell.0.entry(world.bucket(event.time_us, unit, from)).or_default().insert(who);
                            cell.1.insert(who);
                        }
                    }
                }
            }
            cells
        };
        let cells = match &breakdown {
            None => count(None),
            Some(breakdown) => {
                let mut sums: BTreeMap<Segment, u64> = BTreeMap::new();
                for ((_, name), (_, all)) in count(None) {
                    *sums.entry(name.unwrap()).or_default() += all.len() as u64;
                }
                let kept = kept(&sums, breakdown.limit);
                prop_assert_eq!(table.segments_omitted as usize, sums.len() - kept.len());
                count(Some(&kept))
            }
        };
        let nonzero = table.series.iter().filter(|series| series.total > 0).count();
        prop_assert_eq!(nonzero, cells.len());
        for series in table.series.iter().filter(|series| series.total > 0) {
            let (by_bucket, all) = &cells[&(series.metric as usize, series.segment.clone())];
            prop_assert_eq!(series.total, all.len() as u64);
            for (start, value) in table.buckets.iter().zip(&series.values) {
                let start: Date = start[..10].parse().unwrap();
                prop_assert_eq!(*value, by_bucket.get(&start).map_or(0, |set| set.len() as u64), "bucket {}", start);
            }
        }
    }

    #[test]
    fn funnels_equal_the_oracle(
        world in world(), (from, to) in range(), steps in proptest::collection::vec(matching(), 2..4),
        hours in 1..200_u32, breakdown in breakdown(),
    ) {
        let query = Query::Funnel(FunnelQuery {
            range: DateRange::Between { from, to }, steps: steps.clone(), window: Window { count: hours, unit: WindowUnit::Hour },
            filters: vec![], breakdown: breakdown.clone(),
        });
        let Output::Table(ResultTable::Funnel(table)) = world.ask(&query) else { panic!() };
        let in_range = |event: &SealedEvent| (from..=to).contains(&world.date(event.time_us));
        let follow = |events: &[SealedEvent], entry: usize| {
            let mut depth = 1;
            for event in &events[entry + 1..] {
                if depth < steps.len() && event.time_us - events[entry].time_us <= i64::from(hours) * HOUR && matches(event, &steps[depth]) {
                    depth += 1;
                }
            }
            depth
        };
        let count = |kept: Option<&[Segment]>| {
            let mut overall = vec![0_u64; steps.len()];
            let mut by_segment: BTreeMap<Segment, Vec<u64>> = BTreeMap::new();
            for events in world.somebody().values() {
                let mut entered: BTreeSet<Segment> = BTreeSet::new();
                let mut first = true;
                for (at, event) in events.iter().enumerate() {
                    if !in_range(event) || !matches(event, &steps[0]) { continue; }
                    let depth = follow(events, at);
                    if std::mem::take(&mut first) {
                        overall[..depth].iter_mut().for_each(|count| *count += 1);
                    }
                    let names = match kept { None => segments(event), Some(kept) => fold(segments(event), kept) };
                    for name in names {
                        if entered.insert(name.clone()) {
                            by_segment.entry(name).or_insert_with(|| vec![0; steps.len()])[..depth].iter_mut().for_each(|count| *count += 1);
                        }
                    }
                }
            }
            (overall, by_segment)
        };
        let (overall, by_segment) = count(None);
        let counts = |result: &cofferdam_model::result::FunnelResult| result.steps.iter().map(|step| step.persons).collect::<Vec<_>>();
        prop_assert_eq!(counts(&table.overall), overall);
        if let Some(breakdown) = &breakdown {
            let entries = by_segment.iter().map(|(name, counts)| (name.clone(), counts[0])).collect();
            let kept = kept(&entries, breakdown.limit);
            prop_assert_eq!(table.segments_omitted as usize, entries.len() - kept.len());
            let (_, expected) = count(Some(&kept));
            let found: BTreeMap<Segment, Vec<u64>> = table.segments.iter().map(|segment| (segment.segment.clone(), counts(&segment.result))).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn retention_equals_the_oracle(
        world in world(), (from, to) in range(), unit in unit(), born in matching(), returned in matching(),
        intervals in 1..8_u32, or_after in any::<bool>(), rolling in any::<bool>(), each in any::<bool>(),
    ) {
        let query = Query::Retention(RetentionQuery {
            range: DateRange::Between { from, to }, born: born.clone(), returned: returned.clone(), unit, intervals,
            mode: if or_after { RetentionMode::OnOrAfter } else { RetentionMode::On },
            alignment: if rolling { Alignment::Rolling } else { Alignment::Calendar },
            cohorts: if each { CohortRule::EachInterval } else { CohortRule::FirstTime },
            filters: vec![],
        });
        let Output::Table(ResultTable::Retention(table)) = world.ask(&query) else { panic!() };
        let length = match unit { Unit::Week => 7 * DAY, Unit::Month => 30 * DAY, _ => DAY };
        let between = |a: Date, b: Date| -> i64 {
            let (a, b) = (floor(a, unit), floor(b, unit));
            match unit {
                Unit::Week => i64::from((b - a).get_days()) / 7,
                Unit::Month => (i64::from(b.year()) - i64::from(a.year())) * 12 + i64::from(b.month()) - i64::from(a.month()),
                _ => i64::from((b - a).get_days()),
            }
        };
        let mut sizes: BTreeMap<Date, u64> = BTreeMap::new();
        let mut retained: BTreeMap<(Date, i64), u64> = BTreeMap::new();
        for events in world.somebody().values() {
            let mut cohorts = BTreeSet::new();
            for (at, event) in events.iter().enumerate() {
                let date = world.date(event.time_us);
                if !(from..=to).contains(&date) || !matches(event, &born) { continue; }
                let cohort = world.bucket(event.time_us, unit, from);
                if (!each && !cohorts.is_empty()) || !cohorts.insert(cohort) { continue; }
                *sizes.entry(cohort).or_default() += 1;
                let mut at_k: BTreeSet<i64> = BTreeSet::new();
                for later in events[at + 1..].iter().filter(|later| matches(later, &returned)) {
                    let k = if rolling { (later.time_us - event.time_us) / length } else { between(date, world.date(later.time_us)) };
                    if or_after { at_k.extend(0..=k); } else { at_k.insert(k); }
                }
                for k in at_k { *retained.entry((cohort, k)).or_default() += 1; }
            }
        }
        prop_assert_eq!(table.cohorts.len(), sizes.len());
        for cohort in &table.cohorts {
            let start: Date = cohort.start[..10].parse().unwrap();
            prop_assert_eq!(cohort.size, sizes[&start]);
            prop_assert!(cohort.complete as usize <= cohort.retained.len());
            for (k, count) in cohort.retained.iter().enumerate() {
                prop_assert_eq!(*count, retained.get(&(start, k as i64)).copied().unwrap_or(0), "{} + {}", start, k);
            }
            if cohort.retained.len() <= intervals as usize {
                // What is left out lies in the future.
                let first_left_out = cohort.retained.len() as i64;
                let begins = if rolling {
                    start.to_zoned(world.zone()).unwrap().timestamp().as_microsecond() + first_left_out * length
                } else {
                    let span = match unit { Unit::Week => first_left_out.weeks(), Unit::Month => first_left_out.months(), _ => first_left_out.days() };
                    // A range may begin in the middle of the first interval.
                    (floor(start, unit) + span).max(start).to_zoned(world.zone()).unwrap().timestamp().as_microsecond()
                };
                prop_assert!(begins > world.now());
            }
        }
    }

    #[test]
    fn lists_equal_the_oracle(world in world(), (from, to) in range(), matching in matching(), limit in 1..20_u32) {
        let range = DateRange::Between { from, to };
        let in_range = |event: &&SealedEvent| (from..=to).contains(&world.date(event.time_us)) && matches(event, &matching);
        let Output::Persons { total, persons } =
            world.ask(&Query::Persons(PersonsQuery { range, matching: matching.clone(), limit, offset: 0 })) else { panic!() };
        let mut expected: Vec<(i64, SubjectNo, i64, u64)> = Vec::new();
        let mut all: Vec<(i64, SubjectNo, String)> = Vec::new();
        for (person, events) in world.persons() {
            let found: Vec<&SealedEvent> = events.iter().filter(in_range).collect();
            all.extend(found.iter().map(|event| (event.time_us, person, event.name.clone())));
            if person == SubjectNo::NOBODY { continue; }
            if let (Some(first), Some(last)) = (found.first(), found.last()) {
                expected.push((last.time_us, person, first.time_us, found.len() as u64));
            }
        }
        prop_assert_eq!(total, expected.len() as u64);
        expected.sort_by_key(|(last, person, ..)| (std::cmp::Reverse(*last), *person));
        expected.truncate(limit as usize);
        let found: Vec<_> = persons.iter().map(|person| (person.last_us, person.subject, person.first_us, person.events)).collect();
        prop_assert_eq!(found, expected);

        let Output::Events(events) = world.ask(&Query::Events(EventsQuery { range, matching: matching.clone(), person: None, limit })) else { panic!() };
        prop_assert_eq!(events.len(), all.len().min(limit as usize));
        // Events of one instant may come in any order; the instants are determined.
        all.sort_by_key(|(time, ..)| std::cmp::Reverse(*time));
        let times: Vec<i64> = all.iter().take(limit as usize).map(|(time, ..)| *time).collect();
        prop_assert_eq!(events.iter().map(|event| event.time_us).collect::<Vec<_>>(), times);
        for event in &events {
            prop_assert!(all.contains(&(event.time_us, event.subject, event.event.clone())));
        }
    }
}
