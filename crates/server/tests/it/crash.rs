//! Acknowledged means durable: clients write, the server is killed with `kill -9` at a random moment, and
//! after the restart every acknowledged event is counted, every batch in flight is there wholly or not at
//! all, sending it again counts it once, and acknowledged profile updates are there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::Request;
use crate::server::{Options, Server, event_of, is, now_ms, setting};

const CLIENTS: usize = 3;
const ROUNDS: u64 = 50;
/// A client ends its round here: what one question can list by batch is 200 values.
const BATCHES_MAX: usize = 60;

/// A batch as sent, to be sent again unchanged.
struct Batch {
    id: String,
    events: Vec<Value>,
    acknowledged: bool,
}

struct Client {
    batches: Vec<Batch>,
    /// Highest profile version that was acknowledged, and highest that was sent.
    profile: (u64, u64),
}

#[test]
fn what_was_acknowledged_survives_kill_nine() {
    let rounds = setting("COFFERDAM_CRASH_ROUNDS").and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let seed = setting("COFFERDAM_SEED").and_then(|text| text.parse().ok()).unwrap_or_else(|| now_ms() as u64);
    eprintln!("COFFERDAM_SEED={seed}");
    let mut random = Random(seed | 1);
    let mut server = Server::with(Options::FLUSHING);
    let mut expected_total = 0;
    let mut unacknowledged = 0;
    for round in 0..rounds {
        let clients = write_until_killed(&mut server, round, &mut random);
        server.start_again();

        let stored = server.by(&round_event(round), "batch");
        let mut again = Vec::new();
        for batch in clients.iter().flat_map(|client| &client.batches) {
            let found = stored.get(&batch.id).copied().unwrap_or(0);
            let whole = batch.events.len() as u64;
            if batch.acknowledged {
                assert_eq!(found, whole, "seed {seed}, round {round}: lost part of acknowledged {}", batch.id);
            } else {
                assert!(found == 0 || found == whole, "seed {seed}, round {round}: {found} of {whole} of {}", batch.id);
                again.push(batch);
            }
        }
        // The client does what clients do: it sends what was not acknowledged once more.
        for batch in &again {
            server.import(&batch.events);
        }
        unacknowledged += again.len();
        let sent: u64 = clients.iter().flat_map(|client| &client.batches).map(|batch| batch.events.len() as u64).sum();
        assert_eq!(server.total(&round_event(round)), sent, "seed {seed}, round {round}: a retry counted twice");
        expected_total += sent;

        for (number, client) in clients.iter().enumerate() {
            let (acknowledged, highest) = client.profile;
            if acknowledged == 0 {
                continue;
            }
            let person = person(round, number);
            let (properties, _) = server.person(json!({"filters": [is("person", &person)]}));
            let found = properties.get("version").and_then(Value::as_f64).unwrap_or(0.0);
            assert!(
                (acknowledged as f64..=highest as f64).contains(&found),
                "seed {seed}, round {round}: {person} is at {found}, acknowledged {acknowledged}, sent {highest}"
            );
        }
    }
    assert_eq!(server.count("total", json!({})), expected_total, "seed {seed}: all rounds together");
    let last = round_event(0);
    eprintln!(
        "{rounds} rounds, {expected_total} events, {unacknowledged} batches in flight at a kill, {} events in the first",
        server.total(&last)
    );
    assert!(expected_total > 0);
}

#[test]
fn many_clients_at_once_are_all_served() {
    const REQUESTS: usize = 25;
    let server = Server::with(Options::FLUSHING);
    let (server, clients) = (&server, 8);
    std::thread::scope(|scope| {
        for client in 0..clients {
            scope.spawn(move || {
                for request in 0..REQUESTS {
                    // New persons, new names, links and profiles: everything that has to be written in order.
                    let id = format!("{client}-{request}");
                    let ids = json!({"$device_id": format!("d{id}"), "$user_id": format!("u{}", request % 5),
                        "email": format!("p{id}@coffer.example"), format!("property {id}"): client});
                    let events: Vec<Value> =
                        (0..20).map(|_| server.event("Crowd", now_ms(), &format!("u{id}"), ids.clone())).collect();
                    server.import(&events);
                    let update = json!({"$token": server.project.token, "$distinct_id": "u0", "$add": {"n": 1}});
                    let reply = server.post_json("/engage", &update);
                    assert_eq!((reply.status, reply.text().as_str()), (200, "1"));
                    server.status();
                }
            });
        }
    });
    assert_eq!(server.total("Crowd"), (clients * REQUESTS * 20) as u64);
    assert_eq!(server.count("unique", json!({"event": "Crowd"})), 5);
    let (properties, _) = server.person(json!({"event": "Crowd", "filters": [is("property 0-0", "0")]}));
    assert_eq!(properties.get("n"), Some(&json!((clients * REQUESTS) as f64)), "every addition counts once");
    server.balanced_outcomes();
}

fn write_until_killed(server: &mut Server, round: u64, random: &mut Random) -> Vec<Client> {
    let project = server.project.clone();
    let port = server.port();
    let stop = AtomicBool::new(false);
    let kill_after = Duration::from_millis(20 + random.below(230));
    let seeds: Vec<u64> = (0..CLIENTS).map(|_| random.next()).collect();
    std::thread::scope(|scope| {
        let stop = &stop;
        let project = &project;
        let threads: Vec<_> = seeds
            .into_iter()
            .enumerate()
            .map(|(number, seed)| {
                scope.spawn(move || {
                    let mut random = Random(seed | 1);
                    let mut client = Client { batches: Vec::new(), profile: (0, 0) };
                    while !stop.load(Ordering::Relaxed) && client.batches.len() < BATCHES_MAX {
                        let number_of_batch = client.batches.len();
                        let id = format!("r{round}-c{number}-b{number_of_batch}");
                        let size = 1 + random.below(80);
                        let person = person(round, number);
                        let events: Vec<Value> = (0..size)
                            .map(|_| {
                                let more = json!({"batch": id, "person": person});
                                // Spread over days, so that one batch falls into several segments.
                                let time = now_ms() - random.below(20 * 86_400) as i64 * 1_000;
                                event_of(project, &round_event(round), time, &person, more)
                            })
                            .collect();
                        let reply = Request::new(port, "POST", "/import?strict=1")
                            .basic(&project.token, "")
                            .json(&Value::from(events.clone()))
                            .try_send();
                        let acknowledged = match reply {
                            Ok(reply) => {
                                assert_eq!(reply.status, 200, "{}", reply.text());
                                true
                            }
                            Err(_) => false,
                        };
                        client.batches.push(Batch { id, events, acknowledged });
                        if !acknowledged {
                            break;
                        }
                        client.profile.1 += 1;
                        let update = json!([{"$token": project.token, "$distinct_id": person,
                            "$set": {"version": client.profile.1}}]);
                        match Request::new(port, "POST", "/engage").json(&update).try_send() {
                            Ok(reply) => {
                                assert_eq!(reply.text(), "1");
                                client.profile.0 = client.profile.1;
                            }
                            Err(_) => break,
                        }
                    }
                    client
                })
            })
            .collect();
        std::thread::sleep(kill_after);
        server.kill();
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().expect("a client that ends")).collect()
    })
}

fn round_event(round: u64) -> String {
    format!("Round {round}")
}

fn person(round: u64, client: usize) -> String {
    format!("crash-{round}-{client}")
}

/// xorshift64*: small, seeded, good enough to choose moments.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }
}
