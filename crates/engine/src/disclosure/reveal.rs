//! One person: a field of theirs shown at once, and who has an address.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use cofferdam_ledger::{Entry, Kind};
use cofferdam_model::policy::{Control, Decision, may};
use cofferdam_model::{PersonalField, SubjectNo, limits};
use cofferdam_query::calendar::utc_text;
use serde::Serialize;
use serde::ser::SerializeStruct as _;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::breaker::Rule;
use super::request::bitmap;
use super::store::{DisclosureRow, Ended, RowKind, State};
use super::stream::{self, Run};
use super::{DisclosureFormat, DisclosureRequest, Purpose, RunBy, What, spent};
use crate::{Caller, Engine, Error, Project, RequestHash, Result, SteppedUp, refused};

/// What was opened of one person. No `Debug`, and overwritten when it is dropped.
#[derive(Serialize, ToSchema)]
pub struct Revealed {
    /// Entry of the ledger that says so.
    pub entry: u64,
    pub values: Vec<RevealedValue>,
}

#[derive(ToSchema)]
pub struct RevealedValue {
    pub property: String,
    /// Any JSON.
    #[schema(value_type = serde_json::Value)]
    pub value: Zeroizing<String>,
}

impl Serialize for RevealedValue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let value: &RawValue = serde_json::from_str(&self.value).map_err(serde::ser::Error::custom)?;
        let mut fields = serializer.serialize_struct("RevealedValue", 2)?;
        fields.serialize_field("property", &self.property)?;
        fields.serialize_field("value", value)?;
        fields.end()
    }
}

fn one_field(person: &str, field: PersonalField, purpose: Purpose) -> Result<DisclosureRequest> {
    let what = What::Reveal { person: person.to_owned(), field };
    DisclosureRequest { what, purpose, format: DisclosureFormat::Ndjson, recipient: None }.checked()
}

impl Engine {
    /// Shows one field of one person, at once. Run it on a task of its own: given up half way, its end is written down at
    /// the next start.
    ///
    /// # Errors
    /// When the caller may not, others have to approve (then it is requested), a limit is reached, or the factor was not
    /// shown for this request.
    pub async fn reveal(
        &self,
        caller: &Caller,
        project: &Arc<Project>,
        person: &str,
        field: PersonalField,
        purpose: Purpose,
        stepped_up: SteppedUp,
    ) -> Result<Revealed> {
        let request = one_field(person, field, purpose)?;
        let needed = request.needed(caller.member.roles)?;
        if needed.approvals > 0 {
            return refused(
                "approval_needed",
                "others have to approve before this is shown",
                Some("make a request of it: POST …/disclosures"),
            );
        }
        self.check_limits(caller.member.org, Some(caller.member.id))?;
        let newest_us = spent(caller, stepped_up, needed.opens)?;
        self.check_held(caller, newest_us).await?;
        let subject = self.vault.subject_of(project.id, person).await?.ok_or(Error::NotFound("person"))?;
        let hash = request.hash(project, caller.member.id);
        let by = self.member_runs(caller);
        let row = self.single(&by, project, hash, RowKind::Reveal, &request.json()).await?;
        let person = self.vault.merges(project.id).canonical(subject);
        self.reserve(&by, &row, &bitmap([person]), false).await?;
        let context = Entry { purpose: purpose as u64, ..caller.entry(self, Kind::Intent) };
        let run = Run::new(row.id, project, caller.who(), true, context).once();
        self.show(&run, &request, person).await
    }

    /// Whether what was shown has been known for long enough to open values at once.
    pub(crate) async fn check_held(&self, caller: &Caller, newest_us: i64) -> Result<()> {
        match self.held_until(caller.member.org, newest_us).await? {
            None => Ok(()),
            Some(until_us) => refused(
                "held",
                format!("your passkey or browser is new: personal values open from {}", utc_text(until_us)),
                Some("make a request of it; two approvals end the wait"),
            ),
        }
    }

    /// The row of a disclosure that nobody asked for before: it runs at once.
    pub(crate) async fn single(
        &self,
        by: &RunBy,
        project: &Project,
        hash: RequestHash,
        kind: RowKind,
        json: &[u8],
    ) -> Result<DisclosureRow> {
        let store = &self.disclosures.store;
        let new = self.new_row(by, project, hash, kind);
        let id = store.insert(&new, |id| self.vault.seal_secret("disclosure", id, json)).await?;
        store.disclosure(project.org, id).await?.ok_or(Error::Interrupted)
    }

