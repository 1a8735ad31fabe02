//! Questions: what was exposed, in sets; and the disclosures one by one, newest first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use cofferdam_model::{FieldSet, limits};
use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;

use crate::index::{Index, State};
use crate::record::{By, Disclosure, Subjects};
use crate::rollup::{Parts, key};
use crate::source::Source;
use crate::{Error, Result};

/// Which disclosures a question is about.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// One of these; any disclosure when there is none.
    pub any_of: Vec<By>,
    /// All of these too.
    pub all_of: Vec<By>,
    /// And none of these.
    pub none_of: Vec<By>,
    /// Of these projects only; of all without it.
    pub projects: Option<BTreeSet<u64>>,
    /// Intents from this time on, before that: microseconds since 1970-01-01 UTC, by the wall clock of the entry.
    pub from_us: u64,
    pub to_us: Option<u64>,
}

impl Question {
    fn is_about(&self, disclosure: &Disclosure) -> bool {
        disclosure.time_us >= self.from_us
            && self.to_us.is_none_or(|to| disclosure.time_us < to)
            && self.projects.as_ref().is_none_or(|projects| projects.contains(&disclosure.project))
            && (self.any_of.is_empty() || self.any_of.iter().any(|by| disclosure.is_by(by)))
            && self.all_of.iter().all(|by| disclosure.is_by(by))
            && !self.none_of.iter().any(|by| disclosure.is_by(by))
    }
}

/// What was written down before it happened, or only what the ledger says was sent. Of a disclosure that was broken
/// off after some rows it is not known which went out: it is confirmed whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Authorised,
    Confirmed,
}

/// Disclosures in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub disclosures: u64,
    pub first_us: Option<u64>,
    pub last_us: Option<u64>,
    /// Of them, those that go on, or whose end was never recorded.
    pub live: u64,
    /// Of them, those that were broken off before the first row.
    pub unsent: u64,
    pub rows: u64,
    /// Disclosures whose subjects are in no set of the answer, because their names were erased, and how many subjects
    /// they had: each at most these, and perhaps others who are in the sets too.
    pub unnamed_disclosures: u64,
    pub unnamed_subjects: u64,
}

impl Sum {
    fn add(&mut self, disclosure: &Disclosure) {
        let time_us = disclosure.time_us;
        self.disclosures += 1;
        self.first_us = Some(self.first_us.map_or(time_us, |first| first.min(time_us)));
        self.last_us = Some(self.last_us.map_or(time_us, |last| last.max(time_us)));
        match disclosure.end {
            None => self.live += 1,
            Some(end) => {
                self.unsent += u64::from(!end.is_whole && end.rows == 0);
                self.rows += end.rows;
            }
        }
    }

    fn add_unnamed(&mut self, disclosure: &Disclosure) {
        self.unnamed_disclosures += 1;
        self.unnamed_subjects += disclosure.count;
    }
}

/// What was exposed.
pub struct Exposed {
    /// Entries of the ledger that the answer is true for.
    pub entries: u64,
    pub sum: Sum,
    /// By project, ascending.
    pub projects: Vec<ProjectExposed>,
    /// Grants that disclosures were made under, by number; at most [`limits::EXPOSURE_LISTED_MAX`] of them.
    pub grants: Vec<Grant>,
    /// How many there are.
    pub grants_count: u64,
    /// The newest disclosures without an end, at most as many.
    pub live: Vec<Disclosure>,
}

/// Disclosures under one grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    pub grant: u64,
    pub disclosures: u64,
}

/// What was exposed of one project.
pub struct ProjectExposed {
    pub project: u64,
    pub sum: Sum,
    /// Whether confirmed, which fields, whose.
    parts: Vec<(bool, FieldSet, RoaringBitmap)>,
}

impl ProjectExposed {
    /// What was authorised: which fields of whom. Sets of fields can overlap in whom they are of.
    pub fn authorised(&self) -> impl Iterator<Item = (FieldSet, &RoaringBitmap)> {
        self.parts.iter().map(|(_, fields, subjects)| (*fields, subjects))
    }

    /// Everybody of whom any field was exposed.
    pub fn subjects(&self, which: Which) -> RoaringBitmap {
        self.union(which, |_| true)
    }

    /// Everybody of whom one of these fields was exposed.
    pub fn subjects_with(&self, which: Which, any_of: FieldSet) -> RoaringBitmap {
        self.union(which, |fields| fields.0 & any_of.0 != 0)
    }

