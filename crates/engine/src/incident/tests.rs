//! An incident from its opening to the mailbox: exactly whom it concerns, exactly what left, by two people.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use cofferdam_ledger::Intent;
use cofferdam_model::{Role, Roles, SubjectNo};
use cofferdam_notice::code::{Recipient, RecipientKind};
use cofferdam_query::calendar::utc_text;
use cofferdam_vault::wire::{Door, IdentityMode, ProfileKind, Strictness};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::approval::Agreed;
use crate::lock::LockTarget;
use crate::member::{Factor, SignedIn, SteppedUp, Visitor};
use crate::meta::NewMember;
use crate::token::{NewToken, TokenMade, TokenUse};
use crate::{
    Access, AlarmKind, Caller, Cause, Contain, ExposureQuestion, LeftOut, Options, PersonsQuestion, Project, Purpose,
    Reset, Rule, Site,
};

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
        let ids: Vec<String> = persons.iter().map(|person| format!("u{person}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        self.opens_in(&self.project, member, &ids, fields).await;
    }

    async fn opens_in(&self, project: &Project, member: u32, ids: &[&str], fields: &[PersonalField]) {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let (known, _) = self.engine.vault.known_persons(project.id, &ids).await.unwrap();
        let subjects = known.iter().map(|person| person.0).collect();
        let intent = Intent {
            org: OrgId(1),
            project: project.id,
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

impl World {
    /// Somebody else of the organisation, at a browser of theirs.
    async fn colleague(&self, id: u32, name: &str, role: Role, from: [u8; 4]) -> SignedIn {
        add_member(self, &Member { id, name: name.to_owned(), email: format!("{name}@shop.example"), ..owner() }).await;
        self.engine.meta.set_roles(id, Roles::NONE.with(role)).await.unwrap();
        self.signs_in(id, from).await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn signs_in(&self, id: u32, from: [u8; 4]) -> Result<SignedIn> {
        let row = self.engine.meta.member(id).await.unwrap().unwrap();
        let visitor = Visitor { ip: Some(IpAddr::from(from)), ..Visitor::default() };
        self.engine.open_session(row, Factor::Passkey, &visitor).await
    }

    /// As [`World::opens`], by a session of theirs.
    async fn opens_as(&self, caller: &Caller, grant: u64, persons: &[u32], fields: &[PersonalField]) {
        let mut subjects = cofferdam_ledger::RoaringBitmap::new();
        for person in persons {
            subjects.insert(self.subject(*person).await.0);
        }
        let context = Entry { grant, purpose: 1, ..caller.entry(&self.engine, Kind::Intent) };
        let fields = fields.iter().copied().collect();
        let intent = Intent { org: OrgId(1), project: self.project.id, fields, subjects, context };
        let ticket = self.engine.ledger.authorise_async(intent).await.unwrap();
        drop(self.engine.vault.disclose(ticket).await.unwrap());
    }

    fn shown(&self, caller: &Caller) -> SteppedUp {
        SteppedUp::of_test(caller, Factor::Passkey, 0)
    }

    async fn contain(&self, caller: &Caller, id: u32, contain: Contain) -> Result<Contained> {
        self.engine.contain(caller, self.shown(caller), id, contain).await
    }

    fn entries(&self) -> Vec<Entry> {
        self.engine.ledger.settle().unwrap();
        let all = self.engine.ledger.entries(0, self.engine.ledger.size()).unwrap();
        all.into_iter().map(|found| found.entry).collect()
    }
}

fn code<T>(result: Result<T>) -> &'static str {
    match result {
        Ok(_) => "fine",
        Err(Error::Refused { code, .. }) => code,
        Err(Error::Locked) => "locked",
        Err(Error::NotSignedIn) => "not signed in",
        Err(error) => panic!("{error}"),
    }
}

/// Somebody who comes from there.
fn from(ip: Option<IpAddr>) -> Visitor {
    Visitor { ip, ..Visitor::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_scope_names_is_locked_by_one_act_that_the_ledger_has_first() {
    let world = world().await;
    let rita = world.colleague(2, "rita", Role::Responder, [192, 0, 2, 2]).await.caller;
    let eve = world.colleague(3, "eve", Role::PrivacyOfficer, [198, 51, 100, 3]).await;
    let bob = world.colleague(4, "bob", Role::Analyst, [192, 0, 2, 4]).await;
    let new = NewToken { name: "Nightly".to_owned(), is_for: TokenUse::Query, days: 1, network: None };
    let made = world.engine.make_token(&eve.caller, world.shown(&eve.caller), &world.project, new).await.unwrap();
    let TokenMade::Ready { token, .. } = made else { panic!("a query token takes one person") };
    world.opens_as(&eve.caller, 0, &[1, 2], &[PersonalField::Email]).await;
    let id = world.incident().await;
    assert_eq!(code(world.contain(&rita, id, Contain::default()).await), "nothing_to_contain", "no scope, no names");
    world.scope(id, Some(3)).await.unwrap();

    let (suspects, staff) = world.engine.suspects(&rita, id).await.unwrap();
    let pseudonym = world.engine.ip_pseudonym(IpAddr::from([198, 51, 100, 3]));
    let names: Vec<(LockTarget, Option<&str>, u64)> =
        suspects.iter().map(|one| (one.target, one.name.as_deref(), one.disclosures)).collect();
    let session = LockTarget::Session(eve.caller.session.number);
    assert_eq!(
        names,
        [(LockTarget::Member(3), Some("eve"), 1), (session, None, 1), (LockTarget::Seen(pseudonym), None, 1)]
    );
    assert_eq!(staff, 4);

    let before = world.entries().len();
    let contained = world.contain(&rita, id, Contain::default()).await.unwrap();
    let targets: Vec<LockTarget> = contained.locks.iter().map(|(_, target)| *target).collect();
    assert_eq!(targets, [LockTarget::Member(3), LockTarget::Seen(pseudonym)], "a session is over with its member");
    let entries = &world.entries()[before..];
    let kinds: Vec<Kind> = entries.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [Kind::IncidentContained, Kind::Locked, Kind::AddressBlocked]);
    assert!(entries.iter().all(|entry| entry.grant == u64::from(id) && entry.actor == Some(world.engine.actor(2))));
    assert_eq!(entries[1].extra[1..], world.engine.actor(3).0, "who was locked is there when the lock is gone");
    assert_eq!((entries[0].count, entries[1].object), (2, contained.locks[0].0));

    assert_eq!(code(world.engine.authenticate(&eve.token, &from(eve.caller.ip)).await), "not signed in");
    assert_eq!(code(world.engine.authenticate_token(&token, None).await), "not signed in");
    assert_eq!(code(world.signs_in(3, [192, 0, 2, 9]).await), "locked");
    assert_eq!(
        code(world.engine.authenticate(&bob.token, &from(Some(IpAddr::from([198, 51, 100, 3])))).await),
        "locked"
    );
    assert_eq!(code(world.engine.authenticate(&bob.token, &from(bob.caller.ip)).await), "fine");

    let incident = world.engine.incident(&owner(), id).await.unwrap();
    assert_eq!(incident.measures, [Measure::Locked, Measure::Sessions, Measure::Tokens]);
    assert_eq!(incident.times.contained_us, Some(NOW_US));
    let done = &incident.containments[0];
    assert_eq!((done.by, done.sessions, done.tokens, done.locks.len()), (Some(2), 1, 1, 2));
    assert_eq!(done.entry, before as u64);
    assert_eq!(code(world.contain(&rita, id, Contain::default()).await), "nothing_to_contain", "all of it is locked");
    let (suspects, _) = world.engine.suspects(&rita, id).await.unwrap();
    assert!(suspects.iter().all(|one| one.left_out == Some(LeftOut::Locked)), "{suspects:?}");

    // After a restart it is as before.
    let copy = tempfile::tempdir().unwrap();
    copy_folder(world.folder.path(), copy.path());
    let again = open(copy.path(), &world.clock).await;
    assert_eq!(code(again.authenticate(&bob.token, &from(Some(IpAddr::from([198, 51, 100, 3])))).await), "locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_name_that_cannot_be_locked_keeps_no_other_in() {
    let world = world().await;
    let rita = world.colleague(2, "rita", Role::Responder, [192, 0, 2, 2]).await.caller;
    let bob = world.colleague(4, "bob", Role::Analyst, [192, 0, 2, 2]).await;
    let id = world.incident().await;
    let office = LockTarget::Address(IpAddr::from([192, 0, 2, 2]));
    let (gone, network) = (LockTarget::Member(77), crate::Network::parse("203.0.113.0/24").unwrap());
    let targets = vec![office, gone, LockTarget::Member(2), LockTarget::Member(4), LockTarget::Network(network)];
    let contained = world.contain(&rita, id, Contain { targets, ..Contain::default() }).await.unwrap();
    let locked: Vec<LockTarget> = contained.locks.iter().map(|(_, target)| *target).collect();
    assert_eq!(locked, [LockTarget::Member(4), LockTarget::Network(network)]);
    assert_eq!(
        contained.left_out,
        [(office, LeftOut::OwnAddress), (gone, LeftOut::Over), (LockTarget::Member(2), LeftOut::Yourself)]
    );
    assert_eq!(code(world.engine.authenticate(&bob.token, &from(bob.caller.ip)).await), "not signed in");

    // Whoever runs the server is nobody who could be locked in: those who can unlock sign in anew instead.
    let targets = vec![LockTarget::Member(1), LockTarget::Member(2)];
    let contained = world.engine.contain_from_here(id, Contain { targets, ..Contain::default() }).await.unwrap();
    let locked: Vec<LockTarget> = contained.locks.iter().map(|(_, target)| *target).collect();
    assert_eq!(locked, [LockTarget::Reset(1), LockTarget::Reset(2)]);
    assert_eq!(contained.left_out.iter().filter(|(_, why)| *why == LeftOut::NobodyCouldUnlock).count(), 2);
    assert_eq!(code(world.signs_in(2, [192, 0, 2, 2]).await), "fine");
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_sign_in_anew_with_the_passkeys_they_have_unless_those_are_suspect() {
    let world = world().await;
    let rita = world.colleague(2, "rita", Role::Responder, [192, 0, 2, 2]).await;
    let bob = world.colleague(4, "bob", Role::Analyst, [192, 0, 2, 4]).await;
    let meta = &world.engine.meta;
    for member in [2, 4] {
        meta.set_recovery_codes(member, &[[member as u8; 32]]).await.unwrap();
        let passkey = crate::meta::NewPasskeyRow {
            member,
            credential: &[member as u8],
            algorithm: -7,
            key: b"key",
            count: 0,
            name: b"name",
            now_us: NOW_US,
        };
        meta.insert_passkey(&passkey).await.unwrap();
    }
    let id = world.incident().await;
    let reset = Reset::Members { members: vec![4] };
    let contain = Contain { reset, ..Contain::default() };
    let done = world.contain(&rita.caller, id, contain).await.unwrap().incident.containments.remove(0);
    assert_eq!((done.sessions, done.recovery_codes, done.passkeys), (1, 1, 0));
    assert_eq!(code(world.engine.authenticate(&bob.token, &from(bob.caller.ip)).await), "not signed in");
    assert!(
        world.engine.locks.reset_since(OrgId(1), 4).is_some() && world.engine.locks.reset_since(OrgId(1), 2).is_none()
    );
    world.clock.fetch_add(1, Ordering::Relaxed);
    let again = world.signs_in(4, [192, 0, 2, 4]).await.unwrap();
    assert_eq!(code(world.engine.authenticate(&again.token, &from(again.caller.ip)).await), "fine");
    assert_eq!((meta.passkeys(4).await.unwrap().len(), meta.recovery_codes(4).await.unwrap()), (1, 0));

    let contain = Contain { reset: Reset::Everybody, suspect_passkeys: vec![4], ..Contain::default() };
    let incident = world.contain(&rita.caller, id, contain).await.unwrap().incident;
    let done = &incident.containments[1];
    assert_eq!((done.sessions, done.recovery_codes, done.passkeys), (2, 1, 1));
    for signed_in in [&rita, &again] {
        assert_eq!(
            code(world.engine.authenticate(&signed_in.token, &from(signed_in.caller.ip)).await),
            "not signed in"
        );
    }
    assert_eq!((meta.passkeys(4).await.unwrap().len(), meta.passkeys(2).await.unwrap().len()), (0, 1));
    assert_eq!(incident.measures, [Measure::Sessions]);
    let kinds: Vec<Kind> = world.entries().iter().map(|entry| entry.kind).collect();
    assert!(kinds.contains(&Kind::AllReset) && kinds.contains(&Kind::PasskeyRemoved));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_containment_is_opened_by_two_of_whom_neither_is_its_subject() {
    let world = world().await;
    let rita = world.colleague(2, "rita", Role::Responder, [192, 0, 2, 2]).await.caller;
    let eve = world.colleague(3, "eve", Role::OrgAdmin, [192, 0, 2, 3]).await.caller;
    let olga = world.signs_in(1, [192, 0, 2, 1]).await.unwrap().caller;
    let id = world.incident().await;
    let reset = Contain { reset: Reset::Members { members: vec![3] }, ..Contain::default() };
    let contained = world.contain(&rita, id, reset).await.unwrap();
    let lock = contained.locks[0].0;
    world.clock.fetch_add(1, Ordering::Relaxed);
    let asked = world.engine.unlock(&rita, world.shown(&rita), lock).await.unwrap();
    assert_eq!(asked.due_us, None);
    let alias = world.colleague(4, "eve+two", Role::OrgAdmin, [192, 0, 2, 4]).await.caller;
    assert_eq!(code(world.engine.agree(&alias, world.shown(&alias), asked.id).await), "not_a_second_person");
    assert_eq!(code(world.engine.agree(&rita, world.shown(&rita), asked.id).await), "not_a_second_person");
    assert_eq!(code(world.engine.agree(&eve, world.shown(&eve), asked.id).await), "not_a_second_person");
    assert!(world.engine.locks.reset_since(OrgId(1), 3).is_some());
    assert_eq!(code(world.engine.agree(&olga, world.shown(&olga), asked.id).await), "fine");
    assert!(world.engine.locks.reset_since(OrgId(1), 3).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_nobody_but_another_account_of_their_own_waits_for_an_hour() {
    let world = world().await;
    let olga = world.signs_in(1, [192, 0, 2, 1]).await.unwrap().caller;
    world.opens(7, &[1, 2, 3], &[PersonalField::Email]).await;
    let id = world.incident().await;
    world.scope(id, Some(7)).await.unwrap();
    let asks = async || {
        let key = age::x25519::Identity::generate().to_public();
        match world.engine.download_package(&olga, world.shown(&olga), id, key).await {
            Ok(Agreed::Waits(asked)) => asked,
            _ => panic!("nobody agreed"),
        }
    };
    world.colleague(4, "olga+two", Role::IncidentCommander, [192, 0, 2, 4]).await;
    assert!(asks().await.due_us.is_some(), "it is one person");
    world.colleague(5, "ida", Role::IncidentCommander, [192, 0, 2, 5]).await;
    assert!(asks().await.due_us.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_trips_opens_an_incident_once_and_whoever_is_in_charge_sees_it() {
    let world = world().await;
    let rita = world.colleague(2, "rita", Role::Responder, [192, 0, 2, 2]).await.caller;
    let bob = world.colleague(4, "bob", Role::Analyst, [192, 0, 2, 4]).await.caller;
    let refuse = || world.engine.refused_disclosure_of(&bob, bob.entry(&world.engine, Kind::DisclosureRefused));
    for _ in 0..cofferdam_model::limits::REFUSALS_MAX {
        refuse().await.unwrap();
    }
    assert!(world.engine.incidents(&owner()).await.unwrap().is_empty());
    world.clock.fetch_add(7, Ordering::Relaxed);
    for _ in 0..3 {
        refuse().await.unwrap();
    }
    let incidents = world.engine.incidents(&owner()).await.unwrap();
    assert_eq!(incidents.len(), 1);
    let incident = &incidents[0];
    assert_eq!((incident.cause, incident.times.detected_us), (IncidentCause::Limit, NOW_US + 7));
    assert_eq!((incident.service.as_str(), incident.times.aware_us), ("Shop & Co.", None));
    let trip = incident.trip.as_ref().unwrap();
    assert_eq!((trip.rule, trip.by_member), (Rule::Refusals, 4));
    let alarms = world.engine.alarms(&rita).await.unwrap();
    assert_eq!(alarms.len(), 1);
    assert_eq!((alarms[0].kind, alarms[0].incident), (AlarmKind::Tripped, Some(incident.id)));
    assert_eq!((alarms[0].member_name.as_deref(), alarms[0].is_contained), (Some("bob"), false));
    assert!(world.engine.alarms(&bob).await.unwrap().is_empty(), "none of an analyst's business");
    // Before anything is scoped it is known whom it is about.
    let (suspects, _) = world.engine.suspects(&rita, incident.id).await.unwrap();
    assert_eq!(suspects[0].target, LockTarget::Member(4));
    world.contain(&rita, incident.id, Contain::default()).await.unwrap();
    assert!(world.engine.alarms(&rita).await.unwrap()[0].is_contained);
    let opened = world.entries().into_iter().find(|entry| entry.kind == Kind::IncidentOpened).unwrap();
    assert_eq!((opened.grant, opened.purpose, opened.actor), (u64::from(incident.id), 2, None));
    let close = UpdateIncident { close: true, ..UpdateIncident::default() };
    world.engine.update_incident(&owner(), incident.id, close).await.unwrap();
    assert!(world.engine.alarms(&rita).await.unwrap().is_empty());
    world.engine.open_missed().await.unwrap();
    assert_eq!(world.engine.incidents(&owner()).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_tripped_when_the_server_ended_opens_its_incident_at_the_next_start() {
    let world = world().await;
    let row = crate::disclosure::store::TripRow {
        id: 0,
        org: OrgId(1),
        rule: Rule::Share as i64,
        member: None,
        by_member: 1,
        by_person: vec![1],
        entry: 0,
        tripped_us: NOW_US - 5,
        closed_us: None,
    };
    world.engine.disclosures.store.insert_trip(&row).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    copy_folder(world.folder.path(), copy.path());
    let again = open(copy.path(), &world.clock).await;
    let incidents = again.incidents(&owner()).await.unwrap();
    assert_eq!(incidents.len(), 1);
    assert_eq!((incidents[0].times.detected_us, incidents[0].trip.as_ref().unwrap().rule), (NOW_US - 5, Rule::Share));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_by_a_question_has_what_any_of_its_causes_saw_and_what_the_desk_opened_is_no_loss() {
    use PersonalField::{DistinctId, Email, Events, Name};
    let world = world().await;
    let eve = world.colleague(3, "eve", Role::PrivacyOfficer, [198, 51, 100, 3]).await.caller;
    world.opens_as(&eve, 0, &[1, 2], &[Email]).await;
    world.opens(8, &[2, 4], &[Name]).await;
    world.opens(9, &[6], &[Events]).await;
    world.opens(7, &[30], &[Email]).await;
    let id = world.incident().await;
    let pseudonym = |member: u32| Cause::Actor(crate::exposure::hex(world.engine.actor(member)));
    let session = Cause::Session(crate::exposure::hex(world.engine.session_pseudonym(eve.session.number)));
    let question = ExposureQuestion { any_of: vec![session, pseudonym(8), pseudonym(9)], ..Default::default() };
    let scope = world.engine.scope_incident(&owner(), id, &ScopeOf::Exposure { question }).await.unwrap();
    let groups = |scope: &ScopeVersion| -> Vec<(String, u64)> {
        scope.groups.iter().map(|group| (group.fields.join(" "), group.persons)).collect()
    };
    let expected = [("email", 1), ("name", 1), ("email name", 1), ("events", 1)];
    assert_eq!(groups(&scope), expected.map(|(fields, persons)| (fields.to_owned(), persons)));

    // Its own package is opened by the ledger too, and is nothing that anybody has to be told.
    let identity = age::x25519::Identity::generate();
    let out = world.folder.path().join("package");
    world.engine.package(id, identity.to_public(), &out).await.unwrap();
    let two = world.scope(id, None).await.unwrap();
    assert_eq!((two.version, two.persons), (2, 5), "the thirtieth is new");
    assert!(!two.fields.contains(&DistinctId.name().to_owned()), "{:?}", two.fields);
}

#[tokio::test(flavor = "multi_thread")]
async fn persons_are_listed_and_packed_when_a_second_person_agreed_and_for_an_hour() {
    let world = world().await;
    let olga = world.signs_in(1, [192, 0, 2, 1]).await.unwrap().caller;
    let ida = world.colleague(5, "ida", Role::IncidentCommander, [192, 0, 2, 5]).await.caller;
    world.opens(7, &[1, 2, 3], &[PersonalField::Email, PersonalField::Name]).await;
    let question = ExposureQuestion { any_of: vec![Cause::Member(1)], ..Default::default() };
    let asked = PersonsQuestion {
        question: ExposureQuestion::default(),
        project: world.project.id.0,
        field: None,
        is_confirmed: false,
        offset: 0,
        limit: Some(2),
    };
    let list = |asked: PersonsQuestion| {
        let (engine, olga, shown) = (world.engine.clone(), olga.clone(), world.shown(&olga));
        async move { engine.exposed_persons(&olga, shown, &asked).await.unwrap_or_else(|error| panic!("{error}")) }
    };
    let Agreed::Waits(first) = list(asked.clone()).await else { panic!("nobody agreed") };
    let Agreed::Waits(again) = list(asked.clone()).await else { panic!("nobody agreed") };
    assert_eq!((first, first.due_us), (again, None), "it is asked for once");
    assert_eq!(code(world.engine.agree(&olga, world.shown(&olga), first.id).await), "not_a_second_person");
    world.engine.agree(&ida, world.shown(&ida), first.id).await.unwrap_or_else(|error| panic!("{error}"));
    let Agreed::Given(page) = list(asked.clone()).await else { panic!("somebody agreed") };
    assert_eq!((page.count, page.persons.len(), page.next), (3, 2, Some(2)));
    let Agreed::Given(page) = list(PersonsQuestion { offset: 2, ..asked.clone() }).await else {
        panic!("its other page")
    };
    assert_eq!((page.persons.len(), page.next), (1, None));
    let other = list(PersonsQuestion { question, ..asked.clone() }).await;
    assert!(matches!(other, Agreed::Waits(_)), "another question needs another agreement");
    world.clock.fetch_add(HOUR_US, Ordering::Relaxed);
    assert!(matches!(list(asked).await, Agreed::Waits(_)), "the hour is over");

    let id = world.incident().await;
    world.scope(id, Some(7)).await.unwrap();
    let identity = age::x25519::Identity::generate();
    let fetch = || async {
        let (shown, key) = (world.shown(&olga), identity.to_public());
        world.engine.download_package(&olga, shown, id, key).await
    };
    let Agreed::Waits(waits) = fetch().await.unwrap_or_else(|error| panic!("{error}")) else { panic!("nobody agreed") };
    let offer = world.engine.package_offer(&olga, id).await.unwrap().unwrap();
    assert_eq!((offer.persons, offer.projects.len(), offer.waiting), (3, 1, Some(waits.id)));
    world.engine.agree(&ida, world.shown(&ida), waits.id).await.unwrap_or_else(|error| panic!("{error}"));
    let before = world.entries().len();
    let Agreed::Given((name, mut pieces)) = fetch().await.unwrap_or_else(|error| panic!("{error}")) else {
        panic!("somebody agreed")
    };
    assert_eq!(name, "incident-1-version-1.tar");
    let mut file = Vec::new();
    while let Some(piece) = pieces.recv().await {
        file.extend_from_slice(&piece.unwrap());
    }
    let out = tempfile::tempdir().unwrap();
    std::fs::write(out.path().join("package.tar"), &file).unwrap();
    let untar =
        std::process::Command::new("tar").arg("-xf").arg("package.tar").current_dir(out.path()).output().unwrap();
    assert!(untar.status.success(), "{}", String::from_utf8_lossy(&untar.stderr));
    let folder = out.path().join("incident-1-version-1");
    let summary: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("summary.json")).unwrap()).unwrap();
    assert_eq!((&summary["persons"], &summary["letters"]), (&json!(3), &json!(9)));
    let opened = decrypted(&folder.join("scope.csv.age"), &identity);
    assert_eq!(opened.lines().count(), 4);
    assert!(opened.contains("1,\"u2\",per_") && opened.contains(",email name,"), "{opened}");
    let letter = std::fs::read_to_string(folder.join("letters/person-1.es.txt")).unwrap();
    assert!(letter.contains("- dirección de correo electrónico"), "{letter}");
    let proof = std::fs::read_to_string(folder.join("scope.proof")).unwrap();
    let proof = cofferdam_ledger::verify::Proof::parse(&proof).unwrap();
    assert_eq!(proof.verify(world.engine.ledger.key()).unwrap().0.entry.kind, Kind::IncidentScoped);
    let entries = world.entries();
    let intents: Vec<&Entry> = entries[before..].iter().filter(|entry| entry.kind == Kind::Intent).collect();
    let is_of_olga = |entry: &&Entry| entry.actor == Some(world.engine.actor(1));
    assert!(intents.iter().all(|entry| entry.purpose == Purpose::Package as u64 && is_of_olga(entry)));
    assert_eq!(intents.iter().map(|entry| entry.count).sum::<u64>(), 3);
    let left = std::fs::read_dir(world.folder.path().join(package::PACKAGES_FOLDER)).unwrap().count();
    assert_eq!(left, 0, "what was fetched is gone");
    // Whoever is locked while it leaves gets no more of it.
    world.engine.lock_by_rule(OrgId(1), &[LockTarget::Member(1)]).await.unwrap();
    assert_eq!(code(fetch().await.map(drop)), "locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_is_of_all_projects_and_says_when_something_of_each_person_first_and_last_left() {
    use PersonalField::{Email, Name};
    let world = world().await;
    let app = world.engine.new_project(OrgId(1), 1, "App", "UTC", IdentityMode::Simplified, false).await.unwrap();
    let app = world.engine.project(app.id).unwrap();
    let set = json!([{"$distinct_id": "a1", "$set": {"$email": "a1@b.example"}}]).to_string();
    world.engine.update_profiles(set.as_bytes(), ProfileKind::Person, Some(app.clone())).await.unwrap();
    let later = |hours: i64| world.clock.store(NOW_US + hours * HOUR_US, Ordering::Relaxed);
    world.opens(7, &[1, 2], &[Email]).await;
    later(1);
    world.opens(7, &[1, 2, 4], &[Name]).await;
    // By somebody else: of no interest.
    world.opens(8, &[1, 2, 4], &[Email]).await;
    later(2);
    world.opens_in(&app, 7, &["a1"], &[Email]).await;
    let id = world.incident().await;
    let scope = world.scope(id, Some(7)).await.unwrap();
    later(3);
    world.opens(7, &[2], &[Email]).await;

    let identity = age::x25519::Identity::generate();
    let out = world.folder.path().join("package");
    let made = world.engine.package(id, identity.to_public(), &out).await.unwrap();
    let projects: Vec<(&str, u64)> = made.projects.iter().map(|one| (one.name.as_str(), one.persons)).collect();
    assert_eq!((made.organisation.as_str(), projects), ("Shop & Co.", vec![("Shop", 3), ("App", 1)]));
    assert_eq!((made.persons, made.disclosures), (4, 3));
    let list = decrypted(&out.join("scope.csv.age"), &identity);
    let at = |hours: i64| utc_text(NOW_US + hours * HOUR_US);
    let mut rows: Vec<(String, String, String, String)> = list
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let [project, id, _, fields, first, _, last, ..] = cells[..] else { panic!("{line}") };
            (format!("{project} {id}"), fields.to_owned(), first.to_owned(), last.to_owned())
        })
        .collect();
    rows.sort();
    // The first has no name that could have left.
    let expected = [
        ("1 \"u1\"", "email", at(0), at(0)),
        ("1 \"u2\"", "email name", at(0), at(1)),
        ("1 \"u4\"", "name", at(1), at(1)),
        ("2 \"a1\"", "email", at(2), at(2)),
    ];
    assert_eq!(rows, expected.map(|(who, fields, first, last)| (who.to_owned(), fields.to_owned(), first, last)));
    let disclosures = std::fs::read_to_string(out.join("disclosures.csv")).unwrap();
    let times: Vec<&str> = disclosures.lines().skip(1).filter_map(|line| line.split(',').nth(1)).collect();
    assert_eq!(times, [at(0), at(1), at(2)]);
    // By the entries that the list names.
    let entry: u64 =
        list.lines().find(|line| line.contains("\"u4\"")).unwrap().split(',').nth(5).unwrap().parse().unwrap();
    let named = &world.engine.ledger.entries(entry, entry + 1).unwrap()[0].entry;
    assert_eq!((named.kind, named.count, entry < scope.entry), (Kind::Intent, 3, true));
}

fn decrypted(path: &Path, identity: &age::x25519::Identity) -> String {
    let sealed = std::fs::read(path).unwrap();
    let mut opened = String::new();
    let decryptor = age::Decryptor::new(&sealed[..]).unwrap();
    decryptor.decrypt(std::iter::once(identity as &dyn age::Identity)).unwrap().read_to_string(&mut opened).unwrap();
    opened
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

/// What is removed while it is copied is not in the copy, as when a machine ends.
fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_folder(&path, &to),
            false => match std::fs::copy(&path, &to) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                copied => drop(copied.unwrap()),
            },
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
    let made = world.engine.package(id, identity.to_public(), &out).await.unwrap();
    assert_eq!((made.persons, made.without_id), (2, 0));
    let opened = decrypted(&out.join("scope.csv.age"), &identity);
    let ids: BTreeSet<&str> = opened.lines().skip(1).filter_map(|line| line.split(',').nth(1)).collect();
    assert_eq!(ids, BTreeSet::from(["\"u3\"", "\"u4\""]));
    assert!(opened.lines().nth(1).unwrap().contains("distinct_id email"));
    let (first, _) = made.opened.unwrap();
    let intent = &world.engine.ledger.entries(first, first + 1).unwrap()[0].entry;
    assert_eq!((intent.kind, intent.purpose, intent.count), (Kind::Intent, Purpose::Package as u64, 2));
    assert!(world.engine.package(id, identity.to_public(), &out).await.is_err(), "there is something");
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
