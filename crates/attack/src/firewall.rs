//! Attacks on the door: secrets sent as ordinary properties, and bodies that are meant to break or fill it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use parquet::basic::Type;
use parquet::column::reader::ColumnReader;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::{Value, json};

use crate::corpus::{self, Label, Line, Part};
use crate::running::{Running, now_ms};
use crate::{Case, Outcome, Stage};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case { number: 69, title: "secrets and personal values in ordinary properties", run: secrets },
        Case { number: 70, title: "bodies that are made to fill or break the door", run: flood },
    ]
}

/// Lines of an event name: as many as one list of events answers.
const BLOCK: usize = 400;

/// What must be reached on lines nobody tuned against, and on the others.
const RECALL_MIN: f64 = 0.99;
const PRECISION_MIN: f64 = 0.95;

/// How the lines of a kind ended.
#[derive(Clone, Copy, Default)]
struct Count {
    lines: usize,
    /// Left the event, or lost the part that gives them away.
    caught: usize,
}

fn secrets(stage: &Stage) -> Result<Outcome> {
    let count = if stage.is_full { 24_000 } else { 3_000 };
    let server = &mut Running::start(&stage.binary, &stage.folder, &["--flush-events", "500"])?;
    let mut figures = Vec::new();
    let mut is_through = false;
    let mut needles = Vec::new();
    for (part, word) in [(Part::Open, "open"), (Part::Second, "second"), (Part::HeldBack, "held back")] {
        let lines = corpus::lines(part, count / 3);
        let stored = send_and_read(server, word, &lines)?;
        let mut kinds: BTreeMap<(Label, &str), Count> = BTreeMap::new();
        for (line, value) in lines.iter().zip(&stored) {
            let entry = kinds.entry((line.label, line.kind)).or_default();
            entry.lines += 1;
            entry.caught += usize::from(match line.label {
                Label::Harmless => value.as_deref() != Some(&*line.text),
                _ => value.as_deref().is_none_or(|value| !value.contains(&line.needle)),
            });
        }
        let sum = |label: Label| {
            let of_label = kinds.iter().filter(|((other, _), _)| *other == label);
            of_label.fold(Count::default(), |sum, (_, count)| Count {
                lines: sum.lines + count.lines,
                caught: sum.caught + count.caught,
            })
        };
        let (secret, personal, harmless) = (sum(Label::Secret), sum(Label::Personal), sum(Label::Harmless));
        let recall = secret.caught as f64 / secret.lines as f64;
        let personal_recall = personal.caught as f64 / personal.lines as f64;
        let right = (secret.caught + personal.caught) as f64;
        let precision = right / (right + harmless.caught as f64).max(1.0);
        is_through |= recall < RECALL_MIN || personal_recall < RECALL_MIN || precision < PRECISION_MIN;
        figures.push(format!(
            "{word}: {} lines, recall of secrets {recall:.4}, of personal values {personal_recall:.4}, precision {precision:.4}",
            lines.len()
        ));
        for ((label, kind), count) in &kinds {
            let share = count.caught as f64 / count.lines as f64;
            eprintln!("{word:9} {label:?}\t{kind:24} {:6} lines, {share:.4} caught", count.lines);
        }
        if std::env::var_os("COFFERDAM_ATTACK_MISSES").is_some() && part != Part::HeldBack {
            for (line, value) in lines.iter().zip(&stored) {
                let kept =
                    value.as_deref().is_some_and(|value| value.contains(&line.needle) && line.label != Label::Harmless);
                let taken = line.label == Label::Harmless && value.as_deref() != Some(&*line.text);
                if kept || taken {
                    eprintln!("missed: {:?} {} {}={:?} -> {value:?}", line.label, line.kind, line.property, line.text);
                }
            }
        }
        let secret = lines.into_iter().filter(|line| line.label == Label::Secret);
        needles.extend(secret.filter(|line| line.needle.len() >= 8).map(|line| line.needle));
    }
    // Segments are written behind the answers; then every byte on disk is looked at.
    let waited = std::time::Instant::now();
    while !has_segment(&server.data)? {
        ensure!(waited.elapsed().as_secs() < 30, "nothing was written to segments");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    server.stop()?;
    let log = server.log();
    let found = on_disk(&server.data, &log, &needles)?;
    figures.push(format!("{found} of {} secrets on disk", needles.len()));
    // What no detector saw is on disk; nothing else may be.
    is_through |= found as f64 > (1.0 - RECALL_MIN) * needles.len() as f64;
    Ok(Outcome { is_through, figure: figures.join("; ") })
}

/// Sends each line as a property of an event of its own, and reads back what reports have of it.
fn send_and_read(server: &Running, word: &str, lines: &[Line]) -> Result<Vec<Option<String>>> {
    let mut stored = Vec::with_capacity(lines.len());
    for (block, chunk) in lines.chunks(BLOCK).enumerate() {
        let name = format!("{word} {block}");
        let events: Vec<Value> = chunk
            .iter()
            .enumerate()
            .map(|(at, line)| {
                json!({"event": name, "properties": {
                    "token": server.token, "distinct_id": format!("p{}", at % 50), "time": now_ms(),
                    "place": at, line.property: line.text,
                }})
            })
            .collect();
        ensure!(server.track(Value::from(events).to_string().as_bytes())? == 200, "the events were refused");
        let query = json!({
            "kind": "events", "range": {"kind": "last", "count": 2, "unit": "day"}, "matching": {"event": name},
            "limit": 500,
        });
        let answer = server.api("POST", &format!("/api/v1/projects/{}/query", server.project), &query)?;
        let rows = answer["table"]["events"].as_array().context("no events in the answer")?;
        ensure!(rows.len() == chunk.len(), "{} of {} events in the answer", rows.len(), chunk.len());
        let mut of_block: Vec<Option<String>> = vec![None; chunk.len()];
        for row in rows {
            let value = |name: &str| {
                let mut properties = row["properties"].as_array().into_iter().flatten();
                properties.find(|property| property["name"] == name).map(|property| property["value"].clone())
            };
            let at = value("place").and_then(|at| at.as_u64()).context("an event without its place")? as usize;
            of_block[at] =
                value(chunk[at].property).map(|value| value.as_str().map_or(value.to_string(), str::to_owned));
        }
        stored.extend(of_block);
    }
    Ok(stored)
}

fn has_segment(data: &Path) -> Result<bool> {
    let mut folders = vec![data.join("lake")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "parquet") {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// How many of the secrets are in any file: as bytes, in the pages of Parquet, or in the log.
fn on_disk(data: &Path, log: &[u8], needles: &[String]) -> Result<usize> {
    let mut everything = log.to_vec();
    let mut folders = vec![data.to_owned()];
    let mut parquets = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // A socket has no bytes.
            if !path.is_file() {
                continue;
            }
            let bytes = crate::storage::read(&path)?;
            if bytes.starts_with(b"PAR1") {
                parquets += 1;
                texts(&path, &mut everything)?;
            }
            everything.extend_from_slice(&bytes);
            everything.push(0);
        }
    }
    ensure!(parquets > 0, "nothing was written to segments");
    let finder = regex::bytes::RegexBuilder::new(
        &needles.iter().map(|needle| regex::escape(needle)).collect::<Vec<_>>().join("|"),
    )
    .unicode(false)
    .size_limit(1 << 30)
    .dfa_size_limit(1 << 28)
    .build()?;
    let mut found: Vec<&[u8]> = finder.find_iter(&everything).map(|hit| hit.as_bytes()).collect();
    found.sort_unstable();
    found.dedup();
    Ok(found.len())
}

/// The texts in a Parquet file.
fn texts(path: &PathBuf, out: &mut Vec<u8>) -> Result<()> {
    let reader = SerializedFileReader::new(File::open(path)?)?;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        for column in 0..group.num_columns() {
            if group.metadata().column(column).column_type() != Type::BYTE_ARRAY {
                continue;
            }
            let ColumnReader::ByteArrayColumnReader(mut column) = group.get_column_reader(column)? else { continue };
            loop {
                let (mut levels, mut values) = (Vec::new(), Vec::new());
                let (records, ..) = column.read_records(4_096, Some(&mut levels), None, &mut values)?;
                for value in &values {
                    out.extend_from_slice(value.data());
                    out.push(0);
                }
                if records == 0 {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Memory that the flood may take, in bytes.
const MEMORY_MAX: u64 = 100 * 1024 * 1024;

fn flood(stage: &Stage) -> Result<Outcome> {
    let names = if stage.is_full { 1_000_000 } else { 40_000 };
    let server = &mut Running::start(&stage.binary, &stage.folder, &[])?;
    let event = |more: &str| {
        format!(
            r#"{{"event":"e","properties":{{"token":"{}","distinct_id":"p","time":{},{more}}}}}"#,
            server.token,
            now_ms()
        )
    };
    // What an ordinary sender makes it use is not the attack's.
    for _ in 0..20 {
        server.track(event(r#""plan":"gold""#).as_bytes())?;
    }
    let before = server.memory()?;
    let mut wrong = Vec::new();
    let mut peak = 0;

    let deep = format!(r#""deep":{}1{}"#, "[".repeat(1_000), "]".repeat(1_000));
    let long = format!(r#""long":"{}""#, "x".repeat(10 * 1024 * 1024));
    let odd: [(&str, Vec<u8>, &[u16]); 9] = [
        ("an event of 10 MB", event(&long).into_bytes(), &[413]),
        ("an event of 1.5 MB", event(&long[..3 << 19]).into_bytes(), &[200]),
        ("1,000 levels", event(&deep).into_bytes(), &[200]),
        ("a name twice", event(r#""a":1,"a":2"#).into_bytes(), &[200]),
        ("NaN", event(r#""a":NaN"#).into_bytes(), &[200]),
        ("1e400", event(r#""a":1e400"#).into_bytes(), &[200]),
        ("bytes that are no UTF-8", [event(r#""a":""#).as_bytes(), &[0xff, 0xfe, 0xc0]].concat(), &[200]),
        ("__proto__", event(r#""__proto__":{"admin":true},"constructor":1"#).into_bytes(), &[200]),
        ("2,000 brackets that never close", [b'['; 2_000].to_vec(), &[200]),
    ];
    for (what, body, statuses) in odd {
        match server.track(&body) {
            Ok(status) if statuses.contains(&status) => {}
            Ok(status) => wrong.push(format!("{what}: {status}")),
            Err(error) => wrong.push(format!("{what}: {error}")),
        }
    }
    for start in (0..names).step_by(20_000) {
        let events: Vec<String> = (start..(start + 20_000).min(names))
            .step_by(200)
            .map(|first| {
                let properties: Vec<String> = (first..first + 200).map(|name| format!(r#""k{name}":1"#)).collect();
                event(&properties.join(","))
            })
            .collect();
        if server.track(format!("[{}]", events.join(",")).as_bytes())? != 200 {
            wrong.push("made-up names were refused as a whole".to_owned());
        }
        peak = peak.max(server.memory()?);
    }
    let path = format!("/api/v1/projects/{}/properties", server.project);
    let listed = server.api("GET", &path, &Value::Null)?["properties"].as_array().map_or(0, Vec::len);
    if listed > cofferdam_model::limits::SEGMENT_COLUMNS_MAX * 2 {
        wrong.push(format!("the data dictionary has {listed} names"));
    }
    let status = server.api("GET", &format!("/api/v1/projects/{}/status", server.project), &Value::Null)?;
    let outcomes = &status["outcomes"];
    let rejected: u64 =
        outcomes["rejected"].as_array().into_iter().flatten().filter_map(|reason| reason["count"].as_u64()).sum();
    if outcomes["received"].as_u64() != outcomes["accepted"].as_u64().map(|accepted| accepted + rejected) {
        wrong.push(format!("the books do not balance: {outcomes}"));
    }
    let grown = peak.saturating_sub(before);
    if grown > MEMORY_MAX {
        wrong.push(format!("{} MB of memory", grown >> 20));
    }
    if String::from_utf8_lossy(&server.log()).contains("panicked") {
        wrong.push("something panicked".to_owned());
    }
    let figure = format!("{names} names made up, {listed} kept; memory +{} MB of 100", grown >> 20);
    let is_through = !wrong.is_empty();
    let figure = if is_through { format!("{figure}; {}", wrong.join("; ")) } else { figure };
    Ok(Outcome { is_through, figure })
}
