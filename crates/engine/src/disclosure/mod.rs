//! Disclosure: everything that opens personal values or lets rows out in bulk goes this way.
//!
//! 1. [`request`]: what is asked for, in one form with one hash.
//! 2. The policy says whether these roles may, what has to be shown again ([`crate::SteppedUp`], for this very request) and
//!    how many others must approve. Requests wait in the database, sealed, for [`limits::DISCLOSURE_SECONDS`].
//! 3. [`breaker`]: limits that hold whatever the roles allow, counted in the transaction that reserves.
//! 4. [`stream`]: locks, limits, seal and ticket before every chunk; then the bytes; then an entry about the end.
//! 5. [`bound`]: exports that a program runs with a token; [`rows`]: lists with device and place in clear.
//! 6. [`proof`]: what shows, without us, what left and that it was written down.
//!
//! Invariants:
//! - No value is opened for whom nobody showed a factor for exactly that request within the last minutes.
//! - Nobody approves what they asked for: not as another member with the same address, however it is spelled.
//! - What left is of subjects that an earlier entry of the ledger names.
//! - Where nobody else could approve, a delay stands in, and the ledger and the list say so.
//!
//! Deliberately not here: who may do what ([`cofferdam_model::policy`]), factors and locks ([`crate::member`],
//! [`crate::lock`]), what becomes of a file that left.

use std::sync::Arc;

use cofferdam_ledger::{Entry, Kind, RoaringBitmap};
use cofferdam_model::policy::{Control, Decision, may};
use cofferdam_model::{Class, OrgId, limits, sabotage};
use cofferdam_query::calendar::utc_text;
use serde::Serialize;
use sqlx::sqlite::SqlitePool;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::ToSchema;

use crate::{AlarmKind, Caller, Engine, Error, Project, RequestHash, Result, SteppedUp, Who, refused};

mod bound;
mod breaker;
mod export;
mod proof;
pub(crate) mod request;
mod reveal;
mod rows;
pub(crate) mod store;
pub(crate) mod stream;
#[cfg(test)]
mod tests;

pub use breaker::{Rule, Trip};
pub use request::{DisclosureFormat, DisclosureRequest, Purpose, What};
pub use reveal::{Revealed, RevealedValue};
pub use rows::RowsInClear;
pub use stream::{Piece, Pieces, Progress};

use breaker::{Breakers, Overrun, Wanted};
use request::{bitmap, bytes_of};
use store::{DisclosureRow, NewDisclosure, RowKind, State, Store};
use stream::{Run, Running};

/// What of disclosures is in memory.
pub(crate) struct Disclosures {
    pub(crate) store: Store,
    pub(crate) breakers: Breakers,
    pub(crate) running: Running,
    slots: Arc<Semaphore>,
}

impl Disclosures {
    pub(crate) async fn open(pool: SqlitePool) -> Result<Disclosures> {
        let store = Store::open(pool).await?;
        let breakers = Breakers::new(&store.trips(None).await?);
        let slots = Arc::new(Semaphore::new(limits::DISCLOSURES_AT_ONCE));
        Ok(Disclosures { store, breakers, running: Running::default(), slots })
    }

    /// Room for one more stream.
    pub(crate) fn slot(&self) -> Result<OwnedSemaphorePermit> {
        self.slots.clone().try_acquire_owned().map_err(|_| Error::Busy)
    }
}

/// Who runs a disclosure: a member, or a program with a token that a member made.
pub(crate) struct RunBy {
    pub(crate) member: u32,
    /// Whose account that is, however the address is spelled.
    pub(crate) person: [u8; 32],
    pub(crate) who: Who,
    /// What every entry about it says.
    entry: Entry,
}

impl RunBy {
    pub(crate) fn entry(&self, kind: Kind) -> Entry {
        Entry { kind, ..self.entry.clone() }
    }
}

/// Where a disclosure stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisclosureState {
    /// For others to approve, or for time to pass.
    Waiting,
    /// Whoever asked may run it.
    Ready,
    Running,
    /// Everything left; there is a proof.
    Done,
    Denied,
    Withdrawn,
    /// Nobody ran it in time.
    Expired,
    /// Broken off.
    Aborted,
}

