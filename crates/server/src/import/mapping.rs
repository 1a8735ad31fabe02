//! From a record of a file to an event of the door: which field is the event's name, the person, the time.
//!
//! Invariants
//! - Mapping has no state: the same record at the same place always gives the same event, so an import can be
//!   repeated from any point.
//! - A record becomes an event or a [`Fault`], which names the reason and the field and never a value.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, bail};
use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use serde_json::{Map, Number, Value};

use super::ImportArgs;
use super::source::{Position, hash};

/// Longest `$insert_id` the door takes.
const INSERT_ID_BYTES_MAX: usize = 36;
/// Beyond this an `f64` does not hold every whole number, so a number is probably an id.
const EXACT_INTEGER_MAX: u64 = 1 << 53;

/// Why a record did not become an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: &'static str,
    /// A column of the file, as the user wrote it.
    pub(crate) field: Option<String>,
}

fn fault(reason: &'static str, field: &str) -> Fault {
    Fault { reason, field: Some(field.to_owned()) }
}

#[derive(Debug)]
enum EventName {
    Constant(String),
    Column(String),
}

#[derive(Debug)]
enum TimeFormat {
    Auto,
    UnixSeconds,
    UnixMillis,
    Pattern(String),
}

#[derive(Debug)]
pub(crate) struct Mapping {
    event: EventName,
    distinct_id: Option<String>,
    time: String,
    time_format: TimeFormat,
    time_zone: TimeZone,
    insert_id: Option<String>,
    numbers: HashSet<String>,
    strings: HashSet<String>,
    renames: HashMap<String, String>,
    skips: HashSet<String>,
}

impl Mapping {
    pub(crate) fn new(args: &ImportArgs) -> anyhow::Result<Self> {
        let event = match (&args.event_name, &args.event_column) {
            (Some(name), _) if name.trim().is_empty() => bail!("--event-name is empty"),
            (Some(name), _) => EventName::Constant(name.clone()),
            (None, column) => EventName::Column(column.clone().unwrap_or_else(|| "event".to_owned())),
        };
        let time_format = match args.time_format.as_str() {
            "auto" => TimeFormat::Auto,
            "unix" => TimeFormat::UnixSeconds,
            "unix-ms" => TimeFormat::UnixMillis,
            pattern if pattern.contains('%') => TimeFormat::Pattern(pattern.to_owned()),
            _ => bail!(
                "--time-format is none of auto, unix, unix-ms, and no pattern\nhint: a pattern looks like %Y-%m-%d %H:%M:%S"
            ),
        };
        let time_zone = TimeZone::get(&args.time_zone).map_err(|_| {
            anyhow::anyhow!("--time-zone {} is not known\nhint: use a name such as Europe/Madrid", args.time_zone)
        })?;
        let mut renames = HashMap::new();
        for rename in &args.rename {
            let (old, new) = rename.split_once('=').context("--rename needs OLD=NEW")?;
            if old.is_empty() || new.is_empty() {
                bail!("--rename needs OLD=NEW");
            }
            renames.insert(old.to_owned(), new.to_owned());
        }
        let (numbers, strings): (HashSet<String>, HashSet<String>) =
            (args.number_columns.iter().cloned().collect(), args.string_columns.iter().cloned().collect());
        if let Some(both) = numbers.intersection(&strings).next() {
            bail!("column {both} is in --number-columns and in --string-columns");
        }
        Ok(Self {
            event,
            distinct_id: args.distinct_id_column.clone(),
            time: args.time_column.clone().unwrap_or_else(|| "time".to_owned()),
            time_format,
            time_zone,
            insert_id: args.insert_id_column.clone(),
            numbers,
            strings,
            renames,
            skips: args.skip_columns.iter().cloned().collect(),
        })
    }

    /// The columns a CSV file must have for any of its records to become an event.
    pub(crate) fn missing_column(&self, header: &[String]) -> Option<String> {
        let event = match &self.event {
            EventName::Column(column) => Some(column.as_str()),
            EventName::Constant(_) => None,
        };
        let wanted = [event, Some(self.distinct_id_column()), Some(self.time.as_str()), self.insert_id.as_deref()];
        wanted.into_iter().flatten().find(|column| !header.iter().any(|have| have == column)).map(str::to_owned)
    }

