//! A running server: the engine behind its routes, on one address, until it is told to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use clap::Args;
use cofferdam_engine::{Databases, Engine, Options};
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{api, capture, console, witness};

#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArgs {
    /// Folder for everything that is stored
    #[arg(long, env = "COFFERDAM_DATA", default_value = "cofferdam-data")]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, env = "COFFERDAM_LISTEN", default_value = "127.0.0.1:7077")]
    pub(crate) listen: SocketAddr,
    /// Code that the first set-up asks for; made up and printed when not given
    #[arg(long, env = "COFFERDAM_SETUP_CODE", hide_env_values = true)]
    pub(crate) setup_code: Option<String>,
    /// Events kept in memory and the log before they are written to segments
    #[arg(long, default_value_t = cofferdam_model::limits::FLUSH_EVENTS)]
    pub(crate) flush_events: usize,
    /// GeoIP database of countries or cities (.mmdb); without one, countries by the registries' statistics
    #[arg(long, env = "COFFERDAM_GEOIP")]
    pub(crate) geoip: Option<PathBuf>,
    /// Proxies before this server, each of which adds its client to X-Forwarded-For
    #[arg(long, env = "COFFERDAM_PROXIES", default_value_t = 0)]
    pub(crate) proxies: usize,
    /// A witness that signs what the ledger has: its address and its key, with a space in between; can be repeated
    #[arg(long = "witness", value_name = "URL KEY")]
    pub(crate) witnesses: Vec<String>,
}

/// Where identities, sealed profiles and wrapped keys are kept.
#[derive(Args, Clone)]
pub(crate) struct DatabaseArgs {
    /// PostgreSQL database (postgres://…) for the identity map, sealed profiles and wrapped keys; files in the data folder when not given
    #[arg(long, env = "COFFERDAM_DATABASE", hide_env_values = true)]
    database: Option<String>,
    /// Another PostgreSQL database for the wrapped keys, so that its backups can be destroyed apart
    #[arg(long, env = "COFFERDAM_KEYS_DATABASE", hide_env_values = true, requires = "database")]
    keys_database: Option<String>,
}

/// Addresses may hold passwords.
impl std::fmt::Debug for DatabaseArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.database.is_some() { "PostgreSQL" } else { "files" })
    }
}

impl DatabaseArgs {
    pub(crate) fn databases(&self, folder: &Path) -> anyhow::Result<Databases> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        match given(&self.database) {
            Some(vault) => Ok(Databases::on_servers(&vault, given(&self.keys_database).as_ref().unwrap_or(&vault))?),
            None => Ok(Databases::in_folder(folder)),
        }
    }
}

/// A server that listens and does not serve yet.
pub(crate) struct Server {
    pub(crate) engine: Arc<Engine>,
    listener: TcpListener,
    proxies: capture::Proxies,
    /// Where it can be reached, without a trailing slash.
    pub(crate) url: String,
    pub(crate) setup_code: String,
}

impl Server {
    pub(crate) async fn open(args: &ServeArgs) -> anyhow::Result<Server> {
        let given = args.setup_code.as_deref().map(str::trim).filter(|code| !code.is_empty());
        let setup_code = match given {
            Some(code) if code.len() < SETUP_CODE_BYTES_MIN => {
                anyhow::bail!(
                    "the set-up code is too short\nhint: use {SETUP_CODE_BYTES_MIN} characters or more, or none for one that is made up"
                )
            }
            Some(code) => code.to_owned(),
            None => random_code()?,
        };
        // The address first: a second server on the same folder stops here, before it touches anything.
        let listener = TcpListener::bind(args.listen).await.with_context(|| {
            format!(
                "could not listen on {}\nhint: another program may use the port; choose one with --listen",
                args.listen
            )
        })?;
        cofferdam_engine::create_private(&args.data)
            .with_context(|| format!("could not create {}", args.data.display()))?;
        let lock = lock_folder(&args.data)?;
        let engine = Engine::open(Options {
            folder: args.data.clone(),
            databases: args.database.databases(&args.data)?,
            flush_events: args.flush_events,
            setup_code: setup_code.clone(),
            geoip: args.geoip.clone(),
            clock: Arc::new(now_us),
            witnesses: witness::links(&args.witnesses)?,
        })
        .await
        .with_context(|| format!("could not open the data in {}", args.data.display()))?;
        // Held until the process ends.
        std::mem::forget(lock);
        let url = format!("http://{}", listener.local_addr()?);
        Ok(Server { engine: Arc::new(engine), listener, proxies: capture::Proxies(args.proxies), url, setup_code })
    }

