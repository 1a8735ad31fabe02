//! The body of every fuzz target over its committed corpus: as it is, cut short everywhere, and with single bytes
//! changed. What fuzzing finds goes into `fuzz/corpus/` and is checked here from then on.

use std::path::Path;

#[expect(unreachable_pub, reason = "a crate of its own elsewhere")]
#[path = "../../../fuzz/src/lib.rs"]
mod bodies;

/// Runs a body over every file of its corpus and what lies near it. Answers how many inputs that were.
fn over_corpus(target: &str, body: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut inputs = 0;
    let mut run = |name: &str, what: &str, bytes: &[u8]| {
        inputs += 1;
        if std::panic::catch_unwind(|| body(bytes)).is_err() {
            panic!("{target}: {name}, {what}, breaks a promise: {}", bytes.escape_ascii());
        }
    };
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus of {target} is empty");
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.len() < 4_096, "{name} is too large for a corpus that is run in every test");
        run(&name, "as it is", &bytes);
        for len in 0..bytes.len() {
            run(&name, &format!("cut to {len} bytes"), &bytes[..len]);
        }
        let mut changed = bytes.clone();
        for at in 0..bytes.len() {
            for mask in [0x01, 0x80, 0xff] {
                changed[at] = bytes[at] ^ mask;
                run(&name, &format!("byte {at} changed by {mask:#04x}"), &changed);
            }
            changed[at] = bytes[at];
        }
    }
    inputs
}

#[test]
fn the_wire_copes_with_anything_near_its_corpus() {
    assert!(over_corpus("wire", bodies::wire) > 1_000);
}

#[test]
fn questions_cope_with_anything_near_their_corpus() {
    assert!(over_corpus("query_json", bodies::query_json) > 1_000);
}

#[test]
fn logs_cope_with_anything_near_their_corpus() {
    assert!(over_corpus("wal", bodies::wal) > 500);
}

#[test]
fn segments_cope_with_anything_near_their_corpus() {
    assert!(over_corpus("segment", bodies::segment) > 500);
}
