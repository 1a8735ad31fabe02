//! One disclosure as a record of 256 bytes, and the file of them: in the order of the ledger, each with its checksum,
//! read from front to back or from back to front.
//!
//! ```text
//! crc32c of the rest(4) state(1) kind(1) inline(1) present(1)
//! seq time project fields grant purpose count end_seq end_time rows set_bytes (8 each, little-endian)
//! actor session token ip device org (16 each)  set_hash(32)  inline subjects(8 × 4)
//! ```

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cofferdam_ledger::{BlobCommit, Pseudonym, Recorded};
use cofferdam_model::{FieldSet, limits};

use crate::{Error, Result};

pub(crate) const RECORD_BYTES: usize = 256;
const INLINE_MAX: usize = limits::LEDGER_INLINE_SUBJECTS_MAX as usize;
/// Records that are read at a time.
const CHUNK: u32 = 1_024;

/// One thing that disclosures have in common. Numbers and pseudonyms are those of the ledger's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    Actor(Pseudonym),
    Session(Pseudonym),
    Token(Pseudonym),
    Ip(Pseudonym),
    Device(Pseudonym),
    Org(Pseudonym),
    Grant(u64),
    Purpose(u64),
    Project(u64),
}

/// How a disclosure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// To its end; otherwise it was broken off after `rows`.
    pub is_whole: bool,
    pub rows: u64,
    pub time_us: u64,
    /// The entry that says so.
    pub seq: u64,
}

/// A disclosure: somebody was allowed to see these fields of so many subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disclosure {
    /// The intent's number in the ledger.
    pub seq: u64,
    /// The wall clock of the intent: microseconds since 1970-01-01 UTC.
    pub time_us: u64,
    pub project: u64,
    pub fields: FieldSet,
    /// 0 when none, as in the ledger.
    pub grant: u64,
    pub purpose: u64,
    /// Subjects.
    pub count: u64,
    pub actor: Option<Pseudonym>,
    pub session: Option<Pseudonym>,
    pub token: Option<Pseudonym>,
    pub ip: Option<Pseudonym>,
    pub device: Option<Pseudonym>,
    pub org: Option<Pseudonym>,
    /// None while it goes on, or when its end was never recorded.
    pub end: Option<End>,
    pub(crate) subjects: Subjects,
}

/// Where a disclosure's subjects are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subjects {
    Inline([u32; INLINE_MAX], u8),
    Set(BlobCommit),
    /// Their names were erased, or are not readable in the entry.
    Gone,
}

impl Disclosure {
    /// Of an intent.
    pub(crate) fn of(recorded: &Recorded) -> Disclosure {
        let entry = &recorded.entry;
        let subjects = match entry.blob {
            Some(commit) => Subjects::Set(commit),
            None => inline(&entry.extra, entry.count).unwrap_or(Subjects::Gone),
        };
        Disclosure {
            seq: recorded.seq,
            time_us: recorded.time_us,
            project: entry.object,
            fields: entry.fields,
            grant: entry.grant,
            purpose: entry.purpose,
            count: entry.count,
            actor: entry.actor,
            session: entry.session,
            token: entry.token,
            ip: entry.ip,
            device: entry.device,
            org: entry.org,
            end: None,
            subjects,
        }
    }

    /// Whether anything went out, as far as the ledger says. What was broken off after some rows counts whole.
    pub fn is_confirmed(&self) -> bool {
        self.end.is_some_and(|end| end.is_whole || end.rows > 0)
    }

    /// Its subjects' names were erased; how many they were is known.
    pub fn is_unnamed(&self) -> bool {
        self.subjects == Subjects::Gone
    }

    /// Two ends are one: the one that says more.
    pub(crate) fn end(&mut self, end: End) {
        let more = |end: &End| (end.is_whole, end.rows);
        if self.end.is_none_or(|known| more(&known) < more(&end)) {
            self.end = Some(end);
        }
    }

    pub(crate) fn is_by(&self, by: &By) -> bool {
        match by {
            By::Actor(actor) => self.actor == Some(*actor),
            By::Session(session) => self.session == Some(*session),
            By::Token(token) => self.token == Some(*token),
            By::Ip(ip) => self.ip == Some(*ip),
            By::Device(device) => self.device == Some(*device),
            By::Org(org) => self.org == Some(*org),
            By::Grant(grant) => self.grant == *grant,
            By::Purpose(purpose) => self.purpose == *purpose,
            By::Project(project) => self.project == *project,
        }
    }

