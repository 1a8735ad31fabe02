//! Refusals: each has its documented answer, none takes a good record of the same request along, and at
//! the end every record that was received is accounted for.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::server::{Server, insert_id, is, now_ms, setting};

/// One record that must be refused, as the bytes of its JSON.
struct Bad {
    name: &'static str,
    record: fn(&Values) -> Vec<u8>,
    /// What `failed_records` says is at fault.
    field: &'static str,
    /// The word in the counters.
    reason: &'static str,
    doors: Doors,
}

/// Where a record is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doors {
    Both,
    /// Live events are taken with what they have.
    Import,
    /// The credentials of a request to `/import` decide, and not what its records say.
    Track,
}

impl Doors {
    fn refuse(self, target: &str) -> bool {
        match self {
            Self::Both => true,
            Self::Import => target.starts_with("/import"),
            Self::Track => target.starts_with("/track"),
        }
    }
}

/// What a bad record needs to be bad in one way only.
struct Values {
    token: String,
    time_ms: i64,
    insert_id: String,
}

impl Values {
    /// A record that is good but for what `change` does to it.
    fn record(&self, change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let mut record = json!({"event": "Bad", "properties": {
            "token": self.token, "time": self.time_ms, "distinct_id": "bad-person",
            "$insert_id": self.insert_id,
        }});
        change(&mut record);
        record.to_string().into_bytes()
    }

    fn with(&self, key: &str, value: Value) -> Vec<u8> {
        self.record(|record| record["properties"][key] = value)
    }

    fn without(&self, key: &str) -> Vec<u8> {
        self.record(|record| drop(record["properties"].as_object_mut().expect("an object").remove(key)))
    }

    /// A good record whose property `x` is these bytes of JSON.
    fn raw(&self, json: &[u8]) -> Vec<u8> {
        let text = String::from_utf8(self.with("x", json!("RAW"))).expect("UTF-8");
        let (before, after) = text.split_once("\"RAW\"").expect("the placeholder");
        [before.as_bytes(), json, after.as_bytes()].concat()
    }
}

fn nested(levels: usize) -> Vec<u8> {
    ["{\"d\":".repeat(levels), "1".into(), "}".repeat(levels)].concat().into_bytes()
}

