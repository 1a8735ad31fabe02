//! One run: a schedule of operations and faults from a seed, against the model.
//!
//! A step appends (several batches in one group, with records sent twice and late ones), flushes, compacts after a
//! jump of the clock, erases, merges persons, takes a snapshot to hold, checks one that was held, makes the disk
//! fail for a while or fill up, arms a crash at some operation to come, restarts, or changes a bit of a file. After
//! what may lose something, everything is compared with the model:
//!
//! - **Acknowledged survives**, through crash, recovery, flush and compaction.
//! - **Unacknowledged is absent or whole**; what was absent after a restart does not come back, what was there when a
//!   flush succeeded stays.
//! - **Rows are preserved** as a multiset, after duplicates and erasures, whatever is rewritten.
//! - **A held snapshot answers the same** as when it was taken.
//! - **Answers equal the oracle's**: Insights, funnels, retention.
//! - **Without a fault there is no error**, and after one a restart mends everything.
//! - **A changed bit is found**: an error, or the right answer.
//!
//! One thread, no clock, no other randomness: a seed is replayed exactly, operation by operation.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cofferdam_lake::{Error, Options, Pace, Retention, Snapshot, Store};
use cofferdam_model::{Merges, ProjectId, SealedEvent, SubjectNo, Value};
use jiff::tz::TimeZone;

use crate::disk::{Crash, Faults, SimDisk};
use crate::model::{Batch, Erasure, Fate, Project, Resolution, Row, SERIAL, rows_of};
use crate::oracle::{Asker, Numbers, PLAN, Question};
use crate::rng::Rng;

const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 24 * 60 * MINUTE_US;
/// 2026-09-20T10:00:00Z: the autumn change of clocks lies ahead.
const START_US: i64 = 1_789_898_400_000_000;
const SUBJECTS: u64 = 40;
const FOLDER: &str = "/lake";

/// What is run.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub steps: u32,
    /// Breaks a rule of the disk on purpose, so that the checks can be seen to fail.
    pub sabotage: Option<Sabotage>,
    /// Tells every step and every operation of the disk.
    pub words: Words,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    None,
    All,
}

/// A promise of the disk that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Syncs of files whose path contains this do nothing.
    IgnoreSyncs(&'static str),
}

impl Scenario {
    pub fn new(seed: u64) -> Scenario {
        Scenario { seed, steps: 50, sabotage: None, words: Words::None }
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub operations: u64,
    pub faults: u64,
    pub crashes: u64,
    pub events: u64,
    pub checks: u64,
    pub flips: u64,
    pub flips_found: u64,
    /// Equal for equal runs, down to each operation of the disk and each outcome of a step.
    pub trace: u64,
}

impl Report {
    pub fn add(&mut self, other: &Report) {
        self.operations += other.operations;
        self.faults += other.faults;
        self.crashes += other.crashes;
        self.events += other.events;
        self.checks += other.checks;
        self.flips += other.flips;
        self.flips_found += other.flips_found;
        self.trace ^= other.trace;
    }
}

/// An invariant that did not hold.
#[derive(Debug)]
pub struct Violation {
    pub seed: u64,
    pub step: u32,
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "seed {seed}, step {step}: {what}\n  replay: cargo run -p cofferdam-sim -- run --seed {seed} --trace",
            seed = self.seed,
            step = self.step,
            what = self.what
        )
    }
}

/// Runs a scenario. An error is an invariant that did not hold, or a panic of the code under test.
pub fn run(scenario: Scenario) -> Result<(Report, String), (Violation, String)> {
    let mut run = Run::new(scenario);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.all()));
    let result = result.unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("of unknown type");
        Err(format!("panic: {message}"))
    });
    let (operations, faults) = run.disk.operations();
    run.report.operations = operations;
    run.report.faults = faults;
    run.report.trace = run.trace ^ run.disk.trace();
    run.words += &run.disk.take_words();
    match result {
        Ok(()) => Ok((run.report, run.words)),
        Err(what) => Err((Violation { seed: scenario.seed, step: run.step, what }, run.words)),
    }
}

