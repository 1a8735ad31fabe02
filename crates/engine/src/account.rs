//! Accounts: first-run set-up, passwords and codes.
//!
//! A password (Argon2id) never counts alone: a TOTP code (RFC 6238) comes with it, or a recovery code. A code is good
//! once. Attempts are limited, and an unknown address costs the same work as a known one.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use cofferdam_ledger::Kind;
use cofferdam_model::{OrgId, Roles, limits, sabotage};
use cofferdam_vault::wire::IdentityMode;
use serde::{Deserialize, Serialize};
use totp_rs::{Builder, Totp};
use zeroize::Zeroizing;

use crate::member::{Caller, Factor, SignedIn, Visitor};
use crate::meta::{MemberRow, NewMember};
use crate::{Engine, Error, Result, refused};

/// A member of an organisation. No `Debug`: it holds a name and an address.
#[derive(Clone)]
pub struct Member {
    pub id: u32,
    pub org: OrgId,
    pub roles: Roles,
    pub name: String,
    pub email: String,
    pub organisation: String,
}

/// What the first run asks for.
pub struct SetUp {
    pub setup_code: String,
    pub organisation: String,
    pub name: String,
    pub email: String,
    pub password: Zeroizing<String>,
    pub totp_code: String,
    pub project: String,
    pub time_zone: String,
}

/// A new TOTP secret, to be shown once.
pub struct TotpEnrolment {
    pub secret: String,
    pub uri: String,
    pub qr_svg: String,
}

pub(crate) struct Accounts {
    setup_code: String,
    /// The secret offered by the set-up page, until it is confirmed.
    pending: Mutex<Option<(String, Zeroizing<Vec<u8>>)>>,
    failures: Mutex<HashMap<[u8; 32], Vec<i64>>>,
    /// Sessions that came from another browser, and are written down.
    elsewhere: Mutex<HashSet<u64>>,
    /// Each hash takes 19 MiB: a crowd at the door must not take the memory.
    hashing: tokio::sync::Semaphore,
    waiting: AtomicUsize,
}

#[derive(Serialize, Deserialize)]
struct Personal {
    name: String,
    email: String,
}

impl Accounts {
    pub(crate) fn new(setup_code: String) -> Accounts {
        Accounts {
            setup_code,
            pending: Mutex::default(),
            elsewhere: Mutex::default(),
            failures: Mutex::default(),
            hashing: tokio::sync::Semaphore::new(2),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Notes an attempt, or says how long to wait.
    pub(crate) fn attempt(&self, account: [u8; 32], tries_max: u32, now_us: i64) -> Result<()> {
        let window = limits::SIGN_IN_WINDOW_SECONDS * 1_000_000;
        let mut failures = self.failures.lock().expect("never left half changed");
        if failures.len() >= ACCOUNTS_WATCHED_MAX {
            failures.retain(|_, times| times.iter().any(|time| now_us - *time < window));
        }
        if failures.len() >= ACCOUNTS_WATCHED_MAX {
            // A flood of made-up addresses: known ones wait with them for a moment.
            return Err(Error::TooManyAttempts { retry_after_s: 30 });
        }
        let times = failures.entry(account).or_default();
        times.retain(|time| now_us - *time < window);
        if times.len() >= tries_max as usize {
            let wait = (times[0] + window - now_us) / 1_000_000 + 1;
            return Err(Error::TooManyAttempts { retry_after_s: wait.max(1).cast_unsigned() });
        }
        times.push(now_us);
        Ok(())
    }

    /// A turn at hashing, or a refusal when too many wait for one.
    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        // Counted down also when whoever waits goes away.
        struct Waiter<'a>(&'a AtomicUsize);
        impl Drop for Waiter<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiter = Waiter(&self.waiting);
        if before >= HASHING_WAITERS_MAX {
            return Err(Error::TooManyAttempts { retry_after_s: 5 });
        }
        self.hashing.acquire().await.map_err(|_| Error::Interrupted)
    }

    /// Whether it is new that this session came from another browser. After a restart, and when very many did, it is
    /// news again.
    pub(crate) fn is_news(&self, session: u64) -> bool {
        let mut elsewhere = self.elsewhere.lock().expect("never left half changed");
        if elsewhere.len() >= ACCOUNTS_WATCHED_MAX {
            elsewhere.clear();
        }
        elsewhere.insert(session)
    }