const BAD: &[Bad] = &[
    Bad {
        name: "1,000 lists deep",
        field: "properties",
        reason: "too_deep",
        doors: Doors::Both,
        record: |v| v.raw(["[".repeat(1_000), "]".repeat(1_000)].concat().as_bytes()),
    },
    Bad {
        name: "1,000 objects deep",
        field: "properties",
        reason: "too_deep",
        doors: Doors::Both,
        record: |v| v.raw(&nested(1_000)),
    },
    Bad {
        name: "4 objects deep",
        field: "properties",
        reason: "too_deep",
        doors: Doors::Both,
        record: |v| v.raw(&nested(4)),
    },
    Bad {
        name: "256 properties",
        field: "properties",
        reason: "too_many_properties",
        doors: Doors::Both,
        record: |v| {
            v.record(|record| {
                for n in 0..256 {
                    record["properties"][format!("p{n}")] = n.into();
                }
            })
        },
    },
    Bad {
        name: "a list of 256",
        field: "properties",
        reason: "list_too_long",
        doors: Doors::Both,
        record: |v| v.with("x", (0..256).collect()),
    },
    Bad {
        name: "an object of 256 keys",
        field: "properties",
        reason: "object_too_large",
        doors: Doors::Both,
        record: |v| v.with("x", Value::Object((0..256).map(|n| (format!("k{n}"), n.into())).collect())),
    },
    Bad {
        name: "bytes that are not UTF-8",
        field: "",
        reason: "not_utf8",
        doors: Doors::Both,
        record: |v| v.raw(b"\"caf\xe9 \xff\xfe\""),
    },
    Bad {
        name: "over a mebibyte",
        field: "",
        reason: "too_large",
        doors: Doors::Both,
        record: |v| v.with("x", "y".repeat(1_048_576).into()),
    },
    Bad {
        name: "another project's token",
        field: "properties.token",
        reason: "token_unknown",
        doors: Doors::Track,
        record: |v| v.with("token", "fedcba9876543210fedcba9876543210".into()),
    },
    Bad {
        name: "the year 3000",
        field: "properties.time",
        reason: "time_in_future",
        doors: Doors::Both,
        record: |v| v.with("time", 32_503_680_000_000_i64.into()),
    },
    Bad {
        name: "the year 1960",
        field: "properties.time",
        reason: "time_invalid",
        doors: Doors::Both,
        record: |v| v.with("time", (-315_619_200).into()),
    },
    Bad {
        name: "a time in words",
        field: "properties.time",
        reason: "time_invalid",
        doors: Doors::Both,
        record: |v| v.with("time", "yesterday".into()),
    },
    Bad {
        name: "a time that is a list",
        field: "properties.time",
        reason: "time_invalid",
        doors: Doors::Both,
        record: |v| v.with("time", json!([1])),
    },
    Bad {
        name: "an event name that is a number",
        field: "event",
        reason: "name_missing",
        doors: Doors::Both,
        record: |v| v.record(|record| record["event"] = 5.into()),
    },
    Bad {
        name: "an event name that is null",
        field: "event",
        reason: "name_missing",
        doors: Doors::Both,
        record: |v| v.record(|record| record["event"] = Value::Null),
    },
    Bad {
        name: "an empty event name",
        field: "event",
        reason: "name_missing",
        doors: Doors::Both,
        record: |v| v.record(|record| record["event"] = "".into()),
    },
    Bad {
        name: "a name of 300 bytes",
        field: "event",
        reason: "name_too_long",
        doors: Doors::Both,
        record: |v| v.record(|record| record["event"] = "n".repeat(300).into()),
    },
    Bad {
        name: "no time",
        field: "properties.time",
        reason: "time_missing",
        doors: Doors::Import,
        record: |v| v.without("time"),
    },
    Bad {
        name: "no distinct id",
        field: "properties.distinct_id",
        reason: "distinct_id_missing",
        doors: Doors::Import,
        record: |v| v.without("distinct_id"),
    },
    Bad {
        name: "an insert id of 37 bytes",
        field: "properties.$insert_id",
        reason: "insert_id_invalid",
        doors: Doors::Import,
        record: |v| v.with("$insert_id", format!("{:0>37}", v.insert_id).into()),
    },
    Bad {
        name: "an insert id with a space",
        field: "properties.$insert_id",
        reason: "insert_id_invalid",
        doors: Doors::Import,
        record: |v| v.with("$insert_id", "white space".into()),
    },
    Bad {
        name: "an insert id with an underscore",
        field: "properties.$insert_id",
        reason: "insert_id_invalid",
        doors: Doors::Import,
        record: |v| v.with("$insert_id", "under_score".into()),
    },
    Bad {
        name: "an insert id beyond ASCII",
        field: "properties.$insert_id",
        reason: "insert_id_invalid",
        doors: Doors::Import,
        record: |v| v.with("$insert_id", "naïve".into()),
    },
    Bad {
        name: "a distinct id of 1,025 bytes",
        field: "properties.distinct_id",
        reason: "distinct_id_invalid",
        doors: Doors::Both,
        record: |v| v.with("distinct_id", "d".repeat(1_025).into()),
    },
    Bad {
        name: "words that are not JSON",
        field: "",
        reason: "malformed_json",
        doors: Doors::Both,
        record: |_| b"{\"event\": nope}".to_vec(),
    },
    Bad {
        name: "a number beyond doubles",
        field: "",
        reason: "malformed_json",
        doors: Doors::Both,
        record: |v| v.raw(b"1e999"),
    },
    Bad {
        name: "a record that is a number",
        field: "",
        reason: "not_an_object",
        doors: Doors::Both,
        record: |_| b"5".to_vec(),
    },
    Bad {
        name: "a record that is null",
        field: "",
        reason: "not_an_object",
        doors: Doors::Both,
        record: |_| b"null".to_vec(),
    },
    Bad {
        name: "a record that is a string",
        field: "",
        reason: "not_an_object",
        doors: Doors::Both,
        record: |_| b"\"{}\"".to_vec(),
    },
    Bad {
        name: "a record that is a list",
        field: "",
        reason: "not_an_object",
        doors: Doors::Both,
        record: |_| b"[]".to_vec(),
    },
];

