//! The way out for notices: addresses are opened by the ledger's tickets at the moment of sending, and dropped with the
//! chunk.
//!
//! Only a property that is named as a person's own address, or the id that they are known by, is written to: a
//! "manager_email" is somebody else's.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};

use cofferdam_ledger::disk::{Keep, LocalDisk, replace};
use cofferdam_ledger::{Entry, Intent, Kind, RoaringBitmap};
use cofferdam_model::{PersonalField, ProjectId, SubjectNo};
use cofferdam_notice::code::{NoticeKey, Recipient, RecipientKind};
use cofferdam_notice::deliver::{Address, Answer, Mailer, Opened, Pace, Recipients};
use cofferdam_notice::dkim::Keys;
use cofferdam_notice::message::From;
use cofferdam_notice::names::Name;
use cofferdam_notice::outbox::{Lease, Outbox};
use cofferdam_notice::preflight;
use cofferdam_notice::smtp::{Mailbox, Relay};
use cofferdam_vault::{DisclosedSubject, RootKey, Site, Vault};

use crate::{Engine, Error, Purpose, Result, refused};

/// How notices are sent.
pub struct MailSettings {
    /// `smtp://` or `smtps://`; see [`Relay::parse`].
    pub relay: String,
    pub password: Option<zeroize::Zeroizing<String>>,
    /// Certificates in PEM form of who may vouch for the relay; the system's without it.
    pub authorities: Option<std::path::PathBuf>,
    /// Whom notices are from; also where questions go.
    pub from: String,
    /// The host that recipients know, to be typed.
    pub host: String,
    /// Mails a second to one domain.
    pub domain_per_second: u32,
}

#[derive(Default)]
pub(crate) struct Post(Mutex<Option<Set>>);

#[derive(Clone)]
struct Set {
    mailer: Arc<Mailer>,
    contact: String,
    host: String,
}

impl Post {
    fn set(&self) -> Option<Set> {
        self.0.lock().expect("never left half changed").clone()
    }

    /// Contact and host, as they stand in notices.
    pub(super) fn names(&self) -> Result<(String, String)> {
        match self.set() {
            Some(set) => Ok((set.contact, set.host)),
            None => refused(
                "no_mail",
                "this server sends no mail",
                Some("start it with --smtp and --mail-from, after `cofferdam notices keys`"),
            ),
        }
    }

    pub(super) fn wake(&self) {
        if let Some(set) = self.set() {
            set.mailer.wake();
        }
    }

    pub(super) fn condition(&self) -> (f64, Option<String>) {
        match self.set() {
            Some(set) => set.mailer.condition(),
            None => (0.0, Some("this server sends no mail: start it with --smtp".to_owned())),
        }
    }

    pub(super) async fn pause(&self, outbox: &Outbox, campaign: u32, is_paused: bool) -> Result<()> {
        match self.set() {
            Some(set) => set.mailer.pause(campaign, is_paused).await?,
            None => outbox.pause(campaign, is_paused).await?,
        }
        Ok(())
    }
}

/// The file of the sealed signing keys.
const KEYS_FILE: &str = "notice-keys";
const KEYS: &str = "notice keys";

/// The keys that sign mail, of an installation that is not running.
pub struct MailKeys {
    keys: Keys,
    /// They were made just now.
    pub is_new: bool,
}

impl MailKeys {
    /// Reads the keys, or makes them where there are none or new ones are asked for. They are stored sealed.
    pub async fn of_site(site: &Site, root: Option<RootKey>, renew: bool) -> Result<MailKeys> {
        let vault = Vault::with_root(site, root).await?;
        if !renew && let Some(keys) = read_keys(&site.folder, &vault)? {
            return Ok(MailKeys { keys, is_new: false });
        }
        Ok(MailKeys { keys: made_keys(&site.folder, &vault)?, is_new: true })
    }

    /// Names and values of the TXT records that a domain publishes.
    pub fn records(&self, domain: &str) -> Result<[(String, String); 2]> {
        Ok(self.keys.records(domain)?)
    }

    /// What is wrong with what a domain publishes; see [`preflight::check`].
    pub fn preflight(&self, domain: &str, records: &str) -> Result<Vec<String>> {
        Ok(preflight::check(domain, &self.keys, records)?)
    }
}

fn made_keys(folder: &Path, vault: &Vault) -> Result<Keys> {
    let keys = Keys::generate()?;
    let sealed = vault.seal_secret(KEYS, 0, &keys.to_bytes()?);
    let path = folder.join(KEYS_FILE);
    replace(&LocalDisk, &path, &sealed, Keep::Durable).map_err(io_error("write the mail's keys", &path))?;
    Ok(keys)
}

