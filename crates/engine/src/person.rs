//! One person: erased everywhere, and what proves it.
//!
//! An erasure in order, each step durable before the next: the ledger says what is about to happen; the vault keeps the
//! list of subjects; the vault destroys what it holds of them; the lake hides their events from everything and
//! rewrites its files within [`limits::ERASE_WITHIN_SECONDS`]; uploaded cohorts and the live feed lose them; the
//! ledger gets the hash of the statement that is the certificate. Every step can be done again, and an erasure that
//! was begun is finished before the next start serves anything. Nothing is certified that a second count still finds.
//!
//! Who was erased is in a list apart from the databases too: a start that finds one of them, because an older copy was
//! put back, erases them again before it serves anything, with a certificate of its own.
//!
//! A person is all subjects that were merged. What arrives late under their old numbers stays hidden; whoever comes
//! back with the same id is a new person.

use std::collections::BTreeSet;
use std::sync::Arc;

use cofferdam_ledger::certificate::{Certificate, HEAD};
use cofferdam_ledger::{Entry, Kind};
use cofferdam_model::cohort::CohortRule;
use cofferdam_model::{Class, ProjectId, SubjectNo, SubjectSet, limits};
use cofferdam_query::People;
use cofferdam_query::calendar::utc_text;
use cofferdam_vault::Held;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::approval::{Agreed, Wish};
use crate::disclosure::hex;
use crate::member::{Caller, SteppedUp};
use crate::{Engine, Error, Project, Result, refused};

/// Why a person is erased. The numbers are in the ledger: none changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErasureReason {
    /// They asked for it.
    Request = 10,
    ConsentWithdrawn = 11,
    NoLongerNeeded = 12,
}

/// The purpose of erasing persons once more after an older copy was put back.
const ERASED_AGAIN: u64 = 13;

/// Who had persons erased, as the ledger has it, and why.
struct Ordered {
    who: Entry,
    purpose: u64,
    is_again: bool,
}

/// Whom an erasure is about.
#[derive(Default)]
pub struct Whom {
    /// Pseudonyms.
    pub persons: Vec<String>,
    /// Distinct ids. Those that are not known are counted.
    pub ids: Vec<String>,
}

/// An erasure as the console shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Erasure {
    pub id: u32,
    /// Everything is done, and there is a certificate.
    pub is_done: bool,
    /// What the certificate says, or will.
    pub statement: String,
}

/// What an erasure did.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ErasureMade {
    pub erasure: Erasure,
    /// Ids that no event and no profile ever had.
    pub unknown: u64,
}

/// What compaction did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct Compacted {
    /// Segment files before and after.
    pub segments_before: u64,
    pub segments_after: u64,
    /// Rows in files that no question sees: of erased persons, and superseded ones.
    pub hidden_before: u64,
    pub hidden_after: u64,
}

impl From<cofferdam_vault::Erasure> for Erasure {
    fn from(erasure: cofferdam_vault::Erasure) -> Erasure {
        Erasure { id: erasure.id, is_done: erasure.is_done, statement: erasure.statement }
    }
}

/// Times that what is held is destroyed and counted, before an erasure is left to the next start.
const ROUNDS: u32 = 3;

impl Engine {
    /// Erases persons everywhere, once a second person agreed. Once this returns, no answer has anything of them. Run it
    /// on a task of its own: given up half way, it goes on at the next start.
    ///
    /// # Errors
    /// When nobody is known, or a factor is wrong; and when a step failed, after which the next start goes on.
    pub async fn erase(
        &self,
        caller: &Caller,
        stepped_up: SteppedUp,
        project: &Arc<Project>,
        whom: &Whom,
        reason: ErasureReason,
    ) -> Result<Agreed<ErasureMade>> {
        if whom.persons.len() + whom.ids.len() > limits::ERASE_SUBJECTS_MAX {
            let message = format!("one erasure has at most {} persons", limits::ERASE_SUBJECTS_MAX);
            return refused("too_many_persons", message, Some("split it into several"));
        }
        let request = stepped_up.request();
        // Nothing is opened by it.
        stepped_up.spend(caller, request, Class::C0)?;
        let (persons, _) = self.known(project, whom).await?;
        let first: Vec<SubjectNo> = persons.iter().take(limits::WISH_PERSONS_MAX).collect();
        let names = self.vault.pseudonyms(project.id, &first).await?;
        let numbers: Vec<u8> = persons.iter().flat_map(|person| person.0.to_be_bytes()).collect();
        let wish = Wish::Erase {
            project: project.id.0,
            reason,
            count: persons.len(),
            persons: first.iter().filter_map(|person| names.get(person).cloned()).collect(),
            print: hex(&self.vault.fingerprint("persons to erase", &numbers)),
        };
        if let Some(asked) = self.agreed(caller, wish).await? {
            return Ok(Agreed::Waits(asked));
        }
        self.erase_all(caller.entry(self, Kind::Shredded), project, whom, reason).await.map(Agreed::Given)
    }

