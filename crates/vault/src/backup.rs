//! Files of a backup: sealed on the way out, opened on the way back, and unreadable once their time is over.
//!
//! ```text
//! root ├ content key, one for each backup, wrapped in its header: every file but the keys
//!      └ backup key, one a day, wrapped in a folder apart and destroyed after seven days: `keys.db`
//! ```
//! Without the root key nothing of a backup is readable. Without the backup key the keys in it are not, and with them
//! every person in it: so a backup dies, and with it what it knew of persons erased since.
//!
//! Layout: `header` is text, its last line seals the others. Every other file is a chain of chunks `len u32 | sealed`;
//! the associated data of each names the backup, the file, the chunk's number and whether it is the last, so that
//! nothing can be exchanged, reordered or cut.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use cofferdam_model::{limits, sabotage};
use zeroize::Zeroizing;

use crate::root::{RootKey, Wanted, sync_folder_of};
use crate::seal::{OVERHEAD, SealKey, aad, hex, key_id, parse_hex, random};
use crate::{Cover, Error, Result, Vault};

const FIRST_LINE: &str = "cofferdam backup ";
const FORMAT: u32 = 1;
/// The one file under the backup key.
pub const KEYS_FILE: &str = "keys.db";
const HEADER_FILE: &str = "header";
const CHUNK: usize = 64 * 1024;
/// A header names every file of a backup.
const HEADER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The keys of one backup.
struct BackupKeys {
    id: [u8; 8],
    contents: SealKey,
    keys: SealKey,
}

impl BackupKeys {
    fn of(&self, file: &str) -> &SealKey {
        if file == KEYS_FILE { &self.keys } else { &self.contents }
    }

    fn chunk_aad(&self, file: &str, number: u32, is_last: bool) -> Vec<u8> {
        let mut own = aad("backup", &[FORMAT, number, u32::from(is_last)]);
        own.extend_from_slice(&self.id);
        own.extend_from_slice(file.as_bytes());
        own
    }
}

/// A backup that is being written.
pub struct BackupWriter {
    folder: PathBuf,
    keys: BackupKeys,
    header: String,
}

/// A backup that is read.
pub struct BackupReader {
    folder: PathBuf,
    keys: BackupKeys,
    /// Names and bytes of the files, in their order.
    files: Vec<(String, u64)>,
}

/// What a backup says before it is opened.
pub struct BackupHead {
    folder: PathBuf,
    text: String,
    pub wanted: Wanted,
}

fn io<'a>(what: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> Error + 'a {
    move |source| Error::Backup { what, path: path.to_owned(), source }
}

fn damaged<T>(path: &Path, what: &'static str) -> Result<T> {
    Err(Error::BackupDamaged { path: path.to_owned(), what })
}

/// Where backup keys lie, in the data's folder.
fn keys_folder(data: &Path) -> PathBuf {
    crate::apart_folder(data).join("backup-keys")
}

