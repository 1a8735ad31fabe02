//! A believable world for a first look and for tests of the whole: an API platform with 300 organisations,
//! 20,000 developers and about a million events over the 90 days up to now. It comes in by the public HTTP
//! door only, as a customer's would, personal data sent by mistake included.
//!
//! Identity is Mixpanel's simplified merge: visits carry `$device_id`; "Signed Up" is the first event with both
//! `$device_id` and `$user_id`, which links the visits to the user.
//!
//! # What there is to find
//!
//! Days count from 0; day 89 is today. Sizes are those of the default options; `tests` checks each of them on
//! a smaller world.
//!
//! | # | finding | where to look | expected |
//! |---|---|---|---|
//! | 1 | working week | any event by day | Saturday and Sunday about 40 % of a working day |
//! | 2 | growth | "Signed Up" by week | the last full weeks bring about 2× the first ones |
//! | 3 | quiet nights | any event by local hour of one country | 0–5 h: under 3 % of events |
//! | 4 | launch spike, day 30–32 | "Page Viewed" by `$referrer` or `utm_source` | launchboard: ~2,800 visitors on 3 days, else two a day |
//! | 5 | launch visitors stay away | funnel Page Viewed → Signed Up by `utm_source` of the first step | launchboard ~9 %, newsletter ~34 % |
//! | 6 | broken Go quick-start | funnel API Key Created → First API Call by `sdk_language` | Go about half of the others |
//! | 7 | its cause | "Docs Read" by `docs_page`, `helpful` | quickstart/go unhelpful ~62 %, others ~9 % |
//! | 8 | new onboarding, day 45 | funnel Signed Up → First API Call by `onboarding_version` | v1 ~39 %, v2 ~61 % |
//! | 9 | new model, day 52 | "API Request Completed" by `model` | kestrel-1: none before, ~40 % of requests at the end |
//! | 10 | error wave, day 58–60 | "API Request Failed" where `error_code` = 429 by `model` | sable-large: over half of its requests, else < 1 % |
//! | 11 | the wave drives people away | of those active on days 58–60: back on days 67–80, with a 429 on sable-large against the rest | ~46 % against ~79 % |
//! | 12 | invited developers stay | retention from "Signed Up" by `invited` | week 1: 61 % against 37 %, week 4: 42 % against 19 % |
//! | 13 | upgrades follow invites | funnel "Invite Sent" → "Plan Upgraded", 14 days; against all others | ~8 % (15 % where the invite was accepted) against 0.4 % |
//! | 14 | price change, day 66 | "Plan Cancelled" by day, by `reason` | days 66–73: about 14 a day against one, 80 % "price" |
//! | 15 | heavy tail | events per person | the top 1 % of developers make about 19 % of the events |
//!
//! # What the door has to do
//!
//! Profiles carry `$email`, `$name`, `$phone`, `$ip`; "Signed Up" an `email` and an `ip`; every event of a member
//! of an organisation its `organization_id`; 3 % of "API Key Created" and some failed requests a secret shaped
//! `sk-…`; tickets addresses and phone numbers in free text; "Invite Sent" the address of somebody who is not
//! even a user; the landing page of an invitation an address in its query string; referrers whole search URLs.
//! All of it is fiction: names of two lists, domains under `.example`, numbers and networks reserved for
//! documentation.

mod json;
mod stream;
mod tables;
#[cfg(test)]
mod tests;
mod world;

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use self::stream::{Batch, Batches, Door, Pace, Route, act, create_key, first_call, member, visitor, write_world};
use self::tables::{CHANNELS, GO};
use self::world::{DAYS, Developer, Rng, Stream, plan};
pub(crate) use self::world::{World, WorldOptions};
use crate::import::client::{Answer, Client, Encoding, Patience};

/// Connections at once: enough that the server never waits for the generator, on a machine they share.
const SENDERS: usize = 3;
/// Batches written ahead of the senders; bounds the memory at a dozen megabytes.
const BATCHES_AHEAD: usize = 4;

/// The demo world; how the demo server is started is not in here.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// Seed of the world: the same seed on the same day makes the same world
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// About how many events the world has
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1000..=100_000_000))]
    pub(crate) events: u32,
    /// How many developers sign up in it
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=5_000_000))]
    pub(crate) developers: u32,
    /// How many organisations they work for
    #[arg(long, default_value_t = 300, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) organisations: u32,
    /// Do not send live events once the world is in
    #[arg(long)]
    pub(crate) no_trickle: bool,
    /// Do not show progress
    #[arg(long)]
    pub(crate) quiet: bool,
}

