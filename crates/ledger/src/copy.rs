//! A copy of a log that goes on meanwhile: what a crash would leave, and is recovered from in the same way.
//!
//! The order makes it whole. The checkpoint first: what comes later has its entries. Then the journal, its newest file
//! first: an older one has every entry from before the newer began. Meanwhile no journal file is removed and no tile
//! written, so that the partial tiles are those of the moment. Last the full ones, which hold what the copied journal
//! does not, and never change. What was last seen of the log is its caller's, and belongs before all of this.

use std::io;
use std::path::Path;

use crate::disk::{Disk, LocalDisk};
use crate::{Error, Log, Result, journal};

impl Log {
    /// Copies the log into a new folder on this machine's disk. Entries are taken meanwhile.
    ///
    /// # Errors
    /// When the disk fails; what is at `to` is of no use then.
    pub fn copy_to(&self, to: &Path) -> Result<()> {
        let from = &self.shared.folder;
        let failed = |source| Error::Io { what: "copy the ledger", path: from.clone(), source };
        let _erased = self.shared.erasing.lock().expect("never left half changed");
        {
            let _kept = self.shared.checkpoint_file.lock().expect("never left half changed");
            copy_head(from, to).map_err(failed)?;
            copy_files(&from.join("tile"), &to.join("tile"), is_partial).map_err(failed)?;
        }
        copy_files(&from.join("tile"), &to.join("tile"), |file| !is_partial(file)).map_err(failed)?;
        copy_files(&from.join("blobs"), &to.join("blobs"), |_| true).map_err(failed)
    }
}

fn copy_head(from: &Path, to: &Path) -> io::Result<()> {
    let (journal, target) = (from.join(journal::FOLDER), to.join(journal::FOLDER));
    std::fs::create_dir_all(&target)?;
    match std::fs::copy(from.join("checkpoint"), to.join("checkpoint")) {
        // Nothing was published yet: the journal has everything.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => drop(other?),
    }
    let names = LocalDisk.list(&journal)?;
    for name in names.iter().rev().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
        std::fs::copy(journal.join(name), target.join(name))?;
    }
    Ok(())
}

fn is_partial(file: &Path) -> bool {
    file.parent().is_some_and(|folder| folder.extension().is_some_and(|extension| extension == "p"))
}

/// Files with their final names.
fn copy_files(from: &Path, to: &Path, is_wanted: fn(&Path) -> bool) -> io::Result<()> {
    for name in LocalDisk.list(from)?.into_iter().filter(|name| !name.ends_with(".tmp")) {
        let (path, target) = (from.join(&name), to.join(&name));
        // A folder of partial tiles may go while the full ones are copied.
        if name.ends_with(".p") || path.is_dir() {
            copy_files(&path, &target, is_wanted)?;
        } else if is_wanted(&path) {
            std::fs::create_dir_all(to)?;
            std::fs::copy(&path, target)?;
        }
    }
    Ok(())
}
