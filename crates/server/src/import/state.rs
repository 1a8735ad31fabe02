//! What an import remembers between two runs over one file: how far the server has acknowledged it.
//!
//! Invariants
//! - The state on disk never runs ahead of the server: it is written after the acknowledgement, by temporary
//!   file, fsync and rename, so that it is the old one or the new one and nothing between.
//! - The rejects file is written and synced before the state that counts its lines; on resuming it is cut back
//!   to the length the state knows, so each refused record is in it once.
//! - A state is used only for the file, the target and the mapping it was made with.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::source::{Fingerprint, Position};

const VERSION: u64 = 1;

/// What came of the records so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) read: u64,
    pub(crate) imported: u64,
    /// By reason.
    pub(crate) refused: BTreeMap<String, u64>,
}

impl Tally {
    pub(crate) fn refused_count(&self) -> u64 {
        self.refused.values().sum()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.imported += other.imported;
        for (reason, count) in &other.refused {
            *self.refused.entry(reason.clone()).or_default() += count;
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) file: Fingerprint,
    /// Server and project, and the mapping: hashes, compared and never read.
    pub(crate) target: String,
    pub(crate) mapping: String,
    pub(crate) position: Position,
    pub(crate) tally: Tally,
    pub(crate) rejects_bytes: u64,
    pub(crate) finished: bool,
}

impl State {
    /// `Ok(None)` when there is no state yet.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Option<Self>> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let state = serde_json::from_slice(&text).ok().and_then(|value| Self::from_json(&value));
        state.map(Some).with_context(|| {
            format!(
                "{} is not the state of an import\nhint: --restart begins anew, --state names another file",
                path.display()
            )
        })
    }

    /// Refuses to go on with another file, target or mapping than this state's.
    pub(crate) fn check(&self, path: &Path, file: &Fingerprint, target: &str, mapping: &str) -> anyhow::Result<()> {
        let changed = if self.file != *file {
            "the file has changed since the interrupted import"
        } else if self.target != target {
            "the interrupted import went to another server or project"
        } else if self.mapping != mapping {
            "the interrupted import mapped columns otherwise"
        } else {
            return Ok(());
        };
        bail!(
            "{changed}, as {} says\nhint: --restart begins anew (what is already in is not doubled), --state names another file",
            path.display()
        );
    }

    pub(crate) fn save(&self, path: &Path) -> anyhow::Result<()> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let write = || -> io::Result<()> {
            let mut file = File::create(&temporary)?;
            writeln!(file, "{:#}", self.to_json())?;
            file.sync_all()?;
            std::fs::rename(&temporary, path)?;
            let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()
        };
        write().with_context(|| format!("cannot write the state of the import to {}", path.display()))
    }

    fn to_json(&self) -> Value {
        json!({
            "version": VERSION,
            "file": { "bytes": self.file.bytes, "start_hash": self.file.start_hash },
            "target": self.target,
            "mapping": self.mapping,
            "offset": self.position.offset,
            "lines": self.position.lines,
            "read": self.tally.read,
            "imported": self.tally.imported,
            "refused": self.tally.refused,
            "rejects_bytes": self.rejects_bytes,
            "finished": self.finished,
        })
    }

    fn from_json(value: &Value) -> Option<Self> {
        if value["version"].as_u64()? != VERSION {
            return None;
        }
        let refused = value["refused"].as_object()?;
        Some(Self {
            file: Fingerprint {
                bytes: value["file"]["bytes"].as_u64()?,
                start_hash: value["file"]["start_hash"].as_str()?.to_owned(),
            },
            target: value["target"].as_str()?.to_owned(),
            mapping: value["mapping"].as_str()?.to_owned(),
            position: Position { offset: value["offset"].as_u64()?, lines: value["lines"].as_u64()? },
            tally: Tally {
                read: value["read"].as_u64()?,
                imported: value["imported"].as_u64()?,
                refused: refused.iter().map(|(k, v)| Some((k.clone(), v.as_u64()?))).collect::<Option<_>>()?,
            },
            rejects_bytes: value["rejects_bytes"].as_u64()?,
            finished: value["finished"].as_bool()?,
        })
    }
}

/// A refused record, as it is written down.
pub(crate) struct Reject {
    pub(crate) line: u64,
    pub(crate) reason: String,
    pub(crate) field: Option<String>,
    /// Only when the user has asked for it: it may hold personal data.
    pub(crate) record: Option<String>,
}

/// The rejects file; made with the first reject, readable by its owner only.
pub(crate) struct Rejects {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
}

impl Rejects {
    /// Goes on after the first `bytes` of an earlier run, or begins anew with 0.
    pub(crate) fn open(path: PathBuf, bytes: u64) -> anyhow::Result<Self> {
        let mut rejects = Self { path, file: None, bytes };
        if rejects.path.exists() {
            let file = rejects.create()?;
            // Shortened between the runs: what is missing is not made up for with zeros.
            rejects.bytes = bytes.min(file.metadata().map_or(0, |known| known.len()));
            file.set_len(rejects.bytes).with_context(|| format!("cannot write {}", rejects.path.display()))?;
            rejects.file = (rejects.bytes > 0).then_some(file);
            if rejects.file.is_none() {
                std::fs::remove_file(&rejects.path)
                    .with_context(|| format!("cannot remove {}", rejects.path.display()))?;
            }
        } else if bytes > 0 {
            // Taken away between the runs: what it held is gone, the rest is still written.
            rejects.bytes = 0;
        }
        Ok(rejects)
    }

    fn create(&self) -> anyhow::Result<File> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&self.path).with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Durable when it returns.
    pub(crate) fn append(&mut self, rejects: &[Reject]) -> anyhow::Result<()> {
        if rejects.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            self.file = Some(self.create()?);
        }
        let mut text = Vec::new();
        for reject in rejects {
            let mut line = json!({ "line": reject.line, "reason": reject.reason });
            if let Some(field) = &reject.field {
                line["field"] = Value::from(field.as_str());
            }
            if let Some(record) = &reject.record {
                line["record"] = Value::from(record.as_str());
            }
            text.extend_from_slice(line.to_string().as_bytes());
            text.push(b'\n');
        }
        if let Some(file) = &mut self.file {
            let write = file.write_all(&text).and_then(|()| file.sync_data());
            write.with_context(|| format!("cannot write {}", self.path.display()))?;
        }
        self.bytes += text.len() as u64;
        Ok(())
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
