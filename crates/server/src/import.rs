//! `cofferdam import`: brings events of files into a project, by the same HTTP door as everything else.
//!
//! Invariants
//! - Every record of a file ends as exactly one of: imported, refused with a reason in the rejects file.
//!   `read = imported + refused` in every summary.
//! - Running the same command again never doubles an event: each has an `$insert_id` that depends on the
//!   record and its place only.
//! - After an interruption the same command goes on behind the last acknowledged batch.
//! - No message, state or rejects line holds a value of a record, unless `--rejects-with-records` is given.
//!
//! Algorithm, for each file
//! 1. [`source`] cuts the text into records; [`mapping`] makes an event of each, or a reason.
//! 2. A batch is full at `--batch` records or [`BATCH_BYTES_MAX`]. [`client`] sends it and waits for the count.
//! 3. Refusals go to the rejects file (fsync), then the position goes to the state file ([`state`]).
//!
//! Deliberately one connection and no pipeline: the acknowledged part of a file is always a prefix of it.

pub(crate) mod client;
mod mapping;
mod source;
mod state;
#[cfg(test)]
pub(crate) mod test_server;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Cursor, IsTerminal as _, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use self::client::{Answer, Client, Encoding, Patience, Refusal, compress};
use self::mapping::{Fault, Mapping};
use self::source::{Cut, Fingerprint, Format, Origin, Position, Records, hash, split_fields};
use self::state::{Reject, Rejects, State, Tally};

/// Below the 2 MiB the door takes in one request, with room for the last record.
const BATCH_BYTES_MAX: usize = 1_900_000;
/// Events that a dry run shows.
const DRY_RUN_SHOWN: u64 = 3;
/// Reasons that a summary lists, each with its count; the rest in one line.
const REASONS_SHOWN: usize = 20;
const EXIT_SOME_REFUSED: u8 = 2;

/// Import events from files
///
/// Reads NDJSON (the shape of a Mixpanel raw export, or flat objects) and CSV with a header, plain or .gz, and
/// sends them to a running server. An interrupted import goes on where it stopped when the same command is run
/// again; no event is doubled.
///
/// Exit status: 0 all records are in, 2 some were refused (see the rejects file), 1 the import failed.
#[derive(clap::Args, Clone)]
pub(crate) struct ImportArgs {
    /// Files to import, in this order; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Address of the server
    #[arg(long, default_value = "http://127.0.0.1:7077", value_name = "URL")]
    pub(crate) url: String,
    /// Token of the project the events go to
    #[arg(long, env = "COFFERDAM_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,

    /// Format of the files; `auto` goes by the extension, then by the first character
    #[arg(long, value_enum, default_value_t = FormatChoice::Auto)]
    pub(crate) format: FormatChoice,
    /// Character between the fields of a CSV file; `\t` for tab
    #[arg(long, default_value = ",", value_name = "CHAR")]
    pub(crate) delimiter: String,

    /// Give every record this event name
    #[arg(long, value_name = "NAME", conflicts_with = "event_column", help_heading = "Mapping")]
    pub(crate) event_name: Option<String>,
    /// Column with the event's name [default: event]
    #[arg(long, value_name = "COLUMN", help_heading = "Mapping")]
    pub(crate) event_column: Option<String>,
    /// Column with the person's id [default: distinct_id]
    #[arg(long, value_name = "COLUMN", help_heading = "Mapping")]
    pub(crate) distinct_id_column: Option<String>,
    /// Column with the event's time [default: time]
    #[arg(long, value_name = "COLUMN", help_heading = "Mapping")]
    pub(crate) time_column: Option<String>,
    /// How times are written: auto (RFC 3339, dates, Unix seconds to nanoseconds), unix, unix-ms, or a pattern
    /// such as `%Y%m%d` or `%Y-%m-%d %H:%M:%S`
    #[arg(long, default_value = "auto", value_name = "FORMAT", help_heading = "Mapping")]
    pub(crate) time_format: String,
    /// Time zone of times without an offset, as an IANA name
    #[arg(long, default_value = "UTC", value_name = "ZONE", help_heading = "Mapping")]
    pub(crate) time_zone: String,
    /// Column with an id that is unique to the record [default: $insert_id where there is one, else made of the
    /// record's place in the file]
    #[arg(long, value_name = "COLUMN", help_heading = "Mapping")]
    pub(crate) insert_id_column: Option<String>,
    /// Columns that must be numbers; a record where one is not is refused
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', help_heading = "Mapping")]
    pub(crate) number_columns: Vec<String>,
    /// Columns that stay text even where they look like numbers
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', help_heading = "Mapping")]
    pub(crate) string_columns: Vec<String>,
    /// Give a column another name as a property; may be repeated
    #[arg(long, value_name = "OLD=NEW", help_heading = "Mapping")]
    pub(crate) rename: Vec<String>,
    /// Columns that are not sent at all
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', help_heading = "Mapping")]
    pub(crate) skip_columns: Vec<String>,

