//! One running `cofferdam` on a temporary directory, set up with an organisation, a first member and a
//! project, and the handful of calls that most tests need.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::http::{Reply, Request};

const SETUP_CODE: &str = "test-setup-code";
pub(crate) const EMAIL: &str = "owner@coffer.example";
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// Starting includes migrations and, after a crash, replaying the log.
const START_WAIT: Duration = Duration::from_secs(60);

/// How a test wants its server.
pub(crate) struct Options {
    pub(crate) time_zone: &'static str,
    pub(crate) arguments: &'static [&'static str],
    /// Address of a PostgreSQL database for the vault; files in the data folder without.
    pub(crate) database: Option<String>,
}

impl Options {
    pub(crate) const PLAIN: Options = Options { time_zone: "UTC", arguments: &[], database: None };
    /// Flushes the tail to Parquet often, so that a test meets both forms of storage.
    pub(crate) const FLUSHING: Options =
        Options { time_zone: "UTC", arguments: &["--flush-events", "500"], database: None };
}

#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub(crate) id: u64,
    pub(crate) token: String,
}

pub(crate) struct Server {
    child: Child,
    port: u16,
    home: tempfile::TempDir,
    arguments: &'static [&'static str],
    database: Option<String>,
    cookie: String,
    totp: Option<totp_rs::Totp>,
    pub(crate) project: Project,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server's log\n{}", tail(&self.log()));
        }
    }
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(Options::PLAIN)
    }

    pub(crate) fn with(options: Options) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let (child, port) = spawn(home.path(), options.arguments, options.database.as_deref());
        let mut server = Self {
            child,
            port,
            home,
            arguments: options.arguments,
            database: options.database,
            cookie: String::new(),
            totp: None,
            project: Project { id: 0, token: String::new() },
        };
        server.set_up(options.time_zone);
        server
    }

    fn set_up(&mut self, time_zone: &str) {
        let reply =
            self.api("POST", "/api/v1/setup/totp").json(&json!({"setup_code": SETUP_CODE, "email": EMAIL})).send();
        assert_eq!(reply.status, 200, "{}", reply.text());
        let uri = reply.json()["uri"].as_str().expect("an otpauth uri").to_owned();
        let totp = totp_rs::Totp::from_url(&uri).expect("an otpauth uri that authenticators read");
        let reply = self
            .api("POST", "/api/v1/setup")
            .json(&json!({
                "setup_code": SETUP_CODE,
                "organisation": "Coffer Works",
                "name": "Olivia Owner",
                "email": EMAIL,
                "password": PASSWORD,
                "totp_code": totp.generate(now_ms() as u64 / 1000).to_string(),
                "project": "Shop",
                "time_zone": time_zone,
            }))
            .send();
        assert_eq!(reply.status, 201, "{}", reply.text());
        self.totp = Some(totp);
        let cookie = reply.header("set-cookie").expect("a session");
        self.cookie = cookie.split(';').next().expect("a name and a value").to_owned();
        self.project = self.projects().remove(0);
    }

    pub(crate) fn totp(&self) -> &totp_rs::Totp {
        self.totp.as_ref().expect("the server is set up")
    }

    /// Signs in anew, with the code of the next half minute: that of this one may be used up.
    pub(crate) fn sign_in(&mut self) {
        let body = json!({"email": EMAIL, "password": PASSWORD, "code": self.code()});
        let reply = self.api("POST", "/api/v1/session").json(&body).send();
        assert_eq!(reply.status, 200, "{}", reply.text());
        let cookie = reply.header("set-cookie").expect("a session");
        self.cookie = cookie.split(';').next().expect("a name and a value").to_owned();
    }

    /// A code of the authenticator app that was not used yet: the next one, which a server takes a moment early.
    pub(crate) fn code(&self) -> String {
        let totp = self.totp.as_ref().expect("the server is set up");
        totp.generate(now_ms() as u64 / 1000 + 30).to_string()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn cookie(&self) -> &str {
        &self.cookie
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.scratch("data")
    }

    /// A path beside the server's data, gone with the server.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Everything the server wrote to stdout and stderr, over all its starts.
    pub(crate) fn log(&self) -> Vec<u8> {
        let mut all = std::fs::read(self.scratch("stdout.log")).unwrap_or_default();
        all.extend(std::fs::read(self.scratch("stderr.log")).unwrap_or_default());
        all
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a running server");
        self.child.wait().expect("an exit status");
    }

    /// Asks the server to end and waits until it has.
    pub(crate) fn stop(&mut self) {
        let word = format!("kill -TERM {}", self.child.id());
        let asked = Command::new("sh").args(["-c", &word]).status().expect("a shell");
        assert!(asked.success());
        self.child.wait().expect("an exit status");
    }

    /// Further arguments, from the next start on.
    pub(crate) fn with_more(&mut self, more: &[&str]) {
        let more = more.iter().map(|word| &*String::leak((*word).to_owned()));
        self.arguments = Vec::leak(self.arguments.iter().copied().chain(more).collect());
    }

    /// Has the kernel end it as after a fault of its own, where a core file would be written.
    pub(crate) fn abort(&mut self) {
        let word = format!("kill -ABRT {}", self.child.id());
        let asked = Command::new("sh").args(["-c", &word]).status().expect("a shell");
        assert!(asked.success());
        self.child.wait().expect("an exit status");
    }

    /// Runs a command of the binary on the server's folder.
    pub(crate) fn command(&self, words: &[&str]) -> std::process::Output {
        binary().args(words).arg("--data").arg(self.data()).output().expect("the binary starts")
    }

    /// Starts again on the same data after [`Self::kill`] or [`Self::stop`]; the session goes on.
    pub(crate) fn start_again(&mut self) {
        let (child, port) = spawn(self.home.path(), self.arguments, self.database.as_deref());
        self.child = child;
        self.port = port;
    }

    // Requests

    pub(crate) fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.port, method, target)
    }

    /// A request of the console, signed in and from its own origin.
    pub(crate) fn api(&self, method: &str, target: &str) -> Request {
        self.request(method, target).header("origin", &self.origin()).header("cookie", &self.cookie)
    }

    pub(crate) fn get(&self, target: &str) -> Value {
        let reply = self.api("GET", target).send();
        assert_eq!(reply.status, 200, "GET {target}: {}", reply.text());
        reply.json()
    }

    pub(crate) fn projects(&self) -> Vec<Project> {
        let answer = self.get("/api/v1/projects");
        let list = answer["projects"].as_array().expect("a list of projects");
        list.iter().map(project).collect()
    }

    pub(crate) fn create_project(&self, name: &str, identity_mode: &str) -> Project {
        let reply = self
            .api("POST", "/api/v1/projects")
            .json(&json!({"name": name, "time_zone": "UTC", "identity_mode": identity_mode}))
            .send();
        assert_eq!(reply.status, 201, "{}", reply.text());
        project(&reply.json())
    }

    /// An event of the first project, ready to send: its token and an insert id of its own.
    pub(crate) fn event(&self, name: &str, time_ms: i64, distinct_id: &str, more: Value) -> Value {
        event_of(&self.project, name, time_ms, distinct_id, more)
    }

    pub(crate) fn post_json(&self, target: &str, body: &Value) -> Reply {
        self.request("POST", target).json(body).send()
    }

    /// Imports events that must all be taken.
    pub(crate) fn import(&self, events: &[Value]) {
        self.import_into(&self.project, events);
    }

    pub(crate) fn import_into(&self, project: &Project, events: &[Value]) {
        for batch in events.chunks(2_000) {
            let reply =
                self.request("POST", "/import?strict=1").basic(&project.token, "").json(&Value::from(batch)).send();
            assert_eq!(
                (reply.status, reply.json()["num_records_imported"].as_u64()),
                (200, Some(batch.len() as u64)),
                "{}",
                reply.text()
            );
        }
    }

    // Questions

    pub(crate) fn ask_project(&self, project: &Project, query: &Value) -> Value {
        let target = format!("/api/v1/projects/{}/query", project.id);
        let reply = self.api("POST", &target).json(query).send();
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        let answer = reply.json();
        assert_eq!(answer["exact"], true, "{answer}");
        answer["table"].clone()
    }

    pub(crate) fn ask(&self, query: &Value) -> Value {
        self.ask_project(&self.project, query)
    }

    /// Events (`total`) or persons (`unique`) over ten years, for the events that match.
    pub(crate) fn count(&self, measure: &str, matching: Value) -> u64 {
        self.count_in(&self.project, measure, matching)
    }

    pub(crate) fn count_in(&self, project: &Project, measure: &str, matching: Value) -> u64 {
        let table = self.ask_project(
            project,
            &json!({
                "kind": "insights", "range": range(), "unit": "month",
                "metrics": [{"matching": matching, "measure": measure}],
            }),
        );
        table["series"][0]["total"].as_u64().unwrap_or_else(|| panic!("no total in {table}"))
    }

    pub(crate) fn total(&self, event: &str) -> u64 {
        self.count("total", json!({"event": event}))
    }

    /// Events by the values of one property, all of them; those without it are left out.
    pub(crate) fn by(&self, event: &str, property: &str) -> BTreeMap<String, u64> {
        let table = self.ask(&json!({
            "kind": "insights", "range": range(), "unit": "month",
            "metrics": [{"matching": {"event": event}, "measure": "total"}],
            "breakdown": {"by": [{"property": property}], "limit": 200},
        }));
        assert_eq!(table["segments_omitted"], 0, "{table}");
        let series = table["series"].as_array().expect("series");
        let values = series.iter().filter(|line| line["segment"][0]["kind"] == "value");
        values
            .map(|line| {
                let value = line["segment"][0]["value"].as_str().expect("a segment's value");
                (value.to_owned(), line["total"].as_u64().expect("a total"))
            })
            .collect()
    }

    /// Single events, newest first, each as `(event, properties)`.
    pub(crate) fn events(&self, matching: Value) -> Vec<(String, BTreeMap<String, Value>)> {
        let table = self.ask(&json!({"kind": "events", "range": range(), "matching": matching, "limit": 500}));
        let rows = table["events"].as_array().expect("events");
        rows.iter().map(|row| (row["event"].as_str().expect("a name").to_owned(), named(&row["properties"]))).collect()
    }

    /// The only person whose events match: properties in the clear, and names of the sealed ones.
    pub(crate) fn person(&self, matching: Value) -> (BTreeMap<String, Value>, Vec<String>) {
        let table = self.ask(&json!({"kind": "persons", "range": range(), "matching": matching.clone(), "limit": 500}));
        assert_eq!(table["total"], 1, "{matching}: {table}");
        let row = &table["persons"][0];
        let mut sealed: Vec<String> = row["sealed"]
            .as_array()
            .expect("sealed")
            .iter()
            .map(|property| property["name"].as_str().expect("a name").to_owned())
            .collect();
        sealed.sort();
        (named(&row["properties"]), sealed)
    }

    pub(crate) fn status(&self) -> Value {
        self.get(&format!("/api/v1/projects/{}/status", self.project.id))
    }

    /// Checks that every record received so far ended in exactly one outcome, and returns the outcomes.
    pub(crate) fn balanced_outcomes(&self) -> Value {
        let outcomes = self.status()["outcomes"].clone();
        let number = |name: &str| outcomes[name].as_u64().unwrap_or_else(|| panic!("no {name} in {outcomes}"));
        let rejected: u64 = outcomes["rejected"]
            .as_array()
            .expect("rejected, by reason")
            .iter()
            .map(|entry| entry["count"].as_u64().expect("a count"))
            .sum();
        assert_eq!(
            number("received"),
            number("accepted") + number("duplicate") + number("ignored") + rejected,
            "{outcomes}"
        );
        outcomes
    }
}

