//! Segments: an immutable set of events of one project and bucket, in memory (the tail) or as Parquet (truth).
//!
//! A segment file is plain Parquet that any tool reads: `subject`, `time` and `received` (µs UTC), `insert_id`,
//! `event`, then one column per (property, type), named with the type's prefix: `str.plan`, `num.price`.
//! Lists and objects are JSON text. One row group; rows ordered by (subject, time, received).
//!
//! Written to a temporary name, synced, renamed, folder synced: a file with its final name is whole.
//! Columns are decoded on first use and kept in a cache with a byte budget.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cofferdam_model::{PropertyType, SubjectNo};
use parquet::basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type};
use rustc_hash::FxHashMap;

use crate::columns::{Column, Core, NOT_SET, PropertyKey, Rows, TIME_NOT_SET, Text};
use crate::{Error, Result};

const CORE: [&str; 5] = ["subject", "time", "received", "insert_id", "event"];
/// Version of the file layout, in the footer.
const LAYOUT_VERSION: &str = "1";

/// An immutable set of events of one project and bucket.
pub struct Segment {
    /// Unique within the process; for files, the catalog's id.
    pub id: u64,
    pub bucket: u32,
    pub rows: u64,
    /// Earliest and latest event time, µs UTC.
    pub time_us: (i64, i64),
    data: Data,
}

enum Data {
    Memory(Rows),
    File(SegmentFile),
}

struct SegmentFile {
    path: PathBuf,
    /// Property columns and their index in the file.
    columns: BTreeMap<PropertyKey, usize>,
    cache: Arc<ColumnCache>,
    /// Set when a compaction replaced it: the file goes when the last snapshot lets go.
    obsolete: AtomicBool,
}

impl Drop for SegmentFile {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Relaxed)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            // Not in the catalog any more: the next start removes it.
            tracing::warn!(path = %self.path.display(), %error, "could not remove a replaced segment");
        }
    }
}

impl Segment {
    pub(crate) fn in_memory(id: u64, bucket: u32, rows: Rows) -> Segment {
        let time_us = time_bounds(&rows.core);
        Segment { id, bucket, rows: rows.len() as u64, time_us, data: Data::Memory(rows) }
    }

    /// Opens a file that the catalog names; reads its footer only.
    pub(crate) fn open(
        id: u64,
        bucket: u32,
        rows: u64,
        time_us: (i64, i64),
        path: PathBuf,
        cache: Arc<ColumnCache>,
    ) -> Result<Segment> {
        let reader = open_reader(&path)?;
        let mut columns = BTreeMap::new();
        for (index, field) in reader.metadata().file_metadata().schema_descr().columns().iter().enumerate() {
            if let Some(key) = parse_column_name(field.name()) {
                columns.insert(key, index);
            }
        }
        let stored = u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0);
        if stored != rows {
            return Err(Error::Damaged { path, what: format!("{stored} rows where the catalog says {rows}") });
        }
        let file = SegmentFile { path, columns, cache, obsolete: AtomicBool::new(false) };
        Ok(Segment { id, bucket, rows, time_us, data: Data::File(file) })
    }

    /// Subjects, times, names: what every query reads.
    pub fn core(&self) -> Result<Arc<Core>> {
        match &self.data {
            Data::Memory(rows) => Ok(rows.core.clone()),
            Data::File(file) => {
                let loaded = file.cache.get(self.id, None, || Ok(Loaded::Core(Arc::new(file.read_core()?))))?;
                match loaded {
                    Loaded::Core(core) => Ok(core),
                    Loaded::Column(_) => unreachable!("no column index names the core"),
                }
            }
        }
    }

    /// The column of a property, if the segment has one.
    pub fn column(&self, key: &PropertyKey) -> Result<Option<Arc<Column>>> {
        match &self.data {
            Data::Memory(rows) => Ok(rows.columns.get(key).cloned()),
            Data::File(file) => {
                let Some(&index) = file.columns.get(key) else { return Ok(None) };
                let loaded = file.cache.get(self.id, Some(index), || {
                    Ok(Loaded::Column(Arc::new(file.read_column(key.property_type, index)?)))
                })?;
                match loaded {
                    Loaded::Column(column) => Ok(Some(column)),
                    Loaded::Core(_) => unreachable!("a column index names a column"),
                }
            }
        }
    }

    /// Every (property, type) with a value here.
    pub fn keys(&self) -> Box<dyn Iterator<Item = &PropertyKey> + '_> {
        match &self.data {
            Data::Memory(rows) => Box::new(rows.columns.keys()),
            Data::File(file) => Box::new(file.columns.keys()),
        }
    }

    /// Everything, decoded: for merging.
    pub(crate) fn read_all(&self) -> Result<Rows> {
        match &self.data {
            Data::Memory(rows) => Ok(rows.clone()),
            Data::File(file) => {
                let mut columns = BTreeMap::new();
                for (key, &index) in &file.columns {
                    columns.insert(key.clone(), Arc::new(file.read_column(key.property_type, index)?));
                }
                Ok(Rows { core: Arc::new(file.read_core()?), columns })
            }
        }
    }

    pub(crate) fn mark_obsolete(&self) {
        if let Data::File(file) = &self.data {
            file.obsolete.store(true, Ordering::Relaxed);
            file.cache.forget(self.id);
        }
    }
}