/// An invariant that did not hold, in words.
type Checked<T = ()> = Result<T, String>;

/// A snapshot somebody still reads.
struct Held {
    project: usize,
    snapshot: Snapshot,
    rows: Vec<Row>,
    asked: Vec<(Question, Numbers)>,
    asker: Asker,
    merges: Merges,
    since: u32,
}

struct Run {
    scenario: Scenario,
    step: u32,
    rng: Rng,
    disk: SimDisk,
    now_us: Arc<AtomicI64>,
    projects: Vec<Project>,
    /// What the store is told of them.
    merges: Arc<Mutex<Vec<Arc<Merges>>>>,
    /// Minutes that have an event, by project: no two have the same but on purpose.
    minutes: Vec<BTreeSet<i64>>,
    /// Subjects that were erased, or may have been: their numbers are not used again.
    retired: Vec<BTreeSet<SubjectNo>>,
    serial: u64,
    store: Option<Store>,
    /// Batches that were refused since the store was opened: it must not show them.
    refused: BTreeSet<(usize, usize)>,
    held: Vec<Held>,
    /// Something failed since the store was opened: it may refuse until it is opened again.
    tainted: bool,
    /// Steps for which the disk still fails now and then.
    storm: u32,
    /// The newest log file, and its length before the last group in it: what is before was declared durable.
    declared: Option<(PathBuf, u64)>,
    report: Report,
    trace: u64,
    words: String,
}

impl Run {
    fn new(scenario: Scenario) -> Run {
        let mut rng = Rng::new(scenario.seed);
        let disk = SimDisk::new(rng.bits());
        if let Some(Sabotage::IgnoreSyncs(part)) = scenario.sabotage {
            disk.ignore_syncs(part);
        }
        if scenario.words == Words::All {
            disk.keep_words();
        }
        let projects = rng.within(1, 3) as usize;
        Run {
            scenario,
            step: 0,
            disk,
            now_us: Arc::new(AtomicI64::new(START_US + (rng.below(60) as i64) * DAY_US)),
            projects: (0..projects).map(|_| Project::default()).collect(),
            merges: Arc::new(Mutex::new(vec![Arc::default(); projects])),
            minutes: vec![BTreeSet::new(); projects],
            retired: vec![BTreeSet::new(); projects],
            serial: 0,
            store: None,
            refused: BTreeSet::new(),
            held: Vec::new(),
            tainted: false,
            storm: 0,
            declared: None,
            report: Report::default(),
            trace: 0,
            words: String::new(),
            rng,
        }
    }

    fn say(&mut self, text: std::fmt::Arguments<'_>) {
        let line = text.to_string();
        for byte in line.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        if self.scenario.words == Words::All {
            self.words += &self.disk.take_words();
            writeln!(self.words, "{:>4} {line}", self.step).expect("a string takes anything");
        }
    }

    fn all(&mut self) -> Checked {
        self.reopen()?;
        for step in 0..self.scenario.steps {
            self.step = step;
            self.now_us.fetch_add(self.rng.within(1, 40) as i64 * MINUTE_US, Ordering::Relaxed);
            self.one_step()?;
            if self.disk.has_crashed() {
                self.restart()?;
            }
            if self.storm > 0 {
                self.storm -= 1;
                if self.storm == 0 {
                    self.calm();
                }
            }
        }
        // The end of all faults: everything that is due is done, and everything is there.
        self.calm();
        self.disk.crash_after(None);
        self.check(Depth::Rows)?;
        self.restart()?;
        self.flush()?;
        self.jump(70);
        self.compact()?;
        self.restart()?;
        self.check(Depth::Answers)?;
        self.release_held(usize::MAX)
    }