impl DemoArgs {
    pub(crate) fn world(&self, now_s: i64) -> WorldOptions {
        WorldOptions {
            seed: self.seed,
            now_s,
            organisations: self.organisations,
            developers: self.developers,
            events: self.events,
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        if self.quiet { Progress::Silent } else { Progress::Shown }
    }
}

/// Where progress goes while a world is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// A bar on a terminal, a line every few seconds elsewhere; on stderr.
    Shown,
    Silent,
}

/// What has been sent and acknowledged.
pub(crate) struct DemoReport {
    pub(crate) world: World,
    pub(crate) events: u64,
    pub(crate) profiles: u64,
    pub(crate) organisations: u64,
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
    pub(crate) elapsed: Duration,
}

#[derive(Default)]
struct Sent {
    events: AtomicU64,
    profiles: AtomicU64,
    organisations: AtomicU64,
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// Makes the world and sends it; returns when the server has acknowledged all of it.
pub(crate) fn generate(
    base_url: &str,
    token: &str,
    options: &WorldOptions,
    progress: Progress,
) -> anyhow::Result<DemoReport> {
    let started = Instant::now();
    let client = Client::new(base_url, token, Patience::LONG)?;
    let world = World::new(options);
    let meter = Meter::new(progress, u64::from(options.events));
    let sent = Sent::default();
    let failure: Mutex<Option<anyhow::Error>> = Mutex::new(None);
    let failed = AtomicBool::new(false);

    let (ahead, waiting) = mpsc::sync_channel::<Batch>(BATCHES_AHEAD);
    let waiting = Mutex::new(waiting);
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
                    let Ok(batch) = next else { return };
                    // After a failure batches are only drained, so that the writer never blocks.
                    if failed.load(Ordering::Relaxed) {
                        continue;
                    }
                    match send(&client, &batch) {
                        Ok(()) => meter.at(sent.count(&batch)),
                        Err(error) => {
                            failed.store(true, Ordering::Relaxed);
                            failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(error);
                        }
                    }
                }
            });
        }
        let mut deliver = |batch| {
            // Fails only when every sender is gone, which the failure above then explains.
            let _ = ahead.send(batch);
        };
        let mut batches = Batches::new(Door::Import, token, world.end_ms(), &mut deliver);
        write_world(&world, &mut batches, |_| !failed.load(Ordering::Relaxed));
        drop(ahead);
    });

    if let Some(error) = failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        meter.stop();
        return Err(error.context("cannot send the demo world"));
    }
    let report = DemoReport {
        world,
        events: sent.events.into_inner(),
        profiles: sent.profiles.into_inner(),
        organisations: sent.organisations.into_inner(),
        requests: sent.requests.into_inner(),
        bytes: sent.bytes.into_inner(),
        elapsed: started.elapsed(),
    };
    meter.done(&report);
    Ok(report)
}

impl Sent {
    /// Returns the events acknowledged so far.
    fn count(&self, batch: &Batch) -> u64 {
        let of_kind = match batch.route {
            Route::Events => &self.events,
            Route::Profiles => &self.profiles,
            Route::Groups => &self.organisations,
        };
        of_kind.fetch_add(u64::from(batch.records), Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(batch.body.len() as u64, Ordering::Relaxed);
        self.events.load(Ordering::Relaxed)
    }
}

/// Bodies go uncompressed: over loopback, compressing and decompressing cost more than they save.
fn send(client: &Client, batch: &Batch) -> anyhow::Result<()> {
    let path = match batch.route {
        Route::Events => {
            return match client.import(&batch.body, batch.records as usize, Encoding::Plain)? {
                Answer::Counted { refused, .. } => match refused.first() {
                    None => Ok(()),
                    Some(one) => Err(anyhow::anyhow!(
                        "the server refused {} of {} demo events, the first because of {}: {}",
                        refused.len(),
                        batch.records,
                        one.field,
                        one.reason
                    )),
                },
                Answer::TooLarge => Err(anyhow::anyhow!("the server takes no batch of {} bytes", batch.body.len())),
            };
        }
        Route::Profiles => "/engage",
        Route::Groups => "/groups",
    };
    client.send(path, &batch.body)
}

/// Progress as a bar, as lines, or not at all.
struct Meter {
    bar: Option<ProgressBar>,
    lines: Option<Mutex<Instant>>,
    total: u64,
    started: Instant,
}

impl Meter {
    const LINE_EVERY: Duration = Duration::from_secs(5);

