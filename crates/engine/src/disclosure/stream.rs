//! The one way out: chunk by chunk, each written down before it is opened.
//!
//! Before each chunk: is it locked, sealed, stopped by a limit, told to stop? Then the intent, durable; then the values;
//! then the bytes. Whatever ends a stream early ends it with an entry that says so: a reader that goes away, a lock, a
//! process that dies (its next start writes the entry). So the bytes that left are always of subjects that the ledger
//! names. What it names beyond them is one chunk ([`limits::DISCLOSURE_CHUNK_SUBJECTS`]) at most, when the reader goes
//! away or the process dies: the next is asked for when the connection has written every piece of those before it, and
//! is smaller by whoever is still in the encryption's buffer ([`Outlet::room`]). A stream that is stopped opens nothing
//! more, and lets out what it has opened: then those who are named are exactly those who left.
//!
//! Pieces are overwritten when the connection has written them. Nothing touches the disk.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use cofferdam_ledger::export::Sent;
use cofferdam_ledger::{DisclosureTicket, Entry, Intent, Kind, RoaringBitmap};
use cofferdam_model::{FieldSet, limits};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::store::{Ended, State};
use crate::{Engine, Error, Project, Result, Who};

/// A piece of a stream; an error ends it before its end.
pub type Piece = std::io::Result<Bytes>;

/// What a running stream lets out, for whoever reads it.
pub type Pieces = mpsc::Receiver<Piece>;

/// Pieces that wait for the connection to write them: two chunks of persons as encrypted blocks.
const PIECES_WAITING: usize = 8;
/// What the encryption takes together and lets out as one, in bytes, and what it adds to it (age's).
const BLOCK_BYTES: u64 = 64 * 1024;
const BLOCK_TAG_BYTES: u64 = 16;
/// The fewest subjects of a chunk, where rows are so short that a block holds more than a chunk: there the block has to
/// be filled before any of it can leave.
const ROOM_MIN: usize = limits::DISCLOSURE_CHUNK_SUBJECTS / 10;

/// How far a stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Progress {
    pub rows: u64,
    pub bytes: u64,
    /// Chunks that the ledger has an intent of.
    pub chunks: u64,
    /// Persons or stored events that were gone through, of how many.
    pub done: u64,
    pub of: u64,
}

/// A disclosure while it runs.
pub(crate) struct Run {
    /// The disclosure's number: the ledger's grant.
    pub(crate) grant: u32,
    pub(crate) project: Arc<Project>,
    pub(crate) who: Who,
    pub(crate) is_personal: bool,
    /// Broken off, it may be run again.
    is_repeatable: bool,
    /// Who, from where, why: what every entry of it says.
    pub(crate) context: Entry,
    is_stopped: AtomicBool,
    rows: AtomicU64,
    bytes: AtomicU64,
    chunks: AtomicU64,
    done: AtomicU64,
    of: AtomicU64,
}

impl Run {
    pub(crate) fn new(grant: u32, project: &Arc<Project>, who: Who, is_personal: bool, context: Entry) -> Run {
        let who = Who { grant: Some(u64::from(grant)), ..who };
        let context = Entry { grant: u64::from(grant), object: u64::from(project.id.0), ..context };
        let zero = AtomicU64::default;
        Run {
            grant,
            project: project.clone(),
            who,
            is_personal,
            is_repeatable: true,
            context,
            is_stopped: AtomicBool::default(),
            rows: zero(),
            bytes: zero(),
            chunks: zero(),
            done: zero(),
            of: zero(),
        }
    }

    /// One that is not run again when it is broken off.
    pub(crate) fn once(self) -> Run {
        Run { is_repeatable: false, ..self }
    }

    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
    }

    pub(crate) fn progress(&self) -> Progress {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Progress {
            rows: read(&self.rows),
            bytes: read(&self.bytes),
            chunks: read(&self.chunks),
            done: read(&self.done),
            of: read(&self.of),
        }
    }

    pub(crate) fn is_at(&self, done: u64, of: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.of.store(of, Ordering::Relaxed);
    }
}

/// Runs by their number.
pub(crate) type Running = Mutex<BTreeMap<u32, Arc<Run>>>;

impl Engine {
    /// Whether a run may open its next chunk.
    pub(crate) fn check_run(&self, run: &Run) -> Result<()> {
        if run.is_stopped.load(Ordering::Acquire) {
            return Err(Error::Interrupted);
        }
        self.check_unsealed(&run.project)?;
        self.check_unlocked(&run.who)?;
        if run.is_personal { self.check_limits(run.who.org, run.who.member) } else { Ok(()) }
    }

