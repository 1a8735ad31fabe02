//! Tickets: the right to open personal values once, which exists only after the ledger says that it may be used.

use std::io;
use std::path::{Path, PathBuf};

use cofferdam_model::{FieldSet, OrgId, ProjectId, SubjectNo, limits};
use roaring::RoaringBitmap;

use crate::disk::{Disk, Keep, replace};
use crate::entry::{BlobCommit, Entry, Kind};
use crate::tree::{Hash, sha256};
use crate::{Error, Result};

/// What somebody is about to see.
pub struct Intent {
    pub org: OrgId,
    pub project: ProjectId,
    pub fields: FieldSet,
    /// Subject numbers, each as it stands: a merged person has several.
    pub subjects: RoaringBitmap,
    /// Who, from where and why: pseudonyms, grant, purpose, policy. Kind, project, fields and subjects are set from the
    /// above.
    pub context: Entry,
}

/// The right to open exactly these fields of exactly these subjects, once. Nobody but the ledger makes one, and it does
/// only when the intent is on disk. It cannot be copied, and whoever opens by it takes it.
#[must_use = "a ticket that is dropped has recorded a disclosure that does not happen"]
pub struct DisclosureTicket {
    seq: u64,
    org: OrgId,
    project: ProjectId,
    fields: FieldSet,
    subjects: RoaringBitmap,
}

impl DisclosureTicket {
    pub(crate) fn issue(seq: u64, intent: Intent) -> DisclosureTicket {
        let Intent { org, project, fields, subjects, .. } = intent;
        DisclosureTicket { seq, org, project, fields, subjects }
    }

    /// The intent's number: what the entry about the end of the disclosure refers to.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    pub fn org(&self) -> OrgId {
        self.org
    }

    pub fn project(&self) -> ProjectId {
        self.project
    }

    pub fn fields(&self) -> FieldSet {
        self.fields
    }

    pub fn subjects(&self) -> impl ExactSizeIterator<Item = SubjectNo> + '_ {
        let numbers: Vec<u32> = self.subjects.iter().collect();
        numbers.into_iter().map(SubjectNo)
    }
}

/// The entry of an intent, and the blob beside the log when there are too many subjects for the entry.
pub(crate) fn entry_of(intent: &Intent) -> Result<(Entry, Option<Blob>)> {
    if intent.subjects.is_empty() {
        return Err(Error::NothingToDisclose("subjects"));
    }
    if intent.fields.is_empty() {
        return Err(Error::NothingToDisclose("fields"));
    }
    let mut entry = Entry {
        kind: Kind::Intent,
        object: u64::from(intent.project.0),
        fields: intent.fields,
        count: intent.subjects.len(),
        blob: None,
        extra: Vec::new(),
        ..intent.context.clone()
    };
    if intent.subjects.len() <= limits::LEDGER_INLINE_SUBJECTS_MAX {
        entry.extra = intent.subjects.iter().flat_map(u32::to_be_bytes).collect();
        return Ok((entry, None));
    }
    let blob = Blob::of(&intent.subjects)?;
    entry.blob = Some(blob.commit());
    Ok((entry, Some(blob)))
}

/// Salt and bitmap of a subject set (the portable Roaring format). The salt is as secret as the set: without it the hash
/// in the log cannot be tried against guesses once the blob is erased.
pub(crate) struct Blob(Vec<u8>);

pub(crate) const SALT_BYTES: usize = 32;

impl Blob {
    fn of(subjects: &RoaringBitmap) -> Result<Blob> {
        let bytes = subjects.serialized_size();
        if bytes > limits::LEDGER_BLOB_BYTES_MAX {
            return Err(Error::TooLarge { bytes, bytes_max: limits::LEDGER_BLOB_BYTES_MAX });
        }
        let mut out = vec![0; SALT_BYTES];
        aws_lc_rs::rand::fill(&mut out).expect("the system has randomness");
        subjects.serialize_into(&mut out).expect("writing to memory does not fail");
        Ok(Blob(out))
    }

    pub(crate) fn commit(&self) -> BlobCommit {
        BlobCommit { hash: sha256(&self.0), bytes: (self.0.len() - SALT_BYTES) as u64 }
    }

    /// Durable when this returns.
    pub(crate) fn write(&self, disk: &dyn Disk, ledger: &Path) -> io::Result<()> {
        replace(disk, &blob_path(ledger, &self.commit().hash), &self.0, Keep::Durable)
    }
}

/// Where a blob lies: by its hash, in 256 folders.
pub(crate) fn blob_path(ledger: &Path, hash: &Hash) -> PathBuf {
    let name: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    ledger.join("blobs").join(&name[..2]).join(name)
}

/// The subjects of an intent's entry; `None` when they were erased. What does not match the entry is an error.
pub(crate) fn subjects_of(disk: &dyn Disk, ledger: &Path, entry: &Entry) -> Result<Option<RoaringBitmap>, String> {
    let subjects = match &entry.blob {
        None => {
            let (numbers, rest) = entry.extra.as_chunks::<4>();
            let numbers: Vec<u32> = numbers.iter().map(|bytes| u32::from_be_bytes(*bytes)).collect();
            if !rest.is_empty() || !numbers.is_sorted_by(|a, b| a < b) {
                return Err("its subjects are no ascending numbers".to_owned());
            }
            numbers.into_iter().collect::<RoaringBitmap>()
        }
        Some(commit) => match set_of(disk, ledger, commit) {
            Ok(None) => return Ok(None),
            Ok(Some(subjects)) => subjects,
            Err(Error::Io { source, .. }) => return Err(format!("its subject set cannot be read: {source}")),
            Err(_) => return Err("its subject set was changed".to_owned()),
        },
    };
    match subjects.len() == entry.count {
        true => Ok(Some(subjects)),
        false => Err("it counts other subjects than it names".to_owned()),
    }
}

/// A subject set beside the log; `None` when it was erased.
pub(crate) fn set_of(disk: &dyn Disk, ledger: &Path, commit: &BlobCommit) -> Result<Option<RoaringBitmap>> {
    let path = blob_path(ledger, &commit.hash);
    let bytes = match disk.read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(Error::io("read a subject set", &path))?,
    };
    let changed = || Error::Damaged { what: "a subject set was changed".to_owned() };
    if bytes.len() < SALT_BYTES {
        return Err(changed());
    }
    let blob = Blob(bytes);
    if blob.commit() != *commit {
        return Err(changed());
    }
    RoaringBitmap::deserialize_from(&blob.0[SALT_BYTES..]).map(Some).map_err(|_| changed())
}
