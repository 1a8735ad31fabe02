//! `cofferdam witness`: a witness for the ledgers of others over HTTP (C2SP `tlog-witness`), and how a server asks one.
//!
//! Deliberately without TLS: what goes over the line is signed on both ends and names nobody. Whoever wants to hide how
//! many entries a ledger has puts a tunnel in between.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use clap::Args;
use cofferdam_ledger::note::VerifierKey;
use cofferdam_ledger::witness::Witness;
use cofferdam_ledger::{Transport, WitnessLink};
use cofferdam_model::limits;

use crate::{say, serve};

#[derive(Args)]
pub(crate) struct WitnessArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:7078")]
    listen: SocketAddr,
    /// File of the witness's private key: 64 hex digits, made on the first start
    #[arg(long)]
    key: PathBuf,
    /// Folder for what was signed; it must not be lost or rolled back
    #[arg(long, default_value = "cofferdam-witness")]
    folder: PathBuf,
    /// Name that signatures carry
    #[arg(long, default_value = "cofferdam.local/witness")]
    name: String,
    /// Key of a ledger to watch, as `cofferdam ledger key` prints it; can be repeated
    #[arg(long = "log", required = true)]
    logs: Vec<String>,
}

pub(crate) async fn run(args: WitnessArgs) -> anyhow::Result<ExitCode> {
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("could not listen on {}\nhint: choose another address with --listen", args.listen))?;
    let logs = args.logs.iter().map(|key| VerifierKey::parse(key)).collect::<Result<Vec<_>, _>>()?;
    let seed = read_or_create_seed(&args.key)?;
    let witness = Arc::new(Witness::open(&args.folder, &args.name, &seed, logs)?);
    let stop = serve::told_to_stop();
    say(&format!("witness listening on http://{}", listener.local_addr()?));
    say(&format!("key {}", witness.key()));
    let routes = Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .layer(DefaultBodyLimit::max(limits::LEDGER_NOTE_BYTES_MAX))
        .with_state(witness);
    axum::serve(listener, routes).with_graceful_shutdown(stop).await?;
    Ok(ExitCode::SUCCESS)
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, body: String) -> impl IntoResponse {
    let now_s = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0);
    let answered = tokio::task::spawn_blocking(move || witness.add_checkpoint(&body, now_s)).await;
    match answered {
        Ok(answer) => {
            let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, [(header::CONTENT_TYPE, answer.content_type)], answer.body)
        }
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], String::new()),
    }
}

fn read_or_create_seed(path: &PathBuf) -> anyhow::Result<[u8; 32]> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let failed = || format!("could not use the key file {}", path.display());
    match std::fs::read_to_string(path) {
        Ok(text) => parse_hex(text.trim()).with_context(|| format!("{} has not 64 hex digits", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut seed = [0; 32];
            aws_lc_rs::rand::fill(&mut seed).context("the system has no randomness")?;
            let text: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(path).with_context(failed)?;
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(failed)?;
            Ok(seed)
        }
        Err(error) => Err(error).with_context(failed),
    }
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let mut seed = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in seed.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()?;
    }
    Some(seed)
}

/// A witness over HTTP.
struct Http {
    agent: ureq::Agent,
    url: String,
}

/// Longest a witness is waited for.
const ANSWER_WAIT: Duration = Duration::from_secs(3);

impl Transport for Http {
    fn post(&self, body: &str) -> io::Result<(u16, String)> {
        let mut response = self.agent.post(&self.url).send(body).map_err(io::Error::other)?;
        let status = response.status().as_u16();
        let read = response.body_mut().with_config().limit(limits::LEDGER_NOTE_BYTES_MAX as u64).read_to_string();
        Ok((status, read.map_err(io::Error::other)?))
    }
}

/// The witnesses that a server was told: an address and a key each.
pub(crate) fn links(given: &[String]) -> anyhow::Result<Vec<WitnessLink>> {
    if given.len() > limits::LEDGER_WITNESSES_MAX {
        bail!("a ledger has {} witnesses at most", limits::LEDGER_WITNESSES_MAX);
    }
    given
        .iter()
        .map(|text| {
            let Some((url, key)) = text.trim().split_once(' ') else {
                bail!("a witness is an address and a key\nhint: --witness 'http://witness.example:7078 NAME+ID+KEY'")
            };
            if !url.starts_with("http://") {
                bail!("a witness's address begins with http://");
            }
            let key = VerifierKey::parse(key)?;
            let config =
                ureq::Agent::config_builder().timeout_global(Some(ANSWER_WAIT)).http_status_as_error(false).build();
            let url = format!("{}/add-checkpoint", url.trim_end_matches('/'));
            Ok(WitnessLink { key, transport: Box::new(Http { agent: config.into(), url }) })
        })
        .collect()
}
