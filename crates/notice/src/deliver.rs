//! Delivery: takes leases from the outbox, has their addresses opened, and sends over a few connections at once.
//!
//! Addresses are in memory for the length of a chunk. What a relay accepts is written down in small batches: after a
//! crash at most one batch, and what was on the wire, is sent again, under the same Message-ID. A relay that cannot be
//! reached costs no attempt; one that says "later" is asked again after a growing while, and given up after days.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cofferdam_model::limits;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::Result;
use crate::code::{NoticeKey, Recipient};
use crate::dkim::Keys;
use crate::message::{From, Letter};
use crate::outbox::{Lease, Outbox, Outcome};
use crate::smtp::{Class, Connection, Mailbox, Relay, Trouble, Verdict};

pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is stored of a recipient to send to.
pub enum Address {
    Mailbox(Mailbox),
    /// Nothing.
    None,
    /// Something that is no address.
    Unusable,
}

/// The addresses of a lease, open.
pub struct Opened {
    /// What whoever opened them knows it by.
    pub disclosure: u64,
    /// In the order of the lease's rows.
    pub addresses: Vec<Address>,
}

/// Whoever may open addresses, and writes down that it did.
pub trait Recipients: Send + Sync {
    /// Opens the addresses of a lease. An error is a reason for people; it is tried again later.
    fn open<'a>(&'a self, lease: &'a Lease) -> Answer<'a, Result<Opened, String>>;

    /// The addresses are dropped; to so many a mail was accepted.
    fn close<'a>(&'a self, lease: &'a Lease, disclosure: u64, accepted: u64) -> Answer<'a, ()>;

    /// The key of an incident's notices.
    fn key(&self, incident: u32) -> NoticeKey;
}

/// How fast, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub connections: usize,
    /// Mails a second to one domain.
    pub domain_per_second: u32,
    /// Before the second attempt; it doubles with each, up to four hours.
    pub retry_first: Duration,
    pub attempts_max: u32,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { connections: 8, domain_per_second: 100, retry_first: Duration::from_secs(60), attempts_max: 32 }
    }
}

const RETRY_LAST: Duration = Duration::from_secs(4 * 3_600);
/// Outcomes that one transaction writes down, and that wait for the next one.
const RECORD_AT_ONCE: usize = 32;
/// Accepted mails that may not be written down yet: what a crash has sent twice, beside one a connection.
pub const UNRECORDED_MAX: usize = 2 * RECORD_AT_ONCE;
/// Seconds over which the rate is measured.
const RATE_SECONDS: u64 = 30;

pub struct Mailer {
    pub outbox: Arc<Outbox>,
    relay: Relay,
    from: From,
    dkim: Keys,
    pace: Pace,
    /// Microseconds since 1970-01-01 UTC.
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    state: Mutex<State>,
    wake: Notify,
    is_stopping: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Why nothing goes out.
    trouble: Option<String>,
    paused: HashSet<u32>,
    /// When a domain may get its next mail.
    slots: HashMap<String, Instant>,
    /// Mails accepted, by second.
    accepted: VecDeque<(Instant, u64)>,
}

struct Job {
    at: usize,
    mailbox: Mailbox,
}

/// A chunk that is being sent.
struct Chunk {
    lease: Lease,
    key: NoticeKey,
    letters: HashMap<u32, Letter>,
    waiting: Mutex<Waiting>,
}

/// Mails by domain: one that has to wait does not keep the others.
#[derive(Default)]
struct Waiting {
    domains: VecDeque<(String, VecDeque<Job>)>,
}

enum Next {
    Job(Job),
    Wait(Duration),
    Nothing,
}

impl Mailer {
    pub fn new(
        outbox: Arc<Outbox>,
        relay: Relay,
        from: From,
        dkim: Keys,
        pace: Pace,
        clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    ) -> Mailer {
        let (state, wake, is_stopping) = (Mutex::default(), Notify::new(), AtomicBool::new(false));
        Mailer { outbox, relay, from, dkim, pace, clock, state, wake, is_stopping }
    }

    /// The domain that mails are from.
    pub fn domain(&self) -> &str {
        self.from.mailbox.domain()
    }

    /// Something was queued, or goes on.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Ends [`Mailer::run`] after what is on the wire; what is left of the lease is queued again.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Stops a campaign after what is on the wire, or has it go on.
    ///
    /// # Errors
    /// When it could not be written down.
    pub async fn pause(&self, campaign: u32, is_paused: bool) -> Result<()> {
        {
            let mut state = self.state();
            match is_paused {
                true => drop(state.paused.insert(campaign)),
                false => drop(state.paused.remove(&campaign)),
            }
        }
        self.outbox.pause(campaign, is_paused).await?;
        self.wake.notify_one();
        Ok(())
    }

    /// Mails accepted a second, lately; and why nothing goes out, when nothing does.
    pub fn condition(&self) -> (f64, Option<String>) {
        let mut state = self.state();
        state.forget_old();
        let sum: u64 = state.accepted.iter().map(|(_, count)| count).sum();
        let since = state.accepted.front().map_or(Duration::ZERO, |(at, _)| at.elapsed());
        (sum as f64 / since.as_secs_f64().max(1.0), state.trouble.clone())
    }

