//! The index on a real ledger: complete before a ticket is used, and as erasable as the ledger's own sets.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use cofferdam_exposure::{By, Error, Index, Person, Pseudonym, Question, Result, RoaringBitmap, Source, Which};
use cofferdam_ledger::{BlobCommit, Entry, Intent, Kind, Log, Options, Recorded, SeenFile};
use cofferdam_model::{FieldSet, OrgId, PersonalField, ProjectId};

const ADA: Pseudonym = Pseudonym([1; 16]);
const BEN: Pseudonym = Pseudonym([2; 16]);

fn open(home: &Path) -> Arc<Log> {
    let seen = Arc::new(SeenFile(home.join("seen")));
    let now = AtomicI64::new(1_800_000_000_000_000);
    let clock = Arc::new(move || now.fetch_add(1_000, Ordering::Relaxed));
    Arc::new(Log::open(Options::new(&home.join("ledger"), &[3; 32], clock, seen)).unwrap())
}

fn intent(actor: Pseudonym, subjects: impl IntoIterator<Item = u32>) -> Intent {
    Intent {
        org: OrgId(1),
        project: ProjectId(7),
        fields: FieldSet::EMPTY.with(PersonalField::Email).with(PersonalField::Name),
        subjects: subjects.into_iter().collect(),
        context: Entry { actor: Some(actor), ..Entry::of(Kind::Intent) },
    }
}

fn by(actor: Pseudonym) -> Question {
    Question { any_of: vec![By::Actor(actor)], ..Question::default() }
}

fn exposed(index: &Index, actor: Pseudonym, which: Which) -> RoaringBitmap {
    let answer = index.exposed(&by(actor)).unwrap();
    answer.projects.first().map(|project| project.subjects(which)).unwrap_or_default()
}

#[test]
fn what_a_ticket_was_given_out_for_is_in_the_next_answer_and_stays_there_after_a_start() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    let index = Index::open(&home.path().join("exposure"), log.clone()).unwrap();
    assert!(exposed(&index, ADA, Which::Authorised).is_empty());
    let few = log.authorise(intent(ADA, [5, 9])).unwrap();
    assert_eq!(exposed(&index, ADA, Which::Authorised), [5, 9].into_iter().collect());
    let many = log.authorise(intent(ADA, 1_000..3_000)).unwrap();
    drop(log.authorise(intent(BEN, 2_500..4_000)).unwrap());
    let all: RoaringBitmap = (1_000..3_000).chain([5, 9]).collect();
    assert_eq!(exposed(&index, ADA, Which::Authorised), all);
    assert!(exposed(&index, ADA, Which::Confirmed).is_empty());
    log.append(Entry { refers_to: Some(many.seq()), count: 0, ..Entry::of(Kind::Aborted) }).unwrap();
    log.append(Entry { refers_to: Some(few.seq()), count: 2, ..Entry::of(Kind::Done) }).unwrap();

    for _ in 0..2 {
        let index = Index::open(&home.path().join("exposure"), log.clone()).unwrap();
        let answer = index.exposed(&by(ADA)).unwrap();
        assert_eq!((answer.sum.disclosures, answer.sum.live, answer.sum.unsent, answer.sum.rows), (2, 0, 1, 2));
        assert_eq!(answer.projects[0].project, 7);
        assert_eq!(answer.projects[0].values(Which::Authorised), 2 * all.len());
        assert_eq!(answer.projects[0].subjects(Which::Confirmed), [5, 9].into_iter().collect());
        let person = Person { project: 7, subjects: vec![2_700, 6_000] };
        let page = index.disclosures(&Question::default(), Some(&person), None, 10).unwrap();
        let found: Vec<Option<Pseudonym>> = page.disclosures.iter().map(|disclosure| disclosure.actor).collect();
        assert_eq!(found, [Some(BEN), Some(ADA)]);
        // The second time from nothing.
        std::fs::remove_dir_all(home.path().join("exposure")).unwrap();
    }
}

