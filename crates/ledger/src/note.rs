//! Signed notes, checkpoints and cosignatures as C2SP has them (`signed-note`, `tlog-checkpoint`,
//! `tlog-cosignature`), with Ed25519.
//!
//! A signature counts only for a key that the reader already has: whatever else a note carries is ignored.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use cofferdam_model::limits;

use crate::tree::{Hash, sha256};
use crate::{Error, Result};

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum KeyKind {
    /// Checkpoints, as the log itself.
    Log = 1,
    /// Checkpoints with the time they were seen at, as a witness.
    Witness = 4,
}

/// A public key as others are told it: `name+id+key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    public: [u8; 32],
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && !name.contains(|letter: char| letter == '+' || letter.is_whitespace() || letter.is_control())
}

impl VerifierKey {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    fn id(&self) -> [u8; 4] {
        let mut text = self.name.clone().into_bytes();
        text.extend([b'\n', self.kind as u8]);
        text.extend(self.public);
        *sha256(&text).first_chunk().expect("SHA-256 has 32 bytes")
    }

    /// Reads a key as [`std::fmt::Display`] writes it.
    ///
    /// # Errors
    /// When it is none, or one for another algorithm.
    pub fn parse(text: &str) -> Result<VerifierKey> {
        let parse = || {
            let (rest, key) =
                text.trim().split_once('+').and_then(|(name, rest)| Some((name, rest.split_once('+')?)))?;
            let key_bytes = BASE64_STANDARD.decode(key.1).ok()?;
            let (kind, public) = key_bytes.split_first()?;
            let kind = match kind {
                1 => KeyKind::Log,
                4 => KeyKind::Witness,
                _ => return None,
            };
            let found = VerifierKey { name: rest.to_owned(), kind, public: public.try_into().ok()? };
            let id: String = found.id().iter().map(|byte| format!("{byte:02x}")).collect();
            (is_name(rest) && id == key.0).then_some(found)
        };
        parse().ok_or(Error::Malformed { what: "verifier key" })
    }
}

impl std::fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id: String = self.id().iter().map(|byte| format!("{byte:02x}")).collect();
        let key = [&[self.kind as u8][..], &self.public].concat();
        write!(f, "{}+{id}+{}", self.name, BASE64_STANDARD.encode(key))
    }
}

/// A private key and what it signs under. No `Debug`.
pub struct Signer {
    pair: Ed25519KeyPair,
    key: VerifierKey,
}

impl Signer {
    /// # Errors
    /// When the name is not one that a note can carry.
    pub fn new(name: &str, kind: KeyKind, seed: &[u8; 32]) -> Result<Signer> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Error::Key)?;
        if !is_name(name) {
            return Err(Error::Malformed { what: "key name" });
        }
        let public = pair.public_key().as_ref().try_into().map_err(|_| Error::Key)?;
        Ok(Signer { pair, key: VerifierKey { name: name.to_owned(), kind, public } })
    }

    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Signs a checkpoint's text and answers the signature line. A witness says when: seconds since 1970-01-01 UTC.
    pub fn sign(&self, text: &str, time_s: u64) -> String {
        let mut signature = self.key.id().to_vec();
        match self.key.kind {
            KeyKind::Log => signature.extend(self.pair.sign(text.as_bytes()).as_ref()),
            KeyKind::Witness => {
                signature.extend(time_s.to_be_bytes());
                signature.extend(self.pair.sign(cosigned(text, time_s).as_bytes()).as_ref());
            }
        }
        format!("\u{2014} {} {}\n", self.key.name, BASE64_STANDARD.encode(signature))
    }
}

fn cosigned(text: &str, time_s: u64) -> String {
    format!("cosignature/v1\ntime {time_s}\n{text}")
}

/// A note taken apart, with nothing in it believed yet.
pub struct Note<'a> {
    /// With its final newline.
    pub text: &'a str,
    /// Key names, and key id with signature.
    signatures: Vec<(&'a str, Vec<u8>)>,
}

