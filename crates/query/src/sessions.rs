//! Sessions: a person's events, cut by a rule, and the report on them.
//!
//! 1. Rows are looked at in order of (time, arrival). Every session ends at midnight of the project's time zone, so a
//!    session lies within one day.
//! 2. By timeout: a session ends when nothing happens for more than the minutes given; exactly as many continue it.
//! 3. By events: outside of a session, an event that matches `start` begins one; within, further starts change
//!    nothing and the first event after it that matches `end` is its last. One that meets no end on its day lasts up
//!    to the last event of the day. Ends outside of a session, and all other events there, are in none.
//! 4. By property: a session is a run of events with the same value. An event without the property is in none and
//!    does not end one. A list of several values, or of none, names no session: as if it were not set.
//! 5. A session lasts from its first to its last event, and counts at its first.
//! 6. The report counts sessions that begin within the range, whole, even when they end after it; a session that
//!    began before the range is not cut by it and does not count. `matching` asks for any of the session's events.

use cofferdam_model::query::{EventMatch, SessionRule, SessionsQuery, Unit};
use cofferdam_model::result::{SessionsCell, SessionsSeries, SessionsTable};
use cofferdam_model::{SubjectNo, limits};
use rustc_hash::FxHashMap;

use crate::calendar::{self, Buckets};
use crate::durations::Durations;
use crate::scan::{Hit, Partial, Scan};
use crate::split::{self, Counts, Split};
use crate::tags::Tags;
use crate::values::Values;
use crate::{Input, Result, check_match, invalid};

/// One session: indices into the person's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) first: usize,
    pub(crate) last: usize,
    /// Events in it; fewer than rows between when some lack the property of the rule.
    pub(crate) events: u32,
}

impl Session {
    pub(crate) fn duration_us(&self, hits: &[Hit]) -> i64 {
        hits[self.last].time - hits[self.first].time
    }
}

/// Stands for "in no session" in [`Cutter::assign`].
pub(crate) const NO_SESSION: u32 = u32::MAX;

/// What a question with sessions must tag beside its own matchers: every event first, then what the rule tells apart.
/// Checks the rule.
pub(crate) fn matchers(rule: &SessionRule) -> Result<Vec<EventMatch>> {
    let mut matchers = vec![EventMatch::default()];
    match rule {
        SessionRule::Timeout { minutes } => {
            if *minutes == 0 || *minutes > limits::SESSION_MINUTES_MAX {
                let (thousands, rest) = (limits::SESSION_MINUTES_MAX / 1_000, limits::SESSION_MINUTES_MAX % 1_000);
                return invalid(format!("a session's timeout is 1 to {thousands},{rest:03} minutes"));
            }
        }
        SessionRule::Events { start, end } => {
            check_match(start)?;
            check_match(end)?;
            matchers.extend([(**start).clone(), (**end).clone()]);
        }
        SessionRule::Property { property } => {
            if property.is_empty() || property.len() > limits::NAME_BYTES_MAX {
                return invalid(format!("a session's property must have 1 to {} bytes", limits::NAME_BYTES_MAX));
            }
        }
    }
    Ok(matchers)
}

/// What sessions of a range ask of a scan: whole days, since a session lies within one.
pub(crate) fn whole_days(input: &Input<'_>, from_us: i64, to_us: i64) -> Result<(i64, i64)> {
    let from = calendar::aligned(from_us, Unit::Day, 0, input.zone)?;
    let to = calendar::aligned(to_us - 1, Unit::Day, 1, input.zone)?;
    Ok((from, to))
}

/// Cuts the rows of persons into sessions.
pub(crate) struct Cutter {
    days: Buckets,
    rule: Rule,
}

enum Rule {
    Timeout { us: i64 },
    Events { start: u32, end: u32 },
    Property(Values),
}

impl Cutter {
    /// `first` is the index of the first of [`matchers`] among those of the scan's tags.
    pub(crate) fn new(scan: &Scan<'_>, rule: &SessionRule, first: usize) -> Result<Cutter> {
        let from = calendar::aligned(scan.from_us, Unit::Day, 0, scan.input.zone)?;
        let days = calendar::cut(from, scan.to_us.max(from + 1), Unit::Day, scan.input.zone)?;
        let rule = match rule {
            SessionRule::Timeout { minutes } => Rule::Timeout { us: i64::from(*minutes) * 60_000_000 },
            SessionRule::Events { .. } => Rule::Events { start: 1 << (first + 1), end: 1 << (first + 2) },
            SessionRule::Property { property } => Rule::Property(Values::new(scan, property)?),
        };
        Ok(Cutter { days, rule })
    }

