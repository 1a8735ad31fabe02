//! Merging segments, column by column.
//!
//! 1. The rows of one output are ordered by (subject, time, received), with hidden ones, dropped ones and
//!    superseded duplicates left out. What remains of the order is, per row, its source and its place there.
//! 2. Each column is gathered along that order, handed on, and let go.
//!
//! So a merge holds the order, the core of its output and one column. Sources that are files are decoded from the
//! truth unless their column is loaded already: a merge leaves nothing behind in the hot columns but the core of
//! what it made.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use bytemuck::Pod;
use cofferdam_model::{PropertyType, SubjectNo};
use rustc_hash::FxHashMap;

use super::{Segment, truth};
use crate::Result;
use crate::buffer::Buffer;
use crate::columns::{Codes, Column, Core, Dictionary, NOT_SET, PropertyKey, TIME_NOT_SET, Text, Times, survivors};
use crate::hot::HotStore;

/// What is merged.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) segment: &'a Segment,
    /// Rows left out, ascending.
    pub(crate) hidden: &'a [u32],
}

/// Where rows go.
pub(crate) trait Plan {
    /// Number of outputs.
    fn outputs(&self) -> usize;
    /// The output of a row and the subject it is written under, which is how identity merges are folded in.
    /// `None` drops the row.
    fn place(&self, subject: SubjectNo, time_us: i64) -> Option<(usize, SubjectNo)>;
    /// The insert id of a row that is written under another subject than it had.
    fn folded_insert_id(&self, _from: SubjectNo, insert_id: u64) -> u64 {
        insert_id
    }
    /// Whether a property's column is written.
    fn keeps_column(&self, key: &PropertyKey) -> bool;
    /// Values of a property that are earlier than this, µs UTC, are left out of their rows.
    fn values_from_us(&self, _key: &PropertyKey) -> i64 {
        i64::MIN
    }
}

/// What is known of a written file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(crate) crc32c: u32,
    pub(crate) rows: u64,
    /// Earliest and latest event time, µs UTC.
    pub(crate) time_us: (i64, i64),
    /// Earliest and latest arrival stamp.
    pub(crate) received: (i64, i64),
    /// Subjects whose rows are written under another: who, and under whom.
    pub(crate) folded: BTreeSet<(SubjectNo, SubjectNo)>,
}

/// Writes each output that has rows to the path, and under the number, that `path` gives for it. Of records with the
/// same (subject, time, event, insert id) the newest stays; insert id 0 is nobody's duplicate. The files are durable
/// under their names when this returns, and their hot cores are written; after an error none of them is there.
pub(crate) fn merge(
    hot: &HotStore,
    sources: &[Source<'_>],
    plan: &dyn Plan,
    path: &dyn Fn(usize) -> (PathBuf, u64),
) -> Result<Vec<(usize, Written)>> {
    let merger = Merger::new(sources, plan)?;
    let mut written: Vec<(usize, Written)> = Vec::new();
    for output in 0..plan.outputs() {
        let result = merger.order(output).map(|order| merger.write(hot, &order, path(output))).transpose();
        match result {
            Ok(None) => {}
            Ok(Some(one)) => written.push((output, one)),
            Err(error) => {
                for output in written.iter().map(|(output, _)| *output).chain([output]) {
                    let (path, id) = path(output);
                    // The failure is reported; what is left is removed at the next start.
                    let _ = hot.disk.remove(&path);
                    hot.remove_segment(&super::project_folder(&path), id);
                }
                return Err(error);
            }
        }
    }
    Ok(written)
}

/// The same with outputs that stay in memory, each under the number and bucket that `identify` gives for it.
pub(crate) fn merge_in_memory(
    sources: &[Source<'_>],
    plan: &dyn Plan,
    identify: &dyn Fn(usize) -> (u64, u32),
) -> Result<Vec<(usize, Segment)>> {
    let merger = Merger::new(sources, plan)?;
    let mut made = Vec::new();
    for output in 0..plan.outputs() {
        let Some(order) = merger.order(output) else { continue };
        let (id, bucket) = identify(output);
        let mut columns = std::collections::BTreeMap::new();
        for key in &merger.keys {
            let column = merger.column(&order, key)?;
            if !is_empty(&column) {
                columns.insert(key.clone(), Arc::new(column));
            }
        }
        let memory = super::Memory {
            core: Arc::new(merger.core(&order)),
            received: merger.received(&order).collect(),
            insert_ids: merger.insert_ids(&order).collect(),
            columns,
        };
        made.push((output, Segment::of_memory(id, bucket, memory)));
    }
    Ok(made)
}

fn is_empty(column: &Column) -> bool {
    match column {
        Column::Text(text) => text.dictionary.is_empty(),
        Column::Number(values) => values.iter().all(|value| value.is_nan()),
        Column::Bool(values) => values.iter().all(|value| *value == 0),
        Column::Time(values) => values.iter().all(|value| *value == TIME_NOT_SET),
    }
}

struct Merger<'a> {
    parts: Vec<SourceRows<'a>>,
    plan: &'a dyn Plan,
    keys: Vec<PropertyKey>,
}

struct SourceRows<'a> {
    source: Source<'a>,
    core: Arc<Core>,
    received: Buffer<i64>,
    insert_ids: Buffer<u64>,
}

