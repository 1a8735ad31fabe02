//! Taking in: a body becomes records, each record one outcome.
//!
//! Steps 2 to 4 of the life of an event (see the crate's head). Counting is done where a record's fate is decided,
//! once: `received` when it is cut from the body, its outcome when it leaves this file.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};

use cofferdam_model::{Action, Class, Outcome, ProjectId, Reason, SealedEvent, SubjectNo, Value, limits};
use cofferdam_vault::wire::{self, Door, ProfileKind, ProfileUpdate, Record, ValidEvent};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::live::{LiveEvent, LiveProperty, Source};
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
    hashers: (RandomState, RandomState),
    generations: Mutex<(FxHashSet<u128>, FxHashSet<u128>)>,
}

impl Default for Recent {
    fn default() -> Recent {
        Recent { hashers: (RandomState::new(), RandomState::new()), generations: Mutex::default() }
    }
}

impl Recent {
    fn print(&self, project: &Project, record: &[u8]) -> u128 {
        let (first, second) = &self.hashers;
        let key = (project.id, record);
        u128::from(first.hash_one(key)) << 64 | u128::from(second.hash_one(key))
    }

    fn seen(&self, print: u128) -> bool {
        let generations = self.generations.lock().expect("never left half changed");
        generations.0.contains(&print) || generations.1.contains(&print)
    }

    fn remember(&self, prints: impl Iterator<Item = u128>) {
        let mut generations = self.generations.lock().expect("never left half changed");
        generations.0.extend(prints);
        if generations.0.len() > limits::RECENT_RECORDS_MAX / 2 {
            let old = std::mem::take(&mut generations.0);
            generations.1 = old;
        }
    }
}

/// What one request holds for each project: nearly always one.
type ByProject<T> = FxHashMap<ProjectId, (Arc<Project>, T)>;

/// Events of one project, checked, on their way.
#[derive(Default)]
struct Batch {
    events: Vec<ValidEvent>,
    prints: Vec<u128>,
}