    /// Clears `out` and fills it with the sessions of a person, in order. `hits` must hold every event of the person.
    pub(crate) fn cut(&self, hits: &[Hit], out: &mut Vec<Session>) {
        out.clear();
        let mut day = 0;
        match &self.rule {
            Rule::Timeout { us } => {
                for (at, hit) in hits.iter().enumerate() {
                    let today = self.days.find(hit.time, day);
                    match out.last_mut() {
                        Some(session) if today == day && hit.time - hits[at - 1].time <= *us => session.last = at,
                        _ => out.push(Session { first: at, last: at, events: 0 }),
                    }
                    day = today;
                }
            }
            Rule::Events { start, end } => {
                let mut open = false;
                for (at, hit) in hits.iter().enumerate() {
                    let today = self.days.find(hit.time, day);
                    open &= today == day;
                    day = today;
                    match out.last_mut() {
                        Some(session) if open => {
                            session.last = at;
                            open = hit.tags & end == 0;
                        }
                        _ if hit.tags & start != 0 => {
                            out.push(Session { first: at, last: at, events: 0 });
                            open = true;
                        }
                        _ => {}
                    }
                }
            }
            Rule::Property(values) => {
                let mut current = None;
                for (at, hit) in hits.iter().enumerate() {
                    let Some(value) = session_id(values, hit) else { continue };
                    let today = self.days.find(hit.time, day);
                    match out.last_mut() {
                        Some(session) if today == day && current == Some(value) => {
                            session.last = at;
                            session.events += 1;
                        }
                        _ => out.push(Session { first: at, last: at, events: 1 }),
                    }
                    (day, current) = (today, Some(value));
                }
                return;
            }
        }
        for session in out {
            session.events = (session.last - session.first + 1) as u32;
        }
    }

    /// Whether a row between the first and last of a session is of it.
    fn holds(&self, hit: &Hit) -> bool {
        match &self.rule {
            Rule::Property(values) => session_id(values, hit).is_some(),
            Rule::Timeout { .. } | Rule::Events { .. } => true,
        }
    }

    /// Clears `of` and gives each row the index of its session, or [`NO_SESSION`].
    pub(crate) fn assign(&self, hits: &[Hit], sessions: &[Session], of: &mut Vec<u32>) {
        of.clear();
        of.resize(hits.len(), NO_SESSION);
        for (index, session) in sessions.iter().enumerate() {
            let rows = session.first..=session.last;
            of[rows.clone()].fill(index as u32);
            if let Rule::Property(values) = &self.rule {
                rows.filter(|at| session_id(values, &hits[*at]).is_none()).for_each(|at| of[at] = NO_SESSION);
            }
        }
    }
}

/// The value that names the session of a row.
fn session_id(values: &Values, hit: &Hit) -> Option<u32> {
    if values.has_lists(hit.file) {
        let mut ids = Vec::new();
        values.ids(hit, &mut ids);
        return if let [id] = ids[..] { Some(id).filter(|id| *id != 0) } else { None };
    }
    Some(values.id(hit)).filter(|id| *id != 0)
}

/// Cells of one answer, in all: what a chart can show, and what fits into memory.
const CELLS_MAX: usize = 500_000;

