//! That every recipient's mail reaches the relay, whatever fails on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cofferdam_model::PersonalField;
use cofferdam_notice::code::{NoticeKey, Recipient, RecipientKind};
use cofferdam_notice::deliver::{Address, Answer, Mailer, Opened, Pace, Recipients};
use cofferdam_notice::dkim::Keys;
use cofferdam_notice::message::From;
use cofferdam_notice::names::Name;
use cofferdam_notice::outbox::{Addressee, Campaign, Lease, Letter, Outbox, Outcome, Progress};
use cofferdam_notice::smtp::{Class, Connection, Mailbox, Relay, Trouble, Verdict};
use cofferdam_notice::text::{Audience, Language, Wording};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use crate::sink::{self, Faults, NO_FAULTS, Taken, header};
use crate::texts::facts;

/// Addresses made up from the number; every tenth person has none, every eleventh one that is gone.
#[derive(Default)]
struct MadeUp {
    closed: AtomicU64,
    fails: AtomicBool,
}

fn person(number: u32) -> Recipient {
    Recipient { kind: RecipientKind::Person, project: 1, number }
}

impl Recipients for MadeUp {
    fn open<'a>(&'a self, lease: &'a Lease) -> Answer<'a, Result<Opened, String>> {
        Box::pin(async move {
            if self.fails.load(Ordering::Relaxed) {
                return Err("the ledger takes no entries at the moment".to_owned());
            }
            let address = |number: u32| match number {
                n if n % 10 == 0 => Address::None,
                n if n % 11 == 0 => Address::Mailbox(Mailbox::parse(&format!("gone{n}@d{}.example", n % 7)).unwrap()),
                n => Address::Mailbox(Mailbox::parse(&format!("p{n}@d{}.example", n % 7)).unwrap()),
            };
            let addresses = lease.rows.iter().map(|row| address(row.recipient.number)).collect();
            Ok(Opened { disclosure: 1, addresses })
        })
    }

    fn close<'a>(&'a self, _: &'a Lease, _: u64, accepted: u64) -> Answer<'a, ()> {
        self.closed.fetch_add(accepted, Ordering::Relaxed);
        Box::pin(async {})
    }

    fn key(&self, _: u32) -> NoticeKey {
        NoticeKey::new(&[7; 32])
    }
}

async fn queue(outbox: &Outbox, numbers: impl Iterator<Item = u32> + Send) -> Campaign {
    let wording = Wording::new(&facts(&[PersonalField::Email], 5), Audience::Person, Language::English).unwrap();
    let letter = Letter { entry: 3, subject: wording.subject.clone(), text: wording.text(), html: wording.html() };
    let key = NoticeKey::new(&[7; 32]);
    let addressees = numbers.map(|number| {
        let recipient = person(number);
        Addressee { recipient, letter: 0, tag: key.tag(&key.code(recipient, 1)) }
    });
    outbox.queue(9, 1, &[letter], addressees, 0).await.unwrap()
}

struct World {
    outbox: Arc<Outbox>,
    mailer: Arc<Mailer>,
    people: Arc<MadeUp>,
    taken: Arc<Mutex<Vec<Taken>>>,
    _folder: tempfile::TempDir,
}

