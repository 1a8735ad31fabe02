//! XAES-256-GCM of C2SP: AES-256-GCM with a key of its own for every message. The first twelve bytes of a nonce of 24
//! make the message's key, the last twelve are its nonce.
//!
//! Random nonces of AES-256-GCM alone must not be drawn more than 2³² times for one key, which would have to be counted
//! across restarts and copies of the disk; here the bound is 2⁸⁰ and nothing is counted.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cmac;

pub const NONCE: usize = 24;
pub const TAG: usize = 16;

/// A key. Its bytes are in memory of the library alone, which clears what it frees.
pub struct XaesKey(cmac::Key);

impl XaesKey {
    pub fn new(bytes: &[u8; 32]) -> XaesKey {
        XaesKey(cmac::Key::new(cmac::AES_256, bytes).expect("an AES-256 key has 32 bytes"))
    }

    /// Four bytes by which the key is known, and which say nothing about it.
    pub fn id(&self) -> [u8; 4] {
        // No block that makes a message's key begins like this.
        *self.authenticate(b"cofferdam key id").first_chunk().expect("a block has 16 bytes")
    }

    /// Encrypts in place, and adds the tag. No nonce may come twice: draw it at random.
    pub fn seal(&self, nonce: &[u8; NONCE], aad: &[u8], body: &mut Vec<u8>) {
        let (key, nonce) = self.derive(nonce);
        key.seal_in_place_append_tag(nonce, Aad::from(aad), body).expect("sealing in memory does not fail");
    }

    /// Decrypts in place, and answers how many bytes at the front are what was sealed; `None` when it is not what this
    /// key sealed with this nonce and associated data.
    pub fn open(&self, nonce: &[u8; NONCE], aad: &[u8], body: &mut [u8]) -> Option<usize> {
        let (key, nonce) = self.derive(nonce);
        Some(key.open_in_place(nonce, Aad::from(aad), body).ok()?.len())
    }

    fn authenticate(&self, block: &[u8]) -> [u8; 16] {
        let tag = cmac::sign(&self.0, block).expect("a block in memory is authenticated");
        tag.as_ref().try_into().expect("CMAC with AES has 16 bytes")
    }

    /// The key of one message, and its nonce.
    fn derive(&self, nonce: &[u8; NONCE]) -> (LessSafeKey, Nonce) {
        let (first, last) = nonce.split_first_chunk::<12>().expect("a nonce has 24 bytes");
        let mut bytes = [0; 32];
        for (half, counter) in bytes.as_chunks_mut::<16>().0.iter_mut().zip(1u8..) {
            let mut block = [0, counter, b'X', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            block[4..].copy_from_slice(first);
            *half = self.authenticate(&block);
        }
        let key = UnboundKey::new(&AES_256_GCM, &bytes).expect("an AES-256 key has 32 bytes");
        zeroize::Zeroize::zeroize(&mut bytes);
        let last = last.try_into().expect("half a nonce has 12 bytes");
        (LessSafeKey::new(key), Nonce::assume_unique_for_key(last))
    }
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
            let (key, nonce) = (XaesKey::new(&[byte; 32]), b"ABCDEFGHIJKLMNOPQRSTUVWX");
            let mut body = b"XAES-256-GCM".to_vec();
            key.seal(nonce, aad, &mut body);
            let digits: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digits, expected);
            assert_eq!(key.open(nonce, b"another", &mut body.clone()), None);
            assert_eq!(key.open(nonce, aad, &mut body), Some(12));
            assert_eq!(&body[..12], b"XAES-256-GCM");
        }
    }
}
