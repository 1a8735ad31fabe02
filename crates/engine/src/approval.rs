//! What takes two people: somebody asks, somebody else agrees, then it happens.
//!
//! Who asked is never who agrees, nor is whom it is about, nor a second account with the same address. An organisation
//! that has nobody else cannot find a second person: there an hour passes instead, in which everybody who looks can
//! see what is about to happen, and the ledger says that it was agreed to by nobody else. It is never waived silently.

use cofferdam_ledger::Kind;
use cofferdam_model::policy::{Control, Deed, decide, may};
use cofferdam_model::{Class, Decision, Role, Roles, limits, sabotage};
use cofferdam_query::calendar::utc_text;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::member::{Caller, SteppedUp};
use crate::meta::WishRow;
use crate::{AccessPurpose, Engine, ErasureReason, Error, ExposureQuestion, Member, Result, refused};

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Wish {
    Unlock {
        lock: u64,
    },
    Roles {
        member: u32,
        roles: Vec<Role>,
    },
    ExportToken {
        token: u64,
    },
    /// The list of persons that a question about exposure finds. Accounts go by their pseudonyms in it.
    ListPersons {
        project: u32,
        question: ExposureQuestion,
        field: Option<String>,
        is_confirmed: bool,
    },
    /// The list of persons whom an incident concerns, encrypted to a key.
    Package {
        incident: u32,
        version: u32,
        recipient: String,
    },
    /// Erasing persons everywhere.
    Erase {
        project: u32,
        reason: ErasureReason,
        count: u64,
        /// Pseudonyms of the first [`limits::WISH_PERSONS_MAX`].
        persons: Vec<String>,
        /// A keyed hash of all of them.
        print: String,
    },
    /// A person's own data, to hand to them.
    Access {
        project: u32,
        /// A pseudonym.
        person: String,
        purpose: AccessPurpose,
    },
}

/// What takes a second person's agreement, and is done by whoever asked once there is one.
pub enum Agreed<T> {
    Given(T),
    /// Somebody has to agree first.
    Waits(Asked),
}

impl Wish {
    /// Whether somebody with these roles may be the second person.
    fn is_for(&self, roles: Roles) -> bool {
        let control = match self {
            Wish::Unlock { .. } => Control::Unlock,
            Wish::Roles { .. } => Control::ApproveRoles,
            Wish::ExportToken { .. } => Control::ManageExportTokens,
            Wish::ListPersons { .. } | Wish::Package { .. } => Control::ListScope,
            // By what each role says: the freest of several is to erase, and not to agree to it.
            Wish::Erase { .. } => {
                let says = |role| decide(Roles::NONE.with(role), Class::C4, Deed::Erase);
                return roles.iter().any(|role| says(role) == Decision::Approve);
            }
            Wish::Access { .. } => return decide(roles, Class::C4, Deed::ApproveExport) != Decision::Deny,
        };
        may(roles, control) != Decision::Deny
    }

    /// What it opens, that a factor is shown for.
    fn opens(&self) -> Class {
        match self {
            Wish::ExportToken { .. } | Wish::ListPersons { .. } | Wish::Package { .. } => Class::C3,
            Wish::Access { .. } => Class::C4,
            Wish::Unlock { .. } | Wish::Roles { .. } | Wish::Erase { .. } => Class::C0,
        }
    }

    /// In the ledger.
    fn number(&self) -> u64 {
        match self {
            Wish::Unlock { .. } => 30,
            Wish::Roles { .. } => 31,
            Wish::ExportToken { .. } => 32,
            Wish::ListPersons { .. } => 33,
            Wish::Package { .. } => 34,
            Wish::Erase { .. } => 35,
            Wish::Access { .. } => 36,
        }
    }
}

/// That something waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub id: u64,
    /// When it may happen without a second person, because there is none. Microseconds since 1970-01-01 UTC.
    pub due_us: Option<i64>,
}

/// What waits for a second person, as the console shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Waiting {
    pub id: u64,
    pub wish: Wish,
    pub asked_by: u32,
    /// RFC 3339, UTC.
    pub asked_at: String,
    /// When whoever asked may carry it out alone; absent when somebody else can agree.
    pub due_at: Option<String>,
    /// The caller can agree.
    pub can_agree: bool,
}

