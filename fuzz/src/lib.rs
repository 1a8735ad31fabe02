//! What the fuzz targets do with foreign bytes, as plain functions: libFuzzer calls them through `fuzz_targets/`,
//! and `crates/sim/tests/fuzz_corpus.rs` includes this file and runs them over the committed corpus.
//!
//! A body panics when a promise does not hold; refusing the bytes is always allowed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use cofferdam_lake::disk::Disk;
use cofferdam_lake::{Options, Segment, Snapshot, Store, codec};
use cofferdam_model::{Merges, ProjectId, Query, SealedEvent, SubjectNo, Value};
use cofferdam_query::{Error, Input, Output, People};
use cofferdam_sim::disk::{Crash, SimDisk};
use cofferdam_sim::model::{Row, row, rows_of, rows_of_segment};
use cofferdam_vault::wire::{self, Door, IdentityMode, ProfileKind, Strictness};
use jiff::tz::TimeZone;

/// 2026-10-15T12:00:00Z.
const NOW_US: i64 = 1_792_065_600_000_000;
const HOUR_US: i64 = 3_600_000_000;
/// Records of one body that are looked at: more of them find nothing new.
const RECORDS_MAX: usize = 64;

/// A request's body, whole and record by record, at every door.
pub fn wire(body: &[u8]) {
    let Ok(records) = wire::split(body) else { return };
    let mut at = body.as_ptr() as usize;
    let end = at + body.len();
    for record in &records {
        let start = record.as_ptr() as usize;
        assert!(start >= at && start + record.len() <= end, "records lie in the body, in order, and do not overlap");
        at = start + record.len();
    }
    if !records.is_empty() && records.iter().all(|record| !record.is_empty()) && body.trim_ascii().starts_with(b"[") {
        let joined = [b"[", records.join(&b',').as_slice(), b"]"].concat();
        assert_eq!(wire::split(&joined).as_deref(), Ok(records.as_slice()), "what was cut out is cut out again");
    }
    let Ok(events) = wire::read_events(body) else { return };
    assert_eq!(events.len(), records.len(), "reading a body at once finds the records that cutting it finds");
    for (event, record) in events.into_iter().zip(records).take(RECORDS_MAX) {
        assert_eq!(event.bytes.trim_ascii(), record.trim_ascii());
        if let Ok(sent) = event.read {
            // Both borrow from the record and must cope with any shape of it.
            let _ = sent.token();
            assert!(sent.insert_id().len() <= cofferdam_model::limits::INSERT_ID_BYTES_MAX);
            for mode in [IdentityMode::Simplified, IdentityMode::Original] {
                let doors = [Door::Track, Door::Import(Strictness::Strict), Door::Import(Strictness::Lenient)];
                let passed = doors.map(|door| passes(record, door, mode));
                assert!(!passed[1] || passed[2], "the lenient door lets in whatever the strict one does");
            }
        }
        let Ok(object) = wire::read_object(record) else { continue };
        let _ = wire::token_of(&object);
        for mode in [IdentityMode::Simplified, IdentityMode::Original] {
            for kind in [ProfileKind::Person, ProfileKind::Group] {
                // Refusal and acceptance are both fine: only a panic is not.
                let _ = wire::validate_update(object.clone(), kind, mode, NOW_US);
            }
        }
    }
}

/// Whether a record, read by itself, passes a door.
fn passes(record: &[u8], door: Door, mode: IdentityMode) -> bool {
    wire::read_events(record)
        .into_iter()
        .flatten()
        .all(|event| event.read.is_ok_and(|sent| wire::validate(sent, door, mode, NOW_US).is_ok()))
}

/// Few persons, coarse times: ties, duplicates, merges and values of every type.
fn small_world() -> Vec<SealedEvent> {
    (0..90_u32)
        .map(|i| {
            let value = match i % 6 {
                0 => Value::String(["x", "y", "3"][i as usize % 3].to_owned()),
                1 => Value::Number(f64::from(i % 7) / 2.0),
                2 => Value::Bool(i % 4 == 0),
                3 => Value::Time(NOW_US - i64::from(i) * HOUR_US),
                4 => Value::List(vec!["x".to_owned(), "z".to_owned()]),
                _ => Value::Object("{\"k\":1}".to_owned()),
            };
            SealedEvent {
                name: ["a", "b", "c"][(i * i % 3) as usize].to_owned(),
                subject: if i % 13 == 12 { SubjectNo::NOBODY } else { SubjectNo(i * 7 % 11) },
                time_us: NOW_US - i64::from(i * 5 % 60) * 11 * HOUR_US,
                insert_id: u64::from(i % 4),
                properties: if i % 5 == 0 { Vec::new() } else { vec![("p".to_owned(), value)] },
            }
        })
        .collect()
}

