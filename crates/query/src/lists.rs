//! Lists: persons who did something, single events, names and values to choose from.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use cofferdam_lake::Column;
use cofferdam_lake::columns::PropertyKey;
use cofferdam_model::limits;
use cofferdam_model::query::{EventMatch, EventsQuery, PersonsQuery};
use cofferdam_model::result::Segment;
use cofferdam_model::{SubjectNo, Value};
use rustc_hash::FxHashMap;

use crate::mask::{self, Mask};
use crate::scan::{self, Prepared, Row};
use crate::segmentation::Segmentation;
use crate::{Input, Output, Result, calendar, check_match, invalid};

/// A person of a list, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonFound {
    pub subject: SubjectNo,
    /// First and last matching event, µs UTC.
    pub first_us: i64,
    pub last_us: i64,
    pub events: u64,
}

/// An event of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct EventFound {
    pub event: String,
    pub time_us: i64,
    /// The canonical subject.
    pub subject: SubjectNo,
    pub properties: Vec<(String, Value)>,
}

fn masks(prepared: &Prepared, matching: &EventMatch) -> Result<Vec<Mask>> {
    prepared.segments.iter().map(|segment| mask::matching(segment, matching, &[])).collect()
}

fn check_limit(limit: u32) -> Result<()> {
    if limit == 0 || limit > limits::ROWS_MAX {
        return invalid(format!("a list has 1 to {} rows", limits::ROWS_MAX));
    }
    Ok(())
}

pub(crate) fn persons(input: &Input<'_>, query: &PersonsQuery) -> Result<Output> {
    check_limit(query.limit)?;
    check_match(&query.matching)?;
    let (from, to) = calendar::bounds(query.range, input.zone, input.now_us)?;
    let prepared = Prepared::new(input, from, to)?;
    let masks = masks(&prepared, &query.matching)?;
    // Every person found is 24 bytes; the whole list is what "last seen first" needs.
    let partials = scan::persons(input, &prepared, Vec::new, |found: &mut Vec<PersonFound>, subject, rows| {
        let mut matching = rows.iter().filter(|row| masks[row.segment as usize].get(row.row as usize));
        if let Some(first) = matching.next() {
            let mut person = PersonFound { subject, first_us: first.time, last_us: first.time, events: 1 };
            for row in matching {
                person.last_us = row.time;
                person.events += 1;
            }
            found.push(person);
        }
    });
    let mut found: Vec<PersonFound> = partials.into_iter().flatten().collect();
    found.sort_unstable_by_key(|person| (Reverse(person.last_us), person.subject));
    let total = found.len() as u64;
    let persons = found.into_iter().skip(query.offset as usize).take(query.limit as usize).collect();
    Ok(Output::Persons { total, persons })
}