/// Ids that clients send when they do not know who somebody is: they would become one giant person.
const PLACEHOLDERS: &[&str] = &[
    "00000000-0000-0000-0000-000000000000",
    "anon",
    "anonymous",
    "nil",
    "none",
    "null",
    "n/a",
    "na",
    "undefined",
    "unknown",
    "<nil>",
    "0",
    "-1",
    "true",
    "false",
    "[]",
    "{}",
];

#[test]
fn a_bad_record_never_takes_its_neighbours_along() {
    let server = Server::start();
    let values = |time_ms| Values { token: server.project.token.clone(), time_ms, insert_id: insert_id() };
    let good = |case: &str, time_ms| {
        server.event("Good", time_ms, "good-person", json!({"case": case})).to_string().into_bytes()
    };
    let history = now_ms() - 30 * 86_400_000;
    let mut expected_good = 0;
    for bad in BAD {
        // In turn: strict with an answer for the record, lenient as lines, and live.
        for (target, lines) in [("/import?strict=1", false), ("/import?strict=0", true), ("/track?verbose=1", false)] {
            let live = target.starts_with("/track");
            if !live && !bad.doors.refuse(target) {
                continue;
            }
            let case = format!("{}, {target}", bad.name);
            let time_ms = if live { now_ms() } else { history };
            let record = (bad.record)(&values(time_ms));
            let batch = [good(&case, time_ms), record, good(&case, time_ms)];
            let (kind, body) = match lines {
                true => ("application/x-ndjson", batch.join(&b"\n"[..])),
                false => ("application/json", [&b"["[..], &batch.join(&b","[..]), b"]"].concat()),
            };
            let request = server.request("POST", target).body(kind, body);
            let reply = match live {
                true => request.send(),
                false => request.basic(&server.project.token, "").send(),
            };
            if target.ends_with("strict=1") {
                assert_partly_refused(bad, &reply.json(), reply.status);
            } else {
                assert_eq!(reply.status, 200, "{case}: {}", reply.text());
            }
            if target.ends_with("strict=0") {
                let expected = json!({"code": 200, "num_records_imported": 2, "status": "OK"});
                assert_eq!(reply.json(), expected, "{case}");
            }
            expected_good += 2;
            let stored = server.count("total", json!({"event": "Good", "filters": [is("case", &case)]}));
            assert_eq!(stored, 2, "{case}: neighbours");
        }
    }
    assert_eq!(server.total("Good"), expected_good);
    // What is refused on import only may have been taken live.
    let taken_live = BAD.iter().filter(|bad| !bad.doors.refuse("/track")).count();
    assert!(server.total("Bad") <= taken_live as u64, "{}", server.total("Bad"));

    // The project knows of every refusal in requests that carried its credentials, by reason; a live record
    // that cannot be read names no project, and is counted for the whole server.
    let outcomes = server.balanced_outcomes();
    for bad in BAD.iter().filter(|bad| bad.doors.refuse("/import")) {
        let same = |other: &&Bad| other.reason == bad.reason && other.doors.refuse("/import");
        let tries = 2 * BAD.iter().filter(same).count() as u64;
        let list = outcomes["rejected"].as_array().expect("a list");
        let counted = list.iter().find(|entry| entry["reason"] == bad.reason).map(|entry| entry["count"].as_u64());
        assert!(counted.flatten() >= Some(tries), "{}: {tries} tries, {outcomes}", bad.name);
    }
    let metrics = server.request("GET", "/metrics").send().text();
    let sum = |name: &str| -> f64 {
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.rsplit(' ').next().expect("a value").parse::<f64>().expect("a number")).sum()
    };
    assert!(sum("cofferdam_events_outcome_total") > 0.0, "{metrics}");
    assert_eq!(sum("cofferdam_events_received_total"), sum("cofferdam_events_outcome_total"), "{metrics}");
}

