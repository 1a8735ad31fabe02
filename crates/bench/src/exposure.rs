//! What was exposed: a ledger with many disclosures of up to every subject, the index made from it, and how long
//! questions take, warm and with its files out of memory.
//!
//! Sizes are log-uniform from ten subjects to all. Half of the sets are scattered over all numbers, as a filter by a
//! property is; half are a range, as "who came in March" is, since numbers are given out in the order of arrival.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cofferdam_exposure::{By, Index, Person, Question, Which};
use cofferdam_ledger::{Entry, Intent, Kind, Log, Options, Pseudonym, RoaringBitmap, SeenFile};
use cofferdam_model::{FieldSet, OrgId, PersonalField, ProjectId};

use crate::measure;

#[derive(clap::Args)]
pub(crate) struct ExposureArgs {
    /// An empty folder on the disk to measure; some gigabytes at the full size
    #[arg(long)]
    folder: PathBuf,
    #[arg(long, default_value_t = 10_000_000)]
    subjects: u32,
    #[arg(long, default_value_t = 10_000)]
    disclosures: u64,
    /// Random questions; as many persons are looked for
    #[arg(long, default_value_t = 1_000)]
    questions: usize,
    /// The page whose section `exposure` is written
    #[arg(long)]
    page: Option<PathBuf>,
}

/// A day between 1 January 2026 and a year later, in microseconds.
const START_US: i64 = 1_767_225_600_000_000;
const YEAR_US: u64 = 365 * 86_400 * 1_000_000;
const WRITERS: usize = 4;
const COLD_QUESTIONS: usize = 40;
const CHECKED: usize = 20;

struct Random(u64);

impl Random {
    fn of(seed: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, below: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(below)) >> 64) as u64
    }

    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn pseudonym(kind: u8, number: u64) -> Pseudonym {
    let mut bytes = [kind; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Pseudonym(bytes)
}

fn subjects(random: &mut Random, all: u32) -> RoaringBitmap {
    let size = (10.0 * (f64::from(all) / 10.0).powf(random.share())) as u32;
    let mut set = RoaringBitmap::new();
    if random.below(2) == 0 {
        let first = random.below(u64::from(all - size) + 1) as u32;
        set.insert_range(first..first + size);
        set.optimize();
        return set;
    }
    // Whichever is fewer is drawn: those who are in it, or those who are not.
    let is_most = size > all / 2;
    let mut words = vec![if is_most { u64::MAX } else { 0 }; (all as usize).div_ceil(64)];
    let mut left = if is_most { all - size } else { size };
    while left > 0 {
        let subject = random.below(u64::from(all));
        let (word, bit) = (&mut words[(subject / 64) as usize], 1_u64 << (subject % 64));
        if (*word & bit == 0) != is_most {
            *word ^= bit;
            left -= 1;
        }
    }
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut set = RoaringBitmap::from_lsb0_bytes(0, &bytes);
    set.remove_range(all..);
    set
}

/// Everything about a disclosure but its time, by its number.
fn disclose(log: &Log, number: u64, all: u32) -> Result<()> {
    let mut random = Random::of(number + 1);
    let fields: FieldSet = match random.below(10) {
        0..2 => PersonalField::ALL.into_iter().collect(),
        2..8 => [PersonalField::Email, PersonalField::Name].into_iter().collect(),
        _ => FieldSet::EMPTY.with(PersonalField::DistinctId),
    };
    let actor = random.below(40);
    let context = Entry {
        org: Some(pseudonym(0, 1)),
        actor: Some(pseudonym(1, actor)),
        session: Some(pseudonym(2, actor * 1_000 + number / 200)),
        token: (random.below(10) == 0).then(|| pseudonym(3, random.below(5))),
        ip: Some(pseudonym(4, random.below(200))),
        device: Some(pseudonym(5, random.below(100))),
        grant: number + 1,
        purpose: 1 + random.below(4),
        ..Entry::of(Kind::Intent)
    };
    let set = subjects(&mut random, all);
    let rows = set.len();
    let intent = Intent { org: OrgId(1), project: ProjectId(1), fields, subjects: set, context };
    let ticket = log.authorise(intent)?;
    let end = match random.below(100) {
        0..2 => return Ok(()),
        2..3 => Entry { count: 0, ..Entry::of(Kind::Aborted) },
        3..5 => Entry { count: rows / 2 + 1, ..Entry::of(Kind::Aborted) },
        _ => Entry { count: rows, ..Entry::of(Kind::Done) },
    };
    log.append(Entry { refers_to: Some(ticket.seq()), ..end })?;
    Ok(())
}

fn question(random: &mut Random) -> Question {
    let mut one = || match random.below(9) {
        0 => By::Actor(pseudonym(1, random.below(40))),
        1 => By::Session(pseudonym(2, random.below(40) * 1_000 + random.below(50))),
        2 => By::Token(pseudonym(3, random.below(5))),
        3 => By::Ip(pseudonym(4, random.below(200))),
        4 => By::Device(pseudonym(5, random.below(100))),
        5 => By::Grant(1 + random.below(10_000)),
        6 => By::Purpose(1 + random.below(4)),
        7 => By::Org(pseudonym(0, 1)),
        _ => By::Project(1),
    };
    let any_of = vec![one(), one()];
    let any_of = if random.below(3) == 0 { any_of } else { any_of[..1].to_vec() };
    let (a, b) = (START_US as u64 + random.below(YEAR_US), START_US as u64 + random.below(YEAR_US));
    let (from_us, to_us) = match random.below(4) {
        0 => (0, None),
        1 => (a, None),
        _ => (a.min(b), Some(a.max(b))),
    };
    Question { any_of, from_us, to_us, ..Question::default() }
}

/// Seconds.
struct Times(Vec<f64>);

impl Times {
    fn of<T>(tasks: impl IntoIterator<Item = T>, mut task: impl FnMut(T) -> Result<()>) -> Result<Times> {
        let mut times = Vec::new();
        for one in tasks {
            let started = Instant::now();
            task(one)?;
            times.push(started.elapsed().as_secs_f64());
        }
        times.sort_unstable_by(f64::total_cmp);
        Ok(Times(times))
    }

    /// Milliseconds below which this share is.
    fn at(&self, share: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * share).round() as usize] * 1e3
    }

    fn row(&self, what: &str) -> String {
        let [p50, p95, p99, max] = [0.5, 0.95, 0.99, 1.0].map(|share| self.at(share));
        format!("| {what} | {} | {p50:.1} | {p95:.1} | {p99:.1} | {max:.1} |\n", self.0.len())
    }
}

