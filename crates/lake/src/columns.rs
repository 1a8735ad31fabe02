//! Events as columns in memory: what a segment holds once it is read, and what the tail is made of.
//!
//! Rows are ordered by (subject, time, received). Instead of a subject column there is a table of
//! offsets: the rows of `subjects[i]` are `offsets[i]..offsets[i + 1]`. Strings are codes into a dictionary,
//! so that a filter is evaluated once per entry and not once per row.
//!
//! Invariants:
//! - `received` is unique within a project and grows with arrival: it is receive time, arrival order
//!   and "newest wins" in one number.
//! - Within one `Rows` no two rows share (subject, time, event, insert id) with an insert id that is not 0.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;

use cofferdam_model::{PropertyType, SealedEvent, SubjectNo, Value};
use rustc_hash::FxHashMap;

/// The code of a row whose property is not set.
pub const NOT_SET: u32 = u32::MAX;
/// Likewise for times.
pub const TIME_NOT_SET: i64 = i64::MIN;

/// A property and the type of one of its columns.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PropertyKey {
    pub name: String,
    pub property_type: PropertyType,
}

/// The values of one (property, type), one per row.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Strings as they are; lists and objects as JSON text.
    Text(Text),
    /// `NaN` where not set.
    Number(Vec<f64>),
    /// 0 not set, 1 false, 2 true.
    Bool(Vec<u8>),
    /// Microseconds UTC; [`TIME_NOT_SET`] where not set.
    Time(Vec<i64>),
}

/// Dictionary codes and the dictionary, in order of first appearance.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Text {
    pub codes: Vec<u32>,
    pub dictionary: Vec<Arc<str>>,
}

/// What every query reads.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Core {
    /// Ascending, each once.
    pub subjects: Vec<SubjectNo>,
    /// One more than `subjects`.
    pub offsets: Vec<u32>,
    pub time: Vec<i64>,
    pub received: Vec<i64>,
    pub insert_id: Vec<u64>,
    /// Every row has a name.
    pub event: Text,
}

/// All columns of a set of events.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub core: Arc<Core>,
    pub columns: BTreeMap<PropertyKey, Arc<Column>>,
}

impl Core {
    pub fn len(&self) -> usize {
        self.time.len()
    }

    pub fn is_empty(&self) -> bool {
        self.time.is_empty()
    }

    /// The rows of a subject, empty when it has none here.
    pub fn rows_of(&self, subject: SubjectNo) -> std::ops::Range<usize> {
        match self.subjects.binary_search(&subject) {
            Ok(index) => self.offsets[index] as usize..self.offsets[index + 1] as usize,
            Err(_) => 0..0,
        }
    }

    pub fn event_name(&self, row: usize) -> &Arc<str> {
        &self.event.dictionary[self.event.codes[row] as usize]
    }

    /// Bytes held in memory, approximately.
    pub fn bytes(&self) -> usize {
        self.subjects.len() * 8 + self.len() * (8 + 8 + 8) + self.event.bytes()
    }
}

impl Text {
    fn bytes(&self) -> usize {
        self.codes.len() * 4 + self.dictionary.iter().map(|entry| entry.len() + 16).sum::<usize>()
    }
}

impl Column {
    /// Bytes held in memory, approximately.
    pub fn bytes(&self) -> usize {
        match self {
            Column::Text(text) => text.bytes(),
            Column::Number(values) => values.len() * 8,
            Column::Bool(values) => values.len(),
            Column::Time(values) => values.len() * 8,
        }
    }

