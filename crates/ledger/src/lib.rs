//! The ledger: who did what, in a log that shows when it was changed.
//!
//! Entries are appended and synced before the act they record goes on. Their hashes form the Merkle tree of
//! RFC 6962 ([`tree`]); after every append a checkpoint (size and root) is signed with Ed25519 and kept beside the
//! log in the C2SP signed-note form. A changed, removed or reordered entry no longer leads to the signed root.
//!
//! Invariants:
//! - No personal data: actors are keyed pseudonyms made by the caller.
//! - What [`Log::append`] returned for is on disk.
//! - A log shorter than its checkpoint, or with another root, does not open.
//!
//! What it cannot show alone: a host's owner who holds the signing key can write another history. Witnesses are
//! what shows that.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::prelude::{BASE64_STANDARD, Engine as _};

pub mod tree;

use tree::{Frontier, Hash};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not {what} at {}", path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the ledger at {} was changed: {what}", path.display())]
    Tampered { path: PathBuf, what: &'static str },
    #[error("the ledger's signing key is not usable")]
    Key,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What an entry records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    SetUp = 1,
    SignedIn = 2,
    SignInRefused = 3,
    SignedOut = 4,
    ProjectCreated = 5,
    /// An organisation's keys left the memory; the object is its number.
    OrganisationSealed = 6,
    OrganisationUnsealed = 7,
    /// The server got its root key.
    Unsealed = 8,
    /// An organisation's key was changed; the object is its number, 0 for the root key.
    Rekeyed = 9,
    /// Keys of deleted persons were destroyed; the object is the project.
    SubjectsShredded = 10,
    BackedUp = 11,
    Restored = 12,
}

/// One entry, before it is given its number.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub kind: Kind,
    /// Microseconds since 1970-01-01 UTC.
    pub time_us: i64,
    /// Keyed pseudonym of who did it; zeros when nobody is known.
    pub actor: [u8; 16],
    /// What it was done to, by number: a project, 0 when nothing.
    pub object: u32,
}

/// Bytes of an entry: version, kind, sequence number, time, actor, object.
const ENTRY_BYTES: usize = 1 + 1 + 8 + 8 + 16 + 4;
const VERSION: u8 = 1;

impl Entry {
    fn encode(&self, sequence: u64) -> [u8; ENTRY_BYTES] {
        let mut out = [0; ENTRY_BYTES];
        out[0] = VERSION;
        out[1] = self.kind as u8;
        out[2..10].copy_from_slice(&sequence.to_le_bytes());
        out[10..18].copy_from_slice(&self.time_us.to_le_bytes());
        out[18..34].copy_from_slice(&self.actor);
        out[34..].copy_from_slice(&self.object.to_le_bytes());
        out
    }
}

/// Name in the first line of every checkpoint.
const ORIGIN: &str = "cofferdam.local/ledger";

/// The log of one installation.
pub struct Log {
    folder: PathBuf,
    signer: Ed25519KeyPair,
    state: Mutex<State>,
}

struct State {
    file: File,
    frontier: Frontier,
    /// Set after a failed sync: what is on disk is unknown.
    broken: bool,
}

