//! The notation of test vectors: cases of a project, a question and the table it must answer, as text.
//! `tests/vectors/README.md` describes it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cofferdam_model::cohort::CohortRule;
use cofferdam_model::{Query, SealedEvent, SubjectNo, Value};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use crate::print::{Line, part_of};
use crate::world::{Cohort, World};

/// A case of a file.
#[derive(Debug)]
pub(crate) struct Case {
    /// `file:line` of its title.
    pub place: String,
    pub title: String,
    pub world: World,
    /// By subject number.
    pub names: Vec<String>,
    pub query: Query,
    pub expected: Expected,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Expected {
    /// These lines; parts of the table that none of them belongs to are not looked at.
    Lines(Vec<String>),
    /// The question cannot be asked; the error says this.
    Refused(String),
}

/// A keyword at the beginning of a line, what follows it, and the indented lines below.
struct Block {
    line: usize,
    keyword: String,
    rest: String,
    below: Vec<(usize, String)>,
}

/// All cases of a file; every error begins with `file:line`.
pub(crate) fn parse(path: &Path) -> Result<Vec<Case>, String> {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{file}: {error}"))?;
    parse_text(&file, &text)
}

pub(crate) fn parse_text(file: &str, text: &str) -> Result<Vec<Case>, String> {
    let at = |line: usize| move |error: String| format!("{file}:{line}: {error}");
    let mut cases: Vec<(usize, String, Vec<Block>)> = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let line = index + 1;
        let content = raw.trim_end();
        if content.trim().is_empty() || content.starts_with('#') {
            continue;
        }
        if let Some(title) = content.strip_prefix("== ") {
            cases.push((line, title.trim().to_owned(), Vec::new()));
            continue;
        }
        let Some((_, _, blocks)) = cases.last_mut() else {
            return Err(at(line)("a case begins with `== title`".to_owned()));
        };
        if content.starts_with(char::is_whitespace) {
            let Some(block) = blocks.last_mut() else {
                return Err(at(line)("an indented line belongs to a keyword above it".to_owned()));
            };
            block.below.push((line, content.trim().to_owned()));
        } else {
            let (keyword, rest) = content.split_once(' ').unwrap_or((content, ""));
            let (keyword, rest) = (keyword.to_owned(), rest.trim().to_owned());
            blocks.push(Block { line, keyword, rest, below: Vec::new() });
        }
    }
    if cases.is_empty() {
        return Err(format!("{file}: there is no case in this file"));
    }
    let mut titles = BTreeSet::new();
    cases
        .into_iter()
        .map(|(line, title, blocks)| {
            if !titles.insert(title.clone()) {
                return Err(at(line)(format!("there are two cases called {title:?}")));
            }
            case(file, line, title, &blocks)
        })
        .collect()
}