    /// Sends what is due, until it is told to stop.
    pub async fn run(self: &Arc<Mailer>, recipients: Arc<dyn Recipients>) {
        let mut connections: Vec<Option<Connection>> = (0..self.pace.connections.max(1)).map(|_| None).collect();
        let mut pause = Duration::from_secs(1);
        while !self.is_stopping() {
            let lease = match self.outbox.lease((self.clock)()).await {
                Ok(lease) => lease,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the outbox cannot be read");
                    self.sleep(pause).await;
                    continue;
                }
            };
            let Some(lease) = lease else {
                // Relays close what is idle.
                for connection in connections.iter_mut().filter_map(Option::take) {
                    connection.close().await;
                }
                let next = self.outbox.next_due().await.ok().flatten().map(|due| due - (self.clock)());
                let wait = next.map_or(u64::MAX, |us| u64::try_from(us).unwrap_or(0));
                self.sleep(Duration::from_micros(wait.clamp(10_000, 60_000_000))).await;
                continue;
            };
            let accepted = self.send(lease, &*recipients, &mut connections).await;
            let is_in_trouble = self.state().trouble.is_some();
            if is_in_trouble && accepted == 0 {
                self.sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(60));
            } else {
                pause = Duration::from_secs(1);
            }
        }
        for connection in connections.iter_mut().filter_map(Option::take) {
            connection.close().await;
        }
    }

    /// Sends a lease. Answers how many mails were accepted.
    async fn send(
        self: &Arc<Mailer>,
        lease: Lease,
        recipients: &dyn Recipients,
        connections: &mut [Option<Connection>],
    ) -> u64 {
        let campaign = lease.campaign;
        let (opened, letters) = match (recipients.open(&lease).await, self.letters(&lease).await) {
            (Ok(opened), Ok(letters)) => (opened, letters),
            (Err(why), _) => return self.give_back(&lease, why).await,
            (_, Err(error)) => return self.give_back(&lease, error.to_string()).await,
        };
        let disclosure = opened.disclosure;
        let mut waiting = Waiting::default();
        let mut outcomes = Vec::new();
        for (at, address) in opened.addresses.into_iter().enumerate() {
            let Some(row) = lease.rows.get(at) else { break };
            match address {
                Address::Mailbox(mailbox) => waiting.push(Job { at, mailbox }),
                Address::None => outcomes.push((row.recipient, Outcome::Suppressed(Class::NoAddress))),
                Address::Unusable => outcomes.push((row.recipient, Outcome::Suppressed(Class::BadAddress))),
            }
        }
        let chunk =
            Arc::new(Chunk { lease, key: recipients.key(campaign.incident), letters, waiting: Mutex::new(waiting) });
        let (sender, mut receiver) = mpsc::channel(RECORD_AT_ONCE);
        let mut workers = JoinSet::new();
        for connection in &mut *connections {
            let (mailer, chunk, sender, connection) = (self.clone(), chunk.clone(), sender.clone(), connection.take());
            workers.spawn(async move { mailer.work(&chunk, connection, &sender).await });
        }
        drop(sender);
        let mut accepted = 0;
        loop {
            let received = receiver.recv_many(&mut outcomes, RECORD_AT_ONCE).await;
            if received == 0 {
                break;
            }
            accepted += self.record(campaign.id, &mut outcomes).await;
        }
        let mut free = connections.iter_mut();
        while let Some(ended) = workers.join_next().await {
            if let (Ok(connection), Some(slot)) = (ended, free.next()) {
                *slot = connection;
            }
        }
        let left = std::mem::take(&mut *chunk.waiting.lock().expect("never left half changed"));
        let left = left.domains.into_iter().flat_map(|(_, jobs)| jobs);
        outcomes.extend(left.map(|job| (chunk.lease.rows[job.at].recipient, Outcome::Untried)));
        accepted += self.record(campaign.id, &mut outcomes).await;
        recipients.close(&chunk.lease, disclosure, accepted).await;
        accepted
    }

    async fn letters(&self, lease: &Lease) -> Result<HashMap<u32, Letter>> {
        let wordings: HashSet<u32> = lease.rows.iter().map(|row| row.wording).collect();
        let mut letters = HashMap::with_capacity(wordings.len());
        for wording in wordings {
            let kept = self.outbox.letter(wording).await?;
            let letter = Letter::of_parts(&kept.subject, &kept.text, &kept.html, lease.campaign.version);
            letters.insert(wording, letter);
        }
        Ok(letters)
    }

    async fn give_back(&self, lease: &Lease, why: String) -> u64 {
        self.state().trouble = Some(why);
        let mut outcomes = lease.rows.iter().map(|row| (row.recipient, Outcome::Untried)).collect();
        self.record(lease.campaign.id, &mut outcomes).await
    }

    /// Writes outcomes down, however long that takes: what was accepted and is not written down would be sent again.
    async fn record(&self, campaign: u32, outcomes: &mut Vec<(Recipient, Outcome)>) -> u64 {
        while let Err(error) = self.outbox.record(campaign, outcomes).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the outbox cannot be written");
            self.state().trouble = Some(error.to_string());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let accepted = outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Accepted).count() as u64;
        outcomes.clear();
        if accepted > 0 {
            let mut state = self.state();
            state.trouble = None;
            state.accepted.push_back((Instant::now(), accepted));
            state.forget_old();
        }
        accepted
    }

    /// Sends mails of a chunk one after the other. Answers the connection when it can be used again.
    async fn work(
        &self,
        chunk: &Chunk,
        mut connection: Option<Connection>,
        outcomes: &mpsc::Sender<(Recipient, Outcome)>,
    ) -> Option<Connection> {
        while !self.is_stopping() && !self.state().paused.contains(&chunk.lease.campaign.id) {
            let job = match self.next(chunk) {
                Next::Nothing => break,
                Next::Wait(time) => {
                    tokio::time::sleep(time.min(Duration::from_millis(200))).await;
                    continue;
                }
                Next::Job(job) => job,
            };
            let mut wire = match connection.take() {
                Some(wire) => wire,
                None => match Connection::open(&self.relay, self.domain()).await {
                    Ok(wire) => wire,
                    Err(trouble) => {
                        self.cannot_connect(trouble);
                        chunk.waiting.lock().expect("never left half changed").push(job);
                        break;
                    }
                },
            };
            let row = &chunk.lease.rows[job.at];
            let later = || {
                let doubled = self.pace.retry_first * 2_u32.saturating_pow(row.attempts.min(16));
                match row.attempts + 1 >= self.pace.attempts_max {
                    true => Outcome::Bounced(Class::Expired),
                    false => Outcome::Later((self.clock)() + doubled.min(RETRY_LAST).as_micros() as i64),
                }
            };
            let now_us = (self.clock)();
            let mail = chunk
                .letters
                .get(&row.wording)
                .map(|letter| letter.to(&job.mailbox, row.recipient, &self.from, &chunk.key, &self.dkim, now_us));
            let outcome = match mail {
                Some(Ok(mail)) => match wire.send(&self.from.mailbox, &job.mailbox, &mail).await {
                    Ok(verdict) => {
                        connection = Some(wire);
                        match verdict {
                            Verdict::Accepted => Outcome::Accepted,
                            Verdict::Later(_) => later(),
                            Verdict::Refused(_, class) => Outcome::Bounced(class),
                        }
                    }
                    Err(_) => later(),
                },
                _ => {
                    self.state().trouble = Some("a mail cannot be signed".to_owned());
                    later()
                }
            };
            if outcomes.send((row.recipient, outcome)).await.is_err() {
                break;
            }
        }
        connection
    }

    fn cannot_connect(&self, trouble: Trouble) {
        let mut state = self.state();
        if state.trouble.is_none() {
            tracing::warn!(error = &trouble as &dyn std::error::Error, "notices wait");
        }
        state.trouble = Some(trouble.to_string());
    }

    fn next(&self, chunk: &Chunk) -> Next {
        let mut waiting = chunk.waiting.lock().expect("never left half changed");
        let mut state = self.state();
        let now = Instant::now();
        let mut soonest: Option<Duration> = None;
        for _ in 0..waiting.domains.len() {
            let Some((domain, mut jobs)) = waiting.domains.pop_front() else { break };
            let wait = state.slots.get(&domain).map_or(Duration::ZERO, |slot| slot.saturating_duration_since(now));
            if !wait.is_zero() {
                soonest = Some(soonest.map_or(wait, |other| other.min(wait)));
                waiting.domains.push_back((domain, jobs));
                continue;
            }
            let Some(job) = jobs.pop_front() else { continue };
            if state.slots.len() >= limits::NOTICE_DOMAINS_MAX {
                state.slots.retain(|_, slot| *slot > now);
            }
            state.slots.insert(domain.clone(), now + Duration::from_secs(1) / self.pace.domain_per_second.max(1));
            if !jobs.is_empty() {
                waiting.domains.push_back((domain, jobs));
            }
            return Next::Job(job);
        }
        soonest.map_or(Next::Nothing, Next::Wait)
    }

    async fn sleep(&self, time: Duration) {
        let _ = tokio::time::timeout(time, self.wake.notified()).await;
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("never left half changed")
    }
}

impl State {
    fn forget_old(&mut self) {
        while self.accepted.front().is_some_and(|(at, _)| at.elapsed().as_secs() > RATE_SECONDS) {
            self.accepted.pop_front();
        }
    }
}

impl Waiting {
    fn push(&mut self, job: Job) {
        let domain = job.mailbox.domain();
        match self.domains.iter_mut().find(|(other, _)| other == domain) {
            Some((_, jobs)) => jobs.push_back(job),
            None => self.domains.push_back((domain.to_owned(), VecDeque::from([job]))),
        }
    }
}
