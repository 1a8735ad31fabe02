//! Accounts, sessions, roles and tokens: what somebody gets who has a stolen cookie, a password, or a role of their own.

use std::cell::RefCell;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::authenticator::{Authenticator, PRESENT_AND_VERIFIED};
use crate::browser;
use crate::running::{EMAIL, PASSWORD, Reply, Running, command, done, now_ms};
use crate::{Case, Outcome, Stage};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case { number: 3, title: "A step-up is used again, or for another request", run: replayed_step_up },
        Case { number: 4, title: "Many requests race with one signature", run: raced_step_up },
        Case { number: 5, title: "Authenticators that lie, and a copied one", run: lying_authenticators },
        Case { number: 7, title: "Codes are replayed and guessed", run: guessed_codes },
        Case { number: 8, title: "Recovery is abused", run: abused_recovery },
        Case { number: 9, title: "A stolen session adds a passkey of its own", run: added_passkey },
        Case { number: 14, title: "Another site has the browser change something", run: cross_site },
        Case { number: 16, title: "Somebody agrees to what they asked for themselves", run: own_second_person },
        Case { number: 25, title: "An administrator raises themselves", run: raised_self },
        Case { number: 26, title: "Support looks at the product as a customer", run: impersonated },
        Case { number: 29, title: "Tokens are used for what they are not for", run: misused_tokens },
        Case {
            number: 76,
            title: "Another organisation's numbers in every route of a project",
            run: other_organisation,
        },
    ]
}

/// Somebody with a browser.
pub(crate) struct Somebody<'a> {
    server: &'a Running,
    cookie: String,
    totp: totp_rs::Totp,
    /// The last code that was used.
    code: RefCell<String>,
    key: RefCell<Authenticator>,
}

fn cookie_of(reply: &Reply) -> Result<String> {
    let lines = reply.head.lines().filter(|line| line.to_ascii_lowercase().starts_with("set-cookie:"));
    let pairs: Vec<&str> = lines.filter_map(|line| line[11..].trim().split(';').next()).collect();
    ensure!(!pairs.is_empty(), "no session: {}", reply.status);
    Ok(pairs.join("; "))
}

fn code_of(reply: &Reply) -> String {
    reply.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}

