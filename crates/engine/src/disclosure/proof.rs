//! The proof of an export: its request, its approvals, its first and last intent and its end, each with the path to the
//! signed checkpoint, and the hash of the bytes that left. Verified offline by [`cofferdam_ledger::export`].

use cofferdam_ledger::export::{ExportProof, Sent};

use super::store::State;
use crate::{Caller, Engine, Error, Result, refused};

impl Engine {
    /// The proof of a disclosure that ended whole.
    ///
    /// # Errors
    /// When it did not, or the caller does not see it.
    pub async fn disclosure_proof(&self, caller: &Caller, id: u32) -> Result<String> {
        // Whoever does not see it is told that it is not there.
        self.disclosure(caller, id).await?;
        let row = self.row_of(caller, id).await?;
        let (State::Done, Some(end), Some(hash)) = (row.state, row.end_entry, row.hash_sent) else {
            return refused("not_done", "there is a proof once everything has left", None);
        };
        let approvals = self.disclosures.store.approvals(id).await?;
        let mut entries: Vec<u64> = approvals.iter().map(|approval| approval.entry).collect();
        entries.extend([row.requested_entry, row.first_intent, row.last_intent, Some(end)].into_iter().flatten());
        entries.sort_unstable();
        entries.dedup();
        let ledger = self.ledger.clone();
        let proofs = tokio::task::spawn_blocking(move || entries.into_iter().map(|seq| ledger.prove(seq)).collect());
        let proofs: cofferdam_ledger::Result<Vec<_>> = proofs.await.map_err(|_| Error::Interrupted)?;
        let hash = hash.try_into().map_err(|_| Error::Interrupted)?;
        let sent = Sent { export: u64::from(id), rows: row.rows, bytes: row.bytes, hash };
        Ok(ExportProof::new(&sent, proofs?).print())
    }
}
