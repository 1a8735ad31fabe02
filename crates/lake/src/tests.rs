//! The store and the lake through their doors.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::RwLock;
use std::sync::atomic::AtomicI64;

use bytes::Bytes;
use cofferdam_model::{PropertyType, Value};
use proptest::prelude::*;

use super::*;
use crate::disk::{Disk, DiskFile, LocalDisk};

const PROJECT: ProjectId = ProjectId(3);
const DAY_US: i64 = 86_400_000_000;
/// 2024-03-16T00:00:00Z.
const NOW_US: i64 = 1_710_547_200_000_000;

/// What surrounds a store: where it lies, what time it is, who is merged with whom.
#[derive(Clone)]
struct World {
    folder: Arc<tempfile::TempDir>,
    now_us: Arc<AtomicI64>,
    merges: Arc<RwLock<Merges>>,
    retention: Arc<RwLock<Retention>>,
    disk: Arc<Faulty>,
    buckets: u32,
}

/// The machine's own disk, which fails when told to.
#[derive(Default)]
struct Faulty {
    /// Paths that contain this cannot be written.
    unwritable: RwLock<Option<&'static str>>,
    /// Nor synced.
    unsyncable: Arc<RwLock<Option<&'static str>>>,
}

struct FaultyFile {
    file: Box<dyn DiskFile>,
    path: String,
    unsyncable: Arc<RwLock<Option<&'static str>>>,
}

fn fault(path: &str, faults: &RwLock<Option<&'static str>>) -> io::Result<()> {
    match *faults.read().unwrap() {
        Some(fault) if path.contains(fault) => Err(io::Error::other("as told")),
        _ => Ok(()),
    }
}

impl Faulty {
    fn wrap(&self, path: &Path, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        let path = path.display().to_string();
        Box::new(FaultyFile { file, path, unsyncable: self.unsyncable.clone() })
    }
}

impl io::Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DiskFile for FaultyFile {
    fn sync(&mut self) -> io::Result<()> {
        fault(&self.path, &self.unsyncable)?;
        self.file.sync()
    }
}

impl Disk for Faulty {
    fn create_folders(&self, path: &Path) -> io::Result<()> {
        LocalDisk.create_folders(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        LocalDisk.list(folder)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        fault(&path.display().to_string(), &self.unwritable)?;
        Ok(self.wrap(path, LocalDisk.create(path)?))
    }
    fn append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.wrap(path, LocalDisk.append(path)?))
    }
    fn read(&self, path: &Path) -> io::Result<Bytes> {
        LocalDisk.read(path)
    }
    fn len(&self, path: &Path) -> io::Result<u64> {
        LocalDisk.len(path)
    }
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        LocalDisk.truncate(path, len)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        LocalDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove(path)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        LocalDisk.sync_folder(path)
    }
}

impl World {
    fn new(buckets: u32) -> World {
        World {
            folder: Arc::new(tempfile::tempdir().unwrap()),
            now_us: Arc::new(AtomicI64::new(NOW_US)),
            merges: Arc::default(),
            retention: Arc::default(),
            disk: Arc::default(),
            buckets,
        }
    }

    fn options(&self) -> Options {
        let World { now_us, merges, retention, .. } = self.clone();
        Options {
            disk: self.disk.clone(),
            buckets: self.buckets,
            hot_bytes_max: 1 << 20,
            merges: Arc::new(move |_| Arc::new(merges.read().unwrap().clone())),
            retention: Arc::new(move |_| retention.read().unwrap().clone()),
            ..Options::new(self.folder.path().to_owned(), Arc::new(move || now_us.load(Ordering::Relaxed)))
        }
    }

    fn open(&self) -> Store {
        Store::open(self.options(), vec![(PROJECT, [9; 32])]).unwrap()
    }

    fn now_us(&self) -> i64 {
        self.now_us.load(Ordering::Relaxed)
    }

    fn pass(&self, days: i64) {
        self.now_us.fetch_add(days * DAY_US, Ordering::Relaxed);
    }

    fn files(&self) -> BTreeSet<String> {
        let folder = self.folder.path().join("segments/p3");
        std::fs::read_dir(folder)
            .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
            .unwrap_or_default()
    }

