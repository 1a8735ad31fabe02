//! Refusals, of which whoever is refused can cause as many as they like: a few per actor and minute are entries, the
//! rest are counted, and the count is an entry.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cofferdam_model::limits;

use crate::entry::{Entry, Kind, Pseudonym};

#[derive(Default)]
pub(crate) struct Caps(Mutex<HashMap<Key, Window>>);

/// Who is refused what. All beyond the number of actors that are told apart are one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Of(Kind, Option<Pseudonym>),
    Others(Kind),
}

struct Window {
    since: Instant,
    written: u32,
    counted: u64,
}

impl Caps {
    /// Whether a refusal becomes an entry of its own; otherwise it was counted.
    pub(crate) fn admit(&self, entry: &Entry, now: Instant) -> bool {
        if !entry.kind.is_refusal() || cofferdam_model::sabotage::is_out(54) {
            return true;
        }
        let mut windows = self.0.lock().expect("never left half changed");
        let mut key = Key::Of(entry.kind, entry.actor.or(entry.ip));
        if windows.len() >= limits::LEDGER_REFUSING_ACTORS_MAX && !windows.contains_key(&key) {
            key = Key::Others(entry.kind);
        }
        let window = windows.entry(key).or_insert(Window { since: now, written: 0, counted: 0 });
        if window.written < limits::LEDGER_REFUSALS_MAX {
            window.written += 1;
            return true;
        }
        window.counted += 1;
        false
    }

    /// Entries for the counts of windows that ended, or of all. `extra` says the kind that was counted.
    pub(crate) fn summaries(&self, now: Instant, all: bool) -> Vec<Entry> {
        let mut windows = self.0.lock().expect("never left half changed");
        let mut summaries = Vec::new();
        windows.retain(|key, window| {
            let ended = all || now.duration_since(window.since) >= Duration::from_secs(limits::LEDGER_REFUSAL_SECONDS);
            if ended && window.counted > 0 {
                let (kind, actor) = match key {
                    Key::Of(kind, actor) => (*kind, *actor),
                    Key::Others(kind) => (*kind, None),
                };
                summaries.push(Entry {
                    actor,
                    count: window.counted,
                    extra: vec![kind as u8],
                    ..Entry::of(Kind::RefusalsCounted)
                });
            }
            !ended
        });
        summaries
    }

    /// Takes a summary back that could not be written: it is counted on.
    pub(crate) fn put_back(&self, summary: &Entry, now: Instant) {
        let kind = Kind::ALL.iter().copied().find(|kind| [*kind as u8][..] == summary.extra[..]);
        let Some(kind) = kind else { return };
        let mut windows = self.0.lock().expect("never left half changed");
        let window = windows.entry(Key::Of(kind, summary.actor)).or_insert(Window {
            since: now,
            written: limits::LEDGER_REFUSALS_MAX,
            counted: 0,
        });
        window.counted += summary.count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(actor: u32) -> Entry {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&actor.to_be_bytes());
        Entry { actor: Some(Pseudonym(bytes)), ..Entry::of(Kind::SignInRefused) }
    }

    #[test]
    fn refusals_beyond_an_actors_allowance_are_counted_to_the_last_one() {
        let caps = Caps::default();
        let start = Instant::now();
        let written = (0..1_000).filter(|_| caps.admit(&refusal(1), start)).count() as u64;
        assert_eq!(written, u64::from(limits::LEDGER_REFUSALS_MAX));
        assert!(caps.admit(&refusal(2), start), "somebody else has an allowance of their own");
        assert!(caps.admit(&Entry::of(Kind::Locked), start));
        assert!(caps.summaries(start, false).is_empty());
        let later = start + Duration::from_secs(limits::LEDGER_REFUSAL_SECONDS);
        let summaries = caps.summaries(later, false);
        assert_eq!(summaries.len(), 1);
        assert_eq!((summaries[0].actor, summaries[0].count), (refusal(1).actor, 1_000 - written));
        caps.put_back(&summaries[0], later);
        assert!(!caps.admit(&refusal(1), later));
        assert_eq!(caps.summaries(later, true)[0].count, 1_001 - written);
        assert!(caps.admit(&refusal(1), later));
    }

    #[test]
    fn many_actors_do_not_take_memory_without_bound() {
        let caps = Caps::default();
        let start = Instant::now();
        let count = 2 * limits::LEDGER_REFUSING_ACTORS_MAX as u32;
        let written = (0..count).filter(|actor| caps.admit(&refusal(*actor), start)).count();
        assert_eq!(written, limits::LEDGER_REFUSING_ACTORS_MAX + limits::LEDGER_REFUSALS_MAX as usize);
        let summaries = caps.summaries(start, true);
        let counted: u64 = summaries.iter().map(|summary| summary.count).sum();
        assert_eq!(counted + written as u64, u64::from(count));
    }
}