fn assert_partly_refused(bad: &Bad, answer: &Value, status: u16) {
    let failed = &answer["failed_records"];
    let one = failed.as_array().is_some_and(|list| list.len() == 1);
    assert!(one, "{}: {answer}", bad.name);
    let message = failed[0]["message"].as_str().unwrap_or_default();
    assert!(!message.is_empty(), "{}: {answer}", bad.name);
    let mut expected = json!({
        "code": 400, "error": "some data points in the request failed validation",
        "status": "Bad Request", "num_records_imported": 2,
        "failed_records": [{"index": 1, "field": bad.field, "message": message}],
    });
    // Only a record that could be read far enough has an insert id to repeat.
    let named = &failed[0]["insert_id"];
    assert!(named.is_string() || named.is_null(), "{}: {answer}", bad.name);
    if !named.is_null() {
        expected["failed_records"][0]["insert_id"] = named.clone();
    }
    let mut answer = answer.clone();
    if named.is_null() {
        answer["failed_records"][0].as_object_mut().expect("an object").remove("insert_id");
    }
    assert_eq!((status, answer), (400, expected), "{}", bad.name);
}

#[test]
fn a_broken_line_is_one_record_and_no_more() {
    let server = Server::start();
    let good = || server.event("Lined", now_ms(), "p", json!({})).to_string();
    let lines = [
        good(),
        "{\"event\":\"Bad\",\"properties\":{\"cut\":".to_owned(),
        good(),
        "{\"event\":\"Bad, without its quote".to_owned(),
        good(),
        "}}]]".to_owned(),
        good(),
    ];
    let reply = server
        .request("POST", "/import?strict=1")
        .basic(&server.project.token, "")
        .body("application/x-ndjson", lines.join("\n"))
        .send();
    let answer = reply.json();
    assert_eq!((reply.status, &answer["num_records_imported"]), (400, &json!(4)), "{answer}");
    let indices: Vec<&Value> =
        answer["failed_records"].as_array().expect("a list").iter().map(|record| &record["index"]).collect();
    assert_eq!(indices, [1, 3, 5]);
    assert_eq!(server.total("Lined"), 4);
    server.balanced_outcomes();
}

#[test]
fn a_failed_record_is_named_by_its_insert_id() {
    let server = Server::start();
    let mut bad = server.event("Named", now_ms(), "p", json!({}));
    bad["properties"]["time"] = json!(-1);
    bad["properties"]["$insert_id"] = "find-me".into();
    let reply = server.request("POST", "/import?strict=1").basic(&server.project.token, "").json(&json!([bad])).send();
    let answer = reply.json();
    assert_eq!(answer["failed_records"][0]["insert_id"], "find-me", "{answer}");
    assert_eq!(answer["num_records_imported"], 0);
}

#[test]
fn placeholder_ids_are_refused_on_import() {
    let server = Server::start();
    let time = now_ms() - 10 * 86_400_000;
    let mut batch: Vec<Value> = PLACEHOLDERS.iter().map(|id| server.event("Placed", time, id, json!({}))).collect();
    for id in ["", "annon", "00", "-10", "nobody", "true-blue"] {
        batch.push(server.event("Placed", time, id, json!({})));
    }
    let reply =
        server.request("POST", "/import?strict=1").basic(&server.project.token, "").json(&Value::from(batch)).send();
    let answer = reply.json();
    assert_eq!((reply.status, &answer["num_records_imported"]), (400, &json!(6)), "{answer}");
    let failed = answer["failed_records"].as_array().expect("a list");
    let indices: Vec<u64> = failed.iter().map(|record| record["index"].as_u64().expect("an index")).collect();
    assert_eq!(indices, (0..PLACEHOLDERS.len() as u64).collect::<Vec<_>>());
    assert!(failed.iter().all(|record| record["field"] == "properties.distinct_id"), "{answer}");
    assert_eq!(server.total("Placed"), 6);
    server.balanced_outcomes();
}