impl<'a> Note<'a> {
    pub fn parse(note: &'a str) -> Option<Note<'a>> {
        if note.len() > limits::LEDGER_NOTE_BYTES_MAX || note.contains(|letter: char| letter < ' ' && letter != '\n') {
            return None;
        }
        let at = note.rfind("\n\n")?;
        let (text, signatures) = (&note[..=at], &note[at + 2..]);
        let signatures = parse_signatures(signatures)?;
        (!signatures.is_empty()).then_some(Note { text, signatures })
    }

    /// Whether this key signed it. A witness's signature comes with its time, in seconds.
    pub fn signed_by(&self, key: &VerifierKey) -> Option<Option<u64>> {
        self.signatures.iter().filter(|(name, _)| *name == key.name).find_map(|(_, signature)| {
            let (id, rest) = signature.split_first_chunk::<4>()?;
            if *id != key.id() {
                return None;
            }
            let public = UnparsedPublicKey::new(&ED25519, &key.public);
            match key.kind {
                KeyKind::Log => public.verify(self.text.as_bytes(), rest).ok().map(|()| None),
                KeyKind::Witness => {
                    let (time, rest) = rest.split_first_chunk::<8>()?;
                    let time_s = u64::from_be_bytes(*time);
                    public.verify(cosigned(self.text, time_s).as_bytes(), rest).ok().map(|()| Some(time_s))
                }
            }
        })
    }
}

fn parse_signatures(lines: &str) -> Option<Vec<(&str, Vec<u8>)>> {
    if !lines.ends_with('\n') {
        return None;
    }
    lines
        .lines()
        .map(|line| {
            let (name, signature) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
            let signature = BASE64_STANDARD.decode(signature).ok()?;
            (is_name(name) && signature.len() > 4).then_some((name, signature))
        })
        .collect()
}

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64_STANDARD.encode(self.root))
    }

    /// Reads a note's text. Lines after the third are allowed and mean nothing.
    pub fn parse(text: &str) -> Option<Checkpoint> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        if origin.is_empty() || lines.any(str::is_empty) {
            return None;
        }
        let root = BASE64_STANDARD.decode(root).ok()?.try_into().ok()?;
        Some(Checkpoint { origin: origin.to_owned(), size: parse_size(size)?, root })
    }

    /// Reads a signed checkpoint: the log's name must be its key's, and the key must have signed it.
    ///
    /// # Errors
    /// When any of that is not so.
    pub fn verified(note: &str, key: &VerifierKey) -> Result<Checkpoint> {
        let parsed = Note::parse(note).ok_or(Error::Malformed { what: "checkpoint" })?;
        let checkpoint = Checkpoint::parse(parsed.text).ok_or(Error::Malformed { what: "checkpoint" })?;
        if checkpoint.origin != key.name || parsed.signed_by(key).is_none() {
            return Err(Error::NotSigned { key: key.name.clone() });
        }
        Ok(checkpoint)
    }
}

/// A decimal number without leading zeros.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let is_plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if is_plain { text.parse().ok().filter(|size| *size <= i64::MAX as u64) } else { None }
}

/// A line of a proof.
pub(crate) fn parse_hash(line: &str) -> Option<Hash> {
    BASE64_STANDARD.decode(line).ok()?.try_into().ok()
}

/// A hash as proofs have it.
pub fn print_hash(hash: &Hash) -> String {
    BASE64_STANDARD.encode(hash)
}

pub(crate) fn print_bytes(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

pub(crate) fn parse_bytes(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_counts_for_the_keys_that_signed_it_and_for_no_other() {
        let signer = Signer::new("a.example/log", KeyKind::Log, &[1; 32]).unwrap();
        let witness = Signer::new("w.example/1", KeyKind::Witness, &[2; 32]).unwrap();
        let checkpoint = Checkpoint { origin: "a.example/log".to_owned(), size: 12, root: [7; 32] };
        let text = checkpoint.text();
        let note = format!("{text}\n{}{}", signer.sign(&text, 0), witness.sign(&text, 1_679_315_147));
        let parsed = Note::parse(&note).unwrap();
        assert_eq!(parsed.signed_by(signer.key()), Some(None));
        assert_eq!(parsed.signed_by(witness.key()), Some(Some(1_679_315_147)));
        assert_eq!(Checkpoint::verified(&note, signer.key()).unwrap(), checkpoint);
        let other = Signer::new("a.example/log", KeyKind::Log, &[3; 32]).unwrap();
        assert!(matches!(Checkpoint::verified(&note, other.key()), Err(Error::NotSigned { .. })));
        let changed = note.replace("\n12\n", "\n13\n");
        assert!(Checkpoint::verified(&changed, signer.key()).is_err());
        assert_eq!(Note::parse(&changed).unwrap().signed_by(witness.key()), None);
    }

    #[test]
    fn verifier_keys_read_back_and_a_wrong_letter_is_noticed() {
        for kind in [KeyKind::Log, KeyKind::Witness] {
            let signer = Signer::new("a.example/log", kind, &[1; 32]).unwrap();
            let text = signer.key().to_string();
            assert_eq!(&VerifierKey::parse(&text).unwrap(), signer.key());
            assert!(VerifierKey::parse(&text.replace("a.example", "b.example")).is_err());
            assert!(VerifierKey::parse(&text[..text.len() - 4]).is_err());
        }
        assert!(Signer::new("a b", KeyKind::Log, &[1; 32]).is_err());
        // A key of the Go checksum database.
        let known = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
        assert_eq!(VerifierKey::parse(known).unwrap().to_string(), known);
    }

    #[test]
    fn what_is_not_a_checkpoint_is_refused() {
        for wrong in ["", "a\n1\n", "a\n01\nAAAA\n", "\n1\nAAAA\n", "a\n-1\nAAAA\n", "a\n1\nAAAA"] {
            assert_eq!(Checkpoint::parse(wrong), None, "{wrong:?}");
        }
        assert!(Note::parse("text\n\nnot a signature\n").is_none());
        assert!(Note::parse("text\r\n\n\u{2014} a AAAAAAAA\n").is_none());
        assert!(Note::parse(&"x".repeat(limits::LEDGER_NOTE_BYTES_MAX + 1)).is_none());
    }
}