    /// What an intent of a run says.
    pub(crate) fn intent(run: &Run, fields: FieldSet, subjects: RoaringBitmap) -> Intent {
        let context = Entry { kind: Kind::Intent, ..run.context.clone() };
        Intent { org: run.project.org, project: run.project.id, fields, subjects, context }
    }

    /// Streams a disclosure that was begun, from a thread of its own. `write` makes its bytes. Returns when the first of
    /// them are there.
    ///
    /// # Errors
    /// When it ends before a byte was let out.
    pub(crate) async fn stream(
        self: &Arc<Engine>,
        run: Arc<Run>,
        slot: OwnedSemaphorePermit,
        recipient: Option<&str>,
        write: impl FnOnce(&mut Outlet) -> Result<()> + Send + 'static,
    ) -> Result<Pieces> {
        // One more for the error that can stand at the end.
        let (sender, receiver) = mpsc::channel(PIECES_WAITING + 1);
        let (begun, has_begun) = oneshot::channel();
        let mut outlet = Outlet {
            head: Vec::new(),
            begun: Some(begun),
            engine: self.clone(),
            handle: Handle::current(),
            way: Way::to(recipient)?,
            hash: Context::new(&SHA256),
            rows: 0,
            bytes: 0,
            first_intent: None,
            last_intent: None,
            is_ended: false,
            run,
            sender,
            unwritten: Arc::new(Semaphore::new(PIECES_WAITING)),
        };
        let running = &self.disclosures.running;
        running.lock().expect("never left half changed").insert(outlet.run.grant, outlet.run.clone());
        tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let written = write(&mut outlet).and_then(|()| outlet.finish());
            if written.is_err() {
                outlet.let_out();
            }
            outlet.end(written);
        });
        has_begun.await.map_err(|_| Error::Interrupted)??;
        Ok(receiver)
    }
}

/// How bytes leave.
enum Way {
    Plain,
    Age(Encrypted),
}

/// A file that is encrypted to a recipient while it is written.
struct Encrypted {
    /// None after its end.
    writer: Option<Box<age::stream::StreamWriter<Shared>>>,
    /// What the writer has done.
    done: Shared,
    /// Bytes that came out, of them those before the first block, and bytes that went in.
    out: u64,
    head: u64,
    into: u64,
    /// Where rows end, and of how many subjects, of which not all has come out.
    held: VecDeque<(u64, usize)>,
}

impl Encrypted {
    /// Encrypts rows of so many subjects; what has come out so far.
    fn write(&mut self, text: &[u8], subjects: usize) -> Result<Zeroizing<Vec<u8>>> {
        let writer = self.writer.as_mut().ok_or(Error::Interrupted)?;
        writer.write_all(text).map_err(|_| Error::Interrupted)?;
        self.into += text.len() as u64;
        if !text.is_empty() && subjects > 0 {
            self.held.push_back((self.into, subjects));
        }
        let done = self.done.take();
        self.out += done.len() as u64;
        let blocks = (self.out - self.head) / (BLOCK_BYTES + BLOCK_TAG_BYTES);
        while self.held.front().is_some_and(|(end, _)| *end <= blocks * BLOCK_BYTES) {
            self.held.pop_front();
        }
        Ok(Zeroizing::new(done))
    }

    fn finish(&mut self) -> Result<Zeroizing<Vec<u8>>> {
        if let Some(writer) = self.writer.take() {
            writer.finish().map_err(|_| Error::Interrupted)?;
        }
        Ok(Zeroizing::new(self.done.take()))
    }
}

