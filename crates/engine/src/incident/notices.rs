//! Notices of an incident: worded from what is known, signed by two, logged, queued; and codes that people type.

use std::net::IpAddr;

use cofferdam_ledger::{Entry, Kind};
use cofferdam_model::{Class, FieldSet, OrgId};
use cofferdam_notice::code::{NoticeKey, Recipient, RecipientKind};
use cofferdam_notice::names::Name;
use cofferdam_notice::outbox::{Addressee, Letter};
use cofferdam_notice::text::{self, Audience, CODE_BLANK, CODE_MARK, Facts, Language, Wording};
use serde::Serialize;
use utoipa::ToSchema;

use super::post::OfPerson;
use super::scope::{Group, Scope};
use super::store::{Signature, Text};
use super::{AccountKind, Incident, Measure, NoticeProgress, Stage, Told, sha256, text_hash};
use crate::{Caller, Engine, Member, Result, SteppedUp, refused};

/// How long an organisation of one waits for its second signature, in microseconds: time to think stands for the
/// second person.
const ALONE_US: i64 = 3_600_000_000;

/// The texts that would be sent.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Draft {
    pub version: u32,
    pub texts: Vec<DraftText>,
    /// Who signed these very texts, when one did.
    pub signed_by: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DraftText {
    pub audience: String,
    pub recipients: u64,
    pub subject: String,
    pub text: String,
}

/// What a signature did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Signed {
    /// It is the first: another member has to sign the same texts.
    First,
    /// The notices are logged, and on their way.
    Published,
}

/// What somebody learns who types a code.
#[derive(Clone, Debug, PartialEq)]
pub enum CodeAnswer {
    /// The text that its recipient got, as it was logged.
    Genuine(Told),
    /// As before, and the version that replaced it for this recipient.
    Superseded(Told, u32),
    NotOurs,
    TooMany,
}

/// A text with those who get it.
struct Planned {
    audience: Audience,
    group: Option<Group>,
    was_told: bool,
    members: Vec<u32>,
    wording: Wording,
}

impl Planned {
    fn recipients(&self) -> u64 {
        self.group.as_ref().map_or(self.members.len() as u64, |group| group.persons.len())
    }
}

impl Engine {
    pub(super) fn notice_key(&self, incident: u32) -> NoticeKey {
        NoticeKey::new(&self.vault.fingerprint("notice key", &incident.to_le_bytes()))
    }

    /// The numbers of an organisation's members, oldest first.
    async fn member_numbers(&self, org: OrgId) -> Result<Vec<u32>> {
        Ok(self.meta.members(Some(org)).await?.into_iter().map(|row| row.id).collect())
    }

    async fn newest_scope(&self, incident: &Incident) -> Result<(u32, Scope)> {
        let Some(version) = incident.scopes.last().map(|scope| scope.version) else {
            return refused("no_scope", "it is not known yet whom this concerns", Some("find the scope first"));
        };
        Ok((version, self.desk.store.scope(incident.id, version).await?))
    }

    /// What a text says, for those of whom these fields left.
    pub(super) fn facts(
        &self,
        sender: &str,
        incident: &Incident,
        version: u32,
        persons: u64,
        fields: FieldSet,
        was_told: bool,
    ) -> Result<Facts> {
        let Some(occurred_us) = incident.times.occurred_us else {
            return refused("no_time", "a notice says when it happened", Some("say when, as well as it is known"));
        };
        let (contact, host) = self.desk.post.names()?;
        Ok(Facts {
            sender: Name::of(sender),
            service: Name::of(&incident.service),
            contact,
            host,
            incident: incident.id,
            version,
            replaces: was_told.then_some(incident.published),
            occurred_us,
            detected_us: incident.times.detected_us,
            contained_us: incident.times.contained_us,
            account: match incident.account {
                AccountKind::Staff => text::Account::Staff,
                AccountKind::Token => text::Account::Token,
                AccountKind::Vendor => text::Account::Vendor,
                AccountKind::Unknown => text::Account::Unknown,
            },
            fields,
            persons,
            measures: incident.measures.iter().map(|measure| measure.worded()).collect(),
        })
    }