fn read_keys(folder: &Path, vault: &Vault) -> Result<Option<Keys>> {
    let path = folder.join(KEYS_FILE);
    let sealed = match std::fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io_error("read the mail's keys", &path))?,
    };
    Ok(Some(Keys::from_bytes(&vault.open_secret(KEYS, 0, &sealed)?)?))
}

/// Copies the sealed keys for a backup, where there are some.
pub(crate) fn copy_keys(folder: &Path, to: &Path) -> Result<()> {
    let path = folder.join(KEYS_FILE);
    match std::fs::copy(&path, to.join(KEYS_FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("copy the mail's keys", &path)(error)),
        _ => Ok(()),
    }
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Store(cofferdam_lake::Error::Io { what, path, source })
}

impl Engine {
    /// Makes the keys that sign mail, where there are none: for a server whose mail goes no further than its own machine.
    pub fn make_mail_keys(&self) -> Result<()> {
        if read_keys(&self.folder, &self.vault)?.is_none() {
            made_keys(&self.folder, &self.vault)?;
        }
        Ok(())
    }

    /// Begins to send what is queued, and goes on for as long as the process runs.
    pub fn send_notices(self: &Arc<Engine>, settings: MailSettings) -> Result<()> {
        let MailSettings { relay, password, authorities, from, host, domain_per_second } = settings;
        let Some(mailbox) = Mailbox::parse(&from) else {
            return refused("mail_from", "--mail-from is no e-mail address", None);
        };
        let is_host =
            !host.is_empty() && host.chars().all(|letter| letter.is_ascii_alphanumeric() || "-.:".contains(letter));
        if !is_host {
            return refused(
                "notice_host",
                "the host that notices name is none",
                Some("for example analytics.example.org"),
            );
        }
        let Some(dkim) = read_keys(&self.folder, &self.vault)? else {
            return refused(
                "no_keys",
                "there are no keys to sign mail with",
                Some("make them with `cofferdam notices keys`"),
            );
        };
        let relay = Relay::parse(&relay, password, authorities.as_deref())?;
        let contact = mailbox.to_string();
        let from = From { mailbox, name: Name::of(&host) };
        let clock = self.clock.clone();
        let pace = Pace { domain_per_second, ..Pace::default() };
        let mailer =
            Arc::new(Mailer::new(self.desk.outbox.clone(), relay, from, dkim, pace, Arc::new(move || clock())));
        let set = Set { mailer: mailer.clone(), contact, host };
        *self.desk.post.0.lock().expect("never left half changed") = Some(set);
        let opener = Arc::new(Opener(Arc::downgrade(self)));
        tokio::spawn(async move { mailer.run(opener).await });
        Ok(())
    }

    /// Opens the addresses of persons of one project.
    async fn open_persons(&self, project: ProjectId, incident: u32, numbers: &[u32]) -> Result<Opened> {
        let project = self.project(project)?;
        self.check_unsealed(&project)?;
        let merges = self.vault.merges(project.id);
        // A person's address can be kept under any of the subjects they were merged of.
        let members = |number: u32| {
            let person = merges.canonical(SubjectNo(number));
            merges.group(person).map_or(vec![person], |group| group.members.clone())
        };
        let subjects: RoaringBitmap =
            numbers.iter().flat_map(|number| members(*number)).map(|subject| subject.0).collect();
        let intent = Intent {
            org: project.org,
            project: project.id,
            fields: [PersonalField::Email, PersonalField::DistinctId].into_iter().collect(),
            subjects,
            context: Entry { purpose: Purpose::Notice as u64, grant: u64::from(incident), ..Entry::of(Kind::Intent) },
        };
        let ticket = self.ledger.authorise_async(intent).await?;
        let disclosure = ticket.seq();
        let disclosed = self.vault.disclose(ticket).await?;
        let by_subject: HashMap<SubjectNo, &DisclosedSubject> =
            disclosed.subjects().iter().map(|subject| (subject.subject, subject)).collect();
        let addresses = numbers.iter().map(|number| {
            let own = members(*number);
            let values: Vec<&DisclosedSubject> =
                own.iter().filter_map(|subject| by_subject.get(subject).copied()).collect();
            best(&values)
        });
        Ok(Opened { disclosure, addresses: addresses.collect() })
    }

