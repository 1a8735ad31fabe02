//! A person's attempts at a funnel: which events take its steps, where an attempt ends, which entry begins it.
//! The numbered definitions are at the head of [`super`]. Pure functions of the person's rows.

use std::ops::{ControlFlow, Range};

use cofferdam_model::limits;
use cofferdam_model::query::Reentry;

use crate::scan::Hit;
use crate::sessions::{NO_SESSION, Session};

/// Events this close together may be taken in any order.
pub(super) const GRACE_US: i64 = 2_000_000;

/// The steps of a funnel, as bits of a tag: step `k`, counted from 0, is bit `k`.
pub(super) struct Shape {
    pub(super) steps: usize,
    /// Steps that may be taken in any order among themselves; a step that may not is a block of its own.
    pub(super) blocks: Vec<Range<usize>>,
    pub(super) exclusions: Vec<Excluded>,
    pub(super) window: Limit,
}

/// An event that must not happen between the `after`-th and the `before`-th event of an attempt, counted from 1.
pub(super) struct Excluded {
    pub(super) bit: u32,
    pub(super) after: usize,
    pub(super) before: usize,
}

/// How far from its entry an attempt reaches.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    /// Microseconds, both ends included.
    Time(i64),
    /// The session of the entry and the next ones, this many in all.
    Sessions(u32),
}

/// One way through the funnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    /// How many steps.
    pub(super) reached: usize,
    /// The rows that took them, in the order of steps taken.
    rows: [u32; limits::FUNNEL_STEPS_MAX],
    /// The first row after it.
    pub(super) end: u32,
}

impl Attempt {
    pub(super) fn rows(&self) -> &[u32] {
        &self.rows[..self.reached]
    }

    pub(super) fn entry(&self) -> u32 {
        self.rows[0]
    }
}

/// Places of the rows that can take steps: of all of a person's rows, or of those with one value of the properties
/// held constant.
#[derive(Default)]
pub(super) struct Places {
    steps: Vec<Vec<u32>>,
    /// Rows that match a step of the first block.
    entries: Vec<u32>,
    exclusions: Vec<Vec<u32>>,
}

impl Places {
    pub(super) fn clear_steps(&mut self, shape: &Shape) {
        self.steps.resize(shape.steps, Vec::new());
        self.steps.iter_mut().for_each(Vec::clear);
        self.entries.clear();
    }

    /// Rows must come in order.
    pub(super) fn add(&mut self, shape: &Shape, row: usize, tags: u32) {
        let mut open = tags & mask(0..shape.steps);
        if open & mask(shape.blocks[0].clone()) != 0 {
            self.entries.push(row as u32);
        }
        while open != 0 {
            self.steps[open.trailing_zeros() as usize].push(row as u32);
            open &= open - 1;
        }
    }

    pub(super) fn find_exclusions(&mut self, shape: &Shape, hits: &[Hit]) {
        self.exclusions.resize(shape.exclusions.len(), Vec::new());
        for (rows, excluded) in self.exclusions.iter_mut().zip(&shape.exclusions) {
            rows.clear();
            rows.extend((0..hits.len() as u32).filter(|row| hits[*row as usize].tags & excluded.bit != 0));
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let lists = self.steps.iter().chain(&self.exclusions).chain([&self.entries]);
        lists.map(|rows| rows.capacity() * size_of::<u32>()).sum()
    }
}

/// The bits of steps.
pub(super) fn mask(steps: Range<usize>) -> u32 {
    steps.fold(0, |mask, step| mask | 1 << step)
}

/// One person's rows, ready to be walked.
pub(super) struct Course<'a> {
    pub(super) shape: &'a Shape,
    pub(super) hits: &'a [Hit],
    pub(super) places: &'a Places,
    /// Both empty unless the question has sessions; then the session of each row, and all of them.
    pub(super) session_of: &'a [u32],
    pub(super) sessions: &'a [Session],
}

/// Which of the attempts are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    /// The first, as `Reentry` understands it.
    One,
}

/// Where the window of an entry ends.
#[derive(Clone, Copy)]
struct Window {
    /// µs UTC, included.
    deadline: i64,
    /// Sessions from..to; all of them when time alone decides.
    sessions: (u32, u32),
    /// The first row after the window.
    end: u32,
}

