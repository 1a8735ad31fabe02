//! The log through its door: on a real folder, on a disk that fails, hangs or is full, and under an attacker's editor.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cofferdam_ledger::note::VerifierKey;
use cofferdam_ledger::verify::{Proof, Verified, consistency, prove, verify};
use cofferdam_ledger::witness::Witness;
use cofferdam_ledger::{
    Clock, Entry, Error, Intent, Kind, Log, Options, Pseudonym, RoaringBitmap, SeenFile, Transport, Unavailable,
    WitnessLink, signing_key,
};
use cofferdam_model::{FieldSet, OrgId, PersonalField, ProjectId, limits};

use bad_disk::{BadDisk, Mode};

#[path = "../../../tests/bad_disk.rs"]
mod bad_disk;

const SEED: [u8; 32] = [5; 32];

/// A ledger's folder, and beside it what was last seen of it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn ledger(&self) -> PathBuf {
        self.0.path().join("ledger")
    }

    fn options(&self) -> Options {
        Options::new(&self.ledger(), &SEED, clock(), Arc::new(SeenFile(self.0.path().join("seen"))))
    }

    fn open(&self) -> Log {
        Log::open(self.options()).unwrap()
    }

    fn verify(&self) -> Verified {
        verify(&self.ledger(), &key()).unwrap()
    }

    fn copy(&self) -> Place {
        let copy = Place::new();
        copy_folder(self.0.path(), copy.0.path());
        copy
    }
}

/// A temporary file may be gone before it is copied: the log goes on meanwhile.
fn copy_folder(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    command.arg("-a").arg(format!("{}/.", from.display())).arg(to).stderr(Stdio::null()).status().unwrap();
}

fn clock() -> Clock {
    Arc::new(|| 1_800_000_000_000_000)
}

fn key() -> VerifierKey {
    signing_key(&SEED).unwrap().key().clone()
}

fn entry(object: u64) -> Entry {
    Entry { actor: Some(Pseudonym([1; 16])), object, ..Entry::of(Kind::SignedIn) }
}

fn intent(subjects: impl IntoIterator<Item = u32>) -> Intent {
    Intent {
        org: OrgId(1),
        project: ProjectId(7),
        fields: FieldSet::EMPTY.with(PersonalField::Email),
        subjects: subjects.into_iter().collect(),
        context: Entry { actor: Some(Pseudonym([1; 16])), purpose: 3, ..Entry::of(Kind::Intent) },
    }
}

fn is_unavailable(result: Result<impl Sized, Error>) -> Option<Unavailable> {
    match result {
        Err(Error::Unavailable(why)) => Some(why),
        _ => None,
    }
}

#[test]
fn what_was_appended_is_there_in_order_and_proved_after_every_restart() {
    let place = Place::new();
    let mut checkpoints = Vec::new();
    for round in 0..4_u64 {
        let log = place.open();
        for number in 0..200 {
            assert_eq!(log.append(entry(number)).unwrap().seq, Some(round * 200 + number));
        }
        log.settle().unwrap();
        checkpoints.push(log.checkpoint());
        let proof = log.prove(round * 200 + 7).unwrap();
        let (recorded, checkpoint) = Proof::parse(&proof.print()).unwrap().verify(&key()).unwrap();
        assert_eq!((recorded.entry.object, checkpoint.size), (7, round * 200 + 200));
    }
    let found = place.verify();
    assert_eq!((found.entries, found.unpublished, found.wrong), (800, 0, Vec::new()));
    let log = place.open();
    let entries = log.entries(190, 210).unwrap();
    assert!(entries.iter().enumerate().all(|(at, found)| found.seq == 190 + at as u64));
    assert!(entries.is_sorted_by_key(|found| found.mono_us));
    for pair in checkpoints.windows(2) {
        consistency(&place.ledger(), &key(), &pair[0], &pair[1]).unwrap();
    }
    assert!(prove(&place.ledger(), &key(), 800).is_err());
}

#[test]
fn many_at_once_share_a_sync_and_have_a_number_each() {
    let place = Place::new();
    let log = place.open();
    let numbers: Mutex<Vec<u64>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                for number in 0..40 {
                    let seq = log.append(entry(number)).unwrap().seq.unwrap();
                    numbers.lock().unwrap().push(seq);
                }
            });
        }
    });
    let mut numbers = numbers.into_inner().unwrap();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1_280).collect::<Vec<_>>());
    drop(log);
    assert_eq!(place.verify().entries, 1_280);
}

