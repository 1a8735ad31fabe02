//! The wire: bytes from a sender → records → valid events and updates.
//!
//! A record that is too deep, not UTF-8 or not JSON takes none of its neighbours with it. Records that are well
//! formed are read in the pass that finds where they end; a body is cut into records without being understood
//! ([`split`]) where that fails. Each record then becomes a [`ValidEvent`] or a [`ProfileUpdate`], or a [`Reason`].
//! Events borrow their text from the body. The types here hold plaintext: they have no `Debug`, `Clone` or
//! `Serialize`, and never leave the vault but sealed.

use std::borrow::Cow;

use cofferdam_model::{Reason, limits};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

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

/// One record of a body of events: its bytes, and what they say.
pub struct EventRecord<'a> {
    pub bytes: &'a [u8],
    pub read: Result<SentEvent<'a>, Reason>,
}

/// Reads a body of events: a JSON array, a single object or NDJSON, as [`split`] cuts it.
/// An error means that there is no telling where records begin and end.
pub fn read_events(body: &[u8]) -> Result<Vec<EventRecord<'_>>, Reason> {
    if let Ok(text) = std::str::from_utf8(body)
        && let Some(records) = read_well_formed(text)
    {
        return Ok(records);
    }
    Ok(split(body)?.into_iter().map(|bytes| EventRecord { bytes, read: read_event(bytes) }).collect())
}

/// The records of an array or a single object, or `None` when it has to be cut first.
fn read_well_formed(text: &str) -> Option<Vec<EventRecord<'_>>> {
    // An event of a browser is about this long.
    const RECORD_BYTES: usize = 600;
    let body = text.as_bytes();
    let start = skip_space(body, 0);
    if body.get(start) == Some(&b'{') {
        let (end, event) = read_one(text, start)?;
        let bytes = &body[start..end];
        return (skip_space(body, end) == body.len()).then(|| vec![EventRecord { bytes, read: within(bytes, event) }]);
    }
    if body.get(start) != Some(&b'[') {
        return None;
    }
    let mut records = Vec::with_capacity(body.len() / RECORD_BYTES + 1);
    let mut at = skip_space(body, start + 1);
    if body.get(at) == Some(&b']') {
        return ends(body, at + 1).ok().map(|()| records);
    }
    loop {
        let (end, read) = match read_one(text, at) {
            Some((end, event)) => (end, within(&body[at..end], event)),
            None => {
                let end = value_end(body, at, b"],").ok()?;
                let end = at + body[at..end].trim_ascii_end().len();
                (end, read_event(&body[at..end]))
            }
        };
        records.push(EventRecord { bytes: &body[at..end], read });
        at = skip_space(body, end);
        match body.get(at) {
            Some(b',') => at = skip_space(body, at + 1),
            Some(b']') => return ends(body, at + 1).ok().map(|()| records),
            _ => return None,
        }
    }
}

/// Reads the object at `at`. Answers one past its end, or `None` when it is not a well-formed one.
fn read_one(text: &str, at: usize) -> Option<(usize, SentEvent<'_>)> {
    if text.as_bytes().get(at) != Some(&b'{') {
        return None;
    }
    let mut stream = serde_json::Deserializer::from_str(text.get(at..)?).into_iter::<SentEvent<'_>>();
    let event = stream.next()?.ok()?;
    Some((at + stream.byte_offset(), event))
}

fn within<'a>(bytes: &[u8], event: SentEvent<'a>) -> Result<SentEvent<'a>, Reason> {
    if bytes.len() > limits::EVENT_BYTES_MAX { Err(Reason::TooLarge) } else { Ok(event) }
}

/// Reads one record that was cut out.
fn read_event(record: &[u8]) -> Result<SentEvent<'_>, Reason> {
    match serde_json::from_str::<SentEvent<'_>>(within_limits(record)?) {
        Ok(event) => Ok(event),
        Err(_) => Err(read_object(record).err().unwrap_or(Reason::MalformedJson)),
    }
}

fn within_limits(record: &[u8]) -> Result<&str, Reason> {
    if record.len() > limits::EVENT_BYTES_MAX {
        return Err(Reason::TooLarge);
    }
    std::str::from_utf8(record).map_err(|_| Reason::NotUtf8)
}

/// A value as sent.
pub(crate) enum Sent<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    /// A list or an object.
    Nested(Box<Value>),
}

impl<'a> Sent<'a> {
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Sent::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value as JSON, when it is kept aside.
    pub(crate) fn into_json(self) -> Value {
        match self {
            Sent::Null => Value::Null,
            Sent::Bool(value) => Value::Bool(value),
            Sent::Number(number) => Value::Number(number),
            Sent::Text(text) => Value::String(text.into_owned()),
            Sent::Nested(value) => *value,
        }
    }

