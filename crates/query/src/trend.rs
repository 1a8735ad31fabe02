//! Insights: events and persons per bucket of time.
//!
//! `total` counts matching events. `unique` counts a person once per bucket, and once in the total: uniques of
//! buckets do not add up. With a breakdown a person counts once in each segment they have an event in.

use cofferdam_model::query::{InsightsQuery, Measure};
use cofferdam_model::result::{InsightsTable, Series};
use cofferdam_model::{SubjectNo, limits};

use crate::calendar::{self, Buckets};
use crate::mask::{self, Mask};
use crate::scan::{self, Prepared, Row};
use crate::segmentation::{self, Segmentation};
use crate::{Input, Result, check_filters, check_match, invalid};

pub(crate) fn run(input: &Input<'_>, query: &InsightsQuery) -> Result<InsightsTable> {
    if query.metrics.is_empty() || query.metrics.len() > limits::METRICS_MAX {
        return invalid(format!("ask for 1 to {} metrics", limits::METRICS_MAX));
    }
    check_filters(&query.filters)?;
    query.metrics.iter().try_for_each(|metric| check_match(&metric.matching))?;
    segmentation::check(query.breakdown.as_ref())?;
    let (from, to) = calendar::bounds(query.range, input.zone, input.now_us)?;
    let buckets = calendar::cut(from, to, query.unit, input.zone)?;
    let prepared = Prepared::new(input, from, to)?;
    let masks: Vec<Vec<Mask>> = query
        .metrics
        .iter()
        .map(|metric| {
            prepared.segments.iter().map(|segment| mask::matching(segment, &metric.matching, &query.filters)).collect()
        })
        .collect::<Result<_>>()?;

    let mut segmentation =
        query.breakdown.as_ref().map(|breakdown| Segmentation::new(&prepared, &breakdown.property)).transpose()?;
    let mut segments_omitted = 0;
    if let (Some(segmentation), Some(breakdown)) = (&mut segmentation, &query.breakdown) {
        let whole = Buckets { starts: vec![from, to] };
        let counts = count(input, &prepared, query, &masks, &whole, Some(segmentation));
        let width = segmentation.len();
        let sums: Vec<u64> = (0..width)
            .map(|id| (0..query.metrics.len()).map(|metric| counts.totals[metric * width + id]).sum())
            .collect();
        segments_omitted = segmentation.keep_largest(&sums, breakdown.limit);
    }
    let counts = count(input, &prepared, query, &masks, &buckets, segmentation.as_ref());

    let width = segmentation.as_ref().map_or(1, Segmentation::len);
    let mut series = Vec::new();
    for metric in 0..query.metrics.len() {
        for id in 0..width {
            let cell = metric * width + id;
            let total = counts.totals[cell];
            // Without a breakdown a line of zeros is an answer; a segment without events is none.
            if segmentation.is_some() && total == 0 {
                continue;
            }
            series.push(Series {
                metric: metric as u32,
                segment: segmentation.as_ref().map(|segmentation| segmentation.name(id).clone()),
                values: counts.values[cell * buckets.len()..(cell + 1) * buckets.len()].to_vec(),
                total,
            });
        }
    }
    Ok(InsightsTable {
        buckets: buckets.starts[..buckets.len()].iter().map(|start| calendar::local_text(*start, input.zone)).collect(),
        last_incomplete: buckets.to_us() > input.now_us,
        series,
        segments_omitted,
    })
}

/// Counts by (metric, segment) and by (metric, segment, bucket), dense.
struct Counts {
    totals: Vec<u64>,
    values: Vec<u64>,
    /// The last person counted in each cell, so that unique counts a person once without a set per cell.
    last_in_total: Vec<u32>,
    last_in_value: Vec<u32>,
    person: u32,
}

fn count(
    input: &Input<'_>,
    prepared: &Prepared,
    query: &InsightsQuery,
    masks: &[Vec<Mask>],
    buckets: &Buckets,
    segmentation: Option<&Segmentation>,
) -> Counts {
    let width = segmentation.map_or(1, Segmentation::len);
    let cells = query.metrics.len() * width;
    let make = || Counts {
        totals: vec![0; cells],
        values: vec![0; cells * buckets.len()],
        last_in_total: vec![0; cells],
        last_in_value: vec![0; cells * buckets.len()],
        person: 0,
    };
    let each = |counts: &mut Counts, person: SubjectNo, rows: &[Row]| {
        counts.person += 1;
        let mut bucket = 0;
        for row in rows {
            bucket = buckets.find(row.time, bucket);
            for (metric, (definition, masks)) in query.metrics.iter().zip(masks).enumerate() {
                let nobody = person == SubjectNo::NOBODY && definition.measure == Measure::Unique;
                if nobody || !masks[row.segment as usize].get(row.row as usize) {
                    continue;
                }
                for &id in segmentation.map_or(&[0][..], |segmentation| segmentation.ids(row)) {
                    counts.add(metric * width + id as usize, bucket, buckets.len(), definition.measure);
                }
            }
        }
    };
    let partials = scan::everybody(input, prepared, make, |counts, person, rows| each(counts, person, rows));
    let mut sum = make();
    for partial in partials {
        sum.totals.iter_mut().zip(partial.totals).for_each(|(sum, part)| *sum += part);
        sum.values.iter_mut().zip(partial.values).for_each(|(sum, part)| *sum += part);
    }
    sum
}

impl Counts {
    fn add(&mut self, cell: usize, bucket: usize, buckets: usize, measure: Measure) {
        let value = cell * buckets + bucket;
        match measure {
            Measure::Total => {
                self.totals[cell] += 1;
                self.values[value] += 1;
            }
            Measure::Unique => {
                if self.last_in_total[cell] != self.person {
                    self.last_in_total[cell] = self.person;
                    self.totals[cell] += 1;
                }
                if self.last_in_value[value] != self.person {
                    self.last_in_value[value] = self.person;
                    self.values[value] += 1;
                }
            }
        }
    }
}
