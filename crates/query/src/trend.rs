//! Insights: measures of events and of persons per bucket of time.
//!
//! 1. The range is cut into buckets; a rolling mean puts as many before it as it looks back on.
//! 2. Metrics with equal demands share a walk of the snapshot, 32 kinds of events at most: rows in any order for what
//!    is about events (total, sum, percentiles, …), persons in any order for uniques and numbers per person, persons
//!    with ordered rows where order matters, and with all their events where sessions do.
//! 3. With a breakdown, a first round of walks weighs every segment (events, persons, or the sum of a sum), the
//!    weights of all metrics are added up, and the heaviest segments are lines of the second round. The others are
//!    one line, `other`, counted as exactly as any: a person with two of them is there once. Persons by a text with
//!    few values need one round only ([`once`]).
//! 4. Each thread fills tables of its own, [`State`], which are then merged. Sums are exact before they are rounded,
//!    so that the answer does not depend on threads, segments or order.
//! 5. Formulas, then the transform, are arithmetic on the lines.
//!
//! Bounds: 20,000 buckets and a million values per answer, whatever the unit. Hours over years are allowed: they are
//! exact and fit.

use cofferdam_lake::Codes;
use cofferdam_model::query::{
    Aggregate, Breakdown, Compare, DateRange, EventMatch, Filter, Holder, InsightsQuery, Measure, PersonMeasure, Touch,
    Transform, Unit,
};
use cofferdam_model::result::{Compared, InsightsTable, Number, Segment, Series};
use cofferdam_model::{SubjectNo, Value, limits};
use jiff::{Span as Length, Timestamp};
use rustc_hash::FxHashMap;

use crate::formula::Formula;
use crate::measure::{self, Axis, Exact};
use crate::scan::{Hit, Person, Scan, Span};
use crate::sessions::{self, Cutter};
use crate::split::{self, Split};
use crate::tags::{MATCHERS_MAX, Tags, ValueTest};
use crate::values::{Numbers, Values};
use crate::{Error, Input, Result, calendar, check_filters, check_match, cohort, invalid};

mod few;
mod once;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use few::{is_possible as can_leave_few_out, run as run_without_few};
use once::Once;
use state::{Marks, Room, Share, State, Weigh, Weights};

/// Events that are made of sessions, and what only they have.
const SESSION_START: &str = "$session_start";
const SESSION_END: &str = "$session_end";
const DURATION: &str = "$duration_s";
const EVENT_COUNT: &str = "$event_count";
const ORIGIN_START: &str = "$origin_start";
const ORIGIN_END: &str = "$origin_end";

pub(crate) fn run(input: &Input<'_>, query: &InsightsQuery) -> Result<InsightsTable> {
    let formulas = check(query)?;
    let (from, to) = calendar::bounds(query.range, input.zone, input.now_us)?;
    let period = Period::new(input, query, from, to)?;
    let answer = answer(input, query, &formulas, &period, None)?;
    let compared = match query.compare {
        None => None,
        Some(compare) => {
            let (from, to) = earlier(input, query.range, compare, (from, to))?;
            let period = Period::new(input, query, from, to)?;
            let answer = self::answer(input, query, &formulas, &period, Some(&answer.segments))?;
            Some(Compared { buckets: period.texts(input), series: answer.series })
        }
    };
    Ok(InsightsTable {
        buckets: period.texts(input),
        last_incomplete: to > input.now_us,
        series: answer.series,
        segments_omitted: answer.segments_omitted,
        compared,
        hidden_below: None,
    })
}

fn check(query: &InsightsQuery) -> Result<Vec<Formula>> {
    if query.metrics.is_empty() || query.metrics.len() > limits::METRICS_MAX {
        return invalid(format!("ask for 1 to {} metrics", limits::METRICS_MAX));
    }
    if query.formulas.len() > limits::FORMULAS_MAX {
        return invalid(format!("at most {} formulas", limits::FORMULAS_MAX));
    }
    check_filters(&query.filters)?;
    split::check(query.breakdown.as_ref())?;
    query.metrics.iter().try_for_each(|metric| {
        check_match(&metric.matching)?;
        check_measure(&metric.measure)
    })?;
    if query.metrics.iter().any(|metric| matches!(metric.measure, Measure::CohortSize { .. })) {
        if query.breakdown.is_some() {
            return invalid("the size of a cohort cannot be broken down: ask for it without a breakdown");
        }
        if query.filters.iter().any(|filter| filter.on == Holder::Event) {
            return invalid("filters on events do not apply to the size of a cohort: put them into the other metrics");
        }
    }
    let made_of_sessions = query.metrics.iter().any(|metric| Source::of(&metric.matching) != Source::Rows);
    let mut by = query.breakdown.iter().flat_map(|breakdown| &breakdown.by);
    let session_property =
        |name: &str| [DURATION, EVENT_COUNT, ORIGIN_START, ORIGIN_END].contains(&name) && made_of_sessions;
    if let Some(by) = by.find(|by| by.on == Holder::Event && session_property(&by.property)) {
        return invalid(format!("sessions cannot be broken down by {}: filter by it instead", by.property));
    }
    match query.transform {
        Some(Transform::Rolling { buckets }) if !(2..=limits::ROLLING_BUCKETS_MAX).contains(&buckets) => {
            return invalid(format!("a rolling mean is over 2 to {} buckets", limits::ROLLING_BUCKETS_MAX));
        }
        _ => {}
    }
    let parse = |text: &String| Formula::parse(text, query.metrics.len()).map_err(Error::Invalid);
    query.formulas.iter().map(parse).collect()
}

