//! Looks for strings in bytes the way somebody who stole a disk would: in every usual encoding, inside
//! compressed streams, and inside the pages of Parquet files.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use parquet::basic::Type;
use parquet::column::reader::ColumnReader;
use parquet::file::reader::{FileReader, SerializedFileReader};

/// A stream that inflates beyond this is not one of ours.
const INFLATED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// All canaries in all their forms, found in one pass.
pub(crate) struct Search {
    regex: regex::bytes::Regex,
    /// Form in bytes, how it is written, and the canary it stands for.
    forms: Vec<(Vec<u8>, &'static str, String)>,
}

impl Search {
    pub(crate) fn new<'a>(canaries: impl IntoIterator<Item = &'a str>) -> Self {
        let mut forms = Vec::new();
        for canary in canaries {
            for (how, form) in written(canary) {
                forms.push((form, how, canary.to_owned()));
            }
        }
        // Longest first: where two forms begin at one place, the more telling one is named.
        forms.sort_by_key(|(form, ..)| std::cmp::Reverse(form.len()));
        let alternatives: Vec<String> =
            forms.iter().map(|(form, ..)| form.iter().map(|byte| format!("\\x{byte:02x}")).collect()).collect();
        let regex = regex::bytes::RegexBuilder::new(&alternatives.join("|"))
            .unicode(false)
            .size_limit(256 * 1024 * 1024)
            .build()
            .expect("an alternation of literals");
        Self { regex, forms }
    }

    /// What was found: `canary as form`, without repetition.
    pub(crate) fn hits(&self, haystack: &[u8]) -> BTreeSet<String> {
        let mut hits = BTreeSet::new();
        for found in self.regex.find_iter(haystack) {
            for (form, how, canary) in &self.forms {
                if form == found.as_bytes() {
                    hits.insert(format!("{canary} as {how}"));
                }
            }
        }
        hits
    }

    /// As [`Self::hits`], also inside every gzip and zlib stream in the bytes, and inside the pages when
    /// they are the content of the Parquet file `name`.
    pub(crate) fn hits_within(&self, name: &str, bytes: &[u8]) -> BTreeSet<String> {
        let mut hits = self.hits(bytes);
        for inner in gzip_streams(bytes) {
            hits.extend(self.hits(&inner).into_iter().map(|hit| format!("{hit}, in a gzip stream")));
        }
        if bytes.starts_with(b"PAR1") {
            let values = parquet_values(Path::new(name));
            hits.extend(self.hits(&values).into_iter().map(|hit| format!("{hit}, in Parquet")));
        } else {
            assert!(
                !holds_zstd_frame(bytes),
                "{name} holds a zstd stream that is not Parquet: this search cannot see into it"
            );
        }
        hits.into_iter().map(|hit| format!("{hit}, in {name}")).collect()
    }
}

/// The canary as it may be written down, with a name for each way.
fn written(canary: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = canary.as_bytes();
    let wide = |order: fn(u16) -> [u8; 2]| canary.encode_utf16().flat_map(order).collect::<Vec<u8>>();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        ("plain", bytes.to_vec()),
        ("lower case", canary.to_lowercase().into_bytes()),
        ("upper case", canary.to_uppercase().into_bytes()),
        ("UTF-16LE", wide(u16::to_le_bytes)),
        ("UTF-16BE", wide(u16::to_be_bytes)),
        ("hex", hex.clone().into_bytes()),
        ("upper-case hex", hex.to_uppercase().into_bytes()),
        ("URL-encoded", crate::http::percent(bytes).into_bytes()),
        ("reversed", canary.chars().rev().collect::<String>().into_bytes()),
        ("JSON with escaped slashes", canary.replace('/', "\\/").into_bytes()),
        ("JSON in ASCII", escaped(canary).into_bytes()),
    ];
    for (alphabet, names) in [
        (&alphabet::STANDARD, ["base64", "base64 shifted by 1", "base64 shifted by 2"]),
        (&alphabet::URL_SAFE, ["base64url", "base64url shifted by 1", "base64url shifted by 2"]),
    ] {
        let engine = GeneralPurpose::new(alphabet, GeneralPurposeConfig::new());
        for (before, name) in names.into_iter().enumerate() {
            forms.push((name, base64_inside(&engine, bytes, before)));
        }
    }
    let mut seen = BTreeSet::new();
    forms.retain(|(_, form)| seen.insert(form.clone()));
    forms
}

/// As JSON writers put it that keep to ASCII.
fn escaped(text: &str) -> String {
    let unit = |unit: u16| match u8::try_from(unit) {
        Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
        _ => format!("\\u{unit:04x}"),
    };
    text.encode_utf16().map(unit).collect()
}

/// The part of a base64 text that does not change with what stands around the bytes,
/// when `before` bytes of the same group come first.
fn base64_inside(engine: &GeneralPurpose, bytes: &[u8], before: usize) -> Vec<u8> {
    let mut padded = vec![0; before];
    padded.extend_from_slice(bytes);
    let whole = padded.len() / 3 * 3;
    let text = engine.encode(&padded[..whole]);
    let skip = [0, 2, 3][before];
    text.as_bytes()[skip..].to_vec()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory takes every byte");
    encoder.finish().expect("memory takes every byte")
}