    /// All texts of the newest scope that were not sent yet.
    async fn plan_notices(
        &self,
        member: &Member,
        incident: &Incident,
        language: Language,
    ) -> Result<(u32, Vec<Planned>)> {
        let (version, scope) = self.newest_scope(incident).await?;
        if version <= incident.published {
            return refused("already_published", "everybody of this scope was told", Some("widen the scope first"));
        }
        let facts = |fields: FieldSet, was_told: bool| {
            self.facts(&member.organisation, incident, version, scope.persons(), fields, was_told)
        };
        let mut planned = Vec::new();
        let members = self.member_numbers(member.org).await?;
        // The first member answers for the organisation; the others have accounts.
        let (first, others) = members.split_at(members.len().min(1));
        for (audience, members) in [(Audience::Organisation, first), (Audience::Admin, others)] {
            if !members.is_empty() {
                let was_told = incident.published > 0;
                let wording = Wording::new(&facts(scope.fields(), was_told)?, audience, language)?;
                planned.push(Planned { audience, group: None, was_told, members: members.to_vec(), wording });
            }
        }
        let before = self.desk.store.scope(incident.id, incident.published).await?;
        for (group, was_told) in scope.since(&before) {
            let wording = Wording::new(&facts(group.fields, was_told)?, Audience::Person, language)?;
            planned.push(Planned {
                audience: Audience::Person,
                group: Some(group),
                was_told,
                members: vec![],
                wording,
            });
        }
        Ok((version, planned))
    }

    /// The texts as they would be sent now.
    pub async fn draft_notices(&self, member: &Member, id: u32, language: &str) -> Result<Draft> {
        let incident = self.incident(member, id).await?;
        let (version, planned) = self.plan_notices(member, &incident, language_of(language)?).await?;
        let signed = self.desk.store.signature(id, version).await?;
        let signed = signed.filter(|signed| signed.texts == hash_of(&planned) && signed.language == language);
        let texts = planned.iter().map(|one| DraftText {
            audience: one.audience.word().to_owned(),
            recipients: one.recipients(),
            subject: one.wording.subject.clone(),
            text: one.wording.text().replace(CODE_MARK, CODE_BLANK),
        });
        Ok(Draft { version, texts: texts.collect(), signed_by: signed.map(|signed| signed.member) })
    }

    /// Signs the texts of the newest scope, with a factor shown again. The second member who signs the very same texts
    /// publishes them: logged, then queued. An organisation of one signs again an hour later.
    pub async fn sign_notices(
        &self,
        caller: &Caller,
        stepped_up: SteppedUp,
        id: u32,
        language: &str,
    ) -> Result<Signed> {
        let request = stepped_up.request();
        // Nothing is opened by it: who is told is told by the outbox.
        stepped_up.spend(caller, request, Class::C0)?;
        self.signed_notices(&caller.member, id, language).await
    }

    /// As [`Engine::sign_notices`], for whoever may: of the factors nothing is asked.
    pub(crate) async fn signed_notices(&self, member: &Member, id: u32, language: &str) -> Result<Signed> {
        let _one = self.desk.changing.lock().await;
        let incident = self.incident(member, id).await?;
        let wanted = language_of(language)?;
        let (version, planned) = self.plan_notices(member, &incident, wanted).await?;
        let (texts, now_us) = (hash_of(&planned).to_vec(), self.now_us());
        let signed = self.desk.store.signature(id, version).await?;
        let Some(first) = signed.filter(|signed| signed.texts == texts && signed.language == language) else {
            let signature = Signature { language: language.to_owned(), texts, member: member.id, signed_us: now_us };
            self.desk.store.put_signature(id, version, &signature).await?;
            return Ok(Signed::First);
        };
        if first.member == member.id {
            let is_alone = self.member_numbers(member.org).await?.len() == 1;
            if !is_alone {
                return refused("second_person", "you signed these texts: another member has to sign them too", None);
            }
            if now_us - first.signed_us < ALONE_US {
                return refused(
                    "too_early",
                    "nobody else can sign: sign again when an hour has passed since the first time",
                    Some("read the texts again meanwhile"),
                );
            }
        }
        self.publish_notices(member, incident, version, wanted, planned).await?;
        Ok(Signed::Published)
    }

