//! What a log has when it is opened: from the tiles and the journal, and compared with what was seen of it before.

use std::io;
use std::path::Path;

use cofferdam_model::sabotage;

use super::LastSeen;
use crate::disk::Disk;
use crate::entry::Recorded;
use crate::journal;
use crate::note::{Checkpoint, VerifierKey};
use crate::tiles::{Edge, Tiles, WIDTH};
use crate::time::Moment;
use crate::tree::Hash;
use crate::{Error, Result};

/// What is on disk when a log is opened.
pub(super) struct Recovered {
    /// With every entry in it.
    pub(super) edge: Edge,
    pub(super) last: Option<Moment>,
    /// Entries that are in no full bundle.
    pub(super) tail: Vec<Vec<u8>>,
    pub(super) found: journal::Found,
}

/// Reads what the journal and the tiles have, and compares it with what was seen of it before.
pub(super) fn recover(
    disk: &dyn Disk,
    folder: &Path,
    key: &VerifierKey,
    last_seen: &dyn LastSeen,
) -> Result<Recovered> {
    let path = folder.join("checkpoint");
    let checkpoint = match disk.read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        other => {
            let bytes = other.map_err(Error::io("read the ledger's checkpoint", &path))?;
            let note = String::from_utf8(bytes).map_err(|_| Error::Malformed { what: "checkpoint" })?;
            let checkpoint = Checkpoint::verified(&note, key)?;
            Some((checkpoint.size, checkpoint.root))
        }
    };
    let seen = last_seen.load().map_err(Error::io("read what was last seen of the ledger", folder))?;
    let found = journal::read(disk, folder)?;

    // From the last full bundle before the journal begins; without a journal, from the last that is published.
    let published = checkpoint.map_or(0, |(size, _)| size);
    let first = found.first.unwrap_or(published);
    let base = first - first % WIDTH;
    let mut edge = Edge::read(disk, folder, base)?;
    let mut before = if first > base { Tiles::new(disk, folder, first).bundle(base / WIDTH)? } else { Vec::new() };
    // It may have become full since.
    before.truncate((first - base) as usize);
    if before.len() as u64 != first - base {
        return Err(Error::Damaged { what: format!("entries from {base} to {first} are missing") });
    }
    let checks: Vec<(u64, Hash)> = checkpoint.into_iter().chain(seen).collect();
    let check_here = |edge: &Edge| {
        let is_right = checks.iter().all(|(size, root)| *size != edge.size() || *root == edge.root());
        let what = || format!("its first {} entries are not those that were there", edge.size());
        if is_right { Ok(()) } else { Err(Error::Damaged { what: what() }) }
    };
    check_here(&edge)?;
    let mut tail = Vec::new();
    let mut last = None;
    for bytes in before.into_iter().chain(found.entries.iter().cloned()) {
        let recorded = Recorded::decode(&bytes).filter(|entry| entry.seq == edge.size());
        let what = || format!("entry {} cannot be read", edge.size());
        let recorded = recorded.ok_or_else(|| Error::Damaged { what: what() })?;
        last = Some(Moment { mono_us: recorded.mono_us, time_us: recorded.time_us });
        edge.push(&bytes);
        tail.push(bytes);
        if edge.size() % WIDTH == 0 {
            tail.clear();
        }
        check_here(&edge)?;
    }
    if last.is_none() && base > 0 {
        let bundle = Tiles::new(disk, folder, base).bundle(base / WIDTH - 1)?;
        let recorded = bundle.last().and_then(|bytes| Recorded::decode(bytes));
        let recorded = recorded.ok_or_else(|| Error::Damaged { what: format!("entry {} cannot be read", base - 1) })?;
        last = Some(Moment { mono_us: recorded.mono_us, time_us: recorded.time_us });
    }
    let size = edge.size();
    if !sabotage::is_out(49) {
        match seen {
            Some((seen, _)) if seen > size => return Err(Error::RolledBack { seen, found: size }),
            None if size > 0 => return Err(Error::NothingSeen),
            _ => {}
        }
        if published > size {
            return Err(Error::RolledBack { seen: published, found: size });
        }
    }
    Ok(Recovered { edge, last, tail, found })
}
