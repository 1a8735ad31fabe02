//! A witness (C2SP `tlog-witness`): it remembers the newest checkpoint of each log it watches, signs one that continues
//! it (`tlog-cosignature`, Ed25519), and none that does not. What it signed is on disk before it answers.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use cofferdam_model::{limits, sabotage};

use crate::disk::{Keep, LocalDisk, replace};
use crate::note::{Checkpoint, KeyKind, Note, Signer, VerifierKey, parse_hash, parse_size, print_hash};
use crate::tree::{Hash, PROOF_HASHES_MAX, sha256, verify_consistency};
use crate::{Error, Result};

pub struct Witness {
    folder: PathBuf,
    signer: Signer,
    /// By origin, which is the key's name.
    logs: HashMap<String, VerifierKey>,
    /// What was signed last, by origin. Looking and signing are one step.
    seen: Mutex<HashMap<String, (u64, Hash)>>,
}

/// The answer to a request, for HTTP.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
}

fn answer(status: u16, body: impl Into<String>) -> Response {
    Response { status, content_type: "text/plain; charset=utf-8", body: body.into() }
}

fn conflict(size: u64) -> Response {
    Response { status: 409, content_type: "text/x.tlog.size", body: format!("{size}\n") }
}

impl Witness {
    /// Opens a witness on a folder of its own, for these logs.
    ///
    /// # Errors
    /// When what it signed before cannot be read: it would sign anything then.
    pub fn open(folder: &Path, name: &str, seed: &[u8; 32], logs: Vec<VerifierKey>) -> Result<Witness> {
        std::fs::create_dir_all(folder).map_err(Error::io("create the witness's folder", folder))?;
        let signer = Signer::new(name, KeyKind::Witness, seed)?;
        let mut seen = HashMap::new();
        for key in &logs {
            let path = seen_path(folder, key.name());
            let note = match std::fs::read_to_string(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(Error::io("read what was witnessed", &path))?,
            };
            let checkpoint = Checkpoint::verified(&note, key)?;
            seen.insert(checkpoint.origin, (checkpoint.size, checkpoint.root));
        }
        let logs = logs.into_iter().map(|key| (key.name().to_owned(), key)).collect();
        Ok(Witness { folder: folder.to_owned(), signer, logs, seen: Mutex::new(seen) })
    }

    pub fn key(&self) -> &VerifierKey {
        self.signer.key()
    }

    /// Answers a request to `add-checkpoint`. `now_s` is in seconds since 1970-01-01 UTC.
    pub fn add_checkpoint(&self, body: &str, now_s: u64) -> Response {
        let Some((old, path, note)) = parse(body) else { return answer(400, "the request cannot be read\n") };
        let parsed = Note::parse(note).and_then(|parsed| Some((Checkpoint::parse(parsed.text)?, parsed)));
        let Some((checkpoint, parsed)) = parsed else { return answer(400, "the checkpoint cannot be read\n") };
        let Some(key) = self.logs.get(&checkpoint.origin) else {
            return answer(404, "this log is not watched here\n");
        };
        if parsed.signed_by(key).is_none() {
            return answer(403, "the checkpoint is not signed by the log's key\n");
        }
        if old > checkpoint.size {
            return answer(400, "the old size is larger than the new one\n");
        }
        let mut seen = self.seen.lock().expect("never left half changed");
        let (size, root) = seen.get(&checkpoint.origin).copied().unwrap_or((0, sha256(b"")));
        if old != size || old == checkpoint.size && root != checkpoint.root {
            return conflict(size);
        }
        let is_continued = verify_consistency(size, &root, checkpoint.size, &checkpoint.root, &path);
        if !is_continued && !sabotage::is_out(47) {
            return answer(422, "the proof does not show that the log was only added to\n");
        }
        let path = seen_path(&self.folder, &checkpoint.origin);
        if let Err(error) = replace(&LocalDisk, &path, note.as_bytes(), Keep::Durable) {
            tracing::error!(error = %error, "what was witnessed could not be written");
            return answer(500, "the witness's disk failed\n");
        }
        seen.insert(checkpoint.origin, (checkpoint.size, checkpoint.root));
        answer(200, self.signer.sign(parsed.text, now_s))
    }
}

