//! A running server: the engine behind its routes, on one address, until it is told to stop.
//!
//! A server whose root key is not at hand starts sealed: it listens, opens nothing of the vault, and answers every
//! request with 503 and when to come again, until `cofferdam keys unseal` brings the key.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, RwLock};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::Args;
use cofferdam_engine::{Access, Databases, Engine, Error, MailSettings, Options, RootKey, Share, Site, Wanted};
use tokio::net::TcpListener;
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;

use crate::keys::RootArgs;
use crate::{api, capture, console, control, witness};

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
    /// Where browsers reach the server, such as https://analytics.example: passkeys are made for it, and for no other.
    /// http://localhost with the port when not given
    #[arg(long, env = "COFFERDAM_ORIGIN")]
    pub(crate) origin: Option<String>,
    /// Its persons are fiction: what takes a passkey elsewhere takes password and code
    #[arg(skip)]
    pub(crate) is_demo: bool,
    /// A witness that signs what the ledger has: its address and its key, with a space in between; can be repeated
    #[arg(long = "witness", value_name = "URL KEY")]
    pub(crate) witnesses: Vec<String>,
    #[command(flatten)]
    pub(crate) mail: MailArgs,
}

/// How notices are sent.
#[derive(Args, Clone, Debug)]
pub(crate) struct MailArgs {
    /// Mail relay for notices: smtps://user@host, or smtp://user@host:587 with STARTTLS
    #[arg(long, env = "COFFERDAM_SMTP", requires = "mail_from")]
    smtp: Option<String>,
    /// File with the relay's password; or COFFERDAM_SMTP_PASSWORD
    #[arg(long, requires = "smtp")]
    smtp_password_file: Option<PathBuf>,
    /// Certificates (PEM) of who may vouch for the relay; the system's without it
    #[arg(long, requires = "smtp")]
    smtp_ca: Option<PathBuf>,
    /// Address that notices are from, and that questions go to
    #[arg(long, env = "COFFERDAM_MAIL_FROM", requires = "smtp")]
    mail_from: Option<String>,
    /// Host that notices tell their recipients to type; that of --mail-from without it
    #[arg(long, env = "COFFERDAM_PUBLIC_HOST", requires = "smtp")]
    public_host: Option<String>,
    /// Mails a second to one domain
    #[arg(long, default_value_t = 100)]
    mail_per_domain: u32,
}

impl MailArgs {
    /// Has mail brought to a relay that a drill starts on this machine, and stops again: what waits meanwhile stays.
    /// Answers where, unless whoever starts the server named another relay.
    pub(crate) fn bring_to_drill(&mut self, listen: SocketAddr) -> anyhow::Result<Option<SocketAddr>> {
        if self.smtp.is_some() {
            return Ok(None);
        }
        let beside = listen.port().checked_add(1).filter(|_| listen.port() != 0);
        let relay = match beside {
            Some(port) => SocketAddr::from(([127, 0, 0, 1], port)),
            // A free one, which stays free for a while.
            None => std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?,
        };
        self.smtp = Some(format!("smtp://{relay}"));
        self.mail_from = Some("privacy@demo.example".to_owned());
        Ok(Some(relay))
    }

    fn settings(&self) -> anyhow::Result<Option<MailSettings>> {
        let (Some(relay), Some(from)) = (&self.smtp, &self.mail_from) else { return Ok(None) };
        let password = match &self.smtp_password_file {
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            None => std::env::var("COFFERDAM_SMTP_PASSWORD").ok(),
        };
        let host = from.rsplit('@').next().unwrap_or_default();
        Ok(Some(MailSettings {
            relay: relay.clone(),
            password: password.map(Into::into),
            authorities: self.smtp_ca.clone(),
            from: from.clone(),
            host: self.public_host.clone().unwrap_or_else(|| host.to_owned()),
            domain_per_second: self.mail_per_domain,
        }))
    }
}

