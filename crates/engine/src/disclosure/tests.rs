//! Disclosure through the engine's door, with a clock that the test sets.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use cofferdam_ledger::export::ExportProof;
use cofferdam_ledger::note::VerifierKey;
use cofferdam_ledger::{Kind, Recorded, RoaringBitmap};
use cofferdam_model::policy::{Role, Roles};
use cofferdam_model::{OrgId, PersonalField, ProjectId, SubjectNo};
use cofferdam_vault::wire::{Door, IdentityMode, ProfileKind, Strictness};
use serde_json::{Value, json};

use super::*;
use crate::member::{Factor, Visitor};
use crate::meta::NewMember;
use crate::{LockTarget, Options, Site};

#[path = "../../../../tests/bad_disk.rs"]
mod bad_disk;
mod bound;

const START_US: i64 = 1_800_000_000_000_000;
const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// An installation, and the hands of its clock.
struct World {
    engine: Arc<Engine>,
    project: Arc<Project>,
    clock: Arc<AtomicI64>,
    /// The first member, who is privacy officer among others.
    officer: Caller,
}

async fn open(folder: &Path, clock: &Arc<AtomicI64>) -> Arc<Engine> {
    Arc::new(open_engine(folder, clock).await)
}

async fn open_engine(folder: &Path, clock: &Arc<AtomicI64>) -> Engine {
    let clock = clock.clone();
    let options = Options {
        site: Site::in_folder(folder),
        root: None,
        flush_events: 1_000_000,
        setup_code: "not used here".to_owned(),
        geoip: None,
        clock: Arc::new(move || clock.load(Ordering::Relaxed)),
        witnesses: Vec::new(),
        access: crate::Access::default(),
    };
    Engine::open(options).await.unwrap_or_else(|error| panic!("{error}"))
}

fn sealed_member(engine: &Engine, email: &str) -> impl Fn(u32) -> (Vec<u8>, Vec<u8>) + Sync + use<> {
    let personal = json!({"name": email, "email": email}).to_string();
    let vault = engine.vault.clone();
    move |id| (vault.seal_secret("member", id, personal.as_bytes()), Vec::new())
}

async fn signed_in(engine: &Engine, member: u32) -> Caller {
    let row = engine.meta.member(member).await.unwrap().expect("a member");
    engine
        .open_session(row, Factor::Passkey, &Visitor::default())
        .await
        .unwrap_or_else(|error| panic!("{error}"))
        .caller
}

impl World {
    /// So many persons, each with a few events, an address and a bank account.
    async fn new(folder: &Path, persons: u32) -> World {
        let clock = Arc::new(AtomicI64::new(START_US));
        let engine = open(folder, &clock).await;
        let first = NewMember {
            email_print: b"first",
            seal: &sealed_member(&engine, "olga@coffer.example"),
            password_hash: "",
            totp_step: 0,
            roles: Roles::FIRST_MEMBER,
            now_us: START_US,
        };
        assert!(engine.meta.insert_first("Org", &first).await.unwrap());
        let made = engine.new_project(OrgId(1), 1, "Shop", "UTC", IdentityMode::Simplified, false).await.unwrap();
        let project = engine.project(made.id).unwrap();
        let time = START_US / 1_000_000 - 3_600;
        let ids: Vec<u32> = (0..persons).collect();
        for some in ids.chunks(600) {
            let events: Vec<Value> = some
                .iter()
                .flat_map(|id| (0..3).map(move |at| (id, at)))
                .map(|(id, at)| {
                    json!({"event": "Visit", "properties": {"time": time + at, "$insert_id": format!("{id}-{at}"),
                        "distinct_id": format!("u{id}"), "page": "=SUM(A1)", "n": at}})
                })
                .collect();
            let body = Value::from(events).to_string();
            let door = Door::Import(Strictness::Strict);
            let report = engine.ingest(body.as_bytes(), door, Some(project.clone()), None).await.unwrap();
            assert_eq!(report.stored, some.len() * 3);
            let profiles: Vec<Value> = some
                .iter()
                .map(|id| {
                    json!({"$distinct_id": format!("u{id}"), "$set": {"$email": format!("u{id}@b.example"),
                        "$name": "N".repeat(200), "bank": "ES9121000418450200051332", "plan": "gold"}})
                })
                .collect();
            let body = Value::from(profiles).to_string();
            engine.update_profiles(body.as_bytes(), ProfileKind::Person, Some(project.clone())).await.unwrap();
        }
        let officer = signed_in(&engine, 1).await;
        World { engine, project, clock, officer }
    }

