//! Which rows a question means: one bit per row of a segment, computed column by column.
//!
//! A condition on text is evaluated once per dictionary entry and then looked up by code.

use cofferdam_lake::columns::{NOT_SET, TIME_NOT_SET, parse_list};
use cofferdam_lake::{Column, PropertyKey, Segment, Text};
use cofferdam_model::PropertyType;
use cofferdam_model::query::{Condition, EventMatch, Filter, Scalar};

use crate::Result;

/// One bit per row.
#[derive(Clone, Debug)]
pub(crate) struct Mask {
    words: Vec<u64>,
    any: bool,
}

impl Mask {
    fn empty(rows: usize) -> Mask {
        Mask { words: vec![0; rows.div_ceil(64)], any: false }
    }

    fn from_rows(rows: usize, test: impl Fn(usize) -> bool) -> Mask {
        let mut mask = Mask::empty(rows);
        for (index, word) in mask.words.iter_mut().enumerate() {
            let end = (index * 64 + 64).min(rows);
            for row in index * 64..end {
                *word |= u64::from(test(row)) << (row % 64);
            }
            mask.any |= *word != 0;
        }
        mask
    }

    pub(crate) fn get(&self, row: usize) -> bool {
        self.any && self.words[row / 64] >> (row % 64) & 1 == 1
    }

    pub(crate) fn any(&self) -> bool {
        self.any
    }

    fn and(&mut self, other: &Mask) {
        self.any = false;
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
            self.any |= *word != 0;
        }
    }
}

/// The rows of a segment that match a name and pass all filters.
pub(crate) fn matching(segment: &Segment, matching: &EventMatch, more: &[Filter]) -> Result<Mask> {
    let core = segment.core()?;
    let rows = core.len();
    let mut mask = match &matching.event {
        None => Mask::from_rows(rows, |_| true),
        Some(name) => match core.event.dictionary.iter().position(|entry| **entry == **name) {
            Some(code) => {
                let code = code as u32;
                Mask::from_rows(rows, |row| core.event.codes[row] == code)
            }
            None => Mask::empty(rows),
        },
    };
    for filter in matching.filters.iter().chain(more) {
        if !mask.any() {
            break;
        }
        mask.and(&passing(segment, rows, filter)?);
    }
    Ok(mask)
}

fn passing(segment: &Segment, rows: usize, filter: &Filter) -> Result<Mask> {
    let (positive, negated) = match &filter.condition {
        Condition::DoesNotEqual { values } => (Condition::Equals { values: values.clone() }, true),
        Condition::DoesNotContain { value } => (Condition::Contains { value: value.clone() }, true),
        Condition::IsNotSet => (Condition::IsSet, true),
        other => (other.clone(), false),
    };
    let test = Test::new(&positive);
    let mut tests: Vec<Box<dyn Fn(usize) -> bool>> = Vec::new();
    for property_type in PropertyType::ALL {
        let key = PropertyKey { name: filter.property.clone(), property_type };
        if let Some(column) = segment.column(&key)? {
            tests.push(test.over(column, property_type));
        }
    }
    Ok(Mask::from_rows(rows, |row| tests.iter().any(|test| test(row)) != negated))
}

/// A positive condition, prepared.
enum Test {
    Set,
    Equals { texts: Vec<String>, numbers: Vec<f64>, bools: Vec<bool> },
    Text(TextTest, String),
    Number(NumberTest),
}

#[derive(Clone, Copy)]
enum TextTest {
    Contains,
    StartsWith,
    EndsWith,
}

#[derive(Clone, Copy)]
enum NumberTest {
    Above(f64),
    AtLeast(f64),
    Below(f64),
    AtMost(f64),
    Between(f64, f64),
}

impl NumberTest {
    fn passes(self, value: f64) -> bool {
        // A value that is not set is NaN, for which every comparison is false.
        match self {
            Self::Above(bound) => value > bound,
            Self::AtLeast(bound) => value >= bound,
            Self::Below(bound) => value < bound,
            Self::AtMost(bound) => value <= bound,
            Self::Between(low, high) => value >= low && value <= high,
        }
    }
}

