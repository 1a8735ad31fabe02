//! The persons of a drill: nobody, and recognisable as such wherever a value of theirs turns up.
//!
//! They come in by the collecting door, as a customer's would: a profile, what they did, and now and then an address
//! that was typed where none belongs.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, anyhow};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::colleague::now_us;
use crate::site::Site;

/// Everybody's address ends so; nobody's at the organisation does.
const ADDRESSES: &str = ".people.drill.example";
/// Everybody's family has this name.
const FAMILY: &str = "Drillmann";
const GIVEN: [&str; 12] =
    ["Ada", "Ben", "Chiara", "Dolores", "Emil", "Fatima", "Gaspar", "Hana", "Iker", "Jola", "Kofi", "Lucia"];
/// Providers of mail: none gets more than a relay sends to one.
const PROVIDERS: u32 = 1_000;
/// Persons of one request.
const BATCH: u32 = 1_000;
/// Requests at once.
const SENDERS: usize = 3;

/// What every other person did.
pub(crate) const EVENT_OF_HALF: &str = "Order placed";

/// How many of so many persons did it.
pub(crate) const fn of_half(count: u32) -> u32 {
    count.div_ceil(2)
}

fn address(number: u32) -> String {
    let given = GIVEN[number as usize % GIVEN.len()].to_lowercase();
    format!("{given}.{number}@m{}{ADDRESSES}", number % PROVIDERS)
}

fn name(number: u32) -> String {
    format!("{} {FAMILY} {number}", GIVEN[number as usize % GIVEN.len()])
}

/// How many values of persons are in what somebody was answered. A value has one of two marks, which nothing else has.
pub(crate) fn values_in(answer: &[u8]) -> u64 {
    [ADDRESSES, FAMILY].iter().map(|mark| count(answer, mark.as_bytes())).sum()
}

fn count(text: &[u8], mark: &[u8]) -> u64 {
    text.windows(mark.len()).filter(|window| *window == mark).count() as u64
}

fn profile(token: &str, number: u32) -> Value {
    json!({"$token": token, "$distinct_id": format!("c-{number}"),
        "$set": {"$email": address(number), "$name": name(number), "plan": if number.is_multiple_of(3) { "team" } else { "free" }}})
}

fn events(number: u32, now_ms: i64) -> Vec<Value> {
    let event = |name: &str, properties: Value| {
        let mut event = json!({"event": name, "properties": {"distinct_id": format!("c-{number}"),
            "time": now_ms - i64::from(number % 20_000) * 1_000, "$insert_id": format!("{}{number}", &name[..1])}});
        for (name, value) in properties.as_object().into_iter().flatten() {
            event["properties"][name] = value.clone();
        }
        event
    };
    let mut events = vec![event("Signed in", json!({"app": "web"}))];
    if number.is_multiple_of(2) {
        events.push(event(EVENT_OF_HALF, json!({"items": number % 5 + 1})));
    }
    if number.is_multiple_of(100) {
        events.push(event("Ticket opened", json!({"text": format!("please write to {}", address(number))})));
    }
    events
}

fn send(site: &Site, token: &str, first: u32, end: u32, now_ms: i64) -> Result<()> {
    let authorization = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{token}:")));
    let profiles: Vec<Value> = (first..end).map(|number| profile(token, number)).collect();
    let events: Vec<Value> = (first..end).flat_map(|number| events(number, now_ms)).collect();
    for (path, records) in [("/engage?verbose=1", profiles), ("/import?strict=1", events)] {
        site.collect(path, &authorization, serde_json::to_vec(&records)?, records.len())?;
    }
    Ok(())
}

/// Makes `count` persons known to a project.
pub(crate) fn make(site: &Site, token: &str, count: u32) -> Result<()> {
    let (now_ms, next) = (now_us() / 1_000, AtomicU32::new(0));
    std::thread::scope(|scope| {
        let send_all = || loop {
            let first = next.fetch_add(BATCH, Ordering::Relaxed);
            if first >= count {
                return Ok(());
            }
            if let Err(error) = send(site, token, first, count.min(first + BATCH), now_ms) {
                // Nobody begins another batch.
                next.store(count, Ordering::Relaxed);
                return Err(error);
            }
        };
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(send_all)).collect();
        senders.into_iter().try_for_each(|sender| sender.join().map_err(|_| anyhow!("a sender ended"))?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_wherever_it_turns_up_and_nothing_else_is() {
        let profile = profile("token", 7).to_string();
        assert_eq!(values_in(profile.as_bytes()), 2, "an address and a name");
        assert_eq!(values_in(format!("{:?}", events(100, 0)).as_bytes()), 1, "an address in a text");
        assert_eq!(values_in(br#"{"email": "olga@staff.drill.example", "name": "per_5f"}"#), 0);
    }
}