fn check_measure(measure: &Measure) -> Result<()> {
    let percent = |percent: f64| match (0.0..=100.0).contains(&percent) {
        true => Ok(()),
        false => invalid("a percentile is from 0 to 100"),
    };
    let property = |property: &str| match property.is_empty() || property.len() > limits::NAME_BYTES_MAX {
        true => invalid(format!("a measure's property must have 1 to {} bytes", limits::NAME_BYTES_MAX)),
        false => Ok(()),
    };
    match measure {
        Measure::Total | Measure::Unique | Measure::Sessions | Measure::CohortSize { .. } => Ok(()),
        Measure::Active { days } if *days == 0 || *days > limits::ACTIVE_DAYS_MAX => {
            invalid(format!("active persons are those of 1 to {} days", limits::ACTIVE_DAYS_MAX))
        }
        Measure::Active { .. } => Ok(()),
        Measure::Percentile { property: name, percent: share } => {
            percent(*share)?;
            property(name)
        }
        Measure::Sum { property: name }
        | Measure::Average { property: name }
        | Measure::Median { property: name }
        | Measure::Min { property: name }
        | Measure::Max { property: name }
        | Measure::Distinct { property: name } => property(name),
        Measure::PerPerson { each, then } => {
            if let Aggregate::Percentile { percent: share } = then {
                percent(*share)?;
            }
            match each {
                PersonMeasure::Total | PersonMeasure::Hours | PersonMeasure::Days => Ok(()),
                PersonMeasure::Sum { property: name }
                | PersonMeasure::Average { property: name }
                | PersonMeasure::Min { property: name }
                | PersonMeasure::Max { property: name }
                | PersonMeasure::Distinct { property: name } => property(name),
            }
        }
    }
}

/// The range to compare with. "The last three months" are compared with the three before them, any other range with
/// as many days (or, where it is no whole days, as much time).
fn earlier(input: &Input<'_>, range: DateRange, compare: Compare, (from, to): (i64, i64)) -> Result<(i64, i64)> {
    let (count, unit) = match (compare, range) {
        (Compare::Ago { count, unit }, _) => (count, unit),
        (Compare::PreviousPeriod, DateRange::Last { count, unit }) => (count, unit),
        (Compare::PreviousPeriod, DateRange::Between { from, to }) => {
            let days = from.until(to).map_or(0, |length| length.get_days()).unsigned_abs();
            (days + 1, Unit::Day)
        }
    };
    if count == 0 {
        return invalid("compare with a period at least one unit ago");
    }
    let back = -i64::from(count);
    let start = moved(input, from, unit, back)?;
    let mut end = match compare {
        Compare::PreviousPeriod => from,
        Compare::Ago { .. } => moved(input, to, unit, back)?,
    };
    if end <= start {
        // 29 to 31 March, a month ago, are all the last day of February.
        end = calendar::aligned(start, Unit::Day, 1, input.zone)?;
    }
    Ok((start, end))
}

/// The same civil time some units later; minutes and hours are lengths of time.
fn moved(input: &Input<'_>, instant_us: i64, unit: Unit, units: i64) -> Result<i64> {
    let beyond = |_: jiff::Error| Error::Invalid("the range reaches beyond the calendar".to_owned());
    let length = match unit {
        Unit::Minute => return Ok(instant_us.saturating_add(units.saturating_mul(60_000_000))),
        Unit::Hour => return Ok(instant_us.saturating_add(units.saturating_mul(3_600_000_000))),
        Unit::Day => Length::new().try_days(units),
        Unit::Week => Length::new().try_weeks(units),
        Unit::Month => Length::new().try_months(units),
    };
    let civil = Timestamp::from_microsecond(instant_us).map_err(beyond)?.to_zoned(input.zone.clone()).datetime();
    let civil = civil.checked_add(length.map_err(beyond)?).map_err(beyond)?;
    let zoned = input.zone.to_ambiguous_zoned(civil).compatible().map_err(beyond)?;
    Ok(zoned.timestamp().as_microsecond())
}

/// The buckets of a range, with those before it that a rolling mean needs.
struct Period {
    axis: Axis,
    /// Buckets before the range.
    lead: usize,
}

impl Period {
    fn new(input: &Input<'_>, query: &InsightsQuery, from: i64, to: i64) -> Result<Period> {
        let lead = match query.transform {
            Some(Transform::Rolling { buckets }) => i64::from(buckets) - 1,
            _ => 0,
        };
        let mut starts =
            (0..lead).map(|step| moved(input, from, query.unit, step - lead)).collect::<Result<Vec<i64>>>()?;
        // Two months before the 31st and the 30th may begin on one day.
        starts.dedup();
        let lead = starts.len();
        starts.extend(calendar::cut(from, to, query.unit, input.zone)?.starts);
        Ok(Period { axis: Axis::new(starts), lead })
    }

    fn start_us(&self) -> i64 {
        self.axis.starts()[0]
    }

    fn end_us(&self) -> i64 {
        self.axis.starts()[self.axis.len()]
    }

    fn texts(&self, input: &Input<'_>) -> Vec<String> {
        let starts = &self.axis.starts()[self.lead..self.axis.len()];
        starts.iter().map(|start| calendar::local_text(*start, input.zone)).collect()
    }
}

struct Answer {
    series: Vec<Series>,
    /// Of the lines of a metric, in order.
    segments: Vec<Vec<Segment>>,
    segments_omitted: u32,
}

/// The lines of a period: the largest segments, or the given ones.
fn answer(
    input: &Input<'_>,
    query: &InsightsQuery,
    formulas: &[Formula],
    period: &Period,
    given: Option<&[Vec<Segment>]>,
) -> Result<Answer> {
    let mut plan = Plan::new(input, query, period)?;
    let mut segments = vec![Vec::new()];
    let mut segments_omitted = 0;
    let mut once = None;
    if let Some(breakdown) = &query.breakdown {
        once = if given.is_none() { Once::count(&plan)? } else { None };
        (segments, segments_omitted) = plan.choose_segments(breakdown, given, once.as_ref())?;
    }
    let values = (query.metrics.len() + formulas.len()).saturating_mul(segments.len()).saturating_mul(plan.stride());
    if values > limits::INSIGHTS_VALUES_MAX {
        return invalid(format!(
            "the answer would have more than {} values: choose a longer unit, a shorter range, fewer segments or \
             fewer metrics",
            limits::INSIGHTS_VALUES_MAX
        ));
    }
    let counted = once.zip(plan.breakdown.as_ref()).map(|(once, kept)| vec![once.lines(&kept.split, segments.len())]);
    let mut lines = match counted {
        Some(lines) => lines,
        None => plan.count(segments.len())?,
    };
    for formula in formulas {
        let line = formula_lines(formula, &lines[..query.metrics.len()], segments.len());
        lines.push(line);
    }
    let mut series = Vec::new();
    for (metric, lines) in lines.into_iter().enumerate() {
        for (line, segment) in lines.into_iter().zip(&segments) {
            let values = match query.transform {
                None => line.values,
                Some(transform) => transformed(&line.values, transform, period.lead),
            };
            series.push(Series {
                metric: metric as u32,
                segment: segment.clone(),
                values: values[period.lead..].iter().map(|value| value.map(Number)).collect(),
                total: line.total.map(Number),
            });
        }
    }
    Ok(Answer { series, segments, segments_omitted })
}

