//! Which subjects are one person: links made as events ask for them, and undone while that can still be done.
//!
//! A link is a row, `alias → canonical`, and the state in memory is what the rows give in their order. Links are a
//! forest: one is made only between subjects that were two persons, so taking one out leaves exactly two.
//!
//! What cannot be undone: the lake folds merges in when it rewrites its files, and rows of the one subject that are
//! stored under the other have lost whose they were. Whoever undoes a link says which were folded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cofferdam_model::{Merges, ProjectId, SubjectNo, limits};

use super::IdentityMap;
use crate::database::{Bind, Database, Row};
use crate::wire::LinkRule;
use crate::{Error, Result, Vault};

/// One subject became part of the person of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merge {
    /// Its number in the project.
    pub number: u32,
    pub alias: SubjectNo,
    pub canonical: SubjectNo,
    /// µs UTC; `None` when it was made by a version that did not note it.
    pub time_us: Option<i64>,
}

/// Pairs of subjects that are one person for good: rows of the first are stored under the second.
pub type Folded = BTreeSet<(SubjectNo, SubjectNo)>;

impl IdentityMap {
    /// Makes pairs (alias, canonical) one person each, where the rules allow it. Durable when this returns.
    pub(crate) async fn link(
        &self,
        project: ProjectId,
        links: &[(SubjectNo, SubjectNo, LinkRule)],
        now_us: i64,
    ) -> Result<()> {
        if links.iter().all(|(alias, canonical, _)| self.are_one(project, *alias, *canonical)) {
            return Ok(());
        }
        let _one = self.writer.lock().await;
        let new = self.link_in_memory(project, links);
        if new.is_empty() {
            return Ok(());
        }
        let result = self.write_links(project, &new, now_us).await;
        if result.is_err() {
            // Whether the rows are there is unknown; what they say is what counts, as it will at the next start.
            self.read_again(project).await?;
        }
        result
    }

    /// Makes the links that the rules allow. They are in use a moment before they are durable; an event that
    /// needs them is written after.
    fn link_in_memory(
        &self,
        project: ProjectId,
        links: &[(SubjectNo, SubjectNo, LinkRule)],
    ) -> Vec<(SubjectNo, SubjectNo)> {
        let mut projects = self.merges.write().expect("never left half changed");
        // Copied only while a query holds on to the old state.
        let merges = Arc::make_mut(projects.entry(project).or_default());
        let mut new = Vec::new();
        for (alias, canonical, rule) in links {
            let size = |subject: &SubjectNo| merges.group(*subject).map_or(1, |group| group.members.len());
            let refused = match rule {
                LinkRule::FreeAlias => merges.group(*alias).is_some() || size(canonical) >= limits::PERSON_DEVICES_MAX,
                LinkRule::Any => size(alias) + size(canonical) > limits::MERGE_MEMBERS_MAX,
            };
            if !refused && merges.link(*alias, *canonical) {
                new.push((*alias, *canonical));
            }
        }
        new
    }

    async fn write_links(&self, project: ProjectId, new: &[(SubjectNo, SubjectNo)], now_us: i64) -> Result<()> {
        let mut write = self.database.write().await?;
        let sql = "SELECT max(serial) FROM merges WHERE project = $1";
        let last = write.row(sql, &[project.into()]).await?.map_or(Ok(None), |row| row.maybe_int(0))?;
        let values: Vec<Bind<'_>> = (last.unwrap_or(0) + 1..)
            .zip(new)
            .flat_map(|(serial, (alias, canonical))| {
                [project.into(), serial.into(), (*alias).into(), (*canonical).into(), now_us.into()]
            })
            .collect();
        write.insert("INSERT INTO merges (project, serial, alias, canonical, time_us)", 5, &values, "").await?;
        write.commit().await
    }

    fn are_one(&self, project: ProjectId, alias: SubjectNo, canonical: SubjectNo) -> bool {
        let merges = self.merges.read().expect("never left half changed");
        merges.get(&project).is_some_and(|merges| merges.canonical(alias) == merges.canonical(canonical))
    }

    /// Replaces the state in memory by what the rows say. The caller has the right to write.
    async fn read_again(&self, project: ProjectId) -> Result<()> {
        let merges = read(&self.database, Some(project)).await?.into_values().next().unwrap_or_default();
        self.merges.write().expect("never left half changed").insert(project, Arc::new(merges));
        Ok(())
    }

