//! A passkey in software: makes real ES256 signatures over what WebAuthn says is signed, and can be told to lie about
//! everything around them.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};

/// The person is there, and verified.
pub(crate) const PRESENT_AND_VERIFIED: u8 = 0b101;
const HAS_CREDENTIAL: u8 = 1 << 6;

pub(crate) struct Authenticator {
    key: EcdsaKeyPair,
    credential: [u8; 16],
    /// Whose key it is, as the server said.
    user: String,
    /// Goes up with each signature.
    pub(crate) count: u32,
    /// As keys that a cloud carries from device to device are not.
    pub(crate) is_counting: bool,
    pub(crate) flags: u8,
    /// The host it believes it signs for; what the server asks for when absent.
    pub(crate) host: Option<String>,
    /// Turns a bit of each signature around.
    pub(crate) is_bogus: bool,
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl Authenticator {
    pub(crate) fn new() -> Authenticator {
        let mut credential = [0; 16];
        aws_lc_rs::rand::fill(&mut credential).expect("randomness");
        Authenticator {
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key"),
            credential,
            user: String::new(),
            count: 0,
            is_counting: true,
            flags: PRESENT_AND_VERIFIED,
            host: None,
            is_bogus: false,
        }
    }

    fn data(&self, host: &str, flags: u8) -> Vec<u8> {
        let host = self.host.as_deref().unwrap_or(host);
        [digest(&SHA256, host.as_bytes()).as_ref(), &[flags], &self.count.to_be_bytes()].concat()
    }

    fn client_data(kind: &str, challenge: &str, origin: &str) -> Vec<u8> {
        json!({"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": false}).to_string().into_bytes()
    }

    /// What a browser answers to the server's wish for a new passkey.
    pub(crate) fn create(&mut self, asked: &Value, origin: &str) -> Value {
        self.user = text(&asked["user_id"]).to_owned();
        let point = self.key.public_key().as_ref();
        let key = [b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20", &point[1..33], b"\x22\x58\x20", &point[33..]].concat();
        let head = self.data(text(&asked["rp_id"]), self.flags | HAS_CREDENTIAL);
        let data = [&head[..], &[0; 16], &[0, 16], &self.credential, &key].concat();
        let object = [b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58", &[data.len() as u8][..], &data].concat();
        let client_data = Self::client_data("webauthn.create", text(&asked["challenge"]), origin);
        json!({
            "name": "A key in software",
            "client_data_json": BASE64URL.encode(client_data),
            "attestation_object": BASE64URL.encode(object),
        })
    }

    /// What a browser answers when something is to be signed.
    pub(crate) fn sign(&mut self, asked: &Value, origin: &str) -> Value {
        self.count += u32::from(self.is_counting);
        let client_data = Self::client_data("webauthn.get", text(&asked["challenge"]), origin);
        let data = self.data(text(&asked["rp_id"]), self.flags);
        let signed = [&data[..], digest(&SHA256, &client_data).as_ref()].concat();
        let mut signature = self.key.sign(&SystemRandom::new(), &signed).expect("a signature").as_ref().to_vec();
        if self.is_bogus {
            *signature.last_mut().expect("a signature") ^= 1;
        }
        json!({
            "kind": "passkey",
            "id": BASE64URL.encode(self.credential),
            "client_data_json": BASE64URL.encode(client_data),
            "authenticator_data": BASE64URL.encode(data),
            "signature": BASE64URL.encode(signature),
            "user_handle": self.user,
        })
    }
}