/// What a request would take, before it is made.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DisclosurePlan {
    /// Of exactly this request by this member. Hexadecimal.
    pub hash: String,
    /// The highest class that it opens.
    pub opens: Class,
    /// Other people who must approve.
    pub approvals_needed: u8,
    /// Others who can. Where they are fewer than needed, a delay stands in for them.
    pub approvers: usize,
    /// Not before, unless two others approve; later still when what is shown for it is new. RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<String>,
}

/// Somebody who approved.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ApprovalView {
    pub member: u32,
    pub approved_at: String,
    /// Entry of the ledger.
    pub entry: u64,
}

/// A disclosure as the console shows it.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
pub struct Disclosure {
    pub id: u32,
    pub project: u32,
    /// Who asked.
    pub member: u32,
    /// By name, since whoever approves need not see all members; absent for somebody who left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_name: Option<String>,
    pub is_mine: bool,
    /// The caller may approve or deny it.
    pub is_for_me: bool,
    /// Exactly this was asked for, and is run.
    pub request: DisclosureRequest,
    /// Named by whoever approves or runs it, so that a factor is shown for exactly this. Hexadecimal.
    pub hash: String,
    pub state: DisclosureState,
    pub approvals_needed: u8,
    pub approvals: Vec<ApprovalView>,
    /// Nobody else could approve: then this delay stands in. RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_approved_at: Option<String>,
    /// A first export, or one by a new authenticator, waits until then unless two others approve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_until: Option<String>,
    pub created_at: String,
    pub expires_at: String,
    pub progress: Progress,
    /// SHA-256 of the bytes that left, when all did. Hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Uses up what was shown, and answers since when the newest of it is known. What it was shown for names the request: its
/// text when it is made, its hash when it is approved or run.
pub(crate) fn spent(caller: &Caller, stepped_up: SteppedUp, opens: Class) -> Result<i64> {
    let (request, newest_us) = (stepped_up.request(), stepped_up.newest_us());
    stepped_up.spend(caller, request, opens)?;
    Ok(newest_us)
}

fn gone<T>(state: State) -> Result<T> {
    let message = match state {
        State::Open | State::Running => "it runs already",
        State::Done => "it was run",
        State::Denied => "it was denied",
        State::Withdrawn => "it was taken back",
        State::Expired => "its time is over",
        State::Aborted => "it was broken off",
    };
    refused("wrong_state", message, Some("make a new request"))
}

/// What holds a request up.
struct Waits {
    self_approved_us: Option<i64>,
    held_until_us: Option<i64>,
    approvers: usize,
}

impl Engine {
    /// Whose account it is, however the address is spelled.
    pub(crate) fn person_print(&self, email: &str) -> [u8; 32] {
        self.vault.fingerprint("member person", crate::approval::mailbox(email).as_bytes())
    }

    pub(crate) async fn person_of(&self, member: u32) -> Result<Option<[u8; 32]>> {
        let Some(row) = self.meta.member(member).await? else { return Ok(None) };
        Ok(Some(self.person_print(&self.member_of(row).await?.email)))
    }

    /// Others who could approve.
    async fn approvers(&self, caller: &Caller, request: &DisclosureRequest) -> Result<usize> {
        let own = self.person_print(&caller.member.email);
        let mut persons = vec![own];
        for row in self.meta.members(Some(caller.member.org)).await? {
            let who = crate::Who { member: Some(row.id), ip: None, session: None, ..caller.who() };
            if row.id != caller.member.id
                && request.is_for_approval_by(row.roles)
                && self.refused_by_lock(&who).is_none()
            {
                let person = self.person_print(&self.member_of(row).await?.email);
                if !persons.contains(&person) {
                    persons.push(person);
                }
            }
        }
        Ok(persons.len() - 1)
    }