/// An address without what its mailbox ignores: the same for accounts that one person reads.
pub(crate) fn mailbox(email: &str) -> String {
    let email = email.to_lowercase();
    match email.split_once('@') {
        Some((local, domain)) => format!("{}@{domain}", local.split('+').next().unwrap_or_default()),
        None => email,
    }
}

/// Whether two members are one person as far as anybody can tell.
pub fn is_same_person(one: &Member, other: &Member) -> bool {
    one.id == other.id || mailbox(&one.email) == mailbox(&other.email)
}

impl Engine {
    pub(crate) async fn ask_second(&self, caller: &Caller, wish: Wish, about: Option<u32>) -> Result<Asked> {
        let org = caller.member.org;
        if self.meta.wishes(org).await?.len() >= limits::WISHES_MAX {
            return refused("too_many_waiting", "too much waits for a second person", Some("agree or withdraw first"));
        }
        // Nor their other accounts.
        let mut without = vec![caller.member.clone()];
        without.extend(self.one(about).await?);
        let mut is_alone = true;
        for member in self.who_has(org, |roles| wish.is_for(roles), &[]).await? {
            let Some(other) = self.one(Some(member)).await? else { continue };
            is_alone &= without.iter().any(|one| is_same_person(one, &other));
        }
        let now_us = self.now_us();
        let due_us = is_alone.then_some(now_us + limits::ALONE_SECONDS * 1_000_000);
        let act = serde_json::to_string(&wish).map_err(|_| Error::Interrupted)?;
        let row = WishRow { id: 0, act, asked_by: caller.member.id, about, asked_us: now_us, due_us };
        let id = self.meta.insert_wish(org, &row).await?;
        let mut entry = caller.entry(self, Kind::ApprovalAsked);
        (entry.object, entry.purpose) = (id, wish.number());
        self.ledger.append_async(entry).await?;
        Ok(Asked { id, due_us })
    }

    async fn one(&self, member: Option<u32>) -> Result<Option<Member>> {
        let Some(member) = member else { return Ok(None) };
        match self.meta.member(member).await? {
            Some(row) => Ok(Some(self.member_of(row).await?)),
            None => Ok(None),
        }
    }

    /// Whether a second person agreed to what the caller is about to do, within [`limits::AGREED_SECONDS`]. If not,
    /// what waits for one: it is asked for once, however often this is called.
    pub(crate) async fn agreed(&self, caller: &Caller, wish: Wish) -> Result<Option<Asked>> {
        let (print, now_us) = (self.wish_print(&wish)?, self.now_us());
        if self.meta.agreed_until(caller.member.id, &print).await?.is_some_and(|until_us| now_us < until_us) {
            return Ok(None);
        }
        match self.waiting_for(caller, &wish).await? {
            Some(asked) => Ok(Some(asked)),
            None => Ok(Some(self.ask_second(caller, wish, None).await?)),
        }
    }

    /// That the caller asked for this and it waits.
    async fn waiting_for(&self, caller: &Caller, wish: &Wish) -> Result<Option<Asked>> {
        let act = serde_json::to_string(wish).map_err(|_| Error::Interrupted)?;
        let rows = self.meta.wishes(caller.member.org).await?;
        let found = rows.into_iter().find(|row| row.asked_by == caller.member.id && row.act == act);
        Ok(found.map(|row| Asked { id: row.id, due_us: row.due_us }))
    }

    fn wish_print(&self, wish: &Wish) -> Result<[u8; 32]> {
        let act = serde_json::to_vec(wish).map_err(|_| Error::Interrupted)?;
        Ok(self.vault.fingerprint("agreed wish", &act))
    }

    /// What waits in the caller's organisation, oldest first.
    pub async fn waiting(&self, caller: &Caller) -> Result<Vec<Waiting>> {
        let rows = self.meta.wishes(caller.member.org).await?;
        let mut waiting = Vec::with_capacity(rows.len());
        for row in rows {
            let wish: Wish = serde_json::from_str(&row.act).map_err(|_| Error::Interrupted)?;
            waiting.push(Waiting {
                id: row.id,
                asked_by: row.asked_by,
                asked_at: utc_text(row.asked_us),
                due_at: row.due_us.map(utc_text),
                can_agree: self.may_agree(caller, &row, &wish).await?,
                wish,
            });
        }
        Ok(waiting)
    }