    /// It could not be written down.
    pub(crate) fn forget_elsewhere(&self, session: u64) {
        self.elsewhere.lock().expect("never left half changed").remove(&session);
    }

    pub(crate) fn forgive(&self, account: &[u8; 32]) {
        self.failures.lock().expect("never left half changed").remove(account);
    }
}

/// Accounts whose failures are remembered at once.
const ACCOUNTS_WATCHED_MAX: usize = 10_000;
/// Sign-ins that may wait for a turn at hashing.
const HASHING_WAITERS_MAX: usize = 16;

/// Addresses are compared without regard to case or surrounding space.
/// The organisation that set-up makes.
pub(crate) const SET_UP_ORG: OrgId = OrgId(1);

pub(crate) fn normal_email(email: &str) -> String {
    email.trim().to_lowercase()
}

fn totp(secret: &[u8], account: &str) -> Totp {
    Builder::new()
        .with_secret(secret.to_vec())
        // A colon separates issuer and account in the URI.
        .with_account_name(account.replace(':', "_"))
        .with_issuer(Some("Cofferdam"))
        .build_noncompliant()
}

/// A new TOTP secret for an account, and how it is shown.
pub(crate) fn new_totp(email: &str) -> Result<(TotpEnrolment, Zeroizing<Vec<u8>>)> {
    let mut secret = Zeroizing::new(vec![0; 20]);
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| Error::Interrupted)?;
    let totp = totp(&secret, email);
    let uri = totp.to_url().map_err(|_| Error::Interrupted)?;
    Ok((TotpEnrolment { secret: totp.secret().to_base32(), qr_svg: qr_svg(&uri), uri }, secret))
}

