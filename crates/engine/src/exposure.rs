//! What was exposed, by whom, and about whom, in the product's words: members by name, persons by pseudonym, projects
//! of the organisation that asks.
//!
//! The index behind it ([`cofferdam_exposure`]) knows numbers and the ledger's pseudonyms alone. Here members are
//! found among them, and the numbers of one merged person are counted once. Another organisation's disclosures are in
//! no answer: a question is about the projects of whoever asks. Counting and listing disclosures needs no key and
//! works while an organisation is sealed; naming persons does not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use cofferdam_exposure::{
    By, Disclosure, Index, Person, ProjectExposed, Pseudonym, Question, RoaringBitmap, Sum, Which,
};
use cofferdam_ledger::Log;
use cofferdam_model::{Class, FieldGroup, FieldSet, Merges, OrgId, PersonalField, ProjectId, SubjectNo, limits};
use cofferdam_query::calendar::utc_text;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::approval::{Agreed, Wish};
use crate::{Caller, Engine, Error, Project, Purpose, Result, SteppedUp, refused};

/// Something that disclosures have in common. Sessions, tokens, addresses and devices go by the pseudonym that the
/// ledger has for them: 32 hexadecimal digits, as in a list of disclosures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A member's e-mail address, or the pseudonym of whoever is no member any more.
    Actor(String),
    /// A member's number.
    Member(u32),
    Session(String),
    Token(String),
    Ip(String),
    Device(String),
    Grant(u64),
    Purpose(u64),
    Project(u32),
}

/// What was exposed by disclosures …
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExposureQuestion {
    /// … with one of these, or by all when none is named,
    #[serde(default)]
    pub any_of: Vec<Cause>,
    /// and with all of these,
    #[serde(default)]
    pub all_of: Vec<Cause>,
    /// from this time on (RFC 3339),
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// and before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// The persons of an answer, page by page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonsQuestion {
    pub question: ExposureQuestion,
    pub project: u32,
    /// Only those of whom this field was exposed.
    #[serde(default)]
    pub field: Option<String>,
    /// Only what is confirmed to have been sent.
    #[serde(default)]
    pub is_confirmed: bool,
    /// Persons before the page.
    #[serde(default)]
    pub offset: u64,
    /// At most 500.
    #[serde(default)]
    pub limit: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PersonsExposed {
    /// Of all pages.
    pub count: u64,
    /// Pseudonyms, in an order that stays.
    pub persons: Vec<String>,
    /// Where the next page begins; none at the end.
    pub next: Option<u64>,
}

/// A list of disclosures, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisclosedQuestion {
    #[serde(default)]
    pub question: ExposureQuestion,
    /// Only those about this person: a project and a pseudonym.
    #[serde(default)]
    pub person: Option<(u32, String)>,
    /// Only those before this entry of the ledger.
    #[serde(default)]
    pub before: Option<u64>,
    /// At most 500.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// Disclosures in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExposureSum {
    pub disclosures: u64,
    /// Of them, those that go on, or whose end was never recorded.
    pub live: u64,
    /// Of them, those that were broken off before the first row.
    pub unsent: u64,
    pub rows: u64,
    pub first: Option<String>,
    pub last: Option<String>,
    /// Disclosures whose persons are in no list because the list was erased, and how many ids were on those lists.
    pub unnamed_disclosures: u64,
    pub unnamed_ids: u64,
}

