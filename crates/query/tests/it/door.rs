//! Asks the operators about a world, with the sets of persons made as whoever may read profiles makes them.

use std::sync::Arc;

use cofferdam_lake::Snapshot;
use cofferdam_model::query::{Filter, InsightsQuery};
use cofferdam_model::result::{InsightsTable, ResultTable};
use cofferdam_model::{Merges, Query, SubjectNo, SubjectSet, SubjectValues};
use cofferdam_query::{Error, Input, Needs, Output, People, insights_without_few, members, passes, run};

use crate::world::{Cohort, World};

/// How the same events are cut up: an answer must not depend on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// A power of two.
    pub buckets: u32,
    pub pieces: usize,
    pub threads: usize,
}

pub(crate) const LAYOUTS: [Layout; 4] = [
    Layout { buckets: 1, pieces: 1, threads: 1 },
    Layout { buckets: 4, pieces: 3, threads: 2 },
    Layout { buckets: 2, pieces: 7, threads: 3 },
    Layout { buckets: 8, pieces: 2, threads: 1 },
];

pub(crate) fn ask(world: &World, query: &Query, layout: Layout) -> Result<Output, Error> {
    let output = Asked::new(world, query, layout)?.with_input(layout, |input| run(input, query))?;
    if let Output::Table(ResultTable::Funnel(table)) = &output {
        let results = [&table.overall].into_iter().chain(table.segments.iter().map(|segment| &segment.result));
        results.chain(table.trend.iter().map(|bucket| &bucket.result)).for_each(check_distribution);
    }
    Ok(output)
}

/// Insights without numbers of few persons.
pub(crate) fn ask_without_few(
    world: &World,
    query: &InsightsQuery,
    few: u64,
    is_confined: &dyn Fn(&Filter) -> bool,
    layout: Layout,
) -> InsightsTable {
    let asked = Asked::new(world, &Query::Insights(query.clone()), layout).unwrap();
    asked.with_input(layout, |input| insights_without_few(input, query, few, is_confined)).unwrap()
}

/// The buckets of the time to convert are the operator's choice, but hold every conversion.
fn check_distribution(result: &cofferdam_model::result::FunnelResult) {
    let converted = result.steps.last().map_or(0, |step| step.count);
    match &result.time_to_convert {
        None => assert_eq!(converted, 0, "conversions without a time to convert"),
        Some(time) => {
            assert_eq!(time.counts.iter().sum::<u64>(), converted, "{time:?}");
            assert_eq!(time.edges_ms.len(), time.counts.len() + 1, "{time:?}");
            assert!(time.edges_ms.windows(2).all(|pair| pair[0] < pair[1]), "{time:?}");
            // The bucket that the median is in has so many conversions below and up to it.
            let bucket = time.edges_ms[1..time.counts.len()].partition_point(|edge| *edge <= time.median_ms);
            let below: u64 = time.counts[..bucket].iter().sum();
            let middle = (converted - 1) / 2;
            assert!(below <= middle && middle < below + time.counts[bucket], "{time:?}");
            assert!(
                time.edges_ms[0] <= time.median_ms && time.median_ms <= time.edges_ms[time.counts.len()],
                "{time:?}"
            );
        }
    }
}

struct Asked<'a> {
    world: &'a World,
    snapshot: Snapshot,
    merges: Merges,
    people: People,
}

impl<'a> Asked<'a> {
    fn new(world: &'a World, query: &Query, layout: Layout) -> Result<Asked<'a>, Error> {
        let mut asked = Asked {
            world,
            snapshot: Snapshot::of_events(world.events.clone(), layout.buckets, layout.pieces),
            merges: world.merges(),
            people: People::default(),
        };
        asked.people.everybody = Arc::new(world.profiles.keys().copied().collect());
        asked.prepare(&Needs::of(query))?;
        Ok(asked)
    }

    fn with_input<T>(&self, layout: Layout, run: impl FnOnce(&Input<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let world = self.world;
        let mut input = Input::new(&self.snapshot, &self.merges, &world.zone, world.now_us, &self.people);
        input.threads = layout.threads;
        run(&input)
    }

    fn prepare(&mut self, needs: &Needs) -> Result<(), Error> {
        for (property, condition) in &needs.profiles {
            let holds = |profile: &std::collections::BTreeMap<String, _>| {
                profile.get(property).is_some_and(|value| passes(condition, value))
            };
            let set = self.world.profiles.iter().filter(|(_, profile)| holds(profile)).map(|(person, _)| *person);
            self.people.add_profile(property, condition.clone(), Arc::new(set.collect()));
        }
        for property in &needs.values {
            let mut values = SubjectValues::default();
            for (person, profile) in &self.world.profiles {
                if let Some(value) = profile.get(property) {
                    let at = person.0 as usize;
                    values.codes.resize(values.codes.len().max(at + 1), SubjectValues::NOT_SET);
                    let known = values.values.iter().position(|other| other == value);
                    values.codes[at] = known.unwrap_or(values.values.len()) as u32;
                    if known.is_none() {
                        values.values.push(value.clone());
                    }
                }
            }
            self.people.add_values(property, Arc::new(values));
        }
        for id in &needs.cohorts {
            match self.world.cohorts.get(id).unwrap_or_else(|| panic!("there is no cohort {id}")) {
                Cohort::Static(members) => {
                    let canonical = |member: &SubjectNo| self.merges.canonical(*member);
                    let set: SubjectSet = members.iter().map(canonical).collect();
                    self.people.add_cohort(id, Arc::new(set));
                }
                Cohort::Dynamic(condition) => {
                    self.prepare(&Needs::of_condition(condition))?;
                    let input =
                        Input::new(&self.snapshot, &self.merges, &self.world.zone, self.world.now_us, &self.people);
                    // Up to and including now.
                    let set = members(&input, condition, self.world.now_us + 1)?;
                    self.people.add_cohort(id, Arc::new(set));
                    self.people.add_condition(id, condition.clone());
                }
            }
        }
        Ok(())
    }
}