    /// The value at a row, as it was sealed.
    pub fn value(&self, property_type: PropertyType, row: usize) -> Option<Value> {
        match self {
            Column::Text(text) => {
                let code = text.codes[row];
                if code == NOT_SET {
                    return None;
                }
                let entry = &text.dictionary[code as usize];
                Some(match property_type {
                    PropertyType::List => Value::List(parse_list(entry)),
                    PropertyType::Object => Value::Object(entry.to_string()),
                    _ => Value::String(entry.to_string()),
                })
            }
            Column::Number(values) => (!values[row].is_nan()).then(|| Value::Number(values[row])),
            Column::Bool(values) => (values[row] != 0).then(|| Value::Bool(values[row] == 2)),
            Column::Time(values) => (values[row] != TIME_NOT_SET).then(|| Value::Time(values[row])),
        }
    }

    fn empty(property_type: PropertyType) -> Column {
        match property_type {
            PropertyType::Number => Column::Number(Vec::new()),
            PropertyType::Bool => Column::Bool(Vec::new()),
            PropertyType::Time => Column::Time(Vec::new()),
            PropertyType::String | PropertyType::List | PropertyType::Object => Column::Text(Text::default()),
        }
    }

    /// Extends with rows that are not set until there are `rows` of them.
    fn fill(&mut self, rows: usize) {
        match self {
            Column::Text(text) => text.codes.resize(rows, NOT_SET),
            Column::Number(values) => values.resize(rows, f64::NAN),
            Column::Bool(values) => values.resize(rows, 0),
            Column::Time(values) => values.resize(rows, TIME_NOT_SET),
        }
    }
}

/// A list column's entry: the JSON array written by [`list_text`].
pub fn parse_list(entry: &str) -> Vec<String> {
    serde_json::from_str(entry).unwrap_or_default()
}

/// A list of strings as the text of its dictionary entry.
pub fn list_text(items: &[String]) -> String {
    serde_json::to_string(items).expect("a list of strings is JSON")
}

/// Grows one dictionary-coded column.
struct TextBuilder {
    text: Text,
    codes: FxHashMap<Arc<str>, u32>,
}

impl TextBuilder {
    fn new() -> Self {
        Self { text: Text::default(), codes: FxHashMap::default() }
    }

    fn code(&mut self, entry: &str) -> u32 {
        if let Some(&code) = self.codes.get(entry) {
            return code;
        }
        self.insert(Arc::from(entry))
    }

    fn code_shared(&mut self, entry: &Arc<str>) -> u32 {
        if let Some(&code) = self.codes.get(entry) {
            return code;
        }
        self.insert(entry.clone())
    }

    fn insert(&mut self, entry: Arc<str>) -> u32 {
        let code = u32::try_from(self.text.dictionary.len()).expect("fewer entries than rows");
        self.text.dictionary.push(entry.clone());
        self.codes.insert(entry, code);
        code
    }
}

/// An event with its arrival stamp.
pub struct Arrived {
    pub received: i64,
    pub event: SealedEvent,
}

impl Rows {
    pub fn len(&self) -> usize {
        self.core.len()
    }

    pub fn is_empty(&self) -> bool {
        self.core.is_empty()
    }