/// How many persons, of whom how many ids are known to the project, and how many fields of those ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Exposees {
    pub persons: u64,
    pub ids: u64,
    pub values: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldExposure {
    /// A field, or a group of fields.
    pub name: String,
    /// Persons.
    pub authorised: u64,
    pub confirmed: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProjectExposure {
    pub project: u32,
    /// None for a project that is no more.
    pub organisation: Option<u32>,
    pub sum: ExposureSum,
    pub authorised: Exposees,
    pub confirmed: Exposees,
    pub fields: Vec<FieldExposure>,
    pub groups: Vec<FieldExposure>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OrganisationExposure {
    pub organisation: u32,
    pub authorised: Exposees,
    pub confirmed: Exposees,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GrantExposure {
    pub grant: u64,
    pub disclosures: u64,
}

/// What was exposed. *Authorised* is what the ledger allowed before it happened: nothing else can have been seen.
/// *Confirmed* is that of which the ledger also has that something was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Exposure {
    /// Entries of the ledger that this is true for.
    pub ledger_entries: u64,
    pub sum: ExposureSum,
    pub authorised: Exposees,
    pub confirmed: Exposees,
    pub fields: Vec<FieldExposure>,
    pub groups: Vec<FieldExposure>,
    pub organisations: Vec<OrganisationExposure>,
    pub projects: Vec<ProjectExposure>,
    /// The first hundred grants by number, and how many there are.
    pub grants: Vec<GrantExposure>,
    pub grants_count: u64,
    /// The newest disclosures that go on, or whose end was never recorded; a hundred at most.
    pub live: Vec<Disclosed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisclosedState {
    /// It goes on, or its end was never recorded.
    Live,
    Done,
    Aborted,
}

/// Whoever saw something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DisclosedBy {
    /// As the ledger has it.
    pub pseudonym: String,
    /// For a member of the organisation that asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// One disclosure: who was allowed to see what of how many, when, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Disclosed {
    /// Number of its entry in the ledger.
    pub entry: u64,
    pub time: String,
    pub project: u32,
    pub actor: Option<DisclosedBy>,
    pub session: Option<String>,
    pub token: Option<String>,
    pub ip: Option<String>,
    pub device: Option<String>,
    pub grant: Option<u64>,
    pub purpose: Option<u64>,
    /// The purpose in a word, for one that this version knows.
    pub purpose_name: Option<String>,
    pub fields: Vec<String>,
    /// Ids: a merged person has several.
    pub ids: u64,
    pub state: DisclosedState,
    pub rows: Option<u64>,
    pub ended: Option<String>,
    /// The list of its persons was erased.
    pub is_unnamed: bool,
}

/// Disclosures, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DisclosedPage {
    pub disclosures: Vec<Disclosed>,
    /// `before` of the next page; none at the end.
    pub before: Option<u64>,
}

pub(crate) async fn open(folder: &Path, ledger: &Arc<Log>) -> Result<Arc<Index>> {
    let (folder, ledger) = (folder.join("exposure"), ledger.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let create = crate::create_private(&folder);
        create.map_err(|source| cofferdam_exposure::Error::Io {
            what: "create the folder of disclosures",
            path: folder.clone(),
            source,
        })?;
        Index::open(&folder, ledger)
    });
    Ok(Arc::new(opened.await.map_err(|_| Error::Interrupted)??))
}

impl Engine {
    /// What was exposed. `org` is the organisation that asks: of others there is nothing in the answer. Without it, for
    /// whoever has the data folder, it is everything.
    ///
    /// # Errors
    /// When the question names something that is not there, and when the ledger cannot be read: no answer is short.
    pub async fn exposed(&self, org: Option<OrgId>, question: &ExposureQuestion) -> Result<Exposure> {
        let question = self.question(org, question).await?;
        let found = self.on_disclosures(move |index| index.exposed(&question)).await?;
        let mut exposure = Exposure {
            ledger_entries: found.entries,
            sum: sum_of(&found.sum),
            authorised: Exposees::default(),
            confirmed: Exposees::default(),
            fields: Vec::new(),
            groups: Vec::new(),
            organisations: Vec::new(),
            projects: Vec::new(),
            grants: Vec::new(),
            grants_count: found.grants_count,
            live: self.told(org, &found.live).await?,
        };
        exposure.grants = found
            .grants
            .iter()
            .map(|grant| GrantExposure { grant: grant.grant, disclosures: grant.disclosures })
            .collect();
        let mut organisations: BTreeMap<u32, (Exposees, Exposees)> = BTreeMap::new();
        for project in found.projects {
            let exposed = self.count(project).await?;
            exposure.authorised.add(exposed.authorised);
            exposure.confirmed.add(exposed.confirmed);
            add_fields(&mut exposure.fields, &exposed.fields);
            add_fields(&mut exposure.groups, &exposed.groups);
            if let Some(organisation) = exposed.organisation {
                let of_it = organisations.entry(organisation).or_default();
                of_it.0.add(exposed.authorised);
                of_it.1.add(exposed.confirmed);
            }
            exposure.projects.push(exposed);
        }
        let of_it =
            |(organisation, (authorised, confirmed))| OrganisationExposure { organisation, authorised, confirmed };
        exposure.organisations = organisations.into_iter().map(of_it).collect();
        Ok(exposure)
    }

