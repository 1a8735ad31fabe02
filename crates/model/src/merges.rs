//! Which subject numbers are one person.
//!
//! A merge is an entry `subject → canonical`, applied when a query reads: events keep the number they
//! were written with, so linking an anonymous device to a person rewrites nothing and is retroactive.
//!
//! A copy shares all that does not change afterwards: a query holds on to a state while links are made, and the first
//! link after that copies a few pages, not the map.
//!
//! Invariant: `canonical(canonical(s)) == canonical(s)`: one look-up, never a chain.

use std::sync::Arc;

use crate::SubjectNo;

const ALONE: u32 = u32::MAX;

/// Entries of a page: a change copies one, a copy of the whole counts references to all.
const PAGE: usize = 2_048;

/// A vector whose copies share pages.
#[derive(Clone, Debug)]
struct Pages<T> {
    pages: Vec<Arc<Vec<T>>>,
    len: usize,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Pages { pages: Vec::new(), len: 0 }
    }
}

impl<T: Clone> Pages<T> {
    fn get(&self, index: usize) -> Option<&T> {
        self.pages.get(index / PAGE)?.get(index % PAGE)
    }

    /// The entry must exist.
    fn entry(&mut self, index: usize) -> &mut T {
        &mut Arc::make_mut(&mut self.pages[index / PAGE])[index % PAGE]
    }

    fn push(&mut self, value: T) {
        if self.len.is_multiple_of(PAGE) {
            self.pages.push(Arc::new(Vec::with_capacity(PAGE)));
        }
        let last = self.pages.last_mut().expect("one was just pushed, or is not full");
        Arc::make_mut(last).push(value);
        self.len += 1;
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flat_map(|page| page.iter())
    }
}

/// The merges of one project. Subjects that were never merged cost four bytes below the highest merged one.
#[derive(Clone, Debug, Default)]
pub struct Merges {
    /// Index into `groups` by subject number, or `ALONE`.
    group_of: Pages<u32>,
    groups: Pages<Group>,
}

/// Subjects that are one person: at least two, `members` ascending and including the canonical one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub canonical: SubjectNo,
    pub members: Vec<SubjectNo>,
}

impl Merges {
    /// The group a subject belongs to, if it was ever merged.
    pub fn group(&self, subject: SubjectNo) -> Option<&Group> {
        match self.group_of.get(subject.0 as usize) {
            Some(&index) if index != ALONE => self.groups.get(index as usize),
            _ => None,
        }
    }

    pub fn canonical(&self, subject: SubjectNo) -> SubjectNo {
        self.group(subject).map_or(subject, |group| group.canonical)
    }

    /// Makes `alias` and everybody merged with it part of the person of `canonical`.
    /// Returns false when they already were one person.
    pub fn link(&mut self, alias: SubjectNo, canonical: SubjectNo) -> bool {
        let canonical = self.canonical(canonical);
        if self.canonical(alias) == canonical {
            return false;
        }
        let highest = alias.max(canonical).0 as usize;
        while self.group_of.len <= highest {
            self.group_of.push(ALONE);
        }
        let (joining, joining_slot) = self.take(alias);
        let (mut members, slot) = self.take(canonical);
        let slot = slot.or(joining_slot).unwrap_or_else(|| {
            self.groups.push(Group { canonical, members: Vec::new() });
            self.groups.len - 1
        });
        members.extend(joining);
        members.sort_unstable();
        let index = u32::try_from(slot).expect("fewer groups than subjects");
        for member in &members {
            if self.group_of.get(member.0 as usize) != Some(&index) {
                *self.group_of.entry(member.0 as usize) = index;
            }
        }
        *self.groups.entry(slot) = Group { canonical, members };
        true
    }

    /// Groups with two members or more; the order is of no meaning.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| !group.members.is_empty())
    }

    /// The members of a subject's group, taken out of it, and the group's slot.
    fn take(&mut self, subject: SubjectNo) -> (Vec<SubjectNo>, Option<usize>) {
        match self.group_of.get(subject.0 as usize) {
            Some(&index) if index != ALONE => {
                (std::mem::take(&mut self.groups.entry(index as usize).members), Some(index as usize))
            }
            _ => (vec![subject], None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_transitive_and_keep_the_canonical_side() {
        let s = SubjectNo;
        let mut merges = Merges::default();
        assert!(merges.link(s(1), s(5)));
        assert!(merges.link(s(2), s(5)));
        assert!(merges.link(s(5), s(9)));
        assert!(!merges.link(s(1), s(2)));
        for member in [1, 2, 5, 9] {
            assert_eq!(merges.canonical(s(member)), s(9));
        }
        assert_eq!(merges.canonical(s(3)), s(3));
        let groups: Vec<_> = merges.groups().collect();
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].members, vec![s(1), s(2), s(5), s(9)]);
    }

    #[test]
    fn a_link_after_a_copy_shares_nearly_all_with_it() {
        let s = SubjectNo;
        let mut merges = Merges::default();
        let pairs = 50 * PAGE as u32;
        for pair in 0..pairs {
            merges.link(s(pair * 2), s(pair * 2 + 1));
        }
        let copy = merges.clone();
        assert!(merges.link(s(4), s(pairs + 1)));
        assert_eq!(merges.canonical(s(5)), s(pairs + 1));
        assert_eq!((copy.canonical(s(4)), copy.canonical(s(pairs))), (s(5), s(pairs + 1)));
        let shared = merges.group_of.pages.iter().zip(&copy.group_of.pages).filter(|(a, b)| Arc::ptr_eq(a, b)).count()
            + merges.groups.pages.iter().zip(&copy.groups.pages).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        let all = merges.group_of.pages.len() + merges.groups.pages.len();
        assert!(shared + 4 >= all, "{shared} of {all}");
    }
}