impl<'a> Somebody<'a> {
    fn at(server: &'a Running, cookie: String, totp: totp_rs::Totp) -> Somebody<'a> {
        Somebody { server, cookie, totp, code: RefCell::default(), key: RefCell::new(Authenticator::new()) }
    }

    /// The first member, with a passkey.
    pub(crate) fn owner(server: &'a Running) -> Result<Somebody<'a>> {
        let totp = server.totp.clone().context("an authenticator app")?;
        let owner = Somebody::at(server, server.cookie.clone(), totp);
        owner.add_passkey()?;
        Ok(owner)
    }

    /// Joins by a code, and adds a passkey.
    fn join(server: &'a Running, code: &str, email: &str) -> Result<Somebody<'a>> {
        let origin = format!("http://{}", server.address());
        let headers = [("origin", &*origin)];
        let body = json!({"code": code, "email": email});
        let enrolment = server.call_with("POST", "/api/v1/invitations/open", &headers, &body)?.json();
        let totp = totp_rs::Totp::from_url(enrolment["uri"].as_str().context("no invitation")?).ok();
        let totp = totp.context("an otpauth address")?;
        let now = totp.generate(now_ms() / 1_000).to_string();
        let body = json!({"code": code, "name": "Somebody", "email": email, "password": PASSWORD, "totp_code": now});
        let reply = server.call_with("POST", "/api/v1/invitations/accept", &headers, &body)?;
        let cookie = cookie_of(&reply)?;
        let somebody = Somebody::at(server, cookie, totp);
        somebody.add_passkey()?;
        Ok(somebody)
    }

    pub(crate) fn invite(&self, roles: &[&str], email: &str) -> Result<Somebody<'a>> {
        let reply = self.act("POST", "/api/v1/invitations", &json!({"roles": roles}))?;
        ensure!(reply.status == 201, "an invitation was refused: {}", code_of(&reply));
        Somebody::join(self.server, reply.json()["code"].as_str().context("no code")?, email)
    }

    /// Somebody who approves: more than this member holds, so that an administrator agrees to the role.
    pub(crate) fn steward(&self, admin: &Somebody<'a>, email: &str) -> Result<Somebody<'a>> {
        let steward = self.invite(&["viewer"], email)?;
        let roles = format!("/api/v1/members/{}/roles", steward.id()?);
        let asked = self.act("PUT", &roles, &json!({"roles": ["data_steward"]}))?;
        ensure!(asked.status == 202, "the role of a steward was given: {}", asked.status);
        admin.agree(&asked)?;
        Ok(steward)
    }

    /// Agrees to what somebody asked for.
    pub(crate) fn agree(&self, asked: &Reply) -> Result<()> {
        let waiting = asked.json()["waiting"].as_u64().or(asked.json()["asked"]["waiting"].as_u64());
        let path = format!("/api/v1/waiting/{}/agree", waiting.context("nothing waits")?);
        let agreed = self.act("POST", &path, &json!({}))?;
        ensure!(agreed.status == 204, "nobody agreed: {} {}", agreed.status, code_of(&agreed));
        Ok(())
    }

    fn origin(&self) -> String {
        format!("http://localhost:{}", self.server.address().port())
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Result<Reply> {
        let origin = format!("http://{}", self.server.address());
        self.server.call_with(method, path, &[("origin", &origin), ("cookie", &self.cookie)], body)
    }

    /// The same, with headers that nobody's browser sends.
    fn send_with(&self, method: &str, path: &str, header: (&str, &str), body: &Value) -> Result<Reply> {
        let origin = format!("http://{}", self.server.address());
        self.server.call_with(method, path, &[("origin", &origin), ("cookie", &self.cookie), header], body)
    }

    fn with(&self, method: &str, path: &str, body: &Value, proof: &Value) -> Result<Reply> {
        let mut body = body.clone();
        body["step_up"] = proof.clone();
        self.send(method, path, &body)
    }

    fn challenge(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let reply = self.send(method, path, body)?;
        ensure!(code_of(&reply) == "step_up_required", "{method} {path}: {} {}", reply.status, code_of(&reply));
        Ok(reply.json()["error"]["step_up"].clone())
    }

    fn sign(&self, challenge: &Value) -> Value {
        self.key.borrow_mut().sign(challenge, &self.origin())
    }

    /// The answer, also where none wants a factor shown.
    pub(crate) fn try_act(&self, method: &str, path: &str, body: &Value) -> Result<Reply> {
        let asked = self.send(method, path, body)?;
        match code_of(&asked) == "step_up_required" {
            true => self.with(method, path, body, &self.sign(&asked.json()["error"]["step_up"])),
            false => Ok(asked),
        }
    }

    pub(crate) fn act(&self, method: &str, path: &str, body: &Value) -> Result<Reply> {
        let proof = self.sign(&self.challenge(method, path, body)?);
        self.with(method, path, body, &proof)
    }

    fn add_passkey(&self) -> Result<()> {
        // Of the next half minute: that of this one was used to come in.
        *self.code.borrow_mut() = self.totp.generate(now_ms() / 1_000 + 30).to_string();
        let proof = json!({"kind": "password_and_code", "password": PASSWORD, "code": *self.code.borrow()});
        let asked = self.with("POST", BEGIN_PASSKEY, &json!({}), &proof)?;
        ensure!(asked.status == 200, "no passkey was begun: {}", code_of(&asked));
        let made = self.key.borrow_mut().create(&asked.json(), &self.origin());
        let reply = self.send("POST", PASSKEYS, &made)?;
        ensure!(reply.status == 201, "no passkey was kept: {}", code_of(&reply));
        Ok(())
    }

    fn passkey_sign_in(&self, twist: impl FnOnce(&mut Authenticator)) -> Result<u16> {
        let asked = self.send("POST", "/api/v1/session/passkey/begin", &json!({}))?.json();
        let mut key = self.key.borrow_mut();
        twist(&mut key);
        let proof = key.sign(&asked, &self.origin());
        (key.flags, key.host, key.is_bogus) = (PRESENT_AND_VERIFIED, None, false);
        drop(key);
        Ok(self.send("POST", "/api/v1/session/passkey", &proof)?.status)
    }

    pub(crate) fn id(&self) -> Result<u64> {
        self.send("GET", "/api/v1/session", &Value::Null)?.json()["user"]["id"].as_u64().context("nobody")
    }
}

const PASSKEYS: &str = "/api/v1/account/passkeys";
const BEGIN_PASSKEY: &str = "/api/v1/account/passkeys/begin";
const INVITATIONS: &str = "/api/v1/invitations";

fn start(stage: &Stage) -> Result<Running> {
    Running::start(&stage.binary, &stage.folder, &[])
}

fn replayed_step_up(stage: &Stage) -> Result<Outcome> {
    let server = start(stage)?;
    let owner = Somebody::owner(&server)?;
    // One whose counter says nothing, as those that a cloud carries around.
    owner.key.borrow_mut().is_counting = false;
    let body = json!({"roles": ["viewer"]});
    let signed = || -> Result<Value> { Ok(owner.sign(&owner.challenge("POST", INVITATIONS, &body)?)) };
    let first = signed()?;
    ensure!(owner.with("POST", INVITATIONS, &body, &first)?.status == 201, "the request itself was refused");
    let again = owner.with("POST", INVITATIONS, &body, &first)?.status == 201;
    let changed = owner.with("POST", INVITATIONS, &json!({"roles": ["auditor"]}), &signed()?)?.status == 201;
    let other = owner.with("POST", "/api/v1/account/recovery-codes", &json!({}), &signed()?)?.status == 201;
    let accepted = [again, changed, other].into_iter().filter(|is_in| *is_in).count();
    let (in_browser, tries) = browser::accepted(stage, 3)?;
    Ok(Outcome {
        is_through: accepted > 0 || in_browser > 0,
        figure: format!(
            "again, with other content, for another act: {accepted} of 3 accepted, in Chromium {in_browser} of {tries}"
        ),
    })
}

fn raced_step_up(stage: &Stage) -> Result<Outcome> {
    let server = start(stage)?;
    let owner = Somebody::owner(&server)?;
    owner.key.borrow_mut().is_counting = false;
    let mut body = json!({"roles": ["viewer"]});
    body["step_up"] = owner.sign(&owner.challenge("POST", INVITATIONS, &body)?);
    let origin = format!("http://{}", server.address());
    let headers = [("origin", &*origin), ("cookie", &*owner.cookie)];
    let requests = if stage.is_full { 200 } else { 40 };
    let accepted = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..requests)
            .map(|_| scope.spawn(|| server.call_with("POST", INVITATIONS, &headers, &body).map(|reply| reply.status)))
            .collect();
        tasks.into_iter().filter_map(|task| task.join().ok()?.ok()).filter(|status| *status == 201).count()
    });
    ensure!(accepted > 0, "not even one was accepted");
    let (in_browser, tries) = browser::accepted(stage, 4)?;
    ensure!(in_browser > 0, "not even one was accepted in Chromium");
    Ok(Outcome {
        is_through: accepted > 1 || in_browser > 1,
        figure: format!("{accepted} of {requests} accepted, in Chromium {in_browser} of {tries}"),
    })
}

fn lying_authenticators(stage: &Stage) -> Result<Outcome> {
    let server = start(stage)?;
    let owner = Somebody::owner(&server)?;
    ensure!(owner.passkey_sign_in(|key| key.count = 50)? == 200, "the true one was refused");
    let accepted = [
        owner.passkey_sign_in(|key| key.flags = 0b001)?,
        owner.passkey_sign_in(|key| key.flags = 0b100)?,
        owner.passkey_sign_in(|key| key.is_bogus = true)?,
        owner.passkey_sign_in(|key| key.host = Some("evil.example".to_owned()))?,
        owner.passkey_sign_in(|key| key.count = 10)?,
    ]
    .into_iter()
    .filter(|status| *status == 200)
    .count();
    let (in_browser, tries) = browser::accepted(stage, 5)?;
    Ok(Outcome {
        is_through: accepted > 0 || in_browser > 0,
        figure: format!(
            "unverified, absent, bogus, of another place, copied: {accepted} of 5 accepted, in Chromium {in_browser} of \
             {tries}"
        ),
    })
}

fn guessed_codes(stage: &Stage) -> Result<Outcome> {
    let server = start(stage)?;
    let owner = Somebody::owner(&server)?;
    let origin = format!("http://{}", server.address());
    let sign_in = |code: &str| -> Result<u16> {
        let body = json!({"email": EMAIL, "password": PASSWORD, "code": code});
        Ok(server.call_with("POST", "/api/v1/session", &[("origin", &origin)], &body)?.status)
    };
    // The code with which the passkey was made.
    let replayed = sign_in(&owner.code.borrow())? == 200;
    let guesses = if stage.is_full { 10_000 } else { 25 };
    let mut weighed = 0;
    for guess in 0..guesses {
        weighed += u32::from(sign_in(&format!("{:06}", guess * 37 % 1_000_000))? != 429);
    }
    let is_locked_out = owner.passkey_sign_in(|_| {})? != 200;
    Ok(Outcome {
        is_through: replayed || weighed > 5 || is_locked_out,
        figure: format!(
            "a used code: {}; {weighed} of {guesses} guesses weighed; the true member's passkey: {}",
            if replayed { "accepted" } else { "refused" },
            if is_locked_out { "locked out" } else { "works" }
        ),
    })
}

fn abused_recovery(stage: &Stage) -> Result<Outcome> {
    let server = start(stage)?;
    let owner = Somebody::owner(&server)?;
    let admin = owner.invite(&["org_admin"], "admin@attacked.example")?;
    let list = owner.act("POST", "/api/v1/account/recovery-codes", &json!({}))?.json();
    let code = list["codes"][0].as_str().context("no codes")?;
    let origin = format!("http://{}", server.address());
    let sign_in = |email: &str, password: &str, code: &str| -> Result<bool> {
        let body = json!({"email": email, "password": password, "code": code});
        Ok(server.call_with("POST", "/api/v1/session", &[("origin", &origin)], &body)?.status == 200)
    };
    ensure!(sign_in(EMAIL, PASSWORD, code)?, "a recovery code does not work");
    let target = format!("/api/v1/members/{}", owner.id()?);
    let mut ways = 0;
    for path in ["/password", "/reset", "/recovery-codes", "/passkeys", "/totp"] {
        ways += u32::from(admin.send("POST", &format!("{target}{path}"), &json!({}))?.status < 400);
    }
    for path in ["/api/v1/session/forgot", "/api/v1/password/reset"] {
        ways += u32::from(admin.send("POST", path, &json!({"email": EMAIL}))?.status < 400);
    }
    let tries = [
        sign_in(EMAIL, PASSWORD, code)?,
        sign_in(EMAIL, "", list["codes"][1].as_str().unwrap_or_default())?,
        sign_in("admin@attacked.example", PASSWORD, list["codes"][2].as_str().unwrap_or_default())?,
        sign_in(EMAIL, PASSWORD, "")?,
    ];
    let accepted = tries.into_iter().filter(|is_in| *is_in).count();
    Ok(Outcome {
        is_through: accepted > 0 || ways > 0,
        figure: format!("{accepted} of 4 sign-ins, {ways} of 7 ways to have somebody else's factors reset"),
    })
}

fn added_passkey(stage: &Stage) -> Result<Outcome> {
    let server = start(stage)?;
    let owner = Somebody::owner(&server)?;
    let thief = Somebody::at(&server, owner.cookie.clone(), owner.totp.clone());
    let asked = thief.send("POST", BEGIN_PASSKEY, &json!({}))?;
    let mut asked = asked.json();
    if asked["challenge"].is_null() {
        // What was refused may still be tried with a made-up challenge.
        asked = json!({"challenge": "AAAA", "rp_id": "localhost", "user_id": "AAAA"});
    }
    let made = thief.key.borrow_mut().create(&asked, &thief.origin());
    let kept = thief.send("POST", PASSKEYS, &made)?.status == 201;
    let is_in = thief.passkey_sign_in(|_| {})? == 200;
    let (in_browser, tries) = browser::accepted(stage, 9)?;
    Ok(Outcome {
        is_through: kept || is_in || in_browser > 0,
        figure: format!(
            "{} passkeys added; in Chromium {in_browser} of {tries}: the key kept, a sign-in with it",
            u32::from(kept)
        ),
    })
}

fn cross_site(stage: &Stage) -> Result<Outcome> {
    let server = start(stage)?;
    let owner = Somebody::owner(&server)?;
    let project = json!({"name": "Evil", "time_zone": "UTC", "identity_mode": "simplified"});
    let (mut changed, mut tries) = (0, 0);
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
    ] {
        let headers = [headers, &[("cookie", &*owner.cookie)]].concat();
        for (method, path, body) in [
            ("POST", "/api/v1/projects", &project),
            ("POST", "/api/v1/compact", &json!({})),
            ("DELETE", "/api/v1/account/sessions", &json!({})),
        ] {
            tries += 1;
            changed += u32::from(server.call_with(method, path, &headers, body)?.status < 300);
        }
    }
    let headers = [("origin", "https://evil.example"), ("cookie", &*owner.cookie)];
    let read = server.call_with("GET", "/api/v1/projects", &headers, &Value::Null)?;
    let is_reflected = read.head.to_ascii_lowercase().contains("access-control-allow-origin");
    Ok(Outcome {
        is_through: changed > 0 || is_reflected,
        figure: format!(
            "{changed} of {tries} requests had an effect; answers are for {} origin",
            if is_reflected { "any" } else { "no other" }
        ),
    })
}