impl Engine {
    /// Takes in the body of `/track` or `/import`. `project` is that of the request's credentials, if it has any;
    /// otherwise each record names its own by token.
    ///
    /// # Errors
    /// Only when nothing of the request could be stored: the sender should send it again.
    pub async fn ingest(&self, body: &[u8], door: Door, project: Option<Arc<Project>>) -> Result<Report> {
        let source = if door == Door::Track { Source::Track } else { Source::Import };
        let mut report = Report::default();
        let Some(records) = self.split(body, source, project.as_deref(), &mut report) else { return Ok(report) };
        let now_us = self.now_us();
        let mut batches: ByProject<Batch> = FxHashMap::default();
        let mut in_request: FxHashSet<u128> = FxHashSet::default();
        for (index, record) in records.into_iter().enumerate() {
            let object = match wire::read_object(record) {
                Ok(object) => object,
                Err(reason) => {
                    self.refuse(&mut report, source, project.as_deref(), index, String::new(), reason);
                    continue;
                }
            };
            let insert_id = wire::insert_id_of(&object);
            let owner = match self.owner(&project, wire::token_of(&object)) {
                Ok(owner) => owner,
                Err(reason) => {
                    self.refuse(&mut report, source, None, index, insert_id, reason);
                    continue;
                }
            };
            match wire::validate(object, door, owner.mode, now_us) {
                Err(reason) => self.refuse(&mut report, source, Some(&owner), index, insert_id, reason),
                Ok(Record::Ignored) => {
                    self.outcomes.received(Some(owner.id), 1);
                    self.outcomes.ended(Some(owner.id), Outcome::Ignored, 1);
                    report.stored += 1;
                }
                Ok(Record::Event(event)) => {
                    self.outcomes.received(Some(owner.id), 1);
                    // Without an insert id two equal events are two events.
                    if !insert_id.is_empty() {
                        let print = self.recent.print(&owner, record);
                        if !in_request.insert(print) || self.recent.seen(print) {
                            self.outcomes.ended(Some(owner.id), Outcome::Duplicate, 1);
                            report.stored += 1;
                            continue;
                        }
                        batches
                            .entry(owner.id)
                            .or_insert_with(|| (owner.clone(), Batch::default()))
                            .1
                            .prints
                            .push(print);
                    }
                    batches.entry(owner.id).or_insert_with(|| (owner, Batch::default())).1.events.push(event);
                }
            }
        }
        let mut failed = None;
        for (owner, batch) in batches.into_values() {
            let count = batch.events.len();
            match self.store(&owner, batch, source).await {
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

    /// Seals and stores the events of one project.
    async fn store(&self, project: &Project, batch: Batch, source: Source) -> Result<()> {
        let sealed = self.vault.seal(project.id, batch.events).await?;
        let counts = guarded(sealed.iter().flat_map(|sealed| &sealed.trail));
        let shown = sealed.len().saturating_sub(limits::LIVE_EVENTS_KEPT);
        let subjects: Vec<SubjectNo> = sealed[shown..].iter().map(|sealed| sealed.event.subject).collect();
        let mut live: Vec<(SubjectNo, LiveEvent)> = Vec::with_capacity(subjects.len());
        let received_at = cofferdam_query::calendar::utc_text(self.now_us());
        for sealed in &sealed[shown..] {
            let mut event = blank(&received_at, source, Outcome::Accepted);
            event.event = Some(sealed.event.name.clone());
            event.time = Some(cofferdam_query::calendar::utc_text(sealed.event.time_us));
            event.properties = live_properties(&sealed.trail, &sealed.event);
            live.push((sealed.event.subject, event));
        }
        // What only links ids was done when it was sealed, durably.
        let events: Vec<SealedEvent> = sealed
            .into_iter()
            .map(|sealed| sealed.event)
            .filter(|event| !wire::is_about_identity(&event.name))
            .collect();
        self.lake.append(project.id, events).await.map_err(|error| match error {
            cofferdam_lake::Error::Busy => Error::Busy,
            other => Error::Store(other),
        })?;
        self.recent.remember(batch.prints.into_iter());
        self.outcomes.sealed(project.id, counts.0, counts.1);
        self.publish(project, live).await;
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
        let Some(records) = self.split(body, source, project.as_deref(), &mut report) else { return Ok(report) };
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
                Ok(results) => results,
                Err(error) => {
                    self.outcomes.ended(Some(owner.id), Outcome::Rejected(Reason::Unavailable), indices.len());
                    failed = Some(Error::Vault(error));
                    continue;
                }
            };
            let received_at = cofferdam_query::calendar::utc_text(self.now_us());
            let mut live = Vec::new();
            for (index, result) in indices.into_iter().zip(results) {
                match result {
                    Ok((subject, trail)) => {
                        let (values, secrets) = guarded(trail.iter());
                        self.outcomes.sealed(owner.id, values, secrets);
                        self.outcomes.ended(Some(owner.id), Outcome::Accepted, 1);
                        report.stored += 1;
                        let mut event = blank(&received_at, source, Outcome::Accepted);
                        event.properties = trail
                            .into_iter()
                            .map(|(name, class, action)| LiveProperty { name, class, action, value: None })
                            .collect();
                        live.push((subject, event));
                    }
                    Err(reason) => {
                        self.outcomes.ended(Some(owner.id), Outcome::Rejected(reason), 1);
                        report.refused.push(RefusedRecord { index, insert_id: String::new(), reason });
                    }
                }
            }
            let shown = live.len().saturating_sub(limits::LIVE_EVENTS_KEPT);
            self.publish(&owner, live.split_off(shown)).await;
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(report),
        }
    }

    /// Cuts a body. A body that cannot be cut is one refused record; one with too many is refused whole.
    fn split<'a>(
        &self,
        body: &'a [u8],
        source: Source,
        project: Option<&Project>,
        report: &mut Report,
    ) -> Option<Vec<&'a [u8]>> {
        match wire::split(body) {
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
            let received_at = cofferdam_query::calendar::utc_text(self.now_us());
            self.live.publish(id, vec![blank(&received_at, source, Outcome::Rejected(reason))]);
        }
        report.refused.push(RefusedRecord { index, insert_id, reason });
    }

    /// Puts records into the live feed under the pseudonyms of their persons. The feed is a convenience: it never
    /// fails a request.
    async fn publish(&self, project: &Project, records: Vec<(SubjectNo, LiveEvent)>) {
        let merges = self.vault.merges(project.id);
        let subjects: Vec<SubjectNo> = records.iter().map(|(subject, _)| merges.canonical(*subject)).collect();
        let names = self.vault.pseudonyms(project.id, &subjects).await.unwrap_or_default();
        let events = records
            .into_iter()
            .zip(&subjects)
            .map(|((_, mut event), subject)| {
                event.pseudonym = names.get(subject).cloned();
                event
            })
            .collect();
        self.live.publish(project.id, events);
    }
}

/// How many values were sealed or pseudonymised, and how many secrets dropped.
fn guarded<'a>(trail: impl Iterator<Item = &'a (String, Class, Action)>) -> (usize, usize) {
    trail.fold((0, 0), |(values, secrets), (_, class, action)| {
        let sealed = matches!(action, Action::Sealed | Action::Pseudonymised);
        (values + usize::from(sealed), secrets + usize::from(*class == Class::C5))
    })
}

fn blank(received_at: &str, source: Source, outcome: Outcome) -> LiveEvent {
    let (outcome, reason) = match outcome {
        Outcome::Accepted => ("accepted", None),
        Outcome::Duplicate => ("duplicate", None),
        Outcome::Ignored => ("ignored", None),
        Outcome::Rejected(reason) => ("rejected", Some(reason.word().to_owned())),
    };
    LiveEvent {
        id: 0,
        received_at: received_at.to_owned(),
        time: None,
        event: None,
        pseudonym: None,
        source,
        outcome: outcome.to_owned(),
        reason,
        properties: Vec::new(),
    }
}

fn live_properties(trail: &[(String, Class, Action)], event: &SealedEvent) -> Vec<LiveProperty> {
    trail
        .iter()
        .map(|(name, class, action)| {
            let kept = event.properties.iter().find(|(other, _)| other == name).map(|(_, value)| json(value));
            LiveProperty { name: name.clone(), class: *class, action: *action, value: kept }
        })
        .collect()
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
