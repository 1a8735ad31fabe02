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

use crate::buffer::Buffer;

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

/// Dictionary codes, one per row, in the narrowest width. The greatest value of the type is "not set".
#[derive(Clone, Debug, PartialEq)]
pub enum Codes {
    U8(Buffer<u8>),
    U16(Buffer<u16>),
    U32(Buffer<u32>),
}

/// The distinct texts of a column; a code is a place in it.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Dictionary {
    /// Where each entry ends in `bytes`.
    ends: Buffer<u64>,
    /// UTF-8, one entry after the other.
    bytes: Buffer<u8>,
}

/// Texts as codes and their dictionary.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    pub codes: Codes,
    pub dictionary: Dictionary,
}

/// Event times: `base + unit * step` where they fit, µs as they are where not.
#[derive(Clone, Debug, PartialEq)]
pub enum Times {
    /// `base` in µs UTC; `unit` in µs is the greatest of a second, a millisecond and a microsecond that
    /// divides every distance from it.
    Short { base: i64, unit: i64, steps: Buffer<u32> },
    /// µs UTC.
    Long(Buffer<i64>),
}

/// The values of one (property, type), one per row.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Strings as they are; lists and objects as JSON text.
    Text(Text),
    /// `NaN` where not set.
    Number(Buffer<f64>),
    /// 0 not set, 1 false, 2 true.
    Bool(Buffer<u8>),
    /// Microseconds UTC; [`TIME_NOT_SET`] where not set.
    Time(Buffer<i64>),
}

impl Column {
    /// Whether a row has a value.
    pub(crate) fn is_set(&self, row: usize) -> bool {
        match self {
            Column::Text(text) => text.codes.get(row) != NOT_SET,
            Column::Number(values) => !values[row].is_nan(),
            Column::Bool(values) => values[row] != 0,
            Column::Time(values) => values[row] != TIME_NOT_SET,
        }
    }
}

/// What every query reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Core {
    /// Ascending, each once.
    pub subjects: Buffer<u32>,
    /// One more than `subjects`.
    pub offsets: Buffer<u32>,
    pub time: Times,
    /// Every row has a name.
    pub event: Text,
}

impl Codes {
    pub fn len(&self) -> usize {
        match self {
            Codes::U8(codes) => codes.len(),
            Codes::U16(codes) => codes.len(),
            Codes::U32(codes) => codes.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The code at a row; [`NOT_SET`] where there is none.
    #[inline]
    pub fn get(&self, row: usize) -> u32 {
        match self {
            Codes::U8(codes) => match codes[row] {
                u8::MAX => NOT_SET,
                code => u32::from(code),
            },
            Codes::U16(codes) => match codes[row] {
                u16::MAX => NOT_SET,
                code => u32::from(code),
            },
            Codes::U32(codes) => codes[row],
        }
    }

    /// Codes into a dictionary of `entries`, stored as narrowly as that allows.
    pub fn narrowest(codes: &[u32], entries: usize) -> Codes {
        // The greatest value is taken by "not set", which truncation keeps.
        if entries <= usize::from(u8::MAX) {
            Codes::U8(codes.iter().map(|code| *code as u8).collect())
        } else if entries <= usize::from(u16::MAX) {
            Codes::U16(codes.iter().map(|code| *code as u16).collect())
        } else {
            Codes::U32(codes.to_vec().into())
        }
    }

    /// Every code, [`NOT_SET`] where there is none.
    pub fn widened(&self) -> Vec<u32> {
        (0..self.len()).map(|row| self.get(row)).collect()
    }

    fn bytes(&self) -> usize {
        match self {
            Codes::U8(codes) => codes.as_bytes().len(),
            Codes::U16(codes) => codes.as_bytes().len(),
            Codes::U32(codes) => codes.as_bytes().len(),
        }
    }
}

impl Dictionary {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The entry of a code below [`Dictionary::len`].
    ///
    /// # Panics
    /// With any other code, [`NOT_SET`] among them.
    pub fn get(&self, code: u32) -> &str {
        let code = code as usize;
        let start = if code == 0 { 0 } else { self.ends[code - 1] as usize };
        std::str::from_utf8(&self.bytes[start..self.ends[code] as usize]).expect("checked when it was made")
    }

    /// Every entry, in the order of the codes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|code| self.get(code as u32))
    }

    /// From stored parts; `None` when they do not make texts.
    pub(crate) fn from_parts(ends: Buffer<u64>, bytes: Buffer<u8>) -> Option<Dictionary> {
        let texts = std::str::from_utf8(&bytes).ok()?;
        let mut start = 0;
        for &end in ends.iter() {
            let end = usize::try_from(end).ok()?;
            texts.get(start..end)?;
            start = end;
        }
        (start == bytes.len()).then_some(Dictionary { ends, bytes })
    }

    pub(crate) fn parts(&self) -> (&Buffer<u64>, &Buffer<u8>) {
        (&self.ends, &self.bytes)
    }
}

impl<T: AsRef<str>> FromIterator<T> for Dictionary {
    fn from_iter<I: IntoIterator<Item = T>>(entries: I) -> Self {
        let mut ends = Vec::new();
        let mut bytes = Vec::new();
        for entry in entries {
            bytes.extend_from_slice(entry.as_ref().as_bytes());
            ends.push(bytes.len() as u64);
        }
        Dictionary { ends: ends.into(), bytes: bytes.into() }
    }
}

impl Text {
    /// The text at a row.
    pub fn get(&self, row: usize) -> Option<&str> {
        let code = self.codes.get(row);
        (code != NOT_SET).then(|| self.dictionary.get(code))
    }