fn own_second_person(stage: &Stage) -> Result<Outcome> {
    let server = start(stage)?;
    let owner = Somebody::owner(&server)?;
    let admin = owner.invite(&["org_admin"], "admin@attacked.example")?;
    let alias = owner.invite(&["org_admin"], "admin+second@attacked.example")?;
    let viewer = owner.invite(&["viewer"], "viewer@attacked.example")?;
    let roles = format!("/api/v1/members/{}/roles", viewer.id()?);
    let mut accepted = 0;
    for (who, role) in [(&admin, "analyst"), (&alias, "support_agent")] {
        let asked = admin.act("PUT", &roles, &json!({"roles": [role]}))?;
        ensure!(asked.status == 202, "it did not wait for a second person: {}", asked.status);
        let agree = format!("/api/v1/waiting/{}/agree", asked.json()["waiting"]);
        accepted += u32::from(who.act("POST", &agree, &json!({}))?.status == 204);
    }
    Ok(Outcome {
        is_through: accepted > 0,
        figure: format!("{accepted} of 2 accepted: the same account, a second one of the same mailbox"),
    })
}

fn raised_self(stage: &Stage) -> Result<Outcome> {
    let server = start(stage)?;
    let owner = Somebody::owner(&server)?;
    let admin = owner.invite(&["org_admin"], "admin@attacked.example")?;
    let own = format!("/api/v1/members/{}/roles", admin.id()?);
    let mut raised = 0;
    for role in ["privacy_officer", "analyst", "org_owner"] {
        raised += u32::from(admin.act("PUT", &own, &json!({"roles": ["org_admin", role]}))?.status == 204);
        // A colleague who is made up.
        raised += u32::from(admin.act("POST", INVITATIONS, &json!({"roles": [role]}))?.status == 201);
    }
    let lowered = json!({"property": "$email", "class": "C1"});
    let path = format!("/api/v1/projects/{}/properties/class", server.project);
    raised += u32::from(admin.send("PUT", &path, &lowered)?.status < 300);
    Ok(Outcome { is_through: raised > 0, figure: format!("{raised} of 7 ways to more rights worked") })
}

