//! Insights without numbers of few persons, for questions by device or place and whoever may not have those exactly.
//!
//! 1. The segments are those of the question as it is. The persons of each metric, segment and bucket are counted beside
//!    it.
//! 2. Segments of few persons join `other`; while that is of few, the smallest segment left joins it too.
//! 3. Of what is left, a number of few persons is hidden; and where a filter takes out what few persons did, all numbers
//!    are, since everybody's number is another question away.
//! 4. In a bucket, and in a line beside its total, nothing hidden may be what the rest leaves over: where few persons are
//!    hidden together, or one number alone, the smallest of the others is hidden as well. That goes on until nothing
//!    changes (complementary suppression; Willenborg and de Waal, *Elements of Statistical Disclosure Control*, 2001,
//!    chapter 6).
//!
//! What this cannot do: know what other questions were answered. Who asks many that are nearly alike is the business of
//! whoever calls this.

use cofferdam_model::query::{Condition, EventMatch, Filter, Holder, InsightsQuery, Measure, Metric};
use cofferdam_model::result::{Compared, InsightsTable, Segment, Series};

use super::{Answer, Period, Source, answer, calendar, check, earlier};
use crate::scan::{Partial, Scan};
use crate::tags::Tags;
use crate::{Input, Result, invalid};

/// Whether it can be known which numbers of an answer are of few persons. Not of windows and sets of persons that a
/// confined filter is about, and not of lines that run over their buckets.
pub(crate) fn is_possible(query: &InsightsQuery, is_confined: &dyn Fn(&Filter) -> bool) -> bool {
    let is_known = |metric: &Metric| match &metric.measure {
        Measure::CohortSize { cohort } => !is_confined(&cohort_filter(cohort)),
        measure => {
            let mut filters = metric.matching.filters.iter().chain(&query.filters);
            let by_bucket = !matches!(measure, Measure::Active { .. }) && Source::of(&metric.matching) == Source::Rows;
            by_bucket || !filters.any(is_confined)
        }
    };
    query.transform.is_none() && query.metrics.iter().all(is_known)
}

fn cohort_filter(id: &str) -> Filter {
    Filter { on: Holder::Cohort, property: id.to_owned(), condition: Condition::IsSet }
}

pub(crate) fn run(
    input: &Input<'_>,
    query: &InsightsQuery,
    few: u64,
    is_confined: &dyn Fn(&Filter) -> bool,
) -> Result<InsightsTable> {
    let formulas = check(query)?;
    if !is_possible(query, is_confined) {
        return invalid("of this question small groups cannot be left out");
    }
    let (from, to) = calendar::bounds(query.range, input.zone, input.now_us)?;
    let period = Period::new(input, query, from, to)?;
    let asked = Asked { input, query, persons: persons_of(query), few: few as f64, is_confined };
    let mut found = answer(input, query, &formulas, &period, None)?;
    let mut persons = asked.persons(&period, &found.segments)?;
    if query.breakdown.is_some() {
        let segments = asked.large_segments(&period, &found.segments, &persons)?;
        if segments != found.segments {
            let named = |segments: &[Vec<Segment>]| segments.iter().filter(|name| !is_other(name)).count();
            let folded = (named(&found.segments) - named(&segments)) as u32;
            let segments_omitted = found.segments_omitted + folded;
            found = Answer { segments_omitted, ..answer(input, query, &formulas, &period, Some(&segments))? };
            persons = asked.persons(&period, &found.segments)?;
        }
    }
    asked.hide(&mut found.series, &persons, &asked.outside(&period)?, found.segments.len());
    let compared = match query.compare {
        None => None,
        Some(compare) => {
            let (from, to) = earlier(input, query.range, compare, (from, to))?;
            let period = Period::new(input, query, from, to)?;
            let mut earlier = answer(input, query, &formulas, &period, Some(&found.segments))?;
            let persons = asked.persons(&period, &found.segments)?;
            asked.hide(&mut earlier.series, &persons, &asked.outside(&period)?, found.segments.len());
            Some(Compared { buckets: period.texts(input), series: earlier.series })
        }
    };
    Ok(InsightsTable {
        buckets: period.texts(input),
        last_incomplete: to > input.now_us,
        series: found.series,
        segments_omitted: found.segments_omitted,
        compared,
        hidden_below: Some(few as u32),
    })
}

struct Asked<'a> {
    input: &'a Input<'a>,
    query: &'a InsightsQuery,
    /// How many persons each metric is of.
    persons: InsightsQuery,
    few: f64,
    is_confined: &'a dyn Fn(&Filter) -> bool,
}

/// The question by how many persons its numbers are made.
fn persons_of(query: &InsightsQuery) -> InsightsQuery {
    let persons = |metric: &Metric| Metric {
        measure: match &metric.measure {
            // These count persons, and others than those of the bucket.
            Measure::Active { .. } | Measure::CohortSize { .. } => metric.measure.clone(),
            _ => Measure::Unique,
        },
        ..metric.clone()
    };
    InsightsQuery { metrics: query.metrics.iter().map(persons).collect(), formulas: Vec::new(), ..query.clone() }
}

