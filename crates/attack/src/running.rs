//! A server of ours that runs, as an attacker finds it: set up by a first member, on a port of this machine, with a
//! folder on its disk.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

pub(crate) const SETUP_CODE: &str = "attack-setup-code";
pub(crate) const EMAIL: &str = "owner@attacked.example";
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// Longer than any answer takes.
const WAIT: Duration = Duration::from_secs(60);

/// Ended with this value.
pub(crate) struct Running {
    child: Child,
    address: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) cookie: String,
    pub(crate) token: String,
    pub(crate) project: u64,
    /// The first member's authenticator app.
    pub(crate) totp: Option<totp_rs::Totp>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer: status, head, body.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// As whom a program runs; `None` for whoever runs the attack.
pub(crate) fn program(binary: &Path, account: Option<u32>) -> Command {
    let mut command = Command::new(binary);
    if let Some(account) = account {
        command.uid(account).gid(account);
    }
    command
}

impl Running {
    /// Starts a server with its data in a folder below this one, and sets it up.
    pub(crate) fn start(binary: &Path, folder: &Path, arguments: &[&str]) -> Result<Running> {
        Running::start_as(None, binary, folder, arguments)
    }

    pub(crate) fn start_as(account: Option<u32>, binary: &Path, folder: &Path, arguments: &[&str]) -> Result<Running> {
        let mut running = Running::open_as(account, binary, folder, arguments)?;
        running.set_up()?;
        Ok(running)
    }

    /// Starts a server as it is, for whoever sets it up.
    pub(crate) fn open(binary: &Path, folder: &Path, arguments: &[&str]) -> Result<Running> {
        Running::open_as(None, binary, folder, arguments)
    }

    fn open_as(account: Option<u32>, binary: &Path, folder: &Path, arguments: &[&str]) -> Result<Running> {
        let data = folder.join("data");
        let mut child = program(binary, account)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .args(arguments)
            .env("COFFERDAM_SETUP_CODE", SETUP_CODE)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("server.log"))?)
            .spawn()
            .with_context(|| format!("could not start {}", binary.display()))?;
        let stdout = child.stdout.take().context("the server's output is a pipe")?;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let (cookie, token) = (String::new(), String::new());
        let mut running = Running { child, address, data, cookie, token, project: 0, totp: None };
        let mut lines = BufReader::new(stdout).lines();
        running.address = loop {
            let line = lines.next().context("the server ended before it listened")??;
            if let Some(address) = line.strip_prefix("cofferdam listening on http://") {
                break address.trim().parse()?;
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Ok(running)
    }

    fn set_up(&mut self) -> Result<()> {
        let enrolment = self.api("POST", "/api/v1/setup/totp", &json!({"setup_code": SETUP_CODE, "email": EMAIL}))?;
        let uri = enrolment["uri"].as_str().context("no second factor was offered")?;
        let totp = totp_rs::Totp::from_url(uri).ok().context("an otpauth address that cannot be read")?;
        let body = json!({
            "setup_code": SETUP_CODE, "organisation": "Attacked", "name": "Olga Owner", "email": EMAIL,
            "password": PASSWORD, "totp_code": totp.generate(now_ms() / 1_000).to_string(),
            "project": "Shop", "time_zone": "UTC",
        });
        let reply = self.call("POST", "/api/v1/setup", "application/json", body.to_string().as_bytes())?;
        let cookie = reply.head.lines().find(|line| line.to_ascii_lowercase().starts_with("set-cookie:"));
        let cookie = cookie.and_then(|line| line[11..].trim().split(';').next()).context("no session")?;
        self.cookie = cookie.to_owned();
        self.totp = Some(totp);
        let project = self.api("GET", "/api/v1/projects", &Value::Null)?["projects"][0].clone();
        self.project = project["id"].as_u64().context("no project")?;
        self.token = project["token"].as_str().context("a project without a token")?.to_owned();
        Ok(())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn request(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<TcpStream> {
        let origin = format!("http://{}", self.address);
        let headers = [("origin", &*origin), ("cookie", &*self.cookie), ("content-type", content_type)];
        self.request_with(method, path, &headers, body)
    }

    fn request_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(WAIT))?;
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{lines}content-length: {}\r\nconnection: close\r\n\r\n",
            self.address,
            body.len()
        )?;
        // Whoever refuses a body may stop reading it.
        let _ = stream.write_all(body);
        Ok(stream)
    }

    /// One request of the first member.
    pub(crate) fn call(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<Reply> {
        read(self.request(method, path, content_type, body)?, method, path)
    }

    /// One request of anybody, with JSON in it and just these headers.
    pub(crate) fn call_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Result<Reply> {
        let headers = [headers, &[("content-type", "application/json")]].concat();
        read(self.request_with(method, path, &headers, body.to_string().as_bytes())?, method, path)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A form that anybody sends, as the proxy before the server says from where.
    pub(crate) fn form_from(&self, from: std::net::IpAddr, path: &str, form: &str) -> Result<Reply> {
        // The proxy's header follows the last one that is given.
        let content_type = format!("application/x-www-form-urlencoded\r\nx-forwarded-for: {from}");
        self.call("POST", path, &content_type, form.as_bytes())
    }

    /// A call of the console's API, whatever it answers; null for no body.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Reply> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.call(method, path, "application/json", text.as_bytes())
    }

    /// A call of the console's API that must succeed.
    pub(crate) fn api(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let reply = self.ask(method, path, body)?;
        ensure!((200..300).contains(&reply.status), "{method} {path}: {}", reply.status);
        Ok(reply.json())
    }

    /// A stream of the console, open.
    pub(crate) fn follow(&self) -> Result<TcpStream> {
        self.request("GET", &format!("/api/v1/projects/{}/live", self.project), "application/json", b"")
    }

    /// Sends events as an SDK does. Answers the status.
    pub(crate) fn track(&self, body: &[u8]) -> Result<u16> {
        Ok(self.call("POST", "/track?verbose=1", "application/json", body)?.status)
    }

    /// Sends events or profile updates; each names its project by the token in it. Answers the status.
    pub(crate) fn send(&self, path: &str, records: &[Value]) -> Result<u16> {
        Ok(self.ask("POST", path, &Value::from(records))?.status)
    }

    pub(crate) fn event(&self, id: &str, properties: Value) -> Value {
        let mut event =
            json!({"event": "Seeded", "properties": {"token": self.token, "distinct_id": id, "time": now_ms()}});
        for (name, value) in properties.as_object().into_iter().flatten() {
            event["properties"][name] = value.clone();
        }
        event
    }

    /// Memory in use, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1_024)
    }

    /// Asks the server to end, and waits until it has.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw).context("a process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }

    /// What the server wrote to its log.
    pub(crate) fn log(&self) -> Vec<u8> {
        self.data.parent().and_then(|folder| std::fs::read(folder.join("server.log")).ok()).unwrap_or_default()
    }
}

fn read(mut stream: TcpStream, method: &str, path: &str) -> Result<Reply> {
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        ended?;
        bail!("{method} {path}: an answer without a head");
    };
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.get(9..12).and_then(|status| status.parse().ok()).context("no status line")?;
    Ok(Reply { status, head, body: answer.split_off(end + 4) })
}

/// Runs a command of the program on a folder.
pub(crate) fn command(binary: &Path, words: &[&str], data: &Path) -> Result<Output> {
    let output = Command::new(binary).args(words).arg("--data").arg(data).stdin(Stdio::null()).output()?;
    Ok(output)
}

pub(crate) fn done(output: Output) -> Result<()> {
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(())
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
