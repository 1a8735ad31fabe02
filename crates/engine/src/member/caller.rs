//! Who is calling, from where, by which session.

use std::net::IpAddr;

use cofferdam_ledger::{Entry, Kind, Pseudonym};
use cofferdam_model::OrgId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::account::Member;
use crate::token::TokenCaller;
use crate::{Engine, Project};

/// What somebody showed beside their password, or instead of it. The numbers are in the ledger and in databases: none
/// changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// A passkey or security key, with the person verified by it.
    Passkey = 1,
    /// A password and a code of an authenticator app.
    Totp = 2,
    /// A password and a code from the list that was made for the day when the others are lost.
    RecoveryCode = 3,
}

impl Factor {
    pub(crate) fn of_number(number: i64) -> Option<Factor> {
        [Factor::Passkey, Factor::Totp, Factor::RecoveryCode].into_iter().find(|factor| *factor as i64 == number)
    }
}

/// A session: from one sign-in until it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Never given to another session.
    pub number: u64,
    /// Microseconds since 1970-01-01 UTC.
    pub opened_us: i64,
    pub factor: Factor,
}

/// A member who calls. No `Debug`: it holds a name and an address.
#[derive(Clone)]
pub struct Caller {
    pub member: Member,
    pub session: Session,
    /// Where the request came from, when that is known.
    pub ip: Option<IpAddr>,
    /// The browser, by what it keeps from one sign-in to the next.
    pub(crate) device: Option<[u8; 32]>,
}

/// Whom a lock can be about: what a stream keeps to ask again before each of its chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    pub org: OrgId,
    pub member: Option<u32>,
    /// Who made the token that calls.
    pub maker: Option<u32>,
    pub session: Option<u64>,
    pub token: Option<u64>,
    pub grant: Option<u64>,
    pub ip: Option<IpAddr>,
    /// When the session or token began: what locks everybody is about those from before.
    pub since_us: i64,
}

impl Caller {
    pub fn who(&self) -> Who {
        Who {
            org: self.member.org,
            member: Some(self.member.id),
            maker: None,
            session: Some(self.session.number),
            token: None,
            grant: None,
            ip: self.ip,
            since_us: self.session.opened_us,
        }
    }

    /// An entry of the ledger about what this caller does: who, in which session, from which address and browser, all
    /// as keyed pseudonyms.
    pub fn entry(&self, engine: &Engine, kind: Kind) -> Entry {
        let print = |domain, text: &[u8]| Pseudonym::of(&engine.vault.fingerprint(domain, text));
        Entry {
            org: Some(engine.org_pseudonym(self.member.org)),
            actor: Some(engine.actor(self.member.id)),
            session: Some(print("ledger session", &self.session.number.to_le_bytes())),
            ip: self.ip.map(|ip| engine.ip_pseudonym(ip)),
            device: self.device.map(|device| print("ledger device", &device)),
            ..Entry::of(kind)
        }
    }
}

impl TokenCaller {
    pub fn who(&self) -> Who {
        Who {
            org: self.org,
            member: None,
            maker: Some(self.made_by),
            session: None,
            token: Some(self.number),
            grant: None,
            ip: self.ip,
            since_us: self.made_us,
        }
    }

    /// An entry of the ledger about what is done with this token.
    pub fn entry(&self, engine: &Engine, kind: Kind) -> Entry {
        Entry {
            org: Some(engine.org_pseudonym(self.org)),
            token: Some(engine.token_pseudonym(self.number)),
            ip: self.ip.map(|ip| engine.ip_pseudonym(ip)),
            object: u64::from(self.project.0),
            ..Entry::of(kind)
        }
    }
}

impl Engine {
    /// What an organisation is called in the ledger.
    pub fn org_pseudonym(&self, org: OrgId) -> Pseudonym {
        Pseudonym::of(&self.vault.fingerprint("ledger org", &org.0.to_le_bytes()))
    }

    pub fn token_pseudonym(&self, token: u64) -> Pseudonym {
        Pseudonym::of(&self.vault.fingerprint("ledger token", &token.to_le_bytes()))
    }

    pub fn session_pseudonym(&self, session: u64) -> Pseudonym {
        Pseudonym::of(&self.vault.fingerprint("ledger session", &session.to_le_bytes()))
    }

    pub fn ip_pseudonym(&self, ip: IpAddr) -> Pseudonym {
        Pseudonym::of(&self.vault.fingerprint("ledger ip", ip.to_canonical().to_string().as_bytes()))
    }

    /// Whether cells that hold for test projects only hold for this one.
    pub fn is_test(&self, project: &Project) -> bool {
        project.is_test
    }
}