    fn bytes(&self) -> usize {
        let (ends, bytes) = self.dictionary.parts();
        self.codes.bytes() + ends.as_bytes().len() + bytes.len()
    }
}

impl Times {
    /// The shortest form of these times, µs UTC.
    pub fn shortest(times: &[i64]) -> Times {
        const UNITS: [i64; 3] = [1_000_000, 1_000, 1];
        let base = times.iter().copied().min().unwrap_or(0);
        let Some(span) = times.iter().copied().max().unwrap_or(0).checked_sub(base) else {
            return Times::Long(times.to_vec().into());
        };
        let unit = UNITS
            .into_iter()
            .find(|unit| times.iter().all(|time| (time - base) % unit == 0))
            .expect("one divides everything");
        if span / unit > i64::from(u32::MAX) {
            return Times::Long(times.to_vec().into());
        }
        Times::Short { base, unit, steps: times.iter().map(|time| ((time - base) / unit) as u32).collect() }
    }

    pub fn len(&self) -> usize {
        match self {
            Times::Short { steps, .. } => steps.len(),
            Times::Long(times) => times.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// µs UTC.
    #[inline]
    pub fn get(&self, row: usize) -> i64 {
        match self {
            Times::Short { base, unit, steps } => base + unit * i64::from(steps[row]),
            Times::Long(times) => times[row],
        }
    }

    /// Every time, µs UTC, in the order of the rows.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = i64> {
        (0..self.len()).map(|row| self.get(row))
    }

    fn bytes(&self) -> usize {
        match self {
            Times::Short { steps, .. } => steps.as_bytes().len(),
            Times::Long(times) => times.as_bytes().len(),
        }
    }
}

impl Core {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.time.len()
    }

    pub fn is_empty(&self) -> bool {
        self.time.is_empty()
    }

    /// The rows of a subject, empty when it has none here.
    pub fn rows_of(&self, subject: SubjectNo) -> std::ops::Range<usize> {
        match self.subjects.binary_search(&subject.0) {
            Ok(index) => self.offsets[index] as usize..self.offsets[index + 1] as usize,
            Err(_) => 0..0,
        }
    }

    pub fn event_name(&self, row: usize) -> &str {
        self.event.dictionary.get(self.event.codes.get(row))
    }

    /// Bytes of all arrays.
    pub fn bytes(&self) -> usize {
        (self.subjects.len() + self.offsets.len()) * 4 + self.time.bytes() + self.event.bytes()
    }
}

impl Column {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Column::Text(text) => text.codes.len(),
            Column::Number(values) => values.len(),
            Column::Bool(values) => values.len(),
            Column::Time(values) => values.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all arrays.
    pub fn bytes(&self) -> usize {
        match self {
            Column::Text(text) => text.bytes(),
            Column::Number(values) => values.as_bytes().len(),
            Column::Bool(values) => values.as_bytes().len(),
            Column::Time(values) => values.as_bytes().len(),
        }
    }

