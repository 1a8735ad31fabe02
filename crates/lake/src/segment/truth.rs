//! The truth of a segment: plain Parquet that any tool reads.
//!
//! Columns: `subject`, `time` (ms UTC where no event has µs, else µs), `received` (µs UTC), `insert_id`, `event`, then one per (property, type), named
//! with the type's prefix: `str.plan`, `num.price`. Lists and objects are JSON text. One row group; rows ordered
//! by (subject, time, received).
//!
//! Written to a temporary name, synced, renamed, folder synced: a file with its final name is whole. Columns are
//! written and read one at a time.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use cofferdam_model::PropertyType;
use parquet::basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::column::page::Page;
use parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use parquet::column::writer::{ColumnWriter, ColumnWriterImpl, get_column_writer, get_typed_column_writer};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedPageWriter, SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::{SchemaDescriptor, Type};
use rustc_hash::FxHashMap;

use crate::buffer::Buffer;
use crate::columns::{Codes, Column, Core, Dictionary, NOT_SET, PropertyKey, TIME_NOT_SET, Text, Times};
use crate::disk::{Disk, DiskFile as _, InSteps};
use crate::{Error, Result};

const CORE: [&str; 5] = ["subject", "time", "received", "insert_id", "event"];
/// Version of the file layout, in the footer.
const LAYOUT_VERSION: &str = "1";
/// Rows in hand while a column is converted.
const PIECE_ROWS: usize = 64 * 1024;
/// Rows of a page: few enough to stay in the cache while it is decoded, enough to compress well.
const PAGE_ROWS: usize = 512 * 1024;
/// Bytes of a page before compression, likewise.
const PAGE_BYTES: usize = 1024 * 1024;

/// Beyond this a dictionary no longer fits a page, whose size is 31 bits; the rest is written as it is.
const DICTIONARY_BYTES_MAX: usize = 256 * 1024 * 1024;

fn column_name(key: &PropertyKey) -> String {
    format!("{}.{}", key.property_type.prefix(), key.name)
}

fn parse_column_name(name: &str) -> Option<PropertyKey> {
    let (prefix, name) = name.split_once('.')?;
    let property_type = PropertyType::ALL.into_iter().find(|candidate| candidate.prefix() == prefix)?;
    Some(PropertyKey { name: name.to_owned(), property_type })
}

// Writing.

/// The columns of a file but for the properties, which are asked for one by one.
pub(super) struct Contents<'a> {
    pub(super) core: &'a Core,
    /// Arrival stamps, one per row.
    pub(super) received: Box<dyn Iterator<Item = i64> + 'a>,
    pub(super) insert_ids: Box<dyn Iterator<Item = u64> + 'a>,
    pub(super) keys: &'a [PropertyKey],
    pub(super) column: &'a mut dyn FnMut(&PropertyKey) -> Result<Column>,
}

/// Writes a file and makes it durable under its final name. Answers its bytes and their CRC32C.
pub(super) fn write(disk: &dyn Disk, path: &Path, contents: Contents<'_>) -> Result<(u64, u32)> {
    let temporary = path.with_extension("tmp");
    write_through(disk, path, &temporary, contents).inspect_err(|_| {
        // Whatever went wrong is what the caller reports; a full disk should not stay full of this.
        let _ = disk.remove(&temporary);
    })
}

fn write_through(disk: &dyn Disk, path: &Path, temporary: &Path, contents: Contents<'_>) -> Result<(u64, u32)> {
    let io = |source| Error::Io { what: "write a segment", path: path.to_owned(), source };
    let folder = path.parent().expect("a segment lies in a folder");
    disk.create_folders(folder).map_err(io)?;
    let mut sink = Checksummed {
        file: std::io::BufWriter::with_capacity(1 << 20, InSteps::new(disk.create(temporary).map_err(io)?)),
        crc: 0,
        bytes: 0,
    };
    write_parquet(&mut sink, path, contents)?;
    sink.file.flush().map_err(io)?;
    let (crc32c, bytes) = (sink.crc, sink.bytes);
    let mut file = sink.file.into_inner().map_err(|error| io(error.into_error()))?;
    file.sync().map_err(io)?;
    drop(file);
    disk.rename(temporary, path).map_err(io)?;
    disk.sync_folder(folder).map_err(io)?;
    Ok((bytes, crc32c))
}

