//! What attackers carry away, and what it is compared with.
//!
//! A download is read as fast as it comes, with the times at which it came; what of it can be opened is the loot: a file
//! of persons and fields, of which only the attacker knows. Precision and recall are over pairs of person and field.

use std::collections::{BTreeSet, HashMap};
use std::io::{Read, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context, Result};

use crate::colleague::now_us;

/// Names of fields, as exports and packages have them.
const FIELDS: [&str; 9] =
    ["distinct_id", "email", "phone", "name", "place", "network_address", "birth", "events", "other"];

/// A download, as it came.
pub(crate) struct Download {
    pub(crate) bytes: Vec<u8>,
    /// When how many bytes were there, in microseconds since 1970.
    arrivals: Vec<(i64, usize)>,
    /// It came to its end, and was not broken off.
    pub(crate) is_whole: bool,
}

impl Download {
    /// Reads to the end, or to where it is broken off. `first_us` is told when the first bytes are there.
    pub(crate) fn read(mut from: impl Read, first_us: &AtomicI64) -> Download {
        let mut download = Download { bytes: Vec::new(), arrivals: Vec::new(), is_whole: false };
        let mut piece = vec![0; 256 * 1024];
        loop {
            match from.read(&mut piece) {
                Ok(0) => {
                    download.is_whole = true;
                    return download;
                }
                Ok(read) => {
                    let at_us = now_us();
                    let _ = first_us.compare_exchange(0, at_us, Ordering::AcqRel, Ordering::Relaxed);
                    download.bytes.extend_from_slice(&piece[..read]);
                    download.arrivals.push((at_us, download.bytes.len()));
                }
                Err(_) => return download,
            }
        }
    }

    pub(crate) fn last_us(&self) -> Option<i64> {
        self.arrivals.last().map(|(at_us, _)| *at_us)
    }

    /// Bytes that came after this instant.
    pub(crate) fn after(&self, at_us: i64) -> usize {
        let before = self.arrivals.iter().rev().find(|(came_us, _)| *came_us <= at_us);
        self.bytes.len() - before.map_or(0, |(_, bytes)| *bytes)
    }
}

/// Opens what was encrypted to a key, as far as it goes: of what was broken off, all that is whole.
pub(crate) fn opened(sealed: &[u8], key: &age::x25519::Identity) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    if sealed.is_empty() {
        return Ok(text);
    }
    let decryptor = age::Decryptor::new(sealed).ok().context("this was not encrypted with age")?;
    let keys = std::iter::once(key as &dyn age::Identity);
    let mut reader = decryptor.decrypt(keys).ok().context("this was not encrypted to this key")?;
    let mut piece = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = reader.read(&mut piece) {
        text.extend_from_slice(&piece[..read]);
    }
    Ok(text)
}

/// Persons, each with a set of fields.
#[derive(Default, PartialEq)]
pub(crate) struct Pairs(HashMap<Box<str>, u16>);

impl Pairs {
    fn add(&mut self, person: &str, field: &str) -> Result<()> {
        let number = FIELDS.iter().position(|name| *name == field);
        let number = number.with_context(|| format!("there is no field {field}"))?;
        *self.0.entry(person.into()).or_default() |= 1 << number;
        Ok(())
    }

