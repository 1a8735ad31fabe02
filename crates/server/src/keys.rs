//! `cofferdam keys`, `backup` and `restore`: what whoever runs the server does about keys.
//!
//! A server that runs is asked over its control socket; a folder that is not in use is locked and worked on. Secrets
//! come from a prompt, from standard input or from custodians' files, never from an argument or the environment.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use cofferdam_engine::{BackupHead, Cover, CustodianShare, RootKey, Share, Site, Wanted, Way};
use cofferdam_model::limits;
use zeroize::Zeroizing;

use crate::control::{self, Ask};
use crate::say;
use crate::serve::{Home, Stopped, lock_folder, now_us};

#[derive(Args)]
pub(crate) struct KeysArgs {
    #[command(flatten)]
    home: Home,
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Subcommand)]
enum KeysCommand {
    /// Make the keys of a new folder
    Init(WayArgs),
    /// Show how the root key is kept and what is sealed
    Status,
    /// Open a sealed server, or one organisation
    Unseal {
        /// A custodian's share; without one, a passphrase or a decrypted share is read from standard input
        share: Option<PathBuf>,
        /// The custodian's age identity, for a share that is not decrypted yet
        #[arg(long)]
        identity: Option<PathBuf>,
        /// Open this organisation instead
        #[arg(long, conflicts_with_all = ["share", "identity"])]
        organisation: Option<u32>,
    },
    /// Seal one organisation of a server that runs
    Seal {
        #[arg(long)]
        organisation: u32,
    },
    /// Change a key
    Rotate {
        #[command(subcommand)]
        what: Rotate,
    },
    /// Give out new shares of a new root key; the old ones open nothing any more
    Reshare {
        #[command(flatten)]
        shares: SharesArgs,
        #[command(flatten)]
        old: RootArgs,
    },
}

#[derive(Subcommand)]
enum Rotate {
    /// A new root key, kept in the same way or another; the server must be stopped
    Root {
        #[command(flatten)]
        way: WayArgs,
        #[command(flatten)]
        old: RootArgs,
    },
    /// A new key of one organisation
    Organisation { organisation: u32 },
}

/// How a new root key is kept.
#[derive(Args)]
struct WayArgs {
    /// In a file of the data's folder, readable by its owner
    #[arg(long)]
    key_file: bool,
    /// In a passphrase, read from the terminal or standard input
    #[arg(long, conflicts_with = "key_file")]
    passphrase: bool,
    #[command(flatten)]
    shares: SharesArgs,
}

#[derive(Args)]
struct SharesArgs {
    /// In shares, and how many of how many make the key: 3/5
    #[arg(long = "shares", value_name = "K/N", requires = "to")]
    sharing: Option<String>,
    /// The age recipient of each custodian
    #[arg(long, value_name = "RECIPIENT", num_args = 1.., requires = "sharing")]
    to: Vec<String>,
    /// Where the custodians' files are put
    #[arg(long, default_value = ".")]
    out: PathBuf,
}

