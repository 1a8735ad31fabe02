//! The journal: what is durable first. Files of fixed size, written with zeros to their end and synced before they are
//! used, so that a sync while entries come in changes no metadata and cannot run out of room.
//!
//! ```text
//! file   = magic(4) version(4) first(8) crc32c(4) zeros(12)  frame…  zeros
//! frame  = length(2, big-endian) entry crc32c(sequence number ‖ entry)(4)
//! ```
//! A file says which number its first entry has. What an older file has from that number on does not count: that is how
//! entries are taken back of which it is unknown whether a failed sync wrote them. A frame that is cut or does not match
//! its sum ends the file.

use std::io;
use std::path::{Path, PathBuf};

use cofferdam_model::limits;

use crate::disk::{Disk, DiskFile};
use crate::{Error, Result};

const MAGIC: [u8; 4] = *b"CFLJ";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 32;

/// Folder of the journal in the ledger's.
pub(crate) const FOLDER: &str = "journal";

/// A journal file that is written to.
pub(crate) struct Segment {
    file: Box<dyn DiskFile>,
    pub(crate) path: PathBuf,
    offset: usize,
}

/// A journal file that is ready to be used.
pub(crate) struct Spare {
    file: Box<dyn DiskFile>,
    path: PathBuf,
}

fn header(first: u64) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[..4].copy_from_slice(&MAGIC);
    out[4..8].copy_from_slice(&VERSION.to_le_bytes());
    out[8..16].copy_from_slice(&first.to_le_bytes());
    let sum = crc32c::crc32c(&out[..16]);
    out[16..20].copy_from_slice(&sum.to_le_bytes());
    out
}

fn sum(seq: u64, entry: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&seq.to_le_bytes()), entry)
}

/// Adds the frame of an entry.
pub(crate) fn frame(out: &mut Vec<u8>, seq: u64, entry: &[u8]) {
    out.extend((entry.len() as u16).to_be_bytes());
    out.extend_from_slice(entry);
    out.extend(sum(seq, entry).to_le_bytes());
}

pub(crate) const fn frame_bytes(entry_bytes: usize) -> usize {
    entry_bytes + 6
}

