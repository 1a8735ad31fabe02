//! Frequency: on how many different hours of a day, or days of a week or month, persons did something.
//!
//! 1. Periods are the days, weeks or months of the range, cut in the project's time zone; the first and last may be
//!    shorter than a whole one. Each is cut into hours (a day) or days (a week, a month) from its own start.
//! 2. A person counts in a period with at least one matching event, at the number of different hours or days that
//!    hold one. Cumulative, the person counts at every number up to it.

use cofferdam_model::query::{FrequencyQuery, Unit};
use cofferdam_model::result::{FrequencyPeriod, FrequencyTable};

use crate::calendar::{self, Buckets};
use crate::scan::{Hit, Partial, Scan};
use crate::tags::Tags;
use crate::{Input, Result, check_filters, check_match, invalid};

pub(crate) fn run(input: &Input<'_>, query: &FrequencyQuery) -> Result<FrequencyTable> {
    let part = match query.period {
        Unit::Day => Unit::Hour,
        Unit::Week | Unit::Month => Unit::Day,
        Unit::Minute | Unit::Hour => return invalid("the period of a frequency report is a day, a week or a month"),
    };
    check_match(&query.matching)?;
    check_filters(&query.filters)?;
    let (from, to) = calendar::bounds(query.range, input.zone, input.now_us)?;
    let periods = calendar::cut(from, to, query.period, input.zone)?;
    let mut parts = Parts { starts: Buckets { starts: Vec::new() }, periods: Vec::new(), longest: 0 };
    for (period, pair) in periods.starts.windows(2).enumerate() {
        let cut = calendar::cut(pair[0], pair[1], part, input.zone)?;
        parts.starts.starts.extend(&cut.starts[..cut.len()]);
        parts.periods.extend(std::iter::repeat_n(period as u32, cut.len()));
        parts.longest = parts.longest.max(cut.len());
    }
    parts.starts.starts.push(to);

    let scan = Scan::new(input, from, to)?;
    let tags = Tags::new(&scan, &[(&query.matching, &query.filters)])?;
    let make = || Grid { counts: vec![0; periods.len() * parts.longest] };
    let partials = scan.histories(&tags, u32::MAX, make, |grid, _, hits| parts.count(hits, grid))?;
    let mut sum = make();
    for partial in partials {
        sum.counts.iter_mut().zip(partial.counts).for_each(|(sum, part)| *sum += part);
    }

    let mut overall = vec![0; parts.longest];
    let mut rows = Vec::with_capacity(periods.len());
    for (start, counts) in periods.starts.iter().zip(sum.counts.chunks(parts.longest)) {
        let persons = counts.iter().sum();
        let mut counts = counts.to_vec();
        if query.cumulative {
            (0..counts.len() - 1).rev().for_each(|at| counts[at] += counts[at + 1]);
        }
        overall.iter_mut().zip(&counts).for_each(|(sum, count)| *sum += count);
        rows.push(FrequencyPeriod { start: calendar::local_text(*start, input.zone), persons, counts });
    }
    Ok(FrequencyTable { periods: rows, overall, last_incomplete: to > input.now_us })
}

/// The hours or days of all periods, in order.
struct Parts {
    starts: Buckets,
    /// The period of each.
    periods: Vec<u32>,
    /// Of the period that has most.
    longest: usize,
}

/// Persons by period and number of parts.
struct Grid {
    counts: Vec<u64>,
}

impl Partial for Grid {
    fn bytes(&self) -> usize {
        self.counts.len() * size_of::<u64>()
    }
}

impl Parts {
    /// Rows come in order of time.
    fn count(&self, hits: &[Hit], grid: &mut Grid) {
        let Some(first) = hits.first() else { return };
        let mut part = self.starts.find(first.time, 0);
        let mut different = 1;
        for hit in &hits[1..] {
            let next = self.starts.find(hit.time, part);
            if next == part {
                continue;
            }
            if self.periods[next] != self.periods[part] {
                grid.add(self.periods[part], self.longest, different);
                different = 0;
            }
            different += 1;
            part = next;
        }
        grid.add(self.periods[part], self.longest, different);
    }
}

impl Grid {
    fn add(&mut self, period: u32, longest: usize, different: usize) {
        self.counts[period as usize * longest + different - 1] += 1;
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_model::{Query, ResultTable};

    use super::*;
    use crate::People;
    use crate::testing::{ask_in, days, named};

    #[test]
    fn counts_different_parts_of_each_period_once() {
        // Two periods of three parts, then one of two.
        let parts = Parts {
            starts: Buckets { starts: vec![0, 10, 20, 30, 40, 50, 60, 70, 80] },
            periods: vec![0, 0, 0, 1, 1, 1, 2, 2],
            longest: 3,
        };
        let mut grid = Grid { counts: vec![0; 9] };
        let hits =
            |times: &[i64]| -> Vec<Hit> { times.iter().map(|&time| Hit { time, tags: 1, file: 0, row: 0 }).collect() };
        parts.count(&hits(&[0, 5, 25, 29, 60, 61, 79]), &mut grid);
        parts.count(&hits(&[1, 11, 21, 59]), &mut grid);
        parts.count(&[], &mut grid);
        assert_eq!(grid.counts, [0, 1, 1, 1, 0, 0, 0, 1, 0]);
    }
    #[test]
    fn hours_of_a_day_and_days_of_a_week_are_counted_once() {
        let query = |period, cumulative| FrequencyQuery {
            range: days(5, 12),
            matching: named("A"),
            period,
            cumulative,
            filters: Vec::new(),
        };
        let ask = |query: FrequencyQuery, text: &str| match ask_in(
            "Europe/Madrid",
            text,
            &Query::Frequency(query),
            &People::default(),
        )
        .unwrap()
        {
            ResultTable::Frequency(table) => table,
            other => panic!("{other:?}"),
        };
        let text = "
            1 5 10:00 A
            1 5 10:59 A
            1 5 11:00 A
            1 6 23:30 A
            1 7 09:00 B
            2 11 22:10 A";
        let table = ask(query(Unit::Day, false), text);
        let persons: Vec<u64> = table.periods.iter().map(|period| period.persons).collect();
        assert_eq!(persons, [1, 0, 1, 0, 0, 0, 0, 1], "23:30 UTC is the next day in Madrid");
        assert_eq!((table.periods[0].counts.len(), &table.periods[0].counts[..3]), (24, &[0, 1, 0][..]));
        assert_eq!(table.overall[..3], [2, 1, 0]);
        let table = ask(query(Unit::Week, false), text);
        assert_eq!(table.periods.len(), 2);
        assert_eq!(table.periods[0].counts, [0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(table.periods[1].counts, [1, 0, 0, 0, 0, 0, 0]);
        let table = ask(query(Unit::Week, true), text);
        assert_eq!((table.periods[0].persons, &table.periods[0].counts[..3]), (1, &[1, 1, 0][..]));
        assert_eq!(table.overall[..3], [2, 1, 0]);
    }
}
