//! Who became one person with whom, and undoing it.
//!
//! A merge can be undone until compaction has stored events of the one subject as events of the other. While it is
//! undone nothing is compacted, so that what is asked about folded rows stays true until the merge is gone. The ledger
//! has it before.

use std::sync::Arc;

use cofferdam_ledger::{Entry, Kind};
use cofferdam_model::{ProjectId, SubjectNo};
use cofferdam_vault::{Folded, Merge, Vault};

use crate::{Engine, Error, Project, Result};

/// One id of a person became part of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonMerge {
    /// Its number in the project.
    pub number: u32,
    /// Pseudonyms: whose events became part of whose.
    pub alias: String,
    pub canonical: String,
    /// µs UTC; `None` when it was made by a version that did not note it.
    pub time_us: Option<i64>,
    /// Events of the two cannot be told apart any more.
    pub is_final: bool,
}

impl Engine {
    /// The merges that a person is made of, oldest first.
    pub async fn merges_of(&self, project: &Project, person: &str) -> Result<Vec<PersonMerge>> {
        let subject = self.vault.subject_of(project.id, person).await?.ok_or(Error::NotFound("person"))?;
        let (vault, id) = (self.vault.clone(), project.id);
        let made = self
            .while_nothing_folds(project, async move |folded| Ok(vault.merges_of(id, subject, &folded).await?))
            .await?;
        let subjects: Vec<SubjectNo> = made.iter().flat_map(|(merge, _)| [merge.alias, merge.canonical]).collect();
        let names = self.vault.pseudonyms(project.id, &subjects).await?;
        let name = |subject| names.get(&subject).cloned().unwrap_or_default();
        let listed = made.into_iter().map(|(merge, is_final)| PersonMerge {
            number: merge.number,
            alias: name(merge.alias),
            canonical: name(merge.canonical),
            time_us: merge.time_us,
            is_final,
        });
        Ok(listed.collect())
    }

    /// Undoes one of the merges that a person is made of, by its number: once this returns, every question sees two
    /// persons. `who` is who asked, as an entry has it.
    pub async fn unmerge(&self, project: &Project, person: &str, number: u32, who: Entry) -> Result<()> {
        let subject = self.vault.subject_of(project.id, person).await?.ok_or(Error::NotFound("person"))?;
        let (vault, ledger, id) = (self.vault.clone(), self.ledger.clone(), project.id);
        let undone = self.while_nothing_folds(project, async move |folded| {
            let merge = may_be_undone(&vault, id, subject, number, &folded).await?;
            let subjects = [merge.alias, merge.canonical].map(|subject| subject.0.to_be_bytes());
            let entry =
                Entry { kind: Kind::Unmerged, object: u64::from(id.0), count: 2, extra: subjects.concat(), ..who };
            ledger.append_async(entry).await?;
            vault.unmerge(id, subject, number, &folded).await?;
            Ok(())
        });
        undone.await
    }

    /// Runs something while no row of a project moves from one subject to another, on a thread that may wait for a
    /// compaction.
    async fn while_nothing_folds<T: Send + 'static, F: Future<Output = Result<T>>>(
        &self,
        project: &Project,
        act: impl FnOnce(Arc<Folded>) -> F + Send + 'static,
    ) -> Result<T> {
        let runtime = tokio::runtime::Handle::current();
        let acted =
            self.lake.while_nothing_folds(project.id, move |folded| runtime.block_on(act(Arc::new(folded.clone()))));
        acted.await?
    }
}