    async fn join(&self, email: &str, roles: &[Role]) -> Caller {
        let roles: Roles = roles.iter().copied().collect();
        let now_us = self.engine.now_us();
        let invitation = self
            .engine
            .meta
            .insert_invitation(OrgId(1), email.as_bytes(), roles, Some(1), (now_us, now_us + DAY_US))
            .await
            .unwrap();
        let new = NewMember {
            email_print: email.as_bytes(),
            seal: &sealed_member(&self.engine, email),
            password_hash: "",
            totp_step: 0,
            roles,
            now_us,
        };
        let id = self.engine.meta.join(invitation, OrgId(1), &new).await.unwrap().expect("a new member");
        signed_in(&self.engine, id).await
    }

    fn pass(&self, us: i64) {
        self.clock.fetch_add(us, Ordering::Relaxed);
    }

    /// What somebody shows whose authenticator has been known for long.
    fn shown(&self, caller: &Caller) -> SteppedUp {
        SteppedUp::of_test(caller, Factor::Passkey, START_US - 100 * DAY_US)
    }

    async fn name(&self, id: u32) -> String {
        let (persons, _) = self.engine.vault.known_persons(self.project.id, &[format!("u{id}")]).await.unwrap();
        let subject = persons.iter().next().expect("a person");
        self.engine.vault.pseudonyms(self.project.id, &[subject]).await.unwrap().remove(&subject).expect("a name")
    }

    async fn reveal(&self, caller: &Caller, id: u32) -> Result<Revealed> {
        let person = self.name(id).await;
        let shown = self.shown(caller);
        self.engine.reveal(caller, &self.project, &person, PersonalField::Email, Purpose::Support, shown).await
    }

    async fn ask(&self, caller: &Caller, request: Value) -> Result<Disclosure> {
        let request: DisclosureRequest = serde_json::from_value(request).unwrap();
        self.engine.request_disclosure(caller, &self.project, request, self.shown(caller)).await
    }

    async fn approve(&self, caller: &Caller, disclosure: &Disclosure) -> Result<Disclosure> {
        self.engine.approve_disclosure(caller, disclosure.id, &disclosure.hash, self.shown(caller)).await
    }

    async fn run(&self, caller: &Caller, disclosure: &Disclosure) -> Result<Pieces> {
        let run = self.engine.run_disclosure(caller, disclosure.id, &disclosure.hash, self.shown(caller)).await;
        run.map(|(pieces, _)| pieces)
    }

    fn entries(&self, kind: Kind) -> Vec<Recorded> {
        self.engine.ledger.settle().unwrap();
        let all = self.engine.ledger.entries(0, u64::MAX).unwrap();
        all.into_iter().filter(|one| one.entry.kind == kind).collect()
    }

    /// Every subject that an intent of a grant names.
    fn named(&self, grant: u32) -> RoaringBitmap {
        let intents = self.entries(Kind::Intent).into_iter().filter(|one| one.entry.grant == u64::from(grant));
        intents.map(|one| self.engine.ledger.subjects(one.seq).unwrap().expect("a set")).fold(
            RoaringBitmap::new(),
            |mut all, set| {
                all |= set;
                all
            },
        )
    }
}

fn code<T>(result: Result<T>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(Error::Refused { code, .. }) => code,
        Err(Error::NotFound(_)) => "not_found",
        Err(Error::Locked) => "locked",
        Err(Error::NotSignedIn) => "not_signed_in",
        Err(Error::OrganisationSealed) => "sealed",
        Err(_) => "another",
    }
}

fn events_asked(format: &str) -> Value {
    json!({"what": {"kind": "events", "range": {"kind": "last", "count": 3, "unit": "day"}, "matching": {"event": "Visit"}},
        "purpose": "analysis", "format": format})
}

fn persons_asked(fields: Value, identity: &age::x25519::Identity) -> Value {
    json!({"what": {"kind": "persons", "fields": fields}, "purpose": "migration", "format": "ndjson",
        "recipient": identity.to_public().to_string()})
}

/// Everything that leaves, and whether it is whole.
async fn all(mut pieces: Pieces) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    while let Some(piece) = pieces.recv().await {
        match piece {
            Ok(bytes) => out.extend_from_slice(&bytes),
            Err(_) => return (out, false),
        }
    }
    (out, true)
}