fn case(file: &str, line: usize, title: String, blocks: &[Block]) -> Result<Case, String> {
    let mut reader = Reader { names: Vec::new(), zone: TimeZone::UTC, day: Date::constant(2026, 10, 1) };
    let mut world = World {
        events: Vec::new(),
        links: Vec::new(),
        zone: TimeZone::UTC,
        now_us: 0,
        profiles: BTreeMap::new(),
        cohorts: BTreeMap::new(),
    };
    let mut now = Date::constant(2027, 1, 1).at(0, 0, 0, 0);
    let mut range = None;
    let (mut query, mut expected) = (None, None);
    for block in blocks {
        let at = |line: usize| move |error: String| format!("{file}:{line}: {error}");
        match block.keyword.as_str() {
            "zone" => {
                let zone = TimeZone::get(&block.rest).map_err(|error| at(block.line)(error.to_string()))?;
                (reader.zone, world.zone) = (zone.clone(), zone);
            }
            "now" => now = date_time(&block.rest).map_err(at(block.line))?,
            "day" => reader.day = block.rest.parse().map_err(|error: jiff::Error| at(block.line)(error.to_string()))?,
            "range" => {
                let (from, to) = block.rest.split_once(' ').unwrap_or((&block.rest, &block.rest));
                range = Some(serde_json::json!({"kind": "between", "from": from, "to": to}));
            }
            "events" => {
                for (line, text) in &block.below {
                    world.events.extend(reader.events(text).map_err(at(*line))?);
                }
            }
            "merge" => {
                let (alias, canonical) =
                    block.rest.split_once(" -> ").ok_or_else(|| at(block.line)("write `merge a -> b`".to_owned()))?;
                let link = (reader.subject(alias), reader.subject(canonical));
                world.links.push(link);
            }
            "profile" => {
                let mut words = words(&block.rest).map_err(at(block.line))?.into_iter();
                let person = reader.subject(&words.next().unwrap_or_default());
                let values: Result<_, String> = words.map(|word| reader.property(&word)).collect();
                world.profiles.insert(person, values.map_err(at(block.line))?);
            }
            "cohort" => {
                let (name, members) = block.rest.split_once(':').unwrap_or((&block.rest, ""));
                let json: String = block.below.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n");
                let cohort = if json.is_empty() {
                    Cohort::Static(members.split_whitespace().map(|name| reader.subject(name)).collect())
                } else {
                    match serde_json::from_str(&json).map_err(|error| at(block.line)(error.to_string()))? {
                        CohortRule::Dynamic { condition } => Cohort::Dynamic(condition),
                        CohortRule::Static => {
                            return Err(at(block.line)("list the members: `cohort name: a b`".to_owned()));
                        }
                    }
                };
                world.cohorts.insert(name.trim().to_owned(), cohort);
            }
            "query" => {
                let json: String = block.below.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n");
                let mut json: serde_json::Value =
                    serde_json::from_str(&json).map_err(|error| at(block.line)(error.to_string()))?;
                if let (Some(range), Some(object)) = (&range, json.as_object_mut()) {
                    object.entry("range").or_insert_with(|| range.clone());
                }
                let parsed: Query = serde_json::from_value(json).map_err(|error| at(block.line)(error.to_string()))?;
                query = Some(parsed);
            }
            "expect" if !block.below.is_empty() => {
                let lines = block.below.iter().map(|(_, text)| text.split_whitespace().collect::<Vec<_>>().join(" "));
                expected = Some(Expected::Lines(lines.collect()));
            }
            "refused" if !block.rest.is_empty() => expected = Some(Expected::Refused(block.rest.clone())),
            other => return Err(at(block.line)(format!("{other:?} is no keyword here, or what it needs is missing"))),
        }
    }
    let place = format!("{file}:{line}");
    world.now_us = instant(now, &world.zone);
    Ok(Case {
        query: query.ok_or_else(|| format!("{place}: {title:?} asks nothing: write a `query`"))?,
        expected: expected.ok_or_else(|| format!("{place}: {title:?} expects nothing: write `expect`"))?,
        names: reader.names,
        place,
        title,
        world,
    })
}

/// Who has which number, and how times are read.
struct Reader {
    names: Vec<String>,
    zone: TimeZone,
    day: Date,
}

impl Reader {
    /// `-` is nobody; everybody else gets the next number.
    fn subject(&mut self, name: &str) -> SubjectNo {
        let name = name.trim();
        if name == "-" {
            return SubjectNo::NOBODY;
        }
        let at = self.names.iter().position(|other| other == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        SubjectNo(at as u32)
    }

    /// `alice 10-02 01:00 A item=shirt #7; 01:30 B`
    fn events(&mut self, text: &str) -> Result<Vec<SealedEvent>, String> {
        let (who, rest) = text.split_once(' ').ok_or("an event is a person, a time and a name")?;
        let mut templates = Vec::new();
        let mut date = self.day;
        for part in rest.split(';') {
            let mut words = words(part)?.into_iter().peekable();
            let mut time = None;
            while let Some(word) = words.peek() {
                if let Some(read) = date_of(word, self.day) {
                    date = read;
                } else if let Ok(read) = word.parse::<Time>()
                    && word.contains(':')
                {
                    time = Some(read);
                } else {
                    break;
                }
                words.next();
            }
            let name = words.next().ok_or_else(|| format!("the event {part:?} has no name"))?;
            let (mut properties, mut insert_id) = (Vec::new(), 0);
            for word in words {
                match word.strip_prefix('#') {
                    Some(id) => insert_id = id.parse().map_err(|_| format!("{word:?} is no insert id"))?,
                    None => properties.push(self.property(&word)?),
                }
            }
            let at = date.to_datetime(time.unwrap_or(Time::constant(12, 0, 0, 0)));
            templates.push((name, instant(at, &self.zone), properties, insert_id));
        }
        let mut events = Vec::new();
        for name in several(who)? {
            let subject = self.subject(&name);
            events.extend(templates.iter().map(|(name, time_us, properties, insert_id)| SealedEvent {
                name: name.clone(),
                subject,
                time_us: *time_us,
                insert_id: *insert_id,
                properties: properties.clone(),
            }));
        }
        Ok(events)
    }

    fn property(&self, word: &str) -> Result<(String, Value), String> {
        let (name, value) = word.split_once('=').ok_or_else(|| format!("{word:?} is no property: write name=value"))?;
        let value = if let Some(text) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
            Value::String(text.to_owned())
        } else if let Some(items) = value.strip_prefix('[').and_then(|value| value.strip_suffix(']')) {
            Value::List(items.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect())
        } else if let Some(time) = value.strip_prefix('@') {
            Value::Time(instant(date_time(time)?, &self.zone))
        } else if let Ok(number) = value.parse::<f64>() {
            Value::Number(number)
        } else if let Ok(value) = value.parse::<bool>() {
            Value::Bool(value)
        } else {
            Value::String(value.to_owned())
        };
        Ok((name.to_owned(), value))
    }
}

