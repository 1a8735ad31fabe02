//! The wire: bytes from a sender → records → valid events and updates.
//!
//! A body is cut into records first, without being understood, so that one record that is too deep, not UTF-8 or
//! not JSON takes none of its neighbours with it. Each record then becomes a [`ValidEvent`] or a [`ProfileUpdate`],
//! or a [`Reason`]. The types here hold plaintext: they have no `Debug`, `Clone` or `Serialize`, and never leave
//! the vault but sealed.

use cofferdam_model::{Reason, limits};
use serde_json::{Map, Value};

/// Cuts a JSON array, a single object or NDJSON into the bytes of its records.
/// An error means that there is no telling where records begin and end.
pub fn split(body: &[u8]) -> Result<Vec<&[u8]>, Reason> {
    let start = skip_space(body, 0);
    match body.get(start) {
        None => Ok(Vec::new()),
        Some(b'[') => split_array(body, start + 1),
        Some(b'{') => split_lines(body, start),
        Some(_) => Err(Reason::MalformedJson),
    }
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

fn split_array(body: &[u8], mut at: usize) -> Result<Vec<&[u8]>, Reason> {
    let mut records = Vec::new();
    at = skip_space(body, at);
    if body.get(at) == Some(&b']') {
        return ends(body, at + 1).map(|()| records);
    }
    loop {
        at = skip_space(body, at);
        let end = value_end(body, at, b"],")?;
        records.push(body[at..end].trim_ascii_end());
        if body[end] == b']' {
            return ends(body, end + 1).map(|()| records);
        }
        at = end + 1;
    }
}

fn ends(body: &[u8], at: usize) -> Result<(), Reason> {
    if skip_space(body, at) == body.len() { Ok(()) } else { Err(Reason::MalformedJson) }
}

/// One object, however it is laid out, or one per line. A broken line takes none of its neighbours with it.
fn split_lines(body: &[u8], at: usize) -> Result<Vec<&[u8]>, Reason> {
    if let Ok(end) = object_end(body, at)
        && skip_space(body, end) == body.len()
    {
        return Ok(vec![&body[at..end]]);
    }
    Ok(body[at..].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).collect())
}

/// Where a value of an array ends: the comma or bracket that closes it.
fn value_end(bytes: &[u8], mut at: usize, closing: &[u8; 2]) -> Result<usize, Reason> {
    let mut depth = 0_usize;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at)?,
            _ if depth == 0 && closing.contains(&byte) => return Ok(at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1).ok_or(Reason::MalformedJson)?,
            _ => {}
        }
        at += 1;
    }
    Err(Reason::MalformedJson)
}

/// One past the brace that closes the object at `at`.
fn object_end(bytes: &[u8], mut at: usize) -> Result<usize, Reason> {
    let mut depth = 0_usize;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at)?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.checked_sub(1).ok_or(Reason::MalformedJson)?;
                if depth == 0 {
                    return Ok(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    Err(Reason::MalformedJson)
}

/// The closing quote of the string that opens at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> Result<usize, Reason> {
    loop {
        at += 1;
        match bytes.get(at) {
            Some(b'\\') => at += 1,
            Some(b'"') => return Ok(at),
            Some(_) => {}
            None => return Err(Reason::MalformedJson),
        }
    }
}

/// Which door a record came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// From SDKs, now: lenient about ids, strict about age.
    Track,
    /// History, from servers.
    Import(Strictness),
}

/// Whether `/import` insists on an insert id and a distinct id that is no placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    Strict,
    Lenient,
}

/// How a project resolves ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityMode {
    Simplified,
    Original,
}

/// An event within all limits. Its properties are as sent.
pub struct ValidEvent {
    pub(crate) name: String,
    pub(crate) time_us: i64,
    pub(crate) who: Who,
    pub(crate) insert_id: Option<String>,
    pub(crate) properties: Map<String, Value>,
}

/// Whose event it is, as the sender says.
pub(crate) struct Who {
    /// The id under which the event is stored; empty when the sender named nobody.
    pub(crate) id: String,
    /// Ids that the event says are the same person.
    pub(crate) links: Vec<Link>,
}

/// "These two ids are one person", and under which condition it is believed.
pub(crate) struct Link {
    pub(crate) alias: String,
    pub(crate) canonical: String,
    pub(crate) rule: LinkRule,
}

/// Which links are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkRule {
    /// Only when the alias is one person with nobody yet: a device stays with the first user seen on it, and two
    /// users are never one.
    FreeAlias,
    Any,
}