/// As far as it opens.
fn opened(sealed: &[u8], identity: &age::x25519::Identity) -> String {
    let mut out = Vec::new();
    if let Ok(decryptor) = age::Decryptor::new(sealed)
        && let Ok(mut reader) = decryptor.decrypt([identity as &dyn age::Identity].into_iter())
    {
        let mut some = [0; 4_096];
        while let Ok(read @ 1..) = reader.read(&mut some) {
            out.extend_from_slice(&some[..read]);
        }
    }
    String::from_utf8(out).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_value_is_shown_after_the_ledger_has_it_and_only_to_whom_the_policy_lets() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path(), 3).await;
    let shown = world.reveal(&world.officer, 1).await.unwrap_or_else(|error| panic!("{error}"));
    let values = serde_json::to_value(&shown).unwrap();
    assert_eq!(values["values"], json!([{"property": "$email", "value": "u1@b.example"}]));
    let (intent, done) = (world.entries(Kind::Intent).pop().unwrap(), world.entries(Kind::Done).pop().unwrap());
    assert_eq!((intent.seq, done.entry.refers_to, done.entry.count), (shown.entry, Some(shown.entry), 1));
    assert!(intent.entry.session.is_some() && intent.entry.actor.is_some() && intent.entry.grant > 0);
    assert_eq!(intent.entry.purpose, Purpose::Support as u64);

    let viewer = world.join("vera@coffer.example", &[Role::Viewer, Role::DataSteward]).await;
    assert_eq!(code(world.reveal(&viewer, 1).await), "not_allowed");
    let person = world.name(1).await;
    let show =
        |field, shown| world.engine.reveal(&world.officer, &world.project, &person, field, Purpose::Support, shown);
    assert_eq!(code(show(PersonalField::Other, world.shown(&world.officer)).await), "approval_needed");
    let weak = SteppedUp::of_test(&world.officer, Factor::Totp, 0);
    assert_eq!(code(show(PersonalField::Email, weak).await), "passkey_needed");
    assert_eq!(world.entries(Kind::Intent).len(), 1, "nothing else was opened");

    world.pass(2 * DAY_US);
    let new = SteppedUp::of_test(&world.officer, Factor::Passkey, world.engine.now_us() - HOUR_US);
    assert_eq!(code(show(PersonalField::Email, new).await), "held");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_persons_waits_for_another_person_leaves_encrypted_and_is_proved_offline() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path(), 1_500).await;
    let identity = age::x25519::Identity::generate();
    let steward = world.join("stefan@coffer.example", &[Role::DataSteward]).await;
    let asked =
        world.ask(&world.officer, persons_asked(json!(["email"]), &identity)).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((asked.state, asked.approvals_needed, asked.is_for_me), (DisclosureState::Waiting, 1, false));
    assert_eq!(code(world.run(&world.officer, &asked).await), "not_ready");
    assert_eq!(code(world.approve(&world.officer, &asked).await), "not_found", "whoever asked approves nothing");
    let other = Disclosure { hash: "00".to_owned(), ..asked.clone() };
    assert_eq!(code(world.approve(&steward, &other).await), "another_request");
    let inbox = world.engine.disclosures(&steward).await.unwrap();
    assert!(inbox.len() == 1 && inbox[0].is_for_me && inbox[0].request == asked.request);
    let ready = world.approve(&steward, &asked).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ready.state, DisclosureState::Ready);
    assert_eq!(code(world.approve(&steward, &asked).await), "approved_before");
    assert_eq!(code(world.run(&steward, &asked).await), "not_found", "only whoever asked runs it");
    // One approval is not two: a fifth of all persons is too many for a day.
    assert_eq!(code(world.run(&world.officer, &asked).await), "stopped_by_limit");
    assert_eq!(world.entries(Kind::BreakerTripped).len(), 1);
    assert_eq!(code(world.reveal(&world.officer, 1).await), "stopped_by_limit", "nobody opens anything now");

    let trip = world.engine.trips(&world.officer).await.unwrap().remove(0);
    assert_eq!(trip.rule, Rule::Share);
    let closing = |caller: &Caller| {
        let (engine, caller, shown) = (world.engine.clone(), caller.clone(), world.shown(caller));
        async move { engine.close_trip(&caller, trip.id, shown).await }
    };
    let one = world.join("rosa@coffer.example", &[Role::Responder]).await;
    let two = world.join("iris@coffer.example", &[Role::Responder]).await;
    assert_eq!(code(closing(&world.officer).await), "own_trip");
    assert!(!closing(&one).await.unwrap() && !closing(&one).await.unwrap(), "one is not two");
    assert!(closing(&two).await.unwrap());

    let second = world.join("sven@coffer.example", &[Role::DataSteward]).await;
    world.approve(&second, &asked).await.unwrap_or_else(|error| panic!("{error}"));
    let pieces = world.run(&world.officer, &asked).await.unwrap_or_else(|error| panic!("{error}"));
    let (sealed, is_whole) = all(pieces).await;
    assert!(is_whole && !sealed.windows(9).any(|window| window == b"b.example"));
    let text = opened(&sealed, &identity);
    assert_eq!(text.lines().count(), 1_500);
    let row: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&row["field"], &row["property"]), (&json!("email"), &json!("$email")));
    assert!(!text.contains("ES91"), "fields that were not asked for stay closed");

    let done = world.engine.disclosure(&world.officer, asked.id).await.unwrap();
    let hash = hex(digest(&SHA256, &sealed).as_ref());
    assert_eq!((done.state, done.progress.rows, done.sent_hash), (DisclosureState::Done, 1_500, Some(hash)));
    assert_eq!(world.named(asked.id).len(), 1_500);
    assert!(world.entries(Kind::Intent).iter().all(|one| one.entry.count <= 1_000), "chunks are bounded");
    let proof = world.engine.disclosure_proof(&world.officer, asked.id).await.unwrap();
    let key = VerifierKey::parse(&world.engine.ledger_key()).unwrap();
    let (sent, entries) = ExportProof::parse(&proof).and_then(|proof| proof.verify(&key)).unwrap();
    assert_eq!((sent.rows, sent.bytes, entries.len()), (1_500, sealed.len() as u64, 6));
    assert_eq!(code(world.run(&world.officer, &asked).await), "wrong_state", "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_approves_their_own_request_not_by_a_second_account_either() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path(), 3).await;
    let asker = world.join("pia@coffer.example", &[Role::PrivacyOfficer, Role::DataSteward]).await;
    let alias = world.join("Pia+approver@coffer.example", &[Role::DataSteward]).await;
    let asked = world.ask(&asker, events_asked("csv")).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(code(world.approve(&asker, &asked).await), "own_request");
    assert_eq!(code(world.approve(&alias, &asked).await), "own_request");
    assert_eq!(code(world.engine.deny_disclosure(&alias, asked.id).await), "own_request");
    assert!(asked.self_approved_at.is_some(), "neither account counts as another person");
    assert!(world.entries(Kind::GrantApproved).is_empty());
    let steward = world.join("stefan@coffer.example", &[Role::DataSteward]).await;
    let denied = world.engine.deny_disclosure(&steward, asked.id).await.unwrap();
    assert_eq!(denied.state, DisclosureState::Denied);
    assert_eq!(code(world.run(&asker, &asked).await), "wrong_state");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_else_could_approve_an_hour_passes_and_the_ledger_says_so() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path(), 40).await;
    let asked = world.ask(&world.officer, events_asked("csv")).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(world.entries(Kind::GrantSelfApproved).len(), 1);
    world.pass(HOUR_US - 1_000_000);
    assert_eq!(code(world.run(&world.officer, &asked).await), "not_ready");
    world.pass(1_000_000);
    let (text, is_whole) = all(world.run(&world.officer, &asked).await.unwrap_or_else(|error| panic!("{error}"))).await;
    let text = String::from_utf8(text).unwrap();
    assert!(is_whole && text.starts_with("person,time,event,properties.n,properties.page\n"), "{text}");
    assert_eq!(text.lines().count(), 1 + 120);
    assert!(text.contains(",\"'=SUM(A1)\"") && text.contains("per_") && !text.contains("u1\n"), "{text}");
    assert_eq!(world.named(asked.id).len(), 40);
    assert!(world.entries(Kind::Intent).iter().all(|one| one.entry.fields.contains(PersonalField::Events)));
    world.engine.disclosure_proof(&world.officer, asked.id).await.unwrap();

    // From its second day on an organisation holds the first export of a member.
    world.pass(DAY_US);
    let analyst = world.join("anna@coffer.example", &[Role::Analyst]).await;
    let asked = world.ask(&analyst, events_asked("ndjson")).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(asked.held_until.is_some());
    world.pass(2 * HOUR_US);
    assert_eq!(code(world.run(&analyst, &asked).await), "not_ready");
    world.pass(DAY_US);
    assert!(all(world.run(&analyst, &asked).await.unwrap_or_else(|error| panic!("{error}"))).await.1);

    let late = world.ask(&analyst, events_asked("csv")).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(late.held_until.is_none(), "it is not the first any more");
    world.pass(8 * DAY_US);
    assert_eq!(code(world.run(&analyst, &late).await), "wrong_state");
    assert_eq!(world.entries(Kind::GrantExpired).len(), 1);
}

