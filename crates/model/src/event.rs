//! The sealed event: what is left of an event once the door has taken out who it happened to.

use crate::SubjectNo;

/// A property's value. Objects and lists of anything but strings are kept as JSON text.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    String(String),
    /// Finite.
    Number(f64),
    Bool(bool),
    /// Microseconds since 1970-01-01 UTC.
    Time(i64),
    List(Vec<String>),
    /// JSON text of an object, or of a list that holds objects.
    Object(String),
}

/// The type of a property column. One property may have several, each in a column of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PropertyType {
    String,
    Number,
    Bool,
    Time,
    List,
    Object,
}

impl PropertyType {
    /// The order in which a reader asks the columns of one property.
    pub const ALL: [PropertyType; 6] = [Self::String, Self::Number, Self::Bool, Self::Time, Self::List, Self::Object];

    /// The word used in the console and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Bool => "boolean",
            Self::Time => "time",
            Self::List => "list",
            Self::Object => "object",
        }
    }

    /// Short prefix of the column's name in a segment file.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::String => "str",
            Self::Number => "num",
            Self::Bool => "bool",
            Self::Time => "time",
            Self::List => "list",
            Self::Object => "obj",
        }
    }
}

impl Value {
    pub fn property_type(&self) -> PropertyType {
        match self {
            Value::String(_) => PropertyType::String,
            Value::Number(_) => PropertyType::Number,
            Value::Bool(_) => PropertyType::Bool,
            Value::Time(_) => PropertyType::Time,
            Value::List(_) => PropertyType::List,
            Value::Object(_) => PropertyType::Object,
        }
    }
}

/// An event that passed the door: pseudonymous, typed, ready to be written down.
#[derive(Clone, Debug, PartialEq)]
pub struct SealedEvent {
    pub name: String,
    pub subject: SubjectNo,
    /// As sent, microseconds since 1970-01-01 UTC.
    pub time_us: i64,
    /// Keyed hash of the sender's insert id; 0 when none was sent, and then never a duplicate.
    pub insert_id: u64,
    pub properties: Vec<(String, Value)>,
}
