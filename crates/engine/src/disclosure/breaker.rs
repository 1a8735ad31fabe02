//! Limits that stop somebody by themselves, whatever their roles allow.
//!
//! - One by one, a member opens [`limits::REVEALS_HOUR_MAX`] different persons an hour and
//!   [`limits::REVEALS_DAY_MAX`] a day, over all projects: the next is refused.
//! - Of an organisation, [`limits::DISCLOSED_PERCENT_MAX`] percent of all persons are opened in a day, unless two others
//!   approved: the next trips, and nobody of the organisation opens anything.
//! - Whoever opens persons in the order of their numbers, looks up addresses that nobody has, or asks again and again for
//!   what none of their roles may open, trips, and opens nothing.
//!
//! Counts are taken in the transaction that reserves ([`Store::begin`]), so that no two requests pass together where one
//! may. What trips holds in memory first, ends streams that run, is an entry of the ledger, and is there again after a
//! restart. It opens an incident. Closing it takes two people, neither of whom made it trip.

use std::collections::BTreeMap;
use std::sync::RwLock;

use cofferdam_ledger::{Entry, Kind, RoaringBitmap};
use cofferdam_model::policy::{Control, Decision, may};
use cofferdam_model::{Class, OrgId, ProjectId, limits, sabotage};
use cofferdam_query::People;
use cofferdam_query::calendar::utc_text;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::store::{Reserved, TripRow};
use crate::{Caller, Engine, Error, Result, SteppedUp, refused};

/// Which limit tripped. The numbers are in the ledger and in databases: none changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Personal values that none of the member's roles may open, again and again.
    Refusals = 1,
    /// Too many of an organisation's persons in a day.
    Share = 2,
    /// Persons one by one in the order of their numbers.
    Enumeration = 5,
    /// Addresses that nobody has.
    Guessing = 6,
}

impl Rule {
    pub(crate) fn of_number(number: i64) -> Rule {
        [Rule::Refusals, Rule::Enumeration, Rule::Guessing]
            .into_iter()
            .find(|rule| *rule as i64 == number).unwrap_or(Rule::Share)
    }

    pub(crate) fn text(self) -> String {
        match self {
            Rule::Refusals => {
                format!(
                    "more than {} times in {} minutes personal values were asked for that none of the roles may open",
                    limits::REFUSALS_MAX,
                    limits::REFUSALS_SECONDS / 60
                )
            }
            Rule::Share => {
                format!("more than {} % of all persons would be opened within a day", limits::DISCLOSED_PERCENT_MAX)
            }
            Rule::Enumeration => {
                format!("more than {} persons were opened in the order of their numbers", limits::MONOTONE_REVEALS_MAX)
            }
            Rule::Guessing => {
                format!(
                    "more than {} addresses that nobody has were looked up in a minute",
                    limits::LOOKUP_MISSES_MINUTE_MAX
                )
            }
        }
    }
}

/// A limit that tripped, as the console shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Trip {
    pub id: u32,
    pub rule: Rule,
    /// What was too much.
    pub text: String,
    /// Whose way it bars; everybody's of the organisation when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<u32>,
    /// Who made it trip.
    pub by_member: u32,
    /// RFC 3339, UTC.
    pub tripped_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<String>,
    /// Entry of the ledger.
    pub entry: u64,
    /// People who would close it, of those it takes.
    pub closings: usize,
    pub closings_needed: usize,
}

pub(crate) struct Breakers {
    open: RwLock<Vec<Open>>,
}

struct Open {
    org: OrgId,
    member: Option<u32>,
    rule: Rule,
    trip: u32,
}

impl Breakers {
    pub(crate) fn new(open: &[TripRow]) -> Breakers {
        let open = open.iter().map(|row| Open {
            org: row.org,
            member: row.member,
            rule: Rule::of_number(row.rule),
            trip: row.id,
        });
        Breakers { open: RwLock::new(open.collect()) }
    }

