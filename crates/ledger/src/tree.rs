//! The Merkle tree of RFC 6962 (section 2.1), over SHA-256.
//!
//! leaf = H(0x00 ‖ entry), node = H(0x01 ‖ left ‖ right); a tree of n leaves splits at the largest power of two
//! below n. Proofs are made from whatever knows the roots of complete subtrees ([`Subtrees`]): a list of leaves, or
//! the tiles on disk.

use aws_lc_rs::digest::{Context, SHA256, digest};

pub type Hash = [u8; 32];

/// Hashes of a proof: a tree of 2^63 leaves needs no more.
pub const PROOF_HASHES_MAX: usize = 63;

fn hash(prefix: u8, parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[prefix]);
    parts.iter().for_each(|part| context.update(part));
    *context.finish().as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

pub fn sha256(bytes: &[u8]) -> Hash {
    *digest(&SHA256, bytes).as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

pub fn leaf(entry: &[u8]) -> Hash {
    hash(0, &[entry])
}

pub(crate) fn node(left: &Hash, right: &Hash) -> Hash {
    hash(1, &[left, right])
}

/// The root of a tree that only grows: complete subtrees of falling size, so that adding a leaf is O(log n).
#[derive(Clone, Debug, Default)]
pub struct Frontier {
    size: u64,
    /// Roots of the complete subtrees, largest first; their sizes are the bits of `size`.
    roots: Vec<Hash>,
}

impl Frontier {
    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn push(&mut self, leaf: Hash) {
        self.push_subtree(leaf, 0);
    }

    /// Adds a complete subtree of 2^`height` leaves. No smaller one may have been added before.
    pub(crate) fn push_subtree(&mut self, mut root: Hash, height: u32) {
        debug_assert_eq!(self.size % (1 << height), 0, "subtrees fall in size");
        let mut above = self.size >> height;
        while above & 1 == 1 {
            let left = self.roots.pop().expect("a set bit has a subtree");
            root = node(&left, &root);
            above >>= 1;
        }
        self.roots.push(root);
        self.size += 1 << height;
    }

    /// The tree head; of no leaves it is the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(first) = roots.next() else { return sha256(b"") };
        roots.fold(*first, |right, left| node(left, &right))
    }
}

/// The root over a power of two of hashes that stand side by side.
pub(crate) fn fold(hashes: &[Hash]) -> Hash {
    debug_assert!(hashes.len().is_power_of_two());
    match hashes {
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node(&fold(left), &fold(right))
        }
    }
}

