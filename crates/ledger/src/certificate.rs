//! Certificates: a statement in plain text, and the proof that the ledger has its hash. Whoever has the ledger's public
//! key verifies one without us, and a changed letter shows.

use cofferdam_model::limits;

use crate::entry::{Kind, Recorded};
use crate::note::{Checkpoint, VerifierKey};
use crate::tree::sha256;
use crate::verify::Proof;
use crate::{Error, Result};

/// First line of every statement.
pub const HEAD: &str = "Cofferdam certificate of erasure, version 1";

const PROOF_MARK: &str = "\nc2sp.org/tlog-proof@v1\n";

pub struct Certificate {
    /// Lines, the first of them [`HEAD`].
    pub statement: String,
    pub proof: Proof,
}

impl Certificate {
    /// What the entry of a statement has in `extra`.
    pub fn commitment(statement: &str) -> Vec<u8> {
        sha256(statement.as_bytes()).to_vec()
    }

    /// Whether a text claims to be one.
    pub fn is_one(text: &str) -> bool {
        text.starts_with(HEAD)
    }

    pub fn print(&self) -> String {
        format!("{}\n{}", self.statement, self.proof.print())
    }

    /// # Errors
    /// When it is no certificate.
    pub fn parse(text: &str) -> Result<Certificate> {
        let malformed = || Error::Malformed { what: "certificate" };
        if text.len() > limits::LEDGER_CERTIFICATE_BYTES_MAX || !Certificate::is_one(text) {
            return Err(malformed());
        }
        let at = text.find(PROOF_MARK).ok_or_else(malformed)?;
        Ok(Certificate { statement: text[..at].to_owned(), proof: Proof::parse(&text[at + 1..])? })
    }

    /// Verifies with the log's key alone that the log has this very statement.
    ///
    /// # Errors
    /// When it has not.
    pub fn verify(&self, key: &VerifierKey) -> Result<(Recorded, Checkpoint)> {
        let (recorded, checkpoint) = self.proof.verify(key)?;
        if recorded.entry.kind != Kind::Erased || recorded.entry.extra != Certificate::commitment(&self.statement) {
            let what = format!("the certificate's text is not the one that entry {} has the hash of", recorded.seq);
            return Err(Error::Damaged { what });
        }
        Ok((recorded, checkpoint))
    }
}
