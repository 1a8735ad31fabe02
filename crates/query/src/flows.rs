//! Flows: which events come before and after an anchor, as paths.
//!
//! 1. An anchor is an event within the range that matches. `total`: every one. `unique`: a person's first (with a
//!    breakdown, their first in each segment). `sessions`: the first of every session.
//! 2. From the anchor the path goes on, and back, event by event in order of (time, arrival), as long as they lie
//!    within the window (sessions: within the anchor's session and the `count - 1` next to it on that side).
//! 3. Looked through as if they had not happened: hidden events, events that do not pass the filters, events whose
//!    held-constant properties differ from the anchor's, with a window in sessions events in none, and, when repeats
//!    collapse, an event that is shown like the one before it on the path. Lists with the same items, in whatever
//!    order, are the same value; an event expanded by a list is shown by its first item.
//! 4. An excluded event ends the path on its side; the anchor itself is never excluded.
//! 5. A step is the n-th event of a path from the anchor. Its nodes are the most frequent events there (equal counts
//!    by name), the others are summed up; a path that ends before a step has dropped off there, once, at the first
//!    step that it does not reach.
//! 6. Links and whole paths count paths; a link to or from an event that is no node of its step counts as "other".
//!
//! Every different path is counted once in a table under a number made of its events, from which the rest follows.

use cofferdam_lake::Codes;
use cofferdam_model::query::{Count, EventMatch, FlowsQuery};
use cofferdam_model::result::{Flow, FlowLink, FlowName, FlowNode, FlowPath, FlowSegment, FlowStep, FlowsTable};
use cofferdam_model::{SubjectNo, limits};
use rustc_hash::FxHashMap;

use crate::scan::{CodesView, Hit, Partial, Person, Scan, Tagged, TimesView, View};
use crate::sessions::{self, Cutter, NO_SESSION, Session};
use crate::split::{self, Counts, Split};
use crate::tags::Tags;
use crate::values::Values;
use crate::{Input, Result, calendar, check_filters, check_match, invalid};

const ANCHOR: u32 = 1;
const VISIBLE: u32 = 2;
/// The first of the matchers that sessions need.
const SESSION_MATCHERS: usize = 2;

/// Steps of one path.
const STEPS_MAX: usize = (limits::FLOW_BEFORE_MAX + limits::FLOW_AFTER_MAX) as usize;

pub(crate) fn run(input: &Input<'_>, query: &FlowsQuery) -> Result<FlowsTable> {
    check(query)?;
    let (from, to) = calendar::bounds(query.range, input.zone, input.now_us)?;
    let by_session = query.count == Count::Sessions || query.window.us().is_none();
    let (scan_from, scan_to) = reach(input, query, (from, to))?;
    let scan = Scan::new(input, scan_from, scan_to)?;

    let everything = EventMatch::default();
    let mut matchers: Vec<(&EventMatch, &[_])> = vec![(&query.anchor, &query.filters), (&everything, &query.filters)];
    let for_sessions = if by_session { sessions::matchers(&query.sessions)? } else { Vec::new() };
    matchers.extend(for_sessions.iter().map(|matching| (matching, &[][..])));
    let first_exclusion = matchers.len();
    matchers.extend(query.exclusions.iter().map(|matching| (matching, &[][..])));
    let excluded = (first_exclusion..matchers.len()).fold(0, |bits, index| bits | 1 << index);
    let tags = Tags::new(&scan, &matchers)?;
    let walker = Walker {
        query,
        range: (from, to),
        excluded,
        nodes: Nodes::new(&scan, query)?,
        held: query.hold_constant.iter().map(|name| Values::new(&scan, name)).collect::<Result<_>>()?,
        cutter: by_session.then(|| Cutter::new(&scan, &query.sessions, SESSION_MATCHERS)).transpose()?,
        window: query.window.us(),
    };
    walker.nodes.check(query)?;

    let overall = walker.count(&scan, &tags, 1, |_, _, slots| slots.push(0))?;
    let mut table = FlowsTable { overall: walker.flow(&overall[0]), segments: Vec::new(), segments_omitted: 0 };
    if let Some(breakdown) = &query.breakdown {
        let split = Split::new(&scan, breakdown)?;
        let make = || Anchors { counts: split.counts(), work: Work::default() };
        let partials = scan.histories(&tags, ANCHOR, make, |partial, person, hits| {
            let Anchors { counts, work } = partial;
            walker.anchors(
                hits,
                work,
                |hit, ids| split.ids(person, hit, ids),
                |_, _, ids| {
                    ids.iter().for_each(|raw| counts.add(*raw, 1));
                },
            );
        })?;
        let counts = partials.into_iter().fold(split.counts(), |sum, partial| sum.merge(partial.counts));
        let (split, omitted) = split.keep_largest(&counts, breakdown.limit);
        table.segments_omitted = omitted;
        let flows = walker.count(&scan, &tags, split.len(), |person, hit, slots| split.ids(person, hit, slots))?;
        for (slot, paths) in flows.iter().enumerate().filter(|(_, paths)| paths.iter().next().is_some()) {
            table.segments.push(FlowSegment { segment: split.name(slot), flow: walker.flow(paths) });
        }
    }
    Ok(table)
}

