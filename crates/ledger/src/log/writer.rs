//! The thread that writes the journal: takes what waits, containment first, writes and syncs it in one go, and answers.
//! After a failure it goes on with the next journal file as soon as there is one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cofferdam_model::limits;

use super::{Shared, Waiting, why};
use crate::entry::Recorded;
use crate::journal::{self, Segment, Spare};

/// The thread that writes the journal.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    /// None after a failure, until there is a new file.
    pub(super) segment: Option<Segment>,
    /// Number of the next entry.
    pub(super) next: u64,
}

/// Entries of containment that are written at a time when there is only the reserve.
const RESERVE_BATCH: usize = 16;
/// How long entries wait for the next journal file while it is being made.
const SPARE_WAIT: Duration = Duration::from_millis(200);

const fn room_for(entries: usize) -> usize {
    entries * journal::frame_bytes(limits::LEDGER_ENTRY_BYTES_MAX)
}

impl Writer {
    pub(super) fn run(mut self) {
        while let Some(batch) = self.next_batch() {
            self.write(batch);
        }
    }

    /// What is written next, containment first. None at the end.
    fn next_batch(&mut self) -> Option<Vec<Waiting>> {
        let shared = self.shared.clone();
        let mut queue = shared.queue();
        loop {
            if queue.control.is_empty() && queue.others.is_empty() {
                if queue.is_stopping {
                    return None;
                }
                // A failed disk is tried again before somebody asks.
                if self.segment.is_none() && queue.spare.is_some() {
                    let spare = queue.spare.take();
                    drop(queue);
                    self.rotate(spare);
                    queue = shared.queue();
                }
                queue = match self.segment {
                    Some(_) => shared.arrived.wait(queue).expect("never left half changed"),
                    None => {
                        let waited = shared.arrived.wait_timeout(queue, SPARE_WAIT);
                        waited.expect("never left half changed").0
                    }
                };
                continue;
            }
            let room = |segment: &Option<Segment>, reserve| segment.as_ref().map_or(0, |segment| segment.room(reserve));
            if room(&self.segment, false) < room_for(limits::LEDGER_BATCH_ENTRIES_MAX) {
                if queue.spare.is_none() && queue.no_spare.is_none() && !queue.is_stopping {
                    let waited = shared.arrived.wait_timeout_while(queue, SPARE_WAIT, |queue| {
                        queue.spare.is_none() && queue.no_spare.is_none() && !queue.is_stopping
                    });
                    queue = waited.expect("never left half changed").0;
                }
                if queue.spare.is_some() {
                    let spare = queue.spare.take();
                    drop(queue);
                    self.rotate(spare);
                    queue = shared.queue();
                }
            }
            let is_open = room(&self.segment, false) >= room_for(limits::LEDGER_BATCH_ENTRIES_MAX);
            let has_reserve = room(&self.segment, true) >= room_for(RESERVE_BATCH);
            let batch_max = match (is_open, has_reserve) {
                (true, _) => limits::LEDGER_BATCH_ENTRIES_MAX,
                (false, true) => RESERVE_BATCH,
                (false, false) => 0,
            };
            if !is_open {
                let kind = queue.no_spare.unwrap_or(io::ErrorKind::Other);
                queue.others.drain(..).for_each(|waiting| waiting.reply.answer(Err(why(kind))));
                if batch_max == 0 {
                    queue.control.drain(..).for_each(|waiting| waiting.reply.answer(Err(why(kind))));
                }
            }
            let from_control = queue.control.len().min(batch_max);
            let mut batch: Vec<Waiting> = queue.control.drain(..from_control).collect();
            let from_others = queue.others.len().min(batch_max - from_control);
            batch.extend(queue.others.drain(..from_others));
            batch.retain(|waiting| !waiting.reply.is_abandoned());
            if !batch.is_empty() {
                return Some(batch);
            }
        }
    }

    /// Goes on with a spare file. One that could not be begun has perhaps a head and is kept in order with the others.
    fn rotate(&mut self, spare: Option<Spare>) {
        let Some(spare) = spare else { return };
        let path = spare.path().to_owned();
        match self.shared.at_disk(|| spare.begin(self.next, &[])) {
            Ok(segment) => {
                self.retire();
                self.segment = Some(segment);
            }
            Err(error) => {
                self.retire();
                let mut written = self.shared.written.lock().expect("never left half changed");
                written.retired.push((path, self.next));
                drop(written);
                self.shared.queue().no_spare = Some(error.kind());
            }
        }
        self.shared.to_do.notify_all();
    }

    fn retire(&mut self) {
        if let Some(segment) = self.segment.take() {
            let mut written = self.shared.written.lock().expect("never left half changed");
            written.retired.push((segment.path, self.next));
        }
    }

    fn write(&mut self, batch: Vec<Waiting>) {
        let (mut frames, mut entries) = (Vec::new(), Vec::with_capacity(batch.len()));
        let mut has_control = false;
        let mut replies = Vec::with_capacity(batch.len());
        let mut time = self.shared.time.lock().expect("never left half changed");
        for Waiting { entry, reply } in batch {
            has_control |= entry.kind.is_control();
            let seq = self.next + entries.len() as u64;
            let (now, is_clock_stepped) = time.next();
            let recorded = Recorded { seq, mono_us: now.mono_us, time_us: now.time_us, is_clock_stepped, entry };
            let bytes = recorded.encode();
            journal::frame(&mut frames, seq, &bytes);
            entries.push(bytes);
            replies.push((seq, reply));
        }
        drop(time);
        let segment = self.segment.as_mut().expect("a batch is taken only when there is a file");
        match self.shared.at_disk(|| segment.append(&frames)) {
            Ok(()) => {
                self.next += entries.len() as u64;
                {
                    let mut written = self.shared.written.lock().expect("never left half changed");
                    written.entries.append(&mut entries);
                    written.has_control |= has_control;
                    self.shared.durable.store(self.next, Ordering::Release);
                }
                self.shared.to_do.notify_all();
                replies.into_iter().for_each(|(seq, reply)| reply.answer(Ok(seq)));
            }
            Err(error) => {
                tracing::error!(error = %error, "the ledger's disk failed: entries are refused until it works again");
                self.retire();
                self.shared.queue().no_spare = None;
                self.shared.to_do.notify_all();
                replies.into_iter().for_each(|(_, reply)| reply.answer(Err(why(error.kind()))));
            }
        }
    }
}
