//! Alarms: what somebody must know now, and what became of it.
//!
//! A limit that trips opens an incident by itself, once, with the time of the trip as the time of its detection; after a
//! crash between the two the next start does. What opens nothing is told here for an hour: a quota that is used up, which
//! is everybody's some day, and personal values that leave in bulk, which is allowed and worth a look.

use std::collections::VecDeque;
use std::sync::Mutex;

use cofferdam_model::policy::{Control, Decision, may};
use cofferdam_model::{OrgId, limits};
use rustc_hash::FxHashMap;
use serde::Serialize;
use utoipa::ToSchema;

use super::{AccountKind, IncidentCause, IncidentTrip, OpenIncident};
use crate::disclosure::store::TripRow;
use crate::{Caller, Engine, Result, Rule};

/// What kind of alarm it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// A limit stopped somebody, and opened an incident.
    Tripped,
    /// A limit refused somebody.
    Refused,
    /// Personal values of many are leaving, as others approved.
    Leaving,
}

/// Something that whoever is in charge must know now.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Alarm {
    pub kind: AlarmKind,
    /// Microseconds since 1970-01-01 UTC.
    pub at_us: i64,
    /// The limit that tripped; absent for what tripped none.
    pub rule: Option<Rule>,
    /// What was too much.
    pub text: String,
    /// Who made it, and their name, while they are a member.
    pub member: u32,
    pub member_name: Option<String>,
    /// The incident that it opened, and whether that is contained.
    pub incident: Option<u32>,
    pub is_contained: bool,
}

/// What was told lately, and who was refused lately.
#[derive(Default)]
pub(crate) struct Alarms {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Oldest first, of all organisations.
    told: VecDeque<Told>,
    /// When each member was refused what no role of theirs may open.
    refused: FxHashMap<u32, VecDeque<i64>>,
}

struct Told {
    org: OrgId,
    kind: AlarmKind,
    at_us: i64,
    text: String,
    member: u32,
}

impl Alarms {
    /// Tells something; the same of the same member is told once an hour.
    fn tell(&self, new: Told) {
        let mut inner = self.inner.lock().expect("never left half changed");
        let from_us = new.at_us - limits::ALARM_SECONDS * 1_000_000;
        inner.told.retain(|told| told.at_us > from_us);
        let is_same = |told: &Told| (told.org, told.kind, told.member) == (new.org, new.kind, new.member);
        if new.kind == AlarmKind::Refused && inner.told.iter().any(is_same) {
            return;
        }
        while inner.told.len() >= limits::ALARMS_MAX {
            inner.told.pop_front();
        }
        inner.told.push_back(new);
    }

    /// Notes that a member was refused. Answers whether that is too often.
    fn is_refused_too_often(&self, member: u32, now_us: i64) -> bool {
        let mut inner = self.inner.lock().expect("never left half changed");
        let from_us = now_us - limits::REFUSALS_SECONDS * 1_000_000;
        inner.refused.retain(|_, times| times.back().is_some_and(|last_us| *last_us > from_us));
        let times = inner.refused.entry(member).or_default();
        times.retain(|at_us| *at_us > from_us);
        times.push_back(now_us);
        times.len() > limits::REFUSALS_MAX
    }
}

impl Engine {
    /// What whoever is in charge must know now, newest first. Nothing for whom it is no business: whoever neither sees
    /// how far something went nor reads locks.
    pub async fn alarms(&self, caller: &Caller) -> Result<Vec<Alarm>> {
        let sees = |control| may(caller.member.roles, control) != Decision::Deny;
        if !sees(Control::ViewScope) && !sees(Control::ReadLocks) {
            return Ok(Vec::new());
        }
        let org = caller.member.org;
        let mut alarms = Vec::new();
        for incident in self.desk.store.tripped(org).await? {
            let Some(IncidentTrip { rule, by_member, .. }) = incident.trip else { continue };
            alarms.push(Alarm {
                kind: AlarmKind::Tripped,
                at_us: incident.times.detected_us,
                rule: Some(rule),
                text: rule.text(),
                member: by_member,
                member_name: None,
                incident: Some(incident.id),
                is_contained: incident.times.contained_us.is_some(),
            });
        }
        let from_us = self.now_us() - limits::ALARM_SECONDS * 1_000_000;
        {
            let inner = self.desk.alarms.inner.lock().expect("never left half changed");
            let told = inner.told.iter().filter(|told| told.org == org && told.at_us > from_us);
            alarms.extend(told.map(|told| Alarm {
                kind: told.kind,
                at_us: told.at_us,
                rule: None,
                text: told.text.clone(),
                member: told.member,
                member_name: None,
                incident: None,
                is_contained: false,
            }));
        }
        alarms.sort_by_key(|alarm| std::cmp::Reverse(alarm.at_us));
        alarms.truncate(limits::ALARMS_MAX);
        for alarm in &mut alarms {
            let row = self.meta.member(alarm.member).await?.filter(|row| row.org == org);
            alarm.member_name = row.map(|row| self.member_name(&row)).transpose()?;
        }
        Ok(alarms)
    }

    pub(crate) fn tell_alarm(&self, caller: &Caller, kind: AlarmKind, text: String) {
        let (org, member) = (caller.member.org, caller.member.id);
        self.desk.alarms.tell(Told { org, kind, at_us: self.now_us(), text, member });
    }

    /// Writes down that a member asked for personal values that none of their roles may open. Often within minutes, it
    /// is no error any more: it trips.
    ///
    /// # Errors
    /// When the ledger does not take it.
    pub async fn refused_disclosure_of(&self, caller: &Caller, entry: cofferdam_ledger::Entry) -> Result<()> {
        self.refused_disclosure(entry).await?;
        if self.desk.alarms.is_refused_too_often(caller.member.id, self.now_us()) {
            self.trip(caller, Rule::Refusals).await?;
        }
        Ok(())
    }

    /// Opens the incident of a limit that tripped, unless there is one.
    pub(crate) async fn open_tripped(&self, row: &TripRow) -> Result<()> {
        if self.desk.store.of_trip(row.id).await?.is_some() {
            return Ok(());
        }
        let name = self.meta.organisation_name(row.org).await?;
        let open = OpenIncident {
            cause: IncidentCause::Limit,
            account: AccountKind::Staff,
            service: name.chars().take(100).collect(),
            occurred_us: None,
            detected_us: Some(row.tripped_us),
        };
        let trip = IncidentTrip { trip: row.id, rule: Rule::of_number(row.rule), by_member: row.by_member };
        let incident = self.open_incident_of(row.org, None, open, Some(trip)).await?;
        tracing::warn!(incident = incident.id, trip = row.id, "a limit that tripped opened an incident");
        Ok(())
    }

    /// Opens incidents of limits that tripped when the server ended before it had.
    pub(crate) async fn open_missed(&self) -> Result<()> {
        for row in self.disclosures.store.trips(None).await? {
            self.open_tripped(&row).await?;
        }
        Ok(())
    }
}
