//! Verifying a ledger from its files and its public key alone: the whole of it, one entry, two checkpoints. Reads
//! nothing else, and writes nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

use cofferdam_model::{limits, sabotage};

use crate::disk::{Disk, LocalDisk};
use crate::entry::{Kind, Recorded};
use crate::journal;
use crate::note::{Checkpoint, VerifierKey, parse_hash, parse_size, print_hash};
use crate::ticket::subjects_of;
use crate::tiles::{Tiles, WIDTH};
use crate::tree::{
    Frontier, Hash, PROOF_HASHES_MAX, consistency_proof, fold, leaf, verify_consistency, verify_inclusion,
};
use crate::{Error, Result, Unavailable};

/// What a whole ledger looks like.
#[derive(Debug)]
pub struct Verified {
    /// What its checkpoint covers.
    pub entries: u64,
    /// Entries in the journal that are under no checkpoint yet.
    pub unpublished: u64,
    pub root: Hash,
    /// Subject sets that were erased, by the number of their entry, with an entry that says so.
    pub erased: Vec<u64>,
    pub wrong: Vec<Wrong>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The entry; none when it is not one entry.
    pub seq: Option<u64>,
    pub what: String,
}

/// Findings that are listed one by one.
const WRONG_MAX: usize = 100;

/// Reads a whole ledger.
///
/// # Errors
/// When there is no checkpoint of this key: nothing can be said then.
pub fn verify(folder: &Path, key: &VerifierKey) -> Result<Verified> {
    verify_while(folder, key, None, &mut |_, _| true)
}