#[test]
fn a_crash_at_any_moment_leaves_what_was_acknowledged() {
    let place = Place::new();
    let log = place.open();
    for round in 0..30_u64 {
        for number in 0..37 {
            log.append(entry(number)).unwrap();
        }
        // As it lies there, without being closed; files may be half derived.
        let crashed = place.copy();
        for leftover in ["tile", "checkpoint"] {
            if round % 3 == 1 {
                let path = crashed.ledger().join(leftover);
                let _ = std::fs::remove_dir_all(&path).and_then(|()| std::fs::remove_file(&path));
            }
        }
        let again = crashed.open();
        assert_eq!(again.size(), (round + 1) * 37);
        assert_eq!(again.append(entry(0)).unwrap().seq, Some((round + 1) * 37));
        drop(again);
        assert_eq!(crashed.verify().wrong, []);
    }
}

/// Sets what it holds when it goes: whoever waits for that ends also when a test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Copies of a log made while many threads write to it, until its journal was rotated. Each has what was
/// acknowledged before it was made, opens, goes on and verifies, whatever is done to it first.
fn copies_under_load(before_opening: impl Fn(&Path)) {
    let place = Place::new();
    let log = place.open();
    let (acknowledged, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let file = |ledger: &Path| {
        let names = std::fs::read_dir(ledger.join("journal")).unwrap().map(|entry| entry.unwrap().file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).min().unwrap()
    };
    let (first, mut oldest) = (file(&place.ledger()), BTreeSet::new());
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let (log, acknowledged, is_over) = (&log, &acknowledged, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    let extra = vec![thread; limits::LEDGER_EXTRA_BYTES_MAX];
                    log.append(Entry { policy: Some([thread; 32]), extra, ..entry(1) }).unwrap();
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let _ends = Ends(&is_over);
        // Until the journal's oldest file was removed.
        while oldest.len() < 2 {
            let copy = Place::new();
            let before = acknowledged.load(Ordering::SeqCst);
            std::fs::copy(place.0.path().join("seen"), copy.0.path().join("seen")).unwrap();
            log.copy_to(&copy.ledger()).unwrap();
            oldest.insert(file(&copy.ledger()));
            before_opening(&copy.ledger());
            let copied = copy.open();
            let size = copied.size();
            assert!(size >= before, "{size} of {before}");
            assert_eq!(copied.append(entry(2)).unwrap().seq, Some(size));
            drop(copied);
            let found = copy.verify();
            assert_eq!((found.entries, found.wrong), (size + 1, Vec::new()));
        }
    });
    assert!(oldest.into_iter().next_back() > Some(first), "the journal was rotated");
}

#[test]
fn a_copy_made_while_the_log_is_written_has_what_was_acknowledged_and_verifies() {
    copies_under_load(|_| {});
}

#[test]
fn after_a_rotation_the_log_is_opened_from_full_tiles_and_the_journal_alone() {
    copies_under_load(|ledger| {
        let mut folders = vec![ledger.join("tile")];
        while let Some(folder) = folders.pop() {
            // A copy from before anything was published has none.
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                match path.extension() {
                    Some(partial) if partial == "p" => std::fs::remove_dir_all(path).unwrap(),
                    _ if path.is_dir() => folders.push(path),
                    _ => {}
                }
            }
        }
    });
}

