//! Hot columns: what queries read of segment files, as mapped arrays derived from the Parquet truth.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::Result;
use crate::disk::Disk;

/// Where hot columns are kept, shared by all segments.
pub(crate) struct HotStore {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: PathBuf,
    /// Property columns on disk beyond this are removed, the least recently used first.
    pub(crate) budget_bytes: u64,
}

impl HotStore {
    /// Takes over the folder, which is made if it is not there.
    pub(crate) fn open(disk: Arc<dyn Disk>, folder: PathBuf, budget_bytes: u64) -> Result<Arc<HotStore>> {
        Ok(Arc::new(HotStore { disk, folder, budget_bytes }))
    }
}

/// One lazily loaded part of a segment.
pub(crate) struct Slot<T> {
    loaded: Mutex<Option<T>>,
}

impl<T: Clone> Slot<T> {
    pub(crate) fn empty() -> Slot<T> {
        Slot { loaded: Mutex::new(None) }
    }

    pub(crate) fn get(&self, load: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut loaded = self.loaded.lock().expect("never left half changed");
        if let Some(loaded) = &*loaded {
            return Ok(loaded.clone());
        }
        let value = load()?;
        *loaded = Some(value.clone());
        Ok(value)
    }
}
