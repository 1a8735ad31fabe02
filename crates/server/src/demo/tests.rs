//! Reads a smaller world as a naive analyst would, event by event, and looks for every planted finding.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use serde_json::Value;

use super::*;
use crate::import::test_server::TestServer;

/// A Thursday, 14:30 UTC.
const NOW_S: i64 = 1_780_583_400;

fn options(seed: u64) -> WorldOptions {
    WorldOptions { seed, now_s: NOW_S, organisations: 60, developers: 6000, events: 200_000 }
}

fn write(options: &WorldOptions) -> Vec<Batch> {
    let world = World::new(options);
    let mut all = Vec::new();
    let mut deliver = |batch| all.push(batch);
    let mut batches = Batches::new(Door::Import, "token", world.end_ms(), &mut deliver);
    write_world(&world, &mut batches, |_| true);
    all
}

struct Seen {
    name: String,
    person: String,
    day: i64,
    time_ms: i64,
    properties: Value,
}

impl Seen {
    fn text(&self, key: &str) -> &str {
        self.properties[key].as_str().unwrap_or_default()
    }
}

/// The events of the world of seed 1, in order of time, visits already linked to the users they became.
static EVENTS: LazyLock<Vec<Seen>> = LazyLock::new(|| {
    let mut records: Vec<Value> = Vec::new();
    for batch in write(&options(1)).into_iter().filter(|batch| batch.route == Route::Events) {
        let Value::Array(events) = serde_json::from_slice(&batch.body).expect("valid JSON") else {
            panic!("a batch is an array");
        };
        records.extend(events);
    }
    let mut users = HashMap::new();
    for record in &records {
        let properties = &record["properties"];
        if let Some(user) = properties["$user_id"].as_str() {
            users.insert(properties["$device_id"].as_str().expect("a device").to_owned(), user.to_owned());
        }
    }
    let origin_ms = World::new(&options(1)).origin_s * 1000;
    let mut seen: Vec<Seen> = records
        .into_iter()
        .map(|mut record| {
            let properties = record["properties"].take();
            let device = properties["$device_id"].as_str().expect("a device");
            let time_ms = properties["time"].as_i64().expect("a time");
            Seen {
                name: record["event"].as_str().expect("a name").to_owned(),
                person: users.get(device).map_or(device, String::as_str).to_owned(),
                day: (time_ms - origin_ms).div_euclid(86_400_000),
                time_ms,
                properties,
            }
        })
        .collect();
    seen.sort_by_key(|event| event.time_ms);
    seen
});

/// Of those who did `first`, the share who did `then` later, by a key of the first event.
fn funnel(first: &str, then: &str, key: impl Fn(&Seen) -> String) -> HashMap<String, (usize, f64)> {
    let mut began: HashMap<&str, String> = HashMap::new();
    let mut arrived = HashSet::new();
    for event in EVENTS.iter() {
        if event.name == first {
            began.entry(&event.person).or_insert_with(|| key(event));
        } else if event.name == then && began.contains_key(event.person.as_str()) {
            arrived.insert(event.person.as_str());
        }
    }
    let mut counts: HashMap<String, (usize, usize)> = HashMap::new();
    for (person, key) in began {
        let (all, through) = counts.entry(key).or_default();
        *all += 1;
        *through += usize::from(arrived.contains(person));
    }
    counts.into_iter().map(|(key, (all, through))| (key, (all, through as f64 / all as f64))).collect()
}

fn count(wanted: impl Fn(&Seen) -> bool) -> f64 {
    EVENTS.iter().filter(|event| wanted(event)).count() as f64
}

fn assert_between(what: &str, value: f64, low: f64, high: f64) {
    assert!((low..=high).contains(&value), "{what} is {value}, expected {low} to {high}");
}

#[test]
fn same_seed_makes_the_same_bytes_and_another_seed_does_not() {
    let small = |seed| WorldOptions { developers: 500, events: 15_000, ..options(seed) };
    let bytes = |seed| write(&small(seed)).into_iter().flat_map(|batch| batch.body).collect::<Vec<u8>>();
    let first = bytes(7);
    assert!(first == bytes(7));
    assert!(first != bytes(8));
}

