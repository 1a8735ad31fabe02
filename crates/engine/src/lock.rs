//! Locks: whom and what is refused from now on. Every request asks, and every chunk of a stream asks again.
//!
//! A lock is an entry of the ledger first, of the kind that goes before all others and has room on a full disk; then it
//! holds, in memory, whether or not the disk took anything: what stops is not kept from stopping. It is stored last, and
//! is there again after a restart. Asking takes a few look-ups whatever the number of locks. A lock is of one
//! organisation: another's members from the same address are not its business.
//!
//! Locking takes one person, unlocking two, neither of whom is locked. A locked member's tokens are locked with them.
//! What resets a member, or everybody, ends their sessions and tokens from before and voids their recovery codes; those
//! who come after it show a passkey, if they have one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::RwLock;
use std::sync::atomic::Ordering;

use cofferdam_ledger::{Entry, Kind, Pseudonym};
use cofferdam_model::policy::{Control, may};
use cofferdam_model::{Class, Decision, OrgId, Roles, limits};
use cofferdam_vault::Vault;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::approval::{Asked, Wish};
use crate::member::{Caller, SteppedUp, Who};
use crate::meta::{Ended, Meta, RecoveryCodes};
use crate::{Engine, Error, Result, refused};

/// A network of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// Without the bits that do not count.
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// `192.0.2.0/24` or `2001:db8::/32`; an address alone is a network of one.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = text.trim().split_once('/').map_or((text.trim(), None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok()).filter(|bits| *bits <= most)?;
        Some(Network { address: masked(address, bits), bits })
    }

    /// The network that an address is taken to be of: nobody here knows which provider has it.
    pub fn around(address: IpAddr) -> Network {
        let address = address.to_canonical();
        let bits = if address.is_ipv4() { limits::TOKEN_NETWORK_BITS_V4 } else { limits::TOKEN_NETWORK_BITS_V6 };
        Network { address: masked(address, bits), bits }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.bits) == self.address
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

/// What is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockTarget {
    Member(u32),
    /// One, by the sessions and tokens they had.
    Reset(u32),
    /// Everybody, by the sessions and tokens they had.
    AllMembers,
    Session(u64),
    Token(u64),
    Grant(u64),
    Address(IpAddr),
    /// An address of which only the ledger's pseudonym is known.
    Seen(Pseudonym),
    Network(Network),
}

impl LockTarget {
    /// As it is stored.
    pub(crate) fn print(&self) -> String {
        match self {
            LockTarget::Member(id) => format!("member {id}"),
            LockTarget::Reset(id) => format!("reset {id}"),
            LockTarget::AllMembers => "members".to_owned(),
            LockTarget::Session(number) => format!("session {number}"),
            LockTarget::Token(number) => format!("token {number}"),
            LockTarget::Grant(number) => format!("grant {number}"),
            LockTarget::Address(ip) => format!("address {}", ip.to_canonical()),
            LockTarget::Seen(pseudonym) => format!("seen {}", crate::exposure::hex(*pseudonym)),
            LockTarget::Network(network) => format!("network {network}"),
        }
    }

    pub(crate) fn read(text: &str) -> Option<LockTarget> {
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        Some(match kind {
            "member" => LockTarget::Member(rest.parse().ok()?),
            "reset" => LockTarget::Reset(rest.parse().ok()?),
            "members" => LockTarget::AllMembers,
            "session" => LockTarget::Session(rest.parse().ok()?),
            "token" => LockTarget::Token(rest.parse().ok()?),
            "grant" => LockTarget::Grant(rest.parse().ok()?),
            "address" => LockTarget::Address(rest.parse().ok()?),
            "seen" => LockTarget::seen(rest).ok()?,
            "network" => LockTarget::Network(Network::parse(rest)?),
            _ => return None,
        })
    }

    /// An address by the pseudonym that a list of disclosures has for it.
    ///
    /// # Errors
    /// When it is none.
    pub fn seen(text: &str) -> Result<LockTarget> {
        Ok(LockTarget::Seen(crate::exposure::pseudonym(text)?))
    }

    /// The ledger's pseudonym of an address that is known by nothing else.
    pub fn pseudonym(&self) -> Option<String> {
        if let LockTarget::Seen(pseudonym) = self { Some(crate::exposure::hex(*pseudonym)) } else { None }
    }

