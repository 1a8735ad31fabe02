//! A disk for tests of the ledger that does what it is told to: works, fails, hangs or is full. Everything else is this
//! machine's.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use cofferdam_ledger::disk::{Disk, DiskFile, LocalDisk};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Works,
    /// Syncs fail.
    Fails,
    /// Syncs wait until it is told something else.
    Hangs,
    /// No new files.
    Full,
}

#[derive(Clone, Default)]
pub(crate) struct BadDisk(Arc<(Mutex<Mode>, Condvar)>);

impl BadDisk {
    pub(crate) fn set(&self, mode: Mode) {
        *self.0.0.lock().expect("never left half changed") = mode;
        self.0.1.notify_all();
    }

    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(BadFile(file, self.clone()))
    }
}

struct BadFile(Box<dyn DiskFile>, BadDisk);

impl Disk for BadDisk {
    fn create_folders(&self, path: &Path) -> io::Result<()> {
        LocalDisk.create_folders(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        LocalDisk.list(folder)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        LocalDisk.read(path)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        if *self.0.0.lock().expect("never left half changed") == Mode::Full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(self.file(LocalDisk.create(path)?))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(LocalDisk.open(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        LocalDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove(path)
    }
    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove_folder(path)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        LocalDisk.sync_folder(path)
    }
}

impl DiskFile for BadFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        let (mode, changed) = &*self.1.0;
        let mode = mode.lock().expect("never left half changed");
        let mode = *changed.wait_while(mode, |mode| *mode == Mode::Hangs).expect("never left half changed");
        match mode {
            Mode::Fails => Err(io::Error::from_raw_os_error(5)),
            _ => self.0.sync(),
        }
    }
}
