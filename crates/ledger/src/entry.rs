//! Entries: what the ledger says happened.
//!
//! An entry has numbers, keyed pseudonyms and hashes, and no text: nothing in it can name a person, and nothing
//! somebody typed can reach a terminal through it. Its encoding is unique (see [`crate::cbor`]).

use cofferdam_model::{FieldSet, limits};

use crate::cbor::{MapWriter, Value, read_map};
use crate::{Error, Result};

/// A keyed pseudonym: the same for the same member, session, address, and of no use without the vault's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pseudonym(pub [u8; 16]);

impl Pseudonym {
    /// The first half of a keyed fingerprint.
    pub fn of(print: &[u8; 32]) -> Pseudonym {
        Pseudonym(*print.first_chunk().expect("a fingerprint has 32 bytes"))
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What an entry records. The numbers are stored: they never change, and none is used twice.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Kind { $($(#[$doc])* $name = $number,)* }

        impl Kind {
            pub const ALL: &[Kind] = &[$(Kind::$name,)*];
        }
    };
}

kinds! {
    SetUp = 1,
    SignedIn = 2,
    SignInRefused = 3,
    SignedOut = 4,
    ProjectCreated = 5,
    SteppedUp = 6,
    StepUpRefused = 7,
    GrantRequested = 10,
    GrantApproved = 11,
    GrantDenied = 12,
    /// A disclosure may happen: written before it does.
    Intent = 13,
    /// The disclosure of `refers_to` ended; `count` rows went out.
    Done = 14,
    /// The disclosure of `refers_to` was broken off after `count` rows.
    Aborted = 15,
    /// Somebody asked for personal values they may not have.
    DisclosureRefused = 16,
    /// Somebody looked for persons by an address; `count` were found.
    Sought = 17,
    VendorSent = 20,
    VendorAcknowledged = 21,
    VendorDeletionAttested = 22,
    Locked = 30,
    Unlocked = 31,
    AllRevoked = 32,
    AllReset = 33,
    AddressBlocked = 34,
    BreakerTripped = 35,
    BreakerClosed = 36,
    HoneyTouched = 37,
    /// `count` subjects are to be erased: written before anything of them is destroyed.
    Shredded = 40,
    Sealed = 41,
    Unsealed = 42,
    Rekeyed = 43,
    Restored = 44,
    /// The subject set of entry `refers_to` was erased; that it was there, and its size, stay.
    SubjectsErased = 45,
    BackedUp = 46,
    /// The erasure of `refers_to` is done; `extra` is the SHA-256 of the statement that is its certificate.
    Erased = 47,
    PolicyChanged = 50,
    RoleChanged = 51,
    IncidentOpened = 60,
    IncidentScoped = 61,
    IncidentClosed = 62,
    /// Incident `grant` is to be contained: `count` entries about what is locked and who signs in anew come right after.
    IncidentContained = 63,
    NoticeWorded = 70,
    NoticeSent = 71,
    DrillStarted = 80,
    DrillEnded = 81,
    /// `count` further refusals of the actor that have no entry of their own.
    RefusalsCounted = 90,
    /// The tracking plan of project `object` is to change: `extra` is a keyed hash of the plan that is then in force.
    PlanSet = 130,
    /// The stored events of project `object` were looked through: `count` persons have something in them that would be
    /// stopped today. `extra`, big-endian: events looked at (8 bytes), properties and kinds found (8), the kinds, a bit
    /// for the number of each (8).
    HistorySearched = 131,
    /// A property is to leave the stored events of project `object`, of `count` persons. `extra`, big-endian: its keyed
    /// name (16 bytes), the number of its class (1), values in events (8), disclosures that have carried it (4), and the
    /// newest of these by their entries (8 each).
    HistoryRemoved = 132,
    /// A property is to leave the quarantine of project `object` for the plan, with `count` values: `extra` is its keyed
    /// name (16 bytes) and the number of its class (1).
    QuarantineReleased = 133,
    /// The `count` quarantined values of a property of project `object` are to be destroyed: `extra` is its keyed name.
    QuarantinePurged = 134,
    /// A merge in project `object` is to be undone: `extra` has its two subjects, four bytes each, big-endian.
    Unmerged = 135,
    MemberInvited = 100,
    MemberJoined = 101,
    MemberRemoved = 102,
    PasskeyAdded = 103,
    PasskeyRemoved = 104,
    /// A passkey's counter did not go up: somebody has a copy of it, or tried.
    PasskeyCopied = 105,
    RecoveryCodesMade = 106,
    RecoveryCodeUsed = 107,
    /// A session was ended from another; `object` is its number, `count` how many were.
    SessionEnded = 108,
    TokenMade = 109,
    TokenRotated = 110,
    TokenRevoked = 111,
    /// A token came from an address it may not come from.
    TokenRefused = 112,
    /// Something waits for a second person; `object` is its number.
    ApprovalAsked = 113,
    ApprovalGiven = 114,
    ApprovalDeclined = 115,
    /// There was no second person, and the time for one is over.
    SelfApproved = 116,
    OrganisationCreated = 117,
    /// Nobody else could approve the request of `refers_to`: a delay passes instead.
    GrantSelfApproved = 118,
    /// A session is used by another browser than it was opened in.
    SessionElsewhere = 125,
    /// A member is about to have another password.
    PasswordChanged = 126,
    /// A member is about to have another authenticator app.
    AuthenticatorChanged = 127,
    /// The request of `refers_to` was not run in time.
    GrantExpired = 119,
    /// Whoever made the request of `refers_to` took it back.
    GrantWithdrawn = 150,
}

impl Kind {
    /// Containment: it goes before everything else, and has room on a full disk.
    pub fn is_control(self) -> bool {
        matches!(
            self,
            Kind::Locked
                | Kind::AllRevoked
                | Kind::AllReset
                | Kind::AddressBlocked
                | Kind::BreakerTripped
                | Kind::HoneyTouched
                | Kind::Shredded
                | Kind::Sealed
                | Kind::IncidentOpened
                | Kind::IncidentScoped
                | Kind::IncidentClosed
                | Kind::IncidentContained
        )
    }

    /// Something that whoever is refused can repeat at will: beyond a few it is counted rather than listed.
    pub fn is_refusal(self) -> bool {
        matches!(
            self,
            Kind::SignInRefused
                | Kind::StepUpRefused
                | Kind::DisclosureRefused
                | Kind::PasskeyCopied
                | Kind::TokenRefused
        )
    }

    fn from_number(number: u64) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| *kind as u64 == number)
    }
}

/// A subject set beside the log: SHA-256 of salt and bitmap, and the bitmap's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobCommit {
    pub hash: [u8; 32],
    pub bytes: u64,
}