    async fn open_members(&self, numbers: &[u32]) -> Result<Opened> {
        let mut addresses = Vec::with_capacity(numbers.len());
        for number in numbers {
            addresses.push(match self.meta.member(*number).await? {
                Some(row) => {
                    Mailbox::parse(&self.member_of(row).await?.email).map_or(Address::Unusable, Address::Mailbox)
                }
                None => Address::None,
            });
        }
        Ok(Opened { disclosure: 0, addresses })
    }

    /// Writes down how many of a chunk were accepted.
    async fn sent(&self, lease: &Lease, disclosure: u64, accepted: u64) -> Result<()> {
        let incident = lease.campaign.incident;
        let first = lease.rows.first().map(|row| row.recipient);
        let is_of_persons = first.is_some_and(|recipient| recipient.kind == RecipientKind::Person);
        let entry = Entry {
            object: first.map_or(0, |recipient| u64::from(recipient.project)),
            grant: u64::from(incident),
            count: accepted,
            ..Entry::of(Kind::Done)
        };
        if is_of_persons {
            let done = Entry { purpose: Purpose::Notice as u64, refers_to: Some(disclosure), ..entry.clone() };
            self.ledger.append_async(done).await?;
        }
        if accepted == 0 {
            return Ok(());
        }
        let refers_to = is_of_persons.then_some(disclosure);
        let sent = Entry { kind: Kind::NoticeSent, purpose: u64::from(lease.campaign.version), refers_to, ..entry };
        self.ledger.append_async(sent).await?;
        let _one = self.desk.changing.lock().await;
        if let Some((_, mut found)) = self.desk.store.incident(incident).await? {
            let now_us = self.now_us();
            found.times.notified_first_us = found.times.notified_first_us.or(Some(now_us));
            found.times.notified_last_us = Some(now_us);
            self.desk.store.save(&found).await?;
        }
        Ok(())
    }
}

/// The address that is named as the person's own; then the id they are known by.
fn best(subjects: &[&DisclosedSubject]) -> Address {
    let mut address = Address::None;
    let rank = |field: PersonalField, name: &str| match (field, name.to_lowercase().as_str()) {
        (PersonalField::Email, "$email" | "email" | "e-mail" | "mail" | "email_address") => Some(0),
        (PersonalField::DistinctId, _) => Some(1),
        _ => None,
    };
    for wanted in [0, 1] {
        for (field, name, json) in subjects.iter().flat_map(|subject| subject.values()) {
            if rank(field, name) != Some(wanted) {
                continue;
            }
            let text = serde_json::from_str::<String>(json).map(zeroize::Zeroizing::new);
            match text.ok().and_then(|text| Mailbox::parse(&text)) {
                Some(mailbox) => return Address::Mailbox(mailbox),
                None if wanted == 0 => address = Address::Unusable,
                None => {}
            }
        }
    }
    address
}

/// Opens addresses for the mailer, for as long as the engine is there.
struct Opener(Weak<Engine>);

impl Recipients for Opener {
    fn open<'a>(&'a self, lease: &'a Lease) -> Answer<'a, Result<Opened, String>> {
        Box::pin(async move {
            let engine = self.0.upgrade().ok_or_else(|| "the server ends".to_owned())?;
            let numbers: Vec<u32> = lease.rows.iter().map(|row| row.recipient.number).collect();
            let first = lease.rows.first().map(|row| row.recipient);
            let opened = match first.map(|recipient| (recipient.kind, recipient.person().0)) {
                Some((RecipientKind::Person, project)) => {
                    engine.open_persons(project, lease.campaign.incident, &numbers).await
                }
                _ => engine.open_members(&numbers).await,
            };
            opened.map_err(|error| error.to_string())
        })
    }

    fn close<'a>(&'a self, lease: &'a Lease, disclosure: u64, accepted: u64) -> Answer<'a, ()> {
        Box::pin(async move {
            let Some(engine) = self.0.upgrade() else { return };
            if let Err(error) = engine.sent(lease, disclosure, accepted).await {
                tracing::error!(error = &error as &dyn std::error::Error, "sent notices are not in the ledger");
            }
        })
    }

    fn key(&self, incident: u32) -> NoticeKey {
        // An engine that has gone opens no addresses, and a key of nobody's makes no code that is ours.
        self.0.upgrade().map_or_else(|| NoticeKey::new(&[0; 32]), |engine| engine.notice_key(incident))
    }
}

/// A recipient's project and subject.
pub(super) trait OfPerson {
    fn person(&self) -> (ProjectId, SubjectNo);
}

impl OfPerson for Recipient {
    fn person(&self) -> (ProjectId, SubjectNo) {
        (ProjectId(self.project), SubjectNo(self.number))
    }
}
