//! The disk as the lake sees it: the few operations that durability is built from, behind one trait, so that a
//! simulated disk with faults can stand in for the real one.
//!
//! What counts on every disk:
//! - Bytes are durable once [`DiskFile::sync`] has answered; a name is durable once its folder was synced.
//! - A rename replaces its target in one step.
//! - Whoever reads a file holds what it was then: a file that may be read is never written to in place, only
//!   replaced or removed. The log is the exception: it grows and is cut, and is not read while it does.
//!
//! It deliberately knows no formats and no checksums.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use bytes::Bytes;

/// Where the lake keeps its files. Paths are whole, folders are separated as the platform does.
pub trait Disk: Send + Sync + 'static {
    /// Makes a folder and those above it; those that exist are left as they are. Durable on return.
    fn create_folders(&self, path: &Path) -> io::Result<()>;
    /// Names of the files and folders in a folder, in no order.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// A new file, or an existing one made empty.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// An existing file, written at its end.
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// A whole file: mapped where the disk can, aligned to 8 bytes.
    fn read(&self, path: &Path) -> io::Result<Bytes>;
    /// Bytes of a file.
    fn len(&self, path: &Path) -> io::Result<u64>;
    /// Cuts a file to `len` bytes; durable on return.
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()>;
    /// Durable once the folder is synced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; durable once the folder is synced.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// A file open for writing.
pub trait DiskFile: io::Write + Send {
    /// Makes everything written so far durable (`fdatasync`).
    fn sync(&mut self) -> io::Result<()>;
}

/// The machine's own disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn create_folders(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.create_folders(above)?;
        match std::fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !path.is_dir() => return Err(error),
            _ => {}
        }
        self.sync_folder(above)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::create(path)?))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().append(true).open(path)?))
    }

    fn read(&self, path: &Path) -> io::Result<Bytes> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Bytes::new());
        }
        map(&file)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(std::fs::metadata(path)?.len())
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(len)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl DiskFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// A file that is made durable a piece at a time. Where a sync of one file waits for what others wrote meanwhile, as a
/// journal may make it, that is a piece and not a whole segment: senders wait for the log's sync.
pub(crate) struct InSteps {
    file: Box<dyn DiskFile>,
    /// Bytes since the last sync.
    written: usize,
}

const STEP_BYTES: usize = 1 << 20;

impl InSteps {
    pub(crate) fn new(file: Box<dyn DiskFile>) -> InSteps {
        InSteps { file, written: 0 }
    }
}

impl io::Write for InSteps {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.written >= STEP_BYTES {
            self.sync()?;
        }
        let written = self.file.write(buffer)?;
        self.written += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DiskFile for InSteps {
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()?;
        self.written = 0;
        Ok(())
    }
}

#[expect(unsafe_code, reason = "a mapping is only as immutable as its file, which no type can prove")]
fn map(file: &File) -> io::Result<Bytes> {
    // SAFETY: the folder belongs to one process, and that process never writes in place to a file that may be
    // read (see the head of this module), so the mapped bytes do not change while they are borrowed.
    let mapped = unsafe { memmap2::Mmap::map(file)? };
    Ok(Bytes::from_owner(mapped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_survives_replacement() {
        let folder = tempfile::tempdir().unwrap();
        let disk = LocalDisk;
        let (first, second) = (folder.path().join("deep/a"), folder.path().join("deep/b"));
        disk.create_folders(&folder.path().join("deep")).unwrap();
        let mut file = disk.create(&first).unwrap();
        file.write_all(b"one").unwrap();
        file.sync().unwrap();
        disk.append(&first).unwrap().write_all(b" two").unwrap();
        let read = disk.read(&first).unwrap();
        assert_eq!(&read[..], b"one two");
        assert_eq!(read.as_ptr() as usize % 8, 0);
        disk.create(&second).unwrap();
        assert!(disk.read(&second).unwrap().is_empty());
        disk.rename(&second, &first).unwrap();
        disk.sync_folder(&folder.path().join("deep")).unwrap();
        assert_eq!(disk.list(&folder.path().join("deep")).unwrap(), ["a"]);
        assert_eq!(&read[..], b"one two", "a reader keeps what it has");
        disk.append(&first).unwrap().write_all(b"12345").unwrap();
        disk.truncate(&first, 2).unwrap();
        assert_eq!(disk.len(&first).unwrap(), 2);
        disk.remove(&first).unwrap();
        assert_eq!(disk.read(&first).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
