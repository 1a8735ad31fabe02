//! Where the drill happens: at a server that runs, or at one of its own on a folder that is gone afterwards; with a mail
//! relay in a process of its own, which takes every notice.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::colleague::now_us;
use crate::sink;
use crate::site::Site;

/// What notices of a drill's own server are from.
const MAIL_FROM: &str = "privacy@drill.example";
/// In the folder of a server that is ready for a drill: where it listens, and where it brings its mail.
const READY_FILE: &str = "drill.json";

/// Says in a server's folder that it is ready for a drill; or that it is not, when its mail goes to a relay of others.
///
/// # Errors
/// When the file cannot be written.
pub fn announce(data: &Path, url: &str, relay: Option<SocketAddr>) -> Result<()> {
    let path = data.join(READY_FILE);
    let Some(relay) = relay else {
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("it is not ready any more")
            }
            _ => Ok(()),
        };
    };
    let text = json!({"url": url, "relay": relay.to_string()}).to_string();
    std::fs::write(path, text).context("could not say where the server is ready for a drill")
}

/// A server, its folder, and the relay that its mail goes to.
pub(crate) struct Place {
    pub(crate) site: Site,
    data: PathBuf,
    binary: PathBuf,
    /// A line for each mail that the relay took.
    taken: PathBuf,
    /// It is the drill's own, and nothing of it is kept.
    pub(crate) is_own: bool,
    _relay: Ended,
    _server: Option<Ended>,
    _scratch: tempfile::TempDir,
}

/// A process that ends with this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a part of this program, and waits until it says where it listens.
fn started(command: &mut Command, says: &str) -> Result<(Ended, String)> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = Ended(child.context("could not start a process of the drill")?);
    let stdout = child.0.stdout.take().context("the output is a pipe")?;
    let mut lines = BufReader::new(stdout).lines();
    let place = loop {
        let line = lines.next().context("a process of the drill ended before it listened")??;
        if let Some(place) = line.strip_prefix(says) {
            break place.trim().to_owned();
        }
    };
    // What it says further is read, so that it never waits for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    Ok((child, place))
}

impl Place {
    /// A server of the drill's own.
    pub(crate) fn own(binary: PathBuf) -> Result<Place> {
        let scratch = tempfile::tempdir().context("no folder to work in")?;
        let (data, taken) = (scratch.path().join("data"), scratch.path().join("taken"));
        let log = || std::fs::File::create(scratch.path().join("server.log"));
        let serve = |more: &[&str]| -> Result<(Ended, String)> {
            let mut command = Command::new(&binary);
            command.args(["serve", "--listen", "127.0.0.1:0", "--proxies", "1", "--data"]).arg(&data).args(more);
            started(command.stderr(log()?), "cofferdam listening on ")
        };
        // Keys that sign mail are made while no server runs, and for a folder that has been served.
        let (mut first, _) = serve(&[])?;
        end_politely(&mut first.0)?;
        drop(first);
        run(&binary, &["notices", "keys", "--domain", "drill.example"], &data)?;
        let (relay, address) = relay(&binary, &taken, "127.0.0.1:0")?;
        let relay_url = format!("smtp://{address}");
        let (server, url) = serve(&["--smtp", &relay_url, "--mail-from", MAIL_FROM])?;
        let site = Site::new(&url, None)?;
        let (relay, server) = (relay, Some(server));
        Ok(Place { site, data, binary, taken, is_own: true, _relay: relay, _server: server, _scratch: scratch })
    }

    /// The server that runs on a folder, and said there that it is ready.
    pub(crate) fn running(binary: PathBuf, data: &Path, browser_origin: Option<&str>) -> Result<Place> {
        let path = data.join(READY_FILE);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("no server in {} is ready for a drill\nhint: `cofferdam demo` starts one", data.display())
        })?;
        let ready: Value = serde_json::from_str(&text).with_context(|| format!("{} cannot be read", path.display()))?;
        let word = |name: &str| ready[name].as_str().with_context(|| format!("{} has no {name}", path.display()));
        let scratch = tempfile::tempdir().context("no folder to work in")?;
        let taken = scratch.path().join("taken");
        let (relay, _) = relay(&binary, &taken, word("relay")?)?;
        let (site, data) = (Site::new(word("url")?, browser_origin)?, data.to_owned());
        Ok(Place { site, data, binary, taken, is_own: false, _relay: relay, _server: None, _scratch: scratch })
    }

    /// A folder for what the attackers carry away; it is gone with this value.
    pub(crate) fn scratch(&self) -> &Path {
        self._scratch.path()
    }

    /// Makes the shadow organisation. Answers its number, and the code for its first member.
    pub(crate) fn organisation(&self, name: &str) -> Result<(u32, String)> {
        let told = run(&self.binary, &["organisation", "create", name], &self.data)?;
        let code = told.lines().last().context("no code for the first member")?.to_owned();
        let number = told.split_whitespace().nth(1).and_then(|word| word.parse().ok());
        Ok((number.context("an organisation without a number")?, code))
    }

    /// Seals the shadow organisation: its keys leave the memory, and whoever asks for something of it is refused.
    pub(crate) fn seal(&self, organisation: u32) -> Result<()> {
        let number = organisation.to_string();
        let words = ["keys", "seal", "--organisation", &number];
        run(&self.binary, &words, &self.data).map(drop)
    }

    /// What the relay took so far: when, and for whom.
    pub(crate) fn mails(&self) -> Result<Vec<(i64, String)>> {
        let text = std::fs::read_to_string(&self.taken).context("could not read what the relay took")?;
        let line = |line: &str| {
            let (at_us, to) = line.split_once(' ')?;
            Some((at_us.parse().ok()?, to.to_owned()))
        };
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        Ok(whole.lines().filter_map(line).collect())
    }
}

fn relay(binary: &Path, taken: &Path, listen: &str) -> Result<(Ended, String)> {
    let mut command = Command::new(binary);
    started(command.args(["drill", "relay", "--listen", listen, "--taken"]).arg(taken), "taking mail on ")
}

/// Runs a command of this program on a folder. Answers what it says.
fn run(binary: &Path, words: &[&str], data: &Path) -> Result<String> {
    let mut command = Command::new(binary);
    let output = command.args(words).arg("--data").arg(data).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("could not run {}", words.join(" ")))?;
    if !output.status.success() {
        bail!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn end_politely(child: &mut Child) -> Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).context("a process id")?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    child.wait().context("the server does not end")?;
    Ok(())
}

/// A relay that takes every mail, and writes down when and for whom; for as long as the process runs.
pub(crate) fn take_mail(listen: SocketAddr, taken: &Path) -> Result<()> {
    let file = std::fs::File::create(taken).with_context(|| format!("could not write {}", taken.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen).await;
        let listener = listener.with_context(|| format!("no mail can be taken on {listen}"))?;
        crate::say(&format!("taking mail on {}", listener.local_addr()?));
        let keep = move |one: sink::Taken| {
            use std::io::Write as _;
            // One write for each, so that whoever reads sees whole lines.
            let _ = (&file).write_all(format!("{} {}\n", now_us(), one.to).as_bytes());
        };
        sink::serve(listener, sink::NO_FAULTS, Arc::new(keep)).await;
        Ok(())
    })
}