    fn distinct_id_column(&self) -> &str {
        self.distinct_id.as_deref().unwrap_or("distinct_id")
    }

    /// A line of NDJSON: the shape of a Mixpanel raw export, or a flat object.
    pub(crate) fn map_json(&self, text: &[u8], at: Position) -> Result<Value, Fault> {
        let record: Value =
            serde_json::from_slice(text).map_err(|_| Fault { reason: "not valid JSON", field: None })?;
        let Value::Object(mut record) = record else {
            return Err(Fault { reason: "not a JSON object", field: None });
        };
        let exported =
            record.get("event").is_some_and(Value::is_string) && record.get("properties").is_some_and(Value::is_object);
        if exported && let Some(Value::Object(mut properties)) = record.remove("properties") {
            // Its name goes where a flat object has it; a property of the same name is only a property.
            let name = match &self.event {
                EventName::Column(column) if column != "event" => event_name(properties.get(column), column)?,
                EventName::Column(_) => event_name(record.get("event"), "event")?,
                EventName::Constant(name) => name.clone(),
            };
            if self.distinct_id.is_none() && !properties.contains_key("distinct_id") {
                infer_distinct_id(&mut properties);
            }
            return self.finish(name, properties, text, at, EmptyId::Kept);
        }
        let name = match &self.event {
            EventName::Constant(name) => name.clone(),
            EventName::Column(column) => {
                let name = event_name(record.get(column), column)?;
                record.remove(column);
                name
            }
        };
        self.finish(name, record, text, at, EmptyId::Refused)
    }