    /// Until when an organisation that has been there for a day holds what came at this instant. In the first day
    /// everything is new, and nothing is held.
    pub(crate) async fn held_until(&self, org: OrgId, since_us: i64) -> Result<Option<i64>> {
        let (hold_us, now_us) = (limits::HOLD_SECONDS * 1_000_000, self.now_us());
        let is_old = now_us - self.disclosures.store.organisation_created(org).await? >= hold_us;
        Ok(Some(since_us + hold_us).filter(|until_us| is_old && *until_us > now_us))
    }

    /// `newest_us`: of what was shown for it.
    async fn waits(
        &self,
        caller: &Caller,
        request: &DisclosureRequest,
        approvals: u8,
        newest_us: Option<i64>,
    ) -> Result<Waits> {
        let (now_us, org) = (self.now_us(), caller.member.org);
        let approvers = self.approvers(caller, request).await?;
        let alone_us = now_us + limits::SELF_APPROVAL_SECONDS * 1_000_000;
        let mut held_until_us = None;
        if let Some(newest_us) = newest_us {
            held_until_us = self.held_until(org, newest_us).await?;
        }
        let is_bulk = !matches!(request.what, What::Reveal { .. });
        if is_bulk && !self.disclosures.store.has_exported(caller.member.id).await? {
            held_until_us = held_until_us.max(self.held_until(org, now_us).await?);
        }
        let self_approved_us = (approvers < usize::from(approvals)).then_some(alone_us);
        Ok(Waits { self_approved_us, held_until_us, approvers })
    }

    /// What a request would take. Nothing is kept of it.
    ///
    /// # Errors
    /// When it cannot be run like this, or the caller may not.
    pub async fn plan_disclosure(
        &self,
        caller: &Caller,
        project: &Project,
        request: DisclosureRequest,
    ) -> Result<DisclosurePlan> {
        let request = request.checked()?;
        let needed = request.needed(caller.member.roles)?;
        let waits = self.waits(caller, &request, needed.approvals, None).await?;
        Ok(DisclosurePlan {
            hash: hex(&request.hash(project, caller.member.id).0),
            opens: needed.opens,
            approvals_needed: needed.approvals,
            approvers: waits.approvers,
            waits_until: waits.self_approved_us.max(waits.held_until_us).map(utc_text),
        })
    }

    /// Asks for a disclosure. It waits for others, or for whoever asked to run it.
    ///
    /// # Errors
    /// When the caller may not, a limit is open, or the factor was not shown for this request.
    pub async fn request_disclosure(
        &self,
        caller: &Caller,
        project: &Arc<Project>,
        request: DisclosureRequest,
        stepped_up: SteppedUp,
    ) -> Result<Disclosure> {
        let request = request.checked()?;
        let needed = request.needed(caller.member.roles)?;
        self.expire_disclosures(caller).await?;
        if request.is_personal() {
            self.check_limits(caller.member.org, Some(caller.member.id))?;
        }
        if self.disclosures.store.waiting(caller.member.org).await? >= limits::DISCLOSURES_WAITING_MAX {
            return refused(
                "too_many_requests",
                "too many requests wait already",
                Some("take some back, or decide about them"),
            );
        }
        if let What::Reveal { person, .. } = &request.what {
            self.vault.subject_of(project.id, person).await?.ok_or(Error::NotFound("person"))?;
        }
        let hash = request.hash(project, caller.member.id);
        let newest_us = spent(caller, stepped_up, needed.opens)?;
        let waits = self.waits(caller, &request, needed.approvals, Some(newest_us)).await?;
        let kind = if matches!(request.what, What::Reveal { .. }) { RowKind::Reveal } else { RowKind::Export };
        let new = NewDisclosure {
            approvals_needed: needed.approvals,
            self_approved_us: waits.self_approved_us,
            held_until_us: waits.held_until_us,
            ..self.new_row(&self.member_runs(caller), project, hash, kind)
        };
        let json = request.json();
        let id = self.disclosures.store.insert(&new, |id| self.vault.seal_secret("disclosure", id, &json)).await?;
        let about = |kind| Entry {
            grant: u64::from(id),
            object: u64::from(project.id.0),
            purpose: request.purpose as u64,
            fields: request.fields(),
            ..caller.entry(self, kind)
        };
        let entry = Entry { extra: hash.0.to_vec(), ..about(Kind::GrantRequested) };
        let seq = self.ledger.append_async(entry).await?.seq.ok_or(Error::Interrupted)?;
        self.disclosures.store.set_requested(id, seq).await?;
        if let Some(from_us) = waits.self_approved_us {
            let extra = from_us.to_be_bytes().to_vec();
            let entry = Entry { refers_to: Some(seq), extra, ..about(Kind::GrantSelfApproved) };
            self.ledger.append_async(entry).await?;
        }
        self.disclosure(caller, id).await
    }