/// The merge, if it is one of the person's and not for good.
async fn may_be_undone(
    vault: &Vault,
    project: ProjectId,
    subject: SubjectNo,
    number: u32,
    folded: &Folded,
) -> Result<Merge> {
    let made = vault.merges_of(project, subject, folded).await?;
    match made.into_iter().find(|(merge, _)| merge.number == number) {
        None => Err(Error::NotFound("merge of this person")),
        Some((_, true)) => Err(Error::Refused {
            code: "merge_folded",
            message: "the merge cannot be undone any more: events of the one are stored as events of the other".into(),
            hint: Some("erase the person, or import their events again under the right ids"),
        }),
        Some((merge, false)) => Ok(merge),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{NOW_US, import, last_entries, open, shop};

    fn event(at: i64, device: &str, user: Option<&str>) -> serde_json::Value {
        let mut properties = json!({"time": NOW_US / 1_000_000 - at, "$insert_id": format!("{device}-{at}"),
            "$device_id": device, "distinct_id": user.map_or(format!("$device:{device}"), str::to_owned)});
        if let Some(user) = user {
            properties["$user_id"] = user.into();
        }
        json!({"event": "Visit", "properties": properties})
    }

    /// The pseudonym of a user, and the numbers of the merges that can and cannot be undone.
    async fn merges(engine: &Engine, project: &Arc<Project>, id: &str) -> (String, Vec<u32>, Vec<u32>) {
        let (persons, _) = engine.vault.known_persons(project.id, &[id.to_owned()]).await.unwrap();
        let subject = persons.iter().next().unwrap();
        let name = engine.vault.pseudonyms(project.id, &[subject]).await.unwrap().remove(&subject).unwrap();
        let made = engine.merges_of(project, &name).await.unwrap();
        assert!(made.iter().all(|merge| merge.time_us == Some(NOW_US) && merge.canonical == name));
        let of = |is_final| made.iter().filter(|merge| merge.is_final == is_final).map(|merge| merge.number).collect();
        (name, of(false), of(true))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_device_leaves_a_user_with_its_events_until_compaction_has_folded_it_in() {
        let home = tempfile::tempdir().unwrap();
        let engine = open(home.path()).await;
        let project = shop(&engine).await;
        import(&engine, &project, &[event(1, "phone", None), event(2, "phone", Some("ada"))]).await;
        import(&engine, &project, &[event(3, "tablet", None), event(4, "tablet", Some("ada"))]).await;
        assert_eq!(engine.status(&project).await.unwrap().persons, 1);
        let (ada, open_merges, closed) = merges(&engine, &project, "ada").await;
        assert_eq!((open_merges.len(), closed.len()), (2, 0));

        engine.unmerge(&project, &ada, open_merges[1], engine.acting(None)).await.unwrap();
        assert_eq!(engine.status(&project).await.unwrap().persons, 2, "the tablet is somebody");
        assert!(matches!(
            engine.unmerge(&project, &ada, open_merges[1], engine.acting(None)).await,
            Err(Error::NotFound(_))
        ));
        let entry = last_entries(&engine, 1).pop().unwrap();
        assert_eq!((entry.kind, entry.object, entry.extra.len()), (Kind::Unmerged, u64::from(project.id.0), 8));

        // Until files with its rows are rewritten: then it is for good, and that somebody tried is no entry.
        for round in 0..5 {
            import(&engine, &project, &[event(10 + round, "phone", None)]).await;
            engine.flush().await.unwrap();
        }
        engine.compact().await.unwrap();
        let (_, now_open, closed) = merges(&engine, &project, "ada").await;
        assert_eq!((now_open.len(), &closed[..]), (0, &open_merges[..1]));
        let (size, refused) =
            (engine.ledger.size(), engine.unmerge(&project, &ada, closed[0], engine.acting(None)).await);
        assert!(matches!(refused, Err(Error::Refused { code: "merge_folded", .. })));
        assert_eq!(engine.ledger.size(), size);
        let before = engine.status(&project).await.unwrap();
        drop((engine, project));

        let engine = open(home.path()).await;
        let project = engine.project(ProjectId(1)).unwrap();
        assert_eq!(merges(&engine, &project, "ada").await.2, open_merges[..1]);
        assert_eq!(engine.status(&project).await.unwrap().persons, before.persons);
    }
}
