//! What is known about persons without saying who they are: sets of subjects, and a value per subject.
//! Both are made where plaintext may be read and handed down: a filter on a profile reaches the operators as numbers.

use crate::SubjectNo;

/// A set of subjects by number: a bit each, up to the highest member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectSet {
    words: Vec<u64>,
}

impl SubjectSet {
    /// Answers whether the subject is new to the set. Nobody is never a member.
    pub fn insert(&mut self, subject: SubjectNo) -> bool {
        if subject == SubjectNo::NOBODY {
            return false;
        }
        let (word, bit) = (subject.0 as usize / 64, 1 << (subject.0 % 64));
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    pub fn remove(&mut self, subject: SubjectNo) {
        if let Some(word) = self.words.get_mut(subject.0 as usize / 64) {
            *word &= !(1 << (subject.0 % 64));
        }
    }

    pub fn contains(&self, subject: SubjectNo) -> bool {
        self.words.get(subject.0 as usize / 64).is_some_and(|word| word >> (subject.0 % 64) & 1 == 1)
    }

    pub fn len(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Members of both.
    pub fn intersect(&mut self, other: &SubjectSet) {
        self.words.truncate(other.words.len());
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
    }

    /// Members of either.
    pub fn unite(&mut self, other: &SubjectSet) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    /// Members that are not in the other.
    pub fn subtract(&mut self, other: &SubjectSet) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= !other);
    }

    /// Ascending.
    pub fn iter(&self) -> impl Iterator<Item = SubjectNo> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros();
                    rest &= rest - 1;
                    SubjectNo(at as u32 * 64 + bit)
                })
            })
        })
    }
}

impl FromIterator<SubjectNo> for SubjectSet {
    fn from_iter<T: IntoIterator<Item = SubjectNo>>(subjects: T) -> SubjectSet {
        let mut set = SubjectSet::default();
        for subject in subjects {
            set.insert(subject);
        }
        set
    }
}

/// A value per subject, for breakdowns: an index into `values`, or none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubjectValues {
    pub values: Vec<crate::Value>,
    /// By subject number; [`SubjectValues::NOT_SET`] or beyond the end: no value.
    pub codes: Vec<u32>,
}

impl SubjectValues {
    pub const NOT_SET: u32 = u32::MAX;

    /// Index into `values` of a subject's value.
    pub fn code(&self, subject: SubjectNo) -> Option<u32> {
        self.codes.get(subject.0 as usize).copied().filter(|code| *code != Self::NOT_SET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_do_what_sets_do() {
        let set = |numbers: &[u32]| numbers.iter().map(|number| SubjectNo(*number)).collect::<SubjectSet>();
        let list = |set: &SubjectSet| set.iter().map(|subject| subject.0).collect::<Vec<_>>();
        let mut a = set(&[200, 1, 63, 64, 1]);
        assert_eq!(list(&a), [1, 63, 64, 200]);
        assert_eq!(a.len(), 4);
        assert!(a.contains(SubjectNo(200)) && !a.contains(SubjectNo(199)) && !a.contains(SubjectNo(9_999)));
        a.unite(&set(&[500]));
        a.subtract(&set(&[63]));
        assert_eq!(list(&a), [1, 64, 200, 500]);
        a.intersect(&set(&[1, 64, 70]));
        assert_eq!(list(&a), [1, 64]);
        a.remove(SubjectNo(64));
        a.remove(SubjectNo(64_000));
        assert_eq!(list(&a), [1]);
        assert!(!a.insert(SubjectNo::NOBODY) && !a.is_empty());
    }
}
