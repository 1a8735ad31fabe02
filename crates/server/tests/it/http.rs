//! A small HTTP/1.1 client that sends exactly the bytes a test asks for: odd bodies, odd headers, and
//! requests whose answer comes before the body was read. One connection a request.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// Long enough for a busy machine; a server that takes longer has stopped.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

pub(crate) struct Request {
    port: u16,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    pub(crate) fn new(port: u16, method: &str, target: &str) -> Self {
        Self { port, method: method.into(), target: target.into(), headers: Vec::new(), body: None }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self.header("content-type", content_type)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(crate) fn gzip(mut self) -> Self {
        let plain = self.body.take().expect("a body to compress");
        self.body = Some(crate::search::gzip(&plain));
        self.header("content-encoding", "gzip")
    }

    pub(crate) fn basic(self, user: &str, password: &str) -> Self {
        use base64::Engine as _;
        let word = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        self.header("authorization", &format!("Basic {word}"))
    }

    /// The answer, or a panic that names the request.
    pub(crate) fn send(self) -> Reply {
        let name = format!("{} {}", self.method, self.target.chars().take(120).collect::<String>());
        self.try_send().unwrap_or_else(|error| panic!("no answer to {name}: {error}"))
    }

    /// The answer; an error when the server went away before the answer was complete.
    pub(crate) fn try_send(self) -> std::io::Result<Reply> {
        let mut stream = self.open()?;
        let mut bytes = Vec::new();
        // A server may close with our unread bytes still in flight: what arrived before counts.
        let end = stream.read_to_end(&mut bytes);
        Reply::parse(&bytes).map_err(|error| end.err().unwrap_or(error))
    }

    /// Sends the request and hands over the connection, for answers that do not end.
    pub(crate) fn open(self) -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        stream.set_write_timeout(Some(ANSWER_WAIT))?;
        stream.set_nodelay(true)?;
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\n",
            self.method, self.target, self.port
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        if let Some(body) = &self.body {
            // The server may answer 413 and stop reading: the answer is what matters.
            let _ = stream.write_all(body);
        }
        Ok(stream)
    }
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    fn parse(bytes: &[u8]) -> std::io::Result<Self> {
        let cut = |what: &str| Error::new(ErrorKind::UnexpectedEof, what.to_owned());
        let end = find(bytes, b"\r\n\r\n").ok_or_else(|| cut("the head is incomplete"))?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|word| word.parse().ok())
            .ok_or_else(|| cut("the status line is unreadable"))?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut reply = Self { status, headers, body: bytes[end + 4..].to_vec() };
        if reply.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            reply.body = unchunk(&reply.body).ok_or_else(|| cut("the last chunk is missing"))?;
        } else if let Some(length) = reply.header("content-length") {
            let length: usize = length.parse().map_err(|_| cut("the length is unreadable"))?;
            if reply.body.len() < length {
                return Err(cut("the body is incomplete"));
            }
            reply.body.truncate(length);
        }
        Ok(reply)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{} is not JSON: {:?}", self.status, self.text()))
    }

    /// Everything that came back, for searching.
    pub(crate) fn transcript(&self) -> Vec<u8> {
        let mut all = format!("{:?}\n", self.headers).into_bytes();
        all.extend_from_slice(&self.body);
        all
    }
}

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn unchunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = find(bytes, b"\r\n")?;
        let word = std::str::from_utf8(&bytes[..line]).ok()?;
        let length = usize::from_str_radix(word.split(';').next()?.trim(), 16).ok()?;
        bytes = &bytes[line + 2..];
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(bytes.get(..length)?);
        bytes = bytes.get(length + 2..)?;
    }
}

/// Percent-encodes everything but unreserved characters, as a form does.
pub(crate) fn percent(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 3);
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
