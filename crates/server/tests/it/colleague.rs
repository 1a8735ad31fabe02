//! A member at a browser of their own: a session, an authenticator app, a passkey.

use std::cell::RefCell;

use serde_json::{Value, json};

use crate::authenticator::Authenticator;
use crate::http::{Reply, Request};
use crate::server::{PASSWORD, Server, binary, now_ms};

pub(crate) struct Colleague<'a> {
    server: &'a Server,
    pub(crate) email: String,
    /// As the browser sends them.
    pub(crate) cookies: RefCell<String>,
    pub(crate) totp: totp_rs::Totp,
    pub(crate) key: RefCell<Option<Authenticator>>,
}

/// The cookies that an answer sets.
pub(crate) fn cookies(reply: &Reply) -> String {
    let set = reply.headers.iter().filter(|(name, _)| name == "set-cookie");
    let pairs: Vec<&str> = set.map(|(_, value)| value.split(';').next().expect("a name and a value")).collect();
    pairs.join("; ")
}

/// What browsers call the server's origin.
pub(crate) fn origin(server: &Server) -> String {
    format!("http://localhost:{}", server.port())
}

/// An organisation of its own on the same server: the code for its first member.
pub(crate) fn other_organisation(server: &Server, name: &str) -> String {
    let output = binary().args(["organisation", "create", name, "--data"]).arg(server.data()).output().expect("a run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().last().expect("a code").to_owned()
}

impl<'a> Colleague<'a> {
    /// The first member, who set the server up, without a passkey yet.
    pub(crate) fn owner(server: &'a Server) -> Colleague<'a> {
        Colleague {
            server,
            email: crate::server::EMAIL.to_owned(),
            cookies: RefCell::new(server.cookie().to_owned()),
            totp: server.totp().clone(),
            key: RefCell::new(None),
        }
    }

    /// Joins by an invitation's code.
    pub(crate) fn join(server: &'a Server, code: &str, email: &str) -> Colleague<'a> {
        let reply = server
            .request("POST", "/api/v1/invitations/open")
            .header("origin", &server.origin())
            .json(&json!({"code": code, "email": email}))
            .send();
        assert_eq!(reply.status, 200, "{}", reply.text());
        let totp = totp_rs::Totp::from_url(reply.json()["uri"].as_str().expect("a uri")).expect("an otpauth uri");
        let now = totp.generate(now_ms() as u64 / 1_000).to_string();
        let body = json!({"code": code, "name": "A Colleague", "email": email, "password": PASSWORD, "totp_code": now});
        let reply =
            server.request("POST", "/api/v1/invitations/accept").header("origin", &server.origin()).json(&body).send();
        assert_eq!(reply.status, 201, "{}", reply.text());
        let cookies = RefCell::new(cookies(&reply));
        Colleague { server, email: email.to_owned(), cookies, totp, key: RefCell::new(None) }
    }

    /// Invited by this member, with these roles.
    pub(crate) fn invites(&self, roles: &[&str], email: &str) -> Colleague<'a> {
        let reply = self.act("POST", "/api/v1/invitations", &json!({"roles": roles}));
        assert_eq!(reply.status, 201, "{}", reply.text());
        Colleague::join(self.server, reply.json()["code"].as_str().expect("a code"), email)
    }

    /// Somebody who agrees to what the owner asks for. They may what the owner may not, so that it takes two to make them.
    pub(crate) fn steward(&self) -> Colleague<'a> {
        let admin = self.invites(&["org_admin"], "admin@coffer.example").with_passkey();
        self.steward_by(&admin, "stefan@coffer.example")
    }

    /// The same with an administrator who is there already.
    pub(crate) fn steward_by(&self, admin: &Colleague<'a>, email: &str) -> Colleague<'a> {
        let steward = self.invites(&["viewer"], email).with_passkey();
        let target = format!("/api/v1/members/{}/roles", steward.id());
        admin.agrees(&self.act("PUT", &target, &json!({"roles": ["data_steward"]})));
        steward
    }

    /// Is the second person of what waits for one.
    pub(crate) fn agrees(&self, asked: &Reply) {
        assert_eq!(asked.status, 202, "it takes two: {}", asked.text());
        let target = format!("/api/v1/waiting/{}/agree", asked.json()["waiting"]);
        let reply = self.act("POST", &target, &json!({}));
        assert_eq!(reply.status, 204, "{}", reply.text());
    }

    pub(crate) fn api(&self, method: &str, target: &str) -> Request {
        self.server
            .request(method, target)
            .header("origin", &self.server.origin())
            .header("cookie", &self.cookies.borrow())
    }

    pub(crate) fn get(&self, target: &str) -> Value {
        let reply = self.api("GET", target).send();
        assert_eq!(reply.status, 200, "GET {target}: {}", reply.text());
        reply.json()
    }

    pub(crate) fn id(&self) -> u64 {
        self.get("/api/v1/session")["user"]["id"].as_u64().expect("a number")
    }

    /// A code of the app that was not used yet: the next one, which a server takes a moment early.
    pub(crate) fn code(&self) -> String {
        self.totp.generate(now_ms() as u64 / 1_000 + 30).to_string()
    }

    /// What the server wants shown again for a request.
    pub(crate) fn challenge(&self, method: &str, target: &str, body: &Value) -> Value {
        let reply = self.api(method, target).json(body).send();
        assert_eq!((reply.status, code_of(&reply)), (401, "step_up_required".to_owned()), "{}", reply.text());
        reply.json()["error"]["step_up"].clone()
    }

    pub(crate) fn sign(&self, challenge: &Value) -> Value {
        let mut key = self.key.borrow_mut();
        key.as_mut().expect("a passkey").sign(challenge, &origin(self.server))
    }

    /// A request for which the passkey is shown once more.
    pub(crate) fn act(&self, method: &str, target: &str, body: &Value) -> Reply {
        let proof = self.sign(&self.challenge(method, target, body));
        self.with(method, target, body, &proof)
    }

    /// A request with a proof in it.
    pub(crate) fn with(&self, method: &str, target: &str, body: &Value, proof: &Value) -> Reply {
        let mut body = body.clone();
        body["step_up"] = proof.clone();
        self.api(method, target).json(&body).send()
    }

    /// Password and a code, as a proof.
    pub(crate) fn password_and_code(&self, code: &str) -> Value {
        json!({"kind": "password_and_code", "password": PASSWORD, "code": code})
    }

    /// Makes a passkey, with this proof of an old factor.
    pub(crate) fn adds_passkey(self, proof: &Value) -> Colleague<'a> {
        let mut key = Authenticator::new();
        let reply = self.with("POST", "/api/v1/account/passkeys/begin", &json!({}), proof);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let made = key.create(&reply.json(), &origin(self.server));
        let reply = self.api("POST", "/api/v1/account/passkeys").json(&made).send();
        assert_eq!(reply.status, 201, "{}", reply.text());
        *self.key.borrow_mut() = Some(key);
        self
    }

    /// The same with the app's next code.
    pub(crate) fn with_passkey(self) -> Colleague<'a> {
        let proof = self.password_and_code(&self.code());
        self.adds_passkey(&proof)
    }

    pub(crate) fn signs_in_with_passkey(&self) -> Reply {
        let asked = self.api("POST", "/api/v1/session/passkey/begin").send().json();
        self.api("POST", "/api/v1/session/passkey").json(&self.sign(&asked)).send()
    }
}

pub(crate) fn code_of(reply: &Reply) -> String {
    reply.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}