    /// Fields that were exposed of anybody.
    pub fn fields(&self, which: Which) -> FieldSet {
        let shown = self.parts.iter().filter(|(is_confirmed, ..)| which == Which::Authorised || *is_confirmed);
        FieldSet(shown.fold(0, |all, (_, fields, _)| all | fields.0))
    }

    /// How many fields of how many subjects: each subject counts once for each field.
    pub fn values(&self, which: Which) -> u64 {
        let fields = self.fields(which).0;
        let one = (0..64).map(|bit| FieldSet(fields & 1 << bit)).filter(|field| !field.is_empty());
        one.map(|field| self.subjects_with(which, field).len()).sum()
    }

    /// With other numbers for subjects: those of persons, when one person has several.
    pub fn renumbered(&self, renumber: impl Fn(&mut RoaringBitmap)) -> ProjectExposed {
        let renumbered = |set: &RoaringBitmap| {
            let mut set = set.clone();
            renumber(&mut set);
            set
        };
        let parts = self.parts.iter().map(|(confirmed, fields, set)| (*confirmed, *fields, renumbered(set))).collect();
        ProjectExposed { project: self.project, sum: self.sum, parts }
    }

    fn union(&self, which: Which, is_wanted: impl Fn(FieldSet) -> bool) -> RoaringBitmap {
        let mut union = RoaringBitmap::new();
        for (is_confirmed, fields, subjects) in &self.parts {
            if is_wanted(*fields) && (which == Which::Authorised || *is_confirmed) {
                union |= subjects;
            }
        }
        union
    }
}

/// One person: all numbers that are theirs.
#[derive(Clone, Debug)]
pub struct Person {
    pub project: u64,
    pub subjects: Vec<u32>,
}

/// Some disclosures, newest first.
pub struct Page {
    pub disclosures: Vec<Disclosure>,
    /// Where the next page begins: disclosures before this entry. None when there are no more.
    pub before: Option<u64>,
}

/// The first and the last disclosure of each subject.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    /// Of a subject: positions of the first and the last, or [`NONE`].
    of: Vec<(u32, u32)>,
    disclosures: FxHashMap<u32, Moment>,
}

/// When something was disclosed, and by which entry of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub seq: u64,
    /// Microseconds since 1970-01-01 UTC.
    pub time_us: u64,
}

const NONE: u32 = u32::MAX;

impl Moments {
    /// When something of any of these subjects was first and last disclosed, in the ledger's order. None for those of
    /// whom nothing was.
    pub fn of(&self, subjects: impl IntoIterator<Item = u32>) -> Option<(Moment, Moment)> {
        let known = subjects.into_iter().filter_map(|subject| self.of.get(subject as usize));
        let known = known.filter(|(first, _)| *first != NONE);
        let (first, last) = known.copied().reduce(|one, two| (one.0.min(two.0), one.1.max(two.1)))?;
        Some((*self.disclosures.get(&first)?, *self.disclosures.get(&last)?))
    }
}

impl Index {
    /// The disclosures of any of the questions, oldest first, from entry `from` on and before entry `before`: so many at
    /// most.
    ///
    /// # Errors
    /// As [`Index::exposed`].
    pub fn disclosures_from(
        &self,
        questions: &[Question],
        from: u64,
        before: u64,
        rows_max: usize,
    ) -> Result<Vec<Disclosure>> {
        self.ask(|state, _| {
            let mut found = Vec::new();
            for position in state.records.find(from)?.unwrap_or_else(|after| after)..state.records.len() {
                let disclosure = state.records.read(position)?;
                if disclosure.seq >= before || found.len() == rows_max {
                    break;
                }
                if questions.iter().any(|question| question.is_about(&disclosure)) {
                    found.push(disclosure);
                }
            }
            Ok(found)
        })
    }