fn check(query: &FlowsQuery) -> Result<()> {
    check_match(&query.anchor)?;
    check_filters(&query.filters)?;
    query.exclusions.iter().try_for_each(check_match)?;
    split::check(query.breakdown.as_ref())?;
    let steps = query.before + query.after;
    if query.before > limits::FLOW_BEFORE_MAX || query.after > limits::FLOW_AFTER_MAX || steps == 0 {
        return invalid(format!(
            "a flow looks up to {} steps back and {} ahead, and at least one in all",
            limits::FLOW_BEFORE_MAX,
            limits::FLOW_AFTER_MAX
        ));
    }
    if query.nodes == 0 || query.nodes > limits::FLOW_NODES_MAX || query.paths > limits::FLOW_PATHS_MAX {
        return invalid(format!(
            "a flow lists 1 to {} nodes per step and at most {} paths",
            limits::FLOW_NODES_MAX,
            limits::FLOW_PATHS_MAX
        ));
    }
    if let Some(window) = query.window.us()
        && (window <= 0 || window > limits::FUNNEL_WINDOW_DAYS_MAX * 86_400_000_000)
    {
        return invalid(format!("a flow's window is 1 second to {} days", limits::FUNNEL_WINDOW_DAYS_MAX));
    }
    if query.window.us().is_none() && query.window.count == 0 {
        return invalid("a window has at least 1 session");
    }
    if query.hidden.len() > limits::FLOW_HIDDEN_MAX || query.expand.len() > limits::FLOW_EXPAND_MAX {
        return invalid(format!(
            "a flow hides at most {} events and expands {}",
            limits::FLOW_HIDDEN_MAX,
            limits::FLOW_EXPAND_MAX
        ));
    }
    if query.hold_constant.len() > limits::HOLD_CONSTANT_MAX {
        return invalid(format!("at most {} properties are held constant", limits::HOLD_CONSTANT_MAX));
    }
    if query.exclusions.len() > limits::EXCLUSIONS_MAX {
        return invalid(format!("at most {} exclusions", limits::EXCLUSIONS_MAX));
    }
    Ok(())
}

/// Which events a path may reach, µs UTC.
fn reach(input: &Input<'_>, query: &FlowsQuery, (from, to): (i64, i64)) -> Result<(i64, i64)> {
    let day = 86_400_000_000;
    let (from, to) = match query.window.us() {
        Some(window) => (
            if query.before > 0 { from.saturating_sub(window) } else { from },
            if query.after > 0 { to.saturating_add(window) } else { to },
        ),
        // A session lies within a day; several are looked for as far as the longest window reaches.
        None if query.window.count == 1 => (from, to),
        None => {
            let far = limits::FUNNEL_WINDOW_DAYS_MAX * day;
            (if query.before > 0 { from - far } else { from }, if query.after > 0 { to + far } else { to })
        }
    };
    if query.count == Count::Sessions || query.window.us().is_none() {
        return sessions::whole_days(input, from, to);
    }
    Ok((from, to))
}

/// What an event is shown as: node 0 is not shown at all.
struct Nodes {
    names: Vec<FlowName>,
    /// By file, by event code.
    by_event: Vec<Vec<Shown>>,
    /// By file, the nodes by event code once more where a code is a byte and no node depends on the row.
    plain: Vec<Option<Box<[u32; 256]>>>,
    expanded: Vec<Values>,
    /// The node of every anchor, where it is known: then it is no part of a path's number.
    anchor: Option<u32>,
}