    /// Who they are, by pseudonym, a page at a time. Give the question an end, so that pages do not change. A second
    /// person has to agree to the question, once for all its pages.
    ///
    /// # Errors
    /// As [`Engine::exposed`], and when the organisation is sealed.
    pub async fn exposed_persons(
        &self,
        caller: &Caller,
        stepped_up: SteppedUp,
        asked: &PersonsQuestion,
    ) -> Result<Agreed<PersonsExposed>> {
        let request = stepped_up.request();
        stepped_up.spend(caller, request, Class::C0)?;
        let org = Some(caller.member.org);
        let project = self.project_in(org, asked.project)?;
        self.check_unsealed(&project)?;
        let fields = match &asked.field {
            None => FieldSet(u64::MAX),
            Some(name) => {
                let field = PersonalField::ALL.into_iter().find(|field| field.name() == name);
                FieldSet::EMPTY.with(field.ok_or(Error::NotFound("field"))?)
            }
        };
        let mut question = self.question(org, &asked.question).await?;
        let named = ExposureQuestion {
            any_of: question.any_of.iter().map(cause_of).collect(),
            all_of: question.all_of.iter().map(cause_of).collect(),
            ..asked.question.clone()
        };
        let (field, is_confirmed) = (asked.field.clone(), asked.is_confirmed);
        let wish = Wish::ListPersons { project: asked.project, question: named, field, is_confirmed };
        if let Some(asked) = self.agreed(caller, wish).await? {
            return Ok(Agreed::Waits(asked));
        }
        question.projects = Some(BTreeSet::from([u64::from(asked.project)]));
        let merges = self.vault.merges(project.id);
        let (offset, limit) = (asked.offset, rows(asked.limit));
        let which = if asked.is_confirmed { Which::Confirmed } else { Which::Authorised };
        let (count, numbers) = self
            .on_disclosures(move |index| {
                let exposed = index.exposed(&question)?;
                let persons = exposed.projects.first().map(|project| project.subjects_with(which, fields));
                let mut persons = persons.unwrap_or_default();
                make_persons(&mut persons, &merges);
                let first = u32::try_from(offset).ok().and_then(|offset| persons.select(offset));
                let page = first.map(|first| persons.range(first..).take(limit).map(SubjectNo).collect());
                Ok((persons.len(), page.unwrap_or_else(Vec::new)))
            })
            .await?;
        let names = self.vault.pseudonyms(project.id, &numbers).await?;
        let next = offset + numbers.len() as u64;
        Ok(Agreed::Given(PersonsExposed {
            count,
            persons: numbers.iter().filter_map(|number| names.get(number).cloned()).collect(),
            next: (next < count).then_some(next),
        }))
    }