    fn verify(&self) {
        let (files, wrong) = Store::verify(&LocalDisk, self.folder.path()).unwrap();
        assert_eq!(wrong, Vec::<String>::new());
        assert_eq!(files, self.files().len(), "files that are not listed are gone");
    }
}

fn event(subject: u32, time_us: i64, name: &str, insert_id: u64, value: i64) -> SealedEvent {
    SealedEvent {
        name: name.into(),
        subject: SubjectNo(subject),
        time_us,
        insert_id,
        properties: vec![("n".into(), Value::Number(value as f64)), ("s".into(), Value::String(format!("s{value}")))],
    }
}

fn append(store: &Store, events: Vec<SealedEvent>) {
    store.append(vec![store.seal(PROJECT, events).unwrap()]).unwrap();
}

/// What a reader sees: (subject, time, event, value), sorted.
type Row = (u32, i64, String, i64);

fn rows(snapshot: &Snapshot) -> Vec<Row> {
    let key = PropertyKey { name: "n".into(), property_type: PropertyType::Number };
    let mut rows = Vec::new();
    for segment in snapshot.segments() {
        let (core, values) = (segment.core().unwrap(), segment.column(&key).unwrap());
        assert_eq!(core.len() as u64, segment.rows);
        for (index, &subject) in core.subjects.iter().enumerate() {
            assert_eq!(columns::bucket_of(SubjectNo(subject), snapshot.buckets()), segment.bucket);
            for row in core.offsets[index] as usize..core.offsets[index + 1] as usize {
                if segment.hidden().binary_search(&(row as u32)).is_err() {
                    let value = match values.as_ref().and_then(|values| values.value(PropertyType::Number, row)) {
                        Some(Value::Number(value)) => value as i64,
                        _ => -1,
                    };
                    rows.push((subject, core.time.get(row), core.event_name(row).to_owned(), value));
                }
            }
        }
    }
    rows.sort_unstable();
    assert_eq!(rows.len() as u64, snapshot.events());
    rows
}

fn seen(store: &Store) -> Vec<Row> {
    rows(&store.snapshot(PROJECT).unwrap())
}

fn values(store: &Store) -> Vec<i64> {
    let mut values: Vec<i64> = seen(store).into_iter().map(|row| row.3).collect();
    values.sort_unstable();
    values
}

// The store against a model.

#[derive(Clone, Debug)]
enum Step {
    /// Subject, day, event, insert id.
    Append(Vec<(u32, i64, bool, u64)>),
    Snapshot,
    Flush,
    Compact(Pace),
    Reopen,
    Merge(u32, u32),
    Erase(u32),
    Pass,
}

fn step() -> impl Strategy<Value = Step> {
    let records = proptest::collection::vec((0..10_u32, 0..5_i64, any::<bool>(), 0..6_u64), 1..12);
    prop_oneof![
        8 => records.prop_map(Step::Append),
        4 => Just(Step::Flush),
        3 => Just(Step::Compact(Pace::Due)),
        2 => Just(Step::Compact(Pace::Now)),
        2 => Just(Step::Snapshot),
        2 => Just(Step::Reopen),
        2 => (0..10_u32, 0..10_u32).prop_map(|(alias, canonical)| Step::Merge(alias, canonical)),
        1 => (0..10_u32).prop_map(Step::Erase),
        1 => Just(Step::Pass),
    ]
}

#[derive(Default)]
struct Model {
    /// In order of arrival, with the value each carries.
    records: Vec<((u32, i64, bool, u64), i64)>,
    erased: BTreeSet<u32>,
}

impl Model {
    fn rows(&self, merges: &Merges) -> Vec<Row> {
        let mut newest: BTreeMap<(u32, i64, bool, u64), i64> = BTreeMap::new();
        for (record, value) in &self.records {
            newest.insert(*record, *value);
        }
        let mut rows: Vec<Row> = self
            .records
            .iter()
            .filter(|(record, value)| record.3 == 0 || newest[record] == *value)
            .filter(|(record, _)| !self.erased.contains(&record.0))
            .map(|((subject, day, event, _), value)| {
                let person = merges.canonical(SubjectNo(*subject)).0;
                (person, NOW_US - day * DAY_US, format!("e{event}"), *value)
            })
            .collect();
        rows.sort_unstable();
        rows
    }
}

