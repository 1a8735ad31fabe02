//! The live feed: what arrives, as it arrives, with what happened to each property. Memory only.
//!
//! The last records are kept as they are for somebody who opens the page; they become text for people only when
//! somebody looks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use cofferdam_model::{Action, Class, Detector, ProjectId, Reason, SealedEvent, SubjectNo, SubjectSet, limits};
use cofferdam_query::calendar::utc_text;
use cofferdam_vault::{Handled, Trail};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use utoipa::ToSchema;

/// Which door a record came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Track,
    Import,
    Engage,
    Groups,
}

/// A record as received, without what was sealed or dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LiveEvent {
    /// Grows with arrival.
    pub id: u64,
    /// RFC 3339, UTC.
    pub received_at: String,
    pub time: Option<String>,
    pub event: Option<String>,
    pub pseudonym: Option<String>,
    pub source: Source,
    /// `accepted`, `duplicate`, `ignored` or `rejected`.
    pub outcome: String,
    pub reason: Option<String>,
    pub properties: Vec<LiveProperty>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LiveProperty {
    pub name: String,
    pub class: Class,
    pub action: Action,
    /// What decided.
    pub detector: Detector,
    /// Absent when sealed or dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub value: Option<serde_json::Value>,
    /// It went on with the event, and is of device or place (class C2): lists do not show it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
}

impl LiveEvent {
    /// Without the values of some properties.
    pub(crate) fn mask(&mut self, is_masked: impl Fn(&str) -> bool) {
        for property in self.properties.iter_mut().filter(|property| property.value.is_some()) {
            if is_masked(&property.name) {
                (property.value, property.masked) = (None, true);
            }
        }
    }
}

/// A record as it was kept.
#[derive(Clone)]
pub(crate) struct Arrived {
    received_us: i64,
    source: Source,
    about: About,
}

#[derive(Clone)]
enum About {
    Event(SealedEvent, Trail),
    Update(SubjectNo, Trail),
    Refused(Reason),
}

impl Arrived {
    pub(crate) fn accepted(received_us: i64, source: Source, event: SealedEvent, trail: Trail) -> Arrived {
        Arrived { received_us, source, about: About::Event(event, trail) }
    }

    pub(crate) fn updated(received_us: i64, source: Source, subject: SubjectNo, trail: Trail) -> Arrived {
        Arrived { received_us, source, about: About::Update(subject, trail) }
    }

    pub(crate) fn refused(received_us: i64, source: Source, reason: Reason) -> Arrived {
        Arrived { received_us, source, about: About::Refused(reason) }
    }

    /// Whom it is about.
    pub(crate) fn subject(&self) -> Option<SubjectNo> {
        match &self.about {
            About::Event(event, _) => Some(event.subject),
            About::Update(subject, _) => Some(*subject),
            About::Refused(_) => None,
        }
    }

    /// As people see it.
    pub(crate) fn show(self, id: u64, pseudonym: Option<String>) -> LiveEvent {
        let received_at = utc_text(self.received_us);
        let mut shown = LiveEvent {
            id,
            received_at,
            time: None,
            event: None,
            pseudonym,
            source: self.source,
            outcome: "accepted".to_owned(),
            reason: None,
            properties: Vec::new(),
        };
        match self.about {
            About::Event(event, mut trail) => {
                trail.sort_by(|a, b| a.name.cmp(&b.name));
                let value = |name: &str| {
                    event
                        .properties
                        .iter()
                        .find(|(other, _)| other == name)
                        .map(|(_, value)| crate::ingest::json(value))
                };
                shown.properties = trail
                    .into_iter()
                    .map(|handled| LiveProperty { value: value(&handled.name), ..shut(handled) })
                    .collect();
                shown.time = Some(utc_text(event.time_us));
                shown.event = Some(event.name);
            }
            About::Update(_, trail) => {
                shown.properties = trail.into_iter().map(shut).collect();
            }
            About::Refused(reason) => {
                shown.outcome = "rejected".to_owned();
                shown.reason = Some(reason.word().to_owned());
            }
        }
        shown
    }
}

/// A property without its value.
fn shut(Handled { name, class, action, by }: Handled) -> LiveProperty {
    LiveProperty { name, class, action, detector: by, value: None, masked: false }
}

#[derive(Default)]
pub(crate) struct Live {
    feeds: Mutex<Feeds>,
}

#[derive(Default)]
struct Feeds {
    projects: FxHashMap<ProjectId, Feed>,
    last: u64,
}

struct Feed {
    recent: VecDeque<(u64, Arrived)>,
    sender: broadcast::Sender<Arc<LiveEvent>>,
}

impl Default for Feed {
    fn default() -> Feed {
        Feed { recent: VecDeque::new(), sender: broadcast::channel(512).0 }
    }
}

impl Live {
    /// Whether somebody looks on at the moment.
    pub(crate) fn is_watched(&self, project: ProjectId) -> bool {
        let feeds = self.feeds.lock().expect("never left half changed");
        feeds.projects.get(&project).is_some_and(|feed| feed.sender.receiver_count() > 0)
    }

    /// Shows records, each with what its person is called. Of a large batch only the last are: nobody reads more.
    pub(crate) fn publish(&self, project: ProjectId, records: Vec<(Arrived, Option<String>)>) {
        if records.is_empty() {
            return;
        }
        let mut feeds = self.feeds.lock().expect("never left half changed");
        let Feeds { projects, last } = &mut *feeds;
        let feed = projects.entry(project).or_default();
        let watched = feed.sender.receiver_count() > 0;
        for (record, name) in records {
            *last += 1;
            if watched {
                // Somebody who leaves this moment misses nothing.
                let _ = feed.sender.send(Arc::new(record.clone().show(*last, name)));
            }
            if feed.recent.len() == limits::LIVE_EVENTS_KEPT {
                feed.recent.pop_front();
            }
            feed.recent.push_back((*last, record));
        }
    }

    /// Ends a project's feed, and forgets what was shown.
    pub(crate) fn close(&self, project: ProjectId) {
        self.feeds.lock().expect("never left half changed").projects.remove(&project);
    }

    /// Drops what is kept of subjects.
    pub(crate) fn forget(&self, project: ProjectId, subjects: &SubjectSet) {
        let mut feeds = self.feeds.lock().expect("never left half changed");
        if let Some(feed) = feeds.projects.get_mut(&project) {
            feed.recent.retain(|(_, record)| record.subject().is_none_or(|subject| !subjects.contains(subject)));
        }
    }

    /// The last records and those to come.
    pub(crate) fn follow(&self, project: ProjectId) -> (Vec<(u64, Arrived)>, broadcast::Receiver<Arc<LiveEvent>>) {
        let mut feeds = self.feeds.lock().expect("never left half changed");
        let feed = feeds.projects.entry(project).or_default();
        (feed.recent.iter().cloned().collect(), feed.sender.subscribe())
    }
}