    pub(crate) fn member_runs(&self, caller: &Caller) -> RunBy {
        RunBy {
            member: caller.member.id,
            person: self.person_print(&caller.member.email),
            who: caller.who(),
            entry: caller.entry(self, Kind::Intent),
        }
    }

    fn new_row(&self, by: &RunBy, project: &Project, hash: RequestHash, kind: RowKind) -> NewDisclosure {
        NewDisclosure {
            org: project.org,
            project: project.id,
            member: by.member,
            person: by.person,
            kind,
            hash: hash.0,
            approvals_needed: 0,
            self_approved_us: None,
            held_until_us: None,
            created_us: self.now_us(),
        }
    }

    /// Approves what somebody else asked for.
    ///
    /// # Errors
    /// When the caller may not, is who asked, or approved before.
    pub async fn approve_disclosure(
        &self,
        caller: &Caller,
        id: u32,
        seen: &str,
        stepped_up: SteppedUp,
    ) -> Result<Disclosure> {
        let (row, request) = self.to_decide(caller, id).await?;
        let hash = self.hash_of(&row, &request, seen)?;
        spent(caller, stepped_up, Class::C0)?;
        let person = match sabotage::is_out(16) {
            true => self.vault.fingerprint("somebody", &caller.member.id.to_le_bytes()),
            false => self.person_print(&caller.member.email),
        };
        let again = || refused("approved_before", "you approved it before", None);
        if self.disclosures.store.has_approved(id, &person).await? {
            return again();
        }
        let about = self.about(caller, &row, Kind::GrantApproved);
        let entry = Entry { refers_to: row.requested_entry, extra: hash.0.to_vec(), ..about };
        let entry = self.ledger.append_async(entry).await?.seq.ok_or(Error::Interrupted)?;
        let now_us = self.now_us();
        if !self.disclosures.store.approve(id, caller.member.id, &person, entry, now_us).await? {
            return again();
        }
        self.disclosure(caller, id).await
    }

    /// Denies what somebody else asked for: one is enough, and it stops what runs.
    ///
    /// # Errors
    /// When the caller may not, or it is over.
    pub async fn deny_disclosure(&self, caller: &Caller, id: u32) -> Result<Disclosure> {
        let (row, _) = self.to_decide(caller, id).await?;
        self.stop_disclosure(caller, &row, State::Denied, Kind::GrantDenied).await
    }

    /// Takes back what the caller asked for, also while it runs.
    ///
    /// # Errors
    /// When it is not theirs, or over.
    pub async fn withdraw_disclosure(&self, caller: &Caller, id: u32) -> Result<Disclosure> {
        let row = self.row_of(caller, id).await?;
        if row.member != caller.member.id {
            return Err(Error::NotFound("disclosure"));
        }
        self.stop_disclosure(caller, &row, State::Withdrawn, Kind::GrantWithdrawn).await
    }

    async fn stop_disclosure(&self, caller: &Caller, row: &DisclosureRow, to: State, kind: Kind) -> Result<Disclosure> {
        self.disclosures.stop(|run| run.grant == row.id);
        let store = &self.disclosures.store;
        if !store.change(row.id, State::Open, to).await? && !store.change(row.id, State::Running, to).await? {
            return gone(self.row_of(caller, row.id).await?.state);
        }
        let entry = Entry { refers_to: row.requested_entry, ..self.about(caller, row, kind) };
        self.ledger.append_async(entry).await?;
        self.disclosure(caller, row.id).await
    }

