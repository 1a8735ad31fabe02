//! Sealing: the one way in which the vault makes ciphertexts.
//!
//! ```text
//! sealed = format 1 │ key id 4 │ nonce 24 │ ciphertext │ tag 16
//! ```
//! XAES-256-GCM ([`cofferdam_model::xaes`]) with a random nonce: nothing has to be counted over restarts and copies of
//! the disk.
//!
//! Invariants:
//! - A key is never tried: the id in front says which key it takes, and any other refuses.
//! - The associated data of every ciphertext says what it belongs to, so that one moved elsewhere does not open.
//! - Another format than this one's is refused, and the format is part of what is authenticated.

use cofferdam_model::sabotage;
use cofferdam_model::xaes::{NONCE, TAG, XaesKey};
use zeroize::Zeroizing;

use crate::{Error, Result};

const FORMAT: u8 = 1;
const KEY_ID: usize = 4;
/// Bytes that a ciphertext is longer than what it holds.
pub(crate) const OVERHEAD: usize = 1 + KEY_ID + NONCE + TAG;

/// What a key is called: tells keys apart, and says nothing about their bytes.
pub(crate) type KeyId = [u8; KEY_ID];

/// A key for sealing.
pub(crate) struct SealKey {
    key: XaesKey,
    id: KeyId,
}

impl SealKey {
    pub(crate) fn new(bytes: &[u8; 32]) -> SealKey {
        let key = XaesKey::new(bytes);
        let id = key.id();
        SealKey { key, id }
    }

    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    pub(crate) fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut nonce = random::<NONCE>();
        if sabotage::is_out(39) {
            nonce = [7; NONCE];
        }
        let mut out = Vec::with_capacity(plaintext.len() + OVERHEAD);
        out.push(FORMAT);
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&nonce);
        let mut body = Vec::with_capacity(plaintext.len() + TAG);
        body.extend_from_slice(plaintext);
        self.key.seal(&nonce, &framed(aad), &mut body);
        out.extend_from_slice(&body);
        out
    }

    pub(crate) fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let (head, body) = sealed.split_first_chunk::<{ 1 + KEY_ID + NONCE }>().ok_or(Error::CannotOpen)?;
        if head[0] != FORMAT {
            return Err(Error::UnknownFormat { found: head[0], known: FORMAT });
        }
        if head[1..=KEY_ID] != self.id {
            return Err(Error::OtherKey);
        }
        let nonce = head.last_chunk::<NONCE>().expect("the head ends with it");
        let mut body = Zeroizing::new(body.to_vec());
        let opened = self.key.open(nonce, &framed(aad), &mut body).ok_or(Error::CannotOpen)?;
        body.truncate(opened);
        Ok(body)
    }
}

/// Of which key a ciphertext is.
pub(crate) fn key_id(sealed: &[u8]) -> Option<KeyId> {
    sealed.get(1..=KEY_ID)?.try_into().ok()
}

/// The beginning of a ciphertext's nonce: random, and says nothing about what it holds.
pub(crate) fn nonce_start(sealed: &[u8]) -> Option<[u8; 4]> {
    sealed.get(1 + KEY_ID..)?.first_chunk().copied()
}

fn framed(aad: &[u8]) -> Vec<u8> {
    if sabotage::is_out(78) {
        return vec![FORMAT];
    }
    let mut out = Vec::with_capacity(aad.len() + 1);
    out.push(FORMAT);
    out.extend_from_slice(aad);
    out
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    bytes
}

/// Associated data: a domain word and numbers, each of fixed length.
pub(crate) fn aad(domain: &str, numbers: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(domain.len() + 1 + numbers.len() * 4);
    out.extend_from_slice(domain.as_bytes());
    out.push(0);
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Exactly `N` bytes in hex digits.
pub(crate) fn parse_hex<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    if text.len() != N * 2 || !text.is_ascii() {
        return None;
    }
    let mut bytes = Zeroizing::new([0; N]);
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ciphertext_opens_with_its_key_in_its_place_and_nowhere_else() {
        let key = SealKey::new(&[1; 32]);
        let sealed = key.seal(b"here", b"a@b.io");
        assert_eq!(&**key.open(b"here", &sealed).unwrap(), b"a@b.io");
        assert_eq!(sealed.len(), 6 + OVERHEAD);
        assert!(matches!(key.open(b"there", &sealed), Err(Error::CannotOpen)));
        assert!(matches!(SealKey::new(&[2; 32]).open(b"here", &sealed), Err(Error::OtherKey)));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open(b"here", &changed).is_err(), "byte {at}");
            assert!(key.open(b"here", &sealed[..at]).is_err(), "cut at {at}");
        }
        assert!(matches!(key.open(b"here", &[0; 60]), Err(Error::UnknownFormat { found: 0, known: 1 })));
        assert_ne!(key.seal(b"here", b"a@b.io"), sealed, "the same text is never sealed alike");
    }
}
