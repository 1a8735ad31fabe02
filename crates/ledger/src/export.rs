//! Proofs of exports: what left, as a statement in plain text, and the proofs that the ledger has the entries of it, from
//! the request to the end. Whoever has the ledger's public key, and the file, verifies one without us.

use cofferdam_model::limits;

use crate::entry::{Entry, Kind, Recorded};
use crate::note::{Checkpoint, VerifierKey};
use crate::tree::Hash;
use crate::verify::Proof;
use crate::{Error, Result};

/// First line of every statement.
pub const HEAD: &str = "Cofferdam proof of an export, version 1";

const PROOF_MARK: &str = "\nc2sp.org/tlog-proof@v1\n";
/// Entries of one proof: request, approvals, first and last intent, end.
const ENTRIES_MAX: usize = 16;

/// What left, and what its proof says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The grant's number.
    pub export: u64,
    pub rows: u64,
    pub bytes: u64,
    /// SHA-256 of the bytes, as they left.
    pub hash: Hash,
}

impl Sent {
    /// What the entry about the end of a disclosure has in `extra`.
    pub fn commitment(hash: &Hash, bytes: u64) -> Vec<u8> {
        [&hash[..], &bytes.to_be_bytes()].concat()
    }

    fn of_end(entry: &Entry) -> Option<Sent> {
        let (hash, bytes) = entry.extra.split_first_chunk::<32>()?;
        let bytes = u64::from_be_bytes(bytes.try_into().ok()?);
        Some(Sent { export: entry.grant, rows: entry.count, bytes, hash: *hash })
    }

    fn print(&self) -> String {
        let hash: String = self.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{HEAD}\nexport: {}\nrows: {}\nbytes: {}\nsha-256: {hash}\n", self.export, self.rows, self.bytes)
    }
}

/// A statement, and the entries that it is about, in their order.
pub struct ExportProof {
    statement: String,
    proofs: Vec<Proof>,
}

impl ExportProof {
    pub fn new(sent: &Sent, proofs: Vec<Proof>) -> ExportProof {
        ExportProof { statement: sent.print(), proofs }
    }

    /// Whether a text claims to be one.
    pub fn is_one(text: &str) -> bool {
        text.starts_with(HEAD)
    }

    pub fn print(&self) -> String {
        let proofs: String = self.proofs.iter().map(|proof| format!("\n{}", proof.print())).collect();
        format!("{}{proofs}", self.statement)
    }

    /// # Errors
    /// When it is no proof of an export.
    pub fn parse(text: &str) -> Result<ExportProof> {
        let malformed = || Error::Malformed { what: "proof of an export" };
        if text.len() > limits::EXPORT_PROOF_BYTES_MAX || !ExportProof::is_one(text) {
            return Err(malformed());
        }
        let mut parts = text.split(PROOF_MARK);
        let statement = parts.next().ok_or_else(malformed)?.to_owned();
        let head = &PROOF_MARK[1..];
        let proofs: Vec<Proof> =
            parts.take(ENTRIES_MAX + 1).map(|part| Proof::parse(&format!("{head}{part}"))).collect::<Result<_>>()?;
        if proofs.len() > ENTRIES_MAX {
            return Err(malformed());
        }
        Ok(ExportProof { statement, proofs })
    }

