//! Unions of subject sets: which subjects, by project and by the fields that were disclosed of them, and the file of
//! such unions.
//!
//! A union is found by the positions of the disclosures it unites, whatever they have in common: two lists with the
//! same disclosures share it. It says of each disclosure whether its sending was confirmed when the union was made,
//! and keeps the two kinds apart: what is confirmed later is read again for the answer that wants it.
//!
//! ```text
//! file    = frame…
//! frame   = magic(4) crc32c of the next 24(4) key(16) length(4) crc32c of the content(4) content
//! content = crc32c of the directory(4) members(4) parts(4) [confirmed(1)…] [project fields length(8 each) confirmed(8)]… bitmaps
//! ```
//! A frame without a key was erased. One that is cut ends the file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use cofferdam_model::FieldSet;
use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;
use twox_hash::XxHash3_128;

use crate::probe;
use crate::{Error, Result};

const MAGIC: [u8; 4] = *b"CFXU";
const HEADER_BYTES: u64 = 32;
const HEAD_BYTES: usize = 12;
const PART_BYTES: usize = 32;
/// Sets of fields of one project that are kept apart. Beyond, each field has a set of its own: as exact, and there are
/// never more than 64.
const FIELD_SETS_MAX: usize = 16;
/// A larger union is not written: what it unites is read instead.
const CONTENT_BYTES_MAX: usize = 1 << 30;

/// Subjects by project, by whether they were confirmed, and by fields. A subject in several has the fields of all.
#[derive(Default)]
pub(crate) struct Parts(pub(crate) BTreeMap<(u64, bool, u64), RoaringBitmap>);

impl Parts {
    pub(crate) fn add(&mut self, project: u64, is_confirmed: bool, fields: FieldSet, subjects: &RoaringBitmap) {
        self.each(project, is_confirmed, fields, |set| *set |= subjects);
    }

    pub(crate) fn add_few(&mut self, project: u64, is_confirmed: bool, fields: FieldSet, subjects: &[u32]) {
        self.each(project, is_confirmed, fields, |set| set.extend(subjects));
    }

    pub(crate) fn absorb(&mut self, other: Parts) {
        for ((project, is_confirmed, fields), subjects) in other.0 {
            self.add(project, is_confirmed, FieldSet(fields), &subjects);
        }
    }

    fn each(&mut self, project: u64, is_confirmed: bool, fields: FieldSet, add: impl Fn(&mut RoaringBitmap)) {
        let key = (project, is_confirmed, fields.0);
        if let Some(set) = self.0.get_mut(&key) {
            return add(set);
        }
        let of_project = (project, is_confirmed, 0)..=(project, is_confirmed, u64::MAX);
        if self.0.range(of_project).take(FIELD_SETS_MAX).count() < FIELD_SETS_MAX {
            return add(self.0.entry(key).or_default());
        }
        for bit in (0..64).filter(|bit| fields.0 >> bit & 1 == 1) {
            add(self.0.entry((project, is_confirmed, 1 << bit)).or_default());
        }
    }
}

/// A union as it is read: what was confirmed of its members when it was made, in their order.
pub(crate) struct Union {
    pub(crate) confirmed: Vec<bool>,
    pub(crate) parts: Parts,
}

impl Union {
    fn encode(mut self) -> Option<Vec<u8>> {
        let mut directory = Vec::new();
        directory.extend((self.confirmed.len() as u32).to_le_bytes());
        directory.extend((self.parts.0.len() as u32).to_le_bytes());
        directory.extend(self.confirmed.iter().map(|is_confirmed| u8::from(*is_confirmed)));
        let mut bitmaps = Vec::new();
        for ((project, is_confirmed, fields), subjects) in &mut self.parts.0 {
            subjects.optimize();
            let bytes = subjects.serialized_size();
            if bitmaps.len() + bytes > CONTENT_BYTES_MAX {
                return None;
            }
            for number in [*project, *fields, bytes as u64, u64::from(*is_confirmed)] {
                directory.extend(number.to_le_bytes());
            }
            subjects.serialize_into(&mut bitmaps).expect("writing to memory does not fail");
        }
        let sum = crc32c::crc32c(&directory);
        Some([&sum.to_le_bytes()[..], &directory, &bitmaps].concat())
    }