fn seen_path(folder: &Path, origin: &str) -> PathBuf {
    let name: String = sha256(origin.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    folder.join(format!("{name}.checkpoint"))
}

/// The body of a request to a witness.
pub fn request(old: u64, path: &[Hash], note: &str) -> String {
    let lines: String = path.iter().map(|hash| format!("{}\n", print_hash(hash))).collect();
    format!("old {old}\n{lines}\n{note}")
}

fn parse(body: &str) -> Option<(u64, Vec<Hash>, &str)> {
    if body.len() > limits::LEDGER_NOTE_BYTES_MAX {
        return None;
    }
    let (head, note) = body.split_once("\n\n")?;
    let mut lines = head.split('\n');
    let old = parse_size(lines.next()?.strip_prefix("old ")?)?;
    let path: Vec<Hash> = lines.map(parse_hash).collect::<Option<_>>()?;
    (path.len() <= PROOF_HASHES_MAX).then_some((old, path, note))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::signing_key;
    use crate::tree::{consistency_proof, leaf, root};

    struct World {
        folder: tempfile::TempDir,
        log: Signer,
        leaves: Vec<Hash>,
    }

    impl World {
        fn witness(&self) -> Witness {
            Witness::open(self.folder.path(), "w.example/1", &[9; 32], vec![self.log.key().clone()]).unwrap()
        }

        fn note(&self, leaves: &[Hash]) -> String {
            let Ok(head) = root(&leaves.to_vec(), leaves.len() as u64);
            let checkpoint =
                Checkpoint { origin: self.log.key().name().to_owned(), size: leaves.len() as u64, root: head };
            let text = checkpoint.text();
            format!("{text}\n{}", self.log.sign(&text, 0))
        }

        fn ask(&self, witness: &Witness, old: u64, leaves: &[Hash]) -> Response {
            let Ok(path) = consistency_proof(&leaves.to_vec(), old, leaves.len() as u64);
            witness.add_checkpoint(&request(old, &path, &self.note(leaves)), 1_800_000_000)
        }
    }

    #[test]
    fn a_log_that_only_grows_is_signed_and_no_other_even_after_a_restart() {
        let leaves = (0..20_u8).map(|number| leaf(&[number])).collect();
        let world = World { folder: tempfile::tempdir().unwrap(), log: signing_key(&[1; 32]).unwrap(), leaves };
        let witness = world.witness();
        assert_eq!(world.ask(&witness, 0, &world.leaves[..7]).status, 200);
        let signed = world.ask(&witness, 7, &world.leaves[..12]);
        assert_eq!(signed.status, 200);
        let note = world.note(&world.leaves[..12]) + &signed.body;
        assert_eq!(Note::parse(&note).unwrap().signed_by(witness.key()), Some(Some(1_800_000_000)));
        // Again the same: signed again.
        assert_eq!(world.ask(&witness, 12, &world.leaves[..12]).status, 200);

        let witness = world.witness();
        assert_eq!(world.ask(&witness, 7, &world.leaves[..12]), conflict(12));
        assert_eq!(world.ask(&witness, 0, &world.leaves[..5]), conflict(12), "a roll-back");
        let mut forked = world.leaves.clone();
        forked[3] = leaf(b"other");
        assert_eq!(world.ask(&witness, 12, &forked[..15]).status, 422, "another history");
        assert_eq!(world.ask(&witness, 12, &forked[..12]), conflict(12), "another history of the same size");
        assert_eq!(world.ask(&witness, 12, &world.leaves[..15]).status, 200);
    }

    #[test]
    fn requests_of_others_are_refused() {
        let world = World {
            folder: tempfile::tempdir().unwrap(),
            log: signing_key(&[1; 32]).unwrap(),
            leaves: vec![leaf(b"a")],
        };
        let witness = world.witness();
        let note = world.note(&world.leaves);
        let ask = |body: &str| witness.add_checkpoint(body, 0).status;
        assert_eq!(ask(""), 400);
        assert_eq!(ask(&request(2, &[], &note)), 400);
        assert_eq!(ask(&request(0, &[[0; 32]; 64], &note)), 400);
        assert_eq!(ask(&request(0, &[[0; 32]], &note)), 422);
        assert_eq!(ask(&request(0, &[], &note.replace("\n1\n", "\n2\n"))), 403);
        let other = World { log: signing_key(&[2; 32]).unwrap(), ..world };
        assert_eq!(ask(&request(0, &[], &other.note(&other.leaves))), 404);
        assert_eq!(ask(&request(0, &[], &note)), 200);
    }
}
