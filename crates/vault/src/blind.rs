//! The blind index: who has this e-mail address or telephone number, answered without opening a record.
//!
//! An address is brought to one spelling and hashed under a key of its organisation; only the hash is kept. It follows
//! the sealed records: an address goes in with the transaction that seals it into a profile or gives a number to the
//! id it is, and out when the profile loses it or the person is deleted.
//!
//! Invariants:
//! - The key is random and wrapped by the organisation's: without it the index says nothing, and the same address in
//!   two organisations has two unrelated hashes.
//! - Spelling never guesses: no folding of dots or of what follows a plus, since those are other mailboxes.

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use cofferdam_model::{OrgId, ProjectId, SubjectNo, limits};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::database::{Bind, Database, Write};
use crate::keys::{ProjectKeys, SealKey, aad};
use crate::seal::{key_id, random};
use crate::{Error, Result};

const SCHEMA: &str = "
CREATE TABLE blind (
    hash BLOB NOT NULL,
    project INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    source INTEGER NOT NULL,
    PRIMARY KEY (hash, project, subject, source)
) STRICT, WITHOUT ROWID;
CREATE INDEX blind_by_subject ON blind (project, subject);
";

/// Beside the other keys: it goes with its organisation's.
const KEYS: &str = "
CREATE TABLE blind_keys (
    org INTEGER PRIMARY KEY,
    wrapped BLOB NOT NULL
) STRICT;
";

/// Where an address was found; a profile that loses one does not take it from the id that it also is.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    Id = 0,
    Profile = 1,
}

/// What is hashed: a word for the kind of address, NUL, and its one spelling.
#[derive(PartialEq, Eq)]
pub(crate) struct Address(Zeroizing<String>);

impl Ord for Address {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_str().cmp(other.0.as_str())
    }
}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Address {
    /// An e-mail address in its one spelling: NFKC, lower case, the domain as IDNA2008 has it, quotes only where the
    /// part before the @ needs them. `None` when it is none.
    pub(crate) fn mail(text: &str) -> Option<Address> {
        if text.len() > limits::MAIL_BYTES_MAX || !text.contains(['@', '\u{ff20}', '\u{fe6b}']) {
            return None;
        }
        let text = Zeroizing::new(text.nfkc().collect::<String>());
        let (local, domain) = text.trim().rsplit_once('@')?;
        let lower = |text: &str| text.to_lowercase().nfkc().collect::<String>();
        let local = Zeroizing::new(lower(local));
        let quoted = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let local = match quoted {
            Some(inner) if is_dot_atom(inner) => inner,
            Some(inner) if !inner.is_empty() => local.as_str(),
            None if is_dot_atom(&local) => local.as_str(),
            _ => return None,
        };
        let domain = idna::domain_to_ascii(domain.strip_suffix('.').unwrap_or(domain)).ok()?;
        let is_host = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !domain.split('.').all(is_host) {
            return None;
        }
        Some(Address(Zeroizing::new(format!("mail\0{local}@{domain}"))))
    }

    /// A telephone number with its country code, as E.164 has it. Without one it is nobody's in particular.
    pub(crate) fn phone(text: &str) -> Option<Address> {
        if text.len() > limits::PHONE_BYTES_MAX {
            return None;
        }
        let text: Zeroizing<String> = Zeroizing::new(
            text.nfkc()
                .filter(|letter| !letter.is_whitespace() && !"-.()/\u{2010}\u{2011}\u{2013}".contains(*letter))
                .collect(),
        );
        let digits = text.strip_prefix('+').or_else(|| text.strip_prefix("00"))?;
        let is_number = (8..=15).contains(&digits.len())
            && digits.bytes().all(|digit| digit.is_ascii_digit())
            && !digits.starts_with('0');
        is_number.then(|| Address(Zeroizing::new(format!("tel\0+{digits}"))))
    }

    /// The addresses in a personal value: it may be one, a list of some, or a text with some in it.
    pub(crate) fn all_in(value: &serde_json::Value, found: &mut BTreeSet<Address>) {
        match value {
            serde_json::Value::String(text) => {
                found.extend(Address::phone(text));
                match Address::mail(text) {
                    Some(mail) => drop(found.insert(mail)),
                    None => {
                        let words =
                            text.split(|letter: char| letter.is_whitespace() || "<>()[],;:\"'".contains(letter));
                        found.extend(words.filter_map(|word| Address::mail(word.trim_end_matches('.'))));
                    }
                }
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| Address::all_in(item, found)),
            serde_json::Value::Object(entries) => entries.values().for_each(|item| Address::all_in(item, found)),
            _ => {}
        }
        while found.len() > limits::PROFILE_ADDRESSES_MAX {
            found.pop_last();
        }
    }

    #[cfg(test)]
    fn spelling(&self) -> String {
        self.0.replace('\0', " ")
    }
}