/// Words for acting as somebody else, as products have them.
const AS_ANOTHER: [&str; 9] =
    ["impersonate", "impersonation", "become", "assume", "login-as", "sign-in-as", "view-as", "switch", "sudo"];

fn impersonated(stage: &Stage) -> Result<Outcome> {
    let server = start(stage)?;
    let owner = Somebody::owner(&server)?;
    let support = owner.invite(&["support_agent"], "support@attacked.example")?;
    let customer = owner.invite(&["viewer"], "customer@attacked.example")?;
    let (id, sessions) = (customer.id()?, "/api/v1/account/sessions");
    let numbers = |reply: &Reply| -> Vec<u64> {
        let json = reply.json();
        json["sessions"].as_array().into_iter().flatten().filter_map(|one| one["number"].as_u64()).collect()
    };
    let theirs = numbers(&customer.send("GET", sessions, &Value::Null)?);
    ensure!(!theirs.is_empty(), "the customer has no session");
    let document = owner.send("GET", "/openapi.json", &Value::Null)?.json();
    let known = document["paths"].as_object().context("no paths")?.keys();
    let named = known.filter(|path| AS_ANOTHER.iter().any(|word| path.contains(word))).count();
    let (mut paths, mut answered, mut ways, mut shown) = (0, 0, 0, 0);
    let body = json!({"member": id, "user": id, "email": "customer@attacked.example"});
    let headers = [
        "x-impersonate-member",
        "x-impersonate-user",
        "x-impersonate",
        "x-act-as",
        "x-on-behalf-of",
        "x-sudo",
        "x-user-id",
        "x-forwarded-user",
        "x-remote-user",
        "x-auth-request-email",
    ];
    for who in [&owner, &support] {
        for word in AS_ANOTHER {
            for path in [
                format!("/api/v1/{word}"),
                format!("/api/v1/{word}/{id}"),
                format!("/api/v1/members/{id}/{word}"),
                format!("/api/v1/session/{word}"),
                format!("/api/v1/account/{word}"),
                format!("/api/v1/admin/{word}"),
                format!("/api/v1/support/{word}"),
            ] {
                for method in ["GET", "POST"] {
                    paths += 1;
                    answered += u32::from(who.send(method, &path, &body)?.status != 404);
                }
            }
        }
        let mut look = |reply: Reply| {
            ways += 1;
            shown += u32::from(numbers(&reply).iter().any(|number| theirs.contains(number)));
        };
        for value in [id.to_string(), "customer@attacked.example".to_owned()] {
            for name in headers {
                look(who.send_with("GET", sessions, (name, &value), &Value::Null)?);
            }
            for name in ["as", "member", "user", "impersonate"] {
                look(who.send("GET", &format!("{sessions}?{name}={value}"), &body)?);
                look(who.send_with("GET", sessions, ("cookie", &format!("{name}={value}")), &body)?);
            }
        }
    }
    Ok(Outcome {
        is_through: named > 0 || answered > 0 || shown > 0,
        figure: format!(
            "{named} such paths in the document; {answered} of {paths} answer anything but 404; {shown} of {ways} headers, \
             cookies and parameters show a customer's session"
        ),
    })
}

