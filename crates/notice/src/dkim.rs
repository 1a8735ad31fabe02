//! DKIM (RFC 6376, RFC 8463): both signatures of a mail, RSA-2048 and Ed25519, relaxed in headers and body.
//!
//! Only mails that [`message`](crate::message) makes are signed: their lines end in CRLF and their headers are not
//! folded by anybody else. `From`, `To` and `Subject` are signed once more than they are there, so that none can be
//! added.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256};
use aws_lc_rs::{rsa, signature};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::{Error, Result};

/// Names under which the public keys are published.
pub const RSA_SELECTOR: &str = "cofferdam-rsa";
pub const ED_SELECTOR: &str = "cofferdam-ed";

/// Headers that are signed, in this order, as often as they stand here.
const SIGNED: &[&str] =
    &["from", "from", "to", "to", "subject", "subject", "date", "message-id", "mime-version", "content-type"];

/// The two keys of a domain. No `Debug`.
pub struct Keys {
    rsa: rsa::KeyPair,
    ed: Ed25519KeyPair,
    seed: Zeroizing<[u8; 32]>,
}

impl Keys {
    /// New keys. Takes some tenths of a second.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate() -> Result<Keys> {
        let mut seed = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *seed).map_err(|_| Error::Key)?;
        let ed = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| Error::Key)?;
        let rsa = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).map_err(|_| Error::Key)?;
        Ok(Keys { rsa, ed, seed })
    }

    /// To be sealed by whoever stores them: the seed of the one, then the other as PKCS#8.
    ///
    /// # Errors
    /// When the key cannot be encoded.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>> {
        let der: Pkcs8V1Der<'_> = self.rsa.as_der().map_err(|_| Error::Key)?;
        let mut out = Zeroizing::new(self.seed.to_vec());
        out.extend_from_slice(der.as_ref());
        Ok(out)
    }

    /// # Errors
    /// When these are no keys.
    pub fn from_bytes(bytes: &[u8]) -> Result<Keys> {
        let (seed, der) = bytes.split_first_chunk::<32>().ok_or(Error::Key)?;
        let rsa = rsa::KeyPair::from_pkcs8(der).map_err(|_| Error::Key)?;
        let ed = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Error::Key)?;
        Ok(Keys { rsa, ed, seed: Zeroizing::new(*seed) })
    }

    /// Names and values of the TXT records that publish the keys.
    ///
    /// # Errors
    /// When a key cannot be encoded.
    pub fn records(&self, domain: &str) -> Result<[(String, String); 2]> {
        let der: PublicKeyX509Der<'_> = self.rsa.public_key().as_der().map_err(|_| Error::Key)?;
        let ed = self.ed.public_key().as_ref();
        Ok([
            (
                format!("{RSA_SELECTOR}._domainkey.{domain}"),
                format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(der.as_ref())),
            ),
            (format!("{ED_SELECTOR}._domainkey.{domain}"), format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(ed))),
        ])
    }

    /// The header lines that sign a mail, to be put before it.
    ///
    /// # Errors
    /// When a signature cannot be made.
    pub fn sign(&self, domain: &str, time_s: i64, headers: &[(&str, String)], body: &[u8]) -> Result<String> {
        let body_hash = STANDARD.encode(digest(&SHA256, &relaxed_body(body)));
        let mut signed = String::new();
        let mut left: Vec<&(&str, String)> = headers.iter().collect();
        for name in SIGNED {
            // From the last upwards; one that is not there stands for nothing.
            if let Some(at) = left.iter().rposition(|(other, _)| other.eq_ignore_ascii_case(name)) {
                let (name, value) = left.remove(at);
                signed.push_str(&relaxed_header(name, value));
                signed.push_str("\r\n");
            }
        }
        let mut out = String::new();
        for (algorithm, selector) in [("ed25519-sha256", ED_SELECTOR), ("rsa-sha256", RSA_SELECTOR)] {
            let unsigned = format!(
                "v=1; a={algorithm}; c=relaxed/relaxed; d={domain}; s={selector}; t={time_s};\r\n h={};\r\n bh={body_hash};\r\n b=",
                SIGNED.join(":")
            );
            let input = format!("{signed}{}", relaxed_header("DKIM-Signature", &unsigned));
            let signature = match selector {
                ED_SELECTOR => self.ed.sign(digest(&SHA256, input.as_bytes()).as_ref()).as_ref().to_vec(),
                _ => {
                    let mut bytes = vec![0; self.rsa.public_modulus_len()];
                    let random = SystemRandom::new();
                    self.rsa
                        .sign(&RSA_PKCS1_SHA256 as &dyn signature::RsaEncoding, &random, input.as_bytes(), &mut bytes)
                        .map_err(|_| Error::Key)?;
                    bytes
                }
            };
            let encoded = STANDARD.encode(signature);
            let folded: Vec<&str> =
                encoded.as_bytes().chunks(70).filter_map(|line| std::str::from_utf8(line).ok()).collect();
            out.push_str(&format!("DKIM-Signature: {unsigned}{}\r\n", folded.join("\r\n  ")));
        }
        Ok(out)
    }
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// RFC 6376, 3.4.2.
fn relaxed_header(name: &str, value: &str) -> String {
    let unfolded = value.replace("\r\n", "");
    let words: Vec<&str> = unfolded.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
    format!("{}:{}", name.to_ascii_lowercase(), words.join(" "))
}

/// RFC 6376, 3.4.4.
fn relaxed_body(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    for line in body.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let end = line.iter().rposition(|byte| !is_blank(*byte)).map_or(0, |at| at + 1);
        let mut after_blank = false;
        for byte in &line[..end] {
            match is_blank(*byte) {
                true if after_blank => {}
                true => out.push(b' '),
                false => out.push(*byte),
            }
            after_blank = is_blank(*byte);
        }
        out.extend_from_slice(b"\r\n");
    }
    while out.ends_with(b"\r\n\r\n") {
        out.truncate(out.len() - 2);
    }
    if out == b"\r\n" {
        out.clear();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_forms_are_those_of_the_standards_example() {
        // RFC 6376, 3.4.5.
        assert_eq!(relaxed_header("A", " X"), "a:X");
        assert_eq!(relaxed_header("B ".trim_end(), " Y\t\r\n\tZ  "), "b:Y Z");
        assert_eq!(relaxed_body(b" C \r\nD \t E\r\n\r\n\r\n"), b" C\r\nD E\r\n");
        assert_eq!(relaxed_body(b"\r\n\r\n"), b"");
    }

    #[test]
    fn keys_that_were_stored_sign_as_before() {
        let keys = Keys::generate().unwrap();
        let again = Keys::from_bytes(&keys.to_bytes().unwrap()).unwrap();
        let headers = [("From", "a@b.example".to_owned())];
        let sign = |keys: &Keys| keys.sign("b.example", 1, &headers, b"x\r\n").unwrap();
        assert_eq!(sign(&keys), sign(&again), "both signatures have no randomness in them");
        assert!(Keys::from_bytes(&[1; 40]).is_err());
    }
}