#[derive(Clone, Copy)]
enum Shown {
    /// 0 for a hidden event.
    Node(u32),
    /// The node is the first one, plus the id of the value of `expanded[index]`.
    By { index: u32, first: u32 },
}

impl Nodes {
    fn new(scan: &Scan<'_>, query: &FlowsQuery) -> Result<Nodes> {
        let mut names = vec![FlowName { event: String::new(), value: None }];
        let mut by_name: FxHashMap<String, Shown> = FxHashMap::default();
        for hidden in &query.hidden {
            by_name.insert(hidden.clone(), Shown::Node(0));
        }
        let mut expanded = Vec::new();
        for expansion in &query.expand {
            let values = Values::new(scan, &expansion.property)?;
            let shown = Shown::By { index: expanded.len() as u32, first: names.len() as u32 };
            if !by_name.contains_key(&expansion.event) {
                for id in 0..values.len() as u32 {
                    names.push(FlowName { event: expansion.event.clone(), value: Some(values.segment(id)) });
                }
                by_name.insert(expansion.event.clone(), shown);
            }
            expanded.push(values);
        }
        let mut by_event: Vec<Vec<Shown>> = Vec::new();
        let mut plain = Vec::new();
        for file in &scan.files {
            let mut codes = Vec::new();
            for name in file.core.event.dictionary.iter() {
                let shown = match by_name.get(name) {
                    Some(shown) => *shown,
                    None => {
                        let shown = Shown::Node(names.len() as u32);
                        names.push(FlowName { event: name.to_owned(), value: None });
                        by_name.insert(name.to_owned(), shown);
                        shown
                    }
                };
                codes.push(shown);
            }
            plain.push(match &file.core.event.codes {
                Codes::U8(_) => plain_nodes(&codes),
                _ => None,
            });
            by_event.push(codes);
        }
        let anchor = query.anchor.event.as_ref().and_then(|event| match by_name.get(event) {
            Some(Shown::Node(node)) => Some(*node),
            _ => None,
        });
        Ok(Nodes { names, by_event, plain, expanded, anchor })
    }

    /// Different numbers that paths can have; `None` beyond 128 bits.
    fn different(&self, query: &FlowsQuery) -> Option<u128> {
        let digits = query.before + query.after + u32::from(self.anchor.is_none());
        (self.names.len() as u128).checked_pow(digits)
    }

    /// The number of a path: its events as digits in base "nodes", the furthest before the anchor first.
    #[inline]
    fn number(&self, steps: &[u32], before: usize) -> u128 {
        let base = self.names.len() as u128;
        let (ahead, rest) = steps.split_at(before);
        let rest = if self.anchor.is_some() { &rest[1..] } else { rest };
        ahead.iter().chain(rest).fold(0, |number, node| number * base + u128::from(*node))
    }

    /// The path that has a number.
    fn steps(&self, number: u128, before: usize, width: usize) -> [u32; STEPS_MAX + 1] {
        let base = self.names.len() as u128;
        let mut rest = number;
        let mut steps = [0; STEPS_MAX + 1];
        for step in (0..width).rev() {
            match self.anchor {
                Some(anchor) if step == before => steps[step] = anchor,
                _ => {
                    steps[step] = (rest % base) as u32;
                    rest /= base;
                }
            }
        }
        steps
    }

    /// A path must fit a number.
    fn check(&self, query: &FlowsQuery) -> Result<()> {
        let digits = (self.names.len().max(2) as f64).log2() * f64::from(query.before + query.after + 1);
        if digits > 127.0 {
            return invalid("a flow this long has too many different events: ask for fewer steps or expand less");
        }
        Ok(())
    }

    #[inline]
    fn of(&self, scan: &Scan<'_>, hit: &Hit) -> u32 {
        let code = scan.file(hit.file).core.event.codes.get(hit.row as usize);
        self.at(scan, hit.file, hit.row, code as usize)
    }