fn time_bounds(core: &Core) -> (i64, i64) {
    let low = core.time.iter().copied().min().unwrap_or(i64::MAX);
    let high = core.time.iter().copied().max().unwrap_or(i64::MIN);
    (low, high)
}

fn column_name(key: &PropertyKey) -> String {
    format!("{}.{}", key.property_type.prefix(), key.name)
}

fn parse_column_name(name: &str) -> Option<PropertyKey> {
    let (prefix, name) = name.split_once('.')?;
    let property_type = PropertyType::ALL.into_iter().find(|candidate| candidate.prefix() == prefix)?;
    Some(PropertyKey { name: name.to_owned(), property_type })
}

// Writing.

/// What the catalog notes about a written file.
pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(crate) crc32c: u32,
    pub(crate) rows: u64,
    pub(crate) time_us: (i64, i64),
}

/// Writes a segment file and makes it durable under its final name.
pub(crate) fn write(path: &Path, rows: &Rows) -> Result<Written> {
    let temporary = path.with_extension("tmp");
    write_through(path, &temporary, rows).inspect_err(|_| {
        // Whatever went wrong is what the caller reports; a full disk should not stay full of this.
        let _ = std::fs::remove_file(&temporary);
    })
}

fn write_through(path: &Path, temporary: &Path, rows: &Rows) -> Result<Written> {
    let io = |source| Error::Io { what: "write a segment", path: path.to_owned(), source };
    let mut sink = Checksummed {
        file: std::io::BufWriter::with_capacity(1 << 20, File::create(temporary).map_err(io)?),
        crc: 0,
        bytes: 0,
    };
    write_parquet(&mut sink, rows).map_err(|source| Error::Parquet { path: path.to_owned(), source })?;
    sink.file.flush().map_err(io)?;
    let (crc32c, bytes) = (sink.crc, sink.bytes);
    let file = sink.file.into_inner().map_err(|error| io(error.into_error()))?;
    file.sync_all().map_err(io)?;
    drop(file);
    std::fs::rename(temporary, path).map_err(io)?;
    sync_folder(path.parent().expect("a segment lies in a folder")).map_err(io)?;
    Ok(Written { bytes, crc32c, rows: rows.len() as u64, time_us: time_bounds(&rows.core) })
}

pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

struct Checksummed {
    file: std::io::BufWriter<File>,
    crc: u32,
    bytes: u64,
}