    /// The first and the last disclosure of each of these subjects of a project, among those of any of the questions
    /// that are before entry `before`. A disclosure counts for a subject when it has one of the fields that the subject
    /// is listed with; whoever is listed twice counts by both. Every set is read at most twice; memory is 8 bytes for
    /// each subject up to the largest.
    ///
    /// # Errors
    /// As [`Index::exposed`].
    pub fn first_and_last(
        &self,
        questions: &[Question],
        before: u64,
        project: u64,
        listed: &[(FieldSet, RoaringBitmap)],
    ) -> Result<Moments> {
        self.ask(|state, source| {
            let mut matched = Vec::new();
            state.records.scan(|position, disclosure| {
                if disclosure.seq < before
                    && disclosure.project == project
                    && questions.iter().any(|question| question.is_about(&disclosure))
                {
                    matched.push(position);
                }
                Ok(())
            })?;
            let largest = listed.iter().filter_map(|(_, subjects)| subjects.max()).max();
            let mut moments = Moments {
                of: vec![(NONE, NONE); largest.map_or(0, |largest| largest as usize + 1)],
                disclosures: FxHashMap::default(),
            };
            // Forwards until everybody has a first, then backwards until everybody has a last.
            let firsts = &mut |at: &mut (u32, u32), position: u32| at.0 = at.0.min(position);
            seek(state, source, matched.iter().copied(), listed, &mut moments, firsts)?;
            let mut listed = listed.to_vec();
            for (_, subjects) in &mut listed {
                // Of whom there is no first there is no last.
                *subjects = subjects.iter().filter(|subject| moments.of[*subject as usize].0 != NONE).collect();
            }
            let lasts = &mut |at: &mut (u32, u32), position: u32| {
                at.1 = if at.1 == NONE { position } else { at.1.max(position) };
            };
            seek(state, source, matched.iter().rev().copied(), &listed, &mut moments, lasts)?;
            Ok(moments)
        })
    }

    /// What was exposed by the disclosures of a question.
    ///
    /// # Errors
    /// When the ledger or the disk fails: there is no answer then, and never half of one.
    pub fn exposed(&self, question: &Question) -> Result<Exposed> {
        self.ask(|state, source| exposed(state, source, question))
    }

    /// Everything that the disclosures of a question have in common with others (accounts, sessions, addresses, grants
    /// …), and how many of them it is in. No set is read.
    ///
    /// # Errors
    /// As [`Index::exposed`].
    pub fn named(&self, question: &Question) -> Result<FxHashMap<By, u64>> {
        self.ask(|state, _| {
            let mut named = FxHashMap::default();
            state.records.scan(|_, disclosure| {
                if question.is_about(&disclosure) {
                    disclosure.all_by().for_each(|by| *named.entry(by).or_default() += 1);
                }
                Ok(())
            })?;
            Ok(named)
        })
    }

    /// The disclosures of a question, newest first, from before an entry on; only those about one person when one is
    /// given. Disclosures whose subjects were erased are about nobody.
    ///
    /// # Errors
    /// As [`Index::exposed`].
    pub fn disclosures(
        &self,
        question: &Question,
        person: Option<&Person>,
        before: Option<u64>,
        rows_max: usize,
    ) -> Result<Page> {
        self.ask(|state, source| {
            let end = match before {
                Some(seq) => state.records.find(seq)?.unwrap_or_else(|after| after),
                None => state.records.len(),
            };
            let mut page = Page { disclosures: Vec::new(), before: None };
            let mut sets = person.map(|person| Descent::new(state, source, person, end));
            let mut next = sets.as_mut().map(|sets| sets.next()).transpose()?.flatten();
            state.records.scan_back(end, |position, disclosure| {
                if let (Some(person), Some(sets)) = (person, &mut sets) {
                    let is_in_set = next == Some(position);
                    if is_in_set {
                        next = sets.next()?;
                    }
                    let is_inline = || disclosure.inline().iter().any(|subject| person.subjects.contains(subject));
                    if disclosure.project != person.project || !(is_in_set || is_inline()) {
                        return Ok(true);
                    }
                }
                if question.is_about(&disclosure) {
                    if page.disclosures.len() == rows_max {
                        page.before = page.disclosures.last().map(|last: &Disclosure| last.seq);
                        return Ok(false);
                    }
                    page.disclosures.push(disclosure);
                }
                Ok(true)
            })?;
            Ok(page)
        })
    }
}

/// Goes through disclosures, and notes for each listed subject the first that is about them.
fn seek(
    state: &State,
    source: &dyn Source,
    positions: impl Iterator<Item = u32>,
    listed: &[(FieldSet, RoaringBitmap)],
    moments: &mut Moments,
    note: &mut dyn FnMut(&mut (u32, u32), u32),
) -> Result<()> {
    let mut open: Vec<(FieldSet, RoaringBitmap)> = listed.to_vec();
    for position in positions {
        open.retain(|(_, subjects)| !subjects.is_empty());
        if open.is_empty() {
            break;
        }
        let disclosure = state.records.read(position)?;
        let is_wanted = |fields: FieldSet| fields.0 & disclosure.fields.0 != 0;
        if !open.iter().any(|(fields, _)| is_wanted(*fields)) {
            continue;
        }
        let subjects: RoaringBitmap = match &disclosure.subjects {
            Subjects::Gone => continue,
            Subjects::Inline(..) => disclosure.inline().iter().copied().collect(),
            Subjects::Set(commit) => match source.set(commit)? {
                Some(subjects) => subjects,
                None => continue,
            },
        };
        for (_, group) in open.iter_mut().filter(|(fields, _)| is_wanted(*fields)) {
            let found = &*group & &subjects;
            for subject in &found {
                note(&mut moments.of[subject as usize], position);
            }
            if !found.is_empty() {
                let moment = Moment { seq: disclosure.seq, time_us: disclosure.time_us };
                moments.disclosures.insert(position, moment);
            }
            *group -= found;
        }
    }
    Ok(())
}