fn is_other(name: &[Segment]) -> bool {
    name == [Segment::Other]
}

/// A line of persons, by bucket, and in all.
fn numbers(series: &Series) -> impl Iterator<Item = f64> {
    series.values.iter().chain([&series.total]).map(|value| value.map_or(0.0, |number| number.0))
}

impl Asked<'_> {
    fn persons(&self, period: &Period, segments: &[Vec<Segment>]) -> Result<Vec<Series>> {
        let given = self.query.breakdown.as_ref().map(|_| segments);
        Ok(answer(self.input, &self.persons, &[], period, given)?.series)
    }

    fn is_few(&self, persons: f64) -> bool {
        persons > 0.0 && persons < self.few
    }

    /// Segments of which no metric has few persons, and `other` where that is of somebody.
    fn large_segments(
        &self,
        period: &Period,
        segments: &[Vec<Segment>],
        persons: &[Series],
    ) -> Result<Vec<Vec<Segment>>> {
        let totals = |persons: &[Series], lines: usize, line: usize| -> Vec<f64> {
            persons.iter().skip(line).step_by(lines).filter_map(|series| numbers(series).last()).collect()
        };
        let mut kept: Vec<(Vec<Segment>, f64)> = Vec::new();
        for (line, name) in segments.iter().enumerate().filter(|(_, name)| !is_other(name)) {
            let totals = totals(persons, segments.len(), line);
            if !totals.iter().any(|persons| self.is_few(*persons)) {
                kept.push((name.clone(), totals.iter().sum()));
            }
        }
        if kept.len() == segments.len() {
            return Ok(segments.to_vec());
        }
        loop {
            let mut names: Vec<Vec<Segment>> = kept.iter().map(|(name, _)| name.clone()).collect();
            names.push(vec![Segment::Other]);
            let persons = self.persons(period, &names)?;
            let other = totals(&persons, names.len(), names.len() - 1);
            let smallest = kept.iter().enumerate().min_by(|(_, a), (_, b)| a.1.total_cmp(&b.1)).map(|(at, _)| at);
            match smallest {
                Some(at) if other.iter().any(|persons| self.is_few(*persons)) => {
                    kept.remove(at);
                }
                _ => return Ok(names),
            }
        }
    }

    /// By metric: how many persons did something that only confined filters take out, by bucket and (last) in all.
    fn outside(&self, period: &Period) -> Result<Vec<Vec<f64>>> {
        let cells = period.axis.len() + 1;
        let mut outside = Vec::new();
        for metric in &self.query.metrics {
            let others = |filters: &[Filter]| -> Vec<Filter> {
                filters.iter().filter(|filter| !(self.is_confined)(filter)).cloned().collect()
            };
            let own = EventMatch { filters: others(&metric.matching.filters), ..metric.matching.clone() };
            let common = others(&self.query.filters);
            if own == metric.matching && common == self.query.filters {
                outside.push(vec![0.0; cells]);
                continue;
            }
            let scan = Scan::new(self.input, period.start_us(), period.end_us())?;
            let tags = Tags::new(&scan, &[(&own, &common), (&metric.matching, &self.query.filters)])?;
            let counts = scan.persons(
                &tags,
                || Outside { person: 0, cells: vec![(0, 0); cells] },
                |outside: &mut Outside, person| {
                    outside.person += 1;
                    for span in person.spans {
                        span.tagged(&scan.file(span.file).core.time, person.allowed, |hit| {
                            if hit.tags & person.allowed == WITHOUT_FILTERS
                                && let Some(bucket) = period.axis.find(hit.time)
                            {
                                outside.mark(bucket);
                                outside.mark(cells - 1);
                            }
                        });
                    }
                },
            )?;
            let sum = |cell: usize| counts.iter().map(|outside| outside.cells[cell].1).sum::<u64>() as f64;
            outside.push((0..cells).map(sum).collect());
        }
        Ok(outside)
    }

    /// Hides what is of few persons, and what would tell it. `lines` to a metric.
    fn hide(&self, series: &mut [Series], persons: &[Series], outside: &[Vec<f64>], lines: usize) {
        let hidden: Vec<Vec<Vec<bool>>> = persons
            .chunks(lines.max(1))
            .map(|lines| lines.iter().map(|line| numbers(line).collect()).collect::<Vec<Vec<f64>>>())
            .zip(outside)
            .map(|(persons, outside)| suppressed(&persons, outside, self.few))
            .collect();
        for (at, one) in series.iter_mut().enumerate() {
            // A formula may be of any of the metrics.
            let of = hidden.get(at / lines).map_or(&hidden[..], std::slice::from_ref);
            let cells = one.values.iter_mut().chain([&mut one.total]).enumerate();
            for (cell, value) in cells {
                if of.iter().any(|hidden| hidden[at % lines][cell]) {
                    *value = None;
                }
            }
        }
    }
}

/// A row that all filters but the confined ones let through.
const WITHOUT_FILTERS: u32 = 0b01;