    fn about(&self, caller: &Caller, row: &DisclosureRow, kind: Kind) -> Entry {
        Entry { grant: u64::from(row.id), object: u64::from(row.project.0), ..caller.entry(self, kind) }
    }

    async fn row_of(&self, caller: &Caller, id: u32) -> Result<DisclosureRow> {
        self.disclosures.store.disclosure(caller.member.org, id).await?.ok_or(Error::NotFound("disclosure"))
    }

    fn request_of(&self, row: &DisclosureRow) -> Result<DisclosureRequest> {
        let json = self.vault.open_secret("disclosure", row.id, &row.sealed)?;
        serde_json::from_slice(&json).map_err(|_| Error::Interrupted)
    }

    /// The hash of what is stored, which must be the one that was asked for, and that somebody saw who now shows a
    /// factor for it.
    fn hash_of(&self, row: &DisclosureRow, request: &DisclosureRequest, seen: &str) -> Result<RequestHash> {
        let project = self.project(row.project)?;
        let hash = request.hash(&project, row.member);
        if hash.0[..] != row.hash[..] || project.org != row.org {
            return Err(Error::Interrupted);
        }
        if hex(&hash.0) != seen {
            return refused("another_request", "this is not the request that you saw", Some("look at it again"));
        }
        Ok(hash)
    }

    /// A request that is still open, for somebody else who may decide about it.
    async fn to_decide(&self, caller: &Caller, id: u32) -> Result<(DisclosureRow, DisclosureRequest)> {
        self.expire_disclosures(caller).await?;
        let row = self.row_of(caller, id).await?;
        let request = self.request_of(&row)?;
        if !request.is_for_approval_by(caller.member.roles) {
            return Err(Error::NotFound("disclosure"));
        }
        if self.is_own(caller, &row) && !sabotage::is_out(16) {
            self.ledger.append_async(self.about(caller, &row, Kind::DisclosureRefused)).await?;
            return refused(
                "own_request",
                "nobody decides about what they asked for",
                Some("ask somebody else who may approve"),
            );
        }
        match row.state {
            State::Open | State::Running => Ok((row, request)),
            over => gone(over),
        }
    }

    fn is_own(&self, caller: &Caller, row: &DisclosureRow) -> bool {
        row.member == caller.member.id || row.person[..] == self.person_print(&caller.member.email)[..]
    }

    /// Disclosures, newest first: one's own, those for one to decide about, and all of them for whoever approves or
    /// reads the ledger.
    pub async fn disclosures(&self, caller: &Caller) -> Result<Vec<Disclosure>> {
        self.expire_disclosures(caller).await?;
        let mut shown = Vec::new();
        for row in self.disclosures.store.disclosures(caller.member.org).await? {
            if let Some(view) = self.view(caller, row).await? {
                shown.push(view);
            }
        }
        Ok(shown)
    }

    pub async fn disclosure(&self, caller: &Caller, id: u32) -> Result<Disclosure> {
        let row = self.row_of(caller, id).await?;
        self.view(caller, row).await?.ok_or(Error::NotFound("disclosure"))
    }

