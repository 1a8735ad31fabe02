//! Which rows a question means: a bit per matcher in the tag of each row.
//!
//! What a matcher says is prepared once per file: its event name becomes a bit in a table by event code, a condition
//! on text a table by dictionary code, so that a row costs one look-up and not one comparison of strings. A
//! condition on a number is asked only of rows that the event name left. Conditions on the person (profile, cohort)
//! are sets made elsewhere, asked once per person.

use std::ops::{BitAnd, BitAndAssign, BitOr, Range};
use std::sync::Arc;

use cofferdam_lake::columns::{NOT_SET, TIME_NOT_SET, Times, parse_list};
use cofferdam_lake::{Codes, Column, Dictionary, PropertyKey};
use cofferdam_model::query::{Condition, EventMatch, Filter, Holder, Scalar};
use cofferdam_model::{PropertyType, SubjectNo, SubjectSet, Value};
use rustc_hash::FxHashSet;

use crate::scan::{Buffers, File, Scan};
use crate::{Result, invalid};

/// Matchers of one scan: the bits of a tag.
pub(crate) const MATCHERS_MAX: usize = 32;

/// The prepared matchers of a question.
pub(crate) struct Tags {
    /// A tag fits a byte.
    narrow: bool,
    files: Vec<FileTags>,
    persons: Vec<PersonTest>,
}

/// The matchers, for one file.
struct FileTags {
    /// By event code: the matchers whose name it is.
    by_event: Vec<u32>,
    /// Conditions on the event that are left to ask, in the order of matchers.
    tests: Vec<Test>,
    /// The same for names that mean more than every event does: code and matchers.
    few: Vec<(u8, u32)>,
    /// Matchers that mean every event, as far as the name goes.
    every: u32,
    /// Matchers that some row may meet.
    any: u32,
}

/// A condition on the person, shared by some matchers.
struct PersonTest {
    bits: u32,
    set: Arc<SubjectSet>,
    member: bool,
}

/// A condition on the event, for one matcher.
struct Test {
    bit: u32,
    columns: Vec<ColumnTest>,
    negated: bool,
    /// Most rows have the bit: asking all of them without looking is faster.
    dense: bool,
}

/// Whether the value of one typed column passes. A value that is not set does not.
pub(crate) enum ColumnTest {
    Text { codes: Codes, passes: Vec<bool> },
    Number { column: Arc<Column>, test: NumberTest },
    Bool { column: Arc<Column>, on_false: bool, on_true: bool },
    Time { column: Arc<Column> },
}

impl Tags {
    /// Prepares matchers, each with more conditions beside its own. At most [`MATCHERS_MAX`].
    pub(crate) fn new(scan: &Scan<'_>, matchers: &[(&EventMatch, &[Filter])]) -> Result<Tags> {
        if matchers.len() > MATCHERS_MAX {
            return invalid(format!("a question can tell at most {MATCHERS_MAX} kinds of events apart at once"));
        }
        let files = scan.files.iter().map(|file| FileTags::new(file, matchers)).collect::<Result<_>>()?;
        let mut persons = Vec::new();
        for (index, (matching, more)) in matchers.iter().enumerate() {
            for filter in matching.filters.iter().chain(*more).filter(|filter| filter.on != Holder::Event) {
                let (set, member) = scan.input.people.test(filter)?;
                persons.push(PersonTest { bits: 1 << index, set, member });
            }
        }
        Ok(Tags { narrow: matchers.len() <= 8, files, persons })
    }

    /// Whether a row of the file can have a tag at all.
    pub(crate) fn may_match(&self, file: u32) -> bool {
        self.files[file as usize].any != 0
    }

    pub(crate) fn asks_persons(&self) -> bool {
        !self.persons.is_empty()
    }

    /// The matchers whose conditions on the person this one meets.
    pub(crate) fn allowed(&self, person: SubjectNo) -> u32 {
        let mut allowed = u32::MAX;
        for test in &self.persons {
            if test.set.contains(person) != test.member {
                allowed &= !test.bits;
            }
        }
        allowed
    }

    /// Whether a tag fits a byte.
    #[inline]
    pub(crate) fn narrow(&self) -> bool {
        self.narrow
    }