#[test]
fn counts_are_those_asked_for_and_batches_are_within_limits() {
    let batches = write(&options(1));
    let records = |route| batches.iter().filter(|b| b.route == route).map(|b| f64::from(b.records)).sum::<f64>();
    assert_between("events", records(Route::Events), 180_000.0, 220_000.0);
    assert_eq!(records(Route::Profiles), 6000.0);
    assert_eq!(records(Route::Groups), 60.0);
    for batch in &batches {
        assert!(batch.records <= stream::BATCH_RECORDS_MAX && batch.body.len() < 2 << 20);
        let value: Value = serde_json::from_slice(&batch.body).expect("valid JSON");
        assert_eq!(value.as_array().map(Vec::len), Some(batch.records as usize));
    }
}

#[test]
fn insert_ids_are_unique_and_no_event_is_of_the_future() {
    let ids: HashSet<&str> = EVENTS.iter().map(|event| event.text("$insert_id")).collect();
    assert_eq!(ids.len(), EVENTS.len());
    assert!(EVENTS.iter().all(|event| event.time_ms <= NOW_S * 1000 && event.day >= -1));
}

#[test]
fn days_are_sent_in_order() {
    let mut latest = 0;
    for batch in write(&options(1)).iter().filter(|batch| batch.route == Route::Events) {
        let value: Value = serde_json::from_slice(&batch.body).expect("valid JSON");
        for event in value.as_array().expect("an array") {
            let time_ms = event["properties"]["time"].as_i64().expect("a time");
            // Time zones, and sessions past midnight, overlap; two days never do.
            assert!(time_ms > latest - 48 * 3_600_000);
            latest = latest.max(time_ms);
        }
    }
}

#[test]
fn json_strings_are_escaped() {
    let mut out = Vec::new();
    json::write_string(&mut out, "a\"b\\c\nd\u{1}é");
    assert_eq!(out, "\"a\\\"b\\\\c\\nd\\u0001é\"".as_bytes());
}

#[test]
fn finds_the_working_week_growth_and_quiet_nights() {
    let world = World::new(&options(1));
    let on = |weekend: bool| {
        let days: Vec<i64> = (0..88).filter(|&day| (world.weekday(day as usize) >= 5) == weekend).collect();
        count(|event| days.contains(&event.day) && event.name != "Signed Up") / days.len() as f64
    };
    assert_between("weekend over weekday", on(true) / on(false), 0.3, 0.55);
    let signups = |days: std::ops::Range<i64>| count(|event| event.name == "Signed Up" && days.contains(&event.day));
    assert_between("growth of sign-ups", signups(74..88) / signups(0..14), 1.5, 2.8);
    let berlin = |hours: std::ops::Range<i64>| {
        count(|event| event.text("$city") == "Berlin" && hours.contains(&((event.time_ms / 3_600_000 + 1) % 24)))
    };
    assert_between("night share", berlin(0..6) / berlin(0..24), 0.0, 0.04);
}

#[test]
fn finds_the_launch_and_its_poor_conversion() {
    let visitors = |days: std::ops::RangeInclusive<i64>| {
        let of_launch = EVENTS.iter().filter(|e| e.text("$referrer").contains("launchboard") && days.contains(&e.day));
        of_launch.map(|event| &event.person).collect::<HashSet<_>>().len() as f64
    };
    let launch = visitors(29..=33);
    assert_between("launch visitors", launch / 6000.0, 0.10, 0.16);
    assert_between("launch visitors on other days", visitors(0..=89) - launch, 0.0, launch / 5.0);
    let by_source = funnel("Page Viewed", "Signed Up", |event| event.text("utm_source").to_owned());
    assert_between("launch conversion", by_source["launchboard"].1, 0.06, 0.13);
    assert_between("newsletter conversion", by_source["devletter"].1, 0.29, 0.40);
}

#[test]
fn finds_the_broken_go_quickstart() {
    let by_language = funnel("API Key Created", "First API Call", |event| event.text("sdk_language").to_owned());
    let (go, python) = (by_language["go"].1, by_language["python"].1);
    assert_between("go over python", go / python, 0.4, 0.62);
    let unhelpful = |page: &str| {
        let of_page = |event: &Seen| event.name == "Docs Read" && event.text("docs_page") == page;
        count(|event| of_page(event) && event.properties["helpful"] == false) / count(of_page)
    };
    assert_between("unhelpful go quick-start", unhelpful("quickstart/go"), 0.55, 0.70);
    assert_between("unhelpful python quick-start", unhelpful("quickstart/python"), 0.05, 0.14);
}