    /// The member who is locked whole.
    pub(crate) fn member(&self) -> Option<u32> {
        if let LockTarget::Member(id) = self { Some(*id) } else { None }
    }

    /// What an entry about a lock on it is.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            LockTarget::Member(_) | LockTarget::Session(_) | LockTarget::Token(_) | LockTarget::Grant(_) => {
                Kind::Locked
            }
            LockTarget::Reset(_) | LockTarget::AllMembers => Kind::AllReset,
            LockTarget::Address(_) | LockTarget::Seen(_) | LockTarget::Network(_) => Kind::AddressBlocked,
        }
    }
}

/// Why. The numbers are in the ledger: none changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LockReason {
    Suspicion = 20,
    Incident = 21,
    /// A device or key was lost.
    Lost = 22,
    Left = 23,
    Drill = 24,
    /// A rule did it, and no person.
    Breaker = 25,
}

impl LockReason {
    pub(crate) fn of_number(number: i64) -> Option<LockReason> {
        use LockReason::{Breaker, Drill, Incident, Left, Lost, Suspicion};
        [Suspicion, Incident, Lost, Left, Drill, Breaker].into_iter().find(|reason| *reason as i64 == number)
    }
}

/// A lock as it is stored and shown.
#[derive(Clone, Debug)]
pub struct Lock {
    pub id: u64,
    pub org: OrgId,
    pub target: LockTarget,
    pub reason: LockReason,
    /// Who locked; nobody when a rule did.
    pub by: Option<u32>,
    pub locked_us: i64,
}

/// What is locked at the moment.
#[derive(Default)]
pub(crate) struct Locks {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    /// With the time it began.
    exact: FxHashMap<(OrgId, LockTarget), i64>,
    /// Lengths of the networks in it: what an address is cut to, to be looked up.
    lengths: FxHashSet<(OrgId, u8)>,
    /// Organisations with addresses in it that are known by their pseudonym.
    seen: FxHashSet<OrgId>,
}

impl Inner {
    fn insert(&mut self, org: OrgId, target: LockTarget, since_us: i64) {
        match &target {
            LockTarget::Network(network) => drop(self.lengths.insert((org, network.bits))),
            LockTarget::Seen(_) => drop(self.seen.insert(org)),
            _ => {}
        }
        self.exact.insert((org, target), since_us);
    }
}

impl Locks {
    pub(crate) fn of(locks: &[Lock]) -> Locks {
        let mut inner = Inner::default();
        for lock in locks {
            inner.insert(lock.org, lock.target, lock.locked_us);
        }
        Locks { inner: RwLock::new(inner) }
    }

    pub(crate) fn insert(&self, org: OrgId, targets: &[LockTarget], since_us: i64) {
        let mut inner = self.inner.write().expect("never left half changed");
        for target in targets {
            inner.insert(org, *target, since_us);
        }
    }

    pub(crate) fn remove(&self, org: OrgId, target: LockTarget) {
        let mut inner = self.inner.write().expect("never left half changed");
        inner.exact.remove(&(org, target));
    }

    /// `named` tells what the ledger calls an address.
    pub(crate) fn refuse(&self, who: &Who, named: impl FnOnce(IpAddr) -> Pseudonym) -> Option<LockTarget> {
        let inner = self.inner.read().expect("never left half changed");
        if inner.exact.is_empty() {
            return None;
        }
        let ids = [
            who.member.map(LockTarget::Member),
            who.maker.map(LockTarget::Member),
            who.session.map(LockTarget::Session),
            who.token.map(LockTarget::Token),
            who.grant.map(LockTarget::Grant),
            who.ip.map(|ip| LockTarget::Address(ip.to_canonical())),
        ];
        if let Some(target) = ids.into_iter().flatten().find(|target| inner.exact.contains_key(&(who.org, *target))) {
            return Some(target);
        }
        let resets = [Some(LockTarget::AllMembers), who.member.or(who.maker).map(LockTarget::Reset)];
        let is_from_before = |target: &LockTarget| {
            inner.exact.get(&(who.org, *target)).is_some_and(|since_us| who.since_us <= *since_us)
        };
        if let Some(target) = resets.into_iter().flatten().find(is_from_before) {
            return Some(target);
        }
        let ip = who.ip?.to_canonical();
        if inner.seen.contains(&who.org) {
            let target = LockTarget::Seen(named(ip));
            if inner.exact.contains_key(&(who.org, target)) {
                return Some(target);
            }
        }
        let most = if ip.is_ipv4() { 32 } else { 128 };
        (0..=most).filter(|bits| inner.lengths.contains(&(who.org, *bits))).find_map(|bits| {
            let target = LockTarget::Network(Network { address: masked(ip, bits), bits });
            inner.exact.contains_key(&(who.org, target)).then_some(target)
        })
    }