/// Where each row of an output comes from, and the columns that were at hand while it was ordered.
struct Order {
    sources: Vec<u16>,
    rows: Vec<u32>,
    subjects: Vec<u32>,
    offsets: Vec<u32>,
    times: Vec<i64>,
    /// Insert ids of rows whose subject was folded into another, by source and row.
    folded: FxHashMap<(usize, usize), u64>,
    /// Those subjects, and the others.
    ties: BTreeSet<(SubjectNo, SubjectNo)>,
}

impl Order {
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        self.sources.iter().zip(&self.rows).map(|(source, row)| (usize::from(*source), *row as usize))
    }

    /// The same, with none for rows that are earlier.
    fn places_from(&self, from_us: i64) -> impl Iterator<Item = Option<(usize, usize)>> {
        self.places().zip(&self.times).map(move |(place, time)| (*time >= from_us).then_some(place))
    }
}

/// A row while it is ordered.
#[derive(Clone, Copy)]
struct Entry {
    time: i64,
    subject: u32,
    /// Counted through all sources.
    row: u32,
}

impl<'a> Merger<'a> {
    fn new(sources: &[Source<'a>], plan: &'a dyn Plan) -> Result<Merger<'a>> {
        let mut keys = BTreeSet::new();
        let mut parts = Vec::with_capacity(sources.len());
        for &source in sources {
            keys.extend(source.segment.keys().filter(|key| plan.keeps_column(key)).cloned());
            parts.push(SourceRows {
                source,
                core: source.segment.core()?,
                received: source.segment.received_once()?,
                insert_ids: source.segment.insert_ids_once()?,
            });
        }
        Ok(Merger { parts, plan, keys: keys.into_iter().collect() })
    }

    fn insert_id(&self, folded: &FxHashMap<(usize, usize), u64>, source: usize, row: usize) -> u64 {
        match folded.is_empty() {
            true => self.parts[source].insert_ids[row],
            false => folded.get(&(source, row)).copied().unwrap_or_else(|| self.parts[source].insert_ids[row]),
        }
    }