    pub(crate) fn persons(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn values(&self) -> u64 {
        self.0.values().map(|fields| u64::from(fields.count_ones())).sum()
    }

    /// How many pairs are in both.
    fn shared(&self, other: &Pairs) -> u64 {
        let both = self.0.iter().map(|(person, fields)| fields & other.0.get(person).copied().unwrap_or_default());
        both.map(|fields| u64::from(fields.count_ones())).sum()
    }

    /// Persons who are here and not there.
    pub(crate) fn persons_beyond(&self, other: &Pairs) -> usize {
        self.0.keys().filter(|person| !other.0.contains_key(*person)).count()
    }

    /// Reads lines of `subject,field`.
    pub(crate) fn read(path: &Path) -> Result<Pairs> {
        let mut pairs = Pairs::default();
        let mut rows = csv::Reader::from_path(path).with_context(|| format!("could not read {}", path.display()))?;
        for row in rows.records() {
            let row = row?;
            pairs.add(row.get(0).unwrap_or_default(), row.get(1).unwrap_or_default())?;
        }
        Ok(pairs)
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
        writeln!(out, "subject,field")?;
        for (person, fields) in &self.0 {
            for (_, field) in FIELDS.iter().enumerate().filter(|(number, _)| fields >> number & 1 == 1) {
                writeln!(out, "{person},{field}")?;
            }
        }
        Ok(out.flush()?)
    }

    /// What a file of `person,field,property,value` has, which may end in the middle of a line; and the addresses in it.
    pub(crate) fn of_export(text: &[u8]) -> Result<(Pairs, BTreeSet<String>)> {
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let (mut pairs, mut addresses) = (Pairs::default(), BTreeSet::new());
        for row in csv::Reader::from_reader(&text[..end]).records() {
            let row = row?;
            let cell = |at| row.get(at).unwrap_or_default();
            pairs.add(cell(0), cell(1))?;
            if cell(1) == "email" {
                addresses.insert(cell(3).to_owned());
            }
        }
        Ok((pairs, addresses))
    }

    /// What the list of persons of a breach package has.
    pub(crate) fn of_package(text: &[u8]) -> Result<Pairs> {
        let mut rows = csv::Reader::from_reader(text);
        let heads = rows.headers()?.clone();
        let column = |name: &str| heads.iter().position(|head| head == name).with_context(|| format!("no {name}"));
        let (person, fields) = (column("pseudonym")?, column("fields")?);
        let mut pairs = Pairs::default();
        for row in rows.records() {
            let row = row?;
            for field in row.get(fields).unwrap_or_default().split_whitespace() {
                pairs.add(row.get(person).unwrap_or_default(), field)?;
            }
        }
        Ok(pairs)
    }
}

/// How well a scope names the loot.
pub(crate) struct Score {
    pub(crate) precision: f64,
    pub(crate) recall: f64,
}

impl Score {
    pub(crate) fn of(scope: &Pairs, loot: &Pairs) -> Score {
        let shared = scope.shared(loot) as f64;
        let share = |of: u64| if of == 0 { 1.0 } else { shared / of as f64 };
        Score { precision: share(scope.values()), recall: share(loot.values()) }
    }
}

/// A file of a tar archive.
pub(crate) fn in_tar(archive: &[u8], name: &str) -> Result<Vec<u8>> {
    for file in tar::Archive::new(archive).entries()? {
        let mut file = file?;
        if file.path()?.file_name().is_some_and(|found| found == name) {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            return Ok(bytes);
        }
    }
    anyhow::bail!("{name} is not in the package")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(of: &[(&str, &str)]) -> Pairs {
        let mut pairs = Pairs::default();
        of.iter().for_each(|(person, field)| pairs.add(person, field).unwrap());
        pairs
    }

    #[test]
    fn a_scope_that_is_too_wide_loses_precision_and_one_that_is_too_narrow_recall() {
        let loot = pairs(&[("a", "email"), ("a", "name"), ("b", "email"), ("b", "name")]);
        let score = |scope: &[(&str, &str)]| {
            let score = Score::of(&pairs(scope), &loot);
            (score.precision, score.recall)
        };
        assert_eq!(score(&[("a", "email"), ("a", "name"), ("b", "email"), ("b", "name")]), (1.0, 1.0));
        assert_eq!(score(&[("a", "email"), ("a", "name")]), (1.0, 0.5), "somebody is missing");
        assert_eq!(score(&[("a", "email"), ("a", "phone")]), (0.5, 0.25), "another field");
        assert_eq!(score(&[]), (1.0, 0.0));
    }

    #[test]
    fn of_a_download_that_was_broken_off_everything_whole_is_loot() {
        let key = age::x25519::Identity::generate();
        let rows: String =
            (0..3_000).map(|at| format!("per_{at},email,$email,c{at}@m1.people.drill.example\n")).collect();
        let text = format!("person,field,property,value\n{rows}");
        let mut sealed = Vec::new();
        let recipient = key.to_public();
        let recipients = std::iter::once(&recipient as &dyn age::Recipient);
        let mut writer = age::Encryptor::with_recipients(recipients).unwrap().wrap_output(&mut sealed).unwrap();
        std::io::Write::write_all(&mut writer, text.as_bytes()).unwrap();
        writer.finish().unwrap();
        let (all, addresses) = Pairs::of_export(&opened(&sealed, &key).unwrap()).unwrap();
        assert_eq!((all.persons(), all.values(), addresses.len()), (3_000, 3_000, 3_000));
        let (half, _) = Pairs::of_export(&opened(&sealed[..sealed.len() - 100], &key).unwrap()).unwrap();
        assert!(half.persons() > 1_000 && half.persons() < 3_000, "{}", half.persons());
        assert_eq!(all.persons_beyond(&half), 3_000 - half.persons());
        assert!(opened(&sealed, &age::x25519::Identity::generate()).is_err(), "somebody else's key");
    }

    #[test]
    fn loot_is_the_same_when_it_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (path, loot) = (folder.path().join("loot.csv"), pairs(&[("a", "email"), ("a", "name"), ("b", "birth")]));
        loot.write(&path).unwrap();
        assert!(Pairs::read(&path).unwrap() == loot);
    }
}