/// Persons in what left of an export of persons, who must all be named. Rows are lines of JSON or CSV.
async fn who_left(engine: &Engine, project: ProjectId, text: &str, named: &RoaringBitmap) -> u64 {
    let mut rows = 0;
    let csv = text.starts_with("person,");
    // The last line may be a part of one.
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')).skip(usize::from(csv)) {
        let person = match csv {
            true => line.split(',').next().map(str::to_owned),
            false => serde_json::from_str::<Value>(line).unwrap()["person"].as_str().map(str::to_owned),
        };
        let subject = engine.vault.subject_of(project, &person.expect("a name")).await.unwrap().expect("a person");
        assert!(named.contains(subject.0), "a person left whom no intent names");
        rows += 1;
    }
    rows
}

/// The most that is named beyond what left, as rows of such a length leave encrypted.
fn most_beyond(row_bytes: usize) -> u64 {
    let chunk = limits::DISCLOSURE_CHUNK_SUBJECTS;
    chunk.max(64 * 1024 / row_bytes + chunk / 10) as u64
}

/// Runs an export of persons for a reader that takes one piece, then something happens, then it takes the rest.
async fn broken_off(
    world: &World,
    field: &str,
    format: &str,
    happens: impl AsyncFnOnce(&Disclosure, &Caller),
) -> Disclosure {
    let identity = age::x25519::Identity::generate();
    let mut request = persons_asked(json!([field]), &identity);
    request["format"] = json!(format);
    let asked = world.ask(&world.officer, request).await.unwrap_or_else(|e| panic!("{e}"));
    let mut stewards = Vec::new();
    for at in 0..2 {
        let email = format!("steward{}x{at}@coffer.example", asked.id);
        stewards.push(world.join(&email, &[Role::DataSteward]).await);
        world.approve(&stewards[at], &asked).await.unwrap_or_else(|error| panic!("{error}"));
    }
    let mut pieces = world.run(&world.officer, &asked).await.unwrap_or_else(|error| panic!("{error}"));
    // A copy: a piece that somebody holds is one that has not left.
    let first = match pieces.recv().await {
        Some(Ok(first)) => first.to_vec(),
        _ => panic!("no first piece"),
    };
    happens(&asked, &stewards[0]).await;
    let (rest, is_whole) = all(pieces).await;
    assert!(!is_whole, "it ended as if it were whole");
    if world.engine.is_sealed(&world.project) {
        world.engine.unseal_organisation(OrgId(1), None).await.unwrap();
    }
    let text = opened(&[&first[..], &rest].concat(), &identity);
    let named = world.named(asked.id);
    let rows = who_left(&world.engine, world.project.id, &text, &named).await;
    assert!(named.len() < u64::from(PERSONS), "{rows} rows of {} named", named.len());
    assert_eq!(named.len(), rows, "who is stopped got all of those who are named");
    let aborted = world.entries(Kind::Aborted).pop().expect("an entry about the end");
    let last = world.entries(Kind::Intent).pop().unwrap();
    assert_eq!((aborted.entry.grant, aborted.entry.refers_to), (u64::from(asked.id), Some(last.seq)));
    asked
}

