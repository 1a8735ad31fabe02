//! A load generator for the collecting routes: acknowledged events per second, processor time per event, latency.
//!
//! It starts a server of its own on an empty folder, sets it up like a person would, renders every request before
//! the clock starts, and sends them over keep-alive connections from one thread, so that the generator itself takes
//! little of the machine it shares with the server. At a fixed rate latency is counted from the moment a request was
//! due, not from when a connection was free to send it.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use clap::Args;
use cofferdam_engine::{Door, IdentityMode};
use cofferdam_vault::wire::{self, Record};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::measure::thread_cpu;

const SETUP_CODE: &str = "bench-setup-code";
/// Event names, most frequent first.
const NAMES: [&str; 12] = [
    "Page Viewed",
    "Product Viewed",
    "Search Submitted",
    "Cart Updated",
    "Checkout Started",
    "Order Completed",
    "Signed In",
    "Settings Changed",
    "File Uploaded",
    "Invite Sent",
    "Report Exported",
    "Signed Up",
];

#[derive(Args)]
pub(crate) struct LoadArgs {
    /// The release build of `cofferdam`
    #[arg(long, default_value = "target/release/cofferdam")]
    server: PathBuf,
    /// Folder for the server's data; emptied first
    #[arg(long)]
    data: PathBuf,
    /// Events to send
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Events in one request
    #[arg(long, default_value_t = 2_000)]
    size: usize,
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Persons that the events belong to
    #[arg(long, default_value_t = 100_000)]
    persons: u64,
    /// Events per second to send; as many as the server takes when not given
    #[arg(long)]
    rate: Option<f64>,
    /// Send the first event of every person before the clock starts, so that none is new
    #[arg(long)]
    known: bool,
    /// Share of the events that are the first of somebody new, all the way through
    #[arg(long, default_value_t = 0.0)]
    new_share: f64,
    /// While sending, measure how long after its acknowledgement an event is in a report
    #[arg(long)]
    fresh: bool,
    /// Only write the records as JSON lines to this file, for a peer
    #[arg(long)]
    write: Option<PathBuf>,
    /// Wait for the key ↵ after printing the server's process id, for a profiler
    #[arg(long)]
    pause: bool,
}

pub(crate) fn run(args: &LoadArgs) -> anyhow::Result<()> {
    if let Some(path) = &args.write {
        return write_records(path, args);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(args))
}

/// The records as one line each, as they are in the requests.
fn write_records(path: &Path, args: &LoadArgs) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut events = Events::new("0123456789abcdef0123456789abcdef", args);
    let mut line = Vec::new();
    for _ in 0..args.events {
        line.clear();
        events.render(&mut line);
        line.push(b'\n');
        out.write_all(&line)?;
    }
    Ok(out.flush()?)
}

