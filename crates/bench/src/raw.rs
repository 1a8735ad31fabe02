//! The world as Parquet, for the peers: one file per ten days, in order of time, with the columns of [`SCHEMA`].

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::world::{Event, World};

const DAYS_PER_FILE: usize = 10;
const SCHEMA: &str = "message events {
    required int64 time (timestamp(millis, true));
    required int64 subject (integer(64, false));
    required binary event (string);
    required int64 insert_id (integer(64, false));
    required binary country (string);
    required binary city (string);
    required binary browser (string);
    required binary os (string);
    required binary org_id (string);
    required binary plan (string);
    required binary url_path (string);
    optional double amount;
}";

type Group<'a> = SerializedRowGroupWriter<'a, File>;

/// Writes `part-*.parquet` to a folder. Answers the number of events.
pub(crate) fn write(world: &World, folder: &Path) -> Result<u64> {
    std::fs::create_dir_all(folder)?;
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1)?);
    let properties = Arc::new(WriterProperties::builder().set_compression(zstd).build());
    let dictionary = |texts: &[String]| -> Vec<ByteArray> {
        texts.iter().map(|text| ByteArray::from(Bytes::copy_from_slice(text.as_bytes()))).collect()
    };
    let texts = &world.texts;
    let [names, countries, cities, browsers, systems, plans, paths, orgs] = [
        &texts.names,
        &texts.countries,
        &texts.cities,
        &texts.browsers,
        &texts.systems,
        &texts.plans,
        &texts.paths,
        &texts.orgs,
    ]
    .map(|texts| dictionary(texts));
    let mut written = 0;
    let mut file = None;
    for (day, events) in world.days().enumerate() {
        if day % DAYS_PER_FILE == 0 {
            let path = folder.join(format!("part-{:02}.parquet", day / DAYS_PER_FILE));
            file = Some(SerializedFileWriter::new(File::create(path)?, schema.clone(), properties.clone())?);
        }
        let open = file.as_mut().expect("opened on the first day");
        let mut group = open.next_row_group()?;
        let g = &mut group;
        ints(g, &events, |event| event.time_ms)?;
        ints(g, &events, |event| i64::from(event.subject))?;
        column::<ByteArrayType>(g, &events, |event| names[usize::from(event.name)].clone())?;
        ints(g, &events, |event| event.insert_id.cast_signed())?;
        column::<ByteArrayType>(g, &events, |event| countries[texts.country_of(event.city)].clone())?;
        column::<ByteArrayType>(g, &events, |event| cities[usize::from(event.city)].clone())?;
        column::<ByteArrayType>(g, &events, |event| browsers[usize::from(event.browser)].clone())?;
        column::<ByteArrayType>(g, &events, |event| systems[usize::from(event.system)].clone())?;
        column::<ByteArrayType>(g, &events, |event| orgs[event.org as usize].clone())?;
        column::<ByteArrayType>(g, &events, |event| plans[usize::from(event.plan)].clone())?;
        column::<ByteArrayType>(g, &events, |event| paths[usize::from(event.path)].clone())?;
        let levels: Vec<i16> = events.iter().map(|event| i16::from(!event.amount.is_nan())).collect();
        let amounts: Vec<f64> = events.iter().map(|event| event.amount).filter(|amount| !amount.is_nan()).collect();
        write_values::<DoubleType>(g, &amounts, Some(&levels))?;
        group.close()?;
        written += events.len() as u64;
        if day % DAYS_PER_FILE == DAYS_PER_FILE - 1
            && let Some(done) = file.take()
        {
            done.close()?;
        }
    }
    Ok(written)
}

fn ints(group: &mut Group<'_>, events: &[Event], value: impl Fn(&Event) -> i64) -> Result<()> {
    column::<Int64Type>(group, events, value)
}

fn column<T: DataType>(group: &mut Group<'_>, events: &[Event], value: impl Fn(&Event) -> T::T) -> Result<()> {
    let values: Vec<T::T> = events.iter().map(value).collect();
    write_values::<T>(group, &values, None)
}

fn write_values<T: DataType>(group: &mut Group<'_>, values: &[T::T], levels: Option<&[i16]>) -> Result<()> {
    let mut column = group.next_column()?.expect("as many columns as the schema has");
    column.typed::<T>().write_batch(values, levels, None)?;
    Ok(column.close()?)
}
