//! Tables as lines that can be read, written and compared in a text file.

use cofferdam_model::result::*;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A line of a table: which part of it, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub part: &'static str,
    pub text: String,
}

/// The parts of tables, each with the beginning of its lines. A line that begins with none of them is a series.
const PARTS: [&str; 16] = [
    "significance",
    "buckets",
    "compared buckets",
    "compared",
    "unfinished",
    "omitted",
    "steps",
    "median",
    "average",
    "time",
    "trend",
    "between",
    "links",
    "paths",
    "anchors",
    "overall",
];

pub(crate) fn part_of(text: &str) -> &'static str {
    PARTS.into_iter().find(|part| text.starts_with(part)).unwrap_or("rows")
}

pub(crate) fn lines(table: &ResultTable, zone: &TimeZone) -> Vec<Line> {
    let mut texts = Vec::new();
    match table {
        ResultTable::Insights(table) => insights(table, zone, &mut texts),
        ResultTable::Funnel(table) => funnel(table, zone, &mut texts),
        ResultTable::Retention(table) => retention(table, zone, &mut texts),
        ResultTable::Flows(table) => flows(table, &mut texts),
        ResultTable::Frequency(table) => frequency(table, zone, &mut texts),
        ResultTable::Sessions(table) => sessions(table, zone, &mut texts),
        ResultTable::Persons(_) | ResultTable::Events(_) => panic!("lists name subjects"),
    }
    texts.into_iter().map(|text| Line { part: part_of(&text), text }).collect()
}

fn insights(table: &InsightsTable, zone: &TimeZone, out: &mut Vec<String>) {
    let buckets = |starts: &[String]| starts.iter().map(|start| day(start, zone)).collect::<Vec<_>>().join(" ");
    let series = |series: &Series| {
        let values: Vec<String> = series.values.iter().map(|value| optional(value.map(|value| value.0))).collect();
        format!(
            "{}{}: {} = {}",
            metric(series.metric),
            within(&series.segment),
            values.join(" "),
            optional(series.total.map(|total| total.0))
        )
    };
    out.push(format!("buckets: {}", buckets(&table.buckets)));
    out.push(format!("unfinished: {}", table.last_incomplete));
    out.push(format!("omitted: {}", table.segments_omitted));
    out.extend(table.series.iter().map(series));
    if let Some(compared) = &table.compared {
        out.push(format!("compared buckets: {}", buckets(&compared.buckets)));
        out.extend(compared.series.iter().map(|line| format!("compared {}", series(line))));
    }
}

fn funnel(table: &FunnelTable, zone: &TimeZone, out: &mut Vec<String>) {
    let steps = |result: &FunnelResult| joined(result.steps.iter().map(|step| step.count.to_string()));
    let times = |result: &FunnelResult, prefix: &str, out: &mut Vec<String>| {
        out.push(format!(
            "median{prefix}: {}",
            joined(result.steps.iter().map(|step| optional_duration(step.median_ms_from_previous)))
        ));
        out.push(format!(
            "average{prefix}: {}",
            joined(result.steps.iter().map(|step| optional_duration(step.average_ms_from_previous)))
        ));
        if let Some(time) = &result.time_to_convert {
            out.push(format!(
                "time{prefix}: median {} average {} of {}",
                duration(time.median_ms),
                duration(time.average_ms),
                time.counts.iter().sum::<u64>()
            ));
        }
    };
    out.push(format!("steps: {}", steps(&table.overall)));
    times(&table.overall, "", out);
    for segment in &table.segments {
        out.push(format!("{}: {}", name(&segment.segment), steps(&segment.result)));
        times(&segment.result, &within(&segment.segment), out);
        let significance = match segment.significance {
            None => "-",
            Some(sure) if sure > 0.95 => "yes",
            Some(_) => "no",
        };
        out.push(format!("significance{}: {significance}", within(&segment.segment)));
    }
    out.push(format!("omitted: {}", table.segments_omitted));
    for bucket in &table.trend {
        out.push(format!("trend {}: {}", day(&bucket.start, zone), steps(&bucket.result)));
    }
    if !table.between.is_empty() {
        let counts = table.between.iter().map(|between| format!("{}×{}", between.count, between.times));
        out.push(format!("between: {}", joined(counts)));
    }
}

fn retention(table: &RetentionTable, zone: &TimeZone, out: &mut Vec<String>) {
    let cohorts = |cohorts: &[RetentionCohort], prefix: &str, out: &mut Vec<String>| {
        for cohort in cohorts {
            let retained = cohort.retained.iter().enumerate().map(|(k, retained)| {
                if k < cohort.complete as usize { retained.to_string() } else { format!("({retained})") }
            });
            let start = day(&cohort.start, zone);
            out.push(format!("{prefix}{start} of {}: {}", cohort.size, joined(retained)));
        }
    };
    let averages = |average: &[Option<f64>]| joined(average.iter().map(|share| optional(*share)));
    cohorts(&table.cohorts, "", out);
    out.push(format!("average: {}", averages(&table.average)));
    for segment in &table.segments {
        let name = name(&segment.segment);
        cohorts(&segment.cohorts, &format!("{name} "), out);
        out.push(format!("average {name}: {}", averages(&segment.average)));
    }
    out.push(format!("omitted: {}", table.segments_omitted));
}

fn flows(table: &FlowsTable, out: &mut Vec<String>) {
    flow(&table.overall, "", out);
    for segment in &table.segments {
        flow(&segment.flow, &within(&segment.segment), out);
    }
    out.push(format!("omitted: {}", table.segments_omitted));
}

