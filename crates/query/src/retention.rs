//! Retention: of those who did A in an interval, how many did B in the k-th interval after.
//!
//! 1. A person is born at their first matching event in the range, or, with `each_interval`, at the first in every
//!    interval of the range.
//! 2. A return is a matching event later than the birth event (in order of time, then arrival): the birth
//!    event itself is none, so interval 0 counts who came back within the interval of birth.
//! 3. Calendar alignment: interval k is the k-th day, week or month after the one of birth. Rolling: k × 24 hours,
//!    7 days or 30 days from the birth event.
//! 4. `on_or_after` counts a person in interval k when any return lies in it or later.

use cofferdam_model::limits;
use cofferdam_model::query::{Alignment, CohortRule, RetentionMode, RetentionQuery, Unit};
use cofferdam_model::result::{RetentionCohort, RetentionTable};

use crate::calendar::{self, Buckets};
use crate::mask::{self, Mask};
use crate::scan::{self, Prepared, Row};
use crate::{Input, Result, check_filters, check_match, invalid};

pub(crate) fn run(input: &Input<'_>, query: &RetentionQuery) -> Result<RetentionTable> {
    if !matches!(query.unit, Unit::Day | Unit::Week | Unit::Month) {
        return invalid("retention is by day, week or month");
    }
    if query.intervals == 0 || query.intervals > limits::RETENTION_INTERVALS_MAX {
        return invalid(format!("ask for 1 to {} intervals", limits::RETENTION_INTERVALS_MAX));
    }
    check_filters(&query.filters)?;
    check_match(&query.born)?;
    check_match(&query.returned)?;
    let (from, to) = calendar::bounds(query.range, input.zone, input.now_us)?;
    let births = calendar::cut(from, to, query.unit, input.zone)?;
    // Calendar intervals go on after the range: far enough for the last cohort's last interval.
    let until = calendar::aligned(to - 1, query.unit, i64::from(query.intervals) + 2, input.zone)?;
    let intervals = calendar::cut(from, until, query.unit, input.zone)?;
    let prepared = Prepared::new(input, from, i64::MAX)?;
    let masks = |matching| -> Result<Vec<Mask>> {
        prepared.segments.iter().map(|segment| mask::matching(segment, matching, &query.filters)).collect()
    };
    let walk = Walk {
        query,
        births: &births,
        intervals: &intervals,
        born: masks(&query.born)?,
        returned: masks(&query.returned)?,
    };

    let width = query.intervals as usize + 1;
    let make = || Partial { sizes: vec![0; births.len()], retained: vec![0; births.len() * width] };
    let partials = scan::persons(input, &prepared, make, |partial, _, rows| walk.person(partial, rows));
    let mut sum = make();
    for partial in partials {
        sum.sizes.iter_mut().zip(partial.sizes).for_each(|(sum, part)| *sum += part);
        sum.retained.iter_mut().zip(partial.retained).for_each(|(sum, part)| *sum += part);
    }

    let mut cohorts = Vec::new();
    for cohort in 0..births.len() {
        let (start, end) = (births.starts[cohort], births.starts[cohort + 1]);
        if sum.sizes[cohort] == 0 {
            continue;
        }
        let mut begun = 0;
        let mut complete = 0;
        for k in 0..width {
            let (first, last) = match query.alignment {
                Alignment::Calendar => (intervals.starts[cohort + k], intervals.starts[cohort + k + 1]),
                Alignment::Rolling => {
                    let length = rolling_us(query.unit);
                    (start + k as i64 * length, end + (k as i64 + 1) * length)
                }
            };
            begun += usize::from(first <= input.now_us);
            complete += u32::from(last <= input.now_us);
        }
        cohorts.push(RetentionCohort {
            start: calendar::local_text(start, input.zone),
            size: sum.sizes[cohort],
            retained: sum.retained[cohort * width..cohort * width + begun].to_vec(),
            complete,
        });
    }
    let average = (0..width).map(|k| average(&cohorts, k)).collect();
    Ok(RetentionTable { cohorts, average })
}

/// Σ(retained·size) / Σ(size·size) over cohorts whose interval k is complete.
fn average(cohorts: &[RetentionCohort], k: usize) -> Option<f64> {
    let mut numerator = 0.0;
    let mut denominator = 0.0;
    for cohort in cohorts.iter().filter(|cohort| (k as u32) < cohort.complete) {
        let size = cohort.size as f64;
        numerator += cohort.retained[k] as f64 * size;
        denominator += size * size;
    }
    (denominator > 0.0).then(|| numerator / denominator)
}

fn rolling_us(unit: Unit) -> i64 {
    let days = match unit {
        Unit::Week => 7,
        Unit::Month => 30,
        Unit::Minute | Unit::Hour | Unit::Day => 1,
    };
    days * 86_400_000_000
}

struct Partial {
    sizes: Vec<u64>,
    /// By (cohort, interval), dense.
    retained: Vec<u64>,
}

struct Walk<'a> {
    query: &'a RetentionQuery,
    births: &'a Buckets,
    intervals: &'a Buckets,
    born: Vec<Mask>,
    returned: Vec<Mask>,
}

impl Walk<'_> {
    fn person(&self, partial: &mut Partial, rows: &[Row]) {
        let mut last_cohort = None;
        for (at, row) in rows.iter().enumerate() {
            if row.time >= self.births.to_us() {
                return;
            }
            if !self.born[row.segment as usize].get(row.row as usize) {
                continue;
            }
            let cohort = self.births.find(row.time, last_cohort.unwrap_or(0));
            if last_cohort == Some(cohort) {
                continue;
            }
            last_cohort = Some(cohort);
            partial.sizes[cohort] += 1;
            self.returns(partial, cohort, row.time, &rows[at + 1..]);
            if self.query.cohorts == CohortRule::FirstTime {
                return;
            }
        }
    }

    fn returns(&self, partial: &mut Partial, cohort: usize, born_us: i64, later: &[Row]) {
        let width = self.query.intervals as usize + 1;
        let cells = &mut partial.retained[cohort * width..(cohort + 1) * width];
        let is_return = |row: &&Row| self.returned[row.segment as usize].get(row.row as usize);
        match self.query.mode {
            RetentionMode::On => {
                let mut hint = cohort;
                let mut counted = None;
                for row in later.iter().filter(is_return) {
                    let k = self.interval(cohort, born_us, row.time, &mut hint);
                    if k >= width {
                        break;
                    }
                    if counted != Some(k) {
                        counted = Some(k);
                        cells[k] += 1;
                    }
                }
            }
            RetentionMode::OnOrAfter => {
                let Some(last) = later.iter().rev().find(is_return) else { return };
                let mut hint = cohort;
                let k = self.interval(cohort, born_us, last.time, &mut hint).min(width - 1);
                cells[..=k].iter_mut().for_each(|cell| *cell += 1);
            }
        }
    }

    /// How many intervals after birth an instant is; anything beyond the table is at least its width.
    fn interval(&self, cohort: usize, born_us: i64, time_us: i64, hint: &mut usize) -> usize {
        match self.query.alignment {
            Alignment::Rolling => usize::try_from((time_us - born_us) / rolling_us(self.query.unit)).unwrap_or(0),
            Alignment::Calendar if time_us >= self.intervals.to_us() => usize::MAX,
            Alignment::Calendar => {
                *hint = self.intervals.find(time_us, *hint);
                *hint - cohort
            }
        }
    }
}
