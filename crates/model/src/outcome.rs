//! How a received record ended. Each ends in exactly one outcome, so that the counts balance:
//! received = accepted + duplicate + ignored + rejected.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Durable and in every report.
    Accepted,
    /// The same record was accepted before: nothing to add.
    Duplicate,
    /// The sender asked for it to be dropped (`$ignore`).
    Ignored,
    Rejected(Reason),
}

/// Why a record was not taken. Each has a message for the sender and a word for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    MalformedJson,
    NotUtf8,
    NotAnObject,
    TooLarge,
    TooDeep,
    TooManyEvents,
    TooManyProperties,
    ListTooLong,
    ObjectTooLarge,
    NameMissing,
    NameTooLong,
    PropertiesMissing,
    TokenMissing,
    TokenUnknown,
    TimeMissing,
    TimeInvalid,
    TimeTooOld,
    TimeInFuture,
    DistinctIdMissing,
    DistinctIdInvalid,
    InsertIdMissing,
    InsertIdInvalid,
    OperatorMissing,
    OperatorInvalid,
    GroupMissing,
    ProfileTooLarge,
    IdentityRefused,
    Unavailable,
}

impl Reason {
    /// Every reason, for counters that start at zero.
    pub const ALL: [Reason; 28] = [
        Self::MalformedJson,
        Self::NotUtf8,
        Self::NotAnObject,
        Self::TooLarge,
        Self::TooDeep,
        Self::TooManyEvents,
        Self::TooManyProperties,
        Self::ListTooLong,
        Self::ObjectTooLarge,
        Self::NameMissing,
        Self::NameTooLong,
        Self::PropertiesMissing,
        Self::TokenMissing,
        Self::TokenUnknown,
        Self::TimeMissing,
        Self::TimeInvalid,
        Self::TimeTooOld,
        Self::TimeInFuture,
        Self::DistinctIdMissing,
        Self::DistinctIdInvalid,
        Self::InsertIdMissing,
        Self::InsertIdInvalid,
        Self::OperatorMissing,
        Self::OperatorInvalid,
        Self::GroupMissing,
        Self::ProfileTooLarge,
        Self::IdentityRefused,
        Self::Unavailable,
    ];

    /// The word in counters, metrics and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::NotUtf8 => "not_utf8",
            Self::NotAnObject => "not_an_object",
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::TooManyEvents => "too_many_events",
            Self::TooManyProperties => "too_many_properties",
            Self::ListTooLong => "list_too_long",
            Self::ObjectTooLarge => "object_too_large",
            Self::NameMissing => "name_missing",
            Self::NameTooLong => "name_too_long",
            Self::PropertiesMissing => "properties_missing",
            Self::TokenMissing => "token_missing",
            Self::TokenUnknown => "token_unknown",
            Self::TimeMissing => "time_missing",
            Self::TimeInvalid => "time_invalid",
            Self::TimeTooOld => "time_too_old",
            Self::TimeInFuture => "time_in_future",
            Self::DistinctIdMissing => "distinct_id_missing",
            Self::DistinctIdInvalid => "distinct_id_invalid",
            Self::InsertIdMissing => "insert_id_missing",
            Self::InsertIdInvalid => "insert_id_invalid",
            Self::OperatorMissing => "operator_missing",
            Self::OperatorInvalid => "operator_invalid",
            Self::GroupMissing => "group_missing",
            Self::ProfileTooLarge => "profile_too_large",
            Self::IdentityRefused => "identity_refused",
            Self::Unavailable => "unavailable",
        }
    }

    /// What a sender is told: the field at fault and a sentence without any value in it.
    pub fn explain(self) -> (&'static str, &'static str) {
        match self {
            Self::MalformedJson => ("", "the record is not valid JSON"),
            Self::NotUtf8 => ("", "the record is not valid UTF-8"),
            Self::NotAnObject => ("", "the record must be a JSON object"),
            Self::TooLarge => ("", "the record exceeds 1 MiB"),
            Self::TooDeep => ("properties", "properties are nested deeper than 3 levels"),
            Self::TooManyEvents => ("", "the request holds more than 2000 records"),
            Self::TooManyProperties => ("properties", "the event has more than 255 properties"),
            Self::ListTooLong => ("properties", "a list has more than 255 items"),
            Self::ObjectTooLarge => ("properties", "a nested object has more than 255 keys"),
            Self::NameMissing => ("event", "'event' must be a string that is not empty"),
            Self::NameTooLong => ("event", "a name is longer than 255 bytes"),
            Self::PropertiesMissing => ("properties", "'properties' must be an object"),
            Self::TokenMissing => ("properties.token", "the project token is missing"),
            Self::TokenUnknown => ("properties.token", "no project has this token"),
            Self::TimeMissing => ("properties.time", "'properties.time' is missing"),
            Self::TimeInvalid => {
                ("properties.time", "'properties.time' must be seconds or milliseconds since 1970, from 1971-01-01 on")
            }
            Self::TimeTooOld => ("properties.time", "the event is older than 5 days: send history to /import"),
            Self::TimeInFuture => ("properties.time", "'properties.time' is more than an hour in the future"),
            Self::DistinctIdMissing => ("properties.distinct_id", "'properties.distinct_id' is missing"),
            Self::DistinctIdInvalid => {
                ("properties.distinct_id", "the distinct id is a placeholder or longer than 1024 bytes")
            }
            Self::InsertIdMissing => ("properties.$insert_id", "'properties.$insert_id' is missing"),
            Self::InsertIdInvalid => {
                ("properties.$insert_id", "the insert id must be 1 to 36 letters, digits and hyphens")
            }
            Self::OperatorMissing => ("", "the update has no operation such as $set"),
            Self::OperatorInvalid => ("", "the operation's value has the wrong type"),
            Self::GroupMissing => ("$group_key", "'$group_key' and '$group_id' must be strings that are not empty"),
            Self::ProfileTooLarge => ("", "the profile would exceed 256 KiB or 2000 properties"),
            Self::IdentityRefused => ("properties", "these ids cannot be merged"),
            Self::Unavailable => ("", "the record could not be stored: send it again"),
        }
    }
}