/// What one record turned out to be.
pub enum Record {
    Event(ValidEvent),
    /// Carried `$ignore`.
    Ignored,
}

/// Properties that are about the transport and not the event.
const CONSUMED: [&str; 16] = [
    "token",
    "distinct_id",
    "$distinct_id",
    "$device_id",
    "$user_id",
    "$insert_id",
    "time",
    "alias",
    "$identified_id",
    "$anon_id",
    "$anon_distinct_id",
    "$distinct_ids",
    "$had_persisted_distinct_id",
    "$distinct_id_before_identity",
    "$ignore",
    "mp_api_endpoint",
];

const PLACEHOLDERS: [&str; 17] = [
    "00000000-0000-0000-0000-000000000000",
    "anon",
    "anonymous",
    "nil",
    "none",
    "null",
    "n/a",
    "na",
    "undefined",
    "unknown",
    "<nil>",
    "0",
    "-1",
    "true",
    "false",
    "[]",
    "{}",
];

/// What a sender is told about a refused record: which it was, without its content.
pub struct Refused {
    pub reason: Reason,
    /// Echoed to the sender only, so that they can find the record; at most 36 bytes of letters, digits, hyphens.
    pub insert_id: String,
}

/// Reads one record as JSON.
pub fn read_object(record: &[u8]) -> Result<Map<String, Value>, Reason> {
    if record.len() > limits::EVENT_BYTES_MAX {
        return Err(Reason::TooLarge);
    }
    let text = std::str::from_utf8(record).map_err(|_| Reason::NotUtf8)?;
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Reason::NotAnObject),
        // The parser gives up at 128 levels, far beyond what a record may have.
        Err(error) if error.to_string().starts_with("recursion limit") => Err(Reason::TooDeep),
        Err(_) => Err(Reason::MalformedJson),
    }
}

/// The project token a record carries: `properties.token` of an event, `$token` of an update.
pub fn token_of(object: &Map<String, Value>) -> Option<&str> {
    let inner = object.get("properties").and_then(|properties| properties.get("token"));
    inner.or_else(|| object.get("$token")).and_then(Value::as_str).filter(|token| !token.is_empty())
}

/// The record's insert id, if it is one that may be shown.
pub fn insert_id_of(object: &Map<String, Value>) -> String {
    let id = object.get("properties").and_then(|properties| properties.get("$insert_id")).and_then(Value::as_str);
    id.filter(|id| valid_insert_id(id)).unwrap_or_default().to_owned()
}

fn valid_insert_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= limits::INSERT_ID_BYTES_MAX
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether an event only says which ids belong together: it is acted upon, and counts in no report.
pub fn is_about_identity(name: &str) -> bool {
    matches!(name, "$identify" | "$create_alias" | "$merge")
}

/// Checks a record against the limits of its door.
pub fn validate(mut object: Map<String, Value>, door: Door, mode: IdentityMode, now_us: i64) -> Result<Record, Reason> {
    let name = match object.remove("event") {
        Some(Value::String(name)) if !name.is_empty() => name,
        _ => return Err(Reason::NameMissing),
    };
    if name.len() > limits::NAME_BYTES_MAX {
        return Err(Reason::NameTooLong);
    }
    let Some(Value::Object(mut properties)) = object.remove("properties") else {
        return Err(Reason::PropertiesMissing);
    };
    if properties.get("$ignore").is_some_and(|ignore| !matches!(ignore, Value::Bool(false) | Value::Null)) {
        return Ok(Record::Ignored);
    }
    if properties.len() > limits::EVENT_PROPERTIES_MAX {
        return Err(Reason::TooManyProperties);
    }
    for (key, value) in &properties {
        if key.len() > limits::NAME_BYTES_MAX {
            return Err(Reason::NameTooLong);
        }
        check_shape(value, 0)?;
    }
    // Clients send these from servers with nothing but the ids.
    let about_identity = is_about_identity(&name);
    let time_us = match properties.get("time") {
        None | Some(Value::Null) if about_identity => now_us,
        _ => event_time(&properties, door, now_us)?,
    };
    let strict = door == Door::Import(Strictness::Strict) && !about_identity;
    let insert_id = match properties.get("$insert_id") {
        None | Some(Value::Null) if strict => return Err(Reason::InsertIdMissing),
        None | Some(Value::Null) => None,
        Some(Value::String(id)) if valid_insert_id(id) => Some(id.clone()),
        // A browser's id that breaks the rule still tells a retry apart; only /import promises to check.
        Some(Value::String(id)) if door == Door::Track && id.len() <= limits::NAME_BYTES_MAX => Some(id.clone()),
        Some(_) => return Err(Reason::InsertIdInvalid),
    };
    let who = who(&name, &properties, door, mode)?;
    properties.retain(|key, _| !CONSUMED.contains(&key.as_str()));
    Ok(Record::Event(ValidEvent { name, time_us, who, insert_id, properties }))
}