    /// Disclosures, newest first: who saw what, when, and why.
    ///
    /// # Errors
    /// As [`Engine::exposed`]; with a person, also when there is no such person, or the organisation is sealed.
    pub async fn disclosed(&self, org: Option<OrgId>, asked: &DisclosedQuestion) -> Result<DisclosedPage> {
        let question = self.question(org, &asked.question).await?;
        let person = match &asked.person {
            None => None,
            Some((project, pseudonym)) => {
                let project = self.project_in(org, *project)?;
                self.check_unsealed(&project)?;
                let subject = self.vault.subject_of(project.id, pseudonym).await?.ok_or(Error::NotFound("person"))?;
                let merges = self.vault.merges(project.id);
                let subjects = merges.group(subject).map_or(vec![subject], |group| group.members.clone());
                let subjects = subjects.into_iter().map(|subject| subject.0).collect();
                Some(Person { project: u64::from(project.id.0), subjects })
            }
        };
        let (before, limit) = (asked.before, rows(asked.limit));
        let list = move |index: &Index| index.disclosures(&question, person.as_ref(), before, limit);
        let page = self.on_disclosures(list).await?;
        Ok(DisclosedPage { disclosures: self.told(org, &page.disclosures).await?, before: page.before })
    }

    /// What left about one person, newest first.
    ///
    /// # Errors
    /// When there is no such person, the organisation is sealed, or the ledger cannot be read.
    pub async fn disclosed_about(
        &self,
        project: &Project,
        pseudonym: &str,
        before: Option<u64>,
        limit: Option<u32>,
    ) -> Result<DisclosedPage> {
        let person = Some((project.id.0, pseudonym.to_owned()));
        let question = ExposureQuestion::default();
        self.disclosed(Some(project.org), &DisclosedQuestion { question, person, before, limit }).await
    }

    /// Takes into the index what the ledger has by now, so that the next question finds it there.
    ///
    /// # Errors
    /// When the ledger or the disk fails; the next question tries again.
    pub async fn follow_ledger(&self) -> Result<()> {
        self.on_disclosures(Index::follow).await.map(drop)
    }