/// What may stand before the @ without quotes.
fn is_dot_atom(text: &str) -> bool {
    let is_atom = |letter: char| !letter.is_whitespace() && !letter.is_control() && !"\"(),:;<>@[\\]".contains(letter);
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom))
}

pub(crate) type Hash = [u8; 16];

pub(crate) struct BlindIndex {
    database: Database,
    /// Where the keys are kept, wrapped.
    keys: Database,
}

impl BlindIndex {
    pub(crate) async fn open(database: Database, keys: Database) -> Result<BlindIndex> {
        database.migrate("blind", &[SCHEMA]).await?;
        keys.migrate("blind_keys", &[KEYS]).await?;
        Ok(BlindIndex { database, keys })
    }

    /// The organisation's key, made when it has none.
    async fn key(&self, keys: &ProjectKeys) -> Result<hmac::Key> {
        let org = keys.org;
        if let Some(key) = keys.blind.get() {
            return Ok(key.clone());
        }
        let aad = aad("blind", &[org.0]);
        let mut write = self.keys.write().await?;
        let bytes = match write.row("SELECT wrapped FROM blind_keys WHERE org = $1", &[org.0.into()]).await? {
            Some(row) => keys.wrapping.open(&aad, row.bytes(0)?)?,
            None => {
                // The organisation's key may have been changed since it was taken out: nothing is wrapped with an old one.
                let sql = "SELECT wrapped FROM projects WHERE org = $1 LIMIT 1";
                let project = write.row(sql, &[org.0.into()]).await?.ok_or(Error::UnknownOrganisation(org))?;
                if key_id(project.bytes(0)?) != Some(keys.wrapping.id()) {
                    return Err(Error::OtherKey);
                }
                let bytes = Zeroizing::new(random::<32>().to_vec());
                let wrapped = keys.wrapping.seal(&aad, &bytes);
                let sql = "INSERT INTO blind_keys (org, wrapped) VALUES ($1, $2)";
                write.execute(sql, &[org.0.into(), (&wrapped).into()]).await?;
                bytes
            }
        };
        write.commit().await?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        Ok(keys.blind.get_or_init(|| key).clone())
    }

    /// Wraps an organisation's key anew, in the transaction that changes what wraps it.
    pub(crate) async fn rewrap(write: &mut Write, org: OrgId, old: &SealKey, new: &SealKey) -> Result<()> {
        let row = write.row("SELECT wrapped FROM blind_keys WHERE org = $1", &[org.0.into()]).await?;
        let Some(row) = row else { return Ok(()) };
        let aad = aad("blind", &[org.0]);
        let wrapped = new.seal(&aad, &old.open(&aad, row.bytes(0)?)?);
        write.execute("UPDATE blind_keys SET wrapped = $1 WHERE org = $2", &[(&wrapped).into(), org.0.into()]).await?;
        Ok(())
    }

