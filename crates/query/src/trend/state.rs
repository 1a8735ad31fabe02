//! What threads fill while a snapshot is walked for Insights, and what becomes of it.
//!
//! One [`State`] per metric: counts, numbers, marks of persons, or the weights of segments. States of two threads are
//! merged by adding; no person is in two.

use std::ops::Range;

use cofferdam_model::query::{Aggregate, Measure, Touch};
use rustc_hash::FxHashMap;

use super::{Job, Line};
use crate::measure::{self, Axis, Exact, Tally};
use crate::scan::Partial;
use crate::sessions::Session;

/// A thread's share of a walk.
pub(super) struct Share {
    /// The person at hand, by the order of this thread, from 1.
    pub(super) person: u32,
    pub(super) states: Vec<State>,
    pub(super) room: Room,
}

/// Working space.
#[derive(Default)]
pub(super) struct Room {
    /// The lines of the row at hand; without a breakdown always the only one.
    pub(super) segments: Vec<u64>,
    pub(super) seen: Vec<u64>,
    pub(super) ids: Vec<u32>,
    pub(super) values: Vec<u64>,
    pub(super) sessions: Vec<Session>,
    pub(super) session_of: Vec<u32>,
    /// The last bucket found, and the instants in it.
    pub(super) bucket: usize,
    pub(super) span: Range<i64>,
}

impl Room {
    /// The bucket of an instant: mostly that of the row before.
    #[inline]
    pub(super) fn bucket(&mut self, axis: &Axis, time_us: i64) -> Option<usize> {
        if !self.span.contains(&time_us) {
            self.bucket = axis.find(time_us)?;
            self.span = axis.starts()[self.bucket]..axis.starts()[self.bucket + 1];
        }
        Some(self.bucket)
    }
}

impl Partial for Share {
    fn bytes(&self) -> usize {
        let room = self.room.sessions.capacity() * size_of::<Session>() + self.room.session_of.capacity() * 4;
        self.states.iter().map(State::bytes).sum::<usize>() + room
    }
}

impl Share {
    /// Ends a person: their numbers join those of the others.
    pub(super) fn settle(&mut self, jobs: &[Job<'_>]) {
        for (job, state) in jobs.iter().zip(&mut self.states) {
            if let State::PerPerson { entries, numbers } = state {
                entries.sort_unstable();
                for keys in entries.chunk_by(|one, next| one.0 == next.0) {
                    if let Some(number) = job.person_number(keys) {
                        numbers.add(keys[0].0 as usize, number);
                    }
                }
                entries.clear();
            }
        }
    }
}

/// What is counted for a metric. A cell is a bucket of a line; the cell after a line's last bucket is the whole range.
pub(super) enum State {
    /// Events.
    Counts(Vec<u64>),
    /// Numbers of events.
    Numbers(Folded),
    /// Different values.
    Values(Tally),
    Persons(Marks),
    Active(Active),
    PerPerson {
        /// Cells and keys of the person at hand.
        entries: Vec<(u32, u64)>,
        numbers: Folded,
    },
    /// Of segments, before lines are chosen.
    Weight(Weights),
}

/// Numbers of which one is made.
pub(super) enum Folded {
    Sum(Vec<Exact>),
    Average(Vec<(Exact, u64)>),
    /// NaN: none.
    Min(Vec<f64>),
    Max(Vec<f64>),
    Ranked(Tally),
}

/// Persons, each once per cell.
pub(super) struct Marks {
    /// The last person counted in a cell.
    pub(super) last: Vec<u32>,
    pub(super) counts: Vec<u32>,
    /// By bucket: the last person whose segments there are known. Empty where every segment counts.
    pub(super) claimed: Vec<u32>,
}

/// Persons within trailing windows.
pub(super) struct Active {
    /// By line: the last person, and the window up to which they are counted.
    last: Vec<(u32, u32)>,
    /// How many more persons a window has than the one before.
    change: Vec<i64>,
    stride: usize,
}

#[derive(Clone, Copy)]
pub(super) enum Weigh {
    Events,
    Persons,
    Sum,
}

/// How large each segment is.
pub(super) struct Weights {
    pub(super) by: Weigh,
    /// Buckets before it do not count.
    pub(super) from_bucket: usize,
    /// By raw id, where that is small.
    dense: Vec<u32>,
    sparse: FxHashMap<u64, u32>,
    /// Raw id, the last person, a count.
    segments: Vec<(u64, u32, u64)>,
    /// The last raw id and person weighed.
    latest: (u64, u32),
    sums: Vec<Exact>,
}

impl State {
    pub(super) fn new(job: &Job<'_>, lines: usize, stride: usize) -> State {
        let cells = lines * stride;
        match job.measure {
            Measure::Total | Measure::Sessions | Measure::CohortSize { .. } => State::Counts(vec![0; cells]),
            Measure::Unique => State::Persons(Marks {
                last: vec![0; cells],
                counts: vec![0; cells],
                claimed: if job.touch == Touch::Every { Vec::new() } else { vec![0; stride] },
            }),
            Measure::Active { .. } => {
                State::Active(Active { last: vec![(0, 0); lines], change: vec![0; cells], stride })
            }
            Measure::Distinct { .. } => State::Values(Tally::default()),
            Measure::PerPerson { .. } => {
                State::PerPerson { entries: Vec::new(), numbers: Folded::new(job.aggregate(), cells) }
            }
            _ => State::Numbers(Folded::new(job.aggregate(), cells)),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            State::Counts(counts) => counts.len() * 8,
            State::Numbers(numbers) => numbers.bytes(),
            State::Values(tally) => tally.bytes(),
            State::Persons(marks) => marks.last.len() * 8,
            State::Active(active) => active.change.len() * 8 + active.last.len() * 8,
            State::PerPerson { entries, numbers } => entries.capacity() * 16 + numbers.bytes(),
            State::Weight(weights) => weights.bytes(),
        }
    }

