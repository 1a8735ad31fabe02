//! The operators against the naive definitions on random worlds: few persons, coarse times, so that ties, duplicates,
//! merges and boundaries are common.

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_model::cohort::{CohortCondition, Times};
use cofferdam_model::query::*;
use cofferdam_model::result::{Segment, Series};
use cofferdam_model::{Query, SealedEvent, SubjectNo, Value};
use cofferdam_query::{Output, can_leave_few_out};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use crate::door::{Layout, ask, ask_without_few};
use crate::naive::{self, Naive};
use crate::print::lines;
use crate::world::{Cohort, HOUR, SECOND, World};

/// Local midnight in Madrid; the autumn day of 25 hours and the end of the month are in reach.
fn origin() -> i64 {
    "2026-10-19T22:00:00Z".parse::<Timestamp>().unwrap().as_microsecond()
}

const SUBJECTS: u32 = 7;

fn value() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        2 => Just(None),
        4 => "[xyz]".prop_map(|text| Some(Value::String(text))),
        3 => (-1..4_i32).prop_map(|number| Some(Value::Number(f64::from(number) / 2.0))),
        1 => any::<bool>().prop_map(|value| Some(Value::Bool(value))),
        1 => vec("[xyz]", 0..3).prop_map(|items| Some(Value::List(items))),
        1 => (0..200_i64).prop_map(|steps| Some(Value::Time(origin() + steps * 7 * HOUR))),
    ]
}

/// `p` is anything, `q` is one of two words or not set, `n` a number or not set.
fn event() -> impl Strategy<Value = SealedEvent> {
    let time = (0..700_i64, prop_oneof![3 => Just(0_i64), 1 => 0..5_i64])
        .prop_map(|(step, seconds)| origin() + step * HOUR / 2 + seconds * SECOND);
    let properties = (value(), option::weighted(0.7, "[uv]"), option::weighted(0.7, 0..5_i32));
    // The last subject stands for nobody.
    ("[abc]", 0..=SUBJECTS, time, 0..4_u64, properties).prop_map(|(name, subject, time_us, insert_id, (p, q, n))| {
        let properties = [
            p.map(|value| ("p".to_owned(), value)),
            q.map(|text| ("q".to_owned(), Value::String(text))),
            n.map(|number| ("n".to_owned(), Value::Number(f64::from(number)))),
        ];
        SealedEvent {
            name,
            subject: if subject == SUBJECTS { SubjectNo::NOBODY } else { SubjectNo(subject) },
            time_us,
            insert_id,
            properties: properties.into_iter().flatten().collect(),
        }
    })
}

/// Events close together, as in a visit.
fn visit() -> impl Strategy<Value = Vec<SealedEvent>> {
    (vec(event(), 1..5), 0..700_i64, 0..SUBJECTS, vec(0..40_i64, 5)).prop_map(|(mut events, step, subject, gaps)| {
        let mut time_us = origin() + step * HOUR / 2;
        for (event, gap) in events.iter_mut().zip(gaps) {
            time_us += if gap < 10 { gap / 3 * SECOND } else { gap * 60 * SECOND };
            (event.subject, event.time_us) = (SubjectNo(subject), time_us);
        }
        events
    })
}

