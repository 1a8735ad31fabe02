//! The ledger: who did what, in a log that shows when it was changed.
//!
//! Entries ([`entry`]) are appended and synced before the act they record goes on. Their hashes form the Merkle tree of
//! RFC 6962 ([`tree`]), kept as C2SP `tlog-tiles` ([`tiles`]) under a signed checkpoint ([`note`]): any client of that
//! format can verify the folder, and [`witness`]es can sign what they have seen of it.
//!
//! Invariants:
//! - No personal data: actors and the like are keyed pseudonyms made by the caller, and there is no text.
//! - What [`Log::append`] answered `Ok` for is on disk, in the journal ([`journal`]). What it refused may be: an entry
//!   can say too much and never too little. It is there once or not at all.
//! - Tiles, bundles and checkpoint are derived from the journal within a moment, and made again when the log is opened.
//! - A log that does not continue what was last seen of it ([`LastSeen`]) does not open.
//! - A [`DisclosureTicket`] exists only after its intent is on disk.
//!
//! What it cannot show alone: a host's owner who holds the signing key and rolls back everything, what was last seen
//! included, can write another history. Witnesses show that.

use std::path::{Path, PathBuf};

mod cap;
mod cbor;
pub mod certificate;
mod copy;
pub mod disk;
pub mod entry;
pub mod export;
mod journal;
mod log;
pub mod note;
mod pending;
mod publish;
mod ticket;
pub mod tiles;
mod time;
pub mod tree;
pub mod verify;
pub mod witness;

pub use entry::{BlobCommit, Entry, Kind, Pseudonym, Recorded};
pub use log::{LastSeen, Log, Options, Receipt, SeenFile, Transport, WitnessLink, signing_key};
pub use roaring::RoaringBitmap;
pub use ticket::{DisclosureTicket, Intent};
pub use time::{Clock, Deadline, Moment};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not {what} at {}", path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the ledger is damaged or was changed: {what}")]
    Damaged { what: String },
    #[error(
        "the ledger was rolled back: it has {found} entries, and {seen} were seen before\nhint: put the newest copy of the ledger's folder back; if there is none, entries are lost for good and whoever relies on them must be told"
    )]
    RolledBack { seen: u64, found: u64 },
    #[error(
        "what was last seen of the ledger is missing\nhint: put `ledger-seen` of the data folder back from the copy that the ledger is from"
    )]
    NothingSeen,
    #[error("the ledger's signing key is not usable")]
    Key,
    #[error("this is not a {what}")]
    Malformed { what: &'static str },
    #[error("the checkpoint is not signed by {key}")]
    NotSigned { key: String },
    #[error("an entry of {bytes} bytes is too large: {bytes_max} are allowed")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("the ledger has no entry {seq}")]
    NoEntry { seq: u64 },
    #[error("a disclosure names no {0}")]
    NothingToDisclose(&'static str),
    #[error("the ledger takes no entries at the moment: {0}")]
    Unavailable(Unavailable),
}

/// Why an entry was not taken. Trying again later helps; what it should have recorded must not happen until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    NoRoom,
    Failed(std::io::ErrorKind),
    Stalled,
    Busy,
    Behind,
    Stopped,
}

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unavailable::NoRoom => f.write_str("its disk is full, and what room is left is for containment"),
            Unavailable::Failed(kind) => write!(f, "its disk failed ({kind})"),
            Unavailable::Stalled => f.write_str("its disk does not answer"),
            Unavailable::Busy => f.write_str("too many entries wait for its disk"),
            Unavailable::Behind => f.write_str("its tiles cannot be written"),
            Unavailable::Stopped => f.write_str("it was closed"),
        }
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Error + 'a {
        move |source| Error::Io { what, path: path.to_owned(), source }
    }
}