    /// A record of a CSV file whose field count has been checked against the header.
    pub(crate) fn map_csv(
        &self,
        header: &[String],
        fields: &[Cow<'_, str>],
        text: &[u8],
        at: Position,
    ) -> Result<Value, Fault> {
        let mut name = match &self.event {
            EventName::Constant(name) => Some(name.clone()),
            EventName::Column(_) => None,
        };
        let mut properties = Map::new();
        for (column, field) in header.iter().zip(fields) {
            match &self.event {
                EventName::Column(of_event) if of_event == column => {
                    name = (!field.trim().is_empty()).then(|| field.trim().to_owned());
                }
                // An empty field says that there is no value.
                _ if field.is_empty() || self.skips.contains(column) && !self.needed(column) => {}
                _ => {
                    properties.insert(column.clone(), self.csv_value(column, field)?);
                }
            }
        }
        let name = name.ok_or_else(|| match &self.event {
            EventName::Column(column) => fault("no event name", column),
            EventName::Constant(_) => Fault { reason: "no event name", field: None },
        })?;
        self.finish(name, properties, text, at, EmptyId::Refused)
    }

    fn needed(&self, column: &str) -> bool {
        column == self.distinct_id_column() || column == self.time || self.insert_id.as_deref() == Some(column)
    }

    fn csv_value(&self, column: &str, field: &str) -> Result<Value, Fault> {
        if self.numbers.contains(column) {
            let number = field.trim().parse::<f64>().ok().and_then(number_value);
            return number.ok_or_else(|| fault("not a number", column));
        }
        if self.strings.contains(column) || self.needed(column) {
            return Ok(Value::String(field.to_owned()));
        }
        Ok(match field {
            "true" | "TRUE" | "True" => Value::Bool(true),
            "false" | "FALSE" | "False" => Value::Bool(false),
            text => detect_number(text).unwrap_or_else(|| Value::String(text.to_owned())),
        })
    }

    /// Puts person, time and insert id where the door expects them, and everything else beside them.
    fn finish(
        &self,
        name: String,
        mut fields: Map<String, Value>,
        text: &[u8],
        at: Position,
        empty: EmptyId,
    ) -> Result<Value, Fault> {
        let id_column = self.distinct_id_column();
        let distinct_id = match fields.remove(id_column) {
            Some(Value::String(id)) if !id.trim().is_empty() || empty == EmptyId::Kept => id,
            Some(Value::Number(id)) => id.to_string(),
            _ => return Err(fault("no distinct id", id_column)),
        };
        let time = fields.remove(&self.time).ok_or_else(|| fault("no time", &self.time))?;
        let time_ms = self.time_ms(&time).ok_or_else(|| fault("time cannot be read", &self.time))?;
        let own_id = match &self.insert_id {
            Some(column) => Some(fields.remove(column).ok_or_else(|| fault("no insert id", column))?),
            None => fields.remove("$insert_id"),
        };
        let insert_id = match own_id {
            Some(Value::String(id)) if !id.is_empty() => door_insert_id(id),
            Some(Value::Number(id)) => door_insert_id(id.to_string()),
            Some(_) if self.insert_id.is_some() => {
                return Err(fault("no insert id", self.insert_id.as_deref().unwrap_or_default()));
            }
            _ => insert_id_of_place(at, text),
        };

        let mut properties = Map::new();
        for (key, value) in fields {
            if self.skips.contains(&key) || value.is_null() {
                continue;
            }
            let value = if self.strings.contains(&key) { text_value(value) } else { value };
            let value = match value {
                Value::String(text) if self.numbers.contains(&key) => {
                    text.trim().parse().ok().and_then(number_value).ok_or_else(|| fault("not a number", &key))?
                }
                value => value,
            };
            let key = self.renames.get(&key).cloned().unwrap_or(key);
            // The project is that of --token, whatever the file says.
            if key != "token" {
                properties.insert(key, value);
            }
        }
        properties.insert("time".to_owned(), Value::from(time_ms));
        properties.insert("distinct_id".to_owned(), Value::String(distinct_id));
        properties.insert("$insert_id".to_owned(), Value::String(insert_id));
        let mut event = Map::new();
        event.insert("event".to_owned(), Value::String(name));
        event.insert("properties".to_owned(), Value::Object(properties));
        Ok(Value::Object(event))
    }

    /// Milliseconds since 1970 UTC.
    fn time_ms(&self, value: &Value) -> Option<i64> {
        match value {
            Value::Number(number) => self.number_ms(number.as_f64()?),
            Value::String(text) => self.text_ms(text.trim()),
            _ => None,
        }
    }

    fn number_ms(&self, value: f64) -> Option<i64> {
        let ms = match self.time_format {
            TimeFormat::UnixSeconds => value * 1000.0,
            TimeFormat::UnixMillis => value,
            TimeFormat::Pattern(_) => return self.text_ms(&value.to_string()),
            // A dump of dates: as a Unix time every such number is before 1971, which no event is.
            TimeFormat::Auto if date_of_digits(value).is_some() => {
                return self.civil_ms(date_of_digits(value)?.into());
            }
            // Seconds reach 1e11 in the year 5138, milliseconds have reached it in 1973; and so on.
            TimeFormat::Auto => match value.abs() {
                v if v < 1e11 => value * 1000.0,
                v if v < 1e14 => value,
                v if v < 1e17 => value / 1e3,
                _ => value / 1e6,
            },
        };
        (ms.is_finite() && ms.abs() < 9e15).then_some(ms.round() as i64)
    }

    fn text_ms(&self, text: &str) -> Option<i64> {
        match &self.time_format {
            TimeFormat::Pattern(pattern) => {
                let parsed = strtime::parse(pattern, text).ok()?;
                if parsed.offset().is_some() || parsed.iana_time_zone().is_some() {
                    return Some(parsed.to_timestamp().ok()?.as_millisecond());
                }
                match parsed.to_datetime() {
                    Ok(civil) => self.civil_ms(civil),
                    Err(_) => self.civil_ms(parsed.to_date().ok()?.into()),
                }
            }
            TimeFormat::UnixSeconds | TimeFormat::UnixMillis => self.number_ms(text.parse().ok()?),
            TimeFormat::Auto => {
                if let Ok(number) = text.parse::<f64>() {
                    return self.number_ms(number);
                }
                if let Ok(instant) = text.parse::<jiff::Timestamp>() {
                    return Some(instant.as_millisecond());
                }
                // As some warehouses write it: 2024-05-01 10:00:00 UTC.
                if let Some(utc) = text.strip_suffix(" UTC") {
                    return Some(
                        utc.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond(),
                    );
                }
                self.civil_ms(text.parse::<DateTime>().ok()?)
            }
        }
    }

    /// In the gap of a clock change the later, in its fold the earlier of both readings.
    fn civil_ms(&self, civil: DateTime) -> Option<i64> {
        Some(self.time_zone.to_ambiguous_zoned(civil).compatible().ok()?.timestamp().as_millisecond())
    }
}

/// What a present but empty distinct id means: the raw export has events of nobody, a table has gaps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EmptyId {
    Kept,
    Refused,
}