/// What an entry says, before it has its number and time: `Entry { actor, ..Entry::of(Kind::SignedIn) }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    pub org: Option<Pseudonym>,
    pub actor: Option<Pseudonym>,
    pub session: Option<Pseudonym>,
    pub token: Option<Pseudonym>,
    pub ip: Option<Pseudonym>,
    pub device: Option<Pseudonym>,
    /// What it was done to, by number: a project, 0 when nothing.
    pub object: u64,
    /// Grant, export, incident or notice that it belongs to; 0 when none.
    pub grant: u64,
    /// Why, by the number of a purpose; 0 when none was asked for.
    pub purpose: u64,
    pub fields: FieldSet,
    /// Subjects of a disclosure, rows that went out, refusals counted.
    pub count: u64,
    pub blob: Option<BlobCommit>,
    /// SHA-256 of the policy that allowed it.
    pub policy: Option<[u8; 32]>,
    /// An earlier entry that it is about.
    pub refers_to: Option<u64>,
    /// Up to [`limits::LEDGER_EXTRA_BYTES_MAX`] bytes that belong to the kind: for a disclosure of few subjects their
    /// numbers, four bytes each, big-endian, ascending.
    pub extra: Vec<u8>,
}

impl Entry {
    pub fn of(kind: Kind) -> Entry {
        Entry {
            kind,
            org: None,
            actor: None,
            session: None,
            token: None,
            ip: None,
            device: None,
            object: 0,
            grant: 0,
            purpose: 0,
            fields: FieldSet::EMPTY,
            count: 0,
            blob: None,
            policy: None,
            refers_to: None,
            extra: Vec::new(),
        }
    }
}

/// An entry as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Place in the log, from 0: what orders entries.
    pub seq: u64,
    /// Microseconds that never go back, whatever the wall clock does.
    pub mono_us: u64,
    /// The wall clock: microseconds since 1970-01-01 UTC.
    pub time_us: u64,
    /// Between the entry before and this one the wall clock was set.
    pub is_clock_stepped: bool,
    pub entry: Entry,
}

const VERSION: u64 = 1;

