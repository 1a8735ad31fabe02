//! Random histories of disclosures against a naive set of (person, field): whatever was asked, cut off, torn, erased
//! and made anew in between, the answers are the same.
//!
//! `COFFERDAM_EXPOSURE_HISTORIES` says how many; its default takes a few seconds.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use cofferdam_exposure::{By, Index, Person, Pseudonym, Question, Result, RoaringBitmap, Source, Which};
use cofferdam_ledger::{BlobCommit, Entry, Kind, Recorded};
use cofferdam_model::FieldSet;

/// A ledger in memory: entries, and the sets beside it as bitmaps.
#[derive(Default)]
struct Ledger {
    entries: Mutex<Vec<Recorded>>,
    sets: Mutex<HashMap<[u8; 32], RoaringBitmap>>,
}

impl Source for Ledger {
    fn size(&self) -> Result<u64> {
        Ok(self.entries.lock().unwrap().len() as u64)
    }

    fn entries(&self, from: u64, to: u64) -> Result<Vec<Recorded>> {
        Ok(self.entries.lock().unwrap()[from as usize..to as usize].to_vec())
    }

    fn set(&self, commit: &BlobCommit) -> Result<Option<RoaringBitmap>> {
        Ok(self.sets.lock().unwrap().get(&commit.hash).cloned())
    }

    fn set_has(&self, commit: &BlobCommit, subjects: &[u32]) -> Result<Option<bool>> {
        let sets = self.sets.lock().unwrap();
        Ok(sets.get(&commit.hash).map(|set| subjects.iter().any(|subject| set.contains(*subject))))
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A disclosure as the oracle remembers it.
struct Known {
    seq: u64,
    time_us: u64,
    entry: Entry,
    subjects: RoaringBitmap,
    is_erased: bool,
    /// Whole, rows; the most that any end says.
    end: Option<(bool, u64)>,
}

struct History {
    random: Random,
    ledger: Arc<Ledger>,
    known: Vec<Known>,
    time_us: u64,
}

fn some(random: &mut Random, of: u64) -> Option<Pseudonym> {
    (!random.one_in(4)).then(|| Pseudonym([1 + random.below(of) as u8; 16]))
}

impl History {
    fn push(&mut self, entry: Entry) -> u64 {
        let seq = self.ledger.size().unwrap();
        // The clock of the wall is set back now and then.
        self.time_us = if self.random.one_in(12) {
            self.time_us - self.random.below(40)
        } else {
            self.time_us + self.random.below(8)
        };
        let recorded = Recorded { seq, mono_us: seq, time_us: self.time_us, is_clock_stepped: false, entry };
        self.ledger.entries.lock().unwrap().push(recorded);
        seq
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0 => drop(self.push(Entry::of(Kind::SignedIn))),
            1..=2 if !self.known.is_empty() => {
                let at = self.random.below(self.known.len() as u64) as usize;
                let is_whole = !self.random.one_in(3);
                let rows = self.random.below(3);
                let kind = if is_whole { Kind::Done } else { Kind::Aborted };
                let about = self.known[at].seq;
                self.push(Entry { refers_to: Some(about), count: rows, ..Entry::of(kind) });
                self.known[at].end = self.known[at].end.max(Some((is_whole, rows)));
            }
            3 if self.random.one_in(3) => {
                let with_sets = self.known.iter().enumerate().filter(|(_, known)| known.entry.blob.is_some());
                let with_sets: Vec<usize> = with_sets.map(|(at, _)| at).collect();
                if with_sets.is_empty() {
                    return;
                }
                let at = with_sets[self.random.below(with_sets.len() as u64) as usize];
                self.push(Entry { refers_to: Some(self.known[at].seq), ..Entry::of(Kind::SubjectsErased) });
                self.ledger.sets.lock().unwrap().remove(&self.known[at].entry.blob.unwrap().hash);
                self.known[at].is_erased = true;
            }
            _ => self.disclose(),
        }
    }

    fn disclose(&mut self) {
        let random = &mut self.random;
        let universe = 1 + random.below(300) as u32;
        let wanted = if random.one_in(3) { 1 + random.below(8) } else { 1 + random.below(60) };
        let base = if random.one_in(5) { 65_500 } else { 0 };
        let subjects: RoaringBitmap = (0..wanted).map(|_| base + random.below(u64::from(universe)) as u32).collect();
        let mut entry = Entry {
            actor: some(random, 3),
            session: some(random, 9),
            token: some(random, 2),
            ip: some(random, 4),
            device: some(random, 4),
            org: some(random, 2),
            object: 1 + random.below(3),
            grant: random.below(4),
            purpose: random.below(3),
            // Rarely so many different ones that they are not kept apart.
            fields: FieldSet(1 + random.below(if self.known.len().is_multiple_of(2) { 6 } else { 250 })),
            count: subjects.len(),
            ..Entry::of(Kind::Intent)
        };
        if subjects.len() <= 8 {
            entry.extra = subjects.iter().flat_map(u32::to_be_bytes).collect();
        } else {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&(self.known.len() as u64).to_le_bytes());
            entry.blob = Some(BlobCommit { hash, bytes: subjects.serialized_size() as u64 });
            self.ledger.sets.lock().unwrap().insert(hash, subjects.clone());
        }
        let seq = self.push(entry.clone());
        let time_us = self.time_us;
        self.known.push(Known { seq, time_us, entry, subjects, is_erased: false, end: None });
    }