    /// Read and map everything, show the first events and the counts, send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Records in one request
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub(crate) batch: u32,
    /// Where refused records are listed: line, reason, field [default: FILE.rejects.ndjson]
    #[arg(long, value_name = "PATH")]
    pub(crate) rejects: Option<PathBuf>,
    /// Also write the refused records themselves there; they may hold personal data
    #[arg(long)]
    pub(crate) rejects_with_records: bool,
    /// Where the progress of the import is kept [default: FILE.import-state.json]
    #[arg(long, value_name = "PATH")]
    pub(crate) state: Option<PathBuf>,
    /// Begin anew even where an earlier import was interrupted
    #[arg(long)]
    pub(crate) restart: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FormatChoice {
    Auto,
    Ndjson,
    Csv,
}

/// Imports all files; errors are those that stopped it, refused records are in the exit code.
pub(crate) fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    import_all(&args, Patience::LONG, &mut io::stdout().lock())
}

fn import_all(args: &ImportArgs, patience: Patience, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    if args.files.len() > 1 && (args.rejects.is_some() || args.state.is_some()) {
        bail!(
            "--rejects and --state name one file, but there are several to import\nhint: leave them out, each file has its own"
        );
    }
    if let Some(path) = [&args.rejects, &args.state].into_iter().flatten().find(|path| args.files.contains(path)) {
        bail!("{} is a file to import and would be overwritten", path.display());
    }
    let mapping = Mapping::new(args)?;
    let client = match (&args.token, args.dry_run) {
        (_, true) => None,
        (Some(token), false) => Some(Client::new(&args.url, token, patience)?),
        (None, false) => {
            bail!("no project token\nhint: give --token or set COFFERDAM_TOKEN; it is in the project's settings")
        }
    };
    let mut total = Tally::default();
    for path in &args.files {
        let origin = if path.as_os_str() == "-" { Origin::Stdin } else { Origin::File(path.clone()) };
        let mut import = FileImport::prepare(args, &mapping, client.as_ref(), origin)?;
        import.run(out)?;
        total.add(&import.tally);
        if let Some(rejects) = import.rejects.as_ref().filter(|rejects| rejects.bytes() > 0) {
            writeln!(out, "{}: refused records are listed in {}", import.origin.name(), rejects.path().display())?;
        }
    }
    summarise(&total, args.dry_run, started.elapsed(), out)?;
    Ok(if total.refused_count() == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_SOME_REFUSED) })
}

fn summarise(total: &Tally, dry_run: bool, elapsed: Duration, out: &mut dyn Write) -> io::Result<()> {
    let verb = if dry_run { "could be imported" } else { "imported" };
    writeln!(
        out,
        "{} records read, {} {verb}, {} refused, in {:.1} s",
        total.read,
        total.imported,
        total.refused_count(),
        elapsed.as_secs_f64()
    )?;
    let mut reasons: Vec<_> = total.refused.iter().collect();
    reasons.sort_by_key(|&(_, &count)| std::cmp::Reverse(count));
    for (reason, count) in reasons.iter().take(REASONS_SHOWN) {
        writeln!(out, "  {count} refused: {reason}")?;
    }
    if reasons.len() > REASONS_SHOWN {
        writeln!(out, "  and {} more reasons", reasons.len() - REASONS_SHOWN)?;
    }
    Ok(())
}

