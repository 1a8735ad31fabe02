//! Showing a factor again, for one request: a stolen session cannot.
//!
//! A request is what its author hashes ([`RequestHash`]). For it the server makes a challenge,
//! `SHA-256("cofferdam step-up v1" ‖ session ‖ request hash ‖ nonce)`; the member's passkey signs it, with the member
//! verified. So the signature is good for this request in this session, once, and for
//! [`limits::STEP_UP_SECONDS_MAX`] seconds. Challenges are in memory: after a restart they are asked for again.
//!
//! A member who has no passkey yet may show password and code instead. That opens no personal value: see
//! [`SteppedUp::spend`].

use std::collections::HashMap;
use std::sync::Mutex;

use aws_lc_rs::digest::{SHA256, digest};
use cofferdam_ledger::Kind;
use cofferdam_model::{Class, OrgId, limits, sabotage};
use zeroize::Zeroizing;

use super::recovery::is_recovery_code;
use super::webauthn::{self, Assertion};
use super::{Caller, Factor};
use crate::{Engine, Error, Result, random, refused};

/// SHA-256 of a request in one canonical form: whoever makes it leaves nothing out that the act depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestHash(pub [u8; 32]);

impl RequestHash {
    /// Of parts, each with its length, so that no two requests run together.
    pub fn of(parts: &[&[u8]]) -> RequestHash {
        let mut text = b"cofferdam request v1".to_vec();
        for part in parts {
            text.extend((part.len() as u64).to_be_bytes());
            text.extend(*part);
        }
        RequestHash(digest(&SHA256, &text).as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// What a passkey must sign.
#[derive(Clone, Debug)]
pub struct StepUpChallenge {
    pub challenge: [u8; 32],
    /// The member's passkeys, by their ids.
    pub credentials: Vec<Vec<u8>>,
    pub rp_id: String,
    pub seconds: i64,
    /// Password and code are taken as well.
    pub takes_password_and_code: bool,
}

/// A factor shown again. No `Debug`: it can hold a password.
pub enum StepUpProof {
    /// An assertion over the challenge.
    Passkey(Assertion),
    PasswordAndCode {
        password: Zeroizing<String>,
        code: String,
    },
}

/// That somebody showed a factor again for one request. It cannot be copied, and the act takes it.
#[must_use = "a factor that was shown and is not used was shown for nothing"]
pub struct SteppedUp {
    request: RequestHash,
    session: u64,
    factor: Factor,
    newest_us: i64,
    is_demo: bool,
}

impl SteppedUp {
    pub fn request(&self) -> RequestHash {
        self.request
    }

    pub fn factor(&self) -> Factor {
        self.factor
    }

    /// How young the newest is of what was shown: the passkey, the browser, a recovery code that was used. Microseconds
    /// since 1970-01-01 UTC.
    pub fn newest_us(&self) -> i64 {
        self.newest_us
    }

    /// Uses it up for an act that opens values of a class ([`Class::C0`] for one that opens none).
    ///
    /// # Errors
    /// When it was made for another request or session; and when personal values would be opened with anything less
    /// than a passkey, except in a demo, where persons are fiction.
    pub fn spend(self, caller: &Caller, request: RequestHash, opens: Class) -> Result<Factor> {
        if self.session != caller.session.number || self.request != request {
            return refused("step_up_refused", "this was shown for another request", Some("send the request again"));
        }
        if opens >= Class::C3 && self.factor != Factor::Passkey && !self.is_demo {
            return passkey_needed();
        }
        Ok(self.factor)
    }
}

#[cfg(test)]
impl SteppedUp {
    /// As if something known since then had been shown.
    pub(crate) fn of_test(caller: &Caller, factor: Factor, newest_us: i64) -> SteppedUp {
        let request = RequestHash([0; 32]);
        SteppedUp { request, session: caller.session.number, factor, newest_us, is_demo: false }
    }
}

fn passkey_needed<T>() -> Result<T> {
    refused(
        "passkey_needed",
        "this opens personal values, which takes a passkey or security key",
        Some("add one under your account, then send the request again"),
    )
}

/// A challenge that waits for its signature.
struct Pending {
    session: u64,
    nonce: [u8; 32],
    made_us: i64,
}

/// Challenges that were given out.
#[derive(Default)]
pub(crate) struct StepUps {
    pending: Mutex<HashMap<[u8; 32], Pending>>,
}

fn challenge_of(session: u64, request: RequestHash, nonce: &[u8; 32]) -> [u8; 32] {
    let text = [&b"cofferdam step-up v1"[..], &session.to_be_bytes(), &request.0, nonce].concat();
    digest(&SHA256, &text).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl StepUps {
    fn give(&self, session: u64, request: RequestHash, now_us: i64) -> Result<[u8; 32]> {
        let nonce = random::<32>();
        let challenge = challenge_of(session, request, &nonce);
        let mut pending = self.pending.lock().expect("never left half changed");
        let is_alive = |one: &Pending| now_us - one.made_us <= limits::STEP_UP_SECONDS_MAX * 1_000_000;
        if pending.len() >= limits::STEP_UPS_MAX {
            pending.retain(|_, one| is_alive(one));
        }
        let own = pending.values().filter(|one| one.session == session && is_alive(one)).count();
        if own >= limits::SESSION_STEP_UPS_MAX || pending.len() >= limits::STEP_UPS_MAX {
            return Err(Error::TooManyAttempts { retry_after_s: 30 });
        }
        pending.insert(challenge, Pending { session, nonce, made_us: now_us });
        Ok(challenge)
    }

    /// Takes a challenge, if it is for this request of this session and young enough. Nobody else gets it again.
    fn take(&self, challenge: &[u8; 32], session: u64, request: RequestHash, now_us: i64) -> bool {
        let mut pending = self.pending.lock().expect("never left half changed");
        if sabotage::is_out(3) || sabotage::is_out(4) {
            return pending.contains_key(challenge);
        }
        let Some(found) = pending.remove(challenge) else { return false };
        now_us - found.made_us <= limits::STEP_UP_SECONDS_MAX * 1_000_000
            && challenge_of(session, request, &found.nonce) == *challenge
    }
}

impl Engine {
    /// Where what takes a passkey elsewhere takes password and code: in a demo, and there in the demo's own
    /// organisation alone. Others on its server are as safe as anywhere.
    fn takes_less(&self, org: OrgId) -> bool {
        (self.access.is_demo && org == crate::account::SET_UP_ORG) || sabotage::is_out(101)
    }

    /// Asks for a factor to be shown again, for one request.
    ///
    /// # Errors
    /// When this session asked too often without showing any.
    pub async fn begin_step_up(&self, caller: &Caller, request: RequestHash) -> Result<StepUpChallenge> {
        let challenge = self.step_ups.give(caller.session.number, request, self.now_us())?;
        let passkeys = self.meta.passkeys(caller.member.id).await?;
        Ok(StepUpChallenge {
            challenge,
            takes_password_and_code: passkeys.is_empty() || self.takes_less(caller.member.org),
            credentials: passkeys.into_iter().map(|passkey| passkey.credential).collect(),
            rp_id: self.access.rp_id().to_owned(),
            seconds: limits::STEP_UP_SECONDS_MAX,
        })
    }

    /// Takes what was shown.
    ///
    /// # Errors
    /// When it is wrong, of another request or session, late, or was used before; and when somebody who has a passkey
    /// shows less than it.
    pub async fn finish_step_up(&self, caller: &Caller, request: RequestHash, proof: StepUpProof) -> Result<SteppedUp> {
        let shown = match proof {
            StepUpProof::Passkey(assertion) => {
                self.signed(caller, request, &assertion).await?.map(|since_us| (Factor::Passkey, since_us))
            }
            StepUpProof::PasswordAndCode { password, code } => {
                // A recovery code is for whoever lost the passkey.
                let may_do = self.takes_less(caller.member.org)
                    || is_recovery_code(&code)
                    || self.meta.passkeys(caller.member.id).await?.is_empty();
                if !may_do {
                    return refused(
                        "passkey_needed",
                        "you have a passkey: password and code are not enough here",
                        Some("use the passkey; if it is lost, a recovery code in place of the code"),
                    );
                }
                self.shows_password_and_code(caller, password, &code).await?.map(|factor| (factor, 0))
            }
        };
        let Some((factor, factor_us)) = shown else {
            self.ledger.append_async(caller.entry(self, Kind::StepUpRefused)).await?;
            return refused(
                "step_up_refused",
                "this could not be confirmed",
                Some("try again: a signature, and a code, works once and for a short time"),
            );
        };
        let mut entry = caller.entry(self, Kind::SteppedUp);
        // Keyed: a request can hold a new password, and a copy of the ledger is no place to guess it.
        let print = self.vault.fingerprint("ledger request", &request.0);
        (entry.purpose, entry.extra) = (factor as u64, print.to_vec());
        self.ledger.append_async(entry).await?;
        let device_us = match caller.device {
            Some(device) => self.meta.device_since(&device, caller.member.id).await?,
            None => None,
        };
        let recovered_us = self.meta.member(caller.member.id).await?.map_or(0, |row| row.recovered_us);
        Ok(SteppedUp {
            request,
            session: caller.session.number,
            factor,
            // A browser that is not known is as young as its session.
            newest_us: factor_us.max(recovered_us).max(device_us.unwrap_or(caller.session.opened_us)),
            is_demo: self.takes_less(caller.member.org),
        })
    }

    /// Since when the passkey is known that signed.
    async fn signed(&self, caller: &Caller, request: RequestHash, assertion: &Assertion) -> Result<Option<i64>> {
        let Some(challenge) = webauthn::challenge_of(&assertion.client_data) else { return Ok(None) };
        if !self.step_ups.take(&challenge, caller.session.number, request, self.now_us()) {
            return Ok(None);
        }
        if sabotage::is_out(1) {
            return Ok(Some(0));
        }
        let Some(passkey) = self.meta.passkey_by_credential(&assertion.credential).await? else { return Ok(None) };
        if passkey.member != caller.member.id {
            return Ok(None);
        }
        self.passkey_signed(&passkey, assertion, &challenge).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_800_000_000_000_000;

    #[test]
    fn a_challenge_is_good_for_one_request_of_one_session_once_and_for_five_minutes() {
        let step_ups = StepUps::default();
        let (request, other) = (RequestHash::of(&[b"a"]), RequestHash::of(&[b"b"]));
        let give = || step_ups.give(7, request, NOW_US).unwrap_or_else(|_| panic!("a challenge"));
        let last_us = NOW_US + limits::STEP_UP_SECONDS_MAX * 1_000_000;
        assert!(!step_ups.take(&give(), 7, other, NOW_US), "another request");
        assert!(!step_ups.take(&give(), 8, request, NOW_US), "another session");
        assert!(!step_ups.take(&give(), 7, request, last_us + 1), "too late");
        assert!(!step_ups.take(&[0; 32], 7, request, NOW_US), "made up");
        let challenge = give();
        assert!(step_ups.take(&challenge, 7, request, last_us));
        assert!(!step_ups.take(&challenge, 7, request, NOW_US), "once");
        assert_ne!(give(), give(), "each is new");
    }

    #[test]
    fn a_session_that_only_asks_is_told_to_wait_and_others_are_not() {
        let step_ups = StepUps::default();
        let request = RequestHash::of(&[]);
        for _ in 0..limits::SESSION_STEP_UPS_MAX {
            assert!(step_ups.give(7, request, NOW_US).is_ok());
        }
        assert!(matches!(step_ups.give(7, request, NOW_US), Err(Error::TooManyAttempts { .. })));
        assert!(step_ups.give(8, request, NOW_US).is_ok());
        let later_us = NOW_US + limits::STEP_UP_SECONDS_MAX * 1_000_000 + 1;
        assert!(step_ups.give(7, request, later_us).is_ok());
    }

    #[test]
    fn parts_of_a_request_do_not_run_together() {
        assert_ne!(RequestHash::of(&[b"ab", b"c"]), RequestHash::of(&[b"a", b"bc"]));
        assert_ne!(RequestHash::of(&[b"ab"]), RequestHash::of(&[b"ab", b""]));
    }
}