    /// Whether the caller is a second person for this: by their roles, and no account of who asked or whom it is about.
    async fn may_agree(&self, caller: &Caller, row: &WishRow, wish: &Wish) -> Result<bool> {
        if !wish.is_for(caller.member.roles) {
            return Ok(false);
        }
        for other in [Some(row.asked_by), row.about] {
            let is_caller = |other: Member| is_same_person(&other, &caller.member);
            if self.one(other).await?.is_some_and(is_caller) && !sabotage::is_out(16) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn wish(&self, caller: &Caller, id: u64) -> Result<(WishRow, Wish)> {
        let rows = self.meta.wishes(caller.member.org).await?;
        let row = rows.into_iter().find(|row| row.id == id).ok_or(Error::NotFound("request"))?;
        let wish = serde_json::from_str(&row.act).map_err(|_| Error::Interrupted)?;
        Ok((row, wish))
    }

    /// Agrees to what somebody else asked for: it happens.
    pub async fn agree(&self, caller: &Caller, stepped_up: SteppedUp, id: u64) -> Result<()> {
        let (row, wish) = self.wish(caller, id).await?;
        let request = stepped_up.request();
        stepped_up.spend(caller, request, wish.opens())?;
        if !self.may_agree(caller, &row, &wish).await? {
            return refused("not_a_second_person", "somebody else must agree to this", None);
        }
        self.carry_out(caller, &row, wish, Kind::ApprovalGiven).await
    }

    /// Does what the caller asked for and nobody else was there to agree to, once the hour is over.
    pub async fn go_alone(&self, caller: &Caller, stepped_up: SteppedUp, id: u64) -> Result<()> {
        let (row, wish) = self.wish(caller, id).await?;
        let request = stepped_up.request();
        stepped_up.spend(caller, request, wish.opens())?;
        match row.due_us {
            Some(due_us) if row.asked_by == caller.member.id && self.now_us() >= due_us => {
                self.carry_out(caller, &row, wish, Kind::SelfApproved).await
            }
            _ => refused("not_due", "this waits for a second person, or for its time", None),
        }
    }

    /// Takes back what the caller asked for, or declines what they could agree to.
    pub async fn withdraw(&self, caller: &Caller, id: u64) -> Result<()> {
        let (row, wish) = self.wish(caller, id).await?;
        if row.asked_by != caller.member.id && !self.may_agree(caller, &row, &wish).await? {
            return Err(Error::NotFound("request"));
        }
        self.meta.take_wish(id).await?;
        let mut entry = caller.entry(self, Kind::ApprovalDeclined);
        (entry.object, entry.purpose) = (id, wish.number());
        self.ledger.append_async(entry).await?;
        Ok(())
    }

    async fn carry_out(&self, caller: &Caller, row: &WishRow, wish: Wish, kind: Kind) -> Result<()> {
        // Two who agree at once: one is enough.
        if !self.meta.take_wish(row.id).await? {
            return Err(Error::NotFound("request"));
        }
        let mut entry = caller.entry(self, kind);
        (entry.object, entry.purpose) = (row.id, wish.number());
        self.ledger.append_async(entry).await?;
        match wish {
            Wish::Unlock { lock } => self.open_lock(caller, lock).await,
            Wish::Roles { member, roles } => {
                self.apply_roles(caller, member, roles.into_iter().collect::<Roles>()).await
            }
            Wish::ExportToken { token } => Ok(self.meta.approve_token(token).await?),
            Wish::ListPersons { .. } | Wish::Package { .. } | Wish::Erase { .. } | Wish::Access { .. } => {
                let (print, now_us) = (self.wish_print(&wish)?, self.now_us());
                let until_us = now_us + limits::AGREED_SECONDS * 1_000_000;
                Ok(self.meta.insert_agreement(row.asked_by, &print, now_us, until_us).await?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_one_person_reads_are_one_person() {
        assert_eq!(mailbox("Ada+admin@Shop.example"), mailbox("ada@shop.example"));
        assert_ne!(mailbox("ada@shop.example"), mailbox("ada@other.example"));
        assert_ne!(mailbox("ada@shop.example"), mailbox("a.da@shop.example"));
    }
}