    /// Who they are, and how many of the ids are nobody's.
    async fn known(&self, project: &Project, whom: &Whom) -> Result<(SubjectSet, u64)> {
        let (mut persons, known) = self.vault.known_persons(project.id, &whom.ids).await?;
        let merges = self.vault.merges(project.id);
        for pseudonym in &whom.persons {
            let subject = self.vault.subject_of(project.id, pseudonym).await?.ok_or(Error::NotFound("person"))?;
            persons.insert(merges.canonical(subject));
        }
        if persons.is_empty() {
            return Err(Error::NotFound("person"));
        }
        Ok((persons, whom.ids.len() as u64 - known))
    }

    /// As [`Engine::erase`], for whoever may: no factor and nobody else is asked for.
    /// `who` is the head of the entry that says so.
    pub(crate) async fn erase_all(
        &self,
        who: Entry,
        project: &Arc<Project>,
        whom: &Whom,
        reason: ErasureReason,
    ) -> Result<ErasureMade> {
        let (persons, unknown) = self.known(project, whom).await?;
        let merges = self.vault.merges(project.id);
        let mut subjects: BTreeSet<SubjectNo> = BTreeSet::new();
        for person in persons.iter() {
            match merges.group(person) {
                Some(group) => subjects.extend(&group.members),
                None => drop(subjects.insert(person)),
            }
        }
        let subjects: Vec<SubjectNo> = subjects.into_iter().collect();
        let ordered = Ordered { who, purpose: reason as u64, is_again: false };
        let begun = self.begin_erasure(ordered, project, &persons, &subjects).await?;
        let erasure = self.finish_erasure(begun, &subjects).await?;
        Ok(ErasureMade { erasure: erasure.into(), unknown })
    }

    /// Writes down, in the ledger and then in the vault, what is about to be erased.
    async fn begin_erasure(
        &self,
        Ordered { who, purpose, is_again }: Ordered,
        project: &Arc<Project>,
        persons: &SubjectSet,
        subjects: &[SubjectNo],
    ) -> Result<cofferdam_vault::Erasure> {
        let held = self.vault.held(project.id, subjects).await?;
        let set: SubjectSet = subjects.iter().copied().collect();
        let count = move |input: &cofferdam_query::Input<'_>| cofferdam_query::rows_of(input, &set);
        let (events, _) = self.on_snapshot(project, None, People::default(), count).await?;
        let begun_us = self.now_us();
        let entry = Entry {
            kind: Kind::Shredded,
            object: u64::from(project.id.0),
            purpose,
            count: subjects.len() as u64,
            ..who
        };
        let receipt = self.ledger.append_async(entry).await?;
        let entry = receipt.seq.ok_or(Error::Interrupted)?;
        let mut statement = format!(
            "{HEAD}\nproject: {}\npersons: {}\nids of them: {}\nbegun: {} (entry {entry})\ndestroyed: {} keys, {} \
             profiles, {} addresses, {} quarantined values, {} ids\nhidden: {events} events\n",
            project.id,
            persons.len(),
            subjects.len(),
            utc_text(begun_us),
            held.keys,
            held.profiles,
            held.addresses,
            held.quarantined,
            held.ids,
        );
        if persons.len() <= limits::ERASE_NAMED_MAX as u64 {
            let order: Vec<SubjectNo> = persons.iter().collect();
            let names = self.vault.pseudonyms(project.id, &order).await?;
            for name in order.iter().filter_map(|person| names.get(person)) {
                statement.push_str(&format!("person: {name}\n"));
            }
        }
        Ok(match is_again {
            false => self.vault.begin_erasure(project.id, subjects, entry, &statement, begun_us).await?,
            true => {
                statement.push_str("again: it was ordered before, and this copy of the databases does not have it\n");
                self.vault.begin_erasure_again(project.id, subjects, entry, &statement).await?
            }
        })
    }

    /// Begins to erase whom an older copy of the databases, that was put back, has and who was erased since.
    pub(crate) async fn erase_again(&self) -> Result<()> {
        for (id, subjects) in self.vault.erasures_missed().await? {
            tracing::warn!(project = id.0, subjects = subjects.len(), "erasing again who was erased since this copy");
            let project = self.project(id)?;
            let merges = self.vault.merges(id);
            // In an older copy a person may have become one with somebody else.
            let person = |subject: &SubjectNo| Some(merges.canonical(*subject)).filter(|one| subjects.contains(one));
            let persons: SubjectSet = subjects.iter().map(|subject| person(subject).unwrap_or(*subject)).collect();
            let ordered = Ordered { who: self.acting(None), purpose: ERASED_AGAIN, is_again: true };
            self.begin_erasure(ordered, &project, &persons, &subjects).await?;
        }
        Ok(())
    }

