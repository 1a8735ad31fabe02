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

    /// Ascending.
    pub(super) fn entries(&self) -> &[u32] {
        &self.entries
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
                if later.rows().get(1) == Some(&second) && later.reached >= attempt.reached {
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
                Window { sessions: (0, u32::MAX), end: end as u32 }
            }
            Limit::Sessions(count) => {
                let first = self.session_of[entry as usize];
                let last = (first as usize + count as usize).min(self.sessions.len()) - 1;
                let longest = limits::FUNNEL_WINDOW_DAYS_MAX * 86_400_000_000;
                let deadline = self.time(entry).saturating_add(longest);
                let rows = &self.hits[entry as usize..=self.sessions[last].last];
                let end = entry as usize + rows.partition_point(|hit| hit.time <= deadline);
                Window { sessions: (first, first + count), end: end as u32 }
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
        while attempt.reached < shape.steps {
            if open == 0 {
                block += 1;
                open = mask(shape.blocks[block].clone());
                low = self.back(attempt.rows[attempt.reached - 1]).max(floor);
            }
            let next = self.next(&attempt, &window, open, low);
            if let Some(excluded) = self.excluded(&attempt, &window, next) {
                attempt.end = (excluded + 1).max(entry + 1);
                return attempt;
            }
            let Some(row) = next else { return attempt };
            open &= !lowest(open & self.hits[row as usize].tags);
            attempt.rows[attempt.reached] = row;
            attempt.reached += 1;
        }
        attempt.end = attempt.rows().iter().max().map_or(attempt.end, |row| row + 1);
        attempt
    }

    /// The first row within the grace before the given one, which is the last of its block.
    fn back(&self, row: u32) -> u32 {
        let from = self.time(row) - GRACE_US;
        self.hits[..row as usize].partition_point(|hit| hit.time < from) as u32
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
    let first = hits.partition_point(|hit| hit.time < from);
    while let Some(offset) = hits[first.max(floor)..].iter().position(|hit| hit.tags & 1 != 0) {
        let entry = first.max(floor) + offset;
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
pub(super) fn plain_follow(
    steps: usize,
    window_us: i64,
    hits: &[Hit],
    floor: usize,
    entry: usize,
    attempt: &mut Attempt,
) {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn shape(blocks: &[Range<usize>], window: Limit) -> Shape {
        let steps = blocks.last().map_or(0, |block| block.end);
        Shape { steps, blocks: blocks.to_vec(), exclusions: Vec::new(), window }
    }

    fn ordered(steps: usize, window_us: i64) -> Shape {
        let blocks: Vec<_> = (0..steps).map(|step| step..step + 1).collect();
        shape(&blocks, Limit::Time(window_us))
    }

    /// `A 0, B 1.5`: rows with the bits of steps A, B, … at seconds.
    fn rows(text: &str) -> Vec<Hit> {
        let hit = |(row, part): (usize, &str)| {
            let (names, seconds) = part.trim().split_once(' ').unwrap();
            let tags = names.bytes().fold(0, |tags, name| tags | 1 << (name - b'A'));
            let time = (seconds.parse::<f64>().unwrap() * 1e6) as i64;
            Hit { time, tags, file: 0, row: row as u32 }
        };
        text.split(',').enumerate().map(hit).collect()
    }

    /// The rows of every attempt.
    fn found(shape: &Shape, reentry: Reentry, range: (i64, i64), hits: &[Hit]) -> Vec<Vec<u32>> {
        let mut places = Places::default();
        places.clear_steps(shape);
        places.find_exclusions(shape, hits);
        hits.iter().enumerate().for_each(|(row, hit)| places.add(shape, row, hit.tags));
        let course = Course { shape, hits, places: &places, session_of: &[], sessions: &[] };
        let mut found = Vec::new();
        course.attempts(range, reentry, Wanted::All, |attempt| found.push(attempt.rows().to_vec()));
        found
    }

    fn attempts(shape: &Shape, reentry: Reentry, text: &str) -> Vec<Vec<u32>> {
        found(shape, reentry, (i64::MIN / 2, i64::MAX / 2), &rows(text))
    }

    fn excluding(mut shape: Shape, name: u8, after: usize, before: usize) -> Shape {
        shape.exclusions.push(Excluded { bit: 1 << (name - b'A'), after, before });
        shape
    }

    #[test]
    fn other_events_may_come_between_steps() {
        let five = ordered(5, 60 * MINUTE);
        assert_eq!(attempts(&five, Reentry::First, "A 0,B 10,D 20,C 30,D 40,E 50"), [[0, 1, 3, 4, 5]]);
        assert_eq!(attempts(&five, Reentry::First, "A 0,B 10,C 20,E 30"), [[0, 1, 2]]);
    }

    #[test]
    fn the_window_runs_from_the_entry() {
        let three = ordered(3, 60 * MINUTE);
        assert_eq!(attempts(&three, Reentry::First, "A 0,A 1800,B 2700,C 4500"), [[0, 2]]);
        assert_eq!(attempts(&three, Reentry::First, "A 0,A 1800,B 2700,C 3600"), [[0, 2, 3]], "its end included");
    }

    #[test]
    fn the_same_step_twice_needs_two_events() {
        let shape = ordered(2, 60 * MINUTE);
        let hits: Vec<Hit> = rows("AB 0,AB 10,AB 20,AB 30,AB 40");
        assert_eq!(found(&shape, Reentry::First, (0, i64::MAX), &hits), [vec![0, 1], vec![2, 3], vec![4]]);
    }

    #[test]
    fn steps_within_two_seconds_come_in_any_order() {
        let two = ordered(2, 60 * MINUTE);
        assert_eq!(attempts(&two, Reentry::First, "B 8,A 10"), [[1, 0]]);
        assert_eq!(attempts(&two, Reentry::First, "B 7.9,A 10"), [[1]]);
        // Each step looks back from the one before it.
        let three = ordered(3, 60 * MINUTE);
        assert_eq!(attempts(&three, Reentry::First, "C 7,B 8.5,A 10"), [[2, 1, 0]]);
        // What an attempt has used up is gone.
        assert_eq!(attempts(&two, Reentry::First, "A 0,B 1,A 2,B 9"), [[0, 1], [2, 3]]);
    }

    #[test]
    fn excluded_events_end_an_attempt_and_leave_what_it_reached() {
        let two = excluding(ordered(2, 60 * MINUTE), b'A', 1, 2);
        assert_eq!(attempts(&two, Reentry::First, "A 0,A 60,A 120,B 180"), [vec![0], vec![2, 3]]);
        assert_eq!(attempts(&two, Reentry::Optimized, "A 0,A 60,A 120,B 180"), [vec![0], vec![2, 3]]);
        // From the excluded event itself an attempt gets further, if every entry is tried.
        assert_eq!(attempts(&two, Reentry::First, "A 0,A 60,B 180"), [vec![0]]);
        assert_eq!(attempts(&two, Reentry::Optimized, "A 0,A 60,B 180"), [vec![0], vec![1, 2]]);
        let three = excluding(ordered(3, 60 * MINUTE), b'X', 2, 3);
        assert_eq!(
            attempts(&three, Reentry::First, "A 0,X 10,B 20,X 30,C 40,A 50,B 60,C 70"),
            [vec![0, 2], vec![5, 6, 7]]
        );
        let whole = excluding(ordered(3, 60 * MINUTE), b'X', 1, 3);
        assert_eq!(attempts(&whole, Reentry::First, "A 0,X 10,B 20,C 40"), [vec![0]]);
        // Nothing is before the first or after the last step.
        assert_eq!(attempts(&whole, Reentry::First, "X 0,A 10,B 20,C 40,X 50"), [vec![1, 2, 3]]);
    }

    #[test]
    fn excluded_events_within_two_seconds_of_a_step_may_be_outside() {
        let two = excluding(ordered(2, 60 * MINUTE), b'X', 1, 2);
        assert_eq!(attempts(&two, Reentry::First, "A 0,X 2,B 10"), [[0, 2]]);
        assert_eq!(attempts(&two, Reentry::First, "A 0,X 2.1,B 10"), [[0]]);
        assert_eq!(attempts(&two, Reentry::First, "A 0,X 8,B 10"), [[0, 2]]);
        // Without the step there is nothing to be beside; the next attempt begins after it.
        assert_eq!(attempts(&two, Reentry::First, "A 0,X 8,A 9,A 60,B 70"), [vec![0], vec![2, 4]]);
    }

    #[test]
    fn blocks_are_taken_in_any_order() {
        let middle = shape(&[0..1, 1..3, 3..4], Limit::Time(60 * MINUTE));
        assert_eq!(attempts(&middle, Reentry::First, "A 0,C 10,B 20,D 30"), [[0, 1, 2, 3]]);
        assert_eq!(attempts(&middle, Reentry::First, "A 0,D 5,C 10,D 15,B 20"), [[0, 2, 4]]);
        let all = shape(std::slice::from_ref(&(0..3)), Limit::Time(60 * MINUTE));
        assert_eq!(attempts(&all, Reentry::First, "C 0,C 5,A 10,B 20,B 30"), [vec![0, 2, 3], vec![4]]);
        assert_eq!(attempts(&all, Reentry::Optimized, "C 0,C 5,A 10,B 20"), [vec![1, 2, 3]]);
    }

    #[test]
    fn optimized_re_entry_takes_the_latest_entry_that_gets_furthest() {
        let two = ordered(2, 60 * MINUTE);
        assert_eq!(attempts(&two, Reentry::Optimized, "A 0,A 7200,B 7260"), [vec![0], vec![1, 2]]);
        assert_eq!(attempts(&two, Reentry::Optimized, "A 0,A 3000,B 4000"), [vec![0], vec![1, 2]]);
        assert_eq!(attempts(&two, Reentry::First, "A 0,A 3000,B 4000"), [vec![0]]);
        assert_eq!(attempts(&two, Reentry::Optimized, "A 0,A 10,A 20,B 30"), [[2, 3]]);
        assert_eq!(attempts(&two, Reentry::First, "A 0,A 10,A 20,B 30"), [[0, 3]]);
        assert_eq!(attempts(&two, Reentry::Optimized, "A 0,A 10,A 20"), [[0]], "none gets further than the first");
        // Only entries before step 2 move the entry; a conversion under way is not lost.
        let three = ordered(3, 60 * MINUTE);
        assert_eq!(attempts(&three, Reentry::Optimized, "A 0,B 10,A 20,C 30"), [[0, 1, 3]]);
        assert_eq!(attempts(&three, Reentry::Optimized, "A 0,B 10,A 3000,B 4000,C 5000"), [vec![0, 1], vec![2, 3, 4]]);
    }

    #[test]
    fn entries_lie_in_the_range_and_steps_may_lie_after_it() {
        let two = ordered(2, 60 * MINUTE);
        let hits = rows("A 0,A 10,B 20,A 30,B 40,A 50");
        let range = (5_000_000, 35_000_000);
        for reentry in [Reentry::First, Reentry::Optimized] {
            assert_eq!(found(&two, reentry, range, &hits), [[1, 2], [3, 4]]);
        }
    }

    #[test]
    fn a_window_in_sessions_is_that_of_the_entry_and_the_next_ones() {
        let hits = rows("A 0,B 10,A 100,X 110,B 200,X 210,B 300");
        let sessions = [(0, 1), (2, 3), (4, 5), (6, 6)].map(|(first, last)| Session { first, last, events: 1 });
        let session_of = [0, 0, 1, 1, 2, NO_SESSION, 3];
        for (count, expected) in [(1, vec![vec![0, 1], vec![2]]), (2, vec![vec![0, 1], vec![2, 4]])] {
            let shape = shape(&[0..1, 1..2], Limit::Sessions(count));
            let mut places = Places::default();
            places.clear_steps(&shape);
            hits.iter().enumerate().for_each(|(row, hit)| places.add(&shape, row, hit.tags));
            let course =
                Course { shape: &shape, hits: &hits, places: &places, session_of: &session_of, sessions: &sessions };
            let mut found = Vec::new();
            course.attempts((0, i64::MAX), Reentry::First, Wanted::All, |attempt| found.push(attempt.rows().to_vec()));
            assert_eq!(found, expected);
        }
    }

    proptest! {
        /// The one pass of the plain case and the general walk agree.
        #[test]
        fn the_plain_pass_is_the_general_one(
            rows in proptest::collection::vec((1..8_u32, 0..3_i64), 0..40),
            window in 1..30_i64,
            from in 0..20_i64,
            length in 0..30_i64,
        ) {
            let mut time = 0;
            let hits: Vec<Hit> = rows.iter().enumerate().map(|(row, (tags, step))| {
                time += step * 900_000;
                Hit { time, tags: *tags, file: 0, row: row as u32 }
            }).collect();
            let shape = ordered(3, window * 1_000_000);
            let range = (from * 1_000_000, (from + length) * 1_000_000);
            let mut plain = Vec::new();
            plain_attempts(&shape, window * 1_000_000, &hits, range, |attempt| {
                plain.push(attempt.rows().to_vec());
                ControlFlow::Continue(())
            });
            prop_assert_eq!(plain, found(&shape, Reentry::First, range, &hits));
        }

        /// Whatever the question: entries ascend and lie in the range, rows are taken once and within the window,
        /// and nothing gets further than the best of all entries.
        #[test]
        fn attempts_keep_their_promises(
            rows in proptest::collection::vec((1..64_u32, 0..4_i64), 0..40),
            any_order in proptest::collection::vec(any::<bool>(), 4),
            excluded in proptest::collection::vec((4..6_u32, 1..4_usize, 1..4_usize), 0..3),
            window in 1..40_i64,
            optimized in any::<bool>(),
            coarse in any::<bool>(),
        ) {
            let mut time = 0;
            let hits: Vec<Hit> = rows.iter().enumerate().map(|(row, (tags, step))| {
                time += if coarse { (step + 1) * 2_100_000 } else { step * 900_000 };
                // Mostly one meaning for a row.
                let tags = if row % 3 == 0 { *tags } else { 1 << (tags % 6) };
                Hit { time, tags, file: 0, row: row as u32 }
            }).collect();
            let mut blocks: Vec<Range<usize>> = Vec::new();
            for (step, any) in any_order.iter().enumerate() {
                match blocks.last_mut() {
                    Some(block) if *any && any_order[block.start] => block.end = step + 1,
                    _ => blocks.push(step..step + 1),
                }
            }
            let mut shape = shape(&blocks, Limit::Time(window * 1_000_000));
            shape.exclusions = excluded
                .iter()
                .map(|&(bit, after, length)| Excluded { bit: 1 << bit, after, before: (after + length).min(4) })
                .collect();
            let reentry = if optimized { Reentry::Optimized } else { Reentry::First };
            let range = (2_000_000, 20_000_000);
            let mut places = Places::default();
            places.clear_steps(&shape);
            places.find_exclusions(&shape, &hits);
            hits.iter().enumerate().for_each(|(row, hit)| places.add(&shape, row, hit.tags));
            let course = Course { shape: &shape, hits: &hits, places: &places, session_of: &[], sessions: &[] };
            let mut attempts = Vec::new();
            course.attempts(range, reentry, Wanted::All, |attempt| attempts.push(attempt));
            let entries = places.entries().iter().filter(|row| (range.0..range.1).contains(&course.time(**row)));
            let furthest = entries.map(|row| course.follow(0, *row).reached).max();
            // Within the grace, a row may be used up by the attempt before.
            if optimized && coarse {
                let best = attempts.iter().map(|attempt| attempt.reached).max();
                prop_assert!(best >= furthest, "{best:?} {furthest:?}");
            }
            prop_assert_eq!(attempts.is_empty(), furthest.is_none());
            for attempt in &attempts {
                let time = |row: &u32| hits[*row as usize].time;
                prop_assert!((range.0..range.1).contains(&time(&attempt.entry())));
                prop_assert!(attempt.rows().iter().all(|row| time(row) <= time(&attempt.entry()) + window * 1_000_000));
                prop_assert!(attempt.rows().windows(2).all(|pair| time(&pair[1]) >= time(&pair[0]) - GRACE_US));
                let mut rows = attempt.rows().to_vec();
                rows.sort_unstable();
                rows.dedup();
                prop_assert_eq!(rows.len(), attempt.reached);
                prop_assert!(attempt.end > attempt.entry());
            }
            for pair in attempts.windows(2) {
                let first = if optimized { pair[0].entry() + 1 } else { pair[0].end };
                prop_assert!(pair[1].entry() >= first);
                if !optimized {
                    prop_assert!(pair[1].rows().iter().all(|row| *row >= first));
                }
            }
        }
    }
}