    pub(crate) async fn on_disclosures<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Index) -> cofferdam_exposure::Result<T> + Send + 'static,
    ) -> Result<T> {
        let index = self.exposures.clone();
        Ok(tokio::task::spawn_blocking(move || ask(&index)).await.map_err(|_| Error::Interrupted)??)
    }

    fn project_in(&self, org: Option<OrgId>, project: u32) -> Result<Arc<Project>> {
        let found = self.project(ProjectId(project))?;
        if org.is_none_or(|org| org == found.org) { Ok(found) } else { Err(Error::NotFound("project")) }
    }

    pub(crate) async fn question(&self, org: Option<OrgId>, asked: &ExposureQuestion) -> Result<Question> {
        if asked.any_of.len() + asked.all_of.len() > limits::EXPOSURE_BY_MAX {
            let message = format!("one question names at most {} things", limits::EXPOSURE_BY_MAX);
            return refused("too_many_causes", message, Some("ask in several questions"));
        }
        let (mut any_of, mut all_of) = (Vec::new(), Vec::new());
        for cause in &asked.any_of {
            any_of.push(self.by(org, cause).await?);
        }
        for cause in &asked.all_of {
            all_of.push(self.by(org, cause).await?);
        }
        let projects = org.map(|org| {
            let projects = self.projects.read().expect("never left half changed");
            let own = projects.by_id.values().filter(|project| project.org == org);
            own.map(|project| u64::from(project.id.0)).collect()
        });
        let from_us = asked.from.as_deref().map(time_us).transpose()?.unwrap_or(0);
        let to_us = asked.to.as_deref().map(time_us).transpose()?;
        Ok(Question { any_of, all_of, none_of: Vec::new(), projects, from_us, to_us })
    }

    async fn by(&self, org: Option<OrgId>, cause: &Cause) -> Result<By> {
        Ok(match cause {
            Cause::Actor(text) => match pseudonym(text) {
                Ok(pseudonym) => By::Actor(pseudonym),
                Err(_) => By::Actor(self.actor(self.member_with(org, text).await?)),
            },
            Cause::Member(member) => {
                let row = self.meta.member(*member).await?.filter(|row| org.is_none_or(|org| org == row.org));
                By::Actor(self.actor(row.ok_or(Error::NotFound("member"))?.id))
            }
            Cause::Session(text) => By::Session(pseudonym(text)?),
            Cause::Token(text) => By::Token(pseudonym(text)?),
            Cause::Ip(text) => By::Ip(pseudonym(text)?),
            Cause::Device(text) => By::Device(pseudonym(text)?),
            Cause::Grant(grant) => By::Grant(*grant),
            Cause::Purpose(purpose) => By::Purpose(*purpose),
            Cause::Project(project) => By::Project(u64::from(self.project_in(org, *project)?.id.0)),
        })
    }

    async fn count(&self, exposed: ProjectExposed) -> Result<ProjectExposure> {
        let project = ProjectId(u32::try_from(exposed.project).map_err(|_| Error::NotFound("project"))?);
        let known = self.project(project).ok();
        let merges = self.vault.merges(project);
        let count = move || {
            let persons = exposed.renumbered(|subjects| make_persons(subjects, &merges));
            let exposees = |which| Exposees {
                persons: persons.subjects(which).len(),
                ids: exposed.subjects(which).len(),
                values: exposed.values(which),
            };
            let field = |name: &str, fields: FieldSet| FieldExposure {
                name: name.to_owned(),
                authorised: persons.subjects_with(Which::Authorised, fields).len(),
                confirmed: persons.subjects_with(Which::Confirmed, fields).len(),
            };
            let fields = PersonalField::ALL.map(|one| field(one.name(), FieldSet::EMPTY.with(one)));
            let groups = FieldGroup::ALL.map(|group| field(group.name(), group.fields()));
            ProjectExposure {
                project: project.0,
                organisation: known.map(|project| project.org.0),
                sum: sum_of(&exposed.sum),
                authorised: exposees(Which::Authorised),
                confirmed: exposees(Which::Confirmed),
                fields: fields.into_iter().filter(|field| field.authorised > 0).collect(),
                groups: groups.into_iter().filter(|group| group.authorised > 0).collect(),
            }
        };
        tokio::task::spawn_blocking(count).await.map_err(|_| Error::Interrupted)
    }

    /// Disclosures as they are told to an organisation: its own members by name.
    async fn told(&self, org: Option<OrgId>, disclosures: &[Disclosure]) -> Result<Vec<Disclosed>> {
        let mut names: FxHashMap<Pseudonym, (u32, String)> = FxHashMap::default();
        if !disclosures.is_empty() {
            for row in self.meta.members(org).await? {
                names.insert(self.actor(row.id), (row.id, self.member_name(&row)?));
            }
        }
        let who = |pseudonym: Pseudonym| DisclosedBy {
            pseudonym: hex(pseudonym),
            member: names.get(&pseudonym).map(|(member, _)| *member),
            name: names.get(&pseudonym).map(|(_, name)| name.clone()),
        };
        let tell = |disclosure: &Disclosure| {
            let state = match disclosure.end {
                None => DisclosedState::Live,
                Some(end) if end.is_whole => DisclosedState::Done,
                Some(_) => DisclosedState::Aborted,
            };
            let fields = PersonalField::ALL.into_iter().filter(|field| disclosure.fields.contains(*field));
            Disclosed {
                entry: disclosure.seq,
                time: text_of(disclosure.time_us),
                project: u32::try_from(disclosure.project).unwrap_or(u32::MAX),
                actor: disclosure.actor.map(who),
                session: disclosure.session.map(hex),
                token: disclosure.token.map(hex),
                ip: disclosure.ip.map(hex),
                device: disclosure.device.map(hex),
                grant: (disclosure.grant != 0).then_some(disclosure.grant),
                purpose: (disclosure.purpose != 0).then_some(disclosure.purpose),
                purpose_name: Purpose::of_number(disclosure.purpose).map(|purpose| purpose.name().to_owned()),
                fields: fields.map(|field| field.name().to_owned()).collect(),
                ids: disclosure.count,
                state,
                rows: disclosure.end.map(|end| end.rows),
                ended: disclosure.end.map(|end| text_of(end.time_us)),
                is_unnamed: disclosure.is_unnamed(),
            }
        };
        Ok(disclosures.iter().map(tell).collect())
    }
}