fn of_persons(mut rows: Vec<Row>, merges: &Merges) -> Vec<Row> {
    for row in &mut rows {
        row.0 = merges.canonical(SubjectNo(row.0)).0;
    }
    rows.sort_unstable();
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn any_sequence_of_steps_shows_what_a_list_would(steps in proptest::collection::vec(step(), 1..40)) {
        let world = World::new(2);
        let mut store = world.open();
        let mut model = Model::default();
        let mut held: Vec<(Snapshot, Vec<Row>)> = Vec::new();
        for step in steps {
            match step {
                Step::Append(records) => {
                    let first = model.records.len() as i64;
                    model.records.extend(records.iter().zip(first..).map(|(record, value)| (*record, value)));
                    let events = model.records[first as usize..]
                        .iter()
                        .map(|((subject, day, name, id), value)| {
                            event(*subject, NOW_US - day * DAY_US, &format!("e{name}"), *id, *value)
                        })
                        .collect();
                    append(&store, events);
                }
                Step::Snapshot => {
                    let snapshot = store.snapshot(PROJECT).unwrap();
                    held.push((snapshot.clone(), rows(&snapshot)));
                }
                Step::Flush => store.flush().unwrap(),
                Step::Compact(pace) => store.compact(world.now_us(), pace).unwrap(),
                Step::Reopen => {
                    // A snapshot lives as long as its process.
                    held.clear();
                    drop(store);
                    store = world.open();
                }
                Step::Merge(alias, canonical) => {
                    world.merges.write().unwrap().link(SubjectNo(alias), SubjectNo(canonical));
                }
                Step::Erase(subject) => {
                    let subject = SubjectNo(subject);
                    let merges = world.merges.read().unwrap();
                    let person = merges.group(subject).map_or(vec![subject], |group| group.members.clone());
                    store.erase(PROJECT, &person).unwrap();
                    model.erased.extend(person.iter().map(|subject| subject.0));
                }
                Step::Pass => world.pass(1),
            }
            let merges = world.merges.read().unwrap().clone();
            prop_assert_eq!(of_persons(seen(&store), &merges), model.rows(&merges));
        }
        for (snapshot, before) in held {
            prop_assert_eq!(rows(&snapshot), before, "a snapshot never changes");
        }
        store.flush().unwrap();
        store.compact(world.now_us(), Pace::Now).unwrap();
        for segment in store.snapshot(PROJECT).unwrap().segments() {
            let subjects = segment.core().unwrap().subjects.clone();
            prop_assert!(subjects.iter().all(|subject| !model.erased.contains(subject)), "erased rows are gone");
        }
        drop(store);
        let merges = world.merges.read().unwrap().clone();
        prop_assert_eq!(of_persons(seen(&world.open()), &merges), model.rows(&merges));
        world.verify();
    }
}

#[test]
fn a_record_sent_twice_counts_once_wherever_its_copies_are() {
    let world = World::new(1);
    let store = world.open();
    append(&store, vec![event(1, 10, "a", 7, 1), event(1, 10, "a", 0, 2)]);
    store.flush().unwrap();
    append(&store, vec![event(1, 10, "a", 7, 3), event(1, 10, "b", 7, 4), event(1, 10, "a", 0, 5)]);
    assert_eq!(values(&store), [2, 3, 4, 5], "a file and the tail");
    drop(store);
    let store = world.open();
    assert_eq!(values(&store), [2, 3, 4, 5], "after a restart");
    let before = store.snapshot(PROJECT).unwrap();
    store.flush().unwrap();
    append(&store, vec![event(1, 10, "b", 7, 6)]);
    assert_eq!(values(&store), [2, 3, 5, 6], "two files and the tail");
    drop(before);
    drop(store);
    let store = world.open();
    store.flush().unwrap();
    store.compact(NOW_US, Pace::Due).unwrap();
    assert_eq!(values(&store), [2, 3, 5, 6]);
    drop(store);
    world.verify();
}

