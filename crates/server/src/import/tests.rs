//! The import through its own door: command line in, requests and files out.

use std::path::Path;

use clap::Parser as _;
use serde_json::{Value, json};

use super::test_server::{Response, TestServer};
use super::*;

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: ImportArgs,
}

const QUICK: Patience = Patience { tries: 3, first_wait: Duration::from_millis(1) };

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("cofferdam-import-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a temporary file");
        path
    }

    fn rejects(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.0.join(format!("{name}.rejects.ndjson"))).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("valid JSON")).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn args(file: &Path, url: &str, flags: &[&str]) -> ImportArgs {
    let file = file.to_str().expect("a UTF-8 path");
    let line = ["import", file, "--url", url, "--token", "secret-token"].into_iter().chain(flags.iter().copied());
    Cli::try_parse_from(line).map_err(|error| error.to_string()).expect("a valid command line").args
}

fn import(file: &Path, url: &str, flags: &[&str]) -> (anyhow::Result<ExitCode>, String) {
    let mut out = Vec::new();
    let outcome = import_all(&args(file, url, flags), QUICK, &mut out);
    (outcome, String::from_utf8(out).expect("UTF-8"))
}

/// Maps one record in a dry run: the event, or the reason and field of its refusal.
fn check(name: &str, text: &str, flags: &[&str], expect: Result<Value, &str>) {
    let folder = Folder::new();
    let file = folder.file(name, text);
    let (outcome, out) = import(&file, "http://127.0.0.1:1", &[flags, &["--dry-run"]].concat());
    outcome.unwrap_or_else(|error| panic!("{error:#}"));
    match expect {
        Ok(properties) => {
            let mut event: Value = serde_json::from_str(out.lines().next().unwrap_or_default())
                .unwrap_or_else(|_| panic!("no event for {text}: {out}"));
            let insert_id = event["properties"].as_object_mut().and_then(|p| p.remove("$insert_id"));
            assert!(insert_id.is_some());
            let mut wanted = properties;
            wanted["event"].as_str().expect("the name");
            let name = wanted.as_object_mut().and_then(|w| w.remove("event"));
            assert_eq!((&event["event"], &event["properties"]), (&name.unwrap_or_default(), &wanted));
        }
        Err(reason) => assert!(out.contains(&format!("1 refused: {reason}\n")), "{out}"),
    }
}

#[test]
fn maps_the_raw_export_shape_and_flat_objects() {
    let exported =
        r#"{"event":"Viewed","properties":{"time":1700000000,"distinct_id":"u1","$insert_id":"x-1","page":"/","n":3}}"#;
    let mapped = json!({"event":"Viewed","time":1_700_000_000_000i64,"distinct_id":"u1","page":"/","n":3});
    check("a.ndjson", exported, &[], Ok(mapped.clone()));
    let flat = r#"{"event":"Viewed","time":"2023-11-14T22:13:20Z","distinct_id":"u1","page":"/","n":3,"none":null}"#;
    check("a.ndjson", flat, &[], Ok(mapped));
    check(
        "a.ndjson",
        r#"{"what":"Bought","who":42,"at":"2024-05-01","sum":"7","plz":8001,"secret":"s","token":"other"}"#,
        &[
            "--event-column",
            "what",
            "--distinct-id-column",
            "who",
            "--time-column",
            "at",
            "--time-zone",
            "Europe/Zurich",
            "--rename",
            "sum=amount",
            "--number-columns",
            "sum",
            "--string-columns",
            "plz",
            "--skip-columns",
            "secret",
        ],
        Ok(json!({"event":"Bought","time":1_714_514_400_000i64,"distinct_id":"42","amount":7,"plz":"8001"})),
    );
    check(
        "a.ndjson",
        r#"{"event":"E","properties":{"time":1700000000,"$device_id":"d1"}}"#,
        &[],
        Ok(json!({"event":"E","time":1_700_000_000_000i64,"distinct_id":"$device:d1","$device_id":"d1"})),
    );
}

