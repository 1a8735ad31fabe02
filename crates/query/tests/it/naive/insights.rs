//! Insights: a number per metric, segment and bucket of time, each computed anew from all events.

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_model::query::*;
use cofferdam_model::result::{Compared, InsightsTable, Number, Segment, Series};
use cofferdam_model::{SealedEvent, SubjectNo};

use super::{Naive, Segments, folded, mean, number, percentile, property, texts};
use crate::world::Person;

/// Values by bucket, and the total.
type Line = (Vec<Option<f64>>, Option<f64>);

type Bucket = (i64, i64);

impl Naive<'_> {
    pub(crate) fn insights(&self, query: &InsightsQuery) -> InsightsTable {
        let world = self.world;
        let bounds = world.bounds(query.range, world.now_us);
        let buckets = world.buckets(bounds, query.unit);
        let mut segments_omitted = 0;
        // Without a breakdown there is one segment, of everything.
        let mut kept: Vec<Segments> = vec![Vec::new()];
        let mut shown = kept.clone();
        if let Some(breakdown) = &query.breakdown {
            let mut order: Vec<(Segments, f64)> = self.weights(query, breakdown, bounds).into_iter().collect();
            order.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            kept = order.iter().take(breakdown.limit as usize).map(|(name, _)| name.clone()).collect();
            segments_omitted = (order.len() - kept.len()) as u32;
            shown = kept.clone();
            if segments_omitted > 0 {
                shown.push(vec![Segment::Other]);
            }
        }
        let compared = query.compare.map(|compare| {
            let bounds = self.earlier(query.range, bounds, compare);
            let buckets = world.buckets(bounds, query.unit);
            Compared {
                series: self.lines(query, bounds, &buckets, &shown, &kept),
                buckets: buckets.iter().map(|(start, _)| world.local(*start)).collect(),
            }
        });
        InsightsTable {
            buckets: buckets.iter().map(|(start, _)| world.local(*start)).collect(),
            last_incomplete: bounds.1 > world.now_us,
            series: self.lines(query, bounds, &buckets, &shown, &kept),
            segments_omitted,
            compared,
            hidden_below: None,
        }
    }

    /// The lines of these segments, of the range or of the period it is compared with.
    pub(crate) fn given(&self, query: &InsightsQuery, shown: &[Segments], compare: Option<Compare>) -> Vec<Series> {
        let bounds = self.world.bounds(query.range, self.world.now_us);
        let bounds = compare.map_or(bounds, |compare| self.earlier(query.range, bounds, compare));
        let kept: Vec<Segments> = shown.iter().filter(|name| **name != [Segment::Other]).cloned().collect();
        self.lines(query, bounds, &self.world.buckets(bounds, query.unit), shown, &kept)
    }

    /// By metric: how many persons have an event, by bucket and in all, that only some of the filters take out.
    pub(crate) fn outside(
        &self,
        query: &InsightsQuery,
        is_confined: &dyn Fn(&Filter) -> bool,
        compare: Option<Compare>,
    ) -> Vec<Vec<f64>> {
        let bounds = self.world.bounds(query.range, self.world.now_us);
        let bounds = compare.map_or(bounds, |compare| self.earlier(query.range, bounds, compare));
        let mut open = query.clone();
        open.filters.retain(|filter| !is_confined(filter));
        open.metrics.iter_mut().for_each(|metric| metric.matching.filters.retain(|filter| !is_confined(filter)));
        let buckets = self.world.buckets(bounds, query.unit);
        let metrics = query.metrics.iter().zip(&open.metrics);
        let of = |(metric, wider): (&Metric, &Metric), time: Bucket| {
            let lacks = |person: &&Person| {
                self.matching(&open, wider, person, time).len() > self.matching(query, metric, person, time).len()
            };
            self.persons.iter().filter(|person| person.no != SubjectNo::NOBODY).filter(lacks).count() as f64
        };
        metrics.map(|both| buckets.iter().chain([&bounds]).map(|time| of(both, *time)).collect()).collect()
    }

    /// How much weight a segment has: its events; for what is about persons, its persons; for a sum, the sum. Those of
    /// all metrics are added up.
    fn weights(&self, query: &InsightsQuery, breakdown: &Breakdown, bounds: Bucket) -> BTreeMap<Segments, f64> {
        let mut weights: BTreeMap<Segments, f64> = BTreeMap::new();
        for metric in &query.metrics {
            if let Measure::Active { days } = metric.measure {
                // Only events in days that count for some bucket.
                let buckets = self.world.buckets(bounds, query.unit);
                let times: Vec<Bucket> = buckets.iter().map(|bucket| self.active_days(*bucket, days)).collect();
                let mut persons: BTreeMap<Segments, BTreeSet<SubjectNo>> = BTreeMap::new();
                for person in self.somebody() {
                    for event in times.iter().flat_map(|time| self.matching(query, metric, person, *time)) {
                        for name in self.segments(person.no, &event, &breakdown.by) {
                            persons.entry(name).or_default().insert(person.no);
                        }
                    }
                }
                persons.into_iter().for_each(|(name, persons)| {
                    *weights.entry(name).or_default() += persons.len() as f64;
                });
                continue;
            }
            let measure = match &metric.measure {
                Measure::Unique | Measure::PerPerson { .. } => Measure::Unique,
                Measure::Sum { property } => Measure::Sum { property: property.clone() },
                Measure::Sessions => Measure::Sessions,
                _ => Measure::Total,
            };
            let touch_every = InsightsQuery {
                breakdown: Some(Breakdown { touch: Touch::Every, ..breakdown.clone() }),
                ..query.clone()
            };
            let counted = Metric { measure, ..metric.clone() };
            let about_persons = matches!(counted.measure, Measure::Unique | Measure::Sessions);
            let mut names = BTreeSet::new();
            for person in self.persons.iter().filter(|person| !about_persons || person.no != SubjectNo::NOBODY) {
                for event in self.matching(query, metric, person, bounds) {
                    names.extend(self.segments(person.no, &event, &breakdown.by));
                }
            }
            for name in names {
                let weight = self.measure(&touch_every, &counted, bounds, &name, None).unwrap_or_default();
                // Events in no session are in no number of sessions.
                if weight != 0.0 || counted.measure != Measure::Sessions {
                    *weights.entry(name).or_default() += weight;
                }
            }
        }
        weights
    }

    /// The start of a bucket's last day; of today, when the bucket is not over.
    fn last_day(&self, bucket: Bucket) -> i64 {
        let now = self.world.now_us;
        let last = if bucket.0 <= now { now.min(bucket.1 - 1) } else { bucket.1 - 1 };
        self.world.floor(last, Unit::Day)
    }

    fn active_days(&self, bucket: Bucket, days: u16) -> Bucket {
        let last_day = self.last_day(bucket);
        let back = 1 - i64::from(days);
        (self.world.shifted(last_day, Unit::Day, back), self.world.shifted(last_day, Unit::Day, 1))
    }

    fn earlier(&self, range: DateRange, bounds: Bucket, compare: Compare) -> Bucket {
        let world = self.world;
        match compare {
            Compare::Ago { count, unit } => {
                let by = -i64::from(count);
                match unit {
                    Unit::Week => (world.shifted(bounds.0, Unit::Week, by), world.shifted(bounds.1, Unit::Week, by)),
                    // The last day of the range moves, not the day after it.
                    Unit::Month => {
                        let last = world.shifted(bounds.1, Unit::Day, -1);
                        let last = world.shifted(last, Unit::Month, by);
                        (world.shifted(bounds.0, Unit::Month, by), world.shifted(last, Unit::Day, 1))
                    }
                    _ => (world.shifted(bounds.0, unit, by), world.shifted(bounds.1, unit, by)),
                }
            }
            Compare::PreviousPeriod => match range {
                DateRange::Last { count, unit } => (world.shifted(bounds.0, unit, -i64::from(count)), bounds.0),
                DateRange::Between { from, to } => {
                    let days = i64::from((to - from).get_days()) + 1;
                    (world.shifted(bounds.0, Unit::Day, -days), bounds.0)
                }
            },
        }
    }

    fn lines(
        &self,
        query: &InsightsQuery,
        bounds: Bucket,
        buckets: &[Bucket],
        shown: &[Segments],
        kept: &[Segments],
    ) -> Vec<Series> {
        let before = match query.transform {
            Some(Transform::Rolling { buckets }) => buckets as usize - 1,
            _ => 0,
        };
        let mut long = buckets.to_vec();
        for back in 1..=before as i64 {
            long.insert(0, (self.world.shifted(bounds.0, query.unit, -back), long[0].0));
        }
        let mut series = Vec::new();
        // By (segment, metric): formulas need all metrics of a segment.
        let mut values: BTreeMap<(usize, usize), Line> = BTreeMap::new();
        for (at, segment) in shown.iter().enumerate() {
            for (index, metric) in query.metrics.iter().enumerate() {
                let fold = query.breakdown.as_ref().map(|_| kept);
                let each: Vec<Option<f64>> =
                    long.iter().map(|bucket| self.measure(query, metric, *bucket, segment, fold)).collect();
                let total = match metric.measure {
                    Measure::Active { .. } | Measure::CohortSize { .. } => *each.last().unwrap(),
                    _ => self.measure(query, metric, bounds, segment, fold),
                };
                values.insert((at, index), (each, total));
            }
            for (index, formula) in query.formulas.iter().enumerate() {
                let of =
                    |pick: &dyn Fn(&Line) -> Option<f64>| evaluate(formula, &|metric| pick(&values[&(at, metric)]));
                let each = (0..long.len()).map(|bucket| of(&|cell| cell.0[bucket])).collect();
                let total = of(&|cell| cell.1);
                values.insert((at, query.metrics.len() + index), (each, total));
            }
        }
        for metric in 0..query.metrics.len() + query.formulas.len() {
            for (at, segment) in shown.iter().enumerate() {
                let (each, total) = &values[&(at, metric)];
                let mut shown: Vec<Option<f64>> = each[before..].to_vec();
                match query.transform {
                    None => {}
                    Some(Transform::Cumulative) => {
                        let mut sum: Option<f64> = None;
                        for value in &mut shown {
                            sum = value.map(|value| value + sum.unwrap_or_default()).or(sum);
                            *value = sum;
                        }
                    }
                    Some(Transform::Rolling { .. }) => {
                        for (at, value) in shown.iter_mut().enumerate() {
                            *value = mean(&each[at..=at + before].iter().flatten().copied().collect::<Vec<_>>());
                        }
                    }
                }
                series.push(Series {
                    metric: metric as u32,
                    segment: segment.clone(),
                    values: shown.into_iter().map(|value| value.map(Number)).collect(),
                    total: total.map(Number),
                });
            }
        }
        series
    }

    /// The events of a person within a time that a metric means.
    fn matching(&self, query: &InsightsQuery, metric: &Metric, person: &Person, time: Bucket) -> Vec<SealedEvent> {
        let of_sessions = metric.matching.event.as_deref().is_some_and(|name| name.starts_with("$session_"));
        let events = if of_sessions { self.session_events(person, &query.sessions) } else { person.events.clone() };
        events
            .into_iter()
            .filter(|event| (time.0..time.1).contains(&event.time_us))
            .filter(|event| self.matches(person.no, event, &metric.matching))
            .filter(|event| self.passes_all(person.no, event, &query.filters))
            .collect()
    }

    /// One number: of a metric, over a bucket, in a segment.
    fn measure(
        &self,
        query: &InsightsQuery,
        metric: &Metric,
        bucket: Bucket,
        segment: &Segments,
        kept: Option<&[Segments]>,
    ) -> Option<f64> {
        let in_segment = |person: &Person, event: &SealedEvent| match &query.breakdown {
            None => true,
            Some(breakdown) => {
                let names = self.segments(person.no, event, &breakdown.by);
                kept.map_or_else(|| names.clone(), |kept| folded(names.clone(), kept)).contains(segment)
            }
        };
        let found = |person: &Person, bucket: Bucket| -> Vec<SealedEvent> {
            let mut events = self.matching(query, metric, person, bucket);
            events.retain(|event| in_segment(person, event));
            events
        };
        let all = || self.persons.iter().flat_map(|person| found(person, bucket)).collect::<Vec<_>>();
        let numbers = |property: &str| all().iter().filter_map(|event| number(event, property)).collect::<Vec<_>>();
        match &metric.measure {
            Measure::Total => Some(all().len() as f64),
            Measure::Unique => {
                let touch = query.breakdown.as_ref().map(|breakdown| breakdown.touch).unwrap_or_default();
                let counts = |person: &&Person| {
                    let events = self.matching(query, metric, person, bucket);
                    match touch {
                        Touch::Every => events.iter().any(|event| in_segment(person, event)),
                        Touch::First => events.first().is_some_and(|event| in_segment(person, event)),
                        Touch::Last => events.last().is_some_and(|event| in_segment(person, event)),
                    }
                };
                Some(self.somebody().filter(counts).count() as f64)
            }
            Measure::Sessions => {
                let mut count = 0;
                for person in self.somebody() {
                    for session in self.sessions(person, &query.sessions) {
                        // The first matching event of the session decides about its bucket.
                        let first = session.iter().map(|at| &person.events[*at]).find(|event| {
                            self.matches(person.no, event, &metric.matching)
                                && self.passes_all(person.no, event, &query.filters)
                                && in_segment(person, event)
                        });
                        count += usize::from(first.is_some_and(|event| (bucket.0..bucket.1).contains(&event.time_us)));
                    }
                }
                Some(count as f64)
            }
            Measure::Active { days } => {
                let window = self.active_days(bucket, *days);
                Some(self.somebody().filter(|person| !found(person, window).is_empty()).count() as f64)
            }
            Measure::Sum { property } => Some(numbers(property).iter().sum()),
            Measure::Average { property } => mean(&numbers(property)),
            Measure::Median { property } => percentile(&numbers(property), 50.0),
            Measure::Min { property } => percentile(&numbers(property), 0.0),
            Measure::Max { property } => percentile(&numbers(property), 100.0),
            Measure::Percentile { property, percent } => percentile(&numbers(property), *percent),
            Measure::Distinct { property } => Some(distinct(&all(), property) as f64),
            Measure::PerPerson { each, then } => {
                let per_person: Vec<f64> =
                    self.somebody().filter_map(|person| self.of_person(each, &found(person, bucket))).collect();
                match then {
                    Aggregate::Sum => Some(per_person.iter().sum()),
                    Aggregate::Average => mean(&per_person),
                    Aggregate::Median => percentile(&per_person, 50.0),
                    Aggregate::Min => percentile(&per_person, 0.0),
                    Aggregate::Max => percentile(&per_person, 100.0),
                    Aggregate::Percentile { percent } => percentile(&per_person, *percent),
                }
            }
            Measure::CohortSize { cohort } => {
                // Up to and including now, when the bucket is not over.
                let as_of = bucket.1.min(self.world.now_us + 1);
                let members = self.population().into_iter().filter(|person| self.is_member(*person, cohort, as_of));
                Some(members.count() as f64)
            }
        }
    }

    fn of_person(&self, each: &PersonMeasure, events: &[SealedEvent]) -> Option<f64> {
        let parts = |unit: Unit| {
            let parts: BTreeSet<i64> = events.iter().map(|event| self.world.floor(event.time_us, unit)).collect();
            parts.len() as f64
        };
        let numbers = |property: &str| events.iter().filter_map(|event| number(event, property)).collect::<Vec<_>>();
        if events.is_empty() {
            return None;
        }
        match each {
            PersonMeasure::Total => Some(events.len() as f64),
            PersonMeasure::Hours => Some(parts(Unit::Hour)),
            PersonMeasure::Days => Some(parts(Unit::Day)),
            PersonMeasure::Sum { property } => {
                let numbers = numbers(property);
                (!numbers.is_empty()).then(|| numbers.iter().sum())
            }
            PersonMeasure::Average { property } => mean(&numbers(property)),
            PersonMeasure::Min { property } => percentile(&numbers(property), 0.0),
            PersonMeasure::Max { property } => percentile(&numbers(property), 100.0),
            PersonMeasure::Distinct { property } => {
                let values = distinct(events, property);
                (values > 0).then_some(values as f64)
            }
        }
    }
}

