//! Breakdowns: which segment, or segments, a row belongs to. A segment is one value per property of the breakdown.
//!
//! A first pass counts by *raw id*, a combination of values as one number; [`Split::keep_largest`] then keeps the
//! largest segments as *slots* 0, 1, … and folds all others into the last one, `Other`, so that the second pass
//! counts in small dense tables and `Other` is exact too. On a list a row belongs to the segment of each item.

use std::sync::Arc;

use cofferdam_lake::Codes;
use cofferdam_model::query::{Breakdown, Holder};
use cofferdam_model::result::Segment;
use cofferdam_model::{SubjectNo, SubjectSet, SubjectValues, limits};
use rustc_hash::FxHashMap;

use crate::scan::{Hit, Partial, Scan};
use crate::values::{Names, Values};
use crate::{Result, invalid};

/// Raw ids are counted in a table below this, in a map above.
const DENSE_MAX: u64 = 1 << 16;

pub(crate) struct Split {
    dims: Vec<Dim>,
    /// Combinations there may be.
    combinations: u64,
    kept: Option<Kept>,
}

enum Dim {
    Event(Values),
    Profile {
        values: Arc<SubjectValues>,
        names: Names,
        /// By index into `values`.
        ids: Vec<Vec<u32>>,
    },
    Cohort(Arc<SubjectSet>),
}

/// The slots of the largest segments.
struct Kept {
    names: Vec<Vec<Segment>>,
    slots: Slots,
}

enum Slots {
    Dense(Vec<u32>),
    Map(FxHashMap<u64, u32>),
}

/// How often each raw id occurred.
pub(crate) enum Counts {
    Dense(Vec<u64>),
    Map(FxHashMap<u64, u64>),
}

pub(crate) fn check(breakdown: Option<&Breakdown>) -> Result<()> {
    let Some(breakdown) = breakdown else { return Ok(()) };
    if breakdown.by.is_empty() || breakdown.by.len() > limits::BREAKDOWN_PROPERTIES_MAX {
        return invalid(format!("a breakdown is by 1 to {} properties", limits::BREAKDOWN_PROPERTIES_MAX));
    }
    if breakdown.limit == 0 || breakdown.limit > limits::BREAKDOWN_SEGMENTS_MAX {
        return invalid(format!("a breakdown lists 1 to {} segments", limits::BREAKDOWN_SEGMENTS_MAX));
    }
    if breakdown.by.iter().any(|by| by.property.is_empty() || by.property.len() > limits::NAME_BYTES_MAX) {
        return invalid(format!("a breakdown's property must have 1 to {} bytes", limits::NAME_BYTES_MAX));
    }
    Ok(())
}

impl Split {
    pub(crate) fn new(scan: &Scan<'_>, breakdown: &Breakdown) -> Result<Split> {
        check(Some(breakdown))?;
        let mut dims = Vec::new();
        let mut combinations = 1_u64;
        for by in &breakdown.by {
            let dim = match by.on {
                Holder::Event => Dim::Event(Values::bucketed(scan, &by.property, by.buckets.as_ref())?),
                Holder::Profile => {
                    let values = scan.input.people.values(&by.property)?;
                    let (names, ids) = Values::of_values(scan, &values.values, by.buckets.as_ref())?;
                    Dim::Profile { values, names, ids }
                }
                Holder::Cohort => Dim::Cohort(scan.input.people.cohort(&by.property)?),
            };
            combinations = combinations.saturating_mul(dim.len());
            dims.push(dim);
        }
        if combinations > 1 << 60 {
            return invalid("the breakdown has too many combinations of values: choose fewer properties, or buckets");
        }
        Ok(Split { dims, combinations, kept: None })
    }

    /// Raw ids are below it.
    pub(crate) fn combinations(&self) -> u64 {
        self.combinations
    }

