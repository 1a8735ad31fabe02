//! Who meets a cohort's condition, as of an instant.
//!
//! 1. Every `did` of the condition is a leaf; equal matchers are one, and up to 32 of them share a walk.
//! 2. The walk counts, per person and leaf, events (or different days) in the leaf's window, and remembers a bit:
//!    who meets the leaf, or, where not doing it is enough, who fails it.
//! 3. The tree is then set arithmetic. "Not" and "at most" need everybody: whoever had an event by then, and
//!    whoever has a profile.
//!
//! Events at or after the instant are not looked at, and windows like "the last 30 days" end with it. Profiles and
//! other cohorts are as they are now.

use cofferdam_model::cohort::{CohortCondition, Times};
use cofferdam_model::query::{Condition, EventMatch, Holder, Unit};
use cofferdam_model::{SubjectNo, SubjectSet, limits};

use crate::measure::{self, Axis};
use crate::scan::{Partial, Scan};
use crate::tags::{MATCHERS_MAX, Tags};
use crate::{Input, Result, calendar, check_filters, check_match, invalid};

/// The persons (canonical subjects) who meet a condition as of an instant, µs UTC, itself not included.
pub fn members(input: &Input<'_>, condition: &CohortCondition, as_of_us: i64) -> Result<SubjectSet> {
    check(condition)?;
    let mut leaves = Vec::new();
    collect(input, condition, as_of_us, &mut leaves)?;
    let anybody = EventMatch::default();
    let everybody = needs_everybody(condition);
    if everybody {
        let times = Times::AtLeast { count: 1 };
        leaves.push(Leaf { matching: &anybody, times, distinct: None, from: i64::MIN, to: as_of_us });
    }
    let mut sets = count(input, &leaves)?;
    let everybody = match everybody {
        true => {
            let mut all = sets.pop().unwrap_or_default();
            all.unite(&input.people.everybody);
            all
        }
        false => SubjectSet::default(),
    };
    let mut sets = sets.into_iter();
    meeting(input, condition, &everybody, &mut sets)
}

/// Checks a condition's bounds, as [`members`] does: for a rule that is about to be kept.
pub fn check(condition: &CohortCondition) -> Result<()> {
    fn visit(condition: &CohortCondition, depth: usize, count: &mut usize) -> Result<()> {
        if depth > limits::COHORT_DEPTH_MAX {
            return invalid(format!("a cohort's conditions are at most {} levels deep", limits::COHORT_DEPTH_MAX));
        }
        *count += 1;
        if *count > limits::COHORT_CONDITIONS_MAX {
            return invalid(format!("a cohort has at most {} conditions", limits::COHORT_CONDITIONS_MAX));
        }
        match condition {
            CohortCondition::All { of } | CohortCondition::Any { of } => {
                if of.is_empty() {
                    return invalid("\"all\" and \"any\" need at least one condition");
                }
                of.iter().try_for_each(|condition| visit(condition, depth + 1, count))
            }
            CohortCondition::Not { of } => visit(of, depth + 1, count),
            CohortCondition::Did { matching, times, .. } => {
                if let Times::Between { low, high } = times
                    && low > high
                {
                    return invalid("\"between\" needs the smaller number first");
                }
                check_match(matching)
            }
            CohortCondition::Is { filter } => {
                if filter.on == Holder::Event {
                    return invalid("a cohort asks for a profile or another cohort; for events use \"did\"");
                }
                check_filters(std::slice::from_ref(filter))
            }
        }
    }
    visit(condition, 1, &mut 0)
}

/// A `did` of the condition.
struct Leaf<'a> {
    matching: &'a EventMatch,
    times: Times,
    distinct: Option<Unit>,
    /// Its window, µs UTC, the end not included.
    from: i64,
    to: i64,
}

impl Leaf<'_> {
    /// Whether those who never did it meet it: then the walk remembers who does not.
    fn met_by_none(&self) -> bool {
        self.times.holds(0)
    }
}

fn collect<'a>(
    input: &Input<'_>,
    condition: &'a CohortCondition,
    as_of_us: i64,
    leaves: &mut Vec<Leaf<'a>>,
) -> Result<()> {
    match condition {
        CohortCondition::All { of } | CohortCondition::Any { of } => {
            of.iter().try_for_each(|condition| collect(input, condition, as_of_us, leaves))
        }
        CohortCondition::Not { of } => collect(input, of, as_of_us, leaves),
        CohortCondition::Is { .. } => Ok(()),
        CohortCondition::Did { matching, times, distinct, window } => {
            let (from, to) = match window {
                None => (i64::MIN, as_of_us),
                // The last instant that counts says which unit is the current one.
                Some(range) => {
                    let (from, to) = calendar::bounds(*range, input.zone, as_of_us.saturating_sub(1))?;
                    (from, to.min(as_of_us))
                }
            };
            leaves.push(Leaf { matching, times: *times, distinct: *distinct, from, to });
            Ok(())
        }
    }
}