fn distinct(events: &[SealedEvent], name: &str) -> usize {
    let values: BTreeSet<String> = events.iter().filter_map(|event| property(event, name)).flat_map(texts).collect();
    values.len()
}

/// Arithmetic over metrics by name: A, B, …, Z, AA, …
fn evaluate(formula: &str, metric: &dyn Fn(usize) -> Option<f64>) -> Option<f64> {
    let text: Vec<char> = formula.chars().filter(|character| !character.is_whitespace()).collect();
    let mut at = 0;
    let value = sum(&text, &mut at, metric);
    assert_eq!(at, text.len(), "a formula is read to its end: {formula}");
    value
}

fn sum(text: &[char], at: &mut usize, metric: &dyn Fn(usize) -> Option<f64>) -> Option<f64> {
    let mut value = product(text, at, metric);
    while let Some(sign @ ('+' | '-' | '−')) = text.get(*at) {
        *at += 1;
        let right = product(text, at, metric);
        value = value.zip(right).map(|(left, right)| if *sign == '+' { left + right } else { left - right });
    }
    value
}

fn product(text: &[char], at: &mut usize, metric: &dyn Fn(usize) -> Option<f64>) -> Option<f64> {
    let mut value = factor(text, at, metric);
    while let Some(sign @ ('*' | '/')) = text.get(*at) {
        *at += 1;
        let right = factor(text, at, metric);
        value = value.zip(right).and_then(|(left, right)| match sign {
            '*' => Some(left * right),
            _ => (right != 0.0).then(|| left / right),
        });
    }
    value
}

fn factor(text: &[char], at: &mut usize, metric: &dyn Fn(usize) -> Option<f64>) -> Option<f64> {
    let start = *at;
    match text[start] {
        '-' => {
            *at += 1;
            factor(text, at, metric).map(|value| -value)
        }
        '(' => {
            *at += 1;
            let value = sum(text, at, metric);
            assert_eq!(text[*at], ')');
            *at += 1;
            value
        }
        'A'..='Z' => {
            let mut index = 0;
            while let Some(letter @ 'A'..='Z') = text.get(*at) {
                index = index * 26 + (*letter as usize - 'A' as usize) + 1;
                *at += 1;
            }
            metric(index - 1)
        }
        _ => {
            while text.get(*at).is_some_and(|digit| digit.is_ascii_digit() || *digit == '.') {
                *at += 1;
            }
            Some(text[start..*at].iter().collect::<String>().parse().unwrap())
        }
    }
}