impl Test {
    fn new(condition: &Condition) -> Test {
        match condition {
            Condition::IsSet => Test::Set,
            Condition::Equals { values } => {
                let mut test = (Vec::new(), Vec::new(), Vec::new());
                for value in values {
                    // People pick values from a list of texts: "42" also means the number.
                    match value {
                        Scalar::String(text) => {
                            if let Ok(number) = text.parse::<f64>() {
                                test.1.push(number);
                            }
                            if let Ok(value) = text.parse::<bool>() {
                                test.2.push(value);
                            }
                            test.0.push(text.clone());
                        }
                        Scalar::Number(number) => {
                            test.1.push(*number);
                            test.0.push(number_text(*number));
                        }
                        Scalar::Bool(value) => {
                            test.2.push(*value);
                            test.0.push(value.to_string());
                        }
                    }
                }
                Test::Equals { texts: test.0, numbers: test.1, bools: test.2 }
            }
            Condition::Contains { value } => Test::Text(TextTest::Contains, value.to_lowercase()),
            Condition::StartsWith { value } => Test::Text(TextTest::StartsWith, value.to_lowercase()),
            Condition::EndsWith { value } => Test::Text(TextTest::EndsWith, value.to_lowercase()),
            Condition::GreaterThan { value } => Test::Number(NumberTest::Above(*value)),
            Condition::AtLeast { value } => Test::Number(NumberTest::AtLeast(*value)),
            Condition::LessThan { value } => Test::Number(NumberTest::Below(*value)),
            Condition::AtMost { value } => Test::Number(NumberTest::AtMost(*value)),
            Condition::Between { low, high } => Test::Number(NumberTest::Between(*low, *high)),
            Condition::DoesNotEqual { .. } | Condition::DoesNotContain { .. } | Condition::IsNotSet => {
                unreachable!("negations are turned round before")
            }
        }
    }

    fn text(&self, text: &str) -> bool {
        match self {
            Test::Set => true,
            Test::Equals { texts, .. } => texts.iter().any(|wanted| wanted == text),
            Test::Text(test, wanted) => {
                let text = text.to_lowercase();
                match test {
                    TextTest::Contains => text.contains(wanted.as_str()),
                    TextTest::StartsWith => text.starts_with(wanted.as_str()),
                    TextTest::EndsWith => text.ends_with(wanted.as_str()),
                }
            }
            Test::Number(_) => false,
        }
    }

    fn number(&self, value: f64) -> bool {
        match self {
            Test::Set => !value.is_nan(),
            Test::Equals { numbers, .. } => numbers.contains(&value),
            Test::Number(test) => test.passes(value),
            Test::Text(..) => !value.is_nan() && self.text(&number_text(value)),
        }
    }

    fn bool(&self, value: bool) -> bool {
        match self {
            Test::Set => true,
            Test::Equals { bools, .. } => bools.contains(&value),
            Test::Text(..) | Test::Number(_) => false,
        }
    }

    fn entries(&self, text: &Text, test: impl Fn(&str) -> bool) -> Vec<bool> {
        text.dictionary.iter().map(|entry| test(entry)).collect()
    }

    fn over(&self, column: std::sync::Arc<Column>, property_type: PropertyType) -> Box<dyn Fn(usize) -> bool> {
        match &*column {
            Column::Text(text) => {
                let entries = if property_type == PropertyType::List {
                    self.entries(text, |entry| {
                        matches!(self, Test::Set) || parse_list(entry).iter().any(|item| self.text(item))
                    })
                } else {
                    self.entries(text, |entry| self.text(entry))
                };
                Box::new(move |row| {
                    let Column::Text(text) = &*column else { return false };
                    let code = text.codes[row];
                    code != NOT_SET && entries[code as usize]
                })
            }
            Column::Number(values) => {
                let mask = Mask::from_rows(values.len(), |row| self.number(values[row]));
                Box::new(move |row| mask.get(row))
            }
            Column::Bool(_) => {
                let (on_false, on_true) = (self.bool(false), self.bool(true));
                Box::new(move |row| {
                    let Column::Bool(values) = &*column else { return false };
                    match values[row] {
                        0 => false,
                        1 => on_false,
                        _ => on_true,
                    }
                })
            }
            Column::Time(_) => {
                let set = matches!(self, Test::Set);
                Box::new(move |row| {
                    let Column::Time(values) = &*column else { return false };
                    set && values[row] != TIME_NOT_SET
                })
            }
        }
    }
}

/// A number as people write it: no trailing `.0`.
pub(crate) fn number_text(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 { format!("{number:.0}") } else { number.to_string() }
}
