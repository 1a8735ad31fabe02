//! Notices through their door: what they say, that others can verify them, and that a relay gets each once.

mod delivery;
#[path = "../../../drill/src/sink.rs"]
mod sink;
mod texts;
mod verified;
