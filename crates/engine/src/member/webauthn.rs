//! WebAuthn (Level 3) as a relying party needs it here: what a browser hands over when a passkey is made or signs,
//! and whether it may be believed. Bytes in, an answer out; no state, no clock.
//!
//! Narrow on purpose. Who made the authenticator does not matter here, so no attestation statement is read. The person
//! must be verified by it (a finger, a face, a PIN), always, also when the key is made: a key that can skip it
//! would be a possession alone. Keys are ES256, EdDSA or RS256. What the specification's steps ask for is looked at in
//! their order (§7.1 for registration, §7.2 for assertion).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use cofferdam_model::{limits, sabotage};
use serde::Deserialize;

/// What a passkey signed with.
pub struct Assertion {
    pub credential: Vec<u8>,
    pub client_data: Vec<u8>,
    pub authenticator_data: Vec<u8>,
    pub signature: Vec<u8>,
    /// Whose key it says it is.
    pub user_handle: Option<Vec<u8>>,
}

/// A new passkey, as the browser hands it over.
pub struct Attestation {
    pub client_data: Vec<u8>,
    pub attestation_object: Vec<u8>,
}

/// Where this installation is, for browsers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RelyingParty {
    /// `https://analytics.example`, without a path.
    pub(crate) origin: String,
}

impl RelyingParty {
    /// The host of the origin: keys made for it are offered to no other.
    pub(crate) fn id(&self) -> &str {
        let host = self.origin.split_once("://").map_or(&*self.origin, |(_, host)| host);
        host.rsplit_once(':')
            .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
            .map_or(host, |(host, _)| host)
    }
}

/// A key that verifies, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey {
    pub(crate) algorithm: Algorithm,
    /// ES256: the uncompressed point. EdDSA: the point. RS256: the length of the modulus in two bytes, modulus, exponent.
    pub(crate) bytes: Vec<u8>,
}

/// By their numbers in COSE, which are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Es256 = -7,
    EdDsa = -8,
    Rs256 = -257,
}

impl Algorithm {
    pub(crate) const ALL: [Algorithm; 3] = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256];

    pub(crate) fn of_number(number: i64) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|algorithm| *algorithm as i64 == number)
    }
}

/// A new passkey that may be believed.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) credential: Vec<u8>,
    pub(crate) key: PublicKey,
    pub(crate) count: u32,
}

#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(rename = "crossOrigin", default)]
    cross_origin: bool,
}

fn client_data(bytes: &[u8]) -> Option<ClientData> {
    let fits = bytes.len() <= limits::WEBAUTHN_BYTES_MAX;
    fits.then(|| serde_json::from_slice(bytes).ok()).flatten()
}

/// The challenge that was signed, as the client says: which one it should have been is for the caller to know.
pub(crate) fn challenge_of(bytes: &[u8]) -> Option<[u8; 32]> {
    BASE64URL.decode(client_data(bytes)?.challenge).ok()?.try_into().ok()
}

/// Whether the client data is of this ceremony, challenge and place.
fn is_ours(bytes: &[u8], kind: &str, challenge: &[u8; 32], party: &RelyingParty) -> bool {
    client_data(bytes).is_some_and(|client| {
        client.kind == kind
            && client.challenge == BASE64URL.encode(challenge)
            && (client.origin == party.origin || sabotage::is_out(2))
            && !client.cross_origin
    })
}

const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKED_UP: u8 = 1 << 4;
const HAS_CREDENTIAL: u8 = 1 << 6;