/// Persons by cell, each once: the last one, and how many.
struct Outside {
    person: u64,
    cells: Vec<(u64, u64)>,
}

impl Outside {
    fn mark(&mut self, cell: usize) {
        let (last, count) = &mut self.cells[cell];
        *count += u64::from(*last != self.person);
        *last = self.person;
    }
}

impl Partial for Outside {
    fn bytes(&self) -> usize {
        self.cells.len() * 16
    }
}

/// Which numbers are hidden, of persons by line and, within it, by bucket and (last) in all. `outside`: persons of what
/// was filtered out, by bucket and in all.
fn suppressed(persons: &[Vec<f64>], outside: &[f64], few: f64) -> Vec<Vec<bool>> {
    let cells = persons.first().map_or(0, Vec::len);
    let is_few = |persons: f64| persons > 0.0 && persons < few;
    let of_line = |line: &Vec<f64>| line.iter().zip(outside).map(|(here, out)| is_few(*here) || is_few(*out)).collect();
    let mut hidden: Vec<Vec<bool>> = persons.iter().map(of_line).collect();
    loop {
        let mut more: Vec<(usize, usize)> = Vec::new();
        // The numbers of a bucket add up to that of everybody, which is another question away.
        for cell in 0..cells {
            let column: Vec<(usize, usize)> = (0..persons.len()).map(|line| (line, cell)).collect();
            match cover(persons, &hidden, &column, few) {
                Cover::Enough => {}
                Cover::With(other) => more.push(other),
                Cover::Nothing => more.extend(column.into_iter().filter(|(line, cell)| !hidden[*line][*cell])),
            }
        }
        // Those of a line add up to its total.
        for line in (0..persons.len()).filter(|line| !hidden[*line][cells - 1]) {
            let row: Vec<(usize, usize)> = (0..cells - 1).map(|cell| (line, cell)).collect();
            match cover(persons, &hidden, &row, few) {
                Cover::Enough => {}
                Cover::With(other) => more.push(other),
                Cover::Nothing => more.push((line, cells - 1)),
            }
        }
        if more.is_empty() {
            return hidden;
        }
        more.into_iter().for_each(|(line, cell)| hidden[line][cell] = true);
    }
}

/// Whether what is hidden in a group that adds up is more than its sum tells.
enum Cover {
    Enough,
    /// Once this is hidden too: the smallest of the others.
    With((usize, usize)),
    /// There is no other of anybody.
    Nothing,
}

fn cover(persons: &[Vec<f64>], hidden: &[Vec<bool>], group: &[(usize, usize)], few: f64) -> Cover {
    let (secret, open): (Vec<_>, Vec<_>) = group.iter().copied().partition(|(line, cell)| hidden[*line][*cell]);
    let count = |(line, cell): (usize, usize)| persons[line][cell];
    let sum: f64 = secret.iter().map(|at| count(*at)).sum();
    if secret.is_empty() || (secret.len() > 1 && sum >= few) {
        return Cover::Enough;
    }
    let others = open.into_iter().filter(|at| count(*at) > 0.0);
    others.min_by(|a, b| count(*a).total_cmp(&count(*b))).map_or(Cover::Nothing, Cover::With)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of persons by bucket, the total last; what is hidden as `x`.
    fn shown(persons: &[&[u32]]) -> Vec<String> {
        let persons: Vec<Vec<f64>> = persons.iter().map(|line| line.iter().copied().map(f64::from).collect()).collect();
        let lines = persons.iter().zip(suppressed(&persons, &vec![0.0; persons[0].len()], 5.0));
        let text = |(persons, hidden): (&f64, bool)| if hidden { "x".to_owned() } else { persons.to_string() };
        lines.map(|(line, hidden)| line.iter().zip(hidden).map(text).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn what_is_of_nobody_or_of_enough_is_shown() {
        assert_eq!(shown(&[&[0, 5, 9, 14], &[7, 0, 0, 7]]), ["0 5 9 14", "7 0 0 7"]);
    }

    #[test]
    fn the_smallest_beside_what_is_hidden_is_hidden_too_until_no_sum_tells_it() {
        // The 2 alone would be what its bucket and its line leave over; so would each that covers it.
        assert_eq!(shown(&[&[2, 8, 10], &[6, 9, 15], &[20, 30, 50]]), ["x x 10", "x x 15", "20 30 50"]);
        // Two that are few together are not enough.
        assert_eq!(shown(&[&[1, 30, 31], &[2, 30, 32], &[6, 30, 36]])[2].split(' ').next(), Some("x"));
    }

    #[test]
    fn where_nothing_else_covers_it_the_bucket_or_the_total_goes() {
        // Who is alone in a bucket is what everybody's number says: that the others are 0 tells where.
        assert_eq!(shown(&[&[3, 9, 12], &[0, 9, 9]])[1].split(' ').next(), Some("x"));
        assert_eq!(shown(&[&[3, 0, 6]]), ["x 0 x"]);
        assert_eq!(shown(&[&[3, 4, 7]]), ["x x 7"]);
        assert_eq!(shown(&[&[4, 4]]), ["x x"]);
    }
}