    fn one_step(&mut self) -> Checked {
        match self.rng.below(100) {
            0..42 => self.append(),
            42..52 => self.flush(),
            52..61 => {
                let days = *self.rng.pick(&[0, 0, 1, 3, 8, 35]);
                self.jump(days);
                self.compact()
            }
            61..64 => self.erase(),
            64..68 => {
                self.link();
                Ok(())
            }
            68..72 => self.hold(),
            72..75 => {
                let at = self.rng.index(self.held.len().max(1));
                self.release_held(at)
            }
            75..85 => {
                self.worsen();
                Ok(())
            }
            85..92 => {
                let operations = self.rng.within(1, 60);
                self.say(format_args!("a crash is due in {operations} operations"));
                self.disk.crash_after(Some(operations));
                Ok(())
            }
            92..94 => self.restart(),
            94..96 => self.flip(),
            _ => self.check(Depth::Answers),
        }
    }

    // Operations.

    fn event(&mut self, project: usize) -> SealedEvent {
        self.serial += 1;
        let mut properties = vec![(SERIAL.to_owned(), Value::Number(self.serial as f64))];
        if self.rng.chance(800) {
            let plan = *self.rng.pick(&["free", "pro", "team"]);
            properties.push((PLAN.to_owned(), Value::String(plan.to_owned())));
        }
        if self.rng.chance(400) {
            let name = *self.rng.pick(&["p", "q"]);
            let value = match self.rng.below(5) {
                0 => Value::Number(self.rng.below(9) as f64 / 2.0),
                1 => Value::Bool(self.rng.chance(500)),
                2 => Value::Time(START_US + self.rng.below(1_000) as i64),
                3 => Value::List(vec!["x".to_owned(); self.rng.index(3)]),
                _ => Value::String(format!("s{}", self.rng.below(200))),
            };
            properties.push((name.to_owned(), value));
        }
        let earlier = self.projects[project].batches.iter().map(|batch| batch.events.len()).sum::<usize>();
        if earlier > 0 && self.rng.chance(150) {
            let at = self.rng.index(earlier);
            let twin = self.projects[project].batches.iter().flat_map(|batch| &batch.events).nth(at);
            let twin = twin.expect("there are so many").clone();
            if !self.retired[project].contains(&twin.subject) {
                // The same record again, or another of the same moment.
                let insert_id = if self.rng.chance(800) { twin.insert_id } else { self.rng.below(3) };
                return SealedEvent { insert_id, properties, ..twin };
            }
        }
        let subject = loop {
            let number = self.rng.below(SUBJECTS + self.retired[project].len() as u64);
            let subject = if self.rng.chance(30) { SubjectNo::NOBODY } else { SubjectNo(number as u32) };
            if !self.retired[project].contains(&subject) {
                break subject;
            }
        };
        let minute = loop {
            let age = match self.rng.below(10) {
                0 => self.rng.below(50 * 24 * 60),
                1 | 2 => self.rng.below(5 * 24 * 60),
                _ => self.rng.below(24 * 60),
            };
            let minute = self.now_us.load(Ordering::Relaxed) / MINUTE_US - age as i64;
            if self.minutes[project].insert(minute) {
                break minute;
            }
        };
        SealedEvent {
            name: self.rng.pick(&["a", "b", "c", "d"]).to_string(),
            subject,
            time_us: minute * MINUTE_US,
            insert_id: if self.rng.chance(700) { self.rng.within(1, 1 << 40) } else { 0 },
            properties,
        }
    }

    fn append(&mut self) -> Checked {
        let count = self.rng.within(1, 4);
        let mut group = Vec::new();
        for _ in 0..count {
            let project = self.rng.index(self.projects.len());
            let size = if self.rng.chance(50) { self.rng.within(60, 150) } else { self.rng.within(1, 16) };
            let events: Vec<SealedEvent> = (0..size).map(|_| self.event(project)).collect();
            self.report.events += size;
            self.projects[project].batches.push(Batch { events: events.clone(), fate: Fate::Unknown });
            group.push((project, self.projects[project].batches.len() - 1, events));
        }
        let places: Vec<(usize, usize)> = group.iter().map(|(project, batch, _)| (*project, *batch)).collect();
        let sizes: Vec<usize> = group.iter().map(|(.., events)| events.len()).collect();
        let before = self.newest_log();
        let failures = self.disk.operations().1;
        let store = self.store();
        let sealed: Result<Vec<_>, Error> =
            group.into_iter().map(|(project, _, events)| store.seal(id(project), events)).collect();
        let outcome = sealed.and_then(|group| store.append(group));
        self.say(format_args!("append {sizes:?} to {places:?}: {}", words(&outcome)));
        match outcome {
            Ok(()) => {
                self.declared = before;
                for (project, batch) in places {
                    self.projects[project].batches[batch].fate = Fate::Acknowledged;
                }
                if self.rng.chance(200) { self.check(Depth::Rows) } else { Ok(()) }
            }
            Err(error) => {
                self.refused.extend(places);
                self.failed("append", failures, &error)?;
                self.after_trouble()
            }
        }
    }