struct Checksummed {
    file: std::io::BufWriter<InSteps>,
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

type ParquetResult<T> = std::result::Result<T, ParquetError>;

/// The unit of event times in the truth: a coarser one packs 10 bits shorter.
fn time_unit(times: &Times) -> TimeUnit {
    match times {
        Times::Short { base, unit, .. } if base % 1_000 == 0 && unit % 1_000 == 0 => TimeUnit::MILLIS,
        _ => TimeUnit::MICROS,
    }
}

fn micros_of(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::MILLIS => 1_000,
        _ => 1,
    }
}

fn schema(time_unit: TimeUnit, keys: &[PropertyKey]) -> ParquetResult<Type> {
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
        leaf(CORE[1], Physical::INT64, Some(LogicalType::timestamp(true, time_unit)), Repetition::REQUIRED)?,
        leaf(CORE[2], Physical::INT64, micros(), Repetition::REQUIRED)?,
        leaf(CORE[3], Physical::INT64, None, Repetition::REQUIRED)?,
        leaf(CORE[4], Physical::BYTE_ARRAY, Some(LogicalType::String), Repetition::REQUIRED)?,
    ];
    for key in keys {
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
    Type::group_type_builder("events").with_fields(fields).build()
}

fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).expect("a level of zstd")))
        .set_created_by("cofferdam".to_owned())
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(None)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_dictionary_enabled(false)
        .set_offset_index_disabled(true)
}

fn write_parquet(sink: &mut Checksummed, path: &Path, contents: Contents<'_>) -> Result<()> {
    let parquet = |source| Error::Parquet { path: path.to_owned(), source };
    let schema = schema(time_unit(&contents.core.time), contents.keys).map_err(parquet)?;
    let metadata = vec![KeyValue::new("cofferdam.layout".to_owned(), LAYOUT_VERSION.to_owned())];
    let whole = properties().set_key_value_metadata(Some(metadata)).build();
    let schema = Arc::new(schema);
    let mut writer = SerializedFileWriter::new(sink, schema.clone(), Arc::new(whole)).map_err(parquet)?;
    let group = writer.next_row_group().map_err(parquet)?;
    write_columns(Group { group, schema: SchemaDescriptor::new(schema), next: 0 }, path, contents)?;
    writer.close().map_err(parquet)?;
    Ok(())
}

fn write_columns(mut group: Group<'_, '_>, path: &Path, contents: Contents<'_>) -> Result<()> {
    let parquet = |source| Error::Parquet { path: path.to_owned(), source };
    let core = contents.core;
    let subjects = core
        .subjects
        .iter()
        .zip(core.offsets.windows(2))
        .flat_map(|(subject, rows)| std::iter::repeat_n(i64::from(*subject), (rows[1] - rows[0]) as usize));
    let packed = || properties().set_encoding(Encoding::DELTA_BINARY_PACKED).build();
    group.required::<Int64Type>(packed(), subjects).map_err(parquet)?;
    let micros = micros_of(time_unit(&core.time));
    group.required::<Int64Type>(packed(), core.time.iter().map(|time| time / micros)).map_err(parquet)?;
    group.required::<Int64Type>(packed(), contents.received).map_err(parquet)?;
    // Insert ids are as good as random: nothing makes them smaller.
    let plain = properties().set_encoding(Encoding::PLAIN).set_compression(Compression::UNCOMPRESSED).build();
    group.required::<Int64Type>(plain, contents.insert_ids.map(u64::cast_signed)).map_err(parquet)?;
    group.text(&core.event, Levels::None).map_err(parquet)?;
    for key in contents.keys {
        match (contents.column)(key)? {
            Column::Text(text) => group.text(&text, Levels::Some),
            Column::Number(values) => {
                group.optional::<DoubleType>(values.len(), |row| Some(values[row]).filter(|value| !value.is_nan()))
            }
            Column::Time(values) => {
                group.optional::<Int64Type>(values.len(), |row| Some(values[row]).filter(|time| *time != TIME_NOT_SET))
            }
            Column::Bool(values) => {
                group.optional::<BoolType>(values.len(), |row| (values[row] != 0).then_some(values[row] == 2))
            }
        }
        .map_err(parquet)?;
    }
    group.group.close().map_err(parquet)?;
    Ok(())
}

/// Whether a column says which rows are set.
#[derive(Clone, Copy, PartialEq)]
enum Levels {
    None,
    Some,
}