    fn insert_ids<'o>(&'o self, order: &'o Order) -> impl Iterator<Item = u64> + use<'o, 'a> {
        order.places().map(|(source, row)| self.insert_id(&order.folded, source, row))
    }

    fn received<'o>(&'o self, order: &'o Order) -> impl Iterator<Item = i64> + use<'o, 'a> {
        order.places().map(|(source, row)| self.parts[source].received[row])
    }

    /// The rows of an output in their order; `None` when it has none.
    fn order(&self, output: usize) -> Option<Order> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut folded = FxHashMap::default();
        let mut ties = BTreeSet::new();
        let mut starts: Vec<u32> = Vec::with_capacity(self.parts.len());
        let mut first = 0_u32;
        for (source, part) in self.parts.iter().enumerate() {
            starts.push(first);
            let mut hidden = part.source.hidden.iter().copied().peekable();
            for (&subject, rows) in part.core.subjects.iter().zip(part.core.offsets.windows(2)) {
                for row in rows[0]..rows[1] {
                    while hidden.next_if(|hidden| *hidden < row).is_some() {}
                    if hidden.next_if_eq(&row).is_some() {
                        continue;
                    }
                    let time = part.core.time.get(row as usize);
                    match self.plan.place(SubjectNo(subject), time) {
                        Some((place, written)) if place == output => {
                            entries.push(Entry { time, subject: written.0, row: first + row });
                            if written.0 != subject {
                                let insert_id = part.insert_ids[row as usize];
                                let insert_id = self.plan.folded_insert_id(SubjectNo(subject), insert_id);
                                folded.insert((source, row as usize), insert_id);
                                ties.insert((SubjectNo(subject), written));
                            }
                        }
                        _ => {}
                    }
                }
            }
            let rows = u32::try_from(part.core.len()).expect("a segment has fewer rows than 2^32");
            first = first.checked_add(rows).expect("a merge has fewer rows than 2^32");
        }
        if entries.is_empty() {
            return None;
        }
        let locate = |row: u32| {
            let source = starts.partition_point(|start| *start <= row) - 1;
            (source, (row - starts[source]) as usize)
        };
        let received = |row: u32| {
            let (source, row) = locate(row);
            self.parts[source].received[row]
        };
        // Sources are in order but for merged subjects: the stable sort finds their runs and joins them.
        entries.sort_by(|one, other| {
            (one.subject, one.time)
                .cmp(&(other.subject, other.time))
                .then_with(|| received(one.row).cmp(&received(other.row)))
        });
        let keep = survivors(
            entries.len(),
            |at| (SubjectNo(entries[at].subject), entries[at].time),
            |at| {
                let (source, row) = locate(entries[at].row);
                (self.insert_id(&folded, source, row), self.parts[source].core.event_name(row))
            },
        );
        let rows = keep.iter().filter(|keep| **keep).count();
        let mut order = Order {
            sources: Vec::with_capacity(rows),
            rows: Vec::with_capacity(rows),
            subjects: Vec::new(),
            offsets: Vec::new(),
            times: Vec::with_capacity(rows),
            folded,
            ties,
        };
        for (entry, _) in entries.iter().zip(&keep).filter(|(_, keep)| **keep) {
            if order.subjects.last() != Some(&entry.subject) {
                order.subjects.push(entry.subject);
                order.offsets.push(order.rows.len() as u32);
            }
            let (source, row) = locate(entry.row);
            order.sources.push(u16::try_from(source).expect("fewer sources than 2^16"));
            order.rows.push(row as u32);
            order.times.push(entry.time);
        }
        order.offsets.push(order.rows.len() as u32);
        Some(order)
    }

    fn core(&self, order: &Order) -> Core {
        let events: Vec<Option<&Text>> = self.parts.iter().map(|part| Some(&part.core.event)).collect();
        Core {
            subjects: order.subjects.clone().into(),
            offsets: order.offsets.clone().into(),
            time: Times::shortest(&order.times),
            event: gather_text(order, &events, i64::MIN),
        }
    }

    fn column(&self, order: &Order, key: &PropertyKey) -> Result<Column> {
        let columns = self.parts.iter().map(|part| part.source.segment.column_once(key)).collect::<Result<Vec<_>>>()?;
        let from_us = self.plan.values_from_us(key);
        Ok(match key.property_type {
            PropertyType::String | PropertyType::List | PropertyType::Object => {
                let texts: Vec<Option<&Text>> = columns
                    .iter()
                    .map(|column| match column.as_deref() {
                        Some(Column::Text(text)) => Some(text),
                        _ => None,
                    })
                    .collect();
                Column::Text(gather_text(order, &texts, from_us))
            }
            PropertyType::Number => Column::Number(gather(order, &columns, from_us, f64::NAN, |column| match column {
                Column::Number(values) => values,
                _ => &[],
            })),
            PropertyType::Bool => Column::Bool(gather(order, &columns, from_us, 0, |column| match column {
                Column::Bool(values) => values,
                _ => &[],
            })),
            PropertyType::Time => Column::Time(gather(order, &columns, from_us, TIME_NOT_SET, |column| match column {
                Column::Time(values) => values,
                _ => &[],
            })),
        })
    }

    fn write(&self, hot: &HotStore, order: &Order, (path, id): (PathBuf, u64)) -> Result<Written> {
        let core = Arc::new(self.core(order));
        let contents = truth::Contents {
            core: &core,
            received: Box::new(self.received(order)),
            insert_ids: Box::new(self.insert_ids(order)),
            keys: &self.keys,
            column: &mut |key| self.column(order, key),
        };
        let (bytes, crc32c) = truth::write(&*hot.disk, &path, contents)?;
        let truth = truth::fingerprint(&*hot.disk, &path)?;
        hot.store(super::hot_name(&path, id, crate::hot::Part::Core), truth, &core);
        let bounds = |(low, high): (i64, i64), one: i64| (low.min(one), high.max(one));
        let none = (i64::MAX, i64::MIN);
        Ok(Written {
            bytes,
            crc32c,
            rows: core.len() as u64,
            time_us: order.times.iter().copied().fold(none, bounds),
            received: self.received(order).fold(none, bounds),
            folded: order.ties.clone(),
        })
    }
}