impl Exposees {
    fn add(&mut self, other: Exposees) {
        self.persons += other.persons;
        self.ids += other.ids;
        self.values += other.values;
    }
}

/// Persons of different projects are different persons.
fn add_fields(fields: &mut Vec<FieldExposure>, more: &[FieldExposure]) {
    for field in more {
        match fields.iter_mut().find(|known| known.name == field.name) {
            Some(known) => {
                known.authorised += field.authorised;
                known.confirmed += field.confirmed;
            }
            None => fields.push(field.clone()),
        }
    }
}

fn sum_of(sum: &Sum) -> ExposureSum {
    ExposureSum {
        disclosures: sum.disclosures,
        live: sum.live,
        unsent: sum.unsent,
        rows: sum.rows,
        first: sum.first_us.map(text_of),
        last: sum.last_us.map(text_of),
        unnamed_disclosures: sum.unnamed_disclosures,
        unnamed_ids: sum.unnamed_subjects,
    }
}

/// Puts one number in the place of all that are one person's.
fn make_persons(subjects: &mut RoaringBitmap, merges: &Merges) {
    for group in merges.groups() {
        let mut is_in = false;
        for member in &group.members {
            is_in |= subjects.remove(member.0);
        }
        if is_in {
            subjects.insert(group.canonical.0);
        }
    }
}

fn rows(limit: Option<u32>) -> usize {
    limit.unwrap_or(100).clamp(1, limits::EXPOSURE_ROWS_MAX) as usize
}

fn text_of(time_us: u64) -> String {
    utc_text(time_us.cast_signed())
}

fn time_us(text: &str) -> Result<u64> {
    let parsed = text.parse::<jiff::Timestamp>().ok().and_then(|at| u64::try_from(at.as_microsecond()).ok());
    match parsed {
        Some(time_us) => Ok(time_us),
        None => refused("invalid_time", "a time is not one", Some("write it as in RFC 3339: 2026-11-09T08:00:00Z")),
    }
}

/// The cause that asks for the same, with nobody's address in it.
pub(crate) fn cause_of(by: &By) -> Cause {
    match by {
        By::Actor(pseudonym) => Cause::Actor(hex(*pseudonym)),
        By::Session(pseudonym) => Cause::Session(hex(*pseudonym)),
        By::Token(pseudonym) => Cause::Token(hex(*pseudonym)),
        By::Ip(pseudonym) => Cause::Ip(hex(*pseudonym)),
        By::Device(pseudonym) => Cause::Device(hex(*pseudonym)),
        By::Grant(grant) => Cause::Grant(*grant),
        By::Purpose(purpose) => Cause::Purpose(*purpose),
        By::Project(project) => Cause::Project(u32::try_from(*project).unwrap_or(u32::MAX)),
        By::Org(_) => unreachable!("no cause of a question names an organisation"),
    }
}

pub(crate) fn hex(pseudonym: Pseudonym) -> String {
    pseudonym.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn pseudonym(text: &str) -> Result<Pseudonym> {
    let parsed = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32 && !text.starts_with('+'));
    match parsed {
        Some(number) => Ok(Pseudonym(number.to_be_bytes())),
        None => refused(
            "invalid_pseudonym",
            "this is no pseudonym of the ledger",
            Some("a list of disclosures has them: 32 hexadecimal digits"),
        ),
    }
}
