//! Values of a property, across segments, as small ids: the same value has the same id in every file, and 0 means
//! that it is not set. Text costs one look-up by dictionary code; each different value is named once.
//!
//! A property with columns of several types has, in a row, the value of the first of them that is set. Of a list
//! every item is a value.

use std::sync::Arc;

use cofferdam_lake::columns::{TIME_NOT_SET, parse_list};
use cofferdam_lake::{Codes, Column, PropertyKey};
use cofferdam_model::query::{Unit, ValueBuckets};
use cofferdam_model::result::Segment;
use cofferdam_model::{PropertyType, Value, limits};
use rustc_hash::FxHashMap;

use crate::calendar::{self, Buckets};
use crate::scan::{Hit, Scan};
use crate::tags::number_text;
use crate::{Result, invalid};

/// The property that stands for the time of the event itself.
const EVENT_TIME: &str = "$time";

/// The ids of a property's values in every file of a scan.
pub(crate) struct Values {
    files: Vec<Vec<ColumnIds>>,
    names: Names,
}

/// Names by id.
pub(crate) struct Names {
    names: Vec<Segment>,
    ids: FxHashMap<String, u32>,
}

enum ColumnIds {
    Text {
        codes: Codes,
        ids: Vec<u32>,
    },
    /// `first` has the first item of each list, 0 for an empty one.
    List {
        codes: Codes,
        ids: Vec<Vec<u32>>,
        first: Vec<u32>,
    },
    Number {
        column: Arc<Column>,
        ids: FxHashMap<u64, u32>,
    },
    Ranges {
        column: Arc<Column>,
        ranges: Ranges,
    },
    Bool {
        column: Arc<Column>,
        ids: [u32; 2],
    },
    Time {
        column: Arc<Column>,
        ids: FxHashMap<i64, u32>,
    },
    Dates {
        column: Option<Arc<Column>>,
        dates: Dates,
    },
}

/// Ranges of a number, as ids.
struct Ranges {
    kind: RangeKind,
    /// The id of the lowest one; the others follow.
    first: u32,
}

enum RangeKind {
    Width { size: f64, low: f64 },
    Bounds(Vec<f64>),
}

/// Dates by a unit, as ids.
struct Dates {
    buckets: Buckets,
    first: u32,
}

impl Names {
    fn new() -> Names {
        Names { names: vec![Segment::NotSet], ids: FxHashMap::default() }
    }

    fn id(&mut self, text: &str) -> Result<u32> {
        if let Some(&id) = self.ids.get(text) {
            return Ok(id);
        }
        if self.names.len() > limits::PROPERTY_VALUES_MAX {
            return invalid(format!(
                "the property has more than {} different values: group them into buckets, or choose another property",
                limits::PROPERTY_VALUES_MAX
            ));
        }
        let id = self.names.len() as u32;
        self.names.push(Segment::Value(text.to_owned()));
        self.ids.insert(text.to_owned(), id);
        Ok(id)
    }

    fn ids<'a>(&mut self, texts: impl Iterator<Item = &'a str>) -> Result<Vec<u32>> {
        let mut ids = texts.map(|text| self.id(text)).collect::<Result<Vec<u32>>>()?;
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }
}

impl Values {
    pub(crate) fn new(scan: &Scan<'_>, property: &str) -> Result<Values> {
        Values::bucketed(scan, property, None)
    }

    pub(crate) fn bucketed(scan: &Scan<'_>, property: &str, buckets: Option<&ValueBuckets>) -> Result<Values> {
        let mut values = Values { files: Vec::new(), names: Names::new() };
        if let Some(buckets) = buckets {
            check_buckets(buckets)?;
        }
        // Ranges are cut over all files at once, so that they are the same in each.
        let mut typed: Vec<Vec<(PropertyType, Arc<Column>)>> = Vec::new();
        for file in &scan.files {
            let mut columns = Vec::new();
            for property_type in PropertyType::ALL {
                let key = PropertyKey { name: property.to_owned(), property_type };
                if let Some(column) = file.segment.column(&key)? {
                    columns.push((property_type, column));
                }
            }
            typed.push(columns);
        }
        let all = || typed.iter().flatten().map(|(_, column)| &**column);
        let numbers =
            || all().filter_map(|column| if let Column::Number(values) = column { Some(values) } else { None });
        let numbers = || numbers().flat_map(|values| values.iter().copied()).filter(|value| !value.is_nan());
        let ranges = match buckets {
            Some(ValueBuckets::Width { .. } | ValueBuckets::Bounds { .. }) => values.ranges(buckets, numbers())?,
            _ => None,
        };
        let dates = match buckets {
            Some(ValueBuckets::Time { unit }) => {
                let times =
                    || all().filter_map(|column| if let Column::Time(values) = column { Some(values) } else { None });
                let times = times().flat_map(|values| values.iter().copied()).filter(|time| *time != TIME_NOT_SET);
                let span = times.fold(None, |span: Option<(i64, i64)>, time| {
                    Some(span.map_or((time, time), |(low, high)| (low.min(time), high.max(time))))
                });
                let own = (property == EVENT_TIME).then_some((scan.from_us, scan.to_us.saturating_sub(1)));
                own.or(span).map(|span| values.dates(scan, span, *unit)).transpose()?
            }
            _ => None,
        };
        for columns in typed {
            let mut ids = Vec::new();
            if property == EVENT_TIME
                && let Some(dates) = &dates
            {
                ids.push(ColumnIds::Dates { column: None, dates: dates.again() });
            }
            for (property_type, column) in columns {
                ids.push(values.column(column, property_type, ranges.as_ref(), dates.as_ref())?);
            }
            values.files.push(ids);
        }
        Ok(values)
    }

