//! The world into a lake: sealed events in batches, through the log, flushes and merges of segments.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use cofferdam_lake::{Lake, Options};
use cofferdam_model::{ProjectId, SealedEvent, SubjectNo, Value};
use serde_json::{Value as Json, json};

use crate::measure;
use crate::world::{Event, World};

pub(crate) const PROJECT: ProjectId = ProjectId(1);
const BATCH_EVENTS: usize = 10_000;
const TAIL_EVENTS_MAX: usize = 1_000_000;

pub(crate) async fn open(folder: &Path) -> Result<Lake> {
    let options = Options::new(folder.to_owned(), Arc::new(|| jiff::Timestamp::now().as_microsecond()));
    // The bench's own lake, of generated events: its key protects nothing.
    Ok(Lake::open(options, vec![(PROJECT, [7; 32])]).await?)
}

/// Fills a new lake and waits until its background work has ended. Answers what it cost.
pub(crate) async fn load(world: World, folder: &Path) -> Result<Json> {
    anyhow::ensure!(!folder.exists(), "{} exists: remove it or choose another folder", folder.display());
    let lake = open(folder).await?;
    let (started, cpu) = (std::time::Instant::now(), measure::process_cpu());
    let (batches, mut next) = tokio::sync::mpsc::channel::<Vec<SealedEvent>>(4);
    let producer = std::thread::spawn(move || {
        let cpu = measure::thread_cpu();
        for day in world.days() {
            for batch in day.chunks(BATCH_EVENTS) {
                if batches.blocking_send(batch.iter().map(|event| sealed(&world, event)).collect()).is_err() {
                    break;
                }
            }
        }
        measure::thread_cpu() - cpu
    });
    let mut events = 0;
    while let Some(batch) = next.recv().await {
        events += batch.len();
        // Senders are told to wait when too much is in flight; here is only one, who does so in time.
        while lake.tail_events() > TAIL_EVENTS_MAX {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        lake.append(PROJECT, batch).await.context("could not append to the lake")?;
    }
    let world_cpu = producer.join().expect("the world does not panic");
    let appended_s = started.elapsed().as_secs_f64();
    lake.flush().await?;
    tokio::task::spawn_blocking(measure::settle).await?;
    let bytes = disk(folder)?;
    let per_event: serde_json::Map<String, Json> =
        bytes.iter().map(|(kind, bytes)| (kind.clone(), json!(*bytes as f64 / events as f64))).collect();
    let report = json!({
        "events": events,
        "appended_s": appended_s,
        "wall_s": started.elapsed().as_secs_f64() - 2.0,
        "cpu_s": measure::process_cpu() - cpu - world_cpu,
        "world_cpu_s": world_cpu,
        "bytes_per_event": bytes.iter().map(|(_, bytes)| bytes).sum::<u64>() as f64 / events as f64,
        "bytes_per_event_by_kind": per_event,
    });
    std::fs::write(folder.join("load.json"), serde_json::to_vec_pretty(&report)?)?;
    Ok(report)
}

fn sealed(world: &World, event: &Event) -> SealedEvent {
    let texts = &world.texts;
    let text = |name: &str, value: &str| (name.to_owned(), Value::String(value.to_owned()));
    let mut properties = vec![
        text("country", &texts.countries[texts.country_of(event.city)]),
        text("city", &texts.cities[usize::from(event.city)]),
        text("browser", &texts.browsers[usize::from(event.browser)]),
        text("os", &texts.systems[usize::from(event.system)]),
        text("org_id", &texts.orgs[event.org as usize]),
        text("plan", &texts.plans[usize::from(event.plan)]),
        text("url_path", &texts.paths[usize::from(event.path)]),
    ];
    if !event.amount.is_nan() {
        properties.push(("amount".to_owned(), Value::Number(event.amount)));
    }
    SealedEvent {
        name: texts.names[usize::from(event.name)].clone(),
        subject: SubjectNo(event.subject),
        time_us: event.time_ms * 1_000,
        insert_id: event.insert_id,
        properties,
    }
}

/// Bytes of the files below a folder by the file name's extension.
pub(crate) fn disk(folder: &Path) -> Result<Vec<(String, u64)>> {
    let mut kinds = std::collections::BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let kind = path.extension().map_or("other".into(), |extension| extension.to_string_lossy());
                *kinds.entry(kind.into_owned()).or_insert(0) += path.metadata()?.len();
            }
        }
    }
    Ok(kinds.into_iter().collect())
}