    fn flush(&mut self) -> Checked {
        let failures = self.disk.operations().1;
        let outcome = self.store().flush();
        self.say(format_args!("flush: {}", words(&outcome)));
        match outcome {
            Ok(()) if self.disk.has_crashed() => Ok(()),
            Ok(()) => {
                for (project, resolution) in self.resolved(Depth::Rows)?.into_iter().enumerate() {
                    self.projects[project].settle_present(&resolution);
                }
                Ok(())
            }
            Err(error) => {
                self.failed("flush", failures, &error)?;
                self.after_trouble()
            }
        }
    }

    fn compact(&mut self) -> Checked {
        let failures = self.disk.operations().1;
        let pace = if self.rng.chance(300) { Pace::Now } else { Pace::Due };
        let outcome = self.store().compact(self.now_us.load(Ordering::Relaxed), pace);
        self.say(format_args!("compact {pace:?}: {}", words(&outcome)));
        match outcome {
            Ok(()) => self.check(Depth::Rows),
            Err(error) => {
                self.failed("compact", failures, &error)?;
                self.after_trouble()
            }
        }
    }

    fn erase(&mut self) -> Checked {
        let project = self.rng.index(self.projects.len());
        let count = self.rng.within(1, 3);
        // Whole persons.
        let subjects: BTreeSet<SubjectNo> = (0..count)
            .map(|_| SubjectNo(self.rng.below(SUBJECTS + self.retired[project].len() as u64) as u32))
            .filter(|subject| !self.retired[project].contains(subject))
            .flat_map(|subject| match self.projects[project].merges.group(subject) {
                Some(group) => group.members.clone(),
                None => vec![subject],
            })
            .collect();
        let list: Vec<SubjectNo> = subjects.iter().copied().collect();
        self.retired[project].extend(&subjects);
        let batches = self.projects[project].batches.len();
        self.projects[project].erasures.push(Erasure { subjects, batches, fate: Fate::Unknown });
        let failures = self.disk.operations().1;
        let outcome = self.store().erase(id(project), &list);
        self.say(format_args!("erase {list:?} of {project}: {}", words(&outcome)));
        match outcome {
            Ok(()) => {
                self.projects[project].erasures.last_mut().expect("just pushed").fate = Fate::Acknowledged;
                self.check(Depth::Rows)
            }
            Err(error) => {
                self.failed("erase", failures, &error)?;
                self.after_trouble()
            }
        }
    }

    fn link(&mut self) {
        let project = self.rng.index(self.projects.len());
        let (alias, canonical) = (self.rng.below(SUBJECTS) as u32, self.rng.below(SUBJECTS) as u32);
        let retired = &self.retired[project];
        if alias == canonical || retired.contains(&SubjectNo(alias)) || retired.contains(&SubjectNo(canonical)) {
            return;
        }
        self.projects[project].merges.link(SubjectNo(alias), SubjectNo(canonical));
        let merges = Arc::new(self.projects[project].merges.clone());
        self.merges.lock().unwrap_or_else(PoisonError::into_inner)[project] = merges;
        self.say(format_args!("{alias} is {canonical} in {project}"));
    }

    fn jump(&mut self, days: i64) {
        self.now_us.fetch_add(days * DAY_US, Ordering::Relaxed);
        self.say(format_args!("{days} days later"));
    }

    // Faults.