fn event_name(value: Option<&Value>, column: &str) -> Result<String, Fault> {
    match value {
        Some(Value::String(name)) if !name.trim().is_empty() => Ok(name.clone()),
        _ => Err(fault("no event name", column)),
    }
}

/// The rule of the simplified identity merge.
fn infer_distinct_id(properties: &mut Map<String, Value>) {
    let id = |key: &str| properties.get(key).and_then(Value::as_str).filter(|id| !id.is_empty());
    let inferred = match (id("$user_id"), id("$device_id")) {
        (Some(user), _) => user.to_owned(),
        (None, Some(device)) => format!("$device:{device}"),
        (None, None) => return,
    };
    properties.insert("distinct_id".to_owned(), Value::String(inferred));
}

/// Numbers as people write them. Kept as text: leading zeros and a plus sign (codes, phone numbers), and whole
/// numbers too large to be exact (ids).
fn detect_number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let whole = digits.split(['.', 'e', 'E']).next()?;
    let plausible = !whole.is_empty()
        && whole.bytes().all(|byte| byte.is_ascii_digit())
        && (whole.len() == 1 || !whole.starts_with('0'))
        && !digits.ends_with('.');
    if !plausible {
        return None;
    }
    if digits.len() == whole.len() {
        let number = text.parse::<i64>().ok()?;
        return (number.unsigned_abs() <= EXACT_INTEGER_MAX).then(|| Value::from(number));
    }
    text.parse().ok().and_then(number_value)
}

/// A whole number without a fraction, so that 3 does not become 3.0.
fn number_value(number: f64) -> Option<Value> {
    if number.fract() == 0.0 && number.abs() <= EXACT_INTEGER_MAX as f64 {
        return Some(Value::from(number as i64));
    }
    Number::from_f64(number).map(Value::Number)
}

fn text_value(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.to_string()),
        Value::Bool(flag) => Value::String(flag.to_string()),
        value => value,
    }
}

fn date_of_digits(value: f64) -> Option<Date> {
    if value.fract() != 0.0 || !(19_700_101.0..21_000_101.0).contains(&value) {
        return None;
    }
    let digits = value as i32;
    Date::new((digits / 10_000) as i16, (digits / 100 % 100) as i8, (digits % 100) as i8).ok()
}

/// Ids the door would refuse are replaced by their hash, which is as good for telling records apart.
fn door_insert_id(id: String) -> String {
    let fits = id.len() <= INSERT_ID_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if fits { id } else { format!("{:032x}", hash(id.as_bytes())) }
}

/// From the place in the file, which is what makes it unique in a run and the same in the next one, and 32 bits
/// of the record, which tell files apart. Not more than that: the insert id is stored with the events, and a
/// full hash of a record would let anybody test guesses of the personal data in it.
fn insert_id_of_place(at: Position, text: &[u8]) -> String {
    let hash = hash(text);
    let folded = (hash ^ (hash >> 64)) as u64;
    format!("imp-{:x}-{:08x}", at.offset, (folded ^ (folded >> 32)) as u32)
}
