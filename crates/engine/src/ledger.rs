//! The engine's ledger: where it lies, who signs it, what was last seen of it, and entries about members.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cofferdam_ledger::disk::{Keep, LocalDisk, replace};
use cofferdam_ledger::{Clock, Entry, Kind, LastSeen, Log, Options, Pseudonym, WitnessLink, signing_key, verify};
use cofferdam_vault::{RootKey, Site, Vault};
use serde::Serialize;
use tokio::sync::mpsc;
use utoipa::ToSchema;

use crate::{Engine, Error, Result};

/// How a reading of the whole ledger goes.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Verification {
    Progress {
        /// Entries that were read.
        entries: u64,
        of: u64,
    },
    End(LedgerVerified),
    Failed {
        message: String,
    },
}

/// What a reading of the whole ledger found.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LedgerVerified {
    /// Every entry is the one that was signed, in its place, and every subject set is the one that its entry names.
    pub is_sound: bool,
    /// Entries under the signed checkpoint, and those after it.
    pub entries: u64,
    pub unpublished: u64,
    /// Root of the tree over the entries, base 64.
    pub root: String,
    /// The newest checkpoint, with its signatures: to keep, and to compare.
    pub checkpoint: String,
    /// What verifies it.
    pub key: String,
    /// Subject sets that were erased, with entries that say so.
    pub erased: u64,
    /// What is not as it was written, by the number of its entry; 100 at most.
    pub wrong: Vec<String>,
}

/// Between two messages of a reading of the whole ledger.
const TOLD_EVERY: std::time::Duration = std::time::Duration::from_millis(100);

fn seed(vault: &Vault) -> [u8; 32] {
    vault.fingerprint("ledger signing key", b"")
}

/// Size and root of the ledger when it was last signed, sealed: in the data folder and not in the ledger's, so that a
/// copy of the ledger alone does not bring it along, and nobody without the root key writes another.
struct SealedSeen {
    path: PathBuf,
    vault: Arc<Vault>,
}

const SEEN: &str = "ledger seen";
const SEEN_FILE: &str = "ledger-seen";

impl LastSeen for SealedSeen {
    fn load(&self) -> io::Result<Option<(u64, [u8; 32])>> {
        let sealed = match std::fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let not_ours = || io::Error::new(io::ErrorKind::InvalidData, "it was not written by this installation");
        let opened = self.vault.open_secret(SEEN, 0, &sealed).map_err(|_| not_ours())?;
        let (size, root) = opened.split_first_chunk::<8>().ok_or_else(not_ours)?;
        Ok(Some((u64::from_be_bytes(*size), root.try_into().map_err(|_| not_ours())?)))
    }

    fn store(&self, size: u64, root: &[u8; 32]) -> io::Result<()> {
        let sealed = self.vault.seal_secret(SEEN, 0, &[&size.to_be_bytes()[..], root].concat());
        replace(&LocalDisk, &self.path, &sealed, Keep::Durable)
    }
}

fn seen(folder: &Path, vault: &Arc<Vault>) -> SealedSeen {
    SealedSeen { path: folder.join(SEEN_FILE), vault: vault.clone() }
}

pub(crate) async fn open(
    folder: &Path,
    vault: &Arc<Vault>,
    clock: Clock,
    witnesses: Vec<WitnessLink>,
) -> Result<Arc<Log>> {
    let last_seen = Arc::new(seen(folder, vault));
    let options = Options { witnesses, ..Options::new(&folder.join("ledger"), &seed(vault), clock, last_seen) };
    let opened = tokio::task::spawn_blocking(move || Log::open(options)).await;
    Ok(Arc::new(opened.map_err(|_| Error::Interrupted)??))
}

/// Writes an entry into the ledger of an installation that is not running, and closes it: whatever else has the vault
/// is gone when this returns.
pub(crate) async fn append(folder: &Path, vault: &Arc<Vault>, clock: Clock, entry: Entry) -> Result<()> {
    let log = open(folder, vault, clock, Vec::new()).await?;
    log.append_async(entry).await?;
    tokio::task::spawn_blocking(move || drop(log)).await.map_err(|_| Error::Interrupted)
}

/// Copies the ledger of a server that runs, for a backup. What was last seen of it goes first: the copy of the ledger
/// has that much and perhaps more, as after a crash.
pub(crate) async fn copy(folder: &Path, log: &Arc<Log>, to: &Path) -> Result<()> {
    let (seen, log, to) = (folder.join(SEEN_FILE), log.clone(), to.to_owned());
    let copied = tokio::task::spawn_blocking(move || {
        std::fs::copy(&seen, to.join(SEEN_FILE)).map_err(|source| cofferdam_ledger::Error::Io {
            what: "copy what was last seen of the ledger",
            path: seen,
            source,
        })?;
        log.copy_to(&to.join("ledger"))
    });
    Ok(copied.await.map_err(|_| Error::Interrupted)??)
}

