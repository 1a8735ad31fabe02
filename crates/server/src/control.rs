//! The control socket: what whoever runs the server may do to it, from the same machine and account.
//!
//! A Unix socket in the data's folder, which only its owner may enter; the kernel says who called, and another account
//! than the server's own or root's is not answered. One line of JSON asks, one answers. Passphrases and shares come
//! this way and are in no command line, no environment and no log.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use cofferdam_engine::{DisclosedQuestion, Engine, ExposureQuestion, Share};
use cofferdam_model::{OrgId, limits};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use zeroize::{Zeroize, Zeroizing};

use crate::incidents::ContainAsked;
use crate::persons;
use crate::serve::Gate;

/// How long a caller may take to say what they want.
const ASK_WAIT: Duration = Duration::from_secs(10);

/// What can be asked. No `Debug`: it can hold secrets.
#[derive(Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub(crate) enum Ask {
    Status,
    /// The key file is back where it was.
    UnsealKeyFile,
    UnsealPassphrase {
        passphrase: String,
    },
    /// One share; the server unseals when there are enough.
    UnsealShare {
        share: String,
    },
    SealOrganisation {
        organisation: u32,
    },
    UnsealOrganisation {
        organisation: u32,
    },
    RotateOrganisation {
        organisation: u32,
    },
    Backup {
        to: PathBuf,
    },
    CreateOrganisation {
        name: String,
    },
    /// Answered as JSON.
    Exposed {
        organisation: Option<u32>,
        question: ExposureQuestion,
    },
    /// Answered as JSON.
    Disclosed {
        organisation: Option<u32>,
        question: DisclosedQuestion,
    },
    OpenIncident {
        organisation: u32,
        service: String,
        drill: bool,
    },
    Contain {
        incident: u32,
        asked: ContainAsked,
    },
    Package {
        incident: u32,
        recipient: String,
        out: PathBuf,
    },
    /// What a person was made of.
    Merges {
        project: u32,
        person: String,
    },
    Unmerge {
        project: u32,
        person: String,
        merge: u32,
    },
}

impl Drop for Ask {
    fn drop(&mut self) {
        match self {
            Ask::UnsealPassphrase { passphrase: text } | Ask::UnsealShare { share: text } => text.zeroize(),
            _ => {}
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Told {
    done: bool,
    text: String,
}

/// Where a server listens that runs on a folder.
fn path(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// Listens for as long as the process runs.
pub(crate) fn listen(data: &Path, gate: Arc<Gate>) -> anyhow::Result<()> {
    let path = path(data);
    // One that a server left which was killed: the folder's lock says that none runs.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("could not remove {}", path.display()));
        }
        _ => {}
    }
    let listener =
        UnixListener::bind(&path).with_context(|| format!("could not make the control socket {}", path.display()))?;
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let own = rustix::process::geteuid().as_raw();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, most likely; they come back.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let known = stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0);
            if known {
                let gate = gate.clone();
                tokio::spawn(async move {
                    // A caller who went away needs no answer.
                    let _ = answer(stream, &gate).await;
                });
            }
        }
    });
    Ok(())
}

async fn answer(stream: UnixStream, gate: &Arc<Gate>) -> anyhow::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = Zeroizing::new(Vec::new());
    let mut read = tokio::io::BufReader::new(read).take(limits::CONTROL_BYTES_MAX as u64);
    tokio::time::timeout(ASK_WAIT, read.read_until(b'\n', &mut line)).await??;
    let told = match serde_json::from_slice::<Ask>(&line) {
        Ok(ask) => match act(ask, gate).await {
            Ok(text) => Told { done: true, text },
            Err(error) => Told { done: false, text: format!("{error:#}") },
        },
        Err(_) => Told { done: false, text: "this server does not know what was asked".to_owned() },
    };
    let mut bytes = serde_json::to_vec(&told)?;
    bytes.push(b'\n');
    write.write_all(&bytes).await?;
    Ok(write.shutdown().await?)
}

async fn act(ask: Ask, gate: &Arc<Gate>) -> anyhow::Result<String> {
    match &ask {
        Ask::Status => Ok(gate.status()),
        Ask::UnsealKeyFile => {
            let file = gate.root_file();
            gate.unseal(move |wanted| Ok(wanted.with_key_file(&file)?)).await
        }
        Ask::UnsealPassphrase { passphrase } => {
            let passphrase = Zeroizing::new(passphrase.clone());
            gate.unseal(move |wanted| Ok(wanted.with_passphrase(&passphrase)?)).await
        }
        Ask::UnsealShare { share } => gate.take_share(Share::parse(share)?).await,
        Ask::SealOrganisation { organisation } => {
            open(gate)?.seal_organisation(OrgId(*organisation), None).await?;
            Ok(format!("organisation {organisation} is sealed"))
        }
        Ask::UnsealOrganisation { organisation } => {
            open(gate)?.unseal_organisation(OrgId(*organisation), None).await?;
            Ok(format!("organisation {organisation} is open"))
        }
        Ask::RotateOrganisation { organisation } => {
            let keys = open(gate)?.rotate_organisation(OrgId(*organisation), None).await?;
            Ok(format!("organisation {organisation} has a new key; {keys} persons' keys were wrapped anew"))
        }
        Ask::CreateOrganisation { name } => {
            let (org, code) = open(gate)?.create_organisation(name).await?;
            Ok(crate::organisation::told(org, &code))
        }
        Ask::OpenIncident { organisation, service, drill } => {
            crate::incidents::open_from_here(&*open(gate)?, *organisation, service, *drill).await
        }
        Ask::Contain { incident, asked } => crate::incidents::contain_from_here(&*open(gate)?, *incident, asked).await,
        Ask::Package { incident, recipient, out } => {
            crate::incidents::package_from_here(&*open(gate)?, *incident, recipient, out).await
        }
        Ask::Backup { to } => {
            if !to.is_absolute() {
                bail!("the backup's place must be a whole path");
            }
            let made = open(gate)?.backup(to).await?;
            Ok(format!("{} files, {:.1} MB", made.files, made.bytes as f64 / 1e6))
        }
        Ask::Exposed { organisation, question } => {
            Ok(serde_json::to_string(&open(gate)?.exposed(organisation.map(OrgId), question).await?)?)
        }
        Ask::Disclosed { organisation, question } => {
            Ok(serde_json::to_string(&open(gate)?.disclosed(organisation.map(OrgId), question).await?)?)
        }
        Ask::Merges { project, person } => persons::merges(&*open(gate)?, *project, person).await,
        Ask::Unmerge { project, person, merge } => persons::undo_merge(&*open(gate)?, *project, person, *merge).await,
    }
}

fn open(gate: &Gate) -> anyhow::Result<Arc<Engine>> {
    gate.engine().context("the server is sealed\nhint: open it with `cofferdam keys unseal`")
}

/// Asks the server that runs on a folder; `None` when there is none.
pub(crate) fn ask(data: &Path, ask: &Ask) -> anyhow::Result<Option<String>> {
    let path = path(data);
    let mut stream = match std::os::unix::net::UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| format!("could not reach {}", path.display())),
    };
    let mut line = Zeroizing::new(serde_json::to_vec(ask)?);
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream.take(limits::CONTROL_ANSWER_BYTES_MAX as u64)).read_line(&mut answer)?;
    let told: Told = serde_json::from_str(&answer).context("the server hung up")?;
    if !told.done {
        bail!("{}", told.text);
    }
    Ok(Some(told.text))
}