fn world() -> impl Strategy<Value = World> {
    let events = (vec(event(), 0..30), vec(visit(), 0..12), any::<bool>());
    let links = vec((0..SUBJECTS, 0..SUBJECTS), 0..4);
    let profile = (option::of("[xyz]"), option::of(20..23_i32));
    (
        events,
        links,
        btree_map(0..SUBJECTS + 2, profile, 0..6),
        vec(0..SUBJECTS, 0..4),
        cohort_condition(),
        0..400_i64,
        any::<bool>(),
    )
        .prop_map(|((single, visits, mixed), links, profiles, listed, condition, now_hours, madrid)| {
            let mut events: Vec<SealedEvent> = single.into_iter().chain(visits.into_iter().flatten()).collect();
            if mixed {
                // Late events: arrival is not in order of time.
                events.sort_by_key(|event| (event.time_us / SECOND * 7_919) % 1_009);
            }
            let mut world = World {
                events,
                links: links.into_iter().map(|(alias, canonical)| (SubjectNo(alias), SubjectNo(canonical))).collect(),
                zone: if madrid { TimeZone::get("Europe/Madrid").unwrap() } else { TimeZone::UTC },
                now_us: origin() + now_hours * HOUR,
                profiles: BTreeMap::new(),
                cohorts: BTreeMap::new(),
            };
            let merges = world.merges();
            for (person, (plan, age)) in profiles {
                if merges.canonical(SubjectNo(person)) == SubjectNo(person) {
                    let plan = plan.map(|plan| ("plan".to_owned(), Value::String(plan)));
                    let age = age.map(|age| ("age".to_owned(), Value::Number(f64::from(age))));
                    world.profiles.insert(SubjectNo(person), plan.into_iter().chain(age).collect());
                }
            }
            let listed: BTreeSet<SubjectNo> = listed.into_iter().map(SubjectNo).collect();
            world.cohorts.insert("listed".into(), Cohort::Static(listed));
            world.cohorts.insert("ruled".into(), Cohort::Dynamic(condition));
            world
        })
}

fn layout() -> impl Strategy<Value = Layout> {
    (0..4_u32, 1..6_usize, 1..3_usize).prop_map(|(bits, pieces, threads)| Layout {
        buckets: 1 << bits,
        pieces,
        threads,
    })
}

fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        "[xyzuv]".prop_map(Scalar::String),
        (-1..4_i32).prop_map(|number| Scalar::Number(f64::from(number) / 2.0)),
        any::<bool>().prop_map(Scalar::Bool),
        Just(Scalar::String("1".into())),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        4 => vec(scalar(), 1..4).prop_map(|values| Condition::Equals { values }),
        2 => vec(scalar(), 1..3).prop_map(|values| Condition::DoesNotEqual { values }),
        1 => "[xyzXYZ]".prop_map(|value| Condition::Contains { value }),
        1 => "[xyzXYZ]".prop_map(|value| Condition::DoesNotContain { value }),
        1 => "[xyzXYZ]".prop_map(|value| Condition::StartsWith { value }),
        1 => "[xyzXYZ]".prop_map(|value| Condition::EndsWith { value }),
        2 => Just(Condition::IsSet),
        2 => Just(Condition::IsNotSet),
        1 => (0..3_i32).prop_map(|value| Condition::GreaterThan { value: f64::from(value) }),
        1 => (0..3_i32).prop_map(|value| Condition::AtLeast { value: f64::from(value) }),
        1 => (0..3_i32).prop_map(|value| Condition::LessThan { value: f64::from(value) }),
        1 => (0..3_i32).prop_map(|value| Condition::AtMost { value: f64::from(value) }),
        1 => (0..3_i32).prop_map(|low| Condition::Between { low: f64::from(low), high: f64::from(low) + 1.0 }),
    ]
}

fn event_filter() -> impl Strategy<Value = Filter> {
    ("[pqn]", condition()).prop_map(|(property, condition)| Filter { on: Holder::Event, property, condition })
}

fn profile_filter() -> impl Strategy<Value = Filter> {
    (prop_oneof![Just("plan"), Just("age")], condition()).prop_map(|(property, condition)| Filter {
        on: Holder::Profile,
        property: property.into(),
        condition,
    })
}