impl Write for Checksummed {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.crc = crc32c::crc32c_append(self.crc, &buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

type ParquetResult<T> = std::result::Result<T, parquet::errors::ParquetError>;

fn write_parquet(sink: &mut Checksummed, rows: &Rows) -> ParquetResult<()> {
    let micros = || Some(LogicalType::timestamp(true, TimeUnit::MICROS));
    let leaf = |name: &str, physical, logical: Option<LogicalType>, repetition| {
        Type::primitive_type_builder(name, physical)
            .with_logical_type(logical)
            .with_repetition(repetition)
            .build()
            .map(Arc::new)
    };
    let mut fields = vec![
        leaf(CORE[0], Physical::INT64, None, Repetition::REQUIRED)?,
        leaf(CORE[1], Physical::INT64, micros(), Repetition::REQUIRED)?,
        leaf(CORE[2], Physical::INT64, micros(), Repetition::REQUIRED)?,
        leaf(CORE[3], Physical::INT64, None, Repetition::REQUIRED)?,
        leaf(CORE[4], Physical::BYTE_ARRAY, Some(LogicalType::String), Repetition::REQUIRED)?,
    ];
    for key in rows.columns.keys() {
        let (physical, logical) = match key.property_type {
            PropertyType::Number => (Physical::DOUBLE, None),
            PropertyType::Bool => (Physical::BOOLEAN, None),
            PropertyType::Time => (Physical::INT64, micros()),
            PropertyType::String | PropertyType::List | PropertyType::Object => {
                (Physical::BYTE_ARRAY, Some(LogicalType::String))
            }
        };
        fields.push(leaf(&column_name(key), physical, logical, Repetition::OPTIONAL)?);
    }
    let schema = Arc::new(Type::group_type_builder("events").with_fields(fields).build()?);
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_created_by("cofferdam".to_owned())
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(None)
        .set_key_value_metadata(Some(vec![KeyValue::new("cofferdam.layout".to_owned(), LAYOUT_VERSION.to_owned())]));
    for (name, encoding) in [
        (CORE[0], Encoding::DELTA_BINARY_PACKED),
        (CORE[1], Encoding::DELTA_BINARY_PACKED),
        (CORE[2], Encoding::DELTA_BINARY_PACKED),
        (CORE[3], Encoding::PLAIN),
    ] {
        let path = ColumnPath::new(vec![name.to_owned()]);
        properties = properties.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, encoding);
    }
    let mut writer = SerializedFileWriter::new(sink, schema, Arc::new(properties.build()))?;
    let mut group = writer.next_row_group()?;
    let core = &rows.core;
    let mut subjects = Vec::with_capacity(core.len());
    for (index, subject) in core.subjects.iter().enumerate() {
        let count = core.offsets[index + 1] - core.offsets[index];
        subjects.extend(std::iter::repeat_n(i64::from(subject.0), count as usize));
    }
    write_column::<Int64Type, _>(&mut group, &subjects, None)?;
    write_column::<Int64Type, _>(&mut group, &core.time, None)?;
    write_column::<Int64Type, _>(&mut group, &core.received, None)?;
    let insert_ids: Vec<i64> = core.insert_id.iter().map(|id| id.cast_signed()).collect();
    write_column::<Int64Type, _>(&mut group, &insert_ids, None)?;
    write_text(&mut group, &core.event, false)?;
    for column in rows.columns.values() {
        match &**column {
            Column::Text(text) => write_text(&mut group, text, true)?,
            Column::Number(values) => write_optional::<DoubleType, _>(&mut group, values, |value| !value.is_nan())?,
            Column::Time(values) => write_optional::<Int64Type, _>(&mut group, values, |value| *value != TIME_NOT_SET)?,
            Column::Bool(values) => {
                let levels: Vec<i16> = values.iter().map(|value| i16::from(*value != 0)).collect();
                let set: Vec<bool> = values.iter().filter(|value| **value != 0).map(|value| *value == 2).collect();
                write_column::<BoolType, _>(&mut group, &set, Some(&levels))?;
            }
        }
    }
    group.close()?;
    writer.close()?;
    Ok(())
}

fn write_optional<T: DataType<T = V>, V: Copy>(
    group: &mut SerializedRowGroupWriter<'_, &mut Checksummed>,
    values: &[V],
    set: impl Fn(&V) -> bool,
) -> ParquetResult<()> {
    let levels: Vec<i16> = values.iter().map(|value| i16::from(set(value))).collect();
    let present: Vec<V> = values.iter().copied().filter(|value| set(value)).collect();
    write_column::<T, V>(group, &present, Some(&levels))
}

fn write_text(
    group: &mut SerializedRowGroupWriter<'_, &mut Checksummed>,
    text: &Text,
    optional: bool,
) -> ParquetResult<()> {
    let dictionary: Vec<ByteArray> =
        text.dictionary.iter().map(|entry| ByteArray::from(Bytes::copy_from_slice(entry.as_bytes()))).collect();
    let values: Vec<ByteArray> =
        text.codes.iter().filter(|code| **code != NOT_SET).map(|code| dictionary[*code as usize].clone()).collect();
    let levels: Option<Vec<i16>> =
        optional.then(|| text.codes.iter().map(|code| i16::from(*code != NOT_SET)).collect());
    write_column::<ByteArrayType, _>(group, &values, levels.as_deref())
}

fn write_column<T: DataType<T = V>, V>(
    group: &mut SerializedRowGroupWriter<'_, &mut Checksummed>,
    values: &[V],
    levels: Option<&[i16]>,
) -> ParquetResult<()> {
    let mut column = group.next_column()?.expect("as many columns as fields in the schema");
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

// Reading.

fn open_reader(path: &Path) -> Result<SerializedFileReader<File>> {
    let file =
        File::open(path).map_err(|source| Error::Io { what: "open a segment", path: path.to_owned(), source })?;
    SerializedFileReader::new(file).map_err(|source| Error::Parquet { path: path.to_owned(), source })
}

/// CRC32C of a whole file, as noted in the catalog when it was written.
pub(crate) fn checksum(path: &Path) -> std::io::Result<u32> {
    use std::io::Read;
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut crc = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(crc);
        }
        crc = crc32c::crc32c_append(crc, &buffer[..read]);
    }
}

