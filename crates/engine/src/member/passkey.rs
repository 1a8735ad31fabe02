//! Passkeys and security keys: made, listed, renamed, removed, and believed.
//!
//! A new one is made only after an old factor was shown again, within minutes; a stolen session cannot. Everybody who
//! reads the ledger sees it. [`SteppedUp::newest_us`](super::SteppedUp::newest_us) says how young the newest of what
//! somebody shows is: what is new is no reason yet to trust it with much.

use std::collections::HashMap;
use std::sync::Mutex;

use cofferdam_ledger::Kind;
use cofferdam_model::{Class, limits, sabotage};
use cofferdam_query::calendar::utc_text;
use serde::Serialize;
use utoipa::ToSchema;

use super::webauthn::{self, Algorithm, Assertion, Attestation, PublicKey};
use super::{Caller, SteppedUp};
use crate::meta::{NewPasskeyRow, PasskeyRow};
use crate::{Engine, Error, Result, random, refused};

/// What a new passkey is made of.
pub struct PasskeyAsked {
    pub challenge: [u8; 32],
    pub rp_id: String,
    /// Whose it is, for the authenticator: no number that means anything elsewhere.
    pub user: [u8; 32],
    /// What the authenticator's list calls it.
    pub name: String,
    pub display_name: String,
    /// By their numbers in COSE, best first.
    pub algorithms: Vec<i64>,
    /// Those there are: an authenticator makes no second one.
    pub exclude: Vec<Vec<u8>>,
}

/// A passkey as its member sees it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PasskeyView {
    pub id: u64,
    pub name: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    pub used_at: Option<String>,
}

/// Challenges that wait, but those of step-ups.
#[derive(Default)]
pub(crate) struct Ceremonies {
    /// For a new passkey: one a session, after a factor was shown again.
    making: Mutex<HashMap<u64, ([u8; 32], i64)>>,
    /// Sign-in challenges that were used, until they are too old anyway. Those not used yet are not kept: each says
    /// itself that it is ours and how old it is, so that asking for many fills nothing.
    used: Mutex<HashMap<[u8; 32], i64>>,
}

impl Ceremonies {
    pub(crate) fn sign_in_challenge(&self, engine: &Engine) -> [u8; 32] {
        let made_s = engine.now_us() / 1_000_000;
        let head = [&random::<8>()[..], &made_s.to_be_bytes()].concat();
        let tag = engine.vault.fingerprint("sign-in challenge", &head);
        [&head[..], &tag[..16]].concat().try_into().expect("it has 32 bytes")
    }

    /// Whether a challenge is ours, young, and was not used: it is used now.
    pub(crate) fn take_sign_in(&self, engine: &Engine, challenge: &[u8; 32]) -> bool {
        let (head, tag) = challenge.split_at(16);
        let made_s = i64::from_be_bytes(head[8..].try_into().expect("it has 8 bytes"));
        let now_s = engine.now_us() / 1_000_000;
        let expected = engine.vault.fingerprint("sign-in challenge", head);
        let is_ours = aws_lc_rs::constant_time::verify_slices_are_equal(tag, &expected[..16]).is_ok();
        if !is_ours || !(0..=limits::STEP_UP_SECONDS_MAX).contains(&(now_s - made_s)) {
            return false;
        }
        let mut used = self.used.lock().expect("never left half changed");
        used.retain(|_, made| now_s - *made <= limits::STEP_UP_SECONDS_MAX);
        used.len() < limits::STEP_UPS_MAX && used.insert(*challenge, made_s).is_none()
    }
}

impl Engine {
    /// Starts a new passkey for whoever showed an old factor again.
    pub async fn begin_passkey(&self, caller: &Caller, stepped_up: Option<SteppedUp>) -> Result<PasskeyAsked> {
        match stepped_up {
            Some(stepped_up) => {
                let request = stepped_up.request();
                stepped_up.spend(caller, request, Class::C0)?;
            }
            None if sabotage::is_out(9) => {}
            None => return refused("step_up_refused", "show a factor again first", None),
        }
        let exclude = self.meta.passkeys(caller.member.id).await?;
        if exclude.len() >= limits::PASSKEYS_MAX {
            let message = format!("a member has at most {} passkeys", limits::PASSKEYS_MAX);
            return refused("too_many_passkeys", message, Some("remove one that is no longer used"));
        }
        let challenge = random::<32>();
        let now_us = self.now_us();
        let mut making = self.ceremonies.making.lock().expect("never left half changed");
        making.retain(|_, (_, made_us)| now_us - *made_us <= limits::STEP_UP_SECONDS_MAX * 1_000_000);
        making.insert(caller.session.number, (challenge, now_us));
        Ok(PasskeyAsked {
            challenge,
            rp_id: self.access.rp_id().to_owned(),
            user: self.user_handle(caller.member.id),
            name: caller.member.email.clone(),
            display_name: caller.member.name.clone(),
            algorithms: Algorithm::ALL.into_iter().map(|algorithm| algorithm as i64).collect(),
            exclude: exclude.into_iter().map(|passkey| passkey.credential).collect(),
        })
    }