impl Log {
    /// Opens a log, or starts one. `seed` is the signing key's.
    ///
    /// # Errors
    /// When the log does not lead to its checkpoint: it was cut or changed.
    pub fn open(folder: &Path, seed: &[u8; 32]) -> Result<Log> {
        std::fs::create_dir_all(folder).map_err(io("create the ledger's folder", folder))?;
        let signer = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Error::Key)?;
        let path = folder.join("entries.log");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(io("open the ledger", &path))?;
        let (frontier, bytes) = read_entries(&mut file, &path)?;
        let signed = read_checkpoint(folder, signer.public_key().as_ref())?;
        check_against(&signed, &frontier, &mut file, &path)?;
        // An entry cut short by a crash was never acknowledged.
        file.set_len(bytes).and_then(|()| file.seek(SeekFrom::End(0))).map_err(io("open the ledger", &path))?;
        let log = Log { folder: folder.to_owned(), signer, state: Mutex::new(State { file, frontier, broken: false }) };
        log.write_checkpoint(&log.lock())?;
        Ok(log)
    }

    /// Appends an entry. When this returns `Ok`, it is on disk and under a signed checkpoint.
    pub fn append(&self, entry: Entry) -> Result<u64> {
        let path = self.folder.join("entries.log");
        let mut state = self.lock();
        if state.broken {
            return Err(io("append to the ledger after a failed sync", &path)(std::io::ErrorKind::Other.into()));
        }
        let sequence = state.frontier.size();
        let bytes = entry.encode(sequence);
        let written = state.file.write_all(&bytes).and_then(|()| state.file.sync_data());
        if let Err(source) = written {
            state.broken = true;
            return Err(io("append to the ledger", &path)(source));
        }
        state.frontier.push(tree::leaf(&bytes));
        self.write_checkpoint(&state)?;
        Ok(sequence)
    }

    /// Copies the log and its checkpoint into a new folder; appends wait meanwhile.
    pub fn copy_to(&self, folder: &Path) -> Result<()> {
        let _nobody_appends = self.lock();
        std::fs::create_dir(folder).map_err(io("make a folder for a copy of the ledger", folder))?;
        for name in ["checkpoint", "entries.log"] {
            let from = self.folder.join(name);
            std::fs::copy(&from, folder.join(name)).map_err(io("copy the ledger", &from))?;
        }
        Ok(())
    }

    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.lock().frontier.size()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("never left half changed")
    }

    fn write_checkpoint(&self, state: &State) -> Result<()> {
        let body = checkpoint_body(state.frontier.size(), &state.frontier.root());
        let signature = self.signer.sign(body.as_bytes());
        let note = format!("{body}\n\u{2014} {ORIGIN} {}\n", BASE64_STANDARD.encode(signature.as_ref()));
        let path = self.folder.join("checkpoint");
        let temporary = self.folder.join("checkpoint.tmp");
        let write = || {
            let mut file = File::create(&temporary)?;
            file.write_all(note.as_bytes())?;
            file.sync_data()?;
            std::fs::rename(&temporary, &path)
        };
        write().map_err(io("write the ledger's checkpoint", &path))
    }
}

/// Reads a whole log and its checkpoint, without the signing key. Answers the number of entries.
pub fn verify(folder: &Path, public_key: &[u8]) -> Result<u64> {
    let path = folder.join("entries.log");
    let mut file = File::open(&path).map_err(io("open the ledger", &path))?;
    let (frontier, _) = read_entries(&mut file, &path)?;
    let signed = read_checkpoint(folder, public_key)?;
    check_against(&signed, &frontier, &mut file, &path)?;
    Ok(frontier.size())
}

/// The public key of a seed, as a verifier needs it.
pub fn public_key(seed: &[u8; 32]) -> Result<Vec<u8>> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Error::Key)?;
    Ok(pair.public_key().as_ref().to_vec())
}

fn io<'a>(what: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> Error + 'a {
    move |source| Error::Io { what, path: path.to_owned(), source }
}

fn read_entries(file: &mut File, path: &Path) -> Result<(Frontier, u64)> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes)).map_err(io("read the ledger", path))?;
    let mut frontier = Frontier::default();
    let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
    for entry in entries {
        let sequence = u64::from_le_bytes(*entry[2..].first_chunk().expect("an entry has 38 bytes"));
        if entry[0] != VERSION || sequence != frontier.size() {
            return Err(Error::Tampered { path: path.to_owned(), what: "an entry is out of its place" });
        }
        frontier.push(tree::leaf(entry));
    }
    Ok((frontier, (entries.len() * ENTRY_BYTES) as u64))
}

