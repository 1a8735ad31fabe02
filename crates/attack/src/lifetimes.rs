//! Sessions and tokens beyond their time: an engine of this process whose clock the attack sets, since days do not pass
//! in a test.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context, Result, ensure};
use cofferdam_engine::{
    Access, Caller, Credentials, Engine, NewToken, Options, RequestHash, SetUp, SignedIn, Site, StepUpProof, SteppedUp,
    TokenMade, TokenUse, Visitor,
};
use cofferdam_model::{ProjectId, limits};

use crate::running::{EMAIL, PASSWORD, SETUP_CODE};
use crate::{Case, Outcome, Stage};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case { number: 10, title: "Sessions that were planted, ended, left alone or kept too long", run: old_sessions },
        Case { number: 33, title: "A token is used after it was exchanged", run: exchanged_token },
    ]
}

const SECOND_US: i64 = 1_000_000;

struct World {
    engine: Engine,
    now_us: Arc<AtomicI64>,
    totp: totp_rs::Totp,
    first: SignedIn,
}

impl World {
    async fn new(stage: &Stage) -> Result<World> {
        let now_us = Arc::new(AtomicI64::new(1_800_000_000 * SECOND_US));
        let clock = now_us.clone();
        let folder = stage.folder.join("data");
        std::fs::create_dir(&folder)?;
        let engine = Engine::open(Options {
            site: Site::in_folder(&folder),
            root: None,
            flush_events: 1_000,
            setup_code: SETUP_CODE.to_owned(),
            geoip: None,
            clock: Arc::new(move || clock.load(Ordering::SeqCst)),
            witnesses: Vec::new(),
            access: Access::default(),
        })
        .await?;
        let enrolment = engine.begin_setup(SETUP_CODE, EMAIL).await?;
        let totp = totp_rs::Totp::from_url(&enrolment.uri).ok().context("an otpauth address that cannot be read")?;
        let request = SetUp {
            setup_code: SETUP_CODE.to_owned(),
            organisation: "Attacked".to_owned(),
            name: "Olga Owner".to_owned(),
            email: EMAIL.to_owned(),
            password: PASSWORD.to_owned().into(),
            totp_code: totp.generate(now_us.load(Ordering::SeqCst).cast_unsigned() / 1_000_000).to_string(),
            project: "Shop".to_owned(),
            time_zone: "UTC".to_owned(),
        };
        let first = engine.set_up(request, &Visitor::default()).await?;
        Ok(World { engine, now_us, totp, first })
    }

    fn wait(&self, seconds: i64) {
        self.now_us.fetch_add(seconds * SECOND_US, Ordering::SeqCst);
    }

    /// A code that was not used yet: there is a new one a minute later.
    fn code(&self) -> String {
        self.wait(60);
        self.totp.generate(self.now_us.load(Ordering::SeqCst).cast_unsigned() / 1_000_000).to_string()
    }

    async fn shown(&self, caller: &Caller) -> Result<SteppedUp> {
        let proof = StepUpProof::PasswordAndCode { password: PASSWORD.to_owned().into(), code: self.code() };
        Ok(self.engine.finish_step_up(caller, RequestHash::of(&[]), proof).await?)
    }

    async fn sign_in(&self, visitor: &Visitor) -> Result<SignedIn> {
        let credentials = Credentials {
            email: EMAIL.to_owned(),
            password: PASSWORD.to_owned().into(),
            code: self.code(),
            new_password: None,
        };
        Ok(self.engine.sign_in(credentials, visitor).await?)
    }

    async fn is_in(&self, token: &str) -> bool {
        self.engine.authenticate(token, &Visitor::default()).await.is_ok()
    }
}

fn run<T>(task: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(task)
}

