//! Sessions, and the report about them.

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_model::query::{Breakdown, SessionRule, SessionsQuery};
use cofferdam_model::result::{SessionsCell, SessionsSeries, SessionsTable};
use cofferdam_model::{SealedEvent, SubjectNo, Value};

use super::{Naive, Segments, folded, largest, property, texts};
use crate::world::{Person, SECOND};

/// Indices of a person's events that make one session, ascending.
pub(crate) type Session = Vec<usize>;

impl Naive<'_> {
    /// By first event.
    pub(crate) fn sessions(&self, person: &Person, rule: &SessionRule) -> Vec<Session> {
        if person.no == SubjectNo::NOBODY {
            return Vec::new();
        }
        let events = &person.events;
        let date = |at: usize| self.world.date(events[at].time_us);
        let mut sessions: Vec<Session> = Vec::new();
        match rule {
            SessionRule::Timeout { minutes } => {
                for at in 0..events.len() {
                    let goes_on = at > 0
                        && events[at].time_us - events[at - 1].time_us <= i64::from(*minutes) * 60 * SECOND
                        && date(at) == date(at - 1);
                    if goes_on {
                        sessions.last_mut().unwrap().push(at);
                    } else {
                        sessions.push(vec![at]);
                    }
                }
            }
            SessionRule::Events { start, end } => {
                let mut at = 0;
                while at < events.len() {
                    if !self.matches(person.no, &events[at], start) {
                        at += 1;
                        continue;
                    }
                    let day_end = (at..events.len()).take_while(|other| date(*other) == date(at)).last().unwrap();
                    let end = (at + 1..=day_end).find(|other| self.matches(person.no, &events[*other], end));
                    let last = end.unwrap_or(day_end);
                    sessions.push((at..=last).collect());
                    at = last + 1;
                }
            }
            SessionRule::Property { property: name } => {
                // A run of events with one value; those without any are looked through.
                let value = |at: usize| {
                    let items: BTreeSet<String> = property(&events[at], name).into_iter().flat_map(texts).collect();
                    if items.len() == 1 { items.into_iter().next() } else { None }
                };
                for at in (0..events.len()).filter(|at| value(*at).is_some()) {
                    match sessions.last_mut() {
                        Some(session) if value(session[0]) == value(at) && date(session[0]) == date(at) => {
                            session.push(at)
                        }
                        _ => sessions.push(vec![at]),
                    }
                }
            }
        }
        sessions
    }

    /// The events `$session_start` and `$session_end` of a person's sessions, by time.
    pub(crate) fn session_events(&self, person: &Person, rule: &SessionRule) -> Vec<SealedEvent> {
        let mut events = Vec::new();
        for session in self.sessions(person, rule) {
            let (first, last) = (&person.events[session[0]], &person.events[session[session.len() - 1]]);
            for (name, time_us) in [("$session_start", first.time_us), ("$session_end", last.time_us)] {
                let origin = if name == "$session_start" { first } else { last };
                let mut properties = origin.properties.clone();
                properties.extend([
                    ("$duration_s".to_owned(), Value::Number((last.time_us - first.time_us) as f64 / SECOND as f64)),
                    ("$event_count".to_owned(), Value::Number(session.len() as f64)),
                    ("$origin_start".to_owned(), Value::String(first.name.clone())),
                    ("$origin_end".to_owned(), Value::String(last.name.clone())),
                ]);
                events.push(SealedEvent {
                    name: name.to_owned(),
                    subject: person.no,
                    time_us,
                    insert_id: 0,
                    properties,
                });
            }
        }
        events.sort_by_key(|event| event.time_us);
        events
    }

    pub(crate) fn sessions_report(&self, query: &SessionsQuery) -> SessionsTable {
        let world = self.world;
        let bounds = world.bounds(query.range, world.now_us);
        let buckets = world.buckets(bounds, query.unit);
        let mut found: Vec<(&Person, Session)> = Vec::new();
        for person in self.somebody() {
            for session in self.sessions(person, &query.sessions) {
                let asked = session.iter().any(|at| self.matches(person.no, &person.events[*at], &query.matching));
                if asked && (bounds.0..bounds.1).contains(&person.events[session[0]].time_us) {
                    found.push((person, session));
                }
            }
        }
        let names = |breakdown: &Breakdown, (person, session): &(&Person, Session)| {
            self.segments(person.no, &person.events[session[0]], &breakdown.by)
        };
        let mut counts: BTreeMap<Segments, u64> = BTreeMap::new();
        let mut kept = vec![Vec::new()];
        let mut omitted = 0;
        if let Some(breakdown) = &query.breakdown {
            found.iter().flat_map(|session| names(breakdown, session)).for_each(|name| {
                *counts.entry(name).or_default() += 1;
            });
            kept = largest(&counts, breakdown.limit);
            omitted = counts.len() - kept.len();
        }
        let mut series = Vec::new();
        let mut shown = kept.clone();
        if omitted > 0 {
            shown.push(vec![cofferdam_model::result::Segment::Other]);
        }
        for segment in shown {
            let in_segment: Vec<&(&Person, Session)> = found
                .iter()
                .filter(|session| {
                    query.breakdown.as_ref().is_none_or(|by| folded(names(by, session), &kept).contains(&segment))
                })
                .collect();
            let values =
                buckets.iter().map(|(start, end)| cell(&in_segment, |time| (*start..*end).contains(&time))).collect();
            series.push(SessionsSeries { segment, values, total: cell(&in_segment, |_| true) });
        }
        SessionsTable {
            buckets: buckets.iter().map(|(start, _)| world.local(*start)).collect(),
            last_incomplete: bounds.1 > world.now_us,
            series,
            segments_omitted: omitted as u32,
        }
    }
}

fn cell(sessions: &[&(&Person, Session)], in_bucket: impl Fn(i64) -> bool) -> SessionsCell {
    let mut cell = SessionsCell::default();
    let mut persons = BTreeSet::new();
    let mut durations = Vec::new();
    for (person, session) in sessions.iter().filter(|(person, session)| in_bucket(person.events[session[0]].time_us)) {
        let (first, last) = (&person.events[session[0]], &person.events[session[session.len() - 1]]);
        cell.sessions += 1;
        cell.bounced += u64::from(session.len() == 1);
        cell.events += session.len() as u64;
        persons.insert(person.no);
        durations.push(last.time_us - first.time_us);
    }
    cell.persons = persons.len() as u64;
    (cell.average_ms, cell.median_ms) = super::funnel::average_and_median_ms(durations).unzip();
    cell
}
