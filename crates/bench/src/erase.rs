//! Erasing through the engine: how long until one person is in no answer, until their rows are out of the files, and
//! how long very many persons take at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use cofferdam_engine::{
    Access, Agreed, Door, Engine, ErasureReason, IdentityMode, Options, ProfileKind, Project, RequestHash, SetUp, Site,
    StepUpProof, Strictness, Visitor, Whom,
};
use cofferdam_model::limits;
use serde_json::{Value, json};

#[derive(clap::Args)]
pub(crate) struct EraseArgs {
    /// Persons that are erased at once; a tenth more are there
    #[arg(long, default_value_t = 110_000)]
    subjects: u64,
    #[arg(long)]
    folder: PathBuf,
}

const EVENTS_EACH: u64 = 5;
const BATCH: u64 = 2_000;
const SETUP_CODE: &str = "bench-setup-code";
const PASSWORD: &str = "a password of the bench";

pub(crate) async fn run(args: &EraseArgs) -> Result<()> {
    std::fs::create_dir_all(&args.folder)?;
    ensure!(std::fs::read_dir(&args.folder)?.next().is_none(), "{} is not empty", args.folder.display());
    // A code of the authenticator is good once: between two of them the bench's clock goes on by a minute.
    let ahead_us = Arc::new(AtomicI64::new(0));
    let clock = {
        let ahead_us = ahead_us.clone();
        move || jiff::Timestamp::now().as_microsecond() + ahead_us.load(Ordering::Relaxed)
    };
    let engine = Engine::open(Options {
        site: Site::in_folder(&args.folder),
        root: None,
        flush_events: cofferdam_model::limits::FLUSH_EVENTS,
        setup_code: SETUP_CODE.to_owned(),
        geoip: None,
        clock: Arc::new(clock),
        witnesses: Vec::new(),
        access: Access::default(),
    })
    .await?;
    let enrolment = engine.begin_setup(SETUP_CODE, "bench@example.org").await?;
    let totp = totp_rs::Totp::from_url(&enrolment.uri).context("the enrolment's address")?;
    let code = || {
        ahead_us.fetch_add(60_000_000, Ordering::Relaxed);
        totp.generate(engine.now_us().cast_unsigned() / 1_000_000).to_string()
    };
    let request = SetUp {
        setup_code: SETUP_CODE.to_owned(),
        organisation: "Bench".to_owned(),
        name: "Bench".to_owned(),
        email: "bench@example.org".to_owned(),
        password: PASSWORD.to_owned().into(),
        totp_code: code(),
        project: "First".to_owned(),
        time_zone: "UTC".to_owned(),
    };
    let caller = engine.set_up(request, &Visitor::default()).await?.caller;
    let made = engine.create_project(&caller.member, "Shop", "UTC", IdentityMode::Simplified, false).await?;
    let project = engine.project_of(caller.member.org, made.id)?;
    let all = args.subjects + args.subjects.div_ceil(10).max(2);
    fill(&engine, &project, all).await?;
    let left = |persons: u64| (persons * EVENTS_EACH, persons);

    let erase = async |from: u64, to: u64| -> Result<f64> {
        let whom = Whom { persons: Vec::new(), ids: (from..to).map(id).collect() };
        let shown = async || {
            let proof = StepUpProof::PasswordAndCode { password: PASSWORD.to_owned().into(), code: code() };
            engine.finish_step_up(&caller, RequestHash::of(&[]), proof).await
        };
        let erase = async |stepped_up| engine.erase(&caller, stepped_up, &project, &whom, ErasureReason::Request).await;
        // Nobody else is there to agree: an hour passes.
        let Agreed::Waits(asked) = erase(shown().await?).await? else { bail!("nobody agreed") };
        ahead_us.fetch_add(limits::ALONE_SECONDS * 1_000_000, Ordering::Relaxed);
        engine.go_alone(&caller, shown().await?, asked.id).await?;
        let started = Instant::now();
        let Agreed::Given(made) = erase(shown().await?).await? else { bail!("the hour is over") };
        let status = engine.status(&project).await?;
        let seconds = started.elapsed().as_secs_f64();
        ensure!(made.unknown == 0 && (status.events, status.persons) == left(all - to), "{status:?}");
        Ok(seconds)
    };
    say(&format!("one of {all} persons, until no answer has anything of them: {:.2} s", erase(0, 1).await?));
    compact(&engine).await?;
    let seconds = erase(1, args.subjects + 1).await?;
    say(&format!("{} persons at once, until no answer has anything of them: {seconds:.1} s", args.subjects));
    compact(&engine).await
}

async fn compact(engine: &Engine) -> Result<()> {
    let started = Instant::now();
    let done = engine.compact().await?;
    ensure!(done.hidden_after == 0, "{done:?}");
    let seconds = started.elapsed().as_secs_f64();
    say(&format!("  their rows out of all files ({} hidden rows): {seconds:.2} s", done.hidden_before));
    Ok(())
}

fn id(at: u64) -> String {
    format!("user-{at}")
}

async fn fill(engine: &Engine, project: &Arc<Project>, persons: u64) -> Result<()> {
    let started = Instant::now();
    let now_s = engine.now_us() / 1_000_000;
    for from in (0..persons).step_by(BATCH as usize) {
        let some = from..(from + BATCH).min(persons);
        let set = |at: u64| json!({"$distinct_id": id(at), "$set": {"$email": format!("{}@example.org", id(at)), "plan": "gold"}});
        let body = Value::from(some.clone().map(set).collect::<Vec<Value>>()).to_string();
        let report = engine.update_profiles(body.as_bytes(), ProfileKind::Person, Some(project.clone())).await?;
        ensure!(report.refused.is_empty(), "profiles are refused");
        for round in 0..EVENTS_EACH {
            let event = |at: u64| {
                let properties = json!({"time": now_s - (round * persons + at) as i64 % 2_000_000,
                    "$insert_id": format!("i{round}-{at}"), "distinct_id": id(at), "page": format!("/{}", at % 50)});
                json!({"event": "Visit", "properties": properties})
            };
            let body = Value::from(some.clone().map(event).collect::<Vec<Value>>()).to_string();
            let door = Door::Import(Strictness::Strict);
            let report = engine.ingest(body.as_bytes(), door, Some(project.clone()), None).await?;
            ensure!(report.refused.is_empty(), "events are refused");
        }
    }
    engine.flush().await?;
    say(&format!(
        "made: {persons} persons with a profile and {EVENTS_EACH} events each, {:.1} s",
        started.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn say(line: &str) {
    eprintln!("{line}");
}