/// A question as JSON, asked of the same events in one piece and in many: the answers must be equal.
pub fn query_json(json: &[u8]) {
    static VIEWS: LazyLock<[Snapshot; 2]> =
        LazyLock::new(|| [Snapshot::of_events(small_world(), 1, 1), Snapshot::of_events(small_world(), 4, 3)]);
    static ZONE: LazyLock<TimeZone> = LazyLock::new(|| TimeZone::get("Europe/Madrid").expect("a bundled zone"));
    let Ok(query) = serde_json::from_slice::<Query>(json) else { return };
    let text = serde_json::to_string(&query).expect("a question can be written down");
    assert!(serde_json::from_str::<Query>(&text).is_ok(), "and read again");
    let mut merges = Merges::default();
    merges.link(SubjectNo(1), SubjectNo(4));
    merges.link(SubjectNo(9), SubjectNo(4));
    let people = People::default();
    let ask = |snapshot| -> Option<Output> {
        let mut input = Input::new(snapshot, &merges, &ZONE, NOW_US, &people);
        input.person = Some(SubjectNo(4));
        input.threads = 1;
        match cofferdam_query::run(&input, &query) {
            Ok(output) => Some(output),
            // Nobody prepared sets of persons here.
            Err(Error::Invalid(_) | Error::TooLarge | Error::Unprepared) => None,
            Err(error) => panic!("events in memory can always be read: {error}"),
        }
    };
    let [whole, pieces] = &*VIEWS;
    assert_eq!(ask(whole), ask(pieces), "how events are stored changes no answer");
}

const PROJECT: ProjectId = ProjectId(1);
const KEY: [u8; 32] = [7; 32];

fn open(disk: &SimDisk) -> cofferdam_lake::Result<Store> {
    let options = Options {
        disk: Arc::new(disk.clone()),
        flush_events: usize::MAX,
        buckets: 2,
        ..Options::new(PathBuf::from("/lake"), Arc::new(|| NOW_US))
    };
    Store::open(options, vec![(PROJECT, KEY)])
}

/// A disk with a log of six groups, the rows of each, and where each group begins.
struct Logged {
    disk: SimDisk,
    log: PathBuf,
    groups: Vec<(usize, Vec<Row>)>,
}

static LOGGED: LazyLock<Logged> = LazyLock::new(|| {
    let disk = SimDisk::new(1);
    let store = open(&disk).expect("an empty disk");
    let newest = || disk.files().into_iter().rfind(|(path, _)| path.extension().is_some_and(|end| end == "log"));
    let mut groups = Vec::new();
    let mut log = PathBuf::new();
    for (group, events) in small_world().chunks(15).enumerate() {
        let (path, len) = newest().expect("an open store has a log");
        log = path;
        // No two are the same record, so that each row is its event.
        let events: Vec<SealedEvent> =
            events.iter().map(|event| SealedEvent { insert_id: 0, ..event.clone() }).collect();
        groups.push((usize::try_from(len).expect("short"), events.iter().map(row).collect()));
        store
            .append(vec![store.seal(PROJECT, events).expect("room")])
            .unwrap_or_else(|error| panic!("{group}: {error}"));
    }
    drop(store);
    Logged { disk: disk.restart(Crash::Power), log, groups }
});