    /// Keeps a passkey that the browser made.
    pub async fn finish_passkey(&self, caller: &Caller, attestation: &Attestation, name: &str) -> Result<u64> {
        let name = check_passkey_name(name)?;
        let asked = self.ceremonies.making.lock().expect("never left half changed").remove(&caller.session.number);
        let in_time = |made_us: i64| self.now_us() - made_us <= limits::STEP_UP_SECONDS_MAX * 1_000_000;
        let registered = asked
            .filter(|(_, made_us)| in_time(*made_us))
            .and_then(|(challenge, _)| webauthn::register(attestation, &challenge, &self.access.party));
        let Some(registered) = registered else {
            return refused(
                "passkey_refused",
                "this passkey could not be taken",
                Some("start again; the authenticator must ask for a finger, a face or a PIN"),
            );
        };
        let id = self
            .meta
            .insert_passkey(&NewPasskeyRow {
                member: caller.member.id,
                credential: &registered.credential,
                algorithm: registered.key.algorithm as i64,
                key: &registered.key.bytes,
                count: registered.count,
                name: &self.vault.seal_secret("passkey name", caller.member.id, name.as_bytes()),
                now_us: self.now_us(),
            })
            .await?;
        let Some(id) = id else { return refused("passkey_known", "this passkey is here already", None) };
        let mut entry = caller.entry(self, Kind::PasskeyAdded);
        entry.object = id;
        self.ledger.append_async(entry).await?;
        Ok(id)
    }

    /// The caller's passkeys, oldest first.
    pub async fn passkeys(&self, caller: &Caller) -> Result<Vec<PasskeyView>> {
        let rows = self.meta.passkeys(caller.member.id).await?;
        rows.into_iter()
            .map(|row| {
                let name = self.vault.open_secret("passkey name", row.member, &row.name)?;
                Ok(PasskeyView {
                    id: row.id,
                    name: String::from_utf8_lossy(&name).into_owned(),
                    created_at: utc_text(row.created_us),
                    used_at: row.used_us.map(utc_text),
                })
            })
            .collect()
    }

    pub async fn rename_passkey(&self, caller: &Caller, id: u64, name: &str) -> Result<()> {
        let name = check_passkey_name(name)?;
        let sealed = self.vault.seal_secret("passkey name", caller.member.id, name.as_bytes());
        match self.meta.rename_passkey(caller.member.id, id, &sealed).await? {
            true => Ok(()),
            false => Err(Error::NotFound("passkey")),
        }
    }

    pub async fn remove_passkey(&self, caller: &Caller, stepped_up: SteppedUp, id: u64) -> Result<()> {
        let request = stepped_up.request();
        stepped_up.spend(caller, request, Class::C0)?;
        if !self.meta.delete_passkey(caller.member.id, id).await? {
            return Err(Error::NotFound("passkey"));
        }
        let mut entry = caller.entry(self, Kind::PasskeyRemoved);
        entry.object = id;
        self.ledger.append_async(entry).await?;
        Ok(())
    }

    /// Whether a passkey signed a challenge: since when it is known, if it did. One whose counter does not go up was
    /// copied: it is refused, and the ledger has it.
    pub(crate) async fn passkey_signed(
        &self,
        passkey: &PasskeyRow,
        assertion: &Assertion,
        challenge: &[u8; 32],
    ) -> Result<Option<i64>> {
        let algorithm = Algorithm::of_number(passkey.algorithm).ok_or(Error::Interrupted)?;
        let key = PublicKey { algorithm, bytes: passkey.key.clone() };
        let Some(count) = webauthn::verify(assertion, &key, challenge, &self.access.party) else { return Ok(None) };
        if self.meta.use_passkey(passkey.id, count, self.now_us()).await? || sabotage::is_out(5) {
            return Ok(Some(passkey.created_us));
        }
        self.record_object(Kind::PasskeyCopied, passkey.member, passkey.id).await?;
        Ok(None)
    }

    pub(crate) fn user_handle(&self, member: u32) -> [u8; 32] {
        self.vault.fingerprint("passkey user", &member.to_le_bytes())
    }
}

fn check_passkey_name(name: &str) -> Result<&str> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 100 {
        return refused("invalid_name", "a passkey's name has 1 to 100 characters", None);
    }
    Ok(name)
}
