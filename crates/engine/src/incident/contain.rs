//! Containment: everything that an incident names is stopped, by one act.
//!
//! Members, sessions, tokens, grants, addresses and networks are locked, running streams open no further chunk,
//! and staff have to show what they sign in with anew. The ledger has all of it, in entries that go before everything
//! else and have room on a full disk, before the first effect. Stopping takes one person; opening again takes two, by
//! the locks that it made.
//!
//! What cannot be locked is left out and said, and the rest is locked: one wrong name does not keep the others in.
//! Where the ledger's disk fails it holds all the same, and whoever asked is told that it is not written down.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use cofferdam_exposure::By;
use cofferdam_ledger::{Entry, Kind, Pseudonym};
use cofferdam_model::policy::{Control, Decision, may};
use cofferdam_model::{Class, OrgId, limits};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Incident, IncidentCause, Measure, Stage};
use crate::disclosure::store::State;
use crate::lock::{LockReason, LockTarget};
use crate::member::{Caller, SteppedUp, Who};
use crate::{Engine, Error, Result, refused};

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
    /// There is no such thing any more.
    Over,
    /// There are too many at once: name a network, or contain once more.
    TooMany,
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
    /// The first entry of the ledger about it; those about each lock follow.
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

/// What became of an act of containment.
pub struct Contained {
    pub incident: Incident,
    pub locks: Vec<(u64, LockTarget)>,
    pub left_out: Vec<(LockTarget, LeftOut)>,
}

impl Engine {
    /// What the disclosures of an incident's newest scope name, and how many members there are. Where there is no scope
    /// yet and a limit opened it: what the member names who made it trip.
    pub async fn suspects(&self, caller: &Caller, id: u32) -> Result<(Vec<Suspect>, u64)> {
        let incident = self.incident(&caller.member, id).await?;
        let suspects = self.suspects_of(caller.member.org, &incident, Some(caller)).await?;
        Ok((suspects, self.meta.members(Some(caller.member.org)).await?.len() as u64))
    }

    /// Contains an incident, at once.
    ///
    /// # Errors
    /// When there is nothing to lock; and when the ledger or a database did not take it, though it holds then.
    pub async fn contain(
        &self,
        caller: &Caller,
        stepped_up: SteppedUp,
        id: u32,
        contain: Contain,
    ) -> Result<Contained> {
        let started = Instant::now();
        let request = stepped_up.request();
        stepped_up.spend(caller, request, Class::C0)?;
        let incident = self.incident(&caller.member, id).await?;
        self.contain_by(Some(caller), caller.member.org, incident, contain, started).await
    }

    /// As [`Engine::contain`], for whoever runs the server.
    ///
    /// # Errors
    /// As [`Engine::contain`].
    pub async fn contain_from_here(&self, id: u32, contain: Contain) -> Result<Contained> {
        let started = Instant::now();
        let (org, incident) = self.desk.store.incident(id).await?.ok_or(Error::NotFound("incident"))?;
        self.contain_by(None, org, incident, contain, started).await
    }

    /// The number of a member of the organisation that an incident is of, by their e-mail address.
    ///
    /// # Errors
    /// When there is none.
    pub async fn member_of_incident(&self, id: u32, email: &str) -> Result<u32> {
        let (org, _) = self.desk.store.incident(id).await?.ok_or(Error::NotFound("incident"))?;
        self.member_with(Some(org), email).await
    }

    async fn contain_by(
        &self,
        by: Option<&Caller>,
        org: OrgId,
        incident: Incident,
        contain: Contain,
        started: Instant,
    ) -> Result<Contained> {
        if incident.stage == Stage::Closed {
            return refused("incident_closed", "this incident is closed", Some("open another one"));
        }
        let (targets, left_out) = self.meant(by, org, &incident, &contain).await?;
        if targets.is_empty() {
            return refused(
                "nothing_to_contain",
                "there is nothing here to lock, or all of it is locked",
                Some("find the scope, or name members, sessions, tokens, addresses or networks"),
            );
        }
        let reason = match incident.cause {
            IncidentCause::Drill => LockReason::Drill,
            IncidentCause::Member | IncidentCause::Limit => LockReason::Incident,
        };
        let held = self.hold(org, by, &targets, reason, Some(incident.id)).await?;
        let mut passkeys = 0;
        for member in self.own_members(org, &contain.suspect_passkeys).await? {
            let entry = match by {
                Some(caller) => caller.entry(self, Kind::PasskeyRemoved),
                None => Entry { org: Some(self.org_pseudonym(org)), ..Entry::of(Kind::PasskeyRemoved) },
            };
            let grant = u64::from(incident.id);
            self.ledger.append_async(Entry { grant, extra: self.actor(member).0.to_vec(), ..entry }).await?;
            passkeys += self.meta.delete_passkeys(member).await?;
        }
        let containment = Containment {
            by: by.map(|caller| caller.member.id),
            contained_us: self.now_us(),
            took_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            entry: held.entry,
            locks: held.locks.clone(),
            streams: held.streams,
            sessions: held.ended.sessions,
            tokens: held.ended.tokens,
            recovery_codes: held.ended.recovery_codes,
            passkeys,
        };
        let incident = self.contained(incident.id, containment, &targets).await?;
        Ok(Contained { incident, locks: held.locks.into_iter().zip(targets).collect(), left_out })
    }