    /// The node of a row with this event code.
    #[inline]
    fn at(&self, scan: &Scan<'_>, file: u32, row: u32, code: usize) -> u32 {
        match self.by_event[file as usize][code] {
            Shown::Node(node) => node,
            Shown::By { index, first } => {
                // Only an expansion by the time of the event looks at it.
                let hit = Hit { time: scan.file(file).core.time.get(row as usize), tags: 0, file, row };
                first + self.expanded[index as usize].id(&hit)
            }
        }
    }
}

/// The nodes of a file's event codes, where none depends on the row.
fn plain_nodes(codes: &[Shown]) -> Option<Box<[u32; 256]>> {
    let mut nodes = Box::new([0; 256]);
    for (code, shown) in codes.iter().enumerate() {
        let Shown::Node(node) = shown else { return None };
        *nodes.get_mut(code)? = *node;
    }
    Some(nodes)
}

/// How often each path occurred, by its number ([`Nodes::number`]); the digit is 0 where a path has no event.
#[derive(Clone)]
enum Paths {
    /// By number, where there are few enough.
    Dense(Vec<u64>),
    Map(FxHashMap<u128, u64>),
}

/// Different paths that are counted in a table.
const DENSE_MAX: u128 = 1 << 22;

impl Paths {
    fn new(different: u128) -> Paths {
        if different <= DENSE_MAX {
            Paths::Dense(vec![0; different as usize])
        } else {
            Paths::Map(FxHashMap::default())
        }
    }

    #[inline]
    fn add(&mut self, path: u128, count: u64) {
        match self {
            Paths::Dense(counts) => counts[path as usize] += count,
            Paths::Map(counts) => *counts.entry(path).or_default() += count,
        }
    }

    /// Every path that occurred, with how often.
    fn iter(&self) -> Box<dyn Iterator<Item = (u128, u64)> + '_> {
        match self {
            Paths::Dense(counts) => Box::new(
                counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(path, count)| (path as u128, *count)),
            ),
            Paths::Map(counts) => Box::new(counts.iter().map(|(path, count)| (*path, *count))),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Paths::Dense(counts) => counts.len() * 8,
            Paths::Map(counts) => counts.capacity() * 28,
        }
    }
}

/// Paths of one thread, by slot.
struct Counting {
    paths: Vec<Paths>,
    work: Work,
}

struct Anchors {
    counts: Counts,
    work: Work,
}

/// What a walk needs again for every person.
#[derive(Default)]
struct Work {
    sessions: Vec<Session>,
    session_of: Vec<u32>,
    slots: Vec<u64>,
    seen: Vec<u64>,
    hits: Vec<Hit>,
}

impl Partial for Counting {
    fn bytes(&self) -> usize {
        self.paths.iter().map(Paths::bytes).sum::<usize>() + self.work.hits.capacity() * size_of::<Hit>()
    }
}

impl Partial for Anchors {
    fn bytes(&self) -> usize {
        Partial::bytes(&self.counts)
    }
}

/// A file whose events are bytes and whose times are steps, for questions that look at nothing else.
struct PlainFile<'a> {
    events: &'a [u8],
    steps: &'a [u32],
    nodes: &'a [u32; 256],
    /// Steps at which an anchor counts, the end not included.
    range: (i64, i64),
    /// Steps that a path may last, on either side.
    window: i64,
    before: usize,
    after: usize,
    /// Whether the anchor is a digit of the number.
    numbers_anchor: bool,
    base: u64,
}

impl PlainFile<'_> {
    /// Counts the paths of a person's anchors in this file where every row that a path may need is there, is shown
    /// and lies within the window. The others go to `rest`, which counts them the longer way.
    #[inline]
    fn count(
        &self,
        (first, tags): (usize, &[u8]),
        (anchors, shown): (u8, u8),
        counts: &mut [u64],
        mut rest: impl FnMut(&mut [u64], usize),
    ) {
        let PlainFile { nodes, range, window, before, after, numbers_anchor, base, .. } = *self;
        let events = &self.events[first..first + tags.len()];
        let steps = &self.steps[first..first + tags.len()];
        for (at, tag) in tags.iter().enumerate() {
            if tag & anchors == 0 {
                continue;
            }
            if at < before || at + after >= tags.len() {
                rest(counts, at);
                continue;
            }
            let rows = at - before..=at + after;
            let own = i64::from(steps[at]);
            let lasts = (own - i64::from(steps[at - before])).max(i64::from(steps[at + after]) - own);
            let (mut number, mut are_shown) = (0, lasts <= window && own >= range.0 && own < range.1);
            for (place, (event, tags)) in events[rows.clone()].iter().zip(&tags[rows]).enumerate() {
                if place != before || numbers_anchor {
                    let node = nodes[*event as usize];
                    are_shown &= node != 0 && tags & shown != 0;
                    number = number * base + u64::from(node);
                }
            }
            match counts.get_mut(number as usize) {
                Some(count) if are_shown => *count += 1,
                _ => rest(counts, at),
            }
        }
    }
}