    /// The rule that bars somebody's way.
    pub(crate) fn open_for(&self, org: OrgId, member: Option<u32>) -> Option<Rule> {
        let open = self.open.read().expect("never left half changed");
        let bars = |one: &&Open| one.org == org && (one.member.is_none() || one.member == member);
        open.iter().find(bars).map(|one| one.rule)
    }
}

/// Why something is not reserved.
pub(crate) enum Overrun {
    /// Refused until then.
    Quota {
        what: String,
        until_us: i64,
    },
    Trip(Rule),
    /// How many persons the organisation has must be counted first.
    CountPersons,
    Store(sqlx::Error),
}

impl From<sqlx::Error> for Overrun {
    fn from(error: sqlx::Error) -> Overrun {
        Overrun::Store(error)
    }
}

/// What is about to be opened.
pub(crate) struct Wanted<'a> {
    pub(crate) member: u32,
    pub(crate) project: ProjectId,
    pub(crate) persons: &'a RoaringBitmap,
    pub(crate) is_single: bool,
    /// Two others approved it.
    pub(crate) is_shared: bool,
    pub(crate) now_us: i64,
    /// Of the organisation, once they were counted.
    pub(crate) all_persons: Option<u64>,
}

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// Whether what is wanted fits beside what was reserved within the last day, oldest first.
pub(crate) fn judge(wanted: &Wanted<'_>, reserved: &[Reserved]) -> Result<(), Overrun> {
    if wanted.is_single {
        let mine: Vec<&Reserved> = reserved.iter().filter(|one| one.is_single && one.member == wanted.member).collect();
        if is_in_order(&mine, wanted) && !sabotage::is_out(19) {
            return Err(Overrun::Trip(Rule::Enumeration));
        }
        for (within_us, most) in [(HOUR_US, limits::REVEALS_HOUR_MAX), (DAY_US, limits::REVEALS_DAY_MAX)] {
            if let Some(until_us) = full_until(&mine, wanted, within_us, most).filter(|_| !sabotage::is_out(18)) {
                let what = format!("{most} different persons an {}", if within_us == HOUR_US { "hour" } else { "day" });
                let what = what.replace("an day", "a day");
                return Err(Overrun::Quota { what, until_us });
            }
        }
    }
    if wanted.is_shared {
        return Ok(());
    }
    let mut opened: BTreeMap<ProjectId, RoaringBitmap> = BTreeMap::new();
    for one in reserved.iter().filter(|one| !one.is_shared) {
        *opened.entry(one.project).or_default() |= &one.persons;
    }
    *opened.entry(wanted.project).or_default() |= wanted.persons;
    let opened: u64 = opened.values().map(RoaringBitmap::len).sum();
    if opened <= limits::DISCLOSED_PERSONS_MIN {
        return Ok(());
    }
    match wanted.all_persons {
        None => Err(Overrun::CountPersons),
        Some(all) if opened * 100 > all * limits::DISCLOSED_PERCENT_MAX => Err(Overrun::Trip(Rule::Share)),
        Some(_) => Ok(()),
    }
}

/// When there is room for these persons again, if there is none.
fn full_until(mine: &[&Reserved], wanted: &Wanted<'_>, within_us: i64, most: usize) -> Option<i64> {
    let mut latest: BTreeMap<(ProjectId, u32), i64> = BTreeMap::new();
    for one in mine.iter().filter(|one| one.at_us > wanted.now_us - within_us) {
        latest.extend(one.persons.iter().map(|person| ((one.project, person), one.at_us)));
    }
    let new = wanted.persons.iter().filter(|person| !latest.contains_key(&(wanted.project, *person))).count();
    let over = (latest.len() + new).checked_sub(most).filter(|over| *over > 0 && new > 0)?;
    let mut times: Vec<i64> = latest.into_values().collect();
    times.sort_unstable();
    Some(times.get(over - 1).copied().unwrap_or(wanted.now_us) + within_us)
}