/// Records that are strange but for which either verdict is fine: only the neighbours and the counts matter.
#[test]
fn odd_records_leave_their_neighbours_alone() {
    let server = Server::start();
    let values = || Values { token: server.project.token.clone(), time_ms: now_ms(), insert_id: insert_id() };
    let odd: Vec<(&str, Vec<u8>)> = vec![
        ("a lone surrogate", values().raw(b"\"\\ud800\"")),
        ("a number of 400 digits", values().raw("9".repeat(400).as_bytes())),
        ("a zero byte in a string", values().raw(b"\"a\\u0000b\"")),
        ("the same key twice", values().raw(b"1,\"x\":2")),
        ("an empty property name", values().raw(b"1,\"\":2")),
        ("a property name of 5,000 bytes", values().raw(format!("1,\"{}\":2", "k".repeat(5_000)).as_bytes())),
        ("a name that means something elsewhere", values().raw(b"1,\"__proto__\":{\"x\":1}")),
        ("SQL in a name", values().raw(b"1,\"x'); DROP TABLE events; --\":2")),
        ("braces in a string", values().raw(b"\"}]}{[\\\"\"")),
        ("control characters", values().raw(b"\"\\u001b[31m\\r\\n\"")),
        ("a path in a name", values().raw(b"1,\"../../etc/passwd\":\"../../etc/passwd\"")),
        ("no properties", b"{\"event\":\"Odd\"}".to_vec()),
        ("properties that are a list", b"{\"event\":\"Odd\",\"properties\":[]}".to_vec()),
        ("an empty object", b"{}".to_vec()),
        ("unknown keys beside", values().record(|record| record["extra"] = json!({"a": [1]}))),
        ("a distinct id that is an object", values().with("distinct_id", json!({"a": 1}))),
        ("a distinct id that is a number", values().with("distinct_id", json!(12345))),
        ("a token that is a number", values().with("token", json!(5))),
    ];
    for (name, record) in odd {
        let good = || server.event("Neighbour", now_ms(), "g", json!({"case": name})).to_string().into_bytes();
        let body = [&b"["[..], &[good(), record, good()].join(&b","[..]), b"]"].concat();
        for target in ["/track", "/import?strict=1"] {
            let request = server.request("POST", target).body("application/json", body.clone());
            let reply = match target {
                "/track" => request.send(),
                _ => request.basic(&server.project.token, "").send(),
            };
            assert!(matches!(reply.status, 200 | 400), "{name}: {} {}", reply.status, reply.text());
        }
        // The second request held the same two good records again: they count once.
        let stored = server.count("total", json!({"event": "Neighbour", "filters": [is("case", name)]}));
        assert_eq!(stored, 2, "{name}");
        assert_eq!(server.request("GET", "/healthz").send().status, 200, "{name}");
    }
    server.balanced_outcomes();
    // What was stored can also be listed.
    server.events(json!({}));
}

#[test]
fn a_body_that_is_not_json_is_refused_whole() {
    let server = Server::start();
    let bodies: &[(&str, &[u8])] = &[
        ("empty", b""),
        ("blank", b"   "),
        ("words", b"hello"),
        ("cut", b"[{\"event\":\"Cut\",\"properties\":{"),
        ("a trailing comma", b"{\"event\":\"Cut\",}"),
        ("bytes", b"\xff\xfe\x00\x01"),
        ("a number", b"5"),
        ("null", b"null"),
    ];
    for (name, body) in bodies {
        for path in ["/track", "/engage", "/groups"] {
            let reply = server.request("POST", path).body("application/json", *body).send();
            assert_eq!((reply.status, reply.text().as_str()), (200, "0"), "{path}, {name}");
            let reply = server.request("POST", &format!("{path}/?verbose=1")).body("application/json", *body).send();
            let answer = reply.json();
            assert_eq!((reply.status, &answer["status"]), (200, &json!(0)), "{path}, {name}: {answer}");
            assert!(answer["error"].as_str().is_some_and(|text| !text.is_empty()), "{path}, {name}: {answer}");
        }
        if body.trim_ascii().is_empty() {
            continue; // Nothing to import is nothing wrong.
        }
        let reply = server
            .request("POST", "/import?strict=1")
            .basic(&server.project.token, "")
            .body("application/json", *body)
            .send();
        let answer = reply.json();
        assert_eq!(
            (reply.status, &answer["code"], &answer["status"]),
            (400, &json!(400), &json!("Bad Request")),
            "/import, {name}: {answer}"
        );
    }
    for data in ["", "!!!", "AAAA", "%"] {
        let reply = server.request("GET", &format!("/track?data={data}")).send();
        assert_eq!((reply.status, reply.text().as_str()), (200, "0"), "data={data}");
    }
    assert_eq!(server.status()["events"], 0);
    server.balanced_outcomes();
}