fn needs_everybody(condition: &CohortCondition) -> bool {
    match condition {
        CohortCondition::All { of } | CohortCondition::Any { of } => of.iter().any(needs_everybody),
        CohortCondition::Not { .. } => true,
        CohortCondition::Did { times, .. } => times.holds(0),
        // They pass for those of whom nothing is known.
        CohortCondition::Is { filter } => matches!(
            filter.condition,
            Condition::DoesNotEqual { .. } | Condition::DoesNotContain { .. } | Condition::IsNotSet
        ),
    }
}

/// A set per leaf, in their order: who meets it, or who fails it ([`Leaf::met_by_none`]).
fn count(input: &Input<'_>, leaves: &[Leaf<'_>]) -> Result<Vec<SubjectSet>> {
    let mut sets = Vec::new();
    let mut rest = leaves;
    while !rest.is_empty() {
        // As many leaves as share so many matchers.
        let mut matchers: Vec<&EventMatch> = Vec::new();
        let mut bits = Vec::new();
        for leaf in rest {
            let known = matchers.iter().position(|matching| *matching == leaf.matching);
            if known.is_none() && matchers.len() == MATCHERS_MAX {
                break;
            }
            bits.push(known.unwrap_or(matchers.len()));
            if known.is_none() {
                matchers.push(leaf.matching);
            }
        }
        let (now, later) = rest.split_at(bits.len());
        sets.extend(walk(input, now, &matchers, &bits)?);
        rest = later;
    }
    Ok(sets)
}

/// A thread's share: a set per leaf, and what the person at hand did.
struct Share {
    sets: Vec<SubjectSet>,
    counts: Vec<u64>,
    units: Vec<Option<usize>>,
    /// The highest subject in a set.
    highest: u32,
}

impl Partial for Share {
    fn bytes(&self) -> usize {
        self.sets.len() * (self.highest as usize / 8 + 24) + self.counts.len() * 24
    }
}

impl Share {
    fn reset(&mut self) {
        self.counts.fill(0);
        self.units.fill(None);
    }

    fn settle(&mut self, leaves: &[Leaf<'_>], person: SubjectNo) {
        for (leaf, (count, set)) in leaves.iter().zip(self.counts.iter().zip(&mut self.sets)) {
            if *count > 0 && leaf.times.holds(*count) != leaf.met_by_none() {
                set.insert(person);
                self.highest = self.highest.max(person.0);
            }
        }
    }
}

fn walk(input: &Input<'_>, leaves: &[Leaf<'_>], matchers: &[&EventMatch], bits: &[usize]) -> Result<Vec<SubjectSet>> {
    let from = leaves.iter().map(|leaf| leaf.from).min().unwrap_or(0);
    let to = leaves.iter().map(|leaf| leaf.to).max().unwrap_or(0);
    let scan = Scan::new(input, from, to)?;
    let tags = Tags::new(&scan, &matchers.iter().map(|matching| (*matching, &[][..])).collect::<Vec<_>>())?;
    let earliest = scan.files.iter().map(|file| file.segment.time_us.0).min();
    let latest = scan.files.iter().map(|file| file.segment.time_us.1).max();
    let (Some(earliest), Some(latest)) = (earliest, latest) else {
        return Ok(vec![SubjectSet::default(); leaves.len()]);
    };
    let mut units: Vec<Option<Axis>> = Vec::new();
    for leaf in leaves {
        let (from, to) = (leaf.from.max(earliest), leaf.to.min(latest.saturating_add(1)));
        units.push(match leaf.distinct {
            Some(unit) if from < to => Some(Axis::new(measure::unit_starts(from, to, unit, input.zone)?)),
            _ => None,
        });
    }
    let make = || Share {
        sets: vec![SubjectSet::default(); leaves.len()],
        counts: vec![0; leaves.len()],
        units: vec![None; leaves.len()],
        highest: 0,
    };
    let did = |share: &mut Share, time: i64, tags: u32| {
        for (at, leaf) in leaves.iter().enumerate() {
            if tags >> bits[at] & 1 == 0 || time < leaf.from || time >= leaf.to {
                continue;
            }
            let unit = units[at].as_ref().and_then(|axis| axis.find(time));
            if leaf.distinct.is_none() || share.units[at] != unit {
                share.units[at] = unit;
                share.counts[at] += 1;
            }
        }
    };
    let shares = if leaves.iter().any(|leaf| leaf.distinct.is_some()) {
        // Different days are counted as they come, in order of time.
        scan.histories(&tags, u32::MAX, make, |share, person, hits| {
            share.reset();
            hits.iter().for_each(|hit| did(share, hit.time, hit.tags));
            share.settle(leaves, person);
        })?
    } else {
        scan.persons(&tags, make, |share, person| {
            share.reset();
            for span in person.spans {
                let times = &scan.file(span.file).core.time;
                span.tagged(times, person.allowed, |hit| did(share, hit.time, hit.tags));
            }
            share.settle(leaves, person.subject);
        })?
    };
    let mut sets = vec![SubjectSet::default(); leaves.len()];
    for share in shares {
        sets.iter_mut().zip(&share.sets).for_each(|(set, part)| set.unite(part));
    }
    Ok(sets)
}