/// Whether this and the ones before it go one way through the numbers.
fn is_in_order(mine: &[&Reserved], wanted: &Wanted<'_>) -> bool {
    let mut numbers: Vec<u32> = Vec::new();
    let of_project = mine.iter().filter(|one| one.project == wanted.project);
    for persons in of_project.map(|one| &one.persons).chain([wanted.persons]) {
        numbers.extend(persons.min().filter(|number| numbers.last() != Some(number)));
    }
    let last = numbers.split_off(numbers.len().saturating_sub(limits::MONOTONE_REVEALS_MAX + 1));
    last.len() > limits::MONOTONE_REVEALS_MAX && (last.is_sorted_by(|a, b| a < b) || last.is_sorted_by(|a, b| a > b))
}

impl Engine {
    pub(crate) fn check_limits(&self, org: OrgId, member: Option<u32>) -> Result<()> {
        match self.disclosures.breakers.open_for(org, member) {
            None => Ok(()),
            Some(rule) => refused(
                "stopped_by_limit",
                format!("personal values stay closed: {}", rule.text()),
                Some("two people who may unlock, and did not make it trip, close it under limits"),
            ),
        }
    }

    /// Stops somebody, or everybody of an organisation, and opens an incident.
    pub(crate) async fn trip(&self, caller: &Caller, rule: Rule) -> Result<()> {
        let org = caller.member.org;
        let member = if rule == Rule::Share { None } else { Some(caller.member.id) };
        let breakers = &self.disclosures.breakers;
        let already = breakers.open_for(org, member) == Some(rule);
        if already {
            return Ok(());
        }
        let tripped_us = self.now_us();
        breakers.open.write().expect("never left half changed").push(Open { org, member, rule, trip: 0 });
        self.disclosures
            .stop(|run| run.is_personal && run.who.org == org && (member.is_none() || run.who.member == member));
        let entry = Entry { purpose: rule as u64, ..caller.entry(self, Kind::BreakerTripped) };
        let entry = self.ledger.append_async(entry).await?.seq.ok_or(Error::Interrupted)?;
        let mut row = TripRow {
            id: 0,
            org,
            rule: rule as i64,
            member,
            by_member: caller.member.id,
            by_person: self.person_print(&caller.member.email).to_vec(),
            entry,
            tripped_us,
            closed_us: None,
        };
        let trip = self.disclosures.store.insert_trip(&row).await?;
        row.id = trip;
        {
            let mut open = breakers.open.write().expect("never left half changed");
            if let Some(one) = open.iter_mut().find(|one| one.trip == 0 && one.org == org && one.rule == rule) {
                one.trip = trip;
            }
        }
        tracing::warn!(trip, rule = ?rule, "a limit tripped");
        // It bars the way already; an incident that could not be opened now is opened at the next start.
        if let Err(error) = self.open_tripped(&row).await {
            tracing::error!(trip, error = &error as &dyn std::error::Error, "a limit tripped and opened no incident");
        }
        Ok(())
    }

    /// What tripped, newest first: all of the organisation for whoever may unlock or reads locks, else one's own.
    pub async fn trips(&self, caller: &Caller) -> Result<Vec<Trip>> {
        let sees_all = may(caller.member.roles, Control::ReadLocks) != Decision::Deny;
        let mut shown = Vec::new();
        for row in self.disclosures.store.trips(Some(caller.member.org)).await? {
            if sees_all || row.by_member == caller.member.id {
                let rule = Rule::of_number(row.rule);
                shown.push(Trip {
                    id: row.id,
                    rule,
                    text: rule.text(),
                    member: row.member,
                    by_member: row.by_member,
                    tripped_at: utc_text(row.tripped_us),
                    closed_at: row.closed_us.map(utc_text),
                    entry: row.entry,
                    closings: self.disclosures.store.closings(row.id).await?,
                    closings_needed: self.closers(&row).await?.len().clamp(1, 2),
                });
            }
        }
        Ok(shown)
    }