    /// Since when a member has to sign in anew: by a passkey if they have one, else with another password.
    pub(crate) fn reset_since(&self, org: OrgId, member: u32) -> Option<i64> {
        let inner = self.inner.read().expect("never left half changed");
        let since = |target| inner.exact.get(&(org, target)).copied();
        since(LockTarget::AllMembers).max(since(LockTarget::Reset(member)))
    }

    /// Whether exactly this is locked.
    pub(crate) fn has(&self, org: OrgId, target: LockTarget) -> bool {
        self.inner.read().expect("never left half changed").exact.contains_key(&(org, target))
    }
}

/// What became of a lock.
pub(crate) struct Held {
    pub(crate) locks: Vec<u64>,
    /// The first entry about it.
    pub(crate) entry: u64,
    /// Running streams that were told to stop.
    pub(crate) streams: u32,
    pub(crate) ended: Ended,
}

/// The locks of one organisation, or of all.
pub(crate) async fn read_locks(meta: &Meta, vault: &Vault, org: Option<OrgId>) -> Result<Vec<Lock>> {
    let rows = meta.locks(org).await?;
    rows.into_iter()
        .map(|row| {
            let text = vault.open_secret("lock", row.org.0, &row.sealed)?;
            let target = std::str::from_utf8(&text).ok().and_then(LockTarget::read).ok_or(Error::Interrupted)?;
            let reason = LockReason::of_number(row.reason).ok_or(Error::Interrupted)?;
            Ok(Lock { id: row.id, org: row.org, target, reason, by: row.by, locked_us: row.locked_us })
        })
        .collect()
}

impl Engine {
    /// The lock that somebody is refused by, if there is one.
    pub fn refused_by_lock(&self, who: &Who) -> Option<LockTarget> {
        self.locks.refuse(who, |ip| self.ip_pseudonym(ip))
    }

    /// The same, as an error.
    pub(crate) fn check_unlocked(&self, who: &Who) -> Result<()> {
        match self.refused_by_lock(who) {
            Some(_) => Err(Error::Locked),
            None => Ok(()),
        }
    }

    /// Locks, at once. Sessions and tokens that are locked are over: unlocking does not bring them back.
    ///
    /// # Errors
    /// When nobody could unlock then, or it could not be stored: it holds until a restart all the same.
    pub async fn lock(
        &self,
        caller: &Caller,
        stepped_up: SteppedUp,
        targets: &[LockTarget],
        reason: LockReason,
    ) -> Result<Vec<u64>> {
        let request = stepped_up.request();
        stepped_up.spend(caller, request, Class::C0)?;
        self.check_targets(caller, targets).await?;
        let locked: Vec<u32> = targets.iter().filter_map(LockTarget::member).collect();
        if !locked.is_empty() && self.who_may(caller.member.org, Control::Unlock, &locked).await?.is_empty() {
            return refused(
                "nobody_could_unlock",
                "nobody would be left who can unlock",
                Some("end the member's sessions instead, or give somebody else a role that can unlock first"),
            );
        }
        let held = self.hold(caller.member.org, Some(caller), targets, reason, None).await?;
        Ok(held.locks)
    }

    /// Locks without a person: for rules that stop what looks wrong.
    pub async fn lock_by_rule(&self, org: OrgId, targets: &[LockTarget]) -> Result<Vec<u64>> {
        Ok(self.hold(org, None, targets, LockReason::Breaker, None).await?.locks)
    }

