//! Numbers of many numbers, such that the answer does not depend on how the work was divided.
//!
//! - [`Axis`]: which bucket of time an instant is in, by a table.
//! - [`Exact`]: a sum without any error until it is rounded once, at the end.
//! - [`Tally`]: how often each value occurs in each cell, for medians, percentiles and distinct values.
//!
//! All of them can be filled in parts and merged in any order with the same outcome, bit for bit.

use std::cmp::Ordering;

use cofferdam_model::limits;
use cofferdam_model::query::Unit;
use jiff::tz::TimeZone;

use crate::{Result, calendar, invalid};

/// Buckets of time with a table to find them: an instant costs a shift, a look-up and a comparison or two.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// One more than there are buckets; ascending.
    starts: Vec<i64>,
    /// By `(instant - starts[0]) >> shift`: the bucket in which that stretch of time begins.
    table: Vec<u32>,
    shift: u32,
}

impl Axis {
    /// `starts` ascends, and has at least two elements; the last one is the end.
    pub(crate) fn new(starts: Vec<i64>) -> Axis {
        let (from, to) = (starts[0], starts[starts.len() - 1]);
        let span = to.abs_diff(from).max(1);
        let slots = (starts.len() * 4).next_power_of_two().max(1_024) as u64;
        let mut shift = 0;
        while span >> shift >= slots {
            shift += 1;
        }
        let mut bucket = 0;
        let table = (0..=(span - 1) >> shift)
            .map(|slot| {
                let instant = from.saturating_add_unsigned(slot << shift);
                while bucket + 2 < starts.len() && starts[bucket + 1] <= instant {
                    bucket += 1;
                }
                bucket as u32
            })
            .collect();
        Axis { starts, table, shift }
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub(crate) fn starts(&self) -> &[i64] {
        &self.starts
    }

    /// The bucket of an instant, if there is one.
    #[inline]
    pub(crate) fn find(&self, time_us: i64) -> Option<usize> {
        // Before the start the difference is a huge number, beyond the table.
        let slot = time_us.wrapping_sub(self.starts[0]) as u64 >> self.shift;
        let mut bucket = *self.table.get(usize::try_from(slot).ok()?)? as usize;
        while time_us >= self.starts[bucket + 1] {
            bucket += 1;
            if bucket + 1 == self.starts.len() {
                return None;
            }
        }
        Some(bucket)
    }
}

/// Cuts `from..to` (µs UTC) at every start of a unit, like [`calendar::cut`], into more pieces than an answer shows:
/// to tell apart the different hours or days of a person.
pub(crate) fn unit_starts(from_us: i64, to_us: i64, unit: Unit, zone: &TimeZone) -> Result<Vec<i64>> {
    // Days of which the units fit one answer.
    let days = match unit {
        Unit::Minute => limits::TIME_BUCKETS_MAX / 1_500,
        Unit::Hour => limits::TIME_BUCKETS_MAX / 25,
        Unit::Day | Unit::Week | Unit::Month => limits::TIME_BUCKETS_MAX,
    };
    let mut starts = Vec::new();
    let mut from = from_us;
    while from < to_us {
        let to = match unit {
            // A piece may end within a week or a month only where the range does.
            Unit::Day | Unit::Week | Unit::Month => to_us,
            Unit::Minute | Unit::Hour => calendar::aligned(from, Unit::Day, days as i64, zone)?.min(to_us),
        };
        let mut piece = calendar::cut(from, to, unit, zone)?.starts;
        piece.pop();
        starts.append(&mut piece);
        if starts.len() > limits::PERSON_UNITS_MAX {
            return invalid(format!(
                "more than {} different hours or minutes: choose a shorter time or a longer unit",
                limits::PERSON_UNITS_MAX
            ));
        }
        from = to;
    }
    starts.push(to_us);
    Ok(starts)
}

/// A sum of numbers, exact however many there are and in whatever order they come; rounded once, when it is read.
///
/// Nearly every number people measure fits a fixed-point number with 63 bits before and 64 after the point. The others
/// go to a list of numbers whose sum is exact (after Shewchuk, "Adaptive Precision Floating-Point Arithmetic").
#[derive(Clone, Debug, Default)]
pub(crate) struct Exact {
    /// In units of 2⁻⁶⁴.
    fixed: i128,
    rest: Option<Box<Rest>>,
}

#[derive(Clone, Debug, Default)]
struct Rest {
    /// Ascending by magnitude, without overlapping bits.
    parts: Vec<f64>,
    /// A number came that is so large that a sum of such could overflow: there is no answer.
    beyond: bool,
}

/// Larger numbers are no measurements: 2⁶⁰ of the largest allowed ones still add up to a finite number.
const MAGNITUDE_MAX: f64 = 9.7e288;

impl Exact {
    pub(crate) fn add(&mut self, number: f64) {
        let bits = number.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as i32;
        let mantissa = (bits & ((1 << 52) - 1) | 1 << 52) as i128;
        // The number is ± mantissa · 2^(shift − 64).
        let shift = exponent - 1_075 + 64;
        let units = match shift {
            0..=62 if exponent != 0 => mantissa << shift,
            -52..0 if exponent != 0 && mantissa.trailing_zeros() as i32 >= -shift => mantissa >> -shift,
            _ => return self.add_to_rest(number),
        };
        self.add_units(if number < 0.0 { -units } else { units });
    }