    fn column(
        &mut self,
        column: Arc<Column>,
        property_type: PropertyType,
        ranges: Option<&Ranges>,
        dates: Option<&Dates>,
    ) -> Result<ColumnIds> {
        Ok(match &*column {
            Column::Text(text) if property_type == PropertyType::List => {
                let (mut ids, mut first) = (Vec::new(), Vec::new());
                for entry in text.dictionary.iter() {
                    let items = parse_list(entry);
                    first.push(items.first().map_or(Ok(0), |item| self.names.id(item))?);
                    ids.push(self.names.ids(items.iter().map(String::as_str))?);
                }
                ColumnIds::List { ids, first, codes: text.codes.clone() }
            }
            Column::Text(text) => ColumnIds::Text {
                ids: text.dictionary.iter().map(|entry| self.names.id(entry)).collect::<Result<_>>()?,
                codes: text.codes.clone(),
            },
            Column::Number(_) if let Some(ranges) = ranges => ColumnIds::Ranges { ranges: ranges.again(), column },
            Column::Number(values) => {
                let mut ids = FxHashMap::default();
                for value in values.iter().filter(|value| !value.is_nan()) {
                    if let std::collections::hash_map::Entry::Vacant(entry) = ids.entry(value.to_bits()) {
                        entry.insert(self.names.id(&number_text(*value))?);
                    }
                }
                ColumnIds::Number { ids, column }
            }
            Column::Bool(_) => ColumnIds::Bool { ids: [self.names.id("false")?, self.names.id("true")?], column },
            Column::Time(_) if let Some(dates) = dates => {
                ColumnIds::Dates { dates: dates.again(), column: Some(column) }
            }
            Column::Time(values) => {
                let mut ids = FxHashMap::default();
                for value in values.iter().filter(|value| **value != TIME_NOT_SET) {
                    if let std::collections::hash_map::Entry::Vacant(entry) = ids.entry(*value) {
                        entry.insert(self.names.id(&calendar::utc_text(*value))?);
                    }
                }
                ColumnIds::Time { ids, column }
            }
        })
    }

    /// The ids of given values, for properties that are not of events.
    pub(crate) fn of_values(
        scan: &Scan<'_>,
        given: &[Value],
        buckets: Option<&ValueBuckets>,
    ) -> Result<(Names, Vec<Vec<u32>>)> {
        if let Some(buckets) = buckets {
            check_buckets(buckets)?;
        }
        let mut values = Values { files: Vec::new(), names: Names::new() };
        let numbers =
            given.iter().filter_map(|value| if let Value::Number(number) = value { Some(*number) } else { None });
        let ranges = values.ranges(buckets, numbers)?;
        let times = given.iter().filter_map(|value| if let Value::Time(time) = value { Some(*time) } else { None });
        let span = times.fold(None, |span: Option<(i64, i64)>, time| {
            Some(span.map_or((time, time), |(low, high)| (low.min(time), high.max(time))))
        });
        let dates = match (buckets, span) {
            (Some(ValueBuckets::Time { unit }), Some(span)) => Some(values.dates(scan, span, *unit)?),
            _ => None,
        };
        let mut ids = Vec::with_capacity(given.len());
        for value in given {
            ids.push(match (value, &ranges, &dates) {
                (Value::Number(number), Some(ranges), _) => vec![ranges.id(*number)],
                (Value::Time(time), _, Some(dates)) => vec![dates.id(*time)],
                (Value::Number(number), ..) => vec![values.names.id(&number_text(*number))?],
                (Value::Time(time), ..) => vec![values.names.id(&calendar::utc_text(*time))?],
                (Value::Bool(value), ..) => vec![values.names.id(&value.to_string())?],
                (Value::String(text) | Value::Object(text), ..) => vec![values.names.id(text)?],
                (Value::List(items), ..) => values.names.ids(items.iter().map(String::as_str))?,
            });
        }
        Ok((values.names, ids))
    }