fn cohort_filter(names: &'static [&'static str]) -> impl Strategy<Value = Filter> {
    (proptest::sample::select(names), any::<bool>()).prop_map(|(name, member)| Filter {
        on: Holder::Cohort,
        property: name.into(),
        condition: if member { Condition::IsSet } else { Condition::IsNotSet },
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    prop_oneof![5 => event_filter(), 1 => profile_filter(), 1 => cohort_filter(&["listed", "ruled"])]
}

fn filters() -> impl Strategy<Value = Vec<Filter>> {
    prop_oneof![3 => Just(Vec::new()), 2 => vec(filter(), 1..2), 1 => vec(filter(), 2..3)]
}

fn matching() -> impl Strategy<Value = EventMatch> {
    (option::weighted(0.8, "[abcd]"), filters()).prop_map(|(event, filters)| EventMatch { event, filters })
}

fn cohort_condition() -> impl Strategy<Value = CohortCondition> {
    let times = prop_oneof![
        (0..4_u64).prop_map(|count| Times::AtLeast { count }),
        (0..4_u64).prop_map(|count| Times::AtMost { count }),
        (0..4_u64).prop_map(|count| Times::Exactly { count }),
        (0..2_u64, 1..4_u64).prop_map(|(low, more)| Times::Between { low, high: low + more }),
    ];
    let matching =
        (option::of("[abc]"), vec(event_filter(), 0..2)).prop_map(|(event, filters)| EventMatch { event, filters });
    let did = (matching, times, option::of(any_unit()), option::of(any_range()))
        .prop_map(|(matching, times, distinct, window)| CohortCondition::Did { matching, times, distinct, window });
    let is =
        prop_oneof![profile_filter(), cohort_filter(&["listed"])].prop_map(|filter| CohortCondition::Is { filter });
    let leaf = prop_oneof![3 => did, 1 => is];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..4).prop_map(|of| CohortCondition::All { of }),
            vec(inner.clone(), 1..4).prop_map(|of| CohortCondition::Any { of }),
            inner.prop_map(|of| CohortCondition::Not { of: Box::new(of) }),
        ]
    })
}

fn day_unit() -> impl Strategy<Value = Unit> {
    prop_oneof![3 => Just(Unit::Day), 1 => Just(Unit::Week), 1 => Just(Unit::Month)]
}

fn any_unit() -> impl Strategy<Value = Unit> {
    prop_oneof![1 => Just(Unit::Hour), 4 => day_unit()]
}

fn between(days: i64) -> impl Strategy<Value = DateRange> {
    (0..18_i64, 0..days).prop_map(|(from, days)| {
        let from = Date::constant(2026, 10, 17) + from.days();
        DateRange::Between { from, to: from + days.days() }
    })
}

fn any_range() -> impl Strategy<Value = DateRange> {
    prop_oneof![
        3 => between(14),
        1 => (1..20_u32, day_unit()).prop_map(|(count, unit)| DateRange::Last { count, unit }),
    ]
}

fn breakdown() -> impl Strategy<Value = Option<Breakdown>> {
    let buckets = prop_oneof![
        3 => Just(None),
        1 => (1..4_i32).prop_map(|size| Some(ValueBuckets::Width { size: f64::from(size) / 2.0 })),
        1 => (0..2_i32).prop_map(|low| Some(ValueBuckets::Bounds { bounds: vec![f64::from(low), f64::from(low) + 1.5] })),
        1 => any_unit().prop_map(|unit| Some(ValueBuckets::Time { unit })),
    ];
    let of_event =
        ("[pqn]", buckets).prop_map(|(property, buckets)| BreakdownBy { on: Holder::Event, property, buckets });
    let of_profile = prop_oneof![Just("plan"), Just("age")].prop_map(|property| BreakdownBy {
        on: Holder::Profile,
        property: property.into(),
        buckets: (property == "age").then_some(ValueBuckets::Width { size: 2.0 }),
    });
    let of_cohort = Just(BreakdownBy { on: Holder::Cohort, property: "ruled".into(), buckets: None });
    let by = prop_oneof![5 => of_event, 1 => of_profile, 1 => of_cohort];
    let touch = prop_oneof![2 => Just(Touch::Every), 1 => Just(Touch::First), 1 => Just(Touch::Last)];
    option::of((vec(by, 1..3), 1..6_u32, touch).prop_map(|(by, limit, touch)| Breakdown { by, limit, touch }))
}

fn sessions() -> impl Strategy<Value = SessionRule> {
    prop_oneof![
        3 => Just(SessionRule::default()),
        1 => (1..200_u32).prop_map(|minutes| SessionRule::Timeout { minutes }),
        2 => (matching(), matching())
            .prop_map(|(start, end)| SessionRule::Events { start: Box::new(start), end: Box::new(end) }),
        2 => "[pq]".prop_map(|property| SessionRule::Property { property }),
    ]
}

