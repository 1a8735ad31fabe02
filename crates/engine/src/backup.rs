//! Backups: a consistent copy while everything goes on, and back again.
//!
//! The order is that of durability backwards: events first, then the persons they name, then the keys, then the
//! ledger, so that what is in the copy finds what it needs there. A restore follows the list of destroyed keys to its
//! newest end before it opens anything, and the first start the list of erased persons: who was deleted or erased after
//! the backup stays so.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cofferdam_lake::Clock;
use cofferdam_ledger::{Entry, Kind};
use cofferdam_vault::{BackupHead, BackupWriter, KEYS_FILE, RootKey, Site, Vault};

use crate::{Engine, Error, Result, create_private, ledger, refused};

/// What a backup took.
pub struct BackupMade {
    pub files: usize,
    pub bytes: u64,
}

/// Copies of databases on their way into a backup; removed at the end, and at the next start after a crash.
const COPIES: &str = "backup.tmp";

fn io(what: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Store(cofferdam_lake::Error::Io { what, path: path.clone(), source })
}

/// Removes what a backup left that a crash cut short.
pub(crate) fn remove_leftovers(folder: &Path) -> Result<()> {
    let copies = folder.join(COPIES);
    match std::fs::remove_dir_all(&copies) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io("remove the copies of an unfinished backup", &copies)(error))
        }
        _ => Ok(()),
    }
}

impl Engine {
    /// Writes a backup into a new folder. Events acknowledged before are in it.
    pub async fn backup(&self, to: &Path) -> Result<BackupMade> {
        if to.exists() {
            return refused("backup_exists", "there is something at this place already", Some("name a new folder"));
        }
        self.vault.check_copies()?;
        // One at a time: the copies have one place.
        let _one = self.backing_up.lock().await;
        self.record(Kind::BackedUp, None, 0).await?;
        let result = self.write_backup(to).await;
        remove_leftovers(&self.folder)?;
        if result.is_err() {
            // What is there has no header and is no backup.
            let _ = std::fs::remove_dir_all(to);
        }
        result
    }

    async fn write_backup(&self, to: &Path) -> Result<BackupMade> {
        let copies = self.folder.join(COPIES);
        remove_leftovers(&self.folder)?;
        create_private(&copies).map_err(io("make a folder for copies", &copies))?;
        let held = self.lake.hold().await?;
        self.meta.copy_to(&copies.join("meta.db")).await?;
        self.desk.copy_to(&copies).await?;
        crate::incident::copy_keys(&self.folder, &copies)?;
        self.vault.copy_databases(&copies).await?;
        ledger::copy(&self.folder, &self.ledger, &copies).await?;
        let mut writer = self.vault.begin_backup(&self.folder, to, self.now_us())?;
        let written = tokio::task::spawn_blocking(move || {
            let mut made = BackupMade { files: 0, bytes: 0 };
            for (name, bytes) in &held.small {
                writer.add(&format!("lake/{name}"), &mut &bytes[..])?;
                (made.files, made.bytes) = (made.files + 1, made.bytes + bytes.len() as u64);
            }
            for (name, path, bytes) in &held.segments {
                writer.add_file(&format!("lake/{name}"), path)?;
                (made.files, made.bytes) = (made.files + 1, made.bytes + bytes);
            }
            add_folder(&mut writer, &copies, "", &mut made)?;
            writer.finish()?;
            Ok(made)
        });
        written.await.map_err(|_| Error::Interrupted)?
    }

    /// Destroys backup keys whose time is over, and with them the backups they made. Answers how many.
    pub fn expire_backup_keys(&self) -> Result<usize> {
        Ok(cofferdam_vault::expire_backup_keys(&self.folder, self.now_us())?)
    }
}

