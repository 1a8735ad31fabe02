//! Changing keys, sealing an organisation, and deletions that outlive a restore: through the vault's own door.

use super::*;
use crate::wire::{Door, IdentityMode, ProfileKind, Record};
use crate::{Vault, Way, wire};
use serde_json::json;

const FIRST: ProjectId = ProjectId(1);
const SECOND: ProjectId = ProjectId(2);

fn root_file(folder: &Path) -> std::path::PathBuf {
    folder.join("root.key")
}

async fn open(folder: &Path) -> Result<Vault> {
    Vault::open(folder, &root_file(folder)).await
}

/// Two organisations with a project each.
async fn fresh(folder: &Path) -> Vault {
    let vault = open(folder).await.unwrap();
    vault.create_project(OrgId(1), FIRST).await.unwrap();
    vault.create_project(OrgId(2), SECOND).await.unwrap();
    vault
}

async fn seal(vault: &Vault, project: ProjectId, email: &str) -> Result<SubjectNo> {
    let body = json!({"event": "e", "properties": {"$user_id": "u", "email": email, "plan": "pro"}}).to_string();
    let Ok(sent) = wire::read_events(body.as_bytes()).unwrap().remove(0).read else { panic!("an event") };
    let valid = wire::validate(sent, Door::Track, IdentityMode::Simplified, 0);
    let Ok(Record::Event(event)) = valid else { panic!("a valid event") };
    Ok(vault.seal(project, vec![event], 0).await?.events.remove(0).subject)
}

async fn delete(vault: &Vault, project: ProjectId) -> u64 {
    let serde_json::Value::Object(update) = json!({"$distinct_id": "u", "$delete": ""}) else { panic!("an object") };
    let update = wire::validate_update(update, ProfileKind::Person, IdentityMode::Simplified, 0);
    let Ok(Some(update)) = update else { panic!("an update") };
    vault.update_profiles(project, vec![update]).await.unwrap().1
}

/// The names of what is sealed of somebody.
async fn sealed(vault: &Vault, project: ProjectId, subject: SubjectNo) -> Result<Vec<String>> {
    let view = vault.profiles(project, &[subject]).await?.remove(&subject);
    Ok(view.map(|view| view.sealed.into_iter().map(|(name, _)| name).collect()).unwrap_or_default())
}

#[tokio::test]
async fn a_new_root_key_opens_everything_and_the_old_one_nothing() {
    let home = tempfile::tempdir().unwrap();
    let vault = fresh(home.path()).await;
    let subject = seal(&vault, FIRST, "a@b.io").await.unwrap();
    let secret = vault.seal_secret("totp", 1, b"seed");
    let old_file = std::fs::read(root_file(home.path())).unwrap();
    let words = "one long passphrase that nobody guesses";
    let shares = vault.rekey(home.path(), &root_file(home.path()), Way::Passphrase(words.to_owned().into())).await;
    assert!(shares.unwrap().is_empty());
    assert!(!root_file(home.path()).exists(), "the old key is not left lying about");

    let Err(Error::RootNeeded(wanted)) = open(home.path()).await else { panic!("it opened without its key") };
    let root = wanted.with_passphrase(words).unwrap();
    let vault = Vault::unseal(home.path(), &root_file(home.path()), root).await.unwrap();
    assert_eq!(sealed(&vault, FIRST, subject).await.unwrap(), ["email"]);
    assert_eq!(&**vault.open_secret("totp", 1, &secret).unwrap(), b"seed");
    vault.rekey(home.path(), &root_file(home.path()), Way::KeyFile).await.unwrap();
    let vault = open(home.path()).await.unwrap();
    assert_eq!(sealed(&vault, FIRST, subject).await.unwrap(), ["email"]);
    drop(vault);
    std::fs::write(root_file(home.path()), old_file).unwrap();
    assert!(matches!(open(home.path()).await, Err(Error::WrongRootKey)));
}

/// The keys are wrapped anew, and the new key file has not got its name yet.
#[tokio::test]
async fn a_change_of_the_key_file_that_was_cut_short_is_finished() {
    let home = tempfile::tempdir().unwrap();
    let file = root_file(home.path());
    let vault = fresh(home.path()).await;
    let old = std::fs::read(&file).unwrap();
    vault.rekey(home.path(), &file, Way::KeyFile).await.unwrap();
    std::fs::rename(&file, home.path().join("root.key.next")).unwrap();
    std::fs::write(&file, old).unwrap();
    open(home.path()).await.unwrap();
    assert!(!home.path().join("root.key.next").exists());
    open(home.path()).await.unwrap();
}