#[test]
fn a_body_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let server = Server::start();
    let limit = 10 * 1024 * 1024;
    let padded = |name: &str, length: usize| {
        let mut body = json!([server.event(name, now_ms(), "p", json!({}))]).to_string().into_bytes();
        body.resize(length, b' ');
        body
    };
    let post = |target: &str, body: Vec<u8>| {
        server.request("POST", target).basic(&server.project.token, "").body("application/json", body)
    };
    let too_large = json!({
        "code": 413, "error": format!("request exceeds max limit of {limit} bytes"),
        "status": "Request Entity Too Large",
    });
    for (name, request) in [
        ("plain", post("/import?strict=1", padded("Over", limit + 1))),
        // Some 12 KB that inflate to 12 MB, and some 100 KB that would inflate to 100 MB.
        ("inflating", post("/import?strict=1", padded("Over", 12 * 1024 * 1024)).gzip()),
        ("a bomb", post("/import?strict=1", padded("Over", 100 * 1024 * 1024)).gzip()),
    ] {
        let reply = request.send();
        assert_eq!((reply.status, reply.json()), (413, too_large.clone()), "{name}");
    }
    for (name, request) in [
        ("plain", post("/track?verbose=1", padded("Over", limit + 1))),
        ("inflating", post("/track?verbose=1", padded("Over", limit + 1)).gzip()),
        ("engage", post("/engage", padded("Over", limit + 1))),
        (
            "a form",
            server
                .request("POST", "/track")
                .body("application/x-www-form-urlencoded", format!("data={}", "A".repeat(limit))),
        ),
    ] {
        let reply = request.send();
        let answer = reply.json();
        assert_eq!((reply.status, &answer["status"]), (413, &json!("error")), "{name}: {answer}");
    }
    let reply = post("/import?strict=1", padded("At the limit", limit)).send();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let reply = post("/import?strict=1", padded("At the limit", limit)).gzip().send();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!((server.total("Over"), server.total("At the limit")), (0, 2));
    server.balanced_outcomes();
}

#[test]
fn a_damaged_compressed_body_is_the_senders_fault() {
    let server = Server::start();
    let event = json!([server.event("Packed", now_ms(), "p", json!({}))]).to_string();
    let packed = crate::search::gzip(event.as_bytes());
    let mut flipped = packed.clone();
    *flipped.last_mut().expect("bytes") ^= 0xff;
    for (name, encoding, body) in [
        ("cut", "gzip", packed[..packed.len() / 2].to_vec()),
        ("a wrong length at the end", "gzip", flipped),
        ("not gzip at all", "gzip", event.clone().into_bytes()),
        ("an encoding nobody knows", "rot13", event.bytes().map(|byte| byte ^ 0x15).collect()),
    ] {
        for target in ["/track?verbose=1", "/import?strict=1"] {
            let reply = server
                .request("POST", target)
                .basic(&server.project.token, "")
                .header("content-encoding", encoding)
                .body("application/json", body.clone())
                .send();
            let refused = (400..500).contains(&reply.status) || (reply.status == 200 && reply.json()["status"] == 0);
            assert!(refused, "{name} on {target}: {} {}", reply.status, reply.text());
        }
    }
    assert_eq!(server.total("Packed"), 0);
}