fn add_folder(writer: &mut BackupWriter, folder: &Path, above: &str, made: &mut BackupMade) -> Result<()> {
    let entries: std::io::Result<Vec<PathBuf>> =
        std::fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut entries = entries.map_err(io("list the copies", folder))?;
    entries.sort();
    for path in entries {
        let own = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = format!("{above}{own}");
        if path.is_dir() {
            add_folder(writer, &path, &format!("{name}/"), made)?;
        } else {
            writer.add_file(&name, &path)?;
            let bytes = std::fs::metadata(&path).map_err(io("read a copy", &path))?.len();
            (made.files, made.bytes) = (made.files + 1, made.bytes + bytes);
        }
    }
    Ok(())
}

/// Puts a backup back into a new folder. `apart` is the newest copy of the folder that is kept apart: the list of
/// destroyed keys and the backup keys.
///
/// # Errors
/// Nothing is at `folder` then.
pub async fn restore(
    head: BackupHead,
    folder: &Path,
    apart: &Path,
    root: RootKey,
    clock: Clock,
) -> Result<Vec<String>> {
    if folder.exists() && std::fs::read_dir(folder).map_err(io("list", folder))?.next().is_some() {
        return refused("folder_in_use", "there is something in the data's folder", Some("restore into a new folder"));
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = folder.with_file_name(format!("{name}.restoring"));
    let result = restore_beside(head, &beside, apart, root, clock).await;
    match result {
        Ok(wrong) => {
            if folder.exists() {
                std::fs::remove_dir(folder).map_err(io("replace", folder))?;
            }
            std::fs::rename(&beside, folder).map_err(io("put in place", folder))?;
            Ok(wrong)
        }
        Err(error) => {
            // What was put there opens to nobody else, and is of no use.
            let _ = std::fs::remove_dir_all(&beside);
            Err(error)
        }
    }
}

async fn restore_beside(
    head: BackupHead,
    folder: &Path,
    apart: &Path,
    root: RootKey,
    clock: Clock,
) -> Result<Vec<String>> {
    create_private(folder).map_err(io("make", folder))?;
    let reader = head.open(&root, apart)?;
    let to = folder.to_owned();
    tokio::task::spawn_blocking(move || reader.extract(&to)).await.map_err(|_| Error::Interrupted)??;
    copy_apart(apart, &folder.join("apart"))?;
    if !folder.join(KEYS_FILE).exists() {
        return refused("no_backup", "there are no keys in this backup", None);
    }
    // Follows the list of destroyed keys.
    let vault = Arc::new(Vault::unseal(&Site::in_folder(folder), root).await?);
    // What was ended since must not come back: sessions, tokens, invitations.
    crate::meta::Meta::open(&folder.join("meta.db")).await?.delete_sessions().await?;
    ledger::append(folder, &vault, clock, Entry::of(Kind::Restored)).await?;
    let verified = ledger::verify(folder, &vault)?;
    let (_, mut wrong) = cofferdam_lake::verify(&folder.join("lake")).await?;
    wrong.extend(verified.wrong.into_iter().map(|wrong| format!("ledger: {}", wrong.what)));
    Ok(wrong)
}

/// The list must be there: without it nobody knows who was deleted since.
fn copy_apart(from: &Path, to: &Path) -> Result<()> {
    create_private(&to.join("backup-keys")).map_err(io("make", to))?;
    let list = from.join("shreds.log");
    std::fs::copy(&list, to.join("shreds.log"))
        .map_err(io("copy the list of destroyed keys, without which deleted persons would come back,", &list))?;
    // The list of erased persons is there once somebody was.
    match std::fs::copy(from.join("erased.log"), to.join("erased.log")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(io("copy the list of erased persons", from)(error));
        }
        _ => {}
    }
    let keys = from.join("backup-keys");
    for entry in std::fs::read_dir(&keys).map_err(io("list the backup keys", &keys))? {
        let entry = entry.map_err(io("list the backup keys", &keys))?;
        std::fs::copy(entry.path(), to.join("backup-keys").join(entry.file_name()))
            .map_err(io("copy a backup key", &entry.path()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cofferdam_ledger::certificate::Certificate;
    use cofferdam_ledger::note::VerifierKey;
    use serde_json::json;

    use super::*;
    use crate::testing::{NOW_US, import, last_entries, open, shop};
    use crate::{ErasureReason, Project, Whom};

    async fn visit(engine: &Engine, project: &Arc<Project>, id: &str) {
        let events: Vec<serde_json::Value> = (0..3)
            .map(|at| {
                json!({"event": "Visit", "properties": {"time": NOW_US / 1_000_000 - at, "distinct_id": id,
                    "$insert_id": format!("{id}-{at}"), "email": format!("{id}@b.io")}})
            })
            .collect();
        import(engine, project, &events).await;
    }

    async fn persons(engine: &Engine, project: &Arc<Project>) -> (u64, u64) {
        let status = engine.status(project).await.unwrap();
        (status.events, status.persons)
    }

    async fn erase(engine: &Engine, project: &Arc<Project>, id: &str) -> String {
        let whom = Whom { persons: Vec::new(), ids: vec![id.to_owned()] };
        let made = engine.erase_all(engine.acting(Some(1)), project, &whom, ErasureReason::Request).await.unwrap();
        engine.certificate(project, made.erasure.id).await.unwrap()
    }

    #[tokio::test]
    async fn who_was_erased_after_a_backup_is_erased_again_when_it_is_put_back_and_nobody_else() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        let engine = open(&at("data")).await;
        let project = shop(&engine).await;
        for id in ["ada", "bea", "cleo"] {
            visit(&engine, &project, id).await;
        }
        engine.backup(&at("backup")).await.unwrap();
        let first = erase(&engine, &project, "bea").await;
        // Somebody the backup does not know: their number will be another's in what is restored.
        visit(&engine, &project, "dora").await;
        erase(&engine, &project, "dora").await;
        assert_eq!(persons(&engine, &project).await, (6, 2));
        drop((engine, project));

        let head = BackupHead::read(&at("backup")).unwrap();
        let root = head.wanted.with_key_file(&at("data").join("root.key")).unwrap();
        let restored = at("restored");
        let wrong = restore(head, &restored, &at("data").join("apart"), root, Arc::new(|| NOW_US)).await.unwrap();
        assert_eq!(wrong, Vec::<String>::new());
        std::fs::copy(at("data").join("root.key"), restored.join("root.key")).unwrap();

        let engine = open(&restored).await;
        let project = engine.project(cofferdam_model::ProjectId(1)).unwrap();
        assert_eq!(persons(&engine, &project).await, (6, 2), "bea is erased again");
        let (known, _) = engine.vault.known_persons(project.id, &["bea".to_owned()]).await.unwrap();
        assert!(known.is_empty() && engine.vault.find_by_mail(project.org, "bea@b.io").await.unwrap().is_empty());
        let erasures = engine.erasures(&project).await.unwrap();
        assert!(erasures.len() == 1 && erasures[0].is_done && erasures[0].statement.contains("again: "));
        assert!(erasures[0].statement.contains("hidden: 3 events"), "{:?}", erasures[0]);
        let kinds: Vec<Kind> = last_entries(&engine, 2).into_iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, [Kind::Shredded, Kind::Erased]);
        // Both certificates stand: the one from before, and the one of what was done again.
        let key = VerifierKey::parse(&engine.ledger_key()).unwrap();
        let second = engine.certificate(&project, erasures[0].id).await.unwrap();
        for text in [first, second] {
            Certificate::parse(&text).unwrap().verify(&key).unwrap();
        }

        visit(&engine, &project, "eve").await;
        visit(&engine, &project, "fay").await;
        drop((engine, project));
        let engine = open(&restored).await;
        let project = engine.project(cofferdam_model::ProjectId(1)).unwrap();
        assert_eq!(persons(&engine, &project).await, (12, 4), "dora's number is eve's now, who was never erased");
        assert_eq!(engine.erasures(&project).await.unwrap().len(), 1);
    }
}
