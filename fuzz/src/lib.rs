//! What the fuzz targets do with foreign bytes, as plain functions: libFuzzer calls them through `fuzz_targets/`,
//! and `crates/sim/tests/fuzz_corpus.rs` includes this file and runs them over the committed corpus.
//!
//! A body panics when a promise does not hold; refusing the bytes is always allowed.

use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;

use cofferdam_lake::Snapshot;
use cofferdam_model::{Merges, Query, SealedEvent, SubjectNo, Value};
use cofferdam_query::{Input, Output};
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
    for record in records.into_iter().take(RECORDS_MAX) {
        let Ok(object) = wire::read_object(record) else { continue };
        // Both borrow from the record and must cope with any shape of it.
        let _ = wire::token_of(&object);
        assert!(wire::insert_id_of(&object).len() <= cofferdam_model::limits::INSERT_ID_BYTES_MAX);
        for mode in [IdentityMode::Simplified, IdentityMode::Original] {
            let doors = [Door::Track, Door::Import(Strictness::Strict), Door::Import(Strictness::Lenient)];
            let passed = doors.map(|door| wire::validate(object.clone(), door, mode, NOW_US).is_ok());
            assert!(!passed[1] || passed[2], "the lenient door lets in whatever the strict one does");
            for kind in [ProfileKind::Person, ProfileKind::Group] {
                // Refusal and acceptance are both fine: only a panic is not.
                let _ = wire::validate_update(object.clone(), kind, mode, NOW_US);
            }
        }
    }
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
    let ask = |snapshot| -> Option<Output> {
        let input = Input {
            snapshot,
            merges: &merges,
            zone: &ZONE,
            now_us: NOW_US,
            person: Some(SubjectNo(4)),
            scanned: AtomicU64::new(0),
        };
        match cofferdam_query::run(&input, &query) {
            Ok(output) => Some(output),
            Err(cofferdam_query::Error::Invalid(_)) => None,
            Err(error) => panic!("events in memory can always be read: {error}"),
        }
    };
    let [whole, pieces] = &*VIEWS;
    assert_eq!(ask(whole), ask(pieces), "how events are stored changes no answer");
}