/// The one row group of a file. Each column is encoded in memory, with properties of its own, and then appended.
struct Group<'a, 'b> {
    group: SerializedRowGroupWriter<'a, &'b mut Checksummed>,
    schema: SchemaDescriptor,
    next: usize,
}

impl Group<'_, '_> {
    fn encode<T: DataType>(
        &mut self,
        properties: WriterProperties,
        fill: impl FnOnce(&mut ColumnWriterImpl<'_, T>) -> ParquetResult<()>,
    ) -> ParquetResult<()> {
        let description = self.schema.column(self.next);
        self.next += 1;
        let mut sink = TrackedWrite::new(Vec::new());
        let pages = Box::new(SerializedPageWriter::new(&mut sink));
        let writer: ColumnWriter<'_> = get_column_writer(description, Arc::new(properties), pages);
        let mut writer = get_typed_column_writer::<T>(writer);
        fill(&mut writer)?;
        let closed = writer.close()?;
        self.group.append_column(&Bytes::from(sink.into_inner()?), closed)
    }

    fn required<T: DataType>(
        &mut self,
        properties: WriterProperties,
        mut values: impl Iterator<Item = T::T>,
    ) -> ParquetResult<()> {
        self.encode::<T>(properties, |writer| {
            let mut piece = Vec::with_capacity(PIECE_ROWS);
            loop {
                piece.clear();
                piece.extend(values.by_ref().take(PIECE_ROWS));
                if piece.is_empty() {
                    return Ok(());
                }
                writer.write_batch(&piece, None, None)?;
            }
        })
    }

    fn optional<T: DataType>(&mut self, rows: usize, value: impl Fn(usize) -> Option<T::T>) -> ParquetResult<()> {
        self.optional_with::<T>(properties().set_dictionary_enabled(true).build(), rows, value)
    }

    fn optional_with<T: DataType>(
        &mut self,
        properties: WriterProperties,
        rows: usize,
        value: impl Fn(usize) -> Option<T::T>,
    ) -> ParquetResult<()> {
        self.encode::<T>(properties, |writer| {
            let (mut piece, mut levels) = (Vec::with_capacity(PIECE_ROWS), Vec::with_capacity(PIECE_ROWS));
            for start in (0..rows).step_by(PIECE_ROWS) {
                piece.clear();
                levels.clear();
                for row in start..rows.min(start + PIECE_ROWS) {
                    let value = value(row);
                    levels.push(i16::from(value.is_some()));
                    piece.extend(value);
                }
                writer.write_batch(&piece, Some(&levels), None)?;
            }
            Ok(())
        })
    }

    fn text(&mut self, text: &Text, levels: Levels) -> ParquetResult<()> {
        let entries: Vec<ByteArray> = {
            let (ends, bytes) = text.dictionary.parts();
            let shared = Bytes::copy_from_slice(bytes);
            let mut start = 0;
            ends.iter()
                .map(|end| {
                    let entry = start..*end as usize;
                    start = entry.end;
                    ByteArray::from(shared.slice(entry))
                })
                .collect()
        };
        let rows = text.codes.len();
        // A dictionary pays while its entries repeat.
        let properties = if text.dictionary.len() <= rows / 2 {
            properties().set_dictionary_enabled(true).set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX).build()
        } else {
            properties().set_encoding(Encoding::PLAIN).build()
        };
        let value = |row| entries.get(text.codes.get(row) as usize).cloned();
        match levels {
            Levels::Some => self.optional_with::<ByteArrayType>(properties, rows, value),
            Levels::None => self
                .required::<ByteArrayType>(properties, (0..rows).map(|row| value(row).expect("every row has a name"))),
        }
    }
}

// Reading.

/// A Parquet file opened by its footer.
pub(super) struct Truth<'a> {
    path: &'a Path,
    file: Bytes,
    reader: SerializedFileReader<Bytes>,
}

/// Which file this is: tells hot columns made from it from those of another one under the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) bytes: u64,
    /// CRC32C of its end, which holds the footer.
    pub(crate) end_crc32c: u32,
}

impl Fingerprint {
    fn of(file: &[u8]) -> Fingerprint {
        const END_BYTES: usize = 4096;
        let end = &file[file.len().saturating_sub(END_BYTES)..];
        Fingerprint { bytes: file.len() as u64, end_crc32c: crc32c::crc32c(end) }
    }
}