fn measure() -> impl Strategy<Value = Measure> {
    let property = || prop_oneof![3 => Just("n".to_owned()), 1 => Just("p".to_owned())];
    let percent = || prop_oneof![Just(0.0), Just(25.0), Just(90.0), Just(100.0), 0.0..100.0];
    let each = prop_oneof![
        Just(PersonMeasure::Total),
        Just(PersonMeasure::Hours),
        Just(PersonMeasure::Days),
        property().prop_map(|property| PersonMeasure::Sum { property }),
        property().prop_map(|property| PersonMeasure::Average { property }),
        property().prop_map(|property| PersonMeasure::Min { property }),
        property().prop_map(|property| PersonMeasure::Max { property }),
        "[pqn]".prop_map(|property| PersonMeasure::Distinct { property }),
    ];
    let then = prop_oneof![
        Just(Aggregate::Sum),
        Just(Aggregate::Average),
        Just(Aggregate::Median),
        Just(Aggregate::Min),
        Just(Aggregate::Max),
        percent().prop_map(|percent| Aggregate::Percentile { percent }),
    ];
    prop_oneof![
        2 => Just(Measure::Total),
        2 => Just(Measure::Unique),
        2 => Just(Measure::Sessions),
        2 => (1..32_u16).prop_map(|days| Measure::Active { days }),
        1 => property().prop_map(|property| Measure::Sum { property }),
        1 => property().prop_map(|property| Measure::Average { property }),
        1 => property().prop_map(|property| Measure::Median { property }),
        1 => property().prop_map(|property| Measure::Min { property }),
        1 => property().prop_map(|property| Measure::Max { property }),
        1 => (property(), percent()).prop_map(|(property, percent)| Measure::Percentile { property, percent }),
        1 => "[pqn]".prop_map(|property| Measure::Distinct { property }),
        4 => (each, then).prop_map(|(each, then)| Measure::PerPerson { each, then }),
    ]
}

fn metric() -> impl Strategy<Value = Metric> {
    let of_sessions = (
        any::<bool>(),
        filters(),
        prop_oneof![
            Just(Measure::Total),
            Just(Measure::Unique),
            Just(Measure::Sum { property: "$duration_s".into() }),
            Just(Measure::Median { property: "$duration_s".into() }),
            Just(Measure::Max { property: "$event_count".into() }),
            Just(Measure::Distinct { property: "$origin_start".into() }),
            Just(Measure::Distinct { property: "$origin_end".into() }),
            Just(Measure::PerPerson {
                each: PersonMeasure::Sum { property: "$event_count".into() },
                then: Aggregate::Average
            }),
        ],
    )
        .prop_map(|(start, filters, measure)| Metric {
            matching: EventMatch { event: Some(if start { "$session_start" } else { "$session_end" }.into()), filters },
            measure,
        });
    prop_oneof![6 => (matching(), measure()).prop_map(|(matching, measure)| Metric { matching, measure }), 1 => of_sessions]
}

fn transform() -> impl Strategy<Value = Option<Transform>> {
    prop_oneof![
        3 => Just(None),
        1 => Just(Some(Transform::Cumulative)),
        1 => (2..5_u32).prop_map(|buckets| Some(Transform::Rolling { buckets })),
    ]
}

fn compare() -> impl Strategy<Value = Option<Compare>> {
    prop_oneof![
        3 => Just(None),
        1 => Just(Some(Compare::PreviousPeriod)),
        1 => (1..10_u32).prop_map(|count| Some(Compare::Ago { count, unit: Unit::Day })),
        1 => (1..3_u32).prop_map(|count| Some(Compare::Ago { count, unit: Unit::Week })),
    ]
}