    /// `None` for whom it does not exist: those who neither asked nor decide nor oversee, and what was no request.
    async fn view(&self, caller: &Caller, row: DisclosureRow) -> Result<Option<Disclosure>> {
        if row.requested_entry.is_none() {
            return Ok(None);
        }
        let request = self.request_of(&row)?;
        let (is_mine, may_decide) = (row.member == caller.member.id, request.is_for_approval_by(caller.member.roles));
        if !is_mine && !may_decide && may(caller.member.roles, Control::ReadLedger) == Decision::Deny {
            return Ok(None);
        }
        let asked = self.meta.member(row.member).await?;
        let member_name = asked.as_ref().map(|member| self.member_name(member)).transpose()?;
        let approvals = self.disclosures.store.approvals(row.id).await?;
        let state = match row.state {
            State::Open if self.is_ready(&row, approvals.len()) => DisclosureState::Ready,
            State::Open => DisclosureState::Waiting,
            State::Running => DisclosureState::Running,
            State::Done => DisclosureState::Done,
            State::Denied => DisclosureState::Denied,
            State::Withdrawn => DisclosureState::Withdrawn,
            State::Expired => DisclosureState::Expired,
            State::Aborted => DisclosureState::Aborted,
        };
        let running = self.disclosures.running.lock().expect("never left half changed").get(&row.id).cloned();
        let ended = Progress { rows: row.rows, bytes: row.bytes, ..Progress::default() };
        let approvals_view = approvals.iter().map(|approval| ApprovalView {
            member: approval.member,
            approved_at: utc_text(approval.approved_us),
            entry: approval.entry,
        });
        Ok(Some(Disclosure {
            id: row.id,
            project: row.project.0,
            member: row.member,
            member_name,
            is_mine,
            is_for_me: may_decide && row.state == State::Open && !self.is_own(caller, &row),
            hash: hex(&row.hash),
            state,
            approvals_needed: row.approvals_needed,
            approvals: approvals_view.collect(),
            self_approved_at: row.self_approved_us.map(utc_text),
            held_until: row.held_until_us.map(utc_text),
            created_at: utc_text(row.created_us),
            expires_at: utc_text(row.expires_us),
            progress: running.map_or(ended, |run| run.progress()),
            sent_hash: row.hash_sent.filter(|_| row.state == State::Done).map(|hash| hex(&hash)),
            ended_at: row.ended_us.map(utc_text),
            request,
        }))
    }

    /// Whether enough others approved, and whatever it waits for has passed.
    fn is_ready(&self, row: &DisclosureRow, approvals: usize) -> bool {
        let (now_us, needed) = (self.now_us(), usize::from(row.approvals_needed));
        let is_approved = approvals >= needed || row.self_approved_us.is_some_and(|from_us| now_us >= from_us);
        let is_held = row.held_until_us.is_some_and(|until_us| now_us < until_us) && approvals < 2;
        is_approved && !is_held
    }

    /// Ends what was not run in time.
    async fn expire_disclosures(&self, caller: &Caller) -> Result<()> {
        let store = &self.disclosures.store;
        for id in store.overdue(caller.member.org, self.now_us()).await? {
            let Some(row) = store.disclosure(caller.member.org, id).await? else { continue };
            if store.change(id, State::Open, State::Expired).await? {
                let entry = Entry {
                    org: Some(self.org_pseudonym(row.org)),
                    grant: u64::from(id),
                    object: u64::from(row.project.0),
                    refers_to: row.requested_entry,
                    ..Entry::of(Kind::GrantExpired)
                };
                self.ledger.append_async(entry).await?;
            }
        }
        Ok(())
    }

    /// Runs what was asked for and approved: a stream of pieces, and what the file is called.
    ///
    /// # Errors
    /// When it is not ready, a limit or lock is in the way, or the factor was not shown for this request.
    pub async fn run_disclosure(
        self: &Arc<Engine>,
        caller: &Caller,
        id: u32,
        seen: &str,
        stepped_up: SteppedUp,
    ) -> Result<(Pieces, String)> {
        self.expire_disclosures(caller).await?;
        let row = self.row_of(caller, id).await?;
        if row.member != caller.member.id || row.requested_entry.is_none() {
            return Err(Error::NotFound("disclosure"));
        }
        if row.state != State::Open {
            return gone(row.state);
        }
        let request = self.request_of(&row)?;
        self.hash_of(&row, &request, seen)?;
        // Roles may have changed since.
        let needed = request.needed(caller.member.roles)?;
        let approvals = self.disclosures.store.approvals(id).await?.len();
        if !self.is_ready(&row, approvals) || needed.approvals > row.approvals_needed {
            let until = row.self_approved_us.max(row.held_until_us).map(utc_text);
            let message = match until {
                Some(until) => format!("it waits for others to approve, or until {until}"),
                None => format!("{approvals} of {} others approved", row.approvals_needed),
            };
            return refused("not_ready", message, Some("two approvals end every wait"));
        }
        spent(caller, stepped_up, needed.opens)?;
        let project = self.project(row.project)?;
        let by = self.member_runs(caller);
        let run = self.new_run(&by, id, &project, &request);
        self.begin(&by, &row, run, request, approvals >= 2).await
    }