pub(super) fn fingerprint(disk: &dyn Disk, path: &Path) -> Result<Fingerprint> {
    let file = disk.read(path).map_err(|source| Error::Io { what: "open a segment", path: path.to_owned(), source })?;
    Ok(Fingerprint::of(&file))
}

impl<'a> Truth<'a> {
    pub(super) fn open(disk: &dyn Disk, path: &'a Path) -> Result<(Truth<'a>, Fingerprint)> {
        let file =
            disk.read(path).map_err(|source| Error::Io { what: "open a segment", path: path.to_owned(), source })?;
        let fingerprint = Fingerprint::of(&file);
        let reader = SerializedFileReader::new(file.clone())
            .map_err(|source| Error::Parquet { path: path.to_owned(), source })?;
        let truth = Truth { path, file, reader };
        truth.check_shape()?;
        Ok((truth, fingerprint))
    }

    /// That the columns are those that are read below, since the decoder takes their types for granted.
    fn check_shape(&self) -> Result<()> {
        let metadata = self.reader.metadata();
        let schema = metadata.file_metadata().schema_descr();
        let core = [Physical::INT64, Physical::INT64, Physical::INT64, Physical::INT64, Physical::BYTE_ARRAY];
        let mut right = metadata.num_row_groups() == 1
            && schema.num_columns() >= core.len()
            && metadata.row_group(0).num_columns() == schema.num_columns();
        for (index, column) in schema.columns().iter().enumerate() {
            let (name, levels) = (column.name(), (column.max_def_level(), column.max_rep_level()));
            right &= match core.get(index) {
                Some(physical) => {
                    name == CORE[index] && column.physical_type() == *physical && levels.0 <= 1 && levels.1 == 0
                }
                None => parse_column_name(name).is_none_or(|key| {
                    let physical = match key.property_type {
                        PropertyType::Number => Physical::DOUBLE,
                        PropertyType::Bool => Physical::BOOLEAN,
                        PropertyType::Time => Physical::INT64,
                        PropertyType::String | PropertyType::List | PropertyType::Object => Physical::BYTE_ARRAY,
                    };
                    column.physical_type() == physical && levels == (1, 0)
                }),
            };
        }
        if right { Ok(()) } else { Err(self.damaged("its columns are not those of a segment")) }
    }

    fn parquet(&self, source: ParquetError) -> Error {
        Error::Parquet { path: self.path.to_owned(), source }
    }

    fn damaged(&self, what: &str) -> Error {
        Error::Damaged { path: self.path.to_owned(), what: what.to_owned() }
    }

    /// CRC32C of the whole file.
    pub(super) fn checksum(&self) -> u32 {
        crc32c::crc32c(&self.file)
    }