#[test]
fn a_request_of_more_than_two_thousand_records_is_refused() {
    let server = Server::start();
    let time = now_ms();
    let batch =
        |count: usize, name: &str| -> Value { (0..count).map(|_| server.event(name, time, "p", json!({}))).collect() };
    let post =
        |target: &str, body: &Value| server.request("POST", target).basic(&server.project.token, "").json(body).send();
    let reply = post("/import?strict=1", &batch(2_001, "Many"));
    let answer = reply.json();
    assert!(matches!(reply.status, 400 | 413), "{answer}");
    assert_eq!(answer["code"], reply.status, "{answer}");
    let reply = post("/track?verbose=1", &batch(2_001, "Many"));
    assert!((400..500).contains(&reply.status) || reply.json()["status"] == 0, "{} {}", reply.status, reply.text());
    assert_eq!(server.total("Many"), 0);
    let reply = post("/import?strict=1", &batch(2_000, "Enough"));
    assert_eq!(reply.json()["num_records_imported"], 2_000);
    assert_eq!(server.total("Enough"), 2_000);
    server.balanced_outcomes();
}

#[test]
fn what_is_at_a_limit_is_stored_and_long_strings_are_cut() {
    let server = Server::start();
    let long = "ñ".repeat(300);
    let many: serde_json::Map<String, Value> = (0..240).map(|n| (format!("p{n:03}"), n.into())).collect();
    server.import(&[
        server.event("Cut", now_ms(), "p", json!({"long": long, "list": [long, "short"], "exact": "z".repeat(255)})),
        server.event("Full", now_ms(), "p", Value::Object(many)),
        server.event("Listed", now_ms(), "p", json!({"list": (0..254).map(|n| format!("i{n}")).collect::<Vec<_>>()})),
        server.event("Deep", now_ms(), "p", json!({"x": {"a": {"b": {"c": 1}}}})),
    ]);
    let (_, cut) = server.events(json!({"event": "Cut"})).remove(0);
    assert_eq!(cut["long"], "ñ".repeat(255));
    assert_eq!(cut["exact"], "z".repeat(255));
    assert_eq!(cut["list"], json!(["ñ".repeat(255), "short"]));
    let (_, full) = server.events(json!({"event": "Full"})).remove(0);
    assert_eq!((full["p000"].clone(), full["p239"].clone()), (json!(0.0), json!(239.0)));
    let (_, listed) = server.events(json!({"event": "Listed"})).remove(0);
    assert_eq!(listed["list"].as_array().map(Vec::len), Some(254));
    let (_, deep) = server.events(json!({"event": "Deep"})).remove(0);
    assert_eq!(deep["x"], json!({"a": {"b": {"c": 1.0}}}));
}