/// The log of a store, with bytes from anywhere in it. The first byte says how:
/// 0: they are a frame's payload, as it is after decryption;
/// 1: they are a whole file of the log;
/// 2: they are frames behind a good header, with marker and checksum put right;
/// 3: they are changes of a real log, each a place (2 bytes) and a mask: what was durable before is not lost silently.
pub fn wal(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    match how % 4 {
        0 => {
            if let Some(events) = codec::decode(bytes) {
                let again = codec::decode(&codec::encode(&events)).expect("what was decoded can be encoded");
                assert_eq!(again.len(), events.len());
            }
        }
        1 => recover(bytes),
        2 => {
            let Logged { disk, log, groups } = &*LOGGED;
            let whole = disk.read(log).expect("it is there");
            let mut file = whole[..groups[0].0].to_vec();
            for body in bytes.chunks(96) {
                let start = file.len();
                file.extend_from_slice(&whole[groups[0].0..groups[0].0 + 4]);
                file.extend_from_slice(&(body.len() as u32).to_le_bytes());
                file.extend_from_slice(&[0; 4]);
                file.extend_from_slice(body);
                let crc = crc32c::crc32c_append(crc32c::crc32c(&file[start + 4..start + 8]), &file[start + 12..]);
                file[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
            }
            recover(&file);
        }
        _ => changed(bytes),
    }
}

fn recover(log: &[u8]) {
    let disk = LOGGED.disk.copy();
    disk.plant(&LOGGED.log, log);
    if let Ok(store) = open(&disk) {
        let snapshot = store.snapshot(PROJECT).expect("what was recovered can be read");
        rows_of(&snapshot).expect("what was recovered can be read");
        drop(store);
        open(&disk.restart(Crash::Process)).map(drop).expect("what was recovered once is recovered again");
    }
}

fn changed(changes: &[u8]) {
    let Logged { disk, log, groups } = &*LOGGED;
    let mut bytes = disk.read(log).expect("it is there").to_vec();
    let mut touched = vec![false; groups.len()];
    for change in changes.chunks_exact(3).filter(|change| change[2] != 0) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] ^= change[2];
        if let Some(group) = groups.partition_point(|(start, _)| *start <= at).checked_sub(1) {
            touched[group] = true;
        }
    }
    let disk = disk.copy();
    disk.plant(log, &bytes);
    let Ok(store) = open(&disk) else { return };
    let mut rows = rows_of(&store.snapshot(PROJECT).expect("recovered")).expect("recovered");
    rows.sort();
    let shown = |count: usize| {
        let mut expected: Vec<Row> = groups[..count].iter().flat_map(|(_, rows)| rows.iter().cloned()).collect();
        expected.sort();
        expected == rows
    };
    // A group that is left out looks like one that was never answered, unless a good one behind it says otherwise.
    let nobody_tells = |missing: usize| touched.iter().skip(missing + 1).all(|touched| *touched);
    assert!((0..=groups.len()).any(|count| shown(count) && nobody_tells(count)), "damage went unnoticed");
}

/// A disk with segments and their hot columns, and what is in them.
struct Segmented {
    disk: SimDisk,
    truth: PathBuf,
    hot: Vec<PathBuf>,
    rows: Vec<Row>,
}

static SEGMENTED: LazyLock<Segmented> = LazyLock::new(|| {
    let disk = SimDisk::new(1);
    let store = open(&disk).expect("an empty disk");
    store.append(vec![store.seal(PROJECT, small_world()).expect("room")]).expect("room");
    store.flush().expect("a disk without faults");
    let mut rows = rows_of(&store.snapshot(PROJECT).expect("open")).expect("open");
    rows.sort();
    drop(store);
    let disk = disk.restart(Crash::Process);
    let ending = |end: &str| -> Vec<PathBuf> {
        let files = disk.files().into_iter().map(|(path, _)| path);
        files.filter(|path| path.extension().is_some_and(|extension| extension == end)).collect()
    };
    let truth = ending("parquet").swap_remove(0);
    let hot = ending("hot");
    assert!(!hot.is_empty(), "reading makes hot columns");
    Segmented { disk, truth, hot, rows }
});

/// A segment's files, with bytes from anywhere in them. The first byte says how:
/// 0: they are the whole Parquet file;
/// 1: they are changes of a real one, each a place (2 bytes, from the end) and a mask;
/// 2: they are a whole hot column, the first of them says which: what is read is right all the same.
pub fn segment(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let Segmented { disk, truth, hot, rows } = &*SEGMENTED;
    let written = disk.read(truth).expect("it is there");
    let read = |file: &[u8]| {
        let disk = SimDisk::new(1);
        let path = Path::new("/d/p/s.parquet");
        disk.plant(path, file);
        if let Ok(segment) = Segment::of_file(Arc::new(disk), path, crc32c::crc32c(&written)) {
            assert!(rows_of_segment(&segment).is_err() || file == &written[..], "a foreign file was believed");
        }
    };
    match how % 3 {
        0 => read(bytes),
        1 => {
            let mut file = written.to_vec();
            for change in bytes.chunks_exact(3) {
                let at = file.len() - 1 - usize::from(u16::from_le_bytes([change[0], change[1]])) % file.len();
                file[at] ^= change[2];
            }
            read(&file);
        }
        _ => {
            let Some((which, bytes)) = bytes.split_first() else { return };
            let disk = disk.copy();
            disk.plant(&hot[usize::from(*which) % hot.len()], bytes);
            let store = open(&disk).expect("hot columns are not needed");
            let mut found = rows_of(&store.snapshot(PROJECT).expect("open")).expect("hot columns are not needed");
            found.sort();
            assert!(found == *rows, "a foreign hot column was believed");
        }
    }
}