#[test]
fn moved_rows_are_still_recognised_and_different_senders_stay_different() {
    let world = World::new(2);
    let store = world.open();
    // Two ids of one person, who sent the same record under each of them.
    append(&store, vec![event(1, 10, "a", 7, 1), event(4, 10, "a", 7, 2)]);
    store.flush().unwrap();
    world.merges.write().unwrap().link(SubjectNo(1), SubjectNo(4));
    for round in 0..4 {
        append(&store, vec![event(1, 20, "x", 0, 10 + round)]);
        store.flush().unwrap();
    }
    store.compact(NOW_US, Pace::Due).unwrap();
    let subjects: BTreeSet<u32> = seen(&store).into_iter().map(|row| row.0).collect();
    assert_eq!(subjects, BTreeSet::from([4]), "all rows are the person's now");
    assert_eq!(values(&store), [1, 2, 10, 11, 12, 13]);
    append(&store, vec![event(1, 10, "a", 7, 3)]);
    assert_eq!(values(&store), [2, 3, 10, 11, 12, 13], "a copy under the old id");
    world.merges.write().unwrap().link(SubjectNo(4), SubjectNo(9));
    append(&store, vec![event(4, 10, "a", 7, 5)]);
    assert_eq!(values(&store), [3, 5, 10, 11, 12, 13]);
    store.flush().unwrap();
    assert_eq!(values(&store), [3, 5, 10, 11, 12, 13]);
}

#[test]
fn which_subjects_were_written_under_another_is_known_over_restarts_and_others_are_not_named() {
    let world = World::new(2);
    let store = world.open();
    let folded = |store: &Store| store.while_nothing_folds(PROJECT, Clone::clone).unwrap();
    for round in 0..4 {
        append(&store, (1..=5).map(|subject| event(subject, 10 + round, "a", 0, round)).collect());
        store.flush().unwrap();
    }
    let link = |alias, canonical| world.merges.write().unwrap().link(SubjectNo(alias), SubjectNo(canonical));
    link(1, 4);
    // Nobody has rows of 77.
    link(77, 4);
    assert_eq!(folded(&store), BTreeSet::new(), "nothing was rewritten since");
    store.compact(NOW_US, Pace::Due).unwrap();
    let first = BTreeSet::from([(SubjectNo(1), SubjectNo(4))]);
    assert_eq!(folded(&store), first);
    link(2, 5);
    drop(store);
    let store = world.open();
    assert_eq!(folded(&store), first);
    // Now rows of 4 move, those that were 1's among them, and new ones of 1.
    link(4, 5);
    for round in 0..4 {
        append(&store, vec![event(1, 20 + round, "a", 0, round), event(4, 20 + round, "a", 0, round)]);
        append(&store, vec![event(2, 20 + round, "a", 0, round)]);
        store.flush().unwrap();
    }
    store.compact(NOW_US, Pace::Due).unwrap();
    let tie = |subject, under| (SubjectNo(subject), SubjectNo(under));
    assert_eq!(folded(&store), BTreeSet::from([tie(1, 4), tie(1, 5), tie(2, 5), tie(4, 5)]));
    drop(store);
    assert_eq!(folded(&world.open()).len(), 4);
}