    fn by(&mut self) -> By {
        let pseudonym = |random: &mut Random, of: u64| Pseudonym([1 + random.below(of) as u8; 16]);
        let random = &mut self.random;
        match random.below(9) {
            0 => By::Actor(pseudonym(random, 3)),
            1 => By::Session(pseudonym(random, 9)),
            2 => By::Token(pseudonym(random, 2)),
            3 => By::Ip(pseudonym(random, 5)),
            4 => By::Device(pseudonym(random, 4)),
            5 => By::Org(pseudonym(random, 2)),
            6 => By::Grant(random.below(4)),
            7 => By::Purpose(random.below(3)),
            _ => By::Project(1 + random.below(3)),
        }
    }

    fn question(&mut self) -> Question {
        let start = 1_000_000;
        let span = self.time_us.saturating_sub(start) + 60;
        let (any, all) = (self.random.below(4), self.random.below(3) / 2);
        let projects =
            self.random.one_in(4).then(|| BTreeSet::from([1 + self.random.below(3), 1 + self.random.below(3)]));
        Question {
            any_of: (0..any).map(|_| self.by()).collect(),
            all_of: (0..all).map(|_| self.by()).collect(),
            none_of: if self.random.one_in(3) { vec![self.by()] } else { Vec::new() },
            projects,
            from_us: if self.random.one_in(3) { 0 } else { start - 30 + self.random.below(span) },
            to_us: (!self.random.one_in(3)).then(|| start - 30 + self.random.below(span)),
        }
    }

