//! Tokens of programs: a secret that is good for one kind of deed in one project, for a limited time.
//!
//! A project's public token, which SDKs carry, can only send events and is not one of these. A token is shown once, and
//! only a keyed hash of it is stored; looking one up writes nothing. It can be bound to a network of addresses. When it
//! is exchanged the old one is good for [`limits::TOKEN_GRACE_SECONDS`] more; when it is revoked, not at all.
//!
//! A token that exports ([`crate::disclosure`]) runs one definition that two people agreed to. It always has a network,
//! is over after [`limits::EXPORT_TOKEN_DAYS_MAX`] days, and whoever shows it from two networks within
//! [`limits::TOKEN_NETWORKS_SECONDS`], the right one among them or not, has it revoked.

use std::net::IpAddr;

use cofferdam_ledger::{Entry, Kind};
use cofferdam_model::policy::{Control, may};
use cofferdam_model::{Class, Decision, OrgId, ProjectId, Role, Roles, limits, sabotage};
use cofferdam_query::calendar::utc_text;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::approval::{Asked, Wish};
use crate::disclosure::{DisclosureRequest, spent};
use crate::lock::{LockReason, Network};
use crate::member::{Caller, SteppedUp};
use crate::meta::TokenRow;
use crate::{Engine, Error, Project, Result, random_hex, refused};

/// What a token is for. The numbers are in databases: none changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// Asks questions whose answers are aggregates.
    Query = 1,
    /// Runs one export. It takes a second person.
    Export = 2,
}

impl TokenKind {
    fn of_number(number: i64) -> Option<TokenKind> {
        [TokenKind::Query, TokenKind::Export].into_iter().find(|kind| *kind as i64 == number)
    }

    fn roles(self) -> Roles {
        Roles::NONE.with(match self {
            TokenKind::Query => Role::SvcQuery,
            TokenKind::Export => Role::SvcExport,
        })
    }
}

/// A program that calls with a token.
#[derive(Clone, Copy, Debug)]
pub struct TokenCaller {
    pub number: u64,
    pub org: OrgId,
    /// The only one that exists for it.
    pub project: ProjectId,
    pub kind: TokenKind,
    pub roles: Roles,
    pub ip: Option<IpAddr>,
    /// Who made it: it is locked with them.
    pub made_by: u32,
    /// Microseconds since 1970-01-01 UTC.
    pub made_us: i64,
}

/// What a new token is for.
pub enum TokenUse {
    Query,
    /// Exactly this export.
    Export(DisclosureRequest),
}

/// What a new token shall be.
pub struct NewToken {
    pub name: String,
    pub is_for: TokenUse,
    pub days: u32,
    /// Addresses it may come from: `192.0.2.0/24`.
    pub network: Option<String>,
}

/// A token as members see it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TokenView {
    pub number: u64,
    pub name: String,
    pub kind: TokenKind,
    pub network: Option<String>,
    pub made_by: u32,
    /// RFC 3339, UTC.
    pub made_at: String,
    pub expires_at: String,
    pub used_at: Option<String>,
    pub revoked_at: Option<String>,
    /// A second person agreed, where one is needed.
    pub is_approved: bool,
}

/// What became of a new token.
pub enum TokenMade {
    /// The token, which is shown once.
    Ready { number: u64, token: String },
    /// It waits for a second person; exchange it then, to have one that is shown.
    Asked { number: u64, asked: Asked },
}

/// Under which what a token exports is sealed.
const EXPORT: &str = "export of a token";

/// What every token starts with, so that scanners for secrets know it.
const PREFIX: &str = "cofferdam_";