/// More than waits for a reader that takes nothing.
const PERSONS: u32 = 5_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_within_a_chunk_when_it_is_locked_denied_or_sealed_or_its_session_is_over() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path(), PERSONS).await;
    // Of two chunks' worth of rows that are short, one block leaves.
    let asked = broken_off(&world, "email", "csv", async |asked, _| {
        world.engine.lock_by_rule(OrgId(1), &[LockTarget::Grant(u64::from(asked.id))]).await.unwrap();
    })
    .await;
    let view = world.engine.disclosure(&world.officer, asked.id).await.unwrap();
    assert_eq!(view.state, DisclosureState::Ready, "it may be run again");
    assert_eq!(code(world.run(&world.officer, &asked).await), "locked", "but not while it is locked");

    let asked = broken_off(&world, "name", "ndjson", async |asked, steward| {
        world.engine.deny_disclosure(steward, asked.id).await.unwrap();
    })
    .await;
    assert_eq!(world.engine.disclosure(&world.officer, asked.id).await.unwrap().state, DisclosureState::Denied);

    broken_off(&world, "name", "ndjson", async |_, _| {
        world.engine.seal_organisation(OrgId(1), None).await.unwrap();
    })
    .await;

    broken_off(&world, "name", "ndjson", async |_, _| {
        world.engine.meta.delete_session(world.officer.session.number).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_the_disk_of_the_ledger_fails_and_its_end_is_written_down_when_it_works_again() {
    let home = tempfile::tempdir().unwrap();
    let World { engine, project, clock, officer } = World::new(home.path(), PERSONS).await;
    drop((engine, project));
    let disk = bad_disk::BadDisk::default();
    let mut engine = open_engine(home.path(), &clock).await;
    // A ledger on a disk of its own.
    let ledger = tempfile::tempdir().unwrap();
    let seen = Arc::new(cofferdam_ledger::SeenFile(ledger.path().join("seen")));
    let options = cofferdam_ledger::Options::new(&ledger.path().join("ledger"), &[7; 32], Arc::new(|| 1), seen);
    let options = cofferdam_ledger::Options { disk: Arc::new(disk.clone()), ..options };
    engine.ledger = Arc::new(cofferdam_ledger::Log::open(options).unwrap());
    let project = engine.project(ProjectId(1)).unwrap();
    let world = World { engine: Arc::new(engine), project, clock, officer };

    let identity = age::x25519::Identity::generate();
    let asked = world.ask(&world.officer, persons_asked(json!(["name"]), &identity)).await;
    let asked = asked.unwrap_or_else(|error| panic!("{error}"));
    for at in 0..2 {
        let steward = world.join(&format!("steward{at}@coffer.example"), &[Role::DataSteward]).await;
        world.approve(&steward, &asked).await.unwrap_or_else(|error| panic!("{error}"));
    }
    let mut pieces = world.run(&world.officer, &asked).await.unwrap_or_else(|error| panic!("{error}"));
    let first = pieces.recv().await.unwrap().unwrap().to_vec();
    // The next chunk is asked for when all of this one was read.
    let (before, intent) = (world.named(asked.id), world.entries(Kind::Intent).pop().unwrap());
    disk.set(bad_disk::Mode::Fails);
    let (rest, is_whole) = all(pieces).await;
    assert!(!is_whole);
    assert_eq!(world.engine.disclosure(&world.officer, asked.id).await.unwrap().state, DisclosureState::Running);

    disk.set(bad_disk::Mode::Works);
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), async {
        while world.engine.disclosure(&world.officer, asked.id).await.unwrap().state == DisclosureState::Running {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    ended.await.expect("its end is written down");
    // What was named when the disk failed left to its end, and nobody else.
    let named = world.named(asked.id);
    let text = opened(&[&first[..], &rest].concat(), &identity);
    let rows = who_left(&world.engine, world.project.id, &text, &before).await;
    assert!(rows > 0 && rows == before.len() && named.len() < u64::from(PERSONS), "{rows} of {}", named.len());
    let aborted = world.entries(Kind::Aborted).pop().expect("an entry about the end");
    assert_eq!((aborted.entry.grant, aborted.entry.refers_to), (u64::from(asked.id), Some(intent.seq)));
    assert_eq!(aborted.entry.count, rows);
    assert_eq!(world.engine.disclosure(&world.officer, asked.id).await.unwrap().state, DisclosureState::Ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_left_running_is_ended_by_the_next() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path(), 4_000).await;
    let identity = age::x25519::Identity::generate();
    let asked =
        world.ask(&world.officer, persons_asked(json!(["email"]), &identity)).await.unwrap_or_else(|e| panic!("{e}"));
    let row = world.engine.disclosures.store.disclosure(OrgId(1), asked.id).await.unwrap().expect("a row");
    let by = world.engine.member_runs(&world.officer);
    world.engine.reserve(&by, &row, &RoaringBitmap::new(), true).await.unwrap_or_else(|e| panic!("{e}"));
    let context = Entry { grant: u64::from(asked.id), ..world.officer.entry(&world.engine, Kind::Intent) };
    let run = stream::Run::new(asked.id, &world.project, world.officer.who(), true, context);
    let fields = [PersonalField::Email].into_iter().collect();
    let ticket = world.engine.ledger.authorise(Engine::intent(&run, fields, bitmap([SubjectNo(1)]))).unwrap();
    let seq = ticket.seq();
    drop((ticket, run));
    let World { engine, clock, officer, .. } = world;
    drop(engine);

    let engine = open(home.path(), &clock).await;
    engine.ledger.settle().unwrap();
    let entries = engine.ledger.entries(seq, u64::MAX).unwrap();
    let ended: Vec<&Recorded> = entries.iter().filter(|one| one.entry.kind == Kind::Aborted).collect();
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].entry.refers_to, ended[0].entry.grant), (Some(seq), u64::from(asked.id)));
    let row = engine.disclosures.store.disclosure(OrgId(1), asked.id).await.unwrap().expect("a row");
    assert!(row.state == State::Open && row.end_entry == Some(ended[0].seq));
    assert!(engine.disclosures.store.abandoned().await.unwrap().is_empty());
    assert_eq!(officer.member.id, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_survive_a_restart_and_say_until_when_they_hold() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path(), 400).await;
    // In no order.
    let id = |at: u32| at * 171 % 400;
    for at in 0..30 {
        assert_eq!(code(world.reveal(&world.officer, id(at)).await), "ok", "reveal {at}");
    }
    let again = world.reveal(&world.officer, id(0)).await;
    assert_eq!(code(again), "ok", "the same person again");
    let World { engine, clock, .. } = world;
    drop(engine);
    let engine = open(home.path(), &clock).await;
    let officer = signed_in(&engine, 1).await;
    let project = engine.project(ProjectId(1)).unwrap();
    let world = World { engine, project, clock, officer };
    let refused = world.reveal(&world.officer, id(30)).await;
    let until = cofferdam_query::calendar::utc_text(START_US + HOUR_US);
    assert!(matches!(&refused, Err(Error::Refused { code: "limit_reached", message, .. }) if message.contains(&until)));
    world.pass(HOUR_US);
    assert_eq!(code(world.reveal(&world.officer, id(30)).await), "ok");
    assert_eq!(world.entries(Kind::DisclosureRefused).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_addresses_ends_and_a_miss_looks_like_what_is_elsewhere() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path(), 3).await;
    let made = world.engine.new_project(OrgId(1), 1, "Other", "UTC", IdentityMode::Simplified, false).await.unwrap();
    let other = world.engine.project(made.id).unwrap();
    let find = |caller: Caller, project: Arc<Project>, address: &'static str| {
        let engine = world.engine.clone();
        async move { engine.find_persons(&caller, &project, address).await }
    };
    let here = find(world.officer.clone(), world.project.clone(), "u1@b.example").await.unwrap();
    assert_eq!(here, [world.name(1).await]);
    for address in ["u1@b.example", "x@b.example", "u2@b.example", "y@b.example", "z@b.example"] {
        assert_eq!(find(world.officer.clone(), other.clone(), address).await.unwrap(), Vec::<String>::new());
    }
    let sixth = find(world.officer.clone(), other.clone(), "u0@b.example").await;
    assert_eq!(code(sixth), "stopped_by_limit");
    assert_eq!(code(find(world.officer.clone(), world.project.clone(), "u1@b.example").await), "stopped_by_limit");
    assert_eq!(code(world.reveal(&world.officer, 1).await), "stopped_by_limit");
    let alarms = world.engine.alarms(&world.officer).await.unwrap();
    assert_eq!(alarms.iter().map(|alarm| (alarm.rule, alarm.member)).collect::<Vec<_>>(), [(Some(Rule::Guessing), 1)]);
    let viewer = world.join("vera@coffer.example", &[Role::Viewer]).await;
    assert_eq!(code(find(viewer, world.project.clone(), "u1@b.example").await), "not_allowed");
    assert_eq!(world.entries(Kind::Sought).len(), 7, "each was written down");
}

