//! The root key: what wraps every other key, and the three ways to keep it.
//!
//! - A key file of 64 hex digits, readable by its owner only: for a first run and for a trial.
//! - A passphrase, stretched with Argon2id; its parameters and salt stand beside the keys.
//! - k of n shares, each encrypted with age to a custodian's recipient; no share is ever on this machine's disk in clear.
//!
//! What is stored about it, the [`Cover`], holds no secret. Invariants:
//! - A root key is told from a wrong one before anything is opened with it, by its id.
//! - A share carries the id of its set, and the cover a print of each share: shares of an older set and wrong ones are
//!   refused one by one, by name. Fewer than k say nothing about the key.
//! - Each change of the way makes a new root key: what was known of the old one opens nothing that is wrapped anew.

use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::{digest, hmac};
use cofferdam_model::{limits, sabotage};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::seal::{SealKey, hex, parse_hex, random};
use crate::shamir::{self, Point};
use crate::{Error, Result};

/// The root key, in memory only. No `Debug`.
pub struct RootKey(Zeroizing<[u8; 32]>);

/// Tells root keys apart.
pub(crate) type RootId = [u8; 8];

impl RootKey {
    fn random() -> RootKey {
        if sabotage::is_out(36) {
            return RootKey(Zeroizing::new([0; 32]));
        }
        RootKey(Zeroizing::new(random()))
    }

    pub(crate) fn seal_key(&self) -> SealKey {
        SealKey::new(&self.0)
    }

    pub(crate) fn id(&self) -> RootId {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*self.0);
        let id = hmac::sign(&key, b"cofferdam root id\0");
        *id.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
    }
}

/// How a root key is kept: public facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cover {
    KeyFile,
    Passphrase { memory_kib: u32, passes: u32, lanes: u32, salt: [u8; 16] },
    Shares { set: [u8; 8], threshold: u8, count: u8, prints: Vec<[u8; 16]> },
}

/// RFC 9106, the second recommended option: an unseal takes a moment, a guess as long.
const ARGON2: (u32, u32, u32) = (64 * 1024, 3, 4);

impl Cover {
    /// As stored: a word and numbers.
    pub(crate) fn text(&self) -> String {
        match self {
            Cover::KeyFile => "key-file".to_owned(),
            Cover::Passphrase { memory_kib, passes, lanes, salt } => {
                format!("passphrase argon2id {memory_kib} {passes} {lanes} {}", hex(salt))
            }
            Cover::Shares { set, threshold, count, prints } => {
                let prints: Vec<String> = prints.iter().map(|print| hex(print)).collect();
                format!("shares {} {threshold} {count} {}", hex(set), prints.join(","))
            }
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Cover> {
        let words: Vec<&str> = text.split(' ').collect();
        let parsed = || match words[..] {
            ["key-file"] => Some(Cover::KeyFile),
            ["passphrase", "argon2id", memory_kib, passes, lanes, salt] => Some(Cover::Passphrase {
                memory_kib: memory_kib.parse().ok().filter(|kib| *kib <= limits::ARGON2_KIB_MAX)?,
                passes: passes.parse().ok().filter(|passes| *passes <= limits::ARGON2_PASSES_MAX)?,
                lanes: lanes.parse().ok().filter(|lanes| *lanes <= limits::ARGON2_LANES_MAX)?,
                salt: *parse_hex(salt)?,
            }),
            ["shares", set, threshold, count, prints] => {
                let prints: Option<Vec<[u8; 16]>> = prints.split(',').map(|print| Some(*parse_hex(print)?)).collect();
                let (threshold, count, prints) = (threshold.parse().ok()?, count.parse().ok()?, prints?);
                let fits = (1..=count).contains(&threshold) && prints.len() == usize::from(count);
                fits.then_some(Cover::Shares { set: *parse_hex(set)?, threshold, count, prints })
            }
            _ => None,
        };
        parsed().ok_or(Error::UnknownCover)
    }

    /// How many shares make the key; 0 where it is kept another way.
    pub fn threshold(&self) -> usize {
        match self {
            Cover::Shares { threshold, .. } => usize::from(*threshold),
            _ => 0,
        }
    }

    /// For people: what is needed to have the root key.
    pub fn needs(&self) -> String {
        match self {
            Cover::KeyFile => "the key file".to_owned(),
            Cover::Passphrase { .. } => "the passphrase".to_owned(),
            Cover::Shares { set, threshold, count, .. } => {
                format!("{threshold} of the {count} shares of set {}", hex(set))
            }
        }
    }
}

/// A root key that is not here, and how to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub(crate) id: RootId,
    pub cover: Cover,
}

impl Wanted {
    fn checked(&self, root: RootKey, wrong: Error) -> Result<RootKey> {
        if root.id() == self.id { Ok(root) } else { Err(wrong) }
    }

