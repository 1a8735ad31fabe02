//! Sealed events as bytes: the payload of a frame of the write-ahead log.
//!
//! Version 1: `1`, count, then per event: name, subject, time, insert id, property count, and per property
//! name, type tag, value. Integers are LEB128, times zig-zag, strings length-prefixed UTF-8.
//! Decoding checks every length against what is left and never panics on foreign bytes.

use cofferdam_model::{SealedEvent, SubjectNo, Value};

const VERSION: u8 = 1;

pub fn encode(events: &[SealedEvent]) -> Vec<u8> {
    let mut out = Vec::with_capacity(events.len() * 192 + 32);
    out.push(VERSION);
    put_u64(&mut out, events.len() as u64);
    for event in events {
        put_text(&mut out, &event.name);
        put_u64(&mut out, u64::from(event.subject.0));
        put_i64(&mut out, event.time_us);
        out.extend_from_slice(&event.insert_id.to_le_bytes());
        put_u64(&mut out, event.properties.len() as u64);
        for (name, value) in &event.properties {
            put_text(&mut out, name);
            match value {
                Value::String(text) => {
                    out.push(0);
                    put_text(&mut out, text);
                }
                Value::Number(number) => {
                    out.push(1);
                    out.extend_from_slice(&number.to_le_bytes());
                }
                Value::Bool(value) => out.push(2 + u8::from(*value)),
                Value::Time(time) => {
                    out.push(4);
                    put_i64(&mut out, *time);
                }
                Value::List(items) => {
                    out.push(5);
                    put_u64(&mut out, items.len() as u64);
                    for item in items {
                        put_text(&mut out, item);
                    }
                }
                Value::Object(text) => {
                    out.push(6);
                    put_text(&mut out, text);
                }
            }
        }
    }
    out
}

/// The events, or `None` when the bytes are not a whole payload of a known version.
pub fn decode(bytes: &[u8]) -> Option<Vec<SealedEvent>> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? != VERSION {
        return None;
    }
    let count = reader.count(1)?;
    let mut events = Vec::with_capacity(count);
    for _ in 0..count {
        let name = reader.text()?;
        let subject = SubjectNo(reader.u32()?);
        let time_us = reader.i64()?;
        let insert_id = u64::from_le_bytes(reader.array()?);
        let property_count = reader.count(2)?;
        let mut properties = Vec::with_capacity(property_count);
        for _ in 0..property_count {
            let name = reader.text()?;
            let value = match reader.byte()? {
                0 => Value::String(reader.text()?),
                1 => Value::Number(f64::from_le_bytes(reader.array()?)),
                2 => Value::Bool(false),
                3 => Value::Bool(true),
                4 => Value::Time(reader.i64()?),
                5 => {
                    let items = reader.count(1)?;
                    Value::List((0..items).map(|_| reader.text()).collect::<Option<_>>()?)
                }
                6 => Value::Object(reader.text()?),
                _ => return None,
            };
            properties.push((name, value));
        }
        events.push(SealedEvent { name, subject, time_us, insert_id, properties });
    }
    reader.is_at_end().then_some(events)
}

pub(crate) fn put_u64(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_i64(out: &mut Vec<u8>, value: i64) {
    put_u64(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_u64(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Takes values off the front of bytes; `None` when they do not hold what is asked for.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        u32::try_from(self.u64()?).ok()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        Some(*head)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        let value = self.u64()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// A count of things of which each takes at least `bytes_min`, so that a forged count cannot ask for memory.
    pub(crate) fn count(&mut self, bytes_min: usize) -> Option<usize> {
        let count = usize::try_from(self.u64()?).ok()?;
        (count <= self.bytes.len() / bytes_min).then_some(count)
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        let len = usize::try_from(self.u64()?).ok()?;
        if len > self.bytes.len() {
            return None;
        }
        let (head, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        Some(std::str::from_utf8(head).ok()?.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            ".{0,12}".prop_map(Value::String),
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::Number),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Time),
            proptest::collection::vec(".{0,5}", 0..4).prop_map(Value::List),
            "\\{\\}".prop_map(Value::Object),
        ]
    }

    fn event() -> impl Strategy<Value = SealedEvent> {
        (".{0,9}", any::<u32>(), any::<i64>(), any::<u64>(), proptest::collection::vec((".{0,6}", value()), 0..5))
            .prop_map(|(name, subject, time_us, insert_id, properties)| SealedEvent {
                name,
                subject: SubjectNo(subject),
                time_us,
                insert_id,
                properties,
            })
    }

    proptest! {
        #[test]
        fn decodes_what_was_encoded(events in proptest::collection::vec(event(), 0..20)) {
            prop_assert_eq!(decode(&encode(&events)), Some(events));
        }

        #[test]
        fn foreign_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
            let mut with_version = vec![VERSION];
            with_version.extend(bytes);
            let _ = decode(&with_version);
        }

        #[test]
        fn a_cut_payload_is_refused(events in proptest::collection::vec(event(), 1..5), cut in 1..40_usize) {
            let bytes = encode(&events);
            prop_assert_eq!(decode(&bytes[..bytes.len().saturating_sub(cut)]), None);
        }
    }
}
