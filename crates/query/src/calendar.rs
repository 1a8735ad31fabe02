//! Ranges and buckets of time in a project's zone: where a day begins is the zone's business, daylight saving included.

use cofferdam_model::limits;
use cofferdam_model::query::{DateRange, Unit};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

use crate::{Error, Result, invalid};

/// Instants, µs UTC, that cut a range into buckets: bucket `i` is `starts[i]..starts[i + 1]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// One more than there are buckets; the last is the range's end.
    pub starts: Vec<i64>,
}

impl Buckets {
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn from_us(&self) -> i64 {
        self.starts[0]
    }

    pub fn to_us(&self) -> i64 {
        self.starts[self.starts.len() - 1]
    }

    /// The bucket of an instant within the range. `hint` is the last answer: rows come in time order.
    pub fn find(&self, time_us: i64, hint: usize) -> usize {
        if self.starts[hint] <= time_us {
            if time_us < self.starts[hint + 1] {
                return hint;
            }
            if hint + 2 < self.starts.len() && time_us < self.starts[hint + 2] {
                return hint + 1;
            }
        }
        self.starts.partition_point(|start| *start <= time_us) - 1
    }
}

/// Finds buckets by table: for operators that ask for every row.
pub struct Finder<'a> {
    buckets: &'a Buckets,
    /// Cells are `1 << shift` µs long.
    shift: u32,
    /// By cell: the bucket of its first instant.
    cells: Vec<u32>,
}

impl<'a> Finder<'a> {
    const CELLS_MAX: i64 = 1 << 15;