/// A record that is ready to be sent.
struct Pending {
    event: Vec<u8>,
    line: u64,
    record: Option<String>,
}

/// One file on its way in.
struct FileImport<'a> {
    args: &'a ImportArgs,
    mapping: &'a Mapping,
    client: Option<&'a Client>,
    origin: Origin,
    /// Only for a file that will be there again: stdin will not.
    state: Option<(PathBuf, State)>,
    rejects: Option<Rejects>,
    tally: Tally,
    pending: Vec<Pending>,
    pending_bytes: usize,
    refused: Vec<Reject>,
    read_since: u64,
    /// Halved for good when the server says that a batch is too large.
    batch_max: usize,
    shown: u64,
}

impl<'a> FileImport<'a> {
    fn prepare(
        args: &'a ImportArgs,
        mapping: &'a Mapping,
        client: Option<&'a Client>,
        origin: Origin,
    ) -> anyhow::Result<Self> {
        let mut import = Self {
            args,
            mapping,
            client,
            origin,
            state: None,
            rejects: None,
            tally: Tally::default(),
            pending: Vec::new(),
            pending_bytes: 0,
            refused: Vec::new(),
            read_since: 0,
            batch_max: args.batch as usize,
            shown: 0,
        };
        if client.is_none() {
            return Ok(import);
        }
        let beside = |suffix: &str| match &import.origin {
            Origin::Stdin => PathBuf::from(format!("stdin{suffix}")),
            Origin::File(path) => {
                let mut name = path.as_os_str().to_owned();
                name.push(suffix);
                PathBuf::from(name)
            }
        };
        let rejects_path = args.rejects.clone().unwrap_or_else(|| beside(".rejects.ndjson"));
        if let Origin::File(path) = &import.origin {
            let state_path = args.state.clone().unwrap_or_else(|| beside(".import-state.json"));
            let state = fresh_or_saved_state(args, &state_path, Fingerprint::of(path)?)?;
            import.tally = state.tally.clone();
            import.state = Some((state_path, state));
        }
        let rejects_bytes = import.state.as_ref().map_or(0, |(_, state)| state.rejects_bytes);
        import.rejects = Some(Rejects::open(rejects_path, rejects_bytes)?);
        Ok(import)
    }

    fn run(&mut self, out: &mut dyn Write) -> anyhow::Result<()> {
        let resume_at = match &self.state {
            Some((_, state)) if state.finished => {
                writeln!(
                    out,
                    "{}: already imported completely; --restart imports it again without doubling events",
                    self.origin.name()
                )?;
                return Ok(());
            }
            Some((_, state)) if state.tally.read > 0 => {
                writeln!(
                    out,
                    "{}: going on after {} records ({} imported, {} refused), at line {}",
                    self.origin.name(),
                    state.tally.read,
                    state.tally.imported,
                    state.tally.refused_count(),
                    state.position.lines + 1
                )?;
                Some(state.position)
            }
            _ => None,
        };
        let (text, read) = self.origin.open()?;
        let (format, text) = self.detect_format(text)?;
        let meter = Meter::new(&self.origin, read);
        let mut records = Records::new(text, format);
        let outcome = self.read_all(&mut records, format, resume_at, &meter, out);
        meter.stop();
        outcome.with_context(|| match (&self.state, self.client) {
            (Some(_), Some(_)) => format!(
                "the import of {} stopped after {} records; the same command goes on from there",
                self.origin.name(),
                self.tally.read
            ),
            _ => format!("the import of {} stopped after {} records", self.origin.name(), self.tally.read),
        })
    }