    fn check(&mut self, index: &Index) {
        let question = self.question();
        let is_by = |entry: &Entry, by: &By| match by {
            By::Actor(value) => entry.actor == Some(*value),
            By::Session(value) => entry.session == Some(*value),
            By::Token(value) => entry.token == Some(*value),
            By::Ip(value) => entry.ip == Some(*value),
            By::Device(value) => entry.device == Some(*value),
            By::Org(value) => entry.org == Some(*value),
            By::Grant(value) => entry.grant == *value,
            By::Purpose(value) => entry.purpose == *value,
            By::Project(value) => entry.object == *value,
        };
        let is_about = |known: &&Known| {
            let Known { entry, time_us, .. } = known;
            (question.any_of.is_empty() || question.any_of.iter().any(|by| is_by(entry, by)))
                && question.all_of.iter().all(|by| is_by(entry, by))
                && !question.none_of.iter().any(|by| is_by(entry, by))
                && question.projects.as_ref().is_none_or(|projects| projects.contains(&entry.object))
                && *time_us >= question.from_us
                && question.to_us.is_none_or(|to| *time_us < to)
        };
        let expected: Vec<&Known> = self.known.iter().filter(is_about).collect();
        let answer = index.exposed(&question).unwrap();
        for which in [Which::Authorised, Which::Confirmed] {
            let mut pairs: HashSet<(u64, u32, u8)> = HashSet::new();
            for known in expected.iter().filter(|known| !known.is_erased) {
                let is_confirmed = known.end.is_some_and(|(is_whole, rows)| is_whole || rows > 0);
                if which == Which::Authorised || is_confirmed {
                    for subject in &known.subjects {
                        let fields = (0..64).filter(|field| known.entry.fields.0 >> field & 1 == 1);
                        pairs.extend(fields.map(|field| (known.entry.object, subject, field)));
                    }
                }
            }
            let mut found: HashSet<(u64, u32, u8)> = HashSet::new();
            let mut values = 0;
            for project in &answer.projects {
                let mut anybody = RoaringBitmap::new();
                for field in 0..64 {
                    let subjects = project.subjects_with(which, FieldSet(1 << field));
                    found.extend(subjects.iter().map(|subject| (project.project, subject, field)));
                    anybody |= subjects;
                }
                assert_eq!(anybody, project.subjects(which));
                values += project.values(which);
            }
            assert_eq!(found, pairs, "{which:?} of {question:?}");
            assert_eq!(values, pairs.len() as u64);
        }
        let sum = answer.sum;
        let times = || expected.iter().map(|known| known.time_us);
        assert_eq!((sum.disclosures, sum.first_us, sum.last_us), (expected.len() as u64, times().min(), times().max()));
        assert_eq!(sum.live, expected.iter().filter(|known| known.end.is_none()).count() as u64);
        assert_eq!(sum.unsent, expected.iter().filter(|known| known.end == Some((false, 0))).count() as u64);
        assert_eq!(sum.rows, expected.iter().filter_map(|known| known.end).map(|(_, rows)| rows).sum::<u64>());
        let erased = || expected.iter().filter(|known| known.is_erased);
        assert_eq!(sum.unnamed_disclosures, erased().count() as u64);
        assert_eq!(sum.unnamed_subjects, erased().map(|known| known.entry.count).sum::<u64>());
        let grants: BTreeSet<u64> =
            expected.iter().map(|known| known.entry.grant).filter(|grant| *grant != 0).collect();
        assert_eq!(answer.grants.iter().map(|grant| grant.grant).collect::<BTreeSet<u64>>(), grants);

        let named = index.named(&question).unwrap();
        for (by, count) in &named {
            let found = expected.iter().filter(|known| is_by(&known.entry, by)).count();
            assert_eq!(*count, found as u64, "{by:?} of {question:?}");
        }
        let actors: HashSet<Pseudonym> = expected.iter().filter_map(|known| known.entry.actor).collect();
        assert_eq!(named.keys().filter(|by| matches!(by, By::Actor(_))).count(), actors.len());

        // From when to when, of each who is listed with a field that left.
        let project = 1 + self.random.below(3);
        let entries = self.ledger.size().unwrap() + 1;
        let before = if self.random.one_in(2) { u64::MAX } else { self.random.below(entries) };
        let listed: Vec<(FieldSet, RoaringBitmap)> = (0..self.random.below(3))
            .map(|_| {
                let fields = FieldSet(1 + self.random.below(6));
                (fields, (0..40).map(|_| self.random.below(60) as u32).collect())
            })
            .collect();
        let other = Question { any_of: vec![By::Grant(1)], ..Question::default() };
        let moments = index.first_and_last(&[question.clone(), other], before, project, &listed).unwrap();
        for subject in 0..70 {
            let of = listed.iter().filter(|(_, subjects)| subjects.contains(subject));
            let fields = of.fold(0, |all, (fields, _)| all | fields.0);
            let mut about = self.known.iter().filter(|known| {
                (is_about(known) || known.entry.grant == 1)
                    && known.seq < before
                    && known.entry.object == project
                    && !known.is_erased
                    && known.entry.fields.0 & fields != 0
                    && known.subjects.contains(subject)
            });
            let first = about.next();
            let last = about.next_back().or(first);
            let expected = first.zip(last).map(|both| <[_; 2]>::from(both).map(|known| (known.seq, known.time_us)));
            let found = moments.of([subject, 70]);
            let found = found.map(|both| <[_; 2]>::from(both).map(|moment| (moment.seq, moment.time_us)));
            assert_eq!(found, expected, "{subject} of {listed:?} in {project}");
        }

        // The other way round, page by page: who was named in which.
        let person = Person {
            project: 1 + self.random.below(3),
            subjects: (0..1 + self.random.below(2)).map(|_| self.random.below(60) as u32).collect(),
        };
        let about = |known: &&&Known| {
            known.entry.object == person.project
                && !known.is_erased
                && person.subjects.iter().any(|subject| known.subjects.contains(*subject))
        };
        let named: Vec<u64> = expected.iter().rev().filter(about).map(|known| known.seq).collect();
        let rows_max = 1 + self.random.below(20) as usize;
        assert_eq!(pages(index, &question, Some(&person), rows_max), named, "{person:?} of {question:?}");
        let mut oldest_first = Vec::new();
        let mut from = 0;
        loop {
            let page = index.disclosures_from(std::slice::from_ref(&question), from, before, rows_max).unwrap();
            let Some(last) = page.last() else { break };
            from = last.seq + 1;
            oldest_first.extend(page.iter().map(|disclosure| disclosure.seq));
        }
        let earlier: Vec<u64> = expected.iter().map(|known| known.seq).filter(|seq| *seq < before).collect();
        assert_eq!(oldest_first, earlier);
        let all: Vec<u64> = expected.iter().rev().map(|known| known.seq).collect();
        assert_eq!(pages(index, &question, None, rows_max), all);
    }
}