/// Where identities, sealed profiles and wrapped keys are kept.
#[derive(Args, Clone)]
pub(crate) struct DatabaseArgs {
    /// PostgreSQL database (postgres://…) for the identity map, sealed profiles and wrapped keys; files in the data folder when not given
    #[arg(long, env = "COFFERDAM_DATABASE", hide_env_values = true, global = true)]
    database: Option<String>,
    /// Another PostgreSQL database for the wrapped keys, so that its backups can be destroyed apart
    #[arg(long, env = "COFFERDAM_KEYS_DATABASE", hide_env_values = true, global = true)]
    keys_database: Option<String>,
}

/// Addresses may hold passwords.
impl std::fmt::Debug for DatabaseArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.database.is_some() { "PostgreSQL" } else { "files" })
    }
}

impl DatabaseArgs {
    pub(crate) fn site(&self, folder: &Path) -> anyhow::Result<Site> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let databases = match given(&self.database) {
            Some(vault) => Databases::on_servers(&vault, given(&self.keys_database).as_ref().unwrap_or(&vault))?,
            None if given(&self.keys_database).is_some() => {
                anyhow::bail!("--keys-database needs --database: keys are beside what they open, or on another server")
            }
            None => Databases::in_folder(folder),
        };
        Ok(Site::new(folder, databases))
    }
}

/// Where an installation is: the arguments of every command that works on one.
#[derive(Args)]
pub(crate) struct Home {
    /// The server's folder
    #[arg(long, env = "COFFERDAM_DATA", default_value = "cofferdam-data", global = true)]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    database: DatabaseArgs,
}

impl Home {
    pub(crate) fn site(&self) -> anyhow::Result<Site> {
        self.database.site(&self.data)
    }
}

/// An installation whose server is not running, and what brings its root key.
#[derive(Args)]
pub(crate) struct Stopped {
    #[command(flatten)]
    pub(crate) home: Home,
    #[command(flatten)]
    pub(crate) root: RootArgs,
}

impl Stopped {
    /// Opens the engine, for a command: until the process ends, no server can.
    pub(crate) async fn open(&self) -> anyhow::Result<Engine> {
        let (site, data) = (self.home.site()?, &self.home.data);
        let there = data.is_dir() && cofferdam_engine::root_wanted(&site).await?.is_some();
        anyhow::ensure!(there, "{} holds no data of a server", data.display());
        let lock = lock_folder(data)?;
        let engine = Engine::open(Options {
            root: self.root.of_site(&site).await?,
            site,
            flush_events: cofferdam_model::limits::FLUSH_EVENTS,
            setup_code: random_code()?,
            geoip: None,
            clock: Arc::new(now_us),
            witnesses: Vec::new(),
            access: Access::default(),
        })
        .await
        .with_context(|| format!("could not open the data in {}", data.display()))?;
        std::mem::forget(lock);
        Ok(engine)
    }
}

/// A server that listens and does not serve yet.
pub(crate) struct Server {
    pub(crate) gate: Arc<Gate>,
    listener: TcpListener,
    /// Where it can be reached, without a trailing slash.
    pub(crate) url: String,
    pub(crate) setup_code: String,
}

/// The engine, once the root key is there.
pub(crate) struct Gate {
    args: ServeArgs,
    site: Site,
    setup_code: String,
    access: Access,
    state: RwLock<Door>,
    /// One attempt at a time.
    unsealing: tokio::sync::Mutex<()>,
}

enum Door {
    Starting,
    /// What it takes, and the shares that are here already.
    Sealed(Wanted, Vec<Share>),
    Open(Arc<Engine>, Router),
}