/// Verifies the whole ledger of an installation that is not running, against what was last seen of it too.
pub(crate) fn verify(folder: &Path, vault: &Arc<Vault>) -> cofferdam_ledger::Result<verify::Verified> {
    let key = signing_key(&seed(vault))?;
    let mut verified = verify::verify(&folder.join("ledger"), key.key())?;
    let path = folder.join(SEEN_FILE);
    let load = seen(folder, vault).load();
    let load = load.map_err(|source| cofferdam_ledger::Error::Io { what: "read what was last seen", path, source })?;
    let found = verified.entries + verified.unpublished;
    let error = match load {
        Some((seen, _)) if seen > found => cofferdam_ledger::Error::RolledBack { seen, found },
        None if found > 0 => cofferdam_ledger::Error::NothingSeen,
        _ => return Ok(verified),
    };
    verified.wrong.push(verify::Wrong { seq: None, what: error.to_string() });
    Ok(verified)
}

impl Engine {
    /// Writes a ledger entry. The actor is a keyed pseudonym of the member's number.
    pub(crate) async fn record(&self, kind: Kind, member: Option<u32>, object: u32) -> Result<()> {
        let actor = member.map(|member| self.actor(member));
        self.ledger.append_async(Entry { actor, object: u64::from(object), ..Entry::of(kind) }).await?;
        Ok(())
    }

    /// Writes down that somebody asked for personal values they may not have.
    pub async fn refused_disclosure(&self, entry: Entry) -> Result<()> {
        self.ledger.append_async(entry).await?;
        Ok(())
    }

    /// Writes an entry about a member that no session of theirs is behind.
    pub(crate) async fn record_object(&self, kind: Kind, member: u32, object: u64) -> Result<()> {
        self.ledger.append_async(Entry { actor: Some(self.actor(member)), object, ..Entry::of(kind) }).await?;
        Ok(())
    }

    /// The head of an entry about what a member did; `None` for whoever runs the server. Its kind is to be set.
    pub fn acting(&self, member: Option<u32>) -> Entry {
        Entry { actor: member.map(|member| self.actor(member)), ..Entry::of(Kind::SetUp) }
    }

    /// What a member is called in the ledger.
    pub(crate) fn actor(&self, member: u32) -> Pseudonym {
        Pseudonym::of(&self.vault.fingerprint("ledger actor", &member.to_le_bytes()))
    }

    /// Reads the whole ledger, and tells how far it is; the last message says what was found. Whoever drops the
    /// receiver ends it.
    ///
    /// # Errors
    /// [`Error::Busy`] while somebody else does.
    pub fn verify_ledger(&self) -> Result<mpsc::Receiver<Verification>> {
        let turn = self.verifying.clone().try_acquire_owned().map_err(|_| Error::Busy)?;
        let (sender, receiver) = mpsc::channel(16);
        let log = self.ledger.clone();
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let mut told_at = None;
            let verified = log.verify(&mut |entries, of| {
                let is_due = told_at.is_none_or(|at: std::time::Instant| at.elapsed() > TOLD_EVERY);
                if is_due {
                    told_at = Some(std::time::Instant::now());
                    return sender.blocking_send(Verification::Progress { entries, of }).is_ok();
                }
                !sender.is_closed()
            });
            let end = match verified {
                Ok(found) => Verification::End(LedgerVerified {
                    is_sound: found.wrong.is_empty(),
                    entries: found.entries,
                    unpublished: found.unpublished,
                    root: cofferdam_ledger::note::print_hash(&found.root),
                    checkpoint: log.checkpoint(),
                    key: log.key().to_string(),
                    erased: found.erased.len() as u64,
                    wrong: found.wrong.into_iter().map(|wrong| wrong.what).collect(),
                }),
                Err(error) => Verification::Failed { message: error.to_string() },
            };
            // Whoever has gone needs no answer.
            let _ = sender.blocking_send(end);
        });
        Ok(receiver)
    }

    /// The key that verifies the ledger, for whoever keeps it elsewhere.
    pub fn ledger_key(&self) -> String {
        self.ledger.key().to_string()
    }
}

/// The key that verifies the ledger of an installation, and the ledger's folder.
///
/// # Errors
/// When the installation cannot be opened.
pub async fn ledger_of(site: &Site, root: Option<RootKey>) -> Result<(cofferdam_ledger::note::VerifierKey, PathBuf)> {
    let vault = Vault::with_root(site, root).await?;
    Ok((signing_key(&seed(&vault))?.key().clone(), site.folder.join("ledger")))
}