impl Engine {
    /// Makes a token for a project.
    pub async fn make_token(
        &self,
        caller: &Caller,
        stepped_up: SteppedUp,
        project: &Project,
        new: NewToken,
    ) -> Result<TokenMade> {
        let (kind, days_max, export) = match new.is_for {
            TokenUse::Query => (TokenKind::Query, limits::TOKEN_DAYS_MAX, None),
            TokenUse::Export(export) => {
                let export = export.checked()?;
                export.check_bound(TokenKind::Export.roles())?;
                (TokenKind::Export, limits::EXPORT_TOKEN_DAYS_MAX, Some(export))
            }
        };
        let newest_us = spent(caller, stepped_up, export.as_ref().map_or(Class::C0, DisclosureRequest::opens))?;
        let name = crate::account::check_name(&new.name)?;
        if !(1..=days_max).contains(&new.days) {
            let message = format!("such a token is good for 1 to {days_max} days");
            return refused("invalid_expiry", message, None);
        }
        if export.is_some() {
            if new.network.is_none() {
                let hint = Some("name the one that the program runs in, such as 192.0.2.0/24");
                return refused("network_needed", "a token that exports is bound to a network", hint);
            }
            self.check_held(caller, newest_us).await?;
        }
        let network = match new.network.as_deref().map(Network::parse) {
            Some(None) => return refused("invalid_network", "this is no network", Some("write 192.0.2.0/24")),
            Some(Some(network)) => Some(network.to_string()),
            None => None,
        };
        if self.meta.tokens(project.id).await?.iter().filter(|row| row.revoked_us.is_none()).count()
            >= limits::TOKENS_MAX
        {
            return refused("too_many_tokens", "the project has too many tokens", Some("revoke some first"));
        }
        let (token, print) = self.new_token();
        let now_us = self.now_us();
        let is_approved = export.is_none();
        let row = TokenRow {
            number: 0,
            org: project.org,
            project: project.id,
            kind: kind as i64,
            name: name.to_owned(),
            print: print.to_vec(),
            old_until_us: 0,
            network,
            made_by: caller.member.id,
            made_us: now_us,
            expires_us: now_us + i64::from(new.days) * 86_400_000_000,
            is_approved,
            revoked_us: None,
            used_us: None,
        };
        let sealed = export.map(|export| {
            let json = export.json();
            move |number: u64| self.vault.seal_secret(EXPORT, number as u32, &json)
        });
        let seal = sealed.as_ref().map(|seal| seal as &(dyn Fn(u64) -> Vec<u8> + Sync));
        let number = self.meta.insert_token(&row, seal).await?;
        let mut entry = caller.entry(self, Kind::TokenMade);
        entry.token = Some(self.token_pseudonym(number));
        (entry.object, entry.purpose) = (u64::from(project.id.0), kind as u64);
        self.ledger.append_async(entry).await?;
        if is_approved {
            return Ok(TokenMade::Ready { number, token });
        }
        let asked = self.ask_second(caller, Wish::ExportToken { token: number }, None).await?;
        Ok(TokenMade::Asked { number, asked })
    }

    /// The export that a token runs.
    pub(crate) async fn export_of(&self, number: u64) -> Result<DisclosureRequest> {
        let sealed = self.meta.export_of_token(number).await?.ok_or(Error::NotFound("export"))?;
        let json = self.vault.open_secret(EXPORT, number as u32, &sealed)?;
        serde_json::from_slice(&json).map_err(|_| Error::Interrupted)
    }

    /// What a token of the caller's organisation exports, for whoever makes such tokens, agrees to them or oversees.
    ///
    /// # Errors
    /// When there is none, or the caller may not see it.
    pub async fn token_export(&self, caller: &Caller, number: u64) -> Result<DisclosureRequest> {
        let is_shown = [Control::ManageExportTokens, Control::ReadLedger]
            .into_iter()
            .any(|control| may(caller.member.roles, control) != Decision::Deny);
        let row = self.meta.token(number).await?.filter(|row| is_shown && row.org == caller.member.org);
        self.export_of(row.ok_or(Error::NotFound("token"))?.number).await
    }

    fn new_token(&self) -> (String, [u8; 32]) {
        let token = format!("{PREFIX}{}", random_hex::<32>());
        let print = self.vault.fingerprint("token", token.as_bytes());
        (token, print)
    }

    async fn token_of(&self, project: &Project, number: u64) -> Result<TokenRow> {
        let row = self.meta.token(number).await?.filter(|row| row.project == project.id && row.revoked_us.is_none());
        row.ok_or(Error::NotFound("token"))
    }

    pub async fn tokens(&self, project: &Project) -> Result<Vec<TokenView>> {
        let rows = self.meta.tokens(project.id).await?;
        rows.into_iter()
            .map(|row| {
                Ok(TokenView {
                    number: row.number,
                    name: row.name,
                    kind: TokenKind::of_number(row.kind).ok_or(Error::Interrupted)?,
                    network: row.network,
                    made_by: row.made_by,
                    made_at: utc_text(row.made_us),
                    expires_at: utc_text(row.expires_us),
                    used_at: row.used_us.map(utc_text),
                    revoked_at: row.revoked_us.map(utc_text),
                    is_approved: row.is_approved,
                })
            })
            .collect()
    }

