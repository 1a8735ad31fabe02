//! Flows: the events before and after an anchor, one path per anchor.

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_model::Value;
use cofferdam_model::query::{Count, FlowsQuery};
use cofferdam_model::result::{
    Flow, FlowLink, FlowName, FlowNode, FlowPath, FlowSegment, FlowStep, FlowsTable, Segment,
};

use super::{Naive, Segments, folded, largest, property, texts};
use crate::world::Person;

/// What one anchor shows: names by distance from it, without gaps.
struct Path<'a> {
    person: &'a Person,
    anchor: usize,
    session: Option<usize>,
    steps: BTreeMap<i32, FlowName>,
}

impl Naive<'_> {
    pub(crate) fn flows(&self, query: &FlowsQuery) -> FlowsTable {
        let paths = self.paths(query);
        let mut segments = Vec::new();
        let mut omitted = 0;
        if let Some(breakdown) = &query.breakdown {
            let names = |path: &Path| self.segments(path.person.no, &path.person.events[path.anchor], &breakdown.by);
            let all: BTreeSet<Segments> = paths.iter().flat_map(names).collect();
            let size = |name: &Segments| counted(query, &paths, |path| names(path).contains(name)).len() as u64;
            let counts: BTreeMap<Segments, u64> = all.into_iter().map(|name| (name.clone(), size(&name))).collect();
            let kept = largest(&counts, breakdown.limit);
            omitted = counts.len() - kept.len();
            let rest = (omitted > 0).then(|| vec![Segment::Other]);
            for segment in kept.iter().cloned().chain(rest) {
                let within = counted(query, &paths, |path| folded(names(path), &kept).contains(&segment));
                segments.push(FlowSegment { segment, flow: flow(query, &within) });
            }
        }
        let overall = counted(query, &paths, |_| true);
        FlowsTable { overall: flow(query, &overall), segments, segments_omitted: omitted as u32 }
    }

    fn paths(&self, query: &FlowsQuery) -> Vec<Path<'_>> {
        let (from, to) = self.world.bounds(query.range, self.world.now_us);
        let mut paths = Vec::new();
        for person in self.somebody() {
            let sessions = self.sessions(person, &query.sessions);
            let session_of = |at: usize| sessions.iter().position(|session| session.contains(&at));
            let mut anchors: Vec<usize> = (0..person.events.len())
                .filter(|at| {
                    let event = &person.events[*at];
                    (from..to).contains(&event.time_us)
                        && self.matches(person.no, event, &query.anchor)
                        && self.passes_all(person.no, event, &query.filters)
                })
                .collect();
            if query.count == Count::Sessions {
                anchors.retain(|at| session_of(*at).is_some());
            }
            for anchor in anchors {
                let mut steps = BTreeMap::new();
                steps.insert(0, self.flow_name(query, person, anchor));
                let later: Vec<usize> = (anchor + 1..person.events.len()).collect();
                let earlier: Vec<usize> = (0..anchor).rev().collect();
                for (side, others, most) in [(1, later, query.after), (-1, earlier, query.before)] {
                    let mut at = 0;
                    for other in others {
                        let event = &person.events[other];
                        let excluded = query.exclusions.iter().any(|matching| self.matches(person.no, event, matching));
                        if at == most as i32 || excluded || !self.is_near(query, person, anchor, other, &session_of) {
                            break;
                        }
                        let held = query
                            .hold_constant
                            .iter()
                            .all(|name| items(property(event, name)) == items(property(&person.events[anchor], name)));
                        // With a window in sessions, what is in none is looked through.
                        let in_none = query.window.us().is_none() && session_of(other).is_none();
                        if query.hidden.contains(&event.name)
                            || in_none
                            || !held
                            || !self.passes_all(person.no, event, &query.filters)
                        {
                            continue;
                        }
                        let name = self.flow_name(query, person, other);
                        if query.collapse_repeats && steps[&(side * at)] == name {
                            continue;
                        }
                        at += 1;
                        steps.insert(side * at, name);
                    }
                }
                paths.push(Path { person, anchor, session: session_of(anchor), steps });
            }
        }
        paths
    }

    fn is_near(
        &self,
        query: &FlowsQuery,
        person: &Person,
        anchor: usize,
        other: usize,
        session_of: &dyn Fn(usize) -> Option<usize>,
    ) -> bool {
        match query.window.us() {
            Some(window) => (person.events[other].time_us - person.events[anchor].time_us).abs() <= window,
            None => session_of(anchor).is_some_and(|anchor| {
                session_of(other).is_none_or(|other| anchor.abs_diff(other) < query.window.count as usize)
            }),
        }
    }

    fn flow_name(&self, query: &FlowsQuery, person: &Person, at: usize) -> FlowName {
        let event = &person.events[at];
        let expansion = query.expand.iter().find(|expansion| expansion.event == event.name);
        let value = expansion
            .map(|expansion| first_text(property(event, &expansion.property)).map_or(Segment::NotSet, Segment::Value));
        FlowName { event: event.name.clone(), value }
    }
}