/// Knows the roots of complete subtrees: of the 2^`height` leaves from `index`·2^`height` on.
pub trait Subtrees {
    type Error;
    fn root(&self, height: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The largest power of two below `leaves`, which is two at least.
fn split(leaves: u64) -> u64 {
    1 << (63 - (leaves - 1).leading_zeros())
}

/// The root over leaves `from..to`: not none of them, and beginning where the tree could split.
fn range<S: Subtrees>(tree: &S, from: u64, to: u64) -> Result<Hash, S::Error> {
    let leaves = to - from;
    if leaves.is_power_of_two() {
        let height = leaves.trailing_zeros();
        return tree.root(height, from >> height);
    }
    let middle = from + split(leaves);
    Ok(node(&range(tree, from, middle)?, &range(tree, middle, to)?))
}

/// The root of the tree of the first `size` leaves.
pub fn root<S: Subtrees>(tree: &S, size: u64) -> Result<Hash, S::Error> {
    if size == 0 { Ok(sha256(b"")) } else { range(tree, 0, size) }
}

/// The audit path of leaf `index` in the tree of the first `size` leaves (RFC 6962, 2.1.1), from the leaf's sibling
/// up. `index` is below `size`.
pub fn inclusion_proof<S: Subtrees>(tree: &S, index: u64, size: u64) -> Result<Vec<Hash>, S::Error> {
    let (mut from, mut to, mut path) = (0, size, Vec::new());
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(range(tree, middle, to)?);
            to = middle;
        } else {
            path.push(range(tree, from, middle)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `new` leaves begins with that of `old` (RFC 6962, 2.1.2). `old` is at most `new`; from
/// nothing, and to the same size, the proof is empty.
pub fn consistency_proof<S: Subtrees>(tree: &S, old: u64, new: u64) -> Result<Vec<Hash>, S::Error> {
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut from, mut to, mut path) = (0, new, Vec::new());
    // Whether the verifier knows the root of what is left: as long as only right halves were cut off.
    let mut is_known = true;
    while old != to {
        let middle = from + split(to - from);
        if old <= middle {
            path.push(range(tree, middle, to)?);
            to = middle;
        } else {
            path.push(range(tree, from, middle)?);
            from = middle;
            is_known = false;
        }
    }
    if !is_known {
        path.push(range(tree, from, to)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether a path leads from a leaf to a root (RFC 9162, 2.1.3.2).
pub fn verify_inclusion(leaf: Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether a proof shows that the tree of `new` leaves begins with that of `old` (RFC 9162, 2.1.4.2).
pub fn verify_consistency(old: u64, old_root: &Hash, new: u64, new_root: &Hash, path: &[Hash]) -> bool {
    if old > new {
        return false;
    }
    if old == new {
        return path.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return path.is_empty() && *old_root == sha256(b"");
    }
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    // The root of the old tree begins the path unless the old tree is a subtree of the new one.
    let mut rest = path.iter();
    let first = if old.is_power_of_two() {
        old_root
    } else {
        match rest.next() {
            Some(first) => first,
            None => return false,
        }
    };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_hash = node(sibling, &old_hash);
            new_hash = node(sibling, &new_hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node(&new_hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

/// Leaves in memory.
impl Subtrees for Vec<Hash> {
    type Error = std::convert::Infallible;

    fn root(&self, height: u32, index: u64) -> Result<Hash, Self::Error> {
        let leaves = 1_usize << height;
        let from = index as usize * leaves;
        Ok(fold(&self[from..from + leaves]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The root straight from the definition.
    fn defined(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => sha256(b""),
            [one] => *one,
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                node(&defined(&leaves[..split]), &defined(&leaves[split..]))
            }
        }
    }

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|index| leaf(&[index as u8])).collect()
    }

    /// The leaves and roots that Certificate Transparency implementations test with.
    #[test]
    fn roots_equal_the_known_vectors() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let hex = |hash: Hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mut frontier = Frontier::default();
        assert_eq!(hex(frontier.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let mut roots = Vec::new();
        for entry in leaves {
            frontier.push(leaf(entry));
            roots.push(hex(frontier.root()));
        }
        assert_eq!(roots[0], "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(roots[7], "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proved_and_no_other() {
        for size in 1..40_usize {
            let leaves = leaves(size);
            let mut frontier = Frontier::default();
            leaves.iter().for_each(|leaf| frontier.push(*leaf));
            let head = frontier.root();
            assert_eq!(head, defined(&leaves));
            let Ok(from_subtrees) = root(&leaves, size as u64);
            assert_eq!(head, from_subtrees);
            for index in 0..size {
                let Ok(path) = inclusion_proof(&leaves, index as u64, size as u64);
                let verify = |leaf, at: usize| verify_inclusion(leaf, at as u64, size as u64, &path, &head);
                assert!(verify(leaves[index], index));
                assert!(!verify(leaf(b"other"), index));
                assert!(!verify_inclusion(leaves[index], size as u64, size as u64, &path, &head));
                if size > 1 {
                    assert!(!verify(leaves[index], (index + 1) % size));
                }
            }
        }
    }

    #[test]
    fn every_small_tree_is_proved_to_begin_with_every_smaller_one_and_with_no_other() {
        let leaves = leaves(40);
        let head = |size: u64| {
            let Ok(root) = root(&leaves, size);
            root
        };
        for new in 0..40_u64 {
            for old in 0..=new {
                let Ok(path) = consistency_proof(&leaves, old, new);
                assert!(verify_consistency(old, &head(old), new, &head(new), &path), "{old} {new}");
                assert!(!verify_consistency(old, &leaf(b"other"), new, &head(new), &path), "{old} {new}");
                let mut longer = path.clone();
                longer.push(leaf(b"other"));
                assert!(!verify_consistency(old, &head(old), new, &head(new), &longer), "{old} {new}");
                if old > 0 {
                    assert!(!verify_consistency(old, &head(old), new, &leaf(b"other"), &path), "{old} {new}");
                }
                if !path.is_empty() {
                    assert!(!verify_consistency(old, &head(old), new, &head(new), &path[1..]), "{old} {new}");
                }
            }
            assert!(!verify_consistency(new + 1, &head(new), new, &head(new), &[]));
        }
    }

    #[test]
    fn subtrees_make_the_same_tree_as_their_leaves() {
        let leaves = leaves(37);
        let (mut one_by_one, mut by_subtree) = (Frontier::default(), Frontier::default());
        leaves.iter().for_each(|leaf| one_by_one.push(*leaf));
        by_subtree.push_subtree(fold(&leaves[..32]), 5);
        by_subtree.push_subtree(fold(&leaves[32..36]), 2);
        by_subtree.push(leaves[36]);
        assert_eq!((by_subtree.size(), by_subtree.root()), (37, one_by_one.root()));
    }
}