impl SegmentFile {
    fn parquet(&self, source: parquet::errors::ParquetError) -> Error {
        Error::Parquet { path: self.path.clone(), source }
    }

    fn damaged(&self, what: &str) -> Error {
        Error::Damaged { path: self.path.clone(), what: what.to_owned() }
    }

    fn read_core(&self) -> Result<Core> {
        let reader = open_reader(&self.path)?;
        let ints = |index| self.read_values::<Int64Type>(&reader, index).map(|(values, _)| values);
        let mut core = Core { time: ints(1)?, received: ints(2)?, ..Core::default() };
        let rows = core.time.len();
        core.insert_id = ints(3)?.into_iter().map(i64::cast_unsigned).collect();
        for (row, subject) in ints(0)?.into_iter().enumerate() {
            let subject = SubjectNo(u32::try_from(subject).map_err(|_| self.damaged("a subject out of range"))?);
            if core.subjects.last() != Some(&subject) {
                if core.subjects.last().is_some_and(|last| *last > subject) {
                    return Err(self.damaged("subjects out of order"));
                }
                core.subjects.push(subject);
                core.offsets.push(u32::try_from(row).map_err(|_| self.damaged("too many rows"))?);
            }
        }
        core.offsets.push(u32::try_from(rows).map_err(|_| self.damaged("too many rows"))?);
        core.event = self.read_text(&reader, 4)?;
        if core.event.codes.len() != rows || core.event.codes.contains(&NOT_SET) {
            return Err(self.damaged("events without a name"));
        }
        Ok(core)
    }

    fn read_column(&self, property_type: PropertyType, index: usize) -> Result<Column> {
        let reader = open_reader(&self.path)?;
        Ok(match property_type {
            PropertyType::String | PropertyType::List | PropertyType::Object => {
                Column::Text(self.read_text(&reader, index)?)
            }
            PropertyType::Number => {
                let (values, levels) = self.read_values::<DoubleType>(&reader, index)?;
                Column::Number(spread(values, &levels, f64::NAN))
            }
            PropertyType::Time => {
                let (values, levels) = self.read_values::<Int64Type>(&reader, index)?;
                Column::Time(spread(values, &levels, TIME_NOT_SET))
            }
            PropertyType::Bool => {
                let (values, levels) = self.read_values::<BoolType>(&reader, index)?;
                Column::Bool(spread(values.into_iter().map(|value| 1 + u8::from(value)).collect(), &levels, 0))
            }
        })
    }

    fn read_text(&self, reader: &SerializedFileReader<File>, index: usize) -> Result<Text> {
        let (values, levels) = self.read_values::<ByteArrayType>(reader, index)?;
        let mut text = Text::default();
        let mut codes: FxHashMap<Bytes, u32> = FxHashMap::default();
        let mut present = Vec::with_capacity(values.len());
        // Values of a dictionary page share its bytes: the address finds most codes without hashing the text.
        let mut by_address: FxHashMap<(usize, usize), u32> = FxHashMap::default();
        for value in &values {
            let data = value.data();
            let address = (data.as_ptr() as usize, data.len());
            if let Some(&code) = by_address.get(&address) {
                present.push(code);
                continue;
            }
            let code = match codes.get(data) {
                Some(&code) => code,
                None => {
                    let entry = std::str::from_utf8(data).map_err(|_| self.damaged("text that is not UTF-8"))?;
                    let code = u32::try_from(text.dictionary.len()).map_err(|_| self.damaged("too many values"))?;
                    text.dictionary.push(Arc::from(entry));
                    codes.insert(Bytes::copy_from_slice(data), code);
                    code
                }
            };
            by_address.insert(address, code);
            present.push(code);
        }
        text.codes = spread(present, &levels, NOT_SET);
        Ok(text)
    }

    fn read_values<T: DataType>(
        &self,
        reader: &SerializedFileReader<File>,
        index: usize,
    ) -> Result<(Vec<T::T>, Vec<i16>)> {
        let mut values = Vec::new();
        let mut levels = Vec::new();
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group).map_err(|source| self.parquet(source))?;
            let rows =
                usize::try_from(group.metadata().num_rows()).map_err(|_| self.damaged("a negative row count"))?;
            values.reserve(rows);
            let column = group.get_column_reader(index).map_err(|source| self.parquet(source))?;
            let mut column: ColumnReaderImpl<T> = get_typed_column_reader(column);
            let mut left = rows;
            while left > 0 {
                let (read, _, _) = column
                    .read_records(left, Some(&mut levels), None, &mut values)
                    .map_err(|source| self.parquet(source))?;
                if read == 0 {
                    return Err(self.damaged("a column shorter than its row group"));
                }
                left -= read;
            }
        }
        Ok((values, levels))
    }
}