#[test]
fn a_ledger_that_was_rolled_back_does_not_open() {
    let place = Place::new();
    let log = place.open();
    (0..10).for_each(|number| assert!(log.append(entry(number)).is_ok()));
    drop(log);
    let yesterday = place.copy();
    let log = place.open();
    log.append(entry(10)).unwrap();
    drop(log);
    std::fs::remove_dir_all(place.ledger()).unwrap();
    std::fs::create_dir(place.ledger()).unwrap();
    assert!(matches!(Log::open(place.options()), Err(Error::RolledBack { seen: 11, found: 0 })), "all gone");
    copy_folder(&yesterday.ledger(), &place.ledger());
    assert!(matches!(Log::open(place.options()), Err(Error::RolledBack { seen: 11, found: 10 })));
    std::fs::remove_file(place.0.path().join("seen")).unwrap();
    assert!(matches!(Log::open(place.options()), Err(Error::NothingSeen)));
    // Another history of the same length.
    std::fs::remove_dir_all(place.ledger()).unwrap();
    let log = place.open();
    (0..11).for_each(|number| assert!(log.append(entry(99 - number)).is_ok()));
    drop(log);
    copy_folder(&place.ledger(), &yesterday.ledger());
    assert!(matches!(Log::open(yesterday.options()), Err(Error::Damaged { .. })), "its first 10 are others");
}

/// Opens a bundle, lets somebody at its entries, and writes it back.
fn edit(ledger: &Path, bundle: &str, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let path = ledger.join("tile/entries").join(bundle);
    let bytes = std::fs::read(&path).unwrap();
    let (mut rest, mut entries) = (&bytes[..], Vec::new());
    while let [a, b, after @ ..] = rest {
        let (entry, after) = after.split_at(usize::from(u16::from_be_bytes([*a, *b])));
        entries.push(entry.to_vec());
        rest = after;
    }
    change(&mut entries);
    let framed = entries.iter().flat_map(|entry| [&(entry.len() as u16).to_be_bytes()[..], entry].concat());
    std::fs::write(path, framed.collect::<Vec<u8>>()).unwrap();
}

#[test]
fn every_change_is_named_by_the_number_of_its_entry() {
    let place = Place::new();
    let log = place.open();
    for number in 0..300 {
        log.append(entry(number)).unwrap();
    }
    let ticket = log.authorise(intent(0..1_000)).unwrap();
    assert_eq!(ticket.seq(), 300);
    log.settle().unwrap();
    drop(log);
    let first = |change: &dyn Fn(&Path)| {
        let changed = place.copy();
        change(&changed.ledger());
        changed.verify().wrong.first().map(|wrong| wrong.seq)
    };
    assert_eq!(first(&|_| {}), None);
    for at in [0, 100, 255] {
        assert_eq!(
            first(&|ledger| edit(ledger, "000", |all| *all[at].last_mut().unwrap() ^= 1)),
            Some(Some(at as u64))
        );
        assert_eq!(first(&|ledger| edit(ledger, "000", |all| drop(all.remove(at)))), Some(Some(at as u64)));
        assert_eq!(
            first(&|ledger| edit(ledger, "000", |all| all.insert(at, all[7].clone()))),
            match at {
                7 => Some(Some(8)),
                at => Some(Some(at as u64)),
            }
        );
    }
    assert_eq!(first(&|ledger| edit(ledger, "000", |all| all.swap(17, 200))), Some(Some(17)));
    assert_eq!(first(&|ledger| edit(ledger, "000", |all| all.push(all[7].clone()))), Some(Some(256)));
    assert_eq!(first(&|ledger| edit(ledger, "001.p/45", |all| all[43][9] ^= 1)), Some(Some(299)));
    let blobs = |ledger: &Path| {
        let folder = std::fs::read_dir(ledger.join("blobs")).unwrap().next().unwrap().unwrap().path();
        std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
    };
    assert_eq!(first(&|ledger| std::fs::remove_file(blobs(ledger)).unwrap()), Some(Some(300)));
    assert_eq!(first(&|ledger| std::fs::write(blobs(ledger), [0; 64]).unwrap()), Some(Some(300)));
    // The tile changed along with its entry: the entry cannot be named, the change is there all the same.
    let tile = |ledger: &Path| std::fs::write(ledger.join("tile/0/000"), [0; 8_192]).unwrap();
    assert_eq!(first(&tile), Some(None));
    assert!(place.verify().wrong.is_empty());
}

