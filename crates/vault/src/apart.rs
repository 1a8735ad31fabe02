//! Lists of what was destroyed, kept apart from the databases and from every backup of them.
//!
//! A backup has keys and ids of persons who were deleted after it was taken. So each destruction is first written to a
//! list, durably, and whoever puts an older database back is brought up to date before anything is served. There are
//! two:
//!
//! - `shreds.log`: keys. `keys.db` says up to where it has followed the list, and a list shorter than that is refused:
//!   it is not the newest one. The mark of a record is the key's id: somebody who came back has a new key.
//! - `erased.log`: persons. The mark of a record is the beginning of the nonce that their id was sealed with: random,
//!   of no use once the sealed id is gone, and different when a copy gave the number to somebody else.
//!
//! The files grow by records of [`RECORD`] bytes, little-endian: `project u32 | subject u32 | mark 4 | time i64 |
//! authentication 12`. They name no one: numbers only. The authentication is a keyed hash of the place and the record,
//! so that nobody without the keys makes the vault destroy something.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use cofferdam_model::{ProjectId, SubjectNo};

use crate::root::sync_folder_of;
use crate::{Error, Result};

const RECORD: usize = 32;
const FIXED: usize = 20;

/// Tells what was destroyed from what has its number later.
pub(crate) type Mark = [u8; 4];

/// One thing that was destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Destroyed {
    pub(crate) project: ProjectId,
    pub(crate) subject: SubjectNo,
    pub(crate) mark: Mark,
    /// µs UTC.
    pub(crate) time_us: i64,
}

pub(crate) struct ApartList {
    path: PathBuf,
    file: File,
    /// Records that are durable.
    len: u64,
    key: hmac::Key,
}

impl ApartList {
    /// Opens a list, or starts one where nothing of it was followed.
    pub(crate) fn open(path: &Path, key: hmac::Key, followed: u64) -> Result<ApartList> {
        let io = |source| Error::Apart { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        let len = bytes / RECORD as u64;
        if len < followed {
            return Err(Error::ApartMissing { path: path.to_owned(), found: len, followed });
        }
        // A record cut short by a crash: what it names was not destroyed yet.
        file.set_len(len * RECORD as u64).and_then(|()| file.sync_all()).map_err(io)?;
        sync_folder_of(path)?;
        Ok(ApartList { path: path.to_owned(), file, len, key })
    }

    /// Durable when this returns. Answers the records there are now.
    pub(crate) fn append(&mut self, destroyed: &[Destroyed]) -> Result<u64> {
        let mut bytes = Vec::with_capacity(destroyed.len() * RECORD);
        for (one, place) in destroyed.iter().zip(self.len..) {
            bytes.extend_from_slice(&self.encode(place, one));
        }
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_all());
        if let Err(source) = written {
            // Whatever part of it is there stays and is followed at the next start: the deletion was asked for.
            self.len = self.file.metadata().map_or(self.len, |file| file.len() / RECORD as u64);
            // Best effort: a torn record in the middle would make those behind it unreadable.
            let _ = self.file.set_len(self.len * RECORD as u64);
            return Err(Error::Apart { path: self.path.clone(), source });
        }
        self.len += destroyed.len() as u64;
        Ok(self.len)
    }

    /// The records from a place on.
    pub(crate) fn since(&mut self, followed: u64) -> Result<Vec<Destroyed>> {
        let mut bytes = Vec::new();
        self.file
            .seek(SeekFrom::Start(followed * RECORD as u64))
            .and_then(|_| self.file.read_to_end(&mut bytes))
            .map_err(|source| Error::Apart { path: self.path.clone(), source })?;
        let (records, _) = bytes.as_chunks::<RECORD>();
        let read = records.iter().zip(followed..).map(|(record, place)| {
            let one = Destroyed {
                project: ProjectId(u32::from_le_bytes(*record.first_chunk().expect("a record has 32 bytes"))),
                subject: SubjectNo(u32::from_le_bytes(*record[4..].first_chunk().expect("a record has 32 bytes"))),
                mark: *record[8..].first_chunk().expect("a record has 32 bytes"),
                time_us: i64::from_le_bytes(*record[12..].first_chunk().expect("a record has 32 bytes")),
            };
            if self.encode(place, &one) != *record {
                return Err(Error::ApartDamaged { path: self.path.clone(), place });
            }
            Ok(one)
        });
        read.collect()
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    fn encode(&self, place: u64, one: &Destroyed) -> [u8; RECORD] {
        let mut out = [0; RECORD];
        out[..4].copy_from_slice(&one.project.0.to_le_bytes());
        out[4..8].copy_from_slice(&one.subject.0.to_le_bytes());
        out[8..12].copy_from_slice(&one.mark);
        out[12..FIXED].copy_from_slice(&one.time_us.to_le_bytes());
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&place.to_le_bytes());
        context.update(&out[..FIXED]);
        out[FIXED..].copy_from_slice(&context.sign().as_ref()[..RECORD - FIXED]);
        out
    }
}
