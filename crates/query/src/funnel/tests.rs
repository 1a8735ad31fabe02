//! Funnels through the door: one small history for each rule.

use cofferdam_model::query::*;
use cofferdam_model::result::{FunnelTable, Segment};
use cofferdam_model::{Query, ResultTable, SubjectNo, SubjectSet};

use super::significance;
use crate::testing::{ask_in, days, named};
use crate::{Error, People};

fn funnel(steps: &[&str], window: u32, unit: WindowUnit) -> FunnelQuery {
    FunnelQuery {
        range: days(5, 6),
        steps: steps.iter().map(|name| step(name)).collect(),
        window: Window { count: window, unit },
        count: Count::Unique,
        reentry: Reentry::First,
        exclusions: Vec::new(),
        hold_constant: Vec::new(),
        filters: Vec::new(),
        breakdown: None,
        attribution: Attribution::First,
        trend: None,
        between: None,
        sessions: SessionRule::default(),
    }
}

fn step(name: &str) -> FunnelMatch {
    FunnelMatch { event: Some(name.to_owned()), filters: Vec::new(), any_order: false }
}

fn hour(steps: &[&str]) -> FunnelQuery {
    funnel(steps, 1, WindowUnit::Hour)
}

fn by(properties: &[&str], limit: u32) -> Option<Breakdown> {
    let by = |property: &&str| BreakdownBy { on: Holder::Event, property: (*property).to_owned(), buckets: None };
    Some(Breakdown { by: properties.iter().map(by).collect(), limit, touch: Touch::Every })
}

fn is(property: &str, value: &str) -> Filter {
    Filter {
        on: Holder::Event,
        property: property.to_owned(),
        condition: Condition::Equals { values: vec![Scalar::String(value.to_owned())] },
    }
}

fn ask(query: &FunnelQuery, text: &str) -> FunnelTable {
    match ask_in("UTC", text, &Query::Funnel(query.clone()), &People::default()).unwrap() {
        ResultTable::Funnel(table) => table,
        other => panic!("{other:?}"),
    }
}

fn counts(query: &FunnelQuery, text: &str) -> Vec<u64> {
    ask(query, text).overall.steps.iter().map(|step| step.count).collect()
}

/// `shirt: 1 1, other: 2 0`.
fn segments(table: &FunnelTable) -> String {
    let name = |segment: &Segment| match segment {
        Segment::Value(value) => value.clone(),
        Segment::NotSet => "not set".to_owned(),
        Segment::Other => "other".to_owned(),
    };
    let line = |segment: &cofferdam_model::result::FunnelSegment| {
        let names: Vec<String> = segment.segment.iter().map(name).collect();
        let counts: Vec<String> = segment.result.steps.iter().map(|step| step.count.to_string()).collect();
        format!("{}: {}", names.join("+"), counts.join(" "))
    };
    table.segments.iter().map(line).collect::<Vec<_>>().join(", ")
}

const SHOP: &str = "
    1 5 10:00 Browse item=shirt
    1 5 10:01 Browse item=jeans
    1 5 10:02 Add
    1 5 10:03 Browse item=shoes";

#[test]
fn a_person_counts_once_and_an_attempt_each_time() {
    let text = "
        1 5 10:00 A
        1 5 10:10 B
        1 5 11:00 A
        1 5 11:10 B
        2 5 12:00 A
        3 5 12:00 B
        4 6 23:30 A
        4 7 00:20 B";
    let mut query = hour(&["A", "B"]);
    assert_eq!(counts(&query, text), [3, 2]);
    query.count = Count::Total;
    let table = ask(&query, text);
    assert_eq!(table.overall.steps[0].count, 4);
    assert_eq!(table.overall.steps[1].count, 3);
    assert_eq!(table.overall.steps[1].median_ms_from_previous, Some(600_000));
    assert_eq!(table.overall.steps[1].average_ms_from_previous, Some(70 * 60_000 / 3));
    let whole = table.overall.time_to_convert.unwrap();
    assert_eq!((whole.median_ms, whole.counts.iter().sum::<u64>()), (600_000, 3));
}

#[test]
fn a_breakdown_by_step_1_enters_once_for_each_segment_after_the_attempt_before() {
    let mut query = hour(&["Browse", "Add"]);
    query.breakdown = by(&["item"], 10);
    query.attribution = Attribution::Step { step: 1 };
    for count in [Count::Unique, Count::Total] {
        query.count = count;
        assert_eq!(segments(&ask(&query, SHOP)), "shirt: 1 1, shoes: 1 0");
    }
    query.count = Count::Unique;
    assert_eq!(counts(&query, SHOP), [1, 1]);
}