    /// Everything after the beginning; the same when it is done again.
    async fn finish_erasure(
        &self,
        begun: cofferdam_vault::Erasure,
        subjects: &[SubjectNo],
    ) -> Result<cofferdam_vault::Erasure> {
        let project = begun.project;
        let mut is_clean = false;
        for _ in 0..ROUNDS {
            self.vault.erase(project, subjects).await?;
            // What was on its way when it began may have come between.
            is_clean = self.vault.held(project, subjects).await? == Held::default();
            if is_clean {
                break;
            }
        }
        if !is_clean {
            return Err(Error::Busy);
        }
        self.lake.erase(project, subjects).await?;
        let set: SubjectSet = subjects.iter().copied().collect();
        self.live.forget(project, &set);
        self.leave_cohorts(project, &set).await?;

        let done_us = self.now_us();
        let gone_us = done_us + limits::ERASE_WITHIN_SECONDS * 1_000_000;
        let statement = format!(
            "{}done: {}\nevents are out of the files by: {}\n",
            begun.statement,
            utc_text(done_us),
            utc_text(gone_us)
        );
        let entry = Entry {
            object: u64::from(project.0),
            count: subjects.len() as u64,
            refers_to: Some(begun.entry),
            extra: Certificate::commitment(&statement),
            ..Entry::of(Kind::Erased)
        };
        let entry = self.ledger.append_async(entry).await?.seq.ok_or(Error::Interrupted)?;
        self.vault.finish_erasure(begun.id, entry, &statement).await?;
        Ok(cofferdam_vault::Erasure { entry, is_done: true, statement, ..begun })
    }

    /// Finishes what a crash, or a step that failed, left half done.
    pub(crate) async fn finish_erasures(&self) -> Result<()> {
        for begun in self.vault.erasures_begun().await? {
            tracing::warn!(erasure = begun.id, "finishing an erasure that was interrupted");
            let subjects = self.vault.erasure_subjects(begun.id).await?;
            self.finish_erasure(begun, &subjects).await?;
        }
        Ok(())
    }

    async fn leave_cohorts(&self, project: ProjectId, gone: &SubjectSet) -> Result<()> {
        for row in self.meta.cohorts(project).await? {
            if !matches!(row.rule()?, CohortRule::Static) {
                continue;
            }
            let mut members = row.members();
            let before = members.len();
            members.subtract(gone);
            if members.len() < before {
                let bytes: Vec<u8> = members.iter().flat_map(|subject| subject.0.to_le_bytes()).collect();
                self.meta.set_cohort_members(row.id, &bytes).await?;
            }
        }
        Ok(())
    }

    /// The newest erasures, newest first.
    pub async fn erasures(&self, project: &Project) -> Result<Vec<Erasure>> {
        Ok(self.vault.erasures(project.id).await?.into_iter().map(Erasure::from).collect())
    }

    /// The certificate of an erasure: its statement, and the proof that the ledger has its hash.
    pub async fn certificate(&self, project: &Project, id: u32) -> Result<String> {
        let found = self.vault.erasure(project.id, id).await?;
        let erasure = found.filter(|erasure| erasure.is_done).ok_or(Error::NotFound("certificate"))?;
        let ledger = self.ledger.clone();
        let proof = tokio::task::spawn_blocking(move || ledger.prove(erasure.entry)).await;
        let proof = proof.map_err(|_| Error::Interrupted)??;
        Ok(Certificate { statement: erasure.statement, proof }.print())
    }

    /// Writes the tail to segments and rewrites those that hold rows of erased persons, until there is none.
    pub async fn compact(&self) -> Result<Compacted> {
        let (segments_before, hidden_before) = self.stored()?;
        self.lake.flush().await?;
        self.lake.compact_now().await?;
        let (segments_after, hidden_after) = self.stored()?;
        Ok(Compacted { segments_before, segments_after, hidden_before, hidden_after })
    }