/// Puts present values at the rows whose level says so. No levels: every row is present.
fn spread<T: Copy>(values: Vec<T>, levels: &[i16], not_set: T) -> Vec<T> {
    if levels.is_empty() {
        return values;
    }
    let mut values = values.into_iter();
    levels.iter().map(|level| if *level == 0 { not_set } else { values.next().unwrap_or(not_set) }).collect()
}

// The cache.

#[derive(Clone)]
enum Loaded {
    Core(Arc<Core>),
    Column(Arc<Column>),
}

/// Decoded columns of segment files, up to a number of bytes; the least recently used go first.
pub(crate) struct ColumnCache {
    bytes_max: usize,
    clock: AtomicU64,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    loaded: FxHashMap<(u64, Option<usize>), (Loaded, usize, u64)>,
    bytes: usize,
}

impl ColumnCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, clock: AtomicU64::new(0), entries: Mutex::new(Entries::default()) }
    }

    fn get(&self, segment: u64, column: Option<usize>, load: impl FnOnce() -> Result<Loaded>) -> Result<Loaded> {
        let key = (segment, column);
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        if let Some((loaded, _, used)) = self.lock().loaded.get_mut(&key) {
            *used = now;
            return Ok(loaded.clone());
        }
        // Two queries may decode the same column at once; the second one's copy simply replaces the first.
        let loaded = load()?;
        let bytes = match &loaded {
            Loaded::Core(core) => core.bytes(),
            Loaded::Column(column) => column.bytes(),
        };
        let mut entries = self.lock();
        if let Some((_, old, _)) = entries.loaded.insert(key, (loaded.clone(), bytes, now)) {
            entries.bytes -= old;
        }
        entries.bytes += bytes;
        while entries.bytes > self.bytes_max && entries.loaded.len() > 1 {
            let oldest = entries.loaded.iter().min_by_key(|(_, (_, _, used))| *used).map(|(key, _)| *key);
            let Some(oldest) = oldest else { break };
            if let Some((_, bytes, _)) = entries.loaded.remove(&oldest) {
                entries.bytes -= bytes;
            }
        }
        Ok(loaded)
    }

    fn forget(&self, segment: u64) {
        let mut entries = self.lock();
        let mut freed = 0;
        entries.loaded.retain(|(id, _), (_, bytes, _)| {
            let keep = *id != segment;
            if !keep {
                freed += *bytes;
            }
            keep
        });
        entries.bytes -= freed;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().expect("the cache is never left half changed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::Arrived;
    use cofferdam_model::{SealedEvent, Value};

    #[test]
    fn a_segment_file_reads_back_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let events: Vec<Arrived> = (0..500_i64)
            .map(|i| Arrived {
                received: i,
                event: SealedEvent {
                    name: format!("event {}", i % 7),
                    subject: SubjectNo((i * 7919 % 101) as u32),
                    time_us: i * 1_000_003 % 777_777,
                    insert_id: i as u64,
                    properties: match i % 5 {
                        0 => vec![("a".into(), Value::String(format!("ñ{}", i % 11)))],
                        1 => vec![("a".into(), Value::Number(i as f64 / 3.0)), ("t".into(), Value::Time(i))],
                        2 => vec![("b".into(), Value::Bool(i % 2 == 0))],
                        3 => vec![("l".into(), Value::List(vec!["x".into(), format!("{i}")]))],
                        _ => vec![("o".into(), Value::Object(format!("{{\"k\":{i}}}")))],
                    },
                },
            })
            .collect();
        let rows = Rows::build(&events);
        let path = folder.path().join("s.parquet");
        let written = write(&path, &rows).unwrap();
        assert_eq!(written.rows, 500);
        assert_eq!(checksum(&path).unwrap(), written.crc32c);
        let cache = Arc::new(ColumnCache::new(1 << 20));
        let segment = Segment::open(1, 0, 500, written.time_us, path, cache).unwrap();
        let read = segment.read_all().unwrap();
        assert_eq!(*read.core, *rows.core);
        assert_eq!(read.columns.len(), rows.columns.len());
        for (key, column) in &rows.columns {
            let other = &read.columns[key];
            for row in 0..500 {
                assert_eq!(column.value(key.property_type, row), other.value(key.property_type, row), "{key:?} {row}");
            }
            assert!(segment.column(key).unwrap().is_some());
        }
    }
}