    /// Appends a tag for each of the rows. Rows outside the scan's range and hidden rows get 0.
    pub(crate) fn fill(&self, scan: &Scan<'_>, index: u32, rows: Range<usize>, out: &mut Buffers) {
        if self.narrow {
            self.fill_as(scan, index, rows, &mut out.narrow);
        } else {
            self.fill_as(scan, index, rows, &mut out.wide);
        }
    }

    fn fill_as<T: Tag>(&self, scan: &Scan<'_>, index: u32, rows: Range<usize>, out: &mut Vec<T>) {
        let file = scan.file(index);
        let tags = &self.files[index as usize];
        let from = out.len();
        match &file.core.event.codes {
            Codes::U8(codes) => match &tags.few[..] {
                // Comparing whole blocks is faster than looking up each row.
                [] => out.extend(codes[rows.clone()].iter().map(|_| T::of(tags.every))),
                [one] => by_compare(&codes[rows.clone()], [*one], tags.every, out),
                [one, two] => by_compare(&codes[rows.clone()], [*one, *two], tags.every, out),
                [one, two, three] => by_compare(&codes[rows.clone()], [*one, *two, *three], tags.every, out),
                [one, two, three, four] => {
                    by_compare(&codes[rows.clone()], [*one, *two, *three, *four], tags.every, out);
                }
                _ => {
                    let mut table = [T::of(0); 256];
                    for (to, from) in table.iter_mut().zip(&tags.by_event) {
                        *to = T::of(*from);
                    }
                    out.extend(codes[rows.clone()].iter().map(|code| table[*code as usize]));
                }
            },
            Codes::U16(codes) => {
                out.extend(codes[rows.clone()].iter().map(|code| T::of(tags.by_event[*code as usize])));
            }
            Codes::U32(codes) => {
                out.extend(codes[rows.clone()].iter().map(|code| T::of(tags.by_event[*code as usize])));
            }
        }
        let out = &mut out[from..];
        for test in &tags.tests {
            test.apply(rows.start, out);
        }
        if !file.inside {
            cut(&file.core.time, rows.start, (scan.from_us, scan.to_us), out);
        }
        let hidden = file.segment.hidden();
        if !hidden.is_empty() {
            let first = hidden.partition_point(|row| (*row as usize) < rows.start);
            for row in hidden[first..].iter().take_while(|row| (**row as usize) < rows.end) {
                out[*row as usize - rows.start] = T::of(0);
            }
        }
    }
}

/// A tag in memory: as wide as the number of matchers asks for.
trait Tag: Copy + Default + PartialEq + BitOr<Output = Self> + BitAndAssign + BitAnd<Output = Self> {
    fn of(bits: u32) -> Self;
}

impl Tag for u8 {
    #[inline]
    fn of(bits: u32) -> u8 {
        bits as u8
    }
}

impl Tag for u32 {
    #[inline]
    fn of(bits: u32) -> u32 {
        bits
    }
}

/// Tags by comparing codes with the few that mean something; every row has the bits of `every`.
fn by_compare<T: Tag, const N: usize>(codes: &[u8], few: [(u8, u32); N], every: u32, out: &mut Vec<T>) {
    let few = few.map(|(code, bits)| (code, T::of(bits)));
    let every = T::of(every);
    out.extend(codes.iter().map(|code| {
        let mut tag = every;
        for (wanted, bits) in few {
            tag = tag | if *code == wanted { bits } else { T::default() };
        }
        tag
    }));
}

/// Clears the tags of rows outside a range.
fn cut<T: Tag>(times: &Times, first: usize, (from, to): (i64, i64), tags: &mut [T]) {
    match times {
        Times::Short { base, unit, steps } => {
            // The range in steps, rounded up: a step is inside when its instant is.
            let step = |instant: i64| {
                let offset = instant.saturating_sub(*base);
                let up = offset.div_euclid(*unit) + i64::from(offset.rem_euclid(*unit) != 0);
                up.clamp(0, i64::from(u32::MAX) + 1) as u64
            };
            let (from, to) = (step(from), step(to));
            for (tag, step) in tags.iter_mut().zip(&steps[first..]) {
                let inside = u64::from(*step) >= from && u64::from(*step) < to;
                *tag = if inside { *tag } else { T::default() };
            }
        }
        Times::Long(times) => {
            for (tag, time) in tags.iter_mut().zip(&times[first..]) {
                let inside = *time >= from && *time < to;
                *tag = if inside { *tag } else { T::default() };
            }
        }
    }
}