    pub(super) fn rows(&self) -> u64 {
        u64::try_from(self.reader.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// Property columns that have a value, and their places.
    pub(super) fn keys(&self) -> impl Iterator<Item = (PropertyKey, usize)> {
        let metadata = self.reader.metadata();
        metadata.file_metadata().schema_descr().columns().iter().enumerate().filter_map(|(index, field)| {
            let key = parse_column_name(field.name())?;
            let empty = metadata.row_groups().iter().all(|group| {
                let nulls = group.column(index).statistics().and_then(|statistics| statistics.null_count_opt());
                nulls.is_some_and(|nulls| i64::try_from(nulls) == Ok(group.num_rows()))
            });
            (!empty).then_some((key, index))
        })
    }

    pub(super) fn core(&self) -> Result<Core> {
        let mut subjects: Vec<u32> = Vec::new();
        let mut offsets = Vec::new();
        let mut rows = 0_u32;
        self.pieces::<Int64Type>(0, |values, _| {
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
            time: Times::shortest(&self.times()?),
            event: self.text(4)?,
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

    pub(super) fn received(&self) -> Result<Buffer<i64>> {
        Ok(self.ints(2)?.into())
    }

    pub(super) fn insert_ids(&self) -> Result<Buffer<u64>> {
        Ok(self.ints(3)?.into_iter().map(i64::cast_unsigned).collect())
    }

    /// The property column at a place that [`Truth::keys`] told.
    pub(super) fn column(&self, property_type: PropertyType, index: usize) -> Result<Column> {
        Ok(match property_type {
            PropertyType::String | PropertyType::List | PropertyType::Object => Column::Text(self.text(index)?),
            PropertyType::Number => Column::Number(self.spread::<DoubleType, _>(index, f64::NAN, |value| *value)?),
            PropertyType::Time => Column::Time(self.spread::<Int64Type, _>(index, TIME_NOT_SET, |value| *value)?),
            PropertyType::Bool => Column::Bool(self.spread::<BoolType, _>(index, 0, |value| 1 + u8::from(*value))?),
        })
    }

    /// µs UTC.
    fn times(&self) -> Result<Vec<i64>> {
        let mut times = self.ints(1)?;
        let schema = self.reader.metadata().file_metadata().schema_descr();
        if let Some(LogicalType::Timestamp(kind)) = schema.column(1).logical_type_ref()
            && kind.unit == TimeUnit::MILLIS
        {
            for time in &mut times {
                *time = time.checked_mul(1_000).ok_or_else(|| self.damaged("a time out of range"))?;
            }
        }
        Ok(times)
    }

    fn ints(&self, index: usize) -> Result<Vec<i64>> {
        let mut all = Vec::with_capacity(usize::try_from(self.rows()).unwrap_or(0));
        self.pieces::<Int64Type>(index, |values, _| {
            all.extend_from_slice(values);
            Ok(())
        })?;
        Ok(all)
    }

    fn spread<T: DataType, V: bytemuck::Pod + Send>(
        &self,
        index: usize,
        not_set: V,
        value: impl Fn(&T::T) -> V,
    ) -> Result<Buffer<V>> {
        let mut all = Vec::with_capacity(usize::try_from(self.rows()).unwrap_or(0));
        self.pieces::<T>(index, |values, levels| {
            spread(&mut all, values.iter().map(&value), levels, not_set);
            Ok(())
        })?;
        Ok(all.into())
    }

    /// Reads the codes of dictionary pages as they are, so that a text is looked at once per entry and not per row.
    fn text(&self, index: usize) -> Result<Text> {
        let mut texts = Texts::default();
        let mut all = Vec::with_capacity(usize::try_from(self.rows()).unwrap_or(0));
        for group in 0..self.reader.num_row_groups() {
            let group = self.reader.get_row_group(group).map_err(|source| self.parquet(source))?;
            let optional = group.metadata().column(index).column_descr().max_def_level() > 0;
            let mut pages = group.get_column_page_reader(index).map_err(|source| self.parquet(source))?;
            let mut page_codes = Vec::new();
            while let Some(page) = pages.get_next_page().map_err(|source| self.parquet(source))? {
                match &page {
                    Page::DictionaryPage { buf, num_values, .. } => {
                        page_codes.clear();
                        texts
                            .plain(buf, *num_values as usize, |code| page_codes.push(code))
                            .ok_or_else(|| self.damaged("a dictionary that is no texts"))?;
                    }
                    Page::DataPage { buf, num_values, encoding, .. } => {
                        let rows = *num_values as usize;
                        decode_texts(buf, rows, *encoding, optional, &page_codes, &mut texts, &mut all)
                            .ok_or_else(|| self.damaged("a page that is no texts"))?;
                    }
                    Page::DataPageV2 { .. } => return Err(self.damaged("pages of a kind that is never written")),
                }
            }
        }
        if all.len() as u64 != self.rows() {
            return Err(self.damaged("a column shorter than its row group"));
        }
        let dictionary: Dictionary = texts
            .entries
            .iter()
            .map(|entry| std::str::from_utf8(entry))
            .collect::<Result<Vec<&str>, _>>()
            .map_err(|_| self.damaged("text that is not UTF-8"))?
            .into_iter()
            .collect();
        Ok(Text { codes: Codes::narrowest(&all, dictionary.len()), dictionary })
    }

    /// Hands out a column in pieces: present values, and levels that say where (none: everywhere).
    fn pieces<T: DataType>(&self, index: usize, mut piece: impl FnMut(&[T::T], &[i16]) -> Result<()>) -> Result<()> {
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        for group in 0..self.reader.num_row_groups() {
            let group = self.reader.get_row_group(group).map_err(|source| self.parquet(source))?;
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

/// The distinct texts of a column, in order of first appearance.
#[derive(Default)]
struct Texts {
    entries: Vec<Bytes>,
    codes: FxHashMap<Bytes, u32>,
}

impl Texts {
    /// Reads `count` texts, each after its length, and hands out their codes. `None` when they are cut off.
    fn plain(&mut self, page: &Bytes, count: usize, mut take: impl FnMut(u32)) -> Option<()> {
        let mut at = 0_usize;
        for _ in 0..count {
            let length = page.get(at..at.checked_add(4)?)?;
            let start = at + 4;
            at = start.checked_add(u32::from_le_bytes(length.try_into().ok()?) as usize)?;
            let text = page.get(start..at)?;
            let code = match self.codes.get(text) {
                Some(&code) => code,
                None => {
                    let code = u32::try_from(self.entries.len()).ok().filter(|code| *code != NOT_SET)?;
                    let text = page.slice(start..at);
                    self.entries.push(text.clone());
                    self.codes.insert(text, code);
                    code
                }
            };
            take(code);
        }
        Some(())
    }
}

/// Appends the codes of a data page. `None` when it is damaged.
fn decode_texts(
    page: &Bytes,
    rows: usize,
    encoding: Encoding,
    optional: bool,
    page_codes: &[u32],
    texts: &mut Texts,
    all: &mut Vec<u32>,
) -> Option<()> {
    let mut set: Vec<(bool, usize)> = vec![(true, rows)];
    let mut at = 0;
    if optional {
        let length = u32::from_le_bytes(page.get(..4)?.try_into().ok()?) as usize;
        at = 4_usize.checked_add(length)?;
        set.clear();
        hybrid(page.get(4..at)?, 1, rows, |level, count| match set.last_mut() {
            Some((last, counted)) if *last == (level != 0) => *counted += count,
            _ => set.push((level != 0, count)),
        })?;
    }
    let present = set.iter().filter(|(set, _)| *set).map(|(_, count)| count).sum();
    let values = page.slice(at..);
    let mut codes = Vec::with_capacity(present);
    match encoding {
        Encoding::PLAIN => texts.plain(&values, present, |code| codes.push(code))?,
        Encoding::RLE_DICTIONARY if present > 0 => {
            let (width, indices) = values.split_first()?;
            let mut known = true;
            hybrid(indices, *width, present, |index, count| match page_codes.get(index as usize) {
                Some(&code) => codes.extend(std::iter::repeat_n(code, count)),
                None => known = false,
            })?;
            known.then_some(())?;
        }
        Encoding::RLE_DICTIONARY => {}
        _ => return None,
    }
    let mut codes = codes.as_slice();
    for (set, count) in set {
        if set {
            let (these, rest) = codes.split_at_checked(count)?;
            all.extend_from_slice(these);
            codes = rest;
        } else {
            all.resize(all.len() + count, NOT_SET);
        }
    }
    Some(())
}

/// Decodes `count` numbers of `width` bits from Parquet's mix of runs and packed groups of eight, handing out each
/// with how often it comes. `None` when there are fewer.
fn hybrid(bytes: &[u8], width: u8, count: usize, mut take: impl FnMut(u32, usize)) -> Option<()> {
    if width > 32 {
        return None;
    }
    let width = usize::from(width);
    let mask = (1_u64 << width) - 1;
    let mut at = 0;
    let mut left = count;
    while left > 0 {
        let mut header = 0_u64;
        for shift in (0..).step_by(7) {
            let byte = *bytes.get(at)?;
            at += 1;
            header |= u64::from(byte & 0x7f).checked_shl(shift).filter(|_| shift < 63)?;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let runs = usize::try_from(header >> 1).ok()?;
        if header & 1 == 0 {
            let end = at + width.div_ceil(8);
            let value = bytes.get(at..end)?.iter().rev().fold(0, |value, byte| (value << 8) | u32::from(*byte));
            at = end;
            let run = runs.min(left);
            take(value, run);
            left -= run;
            if run == 0 {
                return None;
            }
        } else {
            let end = at.checked_add(runs.checked_mul(width)?)?.min(bytes.len());
            let mut packed = bytes.get(at..end)?.iter();
            at = end;
            let (mut bits, mut held) = (0_u64, 0);
            for _ in 0..runs.checked_mul(8)?.min(left) {
                while held < width {
                    bits |= u64::from(*packed.next()?) << held;
                    held += 8;
                }
                take((bits & mask) as u32, 1);
                bits >>= width;
                held -= width;
                left -= 1;
            }
            if runs == 0 {
                return None;
            }
        }
    }
    Some(())
}
