//! Breakdowns: which segment, or segments, a row belongs to.
//!
//! A first pass gives every value an id and counts; [`Segmentation::keep_largest`] then folds all but the largest
//! into `Other`, so that the second pass counts in small dense tables and `Other` is exact too.
//! On a list a row belongs to the segment of each item.

use cofferdam_lake::columns::{NOT_SET, parse_list};
use cofferdam_lake::{Column, PropertyKey};
use cofferdam_model::PropertyType;
use cofferdam_model::limits;
use cofferdam_model::query::Breakdown;
use cofferdam_model::result::Segment;
use rustc_hash::FxHashMap;

use crate::calendar::utc_text;
use crate::mask::number_text;
use crate::scan::{Prepared, Row};
use crate::{Result, invalid};

/// The segments of every row of the prepared segments (of the lake).
pub(crate) struct Segmentation {
    names: Vec<Segment>,
    files: Vec<FileIds>,
}

struct FileIds {
    /// Row → index into `sets`.
    rows: Vec<u32>,
    /// Ascending segment ids.
    sets: Vec<Vec<u32>>,
}

struct Interner {
    names: Vec<Segment>,
    ids: FxHashMap<String, u32>,
}

impl Interner {
    fn id(&mut self, text: &str) -> u32 {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = self.names.len() as u32;
        self.names.push(Segment::Value(text.to_owned()));
        self.ids.insert(text.to_owned(), id);
        id
    }
}

pub(crate) fn check(breakdown: Option<&Breakdown>) -> Result<()> {
    let Some(breakdown) = breakdown else { return Ok(()) };
    if breakdown.limit == 0 || breakdown.limit > limits::BREAKDOWN_SEGMENTS_MAX {
        return invalid(format!("a breakdown lists 1 to {} segments", limits::BREAKDOWN_SEGMENTS_MAX));
    }
    if breakdown.property.is_empty() || breakdown.property.len() > limits::NAME_BYTES_MAX {
        return invalid(format!("a breakdown's property must have 1 to {} bytes", limits::NAME_BYTES_MAX));
    }
    Ok(())
}

impl Segmentation {
    pub(crate) fn new(prepared: &Prepared, property: &str) -> Result<Segmentation> {
        let mut interner = Interner { names: vec![Segment::NotSet], ids: FxHashMap::default() };
        let mut files = Vec::new();
        for (segment, core) in prepared.segments.iter().zip(&prepared.cores) {
            let mut ids = FileIds { rows: vec![0; core.len()], sets: vec![vec![0]] };
            // The first type that is set counts, so the last to be written is the first to be asked.
            for property_type in PropertyType::ALL.into_iter().rev() {
                let key = PropertyKey { name: property.to_owned(), property_type };
                if let Some(column) = segment.column(&key)? {
                    ids.add(&column, property_type, &mut interner);
                }
            }
            files.push(ids);
        }
        Ok(Segmentation { names: interner.names, files })
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn name(&self, id: usize) -> &Segment {
        &self.names[id]
    }

    pub(crate) fn ids(&self, row: &Row) -> &[u32] {
        let file = &self.files[row.segment as usize];
        &file.sets[file.rows[row.row as usize] as usize]
    }

    /// Keeps the `limit` segments with the largest counts, largest first (equal ones by name); the rest becomes
    /// `Other`. Answers how many were folded.
    pub(crate) fn keep_largest(&mut self, counts: &[u64], limit: u32) -> u32 {
        let mut order: Vec<usize> = (0..self.names.len()).filter(|id| counts[*id] > 0).collect();
        order.sort_by(|a, b| counts[*b].cmp(&counts[*a]).then_with(|| self.names[*a].cmp(&self.names[*b])));
        let omitted = order.len().saturating_sub(limit as usize);
        let kept = &order[..order.len() - omitted];
        let other = kept.len() as u32;
        let mut new_ids = vec![other; self.names.len()];
        for (new, old) in kept.iter().enumerate() {
            new_ids[*old] = new as u32;
        }
        let mut names: Vec<Segment> = kept.iter().map(|old| self.names[*old].clone()).collect();
        // Rows of segments that count nothing fall in here as well; they match no metric.
        names.push(Segment::Other);
        self.names = names;
        for file in &mut self.files {
            for set in &mut file.sets {
                set.iter_mut().for_each(|id| *id = new_ids[*id as usize]);
                set.sort_unstable();
                set.dedup();
            }
        }
        omitted as u32
    }
}

impl FileIds {
    fn add(&mut self, column: &Column, property_type: PropertyType, interner: &mut Interner) {
        match column {
            Column::Text(text) => {
                let mut sets: Vec<u32> = vec![NOT_SET; text.dictionary.len()];
                for (row, code) in text.codes.iter().enumerate() {
                    if *code == NOT_SET {
                        continue;
                    }
                    let set = &mut sets[*code as usize];
                    if *set == NOT_SET {
                        let entry = &text.dictionary[*code as usize];
                        let mut ids: Vec<u32> = if property_type == PropertyType::List {
                            parse_list(entry).iter().map(|item| interner.id(item)).collect()
                        } else {
                            vec![interner.id(entry)]
                        };
                        ids.sort_unstable();
                        ids.dedup();
                        *set = self.push(ids);
                    }
                    self.rows[row] = *set;
                }
            }
            Column::Number(values) => self.add_each(
                values.iter().map(|value| (!value.is_nan()).then_some((value.to_bits(), *value))),
                number_text,
                interner,
            ),
            Column::Bool(values) => self.add_each(
                values.iter().map(|value| (*value != 0).then_some((u64::from(*value), *value == 2))),
                |value| value.to_string(),
                interner,
            ),
            Column::Time(values) => self.add_each(
                values.iter().map(|value| {
                    (*value != cofferdam_lake::columns::TIME_NOT_SET).then_some((value.cast_unsigned(), *value))
                }),
                utc_text,
                interner,
            ),
        }
    }

    fn add_each<V>(
        &mut self,
        values: impl Iterator<Item = Option<(u64, V)>>,
        text: impl Fn(V) -> String,
        interner: &mut Interner,
    ) {
        let mut sets: FxHashMap<u64, u32> = FxHashMap::default();
        for (row, value) in values.enumerate() {
            let Some((bits, value)) = value else { continue };
            let set = match sets.get(&bits) {
                Some(&set) => set,
                None => {
                    let id = interner.id(&text(value));
                    let set = self.push(vec![id]);
                    sets.insert(bits, set);
                    set
                }
            };
            self.rows[row] = set;
        }
    }

    fn push(&mut self, ids: Vec<u32>) -> u32 {
        self.sets.push(ids);
        (self.sets.len() - 1) as u32
    }
}
