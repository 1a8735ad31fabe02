//! Taking in: a body becomes records, each record one outcome.
//!
//! Steps 2 to 4 of the life of an event (see the crate's head). Counting is done where a record's fate is decided,
//! once: `received` when it is cut from the body, its outcome when it leaves this file.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use cofferdam_model::{Action, Class, Outcome, ProjectId, Reason, SubjectNo, Value, limits};
use cofferdam_vault::wire::{self, Door, ProfileKind, ProfileUpdate, Record, ValidEvent};
use cofferdam_vault::{Arrival, Handled, Sealed};
use rustc_hash::{FxHashMap, FxHashSet};
use twox_hash::XxHash3_128;

use crate::live::{Arrived, LiveEvent, Source};
use crate::{Engine, Error, Project, Result};

/// What a sender is told about one request.
#[derive(Default)]
pub struct Report {
    /// Records in the body.
    pub received: usize,
    /// Stored, or stored before.
    pub stored: usize,
    pub refused: Vec<RefusedRecord>,
}

/// A refused record. Holds nothing of it but its place and insert id.
pub struct RefusedRecord {
    pub index: usize,
    pub insert_id: String,
    pub reason: Reason,
}

/// Records accepted lately, by keyed hash of their bytes: a retry of the same bytes is a duplicate.
/// Two generations, so that forgetting is never all at once. Older retries are resolved when a query reads.
pub(crate) struct Recent {
    /// Random for each process: nobody can make two records that look alike.
    secret: Box<[u8; SECRET_BYTES]>,
    generations: Mutex<(Prints, Prints)>,
}

type Prints = FxHashSet<u128>;

/// Room for a generation, so that it never grows: moving half a million prints takes tens of milliseconds, for which
/// every sender would wait.
fn generation() -> Prints {
    Prints::with_capacity_and_hasher(limits::RECENT_RECORDS_MAX / 2 + limits::REQUEST_EVENTS_MAX, Default::default())
}

/// Of the hash of a record; at least 136.
const SECRET_BYTES: usize = 192;

impl Default for Recent {
    fn default() -> Recent {
        let mut secret = Box::new([0; SECRET_BYTES]);
        aws_lc_rs::rand::fill(&mut *secret).expect("the system has randomness");
        Recent { secret, generations: Mutex::new((generation(), Prints::default())) }
    }
}

impl Recent {
    fn print(&self, project: &Project, record: &[u8]) -> u128 {
        let hash = XxHash3_128::oneshot_with_secret(&self.secret[..], record).expect("the secret is long enough");
        // Projects that send the same record do not meet.
        hash ^ u128::from(project.id.0).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }

    /// Those of the prints that were remembered.
    fn seen(&self, prints: &[u128]) -> Vec<bool> {
        let generations = self.generations.lock().expect("never left half changed");
        prints.iter().map(|print| generations.0.contains(print) || generations.1.contains(print)).collect()
    }

    fn remember(&self, prints: impl Iterator<Item = u128>) {
        let mut generations = self.generations.lock().expect("never left half changed");
        generations.0.extend(prints);
        if generations.0.len() > limits::RECENT_RECORDS_MAX / 2 {
            let full = std::mem::replace(&mut generations.0, generation());
            let forgotten = std::mem::replace(&mut generations.1, full);
            // Whoever waits need not wait for memory to be given back.
            drop(generations);
            drop(forgotten);
        }
    }
}

/// What one request holds for each project: nearly always one.
type ByProject<T> = FxHashMap<ProjectId, (Arc<Project>, T)>;

/// Events of one project, checked, on their way.
#[derive(Default)]
struct Batch<'a> {
    /// Each with its print, if a retry of it can be told: without an insert id two equal events are two events.
    events: Vec<(ValidEvent<'a>, Option<u128>)>,
    ignored: usize,
}