async fn world(faults: Faults, pace: Pace) -> World {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Arc::new(Outbox::open(&folder.path().join("outbox.db")).await.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = Arc::new(Mutex::new(Vec::new()));
    let keep = taken.clone();
    tokio::spawn(sink::serve(listener, faults, Arc::new(move |one| keep.lock().unwrap().push(one))));
    let relay = Relay::parse(&format!("smtp://127.0.0.1:{port}"), None, None).unwrap();
    let relay = relay.with_timeout(Duration::from_millis(500));
    let from = From { mailbox: Mailbox::parse("privacy@mareas.example").unwrap(), name: Name::of("Mareas") };
    let clock = Arc::new(|| jiff::Timestamp::now().as_microsecond());
    let mailer = Arc::new(Mailer::new(outbox.clone(), relay, from, Keys::generate().unwrap(), pace, clock));
    World { outbox, mailer, people: Arc::new(MadeUp::default()), taken, _folder: folder }
}

const QUICK: Pace =
    Pace { connections: 4, domain_per_second: 100_000, retry_first: Duration::from_millis(5), attempts_max: 32 };

impl World {
    /// Sends until nothing is queued or in flight.
    async fn send_all(&self, campaign: u32) -> Progress {
        let running = {
            let (mailer, people) = (self.mailer.clone(), self.people.clone());
            tokio::spawn(async move { mailer.run(people).await })
        };
        let progress = loop {
            let progress = self.outbox.progress(campaign).await.unwrap();
            if progress.queued + progress.leased == 0 {
                break progress;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        self.mailer.stop();
        running.await.unwrap();
        progress
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_fails_in_every_way_gets_every_mail_and_repeats_have_the_same_message_id() {
    let faults = Faults { each_per_mille: 30, seed: 11, silence: Duration::from_millis(700) };
    let world = world(faults, QUICK).await;
    let campaign = queue(&world.outbox, 1..=440).await;
    let progress = world.send_all(campaign.id).await;
    assert_eq!((progress.accepted, progress.bounced, progress.suppressed), (360, 36, 44));
    assert_eq!(progress.classes, [(Class::Mailbox, 36), (Class::NoAddress, 44)]);
    assert_eq!(world.people.closed.load(Ordering::Relaxed), 360);
    let taken = world.taken.lock().unwrap();
    let mut ids: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for one in taken.iter() {
        let mail = std::str::from_utf8(&one.mail).unwrap();
        ids.entry(&one.to).or_default().insert(header(mail, "Message-ID").unwrap().to_owned());
    }
    let expected: BTreeSet<String> =
        (1..=440_u32).filter(|n| n % 10 != 0 && n % 11 != 0).map(|n| format!("p{n}@d{}.example", n % 7)).collect();
    assert_eq!(ids.keys().map(|to| (*to).to_owned()).collect::<BTreeSet<_>>(), expected);
    assert!(ids.values().all(|ids| ids.len() == 1));
    let unanswered = taken.iter().filter(|one| !one.is_answered).count();
    assert!(unanswered > 0 && taken.len() == expected.len() + unanswered, "{unanswered} {}", taken.len());
}

#[tokio::test]
async fn what_was_in_flight_when_it_ended_is_queued_again_and_what_was_accepted_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let outbox = Outbox::open(&path).await.unwrap();
    let campaign = queue(&outbox, 1..=3).await;
    let lease = outbox.lease(1).await.unwrap().unwrap();
    assert_eq!(lease.rows.len(), 3);
    assert!(outbox.lease(1).await.unwrap().is_none(), "a row has one lease");
    outbox.record(campaign.id, &[(person(2), Outcome::Accepted)]).await.unwrap();
    drop(outbox);
    let outbox = Outbox::open(&path).await.unwrap();
    let again: Vec<u32> = outbox.lease(1).await.unwrap().unwrap().rows.iter().map(|row| row.recipient.number).collect();
    assert_eq!(again, [1, 3]);
}

#[tokio::test]
async fn later_is_not_now_and_a_paused_campaign_waits() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&folder.path().join("outbox.db")).await.unwrap();
    let campaign = queue(&outbox, 1..=2).await;
    outbox.lease(1).await.unwrap().unwrap();
    outbox.record(campaign.id, &[(person(1), Outcome::Later(100)), (person(2), Outcome::Untried)]).await.unwrap();
    outbox.pause(campaign.id, true).await.unwrap();
    assert!(outbox.lease(1_000).await.unwrap().is_none());
    assert_eq!(outbox.next_due().await.unwrap(), None);
    outbox.pause(campaign.id, false).await.unwrap();
    let numbers = |lease: Lease| lease.rows.iter().map(|row| (row.recipient.number, row.attempts)).collect::<Vec<_>>();
    assert_eq!(numbers(outbox.lease(99).await.unwrap().unwrap()), [(2, 0)]);
    assert_eq!(outbox.next_due().await.unwrap(), Some(100));
    assert_eq!(numbers(outbox.lease(100).await.unwrap().unwrap()), [(1, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_nobody_takes_is_given_up_and_listed() {
    let faults = Faults { each_per_mille: 1_000, seed: 1, silence: Duration::ZERO };
    let world = world(faults, Pace { attempts_max: 3, ..QUICK }).await;
    let campaign = queue(&world.outbox, 1..=5).await;
    let progress = world.send_all(campaign.id).await;
    assert_eq!(progress.classes, [(Class::Expired, 5)]);
    let unreached = world.outbox.unreached(campaign.id).await.unwrap();
    assert_eq!(unreached.len(), 5);
    assert!(world.taken.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_cannot_be_opened_cost_no_attempt_and_nothing_is_sent() {
    let world = world(NO_FAULTS, QUICK).await;
    let campaign = queue(&world.outbox, 1..=5).await;
    world.people.fails.store(true, Ordering::Relaxed);
    let (mailer, people) = (world.mailer.clone(), world.people.clone());
    let running = tokio::spawn(async move { mailer.run(people).await });
    while world.mailer.condition().1.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(world.mailer.condition().1.is_some_and(|why| why.starts_with("the ledger takes no entries")));
    world.people.fails.store(false, Ordering::Relaxed);
    while world.outbox.progress(campaign.id).await.unwrap().accepted < 5 {
        world.mailer.wake();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.outbox.progress(campaign.id).await.unwrap().retrying, 0);
    world.mailer.stop();
    running.await.unwrap();
}

#[tokio::test]
async fn a_code_leads_to_the_text_that_its_recipient_got_and_of_another_incident_to_none() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&folder.path().join("outbox.db")).await.unwrap();
    let campaign = queue(&outbox, 1..=500).await;
    let key = NoticeKey::new(&[7; 32]);
    let code = key.code(person(444), 1);
    let found = outbox.find(9, key.tag(&code.to_lowercase())).await.unwrap().unwrap();
    assert_eq!((found.recipient, found.version, found.entry, found.campaign), (person(444), 1, 3, campaign.id));
    assert!(found.text.contains("e-mail address") && !found.text.contains(&code));
    assert!(outbox.find(8, key.tag(&code)).await.unwrap().is_none());
    assert!(outbox.find(9, key.tag(&key.code(person(444), 2))).await.unwrap().is_none());
}

/// A relay that encrypts when it is asked to, and its certificate.
async fn encrypting(folder: &Path, offers: &'static str) -> (u16, std::path::PathBuf, Arc<Mutex<Vec<Taken>>>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let path = folder.join("authority.pem");
    std::fs::write(&path, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = Arc::new(Mutex::new(Vec::new()));
    let kept = taken.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, kept) = (acceptor.clone(), kept.clone());
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                stream.write_all(b"220 sink\r\n").await.unwrap();
                let mut line = String::new();
                while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) && !line.starts_with("STARTTLS") {
                    line.clear();
                    stream.write_all(format!("250-sink\r\n250 {offers}\r\n").as_bytes()).await.unwrap();
                }
                stream.write_all(b"220 go on\r\n").await.unwrap();
                let Ok(stream) = acceptor.accept(stream.into_inner()).await else { return };
                let keep: sink::Keep = Arc::new(move |one| kept.lock().unwrap().push(one));
                let _ = sink::session(stream, None, "AUTH PLAIN", NO_FAULTS, &AtomicU64::new(0), &keep).await;
            });
        }
    });
    (port, path, taken)
}