/// A piece until the connection has written it: then it is overwritten, and there is room for another.
struct Leaving {
    bytes: Zeroizing<Vec<u8>>,
    _one: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Leaving {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A buffer with two ends.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().expect("never left half changed"))
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("never left half changed").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Way {
    fn to(recipient: Option<&str>) -> Result<Way> {
        let Some(recipient) = recipient else { return Ok(Way::Plain) };
        let recipient: age::x25519::Recipient = recipient.parse().map_err(|_| Error::Interrupted)?;
        let shared = Shared::default();
        let recipients = [&recipient as &dyn age::Recipient];
        let encryptor = age::Encryptor::with_recipients(recipients.into_iter()).map_err(|_| Error::Interrupted)?;
        let writer = encryptor.wrap_output(shared.clone()).map_err(|_| Error::Interrupted)?;
        let head = shared.0.lock().expect("never left half changed").len() as u64;
        Ok(Way::Age(Encrypted {
            writer: Some(Box::new(writer)),
            done: shared,
            out: 0,
            head,
            into: 0,
            held: VecDeque::new(),
        }))
    }
}

/// What a disclosure writes to. It lives on a thread that may block.
pub(crate) struct Outlet {
    pub(crate) engine: Arc<Engine>,
    pub(crate) run: Arc<Run>,
    handle: Handle,
    way: Way,
    sender: mpsc::Sender<Piece>,
    /// Room for pieces that the connection has not written.
    unwritten: Arc<Semaphore>,
    /// What goes before the first row.
    head: Vec<u8>,
    /// Told when the first bytes are there, or why there are none.
    begun: Option<oneshot::Sender<Result<()>>>,
    hash: Context,
    rows: u64,
    bytes: u64,
    first_intent: Option<u64>,
    last_intent: Option<u64>,
    is_ended: bool,
}

impl Outlet {
    /// How many subjects the next chunk may name.
    pub(crate) fn room(&self) -> usize {
        let held = match &self.way {
            Way::Plain => 0,
            Way::Age(encrypted) => encrypted.held.iter().map(|(_, subjects)| subjects).sum(),
        };
        limits::DISCLOSURE_CHUNK_SUBJECTS.saturating_sub(held).max(ROOM_MIN)
    }

    /// Asks for the next chunk: what came before has left, everything is checked, and the intent is on disk when this
    /// returns.
    pub(crate) fn open(&mut self, fields: FieldSet, subjects: RoaringBitmap) -> Result<DisclosureTicket> {
        self.wait_until_written()?;
        self.engine.check_run(&self.run)?;
        if let Some(session) = self.run.who.session
            && self.wait(self.engine.meta.session_org(session))?.is_none()
        {
            return Err(Error::NotSignedIn);
        }
        if let Some(token) = self.run.who.token
            && !self.wait(self.engine.meta.is_token_good(token, self.engine.now_us()))?
        {
            return Err(Error::NotSignedIn);
        }
        let ticket = self.engine.ledger.authorise(Engine::intent(&self.run, fields, subjects))?;
        self.first_intent.get_or_insert(ticket.seq());
        self.last_intent = Some(ticket.seq());
        self.run.chunks.fetch_add(1, Ordering::Relaxed);
        Ok(ticket)
    }

    /// Whether anything may still leave; for what is of nobody.
    pub(crate) fn check(&self) -> Result<()> {
        self.engine.check_run(&self.run)
    }

    /// Waits for something of the vault.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.handle.block_on(future)
    }

    /// What the file begins with; it leaves with the first rows, and not before them.
    pub(crate) fn begin_with(&mut self, head: String) {
        self.head = head.into_bytes();
    }

    /// Lets rows of so many subjects out.
    pub(crate) fn write(&mut self, mut text: Zeroizing<Vec<u8>>, rows: u64, subjects: usize) -> Result<()> {
        if !self.head.is_empty() {
            let mut whole = Zeroizing::new(Vec::with_capacity(self.head.len() + text.len()));
            whole.append(&mut self.head);
            whole.extend_from_slice(&text);
            text = whole;
        }
        self.rows += rows;
        self.run.rows.store(self.rows, Ordering::Relaxed);
        let out = match &mut self.way {
            Way::Plain => text,
            Way::Age(encrypted) => encrypted.write(&text, subjects)?,
        };
        self.send(out)
    }