fn check_shape(value: &Value, depth: usize) -> Result<(), Reason> {
    match value {
        Value::Array(items) => {
            if depth == limits::NESTING_DEPTH_MAX {
                return Err(Reason::TooDeep);
            }
            if items.len() > limits::LIST_ITEMS_MAX {
                return Err(Reason::ListTooLong);
            }
            items.iter().try_for_each(|item| check_shape(item, depth + 1))
        }
        Value::Object(object) => {
            if depth == limits::NESTING_DEPTH_MAX {
                return Err(Reason::TooDeep);
            }
            if object.len() > limits::OBJECT_KEYS_MAX {
                return Err(Reason::ObjectTooLarge);
            }
            object.values().try_for_each(|value| check_shape(value, depth + 1))
        }
        _ => Ok(()),
    }
}

/// Seconds or milliseconds, as number or digits: what lies beyond the year 5138 in seconds is milliseconds.
fn event_time(properties: &Map<String, Value>, door: Door, now_us: i64) -> Result<i64, Reason> {
    const MILLISECONDS_FROM: f64 = 1e11;
    let number = match properties.get("time") {
        None | Some(Value::Null) if door == Door::Track => return Ok(now_us),
        None | Some(Value::Null) => return Err(Reason::TimeMissing),
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse::<f64>().ok(),
        Some(_) => None,
    };
    let number = number.filter(|number| number.is_finite() && *number >= 0.0).ok_or(Reason::TimeInvalid)?;
    let us = if number >= MILLISECONDS_FROM { number * 1e3 } else { number * 1e6 };
    // The largest f64 that is an exact µs count is the year 2255; what is later is in the future all the same.
    let time_us = if us < 9e15 { us.round() as i64 } else { return Err(Reason::TimeInFuture) };
    if time_us < limits::EVENT_TIME_US_MIN {
        return Err(Reason::TimeInvalid);
    }
    if time_us > now_us + limits::FUTURE_SECONDS_MAX * 1_000_000 {
        return Err(Reason::TimeInFuture);
    }
    if door == Door::Track && time_us < now_us - limits::TRACK_AGE_SECONDS_MAX * 1_000_000 {
        return Err(Reason::TimeTooOld);
    }
    Ok(time_us)
}

/// An id as text: senders use numbers as well.
fn id_text(value: Option<&Value>) -> Option<String> {
    match value {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(Value::Bool(value)) => Some(value.to_string()),
        _ => None,
    }
}

fn check_id(id: &str) -> Result<(), Reason> {
    if id.len() > limits::DISTINCT_ID_BYTES_MAX || PLACEHOLDERS.contains(&id.to_ascii_lowercase().as_str()) {
        return Err(Reason::DistinctIdInvalid);
    }
    Ok(())
}

