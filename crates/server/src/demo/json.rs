//! Writes JSON straight into a byte buffer: no tree, no allocation. Whatever is not a literal of the program goes
//! through [`write_string`], so the output is valid whatever the values are.

/// An object being written: each property starts with its comma, so the first one must be written otherwise.
pub(crate) struct Json<'a>(pub(crate) &'a mut Vec<u8>);

impl Json<'_> {
    pub(crate) fn key(&mut self, key: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        write_string(self.0, value);
    }

    pub(crate) fn number(&mut self, key: &str, value: i64) {
        self.key(key);
        write_integer(self.0, value);
    }

    pub(crate) fn flag(&mut self, key: &str, value: bool) {
        self.key(key);
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// A decimal fraction, given in millionths.
    pub(crate) fn millionths(&mut self, key: &str, value: u32) {
        self.key(key);
        write_integer(self.0, i64::from(value / 1_000_000));
        let fraction = value % 1_000_000;
        self.0.push(b'.');
        let mut unit = 100_000;
        while unit > 0 {
            self.0.push(b'0' + (fraction / unit % 10) as u8);
            unit /= 10;
        }
    }

    pub(crate) fn optional(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.text(key, value);
        }
    }
}

/// A JSON string (RFC 8259 §7): quote, backslash and control characters are escaped, everything else is UTF-8.
pub(crate) fn write_string(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    let mut clean_from = 0;
    for (at, &byte) in value.as_bytes().iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&value.as_bytes()[clean_from..at]);
        clean_from = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(control >> 4)]);
                out.push(HEX[usize::from(control & 15)]);
            }
        }
    }
    out.extend_from_slice(&value.as_bytes()[clean_from..]);
    out.push(b'"');
}

pub(crate) fn write_integer(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    let mut left = value.unsigned_abs();
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

pub(crate) fn write_hex(out: &mut Vec<u8>, value: u64) {
    for shift in (0..16).rev() {
        out.push(b"0123456789abcdef"[(value >> (shift * 4) & 15) as usize]);
    }
}