async fn measure(args: &LoadArgs) -> anyhow::Result<()> {
    let server = Server::start(&args.server, &args.data).await?;
    let mut events = Events::new(&server.token, args);
    if args.known {
        let requests: Vec<Vec<u8>> = events.everybody().chunks(2_000).map(request).collect();
        send(server.address, Arc::new(requests), 2, None).await?;
        // What that left to do is not what is measured.
        server.idle().await?;
    }
    let mut rendered = 0;
    let requests: Vec<Vec<u8>> = (0..args.events.div_ceil(args.size))
        .map(|_| {
            let bodies: Vec<Vec<u8>> = (0..args.size)
                .map(|_| {
                    let mut body = Vec::with_capacity(720);
                    events.render(&mut body);
                    body
                })
                .collect();
            rendered += bodies.iter().map(Vec::len).sum::<usize>();
            request(&bodies)
        })
        .collect();
    let sent = requests.len() * args.size;
    say(&format!(
        "{sent} events of {:.0} bytes in {} requests, {} connections, server {}",
        rendered as f64 / sent as f64,
        requests.len(),
        args.connections,
        server.child.id()
    ));
    if args.pause {
        std::io::stdin().read_line(&mut String::new())?;
    }
    let every = args.rate.map(|rate| Duration::from_secs_f64(args.size as f64 / rate));
    let over = Arc::new(AtomicBool::new(false));
    let probe = args.fresh.then(|| tokio::spawn(probe(server.asker(), over.clone())));
    let (cpu, own) = (server.cpu_seconds()?, cpu_seconds(std::process::id())?);
    let started = Instant::now();
    let requests = Arc::new(requests);
    let mut latencies = send(server.address, requests.clone(), args.connections, every).await?;
    let wall = started.elapsed().as_secs_f64();
    let (cpu, own) = (server.cpu_seconds()? - cpu, cpu_seconds(std::process::id())? - own);
    over.store(true, Ordering::Relaxed);
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = ((latencies.len() as f64 * share) as usize).min(latencies.len() - 1);
        latencies[index].as_secs_f64() * 1e3
    };
    say(&format!(
        "{:.0} events/s, {:.0} requests/s, wall {wall:.2} s",
        sent as f64 / wall,
        sent as f64 / wall / args.size as f64
    ));
    say(&format!(
        "latency ms: p50 {:.2}  p90 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2}",
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999),
        at(1.0)
    ));
    say(&format!(
        "processor: server {:.2} s per million events, generator {:.2} s; server's memory {} MB at most",
        cpu / sent as f64 * 1e6,
        own / sent as f64 * 1e6,
        server.peak_mb()?
    ));
    let cpu_now = server.cpu_seconds()?;
    server.idle().await?;
    say(&format!("processor afterwards (segments): {:.2} s", server.cpu_seconds()? - cpu_now));
    let judging = judging(&requests)?;
    say(&format!(
        "of the processor time the firewall's detectors: {:.2} s per million events, {:.1} %",
        judging * 1e6,
        judging / (cpu / sent as f64) * 100.0
    ));
    if let Some(probe) = probe {
        let mut times = probe.await??;
        times.sort_unstable();
        ensure!(!times.is_empty(), "the run was too short to measure freshness\nhint: send more --events");
        let at = |share: f64| times[((times.len() as f64 * share) as usize).min(times.len() - 1)].as_secs_f64() * 1e3;
        say(&format!(
            "in a report after its acknowledgement, ms: p50 {:.1}  p90 {:.1}  max {:.1} ({} probes)",
            at(0.5),
            at(0.9),
            at(1.0),
            times.len()
        ));
    }
    server.balanced(sent).await
}

/// Events of which the detectors are measured.
const JUDGED: usize = 400_000;

/// Processor seconds an event that deciding about its properties takes, in this process: parsed before the clock runs.
fn judging(requests: &[Vec<u8>]) -> anyhow::Result<f64> {
    let now_us = jiff::Timestamp::now().as_microsecond();
    let (mut events, mut cpu) = (0, 0.0);
    for request in requests {
        if events >= JUDGED {
            break;
        }
        let head = request.windows(4).position(|four| four == b"\r\n\r\n").context("a request has a head")?;
        let Ok(records) = wire::read_events(&request[head + 4..]) else { bail!("a body is not readable") };
        let mut valid = Vec::new();
        for record in records {
            let read = record.read.map(|event| wire::validate(event, Door::Track, IdentityMode::Simplified, now_us));
            let Ok(Ok(Record::Event(event))) = read else { bail!("an event is not valid") };
            valid.push(event);
        }
        let started = thread_cpu();
        std::hint::black_box(cofferdam_vault::judge(&valid));
        cpu += thread_cpu() - started;
        events += valid.len();
    }
    Ok(cpu / events as f64)
}

/// Prints for people.
#[expect(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}

/// One request with these records.
fn request(records: &[Vec<u8>]) -> Vec<u8> {
    let len = records.iter().map(|record| record.len() + 1).sum::<usize>() + 1;
    let mut out = format!(
        "POST /track?verbose=1 HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {len}\r\n\r\n["
    )
    .into_bytes();
    for (at, record) in records.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(record);
    }
    out.push(b']');
    out
}