    /// The value at a row, as it was sealed.
    pub fn value(&self, property_type: PropertyType, row: usize) -> Option<Value> {
        match self {
            Column::Text(text) => text.get(row).map(|entry| match property_type {
                PropertyType::List => Value::List(parse_list(entry)),
                PropertyType::Object => Value::Object(entry.to_owned()),
                _ => Value::String(entry.to_owned()),
            }),
            Column::Number(values) => (!values[row].is_nan()).then(|| Value::Number(values[row])),
            Column::Bool(values) => (values[row] != 0).then(|| Value::Bool(values[row] == 2)),
            Column::Time(values) => (values[row] != TIME_NOT_SET).then(|| Value::Time(values[row])),
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

/// A column while it grows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum WideColumn {
    Text(WideText),
    Number(Vec<f64>),
    Bool(Vec<u8>),
    Time(Vec<i64>),
}

/// Texts while they grow; entries in order of first appearance.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct WideText {
    pub(crate) codes: Vec<u32>,
    pub(crate) dictionary: Vec<Arc<str>>,
}

/// The part of [`Rows`] that every event has.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct WideCore {
    pub(crate) subjects: Vec<SubjectNo>,
    pub(crate) offsets: Vec<u32>,
    pub(crate) time: Vec<i64>,
    pub(crate) received: Vec<i64>,
    pub(crate) insert_id: Vec<u64>,
    pub(crate) event: WideText,
}

/// All columns of a set of events, as they are built.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    pub(crate) core: Arc<WideCore>,
    pub(crate) columns: BTreeMap<PropertyKey, Arc<WideColumn>>,
}

impl From<&WideText> for Text {
    fn from(text: &WideText) -> Text {
        Text {
            codes: Codes::narrowest(&text.codes, text.dictionary.len()),
            dictionary: text.dictionary.iter().collect(),
        }
    }
}

impl From<&WideColumn> for Column {
    fn from(column: &WideColumn) -> Column {
        match column {
            WideColumn::Text(text) => Column::Text(text.into()),
            WideColumn::Number(values) => Column::Number(values.clone().into()),
            WideColumn::Bool(values) => Column::Bool(values.clone().into()),
            WideColumn::Time(values) => Column::Time(values.clone().into()),
        }
    }
}

impl From<&WideCore> for Core {
    fn from(core: &WideCore) -> Core {
        Core {
            subjects: core.subjects.iter().map(|subject| subject.0).collect(),
            offsets: core.offsets.clone().into(),
            time: Times::shortest(&core.time),
            event: (&core.event).into(),
        }
    }
}

impl WideColumn {
    /// Extends with rows that are not set until there are `rows` of them.
    fn fill(&mut self, rows: usize) {
        match self {
            WideColumn::Text(text) => text.codes.resize(rows, NOT_SET),
            WideColumn::Number(values) => values.resize(rows, f64::NAN),
            WideColumn::Bool(values) => values.resize(rows, 0),
            WideColumn::Time(values) => values.resize(rows, TIME_NOT_SET),
        }
    }
}

/// Grows one dictionary-coded column.
struct TextBuilder {
    text: WideText,
    codes: FxHashMap<Arc<str>, u32>,
}

impl TextBuilder {
    fn new() -> Self {
        Self { text: WideText::default(), codes: FxHashMap::default() }
    }

    fn code(&mut self, entry: &str) -> u32 {
        if let Some(&code) = self.codes.get(entry) {
            return code;
        }
        self.insert(Arc::from(entry))
    }

    fn set(&mut self, row: usize, entry: &str) {
        let code = self.code(entry);
        set_at(&mut self.text.codes, row, NOT_SET, code);
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
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.core.time.len()
    }

    /// Sorts events into columns. Of records with the same identity the newest stays.
    pub(crate) fn build<'a>(events: impl IntoIterator<Item = &'a Arrived>) -> Rows {
        let place = |arrived: &'a Arrived| ((arrived.event.subject, arrived.event.time_us), arrived.received);
        let mut order: Vec<(_, &Arrived)> = events.into_iter().map(|arrived| (place(arrived), arrived)).collect();
        order.sort_unstable_by_key(|(place, _)| *place);
        let keep = survivors(
            order.len(),
            |at| order[at].0.0,
            |at| {
                let event = &order[at].1.event;
                (event.insert_id, event.name.as_str())
            },
        );
        let mut core = CoreBuilder::default();
        let mut names = TextBuilder::new();
        let mut columns = ColumnsBuilder::default();
        for (at, (_, Arrived { received, event })) in order.into_iter().enumerate() {
            if !keep[at] {
                continue;
            }
            let row = core.push(event.subject, event.time_us, *received, event.insert_id);
            let code = names.code(&event.name);
            names.text.codes.push(code);
            for (place, (name, value)) in event.properties.iter().enumerate() {
                columns.set(row, place, name, value);
            }
        }
        core.finish(names.text, columns.finish())
    }
}