#[test]
fn an_erased_set_is_in_no_file_of_the_index_and_its_size_is_still_counted() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    let folder = home.path().join("exposure");
    let index = Index::with_radix(&folder, log.clone(), 2).unwrap();
    // They lie side by side in the union, as runs: each its number, and how many follow it.
    let secret: Vec<u32> = vec![41_001, 42_002, 43_003, 44_004, 45_005];
    let ticket = log.authorise(intent(ADA, secret.iter().copied().chain(0..20))).unwrap();
    (1..4).for_each(|at| drop(log.authorise(intent(ADA, at * 100..at * 100 + 50)).unwrap()));
    assert_eq!(exposed(&index, ADA, Which::Authorised).len(), 175);
    let is_written = || {
        let bytes = std::fs::read(folder.join("unions")).unwrap();
        let list: Vec<u8> = secret.iter().flat_map(|subject| subject.to_le_bytes()).collect();
        bytes.windows(list.len()).any(|window| window == list)
    };
    assert!(is_written());
    log.erase_subjects(ticket.seq(), Entry::of(Kind::SubjectsErased)).unwrap();
    let answer = index.exposed(&by(ADA)).unwrap();
    assert_eq!(answer.projects[0].subjects(Which::Authorised).len(), 150);
    assert_eq!((answer.sum.unnamed_disclosures, answer.sum.unnamed_subjects), (1, 25));
    assert!(!is_written());
    // The rest is rolled up again.
    drop(index);
    let index = Index::with_radix(&folder, log.clone(), 2).unwrap();
    assert_eq!(exposed(&index, ADA, Which::Authorised).len(), 150);
    let person = Person { project: 7, subjects: vec![41_001] };
    assert!(index.disclosures(&by(ADA), Some(&person), None, 10).unwrap().disclosures.is_empty());
}

#[test]
fn a_set_that_was_changed_is_counted_by_its_size_and_not_believed() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path());
    let index = Index::open(&home.path().join("exposure"), log.clone()).unwrap();
    drop(log.authorise(intent(ADA, 0..1_000)).unwrap());
    log.settle().unwrap();
    let commit = log.entries(0, 1).unwrap()[0].entry.blob.unwrap();
    let (path, _) = log.subject_set_at(&commit);
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let answer = index.exposed(&by(ADA)).unwrap();
    assert!(answer.projects[0].subjects(Which::Authorised).is_empty());
    assert_eq!((answer.sum.unnamed_disclosures, answer.sum.unnamed_subjects), (1, 1_000));
}

#[test]
fn the_folder_of_another_ledger_is_not_believed() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = home.path().join("exposure");
    for (home, subjects) in [(&home, 0..30), (&other, 50..90)] {
        let log = open(home.path());
        drop(log.authorise(intent(ADA, subjects.clone())).unwrap());
        let index = Index::open(&folder, log).unwrap();
        assert_eq!(exposed(&index, ADA, Which::Authorised), subjects.collect());
    }
}

/// A ledger whose disk fails when it is told to.
struct Failing(Arc<Log>, AtomicBool);

impl Failing {
    fn disk(&self) -> Result<()> {
        let source = std::io::Error::from(std::io::ErrorKind::Other);
        let failed = Error::Io { what: "read", path: "ledger".into(), source };
        if self.1.load(Ordering::Relaxed) { Err(failed) } else { Ok(()) }
    }
}

impl Source for Failing {
    fn size(&self) -> Result<u64> {
        Source::size(&*self.0)
    }

    fn entries(&self, from: u64, to: u64) -> Result<Vec<Recorded>> {
        self.disk().and_then(|()| Source::entries(&*self.0, from, to))
    }

    fn set(&self, commit: &BlobCommit) -> Result<Option<RoaringBitmap>> {
        self.disk().and_then(|()| self.0.set(commit))
    }

    fn set_has(&self, commit: &BlobCommit, subjects: &[u32]) -> Result<Option<bool>> {
        self.disk().and_then(|()| self.0.set_has(commit, subjects))
    }
}

#[test]
fn when_the_ledger_cannot_be_read_there_is_no_answer_rather_than_a_short_one() {
    let home = tempfile::tempdir().unwrap();
    let source = Arc::new(Failing(open(home.path()), AtomicBool::new(false)));
    let index = Index::open(&home.path().join("exposure"), source.clone()).unwrap();
    drop(source.0.authorise(intent(ADA, 0..100)).unwrap());
    assert_eq!(exposed(&index, ADA, Which::Authorised).len(), 100);
    source.1.store(true, Ordering::Relaxed);
    assert!(index.exposed(&by(ADA)).is_err(), "a set cannot be read");
    drop(source.0.authorise(intent(BEN, [200])).unwrap());
    assert!(index.exposed(&by(BEN)).is_err(), "an entry cannot be read");
    source.1.store(false, Ordering::Relaxed);
    assert_eq!(exposed(&index, ADA, Which::Authorised).len(), 100);
    assert_eq!(exposed(&index, BEN, Which::Authorised), [200].into_iter().collect());
}
