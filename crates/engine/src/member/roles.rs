//! Who is a member, and with which roles: inviting, joining, changing roles, leaving.
//!
//! Nobody raises themselves, and nobody alone gives away what they do not hold: a change that would let its target do
//! more than whoever makes it waits for a second person ([`crate::approval`]). Otherwise an administrator could make up
//! a member who reads what they may not. An organisation always has an owner.

use std::collections::HashMap;
use std::sync::Mutex;

use cofferdam_ledger::{Entry, Kind};
use cofferdam_model::{Class, OrgId, Role, Roles, limits, sabotage};
use cofferdam_query::calendar::utc_text;
use serde::Serialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::session::{SignedIn, Visitor};
use super::{Caller, Factor, SteppedUp};
use crate::account::{TotpEnrolment, check_email, check_name, check_password};
use crate::approval::{Asked, Wish};
use crate::meta::{InvitationRow, MemberRow, NewMember};
use crate::{Engine, Error, Result, random_hex, refused};

/// A member as colleagues see them.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
pub struct MemberView {
    pub id: u32,
    pub name: String,
    pub email: String,
    pub roles: Vec<Role>,
    /// RFC 3339, UTC.
    pub joined_at: String,
    pub passkeys: u64,
    pub is_locked: bool,
}

/// An invitation that was not taken yet. Its code is nowhere.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Invitation {
    pub id: u64,
    pub roles: Vec<Role>,
    /// Who invited; nobody for the first member of an organisation.
    pub invited_by: Option<u32>,
    /// RFC 3339, UTC.
    pub created_at: String,
    pub expires_at: String,
}

/// A new invitation. The code is shown once, for the inviter to hand over.
pub struct Invited {
    pub id: u64,
    pub code: String,
}

/// What somebody says who takes an invitation. No `Debug`: it holds a password.
pub struct Join {
    pub code: String,
    pub name: String,
    pub email: String,
    pub password: Zeroizing<String>,
    pub totp_code: String,
}

/// What became of a change of roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolesSet {
    Done,
    /// A second person must agree.
    Asked(Asked),
}

/// TOTP secrets that were offered to those who join, until they are confirmed.
#[derive(Default)]
pub(crate) struct Joining(Mutex<HashMap<u64, (String, Zeroizing<Vec<u8>>)>>);

impl From<InvitationRow> for Invitation {
    fn from(row: InvitationRow) -> Invitation {
        Invitation {
            id: row.id,
            roles: row.roles.iter().collect(),
            invited_by: row.invited_by,
            created_at: utc_text(row.created_us),
            expires_at: utc_text(row.expires_us),
        }
    }
}

/// Roles that members can have, and at least one.
fn check_roles(roles: Roles) -> Result<()> {
    let of_members: Roles = Role::OF_MEMBERS.iter().copied().collect();
    if roles.is_empty() || !roles.without(of_members).is_empty() {
        return refused("invalid_roles", "a member has one or more of the roles for members", None);
    }
    Ok(())
}

impl Engine {
    /// The members of the caller's organisation, oldest first.
    pub async fn members(&self, caller: &Caller) -> Result<Vec<MemberView>> {
        let mut views = Vec::new();
        for row in self.meta.members(Some(caller.member.org)).await? {
            let passkeys = self.meta.passkeys(row.id).await?.len() as u64;
            let who = super::Who { member: Some(row.id), session: None, ip: None, since_us: i64::MAX, ..caller.who() };
            let (id, roles, created_us) = (row.id, row.roles, row.created_us);
            let member = self.member_of(row).await?;
            views.push(MemberView {
                id,
                name: member.name,
                email: member.email,
                roles: roles.iter().collect(),
                joined_at: utc_text(created_us),
                passkeys,
                is_locked: self.refused_by_lock(&who).is_some(),
            });
        }
        Ok(views)
    }

    async fn member_row(&self, org: OrgId, id: u32) -> Result<MemberRow> {
        let row = self.meta.member(id).await?.filter(|row| row.org == org || sabotage::is_out(76));
        row.ok_or(Error::NotFound("member"))
    }

