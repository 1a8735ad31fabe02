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
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

use crate::buffer::Buffer;
use crate::columns::{
    Codes, Column, Core, Dictionary, NOT_SET, PropertyKey, Rows, TIME_NOT_SET, Text, Times, WideColumn, WideCore,
    WideText,
};
use crate::disk::Disk;
use crate::hot::{HotStore, Slot};
use crate::{Error, Result};

const CORE: [&str; 5] = ["subject", "time", "received", "insert_id", "event"];
/// Version of the file layout, in the footer.
const LAYOUT_VERSION: &str = "1";

/// An immutable set of events of one project and bucket. Cheap to clone.
#[derive(Clone)]
pub struct Segment {
    /// Unique within the process; for files, the catalog's id.
    pub id: u64,
    pub bucket: u32,
    /// Hidden ones included.
    pub rows: u64,
    /// Earliest and latest event time, µs UTC.
    pub time_us: (i64, i64),
    hidden: Arc<[u32]>,
    data: Arc<Data>,
}

enum Data {
    Memory(Memory),
    File(SegmentFile),
}

/// A segment that is in no file yet.
struct Memory {
    core: Arc<Core>,
    received: Buffer<i64>,
    insert_ids: Buffer<u64>,
    columns: BTreeMap<PropertyKey, Arc<Column>>,
}

struct SegmentFile {
    path: PathBuf,
    hot: Arc<HotStore>,
    core: Slot<Arc<Core>>,
    received: Slot<Buffer<i64>>,
    insert_ids: Slot<Buffer<u64>>,
    columns: BTreeMap<PropertyKey, FileColumn>,
    /// Set when a compaction replaced it: the file goes when the last snapshot lets go.
    obsolete: AtomicBool,
}

struct FileColumn {
    /// Place in the file.
    index: usize,
    slot: Slot<Arc<Column>>,
}

impl Drop for SegmentFile {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Relaxed)
            && let Err(error) = self.hot.disk.remove(&self.path)
        {
            // Not in the catalog any more: the next start removes it.
            tracing::warn!(path = %self.path.display(), %error, "could not remove a replaced segment");
        }
    }
}

impl Segment {
    pub(crate) fn in_memory(id: u64, bucket: u32, rows: &Rows) -> Segment {
        let low = rows.core.time.iter().copied().min().unwrap_or(i64::MAX);
        let high = rows.core.time.iter().copied().max().unwrap_or(i64::MIN);
        let memory = Memory {
            core: Arc::new((&*rows.core).into()),
            received: rows.core.received.clone().into(),
            insert_ids: rows.core.insert_id.clone().into(),
            columns: rows.columns.iter().map(|(key, column)| (key.clone(), Arc::new((&**column).into()))).collect(),
        };
        Segment {
            id,
            bucket,
            rows: rows.len() as u64,
            time_us: (low, high),
            hidden: Arc::new([]),
            data: Arc::new(Data::Memory(memory)),
        }
    }

    /// Opens a file that the catalog names; reads its footer only.
    pub(crate) fn open(
        id: u64,
        bucket: u32,
        rows: u64,
        time_us: (i64, i64),
        path: PathBuf,
        hot: Arc<HotStore>,
    ) -> Result<Segment> {
        let reader = open_reader(&*hot.disk, &path)?;
        let mut columns = BTreeMap::new();
        for (index, field) in reader.metadata().file_metadata().schema_descr().columns().iter().enumerate() {
            if let Some(key) = parse_column_name(field.name()) {
                columns.insert(key, FileColumn { index, slot: Slot::empty() });
            }
        }
        let stored = u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or(0);
        if stored != rows {
            return Err(Error::Damaged { path, what: format!("{stored} rows where the catalog says {rows}") });
        }
        let file = SegmentFile {
            path,
            hot,
            core: Slot::empty(),
            received: Slot::empty(),
            insert_ids: Slot::empty(),
            columns,
            obsolete: AtomicBool::new(false),
        };
        Ok(Segment { id, bucket, rows, time_us, hidden: Arc::new([]), data: Arc::new(Data::File(file)) })
    }

    /// The same segment with other rows hidden, ascending: superseded duplicates, erased subjects.
    pub(crate) fn with_hidden(&self, hidden: Vec<u32>) -> Segment {
        debug_assert!(hidden.is_sorted(), "readers walk hidden rows beside the others");
        Segment { hidden: hidden.into(), ..self.clone() }
    }

    /// Rows that must not be read, ascending.
    pub fn hidden(&self) -> &[u32] {
        &self.hidden
    }

    /// Subjects, times, names: what every query reads.
    pub fn core(&self) -> Result<Arc<Core>> {
        match &*self.data {
            Data::Memory(memory) => Ok(memory.core.clone()),
            Data::File(file) => file.core.get(|| Ok(Arc::new(file.read_core()?))),
        }
    }

