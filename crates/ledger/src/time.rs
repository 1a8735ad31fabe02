//! Time in the ledger: sequence numbers order, a count that never goes back measures, the wall clock is written down
//! beside them and never trusted with either.

use std::sync::Arc;
use std::time::Instant;

use cofferdam_model::limits;

use crate::entry::Recorded;

/// The wall clock: microseconds since 1970-01-01 UTC.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// When something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub mono_us: u64,
    pub time_us: u64,
}

/// Makes the times of entries.
pub(crate) struct Timekeeper {
    clock: Clock,
    started: Instant,
    base_us: u64,
    last: Option<Moment>,
}

impl Timekeeper {
    /// Goes on after the last entry. Time that passed while nothing ran is taken from the wall clock, forwards only.
    pub(crate) fn new(clock: Clock, last: Option<Moment>) -> Timekeeper {
        let now_us = u64::try_from(clock()).unwrap_or(0);
        let base_us = last.map_or(0, |last| last.mono_us.saturating_add(now_us.saturating_sub(last.time_us)));
        Timekeeper { clock, started: Instant::now(), base_us, last }
    }

    pub(crate) fn now(&self) -> Moment {
        let time_us = u64::try_from((self.clock)()).unwrap_or(0);
        let passed_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mono_us = self.base_us.saturating_add(passed_us).max(self.last.map_or(0, |last| last.mono_us));
        if cofferdam_model::sabotage::is_out(52) {
            return Moment { mono_us: time_us, time_us };
        }
        Moment { mono_us, time_us }
    }

    /// The time of the next entry, and whether the wall clock was set since the one before.
    pub(crate) fn next(&mut self) -> (Moment, bool) {
        let now = self.now();
        let is_stepped = self.last.is_some_and(|last| {
            let wall = now.time_us.cast_signed().wrapping_sub(last.time_us.cast_signed());
            let passed = now.mono_us.cast_signed().wrapping_sub(last.mono_us.cast_signed());
            wall.abs_diff(passed) > limits::LEDGER_CLOCK_STEP_SECONDS.unsigned_abs() * 1_000_000
        });
        self.last = Some(now);
        (now, is_stepped)
    }
}

/// A legal deadline, counted from an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// By the wall clock of the entry it is counted from.
    pub due_time_us: u64,
    /// Microseconds left by the count that never goes back; none when it is past.
    pub left_us: Option<u64>,
    /// The wall clock was set in between: the date may be wrong, the time left is not.
    pub is_clock_in_doubt: bool,
}

impl Deadline {
    /// `later` are the entries after `from`, in any order.
    pub fn after<'a>(
        from: &Recorded,
        limit_us: u64,
        later: impl IntoIterator<Item = &'a Recorded>,
        now: Moment,
    ) -> Deadline {
        let wall = now.time_us.cast_signed().wrapping_sub(from.time_us.cast_signed());
        let passed = now.mono_us.saturating_sub(from.mono_us);
        let differs =
            wall.abs_diff(passed.cast_signed()) > limits::LEDGER_CLOCK_STEP_SECONDS.unsigned_abs() * 1_000_000;
        Deadline {
            due_time_us: from.time_us.saturating_add(limit_us),
            left_us: limit_us.checked_sub(passed).filter(|left| *left > 0),
            is_clock_in_doubt: differs || later.into_iter().any(|entry| entry.is_clock_stepped),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::entry::{Entry, Kind};

    const DAY_US: i64 = 86_400_000_000;

    #[test]
    fn time_never_goes_back_and_a_clock_that_was_set_is_noted() {
        let wall = Arc::new(AtomicI64::new(1_800_000_000_000_000));
        let clock: Clock = {
            let wall = wall.clone();
            Arc::new(move || wall.load(Ordering::Relaxed))
        };
        let mut keeper = Timekeeper::new(clock.clone(), None);
        let (first, _) = keeper.next();
        let mut last = first;
        for (jump, expected) in [(DAY_US, true), (0, false), (-2 * DAY_US, true), (1_000_000, false), (DAY_US, true)] {
            wall.fetch_add(jump, Ordering::Relaxed);
            let (now, is_stepped) = keeper.next();
            assert_eq!(is_stepped, expected, "{jump}");
            assert!(now.mono_us >= last.mono_us && now.mono_us - last.mono_us < DAY_US as u64 / 2);
            last = now;
        }
        // After a start the count goes on; a clock that went back meanwhile does not take it along.
        wall.fetch_sub(3 * DAY_US, Ordering::Relaxed);
        let mut again = Timekeeper::new(clock, Some(last));
        let (now, is_stepped) = again.next();
        assert!(now.mono_us >= last.mono_us && is_stepped);

        let from = Recorded {
            seq: 0,
            mono_us: first.mono_us,
            time_us: first.time_us,
            is_clock_stepped: false,
            entry: Entry::of(Kind::IncidentOpened),
        };
        let three_days = 3 * DAY_US as u64;
        let deadline = Deadline::after(&from, three_days, [], now);
        assert!(deadline.is_clock_in_doubt && deadline.left_us.is_some());
        let on_time = Moment { mono_us: first.mono_us + 1_000_000, time_us: first.time_us + 1_000_000 };
        let deadline = Deadline::after(&from, three_days, [], on_time);
        assert_eq!((deadline.is_clock_in_doubt, deadline.left_us), (false, Some(three_days - 1_000_000)));
        let past = Moment { mono_us: first.mono_us + three_days, time_us: first.time_us + three_days };
        assert_eq!(Deadline::after(&from, three_days, [], past).left_us, None);
        let stepped = Recorded { is_clock_stepped: true, ..from.clone() };
        assert!(Deadline::after(&from, three_days, [&stepped], on_time).is_clock_in_doubt);
    }
}