    /// Notes with an incident what was done.
    async fn contained(&self, id: u32, containment: Containment, targets: &[LockTarget]) -> Result<Incident> {
        let _one = self.desk.changing.lock().await;
        let (_, mut incident) = self.desk.store.incident(id).await?.ok_or(Error::NotFound("incident"))?;
        let is_any = |is_it: fn(&LockTarget) -> bool| targets.iter().any(is_it);
        let is_reset = is_any(|target| matches!(target, LockTarget::Reset(_) | LockTarget::AllMembers));
        let done = [
            (Measure::Locked, is_any(|target| matches!(target, LockTarget::Member(_)))),
            (
                Measure::Sessions,
                containment.sessions > 0 || is_reset || is_any(|target| matches!(target, LockTarget::Session(_))),
            ),
            (Measure::Tokens, containment.tokens > 0),
        ];
        for (measure, is_done) in done {
            if is_done && !incident.measures.contains(&measure) {
                incident.measures.push(measure);
            }
        }
        incident.times.contained_us = Some(containment.contained_us);
        incident.containments.push(containment);
        self.desk.store.save(&incident).await?;
        Ok(incident)
    }

    /// What is to be locked, each once, and what is left out.
    async fn meant(
        &self,
        by: Option<&Caller>,
        org: OrgId,
        incident: &Incident,
        contain: &Contain,
    ) -> Result<(Vec<LockTarget>, Vec<(LockTarget, LeftOut)>)> {
        let mut wanted: Vec<LockTarget> = contain.targets.clone();
        match &contain.reset {
            Reset::Nobody => {}
            Reset::Members { members } => wanted.extend(members.iter().map(|member| LockTarget::Reset(*member))),
            Reset::Everybody => wanted.push(LockTarget::AllMembers),
        }
        wanted.extend(contain.suspect_passkeys.iter().map(|member| LockTarget::Reset(*member)));
        if contain.from_scope || wanted.is_empty() {
            let suspects = self.suspects_of(org, incident, by).await?;
            wanted.extend(suspects.into_iter().map(|suspect| suspect.target));
        }
        let (mut targets, mut left_out): (Vec<LockTarget>, Vec<_>) = (Vec::new(), Vec::new());
        for target in wanted {
            if targets.contains(&target) || left_out.iter().any(|(out, _)| *out == target) {
                continue;
            }
            let why = match self.why_left_out(by, org, target).await? {
                None if targets.len() >= limits::LOCK_TARGETS_MAX => Some(LeftOut::TooMany),
                why => why,
            };
            match why {
                None => targets.push(target),
                Some(why) => left_out.push((target, why)),
            }
        }
        let locked: Vec<u32> = targets.iter().filter_map(LockTarget::member).collect();
        if !locked.is_empty() && self.who_may(org, Control::Unlock, &locked).await?.is_empty() {
            for target in &mut targets {
                let LockTarget::Member(id) = *target else { continue };
                let roles = self.meta.member(id).await?.map(|row| row.roles).unwrap_or_default();
                if may(roles, Control::Unlock) != Decision::Deny {
                    left_out.push((*target, LeftOut::NobodyCouldUnlock));
                    *target = LockTarget::Reset(id);
                }
            }
        }
        // Sessions of whoever is locked or reset are over with them, and so are tokens.
        let sessions: BTreeMap<u64, u32> = self.meta.sessions_of(org).await?.into_iter().collect();
        let covered: BTreeSet<u32> = targets
            .iter()
            .filter_map(|target| match target {
                LockTarget::Member(id) | LockTarget::Reset(id) => Some(*id),
                _ => None,
            })
            .collect();
        let is_all = targets.contains(&LockTarget::AllMembers);
        let mut kept = Vec::with_capacity(targets.len());
        for target in targets {
            let owner = match target {
                LockTarget::Session(number) => sessions.get(&number).copied(),
                LockTarget::Token(number) => self.meta.token(number).await?.map(|row| row.made_by),
                _ => None,
            };
            if owner.is_none_or(|owner| !is_all && !covered.contains(&owner)) {
                kept.push(target);
            }
        }
        Ok((kept, left_out))
    }