fn project(value: &Value) -> Project {
    Project {
        id: value["id"].as_u64().expect("a project id"),
        token: value["token"].as_str().expect("a project token").to_owned(),
    }
}

fn named(list: &Value) -> BTreeMap<String, Value> {
    let entries = list.as_array().unwrap_or_else(|| panic!("not a list of properties: {list}"));
    entries.iter().map(|entry| (entry["name"].as_str().expect("a name").to_owned(), plain(&entry["value"]))).collect()
}

/// The value with every number as a float, since `3` and `3.0` are one number in JSON.
pub(crate) fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(entries) => Value::Object(entries.iter().map(|(key, item)| (key.clone(), plain(item))).collect()),
        other => other.clone(),
    }
}

pub(crate) fn event_of(project: &Project, name: &str, time_ms: i64, distinct_id: &str, more: Value) -> Value {
    let mut properties = json!({
        "token": project.token, "time": time_ms, "distinct_id": distinct_id, "$insert_id": insert_id(),
    });
    for (key, value) in more.as_object().expect("an object of properties") {
        properties[key] = value.clone();
    }
    json!({"event": name, "properties": properties})
}

/// An insert id that this process has not used.
pub(crate) fn insert_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("it-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a clock before the year 292 million")
}

/// `2026-09-01T10:00:00Z` in milliseconds since 1970.
pub(crate) fn ms(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().expect("an RFC 3339 time").as_millisecond()
}

