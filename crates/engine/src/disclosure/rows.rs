//! Lists of events and persons with device and place in clear: a disclosure of whom they are of.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use cofferdam_ledger::{Entry, Kind};
use cofferdam_model::policy::{Decision, Deed, decide_in_clear};
use cofferdam_model::{Answer, Class, FieldSet, PersonalField, Query, SubjectNo};
use cofferdam_query::Needs;
use serde::Serialize;
use utoipa::ToSchema;

use super::request::bitmap;
use super::store::{DisclosureRow, Ended, RowKind, State};
use super::stream::{self, Run};
use super::{Purpose, spent};
use crate::sight::Shown;
use crate::{Caller, Engine, Error, Project, RequestHash, Result, SteppedUp, refused};

/// A list, and what the ledger has of it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RowsInClear {
    /// Entry of the ledger that says so.
    pub entry: u64,
    pub answer: Answer,
}

impl Engine {
    /// Answers a list of events or persons with device and place in clear. The ledger has whom it is of, who asked and
    /// why, before it is answered. Who reads rows one person at a time has each count against the limits. Run it on a
    /// task of its own: given up half way, its end is written down at the next start.
    ///
    /// # Errors
    /// When the caller may not, a limit is reached, the question lists no rows, or the factor was not shown for this
    /// request.
    pub async fn rows_in_clear(
        &self,
        caller: &Caller,
        project: &Arc<Project>,
        query: Query,
        purpose: Purpose,
        stepped_up: SteppedUp,
    ) -> Result<RowsInClear> {
        if !matches!(query, Query::Events(_) | Query::Persons(_)) {
            return refused("invalid_query", "only lists of events and of persons have rows", None);
        }
        if matches!(purpose, Purpose::Notice | Purpose::Package) {
            return refused("invalid_disclosure", "this purpose is an incident's own", Some("say why rows are needed"));
        }
        let Decision::StepUp { with_quota, approvals: 0 } =
            decide_in_clear(caller.member.roles, Class::C2, Deed::ReadRow)
        else {
            return refused("not_allowed", "none of your roles reads device and place of single persons", None);
        };
        self.check_limits(caller.member.org, Some(caller.member.id))?;
        let json = serde_json::to_vec(&query).map_err(|_| Error::Interrupted)?;
        spent(caller, stepped_up, Class::C2)?;
        let needs = Needs::of(&query);
        let (answer, subjects) = self.answer(project, query, needs, Shown { has_masks: false, few: None }).await?;
        let by = self.member_runs(caller);
        let numbers = [project.org.0, project.id.0, caller.member.id].map(u32::to_be_bytes).concat();
        let hash = RequestHash::of(&[b"rows v1", &numbers, &json]);
        let row = self.single(&by, project, hash, RowKind::Rows, &json).await?;
        let counted = if with_quota { bitmap(subjects.iter().copied()) } else { bitmap([]) };
        self.reserve(&by, &row, &counted, false).await?;
        let context = Entry { purpose: purpose as u64, ..caller.entry(self, Kind::Intent) };
        let run = Run::new(row.id, project, caller.who(), false, context).once();
        self.name_rows(&run, &row, answer, &subjects).await
    }

    async fn name_rows(
        &self,
        run: &Run,
        row: &DisclosureRow,
        answer: Answer,
        subjects: &[SubjectNo],
    ) -> Result<RowsInClear> {
        let merges = self.vault.merges(run.project.id);
        let ids = subjects.iter().flat_map(|person| match merges.group(*person) {
            Some(group) => group.members.clone(),
            None => vec![*person],
        });
        let fields = FieldSet::EMPTY.with(PersonalField::Events);
        let ids = bitmap(ids);
        let named = async {
            self.check_run(run)?;
            // No person's: the end says all there is to say.
            if ids.is_empty() {
                return Ok(None);
            }
            let ticket = self.ledger.authorise_async(Engine::intent(run, fields, ids)).await?;
            Ok::<_, Error>(Some(ticket.seq()))
        }
        .await;
        let table = serde_json::to_vec(&answer.table).map_err(|_| Error::Interrupted)?;
        let (state, kind, rows, bytes) = match &named {
            Ok(_) => (State::Done, Kind::Done, subjects.len() as u64, &table[..]),
            Err(_) => (State::Aborted, Kind::Aborted, 0, &[][..]),
        };
        let intent = named.as_ref().ok().copied().flatten();
        let hash: [u8; 32] = digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes");
        let bytes = bytes.len() as u64;
        let end = self.ledger.append_async(stream::end_entry(&run.context, kind, intent, rows, &hash, bytes)).await;
        let end_entry = end?.seq;
        let ended = Ended {
            state,
            rows,
            bytes,
            hash,
            first_intent: intent,
            last_intent: intent,
            end_entry,
            at_us: self.now_us(),
        };
        self.disclosures.store.end(row.id, &ended).await?;
        let entry = named?.or(end_entry).ok_or(Error::Interrupted)?;
        Ok(RowsInClear { entry, answer })
    }
}
