//! Retention: of those who did A in an interval, how many did B in the k-th interval after.
//!
//! 1. A person is born at their first matching event in the range, or, with `each_interval`, at the first in every
//!    interval of the range.
//! 2. A return is a matching event later than the birth event (in order of time, then arrival): the birth
//!    event itself is none, so interval 0 counts who came back within the interval of birth.
//! 3. Calendar alignment: interval k is the k-th day, week or month after the one of birth. Rolling: k × 24 hours,
//!    7 days or 30 days from the birth event. With brackets of lengths b1, b2, … interval 1 is the next b1 units, and
//!    so on.
//! 4. `on`: a return lies in interval k. `on_or_after`: in it or later, however much later. `on_or_before`: in it or
//!    an earlier one, interval 0 included. `streak`: in it and in every one from interval 1 on before it.
//! 5. With a breakdown a person belongs to the segment of their birth event's value; of a list, to each item's.
//!
//! A person's returns are one bit per interval, so that each mode is a few operations on a word.

use cofferdam_model::limits;
use cofferdam_model::query::{Alignment, CohortRule, RetentionMode, RetentionQuery, Unit};
use cofferdam_model::result::{RetentionCohort, RetentionSegment, RetentionTable};

use crate::calendar::{self, Buckets, Finder};
use crate::scan::{Hit, Partial, Person, Scan};
use crate::split::{self, Counts, Split};
use crate::tags::Tags;
use crate::{Input, Result, check_filters, check_match, invalid};

const BORN: u32 = 1;
const RETURNED: u32 = 2;

pub(crate) fn run(input: &Input<'_>, query: &RetentionQuery) -> Result<RetentionTable> {
    check(query)?;
    let (from, to) = calendar::bounds(query.range, input.zone, input.now_us)?;
    let births = calendar::cut(from, to, query.unit, input.zone)?;
    let brackets = Brackets::new(query);
    let units = brackets.of_unit.len() as i64;
    // Calendar intervals go on after the range: far enough for the last cohort's last interval.
    let until = calendar::aligned(to - 1, query.unit, units + 1, input.zone)?;
    let intervals = calendar::cut(from, until, query.unit, input.zone)?;
    let length = rolling_us(query.unit);
    let scan_until = match (query.mode, query.alignment) {
        (RetentionMode::OnOrAfter, _) => i64::MAX,
        (_, Alignment::Calendar) => until,
        (_, Alignment::Rolling) => to.saturating_add(units * length),
    };
    let scan = Scan::new(input, from, scan_until)?;
    let tags = Tags::new(&scan, &[(&query.born, &query.filters), (&query.returned, &query.filters)])?;
    let width = query.intervals as usize + 1;
    let walk = Walk {
        scan: &scan,
        query,
        births: Finder::new(&births),
        births_until: to,
        intervals: Finder::new(&intervals),
        intervals_until: until,
        brackets: &brackets,
        length,
    };
    let shape = |segments: usize| Table::new(segments * births.len(), width);
    // Persons without a birth cost a look at their tags.
    let partials = scan.persons(
        &tags,
        || walk.partial(shape(1)),
        |state, person| {
            walk.person(state, person, |table, cohort, _, bits| table.add(cohort, bits));
        },
    )?;
    let overall = Table::sum(partials.into_iter().map(|state| state.table), shape(1));
    let rows = |table: &Table, first: usize| rows(input, query, &births, &intervals, &brackets, table, first, length);

    let mut segments = Vec::new();
    let mut segments_omitted = 0;
    if let Some(breakdown) = &query.breakdown {
        let split = Split::new(&scan, breakdown)?;
        let counted = scan.persons(
            &tags,
            || walk.partial(Counted { counts: split.counts(), ids: Vec::new() }),
            |state, person| {
                walk.person(state, person, |counted, _, birth, _| {
                    split.ids(person.subject, birth, &mut counted.ids);
                    counted.ids.iter().for_each(|id| counted.counts.add(*id, 1));
                });
            },
        )?;
        let counts = counted.into_iter().fold(split.counts(), |sum, state| sum.merge(state.table.counts));
        let (split, omitted) = split.keep_largest(&counts, breakdown.limit);
        segments_omitted = omitted;
        let make = || walk.partial(Slotted { table: shape(split.len()), ids: Vec::new() });
        let partials = scan.persons(&tags, make, |state, person| {
            walk.person(state, person, |slotted, cohort, birth, bits| {
                split.ids(person.subject, birth, &mut slotted.ids);
                for slot in &slotted.ids {
                    slotted.table.add(*slot as usize * births.len() + cohort, bits);
                }
            });
        })?;
        let table = Table::sum(partials.into_iter().map(|state| state.table.table), shape(split.len()));
        for slot in 0..split.len() {
            let cohorts = rows(&table, slot * births.len());
            if !cohorts.is_empty() {
                let average = (0..width).map(|k| average(&cohorts, k)).collect();
                segments.push(RetentionSegment { segment: split.name(slot), cohorts, average });
            }
        }
    }
    let cohorts = rows(&overall, 0);
    let average = (0..width).map(|k| average(&cohorts, k)).collect();
    Ok(RetentionTable { cohorts, average, segments, segments_omitted })
}