#[test]
fn attribution_fills_from_the_step_that_has_the_property() {
    let text = "
        1 5 10:00 A
        1 5 10:01 B color=red
        1 5 10:02 C color=blue
        1 5 10:03 D";
    let mut query = hour(&["A", "B", "C", "D"]);
    query.breakdown = by(&["color"], 10);
    let picked = |query: &FunnelQuery| segments(&ask(query, text));
    assert_eq!(picked(&query), "red: 1 1 1 1");
    query.attribution = Attribution::Last;
    assert_eq!(picked(&query), "blue: 1 1 1 1");
    query.attribution = Attribution::Step { step: 3 };
    assert_eq!(picked(&query), "blue: 1 1 1 1");
    query.attribution = Attribution::Step { step: 4 };
    assert_eq!(picked(&query), "not set: 1 1 1 1");
    query.filters = vec![is("color", "blue")];
    assert_eq!(counts(&query, text), [0, 0, 0, 0]);
    query.attribution = Attribution::Last;
    assert_eq!(counts(&query, text), [1, 1, 1, 1]);
    assert_eq!(picked(&query), "blue: 1 1 1 1");
    query.attribution = Attribution::First;
    assert_eq!(picked(&query), "");
}

#[test]
fn properties_of_a_breakdown_are_picked_each_by_itself() {
    let text = "
        1 5 10:00 A x=1
        1 5 10:01 B x=2 y=p|q
        2 5 10:00 A x=1 y=p|q
        2 5 10:01 B";
    let mut query = hour(&["A", "B"]);
    query.breakdown = by(&["x", "y"], 10);
    assert_eq!(segments(&ask(&query, text)), "1+p: 2 2, 1+q: 2 2");
}

#[test]
fn segments_beyond_the_limit_are_one_funnel() {
    let text = "
        1 5 10:00 A p=a
        1 5 10:01 B
        2 5 10:00 A p=a
        3 5 10:00 A p=b
        3 5 10:30 B
        3 5 12:00 A p=c
        4 5 12:00 A";
    let mut query = hour(&["A", "B"]);
    query.breakdown = by(&["p"], 1);
    let table = ask(&query, text);
    assert_eq!(segments(&table), "a: 2 1, other: 2 1", "person 3 enters the others once");
    assert_eq!(table.segments_omitted, 3);
    query.breakdown = by(&["p"], 4);
    let table = ask(&query, text);
    assert_eq!(segments(&table), "a: 2 1, b: 1 1, c: 1 0, not set: 1 0");
    assert_eq!(table.segments_omitted, 0);
}

#[test]
fn a_refused_attempt_has_no_substitute() {
    let text = "
        1 5 10:00 View browser=chrome
        1 5 12:00 View browser=safari
        1 5 12:01 Buy";
    let mut query = hour(&["View", "Buy"]);
    assert_eq!(counts(&query, text), [1, 0]);
    query.filters = vec![is("browser", "safari")];
    assert_eq!(counts(&query, text), [0, 0]);
    query.count = Count::Total;
    assert_eq!(counts(&query, text), [1, 1]);
    query.count = Count::Unique;
    query.filters.clear();
    query.steps[0].filters = vec![is("browser", "safari")];
    assert_eq!(counts(&query, text), [1, 1]);
}