    pub(super) fn merge(&mut self, other: State) {
        match (self, other) {
            (State::Counts(sum), State::Counts(part)) => add(sum, &part),
            (State::Numbers(sum), State::Numbers(part)) => sum.merge(part),
            (State::Values(sum), State::Values(part)) => sum.merge(part),
            (State::Persons(sum), State::Persons(part)) => add(&mut sum.counts, &part.counts),
            (State::Active(sum), State::Active(part)) => add(&mut sum.change, &part.change),
            (State::PerPerson { numbers: sum, .. }, State::PerPerson { numbers: part, .. }) => sum.merge(part),
            (State::Weight(sum), State::Weight(part)) => sum.merge(part),
            _ => unreachable!("all threads make the same states"),
        }
    }

    pub(super) fn finish(self, job: &Job<'_>, lines: usize, stride: usize, lead: usize) -> Vec<Line> {
        let buckets = stride - 1;
        let of_counts = |count: &dyn Fn(usize) -> f64, total: &dyn Fn(usize) -> f64| {
            (0..lines)
                .map(|line| Line {
                    values: (0..buckets).map(|at| Some(count(line * stride + at))).collect(),
                    total: Some(total(line)),
                })
                .collect::<Vec<Line>>()
        };
        match self {
            State::Counts(counts) => of_counts(&|cell| counts[cell] as f64, &|line| {
                counts[line * stride + lead..line * stride + buckets].iter().sum::<u64>() as f64
            }),
            State::Persons(Marks { counts, .. }) => {
                of_counts(&|cell| f64::from(counts[cell]), &|line| f64::from(counts[line * stride + buckets]))
            }
            State::Active(active) => active.finish(lines),
            State::Values(tally) => {
                let entries = tally.sorted();
                of_counts(&|cell| measure::different(measure::of_cell(&entries, cell)) as f64, &|line| {
                    let all = measure::of_cells(&entries, line * stride + lead..line * stride + buckets);
                    measure::different(&all) as f64
                })
            }
            State::Numbers(numbers) => {
                numbers.finish(job.aggregate(), lines, stride, |line| line * stride + lead..line * stride + buckets)
            }
            State::PerPerson { numbers, .. } => {
                numbers.finish(job.aggregate(), lines, stride, |line| line * stride + buckets..line * stride + stride)
            }
            State::Weight(_) => Vec::new(),
        }
    }
}

fn add<T: Copy + std::ops::AddAssign>(sum: &mut [T], part: &[T]) {
    sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += *part);
}

