//! `cofferdam ledger`: verifying the ledger offline, from its files and its public key alone, and making proofs that
//! others verify without us.
//!
//! With `--folder` and `--key` nothing of the installation is needed; without them the folder's own root key says which
//! key it is.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use cofferdam_ledger::Recorded;
use cofferdam_ledger::certificate::Certificate;
use cofferdam_ledger::note::VerifierKey;
use cofferdam_ledger::verify::{self, Proof};

use crate::say;
use crate::serve::Stopped;

#[derive(Subcommand)]
pub(crate) enum LedgerCommand {
    /// Verify the whole ledger, one entry, or that one checkpoint continues another
    Verify(VerifyArgs),
    /// Write the proof that an entry is in the ledger, to be verified without it
    Prove {
        /// Number of the entry
        entry: u64,
        #[command(flatten)]
        which: Which,
        /// Where to; standard output without it
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Print the key that verifies the ledger: keep it elsewhere
    Key {
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Args)]
pub(crate) struct Which {
    #[command(flatten)]
    place: Stopped,
    /// A ledger's folder, or a copy of it; needs --key
    #[arg(long, requires = "key")]
    folder: Option<PathBuf>,
    /// The ledger's key, as `cofferdam ledger key` prints it
    #[arg(long)]
    key: Option<String>,
}

#[derive(Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    which: Which,
    /// Verify that this entry is in the ledger
    #[arg(long)]
    entry: Option<u64>,
    /// Verify this proof or certificate instead of the ledger's files; only --key is needed
    #[arg(long, requires = "key")]
    proof: Option<PathBuf>,
    /// Two checkpoints: the newer must continue the older one. Prints the proof of it
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with_all = ["entry", "proof"])]
    consistency: Vec<PathBuf>,
}

impl Which {
    async fn find(&self) -> anyhow::Result<(PathBuf, VerifierKey)> {
        let given = self.key.as_deref().map(VerifierKey::parse).transpose()?;
        match (&self.folder, given) {
            (Some(folder), Some(key)) => Ok((folder.clone(), key)),
            (_, given) => {
                let Stopped { home, root } = &self.place;
                let (site, data) = (home.site()?, home.data.display());
                if !home.data.is_dir() || cofferdam_engine::root_wanted(&site).await?.is_none() {
                    bail!("{data} is not a server's folder\nhint: say which with --data");
                }
                let (key, folder) = cofferdam_engine::ledger_of(&site, root.of_site(&site).await?).await?;
                if given.is_some_and(|given| given != key) {
                    bail!("the ledger in {data} has another key than the one that was given");
                }
                Ok((folder, key))
            }
        }
    }
}

pub(crate) async fn run(command: LedgerCommand) -> anyhow::Result<ExitCode> {
    match command {
        LedgerCommand::Key { which } => {
            say(&which.find().await?.1.to_string());
            Ok(ExitCode::SUCCESS)
        }
        LedgerCommand::Prove { entry, which, out } => {
            let (folder, key) = which.find().await?;
            let text = verify::prove(&folder, &key, entry)?.print();
            match out {
                Some(path) => {
                    std::fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
                }
                None => say(text.trim_end()),
            }
            Ok(ExitCode::SUCCESS)
        }
        LedgerCommand::Verify(args) => verify_what(args).await,
    }
}

async fn verify_what(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.proof {
        let key = VerifierKey::parse(args.which.key.as_deref().unwrap_or_default())?;
        let text = read(path)?;
        if Certificate::is_one(&text) {
            let certificate = Certificate::parse(&text)?;
            certificate.verify(&key)?;
            for line in certificate.statement.lines() {
                say(line);
            }
            return shown(&certificate.proof, args.entry, &key);
        }
        return shown(&Proof::parse(&text)?, args.entry, &key);
    }
    let (folder, key) = args.which.find().await?;
    if let Some(entry) = args.entry {
        return shown(&verify::prove(&folder, &key, entry)?, Some(entry), &key);
    }
    if let [old, new] = &args.consistency[..] {
        let path = verify::consistency(&folder, &key, &read(old)?, &read(new)?)?;
        for hash in path {
            say(&cofferdam_ledger::note::print_hash(&hash));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let found = verify::verify(&folder, &key)?;
    say(&format!("{} entries under the signed checkpoint, {} after it", found.entries, found.unpublished));
    for seq in &found.erased {
        say(&format!("entry {seq}: its subject set was erased, and the ledger says so"));
    }
    for wrong in &found.wrong {
        say(&format!("wrong: {}", wrong.what));
    }
    Ok(if found.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn shown(proof: &Proof, expected: Option<u64>, key: &VerifierKey) -> anyhow::Result<ExitCode> {
    let (recorded, checkpoint) = proof.verify(key)?;
    if let Some(expected) = expected.filter(|expected| *expected != recorded.seq) {
        bail!("the proof is of entry {} and not of {expected}", recorded.seq);
    }
    let Recorded { seq, time_us, entry, .. } = recorded;
    let time = jiff::Timestamp::from_microsecond(time_us.cast_signed())?;
    say(&format!("entry {seq} of {}: {:?}, {time}", checkpoint.size, entry.kind));
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))
}