    pub(crate) fn merge(&mut self, other: &Exact) {
        self.add_units(other.fixed);
        if let Some(other) = &other.rest {
            let rest = self.rest.get_or_insert_default();
            rest.beyond |= other.beyond;
            other.parts.iter().for_each(|part| rest.grow(*part));
        }
    }

    /// The sum, rounded to the nearest number; `None` when a summand was beyond 10²⁸⁸.
    pub(crate) fn value(&self) -> Option<f64> {
        let mut all = self.rest.as_deref().cloned().unwrap_or_default();
        if all.beyond {
            return None;
        }
        all.grow_units(self.fixed);
        Some(all.rounded())
    }

    fn add_units(&mut self, units: i128) {
        match self.fixed.checked_add(units) {
            Some(sum) => self.fixed = sum,
            None => self.rest.get_or_insert_default().grow_units(units),
        }
    }

    fn add_to_rest(&mut self, number: f64) {
        if number == 0.0 {
            return;
        }
        let rest = self.rest.get_or_insert_default();
        if number.abs() <= MAGNITUDE_MAX {
            rest.grow(number);
        } else {
            rest.beyond = true;
        }
    }
}

impl Rest {
    fn grow(&mut self, number: f64) {
        let mut sum = number;
        let mut kept = 0;
        for at in 0..self.parts.len() {
            let part = self.parts[at];
            let (large, small) = if sum.abs() < part.abs() { (part, sum) } else { (sum, part) };
            sum = large + small;
            let lost = small - (sum - large);
            if lost != 0.0 {
                self.parts[kept] = lost;
                kept += 1;
            }
        }
        self.parts.truncate(kept);
        if sum != 0.0 {
            self.parts.push(sum);
        }
    }

    fn grow_units(&mut self, units: i128) {
        let sign = if units < 0 { -1.0 } else { 1.0 };
        let magnitude = units.unsigned_abs();
        for word in 0..4 {
            let digits = (magnitude >> (32 * word)) as u32;
            if digits != 0 {
                self.grow(sign * f64::from(digits) * 2_f64.powi(32 * word - 64));
            }
        }
    }

    /// The parts do not overlap, so the largest ones decide; what is left over matters when they end halfway
    /// between two numbers.
    fn rounded(&self) -> f64 {
        let mut parts = self.parts.iter().rev();
        let Some(&first) = parts.next() else { return 0.0 };
        let mut sum = first;
        for &part in parts.by_ref() {
            let before = sum;
            sum = before + part;
            let lost = part - (sum - before);
            if lost != 0.0 {
                if parts.next().is_some_and(|next| (*next > 0.0) == (lost > 0.0)) {
                    let twice = lost * 2.0;
                    let up = sum + twice;
                    if up - sum == twice {
                        sum = up;
                    }
                }
                break;
            }
        }
        sum
    }
}

/// How often each key occurs in each cell. Memory grows with different pairs, not with what is counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    entries: Vec<Entry>,
    /// So many of the entries are in order and different.
    settled: usize,
}

/// `count` times the key in the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) cell: u32,
    count: u32,
    pub(crate) key: u64,
}

const SETTLE_ENTRIES_MIN: usize = 16_384;

impl Tally {
    #[inline]
    pub(crate) fn add(&mut self, cell: usize, key: u64) {
        if self.entries.len() == self.entries.capacity() {
            self.make_room();
        }
        self.entries.push(Entry { cell: cell as u32, count: 1, key });
    }

    pub(crate) fn merge(&mut self, other: Tally) {
        self.entries.extend_from_slice(&other.entries);
        self.settle();
    }

    /// The entries by cell and key, each pair once.
    pub(crate) fn sorted(mut self) -> Vec<Entry> {
        self.settle();
        self.entries
    }