/// Sends all requests, each once; `every` is the time between two that are due. Answers how long each took.
async fn send(
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    connections: usize,
    every: Option<Duration>,
) -> anyhow::Result<Vec<Duration>> {
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now() + Duration::from_millis(20);
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let (requests, next) = (requests.clone(), next.clone());
        tasks.push(tokio::spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut latencies = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = requests.get(at) else { return anyhow::Ok(latencies) };
                let mut due = Instant::now();
                if let Some(every) = every {
                    due = started + every.mul_f64(at as f64);
                    tokio::time::sleep_until(due.into()).await;
                }
                let (status, body) = connection.exchange(request).await?;
                ensure!(status == 200 && body.contains("\"status\":1"), "request {at}: {status} {body}");
                latencies.push(due.elapsed());
            }
        }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    Ok(latencies)
}

/// A keep-alive connection.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: Vec::with_capacity(4_096) })
    }

    /// Sends a request and reads the answer: status and body.
    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<(u16, String)> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server closed a connection");
        };
        let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
        let status = text.get(9..12).and_then(|status| status.parse().ok()).context("no status line")?;
        let length: usize = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .and_then(|length| length.trim().parse().ok())
            .context("an answer without its length")?;
        while self.buffer.len() < head + length {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server closed a connection");
        }
        Ok((status, String::from_utf8_lossy(&self.buffer[head..head + length]).into_owned()))
    }
}

/// Asks reports of the server, signed in.
#[derive(Clone)]
struct Asker {
    address: SocketAddr,
    cookie: String,
    token: String,
    project: u64,
}

impl Asker {
    async fn api(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        api(self.address, &self.cookie, method, path, body).await.map(|(value, _)| value)
    }

    /// Events of a name that a report counts.
    async fn total(&self, event: &str) -> anyhow::Result<u64> {
        let query = json!({
            "kind": "insights", "range": {"kind": "last", "count": 2, "unit": "day"}, "unit": "day",
            "metrics": [{"matching": {"event": event}, "measure": "total"}],
        });
        let answer = self.api("POST", &format!("/api/v1/projects/{}/query", self.project), &query).await?;
        answer["table"]["series"][0]["total"].as_u64().with_context(|| format!("no total in {answer}"))
    }
}