/// A metric or formula of one segment, buckets before the range included.
#[derive(Clone, Debug)]
struct Line {
    values: Vec<Option<f64>>,
    total: Option<f64>,
}

fn formula_lines(formula: &Formula, metrics: &[Vec<Line>], lines: usize) -> Vec<Line> {
    let mut stack = Vec::new();
    let mut of_line = |line: usize| {
        let buckets = metrics[0][line].values.len();
        let values = (0..buckets).map(|at| formula.value(|metric| metrics[metric][line].values[at], &mut stack));
        Line { values: values.collect(), total: formula.value(|metric| metrics[metric][line].total, &mut stack) }
    };
    (0..lines).map(&mut of_line).collect()
}

fn transformed(values: &[Option<f64>], transform: Transform, lead: usize) -> Vec<Option<f64>> {
    match transform {
        Transform::Rolling { buckets } => (0..values.len())
            .map(|at| {
                let behind = &values[(at + 1).saturating_sub(buckets as usize)..=at];
                let count = behind.iter().flatten().count();
                (count > 0).then(|| behind.iter().flatten().sum::<f64>() / count as f64)
            })
            .collect(),
        Transform::Cumulative => {
            let mut sum = None;
            let running = values.iter().enumerate().map(|(at, value)| {
                if at >= lead && value.is_some() {
                    sum = Some(sum.unwrap_or(0.0) + value.unwrap_or(0.0));
                }
                sum
            });
            running.collect()
        }
    }
}

/// What a metric's events are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Rows,
    SessionStart,
    SessionEnd,
}

impl Source {
    fn of(matching: &EventMatch) -> Source {
        match matching.event.as_deref() {
            Some(SESSION_START) => Source::SessionStart,
            Some(SESSION_END) => Source::SessionEnd,
            _ => Source::Rows,
        }
    }
}

/// How the snapshot is walked for a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walk {
    /// Rows, nobody's included.
    Rows,
    /// Persons, rows in any order.
    Persons,
    /// Persons with their rows from the earliest on.
    Forward,
    /// Or from the latest on.
    Backward,
    /// Persons with all their events, cut into sessions; `SessionsBackward` begins with the last.
    Sessions,
    SessionsBackward,
}

/// A metric, prepared.
struct Job<'a> {
    /// Index into the query's metrics.
    metric: usize,
    source: Source,
    measure: &'a Measure,
    touch: Touch,
    /// Conditions on what only sessions have.
    tests: Vec<(&'a str, ValueTest, bool)>,
    number: Option<NumberOf>,
    value: Option<ValueOf>,
    /// Hours or days of a person.
    units: Option<Axis>,
    windows: Option<Windows>,
}

enum NumberOf {
    Property(Numbers),
    Duration,
    EventCount,
}

enum ValueOf {
    Property(Values),
    /// The name of a session's first or last event.
    Origin {
        last: bool,
        names: Names,
    },
    Number(NumberOf),
}

/// Event names as ids: the same name has the same id in every file.
struct Names {
    files: Vec<(Codes, Vec<u32>)>,
}

/// Trailing windows of days, one per bucket: both their starts and their ends ascend.
struct Windows {
    /// Cut at every start and end of a window.
    pieces: Axis,
    /// By piece: the windows that hold it, `low..high`.
    held: Vec<(u32, u32)>,
}

/// A session while it is looked at.
struct Visit<'a> {
    duration_s: f64,
    events: u32,
    first: &'a Hit,
    last: &'a Hit,
}

/// Metrics that share a walk.
struct Pass<'a> {
    walk: Walk,
    jobs: Vec<Job<'a>>,
    /// By bit of a tag: indices of jobs.
    by_bit: Vec<Vec<usize>>,
    tags: Tags,
    cutter: Option<Cutter>,
}

/// Everything that is known before something is counted.
struct Plan<'a> {
    input: &'a Input<'a>,
    query: &'a InsightsQuery,
    period: &'a Period,
    scan: Scan<'a>,
    passes: Vec<Pass<'a>>,
    breakdown: Option<Segments>,
}

struct Segments {
    split: Split,
    /// A segment depends on who a row belongs to.
    asks_person: bool,
    /// By slot: the line it is counted in. Absent: the slots themselves.
    lines: Option<Vec<Option<u32>>>,
    /// By file, where a look-up by code is enough.
    by_code: Vec<Option<ByCode>>,
}

/// The line of each code of a text; none: it is in no line.
struct ByCode {
    codes: Option<Codes>,
    lines: Vec<Option<u64>>,
    not_set: Option<u64>,
}