#[test]
fn a_bad_question_is_refused_with_a_reason() {
    let server = Server::start();
    let range = json!({"kind": "between", "from": "2026-01-01", "to": "2026-01-31"});
    let metric = json!({"matching": {}, "measure": "total"});
    let insights = |range: Value, unit: &str, metrics: Value| json!({"kind": "insights", "range": range, "unit": unit, "metrics": metrics});
    let window = json!({"count": 1, "unit": "hour"});
    let questions: Vec<(&str, Value)> = vec![
        ("nothing", json!({})),
        ("an unknown kind", json!({"kind": "sorcery"})),
        ("an unknown field", json!({"kind": "events", "range": range, "limit": 5, "matching": {"evnt": "x"}})),
        ("no metric", insights(range.clone(), "day", json!([]))),
        ("too many metrics", insights(range.clone(), "day", (0..41).map(|_| metric.clone()).collect())),
        (
            "a range that ends before it begins",
            insights(json!({"kind": "between", "from": "2026-02-01", "to": "2026-01-01"}), "day", json!([metric])),
        ),
        (
            "too many minutes",
            insights(json!({"kind": "between", "from": "2020-01-01", "to": "2026-01-01"}), "minute", json!([metric])),
        ),
        (
            "a century",
            insights(json!({"kind": "between", "from": "1990-01-01", "to": "2089-01-01"}), "month", json!([metric])),
        ),
        (
            "a day that does not exist",
            insights(json!({"kind": "between", "from": "2026-02-30", "to": "2026-03-01"}), "day", json!([metric])),
        ),
        ("a funnel of one step", json!({"kind": "funnel", "range": range, "steps": [{}], "window": window})),
        (
            "a funnel without a window",
            json!({"kind": "funnel", "range": range, "steps": [{}, {}], "window": {"count": 0, "unit": "day"}}),
        ),
        (
            "a window beyond a year",
            json!({"kind": "funnel", "range": range, "steps": [{}, {}], "window": {"count": 13, "unit": "month"}}),
        ),
        (
            "retention by the hour",
            json!({"kind": "retention", "range": range, "born": {}, "returned": {},
            "unit": "hour", "intervals": 5, "mode": "on", "alignment": "calendar"}),
        ),
        (
            "no intervals",
            json!({"kind": "retention", "range": range, "born": {}, "returned": {},
            "unit": "day", "intervals": 0, "mode": "on", "alignment": "calendar"}),
        ),
        ("no rows", json!({"kind": "events", "range": range, "limit": 0})),
        ("too many rows", json!({"kind": "persons", "range": range, "limit": 501})),
        (
            "somebody who is not a pseudonym",
            json!({"kind": "events", "range": range, "limit": 5, "person": "ana@coffer.example"}),
        ),
        ("a breakdown of nothing", {
            let mut query = insights(range.clone(), "day", json!([metric]));
            query["breakdown"] = json!({"by": [{"property": "x"}], "limit": 0});
            query
        }),
        (
            "too many filters",
            json!({"kind": "events", "range": range, "limit": 5, "matching": {"filters":
            (0..21).map(|_| is("x", "y")).collect::<Vec<_>>()}}),
        ),
    ];
    let target = format!("/api/v1/projects/{}/query", server.project.id);
    for (name, question) in questions {
        let reply = server.api("POST", &target).json(&question).send();
        assert!(matches!(reply.status, 400 | 404 | 422), "{name}: {} {}", reply.status, reply.text());
        assert!(!reply.text().is_empty(), "{name}: no reason");
    }
    let elsewhere =
        server.api("POST", "/api/v1/projects/4000000/query").json(&insights(range, "day", json!([metric]))).send();
    assert_eq!(elsewhere.status, 404, "{}", elsewhere.text());
}

#[test]
fn no_bytes_bring_the_server_down() {
    let server = Server::start();
    let cases = setting("COFFERDAM_FUZZ_CASES").and_then(|text| text.parse().ok()).unwrap_or(150);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let seed =
        json!([server.event("Fuzzed", now_ms(), "p", json!({"a": [1, {"b": "ñ"}], "u": "https://x.example/?q=1"}))]);
    let seed = seed.to_string().into_bytes();
    let mutated = (
        prop::sample::select(vec!["/track", "/import?strict=1", "/import?strict=0", "/engage", "/groups"]),
        prop::sample::select(vec![
            "application/json",
            "application/x-ndjson",
            "application/x-www-form-urlencoded",
            "text/plain",
            "x/y",
        ]),
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 0..12),
        any::<bool>(),
    );
    let outcome = TestRunner::new(config).run(&mutated, |(target, kind, changes, packed)| {
        let mut body = seed.clone();
        for (place, byte, change) in changes {
            let place = place.index(body.len());
            match change {
                0 => body[place] = byte,
                1 => body.insert(place, byte),
                _ => drop(body.remove(place)),
            }
        }
        let request = server.request("POST", target).basic(&server.project.token, "").body(kind, body);
        let reply = if packed { request.gzip().send() } else { request.send() };
        prop_assert!(reply.status < 500, "{} {}", reply.status, reply.text());
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(server.request("GET", "/healthz").send().status, 200);
    server.balanced_outcomes();
    server.events(json!({}));
}