    async fn show(&self, run: &Run, request: &DisclosureRequest, person: SubjectNo) -> Result<Revealed> {
        let mut intent = None;
        let shown = async {
            self.check_run(run)?;
            let merges = self.vault.merges(run.project.id);
            let subjects = merges.group(person).map_or(vec![person], |group| group.members.clone());
            let ticket = self.ledger.authorise_async(Engine::intent(run, request.fields(), bitmap(subjects))).await?;
            intent = Some(ticket.seq());
            let disclosed = self.vault.disclose(ticket).await?;
            let values = disclosed.subjects().iter().flat_map(|subject| subject.values());
            let values = values.map(|(_, property, json)| RevealedValue {
                property: property.to_owned(),
                value: Zeroizing::new(json.to_owned()),
            });
            Ok(Revealed { entry: disclosed.seq, values: values.collect() })
        }
        .await;
        let (rows, hash, bytes) = match &shown {
            Ok(Revealed { values, .. }) => {
                let json = Zeroizing::new(serde_json::to_vec(values).map_err(|_| Error::Interrupted)?);
                let hash: [u8; 32] = digest(&SHA256, &json).as_ref().try_into().expect("SHA-256 has 32 bytes");
                (values.len() as u64, hash, json.len() as u64)
            }
            Err(_) => (0, [0; 32], 0),
        };
        let kind = if shown.is_ok() { Kind::Done } else { Kind::Aborted };
        let end = self.ledger.append_async(stream::end_entry(&run.context, kind, intent, rows, &hash, bytes)).await;
        let ended = Ended {
            state: if shown.is_ok() { State::Done } else { State::Aborted },
            rows,
            bytes,
            hash,
            first_intent: intent,
            last_intent: intent,
            end_entry: end?.seq,
            at_us: self.now_us(),
        };
        self.disclosures.store.end(run.grant, &ended).await?;
        shown
    }

    /// Persons of a project who have this e-mail address or telephone number, by their pseudonyms. The ledger has who
    /// asked and how many were found, before they are told. Whoever has it in another project is not found, and that
    /// counts, is recorded and is answered as nobody is.
    ///
    /// # Errors
    /// When the caller may not, or looks up too many.
    pub async fn find_persons(&self, caller: &Caller, project: &Project, address: &str) -> Result<Vec<String>> {
        if may(caller.member.roles, Control::SeekPersons) == Decision::Deny {
            return refused("not_allowed", "none of your roles looks for persons by an address", None);
        }
        let member = caller.member.id;
        self.check_limits(caller.member.org, Some(member))?;
        let (store, now_us) = (&self.disclosures.store, self.now_us());
        let (in_hour, _) = store.lookups(member, now_us - 3_600_000_000).await?;
        if in_hour >= limits::LOOKUPS_HOUR_MAX {
            return refused(
                "limit_reached",
                format!("one member looks up at most {} addresses an hour", limits::LOOKUPS_HOUR_MAX),
                Some("wait, or make a cohort of the ids that you know"),
            );
        }
        let mut found = self.vault.find_by_mail(project.org, address).await?;
        if found.is_empty() {
            found = self.vault.find_by_phone(project.org, address).await?;
        }
        let subjects: Vec<SubjectNo> =
            found.into_iter().filter(|(of, _)| *of == project.id).map(|(_, subject)| subject).collect();
        let names = self.vault.pseudonyms(project.id, &subjects).await?;
        let entry =
            Entry { object: u64::from(project.id.0), count: subjects.len() as u64, ..caller.entry(self, Kind::Sought) };
        self.ledger.append_async(entry).await?;
        store.looked_up(member, subjects.is_empty(), now_us).await?;
        let (_, misses) = store.lookups(member, now_us - 60_000_000).await?;
        if misses > limits::LOOKUP_MISSES_MINUTE_MAX && !cofferdam_model::sabotage::is_out(19) {
            self.trip(&self.member_runs(caller), Rule::Guessing).await?;
            self.check_limits(caller.member.org, Some(member))?;
        }
        Ok(subjects.iter().filter_map(|subject| names.get(subject).cloned()).collect())
    }
}