fn insights() -> impl Strategy<Value = InsightsQuery> {
    let formulas = proptest::sample::select(vec!["A / B", "A + B * 2", "(A - B) / A * 100", "-A / 4"]);
    let base = (any_range(), any_unit(), vec(metric(), 2..4), vec(formulas, 0..2));
    (base, filters(), breakdown(), transform(), compare(), sessions()).prop_map(
        |((range, unit, metrics, formulas), filters, breakdown, transform, compare, sessions)| InsightsQuery {
            range,
            unit,
            metrics,
            formulas: formulas.into_iter().map(str::to_owned).collect(),
            filters,
            breakdown,
            transform,
            compare,
            sessions,
        },
    )
}

fn window() -> impl Strategy<Value = Window> {
    prop_oneof![
        1 => (1..20_u32).prop_map(|count| Window { count, unit: WindowUnit::Second }),
        1 => (1..90_u32).prop_map(|count| Window { count, unit: WindowUnit::Minute }),
        3 => (1..100_u32).prop_map(|count| Window { count, unit: WindowUnit::Hour }),
        1 => (1..10_u32).prop_map(|count| Window { count, unit: WindowUnit::Day }),
        1 => (1..4_u32).prop_map(|count| Window { count, unit: WindowUnit::Session }),
    ]
}

fn count() -> impl Strategy<Value = Count> {
    prop_oneof![Just(Count::Unique), Just(Count::Total), Just(Count::Sessions)]
}

fn funnel() -> impl Strategy<Value = FunnelQuery> {
    let step = (matching(), proptest::bool::weighted(0.3)).prop_map(|(matching, any_order)| FunnelMatch {
        event: matching.event,
        filters: matching.filters,
        any_order,
    });
    let exclusion = |steps: usize| {
        (matching(), 1..steps as u32, 1..steps as u32).prop_map(move |(matching, after_step, later)| Exclusion {
            matching,
            after_step,
            before_step: (after_step + later).min(steps as u32),
        })
    };
    let steps = vec(step, 2..5).prop_flat_map(move |steps| {
        let length = steps.len();
        let exclusions = prop_oneof![2 => Just(Vec::new()), 1 => vec(exclusion(length), 1..3)];
        let attribution = prop_oneof![
            2 => Just(Attribution::First),
            1 => Just(Attribution::Last),
            1 => (1..=length as u32).prop_map(|step| Attribution::Step { step }),
        ];
        (Just(steps), exclusions, attribution, option::weighted(0.3, exclusion(length)))
    });
    let reentry = prop_oneof![Just(Reentry::First), Just(Reentry::Optimized)];
    let hold = prop_oneof![3 => Just(Vec::new()), 1 => Just(vec!["q".to_owned()]), 1 => Just(vec!["q".to_owned(), "p".to_owned()])];
    (
        (any_range(), steps, window(), count(), reentry),
        (hold, filters(), breakdown(), option::weighted(0.3, day_unit()), sessions()),
    )
        .prop_map(
            |(
                (range, (steps, exclusions, attribution, between), window, count, reentry),
                (hold_constant, filters, breakdown, trend, sessions),
            )| FunnelQuery {
                range,
                steps,
                window,
                count,
                reentry,
                exclusions,
                hold_constant,
                filters,
                breakdown,
                attribution,
                trend,
                between,
                sessions,
            },
        )
}

fn retention() -> impl Strategy<Value = RetentionQuery> {
    let mode = prop_oneof![
        Just(RetentionMode::On),
        Just(RetentionMode::OnOrAfter),
        Just(RetentionMode::OnOrBefore),
        Just(RetentionMode::Streak)
    ];
    let intervals = (1..6_usize)
        .prop_flat_map(|intervals| (Just(intervals), prop_oneof![Just(Vec::new()), vec(1..4_u32, intervals)]));
    let alignment = prop_oneof![Just(Alignment::Calendar), Just(Alignment::Rolling)];
    let cohorts = prop_oneof![Just(CohortRule::FirstTime), Just(CohortRule::EachInterval)];
    ((any_range(), matching(), matching(), day_unit(), intervals), (mode, alignment, cohorts, filters(), breakdown()))
        .prop_map(
            |((range, born, returned, unit, (intervals, brackets)), (mode, alignment, cohorts, filters, breakdown))| {
                RetentionQuery {
                    range,
                    born,
                    returned,
                    unit,
                    intervals: intervals as u32,
                    brackets,
                    mode,
                    alignment,
                    cohorts,
                    filters,
                    breakdown,
                }
            },
        )
}