fn misused_tokens(stage: &Stage) -> Result<Outcome> {
    let server = start(stage)?;
    let owner = Somebody::owner(&server)?;
    let base = format!("/api/v1/projects/{}", server.project);
    let made = owner.act("POST", &format!("{base}/tokens/query"), &json!({"name": "Nightly", "days": 1}))?.json();
    let query = made["token"].as_str().context("no token")?.to_owned();
    let range = json!({"kind": "last", "count": 7, "unit": "day"});
    let rows = json!({"kind": "events", "range": range, "matching": {}, "limit": 10});
    let asks: [(&str, String, Value); 4] = [
        ("POST", format!("{base}/query"), rows),
        ("GET", format!("{base}/quarantine"), Value::Null),
        ("GET", format!("{base}/tokens"), Value::Null),
        ("GET", format!("{base}/scan"), Value::Null),
    ];
    let (mut got, mut tries) = (0, 0);
    for token in [&query, &server.token] {
        let bearer = format!("Bearer {token}");
        for (method, path, body) in &asks {
            tries += 1;
            let reply = server.call_with(method, path, &[("authorization", &bearer)], body)?;
            ensure!(reply.status < 500, "{method} {path}: {}", reply.status);
            got += u32::from(reply.status < 400);
        }
    }
    Ok(Outcome { is_through: got > 0, figure: format!("{got} of {tries} reads by a query token and a public one") })
}