pub(crate) fn run(input: &Input<'_>, query: &SessionsQuery) -> Result<SessionsTable> {
    check_match(&query.matching)?;
    split::check(query.breakdown.as_ref())?;
    let extra = matchers(&query.sessions)?;
    let (from, to) = calendar::bounds(query.range, input.zone, input.now_us)?;
    let buckets = calendar::cut(from, to, query.unit, input.zone)?;
    let (scan_from, scan_to) = whole_days(input, from, to)?;
    let scan = Scan::new(input, scan_from, scan_to)?;
    let mut all: Vec<(&EventMatch, &[_])> = vec![(&query.matching, &[])];
    all.extend(extra.iter().map(|matching| (matching, &[][..])));
    let tags = Tags::new(&scan, &all)?;
    let report = Report { cutter: Cutter::new(&scan, &query.sessions, 1)?, buckets: &buckets };

    let mut series = Vec::new();
    let mut segments_omitted = 0;
    if let Some(breakdown) = &query.breakdown {
        let split = Split::new(&scan, breakdown)?;
        let partials = scan.histories(
            &tags,
            u32::MAX,
            || Counting { counts: split.counts(), work: Work::default() },
            |partial, person, hits| {
                let Counting { counts, work } = partial;
                report.sessions(hits, work, |session, ids| {
                    split.ids(person, &hits[session.first], ids);
                    ids.iter().for_each(|raw| counts.add(*raw, 1));
                });
            },
        )?;
        let counts = partials.into_iter().map(|partial| partial.counts).reduce(Counts::merge);
        let (split, omitted) =
            split.keep_largest(&counts.unwrap_or_else(|| Counts::Map(FxHashMap::default())), breakdown.limit);
        segments_omitted = omitted;
        let sum = report.count(&scan, &tags, split.len(), |person, hit, ids| split.ids(person, hit, ids))?;
        for (slot, line) in sum.into_iter().enumerate() {
            let (values, total) = line.finish();
            if total.sessions > 0 {
                series.push(SessionsSeries { segment: split.name(slot), values, total });
            }
        }
    } else {
        let sum = report.count(&scan, &tags, 1, |_, _, ids| {
            ids.clear();
            ids.push(0);
        })?;
        for line in sum {
            let (values, total) = line.finish();
            series.push(SessionsSeries { segment: Vec::new(), values, total });
        }
    }
    Ok(SessionsTable {
        buckets: buckets.starts[..buckets.len()].iter().map(|start| calendar::local_text(*start, input.zone)).collect(),
        last_incomplete: to > input.now_us,
        series,
        segments_omitted,
    })
}

struct Report<'a> {
    cutter: Cutter,
    buckets: &'a Buckets,
}

#[derive(Default)]
struct Work {
    sessions: Vec<Session>,
    ids: Vec<u64>,
}

struct Counting {
    counts: Counts,
    work: Work,
}

impl Partial for Counting {
    fn bytes(&self) -> usize {
        self.counts.bytes() + self.work.sessions.capacity() * size_of::<Session>()
    }
}

/// One line of the report while it is counted.
struct Line {
    cells: Vec<Cell>,
    persons: u64,
    last_person: u32,
}

#[derive(Default)]
struct Cell {
    sessions: u64,
    persons: u64,
    bounced: u64,
    events: u64,
    durations: Durations,
    /// The last person counted, by the order of the thread.
    last_person: u32,
}

struct Lines {
    lines: Vec<Line>,
    person: u32,
    /// Durations held.
    held: usize,
    work: Work,
}

impl Partial for Lines {
    fn bytes(&self) -> usize {
        let cells: usize = self.lines.iter().map(|line| line.cells.len()).sum();
        // A growing list holds up to twice what is in it.
        cells * size_of::<Cell>()
            + self.held * 2 * size_of::<u32>()
            + self.work.sessions.capacity() * size_of::<Session>()
    }
}