impl<'a> Plan<'a> {
    fn new(input: &'a Input<'a>, query: &'a InsightsQuery, period: &'a Period) -> Result<Plan<'a>> {
        let mut walks: Vec<(Walk, Vec<usize>)> = Vec::new();
        let (mut from, mut to) = (period.start_us(), period.end_us());
        for (index, metric) in query.metrics.iter().enumerate() {
            let Some(walk) = walk_of(query, &metric.measure, Source::of(&metric.matching)) else { continue };
            match walks.iter_mut().find(|(known, _)| *known == walk) {
                Some((_, metrics)) => metrics.push(index),
                None => walks.push((walk, vec![index])),
            }
            if let Measure::Active { days } = metric.measure {
                let windows = Windows::new(input, period, days)?;
                from = from.min(windows.pieces.starts()[0]);
                to = to.max(windows.pieces.starts()[windows.pieces.len()]);
            }
        }
        if walks.iter().any(|(walk, _)| matches!(walk, Walk::Sessions | Walk::SessionsBackward)) {
            let days = sessions::whole_days(input, from, to)?;
            (from, to) = (from.min(days.0), to.max(days.1));
        }
        let scan = Scan::new(input, from, to)?;
        let breakdown = match &query.breakdown {
            None => None,
            Some(breakdown) => {
                let asks_person = breakdown.by.iter().any(|by| by.on != Holder::Event);
                Some(Segments::new(&scan, Split::new(&scan, breakdown)?, asks_person, None))
            }
        };
        let mut plan = Plan { input, query, period, scan, passes: Vec::new(), breakdown };
        for (walk, metrics) in walks {
            plan.add_passes(walk, &metrics)?;
        }
        Ok(plan)
    }

    /// As many passes as the metrics' kinds of events need.
    fn add_passes(&mut self, walk: Walk, metrics: &[usize]) -> Result<()> {
        let rule = match walk {
            Walk::Sessions | Walk::SessionsBackward => sessions::matchers(&self.query.sessions)?,
            _ => Vec::new(),
        };
        let mut rest = metrics;
        while !rest.is_empty() {
            let mut matchers: Vec<(EventMatch, &[Filter])> =
                rule.iter().map(|matching| (matching.clone(), &[][..])).collect();
            let mut by_bit: Vec<Vec<usize>> = vec![Vec::new(); matchers.len()];
            let mut jobs = Vec::new();
            while let Some((&metric, later)) = rest.split_first() {
                let job = self.job(metric)?;
                let matcher = self.matcher(&job);
                let shared = matchers.iter().skip(rule.len()).position(|known| *known == matcher);
                let bit = shared.map_or(matchers.len(), |at| at + rule.len());
                if bit == MATCHERS_MAX {
                    break;
                }
                if shared.is_none() {
                    matchers.push(matcher);
                    by_bit.push(Vec::new());
                }
                by_bit[bit].push(jobs.len());
                jobs.push(job);
                rest = later;
            }
            let matchers: Vec<(&EventMatch, &[Filter])> = matchers.iter().map(|(own, more)| (own, *more)).collect();
            let tags = Tags::new(&self.scan, &matchers)?;
            let cutter = match walk {
                Walk::Sessions | Walk::SessionsBackward => Some(Cutter::new(&self.scan, &self.query.sessions, 0)?),
                _ => None,
            };
            self.passes.push(Pass { walk, jobs, by_bit, tags, cutter });
        }
        Ok(())
    }

    fn job(&self, metric: usize) -> Result<Job<'a>> {
        let query: &'a InsightsQuery = self.query;
        let matching = &query.metrics[metric].matching;
        let measure = &query.metrics[metric].measure;
        let source = Source::of(matching);
        let number = |property: &str| -> Result<Option<NumberOf>> {
            Ok(Some(match property {
                DURATION if source != Source::Rows => NumberOf::Duration,
                EVENT_COUNT if source != Source::Rows => NumberOf::EventCount,
                _ => NumberOf::Property(Numbers::new(&self.scan, property)?),
            }))
        };
        let value = |property: &str| -> Result<Option<ValueOf>> {
            Ok(Some(match property {
                DURATION if source != Source::Rows => ValueOf::Number(NumberOf::Duration),
                EVENT_COUNT if source != Source::Rows => ValueOf::Number(NumberOf::EventCount),
                ORIGIN_START | ORIGIN_END if source != Source::Rows => {
                    ValueOf::Origin { last: property == ORIGIN_END, names: Names::new(&self.scan) }
                }
                _ => ValueOf::Property(Values::new(&self.scan, property)?),
            }))
        };
        let mut job = Job {
            metric,
            source,
            measure,
            touch: query.breakdown.as_ref().map_or(Touch::Every, |breakdown| breakdown.touch),
            tests: Vec::new(),
            number: None,
            value: None,
            units: None,
            windows: None,
        };
        match measure {
            Measure::Total | Measure::Unique | Measure::Sessions | Measure::CohortSize { .. } => {}
            Measure::Active { days } => job.windows = Some(Windows::new(self.input, self.period, *days)?),
            Measure::Distinct { property } | Measure::PerPerson { each: PersonMeasure::Distinct { property }, .. } => {
                job.value = value(property)?;
            }
            Measure::Sum { property }
            | Measure::Average { property }
            | Measure::Median { property }
            | Measure::Min { property }
            | Measure::Max { property }
            | Measure::Percentile { property, .. } => job.number = number(property)?,
            Measure::PerPerson { each, .. } => match each {
                PersonMeasure::Sum { property }
                | PersonMeasure::Average { property }
                | PersonMeasure::Min { property }
                | PersonMeasure::Max { property } => job.number = number(property)?,
                PersonMeasure::Hours | PersonMeasure::Days => {
                    let unit = if *each == PersonMeasure::Hours { Unit::Hour } else { Unit::Day };
                    let (from, to) = (self.period.start_us(), self.period.end_us());
                    job.units = Some(Axis::new(measure::unit_starts(from, to, unit, self.input.zone)?));
                }
                PersonMeasure::Total | PersonMeasure::Distinct { .. } => {}
            },
        }
        if source != Source::Rows {
            for filter in matching.filters.iter().chain(&query.filters).filter(|filter| of_session(filter)) {
                let (test, negated) = ValueTest::new(&filter.condition);
                job.tests.push((&filter.property, test, negated));
            }
        }
        Ok(job)
    }

    /// What the rows of a metric match: of a session's start or end, the row at it.
    fn matcher(&self, job: &Job<'a>) -> (EventMatch, &'a [Filter]) {
        let matching = &self.query.metrics[job.metric].matching;
        if job.source == Source::Rows {
            return (matching.clone(), &self.query.filters);
        }
        let filters = matching.filters.iter().chain(&self.query.filters).filter(|filter| !of_session(filter));
        (EventMatch { event: None, filters: filters.cloned().collect() }, &[])
    }

    /// Cells per line: a bucket each, and one for the whole range.
    fn stride(&self) -> usize {
        self.period.axis.len() + 1
    }

    /// Weighs the segments and keeps the heaviest, or those given. Answers the segments of the lines, and how many
    /// are folded into the last.
    fn choose_segments(
        &mut self,
        breakdown: &Breakdown,
        given: Option<&[Vec<Segment>]>,
        once: Option<&Once>,
    ) -> Result<(Vec<Vec<Segment>>, u32)> {
        let weights = match once {
            Some(once) => once.weights(),
            // Where segments are given, those of the buckets before the range are told apart as well.
            None => self.weigh(if given.is_some() { 0 } else { self.period.lead })?,
        };
        let Some(Segments { split, asks_person, .. }) = self.breakdown.take() else { return Ok((Vec::new(), 0)) };
        // The split keeps what has the largest counts: equal weights get equal ranks.
        let mut order: Vec<(u64, f64)> = weights.into_iter().collect();
        order.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
        let mut counts = split.counts();
        let mut rank = 0;
        let mut last = f64::NAN;
        for (raw, weight) in order {
            rank += u64::from(weight != last);
            last = weight;
            counts.add(raw, rank);
        }
        let limit = if given.is_some() { u32::MAX } else { breakdown.limit };
        let (split, omitted) = split.keep_largest(&counts, limit);
        let names = |slots: usize| (0..slots).map(|slot| split.name(slot)).collect::<Vec<_>>();
        let (segments, lines) = match given {
            None => {
                // Without omitted segments the last slot holds nothing of the range, and is no line.
                let lines = split.len() - usize::from(omitted == 0);
                let map = (0..split.len()).map(|slot| (slot < lines).then_some(slot as u32)).collect();
                (names(lines), (omitted == 0).then_some(map))
            }
            Some(given) => {
                let line_of: FxHashMap<&[Segment], u32> =
                    given.iter().enumerate().map(|(line, name)| (&name[..], line as u32)).collect();
                let other = line_of.get(&[Segment::Other][..]).copied();
                let line = |name: &Vec<Segment>| line_of.get(&name[..]).copied().or(other);
                let map = names(split.len()).iter().map(line).collect();
                (given.to_vec(), Some(map))
            }
        };
        self.breakdown = Some(Segments::new(&self.scan, split, asks_person, lines));
        Ok((segments, omitted))
    }

    /// How much each segment has of all metrics together, buckets before one left out.
    fn weigh(&self, from_bucket: usize) -> Result<FxHashMap<u64, f64>> {
        let mut weights: FxHashMap<u64, f64> = FxHashMap::default();
        let mut by_metric = Vec::new();
        for pass in &self.passes {
            let states = self.walk(pass, &|job| State::Weight(Weights::new(job, from_bucket)))?;
            by_metric.extend(pass.jobs.iter().map(|job| job.metric).zip(states));
        }
        // Always added up in the same order: sums of fractions depend on it.
        by_metric.sort_by_key(|(metric, _)| *metric);
        for (_, state) in by_metric {
            let State::Weight(state) = state else { continue };
            for (raw, weight) in state.finish() {
                *weights.entry(raw).or_default() += weight;
            }
        }
        Ok(weights)
    }

    /// The lines of every metric.
    fn count(&self, lines: usize) -> Result<Vec<Vec<Line>>> {
        let mut all: Vec<Vec<Line>> = vec![Vec::new(); self.query.metrics.len()];
        for pass in &self.passes {
            let states = self.walk(pass, &|job| State::new(job, lines, self.stride()))?;
            for (job, state) in pass.jobs.iter().zip(states) {
                all[job.metric] = state.finish(job, lines, self.stride(), self.period.lead);
            }
        }
        for (metric, lines) in self.query.metrics.iter().zip(&mut all) {
            if let Measure::CohortSize { cohort } = &metric.measure {
                *lines = vec![self.cohort_sizes(cohort)?];
            }
        }
        Ok(all)
    }

    /// Members of a cohort at the end of every bucket. Conditions of the question on persons narrow it.
    fn cohort_sizes(&self, id: &str) -> Result<Line> {
        let people = self.input.people;
        let ends = &self.period.axis.starts()[1..];
        if ends.len() > limits::COHORT_POINTS_MAX {
            return invalid(format!(
                "the size of a cohort has at most {} points: choose a longer unit or a shorter range",
                limits::COHORT_POINTS_MAX
            ));
        }
        let fixed = people.cohort(id)?;
        let condition = people.condition(id);
        let mut values = Vec::new();
        for end in ends {
            // Up to and including now, for a bucket that is not over.
            let as_of = (*end).min(self.input.now_us.saturating_add(1));
            let mut members = match condition {
                Some(condition) => cohort::members(self.input, condition, as_of)?,
                None => (*fixed).clone(),
            };
            for filter in &self.query.filters {
                let (set, member) = people.test(filter)?;
                if member { members.intersect(&set) } else { members.subtract(&set) }
            }
            values.push(Some(members.len() as f64));
        }
        let total = values.last().copied().flatten();
        Ok(Line { values, total })
    }

    /// Walks once and merges what the threads found: a state per job.
    fn walk(&self, pass: &Pass<'a>, state: &(dyn Fn(&Job<'a>) -> State + Sync)) -> Result<Vec<State>> {
        let make = || Share {
            person: 0,
            states: pass.jobs.iter().map(state).collect(),
            room: Room { segments: vec![0], ..Room::default() },
        };
        let scan = &self.scan;
        let shares = match pass.walk {
            Walk::Rows => scan.rows(&pass.tags, make, |share, span| self.on_rows(pass, share, span))?,
            Walk::Persons => scan.persons(&pass.tags, make, |share, person| self.on_person(pass, share, person))?,
            _ => scan.histories(&pass.tags, u32::MAX, make, |share, person, hits| {
                self.on_history(pass, share, person, hits)
            })?,
        };
        let mut shares = shares.into_iter().map(|share| share.states);
        let mut sum = shares.next().unwrap_or_else(|| pass.jobs.iter().map(state).collect());
        for states in shares {
            sum.iter_mut().zip(states).for_each(|(sum, state)| sum.merge(state));
        }
        Ok(sum)
    }

    fn on_rows(&self, pass: &Pass<'a>, share: &mut Share, span: &Span<'_>) {
        let core = &self.scan.file(span.file).core;
        let axis = &self.period.axis;
        if let ([State::Counts(counts)], None) = (&mut share.states[..], &self.breakdown) {
            span.tagged(&core.time, u32::MAX, |hit| {
                if let Some(bucket) = axis.find(hit.time) {
                    counts[bucket] += 1;
                }
            });
            return;
        }
        let asks_person = self.breakdown.as_ref().is_some_and(|breakdown| breakdown.asks_person);
        let mut subject = core.offsets.partition_point(|offset| *offset <= span.row).saturating_sub(1);
        let mut person = SubjectNo::NOBODY;
        let mut known = None;
        span.tagged(&core.time, u32::MAX, |hit| {
            if asks_person {
                while core.offsets[subject + 1] <= hit.row {
                    subject += 1;
                }
                if known != Some(subject) {
                    known = Some(subject);
                    person = self.input.merges.canonical(SubjectNo(core.subjects[subject]));
                }
            }
            self.on_hit(pass, share, person, &hit);
        });
    }

    fn on_person(&self, pass: &Pass<'a>, share: &mut Share, person: &Person<'_>) {
        if !person.spans.iter().any(|span| span.tags.any(person.allowed)) {
            return;
        }
        share.person += 1;
        if let ([State::Persons(marks)], None) = (&mut share.states[..], &self.breakdown) {
            let mut any = false;
            for span in person.spans {
                any |= self.mark_buckets(marks, share.person, person.allowed, span);
            }
            if any {
                marks.counts[self.period.axis.len()] += 1;
            }
            return;
        }
        for span in person.spans {
            let times = &self.scan.file(span.file).core.time;
            span.tagged(times, person.allowed, |hit| self.on_hit(pass, share, person.subject, &hit));
        }
        share.settle(&pass.jobs);
    }

    /// Marks the buckets in which a person has rows. Answers whether one is within the range.
    fn mark_buckets(&self, marks: &mut Marks, person: u32, allowed: u32, span: &Span<'_>) -> bool {
        let axis = &self.period.axis;
        let times = &self.scan.file(span.file).core.time;
        let mut any = false;
        // The bucket of the last row: most rows of a person are in the one of the row before.
        let (mut low, mut high) = (0, 0);
        span.tagged(times, allowed, |hit| {
            if hit.time >= low && hit.time < high {
                return;
            }
            if let Some(bucket) = axis.find(hit.time) {
                (low, high) = (axis.starts()[bucket], axis.starts()[bucket + 1]);
                marks.mark(bucket, person);
                any |= bucket >= self.period.lead;
            }
        });
        any
    }

    fn on_history(&self, pass: &Pass<'a>, share: &mut Share, person: SubjectNo, hits: &[Hit]) {
        share.person += 1;
        match pass.walk {
            Walk::Sessions => self.on_sessions(pass, share, person, hits, false),
            Walk::SessionsBackward => self.on_sessions(pass, share, person, hits, true),
            Walk::Backward => hits.iter().rev().for_each(|hit| self.on_hit(pass, share, person, hit)),
            Walk::Forward | Walk::Persons | Walk::Rows => {
                hits.iter().for_each(|hit| self.on_hit(pass, share, person, hit));
            }
        }
        share.settle(&pass.jobs);
    }

    fn on_sessions(&self, pass: &Pass<'a>, share: &mut Share, person: SubjectNo, hits: &[Hit], backward: bool) {
        let Some(cutter) = &pass.cutter else { return };
        let mut sessions = std::mem::take(&mut share.room.sessions);
        let mut session_of = std::mem::take(&mut share.room.session_of);
        cutter.cut(hits, &mut sessions);
        if pass.jobs.iter().any(|job| job.source == Source::Rows) {
            cutter.assign(hits, &sessions, &mut session_of);
        }
        for step in 0..sessions.len() {
            let at = if backward { sessions.len() - 1 - step } else { step };
            let session = sessions[at];
            let (first, last) = (&hits[session.first], &hits[session.last]);
            let duration_s = session.duration_us(hits) as f64 / 1e6;
            let visit = Visit { duration_s, events: session.events, first, last };
            for (bit, jobs) in pass.by_bit.iter().enumerate() {
                for &job in jobs {
                    match pass.jobs[job].source {
                        Source::Rows => {
                            let rows = (session.first..=session.last)
                                .filter(|row| hits[*row].tags >> bit & 1 == 1 && session_of[*row] == at as u32);
                            self.first_per_segment(pass, share, job, person, rows.map(|row| &hits[row]));
                        }
                        Source::SessionStart => self.on_visit(pass, share, job, person, (first, bit), &visit),
                        Source::SessionEnd => self.on_visit(pass, share, job, person, (last, bit), &visit),
                    }
                }
            }
        }
        share.room.sessions = sessions;
        share.room.session_of = session_of;
    }

    /// Counts a session once in each segment, at the first row that is in it.
    fn first_per_segment<'h>(
        &self,
        pass: &Pass<'a>,
        share: &mut Share,
        job: usize,
        person: SubjectNo,
        rows: impl Iterator<Item = &'h Hit>,
    ) {
        let mut seen = std::mem::take(&mut share.room.seen);
        seen.clear();
        for hit in rows {
            self.segments(person, hit, &mut share.room);
            if self.breakdown.is_some() {
                share.room.segments.retain(|segment| !seen.contains(segment));
                seen.extend_from_slice(&share.room.segments);
            }
            self.on_occurrence(&pass.jobs[job], &mut share.states[job], share.person, &mut share.room, (hit, None));
            if self.breakdown.is_none() {
                break;
            }
        }
        share.room.seen = seen;
    }

    /// A session's start or end, at a row.
    fn on_visit(
        &self,
        pass: &Pass<'a>,
        share: &mut Share,
        job: usize,
        person: SubjectNo,
        (hit, bit): (&Hit, usize),
        visit: &Visit<'_>,
    ) {
        let passes = |(property, test, negated): &(&str, ValueTest, bool)| {
            let name = |hit: &Hit| {
                let event = &self.scan.file(hit.file).core.event;
                Value::String(event.dictionary.get(event.codes.get(hit.row as usize)).to_owned())
            };
            let value = match *property {
                DURATION => Value::Number(visit.duration_s),
                EVENT_COUNT => Value::Number(f64::from(visit.events)),
                ORIGIN_START => name(visit.first),
                _ => name(visit.last),
            };
            test.value(&value) != *negated
        };
        if hit.tags >> bit & 1 == 1 && pass.jobs[job].tests.iter().all(passes) {
            self.segments(person, hit, &mut share.room);
            let occurrence = (hit, Some(visit));
            self.on_occurrence(&pass.jobs[job], &mut share.states[job], share.person, &mut share.room, occurrence);
        }
    }

    #[inline]
    fn on_hit(&self, pass: &Pass<'a>, share: &mut Share, person: SubjectNo, hit: &Hit) {
        self.segments(person, hit, &mut share.room);
        let mut rest = hit.tags;
        while rest != 0 {
            let bit = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            for &job in &pass.by_bit[bit] {
                self.on_occurrence(&pass.jobs[job], &mut share.states[job], share.person, &mut share.room, (hit, None));
            }
        }
    }

    /// Finds the lines of a row (before they are chosen: the raw segments).
    #[inline]
    fn segments(&self, person: SubjectNo, hit: &Hit, room: &mut Room) {
        let Some(breakdown) = &self.breakdown else { return };
        if let Some(by_code) = &breakdown.by_code[hit.file as usize] {
            room.segments.clear();
            room.segments.extend(by_code.line(hit.row as usize));
            return;
        }
        breakdown.split.ids(person, hit, &mut room.segments);
        if let Some(lines) = &breakdown.lines {
            let segments = &mut room.segments;
            segments.retain_mut(|segment| match lines[*segment as usize] {
                Some(line) => {
                    *segment = u64::from(line);
                    true
                }
                None => false,
            });
            if segments.len() > 1 {
                segments.sort_unstable();
                segments.dedup();
            }
        }
    }

    /// Counts one event of a metric.
    #[inline]
    fn on_occurrence(
        &self,
        job: &Job<'a>,
        state: &mut State,
        person: u32,
        room: &mut Room,
        (hit, visit): (&Hit, Option<&Visit<'_>>),
    ) {
        if let Some(windows) = &job.windows {
            let Some((low, high)) = windows.holding(hit.time) else { return };
            let segments = &room.segments[..];
            match state {
                State::Active(active) => {
                    segments.iter().for_each(|line| active.mark(*line as usize, person, (low, high)));
                }
                State::Weight(weights) if high as usize > weights.from_bucket => {
                    segments.iter().for_each(|raw| weights.person(*raw, person));
                }
                _ => {}
            }
            return;
        }
        let Some(bucket) = room.bucket(&self.period.axis, hit.time) else { return };
        let segments = &room.segments[..];
        let stride = self.stride();
        let in_range = bucket >= self.period.lead;
        let cells = segments.iter().map(|line| *line as usize * stride + bucket);
        match state {
            State::Counts(counts) => cells.for_each(|cell| counts[cell] += 1),
            State::Numbers(numbers) => {
                if let Some(number) = job.number(hit, visit) {
                    cells.for_each(|cell| numbers.add(cell, number));
                }
            }
            State::Values(tally) => {
                job.values(hit, visit, &mut room.ids, &mut room.values);
                for cell in cells {
                    room.values.iter().for_each(|value| tally.add(cell, *value));
                }
            }
            State::Persons(marks) => {
                let wholes = segments.iter().map(|line| *line as usize * stride + stride - 1);
                if marks.claim(bucket, person) {
                    cells.for_each(|cell| marks.mark(cell, person));
                }
                if in_range && marks.claim(stride - 1, person) {
                    wholes.for_each(|cell| marks.mark(cell, person));
                }
            }
            State::PerPerson { entries, .. } => {
                job.person_keys(hit, visit, &mut room.ids, &mut room.values);
                for cell in cells {
                    let whole = cell - bucket + stride - 1;
                    for key in &room.values {
                        entries.push((cell as u32, *key));
                        if in_range {
                            entries.push((whole as u32, *key));
                        }
                    }
                }
            }
            State::Weight(weights) if bucket >= weights.from_bucket => match weights.by {
                Weigh::Events => segments.iter().for_each(|raw| weights.event(*raw)),
                Weigh::Persons => segments.iter().for_each(|raw| weights.person(*raw, person)),
                Weigh::Sum => {
                    let number = job.number(hit, visit).unwrap_or(0.0);
                    segments.iter().for_each(|raw| weights.number(*raw, number));
                }
            },
            State::Weight(_) | State::Active(_) => {}
        }
    }
}