    /// An id as text: senders use numbers as well.
    fn id(&self) -> Option<Cow<'a, str>> {
        match self {
            Sent::Text(text) => Some(text.clone()),
            Sent::Number(number) => Some(Cow::Owned(number.to_string())),
            Sent::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
            Sent::Null | Sent::Nested(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Sent<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Sent<'de>;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Sent<'de>, E> {
                Ok(Sent::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Sent<'de>, E> {
                Ok(Sent::Bool(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Sent<'de>, E> {
                Ok(Sent::Number(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Sent<'de>, E> {
                Ok(Sent::Number(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Sent<'de>, E> {
                Ok(Number::from_f64(value).map_or(Sent::Null, Sent::Number))
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Sent<'de>, E> {
                Ok(Sent::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Sent<'de>, E> {
                Ok(Sent::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Sent<'de>, A::Error> {
                Value::deserialize(SeqAccessDeserializer::new(items)).map(|list| Sent::Nested(Box::new(list)))
            }
            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Sent<'de>, A::Error> {
                Value::deserialize(MapAccessDeserializer::new(entries)).map(|object| Sent::Nested(Box::new(object)))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Text that is borrowed unless it holds escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// An event as sent: well-formed JSON, not checked.
pub struct SentEvent<'a> {
    /// `event`, when it is text.
    name: Option<Cow<'a, str>>,
    /// `$token`, beside the properties.
    outer_token: Option<Cow<'a, str>>,
    /// `None` when there is no object of them.
    properties: Option<Properties<'a>>,
}

/// The properties of an event as sent, each name once: the last one counts.
struct Properties<'a> {
    /// About the transport and the person, by place in [`CONSUMED`]: few, each once.
    consumed: Vec<(usize, Sent<'a>)>,
    /// About the event.
    own: Vec<(Cow<'a, str>, Sent<'a>)>,
}

impl<'a> Properties<'a> {
    fn get(&self, key: Consumed) -> Option<&Sent<'a>> {
        self.consumed.iter().find(|(at, _)| *at == key as usize).map(|(_, value)| value)
    }

    fn len(&self) -> usize {
        self.own.len() + self.consumed.len()
    }
}

impl<'de> Deserialize<'de> for SentEvent<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Event;
        impl<'de> Visitor<'de> for Event {
            type Value = SentEvent<'de>;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<SentEvent<'de>, A::Error> {
                let text = |value| if let Sent::Text(text) = value { Some(text) } else { None };
                let mut event = SentEvent { name: None, outer_token: None, properties: None };
                while let Some(Key(key)) = entries.next_key()? {
                    match &*key {
                        "event" => event.name = text(entries.next_value()?),
                        "$token" => event.outer_token = text(entries.next_value()?),
                        "properties" => event.properties = entries.next_value::<MaybeProperties<'de>>()?.0,
                        _ => drop(entries.next_value::<Value>()?),
                    }
                }
                Ok(event)
            }
        }
        deserializer.deserialize_any(Event)
    }
}

struct MaybeProperties<'a>(Option<Properties<'a>>);

impl<'de> Deserialize<'de> for MaybeProperties<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = MaybeProperties<'de>;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("properties")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(MaybeProperties(None))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(MaybeProperties(None))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(MaybeProperties(None))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(MaybeProperties(None))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(MaybeProperties(None))
            }
            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(MaybeProperties(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                while items.next_element::<Value>()?.is_some() {}
                Ok(MaybeProperties(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut properties = Properties { consumed: Vec::with_capacity(8), own: Vec::with_capacity(24) };
                let mut seen = Seen::default();
                while let Some(Key(key)) = entries.next_key()? {
                    let value = entries.next_value()?;
                    if let Some(at) = consumed(&key) {
                        properties.consumed.retain(|(other, _)| *other != at);
                        properties.consumed.push((at, value));
                    } else if let Some(at) = seen.place(&key, &properties.own) {
                        properties.own[at].1 = value;
                    } else {
                        properties.own.push((key, value));
                    }
                }
                Ok(MaybeProperties(Some(properties)))
            }
        }
        deserializer.deserialize_any(Entries)
    }
}

/// Finds names that were there before.
#[derive(Default)]
struct Seen {
    prints: Vec<u32>,
    /// In use beyond a number of names where looking at each print would be slow.
    many: Option<rustc_hash::FxHashMap<String, usize>>,
}

impl Seen {
    /// Where the name already is; notes it as the next one otherwise.
    fn place(&mut self, name: &str, own: &[(Cow<'_, str>, Sent<'_>)]) -> Option<usize> {
        const FEW: usize = 64;
        if self.prints.len() == FEW {
            let names = || own.iter().enumerate().map(|(at, (name, _))| (name.to_string(), at)).collect();
            let many = self.many.get_or_insert_with(names);
            let found = many.get(name).copied();
            if found.is_none() {
                many.insert(name.to_owned(), own.len());
            }
            return found;
        }
        // The last bytes and the length: names of one sender often begin alike.
        let bytes = name.as_bytes();
        let tail = bytes.iter().rev().take(3).fold(0_u32, |print, byte| print << 8 | u32::from(*byte));
        let print = tail << 8 | bytes.len() as u32 & 0xff;
        let alike = self.prints.iter().enumerate().filter(|(_, other)| **other == print);
        let found = alike.map(|(at, _)| at).find(|at| own[*at].0 == name);
        if found.is_none() {
            self.prints.push(print);
        }
        found
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
pub struct ValidEvent<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) time_us: i64,
    pub(crate) who: Who<'a>,
    pub(crate) insert_id: Option<Cow<'a, str>>,
    pub(crate) properties: Vec<(Cow<'a, str>, Sent<'a>)>,
}

/// Whose event it is, as the sender says.
pub(crate) struct Who<'a> {
    /// The id under which the event is stored; empty when the sender named nobody.
    pub(crate) id: Cow<'a, str>,
    /// Ids that the event says are the same person.
    pub(crate) links: Vec<Link<'a>>,
}

/// "These two ids are one person", and under which condition it is believed.
pub(crate) struct Link<'a> {
    pub(crate) alias: Cow<'a, str>,
    pub(crate) canonical: Cow<'a, str>,
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
pub enum Record<'a> {
    Event(ValidEvent<'a>),
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

/// Places in [`CONSUMED`] of those that mean something.
#[derive(Clone, Copy)]
enum Consumed {
    Token = 0,
    DistinctId = 1,
    DeviceId = 3,
    UserId = 4,
    InsertId = 5,
    Time = 6,
    Alias = 7,
    IdentifiedId = 8,
    AnonId = 9,
    AnonDistinctId = 10,
    DistinctIds = 11,
    Ignore = 14,
}

fn consumed(key: &str) -> Option<usize> {
    // All of them begin with one of these, and few others do.
    if !matches!(key.as_bytes().first(), Some(b'$' | b't' | b'd' | b'a' | b'm')) {
        return None;
    }
    CONSUMED.iter().position(|consumed| *consumed == key)
}

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
    match serde_json::from_str::<Value>(within_limits(record)?) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Reason::NotAnObject),
        // The parser gives up at 128 levels, far beyond what a record may have.
        Err(error) if error.to_string().starts_with("recursion limit") => Err(Reason::TooDeep),
        Err(_) => Err(Reason::MalformedJson),
    }
}

/// The project token that an update of a profile carries.
pub fn token_of(object: &Map<String, Value>) -> Option<&str> {
    let inner = object.get("properties").and_then(|properties| properties.get("token"));
    inner.or_else(|| object.get("$token")).and_then(Value::as_str).filter(|token| !token.is_empty())
}

impl SentEvent<'_> {
    /// The project token the event carries.
    pub fn token(&self) -> Option<&str> {
        let inner = self.properties.as_ref().and_then(|properties| properties.get(Consumed::Token));
        let token = match inner {
            Some(inner) => inner.as_text(),
            None => self.outer_token.as_deref(),
        };
        token.filter(|token| !token.is_empty())
    }

    /// The insert id, if it is one that may be shown; else nothing.
    pub fn insert_id(&self) -> &str {
        let id = self.properties.as_ref().and_then(|properties| properties.get(Consumed::InsertId));
        id.and_then(Sent::as_text).filter(|id| valid_insert_id(id)).unwrap_or_default()
    }
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
pub fn validate<'a>(event: SentEvent<'a>, door: Door, mode: IdentityMode, now_us: i64) -> Result<Record<'a>, Reason> {
    let name = event.name.filter(|name| !name.is_empty()).ok_or(Reason::NameMissing)?;
    if name.len() > limits::NAME_BYTES_MAX {
        return Err(Reason::NameTooLong);
    }
    let properties = event.properties.ok_or(Reason::PropertiesMissing)?;
    if properties.get(Consumed::Ignore).is_some_and(|ignore| !matches!(ignore, Sent::Bool(false) | Sent::Null)) {
        return Ok(Record::Ignored);
    }
    if properties.len() > limits::EVENT_PROPERTIES_MAX {
        return Err(Reason::TooManyProperties);
    }
    for (key, value) in &properties.own {
        if key.len() > limits::NAME_BYTES_MAX {
            return Err(Reason::NameTooLong);
        }
        check_sent(value)?;
    }
    properties.consumed.iter().try_for_each(|(_, value)| check_sent(value))?;
    // Clients send these from servers with nothing but the ids.
    let about_identity = is_about_identity(&name);
    let time_us = match properties.get(Consumed::Time) {
        None | Some(Sent::Null) if about_identity => now_us,
        time => event_time(time, door, now_us)?,
    };
    let strict = door == Door::Import(Strictness::Strict) && !about_identity;
    let insert_id = match properties.get(Consumed::InsertId) {
        None | Some(Sent::Null) if strict => return Err(Reason::InsertIdMissing),
        None | Some(Sent::Null) => None,
        Some(Sent::Text(id)) if valid_insert_id(id) => Some(id.clone()),
        // A browser's id that breaks the rule still tells a retry apart; only /import promises to check.
        Some(Sent::Text(id)) if door == Door::Track && id.len() <= limits::NAME_BYTES_MAX => Some(id.clone()),
        Some(_) => return Err(Reason::InsertIdInvalid),
    };
    let who = who(&name, &properties, door, mode)?;
    Ok(Record::Event(ValidEvent { name, time_us, who, insert_id, properties: properties.own }))
}

fn check_sent(value: &Sent<'_>) -> Result<(), Reason> {
    if let Sent::Nested(value) = value { check_shape(value, 0) } else { Ok(()) }
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
fn event_time(time: Option<&Sent<'_>>, door: Door, now_us: i64) -> Result<i64, Reason> {
    const MILLISECONDS_FROM: f64 = 1e11;
    let number = match time {
        None | Some(Sent::Null) if door == Door::Track => return Ok(now_us),
        None | Some(Sent::Null) => return Err(Reason::TimeMissing),
        Some(Sent::Number(number)) => number.as_f64(),
        Some(Sent::Text(text)) => text.trim().parse::<f64>().ok(),
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

fn is_placeholder(id: &str) -> bool {
    PLACEHOLDERS.iter().any(|placeholder| placeholder.eq_ignore_ascii_case(id))
}

fn check_id(id: &str) -> Result<(), Reason> {
    if id.len() > limits::DISTINCT_ID_BYTES_MAX || is_placeholder(id) {
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

fn device(id: Cow<'_, str>) -> Cow<'_, str> {
    if id.starts_with("$device:") { id } else { Cow::Owned(format!("$device:{id}")) }
}

fn who<'a>(name: &str, properties: &Properties<'a>, door: Door, mode: IdentityMode) -> Result<Who<'a>, Reason> {
    let any = |key: Consumed| properties.get(key).and_then(Sent::id);
    let text = |key: Consumed| any(key).filter(|id| !id.is_empty());
    let (user, device_id) = (text(Consumed::UserId), text(Consumed::DeviceId));
    for id in [&user, &device_id].into_iter().flatten() {
        check_id(id)?;
    }
    let distinct_id = any(Consumed::DistinctId);
    let mut links = Vec::new();
    let mut link = |alias: Cow<'a, str>, canonical: Cow<'a, str>, rule| links.push(Link { alias, canonical, rule });
    let id = match mode {
        IdentityMode::Simplified => match (user, device_id) {
            (Some(user), device_id) => {
                if let Some(device_id) = device_id {
                    link(device(device_id), user.clone(), LinkRule::FreeAlias);
                }
                Some(user)
            }
            (None, Some(device_id)) => {
                // Browsers send the same text as the distinct id: that one is borrowed.
                let bare = !device_id.starts_with("$device:");
                let same = |id: &Cow<'_, str>| bare && id.strip_prefix("$device:") == Some(&*device_id);
                Some(distinct_id.filter(same).unwrap_or_else(|| device(device_id)))
            }
            (None, None) => distinct_id,
        },
        IdentityMode::Original => {
            let distinct_id = distinct_id.or(user).or(device_id);
            match name {
                "$identify" => {
                    let known = text(Consumed::IdentifiedId).or_else(|| distinct_id.clone());
                    let anonymous = text(Consumed::AnonId).or_else(|| text(Consumed::AnonDistinctId));
                    if let (Some(anonymous), Some(known)) = (anonymous.filter(|id| is_uuid_v4(id)), known) {
                        link(anonymous, known, LinkRule::FreeAlias);
                    }
                }
                "$create_alias" => {
                    if let (Some(alias), Some(canonical)) = (text(Consumed::Alias), distinct_id.clone()) {
                        link(alias, canonical, LinkRule::Any);
                    }
                }
                "$merge" => {
                    if let Some(Sent::Nested(list)) = properties.get(Consumed::DistinctIds)
                        && let Value::Array(ids) = &**list
                    {
                        let ids: Vec<Cow<'a, str>> =
                            ids.iter().filter_map(|id| id_text(Some(id))).map(Cow::Owned).collect();
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
        None if door == Door::Track => Cow::Borrowed(""),
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
        let records = read_events(body.as_bytes()).unwrap();
        assert_eq!(records[0].read.as_ref().err(), Some(&Reason::TooDeep));
        assert!(records[1].read.is_ok());
    }

    /// A record's bytes, and why it is refused if it is.
    type Fate = (Vec<u8>, Option<Reason>);

    /// What [`read_events`] makes of a body, with the fates that cutting first would give it.
    fn fates(body: &[u8]) -> [Result<Vec<Fate>, Reason>; 2] {
        let read = read_events(body)
            .map(|records| records.into_iter().map(|record| (record.bytes.to_vec(), record.read.err())).collect());
        let cut = split(body)
            .map(|records| records.into_iter().map(|bytes| (bytes.to_vec(), read_object(bytes).err())).collect());
        [read, cut]
    }

    #[test]
    fn reading_in_one_pass_is_cutting_and_reading() {
        let large = format!(r#"[{{"event":"a","x":"{}"}}]"#, "y".repeat(limits::EVENT_BYTES_MAX));
        let deep = format!("[{{\"x\":{}1{}}},{{}}]", "[".repeat(200), "]".repeat(200));
        let bodies = [
            "",
            "[]",
            "[ ]",
            "[,]",
            "{}",
            "{}x",
            "[{}]x",
            "[{} {}]",
            "[{},]",
            "[{}",
            "[1,{\"a\":[}]},{\"b\":1}]",
            " [ {\"event\":\"a\"} , null, \"x\" ] ",
            "{\"a\":1}\n{\"b\":}\n{\"c\":2}",
            "{\n\"a\":1\n}\n\n",
            "[{\"a\":1e999},{\"properties\":[{\"a\":[[]]}]},{\"properties\":null,\"event\":3}]",
            "[{\"a\":\"\\ud800\"},{\"a\":\"\\u00e9\"}]",
            "[{\"a\":1}}]",
            "[{\"a\":\"\u{1}\"}]",
            "nonsense",
            &large,
            &deep,
        ];
        for body in bodies {
            let [read, cut] = fates(body.as_bytes());
            assert_eq!(read, cut, "{:.80}", body);
        }
        let [read, cut] = fates(b"[{\"a\":\"\xff\"},{\"b\":1}]");
        assert_eq!(read, cut);
    }

    #[test]
    fn of_a_name_sent_twice_the_last_counts() {
        let many: String = (0..100).map(|at| format!(r#","p{at}":0"#)).collect();
        let body = format!(
            r#"{{"event":"a","event":"b","properties":{{"token":"x","token":"t","p":1{many},"p99":7,"p":2,"pl\u0061n":3,"plan":4}}}}"#
        );
        let mut records = read_events(body.as_bytes()).unwrap();
        let Ok(event) = records.remove(0).read else { panic!("an event") };
        assert_eq!((event.name.as_deref(), event.token()), (Some("b"), Some("t")));
        let own = event.properties.unwrap().own;
        let number = |name: &str| {
            let values: Vec<_> = own.iter().filter(|(other, _)| other == name).map(|(_, value)| value).collect();
            let [Sent::Number(number)] = values[..] else { panic!("{name} once, a number") };
            number.as_u64().unwrap()
        };
        assert_eq!((number("p"), number("p99"), number("plan"), own.len()), (2, 7, 4, 102));
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
            let [read, cut] = fates(&body);
            prop_assert_eq!(read, cut);
            for record in read_events(&body).into_iter().flatten() {
                if let Ok(event) = record.read {
                    let _ = validate(event, Door::Track, IdentityMode::Simplified, 0);
                }
            }
        }

        #[test]
        fn almost_json_is_read_like_it_is_cut(body in r#"[\[\]{},:"a \n1\\]{0,30}"#) {
            let [read, cut] = fates(body.as_bytes());
            prop_assert_eq!(read, cut);
        }
    }
}