#[test]
fn erased_subjects_are_hidden_at_once_and_gone_within_a_day() {
    let world = World::new(1);
    let store = world.open();
    append(&store, (0..10).map(|i| event(i % 5, NOW_US + i64::from(i), "a", 0, i64::from(i))).collect());
    store.flush().unwrap();
    append(&store, (10..20).map(|i| event(i % 5, NOW_US + i64::from(i), "a", 0, i64::from(i))).collect());
    let before = store.snapshot(PROJECT).unwrap();
    store.erase(PROJECT, &[SubjectNo(3)]).unwrap();
    let left: Vec<i64> = (0..20).filter(|i| i % 5 != 3).collect();
    assert_eq!(values(&store), left);
    assert_eq!(rows(&before).len(), 20, "a view that is already out is not taken back");
    append(&store, vec![event(3, NOW_US + 99, "a", 0, 99)]);
    assert_eq!(values(&store), left, "nor do later events of theirs show");
    drop((before, store));
    let store = world.open();
    assert_eq!(values(&store), left, "after a restart");

    let holds = || {
        let snapshot = store.snapshot(PROJECT).unwrap();
        snapshot.segments().iter().filter(|segment| segment.core().unwrap().subjects.contains(&3)).count()
    };
    store.flush().unwrap();
    assert_eq!(holds(), 1, "a flush leaves them out");
    store.compact(world.now_us(), Pace::Due).unwrap();
    assert_eq!(holds(), 1);
    world.pass(1);
    store.compact(world.now_us(), Pace::Due).unwrap();
    assert_eq!(holds(), 0);
    assert_eq!(values(&store), left);
    store.erase(PROJECT, &[SubjectNo(4)]).unwrap();
    store.compact(world.now_us(), Pace::Now).unwrap();
    let snapshot = store.snapshot(PROJECT).unwrap();
    assert!(snapshot.segments().iter().all(|segment| segment.hidden().is_empty()));
    assert_eq!(values(&store), left.iter().copied().filter(|i| i % 5 != 4).collect::<Vec<_>>());
}

#[test]
fn events_and_columns_go_when_their_time_is_over() {
    let world = World::new(1);
    let store = world.open();
    append(&store, (0..10).map(|day| event(1, NOW_US - day * DAY_US, "a", 0, day)).collect());
    store.flush().unwrap();
    append(&store, (20..30).map(|day| event(1, NOW_US - day * DAY_US, "a", 0, day)).collect());
    store.flush().unwrap();
    let compact = |events_days, columns: &[(&str, u32)]| {
        let columns = columns.iter().map(|(name, days)| ((*name).to_owned(), *days)).collect();
        *world.retention.write().unwrap() = Retention { events_days, columns };
        store.compact(world.now_us(), Pace::Due).unwrap();
        values(&store)
    };
    assert_eq!(compact(Some(40), &[]), (0..10).chain(20..30).collect::<Vec<_>>());
    assert_eq!(compact(Some(25), &[]), (0..10).chain(20..=25).collect::<Vec<_>>(), "a part of a segment");
    assert_eq!(compact(Some(12), &[]), (0..10).collect::<Vec<_>>(), "a whole one");
    assert_eq!(world.files().len(), 1);
    assert_eq!(compact(None, &[("n", 8)]), (0..10).collect::<Vec<_>>(), "a day of values goes at a time");
    store.compact(world.now_us(), Pace::Now).unwrap();
    assert_eq!(values(&store), [-1].into_iter().chain(0..9).collect::<Vec<_>>(), "but for whoever asks for it now");
    let young = [-1; 4].into_iter().chain(0..=5).collect::<Vec<_>>();
    assert_eq!(compact(None, &[("n", 5)]), young, "a part of a segment's values");
    assert_eq!(compact(None, &[("n", 5)]), young);
    world.verify();
    world.pass(6);
    assert_eq!(compact(None, &[("n", 5)]), [-1; 10]);
    let names: BTreeSet<String> = store.snapshot(PROJECT).unwrap().keys().into_iter().map(|key| key.name).collect();
    assert_eq!(names, BTreeSet::from(["s".to_owned()]));
}

#[test]
fn a_replaced_file_stays_as_long_as_a_snapshot_reads_it() {
    let world = World::new(1);
    let store = world.open();
    for round in 0..4 {
        append(&store, vec![event(1, round, "a", 0, round)]);
        store.flush().unwrap();
    }
    let snapshot = store.snapshot(PROJECT).unwrap();
    store.compact(NOW_US, Pace::Due).unwrap();
    assert_eq!(store.files(PROJECT).unwrap(), 1);
    assert_eq!(world.files().len(), 5);
    assert_eq!(rows(&snapshot), seen(&store));
    drop(snapshot);
    assert_eq!(world.files().len(), 1);
    world.verify();
}

