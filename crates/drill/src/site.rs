//! A server as anybody outside sees it: its address, and requests to it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use ureq::http;

/// Finding the scope of an incident is the longest that an answer may begin after.
const ANSWER_WAIT: Duration = Duration::from_secs(600);
/// The longest answer that is kept in memory: a package of some million persons.
const ANSWER_BYTES_MAX: u64 = 4 << 30;

#[derive(Clone)]
pub(crate) struct Site {
    url: String,
    /// What browsers call it, where passkeys are concerned.
    browser_origin: String,
    agent: ureq::Agent,
}

/// An answer: status, cookies, body.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// As a browser sends them back.
    pub(crate) cookies: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The code of a refusal.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The body of an answer that is no refusal.
    pub(crate) fn done(self, what: &str) -> Result<Value> {
        let body = self.json();
        ensure!(
            (200..300).contains(&self.status),
            "{what}: {} {} {}",
            self.status,
            body["error"]["code"].as_str().unwrap_or_default(),
            body["error"]["message"].as_str().unwrap_or_default()
        );
        Ok(body)
    }
}

impl Site {
    pub(crate) fn new(url: &str, browser_origin: Option<&str>) -> Result<Site> {
        let url = url.trim_end_matches('/').to_owned();
        let (_, port) = url.strip_prefix("http://").and_then(|host| host.rsplit_once(':')).with_context(|| {
            format!("{url} is no address of a server on this machine: it looks like http://127.0.0.1:7077")
        })?;
        let browser_origin = browser_origin.map_or_else(|| format!("http://localhost:{port}"), str::to_owned);
        Ok(Site { url, browser_origin, agent: agent("Mozilla/5.0 (X11; Linux x86_64) drill") })
    }

    /// The same site, seen with another program: connections and its name are its own.
    pub(crate) fn seen_by(&self, user_agent: &str) -> Site {
        Site { agent: agent(user_agent), ..self.clone() }
    }

    pub(crate) fn browser_origin(&self) -> &str {
        &self.browser_origin
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<http::Response<ureq::Body>> {
        let mut request = http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        // A browser names where a request comes from; the server answers to its own alone.
        request = request.header("origin", &self.url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = match body {
            Some(body) => self.agent.run(request.body(body)?),
            None => self.agent.run(request.body(())?),
        };
        sent.with_context(|| format!("{method} {path}: no answer from {}", self.url))
    }

    /// A request with JSON in it; null for no body.
    pub(crate) fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Result<Reply> {
        let headers = [headers, &[("content-type", "application/json")]].concat();
        let body = (!body.is_null()).then(|| body.to_string().into_bytes());
        let mut response = self.request(method, path, &headers, body)?;
        let set = response.headers().get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
        let cookies: Vec<&str> = set.filter_map(|value| value.split(';').next()).collect();
        let (status, cookies) = (response.status().as_u16(), cookies.join("; "));
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.with_context(|| format!("{method} {path}: the answer was broken off"))?;
        Ok(Reply { status, cookies, body })
    }

    /// A request whose answer is read as it comes.
    pub(crate) fn open(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<(u16, ureq::BodyReader<'static>)> {
        let headers = [headers, &[("content-type", "application/json")]].concat();
        let response = self.request("POST", path, &headers, Some(body.to_string().into_bytes()))?;
        Ok((response.status().as_u16(), response.into_body().into_reader()))
    }

    /// Sends a body of many records to the collecting door, which must take all of them.
    pub(crate) fn collect(&self, path: &str, authorization: &str, body: Vec<u8>, records: usize) -> Result<()> {
        let headers = [("content-type", "application/json"), ("authorization", authorization)];
        let mut response = self.request("POST", path, &headers, Some(body))?;
        let status = response.status().as_u16();
        let answer: Value = serde_json::from_slice(&response.body_mut().read_to_vec()?).unwrap_or(Value::Null);
        let is_taken = answer["status"] == 1 || answer["num_records_imported"] == records;
        ensure!(status == 200 && is_taken, "{path}: {status}, not all of {records} records were taken");
        Ok(())
    }
}

fn agent(user_agent: &str) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        // What is asked for here goes to this machine, and not through a proxy of the environment.
        .proxy(None)
        .max_redirects(0)
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_recv_response(Some(ANSWER_WAIT))
        .user_agent(user_agent)
        .build()
        .into()
}