impl Course<'_> {
    fn time(&self, row: u32) -> i64 {
        self.hits[row as usize].time
    }

    /// Hands the attempts that enter within `from..to` to `each`, in order of their first entries.
    pub(super) fn attempts(
        &self,
        (from, to): (i64, i64),
        reentry: Reentry,
        wanted: Wanted,
        mut each: impl FnMut(Attempt),
    ) {
        let entries = &self.places.entries;
        let mut at = entries.partition_point(|row| self.time(*row) < from);
        let mut floor = 0;
        while let Some(&entry) = entries.get(at).filter(|row| self.time(**row) < to) {
            if !self.session_of.is_empty() && self.session_of[entry as usize] == NO_SESSION {
                at += 1;
                continue;
            }
            let mut attempt = self.follow(floor, entry);
            let mut next = None;
            if reentry == Reentry::Optimized {
                attempt = self.latest(floor, attempt, at, to);
                if attempt.reached < self.shape.steps {
                    next = self.further(floor, &attempt, at, to);
                }
            }
            each(attempt);
            if wanted == Wanted::One && (reentry == Reentry::First || attempt.reached == self.shape.steps) {
                return;
            }
            at = next.unwrap_or_else(|| {
                floor = attempt.end;
                at + 1 + entries[at + 1..].partition_point(|row| *row < floor)
            });
        }
    }

    /// The attempt from the latest entry before its second event that leads to that same event.
    fn latest(&self, floor: u32, attempt: Attempt, at: usize, to: i64) -> Attempt {
        let [entry, second, ..] = *attempt.rows() else { return attempt };
        let between = self.places.entries[at..].iter().take_while(|row| **row < second && self.time(**row) < to);
        let count = between.count();
        let later = self.places.entries[at..at + count].iter().rev().take_while(|row| **row > entry);
        for &row in later {
            if self.session_of.is_empty() || self.session_of[row as usize] != NO_SESSION {
                let later = self.follow(floor, row);
                if later.rows().get(1) == Some(&second) {
                    return later;
                }
            }
        }
        attempt
    }

    /// The index of the first entry during an attempt that did not convert from which another one gets further.
    fn further(&self, floor: u32, attempt: &Attempt, at: usize, to: i64) -> Option<usize> {
        let entries = &self.places.entries;
        let from = at + entries[at..].partition_point(|row| *row <= attempt.entry());
        let during = entries[from..].iter().take_while(|row| **row < attempt.end && self.time(**row) < to);
        let found = during.enumerate().find(|(_, row)| {
            (self.session_of.is_empty() || self.session_of[**row as usize] != NO_SESSION)
                && self.follow(floor, **row).reached > attempt.reached
        });
        found.map(|(offset, _)| from + offset)
    }

    fn window(&self, entry: u32) -> Window {
        match self.shape.window {
            Limit::Time(us) => {
                let deadline = self.time(entry).saturating_add(us);
                let after = &self.hits[entry as usize..];
                let end = entry as usize + after.partition_point(|hit| hit.time <= deadline);
                Window { deadline, sessions: (0, u32::MAX), end: end as u32 }
            }
            Limit::Sessions(count) => {
                let first = self.session_of[entry as usize];
                let last = (first as usize + count as usize).min(self.sessions.len()) - 1;
                let longest = limits::FUNNEL_WINDOW_DAYS_MAX * 86_400_000_000;
                let deadline = self.time(entry).saturating_add(longest);
                let rows = &self.hits[entry as usize..=self.sessions[last].last];
                let end = entry as usize + rows.partition_point(|hit| hit.time <= deadline);
                Window { deadline, sessions: (first, first + count), end: end as u32 }
            }
        }
    }

    fn within(&self, window: &Window, row: u32) -> bool {
        let (from, to) = window.sessions;
        row < window.end && (to == u32::MAX || (from..to).contains(&self.session_of[row as usize]))
    }

    /// The attempt that begins at an entry; rows before `floor` are those of an earlier one.
    pub(super) fn follow(&self, floor: u32, entry: u32) -> Attempt {
        let shape = self.shape;
        let window = self.window(entry);
        let mut attempt = Attempt { reached: 1, rows: [0; limits::FUNNEL_STEPS_MAX], end: window.end };
        attempt.rows[0] = entry;
        let mut block = 0;
        let mut open = mask(shape.blocks[0].clone());
        open &= !lowest(open & self.hits[entry as usize].tags);
        // Within the first block the entry is the earliest.
        let mut low = entry + 1;
        let mut latest = self.time(entry);
        while attempt.reached < shape.steps {
            if open == 0 {
                block += 1;
                open = mask(shape.blocks[block].clone());
                low = self.back(attempt.rows[attempt.reached - 1], latest - GRACE_US).max(floor);
                latest = i64::MIN;
            }
            let next = self.next(&attempt, &window, open, low);
            if let Some(excluded) = self.excluded(&attempt, &window, next) {
                attempt.end = (excluded + 1).max(entry + 1);
                return attempt;
            }
            let Some(row) = next else { return attempt };
            open &= !lowest(open & self.hits[row as usize].tags);
            latest = latest.max(self.time(row));
            attempt.rows[attempt.reached] = row;
            attempt.reached += 1;
        }
        attempt.end = attempt.rows().iter().max().map_or(attempt.end, |row| row + 1);
        attempt
    }

    /// The first row, at or before the given one, that is not earlier than an instant.
    fn back(&self, row: u32, from: i64) -> u32 {
        let mut row = row as usize;
        while self.hits[row].time < from {
            row += 1;
        }
        while row > 0 && self.hits[row - 1].time >= from {
            row -= 1;
        }
        row as u32
    }

    /// The earliest row from `low` on, not taken yet, that takes one of the open steps.
    fn next(&self, attempt: &Attempt, window: &Window, open: u32, low: u32) -> Option<u32> {
        let mut steps = open;
        let mut earliest: Option<u32> = None;
        while steps != 0 {
            let rows = &self.places.steps[steps.trailing_zeros() as usize];
            steps &= steps - 1;
            let from = rows.partition_point(|row| *row < low);
            let before = earliest.unwrap_or(window.end);
            let found = rows[from..]
                .iter()
                .take_while(|row| **row < before)
                .find(|row| !attempt.rows().contains(row) && self.within(window, **row));
            earliest = found.copied().or(earliest);
        }
        earliest
    }

    /// The first excluded row that ends the attempt before it takes its next step, with `next` or, when there is
    /// none, within the window.
    fn excluded(&self, attempt: &Attempt, window: &Window, next: Option<u32>) -> Option<u32> {
        let reached = attempt.reached;
        let active = |excluded: &Excluded| excluded.after <= reached && reached < excluded.before;
        let exclusions = self.shape.exclusions.iter().zip(&self.places.exclusions);
        let first = |(excluded, rows): (&Excluded, &Vec<u32>)| {
            let after = self.time(attempt.rows[excluded.after - 1]) + GRACE_US;
            let row = *rows.get(rows.partition_point(|row| self.time(*row) <= after))?;
            let before = match next {
                Some(next) => self.time(row) < self.time(next) - GRACE_US,
                None => row < window.end,
            };
            before.then_some(row)
        };
        exclusions.filter(|(excluded, _)| active(excluded)).filter_map(first).min()
    }
}

