//! What a drill measured, for a terminal, for a document, and for programs. Nothing in it is typed: each number is of
//! this run.

use serde_json::{Value, json};

/// One run.
pub(crate) struct Report {
    pub(crate) persons: u32,
    /// How long it took to have them all.
    pub(crate) made_s: f64,
    pub(crate) staff: usize,
    pub(crate) stolen: Stolen,
    pub(crate) two: Two,
    pub(crate) three: Three,
}

/// A stolen session alone.
pub(crate) struct Stolen {
    pub(crate) requests: u64,
    pub(crate) refused: u64,
    /// Values of persons in anything that was answered.
    pub(crate) values: u64,
    /// The limit that noticed.
    pub(crate) rule: String,
    /// From the first request until somebody on duty was told.
    pub(crate) noticed_ms: f64,
    pub(crate) contained_ms: f64,
    /// Of two requests afterwards, those that were answered.
    pub(crate) works_after: u64,
}

/// Two who collude.
pub(crate) struct Two {
    pub(crate) persons: u64,
    pub(crate) rule: String,
    /// From the request to run it.
    pub(crate) noticed_ms: f64,
}

/// Three who collude. Times are from the first byte that the attackers had, where nothing else is said.
pub(crate) struct Three {
    pub(crate) asked: u64,
    pub(crate) persons: u64,
    pub(crate) values: u64,
    /// All that was asked for left before anybody acted.
    pub(crate) is_whole: bool,
    pub(crate) bytes: u64,
    pub(crate) noticed_ms: f64,
    /// From asking for it to the answer that it holds.
    pub(crate) contained_ms: f64,
    /// The last byte.
    pub(crate) stopped_ms: f64,
    /// Chunks that were opened after it held.
    pub(crate) chunks_after: u64,
    /// Bytes that arrived after it was answered that it holds.
    pub(crate) bytes_after: u64,
    /// Sessions of theirs that are answered afterwards.
    pub(crate) works_after: u64,
    /// From noticing to the answer that it holds: an incident is opened in between.
    pub(crate) acted_ms: f64,
    /// From asking to the answer.
    pub(crate) scope_ms: f64,
    pub(crate) scope_persons: u64,
    /// From asking for it, with a second person's agreement, to its last byte.
    pub(crate) package_ms: f64,
    pub(crate) package_bytes: u64,
    /// Of pairs of person and field, against the loot.
    pub(crate) precision: f64,
    pub(crate) recall: f64,
    pub(crate) persons_beyond: u64,
    pub(crate) persons_missed: u64,
    pub(crate) public_ms: f64,
    pub(crate) notices: Notices,
}

pub(crate) struct Notices {
    pub(crate) sent: u64,
    pub(crate) bounced: u64,
    pub(crate) suppressed: u64,
    pub(crate) twice: u64,
    /// Persons in the loot who got none.
    pub(crate) missed: u64,
    /// Persons who got one and are not in the loot.
    pub(crate) beyond: u64,
    pub(crate) first_ms: f64,
    pub(crate) last_ms: f64,
    pub(crate) first_after_signing_ms: f64,
}