    /// Sorts events into columns. Of records with the same identity the newest stays.
    pub fn build(events: &[Arrived]) -> Rows {
        let mut order: Vec<u32> = (0..u32::try_from(events.len()).expect("a tail is bounded")).collect();
        order.sort_unstable_by_key(|&index| {
            let arrived = &events[index as usize];
            (arrived.event.subject, arrived.event.time_us, arrived.received)
        });
        let keep = survivors(
            order.len(),
            |at| {
                let event = &events[order[at] as usize].event;
                (event.subject, event.time_us)
            },
            |at| {
                let event = &events[order[at] as usize].event;
                (event.insert_id, event.name.as_str())
            },
        );
        let mut core = CoreBuilder::default();
        let mut names = TextBuilder::new();
        let mut texts: FxHashMap<PropertyKey, TextBuilder> = FxHashMap::default();
        let mut columns: BTreeMap<PropertyKey, Column> = BTreeMap::new();
        for (at, &index) in order.iter().enumerate() {
            if !keep[at] {
                continue;
            }
            let Arrived { received, event } = &events[index as usize];
            let row = core.push(event.subject, event.time_us, *received, event.insert_id);
            let code = names.code(&event.name);
            names.text.codes.push(code);
            for (name, value) in &event.properties {
                let key = PropertyKey { name: name.clone(), property_type: value.property_type() };
                match value {
                    Value::String(text) | Value::Object(text) => set_text(&mut texts, key, row, text),
                    Value::List(items) => set_text(&mut texts, key, row, &list_text(items)),
                    Value::Number(_) | Value::Bool(_) | Value::Time(_) => {
                        let property_type = key.property_type;
                        let column = columns.entry(key).or_insert_with(|| Column::empty(property_type));
                        column.fill(row);
                        match (column, value) {
                            (Column::Number(values), Value::Number(value)) => push_or_replace(values, row, *value),
                            (Column::Bool(values), Value::Bool(value)) => {
                                push_or_replace(values, row, 1 + u8::from(*value));
                            }
                            (Column::Time(values), Value::Time(value)) => push_or_replace(values, row, *value),
                            _ => unreachable!("a column is made for the type of its key"),
                        }
                    }
                }
            }
        }
        columns.extend(texts.into_iter().map(|(key, builder)| (key, Column::Text(builder.text))));
        core.finish(names.text, columns)
    }