    async fn check_targets(&self, caller: &Caller, targets: &[LockTarget]) -> Result<()> {
        if targets.is_empty() || targets.len() > limits::LOCK_TARGETS_MAX {
            let message = format!("one lock has 1 to {} targets", limits::LOCK_TARGETS_MAX);
            return refused("invalid_lock", message, None);
        }
        let own = Who { member: None, session: None, ..caller.who() };
        let theirs = Locks::default();
        theirs.insert(own.org, targets, i64::MIN);
        if theirs.refuse(&own, |ip| self.ip_pseudonym(ip)).is_some() {
            return refused("own_address", "you come from there yourself", Some("nobody there could open it again"));
        }
        let org = caller.member.org;
        for target in targets {
            let is_ours = match target {
                LockTarget::Member(id) | LockTarget::Reset(id) => {
                    self.meta.member(*id).await?.is_some_and(|row| row.org == org)
                }
                LockTarget::Session(number) => self.meta.session_org(*number).await? == Some(org),
                LockTarget::Token(number) => self.meta.token(*number).await?.is_some_and(|row| row.org == org),
                _ => true,
            };
            if !is_ours {
                return Err(Error::NotFound("target"));
            }
        }
        if self.meta.locks(Some(org)).await?.len() + targets.len() > limits::LOCKS_MAX {
            return refused("too_many_locks", "there are too many locks", Some("lock a network rather than addresses"));
        }
        Ok(())
    }

    /// Locks: written down, then in force, then stored. With an incident, the ledger has that it is contained in the same
    /// breath.
    ///
    /// # Errors
    /// When the ledger or the database did not take it: it holds until a restart all the same.
    pub(crate) async fn hold(
        &self,
        org: OrgId,
        by: Option<&Caller>,
        targets: &[LockTarget],
        reason: LockReason,
        incident: Option<u32>,
    ) -> Result<Held> {
        let count = targets.len() as u64;
        let first = self.next_lock.fetch_add(count, Ordering::Relaxed);
        let entry = |kind| match by {
            Some(caller) => caller.entry(self, kind),
            None => Entry { org: Some(self.org_pseudonym(org)), ..Entry::of(kind) },
        };
        let grant = incident.map_or(0, u64::from);
        let contained = Entry { grant, count, purpose: reason as u64, ..entry(Kind::IncidentContained) };
        let mut entries: Vec<Entry> = incident.map(|_| contained).into_iter().collect();
        entries.extend(targets.iter().zip(first..).map(|(target, id)| Entry {
            object: id,
            grant,
            purpose: reason as u64,
            extra: self.lock_subject(*target),
            ..entry(target.kind())
        }));
        let recorded = self.ledger.append_all_async(entries).await;

        // From here on it holds, whatever the disk said.
        let now_us = self.now_us();
        self.locks.insert(org, targets, now_us);
        let streams = self.disclosures.stop(|run| self.refused_by_lock(&run.who).is_some());

        let sealed: Vec<Vec<u8>> =
            targets.iter().map(|target| self.vault.seal_secret("lock", org.0, target.print().as_bytes())).collect();
        let member = by.map(|caller| caller.member.id);
        self.meta.insert_locks(org, member, first, &sealed, reason as i64, now_us).await?;
        let mut ended = Ended::default();
        for target in targets {
            ended.add(match *target {
                LockTarget::Member(id) => self.meta.end_member(id, RecoveryCodes::Stay, now_us).await?,
                LockTarget::Reset(id) => self.meta.end_member(id, RecoveryCodes::Void, now_us).await?,
                LockTarget::AllMembers => self.meta.end_all(org, now_us).await?,
                LockTarget::Session(number) => self.meta.delete_session(number).await?,
                LockTarget::Token(number) => self.meta.revoke_token(number, now_us).await?,
                LockTarget::Grant(_) | LockTarget::Address(_) | LockTarget::Seen(_) | LockTarget::Network(_) => {
                    Ended::default()
                }
            });
        }
        let entry = recorded?.first().and_then(|receipt| receipt.seq).ok_or(Error::Interrupted)?;
        Ok(Held { locks: (first..first + count).collect(), entry, streams, ended })
    }