impl Spare {
    /// Makes a new file; it has its name only when it is whole and durable.
    pub(crate) fn make(disk: &dyn Disk, folder: &Path, index: u64) -> io::Result<Spare> {
        let path = folder.join(format!("{index:08}"));
        let temporary = folder.join("spare.tmp");
        let made: io::Result<Box<dyn DiskFile>> = (|| {
            let mut file = disk.create(&temporary)?;
            file.write_at(0, &vec![0; limits::LEDGER_SEGMENT_BYTES])?;
            file.sync()?;
            disk.rename(&temporary, &path)?;
            disk.sync_folder(folder)?;
            Ok(file)
        })();
        if made.is_err() {
            // What room it took is needed elsewhere.
            let _ = disk.remove(&temporary);
        }
        Ok(Spare { file: made?, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Begins to use it for entries from `first` on, with those of `frames` in it. Durable when this returns.
    pub(crate) fn begin(mut self, first: u64, frames: &[u8]) -> io::Result<Segment> {
        self.file.write_at(HEADER_BYTES as u64, frames)?;
        self.file.write_at(0, &header(first))?;
        self.file.sync()?;
        Ok(Segment { file: self.file, path: self.path, offset: HEADER_BYTES + frames.len() })
    }
}

impl Segment {
    /// Bytes that are left for entries of any kind, or for those of containment.
    pub(crate) fn room(&self, with_reserve: bool) -> usize {
        let reserve = if with_reserve { 0 } else { limits::LEDGER_RESERVE_BYTES };
        (limits::LEDGER_SEGMENT_BYTES - reserve).saturating_sub(self.offset)
    }

    /// Writes and syncs. After an error the segment is used no more.
    pub(crate) fn append(&mut self, frames: &[u8]) -> io::Result<()> {
        self.file.write_at(self.offset as u64, frames)?;
        self.file.sync()?;
        self.offset += frames.len();
        Ok(())
    }
}

/// What the journal has.
pub(crate) struct Found {
    /// Number of the first entry; none when no file was ever used.
    pub(crate) first: Option<u64>,
    pub(crate) entries: Vec<Vec<u8>>,
    /// Files that were used, and where each begins.
    pub(crate) used: Vec<(PathBuf, u64)>,
    /// A file that was not.
    pub(crate) spare: Option<PathBuf>,
    /// Files of which the first use was broken off.
    pub(crate) useless: Vec<PathBuf>,
    pub(crate) next_index: u64,
}

fn parse(bytes: &[u8]) -> Option<(u64, Vec<Vec<u8>>)> {
    let head: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
    let first = u64::from_le_bytes(*head[8..].first_chunk()?);
    if *head != header(first) {
        return None;
    }
    let (mut rest, mut entries) = (&bytes[HEADER_BYTES..], Vec::new());
    loop {
        let Some((len, after)) = rest.split_first_chunk::<2>() else { break };
        let len = usize::from(u16::from_be_bytes(*len));
        if len == 0 || len > limits::LEDGER_ENTRY_BYTES_MAX || after.len() < len + 4 {
            break;
        }
        let (entry, after) = after.split_at(len);
        let (found, after) = after.split_at(4);
        if found != sum(first + entries.len() as u64, entry).to_le_bytes() {
            break;
        }
        entries.push(entry.to_vec());
        rest = after;
    }
    Some((first, entries))
}

/// Reads the whole journal of a ledger.
pub(crate) fn read(disk: &dyn Disk, ledger: &Path) -> Result<Found> {
    let folder = ledger.join(FOLDER);
    let mut found =
        Found { first: None, entries: Vec::new(), used: Vec::new(), spare: None, useless: Vec::new(), next_index: 1 };
    let names = disk.list(&folder).map_err(Error::io("read the ledger's journal", &folder))?;
    for name in names.iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
        let path = folder.join(name);
        found.next_index = name.parse::<u64>().unwrap_or(0) + 1;
        let bytes = disk.read(&path).map_err(Error::io("read the ledger's journal", &path))?;
        if bytes.iter().take(HEADER_BYTES).all(|byte| *byte == 0) {
            // One whose first use was broken off may have frames without a head: they must not be met again.
            match bytes.len() == limits::LEDGER_SEGMENT_BYTES && bytes.iter().all(|byte| *byte == 0) {
                true => found.spare = Some(path),
                false => found.useless.push(path),
            }
            continue;
        }
        let Some((first, entries)) = parse(&bytes) else {
            return Err(Error::Damaged { what: format!("journal file {name} has no head") });
        };
        match found.first {
            None => found.first = Some(first),
            Some(start) => {
                let keep = first.checked_sub(start).filter(|keep| *keep <= found.entries.len() as u64);
                let Some(keep) = keep else {
                    return Err(Error::Damaged { what: format!("entries before journal file {name} are missing") });
                };
                found.entries.truncate(keep as usize);
            }
        }
        found.entries.extend(entries);
        found.used.push((path, first));
    }
    Ok(found)
}

/// Opens the spare file that [`read`] found.
pub(crate) fn reuse(disk: &dyn Disk, path: PathBuf) -> io::Result<Spare> {
    Ok(Spare { file: disk.open(&path)?, path })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::LocalDisk;

    fn frames(from: u64, entries: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        entries.iter().enumerate().for_each(|(at, entry)| frame(&mut out, from + at as u64, entry));
        out
    }

    #[test]
    fn a_newer_file_takes_back_what_an_older_one_has_from_its_number_on() {
        let ledger = tempfile::tempdir().unwrap();
        let folder = ledger.path().join(FOLDER);
        std::fs::create_dir(&folder).unwrap();
        let found = || read(&LocalDisk, ledger.path()).unwrap();
        assert_eq!((found().first, found().next_index), (None, 1));
        let mut one = Spare::make(&LocalDisk, &folder, 1).unwrap().begin(7, &[]).unwrap();
        one.append(&frames(7, &[b"seven", b"eight"])).unwrap();
        one.append(&frames(9, &[b"uncertain"])).unwrap();
        assert_eq!(found().entries, [&b"seven"[..], b"eight", b"uncertain"]);
        Spare::make(&LocalDisk, &folder, 2).unwrap();
        assert_eq!(found().spare, Some(folder.join("00000002")));
        reuse(&LocalDisk, folder.join("00000002")).unwrap().begin(9, &frames(9, &[b"nine"])).unwrap();
        assert_eq!((found().first, found().spare), (Some(7), None));
        assert_eq!(found().entries, [&b"seven"[..], b"eight", b"nine"]);
        assert_eq!(found().used.len(), 2);
    }

    #[test]
    fn a_cut_frame_and_one_out_of_its_place_end_the_file() {
        let ledger = tempfile::tempdir().unwrap();
        let folder = ledger.path().join(FOLDER);
        std::fs::create_dir(&folder).unwrap();
        let mut segment = Spare::make(&LocalDisk, &folder, 1).unwrap().begin(0, &frames(0, &[b"zero"])).unwrap();
        segment.append(&frames(1, &[b"one"])[..5]).unwrap();
        assert_eq!(read(&LocalDisk, ledger.path()).unwrap().entries, [b"zero"]);
        let mut segment = Spare::make(&LocalDisk, &folder, 2).unwrap().begin(1, &[]).unwrap();
        segment.append(&frames(2, &[b"two"])).unwrap();
        assert_eq!(read(&LocalDisk, ledger.path()).unwrap().entries, [b"zero"]);
        Spare::make(&LocalDisk, &folder, 3).unwrap().begin(5, &[]).unwrap();
        assert!(matches!(read(&LocalDisk, ledger.path()), Err(Error::Damaged { .. })));
    }

    #[test]
    fn the_reserve_is_room_for_containment_alone() {
        let ledger = tempfile::tempdir().unwrap();
        let segment = Spare::make(&LocalDisk, ledger.path(), 1).unwrap().begin(0, &[]).unwrap();
        assert_eq!(segment.room(true) - segment.room(false), limits::LEDGER_RESERVE_BYTES);
    }
}