/// A condition on what only sessions have.
fn of_session(filter: &Filter) -> bool {
    filter.on == Holder::Event && [DURATION, EVENT_COUNT, ORIGIN_START, ORIGIN_END].contains(&&*filter.property)
}

fn walk_of(query: &InsightsQuery, measure: &Measure, source: Source) -> Option<Walk> {
    let touch = query.breakdown.as_ref().map_or(Touch::Every, |breakdown| breakdown.touch);
    let last = *measure == Measure::Unique && touch == Touch::Last;
    Some(match (measure, source) {
        (Measure::CohortSize { .. }, _) => return None,
        (_, Source::SessionStart | Source::SessionEnd) if last => Walk::SessionsBackward,
        (_, Source::SessionStart | Source::SessionEnd) | (Measure::Sessions, _) => Walk::Sessions,
        (Measure::Unique, _) if last => Walk::Backward,
        (Measure::Unique, _) if touch == Touch::First => Walk::Forward,
        (Measure::Active { .. }, _) => Walk::Forward,
        (Measure::Unique | Measure::PerPerson { .. }, _) => Walk::Persons,
        _ => Walk::Rows,
    })
}

impl ByCode {
    /// The line of a row.
    #[inline]
    fn line(&self, row: usize) -> Option<u64> {
        let code = self.codes.as_ref().map(|codes| codes.get(row) as usize);
        code.and_then(|code| self.lines.get(code).copied()).unwrap_or(self.not_set)
    }
}