#[test]
fn maps_csv_values_by_what_they_look_like() {
    check(
        "a.csv",
        "user,ts,plan,price,zip,phone,big,ok,empty,quoted\nu1,1700000000123,pro,9.50,01234,+34600,12345678901234567890,true,,\"a, \"\"b\"\"\nc\"\n",
        &["--event-name", "Bought", "--distinct-id-column", "user", "--time-column", "ts"],
        Ok(json!({
            "event":"Bought","time":1_700_000_000_123i64,"distinct_id":"u1","plan":"pro","price":9.5,"zip":"01234",
            "phone":"+34600","big":"12345678901234567890","ok":true,"quoted":"a, \"b\"\nc",
        })),
    );
    let tsv = "event\tdistinct_id\ttime\tn\nE\t007\t20240229\t3\n";
    let mapped = json!({"event":"E","time":1_709_164_800_000i64,"distinct_id":"007","n":3});
    check("a.tsv", tsv, &["--delimiter", "\\t"], Ok(mapped.clone()));
    let semicolons = "\u{feff}event;distinct_id;time;n\r\nE;007;29.02.2024;3\r\n";
    check("a.txt", semicolons, &["--delimiter", ";", "--time-format", "%d.%m.%Y"], Ok(mapped));
}

#[test]
fn names_the_reason_and_the_column_of_a_refusal() {
    check("a.ndjson", "{\"event\":", &[], Err("not valid JSON"));
    check("a.ndjson", "{\"a\":1}", &[], Err("no event name (event)"));
    check("a.ndjson", r#"{"event":"E","time":1}"#, &[], Err("no distinct id (distinct_id)"));
    check("a.ndjson", r#"{"event":"E","distinct_id":"u"}"#, &[], Err("no time (time)"));
    check("a.csv", "event,distinct_id,time\nE,u,yesterday\n", &[], Err("time cannot be read (time)"));
    check("a.csv", "event,distinct_id,time\nE,u\n", &[], Err("not as many fields as columns"));
    check("a.csv", "event,distinct_id,time\nE,,1700000000\n", &[], Err("no distinct id (distinct_id)"));
    check("a.csv", "event,distinct_id,time\n,u,1700000000\n", &[], Err("no event name (event)"));
    check("a.csv", "event,distinct_id,time,n\nE,u,1700000000,x\n", &["--number-columns", "n"], Err("not a number (n)"));
    check(
        "a.csv",
        "event,distinct_id,time,k\nE,u,1700000000,\n",
        &["--insert-id-column", "k"],
        Err("no insert id (k)"),
    );
    let long = format!("{{\"event\":\"{}\"}}", "x".repeat(2 << 20));
    check("a.ndjson", &long, &[], Err("longer than 1 MiB"));
}

#[test]
fn reads_times_in_every_form() {
    let check = |text: &str, flags: &[&str], expect: i64| {
        let csv = format!("event,distinct_id,time\nE,u,{text}\n");
        check("a.csv", &csv, flags, Ok(json!({"event":"E","distinct_id":"u","time":expect})));
    };
    let noon = 1_714_557_600_000; // 2024-05-01 10:00:00 UTC
    check("1714557600", &[], noon);
    check("1714557600.5", &[], noon + 500);
    check("1714557600000", &[], noon);
    check("1714557600000000", &[], noon);
    check("2024-05-01T10:00:00Z", &[], noon);
    check("2024-05-01T12:00:00+02:00", &[], noon);
    check("2024-05-01 10:00:00.250", &[], noon + 250);
    check("2024-05-01 10:00:00 UTC", &[], noon);
    check("2024-05-01 12:00:00", &["--time-zone", "Europe/Madrid"], noon);
    check("20240501", &[], noon - 36_000_000);
    check("2024-05-01", &[], noon - 36_000_000);
    check("20240501", &["--time-format", "%Y%m%d"], noon - 36_000_000);
    check("01/05/2024 10:00", &["--time-format", "%d/%m/%Y %H:%M"], noon);
    check("01/May/2024:12:00:00 +0200", &["--time-format", "%d/%b/%Y:%H:%M:%S %z"], noon);
    check("1714557600", &["--time-format", "unix"], noon);
    check("1714557600000", &["--time-format", "unix-ms"], noon);
    // In the hour that the clock skips, and in the one it repeats.
    check("2024-03-31 02:30:00", &["--time-zone", "Europe/Berlin"], 1_711_848_600_000);
    check("2024-10-27 02:30:00", &["--time-zone", "Europe/Berlin"], 1_729_989_000_000);
}

#[test]
fn one_stray_quote_costs_one_line() {
    let folder = Folder::new();
    let server = TestServer::accepting();
    let file = folder.file("a.csv", "event,distinct_id,time\nE,\"u1,1700000000\nE,u2,1700000000\nE,u3,1700000000\n");
    let (outcome, out) = import(&file, &server.url, &[]);
    assert_eq!(outcome.expect("imported"), ExitCode::from(2));
    let people: Vec<Value> = server.events().iter().map(|e| e["properties"]["distinct_id"].clone()).collect();
    assert_eq!(people, ["u2", "u3"]);
    assert_eq!(folder.rejects("a.csv"), [json!({"line":2,"reason":"a quote is not closed"})]);
    assert!(out.contains("3 records read, 2 imported, 1 refused"), "{out}");
}

fn lines(from: u32, to: u32) -> String {
    (from..to).map(|n| format!("{{\"event\":\"E\",\"distinct_id\":\"u{n}\",\"time\":1700000000}}\n")).collect()
}

#[test]
fn imports_a_gzip_file_and_a_second_run_does_nothing() {
    let folder = Folder::new();
    let server = TestServer::accepting();
    let file = folder.file("a.ndjson.gz", compress(lines(0, 2500).as_bytes()).expect("gzip"));
    let (outcome, out) = import(&file, &server.url, &["--batch", "1000"]);
    assert_eq!(outcome.expect("imported"), ExitCode::SUCCESS);
    assert!(out.contains("2500 records read, 2500 imported, 0 refused"), "{out}");
    {
        let requests = server.requests.lock().expect("no panic");
        assert_eq!(requests.len(), 3);
        assert!(
            requests.iter().all(|r| r.path == "/import?strict=1" && r.authorization == "Basic c2VjcmV0LXRva2VuOg==")
        );
    }
    let (outcome, out) = import(&file, &server.url, &["--batch", "1000"]);
    assert_eq!(outcome.expect("done before"), ExitCode::SUCCESS);
    assert!(out.contains("already imported completely"), "{out}");
    assert_eq!(server.events().len(), 2500);
}

#[test]
fn goes_on_behind_the_last_acknowledged_batch() {
    for (name, gzip) in [("a.ndjson", false), ("a.ndjson.gz", true)] {
        let folder = Folder::new();
        let text = lines(0, 3) + "broken\n" + &lines(4, 10);
        let bytes = if gzip { compress(text.as_bytes()).expect("gzip") } else { text.into_bytes() };
        let file = folder.file(name, bytes);
        let accept = |n: u32| Response::Say(200, "", json!({"code":200,"num_records_imported":n,"status":"OK"}));
        let dying =
            TestServer::scripted(vec![accept(3), accept(3), Response::HangUp, Response::HangUp, Response::HangUp]);
        let (outcome, _) = import(&file, &dying.url, &["--batch", "3", "--rejects-with-records"]);
        let error = format!("{:#}", outcome.expect_err("the server went away"));
        assert!(error.contains("the same command goes on from there") && error.contains("after 3 tries"), "{error}");

        // The same server, come back: its address is part of the state.
        let (outcome, out) = import(&file, &dying.url, &["--batch", "3", "--rejects-with-records"]);
        assert_eq!(outcome.expect("imported"), ExitCode::from(2));
        assert!(out.contains("going on after 7 records (6 imported, 1 refused), at line 8"), "{out}");
        assert!(out.contains("10 records read, 9 imported, 1 refused"), "{out}");
        let mut events = dying.events();
        // The batch that was cut off came in three times, with the same insert ids.
        assert_eq!(events.len(), 6 + 3 * 3 + 3);
        events.dedup_by_key(|event| event["properties"]["$insert_id"].clone());
        let ids: std::collections::HashSet<String> =
            events.iter().map(|event| event["properties"]["$insert_id"].to_string()).collect();
        assert_eq!(ids.len(), 9);
        assert_eq!(folder.rejects(name), [json!({"line":4,"reason":"not valid JSON","record":"broken"})]);
    }
}

#[test]
fn a_resumed_csv_file_still_knows_its_header() {
    let folder = Folder::new();
    let mut text = "event,distinct_id,time\n".to_owned();
    for n in 0..9 {
        text += &format!("E,\"u\n{n}\",1700000000\n");
    }
    let file = folder.file("a.csv", text);
    let server = TestServer::scripted(vec![
        Response::Say(200, "", json!({"num_records_imported":4})),
        Response::Say(401, "", json!({"error":"Invalid credentials"})),
    ]);
    let error = format!("{:#}", import(&file, &server.url, &["--batch", "4"]).0.expect_err("401"));
    assert!(error.contains("401: Invalid credentials") && error.contains("--token"), "{error}");
    let (outcome, out) = import(&file, &server.url, &["--batch", "4"]);
    assert_eq!(outcome.expect("imported"), ExitCode::SUCCESS);
    assert!(out.contains("after 4 records") && out.contains("at line 10"), "{out}");
    assert_eq!(server.events()[8]["properties"]["distinct_id"], "u\n4");
}

#[test]
fn does_not_go_on_with_another_file_target_or_mapping() {
    let folder = Folder::new();
    let server = TestServer::accepting();
    let file = folder.file("a.ndjson", lines(0, 3));
    import(&file, &server.url, &[]).0.expect("imported");
    let refuse = |file: &Path, url: &str, flags: &[&str], reason: &str| {
        let error = format!("{:#}", import(file, url, flags).0.expect_err("another import"));
        assert!(error.contains(reason) && error.contains("--restart"), "{error}");
    };
    refuse(&file, &server.url, &["--event-name", "F"], "mapped columns otherwise");
    refuse(&file, &TestServer::accepting().url, &[], "another server or project");
    std::fs::write(&file, lines(0, 4)).expect("written");
    refuse(&file, &server.url, &[], "the file has changed");
    import(&file, &server.url, &["--restart"]).0.expect("imported");
    // The same records at the same places have the same ids.
    let events = server.events();
    assert_eq!(events[..3], events[3..6]);
}

#[test]
fn lists_what_the_server_refuses_without_the_records() {
    let folder = Folder::new();
    let failed = json!([
        {"index":1,"insert_id":"x","field":"properties.time","message":"is before 1971"},
        {"index":2,"insert_id":"y","field":"properties.distinct_id","message":"is not allowed"},
    ]);
    let server = TestServer::scripted(vec![Response::Say(
        400,
        "",
        json!({"code":400,"error":"some data points in the request failed validation","num_records_imported":2,"failed_records":failed}),
    )]);
    let file = folder.file("a.ndjson", "\n".to_owned() + &lines(0, 4));
    let (outcome, out) = import(&file, &server.url, &[]);
    assert_eq!(outcome.expect("imported"), ExitCode::from(2));
    let rejects = folder.rejects("a.ndjson");
    assert_eq!(rejects[0], json!({"line":3,"reason":"is before 1971","field":"properties.time"}));
    assert_eq!(rejects[1]["line"], 4);
    assert!(out.contains("4 records read, 2 imported, 2 refused"), "{out}");
    assert!(out.contains("1 refused: is before 1971 (properties.time)"), "{out}");
}

#[test]
fn halves_a_batch_that_is_too_large() {
    let folder = Folder::new();
    let server = TestServer::start(|request| {
        let people: Vec<&str> = request
            .body
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|e| e["properties"]["distinct_id"].as_str())
            .collect();
        if people.len() > 2 || people.contains(&"u5") {
            return Response::Say(413, "", json!({"code":413,"error":"request exceeds max limit of 2097152 bytes"}));
        }
        super::test_server::accept(request)
    });
    let file = folder.file("a.ndjson", lines(0, 8));
    let (outcome, out) = import(&file, &server.url, &[]);
    assert_eq!(outcome.expect("imported"), ExitCode::from(2));
    assert!(out.contains("8 records read, 7 imported, 1 refused"), "{out}");
    assert_eq!(folder.rejects("a.ndjson"), [json!({"line":6,"reason":"larger than the server takes"})]);
}

#[test]
fn waits_as_long_as_the_server_asks() {
    let folder = Folder::new();
    let server = TestServer::scripted(vec![
        Response::Say(429, "retry-after: 1\r\n", json!({"code":429,"error":"slow down"})),
        Response::Say(503, "", json!({})),
    ]);
    let file = folder.file("a.ndjson", lines(0, 2));
    let started = Instant::now();
    import(&file, &server.url, &[]).0.expect("imported");
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.requests.lock().expect("no panic").len(), 3);
}