    /// Takes the memory that the cover says, and a core for as long.
    pub fn with_passphrase(&self, passphrase: &str) -> Result<RootKey> {
        let Cover::Passphrase { memory_kib, passes, lanes, salt } = &self.cover else {
            return Err(Error::OtherCover { needs: self.cover.needs() });
        };
        let root = stretch(passphrase, (*memory_kib, *passes, *lanes), salt)?;
        self.checked(root, Error::WrongPassphrase)
    }

    /// Whether a share is one of those that are wanted.
    pub fn check_share(&self, share: &Share) -> Result<()> {
        let Cover::Shares { set, prints, threshold, count } = &self.cover else {
            return Err(Error::OtherCover { needs: self.cover.needs() });
        };
        if share.set != *set {
            return Err(Error::ShareOfOtherSet { found: hex(&share.set), wanted: hex(set) });
        }
        let print = prints.get(usize::from(share.point.x).wrapping_sub(1));
        let same = (share.threshold, share.count) == (*threshold, *count) && print == Some(&share.print());
        if same { Ok(()) } else { Err(Error::WrongShare { number: share.point.x }) }
    }

    /// The key of enough shares; which ones does not matter, and one given twice counts once.
    pub fn with_shares(&self, shares: &[Share]) -> Result<RootKey> {
        let mut points: Vec<Point> = Vec::new();
        for share in shares {
            self.check_share(share)?;
            if points.iter().all(|point| point.x != share.point.x) {
                points.push(Point { x: share.point.x, values: share.point.values.clone() });
            }
        }
        let Cover::Shares { threshold, .. } = &self.cover else {
            return Err(Error::OtherCover { needs: self.cover.needs() });
        };
        if points.len() < usize::from(*threshold) {
            return Err(Error::TooFewShares { given: points.len(), threshold: *threshold });
        }
        self.checked(RootKey(shamir::combine(&points)), Error::WrongRootKey)
    }

    pub fn with_key_file(&self, path: &Path) -> Result<RootKey> {
        if self.cover != Cover::KeyFile {
            return Err(Error::OtherCover { needs: self.cover.needs() });
        }
        match read_key_file(path).and_then(|root| self.checked(root, Error::WrongRootKey)) {
            Ok(root) => Ok(root),
            // A change of the key that a crash cut short between the keys and the name of their file.
            Err(error) => {
                let next = next_to(path);
                let root = read_key_file(&next).and_then(|root| self.checked(root, Error::WrongRootKey));
                let Ok(root) = root else { return Err(error) };
                put_in_place(&next, path)?;
                Ok(root)
            }
        }
    }
}

fn stretch(passphrase: &str, (memory_kib, passes, lanes): (u32, u32, u32), salt: &[u8]) -> Result<RootKey> {
    // However it was typed: one form for what looks the same.
    let normal: Zeroizing<String> = Zeroizing::new(passphrase.trim().nfkc().collect());
    let parameters = Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| Error::UnknownCover)?;
    let mut root = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_into(normal.as_bytes(), salt, &mut *root)
        .map_err(|_| Error::UnknownCover)?;
    Ok(RootKey(root))
}

/// One share, open, in memory only. No `Debug`.
pub struct Share {
    set: [u8; 8],
    threshold: u8,
    count: u8,
    point: Point,
}

const SHARE_PREFIX: &str = "cofferdam-share-1-";

impl Share {
    /// As a custodian has it after decrypting: one line.
    pub fn to_text(&self) -> Zeroizing<String> {
        let head = [&self.set[..], &[self.threshold, self.count, self.point.x]].concat();
        let values = Zeroizing::new(hex(&*self.point.values));
        let check = hex(&self.print()[..4]);
        Zeroizing::new(format!("{SHARE_PREFIX}{}{}{check}", hex(&head), &**values))
    }

    /// Reads what [`age`] gave back.
    pub fn parse(text: &str) -> Result<Share> {
        let digits = text.trim().strip_prefix(SHARE_PREFIX).ok_or(Error::NotAShare)?;
        let bytes: Zeroizing<[u8; 47]> = parse_hex(digits).ok_or(Error::NotAShare)?;
        let mut values = Zeroizing::new([0; shamir::SECRET]);
        values.copy_from_slice(&bytes[11..43]);
        let share = Share {
            set: *bytes.first_chunk().expect("47 bytes"),
            threshold: bytes[8],
            count: bytes[9],
            point: Point { x: bytes[10], values },
        };
        if share.print()[..4] != bytes[43..] || share.point.x == 0 || share.point.x > share.count {
            return Err(Error::NotAShare);
        }
        Ok(share)
    }

