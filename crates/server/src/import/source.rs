//! Where records come from: a file, a gzip file or stdin, cut into records.
//!
//! Invariants
//! - A position is a byte offset in the *uncompressed* text, so it means the same for a plain and a gzip file.
//! - Every byte belongs to exactly one record, and every record comes out exactly once: as text, or as a
//!   reason why there is none. A record that cannot be read never swallows its neighbours.
//! - Memory is bounded by [`RECORD_BYTES_MAX`], whatever the file holds.
//!
//! Cutting CSV: a record ends at a line break outside quotes; a quote opens only at the start of a field, and a
//! doubled one inside quotes is text (RFC 4180); what follows a closing quote is text too. [`split_fields`] goes by
//! the same rules; a test holds both against the `csv` crate, which would need a parser built for each record. If quotes are still open after [`RECORD_BYTES_MAX`] bytes or at the end, the *first line* is refused
//! and reading goes on with the second, so that one stray quote costs one line and not the rest of the file.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;

/// A record longer than the server's limit for one event cannot be imported.
pub(crate) const RECORD_BYTES_MAX: usize = 1 << 20;
const CHUNK_BYTES: usize = 256 << 10;
/// How much of a file its fingerprint covers.
const FINGERPRINT_BYTES: u64 = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Ndjson,
    Csv { delimiter: u8 },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Stdin,
    File(PathBuf),
}

impl Origin {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdin => "stdin".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    fn gzip(&self) -> bool {
        matches!(self, Self::File(path) if path.extension().is_some_and(|ext| ext.eq_ignore_ascii_case("gz")))
    }

    /// The extension that tells the format, behind a possible `.gz`.
    pub(crate) fn extension(&self) -> Option<String> {
        let Self::File(path) = self else { return None };
        let inner = if self.gzip() { PathBuf::from(path.file_stem()?) } else { path.clone() };
        Some(inner.extension()?.to_str()?.to_ascii_lowercase())
    }

    /// Opens the text; the counter follows the bytes read of the file itself, which is what progress is of.
    pub(crate) fn open(&self) -> anyhow::Result<(Box<dyn Read>, Arc<AtomicU64>)> {
        let read = Arc::new(AtomicU64::new(0));
        let bytes: Box<dyn Read> = match self {
            Self::Stdin => Box::new(io::stdin().lock()),
            Self::File(path) => Box::new(open_file(path)?),
        };
        let counted = Counted { input: bytes, read: Arc::clone(&read) };
        let text: Box<dyn Read> =
            if self.gzip() { Box::new(flate2::read::MultiGzDecoder::new(counted)) } else { Box::new(counted) };
        Ok((text, read))
    }
}

/// What tells one file from another, and from itself after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) bytes: u64,
    pub(crate) start_hash: String,
}

impl Fingerprint {
    pub(crate) fn of(path: &Path) -> anyhow::Result<Self> {
        let file = open_file(path)?;
        let bytes = file.metadata().with_context(|| format!("cannot read {}", path.display()))?.len();
        let mut start = Vec::new();
        file.take(FINGERPRINT_BYTES)
            .read_to_end(&mut start)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { bytes, start_hash: format!("{:032x}", hash(&start)) })
    }
}

fn open_file(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("cannot open {}", path.display()))
}

