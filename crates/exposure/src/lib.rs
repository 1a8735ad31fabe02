//! What was exposed, by whom, and about whom: an index of the disclosures that the ledger has.
//!
//! Every intent of the ledger is a record of fixed size ([`record`]); large subject sets stay beside the ledger, and
//! unions of 64, 4,096, … of them that belong to one actor, session, address and so on are kept here ([`rollup`]), so
//! that a question over ten thousand of them reads a few hundred. [`Index::exposed`] answers which subjects, which
//! fields, from when to when; [`Index::disclosures`] lists the disclosures themselves, also those about one person.
//!
//! Invariants:
//! - Derived from the ledger alone, and made again when it is missing or damaged. A roll-up is never needed: without
//!   it the sets it unites are read.
//! - Never short: a question waits until the index has every entry that the ledger had when it was asked. A set that
//!   is gone or was changed is counted by its size.
//! - Exact: a subject and a field are in an answer if and only if an intent within the question has both.
//! - An erased set is in no roll-up, and its bytes are overwritten.
//! - Memory: eight bytes or so for each large disclosure and dimension, and what an answer takes.
//!
//! What it does not do: verify a set against the ledger's hash to find one person ([`Index::disclosures`]): a few bytes
//! of it are read then. [`Index::exposed`] verifies every set and union that it reads.

use std::path::{Path, PathBuf};

mod ask;
mod index;
mod probe;
mod record;
mod rollup;
mod source;

pub use ask::{Exposed, Grant, Moment, Moments, Page, Person, ProjectExposed, Question, Sum, Which};
pub use cofferdam_ledger::{Pseudonym, RoaringBitmap};
pub use index::Index;
pub use record::{By, Disclosure, End};
pub use source::Source;

/// Entries of a roll-up of the first level, and roll-ups of each further one. Wide enough that roll-ups are a small
/// part of what they unite, narrow enough that the edges of a question are 63 sets.
pub const RADIX: u32 = 64;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not {what} at {}", path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the index of disclosures is damaged: {what}")]
    Damaged { what: &'static str },
    #[error("the ledger could not be read")]
    Ledger(#[from] cofferdam_ledger::Error),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Error + 'a {
        move |source| Error::Io { what, path: path.to_owned(), source }
    }
}