    /// Segments and hidden rows of all projects.
    fn stored(&self) -> Result<(u64, u64)> {
        let projects: Vec<ProjectId> =
            self.projects.read().expect("never left half changed").by_id.keys().copied().collect();
        let (mut segments, mut hidden) = (0, 0);
        for project in projects {
            let snapshot = self.lake.snapshot(project)?;
            segments += snapshot.segments().len() as u64;
            hidden += snapshot.segments().iter().map(|segment| segment.hidden().len() as u64).sum::<u64>();
        }
        Ok((segments, hidden))
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_ledger::note::VerifierKey;
    use cofferdam_model::OrgId;
    use cofferdam_vault::wire::ProfileKind;
    use serde_json::json;

    use super::*;
    use crate::testing::{NOW_US, import, open, shop};

    async fn world(engine: &Engine) -> Arc<Project> {
        let project = shop(engine).await;
        let events: Vec<serde_json::Value> = (0..40)
            .map(|at| {
                let user = format!("u{}", at % 4);
                let properties =
                    json!({"time": NOW_US / 1_000_000 - at, "$insert_id": format!("i{at}"), "distinct_id": user});
                json!({"event": "Visit", "properties": properties})
            })
            .collect();
        import(engine, &project, &events).await;
        let body: Vec<serde_json::Value> = (0..4)
            .map(|at| json!({"$distinct_id": format!("u{at}"), "$set": {"$email": format!("u{at}@b.io")}}))
            .collect();
        let body = serde_json::Value::from(body).to_string();
        let report = engine.update_profiles(body.as_bytes(), ProfileKind::Person, Some(project.clone())).await.unwrap();
        assert_eq!(report.stored, 4);
        project
    }

    async fn is_gone(engine: &Engine, project: &Arc<Project>, user: &str) -> bool {
        let mails = engine.vault.find_by_mail(OrgId(1), &format!("{user}@b.io")).await.unwrap();
        let (known, _) = engine.vault.known_persons(project.id, &[user.to_owned()]).await.unwrap();
        let status = engine.status(project).await.unwrap();
        assert!([30, 40].contains(&status.events), "{status:?}");
        mails.is_empty() && known.is_empty() && status.events == 30 && status.persons == 3
    }

    /// A server that is killed after each step, as far as the files are concerned.
    #[tokio::test]
    async fn an_erasure_that_was_interrupted_after_any_step_is_finished_at_the_next_start() {
        for steps in 0..3 {
            let home = tempfile::tempdir().unwrap();
            let engine = open(home.path()).await;
            let project = world(&engine).await;
            let (persons, _) = engine.vault.known_persons(project.id, &["u1".to_owned()]).await.unwrap();
            let subjects: Vec<SubjectNo> = persons.iter().collect();
            let ordered =
                Ordered { who: engine.acting(Some(1)), purpose: ErasureReason::Request as u64, is_again: false };
            let begun = engine.begin_erasure(ordered, &project, &persons, &subjects).await.unwrap();
            if steps > 0 {
                engine.vault.erase(project.id, &subjects).await.unwrap();
            }
            if steps > 1 {
                engine.lake.erase(project.id, &subjects).await.unwrap();
            }
            assert_eq!(is_gone(&engine, &project, "u1").await, steps == 2, "after {steps} steps");
            drop((engine, project));

            let engine = open(home.path()).await;
            let project = engine.project(begun.project).unwrap();
            assert!(is_gone(&engine, &project, "u1").await, "after {steps} steps and a start");
            assert!(!is_gone(&engine, &project, "u2").await, "another person");
            let text = engine.certificate(&project, begun.id).await.unwrap();
            let key = VerifierKey::parse(&engine.ledger_key()).unwrap();
            Certificate::parse(&text).unwrap().verify(&key).unwrap();
            assert!(engine.vault.erasures_begun().await.unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn whoever_comes_back_is_a_new_person_and_nothing_is_written_for_the_old_one() {
        let home = tempfile::tempdir().unwrap();
        let engine = open(home.path()).await;
        let project = world(&engine).await;
        let whom = Whom { persons: Vec::new(), ids: vec!["u1".to_owned(), "nobody".to_owned()] };
        let made = engine.erase_all(Entry::of(Kind::Shredded), &project, &whom, ErasureReason::Request).await.unwrap();
        assert_eq!((made.erasure.is_done, made.unknown), (true, 1));
        assert!(made.erasure.statement.contains("destroyed: 1 keys, 1 profiles, 1 addresses"), "{:?}", made.erasure);
        assert!(made.erasure.statement.contains("hidden: 10 events"), "{:?}", made.erasure);
        assert!(is_gone(&engine, &project, "u1").await);

        let event = json!({"event": "Visit", "properties": {"time": NOW_US / 1_000_000, "$insert_id": "new",
            "distinct_id": "u1", "email": "u1@b.io"}});
        import(&engine, &project, &[event]).await;
        let status = engine.status(&project).await.unwrap();
        assert_eq!((status.events, status.persons), (31, 4));
        let found = engine.vault.find_by_mail(OrgId(1), "u1@b.io").await.unwrap();
        assert_eq!(found.len(), 1);
        let old = engine.vault.erasure_subjects(made.erasure.id).await.unwrap();
        assert!(!old.contains(&found[0].1));
        assert_eq!(engine.vault.held(project.id, &old).await.unwrap(), Held::default());
        assert!(matches!(
            engine
                .erase_all(
                    Entry::of(Kind::Shredded),
                    &project,
                    &Whom { persons: Vec::new(), ids: vec!["nobody".into()] },
                    ErasureReason::Request
                )
                .await,
            Err(Error::NotFound("person"))
        ));
    }
}