    /// The column of a property, if the segment has one.
    pub fn column(&self, key: &PropertyKey) -> Result<Option<Arc<Column>>> {
        match &*self.data {
            Data::Memory(memory) => Ok(memory.columns.get(key).cloned()),
            Data::File(file) => {
                let Some(FileColumn { index, slot }) = file.columns.get(key) else { return Ok(None) };
                slot.get(|| Ok(Arc::new(file.read_column(key.property_type, *index)?))).map(Some)
            }
        }
    }

    /// Arrival stamps, one per row, unique within a project: only ties of (subject, time) across segments need them.
    pub fn received(&self) -> Result<Buffer<i64>> {
        match &*self.data {
            Data::Memory(memory) => Ok(memory.received.clone()),
            Data::File(file) => file.received.get(|| Ok(file.read_ints(2)?.into())),
        }
    }

    /// Insert ids, one per row; 0 is nobody's duplicate.
    pub(crate) fn insert_ids(&self) -> Result<Buffer<u64>> {
        match &*self.data {
            Data::Memory(memory) => Ok(memory.insert_ids.clone()),
            Data::File(file) => {
                file.insert_ids.get(|| Ok(file.read_ints(3)?.into_iter().map(i64::cast_unsigned).collect()))
            }
        }
    }

    /// Every (property, type) with a value here.
    pub fn keys(&self) -> impl Iterator<Item = &PropertyKey> {
        let (memory, file) = match &*self.data {
            Data::Memory(memory) => (Some(memory.columns.keys()), None),
            Data::File(file) => (None, Some(file.columns.keys())),
        };
        memory.into_iter().flatten().chain(file.into_iter().flatten())
    }

    /// Everything, decoded: for merging.
    pub(crate) fn read_all(&self) -> Result<Rows> {
        let core = self.core()?;
        let wide = WideCore {
            subjects: core.subjects.iter().map(|subject| SubjectNo(*subject)).collect(),
            offsets: core.offsets.to_vec(),
            time: core.time.iter().collect(),
            received: self.received()?.to_vec(),
            insert_id: self.insert_ids()?.to_vec(),
            event: widened(&core.event),
        };
        let mut columns = BTreeMap::new();
        for key in self.keys() {
            if let Some(column) = self.column(key)? {
                let column = match &*column {
                    Column::Text(text) => WideColumn::Text(widened(text)),
                    Column::Number(values) => WideColumn::Number(values.to_vec()),
                    Column::Bool(values) => WideColumn::Bool(values.to_vec()),
                    Column::Time(values) => WideColumn::Time(values.to_vec()),
                };
                columns.insert(key.clone(), Arc::new(column));
            }
        }
        Ok(Rows { core: Arc::new(wide), columns })
    }

    pub(crate) fn mark_obsolete(&self) {
        if let Data::File(file) = &*self.data {
            file.obsolete.store(true, Ordering::Relaxed);
        }
    }
}

fn widened(text: &Text) -> WideText {
    WideText { codes: text.codes.widened(), dictionary: text.dictionary.iter().map(Arc::from).collect() }
}