fn gather<T: Pod + Send>(
    order: &Order,
    columns: &[Option<Arc<Column>>],
    from_us: i64,
    not_set: T,
    values: impl Fn(&Column) -> &[T],
) -> Buffer<T> {
    let sources: Vec<&[T]> = columns.iter().map(|column| column.as_deref().map_or(&[][..], &values)).collect();
    let value = |(source, row): (usize, usize)| sources[source].get(row).copied();
    order.places_from(from_us).map(|place| place.and_then(value).unwrap_or(not_set)).collect()
}

fn gather_text(order: &Order, texts: &[Option<&Text>], from_us: i64) -> Text {
    let mut entries: Vec<&str> = Vec::new();
    let mut known: FxHashMap<&str, u32> = FxHashMap::default();
    let mut maps: Vec<Vec<u32>> =
        texts.iter().map(|text| vec![NOT_SET; text.map_or(0, |text| text.dictionary.len())]).collect();
    let mut codes = Vec::with_capacity(order.rows.len());
    for place in order.places_from(from_us) {
        let found = place.and_then(|(source, row)| Some((source, texts[source]?, row)));
        let found = found.map(|(source, text, row)| (source, text, text.codes.get(row)));
        let Some((source, text, old)) = found.filter(|(_, _, old)| *old != NOT_SET) else {
            codes.push(NOT_SET);
            continue;
        };
        let new = &mut maps[source][old as usize];
        if *new == NOT_SET {
            let entry = text.dictionary.get(old);
            *new = *known.entry(entry).or_insert_with(|| {
                entries.push(entry);
                (entries.len() - 1) as u32
            });
        }
        codes.push(*new);
    }
    drop(maps);
    let dictionary: Dictionary = entries.iter().collect();
    Text { codes: Codes::narrowest(&codes, dictionary.len()), dictionary }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Row, Whole, hot, open, rows_of};
    use super::*;
    use crate::columns::{Arrived, Rows};
    use cofferdam_model::{SealedEvent, Value};
    use proptest::prelude::*;

    /// Two outputs, subjects folded in pairs, one subject's late rows dropped, one property left behind,
    /// and the early values of another.
    struct Busy;

    impl Plan for Busy {
        fn outputs(&self) -> usize {
            3
        }

        fn place(&self, subject: SubjectNo, time_us: i64) -> Option<(usize, SubjectNo)> {
            let folded = SubjectNo(subject.0 / 2 * 2);
            (folded.0 != 4 || time_us < 3).then_some((folded.0 as usize % 4 / 2, folded))
        }

        fn folded_insert_id(&self, from: SubjectNo, insert_id: u64) -> u64 {
            if from.0 == 1 && insert_id != 0 { insert_id + 100 } else { insert_id }
        }

        fn keeps_column(&self, key: &PropertyKey) -> bool {
            key.name != "left"
        }

        fn values_from_us(&self, key: &PropertyKey) -> i64 {
            if key.name == "b" { 2 } else { i64::MIN }
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            (0..4_u8).prop_map(|i| Value::String(format!("text {i}"))),
            (0..9_u8).prop_map(|i| Value::Number(f64::from(i) / 4.0)),
            any::<bool>().prop_map(Value::Bool),
            (-3..3_i64).prop_map(Value::Time),
            (0..3_u8).prop_map(|i| Value::List(vec![i.to_string(), "é".into()])),
            (0..3_u8).prop_map(|i| Value::Object(format!("{{\"k\":{i}}}"))),
        ]
    }

    fn event() -> impl Strategy<Value = SealedEvent> {
        let properties = proptest::collection::btree_map(
            prop_oneof![Just("a".to_owned()), Just("b".to_owned()), Just("left".to_owned())],
            value(),
            0..3,
        );
        (0..6_u32, 0..5_i64, 0..2_u32, 0..3_u64, properties).prop_map(|(subject, time, name, insert_id, properties)| {
            SealedEvent {
                name: format!("event {name}"),
                subject: SubjectNo(subject),
                time_us: time,
                insert_id,
                properties: properties.into_iter().collect(),
            }
        })
    }

    /// What [`merge`] promises, in the plainest way.
    fn naive(sources: &[(Segment, Vec<u32>)], plan: &dyn Plan) -> Vec<Vec<Row>> {
        let mut outputs = vec![Vec::<Row>::new(); plan.outputs()];
        for (segment, hidden) in sources {
            for (at, mut row) in rows_of(segment).into_iter().enumerate() {
                let Some((output, subject)) = plan.place(SubjectNo(row.0), row.1) else { continue };
                if hidden.contains(&(at as u32)) {
                    continue;
                }
                if subject.0 != row.0 {
                    row.3 = plan.folded_insert_id(SubjectNo(row.0), row.3);
                }
                row.0 = subject.0;
                row.5.retain(|(key, _)| plan.keeps_column(key) && row.1 >= plan.values_from_us(key));
                outputs[output].push(row);
            }
        }
        for rows in &mut outputs {
            let all = rows.clone();
            rows.retain(|row| {
                let same = |other: &Row| (row.0, row.1, row.3, &row.4) == (other.0, other.1, other.3, &other.4);
                row.3 == 0 || !all.iter().any(|other| same(other) && other.2 > row.2)
            });
            rows.sort_by_key(|row| (row.0, row.1, row.2));
        }
        outputs
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
        #[test]
        fn merging_equals_the_naive_merge(
            parts in proptest::collection::vec((proptest::collection::vec(event(), 1..25), any::<u32>(), any::<bool>()), 1..5),
            stride in 1..4_i64,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let hot = hot(folder.path(), 1 << 20);
            let (mut sources, mut known) = (Vec::new(), Vec::new());
            for (part, (events, hide, on_disk)) in parts.iter().enumerate() {
                let arrived: Vec<Arrived> = events
                    .iter()
                    .enumerate()
                    // Unique, and neither in the order of the sources nor of the rows.
                    .map(|(at, event)| Arrived {
                        received: (at as i64 * stride % 29) * 8 + (part as i64) + at as i64 * 1_000 * (stride - 2),
                        event: event.clone(),
                    })
                    .collect();
                let mut segment = Segment::in_memory(0, 0, &Rows::build(&arrived));
                let hidden: Vec<u32> =
                    (0..segment.rows as u32).filter(|row| hide >> (row % 32) & 1 == 1 && row % 3 == 0).collect();
                known.push((segment.clone(), hidden.clone()));
                if *on_disk {
                    let path = folder.path().join(format!("p1/{part}.parquet"));
                    let source = Source { segment: &segment, hidden: &[] };
                    let written = merge(&hot, &[source], &Whole, &|_| (path.clone(), part as u64)).unwrap();
                    segment = open(folder.path(), &hot, part as u64, &written[0].1);
                }
                sources.push((segment, hidden));
            }
            let borrowed: Vec<Source<'_>> =
                sources.iter().map(|(segment, hidden)| Source { segment, hidden }).collect();
            let expected = naive(&known, &Busy);

            let path = |output: usize| (folder.path().join(format!("p1/{}.parquet", 90 + output)), 90 + output as u64);
            let written = merge(&hot, &borrowed, &Busy, &path).unwrap();
            let in_memory = merge_in_memory(&borrowed, &Busy, &|output| (output as u64, 7)).unwrap();
            prop_assert_eq!(written.len(), expected.iter().filter(|rows| !rows.is_empty()).count());
            prop_assert_eq!(in_memory.len(), written.len());
            for ((output, written), (also, memory)) in written.iter().zip(&in_memory) {
                prop_assert_eq!(output, also);
                let rows = &expected[*output];
                let bounds = |values: Vec<i64>| (*values.iter().min().unwrap(), *values.iter().max().unwrap());
                prop_assert_eq!(written.time_us, bounds(rows.iter().map(|row| row.1).collect()));
                prop_assert_eq!(memory.time_us, written.time_us);
                prop_assert_eq!(written.received, bounds(rows.iter().map(|row| row.2).collect()));
                let file = open(folder.path(), &hot, 90 + *output as u64, written);
                prop_assert_eq!(&rows_of(&file), rows);
                prop_assert_eq!(&rows_of(memory), rows);
                let keys: BTreeSet<&PropertyKey> = rows.iter().flat_map(|row| row.5.iter().map(|(key, _)| key)).collect();
                prop_assert!(file.keys().eq(keys.iter().copied()), "no key without a value");
                prop_assert!(memory.keys().eq(keys.iter().copied()));
            }
        }
    }

    #[test]
    fn a_merge_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let hot = hot(folder.path(), 1 << 20);
        let tail = Segment::in_memory(0, 0, &Rows::build(&super::super::tests::events(100, 5)));
        let path = |output: usize| match output {
            0 => (folder.path().join("p1/0.parquet"), 0),
            // A file where the folder should be.
            _ => (folder.path().join("p2/1.parquet"), 1),
        };
        std::fs::write(folder.path().join("p2"), "").unwrap();
        assert!(merge(&hot, &[Source { segment: &tail, hidden: &[] }], &Busy, &path).is_err());
        assert_eq!(std::fs::read_dir(folder.path().join("p1")).unwrap().count(), 0);
        assert_eq!(std::fs::read_dir(folder.path().join("hot/p1")).unwrap().count(), 0);
    }
}