fn login(port: u16, authorities: Option<&Path>) -> Relay {
    let password = Some(Zeroizing::new("secret".to_owned()));
    Relay::parse(&format!("smtp://ada@localhost:{port}"), password, authorities).unwrap()
}

#[tokio::test]
async fn mail_is_encrypted_where_the_relay_offers_it_and_its_certificate_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (port, authority, taken) = encrypting(folder.path(), "STARTTLS").await;
    let mut connection = Connection::open(&login(port, Some(&authority)), "own.example").await.unwrap();
    let (from, to) = (Mailbox::parse("a@b.io").unwrap(), Mailbox::parse("c@d.io").unwrap());
    assert_eq!(connection.send(&from, &to, b"X: y\r\n\r\n.z\r\n").await.unwrap(), Verdict::Accepted);
    assert_eq!(taken.lock().unwrap()[0].mail, b"X: y\r\n\r\n.z\r\n");
    let refused = Connection::open(&login(port, None), "own.example").await.err();
    assert_eq!(refused, Some(Trouble::NotTrusted));
}

#[tokio::test]
async fn a_password_is_not_sent_to_a_relay_without_encryption() {
    let folder = tempfile::tempdir().unwrap();
    let (port, _, _) = encrypting(folder.path(), "AUTH PLAIN").await;
    assert_eq!(Connection::open(&login(port, None), "own.example").await.err(), Some(Trouble::NoEncryption));
}