    /// Decrypts a custodian's file with their age identity.
    pub fn decrypt(armored: &[u8], identity: &str) -> Result<Share> {
        let identity = identity
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with("AGE-SECRET-KEY-"))
            .and_then(|line| line.parse::<age::x25519::Identity>().ok())
            .ok_or(Error::NotAnIdentity)?;
        let text = Zeroizing::new(age::decrypt(&identity, armored).map_err(|_| Error::CannotDecryptShare)?);
        Share::parse(std::str::from_utf8(&text).map_err(|_| Error::NotAShare)?)
    }

    pub fn number(&self) -> u8 {
        self.point.x
    }

    /// Of 256 random bits: nobody finds the share by its print.
    fn print(&self) -> [u8; 16] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"cofferdam share\0");
        context.update(&self.set);
        context.update(&[self.threshold, self.count, self.point.x]);
        context.update(&*self.point.values);
        *context.finish().as_ref().first_chunk().expect("SHA-256 has 32 bytes")
    }
}

/// A way for a new root key.
pub enum Way {
    KeyFile,
    /// No `Debug`: it holds the passphrase.
    Passphrase(Zeroizing<String>),
    /// So many of as many custodians as there are age recipients.
    Shares {
        threshold: u8,
        recipients: Vec<String>,
    },
}

/// A share as it goes to its custodian.
pub struct CustodianShare {
    pub number: u8,
    pub recipient: String,
    /// An age file in its text form.
    pub armored: String,
}

/// A new root key with all that belongs to it.
pub(crate) struct Made {
    pub(crate) root: RootKey,
    pub(crate) cover: Cover,
    pub(crate) shares: Vec<CustodianShare>,
}

impl Way {
    pub(crate) fn make(self) -> Result<Made> {
        match self {
            Way::KeyFile => Ok(Made { root: RootKey::random(), cover: Cover::KeyFile, shares: Vec::new() }),
            Way::Passphrase(passphrase) => {
                if passphrase.trim().chars().count() < limits::PASSPHRASE_CHARS_MIN {
                    return Err(Error::WeakPassphrase);
                }
                let (memory_kib, passes, lanes) = ARGON2;
                let salt = random();
                let root = stretch(&passphrase, ARGON2, &salt)?;
                let cover = Cover::Passphrase { memory_kib, passes, lanes, salt };
                Ok(Made { root, cover, shares: Vec::new() })
            }
            Way::Shares { threshold, recipients } => {
                let count = u8::try_from(recipients.len()).unwrap_or(u8::MAX);
                // With a threshold of 1 every custodian alone has the key.
                if !(2..=count).contains(&threshold) || recipients.len() > limits::CUSTODIANS_MAX {
                    return Err(Error::ImpossibleShares { threshold, count: recipients.len() });
                }
                let root = RootKey::random();
                let set = random();
                let (mut prints, mut shares) = (Vec::new(), Vec::new());
                for (point, to) in shamir::split(&root.0, threshold, count).into_iter().zip(recipients) {
                    let recipient: age::x25519::Recipient =
                        to.trim().parse().map_err(|_| Error::NotARecipient { recipient: to.clone() })?;
                    let share = Share { set, threshold, count, point };
                    let armored = age::encrypt_and_armor(&recipient, share.to_text().as_bytes())
                        .map_err(|_| Error::NotARecipient { recipient: to.clone() })?;
                    prints.push(share.print());
                    shares.push(CustodianShare { number: share.point.x, recipient: to, armored });
                }
                Ok(Made { root, cover: Cover::Shares { set, threshold, count, prints }, shares })
            }
        }
    }
}

fn next_to(path: &Path) -> std::path::PathBuf {
    path.with_extension("key.next")
}

fn read_key_file(path: &Path) -> Result<RootKey> {
    let io = |source| Error::RootKeyFile { path: path.to_owned(), source };
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(io)?);
    let bytes = parse_hex(text.trim()).ok_or_else(|| io(std::io::Error::other("not 64 hex digits")))?;
    Ok(RootKey(bytes))
}

/// Writes a key file beside the one there may be: it takes its place once the keys are wrapped with it.
pub(crate) fn write_key_file(path: &Path, root: &RootKey) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let next = next_to(path);
    let io = |source| Error::RootKeyFile { path: next.clone(), source };
    match std::fs::remove_file(&next) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let text = Zeroizing::new(hex(&*root.0));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next).map_err(io)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
    sync_folder_of(&next)
}

pub(crate) fn put_next_in_place(path: &Path) -> Result<()> {
    put_in_place(&next_to(path), path)
}

fn put_in_place(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).map_err(|source| Error::RootKeyFile { path: to.to_owned(), source })?;
    sync_folder_of(to)
}

pub(crate) fn sync_folder_of(path: &Path) -> Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| Error::RootKeyFile { path: path.to_owned(), source })
}