/// Environment of the process that is killed: folder, disclosure, its hash, and where its bytes go.
const CHILD: &str = "COFFERDAM_TEST_EXPORT";

/// Runs an export into a socket: the process that is killed.
async fn export_until_killed(told: &str) {
    let told: Vec<&str> = told.split(' ').collect();
    let clock = Arc::new(AtomicI64::new(START_US));
    let engine = open(Path::new(told[0]), &clock).await;
    let officer = signed_in(&engine, 1).await;
    let shown = SteppedUp::of_test(&officer, Factor::Passkey, 0);
    let run = engine.run_disclosure(&officer, told[1].parse().unwrap(), told[2], shown).await;
    let (mut pieces, _) = run.unwrap_or_else(|error| panic!("{error}"));
    let mut socket = std::net::TcpStream::connect(told[3]).unwrap();
    while let Some(Ok(piece)) = pieces.recv().await {
        std::io::Write::write_all(&mut socket, &piece).unwrap();
        // A socket holds all of it: the kill is to come in between.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_left_before_a_kill_is_of_persons_whom_an_entry_names() {
    if let Ok(told) = std::env::var(CHILD) {
        return export_until_killed(&told).await;
    }
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = setting("COFFERDAM_CRASH_ROUNDS").unwrap_or(4);
    let seed = setting("COFFERDAM_SEED").unwrap_or_else(|| std::process::id().into());
    eprintln!("COFFERDAM_SEED={seed}");
    let mut random = seed | 1;
    let home = tempfile::tempdir().unwrap();
    let identity = age::x25519::Identity::generate();
    let world = World::new(home.path(), PERSONS).await;
    let mut stewards = Vec::new();
    for at in 0..2 {
        stewards.push(world.join(&format!("steward{at}@coffer.example"), &[Role::DataSteward]).await);
    }
    let export = async |world: &World| {
        let asked = world.ask(&world.officer, persons_asked(json!(["name"]), &identity)).await;
        let asked = asked.unwrap_or_else(|error| panic!("{error}"));
        for steward in &stewards {
            world.approve(steward, &asked).await.unwrap_or_else(|error| panic!("{error}"));
        }
        asked
    };
    let mut asked = export(&world).await;
    let World { engine, clock, officer, project } = world;
    let id = project.id;
    let mut from = engine.ledger.size();
    drop((engine, project));
    let (mut rows_all, mut named_all, mut beyond_most, mut whole) = (0, 0, 0, 0);
    for round in 0..rounds {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let told = format!("{} {} {} {}", home.path().display(), asked.id, asked.hash, listener.local_addr().unwrap());
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "disclosure::tests::whatever_left_before_a_kill_is_of_persons_whom_an_entry_names"])
            .env(CHILD, told)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let (mut socket, _) = listener.accept().unwrap();
        let (mut sealed, mut some) = (Vec::new(), vec![0; 16 * 1024]);
        let until = (random % 1_000_000) as usize;
        while sealed.len() < until {
            let read = socket.read(&mut some).unwrap_or(0);
            sealed.extend_from_slice(&some[..read]);
            if read == 0 {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What was on its way when it died has left as well.
        while let Ok(read @ 1..) = socket.read(&mut some) {
            sealed.extend_from_slice(&some[..read]);
        }

        let engine = open(home.path(), &clock).await;
        engine.ledger.settle().unwrap();
        let entries = engine.ledger.entries(from, u64::MAX).unwrap();
        let of_it =
            |kind| entries.iter().filter(move |one| one.entry.kind == kind && one.entry.grant == u64::from(asked.id));
        let mut named = RoaringBitmap::new();
        for intent in of_it(Kind::Intent) {
            named |= engine.ledger.subjects(intent.seq).unwrap().expect("a set");
        }
        let rows = who_left(&engine, id, &opened(&sealed, &identity), &named).await;
        let beyond = named.len() - rows;
        assert!(beyond <= most_beyond(250), "seed {seed}, round {round}: {beyond} named beyond {rows} that left");
        let last = of_it(Kind::Intent).next_back().map(|intent| intent.seq);
        let ends: Vec<Option<u64>> =
            of_it(Kind::Aborted).chain(of_it(Kind::Done)).map(|end| end.entry.refers_to).collect();
        assert_eq!(ends, last.map_or(Vec::new(), |last| vec![Some(last)]), "seed {seed}, round {round}");
        let view = engine.disclosure(&officer, asked.id).await.unwrap();
        rows_all += rows;
        named_all += named.len();
        beyond_most = beyond_most.max(beyond);
        if view.state == DisclosureState::Done {
            // It was not killed in time: the next round has another.
            whole += 1;
            let project = engine.project(id).unwrap();
            let world = World { engine, project, clock: clock.clone(), officer: officer.clone() };
            asked = export(&world).await;
            from = world.engine.ledger.size();
        } else {
            from = engine.ledger.size();
        }
    }
    eprintln!(
        "{rounds} rounds, {whole} of them whole: {rows_all} persons left, {named_all} named, at most {beyond_most} in a \
         round beyond those that left"
    );
    assert!(rows_all > 0 && rows_all <= named_all);
}