impl Folded {
    pub(super) fn new(aggregate: Aggregate, cells: usize) -> Folded {
        match aggregate {
            Aggregate::Sum => Folded::Sum(vec![Exact::default(); cells]),
            Aggregate::Average => Folded::Average(vec![Default::default(); cells]),
            Aggregate::Min => Folded::Min(vec![f64::NAN; cells]),
            Aggregate::Max => Folded::Max(vec![f64::NAN; cells]),
            Aggregate::Median | Aggregate::Percentile { .. } => Folded::Ranked(Tally::default()),
        }
    }

    #[inline]
    pub(super) fn add(&mut self, cell: usize, number: f64) {
        match self {
            Folded::Sum(sums) => sums[cell].add(number),
            Folded::Average(sums) => {
                sums[cell].0.add(number);
                sums[cell].1 += 1;
            }
            // The other operand, where one is NaN.
            Folded::Min(lowest) => lowest[cell] = lowest[cell].min(number),
            Folded::Max(highest) => highest[cell] = highest[cell].max(number),
            Folded::Ranked(tally) => tally.add(cell, measure::key_of(number)),
        }
    }

    pub(super) fn merge(&mut self, other: Folded) {
        match (self, other) {
            (Folded::Sum(sum), Folded::Sum(part)) => sum.iter_mut().zip(&part).for_each(|(sum, part)| sum.merge(part)),
            (Folded::Average(sum), Folded::Average(part)) => {
                for (sum, part) in sum.iter_mut().zip(&part) {
                    sum.0.merge(&part.0);
                    sum.1 += part.1;
                }
            }
            (Folded::Min(sum), Folded::Min(part)) => {
                sum.iter_mut().zip(part).for_each(|(sum, part)| *sum = sum.min(part))
            }
            (Folded::Max(sum), Folded::Max(part)) => {
                sum.iter_mut().zip(part).for_each(|(sum, part)| *sum = sum.max(part))
            }
            (Folded::Ranked(sum), Folded::Ranked(part)) => sum.merge(part),
            _ => unreachable!("all threads make the same states"),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Folded::Sum(sums) => sums.len() * size_of::<Exact>(),
            Folded::Average(sums) => sums.len() * size_of::<(Exact, u64)>(),
            Folded::Min(numbers) | Folded::Max(numbers) => numbers.len() * 8,
            Folded::Ranked(tally) => tally.bytes(),
        }
    }

    /// The number of each cell; the total is that of the cells `whole` names, put together.
    pub(super) fn finish(
        self,
        aggregate: Aggregate,
        lines: usize,
        stride: usize,
        whole: impl Fn(usize) -> Range<usize>,
    ) -> Vec<Line> {
        let number: Box<dyn Fn(Range<usize>) -> Option<f64>> = match self {
            Folded::Sum(sums) => Box::new(move |cells| {
                let mut all = Exact::default();
                sums[cells].iter().for_each(|sum| all.merge(sum));
                all.value()
            }),
            Folded::Average(sums) => Box::new(move |cells| {
                let (mut all, mut count) = (Exact::default(), 0);
                for (sum, numbers) in &sums[cells] {
                    all.merge(sum);
                    count += numbers;
                }
                all.value().filter(|_| count > 0).map(|sum| sum / count as f64)
            }),
            Folded::Min(lowest) => Box::new(move |cells| {
                Some(lowest[cells].iter().copied().fold(f64::NAN, f64::min)).filter(|low| !low.is_nan())
            }),
            Folded::Max(highest) => Box::new(move |cells| {
                Some(highest[cells].iter().copied().fold(f64::NAN, f64::max)).filter(|high| !high.is_nan())
            }),
            Folded::Ranked(tally) => {
                let entries = tally.sorted();
                let percent = match aggregate {
                    Aggregate::Percentile { percent } => percent,
                    _ => 50.0,
                };
                Box::new(move |cells| match cells.len() {
                    1 => measure::percentile(measure::of_cell(&entries, cells.start), percent),
                    _ => measure::percentile(&measure::of_cells(&entries, cells), percent),
                })
            }
        };
        let cell = |cell: usize| number(cell..cell + 1);
        (0..lines)
            .map(|line| Line {
                values: (0..stride - 1).map(|at| cell(line * stride + at)).collect(),
                total: number(whole(line)),
            })
            .collect()
    }
}