    pub(crate) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }

    fn make_room(&mut self) {
        self.settle();
        // Room for as many again: each entry is sorted a logarithmic number of times.
        let room = self.entries.len().max(SETTLE_ENTRIES_MIN);
        self.entries.reserve_exact(room);
    }

    fn settle(&mut self) {
        if self.settled == self.entries.len() {
            return;
        }
        self.entries.sort_unstable_by_key(|entry| (entry.cell, entry.key));
        self.entries.dedup_by(|later, first| {
            let same = (later.cell, later.key) == (first.cell, first.key);
            match first.count.checked_add(later.count) {
                Some(count) if same => {
                    first.count = count;
                    true
                }
                _ => false,
            }
        });
        self.settled = self.entries.len();
    }
}

/// A number as a key that sorts like the number. Zero has no sign.
#[inline]
pub(crate) fn key_of(number: f64) -> u64 {
    let bits = (number + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

#[inline]
pub(crate) fn number_of(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

/// The entries of one cell, of entries by cell and key.
pub(crate) fn of_cell(entries: &[Entry], cell: usize) -> &[Entry] {
    let from = entries.partition_point(|entry| (entry.cell as usize) < cell);
    let len = entries[from..].partition_point(|entry| entry.cell as usize == cell);
    &entries[from..from + len]
}

/// The entries of several cells as if they were one: by key.
pub(crate) fn of_cells(entries: &[Entry], cells: std::ops::Range<usize>) -> Vec<Entry> {
    let from = entries.partition_point(|entry| (entry.cell as usize) < cells.start);
    let len = entries[from..].partition_point(|entry| (entry.cell as usize) < cells.end);
    let mut all = entries[from..from + len].to_vec();
    all.sort_unstable_by_key(|entry| entry.key);
    all
}

/// Different keys of entries that are ordered by key.
pub(crate) fn different(entries: &[Entry]) -> usize {
    entries.chunk_by(|one, next| one.key == next.key).count()
}

/// The percentile of numbers by linear interpolation between the two nearest ranks; `None` of nothing.
/// `entries` are ordered by key.
pub(crate) fn percentile(entries: &[Entry], percent: f64) -> Option<f64> {
    let count: u64 = entries.iter().map(|entry| u64::from(entry.count)).sum();
    // Multiplied first: whole percents of whole ranks stay whole.
    let rank = percent * count.checked_sub(1)? as f64 / 100.0;
    let below = rank.floor() as u64;
    let low = nth(entries, below)?;
    let share = rank - below as f64;
    if share == 0.0 {
        return Some(low);
    }
    let high = nth(entries, below + 1)?;
    Some(low + (high - low) * share)
}

/// The number with so many before it.
fn nth(entries: &[Entry], mut before: u64) -> Option<f64> {
    for entry in entries {
        match before.cmp(&u64::from(entry.count)) {
            Ordering::Less => return Some(number_of(entry.key)),
            _ => before -= u64::from(entry.count),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator, so that tests need no other.
    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn an_axis_finds_what_a_search_finds() {
        for starts in [
            vec![-50, -49, 0, 7, 1_000],
            vec![0, 1],
            (0..400_i64).map(|day| day * 86_400_000_000).collect(),
            (0..30_i64).map(|month| month * 2_600_000_000_000 + (month % 3) * 86_400_000_000).collect(),
        ] {
            let axis = Axis::new(starts.clone());
            let mut state = 88_172_645_463_325_252;
            let (from, to) = (starts[0], starts[starts.len() - 1]);
            let near = starts.iter().flat_map(|start| [start - 1, *start, start + 1]);
            let anywhere = (0..10_000).map(|_| from + (random(&mut state) % (to - from) as u64) as i64);
            for time in near.chain(anywhere.collect::<Vec<_>>()).chain([i64::MIN, i64::MAX]) {
                let expected = (from..to).contains(&time).then(|| starts.partition_point(|start| *start <= time) - 1);
                assert_eq!(axis.find(time), expected, "{time} in {from}..{to}");
            }
        }
    }

    fn sum(numbers: &[f64]) -> Option<f64> {
        let mut sum = Exact::default();
        numbers.iter().for_each(|number| sum.add(*number));
        sum.value()
    }

    #[test]
    fn sums_are_exact_before_they_are_rounded() {
        for (numbers, expected) in [
            (&[][..], 0.0),
            (&[0.1; 10], 1.0),
            (&[19.99, -19.99], 0.0),
            (&[1e16, 1.0, -1e16], 1.0),
            (&[1e100, 1.0, -1e100], 1.0),
            (&[1e-300, 1e280, -1e280], 1e-300),
            (&[5e-324, 5e-324], 1e-323),
            (&[9.2e18, 9.2e18, 9.2e18, -9.2e18, -9.2e18, -9.2e18, 0.5], 0.5),
            // Halfway between two numbers, and a little more.
            (&[9_007_199_254_740_992.0, 1.0], 9_007_199_254_740_992.0),
            (&[9_007_199_254_740_992.0, 1.0, 1e-30], 9_007_199_254_740_994.0),
            (&[-9_007_199_254_740_992.0, -1.0, -1e-30], -9_007_199_254_740_994.0),
            (&[9_007_199_254_740_994.0, -1.0, -1e-30], 9_007_199_254_740_992.0),
        ] {
            assert_eq!(sum(numbers), Some(expected), "{numbers:?}");
        }
        assert_eq!(sum(&[1e300, -1e300]), None);
        assert_eq!(sum(&[1.0, f64::INFINITY]), None);
    }

    #[test]
    fn sums_do_not_depend_on_order_or_parts() {
        let mut state = 42;
        for round in 0..300 {
            let width = [4, 60, 500][round % 3];
            let mut numbers: Vec<f64> = (0..200)
                .map(|_| {
                    let exponent = (random(&mut state) % width) as i32 - width as i32 / 2;
                    let number = (random(&mut state) as i64 as f64) * 2_f64.powi(exponent - 60);
                    if random(&mut state).is_multiple_of(4) { number.round() } else { number }
                })
                .collect();
            let expected = sum(&numbers);
            numbers.reverse();
            let (left, right) = numbers.split_at((random(&mut state) % 200) as usize);
            let mut parts = [left, right].map(|numbers| {
                let mut sum = Exact::default();
                numbers.iter().for_each(|number| sum.add(*number));
                sum
            });
            let [first, second] = &mut parts;
            second.merge(first);
            assert_eq!(second.value().map(f64::to_bits), expected.map(f64::to_bits));
        }
    }

    #[test]
    fn whole_numbers_add_up_like_whole_numbers() {
        let mut state = 7;
        let numbers: Vec<i64> =
            (0..10_000).map(|_| random(&mut state) as i64 >> (random(&mut state) % 50 + 12)).collect();
        let expected: i128 = numbers.iter().map(|number| i128::from(*number)).sum();
        assert_eq!(sum(&numbers.iter().map(|number| *number as f64).collect::<Vec<_>>()), Some(expected as f64));
    }

    #[test]
    fn keys_sort_like_their_numbers() {
        let numbers = [f64::MIN, -2.5, -1e-300, 0.0, 5e-324, 1.0, 1e300];
        for pair in numbers.windows(2) {
            assert!(key_of(pair[0]) < key_of(pair[1]));
        }
        assert_eq!(numbers.map(|number| number_of(key_of(number))), numbers);
        assert_eq!(key_of(-0.0), key_of(0.0));
    }

    fn tally(numbers: &[f64]) -> Vec<Entry> {
        let mut tally = Tally::default();
        numbers.iter().for_each(|number| tally.add(3, key_of(*number)));
        tally.sorted()
    }

    #[test]
    fn percentiles_lie_between_the_two_nearest_ranks() {
        let few = tally(&[4.0, 1.0, 3.0, 2.0]);
        for (percent, expected) in [(0.0, 1.0), (25.0, 1.75), (50.0, 2.5), (100.0, 4.0)] {
            assert_eq!(percentile(&few, percent), Some(expected), "{percent}");
        }
        assert_eq!(percentile(&tally(&[5.0, 5.0, 5.0, -7.0]), 50.0), Some(5.0));
        assert_eq!(percentile(&tally(&[8.0]), 99.0), Some(8.0));
        assert_eq!(percentile(&[], 50.0), None);
        let many = tally(&(0..=10).map(f64::from).collect::<Vec<_>>());
        for percent in 0..=10 {
            assert_eq!(percentile(&many, f64::from(percent * 10)), Some(f64::from(percent)));
        }
    }

    #[test]
    fn a_tally_keeps_pairs_and_not_what_it_counted() {
        let (mut one, mut other) = (Tally::default(), Tally::default());
        for at in 0..1_000_000_u64 {
            let half = if at.is_multiple_of(3) { &mut one } else { &mut other };
            half.add((at % 10) as usize, at % 7);
        }
        assert!(one.bytes() + other.bytes() < 3_000_000, "{} + {}", one.bytes(), other.bytes());
        one.merge(other);
        let entries = one.sorted();
        assert_eq!(entries.len(), 70);
        assert_eq!(entries.iter().map(|entry| u64::from(entry.count)).sum::<u64>(), 1_000_000);
        assert!(entries.windows(2).all(|pair| (pair[0].cell, pair[0].key) < (pair[1].cell, pair[1].key)));
    }
}
