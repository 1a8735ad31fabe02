//! A server of ours that runs, as an attacker finds it: set up, on a port of this machine, with a folder on its disk.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

const SETUP_CODE: &str = "attack-setup-code";
const EMAIL: &str = "owner@attacked.example";
const PASSWORD: &str = "correct horse battery staple";
/// Longer than any answer takes.
const WAIT: Duration = Duration::from_secs(60);

pub(crate) struct Running {
    child: Child,
    port: u16,
    pub(crate) data: PathBuf,
    cookie: String,
    pub(crate) token: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
    /// Starts a server on a new folder and sets it up.
    pub(crate) fn start(binary: &Path, data: &Path, account: Option<u32>) -> Result<Running> {
        let mut child = program(binary, account)
            .args(["serve", "--listen", "127.0.0.1:0", "--flush-events", "500", "--data"])
            .arg(data)
            .env("COFFERDAM_SETUP_CODE", SETUP_CODE)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("could not start {}", binary.display()))?;
        let stdout = child.stdout.take().context("the server's output is a pipe")?;
        let mut running =
            Running { child, port: 0, data: data.to_owned(), cookie: String::new(), token: String::new() };
        let mut lines = BufReader::new(stdout).lines();
        let address = loop {
            let line = lines.next().context("the server ended before it listened")??;
            if let Some(url) = line.strip_prefix("cofferdam listening on http://127.0.0.1:") {
                break url.trim().to_owned();
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        running.port = address.parse()?;
        running.set_up()?;
        Ok(running)
    }

    fn set_up(&mut self) -> Result<()> {
        let body = json!({"setup_code": SETUP_CODE, "email": EMAIL});
        let (_, enrolment) = self.call("POST", "/api/v1/setup/totp", Some(&body))?;
        let uri = enrolment["uri"].as_str().context("the server sent no TOTP secret")?;
        let totp = totp_rs::Totp::from_url(uri).map_err(|_| anyhow::anyhow!("the TOTP secret cannot be read"))?;
        let body = json!({
            "setup_code": SETUP_CODE, "organisation": "Attacked", "name": "Olga Owner", "email": EMAIL,
            "password": PASSWORD, "totp_code": totp.generate(now_ms() / 1000).to_string(), "project": "Shop",
            "time_zone": "UTC",
        });
        let (head, _) = self.call("POST", "/api/v1/setup", Some(&body))?;
        let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        let cookie = cookie.and_then(|cookie| cookie.split(';').next()).context("the server opened no session")?;
        self.cookie = cookie.to_owned();
        let (_, projects) = self.call("GET", "/api/v1/projects", None)?;
        self.token = projects["projects"][0]["token"].as_str().context("the server made no project")?.to_owned();
        Ok(())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw).context("a process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }

    fn request(&self, method: &str, target: &str, body: Option<&Value>) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(WAIT))?;
        let body = body.map(ToString::to_string).unwrap_or_default();
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nhost: 127.0.0.1:{0}\r\norigin: http://127.0.0.1:{0}\r\ncookie: {1}\r\n\
             content-type: application/json\r\ncontent-length: {2}\r\nconnection: close\r\n\r\n{body}",
            self.port,
            self.cookie,
            body.len(),
        )?;
        Ok(stream)
    }

    /// Answers the status, and the head in lower case.
    pub(crate) fn ask(&self, method: &str, target: &str, body: Option<&Value>) -> Result<(u16, String, Vec<u8>)> {
        let mut answer = Vec::new();
        self.request(method, target, body)?.read_to_end(&mut answer)?;
        let end =
            answer.windows(4).position(|four| four == b"\r\n\r\n").context("the answer has no end of its head")?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).context("the answer has no status")?;
        let lower = head.lines().map(|line| {
            line.split_once(": ").map_or(line.to_owned(), |(name, value)| format!("{}: {value}", name.to_lowercase()))
        });
        Ok((status, lower.collect::<Vec<_>>().join("\n"), answer[end + 4..].to_vec()))
    }

    fn call(&self, method: &str, target: &str, body: Option<&Value>) -> Result<(String, Value)> {
        let (status, head, body) = self.ask(method, target, body)?;
        ensure!((200..300).contains(&status), "{target}: {}", String::from_utf8_lossy(&body));
        Ok((head, serde_json::from_slice(&body)?))
    }

    /// A stream of the console, open.
    pub(crate) fn follow(&self) -> Result<TcpStream> {
        self.request("GET", "/api/v1/projects/1/live", None)
    }

    /// Sends events or profile updates; each names its project by the token in it. Answers the status.
    pub(crate) fn send(&self, target: &str, records: &[Value]) -> Result<u16> {
        Ok(self.ask("POST", target, Some(&Value::from(records)))?.0)
    }

    pub(crate) fn event(&self, id: &str, properties: Value) -> Value {
        let mut event =
            json!({"event": "Seeded", "properties": {"token": self.token, "distinct_id": id, "time": now_ms()}});
        for (name, value) in properties.as_object().into_iter().flatten() {
            event["properties"][name] = value.clone();
        }
        event
    }
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