#[test]
fn a_ticket_names_what_was_written_down_and_its_subjects_can_be_erased() {
    let place = Place::new();
    let log = place.open();
    let ticket = log.authorise(intent([5, 2, 900_000])).unwrap();
    assert_eq!(ticket.subjects().map(|subject| subject.0).collect::<Vec<_>>(), [2, 5, 900_000]);
    assert_eq!((ticket.project(), ticket.fields().0), (ProjectId(7), 1 << 1));
    let many = log.authorise(intent(0..5_000)).unwrap();
    assert_eq!(many.subjects().len(), 5_000);
    log.settle().unwrap();
    let entries = log.entries(0, 2).unwrap();
    assert_eq!((entries[0].entry.kind, entries[0].entry.count, entries[0].entry.blob), (Kind::Intent, 3, None));
    assert_eq!((entries[1].entry.count, entries[1].entry.object), (5_000, 7));
    assert_eq!(log.subjects(0).unwrap(), Some(RoaringBitmap::from_iter([2, 5, 900_000])));
    assert_eq!(log.subjects(1).unwrap(), Some((0..5_000).collect()));
    log.erase_subjects(1, Entry::of(Kind::SubjectsErased)).unwrap();
    assert_eq!(log.subjects(1).unwrap(), None);
    assert!(log.authorise(intent([])).is_err());
    assert!(log.authorise(Intent { fields: FieldSet::EMPTY, ..intent([1]) }).is_err());
    drop(log);
    let found = place.verify();
    assert_eq!((found.wrong, found.erased), (Vec::new(), vec![1]));
}

#[test]
fn refusals_are_counted_to_the_last_and_containment_goes_on() {
    let place = Place::new();
    let log = place.open();
    let refusal = || Entry { actor: Some(Pseudonym([3; 16])), ..Entry::of(Kind::SignInRefused) };
    let written = (0..5_000).filter(|_| log.append(refusal()).unwrap().seq.is_some()).count() as u64;
    assert_eq!(written, u64::from(limits::LEDGER_REFUSALS_MAX));
    log.append(Entry::of(Kind::Locked)).unwrap();
    drop(log);
    let log = place.open();
    let last = log.entries(0, 1_000).unwrap().pop().unwrap().entry;
    assert_eq!((last.kind, last.count, last.extra), (Kind::RefusalsCounted, 5_000 - written, vec![3]));
}

/// Appends until it is taken.
fn until_taken(log: &Log) {
    while log.append(entry(77)).is_err() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_failing_disk_refuses_at_once_and_what_was_refused_is_there_once_or_not_at_all() {
    let place = Place::new();
    let disk = Arc::new(BadDisk::default());
    let log = Log::open(Options { disk: disk.clone(), ..place.options() }).unwrap();
    let mut taken: Vec<u64> = Vec::new();
    for round in 0..5_u64 {
        for number in 0..100 {
            log.append(entry(round * 1_000 + number)).unwrap();
            taken.push(round * 1_000 + number);
        }
        disk.set(Mode::Fails);
        for number in 100..110 {
            assert!(is_unavailable(log.append(entry(round * 1_000 + number))).is_some());
        }
        assert!(is_unavailable(log.authorise(intent([1]))).is_some(), "no entry, no ticket");
        assert!(is_unavailable(log.authorise(intent(0..100))).is_some(), "no subject set, no ticket");
        disk.set(Mode::Works);
        until_taken(&log);
        taken.push(77);
    }
    drop(log);
    let log = place.open();
    let found: Vec<u64> = log.entries(0, 10_000).unwrap().into_iter().map(|found| found.entry.object).collect();
    assert_eq!(found, taken);
    drop(log);
    assert_eq!(place.verify().wrong, []);
}

#[test]
fn a_disk_that_hangs_keeps_nobody_and_the_log_goes_on_when_it_answers() {
    let place = Place::new();
    let disk = Arc::new(BadDisk::default());
    let log = Log::open(Options { disk: disk.clone(), ..place.options() }).unwrap();
    log.append(entry(1)).unwrap();
    disk.set(Mode::Hangs);
    assert_eq!(is_unavailable(log.append(entry(2))), Some(Unavailable::Stalled));
    assert_eq!(is_unavailable(log.authorise(intent(0..100))), Some(Unavailable::Stalled));
    // Nobody waits for what is known to hang: a thousand callers in a row have their answer long before the half second
    // that even two of them would have to wait one after the other.
    let (done, all) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..1_000).for_each(|_| assert!(is_unavailable(log.append(entry(3))).is_some()));
            done.send(()).unwrap();
        });
        all.recv_timeout(Duration::from_secs(30)).expect("refused at once");
    });
    disk.set(Mode::Works);
    until_taken(&log);
    let size = log.size();
    drop(log);
    let log = place.open();
    assert_eq!(log.size(), size);
    let objects: Vec<u64> = log.entries(0, 1_000).unwrap().into_iter().map(|found| found.entry.object).collect();
    assert!(objects.iter().filter(|object| **object == 2).count() <= 1, "there once or not at all");
}

