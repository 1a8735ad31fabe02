//! Who can open what, while it runs: sealing one organisation and opening it again, changing keys. Each is an entry of
//! the ledger.
//!
//! A sealed organisation's keys are not in memory: what it sends is refused, what it asks is not answered, its live
//! feeds and streams end, also those whose answers were on their way. Others go on. Sealing comes before its entry in the ledger,
//! since it contains; everything else comes after.

use std::sync::Arc;

use cofferdam_lake::Clock;
use cofferdam_ledger::{Entry, Kind};
use cofferdam_model::OrgId;
use cofferdam_vault::{Cover, CustodianShare, RootKey, Site, Vault, Wanted, Way};

use crate::{Engine, Error, Project, Result, ledger};

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
        self.check_open(project.org)
    }

    /// That an organisation is not sealed.
    pub(crate) fn check_open(&self, org: OrgId) -> Result<()> {
        if self.vault.is_sealed(org) { Err(Error::OrganisationSealed) } else { Ok(()) }
    }

    /// Seals an organisation. `member` is who asked; `None` for whoever runs the server.
    pub async fn seal_organisation(&self, org: OrgId, member: Option<u32>) -> Result<()> {
        let projects = self.vault.seal_organisation(org).await?;
        for project in projects {
            self.live.close(project);
        }
        self.disclosures.stop(|run| run.project.org == org);
        self.record(Kind::Sealed, member, org.0).await
    }

    pub async fn unseal_organisation(&self, org: OrgId, member: Option<u32>) -> Result<()> {
        self.record(Kind::Unsealed, member, org.0).await?;
        Ok(self.vault.unseal_organisation(org).await?)
    }

    /// Gives an organisation a new key. Answers how many persons' keys were wrapped anew.
    pub async fn rotate_organisation(&self, org: OrgId, member: Option<u32>) -> Result<u64> {
        self.record(Kind::Rekeyed, member, org.0).await?;
        Ok(self.vault.rotate_organisation(org).await?)
    }
}

/// Makes the first keys, in a way other than the usual key file. Answers the custodians' shares.
pub async fn init_keys(site: &Site, way: Way) -> Result<Vec<CustodianShare>> {
    Ok(Vault::init(site, way).await?)
}

/// What it takes to have the root key; `None` where there are no keys yet.
pub async fn root_wanted(site: &Site) -> Result<Option<Wanted>> {
    Ok(Vault::wanted(site).await?)
}

/// Changes the root key of an installation that is not running, and the way it is kept: what the old one wraps is
/// wrapped anew. Answers the custodians' shares.
pub async fn rekey(site: &Site, old: RootKey, way: Way, clock: Clock) -> Result<Vec<CustodianShare>> {
    let vault = Arc::new(Vault::unseal(site, old).await?);
    ledger::append(&site.folder, &vault, clock, Entry::of(Kind::Rekeyed)).await?;
    // The ledger that had it too is closed.
    let vault = Arc::into_inner(vault).ok_or(Error::Interrupted)?;
    Ok(vault.rekey(site, way).await?)
}