    /// Invites somebody. Answers a code that is shown once.
    pub async fn invite(&self, caller: &Caller, stepped_up: SteppedUp, roles: Roles) -> Result<Invited> {
        let request = stepped_up.request();
        stepped_up.spend(caller, request, Class::C0)?;
        check_roles(roles)?;
        if !caller.member.roles.cover(roles) && !sabotage::is_out(25) {
            return refused(
                "roles_beyond_own",
                "these roles may do more than you",
                Some("invite with other roles, then change them: a second person is asked to agree"),
            );
        }
        let (org, now_us) = (caller.member.org, self.now_us());
        if self.meta.invitations(org, now_us).await?.len() >= limits::INVITATIONS_MAX {
            return refused("too_many_invitations", "too many invitations wait", Some("withdraw some first"));
        }
        let invited = self.new_invitation(org, roles, Some(caller.member.id)).await?;
        let mut entry = caller.entry(self, Kind::MemberInvited);
        (entry.object, entry.extra) = (invited.id, roles.bits().to_be_bytes().to_vec());
        self.ledger.append_async(entry).await?;
        Ok(invited)
    }

    async fn new_invitation(&self, org: OrgId, roles: Roles, by: Option<u32>) -> Result<Invited> {
        let code = random_hex::<16>();
        let print = self.vault.fingerprint("invitation", code.as_bytes());
        let now_us = self.now_us();
        let times = (now_us, now_us + limits::INVITATION_SECONDS * 1_000_000);
        Ok(Invited { id: self.meta.insert_invitation(org, &print, roles, by, times).await?, code })
    }

    pub async fn invitations(&self, caller: &Caller) -> Result<Vec<Invitation>> {
        let rows = self.meta.invitations(caller.member.org, self.now_us()).await?;
        Ok(rows.into_iter().map(Invitation::from).collect())
    }

    pub async fn withdraw_invitation(&self, caller: &Caller, id: u64) -> Result<()> {
        if !self.meta.delete_invitation(caller.member.org, id).await? {
            return Err(Error::NotFound("invitation"));
        }
        Ok(())
    }

    /// Another organisation: for whoever runs the server. Answers the code for its first member.
    pub async fn create_organisation(&self, name: &str) -> Result<(OrgId, String)> {
        let name = check_name(name)?;
        let org = self.meta.insert_organisation(name, self.now_us()).await?;
        let invited = self.new_invitation(org, Roles::FIRST_MEMBER, None).await?;
        let entry = Entry { org: Some(self.org_pseudonym(org)), ..Entry::of(Kind::OrganisationCreated) };
        self.ledger.append_async(Entry { object: u64::from(org.0), ..entry }).await?;
        Ok((org, invited.code))
    }

    async fn open_invitation(&self, code: &str) -> Result<InvitationRow> {
        let code = code.trim();
        let print = self.vault.fingerprint("invitation", code.as_bytes());
        let found = if code.len() <= 64 { self.meta.invitation(&print, self.now_us()).await? } else { None };
        found.map_or_else(
            || {
                refused(
                    "wrong_invitation",
                    "this invitation is not there",
                    Some("it may be used or too old: ask for another"),
                )
            },
            Ok,
        )
    }

    /// Offers a TOTP secret to whoever has an invitation.
    pub async fn begin_join(&self, code: &str, email: &str) -> Result<TotpEnrolment> {
        let invitation = self.open_invitation(code).await?;
        let email = check_email(email)?;
        let (enrolment, secret) = crate::account::new_totp(&email)?;
        let mut joining = self.joining.0.lock().expect("never left half changed");
        if joining.len() >= limits::JOINING_MAX {
            joining.clear();
        }
        joining.insert(invitation.id, (email, secret));
        Ok(enrolment)
    }

