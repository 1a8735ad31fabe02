//! What an attacker has against what the report says they have: the loot, subject by subject and field by field.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use cofferdam_exposure::{By, Index, Question, Which};
use cofferdam_ledger::{Entry, Intent, Kind, Log, Options, Pseudonym, SeenFile};
use cofferdam_model::{FieldSet, OrgId, PersonalField, ProjectId};

use crate::{Outcome, Stage};

const OFFICER: Pseudonym = Pseudonym([1; 16]);
const STEWARD: Pseudonym = Pseudonym([2; 16]);
const BYSTANDER: Pseudonym = Pseudonym([3; 16]);
const OLD_TOKEN: Pseudonym = Pseudonym([4; 16]);
/// Subjects of one ticket of a bulk export.
const CHUNK: u32 = 1_000;
/// Of the chunk that is cut off, what was sent before.
const SENT: u64 = 600;

/// Subject and field.
type Loot = HashSet<(u32, u8)>;

fn take(
    log: &Log,
    context: Entry,
    fields: FieldSet,
    subjects: impl IntoIterator<Item = u32>,
    sent: Option<u64>,
) -> Result<Loot> {
    let subjects = subjects.into_iter().collect();
    let intent = Intent { org: OrgId(1), project: ProjectId(1), fields, subjects, context };
    let ticket = log.authorise(intent)?;
    let rows = sent.unwrap_or(ticket.subjects().len() as u64);
    let mut loot = Loot::new();
    for subject in ticket.subjects().take(rows as usize) {
        loot.extend((0..64).filter(|field| ticket.fields().0 >> field & 1 == 1).map(|field| (subject.0, field)));
    }
    let kind = if sent.is_some() { Kind::Aborted } else { Kind::Done };
    log.append(Entry { refers_to: Some(ticket.seq()), count: rows, ..Entry::of(kind) })?;
    Ok(loot)
}

/// A privacy officer exports, a steward approves and looks up some by hand, and somebody who left uses a token; others
/// work as on any day. Meanwhile the index is as far behind as an attacker could wish.
pub(crate) fn collusion(stage: &Stage) -> Result<Outcome> {
    let (all, taken) = if stage.is_full { (10_000_000, 500_000) } else { (1_000_000, 30_000) };
    let now = Arc::new(std::sync::atomic::AtomicI64::new(1_800_000_000_000_000));
    let clock = now.clone();
    let tick = || now.fetch_add(1_000_000, std::sync::atomic::Ordering::Relaxed);
    let clock = Arc::new(move || clock.load(std::sync::atomic::Ordering::Relaxed));
    let seen = Arc::new(SeenFile(stage.folder.join("seen")));
    let log = Arc::new(Log::open(Options::new(&stage.folder.join("ledger"), &[9; 32], clock, seen))?);
    let contact = FieldSet::EMPTY.with(PersonalField::Email).with(PersonalField::Name);
    let everything: FieldSet = PersonalField::ALL.into_iter().collect();
    let by = |actor| Entry { actor: Some(actor), ..Entry::of(Kind::Intent) };
    // Before the attack the officer did honest work, which is not asked for.
    take(&log, by(OFFICER), everything, 0..2_000, None)?;
    let index = Index::open(&stage.folder.join("exposure"), log.clone())?;
    index.follow()?;
    tick();
    let since_us = now.load(std::sync::atomic::Ordering::Relaxed).cast_unsigned();

    let mut loot = Loot::new();
    let mut random = 88_172_645_463_325_252_u64;
    let mut next = move |below: u32| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % u64::from(below)) as u32
    };
    for chunk in 0..taken / CHUNK {
        tick();
        let step = all / taken;
        let subjects: Vec<u32> = (0..CHUNK).map(|at| (chunk * CHUNK + at) * step + next(step)).collect();
        let context = Entry { grant: 5, ..by(OFFICER) };
        let is_last = chunk + 1 == taken / CHUNK;
        loot.extend(take(&log, context, contact, subjects, is_last.then_some(SENT))?);
        if chunk % 10 == 0 {
            take(&log, by(BYSTANDER), everything, (0..50).map(|_| next(all)), None)?;
        }
    }
    for _ in 0..40 {
        loot.extend(take(&log, by(STEWARD), everything, [next(all)], None)?);
    }
    for size in [20, 300, 700] {
        let context = Entry { token: Some(OLD_TOKEN), ..Entry::of(Kind::Intent) };
        loot.extend(take(&log, context, contact, (0..size).map(|_| next(all)), None)?);
    }

    let question = Question {
        any_of: vec![By::Actor(OFFICER), By::Actor(STEWARD), By::Token(OLD_TOKEN)],
        from_us: since_us,
        ..Question::default()
    };
    let started = Instant::now();
    let exposed = index.exposed(&question)?;
    let seconds = started.elapsed().as_secs_f64();
    let mut reported = Loot::new();
    for project in &exposed.projects {
        ensure!(project.project == 1, "there is one project");
        for field in 0..64 {
            let subjects = project.subjects_with(Which::Authorised, FieldSet(1 << field));
            reported.extend(subjects.iter().map(|subject| (subject, field)));
        }
    }
    let missing = loot.difference(&reported).count();
    let beyond = reported.difference(&loot).count();
    // Of the chunk that was cut off it is not known what had been sent.
    let cut_max = (u64::from(CHUNK) - SENT) as usize * 2;
    let figure = format!(
        "{} values taken, {missing} not reported, {beyond} reported beyond them (at most {cut_max} of the chunk that was cut off), in {:.0} ms",
        loot.len(),
        seconds * 1e3
    );
    Ok(Outcome { is_through: missing > 0 || beyond > cut_max, figure })
}