    /// What a lock is about, as the ledger has it: its kind, and the pseudonym by which other entries name it, or its
    /// number. It says who was locked when the lock is long gone.
    fn lock_subject(&self, target: LockTarget) -> Vec<u8> {
        let (kind, name): (u8, Vec<u8>) = match target {
            LockTarget::Member(id) => (1, self.actor(id).0.to_vec()),
            LockTarget::AllMembers => (2, Vec::new()),
            LockTarget::Session(number) => (3, self.session_pseudonym(number).0.to_vec()),
            LockTarget::Token(number) => (4, self.token_pseudonym(number).0.to_vec()),
            LockTarget::Grant(number) => (5, number.to_be_bytes().to_vec()),
            LockTarget::Address(ip) => (6, self.ip_pseudonym(ip).0.to_vec()),
            LockTarget::Seen(pseudonym) => (6, pseudonym.0.to_vec()),
            LockTarget::Network(network) => {
                (7, Pseudonym::of(&self.vault.fingerprint("ledger network", network.to_string().as_bytes())).0.to_vec())
            }
            LockTarget::Reset(id) => (8, self.actor(id).0.to_vec()),
        };
        [&[kind][..], &name].concat()
    }

    /// The locks of an organisation, oldest first.
    pub async fn locks(&self, caller: &Caller) -> Result<Vec<Lock>> {
        self.stored_locks(Some(caller.member.org)).await
    }

    async fn stored_locks(&self, org: Option<OrgId>) -> Result<Vec<Lock>> {
        read_locks(&self.meta, &self.vault, org).await
    }

    /// Asks for a lock to be opened: a second person agrees, or, where there is nobody else, an hour passes.
    pub async fn unlock(&self, caller: &Caller, stepped_up: SteppedUp, lock: u64) -> Result<Asked> {
        let request = stepped_up.request();
        stepped_up.spend(caller, request, Class::C0)?;
        let locks = self.stored_locks(Some(caller.member.org)).await?;
        let found = locks.into_iter().find(|one| one.id == lock).ok_or(Error::NotFound("lock"))?;
        let about = match found.target {
            LockTarget::Member(id) | LockTarget::Reset(id) => Some(id),
            LockTarget::Token(number) => self.meta.token(number).await?.map(|row| row.made_by),
            _ => None,
        };
        self.ask_second(caller, Wish::Unlock { lock }, about).await
    }

    /// Opens a lock that a second person agreed to open.
    pub(crate) async fn open_lock(&self, caller: &Caller, lock: u64) -> Result<()> {
        let org = caller.member.org;
        let locks = self.stored_locks(Some(org)).await?;
        let found = locks.iter().find(|one| one.id == lock).ok_or(Error::NotFound("lock"))?;
        let mut entry = caller.entry(self, Kind::Unlocked);
        entry.object = lock;
        self.ledger.append_async(entry).await?;
        self.meta.delete_lock(lock).await?;
        // Another lock on the same stays.
        if !locks.iter().any(|one| one.id != lock && one.target == found.target) {
            self.locks.remove(org, found.target);
        }
        Ok(())
    }

    /// Members who are there, are not locked and may do this, without those named.
    pub(crate) async fn who_may(&self, org: OrgId, control: Control, without: &[u32]) -> Result<Vec<u32>> {
        self.who_has(org, |roles| may(roles, control) != Decision::Deny, without).await
    }