impl Gate {
    async fn open(&self, root: Option<RootKey>) -> anyhow::Result<()> {
        let opened = Engine::open(Options {
            site: self.site.clone(),
            flush_events: self.args.flush_events,
            setup_code: self.setup_code.clone(),
            geoip: self.args.geoip.clone(),
            clock: Arc::new(now_us),
            witnesses: witness::links(&self.args.witnesses)?,
            root,
            access: self.access.clone(),
        })
        .await;
        let state = match opened {
            Err(Error::Sealed(wanted)) => Door::Sealed(wanted, Vec::new()),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("could not open the data in {}", self.site.folder.display()));
            }
            Ok(engine) => {
                let engine = Arc::new(engine);
                tokio::spawn(expire_backups(Arc::downgrade(&engine)));
                tokio::spawn(follow_ledger(Arc::downgrade(&engine)));
                if self.args.is_demo {
                    engine.make_mail_keys()?;
                }
                if let Some(settings) = self.args.mail.settings()? {
                    engine.send_notices(settings)?;
                }
                Door::Open(engine.clone(), routes(engine, capture::Proxies(self.args.proxies)))
            }
        };
        *self.state.write().expect("never left half changed") = state;
        Ok(())
    }

    /// `None` while it is sealed.
    pub(crate) fn engine(&self) -> Option<Arc<Engine>> {
        match &*self.state.read().expect("never left half changed") {
            Door::Open(engine, _) => Some(engine.clone()),
            _ => None,
        }
    }

    fn router(&self) -> Option<Router> {
        match &*self.state.read().expect("never left half changed") {
            Door::Open(_, router) => Some(router.clone()),
            _ => None,
        }
    }

    fn wanted(&self) -> Option<Wanted> {
        match &*self.state.read().expect("never left half changed") {
            Door::Sealed(wanted, _) => Some(wanted.clone()),
            _ => None,
        }
    }

    pub(crate) fn root_file(&self) -> PathBuf {
        self.site.root_file()
    }

    /// How the keys stand, in lines for people.
    pub(crate) fn status(&self) -> String {
        match &*self.state.read().expect("never left half changed") {
            Door::Starting => "starting".to_owned(),
            Door::Sealed(wanted, shares) => {
                format!("sealed: needs {}; {} shares are here", wanted.cover.needs(), shares.len())
            }
            Door::Open(engine, _) => {
                let state = engine.seal_state();
                let mut text = format!("open: the next start needs {}", state.cover.needs());
                for (org, sealed) in state.organisations {
                    text.push_str(&format!("\norganisation {org}: {}", if sealed { "sealed" } else { "open" }));
                }
                text
            }
        }
    }

    /// Opens a sealed server with a root key that somebody brings.
    pub(crate) async fn unseal(
        &self,
        root: impl FnOnce(&Wanted) -> anyhow::Result<RootKey> + Send + 'static,
    ) -> anyhow::Result<String> {
        let _one = self.unsealing.lock().await;
        let Some(wanted) = self.wanted() else { return Ok("the server is open already".to_owned()) };
        // A passphrase takes a moment of a whole core.
        let root = tokio::task::spawn_blocking(move || root(&wanted)).await??;
        self.open(Some(root)).await?;
        tracing::info!("unsealed");
        Ok("the server is open".to_owned())
    }

    /// Takes a share, and opens the server when there are enough.
    pub(crate) async fn take_share(&self, share: Share) -> anyhow::Result<String> {
        let shares = {
            let mut state = self.state.write().expect("never left half changed");
            let Door::Sealed(wanted, shares) = &mut *state else {
                return Ok("the server is open already".to_owned());
            };
            wanted.check_share(&share)?;
            if shares.iter().all(|other| other.number() != share.number()) {
                shares.push(share);
            }
            if shares.len() < wanted.cover.threshold() {
                return Ok(format!("{} of {} shares are here", shares.len(), wanted.cover.threshold()));
            }
            std::mem::take(shares)
        };
        self.unseal(move |wanted| Ok(wanted.with_shares(&shares)?)).await
    }
}

/// Destroys backup keys when their time is over, for as long as the engine is there.
async fn expire_backups(engine: std::sync::Weak<Engine>) {
    loop {
        tokio::time::sleep(Duration::from_secs(600)).await;
        let Some(engine) = engine.upgrade() else { return };
        if let Err(error) = engine.expire_backup_keys() {
            tracing::error!(error = &error as &dyn std::error::Error, "could not destroy a backup key in time");
        }
    }
}