#[tokio::test]
async fn a_new_organisation_key_leaves_every_value_where_it_is() {
    let home = tempfile::tempdir().unwrap();
    let vault = fresh(home.path()).await;
    let (subject, other) =
        (seal(&vault, FIRST, "a@b.io").await.unwrap(), seal(&vault, SECOND, "c@d.io").await.unwrap());
    let wrapped = || async {
        let rows = sqlx::query("SELECT wrapped FROM subjects ORDER BY project").fetch_all(&vault.keys.database.pool);
        let rows = rows.await.unwrap();
        rows.iter().map(|row| row.try_get::<Vec<u8>, _>(0).unwrap()).collect::<Vec<_>>()
    };
    let before = wrapped().await;
    assert_eq!(vault.rotate_organisation(OrgId(1)).await.unwrap(), 1);
    let after = wrapped().await;
    assert!(before[0] != after[0] && before[1] == after[1], "only this organisation's");
    assert_eq!(seal(&vault, FIRST, "new@b.io").await.unwrap(), subject, "pseudonyms stay");
    assert_eq!(sealed(&vault, FIRST, subject).await.unwrap(), ["email"]);
    drop(vault);
    let vault = open(home.path()).await.unwrap();
    assert_eq!(sealed(&vault, FIRST, subject).await.unwrap(), ["email"]);
    assert_eq!(sealed(&vault, SECOND, other).await.unwrap(), ["email"]);
    assert!(matches!(vault.rotate_organisation(OrgId(9)).await, Err(Error::UnknownOrganisation(OrgId(9)))));
}

#[tokio::test]
async fn a_sealed_organisation_stays_shut_over_a_restart_while_others_go_on() {
    let home = tempfile::tempdir().unwrap();
    let vault = fresh(home.path()).await;
    let subject = seal(&vault, FIRST, "a@b.io").await.unwrap();
    vault.people(FIRST, &[], &["plan"]).await.unwrap();
    let keys = Arc::downgrade(&vault.keys.project(FIRST).unwrap());
    assert_eq!(vault.seal_organisation(OrgId(1)).await.unwrap(), [FIRST]);
    assert!(keys.upgrade().is_none(), "its keys are no longer in memory");
    for vault in [vault, open(home.path()).await.unwrap()] {
        assert!(matches!(seal(&vault, FIRST, "x@y.io").await, Err(Error::OrganisationSealed(OrgId(1)))));
        assert!(matches!(sealed(&vault, FIRST, subject).await, Err(Error::OrganisationSealed(_))));
        assert!(vault.people(FIRST, &[], &["plan"]).await.is_err(), "nothing is answered from memory");
        assert!(matches!(vault.create_project(OrgId(1), ProjectId(3)).await, Err(Error::OrganisationSealed(_))));
        assert!(matches!(vault.rotate_organisation(OrgId(1)).await, Err(Error::OrganisationSealed(_))));
        seal(&vault, SECOND, "c@d.io").await.unwrap();
        assert_eq!(vault.log_keys().len(), 2, "acknowledged events stay readable");
    }
    let vault = open(home.path()).await.unwrap();
    vault.unseal_organisation(OrgId(1)).await.unwrap();
    assert_eq!(sealed(&vault, FIRST, subject).await.unwrap(), ["email"]);
}

#[tokio::test]
async fn who_was_deleted_stays_deleted_when_older_keys_are_put_back() {
    let home = tempfile::tempdir().unwrap();
    let vault = fresh(home.path()).await;
    let subject = seal(&vault, FIRST, "a@b.io").await.unwrap();
    let older = home.path().join("older");
    std::fs::create_dir(&older).unwrap();
    vault.copy_databases(&older).await.unwrap();
    assert_eq!(delete(&vault, FIRST).await, 1);
    // Somebody who comes back has a new key, which the list does not name.
    assert_eq!(seal(&vault, FIRST, "again@b.io").await.unwrap(), subject);
    drop(vault);
    let vault = open(home.path()).await.unwrap();
    assert_eq!(sealed(&vault, FIRST, subject).await.unwrap(), ["email"]);
    let newer = home.path().join("newer");
    std::fs::create_dir(&newer).unwrap();
    vault.copy_databases(&newer).await.unwrap();
    vault.keys.database.pool.close().await;
    drop(vault);

    let put_back = |from: &Path| {
        for name in ["keys.db", "vault.db"] {
            for end in ["-wal", "-shm"] {
                let _ = std::fs::remove_file(home.path().join(format!("{name}{end}")));
            }
            std::fs::copy(from.join(name), home.path().join(name)).unwrap();
        }
    };
    put_back(&older);
    let vault = open(home.path()).await.unwrap();
    assert_eq!(sealed(&vault, FIRST, subject).await.unwrap(), [""; 0], "the key came back with the backup");
    vault.keys.database.pool.close().await;
    drop(vault);
    put_back(&newer);
    let list = home.path().join("apart/shreds.log");
    let whole = std::fs::read(&list).unwrap();
    std::fs::write(&list, b"").unwrap();
    assert!(matches!(open(home.path()).await, Err(Error::ShredsMissing { found: 0, followed: 1, .. })));
    std::fs::write(&list, &whole).unwrap();
    open(home.path()).await.unwrap();
    // A record that nobody with the keys wrote.
    std::fs::write(&list, [&whole[..], &whole[..]].concat()).unwrap();
    assert!(matches!(open(home.path()).await, Err(Error::ShredsDamaged { place: 1, .. })));
}

#[tokio::test]
async fn keys_of_another_format_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let vault = fresh(home.path()).await;
    for found in [FORMAT - 1, FORMAT + 1] {
        sqlx::query("UPDATE installation SET format = $1")
            .bind(found)
            .execute(&vault.keys.database.pool)
            .await
            .unwrap();
        assert!(matches!(open(home.path()).await, Err(Error::OtherKeysFormat { found: told, .. }) if told == found));
    }
}
