//! The sending side of the ingestion door: posts a body with the project's token, waits when the server says
//! so, and reads its answer. Used by `import` and by the demo.
//!
//! Invariants
//! - Nothing is taken as accepted that the server has not counted: an answer whose numbers do not add up to
//!   the batch is an error.
//! - Sending again is always safe, because every record carries its `$insert_id`; so 429, 5xx and a lost
//!   connection are repeated, a bounded number of times.
//! - Messages name the address, the status and the server's reason, never a record or the token.
//!
//! Deliberately without TLS: this client is for the server's own host or a tunnel.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use base64::Engine as _;
use serde_json::Value;

/// Longest a single `Retry-After` is believed.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// An answer holds at most one line for each record of a batch.
const ANSWER_BYTES_MAX: u64 = 8 << 20;
/// A reason of the server as it is shown; longer ones are cut.
const REASON_CHARS_MAX: usize = 200;

/// How often to try again, and how long to wait at first; the wait doubles.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) tries: u32,
    pub(crate) first_wait: Duration,
}

impl Patience {
    /// About two minutes of an absent or overloaded server.
    pub(crate) const LONG: Self = Self { tries: 10, first_wait: Duration::from_millis(250) };
    /// One retry, for senders that can afford to lose time.
    pub(crate) const SHORT: Self = Self { tries: 2, first_wait: Duration::from_millis(250) };

    fn wait(&self, attempt: u32) -> Duration {
        self.first_wait.saturating_mul(1 << attempt.min(16)).min(WAIT_MAX / 2)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain,
    Gzip,
}

/// A record the server refused.
pub(crate) struct Refusal {
    pub(crate) index: usize,
    pub(crate) field: String,
    pub(crate) reason: String,
}

pub(crate) enum Answer {
    /// Every record is either imported or among the refusals.
    Counted { imported: u64, refused: Vec<Refusal> },
    /// The body is larger than the server takes in one request.
    TooLarge,
}

pub(crate) struct Client {
    agent: ureq::Agent,
    base_url: String,
    authorization: String,
    patience: Patience,
}

struct Reply {
    status: u16,
    body: String,
}

impl Client {
    pub(crate) fn new(base_url: &str, token: &str, patience: Patience) -> anyhow::Result<Self> {
        let base_url = check_url(base_url)?;
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            bail!(
                "the project token is empty or has characters a token cannot have\nhint: copy it from the project's settings"
            );
        }
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // Events are personal data: they go where the user said and not through a proxy of the environment.
            .proxy(None)
            .max_redirects(0)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_send_body(Some(Duration::from_secs(60)))
            .timeout_recv_response(Some(Duration::from_secs(120)))
            .timeout_recv_body(Some(Duration::from_secs(60)))
            .user_agent(concat!("cofferdam/", env!("CARGO_PKG_VERSION")))
            .build();
        let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{token}:"));
        Ok(Self { agent: config.new_agent(), base_url, authorization: format!("Basic {credentials}"), patience })
    }

    /// Sends a batch of `records` events to `/import` in strict mode.
    pub(crate) fn import(&self, body: &[u8], records: usize, encoding: Encoding) -> anyhow::Result<Answer> {
        let reply = self.post("/import?strict=1", body, encoding)?;
        match reply.status {
            200 | 400 => {}
            413 => return Ok(Answer::TooLarge),
            _ => return Err(self.unexpected(&reply)),
        }
        let answer: Value = serde_json::from_str(&reply.body).map_err(|_| self.unexpected(&reply))?;
        let imported = answer["num_records_imported"].as_u64();
        let (imported, refused) = match (reply.status, imported, answer["failed_records"].as_array()) {
            (200, Some(imported), None) => (imported, Vec::new()),
            (_, Some(imported), Some(failed)) => (imported, failed.iter().filter_map(read_refusal).collect()),
            _ => return Err(self.unexpected(&reply)),
        };
        let known = refused.iter().all(|refusal: &Refusal| refusal.index < records);
        if !known || imported + refused.len() as u64 != records as u64 {
            bail!(
                "{} counted {imported} imported and {} refused of {records} records sent",
                self.base_url,
                refused.len()
            );
        }
        Ok(Answer::Counted { imported, refused })
    }