/// The keys in a folder, by when they were made (seconds since 1970), oldest first.
fn list(folder: &Path) -> Result<Vec<(i64, PathBuf)>> {
    let mut found = Vec::new();
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(io("list the backup keys", folder)(error)),
        Ok(entries) => {
            for entry in entries {
                let path = entry.map_err(io("list the backup keys", folder))?.path();
                let made = path.file_stem().and_then(|stem| stem.to_str()?.split('-').next()?.parse().ok());
                if let (Some(made), true) = (made, path.extension().is_some_and(|extension| extension == "key")) {
                    found.push((made, path));
                }
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Destroys backup keys whose time is over. Answers how many.
pub fn expire_backup_keys(data: &Path, now_us: i64) -> Result<usize> {
    let mut destroyed = 0;
    for (made_s, path) in list(&keys_folder(data))? {
        if now_us / 1_000_000 - made_s >= limits::BACKUP_KEY_LIFE_SECONDS {
            crate::root::destroy(&path).map_err(io("destroy a backup key", &path))?;
            destroyed += 1;
        }
    }
    Ok(destroyed)
}

impl Vault {
    /// Begins a backup in a new folder.
    pub fn begin_backup(&self, data: &Path, folder: &Path, now_us: i64) -> Result<BackupWriter> {
        expire_backup_keys(data, now_us)?;
        let (key_name, keys) = self.backup_key(&keys_folder(data), now_us / 1_000_000)?;
        std::fs::create_dir(folder).map_err(io("make the backup's folder", folder))?;
        let (contents, id) = (Zeroizing::new(random::<32>()), random::<8>());
        let wrapped = self.keys.root().seal(&aad("backup contents", &[]), &*contents);
        let made = jiff::Timestamp::from_microsecond(now_us).map(|at| at.to_string()).unwrap_or_default();
        let (root, cover) = (hex(&self.keys.root_id()), self.keys.cover().text());
        let header = format!(
            "{FIRST_LINE}{FORMAT}\nid {}\nmade {made}\nroot {root}\ncover {cover}\ncontents {}\nkeys {key_name}\n",
            hex(&id),
            hex(&wrapped),
        );
        let keys = BackupKeys { id, contents: SealKey::new(&contents), keys };
        Ok(BackupWriter { folder: folder.to_owned(), keys, header })
    }

    /// Today's backup key and its file's name; made where there is none.
    fn backup_key(&self, folder: &Path, now_s: i64) -> Result<(String, SealKey)> {
        let root = self.keys.root();
        if let Some((made_s, path)) = list(folder)?.pop()
            && (0..limits::BACKUP_KEY_USE_SECONDS).contains(&(now_s - made_s))
        {
            let wrapped = std::fs::read(&path).map_err(io("read a backup key", &path))?;
            // One from before a change of the root key serves older backups only.
            if key_id(&wrapped) == Some(root.id()) {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                return Ok((name.to_owned(), unwrap(root, "backup key", &wrapped)?));
            }
        }
        let bytes = Zeroizing::new(random::<32>());
        let name = format!("{now_s}-{}.key", hex(&random::<4>()));
        let path = folder.join(&name);
        std::fs::create_dir_all(folder).map_err(io("make the folder of backup keys", folder))?;
        write_whole(&path, &root.seal(&aad("backup key", &[]), &*bytes))?;
        Ok((name, SealKey::new(&bytes)))
    }

    /// Refuses a backup of databases on a server before anything of it is written.
    pub fn check_copies(&self) -> Result<()> {
        if self.dictionary.database.is_file() && self.keys.database.is_file() {
            Ok(())
        } else {
            Err(Error::CopyOfServer)
        }
    }

    /// Writes consistent copies of the vault's own databases into a folder: persons first, then keys, so that every
    /// record in the copy has its key there, or was deleted meanwhile.
    pub async fn copy_databases(&self, to: &Path) -> Result<()> {
        self.dictionary.database.copy_to(&to.join("vault.db")).await?;
        self.keys.database.copy_to(&to.join(KEYS_FILE)).await
    }
}

fn unwrap(root: &SealKey, domain: &str, wrapped: &[u8]) -> Result<SealKey> {
    let bytes = root.open(&aad(domain, &[]), wrapped)?;
    Ok(SealKey::new(bytes.as_slice().try_into().map_err(|_| Error::CannotOpen)?))
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let temporary = path.with_extension("tmp");
    let write = || {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(io("write", path))?;
    sync_folder_of(path)
}

/// A file of the backup by its name, which never leads out of it.
fn place(folder: &Path, name: &str) -> Result<PathBuf> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\\');
    if !name.split('/').all(plain) || name.chars().any(|char| char.is_control() || char == ' ') {
        return damaged(folder, "a file of it has an impossible name");
    }
    Ok(folder.join(name))
}

impl BackupWriter {
    /// Adds a file by the name it has in the data's folder.
    pub fn add_file(&mut self, name: &str, from: &Path) -> Result<()> {
        let mut file = std::fs::File::open(from).map_err(io("read", from))?;
        self.add(name, &mut file)
    }

    /// Adds what a reader gives, under a name.
    pub fn add(&mut self, name: &str, input: &mut impl Read) -> Result<()> {
        let to = place(&self.folder, name)?;
        if let Some(above) = to.parent() {
            std::fs::create_dir_all(above).map_err(io("make a folder of the backup", above))?;
        }
        let mut output = std::io::BufWriter::new(std::fs::File::create(&to).map_err(io("write", &to))?);
        let (mut bytes, mut number, mut chunk, mut next) = (0u64, 0u32, Vec::new(), Vec::new());
        fill(input, &mut chunk).map_err(io("read what becomes", &to))?;
        loop {
            fill(input, &mut next).map_err(io("read what becomes", &to))?;
            let is_last = next.is_empty();
            let sealed = if sabotage::is_out(44) {
                chunk.clone()
            } else {
                self.keys.of(name).seal(&self.keys.chunk_aad(name, number, is_last), &chunk)
            };
            bytes += chunk.len() as u64;
            let len = u32::try_from(sealed.len()).expect("a chunk is small").to_le_bytes();
            output.write_all(&len).and_then(|()| output.write_all(&sealed)).map_err(io("write", &to))?;
            if is_last {
                break;
            }
            std::mem::swap(&mut chunk, &mut next);
            number = number.checked_add(1).ok_or_else(|| io("write", &to)(std::io::Error::other("too large")))?;
        }
        output
            .into_inner()
            .map_err(|error| error.into_error())
            .and_then(|file| file.sync_all())
            .map_err(io("write", &to))?;
        self.header.push_str(&format!("file {bytes} {name}\n"));
        Ok(())
    }

    /// The header last: a folder without it is no backup.
    pub fn finish(mut self) -> Result<()> {
        let seal = self.keys.contents.seal(&header_aad(&self.header), b"");
        self.header.push_str(&format!("seal {}\n", hex(&seal)));
        write_whole(&self.folder.join(HEADER_FILE), self.header.as_bytes())
    }
}

/// Reads a chunk, whole where there is so much.
fn fill(input: &mut impl Read, chunk: &mut Vec<u8>) -> std::io::Result<()> {
    chunk.clear();
    input.by_ref().take(CHUNK as u64).read_to_end(chunk).map(drop)
}

fn header_aad(header: &str) -> Vec<u8> {
    let mut own = aad("backup header", &[FORMAT]);
    own.extend_from_slice(digest::digest(&digest::SHA256, header.as_bytes()).as_ref());
    own
}

impl BackupHead {
    /// Reads what a backup says of itself; only [`BackupHead::open`] shows that it is true.
    pub fn read(folder: &Path) -> Result<BackupHead> {
        let path = folder.join(HEADER_FILE);
        let file = std::fs::File::open(&path).map_err(io("read", &path))?;
        let mut text = String::new();
        file.take(HEADER_BYTES_MAX as u64).read_to_string(&mut text).map_err(io("read", &path))?;
        let format = text.strip_prefix(FIRST_LINE).and_then(|rest| rest.lines().next()?.parse::<u32>().ok());
        match format {
            Some(FORMAT) => {}
            Some(found) => return Err(Error::OtherBackupFormat { found, known: FORMAT }),
            None => return damaged(&path, "it is not the header of a backup"),
        }
        let wanted = || Some((*parse_hex(field(&text, "root")?)?, Cover::parse(field(&text, "cover")?).ok()?));
        let Some((id, cover)) = wanted() else { return damaged(&path, "it does not say which root key it takes") };
        Ok(BackupHead { folder: folder.to_owned(), wanted: Wanted { id, cover }, text })
    }

    /// Opens the backup. `apart` is the folder that was kept apart, with the backup keys in it.
    pub fn open(self, root: &RootKey, apart: &Path) -> Result<BackupReader> {
        let path = self.folder.join(HEADER_FILE);
        let root = root.seal_key();
        let (head, files) = match (self.text.find("\nfile "), self.text.rfind("\nseal ")) {
            (Some(files), Some(seal)) if files < seal => (&self.text[..=seal], &self.text[files + 1..=seal]),
            _ => return damaged(&path, "it names no files"),
        };
        let contents = field(&self.text, "contents").and_then(unhex);
        let seal = field(&self.text[head.len()..], "seal").and_then(unhex);
        let id = field(&self.text, "id").and_then(parse_hex::<8>);
        let (Some(contents), Some(seal), Some(id)) = (contents, seal, id) else {
            return damaged(&path, "its keys are missing");
        };
        let contents = unwrap(&root, "backup contents", &contents)?;
        if contents.open(&header_aad(head), &seal).is_err() {
            return damaged(&path, "it was changed after the backup was made");
        }
        let Some(name) = field(&self.text, "keys") else { return damaged(&path, "its keys are missing") };
        let key_path = place(&apart.join("backup-keys"), name)?;
        let wrapped = std::fs::read(&key_path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::BackupExpired { path: key_path.clone() },
            _ => io("read a backup key", &key_path)(source),
        })?;
        let keys = BackupKeys { id: *id, contents, keys: unwrap(&root, "backup key", &wrapped)? };
        let mut named = Vec::new();
        for line in files.lines() {
            let parsed = line.strip_prefix("file ").and_then(|rest| rest.split_once(' '));
            match parsed.map(|(bytes, name)| (name.to_owned(), bytes.parse().ok())) {
                Some((name, Some(bytes))) => named.push((name, bytes)),
                _ => return damaged(&path, "a line of it is not a file's"),
            }
        }
        Ok(BackupReader { folder: self.folder, keys, files: named })
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

impl BackupReader {
    /// Writes every file of the backup into a folder, under the name it had. Each is checked to its end.
    pub fn extract(&self, to: &Path) -> Result<()> {
        for (name, bytes) in &self.files {
            let (from, target) = (place(&self.folder, name)?, place(to, name)?);
            if let Some(above) = target.parent() {
                std::fs::create_dir_all(above).map_err(io("make a folder", above))?;
            }
            let mut input = std::io::BufReader::new(std::fs::File::open(&from).map_err(io("read", &from))?);
            let mut output = std::fs::File::create(&target).map_err(io("write", &target))?;
            let (mut written, mut number) = (0, 0u32);
            loop {
                let mut len = [0; 4];
                input.read_exact(&mut len).map_err(io("read", &from))?;
                let len = u32::from_le_bytes(len) as usize;
                if len > CHUNK + OVERHEAD {
                    return damaged(&from, "a piece of it is too long");
                }
                let mut sealed = vec![0; len];
                input.read_exact(&mut sealed).map_err(io("read", &from))?;
                let is_last = std::io::BufRead::fill_buf(&mut input).map_err(io("read", &from))?.is_empty();
                let key = self.keys.of(name);
                let Ok(chunk) = key.open(&self.keys.chunk_aad(name, number, is_last), &sealed) else {
                    return damaged(&from, "a piece of it does not open");
                };
                output.write_all(&chunk).map_err(io("write", &target))?;
                written += chunk.len() as u64;
                number = number.saturating_add(1);
                if is_last {
                    break;
                }
            }
            output.sync_all().map_err(io("write", &target))?;
            if written != *bytes {
                return damaged(&from, "it is not as long as the header says");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_US: i64 = 86_400_000_000;

    async fn backed_up(large: &[u8]) -> (tempfile::TempDir, PathBuf, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let (data, to) = (home.path().join("data"), home.path().join("backup"));
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("large"), large).unwrap();
        let vault = Vault::open(&crate::Site::in_folder(&data)).await.unwrap();
        let mut backup = vault.begin_backup(&data, &to, 10 * DAY_US).unwrap();
        let copies = home.path().join("copies");
        std::fs::create_dir(&copies).unwrap();
        vault.copy_databases(&copies).await.unwrap();
        for name in ["vault.db", KEYS_FILE] {
            backup.add_file(name, &copies.join(name)).unwrap();
        }
        backup.add_file("deep/large", &data.join("large")).unwrap();
        backup.add("empty", &mut std::io::empty()).unwrap();
        backup.finish().unwrap();
        (home, data, to)
    }

    fn restore(data: &Path, from: &Path, to: &Path) -> Result<()> {
        let head = BackupHead::read(from)?;
        let root = head.wanted.with_key_file(&data.join("root.key"))?;
        head.open(&root, &data.join("apart"))?.extract(to)
    }

    #[tokio::test]
    async fn what_is_backed_up_comes_back_and_is_unreadable_on_the_way() {
        let large: Vec<u8> = b"per_plaintext ".iter().copied().cycle().take(3 * CHUNK).collect();
        let (home, data, to) = backed_up(&large).await;
        let back = home.path().join("back");
        restore(&data, &to, &back).unwrap();
        assert_eq!(std::fs::read(back.join("deep/large")).unwrap(), large);
        assert_eq!(std::fs::read(back.join("empty")).unwrap(), b"");
        assert!(std::fs::read(back.join(KEYS_FILE)).unwrap().starts_with(b"SQLite format 3"));
        let stored = std::fs::read(to.join("deep/large")).unwrap();
        assert!(!stored.windows(13).any(|part| part == b"per_plaintext"));
    }

    #[tokio::test]
    async fn a_backup_that_was_changed_in_any_way_is_refused() {
        let (home, data, to) = backed_up(&[9; 2 * CHUNK + 5]).await;
        let file = to.join("deep/large");
        let (whole, header) = (std::fs::read(&file).unwrap(), std::fs::read_to_string(to.join(HEADER_FILE)).unwrap());
        let sealed = 4 + CHUNK + OVERHEAD;
        let swapped = [&whole[sealed..2 * sealed], &whole[..sealed], &whole[2 * sealed..]].concat();
        let mut flipped = whole.clone();
        flipped[sealed + 50] ^= 1;
        for changed in [&whole[..2 * sealed], &whole[..whole.len() - 1], &swapped, &flipped] {
            std::fs::write(&file, changed).unwrap();
            assert!(restore(&data, &to, &home.path().join("back")).is_err());
        }
        std::fs::write(&file, &whole).unwrap();
        restore(&data, &to, &home.path().join("back")).unwrap();
        for (old, new) in [("deep/large", "deep/larger"), ("made 1970", "made 1971"), ("backup 1", "backup 2")] {
            std::fs::write(to.join(HEADER_FILE), header.replace(old, new)).unwrap();
            assert!(restore(&data, &to, &home.path().join("back")).is_err(), "{new}");
        }
        let older = header.replace("backup 1", "backup 0");
        std::fs::write(to.join(HEADER_FILE), older).unwrap();
        assert!(matches!(BackupHead::read(&to), Err(Error::OtherBackupFormat { found: 0, known: 1 })));
    }

    #[tokio::test]
    async fn a_backup_dies_with_its_key_after_seven_days() {
        let (home, data, to) = backed_up(b"x").await;
        assert_eq!(expire_backup_keys(&data, 17 * DAY_US - 1_000_000).unwrap(), 0);
        restore(&data, &to, &home.path().join("back")).unwrap();
        assert_eq!(expire_backup_keys(&data, 17 * DAY_US).unwrap(), 1);
        let dead = restore(&data, &to, &home.path().join("again"));
        assert!(matches!(dead, Err(Error::BackupExpired { .. })));
        assert!(!home.path().join("again").exists());
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for name in ["../a", "/a", "a/../b", "a//b", "a\nfile 0 b", "", "a b"] {
            assert!(place(Path::new("/to"), name).is_err(), "{name:?}");
        }
        assert_eq!(place(Path::new("/to"), "lake/segments/p1/b0-1.parquet").unwrap().components().count(), 6);
    }
}