/// Authenticator data: flags, counter, and what follows.
struct AuthenticatorData<'a> {
    count: u32,
    flags: u8,
    rest: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    /// `None` unless it is for this relying party, with the person there and verified.
    fn read(bytes: &'a [u8], party: &RelyingParty) -> Option<AuthenticatorData<'a>> {
        if bytes.len() > limits::WEBAUTHN_BYTES_MAX {
            return None;
        }
        let (party_hash, rest) = bytes.split_at_checked(32)?;
        let (&flags, rest) = rest.split_first()?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let is_verified = flags & USER_PRESENT != 0 && flags & USER_VERIFIED != 0;
        let is_sound = flags & BACKED_UP == 0 || flags & BACKUP_ELIGIBLE != 0;
        let is_for_us = party_hash == digest(&SHA256, party.id().as_bytes()).as_ref();
        (is_for_us && is_sound && (is_verified || sabotage::is_out(5))).then_some(AuthenticatorData {
            count: u32::from_be_bytes(*count),
            flags,
            rest,
        })
    }
}

/// Looks at an assertion. Answers the authenticator's counter, for the caller to compare with the last one.
pub(crate) fn verify(
    assertion: &Assertion,
    key: &PublicKey,
    challenge: &[u8; 32],
    party: &RelyingParty,
) -> Option<u32> {
    if !is_ours(&assertion.client_data, "webauthn.get", challenge, party) {
        return None;
    }
    let data = AuthenticatorData::read(&assertion.authenticator_data, party)?;
    let client_hash = digest(&SHA256, &assertion.client_data);
    let signed = [&assertion.authenticator_data[..], client_hash.as_ref()].concat();
    key.verifies(&signed, &assertion.signature).then_some(data.count)
}

/// Looks at a new passkey.
pub(crate) fn register(attestation: &Attestation, challenge: &[u8; 32], party: &RelyingParty) -> Option<Registered> {
    if !is_ours(&attestation.client_data, "webauthn.create", challenge, party) {
        return None;
    }
    let bytes = &attestation.attestation_object;
    if bytes.len() > limits::WEBAUTHN_BYTES_MAX {
        return None;
    }
    let (object, rest) = Cbor::read(bytes)?;
    let Cbor::Bytes(authenticator) = object.get(&Cbor::Text("authData"))? else { return None };
    let data = AuthenticatorData::read(authenticator, party)?;
    if !rest.is_empty() || data.flags & HAS_CREDENTIAL == 0 {
        return None;
    }
    // After the model of the authenticator.
    let (length, rest) = data.rest.get(16..)?.split_first_chunk::<2>()?;
    let (credential, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    if credential.is_empty() || credential.len() > limits::CREDENTIAL_ID_BYTES_MAX {
        return None;
    }
    let (key, _) = Cbor::read(rest)?;
    Some(Registered { credential: credential.to_vec(), key: PublicKey::of_cose(&key)?, count: data.count })
}

impl PublicKey {
    fn of_cose(key: &Cbor<'_>) -> Option<PublicKey> {
        let number = |label: i64| match key.get(&Cbor::Number(label)) {
            Some(Cbor::Number(number)) => Some(*number),
            _ => None,
        };
        let bytes = |label: i64| match key.get(&Cbor::Number(label)) {
            Some(Cbor::Bytes(bytes)) => Some(*bytes),
            _ => None,
        };
        let algorithm = Algorithm::of_number(number(3)?)?;
        let bytes = match (algorithm, number(1)?) {
            (Algorithm::Es256, 2) if number(-1) == Some(1) => {
                let (x, y) = (bytes(-2)?, bytes(-3)?);
                (x.len() == 32 && y.len() == 32).then(|| [&[4], x, y].concat())?
            }
            (Algorithm::EdDsa, 1) if number(-1) == Some(6) => bytes(-2).filter(|point| point.len() == 32)?.to_vec(),
            (Algorithm::Rs256, 3) => {
                let (modulus, exponent) = (bytes(-1)?, bytes(-2)?);
                let fits = (256..=1_024).contains(&modulus.len()) && (1..=8).contains(&exponent.len());
                let length = u16::try_from(modulus.len()).ok()?.to_be_bytes();
                fits.then(|| [&length[..], modulus, exponent].concat())?
            }
            _ => return None,
        };
        Some(PublicKey { algorithm, bytes })
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        if sabotage::is_out(5) {
            return true;
        }
        match self.algorithm {
            Algorithm::Es256 => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.bytes).verify(message, signature).is_ok()
            }
            Algorithm::EdDsa => UnparsedPublicKey::new(&ED25519, &self.bytes).verify(message, signature).is_ok(),
            Algorithm::Rs256 => {
                let Some((length, rest)) = self.bytes.split_first_chunk::<2>() else { return false };
                let Some((n, e)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
                    return false;
                };
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
        }
    }
}