fn equal_in_constant_time(a: &str, b: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

impl Engine {
    pub async fn setup_needed(&self) -> Result<bool> {
        Ok(!self.meta.has_members().await?)
    }

    fn check_setup_code(&self, code: &str) -> Result<()> {
        // One account for all guesses: the code is short enough to type.
        let account = self.vault.fingerprint("attempts", b"setup");
        self.accounts.attempt(account, limits::SIGN_IN_TRIES_MAX, self.now_us())?;
        if !equal_in_constant_time(code.trim(), &self.accounts.setup_code) {
            return refused(
                "wrong_setup_code",
                "this is not the set-up code",
                Some("the server printed it in its terminal when it started"),
            );
        }
        self.accounts.forgive(&account);
        Ok(())
    }

    /// Offers a TOTP secret to whoever knows the set-up code.
    pub async fn begin_setup(&self, setup_code: &str, email: &str) -> Result<TotpEnrolment> {
        if !self.setup_needed().await? {
            return refused("already_set_up", "this installation is already set up", Some("sign in instead"));
        }
        self.check_setup_code(setup_code)?;
        let email = check_email(email)?;
        let (enrolment, secret) = new_totp(&email)?;
        *self.accounts.pending.lock().expect("never left half changed") = Some((email, secret));
        Ok(enrolment)
    }

    /// Makes the first organisation, member and project, and signs the member in.
    pub async fn set_up(&self, request: SetUp, visitor: &Visitor) -> Result<SignedIn> {
        if !self.setup_needed().await? {
            return refused("already_set_up", "this installation is already set up", Some("sign in instead"));
        }
        self.check_setup_code(&request.setup_code)?;
        crate::check_zone(&request.time_zone)?;
        let email = check_email(&request.email)?;
        let (name, organisation) = (check_name(&request.name)?, check_name(&request.organisation)?);
        check_name(&request.project)?;
        check_password(&request.password, &email)?;
        let secret = {
            let pending = self.accounts.pending.lock().expect("never left half changed");
            match &*pending {
                Some((of, secret)) if *of == email => secret.clone(),
                _ => {
                    return refused(
                        "totp_not_started",
                        "scan the QR code again",
                        Some("it belongs to another address or an earlier start"),
                    );
                }
            }
        };
        let step = self.right_code(&secret, &email, &request.totp_code)?;
        let hash = self.hash_password(request.password).await?;
        let seal = |id: u32| self.seal_member(id, name, &email, &secret);
        let print = self.vault.fingerprint("member email", email.as_bytes());
        let new = NewMember {
            email_print: &print,
            seal: &seal,
            password_hash: &hash,
            totp_step: step,
            roles: Roles::FIRST_MEMBER,
            now_us: self.now_us(),
        };
        if !self.meta.insert_first(organisation, &new).await? {
            return refused("already_set_up", "this installation is already set up", Some("sign in instead"));
        }
        *self.accounts.pending.lock().expect("never left half changed") = None;
        self.record(Kind::SetUp, Some(1), 0).await?;
        let (org, mode) = (SET_UP_ORG, IdentityMode::Simplified);
        self.new_project(org, 1, &request.project, &request.time_zone, mode, false).await?;
        let row = self.meta.member(1).await?.ok_or(Error::Interrupted)?;
        self.open_session(row, Factor::Totp, visitor).await
    }

    /// Checks the first code of a new authenticator. Answers its step, which is used up with it.
    pub(crate) fn right_code(&self, secret: &[u8], email: &str, code: &str) -> Result<i64> {
        let now_s = u64::try_from(self.now_us() / 1_000_000).unwrap_or(0);
        match totp(secret, email).check(code.trim(), now_s) {
            Some(step) => Ok(step.cast_signed()),
            None => refused("wrong_totp", "this code is not right at this moment", Some("check that the clocks agree")),
        }
    }

    /// What is personal or secret of a member, sealed for their number: name and address, and the TOTP secret.
    pub(crate) fn seal_member(&self, id: u32, name: &str, email: &str, totp_secret: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let personal = serde_json::to_vec(&Personal { name: name.to_owned(), email: email.to_owned() })
            .expect("two strings are written without fail");
        (self.vault.seal_secret("member", id, &personal), self.vault.seal_secret("totp", id, totp_secret))
    }

    /// The row again, when password and code are those of it, and what the code was. It is used up then.
    pub(crate) async fn checked(
        &self,
        row: Option<MemberRow>,
        email: &str,
        password: Zeroizing<String>,
        code: &str,
    ) -> Result<Option<(MemberRow, Factor)>> {
        let hash = row.as_ref().map(|row| row.password_hash.clone());
        let password_right = self.verify_password(password, hash).await?;
        let now_s = u64::try_from(self.now_us() / 1_000_000).unwrap_or(0);
        let (Some(row), true) = (row, password_right) else { return Ok(None) };
        if crate::member::is_recovery_code(code) {
            return Ok(self.use_recovery_code(row.id, code).await?.then_some((row, Factor::RecoveryCode)));
        }
        let secret = self.vault.open_secret("totp", row.id, &row.totp_sealed)?;
        if let Some(step) = totp(&secret, email).check(code.trim(), now_s)
            && (self.meta.use_totp_step(row.id, step.cast_signed()).await? || sabotage::is_out(7))
        {
            return Ok(Some((row, Factor::Totp)));
        }
        Ok(None)
    }

    /// Whether whoever is signed in shows password and code again, and what the code was. Tries are limited for each
    /// session, so that a stolen one locks nobody out of theirs.
    pub(crate) async fn shows_password_and_code(
        &self,
        caller: &Caller,
        password: Zeroizing<String>,
        code: &str,
    ) -> Result<Option<Factor>> {
        if password.chars().count() > limits::PASSWORD_CHARS_MAX {
            return Ok(None);
        }
        let email = normal_email(&caller.member.email);
        let tries = self.vault.fingerprint("attempts", &caller.session.number.to_le_bytes());
        self.accounts.attempt(tries, limits::SIGN_IN_TRIES_MAX, self.now_us())?;
        let row = self.meta.member(caller.member.id).await?;
        let checked = self.checked(row, &email, password, code).await?;
        if checked.is_some() {
            self.accounts.forgive(&tries);
        }
        Ok(checked.map(|(_, factor)| factor))
    }

    /// Number of the member with an e-mail address.
    ///
    /// # Errors
    /// When there is none, or not in this organisation.
    pub(crate) async fn member_with(&self, org: Option<OrgId>, email: &str) -> Result<u32> {
        let print = self.vault.fingerprint("member email", normal_email(email).as_bytes());
        let row = self.meta.member_by_print(&print).await?.filter(|row| org.is_none_or(|org| org == row.org));
        Ok(row.ok_or(Error::NotFound("member"))?.id)
    }

    pub(crate) fn member_name(&self, row: &MemberRow) -> Result<String> {
        Ok(self.personal(row)?.name)
    }

    fn personal(&self, row: &MemberRow) -> Result<Personal> {
        let personal = self.vault.open_secret("member", row.id, &row.sealed)?;
        serde_json::from_slice(&personal).map_err(|_| Error::Interrupted)
    }

    pub(crate) async fn member_of(&self, row: MemberRow) -> Result<Member> {
        let personal = self.personal(&row)?;
        let organisation = self.meta.organisation_name(row.org).await?;
        let (id, org, roles) = (row.id, row.org, row.roles);
        Ok(Member { id, org, roles, name: personal.name, email: personal.email, organisation })
    }

    pub(crate) async fn hash_password(&self, password: Zeroizing<String>) -> Result<String> {
        let _turn = self.accounts.turn().await?;
        tokio::task::spawn_blocking(move || {
            let hash: PasswordHash =
                Argon2::default().hash_password(password.as_bytes()).map_err(|_| Error::Interrupted)?;
            Ok(hash.to_string())
        })
        .await
        .map_err(|_| Error::Interrupted)?
    }

    pub(crate) async fn verify_password(&self, password: Zeroizing<String>, hash: Option<String>) -> Result<bool> {
        // Of nobody's password: an unknown address takes as long as a wrong password.
        const NOBODY: &str =
            "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let _turn = self.accounts.turn().await?;
        tokio::task::spawn_blocking(move || {
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
            let parsed = PasswordHash::new(&hash).map_err(|_| Error::Interrupted)?;
            Ok(Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok() && known)
        })
        .await
        .map_err(|_| Error::Interrupted)?
    }
}

pub(crate) fn wrong_credentials<T>() -> Result<T> {
    refused(
        "wrong_credentials",
        "address, password or code is wrong",
        Some("a code works once: wait for the next one if you just used it"),
    )
}

pub(crate) fn check_email(email: &str) -> Result<String> {
    let email = normal_email(email);
    let well_formed = email.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.len() > 2);
    if !well_formed || email.len() > 254 || email.contains(char::is_whitespace) {
        return refused("invalid_email", "this is not an e-mail address", None);
    }
    Ok(email)
}

