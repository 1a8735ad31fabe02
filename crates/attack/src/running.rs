//! A running server on an empty folder, set up by a first member, for attacks that come over the network.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

const SETUP_CODE: &str = "attack-setup-code";

/// Ended with this value.
pub(crate) struct Running {
    child: Child,
    address: SocketAddr,
    pub(crate) data: PathBuf,
    cookie: String,
    pub(crate) token: String,
    pub(crate) project: u64,
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
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

impl Running {
    pub(crate) fn start(binary: &Path, folder: &Path, arguments: &[&str]) -> Result<Running> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let data = folder.join("data");
        let child = Command::new(binary)
            .arg("serve")
            .args(["--data".as_ref(), data.as_os_str()])
            .args(["--listen", &address.to_string(), "--setup-code", SETUP_CODE])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("server.log"))?)
            .spawn()
            .with_context(|| format!("could not start {}", binary.display()))?;
        let mut running = Running { child, address, data, cookie: String::new(), token: String::new(), project: 0 };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if started.elapsed() > Duration::from_secs(30) {
                bail!("the server did not start within 30 s");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        running.set_up()?;
        Ok(running)
    }

    fn set_up(&mut self) -> Result<()> {
        let email = "owner@attack.example";
        let enrolment = self.api("POST", "/api/v1/setup/totp", &json!({"setup_code": SETUP_CODE, "email": email}))?;
        let uri = enrolment["uri"].as_str().context("no second factor was offered")?;
        let totp = totp_rs::Totp::from_url(uri).ok().context("an otpauth address that cannot be read")?;
        let body = json!({
            "setup_code": SETUP_CODE, "organisation": "Attack", "name": "Owner", "email": email,
            "password": "correct horse battery staple", "totp_code": totp.generate(now_ms() / 1_000).to_string(),
            "project": "Attack", "time_zone": "UTC",
        });
        let reply = self.call("POST", "/api/v1/setup", "application/json", body.to_string().as_bytes())?;
        let cookie = reply.head.lines().find(|line| line.to_ascii_lowercase().starts_with("set-cookie:"));
        let cookie = cookie.and_then(|line| line[11..].trim().split(';').next()).context("no session")?;
        self.cookie = cookie.to_owned();
        let project = self.api("GET", "/api/v1/projects", &Value::Null)?["projects"][0].clone();
        self.project = project["id"].as_u64().context("no project")?;
        self.token = project["token"].as_str().context("a project without a token")?.to_owned();
        Ok(())
    }

    /// One request of the first member.
    pub(crate) fn call(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Result<Reply> {
        let address = self.address;
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\norigin: http://{address}\r\ncookie: {}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            self.cookie,
            body.len()
        )?;
        // Whoever refuses a body may stop reading it.
        let _ = stream.write_all(body);
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

    /// A call of the console's API that must succeed.
    pub(crate) fn api(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let reply = self.call(method, path, "application/json", text.as_bytes())?;
        ensure!((200..300).contains(&reply.status), "{method} {path}: {}", reply.status);
        Ok(reply.json())
    }

    /// Sends events as an SDK does. Answers the status.
    pub(crate) fn track(&self, body: &[u8]) -> Result<u16> {
        Ok(self.call("POST", "/track?verbose=1", "application/json", body)?.status)
    }

    /// Memory in use, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1_024)
    }

    /// Asks the server to end, and waits until it has.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let ended = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        ensure!(ended.success(), "the server could not be asked to stop");
        self.child.wait()?;
        Ok(())
    }

    /// What the server wrote to its log.
    pub(crate) fn log(&self) -> Vec<u8> {
        self.data.parent().and_then(|folder| std::fs::read(folder.join("server.log")).ok()).unwrap_or_default()
    }
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