impl Marks {
    /// Whether the segments of this event count in a bucket (or, as the last, the whole range).
    #[inline]
    pub(super) fn claim(&mut self, bucket: usize, person: u32) -> bool {
        match self.claimed.get_mut(bucket) {
            None => true,
            Some(claimed) => std::mem::replace(claimed, person) != person,
        }
    }

    #[inline]
    pub(super) fn mark(&mut self, cell: usize, person: u32) {
        let last = &mut self.last[cell];
        self.counts[cell] += u32::from(*last != person);
        *last = person;
    }
}

impl Active {
    /// A person is in the windows `low..high`. Their events come in order, so both bounds ascend.
    #[inline]
    pub(super) fn mark(&mut self, line: usize, person: u32, (low, high): (u32, u32)) {
        let (last, until) = &mut self.last[line];
        let from = if *last == person { low.max(*until) } else { low };
        if from < high {
            let cell = line * self.stride;
            self.change[cell + from as usize] += 1;
            self.change[cell + high as usize] -= 1;
            (*last, *until) = (person, high);
        }
    }

    pub(super) fn finish(self, lines: usize) -> Vec<Line> {
        let of_line = |line: usize| {
            let mut persons = 0;
            let change = &self.change[line * self.stride..(line + 1) * self.stride - 1];
            let values: Vec<Option<f64>> = change
                .iter()
                .map(|change| {
                    persons += change;
                    Some(persons as f64)
                })
                .collect();
            Line { total: values.last().copied().flatten(), values }
        };
        (0..lines).map(of_line).collect()
    }
}

impl Weights {
    /// Raw ids below it are found by table.
    const DENSE_MAX: u64 = 1 << 16;

    pub(super) fn new(job: &Job<'_>, from_bucket: usize) -> Weights {
        let by = match job.measure {
            Measure::Unique | Measure::Active { .. } | Measure::PerPerson { .. } => Weigh::Persons,
            Measure::Sum { .. } => Weigh::Sum,
            _ => Weigh::Events,
        };
        Weights {
            by,
            from_bucket,
            dense: Vec::new(),
            sparse: FxHashMap::default(),
            segments: Vec::new(),
            latest: (0, 0),
            sums: Vec::new(),
        }
    }

    #[inline]
    fn at(&mut self, raw: u64) -> usize {
        let next = self.segments.len() as u32;
        let index = if raw < Self::DENSE_MAX {
            if self.dense.len() <= raw as usize {
                self.dense.resize((raw as usize + 1).next_power_of_two(), u32::MAX);
            }
            &mut self.dense[raw as usize]
        } else {
            self.sparse.entry(raw).or_insert(u32::MAX)
        };
        if *index == u32::MAX {
            *index = next;
            self.segments.push((raw, 0, 0));
            if matches!(self.by, Weigh::Sum) {
                self.sums.push(Exact::default());
            }
        }
        *index as usize
    }

    #[inline]
    pub(super) fn event(&mut self, raw: u64) {
        let at = self.at(raw);
        self.segments[at].2 += 1;
    }

    #[inline]
    pub(super) fn person(&mut self, raw: u64, person: u32) {
        // Most persons have one segment.
        if std::mem::replace(&mut self.latest, (raw, person)) == (raw, person) {
            return;
        }
        let at = self.at(raw);
        let (_, last, count) = &mut self.segments[at];
        *count += u64::from(*last != person);
        *last = person;
    }

    pub(super) fn number(&mut self, raw: u64, number: f64) {
        let at = self.at(raw);
        self.sums[at].add(number);
    }

    pub(super) fn merge(&mut self, other: Weights) {
        for (index, (raw, _, count)) in other.segments.into_iter().enumerate() {
            let at = self.at(raw);
            self.segments[at].2 += count;
            if let Some(sum) = other.sums.get(index) {
                self.sums[at].merge(sum);
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.dense.len() * 4 + self.sparse.capacity() * 16 + self.segments.capacity() * 24 + self.sums.capacity() * 32
    }

    /// The weight of every segment that occurred.
    pub(super) fn finish(self) -> impl Iterator<Item = (u64, f64)> {
        let Weights { segments, sums, .. } = self;
        segments.into_iter().enumerate().map(move |(index, (raw, _, count))| {
            let sum = sums.get(index).map(|sum| sum.value().unwrap_or(0.0));
            (raw, sum.unwrap_or(count as f64))
        })
    }
}