/// As [`verify`], of a log that may be running: `keep` keeps its journal's files from being removed while they are
/// read. `told` is told how many entries were read, and of how many, as it goes; answering false ends it.
pub(crate) fn verify_while(
    folder: &Path,
    key: &VerifierKey,
    keep: Option<&Mutex<()>>,
    told: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Verified> {
    let disk = LocalDisk;
    let checkpoint = read_checkpoint(&folder.join("checkpoint"), key)?;
    let size = checkpoint.size;
    let tiles = Tiles::new(&disk, folder, size);
    let mut report = Report { wrong: Vec::new() };

    // The tiles are believed when they lead to the signed root; then they say of each entry whether it is the one.
    let is_tiled = check_tiles(&tiles, size, &checkpoint.root);
    let mut frontier = Frontier::default();
    let (mut with_blob, mut erased) = (Vec::new(), BTreeSet::new());
    let mut last_mono_us = 0;
    for bundle in 0..size.div_ceil(WIDTH) {
        if !told(bundle * WIDTH, size) {
            return Err(Error::Unavailable(Unavailable::Stopped));
        }
        let entries = tiles.bundle(bundle).unwrap_or_default();
        let hashes = if is_tiled { tiles.tile(0, bundle)? } else { Vec::new() };
        for at in 0..tiles.width(bundle) {
            let seq = bundle * WIDTH + at;
            let Some(bytes) = entries.get(at as usize) else {
                report.entry(seq, "is missing");
                frontier.push([0; 32]);
                continue;
            };
            let hash = leaf(bytes);
            frontier.push(hash);
            let is_signed = hashes.get(at as usize).is_none_or(|signed| *signed == hash) || sabotage::is_out(46);
            if !is_signed {
                report.entry(seq, "is not the one that was signed");
                continue;
            }
            match Recorded::decode(bytes) {
                None => report.entry(seq, "cannot be read"),
                Some(entry) if entry.seq != seq => report.entry(seq, "is out of its place"),
                Some(entry) if entry.mono_us < last_mono_us => report.entry(seq, "is older than the one before"),
                Some(Recorded { mono_us, entry, .. }) => {
                    last_mono_us = mono_us;
                    if entry.kind == Kind::SubjectsErased {
                        erased.extend(entry.refers_to);
                    }
                    if entry.kind == Kind::Intent {
                        match subjects_of(&disk, folder, &entry) {
                            Ok(Some(_)) => {}
                            Ok(None) => with_blob.push(seq),
                            Err(_) if sabotage::is_out(46) => {}
                            Err(what) => report.entry(seq, &what),
                        }
                    }
                }
            }
        }
        if entries.len() as u64 > WIDTH && !sabotage::is_out(46) {
            report.entry((bundle + 1) * WIDTH, "has something before it that was put in");
        }
    }
    for seq in with_blob.iter().filter(|seq| !erased.contains(seq)) {
        report.entry(*seq, "has lost its subject set, and no entry says that it was erased");
    }
    let leads_to_root = frontier.root() == checkpoint.root;
    if !is_tiled && !sabotage::is_out(46) {
        match leads_to_root {
            true => report.whole("its tiles do not lead to the signed root, though its entries do"),
            false => report.whole("its entries do not lead to the signed root"),
        }
    }
    let _kept = keep.map(|keep| keep.lock().expect("never left half changed"));
    let unpublished = check_journal(&disk, folder, &tiles, size, &mut report)?;
    let erased = with_blob.into_iter().filter(|seq| erased.contains(seq)).collect();
    Ok(Verified { entries: size, unpublished, root: checkpoint.root, erased, wrong: report.wrong })
}

struct Report {
    wrong: Vec<Wrong>,
}

impl Report {
    fn entry(&mut self, seq: u64, what: &str) {
        if self.wrong.len() < WRONG_MAX {
            self.wrong.push(Wrong { seq: Some(seq), what: format!("entry {seq} {what}") });
        }
    }

    fn whole(&mut self, what: &str) {
        self.wrong.push(Wrong { seq: None, what: what.to_owned() });
    }
}

fn read_checkpoint(path: &Path, key: &VerifierKey) -> Result<Checkpoint> {
    let note = std::fs::read_to_string(path).map_err(Error::io("read the ledger's checkpoint", path))?;
    Checkpoint::verified(&note, key)
}

/// Whether the tiles, each level from the one below, lead to the root.
fn check_tiles(tiles: &Tiles<'_>, size: u64, root: &Hash) -> bool {
    let mut frontier = Frontier::default();
    for index in 0..size.div_ceil(WIDTH) {
        let Ok(hashes) = tiles.tile(0, index) else { return false };
        if hashes.len() == WIDTH as usize {
            let top = fold(&hashes);
            frontier.push_subtree(top, 8);
            // Every level above has it too.
            let mut at = index;
            let mut expected = top;
            for level in 1.. {
                if size >> (8 * level) <= at {
                    break;
                }
                let Ok(above) = tiles.tile(level, at / WIDTH) else { return false };
                if above.get((at % WIDTH) as usize) != Some(&expected) {
                    return false;
                }
                if at % WIDTH != WIDTH - 1 {
                    break;
                }
                expected = fold(&above);
                at /= WIDTH;
            }
        } else {
            hashes.iter().for_each(|hash| frontier.push(*hash));
        }
    }
    frontier.root() == *root
}

/// The journal's copies are the same as the bundles', and what it has beyond them continues them. Answers how many that
/// are.
fn check_journal(disk: &dyn Disk, folder: &Path, tiles: &Tiles<'_>, size: u64, report: &mut Report) -> Result<u64> {
    let found = journal::read(disk, folder)?;
    let Some(first) = found.first else { return Ok(0) };
    let mut bundle = (u64::MAX, Vec::new());
    for (at, bytes) in found.entries.iter().enumerate() {
        let seq = first + at as u64;
        if seq < size {
            if bundle.0 != seq / WIDTH {
                bundle = (seq / WIDTH, tiles.bundle(seq / WIDTH).unwrap_or_default());
            }
            let is_same = bundle.1.get((seq % WIDTH) as usize).is_none_or(|published| published == bytes);
            if !is_same && !sabotage::is_out(46) && !report.wrong.iter().any(|wrong| wrong.seq == Some(seq)) {
                report.entry(seq, "is not the one in the journal");
            }
        } else if Recorded::decode(bytes).is_none_or(|entry| entry.seq != seq) {
            report.entry(seq, "cannot be read in the journal");
        }
    }
    Ok((first + found.entries.len() as u64).saturating_sub(size))
}

/// The proof that an entry is in a log: C2SP `tlog-proof`, with the entry itself as its extra data.
pub struct Proof {
    pub entry: Vec<u8>,
    pub index: u64,
    pub path: Vec<Hash>,
    pub checkpoint: String,
}

const PROOF_HEAD: &str = "c2sp.org/tlog-proof@v1";

impl Proof {
    pub fn print(&self) -> String {
        let lines: String = self.path.iter().map(|hash| format!("{}\n", print_hash(hash))).collect();
        let extra = crate::note::print_bytes(&self.entry);
        format!("{PROOF_HEAD}\nextra {extra}\nindex {}\n{lines}\n{}", self.index, self.checkpoint)
    }

    /// # Errors
    /// When it is no proof with an entry.
    pub fn parse(text: &str) -> Result<Proof> {
        let parse = || {
            let text_max = limits::LEDGER_NOTE_BYTES_MAX + 8 * 1024;
            let (head, checkpoint) = text.split_once("\n\n").filter(|_| text.len() <= text_max)?;
            let mut lines = head.split('\n');
            (lines.next()? == PROOF_HEAD).then_some(())?;
            let entry = crate::note::parse_bytes(lines.next()?.strip_prefix("extra ")?)?;
            let index = parse_size(lines.next()?.strip_prefix("index ")?)?;
            let path: Vec<Hash> = lines.map(parse_hash).collect::<Option<_>>()?;
            let is_short = path.len() <= PROOF_HASHES_MAX;
            is_short.then(|| Proof { entry, index, path, checkpoint: checkpoint.to_owned() })
        };
        parse().ok_or(Error::Malformed { what: "proof" })
    }

    /// Verifies the proof with the log's key alone, and answers the entry and the checkpoint it is under.
    ///
    /// # Errors
    /// When it proves nothing.
    pub fn verify(&self, key: &VerifierKey) -> Result<(Recorded, Checkpoint)> {
        let checkpoint = Checkpoint::verified(&self.checkpoint, key)?;
        let seq = self.index;
        if !verify_inclusion(leaf(&self.entry), seq, checkpoint.size, &self.path, &checkpoint.root) {
            return Err(Error::Damaged {
                what: format!("the proof does not lead from entry {seq} to the signed root"),
            });
        }
        let entry = Recorded::decode(&self.entry).filter(|entry| entry.seq == seq);
        Ok((entry.ok_or(Error::Malformed { what: "entry" })?, checkpoint))
    }
}

/// Makes the proof of an entry from a ledger's files.
///
/// # Errors
/// When the ledger has no such entry under its checkpoint.
pub fn prove(folder: &Path, key: &VerifierKey, seq: u64) -> Result<Proof> {
    let path = folder.join("checkpoint");
    let note = std::fs::read_to_string(&path).map_err(Error::io("read the ledger's checkpoint", &path))?;
    let size = Checkpoint::verified(&note, key)?.size;
    if seq >= size {
        return Err(Error::NoEntry { seq });
    }
    let tiles = Tiles::new(&LocalDisk, folder, size);
    let entry = tiles.bundle(seq / WIDTH)?.into_iter().nth((seq % WIDTH) as usize).ok_or(Error::NoEntry { seq })?;
    let path = crate::tree::inclusion_proof(&tiles, seq, size)?;
    Ok(Proof { entry, index: seq, path, checkpoint: note })
}

/// Whether a newer checkpoint continues an older one, by the ledger's files. Answers the proof for others to verify.
///
/// # Errors
/// When a checkpoint is not the log's, or the newer one is of another history.
pub fn consistency(folder: &Path, key: &VerifierKey, old: &str, new: &str) -> Result<Vec<Hash>> {
    let (old, new) = (Checkpoint::verified(old, key)?, Checkpoint::verified(new, key)?);
    if old.size > new.size {
        return Err(Error::RolledBack { seen: old.size, found: new.size });
    }
    let path = consistency_proof(&Tiles::new(&LocalDisk, folder, new.size), old.size, new.size)?;
    if !verify_consistency(old.size, &old.root, new.size, &new.root, &path) {
        let what = format!(
            "the checkpoint of {} entries does not continue the one of {}: both are signed, so the log's key signed two histories",
            new.size, old.size
        );
        return Err(Error::Damaged { what });
    }
    Ok(path)
}
