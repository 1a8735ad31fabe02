//! The one way out: chunk by chunk, each written down before it is opened.
//!
//! Before each chunk: is it locked, sealed, stopped by a limit, told to stop? Then the intent, durable; then the values;
//! then the bytes. Whatever ends a stream early ends it with an entry that says so: a reader that goes away, a lock, a
//! process that dies (its next start writes the entry). So the bytes that left are always of subjects that the ledger
//! names; more is named than left by the chunk in hand and what waits for the reader ([`PIECES_WAITING`]). Whoever is
//! stopped does not get what waits either ([`Pieces`]).
//!
//! Pieces are overwritten when the connection has taken them. Nothing touches the disk.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use cofferdam_ledger::export::Sent;
use cofferdam_ledger::{DisclosureTicket, Entry, Intent, Kind, RoaringBitmap};
use cofferdam_model::{FieldSet, limits};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::store::{Ended, State};
use crate::{Engine, Error, Project, Result, Who};

/// A piece of a stream; an error ends it before its end.
pub type Piece = std::io::Result<Bytes>;

/// Pieces that wait for a slow reader.
const PIECES_WAITING: usize = 8;

/// What a running stream lets out, for whoever reads it. Once it was told to stop nothing more comes, not even what
/// waits already.
pub struct Pieces {
    run: Arc<Run>,
    waiting: mpsc::Receiver<Piece>,
    is_cut: bool,
}

impl Pieces {
    /// The next piece, when it is there; none at the end.
    pub fn poll_recv(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Option<Piece>> {
        use std::task::Poll::Ready;
        if self.is_cut {
            return Ready(None);
        }
        if self.run.is_stopped() {
            // Whoever writes finds nobody there, and says how it ended.
            self.waiting.close();
            self.is_cut = true;
            return Ready(Some(Err(std::io::Error::other("broken off"))));
        }
        self.waiting.poll_recv(context)
    }

    /// The next piece; none at the end.
    pub async fn recv(&mut self) -> Option<Piece> {
        std::future::poll_fn(|context| self.poll_recv(context)).await
    }
}

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

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
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
        if run.is_stopped() {
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
        let (sender, waiting) = mpsc::channel(PIECES_WAITING);
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
        };
        let pieces = Pieces { run: outlet.run.clone(), waiting, is_cut: false };
        let running = &self.disclosures.running;
        running.lock().expect("never left half changed").insert(outlet.run.grant, outlet.run.clone());
        tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let written = write(&mut outlet).and_then(|()| outlet.finish());
            outlet.end(written);
        });
        has_begun.await.map_err(|_| Error::Interrupted)??;
        Ok(pieces)
    }
}

/// How bytes leave.
enum Way {
    Plain,
    /// Encrypted to a recipient: what the writer has done is in the buffer.
    Age(Option<Box<age::stream::StreamWriter<Shared>>>, Shared),
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
        Ok(Way::Age(Some(Box::new(writer)), shared))
    }
}

/// What a disclosure writes to. It lives on a thread that may block.
pub(crate) struct Outlet {
    pub(crate) engine: Arc<Engine>,
    pub(crate) run: Arc<Run>,
    handle: Handle,
    way: Way,
    sender: mpsc::Sender<Piece>,
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
    /// Asks for the next chunk: everything is checked, and the intent is on disk when this returns.
    pub(crate) fn open(&mut self, fields: FieldSet, subjects: RoaringBitmap) -> Result<DisclosureTicket> {
        self.engine.check_run(&self.run)?;
        if let Some(session) = self.run.who.session
            && self.wait(self.engine.meta.session_org(session))?.is_none()
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

    /// Lets rows out.
    pub(crate) fn write(&mut self, mut text: Zeroizing<Vec<u8>>, rows: u64) -> Result<()> {
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
            Way::Age(writer, shared) => {
                let writer = writer.as_mut().ok_or(Error::Interrupted)?;
                writer.write_all(&text).map_err(|_| Error::Interrupted)?;
                Zeroizing::new(shared.take())
            }
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
        let piece = Bytes::from_owner(out);
        let patience = Duration::from_secs(limits::READER_SECONDS_MAX);
        let sent = self.handle.block_on(async { tokio::time::timeout(patience, self.sender.send(Ok(piece))).await });
        match sent {
            Ok(Ok(())) => {
                self.run.bytes.store(self.bytes, Ordering::Relaxed);
                Ok(())
            }
            _ => Err(Error::Interrupted),
        }
    }

    /// After the last row: the encryption's end, and the reader has taken everything.
    fn finish(&mut self) -> Result<()> {
        self.write(Zeroizing::default(), 0)?;
        if let Way::Age(writer, shared) = &mut self.way
            && let Some(writer) = writer.take()
        {
            writer.finish().map_err(|_| Error::Interrupted)?;
            let rest = Zeroizing::new(shared.take());
            self.send(rest)?;
        }
        let patience = Duration::from_secs(limits::READER_SECONDS_MAX);
        let taken = async {
            let taken = tokio::time::timeout(patience, self.sender.reserve_many(PIECES_WAITING)).await;
            taken.is_ok_and(|permits| permits.is_ok())
        };
        if self.handle.block_on(taken) { Ok(()) } else { Err(Error::Interrupted) }
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
        let stored = self.handle.block_on(self.engine.disclosures.store.end(self.run.grant, &ended));
        if let Err(error) = stored {
            tracing::error!(error = &error as &dyn std::error::Error, "the end of a disclosure is not stored");
        }
        if let Some(begun) = self.begun.take() {
            let _ = begun.send(written);
        } else if !is_done {
            // Whoever reads sees that it is not whole; whoever has gone sees nothing.
            let _ = self.handle.block_on(self.sender.send(Err(std::io::Error::other("broken off"))));
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