struct Walker<'a> {
    query: &'a FlowsQuery,
    range: (i64, i64),
    excluded: u32,
    nodes: Nodes,
    held: Vec<Values>,
    cutter: Option<Cutter>,
    window: Option<i64>,
}

impl Walker<'_> {
    /// Calls `each` with every anchor of a person, where it is, and the slots it counts in.
    fn anchors(
        &self,
        hits: &[Hit],
        work: &mut Work,
        slots_of: impl Fn(&Hit, &mut Vec<u64>),
        mut each: impl FnMut(&[u32], usize, &[u64]),
    ) {
        let Work { sessions, session_of, slots, seen, .. } = work;
        seen.clear();
        if let Some(cutter) = &self.cutter {
            cutter.cut(hits, sessions);
            cutter.assign(hits, sessions, session_of);
        }
        let mut last_session = NO_SESSION;
        for (at, hit) in hits.iter().enumerate() {
            if hit.tags & ANCHOR == 0 || hit.time < self.range.0 || hit.time >= self.range.1 {
                continue;
            }
            slots.clear();
            slots_of(hit, slots);
            match self.query.count {
                Count::Total => {}
                Count::Unique => {
                    slots.retain(|slot| !seen.contains(slot));
                    seen.extend_from_slice(slots);
                }
                Count::Sessions => {
                    let session = session_of[at];
                    if session == NO_SESSION {
                        continue;
                    }
                    if session != last_session {
                        seen.clear();
                        last_session = session;
                    }
                    slots.retain(|slot| !seen.contains(slot));
                    seen.extend_from_slice(slots);
                }
            }
            if !slots.is_empty() {
                each(session_of, at, slots);
            }
        }
    }

    /// Counts the paths of all anchors, by slot.
    fn count(
        &self,
        scan: &Scan<'_>,
        tags: &Tags,
        slots: usize,
        slots_of: impl Fn(SubjectNo, &Hit, &mut Vec<u64>) + Sync,
    ) -> Result<Vec<Paths>> {
        let make = || Counting { paths: vec![self.paths(slots); slots], work: Work::default() };
        // Without a breakdown there is one slot, and mostly nothing that needs the rows side by side.
        let direct = slots == 1
            && self.query.breakdown.is_none()
            && self.cutter.is_none()
            && self.held.is_empty()
            && self.window.is_some();
        let views = scan.views();
        let plain: Vec<Option<PlainFile<'_>>> =
            views.iter().zip(&self.nodes.plain).map(|(view, nodes)| self.plain(view, nodes.as_deref()?)).collect();
        let partials = scan.persons(tags, make, |partial, person| {
            if !person.spans.iter().any(|span| span.tags.any(ANCHOR & person.allowed)) {
                return;
            }
            let Counting { paths, work } = partial;
            if direct && self.direct(scan, (&views, &plain), person, &mut paths[0]) {
                return;
            }
            let mut hits = std::mem::take(&mut work.hits);
            scan.hits(person, &mut hits);
            self.anchors(
                &hits,
                work,
                |hit, slots| slots_of(person.subject, hit, slots),
                |session_of, at, slots| {
                    let path = self.path(scan, &hits, session_of, at);
                    for slot in slots {
                        paths[*slot as usize].add(path, 1);
                    }
                },
            );
            work.hits = hits;
        })?;
        let mut all = vec![self.paths(slots); slots];
        for partial in partials {
            for (sum, paths) in all.iter_mut().zip(partial.paths) {
                paths.iter().for_each(|(path, count)| sum.add(path, count));
            }
        }
        Ok(all)
    }

    fn paths(&self, slots: usize) -> Paths {
        let different = self.nodes.different(self.query);
        // Many tables would be mostly empty.
        Paths::new(different.filter(|_| slots == 1).unwrap_or(u128::MAX))
    }

    /// What most files are, for questions that need no more than a look at the rows beside the anchor.
    fn plain<'f>(&self, view: &View<'f>, nodes: &'f [u32; 256]) -> Option<PlainFile<'f>> {
        let (TimesView::Short { base, unit, steps }, CodesView::U8(events)) = (view.times, view.events) else {
            return None;
        };
        let asks_more = self.excluded != 0 || self.query.collapse_repeats || self.query.count != Count::Total;
        let window = self.window.filter(|_| !asks_more)? / unit;
        // An instant is a step when it is rounded up: a row is at or after both or neither.
        let step = |instant: i64| {
            let offset = instant.saturating_sub(base);
            offset.div_euclid(unit) + i64::from(offset.rem_euclid(unit) != 0)
        };
        let range = (step(self.range.0), step(self.range.1));
        Some(PlainFile {
            events,
            steps,
            nodes,
            range,
            window,
            before: self.query.before as usize,
            after: self.query.after as usize,
            numbers_anchor: self.nodes.anchor.is_none(),
            base: self.nodes.names.len() as u64,
        })
    }

    /// Counts a person's paths where their rows lie, without putting them side by side. Answers false, and counts
    /// nothing, when they are in several files that do not simply follow each other.
    #[inline]
    fn direct(
        &self,
        scan: &Scan<'_>,
        (views, plain): (&[View<'_>], &[Option<PlainFile<'_>>]),
        person: &Person<'_>,
        paths: &mut Paths,
    ) -> bool {
        let spans = person.spans;
        let time = |span: usize, at: usize| views[spans[span].file as usize].time(spans[span].row as usize + at);
        for (index, pair) in spans.windows(2).enumerate() {
            if time(index, pair[0].tags.len() - 1) >= time(index + 1, 0) {
                return false;
            }
        }
        let anchors = ANCHOR & person.allowed;
        let shown = VISIBLE & person.allowed;
        for (index, span) in spans.iter().enumerate() {
            if let (Some(file), Tagged::Narrow(tags), Paths::Dense(counts)) =
                (&plain[span.file as usize], span.tags, &mut *paths)
            {
                let rows = (span.row as usize, tags);
                file.count(rows, (anchors as u8, shown as u8), counts, |counts, at| {
                    if let Some(path) = self.beside(scan, views, person, (index, at)) {
                        counts[path as usize] += 1;
                    }
                });
                continue;
            }
            let mut from = 0;
            while let Some(at) = span.tags.first(from, anchors) {
                from = at + 1;
                if let Some(path) = self.beside(scan, views, person, (index, at)) {
                    paths.add(path, 1);
                    if self.query.count == Count::Unique {
                        return true;
                    }
                }
            }
        }
        true
    }

    /// The number of the path of an anchor, by span and place in it, when the person's rows follow each other in the
    /// order of the spans; `None` when it is out of the range.
    fn beside(
        &self,
        scan: &Scan<'_>,
        views: &[View<'_>],
        person: &Person<'_>,
        (index, at): (usize, usize),
    ) -> Option<u128> {
        let spans = person.spans;
        let time = |span: usize, at: usize| views[spans[span].file as usize].time(spans[span].row as usize + at);
        let node = |span: usize, at: usize| {
            let span = &spans[span];
            let code = views[span.file as usize].event(span.row as usize + at);
            self.nodes.at(scan, span.file, span.row + at as u32, code)
        };
        let window = self.window?;
        let instant = time(index, at);
        if instant < self.range.0 || instant >= self.range.1 {
            return None;
        }
        let shown = VISIBLE & person.allowed;
        let excluded = self.excluded & person.allowed;
        let before = self.query.before as usize;
        let last = before + self.query.after as usize;
        let mut steps = [0_u32; STEPS_MAX + 1];
        let own = node(index, at);
        steps[before] = own;
        let (mut step, mut previous, mut place) = (before, own, (index, at));
        while step > 0 {
            place = match place {
                (0, 0) => break,
                (span, 0) => (span - 1, spans[span - 1].tags.len() - 1),
                (span, at) => (span, at - 1),
            };
            let tags = spans[place.0].tags.get(place.1);
            if tags & excluded != 0 || instant - time(place.0, place.1) > window {
                break;
            }
            let other = if tags & shown == 0 { 0 } else { node(place.0, place.1) };
            if other != 0 && !(self.query.collapse_repeats && other == previous) {
                step -= 1;
                steps[step] = other;
                previous = other;
            }
        }
        (step, previous, place) = (before, own, (index, at));
        while step < last {
            place = match place {
                (span, at) if at + 1 < spans[span].tags.len() => (span, at + 1),
                (span, _) if span + 1 < spans.len() => (span + 1, 0),
                _ => break,
            };
            let tags = spans[place.0].tags.get(place.1);
            if tags & excluded != 0 || time(place.0, place.1) - instant > window {
                break;
            }
            let other = if tags & shown == 0 { 0 } else { node(place.0, place.1) };
            if other != 0 && !(self.query.collapse_repeats && other == previous) {
                step += 1;
                steps[step] = other;
                previous = other;
            }
        }
        Some(self.nodes.number(&steps[..=last], before))
    }

    /// The path of the anchor at `at`.
    #[inline]
    fn path(&self, scan: &Scan<'_>, hits: &[Hit], session_of: &[u32], at: usize) -> u128 {
        let own = self.nodes.of(scan, &hits[at]);
        let mut steps = [0_u32; STEPS_MAX + 1];
        let before = self.query.before as usize;
        steps[before] = own;
        let mut shown = own;
        let mut step = before;
        if before > 0 {
            for other in (0..at).rev() {
                if step == 0 || !self.reaches(hits, session_of, at, other) {
                    break;
                }
                if self.is_seen(session_of, other)
                    && let Some(node) = self.shown(scan, &hits[at], &hits[other], shown)
                {
                    step -= 1;
                    steps[step] = node;
                    shown = node;
                }
            }
        }
        shown = own;
        step = before;
        let last = before + self.query.after as usize;
        if last > before {
            for other in at + 1..hits.len() {
                if step == last || !self.reaches(hits, session_of, at, other) {
                    break;
                }
                if self.is_seen(session_of, other)
                    && let Some(node) = self.shown(scan, &hits[at], &hits[other], shown)
                {
                    step += 1;
                    steps[step] = node;
                    shown = node;
                }
            }
        }
        self.nodes.number(&steps[..=last], before)
    }

    /// Whether the path of an anchor goes on at another row.
    #[inline]
    fn reaches(&self, hits: &[Hit], session_of: &[u32], anchor: usize, other: usize) -> bool {
        let hit = &hits[other];
        if hit.tags & self.excluded != 0 {
            return false;
        }
        match self.window {
            Some(window) => (hit.time - hits[anchor].time).abs() <= window,
            None => {
                let (own, other) = (session_of[anchor], session_of[other]);
                // Those in no session end nothing.
                own != NO_SESSION && (other == NO_SESSION || own.abs_diff(other) < self.query.window.count)
            }
        }
    }

    /// With a window in sessions, rows in none are looked through.
    #[inline]
    fn is_seen(&self, session_of: &[u32], row: usize) -> bool {
        self.window.is_some() || session_of[row] != NO_SESSION
    }

    /// What a row is shown as on the path of an anchor, after a node; `None` when it is looked through.
    #[inline]
    fn shown(&self, scan: &Scan<'_>, anchor: &Hit, hit: &Hit, after: u32) -> Option<u32> {
        if hit.tags & VISIBLE == 0 {
            return None;
        }
        let node = self.nodes.of(scan, hit);
        let repeats = self.query.collapse_repeats && node == after;
        if node == 0 || repeats || self.held.iter().any(|values| !values.same(hit, anchor)) {
            return None;
        }
        Some(node)
    }

    /// The report of one slot's paths.
    fn flow(&self, paths: &Paths) -> Flow {
        let before = self.query.before as usize;
        let width = before + self.query.after as usize + 1;
        let digits = |path: u128| self.nodes.steps(path, before, width);
        let mut at_step: Vec<FxHashMap<u32, u64>> = vec![FxHashMap::default(); width];
        let mut drop_off = vec![0; width];
        let mut pairs: Vec<FxHashMap<(u32, u32), u64>> = vec![FxHashMap::default(); width];
        for (path, count) in paths.iter() {
            let steps = digits(path);
            for step in 0..width {
                if steps[step] != 0 || step == before {
                    *at_step[step].entry(steps[step]).or_default() += count;
                } else {
                    let nearer = if step < before { step + 1 } else { step - 1 };
                    if steps[nearer] != 0 || nearer == before {
                        drop_off[step] += count;
                    }
                }
                let next = step + 1;
                let is_there = |step: usize| steps[step] != 0 || step == before;
                if next < width && is_there(step) && is_there(next) {
                    *pairs[step].entry((steps[step], steps[next])).or_default() += count;
                }
            }
        }
        // The nodes listed at each step, most frequent first.
        let listed: Vec<Vec<(u32, u64)>> = at_step
            .iter()
            .enumerate()
            .map(|(step, counts)| {
                let mut order: Vec<(u32, u64)> = counts.iter().map(|(node, count)| (*node, *count)).collect();
                order.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| self.name(a.0).cmp(self.name(b.0))));
                order.truncate(if step == before { usize::MAX } else { self.query.nodes as usize });
                order
            })
            .collect();
        let distance = |step: usize| step as i32 - before as i32;
        let steps = (0..width)
            .filter(|step| *step != before)
            .map(|step| {
                let all: u64 = at_step[step].values().sum();
                let nodes: Vec<FlowNode> = listed[step]
                    .iter()
                    .map(|(node, count)| FlowNode { name: self.name(*node).clone(), count: *count })
                    .collect();
                let other = all - nodes.iter().map(|node| node.count).sum::<u64>();
                FlowStep { at: distance(step), nodes, other, drop_off: drop_off[step] }
            })
            .collect();
        let mut links = Vec::new();
        for (step, counts) in pairs.iter().enumerate() {
            let mut sums: FxHashMap<(Option<u32>, Option<u32>), u64> = FxHashMap::default();
            let keep = |step: usize, node: u32| listed[step].iter().any(|(kept, _)| *kept == node).then_some(node);
            for ((from, to), count) in counts {
                *sums.entry((keep(step, *from), keep(step + 1, *to))).or_default() += count;
            }
            let mut of_step: Vec<FlowLink> = sums
                .into_iter()
                .map(|((from, to), count)| FlowLink {
                    at: distance(step),
                    from: from.map(|node| self.name(node).clone()),
                    to: to.map(|node| self.name(node).clone()),
                    count,
                })
                .collect();
            of_step.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| (&a.from, &a.to).cmp(&(&b.from, &b.to))));
            links.extend(of_step);
        }
        Flow { anchors: paths.iter().map(|(_, count)| count).sum(), steps, links, paths: self.top_paths(paths, digits) }
    }

    fn top_paths(&self, paths: &Paths, digits: impl Fn(u128) -> [u32; STEPS_MAX + 1]) -> Vec<FlowPath> {
        let before = self.query.before as usize;
        let width = before + self.query.after as usize + 1;
        let limit = self.query.paths as usize;
        if limit == 0 {
            return Vec::new();
        }
        let by_rank = |a: &FlowPath, b: &FlowPath| {
            b.count.cmp(&a.count).then_with(|| a.events.cmp(&b.events)).then_with(|| a.anchor.cmp(&b.anchor))
        };
        let mut top: Vec<FlowPath> = Vec::new();
        let mut least = 0;
        for (path, count) in paths.iter() {
            // Equal counts are told apart by name: as frequent as the last one is a candidate.
            if count < least {
                continue;
            }
            let steps = digits(path);
            let there = |step: &usize| steps[*step] != 0 || *step == before;
            let first = (0..before).find(there).unwrap_or(before);
            let events = (0..width).filter(there).map(|step| self.name(steps[step]).clone()).collect();
            top.push(FlowPath { events, anchor: (before - first) as u32, count });
            if top.len() >= limit * 8 {
                top.sort_by(by_rank);
                top.truncate(limit);
                least = top[limit - 1].count;
            }
        }
        top.sort_by(by_rank);
        top.truncate(limit);
        top
    }

    fn name(&self, node: u32) -> &FlowName {
        &self.nodes.names[node as usize]
    }
}

const _: () = assert!(SESSION_MATCHERS + 3 + limits::EXCLUSIONS_MAX <= crate::tags::MATCHERS_MAX);