/// Of the paths asked for: all, or the first of each person or session.
fn counted<'p>(query: &FlowsQuery, paths: &'p [Path<'p>], asked: impl Fn(&Path) -> bool) -> Vec<&'p Path<'p>> {
    let mut counted: Vec<&Path> = Vec::new();
    for path in paths.iter().filter(|path| asked(path)) {
        let same = |other: &&Path| match query.count {
            Count::Total => false,
            Count::Unique => other.person.no == path.person.no,
            Count::Sessions => other.person.no == path.person.no && other.session == path.session,
        };
        if !counted.iter().any(same) {
            counted.push(path);
        }
    }
    counted
}

fn flow(query: &FlowsQuery, paths: &[&Path]) -> Flow {
    let mut steps = Vec::new();
    // The names that are shown at a step; those of the anchor all are.
    let mut shown: BTreeMap<i32, Vec<FlowName>> = BTreeMap::new();
    for at in (-(query.before as i32)..=query.after as i32).filter(|at| *at != 0) {
        let mut counts: BTreeMap<FlowName, u64> = BTreeMap::new();
        paths.iter().filter_map(|path| path.steps.get(&at)).for_each(|name| {
            *counts.entry(name.clone()).or_default() += 1;
        });
        let kept = largest(&counts, query.nodes);
        let inner = paths.iter().filter(|path| path.steps.contains_key(&(at - at.signum()))).count() as u64;
        let here: u64 = counts.values().sum();
        let nodes: Vec<FlowNode> =
            kept.iter().map(|name| FlowNode { name: name.clone(), count: counts[name] }).collect();
        steps.push(FlowStep {
            at,
            other: here - nodes.iter().map(|node| node.count).sum::<u64>(),
            drop_off: inner - here,
            nodes,
        });
        shown.insert(at, kept);
    }
    let mut links: BTreeMap<(i32, Option<FlowName>, Option<FlowName>), u64> = BTreeMap::new();
    let seen = |path: &Path, at: i32| {
        let name = path.steps.get(&at)?;
        Some((at == 0 || shown[&at].contains(name)).then(|| name.clone()))
    };
    for path in paths {
        for at in -(query.before as i32)..query.after as i32 {
            if let (Some(from), Some(to)) = (seen(path, at), seen(path, at + 1)) {
                *links.entry((at, from, to)).or_default() += 1;
            }
        }
    }
    let mut whole: BTreeMap<(Vec<FlowName>, u32), u64> = BTreeMap::new();
    for path in paths {
        let anchor = path.steps.keys().filter(|at| **at < 0).count() as u32;
        *whole.entry((path.steps.values().cloned().collect(), anchor)).or_default() += 1;
    }
    Flow {
        anchors: paths.len() as u64,
        steps,
        links: links.into_iter().map(|((at, from, to), count)| FlowLink { at, from, to, count }).collect(),
        paths: largest(&whole, query.paths)
            .into_iter()
            .map(|(events, anchor)| FlowPath { count: whole[&(events.clone(), anchor)], events, anchor })
            .collect(),
    }
}

/// Lists with the same items are the same value.
fn items(value: Option<&Value>) -> Option<BTreeSet<String>> {
    value.map(|value| texts(value).into_iter().collect())
}

/// Of a list, the first item stands.
fn first_text(value: Option<&Value>) -> Option<String> {
    value.and_then(|value| texts(value).first().cloned())
}
