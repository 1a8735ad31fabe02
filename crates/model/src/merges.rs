//! Which subject numbers are one person.
//!
//! A merge is an entry `subject → canonical`, applied when a query reads: events keep the number they
//! were written with, so linking an anonymous device to a person rewrites nothing and is retroactive.
//!
//! Invariant: `canonical(canonical(s)) == canonical(s)`: one look-up, never a chain.

use crate::SubjectNo;

const ALONE: u32 = u32::MAX;

/// The merges of one project. Subjects that were never merged cost four bytes below the highest merged one.
#[derive(Clone, Debug, Default)]
pub struct Merges {
    /// Index into `groups` by subject number, or `ALONE`.
    group_of: Vec<u32>,
    groups: Vec<Group>,
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
            Some(&index) if index != ALONE => Some(&self.groups[index as usize]),
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
        if self.group_of.len() <= highest {
            self.group_of.resize(highest + 1, ALONE);
        }
        let (joining, joining_slot) = self.take(alias);
        let (mut members, slot) = self.take(canonical);
        let slot = slot.or(joining_slot).unwrap_or_else(|| {
            self.groups.push(Group { canonical, members: Vec::new() });
            self.groups.len() - 1
        });
        for member in joining {
            let at = members.partition_point(|other| *other < member);
            members.insert(at, member);
        }
        let index = u32::try_from(slot).expect("fewer groups than subjects");
        for member in &members {
            self.group_of[member.0 as usize] = index;
        }
        self.groups[slot] = Group { canonical, members };
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
                (std::mem::take(&mut self.groups[index as usize].members), Some(index as usize))
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
}