/// Keeps the index of disclosures close behind the ledger, for as long as the engine is there: a question waits for
/// what is missing, and that is little then.
async fn follow_ledger(engine: std::sync::Weak<Engine>) {
    let mut is_warned = false;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let Some(engine) = engine.upgrade() else { return };
        match engine.follow_ledger().await {
            Ok(()) => is_warned = false,
            Err(error) if !is_warned => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the index of disclosures is behind");
                is_warned = true;
            }
            Err(_) => {}
        }
    }
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
        let port = listener.local_addr()?.port();
        let access = Access::at(&args.origin.clone().unwrap_or_else(|| format!("http://localhost:{port}")))?;
        let gate = Arc::new(Gate {
            access: if args.is_demo { access.of_demo() } else { access },
            site: args.database.site(&args.data)?,
            args: args.clone(),
            setup_code: setup_code.clone(),
            state: RwLock::new(Door::Starting),
            unsealing: tokio::sync::Mutex::default(),
        });
        gate.open(None).await?;
        control::listen(&args.data, gate.clone())?;
        // Held until the process ends.
        std::mem::forget(lock);
        let url = format!("http://{}", listener.local_addr()?);
        Ok(Server { gate, listener, url, setup_code })
    }

    pub(crate) fn engine(&self) -> Option<Arc<Engine>> {
        self.gate.engine()
    }

    /// Where a browser should open it: cookies marked secure are kept for `localhost` in all of them.
    pub(crate) fn browser_url(&self) -> String {
        self.url.replace("//127.0.0.1:", "//localhost:").replace("//[::1]:", "//localhost:")
    }

    /// Serves until `stop` completes; then finishes requests under way, for three seconds at most.
    pub(crate) async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<()> {
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let service = Router::new().fallback(at_the_gate).with_state(self.gate);
        let service = service.into_make_service_with_connect_info::<SocketAddr>();
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

/// Every request: to the routes, or away.
async fn at_the_gate(State(gate): State<Arc<Gate>>, request: Request) -> Response {
    let Some(router) = gate.router() else { return sealed_answer(request.uri().path()) };
    router.oneshot(request).await.unwrap_or_else(|never| match never {})
}

/// What a sealed server says. SDKs keep what they have and come again.
fn sealed_answer(path: &str) -> Response {
    const PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sealed</title>\
        <h1>Sealed</h1><p>This server has no key yet: nothing can be read or stored. Whoever runs it opens it with \
        <code>cofferdam keys unseal</code>.</p></html>\n";
    const ERROR: &str = "{\"error\":{\"code\":\"sealed\",\"message\":\"the server is sealed\",\
        \"hint\":\"whoever runs it opens it with `cofferdam keys unseal`\"}}\n";
    let is_for_programs = ["/api/", "/track", "/import", "/engage", "/groups"].iter().any(|at| path.starts_with(at));
    let (kind, body) = match path {
        "/healthz" | "/metrics" => ("text/plain", "sealed\n"),
        _ if is_for_programs => ("application/json", ERROR),
        _ => ("text/html; charset=utf-8", PAGE),
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::RETRY_AFTER, "30"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    (StatusCode::SERVICE_UNAVAILABLE, headers, body).into_response()
}

fn routes(engine: Arc<Engine>, proxies: capture::Proxies) -> Router {
    Router::new()
        .merge(capture::router(proxies))
        .merge(api::router().guarded(engine.clone(), proxies))
        .merge(crate::public::router(proxies))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/openapi.json", get(|| async { ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()) }))
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

/// What the routes say of themselves.
static DOCUMENT: LazyLock<String> = LazyLock::new(api::document);

async fn metrics(State(engine): State<Arc<Engine>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], engine.metrics())
}

/// Microseconds since 1970-01-01 UTC.
pub(crate) fn now_us() -> i64 {
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
pub(crate) fn lock_folder(folder: &Path) -> anyhow::Result<std::fs::File> {
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

/// Completes on Ctrl-C or SIGTERM, from the call on: whoever was told that this listens may stop it.
pub(crate) fn told_to_stop() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async {
        let (Ok(mut interrupt), Ok(mut terminate)) = signals else { return std::future::pending().await };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}
