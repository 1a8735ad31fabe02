//! Changing keys, sealing an organisation, and deletions that outlive a restore: through the vault's own door.

use std::path::Path;

use super::*;
use crate::testing::{Home, on_each, on_sqlite};
use crate::wire::{Door, IdentityMode, ProfileKind, Record};
use crate::{Arrival, Vault, Way, wire};
use serde_json::json;

on_each!(
    a_new_root_key_opens_everything_and_the_old_one_nothing,
    a_change_of_the_key_file_that_was_cut_short_is_finished,
    a_new_organisation_key_leaves_every_value_where_it_is,
    a_sealed_organisation_stays_shut_over_a_restart_while_others_go_on,
    keys_are_made_once,
);

const FIRST: ProjectId = ProjectId(1);
const SECOND: ProjectId = ProjectId(2);

/// Two organisations with a project each.
async fn fresh(home: &Home) -> Vault {
    let vault = Vault::open(&home.site).await.unwrap();
    vault.create_project(OrgId(1), FIRST).await.unwrap();
    vault.create_project(OrgId(2), SECOND).await.unwrap();
    vault
}

async fn seal(vault: &Vault, project: ProjectId, email: &str) -> Result<SubjectNo> {
    let body = json!({"event": "e", "properties": {"$user_id": "u", "email": email, "plan": "pro"}}).to_string();
    let Ok(sent) = wire::read_events(body.as_bytes()).unwrap().remove(0).read else { panic!("an event") };
    let valid = wire::validate(sent, Door::Track, IdentityMode::Simplified, 0);
    let Ok(Record::Event(event)) = valid else { panic!("a valid event") };
    Ok(vault.seal(project, vec![event], Arrival::default(), 0).await?.events.remove(0).subject)
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

async fn a_new_root_key_opens_everything_and_the_old_one_nothing(home: Home) {
    let vault = fresh(&home).await;
    let subject = seal(&vault, FIRST, "a@b.io").await.unwrap();
    let secret = vault.seal_secret("totp", 1, b"seed");
    let old_file = std::fs::read(home.site.root_file()).unwrap();
    let words = "one long passphrase that nobody guesses";
    let shares = vault.rekey(&home.site, Way::Passphrase(words.to_owned().into())).await;
    assert!(shares.unwrap().is_empty());
    assert!(!home.site.root_file().exists(), "the old key is not left lying about");

    let Err(Error::RootNeeded(wanted)) = Vault::open(&home.site).await else { panic!("it opened without its key") };
    let root = wanted.with_passphrase(words).unwrap();
    let vault = Vault::unseal(&home.site, root).await.unwrap();
    assert_eq!(sealed(&vault, FIRST, subject).await.unwrap(), ["email"]);
    assert_eq!(&**vault.open_secret("totp", 1, &secret).unwrap(), b"seed");
    vault.rekey(&home.site, Way::KeyFile).await.unwrap();
    let vault = Vault::open(&home.site).await.unwrap();
    assert_eq!(sealed(&vault, FIRST, subject).await.unwrap(), ["email"]);
    drop(vault);
    std::fs::write(home.site.root_file(), old_file).unwrap();
    assert!(matches!(Vault::open(&home.site).await, Err(Error::WrongRootKey)));
}

/// The keys are wrapped anew, and the new key file has not got its name yet.
async fn a_change_of_the_key_file_that_was_cut_short_is_finished(home: Home) {
    let file = home.site.root_file();
    let vault = fresh(&home).await;
    let old = std::fs::read(&file).unwrap();
    vault.rekey(&home.site, Way::KeyFile).await.unwrap();
    std::fs::rename(&file, home.folder().join("root.key.next")).unwrap();
    std::fs::write(&file, old).unwrap();
    Vault::open(&home.site).await.unwrap();
    assert!(!home.folder().join("root.key.next").exists());
    Vault::open(&home.site).await.unwrap();
}

async fn a_new_organisation_key_leaves_every_value_where_it_is(home: Home) {
    let vault = fresh(&home).await;
    let (subject, other) =
        (seal(&vault, FIRST, "a@b.io").await.unwrap(), seal(&vault, SECOND, "c@d.io").await.unwrap());
    let wrapped = || async {
        let rows = vault.keys.database.rows("SELECT wrapped FROM subjects ORDER BY project", &[]).await.unwrap();
        rows.iter().map(|row| row.bytes(0).unwrap().to_vec()).collect::<Vec<_>>()
    };
    let before = wrapped().await;
    assert_eq!(vault.rotate_organisation(OrgId(1)).await.unwrap(), 1);
    let after = wrapped().await;
    assert!(before[0] != after[0] && before[1] == after[1], "only this organisation's");
    assert_eq!(seal(&vault, FIRST, "new@b.io").await.unwrap(), subject, "pseudonyms stay");
    assert_eq!(sealed(&vault, FIRST, subject).await.unwrap(), ["email"]);
    drop(vault);
    let vault = Vault::open(&home.site).await.unwrap();
    assert_eq!(sealed(&vault, FIRST, subject).await.unwrap(), ["email"]);
    assert_eq!(sealed(&vault, SECOND, other).await.unwrap(), ["email"]);
    assert!(matches!(vault.rotate_organisation(OrgId(9)).await, Err(Error::UnknownOrganisation(OrgId(9)))));
}

async fn a_sealed_organisation_stays_shut_over_a_restart_while_others_go_on(home: Home) {
    let vault = fresh(&home).await;
    let subject = seal(&vault, FIRST, "a@b.io").await.unwrap();
    vault.people(FIRST, &[], &["plan"]).await.unwrap();
    let keys = Arc::downgrade(&vault.keys.project(FIRST).unwrap());
    assert_eq!(vault.seal_organisation(OrgId(1)).await.unwrap(), [FIRST]);
    assert!(keys.upgrade().is_none(), "its keys are no longer in memory");
    let mut vault = vault;
    for _restarted in 0..2 {
        assert!(matches!(seal(&vault, FIRST, "x@y.io").await, Err(Error::OrganisationSealed(OrgId(1)))));
        assert!(matches!(sealed(&vault, FIRST, subject).await, Err(Error::OrganisationSealed(_))));
        assert!(vault.people(FIRST, &[], &["plan"]).await.is_err(), "nothing is answered from memory");
        assert!(matches!(vault.create_project(OrgId(1), ProjectId(3)).await, Err(Error::OrganisationSealed(_))));
        assert!(matches!(vault.rotate_organisation(OrgId(1)).await, Err(Error::OrganisationSealed(_))));
        seal(&vault, SECOND, "c@d.io").await.unwrap();
        assert_eq!(vault.log_keys().len(), 2, "acknowledged events stay readable");
        drop(vault);
        vault = Vault::open(&home.site).await.unwrap();
    }
    vault.unseal_organisation(OrgId(1)).await.unwrap();
    assert_eq!(sealed(&vault, FIRST, subject).await.unwrap(), ["email"]);
}

#[tokio::test]
async fn who_was_deleted_stays_deleted_when_older_keys_are_put_back() {
    let home = on_sqlite().unwrap();
    let vault = fresh(&home).await;
    let subject = seal(&vault, FIRST, "a@b.io").await.unwrap();
    let older = home.folder().join("older");
    std::fs::create_dir(&older).unwrap();
    vault.copy_databases(&older).await.unwrap();
    assert_eq!(delete(&vault, FIRST).await, 1);
    // Somebody who comes back has a new key, which the list does not name.
    assert_eq!(seal(&vault, FIRST, "again@b.io").await.unwrap(), subject);
    drop(vault);
    let vault = Vault::open(&home.site).await.unwrap();
    assert_eq!(sealed(&vault, FIRST, subject).await.unwrap(), ["email"]);
    let newer = home.folder().join("newer");
    std::fs::create_dir(&newer).unwrap();
    vault.copy_databases(&newer).await.unwrap();
    vault.keys.database.close().await.unwrap();
    drop(vault);

    let put_back = |from: &Path| {
        for name in ["keys.db", "vault.db"] {
            for end in ["-wal", "-shm"] {
                let _ = std::fs::remove_file(home.folder().join(format!("{name}{end}")));
            }
            std::fs::copy(from.join(name), home.folder().join(name)).unwrap();
        }
    };
    put_back(&older);
    let vault = Vault::open(&home.site).await.unwrap();
    assert_eq!(sealed(&vault, FIRST, subject).await.unwrap(), [""; 0], "the key came back with the backup");
    vault.keys.database.close().await.unwrap();
    drop(vault);
    put_back(&newer);
    let list = home.folder().join("apart/shreds.log");
    let whole = std::fs::read(&list).unwrap();
    std::fs::write(&list, b"").unwrap();
    assert!(matches!(Vault::open(&home.site).await, Err(Error::ApartMissing { found: 0, followed: 1, .. })));
    std::fs::write(&list, &whole).unwrap();
    Vault::open(&home.site).await.unwrap();
    // A record that nobody with the keys wrote.
    std::fs::write(&list, [&whole[..], &whole[..]].concat()).unwrap();
    assert!(matches!(Vault::open(&home.site).await, Err(Error::ApartDamaged { place: 1, .. })));
}

async fn keys_are_made_once(home: Home) {
    assert!(Vault::wanted(&home.site).await.unwrap().is_none());
    Vault::init(&home.site, Way::KeyFile).await.unwrap();
    let made = std::fs::read(home.site.root_file()).unwrap();
    assert!(matches!(Vault::init(&home.site, Way::KeyFile).await, Err(Error::KeysExist)));
    assert_eq!(std::fs::read(home.site.root_file()).unwrap(), made, "the key that opens them stays");
    let vault = fresh(&home).await;
    // Also while somebody has the right to write.
    assert!(Vault::wanted(&home.site).await.unwrap().is_some());
    drop(vault);
}