    /// Verifies with the log's key alone that the log has all entries, that they are of one export, in order, from its
    /// request or first intent to its end, and that the end says what the statement says.
    ///
    /// # Errors
    /// When it does not.
    pub fn verify(&self, key: &VerifierKey) -> Result<(Sent, Vec<(Recorded, Checkpoint)>)> {
        let wrong = |what: &str| Error::Damaged { what: what.to_owned() };
        let found: Vec<(Recorded, Checkpoint)> =
            self.proofs.iter().map(|proof| proof.verify(key)).collect::<Result<_>>()?;
        let entries: Vec<&Recorded> = found.iter().map(|(recorded, _)| recorded).collect();
        let end = entries.last().filter(|last| last.entry.kind == Kind::Done);
        let end = end.ok_or_else(|| wrong("the proof does not say that the export ended whole"))?;
        let sent = Sent::of_end(&end.entry).ok_or_else(|| wrong("the export's end does not say what left"))?;
        if self.statement != sent.print() {
            return Err(wrong("the statement is not what the export's end says"));
        }
        if !entries.is_sorted_by(|a, b| a.seq < b.seq) {
            return Err(wrong("the proof's entries are not in their order"));
        }
        let is_of_it = |one: &&Recorded| {
            let entry = &one.entry;
            (entry.grant, entry.object, entry.actor.or(entry.token), entry.org)
                == (sent.export, end.entry.object, end.entry.actor.or(end.entry.token), end.entry.org)
                || entry.kind == Kind::GrantApproved && (entry.grant, entry.org) == (sent.export, end.entry.org)
        };
        if !entries.iter().all(is_of_it) {
            return Err(wrong("the proof has entries of something else"));
        }
        let intents: Vec<u64> =
            entries.iter().filter(|one| one.entry.kind == Kind::Intent).map(|intent| intent.seq).collect();
        if sent.rows > 0 && (intents.is_empty() || end.entry.refers_to != intents.last().copied()) {
            return Err(wrong("the proof does not have the intents that the export's end refers to"));
        }
        Ok((sent, found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Log, Options, SeenFile};
    use crate::{Intent, Pseudonym};
    use cofferdam_model::{FieldSet, OrgId, PersonalField, ProjectId};
    use std::sync::Arc;

    #[test]
    fn a_proof_of_an_export_verifies_alone_and_no_changed_letter_and_no_entry_of_another_does() {
        let home = tempfile::tempdir().unwrap();
        let seen = Arc::new(SeenFile(home.path().join("seen")));
        let options = Options::new(&home.path().join("ledger"), &[7; 32], Arc::new(|| 1_800_000_000_000_000), seen);
        let log = Log::open(options).unwrap();
        let of = |kind, grant| Entry { actor: Some(Pseudonym([1; 16])), object: 3, grant, ..Entry::of(kind) };
        let requested = log.append(of(Kind::GrantRequested, 9)).unwrap().seq.unwrap();
        let other = log.append(of(Kind::GrantRequested, 8)).unwrap().seq.unwrap();
        let approval = Entry { actor: Some(Pseudonym([2; 16])), ..of(Kind::GrantApproved, 9) };
        let approved = log.append(approval).unwrap().seq.unwrap();
        let intent = Intent {
            org: OrgId(1),
            project: ProjectId(3),
            fields: FieldSet::EMPTY.with(PersonalField::Email),
            subjects: (0..20).collect(),
            context: of(Kind::Intent, 9),
        };
        let intent = log.authorise(intent).unwrap().seq();
        let sent = Sent { export: 9, rows: 20, bytes: 1_234, hash: [5; 32] };
        let end = |refers_to| Entry {
            count: 20,
            refers_to: Some(refers_to),
            extra: Sent::commitment(&sent.hash, sent.bytes),
            ..of(Kind::Done, 9)
        };
        let done = log.append(end(intent)).unwrap().seq.unwrap();
        let elsewhere = log.append(end(other)).unwrap().seq.unwrap();
        let proof = |entries: &[u64]| {
            ExportProof::new(&sent, entries.iter().map(|seq| log.prove(*seq).unwrap()).collect()).print()
        };
        let verify = |text: &str| ExportProof::parse(text).and_then(|proof| proof.verify(log.key()));
        let text = proof(&[requested, approved, intent, done]);
        let (found, entries) = verify(&text).unwrap();
        assert_eq!((found, entries.len()), (sent, 4));
        assert!(verify(&text.replace("rows: 20", "rows: 19")).is_err());
        assert!(verify(&text.replace("bytes: 1234", "bytes: 1235")).is_err());
        assert!(verify(&text.replace("sha-256: 05", "sha-256: 06")).is_err());
        for wrong in [
            &[requested, other, intent, done][..],
            &[requested, approved, intent],
            &[requested, approved, done],
            &[approved, requested, intent, done],
            &[requested, intent, elsewhere],
        ] {
            assert!(verify(&proof(wrong)).is_err(), "{wrong:?}");
        }
    }
}
