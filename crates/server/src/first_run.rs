//! The demo from the outside: sets the server up through its public API like a person would, has the world made,
//! prints how to sign in, and keeps the world alive.
//!
//! The demo's sign-in is kept in its data folder, readable by the owner, so that later starts can print it again.
//! Only the demo does that: its persons are fiction.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use totp_rs::{Builder, Secret, Totp};

use crate::demo::{self, DemoArgs, World};
use crate::say;

const EMAIL: &str = "ada@demo.example";
const PROJECT: &str = "Kestrel API platform";

#[derive(Serialize, Deserialize)]
struct SignIn {
    password: String,
    totp_secret: String,
    token: String,
    seed: u64,
    events: u32,
    developers: u32,
    organisations: u32,
    now_s: i64,
    /// The whole world is in.
    complete: bool,
}

fn path(data: &Path) -> PathBuf {
    data.join("demo-sign-in.json")
}

fn read(data: &Path) -> Option<SignIn> {
    serde_json::from_str(&std::fs::read_to_string(path(data)).ok()?).ok()
}

fn write(data: &Path, sign_in: &SignIn) -> anyhow::Result<()> {
    let temporary = data.join("demo-sign-in.tmp");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&serde_json::to_vec_pretty(sign_in)?)?;
    file.sync_all()?;
    std::fs::rename(temporary, path(data)).context("could not write the demo's sign-in")
}

/// Throws away a demo whose world was never finished. Never touches a folder without the demo's mark.
pub(crate) fn discard_unfinished(data: &Path) -> anyhow::Result<()> {
    if read(data).is_some_and(|sign_in| !sign_in.complete) {
        std::fs::remove_dir_all(data)
            .with_context(|| format!("could not clear the unfinished demo in {}", data.display()))?;
    }
    Ok(())
}

pub(crate) fn demo(
    url: &str,
    setup_code: &str,
    fresh: bool,
    data: &Path,
    args: &DemoArgs,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let (sign_in, world) = if fresh {
        let mut sign_in = set_up(url, setup_code, args)?;
        write(data, &sign_in)?;
        let report = demo::generate(url, &sign_in.token, &args.world(sign_in.now_s), args.progress())?;
        sign_in.complete = true;
        write(data, &sign_in)?;
        say(&format!(
            "{} events, {} profiles and {} organisations in {:.1} s ({} requests, {} MB)",
            report.events,
            report.profiles,
            report.organisations,
            report.elapsed.as_secs_f64(),
            report.requests,
            report.bytes / 1_000_000,
        ));
        (sign_in, report.world)
    } else {
        let Some(sign_in) = read(data) else {
            bail!(
                "the data in {} is not a demo's\nhint: choose another folder with --data, or run `cofferdam serve`",
                data.display()
            );
        };
        let options = demo::WorldOptions {
            seed: sign_in.seed,
            now_s: sign_in.now_s,
            organisations: sign_in.organisations,
            developers: sign_in.developers,
            events: sign_in.events,
        };
        let world = World::new(&options);
        (sign_in, world)
    };
    let totp = authenticator(&sign_in.totp_secret)?;
    let port = url.rsplit(':').next().unwrap_or("7077");
    say("");
    say(&format!("  Open      http://localhost:{port}"));
    say(&format!("  E-mail    {EMAIL}"));
    say(&format!("  Password  {}", sign_in.password));
    say(&format!(
        "  Code      {}   now; every 30 seconds a new one, by any authenticator app with the key",
        code(&totp)
    ));
    say(&format!("  Key       {}", sign_in.totp_secret));
    say("");
    say("Its second act: an incident, played through against this server. In another terminal:");
    say(&format!("  {} drill nine-november --data {}", program(), data.display()));
    say("");
    if args.no_trickle {
        return Ok(());
    }
    say("A trickle of live events goes on until Ctrl-C. This terminal shows the code of the moment.");
    std::thread::scope(|scope| {
        scope.spawn(|| show_codes(&totp, stop));
        demo::trickle(url, &sign_in.token, &world, stop);
    });
    Ok(())
}

/// Sets up organisation, member and project, through the API that the set-up page uses.
fn set_up(url: &str, setup_code: &str, args: &DemoArgs) -> anyhow::Result<SignIn> {
    let host = url.strip_prefix("http://").unwrap_or(url);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(30)))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let post = |path: &str, body: serde_json::Value| -> anyhow::Result<(Option<String>, serde_json::Value)> {
        let mut response = agent
            .post(format!("{url}{path}"))
            .header("Origin", format!("http://{host}"))
            .send_json(body)
            .with_context(|| format!("could not call {path}"))?;
        let cookie = response.headers().get("set-cookie").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = response.status();
        let answer: serde_json::Value = response.body_mut().read_json().context("the answer is not JSON")?;
        if !status.is_success() {
            bail!("the set-up was refused: {}", answer["error"]["message"].as_str().unwrap_or("no reason given"));
        }
        Ok((cookie, answer))
    };
    let (_, enrolment) = post("/api/v1/setup/totp", serde_json::json!({ "setup_code": setup_code, "email": EMAIL }))?;
    let totp_secret = enrolment["secret"].as_str().context("the server sent no TOTP secret")?.to_owned();
    let mut random = [0; 9];
    aws_lc_rs::rand::fill(&mut random).context("the system has no randomness")?;
    let password = format!("demo-{}", random.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let (cookie, _) = post(
        "/api/v1/setup",
        serde_json::json!({
            "setup_code": setup_code,
            "organisation": "Kestrel",
            "name": "Ada Demo",
            "email": EMAIL,
            "password": password,
            "totp_code": code(&authenticator(&totp_secret)?),
            "project": PROJECT,
            "time_zone": "UTC",
        }),
    )?;
    let cookie = cookie.context("the server opened no session")?;
    let session = cookie.split(';').next().unwrap_or_default();
    let mut response = agent
        .get(format!("{url}/api/v1/projects"))
        .header("Cookie", session)
        .call()
        .context("could not list projects")?;
    let projects: serde_json::Value = response.body_mut().read_json()?;
    let token = projects["projects"][0]["token"].as_str().context("the server made no project")?.to_owned();
    let now_s = jiff::Timestamp::now().as_second();
    let world = args.world(now_s);
    Ok(SignIn {
        password,
        totp_secret,
        token,
        seed: world.seed,
        events: world.events,
        developers: world.developers,
        organisations: world.organisations,
        now_s,
        complete: false,
    })
}

/// As somebody types it who started this one.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "cofferdam".to_owned())
}

fn authenticator(secret: &str) -> anyhow::Result<Totp> {
    let secret = Secret::try_from_base32(secret).map_err(|_| anyhow::anyhow!("the TOTP secret cannot be read"))?;
    Ok(Builder::new().with_secret(secret).with_account_name(EMAIL).build_noncompliant())
}

fn now_s() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0)
}

fn code(totp: &Totp) -> String {
    totp.generate(now_s()).to_string()
}

/// On a terminal, one line that always holds the code of the moment.
fn show_codes(totp: &Totp, stop: &AtomicBool) {
    use std::io::IsTerminal;
    if !std::io::stdout().is_terminal() {
        return;
    }
    while !stop.load(Ordering::Relaxed) {
        let left = 30 - now_s() % 30;
        let _ = write!(std::io::stdout(), "\r  code {}   for {left:2} s ", code(totp));
        let _ = std::io::stdout().flush();
        std::thread::sleep(Duration::from_secs(1));
    }
    say("");
}