impl FileTags {
    fn new(file: &File, matchers: &[(&EventMatch, &[Filter])]) -> Result<FileTags> {
        let names = &file.core.event.dictionary;
        let mut tags =
            FileTags { by_event: vec![0; names.len()], tests: Vec::new(), few: Vec::new(), every: 0, any: 0 };
        for (index, (matching, more)) in matchers.iter().enumerate() {
            let bit = 1_u32 << index;
            let named = match &matching.event {
                None => {
                    tags.by_event.iter_mut().for_each(|tag| *tag |= bit);
                    tags.every |= bit;
                    true
                }
                Some(name) => match names.iter().position(|entry| entry == name) {
                    Some(code) => {
                        tags.by_event[code] |= bit;
                        true
                    }
                    None => false,
                },
            };
            if !named {
                continue;
            }
            let mut possible = true;
            let mut tests = Vec::new();
            for filter in matching.filters.iter().chain(*more).filter(|filter| filter.on == Holder::Event) {
                let (columns, negated) = column_tests(file, filter)?;
                // No column can pass: a condition that asks for a value cannot be met here.
                possible &= negated || columns.iter().any(ColumnTest::may_pass);
                tests.push(Test { bit, columns, negated, dense: matching.event.is_none() });
            }
            if possible {
                tags.any |= bit;
                tags.tests.extend(tests);
            } else {
                tags.by_event.iter_mut().for_each(|tag| *tag &= !bit);
                tags.every &= !bit;
            }
        }
        let named = tags.by_event.iter().enumerate().filter(|(_, tag)| **tag != tags.every);
        let named: Vec<(usize, u32)> = named.map(|(code, tag)| (code, *tag)).collect();
        tags.few = named.iter().filter_map(|(code, tag)| Some((u8::try_from(*code).ok()?, *tag))).collect();
        Ok(tags)
    }
}

impl Test {
    fn apply<T: Tag>(&self, first: usize, tags: &mut [T]) {
        match &self.columns[..] {
            [ColumnTest::Text { codes, passes }] if self.dense => {
                // What each code leaves of a tag; the last one is "not set".
                let keep = |pass: bool| if pass != self.negated { u32::MAX } else { !self.bit };
                let table: Vec<T> = passes.iter().map(|pass| T::of(keep(*pass))).collect();
                let not_set = T::of(keep(false));
                match codes {
                    Codes::U8(codes) => {
                        let mut all = [not_set; 256];
                        all[..table.len()].copy_from_slice(&table);
                        for (tag, code) in tags.iter_mut().zip(&codes[first..]) {
                            *tag &= all[*code as usize];
                        }
                    }
                    Codes::U16(codes) => {
                        for (tag, code) in tags.iter_mut().zip(&codes[first..]) {
                            *tag &= *table.get(*code as usize).unwrap_or(&not_set);
                        }
                    }
                    Codes::U32(codes) => {
                        for (tag, code) in tags.iter_mut().zip(&codes[first..]) {
                            *tag &= *table.get(*code as usize).unwrap_or(&not_set);
                        }
                    }
                }
            }
            [ColumnTest::Number { column, test }] => {
                let Column::Number(values) = &**column else { return };
                let values = &values[first..];
                self.keep(tags, |at| test.passes(values[at]));
            }
            columns => self.keep(tags, |at| columns.iter().any(|test| test.passes(first + at))),
        }
    }

    /// Asks the rows that have the bit, and takes it from those that do not pass.
    #[inline]
    fn keep<T: Tag>(&self, tags: &mut [T], passes: impl Fn(usize) -> bool) {
        let bit = T::of(self.bit);
        // Which rows to ask comes first, the asking after: a column is mostly not in the processor's cache, and loads
        // that do not wait for anything else are fetched many at a time.
        let mut rows = [0_u16; BLOCK];
        for (block, tags) in tags.chunks_mut(BLOCK).enumerate() {
            let mut asked = 0;
            for (at, tag) in tags.iter().enumerate() {
                rows[asked] = at as u16;
                asked += usize::from(*tag & bit != T::default());
            }
            for &at in &rows[..asked] {
                let keeps = passes(block * BLOCK + at as usize) != self.negated;
                tags[at as usize] &= if keeps { T::of(u32::MAX) } else { T::of(!self.bit) };
            }
        }
    }
}