    /// As [`Engine::who_may`], with roles that do.
    pub(crate) async fn who_has(
        &self,
        org: OrgId,
        do_these: impl Fn(Roles) -> bool,
        without: &[u32],
    ) -> Result<Vec<u32>> {
        let rows = self.meta.members(Some(org)).await?;
        let able = rows.into_iter().filter(|row| {
            let who = Who {
                org,
                member: Some(row.id),
                maker: None,
                session: None,
                token: None,
                grant: None,
                ip: None,
                since_us: i64::MAX,
            };
            !without.contains(&row.id) && do_these(row.roles) && self.refused_by_lock(&who).is_none()
        });
        Ok(able.map(|row| row.id).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who() -> Who {
        Who {
            org: OrgId(1),
            member: Some(3),
            maker: None,
            session: Some(9),
            token: None,
            grant: Some(4),
            ip: Some(IpAddr::from([192, 0, 2, 77])),
            since_us: 1_000,
        }
    }

    /// What the ledger calls the address of `who`.
    const SEEN: Pseudonym = Pseudonym([7; 16]);

    fn refuse(locks: &Locks, who: &Who) -> Option<LockTarget> {
        locks.refuse(who, |ip| if Some(ip) == self::who().ip { SEEN } else { Pseudonym([8; 16]) })
    }

    #[test]
    fn each_kind_of_lock_refuses_whom_it_names_and_nobody_else() {
        let network = |text| LockTarget::Network(Network::parse(text).unwrap());
        let hits = [
            LockTarget::Member(3),
            LockTarget::Session(9),
            LockTarget::Grant(4),
            LockTarget::Address(IpAddr::from([192, 0, 2, 77])),
            LockTarget::Seen(SEEN),
            LockTarget::Reset(3),
            LockTarget::AllMembers,
            network("192.0.2.0/25"),
            network("0.0.0.0/0"),
        ];
        for target in hits {
            let locks = Locks::default();
            locks.insert(OrgId(1), &[target], 1_000);
            assert_eq!(refuse(&locks, &who()), Some(target));
            assert_eq!(refuse(&locks, &Who { org: OrgId(2), ..who() }), None, "{target:?} is another organisation's");
            locks.remove(OrgId(1), target);
            assert_eq!(refuse(&locks, &who()), None);
        }
        let locks = Locks::default();
        let misses = [
            LockTarget::Seen(Pseudonym([9; 16])),
            LockTarget::Reset(9),
            LockTarget::Member(9),
            LockTarget::Session(3),
            LockTarget::Token(9),
            network("192.0.2.128/25"),
        ];
        locks.insert(OrgId(1), &misses, 1_000);
        locks.insert(OrgId(1), &[network("::/0")], 1_000);
        assert_eq!(refuse(&locks, &who()), None);
        let mapped = "::ffff:192.0.2.200".parse().unwrap();
        assert!(
            refuse(&locks, &Who { ip: Some(mapped), ..who() }).is_some(),
            "written as an address of the other family"
        );
    }

    #[test]
    fn what_locks_everybody_is_about_sessions_from_before() {
        let locks = Locks::default();
        locks.insert(OrgId(1), &[LockTarget::AllMembers], 1_000);
        assert_eq!(refuse(&locks, &Who { since_us: 1_001, ..who() }), None);
        assert!(locks.reset_since(OrgId(1), 3).is_some() && locks.reset_since(OrgId(2), 3).is_none());
    }

    #[test]
    fn what_resets_a_member_is_about_their_sessions_and_tokens_from_before_and_nobody_elses() {
        let locks = Locks::default();
        locks.insert(OrgId(1), &[LockTarget::Reset(3)], 1_000);
        assert_eq!(refuse(&locks, &Who { since_us: 1_001, ..who() }), None);
        let token = Who { member: None, maker: Some(3), session: None, token: Some(5), ..who() };
        assert_eq!(refuse(&locks, &token), Some(LockTarget::Reset(3)));
        assert_eq!(refuse(&locks, &Who { maker: Some(4), ..token }), None);
        assert!(locks.reset_since(OrgId(1), 3).is_some() && locks.reset_since(OrgId(1), 4).is_none());
    }

    #[test]
    fn a_locked_members_tokens_are_locked_with_them() {
        let locks = Locks::default();
        locks.insert(OrgId(1), &[LockTarget::Member(3)], 1_000);
        let token = Who { member: None, maker: Some(3), session: None, token: Some(5), since_us: i64::MAX, ..who() };
        assert_eq!(refuse(&locks, &token), Some(LockTarget::Member(3)));
        assert_eq!(refuse(&locks, &Who { maker: Some(4), ..token }), None);
    }

    #[test]
    fn targets_read_back_as_they_were_stored() {
        let targets = [
            LockTarget::Member(1),
            LockTarget::AllMembers,
            LockTarget::Reset(4),
            LockTarget::Seen(SEEN),
            LockTarget::Session(u64::MAX),
            LockTarget::Token(2),
            LockTarget::Grant(3),
            LockTarget::Address("2001:db8::1".parse().unwrap()),
            LockTarget::Network(Network::parse("2001:db8:1::/33").unwrap()),
        ];
        for target in targets {
            assert_eq!(LockTarget::read(&target.print()), Some(target));
        }
        for wrong in ["", "member", "member x", "network 192.0.2.0/33", "network 192.0.2", "seen 7", "everything 1"] {
            assert_eq!(LockTarget::read(wrong), None, "{wrong}");
        }
    }
}
