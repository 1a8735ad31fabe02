//! A consistent view of one project, for readers.

use std::collections::BTreeSet;
use std::sync::Arc;

use cofferdam_model::SealedEvent;

use crate::columns::{Arrived, PropertyKey};
use crate::segment::Segment;

/// Everything acknowledged before it was taken. It never changes, and its files stay while it is held.
#[derive(Clone)]
pub struct Snapshot {
    segments: Vec<Arc<Segment>>,
    buckets: u32,
}

impl Snapshot {
    pub(crate) fn new(segments: Vec<Arc<Segment>>, buckets: u32) -> Snapshot {
        Snapshot { segments, buckets }
    }

    pub fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    pub fn buckets(&self) -> u32 {
        self.buckets
    }

    /// Events that a query can read.
    pub fn events(&self) -> u64 {
        self.segments.iter().map(|segment| segment.rows - segment.hidden().len() as u64).sum()
    }

    /// Bounds of event times, µs UTC: no event is earlier or later.
    pub fn time_us(&self) -> Option<(i64, i64)> {
        let low = self.segments.iter().map(|segment| segment.time_us.0).min()?;
        let high = self.segments.iter().map(|segment| segment.time_us.1).max()?;
        Some((low, high))
    }

    /// Every (property, type) that some event has.
    pub fn keys(&self) -> BTreeSet<PropertyKey> {
        self.segments.iter().flat_map(|segment| segment.keys().cloned()).collect()
    }

    /// A view of events that are in no lake: for tests and tools. The pieces take turns; of records that are the same
    /// the last one counts, as in a lake.
    pub fn of_events(events: Vec<SealedEvent>, buckets: u32, pieces: usize) -> Snapshot {
        let mut arrived: Vec<Vec<Arrived>> = (0..pieces.max(1)).map(|_| Vec::new()).collect();
        for (at, event) in events.into_iter().enumerate() {
            arrived[at % pieces.max(1)].push(Arrived { received: i64::try_from(at).unwrap_or(i64::MAX), event });
        }
        Snapshot { segments: crate::shelf::view_of(&arrived, buckets), buckets }
    }
}