    /// Names one id per range; `None` when nothing is to be grouped.
    fn ranges(&mut self, buckets: Option<&ValueBuckets>, numbers: impl Iterator<Item = f64>) -> Result<Option<Ranges>> {
        let first = self.names.names.len() as u32;
        let kind = match buckets {
            Some(ValueBuckets::Width { size }) => {
                let span = numbers.fold(None, |span: Option<(f64, f64)>, number| {
                    Some(span.map_or((number, number), |(low, high)| (low.min(number), high.max(number))))
                });
                let (low, high) = span.map_or((0.0, 0.0), |(low, high)| ((low / size).floor(), (high / size).floor()));
                if high - low >= limits::PROPERTY_VALUES_MAX as f64 {
                    return invalid("the buckets are too narrow for the values of this property: choose a larger size");
                }
                for step in 0..=(high - low) as u64 {
                    let from = (low + step as f64) * size;
                    let to = (low + step as f64 + 1.0) * size;
                    self.names.id(&format!("{} – {}", number_text(from), number_text(to)))?;
                }
                RangeKind::Width { size: *size, low }
            }
            Some(ValueBuckets::Bounds { bounds }) => {
                self.names.id(&format!("< {}", number_text(bounds[0])))?;
                for pair in bounds.windows(2) {
                    self.names.id(&format!("{} – {}", number_text(pair[0]), number_text(pair[1])))?;
                }
                self.names.id(&format!("≥ {}", number_text(bounds[bounds.len() - 1])))?;
                RangeKind::Bounds(bounds.clone())
            }
            _ => return Ok(None),
        };
        Ok(Some(Ranges { kind, first }))
    }

    fn dates(&mut self, scan: &Scan<'_>, (low, high): (i64, i64), unit: Unit) -> Result<Dates> {
        let zone = scan.input.zone;
        let from = calendar::aligned(low, unit, 0, zone)?;
        let buckets = calendar::cut(from, high.saturating_add(1), unit, zone)?;
        let first = self.names.names.len() as u32;
        for start in &buckets.starts[..buckets.len()] {
            let text = calendar::local_text(*start, zone);
            let shown = match unit {
                Unit::Minute | Unit::Hour => text,
                Unit::Day | Unit::Week | Unit::Month => text.chars().take(10).collect(),
            };
            self.names.id(&shown)?;
        }
        Ok(Dates { buckets, first })
    }

    /// How many ids there are, 0 (not set) included.
    pub(crate) fn len(&self) -> usize {
        self.names.names.len()
    }

    pub(crate) fn segment(&self, id: u32) -> Segment {
        self.names.segment(id)
    }

    /// Whether a row of the file may have several values.
    #[inline]
    pub(crate) fn has_lists(&self, file: u32) -> bool {
        self.files[file as usize].iter().any(|column| matches!(column, ColumnIds::List { .. }))
    }

    /// The id of a row's value; of a list, that of its first item.
    #[inline]
    pub(crate) fn id(&self, hit: &Hit) -> u32 {
        for column in &self.files[hit.file as usize] {
            let id = column.id(hit);
            if id != 0 {
                return id;
            }
        }
        0
    }

    /// Whether two rows have the same value; lists do with the same items, in whatever order.
    #[inline]
    pub(crate) fn same(&self, one: &Hit, other: &Hit) -> bool {
        if !self.has_lists(one.file) && !self.has_lists(other.file) {
            return self.id(one) == self.id(other);
        }
        let (mut left, mut right) = (Vec::new(), Vec::new());
        self.ids(one, &mut left);
        self.ids(other, &mut right);
        left == right
    }

    /// Where the property is text and nothing else in a file: its codes, and the id of each. No codes: it is never set.
    pub(crate) fn text(&self, file: u32) -> Option<(Option<&Codes>, &[u32])> {
        match &self.files[file as usize][..] {
            [] => Some((None, &[])),
            [ColumnIds::Text { codes, ids }] => Some((Some(codes), ids)),
            _ => None,
        }
    }