#[test]
fn a_full_disk_takes_containment_from_the_reserve_and_nothing_else() {
    let place = Place::new();
    let disk = Arc::new(BadDisk::default());
    let log = Log::open(Options { disk: disk.clone(), ..place.options() }).unwrap();
    log.append(entry(1)).unwrap();
    log.settle().unwrap();
    disk.set(Mode::Full);
    let mut taken = 1_u64;
    let refused = loop {
        let full = Entry { extra: vec![0; limits::LEDGER_EXTRA_BYTES_MAX], ..entry(2) };
        match is_unavailable(log.append(full)) {
            None => taken += 1,
            Some(why) => break why,
        }
    };
    assert_eq!(refused, Unavailable::NoRoom);
    assert!(is_unavailable(log.authorise(intent([1]))).is_some());
    for _ in 0..500 {
        log.append(Entry::of(Kind::Locked)).unwrap();
    }
    disk.set(Mode::Works);
    until_taken(&log);
    assert_eq!(log.size(), taken + 501);
    drop(log);
    assert_eq!(place.verify().wrong, []);
}

#[test]
fn on_a_real_full_disk_containment_is_written_and_the_rest_is_refused_until_there_is_room() {
    let place = Place::new();
    std::fs::create_dir(place.ledger()).unwrap();
    let mount = |args: &[&str]| {
        let mut command = Command::new("mount");
        command.args(args).arg(place.ledger()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "size=12m", "tmpfs"]) {
        skip("a ledger on a full disk: mounting a small file system needs root");
        return;
    }
    struct Unmount(PathBuf);
    impl Drop for Unmount {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        }
    }
    let _unmount = Unmount(place.ledger());
    let log = place.open();
    log.append(entry(1)).unwrap();
    // Somebody fills what is left.
    let filled = std::fs::write(place.ledger().join("filler"), vec![1; 16 << 20]);
    assert!(filled.is_err());
    let refused = loop {
        let full = Entry { extra: vec![0; limits::LEDGER_EXTRA_BYTES_MAX], ..entry(2) };
        if let Some(why) = is_unavailable(log.append(full)) {
            break why;
        }
    };
    assert_eq!(refused, Unavailable::NoRoom);
    for _ in 0..100 {
        log.append(Entry::of(Kind::IncidentOpened)).unwrap();
    }
    std::fs::remove_file(place.ledger().join("filler")).unwrap();
    until_taken(&log);
    let size = log.size();
    log.settle().unwrap();
    drop(log);
    assert_eq!(place.open().size(), size);
    assert_eq!(place.verify().wrong, []);
}

fn skip(what: &str) {
    use io::Write;
    eprintln!("SKIPPED: {what}");
    if let Some(path) = std::env::var_os("COFFERDAM_SKIPS") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "SKIPPED: {what}").unwrap();
    }
}

/// A witness in the same process, counting what it is asked.
struct Near {
    witness: Arc<Witness>,
    asked: Arc<AtomicU64>,
}

impl Transport for Near {
    fn post(&self, body: &str) -> io::Result<(u16, String)> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let response = self.witness.add_checkpoint(body, 1_800_000_000);
        Ok((response.status, response.body))
    }
}