    fn new_run(&self, by: &RunBy, id: u32, project: &Arc<Project>, request: &DisclosureRequest) -> Run {
        let context = Entry { purpose: request.purpose as u64, ..by.entry(Kind::Intent) };
        Run::new(id, project, by.who, request.is_personal(), context)
    }

    /// Begins a run of what may be run: reserves of the limits whom it is about, and lets the first bytes out.
    async fn begin(
        self: &Arc<Engine>,
        by: &RunBy,
        row: &DisclosureRow,
        run: Run,
        request: DisclosureRequest,
        is_shared: bool,
    ) -> Result<(Pieces, String)> {
        self.check_run(&run)?;
        let (slot, id, project) = (self.disclosures.slot()?, row.id, run.project.clone());
        let extension = if request.format == DisclosureFormat::Csv { "csv" } else { "ndjson" };
        let age = if request.recipient.is_some() { ".age" } else { "" };
        let name = format!("export-{id}.{extension}{age}");
        let (fields, format) = (request.fields(), request.format);
        let recipient = request.recipient.as_deref();
        let pieces = match request.what {
            What::Events { range, matching } => {
                let needs =
                    cofferdam_query::Needs::of(&cofferdam_model::Query::Events(cofferdam_model::query::EventsQuery {
                        range,
                        matching: matching.clone(),
                        person: None,
                        limit: 1,
                    }));
                let now_us = self.now_us();
                let people = self.people(&project, needs, now_us).await?;
                let (snapshot, _) = self
                    .on_snapshot(&project, None, cofferdam_query::People::default(), |input| Ok(input.snapshot.clone()))
                    .await?;
                let meant = export::EventsMeant { snapshot, people, range, matching, now_us };
                self.reserve(by, row, &RoaringBitmap::new(), is_shared).await?;
                self.stream(Arc::new(run), slot, recipient, move |out| export::write_events(out, &meant, format))
                    .await?
            }
            What::Persons { who, .. } => {
                let persons = self.persons_meant(&project, who.as_ref()).await?;
                self.reserve(by, row, &bitmap(persons.iter()), is_shared).await?;
                self.stream(Arc::new(run), slot, recipient, move |out| {
                    export::write_persons(out, &persons, fields, format)
                })
                .await?
            }
            What::Reveal { person, .. } => {
                let subject = self.vault.subject_of(project.id, &person).await?.ok_or(Error::NotFound("person"))?;
                let person = self.vault.merges(project.id).canonical(subject);
                self.reserve(by, row, &bitmap([person]), is_shared).await?;
                let persons = [person].into_iter().collect();
                self.stream(Arc::new(run), slot, None, move |out| export::write_persons(out, &persons, fields, format))
                    .await?
            }
        };
        Ok((pieces, name))
    }

