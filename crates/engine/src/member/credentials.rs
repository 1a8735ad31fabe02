//! Another password, another authenticator app: what a member signs in with, exchanged by themselves.
//!
//! Each takes an old factor once more, is written down first, and ends every other session of the member: who exchanges
//! a password has a reason. Nobody exchanges somebody else's. Whoever must sign in anew after an incident and has no
//! passkey chooses another password on the way in, since the old one may be in other hands.

use std::collections::HashMap;
use std::sync::Mutex;

use cofferdam_ledger::{Entry, Kind};
use cofferdam_model::{Class, limits};
use zeroize::Zeroizing;

use super::{Caller, SteppedUp};
use crate::account::{check_password, new_totp};
use crate::meta::MemberRow;
use crate::{Engine, Error, Result, TotpEnrolment, refused};

/// TOTP secrets that were offered to sessions, and when, until they are confirmed.
#[derive(Default)]
pub(crate) struct Offered(Mutex<HashMap<u64, Offer>>);

/// A secret, and when it was offered.
type Offer = (Zeroizing<Vec<u8>>, i64);

impl Engine {
    /// Gives the caller another password, and ends their other sessions.
    ///
    /// # Errors
    /// When it is weak, or the one they have.
    pub async fn change_password(
        &self,
        caller: &Caller,
        stepped_up: SteppedUp,
        password: Zeroizing<String>,
    ) -> Result<()> {
        let request = stepped_up.request();
        stepped_up.spend(caller, request, Class::C0)?;
        let row = self.meta.member(caller.member.id).await?.ok_or(Error::NotSignedIn)?;
        let hash = self.other_password(&row, &caller.member.email, password).await?;
        self.ledger.append_async(caller.entry(self, Kind::PasswordChanged)).await?;
        self.meta.set_password(caller.member.id, &hash, self.now_us()).await?;
        self.end_other_sessions(caller).await.map(drop)
    }

    /// The hash of a password that is good, and not the one somebody has.
    async fn other_password(&self, row: &MemberRow, email: &str, password: Zeroizing<String>) -> Result<String> {
        check_password(&password, email)?;
        if self.verify_password(password.clone(), Some(row.password_hash.clone())).await? {
            return refused("same_password", "this is the password you have", Some("choose another"));
        }
        self.hash_password(password).await
    }

    /// A new password of somebody who showed the old one and may not come in by it any more.
    pub(super) async fn replace_password(
        &self,
        row: &MemberRow,
        email: &str,
        password: Zeroizing<String>,
        ip: Option<std::net::IpAddr>,
    ) -> Result<()> {
        let hash = self.other_password(row, email, password).await?;
        let entry = Entry { actor: Some(self.actor(row.id)), ..Entry::of(Kind::PasswordChanged) };
        let (org, ip) = (Some(self.org_pseudonym(row.org)), ip.map(|ip| self.ip_pseudonym(ip)));
        self.ledger.append_async(Entry { org, ip, ..entry }).await?;
        Ok(self.meta.set_password(row.id, &hash, self.now_us()).await?)
    }

    /// Offers the caller a secret for another authenticator app. The old one stays until its first code is shown.
    pub async fn begin_authenticator(&self, caller: &Caller) -> Result<TotpEnrolment> {
        let (enrolment, secret) = new_totp(&caller.member.email)?;
        let now_us = self.now_us();
        let mut offered = self.offered.0.lock().expect("never left half changed");
        offered.retain(|_, (_, at_us)| now_us - *at_us <= limits::AUTHENTICATOR_SECONDS * 1_000_000);
        if offered.len() >= limits::JOINING_MAX {
            offered.clear();
        }
        offered.insert(caller.session.number, (secret, now_us));
        Ok(enrolment)
    }

    /// Takes the app that was offered a secret instead of the one before, and ends the caller's other sessions.
    ///
    /// # Errors
    /// When no secret was offered, or the code is not the app's.
    pub async fn change_authenticator(&self, caller: &Caller, stepped_up: SteppedUp, code: &str) -> Result<()> {
        let request = stepped_up.request();
        stepped_up.spend(caller, request, Class::C0)?;
        let offered = self.offered.0.lock().expect("never left half changed").get(&caller.session.number).cloned();
        let now_us = self.now_us();
        let is_good = |at_us: i64| now_us - at_us <= limits::AUTHENTICATOR_SECONDS * 1_000_000;
        let Some((secret, _)) = offered.filter(|(_, at_us)| is_good(*at_us)) else {
            return refused("totp_not_started", "scan the QR code again", Some("it is an old one"));
        };
        let step = self.right_code(&secret, &caller.member.email, code)?;
        let sealed = self.vault.seal_secret("totp", caller.member.id, &secret);
        self.ledger.append_async(caller.entry(self, Kind::AuthenticatorChanged)).await?;
        self.meta.set_totp(caller.member.id, &sealed, step).await?;
        self.offered.0.lock().expect("never left half changed").remove(&caller.session.number);
        self.end_other_sessions(caller).await.map(drop)
    }
}