pub(crate) fn check_name(name: &str) -> Result<&str> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 100 {
        return refused("invalid_name", "names have 1 to 100 characters", None);
    }
    Ok(name)
}

pub(crate) fn check_password(password: &str, email: &str) -> Result<()> {
    let chars = password.chars().count();
    if !(limits::PASSWORD_CHARS_MIN..=limits::PASSWORD_CHARS_MAX).contains(&chars) {
        return refused(
            "weak_password",
            format!("a password has {} to {} characters", limits::PASSWORD_CHARS_MIN, limits::PASSWORD_CHARS_MAX),
            Some("three or four words that do not belong together are long and easy to keep"),
        );
    }
    let mut distinct: Vec<char> = password.to_lowercase().chars().collect();
    distinct.sort_unstable();
    distinct.dedup();
    let guessable = distinct.len() < 5 || password.to_lowercase().contains(email);
    if guessable {
        return refused("weak_password", "this password is easy to guess", Some("use words or characters that differ"));
    }
    Ok(())
}

/// A QR code as an SVG with a quiet zone of four modules (ISO/IEC 18004).
fn qr_svg(text: &str) -> String {
    use qrcodegen::{QrCode, QrCodeEcc};
    use std::fmt::Write;
    let Ok(code) = QrCode::encode_text(text, QrCodeEcc::Medium) else { return String::new() };
    let side = code.size() + 8;
    let mut path = String::new();
    for y in 0..code.size() {
        for x in 0..code.size() {
            if code.get_module(x, y) {
                write!(path, "M{},{}h1v1h-1z", x + 4, y + 4).expect("writing to a string does not fail");
            }
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\"/></svg>"
    )
}
