//! Sealing: the one way in which the vault makes ciphertexts.
//!
//! ```text
//! sealed = format 1 │ key id 4 │ nonce 24 │ ciphertext │ tag 16
//! ```
//! AES-256-GCM with a key of its own for every message (XAES-256-GCM of C2SP): the first twelve bytes of a random
//! nonce of 24 make the message's key, the last twelve are its nonce. Random nonces of AES-256-GCM alone must not be
//! drawn more than 2³² times for one key, which would have to be counted across restarts and copies of the disk; here
//! the bound is 2⁸⁰ and nothing is counted.
//!
//! Invariants:
//! - A key is never tried: the id in front says which key it takes, and any other refuses.
//! - The associated data of every ciphertext says what it belongs to, so that one moved elsewhere does not open.
//! - Another format than this one's is refused, and the format is part of what is authenticated.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cmac;
use cofferdam_model::sabotage;
use zeroize::{Zeroize, Zeroizing};

use crate::{Error, Result};

const FORMAT: u8 = 1;
const KEY_ID: usize = 4;
const NONCE: usize = 24;
const TAG: usize = 16;
/// Bytes that a ciphertext is longer than what it holds.
pub(crate) const OVERHEAD: usize = 1 + KEY_ID + NONCE + TAG;

/// What a key is called: tells keys apart, and says nothing about their bytes.
pub(crate) type KeyId = [u8; KEY_ID];

/// A key for sealing. Its bytes are in memory of the library alone, which clears what it frees.
pub(crate) struct SealKey {
    mac: cmac::Key,
    id: KeyId,
}

impl SealKey {
    pub(crate) fn new(bytes: &[u8; 32]) -> SealKey {
        let mac = cmac::Key::new(cmac::AES_256, bytes).expect("an AES-256 key has 32 bytes");
        // No block that makes a message's key begins like this.
        let id = authenticate(&mac, b"cofferdam key id");
        SealKey { mac, id: *id.first_chunk().expect("a block has 16 bytes") }
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
        seal_in_place(&self.mac, &nonce, &framed(aad), &mut body);
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
        let opened = open_in_place(&self.mac, nonce, &framed(aad), &mut body)?;
        body.truncate(opened);
        Ok(body)
    }
}

/// Of which key a ciphertext is.
pub(crate) fn key_id(sealed: &[u8]) -> Option<KeyId> {
    sealed.get(1..=KEY_ID)?.try_into().ok()
}

fn framed(aad: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(aad.len() + 1);
    out.push(FORMAT);
    out.extend_from_slice(aad);
    out
}

fn authenticate(mac: &cmac::Key, block: &[u8]) -> [u8; 16] {
    let tag = cmac::sign(mac, block).expect("a block in memory is authenticated");
    tag.as_ref().try_into().expect("CMAC with AES has 16 bytes")
}

/// The key of one message, and its nonce.
fn derive(mac: &cmac::Key, nonce: &[u8; NONCE]) -> (LessSafeKey, Nonce) {
    let (first, last) = nonce.split_first_chunk::<12>().expect("a nonce has 24 bytes");
    let mut bytes = Zeroizing::new([0; 32]);
    for (half, counter) in bytes.as_chunks_mut::<16>().0.iter_mut().zip(1u8..) {
        let mut block = [0, counter, b'X', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        block[4..].copy_from_slice(first);
        let mut tag = authenticate(mac, &block);
        half.copy_from_slice(&tag);
        tag.zeroize();
    }
    let key = UnboundKey::new(&AES_256_GCM, &*bytes).expect("an AES-256 key has 32 bytes");
    let last = last.try_into().expect("half a nonce has 12 bytes");
    (LessSafeKey::new(key), Nonce::assume_unique_for_key(last))
}

fn seal_in_place(mac: &cmac::Key, nonce: &[u8; NONCE], aad: &[u8], body: &mut Vec<u8>) {
    let (key, nonce) = derive(mac, nonce);
    key.seal_in_place_append_tag(nonce, Aad::from(aad), body).expect("sealing in memory does not fail");
}

/// Answers how many bytes at the front are what was sealed.
fn open_in_place(mac: &cmac::Key, nonce: &[u8; NONCE], aad: &[u8], body: &mut [u8]) -> Result<usize> {
    let (key, nonce) = derive(mac, nonce);
    Ok(key.open_in_place(nonce, Aad::from(aad), body).map_err(|_| Error::CannotOpen)?.len())
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

    /// The two vectors that C2SP publishes with XAES-256-GCM.
    #[test]
    fn messages_are_sealed_as_the_published_vectors_say() {
        for (byte, aad, expected) in [
            (1, &b""[..], "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
            (3, &b"c2sp.org/XAES-256-GCM"[..], "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
        ] {
            let mac = cmac::Key::new(cmac::AES_256, &[byte; 32]).unwrap();
            let mut body = b"XAES-256-GCM".to_vec();
            seal_in_place(&mac, b"ABCDEFGHIJKLMNOPQRSTUVWX", aad, &mut body);
            assert_eq!(hex(&body), expected);
        }
    }

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
