//! Stand-in.
use std::path::PathBuf;

use cofferdam_model::{SealedEvent, SubjectNo};

use crate::Result;
use crate::columns::{Arrived, PropertyKey, Rows};
use crate::hot::HotStore;
use crate::segment::Segment;

pub(crate) struct Source<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) hidden: &'a [u32],
}

pub(crate) trait Plan {
    fn outputs(&self) -> usize;
    fn place(&self, subject: SubjectNo, time_us: i64) -> Option<(usize, SubjectNo)>;
    fn keeps_column(&self, key: &PropertyKey) -> bool;
}

pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(crate) crc32c: u32,
    pub(crate) rows: u64,
    pub(crate) time_us: (i64, i64),
    pub(crate) received: (i64, i64),
}

pub(crate) fn merge(
    _hot: &HotStore,
    sources: &[Source<'_>],
    plan: &dyn Plan,
    path: &dyn Fn(usize) -> (PathBuf, u64),
) -> Result<Vec<(usize, Written)>> {
    let mut outputs: Vec<Vec<Arrived>> = (0..plan.outputs()).map(|_| vec![]).collect();
    for source in sources {
        let core = source.segment.core()?;
        let (ids, stamps) = (source.segment.insert_ids()?, source.segment.received()?);
        for (index, &subject) in core.subjects.iter().enumerate() {
            for row in core.offsets[index] as usize..core.offsets[index + 1] as usize {
                if source.hidden.contains(&(row as u32)) {
                    continue;
                }
                let time_us = core.time.get(row);
                let Some((output, to)) = plan.place(SubjectNo(subject), time_us) else { continue };
                let mut properties = vec![];
                for key in source.segment.keys().filter(|key| plan.keeps_column(key)) {
                    if let Some(value) = source.segment.column(key)?.and_then(|column| column.value(key.property_type, row)) {
                        properties.push((key.name.clone(), value));
                    }
                }
                let insert_id = if to == SubjectNo(subject) {
                    ids[row]
                } else {
                    crate::compact::folded_insert_id(ids[row], SubjectNo(subject))
                };
                outputs[output].push(Arrived {
                    received: stamps[row],
                    event: SealedEvent { name: core.event_name(row).to_owned(), subject: to, time_us, insert_id, properties },
                });
            }
        }
    }
    let mut written = vec![];
    for (index, events) in outputs.into_iter().enumerate() {
        if events.is_empty() {
            continue;
        }
        let rows = Rows::build(&events);
        let low = events.iter().map(|event| event.received).min().unwrap_or(0);
        let high = events.iter().map(|event| event.received).max().unwrap_or(0);
        let one = crate::segment::write(&path(index).0, &rows)?;
        written.push((
            index,
            Written { bytes: one.bytes, crc32c: one.crc32c, rows: one.rows, time_us: one.time_us, received: (low, high) },
        ));
    }
    Ok(written)
}
