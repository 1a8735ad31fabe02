//! Signing in, and the sessions that come of it.
//!
//! A session is a random token of which only a keyed hash is stored. Each sign-in gives a new one and ends the one the
//! browser had. It ends after a time without use and after a time in any case; a member has a limited number, and the
//! oldest give way.
//!
//! Guesses are limited per account, for browsers that never signed in to it, and per address; a browser that did has a
//! limit of its own, and a passkey none, since it cannot be guessed: strangers who guess lock nobody out.

use std::net::IpAddr;

use cofferdam_ledger::{Entry, Kind};
use cofferdam_model::{limits, sabotage};
use cofferdam_query::calendar::utc_text;
use serde::Serialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::webauthn::{self, Assertion};
use super::{Caller, Factor, Session};
use crate::account::{normal_email, wrong_credentials};
use crate::meta::{MemberRow, NewSession};
use crate::{Engine, Error, Result, random_hex, refused};

/// What a request brings along before anybody is known.
#[derive(Clone, Default)]
pub struct Visitor {
    pub ip: Option<IpAddr>,
    /// What the browser kept of an earlier sign-in.
    pub device: Option<String>,
    /// What the browser calls itself. Only its family is kept.
    pub user_agent: String,
    /// The session the browser had: it ends with a new one.
    pub session: Option<String>,
}

/// What somebody signs in with. No `Debug`: it holds a password.
pub struct Credentials {
    pub email: String,
    pub password: Zeroizing<String>,
    /// Of the authenticator app, or a recovery code.
    pub code: String,
    /// Instead of the password, for whoever is asked for another one.
    pub new_password: Option<Zeroizing<String>>,
}

/// A sign-in that worked.
pub struct SignedIn {
    pub caller: Caller,
    /// For the browser to send with each request.
    pub token: String,
    /// For the browser to keep.
    pub device: String,
}

/// What a passkey must sign for somebody to come in.
pub struct PasskeySignIn {
    pub challenge: [u8; 32],
    pub rp_id: String,
}

/// A session as its member sees it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SessionView {
    pub number: u64,
    /// RFC 3339, UTC.
    pub opened_at: String,
    pub seen_at: String,
    pub ends_at: String,
    pub factor: Factor,
    /// Country, and region and city where a database knows them; empty when unknown.
    pub place: String,
    /// Family, major version and system; empty when unknown.
    pub browser: String,
    /// The one that asks.
    pub is_this: bool,
}

impl Engine {
    /// Signs in with password and code; one message for whatever is wrong.
    pub async fn sign_in(&self, credentials: Credentials, visitor: &Visitor) -> Result<SignedIn> {
        let Credentials { email, password, code, new_password } = credentials;
        if email.len() > 254 || password.chars().count() > limits::PASSWORD_CHARS_MAX {
            return wrong_credentials();
        }
        let email = normal_email(&email);
        let print = self.vault.fingerprint("member email", email.as_bytes());
        let row = self.meta.member_by_print(&print).await?;
        let account = self.attempt(&print, row.as_ref(), visitor).await?;
        let known = row.as_ref().map(|row| row.id);
        let Some((row, factor)) = self.checked(row, &email, password, &code).await? else {
            // For a known account, of which the tries are limited: strangers cannot make the ledger grow.
            if let Some(member) = known {
                let entry = Entry { actor: Some(self.actor(member)), ..Entry::of(Kind::SignInRefused) };
                let ip = visitor.ip.map(|ip| self.ip_pseudonym(ip));
                self.ledger.append_async(Entry { ip, ..entry }).await?;
            }
            return wrong_credentials();
        };
        self.accounts.forgive(&account);
        // Before anything of theirs is exchanged: whoever is locked, or comes from a blocked address, stays out.
        self.check_unlocked(&who_is_at_the_door(&row, visitor))?;
        if let Some(since_us) = self.locks.reset_since(row.org, row.id) {
            // Their password may be in other hands: who has a passkey shows it, who has none leaves the password behind.
            if !self.meta.passkeys(row.id).await?.is_empty() {
                return refused(
                    "passkey_sign_in",
                    "you must sign in anew, with a passkey or security key",
                    Some("choose to sign in with a passkey"),
                );
            }
            if row.password_us <= since_us {
                let Some(password) = new_password else {
                    return refused(
                        "new_password_needed",
                        "you must sign in anew, and choose another password",
                        Some("send it with the next code of your app: a code works once"),
                    );
                };
                self.replace_password(&row, &email, password, visitor.ip).await?;
            }
        }
        self.open_session(row, factor, visitor).await
    }