/// What brings the root key that there is.
#[derive(Args, Default)]
pub(crate) struct RootArgs {
    /// A custodian's share, for keys kept in shares; as often as it takes
    #[arg(long = "share", value_name = "FILE")]
    share_files: Vec<PathBuf>,
    /// Age identities, for shares that are not decrypted yet
    #[arg(long = "identity", value_name = "FILE")]
    identity_files: Vec<PathBuf>,
    /// The key file, when it is not in the data's folder
    #[arg(long, value_name = "FILE")]
    root_key: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct BackupArgs {
    /// A folder that is not there yet
    to: PathBuf,
    #[command(flatten)]
    place: Stopped,
}

#[derive(Args)]
pub(crate) struct RestoreArgs {
    /// The backup's folder
    from: PathBuf,
    /// A new folder for the data
    #[arg(long, env = "COFFERDAM_DATA", default_value = "cofferdam-data")]
    data: PathBuf,
    /// The newest copy of the folder `apart`: the list of destroyed keys and the backup keys
    #[arg(long)]
    apart: PathBuf,
    #[command(flatten)]
    root: RootArgs,
}

const NOT_RUNNING: &str = "no server runs on this folder\nhint: name its folder with --data";

pub(crate) async fn run(args: KeysArgs) -> Result<ExitCode> {
    let KeysArgs { home, command } = args;
    let (site, data) = (home.site()?, home.data);
    match command {
        KeysCommand::Init(way) => {
            cofferdam_engine::create_private(&data).with_context(|| format!("could not create {}", data.display()))?;
            let _lock = lock_folder(&data)?;
            let (way, out) = way.read()?;
            hand_out(cofferdam_engine::init_keys(&site, way).await?, &out)?;
        }
        KeysCommand::Status => match control::ask(&data, &Ask::Status)? {
            Some(text) => say(&text),
            None => match cofferdam_engine::root_wanted(&site).await? {
                Some(wanted) => say(&format!("not running: a start needs {}", wanted.cover.needs())),
                None => say("not running: there are no keys yet"),
            },
        },
        KeysCommand::Unseal { organisation: Some(organisation), .. } => {
            told(control::ask(&data, &Ask::UnsealOrganisation { organisation })?)?;
        }
        KeysCommand::Unseal { share, identity, organisation: None } => {
            let wanted = cofferdam_engine::root_wanted(&site).await?.context("there are no keys in this folder")?;
            let ask = match wanted.cover {
                Cover::KeyFile => Ask::UnsealKeyFile,
                Cover::Passphrase { .. } => Ask::UnsealPassphrase { passphrase: secret("passphrase")?.to_string() },
                Cover::Shares { .. } => {
                    let share = match share {
                        Some(file) => read_share(&file, &identity.into_iter().collect::<Vec<_>>())?,
                        None => Share::parse(&secret("share")?)?,
                    };
                    wanted.check_share(&share)?;
                    Ask::UnsealShare { share: share.to_text().to_string() }
                }
            };
            told(control::ask(&data, &ask)?)?;
        }
        KeysCommand::Seal { organisation } => told(control::ask(&data, &Ask::SealOrganisation { organisation })?)?,
        KeysCommand::Rotate { what: Rotate::Organisation { organisation } } => {
            told(control::ask(&data, &Ask::RotateOrganisation { organisation })?)?;
        }
        KeysCommand::Rotate { what: Rotate::Root { way, old } } => rekey(&site, old, || way.read()).await?,
        KeysCommand::Reshare { shares, old } => rekey(&site, old, || shares.read()).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn rekey(site: &Site, old: RootArgs, new: impl FnOnce() -> Result<(Way, PathBuf)>) -> Result<()> {
    let _lock = lock_folder(&site.folder)?;
    let wanted = cofferdam_engine::root_wanted(site).await?.context("there are no keys in this folder")?;
    let root = old.root(&wanted, &site.root_file())?;
    let (way, out) = new()?;
    hand_out(cofferdam_engine::rekey(site, root, way, Arc::new(now_us)).await?, &out)?;
    say("the root key was changed: backups made before need the old one, so make a new one now");
    Ok(())
}

pub(crate) async fn backup(args: BackupArgs) -> Result<ExitCode> {
    let BackupArgs { to, place } = args;
    let to = std::path::absolute(to)?;
    let text = match control::ask(&place.home.data, &Ask::Backup { to: to.clone() })? {
        Some(text) => text,
        None => {
            let made = place.open().await?.backup(&to).await?;
            format!("{} files, {:.1} MB", made.files, made.bytes as f64 / 1e6)
        }
    };
    say(&format!("backup in {}: {text}", to.display()));
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn restore(args: RestoreArgs) -> Result<ExitCode> {
    let RestoreArgs { from, data, apart, root } = args;
    let head = BackupHead::read(&from)?;
    if head.wanted.cover == Cover::KeyFile && root.root_key.is_none() {
        bail!("the backup's root key is in a file\nhint: name your copy of it with --root-key");
    }
    let (key, wanted) = (root.root(&head.wanted, &data.join("root.key"))?, head.wanted.clone());
    let wrong = cofferdam_engine::restore(head, &data, &apart, key, Arc::new(now_us)).await?;
    if let (Cover::KeyFile, Some(file)) = (&wanted.cover, &root.root_key) {
        place_key_file(file, &data.join("root.key"))?;
    }
    for wrong in &wrong {
        say(&format!("damaged: {wrong}"));
    }
    say(&format!("restored to {}", data.display()));
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn place_key_file(from: &Path, to: &Path) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let text =
        Zeroizing::new(std::fs::read_to_string(from).with_context(|| format!("could not read {}", from.display()))?);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .with_context(|| format!("could not write {}", to.display()))?;
    file.write_all(text.as_bytes())?;
    Ok(file.sync_all()?)
}

fn told(answer: Option<String>) -> Result<()> {
    say(&answer.context(NOT_RUNNING)?);
    Ok(())
}

impl WayArgs {
    fn read(self) -> Result<(Way, PathBuf)> {
        match (self.key_file, self.passphrase, self.shares.sharing.is_some()) {
            (false, false, true) => self.shares.read(),
            (false, true, false) => Ok((Way::Passphrase(new_passphrase()?), PathBuf::new())),
            (true, false, false) => Ok((Way::KeyFile, PathBuf::new())),
            _ => bail!("say in one way how the root key is kept: --passphrase, --shares K/N --to …, or --key-file"),
        }
    }
}

impl SharesArgs {
    fn read(self) -> Result<(Way, PathBuf)> {
        let Some(sharing) = self.sharing else { bail!("say how many of how many shares make the key: --shares 3/5") };
        let numbers = sharing.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse::<usize>().ok()?)));
        let Some((threshold, count)) = numbers else { bail!("--shares takes two numbers, such as 3/5") };
        if count != self.to.len() {
            bail!("{count} shares need {count} recipients, and {} are named", self.to.len());
        }
        std::fs::create_dir_all(&self.out).with_context(|| format!("could not create {}", self.out.display()))?;
        Ok((Way::Shares { threshold, recipients: self.to }, self.out))
    }
}

impl RootArgs {
    /// The root key of a server that is not running; `None` where the engine finds it or makes it by itself.
    pub(crate) async fn of_site(&self, site: &Site) -> Result<Option<RootKey>> {
        match cofferdam_engine::root_wanted(site).await? {
            Some(wanted) if wanted.cover != Cover::KeyFile || self.root_key.is_some() => {
                Ok(Some(self.root(&wanted, &site.root_file())?))
            }
            _ => Ok(None),
        }
    }