    /// Makes a member of whoever has an invitation, and signs them in.
    pub async fn join(&self, join: Join, visitor: &Visitor) -> Result<SignedIn> {
        let invitation = self.open_invitation(&join.code).await?;
        let (name, email) = (check_name(&join.name)?, check_email(&join.email)?);
        check_password(&join.password, &email)?;
        let offered = self.joining.0.lock().expect("never left half changed").get(&invitation.id).cloned();
        let Some((_, secret)) = offered.filter(|(of, _)| *of == email) else {
            return refused(
                "totp_not_started",
                "scan the QR code again",
                Some("it belongs to another address or an earlier start"),
            );
        };
        let step = self.right_code(&secret, &email, &join.totp_code)?;
        let hash = self.hash_password(join.password).await?;
        let print = self.vault.fingerprint("member email", email.as_bytes());
        let seal = |id: u32| self.seal_member(id, name, &email, &secret);
        let new = NewMember {
            email_print: &print,
            seal: &seal,
            password_hash: &hash,
            totp_step: step,
            roles: invitation.roles,
            now_us: self.now_us(),
        };
        let Some(id) = self.meta.join(invitation.id, invitation.org, &new).await? else {
            return refused(
                "cannot_join",
                "the invitation is used, or somebody with this address is a member already",
                Some("sign in instead, or use another address"),
            );
        };
        self.joining.0.lock().expect("never left half changed").remove(&invitation.id);
        let row = self.meta.member(id).await?.ok_or(Error::Interrupted)?;
        let signed_in = self.open_session(row, Factor::Totp, visitor).await?;
        let mut entry = signed_in.caller.entry(self, Kind::MemberJoined);
        (entry.object, entry.extra) = (u64::from(id), invitation.roles.bits().to_be_bytes().to_vec());
        self.ledger.append_async(entry).await?;
        Ok(signed_in)
    }

    /// Changes a member's roles.
    pub async fn set_roles(
        &self,
        caller: &Caller,
        stepped_up: SteppedUp,
        member: u32,
        roles: Roles,
    ) -> Result<RolesSet> {
        let request = stepped_up.request();
        stepped_up.spend(caller, request, Class::C0)?;
        check_roles(roles)?;
        let row = self.member_row(caller.member.org, member).await?;
        let added = roles.without(row.roles);
        if member == caller.member.id && !added.is_empty() && !sabotage::is_out(25) {
            return refused("own_roles", "nobody raises themselves", Some("ask somebody who may change roles"));
        }
        self.check_owner(caller, &row, roles).await?;
        if caller.member.roles.cover(added) || sabotage::is_out(25) {
            self.apply_roles(caller, member, roles).await?;
            return Ok(RolesSet::Done);
        }
        let wish = Wish::Roles { member, roles: roles.iter().collect() };
        Ok(RolesSet::Asked(self.ask_second(caller, wish, Some(member)).await?))
    }

    /// An owner is changed by owners only, and the last one stays.
    async fn check_owner(&self, caller: &Caller, row: &MemberRow, roles: Roles) -> Result<()> {
        if !row.roles.has(Role::OrgOwner) {
            return Ok(());
        }
        if !caller.member.roles.has(Role::OrgOwner) {
            return refused("owner_only", "only an owner changes an owner", None);
        }
        let owners =
            self.meta.members(Some(row.org)).await?.iter().filter(|other| other.roles.has(Role::OrgOwner)).count();
        if owners < 2 && !roles.has(Role::OrgOwner) {
            return refused(
                "last_owner",
                "an organisation always has an owner",
                Some("make somebody else owner first"),
            );
        }
        Ok(())
    }

    pub(crate) async fn apply_roles(&self, caller: &Caller, member: u32, roles: Roles) -> Result<()> {
        let row = self.member_row(caller.member.org, member).await?;
        let mut entry = caller.entry(self, Kind::RoleChanged);
        entry.object = u64::from(member);
        entry.extra = [row.roles.bits().to_be_bytes(), roles.bits().to_be_bytes()].concat();
        self.ledger.append_async(entry).await?;
        Ok(self.meta.set_roles(member, roles).await?)
    }

    /// Ends a membership, with its sessions and the tokens it made, at once.
    pub async fn remove_member(&self, caller: &Caller, stepped_up: SteppedUp, member: u32) -> Result<()> {
        let request = stepped_up.request();
        stepped_up.spend(caller, request, Class::C0)?;
        let row = self.member_row(caller.member.org, member).await?;
        self.check_owner(caller, &row, Roles::NONE).await?;
        let nobody = crate::random::<32>();
        self.meta.remove_member(member, &nobody, self.now_us()).await?;
        let mut entry = caller.entry(self, Kind::MemberRemoved);
        entry.object = u64::from(member);
        self.ledger.append_async(entry).await?;
        Ok(())
    }
}