/// RFC 9562: hexadecimal in groups of 8-4-4-4-12, version 4.
fn is_uuid_v4(id: &str) -> bool {
    id.len() == 36
        && id.as_bytes()[14] == b'4'
        && id.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn device(id: &str) -> String {
    if id.starts_with("$device:") { id.to_owned() } else { format!("$device:{id}") }
}

fn who(name: &str, properties: &Map<String, Value>, door: Door, mode: IdentityMode) -> Result<Who, Reason> {
    let text = |key: &str| id_text(properties.get(key)).filter(|id| !id.is_empty());
    let (user, device_id) = (text("$user_id"), text("$device_id"));
    let distinct_id = id_text(properties.get("distinct_id"));
    for id in [&user, &device_id].into_iter().flatten() {
        check_id(id)?;
    }
    let mut links = Vec::new();
    let mut link = |alias: String, canonical: String, rule| links.push(Link { alias, canonical, rule });
    let id = match mode {
        IdentityMode::Simplified => match (user, device_id) {
            (Some(user), device_id) => {
                if let Some(device_id) = device_id {
                    link(device(&device_id), user.clone(), LinkRule::FreeAlias);
                }
                Some(user)
            }
            (None, Some(device_id)) => Some(device(&device_id)),
            (None, None) => distinct_id,
        },
        IdentityMode::Original => {
            let distinct_id = distinct_id.or(user).or(device_id);
            match name {
                "$identify" => {
                    let known = text("$identified_id").or_else(|| distinct_id.clone());
                    let anonymous = text("$anon_id").or_else(|| text("$anon_distinct_id"));
                    if let (Some(anonymous), Some(known)) = (anonymous.filter(|id| is_uuid_v4(id)), known) {
                        link(anonymous, known, LinkRule::FreeAlias);
                    }
                }
                "$create_alias" => {
                    if let (Some(alias), Some(canonical)) = (text("alias"), distinct_id.clone()) {
                        link(alias, canonical, LinkRule::Any);
                    }
                }
                "$merge" => {
                    if let Some(Value::Array(ids)) = properties.get("$distinct_ids") {
                        let ids: Vec<String> = ids.iter().filter_map(|id| id_text(Some(id))).collect();
                        for pair in ids.windows(2) {
                            link(pair[1].clone(), pair[0].clone(), LinkRule::Any);
                        }
                    }
                }
                _ => {}
            }
            // An identity record may name its persons only in its own properties.
            distinct_id.or_else(|| links.first().map(|link| link.canonical.clone()))
        }
    };
    links.retain(|Link { alias, canonical, .. }| {
        !alias.is_empty()
            && !canonical.is_empty()
            && alias != canonical
            && check_id(alias).is_ok()
            && check_id(canonical).is_ok()
    });
    let id = match id {
        Some(id) => id,
        // A browser without an id is nobody; it still counts as an event.
        None if door == Door::Track => String::new(),
        None => return Err(Reason::DistinctIdMissing),
    };
    check_id(&id)?;
    Ok(Who { id, links })
}

/// Whose profile an update changes.
pub(crate) enum Target {
    Person { id: String, follow_aliases: bool },
    Group { key: String, id: String },
}

/// One change of a profile.
pub(crate) enum Operation {
    Set(Map<String, Value>),
    SetOnce(Map<String, Value>),
    Add(Map<String, Value>),
    Append(Map<String, Value>),
    Union(Map<String, Value>),
    Remove(Map<String, Value>),
    Unset(Vec<String>),
    Delete,
}

/// A valid record of `/engage` or `/groups`.
pub struct ProfileUpdate {
    pub(crate) target: Target,
    pub(crate) operations: Vec<Operation>,
    /// When the person was last seen, if the update says anything about that, µs UTC.
    pub(crate) seen_us: Option<i64>,
}

/// Which kind of profile a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileKind {
    Person,
    Group,
}