    fn decode(content: &[u8]) -> Option<Union> {
        let directory = Directory::decode(content)?;
        let mut parts = Parts::default();
        for part in &directory.parts {
            let bytes = content.get(part.at as usize..(part.at + part.bytes) as usize)?;
            let set = RoaringBitmap::deserialize_from(bytes).ok()?;
            parts.0.insert((part.project, part.is_confirmed, part.fields), set);
        }
        Some(Union { confirmed: directory.confirmed, parts })
    }
}

/// Where the parts of a union lie in its content.
struct Directory {
    confirmed: Vec<bool>,
    parts: Vec<PartAt>,
}

struct PartAt {
    project: u64,
    fields: u64,
    is_confirmed: bool,
    at: u64,
    bytes: u64,
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn short(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

impl Directory {
    /// How long it is, from the first bytes of the content.
    fn bytes(head: &[u8]) -> Option<usize> {
        let (members, parts) = (short(head, 4)? as usize, short(head, 8)? as usize);
        Some(HEAD_BYTES + members + parts * PART_BYTES)
    }

    fn decode(content: &[u8]) -> Option<Directory> {
        let bytes = content.get(..Directory::bytes(content)?)?;
        if short(bytes, 0)? != crc32c::crc32c(&bytes[4..]) {
            return None;
        }
        let (members, count) = (short(bytes, 4)? as usize, short(bytes, 8)? as usize);
        let confirmed = bytes[HEAD_BYTES..HEAD_BYTES + members].iter().map(|byte| *byte == 1).collect();
        let mut at = bytes.len() as u64;
        let mut parts = Vec::with_capacity(count);
        for part in 0..count {
            let from = HEAD_BYTES + members + part * PART_BYTES;
            let bytes_of_it = number(bytes, from + 16)?;
            parts.push(PartAt {
                project: number(bytes, from)?,
                fields: number(bytes, from + 8)?,
                is_confirmed: number(bytes, from + 24)? == 1,
                at,
                bytes: bytes_of_it,
            });
            at += bytes_of_it;
        }
        Some(Directory { confirmed, parts })
    }
}

/// What a union is found by.
pub(crate) fn key(positions: &[u32]) -> u128 {
    let bytes: Vec<u8> = positions.iter().flat_map(|position| position.to_le_bytes()).collect();
    // Zero is a frame that was erased.
    XxHash3_128::oneshot(&bytes).max(1)
}

/// The file of unions.
pub(crate) struct RollUps {
    file: File,
    path: PathBuf,
    bytes: u64,
    frames: FxHashMap<u128, Frame>,
}

/// Where the content of a union lies, and how long it is.
struct Frame {
    at: u64,
    bytes: u32,
    /// Its checksum was looked at since the file was opened, or it was written since.
    is_verified: AtomicBool,
}

impl RollUps {
    /// Opens the file, cut where it is not whole. It has at least `bytes` of frames.
    pub(crate) fn open(path: &Path, bytes: u64) -> Result<RollUps> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(Error::io("open the roll-ups of disclosures", path))?;
        let mut found = RollUps { file, path: path.to_owned(), bytes: 0, frames: FxHashMap::default() };
        let len = found.file.metadata().map_err(Error::io("look at the roll-ups of disclosures", path))?.len();
        while let Some((key, content)) = found.header(len)? {
            let at = found.bytes + HEADER_BYTES;
            if key != 0 {
                found.frames.insert(key, Frame { at, bytes: content, is_verified: AtomicBool::new(false) });
            }
            found.bytes = at + u64::from(content);
        }
        if found.bytes < bytes {
            return Err(Error::Damaged { what: "roll-ups are missing" });
        }
        found.file.set_len(found.bytes).map_err(Error::io("cut the roll-ups of disclosures", path))?;
        Ok(found)
    }

    /// The next frame's key and length; none at the end, and where a frame is cut.
    fn header(&self, len: u64) -> Result<Option<(u128, u32)>> {
        if self.bytes + HEADER_BYTES > len {
            return Ok(None);
        }
        let mut header = [0; HEADER_BYTES as usize];
        let read = self.file.read_exact_at(&mut header, self.bytes);
        read.map_err(Error::io("read the roll-ups of disclosures", &self.path))?;
        let sum = u32::from_le_bytes(*header[4..].first_chunk().expect("there are 32 bytes"));
        if header[..4] != MAGIC || sum != crc32c::crc32c(&header[8..]) {
            return Ok(None);
        }
        let key = u128::from_le_bytes(*header[8..].first_chunk().expect("there are 32 bytes"));
        let content = u32::from_le_bytes(*header[24..].first_chunk().expect("there are 32 bytes"));
        Ok((self.bytes + HEADER_BYTES + u64::from(content) <= len).then_some((key, content)))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn has(&self, key: u128) -> bool {
        self.frames.contains_key(&key)
    }

    pub(crate) fn write(&mut self, key: u128, union: Union) -> Result<()> {
        let Some(content) = union.encode() else { return Ok(()) };
        let written = self.write_frame(self.bytes, key, &content);
        written.map_err(Error::io("write a roll-up of disclosures", &self.path))?;
        let (at, bytes) = (self.bytes + HEADER_BYTES, content.len() as u32);
        self.frames.insert(key, Frame { at, bytes, is_verified: AtomicBool::new(true) });
        self.bytes += HEADER_BYTES + content.len() as u64;
        Ok(())
    }

    /// Overwrites a union with nothing.
    pub(crate) fn erase(&mut self, key: u128) -> Result<()> {
        let Some(Frame { at, bytes, .. }) = self.frames.remove(&key) else { return Ok(()) };
        let written = self.write_frame(at - HEADER_BYTES, 0, &vec![0; bytes as usize]);
        written.map_err(Error::io("erase a roll-up of disclosures", &self.path))
    }

    fn write_frame(&self, at: u64, key: u128, content: &[u8]) -> std::io::Result<()> {
        let mut header = [0; HEADER_BYTES as usize];
        header[..4].copy_from_slice(&MAGIC);
        header[8..24].copy_from_slice(&key.to_le_bytes());
        header[24..28].copy_from_slice(&(content.len() as u32).to_le_bytes());
        header[28..].copy_from_slice(&crc32c::crc32c(content).to_le_bytes());
        let sum = crc32c::crc32c(&header[8..]);
        header[4..8].copy_from_slice(&sum.to_le_bytes());
        self.file.write_all_at(content, at + HEADER_BYTES)?;
        self.file.write_all_at(&header, at)
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io("sync the roll-ups of disclosures", &self.path))
    }

    /// A union, verified. None when there is none, or it is damaged.
    pub(crate) fn read(&self, key: u128) -> Result<Option<Union>> {
        let Some(frame) = self.frames.get(&key) else { return Ok(None) };
        let Some(content) = self.content(frame)? else { return Ok(None) };
        Ok(Union::decode(&content[4..]))
    }

    /// The content of a frame after its checksum, verified.
    fn content(&self, frame: &Frame) -> Result<Option<Vec<u8>>> {
        let mut content = vec![0; frame.bytes as usize + 4];
        let read = self.file.read_exact_at(&mut content, frame.at - 4);
        read.map_err(Error::io("read a roll-up of disclosures", &self.path))?;
        let is_whole = short(&content, 0) == Some(crc32c::crc32c(&content[4..]));
        frame.is_verified.fetch_or(is_whole, Ordering::Relaxed);
        Ok(is_whole.then_some(content))
    }

    /// Whether a union has one of these subjects of a project. None when there is no such union, or it is damaged. It
    /// is verified the first time, and a few bytes of it are read from then on.
    pub(crate) fn names(&self, key: u128, project: u64, subjects: &[u32]) -> Result<Option<bool>> {
        let Some(frame) = self.frames.get(&key) else { return Ok(None) };
        if !frame.is_verified.load(Ordering::Relaxed) && self.content(frame)?.is_none() {
            return Ok(None);
        }
        let (at, bytes) = (frame.at, frame.bytes);
        let failed = || Error::io("look into a roll-up of disclosures", &self.path);
        let mut head = vec![0; bytes.min(4_096) as usize];
        self.file.read_exact_at(&mut head, at).map_err(failed())?;
        match Directory::bytes(&head) {
            Some(needed) if needed > head.len() && needed <= bytes as usize => {
                head = vec![0; needed];
                self.file.read_exact_at(&mut head, at).map_err(failed())?;
            }
            _ => {}
        }
        let Some(directory) = Directory::decode(&head) else { return Ok(None) };
        for part in directory.parts.iter().filter(|part| part.project == project) {
            let mut read = |into: &mut [u8], from: u64| self.file.read_exact_at(into, at + part.at + from);
            match probe::has(&mut read, part.bytes, subjects) {
                Ok(false) => {}
                Ok(true) => return Ok(Some(true)),
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Ok(None),
                Err(error) => return Err(failed()(error)),
            }
        }
        Ok(Some(false))
    }
}
