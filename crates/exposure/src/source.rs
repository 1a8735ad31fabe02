//! Where entries and subject sets come from.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use cofferdam_ledger::{BlobCommit, Log, Recorded};
use roaring::RoaringBitmap;

use crate::probe;
use crate::{Error, Result};

/// A log of entries, and the sets beside it: [`Log`] is one.
pub trait Source: Send + Sync {
    /// How many entries there are. All of them can be read when this returns.
    ///
    /// # Errors
    /// When they cannot be read in time.
    fn size(&self) -> Result<u64>;

    /// Entries by number, `from` to before `to`.
    ///
    /// # Errors
    /// When one cannot be read.
    fn entries(&self, from: u64, to: u64) -> Result<Vec<Recorded>>;

    /// A subject set, verified; none when it is gone or not as it was written.
    ///
    /// # Errors
    /// When it cannot be read: asking again may help.
    fn set(&self, commit: &BlobCommit) -> Result<Option<RoaringBitmap>>;

    /// Whether a set has one of these subjects; none when it is gone.
    ///
    /// # Errors
    /// When it cannot be read.
    fn set_has(&self, commit: &BlobCommit, subjects: &[u32]) -> Result<Option<bool>>;
}

impl Source for Log {
    fn size(&self) -> Result<u64> {
        let size = Log::size(self);
        self.settle()?;
        Ok(size)
    }

    fn entries(&self, from: u64, to: u64) -> Result<Vec<Recorded>> {
        Ok(Log::entries(self, from, to)?)
    }

    fn set(&self, commit: &BlobCommit) -> Result<Option<RoaringBitmap>> {
        match self.subject_set(commit) {
            Err(error @ cofferdam_ledger::Error::Damaged { .. }) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a disclosure's subjects are not known");
                Ok(None)
            }
            other => Ok(other?),
        }
    }

    fn set_has(&self, commit: &BlobCommit, subjects: &[u32]) -> Result<Option<bool>> {
        let (path, from) = self.subject_set_at(commit);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(Error::io("open a subject set", &path))?,
        };
        let mut read = |bytes: &mut [u8], at: u64| file.read_exact_at(bytes, from + at);
        probe::has(&mut read, commit.bytes, subjects).map(Some).map_err(Error::io("look into a subject set", &path))
    }
}