/// Rows that are looked at together.
const BLOCK: usize = 1 << 12;

/// The tests of one condition, one per typed column of its property; whether the outcome is turned round.
fn column_tests(file: &File, filter: &Filter) -> Result<(Vec<ColumnTest>, bool)> {
    let (condition, negated) = ValueTest::new(&filter.condition);
    let mut tests = Vec::new();
    for property_type in PropertyType::ALL {
        let key = PropertyKey { name: filter.property.clone(), property_type };
        if let Some(column) = file.segment.column(&key)? {
            tests.push(condition.over(column, property_type));
        }
    }
    Ok((tests, negated))
}

impl ColumnTest {
    fn may_pass(&self) -> bool {
        match self {
            ColumnTest::Text { passes, .. } => passes.contains(&true),
            ColumnTest::Number { test, .. } => !matches!(test, NumberTest::Never),
            ColumnTest::Bool { on_false, on_true, .. } => *on_false || *on_true,
            ColumnTest::Time { .. } => true,
        }
    }

    #[inline]
    pub(crate) fn passes(&self, row: usize) -> bool {
        match self {
            ColumnTest::Text { codes, passes } => passes.get(codes.get(row) as usize).copied().unwrap_or(false),
            ColumnTest::Number { column, test } => match &**column {
                Column::Number(values) => test.passes(values[row]),
                _ => false,
            },
            ColumnTest::Bool { column, on_false, on_true } => match &**column {
                Column::Bool(values) => match values[row] {
                    0 => false,
                    1 => *on_false,
                    _ => *on_true,
                },
                _ => false,
            },
            ColumnTest::Time { column } => match &**column {
                Column::Time(values) => values[row] != TIME_NOT_SET,
                _ => false,
            },
        }
    }
}

/// A positive condition on a value, prepared.
pub(crate) enum ValueTest {
    Set,
    Equals { texts: FxHashSet<String>, numbers: Vec<f64>, bools: Vec<bool> },
    Text(TextTest, String),
    Number(NumberTest),
}

#[derive(Clone, Copy)]
pub(crate) enum TextTest {
    Contains,
    StartsWith,
    EndsWith,
}

#[derive(Clone)]
pub(crate) enum NumberTest {
    Above(f64),
    AtLeast(f64),
    Below(f64),
    AtMost(f64),
    Between(f64, f64),
    OneOf(Vec<f64>),
    Set,
    /// As people write the number.
    Written(TextTest, String),
    Never,
}

impl NumberTest {
    #[inline]
    fn passes(&self, value: f64) -> bool {
        // A value that is not set is NaN, for which every comparison is false.
        match self {
            Self::Above(bound) => value > *bound,
            Self::AtLeast(bound) => value >= *bound,
            Self::Below(bound) => value < *bound,
            Self::AtMost(bound) => value <= *bound,
            Self::Between(low, high) => value >= *low && value <= *high,
            Self::OneOf(wanted) => wanted.contains(&value),
            Self::Set => !value.is_nan(),
            Self::Written(test, wanted) => !value.is_nan() && test.passes(&number_text(value), wanted),
            Self::Never => false,
        }
    }
}

impl TextTest {
    /// Without regard to case; `wanted` is in lower case already.
    fn passes(self, text: &str, wanted: &str) -> bool {
        let lower;
        let text = if text.is_ascii() && !text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            text
        } else {
            lower = text.to_lowercase();
            &lower
        };
        match self {
            TextTest::Contains => text.contains(wanted),
            TextTest::StartsWith => text.starts_with(wanted),
            TextTest::EndsWith => text.ends_with(wanted),
        }
    }
}