fn check(query: &RetentionQuery) -> Result<()> {
    if !matches!(query.unit, Unit::Day | Unit::Week | Unit::Month) {
        return invalid("retention is by day, week or month");
    }
    if query.intervals == 0 || query.intervals > limits::RETENTION_INTERVALS_MAX {
        return invalid(format!("ask for 1 to {} intervals", limits::RETENTION_INTERVALS_MAX));
    }
    if !query.brackets.is_empty() {
        if query.brackets.len() != query.intervals as usize {
            return invalid("give as many brackets as there are intervals, or none");
        }
        if query.brackets.iter().any(|length| *length == 0 || *length > limits::RETENTION_BRACKET_MAX) {
            return invalid(format!("a bracket is 1 to {} units long", limits::RETENTION_BRACKET_MAX));
        }
        if query.brackets.iter().sum::<u32>() > limits::RETENTION_BRACKETS_SUM_MAX {
            return invalid(format!("all brackets together have at most {} units", limits::RETENTION_BRACKETS_SUM_MAX));
        }
    }
    check_filters(&query.filters)?;
    check_match(&query.born)?;
    check_match(&query.returned)?;
    split::check(query.breakdown.as_ref())
}

fn rolling_us(unit: Unit) -> i64 {
    let days = match unit {
        Unit::Week => 7,
        Unit::Month => 30,
        Unit::Minute | Unit::Hour | Unit::Day => 1,
    };
    days * 86_400_000_000
}

/// Which interval a number of units after birth is in.
struct Brackets {
    /// By units after birth.
    of_unit: Vec<u8>,
    /// First unit of each interval, and the end of the last.
    starts: Vec<u32>,
}

impl Brackets {
    fn new(query: &RetentionQuery) -> Brackets {
        let mut brackets = Brackets { of_unit: vec![0], starts: vec![0, 1] };
        for k in 1..=query.intervals {
            let length = query.brackets.get(k as usize - 1).copied().unwrap_or(1);
            brackets.of_unit.extend(std::iter::repeat_n(k as u8, length as usize));
            brackets.starts.push(brackets.of_unit.len() as u32);
        }
        brackets
    }
}

/// Sizes and returns, by (segment, cohort).
struct Table {
    width: usize,
    sizes: Vec<u64>,
    retained: Vec<u64>,
}

struct Counted {
    counts: Counts,
    ids: Vec<u64>,
}

struct Slotted {
    table: Table,
    ids: Vec<u64>,
}

/// A partial result with what walking a person needs again and again.
struct State<T> {
    table: T,
    hits: Vec<Hit>,
}

trait Held {
    fn bytes(&self) -> usize;
}

impl Held for Table {
    fn bytes(&self) -> usize {
        (self.sizes.len() + self.retained.len()) * 8
    }
}

impl Held for Counted {
    fn bytes(&self) -> usize {
        Partial::bytes(&self.counts)
    }
}

impl Held for Slotted {
    fn bytes(&self) -> usize {
        self.table.bytes()
    }
}

impl<T: Held + Send> Partial for State<T> {
    fn bytes(&self) -> usize {
        self.table.bytes() + self.hits.capacity() * size_of::<Hit>()
    }
}

