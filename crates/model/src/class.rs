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
    /// Left the event because the tracking plan does not know it; kept encrypted for a few days, for somebody to
    /// release or purge.
    Quarantined,
}

/// What decided about a property. Says what kind of thing was found, and never what it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// Nothing was found.
    #[default]
    Nothing,
    /// The tracking plan.
    Plan,
    /// What the property is called.
    Name,
    Url,
    UserAgent,
    Email,
    Phone,
    IpAddress,
    /// A bank account number with a right checksum.
    Iban,
    /// DNI, NIE, codice fiscale or social security number.
    NationalId,
    /// A card number with a known issuer and a right checksum.
    PaymentCard,
    Jwt,
    PrivateKey,
    /// A key or token of a provider whose keys have a shape of their own.
    ApiKey,
    /// `Authorization: Bearer …` or `Basic …`.
    Authorization,
    /// An address of a database or service with a password in it.
    ConnectionString,
    /// A secret written in text: `password=…`, `la clave es …`.
    SecretInText,
    /// A long random string.
    HighEntropy,
}

impl Detector {
    /// In the order of their numbers in databases: append only.
    pub const ALL: [Detector; 18] = [
        Self::Nothing,
        Self::Plan,
        Self::Name,
        Self::Url,
        Self::UserAgent,
        Self::Email,
        Self::Phone,
        Self::IpAddress,
        Self::Iban,
        Self::NationalId,
        Self::PaymentCard,
        Self::Jwt,
        Self::PrivateKey,
        Self::ApiKey,
        Self::Authorization,
        Self::ConnectionString,
        Self::SecretInText,
        Self::HighEntropy,
    ];

    /// The number in databases.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The one with this number; an unknown number is of a newer version, and says nothing here.
    pub fn of_number(number: i64) -> Detector {
        usize::try_from(number).ok().and_then(|at| Self::ALL.get(at).copied()).unwrap_or_default()
    }
}