    /// Sends to one of the routes that answer `{"status":1}`: `/track`, `/engage`, `/groups`.
    pub(crate) fn send(&self, path: &str, body: &[u8]) -> anyhow::Result<()> {
        let reply = self.post(&format!("{path}?verbose=1&ip=0"), body, Encoding::Plain)?;
        let accepted = serde_json::from_str::<Value>(&reply.body).is_ok_and(|answer| answer["status"] == 1);
        if reply.status == 200 && accepted { Ok(()) } else { Err(self.unexpected(&reply)) }
    }

    fn post(&self, path: &str, body: &[u8], encoding: Encoding) -> anyhow::Result<Reply> {
        let url = format!("{}{path}", self.base_url);
        let mut attempt = 0;
        loop {
            let mut request = self
                .agent
                .post(&url)
                .header("authorization", &self.authorization)
                .header("content-type", "application/json");
            if encoding == Encoding::Gzip {
                request = request.header("content-encoding", "gzip");
            }
            let outcome = request.send(body).and_then(|mut response| {
                let status = response.status().as_u16();
                let wait = response.headers().get("retry-after").and_then(|at| at.to_str().ok()).and_then(retry_after);
                let body =
                    response.body_mut().with_config().limit(ANSWER_BYTES_MAX).lossy_utf8(true).read_to_string()?;
                Ok((Reply { status, body }, wait))
            });
            attempt += 1;
            let last = attempt >= self.patience.tries;
            let wait = match outcome {
                Ok((reply, wait)) if matches!(reply.status, 429 | 500 | 502 | 503 | 504) => {
                    if last {
                        return Err(self.unexpected(&reply).context(format!("gave up after {attempt} tries")));
                    }
                    wait
                }
                Ok((reply, _)) => return Ok(reply),
                Err(error) if last => {
                    return Err(anyhow!(error)).with_context(|| {
                        format!(
                            "cannot reach {} (gave up after {attempt} tries)\nhint: is the server running there?",
                            self.base_url
                        )
                    });
                }
                Err(_) => None,
            };
            std::thread::sleep(wait.unwrap_or_else(|| self.patience.wait(attempt - 1)).min(WAIT_MAX));
        }
    }

    fn unexpected(&self, reply: &Reply) -> anyhow::Error {
        let hint = match reply.status {
            401 | 403 => {
                "\nhint: check the project token (--token or COFFERDAM_TOKEN); it is in the project's settings"
            }
            404 => "\nhint: is this the address of a Cofferdam server?",
            _ => "",
        };
        let reason = serde_json::from_str::<Value>(&reply.body)
            .ok()
            .and_then(|answer| answer["error"].as_str().map(shorten))
            .map_or(String::new(), |reason| format!(": {reason}"));
        anyhow!("{} answered {}{reason}{hint}", self.base_url, reply.status)
    }
}

fn read_refusal(record: &Value) -> Option<Refusal> {
    Some(Refusal {
        index: usize::try_from(record["index"].as_u64()?).ok()?,
        field: shorten(record["field"].as_str().unwrap_or_default()),
        reason: shorten(record["message"].as_str().unwrap_or("refused by the server")),
    })
}

fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect()
}

/// Only the form in seconds; a date in this header falls back to the ordinary wait.
fn retry_after(value: &str) -> Option<Duration> {
    value.trim().parse().ok().map(Duration::from_secs)
}

/// An `http://` address without a trailing slash.
fn check_url(url: &str) -> anyhow::Result<String> {
    let url = url.trim_end_matches('/');
    if url.starts_with("https://") {
        bail!(
            "https addresses are not supported by this command\nhint: run it on the server's own host, or through a tunnel such as `ssh -L 7077:127.0.0.1:7077 HOST`"
        );
    }
    let host = url.strip_prefix("http://").unwrap_or_default();
    if host.is_empty() || host.starts_with('/') || host.contains(['?', '#', '@']) || host.contains(char::is_whitespace)
    {
        bail!("not an address this command can send to\nhint: it looks like http://127.0.0.1:7077");
    }
    Ok(url.to_owned())
}

/// gzip at its fastest level.
pub(crate) fn compress(body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut out = flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 6), flate2::Compression::fast());
    out.write_all(body).and_then(|()| out.finish()).context("cannot compress a batch")
}