pub(crate) fn events(input: &Input<'_>, query: &EventsQuery) -> Result<Vec<EventFound>> {
    check_limit(query.limit)?;
    check_match(&query.matching)?;
    let limit = query.limit as usize;
    let (from, to) = calendar::bounds(query.range, input.zone, input.now_us)?;
    let prepared = Prepared::new(input, from, to)?;
    let masks = masks(&prepared, &query.matching)?;
    let matches = |row: &&Row| masks[row.segment as usize].get(row.row as usize);
    type Newest = BinaryHeap<Reverse<(i64, i64, SubjectNo, u32, u32)>>;
    let push = |newest: &mut Newest, person: SubjectNo, rows: &[Row]| {
        // Within one person the newest come last: nothing before the first that is too old is new enough.
        for row in rows.iter().rev().filter(matches) {
            let key = (row.time, row.received, person, row.segment, row.row);
            if newest.len() < limit {
                newest.push(Reverse(key));
            } else if newest.peek().is_some_and(|oldest| key > oldest.0) {
                newest.pop();
                newest.push(Reverse(key));
            } else {
                break;
            }
        }
    };
    let partials = match input.person {
        Some(person) => {
            let mut newest = Newest::new();
            push(&mut newest, input.merges.canonical(person), &prepared.person(input, person));
            vec![newest]
        }
        None => scan::everybody(input, &prepared, Newest::new, |newest, person, rows| push(newest, person, rows)),
    };
    let mut found: Vec<_> = partials.into_iter().flatten().map(|Reverse(key)| key).collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.truncate(limit);

    let mut columns: FxHashMap<u32, Vec<(PropertyKey, Arc<Column>)>> = FxHashMap::default();
    let mut events = Vec::with_capacity(found.len());
    for (time_us, _, subject, segment, row) in found {
        let handle = &prepared.segments[segment as usize];
        if let std::collections::hash_map::Entry::Vacant(entry) = columns.entry(segment) {
            let mut loaded = Vec::new();
            for key in handle.keys() {
                if let Some(column) = handle.column(key)? {
                    loaded.push((key.clone(), column));
                }
            }
            entry.insert(loaded);
        }
        let properties = columns[&segment]
            .iter()
            .filter_map(|(key, column)| Some((key.name.clone(), column.value(key.property_type, row as usize)?)))
            .collect();
        let event = prepared.cores[segment as usize].event_name(row as usize).to_string();
        events.push(EventFound { event, time_us, subject, properties });
    }
    Ok(events)
}

pub(crate) fn event_names(input: &Input<'_>) -> Result<Vec<(String, u64)>> {
    let prepared = Prepared::new(input, i64::MIN, i64::MAX)?;
    let make = || -> Vec<Vec<u64>> { prepared.cores.iter().map(|core| vec![0; core.event.dictionary.len()]).collect() };
    let partials = scan::everybody(input, &prepared, make, |counts, _, rows| {
        for row in rows {
            let code = prepared.cores[row.segment as usize].event.codes[row.row as usize];
            counts[row.segment as usize][code as usize] += 1;
        }
    });
    let mut names: BTreeMap<&str, u64> = BTreeMap::new();
    for partial in &partials {
        for (core, counts) in prepared.cores.iter().zip(partial) {
            for (name, count) in core.event.dictionary.iter().zip(counts) {
                *names.entry(name).or_default() += count;
            }
        }
    }
    let mut names: Vec<(String, u64)> =
        names.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count)).collect();
    names.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(names)
}

pub(crate) fn property_values(
    input: &Input<'_>,
    property: &str,
    search: &str,
    limit: usize,
) -> Result<Vec<(String, u64)>> {
    let prepared = Prepared::new(input, i64::MIN, i64::MAX)?;
    let segmentation = Segmentation::new(&prepared, property)?;
    let partials = scan::everybody(
        input,
        &prepared,
        || vec![0_u64; segmentation.len()],
        |counts, _, rows| {
            for row in rows {
                for &id in segmentation.ids(row) {
                    counts[id as usize] += 1;
                }
            }
        },
    );
    let search = search.to_lowercase();
    let mut values = Vec::new();
    for id in 0..segmentation.len() {
        let count = partials.iter().map(|partial| partial[id]).sum::<u64>();
        if let Segment::Value(text) = segmentation.name(id)
            && count > 0
            && text.to_lowercase().contains(&search)
        {
            values.push((text.clone(), count));
        }
    }
    values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    values.truncate(limit);
    Ok(values)
}

pub(crate) fn totals(input: &Input<'_>) -> Result<(u64, u64)> {
    let prepared = Prepared::new(input, i64::MIN, i64::MAX)?;
    let partials = scan::everybody(
        input,
        &prepared,
        || (0, 0),
        |(events, persons): &mut (u64, u64), person, rows| {
            *events += rows.len() as u64;
            *persons += u64::from(person != SubjectNo::NOBODY);
        },
    );
    Ok(partials.into_iter().fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_no_rows_is_refused() {
        assert!(check_limit(0).is_err());
        assert!(check_limit(limits::ROWS_MAX + 1).is_err());
        assert!(check_limit(1).is_ok());
    }
}