#[test]
fn much_data_lies_by_period_and_late_events_do_not_move_it() {
    let world = World::new(1);
    let store = world.open();
    let plain = |i: i64, time_us: i64| SealedEvent { properties: vec![], ..event((i % 97) as u32, time_us, "a", 0, 0) };
    // Today, earlier in the month and four months of history.
    let days = [0, 5, 40, 75, 110];
    for part in 0..4 {
        append(
            &store,
            (0..60_000).map(|i| plain(i, NOW_US - days[i as usize % 5] * DAY_US + part * 1_000 + i)).collect(),
        );
        store.flush().unwrap();
    }
    store.compact(NOW_US, Pace::Due).unwrap();
    let ranges = || -> Vec<(i64, i64)> {
        let snapshot = store.snapshot(PROJECT).unwrap();
        let mut ranges: Vec<(i64, i64)> = snapshot.segments().iter().map(|segment| segment.time_us).collect();
        ranges.sort_unstable();
        ranges
    };
    let settled = ranges();
    assert_eq!(settled.len(), 5);
    assert!(settled.iter().all(|(low, high)| high - low < DAY_US));
    assert_eq!(store.snapshot(PROJECT).unwrap().events(), 240_000);
    let files = world.files();
    append(&store, (0..500).map(|i| plain(i, NOW_US - (i % 120) * DAY_US)).collect());
    store.flush().unwrap();
    store.compact(NOW_US, Pace::Due).unwrap();
    assert!(world.files().is_superset(&files), "late events wait until they are worth it");
    assert_eq!(store.snapshot(PROJECT).unwrap().events(), 240_500);
    // Today becomes part of its week; nothing else is touched.
    world.pass(10);
    store.compact(world.now_us(), Pace::Due).unwrap();
    assert_eq!(store.snapshot(PROJECT).unwrap().events(), 240_500);
}

// Disks that fail.