fn flows() -> impl Strategy<Value = FlowsQuery> {
    let expand = prop_oneof![
        2 => Just(Vec::new()),
        1 => ("[abc]", "[pq]").prop_map(|(event, property)| vec![FlowExpansion { event, property }]),
    ];
    let hold = prop_oneof![3 => Just(Vec::new()), 1 => Just(vec!["q".to_owned()]), 1 => Just(vec!["p".to_owned()])];
    let exclusions = prop_oneof![2 => Just(Vec::new()), 1 => vec(matching(), 1..2)];
    // An anchor that is itself hidden would be a question without sense.
    let anchor = ("[abc]", filters()).prop_map(|(event, filters)| EventMatch { event: Some(event), filters });
    (
        (any_range(), anchor, 0..3_u32, 1..4_u32, 1..4_u32, window(), count()),
        (vec("[abc]", 0..2), any::<bool>(), exclusions, hold, expand, 0..6_u32),
        (filters(), breakdown(), sessions()),
    )
        .prop_map(
            |(
                (range, anchor, before, after, nodes, window, count),
                (mut hidden, collapse_repeats, exclusions, hold_constant, expand, paths),
                (filters, breakdown, sessions),
            )| {
                hidden.retain(|name| Some(name) != anchor.event.as_ref());
                FlowsQuery {
                    range,
                    anchor,
                    before,
                    after,
                    nodes,
                    window,
                    count,
                    hidden,
                    collapse_repeats,
                    exclusions,
                    hold_constant,
                    expand,
                    paths,
                    filters,
                    breakdown,
                    sessions,
                }
            },
        )
}

/// The answers to a question, of the operators and of the definitions, are the same lines.
fn equal(world: &World, query: &Query, layout: Layout) -> Result<(), TestCaseError> {
    let Output::Table(found) = ask(world, query, layout).unwrap() else { panic!("a table was asked for") };
    let expected = naive::answer(world, query).unwrap();
    let texts = |table| lines(table, &world.zone).into_iter().map(|line| line.text).collect::<Vec<_>>();
    let (found, expected) = (texts(&found), texts(&expected));
    if found != expected {
        let lacks = |lines: &[String], others: &[String]| {
            let lines: Vec<&str> = lines.iter().filter(|line| !others.contains(line)).map(String::as_str).collect();
            lines.join("\n  ")
        };
        return Err(TestCaseError::fail(format!(
            "{}\nfound:\n  {}\nexpected:\n  {}\n",
            serde_json::to_string(query).unwrap(),
            lacks(&found, &expected),
            lacks(&expected, &found)
        )));
    }
    Ok(())
}