    fn worsen(&mut self) {
        let mut chance = || if self.rng.chance(400) { *self.rng.pick(&[20, 100, 400]) } else { 0 };
        let faults = Faults {
            write_permille: chance(),
            sync_permille: chance(),
            read_permille: chance(),
            name_permille: chance(),
        };
        let free = self.rng.chance(400).then(|| self.rng.below(20_000));
        self.storm = self.rng.within(2, 10) as u32;
        self.disk.set_faults(faults);
        self.disk.set_bytes_free(free);
        self.say(format_args!("{faults:?}, bytes free {free:?}"));
    }

    fn calm(&mut self) {
        self.storm = 0;
        self.disk.set_faults(Faults::default());
        self.disk.set_bytes_free(None);
        self.say(format_args!("the disk is well again"));
    }

    /// An error needs a fault.
    fn failed(&mut self, what: &str, failures_before: u64, error: &Error) -> Checked {
        let excused = self.tainted || self.disk.has_crashed() || self.disk.operations().1 > failures_before;
        self.tainted = true;
        if excused { Ok(()) } else { Err(format!("{what} failed without a fault of the disk: {}", chain(error))) }
    }

    /// Somebody notices, sooner or later, and starts the store again.
    fn after_trouble(&mut self) -> Checked {
        if self.disk.has_crashed() {
            return Ok(());
        }
        self.check(Depth::Rows)?;
        if self.rng.chance(500) {
            self.say(format_args!("closed after an error"));
            self.reboot(Crash::Process)?;
        }
        Ok(())
    }

    fn restart(&mut self) -> Checked {
        let crash = if self.rng.chance(650) { Crash::Power } else { Crash::Process };
        self.reboot(crash)
    }

    fn reboot(&mut self, crash: Crash) -> Checked {
        self.report.crashes += 1;
        self.held.clear();
        self.store = None;
        self.disk = self.disk.restart(crash);
        self.say(format_args!("restart: {crash:?}"));
        self.reopen()
    }

    /// Opens the store, through as many faults and crashes as the seed has for it.
    fn reopen(&mut self) -> Checked {
        if self.rng.chance(150) {
            let operations = self.rng.within(1, 30);
            self.disk.crash_after(Some(operations));
        }
        for attempt in 0_u32.. {
            if attempt == 3 {
                self.calm();
                self.disk.crash_after(None);
            }
            let failures = self.disk.operations().1;
            let outcome = self.open(&self.disk.clone());
            self.say(format_args!("open: {}", outcome.as_ref().map_or_else(chain, |_| "ok".to_owned())));
            match outcome {
                Ok(store) if !self.disk.has_crashed() => {
                    self.store = Some(store);
                    self.tainted = self.disk.operations().1 > failures;
                    break;
                }
                Ok(_) => {
                    self.report.crashes += 1;
                    self.disk = self.disk.restart(Crash::Power);
                }
                Err(error) => {
                    let crashed = self.disk.has_crashed();
                    if !crashed && self.disk.operations().1 == failures {
                        return Err(format!("does not open, without a fault of the disk: {}", chain(&error)));
                    }
                    let crash = if self.rng.chance(500) { Crash::Power } else { Crash::Process };
                    if crashed || self.rng.chance(300) {
                        self.report.crashes += 1;
                        self.disk = self.disk.restart(crash);
                    }
                }
            }
        }
        self.refused.clear();
        self.declared = None;
        let depth = if self.rng.chance(300) { Depth::Answers } else { Depth::Rows };
        for (project, resolution) in self.resolved(depth)?.into_iter().enumerate() {
            self.projects[project].settle_absent(&resolution);
        }
        Ok(())
    }

