//! The few words of CBOR that entries are written in, in the one form that RFC 8949 §4.2 allows for each: maps with
//! ascending unsigned keys, unsigned integers in their shortest form, byte strings of known length. Whatever else
//! CBOR has, such as nesting, floats, text or tags, is refused: two different byte strings never mean the same entry.

/// Writes one map.
pub(crate) struct MapWriter {
    body: Vec<u8>,
    pairs: u64,
    last_key: Option<u64>,
}

const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const MAP: u8 = 5;

fn head(out: &mut Vec<u8>, major: u8, value: u64) {
    let major = major << 5;
    match value {
        0..24 => out.push(major | value as u8),
        24..0x100 => out.extend([major | 24, value as u8]),
        0x100..0x1_0000 => {
            out.push(major | 25);
            out.extend((value as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(major | 26);
            out.extend((value as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend(value.to_be_bytes());
        }
    }
}

impl MapWriter {
    pub(crate) fn new() -> MapWriter {
        MapWriter { body: Vec::with_capacity(200), pairs: 0, last_key: None }
    }

    fn key(&mut self, key: u64) {
        assert!(self.last_key < Some(key), "keys are written in ascending order");
        self.last_key = Some(key);
        self.pairs += 1;
        head(&mut self.body, UNSIGNED, key);
    }

    pub(crate) fn unsigned(&mut self, key: u64, value: u64) {
        self.key(key);
        head(&mut self.body, UNSIGNED, value);
    }

    /// Leaves 0 out: it is what a missing key reads as.
    pub(crate) fn unless_zero(&mut self, key: u64, value: u64) {
        if value != 0 {
            self.unsigned(key, value);
        }
    }

    pub(crate) fn bytes(&mut self, key: u64, value: &[u8]) {
        self.key(key);
        head(&mut self.body, BYTES, value.len() as u64);
        self.body.extend_from_slice(value);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + 2);
        head(&mut out, MAP, self.pairs);
        out.extend_from_slice(&self.body);
        out
    }
}

/// A value of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Unsigned(u64),
    Bytes(&'a [u8]),
}

fn read_head(rest: &mut &[u8]) -> Option<(u8, u64)> {
    let (&first, mut after) = rest.split_first()?;
    let (major, short) = (first >> 5, first & 31);
    let (value, least) = match short {
        0..24 => (u64::from(short), 0),
        24..28 => {
            let bytes = 1_usize << (short - 24);
            let (number, tail) = after.split_at_checked(bytes)?;
            after = tail;
            let value = number.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
            (value, [24, 1 << 8, 1 << 16, 1 << 32][usize::from(short - 24)])
        }
        _ => return None,
    };
    *rest = after;
    (value >= least).then_some((major, value))
}

/// Reads a whole map, in ascending order of its keys. `None` for anything that [`MapWriter`] would not have written.
pub(crate) fn read_map(bytes: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
    let mut rest = bytes;
    let (MAP, pairs) = read_head(&mut rest)? else { return None };
    // Each pair takes two bytes at least: what claims more is no map.
    if pairs > rest.len() as u64 / 2 {
        return None;
    }
    let mut found: Vec<(u64, Value<'_>)> = Vec::with_capacity(pairs as usize);
    for _ in 0..pairs {
        let (UNSIGNED, key) = read_head(&mut rest)? else { return None };
        if found.last().is_some_and(|(last, _)| *last >= key) {
            return None;
        }
        let value = match read_head(&mut rest)? {
            (UNSIGNED, value) => Value::Unsigned(value),
            (BYTES, len) => {
                let (value, tail) = rest.split_at_checked(usize::try_from(len).ok()?)?;
                rest = tail;
                Value::Bytes(value)
            }
            _ => return None,
        };
        found.push((key, value));
    }
    rest.is_empty().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_written_as_the_standard_has_them() {
        // Appendix A of RFC 8949, as values of key 1.
        let vectors: [(u64, &[u8]); 8] = [
            (0, &[0x00]),
            (23, &[0x17]),
            (24, &[0x18, 0x18]),
            (100, &[0x18, 0x64]),
            (1000, &[0x19, 0x03, 0xe8]),
            (1_000_000, &[0x1a, 0x00, 0x0f, 0x42, 0x40]),
            (1_000_000_000_000, &[0x1b, 0x00, 0x00, 0x00, 0xe8, 0xd4, 0xa5, 0x10, 0x00]),
            (u64::MAX, &[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ];
        for (value, encoded) in vectors {
            let mut map = MapWriter::new();
            map.unsigned(1, value);
            let bytes = map.finish();
            assert_eq!(bytes, [&[0xa1, 0x01], encoded].concat());
            assert_eq!(read_map(&bytes), Some(vec![(1, Value::Unsigned(value))]));
        }
    }

    #[test]
    fn every_other_form_of_the_same_map_is_refused() {
        let mut map = MapWriter::new();
        map.unsigned(1, 5);
        map.bytes(2, b"ab");
        assert_eq!(map.finish(), [0xa2, 0x01, 0x05, 0x02, 0x42, b'a', b'b']);
        for wrong in [
            &[0xa2, 0x01, 0x18, 0x05, 0x02, 0x42, b'a', b'b'][..], // 5 in a longer form
            &[0xa2, 0x02, 0x42, b'a', b'b', 0x01, 0x05],           // keys descending
            &[0xa2, 0x01, 0x05, 0x01, 0x05],                       // a key twice
            &[0xbf, 0x01, 0x05, 0xff],                             // without a length
            &[0xa2, 0x01, 0x05, 0x02, 0x62, b'a', b'b'],           // text
            &[0xa1, 0x01, 0x81, 0x05],                             // a list within
            &[0xa1, 0x01, 0x05, 0x00],                             // bytes behind the end
            &[0xa1, 0x01],                                         // cut
            &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], // a map of 2^64 pairs
            &[0xa1, 0x01, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], // a string of 2^64 bytes
            &[],
        ] {
            assert_eq!(read_map(wrong), None, "{wrong:02x?}");
        }
    }
}
