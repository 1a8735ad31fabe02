//! What ends by itself, on a clock that the test moves.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cofferdam_ledger::Kind;
use cofferdam_model::{OrgId, Role, Roles, limits};

use super::*;
use crate::lock::{LockReason, LockTarget};
use crate::token::{NewToken, TokenMade, TokenUse};
use crate::{Access, Engine, Error, Options, SetUp, Site};

const PASSWORD: &str = "correct horse battery staple";
const SECOND_US: i64 = 1_000_000;

struct World {
    engine: Engine,
    now_us: Arc<AtomicI64>,
    totp: totp_rs::Totp,
    first: SignedIn,
}

impl World {
    async fn new(folder: &Path) -> World {
        let now_us = Arc::new(AtomicI64::new(1_800_000_000_000_000));
        let clock = now_us.clone();
        let options = Options {
            site: Site::in_folder(folder),
            root: None,
            flush_events: 1_000,
            setup_code: "a set-up code".to_owned(),
            geoip: None,
            clock: Arc::new(move || clock.load(Ordering::SeqCst)),
            witnesses: Vec::new(),
            access: Access::default(),
        };
        let engine = Engine::open(options).await.unwrap();
        let enrolment = engine.begin_setup("a set-up code", "owner@clock.example").await.unwrap();
        let totp = totp_rs::Totp::from_url(&enrolment.uri).unwrap();
        let request = SetUp {
            setup_code: "a set-up code".to_owned(),
            organisation: "Clock".to_owned(),
            name: "Olga".to_owned(),
            email: "owner@clock.example".to_owned(),
            password: PASSWORD.to_owned().into(),
            totp_code: totp.generate(now_us.load(Ordering::SeqCst).cast_unsigned() / 1_000_000).to_string(),
            project: "Shop".to_owned(),
            time_zone: "UTC".to_owned(),
        };
        let first = engine.set_up(request, &Visitor::default()).await.unwrap();
        World { engine, now_us, totp, first }
    }

    fn wait(&self, seconds: i64) {
        self.now_us.fetch_add(seconds * SECOND_US, Ordering::SeqCst);
    }

    /// A code of an app that was not used yet: there is a new one a minute later.
    fn next_code(&self, totp: &totp_rs::Totp) -> String {
        self.wait(60);
        totp.generate(self.now_us.load(Ordering::SeqCst).cast_unsigned() / 1_000_000).to_string()
    }

    async fn signs_in(&self, password: &str, totp: &totp_rs::Totp, new: Option<&str>) -> crate::Result<SignedIn> {
        let credentials = Credentials {
            email: "owner@clock.example".to_owned(),
            password: password.to_owned().into(),
            code: self.next_code(totp),
            new_password: new.map(|password| password.to_owned().into()),
        };
        self.engine.sign_in(credentials, &Visitor::default()).await
    }

    /// Shows password and code.
    async fn shown(&self) -> SteppedUp {
        let proof =
            StepUpProof::PasswordAndCode { password: PASSWORD.to_owned().into(), code: self.next_code(&self.totp) };
        let shown = self.engine.finish_step_up(&self.first.caller, RequestHash::of(&[]), proof).await;
        shown.unwrap_or_else(|error| panic!("{error}"))
    }
}

fn code<T>(result: crate::Result<T>) -> &'static str {
    match result {
        Ok(_) => "fine",
        Err(Error::Refused { code, .. }) => code,
        Err(Error::NotSignedIn) => "not signed in",
        Err(Error::Locked) => "locked",
        Err(Error::NotFound(_)) => "not found",
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_token_that_was_exchanged_is_good_for_a_minute_more_and_none_beyond_its_day() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path()).await;
    let (engine, caller) = (&world.engine, &world.first.caller);
    let project = engine.project_of(caller.member.org, cofferdam_model::ProjectId(1)).unwrap();
    let new = NewToken { name: "Nightly".to_owned(), is_for: TokenUse::Query, days: 1, network: None };
    let made = engine.make_token(caller, world.shown().await, &project, new).await.unwrap();
    let TokenMade::Ready { number, token: old } = made else { panic!("a query token takes one person") };
    let token = engine.rotate_token(caller, world.shown().await, &project, number).await.unwrap();
    world.wait(limits::TOKEN_GRACE_SECONDS);
    assert_eq!(code(engine.authenticate_token(&old, None).await), "fine");
    world.wait(1);
    assert_eq!(code(engine.authenticate_token(&old, None).await), "not signed in");
    assert_eq!(code(engine.authenticate_token(&token, None).await), "fine");
    world.wait(86_400);
    assert_eq!(code(engine.authenticate_token(&token, None).await), "not signed in");
}

