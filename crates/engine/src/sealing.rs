//! Who can open what, while it runs: sealing one organisation and opening it again, changing keys. Each is an entry of
//! the ledger.
//!
//! A sealed organisation's keys are not in memory: what it sends is refused, what it asks is not answered, its live
//! feeds end, also those whose answers were on their way. Others go on. Sealing comes before its entry in the ledger,
//! since it contains; everything else comes after.

use std::path::Path;

use cofferdam_ledger::Kind;
use cofferdam_model::OrgId;
use cofferdam_vault::{Cover, CustodianShare, RootKey, Vault, Wanted, Way};

use crate::{Engine, Error, Project, Result, root_file};

/// How the keys stand.
pub struct SealState {
    /// How the root key is kept.
    pub cover: Cover,
    /// Every organisation, and whether it is sealed.
    pub organisations: Vec<(OrgId, bool)>,
}

impl Engine {
    pub fn seal_state(&self) -> SealState {
        SealState { cover: self.vault.cover().clone(), organisations: self.vault.organisations() }
    }

    pub fn is_sealed(&self, project: &Project) -> bool {
        self.vault.is_sealed(project.org)
    }

    pub(crate) fn check_unsealed(&self, project: &Project) -> Result<()> {
        if self.is_sealed(project) { Err(Error::OrganisationSealed) } else { Ok(()) }
    }

    /// Seals an organisation. `member` is who asked; `None` for whoever runs the server.
    pub async fn seal_organisation(&self, org: OrgId, member: Option<u32>) -> Result<()> {
        let projects = self.vault.seal_organisation(org).await?;
        for project in projects {
            self.live.close(project);
        }
        self.record(Kind::OrganisationSealed, member, org.0)
    }

    pub async fn unseal_organisation(&self, org: OrgId, member: Option<u32>) -> Result<()> {
        self.record(Kind::OrganisationUnsealed, member, org.0)?;
        Ok(self.vault.unseal_organisation(org).await?)
    }

    /// Gives an organisation a new key. Answers how many persons' keys were wrapped anew.
    pub async fn rotate_organisation(&self, org: OrgId, member: Option<u32>) -> Result<u64> {
        self.record(Kind::Rekeyed, member, org.0)?;
        Ok(self.vault.rotate_organisation(org).await?)
    }
}

/// Makes the first keys of a folder, in a way other than the usual key file. Answers the custodians' shares.
pub async fn init_keys(folder: &Path, way: Way) -> Result<Vec<CustodianShare>> {
    Ok(Vault::init(folder, &root_file(folder), way).await?)
}

/// What it takes to have the root key of a folder that is not running; `None` where there are no keys yet.
pub async fn root_wanted(folder: &Path) -> Result<Option<Wanted>> {
    Ok(Vault::wanted(folder).await?)
}

/// Changes the root key of a folder that is not running, and the way it is kept: what the old one wraps is wrapped
/// anew. Answers the custodians' shares.
pub async fn rekey(folder: &Path, old: RootKey, way: Way, now_us: i64) -> Result<Vec<CustodianShare>> {
    let vault = Vault::unseal(folder, &root_file(folder), old).await?;
    let ledger = cofferdam_ledger::Log::open(&folder.join("ledger"), &crate::ledger_seed(&vault))?;
    ledger.append(cofferdam_ledger::Entry { kind: Kind::Rekeyed, time_us: now_us, actor: [0; 16], object: 0 })?;
    Ok(vault.rekey(folder, &root_file(folder), way).await?)
}