/// Checks a record of `/engage` or `/groups`. `None` is an update that is valid and changes nothing.
pub fn validate_update(
    mut object: Map<String, Value>,
    kind: ProfileKind,
    mode: IdentityMode,
    now_us: i64,
) -> Result<Option<ProfileUpdate>, Reason> {
    let truthy = |value: Option<&Value>| {
        matches!(value, Some(Value::Bool(true))) || value.and_then(Value::as_i64).is_some_and(|n| n != 0)
    };
    let target = match kind {
        ProfileKind::Person => {
            let id = id_text(object.get("$distinct_id"));
            let id = match mode {
                // A browser sends the device's id too; the person it is known as is the one meant.
                IdentityMode::Simplified => id_text(object.get("$user_id")).filter(|id| !id.is_empty()).or(id),
                IdentityMode::Original => id,
            };
            let id = id.filter(|id| !id.is_empty()).ok_or(Reason::DistinctIdMissing)?;
            check_id(&id)?;
            Target::Person { id, follow_aliases: !truthy(object.get("$ignore_alias")) }
        }
        ProfileKind::Group => {
            let text = |key: &str| id_text(object.get(key)).filter(|text| !text.is_empty()).ok_or(Reason::GroupMissing);
            let (key, id) = (text("$group_key")?, text("$group_id")?);
            if key.len() > limits::NAME_BYTES_MAX || id.len() > limits::DISTINCT_ID_BYTES_MAX {
                return Err(Reason::GroupMissing);
            }
            Target::Group { key, id }
        }
    };
    let seen_us = (kind == ProfileKind::Person && !truthy(object.get("$ignore_time"))).then(|| {
        let sent = object.get("$time").and_then(Value::as_f64).unwrap_or(0.0);
        let us = if sent >= 1e11 { sent * 1e3 } else { sent * 1e6 };
        if us > 0.0 && us < now_us as f64 { us as i64 } else { now_us }
    });
    let mut operations = Vec::new();
    if object.contains_key("$delete") {
        operations.push(Operation::Delete);
    }
    type Constructor = fn(Map<String, Value>) -> Operation;
    let with_object: [(&str, Constructor); 6] = [
        ("$set", Operation::Set),
        ("$set_once", Operation::SetOnce),
        ("$add", Operation::Add),
        ("$append", Operation::Append),
        ("$union", Operation::Union),
        ("$remove", Operation::Remove),
    ];
    for (name, operation) in with_object {
        match object.remove(name) {
            None => {}
            Some(Value::Object(changes)) => {
                let allowed = kind == ProfileKind::Person || !matches!(name, "$add" | "$append");
                let well_typed = match name {
                    "$add" => changes.values().all(Value::is_number),
                    "$union" => changes.values().all(Value::is_array),
                    _ => true,
                };
                if !allowed || !well_typed {
                    return Err(Reason::OperatorInvalid);
                }
                for (key, value) in &changes {
                    if key.len() > limits::NAME_BYTES_MAX {
                        return Err(Reason::NameTooLong);
                    }
                    check_shape(value, 0)?;
                }
                operations.push(operation(changes));
            }
            Some(_) => return Err(Reason::OperatorInvalid),
        }
    }
    match object.remove("$unset") {
        None => {}
        Some(Value::Array(names)) => {
            let names: Option<Vec<String>> = names.into_iter().map(|name| name.as_str().map(str::to_owned)).collect();
            operations.push(Operation::Unset(names.ok_or(Reason::OperatorInvalid)?));
        }
        // Some clients send an object whose keys are the names.
        Some(Value::Object(names)) => {
            operations.push(Operation::Unset(names.into_iter().map(|(name, _)| name).collect()))
        }
        Some(_) => return Err(Reason::OperatorInvalid),
    }
    if operations.is_empty() {
        return Err(Reason::OperatorMissing);
    }
    // A device has no profile of its own in the simplified mode: its properties wait for nobody.
    if mode == IdentityMode::Simplified
        && let Target::Person { id, .. } = &target
        && id.starts_with("$device:")
    {
        return Ok(None);
    }
    Ok(Some(ProfileUpdate { target, operations, seen_us }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn records(body: &str) -> Result<Vec<String>, Reason> {
        split(body.as_bytes())
            .map(|records| records.iter().map(|record| String::from_utf8_lossy(record).into_owned()).collect())
    }

    #[test]
    fn splits_arrays_objects_and_lines() {
        assert_eq!(records(r#"[{"a":"],["},{"b":[1,2]} ]"#).unwrap(), [r#"{"a":"],["}"#, r#"{"b":[1,2]}"#]);
        assert_eq!(records(" {\"a\":1}\n{\"b\":\"}\\\"{\"}\n\n").unwrap(), ["{\"a\":1}", "{\"b\":\"}\\\"{\"}"]);
        assert_eq!(records("[]").unwrap(), Vec::<String>::new());
        assert_eq!(records("").unwrap(), Vec::<String>::new());
        assert_eq!(records("[1, x, {\"a\":1}]").unwrap(), ["1", "x", "{\"a\":1}"]);
        assert_eq!(records("{\"a\":\n{\"b\":1}\n{\"c\n\n}}").unwrap(), ["{\"a\":", "{\"b\":1}", "{\"c", "}}"]);
        assert_eq!(records("{\n \"a\": {\n}\n}\n").unwrap().len(), 1);
        for broken in ["[{}", "nonsense", "[{}]x", "[{\"a]", "[}]"] {
            assert_eq!(records(broken), Err(Reason::MalformedJson), "{broken}");
        }
    }

    #[test]
    fn a_record_too_deep_is_refused_alone() {
        let deep = format!("{{\"event\":\"x\",\"properties\":{}1{}}}", "{\"a\":".repeat(1_000), "}".repeat(1_000));
        let body = format!("[{deep},{{\"event\":\"y\"}}]");
        let records = split(body.as_bytes()).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(read_object(records[0]).err(), Some(Reason::TooDeep));
        assert!(read_object(records[1]).is_ok());
    }

    proptest! {
        #[test]
        fn any_array_of_json_splits_into_its_items(items in proptest::collection::vec(".{0,12}", 0..8)) {
            let items: Vec<String> = items.iter().map(|item| serde_json::json!({ "event": item }).to_string()).collect();
            prop_assert_eq!(records(&format!("[{}]", items.join(" , "))).unwrap(), items.clone());
            prop_assert_eq!(records(&items.join("\n")).unwrap(), items);
        }

        #[test]
        fn foreign_bytes_do_not_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(records) = split(&body) {
                for record in records {
                    if let Ok(object) = read_object(record) {
                        let _ = validate(object, Door::Track, IdentityMode::Simplified, 0);
                    }
                }
            }
        }
    }
}