    pub fn new(buckets: &'a Buckets) -> Finder<'a> {
        let (from, to) = (buckets.from_us(), buckets.to_us());
        let shortest = buckets.starts.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(1).max(1);
        let mut shift = shortest.ilog2();
        while (to - from) >> shift >= Self::CELLS_MAX {
            shift += 1;
        }
        let mut at = 0;
        let cells = (0..=(to - from) >> shift)
            .map(|cell| {
                let instant = (from + (cell << shift)).min(to - 1);
                at = buckets.find(instant, at);
                at as u32
            })
            .collect();
        Finder { buckets, shift, cells }
    }

    /// Start and end of a bucket, µs UTC.
    #[inline]
    pub fn bounds(&self, bucket: usize) -> (i64, i64) {
        (self.buckets.starts[bucket], self.buckets.starts[bucket + 1])
    }

    /// The bucket of an instant within the range.
    #[inline]
    pub fn find(&self, time_us: i64) -> usize {
        let starts = &self.buckets.starts;
        let mut bucket = self.cells[((time_us - starts[0]) >> self.shift) as usize] as usize;
        while time_us >= starts[bucket + 1] {
            bucket += 1;
        }
        bucket
    }
}

/// Start and end (exclusive) of a range, µs UTC.
pub fn bounds(range: DateRange, zone: &TimeZone, now_us: i64) -> Result<(i64, i64)> {
    let (from, to) = match range {
        DateRange::Between { from, to } => {
            if to < from {
                return invalid("the range ends before it begins");
            }
            let end = to.tomorrow().map_err(out_of_range)?;
            (start_of(from.into(), zone)?, start_of(end.into(), zone)?)
        }
        DateRange::Last { count, unit } => {
            if count == 0 {
                return invalid("the last 0 units are no range");
            }
            if let Some(length) = fixed_us(unit) {
                // By lengths of time: in the repeated hour of an autumn night the civil time names two instants.
                let current = floor_fixed(now_us, unit, zone)?;
                let span = length.saturating_mul(i64::from(count) - 1);
                return check_span(current.saturating_sub(span), current + length);
            }
            let current = floor(zoned(now_us, zone)?.datetime(), unit);
            let from = shift(current, unit, 1 - i64::from(count))?;
            (start_of(from, zone)?, start_of(shift(current, unit, 1)?, zone)?)
        }
    };
    check_span(from, to)
}

fn check_span(from: i64, to: i64) -> Result<(i64, i64)> {
    if to.saturating_sub(from) > limits::RANGE_DAYS_MAX * 86_400_000_000 {
        return invalid(format!("a range has at most {} days", limits::RANGE_DAYS_MAX));
    }
    Ok((from, to))
}

/// Minutes and hours are lengths of time, so that the repeated hour of an autumn night is two buckets.
fn fixed_us(unit: Unit) -> Option<i64> {
    match unit {
        Unit::Minute => Some(60_000_000),
        Unit::Hour => Some(3_600_000_000),
        Unit::Day | Unit::Week | Unit::Month => None,
    }
}

/// The start of the minute or hour that holds an instant, by the zone's offset at that instant.
fn floor_fixed(instant_us: i64, unit: Unit, zone: &TimeZone) -> Result<i64> {
    let zoned = zoned(instant_us, zone)?;
    let civil = floor(zoned.datetime(), unit);
    let timestamp = zoned.offset().to_timestamp(civil).map_err(out_of_range)?;
    Ok(timestamp.as_microsecond())
}

/// Cuts `from..to` (µs UTC) at every start of a unit. A first or last bucket may be shorter.
pub fn cut(from_us: i64, to_us: i64, unit: Unit, zone: &TimeZone) -> Result<Buckets> {
    let mut starts = vec![from_us];
    let fixed = fixed_us(unit);
    let mut civil = floor(zoned(from_us, zone)?.datetime(), unit);
    let mut instant = if fixed.is_some() { floor_fixed(from_us, unit, zone)? } else { from_us };
    loop {
        if let Some(length) = fixed {
            instant += length;
        } else {
            civil = shift(civil, unit, 1)?;
            instant = start_of(civil, zone)?;
        }
        if instant >= to_us {
            break;
        }
        if instant > starts[starts.len() - 1] {
            starts.push(instant);
        }
        if starts.len() > limits::TIME_BUCKETS_MAX {
            return invalid(format!("more than {} buckets of time: choose a longer unit", limits::TIME_BUCKETS_MAX));
        }
    }
    starts.push(to_us);
    Ok(Buckets { starts })
}

/// The start of the unit that holds an instant, `steps` units later.
pub fn aligned(instant_us: i64, unit: Unit, steps: i64, zone: &TimeZone) -> Result<i64> {
    let civil = shift(floor(zoned(instant_us, zone)?.datetime(), unit), unit, steps)?;
    start_of(civil, zone)
}

/// RFC 3339 with the zone's offset at that instant.
pub fn local_text(instant_us: i64, zone: &TimeZone) -> String {
    match zoned(instant_us, zone) {
        Ok(zoned) => zoned.timestamp().display_with_offset(zoned.offset()).to_string(),
        Err(_) => String::new(),
    }
}

/// RFC 3339, UTC.
pub fn utc_text(instant_us: i64) -> String {
    Timestamp::from_microsecond(instant_us).map(|timestamp| timestamp.to_string()).unwrap_or_default()
}

fn zoned(instant_us: i64, zone: &TimeZone) -> Result<Zoned> {
    Ok(Timestamp::from_microsecond(instant_us).map_err(out_of_range)?.to_zoned(zone.clone()))
}

fn floor(at: DateTime, unit: Unit) -> DateTime {
    let date = at.date();
    let time = at.time();
    match unit {
        Unit::Minute => date.at(time.hour(), time.minute(), 0, 0),
        Unit::Hour => date.at(time.hour(), 0, 0, 0),
        Unit::Day => date.into(),
        Unit::Week => {
            let back = i64::from(date.weekday().to_monday_zero_offset());
            date.checked_sub(Span::new().days(back)).unwrap_or(Date::MIN).into()
        }
        Unit::Month => date.first_of_month().into(),
    }
}

fn shift(at: DateTime, unit: Unit, steps: i64) -> Result<DateTime> {
    let span = match unit {
        Unit::Minute => Span::new().try_minutes(steps),
        Unit::Hour => Span::new().try_hours(steps),
        Unit::Day => Span::new().try_days(steps),
        Unit::Week => Span::new().try_weeks(steps),
        Unit::Month => Span::new().try_months(steps),
    }
    .map_err(out_of_range)?;
    at.checked_add(span).map_err(out_of_range)
}

/// The first instant of a civil time; where the zone skips it (midnight of a spring day), the first after the gap.
fn start_of(civil: DateTime, zone: &TimeZone) -> Result<i64> {
    let zoned = zone.to_ambiguous_zoned(civil).compatible().map_err(out_of_range)?;
    Ok(zoned.timestamp().as_microsecond())
}

fn out_of_range(_: jiff::Error) -> Error {
    Error::Invalid("the range reaches beyond the calendar".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_between(from: &str, to: &str, unit: Unit, zone: &str) -> Vec<String> {
        let zone = TimeZone::get(zone).unwrap();
        let range = DateRange::Between { from: from.parse().unwrap(), to: to.parse().unwrap() };
        let (from, to) = bounds(range, &zone, 0).unwrap();
        cut(from, to, unit, &zone).unwrap().starts.iter().map(|start| local_text(*start, &zone)).collect()
    }

    #[test]
    fn days_follow_daylight_saving() {
        assert_eq!(
            cut_between("2026-10-24", "2026-10-26", Unit::Day, "Europe/Madrid"),
            [
                "2026-10-24T00:00:00+02:00",
                "2026-10-25T00:00:00+02:00",
                "2026-10-26T00:00:00+01:00",
                "2026-10-27T00:00:00+01:00"
            ]
        );
        let hours = cut_between("2026-10-25", "2026-10-25", Unit::Hour, "Europe/Madrid");
        assert_eq!(hours.len() - 1, 25);
        assert_eq!(hours[2..4], ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"]);
        assert_eq!(cut_between("2026-03-29", "2026-03-29", Unit::Hour, "Europe/Madrid").len() - 1, 23);
    }

    #[test]
    fn first_week_of_a_range_may_be_short() {
        assert_eq!(
            cut_between("2026-11-19", "2026-11-24", Unit::Week, "UTC"),
            ["2026-11-19T00:00:00+00:00", "2026-11-23T00:00:00+00:00", "2026-11-25T00:00:00+00:00"]
        );
    }

    #[test]
    fn last_units_include_the_current_one() {
        let zone = TimeZone::UTC;
        let now = "2026-11-22T10:20:30Z".parse::<Timestamp>().unwrap().as_microsecond();
        let (from, to) = bounds(DateRange::Last { count: 2, unit: Unit::Month }, &zone, now).unwrap();
        assert_eq!((utc_text(from).as_str(), utc_text(to).as_str()), ("2026-10-01T00:00:00Z", "2026-12-01T00:00:00Z"));
        let (from, to) = bounds(DateRange::Last { count: 30, unit: Unit::Minute }, &zone, now).unwrap();
        assert_eq!(to - from, 30 * 60_000_000);
        // 02:10 for the second time, on the day of 25 hours.
        let madrid = TimeZone::get("Europe/Madrid").unwrap();
        let now = "2026-10-25T01:10:30Z".parse::<Timestamp>().unwrap().as_microsecond();
        let (from, to) = bounds(DateRange::Last { count: 30, unit: Unit::Minute }, &madrid, now).unwrap();
        assert_eq!((utc_text(from).as_str(), utc_text(to).as_str()), ("2026-10-25T00:41:00Z", "2026-10-25T01:11:00Z"));
        let hours = cut(from, to, Unit::Hour, &madrid).unwrap();
        assert_eq!(utc_text(hours.starts[1]), "2026-10-25T01:00:00Z");
    }

    #[test]
    fn find_agrees_with_and_without_a_good_hint() {
        let buckets = Buckets { starts: vec![0, 10, 20, 35, 50] };
        for time in 0..50 {
            let expected = buckets.starts.iter().rposition(|start| *start <= time).unwrap();
            for hint in 0..4 {
                assert_eq!(buckets.find(time, hint), expected, "{time} {hint}");
            }
            assert_eq!(Finder::new(&buckets).find(time), expected, "{time}");
        }
    }
}