fn flow(flow: &Flow, prefix: &str, out: &mut Vec<String>) {
    let optional_name = |name: &Option<FlowName>| name.as_ref().map_or("(others)".to_owned(), flow_name);
    out.push(format!("anchors{prefix}: {}", flow.anchors));
    for step in &flow.steps {
        let nodes = step.nodes.iter().map(|node| format!("{} {}", flow_name(&node.name), node.count));
        let rest = [format!("others {}", step.other), format!("drop-off {}", step.drop_off)];
        out.push(format!("{:+}{prefix}: {}", step.at, nodes.chain(rest).collect::<Vec<_>>().join(", ")));
    }
    let mut links: Vec<&FlowLink> = flow.links.iter().collect();
    links.sort_by_key(|link| (link.at, optional_name(&link.from), optional_name(&link.to)));
    for link in links {
        let (from, to) = (optional_name(&link.from), optional_name(&link.to));
        out.push(format!("links{prefix} {:+}: {from} > {to} {}", link.at, link.count));
    }
    for path in &flow.paths {
        let events = path.events.iter().enumerate().map(|(at, event)| {
            let name = flow_name(event);
            if at == path.anchor as usize { format!("[{name}]") } else { name }
        });
        out.push(format!("paths{prefix}: {} {}", events.collect::<Vec<_>>().join(" > "), path.count));
    }
}

fn flow_name(name: &FlowName) -> String {
    let value = name.value.as_ref().map(|value| format!("({})", segment(value))).unwrap_or_default();
    format!("{}{value}", name.event)
}

fn frequency(table: &FrequencyTable, zone: &TimeZone, out: &mut Vec<String>) {
    // What comes after the last person is left out: a day has many hours.
    let counts = |counts: &[u64]| {
        let used = counts.iter().rposition(|count| *count > 0).map_or(0, |at| at + 1);
        joined(counts[..used].iter().map(u64::to_string))
    };
    for period in &table.periods {
        out.push(format!("{} of {}: {}", day(&period.start, zone), period.persons, counts(&period.counts)));
    }
    out.push(format!("overall: {}", counts(&table.overall)));
    out.push(format!("unfinished: {}", table.last_incomplete));
}

fn sessions(table: &SessionsTable, zone: &TimeZone, out: &mut Vec<String>) {
    let cell = |cell: &SessionsCell| {
        format!(
            "sessions {}, persons {}, bounced {}, events {}, average {}, median {}",
            cell.sessions,
            cell.persons,
            cell.bounced,
            cell.events,
            optional_duration(cell.average_ms),
            optional_duration(cell.median_ms)
        )
    };
    out.push(format!("unfinished: {}", table.last_incomplete));
    out.push(format!("omitted: {}", table.segments_omitted));
    for series in &table.series {
        for (start, value) in table.buckets.iter().zip(&series.values) {
            out.push(format!("{}{}: {}", day(start, zone), within(&series.segment), cell(value)));
        }
        out.push(format!("overall{}: {}", within(&series.segment), cell(&series.total)));
    }
}

fn joined(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(" ")
}

/// A, B, …, Z, AA, …
fn metric(index: u32) -> String {
    let letter = |at: u32| char::from(b'A' + u8::try_from(at).unwrap());
    if index < 26 { letter(index).to_string() } else { format!("{}{}", letter(index / 26 - 1), letter(index % 26)) }
}

fn name(segments: &[Segment]) -> String {
    segments.iter().map(segment).collect::<Vec<_>>().join(" / ")
}

fn within(segments: &[Segment]) -> String {
    if segments.is_empty() { String::new() } else { format!(" {}", name(segments)) }
}

fn segment(segment: &Segment) -> String {
    match segment {
        Segment::Value(value) => value.clone(),
        Segment::NotSet => "(not set)".to_owned(),
        Segment::Other => "(other)".to_owned(),
    }
}

/// A date, with the time where that is not midnight.
fn day(start: &str, zone: &TimeZone) -> String {
    let Ok(instant) = start.parse::<Timestamp>() else { return format!("«{start}»") };
    let zoned = instant.to_zoned(zone.clone());
    let offset = instant.display_with_offset(zoned.offset()).to_string();
    if offset != start {
        // Not written with the project's offset: shown as it is, so that it differs.
        return format!("«{start}»");
    }
    let midnight = zoned.date().to_zoned(zone.clone()).unwrap() == zoned;
    zoned.strftime(if midnight { "%Y-%m-%d" } else { "%Y-%m-%dT%H:%M" }).to_string()
}

/// To four decimals, without zeros at the end.
fn number(number: f64) -> String {
    let text = format!("{number:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn optional(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), number)
}

fn optional_duration(ms: Option<u64>) -> String {
    ms.map_or("-".to_owned(), duration)
}

/// `1d2h3m4.5s`; nothing is `0s`.
fn duration(ms: u64) -> String {
    let mut text = String::new();
    for (length, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m")] {
        let count = ms / length
            % if unit == "d" {
                u64::MAX
            } else if unit == "h" {
                24
            } else {
                60
            };
        if count > 0 {
            text += &format!("{count}{unit}");
        }
    }
    let seconds = number((ms % 60_000) as f64 / 1_000.0);
    if text.is_empty() || seconds != "0" {
        text += &format!("{seconds}s");
    }
    text
}
