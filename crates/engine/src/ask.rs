//! Asking: questions to answers, on a pool of threads, with pseudonyms for persons.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use cofferdam_model::cohort::CohortRule;
use cofferdam_model::query::EventsQuery;
use cofferdam_model::result::{
    EventRow, EventsTable, PersonRow, PersonsTable, ProfileProperty, ResultTable, SealedProperty,
};
use cofferdam_model::{Action, Answer, Class, Detector, Query, SubjectNo, limits};
use cofferdam_query::calendar::utc_text;
use cofferdam_query::{EventFound, Input, Needs, Output, People, PersonFound};
use serde::Serialize;
use utoipa::ToSchema;

use crate::ingest::json;
use crate::outcomes::OutcomeCounts;
use crate::sight::{Confined, Shown, Sight, device_or_place};
use crate::{Engine, Error, Project, Result};

/// How a project is doing.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Status {
    /// Stored events, after duplicates.
    pub events: u64,
    /// Persons with an event.
    pub persons: u64,
    /// RFC 3339, UTC.
    pub first_event_at: Option<String>,
    pub last_event_at: Option<String>,
    pub outcomes: OutcomeCounts,
    /// Values sealed or pseudonymised at the door since the server started.
    pub sealed_values: u64,
    /// Secrets dropped at the door since the server started.
    pub dropped_secrets: u64,
}

/// An entry of the data dictionary.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PropertyKnown {
    pub name: String,
    /// `string`, `number`, `boolean`, `time`, `list`, `object`; empty when no event keeps it.
    pub types: Vec<String>,
    pub class: Class,
    pub action: Action,
    /// What decided.
    pub detector: Detector,
}

/// Dropped with the future of a question: tells its threads that nobody waits for them.
#[derive(Default)]
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What an operator's error means to whoever asked.
pub(crate) fn refusal(error: cofferdam_query::Error) -> Error {
    let refused = |code, message| Error::Refused { code, message, hint: None };
    match error {
        cofferdam_query::Error::Invalid(message) => refused("invalid_query", message),
        error @ cofferdam_query::Error::TooLarge => refused("answer_too_large", error.to_string()),
        cofferdam_query::Error::Lake(error) => Error::Store(error),
        cofferdam_query::Error::Cancelled | cofferdam_query::Error::Unprepared => Error::Interrupted,
    }
}

impl Engine {
    /// Runs something over a snapshot of everything acknowledged so far, off the async threads. It ends early when
    /// whoever asked goes away.
    pub(crate) async fn on_snapshot<T: Send + 'static>(
        &self,
        project: &Arc<Project>,
        person: Option<SubjectNo>,
        people: People,
        run: impl FnOnce(&Input<'_>) -> cofferdam_query::Result<T> + Send + 'static,
    ) -> Result<(T, u64)> {
        let permit = self.asking.clone().acquire_owned().await.map_err(|_| Error::Interrupted)?;
        let lake = self.lake.clone();
        let vault = self.vault.clone();
        let (project, asked) = (project.clone(), project.clone());
        let now_us = self.now_us();
        let gone = Gone::default();
        let cancel = gone.0.clone();
        let task = tokio::task::spawn_blocking(move || {
            // Held while the work goes on, also when whoever asked has gone.
            let _permit = permit;
            let snapshot = lake.snapshot(project.id)?;
            // After the snapshot: merges are durable before the events that need them.
            let merges = vault.merges(project.id);
            let mut input = Input::new(&snapshot, &merges, &project.zone, now_us, &people);
            input.person = person;
            input.cancel = Some(&cancel);
            let output = run(&input)?;
            Ok((output, input.scanned.load(Ordering::Relaxed)))
        });
        let output = task.await.map_err(|_| Error::Interrupted)?.map_err(refusal)?;
        // Sealed while it was computed: nobody gets it.
        self.check_unsealed(&asked)?;
        Ok(output)
    }