#[test]
fn a_flush_that_fails_loses_nothing_and_leaves_nothing() {
    let world = World::new(1);
    let store = world.open();
    append(&store, vec![event(1, 10, "a", 7, 1)]);
    store.flush().unwrap();
    append(&store, vec![event(1, 10, "a", 7, 2), event(2, 11, "a", 0, 3)]);
    *world.disk.unwritable.write().unwrap() = Some(".tmp");
    store.flush().unwrap_err();
    *world.disk.unwritable.write().unwrap() = None;
    assert_eq!(values(&store), [2, 3]);
    append(&store, vec![event(2, 12, "a", 0, 4)]);
    drop(store);
    let store = world.open();
    assert_eq!(values(&store), [2, 3, 4], "the log still has them");
    store.flush().unwrap();
    assert_eq!(values(&store), [2, 3, 4]);
    assert_eq!(store.tail_events(), 0);
    drop(store);
    world.verify();
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_a_restart() {
    let world = World::new(1);
    let store = world.open();
    append(&store, vec![event(1, 10, "a", 0, 1)]);
    *world.disk.unsyncable.write().unwrap() = Some(".log");
    let refused = |store: &Store| store.append(vec![store.seal(PROJECT, vec![event(1, 11, "a", 0, 2)]).unwrap()]);
    assert!(matches!(refused(&store), Err(Error::Io { .. })));
    *world.disk.unsyncable.write().unwrap() = None;
    assert!(matches!(refused(&store), Err(Error::LogUnavailable { .. })));
    assert!(store.flush().is_err());
    assert_eq!(values(&store), [1]);
    drop(store);
    let store = world.open();
    assert_eq!(values(&store)[0], 1);
    append(&store, vec![event(1, 12, "a", 0, 3)]);
    assert_eq!(*values(&store).last().unwrap(), 3);
}

#[test]
fn after_a_failed_transaction_the_manifest_waits_for_a_restart() {
    let world = World::new(1);
    let store = world.open();
    append(&store, vec![event(1, 10, "a", 0, 1)]);
    *world.disk.unsyncable.write().unwrap() = Some("manifest");
    assert!(matches!(store.flush(), Err(Error::ManifestUnavailable { .. })));
    *world.disk.unsyncable.write().unwrap() = None;
    assert!(matches!(store.flush(), Err(Error::ManifestUnavailable { .. })));
    append(&store, vec![event(1, 11, "a", 0, 2)]);
    assert_eq!(values(&store), [1, 2], "events are taken in and shown all the same");
    drop(store);
    let store = world.open();
    assert_eq!(values(&store), [1, 2], "whether the transaction took place or not");
    store.flush().unwrap();
    drop(store);
    world.verify();
}

#[test]
fn a_manifest_that_lost_its_last_transaction_is_not_believed() {
    let world = World::new(1);
    let store = world.open();
    append(&store, vec![event(1, 10, "a", 0, 1)]);
    store.flush().unwrap();
    drop(store);
    let path = world.folder.path().join("manifest");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    let error = Store::open(world.options(), vec![(PROJECT, [9; 32])]).err().unwrap();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert_eq!(world.files().len(), 1, "the segment it no longer names is not taken for garbage");
}

// The lake with its threads.

async fn open(world: &World, flush_events: usize) -> Lake {
    Lake::open(Options { flush_events, ..world.options() }, vec![(PROJECT, [9; 32])]).await.unwrap()
}

fn batch(from: i64, count: i64) -> Vec<SealedEvent> {
    (from..from + count).map(|i| event((i % 5) as u32, i, "e", i as u64 + 1, i)).collect()
}

fn times(lake: &Lake) -> Vec<i64> {
    let mut times: Vec<i64> = rows(&lake.snapshot(PROJECT).unwrap()).into_iter().map(|row| row.1).collect();
    times.sort_unstable();
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn events_survive_restart_flush_and_compaction() {
    let world = World::new(2);
    let lake = open(&world, 1_000_000).await;
    lake.append(PROJECT, batch(0, 10)).await.unwrap();
    assert_eq!(times(&lake), (0..10).collect::<Vec<_>>());
    drop(lake);

    let lake = open(&world, 1_000_000).await;
    assert_eq!(times(&lake), (0..10).collect::<Vec<_>>());
    for round in 1..9 {
        lake.append(PROJECT, batch(round * 10, 10)).await.unwrap();
        lake.flush().await.unwrap();
        assert_eq!(lake.tail_events(), 0);
        assert_eq!(times(&lake), (0..round * 10 + 10).collect::<Vec<_>>());
    }
    lake.compact_now().await.unwrap();
    assert_eq!(times(&lake), (0..90).collect::<Vec<_>>());
    assert!(lake.snapshot(PROJECT).unwrap().segments().len() < 10);
    lake.append(PROJECT, batch(85, 10)).await.unwrap();
    lake.erase(PROJECT, &[SubjectNo(4)]).await.unwrap();
    drop(lake);

    let lake = open(&world, 1_000_000).await;
    lake.flush().await.unwrap();
    assert_eq!(times(&lake), (0..95).filter(|i| i % 5 != 4).collect::<Vec<_>>());
    drop(lake);
    let (files, wrong) = verify(world.folder.path()).await.unwrap();
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(files, world.files().len(), "replaced files are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn flushes_by_itself_when_the_tail_is_large() {
    let world = World::new(2);
    let lake = open(&world, 50).await;
    for round in 0..20 {
        lake.append(PROJECT, batch(round * 10, 10)).await.unwrap();
    }
    while lake.tail_events() >= 50 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(times(&lake), (0..200).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_and_writers_beside_maintenance_see_every_event_once() {
    let world = World::new(2);
    let lake = open(&world, 200).await;
    let writers: Vec<_> = (0..4_i64)
        .map(|writer| {
            let lake = lake.clone();
            tokio::spawn(async move {
                for round in 0..25 {
                    let from = writer * 1_000 + round * 20;
                    lake.append(PROJECT, batch(from, 20)).await.unwrap();
                    // A resend of some of them.
                    lake.append(PROJECT, batch(from, 5)).await.unwrap();
                    let seen = times(&lake);
                    assert!(
                        seen.iter().filter(|time| (writer * 1_000..from + 20).contains(*time)).count() as i64
                            == round * 20 + 20
                    );
                    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "an event twice");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    lake.compact_now().await.unwrap();
    assert_eq!(times(&lake).len(), 2_000);
    drop(lake);
    world.verify();
}