impl Report<'_> {
    /// Hands the sessions that count to `each`.
    fn sessions(&self, hits: &[Hit], work: &mut Work, mut each: impl FnMut(&Session, &mut Vec<u64>)) {
        const MATCHING: u32 = 1;
        let Work { sessions, ids } = work;
        self.cutter.cut(hits, sessions);
        let (from, to) = (self.buckets.from_us(), self.buckets.to_us());
        for session in sessions.iter() {
            let start = hits[session.first].time;
            let rows = &hits[session.first..=session.last];
            if start >= from && start < to && rows.iter().any(|hit| hit.tags & MATCHING != 0 && self.cutter.holds(hit))
            {
                each(session, ids);
            }
        }
    }

    fn count(
        &self,
        scan: &Scan<'_>,
        tags: &Tags,
        slots: usize,
        segments: impl Fn(SubjectNo, &Hit, &mut Vec<u64>) + Sync,
    ) -> Result<Vec<Line>> {
        if slots * self.buckets.len() > CELLS_MAX {
            return invalid("the answer would be too large: choose a longer unit, a shorter range or fewer segments");
        }
        let line =
            || Line { cells: (0..self.buckets.len()).map(|_| Cell::default()).collect(), persons: 0, last_person: 0 };
        let make = || Lines { lines: (0..slots).map(|_| line()).collect(), person: 0, held: 0, work: Work::default() };
        let partials = scan.histories(tags, u32::MAX, make, |partial, person, hits| {
            partial.person += 1;
            let Lines { lines, person: number, held, work } = partial;
            let mut bucket = 0;
            self.sessions(hits, work, |session, ids| {
                let first = &hits[session.first];
                bucket = self.buckets.find(first.time, bucket);
                segments(person, first, ids);
                for slot in ids.iter() {
                    let line = &mut lines[*slot as usize];
                    line.persons += u64::from(line.last_person != *number);
                    line.last_person = *number;
                    let cell = &mut line.cells[bucket];
                    cell.persons += u64::from(cell.last_person != *number);
                    cell.last_person = *number;
                    cell.sessions += 1;
                    cell.bounced += u64::from(session.events == 1);
                    cell.events += u64::from(session.events);
                    cell.durations.push(session.duration_us(hits));
                    *held += 1;
                }
            });
        })?;
        let mut sum: Vec<Line> = (0..slots).map(|_| line()).collect();
        for partial in partials {
            for (sum, line) in sum.iter_mut().zip(partial.lines) {
                sum.persons += line.persons;
                for (sum, cell) in sum.cells.iter_mut().zip(line.cells) {
                    sum.sessions += cell.sessions;
                    sum.persons += cell.persons;
                    sum.bounced += cell.bounced;
                    sum.events += cell.events;
                    sum.durations.add(cell.durations);
                }
            }
        }
        Ok(sum)
    }
}

impl Line {
    /// The buckets, and the whole range.
    fn finish(self) -> (Vec<SessionsCell>, SessionsCell) {
        let mut whole = Cell { persons: self.persons, ..Cell::default() };
        let mut values = Vec::with_capacity(self.cells.len());
        for cell in self.cells {
            whole.sessions += cell.sessions;
            whole.bounced += cell.bounced;
            whole.events += cell.events;
            whole.durations.add_all(&cell.durations);
            values.push(cell.finish());
        }
        (values, whole.finish())
    }
}