fn time_bounds(core: &WideCore) -> (i64, i64) {
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
    let mut subjects = Vec::with_capacity(core.time.len());
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
            WideColumn::Text(text) => write_text(&mut group, text, true)?,
            WideColumn::Number(values) => write_optional::<DoubleType, _>(&mut group, values, |value| !value.is_nan())?,
            WideColumn::Time(values) => {
                write_optional::<Int64Type, _>(&mut group, values, |value| *value != TIME_NOT_SET)?
            }
            WideColumn::Bool(values) => {
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
    text: &WideText,
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

fn open_reader(disk: &dyn Disk, path: &Path) -> Result<SerializedFileReader<Bytes>> {
    let file = disk.read(path).map_err(|source| Error::Io { what: "open a segment", path: path.to_owned(), source })?;
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

    fn read_ints(&self, index: usize) -> Result<Vec<i64>> {
        let mut all = Vec::new();
        self.read_values::<Int64Type>(index, |values, _| {
            all.extend_from_slice(values);
            Ok(())
        })?;
        Ok(all)
    }

    fn read_core(&self) -> Result<Core> {
        let mut subjects: Vec<u32> = Vec::new();
        let mut offsets = Vec::new();
        let mut rows = 0_u32;
        self.read_values::<Int64Type>(0, |values, _| {
            for &subject in values {
                let subject = u32::try_from(subject).map_err(|_| self.damaged("a subject out of range"))?;
                if subjects.last() != Some(&subject) {
                    if subjects.last().is_some_and(|last| *last > subject) {
                        return Err(self.damaged("subjects out of order"));
                    }
                    subjects.push(subject);
                    offsets.push(rows);
                }
                rows = rows.checked_add(1).ok_or_else(|| self.damaged("too many rows"))?;
            }
            Ok(())
        })?;
        offsets.push(rows);
        let core = Core {
            subjects: subjects.into(),
            offsets: offsets.into(),
            time: Times::shortest(&self.read_ints(1)?),
            event: self.read_text(4)?,
        };
        let rows = rows as usize;
        if core.time.len() != rows || core.event.codes.len() != rows {
            return Err(self.damaged("columns of different lengths"));
        }
        if (0..rows).any(|row| core.event.codes.get(row) == NOT_SET) {
            return Err(self.damaged("events without a name"));
        }
        Ok(core)
    }

    fn read_column(&self, property_type: PropertyType, index: usize) -> Result<Column> {
        Ok(match property_type {
            PropertyType::String | PropertyType::List | PropertyType::Object => Column::Text(self.read_text(index)?),
            PropertyType::Number => Column::Number(self.read_spread::<DoubleType, _>(index, f64::NAN, |value| *value)?),
            PropertyType::Time => Column::Time(self.read_spread::<Int64Type, _>(index, TIME_NOT_SET, |value| *value)?),
            PropertyType::Bool => {
                Column::Bool(self.read_spread::<BoolType, _>(index, 0, |value| 1 + u8::from(*value))?)
            }
        })
    }

    fn read_spread<T: DataType, V: bytemuck::Pod + Send>(
        &self,
        index: usize,
        not_set: V,
        value: impl Fn(&T::T) -> V,
    ) -> Result<Buffer<V>> {
        let mut all = Vec::new();
        self.read_values::<T>(index, |values, levels| {
            spread(&mut all, values.iter().map(&value), levels, not_set);
            Ok(())
        })?;
        Ok(all.into())
    }

    fn read_text(&self, index: usize) -> Result<Text> {
        let mut entries: Vec<ByteArray> = Vec::new();
        let mut codes: FxHashMap<Bytes, u32> = FxHashMap::default();
        let mut all = Vec::new();
        let mut present = Vec::new();
        self.read_values::<ByteArrayType>(index, |values, levels| {
            // Values of a dictionary page share its bytes: the address finds most codes without hashing the text.
            let mut by_address: FxHashMap<(usize, usize), u32> = FxHashMap::default();
            present.clear();
            for value in values {
                let text = value.data();
                let address = (text.as_ptr() as usize, text.len());
                if let Some(&code) = by_address.get(&address) {
                    present.push(code);
                    continue;
                }
                let code = match codes.get(text) {
                    Some(&code) => code,
                    None => {
                        let code = u32::try_from(entries.len()).map_err(|_| self.damaged("too many values"))?;
                        std::str::from_utf8(text).map_err(|_| self.damaged("text that is not UTF-8"))?;
                        entries.push(value.clone());
                        codes.insert(Bytes::copy_from_slice(text), code);
                        code
                    }
                };
                by_address.insert(address, code);
                present.push(code);
            }
            spread(&mut all, present.iter().copied(), levels, NOT_SET);
            Ok(())
        })?;
        let dictionary: Dictionary =
            entries.iter().map(|entry| std::str::from_utf8(entry.data()).expect("checked above")).collect();
        Ok(Text { codes: Codes::narrowest(&all, dictionary.len()), dictionary })
    }

    /// Hands out a column in pieces: present values, and levels that say where (none: everywhere).
    fn read_values<T: DataType>(
        &self,
        index: usize,
        mut piece: impl FnMut(&[T::T], &[i16]) -> Result<()>,
    ) -> Result<()> {
        const PIECE_ROWS: usize = 64 * 1024;
        let reader = open_reader(&*self.hot.disk, &self.path)?;
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group).map_err(|source| self.parquet(source))?;
            let mut left =
                usize::try_from(group.metadata().num_rows()).map_err(|_| self.damaged("a negative row count"))?;
            let column = group.get_column_reader(index).map_err(|source| self.parquet(source))?;
            let mut column: ColumnReaderImpl<T> = get_typed_column_reader(column);
            while left > 0 {
                values.clear();
                levels.clear();
                let (read, _, _) = column
                    .read_records(left.min(PIECE_ROWS), Some(&mut levels), None, &mut values)
                    .map_err(|source| self.parquet(source))?;
                if read == 0 {
                    return Err(self.damaged("a column shorter than its row group"));
                }
                left -= read;
                piece(&values, &levels)?;
            }
        }
        Ok(())
    }
}

/// Appends present values at the rows whose level says so. No levels: every row is present.
fn spread<V: Copy>(all: &mut Vec<V>, mut values: impl Iterator<Item = V>, levels: &[i16], not_set: V) {
    if levels.is_empty() {
        all.extend(values);
    } else {
        all.extend(levels.iter().map(|level| if *level == 0 { not_set } else { values.next().unwrap_or(not_set) }));
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
        let hot = HotStore::open(Arc::new(crate::disk::LocalDisk), folder.path().join("hot"), 1 << 20).unwrap();
        let segment = Segment::open(1, 0, 500, written.time_us, path, hot).unwrap();
        let read = segment.read_all().unwrap();
        assert_eq!(*read.core, *rows.core);
        assert_eq!(read.columns.len(), rows.columns.len());
        for (key, column) in &rows.columns {
            let other = &read.columns[key];
            for row in 0..500 {
                assert_eq!(
                    Column::from(&**column).value(key.property_type, row),
                    Column::from(&**other).value(key.property_type, row),
                    "{key:?} {row}"
                );
            }
            assert!(segment.column(key).unwrap().is_some());
        }
    }
}
