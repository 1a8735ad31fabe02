//! The definitions of all reports, written straight from the words: as slow as it takes to be obviously right.
//! Nothing here is shared with the operators.

mod cohort;
mod flows;
mod frequency;
mod funnel;
mod insights;
pub(crate) mod lists;
mod retention;
mod sessions;

use std::collections::{BTreeMap, BTreeSet};

use cofferdam_model::query::*;
use cofferdam_model::result::{ResultTable, Segment};
use cofferdam_model::{SealedEvent, SubjectNo, Value};
use jiff::Timestamp;

use crate::world::{Person, World};

/// One value per property of a breakdown, or `other` alone.
pub(crate) type Segments = Vec<Segment>;

/// A world with its persons put together.
pub(crate) struct Naive<'a> {
    pub world: &'a World,
    pub persons: Vec<Person>,
}

/// The answer of a report that is a table; `None` for lists.
pub(crate) fn answer(world: &World, query: &Query) -> Option<ResultTable> {
    let naive = Naive { world, persons: world.everybody() };
    Some(match query {
        Query::Insights(query) => ResultTable::Insights(naive.insights(query)),
        Query::Funnel(query) => ResultTable::Funnel(naive.funnel(query)),
        Query::Retention(query) => ResultTable::Retention(naive.retention(query)),
        Query::Flows(query) => ResultTable::Flows(naive.flows(query)),
        Query::Frequency(query) => ResultTable::Frequency(naive.frequency(query)),
        Query::Sessions(query) => ResultTable::Sessions(naive.sessions_report(query)),
        Query::Persons(_) | Query::Events(_) => return None,
    })
}

impl Naive<'_> {
    /// Persons alone: events without any id belong to none.
    pub(crate) fn somebody(&self) -> impl Iterator<Item = &Person> {
        self.persons.iter().filter(|person| person.no != SubjectNo::NOBODY)
    }

    pub(crate) fn matches(&self, person: SubjectNo, event: &SealedEvent, matching: &EventMatch) -> bool {
        matching.event.as_ref().is_none_or(|name| *name == event.name)
            && self.passes_all(person, event, &matching.filters)
    }

    pub(crate) fn passes_all(&self, person: SubjectNo, event: &SealedEvent, filters: &[Filter]) -> bool {
        filters.iter().all(|filter| match filter.on {
            Holder::Event => passes(property(event, &filter.property), &filter.condition),
            Holder::Profile | Holder::Cohort => self.person_passes(person, filter),
        })
    }

    /// A filter on the profile or on a cohort.
    pub(crate) fn person_passes(&self, person: SubjectNo, filter: &Filter) -> bool {
        match filter.on {
            Holder::Profile => passes(self.profile(person, &filter.property), &filter.condition),
            Holder::Cohort => {
                let member = self.is_member(person, &filter.property, self.world.now_us + 1);
                match filter.condition {
                    Condition::IsSet => member,
                    Condition::IsNotSet => !member,
                    ref other => panic!("{other:?} cannot be asked of a cohort"),
                }
            }
            Holder::Event => panic!("a person has no property of an event"),
        }
    }

    pub(crate) fn profile(&self, person: SubjectNo, name: &str) -> Option<&Value> {
        self.world.profiles.get(&person)?.get(name)
    }

    /// The segments of an event: every combination of the values of a breakdown's properties.
    pub(crate) fn segments(&self, person: SubjectNo, event: &SealedEvent, by: &[BreakdownBy]) -> BTreeSet<Segments> {
        let mut combinations: BTreeSet<Segments> = [Vec::new()].into();
        for by in by {
            let values = self.values(person, event, by);
            combinations = combinations
                .iter()
                .flat_map(|left| values.iter().map(|value| [left.as_slice(), std::slice::from_ref(value)].concat()))
                .collect();
        }
        combinations
    }

    pub(crate) fn values(&self, person: SubjectNo, event: &SealedEvent, by: &BreakdownBy) -> BTreeSet<Segment> {
        match by.on {
            Holder::Event => self.named(property(event, &by.property), by),
            Holder::Profile => self.named(self.profile(person, &by.property), by),
            Holder::Cohort => {
                let member = self.is_member(person, &by.property, self.world.now_us + 1);
                [Segment::Value(if member { "in" } else { "not in" }.to_owned())].into()
            }
        }
    }

    fn named(&self, value: Option<&Value>, by: &BreakdownBy) -> BTreeSet<Segment> {
        match (value, &by.buckets) {
            (None, _) => [Segment::NotSet].into(),
            (Some(Value::Number(number)), Some(ValueBuckets::Width { size })) => {
                let low = (number / size).floor() * size;
                [Segment::Value(format!("{} – {}", number_text(low), number_text(low + size)))].into()
            }
            (Some(Value::Number(number)), Some(ValueBuckets::Bounds { bounds })) => {
                let below = bounds.iter().filter(|bound| **bound <= *number).count();
                let name = if below == 0 {
                    format!("< {}", number_text(bounds[0]))
                } else if below == bounds.len() {
                    format!("≥ {}", number_text(bounds[below - 1]))
                } else {
                    format!("{} – {}", number_text(bounds[below - 1]), number_text(bounds[below]))
                };
                [Segment::Value(name)].into()
            }
            (Some(Value::Time(time)), Some(ValueBuckets::Time { unit })) => {
                let start = self.world.local(self.world.floor(*time, *unit));
                let name = match unit {
                    Unit::Minute | Unit::Hour => start,
                    Unit::Day | Unit::Week | Unit::Month => start[..10].to_owned(),
                };
                [Segment::Value(name)].into()
            }
            (Some(value), _) => texts(value).into_iter().map(Segment::Value).collect(),
        }
    }
}