#[test]
fn finds_the_new_onboarding_and_the_new_model() {
    let by_version = funnel("Signed Up", "First API Call", |event| event.text("onboarding_version").to_owned());
    assert_between("v1", by_version["v1"].1, 0.34, 0.45);
    assert_between("v2", by_version["v2"].1, 0.54, 0.67);
    let requests = |from: i64, model: Option<&str>| {
        count(|event| {
            event.name == "API Request Completed" && event.day >= from && model.is_none_or(|m| event.text("model") == m)
        })
    };
    let early = count(|event| event.text("model") == "kestrel-1" && event.day < 51);
    assert_eq!(early, 0.0);
    assert_between("kestrel-1 at the end", requests(80, Some("kestrel-1")) / requests(80, None), 0.3, 0.5);
}

#[test]
fn finds_the_error_wave_and_those_it_drives_away() {
    let wave = 58..=60;
    let (mut active, mut struck, mut back) = (HashSet::new(), HashSet::new(), HashSet::new());
    for event in EVENTS.iter().filter(|event| !event.text("$user_id").is_empty()) {
        let person = event.person.as_str();
        if wave.contains(&event.day) {
            active.insert(person);
            if event.properties["error_code"] == 429 && event.text("model") == "sable-large" {
                struck.insert(person);
            }
        } else if (67..=80).contains(&event.day) {
            back.insert(person);
        }
    }
    let spared: HashSet<&str> = active.difference(&struck).copied().collect();
    let returned = |who: &HashSet<&str>| who.intersection(&back).count() as f64 / who.len() as f64;
    assert!(struck.len() > 150, "{} struck", struck.len());
    assert_between("struck who came back", returned(&struck), 0.35, 0.58);
    assert_between("spared who came back", returned(&spared), 0.70, 0.90);
    let requests = |in_wave: bool| {
        let of_model = |event: &Seen| {
            event.name.starts_with("API Request")
                && event.text("model") == "sable-large"
                && wave.contains(&event.day) == in_wave
        };
        count(|event| of_model(event) && event.properties["error_code"] == 429) / count(of_model)
    };
    assert_between("failures in the wave", requests(true), 0.45, 0.68);
    assert_between("failures before and after", requests(false), 0.0, 0.01);
}

#[test]
fn finds_that_invited_developers_stay() {
    let mut signups: HashMap<&str, (i64, bool)> = HashMap::new();
    let mut stayed: HashSet<&str> = HashSet::new();
    for event in EVENTS.iter() {
        if event.name == "Signed Up" && event.day < 55 {
            signups.insert(&event.person, (event.time_ms, event.properties["invited"] == true));
        } else if let Some((since_ms, _)) = signups.get(event.person.as_str())
            && (event.time_ms - since_ms) / (7 * 86_400_000) == 4
        {
            stayed.insert(&event.person);
        }
    }
    let retention = |invited: bool| {
        let of_kind: Vec<_> = signups.iter().filter(|(_, (_, kind))| *kind == invited).collect();
        of_kind.iter().filter(|(person, _)| stayed.contains(*person)).count() as f64 / of_kind.len() as f64
    };
    assert_between("week 4 of invited", retention(true), 0.34, 0.52);
    assert_between("week 4 of others", retention(false), 0.13, 0.25);
}

#[test]
fn finds_that_upgrades_follow_invites() {
    let by_inviting = funnel("Invite Sent", "Plan Upgraded", |_| String::new());
    let inviters: HashSet<&str> =
        EVENTS.iter().filter(|e| e.name == "Invite Sent").map(|e| e.person.as_str()).collect();
    let members: HashSet<&str> =
        EVENTS.iter().filter(|e| !e.text("$user_id").is_empty()).map(|e| e.person.as_str()).collect();
    let others = members.difference(&inviters).count() as f64;
    let upgraded = count(|event| event.name == "Plan Upgraded" && !inviters.contains(event.person.as_str())) / others;
    assert_between("upgrades of inviters", by_inviting[""].1, 0.04, 0.16);
    assert_between("upgrades of others", upgraded, 0.0005, 0.015);
}

#[test]
fn finds_the_price_change() {
    let cancels = |days: std::ops::Range<i64>| count(|e| e.name == "Plan Cancelled" && days.contains(&e.day));
    let (after, before) = (cancels(66..74) / 8.0, cancels(0..65) / 65.0);
    assert!(after > 5.0 * before && after > 1.0, "{after} a day after, {before} before");
    let price = count(|e| e.name == "Plan Cancelled" && (66..74).contains(&e.day) && e.text("reason") == "price");
    assert_between("share of price", price / cancels(66..74), 0.6, 0.95);
}