impl ValueTest {
    /// The positive form of a condition, and whether its outcome is turned round.
    pub(crate) fn new(condition: &Condition) -> (ValueTest, bool) {
        let number = |test| (ValueTest::Number(test), false);
        match condition {
            Condition::IsSet => (ValueTest::Set, false),
            Condition::IsNotSet => (ValueTest::Set, true),
            Condition::Equals { values } => (ValueTest::equals(values), false),
            Condition::DoesNotEqual { values } => (ValueTest::equals(values), true),
            Condition::Contains { value } => (ValueTest::Text(TextTest::Contains, value.to_lowercase()), false),
            Condition::DoesNotContain { value } => (ValueTest::Text(TextTest::Contains, value.to_lowercase()), true),
            Condition::StartsWith { value } => (ValueTest::Text(TextTest::StartsWith, value.to_lowercase()), false),
            Condition::EndsWith { value } => (ValueTest::Text(TextTest::EndsWith, value.to_lowercase()), false),
            Condition::GreaterThan { value } => number(NumberTest::Above(*value)),
            Condition::AtLeast { value } => number(NumberTest::AtLeast(*value)),
            Condition::LessThan { value } => number(NumberTest::Below(*value)),
            Condition::AtMost { value } => number(NumberTest::AtMost(*value)),
            Condition::Between { low, high } => number(NumberTest::Between(*low, *high)),
        }
    }

    fn equals(values: &[Scalar]) -> ValueTest {
        let (mut texts, mut numbers, mut bools) = (FxHashSet::default(), Vec::new(), Vec::new());
        for value in values {
            // People pick values from a list of texts: "42" also means the number.
            match value {
                Scalar::String(text) => {
                    numbers.extend(text.parse::<f64>().ok());
                    bools.extend(text.parse::<bool>().ok());
                    texts.insert(text.clone());
                }
                Scalar::Number(number) => {
                    numbers.push(*number);
                    texts.insert(number_text(*number));
                }
                Scalar::Bool(value) => {
                    bools.push(*value);
                    texts.insert(value.to_string());
                }
            }
        }
        ValueTest::Equals { texts, numbers, bools }
    }

    /// The same for a value that is in no column.
    pub(crate) fn value(&self, value: &Value) -> bool {
        match value {
            Value::String(text) | Value::Object(text) => self.text(text),
            Value::List(_) if matches!(self, ValueTest::Set) => true,
            Value::List(items) => items.iter().any(|item| self.text(item)),
            Value::Number(number) => self.numbers().passes(*number),
            Value::Bool(value) => self.bool(*value),
            Value::Time(_) => matches!(self, ValueTest::Set),
        }
    }

    fn text(&self, text: &str) -> bool {
        match self {
            ValueTest::Set => true,
            ValueTest::Equals { texts, .. } => texts.contains(text),
            ValueTest::Text(test, wanted) => test.passes(text, wanted),
            ValueTest::Number(_) => false,
        }
    }

    fn bool(&self, value: bool) -> bool {
        match self {
            ValueTest::Set => true,
            ValueTest::Equals { bools, .. } => bools.contains(&value),
            ValueTest::Text(..) | ValueTest::Number(_) => false,
        }
    }

    fn numbers(&self) -> NumberTest {
        match self {
            ValueTest::Set => NumberTest::Set,
            ValueTest::Equals { numbers, .. } if numbers.is_empty() => NumberTest::Never,
            ValueTest::Equals { numbers, .. } => NumberTest::OneOf(numbers.clone()),
            ValueTest::Text(test, wanted) => NumberTest::Written(*test, wanted.clone()),
            ValueTest::Number(test) => test.clone(),
        }
    }

    fn entries(&self, dictionary: &Dictionary, lists: bool) -> Vec<bool> {
        let test = |entry: &str| {
            if lists && !matches!(self, ValueTest::Set) {
                parse_list(entry).iter().any(|item| self.text(item))
            } else {
                self.text(entry)
            }
        };
        dictionary.iter().map(test).collect()
    }

    pub(crate) fn over(&self, column: Arc<Column>, property_type: PropertyType) -> ColumnTest {
        match &*column {
            Column::Text(text) => ColumnTest::Text {
                codes: text.codes.clone(),
                passes: self.entries(&text.dictionary, property_type == PropertyType::List),
            },
            Column::Number(_) => ColumnTest::Number { test: self.numbers(), column },
            Column::Bool(_) => ColumnTest::Bool { on_false: self.bool(false), on_true: self.bool(true), column },
            Column::Time(_) if matches!(self, ValueTest::Set) => ColumnTest::Time { column },
            Column::Time(_) => ColumnTest::Bool { column, on_false: false, on_true: false },
        }
    }
}

/// A number as people write it: no trailing `.0`.
pub(crate) fn number_text(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 { format!("{number:.0}") } else { number.to_string() }
}

const _: () = assert!(NOT_SET == u32::MAX, "a code that is not set is beyond every table");