    /// A table for counting raw ids.
    pub(crate) fn counts(&self) -> Counts {
        if self.combinations <= DENSE_MAX {
            Counts::Dense(vec![0; self.combinations as usize])
        } else {
            Counts::Map(FxHashMap::default())
        }
    }

    /// The segments a row belongs to, ascending, each once: raw ids before [`Split::keep_largest`], slots after.
    #[inline]
    pub(crate) fn ids(&self, person: SubjectNo, hit: &Hit, out: &mut Vec<u64>) {
        out.clear();
        if let [Dim::Event(values)] = &self.dims[..]
            && !values.has_lists(hit.file)
        {
            out.push(self.slot(u64::from(values.id(hit))));
            return;
        }
        self.combine_all(person, hit, out);
    }

    /// For a breakdown by one property that is text and nothing else in a file: its codes (none: it is never set),
    /// the segment of each, and that of "not set". The same as [`Split::ids`] would say, found once per file; not
    /// where there are so many values that a table per file would weigh more than it saves.
    pub(crate) fn by_code(&self, file: u32) -> Option<(Option<Codes>, Vec<u64>, u64)> {
        let [Dim::Event(values)] = &self.dims[..] else { return None };
        let (codes, ids) = values.text(file).filter(|(_, ids)| ids.len() <= 4_096)?;
        let segments = ids.iter().map(|id| self.slot(u64::from(*id))).collect();
        Some((codes.cloned(), segments, self.slot(0)))
    }

    fn combine_all(&self, person: SubjectNo, hit: &Hit, out: &mut Vec<u64>) {
        self.combine(person, |_| Some(hit), out);
    }

    /// Whether a row has the property at an index of the breakdown, be it an empty list. Persons have theirs in every
    /// row.
    pub(crate) fn has(&self, index: usize, hit: &Hit) -> bool {
        match &self.dims[index] {
            Dim::Event(values) if values.has_lists(hit.file) => {
                let mut ids = Vec::new();
                values.ids(hit, &mut ids);
                ids != [0]
            }
            Dim::Event(values) => values.id(hit) != 0,
            Dim::Profile { .. } | Dim::Cohort(_) => true,
        }
    }