    /// Where a browser should open it: cookies marked secure are kept for `localhost` in all of them.
    pub(crate) fn browser_url(&self) -> String {
        self.url.replace("//127.0.0.1:", "//localhost:").replace("//[::1]:", "//localhost:")
    }

    /// Serves until `stop` completes; then finishes requests under way, for three seconds at most.
    pub(crate) async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let service = routes(self.engine, self.proxies).into_make_service_with_connect_info::<SocketAddr>();
        let serving = axum::serve(self.listener, service).with_graceful_shutdown(async move {
            stop.await;
            let _ = stopping.send(());
        });
        tokio::select! {
            result = serving => result.context("the server stopped"),
            () = async {
                // A live feed never ends by itself.
                let _ = stopped.await;
                tokio::time::sleep(Duration::from_secs(3)).await;
            } => Ok(()),
        }
    }
}

fn routes(engine: Arc<Engine>, proxies: capture::Proxies) -> Router {
    let (api, _) = api::router().split_for_parts();
    Router::new()
        .merge(capture::router(proxies))
        .merge(api)
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/openapi.json",
            get(|| async { ([(header::CONTENT_TYPE, "application/json")], include_str!("../openapi.json")) }),
        )
        .fallback(console::serve)
        // One request's bug is that request's failure.
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "{\"error\":{\"code\":\"internal\",\"message\":\"the request failed\"}}\n",
            )
                .into_response()
        }))
        .with_state(engine)
}

async fn metrics(State(engine): State<Arc<Engine>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], engine.metrics())
}

/// Microseconds since 1970-01-01 UTC.
fn now_us() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// Whoever knows the code owns the installation: it must not be guessed at five tries in five minutes.
const SETUP_CODE_BYTES_MIN: usize = 12;

/// Twelve letters and digits in groups, without those that look alike.
fn random_code() -> anyhow::Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
    let mut bytes = [0; 12];
    aws_lc_rs::rand::fill(&mut bytes).context("the system has no randomness")?;
    let letters: Vec<String> = bytes
        .chunks(4)
        .map(|group| group.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())
        .collect();
    Ok(letters.join("-"))
}

/// Two servers on one folder would write over each other.
fn lock_folder(folder: &Path) -> anyhow::Result<std::fs::File> {
    let path = folder.join("lock");
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("could not open {}", path.display()))?;
    file.try_lock().with_context(|| {
        format!(
            "the data in {} is in use\nhint: stop the other server, or choose another folder with --data",
            folder.display()
        )
    })?;
    Ok(file)
}

/// Opens the engine on the data of a server that is not running, for commands.
pub(crate) async fn open_stopped(data: &Path, database: &DatabaseArgs) -> anyhow::Result<Engine> {
    anyhow::ensure!(data.join("root.key").exists(), "{} holds no data of a server", data.display());
    let lock = lock_folder(data)?;
    let engine = Engine::open(Options {
        folder: data.to_owned(),
        databases: database.databases(data)?,
        flush_events: cofferdam_model::limits::FLUSH_EVENTS,
        setup_code: random_code()?,
        geoip: None,
        clock: Arc::new(now_us),
        witnesses: Vec::new(),
    })
    .await
    .with_context(|| format!("could not open the data in {}", data.display()))?;
    // Held until the process ends.
    std::mem::forget(lock);
    Ok(engine)
}

/// Completes on Ctrl-C or SIGTERM.
pub(crate) async fn told_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