/// Grows the columns of properties.
#[derive(Default)]
struct ColumnsBuilder {
    columns: Vec<(PropertyKey, Builder)>,
    by_key: FxHashMap<PropertyKey, usize>,
    /// By place in an event, the column that was met there last: most events are like the one before.
    last: Vec<usize>,
}

enum Builder {
    Text(TextBuilder),
    Number(Vec<f64>),
    Bool(Vec<u8>),
    Time(Vec<i64>),
}

impl ColumnsBuilder {
    fn set(&mut self, row: usize, place: usize, name: &str, value: &Value) {
        let column = self.column(place, name, value.property_type());
        match (&mut self.columns[column].1, value) {
            (Builder::Text(builder), Value::String(text) | Value::Object(text)) => builder.set(row, text),
            (Builder::Text(builder), Value::List(items)) => builder.set(row, &list_text(items)),
            (Builder::Number(values), Value::Number(value)) => set_at(values, row, f64::NAN, *value),
            (Builder::Bool(values), Value::Bool(value)) => set_at(values, row, 0, 1 + u8::from(*value)),
            (Builder::Time(values), Value::Time(value)) => set_at(values, row, TIME_NOT_SET, *value),
            _ => unreachable!("a column is made for the type of its key"),
        }
    }

    fn column(&mut self, place: usize, name: &str, property_type: PropertyType) -> usize {
        if let Some(&column) = self.last.get(place) {
            let key = &self.columns[column].0;
            if key.property_type == property_type && key.name == name {
                return column;
            }
        }
        let key = PropertyKey { name: name.to_owned(), property_type };
        let column = *self.by_key.entry(key).or_insert_with_key(|key| {
            self.columns.push((key.clone(), Builder::new(property_type)));
            self.columns.len() - 1
        });
        if place >= self.last.len() {
            self.last.resize(place + 1, column);
        }
        self.last[place] = column;
        column
    }

    fn finish(self) -> BTreeMap<PropertyKey, WideColumn> {
        let finished = |(key, builder)| {
            let column = match builder {
                Builder::Text(builder) => WideColumn::Text(builder.text),
                Builder::Number(values) => WideColumn::Number(values),
                Builder::Bool(values) => WideColumn::Bool(values),
                Builder::Time(values) => WideColumn::Time(values),
            };
            (key, column)
        };
        self.columns.into_iter().map(finished).collect()
    }
}

impl Builder {
    fn new(property_type: PropertyType) -> Builder {
        match property_type {
            PropertyType::Number => Builder::Number(Vec::new()),
            PropertyType::Bool => Builder::Bool(Vec::new()),
            PropertyType::Time => Builder::Time(Vec::new()),
            PropertyType::String | PropertyType::List | PropertyType::Object => Builder::Text(TextBuilder::new()),
        }
    }
}

/// Rows between the last and this one are not set. An event may name a property twice; the last one counts, as in JSON
/// parsers everywhere.
fn set_at<T: Clone>(values: &mut Vec<T>, row: usize, not_set: T, value: T) {
    if values.len() > row {
        values[row] = value;
    } else {
        values.resize(row, not_set);
        values.push(value);
    }
}

/// The bucket a subject's events live in. `buckets` is a power of two.
pub fn bucket_of(subject: SubjectNo, buckets: u32) -> u32 {
    subject.0 & (buckets - 1)
}

/// Which of `len` ordered rows stay, when of those with equal (subject, time) and equal (insert id, event)
/// only the last, the newest, does. Insert id 0 is nobody's duplicate.
pub(crate) fn survivors<'a>(
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

#[derive(Default)]
struct CoreBuilder {
    core: WideCore,
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

    fn finish(mut self, event: WideText, columns: BTreeMap<PropertyKey, WideColumn>) -> Rows {
        let rows = self.core.time.len();
        self.core.offsets.push(u32::try_from(rows).expect("a segment has fewer rows than 2^32"));
        self.core.event = event;
        let columns = columns
            .into_iter()
            .filter_map(|(key, mut column)| {
                column.fill(rows);
                let any = match &column {
                    WideColumn::Text(text) => !text.dictionary.is_empty(),
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
            .map(|row| match Column::from(&**column).value(PropertyType::String, row) {
                Some(Value::String(text)) => text,
                other => panic!("unexpected {other:?}"),
            })
            .collect()
    }

    #[test]
    fn newest_of_equal_records_stays() {
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
    }
}