fn other_organisation(stage: &Stage) -> Result<Outcome> {
    let server = start(stage)?;
    let output = command(&stage.binary, &["organisation", "create", "Elsewhere"], &server.data)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    done(output)?;
    let stranger = Somebody::join(&server, text.lines().last().context("no code")?, "chief@elsewhere.example")?;
    let document = stranger.send("GET", "/openapi.json", &Value::Null)?.json();
    let (mut tries, mut differing) = (0, 0);
    for (path, item) in document["paths"].as_object().context("no paths")? {
        // A stream of another organisation would not end.
        if !path.contains("{project}") || path.ends_with("/live") {
            continue;
        }
        for method in item.as_object().context("no operations")?.keys() {
            let answer = |project: u64| -> Result<(u16, Vec<u8>)> {
                let path = path.replace("{project}", &project.to_string());
                let parts: Vec<&str> =
                    path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect();
                let reply = stranger.send(&method.to_uppercase(), &parts.join("/"), &json!({}))?;
                Ok((reply.status, reply.body))
            };
            tries += 1;
            let theirs = answer(server.project)?;
            differing += u32::from(theirs.0 != 404 || theirs != answer(3_999_999)?);
        }
    }
    ensure!(tries > 20, "only {tries} routes of projects");
    Ok(Outcome {
        is_through: differing > 0,
        figure: format!("{differing} of {tries} routes tell another organisation's project from a missing one"),
    })
}