/// A duration, with three figures at most.
fn lasted(ms: f64) -> String {
    match ms {
        _ if ms < 1_000.0 => format!("{ms:.0} ms"),
        _ if ms < 100_000.0 => format!("{:.1} s", ms / 1e3),
        _ => format!("{:.0} min {:.0} s", (ms / 60_000.0).floor(), ms % 60_000.0 / 1e3),
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl Report {
    /// Rows: what, the incident of 2025, a stolen session, two, three.
    fn rows(&self) -> Vec<[String; 5]> {
        let Report { stolen, two, three, .. } = self;
        let none = String::new;
        let row = |what: &str, then: &str, one: String, other: String, last: String| {
            [what.to_owned(), then.to_owned(), one, other, last]
        };
        vec![
            row(
                "persons whose values got out",
                "",
                format!("{}, by {} requests", stolen.values, stolen.requests),
                grouped(two.persons),
                format!("{} of {} asked for", grouped(three.persons), grouped(three.asked)),
            ),
            row(
                "noticed after",
                "",
                format!("{}, by a limit ({})", lasted(stolen.noticed_ms), stolen.rule),
                format!("{}, by a limit ({})", lasted(two.noticed_ms), two.rule),
                format!("{}, by an alarm (leaving)", lasted(three.noticed_ms)),
            ),
            row("containing took", "", lasted(stolen.contained_ms), none(), lasted(three.contained_ms)),
            row(
                "chunks opened after it held",
                "",
                none(),
                none(),
                format!("{} ({} bytes were on their way)", three.chunks_after, grouped(three.bytes_after)),
            ),
            row("last byte after", "", none(), none(), lasted(three.stopped_ms)),
            row("finding whom it concerns took", "16 days", none(), none(), lasted(three.scope_ms)),
            row(
                "precision and recall, against the loot",
                "",
                none(),
                none(),
                format!("{:.4} and {:.4}", three.precision, three.recall),
            ),
            row(
                "in the scope and not in the loot",
                "",
                none(),
                none(),
                format!("{} persons, {} the other way", grouped(three.persons_beyond), grouped(three.persons_missed)),
            ),
            row("package handed over, asked and agreed, took", "16 days", none(), none(), lasted(three.package_ms)),
            row("first notice after", "17 days", none(), none(), lasted(three.notices.first_ms)),
            row("last notice after", "", none(), none(), lasted(three.notices.last_ms)),
            row("public page after", "18 days", none(), none(), lasted(three.public_ms)),
        ]
    }

    const HEAD: [&str; 5] = ["", "November 2025", "a stolen session", "two collude", "three collude"];

    /// A table for a document.
    pub(crate) fn markdown(&self) -> String {
        let mut out = format!("| {} |\n|---|---|---|---|---|\n", Self::HEAD.join(" | "));
        for row in self.rows() {
            let cells = row.map(|cell| if cell.is_empty() { "–".to_owned() } else { cell });
            out.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
        out.push_str(&format!("\n{}\n", self.told()));
        out
    }

    /// For a terminal.
    pub(crate) fn table(&self) -> String {
        let mut rows = vec![Self::HEAD.map(str::to_owned)];
        rows.extend(self.rows());
        let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
        let widths: Vec<usize> = (0..Self::HEAD.len()).map(width).collect();
        let mut out = String::new();
        for row in &rows {
            for (cell, width) in row.iter().zip(&widths) {
                out.push_str(&format!("{cell:<width$}  "));
            }
            out.truncate(out.trim_end().len());
            out.push('\n');
        }
        format!("{out}\n{}", self.told())
    }

    /// What the table has no room for.
    fn told(&self) -> String {
        let (three, notices) = (&self.three, &self.three.notices);
        let cut = match three.is_whole {
            true => " Everything that was asked for had left before it was contained.".to_owned(),
            false if three.persons_beyond == 0 => String::new(),
            false => format!(
                " The scope has {} persons beyond the loot: of the chunk in hand it is not known what arrived, so it counts whole.",
                grouped(three.persons_beyond)
            ),
        };
        format!(
            "{} made-up persons. {} notices were sent: {} who lost something got none, {} got one and lost nothing, {} got it twice.{cut} Times are from the attackers' first byte, or request, where they are not of one step; the first notice left {} after the second signature. The people of a drill decide at once: in life their time comes on top.",
            grouped(u64::from(self.persons)),
            grouped(notices.sent),
            grouped(notices.missed),
            grouped(notices.beyond),
            grouped(notices.twice),
            lasted(notices.first_after_signing_ms),
        )
    }

    pub(crate) fn json(&self) -> Value {
        let Report { persons, made_s, staff, stolen, two, three } = self;
        let notices = &three.notices;
        json!({
            "persons": persons,
            "made_s": made_s,
            "staff": staff,
            "stolen_session": {
                "requests": stolen.requests,
                "refused": stolen.refused,
                "values": stolen.values,
                "rule": stolen.rule,
                "noticed_ms": stolen.noticed_ms,
                "contained_ms": stolen.contained_ms,
                "works_after": stolen.works_after,
            },
            "two_collude": {"persons": two.persons, "rule": two.rule, "noticed_ms": two.noticed_ms},
            "three_collude": {
                "asked": three.asked,
                "persons": three.persons,
                "values": three.values,
                "is_whole": three.is_whole,
                "bytes": three.bytes,
                "noticed_ms": three.noticed_ms,
                "acted_ms": three.acted_ms,
                "contained_ms": three.contained_ms,
                "stopped_ms": three.stopped_ms,
                "chunks_after": three.chunks_after,
                "bytes_after": three.bytes_after,
                "works_after": three.works_after,
                "scope_ms": three.scope_ms,
                "scope_persons": three.scope_persons,
                "package_ms": three.package_ms,
                "package_bytes": three.package_bytes,
                "precision": three.precision,
                "recall": three.recall,
                "persons_beyond": three.persons_beyond,
                "persons_missed": three.persons_missed,
                "public_ms": three.public_ms,
                "notices": {
                    "sent": notices.sent,
                    "bounced": notices.bounced,
                    "suppressed": notices.suppressed,
                    "twice": notices.twice,
                    "missed": notices.missed,
                    "beyond": notices.beyond,
                    "first_ms": notices.first_ms,
                    "last_ms": notices.last_ms,
                    "first_after_signing_ms": notices.first_after_signing_ms,
                },
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_numbers_are_short_and_exact_enough() {
        assert_eq!([0.4, 41.6, 1_234.0, 61_000.0].map(lasted), ["0 ms", "42 ms", "1.2 s", "61.0 s"]);
        assert_eq!(lasted(754_000.0), "12 min 34 s");
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