pub(crate) fn property<'e>(event: &'e SealedEvent, name: &str) -> Option<&'e Value> {
    event.properties.iter().find(|(other, _)| other == name).map(|(_, value)| value)
}

pub(crate) fn number(event: &SealedEvent, name: &str) -> Option<f64> {
    match property(event, name) {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    }
}

pub(crate) fn number_text(number: f64) -> String {
    // Display of a float writes 3 for 3.0 and never an exponent.
    format!("{number}")
}

/// A value as text; of a list, its items.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) | Value::Object(text) => vec![text.clone()],
        Value::Number(number) => vec![number_text(*number)],
        Value::Bool(value) => vec![value.to_string()],
        Value::Time(time) => vec![Timestamp::from_microsecond(*time).unwrap().to_string()],
        Value::List(items) => items.clone(),
    }
}

pub(crate) fn passes(value: Option<&Value>, condition: &Condition) -> bool {
    let number = if let Some(Value::Number(number)) = value { Some(*number) } else { None };
    // Text tests are of text: a string or the items of a list.
    let words: Vec<String> = match value {
        Some(Value::String(text)) => vec![text.to_lowercase()],
        Some(Value::List(items)) => items.iter().map(|item| item.to_lowercase()).collect(),
        _ => vec![],
    };
    let equals = |values: &[Scalar]| {
        let texts = value.map(texts).unwrap_or_default();
        values.iter().any(|scalar| match scalar {
            Scalar::String(text) => texts.contains(text),
            Scalar::Number(wanted) => texts.contains(&number_text(*wanted)),
            Scalar::Bool(wanted) => texts.contains(&wanted.to_string()),
        })
    };
    let contains = |part: &str| words.iter().any(|word| word.contains(&part.to_lowercase()));
    match condition {
        Condition::Equals { values } => equals(values),
        Condition::DoesNotEqual { values } => !equals(values),
        Condition::Contains { value } => contains(value),
        Condition::DoesNotContain { value } => !contains(value),
        Condition::StartsWith { value } => words.iter().any(|word| word.starts_with(&value.to_lowercase())),
        Condition::EndsWith { value } => words.iter().any(|word| word.ends_with(&value.to_lowercase())),
        Condition::IsSet => value.is_some(),
        Condition::IsNotSet => value.is_none(),
        Condition::GreaterThan { value } => number.is_some_and(|number| number > *value),
        Condition::AtLeast { value } => number.is_some_and(|number| number >= *value),
        Condition::LessThan { value } => number.is_some_and(|number| number < *value),
        Condition::AtMost { value } => number.is_some_and(|number| number <= *value),
        Condition::Between { low, high } => number.is_some_and(|number| (*low..=*high).contains(&number)),
    }
}

/// The `limit` largest of counted segments, equal ones by name.
pub(crate) fn largest<K: Ord + Clone>(counts: &BTreeMap<K, u64>, limit: u32) -> Vec<K> {
    let mut order: Vec<(&K, u64)> = counts.iter().map(|(key, count)| (key, *count)).collect();
    order.retain(|(_, count)| *count > 0);
    order.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    order.into_iter().take(limit as usize).map(|(key, _)| key.clone()).collect()
}

/// Segments with those beyond the limit as one.
pub(crate) fn folded(segments: BTreeSet<Segments>, kept: &[Segments]) -> BTreeSet<Segments> {
    segments.into_iter().map(|name| if kept.contains(&name) { name } else { vec![Segment::Other] }).collect()
}

/// By linear interpolation between the two nearest ranks.
pub(crate) fn percentile(values: &[f64], percent: f64) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let rank = percent / 100.0 * (values.len().checked_sub(1)? as f64);
    let (low, high) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
    Some(low + (high - low) * rank.fract())
}

pub(crate) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