#[test]
fn an_answer_that_does_not_add_up_is_an_error() {
    let folder = Folder::new();
    let server = TestServer::scripted(vec![Response::Say(200, "", json!({"num_records_imported":1}))]);
    let file = folder.file("a.ndjson", lines(0, 2));
    let error = format!("{:#}", import(&file, &server.url, &[]).0.expect_err("one is missing"));
    assert!(error.contains("counted 1 imported and 0 refused of 2"), "{error}");
}

#[test]
fn a_dry_run_writes_nothing() {
    let folder = Folder::new();
    let file = folder.file("a.ndjson", lines(0, 5) + "x\n");
    let (outcome, out) = import(&file, "http://127.0.0.1:1", &["--dry-run"]);
    assert_eq!(outcome.expect("read"), ExitCode::from(2));
    assert_eq!(out.lines().filter(|line| line.starts_with('{')).count(), 3);
    assert!(out.contains("6 records read, 5 could be imported, 1 refused"), "{out}");
    assert_eq!(std::fs::read_dir(&folder.0).expect("the folder").count(), 1);
}

#[test]
fn says_what_is_wrong_with_the_command() {
    let folder = Folder::new();
    let csv = folder.file("a.csv", "who,when\nu,1\n");
    let array = folder.file("a.json", "[{}]");
    let fails = |file: &Path, url: &str, flags: &[&str], reason: &str| {
        let error = format!("{:#}", import(file, url, flags).0.expect_err("a wrong command"));
        assert!(error.contains(reason), "{error}");
        assert!(!error.contains("secret-token"), "{error}");
    };
    let url = "http://127.0.0.1:1";
    fails(&csv, "https://example.org", &[], "https addresses are not supported");
    fails(&csv, "127.0.0.1:7077", &[], "not an address");
    fails(&csv, url, &[], "has no column event");
    fails(&csv, url, &["--time-zone", "Mars/Base"], "is not known");
    fails(&csv, url, &["--time-format", "iso"], "--time-format");
    fails(&csv, url, &["--rename", "x"], "OLD=NEW");
    fails(&csv, url, &["--rejects", csv.to_str().expect("UTF-8")], "would be overwritten");
    fails(&array, url, &[], "one JSON array");
    fails(&folder.0.join("none.csv"), url, &[], "cannot open");
}