/// The log may be longer than its checkpoint by what was written before a crash, and never shorter.
fn check_against(signed: &Option<(u64, Hash)>, frontier: &Frontier, file: &mut File, path: &Path) -> Result<()> {
    let Some((size, root)) = signed else {
        if frontier.size() > 1 {
            return Err(Error::Tampered { path: path.to_owned(), what: "its checkpoint is missing" });
        }
        return Ok(());
    };
    if frontier.size() < *size {
        return Err(Error::Tampered { path: path.to_owned(), what: "it is shorter than its checkpoint" });
    }
    let mut bytes = vec![0; *size as usize * ENTRY_BYTES];
    file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut bytes)).map_err(io("read the ledger", path))?;
    let mut prefix = Frontier::default();
    bytes.as_chunks::<ENTRY_BYTES>().0.iter().for_each(|entry| prefix.push(tree::leaf(entry)));
    if prefix.root() != *root {
        return Err(Error::Tampered { path: path.to_owned(), what: "its entries do not lead to the signed root" });
    }
    Ok(())
}

fn checkpoint_body(size: u64, root: &Hash) -> String {
    format!("{ORIGIN}\n{size}\n{}\n", BASE64_STANDARD.encode(root))
}

fn read_checkpoint(folder: &Path, public_key: &[u8]) -> Result<Option<(u64, Hash)>> {
    let path = folder.join("checkpoint");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("read the ledger's checkpoint", &path)(error)),
    };
    let tampered = |what| Error::Tampered { path: path.clone(), what };
    let parse = || {
        let (body, signature) = text.split_once("\n\u{2014} ")?;
        let signature = BASE64_STANDARD.decode(signature.trim_end().rsplit(' ').next()?).ok()?;
        let mut lines = body.lines();
        let (origin, size, root) =
            (lines.next()?, lines.next()?.parse::<u64>().ok()?, BASE64_STANDARD.decode(lines.next()?).ok()?);
        Some((body.to_owned(), origin == ORIGIN, size, Hash::try_from(root).ok()?, signature))
    };
    let (body, ours, size, root, signature) = parse().ok_or_else(|| tampered("its checkpoint cannot be read"))?;
    let key = UnparsedPublicKey::new(&ED25519, public_key);
    if !ours || key.verify(body.as_bytes(), &signature).is_err() {
        return Err(tampered("its checkpoint is not signed by this installation's key"));
    }
    Ok(Some((size, root)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u8; 32] = [5; 32];

    fn entry(object: u32) -> Entry {
        Entry { kind: Kind::SignedIn, time_us: 7, actor: [1; 16], object }
    }

    fn spoiled(spoil: impl Fn(&Path)) -> Result<u64> {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), &SEED).unwrap();
        for object in 0..5 {
            assert_eq!(log.append(entry(object)).unwrap(), u64::from(object));
        }
        drop(log);
        spoil(folder.path());
        let key = public_key(&SEED).unwrap();
        let verified = verify(folder.path(), &key);
        assert_eq!(verified.is_ok(), Log::open(folder.path(), &SEED).is_ok());
        verified
    }

    fn change(folder: &Path, change: impl Fn(&mut Vec<u8>)) {
        let path = folder.join("entries.log");
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(path, bytes).unwrap();
    }

    #[test]
    fn shows_every_change() {
        assert_eq!(spoiled(|_| {}).unwrap(), 5);
        assert_eq!(spoiled(|folder| change(folder, |bytes| bytes.extend([1; 9]))).unwrap(), 5, "a torn append");
        assert!(spoiled(|folder| change(folder, |bytes| bytes.truncate(ENTRY_BYTES * 4))).is_err());
        assert!(spoiled(|folder| change(folder, |bytes| bytes[ENTRY_BYTES * 2 + 20] ^= 1)).is_err());
        assert!(spoiled(|folder| std::fs::remove_file(folder.join("checkpoint")).unwrap()).is_err());
        assert!(
            spoiled(|folder| {
                let path = folder.join("checkpoint");
                let text = std::fs::read_to_string(&path).unwrap().replace("\n5\n", "\n4\n");
                std::fs::write(path, text).unwrap();
            })
            .is_err()
        );
    }
}