/// CBOR as CTAP2 writes it: definite lengths, shallow.
#[derive(Debug, PartialEq)]
enum Cbor<'a> {
    Number(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    List(Vec<Cbor<'a>>),
    Map(Vec<(Cbor<'a>, Cbor<'a>)>),
    /// true, false, null and numbers with a fraction: nothing here needs them.
    Other,
}

const CBOR_DEPTH_MAX: u32 = 4;
const CBOR_ITEMS_MAX: u64 = 64;

impl<'a> Cbor<'a> {
    /// One item, and what follows it.
    fn read(bytes: &'a [u8]) -> Option<(Cbor<'a>, &'a [u8])> {
        Cbor::item(bytes, CBOR_DEPTH_MAX)
    }

    fn item(bytes: &'a [u8], depth: u32) -> Option<(Cbor<'a>, &'a [u8])> {
        let depth = depth.checked_sub(1)?;
        let (&first, rest) = bytes.split_first()?;
        let (number, mut rest) = match first & 31 {
            small @ 0..=23 => (u64::from(small), rest),
            24 => rest.split_first_chunk::<1>().map(|(n, rest)| (u64::from(n[0]), rest))?,
            25 => rest.split_first_chunk().map(|(n, rest)| (u64::from(u16::from_be_bytes(*n)), rest))?,
            26 => rest.split_first_chunk().map(|(n, rest)| (u64::from(u32::from_be_bytes(*n)), rest))?,
            27 => rest.split_first_chunk().map(|(n, rest)| (u64::from_be_bytes(*n), rest))?,
            _ => return None,
        };
        let item = match first >> 5 {
            0 => Cbor::Number(i64::try_from(number).ok()?),
            1 => Cbor::Number(-1 - i64::try_from(number).ok()?),
            2 => {
                let (text, after) = rest.split_at_checked(usize::try_from(number).ok()?)?;
                rest = after;
                Cbor::Bytes(text)
            }
            3 => {
                let (text, after) = rest.split_at_checked(usize::try_from(number).ok()?)?;
                rest = after;
                Cbor::Text(std::str::from_utf8(text).ok()?)
            }
            4 if number <= CBOR_ITEMS_MAX => {
                let mut list = Vec::new();
                for _ in 0..number {
                    let (item, after) = Cbor::item(rest, depth)?;
                    list.push(item);
                    rest = after;
                }
                Cbor::List(list)
            }
            5 if number <= CBOR_ITEMS_MAX => {
                let mut map = Vec::new();
                for _ in 0..number {
                    let (key, after) = Cbor::item(rest, depth)?;
                    let (value, after) = Cbor::item(after, depth)?;
                    if map.iter().any(|(other, _)| *other == key) {
                        return None;
                    }
                    map.push((key, value));
                    rest = after;
                }
                Cbor::Map(map)
            }
            7 => Cbor::Other,
            _ => return None,
        };
        Some((item, rest))
    }

    fn get(&self, key: &Cbor<'_>) -> Option<&Cbor<'a>> {
        let Cbor::Map(map) = self else { return None };
        map.iter().find(|(other, _)| other == key).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    };

    use super::*;

    const CHALLENGE: [u8; 32] = [7; 32];

    fn party() -> RelyingParty {
        RelyingParty { origin: "https://stats.example:8443".to_owned() }
    }

    fn client(kind: &str, origin: &str) -> Vec<u8> {
        let challenge = BASE64URL.encode(CHALLENGE);
        format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}","other":{{"a":1}}}}"#).into_bytes()
    }

    fn data(host: &str, flags: u8, count: u32, rest: &[u8]) -> Vec<u8> {
        [digest(&SHA256, host.as_bytes()).as_ref(), &[flags], &count.to_be_bytes(), rest].concat()
    }

    fn bytes(text: &[u8]) -> Vec<u8> {
        [&[0x59], &u16::try_from(text.len()).unwrap().to_be_bytes()[..], text].concat()
    }

    fn attestation(flags: u8, cose: &[u8]) -> Attestation {
        let rest = [&[0; 16][..], &[0, 3], b"key", cose].concat();
        let data = data("stats.example", flags, 0, &rest);
        let object = [b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData".to_vec(), bytes(&data)].concat();
        Attestation { client_data: client("webauthn.create", &party().origin), attestation_object: object }
    }

    type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

    /// A key of each kind, as COSE has it, and what signs with it.
    fn keys() -> Vec<(Vec<u8>, Sign)> {
        let es256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let point = es256.public_key().as_ref().to_vec();
        let es256_cose =
            [b"\xa5\x01\x02\x03\x26\x20\x01\x21".to_vec(), bytes(&point[1..33]), vec![0x22], bytes(&point[33..])]
                .concat();
        let ed25519 = Ed25519KeyPair::generate().unwrap();
        let ed25519_cose =
            [b"\xa4\x01\x01\x03\x27\x20\x06\x21".to_vec(), bytes(ed25519.public_key().as_ref())].concat();
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        // PKCS #1: a sequence of a modulus of 257 bytes, the first of them 0, and the exponent.
        let der = rsa.public_key().as_ref().to_vec();
        let (n, e) = (&der[9..265], &der[267..]);
        let rsa_cose = [b"\xa4\x01\x03\x03\x39\x01\x00\x20".to_vec(), bytes(n), vec![0x21], bytes(e)].concat();
        vec![
            (es256_cose, Box::new(move |m: &[u8]| es256.sign(&SystemRandom::new(), m).unwrap().as_ref().to_vec())),
            (ed25519_cose, Box::new(move |m: &[u8]| ed25519.sign(m).as_ref().to_vec())),
            (
                rsa_cose,
                Box::new(move |m: &[u8]| {
                    let mut signature = vec![0; rsa.public_modulus_len()];
                    rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), m, &mut signature).unwrap();
                    signature
                }),
            ),
        ]
    }

    #[test]
    fn a_key_of_each_kind_registers_and_signs_and_no_changed_bit_passes() {
        for (cose, sign) in keys() {
            let made = register(&attestation(0b100_0101, &cose), &CHALLENGE, &party()).expect("a passkey");
            assert_eq!((&made.credential[..], made.count), (&b"key"[..], 0));
            let client_data = client("webauthn.get", &party().origin);
            let authenticator_data = data("stats.example", 0b101, 9, b"");
            let signature = sign(&[&authenticator_data[..], digest(&SHA256, &client_data).as_ref()].concat());
            let assertion = |client_data: &[u8], authenticator_data: &[u8], signature: &[u8]| Assertion {
                credential: b"key".to_vec(),
                client_data: client_data.to_vec(),
                authenticator_data: authenticator_data.to_vec(),
                signature: signature.to_vec(),
                user_handle: None,
            };
            let check = |assertion: &Assertion| verify(assertion, &made.key, &CHALLENGE, &party());
            assert_eq!(check(&assertion(&client_data, &authenticator_data, &signature)), Some(9));
            for at in 0..client_data.len() * 8 {
                let mut changed = client_data.clone();
                changed[at / 8] ^= 1 << (at % 8);
                assert_eq!(check(&assertion(&changed, &authenticator_data, &signature)), None, "bit {at}");
            }
            for at in 0..authenticator_data.len() * 8 {
                let mut changed = authenticator_data.clone();
                changed[at / 8] ^= 1 << (at % 8);
                assert_eq!(check(&assertion(&client_data, &changed, &signature)), None, "bit {at}");
            }
            for at in 0..signature.len() {
                let mut changed = signature.clone();
                changed[at] ^= 1;
                assert_eq!(check(&assertion(&client_data, &authenticator_data, &changed)), None, "byte {at}");
            }
            assert_eq!(
                verify(&assertion(&client_data, &authenticator_data, &signature), &made.key, &[8; 32], &party()),
                None
            );
        }
    }

    #[test]
    fn what_is_signed_for_elsewhere_or_without_the_person_is_refused() {
        let (cose, sign) = keys().remove(0);
        let key = register(&attestation(0b100_0101, &cose), &CHALLENGE, &party()).expect("a passkey").key;
        let check = |client_data: Vec<u8>, authenticator_data: Vec<u8>| {
            let signature = sign(&[&authenticator_data[..], digest(&SHA256, &client_data).as_ref()].concat());
            let assertion = Assertion {
                credential: b"key".to_vec(),
                client_data,
                authenticator_data,
                signature,
                user_handle: None,
            };
            verify(&assertion, &key, &CHALLENGE, &party()).is_some()
        };
        let good = || client("webauthn.get", "https://stats.example:8443");
        assert!(check(good(), data("stats.example", 0b101, 1, b"")));
        assert!(check(good(), data("stats.example", 0b1_1101, 1, b"")), "backed up");
        for (flags, what) in [(0b001, "not verified"), (0b100, "not present"), (0b1_0101, "backed up and not eligible")]
        {
            assert!(!check(good(), data("stats.example", flags, 1, b"")), "{what}");
        }
        assert!(!check(good(), data("stats.example.evil.example", 0b101, 1, b"")), "another place's key");
        for origin in ["https://stats.example", "http://stats.example:8443", "https://stats.example:8443.evil.example"]
        {
            assert!(!check(client("webauthn.get", origin), data("stats.example", 0b101, 1, b"")), "{origin}");
        }
        assert!(!check(client("webauthn.create", &party().origin), data("stats.example", 0b101, 1, b"")));
        let framed = String::from_utf8(good()).unwrap().replace("\"other\"", "\"crossOrigin\":true,\"other\"");
        assert!(!check(framed.into_bytes(), data("stats.example", 0b101, 1, b"")), "in another's page");
        let twice = String::from_utf8(good()).unwrap().replace("\"other\"", "\"type\":\"webauthn.get\",\"other\"");
        assert!(!check(twice.into_bytes(), data("stats.example", 0b101, 1, b"")), "a key that stands twice");
    }

    #[test]
    fn a_key_that_was_made_without_the_person_verified_is_refused_and_every_cut_is() {
        let (cose, _) = keys().remove(0);
        for flags in [0b100_0001, 0b100_0100, 0b101] {
            assert!(register(&attestation(flags, &cose), &CHALLENGE, &party()).is_none(), "{flags:b}");
        }
        let whole = attestation(0b100_0101, &cose);
        for at in 0..whole.attestation_object.len() {
            let cut = Attestation {
                client_data: whole.client_data.clone(),
                attestation_object: whole.attestation_object[..at].to_vec(),
            };
            assert!(register(&cut, &CHALLENGE, &party()).is_none(), "cut at {at}");
        }
        let weak =
            [b"\xa5\x01\x02\x03\x26\x20\x02\x21".to_vec(), bytes(&[1; 32]), vec![0x22], bytes(&[1; 32])].concat();
        assert!(register(&attestation(0b100_0101, &weak), &CHALLENGE, &party()).is_none(), "another curve");
    }

    #[test]
    fn deep_and_endless_cbor_is_refused() {
        assert!(Cbor::read(&[0x81; 1_000]).is_none());
        assert!(Cbor::read(b"\x9f\xff").is_none());
        assert!(Cbor::read(b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff").is_none());
        assert!(Cbor::read(b"\xa2\x01\x01\x01\x01").is_none(), "a key that stands twice");
    }

    #[test]
    fn the_relying_party_is_the_host_of_the_origin() {
        assert_eq!(party().id(), "stats.example");
        assert_eq!(RelyingParty { origin: "http://localhost".to_owned() }.id(), "localhost");
    }
}