    /// Notes an attempt at an account. A browser that is known of it has a count of its own.
    async fn attempt(&self, print: &[u8; 32], row: Option<&MemberRow>, visitor: &Visitor) -> Result<[u8; 32]> {
        if let (Some(row), Some(device)) = (row, &visitor.device) {
            let device = self.device_print(device);
            if self.meta.device_since(&device, row.id).await?.is_some() {
                let account = self.vault.fingerprint("attempts", &[&print[..], &device].concat());
                self.accounts.attempt(account, limits::SIGN_IN_TRIES_MAX, self.now_us())?;
                return Ok(account);
            }
        }
        if sabotage::is_out(7) {
            return Ok(*print);
        }
        if let Some(ip) = visitor.ip {
            let network = self.vault.fingerprint("attempts from", &network_of(ip));
            self.accounts.attempt(network, limits::SIGN_IN_ADDRESS_TRIES_MAX, self.now_us())?;
        }
        self.accounts.attempt(*print, limits::SIGN_IN_TRIES_MAX, self.now_us())?;
        Ok(*print)
    }

    /// Asks for a passkey's signature, of whoever it is.
    pub fn begin_passkey_sign_in(&self) -> PasskeySignIn {
        PasskeySignIn { challenge: self.ceremonies.sign_in_challenge(self), rp_id: self.access.rp_id().to_owned() }
    }

    /// Signs in with a passkey, which says itself whose it is.
    pub async fn finish_passkey_sign_in(&self, assertion: &Assertion, visitor: &Visitor) -> Result<SignedIn> {
        let wrong = || {
            refused(
                "wrong_credentials",
                "this passkey could not be confirmed",
                Some("it may have been removed, or it is of another address"),
            )
        };
        let Some(challenge) = webauthn::challenge_of(&assertion.client_data) else { return wrong() };
        if !self.ceremonies.take_sign_in(self, &challenge) {
            return wrong();
        }
        let Some(passkey) = self.meta.passkey_by_credential(&assertion.credential).await? else { return wrong() };
        let is_theirs =
            assertion.user_handle.as_deref().is_none_or(|handle| handle == self.user_handle(passkey.member));
        if !is_theirs || self.passkey_signed(&passkey, assertion, &challenge).await?.is_none() {
            return wrong();
        }
        let Some(row) = self.meta.member(passkey.member).await? else { return wrong() };
        self.open_session(row, Factor::Passkey, visitor).await
    }

    pub(crate) async fn open_session(&self, row: MemberRow, factor: Factor, visitor: &Visitor) -> Result<SignedIn> {
        self.check_unlocked(&who_is_at_the_door(&row, visitor))?;
        if let Some(old) = &visitor.session
            && let Some(session) = self.meta.session(&self.session_print(old)).await?
            && session.member == row.id
        {
            self.meta.delete_session(session.number).await?;
        }
        let token = random_hex::<32>();
        let kept = visitor.device.clone().filter(|device| device.len() == 64);
        let device = kept.unwrap_or_else(random_hex::<32>);
        let device_print = self.device_print(&device);
        let now_us = self.now_us();
        let number = self
            .meta
            .insert_session(&NewSession {
                print: &self.session_print(&token),
                member: row.id,
                factor: factor as i64,
                device: &device_print,
                place: &visitor.ip.and_then(|ip| self.vault.place_of(ip)).unwrap_or_default(),
                browser: &cofferdam_vault::browser_family(&visitor.user_agent).unwrap_or_default(),
                now_us,
            })
            .await?;
        let session = Session { number, opened_us: now_us, factor };
        let caller = Caller { member: self.member_of(row).await?, session, ip: visitor.ip, device: Some(device_print) };
        let mut entry = caller.entry(self, Kind::SignedIn);
        entry.purpose = factor as u64;
        self.ledger.append_async(entry).await?;
        Ok(SignedIn { caller, token, device })
    }