    /// Reserves persons of the limits for a disclosure, which runs from here on.
    ///
    /// # Errors
    /// When there is no room: the answer says until when, or what tripped.
    pub(crate) async fn reserve(
        &self,
        by: &RunBy,
        row: &DisclosureRow,
        persons: &RoaringBitmap,
        is_shared: bool,
    ) -> Result<()> {
        let bytes = bytes_of(persons);
        let mut all_persons = None;
        loop {
            let now_us = self.now_us();
            let wanted = Wanted {
                member: by.member,
                project: row.project,
                persons,
                is_single: !row.is_export,
                is_shared,
                now_us,
                all_persons,
            };
            let judge = |reserved: &[store::Reserved]| breaker::judge(&wanted, reserved);
            let begun = self.disclosures.store.begin(row, &bytes, is_shared, self.ledger.size(), now_us, judge).await;
            let refusal = match begun {
                Ok(true) => {
                    if row.is_export && persons.len() > limits::DISCLOSED_PERSONS_MIN {
                        let text = format!("personal values of {} persons are leaving", persons.len());
                        self.tell_alarm(row.org, by.member, AlarmKind::Leaving, text);
                    }
                    return Ok(());
                }
                Ok(false) => {
                    let now = self.disclosures.store.disclosure(row.org, row.id).await?;
                    return gone(now.map_or(State::Aborted, |row| row.state));
                }
                Err(Overrun::Store(error)) => return Err(error.into()),
                Err(Overrun::CountPersons) => {
                    all_persons = Some(self.persons_of(row.org).await?);
                    continue;
                }
                Err(Overrun::Quota { what, until_us }) => {
                    self.tell_alarm(row.org, by.member, AlarmKind::Refused, format!("one member opens at most {what}"));
                    refused(
                        "limit_reached",
                        format!(
                            "one member opens at most {what}, one by one: there is room again at {}",
                            utc_text(until_us)
                        ),
                        Some("ask for an export if many persons are needed"),
                    )
                }
                Err(Overrun::Trip(rule)) => {
                    self.trip(by, rule).await?;
                    self.check_limits(row.org, Some(by.member))
                }
            };
            if row.requested_entry.is_none() {
                self.disclosures.store.change(row.id, State::Open, State::Aborted).await?;
            }
            let (grant, object) = (u64::from(row.id), u64::from(row.project.0));
            self.ledger.append_async(Entry { grant, object, ..by.entry(Kind::DisclosureRefused) }).await?;
            return refusal;
        }
    }

    /// Ends, in the ledger and in the rows, what a process left running when it ended.
    pub(crate) async fn end_abandoned(&self) -> Result<()> {
        for row in self.disclosures.store.abandoned().await? {
            let (ledger, from, grant) = (self.ledger.clone(), row.ledger_from, u64::from(row.id));
            let found = tokio::task::spawn_blocking(move || {
                ledger.settle()?;
                let mut of_it = Vec::new();
                for from in (from..ledger.size()).step_by(SCAN_ENTRIES) {
                    let entries = ledger.entries(from, from + SCAN_ENTRIES as u64)?;
                    of_it.extend(entries.into_iter().filter(|one| {
                        one.entry.grant == grant && matches!(one.entry.kind, Kind::Intent | Kind::Done | Kind::Aborted)
                    }));
                }
                Ok::<_, cofferdam_ledger::Error>(of_it)
            });
            let found = found.await.map_err(|_| Error::Interrupted)??;
            let intents: Vec<u64> =
                found.iter().filter(|one| one.entry.kind == Kind::Intent).map(|one| one.seq).collect();
            let end = found.iter().find(|one| one.entry.kind != Kind::Intent);
            let end_entry = match (end, found.last()) {
                (Some(end), _) => Some(end.seq),
                (None, Some(last)) => {
                    let context = Entry { fields: Default::default(), blob: None, ..last.entry.clone() };
                    let entry = stream::end_entry(&context, Kind::Aborted, intents.last().copied(), 0, &[0; 32], 0);
                    self.ledger.append_async(entry).await?.seq
                }
                // Nothing was opened, and nothing is to be said.
                (None, None) => None,
            };
            tracing::warn!(disclosure = row.id, "a disclosure was broken off when the server ended");
            let ended = store::Ended {
                state: if row.requested_entry.is_some() { State::Open } else { State::Aborted },
                rows: 0,
                bytes: 0,
                hash: [0; 32],
                first_intent: intents.first().copied(),
                last_intent: intents.last().copied(),
                end_entry,
                at_us: self.now_us(),
            };
            self.disclosures.store.end(row.id, &ended).await?;
        }
        Ok(())
    }
}

/// Entries of the ledger that are looked through at a time.
const SCAN_ENTRIES: usize = 4_096;
