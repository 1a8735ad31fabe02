//! The drill, small: against a server of its own, and as the second act of the demo.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use crate::server::binary;

fn number(figures: &Value, path: &str) -> u64 {
    figures.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} in {figures}"))
}

/// What must hold of any drill, however fast the machine is.
fn judge(figures: &Value) {
    let of = |path: &str| number(figures, path);
    assert_eq!(of("/stolen_session/values"), 0, "a stolen session has no value of anybody: {figures}");
    assert!(of("/stolen_session/requests") > 50 && of("/stolen_session/refused") > 40, "{figures}");
    assert_eq!(of("/stolen_session/works_after"), 0, "it is over: {figures}");
    assert_eq!(of("/two_collude/persons"), 0, "a limit stops half of all persons: {figures}");
    assert_eq!(figures["two_collude"]["rule"], "share", "{figures}");
    let three = &figures["three_collude"];
    assert_eq!((of("/three_collude/works_after"), three["recall"].as_f64()), (0, Some(1.0)), "{figures}");
    assert!(of("/three_collude/persons") > 0 && of("/three_collude/chunks_after") <= 1, "{figures}");
    assert_eq!(of("/three_collude/persons_missed"), 0, "{figures}");
    let beyond_max = if three["is_whole"] == true { 0 } else { 1_000 };
    assert!(of("/three_collude/persons_beyond") <= beyond_max, "the chunk in hand, and no more: {figures}");
    assert_eq!(of("/three_collude/values"), 2 * of("/three_collude/persons"), "an address and a name: {figures}");
    assert_eq!(of("/three_collude/notices/missed"), 0, "everybody is told: {figures}");
    assert_eq!(of("/three_collude/notices/twice"), 0, "{figures}");
    assert_eq!(of("/three_collude/notices/beyond"), of("/three_collude/persons_beyond"), "and nobody else: {figures}");
    let told = of("/three_collude/scope_persons") + of("/staff");
    assert_eq!(of("/three_collude/notices/sent"), told, "{figures}");
}

fn drill(more: &[&str]) -> std::process::Output {
    let output = binary().args(["drill", "nine-november", "--persons", "2000"]).args(more).output().expect("a drill");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn the_drill_finds_what_its_attackers_took_and_tells_those_alone() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("out");
    let output = drill(&["--json", "--out", &out.display().to_string()]);
    let figures: Value = serde_json::from_slice(&output.stdout).expect("figures");
    judge(&figures);
    let lines = |name: &str| {
        let text = std::fs::read_to_string(out.join(name)).expect("a list");
        assert!(!text.contains('@'), "persons and fields, no values");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let (loot, scope) = (lines("loot.csv"), lines("scope.csv"));
    assert!(loot.iter().all(|line| scope.binary_search(line).is_ok()), "all of the loot is in the scope");
}

#[test]
fn the_demo_plays_the_drill_as_its_second_act_and_is_itself_afterwards() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("demo");
    let mut demo = binary()
        .args(["demo", "--quiet", "--no-trickle", "--listen", "127.0.0.1:0", "--organisations", "10"])
        .args(["--developers", "50", "--events", "1000", "--data"])
        .arg(&data)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the demo starts");
    let mut lines = BufReader::new(demo.stdout.take().expect("a pipe")).lines();
    let offered = lines.by_ref().map_while(Result::ok).find(|line| line.contains(" drill nine-november --data "));
    std::thread::spawn(move || lines.for_each(drop));
    let played = std::panic::catch_unwind(|| {
        assert!(offered.is_some(), "the demo does not say how");
        let output = drill(&["--markdown", "--data", &data.display().to_string()]);
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        let row = table.lines().find(|line| line.starts_with("| persons whose values got out")).expect("a row");
        assert!(row.contains("| 0, by ") && row.contains("| 0 |") && row.contains(" of 1,000 asked for |"), "{table}");
        assert!(table.contains("0 who lost something got none"), "{table}");
        let status = binary().args(["keys", "status", "--data"]).arg(&data).output().expect("a run");
        let status = String::from_utf8_lossy(&status.stdout).into_owned();
        assert!(status.contains("organisation 1: open") && status.contains("organisation 2: sealed"), "{status}");
    });
    demo.kill().expect("it was running");
    demo.wait().expect("it ends");
    played.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}
