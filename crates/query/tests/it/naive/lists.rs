//! Lists: who did something, and single events.

use std::cmp::Reverse;

use cofferdam_model::SubjectNo;
use cofferdam_model::query::{EventsQuery, PersonsQuery};

use super::Naive;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub person: SubjectNo,
    pub first_us: i64,
    pub last_us: i64,
    pub events: u64,
}

impl Naive<'_> {
    /// How many persons match, and those of the page.
    pub(crate) fn persons_list(&self, query: &PersonsQuery) -> (u64, Vec<Listed>) {
        let (from, to) = self.world.bounds(query.range, self.world.now_us);
        let mut listed: Vec<Listed> = self
            .somebody()
            .filter_map(|person| {
                let mut times: Vec<i64> = Vec::new();
                for event in &person.events {
                    if (from..to).contains(&event.time_us) && self.matches(person.no, event, &query.matching) {
                        times.push(event.time_us);
                    }
                }
                let (first_us, last_us) = (*times.first()?, *times.last()?);
                Some(Listed { person: person.no, first_us, last_us, events: times.len() as u64 })
            })
            .collect();
        listed.sort_by_key(|row| (Reverse(row.last_us), row.person));
        let total = listed.len() as u64;
        (total, listed.into_iter().skip(query.offset as usize).take(query.limit as usize).collect())
    }

    /// Every event that is asked for, newest first; the order of those of one instant says nothing.
    pub(crate) fn events_list(&self, query: &EventsQuery, person: Option<SubjectNo>) -> Vec<(i64, SubjectNo, String)> {
        let (from, to) = self.world.bounds(query.range, self.world.now_us);
        let merges = self.world.merges();
        let mut listed = Vec::new();
        for other in &self.persons {
            if person.is_some_and(|person| merges.canonical(person) != other.no) {
                continue;
            }
            for event in &other.events {
                if (from..to).contains(&event.time_us) && self.matches(other.no, event, &query.matching) {
                    listed.push((event.time_us, other.no, event.name.clone()));
                }
            }
        }
        listed.sort_by_key(|(time_us, ..)| Reverse(*time_us));
        listed
    }
}
