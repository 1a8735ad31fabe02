//! A server for tests: one thread, HTTP/1.1 with keep-alive, really parsing what it is sent, answering what the
//! test tells it to.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) authorization: String,
    /// Decompressed.
    pub(crate) body: Value,
}

pub(crate) enum Response {
    /// Status, extra header line, body.
    Say(u16, &'static str, Value),
    /// Close the connection without an answer.
    HangUp,
}

type Handler = dyn FnMut(&Request) -> Response + Send;

pub(crate) struct TestServer {
    pub(crate) url: String,
    pub(crate) requests: Arc<Mutex<Vec<Request>>>,
}

impl TestServer {
    /// Serves until the test ends.
    pub(crate) fn start(handler: impl FnMut(&Request) -> Response + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound listener"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let handler: Arc<Mutex<Box<Handler>>> = Arc::new(Mutex::new(Box::new(handler)));
        let log = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, handler) = (Arc::clone(&log), Arc::clone(&handler));
                std::thread::spawn(move || serve(stream, &log, &handler));
            }
        });
        Self { url, requests }
    }

    /// Accepts every record.
    pub(crate) fn accepting() -> Self {
        Self::start(accept)
    }

    /// Gives the scripted answers first and then accepts.
    pub(crate) fn scripted(script: Vec<Response>) -> Self {
        let mut script = VecDeque::from(script);
        Self::start(move |request| script.pop_front().unwrap_or_else(|| accept(request)))
    }

    /// Every event received on `/import`, in order.
    pub(crate) fn events(&self) -> Vec<Value> {
        let requests = self.requests.lock().expect("no panic in the server");
        let of_import = requests.iter().filter(|request| request.path.starts_with("/import"));
        of_import.flat_map(|request| request.body.as_array().cloned().unwrap_or_default()).collect()
    }
}

pub(crate) fn accept(request: &Request) -> Response {
    if !request.path.starts_with("/import") {
        return Response::Say(200, "", json!({ "status": 1, "error": null }));
    }
    let count = request.body.as_array().map_or(1, Vec::len);
    Response::Say(200, "", json!({ "code": 200, "num_records_imported": count, "status": "OK" }))
}

fn serve(stream: TcpStream, log: &Mutex<Vec<Request>>, handler: &Mutex<Box<Handler>>) {
    let Ok(mut answers) = stream.try_clone() else {
        return;
    };
    let mut lines = BufReader::new(stream);
    while let Some(request) = read_request(&mut lines) {
        let response = handler.lock().expect("no panic in a handler")(&request);
        log.lock().expect("no panic in the server").push(request);
        let Response::Say(status, header, body) = response else {
            return;
        };
        let body = body.to_string();
        let text = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{header}\r\n{body}",
            body.len()
        );
        if answers.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

fn read_request(lines: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    lines.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    assert_eq!(words.next()?, "POST");
    let path = words.next()?.to_owned();
    let (mut length, mut gzip, mut authorization) = (0, false, String::new());
    loop {
        let mut header = String::new();
        lines.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "content-encoding" => gzip = value == "gzip",
            "authorization" => value.clone_into(&mut authorization),
            "transfer-encoding" => panic!("bodies have a length"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).ok()?;
    if gzip {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut text).expect("valid gzip");
        body = text;
    }
    Some(Request { path, authorization, body: serde_json::from_slice(&body).expect("valid JSON") })
}