/// Something that is read for an answer.
enum Job {
    Set(u32),
    /// The union of these.
    Union(Vec<u32>),
}

fn exposed(state: &State, source: &dyn Source, question: &Question) -> Result<Exposed> {
    let mut sums: BTreeMap<u64, Sum> = BTreeMap::new();
    let (mut parts, mut matched) = (Parts::default(), RoaringBitmap::new());
    let mut grants: BTreeMap<u64, u64> = BTreeMap::new();
    let mut live = Vec::new();
    state.records.scan(|position, disclosure| {
        if !question.is_about(&disclosure) {
            return Ok(());
        }
        let sum = sums.entry(disclosure.project).or_default();
        sum.add(&disclosure);
        if disclosure.grant != 0 {
            *grants.entry(disclosure.grant).or_default() += 1;
        }
        match &disclosure.subjects {
            Subjects::Gone => sum.add_unnamed(&disclosure),
            Subjects::Set(_) => drop(matched.insert(position)),
            Subjects::Inline(..) => {
                let Disclosure { project, fields, .. } = disclosure;
                parts.add_few(project, disclosure.is_confirmed(), fields, disclosure.inline());
            }
        }
        if disclosure.end.is_none() {
            live.push(disclosure);
            if live.len() > 2 * limits::EXPOSURE_LISTED_MAX {
                live.drain(..limits::EXPOSURE_LISTED_MAX);
            }
        }
        Ok(())
    })?;

    let jobs = plan(state, question, &matched);
    let (found, gone) = work(state, source, &jobs, &matched)?;
    parts.absorb(found);
    for position in gone {
        let disclosure = state.records.read(position)?;
        sums.entry(disclosure.project).or_default().add_unnamed(&disclosure);
    }

    let mut by_project: BTreeMap<u64, Vec<(bool, FieldSet, RoaringBitmap)>> = BTreeMap::new();
    for ((project, is_confirmed, fields), subjects) in parts.0 {
        by_project.entry(project).or_default().push((is_confirmed, FieldSet(fields), subjects));
    }
    let mut total = Sum::default();
    let projects = sums.into_iter().map(|(project, sum)| {
        total.disclosures += sum.disclosures;
        total.first_us = total.first_us.into_iter().chain(sum.first_us).min();
        total.last_us = total.last_us.max(sum.last_us);
        total.live += sum.live;
        total.unsent += sum.unsent;
        total.rows += sum.rows;
        total.unnamed_disclosures += sum.unnamed_disclosures;
        total.unnamed_subjects += sum.unnamed_subjects;
        ProjectExposed { project, sum, parts: by_project.remove(&project).unwrap_or_default() }
    });
    let projects = projects.collect();
    live.reverse();
    live.truncate(limits::EXPOSURE_LISTED_MAX);
    let grants_count = grants.len() as u64;
    let grants = grants.into_iter().map(|(grant, disclosures)| Grant { grant, disclosures });
    Ok(Exposed {
        entries: state.next,
        sum: total,
        projects,
        grants: grants.take(limits::EXPOSURE_LISTED_MAX).collect(),
        grants_count,
        live,
    })
}

/// What has to be read so that every matched set is: the widest unions that have nothing else, and single sets.
fn plan(state: &State, question: &Question, matched: &RoaringBitmap) -> Vec<Job> {
    let mut open = matched.clone();
    let mut jobs = Vec::new();
    let lists: Vec<&Vec<u32>> = match (&question.any_of[..], &question.all_of[..]) {
        ([], []) => {
            let of_projects = state.lists.iter().filter(|(by, _)| matches!(by, By::Project(_)));
            of_projects.map(|(_, list)| list).collect()
        }
        ([], all_of) => {
            all_of.iter().filter_map(|by| state.lists.get(by)).min_by_key(|list| list.len()).into_iter().collect()
        }
        (any_of, _) => any_of.iter().filter_map(|by| state.lists.get(by)).collect(),
    };
    for list in lists {
        let widths: Vec<usize> = state.widths(list.len()).rev().collect();
        cover(state, list, &widths, matched, &mut open, &mut jobs);
    }
    jobs.extend(open.iter().map(Job::Set));
    jobs
}