/// Whoever meets the condition; `sets` has what [`count`] found for its leaves, in order.
fn meeting(
    input: &Input<'_>,
    condition: &CohortCondition,
    everybody: &SubjectSet,
    sets: &mut impl Iterator<Item = SubjectSet>,
) -> Result<SubjectSet> {
    let others = |set: &SubjectSet| {
        let mut others = everybody.clone();
        others.subtract(set);
        others
    };
    Ok(match condition {
        CohortCondition::All { of } => {
            let mut all: Option<SubjectSet> = None;
            for condition in of {
                let set = meeting(input, condition, everybody, sets)?;
                match &mut all {
                    None => all = Some(set),
                    Some(all) => all.intersect(&set),
                }
            }
            all.unwrap_or_default()
        }
        CohortCondition::Any { of } => {
            let mut any = SubjectSet::default();
            for condition in of {
                any.unite(&meeting(input, condition, everybody, sets)?);
            }
            any
        }
        CohortCondition::Not { of } => others(&meeting(input, of, everybody, sets)?),
        CohortCondition::Did { times, .. } => {
            let set = sets.next().unwrap_or_default();
            if times.holds(0) { others(&set) } else { set }
        }
        CohortCondition::Is { filter } => {
            let (set, member) = input.people.test(filter)?;
            if member { (*set).clone() } else { others(&set) }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cofferdam_lake::Snapshot;
    use cofferdam_model::query::{DateRange, Filter};
    use cofferdam_model::{Merges, SealedEvent, Value};
    use jiff::civil::Date;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::People;

    /// Hours since 2026-11-01T00:00Z.
    fn at(hour: i64) -> i64 {
        (1_793_491_200 + hour * 3_600) * 1_000_000
    }

    fn event(subject: u32, name: &str, hour: i64, value: f64) -> SealedEvent {
        SealedEvent {
            name: name.to_owned(),
            subject: SubjectNo(subject),
            time_us: at(hour),
            insert_id: 0,
            properties: vec![("p".to_owned(), Value::Number(value))],
        }
    }

    /// 1: a on three days. 2 and 6 are one: a thrice within two hours of a day. 3: b. 4: only a profile. 5: a, later.
    fn members_at(condition: &CohortCondition, hour: i64) -> Result<Vec<u32>> {
        let events = vec![
            event(1, "a", 0, 1.0),
            event(1, "a", 24, 2.0),
            event(1, "a", 50, 3.0),
            event(2, "a", 30, 1.0),
            event(6, "a", 31, 2.0),
            event(2, "a", 30, 5.0),
            event(3, "b", 1, 0.0),
            event(5, "a", 240, 0.0),
            event(SubjectNo::NOBODY.0, "a", 2, 0.0),
        ];
        let mut merges = Merges::default();
        merges.link(SubjectNo(6), SubjectNo(2));
        let mut people = People::default();
        people.everybody = Arc::new([SubjectNo(4), SubjectNo(1)].into_iter().collect());
        people.add_cohort("c", Arc::new([SubjectNo(1), SubjectNo(3), SubjectNo(9)].into_iter().collect()));
        let zone = TimeZone::UTC;
        let mut found = Vec::new();
        for (buckets, pieces, threads) in [(1, 1, 1), (4, 3, 2)] {
            let snapshot = Snapshot::of_events(events.clone(), buckets, pieces);
            let mut input = crate::Input::new(&snapshot, &merges, &zone, at(1_000), &people);
            input.threads = threads;
            let set = members(&input, condition, at(hour))?;
            found.push(set.iter().map(|subject| subject.0).collect::<Vec<_>>());
        }
        assert_eq!(found[0], found[1]);
        Ok(found.remove(0))
    }

    fn did(name: &str, times: Times) -> CohortCondition {
        let matching = EventMatch { event: Some(name.to_owned()), filters: Vec::new() };
        CohortCondition::Did { matching, times, distinct: None, window: None }
    }

    fn on(mut condition: CohortCondition, unit: Unit) -> CohortCondition {
        if let CohortCondition::Did { distinct, .. } = &mut condition {
            *distinct = Some(unit);
        }
        condition
    }

    fn within(mut condition: CohortCondition, range: DateRange) -> CohortCondition {
        if let CohortCondition::Did { window, .. } = &mut condition {
            *window = Some(range);
        }
        condition
    }

    #[test]
    fn conditions_count_events_and_different_days() {
        use Times::{AtLeast, AtMost, Between, Exactly};
        let last_two_days = DateRange::Last { count: 2, unit: Unit::Day };
        let first_day = DateRange::Between { from: Date::constant(2026, 11, 1), to: Date::constant(2026, 11, 1) };
        for (condition, hour, expected) in [
            (did("a", AtLeast { count: 1 }), 100, &[1, 2][..]),
            (did("a", AtLeast { count: 1 }), 241, &[1, 2, 5]),
            (did("a", AtLeast { count: 1 }), 240, &[1, 2]),
            (did("a", AtLeast { count: 1 }), 24, &[1]),
            (did("a", Exactly { count: 3 }), 100, &[1, 2]),
            (did("a", AtMost { count: 0 }), 100, &[3, 4]),
            (did("a", AtMost { count: 2 }), 51, &[3, 4]),
            (did("a", AtMost { count: 2 }), 31, &[1, 2, 3, 4]),
            (did("a", Between { low: 2, high: 9 }), 50, &[1, 2]),
            (did("b", Exactly { count: 0 }), 0, &[1, 4]),
            (on(did("a", AtLeast { count: 3 }), Unit::Day), 100, &[1]),
            (on(did("a", Exactly { count: 2 }), Unit::Hour), 100, &[2]),
            (on(did("a", AtMost { count: 1 }), Unit::Day), 100, &[2, 3, 4]),
            (within(did("a", AtLeast { count: 1 }), last_two_days), 72, &[1, 2]),
            (within(did("a", AtLeast { count: 1 }), last_two_days), 73, &[1]),
            (within(did("a", AtMost { count: 0 }), last_two_days), 73, &[2, 3, 4]),
            (within(did("a", AtLeast { count: 1 }), first_day), 100, &[1]),
            (within(on(did("a", AtLeast { count: 1 }), Unit::Week), first_day), 100, &[1]),
            (did("c", AtLeast { count: 1 }), 100, &[]),
            (did("c", AtMost { count: 5 }), 100, &[1, 2, 3, 4]),
        ] {
            assert_eq!(members_at(&condition, hour).unwrap(), expected, "{condition:?} at {hour}");
        }
    }

    #[test]
    fn trees_are_sets() {
        let a = || did("a", Times::AtLeast { count: 1 });
        let b = || did("b", Times::AtLeast { count: 1 });
        let is =
            |condition| CohortCondition::Is { filter: Filter { on: Holder::Cohort, property: "c".into(), condition } };
        let not = |of| CohortCondition::Not { of: Box::new(of) };
        for (condition, expected) in [
            (CohortCondition::Any { of: vec![a(), b()] }, &[1, 2, 3][..]),
            (CohortCondition::All { of: vec![a(), b()] }, &[]),
            (CohortCondition::All { of: vec![not(b()), is(Condition::IsSet)] }, &[1]),
            (is(Condition::IsSet), &[1, 3, 9]),
            (is(Condition::IsNotSet), &[2, 4]),
            (not(a()), &[3, 4]),
            (not(not(b())), &[3]),
            (
                CohortCondition::All { of: vec![CohortCondition::Any { of: vec![b(), a()] }, is(Condition::IsSet)] },
                &[1, 3],
            ),
        ] {
            assert_eq!(members_at(&condition, 100).unwrap(), expected, "{condition:?}");
        }
        // More kinds of events than one walk tells apart.
        let mut of: Vec<_> = (0..40).map(|at| did(&format!("never {at}"), Times::AtLeast { count: 1 })).collect();
        of.push(b());
        of.push(a());
        assert_eq!(members_at(&CohortCondition::Any { of }, 100).unwrap(), [1, 2, 3]);
    }

    #[test]
    fn bounds_are_kept() {
        let a = || did("a", Times::AtLeast { count: 1 });
        let deep = (0..4).fold(a(), |of, _| CohortCondition::Not { of: Box::new(of) });
        let filter = Filter { on: Holder::Event, property: "p".into(), condition: Condition::IsSet };
        for wrong in [
            CohortCondition::All { of: Vec::new() },
            CohortCondition::Any { of: (0..50).map(|_| a()).collect() },
            deep,
            CohortCondition::Is { filter },
            did("a", Times::Between { low: 3, high: 2 }),
        ] {
            assert!(matches!(members_at(&wrong, 1), Err(crate::Error::Invalid(_))), "{wrong:?}");
        }
    }
}