/// Contents of every gzip or zlib stream, wherever in the bytes it begins.
fn gzip_streams(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut streams = Vec::new();
    for start in 0..bytes.len().saturating_sub(8) {
        let rest = &bytes[start..];
        let mut inner = Vec::new();
        // A cut or damaged stream still gives what came before the damage.
        if rest.starts_with(&[0x1f, 0x8b, 0x08]) {
            let _ = flate2::read::GzDecoder::new(rest).take(INFLATED_BYTES_MAX).read_to_end(&mut inner);
        } else if rest[0] == 0x78 && matches!(rest[1], 0x01 | 0x5e | 0x9c | 0xda) {
            let _ = flate2::read::ZlibDecoder::new(rest).take(INFLATED_BYTES_MAX).read_to_end(&mut inner);
        }
        if !inner.is_empty() {
            streams.push(inner);
        }
    }
    streams
}

/// Whether a whole zstd frame with compressed content begins anywhere. Magic bytes alone would be met
/// by chance in encrypted data, so the chain of blocks is followed to its end.
fn holds_zstd_frame(bytes: &[u8]) -> bool {
    let magic = [0x28, 0xb5, 0x2f, 0xfd];
    (0..bytes.len().saturating_sub(magic.len()))
        .any(|start| bytes[start..].starts_with(&magic) && zstd_frame_ends(&bytes[start + 4..]))
}

fn zstd_frame_ends(rest: &[u8]) -> bool {
    let Some(&descriptor) = rest.first() else { return false };
    let single_segment = descriptor & 0x20 != 0;
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content = match descriptor >> 6 {
        0 => usize::from(single_segment),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    let mut at = 1 + usize::from(!single_segment) + dictionary + content;
    while let Some(head) = rest.get(at..at + 3) {
        let word = u32::from_le_bytes([head[0], head[1], head[2], 0]);
        let (last, kind, length) = (word & 1 == 1, word >> 1 & 3, (word >> 3) as usize);
        if kind == 3 || length > 128 * 1024 {
            return false;
        }
        at += 3 + if kind == 1 { 1 } else { length };
        if last {
            return at <= rest.len();
        }
    }
    false
}

/// Every byte string of every column of a Parquet file, one a line, after decompression, and the names
/// of the columns.
pub(crate) fn parquet_values(path: &Path) -> Vec<u8> {
    let file = File::open(path).expect("a file that opens");
    let reader = SerializedFileReader::new(file).expect("a Parquet file that reads");
    let mut all = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).expect("a row group that reads");
        for column in 0..group.num_columns() {
            let chunk = group.metadata().column(column);
            all.extend_from_slice(chunk.column_path().string().as_bytes());
            all.push(b'\n');
            if matches!(chunk.column_type(), Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY) {
                let column = group.get_column_reader(column).expect("a column that reads");
                read_strings(column, &mut all);
            }
        }
    }
    all
}

fn read_strings(column: ColumnReader, all: &mut Vec<u8>) {
    macro_rules! read {
        ($reader:expr) => {{
            let mut reader = $reader;
            loop {
                let (mut values, mut definitions, mut repetitions) = (Vec::new(), Vec::new(), Vec::new());
                let (records, ..) = reader
                    .read_records(4_096, Some(&mut definitions), Some(&mut repetitions), &mut values)
                    .expect("pages that read");
                for value in &values {
                    all.extend_from_slice(value.data());
                    all.push(b'\n');
                }
                if records == 0 {
                    return;
                }
            }
        }};
    }
    match column {
        ColumnReader::ByteArrayColumnReader(reader) => read!(reader),
        ColumnReader::FixedLenByteArrayColumnReader(reader) => read!(reader),
        _ => {}
    }
}

/// Every file below a directory, with its content.
pub(crate) fn files_below(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let entries =
        std::fs::read_dir(directory).unwrap_or_else(|error| panic!("cannot list {}: {error}", directory.display()));
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if let Ok(content) = std::fs::read(&path) {
            // A file that vanished between listing and reading was temporary.
            files.push((path.display().to_string(), content));
        }
    }
    files
}

#[test]
fn the_search_finds_a_canary_however_it_is_written() {
    let canary = "Canary/Řehoř+7@coffer.example";
    let search = Search::new([canary]);
    let base64 = |shift: usize, config: &GeneralPurpose| {
        let mut text = vec![b'x'; shift];
        text.extend_from_slice(canary.as_bytes());
        text.extend_from_slice(b"tail");
        config.encode(text).into_bytes()
    };
    let standard = base64::engine::general_purpose::STANDARD;
    let url_safe = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let hex: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut samples: Vec<(&str, Vec<u8>)> = vec![
        ("plain", canary.into()),
        ("lower case", canary.to_lowercase().into()),
        ("UTF-16LE", canary.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("UTF-16BE", canary.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        ("hex", hex.clone().into()),
        ("upper-case hex", hex.to_uppercase().into()),
        ("URL-encoded", crate::http::percent(canary.as_bytes()).into()),
        ("reversed", canary.chars().rev().collect::<String>().into()),
        ("base64 in gzip", gzip(&amid_noise(&base64(1, &standard)))),
    ];
    for shift in 0..3 {
        samples.push(("base64", base64(shift, &standard)));
        samples.push(("base64url", base64(shift, &url_safe)));
    }
    for (how, sample) in samples {
        assert!(!search.hits_within("a sample", &amid_noise(&sample)).is_empty(), "not found as {how}");
    }
    assert!(search.hits_within("noise", &amid_noise(b"nothing here")).is_empty());
}

/// The bytes in the middle of others, so that nothing depends on where a stream begins.
fn amid_noise(bytes: &[u8]) -> Vec<u8> {
    [b"\x00\x1f\x8bnoise", bytes, b"noise\x1f\x8b\x08\x00"].concat()
}