// Keys of the map. They are stored: none changes its meaning.
const K_VERSION: u64 = 1;
const K_SEQ: u64 = 2;
const K_MONO: u64 = 3;
const K_TIME: u64 = 4;
const K_KIND: u64 = 5;
const K_ORG: u64 = 6;
const K_ACTOR: u64 = 7;
const K_SESSION: u64 = 8;
const K_TOKEN: u64 = 9;
const K_IP: u64 = 10;
const K_DEVICE: u64 = 11;
const K_GRANT: u64 = 12;
const K_PURPOSE: u64 = 13;
const K_FIELDS: u64 = 14;
const K_COUNT: u64 = 15;
const K_BLOB_HASH: u64 = 16;
const K_BLOB_BYTES: u64 = 17;
const K_POLICY: u64 = 18;
const K_EXTRA: u64 = 19;
const K_OBJECT: u64 = 20;
const K_REFERS_TO: u64 = 21;
const K_CLOCK_STEPPED: u64 = 22;

/// Whether an entry may be written at all: looked at before it waits for the disk.
pub(crate) fn check(entry: &Entry) -> Result<()> {
    if entry.extra.len() > limits::LEDGER_EXTRA_BYTES_MAX && !cofferdam_model::sabotage::is_out(53) {
        return Err(Error::TooLarge { bytes: entry.extra.len(), bytes_max: limits::LEDGER_EXTRA_BYTES_MAX });
    }
    Ok(())
}

impl Recorded {
    pub fn encode(&self) -> Vec<u8> {
        let Recorded { seq, mono_us, time_us, is_clock_stepped, entry } = self;
        let mut map = MapWriter::new();
        map.unsigned(K_VERSION, VERSION);
        map.unsigned(K_SEQ, *seq);
        map.unsigned(K_MONO, *mono_us);
        map.unsigned(K_TIME, *time_us);
        map.unsigned(K_KIND, entry.kind as u64);
        let pseudonyms = [
            (K_ORG, entry.org),
            (K_ACTOR, entry.actor),
            (K_SESSION, entry.session),
            (K_TOKEN, entry.token),
            (K_IP, entry.ip),
            (K_DEVICE, entry.device),
        ];
        for (key, pseudonym) in pseudonyms {
            if let Some(Pseudonym(bytes)) = pseudonym {
                map.bytes(key, &bytes);
            }
        }
        map.unless_zero(K_GRANT, entry.grant);
        map.unless_zero(K_PURPOSE, entry.purpose);
        map.unless_zero(K_FIELDS, entry.fields.0);
        map.unless_zero(K_COUNT, entry.count);
        if let Some(blob) = &entry.blob {
            map.bytes(K_BLOB_HASH, &blob.hash);
            map.unsigned(K_BLOB_BYTES, blob.bytes);
        }
        if let Some(policy) = &entry.policy {
            map.bytes(K_POLICY, policy);
        }
        if !entry.extra.is_empty() {
            map.bytes(K_EXTRA, &entry.extra);
        }
        map.unless_zero(K_OBJECT, entry.object);
        if let Some(seq) = entry.refers_to {
            map.unsigned(K_REFERS_TO, seq);
        }
        map.unless_zero(K_CLOCK_STEPPED, u64::from(*is_clock_stepped));
        map.finish()
    }