impl Cell {
    fn finish(mut self) -> SessionsCell {
        SessionsCell {
            sessions: self.sessions,
            persons: self.persons,
            bounced: self.bounced,
            events: self.events,
            average_ms: self.durations.average_ms(),
            median_ms: self.durations.median_ms(),
        }
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_model::query::{Breakdown, BreakdownBy, DateRange, Holder, Touch};
    use cofferdam_model::result::Segment;
    use cofferdam_model::{Query, ResultTable};

    use super::*;
    use crate::People;
    use crate::testing::{ask_in, days, named};

    fn sessions(rule: SessionRule, range: DateRange) -> SessionsQuery {
        SessionsQuery { range, unit: Unit::Day, sessions: rule, matching: EventMatch::default(), breakdown: None }
    }

    fn ask(zone: &str, query: &SessionsQuery, text: &str) -> SessionsTable {
        match ask_in(zone, text, &Query::Sessions(query.clone()), &People::default()).unwrap() {
            ResultTable::Sessions(table) => table,
            other => panic!("{other:?}"),
        }
    }

    /// Sessions, persons, bounced, events, average and median minutes of the whole range.
    fn total(query: &SessionsQuery, text: &str) -> (u64, u64, u64, u64, Option<u64>, Option<u64>) {
        let table = ask("UTC", query, text);
        let total = &table.series[0].total;
        let minutes = |ms: Option<u64>| ms.map(|ms| ms / 60_000);
        (
            total.sessions,
            total.persons,
            total.bounced,
            total.events,
            minutes(total.average_ms),
            minutes(total.median_ms),
        )
    }

    #[test]
    fn a_timeout_ends_a_session() {
        let query = sessions(SessionRule::default(), days(5, 5));
        let text = "
            1 5 01:00 A
            1 5 01:10 B
            1 5 01:50 A
            1 5 02:10 B
            1 5 02:25 C";
        assert_eq!(total(&query, text), (2, 1, 0, 5, Some(22), Some(10)), "10 and 35 minutes");
        let text = "
            1 5 01:00 A
            1 5 01:30 A
            1 5 02:00:01 A";
        assert_eq!(total(&query, text), (2, 1, 1, 3, Some(15), Some(0)), "exactly 30 minutes continue it");
    }

    #[test]
    fn midnight_of_the_zone_ends_every_session() {
        let query = sessions(SessionRule::default(), days(5, 6));
        let text = "
            1 5 21:30 A
            1 5 21:50 A
            1 5 22:05 A
            1 5 22:10 A";
        let table = ask("Europe/Madrid", &query, text);
        let days: Vec<_> = table.series[0].values.iter().map(|cell| (cell.sessions, cell.average_ms)).collect();
        assert_eq!(days, [(1, Some(20 * 60_000)), (1, Some(5 * 60_000))]);
        assert_eq!(table.series[0].total.persons, 1);
        assert_eq!(total(&query, text), (1, 1, 0, 4, Some(40), Some(40)), "no midnight there");
        assert!(!table.last_incomplete);
    }

    #[test]
    fn events_begin_and_end_a_session() {
        let rule = SessionRule::Events { start: Box::new(named("Login")), end: Box::new(named("Logout")) };
        let query = sessions(rule, days(5, 5));
        let text = "
            1 5 10:00 View
            1 5 11:00 Login
            1 5 11:15 Login
            1 5 11:45 Logout
            1 5 12:15 Logout
            1 5 13:00 View";
        assert_eq!(total(&query, text), (1, 1, 0, 3, Some(45), Some(45)));
        let open = "
            1 5 11:00 Login
            1 5 11:20 View
            1 6 00:10 Logout
            2 5 11:00 Login";
        assert_eq!(total(&query, open), (2, 2, 1, 3, Some(10), Some(0)));
    }

    #[test]
    fn runs_of_a_value_are_sessions() {
        let query = sessions(SessionRule::Property { property: "id".to_owned() }, days(5, 6));
        let text = "
            1 5 10:00 A id=x
            1 5 10:01 A
            1 5 10:10 A id=x
            1 5 10:20 A id=y
            1 5 10:50 A id=x
            1 5 23:50 A id=x
            1 6 00:10 A id=x";
        assert_eq!(total(&query, text), (4, 1, 2, 6, Some(197), Some(0)));
    }

    #[test]
    fn sessions_count_where_they_begin_whole() {
        let range = DateRange::Last { count: 2, unit: Unit::Hour };
        let mut query = sessions(SessionRule::default(), range);
        query.unit = Unit::Hour;
        // It is noon: the range is 11:00 to 13:00.
        let text = "
            1 20 10:50 A
            1 20 11:10 A
            2 20 11:00 A
            2 20 11:20 B
            3 20 12:50 A
            3 20 13:10 A";
        let table = ask("UTC", &query, text);
        let hours: Vec<_> = table.series[0].values.iter().map(|cell| (cell.sessions, cell.average_ms)).collect();
        assert_eq!(hours, [(1, Some(20 * 60_000)), (1, Some(20 * 60_000))]);
        assert!(table.last_incomplete);
        query.matching = named("B");
        assert_eq!(ask("UTC", &query, text).series[0].total.sessions, 1);
    }

    #[test]
    fn segments_are_those_of_the_first_event() {
        let mut query = sessions(SessionRule::default(), days(5, 5));
        let by = BreakdownBy { on: Holder::Event, property: "page".to_owned(), buckets: None };
        query.breakdown = Some(Breakdown { by: vec![by], limit: 1, touch: Touch::Every });
        let text = "
            1 5 10:00 A page=home
            1 5 10:01 A page=shop
            1 5 12:00 A page=home
            2 5 10:00 A page=shop
            2 5 12:00 A";
        let table = ask("UTC", &query, text);
        let lines: Vec<_> =
            table.series.iter().map(|line| (line.segment.clone(), line.total.sessions, line.total.persons)).collect();
        assert_eq!(lines, [(vec![Segment::Value("home".to_owned())], 2, 1), (vec![Segment::Other], 2, 1)]);
        assert_eq!(table.segments_omitted, 2);
    }
}