impl Segments {
    fn new(scan: &Scan<'_>, split: Split, asks_person: bool, lines: Option<Vec<Option<u32>>>) -> Segments {
        let line = |slot: u64| match &lines {
            None => Some(slot),
            Some(lines) => lines[slot as usize].map(u64::from),
        };
        let by_code = (0..scan.files.len() as u32).map(|file| {
            let (codes, slots, not_set) = split.by_code(file)?;
            Some(ByCode { codes, lines: slots.into_iter().map(line).collect(), not_set: line(not_set) })
        });
        Segments { by_code: by_code.collect(), split, asks_person, lines }
    }
}

impl Windows {
    fn new(input: &Input<'_>, period: &Period, days: u16) -> Result<Windows> {
        let mut windows = Vec::with_capacity(period.axis.len());
        for pair in period.axis.starts().windows(2) {
            // The bucket's last day; today, where it is not over.
            let last = if pair[0] <= input.now_us { (pair[1] - 1).min(input.now_us) } else { pair[1] - 1 };
            let from = calendar::aligned(last, Unit::Day, 1 - i64::from(days), input.zone)?;
            windows.push((from, calendar::aligned(last, Unit::Day, 1, input.zone)?));
        }
        let mut cuts: Vec<i64> = windows.iter().flat_map(|(from, to)| [*from, *to]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let held = cuts[..cuts.len() - 1].iter().map(|start| {
            let low = windows.partition_point(|(_, to)| to <= start);
            let high = windows.partition_point(|(from, _)| from <= start);
            (low as u32, high.max(low) as u32)
        });
        Ok(Windows { held: held.collect(), pieces: Axis::new(cuts) })
    }

    /// The windows that hold an instant, `low..high`.
    #[inline]
    fn holding(&self, time_us: i64) -> Option<(u32, u32)> {
        self.pieces.find(time_us).map(|piece| self.held[piece]).filter(|(low, high)| low < high)
    }
}

impl Names {
    fn new(scan: &Scan<'_>) -> Names {
        let mut ids: FxHashMap<&str, u32> = FxHashMap::default();
        let mut files = Vec::new();
        for file in &scan.files {
            let names = file.core.event.dictionary.iter().map(|name| {
                let next = ids.len() as u32;
                *ids.entry(name).or_insert(next)
            });
            files.push((file.core.event.codes.clone(), names.collect()));
        }
        Names { files }
    }