    /// Reads an entry; `None` when it is not exactly what [`Recorded::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Option<Recorded> {
        if bytes.len() > limits::LEDGER_ENTRY_BYTES_MAX {
            return None;
        }
        let mut recorded =
            Recorded { seq: 0, mono_us: 0, time_us: 0, is_clock_stepped: false, entry: Entry::of(Kind::SetUp) };
        let entry = &mut recorded.entry;
        let (mut version, mut kind, mut blob_bytes, mut needed) = (None, None, None, 0);
        for (key, value) in read_map(bytes)? {
            match (key, value) {
                (K_VERSION, Value::Unsigned(value)) => version = Some(value),
                (K_SEQ, Value::Unsigned(value)) => (recorded.seq, needed) = (value, needed + 1),
                (K_MONO, Value::Unsigned(value)) => (recorded.mono_us, needed) = (value, needed + 1),
                (K_TIME, Value::Unsigned(value)) => (recorded.time_us, needed) = (value, needed + 1),
                (K_KIND, Value::Unsigned(value)) => kind = Some(Kind::from_number(value)?),
                (K_ORG, Value::Bytes(value)) => entry.org = Some(Pseudonym(value.try_into().ok()?)),
                (K_ACTOR, Value::Bytes(value)) => entry.actor = Some(Pseudonym(value.try_into().ok()?)),
                (K_SESSION, Value::Bytes(value)) => entry.session = Some(Pseudonym(value.try_into().ok()?)),
                (K_TOKEN, Value::Bytes(value)) => entry.token = Some(Pseudonym(value.try_into().ok()?)),
                (K_IP, Value::Bytes(value)) => entry.ip = Some(Pseudonym(value.try_into().ok()?)),
                (K_DEVICE, Value::Bytes(value)) => entry.device = Some(Pseudonym(value.try_into().ok()?)),
                (K_GRANT, Value::Unsigned(value @ 1..)) => entry.grant = value,
                (K_PURPOSE, Value::Unsigned(value @ 1..)) => entry.purpose = value,
                (K_FIELDS, Value::Unsigned(value @ 1..)) => entry.fields = FieldSet(value),
                (K_COUNT, Value::Unsigned(value @ 1..)) => entry.count = value,
                (K_BLOB_HASH, Value::Bytes(value)) => {
                    entry.blob = Some(BlobCommit { hash: value.try_into().ok()?, bytes: 0 });
                }
                (K_BLOB_BYTES, Value::Unsigned(value)) => blob_bytes = Some(value),
                (K_POLICY, Value::Bytes(value)) => entry.policy = Some(value.try_into().ok()?),
                (K_EXTRA, Value::Bytes(value)) if !value.is_empty() => entry.extra = value.to_vec(),
                (K_OBJECT, Value::Unsigned(value @ 1..)) => entry.object = value,
                (K_REFERS_TO, Value::Unsigned(value)) => entry.refers_to = Some(value),
                (K_CLOCK_STEPPED, Value::Unsigned(1)) => recorded.is_clock_stepped = true,
                _ => return None,
            }
        }
        entry.kind = kind?;
        match (&mut entry.blob, blob_bytes) {
            (Some(blob), Some(bytes)) => blob.bytes = bytes,
            (None, None) => {}
            _ => return None,
        }
        let is_sound = version == Some(VERSION) && needed == 3 && entry.extra.len() <= limits::LEDGER_EXTRA_BYTES_MAX;
        is_sound.then_some(recorded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As large as an entry can be.
    pub(crate) fn fullest() -> Recorded {
        let pseudonym = Some(Pseudonym([0xff; 16]));
        let most = u64::MAX;
        Recorded {
            seq: most,
            mono_us: most,
            time_us: most,
            is_clock_stepped: true,
            entry: Entry {
                kind: Kind::RefusalsCounted,
                org: pseudonym,
                actor: pseudonym,
                session: pseudonym,
                token: pseudonym,
                ip: pseudonym,
                device: pseudonym,
                object: most,
                grant: most,
                purpose: most,
                fields: FieldSet(most),
                count: most,
                blob: Some(BlobCommit { hash: [0xff; 32], bytes: most }),
                policy: Some([0xff; 32]),
                refers_to: Some(most),
                extra: vec![0xff; limits::LEDGER_EXTRA_BYTES_MAX],
            },
        }
    }

    #[test]
    fn the_fullest_entry_is_within_its_limit_and_reads_back() {
        let bytes = fullest().encode();
        assert!(bytes.len() <= limits::LEDGER_ENTRY_BYTES_MAX, "{}", bytes.len());
        assert_eq!(Recorded::decode(&bytes), Some(fullest()));
        let least = Recorded { seq: 0, mono_us: 0, time_us: 0, is_clock_stepped: false, entry: Entry::of(Kind::SetUp) };
        assert_eq!(Recorded::decode(&least.encode()), Some(least));
    }

    #[test]
    fn what_reads_as_an_entry_is_written_the_same_and_every_cut_is_refused() {
        let bytes = fullest().encode();
        for at in 0..bytes.len() {
            assert_eq!(Recorded::decode(&bytes[..at]), None);
            let mut changed = bytes.clone();
            changed[at] ^= 0x20;
            if let Some(read) = Recorded::decode(&changed) {
                assert_eq!(read.encode(), changed);
            }
        }
    }

    #[test]
    fn too_much_extra_is_refused_before_it_waits_for_the_disk() {
        let entry = Entry { extra: vec![0; limits::LEDGER_EXTRA_BYTES_MAX + 1], ..Entry::of(Kind::Done) };
        assert!(matches!(check(&entry), Err(Error::TooLarge { .. })));
        assert!(check(&Entry { extra: vec![0; limits::LEDGER_EXTRA_BYTES_MAX], ..entry }).is_ok());
    }

    #[test]
    fn kinds_have_numbers_of_their_own() {
        let mut numbers: Vec<u8> = Kind::ALL.iter().map(|kind| *kind as u8).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), Kind::ALL.len());
    }
}
