//! The books: every received record ends in exactly one outcome, and the counts balance.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use cofferdam_model::{Outcome, ProjectId, Reason};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    /// Empty for records that named no project.
    project: String,
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProjectLabel {
    project: String,
}

pub(crate) struct Outcomes {
    since_us: i64,
    registry: Mutex<Registry>,
    received: Family<ProjectLabel, Counter<u64, AtomicU64>>,
    outcomes: Family<Labels, Counter<u64, AtomicU64>>,
    sealed: Family<ProjectLabel, Counter<u64, AtomicU64>>,
    secrets: Family<ProjectLabel, Counter<u64, AtomicU64>>,
    quarantined: Family<ProjectLabel, Counter<u64, AtomicU64>>,
    quarantine_lost: Family<ProjectLabel, Counter<u64, AtomicU64>>,
}

/// How a project's records ended since the server started.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct OutcomeCounts {
    /// RFC 3339, UTC: when counting began.
    pub since: String,
    pub received: u64,
    pub accepted: u64,
    pub duplicate: u64,
    pub ignored: u64,
    /// Reasons that occurred, most frequent first.
    pub rejected: Vec<ReasonCount>,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ReasonCount {
    pub reason: String,
    pub count: u64,
}

fn name(project: Option<ProjectId>) -> String {
    project.map(|project| project.to_string()).unwrap_or_default()
}

fn words(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Accepted => ("accepted", ""),
        Outcome::Duplicate => ("duplicate", ""),
        Outcome::Ignored => ("ignored", ""),
        Outcome::Rejected(reason) => ("rejected", reason.word()),
    }
}

impl Outcomes {
    pub(crate) fn new(since_us: i64) -> Outcomes {
        let mut registry = Registry::with_prefix("cofferdam");
        let (received, outcomes, sealed, secrets) =
            (Family::default(), Family::default(), Family::default(), Family::default());
        registry.register("events_received", "Records received", Family::clone(&received));
        registry.register("events_outcome", "How received records ended", Family::clone(&outcomes));
        registry.register("values_sealed", "Values sealed at the door", Family::clone(&sealed));
        registry.register("secrets_dropped", "Secrets dropped at the door", Family::clone(&secrets));
        let (quarantined, quarantine_lost) = (Family::default(), Family::default());
        registry.register("values_quarantined", "Values that a strict plan held back", Family::clone(&quarantined));
        let lost = "Values that a full quarantine had no room for";
        registry.register("quarantine_lost", lost, Family::clone(&quarantine_lost));
        let registry = Mutex::new(registry);
        Outcomes { since_us, registry, received, outcomes, sealed, secrets, quarantined, quarantine_lost }
    }

    pub(crate) fn received(&self, project: Option<ProjectId>, count: usize) {
        if count > 0 {
            self.received.get_or_create(&ProjectLabel { project: name(project) }).inc_by(count as u64);
        }
    }

    pub(crate) fn ended(&self, project: Option<ProjectId>, outcome: Outcome, count: usize) {
        if count > 0 {
            let (outcome, reason) = words(outcome);
            self.outcomes.get_or_create(&Labels { project: name(project), outcome, reason }).inc_by(count as u64);
        }
    }

    pub(crate) fn sealed(&self, project: ProjectId, values: usize, secrets: usize) {
        let label = ProjectLabel { project: name(Some(project)) };
        self.sealed.get_or_create(&label).inc_by(values as u64);
        self.secrets.get_or_create(&label).inc_by(secrets as u64);
    }

    pub(crate) fn quarantined(&self, project: ProjectId, values: usize, lost: usize) {
        if values > 0 {
            let label = ProjectLabel { project: name(Some(project)) };
            self.quarantined.get_or_create(&label).inc_by((values - lost) as u64);
            self.quarantine_lost.get_or_create(&label).inc_by(lost as u64);
        }
    }

    /// Values sealed and secrets dropped.
    pub(crate) fn guarded(&self, project: ProjectId) -> (u64, u64) {
        let label = ProjectLabel { project: name(Some(project)) };
        (self.sealed.get_or_create(&label).get(), self.secrets.get_or_create(&label).get())
    }

    pub(crate) fn counts(&self, project: ProjectId) -> OutcomeCounts {
        let of = |outcome| {
            let (outcome, reason) = words(outcome);
            let labels = Labels { project: name(Some(project)), outcome, reason };
            self.outcomes.get(&labels).map_or(0, |counter| counter.get())
        };
        let mut rejected: Vec<ReasonCount> = Reason::ALL
            .into_iter()
            .map(|reason| ReasonCount { reason: reason.word().to_owned(), count: of(Outcome::Rejected(reason)) })
            .filter(|entry| entry.count > 0)
            .collect();
        rejected.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.reason.cmp(&b.reason)));
        OutcomeCounts {
            since: cofferdam_query::calendar::utc_text(self.since_us),
            received: self
                .received
                .get(&ProjectLabel { project: name(Some(project)) })
                .map_or(0, |counter| counter.get()),
            accepted: of(Outcome::Accepted),
            duplicate: of(Outcome::Duplicate),
            ignored: of(Outcome::Ignored),
            rejected,
        }
    }

    /// The text format, with gauges (name, help, value) of the moment.
    pub(crate) fn text(&self, gauges: &[(&'static str, &'static str, u64)]) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().expect("never left half changed");
        let mut moment = Registry::with_prefix("cofferdam");
        for (name, help, value) in gauges {
            moment.register(*name, *help, ConstGauge::new(*value));
        }
        let mut ends = String::new();
        let written = encode(&mut ends, &moment).and_then(|()| encode(&mut text, &registry));
        written.expect("writing to a string does not fail");
        // Each part ends with the mark of the format; one is enough.
        ends.truncate(ends.len() - "# EOF\n".len());
        ends + &text
    }
}