    fn id(&self, hit: &Hit) -> u32 {
        let (codes, ids) = &self.files[hit.file as usize];
        ids[codes.get(hit.row as usize) as usize]
    }
}

impl NumberOf {
    #[inline]
    fn get(&self, hit: &Hit, visit: Option<&Visit<'_>>) -> Option<f64> {
        match self {
            NumberOf::Property(numbers) => numbers.get(hit),
            NumberOf::Duration => visit.map(|visit| visit.duration_s),
            NumberOf::EventCount => visit.map(|visit| f64::from(visit.events)),
        }
    }
}

impl Job<'_> {
    #[inline]
    fn number(&self, hit: &Hit, visit: Option<&Visit<'_>>) -> Option<f64> {
        self.number.as_ref()?.get(hit, visit)
    }

    /// Clears `out` and gives the ids of the values of an event. `ids` is working space.
    fn values(&self, hit: &Hit, visit: Option<&Visit<'_>>, ids: &mut Vec<u32>, out: &mut Vec<u64>) {
        out.clear();
        match &self.value {
            None => {}
            Some(ValueOf::Property(values)) => {
                values.ids(hit, ids);
                out.extend(ids.iter().filter(|id| **id != 0).map(|id| u64::from(*id)));
            }
            Some(ValueOf::Number(number)) => out.extend(number.get(hit, visit).map(measure::key_of)),
            Some(ValueOf::Origin { last, names }) => {
                if let Some(visit) = visit {
                    let hit = if *last { visit.last } else { visit.first };
                    out.push(u64::from(names.id(hit)));
                }
            }
        }
    }