#[tokio::test]
async fn where_nobody_else_can_agree_an_hour_passes_and_not_less() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path()).await;
    let (engine, caller) = (&world.engine, &world.first.caller);
    let target = LockTarget::Address([192, 0, 2, 9].into());
    let locks = engine.lock(caller, world.shown().await, &[target], LockReason::Drill).await.unwrap();
    let asked = engine.unlock(caller, world.shown().await, locks[0]).await.unwrap();
    assert_eq!(asked.due_us, Some(engine.now_us() + limits::ALONE_SECONDS * SECOND_US));
    assert_eq!(code(engine.go_alone(caller, world.shown().await, asked.id).await), "not_due");
    assert_eq!(code(engine.agree(caller, world.shown().await, asked.id).await), "not_a_second_person");
    world.wait(limits::ALONE_SECONDS);
    assert_eq!(engine.locks(caller).await.unwrap().len(), 1);
    assert_eq!(code(engine.go_alone(caller, world.shown().await, asked.id).await), "fine");
    assert!(engine.locks(caller).await.unwrap().is_empty());
}

#[tokio::test]
async fn another_password_and_another_app_take_an_old_factor_and_end_other_sessions() {
    const OTHER: &str = "seven violet tractors hum";
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path()).await;
    let (engine, caller) = (&world.engine, &world.first.caller);
    let elsewhere = world.signs_in(PASSWORD, &world.totp, None).await.unwrap_or_else(|error| panic!("{error}"));
    let change = async |password: &str| {
        let shown = world.shown().await;
        code(engine.change_password(caller, shown, password.to_owned().into()).await)
    };
    assert_eq!((change("short").await, change(PASSWORD).await), ("weak_password", "same_password"));
    assert_eq!(code(engine.authenticate(&elsewhere.token, &Visitor::default()).await), "fine");
    assert_eq!(change(OTHER).await, "fine");
    assert_eq!(code(engine.authenticate(&elsewhere.token, &Visitor::default()).await), "not signed in");
    assert_eq!(code(engine.authenticate(&world.first.token, &Visitor::default()).await), "fine");
    assert_eq!(code(world.signs_in(PASSWORD, &world.totp, None).await), "wrong_credentials");
    assert_eq!(code(world.signs_in(OTHER, &world.totp, None).await), "fine");

    let show = async |totp: &totp_rs::Totp| {
        let proof = StepUpProof::PasswordAndCode { password: OTHER.to_owned().into(), code: world.next_code(totp) };
        engine.finish_step_up(caller, RequestHash::of(&[]), proof).await.unwrap_or_else(|error| panic!("{error}"))
    };
    let shown = show(&world.totp).await;
    assert_eq!(code(engine.change_authenticator(caller, shown, "123456").await), "totp_not_started");
    let phone = totp_rs::Totp::from_url(&engine.begin_authenticator(caller).await.unwrap().uri).unwrap();
    let shown = show(&world.totp).await;
    let first = world.next_code(&world.totp);
    assert_eq!(code(engine.change_authenticator(caller, shown, &first).await), "wrong_totp", "of the old app");
    let shown = show(&world.totp).await;
    let first = world.next_code(&phone);
    assert_eq!(code(engine.change_authenticator(caller, shown, &first).await), "fine");
    assert_eq!(code(world.signs_in(OTHER, &world.totp, None).await), "wrong_credentials");
    let credentials = Credentials {
        email: "owner@clock.example".to_owned(),
        password: OTHER.to_owned().into(),
        code: first,
        new_password: None,
    };
    assert_eq!(code(engine.sign_in(credentials, &Visitor::default()).await), "wrong_credentials", "it was used");
    assert_eq!(code(world.signs_in(OTHER, &phone, None).await), "fine");
    // What is offered is good for a quarter of an hour.
    let late = totp_rs::Totp::from_url(&engine.begin_authenticator(caller).await.unwrap().uri).unwrap();
    world.wait(limits::AUTHENTICATOR_SECONDS);
    let shown = show(&phone).await;
    let first = world.next_code(&late);
    assert_eq!(code(engine.change_authenticator(caller, shown, &first).await), "totp_not_started");
    engine.ledger.settle().unwrap();
    let entries = engine.ledger.entries(0, engine.ledger.size()).unwrap();
    let count = |kind| entries.iter().filter(|found| found.entry.kind == kind).count();
    assert_eq!((count(Kind::PasswordChanged), count(Kind::AuthenticatorChanged)), (1, 1));
}