    async fn publish_notices(
        &self,
        member: &Member,
        mut incident: Incident,
        version: u32,
        language: Language,
        planned: Vec<Planned>,
    ) -> Result<()> {
        let mut texts = Vec::with_capacity(planned.len());
        for one in planned {
            let (text, fields) = (one.wording.text(), one.group.as_ref().map_or(FieldSet::EMPTY, |group| group.fields));
            let shown = text.replace(CODE_MARK, CODE_BLANK);
            let entry = Entry {
                object: one.group.as_ref().map_or(0, |group| u64::from(group.project.0)),
                purpose: u64::from(version),
                fields,
                count: one.recipients(),
                extra: text_hash(&one.wording.subject, &shown).to_vec(),
                ..Entry::of(Kind::NoticeWorded)
            };
            let entry = self.incident_entry(Kind::NoticeWorded, &incident, Some(member.id), entry).await?;
            texts.push(Text {
                told: Told {
                    version,
                    entry,
                    audience: one.audience.word().to_owned(),
                    language: language.tag().to_owned(),
                    subject: one.wording.subject.clone(),
                    text: shown,
                },
                project: one.group.map_or(0, |group| group.project.0),
                fields,
                was_told: one.was_told,
                html: one.wording.html(),
            });
        }
        let before = incident.published;
        self.desk.store.publish(incident.id, &texts).await?;
        self.queue_version(&incident, before, version).await?;
        incident.stage = Stage::Notified;
        incident.published = version;
        if before > 0 {
            incident.times.corrected_us = Some(self.now_us());
        }
        self.desk.store.save(&incident).await?;
        self.desk.post.wake();
        Ok(())
    }

    /// Queues the notices of a published version, unless they are.
    async fn queue_version(&self, incident: &Incident, before: u32, version: u32) -> Result<()> {
        let campaigns = self.desk.outbox.campaigns(Some(incident.id)).await?;
        if campaigns.iter().any(|campaign| campaign.version == version) {
            return Ok(());
        }
        let Some((org, _)) = self.desk.store.incident(incident.id).await? else { return Ok(()) };
        let key = self.notice_key(incident.id);
        let (old, new) =
            (self.desk.store.scope(incident.id, before).await?, self.desk.store.scope(incident.id, version).await?);
        let delta = new.since(&old);
        let texts: Vec<Text> = self.desk.store.texts(incident.id).await?;
        let texts: Vec<Text> = texts.into_iter().filter(|text| text.told.version == version).collect();
        let members = self.member_numbers(org).await?;
        let mut letters = Vec::with_capacity(texts.len());
        let mut addressees = Vec::new();
        for (letter, text) in texts.iter().enumerate() {
            // Where the code goes is known by its place in the logged text.
            let marked = text.told.text.replacen(&format!("    {CODE_BLANK}\n"), &format!("    {CODE_MARK}\n"), 1);
            letters.push(Letter {
                entry: text.told.entry,
                subject: text.told.subject.clone(),
                text: marked,
                html: text.html.clone(),
            });
            let of_member = |number: &u32| Recipient { kind: RecipientKind::Member, project: 0, number: *number };
            let recipients: Vec<Recipient> = match Audience::of_word(&text.told.audience) {
                Some(Audience::Organisation) => members.iter().take(1).map(of_member).collect(),
                Some(Audience::Admin) => members.iter().skip(1).map(of_member).collect(),
                _ => {
                    let mine = delta.iter().find(|(group, was_told)| {
                        (group.project.0, group.fields, *was_told) == (text.project, text.fields, text.was_told)
                    });
                    let persons = mine.into_iter().flat_map(|(group, _)| group.persons.iter());
                    persons
                        .map(|number| Recipient { kind: RecipientKind::Person, project: text.project, number })
                        .collect()
                }
            };
            addressees.extend(recipients.into_iter().map(|recipient| Addressee {
                recipient,
                letter,
                tag: key.tag(&key.code(recipient, version)),
            }));
        }
        self.desk.outbox.queue(incident.id, version, &letters, addressees.into_iter(), self.now_us()).await?;
        Ok(())
    }