impl Table {
    fn new(rows: usize, width: usize) -> Table {
        Table { width, sizes: vec![0; rows], retained: vec![0; rows * width] }
    }

    #[inline]
    fn add(&mut self, row: usize, bits: u64) {
        self.sizes[row] += 1;
        let mut rest = bits;
        while rest != 0 {
            self.retained[row * self.width + rest.trailing_zeros() as usize] += 1;
            rest &= rest - 1;
        }
    }

    fn sum(partials: impl Iterator<Item = Table>, empty: Table) -> Table {
        partials.fold(empty, |mut sum, part| {
            sum.sizes.iter_mut().zip(part.sizes).for_each(|(sum, part)| *sum += part);
            sum.retained.iter_mut().zip(part.retained).for_each(|(sum, part)| *sum += part);
            sum
        })
    }
}

struct Walk<'a> {
    scan: &'a Scan<'a>,
    query: &'a RetentionQuery,
    births: Finder<'a>,
    births_until: i64,
    intervals: Finder<'a>,
    intervals_until: i64,
    brackets: &'a Brackets,
    length: i64,
}

impl Walk<'_> {
    fn partial<T>(&self, table: T) -> State<T> {
        State { table, hits: Vec::new() }
    }

    /// Calls `each` with every cohort the person is in, the birth event, and a bit per interval retained.
    #[inline]
    fn person<T>(&self, state: &mut State<T>, person: &Person<'_>, mut each: impl FnMut(&mut T, usize, &Hit, u64)) {
        let State { table, hits } = state;
        // Most persons are in one file, or in a few that follow each other, and most are born once.
        let born = person.allowed & BORN;
        if born == 0 || !person.spans.iter().any(|span| span.tags.any(born)) {
            return;
        }
        if self.query.cohorts == CohortRule::FirstTime
            && let Some(first) = self.first_birth(person, born)
        {
            if let Some((cohort, birth, bits)) = first {
                each(table, cohort, &birth, bits);
            }
            return;
        }
        self.scan.hits(person, hits);
        let mut last_cohort = None;
        for (at, birth) in hits.iter().enumerate() {
            if birth.time >= self.births_until {
                return;
            }
            if birth.tags & BORN == 0 {
                continue;
            }
            let cohort = self.births.find(birth.time);
            if last_cohort == Some(cohort) {
                continue;
            }
            last_cohort = Some(cohort);
            let mut returns = Returns::new(self, cohort, birth.time);
            for hit in &hits[at + 1..] {
                if hit.tags & RETURNED != 0 && !returns.add(hit.time) {
                    break;
                }
            }
            each(table, cohort, birth, returns.bits());
            if self.query.cohorts == CohortRule::FirstTime {
                return;
            }
        }
    }
}

impl Walk<'_> {
    /// The person's first birth and what came after it, without putting rows in order: in which order files follow
    /// each other does not matter here. The outer `None`: two rows of the same instant are in different files, and
    /// only the order of arrival can tell.
    #[inline]
    fn first_birth(&self, person: &Person<'_>, born: u32) -> Option<Option<(usize, Hit, u64)>> {
        let mut first: Option<(usize, usize, Hit)> = None;
        for (index, span) in person.spans.iter().enumerate() {
            let Some(at) = span.tags.first(0, born) else { continue };
            let row = span.row + at as u32;
            let time = self.scan.file(span.file).core.time.get(row as usize);
            match &first {
                Some((.., birth)) if birth.time == time => return None,
                Some((.., birth)) if birth.time < time => {}
                _ => first = Some((index, at, Hit { time, tags: span.tags.get(at), file: span.file, row })),
            }
        }
        let Some((index, at, birth)) = first else { return Some(None) };
        if birth.time >= self.births_until {
            return Some(None);
        }
        let cohort = self.births.find(birth.time);
        let mut returns = Returns::new(self, cohort, birth.time);
        let returned = person.allowed & RETURNED;
        for (other, span) in person.spans.iter().enumerate() {
            let time = &self.scan.file(span.file).core.time;
            let from = if other == index { at + 1 } else { 0 };
            let mut tie = false;
            span.tags.each_while(from, returned, |at| {
                let time = time.get(span.row as usize + at);
                if other != index && time <= birth.time {
                    tie |= time == birth.time;
                    return !tie;
                }
                returns.add(time)
            });
            if tie {
                return None;
            }
        }
        Some(Some((cohort, birth, returns.bits())))
    }
}

