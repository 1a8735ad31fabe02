//! Legal clocks: when the law wants what, counted from the moments of an incident. Data, not advice.

use std::sync::LazyLock;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Times;

#[derive(Deserialize)]
struct Duties {
    duty: Vec<Duty>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Duty {
    regime: String,
    duty: String,
    source: String,
    from: From,
    within: String,
    asks: Vec<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum From {
    Aware,
    Detected,
}

/// A duty of some law, with its deadline for one incident.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Deadline {
    pub regime: String,
    pub duty: String,
    /// Where the law says so.
    pub source: String,
    /// As the law has it: `72 h`, `promptly`.
    pub within: String,
    /// Microseconds since 1970-01-01 UTC; none where the law names no time, or what it is counted from is not known.
    pub due_us: Option<i64>,
    pub is_past: bool,
    /// What the notification has to say.
    pub asks: Vec<String>,
}

static DUTIES: LazyLock<Vec<Duty>> = LazyLock::new(|| {
    let read: Duties = toml::from_str(include_str!("duties.toml")).expect("a test reads the file");
    read.duty
});

/// Every duty, with its deadline.
pub(super) fn deadlines(times: &Times, now_us: i64) -> Vec<Deadline> {
    DUTIES
        .iter()
        .map(|duty| {
            let from_us = match duty.from {
                From::Aware => times.aware_us,
                From::Detected => Some(times.detected_us),
            };
            let due_us = from_us.and_then(|from_us| due(from_us, &duty.within));
            Deadline {
                regime: duty.regime.clone(),
                duty: duty.duty.clone(),
                source: duty.source.clone(),
                within: duty.within.clone(),
                due_us,
                is_past: due_us.is_some_and(|due_us| due_us < now_us),
                asks: duty.asks.clone(),
            }
        })
        .collect()
}

/// `None` for what has no number.
fn due(from_us: i64, within: &str) -> Option<i64> {
    let (number, unit) = within.split_once(' ')?;
    let number: i64 = number.parse().ok()?;
    let from = Timestamp::from_microsecond(from_us).ok()?.to_zoned(TimeZone::UTC);
    let due = match unit {
        "h" => from.checked_add(Span::new().hours(number)).ok()?,
        "d" => from.checked_add(Span::new().days(number)).ok()?,
        "months" => from.checked_add(Span::new().months(number)).ok()?,
        "business days" => {
            let (mut day, mut left) = (from, number);
            while left > 0 {
                day = day.checked_add(Span::new().days(1)).ok()?;
                left -= i64::from(!matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday));
            }
            day
        }
        _ => return None,
    };
    Some(due.timestamp().as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duty_can_be_counted_or_has_no_time() {
        assert!(DUTIES.len() >= 10);
        for duty in DUTIES.iter() {
            assert!(duty.within == "promptly" || due(0, &duty.within).is_some(), "{}", duty.within);
            assert!(!duty.source.is_empty() && !duty.asks.is_empty(), "{}", duty.duty);
        }
    }

    #[test]
    fn deadlines_run_from_awareness_and_business_days_leave_the_weekend_out() {
        let us = |text: &str| text.parse::<Timestamp>().unwrap().as_microsecond();
        assert_eq!(due(us("2026-03-05T10:00:00Z"), "72 h"), Some(us("2026-03-08T10:00:00Z")));
        assert_eq!(due(us("2026-03-05T10:00:00Z"), "4 business days"), Some(us("2026-03-11T10:00:00Z")));
        assert_eq!(due(us("2026-01-31T10:00:00Z"), "1 months"), Some(us("2026-02-28T10:00:00Z")));
        let times = Times { detected_us: us("2026-03-01T00:00:00Z"), ..Times::default() };
        let unaware = deadlines(&times, 0);
        assert!(unaware.iter().any(|one| one.within == "72 h" && one.due_us.is_none()));
        let times = Times { aware_us: Some(us("2026-03-02T00:00:00Z")), ..times };
        let gdpr = &deadlines(&times, us("2026-03-05T00:00:01Z"))[0];
        assert_eq!((gdpr.due_us, gdpr.is_past), (Some(us("2026-03-05T00:00:00Z")), true));
    }
}