/// What is shown is exact and of enough persons, and nothing hidden is what the rest of its bucket or line leaves over.
fn few_are_hidden(world: &World, query: &InsightsQuery, few: u64, layout: Layout) -> Result<(), TestCaseError> {
    let is_confined = |filter: &Filter| filter.on == Holder::Cohort || ["q", "plan"].contains(&&*filter.property);
    if !can_leave_few_out(query, &is_confined) {
        return Ok(());
    }
    let table = ask_without_few(world, query, few, &is_confined, layout);
    prop_assert_eq!(table.hidden_below, Some(few as u32));
    let metrics = query.metrics.len();
    let lines = table.series.iter().filter(|series| series.metric == 0).count();
    if lines == 0 {
        return Ok(());
    }
    let shown: Vec<Vec<Segment>> = table.series[..lines].iter().map(|series| series.segment.clone()).collect();
    let mut persons = query.clone();
    persons.formulas.clear();
    for metric in &mut persons.metrics {
        if !matches!(metric.measure, Measure::Active { .. }) {
            metric.measure = Measure::Unique;
        }
    }
    let naive = Naive { world, persons: world.everybody() };
    let numbers = |series: &Series| -> Vec<Option<f64>> {
        series.values.iter().chain([&series.total]).map(|value| value.map(|number| number.0)).collect()
    };
    let is_few = |persons: f64| persons > 0.0 && persons < few as f64;
    let periods = [(Some(&table.series), None), (table.compared.as_ref().map(|one| &one.series), query.compare)];
    for (series, compare) in periods.into_iter().filter_map(|(series, compare)| Some((series?, compare))) {
        let found: Vec<Vec<Option<f64>>> = series.iter().map(numbers).collect();
        let exact: Vec<Vec<Option<f64>>> = naive.given(query, &shown, compare).iter().map(numbers).collect();
        let persons: Vec<Vec<f64>> = naive
            .given(&persons, &shown, compare)
            .iter()
            .map(|series| numbers(series).into_iter().map(Option::unwrap_or_default).collect())
            .collect();
        let outside = naive.outside(query, &is_confined, compare);
        prop_assert_eq!(found.len(), exact.len());
        for (at, (found, exact)) in found.iter().zip(&exact).enumerate() {
            let of = if at / lines < metrics { at / lines..at / lines + 1 } else { 0..metrics };
            for (cell, value) in found.iter().enumerate().filter_map(|(cell, value)| Some((cell, (*value)?))) {
                prop_assert!(exact[cell].is_some_and(|exact| (exact - value).abs() <= 1e-9 * exact.abs().max(1.0)));
                for metric in of.clone() {
                    prop_assert!(!is_few(persons[metric * lines + at % lines][cell]), "a number of few is shown");
                    prop_assert!(
                        !is_few(outside[metric][cell]),
                        "everybody's number tells of few who were filtered out"
                    );
                }
            }
        }
        // Which numbers are hidden is known where every number is one: not of the average of nothing.
        let counts = |metric: &Metric| matches!(metric.measure, Measure::Total | Measure::Unique);
        for metric in (0..metrics).filter(|metric| counts(&query.metrics[*metric])) {
            let (found, persons) = (&found[metric * lines..][..lines], &persons[metric * lines..][..lines]);
            let total = found[0].len() - 1;
            let is_told = |group: &[(usize, usize)]| {
                let hidden = group.iter().filter(|(line, cell)| found[*line][*cell].is_none());
                let of: Vec<f64> = hidden.map(|(line, cell)| persons[*line][*cell]).collect();
                !of.is_empty() && (of.len() == 1 || of.iter().sum::<f64>() < few as f64)
            };
            for cell in 0..=total {
                let column: Vec<(usize, usize)> = (0..lines).map(|line| (line, cell)).collect();
                let is_all = column.iter().all(|(line, cell)| found[*line][*cell].is_none());
                prop_assert!(is_all || !is_told(&column), "its bucket tells what is hidden");
            }
            for line in (0..lines).filter(|line| found[*line][total].is_some()) {
                let row: Vec<(usize, usize)> = (0..total).map(|cell| (line, cell)).collect();
                prop_assert!(!is_told(&row), "its line tells what is hidden");
            }
            if compare.is_none() {
                let named = (0..lines).filter(|line| query.breakdown.is_some() && shown[*line] != [Segment::Other]);
                let totals = named.map(|line| persons[line][total]);
                prop_assert!(totals.into_iter().all(|persons| !is_few(persons)), "a segment of few has a name");
            }
        }
    }
    Ok(())
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 5_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn insights_equal_the_definitions(world in world(), query in insights(), layout in layout()) {
        equal(&world, &Query::Insights(query), layout)?;
    }

    #[test]
    fn without_numbers_of_few_persons_the_others_are_exact_and_do_not_tell_them(
        world in world(), query in insights(), few in 2..5_u64, layout in layout(),
    ) {
        few_are_hidden(&world, &InsightsQuery { transform: None, ..query }, few, layout)?;
    }

    #[test]
    fn cohort_sizes_equal_the_definitions(
        world in world(), range in between(10), unit in day_unit(), transform in transform(), layout in layout(),
    ) {
        let size = |cohort: &str| Metric {
            matching: EventMatch::default(), measure: Measure::CohortSize { cohort: cohort.into() },
        };
        equal(&world, &Query::Insights(InsightsQuery {
            range, unit, metrics: vec![size("ruled"), size("listed")], formulas: vec!["A / B".into()],
            filters: vec![], breakdown: None, transform, compare: None, sessions: SessionRule::default(),
        }), layout)?;
    }

    #[test]
    fn frequency_equals_the_definitions(
        world in world(), range in any_range(), matching in matching(), period in day_unit(), cumulative in any::<bool>(),
        filters in filters(), layout in layout(),
    ) {
        equal(&world, &Query::Frequency(FrequencyQuery { range, matching, period, cumulative, filters }), layout)?;
    }

    #[test]
    fn sessions_equal_the_definitions(
        world in world(), range in any_range(), unit in any_unit(), sessions in sessions(), matching in matching(),
        breakdown in breakdown(), layout in layout(),
    ) {
        equal(&world, &Query::Sessions(SessionsQuery { range, unit, sessions, matching, breakdown }), layout)?;
    }

    #[test]
    fn cohorts_equal_the_definitions(world in world(), layout in layout()) {
        let filter = |member| Filter { on: Holder::Cohort, property: "ruled".into(), condition: member };
        for condition in [Condition::IsSet, Condition::IsNotSet] {
            let query = PersonsQuery {
                range: DateRange::Between { from: Date::constant(2026, 10, 1), to: Date::constant(2026, 12, 1) },
                matching: EventMatch { event: None, filters: vec![filter(condition)] },
                limit: 50,
                offset: 0,
            };
            let naive = Naive { world: &world, persons: world.everybody() };
            let (expected, _) = naive.persons_list(&query);
            let Output::Persons { total, .. } = ask(&world, &Query::Persons(query), layout).unwrap() else { panic!() };
            prop_assert_eq!(total, expected, "{:?}", world.cohorts);
        }
    }

    #[test]
    fn lists_equal_the_definitions(
        world in world(), range in any_range(), matching in matching(), limit in 1..20_u32, offset in 0..3_u32,
        layout in layout(),
    ) {
        let naive = Naive { world: &world, persons: world.everybody() };
        let query = PersonsQuery { range, matching: matching.clone(), limit, offset };
        let (expected_total, expected) = naive.persons_list(&query);
        let Output::Persons { total, persons } = ask(&world, &Query::Persons(query), layout).unwrap() else { panic!() };
        prop_assert_eq!(total, expected_total);
        let found: Vec<_> = persons.iter().map(|row| (row.subject, row.first_us, row.last_us, row.events)).collect();
        let expected: Vec<_> = expected.iter().map(|row| (row.person, row.first_us, row.last_us, row.events)).collect();
        prop_assert_eq!(found, expected);

        let query = EventsQuery { range, matching, person: None, limit };
        let expected = naive.events_list(&query, None);
        let Output::Events(events) = ask(&world, &Query::Events(query), layout).unwrap() else { panic!() };
        // Events of one instant may come in any order; the instants are determined.
        let times: Vec<i64> = expected.iter().take(limit as usize).map(|(time, ..)| *time).collect();
        prop_assert_eq!(events.iter().map(|event| event.time_us).collect::<Vec<_>>(), times);
        for event in &events {
            prop_assert!(expected.contains(&(event.time_us, event.subject, event.event.clone())));
        }
    }
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn funnels_equal_the_definitions(world in world(), query in funnel(), layout in layout()) {
        equal(&world, &Query::Funnel(query), layout)?;
    }

    #[test]
    fn retention_equals_the_definitions(world in world(), query in retention(), layout in layout()) {
        equal(&world, &Query::Retention(query), layout)?;
    }

    #[test]
    fn flows_equal_the_definitions(world in world(), query in flows(), layout in layout()) {
        equal(&world, &Query::Flows(query), layout)?;
    }
}