    fn read_all(
        &mut self,
        records: &mut Records<Box<dyn Read>>,
        format: Format,
        resume_at: Option<Position>,
        meter: &Meter,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let header = match format {
            Format::Csv { delimiter } => self.read_header(records, delimiter)?,
            Format::Ndjson => Vec::new(),
        };
        if let Some(position) = resume_at {
            records.skip_to(position).with_context(|| format!("cannot read {}", self.origin.name()))?;
        }
        loop {
            let next = records.next().with_context(|| format!("cannot read {}", self.origin.name()))?;
            let Some((at, cut)) = next else { break };
            let mapped = match cut {
                Cut::Blank => continue,
                Cut::TooLong => Err((Fault { reason: "longer than 1 MiB", field: None }, None)),
                Cut::OpenQuote => Err((Fault { reason: "a quote is not closed", field: None }, None)),
                Cut::Text(text) => {
                    let record = self.args.rejects_with_records.then(|| String::from_utf8_lossy(text).into_owned());
                    match map_record(self.mapping, format, &header, text, at) {
                        Ok(event) => Ok((event, record)),
                        Err(fault) => Err((fault, record)),
                    }
                }
            };
            self.read_since += 1;
            let line = at.lines + 1;
            match mapped {
                Ok((event, record)) => {
                    let event = serde_json::to_vec(&event).context("cannot write an event as JSON")?;
                    self.show_in_dry_run(&event, out)?;
                    self.pending_bytes += event.len();
                    self.pending.push(Pending { event, line, record });
                }
                Err((fault, record)) => {
                    self.refused.push(Reject { line, reason: fault.reason.to_owned(), field: fault.field, record });
                }
            }
            let full = self.pending.len() >= self.batch_max || self.pending_bytes >= BATCH_BYTES_MAX;
            if full || self.refused.len() >= self.args.batch as usize {
                self.commit(records.position(), Progress::Underway)?;
                meter.at(self.tally.read);
            }
        }
        self.commit(records.position(), Progress::Finished)
    }

    /// Sends what is pending, writes down what was refused, and then how far the file is in.
    fn commit(&mut self, position: Position, progress: Progress) -> anyhow::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let mut refusals = Vec::new();
        let imported = match self.client {
            Some(client) => self.send(client, &pending, 0, &mut refusals)?,
            None => pending.len() as u64,
        };
        let mut rejects = std::mem::take(&mut self.refused);
        for refusal in refusals {
            let Some(one) = pending.get(refusal.index) else {
                continue;
            };
            let field = (!refusal.field.is_empty()).then_some(refusal.field);
            rejects.push(Reject { line: one.line, reason: refusal.reason, field, record: one.record.clone() });
        }
        rejects.sort_by_key(|reject| reject.line);