    /// The ids of a row's values, ascending: none of an empty list, 0 when it is not set.
    pub(crate) fn ids(&self, hit: &Hit, out: &mut Vec<u32>) {
        out.clear();
        for column in &self.files[hit.file as usize] {
            if let ColumnIds::List { codes, ids, .. } = column {
                if let Some(ids) = ids.get(codes.get(hit.row as usize) as usize) {
                    out.extend_from_slice(ids);
                    return;
                }
            } else {
                let id = column.id(hit);
                if id != 0 {
                    out.push(id);
                    return;
                }
            }
        }
        out.push(0);
    }
}

impl Names {
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn segment(&self, id: u32) -> Segment {
        self.names[id as usize].clone()
    }
}

impl ColumnIds {
    #[inline]
    fn id(&self, hit: &Hit) -> u32 {
        let row = hit.row as usize;
        match self {
            ColumnIds::Text { codes, ids } => ids.get(codes.get(row) as usize).copied().unwrap_or(0),
            ColumnIds::List { codes, first, .. } => first.get(codes.get(row) as usize).copied().unwrap_or(0),
            ColumnIds::Number { column, ids } => match &**column {
                Column::Number(values) => ids.get(&values[row].to_bits()).copied().unwrap_or(0),
                _ => 0,
            },
            ColumnIds::Ranges { column, ranges } => match &**column {
                Column::Number(values) if !values[row].is_nan() => ranges.id(values[row]),
                _ => 0,
            },
            ColumnIds::Bool { column, ids } => match &**column {
                Column::Bool(values) if values[row] != 0 => ids[usize::from(values[row] == 2)],
                _ => 0,
            },
            ColumnIds::Time { column, ids } => match &**column {
                Column::Time(values) => ids.get(&values[row]).copied().unwrap_or(0),
                _ => 0,
            },
            ColumnIds::Dates { column: None, dates } => dates.id(hit.time),
            ColumnIds::Dates { column: Some(column), dates } => match &**column {
                Column::Time(values) if values[row] != TIME_NOT_SET => dates.id(values[row]),
                _ => 0,
            },
        }
    }
}

impl Ranges {
    fn id(&self, number: f64) -> u32 {
        match &self.kind {
            RangeKind::Width { size, low } => self.first + ((number / size).floor() - low) as u32,
            RangeKind::Bounds(bounds) => self.first + bounds.partition_point(|bound| *bound <= number) as u32,
        }
    }

    fn again(&self) -> Ranges {
        let kind = match &self.kind {
            RangeKind::Width { size, low } => RangeKind::Width { size: *size, low: *low },
            RangeKind::Bounds(bounds) => RangeKind::Bounds(bounds.clone()),
        };
        Ranges { kind, first: self.first }
    }
}

impl Dates {
    fn id(&self, time_us: i64) -> u32 {
        self.first + self.buckets.find(time_us, 0) as u32
    }

    fn again(&self) -> Dates {
        Dates { buckets: self.buckets.clone(), first: self.first }
    }
}

fn check_buckets(buckets: &ValueBuckets) -> Result<()> {
    match buckets {
        ValueBuckets::Width { size } if !(size.is_finite() && *size > 0.0) => {
            invalid("the size of a breakdown's buckets must be above 0")
        }
        ValueBuckets::Bounds { bounds } => {
            let ascending = bounds.windows(2).all(|pair| pair[0] < pair[1]);
            if bounds.is_empty() || bounds.len() > limits::BREAKDOWN_BOUNDS_MAX || !ascending {
                return invalid(format!(
                    "a breakdown by ranges has 1 to {} ascending bounds",
                    limits::BREAKDOWN_BOUNDS_MAX
                ));
            }
            Ok(())
        }
        ValueBuckets::Width { .. } | ValueBuckets::Time { .. } => Ok(()),
    }
}

/// The numbers of a property in every file.
pub(crate) struct Numbers {
    files: Vec<Option<Arc<Column>>>,
}

impl Numbers {
    pub(crate) fn new(scan: &Scan<'_>, property: &str) -> Result<Numbers> {
        let key = PropertyKey { name: property.to_owned(), property_type: PropertyType::Number };
        let files = scan.files.iter().map(|file| file.segment.column(&key)).collect::<Result<_, _>>()?;
        Ok(Numbers { files })
    }

    #[inline]
    pub(crate) fn get(&self, hit: &Hit) -> Option<f64> {
        self.at(hit.file, hit.row)
    }

    #[inline]
    pub(crate) fn at(&self, file: u32, row: u32) -> Option<f64> {
        match self.files[file as usize].as_deref() {
            Some(Column::Number(values)) => Some(values[row as usize]).filter(|value| !value.is_nan()),
            _ => None,
        }
    }
}