/// The intervals in which one person came back.
struct Returns<'a> {
    walk: &'a Walk<'a>,
    cohort: usize,
    born_us: i64,
    bits: u64,
    /// The unit of time of the last return, µs UTC: another one within it changes nothing.
    within: (i64, i64),
}

impl<'a> Returns<'a> {
    fn new(walk: &'a Walk<'a>, cohort: usize, born_us: i64) -> Returns<'a> {
        Returns { walk, cohort, born_us, bits: 0, within: (0, 0) }
    }

    /// Notes a return; false when later ones cannot matter.
    #[inline]
    fn add(&mut self, time_us: i64) -> bool {
        if time_us >= self.within.0 && time_us < self.within.1 {
            return true;
        }
        let unit = match self.walk.query.alignment {
            Alignment::Rolling => {
                let unit = (time_us - self.born_us) / self.walk.length;
                let begin = self.born_us + unit * self.walk.length;
                self.within = (begin, begin + self.walk.length);
                unit as usize
            }
            Alignment::Calendar if time_us >= self.walk.intervals_until => usize::MAX,
            Alignment::Calendar => {
                let interval = self.walk.intervals.find(time_us);
                self.within = self.walk.intervals.bounds(interval);
                interval - self.cohort
            }
        };
        match self.walk.brackets.of_unit.get(unit) {
            Some(k) => {
                self.bits |= 1 << k;
                true
            }
            None => {
                if self.walk.query.mode == RetentionMode::OnOrAfter {
                    self.bits |= 1 << self.walk.query.intervals;
                }
                false
            }
        }
    }

    /// A bit per interval that counts as retained.
    #[inline]
    fn bits(&self) -> u64 {
        // At most 61 intervals.
        let all = (1_u64 << (self.walk.query.intervals + 1)) - 1;
        match (self.walk.query.mode, self.bits) {
            (_, 0) => 0,
            (RetentionMode::On, bits) => bits,
            (RetentionMode::OnOrAfter, bits) => u64::MAX >> bits.leading_zeros(),
            (RetentionMode::OnOrBefore, bits) => all & (u64::MAX << bits.trailing_zeros()),
            (RetentionMode::Streak, bits) => {
                let streak = (bits >> 1).trailing_ones();
                bits & 1 | ((1 << streak) - 1) << 1
            }
        }
    }
}

/// The rows of a table's cohorts, from its row `first` on.
#[expect(clippy::too_many_arguments, reason = "what a row is made of")]
fn rows(
    input: &Input<'_>,
    query: &RetentionQuery,
    births: &Buckets,
    intervals: &Buckets,
    brackets: &Brackets,
    table: &Table,
    first: usize,
    length: i64,
) -> Vec<RetentionCohort> {
    let mut cohorts = Vec::new();
    for cohort in (0..births.len()).filter(|cohort| table.sizes[first + cohort] > 0) {
        let (start, end) = (births.starts[cohort], births.starts[cohort + 1]);
        let mut begun = 0;
        let mut complete = 0;
        for pair in brackets.starts.windows(2) {
            let (begins, ends) = match query.alignment {
                Alignment::Calendar => {
                    (intervals.starts[cohort + pair[0] as usize], intervals.starts[cohort + pair[1] as usize])
                }
                Alignment::Rolling => (start + i64::from(pair[0]) * length, end + i64::from(pair[1]) * length),
            };
            begun += usize::from(begins <= input.now_us);
            complete += u32::from(ends <= input.now_us);
        }
        let retained = (first + cohort) * table.width;
        cohorts.push(RetentionCohort {
            start: calendar::local_text(start, input.zone),
            size: table.sizes[first + cohort],
            retained: table.retained[retained..retained + begun].to_vec(),
            complete,
        });
    }
    cohorts
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

const _: () = assert!(limits::RETENTION_INTERVALS_MAX < 62, "intervals are bits of a word");
