//! The shadow organisation: who works there, and its one project.

use anyhow::{Context, Result};
use serde_json::json;

use crate::colleague::Colleague;
use crate::place::Place;
use crate::site::Site;

/// Those who work at the shadow organisation. Nobody of them is a person's address away from another's rights.
pub(crate) struct Staff {
    /// The first member: owner, and a privacy officer who is not in it.
    pub(crate) owner: Colleague,
    admin: Colleague,
    /// Helps customers and reads reports; somebody else has the session.
    pub(crate) phished: Colleague,
    /// Collude: a privacy officer who asks, and two who approve.
    pub(crate) officer: Colleague,
    pub(crate) steward: Colleague,
    pub(crate) second_steward: Colleague,
    /// Another privacy officer, who is not in it.
    pub(crate) deputy: Colleague,
    pub(crate) commander: Colleague,
    pub(crate) responder: Colleague,
    pub(crate) organisation: u32,
    pub(crate) project: u64,
    /// With which the product of the shadow organisation sends.
    pub(crate) token: String,
}

impl Staff {
    /// Makes the organisation and everybody in it.
    pub(crate) fn gather(place: &Place) -> Result<Staff> {
        let (organisation, code) = place.organisation("Drill: shadow of an organisation")?;
        let site = &place.site;
        let mut owner = Colleague::join(site, &code, "Olga Owner", &mail("olga"), "198.51.100.10")?;
        let code = owner.invite(&["org_admin"])?;
        let mut admin = Colleague::join(site, &code, "Anton Admin", &mail("anton"), "198.51.100.11")?;
        let code = owner.invite(&["privacy_officer"])?;
        let officer = Colleague::join(site, &code, "Otto Officer", &mail("otto"), "198.51.100.12")?;
        let code = owner.invite(&["privacy_officer"])?;
        let deputy = Colleague::join(site, &code, "Dora Deputy", &mail("dora"), "198.51.100.13")?;
        let mut hires = Hires { site, owner: &mut owner, admin: &mut admin };
        let phished = hires.hire(&["analyst", "support_agent"], "Petra", "198.51.100.14")?;
        let steward = hires.hire(&["data_steward"], "Stefan", "198.51.100.15")?;
        let second_steward = hires.hire(&["data_steward"], "Selma", "198.51.100.16")?;
        let commander = hires.hire(&["incident_commander"], "Carla", "198.51.100.17")?;
        let responder = hires.hire(&["responder"], "Rosa", "198.51.100.18")?;
        let made = json!({"name": "Shop", "time_zone": "UTC", "identity_mode": "simplified"});
        let made = owner.seat.send("POST", "/api/v1/projects", &made)?.done("making a project")?;
        let project = made["id"].as_u64().context("a project without a number")?;
        let token = made["token"].as_str().context("a project without a token")?.to_owned();
        Ok(Staff {
            owner,
            admin,
            phished,
            officer,
            steward,
            second_steward,
            deputy,
            commander,
            responder,
            organisation,
            project,
            token,
        })
    }

    /// Everybody who gets mail as a member.
    pub(crate) fn is_of_staff(address: &str) -> bool {
        address.ends_with(STAFF_ADDRESSES)
    }

    /// Of those who collude.
    pub(crate) fn colluding(&self) -> [&Colleague; 3] {
        [&self.officer, &self.steward, &self.second_steward]
    }

    /// How many they are.
    pub(crate) fn count(&self) -> usize {
        let rest = [&self.owner, &self.admin, &self.phished, &self.deputy, &self.commander, &self.responder];
        self.colluding().len() + rest.len()
    }
}

const STAFF_ADDRESSES: &str = "@staff.drill.example";

fn mail(name: &str) -> String {
    format!("{}{STAFF_ADDRESSES}", name.to_lowercase())
}

/// How somebody gets roles: where they may do more than whoever invites, an administrator agrees.
struct Hires<'a> {
    site: &'a Site,
    owner: &'a mut Colleague,
    admin: &'a mut Colleague,
}

impl Hires<'_> {
    fn hire(&mut self, roles: &[&str], name: &str, address: &str) -> Result<Colleague> {
        let code = self.owner.invite(&["viewer"])?;
        let hired = Colleague::join(self.site, &code, name, &mail(name), address)?;
        let path = format!("/api/v1/members/{}/roles", hired.id);
        let asked = self.owner.done("PUT", &path, &json!({"roles": roles}))?;
        if let Some(waiting) = asked["waiting"].as_u64() {
            self.admin.done("POST", &format!("/api/v1/waiting/{waiting}/agree"), &json!({}))?;
        }
        Ok(hired)
    }
}