    fn open(&self, disk: &SimDisk) -> Result<Store, Error> {
        let (now_us, merges) = (self.now_us.clone(), self.merges.clone());
        let options = Options {
            folder: PathBuf::from(FOLDER),
            disk: Arc::new(disk.clone()),
            flush_events: usize::MAX,
            buckets: if self.scenario.seed.is_multiple_of(3) { 1 } else { 4 },
            hot_bytes_max: if self.scenario.seed.is_multiple_of(5) { 20_000 } else { 1 << 30 },
            clock: Arc::new(move || now_us.load(Ordering::Relaxed)),
            merges: Arc::new(move |project| {
                merges.lock().unwrap_or_else(PoisonError::into_inner)[project.0 as usize - 1].clone()
            }),
            retention: Arc::new(|_| Retention::default()),
            rows_weight: [4_000, 1_000, 4_000, 1][self.scenario.seed as usize % 4],
        };
        let keys = (0..self.projects.len()).map(|project| (id(project), [project as u8; 32])).collect();
        Store::open(options, keys)
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("it is open")
    }

    fn newest_log(&self) -> Option<(PathBuf, u64)> {
        let is_log = |path: &Path| path.extension().is_some_and(|extension| extension == "log");
        self.disk.files().into_iter().rfind(|(path, _)| is_log(path))
    }

    /// Changes a bit of a durable file, and looks whether anybody notices; then the disk is as it was.
    fn flip(&mut self) -> Checked {
        // Closed and opened with nothing pending, so that what is on the disk is what counts.
        self.calm();
        self.disk.crash_after(None);
        self.reboot(Crash::Power)?;
        self.calm();
        self.disk.crash_after(None);
        self.append()?;
        if self.rng.chance(500) {
            self.flush()?;
        }
        self.append()?;
        self.append()?;
        let declared = self.declared.clone();
        let resolutions = self.resolved(Depth::Rows)?;
        let files: Vec<(PathBuf, u64)> = self
            .disk
            .files()
            .into_iter()
            .filter_map(|(path, len)| {
                let len = match (&declared, path.extension().and_then(|extension| extension.to_str())) {
                    // What was cut off the log is kept for people, and nobody reads it.
                    (_, Some("cut")) => 0,
                    // The last group looks like one that was never answered.
                    (Some((newest, durable)), _) if *newest == path => *durable,
                    _ => len,
                };
                (len > 0).then_some((path, len))
            })
            .collect();
        for _ in 0..4 {
            let (path, len) = self.rng.pick(&files).clone();
            let (at, mask) = (self.rng.below(len), 1 << self.rng.below(8));
            let copy = self.disk.copy();
            copy.flip(&path, at, mask);
            if self.rng.chance(500) {
                // So that what they are made from is read again.
                copy.remove_all("hot");
            }
            self.report.flips += 1;
            copy.set_quiet(true);
            let found = match self.open(&copy) {
                Err(_) => true,
                Ok(store) => self.notices(&store, &resolutions).map_err(|what| {
                    format!("a changed bit ({mask:#04x} at {at} of {len} in {}) went unnoticed: {what}", path.display())
                })?,
            };
            self.report.flips_found += u64::from(found);
            self.say(format_args!(
                "bit {mask:#04x} at {at} of {}: {}",
                path.display(),
                if found { "found" } else { "harmless" }
            ));
        }
        Ok(())
    }

    /// Whether a store over a damaged disk says so; if not, it has to show what is right.
    fn notices(&self, store: &Store, resolutions: &[Resolution]) -> Checked<bool> {
        for (at, project) in self.projects.iter().enumerate() {
            let Ok(snapshot) = store.snapshot(id(at)) else { return Ok(true) };
            let Ok(rows) = rows_of(&snapshot) else { return Ok(true) };
            let resolution = project.check(&rows).map_err(|difference| difference.0)?;
            if !resolutions[at].batches.is_subset(&resolution.batches) {
                return Err("a batch that was there is not".to_owned());
            }
        }
        Ok(false)
    }

    // Checks.

    fn check(&mut self, depth: Depth) -> Checked {
        // An operation may end well although the machine stopped while it tidied up.
        if self.disk.has_crashed() { Ok(()) } else { self.resolved(depth).map(drop) }
    }

    /// Compares every project with its model.
    fn resolved(&mut self, depth: Depth) -> Checked<Vec<Resolution>> {
        self.disk.set_quiet(true);
        let result = (0..self.projects.len()).map(|project| self.resolved_project(project, depth)).collect();
        self.disk.set_quiet(false);
        self.report.checks += 1;
        result
    }