    /// The merges that made a person of several subjects, in their order.
    async fn merges_of(&self, project: ProjectId, subject: SubjectNo) -> Result<Vec<Merge>> {
        let merges = self.merges(project);
        let Some(group) = merges.group(subject) else { return Ok(Vec::new()) };
        let sql = "SELECT serial, alias, canonical, time_us FROM merges WHERE project = $1 AND alias IN";
        let members = group.members.iter().map(|member| (*member).into());
        let rows = self.database.rows_in(sql, &[project.into()], members).await?;
        let mut found = rows.iter().map(merge).collect::<Result<Vec<Merge>>>()?;
        found.sort_unstable_by_key(|merge| merge.number);
        Ok(found)
    }

    async fn unmerge(&self, project: ProjectId, subject: SubjectNo, number: u32, folded: &Folded) -> Result<Merge> {
        let _one = self.writer.lock().await;
        let made = self.merges_of(project, subject).await?;
        let merge = *made.iter().find(|merge| merge.number == number).ok_or(Error::UnknownMerge)?;
        if is_final(&made, number, folded) {
            return Err(Error::MergeFolded);
        }
        let mut write = self.database.write().await?;
        let sql = "DELETE FROM merges WHERE project = $1 AND serial = $2";
        write.execute(sql, &[project.into(), number.into()]).await?;
        let result = write.commit().await;
        self.read_again(project).await?;
        result.map(|()| merge)
    }
}

/// Whether taking a merge out would part subjects whose rows cannot be told apart any more.
fn is_final(made: &[Merge], number: u32, folded: &Folded) -> bool {
    let Some(merge) = made.iter().find(|merge| merge.number == number) else { return false };
    let mut neighbours: BTreeMap<SubjectNo, Vec<SubjectNo>> = BTreeMap::new();
    for other in made.iter().filter(|other| other.number != number) {
        neighbours.entry(other.alias).or_default().push(other.canonical);
        neighbours.entry(other.canonical).or_default().push(other.alias);
    }
    let (mut side, mut next) = (BTreeSet::from([merge.alias]), vec![merge.alias]);
    while let Some(subject) = next.pop() {
        next.extend(neighbours.get(&subject).into_iter().flatten().filter(|subject| side.insert(**subject)));
    }
    // Ties of other persons have neither end here.
    folded.iter().any(|(subject, under)| side.contains(subject) != side.contains(under))
}

impl Vault {
    /// The merges that made a person of several subjects, oldest first, and whether each is for good.
    pub async fn merges_of(
        &self,
        project: ProjectId,
        subject: SubjectNo,
        folded: &Folded,
    ) -> Result<Vec<(Merge, bool)>> {
        let made = self.identities.merges_of(project, subject).await?;
        Ok(made.iter().map(|merge| (*merge, is_final(&made, merge.number, folded))).collect())
    }

    /// Undoes one of the merges that a subject's person is made of: from now on they are two, with the rows and records
    /// each had under its own number. What was kept for the person since, such as sealed values, stays with the
    /// canonical subject. Nothing may fold while this runs. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::MergeFolded`] when the rows of the two cannot be told apart any more.
    pub async fn unmerge(&self, project: ProjectId, subject: SubjectNo, number: u32, folded: &Folded) -> Result<Merge> {
        if self.is_gone(project, subject) {
            return Err(Error::UnknownMerge);
        }
        self.identities.unmerge(project, subject, number, folded).await
    }
}

fn merge(row: &Row) -> Result<Merge> {
    Ok(Merge {
        number: row.number(0)?,
        alias: SubjectNo(row.number(1)?),
        canonical: SubjectNo(row.number(2)?),
        time_us: Some(row.int(3)?).filter(|time_us| *time_us != 0),
    })
}