/// `u{1..3}` is u1, u2 and u3.
fn several(who: &str) -> Result<Vec<String>, String> {
    let Some((prefix, range)) = who.split_once('{') else { return Ok(vec![who.to_owned()]) };
    let ends = range.strip_suffix('}').and_then(|range| range.split_once(".."));
    let (from, to) = ends.ok_or_else(|| format!("{who:?}: write u{{1..3}}"))?;
    let read = |text: &str| text.parse::<u32>().map_err(|error| format!("{text:?}: {error}"));
    Ok((read(from)?..=read(to)?).map(|number| format!("{prefix}{number}")).collect())
}

/// Words, with spaces within double quotes kept.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for character in text.chars() {
        quoted ^= character == '"';
        match words.last_mut() {
            Some(word) if quoted || !character.is_whitespace() => word.push(character),
            _ => words.push(String::new()),
        }
    }
    words.retain(|word| !word.is_empty());
    if quoted { Err(format!("a quote is not closed in {text:?}")) } else { Ok(words) }
}

/// `10-02`, in the year of the case, or `2026-10-02`.
fn date_of(word: &str, day: Date) -> Option<Date> {
    word.parse().ok().or_else(|| format!("{:04}-{word}", day.year()).parse().ok())
}

/// `2026-10-20 12:00`, also with a `T`, or a date alone.
fn date_time(text: &str) -> Result<DateTime, String> {
    text.replace(' ', "T")
        .parse::<DateTime>()
        .or_else(|_| text.parse::<Date>().map(DateTime::from))
        .map_err(|_| format!("{text:?} is no time"))
}

fn instant(at: DateTime, zone: &TimeZone) -> i64 {
    at.to_zoned(zone.clone()).map_or(0, |zoned| zoned.timestamp().as_microsecond())
}

/// What a table shows against what a case expects; the text of an error shows both.
pub(crate) fn compare(expected: &[String], found: &[Line]) -> Result<(), String> {
    // Parts with a line each per segment are compared label by label, the others as a whole.
    let key = |text: &str| match part_of(text) {
        "median" | "average" | "time" | "significance" | "anchors" | "overall" => {
            text.split_once(':').map_or(text, |(label, _)| label).to_owned()
        }
        part => part.to_owned(),
    };
    let keys: BTreeSet<String> = expected.iter().map(|text| key(text)).collect();
    for wanted in keys {
        let left: Vec<&str> = expected.iter().map(String::as_str).filter(|text| key(text) == wanted).collect();
        let right: Vec<&str> = found.iter().map(|line| line.text.as_str()).filter(|text| key(text) == wanted).collect();
        if left != right {
            let all: Vec<&str> = found.iter().map(|line| line.text.as_str()).collect();
            return Err(format!(
                "  expected:\n    {}\n  found:\n    {}\n  whole table:\n    {}",
                left.join("\n    "),
                right.join("\n    "),
                all.join("\n    ")
            ));
        }
    }
    Ok(())
}