    fn resolved_project(&mut self, at: usize, depth: Depth) -> Checked<Resolution> {
        let store = self.store();
        let failed = |error| format!("project {at} cannot be read: {}", chain(&error));
        let snapshot = store.snapshot(id(at)).map_err(failed)?;
        let rows = rows_of(&snapshot).map_err(failed)?;
        let project = &self.projects[at];
        let resolution = project.check(&rows).map_err(|difference| format!("project {at}: {}", difference.0))?;
        if let Some(batch) = resolution.batches.iter().find(|batch| self.refused.contains(&(at, **batch))) {
            return Err(format!("project {at}: batch {batch} was refused and is shown"));
        }
        if depth == Depth::Answers {
            let asker = self.asker();
            let events = project.events(&resolution);
            for question in Question::some(&mut self.rng, &asker) {
                let found = asker
                    .ask(&snapshot, &project.merges, &question)
                    .map_err(|error| format!("project {at}: {question:?}: {error}"))?;
                let expected = asker.answer(&events, &project.merges, &question);
                if found != expected {
                    return Err(format!("project {at}: {question:?}\n  answers {found:?}\n  and not {expected:?}"));
                }
            }
        }
        Ok(resolution)
    }

    fn asker(&self) -> Asker {
        let zone = if self.scenario.seed.is_multiple_of(2) { "Europe/Madrid" } else { "UTC" };
        Asker { zone: TimeZone::get(zone).expect("bundled"), now_us: self.now_us.load(Ordering::Relaxed) }
    }

    fn hold(&mut self) -> Checked {
        if self.held.len() >= 3 {
            return Ok(());
        }
        let project = self.rng.index(self.projects.len());
        self.disk.set_quiet(true);
        let asker = self.asker();
        let merges = self.projects[project].merges.clone();
        let snapshot = self.store().snapshot(id(project)).map_err(|error| chain(&error))?;
        let rows = rows_of(&snapshot).map_err(|error| chain(&error))?;
        let mut asked = Vec::new();
        for question in Question::some(&mut self.rng, &asker) {
            let numbers = asker.ask(&snapshot, &merges, &question).map_err(|error| error.to_string())?;
            asked.push((question, numbers));
        }
        self.disk.set_quiet(false);
        self.say(format_args!("hold a snapshot of {project}: {} rows", rows.len()));
        self.held.push(Held { project, snapshot, rows, asked, asker, merges, since: self.step });
        Ok(())
    }

    /// Lets go of a snapshot, or of all, after looking at it once more.
    fn release_held(&mut self, at: usize) -> Checked {
        let released = if at == usize::MAX {
            std::mem::take(&mut self.held)
        } else if at < self.held.len() {
            vec![self.held.swap_remove(at)]
        } else {
            Vec::new()
        };
        if self.disk.has_crashed() {
            return Ok(());
        }
        self.disk.set_quiet(true);
        for held in &released {
            let of = format!("the snapshot of project {} held since step {}", held.project, held.since);
            let rows = rows_of(&held.snapshot).map_err(|error| format!("{of} cannot be read: {}", chain(&error)))?;
            if rows != held.rows {
                return Err(format!("{of} has changed"));
            }
            for (question, numbers) in &held.asked {
                let now = held.asker.ask(&held.snapshot, &held.merges, question);
                if now.as_ref().ok() != Some(numbers) {
                    return Err(format!("{of} answers {question:?} with {now:?} and not {numbers:?} any more"));
                }
            }
        }
        self.disk.set_quiet(false);
        let count = released.len();
        drop(released);
        self.say(format_args!("released {count} snapshots"));
        Ok(())
    }
}

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// The rows, through every column.
    Rows,
    /// And what is asked about them.
    Answers,
}

fn id(project: usize) -> ProjectId {
    ProjectId(project as u32 + 1)
}

fn words(outcome: &Result<(), Error>) -> String {
    outcome.as_ref().map_or_else(chain, |()| "ok".to_owned())
}

/// An error with its causes.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
