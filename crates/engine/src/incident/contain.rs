//! Containment: everything that an incident names is stopped, by one act.
//!
//! Members, sessions, tokens, grants, addresses and networks are locked, running streams end before their next piece,
//! and staff have to show what they sign in with anew. The ledger has all of it, in entries that go before everything
//! else and have room on a full disk, before the first effect. Stopping takes one person; opening again takes two, by
//! the locks that it made.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::lock::LockTarget;

/// Who has to sign in anew: sessions and tokens from before are over, recovery codes void. Passkeys stay, and whoever
/// has one signs in with that alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "who", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reset {
    #[default]
    Nobody,
    Members {
        members: Vec<u32>,
    },
    Everybody,
}

/// What is to be contained.
#[derive(Clone, Debug, Default)]
pub struct Contain {
    /// Whatever the disclosures of the incident's newest scope name.
    pub from_scope: bool,
    pub targets: Vec<LockTarget>,
    pub reset: Reset,
    /// Members whose passkeys may be in other hands: they are removed.
    pub suspect_passkeys: Vec<u32>,
}

/// Why something that was meant is not locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    /// Whoever contains comes from there.
    OwnAddress,
    /// It is whoever contains.
    Yourself,
    /// Nobody would be left who can open it again: they have to sign in anew instead.
    NobodyCouldUnlock,
    /// It is locked already.
    Locked,
    /// It is over already.
    Over,
}

/// Something that the incident's scope names.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect {
    pub target: LockTarget,
    /// Of a member or a token, as their organisation knows them.
    pub name: Option<String>,
    /// How many disclosures of the scope name it.
    pub disclosures: u64,
    pub left_out: Option<LeftOut>,
}

/// One act of containment, as it is kept with the incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = IncidentContainment)]
pub struct Containment {
    /// Who; nobody for whoever runs the server.
    pub by: Option<u32>,
    /// When nothing went any more, and how long that took from the request.
    pub contained_us: i64,
    pub took_us: u64,
    /// The first entry of the ledger about it; the others follow and refer to it.
    pub entry: u64,
    /// Numbers of the locks: each is opened by two people.
    pub locks: Vec<u64>,
    /// Streams that were broken off.
    pub streams: u32,
    pub sessions: u64,
    pub tokens: u64,
    pub recovery_codes: u64,
    pub passkeys: u64,
}
