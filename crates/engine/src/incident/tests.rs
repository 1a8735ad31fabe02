//! An incident from its opening to the mailbox: exactly whom it concerns, exactly what left, by two people.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use cofferdam_ledger::Intent;
use cofferdam_model::{ProjectId, Roles, SubjectNo};
use cofferdam_notice::code::{Recipient, RecipientKind};
use cofferdam_vault::wire::{Door, IdentityMode, ProfileKind, Strictness};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::meta::NewMember;
use crate::{Access, Options, Project, Site};

#[allow(dead_code, reason = "other tests use what these do not")]
#[path = "../../../drill/src/sink.rs"]
mod sink;

const NOW_US: i64 = 1_800_000_000_000_000;
const HOUR_US: i64 = 3_600_000_000;

struct World {
    engine: Arc<Engine>,
    project: Arc<Project>,
    clock: Arc<AtomicI64>,
    taken: Arc<Mutex<Vec<(String, String)>>>,
    port: u16,
    folder: tempfile::TempDir,
}

async fn open(folder: &Path, clock: &Arc<AtomicI64>) -> Arc<Engine> {
    let clock = clock.clone();
    let options = Options {
        site: Site::in_folder(folder),
        root: None,
        flush_events: 1_000,
        setup_code: "not used here".to_owned(),
        geoip: None,
        clock: Arc::new(move || clock.load(Ordering::Relaxed)),
        witnesses: Vec::new(),
        access: Access::default(),
    };
    Arc::new(Engine::open(options).await.unwrap())
}

fn settings(port: u16) -> MailSettings {
    MailSettings {
        relay: format!("smtp://127.0.0.1:{port}"),
        password: None,
        authorities: None,
        from: "privacy@shop.example".to_owned(),
        host: "analytics.shop.example".to_owned(),
        domain_per_second: 10_000,
    }
}

fn owner() -> Member {
    let (name, email, organisation) = ("Olga".to_owned(), "olga@shop.example".to_owned(), "Shop & Co.".to_owned());
    Member { id: 1, org: OrgId(1), roles: Roles::FIRST_MEMBER, name, email, organisation }
}

fn responder() -> Member {
    Member { id: 2, name: "Rita".to_owned(), email: "rita@shop.example".to_owned(), ..owner() }
}

async fn add_member(world: &World, member: &Member) {
    let personal = json!({"name": member.name, "email": member.email}).to_string();
    let sealed = world.engine.vault.seal_secret("member", member.id, personal.as_bytes());
    let url = format!("sqlite://{}", world.folder.path().join("meta.db").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let sql =
        "INSERT INTO members (id, org, email_print, sealed, password_hash, totp_sealed, totp_step, created_at, roles)
               VALUES ($1, 1, $2, $3, '', x'', 0, 0, 0)";
    sqlx::query(sql)
        .bind(i64::from(member.id))
        .bind(member.email.as_bytes())
        .bind(sealed)
        .execute(&pool)
        .await
        .unwrap();
}

/// A shop with forty persons: each has an address, every second a name too, every tenth an address that is no address
/// but for a manager.
async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicI64::new(NOW_US));
    let engine = open(folder.path(), &clock).await;
    let personal = json!({"name": owner().name, "email": owner().email}).to_string();
    let seal = |id: u32| (engine.vault.seal_secret("member", id, personal.as_bytes()), Vec::new());
    let member = NewMember {
        email_print: b"print",
        seal: &seal,
        password_hash: "",
        totp_step: 0,
        roles: Roles::FIRST_MEMBER,
        now_us: NOW_US,
    };
    assert!(engine.meta.insert_first("Shop & Co.", &member).await.unwrap());
    let made = engine.new_project(OrgId(1), 1, "Shop", "UTC", IdentityMode::Simplified, false).await.unwrap();
    let project = engine.project(made.id).unwrap();
    let body: Vec<serde_json::Value> = (0..40)
        .map(|at| {
            let mut set = json!({"plan": "free"});
            match at % 10 {
                9 => set["manager_email"] = json!(format!("boss{at}@b.example")),
                _ => set["$email"] = json!(format!("u{at}@b.example")),
            }
            if at % 2 == 0 {
                set["$name"] = json!(format!("Person {at}"));
            }
            json!({"$distinct_id": format!("u{at}"), "$set": set})
        })
        .collect();
    let body = serde_json::Value::from(body).to_string();
    let events: Vec<serde_json::Value> = (0..40)
        .map(|at| {
            let properties =
                json!({"time": NOW_US / 1_000_000, "$insert_id": format!("i{at}"), "distinct_id": format!("u{at}")});
            json!({"event": "Visit", "properties": properties})
        })
        .collect();
    let events = serde_json::Value::from(events).to_string();
    engine.ingest(events.as_bytes(), Door::Import(Strictness::Strict), Some(project.clone()), None).await.unwrap();
    let report = engine.update_profiles(body.as_bytes(), ProfileKind::Person, Some(project.clone())).await.unwrap();
    assert_eq!(report.stored, 40);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = Arc::new(Mutex::new(Vec::new()));
    let kept = taken.clone();
    let keep = move |one: sink::Taken| {
        assert!(one.is_answered);
        kept.lock().unwrap().push((one.to, String::from_utf8(one.mail).unwrap()));
    };
    tokio::spawn(sink::serve(listener, sink::NO_FAULTS, Arc::new(keep)));
    let keys = cofferdam_notice::dkim::Keys::generate().unwrap();
    let sealed = engine.vault.seal_secret("notice keys", 0, &keys.to_bytes().unwrap());
    std::fs::write(folder.path().join("notice-keys"), sealed).unwrap();
    engine.send_notices(settings(port)).unwrap();
    World { engine, project, clock, taken, port, folder }
}