    /// Merges sorted sets into one. Of records with the same identity the newest stays.
    pub fn merge(parts: &[&Rows]) -> Rows {
        let mut order: Vec<Place> = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        for (part, rows) in parts.iter().enumerate() {
            let core = &rows.core;
            for (index, &subject) in core.subjects.iter().enumerate() {
                for row in core.offsets[index]..core.offsets[index + 1] {
                    order.push((
                        subject,
                        core.time[row as usize],
                        core.received[row as usize],
                        u32::try_from(part).expect("few parts"),
                        row,
                    ));
                }
            }
        }
        order.sort_unstable();
        let keep = survivors(
            order.len(),
            |at| (order[at].0, order[at].1),
            |at| {
                let core = &parts[order[at].3 as usize].core;
                (core.insert_id[order[at].4 as usize], &**core.event_name(order[at].4 as usize))
            },
        );
        let mut at = 0;
        order.retain(|_| {
            at += 1;
            keep[at - 1]
        });

        let mut core = CoreBuilder::default();
        for &(subject, time, received, part, row) in &order {
            core.push(subject, time, received, parts[part as usize].core.insert_id[row as usize]);
        }
        let event = merge_text(&order, parts.iter().map(|part| Some(&part.core.event)).collect());
        let mut keys: Vec<&PropertyKey> = parts.iter().flat_map(|part| part.columns.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let columns = keys
            .into_iter()
            .map(|key| {
                let sources: Vec<Option<&Column>> =
                    parts.iter().map(|part| part.columns.get(key).map(|column| &**column)).collect();
                (key.clone(), merge_column(key.property_type, &order, &sources))
            })
            .collect();
        core.finish(event, columns)
    }

    /// Splits by subject bucket; the order within each is kept.
    pub fn split(&self, buckets: u32) -> Vec<Rows> {
        if buckets == 1 {
            return vec![self.clone()];
        }
        let mut orders: Vec<Vec<Place>> = vec![Vec::new(); buckets as usize];
        for (index, &subject) in self.core.subjects.iter().enumerate() {
            let order = &mut orders[bucket_of(subject, buckets) as usize];
            for row in self.core.offsets[index]..self.core.offsets[index + 1] {
                order.push((subject, self.core.time[row as usize], self.core.received[row as usize], 0, row));
            }
        }
        orders
            .iter()
            .map(|order| {
                let mut core = CoreBuilder::default();
                for &(subject, time, received, _, row) in order {
                    core.push(subject, time, received, self.core.insert_id[row as usize]);
                }
                let event = merge_text(order, vec![Some(&self.core.event)]);
                let columns = self
                    .columns
                    .iter()
                    .map(|(key, column)| (key.clone(), merge_column(key.property_type, order, &[Some(column)])))
                    .collect();
                core.finish(event, columns)
            })
            .collect()
    }
}

/// The bucket a subject's events live in. `buckets` is a power of two.
pub fn bucket_of(subject: SubjectNo, buckets: u32) -> u32 {
    subject.0 & (buckets - 1)
}

/// Which of `len` ordered rows stay, when of those with equal (subject, time) and equal (insert id, event)
/// only the last, the newest, does. Insert id 0 is nobody's duplicate.
fn survivors<'a>(
    len: usize,
    place: impl Fn(usize) -> (SubjectNo, i64),
    identity: impl Fn(usize) -> (u64, &'a str),
) -> Vec<bool> {
    let mut keep = vec![true; len];
    let mut start = 0;
    let mut newest: FxHashMap<(u64, &str), usize> = FxHashMap::default();
    while start < len {
        let here = place(start);
        let mut end = start + 1;
        while end < len && place(end) == here {
            end += 1;
        }
        if end - start > 1 {
            newest.clear();
            for at in start..end {
                let identity = identity(at);
                if identity.0 == 0 {
                    continue;
                }
                if let Some(older) = newest.insert(identity, at) {
                    keep[older] = false;
                }
            }
        }
        start = end;
    }
    keep
}

fn push_or_replace<T>(values: &mut Vec<T>, row: usize, value: T) {
    // An event may name a property twice; the last one counts, as in JSON parsers everywhere.
    if values.len() > row {
        values[row] = value;
    } else {
        values.push(value);
    }
}

fn set_text(texts: &mut FxHashMap<PropertyKey, TextBuilder>, key: PropertyKey, row: usize, text: &str) {
    let builder = texts.entry(key).or_insert_with(TextBuilder::new);
    let code = builder.code(text);
    if builder.text.codes.len() < row {
        builder.text.codes.resize(row, NOT_SET);
    }
    push_or_replace(&mut builder.text.codes, row, code);
}

type Order = [Place];

/// Subject, time, received, which part, which row of it: ordered like rows are.
type Place = (SubjectNo, i64, i64, u32, u32);

fn merge_text(order: &Order, sources: Vec<Option<&Text>>) -> Text {
    let mut builder = TextBuilder::new();
    let mut maps: Vec<Vec<u32>> =
        sources.iter().map(|source| vec![NOT_SET; source.map_or(0, |text| text.dictionary.len())]).collect();
    builder.text.codes.reserve(order.len());
    for &(_, _, _, part, row) in order {
        let code = match sources[part as usize] {
            Some(text) if text.codes[row as usize] != NOT_SET => {
                let old = text.codes[row as usize] as usize;
                let new = &mut maps[part as usize][old];
                if *new == NOT_SET {
                    *new = builder.code_shared(&text.dictionary[old]);
                }
                *new
            }
            _ => NOT_SET,
        };
        builder.text.codes.push(code);
    }
    builder.text
}

fn merge_column(property_type: PropertyType, order: &Order, sources: &[Option<&Column>]) -> Column {
    match property_type {
        PropertyType::String | PropertyType::List | PropertyType::Object => Column::Text(merge_text(
            order,
            sources
                .iter()
                .map(|source| if let Some(Column::Text(text)) = source { Some(text) } else { None })
                .collect(),
        )),
        PropertyType::Number => Column::Number(gather(order, sources, f64::NAN, |column, row| match column {
            Column::Number(values) => values[row],
            _ => f64::NAN,
        })),
        PropertyType::Bool => Column::Bool(gather(order, sources, 0, |column, row| match column {
            Column::Bool(values) => values[row],
            _ => 0,
        })),
        PropertyType::Time => Column::Time(gather(order, sources, TIME_NOT_SET, |column, row| match column {
            Column::Time(values) => values[row],
            _ => TIME_NOT_SET,
        })),
    }
}

fn gather<T: Copy>(
    order: &Order,
    sources: &[Option<&Column>],
    not_set: T,
    get: impl Fn(&Column, usize) -> T,
) -> Vec<T> {
    order
        .iter()
        .map(|&(_, _, _, part, row)| sources[part as usize].map_or(not_set, |column| get(column, row as usize)))
        .collect()
}

#[derive(Default)]
struct CoreBuilder {
    core: Core,
}

impl CoreBuilder {
    fn push(&mut self, subject: SubjectNo, time: i64, received: i64, insert_id: u64) -> usize {
        let row = self.core.time.len();
        if self.core.subjects.last() != Some(&subject) {
            self.core.subjects.push(subject);
            self.core.offsets.push(u32::try_from(row).expect("a segment has fewer rows than 2^32"));
        }
        self.core.time.push(time);
        self.core.received.push(received);
        self.core.insert_id.push(insert_id);
        row
    }

