//! Funnels: how far persons get through steps in order.
//!
//! 1. A person enters at their first event that matches step 1 within the range; with a breakdown, at the first
//!    one of each segment.
//! 2. From there each following step is the first later event that matches it; other events in between are
//!    allowed. Taking the first is best: whatever a later one would allow, the first allows too.
//! 3. Steps count until the window, from the entry, has passed: also after the range's end.

use cofferdam_model::limits;
use cofferdam_model::query::FunnelQuery;
use cofferdam_model::result::{FunnelResult, FunnelSegment, FunnelStep, FunnelTable};

use crate::calendar;
use crate::mask::{self, Mask};
use crate::scan::{self, Prepared, Row};
use crate::segmentation::{self, Segmentation};
use crate::{Input, Result, check_filters, check_match, invalid};

pub(crate) fn run(input: &Input<'_>, query: &FunnelQuery) -> Result<FunnelTable> {
    if query.steps.len() < 2 || query.steps.len() > limits::FUNNEL_STEPS_MAX {
        return invalid(format!("a funnel has 2 to {} steps", limits::FUNNEL_STEPS_MAX));
    }
    let window = query.window.us();
    if window <= 0 || window > limits::FUNNEL_WINDOW_DAYS_MAX * 86_400_000_000 {
        return invalid(format!("a conversion window is 1 second to {} days", limits::FUNNEL_WINDOW_DAYS_MAX));
    }
    check_filters(&query.filters)?;
    query.steps.iter().try_for_each(check_match)?;
    segmentation::check(query.breakdown.as_ref())?;
    let (from, to) = calendar::bounds(query.range, input.zone, input.now_us)?;
    let prepared = Prepared::new(input, from, to.saturating_add(window))?;
    let masks: Vec<Vec<Mask>> = query
        .steps
        .iter()
        .map(|step| prepared.segments.iter().map(|segment| mask::matching(segment, step, &query.filters)).collect())
        .collect::<Result<_>>()?;
    let funnel = Funnel { masks, entries_until: to, window };

    let overall = add_up(
        scan::persons(
            input,
            &prepared,
            || Reached::new(1, funnel.masks.len()),
            |reached, _, rows| {
                if let Some(entry) = rows.iter().position(|row| funnel.is_entry(row)) {
                    funnel.follow(rows, entry, &mut reached[0]);
                }
            },
        ),
        1,
        funnel.masks.len(),
    );

    let mut table = FunnelTable {
        overall: overall.into_iter().next().map(Reached::result).unwrap_or_default(),
        segments: Vec::new(),
        segments_omitted: 0,
    };
    if let Some(breakdown) = &query.breakdown {
        let mut segmentation = Segmentation::new(&prepared, &breakdown.property)?;
        let entered = entered(input, &prepared, &funnel, &segmentation);
        table.segments_omitted = segmentation.keep_largest(&entered, breakdown.limit);
        let width = segmentation.len();
        let make =
            || PerSegment { reached: Reached::new(width, funnel.masks.len()), entered: vec![0; width], person: 0 };
        let partials = scan::persons(input, &prepared, make, |partial, _, rows| {
            partial.person += 1;
            for (at, row) in rows.iter().enumerate().filter(|(_, row)| funnel.is_entry(row)) {
                for &id in segmentation.ids(row) {
                    let id = id as usize;
                    if partial.entered[id] != partial.person {
                        partial.entered[id] = partial.person;
                        funnel.follow(rows, at, &mut partial.reached[id]);
                    }
                }
            }
        });
        let reached = add_up(partials.into_iter().map(|partial| partial.reached).collect(), width, funnel.masks.len());
        table.segments = reached
            .into_iter()
            .enumerate()
            .map(|(id, reached)| FunnelSegment { segment: segmentation.name(id).clone(), result: reached.result() })
            .filter(|segment| segment.result.steps[0].persons > 0)
            .collect();
    }
    Ok(table)
}

struct Funnel {
    /// By step, by segment of the lake.
    masks: Vec<Vec<Mask>>,
    entries_until: i64,
    window: i64,
}

impl Funnel {
    fn matches(&self, step: usize, row: &Row) -> bool {
        self.masks[step][row.segment as usize].get(row.row as usize)
    }

    fn is_entry(&self, row: &Row) -> bool {
        row.time < self.entries_until && self.matches(0, row)
    }

    /// Follows one person from their entry and notes how far they got.
    fn follow(&self, rows: &[Row], entry: usize, reached: &mut Reached) {
        let deadline = rows[entry].time.saturating_add(self.window);
        let mut previous = rows[entry].time;
        let mut step = 1;
        reached.persons[0] += 1;
        for row in &rows[entry + 1..] {
            if row.time > deadline || step == self.masks.len() {
                break;
            }
            if self.matches(step, row) {
                reached.persons[step] += 1;
                reached.waited_us[step].push(row.time - previous);
                previous = row.time;
                step += 1;
            }
        }
    }
}

/// Persons per step, and how long each waited for it.
struct Reached {
    persons: Vec<u64>,
    waited_us: Vec<Vec<i64>>,
}

struct PerSegment {
    reached: Vec<Reached>,
    /// The last person who entered in each segment.
    entered: Vec<u32>,
    person: u32,
}

impl Reached {
    fn new(segments: usize, steps: usize) -> Vec<Reached> {
        (0..segments).map(|_| Reached { persons: vec![0; steps], waited_us: vec![Vec::new(); steps] }).collect()
    }

    fn result(self) -> FunnelResult {
        let steps = self
            .persons
            .into_iter()
            .zip(self.waited_us)
            .map(|(persons, waited)| FunnelStep { persons, median_ms_from_previous: median_ms(waited) })
            .collect();
        FunnelResult { steps }
    }
}

fn add_up(partials: Vec<Vec<Reached>>, segments: usize, steps: usize) -> Vec<Reached> {
    let mut sum = Reached::new(segments, steps);
    for partial in partials {
        for (sum, part) in sum.iter_mut().zip(partial) {
            sum.persons.iter_mut().zip(part.persons).for_each(|(sum, part)| *sum += part);
            sum.waited_us.iter_mut().zip(part.waited_us).for_each(|(sum, part)| sum.extend(part));
        }
    }
    sum
}

/// Persons who enter in each segment.
fn entered(input: &Input<'_>, prepared: &Prepared, funnel: &Funnel, segmentation: &Segmentation) -> Vec<u64> {
    let width = segmentation.len();
    let make = || (vec![0_u64; width], vec![0_u32; width], 0_u32);
    let partials = scan::persons(input, prepared, make, |(counts, last, person), _, rows| {
        *person += 1;
        for row in rows.iter().filter(|row| funnel.is_entry(row)) {
            for &id in segmentation.ids(row) {
                if last[id as usize] != *person {
                    last[id as usize] = *person;
                    counts[id as usize] += 1;
                }
            }
        }
    });
    let mut sum = vec![0; width];
    for (counts, _, _) in partials {
        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    sum
}

/// The lower median, in milliseconds rounded down.
fn median_ms(mut waited_us: Vec<i64>) -> Option<u64> {
    if waited_us.is_empty() {
        return None;
    }
    let middle = (waited_us.len() - 1) / 2;
    let (_, median, _) = waited_us.select_nth_unstable(middle);
    u64::try_from(*median / 1_000).ok()
}