#[test]
fn filters_on_persons_leave_the_others_out() {
    let text = "
        1 5 10:00 A
        1 5 10:01 B
        2 5 10:00 A";
    let mut people = People::default();
    people.add_cohort("c", std::sync::Arc::new([SubjectNo(1)].into_iter().collect::<SubjectSet>()));
    let mut query = hour(&["A", "B"]);
    let filter = |condition| Filter { on: Holder::Cohort, property: "c".to_owned(), condition };
    for (condition, expected) in [(Condition::IsSet, [1, 1]), (Condition::IsNotSet, [1, 0])] {
        query.filters = vec![filter(condition)];
        let table = ask_in("UTC", text, &Query::Funnel(query.clone()), &people).unwrap();
        let ResultTable::Funnel(table) = table else { panic!("{table:?}") };
        assert_eq!(table.overall.steps.iter().map(|step| step.count).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn held_properties_make_a_funnel_of_each_value() {
    let text = "
        1 5 10:00 View item=shirt
        1 5 10:01 View item=jeans
        1 5 10:02 Buy item=jeans
        1 5 10:03 Buy
        1 5 10:04 View";
    let mut query = hour(&["View", "Buy"]);
    query.hold_constant = vec!["item".to_owned()];
    assert_eq!(counts(&query, text), [1, 0], "the value of the first step 1");
    query.reentry = Reentry::Optimized;
    assert_eq!(counts(&query, text), [1, 1]);
    query.reentry = Reentry::First;
    query.count = Count::Total;
    assert_eq!(counts(&query, text), [2, 1]);
    query.count = Count::Unique;
    query.breakdown = by(&["item"], 10);
    assert_eq!(segments(&ask(&query, text)), "jeans: 1 1, shirt: 1 0");
}

#[test]
fn a_held_list_is_one_value() {
    let text = "
        1 5 10:00 A tags=a|b
        1 5 10:01 B tags=b
        1 5 10:02 B tags=b|a
        2 5 10:00 A tags=a
        2 5 10:01 B tags=a|";
    let mut query = hour(&["A", "B"]);
    query.hold_constant = vec!["tags".to_owned()];
    let table = ask(&query, text);
    assert_eq!(table.overall.steps.iter().map(|step| step.count).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(table.overall.steps[1].average_ms_from_previous, Some(90_000));
}

#[test]
fn exclusions_and_re_entry_as_they_are_documented() {
    let text = "
        1 5 10:00 A
        1 5 10:10 A
        1 5 10:20 A
        1 5 10:30 B";
    let mut query = hour(&["A", "B"]);
    query.count = Count::Total;
    query.exclusions = vec![Exclusion { matching: named("A"), after_step: 1, before_step: 2 }];
    assert_eq!(counts(&query, text), [2, 1]);
    query.exclusions.clear();
    query.count = Count::Unique;
    let convert = |query: &FunnelQuery, text: &str| {
        let table = ask(query, text);
        (table.overall.steps[1].count, table.overall.time_to_convert.map(|time| time.median_ms / 60_000))
    };
    assert_eq!(convert(&query, text), (1, Some(30)));
    query.reentry = Reentry::Optimized;
    assert_eq!(convert(&query, text), (1, Some(10)));
    let late = "
        1 5 10:00 A
        1 5 10:50 A
        1 5 11:20 B
        2 5 10:00 A
        2 5 11:30 A
        2 5 11:40 B";
    assert_eq!(convert(&query, late), (2, Some(10)));
    query.count = Count::Total;
    assert_eq!(counts(&query, late), [4, 2]);
    query.reentry = Reentry::First;
    assert_eq!(counts(&query, late), [3, 1]);
}

#[test]
fn a_trend_is_a_funnel_for_each_bucket() {
    let text = "
        1 5 23:50 A
        1 6 00:10 A
        1 6 00:20 B
        2 6 09:00 A
        2 6 10:30 A
        2 6 10:40 B";
    let mut query = hour(&["A", "B"]);
    query.trend = Some(Unit::Day);
    let trend = |query: &FunnelQuery| {
        let line = |bucket: &cofferdam_model::result::FunnelBucket| {
            (bucket.start.clone(), bucket.result.steps.iter().map(|step| step.count).collect::<Vec<_>>())
        };
        ask(query, text).trend.iter().map(line).collect::<Vec<_>>()
    };
    let starts = ["2026-10-05T00:00:00+00:00", "2026-10-06T00:00:00+00:00"];
    let expected = |first, second| vec![(starts[0].to_owned(), first), (starts[1].to_owned(), second)];
    assert_eq!(trend(&query), expected(vec![1, 1], vec![2, 1]));
    assert_eq!(counts(&query, text), [2, 1]);
    query.reentry = Reentry::Optimized;
    assert_eq!(trend(&query), expected(vec![1, 1], vec![2, 2]));
    query.count = Count::Total;
    assert_eq!(trend(&query), expected(vec![1, 1], vec![3, 2]));
}

#[test]
fn events_between_steps_are_counted_without_the_steps() {
    let text = "
        1 5 10:00 S
        1 5 10:01 S
        1 5 10:02 T
        2 5 10:00 S
        2 5 10:01 T
        3 5 10:00 S
        4 5 10:00 S
        4 5 10:01 U
        4 5 10:02 T";
    let mut query = hour(&["S", "T"]);
    query.between = Some(Exclusion { matching: named("S"), after_step: 1, before_step: 2 });
    let times = |query: &FunnelQuery| {
        ask(query, text).between.iter().map(|between| (between.times, between.count)).collect::<Vec<_>>()
    };
    assert_eq!(times(&query), [(0, 2), (1, 1)]);
    query.steps.insert(1, step("U"));
    query.between = Some(Exclusion { matching: named("S"), after_step: 2, before_step: 3 });
    assert_eq!(times(&query), [(0, 1)], "whoever does not get there is not asked");
    query.between = Some(Exclusion { matching: EventMatch::default(), after_step: 1, before_step: 3 });
    assert_eq!(times(&query), [(0, 1)], "step 2 itself is none of them");
}

#[test]
fn sessions_are_windows_and_counted() {
    let text = "
        1 5 10:00 A
        1 5 10:20 X
        1 5 10:40 B
        1 5 12:00 A
        1 5 12:05 A
        1 5 12:10 B
        1 5 13:00 A
        1 5 14:00 B
        2 5 23:50 A
        2 6 00:05 B";
    let mut query = funnel(&["A", "B"], 1, WindowUnit::Session);
    query.count = Count::Sessions;
    assert_eq!(counts(&query, text), [4, 2], "midnight ends a session");
    query.window.count = 2;
    assert_eq!(counts(&query, text), [4, 4]);
    query.count = Count::Unique;
    query.window.count = 1;
    assert_eq!(counts(&query, text), [2, 1]);
    // The session began before the range: it is not cut by it.
    query.range = days(6, 6);
    query.sessions = SessionRule::Timeout { minutes: 1_440 };
    assert_eq!(counts(&query, text), [0, 0]);
}

#[test]
fn steps_in_any_order_are_told_in_the_order_taken() {
    let text = "
        1 5 10:00 Name
        1 5 10:05 Mail
        1 5 10:10 Send
        2 5 10:00 Mail
        2 5 10:20 Name
        3 5 10:00 Mail
        3 5 10:20 Send";
    let mut query = hour(&["Name", "Mail", "Send"]);
    assert_eq!(counts(&query, text), [2, 1, 1]);
    query.steps[0].any_order = true;
    query.steps[1].any_order = true;
    let table = ask(&query, text);
    assert_eq!(table.overall.steps.iter().map(|step| step.count).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(table.overall.steps[1].median_ms_from_previous, Some(300_000));
}

#[test]
fn significance_is_the_larger_tail() {
    // Nine red of ten socks, out of ten red and ten blue: 101 of 184,756 ways give as many or more.
    let fewer = 1.0 - 101.0 / 184_756.0;
    assert!((significance(20, 10, 10, 9) - fewer).abs() < 1e-12);
    assert!((significance(20, 10, 10, 1) - fewer).abs() < 1e-12, "and the mirror image");
    assert!((significance(20, 10, 10, 5) - significance(20, 10, 10, 5)).abs() < 1e-12);
    assert!(significance(20, 10, 10, 5) < 0.5);
    assert_eq!(significance(100, 0, 40, 0), 0.0);
    assert_eq!(significance(100, 100, 40, 40), 0.0);
    assert_eq!(significance(2_000_000, 1_000_000, 1_000_000, 1_000_000), 1.0);
    assert!(significance(1_000_000, 300_000, 100_000, 30_500) > 0.999);
}

#[test]
fn small_segments_are_not_compared() {
    let mut text = String::new();
    for person in 0..61 {
        let plan = if person < 30 { "a" } else { "b" };
        text += &format!("{person} 5 10:00 A plan={plan}\n");
        if person % 3 == 0 || plan == "a" {
            text += &format!("{person} 5 10:01 B\n");
        }
    }
    let mut query = hour(&["A", "B"]);
    query.breakdown = by(&["plan"], 10);
    let table = ask(&query, &text);
    assert!(table.segments.iter().all(|segment| segment.significance.is_some_and(|sure| sure > 0.95)));
    let fewer = ask(&query, &text.lines().skip(2).map(|line| format!("{line}\n")).collect::<String>());
    assert!(fewer.segments.iter().all(|segment| segment.significance.is_none()));
}

#[test]
fn questions_that_make_no_sense_are_refused() {
    let refused = |change: &dyn Fn(&mut FunnelQuery)| {
        let mut query = hour(&["A", "B", "C"]);
        change(&mut query);
        let answer = ask_in("UTC", "", &Query::Funnel(query), &People::default());
        assert!(matches!(answer, Err(Error::Invalid(_))), "{answer:?}");
    };
    let exclude = |after_step, before_step| Exclusion { matching: named("X"), after_step, before_step };
    refused(&|query| query.steps.truncate(1));
    refused(&|query| query.window.count = 0);
    refused(&|query| query.window = Window { count: 367, unit: WindowUnit::Day });
    refused(&|query| query.window = Window { count: 13, unit: WindowUnit::Session });
    refused(&|query| query.exclusions = vec![exclude(0, 1)]);
    refused(&|query| query.exclusions = vec![exclude(2, 2)]);
    refused(&|query| query.exclusions = vec![exclude(1, 4)]);
    refused(&|query| query.between = Some(exclude(3, 4)));
    refused(&|query| query.attribution = Attribution::Step { step: 4 });
    refused(&|query| query.hold_constant = vec!["p".to_owned(); 4]);
    refused(&|query| query.breakdown = by(&[], 1));
    refused(&|query| {
        query.count = Count::Sessions;
        query.sessions = SessionRule::Timeout { minutes: 0 };
    });
}