    pub(crate) async fn hashes(&self, keys: &ProjectKeys, addresses: &BTreeSet<Address>) -> Result<Vec<Hash>> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.key(keys).await?;
        let hash = |address: &Address| {
            *hmac::sign(&key, address.0.as_bytes()).as_ref().first_chunk().expect("SHA-256 has 32 bytes")
        };
        Ok(addresses.iter().map(hash).collect())
    }

    /// Adds addresses of subjects, in the transaction that makes them theirs.
    pub(crate) async fn add(
        write: &mut Write,
        project: ProjectId,
        source: Source,
        entries: &[(SubjectNo, Hash)],
    ) -> Result<()> {
        let source = i64::from(source as u8);
        let values: Vec<Bind<'_>> = entries
            .iter()
            .flat_map(|(subject, hash)| [hash.into(), project.into(), (*subject).into(), source.into()])
            .collect();
        write.insert("INSERT INTO blind (hash, project, subject, source)", 4, &values, "ON CONFLICT DO NOTHING").await
    }

    /// Takes away what profiles added; the profiles about to be written add again what they have.
    pub(crate) async fn clear_profiles(write: &mut Write, project: ProjectId, subjects: &[SubjectNo]) -> Result<()> {
        let fixed = [project.into(), i64::from(Source::Profile as u8).into()];
        let list = subjects.iter().map(|subject| (*subject).into());
        write.execute_in("DELETE FROM blind WHERE project = $1 AND source = $2 AND subject IN", &fixed, list).await
    }

    /// Takes away all addresses of subjects.
    pub(crate) async fn remove(write: &mut Write, project: ProjectId, subjects: &BTreeSet<SubjectNo>) -> Result<()> {
        let list = subjects.iter().map(|subject| (*subject).into());
        write.execute_in("DELETE FROM blind WHERE project = $1 AND subject IN", &[project.into()], list).await
    }

    /// Who of an organisation has this address: at most so many that a person can look at.
    pub(crate) async fn find(&self, keys: &ProjectKeys, address: Address) -> Result<Vec<(ProjectId, SubjectNo)>> {
        let [hash] = self.hashes(keys, &BTreeSet::from([address])).await?[..] else { return Err(Error::CannotOpen) };
        let sql = "SELECT DISTINCT project, subject FROM blind WHERE hash = $1 ORDER BY project, subject LIMIT $2";
        let limit = limits::ADDRESS_SUBJECTS_MAX as i64;
        let rows = self.database.rows(sql, &[(&hash).into(), limit.into()]).await?;
        rows.iter().map(|row| Ok((ProjectId(row.number(0)?), SubjectNo(row.number(1)?)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_the_spelling_that_the_vectors_say() {
        let mut checked = 0;
        for line in include_str!("../tests/vectors/addresses.txt").lines() {
            let Some((kind, rest)) = line.split_once(' ').filter(|(kind, _)| *kind != "#") else { continue };
            let (text, expected) = rest.split_once(" => ").expect("a line has => in it");
            // As JSON, so that blanks and escapes can be seen.
            let text: String = serde_json::from_str(text).expect("a JSON text");
            let address = match kind {
                "mail" => Address::mail(&text),
                "tel" => Address::phone(&text),
                other => panic!("{other} is no kind of address"),
            };
            let found = address.map_or("none".to_owned(), |address| address.spelling());
            let found = found.strip_prefix(kind).map_or(found.as_str(), str::trim_start);
            assert_eq!(found, expected, "{line}");
            if expected != "none" && kind == "mail" {
                assert!(
                    Address::mail(found).is_some_and(|again| again.spelling() == format!("mail {found}")),
                    "{line}"
                );
            }
            checked += 1;
        }
        assert!(checked > 40, "{checked}");
    }

    #[test]
    fn no_value_has_more_addresses_than_the_limit() {
        let many: Vec<String> = (0..limits::PROFILE_ADDRESSES_MAX + 50).map(|at| format!("a{at}@b.io")).collect();
        let mut found = BTreeSet::new();
        Address::all_in(&serde_json::json!({"deep": [many.join(", ")]}), &mut found);
        assert_eq!(found.len(), limits::PROFILE_ADDRESSES_MAX);
        let mut found = BTreeSet::new();
        Address::all_in(&serde_json::json!("ask Ada <Ada@B.io>, or +34 612 345 678."), &mut found);
        assert_eq!(found.iter().map(Address::spelling).collect::<Vec<_>>(), ["mail ada@b.io"]);
    }
}