fn bytes_below(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { bytes_below(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

/// Puts what the kernel has of the files out of memory, and nobody else's.
fn make_cold(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            make_cold(&path)?;
        } else {
            let file = File::open(&path)?;
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}

pub(crate) fn run(args: &ExposureArgs) -> Result<()> {
    std::fs::create_dir_all(&args.folder)?;
    ensure!(std::fs::read_dir(&args.folder)?.next().is_none(), "{} is not empty", args.folder.display());
    let (ledger, folder) = (args.folder.join("ledger"), args.folder.join("exposure"));
    let (next, now) = (AtomicU64::new(0), Arc::new(AtomicI64::new(START_US)));
    let clock = now.clone();
    let clock = Arc::new(move || clock.load(Ordering::Relaxed));
    let seen = Arc::new(SeenFile(args.folder.join("seen")));
    let log = Arc::new(Log::open(Options::new(&ledger, &[7; 32], clock, seen))?);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= args.disclosures {
                            return Ok::<(), anyhow::Error>(());
                        }
                        let at = u128::from(YEAR_US) * u128::from(number) / u128::from(args.disclosures);
                        now.fetch_max(START_US + at as i64, Ordering::Relaxed);
                        disclose(&log, number, args.subjects)?;
                    }
                })
            })
            .collect();
        writers.into_iter().try_for_each(|writer| writer.join().expect("a writer does not panic"))
    })?;
    let ledger_bytes = bytes_below(&ledger)?;
    eprintln!("{} disclosures, {:.2} GB of subject sets", args.disclosures, ledger_bytes as f64 / 1e9);

    let (index, build) = measure::cost(|| -> Result<Index> {
        let index = Index::open(&folder, log.clone())?;
        index.follow()?;
        Ok(index)
    });
    let index = index?;
    let index_bytes = bytes_below(&folder)?;
    eprintln!("index: {:.2} GB in {:.0} s", index_bytes as f64 / 1e9, build.wall_s);

    let mut random = Random::of(2_026);
    let questions: Vec<Question> = (0..args.questions).map(|_| question(&mut random)).collect();
    let answer = |index: &Index, question: &Question| -> Result<u64> {
        let exposed = index.exposed(question)?;
        let values = |which| exposed.projects.iter().map(|project| project.values(which)).sum::<u64>();
        Ok(values(Which::Authorised) + values(Which::Confirmed))
    };
    drop(index);
    let mut cold = Times(Vec::new());
    for question in questions.iter().take(COLD_QUESTIONS) {
        make_cold(&args.folder)?;
        let index = Index::open(&folder, log.clone())?;
        let started = Instant::now();
        answer(&index, question)?;
        cold.0.push(started.elapsed().as_secs_f64());
    }
    cold.0.sort_unstable_by(f64::total_cmp);
    let (index, opened) = measure::cost(|| Index::open(&folder, log.clone()));
    let index = index?;
    // Everything is read once.
    answer(&index, &Question::default())?;
    let (warm, memory) = measure::memory(|| Times::of(&questions, |question| answer(&index, question).map(drop)));
    let warm = warm?;
    let whole = Times::of(0..5, |_| answer(&index, &Question::default()).map(drop))?;

    // The same by every set alone.
    let mut flat = Times(Vec::new());
    for question in questions.iter().take(CHECKED).chain([&Question::default()]) {
        let started = Instant::now();
        let (mut union, mut before) = (RoaringBitmap::new(), None);
        loop {
            let page = index.disclosures(question, None, before, 1_000)?;
            for disclosure in &page.disclosures {
                union |= log.subjects(disclosure.seq)?.context("no set was erased")?;
            }
            before = page.before;
            if before.is_none() {
                break;
            }
        }
        flat.0.push(started.elapsed().as_secs_f64());
        let exposed = index.exposed(question)?;
        let found = exposed.projects.first().map(|project| project.subjects(Which::Authorised)).unwrap_or_default();
        ensure!(found == union, "{question:?} has another answer than its sets");
    }
    let flat_s = flat.0.last().copied().unwrap_or_default();

    let mut person = || Person { project: 1, subjects: vec![random.below(u64::from(args.subjects)) as u32] };
    let persons: Vec<Person> = (0..args.questions).map(|_| person()).collect();
    let all = Question::default();
    // Unions are verified when they are first looked into.
    index.disclosures(&all, Some(&persons[0]), None, usize::MAX)?;
    let mut rows = 0;
    let page = Times::of(&persons, |person| {
        rows += index.disclosures(&all, Some(person), None, 100)?.disclosures.len();
        Ok(())
    })?;
    let mut all_rows = 0;
    let history = Times::of(persons.iter().take(100), |person| {
        all_rows += index.disclosures(&all, Some(person), None, usize::MAX)?.disclosures.len();
        Ok(())
    })?;

    let mut text = format!(
        "{} subjects, {} disclosures of 10 to {} of them, log-uniform, half scattered and half ranges; three sets of \
         fields; 40 accounts, 200 addresses, 100 devices. Subject sets beside the ledger: {:.2} GB. Index: {:.2} GB, \
         made in {:.0} s ({:.0} disclosures/s, {:.0} s of processor time), opened in {:.2} s. Memory during the \
         questions, without mapped files: {:.0} MB.\n\n| | questions | p50 ms | p95 ms | p99 ms | max ms |\n|---|--:|--:|--:|--:|--:|\n",
        args.subjects,
        args.disclosures,
        args.subjects,
        ledger_bytes as f64 / 1e9,
        index_bytes as f64 / 1e9,
        build.wall_s,
        args.disclosures as f64 / build.wall_s,
        build.cpu_s,
        opened.wall_s,
        memory.anonymous_mb,
    );
    text.push_str(&warm.row("what was exposed by …, from T to U: warm"));
    text.push_str(&cold.row("the same, the index opened anew and all its and the ledger's files out of memory"));
    text.push_str(&whole.row("everything, ever"));
    text.push_str(&page.row("what left about one person, the newest 100"));
    text.push_str(&history.row("the same, all of it"));
    text.push_str(&format!(
        "\nAnswers have both what was authorised and what was confirmed, per field. {} of the questions, and everything, \
         were answered once more by uniting every set alone, and were equal; for everything that takes {flat_s:.1} s. A \
         person was named in {:.0} disclosures on average.\n",
        CHECKED,
        all_rows as f64 / 100_f64.min(persons.len() as f64),
    ));
    eprintln!("{text}");
    if let Some(page) = &args.page {
        write_section(page, &text)?;
    }
    Ok(())
}

fn write_section(page: &Path, text: &str) -> Result<()> {
    let found = std::fs::read_to_string(page)?;
    let (before, rest) = found.split_once("<!-- exposure -->\n").context("the page has no section for it")?;
    let (_, after) = rest.split_once("<!-- /exposure -->").context("the page's section has no end")?;
    std::fs::write(page, format!("{before}<!-- exposure -->\n{text}<!-- /exposure -->{after}"))?;
    Ok(())
}