    /// Like [`Split::ids`] with a row for each property, by index; without a row it is not set.
    pub(crate) fn combine<'h>(&self, person: SubjectNo, rows: impl Fn(usize) -> Option<&'h Hit>, out: &mut Vec<u64>) {
        let mut ids = Vec::new();
        out.clear();
        out.push(0);
        for (index, dim) in self.dims.iter().enumerate() {
            dim.ids(person, rows(index), &mut ids);
            let before = std::mem::take(out);
            for raw in before {
                out.extend(ids.iter().map(|id| raw * dim.len() + u64::from(*id)));
            }
        }
        out.iter_mut().for_each(|raw| *raw = self.slot(*raw));
        out.sort_unstable();
        out.dedup();
    }

    /// The slot of a raw id; the raw id itself before [`Split::keep_largest`].
    #[inline]
    pub(crate) fn slot(&self, raw: u64) -> u64 {
        match &self.kept {
            None => raw,
            Some(kept) => {
                let other = kept.names.len() as u32 - 1;
                u64::from(match &kept.slots {
                    Slots::Dense(slots) => slots[raw as usize],
                    Slots::Map(slots) => slots.get(&raw).copied().unwrap_or(other),
                })
            }
        }
    }

    /// Keeps the segments with the largest counts, largest first (equal ones by name); the rest becomes `Other`.
    /// Answers how many were folded.
    pub(crate) fn keep_largest(mut self, counts: &Counts, limit: u32) -> (Split, u32) {
        let mut order: Vec<(u64, u64)> = match counts {
            Counts::Dense(counts) => counts
                .iter()
                .enumerate()
                .filter(|(_, count)| **count > 0)
                .map(|(raw, count)| (raw as u64, *count))
                .collect(),
            Counts::Map(counts) => {
                counts.iter().filter(|(_, count)| **count > 0).map(|(raw, count)| (*raw, *count)).collect()
            }
        };
        let larger =
            |a: &(u64, u64), b: &(u64, u64)| b.1.cmp(&a.1).then_with(|| self.raw_name(a.0).cmp(&self.raw_name(b.0)));
        let limit = limit as usize;
        if order.len() > limit {
            order.select_nth_unstable_by(limit, larger);
        }
        let omitted = order.len().saturating_sub(limit);
        order.truncate(limit);
        order.sort_unstable_by(larger);
        let mut names: Vec<Vec<Segment>> = order.iter().map(|(raw, _)| self.raw_name(*raw)).collect();
        names.push(vec![Segment::Other]);
        // Rows of segments that count nothing fall into the last one as well; they match nothing.
        let other = names.len() as u32 - 1;
        let slots = if self.combinations <= DENSE_MAX {
            let mut slots = vec![other; self.combinations as usize];
            order.iter().enumerate().for_each(|(slot, (raw, _))| slots[*raw as usize] = slot as u32);
            Slots::Dense(slots)
        } else {
            Slots::Map(order.iter().enumerate().map(|(slot, (raw, _))| (*raw, slot as u32)).collect())
        };
        self.kept = Some(Kept { names, slots });
        (self, omitted as u32)
    }

    /// Slots, that of `Other` included; 0 before [`Split::keep_largest`].
    pub(crate) fn len(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.names.len())
    }

    /// The name of a slot.
    pub(crate) fn name(&self, slot: usize) -> Vec<Segment> {
        self.kept.as_ref().map(|kept| kept.names[slot].clone()).unwrap_or_default()
    }

    fn raw_name(&self, raw: u64) -> Vec<Segment> {
        let mut raw = raw;
        let mut name: Vec<Segment> = self
            .dims
            .iter()
            .rev()
            .map(|dim| {
                let id = (raw % dim.len()) as u32;
                raw /= dim.len();
                dim.segment(id)
            })
            .collect();
        name.reverse();
        name
    }
}

impl Dim {
    fn len(&self) -> u64 {
        match self {
            Dim::Event(values) => values.len() as u64,
            Dim::Profile { names, .. } => names.len() as u64,
            Dim::Cohort(_) => 2,
        }
    }

    fn ids(&self, person: SubjectNo, hit: Option<&Hit>, out: &mut Vec<u32>) {
        match self {
            Dim::Event(values) => match hit {
                Some(hit) => values.ids(hit, out),
                None => {
                    out.clear();
                    out.push(0);
                }
            },
            Dim::Profile { values, ids, .. } => {
                out.clear();
                match values.code(person) {
                    Some(code) => out.extend_from_slice(&ids[code as usize]),
                    None => out.push(0),
                }
            }
            Dim::Cohort(set) => {
                out.clear();
                out.push(u32::from(set.contains(person)));
            }
        }
    }

    fn segment(&self, id: u32) -> Segment {
        match self {
            Dim::Event(values) => values.segment(id),
            Dim::Profile { names, .. } => names.segment(id),
            Dim::Cohort(_) => Segment::Value(if id == 1 { "in" } else { "not in" }.to_owned()),
        }
    }
}

impl Counts {
    #[inline]
    pub(crate) fn add(&mut self, raw: u64, count: u64) {
        match self {
            Counts::Dense(counts) => counts[raw as usize] += count,
            Counts::Map(counts) => *counts.entry(raw).or_default() += count,
        }
    }

    pub(crate) fn merge(mut self, other: Counts) -> Counts {
        match other {
            Counts::Dense(counts) => {
                for (raw, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
                    self.add(raw as u64, count);
                }
            }
            Counts::Map(counts) => counts.into_iter().for_each(|(raw, count)| self.add(raw, count)),
        }
        self
    }
}

impl Partial for Counts {
    fn bytes(&self) -> usize {
        match self {
            Counts::Dense(counts) => counts.len() * 8,
            Counts::Map(counts) => counts.capacity() * 18,
        }
    }
}