    /// The member of a session token, and the session. One that comes from another browser than it was opened in goes
    /// on, since browsers change what they call themselves; the ledger has it, once.
    ///
    /// # Errors
    /// When there is no such session, it is over, or it is locked.
    pub async fn authenticate(&self, token: &str, visitor: &Visitor) -> Result<Caller> {
        let row = self.meta.session(&self.session_print(token)).await?.ok_or(Error::NotSignedIn)?;
        let now_us = self.now_us();
        let too_old = now_us - row.created_us > limits::SESSION_SECONDS_MAX * 1_000_000;
        let is_over = too_old || now_us - row.seen_us > limits::SESSION_IDLE_SECONDS_MAX * 1_000_000;
        if is_over && !sabotage::is_out(10) {
            self.meta.delete_session(row.number).await?;
            return Err(Error::NotSignedIn);
        }
        if now_us - row.seen_us > 60_000_000 {
            self.meta.touch_session(row.number, now_us).await?;
        }
        let member = self.meta.member(row.member).await?.ok_or(Error::NotSignedIn)?;
        let factor = Factor::of_number(row.factor).ok_or(Error::NotSignedIn)?;
        let session = Session { number: row.number, opened_us: row.created_us, factor };
        let device = row.device.as_slice().try_into().ok();
        let caller = Caller { member: self.member_of(member).await?, session, ip: visitor.ip, device };
        self.check_unlocked(&caller.who())?;
        if is_another(&row.browser, &visitor.user_agent) && self.accounts.is_news(row.number) {
            let written = self.ledger.append_async(caller.entry(self, Kind::SessionElsewhere)).await;
            written.inspect_err(|_| self.accounts.forget_elsewhere(row.number))?;
        }
        Ok(caller)
    }

    pub async fn sign_out(&self, token: &str) -> Result<()> {
        if let Some(session) = self.meta.session(&self.session_print(token)).await? {
            self.meta.delete_session(session.number).await?;
            let session_c = Some(self.session_pseudonym(session.number));
            let actor = Some(self.actor(session.member));
            self.ledger.append_async(Entry { actor, session: session_c, ..Entry::of(Kind::SignedOut) }).await?;
        }
        Ok(())
    }

    /// The caller's sessions, newest first.
    pub async fn sessions(&self, caller: &Caller) -> Result<Vec<SessionView>> {
        let rows = self.meta.sessions(caller.member.id).await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| {
                let ends_us = (row.created_us + limits::SESSION_SECONDS_MAX * 1_000_000)
                    .min(row.seen_us + limits::SESSION_IDLE_SECONDS_MAX * 1_000_000);
                Some(SessionView {
                    number: row.number,
                    opened_at: utc_text(row.created_us),
                    seen_at: utc_text(row.seen_us),
                    ends_at: utc_text(ends_us),
                    factor: Factor::of_number(row.factor)?,
                    place: row.place,
                    browser: row.browser,
                    is_this: row.number == caller.session.number,
                })
            })
            .collect())
    }

    /// Ends one of the caller's sessions.
    pub async fn end_session(&self, caller: &Caller, number: u64) -> Result<()> {
        let own = self.meta.sessions(caller.member.id).await?;
        if !own.iter().any(|row| row.number == number) {
            return Err(Error::NotFound("session"));
        }
        self.meta.delete_session(number).await?;
        let mut entry = caller.entry(self, Kind::SessionEnded);
        entry.object = number;
        self.ledger.append_async(entry).await?;
        Ok(())
    }

    /// Ends all sessions of the caller but the one that asks. Answers how many.
    pub async fn end_other_sessions(&self, caller: &Caller) -> Result<u64> {
        let ended = self.meta.delete_sessions_of(caller.member.id, Some(caller.session.number)).await?;
        let mut entry = caller.entry(self, Kind::SessionEnded);
        entry.count = ended;
        self.ledger.append_async(entry).await?;
        Ok(ended)
    }

    fn session_print(&self, token: &str) -> [u8; 32] {
        self.vault.fingerprint("session", token.as_bytes())
    }

    fn device_print(&self, device: &str) -> [u8; 32] {
        self.vault.fingerprint("device", device.as_bytes())
    }
}

/// Whoever signs in, before there is a session.
fn who_is_at_the_door(row: &MemberRow, visitor: &Visitor) -> super::Who {
    super::Who {
        org: row.org,
        member: Some(row.id),
        maker: None,
        session: None,
        token: None,
        grant: None,
        ip: visitor.ip,
        since_us: i64::MAX,
    }
}

/// Whether a session that was opened in one browser is used by another: of another family, or on another system.
/// Versions go up while a session lasts. What was opened by a program is a program's.
fn is_another(opened_in: &str, user_agent: &str) -> bool {
    let family = |browser: &str| browser.replace(|letter: char| letter.is_ascii_digit(), "");
    let now = cofferdam_vault::browser_family(user_agent).unwrap_or_default();
    !opened_in.is_empty() && family(opened_in) != family(&now)
}

/// An address, or the network that one customer has of the longer kind.
fn network_of(ip: IpAddr) -> Vec<u8> {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets()[..8].to_vec(),
    }
}