    fn root(&self, wanted: &Wanted, file: &Path) -> Result<RootKey> {
        Ok(match wanted.cover {
            Cover::KeyFile => wanted.with_key_file(self.root_key.as_deref().unwrap_or(file))?,
            Cover::Passphrase { .. } => wanted.with_passphrase(&secret("passphrase")?)?,
            Cover::Shares { .. } => {
                if self.share_files.is_empty() {
                    bail!("this takes {}\nhint: name each with --share", wanted.cover.needs());
                }
                let shares: Result<Vec<Share>> =
                    self.share_files.iter().map(|file| read_share(file, &self.identity_files)).collect();
                wanted.with_shares(&shares?)?
            }
        })
    }
}

/// A share from a file: decrypted, or with the identity that decrypts it.
fn read_share(file: &Path, identities: &[PathBuf]) -> Result<Share> {
    let mut bytes = Zeroizing::new(Vec::new());
    std::fs::File::open(file)
        .and_then(|open| open.take(limits::CONTROL_BYTES_MAX as u64).read_to_end(&mut bytes))
        .with_context(|| format!("could not read {}", file.display()))?;
    if let Ok(text) = std::str::from_utf8(&bytes)
        && let Ok(share) = Share::parse(text)
    {
        return Ok(share);
    }
    if identities.is_empty() {
        bail!("{} is encrypted\nhint: decrypt it with age, or name the custodian's identity", file.display());
    }
    let mut last = None;
    for identity in identities {
        let identity = std::fs::read_to_string(identity)
            .map(Zeroizing::new)
            .with_context(|| format!("could not read {}", identity.display()))?;
        match Share::decrypt(&bytes, &identity) {
            Ok(share) => return Ok(share),
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("there is an identity")).with_context(|| format!("could not open {}", file.display()))
}

/// Writes each custodian's file: it is encrypted to them.
fn hand_out(shares: Vec<CustodianShare>, out: &Path) -> Result<()> {
    for share in shares {
        let path = out.join(format!("share-{}.age", share.number));
        std::fs::write(&path, share.armored).with_context(|| format!("could not write {}", path.display()))?;
        say(&format!("{} for {}", path.display(), share.recipient));
    }
    Ok(())
}

fn new_passphrase() -> Result<Zeroizing<String>> {
    let first = secret("new passphrase")?;
    if std::io::stdin().is_terminal() && *secret("new passphrase again")? != *first {
        bail!("the two passphrases differ");
    }
    Ok(first)
}

/// A line from the terminal, which does not show it, or from standard input.
fn secret(what: &str) -> Result<Zeroizing<String>> {
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let input = std::io::stdin();
    let shown = if input.is_terminal() {
        write!(std::io::stderr(), "{what}: ")?;
        let shown = tcgetattr(&input)?;
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&input, OptionalActions::Flush, &hidden)?;
        Some(shown)
    } else {
        None
    };
    let mut line = Zeroizing::new(String::new());
    let read = input.lock().take(limits::CONTROL_BYTES_MAX as u64).read_line(&mut line);
    if let Some(shown) = shown {
        tcsetattr(&input, OptionalActions::Flush, &shown)?;
        writeln!(std::io::stderr())?;
    }
    read.context("could not read from standard input")?;
    let text = Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned());
    if text.is_empty() {
        bail!("no {what} was given");
    }
    Ok(text)
}