impl Engine {
    /// Takes in the body of `/track` or `/import`. `project` is that of the request's credentials, if it has any;
    /// otherwise each record names its own by token. `address` is where the sender is, if a place is to be made of it.
    ///
    /// # Errors
    /// Only when nothing of the request could be stored: the sender should send it again.
    pub async fn ingest(
        &self,
        body: &[u8],
        door: Door,
        project: Option<Arc<Project>>,
        address: Option<IpAddr>,
    ) -> Result<Report> {
        let source = if door == Door::Track { Source::Track } else { Source::Import };
        let mut report = Report::default();
        let records = wire::read_events(body);
        let Some(records) = self.bounded(records, source, project.as_deref(), &mut report) else { return Ok(report) };
        let now_us = self.now_us();
        let mut batches: ByProject<Batch<'_>> = FxHashMap::default();
        // Records of one request nearly always name the same project.
        let mut last: Option<(String, Arc<Project>)> = None;
        for (index, record) in records.into_iter().enumerate() {
            let event = match record.read {
                Ok(event) => event,
                Err(reason) => {
                    self.refuse(&mut report, source, project.as_deref(), index, String::new(), reason);
                    continue;
                }
            };
            let insert_id = event.insert_id().to_owned();
            let owner = match (&project, event.token(), &last) {
                (None, Some(token), Some((last, owner))) if token == last => owner.clone(),
                (_, token, _) => match self.owner(&project, token) {
                    Ok(owner) => {
                        last = token.map(|token| (token.to_owned(), owner.clone()));
                        owner
                    }
                    Err(reason) => {
                        self.refuse(&mut report, source, None, index, insert_id, reason);
                        continue;
                    }
                },
            };
            match wire::validate(event, door, owner.mode, now_us) {
                Err(reason) => self.refuse(&mut report, source, Some(&owner), index, insert_id, reason),
                Ok(Record::Ignored) => {
                    batches.entry(owner.id).or_insert_with(|| (owner, Batch::default())).1.ignored += 1;
                }
                Ok(Record::Event(event)) => {
                    let print = (!insert_id.is_empty()).then(|| self.recent.print(&owner, record.bytes));
                    let batch = &mut batches.entry(owner.id).or_insert_with(|| (owner, Batch::default())).1;
                    batch.events.push((event, print));
                }
            }
        }
        let mut failed = None;
        for (owner, batch) in batches.into_values() {
            self.outcomes.received(Some(owner.id), batch.events.len() + batch.ignored);
            self.outcomes.ended(Some(owner.id), Outcome::Ignored, batch.ignored);
            report.stored += batch.ignored;
            let (events, prints, duplicates) = self.new_ones(batch.events);
            self.outcomes.ended(Some(owner.id), Outcome::Duplicate, duplicates);
            report.stored += duplicates;
            let count = events.len();
            match self.store(&owner, events, prints, source, Arrival { now_us, address }).await {
                Ok(()) => {
                    self.outcomes.ended(Some(owner.id), Outcome::Accepted, count);
                    report.stored += count;
                }
                Err(error) => {
                    self.outcomes.ended(Some(owner.id), Outcome::Rejected(Reason::Unavailable), count);
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(report),
        }
    }

    /// Those of a request's events that were not sent before, with their prints, and how many were.
    fn new_ones<'a>(&self, events: Vec<(ValidEvent<'a>, Option<u128>)>) -> (Vec<ValidEvent<'a>>, Vec<u128>, usize) {
        let prints: Vec<u128> = events.iter().filter_map(|(_, print)| *print).collect();
        let mut seen = self.recent.seen(&prints).into_iter();
        let mut in_request = FxHashSet::with_capacity_and_hasher(prints.len(), Default::default());
        let all = events.len();
        let mut fresh = Vec::with_capacity(prints.len());
        let events: Vec<ValidEvent<'a>> = events
            .into_iter()
            .filter_map(|(event, print)| {
                if let Some(print) = print {
                    let seen = seen.next().unwrap_or(false);
                    if seen || !in_request.insert(print) {
                        return None;
                    }
                    fresh.push(print);
                }
                Some(event)
            })
            .collect();
        let duplicates = all - events.len();
        (events, fresh, duplicates)
    }

    /// Seals and stores the events of one project.
    async fn store(
        &self,
        project: &Project,
        events: Vec<ValidEvent<'_>>,
        prints: Vec<u128>,
        source: Source,
        arrival: Arrival,
    ) -> Result<()> {
        let Sealed { mut events, trails, values, secrets, quarantined, quarantine_lost } =
            self.vault.seal(project.id, events, arrival, limits::LIVE_EVENTS_KEPT).await?;
        let received_us = self.now_us();
        let shown = events.len() - trails.len();
        let arrived: Vec<Arrived> = events[shown..]
            .iter()
            .zip(trails)
            .map(|(event, trail)| Arrived::accepted(received_us, source, event.clone(), trail))
            .collect();
        // What only links ids was done when it was sealed, durably.
        events.retain(|event| !wire::is_about_identity(&event.name));
        self.lake.append(project.id, events).await.map_err(|error| match error {
            cofferdam_lake::Error::Busy => Error::Busy,
            other => Error::Store(other),
        })?;
        self.recent.remember(prints.into_iter());
        self.outcomes.sealed(project.id, values, secrets);
        self.outcomes.quarantined(project.id, quarantined, quarantine_lost);
        self.publish(project.id, arrived).await;
        Ok(())
    }