    fn send(&mut self, out: Zeroizing<Vec<u8>>) -> Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        if let Some(begun) = self.begun.take() {
            // Whoever asked may have gone; sending will say so.
            let _ = begun.send(Ok(()));
        }
        self.hash.update(&out);
        self.bytes += out.len() as u64;
        let one = self.wait_for_room()?;
        let piece = Bytes::from_owner(Leaving { bytes: out, _one: one });
        self.sender.try_send(Ok(piece)).map_err(|_| Error::Interrupted)?;
        self.run.bytes.store(self.bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Room for a piece, once the connection has written another.
    fn wait_for_room(&self) -> Result<OwnedSemaphorePermit> {
        let patience = Duration::from_secs(limits::READER_SECONDS_MAX);
        let unwritten = self.unwritten.clone();
        let room = self.handle.block_on(async { tokio::time::timeout(patience, unwritten.acquire_owned()).await });
        match room {
            Ok(Ok(one)) if !self.sender.is_closed() => Ok(one),
            _ => Err(Error::Interrupted),
        }
    }

    /// Waits until the connection has written every piece.
    fn wait_until_written(&self) -> Result<()> {
        let all: Result<Vec<OwnedSemaphorePermit>> = (0..PIECES_WAITING).map(|_| self.wait_for_room()).collect();
        all.map(drop)
    }

    /// After the last row: the encryption's end, and the connection has written everything.
    fn finish(&mut self) -> Result<()> {
        self.write(Zeroizing::default(), 0, 0)?;
        if let Way::Age(encrypted) = &mut self.way {
            let rest = encrypted.finish()?;
            self.send(rest)?;
        }
        self.wait_until_written()
    }

    /// Of a stream that is stopped, what was opened leaves to its end: whoever it is of is named already, and so the
    /// ledger has exactly those of whom something left, as long as the reader stays.
    fn let_out(&mut self) {
        if self.begun.is_none() {
            // A reader who has gone is not told.
            let _ = self.finish();
        }
    }

    /// How it ended, as an entry; the reader sees the end only afterwards.
    fn end(mut self, written: Result<()>) {
        let kind = if written.is_ok() { Kind::Done } else { Kind::Aborted };
        let recorded = self.ended(kind);
        if let Err(error) = &written {
            tracing::warn!(error = error as &dyn std::error::Error, "a disclosure was broken off");
        }
        let is_done = written.is_ok() && recorded.is_some();
        let hash = self.sent_hash();
        let ended = Ended {
            state: match (is_done, self.run.is_repeatable) {
                (true, _) => State::Done,
                (false, true) => State::Open,
                (false, false) => State::Aborted,
            },
            rows: self.rows,
            bytes: self.bytes,
            hash,
            first_intent: self.first_intent,
            last_intent: self.last_intent,
            end_entry: recorded,
            at_us: self.engine.now_us(),
        };
        match recorded {
            Some(_) => self.handle.block_on(self.engine.store_end(self.run.grant, &ended)),
            // Until then it has no end: neither there nor here.
            None => drop(self.handle.spawn(end_later(Arc::downgrade(&self.engine), self.run.clone(), ended))),
        }
        if let Some(begun) = self.begun.take() {
            let _ = begun.send(written);
        } else if !is_done {
            // Whoever reads sees that it is not whole; whoever has gone sees nothing.
            let _ = self.sender.try_send(Err(std::io::Error::other("broken off")));
        }
    }

    fn sent_hash(&self) -> [u8; 32] {
        self.hash.clone().finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    fn ended(&mut self, kind: Kind) -> Option<u64> {
        self.is_ended = true;
        self.engine.disclosures.running.lock().expect("never left half changed").remove(&self.run.grant);
        let hash = self.sent_hash();
        let entry = end_entry(&self.run.context, kind, self.last_intent, self.rows, &hash, self.bytes);
        match self.engine.ledger.append(entry) {
            Ok(receipt) => receipt.seq,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the end of a disclosure is not recorded");
                None
            }
        }
    }
}

impl Drop for Outlet {
    /// Whatever made it, it ended.
    fn drop(&mut self) {
        if !self.is_ended {
            self.ended(Kind::Aborted);
        }
    }
}

impl Engine {
    async fn store_end(&self, grant: u32, ended: &Ended) {
        if let Err(error) = self.disclosures.store.end(grant, ended).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the end of a disclosure is not stored");
        }
    }
}

/// Records the end of a stream that the ledger did not take, as soon as it does: as one that was broken off, for that is
/// what its reader saw. When the server ends before, its next start does.
async fn end_later(engine: Weak<Engine>, run: Arc<Run>, ended: Ended) {
    loop {
        tokio::time::sleep(END_RETRY).await;
        let Some(engine) = engine.upgrade() else { return };
        let Ended { rows, bytes, hash, last_intent, .. } = ended;
        let entry = end_entry(&run.context, Kind::Aborted, last_intent, rows, &hash, bytes);
        if let Ok(receipt) = engine.ledger.append_async(entry).await {
            return engine.store_end(run.grant, &Ended { end_entry: receipt.seq, ..ended }).await;
        }
    }
}

/// How long after the ledger refused it the end of a stream is tried again.
const END_RETRY: Duration = Duration::from_secs(1);

/// The entry about the end of a disclosure: its last intent, its rows, and the hash of what left.
pub(crate) fn end_entry(
    context: &Entry,
    kind: Kind,
    last_intent: Option<u64>,
    rows: u64,
    hash: &[u8; 32],
    bytes: u64,
) -> Entry {
    Entry { kind, refers_to: last_intent, count: rows, extra: Sent::commitment(hash, bytes), ..context.clone() }
}