fn lowest(bits: u32) -> u32 {
    bits & bits.wrapping_neg()
}

/// The plain case: steps in order, the first entry, a window in time, nothing excluded, nothing held. One pass.
pub(super) fn plain_attempts(
    shape: &Shape,
    window_us: i64,
    hits: &[Hit],
    (from, to): (i64, i64),
    mut each: impl FnMut(&Attempt) -> ControlFlow<()>,
) {
    let mut floor = 0;
    let mut attempt = Attempt { reached: 0, rows: [0; limits::FUNNEL_STEPS_MAX], end: 0 };
    while let Some(offset) = hits[floor..].iter().position(|hit| hit.tags & 1 != 0 && hit.time >= from) {
        let entry = floor + offset;
        if hits[entry].time >= to {
            return;
        }
        plain_follow(shape.steps, window_us, hits, floor, entry, &mut attempt);
        if each(&attempt).is_break() {
            return;
        }
        floor = attempt.end as usize;
    }
}

/// Follows one attempt of the plain case.
#[inline]
pub(super) fn plain_follow(steps: usize, window_us: i64, hits: &[Hit], floor: usize, entry: usize, attempt: &mut Attempt) {
    let deadline = hits[entry].time.saturating_add(window_us);
    attempt.rows[0] = entry as u32;
    attempt.reached = 1;
    let mut last = entry;
    while attempt.reached < steps {
        let from = hits[last].time - GRACE_US;
        let mut row = last;
        while row > floor && hits[row - 1].time >= from {
            row -= 1;
        }
        let bit = 1 << attempt.reached;
        loop {
            let Some(hit) = hits.get(row).filter(|hit| hit.time <= deadline) else {
                attempt.end = row as u32;
                return;
            };
            if hit.tags & bit != 0 && !attempt.rows().contains(&(row as u32)) {
                break;
            }
            row += 1;
        }
        attempt.rows[attempt.reached] = row as u32;
        attempt.reached += 1;
        last = row;
    }
    attempt.end = attempt.rows().iter().max().map_or(0, |row| row + 1);
}