    /// Takes in the body of `/engage` or `/groups`.
    ///
    /// # Errors
    /// As for [`Engine::ingest`].
    pub async fn update_profiles(
        &self,
        body: &[u8],
        kind: ProfileKind,
        project: Option<Arc<Project>>,
    ) -> Result<Report> {
        let source = if kind == ProfileKind::Person { Source::Engage } else { Source::Groups };
        let mut report = Report::default();
        let records = wire::split(body);
        let Some(records) = self.bounded(records, source, project.as_deref(), &mut report) else { return Ok(report) };
        let now_us = self.now_us();
        let mut batches: ByProject<Vec<(usize, ProfileUpdate)>> = FxHashMap::default();
        for (index, record) in records.into_iter().enumerate() {
            let object = match wire::read_object(record) {
                Ok(object) => object,
                Err(reason) => {
                    self.refuse(&mut report, source, project.as_deref(), index, String::new(), reason);
                    continue;
                }
            };
            let owner = match self.owner(&project, wire::token_of(&object)) {
                Ok(owner) => owner,
                Err(reason) => {
                    self.refuse(&mut report, source, None, index, String::new(), reason);
                    continue;
                }
            };
            match wire::validate_update(object, kind, owner.mode, now_us) {
                Err(reason) => self.refuse(&mut report, source, Some(&owner), index, String::new(), reason),
                Ok(None) => {
                    self.outcomes.received(Some(owner.id), 1);
                    self.outcomes.ended(Some(owner.id), Outcome::Ignored, 1);
                    report.stored += 1;
                }
                Ok(Some(update)) => {
                    self.outcomes.received(Some(owner.id), 1);
                    batches.entry(owner.id).or_insert_with(|| (owner, Vec::new())).1.push((index, update));
                }
            }
        }
        let mut failed = None;
        for (owner, updates) in batches.into_values() {
            let (indices, updates): (Vec<usize>, Vec<ProfileUpdate>) = updates.into_iter().unzip();
            let results = match self.vault.update_profiles(owner.id, updates).await {
                Ok((results, 0)) => results,
                Ok((results, _)) => {
                    // The keys are gone in any case; that the ledger failed is for whoever asked to know.
                    let recorded = self.record(cofferdam_ledger::Kind::Shredded, None, owner.id.0).await;
                    failed = recorded.err().or(failed);
                    results
                }
                Err(error) => {
                    self.outcomes.ended(Some(owner.id), Outcome::Rejected(Reason::Unavailable), indices.len());
                    failed = Some(error.into());
                    continue;
                }
            };
            let received_us = self.now_us();
            let mut live = Vec::new();
            for (index, result) in indices.into_iter().zip(results) {
                match result {
                    Ok((subject, trail)) => {
                        let (values, secrets) = guarded(trail.iter());
                        self.outcomes.sealed(owner.id, values, secrets);
                        self.outcomes.ended(Some(owner.id), Outcome::Accepted, 1);
                        report.stored += 1;
                        live.push(Arrived::updated(received_us, source, subject, trail));
                    }
                    Err(reason) => {
                        self.outcomes.ended(Some(owner.id), Outcome::Rejected(reason), 1);
                        report.refused.push(RefusedRecord { index, insert_id: String::new(), reason });
                    }
                }
            }
            let shown = live.len().saturating_sub(limits::LIVE_EVENTS_KEPT);
            self.publish(owner.id, live.split_off(shown)).await;
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(report),
        }
    }

