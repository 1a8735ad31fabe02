//! Somebody of the shadow organisation: at a seat, with a session; and with an authenticator app and a passkey of their
//! own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};

use crate::passkey::Authenticator;
use crate::site::{Reply, Site};

/// Seconds that a code of an authenticator app is for.
const CODE_SECONDS: u64 = 30;
const CODE_SECONDS_LEFT_MIN: u64 = 3;

pub(crate) fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

pub(crate) fn random_text() -> Result<String> {
    let mut bytes = [0; 18];
    aws_lc_rs::rand::fill(&mut bytes).ok().context("the system has no randomness")?;
    Ok(BASE64URL.encode(bytes))
}

/// A session, and from where it is used.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) site: Site,
    pub(crate) cookies: String,
    /// As the proxy in front says it; a server that has none before it sees this machine's own.
    pub(crate) address: String,
}

impl Seat {
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Result<Reply> {
        self.site.call(method, path, &[("cookie", &self.cookies), ("x-forwarded-for", &self.address)], body)
    }

    /// What must not be refused.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.send("GET", path, &Value::Null)?.done(path)
    }
}

pub(crate) struct Colleague {
    pub(crate) seat: Seat,
    pub(crate) id: u64,
    pub(crate) password: String,
    totp: totp_rs::Totp,
    key: Authenticator,
}

/// A request as it is sent again with a factor shown for it.
pub(crate) struct Signed {
    path: String,
    body: Value,
}

impl Colleague {
    /// Joins by an invitation's code: password, authenticator app, passkey.
    pub(crate) fn join(site: &Site, code: &str, name: &str, email: &str, address: &str) -> Result<Colleague> {
        let seat = Seat { site: site.clone(), cookies: String::new(), address: address.to_owned() };
        let asked = json!({"code": code, "email": email});
        let offered = seat.send("POST", "/api/v1/invitations/open", &asked)?.done("opening an invitation")?;
        let uri = offered["uri"].as_str().context("no authenticator app was offered")?;
        let totp = totp_rs::Totp::from_url(uri).ok().context("an otpauth address that cannot be read")?;
        let password = random_text()?;
        // A code is good once. Of the three that are good now this is the oldest; the passkey takes the next, and the
        // last is left for whoever is phished. It must not become the fourth on its way.
        let left = CODE_SECONDS - seconds() % CODE_SECONDS;
        if left <= CODE_SECONDS_LEFT_MIN {
            std::thread::sleep(Duration::from_secs(left));
        }
        let oldest = totp.generate(seconds() - CODE_SECONDS).to_string();
        let body = json!({"code": code, "name": name, "email": email, "password": password, "totp_code": oldest});
        let joined = seat.send("POST", "/api/v1/invitations/accept", &body)?;
        let cookies = joined.cookies.clone();
        joined.done("joining")?;
        let mut colleague =
            Colleague { seat: Seat { cookies, ..seat }, id: 0, password, totp, key: Authenticator::new() };
        colleague.id = colleague.seat.get("/api/v1/session")?["user"]["id"].as_u64().context("nobody is signed in")?;
        colleague.add_passkey()?;
        Ok(colleague)
    }

    fn add_passkey(&mut self) -> Result<()> {
        let code = self.totp.generate(seconds()).to_string();
        let proof = json!({"kind": "password_and_code", "password": self.password, "code": code});
        let begin = "/api/v1/account/passkeys/begin";
        let asked = self.seat.send("POST", begin, &json!({"step_up": proof}))?.done("beginning a passkey")?;
        let made = self.key.create(&asked, self.seat.site.browser_origin());
        self.seat.send("POST", "/api/v1/account/passkeys", &made)?.done("adding a passkey")?;
        Ok(())
    }

    /// A code that was not used yet, as somebody types it into a page that looks right.
    pub(crate) fn phished_code(&self) -> String {
        self.totp.generate(seconds() + CODE_SECONDS).to_string()
    }

    /// Shows the passkey for a request, and does not send it yet.
    pub(crate) fn signed(&mut self, method: &str, path: &str, body: &Value) -> Result<Signed> {
        let refused = self.seat.send(method, path, body)?;
        let (status, code) = (refused.status, refused.code());
        ensure!(code == "step_up_required", "{method} {path}: {status} {code}, where a passkey is asked for");
        let proof = self.key.sign(&refused.json()["error"]["step_up"], self.seat.site.browser_origin());
        let mut body = body.clone();
        body["step_up"] = proof;
        Ok(Signed { path: path.to_owned(), body })
    }

    /// A request for which the passkey is shown.
    pub(crate) fn act(&mut self, method: &str, path: &str, body: &Value) -> Result<Reply> {
        let signed = self.signed(method, path, body)?;
        self.seat.send(method, &signed.path, &signed.body)
    }

    pub(crate) fn done(&mut self, method: &str, path: &str, body: &Value) -> Result<Value> {
        self.act(method, path, body)?.done(path)
    }

    /// The code of an invitation for somebody with these roles.
    pub(crate) fn invite(&mut self, roles: &[&str]) -> Result<String> {
        let made = self.done("POST", "/api/v1/invitations", &json!({"roles": roles}))?;
        Ok(made["code"].as_str().context("an invitation without a code")?.to_owned())
    }
}

impl Signed {
    /// Sends it, and reads the answer as it comes.
    pub(crate) fn open(&self, seat: &Seat) -> Result<(u16, ureq::BodyReader<'static>)> {
        let headers = [("cookie", &*seat.cookies), ("x-forwarded-for", &*seat.address)];
        seat.site.open(&self.path, &headers, &self.body)
    }
}

fn seconds() -> u64 {
    now_us().cast_unsigned() / 1_000_000
}