impl World {
    async fn subject(&self, at: u32) -> SubjectNo {
        let (found, _) = self.engine.vault.known_persons(self.project.id, &[format!("u{at}")]).await.unwrap();
        found.iter().next().unwrap()
    }

    /// A member opens values of persons, as the ledger has it.
    async fn opens(&self, member: u32, persons: &[u32], fields: &[PersonalField]) {
        let mut subjects = cofferdam_ledger::RoaringBitmap::new();
        for person in persons {
            subjects.insert(self.subject(*person).await.0);
        }
        let intent = Intent {
            org: OrgId(1),
            project: self.project.id,
            fields: fields.iter().copied().collect(),
            subjects,
            context: Entry { actor: Some(self.engine.actor(member)), purpose: 1, ..Entry::of(Kind::Intent) },
        };
        let ticket = self.engine.ledger.authorise_async(intent).await.unwrap();
        drop(self.engine.vault.disclose(ticket).await.unwrap());
    }

    async fn incident(&self) -> u32 {
        let open = OpenIncident {
            cause: IncidentCause::Member,
            account: AccountKind::Staff,
            service: "Shop".to_owned(),
            occurred_us: Some((NOW_US - HOUR_US, NOW_US)),
            detected_us: None,
        };
        self.engine.open_incident(OrgId(1), Some(1), open).await.unwrap().id
    }

    async fn scope(&self, id: u32, member: Option<u32>) -> Result<ScopeVersion> {
        let of = ScopeOf::Ledger { member, from_us: NOW_US - HOUR_US, to_us: NOW_US + 100 * HOUR_US };
        self.engine.scope_incident(&owner(), id, &of).await
    }

    async fn publish(&self, id: u32) {
        assert_eq!(self.engine.signed_notices(&owner(), id, "en").await.unwrap(), Signed::First);
        assert_eq!(self.engine.signed_notices(&responder(), id, "en").await.unwrap(), Signed::Published);
    }