    /// Others who may close a trip.
    async fn closers(&self, row: &TripRow) -> Result<Vec<u32>> {
        let mut able = Vec::new();
        for id in self.who_may(row.org, Control::Unlock, &[row.by_member]).await? {
            if self.person_of(id).await?.is_some_and(|person| person[..] != row.by_person[..]) {
                able.push(id);
            }
        }
        Ok(able)
    }

    /// Agrees to close what tripped. It is closed when two people did, neither of whom made it trip; where nobody else
    /// could, whoever may closes it alone after [`limits::TRIP_SECONDS_MIN`], and the ledger says so. Answers whether
    /// it is closed.
    ///
    /// # Errors
    /// When the caller may not, or it is too early.
    pub async fn close_trip(&self, caller: &Caller, trip: u32, stepped_up: SteppedUp) -> Result<bool> {
        if may(caller.member.roles, Control::Unlock) == Decision::Deny {
            return refused("not_allowed", "none of your roles may close a limit", None);
        }
        let rows = self.disclosures.store.trips(Some(caller.member.org)).await?;
        let row = rows.iter().find(|row| row.id == trip).ok_or(Error::NotFound("trip"))?;
        if row.closed_us.is_some() {
            return Ok(true);
        }
        let others = self.closers(row).await?;
        let (now_us, person) = (self.now_us(), self.person_print(&caller.member.email));
        let is_alone = others.is_empty();
        if is_alone {
            let from_us = row.tripped_us + limits::TRIP_SECONDS_MIN * 1_000_000;
            if now_us < from_us {
                let message = format!("nobody else could close it, so it stays until {}", utc_text(from_us));
                return refused("not_yet", message, Some("a second member who may unlock closes it earlier"));
            }
        } else if row.by_member == caller.member.id || row.by_person[..] == person[..] {
            return refused(
                "own_trip",
                "whoever made a limit trip does not close it",
                Some("ask others who may unlock"),
            );
        }
        super::spent(caller, stepped_up, Class::C0)?;
        let agreed = self.disclosures.store.would_close(trip, caller.member.id, &person).await?;
        let is_closed = agreed >= others.len().clamp(1, 2);
        let entry = Entry {
            refers_to: Some(row.entry),
            purpose: row.rule.cast_unsigned(),
            count: agreed as u64,
            // 1: it was closed, 2: by whoever was alone, 0: another has to agree.
            object: if !is_closed { 0 } else { 1 + u64::from(is_alone) },
            ..caller.entry(self, Kind::BreakerClosed)
        };
        self.ledger.append_async(entry).await?;
        if is_closed {
            self.disclosures.store.close_trip(trip, now_us).await?;
            self.disclosures.breakers.open.write().expect("never left half changed").retain(|one| one.trip != trip);
        }
        Ok(is_closed)
    }

    /// Persons of all projects of an organisation.
    pub(crate) async fn persons_of(&self, org: OrgId) -> Result<u64> {
        let mut all = 0;
        for record in self.meta.projects(Some(org)).await? {
            let project = self.project(record.id)?;
            let (((_, persons), _), _) = self
                .on_snapshot(&project, None, People::default(), |input| Ok((cofferdam_query::totals(input)?, ())))
                .await?;
            all += persons;
        }
        Ok(all)
    }
}