    /// Answers a question about a project, as far as whoever asks may see device and place.
    ///
    /// # Errors
    /// When it cannot be asked like this, or only of exact numbers that whoever asks may not have.
    pub async fn ask(&self, project: &Arc<Project>, query: Query, sight: Sight) -> Result<Answer> {
        let needs = Needs::of(&query);
        // Lists are not counts: who may see them at all was decided before.
        let is_list = matches!(query, Query::Persons(_) | Query::Events(_));
        let confined = if sight.is_exact || is_list { None } else { self.confined(project, &needs).await? };
        let few = match (confined, &query) {
            (None, _) => None,
            (Some(confined), Query::Insights(asked))
                if cofferdam_query::can_leave_few_out(asked, &|filter| confined.has(filter)) =>
            {
                Some((self.alike.few(sight.asker, asked, self.now_us()), confined))
            }
            _ => return device_or_place(),
        };
        Ok(self.answer(project, query, needs, Shown { has_masks: sight.has_masks, few }).await?.0)
    }

    /// The answer, and whom a list names.
    pub(crate) async fn answer(
        &self,
        project: &Arc<Project>,
        query: Query,
        needs: Needs,
        shown: Shown,
    ) -> Result<(Answer, Vec<SubjectNo>)> {
        let started = Instant::now();
        let person = match &query {
            Query::Events(EventsQuery { person: Some(pseudonym), .. }) => {
                Some(self.vault.subject_of(project.id, pseudonym).await?.ok_or(Error::NotFound("person"))?)
            }
            _ => None,
        };
        let people = self.people(project, needs, self.now_us()).await?;
        let Shown { has_masks, few } = shown;
        let run = move |input: &Input<'_>| match (&query, &few) {
            (Query::Insights(query), Some((few, confined))) => {
                cofferdam_query::insights_without_few(input, query, *few, &|filter| confined.has(filter))
                    .map(|table| Output::Table(ResultTable::Insights(table)))
            }
            _ => cofferdam_query::run(input, &query),
        };
        let (output, events_scanned) = self.on_snapshot(project, person, people, run).await?;
        // Names whose values stay behind, of a row's.
        let masked = |properties: &mut Vec<ProfileProperty>| {
            let is_masked = |property: &mut ProfileProperty| self.vault.is_masked(project.id, &property.name);
            let taken = if has_masks { properties.extract_if(.., is_masked).collect() } else { Vec::new() };
            taken.into_iter().map(|property| property.name).collect()
        };
        let mut subjects = Vec::new();
        let table = match output {
            Output::Table(table) => table,
            Output::Persons { total, persons } => {
                subjects.extend(persons.iter().map(|person| person.subject));
                let names = self.vault.pseudonyms(project.id, &subjects).await?;
                let mut profiles = self.vault.profiles(project.id, &subjects).await?;
                let person = |person: PersonFound| {
                    let (properties, sealed) = profiles
                        .remove(&person.subject)
                        .map_or_else(Default::default, |view| (view.properties, view.sealed));
                    let mut properties =
                        properties.into_iter().map(|(name, value)| ProfileProperty { name, value }).collect();
                    PersonRow {
                        pseudonym: names.get(&person.subject).cloned().unwrap_or_default(),
                        first_seen: utc_text(person.first_us),
                        last_seen: utc_text(person.last_us),
                        events: person.events,
                        masked: masked(&mut properties),
                        properties,
                        sealed: sealed.into_iter().map(|(name, class)| SealedProperty { name, class }).collect(),
                    }
                };
                let persons = persons.into_iter().map(person).collect();
                ResultTable::Persons(PersonsTable { total, persons })
            }
            Output::Events(events) => {
                subjects.extend(events.iter().map(|event| event.subject));
                let names = self.vault.pseudonyms(project.id, &subjects).await?;
                let event = |event: EventFound| {
                    let property = |(name, value): (String, _)| ProfileProperty { name, value: json(&value) };
                    let mut properties = event.properties.into_iter().map(property).collect();
                    EventRow {
                        pseudonym: names.get(&event.subject).cloned().unwrap_or_default(),
                        time: utc_text(event.time_us),
                        masked: masked(&mut properties),
                        properties,
                        event: event.event,
                    }
                };
                ResultTable::Events(EventsTable { events: events.into_iter().map(event).collect() })
            }
        };
        let answer = Answer {
            table,
            computed_at: utc_text(self.now_us()),
            duration_ms: started.elapsed().as_secs_f64() * 1e3,
            events_scanned,
            exact: true,
            time_zone: project.zone.iana_name().unwrap_or("UTC").to_owned(),
        };
        Ok((answer, subjects))
    }

    /// What an answer depends on that is of device or place; none if nothing is.
    async fn confined(&self, project: &Project, needs: &Needs) -> Result<Option<Confined>> {
        let is_masked = |name: &&String| self.vault.is_masked(project.id, name);
        let mut confined = Confined::default();
        confined.properties.extend(needs.properties.iter().filter(is_masked).cloned());
        if !needs.cohorts.is_empty() {
            // Oldest first: what a cohort is made of was there before it.
            for row in self.meta.cohorts(project.id).await? {
                if let CohortRule::Dynamic { condition } = row.rule()? {
                    let made_of = Needs::of_condition(&condition);
                    if made_of.properties.iter().any(|name| is_masked(&name))
                        || made_of.cohorts.iter().any(|id| confined.cohorts.contains(id))
                    {
                        confined.cohorts.insert(row.id());
                    }
                }
            }
            confined.cohorts.retain(|id| needs.cohorts.contains(id));
        }
        Ok(Some(confined).filter(|confined| !confined.is_empty()))
    }

    /// Event names with counts, most frequent first.
    pub async fn event_names(&self, project: &Arc<Project>) -> Result<Vec<(String, u64)>> {
        Ok(self.on_snapshot(project, None, People::default(), cofferdam_query::event_names).await?.0)
    }

    /// The most frequent values of a property.
    pub async fn property_values(
        &self,
        project: &Arc<Project>,
        property: String,
        search: String,
        limit: usize,
        sight: Sight,
    ) -> Result<Vec<(String, u64)>> {
        let is_open = sight.is_exact || !self.vault.is_masked(project.id, &property);
        let few = if is_open { 0 } else { limits::FEW_PERSONS };
        let run =
            move |input: &Input<'_>| cofferdam_query::property_values(input, &property, &search, limit.min(500), few);
        Ok(self.on_snapshot(project, None, People::default(), run).await?.0)
    }

    /// Every property seen, with its types and what the door does with it.
    pub async fn properties(&self, project: &Arc<Project>) -> Result<Vec<PropertyKnown>> {
        let (keys, _) = self.on_snapshot(project, None, People::default(), |input| Ok(input.snapshot.keys())).await?;
        let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for key in keys {
            types.entry(key.name).or_default().push(key.property_type.word().to_owned());
        }
        let dictionary = self.vault.dictionary(project.id);
        Ok(dictionary
            .into_iter()
            .map(|known| PropertyKnown {
                types: types.remove(&known.name).unwrap_or_default(),
                name: known.name,
                class: known.class,
                action: known.action,
                detector: known.by,
            })
            .collect())
    }

    pub async fn status(&self, project: &Arc<Project>) -> Result<Status> {
        let run = |input: &Input<'_>| Ok((cofferdam_query::totals(input)?, input.snapshot.time_us()));
        let (((events, persons), times), _) = self.on_snapshot(project, None, People::default(), run).await?;
        let (sealed_values, dropped_secrets) = self.outcomes.guarded(project.id);
        Ok(Status {
            events,
            persons,
            first_event_at: times.map(|(first, _)| utc_text(first)),
            last_event_at: times.map(|(_, last)| utc_text(last)),
            outcomes: self.outcomes.counts(project.id),
            sealed_values,
            dropped_secrets,
        })
    }
}