/// Sends single events of a name of its own and asks until a report counts them.
async fn probe(asker: Asker, over: Arc<AtomicBool>) -> anyhow::Result<Vec<Duration>> {
    let mut connection = Connection::open(asker.address).await?;
    let mut times = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let record = json!({"event": "Freshness Probe", "properties": {
            "token": asker.token, "time": now_ms() as u64, "distinct_id": "probe",
            "$insert_id": format!("probe-{}", times.len()),
        }});
        let (status, body) = connection.exchange(&request(&[record.to_string().into_bytes()])).await?;
        ensure!(status == 200 && body.contains("\"status\":1"), "probe: {status} {body}");
        let acknowledged = Instant::now();
        while asker.total("Freshness Probe").await? < times.len() as u64 + 1 {
            ensure!(acknowledged.elapsed() < Duration::from_secs(30), "an acknowledged event is in no report");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        times.push(acknowledged.elapsed());
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Ok(times)
}

/// A server on an empty folder, set up, ended with this value.
struct Server {
    child: Child,
    address: SocketAddr,
    cookie: String,
    token: String,
    project: u64,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    async fn start(binary: &Path, data: &Path) -> anyhow::Result<Server> {
        if data.exists() {
            ensure!(
                data.join("root.key").exists() || data.read_dir()?.next().is_none(),
                "{} is not a server's folder\nhint: name one that may be emptied",
                data.display()
            );
            std::fs::remove_dir_all(data)?;
        }
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(binary)
            .arg("serve")
            .args(["--data".as_ref(), data.as_os_str()])
            .args(["--listen", &address.to_string(), "--setup-code", SETUP_CODE])
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("could not start {}", binary.display()))?;
        let mut server = Server { child, address, cookie: String::new(), token: String::new(), project: 0 };
        let started = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            if started.elapsed() > Duration::from_secs(30) {
                bail!("the server did not start within 30 s");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.set_up().await?;
        Ok(server)
    }

    async fn set_up(&mut self) -> anyhow::Result<()> {
        let email = "owner@bench.example";
        let first = json!({"setup_code": SETUP_CODE, "email": email});
        let (enrolment, _) = api(self.address, "", "POST", "/api/v1/setup/totp", &first).await?;
        let uri = enrolment["uri"].as_str().context("no second factor was offered")?;
        let totp = totp_rs::Totp::from_url(uri).ok().context("an otpauth address that cannot be read")?;
        let second = json!({
            "setup_code": SETUP_CODE, "organisation": "Bench", "name": "Bench", "email": email,
            "password": "correct horse battery staple", "totp_code": totp.generate((now_ms() / 1_000) as u64).to_string(),
            "project": "Bench", "time_zone": "UTC",
        });
        let (_, cookie) = api(self.address, "", "POST", "/api/v1/setup", &second).await?;
        self.cookie = cookie;
        let (list, _) = api(self.address, &self.cookie, "GET", "/api/v1/projects", &Value::Null).await?;
        let project = &list["projects"][0];
        self.project = project["id"].as_u64().context("no project")?;
        self.token = project["token"].as_str().context("a project without a token")?.to_owned();
        Ok(())
    }

    fn asker(&self) -> Asker {
        Asker { address: self.address, cookie: self.cookie.clone(), token: self.token.clone(), project: self.project }
    }

    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        cpu_seconds(self.child.id())
    }

    fn peak_mb(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1_024)
    }

    /// Waits until the server does nothing.
    async fn idle(&self) -> anyhow::Result<()> {
        let mut last = self.cpu_seconds()?;
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = self.cpu_seconds()?;
            if now - last < 0.02 {
                return Ok(());
            }
            last = now;
        }
    }

    /// Checks that everything sent was accepted, once.
    async fn balanced(&self, sent: usize) -> anyhow::Result<()> {
        let status =
            self.asker().api("GET", &format!("/api/v1/projects/{}/status", self.project), &Value::Null).await?;
        let outcomes = &status["outcomes"];
        let accepted = outcomes["accepted"].as_u64().unwrap_or(0);
        ensure!(accepted >= sent as u64 && outcomes["received"] == outcomes["accepted"], "outcomes: {outcomes}");
        Ok(())
    }
}

/// One call of the console's API, on a connection of its own: the answer, and the session it set.
async fn api(
    address: SocketAddr,
    cookie: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> anyhow::Result<(Value, String)> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\norigin: http://{address}\r\ncookie: {cookie}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").context("an answer without a body")?;
    ensure!(head.starts_with("HTTP/1.1 20"), "{path}: {head}\n{body}");
    let cookie = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().starts_with("set-cookie:").then(|| line[11..].trim()))
        .and_then(|cookie| cookie.split(';').next())
        .unwrap_or_default();
    Ok((serde_json::from_str(body).unwrap_or(Value::Null), cookie.to_owned()))
}

/// Processor time a process has used, in seconds; the kernel counts in hundredths.
fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    Ok((ticks(11) + ticks(12)) / 100.0)
}

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}

/// Events as a browser's SDK sends them, the same on every run but for the clock.
struct Events {
    token: String,
    persons: u64,
    new_share: f64,
    state: u64,
    serial: u64,
    now_ms: u64,
}