    fn new(progress: Progress, total: u64) -> Self {
        let started = Instant::now();
        let terminal = std::io::stderr().is_terminal();
        let bar = (progress == Progress::Shown && terminal).then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(8));
            if let Ok(style) =
                ProgressStyle::with_template("{bar:32} {human_pos} of about {human_len} events, {per_sec}, {eta} left")
            {
                bar.set_style(style);
            }
            bar
        });
        let lines = (progress == Progress::Shown && !terminal).then(|| Mutex::new(started));
        Self { bar, lines, total, started }
    }

    fn at(&self, events: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(self.total.max(events));
            bar.set_position(events);
        }
        let Some(lines) = &self.lines else { return };
        let mut last = lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.elapsed() >= Self::LINE_EVERY {
            *last = Instant::now();
            let rate = events as f64 / self.started.elapsed().as_secs_f64().max(0.001);
            let left = self.total.saturating_sub(events) as f64 / rate.max(1.0);
            say(&format!("{events} of about {} events sent, {rate:.0} a second, {left:.0} s left", self.total));
        }
    }

    fn stop(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }

    fn done(&self, report: &DemoReport) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.lines.is_some() || self.bar.is_some() {
            let seconds = report.elapsed.as_secs_f64();
            say(&format!(
                "{} events sent in {} requests and {seconds:.1} s, {:.0} a second",
                report.events,
                report.requests,
                report.events as f64 / seconds.max(0.001)
            ));
        }
    }
}

fn say(line: &str) {
    // A closed stderr is no reason to stop sending.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A newcomer in the live stream, and how far they have come.
struct Newcomer {
    developer: Developer,
    step: u32,
    last_ms: i64,
}

/// Sends a few events a second, from people of the world and from newcomers, until `stop` is set; returns how
/// many the server has acknowledged. A server that is away is waited for.
pub(crate) fn trickle(base_url: &str, token: &str, world: &World, stop: &AtomicBool) -> u64 {
    let client = match Client::new(base_url, token, Patience::SHORT) {
        Ok(client) => client,
        Err(error) => {
            tracing::error!("cannot send live demo events: {error}");
            return 0;
        }
    };
    let mut live = Live::new(world, now_ms());
    let (mut acknowledged, mut away) = (0u64, false);
    while !stop.load(Ordering::Relaxed) {
        let mut events = 0u64;
        let mut outcome = Ok(());
        let now_ms = now_ms();
        let mut deliver = |batch: Batch| {
            let path = match batch.route {
                Route::Events => "/track",
                Route::Profiles => "/engage",
                Route::Groups => "/groups",
            };
            match client.send(path, &batch.body) {
                Ok(()) if batch.route == Route::Events => events += u64::from(batch.records),
                Ok(()) => {}
                Err(error) => outcome = Err(error),
            }
        };
        let mut batches = Batches::new(Door::Track, token, now_ms, &mut deliver);
        live.tick(now_ms, &mut batches);
        batches.flush();
        acknowledged += events;
        match (outcome, away) {
            (Err(error), false) => {
                tracing::warn!("live demo events are not accepted, trying on: {error}");
                away = true;
            }
            (Ok(()), true) => away = false,
            _ => {}
        }
        let pause_ms = if away { 5000 } else { 500 + u64::from(live.rng.below(700)) };
        sleep_unless(stop, Duration::from_millis(pause_ms));
    }
    acknowledged
}

/// The world going on after its end, one tick at a time.
struct Live<'w> {
    world: &'w World,
    /// Numbers of those who have a key, a first call, and have not left.
    members: Vec<u32>,
    newcomers: Vec<Newcomer>,
    rng: Rng,
    next_number: u64,
}

impl<'w> Live<'w> {
    const EVENTS_PER_TICK: [u32; 2] = [3, 7];
    const NEWCOMERS_MAX: usize = 200;
    /// Between two steps of a newcomer, so that their order can be seen in the times.
    const STEP_MS_MIN: i64 = 3000;

