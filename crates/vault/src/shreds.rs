//! The list of destroyed keys, kept apart from the keys and from every backup of them.
//!
//! A backup of `keys.db` has keys of persons who were deleted after it was taken. So each destruction is first written
//! here, durably, and `keys.db` says up to where it has followed the list. Whoever puts an older `keys.db` back is
//! brought up to date before anything is opened, and a list shorter than what `keys.db` followed is refused: it is not
//! the newest one.
//!
//! The file grows by records of [`RECORD`] bytes, little-endian: `project u32 | subject u32 | key id 4 | time i64 |
//! authentication 12`. A record names a key, not only a person: somebody who came back has a new one. It names
//! no one: numbers only. The authentication is a keyed hash of the place and the record, so that nobody without the
//! keys makes the vault destroy some.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use cofferdam_model::{ProjectId, SubjectNo};

use crate::root::sync_folder_of;
use crate::seal::KeyId;
use crate::{Error, Result};

const RECORD: usize = 32;
const FIXED: usize = 20;

/// One destroyed key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shred {
    pub(crate) project: ProjectId,
    pub(crate) subject: SubjectNo,
    pub(crate) key: KeyId,
    /// µs UTC.
    pub(crate) time_us: i64,
}

pub(crate) struct ShredLog {
    path: PathBuf,
    file: File,
    /// Records that are durable.
    len: u64,
    key: hmac::Key,
}

impl ShredLog {
    /// Opens the list, or starts one where the keys have followed none.
    pub(crate) fn open(path: &Path, key: hmac::Key, followed: u64) -> Result<ShredLog> {
        let io = |source| Error::Shreds { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        let len = bytes / RECORD as u64;
        if len < followed {
            return Err(Error::ShredsMissing { path: path.to_owned(), found: len, followed });
        }
        // A record cut short by a crash: the key it names was not destroyed yet.
        file.set_len(len * RECORD as u64).and_then(|()| file.sync_all()).map_err(io)?;
        sync_folder_of(path)?;
        Ok(ShredLog { path: path.to_owned(), file, len, key })
    }

    /// Durable when this returns. Answers the records there are now.
    pub(crate) fn append(&mut self, shreds: &[Shred]) -> Result<u64> {
        let mut bytes = Vec::with_capacity(shreds.len() * RECORD);
        for (shred, place) in shreds.iter().zip(self.len..) {
            bytes.extend_from_slice(&self.encode(place, shred));
        }
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_all());
        if let Err(source) = written {
            // Whatever part of it is there stays and is followed at the next start: the deletion was asked for.
            self.len = self.file.metadata().map_or(self.len, |file| file.len() / RECORD as u64);
            // Best effort: a torn record in the middle would make those behind it unreadable.
            let _ = self.file.set_len(self.len * RECORD as u64);
            return Err(Error::Shreds { path: self.path.clone(), source });
        }
        self.len += shreds.len() as u64;
        Ok(self.len)
    }

    /// The records from a place on.
    pub(crate) fn since(&mut self, followed: u64) -> Result<Vec<Shred>> {
        let mut bytes = Vec::new();
        self.file
            .seek(SeekFrom::Start(followed * RECORD as u64))
            .and_then(|_| self.file.read_to_end(&mut bytes))
            .map_err(|source| Error::Shreds { path: self.path.clone(), source })?;
        let (records, _) = bytes.as_chunks::<RECORD>();
        let read = records.iter().zip(followed..).map(|(record, place)| {
            let shred = Shred {
                project: ProjectId(u32::from_le_bytes(*record.first_chunk().expect("a record has 32 bytes"))),
                subject: SubjectNo(u32::from_le_bytes(*record[4..].first_chunk().expect("a record has 32 bytes"))),
                key: *record[8..].first_chunk().expect("a record has 32 bytes"),
                time_us: i64::from_le_bytes(*record[12..].first_chunk().expect("a record has 32 bytes")),
            };
            if self.encode(place, &shred) != *record {
                return Err(Error::ShredsDamaged { path: self.path.clone(), place });
            }
            Ok(shred)
        });
        read.collect()
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    fn encode(&self, place: u64, shred: &Shred) -> [u8; RECORD] {
        let mut out = [0; RECORD];
        out[..4].copy_from_slice(&shred.project.0.to_le_bytes());
        out[4..8].copy_from_slice(&shred.subject.0.to_le_bytes());
        out[8..12].copy_from_slice(&shred.key);
        out[12..FIXED].copy_from_slice(&shred.time_us.to_le_bytes());
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&place.to_le_bytes());
        context.update(&out[..FIXED]);
        out[FIXED..].copy_from_slice(&context.sign().as_ref()[..RECORD - FIXED]);
        out
    }
}