fn cover(
    state: &State,
    list: &[u32],
    widths: &[usize],
    matched: &RoaringBitmap,
    open: &mut RoaringBitmap,
    jobs: &mut Vec<Job>,
) {
    let Some((width, narrower)) = widths.split_first() else { return };
    for members in list.chunks(*width) {
        // One set by itself is less to read than a union with it.
        let wanted = members.iter().filter(|position| open.contains(**position)).take(2).count();
        if wanted < 2 {
            continue;
        }
        let is_of_question = |position: &u32| matched.contains(*position) || state.erased.contains(*position);
        if members.len() == *width && members.iter().all(is_of_question) && state.unions.has(key(members)) {
            for position in members {
                open.remove(*position);
            }
            jobs.push(Job::Union(members.to_vec()));
        } else {
            cover(state, members, narrower, matched, open, jobs);
        }
    }
}

/// Does the jobs, on as many threads as there are cores. Answers the sets, and the disclosures whose set is gone.
fn work(state: &State, source: &dyn Source, jobs: &[Job], matched: &RoaringBitmap) -> Result<(Parts, Vec<u32>)> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(jobs.len() / 2).max(1);
    let next = AtomicUsize::new(0);
    let one = || -> Result<(Parts, Vec<u32>)> {
        let (mut parts, mut gone) = (Parts::default(), Vec::new());
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            match job {
                Job::Set(position) => read_set(state, source, *position, &mut parts, &mut gone)?,
                Job::Union(members) => match state.unions.read(key(members))? {
                    Some(union) => {
                        parts.absorb(union.parts);
                        // What was confirmed since is in the union, but not as that.
                        for (position, was_confirmed) in members.iter().zip(union.confirmed) {
                            if !was_confirmed
                                && state.confirmed.contains(*position)
                                && !state.erased.contains(*position)
                            {
                                read_set(state, source, *position, &mut parts, &mut gone)?;
                            }
                        }
                    }
                    None => {
                        for position in members.iter().filter(|position| matched.contains(**position)) {
                            read_set(state, source, *position, &mut parts, &mut gone)?;
                        }
                    }
                },
            }
        }
        Ok((parts, gone))
    };
    if threads == 1 {
        return one();
    }
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        let (mut parts, mut gone) = (Parts::default(), Vec::new());
        for worker in workers {
            let (more, lost) = worker.join().expect("reading sets does not panic")?;
            parts.absorb(more);
            gone.extend(lost);
        }
        Ok((parts, gone))
    })
}

fn read_set(state: &State, source: &dyn Source, position: u32, parts: &mut Parts, gone: &mut Vec<u32>) -> Result<()> {
    let disclosure = state.records.read(position)?;
    let Subjects::Set(commit) = &disclosure.subjects else {
        return Err(Error::Damaged { what: "a disclosure lost its set" });
    };
    match source.set(commit)? {
        Some(subjects) => parts.add(disclosure.project, disclosure.is_confirmed(), disclosure.fields, &subjects),
        None => gone.push(position),
    }
    Ok(())
}

/// Goes back through the disclosures of a project that have a set, and stops at those that name a person. Groups whose
/// union does not name them are passed over.
struct Descent<'a> {
    state: &'a State,
    source: &'a dyn Source,
    person: &'a Person,
    list: &'a [u32],
    widths: Vec<usize>,
}

impl<'a> Descent<'a> {
    /// Of the disclosures before a position.
    fn new(state: &'a State, source: &'a dyn Source, person: &'a Person, end: u32) -> Descent<'a> {
        let list = state.lists.get(&By::Project(person.project)).map_or(&[][..], |list| &list[..]);
        let list = &list[..list.partition_point(|position| *position < end)];
        let widths = state.widths(list.len()).rev().collect();
        Descent { state, source, person, list, widths }
    }

    fn next(&mut self) -> Result<Option<u32>> {
        'all: while let Some((last, before)) = self.list.split_last() {
            for width in self.widths.iter().filter(|width| self.list.len().is_multiple_of(**width)) {
                let (rest, group) = self.list.split_at(self.list.len() - width);
                let Person { project, subjects } = self.person;
                if self.state.unions.names(key(group), *project, subjects)? == Some(false) {
                    self.list = rest;
                    continue 'all;
                }
            }
            self.list = before;
            if let Subjects::Set(commit) = &self.state.records.read(*last)?.subjects
                && self.source.set_has(commit, &self.person.subjects)? == Some(true)
            {
                return Ok(Some(*last));
            }
        }
        Ok(None)
    }
}
