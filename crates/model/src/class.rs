//! What a property is, as far as a leak is concerned, and what the door did with it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Data classes, from harmless to never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum Class {
    /// Aggregates.
    C0,
    /// Pseudonymous events.
    C1,
    /// Device and place: browser family, system, referrer host, country, region, city.
    C2,
    /// Identity and join keys: name, mail, phone, IP address, external organisation and user ids.
    C3,
    /// Sensitive: free text about persons, precise place, finance, special categories.
    C4,
    /// Secrets: passwords, tokens, keys. Never stored.
    C5,
}

/// What the door did with one property of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Went on with the event as sent.
    Kept,
    /// Went on in a coarser form: a URL without its query, a referrer's host.
    Reduced,
    /// Went on as a keyed pseudonym: equal values stay equal, the value itself is sealed.
    Pseudonymised,
    /// Left the event; the value is sealed in the vault.
    Sealed,
    /// Left the event and was not stored anywhere.
    Dropped,
}