    async fn why_left_out(&self, by: Option<&Caller>, org: OrgId, target: LockTarget) -> Result<Option<LeftOut>> {
        let is_there = match target {
            LockTarget::Member(id) | LockTarget::Reset(id) => !self.own_members(org, &[id]).await?.is_empty(),
            LockTarget::Session(number) => self.meta.session_org(number).await? == Some(org),
            LockTarget::Token(number) => {
                self.meta.token(number).await?.is_some_and(|row| row.org == org && row.revoked_us.is_none())
            }
            _ => true,
        };
        let is_again = matches!(target, LockTarget::Reset(_) | LockTarget::AllMembers);
        if !is_there {
            return Ok(Some(LeftOut::Over));
        }
        if !is_again && self.locks.has(org, target) {
            return Ok(Some(LeftOut::Locked));
        }
        let Some(caller) = by.filter(|_| !is_again) else { return Ok(None) };
        let lock = crate::lock::Locks::default();
        lock.insert(org, &[target], i64::MIN);
        let is_own = |who: &Who| lock.refuse(who, |ip| self.ip_pseudonym(ip)).is_some();
        if is_own(&Who { member: None, session: None, ..caller.who() }) {
            return Ok(Some(LeftOut::OwnAddress));
        }
        Ok(is_own(&caller.who()).then_some(LeftOut::Yourself))
    }

    /// Of these, the members of an organisation.
    async fn own_members(&self, org: OrgId, members: &[u32]) -> Result<Vec<u32>> {
        let mut own = Vec::with_capacity(members.len());
        for id in members {
            own.extend(self.meta.member(*id).await?.filter(|row| row.org == org).map(|row| row.id));
        }
        Ok(own)
    }

    async fn suspects_of(&self, org: OrgId, incident: &Incident, by: Option<&Caller>) -> Result<Vec<Suspect>> {
        let mut named: FxHashMap<By, u64> = FxHashMap::default();
        for question in self.questions_of(org, incident).await? {
            for (by, count) in self.on_disclosures(move |index| index.named(&question)).await? {
                let known = named.entry(by).or_default();
                *known = (*known).max(count);
            }
        }
        let mut found: Vec<(LockTarget, Option<String>, u64)> = Vec::new();
        let tripped = incident.trip.as_ref().map(|trip| trip.by_member);
        for row in self.meta.members(Some(org)).await? {
            let count = named.get(&By::Actor(self.actor(row.id))).copied();
            if count.is_some() || tripped == Some(row.id) {
                found.push((LockTarget::Member(row.id), Some(self.member_name(&row)?), count.unwrap_or(0)));
            }
        }
        for (number, _) in self.meta.sessions_of(org).await? {
            if let Some(count) = named.get(&By::Session(self.session_pseudonym(number))) {
                found.push((LockTarget::Session(number), None, *count));
            }
        }
        for project in self.meta.projects(Some(org)).await? {
            for row in self.meta.tokens(project.id).await? {
                if let Some(count) = named.get(&By::Token(self.token_pseudonym(row.number))) {
                    found.push((LockTarget::Token(row.number), Some(row.name), *count));
                }
            }
        }
        let mut addresses: Vec<(Pseudonym, u64)> = Vec::new();
        let mut grants: Vec<(u32, u64)> = Vec::new();
        for (by, count) in named {
            match by {
                By::Ip(pseudonym) => addresses.push((pseudonym, count)),
                By::Grant(grant) => grants.extend(u32::try_from(grant).ok().map(|grant| (grant, count))),
                _ => {}
            }
        }
        grants.sort_unstable();
        for (grant, count) in grants {
            let row = self.disclosures.store.disclosure(org, grant).await?;
            // What has ended is not run again.
            if row.is_some_and(|row| matches!(row.state, State::Open | State::Running)) {
                found.push((LockTarget::Grant(u64::from(grant)), None, count));
            }
        }
        addresses.sort_unstable_by_key(|(pseudonym, count)| (std::cmp::Reverse(*count), pseudonym.0));
        found.extend(addresses.into_iter().map(|(pseudonym, count)| (LockTarget::Seen(pseudonym), None, count)));
        let mut suspects = Vec::with_capacity(found.len());
        for (target, name, disclosures) in found {
            let left_out = self.why_left_out(by, org, target).await?;
            suspects.push(Suspect { target, name, disclosures, left_out });
        }
        Ok(suspects)
    }
}