    /// The records of a body. A body that cannot be cut is one refused record; one with too many is refused whole.
    fn bounded<T>(
        &self,
        records: Result<Vec<T>, Reason>,
        source: Source,
        project: Option<&Project>,
        report: &mut Report,
    ) -> Option<Vec<T>> {
        match records {
            Ok(records) if records.len() > limits::REQUEST_EVENTS_MAX => {
                report.received = records.len();
                let id = project.map(|project| project.id);
                self.outcomes.received(id, records.len());
                self.outcomes.ended(id, Outcome::Rejected(Reason::TooManyEvents), records.len());
                report.refused.push(RefusedRecord {
                    index: 0,
                    insert_id: String::new(),
                    reason: Reason::TooManyEvents,
                });
                None
            }
            Ok(records) => {
                report.received = records.len();
                Some(records)
            }
            Err(reason) => {
                report.received = 1;
                self.refuse(report, source, project, 0, String::new(), reason);
                None
            }
        }
    }

    /// Whose record it is: the credentials decide, then the record's token.
    fn owner(&self, project: &Option<Arc<Project>>, token: Option<&str>) -> Result<Arc<Project>, Reason> {
        match (project, token) {
            (Some(project), _) => Ok(project.clone()),
            (None, Some(token)) => self.project_by_token(token).ok_or(Reason::TokenUnknown),
            (None, None) => Err(Reason::TokenMissing),
        }
    }

    fn refuse(
        &self,
        report: &mut Report,
        source: Source,
        project: Option<&Project>,
        index: usize,
        insert_id: String,
        reason: Reason,
    ) {
        let id = project.map(|project| project.id);
        self.outcomes.received(id, 1);
        self.outcomes.ended(id, Outcome::Rejected(reason), 1);
        if let Some(id) = id {
            self.live.publish(id, vec![(Arrived::refused(self.now_us(), source, reason), None)]);
        }
        report.refused.push(RefusedRecord { index, insert_id, reason });
    }

    /// Puts records into the live feed. The feed is a convenience: it never fails a request, and what persons are
    /// called is looked up only when somebody looks on.
    async fn publish(&self, project: ProjectId, records: Vec<Arrived>) {
        if self.live.is_watched(project) {
            let records = self.named(project, records).await;
            self.live.publish(project, records);
        } else {
            self.live.publish(project, records.into_iter().map(|record| (record, None)).collect());
        }
    }

    /// Records with what their persons are called.
    async fn named(&self, project: ProjectId, records: Vec<Arrived>) -> Vec<(Arrived, Option<String>)> {
        let merges = self.vault.merges(project);
        let person = |record: &Arrived| record.subject().map(|subject| merges.canonical(subject));
        let persons: Vec<SubjectNo> = records.iter().filter_map(person).collect();
        let names = self.vault.pseudonyms(project, &persons).await.unwrap_or_default();
        let name = |record: &Arrived| person(record).and_then(|person| names.get(&person).cloned());
        records.into_iter().map(|record| (name(&record), record)).map(|(name, record)| (record, name)).collect()
    }

    /// The last records of a project and those to come, all as they were kept: [`Engine::masked`] is what may be shown.
    pub async fn follow(
        &self,
        project: &Project,
    ) -> (Vec<LiveEvent>, tokio::sync::broadcast::Receiver<Arc<LiveEvent>>) {
        let (recent, coming) = self.live.follow(project.id);
        if self.is_sealed(project) {
            self.live.close(project.id);
            return (Vec::new(), coming);
        }
        let (ids, records): (Vec<u64>, Vec<Arrived>) = recent.into_iter().unzip();
        let records = self.named(project.id, records).await;
        let events = ids.into_iter().zip(records).map(|(id, (record, name))| record.show(id, name)).collect();
        (events, coming)
    }
}

/// How many values were sealed or pseudonymised, and how many secrets dropped.
fn guarded<'a>(trail: impl Iterator<Item = &'a Handled>) -> (usize, usize) {
    trail.fold((0, 0), |(values, secrets), Handled { class, action, .. }| {
        let sealed = matches!(action, Action::Sealed | Action::Pseudonymised);
        (values + usize::from(sealed), secrets + usize::from(*class == Class::C5))
    })
}

/// A value as JSON for people.
pub(crate) fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::String(text) => text.clone().into(),
        Value::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => (*number as i64).into(),
        Value::Number(number) => (*number).into(),
        Value::Bool(value) => (*value).into(),
        Value::Time(time) => cofferdam_query::calendar::utc_text(*time).into(),
        Value::List(items) => items.clone().into(),
        Value::Object(text) => serde_json::from_str(text).unwrap_or(serde_json::Value::Null),
    }
}