        self.tally.read += std::mem::take(&mut self.read_since);
        self.tally.imported += imported;
        for reject in &rejects {
            let reason = match &reject.field {
                Some(field) => format!("{} ({field})", reject.reason),
                None => reject.reason.clone(),
            };
            *self.tally.refused.entry(reason).or_default() += 1;
        }
        if let Some(file) = &mut self.rejects {
            file.append(&rejects)?;
        }
        let rejects_bytes = self.rejects.as_ref().map_or(0, Rejects::bytes);
        if let Some((path, state)) = &mut self.state {
            state.position = position;
            state.tally = self.tally.clone();
            state.rejects_bytes = rejects_bytes;
            state.finished = progress == Progress::Finished;
            state.save(path)?;
        }
        Ok(())
    }

    /// Returns how many were imported; `first` is the place of `batch` among all that is pending.
    fn send(
        &mut self,
        client: &Client,
        batch: &[Pending],
        first: usize,
        refusals: &mut Vec<Refusal>,
    ) -> anyhow::Result<u64> {
        if batch.is_empty() {
            return Ok(0);
        }
        let mut body = Vec::with_capacity(batch.iter().map(|one| one.event.len() + 1).sum::<usize>() + 2);
        for (number, one) in batch.iter().enumerate() {
            body.push(if number == 0 { b'[' } else { b',' });
            body.extend_from_slice(&one.event);
        }
        body.push(b']');
        match client.import(&compress(&body)?, batch.len(), Encoding::Gzip)? {
            Answer::Counted { imported, refused } => {
                refusals.extend(refused.into_iter().map(|refusal| Refusal { index: first + refusal.index, ..refusal }));
                Ok(imported)
            }
            Answer::TooLarge if batch.len() == 1 => {
                let reason = "larger than the server takes".to_owned();
                refusals.push(Refusal { index: first, field: String::new(), reason });
                Ok(0)
            }
            Answer::TooLarge => {
                let half = batch.len() / 2;
                self.batch_max = self.batch_max.min(half).max(1);
                Ok(self.send(client, &batch[..half], first, refusals)?
                    + self.send(client, &batch[half..], first + half, refusals)?)
            }
        }
    }

    fn show_in_dry_run(&mut self, event: &[u8], out: &mut dyn Write) -> io::Result<()> {
        if !self.args.dry_run || self.shown == DRY_RUN_SHOWN {
            return Ok(());
        }
        self.shown += 1;
        out.write_all(event)?;
        out.write_all(b"\n")
    }

    fn detect_format(&self, mut text: Box<dyn Read>) -> anyhow::Result<(Format, Box<dyn Read>)> {
        let delimiter = match self.args.delimiter.as_str() {
            "\\t" | "\t" | "tab" => b'\t',
            one if one.len() == 1 && !matches!(one, "\"" | "\n" | "\r") => one.as_bytes()[0],
            _ => bail!("--delimiter is not one character"),
        };
        let csv = Format::Csv { delimiter };
        let known = match (self.args.format, self.origin.extension().as_deref()) {
            (FormatChoice::Csv, _) => Some(csv),
            (FormatChoice::Ndjson, _) => Some(Format::Ndjson),
            (FormatChoice::Auto, Some("csv" | "tsv")) => Some(csv),
            (FormatChoice::Auto, Some("ndjson" | "jsonl")) => Some(Format::Ndjson),
            (FormatChoice::Auto, _) => None,
        };
        let mut start = Vec::new();
        text.by_ref()
            .take(1024)
            .read_to_end(&mut start)
            .with_context(|| format!("cannot read {}", self.origin.name()))?;
        let first = start.iter().find(|byte| !byte.is_ascii_whitespace() && !matches!(byte, 0xef | 0xbb | 0xbf));
        if first == Some(&b'[') && known != Some(csv) {
            bail!(
                "{} is one JSON array, not one object a line\nhint: `jq -c '.[]' FILE | cofferdam import -` makes lines of it",
                self.origin.name()
            );
        }
        let format = known.unwrap_or(if first == Some(&b'{') { Format::Ndjson } else { csv });
        Ok((format, Box::new(Cursor::new(start).chain(text))))
    }

    fn read_header(&self, records: &mut Records<Box<dyn Read>>, delimiter: u8) -> anyhow::Result<Vec<String>> {
        let name = self.origin.name();
        let header = loop {
            match records.next().with_context(|| format!("cannot read {name}"))? {
                None => bail!("{name} is empty; a CSV file starts with a line of column names"),
                Some((_, Cut::Blank)) => {}
                Some((_, Cut::Text(text))) => break split_csv(text, delimiter),
                Some(_) => break None,
            }
        };
        let header: Vec<String> = header
            .with_context(|| format!("the first line of {name} cannot be read as column names"))?
            .iter()
            .map(|column| column.trim().to_owned())
            .collect();
        let mut sorted = header.clone();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!("column {} is in {name} twice", twice[0]);
        }
        if let Some(column) = self.mapping.missing_column(&header) {
            bail!(
                "{name} has no column {column}\nhint: it has {}; say with --event-name or --event-column, --distinct-id-column, --time-column which is which",
                header.join(", ")
            );
        }
        Ok(header)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Underway,
    Finished,
}