fn pages(index: &Index, question: &Question, person: Option<&Person>, rows_max: usize) -> Vec<u64> {
    let (mut listed, mut before) = (Vec::new(), None);
    loop {
        let page = index.disclosures(question, person, before, rows_max).unwrap();
        assert!(page.disclosures.len() <= rows_max);
        listed.extend(page.disclosures.iter().map(|disclosure| disclosure.seq));
        before = page.before;
        if before.is_none() {
            return listed;
        }
    }
}

/// What a crash, a disk or somebody with an editor does to the folder of a closed index.
fn damage(folder: &Path, random: &mut Random) {
    let path = folder.join(["records", "unions", "place"][random.below(3) as usize]);
    let Ok(mut bytes) = std::fs::read(&path) else { return };
    match random.below(4) {
        0 => bytes.truncate(random.below(bytes.len() as u64 + 1) as usize),
        1 => bytes.extend((0..random.below(400)).map(|_| random.below(256) as u8)),
        2 if !bytes.is_empty() => {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
        }
        2 => {}
        _ => return std::fs::remove_file(&path).unwrap(),
    }
    std::fs::write(&path, bytes).unwrap();
}

/// Memory, where there is some: nothing here is about the disk.
fn folder() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn play(seed: u64) {
    let home = folder();
    let mut history = History {
        random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
        ledger: Arc::new(Ledger::default()),
        known: Vec::new(),
        time_us: 1_000_000,
    };
    let radix = [2, 3, 4, 64][history.random.below(4) as usize];
    let open = |ledger: &Arc<Ledger>| Some(Index::with_radix(home.path(), ledger.clone(), radix).unwrap());
    let mut index = open(&history.ledger);
    for _ in 0..history.random.below(120) {
        history.step();
        match history.random.below(30) {
            0..=2 => history.check(index.as_ref().unwrap()),
            3 => drop(index.as_ref().unwrap().follow().unwrap()),
            4 => {
                index = None;
                if history.random.one_in(2) {
                    damage(home.path(), &mut history.random);
                }
                index = index.or_else(|| open(&history.ledger));
            }
            _ => {}
        }
    }
    history.check(index.as_ref().unwrap());
    history.check(index.as_ref().unwrap());
}

#[test]
fn random_histories_are_answered_as_a_naive_set_of_pairs_answers() {
    let histories = std::env::var("COFFERDAM_EXPOSURE_HISTORIES").ok().and_then(|text| text.parse().ok());
    let histories: u64 = histories.unwrap_or(1_000);
    for seed in 1..=histories {
        if let Err(panic) = std::panic::catch_unwind(|| play(seed)) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