#[tokio::test]
async fn who_is_made_to_sign_in_anew_and_has_no_passkey_leaves_the_password_behind() {
    const OTHER: &str = "seven violet tractors hum";
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path()).await;
    let engine = &world.engine;
    engine.locks.insert(OrgId(1), &[LockTarget::Reset(1)], engine.now_us());
    assert_eq!(code(engine.authenticate(&world.first.token, &Visitor::default()).await), "locked");
    assert_eq!(code(world.signs_in(PASSWORD, &world.totp, None).await), "new_password_needed");
    assert_eq!(code(world.signs_in(PASSWORD, &world.totp, Some(PASSWORD)).await), "same_password");
    assert_eq!(code(world.signs_in("a wrong password", &world.totp, Some(OTHER)).await), "wrong_credentials");
    engine.locks.insert(OrgId(1), &[LockTarget::Member(1)], engine.now_us());
    assert_eq!(code(world.signs_in(PASSWORD, &world.totp, Some(OTHER)).await), "locked", "and nothing is exchanged");
    engine.locks.remove(OrgId(1), LockTarget::Member(1));
    assert_eq!(code(world.signs_in(PASSWORD, &world.totp, Some(OTHER)).await), "fine");
    assert_eq!(code(world.signs_in(PASSWORD, &world.totp, None).await), "wrong_credentials");
    assert_eq!(code(world.signs_in(OTHER, &world.totp, None).await), "fine", "once is enough");
}

#[tokio::test]
async fn sessions_and_invitations_end_by_themselves() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path()).await;
    let (engine, caller) = (&world.engine, &world.first.caller);
    let viewer = Roles::NONE.with(Role::Viewer);
    let invited = engine.invite(caller, world.shown().await, viewer).await.unwrap();
    // Long enough that its next use is noted.
    world.wait(1);
    let token = &world.first.token;
    let days = limits::SESSION_SECONDS_MAX / limits::SESSION_IDLE_SECONDS_MAX;
    for turn in 0..days {
        assert_eq!(code(engine.authenticate(token, &Visitor::default()).await), "fine", "turn {turn}");
        let is_there = turn * limits::SESSION_IDLE_SECONDS_MAX < limits::INVITATION_SECONDS - 61;
        let expected = if is_there { "fine" } else { "wrong_invitation" };
        assert_eq!(code(engine.begin_join(&invited.code, "new@clock.example").await), expected, "turn {turn}");
        world.wait(limits::SESSION_IDLE_SECONDS_MAX);
    }
    world.wait(1);
    assert_eq!(
        code(engine.authenticate(token, &Visitor::default()).await),
        "not signed in",
        "used all the time, and too old"
    );

    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path()).await;
    world.wait(limits::SESSION_IDLE_SECONDS_MAX + 1);
    assert_eq!(
        code(world.engine.authenticate(&world.first.token, &Visitor::default()).await),
        "not signed in",
        "not used"
    );
}

#[tokio::test]
async fn a_session_that_another_browser_uses_is_written_down_once_and_a_newer_version_is_the_same_browser() {
    const CHROME: &str =
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36";
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path()).await;
    let engine = &world.engine;
    let visitor = |user_agent: &str| Visitor { user_agent: user_agent.to_owned(), ..Visitor::default() };
    let (email, code) = ("owner@clock.example".to_owned(), world.next_code(&world.totp));
    let credentials = Credentials { email, password: PASSWORD.to_owned().into(), code, new_password: None };
    let session = engine.sign_in(credentials, &visitor(CHROME)).await.unwrap_or_else(|error| panic!("{error}"));
    let written = || {
        engine.ledger.settle().unwrap();
        let entries = engine.ledger.entries(0, engine.ledger.size()).unwrap();
        entries.iter().filter(|found| found.entry.kind == Kind::SessionElsewhere).count()
    };
    let firefox = "Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0";
    let newer = CHROME.replace("130", "131");
    for (user_agent, expected) in [(CHROME, 0), (&*newer, 0), (firefox, 1), ("curl/8.0", 1), (CHROME, 1)] {
        assert!(engine.authenticate(&session.token, &visitor(user_agent)).await.is_ok(), "{user_agent}");
        assert_eq!(written(), expected, "{user_agent}");
    }
    // The first session was opened by a program.
    assert!(engine.authenticate(&world.first.token, &visitor(firefox)).await.is_ok());
    assert_eq!(written(), 1);
}

#[tokio::test]
async fn less_than_a_passkey_opens_nothing_and_what_was_shown_is_for_its_request() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(home.path()).await;
    let caller = &world.first.caller;
    let request = RequestHash::of(&[]);
    let opens = async |class| code(world.shown().await.spend(caller, request, class));
    assert_eq!(opens(cofferdam_model::Class::C2).await, "fine");
    assert_eq!(opens(cofferdam_model::Class::C3).await, "passkey_needed");
    let elsewhere = world.shown().await.spend(caller, RequestHash::of(&[b"other"]), cofferdam_model::Class::C0);
    assert_eq!(code(elsewhere), "step_up_refused");
    let shown = world.shown().await;
    assert_eq!(shown.newest_us(), caller.session.opened_us, "the browser is as young as this");
}