    fn new(world: &'w World, now_ms: i64) -> Self {
        let stays =
            |d: &Developer| d.last_day >= DAYS as i16 - 1 && d.first_call_day.is_some_and(|at| at < DAYS as i16);
        let members = (0u32..).zip(&world.developers).filter(|(_, d)| stays(d)).map(|(number, _)| number).collect();
        // Two runs of the stream over one world must not have the same newcomers: the clock is in their numbers.
        let next_number = 1 << 62 | (now_ms as u64 & 0xffff_ffff_ffff) << 10;
        let rng = Rng::new(world.options.seed, Stream::Live, now_ms as u64);
        Self { world, members, newcomers: Vec::new(), rng, next_number }
    }

    fn tick(&mut self, now_ms: i64, out: &mut Batches<'_>) {
        let [fewest, most] = Self::EVENTS_PER_TICK;
        for _ in 0..fewest + self.rng.below(most - fewest + 1) {
            let dice = self.rng.unit();
            if dice < 0.70 && !self.members.is_empty() {
                self.member_acts(now_ms, out);
            } else if dice < 0.80 || self.newcomers.is_empty() {
                self.newcomer_arrives(now_ms, out);
            } else {
                self.newcomer_goes_on(now_ms, out);
            }
        }
    }

    fn insert_ids(&mut self) -> Rng {
        Rng::new(self.rng.next(), Stream::InsertId, 0)
    }

    fn member_acts(&mut self, now_ms: i64, out: &mut Batches<'_>) {
        // The busier of two: the heavy tail goes on.
        let (one, other) = (self.rng.pick(&self.members), self.rng.pick(&self.members));
        let developers = &self.world.developers;
        let busier = if developers[one as usize].weight > developers[other as usize].weight { one } else { other };
        let developer = &developers[busier as usize];
        let mut actor = member(developer, DAYS - 1, self.insert_ids());
        act(developer, DAYS - 1, now_ms, &mut self.rng, &mut actor, out);
    }

    fn newcomer_arrives(&mut self, now_ms: i64, out: &mut Batches<'_>) {
        self.next_number += 1;
        let number = self.next_number;
        let developer = self.world.newcomer(number, &mut self.rng);
        let mut actor = visitor(&developer, self.insert_ids());
        let channel = &CHANNELS[usize::from(developer.channel)];
        self.world.visit(channel, now_ms, 1, &mut self.rng, &mut actor, out);
        if self.newcomers.len() < Self::NEWCOMERS_MAX {
            self.newcomers.push(Newcomer { developer, step: 0, last_ms: now_ms });
        }
    }

    fn newcomer_goes_on(&mut self, now_ms: i64, out: &mut Batches<'_>) {
        let at = self.rng.below(self.newcomers.len() as u32) as usize;
        let insert_ids = self.insert_ids();
        let rng = &mut self.rng;
        let newcomer = &mut self.newcomers[at];
        if now_ms - newcomer.last_ms < Self::STEP_MS_MIN {
            return;
        }
        newcomer.last_ms = now_ms;
        newcomer.step += 1;
        let developer = &mut newcomer.developer;
        let mut gone = false;
        match newcomer.step {
            1 => {
                let mut actor = visitor(developer, insert_ids);
                self.world.visit(&CHANNELS[usize::from(developer.channel)], now_ms, 1, rng, &mut actor, out);
                gone = !rng.chance(0.4);
            }
            2 => {
                let mut actor = member(developer, DAYS - 1, insert_ids);
                self.world.sign_up(developer, now_ms, Pace::Live, rng, &mut actor, out);
                out.profile(self.world, developer);
                gone = !rng.chance(plan::KEY_CREATED[1]);
            }
            3 => {
                developer.key_day = Some(DAYS as i16 - 1);
                create_key(now_ms, rng, &mut member(developer, DAYS - 1, insert_ids), out);
                let go = if developer.language == GO { plan::GO_FIRST_CALL } else { 1.0 };
                gone = !rng.chance(plan::FIRST_CALL[1] * go);
            }
            4 => {
                developer.first_call_day = Some(DAYS as i16 - 1);
                first_call(developer, now_ms, rng, &mut member(developer, DAYS - 1, insert_ids), out);
            }
            _ => act(developer, DAYS - 1, now_ms, rng, &mut member(developer, DAYS - 1, insert_ids), out),
        }
        if gone || newcomer.step > 12 {
            self.newcomers.swap_remove(at);
        }
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn sleep_unless(stop: &AtomicBool, pause: Duration) {
    let until = Instant::now() + pause;
    while !stop.load(Ordering::Relaxed) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(100)));
    }
}