#[test]
fn a_witness_signs_what_the_log_has_and_shows_a_roll_back_of_everything() {
    let place = Place::new();
    let far = tempfile::tempdir().unwrap();
    let witness = Arc::new(Witness::open(far.path(), "w.example/1", &[8; 32], vec![key()]).unwrap());
    let asked = Arc::new(AtomicU64::new(0));
    let options = |place: &Place| {
        let transport = Box::new(Near { witness: witness.clone(), asked: asked.clone() });
        Options { witnesses: vec![WitnessLink { key: witness.key().clone(), transport }], ..place.options() }
    };
    let log = Log::open(options(&place)).unwrap();
    (0..5).for_each(|number| assert!(log.append(entry(number)).is_ok()));
    let yesterday = place.copy();
    log.append(Entry::of(Kind::Locked)).unwrap();
    log.settle().unwrap();
    let started = Instant::now();
    while !log.checkpoint().contains("w.example/1") {
        assert!(started.elapsed() < Duration::from_secs(20), "containment is witnessed: {}", log.checkpoint());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(log.witnessed(), [("w.example/1".to_owned(), Some(1_800_000_000))]);
    drop(log);
    assert!(Log::open(options(&place)).is_ok());
    assert!(Log::open(yesterday.options()).is_ok(), "without a witness nobody can tell");
    let yesterday = place.copy();
    let log = Log::open(options(&place)).unwrap();
    log.append(Entry::of(Kind::Locked)).unwrap();
    log.settle().unwrap();
    let started = Instant::now();
    while !log.checkpoint().contains("w.example/1") {
        assert!(started.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(log);
    assert!(matches!(Log::open(options(&yesterday)), Err(Error::RolledBack { seen: 7, found: 6 })));
    assert!(asked.load(Ordering::Relaxed) >= 5);
}

#[test]
fn a_clock_that_is_set_changes_neither_order_nor_what_is_left_of_a_deadline() {
    let place = Place::new();
    let wall = Arc::new(AtomicI64::new(1_800_000_000_000_000));
    let told = wall.clone();
    let options = Options { clock: Arc::new(move || told.load(Ordering::SeqCst)), ..place.options() };
    let log = Log::open(options).unwrap();
    let day_us = 86_400_000_000;
    for jump in [0, day_us, -2 * day_us, day_us] {
        wall.fetch_add(jump, Ordering::SeqCst);
        log.append(entry(0)).unwrap();
    }
    log.settle().unwrap();
    let entries = log.entries(0, 4).unwrap();
    assert_eq!(entries.iter().map(|found| found.is_clock_stepped).collect::<Vec<_>>(), [false, true, true, true]);
    assert!(entries.is_sorted_by_key(|found| found.mono_us));
    let left = cofferdam_ledger::Deadline::after(&entries[0], 3 * day_us as u64, &entries[1..], log.now());
    assert!(left.is_clock_in_doubt);
    assert!(left.left_us.is_some_and(|left| left > 2 * day_us as u64));
}

#[test]
fn proofs_hold_for_a_verifier_that_shares_no_code_with_us() {
    let place = Place::new();
    let log = place.open();
    let mut kept = Vec::new();
    for number in 0..600 {
        log.append(entry(number)).unwrap();
        if [4, 255, 256, 430].contains(&number) {
            log.settle().unwrap();
            kept.push(log.checkpoint());
        }
    }
    log.settle().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = scratch.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let ask = |what: &str, key: &str, files: &[PathBuf]| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/ledger/verify.py");
        let output = Command::new("python3").arg(script).args([what, key]).args(files).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    };
    let (vkey, other) = (key().to_string(), signing_key(&[6; 32]).unwrap().key().to_string());
    for index in [0, 255, 256, 511, 599] {
        let proof = log.prove(index).unwrap().print();
        let path = file("proof", &proof);
        assert_eq!(ask("inclusion", &vkey, std::slice::from_ref(&path)), Some(format!("entry {index} of 600")));
        assert_eq!(ask("inclusion", &other, &[path]), None);
        let wrong = proof.replace(&format!("index {index}\n"), &format!("index {}\n", index ^ 1));
        assert_eq!(ask("inclusion", &vkey, &[file("wrong", &wrong)]), None);
    }
    let new = file("new", &log.checkpoint());
    for old in &kept {
        let path = consistency(&place.ledger(), &key(), old, &log.checkpoint()).unwrap();
        let lines: Vec<String> = path.iter().map(cofferdam_ledger::note::print_hash).collect();
        let size = old.lines().nth(1).unwrap();
        let files = |lines: &[String]| [file("old", old), new.clone(), file("hashes", &lines.join("\n"))];
        assert_eq!(ask("consistency", &vkey, &files(&lines)), Some(format!("600 continues {size}")));
        assert_eq!(ask("consistency", &vkey, &files(&lines[1..])), None);
    }
}