    /// Waits until everything was tried, and answers what the relay has since the last time, by address.
    async fn sent(&self, id: u32) -> BTreeMap<String, String> {
        loop {
            let progress = self.engine.notice_progress(&owner(), id).await.unwrap();
            if progress.iter().all(|version| version.queued + version.in_flight == 0) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let taken = std::mem::take(&mut *self.taken.lock().unwrap());
        let count = taken.len();
        let by_address: BTreeMap<String, String> = taken.into_iter().collect();
        assert_eq!(by_address.len(), count, "nobody is told twice");
        by_address
    }

    async fn code(&self, id: u32, person: u32, version: u32) -> String {
        let number = self.subject(person).await.0;
        let recipient = Recipient { kind: RecipientKind::Person, project: self.project.id.0, number };
        self.engine.notice_key(id).code(recipient, version)
    }
}

fn addresses(persons: &[u32]) -> BTreeSet<String> {
    let staff = ["olga@shop.example".to_owned(), "rita@shop.example".to_owned()];
    persons.iter().map(|at| format!("u{at}@b.example")).chain(staff).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_those_of_whom_something_left_are_told_exactly_what_left() {
    use PersonalField::{Email, Name, Phone};
    let world = world().await;
    add_member(&world, &responder()).await;
    world.opens(7, &[1, 2, 3, 19], &[Email, Name, Phone]).await;
    world.opens(7, &[4], &[Name]).await;
    world.opens(8, &[20, 21], &[Email]).await;
    let id = world.incident().await;
    let scope = world.scope(id, Some(7)).await.unwrap();
    let groups: Vec<(Vec<&str>, u64)> =
        scope.groups.iter().map(|group| (group.fields.iter().map(String::as_str).collect(), group.persons)).collect();
    // Nobody's telephone number is stored, so none left.
    assert_eq!(groups, [(vec!["email"], 3), (vec!["name"], 1), (vec!["email", "name"], 1)]);
    world.publish(id).await;
    let sent = world.sent(id).await;
    assert_eq!(sent.keys().cloned().collect::<BTreeSet<_>>(), addresses(&[1, 2, 3, 4]));
    let fields = |at: u32| {
        let mail = &sent[&format!("u{at}@b.example")];
        ["- e-mail address", "- name", "- telephone number"].map(|field| mail.contains(&format!("\r\n{field}\r\n")))
    };
    assert_eq!(fields(1), [true, false, false]);
    assert_eq!(fields(2), [true, true, false]);
    assert_eq!(fields(4), [false, true, false]);
    let progress = &world.engine.notice_progress(&owner(), id).await.unwrap()[0];
    assert_eq!((progress.accepted, progress.suppressed), (6, 1));
    // Of the nineteenth there is only the address of somebody else.
    assert_eq!(progress.reasons, [("no_address".to_owned(), 1)]);
    assert_eq!(world.engine.unreached(&owner(), id).await.unwrap().len(), 1);
    let incident = world.engine.incident(&owner(), id).await.unwrap();
    assert_eq!((incident.stage, incident.times.notified_first_us), (Stage::Notified, Some(NOW_US)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wider_scope_tells_the_difference_alone_and_the_earlier_notice_says_so() {
    use PersonalField::{Email, Name};
    let world = world().await;
    add_member(&world, &responder()).await;
    world.opens(7, &[1, 2, 4], &[Email]).await;
    world.opens(8, &[2, 6], &[Name]).await;
    let id = world.incident().await;
    world.scope(id, Some(7)).await.unwrap();
    world.publish(id).await;
    assert_eq!(world.sent(id).await.keys().cloned().collect::<BTreeSet<_>>(), addresses(&[1, 2, 4]));
    assert!(world.scope(id, Some(7)).await.is_err(), "what finds nobody new is no version");
    let two = world.scope(id, Some(8)).await.unwrap();
    assert_eq!((two.version, two.persons), (2, 4));
    world.publish(id).await;
    let sent = world.sent(id).await;
    assert_eq!(sent.keys().cloned().collect::<BTreeSet<_>>(), addresses(&[2, 6]));
    assert!(sent["u2@b.example"].contains("It replaces version 1") && !sent["u6@b.example"].contains("It replaces"));
    let address = IpAddr::from([192, 0, 2, 1]);
    let check = |code: String| {
        let engine = world.engine.clone();
        async move { engine.check_code(id, &code, address).await.unwrap() }
    };
    assert!(matches!(check(world.code(id, 1, 1).await).await, CodeAnswer::Genuine(told) if told.version == 1));
    assert!(matches!(check(world.code(id, 2, 1).await).await, CodeAnswer::Superseded(told, 2) if told.version == 1));
    assert!(
        matches!(check(world.code(id, 2, 2).await).await, CodeAnswer::Genuine(told) if told.text.contains("- name"))
    );
    assert_eq!(check(world.code(id, 7, 1).await).await, CodeAnswer::NotOurs);
    assert_eq!(check(world.code(id + 1, 1, 1).await).await, CodeAnswer::NotOurs);
    assert!(world.engine.incident(&owner(), id).await.unwrap().times.corrected_us.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_publishes_nothing_and_whoever_is_alone_waits_an_hour() {
    let world = world().await;
    world.opens(7, &[1], &[PersonalField::Email]).await;
    let id = world.incident().await;
    world.scope(id, None).await.unwrap();
    let me = owner();
    let sign = || world.engine.signed_notices(&me, id, "it");
    assert_eq!(sign().await.unwrap(), Signed::First);
    assert!(matches!(sign().await, Err(Error::Refused { code: "too_early", .. })));
    world.clock.fetch_add(HOUR_US, Ordering::Relaxed);
    add_member(&world, &responder()).await;
    // The texts go to more people now: what was signed is another thing.
    assert_eq!(sign().await.unwrap(), Signed::First);
    assert!(matches!(sign().await, Err(Error::Refused { code: "second_person", .. })));
    let spanish = world.engine.signed_notices(&responder(), id, "es").await.unwrap();
    assert_eq!(spanish, Signed::First, "another text needs two of its own");
    assert!(world.engine.notice_progress(&owner(), id).await.unwrap().is_empty());
    assert!(world.taken.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_of_one_publishes_an_hour_after_it_signed() {
    let world = world().await;
    world.opens(7, &[1], &[PersonalField::Email]).await;
    let id = world.incident().await;
    world.scope(id, None).await.unwrap();
    assert_eq!(world.engine.signed_notices(&owner(), id, "it").await.unwrap(), Signed::First);
    world.clock.fetch_add(HOUR_US, Ordering::Relaxed);
    assert_eq!(world.engine.signed_notices(&owner(), id, "it").await.unwrap(), Signed::Published);
    let sent = world.sent(id).await;
    assert_eq!(sent.keys().collect::<Vec<_>>(), ["olga@shop.example", "u1@b.example"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_page_shows_what_was_logged_and_the_ledger_has_its_hash() {
    let world = world().await;
    add_member(&world, &responder()).await;
    world.opens(7, &[1, 2], &[PersonalField::Email]).await;
    let id = world.incident().await;
    world.scope(id, None).await.unwrap();
    world.publish(id).await;
    assert_eq!(world.engine.public_incident(id).await.unwrap(), None);
    assert!(world.engine.public_incidents().await.unwrap().is_empty());
    let public = UpdateIncident { make_public: true, ..UpdateIncident::default() };
    world.engine.update_incident(&owner(), id, public).await.unwrap();
    let shown = world.engine.public_incident(id).await.unwrap().unwrap();
    assert_eq!(shown.scopes.iter().map(|(version, _, persons)| (*version, *persons)).collect::<Vec<_>>(), [(1, 2)]);
    assert_eq!(shown.texts.len(), 3);
    for told in &shown.texts {
        let text = world.engine.notice_proof(id, told.entry).await.unwrap().unwrap();
        let proof = cofferdam_ledger::verify::Proof::parse(&text).unwrap();
        let (recorded, _) = proof.verify(world.engine.ledger.key()).unwrap();
        assert_eq!(recorded.entry.kind, Kind::NoticeWorded);
        assert_eq!(recorded.entry.extra, text_hash(&told.subject, &told.text));
    }
    assert_eq!(world.engine.notice_proof(id, 0).await.unwrap(), None, "other entries are nobody's business");
    let stranger = Member { org: OrgId(2), ..owner() };
    assert!(matches!(world.engine.incident(&stranger, id).await, Err(Error::NotFound(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_when_the_server_ended_is_sent_by_the_next() {
    let mut world = world().await;
    add_member(&world, &responder()).await;
    world.opens(7, &[1, 2], &[PersonalField::Email]).await;
    let id = world.incident().await;
    world.scope(id, None).await.unwrap();
    world.publish(id).await;
    world.sent(id).await;
    // As if it had ended after the texts were logged and before they were queued.
    let folder = world.folder.path().to_owned();
    let clock = world.clock.clone();
    let url = format!("sqlite://{}", folder.join(INCIDENTS_FILE).display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let sql = "UPDATE incidents SET facts = replace(facts, '\"published\":1', '\"published\":0')";
    sqlx::query(sql).execute(&pool).await.unwrap();
    pool.close().await;
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&folder, copy.path());
    for file in [OUTBOX_FILE.to_owned(), format!("{OUTBOX_FILE}-wal"), format!("{OUTBOX_FILE}-shm")] {
        let _ = std::fs::remove_file(copy.path().join(file));
    }
    world.engine = open(copy.path(), &clock).await;
    world.engine.send_notices(settings(world.port)).unwrap();
    assert_eq!(world.sent(id).await.keys().cloned().collect::<BTreeSet<_>>(), addresses(&[1, 2]));
    assert_eq!(world.engine.incident(&owner(), id).await.unwrap().published, 1);
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_folder(&path, &to),
            false => drop(std::fs::copy(&path, &to).unwrap()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_what_was_lost_elsewhere_is_a_scope_and_its_package_opens_with_its_key_alone() {
    let world = world().await;
    let id = world.incident().await;
    let ids = ["u3", "u4", "nobody"].map(str::to_owned).to_vec();
    let fields = vec![PersonalField::Email, PersonalField::DistinctId];
    let of = ScopeOf::List { project: world.project.id, ids, fields };
    let scope = world.engine.scope_incident(&owner(), id, &of).await.unwrap();
    assert_eq!((scope.persons, scope.fields), (2, vec!["distinct_id".to_owned(), "email".to_owned()]));
    let identity = age::x25519::Identity::generate();
    let out = world.folder.path().join("package");
    let made = world.engine.package(id, world.project.id, identity.to_public(), &out).await.unwrap();
    assert_eq!((made.persons, made.without_id), (2, 0));
    let sealed = std::fs::read(out.join("scope.csv.age")).unwrap();
    let mut opened = String::new();
    let decryptor = age::Decryptor::new(&sealed[..]).unwrap();
    decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).unwrap().read_to_string(&mut opened).unwrap();
    let ids: BTreeSet<&str> = opened.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    assert_eq!(ids, BTreeSet::from(["\"u3\"", "\"u4\""]));
    assert!(opened.lines().nth(1).unwrap().contains("distinct_id email"));
    let (first, _) = made.opened.unwrap();
    let intent = &world.engine.ledger.entries(first, first + 1).unwrap()[0].entry;
    assert_eq!((intent.kind, intent.purpose, intent.count), (Kind::Intent, PURPOSE_PACKAGE, 2));
    assert!(world.engine.package(id, ProjectId(99), identity.to_public(), &out).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn moments_are_kept_apart_and_a_closed_incident_stays_as_it_is() {
    let world = world().await;
    let id = world.incident().await;
    let update = UpdateIncident {
        detected_us: Some(NOW_US - 10),
        aware_us: Some(NOW_US - 5),
        contained_us: Some(NOW_US - 1),
        measures: Some(vec![Measure::Locked]),
        ..UpdateIncident::default()
    };
    let incident = world.engine.update_incident(&owner(), id, update).await.unwrap();
    let times = &incident.times;
    assert_eq!(
        (times.detected_us, times.aware_us, times.contained_us),
        (NOW_US - 10, Some(NOW_US - 5), Some(NOW_US - 1))
    );
    let deadlines = world.engine.deadlines(&owner(), id).await.unwrap();
    assert_eq!(deadlines[0].due_us, Some(NOW_US - 5 + 72 * HOUR_US));
    let tomorrow = UpdateIncident { aware_us: Some(NOW_US + 1), ..UpdateIncident::default() };
    assert!(world.engine.update_incident(&owner(), id, tomorrow).await.is_err());
    let close = UpdateIncident { close: true, ..UpdateIncident::default() };
    assert_eq!(world.engine.update_incident(&owner(), id, close).await.unwrap().stage, Stage::Closed);
    assert!(world.engine.update_incident(&owner(), id, UpdateIncident::default()).await.is_err());
    world.engine.ledger.settle().unwrap();
    let entries = world.engine.ledger.entries(0, world.engine.ledger.size()).unwrap();
    let kinds: Vec<Kind> =
        entries.iter().filter(|found| found.entry.grant == u64::from(id)).map(|found| found.entry.kind).collect();
    assert_eq!(kinds, [Kind::IncidentOpened, Kind::IncidentClosed]);
}
