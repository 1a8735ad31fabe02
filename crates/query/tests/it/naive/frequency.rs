//! Frequency: on how many different hours or days of a period persons did something.

use std::collections::BTreeSet;

use cofferdam_model::query::{FrequencyQuery, Unit};
use cofferdam_model::result::{FrequencyPeriod, FrequencyTable};

use super::Naive;

impl Naive<'_> {
    pub(crate) fn frequency(&self, query: &FrequencyQuery) -> FrequencyTable {
        let world = self.world;
        let bounds = world.bounds(query.range, world.now_us);
        let (part, width) = match query.period {
            Unit::Day => (Unit::Hour, 25),
            Unit::Week => (Unit::Day, 7),
            Unit::Month => (Unit::Day, 31),
            other => panic!("{other:?} is no period"),
        };
        let mut overall = vec![0; width];
        let mut periods = Vec::new();
        for (start, end) in world.buckets(bounds, query.period) {
            let mut counts = vec![0; width];
            let mut persons = 0;
            for person in self.somebody() {
                let parts: BTreeSet<i64> = person
                    .events
                    .iter()
                    .filter(|event| (start..end).contains(&event.time_us))
                    .filter(|event| self.matches(person.no, event, &query.matching))
                    .filter(|event| self.passes_all(person.no, event, &query.filters))
                    .map(|event| world.floor(event.time_us, part))
                    .collect();
                persons += u64::from(!parts.is_empty());
                for k in 1..=parts.len() {
                    if query.cumulative || k == parts.len() {
                        counts[k - 1] += 1;
                        overall[k - 1] += 1;
                    }
                }
            }
            periods.push(FrequencyPeriod { start: world.local(start), persons, counts });
        }
        FrequencyTable { periods, overall, last_incomplete: bounds.1 > world.now_us }
    }
}