#[test]
fn insert_ids_are_such_as_the_door_takes() {
    let folder = Folder::new();
    let server = TestServer::accepting();
    let text = "event,distinct_id,time,k\nE,u,1700000000,ok-1\nE,u,1700000000,not_ok\nE,u,1700000000,7\n";
    let file = folder.file("a.csv", text);
    import(&file, &server.url, &["--insert-id-column", "k"]).0.expect("imported");
    import(&folder.file("b.csv", text), &server.url, &[]).0.expect("imported");
    let ids: Vec<String> =
        server.events().iter().map(|e| e["properties"]["$insert_id"].as_str().expect("an id").to_owned()).collect();
    assert_eq!((ids[0].as_str(), ids[1].len(), ids[2].as_str()), ("ok-1", 32, "7"));
    assert!(ids.iter().all(|id| id.len() <= 36 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')));
    let different: std::collections::HashSet<&String> = ids.iter().collect();
    assert_eq!(different.len(), 6);
}

#[test]
fn cuts_text_into_records_whatever_the_size_of_the_pieces() {
    /// Gives one byte at a time.
    struct Drops<'a>(&'a [u8]);
    impl Read for Drops<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else {
                return Ok(0);
            };
            buf[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }
    let text = b"\xef\xbb\xbfa,\"b\n\"\"c\"\r\n\nd,e\"f\ng";
    let csv = Format::Csv { delimiter: b',' };
    let cut = |input: Box<dyn Read>| {
        let mut records = Records::new(input, csv);
        let mut all = Vec::new();
        while let Some((at, cut)) = records.next().expect("no error") {
            all.push((
                at.offset,
                at.lines,
                if let Cut::Text(text) = cut { String::from_utf8_lossy(text).into_owned() } else { format!("{cut:?}") },
            ));
        }
        all
    };
    let whole = cut(Box::new(Cursor::new(text.to_vec())));
    let text_of: Vec<(u64, &str)> = whole.iter().map(|(_, lines, text)| (*lines, text.as_str())).collect();
    assert_eq!(text_of, [(0, "a,\"b\n\"\"c\""), (2, "Blank"), (3, "d,e\"f"), (4, "g")]);
    assert_eq!(whole, cut(Box::new(Drops(text))));
}

#[test]
fn cuts_and_splits_csv_as_the_csv_crate_does() {
    // Every text of seven of these characters, as one whole file.
    const LETTERS: [char; 4] = ['a', '"', ',', '\n'];
    for number in 0..4u32.pow(7) {
        let mut text: String = (0..7).map(|at| LETTERS[(number >> (2 * at) & 3) as usize]).collect();
        text.push('\n');
        let mut records = Records::new(text.as_bytes(), Format::Csv { delimiter: b',' });
        let (mut ours, mut whole) = (Vec::new(), true);
        while let Some((_, cut)) = records.next().expect("no error") {
            match cut {
                Cut::Text(record) => {
                    let record = split_csv(record, b',').expect("UTF-8");
                    ours.push(record.iter().map(ToString::to_string).collect::<Vec<_>>());
                }
                Cut::Blank => {}
                Cut::OpenQuote | Cut::TooLong => whole = false,
            }
        }
        // Where a quote stays open the two differ on purpose.
        if !whole {
            continue;
        }
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        let theirs: Vec<Vec<String>> =
            reader.records().map(|record| record.expect("UTF-8").iter().map(str::to_owned).collect()).collect();
        assert_eq!(ours, theirs, "{text:?}");
    }
}
