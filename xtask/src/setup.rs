//! Installs what the build and the tests need, and says in one line what is missing and how to mend it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// What there is to test with.
pub(crate) struct Ready {
    /// Path of a Chromium; empty when there is none.
    pub(crate) chromium: String,
    pub(crate) python: bool,
    pub(crate) venv: PathBuf,
    /// What tests will be skipped for, in words.
    pub(crate) missing: Vec<String>,
}

fn works(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Installs the packages of a lock file, unless exactly these are installed.
pub(crate) fn npm(root: &Path, folder: &str) -> Result<()> {
    let version = Command::new("node").arg("--version").output().ok().filter(|output| output.status.success());
    let Some(version) = version else {
        bail!("Node is missing\nhint: install Node 20 or newer, for example with `apt-get install nodejs npm`");
    };
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let major: u32 =
        version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if major < 20 {
        bail!("Node {version} is too old\nhint: install Node 20 or newer");
    }
    let lock = std::fs::read(root.join(folder).join("package-lock.json"))
        .with_context(|| format!("{folder} has no lock file"))?;
    let mark = root.join(folder).join("node_modules/.installed-lock");
    if std::fs::read(&mark).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    crate::run(
        folder,
        "npm",
        &["ci", "--no-audit", "--no-fund", "--loglevel=error"],
        &[("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1")],
    )?;
    std::fs::write(mark, lock)?;
    Ok(())
}

pub(crate) fn tests(root: &Path) -> Result<Ready> {
    npm(root, "web")?;
    npm(root, "tests/sdk")?;
    let venv = root.join("target/venv");
    let mut ready = Ready { chromium: chromium(), python: false, venv, missing: Vec::new() };
    if ready.chromium.is_empty() {
        ready.missing.push("no browser: install it with `apt-get install chromium`, then run again".to_owned());
    }
    if !postgres() {
        ready.missing.push("no PostgreSQL: install it with `apt-get install postgresql`, then run again".to_owned());
    }
    match python(root, &ready.venv) {
        Ok(()) => ready.python = true,
        Err(error) => {
            ready.missing.push(format!("no Python packages ({error:#}): install python3 with venv, then run again"))
        }
    }
    for missing in &ready.missing {
        println!("MISSING: {missing}");
    }
    Ok(ready)
}

fn find_chromium() -> Option<String> {
    let named = std::env::var("CHROMIUM_BIN").ok();
    let known = ["chromium", "chromium-browser", "google-chrome"].map(str::to_owned);
    named.into_iter().chain(known).find_map(|name| {
        let output = Command::new("sh").args(["-c", "command -v -- \"$0\"", &name]).output().ok()?;
        let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success() && !path.is_empty()).then_some(path)
    })
}

/// The browser, installed where that is allowed.
pub(crate) fn chromium() -> String {
    find_chromium().unwrap_or_else(|| {
        install("chromium");
        find_chromium().unwrap_or_default()
    })
}

/// The database server that the vault's tests start for themselves, installed where that is allowed.
fn postgres() -> bool {
    // Off the path on Debian.
    let find = || works("sh", &["-c", "ls /usr/lib/postgresql/*/bin/initdb || command -v initdb"]);
    find() || {
        install("postgresql");
        find()
    }
}

/// Tries to install one of Debian's packages. Whether that worked shows when what it brings is looked for.
fn install(package: &str) {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if root && works("apt-get", &["--version"]) {
        println!("==> installing {package}");
        let quiet = ["-qq", "-y", "-o", "Dpkg::Use-Pty=0"];
        let _ =
            works("apt-get", &["update", "-qq"]) && works("apt-get", &[&["install"], &quiet[..], &[package]].concat());
    }
}

/// A virtual environment with the pinned packages, and the purchases that the import test reads.
fn python(root: &Path, venv: &Path) -> Result<()> {
    let requirements = root.join("tests/requirements.txt");
    let wanted = std::fs::read(&requirements)?;
    let mark = venv.join("installed-requirements.txt");
    let python = venv.join("bin/python").display().to_string();
    if !std::fs::read(&mark).is_ok_and(|installed| installed == wanted) {
        println!("==> python packages");
        if !works("python3", &["--version"]) {
            bail!("python3 is missing");
        }
        if !works("python3", &["-m", "venv", &venv.display().to_string()]) {
            bail!("python3 has no venv");
        }
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        if !works(&python, &[&install[..], &[&requirements.display().to_string()]].concat()) {
            bail!("pip could not install tests/requirements.txt");
        }
        std::fs::write(&mark, wanted)?;
    }
    let fetch = root.join("tests/cdnow/fetch.py").display().to_string();
    if !works(&python, &[&fetch, &venv.join("cdnow.csv").display().to_string()]) {
        bail!("the CDNOW purchases could not be fetched");
    }
    Ok(())
}