fn old_sessions(stage: &Stage) -> Result<Outcome> {
    run(async {
        let world = World::new(stage).await?;
        let mut used: Vec<&str> = Vec::new();
        // A session that the attacker made up, or has, and put into the victim's browser before it signs in.
        let planted = "5a".repeat(32);
        let visitor = |session: &str| Visitor { session: Some(session.to_owned()), ..Visitor::default() };
        let second = world.sign_in(&visitor(&planted)).await?;
        if second.token == planted || world.is_in(&planted).await {
            used.push("a planted one");
        }
        let third = world.sign_in(&visitor(&second.token)).await?;
        if third.token == second.token || world.is_in(&second.token).await {
            used.push("the browser's old one");
        }
        world.engine.sign_out(&third.token).await?;
        if world.is_in(&third.token).await {
            used.push("one that was signed out");
        }
        ensure!(world.is_in(&world.first.token).await, "a session is good for no use at all");
        let many = usize::try_from(limits::SESSIONS_MAX)? + 1;
        let mut opened = Vec::new();
        for _ in 0..many {
            opened.push(world.sign_in(&Visitor::default()).await?.token);
        }
        let mut alive = 0;
        for token in opened.iter().chain([&world.first.token]) {
            alive += usize::from(world.is_in(token).await);
        }
        if alive >= many {
            used.push("more than there may be");
        }
        // One that is used every hour, and one that nobody uses.
        let (busy, idle) = (&opened[many - 1], &opened[many - 2]);
        for _ in 0..limits::SESSION_IDLE_SECONDS_MAX / 3_600 {
            world.wait(3_600);
            ensure!(world.is_in(busy).await, "a session that is used ends before its time");
        }
        if world.is_in(idle).await {
            used.push("one that was left alone");
        }
        for _ in 0..(limits::SESSION_SECONDS_MAX - limits::SESSION_IDLE_SECONDS_MAX) / 3_600 {
            world.wait(3_600);
            world.is_in(busy).await;
        }
        world.wait(1);
        if world.is_in(busy).await {
            used.push("one that was kept too long");
        }
        Ok(Outcome {
            is_through: !used.is_empty(),
            figure: format!(
                "{} of 6 kinds of old session of use{}{}; {alive} at once at most",
                used.len(),
                if used.is_empty() { "" } else { ": " },
                used.join(", ")
            ),
        })
    })
}

fn exchanged_token(stage: &Stage) -> Result<Outcome> {
    run(async {
        let world = World::new(stage).await?;
        let (engine, caller) = (&world.engine, &world.first.caller);
        let project = engine.project_of(caller.member.org, ProjectId(1))?;
        let new = NewToken { name: "Nightly".to_owned(), is_for: TokenUse::Query, days: 1, network: None };
        let made = engine.make_token(caller, world.shown(caller).await?, &project, new).await?;
        let TokenMade::Ready { number, token: first } = made else { anyhow::bail!("a query token takes one person") };
        let second = engine.rotate_token(caller, world.shown(caller).await?, &project, number).await?;
        world.wait(limits::TOKEN_GRACE_SECONDS);
        ensure!(engine.authenticate_token(&first, None).await.is_ok(), "the grace is shorter than it says");
        let mut used: Vec<&str> = Vec::new();
        let mut note = |is_in: bool, what| used.extend(is_in.then_some(what));
        world.wait(1);
        note(engine.authenticate_token(&first, None).await.is_ok(), "after the grace");
        world.wait(60 * 60);
        note(engine.authenticate_token(&first, None).await.is_ok(), "an hour later");
        ensure!(engine.authenticate_token(&second, None).await.is_ok(), "the new one is of no use");
        let third = engine.rotate_token(caller, world.shown(caller).await?, &project, number).await?;
        note(engine.authenticate_token(&first, None).await.is_ok(), "one before the last, within the grace");
        engine.revoke_token(caller, &project, number).await?;
        note(engine.authenticate_token(&second, None).await.is_ok(), "revoked within its grace");
        note(engine.authenticate_token(&third, None).await.is_ok(), "revoked");
        Ok(Outcome {
            is_through: !used.is_empty(),
            figure: format!(
                "{} of 5 uses of an old token{}{}; it was good for {} s after it was exchanged",
                used.len(),
                if used.is_empty() { "" } else { ": " },
                used.join(", "),
                limits::TOKEN_GRACE_SECONDS
            ),
        })
    })
}