    /// Exchanges a token that the caller made. The new one is shown once.
    pub async fn rotate_token(
        &self,
        caller: &Caller,
        stepped_up: SteppedUp,
        project: &Project,
        number: u64,
    ) -> Result<String> {
        let request = stepped_up.request();
        stepped_up.spend(caller, request, Class::C0)?;
        let row = self.token_of(project, number).await?;
        if row.made_by != caller.member.id {
            return refused("not_your_token", "whoever made a token exchanges it", Some("make one of your own"));
        }
        let (token, print) = self.new_token();
        let until_us = match cofferdam_model::sabotage::is_out(33) {
            true => i64::MAX,
            false => self.now_us() + limits::TOKEN_GRACE_SECONDS * 1_000_000,
        };
        self.meta.rotate_token(number, &print, until_us).await?;
        let mut entry = caller.entry(self, Kind::TokenRotated);
        entry.token = Some(self.token_pseudonym(number));
        self.ledger.append_async(entry).await?;
        Ok(token)
    }

    pub async fn revoke_token(&self, caller: &Caller, project: &Project, number: u64) -> Result<()> {
        self.token_of(project, number).await?;
        self.end_token(number).await?;
        let mut entry = caller.entry(self, Kind::TokenRevoked);
        entry.token = Some(self.token_pseudonym(number));
        self.ledger.append_async(entry).await?;
        Ok(())
    }

    /// Ends a token, and what runs by it.
    async fn end_token(&self, number: u64) -> Result<()> {
        self.disclosures.stop(|run| run.who.token == Some(number));
        self.meta.revoke_token(number, self.now_us()).await?;
        Ok(())
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// When there is none, it is over, locked, or comes from elsewhere than it may.
    pub async fn authenticate_token(&self, token: &str, ip: Option<IpAddr>) -> Result<TokenCaller> {
        if !token.starts_with(PREFIX) || token.len() != PREFIX.len() + 64 {
            return Err(Error::NotSignedIn);
        }
        let print = self.vault.fingerprint("token", token.as_bytes());
        let row = self.meta.token_by_print(&print).await?.ok_or(Error::NotSignedIn)?;
        let now_us = self.now_us();
        let is_old = row.print != print && now_us > row.old_until_us;
        let is_over = now_us >= row.expires_us && !sabotage::is_out(30);
        if !row.is_approved || row.revoked_us.is_some() || is_over || is_old {
            return Err(Error::NotSignedIn);
        }
        let kind = TokenKind::of_number(row.kind).ok_or(Error::NotSignedIn)?;
        let caller = TokenCaller {
            number: row.number,
            org: row.org,
            project: row.project,
            kind,
            roles: kind.roles(),
            ip,
            made_by: row.made_by,
            made_us: row.made_us,
        };
        self.check_unlocked(&caller.who())?;
        if kind == TokenKind::Export {
            self.check_one_network(&caller).await?;
        }
        let network = row.network.as_deref().and_then(Network::parse);
        let is_elsewhere = network.is_some_and(|network| !ip.is_some_and(|ip| network.contains(ip)));
        if is_elsewhere && !sabotage::is_out(30) {
            self.ledger.append_async(caller.entry(self, Kind::TokenRefused)).await?;
            return Err(Error::NotSignedIn);
        }
        if row.used_us.is_none_or(|used_us| now_us - used_us > 60_000_000) {
            self.meta.touch_token(row.number, now_us).await?;
        }
        Ok(caller)
    }

    /// Ends a token that comes from a second network: it is in two places, and belongs in one.
    async fn check_one_network(&self, caller: &TokenCaller) -> Result<()> {
        let network = caller.ip.map_or_else(String::new, |ip| Network::around(ip).to_string());
        let print = self.vault.fingerprint("token network", network.as_bytes());
        let now_us = self.now_us();
        let after_us = now_us - limits::TOKEN_NETWORKS_SECONDS * 1_000_000;
        if self.meta.token_came(caller.number, &print, now_us, after_us).await? || sabotage::is_out(30) {
            return Ok(());
        }
        self.end_token(caller.number).await?;
        tracing::warn!(token = caller.number, "a token came from two networks, and is revoked");
        let entry = Entry { purpose: LockReason::Breaker as u64, ..caller.entry(self, Kind::TokenRevoked) };
        self.ledger.append_async(entry).await?;
        Err(Error::NotSignedIn)
    }
}
