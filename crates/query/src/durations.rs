//! Many durations as compactly as is exact, for their median, mean and distribution.
//!
//! Kept in whole milliseconds, rounded down: rounding down keeps the order, so the median of the rounded is the
//! rounded median. The sum is kept in microseconds, so that the mean is rounded once.

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Edges people read easily, in milliseconds: each about twice the one before it.
const LADDER: [u64; 30] = [
    0,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    20 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    20 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    4 * HOUR,
    8 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    3 * DAY,
    5 * DAY,
    7 * DAY,
    14 * DAY,
    30 * DAY,
    60 * DAY,
    90 * DAY,
    180 * DAY,
    366 * DAY,
    732 * DAY,
];

/// Widths of equal buckets, in milliseconds.
const WIDTHS: [u64; 32] = [
    1,
    2,
    5,
    10,
    20,
    50,
    100,
    200,
    500,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    20 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    20 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    5 * DAY,
    10 * DAY,
    20 * DAY,
    60 * DAY,
];

/// Fewer buckets than this say little: equal ones are made instead.
const LADDER_BUCKETS_MIN: usize = 8;
const WIDTH_BUCKETS_MAX: u64 = 20;

#[derive(Debug, Default)]
pub(crate) struct Durations {
    /// Milliseconds; nearly all are below 49 days.
    short: Vec<u32>,
    long: Vec<u64>,
    sum_us: u128,
}

impl Durations {
    /// A negative duration (steps within the grace, in the other order) is none.
    #[inline]
    pub(crate) fn push(&mut self, duration_us: i64) {
        let us = duration_us.max(0) as u64;
        self.sum_us += u128::from(us);
        match u32::try_from(us / 1_000) {
            Ok(ms) => self.short.push(ms),
            Err(_) => self.long.push(us / 1_000),
        }
    }

    pub(crate) fn add(&mut self, other: Durations) {
        if self.short.is_empty() {
            self.short = other.short;
        } else {
            self.short.extend(other.short);
        }
        self.long.extend(other.long);
        self.sum_us += other.sum_us;
    }

    pub(crate) fn add_all(&mut self, other: &Durations) {
        self.short.extend(&other.short);
        self.long.extend(&other.long);
        self.sum_us += other.sum_us;
    }

    /// The lower median, in milliseconds rounded down.
    pub(crate) fn median_ms(&mut self) -> Option<u64> {
        let all = self.short.len() + self.long.len();
        if all == 0 {
            return None;
        }
        let middle = (all - 1) / 2;
        Some(match middle.checked_sub(self.short.len()) {
            None => u64::from(*self.short.select_nth_unstable(middle).1),
            Some(middle) => *self.long.select_nth_unstable(middle).1,
        })
    }

    /// The mean, in milliseconds rounded down.
    pub(crate) fn average_ms(&self) -> Option<u64> {
        let all = (self.short.len() + self.long.len()) as u128;
        (all > 0).then(|| (self.sum_us / (all * 1_000)) as u64)
    }

    /// Edges in milliseconds, and how many lie in `[edges[i], edges[i + 1])`, the last one closed.
    pub(crate) fn distribution(&self) -> (Vec<u64>, Vec<u64>) {
        let all = || self.short.iter().map(|ms| u64::from(*ms)).chain(self.long.iter().copied());
        let (Some(low), Some(high)) = (all().min(), all().max()) else { return (Vec::new(), Vec::new()) };
        let edges = edges(low, high);
        let mut counts = vec![0; edges.len() - 1];
        let last = counts.len() - 1;
        all().for_each(|ms| counts[(edges.partition_point(|edge| *edge <= ms) - 1).min(last)] += 1);
        (edges, counts)
    }
}

/// At least two edges that enclose both.
fn edges(low: u64, high: u64) -> Vec<u64> {
    let from = LADDER.partition_point(|edge| *edge <= low) - 1;
    let to = LADDER.partition_point(|edge| *edge < high);
    if to < LADDER.len() && to >= from + LADDER_BUCKETS_MIN {
        return LADDER[from..=to].to_vec();
    }
    let fits = |width: &&u64| high / **width - low / **width < WIDTH_BUCKETS_MAX;
    let width = WIDTHS.iter().find(fits).copied().unwrap_or(high + 1);
    (low / width..=high / width + 1).map(|step| step * width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durations(ms: impl IntoIterator<Item = u64>) -> Durations {
        let mut durations = Durations::default();
        ms.into_iter().for_each(|ms| durations.push(ms as i64 * 1_000 + 999));
        durations
    }

    #[test]
    fn the_median_is_the_lower_one_and_the_mean_is_rounded_once() {
        assert_eq!(Durations::default().median_ms(), None);
        assert_eq!(Durations::default().average_ms(), None);
        let mut four = durations([9, 1, 5, 3]);
        assert_eq!(four.median_ms(), Some(3));
        assert_eq!(four.average_ms(), Some(5), "4.5 and 0.999 are 5.499");
        let mut far = durations([60 * DAY, 1, 70 * DAY]);
        assert_eq!(far.median_ms(), Some(60 * DAY));
        far.add(durations([2, 3]));
        assert_eq!(far.median_ms(), Some(3));
        let mut before = Durations::default();
        before.push(-1_500_000);
        assert_eq!(before.median_ms(), Some(0));
    }

    #[test]
    fn edges_are_readable_and_hold_every_duration() {
        let (edges, counts) = durations([0, 20 * SECOND]).distribution();
        assert_eq!(edges, (0..=11).map(|step| step * 2 * SECOND).collect::<Vec<_>>());
        assert_eq!((counts[0], counts[10], counts.iter().sum::<u64>()), (1, 1, 2));
        let (edges, counts) = durations([700, 1_000, 9 * HOUR, 12 * HOUR]).distribution();
        assert_eq!((edges[0], edges[edges.len() - 1]), (0, 12 * HOUR));
        assert_eq!((counts[0], counts[1], counts[counts.len() - 1]), (1, 1, 2), "the last bucket is closed");
        for (low, high) in [(0, 0), (7, 7), (0, 1), (5 * DAY, 6 * DAY), (0, 366 * DAY), (800 * DAY, 900 * DAY)] {
            let (edges, counts) = durations([low, high]).distribution();
            assert_eq!(counts.iter().sum::<u64>(), 2, "{low} {high}");
            assert!(edges.is_sorted() && edges[0] <= low && edges[edges.len() - 1] >= high && counts.len() < 31);
        }
    }
}