    fn finish(mut self, event: Text, columns: BTreeMap<PropertyKey, Column>) -> Rows {
        let rows = self.core.time.len();
        self.core.offsets.push(u32::try_from(rows).expect("a segment has fewer rows than 2^32"));
        self.core.event = event;
        let columns = columns
            .into_iter()
            .filter_map(|(key, mut column)| {
                column.fill(rows);
                let any = match &column {
                    Column::Text(text) => !text.dictionary.is_empty(),
                    _ => true,
                };
                any.then(|| (key, Arc::new(column)))
            })
            .collect();
        Rows { core: Arc::new(self.core), columns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(received: i64, subject: u32, time_us: i64, name: &str, insert_id: u64, plan: &str) -> Arrived {
        Arrived {
            received,
            event: SealedEvent {
                name: name.into(),
                subject: SubjectNo(subject),
                time_us,
                insert_id,
                properties: vec![
                    ("plan".into(), Value::String(plan.into())),
                    ("n".into(), Value::Number(time_us as f64)),
                ],
            },
        }
    }

    fn plans(rows: &Rows) -> Vec<String> {
        let key = PropertyKey { name: "plan".into(), property_type: PropertyType::String };
        let column = &rows.columns[&key];
        (0..rows.len())
            .map(|row| match column.value(PropertyType::String, row) {
                Some(Value::String(text)) => text,
                other => panic!("unexpected {other:?}"),
            })
            .collect()
    }

    #[test]
    fn newest_of_equal_records_stays_in_build_and_merge() {
        let rows = Rows::build(&[
            arrived(1, 7, 10, "a", 5, "old"),
            arrived(2, 7, 10, "a", 5, "new"),
            arrived(3, 7, 10, "b", 5, "other event"),
            arrived(4, 3, 10, "a", 0, "no id"),
            arrived(5, 3, 10, "a", 0, "no id either"),
        ]);
        assert_eq!(plans(&rows), ["no id", "no id either", "new", "other event"]);
        assert_eq!(rows.core.subjects, [SubjectNo(3), SubjectNo(7)]);
        assert_eq!(rows.core.offsets, [0, 2, 4]);
        let newer = Rows::build(&[arrived(9, 7, 10, "a", 5, "newest")]);
        let merged = Rows::merge(&[&newer, &rows]);
        assert_eq!(plans(&merged), ["no id", "no id either", "other event", "newest"]);
    }

    #[test]
    fn split_keeps_every_row_once() {
        let events: Vec<Arrived> = (0..100).map(|i| arrived(i, (i % 13) as u32, i, "a", 0, "p")).collect();
        let rows = Rows::build(&events);
        let parts = rows.split(4);
        assert_eq!(parts.iter().map(Rows::len).sum::<usize>(), 100);
        for (bucket, part) in parts.iter().enumerate() {
            assert!(part.core.subjects.iter().all(|subject| bucket_of(*subject, 4) as usize == bucket));
        }
        let merged = Rows::merge(&parts.iter().collect::<Vec<_>>());
        assert_eq!(merged.core.time, rows.core.time);
    }
}