/// The merges of one project, or of all, from their rows in order.
pub(super) async fn read(database: &Database, project: Option<ProjectId>) -> Result<HashMap<ProjectId, Merges>> {
    let mut merges: HashMap<ProjectId, Merges> = HashMap::new();
    let rows = match project {
        Some(project) => {
            let sql = "SELECT project, alias, canonical FROM merges WHERE project = $1 ORDER BY serial";
            database.rows(sql, &[project.into()]).await?
        }
        None => database.rows("SELECT project, alias, canonical FROM merges ORDER BY project, serial", &[]).await?,
    };
    for row in rows {
        let (alias, canonical) = (SubjectNo(row.number(1)?), SubjectNo(row.number(2)?));
        merges.entry(ProjectId(row.number(0)?)).or_default().link(alias, canonical);
    }
    Ok(merges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OrgId;
    use crate::identity::Kind;
    use crate::testing::{Home, on_each};

    on_each!(a_merge_is_undone_until_rows_of_the_two_are_stored_as_ones, undone_merges_stay_undone_over_a_restart,);

    const PROJECT: ProjectId = ProjectId(1);

    /// Four subjects: 1 and 2 became 0, then 0 became 3.
    async fn merged(home: &Home) -> (Vault, Vec<SubjectNo>) {
        let vault = Vault::open(&home.site).await.unwrap();
        vault.create_project(OrgId(1), PROJECT).await.unwrap();
        let keys = vault.keys.project(PROJECT).unwrap();
        let mut subjects = Vec::new();
        for id in ["a", "b", "c", "d"] {
            let ids = [(Kind::Person, id)];
            subjects.extend(vault.identities.resolve(PROJECT, &keys, &vault.blind, &ids).await.unwrap());
        }
        for (at, (alias, canonical)) in [(1, 0), (2, 0), (0, 3)].into_iter().enumerate() {
            let link = [(subjects[alias], subjects[canonical], LinkRule::Any)];
            vault.identities.link(PROJECT, &link, 1_000 + at as i64).await.unwrap();
        }
        (vault, subjects)
    }

    async fn a_merge_is_undone_until_rows_of_the_two_are_stored_as_ones(home: Home) {
        let (vault, s) = merged(&home).await;
        let made = vault.merges_of(PROJECT, s[2], &Folded::new()).await.unwrap();
        let times: Vec<Option<i64>> = made.iter().map(|(merge, _)| merge.time_us).collect();
        assert_eq!(times, [Some(1_000), Some(1_001), Some(1_002)]);
        assert!(made.iter().all(|(_, is_final)| !is_final));
        let [first, second, third] = [0, 1, 2].map(|at: usize| made[at].0);
        assert_eq!((third.alias, third.canonical), (s[0], s[3]));

        // Rows of 1 went to 0 before 0 became 3: those two stay together, and may leave 3 together.
        let folded = Folded::from([(s[1], s[0])]);
        let listed = vault.merges_of(PROJECT, s[3], &folded).await.unwrap();
        assert_eq!(listed.iter().map(|(_, is_final)| *is_final).collect::<Vec<_>>(), [true, false, false]);
        let refused = vault.unmerge(PROJECT, s[0], first.number, &folded).await;
        assert!(matches!(refused, Err(Error::MergeFolded)));
        assert_eq!(vault.merges(PROJECT).canonical(s[1]), s[3], "a refusal changes nothing");
        assert_eq!(vault.unmerge(PROJECT, s[0], third.number, &folded).await.unwrap(), third);
        let merges = vault.merges(PROJECT);
        assert_eq!(s.iter().map(|one| merges.canonical(*one)).collect::<Vec<_>>(), [s[0], s[0], s[0], s[3]]);

        let twice = vault.unmerge(PROJECT, s[0], third.number, &folded).await;
        assert!(matches!(twice, Err(Error::UnknownMerge)));
        let foreign = vault.unmerge(PROJECT, s[3], second.number, &folded).await;
        assert!(matches!(foreign, Err(Error::UnknownMerge)), "a merge of another person");
        // Rows of 1 that went to 3 while they were one: nothing that leads from 1 to 3 may go.
        let link = [(s[0], s[3], LinkRule::Any)];
        vault.identities.link(PROJECT, &link, 2_000).await.unwrap();
        let folded = Folded::from([(s[1], s[3])]);
        let listed = vault.merges_of(PROJECT, s[3], &folded).await.unwrap();
        assert_eq!(listed.iter().map(|(_, is_final)| *is_final).collect::<Vec<_>>(), [true, false, true]);
    }

    async fn undone_merges_stay_undone_over_a_restart(home: Home) {
        let (vault, s) = merged(&home).await;
        let made = vault.merges_of(PROJECT, s[2], &Folded::new()).await.unwrap();
        vault.unmerge(PROJECT, s[2], made[1].0.number, &Folded::new()).await.unwrap();
        drop(vault);
        let vault = Vault::open(&home.site).await.unwrap();
        let merges = vault.merges(PROJECT);
        assert_eq!(s.iter().map(|one| merges.canonical(*one)).collect::<Vec<_>>(), [s[3], s[3], s[2], s[3]]);
        assert!(vault.merges_of(PROJECT, s[2], &Folded::new()).await.unwrap().is_empty());
    }
}