/// FNV-1a with 128 bits (Fowler, Noll, Vo). Tells files and records apart; protects nothing.
pub(crate) fn hash(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(BASIS, |hash, &byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

struct Counted {
    input: Box<dyn Read>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buf)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// A place between two records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) offset: u64,
    /// Lines before it; the record that starts here is on line `lines + 1`.
    pub(crate) lines: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut<'a> {
    /// Without its line break.
    Text(&'a [u8]),
    Blank,
    TooLong,
    OpenQuote,
}

pub(crate) struct Records<R> {
    input: R,
    format: Format,
    buf: Vec<u8>,
    /// What of `buf` has been handed out.
    start: usize,
    ended: bool,
    at: Position,
}

impl<R: Read> Records<R> {
    pub(crate) fn new(input: R, format: Format) -> Self {
        Self { input, format, buf: Vec::new(), start: 0, ended: false, at: Position::default() }
    }

    /// The start of the next record.
    pub(crate) fn position(&self) -> Position {
        self.at
    }

    /// Goes on at a position from an earlier run over the same text.
    pub(crate) fn skip_to(&mut self, to: Position) -> io::Result<()> {
        while self.at.offset < to.offset {
            if self.start == self.buf.len() && !self.fill()? {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends before the saved position"));
            }
            let step =
                (self.buf.len() - self.start).min(usize::try_from(to.offset - self.at.offset).unwrap_or(usize::MAX));
            self.start += step;
            self.at.offset += step as u64;
        }
        self.at = to;
        Ok(())
    }

    /// The next record and where it starts; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<(Position, Cut<'_>)>> {
        if self.at.offset == 0 {
            while self.buf.len() - self.start < 3 && self.fill()? {}
            if self.buf[self.start..].starts_with(b"\xef\xbb\xbf") {
                self.start += 3;
                self.at.offset += 3;
            }
        }
        let from = self.at;
        let mut scan = Scan::default();
        loop {
            if let Some(end) = scan.find_end(&self.buf[self.start..], self.format) {
                // The line break is not part of a record's length limit.
                return Ok(Some((from, self.take(end, scan.lines))));
            }
            if scan.at > RECORD_BYTES_MAX + 1 {
                return match scan.quoted() {
                    true => self.refuse_first_line().map(|cut| Some((from, cut))),
                    false => self.discard_line().map(|cut| Some((from, cut))),
                };
            }
            if self.fill()? {
                continue;
            }
            let left = self.buf.len() - self.start;
            if left == 0 {
                return Ok(None);
            }
            return match scan.quoted() {
                true => self.refuse_first_line().map(|cut| Some((from, cut))),
                false => Ok(Some((from, self.take(left, scan.lines + 1)))),
            };
        }
    }

    /// Hands out `length` bytes, line break included.
    fn take(&mut self, length: usize, lines: u64) -> Cut<'_> {
        let from = self.start;
        self.start += length;
        self.at.offset += length as u64;
        self.at.lines += lines;
        let text = &self.buf[from..from + length];
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        match text {
            text if text.len() > RECORD_BYTES_MAX => Cut::TooLong,
            text if text.iter().all(u8::is_ascii_whitespace) => Cut::Blank,
            text => Cut::Text(text),
        }
    }

    fn refuse_first_line(&mut self) -> io::Result<Cut<'static>> {
        let cut = self.discard_line()?;
        Ok(if cut == Cut::TooLong { Cut::TooLong } else { Cut::OpenQuote })
    }

    /// Drops one physical line of any length, without holding it.
    fn discard_line(&mut self) -> io::Result<Cut<'static>> {
        self.at.lines += 1;
        let mut dropped = 0;
        loop {
            let rest = &self.buf[self.start..];
            let line_break = rest.iter().position(|&byte| byte == b'\n');
            let step = line_break.map_or(rest.len(), |at| at + 1);
            self.start += step;
            self.at.offset += step as u64;
            dropped += step;
            if line_break.is_some() || !self.fill()? {
                return Ok(if dropped > RECORD_BYTES_MAX + 1 { Cut::TooLong } else { Cut::OpenQuote });
            }
        }
    }

    /// Reads more; false at the end of the text.
    fn fill(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        if self.start > 0 {
            self.buf.drain(..self.start);
            self.start = 0;
        }
        let filled = self.buf.len();
        self.buf.resize(filled + CHUNK_BYTES, 0);
        let count = loop {
            match self.input.read(&mut self.buf[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.buf.truncate(filled);
                    return Err(error);
                }
                Ok(count) => break count,
            }
        };
        self.buf.truncate(filled + count);
        self.ended = count == 0;
        Ok(count > 0)
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Inside {
    #[default]
    FieldStart,
    Field,
    Quotes,
    /// After a quote inside quotes: the end of them, or the first half of a doubled quote.
    QuotesEnd,
}

/// How far the search for the end of a record has come; it goes on where it stopped when more text is there.
#[derive(Default)]
struct Scan {
    at: usize,
    inside: Inside,
    lines: u64,
}

impl Scan {
    fn quoted(&self) -> bool {
        self.inside == Inside::Quotes
    }

    /// The length of the record with its line break.
    fn find_end(&mut self, text: &[u8], format: Format) -> Option<usize> {
        let Format::Csv { delimiter } = format else {
            let found = text[self.at..].iter().position(|&byte| byte == b'\n');
            self.at = found.map_or(text.len(), |step| self.at + step + 1);
            self.lines = u64::from(found.is_some());
            return found.map(|_| self.at);
        };
        while self.at < text.len() {
            let byte = text[self.at];
            self.at += 1;
            self.lines += u64::from(byte == b'\n');
            self.inside = match (self.inside, byte) {
                (Inside::Quotes, b'"') => Inside::QuotesEnd,
                (Inside::Quotes, _) | (Inside::FieldStart | Inside::QuotesEnd, b'"') => Inside::Quotes,
                (_, b'\n') => return Some(self.at),
                (_, byte) if byte == delimiter => Inside::FieldStart,
                _ => Inside::Field,
            };
        }
        None
    }
}

/// The fields of one CSV record, without their quotes.
pub(crate) fn split_fields(record: &str, delimiter: u8) -> Vec<Cow<'_, str>> {
    let mut fields = Vec::new();
    let mut rest = record;
    loop {
        let mut unquoted = None;
        if let Some(mut quoted) = rest.strip_prefix('"') {
            let mut value = String::new();
            loop {
                let (text, after) = quoted.split_once('"').unwrap_or((quoted, ""));
                value.push_str(text);
                let Some(doubled) = after.strip_prefix('"') else {
                    rest = after;
                    break;
                };
                value.push('"');
                quoted = doubled;
            }
            unquoted = Some(value);
        }
        let end = rest.bytes().position(|byte| byte == delimiter);
        let text = &rest[..end.unwrap_or(rest.len())];
        fields.push(match unquoted {
            Some(value) => Cow::Owned(value + text),
            None => Cow::Borrowed(text),
        });
        match end {
            Some(end) => rest = &rest[end + 1..],
            None => return fields,
        }
    }
}