impl Events {
    fn new(token: &str, args: &LoadArgs) -> Events {
        let &LoadArgs { persons, new_share, .. } = args;
        let (state, now_ms) = (0x9e37_79b9_7f4a_7c15, now_ms() as u64);
        Events { token: token.to_owned(), persons, new_share, state, serial: 0, now_ms }
    }

    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// One small event of each person, with the organisation they belong to.
    fn everybody(&self) -> Vec<Vec<u8>> {
        (0..self.persons)
            .map(|person| {
                let record = json!({"event": "Signed Up", "properties": {
                    "token": self.token, "time": self.now_ms - 3_600_000,
                    "distinct_id": format!("$device:{}", device(person)), "$device_id": device(person),
                    "$insert_id": format!("first-{person}"), "org_id": format!("org_{:05}", person % 20_000),
                }});
                record.to_string().into_bytes()
            })
            .collect()
    }

    fn render(&mut self, out: &mut Vec<u8>) {
        const BROWSERS: [(&str, u32); 5] =
            [("Chrome", 131), ("Safari", 17), ("Firefox", 133), ("Microsoft Edge", 131), ("Mobile Safari", 18)];
        const SYSTEMS: [&str; 5] = ["Windows", "Mac OS X", "iOS", "Android", "Linux"];
        const PLANS: [&str; 5] = ["free", "starter", "team", "business", "enterprise"];
        const COUNTRIES: [&str; 10] = ["US", "DE", "ES", "GB", "FR", "IT", "NL", "BR", "IN", "JP"];
        const SCREENS: [(u32, u32); 4] = [(1080, 1920), (1440, 2560), (844, 390), (900, 1440)];
        let dice = self.random();
        let wide = self.random();
        let mut person = self.random() % self.persons;
        if self.new_share > 0.0 && (self.random() as f64) < self.new_share * u64::MAX as f64 {
            person = self.persons;
            self.persons += 1;
        }
        let pick = |shift: u32, among: usize| (dice >> shift) as usize % among;
        // Zipf-like: half of what is left, each time.
        let name = NAMES[((dice >> 48) as u16 | 1).leading_zeros().min(11) as usize];
        let (browser, version) = BROWSERS[pick(0, BROWSERS.len())];
        let (height, width) = SCREENS[pick(6, SCREENS.len())];
        let time = self.now_ms - 3_600_000 + self.serial % 3_600_000;
        self.serial += 1;
        let path = format!("/product/{}", wide % 5_000);
        let _ = write!(
            out,
            concat!(
                r#"{{"event":"{name}","properties":{{"token":"{token}","time":{time},"distinct_id":"$device:{device}","#,
                r#""$device_id":"{device}","$insert_id":"{insert:016x}","$os":"{os}","$browser":"{browser}","#,
                r#""$browser_version":{version},"$current_url":"https://shop.example.com{path}?ref={reference}","#,
                r#""$initial_referrer":"https://www.google.com/","$initial_referring_domain":"www.google.com","#,
                r#""$screen_height":{height},"$screen_width":{width},"mp_country_code":"{country}","#,
                r#""$city":"City {city}","mp_lib":"web","$lib_version":"2.56.0","plan":"{plan}","#,
                r#""url_path":"{path}","amount":{amount}.{cents:02},"org_id":"org_{org:05}","logged_in":{logged_in}}}}}"#
            ),
            name = name,
            token = self.token,
            time = time,
            device = device(person),
            insert = mix(self.serial ^ 0x5bd1_e995),
            os = SYSTEMS[pick(9, SYSTEMS.len())],
            browser = browser,
            version = version,
            path = path,
            reference = wide >> 50,
            height = height,
            width = width,
            country = COUNTRIES[pick(12, COUNTRIES.len())],
            city = (wide >> 20) % 4_000,
            plan = PLANS[(person % 5) as usize],
            amount = (wide >> 34) % 400,
            cents = pick(18, 100),
            org = person % 20_000,
            logged_in = person.is_multiple_of(2),
        );
    }
}

/// A person's device id, in the form of a version 4 UUID.
fn device(person: u64) -> String {
    let (high, low) = (mix(person), mix(person ^ 0xff51_afd7_ed55_8ccd));
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

/// The finaliser of splitmix64.
fn mix(seed: u64) -> u64 {
    let mut z = seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