fn map_record(
    mapping: &Mapping,
    format: Format,
    header: &[String],
    text: &[u8],
    at: Position,
) -> Result<serde_json::Value, Fault> {
    let Format::Csv { delimiter } = format else {
        return mapping.map_json(text, at);
    };
    let fields = split_csv(text, delimiter).ok_or(Fault { reason: "not valid UTF-8", field: None })?;
    if fields.len() != header.len() {
        return Err(Fault { reason: "not as many fields as columns", field: None });
    }
    mapping.map_csv(header, &fields, text, at)
}

/// The fields of one record; `None` when it is not UTF-8.
fn split_csv(text: &[u8], delimiter: u8) -> Option<Vec<Cow<'_, str>>> {
    Some(split_fields(std::str::from_utf8(text).ok()?, delimiter))
}

fn fresh_or_saved_state(args: &ImportArgs, path: &std::path::Path, file: Fingerprint) -> anyhow::Result<State> {
    // Enough to notice another project, too little to learn its token from.
    let token = hash(args.token.as_deref().unwrap_or_default().as_bytes()) as u32;
    let target = format!("{} {token:08x}", args.url.trim_end_matches('/'));
    let mapping = json!([
        args.event_name,
        args.event_column,
        args.distinct_id_column,
        args.time_column,
        args.time_format,
        args.time_zone,
        args.insert_id_column,
        args.number_columns,
        args.string_columns,
        args.rename,
        args.skip_columns,
        args.delimiter,
    ]);
    let mapping = format!("{:032x}", hash(mapping.to_string().as_bytes()));
    if !args.restart
        && let Some(saved) = State::load(path)?
    {
        saved.check(path, &file, &target, &mapping)?;
        return Ok(saved);
    }
    Ok(State {
        file,
        target,
        mapping,
        position: Position::default(),
        tally: Tally { read: 0, imported: 0, refused: BTreeMap::new() },
        rejects_bytes: 0,
        finished: false,
    })
}

/// Progress by bytes of the file: a bar on a terminal, a line every few seconds elsewhere; on stderr.
struct Meter {
    bar: Option<ProgressBar>,
    total_bytes: u64,
    bytes: Arc<AtomicU64>,
    started: Instant,
    last_line: std::cell::Cell<Instant>,
    first_read: std::cell::Cell<Option<(u64, Instant)>>,
}

impl Meter {
    const LINE_EVERY: Duration = Duration::from_secs(5);

    fn new(origin: &Origin, bytes: Arc<AtomicU64>) -> Self {
        let total_bytes = match origin {
            Origin::Stdin => 0,
            Origin::File(path) => std::fs::metadata(path).map_or(0, |file| file.len()),
        };
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total_bytes), ProgressDrawTarget::stderr_with_hz(8));
            let template = match total_bytes {
                0 => "{bytes} read, {msg}",
                _ => "{bar:32} {bytes} of {total_bytes}, {msg}, {eta} left",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        let started = Instant::now();
        Self {
            bar,
            total_bytes,
            bytes,
            started,
            last_line: std::cell::Cell::new(started),
            first_read: std::cell::Cell::new(None),
        }
    }

    fn at(&self, read: u64) {
        // The rate is that of this run, not of the one it goes on from.
        let (first, since) = self.first_read.get().unwrap_or((read, self.started));
        self.first_read.set(Some((first, since)));
        let rate = (read - first) as f64 / since.elapsed().as_secs_f64().max(0.001);
        let bytes = self.bytes.load(Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
            bar.set_message(format!("{read} records, {rate:.0} a second"));
        } else if self.last_line.get().elapsed() >= Self::LINE_EVERY {
            self.last_line.set(Instant::now());
            let (of, left) = match self.total_bytes {
                0 => (String::new(), String::new()),
                total => {
                    let left =
                        self.started.elapsed().as_secs_f64() * total.saturating_sub(bytes) as f64 / bytes.max(1) as f64;
                    (format!(" of {}", HumanBytes(total)), format!(", {left:.0} s left"))
                }
            };
            // A closed stderr is no reason to stop importing.
            let _ = writeln!(io::stderr(), "{}{of}, {read} records, {rate:.0} a second{left}", HumanBytes(bytes));
        }
    }

    fn stop(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
