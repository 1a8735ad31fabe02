//! The live feed: what arrives, as it arrives, with what happened to each property. Memory only.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use cofferdam_model::{Action, Class, ProjectId, limits};
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
    /// Absent when sealed or dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub value: Option<serde_json::Value>,
}

#[derive(Default)]
pub(crate) struct Live {
    feeds: Mutex<FxHashMap<ProjectId, Feed>>,
    next: AtomicU64,
}

struct Feed {
    recent: VecDeque<LiveEvent>,
    sender: broadcast::Sender<LiveEvent>,
}

impl Default for Feed {
    fn default() -> Feed {
        Feed { recent: VecDeque::new(), sender: broadcast::channel(512).0 }
    }
}

impl Live {
    /// Shows records. Of a large batch only the last are: nobody reads more.
    pub(crate) fn publish(&self, project: ProjectId, events: Vec<LiveEvent>) {
        if events.is_empty() {
            return;
        }
        let mut feeds = self.feeds.lock().expect("never left half changed");
        let feed = feeds.entry(project).or_default();
        for mut event in events {
            event.id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
            if feed.recent.len() == limits::LIVE_EVENTS_KEPT {
                feed.recent.pop_front();
            }
            feed.recent.push_back(event.clone());
            // Nobody listening is fine.
            let _ = feed.sender.send(event);
        }
    }

    /// The last records and those to come.
    pub(crate) fn follow(&self, project: ProjectId) -> (Vec<LiveEvent>, broadcast::Receiver<LiveEvent>) {
        let mut feeds = self.feeds.lock().expect("never left half changed");
        let feed = feeds.entry(project).or_default();
        (feed.recent.iter().cloned().collect(), feed.sender.subscribe())
    }
}