/// Runs that are told to stop.
impl super::Disclosures {
    /// Answers how many that are.
    pub(crate) fn stop(&self, whom: impl Fn(&super::stream::Run) -> bool) -> u32 {
        let running = self.running.lock().expect("never left half changed");
        running.values().filter(|run| whom(run)).map(|run| run.stop()).count() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_800_000_000_000_000;

    fn reserved(person: u32, at_us: i64) -> Reserved {
        let persons = RoaringBitmap::from_iter([person]);
        Reserved { project: ProjectId(1), member: 1, at_us, is_single: true, is_shared: false, persons }
    }

    /// In no order.
    fn person(number: u32) -> u32 {
        number * 7_919 % 10_007
    }

    fn ask(reserved: &[Reserved], person: u32, now_us: i64) -> Result<(), Overrun> {
        let persons = RoaringBitmap::from_iter([person]);
        let wanted = Wanted {
            member: 1,
            project: ProjectId(1),
            persons: &persons,
            is_single: true,
            is_shared: false,
            now_us,
            all_persons: Some(1_000_000),
        };
        judge(&wanted, reserved)
    }

    #[test]
    fn thirty_different_persons_an_hour_and_a_hundred_a_day_and_the_answer_says_until_when() {
        let of_hour: Vec<Reserved> = (0..30).map(|at| reserved(person(at), NOW_US + i64::from(at))).collect();
        let now_us = NOW_US + 1_000_000;
        assert!(ask(&of_hour[..29], person(29), now_us).is_ok());
        assert!(
            matches!(ask(&of_hour, person(30), now_us), Err(Overrun::Quota { until_us, .. }) if until_us == NOW_US + HOUR_US)
        );
        assert!(ask(&of_hour, person(3), now_us).is_ok(), "the same person again");
        assert!(ask(&of_hour, person(30), NOW_US + HOUR_US).is_ok(), "there is room again then");
        let of_day: Vec<Reserved> =
            (0..100).map(|at| reserved(person(at), NOW_US + i64::from(at) * 600_000_000)).collect();
        let last_us = NOW_US + 100 * 600_000_000;
        assert!(ask(&of_day[..99], person(99), last_us).is_ok());
        assert!(
            matches!(ask(&of_day, person(100), last_us), Err(Overrun::Quota { until_us, .. }) if until_us == NOW_US + DAY_US)
        );
        let mut others = of_day;
        others.iter_mut().for_each(|one| one.member = 2);
        assert!(ask(&others, person(100), last_us).is_ok(), "another member's are not counted");
    }

    #[test]
    fn persons_in_the_order_of_their_numbers_trip_at_the_twenty_first() {
        for descending in [false, true] {
            let at = |number: u32| if descending { 1_000 - number * 3 } else { number * 3 };
            let mut before: Vec<Reserved> = (0..19).map(|number| reserved(at(number), NOW_US)).collect();
            assert!(ask(&before, at(19), NOW_US).is_ok(), "twenty");
            before.push(reserved(at(19), NOW_US));
            assert!(matches!(ask(&before, at(20), NOW_US), Err(Overrun::Trip(Rule::Enumeration))));
            assert!(ask(&before, at(4), NOW_US).is_ok(), "one out of order");
        }
    }

    #[test]
    fn a_fifth_of_all_persons_in_a_day_trips_unless_two_others_approved() {
        let export = |persons: std::ops::Range<u32>, is_shared| Reserved {
            persons: persons.collect(),
            is_single: false,
            is_shared,
            ..reserved(0, NOW_US)
        };
        let ask = |reserved: &[Reserved], persons: std::ops::Range<u32>, is_shared, all_persons| {
            let persons: RoaringBitmap = persons.collect();
            let wanted = Wanted {
                member: 3,
                project: ProjectId(1),
                persons: &persons,
                is_single: false,
                is_shared,
                now_us: NOW_US,
                all_persons,
            };
            judge(&wanted, reserved)
        };
        assert!(ask(&[], 0..100, false, None).is_ok(), "too few to say anything");
        assert!(matches!(ask(&[], 0..101, false, None), Err(Overrun::CountPersons)));
        assert!(ask(&[], 0..200, false, Some(1_000)).is_ok());
        assert!(matches!(ask(&[], 0..201, false, Some(1_000)), Err(Overrun::Trip(Rule::Share))));
        assert!(ask(&[export(0..150, false)], 100..200, false, Some(1_000)).is_ok(), "the same persons again");
        assert!(matches!(ask(&[export(0..150, false)], 150..201, false, Some(1_000)), Err(Overrun::Trip(_))));
        assert!(ask(&[export(0..150, true)], 150..201, false, Some(1_000)).is_ok(), "those were approved by two");
        assert!(ask(&[], 0..1_000, true, None).is_ok());
    }
}