/// Removes a file with a secret. Its bytes are written over first, which disks that remap or copy on write may not
/// honour: what must be gone for certain lies on none of them.
pub(crate) fn destroy(path: &Path) -> std::io::Result<()> {
    use std::io::Write;
    let length = match std::fs::metadata(path) {
        Ok(file) => file.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut file = std::fs::OpenOptions::new().write(true).open(path)?;
    file.write_all(&vec![0; usize::try_from(length).unwrap_or(0)])?;
    file.sync_all()?;
    std::fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(made: &Made) -> Wanted {
        Wanted { id: made.root.id(), cover: Cover::parse(&made.cover.text()).unwrap() }
    }

    fn sharing(threshold: u8, count: usize) -> (Made, Vec<age::x25519::Identity>) {
        let identities: Vec<_> = (0..count).map(|_| age::x25519::Identity::generate()).collect();
        let recipients = identities.iter().map(|identity| identity.to_public().to_string()).collect();
        (Way::Shares { threshold, recipients }.make().unwrap(), identities)
    }

    fn open(made: &Made, identities: &[age::x25519::Identity], at: usize) -> Share {
        use age::secrecy::ExposeSecret;
        let identity = identities[at].to_string();
        Share::decrypt(made.shares[at].armored.as_bytes(), identity.expose_secret()).unwrap()
    }

    #[test]
    fn a_passphrase_opens_and_another_does_not() {
        let made = Way::Passphrase("correct horse battery staple".to_owned().into()).make().unwrap();
        let wanted = wanted(&made);
        assert!(wanted.with_passphrase(" correct horse battery staple\n").is_ok());
        assert!(matches!(wanted.with_passphrase("correct horse battery stable"), Err(Error::WrongPassphrase)));
        assert!(matches!(Way::Passphrase("too short".to_owned().into()).make(), Err(Error::WeakPassphrase)));
        assert!(matches!(wanted.with_shares(&[]), Err(Error::OtherCover { .. })));
    }

    #[test]
    fn enough_shares_of_this_set_open_and_nothing_else_does() {
        let (made, custodians) = sharing(3, 5);
        let wanted = wanted(&made);
        let share = |at| open(&made, &custodians, at);
        assert!(wanted.with_shares(&[share(4), share(0), share(2)]).is_ok());
        let few = wanted.with_shares(&[share(1), share(3), share(1)]);
        assert!(matches!(few, Err(Error::TooFewShares { given: 2, threshold: 3 })));
        let (older, older_custodians) = sharing(3, 5);
        let older = wanted.with_shares(&[share(0), share(1), open(&older, &older_custodians, 2)]);
        assert!(matches!(older, Err(Error::ShareOfOtherSet { .. })));
        let mut wrong = share(2);
        wrong.point.values[0] ^= 1;
        let wrong = Share::parse(&wrong.to_text()).unwrap();
        assert!(matches!(wanted.with_shares(&[share(0), share(1), wrong]), Err(Error::WrongShare { number: 3 })));
    }

    #[test]
    fn a_share_is_read_by_its_custodian_alone_and_a_mistyped_one_by_nobody() {
        let (made, custodians) = sharing(2, 2);
        let text = open(&made, &custodians, 0).to_text();
        assert_eq!(Share::parse(&text).unwrap().number(), 1);
        for at in SHARE_PREFIX.len()..text.len() {
            let mut typed: Vec<u8> = text.as_bytes().to_vec();
            typed[at] = if typed[at] == b'0' { b'1' } else { b'0' };
            assert!(Share::parse(std::str::from_utf8(&typed).unwrap()).is_err(), "digit {at}");
        }
        use age::secrecy::ExposeSecret;
        let other = custodians[1].to_string();
        let read = Share::decrypt(made.shares[0].armored.as_bytes(), other.expose_secret());
        assert!(matches!(read, Err(Error::CannotDecryptShare)));
    }

    #[test]
    fn shares_that_protect_nothing_are_not_made() {
        let recipient = || age::x25519::Identity::generate().to_public().to_string();
        for (threshold, count) in [(1, 3), (0, 2), (4, 3)] {
            let way = Way::Shares { threshold, recipients: (0..count).map(|_| recipient()).collect() };
            assert!(matches!(way.make(), Err(Error::ImpossibleShares { .. })));
        }
        let way = Way::Shares { threshold: 2, recipients: vec![recipient(), "age1nobody".to_owned()] };
        assert!(matches!(way.make(), Err(Error::NotARecipient { .. })));
    }

    #[test]
    fn a_cover_that_asks_for_the_impossible_is_refused() {
        for text in ["", "key-file 2", "passphrase argon2id 4294967295 3 4 00", "shares 00 1 2 00", "tpm 1"] {
            assert!(matches!(Cover::parse(text), Err(Error::UnknownCover)), "{text}");
        }
    }
}