/// Eight years up to tomorrow, so that no test depends on what day it runs.
pub(crate) fn range() -> Value {
    let day = |offset_days: i64| {
        let time = jiff::Timestamp::from_millisecond(now_ms() + offset_days * 86_400_000);
        time.expect("a time in range").to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
    };
    json!({"kind": "between", "from": day(-2_900), "to": day(1)})
}

/// A filter for `property` being exactly `value`.
pub(crate) fn is(property: &str, value: &str) -> Value {
    json!({"property": property, "condition": {"op": "equals", "values": [value]}})
}

/// A setting of the test run.
pub(crate) fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Says loudly that a test could not run, and counts it in the file that the caller named.
pub(crate) fn skip(what: &str) {
    eprintln!("SKIPPED: {what}");
    if let Some(path) = setting("COFFERDAM_SKIPS") {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap_or_else(|error| panic!("cannot open {path}: {error}"));
        writeln!(file, "SKIPPED: {what}").expect("a line in the list of skips");
    }
}

/// The scripts and data beside the workspace, not beside this crate.
pub(crate) fn helpers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
    // The wordiest log is the hardest test of what a log may say.
    command.env("RUST_LOG", "debug").env("COFFERDAM_SETUP_CODE", SETUP_CODE);
    command
}

fn spawn(home: &Path, arguments: &[&str], database: Option<&str>) -> (Child, u16) {
    let append = |name: &str| File::options().create(true).append(true).open(home.join(name)).expect("a log file");
    let mut child = binary()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(home.join("data"))
        .args(arguments)
        .envs(database.map(|address| ("COFFERDAM_DATABASE", address)))
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(append("stderr.log"))
        .spawn()
        .expect("the cofferdam binary");
    let stdout = child.stdout.take().expect("a pipe");
    let mut copy = append("stdout.log");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = writeln!(copy, "{line}");
            let port = line
                .strip_prefix("cofferdam listening on http://127.0.0.1:")
                .and_then(|rest| rest.trim().trim_end_matches('/').parse::<u16>().ok());
            if let Some(port) = port {
                let _ = sender.send(port);
            }
        }
    });
    match receiver.recv_timeout(START_WAIT) {
        Ok(port) => (child, port),
        Err(_) => {
            let _ = child.kill();
            let log = std::fs::read(home.join("stderr.log")).unwrap_or_default();
            panic!("the server did not say where it listens\n{}", tail(&log));
        }
    }
}

fn tail(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