#[test]
fn finds_the_heavy_tail() {
    let mut by_user: HashMap<&str, usize> = HashMap::new();
    for event in EVENTS.iter().filter(|event| !event.text("$user_id").is_empty()) {
        *by_user.entry(&event.person).or_default() += 1;
    }
    let mut counts: Vec<usize> = by_user.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let top: usize = counts[..counts.len() / 100].iter().sum();
    assert_between("share of the top 1 %", top as f64 / counts.iter().sum::<usize>() as f64, 0.10, 0.30);
}

#[test]
fn the_door_is_given_personal_data_and_secrets_to_sort() {
    assert!(count(|event| event.properties["email"].is_string()) > 1000.0);
    assert!(count(|event| event.properties["ip"].is_string()) > 1000.0);
    assert!(count(|event| event.text("api_key").starts_with("sk-")) > 20.0);
    assert!(count(|event| event.text("message").contains('@')) > 50.0);
    assert!(count(|event| event.text("$current_url").contains("email=")) > 100.0);
}

#[test]
fn the_whole_world_goes_through_the_door() {
    let server = TestServer::accepting();
    let small = WorldOptions { developers: 300, organisations: 20, events: 9000, ..options(3) };
    let report = generate(&server.url, "token", &small, Progress::Silent).expect("sent");
    assert_eq!(server.events().len() as u64, report.events);
    assert_eq!((report.profiles, report.organisations), (300, 20));
    let requests = server.requests.lock().expect("no panic");
    assert_eq!(requests.len() as u64, report.requests);
    assert!(requests.iter().all(|request| request.authorization == "Basic dG9rZW46"));
}

#[test]
fn a_refused_event_stops_the_demo_and_says_why() {
    let server = TestServer::start(|request| {
        if !request.path.starts_with("/import") {
            return crate::import::test_server::accept(request);
        }
        let count = request.body.as_array().map_or(0, Vec::len);
        let failed = serde_json::json!([{ "index": 0, "field": "properties.time", "message": "too old" }]);
        let body = serde_json::json!({ "code": 400, "num_records_imported": count - 1, "failed_records": failed });
        crate::import::test_server::Response::Say(400, "", body)
    });
    let small = WorldOptions { developers: 100, organisations: 5, events: 3000, ..options(3) };
    let error = generate(&server.url, "token", &small, Progress::Silent).err().expect("refused");
    assert!(format!("{error:#}").contains("properties.time: too old"), "{error:#}");
}

#[test]
fn the_trickle_sends_current_events_with_the_token_until_stopped() {
    let server = TestServer::accepting();
    let world = World::new(&WorldOptions { developers: 400, events: 9000, ..options(4) });
    let stop = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let trickle = scope.spawn(|| trickle(&server.url, "token", &world, &stop));
        std::thread::sleep(Duration::from_millis(2500));
        stop.store(true, Ordering::Relaxed);
        trickle.join().expect("no panic")
    });
    assert_between("events", sent as f64, 6.0, 40.0);
    let now_ms = now_ms();
    let requests = server.requests.lock().expect("no panic");
    for event in requests.iter().filter(|r| r.path.starts_with("/track")).filter_map(|r| r.body.as_array()).flatten() {
        assert_eq!(event["properties"]["token"], "token");
        let time_ms = event["properties"]["time"].as_i64().expect("a time");
        assert!((now_ms - 10_000..=now_ms).contains(&time_ms));
    }
}

#[test]
fn newcomers_of_the_trickle_sign_up() {
    let world = World::new(&WorldOptions { developers: 400, events: 9000, ..options(4) });
    let mut bodies = Vec::new();
    let mut deliver = |batch: Batch| bodies.push((batch.route, batch.body));
    let mut live = Live::new(&world, NOW_S * 1000);
    let mut batches = Batches::new(Door::Track, "token", i64::MAX, &mut deliver);
    for second in 0..2000 {
        live.tick((NOW_S + second) * 1000, &mut batches);
    }
    batches.flush();
    let text: String = bodies.iter().map(|(_, body)| String::from_utf8_lossy(body)).collect();
    for name in ["Page Viewed", "Signed Up", "API Key Created", "First API Call"] {
        assert!(text.contains(name), "no {name}");
    }
    assert!(bodies.iter().any(|(route, _)| *route == Route::Profiles));
}