    /// Queues what was published and not queued when the server ended between the two.
    pub(crate) async fn finish_publishing(&self) -> Result<()> {
        for id in self.desk.store.incidents(None).await? {
            let Some((_, mut incident)) = self.desk.store.incident(id).await? else { continue };
            let newest = self.desk.store.texts(id).await?.iter().map(|text| text.told.version).max().unwrap_or(0);
            if newest > incident.published {
                self.queue_version(&incident, incident.published, newest).await?;
                (incident.published, incident.stage) = (newest, Stage::Notified);
                self.desk.store.save(&incident).await?;
            }
        }
        Ok(())
    }

    /// How the notices of an incident stand, by version.
    pub async fn notice_progress(&self, member: &Member, id: u32) -> Result<Vec<NoticeProgress>> {
        self.incident(member, id).await?;
        let (rate, trouble) = self.desk.post.condition();
        let mut progress = Vec::new();
        for campaign in self.desk.outbox.campaigns(Some(id)).await? {
            let found = self.desk.outbox.progress(campaign.id).await?;
            progress.push(NoticeProgress::of(&campaign, &found, rate, trouble.clone()));
        }
        Ok(progress)
    }

    /// Holds the notices of an incident back, or lets them go on.
    pub async fn pause_notices(&self, member: &Member, id: u32, is_paused: bool) -> Result<()> {
        self.incident(member, id).await?;
        for campaign in self.desk.outbox.campaigns(Some(id)).await? {
            self.desk.post.pause(&self.desk.outbox, campaign.id, is_paused).await?;
        }
        Ok(())
    }

    /// Persons of a project whom no notice reached, by pseudonym, and why: somebody has to reach them otherwise.
    pub async fn unreached(&self, member: &Member, id: u32) -> Result<Vec<(String, String)>> {
        self.incident(member, id).await?;
        let mut out = Vec::new();
        for campaign in self.desk.outbox.campaigns(Some(id)).await? {
            for (recipient, class) in self.desk.outbox.unreached(campaign.id).await? {
                let name = match recipient.kind {
                    RecipientKind::Member => format!("member {}", recipient.number),
                    RecipientKind::Person => {
                        let (project, subject) = recipient.person();
                        self.vault.pseudonyms(project, &[subject]).await?.remove(&subject).unwrap_or_default()
                    }
                };
                out.push((name, class.word().to_owned()));
            }
        }
        Ok(out)
    }

    /// What a code says that somebody typed. The same work is done for a code that is ours and for one that is not.
    pub async fn check_code(&self, id: u32, typed: &str, address: IpAddr) -> Result<CodeAnswer> {
        if !self.desk.tries.admit(address, id, self.now_us()) {
            return Ok(CodeAnswer::TooMany);
        }
        let tag = self.notice_key(id).tag(typed);
        let Some(found) = self.desk.outbox.find(id, tag).await? else { return Ok(CodeAnswer::NotOurs) };
        let texts = self.desk.store.texts(id).await?;
        let Some(text) = texts.into_iter().find(|text| text.told.entry == found.entry) else {
            return Ok(CodeAnswer::NotOurs);
        };
        let newest = self.desk.outbox.newest_version(id, found.recipient).await?;
        Ok(match newest {
            Some(newest) if newest > found.version => CodeAnswer::Superseded(text.told, newest),
            _ => CodeAnswer::Genuine(text.told),
        })
    }
}

fn language_of(tag: &str) -> Result<Language> {
    match Language::of_tag(tag) {
        Some(language) => Ok(language),
        None => refused("unknown_language", "notices are written in en, es and it", None),
    }
}

/// What a signature is over.
fn hash_of(planned: &[Planned]) -> [u8; 32] {
    let all: Vec<String> = planned
        .iter()
        .map(|one| {
            format!("{}\n{}\n{}\n{}", one.audience.word(), one.recipients(), one.wording.subject, one.wording.text())
        })
        .collect();
    sha256(all.join("\n\0\n").as_bytes())
}

impl Measure {
    fn worded(self) -> text::Measure {
        match self {
            Measure::Locked => text::Measure::Locked,
            Measure::Sessions => text::Measure::Sessions,
            Measure::Tokens => text::Measure::Tokens,
            Measure::Vendor => text::Measure::Vendor,
            Measure::Authority => text::Measure::Authority,
        }
    }
}