    /// Everything that it can be asked for by.
    pub(crate) fn all_by(&self) -> impl Iterator<Item = By> {
        let pseudonyms = [
            self.actor.map(By::Actor),
            self.session.map(By::Session),
            self.token.map(By::Token),
            self.ip.map(By::Ip),
            self.device.map(By::Device),
            self.org.map(By::Org),
        ];
        let numbers = [By::Grant(self.grant), By::Purpose(self.purpose), By::Project(self.project)];
        pseudonyms.into_iter().flatten().chain(numbers)
    }

    pub(crate) fn inline(&self) -> &[u32] {
        match &self.subjects {
            Subjects::Inline(numbers, count) => &numbers[..usize::from(*count)],
            _ => &[],
        }
    }

    fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut out = [0; RECORD_BYTES];
        let mut at = 8;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        let end = self.end.unwrap_or(End { is_whole: false, rows: 0, time_us: 0, seq: 0 });
        let (kind, inline, commit) = match &self.subjects {
            Subjects::Inline(_, count) => (0, *count, None),
            Subjects::Set(commit) => (1, 0, Some(*commit)),
            Subjects::Gone => (2, 0, None),
        };
        let numbers = [
            self.seq,
            self.time_us,
            self.project,
            self.fields.0,
            self.grant,
            self.purpose,
            self.count,
            end.seq,
            end.time_us,
            end.rows,
            commit.map_or(0, |commit| commit.bytes),
        ];
        numbers.iter().for_each(|number| put(&number.to_le_bytes()));
        let mut present = 0;
        for (bit, pseudonym) in self.pseudonyms().into_iter().enumerate() {
            present |= u8::from(pseudonym.is_some()) << bit;
            put(&pseudonym.map_or([0; 16], |pseudonym| pseudonym.0));
        }
        put(&commit.map_or([0; 32], |commit| commit.hash));
        self.inline().iter().for_each(|subject| put(&subject.to_le_bytes()));
        let state = match self.end {
            None => 0,
            Some(End { is_whole: true, .. }) => 1,
            Some(_) => 2,
        };
        out[4..8].copy_from_slice(&[state, kind, inline, present]);
        let sum = crc32c::crc32c(&out[4..]);
        out[..4].copy_from_slice(&sum.to_le_bytes());
        out
    }

    fn pseudonyms(&self) -> [Option<Pseudonym>; 6] {
        [self.actor, self.session, self.token, self.ip, self.device, self.org]
    }

    fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Disclosure> {
        let (sum, rest) = bytes.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*sum) != crc32c::crc32c(rest) {
            return None;
        }
        let [state, kind, inline, present] = *rest.first_chunk::<4>()?;
        let number = |at: usize| u64::from_le_bytes(bytes[8 + 8 * at..16 + 8 * at].try_into().expect("eight bytes"));
        let pseudonym = |at: usize| {
            let from = 96 + 16 * at;
            (present >> at & 1 == 1).then(|| Pseudonym(bytes[from..from + 16].try_into().expect("sixteen bytes")))
        };
        let subjects = match kind {
            0 => {
                let (numbers, _) = bytes[224..].as_chunks::<4>();
                let mut subjects = [0; INLINE_MAX];
                subjects.iter_mut().zip(numbers).for_each(|(to, from)| *to = u32::from_le_bytes(*from));
                (usize::from(inline) <= INLINE_MAX).then_some(Subjects::Inline(subjects, inline))?
            }
            1 => Subjects::Set(BlobCommit { hash: bytes[192..224].try_into().ok()?, bytes: number(10) }),
            2 => Subjects::Gone,
            _ => return None,
        };
        let end = End { is_whole: state == 1, rows: number(9), time_us: number(8), seq: number(7) };
        Some(Disclosure {
            seq: number(0),
            time_us: number(1),
            project: number(2),
            fields: FieldSet(number(3)),
            grant: number(4),
            purpose: number(5),
            count: number(6),
            actor: pseudonym(0),
            session: pseudonym(1),
            token: pseudonym(2),
            ip: pseudonym(3),
            device: pseudonym(4),
            org: pseudonym(5),
            end: (state != 0).then_some(end),
            subjects,
        })
    }
}