    /// Clears `out` and gives what a number per person is made of: a key per event and value.
    fn person_keys(&self, hit: &Hit, visit: Option<&Visit<'_>>, ids: &mut Vec<u32>, out: &mut Vec<u64>) {
        let Measure::PerPerson { each, .. } = self.measure else { return };
        out.clear();
        match each {
            PersonMeasure::Total => out.push(0),
            PersonMeasure::Hours | PersonMeasure::Days => {
                out.extend(self.units.as_ref().and_then(|units| units.find(hit.time)).map(|unit| unit as u64));
            }
            PersonMeasure::Distinct { .. } => self.values(hit, visit, ids, out),
            PersonMeasure::Sum { .. }
            | PersonMeasure::Average { .. }
            | PersonMeasure::Min { .. }
            | PersonMeasure::Max { .. } => out.extend(self.number(hit, visit).map(measure::key_of)),
        }
    }

    /// The number of a person, of the keys they have in a cell, in order.
    fn person_number(&self, keys: &[(u32, u64)]) -> Option<f64> {
        let Measure::PerPerson { each, .. } = self.measure else { return None };
        let numbers = || keys.iter().map(|(_, key)| measure::number_of(*key));
        let sum = || {
            let mut sum = Exact::default();
            numbers().for_each(|number| sum.add(number));
            sum.value()
        };
        match each {
            PersonMeasure::Total => Some(keys.len() as f64),
            PersonMeasure::Hours | PersonMeasure::Days | PersonMeasure::Distinct { .. } => {
                Some(keys.chunk_by(|one, next| one.1 == next.1).count() as f64)
            }
            PersonMeasure::Sum { .. } => sum(),
            PersonMeasure::Average { .. } => sum().map(|sum| sum / keys.len() as f64),
            PersonMeasure::Min { .. } => numbers().next(),
            PersonMeasure::Max { .. } => numbers().next_back(),
        }
    }

    /// How the numbers of events, or of persons, become one.
    fn aggregate(&self) -> Aggregate {
        match self.measure {
            Measure::Average { .. } => Aggregate::Average,
            Measure::Median { .. } => Aggregate::Median,
            Measure::Min { .. } => Aggregate::Min,
            Measure::Max { .. } => Aggregate::Max,
            Measure::Percentile { percent, .. } => Aggregate::Percentile { percent: *percent },
            Measure::PerPerson { then, .. } => *then,
            _ => Aggregate::Sum,
        }
    }
}