fn inline(extra: &[u8], count: u64) -> Option<Subjects> {
    let (numbers, rest) = extra.as_chunks::<4>();
    let is_right = rest.is_empty() && numbers.len() as u64 == count && numbers.len() <= INLINE_MAX;
    let mut subjects = [0; INLINE_MAX];
    subjects.iter_mut().zip(numbers).for_each(|(to, from)| *to = u32::from_be_bytes(*from));
    is_right.then_some(Subjects::Inline(subjects, numbers.len() as u8))
}

/// The file of records. Only its owner writes; whoever reads may do so at the same time.
pub(crate) struct Records {
    file: File,
    path: PathBuf,
    len: u32,
}

impl Records {
    /// Opens the file, cut to `len` records: what is beyond was not finished.
    pub(crate) fn open(path: &Path, len: u32) -> Result<Records> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(Error::io("open the records of disclosures", path))?;
        let bytes = u64::from(len) * RECORD_BYTES as u64;
        let found = file.metadata().map_err(Error::io("look at the records of disclosures", path))?.len();
        if found < bytes {
            return Err(Error::Damaged { what: "records are missing" });
        }
        file.set_len(bytes).map_err(Error::io("cut the records of disclosures", path))?;
        Ok(Records { file, path: path.to_owned(), len })
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn push(&mut self, disclosure: &Disclosure) -> Result<u32> {
        let position = self.len;
        self.write(position, disclosure)?;
        self.len += 1;
        Ok(position)
    }

    /// Writes a record, a new one or one that is there.
    pub(crate) fn write(&mut self, position: u32, disclosure: &Disclosure) -> Result<()> {
        let written = self.file.write_all_at(&disclosure.encode(), u64::from(position) * RECORD_BYTES as u64);
        written.map_err(Error::io("write a record of a disclosure", &self.path))
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io("sync the records of disclosures", &self.path))
    }

    pub(crate) fn read(&self, position: u32) -> Result<Disclosure> {
        let mut bytes = [0; RECORD_BYTES];
        let read = self.file.read_exact_at(&mut bytes, u64::from(position) * RECORD_BYTES as u64);
        read.map_err(Error::io("read a record of a disclosure", &self.path))?;
        Disclosure::decode(&bytes).ok_or(Error::Damaged { what: "a record has another checksum" })
    }

    /// Every record, oldest first.
    pub(crate) fn scan(&self, mut each: impl FnMut(u32, Disclosure) -> Result<()>) -> Result<()> {
        for from in (0..self.len).step_by(CHUNK as usize) {
            for (at, disclosure) in self.chunk(from, self.len.min(from.saturating_add(CHUNK)))?.into_iter().enumerate()
            {
                each(from + at as u32, disclosure?)?;
            }
        }
        Ok(())
    }

    /// Records before a position, newest first, for as long as the answer is true.
    pub(crate) fn scan_back(&self, before: u32, mut each: impl FnMut(u32, Disclosure) -> Result<bool>) -> Result<()> {
        let mut to = before.min(self.len);
        while to > 0 {
            let from = to.saturating_sub(CHUNK);
            for (at, disclosure) in self.chunk(from, to)?.into_iter().enumerate().rev() {
                if !each(from + at as u32, disclosure?)? {
                    return Ok(());
                }
            }
            to = from;
        }
        Ok(())
    }

    fn chunk(&self, from: u32, to: u32) -> Result<Vec<Result<Disclosure>>> {
        let mut bytes = vec![0; (to - from) as usize * RECORD_BYTES];
        let read = self.file.read_exact_at(&mut bytes, u64::from(from) * RECORD_BYTES as u64);
        read.map_err(Error::io("read the records of disclosures", &self.path))?;
        let (records, _) = bytes.as_chunks::<RECORD_BYTES>();
        let decode = |bytes| Disclosure::decode(bytes).ok_or(Error::Damaged { what: "a record has another checksum" });
        Ok(records.iter().map(decode).collect())
    }

    /// Position of the record with this number, if there is one; otherwise of the first after it.
    pub(crate) fn find(&self, seq: u64) -> Result<std::result::Result<u32, u32>> {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.read(middle)?.seq {
                found if found == seq => return Ok(Ok(middle)),
                found if found < seq => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(Err(low))
    }
}
